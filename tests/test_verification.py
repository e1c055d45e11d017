"""What `verify` accepts, and that it finds every number, policy entry or run that is not what it should be."""

import json
import shutil
import subprocess
import sys
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from nashgames import plugins
from nashgames.cli import verify as cli_verify
from nashgames.core.game import make_game
from nashgames.core.margins import DenseMargins
from nashgames.core.metrics import OF_EQUILIBRIUM
from nashgames.errors import NashGamesError
from nashgames.exact import external
from nashgames.exact.referee import Equilibrium, equilibrium, equilibrium_path
from nashgames.experiments import exact_path, runner
from nashgames.experiments.experiment import Experiment
from nashgames.experiments.plan import plan_equilibria
from nashgames.experiments.sources import find_source
from nashgames.games.families import generate
from nashgames.store import METRICS, Results
from nashgames.verification import Report, Verifying, verify
from nashgames.verification.ledger import Mismatch
from nashgames.verification.numbers import Rounding
from tests.games import log_softmax, softmax

ROOT = Path(__file__).resolve().parents[1]
(_SCRIPT,) = entry_points(group="console_scripts", name="nashgames")
APP = _SCRIPT.load()
USERS_GAME = """
import numpy as np
import nashgames as ng


def Cycle(strength: float = 1.0) -> ng.Game:
    a = 0.25 * strength * np.array([[0, 1, -1], [-1, 0, 1], [1, -1, 0]])
    return ng.make_game(a)
"""
TABLES = ("runs", "curves", "policies", "paths", "certificates")
SHORT = {"queries": 300, "records": 4}


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """One directory with every kind of row, each experiment added to those before; the file of a game is beside it."""
    folder = tmp_path_factory.mktemp("played")
    directory, table = folder / "results", folder / "wins.csv"
    table.write_text("0.5,0.8,0.3\n0.2,0.5,0.9\n0.7,0.1,0.5\n")
    solvers, descent = ["nash-mp", "average[mirror-descent]"], "mirror-descent"
    for values in (
        {"game": "random-logits", "actions": 6, "beta": [0.3, 0.02], "solver": solvers, "seeds": 2},
        {"game": "random-logits[contexts=3,weights=drawn]", "actions": 5, "solver": "online-ipo"},
        {"game": "random-logits", "actions": 40, "beta": [0.5, 0.02], "solver": solvers[1], "dtype": "float32"},
        # Of three actions, as the table and the games of users below: one program.
        {"game": "planted-regularised", "actions": 3, "beta": 0.2, "solver": "nash-mp"},
        {"game": "soccer10", "reference": "random[scale=3]", "solver": [descent, f"{descent}[step=1e300]"]},
        {"game": str(table), "solver": "nash-mp"},
    ):
        for _ in runner.execute(Experiment.from_dict(SHORT | values), directory):
            pass
    return directory


@pytest.fixture(scope="module")
def exact(tmp_path_factory):
    """A directory of exact equilibria, the original game's among them."""
    directory = tmp_path_factory.mktemp("exact") / "results"
    asked = Experiment(game="random-logits", actions=12, seed=3, reference="tilted[span=2]")
    for _ in exact_path.trace(plan_equilibria(asked, (1.0, 0.01, 0.0)), directory):
        pass
    return directory


def report_of(directory, *external, **options) -> Report:
    # Runs that are played again have tests of their own.
    *_, report = verify(directory, external, replay=0, **options)
    return report


def altered(directory, tmp_path, change) -> Path:
    """A copy of a results directory whose tables `change(tables)` has changed."""
    copy = tmp_path / "altered"
    shutil.copytree(directory, copy)
    with Results.open(copy) as results:
        frames = {name: getattr(results, name) for name in TABLES}
        change(frames)
        results.add(**frames)
        results.flush()
    return copy


def set_in(frames, table, run_id, column, value):
    """Change a column of a run's rows by a function or to a value."""
    mine = frames[table]["run_id"] == run_id
    before = frames[table].loc[mine, column]
    frames[table].loc[mine, column] = value(before) if callable(value) else value


def in_both(frames, run_id, column, value):
    """The same change in runs and in the last point of the curve, which would tell on each other."""
    curves = frames["curves"]
    last = curves.index[curves["run_id"] == run_id][-1]
    set_in(frames, "runs", run_id, column, value)
    curves.loc[last, column] = value(curves.loc[last, column]) if callable(value) else value


def run_of(directory, **wanted):
    rows = Results.read(directory).runs
    for column, value in wanted.items():
        rows = rows[rows[column] == value]
    return str(rows["run_id"].iloc[0])


def test_everything_that_was_played_verifies(played):
    report = report_of(played)
    assert report.ok, (report.mismatches, report.unverified)
    assert report.runs == report.verified == len(Results.read(played).runs) == 15
    wanted = {*METRICS, "equilibrium_residual", "status", "probability", "labels", "sum of the policy"}
    assert wanted <= report.columns.keys()
    for name in wanted:
        assert report.columns[name].checked == 15, name
        assert report.columns[name].share <= 0.5, name
    assert report.unchecked == []
    assert set(Results.read(played).runs["status"]) == {"converged", "budget", "diverged"}


def test_infinite_distances_verify_and_agree_with_no_number(tmp_path):
    """A policy that never plays an action of π* is at distance ∞ from it."""
    asked = {"game": "random-logits", "actions": 6, "beta": 0.3, "solver": "regret-matching-plus"}
    for _ in runner.execute(Experiment.from_dict(SHORT | asked), tmp_path / "results"):
        pass
    report = report_of(tmp_path / "results")
    assert report.ok, (report.mismatches, report.unverified)
    run_id = run_of(tmp_path / "results")
    stored = Results.read(tmp_path / "results")
    assert np.isinf(stored.runs[["kl_to_equilibrium", "span_to_equilibrium"]].to_numpy(float)).all()
    assert np.isneginf(stored.policies["log_probability"]).any()
    changed = {"kl_to_equilibrium": 5.0, "span_to_equilibrium": 5.0, "suboptimality": np.inf}

    def change(frames):
        for column, value in changed.items():
            in_both(frames, run_id, column, value)

    found = report_of(altered(tmp_path / "results", tmp_path, change))
    assert {mismatch.column for mismatch in found.mismatches} >= set(changed)


def test_float64_agrees_to_rounding(played, tmp_path):
    def without_float32(frames):
        kept = frames["runs"].loc[frames["runs"]["dtype"] == "float64", "run_id"]
        frames.update({name: frame[frame["run_id"].isin(kept)] for name, frame in frames.items()})

    copy = tmp_path / "float64"
    with Results.read(played) as results, Results.open(copy) as other:
        frames = {name: getattr(results, name) for name in TABLES}
        without_float32(frames)
        other.add(**frames)
        other.flush()
    report = report_of(copy)
    assert report.ok
    for name in ("suboptimality", "kl_to_equilibrium", "kl_to_reference", "entropy", "exploitability"):
        assert report.columns[name].relative < 1e-7, name


def test_a_metric_is_one_entry_and_verify_says_where_it_has_no_formula_of_its_own(tmp_path):
    """In a process of its own, whose METRICS have one more before anything reads them."""
    code = """
import sys
from nashgames.core import metrics
metrics.METRICS = {**metrics.METRICS, "more": metrics.METRICS["entropy"]}
from typer.testing import CliRunner
from nashgames.cli.main import app
play = ["run", "disc", "-n", "3", "-s", "nash-mp", "--queries", "4", "--no-plot", "--quiet", "--out", "d"]
for command in (play, ["verify", "d"], ["verify", "d", "--json"]):
    print(CliRunner().invoke(app, command, catch_exceptions=False).output)
from nashgames.store import Results
assert Results.read("d").runs["more"].notna().all()
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "more from the policies: verification has no formula of its own for it" in done.stdout, done.stderr
    data = json.loads(done.stdout.strip().rpartition("\n")[2])
    assert (data["ok"], data["verified"], data["unchecked"]) == (True, 1, ["more"])
    assert "more" not in {column["name"] for column in data["columns"]}


@pytest.mark.parametrize("directory", ["default", "cure"])
def test_the_kept_results_verify(directory):
    report = report_of(ROOT / "results" / directory)
    assert report.ok, report.mismatches


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_every_changed_number_is_found_and_its_run_is_named(played, tmp_path, dtype):
    """In runs and in the curve alike, so that only the policy can tell."""
    run_id = run_of(played, dtype=dtype, beta=0.02, solver="average[mirror-descent]")
    factor = 1 + (1e-6 if dtype == "float64" else 0.05)

    def change(frames):
        for column in METRICS:
            in_both(frames, run_id, column, lambda value: value * factor)

    report = report_of(altered(played, tmp_path, change))
    assert sorted(found.column for found in report.mismatches) == sorted(METRICS)
    for found in report.mismatches:
        assert found.run_id == run_id
        assert found.stored == pytest.approx(found.recomputed * factor, rel=1e-7 if dtype == "float64" else 1e-2)
        assert (found.label, found.game, found.beta) == ("average[mirror-descent]", "random-logits", 0.02)
    assert report.verified == report.runs - 1


def test_every_missing_number_is_found(played, tmp_path):
    run_id = run_of(played, beta=0.3)

    def forget(frames):
        for column in METRICS:
            in_both(frames, run_id, column, np.nan)

    found = report_of(altered(played, tmp_path, forget)).mismatches
    assert sorted((one.run_id, one.column, one.stored) for one in found) == [(run_id, c, None) for c in sorted(METRICS)]


@pytest.mark.parametrize(
    ("column", "value", "named"),
    [
        ("suboptimality", 0.25, "curves.suboptimality"),
        ("step", 77, "curves.step"),
        ("seconds", 1e9, "curves.seconds"),
        ("hyperparameters", "{}", "curves.hyperparameters"),
        ("queries_to_tolerance", 3, "queries_to_tolerance"),
        ("equilibrium_residual", 1e-3, "equilibrium_residual"),
        ("n", 7, "policies.action"),
        ("contexts", 2, "contexts"),
        ("seed", 5, "suboptimality"),
        ("beta", 0.29, "kl_to_equilibrium"),
        ("reference", "tilted[span=2]", "kl_to_reference"),
        ("game", "disc", "suboptimality"),
    ],
)
def test_a_changed_value_of_a_run_is_found(played, tmp_path, column, value, named):
    run_id = run_of(played, beta=0.3, solver="nash-mp", n=6)
    report = report_of(altered(played, tmp_path, lambda frames: set_in(frames, "runs", run_id, column, value)))
    assert {found.run_id for found in report.mismatches} == {run_id}
    assert named in {found.column for found in report.mismatches}


@pytest.mark.parametrize(("told", "status"), [("converged", "budget"), ("budget", "converged")])
def test_an_ending_that_did_not_happen_is_found(played, tmp_path, told, status):
    run_id = run_of(played, status=status, dtype="float64")
    report = report_of(altered(played, tmp_path, lambda frames: in_both(frames, run_id, "status", told)))
    assert ("status", told, status) in {(found.column, found.stored, found.recomputed) for found in report.mismatches}


def shifted(values):
    """Log-probabilities of the same sum with a little moved from the first action to the second."""
    p = np.exp(values.to_numpy())
    p[:2] += 1e-6 * p[0] * np.array([-1, 1])
    return np.log(p)


@pytest.mark.parametrize(
    ("column", "change", "named"),
    [
        ("log_probability", lambda v: v.where(v.index != v.index[1], v + 1e-9), "probability"),
        ("probability", lambda v: v.where(v.index != v.index[1], v * (1 + 1e-9)), "probability"),
        ("probability", lambda v: v.where(v.index != v.index[0], np.nan), "probability"),
        ("log_probability", lambda v: v.where(v.index != v.index[0], 700.0), "sum of the policy"),
        ("log_probability", lambda v: np.nan, "status"),
        ("label", lambda v: v[::-1].to_numpy(), "policies.label of action 0"),
        ("action", lambda v: v.where(v.index != v.index[0], 1), "policies.action"),
        ("context", lambda v: 1, "policies.action"),
    ],
)
def test_a_changed_entry_of_a_policy_is_found(played, tmp_path, column, change, named):
    run_id = run_of(played, game="soccer10")
    report = report_of(altered(played, tmp_path, lambda frames: set_in(frames, "policies", run_id, column, change)))
    assert {found.run_id for found in report.mismatches} == {run_id}
    assert named in {found.column for found in report.mismatches}


def test_a_policy_that_agrees_with_itself_but_not_with_its_row_is_found(played, tmp_path):
    run_id = run_of(played, game="soccer10")

    def change(frames):
        set_in(frames, "policies", run_id, "log_probability", shifted)
        set_in(frames, "policies", run_id, "probability", lambda v: np.exp(shifted(np.log(v))))

    report = report_of(altered(played, tmp_path, change))
    assert {found.run_id for found in report.mismatches} == {run_id}
    assert {"suboptimality", "kl_to_equilibrium", "entropy"} <= {found.column for found in report.mismatches}


def test_two_runs_that_changed_places_are_found(played, tmp_path):
    first, second = (run_of(played, beta=0.3, solver=solver, n=6) for solver in ("nash-mp", "average[mirror-descent]"))

    def swap(frames):
        frames["policies"]["run_id"] = frames["policies"]["run_id"].replace({first: second, second: first})

    report = report_of(altered(played, tmp_path, swap))
    assert {found.run_id for found in report.mismatches} == {first, second}


@pytest.mark.parametrize(
    ("column", "change", "should"),
    [
        ("suboptimality", lambda value: value / 1000, "twice the suboptimality"),
        ("kl_to_equilibrium", lambda value: -1.0, "at least 0"),
        ("exploitability", lambda value: -1e-3, "at least 0"),
        ("queries", lambda value: value + 7, "as many per step as at the last point"),
        ("step", lambda value: 1, "a larger step"),
    ],
)
def test_an_earlier_point_that_does_not_agree_with_the_others_is_found(played, tmp_path, column, change, should):
    run_id = run_of(played, beta=0.3, solver="nash-mp", n=6)

    def second_last(frames):
        curves = frames["curves"]
        place = curves.index[curves["run_id"] == run_id][-2]
        curves.loc[place, column] = change(curves.loc[place, column])

    report = report_of(altered(played, tmp_path, second_last))
    # A point that has moved is missed where it was planned, too.
    (found,) = (found for found in report.mismatches if found.column != "curves: recorded step")
    assert {found.run_id for found in report.mismatches} == {run_id}
    assert (found.recomputed, report.verified) == (should, report.runs - 1)
    assert found.column.startswith("curves.")


@pytest.mark.parametrize("table", ["runs", "curves"])
def test_a_row_that_was_taken_away_is_missed(exact, tmp_path, table):
    copy = tmp_path / "copy"
    shutil.copytree(exact, copy)
    rows = pd.read_parquet(copy / f"{table}.parquet")
    rows[1:].to_parquet(copy / f"{table}.parquet")
    report = report_of(copy)
    assert (report.ok, report.verified, report.runs) == (False, 2, 2)
    assert report.incomplete == "the manifest counts 3 runs and 3 points, and the tables hold 2 and 2 of them"
    result = call(copy, "--quiet")
    assert result.exit_code == 1
    changed, lacking, missing = result.stderr.splitlines()
    assert changed.startswith(f"error: {table}.parquet was changed after it was written: its SHA-256 is not the")
    assert lacking.startswith(f"error: {table} has no row of run ")
    assert missing == f"error: {report.incomplete}; run the command again to complete them"
    with Results.open(copy) as results:
        results.manifest["finished"] = None
        results.flush()
    assert report_of(copy).incomplete is None, "of a command that was stopped nobody knows how many there should be"


def test_a_metric_that_is_younger_than_the_directory_is_not_asked_for(played, tmp_path):
    def older(frames):
        for name in ("runs", "curves"):
            frames[name]["span_to_equilibrium"] = np.nan

    report = report_of(altered(played, tmp_path, older))
    assert report.ok and "span_to_equilibrium" not in report.columns


def test_runs_that_are_older_than_a_metric_stand_beside_younger_ones(played, tmp_path):
    column, run_id = "reverse_kl_to_equilibrium", run_of(played, beta=0.3)

    def older(frames):
        for table in ("runs", "curves"):
            set_in(frames, table, run_id, column, np.nan)

    report = report_of(altered(played, tmp_path, older))
    assert report.ok
    assert report.columns[column].checked == report.columns["kl_to_equilibrium"].checked - 1


def test_distances_that_were_never_known_are_left_out_and_said(played, tmp_path):
    run_id = run_of(played, beta=0.3)

    def forget(frames):
        set_in(frames, "runs", run_id, "equilibrium_residual", 1e-3)
        for column in OF_EQUILIBRIUM:
            in_both(frames, run_id, column, np.nan)

    report = report_of(altered(played, tmp_path, forget))
    assert report.ok
    assert report.without_distances == 1


def test_distances_that_rounding_leaves_undecided_at_beta_0_are_not_checked(tmp_path):
    # The margins of 99 actions of `disc`, given to 1e-16, do not say which equilibrium is the closest to the reference:
    # it is one to 3e-13 all the same.
    found = equilibrium(generate("disc", actions=99), 0.0)
    assert found.residual < 1e-12
    assert not found.converged
    for _ in runner.execute(Experiment(game="disc", actions=99, beta=0, solver=["omwu", "comal"], **SHORT), tmp_path):
        pass
    report = report_of(tmp_path)
    assert report.ok
    assert report.without_distances == report.runs == 2


def test_an_equilibrium_that_is_not_found_again_is_no_agreement(played, monkeypatch):
    def lost(game, betas):
        for beta in betas:
            yield Equilibrium(beta, equilibrium(game, 1.0).log_policy, 0.0, 1)

    monkeypatch.setattr("nashgames.verification.equilibrium_path", lost)
    report = report_of(played)
    assert not report.ok
    # The planted game knows its own equilibrium; the referee's word, a residual of 0, is not taken for the others.
    assert len(report.unverified) == report.runs - 1
    assert all("cannot be found again exactly" in run.reason for run in report.unverified.values())


def test_a_run_whose_file_is_gone_is_named_and_the_others_are_verified(played, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(played, copy)
    rows = Results.read(copy).runs
    (table,) = (Path(game) for game in rows["game"].unique() if game.endswith(".csv"))
    run_id = run_of(copy, game=str(table))
    kept = table.read_text()
    table.unlink()
    try:
        # The copy that is kept with the results serves as well.
        assert report_of(copy).ok
        shutil.rmtree(copy / "games")
        report = report_of(copy)
        assert list(report.unverified) == [run_id]
        assert "there is no file" in report.unverified[run_id].reason
        assert (report.ok, report.verified, report.mismatches) == (False, report.runs - 1, [])
        table.write_text(kept.replace("0.9", "0.8").replace("0.1", "0.2"))
        changed = report_of(copy)
        assert (list(changed.unverified), changed.mismatches) == ([run_id], [])
        assert f"'{table}' has changed since (fingerprint " in changed.unverified[run_id].reason
        # Rows of before do not say what the file was: there the numbers tell.
        unsaid = altered(copy, tmp_path, lambda frames: set_in(frames, "runs", run_id, "game_fingerprint", None))
        assert {found.run_id for found in report_of(unsaid).mismatches} == {run_id}
    finally:
        table.write_text(kept)
    assert report_of(copy).ok


def test_the_file_of_a_user_s_game_runs_only_where_it_is_named(tmp_path):
    text = "from pathlib import Path; Path(__file__ + '.ran').touch()\n" + USERS_GAME
    here, there, directory = tmp_path / "mine.py", tmp_path / "elsewhere" / "mine.py", tmp_path / "results"
    here.write_text(text)
    asked = {"game": f"{here}:Cycle[strength=0.5]", "solver": "nash-mp", "beta": 0.3}
    for _ in runner.execute(Experiment.from_dict(SHORT | asked), directory):
        pass
    ran = Path(f"{here}.ran")
    ran.unlink()
    # As another process would find it: nothing of the file is in memory.
    plugins._module.cache_clear()
    (unnamed,) = report_of(directory).unverified.values()
    assert f"nashgames verify takes it with --code {here}" in unnamed.reason and not ran.exists()
    other = tmp_path / "other.py"
    other.write_text(text)
    with pytest.raises(NashGamesError, match=r"no run of .* has a game or a solver of a file 'other.py'; leave it out"):
        report_of(directory, code=[other])
    assert not Path(f"{other}.ran").exists()
    there.parent.mkdir()
    here.rename(there)
    report = report_of(directory, code=[there])
    assert (report.ok, report.verified, Path(f"{there}.ran").exists(), ran.exists()) == (True, 1, True, False)
    there.write_text(text.replace("0.25", "0.2"))
    (changed,) = report_of(directory, code=[there]).unverified.values()
    assert "has changed since it was played" in changed.reason
    assert call(directory, "--code", there, "-q").exit_code == 1
    there.write_text(text)
    assert call(directory, "--code", there, "-q").exit_code == 0


def test_nothing_asks_for_all_margins_at_once(exact, monkeypatch):
    monkeypatch.setattr(DenseMargins, "to_dense", lambda _: pytest.fail("all of A at once"))
    report = report_of(exact, "highs")
    assert report.ok and report.external[0].runs == 1


def test_margins_and_equilibria_are_made_once_for_the_runs_that_share_them(played, monkeypatch):
    made, found = [], []
    make, path = type(find_source("disc")).make, equilibrium_path
    monkeypatch.setattr("nashgames.experiments.sources.Source.make", lambda *a: made.append(a[1:]) or make(*a))
    monkeypatch.setattr("nashgames.verification.equilibrium_path", lambda *a: found.append(a[1]) or path(*a))
    events = list(verify(played, replay=0))
    # Two seeds, contexts, float32, planted, a shipped table and a file.
    assert len(made) == 7
    # All but the planted game, which knows its own.
    assert len(found) == 6
    assert found[0] == [0.02, 0.3]
    *progress, report = events
    assert [event.done for event in progress] == sorted({event.done for event in progress})
    assert all(isinstance(event, Verifying) and event.runs == report.runs for event in progress)
    assert progress[0].title == "random-logits · 6 actions"


def test_runs_on_a_pinned_game_verify(tmp_path):
    """The game is one, the reference is every seed's own."""
    values = {"game": "disc[contexts=2,seed=9]", "actions": 5, "solver": "nash-mp", "seeds": 2, "reference": "random"}
    for _ in runner.execute(Experiment.from_dict(SHORT | values), tmp_path / "results"):
        pass
    report = report_of(tmp_path / "results")
    assert (report.runs, report.mismatches, report.unverified) == (2, [], {})
    rows = Results.read(tmp_path / "results").runs
    assert set(rows["game"]) == {"disc[contexts=2,seed=9]"}
    assert sorted(rows["seed"]) == [0, 1]
    # A row says which draw of the game it played.
    assert all(json.loads(parameters)["seed"] == 9 for parameters in rows["game_parameters"])


def test_exact_equilibria_verify(exact):
    report = report_of(exact)
    assert report.ok, report.mismatches
    assert report.runs == 3
    assert {"certificates.residual", "certificates.bias", "certificates"} <= report.columns.keys()


@pytest.mark.parametrize(
    ("table", "column", "change", "named"),
    [
        ("runs", "equilibrium_residual", lambda v: v + 1e-9, "equilibrium_residual"),
        ("runs", "suboptimality", lambda v: v + 1e-9, "suboptimality"),
        ("runs", "exploitability", lambda v: v + 1e-9, "exploitability"),
        ("certificates", "suboptimality", lambda v: v + 1e-9, "certificates.suboptimality"),
        ("certificates", "duality_gap", lambda v: v + 1e-9, "certificates.duality_gap"),
        ("certificates", "residual", lambda v: v + 1e-9, "certificates.residual"),
        ("certificates", "exploitability", lambda v: v + 1e-9, "certificates.exploitability"),
        ("certificates", "bias", lambda v: v + 1e-9, "certificates.bias"),
        ("certificates", "kl_bound", 0.5, "certificates.kl_bound"),
        ("certificates", "support", lambda v: v + 1, "certificates.support"),
        ("certificates", "beta", 0.7, "certificates.beta"),
    ],
)
def test_a_changed_number_of_an_exact_equilibrium_is_found(exact, tmp_path, table, column, change, named):
    run_ids = {run_of(exact, beta=beta) for beta in (1.0, 0.0)}

    def both(frames):
        for run_id in run_ids:
            set_in(frames, table, run_id, column, change)

    report = report_of(altered(exact, tmp_path, both))
    assert {(run_id, named) for run_id in run_ids} <= {(found.run_id, found.column) for found in report.mismatches}
    assert {found.run_id for found in report.mismatches} == run_ids


def test_an_equilibrium_without_its_certificate_is_found(exact, tmp_path):
    run_id = run_of(exact, beta=1.0)

    def drop(frames):
        frames["certificates"] = frames["certificates"][frames["certificates"]["run_id"] != run_id]

    assert [found.column for found in report_of(altered(exact, tmp_path, drop)).mismatches] == ["certificates"]


def test_highs_checks_the_original_game_and_says_what_it_cannot_check(exact, tmp_path):
    report = report_of(exact, "highs", "highs[method=ipm]")
    assert report.ok, report.mismatches
    for checked in report.external:
        assert checked.runs == 1
        assert checked.reasons.total() == 2
        assert all("answers for beta 0 only" in reason for reason in checked.reasons)
    assert report.columns["exploitability (highs)"].checked == 1

    def worse(frames):
        in_both(frames, run_of(exact, beta=0.0), "exploitability", 1e-3)
        in_both(frames, run_of(exact, beta=0.0), "kl_to_reference", lambda value: value + 1)

    found = {mismatch.column for mismatch in report_of(altered(exact, tmp_path, worse), "highs").mismatches}
    assert {"exploitability (highs)", "kl_to_reference (highs)"} <= found


def as_external(change):
    """An external solver whose answer is the referee's, changed."""

    def solve(name, margins, log_reference, beta):
        return change(np.exp(equilibrium(make_game(margins, log_reference=log_reference), beta).log_policy))

    return solve


def test_an_external_solver_that_agrees_checks_every_run_also_over_contexts(played, tmp_path, monkeypatch):
    monkeypatch.setattr(external, "solve", as_external(lambda policy: policy))
    report = report_of(played, "gambit")
    assert report.ok, report.mismatches
    assert report.external[0].runs == report.runs
    assert report.columns["kl_to_equilibrium (gambit)"].checked == report.runs
    run_id = run_of(played, beta=0.3)
    change = lambda frames: in_both(frames, run_id, "kl_to_equilibrium", lambda value: value * 1.001)  # noqa: E731
    found = report_of(altered(played, tmp_path, change), "gambit").mismatches
    assert [mismatch.column for mismatch in found] == ["kl_to_equilibrium", "kl_to_equilibrium (gambit)"]


def test_an_external_solver_that_is_wrong_checks_nothing(played, exact, monkeypatch):
    monkeypatch.setattr(external, "solve", as_external(lambda policy: 0.9 * policy + 0.1 / len(policy)))
    for directory, name in ((played, "gambit"), (exact, "gambit"), (exact, "mpax")):
        report = report_of(directory, name)
        assert report.ok
        (checked,) = report.external
        assert checked.runs == 0
        assert checked.reasons.total() == report.runs
        asked = [reason for reason in checked.reasons if "only; for beta" not in reason]
        assert asked and all("its own" in reason and "more than" in reason for reason in asked)


@pytest.mark.skipif(find_spec("pygambit") is None, reason="pygambit is not installed (nashgames[external])")
def test_gambit_agrees(played, exact):
    for directory, count in ((played, 15), (exact, 2)):
        report = report_of(directory, "gambit")
        assert report.ok, report.mismatches
        assert report.external[0].runs == count


@pytest.mark.parametrize(("name", "package"), [("gambit", "pygambit"), ("mpax", "mpax")])
def test_an_external_solver_that_is_not_installed_is_one_sentence_before_anything(played, monkeypatch, name, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(NashGamesError, match=r"pip install '?nashgames\[external\]"):
        next(iter(verify(played, [name])))


def test_a_directory_without_runs_is_refused(tmp_path):
    with Results.open(tmp_path / "empty") as results:
        results.begin({}, [], {})
        results.flush()
    with pytest.raises(NashGamesError, match="has no finished run to verify"):
        list(verify(tmp_path / "empty"))
    with pytest.raises(NashGamesError, match="holds no results"):
        list(verify(tmp_path / "nothing"))


@given(st.integers(0, 10_000), st.sampled_from([2, 5, 50]), st.floats(-9, -0.5), st.floats(-6, 1))
@settings(max_examples=150, deadline=None)
def test_a_kl_moves_no_further_than_is_allowed(seed, n, exponent, apart):
    """Log-probabilities of both policies moved by up to δ, both normalised again."""
    rng = np.random.default_rng(seed)
    shift = 10.0**exponent
    p = softmax(3 * rng.normal(size=n))
    q = softmax(np.log(p) + 10.0**apart * rng.normal(size=n))

    def kl(p, q):
        # Rounding makes a divergence of nearly equal policies negative.
        return max(float(np.sum(q - p + p * np.log(p / q))), 0.0)

    moved_p, moved_q = (softmax(np.log(x) + shift / 4 * rng.choice([-1, 1], size=n)) for x in (p, q))
    assert abs(kl(moved_p, moved_q) - kl(p, q)) <= Rounding("float64", n).kl(kl(p, q), shift) + 1e-14


def test_what_rounding_allows_grows_with_the_size_and_falls_with_beta_and_precision():
    log_policy = log_softmax(np.arange(5.0))[None]
    single, double = Rounding("float32", 100), Rounding("float64", 100)
    assert single.product == 2**29 * double.product == 2.0**-23 * 27
    assert double.response(0.01, log_policy) > 50 * double.response(1.0, log_policy)
    assert Rounding("float64", 1000).product > 9 * double.product
    assert Rounding("float64", 100, averaged=1000).product > 30 * double.product
    far = np.append(log_policy, [[-5000.0]], axis=-1)
    assert double.logarithm(far) < double.logarithm(far, every=True) == pytest.approx(2.0**-52 * (8 + 4 * 5000))


def call(*arguments):
    return CliRunner().invoke(APP, ["verify", "--replay=0", *map(str, arguments)])


def test_the_command_shows_how_well_everything_agrees(played):
    result = call(played)
    assert (result.exit_code, result.stderr) == (0, "")
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert lines[0] == f"{played} · 15 of 15 runs verified"
    assert lines[2] == "column checked largest deviation of the rounding bound"
    assert any(line.startswith("suboptimality 15 ") and line.endswith("%") for line in lines)
    assert call(played, "--quiet").output == ""


@pytest.mark.parametrize(
    ("column", "stored", "recomputed", "told"),
    [
        ("entropy", 0.5, 0.25, "in the rows and 0.25 computed again"),
        ("status", "budget", "converged", "in the rows and 'converged' computed again"),
        ("curves.game", "disc", "melo", "and 'melo' in the table runs"),
        ("curves.duality_gap at step 3", 0.5, "twice the suboptimality", "and should be twice the suboptimality"),
    ],
)
def test_a_difference_says_what_it_differs_from(column, stored, recomputed, told):
    assert cli_verify._instead(Mismatch("aaa", "nash-mp", "disc", 0.1, column, stored, recomputed)) == told


def test_the_command_names_the_run_that_differs_and_fails(played, tmp_path):
    run_id = run_of(played, beta=0.02, dtype="float64", solver="nash-mp")
    directory = altered(played, tmp_path, lambda frames: in_both(frames, run_id, "exploitability", 0.125))
    result = call(directory, "-q")
    assert (result.exit_code, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith(
        f"error: run {run_id} (nash-mp on random-logits at β = 0.02): exploitability is 0.125 in the rows and 0.0"
    )
    result = call(directory, "--json")
    assert result.exit_code == 1
    data = json.loads(result.stdout, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert (data["ok"], data["runs"], data["verified"]) == (False, 15, 14)
    (found,) = data["mismatches"]
    assert {key: found[key] for key in ("run_id", "label", "game", "beta", "column", "stored")} == {
        "run_id": run_id, "label": "nash-mp", "game": "random-logits", "beta": 0.02, "column": "exploitability",
        "stored": 0.125,
    }  # fmt: skip
    assert {entry["name"]: entry["checked"] for entry in data["columns"]}["exploitability"] == 15


def test_many_differences_are_counted_and_not_all_listed(played, tmp_path):
    def change(frames):
        for column in ("suboptimality", "entropy"):
            frames["runs"][column] += 1.0

    result = call(altered(played, tmp_path, change), "--quiet")
    assert result.exit_code == 1
    *listed, last = result.stderr.splitlines()
    assert len(listed) == 10
    assert "more values differ, 15 runs in all; see --json" in last


def test_a_run_whose_file_is_gone_fails_the_command_by_name(played, tmp_path):
    gone = tmp_path / "gone.csv"
    run_id = run_of(played, beta=0.3)
    directory = altered(played, tmp_path, lambda frames: set_in(frames, "runs", run_id, "game", str(gone)))
    result = call(directory, "--quiet")
    assert result.exit_code == 1
    assert f"on {gone} at β = 0.3) cannot be verified: there is no file '{gone}'" in result.stderr


def test_runs_that_cannot_be_verified_for_one_reason_are_one_sentence(played, tmp_path):
    def change(frames):
        frames["runs"]["game"] = str(tmp_path / "gone.csv")

    result = call(altered(played, tmp_path, change), "--quiet")
    assert result.exit_code == 1
    (sentence,) = [line for line in result.stderr.splitlines() if "cannot be verified" in line]
    assert "and 13 more runs cannot be verified: there is no file" in sentence


def test_the_command_says_what_external_solvers_checked(exact):
    result = call(exact, "--check-with", "highs", "--json")
    assert result.exit_code == 0
    (checked,) = json.loads(result.stdout)["external"]
    assert (checked["solver"], checked["checked"], sum(checked["reasons"].values())) == ("highs", 1, 2)
    shown = [" ".join(line.split()) for line in call(exact, "--check-with", "highs").stdout.splitlines()]
    assert "highs checked 1 of 3 runs" in shown
    assert any(
        line.startswith("not 1: beta is 0.01, but the external solver 'highs' answers for beta 0 only")
        for line in shown
    )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--check-with", "gambt"], "unknown external solver 'gambt'; did you mean 'gambit'?"),
        (["--check-with", ""], "--check-with is empty; accepted: gambit, highs, mpax"),
        (["--check-with", "highs[method=x]"], "highs[method] is 'x'; accepted: ds, ipm"),
        (["--chek-with", "highs"], "'nashgames verify' has no option '--chek-with'; did you mean '--check-with'?"),
        (["--code", "gone.py"], "--code is 'gone.py'; accepted: a Python file that is there"),
        (["--code", ""], "--code is ''; accepted: a Python file that is there"),
    ],
)
def test_mistakes_are_one_sentence(exact, arguments, sentence):
    result = call(exact, *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert sentence in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_ctrl_c_is_said(played, monkeypatch):
    def interrupted(*_, **options):
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr("nashgames.verification.verify", interrupted)
    result = call(played)
    assert result.exit_code == 130
    assert "stopped before every run was verified" in result.stderr


def test_records_have_none_where_a_value_is_missing():
    from nashgames.verification.stored import records

    frame = pd.DataFrame({"a": pd.array([1, None], dtype="Int64"), "b": [np.nan, np.inf], "c": ["x", "y"]})
    assert records(frame) == [{"a": 1, "b": None, "c": "x"}, {"a": None, "b": np.inf, "c": "y"}]
