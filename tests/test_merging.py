"""Directories of machines that share nothing, united: nothing lost, nothing twice, nothing overwritten."""

import json
import shutil

import pandas as pd
import pytest
from typer.testing import CliRunner

from nashgames.cli.main import app
from nashgames.errors import NashGamesError
from nashgames.experiments import runner
from nashgames.store import FAILURE_COLUMNS, SCHEMAS, Results
from nashgames.store.merging import merge
from tests.stored import fill, look, rows
from tests.test_durability import experiment, same


def call(*arguments):
    return CliRunner().invoke(app, ["merge", *map(str, arguments)])


def test_runs_of_several_directories_are_united_and_those_of_both_are_there_once(tmp_path):
    for name, ids in {"a": ("aaa", "bbb"), "b": ("bbb", "ccc"), "c": ("ddd",)}.items():
        fill(tmp_path / name, *ids, folded=name != "c")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    merged = merge([tmp_path / name for name in "abc"], tmp_path / "out")
    assert (merged.runs, merged.repeated, merged.conflicts) == (4, 1, ())
    assert list(merged.of_each.values()) == [2, 1, 1]
    assert look(tmp_path / "out") == dict.fromkeys(("aaa", "bbb", "ccc", "ddd"), 0.25)
    assert {path: path.read_bytes() for path in before} == before
    manifest = Results.read(tmp_path / "out").manifest
    assert manifest["run_ids"] == ["aaa", "bbb", "ccc", "ddd"]
    assert [entry["run_ids"] for entry in manifest["history"]] == [["aaa", "bbb"], ["bbb", "ccc"], ["ddd"]]


@pytest.mark.parametrize("table", SCHEMAS)
def test_other_rows_of_a_run_are_a_conflict_and_the_first_are_kept(tmp_path, table):
    fill(tmp_path / "a", "aaa", "bbb")
    frames = rows("aaa")
    column = {"policies": "probability", "paths": "probability", "certificates": "bias"}.get(table, "entropy")
    frames[table].loc[frames[table].index[-1], column] += 1e-12
    with Results.open(tmp_path / "b") as other:
        other.begin({}, ["aaa"], {})
        other.add(**frames)
    result = call(tmp_path / "a", tmp_path / "b", "--out", tmp_path / "out", "--json")
    assert result.exit_code == 1
    data = json.loads(result.stdout)
    assert data["conflicts"] == [["aaa", str(tmp_path / "a"), str(tmp_path / "b")]]
    assert f"run aaa differs in '{tmp_path / 'b'}' from '{tmp_path / 'a'}', whose rows are kept" in result.stderr
    assert look(tmp_path / "out") == {"aaa": 0.25, "bbb": 0.25}


def test_how_long_a_run_took_is_no_conflict(tmp_path):
    fill(tmp_path / "a", "aaa")
    frames = rows("aaa")
    frames["runs"]["solve_seconds"] = 99.0
    frames["curves"]["seconds"] += 1
    with Results.open(tmp_path / "b") as other:
        other.begin({}, ["aaa"], {})
        other.add(**frames)
    assert merge([tmp_path / "a", tmp_path / "b"], tmp_path / "out").repeated == 1


def test_halves_of_a_sweep_are_the_whole_and_go_on_as_one(tmp_path):
    list(runner.execute(experiment(), tmp_path / "whole"))
    for half in ("nash-mp", "mirror-descent"):
        list(runner.execute(experiment(solver=half), tmp_path / half))
    result = call(tmp_path / "nash-mp", tmp_path / "mirror-descent", "--out", tmp_path / "out")
    assert result.exit_code == 0
    assert "4 runs" in result.stdout
    same(tmp_path / "out", tmp_path / "whole")
    planned, *_ = runner.execute(experiment(), tmp_path / "out")
    assert (planned.reused, planned.batches) == (4, 0)


def test_failures_come_along_unless_somebody_finished_the_run(tmp_path):
    fill(tmp_path / "a", "aaa")
    fill(tmp_path / "b", "bbb")
    told = rows("aaa")["runs"].assign(status="failed", reason="why", attempts=1, failed="now")[list(FAILURE_COLUMNS)]
    with Results.open(tmp_path / "b") as other:
        other.add_failures(pd.concat([told, told.assign(run_id="ccc")]), "log")
    merge([tmp_path / "a", tmp_path / "b"], tmp_path / "out")
    assert list(Results.read(tmp_path / "out").failures["run_id"]) == ["ccc"]
    shown = CliRunner().invoke(app, ["runs", str(tmp_path / "out"), "--failed"])
    assert "1 run: 1 failed" in shown.stdout
    assert "1: why" in shown.stdout


def test_mistakes_are_told(tmp_path):
    fill(tmp_path / "a", "aaa")
    fill(tmp_path / "b", "bbb")
    with pytest.raises(NashGamesError, match="merge unites directories and was given one"):
        merge([tmp_path / "a"], tmp_path / "out")
    shutil.copytree(tmp_path / "a", tmp_path / "out")
    for arguments, said in {
        (tmp_path / "a", tmp_path / "b"): "none is given; name it with --out",
        (tmp_path / "a", tmp_path / "b", "--out", tmp_path / "out"): "is not empty, and merge overwrites nothing",
        (tmp_path / "a", tmp_path / "none", "--out", tmp_path / "new"): "holds no results",
    }.items():
        result = call(*arguments)
        assert (result.exit_code, result.stderr.count("error:")) == (2, 1)
        assert said in result.stderr
    assert not (tmp_path / "new").exists()
    assert look(tmp_path / "out") == {"aaa": 0.25}
