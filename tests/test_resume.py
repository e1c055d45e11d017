"""A sweep that was interrupted and resumed is the undisturbed sweep, bit for bit."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nashgames.experiments import runner
from nashgames.experiments.events import BatchFinished, Planned
from nashgames.experiments.experiment import Experiment
from nashgames.store import Results

TABLES = ("runs", "curves", "policies", "paths")
# Wall times differ between two plays of one run; nothing else may.
TIMES = ["seconds", "compile_seconds", "solve_seconds"]
# Two stacked games, three programs of several lanes, and a β that one solver alone is asked at.
SWEEP = Experiment(
    game="random-logits",
    actions=64,
    seeds=2,
    beta=(0.5, 0.1),
    solver=("nash-mp", "nash-mp[eta=0.05]", "online-ipo"),
    also=({"solver": "mirror-descent", "beta": (0.3,)},),
    queries=60,
    tolerance=1e-4,
    records=5,
)


def tables(results):
    """What a directory holds, in an order of its own, without wall times."""
    found = {}
    for name in TABLES:
        frame = getattr(results, name)
        keys = [key for key in ("run_id", "step", "context", "action") if key in frame]
        found[name] = frame.drop(columns=[time for time in TIMES if time in frame]).sort_values(keys, ignore_index=True)
    return found


def assert_undisturbed(directory, whole):
    for name, frame in tables(Results.read(directory)).items():
        pd.testing.assert_frame_equal(frame, whole[name], check_exact=True)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The directory of the sweep, and what it holds."""
    directory = tmp_path_factory.mktemp("undisturbed") / "sweep"
    *_, _ = runner.execute(SWEEP, directory)
    results = Results.read(directory)
    assert len(results.runs) == 14
    assert set(results.runs["status"]) == {"converged", "budget"}
    return results, tables(results)


@given(st.sets(st.integers(0, 13), min_size=1, max_size=13))
@settings(max_examples=5, deadline=None, derandomize=True)
def test_whatever_was_finished_the_rest_has_the_bits_of_the_whole(undisturbed, finished):
    results, whole = undisturbed
    kept = set(results.runs["run_id"].iloc[sorted(finished)])
    with TemporaryDirectory() as folder:
        directory = Path(folder) / "sweep"
        with Results.open(directory) as partial:
            partial.add(*(frame[frame["run_id"].isin(kept)] for frame in (getattr(results, name) for name in TABLES)))
            partial.flush()
        planned, *_ = runner.execute(SWEEP, directory)
        assert isinstance(planned, Planned)
        assert planned.reused == len(kept)
        assert_undisturbed(directory, whole)


def test_a_sweep_stopped_after_every_batch_in_turn_is_the_sweep(undisturbed, tmp_path):
    _, whole = undisturbed
    stops = 0
    while True:
        events = runner.execute(SWEEP, tmp_path / "sweep")
        if next(events).batches == 0:
            break
        next(event for event in events if isinstance(event, BatchFinished))
        events.close()
        stops += 1
    assert stops == 3
    assert_undisturbed(tmp_path / "sweep", whole)
