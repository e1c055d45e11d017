"""A sweep that tunes: what it plays, in which order, and what is left of it wherever it stops."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from nashgames.errors import NashGamesError
from nashgames.experiments import runner
from nashgames.experiments.choice import choices, reported
from nashgames.experiments.events import BatchFinished, Finished, Noted, Planned
from nashgames.experiments.experiment import Experiment
from nashgames.experiments.plan import plan, plan_trials, settings_of
from nashgames.store import Results
from tests.test_resume import assert_undisturbed, tables

SWEEP = Experiment(
    game="disc",
    actions=5,
    beta=(0.1, 0.02),
    solver=("nash-mp", "mirror-descent"),
    tune="auto",
    queries=300,
    tolerance=1e-6,
    records=5,
    seeds=2,
)
# Nine trials on two seeds, and one choice on two others, of two solvers at two β.
TRIALS, REPORTED = 72, 8
ALL = TRIALS + 2 * REPORTED
"""With the solvers as they were asked for beside what is reported."""


def of_kind(events, kind):
    return [event for event in events if isinstance(event, kind)]


def changed(**values):
    return dataclasses.replace(SWEEP, **values)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The events of the sweep, and what its directory holds."""
    directory = tmp_path_factory.mktemp("undisturbed") / "sweep"
    events = list(runner.execute(SWEEP, directory))
    return events, Results.read(directory)


# -- what is planned ---------------------------------------------------------------------------------------------------


def test_every_solver_is_tried_with_its_own_step_and_eight_about_it_on_seeds_that_are_not_reported():
    trials, notes = plan_trials(SWEEP, settings_of(SWEEP))
    runs, _ = plan(SWEEP, settings_of(SWEEP))
    assert (len(trials), len(runs), notes) == (TRIALS, REPORTED, [])
    assert ({run.seed for run in trials}, {run.seed for run in runs}) == ({2, 3}, {0, 1})
    assert ({run.role for run in trials}, {run.role for run in runs}) == ({"tuning"}, {"reported"})
    for label, parameter, own in (
        ("nash-mp", "eta", lambda beta: 2 * beta),
        ("mirror-descent", "step", lambda beta: 4 * beta / (1 + 4 * beta**2)),
    ):
        for beta in SWEEP.beta:
            mine = [run for run in trials if (run.label, run.beta, run.seed) == (label, beta, 2)]
            values = sorted(run.hyperparameters[parameter] for run in mine)
            np.testing.assert_allclose(values, own(beta) * 10 ** (np.arange(-4, 5) / 2), rtol=1e-5)
            assert own(beta) in values
            assert [run.step_source for run in mine] == ["theory"] + ["tried"] * 8
            assert {run.tuned for run in mine} == {parameter}


def test_seeds_to_tune_on_are_as_many_as_are_reported_and_at_most_ten():
    assert list(changed(seed=5).tuning_seeds) == [7, 8]
    assert list(changed(seeds=1000).tuning_seeds) == list(range(1000, 1010))
    assert list(changed(tune={"seeds": 1}).tuning_seeds) == [2]
    assert list(changed(tune=None).tuning_seeds) == []


def test_a_range_is_tried_as_it_is_and_one_of_a_solver_is_its_own():
    asked = changed(
        tune=["step=1:100:3", "nash-prox.step=0.1:10:3", "seeds=1"], solver=("mirror-descent", "nash-prox", "nash-mp")
    )
    trials, _ = plan_trials(asked, settings_of(asked))
    values = {
        label: [run.hyperparameters[run.tuned] for run in trials if run.label == label and run.beta == 0.1]
        for label in ("mirror-descent", "nash-prox", "nash-mp")
    }
    assert {label: len(tried) for label, tried in values.items()} == dict.fromkeys(values, 4), "as many for all"
    assert values["mirror-descent"][1:] == [1, 10, 100]
    assert values["nash-prox"][1:] == [0.1, 1, 10]
    np.testing.assert_allclose(values["nash-mp"], [0.2, 0.2 / 10**0.5, 0.2 * 10**0.5, 2], rtol=1e-5)


def test_a_solver_whose_own_step_is_no_number_is_tried_about_the_inverse_of_beta():
    asked = changed(solver="online-ipo", beta=0.1, seeds=1)
    trials, _ = plan_trials(asked, settings_of(asked))
    own, *tried = [run.hyperparameters["step"] for run in trials]
    assert own is None
    np.testing.assert_allclose(tried, 10 * 10 ** (np.arange(-3, 5) / 2), rtol=1e-5)


def test_a_solver_of_two_numbers_is_tuned_in_its_step_unless_that_follows_the_curvature():
    names = ("nash-prox", "approximate-nash-mp", "practical-nash-mp")
    for changes, parameter in (
        ({}, "eta"),
        ({"feedback": "duels", "queries": 10}, "step"),
        ({"policy": "mlp"}, "step"),
        ({"tune": "step=1:100:8"}, "step"),
        ({"tune": "step=1:100:8,eta=1:100:8"}, "eta"),
    ):
        asked = changed(solver=names, beta=0.1, seeds=1, **changes)
        trials, notes = plan_trials(asked, settings_of(asked))
        assert {(run.label, run.tuned) for run in trials} == {(name, parameter) for name in names}, changes
        assert len(trials) == 3 * 9
        left_out = "nash-prox is tuned in eta and not in step; name nash-prox.step to tune that"
        assert (left_out in notes) == (changes == {"tune": "step=1:100:8,eta=1:100:8"})
    both = changed(solver="nash-prox", feedback=("exact", "duels"), queries=10, beta=0.1, seeds=1)
    trials, _ = plan_trials(both, settings_of(both))
    assert {(run.parts["feedback"].partition("[")[0], run.tuned) for run in trials} == {
        ("exact", "eta"),
        ("duels", "step"),
    }
    # The default is among what is tried: η = 8β, and the grid two decades to both sides of it.
    own = [run.hyperparameters["eta"] for run in trials if run.tuned == "eta"]
    np.testing.assert_allclose(sorted(own), 0.8 * 10 ** (np.arange(-4, 5) / 2), rtol=1e-5)


def test_at_beta_zero_steps_are_tuned_too():
    asked = changed(solver=("omwu", "nash-mp"), beta=(0, 0.1), seeds=1, target="original")
    trials, _ = plan_trials(asked, settings_of(asked))
    tried = {
        beta: sorted(r.hyperparameters["step"] for r in trials if r.beta == beta and r.tuned == "step")
        for beta in (0, 0.1)
    }
    np.testing.assert_allclose(tried[0], 10 ** (np.arange(-4, 5) / 2), rtol=1e-5)
    assert tried[0] == tried[0.1]
    assert {run.beta for run in trials if run.label == "nash-mp"} == {0.1}


def test_the_step_of_theory_among_the_range_is_played_once():
    asked = changed(tune="eta=0.02:2:3", solver="nash-mp", beta=0.1)
    trials, _ = plan_trials(asked, settings_of(asked))
    assert [run.hyperparameters["eta"] for run in trials if run.seed == 2] == [0.2, 0.02, 2]


def test_what_is_inside_a_wrapper_is_tuned_and_what_is_given_is_not():
    asked = changed(solver=("average[nash-mp]", "nash-prox[eta=0.3]", "nash-mp[eta=0.3]", "adaptive-nash-mp"), beta=0.1)
    trials, notes = plan_trials(asked, settings_of(asked))
    assert {(run.selection.name, run.tuned) for run in trials} == {("average", "eta"), ("nash-prox", "step")}
    assert notes == [
        "not tuned, its step is given: nash-mp[eta=0.3]",
        "not tuned, it has no tuned parameter: adaptive-nash-mp",
    ]


def test_a_step_that_a_solver_refuses_is_not_tried_and_others_take_its_place(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "from nashgames.solvers import MirrorDescent\nimport dataclasses, jax\nfrom typing import Annotated\n"
        "from nashgames.registry import Number\n"
        "@jax.tree_util.register_dataclass\n@dataclasses.dataclass(frozen=True)\nclass Mine(MirrorDescent):\n"
        "    step: Annotated[float, Number('a', above=0, most=1, tuned=True)] = 0.5\n    name = 'mine'\n"
    )
    asked = changed(solver=f"{file}:Mine", beta=0.1)
    trials, _ = plan_trials(asked, settings_of(asked))
    values = sorted(run.hyperparameters["step"] for run in trials if run.seed == 2)
    np.testing.assert_allclose(values, 0.5 * 10 ** (np.arange(-8, 1) / 2), rtol=1e-5)
    asked = changed(solver=f"{file}:Mine", beta=0.1, tune="mine.step=0.1:10:3")
    trials, notes = plan_trials(asked, settings_of(asked))
    assert sorted(run.hyperparameters["step"] for run in trials if run.seed == 2) == [0.1, 0.5, 1]
    assert notes == [f"{file}:Mine is tried with 2 of 3 values of step at β = 0.1; it refuses the others"]


def test_a_game_that_is_the_same_for_every_seed_is_tuned_on_itself_and_that_is_said():
    asked = changed(game="soccer10", actions=())
    trials, notes = plan_trials(asked, settings_of(asked))
    assert {run.seed for run in trials} == {0}
    assert notes == ["soccer10 is the same for every seed: its steps are tuned on what is reported"]
    on_duels = changed(game="soccer10", actions=(), feedback="duels", queries=10)
    assert plan_trials(on_duels, settings_of(on_duels))[1] == [], "duels are others"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            "foo=1:2:3",
            "tune has no parameter 'foo'; accepted: eta, nash-mp.eta, nash-prox.eta, step, nash-prox.step",
        ),
        ("nash-mp.step=1:2:3", "tune has no parameter 'nash-mp.step'"),
        ("nash-prox.inner=1:2:3", "tune has no parameter 'nash-prox.inner'"),
        (
            "nash-prox.eta=1:2:3,nash-prox.step=1:2:3",
            "tune has ranges for nash-prox.eta and nash-prox.step; give one of them",
        ),
        ("adaptive-nash-mp.least=1:2:3", "tune has no parameter 'adaptive-nash-mp.least'"),
    ],
)
def test_a_range_that_no_solver_is_tuned_in_is_told(given, said):
    asked = changed(solver=("nash-mp", "nash-prox", "adaptive-nash-mp"), tune=given)
    with pytest.raises(NashGamesError) as told:
        plan_trials(asked, settings_of(asked))
    assert str(told.value).startswith(said)
    assert "\n" not in str(told.value)


# -- what is played ----------------------------------------------------------------------------------------------------


def test_what_is_reported_is_the_choice_on_seeds_that_did_not_choose_it(undisturbed):
    events, results = undisturbed
    first, second = of_kind(events, Planned)
    assert (first.runs, first.reused, first.batches, first.tuning) == (TRIALS + REPORTED, 0, 2, True)
    assert (second.runs, second.reused, second.batches, second.tuning) == (ALL, 0, 2, False)
    runs = results.runs
    assert results.manifest["run_ids"] == list(events[-1].runs["run_id"])
    assert runs["role"].value_counts().to_dict() == {"tuning": TRIALS, "reported": REPORTED, "asked": REPORTED}
    shown = reported(runs)
    assert set(shown["step_source"]) == {"tuned"}
    assert set(shown["seed"]).isdisjoint(runs["seed"][runs["role"] == "tuning"])
    found = choices(runs, results.curves)
    assert len(found) == 4
    for cell in found.to_dict("records"):
        mine = shown[(shown["label"] == cell["label"]) & (shown["beta"] == cell["beta"])]
        assert set(mine["selection"]) == {cell["selection"]}
        # By hand: the least median of the two tuning seeds, then the fewest misses, then the least median end.
        tried = runs[(runs["role"] == "tuning") & (runs["label"] == cell["label"]) & (runs["beta"] == cell["beta"])]
        by_step = {
            selection: (
                float(np.mean(mine["queries_to_tolerance"].astype(float).fillna(np.inf))),
                float(np.mean(mine["suboptimality"] > 1e-6)),
                float(np.mean(mine["suboptimality"])),
            )
            for selection, mine in tried.groupby("selection")
        }
        assert (cell["cost"], cell["missed"], cell["end"]) == pytest.approx(min(by_step.values()))
        assert by_step[cell["selection"]] == min(by_step.values())
        assert cell["cost"] < cell["own_cost"] or cell["cost"] == np.inf, "theory's step is safe, not fast"
        asked = runs[(runs["role"] == "asked") & (runs["label"] == cell["label"]) & (runs["beta"] == cell["beta"])]
        assert set(asked["step_source"]) == {"theory"} and set(asked["seed"]) == set(mine["seed"])
        for key, rows in (("reported_cost", reported(mine)), ("asked_cost", asked)):
            assert cell[key] == np.median(rows["queries_to_tolerance"].astype(float).fillna(np.inf)), key
    assert np.isinf(found["cost"]).sum() == 1


def test_the_same_steps_played_by_hand_are_the_same_runs(undisturbed, tmp_path):
    _, results = undisturbed
    shown = reported(results.runs)
    for beta, mine in shown.groupby("beta"):
        by_hand = changed(beta=beta, solver=tuple(dict.fromkeys(mine["selection"])), tune=None)
        *_, finished = runner.execute(by_hand, tmp_path / f"{beta}")
        assert set(finished.runs["run_id"]) == set(mine["run_id"])
        both = mine.merge(finished.runs, on="run_id", suffixes=("", "_by_hand"))
        assert list(both["queries_to_tolerance"]) == list(both["queries_to_tolerance_by_hand"])
        np.testing.assert_allclose(both["suboptimality"], both["suboptimality_by_hand"], rtol=1e-6)


def test_stopped_after_every_batch_in_turn_it_is_the_undisturbed_sweep(undisturbed, tmp_path):
    _, results = undisturbed
    whole, stops = tables(results), 0
    while True:
        planned = []
        events = runner.execute(SWEEP, tmp_path / "sweep")
        for event in events:
            planned += [event] if isinstance(event, Planned) else []
            if isinstance(event, BatchFinished | Finished):
                break
        events.close()
        if isinstance(event, Finished):
            break
        stops += 1
    assert stops == 4
    assert [(one.reused, one.batches) for one in planned] == [(TRIALS, 0), (ALL, 0)]
    assert event.reused == ALL
    assert_undisturbed(tmp_path / "sweep", whole)


def test_a_trial_that_an_earlier_experiment_reported_is_reused_and_counts(undisturbed, tmp_path):
    _, results = undisturbed
    before = changed(solver="nash-mp[eta=2]", seed=2, beta=0.1, tune=None)
    *_, _ = runner.execute(before, tmp_path / "sweep")
    events = list(runner.execute(SWEEP, tmp_path / "sweep"))
    assert of_kind(events, Planned)[0].reused == 2
    again = Results.read(tmp_path / "sweep").runs
    same = ["run_id", "label", "step_source", "role", "tuned", "queries_to_tolerance"]
    pd.testing.assert_frame_equal(
        again[same].sort_values("run_id", ignore_index=True),
        results.runs[same].sort_values("run_id", ignore_index=True),
    )


def test_a_game_of_one_seed_has_runs_that_are_both_and_solvers_without_a_step_are_reported_as_asked(tmp_path):
    asked = changed(
        game="circulant",
        actions=3,
        reference="tilted",
        solver=("nash-mp", "adaptive-nash-mp"),
        beta=0.1,
        tune="eta=1:4:2",
    )
    for _ in range(2):
        *events, finished = runner.execute(asked, tmp_path / "sweep")
        roles = finished.runs.set_index("selection")["role"].to_dict()
        assert sorted(roles.values()) == ["both", "reported", "tuning", "tuning"]
        assert roles["adaptive-nash-mp[least=0.2]"] == "reported"
        (found,) = choices(finished.runs, finished.curves).to_dict("records")
        assert roles[found["selection"]] == "both"
        assert (found["same"], found["trials"]) == (True, 3)
        said = [event.text for event in of_kind(events, Noted)]
        assert any("tuned on what is reported" in text for text in said)
    assert finished.reused == 4


def test_an_end_of_the_range_is_told(tmp_path):
    asked = changed(solver="nash-mp", beta=0.1, tune="eta=0.001:0.01:2", seeds=1)
    events = list(runner.execute(asked, tmp_path / "sweep"))
    (text,) = [event.text for event in of_kind(events, Noted)]
    assert text == (
        "the best eta of nash-mp at β = 0.1 is the largest that was tried, and a larger one may be better; widen its "
        "range, e.g. --tune nash-mp.eta=0.001:20:2"
    )
