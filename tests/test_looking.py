"""Looking at what is there: `runs` and `export` of results directories, and `init`, the file to begin with."""

import csv
import io
import json
import re
import sys
import tomllib
from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from nashgames.analysis.outcome_table import outcome_table
from nashgames.cli import display, init, runs
from nashgames.cli.columns import fitted
from nashgames.cli.latex import escape, latex
from nashgames.cli.main import app
from nashgames.errors import NashGamesError
from nashgames.experiments.experiment import Experiment, presets
from nashgames.store import Results
from tests.stored import POINTS, fill, rows


def call(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def complaint(*arguments):
    result = call(*arguments)
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    return result.stderr


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def add(directory, run_id, **told):
    results = Results.open(directory)
    results.begin({"seed": 0}, [*Results.open(directory).manifest["run_ids"], run_id], {"cores": 2})
    frames = rows(run_id)
    for name in ("runs", "curves"):
        frames[name] = frames[name].assign(**{key: told[key] for key in told if key in frames[name]})
    results.add(**frames)


@pytest.fixture
def mine():
    """Four runs of two solvers, of which one diverged, and a fifth that is not finished."""
    add("mine", "a", beta=0.1, suboptimality=1e-3)
    add("mine", "b", beta=0.1, label="omwu", solver="omwu", status="budget", suboptimality=1e-9, queries=1234)
    add("mine", "c", beta=1.0, seed=1, suboptimality=0.0)
    add("mine", "d", beta=1.0, seed=2, status="diverged", game="melo<&>", suboptimality=np.nan)
    with Results.open("mine") as results:
        results.manifest["run_ids"] = ["a", "b", "c", "d", "e"]
        results.flush()
    return "mine"


# -- runs --------------------------------------------------------------------------------------------------------------


def lines(*arguments):
    result = call("runs", *arguments)
    assert result.exit_code == 0, result.output
    return result.stdout.splitlines()


def test_runs_are_a_table_with_how_they_ended(mine):
    head, first, second, _, _, tally, left = lines(mine)
    assert head.split() == ["game", "actions", "β", "seed", "solver", "status", "queries", "suboptimality"]
    assert first.split() == ["disc[strength=2]", "3", "0.1", "0", "nash-mp", "converged", "6", "1.0e-03"]
    assert second.split()[4:] == ["omwu", "budget", "1,234", "1.0e-09"]
    assert tally == " 4 runs: 2 converged · 1 budget · 1 diverged"
    assert left == " 1 of 5 runs of the last command in mine are not finished"


def test_runs_are_chosen_sorted_and_limited(mine):
    assert [run["id"] for run in json.loads(call("runs", mine, "--failed", "--json").stdout)["runs"]] == ["d"]
    told = ("runs", mine, "--json", "--where", "beta == 0.1 or seed == 1", "--sort", "-beta,suboptimality")
    answer = json.loads(call(*told).stdout)
    assert [run["id"] for run in answer["runs"]] == ["c", "b", "a"]
    answer = json.loads(call(*told, "--limit", "2").stdout)
    assert ([run["id"] for run in answer["runs"]], answer["count"]) == (["c", "b"], 3)
    assert lines(mine, "--limit", "1")[-2] == " the first 1 are shown; --limit 4 shows all"
    # What is missing comes last, whichever way is asked for.
    for sort in ("suboptimality", "-suboptimality"):
        assert json.loads(call("runs", mine, "--json", "--sort", sort).stdout)["runs"][-1]["id"] == "d"


def test_no_run_is_said(mine):
    assert lines(mine, "--where", "beta > 7")[0] == ' no run is here with "beta > 7"'
    assert lines(mine, "--failed", "--where", "seed == 0")[0] == ' no run failed with "seed == 0"'


def test_runs_of_several_directories_say_where_they_are(mine):
    add("other", "z", beta=0.1)
    head, *_ = lines(mine, "other", "--where", "beta == 0.1")
    assert head.split()[0] == "directory"
    answer = json.loads(call("runs", mine, "other", "--json").stdout)
    assert answer["directories"] == ["mine", "other"]
    assert [run["directory"] for run in answer["runs"]] == ["mine"] * 4 + ["other"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--sort", "bata"], "unknown --sort 'bata'; did you mean 'beta'? Accepted: run_id, game"),
        (["--sort", ","], "--sort is empty; accepted: columns of runs"),
        (["--limit", "0"], "--limit is '0'; accepted: an integer of at least 1"),
        (["--limit", "many"], "--limit is 'many'; accepted: an integer of at least 1"),
        (["--where", "bata > 1"], "--where names 'bata', which is not a column of runs; did you mean 'beta'?"),
        (["--where"], "--where needs a value; accepted: a condition"),
        (["--limits", "3"], "'--limits'; did you mean '--limit'?"),
    ],
)
def test_a_mistake_is_a_sentence(mine, options, said):
    assert f"error: {said}" in complaint("runs", mine, *options) or said in complaint("runs", mine, *options)


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_a_table_of_runs_fits_its_terminal(mine, columns):
    sheet = runs.table(Results.read(mine).runs)
    tables, padding = fitted(sheet, columns)
    for table in tables:
        cells = [table.headings, *table.rows]
        widths = [max(len(line) for row in cells for line in row[i].split("\n")) for i in range(len(table.headings))]
        assert sum(widths) + padding * (len(widths) - 1) <= columns
        # Whose a row is stands in every table.
        assert {"β", "solver"} <= set(table.headings)
    assert len(tables) == 1 or columns < 200


def test_on_a_terminal_the_first_rows_are_shown(mine, monkeypatch):
    monkeypatch.setattr(runs, "_MOST", 2)
    assert len(lines(mine)) == 7
    monkeypatch.setattr(runs, "_on_a_terminal", lambda: True)
    assert lines(mine)[3:5] == [
        " 4 runs: 2 converged · 1 budget · 1 diverged",
        " the first 2 are shown; --limit 4 shows all",
    ]
    assert len(lines(mine, "--limit", "4")) == 7


def test_a_table_of_very_many_rows_is_printed_at_once_as_it_would_be_by_rich(mine, monkeypatch):
    slowly = lines(mine)
    monkeypatch.setattr(display, "_STYLED", 0)
    monkeypatch.setattr(display, "_table", lambda *_: pytest.fail("row by row"))
    assert lines(mine) == slowly


# -- init --------------------------------------------------------------------------------------------------------------


def test_the_first_experiment_file_is_read_and_played():
    text = call("init").stdout
    Path("exp.toml").write_text(text, encoding="utf-8")
    asked = Experiment.from_toml("exp.toml")
    assert len(asked.cells()) == 18
    assert max(map(len, text.splitlines())) <= 100
    played = call("sweep", "exp.toml", "--seeds", "1", "--queries", "40", "--records", "4", "--no-plot", "--json")
    assert played.exit_code == 0, played.output
    assert json.loads(played.stdout)["directory"] == "results/runs/my-experiment"


def test_every_key_is_explained_and_what_is_commented_out_is_what_is_usual():
    text = init.template()
    behind = dict(re.findall(r"^# (\w+) = (.*)$", text.partition("# -- More grids")[0], re.MULTILINE))
    played = tomllib.loads(text)
    keys = {field.name for field in fields(Experiment)} - {"also"}
    assert set(behind) | set(played) == keys
    assert not set(behind) & set(played)
    whole = Experiment.from_dict(played)
    for key, value in behind.items():
        given = tomllib.loads(f"{key} = {value}")
        # On exact feedback there are no comparisons.
        more = {"feedback": "duels", "queries": None} if key == "comparisons" else {}
        again = Experiment.from_dict(played | given | more)
        assert (again == whole) == (key not in init._EXAMPLES), key
    grids = "\n".join(line.removeprefix("# ") for line in text.splitlines()[-3:])
    assert Experiment.from_dict(played | tomllib.loads(grids)).also


@pytest.mark.parametrize("name", presets())
def test_a_preset_s_file_is_its_own(name):
    assert call("init", name).stdout == presets()[name].read_text(encoding="utf-8")


def test_a_name_of_several_kinds_is_shown_as_each_of_them():
    shown = call("show", "phases").stdout
    assert "phases · figure\n" in shown and "phases · preset\n" in shown
    data = json.loads(call("show", "phases", "--json").stdout)
    assert (data["kind"], [other["kind"] for other in data["others"]]) == ("figure", ["preset"])


def test_an_unknown_preset_is_a_sentence():
    assert "unknown preset 'rates'; did you mean 'rate'?" in complaint("init", "rates")
    told = complaint("init", "rate", "b")
    assert "'nashgames init' takes no further argument 'b'; print one preset after the other" in told


# -- export ------------------------------------------------------------------------------------------------------------


def table_of(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_a_long_table_has_a_row_a_point_with_all_that_is_known_of_its_run(mine):
    text = call("export", mine).stdout
    found = table_of(text)
    assert len(found) == 4 * POINTS
    assert {"step", "label", "tolerance", "selection", "role"} <= found[0].keys()
    assert {row["label"] for row in found if row["run_id"] == "b"} == {"omwu"}
    again = pd.read_csv(io.StringIO(text))
    curves = Results.read(mine).curves
    np.testing.assert_array_equal(again["seconds"], curves["seconds"])
    np.testing.assert_array_equal(again["suboptimality"], curves["suboptimality"])


def test_a_wide_table_has_a_row_a_run_and_every_digit(mine):
    add(mine, "f", beta=1 / 3)
    assert call("export", mine, "--format", "wide", "--out", "runs.csv").stdout == ""
    found = table_of(Path("runs.csv").read_text())
    assert [row["run_id"] for row in found] == ["a", "b", "c", "d", "f"]
    assert float(found[-1]["beta"]) == 1 / 3
    assert found[3]["suboptimality"] == ""
    kept = table_of(call("export", mine, "--format", "wide", "--where", "beta < 0.2").stdout)
    assert [row["run_id"] for row in kept] == ["a", "b"]
    assert sorted(path.name for path in Path().iterdir()) == ["mine", "runs.csv"]


def outcomes(seeds):
    """Runs of two solvers on two β: nash-mp needs 10 + seed queries, omwu 5 more, and at β = 1 never arrives."""
    found = []
    for beta in (1.0, 0.1):
        for label, more in (("nash-mp", 0), ("omwu", 5)):
            for seed in range(seeds):
                run = rows(f"{label}{beta}{seed}")["runs"]
                reached = None if (label, beta) == ("omwu", 1.0) else 10 + seed + more
                found.append(
                    run.assign(
                        label=label, solver=label, selection=label, beta=beta, seed=seed, queries_to_tolerance=reached
                    )
                )
    runs = pd.concat(found, ignore_index=True)
    return runs.assign(queries_to_tolerance=pd.array(runs["queries_to_tolerance"].tolist(), "Int64"))


def test_the_table_of_outcomes_has_medians_intervals_and_the_best():
    table, measure, problem = outcome_table(outcomes(5))
    assert (measure, problem) == ("queries_to_tolerance", ["game", "beta"])
    shown = table.set_index(["label", "beta"])
    assert tuple(shown.loc[("nash-mp", 0.1), ["median", "low", "high", "best"]]) == (12, 10, 14, True)
    assert tuple(shown.loc[("omwu", 0.1), ["median", "low", "high", "best"]]) == (17, 15, 19, False)
    assert shown.loc[("omwu", 1.0), "median"] == np.inf and not shown.loc[("omwu", 1.0), "best"]
    ended, measure, _ = outcome_table(outcomes(5), "suboptimality")
    # All end alike: all of them are the best.
    assert measure == "suboptimality" and ended["best"].all()
    with pytest.raises(NashGamesError, match="unknown measure 'profit'"):
        outcome_table(outcomes(1), "profit")


def test_latex_is_a_booktabs_table_whose_caption_says_what_is_bold():
    text = latex(*outcome_table(outcomes(5)), [1e-10])
    assert r"nash-mp & \textbf{12} [10, 14] & \textbf{12} [10, 14] \\" in text
    assert r"omwu & -- & 17 [15, 19] \\" in text
    assert r" & \multicolumn{2}{c}{disc[strength=2]} \\" in text
    assert r"solver & $\beta = 1$ & $\beta = 0.1$ \\" in text
    assert "Median queries until a run reached 1e-10 over 5 seeds, in brackets the least and largest value." in text
    assert "Bold: the smallest median of a column, and every one equal to it." in text
    many = latex(*outcome_table(outcomes(12), "suboptimality"), [1e-10])
    assert r"$\mathbf{2.5\times10^{-1}}$" in many
    assert "Median suboptimality of the last iterate over 12 seeds" in many
    single = latex(*outcome_table(outcomes(1)), [1e-10])
    assert r"nash-mp & \textbf{10} & \textbf{10} \\" in single and "Queries until" in single
    for each in (text, many, single):
        body = each.partition(r"\toprule")[2].partition(r"\bottomrule")[0]
        assert all(each.count(f"\\{rule}rule") == 1 for rule in ("top", "mid", "bottom"))
        rows_of = [line for line in body.splitlines() if line.endswith(r"\\") and "multicolumn" not in line]
        assert {line.count(" & ") for line in rows_of} == {2}
        assert each.replace(r"\{", "").count("{") == each.replace(r"\}", "").count("}")


def test_text_of_users_is_escaped():
    assert escape(r"a_b & 50% \x {y} #1 ~^ $") == (
        r"a\_b \& 50\% \textbackslash{}x \{y\} \#1 \textasciitilde{}\textasciicircum{} \$"
    )
    fill("mine", "a")
    add("mine", "b", label=r"my_solver\input{x}", solver="mine")
    assert r"my\_solver\textbackslash{}input\{x\} &" in call("export", "mine", "--format", "latex").stdout


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--format", "xlsx"], "--format is 'xlsx'; accepted: csv, wide, latex"),
        (["--format", "latx"], "did you mean 'latex'?"),
        (["--format"], "--format needs a value; accepted: csv, wide, latex"),
        (["--out"], "--out needs a value; accepted: a file"),
        (["--format", "latex", "--y", "profit"], "--y is 'profit'"),
        (["--y", "suboptimality"], "--y is what the cells of --format latex show, and csv has all columns"),
        (["--out", "."], "--out is '.', which is not a file"),
        (["--out", ""], "--out is '', which is not a file"),
        (["--out", "no/where.csv"], "there is no folder 'no'; make it"),
        (["--where", "beta > 7"], "'mine' has no finished run with \"beta > 7\""),
        (["--where", "beta >"], '--where is "beta >", which is not a condition'),
    ],
)
def test_a_mistake_of_export_is_a_sentence(mine, options, said):
    assert said in complaint("export", mine, *options)
    assert not Path("no").exists()


def test_exact_feedback_and_duels_have_a_table_each(mine):
    add(mine, "f", feedback="duels[batch=1]")
    assert "take one kind at a time, with --where" in complaint("export", mine, "--format", "latex")
    told = ["export", mine, "--format", "latex", "--where", "feedback != 'exact'"]
    assert "Suboptimality of the last iterate" in call(*told).stdout


# -- sinks -------------------------------------------------------------------------------------------------------------


def scalars(folder):
    """The points in the event files of a folder, by what follows in its name and by tag, read without their writer."""
    from tensorboardX.proto.event_pb2 import Event

    found = {}
    for path in folder.rglob("events.*"):
        data, mine = path.read_bytes(), found.setdefault(path.parent.relative_to(folder).as_posix(), {})
        while data:
            # A record: its length, 4 bytes of checksum, itself, 4 bytes of checksum.
            size = int.from_bytes(data[:8], "little")
            event, data = Event.FromString(data[12 : 12 + size]), data[16 + size :]
            for value in event.summary.value:
                if value.HasField("simple_value"):
                    mine.setdefault(value.tag, []).append((event.step, value.simple_value))
                else:
                    mine[value.tag] = value.tensor.string_val[0].decode()
    return found


def test_tensorboard_gets_the_points_and_settings_of_every_run(mine):
    pytest.importorskip("tensorboardX", reason="the extra tensorboard is not installed")
    assert call("export", mine, "--format", "tensorboard", "--out", "logs").output == ""
    found = scalars(Path("logs"))
    assert len(found) == 4
    (name,) = (name for name in found if name.endswith("omwu-0-b"))
    assert name == "disc-strength=2-n3-beta0.1/omwu-0-b"
    curve = Results.read(mine).curves.query("run_id == 'b'").sort_values("step")
    steps, values = zip(*found[name]["suboptimality"], strict=True)
    assert list(steps) == curve["queries"].tolist()
    np.testing.assert_array_equal(values, curve["suboptimality"].astype(np.float32))
    assert "| beta | 0.1 |" in found[name]["run/text_summary"]
    # What is empty is no point, and another export does not add to this one.
    (diverged,) = (mine for name, mine in found.items() if name.endswith("-d"))
    assert "suboptimality" not in diverged and "entropy" in diverged
    assert "--out is 'logs', where something is already" in complaint(
        "export", mine, "--format", "tensorboard", "--out", "logs"
    )
    assert sorted(path.name for path in Path().iterdir()) == ["logs", "mine"]


def test_mlflow_gets_every_run_once(mine, monkeypatch):
    mlflow = pytest.importorskip("mlflow", reason="the extra mlflow is not installed")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    for _ in range(2):
        assert call("export", mine, "--format", "mlflow", "--out", "tracked").exit_code == 0
    client = mlflow.MlflowClient(tracking_uri="tracked")
    number = client.get_experiment_by_name("nashgames").experiment_id
    runs = {run.data.tags["nashgames.run_id"]: run for run in client.search_runs([number])}
    assert sorted(runs) == ["a", "b", "c", "d"]
    assert (runs["b"].data.params["label"], runs["b"].data.tags["nashgames.status"]) == ("omwu", "budget")
    told = client.get_metric_history(runs["b"].info.run_id, "suboptimality")
    curve = Results.read(mine).curves.query("run_id == 'b'").sort_values("step")
    assert [(point.step, point.value) for point in told] == list(
        zip(curve["queries"], curve["suboptimality"], strict=True)
    )


@pytest.mark.parametrize("extra", ["tensorboard", "mlflow"])
def test_a_sink_needs_its_extra_and_a_place(mine, monkeypatch, extra):
    assert f"--format {extra} needs --out: " in complaint("export", mine, "--format", extra)
    for module in ("tensorboardX", "mlflow"):
        monkeypatch.setitem(sys.modules, module, None)
    said = complaint("export", mine, "--format", extra, "--out", "there")
    assert said.rstrip().endswith(f"is not installed; run: pip install 'nashgames[{extra}]'")
    assert not Path("there").exists()
