"""Families of games and references: one contract for all of them, then the formula of each by hand."""

import inspect
import itertools
import math
import subprocess
import sys
import tracemalloc
import types

import numpy as np
import psutil
import pytest
import scipy.special
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from nashgames.core.game import make_game
from nashgames.core.margins import TILE, DenseMargins, empty, fill_skew, tiles
from nashgames.errors import NashGamesError
from nashgames.experiments.sources import find_reference
from nashgames.games import families, tables
from nashgames.games.families import (
    FAMILIES,
    check_fits,
    generate,
    logit_families,
    margin_families,
    planting_reference,
    recipes,
)
from nashgames.games.streams import stream
from nashgames.learning.references import REFERENCES, resolve_reference
from nashgames.registry import render
from tests.games import small

NAMES = list(FAMILIES)
RANDOM = [name for name in NAMES if FAMILIES[name].takes_seed]
NEEDS_THREE = {"circulant", "melo", "group-transitive"}


def size_of(selection):
    return 13 if FAMILIES[selection.partition("[")[0]].takes_actions else None


def dense(game):
    return np.asarray(game.margins.to_dense())


def play(selection, **arguments):
    return generate(selection, **{"actions": size_of(selection), **small(selection), **arguments})


def by_hand(n, entry):
    """A matrix from a formula for one entry, by two loops."""
    return np.array([[entry(i, j) for j in range(n)] for i in range(n)])


def margin_of(logit):
    return scipy.special.expit(logit) - 0.5


def built(build, n, seed=5, **parameters):
    """The margins of a family's recipe for known random numbers."""
    out = empty((n, n), np.float64)
    recipe = build(np.random.default_rng(seed), n, **parameters)
    fill_skew(out, recipe.block)
    return out, recipe


# The contract of every family


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", NAMES)
def test_margins_are_exactly_skew_and_at_most_half(name, dtype):
    game = play(name, seed=3, dtype=dtype)
    values = dense(game)
    assert values.dtype == dtype
    assert values.shape == (game.actions, game.actions)
    np.testing.assert_array_equal(values, -values.T)
    assert 0 < np.abs(values).max() <= 0.5


@pytest.mark.parametrize("name", NAMES)
def test_float32_is_float64_rounded_once(name):
    wide, narrow = (dense(play(name, seed=3, dtype=dtype)) for dtype in ("float64", "float32"))
    np.testing.assert_array_equal(wide.astype(np.float32), narrow)


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_is_one_game(name):
    one, again, other = (dense(play(name, seed=seed)) for seed in (4, 4, 5))
    np.testing.assert_array_equal(one, again)
    assert np.array_equal(one, other) == (not FAMILIES[name].takes_seed)
    assert play(name, seed=4).description.seed == (4 if FAMILIES[name].takes_seed else None)


@pytest.mark.parametrize("name", NAMES)
def test_parameters_are_documented_and_defaults_play(name):
    family = FAMILIES[name]
    assert family.name == name
    assert 10 < len(family.summary) < 125
    for parameter in family.parameters.values():
        assert parameter.kind in (int, float, str)
        # Those of the run, where they are not given.
        of_run = parameter.default is None and parameter.name in ("seed", "beta")
        assert of_run or type(parameter.default) is parameter.kind
        assert len(parameter.help) > 10
    assert generate(name).actions == (family.default_actions if family.takes_actions else family.size(**defaults(name)))


def defaults(name):
    own = inspect.signature(FAMILIES[name].build).parameters
    return {key: p.default for key, p in FAMILIES[name].parameters.items() if key in own}


def other_value(parameter):
    choices = {"form": "distance", "shares": "drawn", "link": "linear", "base": "disc"}
    # Half of a small bias changes the order of no two among few sequences.
    less = (lambda v: v + 1) if parameter.name.endswith("bias") else (lambda v: v / 2)
    change = {int: lambda v: v + 2, float: less, str: lambda v: choices[parameter.name]}
    return change[parameter.kind](parameter.default)


# A function takes the `beta` of the run; in brackets it pins the game to one, which test_plan tries.
OPTIONS = [(name, key) for name in NAMES for key in defaults(name) if key != "beta"]


@pytest.mark.parametrize(("name", "key"), OPTIONS)
def test_no_parameter_is_ignored_and_text_selects_the_same_game(name, key):
    parameter = FAMILIES[name].parameters[key]
    value = other_value(parameter)
    contexts = {"contexts": 2} if name == "embedding" else {}
    usual = play(name, seed=1, **contexts)
    changed = play(name, seed=1, **{key: value}, **contexts)
    assert not np.array_equal(usual.log_reference, changed.log_reference) or not np.array_equal(
        dense(usual), dense(changed)
    )
    assert changed.description.parameters[key] == value
    text = render(changed.description.name, changed.description.parameters)
    np.testing.assert_array_equal(dense(play(text, seed=1)), dense(changed))


@pytest.mark.parametrize("name", NAMES)
def test_a_family_is_a_function_too(name):
    function = getattr(families, name.replace("-", "_"))
    arguments = {"actions": 13} if FAMILIES[name].takes_actions else small(name)
    np.testing.assert_array_equal(dense(function(seed=2, **arguments)), dense(play(name, seed=2)))
    assert set(FAMILIES[name].parameters) < set(inspect.signature(function).parameters)
    assert FAMILIES[name].summary in function.__doc__
    assert name.replace("-", "_") in dir(families)


@pytest.mark.parametrize("name", RANDOM)
def test_contexts_are_different_draws_with_weights(name):
    one = play(name, seed=6)
    game = play(f"{name}[contexts=3]", seed=6)
    values = dense(game)
    assert values.shape == (3, 13, 13)
    assert game.contexts == 3
    assert np.shape(game.log_reference) == (3, 13)
    np.testing.assert_array_equal(values[0], dense(one))
    for a, b in itertools.combinations(values, 2):
        assert not np.array_equal(a, b)
    np.testing.assert_array_equal(values, -values.transpose(0, 2, 1))
    np.testing.assert_allclose(game.weights, 1 / 3)
    drawn = play(f"{name}[contexts=3,weights=drawn]", seed=6)
    np.testing.assert_array_equal(dense(drawn), values)
    assert abs(drawn.weights.sum() - 1) < 1e-15
    assert np.ptp(drawn.weights) > 0.01
    assert dict(drawn.description.parameters) | {"contexts": 3, "weights": "drawn"} == drawn.description.parameters
    # The usual number is not said.
    usual = FAMILIES[name].parameters["contexts"].default
    assert one.description.parameters.get("contexts", 1) == 1
    assert ("contexts" in one.description.parameters) == (usual != 1)
    known = game.description.known_equilibrium
    assert known is None or known.log_policy.shape == (3, 13)


@pytest.mark.parametrize("name", [name for name in NAMES if FAMILIES[name].takes_actions])
def test_two_actions_play_where_they_can(name):
    if name in NEEDS_THREE:
        with pytest.raises(NashGamesError):
            generate(name, actions=2)
    else:
        assert dense(generate(name, actions=2)).shape == (2, 2)
    assert dense(generate(name, actions=3)).shape == (3, 3)


@pytest.mark.parametrize("name", NAMES)
def test_tiles_fit_together(name, monkeypatch):
    """With tiles of 4 actions all code for large games runs; only independent entries depend on the tiles."""
    whole = dense(play(name, seed=8))
    for module in (tiles, recipes):
        monkeypatch.setattr(module, "TILE", 4)
    tiled = dense(play(name, seed=8))
    np.testing.assert_array_equal(tiled, -tiled.T)
    np.testing.assert_array_equal(tiled, dense(play(name, seed=8)))
    if name in ("uniform", "random-logits", "planted-regularised", "planted", "skill", "tournament"):
        above = tiled[np.triu_indices(13, 1)]
        assert name == "tournament" or len(np.unique(above)) == len(above)
    else:
        np.testing.assert_allclose(tiled, whole, rtol=0, atol=1e-15)


@pytest.mark.parametrize("name", NAMES)
def test_a_game_can_be_pinned_to_one_draw(name):
    if name not in RANDOM:
        with pytest.raises(NashGamesError, match="has no parameter 'seed'"):
            play(f"{name}[seed=3]")
        return
    drawn = "[contexts=2,weights=drawn{}]"
    expected = play(name + drawn.format(""), seed=3)
    for seed in (0, 3, 9):
        game = play(name + drawn.format(",seed=3"), seed=seed)
        np.testing.assert_array_equal(dense(game), dense(expected))
        np.testing.assert_array_equal(game.weights, expected.weights)
        assert game.description.seed == 3
        assert game.description.parameters == expected.description.parameters | {"seed": 3}
    assert "seed" not in expected.description.parameters
    named = render(name, game.description.parameters, FAMILIES[name].parameters)
    assert named.endswith("contexts=2,weights=drawn,seed=3]")
    np.testing.assert_array_equal(dense(play(named)), dense(expected))
    as_a_function = getattr(families, name.replace("-", "_"))(seed=3, actions=13, **small(name))
    np.testing.assert_array_equal(dense(as_a_function), dense(play(f"{name}[seed=3]")))
    assert as_a_function.description.parameters == play(name).description.parameters


@pytest.mark.parametrize("name", [name for name in RANDOM if FAMILIES[name].takes_actions])
def test_one_seed_is_one_stream_at_every_size_unless_draws_are_independent(name):
    def drawn(n, draws, **arguments):
        return generate(name, actions=n, draws=draws, contexts=2, weights="drawn", **arguments)

    nested, apart = drawn(20, "nested"), drawn(20, "independent")
    assert "draws" not in nested.description.parameters
    assert apart.description.parameters["draws"] == "independent"
    plain = generate(f"{name}[contexts=2,weights=drawn]", actions=20)
    np.testing.assert_array_equal(dense(nested), dense(plain))
    assert np.all(apart.weights != nested.weights)
    for one, other in zip(dense(apart), dense(nested), strict=True):
        assert not np.array_equal(one, other)
    # Weights know nothing of n but by their stream.
    np.testing.assert_array_equal(drawn(10, "nested").weights, nested.weights)
    assert np.all(drawn(10, "independent").weights != apart.weights)
    named = render(name, apart.description.parameters, FAMILIES[name].parameters)
    assert named == f"{name}[contexts=2,weights=drawn,draws=independent]"
    np.testing.assert_array_equal(dense(generate(named, actions=20)), dense(apart))
    pinned = generate(f"{name}[contexts=2,weights=drawn,seed=0,draws=independent]", actions=20, seed=9)
    np.testing.assert_array_equal(dense(pinned), dense(apart))


def test_games_of_two_sizes_are_one_draw_unless_they_are_independent():
    for name, related in (("bradley-terry", True), ("bradley-terry[draws=independent]", False)):
        small, large = (dense(generate(name, actions=n, seed=3)) for n in (10, 20))
        assert np.array_equal(small, large[:10, :10]) == related
    games = [generate("circulant", actions=n) for n in (9, 19)]
    for name, related in (("random", True), ("random[draws=independent]", False)):
        small, large = (resolve_reference(name, game, 3) for game in games)
        assert np.allclose(np.diff(small), np.diff(large)[:8]) == related


# What a family says that it was made from

WITHOUT_FEATURES = {
    "uniform", "random-logits", "tournament", "circulant", "weighted-cycle", "planted", "planted-regularised",
}  # fmt: skip


NOT_ALL_FEATURES = {"planted-log-linear", "spatial-voters", "sequence-voters"}
"""Families whose margins depend on more than the features."""


@pytest.mark.parametrize("name", NAMES)
def test_features_are_there_where_a_family_has_them(name):
    game = play(name, seed=1)
    assert (game.description.features is None) == (name in WITHOUT_FEATURES)
    assert game.features is None
    if name in WITHOUT_FEATURES:
        return
    assert "Features:" in inspect.getdoc(FAMILIES[name].build)
    assert game.description.features.dtype == np.float64
    assert game.description.features.shape[:-1] == (game.actions,)
    if name in RANDOM:
        several = play(f"{name}[contexts=3]", seed=1).description.features
        assert several.shape == (3, *game.description.features.shape)
        np.testing.assert_array_equal(several[0], game.description.features)
        assert not np.array_equal(several[0], several[1])


def of_rotations(left, right):
    return left @ right.T - right @ left.T


def from_features(name, phi):
    """The margins of a family as a formula of its features."""
    if name == "bradley-terry":
        return margin_of(phi - phi.T)
    if name == "disc":
        return margin_of(3 / math.sqrt(4) * of_rotations(phi[:, :2], phi[:, 2:]))
    if name == "melo":
        return margin_of(phi[:, :1] - phi[:, :1].T + of_rotations(phi[:, 1:3], phi[:, 3:]))
    if name == "embedding":
        return margin_of(3 * 2 * of_rotations(phi[:, 1::2], phi[:, 0::2]))
    if name == "blade-chest":
        scale = 3 / (2 * math.sqrt(2))
        return margin_of(scale * of_rotations(phi[:, :2], phi[:, 2:4]) + phi[:, 4:] - phi[:, 4:].T)
    if name == "group-transitive":
        group = phi[:, :3].argmax(axis=1)
        ahead = (group[None] - group[:, None]) % 3
        return np.select([ahead == 0, ahead == 1], [margin_of(phi[:, 3:] - phi[:, 3:].T), 0.5], -0.5)
    if name in ("sequence-embedding", "sequence-styles"):
        worth = 0.1 * phi[:, -2:].sum(axis=1)
        return margin_of(of_rotations(phi[:, :-2:2], phi[:, 1:-2:2]) + worth[:, None] - worth)
    if name == "skill":
        np.testing.assert_allclose(phi[:, 1], np.exp(-2 * np.linspace(1, 0, len(phi))))
        return 0.5 * (phi[:, :1] - phi[:, :1].T) / np.ptp(phi[:, 0])
    if name == "voters":
        return sum(np.sign(rank[None, :] - rank[:, None]) for rank in phi.T) / 6
    if name == "mallows":
        gap = phi[None] - phi[:, None]
        steps = np.abs(gap) + (gap == 0)
        ahead = (steps + 1) / (1 - 0.9 ** (steps + 1)) - steps / (1 - 0.9**steps) - 0.5
        return np.mean(np.sign(gap) * ahead, axis=-1)
    if name == "mixture":
        return np.mean([margin_of(r[:, None] - r[None]) for r in phi.T], axis=0)
    if name == "blotto":
        return np.sign(phi[:, None] - phi[None]).sum(axis=-1) / 2
    assert name == "bilinear"
    cyclic = of_rotations(phi[:, : phi.shape[1] // 2], phi[:, phi.shape[1] // 2 :])
    return 0.3 * cyclic / np.abs(cyclic).max()


SELECTIONS = {
    "disc": "disc[strength=3,planes=2]",
    "melo": "melo[planes=2,strength=2]",
    "embedding": "embedding[strength=3]",
    "blade-chest": "blade-chest[form=distance,strength=3]",
    "skill": "skill[width=0]",
    "bilinear": "bilinear[margin=0.3]",
}


@pytest.mark.parametrize("name", sorted(set(NAMES) - WITHOUT_FEATURES - NOT_ALL_FEATURES))
def test_margins_are_a_formula_of_the_features_in_every_context(name):
    selection = SELECTIONS.get(name, name)
    if name in RANDOM:
        selection = selection.removesuffix("]") + ("," if "[" in selection else "[") + "contexts=2]"
    game = play(selection, seed=4)
    phi = game.description.features.reshape(game.contexts, game.actions, -1)
    for values, of_context in zip(dense(game).reshape(game.contexts, game.actions, -1), phi, strict=True):
        np.testing.assert_allclose(from_features(name, of_context), values, atol=1e-12)


def test_streams_of_one_seed_are_not_shared():
    """The same numbers in two families, in two contexts or in the reference would look like a relation."""
    paths = [("game", name, place) for name in NAMES for place in (0, 1, "shared")]
    paths += [("reference", name) for name in REFERENCES] + [("weights", name) for name in NAMES]
    first = {stream(0, *path).standard_normal() for path in paths}
    assert len(first) == len(paths)
    assert stream(0, "game", "disc", 0).standard_normal() != stream(1, "game", "disc", 0).standard_normal()


# Formulas by hand


def test_uniform_entries():
    above = dense(generate("uniform", actions=300, seed=1))[np.triu_indices(300, 1)]
    assert scipy.stats.kstest(above, scipy.stats.uniform(-0.5, 1).cdf).pvalue > 0.01


def test_random_logits():
    above = dense(generate("random-logits[strength=2]", actions=300, seed=1))[np.triu_indices(300, 1)]
    assert scipy.stats.kstest(scipy.special.logit(above + 0.5), scipy.stats.norm(0, 2).cdf).pvalue > 0.01


def test_tournament():
    above = dense(generate("tournament[margin=0.3]", actions=300, seed=1))[np.triu_indices(300, 1)]
    assert set(above) == {0.3, -0.3}
    assert abs(np.mean(above > 0) - 0.5) < 4 / math.sqrt(4 * len(above))


def test_sharp_and_faint_logits_keep_their_digits():
    """½ tanh(S/2) is relatively exact for tiny S, where σ(S) − ½ has lost everything."""
    faint = dense(generate("random-logits[strength=1e-12]", actions=40))
    usual = dense(generate("random-logits[strength=1]", actions=40))
    off = ~np.eye(40, dtype=bool)
    np.testing.assert_allclose(faint[off] * 4e12, scipy.special.logit(usual[off] + 0.5), rtol=1e-9)
    assert np.abs(dense(generate("bradley-terry[strength=1e6]", actions=40)))[off].min() == 0.5


def test_bradley_terry():
    values, recipe = built(logit_families.bradley_terry, 7, strength=2.0)
    ratings = np.random.default_rng(5).standard_normal(7) * math.sqrt(2)
    np.testing.assert_allclose(values, by_hand(7, lambda i, j: margin_of(ratings[i] - ratings[j])), atol=1e-15)
    assert recipe.log_equilibrium.argmax() == ratings.argmax()


@pytest.mark.parametrize("n", [3, 5, 9])
def test_circulant(n):
    expected = np.zeros((n, n))
    for i in range(n):
        for step in range(1, (n - 1) // 2 + 1):
            expected[i, (i + step) % n] = 0.25
            expected[(i + step) % n, i] = -0.25
    game = generate("circulant[margin=0.25]", actions=n)
    np.testing.assert_array_equal(dense(game), expected)
    assert game.description.labels == (("rock", "scissors", "paper") if n == 3 else None)


def test_weighted_cycle_has_the_equilibrium_of_the_theory():
    game = generate("weighted-cycle[a12=-0.4,a23=-0.4,a31=-0.3]")
    values = dense(game)
    assert (values[0, 1], values[1, 2], values[2, 0]) == (-0.4, -0.4, -0.3)
    np.testing.assert_allclose(np.exp(game.description.known_equilibrium.log_policy), np.array([4, 3, 4]) / 11)
    uneven = generate("weighted-cycle", a12=0.1, a23=0.2, a31=0.5).description.known_equilibrium
    np.testing.assert_allclose(np.exp(uneven.log_policy), np.array([0.2, 0.5, 0.1]) / 0.8)
    assert uneven.beta == 0


def test_disc():
    values, _ = built(logit_families.disc, 6, strength=3.0, planes=2)
    u, v = np.random.default_rng(5).standard_normal((2, 6, 2))

    def logit(i, j):
        return sum(3 / math.sqrt(4) * (u[i, k] * v[j, k] - v[i, k] * u[j, k]) for k in range(2))

    np.testing.assert_allclose(values, by_hand(6, lambda i, j: margin_of(logit(i, j))), atol=1e-14)


@pytest.mark.parametrize("planes", [1, 3])
@pytest.mark.parametrize("cyclic", [0.0, 0.3, 1.0])
def test_melo_has_the_cyclic_share_it_was_given(cyclic, planes):
    game = generate("melo", actions=12, seed=2, strength=0.7, cyclic=cyclic, planes=planes)
    logits = scipy.special.logit(dense(game) + 0.5)
    ratings = logits.mean(axis=1)
    remainder = logits - (ratings[:, None] - ratings[None, :])
    assert np.sum(remainder**2) / np.sum(logits**2) == pytest.approx(cyclic, abs=1e-12)
    assert np.sum(logits**2) / (12 * 11) == pytest.approx(0.49, rel=1e-12)
    # A_ij < 0 for the action with the higher rating would be a turned sign.
    drawn = stream(2, "game", "melo", 0).standard_normal((12, 1))[:, 0]
    turned = stream(2, "game", "melo", 0)
    turned.standard_normal((12, 1))
    u, v = (x - x.mean(axis=0) for x in (turned.standard_normal((12, planes)), turned.standard_normal((12, planes))))
    if cyclic < 1:
        np.testing.assert_allclose(scipy.stats.pearsonr(ratings, drawn).statistic, 1)
    if cyclic > 0:
        np.testing.assert_allclose(scipy.stats.pearsonr(remainder.ravel(), (u @ v.T - v @ u.T).ravel()).statistic, 1)


def test_embedding_by_the_matrices_of_its_formula():
    shared, own = np.random.default_rng(9), np.random.default_rng(5)
    values = empty((6, 6), np.float64)
    recipe = logit_families.embedding(own, 6, shared=shared, strength=2.0, dimension=4, gates=0.5)
    fill_skew(values, recipe.block)
    vectors = np.random.default_rng(9).standard_normal((6, 4))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    gates = np.exp(0.5 * np.random.default_rng(5).standard_normal(2))
    gates *= 2 * math.sqrt(4 / np.mean(gates**2))
    root = np.diag(np.repeat(np.sqrt(gates), 2))
    rotation = np.kron(np.eye(2), [[0, -1], [1, 0]])
    expected = margin_of(vectors @ root @ rotation @ root @ vectors.T)
    np.testing.assert_allclose(values, expected, atol=1e-14)


def test_embedding_shares_its_vectors_between_contexts():
    """With equal gates nothing else is drawn for a context."""
    values = dense(generate("embedding[contexts=2,gates=0]", actions=8))
    np.testing.assert_array_equal(values[0], values[1])


@pytest.mark.parametrize("form", ["inner", "distance"])
def test_blade_chest(form):
    values, _ = built(logit_families.blade_chest, 6, form=form, strength=1.5, dimension=3, transitive=0.4)
    rng = np.random.default_rng(5)
    b, c = rng.standard_normal((2, 6, 3))
    r = rng.standard_normal(6) * 0.4 * math.sqrt(0.5)

    def logit(i, j):
        if form == "inner":
            part = (b[i] @ c[j] - b[j] @ c[i]) / math.sqrt(6)
        else:
            part = (np.sum((b[j] - c[i]) ** 2) - np.sum((b[i] - c[j]) ** 2)) / (4 * math.sqrt(3))
        return 1.5 * part + r[i] - r[j]

    np.testing.assert_allclose(values, by_hand(6, lambda i, j: margin_of(logit(i, j))), atol=1e-14)


LOGITS = ["bradley-terry", "random-logits", "disc[planes=3]", "melo", "embedding", "embedding[gates=0]"]
LOGITS += ["blade-chest[transitive=0]", "blade-chest[transitive=0,form=distance]"]


@pytest.mark.parametrize("selection", LOGITS)
def test_strength_is_the_root_mean_square_of_the_logits(selection):
    squares = []
    for seed in range(30):
        above = dense(generate(selection, actions=60, seed=seed, strength=1.5))[np.triu_indices(60, 1)]
        squares.append(np.mean((2 * np.arctanh(2 * above)) ** 2))
    assert math.sqrt(np.mean(squares)) == pytest.approx(1.5, rel=0.1)


def test_skill():
    values, _ = built(margin_families.skill, 6, width=0.5, taper=1.5)
    rng = np.random.default_rng(5)
    skills = sorted(rng.standard_normal(6), reverse=True)
    noise = recipes.gaussian(rng, 1.0)(slice(0, 6), slice(0, 6))
    narrow = [math.exp(-1.5 * (1 - i / 5)) for i in range(6)]

    def entry(i, j):
        if i >= j:
            return 0.0
        return skills[i] - skills[j] + 0.5 * math.sqrt(0.5) * noise[i, j] * narrow[i] * narrow[j]

    expected = by_hand(6, entry)
    expected = (expected - expected.T) / (2 * np.abs(expected).max())
    np.testing.assert_allclose(values, expected, atol=1e-15)
    assert np.abs(values).max() == 0.5


def test_skill_is_less_cyclic_at_the_top():
    values = dense(generate("skill[width=3,taper=4]", actions=200))
    upsets = np.triu(values < 0, 1)
    assert upsets[:60, :60].sum() < 0.3 * upsets[-60:, -60:].sum()


def test_group_transitive():
    values, recipe = built(margin_families.group_transitive, 8, groups=3, margin=0.3, strength=2.0)
    ladder = np.sort(np.random.default_rng(5).standard_normal(3) * math.sqrt(2))[::-1]
    places = [(g, k) for g, size in enumerate((3, 3, 2)) for k in range(size)]

    def entry(i, j):
        (g, k), (h, m) = places[i], places[j]
        if g == h:
            return margin_of(ladder[k] - ladder[m])
        return 0.3 if (h - g) % 3 == 1 else -0.3

    np.testing.assert_allclose(values, by_hand(8, entry), atol=1e-15)
    np.testing.assert_allclose(np.exp(recipe.log_equilibrium), np.array([1, 0, 0, 1, 0, 0, 1, 0]) / 3)


@pytest.mark.parametrize("shares", ["equal", "drawn"])
def test_voters_counted_one_by_one(shares):
    values, _ = built(margin_families.voters, 6, types=4, shares=shares)
    rng = np.random.default_rng(5)
    weights = np.full(4, 0.25) if shares == "equal" else rng.dirichlet(np.ones(4))
    ranks = [rng.permutation(6) for _ in range(4)]

    def preference(i, j):
        return 0.5 if i == j else sum(w for w, rank in zip(weights, ranks, strict=True) if rank[i] < rank[j])

    np.testing.assert_allclose(values, by_hand(6, preference) - 0.5, atol=1e-15)
    if shares == "equal":
        assert np.count_nonzero(values == 0) > 6  # two against two is an exact tie


def test_voters_of_one_mind():
    values = dense(generate("voters[types=7,shares=drawn]", actions=2, seed=1))
    assert np.abs(values).max() <= 0.5
    single = dense(generate("voters[types=1]", actions=9))
    assert set(single[np.triu_indices(9, 1)]) == {-0.5, 0.5}


@settings(max_examples=25, deadline=None)
@given(n=st.integers(2, 6), phi=st.floats(0.001, 0.999), seed=st.integers(0, 1000))
def test_mallows_against_all_permutations(n, phi, seed):
    values, _ = built(margin_families.mallows, n, seed=seed, components=2, phi=phi)
    rng = np.random.default_rng(seed)
    expected = np.zeros((n, n))
    for _ in range(2):
        centre = rng.permutation(n)
        total, wins = 0.0, np.zeros((n, n))
        for rank in itertools.permutations(range(n)):
            pairs = itertools.combinations(range(n), 2)
            distance = sum((rank[i] < rank[j]) != (centre[i] < centre[j]) for i, j in pairs)
            total += phi**distance
            wins += phi**distance * np.less.outer(rank, rank)
        expected += 0.5 * wins / total
    np.testing.assert_allclose(values, expected - 0.5 + 0.5 * np.eye(n), atol=1e-12)


@pytest.mark.parametrize("phi", [1e-300, 0.5, 0.95, 0.999, 1 - 1e-9])
def test_mallows_formula_of_the_theory_at_large_gaps(phi):
    """In exact rational arithmetic, because the printed formula cancels as φ → 1."""
    from fractions import Fraction

    values, _ = built(margin_families.mallows, 60, components=1, phi=phi)
    rank = np.random.default_rng(5).permutation(60)
    exact = Fraction(phi)

    def term(g):
        return g / (1 - exact**g)

    table = [float(term(g + 1) - term(g) - Fraction(1, 2)) for g in range(1, 60)]
    expected = by_hand(60, lambda i, j: np.sign(rank[j] - rank[i]) * table[abs(rank[j] - rank[i]) - 1])
    np.testing.assert_allclose(values, expected, rtol=1e-12, atol=1e-14)


def test_mixture():
    values, _ = built(margin_families.mixture, 6, components=3, strength=4.0, shares="drawn")
    rng = np.random.default_rng(5)
    weights = rng.dirichlet(np.ones(3))
    ratings = [rng.standard_normal(6) * 4 * math.sqrt(0.5) for _ in range(3)]

    def preference(i, j):
        return sum(w * scipy.special.expit(r[i] - r[j]) for w, r in zip(weights, ratings, strict=True))

    np.testing.assert_allclose(values, by_hand(6, preference) - 0.5, atol=1e-15)


@pytest.mark.parametrize(("soldiers", "fields"), [(2, 3), (3, 3), (5, 3), (4, 4), (3, 6), (7, 4)])
def test_blotto_against_every_duel(soldiers, fields):
    game = generate("blotto", soldiers=soldiers, fields=fields)
    deployments = [d for d in itertools.product(range(soldiers + 1), repeat=fields) if sum(d) == soldiers]
    labels = [tuple(map(int, label.split("-"))) for label in game.description.labels]
    assert sorted(labels) == sorted(deployments)
    assert labels[0] == (soldiers, *[0] * (fields - 1))
    differences = by_hand(
        len(labels), lambda i, j: sum(int(np.sign(a - b)) for a, b in zip(labels[i], labels[j], strict=True))
    )
    np.testing.assert_array_equal(dense(game), differences / (2 * differences.max()))


@settings(max_examples=40, deadline=None)
@given(data=st.data(), n=st.integers(2, 40), gap=st.floats(0.01, 2), seed=st.integers(0, 2**40))
def test_planted_equilibrium_is_one(data, n, gap, seed):
    support = data.draw(st.integers(0, n if n > 2 else 1))
    game = generate("planted", actions=n, support=support, gap=gap, seed=seed)
    values, log_policy = dense(game), game.description.known_equilibrium.log_policy
    policy = np.exp(log_policy)
    played = np.isfinite(log_policy)
    assert played.sum() == (support or {0: n // 2 - 1, 1: n // 2}[n // 2 % 2] or 1)
    assert policy.sum() == pytest.approx(1, abs=1e-14)
    against = values @ policy
    assert against.max() <= 1e-15
    assert np.all(against[~played] < -1e-4)


def test_planted_where_the_projection_leaves_little():
    """Three actions in a cycle whose margins nearly cancel: rescaling must not enlarge their rounding."""
    for seed in range(300):
        game = generate("planted", actions=3, support=3, seed=seed)
        assert (dense(game) @ np.exp(game.description.known_equilibrium.log_policy)).max() <= 1e-15


def test_planted_is_the_projection_of_the_theory():
    """Against (I − 1πᵀ) B (I − π1ᵀ) multiplied out by matrix products, plus the ratings −d."""
    values, recipe = built(margin_families.planted, 9, support=5, gap=0.2)
    rng = np.random.default_rng(5)
    policy = np.zeros(9)
    chosen = rng.choice(9, 5, replace=False)
    policy[chosen] = rng.dirichlet(np.ones(5))
    base = np.triu(recipes.independent(rng, lambda tile, shape: tile.random(shape) - 0.5)(slice(0, 9), slice(0, 9)), 1)
    base -= base.T
    left = np.eye(9) - np.outer(np.ones(9), policy)
    loss = 0.2 * (policy == 0)
    expected = left @ base @ left.T - loss[:, None] + loss[None, :]
    np.testing.assert_allclose(values, expected / (2 * np.abs(expected).max()), atol=1e-15)
    np.testing.assert_allclose(np.exp(recipe.log_equilibrium), policy, atol=1e-15)
    assert np.linalg.matrix_rank(values[np.ix_(policy > 0, policy > 0)]) == 4  # so that π* is the only equilibrium


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("beta", [1.0, 0.05, 0.001])
def test_planted_regularised_is_a_fixed_point(beta, dtype):
    game = generate("planted-regularised", actions=50, beta=beta, dtype=dtype, strength=2.0, spread=1.5, contexts=2)
    known = game.description.known_equilibrium
    assert (known.beta, game.beta) == (beta, beta)
    for values, log_reference, log_policy in zip(dense(game), game.log_reference, known.log_policy, strict=True):
        assert scipy.special.logsumexp(log_reference) == pytest.approx(0, abs=1e-12)
        response = scipy.special.log_softmax(log_reference + values.astype(np.float64) @ np.exp(log_policy) / beta)
        np.testing.assert_allclose(response, log_policy, atol=1e-12)


@pytest.mark.parametrize("beta", [1.0, 0.05, 0.001])
def test_planted_log_linear_by_its_formula(beta):
    values = empty((7, 7), np.float64)
    own, shared = np.random.default_rng(5), np.random.default_rng(9)
    recipe = margin_families.planted_log_linear(own, 7, beta=beta, shared=shared, planes=2, spread=1.5)
    fill_skew(values, recipe.block)
    phi = np.random.default_rng(5).standard_normal((7, 4))
    phi *= 2 / np.linalg.norm(phi, axis=1, keepdims=True)
    theta = np.random.default_rng(9).standard_normal(4)
    theta *= min(1.5, 1 / (16 * beta)) / np.linalg.norm(theta)
    policy = scipy.special.softmax(phi @ theta)
    rotation = np.kron([[0, 1], [-1, 0]], np.eye(2))
    centred = phi - policy @ phi
    cyclic = centred @ rotation @ centred.T
    expected = 0.25 * cyclic / np.abs(cyclic).max() + beta * np.subtract.outer(phi @ theta, phi @ theta)
    np.testing.assert_allclose(values, expected, atol=1e-14)
    np.testing.assert_array_equal(recipe.features, phi)
    np.testing.assert_allclose(recipe.log_equilibrium, np.log(policy), atol=1e-14)
    np.testing.assert_allclose(np.exp(recipe.log_reference(DenseMargins(values))), 1 / 7, atol=1e-15)


def test_bilinear_has_the_rank_and_the_margin_it_was_given():
    values = dense(generate("bilinear[planes=3,margin=0.4]", actions=20))
    assert np.linalg.matrix_rank(values) == 6
    assert np.abs(values).max() == 0.4


def test_any_policy_can_be_planted():
    values = dense(generate("circulant", actions=5))
    log_policy = np.log([0.1, 0.2, 0.3, 0.15, 0.25])
    log_reference = planting_reference(values, log_policy, 0.02)
    # The formula of the theory has P = A + ½ in the exponent; the constant is normalised away.
    direct = log_policy - (values + 0.5) @ np.exp(log_policy) / 0.02
    np.testing.assert_allclose(log_reference, direct - scipy.special.logsumexp(direct), atol=1e-12)
    with pytest.raises(NashGamesError, match="positive"):
        planting_reference(values, np.array([0, -np.inf, -np.inf, -np.inf, -np.inf]), 0.02)


@pytest.mark.parametrize("name", NAMES)
def test_known_equilibria_are_equilibria(name):
    game = play(name, seed=11)
    known = game.description.known_equilibrium
    expected = {"bradley-terry", "circulant", "weighted-cycle", "group-transitive", "planted", "planted-regularised"}
    assert (known is not None) == (name in expected | {"planted-log-linear"})
    if known is None:
        return
    policy = np.exp(known.log_policy)
    assert policy.sum() == pytest.approx(1)
    if known.beta > 0:
        response = scipy.special.log_softmax(game.log_reference + dense(game) @ policy / known.beta)
        np.testing.assert_allclose(response, known.log_policy, atol=1e-12)
    else:
        against = dense(game) @ policy
        assert against.max() <= 1e-15
        assert np.abs(against[policy > 0]).max() <= 1e-15


# Errors

ERRORS = [
    ("dics", {}, "did you mean 'disc'"),
    ("disc[strenth=1]", {}, "did you mean 'strength'"),
    ("disc", {"strenth": 1}, "did you mean 'strength'"),
    ("disc[strength=1]", {"strength": 1}, "give it once"),
    ("disc[strength=nan]", {}, "finite"),
    ("disc", {"strength": math.inf}, "finite"),
    ("disc", {"strength": True}, "a number"),
    ("disc[planes=1.5]", {}, "an integer"),
    ("disc", {"planes": 1.5}, "an integer"),
    ("disc[planes=0]", {}, "from 1 to 1,000"),
    ("disc[strength=-1]", {}, "from 0 to 1,000,000"),
    ("disc", {"seed": -1}, "at least 0"),
    ("disc", {"seed": 0.5}, "an integer"),
    ("disc", {"beta": 0}, "above 0"),
    ("disc", {"dtype": "float16"}, "float32, float64"),
    ("disc", {"dtype": np.int32}, "float32, float64"),
    ("disc", {"actions": 1}, "at least 2"),
    ("disc", {"actions": 2.5}, "an integer"),
    ("disc[contexts=0]", {}, "at least 1"),
    ("disc[weights=even]", {}, "uniform, drawn"),
    ("disc[draws=nest]", {}, "did you mean 'nested'"),
    ("circulant", {"actions": 100}, "99 or 101"),
    ("circulant", {"actions": 2}, "use 3"),
    ("circulant[margin=0.6]", {}, "at most 0.5"),
    ("circulant[contexts=2]", {}, "has no parameter"),
    ("weighted-cycle[a12=-0.1]", {}, "all three above 0"),
    ("weighted-cycle[a23=0.6]", {}, "from -0.5 to 0.5"),
    ("weighted-cycle", {"actions": 5}, "has 3"),
    ("tournament[margin=0]", {}, "above 0"),
    ("melo[cyclic=1.01]", {}, "from 0 to 1"),
    ("melo", {"actions": 2}, "no cycle"),
    ("embedding[dimension=5]", {}, "even"),
    ("blade-chest[form=outer]", {}, "inner, distance"),
    ("skill[taper=-1]", {}, "from 0 to 1,000"),
    ("group-transitive[groups=4]", {}, "odd"),
    ("group-transitive[groups=5]", {"actions": 4}, "at least 5"),
    ("voters[types=0]", {}, "from 1 to 1,000"),
    ("voters[shares=half]", {}, "equal, drawn"),
    ("mallows[phi=1]", {}, "below 1"),
    ("mallows[phi=0]", {}, "above 0"),
    ("mixture[components=1001]", {}, "from 1 to 1,000"),
    ("blotto[soldiers=0]", {}, "from 2 to 1,000"),
    ("blotto[fields=2]", {}, "from 3 to 100"),
    ("blotto", {"actions": 10}, "has 66"),
    ("planted[support=14]", {"actions": 13}, "from 0 to 13"),
    ("planted[gap=-1]", {}, "from 0 to 1,000,000"),
    ("planted[support=2]", {"actions": 2}, "use 1"),
    ("planted-regularised[spread=-1]", {}, "from 0 to 1,000,000"),
    ("planted-log-linear[spread=-1]", {}, "from 0 to 1,000,000"),
    ("planted-log-linear[planes=0]", {}, "from 1 to 1,000"),
    ("bilinear[margin=0.6]", {}, "at most 0.5"),
    ("bilinear[planes=0]", {}, "from 1 to 1,000"),
    ("disc[seed=-1]", {}, "disc[seed] is -1; accepted: an integer of at least 0"),
    ("disc[seed=1.5]", {}, "an integer"),
    ("blotto[soldiers=100,fields=10]", {}, "4,263,421,511,271"),
    ("blotto[soldiers=1000,fields=100]", {}, "e+134 TB"),
    ("uniform", {"actions": 10**200}, "4.000e+388 TB"),
]


@pytest.mark.parametrize(("selection", "arguments", "says"), ERRORS)
def test_a_mistake_is_one_sentence(selection, arguments, says, monkeypatch):
    monkeypatch.setattr(DenseMargins, "filled", lambda *_: pytest.fail("allocated before the mistake was found"))
    with pytest.raises(NashGamesError) as caught:
        generate(selection, **arguments)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_does_not_fit_is_refused_with_the_numbers(monkeypatch):
    memory = types.SimpleNamespace(available=3_000_000_000)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    with pytest.raises(NashGamesError) as caught:
        check_fits(20_000)
    assert "3.2 GB" in str(caught.value)
    assert "2.3 GB" in str(caught.value)
    assert "--dtype float32 (1.6 GB)" in str(caught.value)
    assert "at most 16,955 actions" in str(caught.value)
    check_fits(20_000, 1, np.float32)
    check_fits(16_955)
    with pytest.raises(NashGamesError, match="16,956"):
        check_fits(16_956)
    with pytest.raises(NashGamesError, match="2 contexts"):
        generate("uniform[contexts=2]", actions=16_000)


def test_parts_of_the_package_can_be_imported_first():
    """The package answers for its families by name; its modules are not among them."""
    code = (
        "import sys\n"
        "for name in ('families', 'tables'):\n"
        "    for loaded in [loaded for loaded in sys.modules if loaded.partition('.')[0] == 'nashgames']:\n"
        "        del sys.modules[loaded]\n"
        "    exec(f'from nashgames.games import {name}; print({name}.__name__)')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.split() == [f"nashgames.games.{name}" for name in ("families", "tables")], done.stderr


def test_an_unknown_function_is_an_attribute_error():
    with pytest.raises(AttributeError, match="dics"):
        _ = families.dics


@pytest.mark.parametrize("name", ["random-logits", "skill", "planted"])
def test_no_second_matrix_is_made(name):
    n = 2 * TILE + 500
    tracemalloc.start()
    try:
        game = generate(name, actions=n)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    values = dense(game)
    assert values.ctypes.data % 64 == 0
    assert peak < values.nbytes + 5 * 8 * TILE**2


# References


def test_uniform_and_tilted_references():
    game = generate("circulant", actions=3)
    np.testing.assert_allclose(resolve_reference("uniform", game), np.full(3, math.log(1 / 3)), atol=1e-15)
    tilted = resolve_reference("tilted", game)
    np.testing.assert_allclose(tilted, scipy.special.log_softmax([1.0, 0.0, -1.0]), atol=1e-15)
    steep = resolve_reference("tilted[span=-5]", generate("disc", actions=6))
    np.testing.assert_allclose(np.diff(steep), 1.0)


def test_random_reference_is_reproducible_and_apart_from_the_game():
    game = generate("bradley-terry", actions=200, seed=3)
    one, again = (resolve_reference("random[scale=2]", game, seed) for seed in (3, 3))
    other = resolve_reference("random[scale=2]", game, 4)
    np.testing.assert_array_equal(resolve_reference("random[scale=2,seed=3]", game, 4), one)
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)
    assert scipy.special.logsumexp(one) == pytest.approx(0, abs=1e-12)
    assert one.std() == pytest.approx(2, rel=0.2)
    ratings = np.arctanh(2 * dense(game)[:, 0])
    assert abs(scipy.stats.pearsonr(one, ratings).statistic) < 0.2
    plain = resolve_reference("random", game, 3)
    np.testing.assert_allclose(plain - plain.mean(), (one - one.mean()) / 2, atol=1e-12)


@pytest.mark.parametrize("name", list(REFERENCES))
def test_references_follow_contexts_and_are_documented(name):
    of_sequences = name in ("corpus", "fitted", "network")
    game = play("sequence-voters[contexts=3]") if of_sequences else generate("uniform[contexts=3]", actions=5)
    log_reference = resolve_reference("network[steps=1]" if name == "network" else name, game, 1)
    assert log_reference.shape == (3, game.actions)
    np.testing.assert_allclose(np.exp(log_reference).sum(axis=1), 1)
    assert (of_sequences or name == "random") == (not np.array_equal(log_reference[0], log_reference[1]))
    assert REFERENCES[name].name == name
    assert len(REFERENCES[name].summary) > 10
    assert all(len(parameter.help) > 10 for parameter in REFERENCES[name].parameters.values())


def test_a_game_keeps_the_reference_it_brings():
    game = generate("planted-regularised", actions=6)
    assert FAMILIES["planted-regularised"].brings_reference
    np.testing.assert_array_equal(resolve_reference("own", game), game.log_reference)
    with pytest.raises(NashGamesError, match="use own"):
        resolve_reference("uniform", game)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("uniforn", "did you mean 'uniform'"),
        ("random[scale=-1]", "from 0 to 1,000,000"),
        ("random[size=1]", "Accepted: scale"),
        ("tilted[span=inf]", "finite"),
        ("tilted[span=1", "]"),
        ("random[draws=apart]", "nested, independent"),
    ],
)
def test_a_mistaken_reference_is_one_sentence(text, says):
    with pytest.raises(NashGamesError) as caught:
        resolve_reference(text, generate("circulant"))
    assert says in str(caught.value)


@pytest.mark.parametrize("text", ["prior.csv", "folder/prior", "prior.npy", "plain"])
def test_anything_else_is_a_file(text, monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(tables, "read_reference", lambda path, game: asked.append((path, game)) or "read")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plain").write_text("")
    game = make_game(dense(generate("circulant")))
    assert resolve_reference(text, game) == "read"
    assert asked == [(text, game)]


def test_a_reference_that_is_not_there_is_offered_what_can_be_read(tmp_path):
    """The plan and the game say the same, and a file that cannot be read is not offered."""
    np.save(tmp_path / "prior.npy", np.full(3, 1 / 3))
    for find in (lambda text: resolve_reference(text, generate("circulant")), find_reference):
        with pytest.raises(NashGamesError, match=r"own, a path ending in \.csv or \.parquet$"):
            find("nonsense")
        with pytest.raises(NashGamesError, match=r"ends in '\.npy'; accepted: \.csv, \.parquet"):
            find(str(tmp_path / "prior.npy"))
