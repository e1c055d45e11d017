"""The registry of figures: every entry draws what it applies to and says no elsewhere, by name and to the byte."""

import ast
import dataclasses
import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import scipy
from typer.testing import CliRunner

import nashgames as ng
from nashgames import plots
from nashgames.analysis.derived_limits import limits_of
from nashgames.cli import plot
from nashgames.cli.main import app
from nashgames.core.game import make_game
from nashgames.core.margins import DenseMargins
from nashgames.core.metrics import STOPPING_COLUMN
from nashgames.defaults import REFEREE
from nashgames.errors import NashGamesError
from nashgames.plots import FIGURES, Rows, applicable, figures, writing
from nashgames.store import Results
from tests import sweeps
from tests.games import random_game
from tests.test_plots import decay, experiment, join, rows, sampled, walk

FOLDER = Path(plots.__file__).parent


@cache
def three_actions():
    runs, curves = experiment(betas=(0.1,), actions=(3,), seeds=1, solvers=("nash-mp", "online-ipo"))
    return Rows(runs.assign(tolerance=1e-10), curves, walk(runs))


@cache
def duels():
    return Rows(*join(*[sampled(decay(0.01 * (1 + seed)), seed=seed) for seed in range(12)]))


@cache
def swept_steps():
    parts = [sweeps.played(sweeps.STEPS[::2], beta=beta) for beta in (0.1, 0.02)]
    runs, curves = join(*parts)
    # The stand-in rows have no column that no figure of steps reads.
    extra = {"span_to_equilibrium": np.nan, "comparisons": 0}
    ends = curves.drop_duplicates("run_id", keep="last").set_index("run_id")["suboptimality"]
    ended = {"tolerance": 1e-10, "queries": 2000, "queries_to_tolerance": None}
    runs = runs.assign(suboptimality=runs["run_id"].map(ends), **ended, **extra)
    return Rows(runs, curves.assign(status="budget", **extra))


@cache
def beside_the_equilibrium():
    """The same swept steps, started where a first distance is a measure."""
    rows = swept_steps()
    return dataclasses.replace(rows, runs=rows.runs.assign(start="equilibrium[distance=0.001]"))


@cache
def exact_path():
    runs, curves = join(*[rows([(0, 0.0)], solver=REFEREE, beta=beta, n=3) for beta in (1.0, 0.1)])
    policies = [
        {"run_id": run, "context": 0, "action": action, "label": str(action), "probability": (action + 1) / 6}
        for run in runs["run_id"]
        for action in range(3)
    ]
    return Rows(runs, curves, policies=pd.DataFrame(policies))


@cache
def grid():
    runs, curves = experiment(seeds=1, solvers=("nash-mp",))
    return Rows(runs.assign(tolerance=1e-10), curves)


@cache
def made_again():
    runs, curves = rows(decay(), n=4, solver="online-ipo")
    return Rows(runs, curves, game_of=lambda run: random_game(np.random.default_rng(0), int(run["n"]), run["beta"]))


@cache
def sequences():
    """Two methods at the end of runs on a game of sequences, the second with its whole mass on the last one."""
    made = ng.games.sequence_voters(vocabulary=2, length=2, contexts=2)
    runs, curves = join(
        *[rows(decay(), n=made.actions, solver=solver, beta=0.1) for solver in ("nash-prox", "online-ipo")]
    )
    shape = (2, made.actions)
    last = np.where(np.arange(made.actions) == made.actions - 1, 0.0, -np.inf)
    policies = [
        pd.DataFrame(
            {
                "run_id": run,
                "context": np.indices(shape)[0].ravel(),
                "action": np.indices(shape)[1].ravel(),
                "log_probability": np.broadcast_to(log_policy, shape).ravel(),
            }
        )
        for run, log_policy in zip(runs["run_id"], (np.full(made.actions, -np.log(made.actions)), last), strict=True)
    ]
    runs = runs.assign(game="sequence-voters", reference="uniform", tolerance=1e-10)
    return Rows(runs, curves, policies=pd.concat(policies), game_of=lambda run: made)


# What can be drawn of each kind of results, beside where `figures` draws more or less of it unasked.
KINDS = {
    three_actions: {"convergence", "improvement", "profiles", "simplex", "theorems"},
    duels: {"convergence-comparisons", "share"},
    swept_steps: {"convergence", "phases", "queries", "rates"},
    beside_the_equilibrium: {"convergence", "phases", "queries", "rates", "regimes"},
    exact_path: {"equilibria"},
    grid: {"convergence", "queries", "rates", "theorems"},
    made_again: {"convergence", "preferences"},
    sequences: {"convergence", "improvement", "preferences", "profiles", "win-rates", "writing"},
}
EXAMPLES = {name: next(kind for kind, there in KINDS.items() if name in there) for name in FIGURES}


def save_examples(folder, examples):
    """Every figure as a file, and one of them in all formats."""
    for name, kind in examples:
        made = figures(kind(), [name])
        assert list(made) == [name]
        formats = ("png", "pdf", "svg") if name == "simplex" else ("svg",)
        plots.save(made[name], folder / kind.__name__ / name, formats)


def files_in(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("kind", KINDS)
def test_what_applies_to_each_kind_of_results(kind, here):
    assert set(applicable(kind())) == KINDS[kind]
    svgs = [name for name in here if name.startswith(f"{kind.__name__}/") and name.endswith(".svg")]
    assert sorted(svgs) == sorted(f"{kind.__name__}/{name}.svg" for name in KINDS[kind])


def refusals():
    """A kind of results for every figure that does not apply to it, each kind in turn."""
    kinds = list(KINDS)
    for place, name in enumerate(FIGURES):
        start = place % len(kinds)
        yield name, next(kind for kind in kinds[start:] + kinds[:start] if name not in KINDS[kind])


def test_every_kind_of_results_refuses_a_figure():
    assert {kind for _, kind in refusals()} == set(KINDS)


@pytest.mark.parametrize(("name", "kind"), list(refusals()))
def test_a_figure_that_does_not_apply_says_why_and_what_does(name, kind):
    """That no other figure applies: `test_what_applies_to_each_kind_of_results`."""
    with pytest.raises(NashGamesError) as error:
        figures(kind(), [name])
    applying = ", ".join(other for other in FIGURES if other in KINDS[kind])
    assert str(error.value) == (
        f"the figure '{name}' needs {FIGURES[name].needs}, which are not here; figures that apply: {applying}"
    )


def test_what_is_drawn_unasked_is_a_part_of_what_applies():
    assert set(figures(grid())) == {"convergence", "queries", "rates"}
    assert set(figures(duels())) == {"convergence-comparisons", "share"}
    assert set(figures(swept_steps())) == {"convergence", "phases"}
    assert set(figures(exact_path())) == {"equilibria"}
    assert set(figures(made_again())) == {"convergence"}
    # What an experiment asks is answered by the figure of that name alone.
    asked = grid()
    asked = Rows(asked.runs, asked.curves, verdict="theorems")
    assert set(figures(asked)) == {"theorems"}
    assert set(figures(asked, ["rates"])) == {"rates"}


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """The files of every figure of every kind of results."""
    folder = tmp_path_factory.mktemp("here")
    save_examples(folder, [(name, kind) for kind in KINDS for name in FIGURES if name in KINDS[kind]])
    return files_in(folder)


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """A process with one metric more and other hashes: what it says of the metric's figure, and the files of every
    figure, the last one first."""
    folder = tmp_path_factory.mktemp("elsewhere")
    code = """
import pathlib, sys
from nashgames.core import metrics
metrics.METRICS = {**metrics.METRICS, "speed": metrics.METRICS["suboptimality"]._replace(axis="axis of the new one")}
from tests import test_figures, test_plots
from nashgames import plots
runs, curves = test_plots.rows(test_plots.decay())
[(name, figure)] = plots.figures(plots.Rows(runs, curves.assign(speed=1.0)), distance="speed").items()
print(name, "|", figure.axes[0].get_ylabel())
test_figures.save_examples(pathlib.Path(sys.argv[1]), reversed(test_figures.EXAMPLES.items()))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, folder], capture_output=True, text=True, cwd=Path(__file__).parents[1]
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, files_in(folder)


def test_the_files_of_every_figure_repeat_to_the_byte_in_another_process(here, elsewhere):
    _, there = elsewhere
    simplex = {f"three_actions/simplex.{suffix}" for suffix in ("png", "pdf", "svg")}
    wanted = {f"{kind.__name__}/{name}.svg" for name, kind in EXAMPLES.items()} | simplex
    assert set(there) == wanted, "nothing half-written is left"
    assert [name for name in sorted(wanted) if there[name] != here[name]] == []


def test_every_file_that_draws_a_figure_is_listed():
    """A figure is one file, named as its entry, with `applies` and `draw`."""
    drawing = set()
    for path in FOLDER.glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        if path.name != "__init__.py" and defined & {"applies", "draw"}:
            assert {"applies", "draw"} <= defined, path.name
            drawing.add(path.stem)
        # A figure is returned or saved; a window would stop a script.
        names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        modules = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        assert "show" not in names and "matplotlib.pyplot" not in modules
    assert drawing == {name.replace("-", "_") for name in FIGURES}
    for entry in FIGURES.values():
        assert "\n" not in entry.help and len(entry.help) <= 100 and not entry.help.endswith(".")


def test_what_is_written_is_that_of_the_last_policies_the_equilibrium_and_the_reference():
    found = writing.written(sequences(), sequences().runs.assign(label=sequences().runs["solver"]))
    game = sequences().game_of(None)
    np.testing.assert_allclose(found.equilibrium, ng.equilibrium(game, 0.1).log_policy)
    np.testing.assert_allclose(scipy.special.logsumexp(found.reference, axis=-1), 0, atol=1e-12)
    assert found.texts[-1] == "bb" and len(found.texts) == game.actions and len(set(found.prompts)) == 2
    # Of 7 sequences · a b aa ab ba bb: ten tokens, and of four pairs two are repeats; the other method says bb alone.
    assert found.lengths["nash-prox"].tolist() == pytest.approx([10 / 7] * 2)
    assert found.repetitions["nash-prox"].tolist() == pytest.approx([0.5] * 2)
    assert found.lengths["online-ipo"].tolist() == [2.0] * 2 and found.repetitions["online-ipo"].tolist() == [1.0] * 2
    (figure,) = figures(sequences(), ["writing"]).values()
    chosen = writing.named(found, 0)
    assert game.actions - 1 in chosen
    assert np.all(np.diff(found.equilibrium[0][chosen]) <= 0)
    left = figure.axes[0]
    assert [text.get_text() for text in left.get_yticklabels()] == [found.texts[i] for i in chosen]
    bars = [bar.get_width() for bar in left.patches]
    assert bars == pytest.approx(np.exp(found.equilibrium[0][chosen]).tolist())


def test_distances_are_asked_for_by_name():
    both = Rows(*join(rows(decay()), sampled(decay(), game="disc"), sampled(decay(), game="melo")))
    assert set(figures(both, distance="exploitability")) == {
        "convergence-exploitability",
        "convergence-comparisons-exploitability",
    }
    assert set(figures(both, ["convergence"], distance="duality_gap")) == {"convergence-duality_gap"}
    with pytest.raises(NashGamesError) as error:
        figures(grid(), ["rates"], distance="exploitability")
    assert "'rates' does not show exploitability" in str(error.value) and "one of: convergence" in str(error.value)
    with pytest.raises(NashGamesError, match="did you mean 'exploitability'"):
        figures(grid(), distance="exploitabilty")
    with pytest.raises(NashGamesError, match="unknown figure 'rate'; did you mean 'rates'"):
        figures(grid(), ["rate"])


def test_a_new_metric_is_drawn_without_a_change_of_the_figures(elsewhere):
    said, _ = elsewhere
    assert said == "convergence-speed | axis of the new one\n"
    assert set(STOPPING_COLUMN.values()) <= set(plots.DISTANCES)


def test_the_heat_map_never_needs_all_of_a_game(monkeypatch, tmp_path):
    game = make_game(np.tril(np.full((30, 30), -0.1), -1) + np.triu(np.full((30, 30), 0.1), 1))
    monkeypatch.setattr(DenseMargins, "to_dense", lambda self: pytest.fail("the whole game was asked for"))
    height = DenseMargins.blocks
    monkeypatch.setattr(DenseMargins, "blocks", lambda self: height(self, 7))
    files = plot.draw_game(game, None, tmp_path)
    assert [path.suffix for path in files] == [".png", ".svg"]
    assert figures(made_again(), ["preferences"])["preferences"].get_suptitle() == "random-logits · n = 4 · seed 0"


def test_a_file_that_a_directory_names_is_not_run(tmp_path):
    run, _ = rows(decay(), n=4, game="nowhere.py:Game", game_fingerprint=None)
    assert not len(limits_of(run))
    with Results.open(tmp_path) as results, pytest.raises(NashGamesError, match=r"nowhere\.py"):
        plot._game_of(SimpleNamespace(results=[results], game_file=results.game_file), run.iloc[0])


# --- the command -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """A directory of runs of two β."""
    directory = tmp_path_factory.mktemp("played") / "runs"
    options = ["-n", "3", "--beta", "1,0.1", "-s", "nash-mp", "--queries", "40", "--records", "8", "--no-plot"]
    done = CliRunner().invoke(app, ["sweep", "-g", "random-logits", *options, "--out", str(directory)])
    assert done.exit_code == 0, done.output
    return directory


def test_the_command_draws_figures_by_name(played, tmp_path):
    told = ["plot", str(played), "--out", str(tmp_path), "--format", "svg", "--json"]
    answer = CliRunner().invoke(app, [*told, "--figure", "rates", "--figure", "preferences,theorems"])
    drawn = ["rates.svg", "theorems.svg", "preferences.svg"]
    assert answer.exit_code == 0, answer.output
    assert sorted(Path(path).name for path in json.loads(answer.stdout)["figures"]) == sorted(drawn)
    refused = CliRunner().invoke(app, [*told, "--figure", "share"])
    assert refused.exit_code == 2
    assert "the figure 'share' needs runs on duels with several seeds and one tolerance" in refused.output
