"""Games of any size: which storage they have, the same game in each of them, and what is said of what is not read."""

import numpy as np
import pytest

import nashgames as ng
from nashgames.core.game import Description
from nashgames.core.margins import STORAGES, DenseMargins
from nashgames.defaults import STORAGES as NAMES
from nashgames.defaults import UNLISTED
from nashgames.errors import NashGamesError
from nashgames.exact.certificate import certify
from nashgames.experiments.sources import find_source
from nashgames.games import properties
from nashgames.games.families import FAMILIES, generate, recipes, storing
from nashgames.games.properties import facts
from nashgames.games.streams import stream
from nashgames.memory import Room
from nashgames.verification import Report, verify
from tests.games import small

FORMULAS = {
    "bradley-terry": "streamed",
    "disc[planes=2]": "streamed",
    "disc[link=linear]": "lowrank",
    "melo": "streamed",
    "melo[link=linear,planes=2]": "lowrank",
    "embedding": "streamed",
    "embedding[link=linear]": "lowrank",
    "blade-chest": "streamed",
    "blade-chest[form=distance,link=linear]": "lowrank",
    "voters[shares=drawn,types=4]": "streamed",
    "spatial-voters": "streamed",
    "blotto[soldiers=6,fields=4]": "streamed",
    "bilinear": "lowrank",
    "sequence-embedding": "streamed",
    "sequence-embedding[link=linear]": "lowrank",
    "sequence-voters": "streamed",
    "sequence-styles": "streamed",
    "sequence-styles[link=linear]": "lowrank",
    "planted-log-linear": "lowrank",
    "planted-regularised[base=disc]": "streamed",
}


@pytest.mark.parametrize("selection", FORMULAS)
@pytest.mark.parametrize("contexts", [1, 2])
def test_a_formula_gives_the_entries_of_the_dense_game(selection, contexts):
    if contexts > 1 and selection.startswith("blotto"):
        pytest.skip("blotto draws nothing and has no contexts")
    several = {"contexts": contexts} if contexts > 1 else {}
    size = None if selection.startswith(("blotto", "sequence")) else 30
    several = small(selection) | several
    dense, other = (
        generate(selection, actions=size, seed=3, storage=kind, **several) for kind in ("dense", FORMULAS[selection])
    )
    assert (dense.margins.storage, other.margins.storage) == ("dense", FORMULAS[selection])
    np.testing.assert_allclose(other.margins.to_dense(), dense.margins.to_dense(), atol=1e-14)
    np.testing.assert_allclose(other.log_reference, dense.log_reference, atol=1e-12)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_with_a_formula_says_so_and_no_other(name):
    family = FAMILIES[name]
    values = {key: parameter.default for key, parameter in family.parameters.items()} | small(name)
    form, size = family.form(**values), family.size and family.size(**values)
    recipe = family.build(
        np.random.default_rng(0),
        size or 9,
        **{key: value for key, value in values.items() if key not in ("contexts", "weights", "seed", "draws", "beta")},
        **({"beta": 0.1} if family.takes_beta else {}),
        **({"shared": np.random.default_rng(1)} if family.shared else {}),
    )
    has = "lowrank" if recipe.factors is not None else "streamed" if recipe.formula is not None else None
    assert (None if form is None else form.storage) == has
    if form is not None:
        game = generate(name, storage=has, actions=None if size else 9, **small(name))
        n = game.actions
        # A number of an order or a deployment may take fewer bytes than one of the run's dtype.
        assert 0 < game.margins.nbytes <= storing.bytes_of(has, form, n, 1, 8) <= 3 * 8 * n * form.numbers


def test_a_storage_follows_from_the_number_of_actions_alone():
    disc, noise = (find_source(text) for text in ("disc", "random-logits"))
    assert [disc.storage(n, "auto") for n in (100, 16_384, 16_385)] == ["dense", "dense", "streamed"]
    assert [noise.storage(n, "auto") for n in (16_384, 16_385)] == ["dense", "packed"]
    assert find_source("disc[link=linear]").storage(20_000, "auto") == "lowrank"
    assert find_source("blotto[soldiers=20,fields=6]").storage(None, "auto") == "streamed"
    assert find_source("castles").storage(None, "auto") == "dense"
    assert disc.storage(100, "half") == "half"


@pytest.mark.parametrize(
    ("selection", "asked", "says"),
    [
        ("random-logits", "lowrank", "storage is lowrank, which needs margins that are bilinear in features"),
        ("disc", "lowrank", "use streamed, or one of those that keep all entries: dense, half, packed"),
        ("bilinear", "streamed", "use lowrank"),
        ("castles", "streamed", "castles has none; use one of dense"),
    ],
)
def test_a_storage_without_its_formula_is_refused(selection, asked, says):
    with pytest.raises(NashGamesError, match=says):
        find_source(selection).storage(None, asked)


def test_what_does_not_fit_is_offered_the_storage_that_does(monkeypatch):
    monkeypatch.setattr(storing, "room", lambda: Room(3_000_000_000))
    with pytest.raises(NashGamesError) as caught:
        generate("random-logits", actions=20_000, storage="dense")
    assert "3.2 GB of memory for its dense margins" in str(caught.value)
    assert "use --storage packed (1.71 GB), or --dtype float32 (1.6 GB), or at most 16,955 actions" in str(caught.value)
    with pytest.raises(NashGamesError, match=r"use --storage streamed \(.* KB\)"):
        generate("disc", actions=50_000, storage="dense")
    assert generate("disc", actions=50_000).margins.storage == "streamed"


@pytest.mark.parametrize("n", [30, 400])
def test_the_largest_entry_of_a_product_is_found_among_few(n, monkeypatch):
    rng = np.random.default_rng(n)
    left, right = rng.standard_normal((2, n, 2))
    left *= [1.0, 50.0]
    entries = np.abs(left @ right.T - right @ left.T)
    assert recipes.largest_entry(left, right) == pytest.approx(entries.max(), rel=1e-14)
    monkeypatch.setattr(recipes, "_LISTED", n // 2)
    monkeypatch.setattr(recipes, "_LONGEST", 16)
    found = recipes.largest_entry(left, right)
    monkeypatch.setattr(recipes, "_LISTED", 2)
    bound = recipes.largest_entry(left, right)
    assert found == pytest.approx(entries.max(), rel=1e-14) or found == bound
    assert entries.max() <= bound <= 3 * entries.max()


def test_the_largest_entry_of_zeros_is_one():
    assert recipes.largest_entry(np.zeros((4, 1)), np.ones((4, 1))) == 1


def test_voters_in_space_prefer_who_is_closer():
    game = generate("spatial-voters[dimension=3,electors=5]", actions=12, seed=2)
    positions = game.description.features
    # Drawn anew as the family draws them: voters first.
    rng = stream(2, "game", "spatial-voters", 0)
    voters = rng.standard_normal((5, 3))
    np.testing.assert_array_equal(rng.standard_normal((12, 3)), positions)
    distance = np.linalg.norm(positions[:, None] - voters[None], axis=-1)
    closer = (distance[:, None] < distance[None]).mean(axis=-1)
    np.testing.assert_allclose(
        game.margins.to_dense()[~np.eye(12, dtype=bool)], (closer - 0.5)[~np.eye(12, dtype=bool)]
    )


def test_a_planted_disc_game_has_its_equilibrium():
    game = generate("planted-regularised[base=disc]", actions=40, seed=1, beta=0.2, storage="streamed")
    known = game.description.known_equilibrium
    assert known is not None
    assert certify(game, known.log_policy).residual < 1e-12


@pytest.mark.parametrize("selection", ["disc", "spatial-voters", "bradley-terry", "uniform", "voters[types=2]"])
def test_the_facts_of_a_large_game_agree_with_those_of_all_entries(selection, monkeypatch):
    game = generate(selection, actions=300, seed=1)
    exact = facts(game)
    monkeypatch.setattr(properties, "_LISTED", 100)
    sampled = facts(game)
    assert sampled.condorcet_winner == exact.condorcet_winner
    np.testing.assert_allclose(sampled.ratings, exact.ratings, atol=1e-14)
    # Six standard errors of a share of ½ over 500,000 triples; the energy has those of its pairs.
    assert sampled.cyclic_triples == pytest.approx(exact.cyclic_triples, abs=6 * 0.0007)
    assert sampled.cyclic_energy == pytest.approx(exact.cyclic_energy, abs=0.01)
    assert sampled.cyclic_energy + sampled.transitive_energy == pytest.approx(1)
    assert sampled.max_margin <= exact.max_margin
    assert (exact.energies_sampled, sampled.energies_sampled) == (False, True)


def test_a_condorcet_winner_is_found_by_rounds_and_a_tie_is_none():
    ladder = DenseMargins(np.sign(np.subtract.outer(np.arange(7), np.arange(7))) / 4)
    assert properties._condorcet_winner(ladder) == 6
    tied = ladder.to_dense().copy()
    tied[6, 2] = tied[2, 6] = 0
    assert properties._condorcet_winner(DenseMargins(tied)) is None


def test_the_storages_have_the_names_that_options_accept():
    assert list(NAMES) == list(STORAGES)


@pytest.mark.parametrize("storage", [name for name in STORAGES if name != UNLISTED])
def test_a_run_says_its_storage_and_is_verified_in_it(storage, tmp_path):
    game = {"lowrank": "bilinear", "streamed": "disc"}.get(storage, "tournament")
    result = ng.solve(game, "nash-mp", beta=0.3, actions=12, storage=storage, tolerance=1e-8)
    assert set(result.runs["storage"]) == {storage}
    assert set(result.runs["status"]) == {"converged"}
    plain = ng.solve(game, "nash-mp", beta=0.3, actions=12, tolerance=1e-8)
    np.testing.assert_allclose(result.runs["suboptimality"], plain.runs["suboptimality"], rtol=1e-6)
    assert (set(result.runs["run_id"]) == set(plain.runs["run_id"])) == (storage == "dense")
    (report,) = [told for told in verify(result.save(tmp_path / "kept")) if isinstance(told, Report)]
    assert report.ok, report


def test_a_game_of_ones_own_is_stored_as_asked():
    game = ng.make_game(generate("tournament", actions=9).margins, description=Description("mine"))
    assert set(ng.solve(game, "nash-mp", queries=20, storage="packed").runs["storage"]) == {"packed"}
    assert set(ng.solve(game, "nash-mp", queries=20).runs["storage"]) == {"dense"}
    with pytest.raises(NashGamesError, match="lowrank"):
        ng.solve(game, "nash-mp", queries=20, storage="lowrank")
