"""An experiment stands for these runs, with these identities, and they share programs like this."""

import itertools
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from nashgames.core.precision import Precision
from nashgames.engine.settings import Settings
from nashgames.errors import NashGamesError
from nashgames.experiments.batches import batches_of, check_memory, game_chunks
from nashgames.experiments.experiment import Experiment, load_preset, presets
from nashgames.experiments.plan import plan, settings_of
from nashgames.experiments.sources import find_source
from nashgames.games import families
from nashgames.solvers import selection_of


def planned(**values):
    """The runs and notes of an experiment that is one small run but for what is given."""
    experiment = Experiment(**({"game": "circulant", "solver": "nash-mp", "queries": 100} | values))
    return plan(experiment, settings_of(experiment))


def run_ids(**values):
    return [run.run_id for run in planned(**values)[0]]


@pytest.fixture
def table(tmp_path, monkeypatch):
    """wins.csv in the current folder, a preference game of three actions."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "wins.csv"
    path.write_text("0.5,0.9,0.2\n0.1,0.5,0.9\n0.8,0.1,0.5\n")
    return path


# -- identities --------------------------------------------------------------------------------------------------------


def test_a_run_carries_everything_that_it_is_told_by():
    ((run,), notes) = planned(
        game=" disc[ strength = 2.0 ]", solver="nash-mp[eta=0.20]", beta=0.1, actions=7, reference="tilted[span=1.0]",
        seed=5,
    )  # fmt: skip
    assert re.fullmatch("[0-9a-f]{12}", run.run_id)
    assert (run.source.text, run.reference, run.seed) == ("disc[strength=2]", "tilted[span=1]", 5)
    assert (run.beta, selection_of(run.solver), run.actions) == (0.1, "nash-mp[eta=0.2]", 7)
    assert notes == []


def test_solvers_get_the_numbers_of_theory_for_their_beta():
    runs, _ = planned(beta=[0.5, 0.1], solver=["nash-mp", "average[nash-mp]", "nash-prox[inner=7]"])
    assert [selection_of(run.solver) for run in runs[:2]] == ["nash-mp[eta=1]", "average[nash-mp[eta=1]]"]
    assert selection_of(runs[3].solver) == "nash-mp[eta=0.2]"
    assert selection_of(runs[2].solver) == "nash-prox[eta=4,inner=7,kappa=1]"
    assert [run.step_source for run in runs[:3]] == ["theory", "theory", "curvature"]


SAME = [
    ({"game": "disc[strength=2]"}, {"game": "disc[strength=2.0]"}),
    ({"game": "embedding[gates=2,strength=2]"}, {"game": "embedding[strength=2,gates=2]"}),
    ({"game": "disc", "actions": 100}, {"game": "disc"}),
    ({"game": "circulant", "reference": "own"}, {"game": "circulant", "reference": "uniform"}),
    ({"beta": 0.05}, {"beta": "5e-2"}),
    ({"solver": "nash-mp[eta=0.1]", "beta": 0.05}, {"solver": "nash-mp", "beta": 0.05}),
    ({"queries": None, "beta": 0.05}, {"queries": 2000, "beta": 0.05}),
    ({"name": "one"}, {"name": "another"}),
]

OTHER = [
    {"game": "circulant[margin=0.3]"},
    {"game": "disc"},
    {"actions": 5},
    {"reference": "tilted"},
    {"reference": "tilted[span=3]"},
    {"seed": 1},
    {"beta": 0.06},
    {"solver": "nash-mp[eta=0.3]"},
    {"solver": "mirror-descent"},
    {"solver": "average[nash-mp]"},
    {"queries": 102},
    {"tolerance": 1e-9},
    {"records": 50},
    {"record_every": 3},
    {"dtype": "float32"},
    {"device": "gpu"},
    {"feedback": "duels"},
    {"feedback": "duels[batch=2]"},
    {"feedback": "duels[label=probability]"},
    {"feedback": "duels", "queries": None, "comparisons": 500},
    {"feedback": "duels", "queries": None, "comparisons": 501},
    {"start": "equilibrium"},
    {"start": "equilibrium[distance=0.1]"},
    {"solver": "online-ipo"},
    {"solver": "online-ipo", "policy": "log-linear"},
    {"solver": "online-ipo", "policy": "mlp[width=4]"},
    {"solver": "online-ipo", "optimiser": "adam"},
    {"solver": "online-ipo", "optimiser": "sgd[clip=1]"},
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_two_ways_to_ask_for_one_run_are_one_run(one, other):
    assert run_ids(**one) == run_ids(**other)


def test_whatever_changes_the_rows_changes_the_run_id():
    ids = [run_ids(**values)[0] for values in [{}, *OTHER]]
    assert len(set(ids)) == len(ids)


def test_order_and_company_change_no_run_id():
    values = {
        "solver": ["nash-mp", "nash-mp[eta=0.3]", "online-ipo"],
        "beta": [0.5, 0.1],
        "seeds": 2,
        "actions": [3, 5],
    }
    forwards = run_ids(game=["random-logits", "circulant"], **values)
    backwards = run_ids(
        game=["circulant", "random-logits"],
        **{key: value[::-1] if isinstance(value, list) else value for key, value in values.items()},
    )
    assert sorted(forwards) == sorted(backwards)
    assert forwards != backwards
    assert run_ids(solver="nash-mp[eta=0.3]", beta=0.1, actions=5)[0] in forwards


def test_a_run_that_is_asked_for_twice_is_played_once():
    runs, notes = planned(beta=0.05, solver=["nash-mp", "nash-mp[eta=0.1]"], reference=["own", "uniform"])
    assert len(runs) == 1
    assert notes == [
        "nash-mp[eta=0.1] on circulant at β = 0.05 is asked for twice: it is played once",
        "nash-mp on circulant at β = 0.05 is asked for twice: it is played once",
    ]


@pytest.mark.parametrize(
    ("told", "short"),
    [
        ({"game": "disc[strength=1.0,planes=1]"}, {"game": "disc"}),
        ({"game": "castles[score=win,round=all]"}, {"game": "castles"}),
        ({"reference": "random[scale=1]"}, {"reference": "random"}),
        ({"reference": "tilted[span=2]"}, {"reference": "tilted"}),
    ],
)
def test_a_default_that_is_spelt_out_changes_nothing(told, short):
    assert run_ids(**told) == run_ids(**short)


def test_the_bytes_of_a_file_are_part_of_the_run(table):
    first, again = run_ids(game="wins.csv"), run_ids(game="./wins.csv")
    assert first != again, "a path is shown as it was given"
    table.write_text(table.read_text().replace("0.9", "0.8").replace("0.1", "0.2"))
    assert run_ids(game="wins.csv") != first
    reference = table.with_name("mu.csv")
    reference.write_text("probability\n0.2\n0.3\n0.5\n")
    one = run_ids(reference="mu.csv")
    reference.write_text("probability\n0.3\n0.2\n0.5\n")
    assert run_ids(reference="mu.csv") != one


def test_a_label_is_the_name_until_two_variants_share_it():
    solvers = ["nash-mp", "mirror-descent[step=0.20]", "online-ipo[step=1]", "online-ipo", "average[online-ipo]"]
    labels = {run.label: selection_of(run.solver) for run in planned(solver=solvers)[0]}
    assert list(labels) == ["nash-mp", "mirror-descent", "online-ipo[step=1]", "online-ipo", "average[online-ipo]"]
    assert labels["mirror-descent"] == "mirror-descent[step=0.2]"


# -- seeds, sizes, references ------------------------------------------------------------------------------------------


def test_seeds_are_runs_where_something_is_drawn():
    runs, notes = planned(game="random-logits", seeds=3, seed=7)
    assert [run.seed for run in runs] == [7, 8, 9]
    assert len({run.game_key for run in runs}) == 3
    assert notes == []
    assert len(planned(game="circulant", reference="random[scale=2,seed=1]", seeds=3)[0]) == 1
    runs, notes = planned(game="circulant", reference="random[scale=2]", seeds=3)
    assert len({run.run_id for run in runs}) == 3
    assert len({run.game_key for run in runs}) == 1
    assert len({run.reference_key for run in runs}) == 3


@pytest.mark.parametrize(
    "game", ["circulant", "weighted-cycle", "blotto[soldiers=3,fields=3]", "soccer10", "disc[contexts=2,seed=3]"]
)
def test_a_game_without_chance_is_played_once_and_that_is_said(game):
    runs, notes = planned(game=[game, "random-logits"], seeds=3, seed=4)
    assert [run.seed for run in runs] == [4, 4, 5, 6]
    assert notes == [f"{game} does not depend on the seed: it is played once, with seed 4"]


def test_a_reference_file_called_random_is_not_drawn(table):
    table.with_name("random.csv").write_text("probability\n0.2\n0.3\n0.5\n")
    runs, notes = planned(reference="random.csv", seeds=3)
    assert (len(runs), len(notes)) == (1, 1)


def test_every_family_and_table_has_its_source():
    for name, family in families.FAMILIES.items():
        source = find_source(name)
        assert (source.text, source.takes_seed, source.takes_beta) == (name, family.takes_seed, family.takes_beta)
        assert source.default_actions == (family.default_actions if family.takes_actions else None)
    assert find_source("random-logits[contexts=4]").contexts == 4
    assert find_source("castles[round=2]").default_actions is None


def test_a_source_makes_the_game_that_was_asked_for(table):
    game = find_source("random-logits[strength=2]").make(6, 3, 0.1, "float32")
    expected = families.generate("random-logits", actions=6, seed=3, strength=2.0, dtype="float32")
    np.testing.assert_array_equal(game.margins.to_dense(), expected.margins.to_dense())
    assert game.margins.dtype == np.float32
    pinned = find_source("random-logits[seed=3,strength=2]")
    assert pinned.text == "random-logits[strength=2,seed=3]"
    for seed in (0, 1):
        np.testing.assert_array_equal(
            pinned.make(6, seed, 0.1, "float32").margins.to_dense(), expected.margins.to_dense()
        )
    expected = np.array([[0, 0.4, -0.3], [-0.4, 0, 0.4], [0.3, -0.4, 0]])
    np.testing.assert_allclose(find_source("wins.csv").make(None, 0, 0.1, "float64").margins.to_dense(), expected)


def test_a_size_is_for_games_whose_size_is_free():
    runs, _ = planned(game=["circulant", "soccer10", "weighted-cycle"], actions=[5, 7])
    assert [(run.source.text, run.actions) for run in runs] == [
        ("circulant", 5), ("circulant", 7), ("soccer10", None), ("weighted-cycle", None),
    ]  # fmt: skip
    assert [run.actions for run in planned(game=["circulant", "random-logits"])[0]] == [3, 100]
    said = r"actions is 5, but soccer10, weighted-cycle have sizes of their own; leave actions out, or use a generated"
    with pytest.raises(NashGamesError, match=said):
        planned(game=["soccer10", "weighted-cycle"], actions=[5, 7])


def test_a_game_built_around_its_equilibrium_takes_beta_and_brings_its_reference():
    runs, _ = planned(game=["planted-regularised", "random-logits"], beta=[0.5, 0.1], actions=6)
    planted, other = runs[:2], runs[2:]
    assert {run.reference for run in planted} == {"own"}
    assert {run.reference for run in other} == {"uniform"}
    assert len({run.game_key for run in planted}) == 2
    assert len({run.game_key for run in other}) == 1
    for run in planted:
        game = run.source.make(run.actions, 0, run.beta, "float64")
        assert game.description.known_equilibrium.beta == run.beta
    # Nothing is computed before it is known that all of it can be.
    with pytest.raises(
        NashGamesError, match="reference is 'tilted', but planted-regularised brings its own; leave ref"
    ):
        planned(game=["random-logits", "planted-regularised"], reference="tilted")


def test_a_planted_game_that_is_pinned_to_a_beta_is_one_game_for_every_beta_with_its_reference():
    for family in ("planted-regularised", "planted-log-linear"):
        runs, _ = planned(game=f"{family}[beta=0.1]", beta=[0.5, 0.1, 0], actions=6, solver=["nash-mp", "omwu"])
        assert {run.reference for run in runs} == {"own"}
        assert {run.beta for run in runs} == {0.5, 0.1, 0}, "also the original game has the reference"
        assert len({run.game_key for run in runs}) == 1
        free, _ = planned(game=family, beta=0.1, actions=6)
        pinned, own = (run.make_game("float64") for run in (runs[0], free[0]))
        np.testing.assert_array_equal(pinned.log_reference, own.log_reference)
        np.testing.assert_array_equal(pinned.margins.to_dense(), own.margins.to_dense())
        assert pinned.description.known_equilibrium.beta == 0.1
        with pytest.raises(NashGamesError, match="beta is 0; accepted: a finite number above 0"):
            find_source(f"{family}[beta=0]").make(6, 0, 0.1, "float64")
        with pytest.raises(NashGamesError, match=f"{re.escape(family)}.* brings its own; leave reference out"):
            planned(game=f"{family}[beta=0.1]", reference="tilted")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"game": "random-logit"}, r"unknown game 'random-logit'; did you mean 'random-logits'\? Accepted: bradley"),
        ({"game": "disc[strenght=2]"}, r"game 'disc' has no parameter 'strenght'; did you mean 'strength'"),
        ({"game": "disc[strength=big]"}, r"disc\[strength\] is 'big'; accepted: a number"),
        ({"game": "castles[ruond=1]"}, r"game 'castles' has no parameter 'ruond'; did you mean 'round'"),
        ({"game": "wims.csv"}, r"there is no file 'wims.csv'; did you mean 'wins.csv'"),
        (
            {"game": "wins.csv[symetrise=true]"},
            r"table 'wins.csv' has no parameter 'symetrise'; did you mean 'symm",
        ),
        ({"solver": "nash-pm"}, r"unknown solver 'nash-pm'; did you mean 'nash-mp'"),
        ({"solver": "nash-mp[eta=-1]"}, r"nash-mp\[eta\] is -1; accepted: a finite number above 0"),
        (
            {"solver": "nash-prox[inner=3000000000]"},
            r"nash-prox\[inner\] is 3000000000; accepted: an integer from 1 to 2",
        ),
        ({"reference": "unifrom"}, r"unknown reference 'unifrom'; did you mean 'uniform'"),
        ({"reference": "tilted[sapn=1]"}, r"reference 'tilted' has no parameter 'sapn'; did you mean 'span'"),
        ({"reference": "nu.csv"}, r"there is no file 'nu.csv'"),
        ({"queries": 1}, r"queries is 1, but one step of nash-mp costs 2; give at least that"),
        ({"queries": 10**10}, r"queries is 10000000000; accepted: at most 4,294,967,294, the longest run of nash-mp"),
        ({"queries": None, "beta": [0.1, 1e-12]}, r"beta is 1e-12, for which the budget would be 20/β"),
        ({"records": 10**9}, r"records is 1000000000; accepted: at most 1,000,000"),
        ({"record_every": 1, "queries": 10**8}, r"record_every is 1, which keeps 50000000 points of a run"),
    ],
)
def test_a_mistake_is_told_before_anything_is_computed(table, values, said):
    with pytest.raises(NashGamesError, match=said):
        planned(**({"game": ["circulant"]} | values))


def test_a_game_that_does_not_fit_is_refused_with_the_numbers_unless_its_runs_are_there():
    settings = Settings(precision=Precision("float64"))
    runs, _ = planned(game="random-logits", actions=[5, 3_000_000])
    with pytest.raises(NashGamesError, match=r"a game of 3,000,000 actions in float64 needs 36.02 TB of memory"):
        check_memory(runs, settings)
    check_memory(runs[:1], settings)
    several, _ = planned(game="random-logits[contexts=1000000]", actions=5000)
    with pytest.raises(NashGamesError, match="over 1,000,000 contexts in float64 needs"):
        check_memory(several, settings)


@pytest.mark.parametrize("name", presets())
def test_every_preset_can_be_planned(name):
    experiment = load_preset(name)
    precision = Precision(experiment.dtype, experiment.device)
    settings = Settings(
        experiment.queries, experiment.tolerance, experiment.records, experiment.record_every, precision
    )
    runs, notes = plan(experiment, settings)
    # A game of data, or one that draws nothing, is there once.
    told = ("does not depend on the seed", "has a size of its own, at which it is played")
    assert all(any(text in note for text in told) for note in notes)
    once = [cell for cell in experiment.cells() if any(note.startswith(f"{cell.game} does not") for note in notes)]
    assert len(runs) == len(experiment.cells()) - sum(cell.seed != experiment.seed for cell in once)
    check_memory(runs, settings)


# -- grouping ----------------------------------------------------------------------------------------------------------


def lane_names(batch):
    return [[(run.beta, selection_of(run.solver)) for run in game] for game in batch]


def test_runs_of_one_shape_share_a_program():
    runs, _ = planned(
        game="random-logits", actions=[4, 6], seeds=3, beta=[0.5, 0.1],
        solver=["nash-mp", "nash-mp[eta=0.05]", "online-ipo"],
    )  # fmt: skip
    chunks = game_chunks(runs, 8)
    assert [len(chunk) for chunk in chunks] == [3, 3]
    for chunk in chunks:
        mirror, ipo = batches_of(chunk)
        assert [len(game) for game in mirror] == [4, 4, 4]
        assert [len(game) for game in ipo] == [2, 2, 2]
        assert len({run.seed for game in mirror for run in game[:1]}) == 3
        assert len(set(map(tuple, lane_names(mirror)))) == 1
        assert sorted({beta for beta, _ in lane_names(mirror)[0]}) == [0.1, 0.5]


def test_variants_that_are_other_programs_are_other_batches():
    runs, _ = planned(solver=["nash-mp", "average[nash-mp]", "nash-prox[inner=5]", "nash-prox[kappa=0.1]"])
    (chunk,) = game_chunks(runs, 8)
    assert [[len(game) for game in batch] for batch in batches_of(chunk)] == [[1], [1], [2]]


@pytest.mark.parametrize(("itemsize", "sizes"), [(8, [10, 10]), (4, [20])])
def test_stacked_games_stay_small(itemsize, sizes):
    runs, _ = planned(game="random-logits", actions=1000, seeds=20)
    assert [len(chunk) for chunk in game_chunks(runs, itemsize)] == sizes
    one_by_one, _ = planned(game="random-logits", actions=6000, seeds=3)
    assert [len(chunk) for chunk in game_chunks(one_by_one, itemsize)] == [1, 1, 1]
    contexts, _ = planned(game="random-logits[contexts=4]", actions=1000, seeds=8)
    assert [len(chunk) for chunk in game_chunks(contexts, 8)] == [4, 4]


def test_games_of_unknown_size_are_not_stacked_and_one_of_each_beta_is():
    runs, _ = planned(game=["soccer10", "castles"])
    assert [len(chunk) for chunk in game_chunks(runs, 8)] == [1, 1]
    runs, _ = planned(game="planted-regularised", actions=5, beta=[0.5, 0.1], seeds=2)
    assert [len(chunk) for chunk in game_chunks(runs, 8)] == [4]


def test_families_of_one_size_share_a_program_unless_a_policy_sees_their_features():
    runs, _ = planned(game=["random-logits", "disc", "disc[contexts=2]"], actions=5, seeds=2)
    assert [[len(batch) for batch in batches_of(chunk)] for chunk in game_chunks(runs, 8)] == [[4], [2]]
    seen, _ = planned(game=["random-logits", "disc"], actions=5, seeds=2, solver="online-ipo", policy="log-linear")
    assert [[len(batch) for batch in batches_of(chunk)] for chunk in game_chunks(seen, 8)] == [[2, 2]]


def test_more_lanes_than_a_batch_has_are_split_without_a_game_twice():
    runs, _ = planned(game=["uniform", "disc"], actions=3, solver=[f"nash-mp[eta={eta}]" for eta in range(1, 5)])
    (chunk,) = game_chunks(runs, 8)
    batches = batches_of([[*of_game] * 1024 for of_game in chunk])
    assert [[len(lanes) for lanes in batch] for batch in batches] == [[1024, 1024]] * 4


GRID, _ = planned(
    game=["random-logits", "circulant"], actions=[4, 5], seeds=3, beta=[0.5, 0.1], reference=["uniform", "random"],
    solver=["nash-mp", "nash-mp[eta=0.05]", "online-ipo"],
)  # fmt: skip


@given(st.sets(st.integers(0, len(GRID) - 1), min_size=1))
@examples(max_examples=40, deadline=None)
def test_whatever_is_left_of_a_grid_becomes_rectangles_that_hold_every_run_once(left):
    runs = [GRID[i] for i in sorted(left)]
    chunks = game_chunks(runs, 8)
    batches = [batch for chunk in chunks for batch in batches_of(chunk)]
    played = [run.run_id for batch in batches for game in batch for run in game]
    assert sorted(played) == sorted(run.run_id for run in runs)
    for batch in batches:
        assert len({len(game) for game in batch}) == 1, "every game has as many lanes"
        assert len({(run.actions, type(run.solver)) for game in batch for run in game}) == 1
        for game in batch:
            assert len({run.game_key for run in game}) == 1
        assert len({game[0].game_key for game in batch}) == len(batch)


def test_the_whole_grid_needs_as_few_programs_as_it_can():
    batches = list(itertools.chain.from_iterable(map(batches_of, game_chunks(GRID, 8))))
    # Two sizes × two solver classes × (random-logits, circulant): circulant has its three seeds as lanes of one game.
    assert len(batches) == 8
