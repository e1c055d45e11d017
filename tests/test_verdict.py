"""`nashgames sweep` with a verdict: tables, data, exit codes and figure; and experiments of several grids."""

import json
import re
from pathlib import Path

import pytest

from nashgames.errors import NashGamesError
from nashgames.experiments.experiment import Experiment, load_preset
from nashgames.store import Results
from tests.test_cli import call, complaint, data, in_an_empty_folder  # noqa: F401

# With all of these given there is one grid.
SMALL = [
    *("sweep", "theorems", "-n", "4,8", "-g", "melo", "--beta", "0.5", "--reference", "uniform"),
    *("--solver", "halves[nash-mp],proximal-point", "--out", "here"),
]


def test_the_preset_in_small_prints_its_verdict_and_draws_bound_and_curve():
    result = call(*SMALL)
    assert result.exit_code == 0, result.stderr
    rows = {line.split()[0]: line.split() for line in result.stdout.splitlines() if line.endswith("holds")}
    assert set(rows) == {"halves[nash-mp]", "proximal-point"}
    assert rows["halves[nash-mp]"][1:3] == ["0.5", "1"]
    assert float(rows["halves[nash-mp]"][5]) == 0.5
    assert re.search(r"melo +halves\[nash-mp\] +0.5 +54 +\d+ +\d+", result.stdout)
    assert "n = 4" in result.stdout
    assert "n = 8" in result.stdout
    manifest = json.loads(Path("here/manifest.json").read_text())
    assert manifest["experiment"]["verdict"] == "theorems"
    assert manifest["figures"] == ["theorems.png", "theorems.svg"]
    drawn = Path("here/theorems.png").read_bytes()
    Path("here/theorems.png").unlink()
    assert call("plot", "here").exit_code == 0
    assert Path("here/theorems.png").read_bytes() == drawn
    quiet = call(*SMALL, "--quiet", "--no-plot")
    assert (quiet.exit_code, quiet.stdout, quiet.stderr) == (0, "here\n", "")


def test_a_broken_inequality_ends_in_exit_code_1_with_run_step_value_and_bound():
    assert data(*SMALL, "--no-plot")["verdict"]["holds"] is True
    with Results.open("here") as results:
        runs, curves = results.runs, results.curves
        here = (curves["n"] == 8) & (curves["solver"] == "halves[nash-mp]") & (curves["step"] == 6)
        (run,) = curves["run_id"][here]
        curves.loc[here, "kl_to_equilibrium"] *= 2.5
        mine = [frame[frame["run_id"] == run] for frame in (runs, curves, results.policies)]
        results.add(*mine)
        results.flush()
    result = call(*SMALL, "--no-plot", "--quiet")
    assert (result.exit_code, result.stdout) == (1, "here\n")
    assert re.fullmatch(
        rf"error: run {run} \(halves\[nash-mp\] on melo, n = 8, β = 0\.5, seed 0\) breaks the inequality 'half step' "
        rf"at step 5: \S+ is above its bound \S+, the worst of 2 breaks\n",
        result.stderr,
    )
    answer = call(*SMALL, "--no-plot", "--json")
    assert answer.exit_code == 1
    verdict = json.loads(answer.stdout)["verdict"]
    assert not verdict["holds"]
    assert [(row["run_id"], row["inequality"], row["step"]) for row in verdict["breaks"]] == [
        (run, "step", 6),
        (run, "half step", 5),
    ]
    assert {row["label"]: row["broken"] for row in verdict["rates"]}["proximal-point"] == 0
    assert "broken" in call(*SMALL, "--no-plot").stdout


def test_the_users_own_file_may_ask_for_a_verdict_and_is_told_where_no_theorem_applies():
    text = 'verdict = "theorems"\ngame = "circulant"\nreference = "tilted[span=2]"\nqueries = 40\nrecord_every = 1\n'
    Path("mine.toml").write_text(text + 'solver = ["nash-mp", "mirror-descent"]\n')
    answer = data("sweep", "mine.toml", "--no-plot")
    (row,) = answer["verdict"]["rates"]
    assert (row["label"], row["broken"], row["half step"]) == ("nash-mp", 0, None)
    assert row["iterates"] == 21
    assert len(answer["runs"]) == 2
    Path("mine.toml").write_text(text + 'solver = ["online-ipo", "mirror-descent"]\n')
    assert complaint(call("sweep", "mine.toml")) == (
        "verdict is 'theorems', but no theorem covers online-ipo, mirror-descent; add nash-mp, halves[nash-mp], "
        "proximal-point or egpo, or leave verdict out"
    )
    with pytest.raises(NashGamesError, match=r"verdict is 'theorem'; did you mean 'theorems'\?"):
        Experiment(verdict="theorem")


def test_several_grids_are_one_experiment():
    grids = [{"game": "melo", "actions": [50]}, {"beta": "0.1", "solver": ["nash-mp"]}]
    both = Experiment(game=("uniform",), actions=(3, 4), solver=("nash-mp", "online-ipo"), also=grids)
    cells = {(cell.game, cell.actions, cell.beta, cell.solver) for cell in both.cells()}
    own = {("uniform", n, 0.05, solver) for n in (3, 4) for solver in ("nash-mp", "online-ipo")}
    first = {("melo", 50, 0.05, solver) for solver in ("nash-mp", "online-ipo")}
    second = {("uniform", n, 0.1, "nash-mp") for n in (3, 4)}
    assert cells == own | first | second
    assert len(both.cells()) == 8
    assert both.every("game") == ("uniform", "melo")
    assert both.every("actions") == (3, 4, 50)
    # A run that two grids ask for counts once.
    assert len(Experiment(also=[{"beta": 0.05}]).cells()) == len(Experiment().cells())


def test_grids_survive_toml_and_mistakes_in_them_are_named(tmp_path):
    preset = load_preset("theorems")
    assert Experiment.from_dict(preset.to_dict()) == preset
    (tmp_path / "again.toml").write_text(preset.to_toml())
    assert Experiment.from_toml(tmp_path / "again.toml") == preset
    assert {cell.actions for cell in preset.cells()} == {3, 10, 100, 1000, 10_000}
    for wrong, sentence in [
        ({"gaem": "disc"}, "unknown key of also 'gaem'; did you mean 'game'"),
        ({"queries": 5}, "unknown key of also 'queries'"),
        ({"beta": -1}, "beta is -1; accepted: 0, or a number from 1e-12"),
        ({}, "also is {}; accepted: tables"),
        ("disc", "also is 'disc'; accepted: tables"),
    ]:
        with pytest.raises(NashGamesError, match=re.escape(sentence)):
            Experiment(also=[wrong])
    with pytest.raises(NashGamesError, match="has 1,000,004 runs"):
        Experiment(seeds=250_001, solver=("a", "b", "c"), also=[{"solver": "nash-mp", "beta": 0.1}])


def test_an_option_counts_for_every_grid():
    from nashgames.cli.run import sweep_experiment

    one = sweep_experiment("theorems", {"actions": ["10"]})
    assert one.every("actions") == (10,)
    assert one.also[0] == {"game": ("melo",), "solver": ("halves[nash-mp]",)}
    every = {"actions": ["10"], "game": ["disc"], "reference": ["uniform"], "solver": ["nash-mp"], "beta": ["0.1"]}
    none = sweep_experiment("theorems", every)
    assert none.also == ()
