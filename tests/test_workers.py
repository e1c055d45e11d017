"""Many workers: the plan, the ids and the bits of one process, whatever happens to a worker."""

import os
import signal
import sys

import psutil
import pytest
from typer.testing import CliRunner

from nashgames.cli.main import app
from nashgames.engine import exported
from nashgames.errors import NashGamesError
from nashgames.experiments import runner
from nashgames.experiments.events import Advanced, BatchFinished, Noted
from nashgames.experiments.workers import Crew
from nashgames.store import Results
from tests.test_durability import experiment, same

distributed = pytest.importorskip("distributed", reason="the extra workers is not installed")

# What Dask leaves behind at the end of a process is its own.
pytestmark = pytest.mark.filterwarnings("ignore")

LONG = {"solver": ("nash-mp", "mirror-descent[step=1e-6]"), "queries": 800_000, "seed": 3, "tune": None}


def play(directory, crew=None, **values):
    return list(runner.execute(experiment(**values), directory, crew=crew))


def workers():
    """The processes that play for this one."""
    children = psutil.Process().children(recursive=True)
    return [child for child in children if "spawn_main" in " ".join(child.cmdline()) and not child.children()]


@pytest.fixture
def programs(tmp_path):
    """Where the programs of this process are kept."""
    exported.keep_in(tmp_path / "programs")
    yield tmp_path / "programs"
    exported.keep_in(None)
    exported.loaded.clear()


def test_two_workers_play_the_runs_of_one_process_to_the_bit_and_one_may_die(tmp_path, programs):
    play(tmp_path / "alone", **LONG)
    made = {*programs.iterdir()}
    killed, labels, finished = False, set(), []
    for event in runner.execute(experiment(**LONG), tmp_path / "out", crew=Crew(workers=2)):
        if isinstance(event, Advanced):
            labels.add(event.label.partition(" ")[0])
            if not killed:
                victim = workers()[0]
                os.kill(victim.pid, signal.SIGKILL)
                killed = True
        finished += [event] if isinstance(event, BatchFinished) else []
    assert killed
    # JAX is stricter in tests than in workers, whose programs are therefore others.
    assert made < {*programs.iterdir()}
    assert labels == {"nash-mp", "mirror-descent"}
    assert sorted((one.batch, len(one.runs)) for one in finished) == [(1, 2), (2, 2)]
    assert (event.failed, len(event.runs)) == (0, 4)
    same(tmp_path / "out", tmp_path / "alone")
    assert not workers()


def test_a_scheduler_that_is_there_plays_and_failures_and_tuning_are_as_ever(tmp_path):
    tuned = {"solver": "nash-mp", "tune": "eta=0.1:0.4:3", "tolerance": 1e-3, "game": "random-logits", "actions": 3,
        "reference": "own"}  # fmt: skip
    alone = play(tmp_path / "alone", **tuned)
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None, processes=True) as cluster:
        crew = Crew(scheduler=cluster.scheduler_address)
        events = play(tmp_path / "out", crew, **tuned)
        assert [one.text for one in events if isinstance(one, Noted)] == [
            one.text for one in alone if isinstance(one, Noted)
        ]
        same(tmp_path / "out", tmp_path / "alone")
        bad = tmp_path / "bad.csv"
        bad.write_text("0.5,0.9\n0.3,0.5\n")
        events = play(tmp_path / "failed", crew, game=["circulant", str(bad)], solver="nash-mp", beta=0.1)
    assert (events[-1].failed, len(events[-1].runs)) == (1, 1)
    (failure,) = Results.read(tmp_path / "failed").failures.to_dict("records")
    assert failure["reason"].startswith(f"{bad} failed")


def test_without_dask_and_without_a_scheduler_there_is_a_sentence(tmp_path, monkeypatch):
    with pytest.raises(
        NashGamesError, match=r"scheduler is 'tcp://127\.0\.0\.1:1', where no scheduler of Dask answers"
    ):
        monkeypatch.setattr("nashgames.experiments.workers._PATIENCE_SECONDS", 1)
        play(tmp_path / "out", Crew(scheduler="tcp://127.0.0.1:1"))
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(NashGamesError, match=r"workers need Dask.*pip install 'nashgames\[workers\]'"):
        play(tmp_path / "none", Crew(workers=2))
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--workers", "0"], "--workers is '0'; accepted: an integer of at least 1"),
        (["--workers", "two"], "--workers is 'two'"),
        (["--workers", "2", "--scheduler", "tcp://127.0.0.1:1"], "--workers and --scheduler are both given"),
        (["--timeout", "0"], "--timeout is '0'; accepted: a number of seconds above 0"),
        (["--timeout", "nan"], "--timeout is 'nan'"),
        (["--retries", "-1"], "--retries is '-1'; accepted: an integer of at least 0"),
    ],
)
def test_mistakes_in_who_plays_and_how_long_are_told(options, said):
    result = CliRunner().invoke(app, ["sweep", *options])
    assert result.exit_code == 2
    assert said in result.stderr
