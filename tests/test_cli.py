"""The installed command, from its arguments to its streams, files and exit codes."""

import errno
import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
import tomllib
from importlib.metadata import entry_points
from pathlib import Path
from types import SimpleNamespace

import jax
import pytest
from typer.testing import CliRunner

from nashgames.cli import backend, failures
from nashgames.cli.run import _next_sweep
from nashgames.engine import batch
from nashgames.errors import NashGamesError
from nashgames.experiments import runner
from nashgames.experiments.experiment import DEFAULT_GRADIENTS, DEFAULT_ORIGINAL, Experiment
from nashgames.games.families import FAMILIES
from nashgames.store import Results

(_SCRIPT,) = entry_points(group="console_scripts", name="nashgames")
APP = _SCRIPT.load()
PROGRAM = Path(sysconfig.get_path("scripts")) / "nashgames"

TINY = ["--queries", "60", "--records", "4", "--no-plot"]
# Three actions everywhere: the commands of this file share their programs.
RUN = ["run", "random-logits", "-n", "3", "-s", "nash-mp", *TINY]
SWEEP = ["sweep", "-g", "random-logits", "-n", "3", "-s", "nash-mp", "--beta", "0.1", *TINY]


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("NO_COLOR", "FORCE_COLOR", "NASHGAMES_DEBUG"):
        monkeypatch.delenv(name, raising=False)


def call(*arguments):
    return CliRunner().invoke(APP, [str(argument) for argument in arguments])


def without(arguments, name, values=1):
    """A command line without one of its options."""
    start = arguments.index(name)
    return [*arguments[:start], *arguments[start + 1 + values :]]


def data(*arguments):
    result = call(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def manifest(answer):
    return json.loads((Path(answer["directory"]) / "manifest.json").read_text())


def process(*arguments, **settings):
    environment = os.environ | {"JAX_PLATFORMS": "cpu"} | settings.pop("env", {})
    return subprocess.run([PROGRAM, *arguments], capture_output=True, timeout=120, env=environment, **settings)


def test_the_package_is_a_command_too():
    done = subprocess.run([sys.executable, "-m", "nashgames", "--version"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("nashgames ")


def test_a_sweep_of_steps_with_one_point_each_has_its_table(tmp_path):
    result = call(
        "run", "circulant", "-s", "online-ipo[step=0.01:1:6]", "--queries", "200", "--records", "1", "--no-plot"
    )
    assert result.exit_code == 0, result.output


def complaint(result):
    """The one sentence of a refused command."""
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    return line.removeprefix("error: ")


@pytest.mark.parametrize("command", [[], ["run"], ["sweep"], ["equilibrium"], ["plot"], ["list"], ["show"]])
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_every_command_has_help(command, flag):
    result = call(*command, flag)
    assert result.exit_code == 0
    assert f"Usage: nashgames {' '.join(command)}".strip() in result.stdout
    assert not list(Path().iterdir())


@pytest.mark.parametrize(
    "command",
    [
        "run",
        "sweep",
        "equilibrium",
        "verify",
        "plot",
        "runs",
        "export",
        "init",
        "list",
        "show",
        "check",
    ],
)
def test_no_word_of_the_help_is_cut(monkeypatch, command):
    monkeypatch.setenv("COLUMNS", "80")
    assert not re.search(r"\S…[^\]]", call(command, "-h").stdout)


def test_the_help_says_what_is_played_unless_more_is_given():
    usual = Experiment()
    text = " ".join(re.sub("[│╭╮╰╯─]", " ", call("run", "--help").stdout).split())
    assert f"β, the weight of KL(π‖μ), {usual.beta[0]:g} unless given" in text
    assert f"stops, {usual.tolerance:g} unless given" in text and f"spaced, {usual.records} unless given" in text


def test_without_a_command_the_help_is_shown():
    assert "sweep" in call().stdout


def test_the_version_is_the_packages():
    assert re.fullmatch(r"nashgames \d+\.\d+\.\d+\S*\n", call("--version").stdout)
    assert call("-V").stdout == call("--version").stdout


def test_help_and_mistakes_import_nothing_heavy():
    commands = [["--help"], ["run", "--help"], ["--version"], ["run", "--beta", "x"], ["rnu"]]
    code = """
import json, sys
from importlib.metadata import entry_points
for arguments in json.loads(sys.argv[1]):
    try:
        [entry] = entry_points(group="console_scripts", name="nashgames")
        entry.load()(arguments)
    except SystemExit:
        heavy = ("jax", "jaxlib", "numpy", "pandas", "matplotlib", "scipy", "pyarrow")
        print("\\nimported by", arguments, [module for module in heavy if module in sys.modules])
"""
    asked = [sys.executable, "-c", code, json.dumps(commands)]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=60)
    found = [line for line in done.stdout.splitlines() if line.startswith("imported by")]
    assert found == [f"imported by {arguments} []" for arguments in commands], done.stderr


def test_a_tuned_run_says_what_was_chosen_in_tables_data_and_notes():
    command = (
        "run",
        "circulant",
        "--reference",
        "tilted",
        "--beta",
        "0.1",
        "-s",
        "nash-mp",
        "--tune",
        "eta=0.01:0.1:2",
    )
    command += ("--tolerance", "1e-3", "--queries", "300", "--out", "tuned")
    result = call(*command)
    assert result.exit_code == 0, result.stderr
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert (
        lines[0]
        == "circulant · 3 actions · β 0.1 · tilted reference · seed 0 · tuned on what is reported · float64 on cpu"
    )
    assert any(line.startswith("nash-mp η = 0.2 = 2β, tuned") for line in lines)
    assert "solver best step range cost own cost end" in lines
    assert any(re.fullmatch(r"nash-mp eta 0.2 0.01 … 0.2 (\d+) \1 upper", line) for line in lines)
    assert "convergence.png" in result.stdout
    assert "circulant is the same for every seed: its steps are tuned on what is reported" in result.stderr
    assert "the best eta of nash-mp at β = 0.1 is the largest that was tried" in result.stderr
    data = json.loads(call(*command, "--json", "--no-plot").stdout)
    assert data["reused"] == 3
    assert sorted(run["role"] for run in data["runs"]) == ["both", "tuning", "tuning"]
    assert [(found["parameter"], found["value"], found["edge"]) for found in data["tuning"]] == [("eta", 0.2, "upper")]


@pytest.mark.parametrize(
    ("tune", "said"),
    [
        ("steep", "--tune is 'steep'; accepted: auto, parameter=low:high:count or"),
        ("", "--tune is empty; accepted: auto, a range"),
        ("step=1:2:3", "--tune has no parameter 'step'; accepted: eta, nash-mp.eta"),
        ("eta=1:2:3,trials=8", "--tune has grids of different lengths (eta has 3, trials has 8)"),
        ("eta=2", "'2' in 'eta=2' is not a range; accepted: low:high:count"),
    ],
)
def test_a_wrong_tune_is_told_in_one_sentence(tune, said):
    result = call("run", "circulant", "-s", "nash-mp", "--tune", tune)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: {said}")
    assert result.stderr.count("\n") == 1


def test_the_suggested_sweep_keeps_size_and_reference():
    asked = Experiment(game="circulant", actions=7, reference="tilted[span=1]", beta=0.1)
    expected = "nashgames sweep --game circulant --beta 1,0.1,0.01 --actions 7 --reference 'tilted[span=1]'"
    assert _next_sweep(asked) == expected


def test_run_writes_and_shows_everything():
    result = call("run", "circulant", "--queries", "60", "--tolerance", "1e-3")
    assert result.exit_code == 0, result.stderr
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert lines[0] == "circulant · 3 actions · β 0.05 · uniform reference · seed 0 · float64 on cpu"
    assert lines[1] == "no Condorcet winner · 100 % of triples are cycles · Hodge decomposition 100 % cyclic"
    assert lines[3] == "solver step queries to 0.001 suboptimality KL to equilibrium status"
    assert lines[4].startswith("adaptive-nash-mp η ≥")
    assert "nash-mp η = 0.1 = 2β, theory 0 0 0 converged" in lines
    (directory,) = Path("results/runs").iterdir()
    assert re.fullmatch(r"circulant-[0-9a-f]{4}", directory.name)
    assert f"curves {directory}/curves.parquet (5 runs, 5 points)" in lines
    assert f"figure {directory}/convergence.png" in lines
    assert f"plot nashgames plot {directory}" in lines
    assert lines[-1] == "next nashgames sweep --game circulant --beta 1,0.1,0.01"
    names = {path.name for path in directory.iterdir()}
    assert names >= {"manifest.json", "runs.parquet", "curves.parquet", "policies.parquet"}
    assert names >= {"convergence.png", "convergence.svg"}
    figures = json.loads((directory / "manifest.json").read_text())["figures"]
    assert set(figures) == {name for name in names if name.endswith((".png", ".svg"))}


def planned(*arguments, monkeypatch):
    """The experiment that a command would run."""
    asked = []
    monkeypatch.setattr(runner, "execute", lambda experiment, *rest, **more: asked.append(experiment) or iter(()))
    result = call(*arguments)
    assert asked, result.stderr
    return asked[0]


def test_run_without_arguments_is_the_default_game(monkeypatch):
    experiment = planned("run", monkeypatch=monkeypatch)
    assert (experiment.game, experiment.beta, experiment.tolerance) == (("random-logits",), (0.05,), 1e-10)
    assert experiment.solver == ("nash-mp", "adaptive-nash-mp", "nash-prox", "mirror-descent", "online-ipo")
    assert FAMILIES["random-logits"].default_actions == 100


@pytest.mark.parametrize(
    ("options", "row", "experiment"),
    [
        ([], {"actions": 3, "beta": 0.05, "seed": 0, "reference": "uniform", "dtype": "float64"}, {"queries": 60}),
        (["--beta", "0.2"], {"beta": 0.2, "hyperparameters": {"eta": 0.4}}, {"beta": [0.2]}),
        (["-n", "4", "-s", "nash-mp[eta=0.07]"], {"actions": 4}, {"actions": [4]}),
        (["--actions", "4", "-s", "nash-mp[eta=0.07]"], {"actions": 4}, {"actions": [4]}),
        (["--seed", "3"], {"seed": 3}, {"seed": 3}),
        (["--reference", "tilted[span=1]"], {"reference": "tilted[span=1]"}, {"reference": ["tilted[span=1]"]}),
        (["--queries", "20"], {"budget": 20, "queries": 20, "status": "budget"}, {"queries": 20}),
        (["--tolerance", "0.49"], {"tolerance": 0.49, "status": "converged", "queries": 0}, {"tolerance": 0.49}),
        (["--dtype", "float32"], {"dtype": "float32"}, {"dtype": "float32"}),
        (["--device", "cpu"], {"device": "cpu"}, {"device": "cpu"}),
        (["-s", "nash-mp[eta=0.07]"], {"hyperparameters": {"eta": 0.07}}, {"solver": ["nash-mp", "nash-mp[eta=0.07]"]}),
    ],
)
def test_every_option_of_run_is_in_the_rows_and_the_manifest(options, row, experiment):
    command = RUN
    if options and options[0] in ("-n", "--actions", "--queries"):
        command = without(RUN, "--queries" if options[0] == "--queries" else "-n")
    answer = data(*command, *options)
    last = answer["runs"][-1]
    assert {key: last[key] for key in row} == row
    written = manifest(answer)
    assert {key: written["experiment"][key] for key in experiment} == experiment
    assert written["environment"]["command"].startswith("nashgames run random-logits")


def test_a_random_reference_and_a_seed_change_the_numbers():
    found = [
        data(*RUN, *extra)["runs"][0]["suboptimality"] for extra in ([], ["--seed", "1"], ["--reference", "random"])
    ]
    assert len(set(found)) == 3


def test_seeds_are_runs():
    assert [run["seed"] for run in data(*RUN, "--seed", "5", "--seeds", "3")["runs"]] == [5, 6, 7]


@pytest.mark.parametrize(("options", "points"), [(["--record-every", "10"], 4), (["--record-every", "15"], 3)])
def test_points_are_recorded_every_so_many_steps(options, points):
    answer = data(*without(RUN, "--records"), "--tolerance", "0", *options)
    curves = Results.read(answer["directory"]).curves
    assert len(curves) == points
    assert manifest(answer)["experiment"]["record_every"] == int(options[1])


def test_records_are_the_points_of_a_curve():
    few, many = ("--records", "2"), ("--records", "6")
    base = [*without(RUN, "--records"), "--tolerance", "0"]
    points = [len(Results.read(data(*base, *n)["directory"]).curves) for n in (few, many)]
    assert points[0] < points[1]


def test_solvers_are_repeated_or_separated_by_commas_outside_brackets(monkeypatch):
    answer = data(*RUN, "-s", "nash-prox[eta=0.1,inner=2],online-ipo", "--solver", "mirror-descent")
    assert [run["solver"] for run in answer["runs"]] == ["nash-mp", "nash-prox", "online-ipo", "mirror-descent"]
    assert answer["runs"][1]["hyperparameters"].items() >= {"eta": 0.1, "inner": 2}.items()
    nested = planned("run", "-s", "average[nash-prox[eta=0.1,inner=2]],nash-mp", monkeypatch=monkeypatch)
    assert nested.solver == ("average[nash-prox[eta=0.1,inner=2]]", "nash-mp")


def test_out_is_the_directory():
    answer = data(*RUN, "--out", "mine/here")
    assert answer["directory"] == "mine/here"
    assert len(Results.read("mine/here").runs) == 1


def test_the_data_alone_is_on_standard_output_and_has_the_promised_keys():
    answer = data(*RUN)
    assert set(answer) == {"directory", "reused", "runs"}
    (run,) = answer["runs"]
    promised = "id solver hyperparameters game actions beta seed reference status queries queries_to_tolerance"
    promised += " suboptimality duality_gap kl_to_equilibrium"
    assert set(promised.split()) <= set(run)
    assert run["queries_to_tolerance"] is None
    assert run["duality_gap"] == 2 * run["suboptimality"]


def test_quiet_prints_the_directory_alone():
    result = call(*RUN, "--quiet")
    assert (result.exit_code, result.stderr) == (0, "")
    (line,) = result.stdout.splitlines()
    assert len(Results.read(line).runs) == 1
    assert call(*RUN, "-q").stdout == result.stdout


def test_finished_runs_are_reused_and_force_redoes_them():
    assert data(*RUN, "--out", "kept")["reused"] == 0
    assert data(*RUN, "--out", "kept")["reused"] == 1
    shown = call(*RUN, "-s", "mirror-descent", "--out", "kept").stdout
    assert "1 of 2 runs was finished before and reused; --force plays them again" in shown
    assert "2 of 2 runs were finished before and reused" in call(*RUN, "-s", "mirror-descent", "--out", "kept").stdout
    assert data(*RUN, "--out", "kept", "--force")["reused"] == 0


def test_figures_of_an_earlier_command_are_said_to_be_outdated():
    call(*RUN, "--out", "mine")
    with Results.open("mine") as results:
        results.manifest["figures"] = ["rates.png"]
        results.flush()
    Path("mine/rates.png").touch()
    said = " outdated   rates.png: drawn by an earlier command"
    drawn = without(RUN, "--no-plot", 0)
    assert said in call(*drawn, "--out", "mine", "--beta", "0.2").stdout.splitlines()
    assert "rates.png" not in call(*RUN, "--out", "mine", "--beta", "0.2").stdout


def test_what_ends_a_job_on_a_cluster_stops_it_as_ctrl_c_does(monkeypatch):
    def preempted(*_, **__):
        signal.raise_signal(signal.SIGTERM)
        pytest.fail("the command goes on")

    monkeypatch.setattr(runner, "execute", preempted)
    result = call(*RUN)
    assert (result.exit_code, result.stderr) == (143, "error: stopped before anything was computed\n")
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_no_plot_draws_nothing():
    """Without it figures are there: `test_run_writes_and_shows_everything`."""
    data(*RUN, "--out", "bare")
    assert not [*Path("bare").glob("*.png"), *Path("bare").glob("*.svg")]


@pytest.mark.parametrize(
    ("options", "column", "values"),
    [
        (["--beta", "0.5,0.1"], "beta", [0.5, 0.1]),
        (["--beta", "0.5", "--beta", "0.1"], "beta", [0.1, 0.5, 0.1]),
        (["-n", "4,3", "--beta", "0.5"], "actions", [3, 4]),
        (["-g", "disc[strength=2,planes=2]"], "game", ["random-logits", "disc[strength=2,planes=2]"]),
        (["-s", "mirror-descent"], "solver", ["nash-mp", "mirror-descent"]),
        (["--reference", "uniform,tilted"], "reference", ["uniform", "tilted"]),
    ],
)
def test_sweep_takes_several_values_of_everything(options, column, values):
    found = dict.fromkeys(run[column] for run in data(*SWEEP, *options)["runs"])
    assert set(found) == set(values)


def test_sweep_reads_a_file_and_options_replace_what_it_says():
    Path("figure.toml").write_text(
        'name = "figure"\ngame = "random-logits"\nactions = [3, 4]\nbeta = [1.0, 0.1]\nsolver = "nash-mp"\n'
        "queries = 40\nrecord_every = 10\n"
    )
    answer = data("sweep", "figure.toml", "--no-plot")
    assert answer["directory"] == "results/runs/figure"
    assert [(run["actions"], run["beta"]) for run in answer["runs"]] == [(3, 1.0), (3, 0.1), (4, 1.0), (4, 0.1)]
    again = data("sweep", "figure.toml", "--no-plot", "--beta", "0.1,0.2")
    assert (again["reused"], len(again["runs"])) == (2, 4)
    assert manifest(data("sweep", "figure.toml", "--no-plot", "--records", "3"))["experiment"]["records"] == 3


def test_sweep_without_arguments_is_the_default_preset(monkeypatch):
    experiment = planned("sweep", monkeypatch=monkeypatch)
    assert experiment.name == "default"
    assert (experiment.beta, experiment.actions) == ((1.0, 0.1, 0.01), (10, 100, 1000))


def test_sweep_of_a_game_takes_the_default_grid_but_not_its_sizes(monkeypatch):
    experiment = planned("sweep", "--game", "castles", monkeypatch=monkeypatch)
    assert (experiment.name, experiment.game, experiment.actions) == (None, ("castles",), ())
    assert experiment.beta == (1.0, 0.1, 0.01)


def test_the_default_grid_keeps_its_solvers_unless_an_option_asks_for_others(monkeypatch):
    of_preset = ("nash-mp", "egpo")
    text = 'name = "default"\nbeta = [1.0, 0.1]\nactions = 3\nsolver = ["nash-mp", "egpo"]\n'
    changed = Experiment.from_dict(tomllib.loads(text))
    monkeypatch.setattr("nashgames.experiments.experiment.load_preset", lambda name: changed)
    for options, solvers in (
        ([], of_preset),
        (["--seeds", "2"], of_preset),
        (["--beta", "1,0"], (*of_preset, *DEFAULT_ORIGINAL)),
        (["--beta", "0"], DEFAULT_ORIGINAL),
        (["--policy", "mlp"], DEFAULT_GRADIENTS),
        (["--solver", "nash-prox"], ("nash-prox",)),
    ):
        assert planned("sweep", *options, monkeypatch=monkeypatch).solver == solvers, options


def test_sweep_takes_a_preset_by_name(monkeypatch):
    experiment = planned("sweep", "cure", "--seeds", "2", monkeypatch=monkeypatch)
    assert (experiment.name, experiment.seeds, experiment.beta) == ("cure", 2, (0.005,))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["rnu"], "unknown command 'rnu'; did you mean 'run'? Accepted: run, sweep, equilibrium"),
        (["run", "--tolerence", "1"], "'--tolerence'; did you mean '--tolerance'? Accepted: --solver, --feedback"),
        (["run", "-x"], "'nashgames run' has no option '-x'; accepted: --solver"),
        (["--verison"], "did you mean '--version'?"),
        (["run", "--beta"], "--beta needs a value; accepted: a number of at least 0"),
        (["run", "-n"], "-n needs a value; accepted: an integer of at least 2"),
        (["run", "--record-every"], "--record-every needs a value; accepted: an integer"),
        (["run", "--quiet=3"], "--quiet takes no value"),
        (["run", "nope"], "unknown game 'nope'; accepted: bradley-terry"),
        (["run", "castels"], "did you mean 'castles'?"),
        (["run", "disc", "melo"], "takes no further argument 'melo'; several games are for: nashgames sweep --game"),
        (["run", "disc,melo"], "several are for: nashgames sweep --game disc,melo"),
        (["run", "disc[strenth=2]"], "did you mean 'strength'?"),
        (["run", "disc[strength=two]"], "disc[strength] is 'two'; accepted: a number"),
        (["run", "missing.csv"], "'missing.csv'"),
        (["run", "figure.toml"], "nashgames sweep figure.toml"),
        (["run", "--beta", "x"], "--beta is 'x'; accepted: 0, or a number from 1e-12"),
        (["run", "--beta", "1e155"], "--beta is '1e155'; accepted: 0, or a number from 1e-12"),
        (["run", "--beta", ""], "--beta is empty; accepted: a number of at least 0"),
        (["run", "--beta", "1,0.1"], "--beta has 2 values (1,0.1) and run plays one; several are for: nashgames sweep"),
        (["run", "-n", "10,20"], "--actions has 2 values (10,20) and run plays one"),
        (["run", "--reference", "uniform,random"], "--reference has 2 values"),
        (["run", "-n", "1"], "--actions is '1'; accepted: an integer of at least 2"),
        (["run", "castles", "-n", "5"], "--actions is 5, but castles has a size of its own"),
        (["run", "-s", "nash-pm"], "unknown --solver 'nash-pm'; did you mean 'nash-mp'? Accepted: nash-mp"),
        (["run", "-s", "nash-mp[et=1]"], "did you mean 'eta'?"),
        (["run", "-s", "nash-mp[eta=1"], "unbalanced brackets"),
        (["run", "-s", "average"], "write average[nash-mp]"),
        (["run", "--reference", "unifrom"], "did you mean 'uniform'?"),
        (["run", "--seed", "-1"], "--seed is '-1'; accepted: an integer of at least 0"),
        (["run", "--seeds", "0"], "--seeds is '0'; accepted: an integer of at least 1"),
        (["run", "--queries", "0"], "--queries is '0'; accepted: an integer of at least 1"),
        (["run", "--queries", "1"], "--queries is 1, but one step of nash-mp costs 2"),
        (["run", "--tolerance", "-1"], "--tolerance is '-1'; accepted: a number of at least 0"),
        (["run", "--records", "0"], "--records is '0'; accepted: an integer of at least 1"),
        (["run", "--record-every", "0.5"], "--record-every is '0.5'; accepted: an integer of at least 1"),
        (["run", "--records", "5", "--record-every", "5"], "--records and --record-every are both given"),
        (
            ["run", "--dtype", "float16"],
            "--dtype is 'float16'; did you mean 'float64'? Accepted: float32, float64",
        ),
        (["run", "--device", "tpu"], "--device is 'tpu'; did you mean 'gpu'? Accepted: cpu, gpu"),
        (["run", "--out", ""], "--out is empty; accepted: a directory"),
        (["run", "--out", "file"], "--out is 'file', a file; accepted: a directory"),
        (["run", "--out", "file/below"], "'file/below' cannot be made, 'file' is a file"),
        (["run", "--out", "taken"], "'taken' holds files that are not results"),
        (["sweep", "defualt"], "unknown preset 'defualt'; did you mean 'default'?"),
        (["sweep", "castles"], "'castles' is a game, not an experiment; write: nashgames sweep --game castles"),
        (["sweep", "missing.toml"], "cannot read the experiment 'missing.toml'"),
        (["sweep", "folder/missing"], "there is no experiment file 'folder/missing'; give a TOML file or one of:"),
        (["sweep", "wrong.toml"], "'wrong.toml': unknown experiment key 'solvers'; did you mean 'solver'?"),
        (
            ["sweep", "--game", "disc", "--beta", "0.1,none"],
            "--beta is 'none'; accepted: 0, or a number from 1e-12",
        ),
        (["plot"], "'nashgames plot' needs DIRECTORY"),
        (["plot", "nothing-here"], "'nothing-here' holds no results"),
        (
            ["plot", "x", "--y", "suboptimalty"],
            "did you mean 'suboptimality'? Accepted: suboptimality, duality_gap, exploitability, kl_to_equilibrium",
        ),
        (["plot", "x", "--format", "gif"], "--format is 'gif'; accepted: png, svg, pdf"),
        (
            ["list", "gamez"],
            "did you mean 'games'? Accepted: games, solvers, references, feedback, policies, optimisers, storages",
        ),
        (["show"], "'nashgames show' needs GAME"),
        (["show", "dics"], "did you mean 'disc'?"),
        (
            ["show", "nash-pm"],
            "there is no game, solver, reference, feedback, policy, optimiser, storage, metric, figure or",
        ),
        (["plot", "nowhere", "--y", "kl"], "did you mean 'kl_to_equilibrium'?"),
        (["show", "nash-pm"], "did you mean 'nash-mp'? nashgames list says what there is"),
        (["show", "disc", "-n", "x"], "--actions is 'x'; accepted: an integer of at least 2"),
        (["show", "castles", "-n", "5"], "--actions is 5, but castles has a size of its own"),
        (["show", "nash-mp", "-n", "5"], "--actions is for games, and 'nash-mp' is a solver; leave it out"),
        (
            ["show", "adam", "--seed", "1", "--out", "x"],
            "--seed, --out are for games, and 'adam' is an optimiser; leave them out",
        ),
    ],
)
def test_a_mistake_is_one_sentence_with_what_is_accepted(arguments, said):
    Path("file").write_text("")
    Path("taken").mkdir()
    Path("taken/other").write_text("")
    Path("wrong.toml").write_text('solvers = "nash-mp"\n')
    assert said in complaint(call(*arguments))
    assert not Path("results").exists()


def test_a_gpu_that_is_not_there_is_refused():
    if jax.default_backend() != "cpu":
        pytest.skip("there is an accelerator here")
    assert complaint(call(*RUN, "--device", "gpu")).startswith("--device is 'gpu', but JAX sees no such device here")


@pytest.mark.parametrize(
    ("error", "said", "code"),
    [
        (NashGamesError("beta is 0"), "beta is 0", 2),
        (PermissionError(errno.EACCES, "Permission denied", "figs"), "cannot use 'figs': Permission denied", 2),
        (OSError(errno.ENOSPC, "No space left on device", "runs.parquet"), "cannot write 'runs.parquet': No space", 1),
        (MemoryError(), "there is not enough memory", 1),
        (
            ZeroDivisionError("division\nby zero"),
            "unexpected ZeroDivisionError: division by zero; this is a mistake",
            1,
        ),
    ],
)
def test_any_error_has_a_sentence_and_a_code(error, said, code):
    sentence, found = failures.explain(error)
    assert said in sentence
    assert found == code


def broken(*_, **__):
    raise ZeroDivisionError("boom")
    yield


def test_an_unexpected_error_is_a_sentence_unless_debugging(monkeypatch):
    monkeypatch.setattr(runner, "execute", broken)
    result = call(*RUN)
    assert result.exit_code == 1
    assert "unexpected ZeroDivisionError: boom" in result.stderr
    assert "NASHGAMES_DEBUG=1" in result.stderr
    assert "Traceback" not in result.output
    monkeypatch.setenv("NASHGAMES_DEBUG", "1")
    assert isinstance(call(*RUN).exception, ZeroDivisionError)


def test_a_failed_run_is_exit_code_1_and_the_others_are_kept(monkeypatch):
    advance = batch.Batch.advance

    def fail(self):
        if self.solver.name == "mirror-descent":
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory")
        advance(self)

    monkeypatch.setattr(batch.Batch, "advance", fail)
    result = call(*RUN, "-s", "mirror-descent", "--out", "half")
    assert result.exit_code == 1
    assert "mirror-descent" in result.stderr
    assert "1 of 2 runs failed; the others are kept" in result.stderr
    assert list(Results.read("half").runs["solver"]) == ["nash-mp"]
    alone = call("run", "disc", "-n", "3", "-s", "mirror-descent", "--queries", "10", "--no-plot")
    assert alone.stderr.splitlines()[-1].startswith("error: 1 of 1 run failed; the same command tries it again")


def test_a_diverged_run_is_a_result():
    answer = data(*RUN, "-s", "mirror-descent[step=1e300]")
    diverged = answer["runs"][-1]
    assert diverged["status"] == "diverged"
    assert diverged["diverged_step"] >= 1
    assert "diverged" in call(*RUN, "-s", "mirror-descent[step=1e300]").stdout


def test_the_mixture_of_a_game_with_names_is_ranked():
    Path("wins.csv").write_text(",rock,paper,scissors\nrock,0.5,0.2,0.9\npaper,0.8,0.5,0.3\nscissors,0.1,0.7,0.5\n")
    result = call("run", "wins.csv", "--beta", "0.1", "-s", "nash-mp", "--no-plot")
    assert result.exit_code == 0, result.stderr
    lines = [line.split() for line in result.stdout.splitlines()]
    start = lines.index(["rank", "action", "probability"])
    assert {line[1] for line in lines[start + 1 : start + 4]} == {"rock", "paper", "scissors"}
    probabilities = [float(line[2]) for line in lines[start + 1 : start + 4]]
    assert probabilities == sorted(probabilities, reverse=True)
    assert sum(probabilities) == pytest.approx(100, abs=0.02)
    assert "wins.csv at β 0.1 by nash-mp: suboptimality" in result.stdout


@pytest.fixture(scope="module")
def two_temperatures(tmp_path_factory):
    """A results directory with two β."""
    directory = tmp_path_factory.mktemp("two") / "made"
    data(*SWEEP, "--beta", "0.5", "--out", directory)
    return directory


@pytest.fixture
def results(two_temperatures):
    """A copy of it."""
    return Path(shutil.copytree(two_temperatures, "made"))


def test_plot_draws_again(results):
    answer = data("plot", results, "--format", "svg")
    names = {Path(name).name for name in answer["figures"]}
    assert names == {"convergence.svg", "simplex.svg"}
    assert all((results / name).stat().st_size > 1000 for name in names)
    assert set(json.loads((results / "manifest.json").read_text())["figures"]) == names


@pytest.mark.parametrize("y", ["kl_to_equilibrium", "span_to_equilibrium", "exploitability"])
def test_plot_takes_a_column_a_format_and_a_place(results, y):
    answer = data("plot", results, "--y", y, "--format", "svg", "--out", "figures")
    caption = answer.pop("captions")[f"convergence-{y}"]
    drawn = [f"figures/convergence-{y}.svg"]
    assert answer == {"directory": "figures", "figures": drawn, "removed": [], "tables": {}}
    assert Path(f"figures/convergence-{y}.txt").read_text() == f"{caption}.\n"
    assert not list(results.glob("*.svg"))


def test_plot_takes_several_formats_and_draws_two_unasked(results):
    asked = ("plot", results, "--y", "suboptimality")
    result = call(*asked, "--format", "svg,pdf")
    assert {path.suffix for path in results.glob("convergence*")} == {".svg", ".pdf", ".txt"}
    assert f"figure    {results}/convergence-suboptimality.pdf" in result.stdout
    for path in results.glob("convergence*"):
        path.unlink()
    assert call(*asked, "-q").stdout == f"{results}\n"
    assert {path.suffix for path in results.glob("convergence*")} == {".png", ".svg", ".txt"}


def test_plot_has_nothing_to_draw_where_nothing_is_finished(results):
    written = json.loads((results / "manifest.json").read_text())
    (results / "manifest.json").write_text(json.dumps(written | {"run_ids": ["0" * 12]}))
    assert "has no finished run to draw" in complaint(call("plot", results, "--last"))


@pytest.mark.parametrize(
    ("what", "names"),
    [
        ("games", ["random-logits", "disc", "castles", "PATH"]),
        ("solvers", ["nash-mp", "nash-prox", "online-ipo", "mirror-descent", "average[SOLVER]"]),
        ("references", ["uniform", "random", "tilted", "PATH"]),
        ("feedback", ["exact", "duels"]),
        ("policies", ["tabular", "log-linear", "mlp"]),
        ("optimisers", ["sgd", "adam"]),
        ("presets", ["default", "cure", "instability"]),
    ],
)
def test_list_names_what_can_be_given(what, names):
    entries = data("list", what)[what]
    assert set(names) <= {entry["name"] for entry in entries}
    assert all(entry["summary"] for entry in entries)
    shown = call("list", what).stdout
    assert all(name in shown for name in names)


def test_list_shows_parameters_with_their_help():
    shown = call("list", "games").stdout
    assert "strength = 1: typical size of a logit" in shown
    assert "eta: η, the papers' step" in call("list", "solvers").stdout
    assert set(data("list")) == {
        "games", "solvers", "references", "feedback", "policies", "optimisers", "storages", "metrics", "figures",
        "presets",
    }  # fmt: skip


def test_show_says_what_a_game_is_like_and_draws_it():
    result = call("show", "disc[strength=3]", "-n", "6", "--seed", "2", "--out", "pictures", "--format", "png")
    assert result.exit_code == 0, result.stderr
    assert "disc[strength=3] · 6 actions" in result.stdout
    assert "cyclic share (Hodge)" in result.stdout
    assert "nashgames run 'disc[strength=3]' -n 6 --seed 2" in result.stdout
    assert [path.suffix for path in Path("pictures").iterdir()] == [".png"]


def test_show_as_data():
    answer = data("show", "soccer10", "--no-plot")
    assert answer["actions"] == len(answer["ratings"]) == len(answer["labels"]) == 10
    assert answer["figures"] == []
    assert answer["cyclic_energy"] + answer["transitive_energy"] == pytest.approx(1)
    assert not Path("results").exists()
    assert data("show", "disc", "-n", "4")["max_margin"] != data("show", "disc", "-n", "4", "--seed", "1")["max_margin"]


def test_show_quietly():
    result = call("show", "circulant", "-q", "--format", "svg")
    assert result.stdout == "results/games\n"
    assert [path.name for path in Path("results/games").iterdir()] == ["circulant.svg"]


@pytest.fixture(scope="module")
def twice(tmp_path_factory):
    """One run played by two commands with a cache of their own: for an ASCII terminal, then into a closed pipe."""
    folder = tmp_path_factory.mktemp("twice")
    cache = folder / "cache"
    environment = os.environ | {"NASHGAMES_CACHE": str(cache), "JAX_PLATFORMS": "cpu"}
    in_ascii = environment | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    worded = subprocess.run([PROGRAM, *RUN], capture_output=True, timeout=120, env=in_ascii, cwd=folder)
    written = {path.name for path in cache.rglob("*-cache")}
    command = f"'{PROGRAM}' {' '.join(RUN)} --out kept | true; echo ${{PIPESTATUS[0]}}"
    asked = {"capture_output": True, "text": True, "timeout": 120, "env": environment, "cwd": folder}
    piped = subprocess.run(["bash", "-c", command], **asked)
    return SimpleNamespace(
        worded=worded, piped=piped, written=written, after={path.name for path in cache.rglob("*-cache")}, folder=folder
    )


def test_compiled_programs_are_cached(twice):
    assert (twice.worded.returncode, twice.piped.returncode) == (0, 0)
    assert twice.written
    assert twice.after == twice.written
    assert Results.read(twice.folder / "kept").manifest["counts"]["reused"] == 0, "the second command plays too"


@pytest.mark.parametrize("value", ["off", "OFF", "0"])
def test_the_cache_can_be_switched_off(monkeypatch, value):
    monkeypatch.setenv("NASHGAMES_CACHE", value)
    assert backend.enable_cache() is None


def test_a_cache_that_cannot_be_written_is_no_failure(monkeypatch):
    Path("file").write_text("")
    monkeypatch.setenv("NASHGAMES_CACHE", "file/below")
    assert backend.enable_cache() is None


def test_a_closed_pipe_ends_quietly_and_the_results_are_kept(twice):
    assert (twice.piped.stdout, twice.piped.stderr) == ("0\n", "")
    assert len(Results.read(twice.folder / "kept").runs) == 1


def test_a_terminal_without_utf8_gets_words(twice):
    assert twice.worded.returncode == 0, twice.worded.stderr
    assert b"beta 0.05" in twice.worded.stdout
    assert b"eta = 0.1 = 2beta" in twice.worded.stdout
    assert twice.worded.stderr == b""


def test_a_sentence_and_exit_code_reach_the_shell():
    done = process("run", "--beta", "none")
    assert (done.returncode, done.stdout) == (2, b"")
    accepted = "0, or a number from 1e-12 to 1,000,000"
    assert done.stderr.decode() == f"error: --beta is 'none'; accepted: {accepted}\n"


def read_until(terminal, wanted, *, seconds):
    """What a terminal shows until it shows `wanted`."""
    shown, end = b"", time.monotonic() + seconds
    while wanted not in shown:
        ready, _, _ = select.select([terminal], [], [], max(0.0, end - time.monotonic()))
        assert ready, shown.decode()
        shown += os.read(terminal, 65536)
    return shown


def test_ctrl_c_keeps_what_is_finished(tmp_path):
    mine, theirs = pty.openpty()
    endless = ["sweep", "-g", "random-logits", "-n", "3", "--beta", "0.01", "-s", "nash-mp,mirror-descent[step=1e-9]"]
    command = [PROGRAM, *endless, "--queries", "1000000000", "--tolerance", "1e-6", "--out", "kept"]
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "TERM": "xterm", "COLUMNS": "100"}
    # A suite in the background may run with SIGINT ignored, which the child would inherit.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        started = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, env=environment)
    finally:
        signal.signal(signal.SIGINT, before)
    with started as running:
        try:
            read_until(mine, b"2/2", seconds=90)
            running.send_signal(signal.SIGINT)
            shown = read_until(mine, b"others", seconds=30)  # Of the sentence, which a terminal breaks.
            assert running.wait(timeout=30) == 130
        finally:
            running.kill()
            os.close(theirs)
            os.close(mine)
    text = shown.decode()
    assert "stopped; 1 of 2 runs are finished and kept in 'kept'" in text
    assert "Traceback" not in text
    kept = Results.read("kept")
    assert list(kept.runs["solver"]) == ["nash-mp"]
    assert list(kept.runs["status"]) == ["converged"]
    assert set(kept.curves["run_id"]) == set(kept.runs["run_id"])
    assert kept.manifest["finished"] is None
