"""A larger budget goes on from where a smaller one ended, through the steps of an undisturbed run."""

import numpy as np
import pandas as pd
import pytest

from nashgames.engine import batch as engine
from nashgames.engine.batch import Batch, Lane
from nashgames.engine.settings import Settings
from nashgames.errors import NoRoom
from nashgames.experiments import playing, runner
from nashgames.experiments.events import Advanced, Noted
from nashgames.experiments.experiment import Experiment
from nashgames.games import families
from nashgames.solvers import make_solver
from nashgames.store import Progress, Results
from nashgames.store.merging import merge
from nashgames.verification import verify

KEYS = {"curves": ["run_id", "step"], "policies": ["run_id", "action"], "paths": ["run_id", "step", "action"]}
TIMES = ["seconds", "compile_seconds", "solve_seconds"]


@pytest.fixture(autouse=True)
def long(monkeypatch):
    """Batches that take a moment are compiled in another way, and begin again: here none does."""
    monkeypatch.setattr(engine, "_SHORT", 0)


def batch(queries, solver="nash-mp[eta=0.1]", tolerance=1e-4, betas=(1.0, 0.02, 0.01), **options):
    game = families.generate("random-logits", actions=4, seed=1)
    unknown, made = np.full(4, np.nan), make_solver(solver)
    reference = np.asarray(game.log_reference)
    # With nash-mp they converge one after the other, the last one first.
    lanes = [Lane(made, beta, reference, unknown, seed) for seed, beta in enumerate(betas)]
    return Batch([game], [lanes], Settings(queries=queries, tolerance=tolerance, records=9, **options))


def finish(one):
    while not one.finished:
        one.advance()
    return one


SOLVERS = ["nash-mp[eta=0.1]", "average[mirror-descent[step=0.2]]"]


@pytest.mark.parametrize("solver", SOLVERS)
def test_what_goes_on_has_the_bits_of_an_undisturbed_run(solver):
    """Also over several budgets; the points are those of each budget up to its end."""
    budgets = (30, 40, 80)
    tolerance = 2e-6 if solver == SOLVERS[0] else 0.0
    last = None
    for budget in budgets:
        one = batch(budget, solver, tolerance)
        if last is not None:
            assert one.go_on(last)
            assert one.step > 0
            assert not one.finished
        # A checkpoint on the way holds what was before.
        one.advance()
        again = batch(budget, solver, tolerance)
        assert again.restore(one.saved())
        last = finish(again).ended(10**8)
    whole = finish(batch(budgets[-1], solver, tolerance, also=tuple(range(400))))
    cost = whole.solver.queries_per_step
    assert {curve.status for curve in whole.curves()[0]} >= {"budget"}
    for here, there in zip(again.curves()[0], whole.curves()[0], strict=True):
        np.testing.assert_array_equal(here.log_policy, there.log_policy)
        assert here.status == there.status
        wanted, before = [], -1
        for budget in budgets:
            steps = Settings(records=9).record_steps(budget // cost)
            wanted += [step for step in steps if before < step < there.steps[-1]]
            before = budget // cost
        assert list(here.steps) == [*wanted, there.steps[-1]]
        rows = np.searchsorted(there.steps, here.steps)
        for name, values in here.metrics.items():
            np.testing.assert_array_equal(values, there.metrics[name][rows])
        assert (np.diff(here.seconds) >= 0).all()


def test_only_a_larger_budget_of_the_same_runs_goes_on():
    ended = finish(batch(40, tolerance=0.0)).ended(10**8)
    for refused in (
        batch(40, tolerance=0.0),
        batch(20, tolerance=0.0),
        batch(400, "secant-nash-mp[least=0.1,memory=5]"),
    ):
        before = refused.step
        assert not refused.go_on(ended)
        assert refused.step == before
    assert not batch(400).go_on(b"PK\x03\x04")
    assert finish(batch(40)).ended(1000) is None
    # Runs that ended at different steps cannot go on side by side.
    betas = (0.01, 0.005)
    apart = finish(batch(None, tolerance=0.0, betas=betas)).ended(10**8)
    assert not batch(8000, tolerance=0.0, betas=betas).go_on(apart)


def experiment(**values):
    usual = {"game": "circulant", "beta": (0.5, 0.02), "reference": "tilted", "tolerance": 1e-6,
        "solver": ("nash-mp", "mirror-descent"), "queries": 60, "records": 6}  # fmt: skip
    return Experiment(**(usual | values))


def play(directory, **values):
    return list(runner.execute(experiment(**values), directory))


def notes(events):
    return [event.text for event in events if isinstance(event, Noted)]


def same(one, other):
    """Whether the last experiments of two directories ended alike, to the bit."""
    frames = [Results.read(directory).last_runs.drop(columns=TIMES) for directory in (one, other)]
    pd.testing.assert_frame_equal(*(f.sort_values("run_id", ignore_index=True) for f in frames), check_exact=True)


def at_shared_steps(one, other, ids):
    """The rows of two directories at the steps that both have."""
    for name, keys in KEYS.items():
        frames = [getattr(Results.read(directory), name) for directory in (one, other)]
        mine, theirs = (frame[frame["run_id"].isin(ids)].drop(columns=TIMES, errors="ignore") for frame in frames)
        both = mine.merge(theirs[keys], on=keys)[keys]
        assert len(both) > len(ids)
        rows = [frame.merge(both, on=keys).sort_values(keys, ignore_index=True) for frame in (mine, theirs)]
        pd.testing.assert_frame_equal(*rows, check_exact=True)


def test_a_sweep_goes_on_where_a_smaller_budget_ended_and_is_verified(tmp_path):
    """Numbers and endings are those of a sweep that had the large budget at once."""
    play(tmp_path / "out")
    events = play(tmp_path / "out", queries=1000)
    told = notes(events)
    assert any(text.startswith("nash-mp goes on from step 30") for text in told)
    assert any(text.startswith("mirror-descent goes on from step 60") for text in told)
    first = {event.label.partition(" ")[0]: event.queries for event in reversed(events) if isinstance(event, Advanced)}
    assert min(first.values()) > 60
    play(tmp_path / "whole", queries=1000)
    same(tmp_path / "out", tmp_path / "whole")
    whole = Results.read(tmp_path / "whole").runs
    assert {"converged", "budget"} <= set(whole["status"])
    at_shared_steps(tmp_path / "out", tmp_path / "whole", set(whole["run_id"]))
    *_, report = verify(tmp_path / "out", replay="all")
    assert report.ok
    assert report.replayed.runs == report.replayed.equal == 8


def test_a_point_that_is_missing_where_a_run_went_on_is_found(tmp_path):
    play(tmp_path / "out")
    play(tmp_path / "out", queries=1000)
    results = Results.read(tmp_path / "out")
    mine = results.curves["run_id"] == results.last_runs["run_id"].iloc[-1]
    row = results.curves[mine & (results.curves["step"] > 2)].index[0]
    frames = {name: getattr(results, name) for name in ("runs", "curves", "policies", "paths")}
    frames["curves"] = frames["curves"].drop(index=row)
    with Results.open(tmp_path / "out") as changed:
        changed.add(**frames)
    *_, report = verify(tmp_path / "out", replay=0)
    assert [found for found in report.mismatches if "recorded step" in found.column]


def test_a_schedule_over_the_whole_budget_begins_again_and_says_so(tmp_path):
    asked = {"solver": "online-ipo", "optimiser": "sgd[schedule=cosine]", "tolerance": 0.0}
    play(tmp_path / "out", **asked)
    told = notes(play(tmp_path / "out", queries=200, **asked))
    assert "online-ipo starts again: its step falls over the whole budget" in told
    play(tmp_path / "whole", queries=200, **asked)
    same(tmp_path / "out", tmp_path / "whole")


def test_short_batches_and_large_ends_are_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(playing, "_LARGEST_END", 1000)
    play(tmp_path / "large")
    assert not (tmp_path / "large" / "ends").exists()
    monkeypatch.undo()
    play(tmp_path / "short")
    assert not (tmp_path / "short" / "ends").exists()


def test_a_disk_that_has_room_for_the_rows_alone_loses_no_run(tmp_path, monkeypatch):
    def full(self, batch, data):
        raise NoRoom("cannot write 'out': no space left on device")

    monkeypatch.setattr(Progress, "keep_end", full)
    *events, finished = play(tmp_path / "out")
    assert (len(finished.runs), finished.failed) == (4, 0)
    assert "a larger budget will begin again: cannot write 'out': no space left on device" in notes(events)


def test_ends_stay_behind_where_directories_are_united(tmp_path):
    for seed in (0, 1):
        play(tmp_path / str(seed), game="random-logits", actions=3, seed=seed)
    assert len(list((tmp_path / "0" / "ends").iterdir())) == 2
    merge([tmp_path / "0", tmp_path / "1"], tmp_path / "both")
    assert not (tmp_path / "both" / "ends").exists()
    told = notes(play(tmp_path / "both", game="random-logits", actions=3, queries=100))
    assert not any("goes on" in text for text in told)


def test_trials_of_tuned_steps_go_on_as_well(tmp_path):
    asked = {
        "game": "random-logits",
        "actions": 4,
        "reference": "own",
        "solver": "mirror-descent",
        "tune": {"trials": 2},
    }
    play(tmp_path / "out", **asked)
    told = notes(play(tmp_path / "out", queries=200, **asked))
    assert any(text.startswith("mirror-descent goes on from step 60") for text in told)
    play(tmp_path / "whole", queries=200, **asked)
    same(tmp_path / "out", tmp_path / "whole")


def test_locks_that_nobody_holds_go_and_those_of_others_stay(tmp_path):
    (tmp_path / "claims").mkdir()
    (tmp_path / "claims" / "0123456789ab.lock").touch()
    other, mine = Progress(tmp_path), Progress(tmp_path)
    other.claim("ba9876543210")
    mine.sweep()
    assert [path.stem for path in (tmp_path / "claims").iterdir()] == ["ba9876543210"]
    other.release("ba9876543210")
    assert not (tmp_path / "claims").exists()
