"""`nashgames plot`: which runs it draws, how it splits them, beside a command that writes, and what it removes."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from nashgames import plots
from nashgames.analysis.gather import Gathered
from nashgames.cli.main import app
from nashgames.errors import NashGamesError
from nashgames.plots import drawn_unasked, panels
from nashgames.plots.convergence import convergence
from nashgames.store import Results
from tests.stored import rows
from tests.test_plots import experiment, join


def call(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def data(*arguments):
    result = call(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def add(directory, run_id, begin=True, **told):
    """A run in the directory, as a command that goes on to write leaves it: in a part."""
    results = Results.open(directory)
    if begin:
        results.begin({"seed": 0}, [run_id], {"cores": 2})
    frames = rows(run_id)
    frames = {name: frames[name] for name in ("runs", "curves", "policies")}
    for name in ("runs", "curves"):
        frames[name] = frames[name].assign(**{key: told[key] for key in told if key in frames[name]})
    results.add(**frames)
    return results


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def names(answer, key="figures"):
    return sorted(Path(path).name for path in answer[key])


def test_all_runs_are_drawn_unless_told_otherwise():
    add("mine", "a", beta=0.1)
    add("mine", "b", beta=0.2)
    drawn = data("plot", "mine", "--format", "svg", "--figure", "convergence")
    assert "β" not in drawn["captions"]["convergence"]
    alone = data("plot", "mine", "--format", "svg", "--figure", "convergence", "--last")
    assert "β = 0.2" in alone["captions"]["convergence"]


def test_a_condition_is_in_the_caption_and_the_name_of_the_file():
    add("mine", "a", beta=0.1)
    add("mine", "b", beta=0.2)
    answer = data("plot", "mine", "--format", "svg", "--where", "beta < 0.15")
    (name,) = answer["captions"]
    assert name.startswith("convergence-where-")
    assert "β = 0.1" in answer["captions"][name]
    assert answer["captions"][name].endswith("runs with beta < 0.15")
    other = data("plot", "mine", "--format", "svg", "--where", "beta > 0.15")
    assert names(other) != names(answer)
    refused = call("plot", "mine", "--where", "bata > 1")
    assert refused.exit_code == 2
    assert "error: --where names 'bata', which is not a column of runs; did you mean 'beta'?" in refused.stderr
    assert 'no finished run to draw with "beta > 1"' in call("plot", "mine", "--where", "beta > 1").stderr


def test_where_no_figure_can_be_drawn_that_is_said():
    add("mine", "a", solver="referee", label="referee")
    refused = call("plot", "mine", "--facet", "beta")
    assert refused.exit_code == 2
    assert "no figure applies to the runs in 'mine'; name one with --figure" in refused.stderr


def test_several_directories_are_one_figure_in_a_place_of_its_own():
    add("one", "a", beta=0.1)
    add("two", "b", beta=0.2)
    refused = call("plot", "one", "two")
    assert (refused.exit_code, "say where it goes with --out" in refused.stderr) == (2, True)
    answer = data("plot", "one", "two", "--format", "svg", "--out", "both")
    assert names(answer) == ["convergence.svg"]
    assert "β" not in answer["captions"]["convergence"]
    assert Path("both/convergence.svg").is_file()
    assert not list(Path("one").glob("*.svg"))
    apart = data("plot", "one", "two", "--format", "svg", "--out", "both", "--facet", "directory")
    assert names(apart) == ["convergence-by-directory.svg"]


def test_figures_are_drawn_beside_a_command_that_goes_on_to_write():
    """Its run is drawn, the figure recorded, no part folded, and what the command writes afterwards is kept."""
    writing = add("mine", "a")
    answer = data("plot", "mine", "--format", "svg")
    assert names(answer) == ["convergence.svg"]
    assert list(Path("mine/parts").glob("*.zip"))
    writing.add(**{name: frame for name, frame in rows("b").items() if name in ("runs", "curves", "policies")})
    writing.manifest["counts"] = {"runs": 2}
    writing.flush()
    kept = Results.read("mine")
    assert kept.finished == {"a", "b"}
    assert kept.manifest["figures"] == ["convergence.svg"]
    assert kept.manifest["counts"] == {"runs": 2}


def test_before_a_run_is_finished_there_is_nothing_to_draw():
    results = Results.open("mine")
    results.begin({"seed": 0}, ["a"], {})
    results.flush()
    result = call("plot", "mine")
    assert result.exit_code == 2
    assert "'mine' has no finished run to draw; wait for the command that plays them" in result.stderr


def test_figures_that_no_longer_belong_are_removed():
    """One game became two: its figure is now one of two, and what was asked for by name stays."""
    add("mine", "a")
    assert names(data("plot", "mine", "--format", "svg")) == ["convergence.svg"]
    data("plot", "mine", "--format", "svg", "--y", "kl_to_equilibrium")
    Path("mine/convergence.pdf").touch()  # Somebody else's.
    add("mine", "b", begin=False, game="melo")
    answer = data("plot", "mine", "--format", "svg")
    assert names(answer) == ["convergence-disc-strength-2.svg", "convergence-melo.svg"]
    assert names(answer, "removed") == ["convergence.svg"]
    there = {path.name for path in Path("mine").iterdir() if path.suffix in (".svg", ".pdf", ".txt")}
    assert there == {
        "convergence-disc-strength-2.svg", "convergence-disc-strength-2.txt", "convergence-melo.svg",
        "convergence-melo.txt", "convergence-kl_to_equilibrium.svg", "convergence-kl_to_equilibrium.txt",
        "convergence.pdf",
    }  # fmt: skip
    assert set(Results.read("mine").manifest["figures"]) == {name for name in there if name.endswith(".svg")}
    assert data("plot", "mine", "--format", "svg")["removed"] == []


def test_figures_of_an_earlier_experiment_go_and_narrowed_ones_remove_nothing():
    add("mine", "a")
    data("plot", "mine", "--format", "svg")
    with Results.open("mine") as results:
        results.manifest["figures"] = ["convergence.svg", "theorems.png"]
        results.flush()
    Path("mine/theorems.png").touch()
    add("mine", "b")
    assert data("plot", "mine", "--format", "svg", "--last")["removed"] == []
    said = call("plot", "mine", "--format", "svg").stdout
    assert " removed   theorems.png: not of what is here now" in said.splitlines()
    assert not Path("mine/theorems.png").exists()


@pytest.mark.parametrize(
    ("stem", "unasked"),
    [
        ("convergence", True),
        ("convergence-comparisons", True),
        ("convergence-disc-strength-2", True),
        ("rates-melo", True),
        ("convergence-duality_gap", False),
        ("convergence-steps", False),
        ("convergence-by-solver", False),
        ("convergence-where-1a2b", False),
        ("profiles", False),
        ("mine", False),
    ],
)
def test_which_figures_are_drawn_unasked(stem, unasked):
    assert drawn_unasked(stem) is unasked


def test_panels_are_those_that_are_asked_for():
    runs, curves = experiment(betas=(0.1, 0.01), actions=(3, 10), seeds=1, solvers=("nash-mp", "online-ipo"))
    prepared, laid = panels.laid(runs, ["solver"])
    assert [panel.title for panel in laid.panels] == ["nash-mp", "online-ipo"]
    assert set(prepared["label"]) == {f"n = {n} · β = {beta}" for n in (3, 10) for beta in (0.1, 0.01)}
    prepared, laid = panels.laid(runs, ["beta"])
    assert [panel.title for panel in laid.panels] == ["β = 0.1", "β = 0.01"]
    assert set(prepared["label"]) == {f"{name} · n = {n}" for name in ("nash-mp", "online-ipo") for n in (3, 10)}
    with pytest.raises(NashGamesError, match="unknown facet 'betta'; did you mean 'beta'"):
        panels.laid(runs, ["betta"])
    figure = convergence(curves, runs, facet=["solver"])
    assert [cell.get_title() for cell in figure.axes] == ["nash-mp", "online-ipo"]
    with pytest.raises(NashGamesError, match="facet is of curves, and the figure 'rates' has panels of its own"):
        plots.figures(plots.Rows(runs, curves, facet=("solver",)), ["rates"])


def test_runs_of_several_commands_that_differ_in_their_budget_are_no_seeds_of_each_other():
    runs, _ = join(*[(part[0].assign(budget=budget), part[1]) for budget, part in (
        (100, experiment(betas=(0.1,), actions=(3,), seeds=2, solvers=("nash-mp",))),
        (900, experiment(betas=(0.1,), actions=(3,), seeds=2, solvers=("nash-mp",))),
    )])  # fmt: skip
    assert set(panels.prepare(runs)["label"]) == {"nash-mp · budget 100", "nash-mp · budget 900"}


def test_the_paths_of_a_gathered_run_are_those_of_its_directory(tmp_path):
    add("mine", "a")
    assert Gathered([Path("mine")]).paths.empty
