"""Nothing finished is lost, nothing half written is read: kills, signals, full disks, lost files, two at once."""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from nashgames.cli.main import app
from nashgames.engine.batch import Batch, Lane
from nashgames.engine.settings import Settings
from nashgames.errors import NashGamesError
from nashgames.experiments import playing, runner
from nashgames.experiments.events import Advanced, BatchFinished, Noted, PlayedElsewhere, Waiting
from nashgames.experiments.experiment import Experiment
from nashgames.experiments.playing import batch_key
from nashgames.games import families
from nashgames.solvers import make_solver
from nashgames.store import Progress, Results

TIMES = ["seconds", "compile_seconds", "solve_seconds"]
TABLES = ("runs", "curves", "policies", "paths")
PROGRAM = Path(sys.executable).with_name("nashgames")


def experiment(**values) -> Experiment:
    """Two batches of two runs each."""
    usual = {"game": "circulant", "reference": "tilted", "beta": (0.5, 0.1), "solver": ("nash-mp", "mirror-descent"),
        "queries": 60, "tolerance": 0.0, "records": 6}  # fmt: skip
    return Experiment(**(usual | values))


def play(directory, **values):
    return list(runner.execute(experiment(**values), directory))


def until(events, kind):
    for event in events:
        if isinstance(event, kind):
            return event
    raise AssertionError(f"no {kind.__name__} came")


def same(one, other):
    """Whether two directories hold the same runs, bit for bit, but for how long they took."""
    for name in TABLES:
        frames = [getattr(Results.read(directory), name) for directory in (one, other)]
        keys = [key for key in ("run_id", "step", "context", "action") if key in frames[0]]
        plain = [frame.drop(columns=TIMES, errors="ignore").sort_values(keys, ignore_index=True) for frame in frames]
        pd.testing.assert_frame_equal(*plain, check_exact=True)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    directory = tmp_path_factory.mktemp("whole") / "out"
    play(directory)
    return directory


# -- checkpoints -------------------------------------------------------------------------------------------------------


def batch(solver="nash-mp[eta=0.1]"):
    game = families.generate("random-logits", actions=5, seed=1)
    settings = Settings(queries=4000, tolerance=0.0, records=30)
    unknown = np.full(5, np.nan)
    made = make_solver(solver)
    lanes = [Lane(made, beta, np.asarray(game.log_reference), unknown, seed) for beta in (0.5, 0.1) for seed in (0, 1)]
    return Batch([game], [lanes], settings)


SOLVERS = ["nash-mp[eta=0.1]", "secant-nash-mp[least=0.1,memory=5]", "average[nash-mp[eta=0.1]]"]


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_batch_goes_on_from_a_checkpoint_as_if_nothing_had_happened(solver):
    whole, half = batch(solver), batch(solver)
    while not whole.finished:
        whole.advance()
    for _ in range(3):
        half.advance()
    kept = half.saved()
    after = batch(solver)
    assert after.restore(kept)
    assert after.step == half.step > 0
    while not after.finished:
        after.advance()
    for one, other in zip(*(each.curves()[0] for each in (whole, after)), strict=True):
        assert (one.status, one.diverged_step) == (other.status, other.diverged_step)
        np.testing.assert_array_equal(one.steps, other.steps)
        np.testing.assert_array_equal(one.log_policy, other.log_policy)
        for name, values in one.metrics.items():
            np.testing.assert_array_equal(values, other.metrics[name])


def test_what_is_no_checkpoint_of_the_batch_is_not_taken_for_one():
    one = batch()
    before = one.step
    other = batch("secant-nash-mp[least=0.1,memory=5]").saved()
    for data in (b"", b"PK\x03\x04 and nothing more", other, one.saved()[:-40]):
        assert not one.restore(data)
    assert one.step == before


def test_a_long_batch_keeps_checkpoints_and_a_kill_costs_no_more_than_is_between_them(tmp_path, whole, monkeypatch):
    monkeypatch.setattr(playing, "_CHECKPOINT_SECONDS", 0.0)
    events = runner.execute(experiment(), tmp_path / "out")
    first = until(events, Advanced)
    second = until(events, Advanced)
    assert second.queries > first.queries
    (kept,) = (tmp_path / "out" / "checkpoints").iterdir()
    shutil.copytree(tmp_path / "out", tmp_path / "killed")
    events.close()
    # As a kill leaves it: nothing finished, a claim that nobody holds, how far the batch was.
    assert list((tmp_path / "killed" / "claims").iterdir())
    again = runner.execute(experiment(), tmp_path / "killed")
    assert until(again, Advanced).queries > first.queries
    list(again)
    same(tmp_path / "killed", whole)
    assert not (tmp_path / "killed" / "checkpoints").exists()
    assert not (tmp_path / "killed" / "claims").exists()
    # Half a file is no checkpoint, and its batch begins again.
    kept.write_bytes(kept.read_bytes()[:-100])
    assert until(runner.execute(experiment(), tmp_path / "out"), Advanced).queries <= first.queries


def test_a_checkpoint_is_let_go_once_its_batch_is_there(tmp_path, monkeypatch):
    """It is as large as the batch, and a chunk has many of them."""
    monkeypatch.setattr(playing, "_CHECKPOINT_SECONDS", 0.0)
    first = runner.execute(experiment(), tmp_path / "out")
    for _ in range(2):
        until(first, Advanced)
    shutil.copytree(tmp_path / "out", tmp_path / "killed")
    first.close()
    chunks = []
    begin = playing.Chunk.__init__
    monkeypatch.setattr(playing.Chunk, "__init__", lambda self, session: (begin(self, session), chunks.append(self))[0])
    taken = []
    restore = Batch.restore
    monkeypatch.setattr(Batch, "restore", lambda self, data: taken.append(len(data)) or restore(self, data))
    again = runner.execute(experiment(), tmp_path / "killed")
    until(again, Advanced)
    assert len(taken) == 1
    (chunk,) = chunks
    assert set(chunk._claimed.values()) == {None}
    again.close()


# -- two at once -------------------------------------------------------------------------------------------------------


def test_a_second_sweep_plays_what_the_first_has_not_begun(tmp_path, whole, monkeypatch):
    monkeypatch.setattr(playing, "batches_at_once", lambda *_: 1)
    monkeypatch.setattr(playing, "_POLL_SECONDS", 0.01)
    first, second = (runner.execute(experiment(), tmp_path / "out") for _ in range(2))
    assert until(first, Advanced).label.startswith("nash-mp")
    assert until(second, Advanced).label.startswith("mirror-descent")
    until(second, BatchFinished)
    assert until(second, Waiting).batches == 1
    assert until(first, BatchFinished)
    # Each finds what the other has played.
    assert until(first, PlayedElsewhere).runs == 2
    *_, finished = first
    assert (len(finished.runs), finished.failed) == (4, 0)
    assert until(second, PlayedElsewhere).runs == 2
    *_, finished = second
    assert (len(finished.runs), finished.failed) == (4, 0)
    same(tmp_path / "out", whole)


def test_what_another_sweep_gives_up_is_played(tmp_path, whole, monkeypatch):
    monkeypatch.setattr(playing, "batches_at_once", lambda *_: 1)
    monkeypatch.setattr(playing, "_POLL_SECONDS", 0.01)
    first, second = (runner.execute(experiment(), tmp_path / "out") for _ in range(2))
    until(first, Advanced)
    until(second, Waiting)
    first.close()
    *_, finished = second
    assert len(finished.runs) == 4
    same(tmp_path / "out", whole)


def test_a_batch_is_claimed_by_one_at_a_time(tmp_path):
    one, other = Progress(tmp_path), Progress(tmp_path)
    assert one.claim("0123456789ab")
    assert not other.claim("0123456789ab")
    assert other.claim("ba9876543210")
    one.release("0123456789ab")
    assert other.claim("0123456789ab")
    with pytest.raises(ValueError, match="12 hex digits"):
        one.claim("../../etc")


def test_a_batch_is_known_by_its_runs_in_their_places():
    chunks = [[runs] for runs in ([], [])]
    assert batch_key(chunks[0]) == batch_key(chunks[1])
    settings = runner.settings_of(experiment())
    runs, _ = runner.plan(experiment(), settings)
    keys = {batch_key(lanes) for lanes in ([runs], [runs[::-1]], [runs[:2], runs[2:]], [runs[:3]])}
    assert len(keys) == 4


# -- signals and kills -------------------------------------------------------------------------------------------------

LONG = ["sweep", "-g", "random-logits", "-n", "3", "--beta", "0.01", "-s", "nash-mp,mirror-descent[step=1e-9]",
    "--queries", "1000000000", "--tolerance", "1e-6", "--no-plot"]  # fmt: skip


def started(out, *command):
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    # A suite in the background may run with SIGINT ignored, which the child would inherit.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen([PROGRAM, *command, "--out", out], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=environment, text=True)  # fmt: skip
    finally:
        signal.signal(signal.SIGINT, before)


def wait_for(condition, process, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert process is None or process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.02)


def test_sigterm_ends_a_sweep_with_its_own_exit_code_and_keeps_what_is_finished(tmp_path):
    out = tmp_path / "out"
    with started(out, *LONG) as running:
        wait_for(lambda: list(out.glob("parts/*.zip")), running)
        running.send_signal(signal.SIGTERM)
        _, told = running.communicate(timeout=60)
    assert running.returncode == 143
    assert f"stopped; 1 of 2 runs are finished and kept in '{out}'" in told
    assert "Traceback" not in told
    assert list(Results.read(out).runs["solver"]) == ["nash-mp"]
    assert not (out / "claims").exists()


def test_killed_at_random_moments_a_sweep_loses_and_repeats_nothing(tmp_path):
    """Three kills; what is committed stays to the bit, and in the end all is as if nothing had happened."""
    grid = ["sweep", "-g", "random-logits,disc", "-n", "4,5,6", "--beta", "0.3,0.1", "--seeds", "3",
        "-s", "nash-mp,mirror-descent", "--queries", "400", "--no-plot", "--quiet"]  # fmt: skip
    assert CliRunner().invoke(app, [*grid, "--out", str(tmp_path / "whole")]).exit_code == 0
    out, committed, drawn, killed = tmp_path / "out", {}, random.Random(0), 0
    for which in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
        parts = len(list(out.glob("parts/*.zip")))
        with started(out, *grid) as running:
            # What is left may be so little that it is finished before the signal comes.
            wait_for(lambda before=parts, process=running: len(list(out.glob("parts/*.zip"))) > before
                or process.poll() is not None, None)  # fmt: skip
            time.sleep(drawn.uniform(0, 0.1))
            running.send_signal(which)
            running.communicate(timeout=60)
        assert running.returncode in (-which, 128 + which, 0)
        killed += running.returncode != 0
        found = {row["run_id"]: row["suboptimality"] for row in Results.read(out).runs.to_dict("records")}
        assert found.items() >= committed.items()
        committed = found
    assert killed
    assert CliRunner().invoke(app, [*grid, "--out", str(out)]).exit_code == 0
    same(out, tmp_path / "whole")


# -- disks -------------------------------------------------------------------------------------------------------------


def test_a_full_disk_loses_nothing_and_is_no_mistake_of_the_command(tmp_path, whole):
    """What the disk has no room for is not there; all that was there stays, also where it is played again."""
    out = tmp_path / "out"
    shutil.copytree(whole, out)
    before = Results.read(out).runs
    command = [PROGRAM, "sweep", "-g", "circulant", "--reference", "tilted", "--beta", "0.5,0.1", "-s",
        "nash-mp,mirror-descent", "--queries", "60", "--tolerance", "0", "--records", "6", "--no-plot", "--force",
        "--out", str(out)]  # fmt: skip
    # A process that may write no file beyond 4 kB meets the same error at every write as on a full disk.
    limited = f"ulimit -f 4; exec {' '.join(map(str, command))}"
    done = subprocess.run(["bash", "-c", limited], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert re.search(r"cannot write '.*': .*; free space and give the same command again", done.stderr)
    assert "Traceback" not in done.stderr
    pd.testing.assert_frame_equal(Results.read(out).runs, before, check_exact=True)


# -- lost files --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("folded", [True, False])
def test_a_lost_manifest_is_made_again(tmp_path, whole, folded):
    out = tmp_path / "out"
    if folded:
        shutil.copytree(whole, out)
    else:
        events = runner.execute(experiment(), out)
        until(events, BatchFinished)
        shutil.copytree(out, tmp_path / "killed")
        events.close()
        out = tmp_path / "killed"
    before = Results.read(out)
    (out / "manifest.json").unlink()
    found = Results.read(out)
    assert found.rebuilt
    pd.testing.assert_frame_equal(found.runs, before.runs, check_exact=True)
    for key in ("experiment", "environment"):
        assert found.manifest[key] == before.manifest[key]
    assert set(found.manifest["run_ids"]) == set(before.runs["run_id"])
    events = play(out)
    assert "the manifest was lost" in until(iter(events), Noted).text
    assert len(events[-1].runs) == 4
    assert not Results.read(out).rebuilt
    same(out, whole)


def test_what_is_no_results_directory_is_none_without_a_manifest_either(tmp_path):
    (tmp_path / "parts").mkdir()
    with pytest.raises(NashGamesError, match="holds no results"):
        Results.read(tmp_path)
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "runs.parquet")
    for look in (Results.read, Results.open):
        with pytest.raises(NashGamesError, match="is not a table of this version of nashgames"):
            look(tmp_path)
