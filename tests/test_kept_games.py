"""Tables of data stay with the results: a directory can be moved, and a table that has changed is told."""

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from nashgames.cli.main import app
from nashgames.errors import NashGamesError
from nashgames.experiments import runner
from nashgames.experiments.experiment import Experiment
from nashgames.experiments.sources import changed_since, find_again, find_source
from nashgames.games.tables.files import fingerprint
from nashgames.store import Results
from tests.stored import fill, look, rows


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "runs" / "disc-1a2b"


@pytest.fixture
def wins(tmp_path):
    path = tmp_path / "wins.CSV"
    path.write_text("0.5,0.75\n0.25,0.5\n")
    return path


def test_the_file_of_a_game_is_kept_under_its_content(directory, wins):
    name, data = fingerprint(wins), wins.read_bytes()
    adding = Results.open(directory)
    adding.keep_game(name, wins)
    assert not directory.exists()
    adding.add(**rows("aaa"))
    assert [path.name for path in (directory / "games").iterdir()] == [f"{name}.csv"]
    wins.unlink()
    moved = directory.rename(directory.with_name("moved"))
    kept = Results.read(moved).game_file(name)
    assert kept == moved / "games" / f"{name}.csv"
    assert kept.read_bytes() == data
    # An experiment that has nothing to play keeps it too, once.
    before = kept.stat().st_ino
    again = Results.open(moved)
    again.keep_game(name, wins)
    again.flush()
    assert kept.stat().st_ino == before


@pytest.mark.parametrize("reason", ["gone", "changed", "too large"])
def test_a_file_that_is_another_by_now_is_not_kept(directory, wins, reason, monkeypatch):
    name = fingerprint(wins)
    adding = Results.open(directory)
    adding.keep_game(name, wins)
    if reason == "gone":
        wins.unlink()
    elif reason == "changed":
        wins.write_text("0.5,0.25\n0.75,0.5\n")
    else:
        monkeypatch.setattr("nashgames.store.kept.LARGEST", wins.stat().st_size - 1)
    adding.add(**rows("aaa"))
    assert adding.game_file(name) is None
    assert not (directory / "games").exists()
    assert look(directory) == {"aaa": 0.25}


@pytest.mark.parametrize("name", [None, "", "../manifest", "*", "0" * 16, "g" * 16])
def test_a_name_from_a_table_is_no_path(directory, name):
    fill(directory, "aaa")
    (directory / "games").mkdir()
    (directory / "games" / "fedcba9876543210.csv").write_text("")
    assert Results.read(directory).game_file(name) is None


def test_a_kept_file_with_other_bytes_is_told(directory, wins):
    name = fingerprint(wins)
    adding = Results.open(directory)
    adding.keep_game(name, wins)
    adding.flush()
    (directory / "games" / f"{name}.csv").write_text("0.5,0.25\n0.75,0.5\n")
    with pytest.raises(NashGamesError, match=rf"{name}\.csv' is damaged, its bytes are not those it is named after"):
        adding.game_file(name)


# -- games of stored rows ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["csv", "npy"])
def test_a_game_of_stored_rows_is_made_from_the_copy_that_was_kept(tmp_path, monkeypatch, suffix):
    """Moved away from its table, and beside another table of the same name, a directory gives the game it played."""
    monkeypatch.chdir(tmp_path)
    played = np.array([[0.5, 0.75], [0.25, 0.5]])
    name, text = f"wins.{suffix}", f"wins.{suffix}[symmetrise=true]"

    def save(table):
        np.save(name, table) if suffix == "npy" else np.savetxt(name, table, delimiter=",")

    save(played)
    source = find_source(text)
    kept = (tmp_path / "games" / "0.").with_suffix(f".{suffix}")
    kept.parent.mkdir()
    kept.write_bytes(source.file.read_bytes())
    for there in ("the same", "another", "none"):
        if there == "another":
            save(1 - played)
        elif there == "none":
            Path(name).unlink()
        again = find_again(text, source.fingerprint, kept)
        assert (again, again.text, again.fingerprint) == (source, source.text, source.fingerprint)
        np.testing.assert_array_equal(again.make(None, 0, 0.1, "float64").margins.to_dense(), played - 0.5)


def test_a_table_that_has_changed_and_was_not_kept_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("wins.csv").write_text("0.5,0.75\n0.25,0.5\n")
    before = find_source("wins.csv")
    assert find_again("wins.csv", before.fingerprint, None) == before
    assert find_again("wins.csv", None, None) == before, "rows of before have no fingerprint"
    assert changed_since("wins.csv", before.fingerprint) is None
    Path("wins.csv").write_text("0.5,0.25\n0.75,0.5\n")
    now = find_source("wins.csv").fingerprint
    changed = f"'wins.csv' has changed since (fingerprint {before.fingerprint} → {now})"
    assert changed_since("wins.csv", before.fingerprint) == changed
    with pytest.raises(NashGamesError) as caught:
        find_again("wins.csv", before.fingerprint, None)
    assert str(caught.value) == f"{changed}, and no copy was kept; restore the old file or play the runs again"
    Path("wins.csv").unlink()
    assert changed_since("wins.csv", before.fingerprint) is None
    with pytest.raises(NashGamesError, match=r"there is no file 'wins\.csv'"):
        find_again("wins.csv", before.fingerprint, None)


def test_stored_rows_run_no_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text("raise SystemExit('it ran')\n")
    with pytest.raises(NashGamesError, match=r"runs only where its user names it"):
        find_again("mine.py:Game", "0" * 16, None)
    assert find_again("disc", None, None) == find_source("disc")


# -- commands ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["run", "equilibrium"])
def test_a_command_keeps_the_table_it_plays_and_leaves_whole_tables(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    Path("wins.csv").write_text("stone,paper,shears\n0.5,0.1,0.9\n0.9,0.5,0.1\n0.1,0.9,0.5\n")
    if command == "run":
        experiment = Experiment(game=["wins.csv", "circulant"], solver="nash-mp", queries=20, tolerance=0.49)
        list(runner.execute(experiment, tmp_path / "out"))
    else:
        done = CliRunner().invoke(app, ["equilibrium", "wins.csv", "--beta", "0.1", "--out", "out", "--no-plot"])
        assert done.exit_code == 0, done.output
    (tmp_path / "elsewhere").mkdir()
    moved = (tmp_path / "out").rename(tmp_path / "elsewhere" / "out")
    Path("wins.csv").unlink()
    assert {path.name for path in moved.iterdir()} >= {"games", "runs.parquet", "curves.parquet", "policies.parquet"}
    assert not (moved / "parts").exists()
    results = Results.read(moved)
    (told,) = results.runs["game_fingerprint"].dropna()
    assert len(list((moved / "games").iterdir())) == 1
    again = find_again("wins.csv", told, results.game_file(told)).make(None, 0, 0.1, "float64")
    assert again.description.labels == ("stone", "paper", "shears")
    assert again.margins.to_dense()[0].tolist() == pytest.approx([0, -0.4, 0.4])
