"""What policies see of actions: the games' own numbers, singular vectors of A, and what a class can represent."""

import math
import tracemalloc

import numpy as np
import pytest
import scipy.linalg

from nashgames.core.game import make_game
from nashgames.core.margins import DenseMargins
from nashgames.errors import NashGamesError
from nashgames.exact.referee import equilibrium
from nashgames.games import tables
from nashgames.games.families import FAMILIES, generate
from nashgames.learning import features
from nashgames.learning.features import KINDS, representation_error, resolve_features
from tests.games import random_margins


def dense(game):
    return np.asarray(game.margins.to_dense())


def projector(columns):
    basis = scipy.linalg.orth(columns)
    return basis @ basis.T


def missed(game, kind, dimension=None, seed=0):
    """How far the game's equilibrium is from the log-linear policies in these features."""
    found = equilibrium(game)
    assert found.converged
    return representation_error(resolve_features(kind, dimension, game, seed), game.log_reference, found.log_policy)


# One contract for every kind


@pytest.mark.parametrize("contexts", [1, 3])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "none"])
def test_every_kind_has_a_shape_and_a_size_and_is_the_same_again(kind, contexts):
    game = generate(f"disc[contexts={contexts},planes=2]", actions=12, seed=1)
    found = resolve_features(kind, None, game, seed=5)
    expected = {"auto": 4, "own": 4, "identity": 12 * contexts}.get(kind, 10)
    assert found.shape == ((12, expected) if contexts == 1 else (3, 12, expected))
    assert found.dtype == np.float64
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found, resolve_features(kind, None, game, seed=5))
    if kind == "identity":
        np.testing.assert_array_equal(found.reshape(-1, expected), np.eye(expected))
    else:
        np.testing.assert_allclose(np.mean(found.reshape(-1, expected) ** 2, axis=0), 1)
    # Only random features are drawn.
    other = resolve_features(kind, None, game, seed=6)
    assert np.array_equal(found, other) == (kind != "random")


@pytest.mark.parametrize("kind", ["auto", "own", "spectral", "random"])
def test_a_dimension_is_how_many_there_are(kind):
    game = generate("disc[planes=2]", actions=12)
    assert resolve_features(kind, 3, game).shape == (12, 3)
    np.testing.assert_array_equal(resolve_features("own", 3, game), resolve_features("own", None, game)[:, :3])


def test_without_features_there_are_none():
    assert resolve_features("none", None, generate("disc", actions=4)) is None


def test_auto_is_own_where_there_are_features_and_else_spectral():
    with_own, without = generate("disc", actions=9), generate("random-logits", actions=9)
    np.testing.assert_array_equal(resolve_features("auto", None, with_own), resolve_features("own", None, with_own))
    np.testing.assert_array_equal(resolve_features("auto", None, without), resolve_features("spectral", None, without))
    real = tables.load("soccer10")
    np.testing.assert_array_equal(resolve_features("auto", 4, real), resolve_features("spectral", 4, real))


def test_own_features_are_those_of_the_description_up_to_their_size():
    game = generate("mixture[contexts=2]", actions=7, seed=3)
    given, found = game.description.features, resolve_features("own", None, game)
    for column in range(3):
        ratio = found[..., column] / given[..., column]
        assert np.ptp(ratio) < 1e-12
        assert ratio.ravel()[0] > 0


def test_a_feature_that_is_nothing_stays_nothing():
    game = generate("melo[cyclic=1]", actions=7)
    assert not resolve_features("own", None, game)[:, 0].any()
    assert not resolve_features("spectral", None, make_game(np.zeros((4, 4)))).any()


# Spectral features


@pytest.mark.parametrize("dimension", [2, 4, 10])
def test_spectral_features_span_the_leading_left_singular_vectors(rng, dimension):
    margins = random_margins(rng, 15)
    found = resolve_features("spectral", dimension, make_game(margins))
    leading = np.linalg.svd(margins)[0][:, :dimension]
    np.testing.assert_allclose(projector(found), projector(leading), atol=1e-12)
    np.testing.assert_allclose(found.T @ found / 15, np.eye(dimension), atol=1e-12)


@pytest.mark.parametrize("selection", ["uniform", "tournament", "circulant", "uniform[contexts=2]"])
@pytest.mark.parametrize("dimension", [3, 6])
def test_another_basis_of_equal_singular_values_gives_the_same_features(selection, dimension, monkeypatch, rng):
    """Singular values of a skew matrix come in pairs: whatever rotation of a plane comes out is as good as another."""
    game = generate(selection, actions=15)
    plain = resolve_features("spectral", dimension, game)
    svd = np.linalg.svd

    def turned(matrix, **options):
        left, values, right = svd(matrix, **options)
        start = 0
        while start < len(values):
            stop = start + int(np.sum(values[start:] > values[start] * (1 - 1e-10) - 1e-13))
            rotation = np.linalg.qr(rng.standard_normal((stop - start, stop - start)))[0]
            left[:, start:stop] = left[:, start:stop] @ rotation
            right[start:stop] = rotation.T @ right[start:stop]
            start = stop
        return left, values, right

    monkeypatch.setattr(np.linalg, "svd", turned)
    again = resolve_features("spectral", dimension, game)
    np.testing.assert_allclose(again, plain, atol=1e-10)


@pytest.mark.parametrize(("actions", "in_full"), [(40, True), (301, False)])
@pytest.mark.parametrize("selection", ["uniform", "disc[planes=2]", "uniform[contexts=3]", "circulant", "tournament"])
def test_large_games_have_the_same_features_by_way_of_eigenvectors(selection, actions, in_full, monkeypatch):
    """Few features of many actions by products with A alone; many of few from AᵀA."""
    game = generate(selection, actions=actions if selection != "circulant" else actions | 1, seed=2)
    usual = resolve_features("spectral", 5, game)
    monkeypatch.setattr(features, "_DENSE", 10)
    monkeypatch.setattr(np.linalg, "svd", lambda *_, **__: pytest.fail("a decomposition in full"))
    asked, eigh = [], scipy.linalg.eigh
    monkeypatch.setattr(scipy.linalg, "eigh", lambda *given, **options: asked.append(1) or eigh(*given, **options))
    np.testing.assert_allclose(resolve_features("spectral", 5, game), usual, atol=1e-8)
    assert bool(asked) == in_full


def test_few_features_of_a_large_game_need_no_second_matrix(monkeypatch):
    game = generate("disc[planes=2]", actions=1500, dtype="float32")
    monkeypatch.setattr(DenseMargins, "to_dense", lambda _: pytest.fail("all of A at once"))
    tracemalloc.start()
    try:
        found = resolve_features("spectral", 4, game)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert np.all(np.isfinite(found))
    assert peak < game.margins.nbytes


def test_features_beyond_the_rank_are_zero_in_both_ways(monkeypatch):
    game = generate("bilinear[planes=2]", actions=20)
    for dense_up_to in (1000, 10):
        monkeypatch.setattr(features, "_DENSE", dense_up_to)
        found = resolve_features("spectral", 7, game)
        assert np.count_nonzero(np.abs(found).sum(axis=0)) == 4
        assert not found[:, 4:].any()


def test_float32_margins_have_the_rank_of_their_rounding():
    wide, narrow = (generate("bilinear[planes=1]", actions=20, dtype=dtype) for dtype in ("float64", "float32"))
    found = resolve_features("spectral", 2, narrow)
    np.testing.assert_allclose(found, resolve_features("spectral", 2, wide), atol=1e-5)


def test_over_contexts_a_feature_is_the_margin_against_one_direction():
    """φ(x, ·) = A_x W with one W for all contexts: it means the same in each of them."""
    game = generate("random-logits[contexts=4]", actions=8, seed=1)
    found = resolve_features("spectral", 3, game)
    stack = dense(game).reshape(-1, 8)
    directions = np.linalg.lstsq(stack, found.reshape(-1, 3))[0]
    np.testing.assert_allclose(np.einsum("xij,jk->xik", dense(game), directions), found, atol=1e-12)
    # Contexts in another order have their features in that order.
    other = make_game(dense(game)[::-1].copy())
    np.testing.assert_allclose(resolve_features("spectral", 3, other), found[::-1], atol=1e-12)


# What a class can represent


def test_the_distance_to_a_class_against_a_regression_with_a_constant_for_every_context(rng):
    for shape, of_features in (((9,), (9, 2)), ((3, 9), (3, 9, 2)), ((3, 9), (9, 2))):
        phi, log_mu, log_star = (rng.standard_normal(s) for s in (of_features, shape, shape))
        contexts = shape[0] if len(shape) == 2 else 1
        rows = np.broadcast_to(phi, (contexts, 9, 2)).reshape(-1, 2)
        design = np.hstack([rows, np.kron(np.eye(contexts), np.ones((9, 1)))])
        target = (log_star - log_mu).ravel()
        expected = np.abs(target - design @ scipy.linalg.lstsq(design, target)[0]).max()
        assert representation_error(phi, log_mu, log_star) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("beta", [1.0, 0.1, 0.01])
def test_bilinear_games_have_their_equilibria_in_the_class_of_their_own_features(beta, rng):
    game = generate("bilinear[planes=2]", actions=30, seed=4, beta=beta)
    tilted = game.replace(log_reference=np.log(rng.dirichlet(np.ones(30))))
    for played in (game, tilted):
        assert missed(played, "own") < 1e-10
        assert missed(played, "spectral", 4) < 1e-10
        assert missed(played, "identity") < 1e-10
        for kind, dimension in (("own", 3), ("spectral", 2), ("random", 4)):
            assert missed(played, kind, dimension) > 1e-4


def test_a_disc_game_with_few_features_has_its_equilibrium_outside_of_the_class():
    """Its logits are bilinear in two features, its margins are not."""
    game = generate("disc[strength=3]", actions=30, beta=0.1)
    assert missed(game, "own") > 0.1
    assert missed(game, "spectral", 2) > 0.1
    assert missed(game, "spectral", 30) < 1e-8


@pytest.mark.parametrize("beta", [1.0, 0.05, 0.002])
@pytest.mark.parametrize("contexts", [1, 4])
def test_one_theta_represents_every_context_of_a_planted_log_linear_game(beta, contexts):
    game = generate("planted-log-linear", actions=20, seed=2, beta=beta, contexts=contexts)
    assert missed(game, "own") < 1e-10
    known = game.description.known_equilibrium.log_policy
    assert representation_error(resolve_features("own", None, game), game.log_reference, known) < 1e-10
    assert missed(game, "random") > 1e-3


def test_contexts_of_bilinear_games_have_a_theta_each():
    game = generate("bilinear[contexts=3]", actions=20, beta=0.1)
    assert missed(game, "own") > 0.1
    found, phi = equilibrium(game), resolve_features("own", None, game)
    for x in range(3):
        assert representation_error(phi[x], game.log_reference[x], found.log_policy[x]) < 1e-10


# Errors


@pytest.mark.parametrize(
    ("kind", "dimension", "game", "says"),
    [
        ("spektral", None, "disc", "did you mean 'spectral'"),
        ("own", None, "random-logits", "random-logits has no features"),
        ("own", 3, "disc", "use at most 2"),
        ("auto", 3, "disc", "use at most 2"),
        ("spectral", 13, "disc", "use at most 12"),
        ("spectral", 0, "disc", "at least 1"),
        ("random", -1, "disc", "at least 1"),
        ("random", 10**8, "disc", "12 × 100,000,000 numbers"),
        ("identity", 4, "disc", "leave dimension out"),
        ("none", 4, "disc", "leave dimension out"),
        ("identity", None, "disc[contexts=1000]", "use spectral"),
    ],
)
def test_a_mistake_is_one_sentence(kind, dimension, game, says):
    with pytest.raises(NashGamesError) as caught:
        resolve_features(kind, dimension, generate(game, actions=12), 0)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_policy_without_all_actions_is_refused():
    with pytest.raises(NashGamesError, match="probability 0"):
        representation_error(np.ones((2, 1)), np.log([0.5, 0.5]), np.array([0.0, -math.inf]))


@pytest.mark.parametrize("name", [name for name, family in FAMILIES.items() if family.takes_actions])
def test_every_family_has_features_of_some_kind(name):
    game = generate(name, actions=13, seed=1)
    assert np.isfinite(resolve_features("auto", None, game)).all()
