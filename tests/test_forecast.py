"""What `--dry-run` says an experiment takes: counted as it is played, measured, and nothing is written."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from nashgames import memory
from nashgames.cli import forecast as terminal
from nashgames.cli.main import app
from nashgames.experiments import forecast as module
from nashgames.experiments import runner
from nashgames.experiments.events import Finished, Planned
from nashgames.experiments.experiment import Experiment
from nashgames.experiments.forecast import forecast
from nashgames.experiments.plan import plan, settings_of
from nashgames.memory import Room
from nashgames.store import Results

ASKED = ("--actions", "5,6", "--beta", "0.1,0.05", "-s", "nash-mp,mirror-descent", "--queries", "40", "--records", "5")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "_LOOK", 0.0)


def small(**values) -> Experiment:
    usual = {"actions": (5, 6), "beta": (0.1, 0.05), "solver": ("nash-mp", "mirror-descent"), "queries": 40}
    return Experiment(**({"records": 5, "tolerance": 0.0} | usual | values))


def everything_in(directory: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in directory.rglob("*")}


def call(*arguments: str):
    return CliRunner().invoke(app, list(arguments))


def test_it_counts_what_is_then_played(tmp_path):
    found = forecast(small(seeds=2))
    assert not list(tmp_path.iterdir())
    assert found.grid == {"actions": 2, "beta": 2, "solver": 2, "seed": 2}
    events = [*runner.execute(small(seeds=2), tmp_path / "out")]
    planned = next(event for event in events if isinstance(event, Planned))
    assert (found.runs, found.finished, found.trials) == (planned.runs, 0, 0) == (16, 0, 0)
    assert (found.batches, found.equilibria) == (planned.batches, planned.equilibria)
    runs = events[-1].runs
    # At tolerance 0 every run uses its budget.
    assert found.queries == runs["queries"].sum() == sum(program.queries for program in found.programs)
    assert len(found.programs) == 4
    assert sum(program.runs for program in found.programs) == 16
    assert {program.source for program in found.programs} <= {"measured", "by size"}
    on_disk = sum(path.stat().st_size for path in (tmp_path / "out").glob("*.parquet"))
    assert on_disk < found.disk_peak
    assert found.seconds > found.least_seconds > 0
    assert found.memory > 700_000_000


def test_what_is_finished_is_not_counted_and_tells_how_long_its_programs_take(tmp_path):
    last = [*runner.execute(small(), tmp_path / "out")][-1]
    before = everything_in(tmp_path)
    done = forecast(small(), tmp_path / "out")
    assert (done.runs, done.finished, done.batches, done.queries, done.programs) == (8, 8, 0, 0, ())
    assert done.seconds == done.least_seconds == done.measured_in == 0
    more = forecast(small(queries=80), tmp_path / "out")
    assert (more.finished, more.queries) == (0, 640)
    assert {program.source for program in more.programs} == {"earlier"}
    solved = last.runs.groupby(["solver", "n"])["solve_seconds"].max().sum()
    assert more.solve_seconds == pytest.approx(2 * solved), "twice the budget"
    again = forecast(small(), tmp_path / "out", force=True)
    assert (again.finished, again.queries) == (0, 320)
    assert everything_in(tmp_path) == before


def test_trials_are_counted_and_what_is_chosen_from_them(tmp_path):
    asked = small(actions=(5,), beta=(0.1,), solver=("mirror-descent",), seeds=2, tune={"trials": 3})
    found = forecast(asked)
    finished = next(event for event in runner.execute(asked, tmp_path / "out") if isinstance(event, Finished))
    assert found.trials == (finished.runs["role"] == "tuning").sum() == 8
    # With a choice that is what was asked for, that is played once.
    assert found.runs - len(finished.runs) in (0, 2)
    again = forecast(asked, tmp_path / "out")
    assert again.runs == again.finished == len(finished.runs)


def test_duels_have_comparisons_and_other_games_a_size_of_their_own():
    found = forecast(
        Experiment(game=("soccer10", "circulant"), feedback="duels[batch=2]", solver="nash-mp", comparisons=80)
    )
    assert found.comparisons == 160
    assert {program.actions for program in found.programs} == {10, 3}


def test_no_more_is_measured_than_there_is_time_for(monkeypatch):
    monkeypatch.setattr(module, "MEASURING", 0.0)
    sources = [program.source for program in forecast(small()).programs]
    assert sources == ["measured", *["by size"] * 3]
    large = forecast(Experiment(actions=3000, solver="nash-mp", queries=20))
    assert large.programs[0].actions == 3000
    assert large.measured_in > 0


def test_batches_that_wait_for_memory_are_told(monkeypatch):
    asked = small(actions=(5,), solver=("nash-mp", "mirror-descent", "online-ipo", "omwu"))
    assert terminal._one_by_one(forecast(asked)) == ""
    monkeypatch.setattr(memory, "room", lambda: Room(2500, "a cgroup allows 9 KB"))
    monkeypatch.setattr(module, "room", lambda: Room(2500, "a cgroup allows 9 KB"))
    found = forecast(asked)
    assert found.at_once == 2
    told = dict(terminal.lines(found))["memory"]
    assert told.endswith("; 2.5 KB is free (a cgroup allows 9 KB); 2 batches at once")


@pytest.mark.parametrize("command", [("run",), ("sweep",)])
def test_the_command_prints_it_and_writes_nothing(tmp_path, command):
    asked = ASKED if command == ("sweep",) else ("-n", "5", "-s", "nash-mp", "--queries", "40")
    result = call(*command, *asked, "--dry-run")
    assert result.exit_code == 0, result.stderr
    names = [line.split()[0] for line in result.stdout.splitlines() if line.startswith(" ") and line.strip()]
    for name in ("grid", "runs", "batches", "queries", "memory", "disk", "time", "directory", "solver", "nash-mp"):
        assert name in names
    assert "measured in" in result.stdout
    assert not list(tmp_path.iterdir())
    data = json.loads(call(*command, *asked, "--dry-run", "--json").stdout)
    assert data["runs"] == (8 if command == ("sweep",) else 1)
    assert {"free", "limit"} == data["room"].keys()
    measured = data["compile_seconds"] + data["solve_seconds"] + data["exact_seconds"]
    assert measured < measured + data["other_seconds"] < data["seconds"]
    assert 0 < data["least_seconds"] < data["other_seconds"]
    assert call(*command, *asked, "--dry-run", "--quiet").stdout.startswith("results/runs/")
    assert not list(tmp_path.iterdir())


def test_lines_and_columns_fit_terminals(monkeypatch):
    from nashgames.cli.columns import fitted

    found = forecast(small(seeds=2))
    for width in (60, 80, 200):
        tables, padding = fitted(terminal.sheet(found.programs), width)
        for table in tables:
            for row in (table.headings, *table.rows):
                widest = [max(len(line) for line in cell.split("\n")) for cell in row]
                assert sum(widest) + padding * (len(row) - 1) <= width
    # 13 letters of a name stand before each.
    assert max(len(text) for _, text in terminal.lines(found)) <= 60 - 13
    many = found.programs * 8
    assert terminal.sheet(many).caption == f"and {len(many) - 12} programs that take less"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("sweep", "--actions", "3000000", "--dry-run"),
            "a game of 3,000,000 actions in float64 needs 36.02 TB of memory",
        ),
        (("sweep", "--game", "wims.csv", "--dry-run"), "there is no file 'wims.csv'"),
        (("run", "disc", "--dry-run", "--out", "mine"), "'mine' holds files that are not results"),
        (("run", "disc", "--dry-rum"), "--dry-run"),
        (("run", "disc", "--dry-run=yes"), "--dry-run takes no value"),
        (("run", "disc", "--dry-run", "--queries", "1"), "one step of"),
    ],
)
def test_a_mistake_is_told_as_the_command_itself_would(tmp_path, arguments, said):
    Path("mine").mkdir()
    Path("mine/thesis.tex").write_text("")
    result = call(*arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert everything_in(tmp_path).keys() == {str(tmp_path / "mine"), str(tmp_path / "mine/thesis.tex")}


def test_ctrl_c_says_that_nothing_was_written(monkeypatch):
    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "forecast", stopped)
    result = call("run", "disc", "--dry-run")
    assert (result.exit_code, result.stderr) == (130, "error: stopped; nothing was written\n")


def test_a_directory_that_is_read_is_left_as_it_is(tmp_path):
    [*runner.execute(small(), tmp_path / "out")]
    before = everything_in(tmp_path)
    assert call("sweep", *ASKED, "--out", "out", "--dry-run").exit_code == 0
    assert everything_in(tmp_path) == before
    assert len(Results.read(tmp_path / "out").runs) == 8


@pytest.mark.parametrize(("storage", "times"), [("dense", 9), ("lowrank", 3)])
def test_a_product_grows_like_the_entries_that_are_read_and_with_factors_like_the_actions(storage, times):
    asked = small(storage=storage, game=("bilinear",))
    run = plan(asked, settings_of(asked))[0][0]
    assert module._growth(run, 3) == times
