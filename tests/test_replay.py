"""Runs played again: what is accepted, and that every tampering of a directory is found by what `verify` promises."""

import json
import shutil
from importlib.metadata import entry_points

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from nashgames import plugins
from nashgames.errors import NashGamesError
from nashgames.experiments import runner
from nashgames.experiments.experiment import Experiment
from nashgames.store import Results, hashes
from nashgames.verification import Report, numbers, verify
from nashgames.verification import replay as playing
from nashgames.verification.sample import drawn

(_SCRIPT,) = entry_points(group="console_scripts", name="nashgames")
APP = _SCRIPT.load()
TABLES = ("runs", "curves", "policies", "paths")
# 12 runs, most of them to the end of their budget: 56 and 111 points.
ASKED = {
    "game": "random-logits",
    "actions": 6,
    "beta": [0.1, 0.05],
    "solver": ["nash-mp", "mirror-descent"],
    "seeds": 3,
    "queries": 110,
    "record_every": 1,
}


POINTS = 986
"""Points of all of them."""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return execute(tmp_path_factory.mktemp("made") / "results", ASKED)


def execute(directory, *several):
    for asked in several:
        for _ in runner.execute(Experiment.from_dict(asked), directory):
            pass
    return directory


def report_of(directory, replay="all", **options) -> Report:
    *_, report = verify(directory, replay=replay, **options)
    return report


def call(*arguments):
    return CliRunner().invoke(APP, ["verify", *map(str, arguments)])


def tampered(directory, tmp_path, change, *, forged=False):
    """A copy whose tables `change(frames)` has changed, as another program writes them; `forged` with its hashes."""
    copy = tmp_path / "tampered"
    shutil.copytree(directory, copy)
    frames = {name: pd.read_parquet(copy / f"{name}.parquet") for name in ("runs", "curves", "policies")}
    before = {name: frame.copy() for name, frame in frames.items()}
    change(frames)
    manifest = json.loads((copy / "manifest.json").read_text(encoding="utf-8"))
    changed = [name for name, frame in frames.items() if not frame.equals(before[name])]
    assert changed
    for name in changed:
        path = copy / f"{name}.parquet"
        frames[name].to_parquet(path)
        if forged:
            manifest["hashes"][name] = [hashes.digest_of(path.read_bytes())]
    (copy / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return copy, changed


def interior(curves):
    """The rows of points that are neither the first nor the last of their run."""
    by_run = curves.groupby("run_id")["step"]
    return (curves["step"] > 0) & (curves["step"] < by_run.transform("max"))


def thousandfold(frames):
    rows = interior(frames["curves"])
    frames["curves"].loc[rows, ["suboptimality", "duality_gap"]] *= 1000


def off_by_a_millionth(frames):
    place = frames["curves"].index[interior(frames["curves"])][700]
    frames["curves"].loc[place, "kl_to_reference"] *= 1 + 1e-6


def a_row_lost(frames):
    frames["curves"] = frames["curves"].drop(frames["curves"].index[interior(frames["curves"])][700])


def a_row_doubled(frames):
    curves = frames["curves"]
    frames["curves"] = pd.concat([curves, curves[interior(curves)].iloc[[700]]], ignore_index=True)


def interior_rows_lost(frames):
    frames["curves"] = frames["curves"][~interior(frames["curves"])]


def curves_doubled(frames):
    frames["curves"] = pd.concat([frames["curves"]] * 2, ignore_index=True)


def runs_doubled(frames):
    frames["runs"] = pd.concat([frames["runs"]] * 2, ignore_index=True)


def ids_swapped(frames):
    """Of two runs that differ in their seed, in every table: each agrees with itself."""
    runs = frames["runs"]
    first, second = runs[(runs["solver"] == "nash-mp") & (runs["beta"] == 0.1)]["run_id"].iloc[:2]
    for frame in frames.values():
        frame["run_id"] = frame["run_id"].replace({first: second, second: first})


def a_status(frames):
    run_id = frames["runs"]["run_id"].iloc[3]
    frames["runs"].loc[frames["runs"]["run_id"] == run_id, "status"] = "diverged"
    mine = frames["curves"].index[frames["curves"]["run_id"] == run_id]
    frames["curves"].loc[mine[-1], "status"] = "diverged"


def an_earlier_status(frames):
    frames["curves"].loc[frames["curves"].index[interior(frames["curves"])][700], "status"] = "diverged"


def an_entry_of_a_policy(frames):
    """A millionth, and its logarithm with it."""
    policies = frames["policies"]
    policies.loc[17, "probability"] *= 1 + 1e-6
    policies.loc[17, "log_probability"] = np.log(policies.loc[17, "probability"])


def a_label(frames):
    frames["runs"].loc[3, "label"] = "nash-md"


TAMPERINGS = (
    thousandfold,
    off_by_a_millionth,
    a_row_lost,
    a_row_doubled,
    interior_rows_lost,
    curves_doubled,
    runs_doubled,
    ids_swapped,
    a_status,
    an_earlier_status,
    an_entry_of_a_policy,
    a_label,
)


def test_every_point_and_policy_comes_again_to_the_bit(made):
    report = report_of(made)
    assert report.ok, (report.mismatches[:3], report.faults)
    assert (report.runs, report.verified, report.unplanned, report.unhashed) == (12, 12, 0, [])
    found = report.replayed
    assert (found.asked, found.runs, found.equal) == (12, 12, 12)
    assert (dict(found.columns), dict(found.reasons), found.elsewhere) == ({}, {}, [])
    assert len(Results.read(made).curves) == POINTS


@pytest.mark.parametrize("change", TAMPERINGS)
def test_a_tampering_is_found_at_once_by_the_hash_of_its_file(made, tmp_path, change):
    copy, changed = tampered(made, tmp_path, change)
    # It reads as before: what pandas has written is still a table.
    assert len(Results.read(copy).runs) >= 12
    report = report_of(copy, replay=0)
    assert not report.ok
    for name in changed:
        assert f"{name}.parquet was changed after it was written: its SHA-256 is not the manifest's" in report.faults


@pytest.mark.parametrize("change", TAMPERINGS)
def test_a_tampering_with_the_hash_forged_is_found_by_playing_all_again(made, tmp_path, change):
    copy, _ = tampered(made, tmp_path, change, forged=True)
    report = report_of(copy)
    assert not report.ok
    assert not any("SHA-256" in fault for fault in report.faults)
    if change in (a_row_doubled, curves_doubled, runs_doubled):
        assert any(" has 2 rows of run_id " in fault for fault in report.faults)
    else:
        assert any(found.played for found in report.mismatches)


def test_one_value_that_differs_is_named_with_its_step_and_both_values(made, tmp_path):
    copy, _ = tampered(made, tmp_path, off_by_a_millionth, forged=True)
    # Nothing but playing the run again can tell.
    assert report_of(copy, replay=0).ok
    (found,) = report_of(copy).mismatches
    row = Results.read(copy).curves[interior(Results.read(copy).curves)].iloc[700]
    assert (found.run_id, found.column) == (row["run_id"], f"curves.kl_to_reference at step {row['step']}")
    assert found.stored == row["kl_to_reference"]
    assert found.recomputed == pytest.approx(found.stored / (1 + 1e-6), rel=1e-12)
    result = call(copy, "--replay", "all", "--quiet")
    assert (result.exit_code, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"error: run {found.run_id} (")
    assert f": {found.column} is {found.stored:.12g} in the rows and {found.recomputed:.12g} played again" in line


def test_rows_that_are_lost_are_missed_without_playing(made, tmp_path):
    for change, count in ((a_row_lost, 1), (interior_rows_lost, POINTS - 24)):
        copy, _ = tampered(made, tmp_path / change.__name__, change, forged=True)
        report = report_of(copy, replay=0)
        missing = [found for found in report.mismatches if found.column == "curves: recorded step"]
        assert len(missing) == count
        assert all(found.stored is None and isinstance(found.recomputed, int) for found in missing)
    report = report_of(tampered(made, tmp_path, interior_rows_lost, forged=True)[0], replay=0)
    assert report.incomplete == (
        f"the manifest counts 12 runs and {POINTS} points, and the tables hold 12 and 24 of them"
    )


def test_a_run_that_stopped_before_its_budget_without_a_reason_is_found(made, tmp_path):
    def cut(frames):
        """The last point goes, and its run ends at the one before."""
        curves, runs = frames["curves"], frames["runs"]
        first = runs.index[(runs["status"] == "budget") & (runs["solver"] == "mirror-descent")][0]
        mine = curves.index[curves["run_id"] == runs.loc[first, "run_id"]]
        curves.loc[mine[-2], "status"] = "budget"
        for column in ("step", "queries", "comparisons", "seconds", "status"):
            runs.loc[first, column] = curves.loc[mine[-2], column]
        frames["curves"] = curves.drop(mine[-1])

    copy, _ = tampered(made, tmp_path, cut, forged=True)
    steps = {(found.column, found.stored, found.recomputed) for found in report_of(copy, replay=0).mismatches}
    assert ("step", 109, 110) in steps


def test_a_changed_hash_is_told_and_playing_finds_what_changed(made, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(made, copy)
    manifest = json.loads((copy / "manifest.json").read_text(encoding="utf-8"))
    manifest["hashes"]["curves"] = ["0" * 64]
    (copy / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    report = report_of(copy)
    assert report.faults == ["curves.parquet was changed after it was written: its SHA-256 is not the manifest's"]
    assert (report.mismatches, report.replayed.equal) == ([], 12)
    result = call(copy, "--replay", "0", "--quiet")
    assert result.exit_code == 1
    assert (
        result.stderr.strip()
        == f"error: {report.faults[0]}; restore what was written to '{copy}', or play its runs again"
    )


def test_a_table_that_is_gone_or_that_others_added_is_told(made, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(made, copy)
    shutil.copy(copy / "policies.parquet", copy / "certificates.parquet")
    rows = pd.DataFrame(
        {name: [1.0] for name in ("beta", "suboptimality", "duality_gap", "residual", "exploitability")}
    )
    rows = rows.assign(run_id="none", bias=1.0, kl_bound=1.0, support=1)
    rows.to_parquet(copy / "certificates.parquet")
    assert "certificates.parquet was changed after it was written" in report_of(copy, replay=0).faults[0]
    (copy / "certificates.parquet").unlink()
    manifest = json.loads((copy / "manifest.json").read_text(encoding="utf-8"))
    manifest["hashes"]["paths"] = ["0" * 64]
    (copy / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    assert report_of(copy, replay=0).faults == ["paths.parquet was taken away after it was written"]


def test_a_directory_from_before_there_were_hashes_verifies_and_says_so(made, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(made, copy)
    manifest = json.loads((copy / "manifest.json").read_text(encoding="utf-8"))
    del manifest["hashes"]
    (copy / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    report = report_of(copy, replay=0)
    assert report.ok
    assert report.unhashed == ["curves.parquet", "policies.parquet", "runs.parquet"]
    assert "written before the manifest kept hashes" in " ".join(call(copy, "--replay", "0").stdout.split())
    # The first command that folds something in knows them from then on.
    execute(copy, ASKED | {"seeds": 4})
    assert set(Results.read(copy).manifest["hashes"]) == {"curves", "policies", "runs"}
    assert report_of(copy, replay=0).unhashed == []


def test_what_is_folded_into_a_table_that_was_changed_does_not_make_it_sound(made, tmp_path):
    copy, _ = tampered(made, tmp_path, off_by_a_millionth)
    for seeds in (4, 5):
        execute(copy, ASKED | {"seeds": seeds})
        assert report_of(copy, replay=0).faults == [
            "curves.parquet holds rows of a file that was changed after it was written"
        ]


def test_runs_of_every_experiment_of_a_directory_are_played_again(tmp_path):
    """Added to, tuned, on duels, on a table whose copy is kept, of three actions, over contexts and at β = 0."""
    table = tmp_path / "wins.csv"
    table.write_text("0.5,0.8,0.3\n0.2,0.5,0.9\n0.7,0.1,0.5\n")
    short = {"queries": 60, "records": 5, "solver": "nash-mp"}
    directory = execute(
        tmp_path / "results",
        short | {"game": "random-logits", "actions": 6, "seeds": 2, "beta": [0.3, 0.1]},
        short | {"game": "random-logits", "actions": 6, "seeds": 3, "beta": [0.3, 0.1, 0.05]},
        short | {"game": "random-logits", "actions": 6, "beta": 0.3, "solver": "online-ipo", "tune": {"trials": 2}},
        short | {"game": "random-logits[contexts=2]", "actions": 3, "feedback": "duels[batch=10]"},
        short | {"game": str(table), "reference": "random"},
        short | {"game": "disc", "actions": 5, "beta": 0, "solver": "regret-matching-plus"},
        short | {"game": "random-logits", "actions": 6, "dtype": "float32", "solver": "online-ipo[step=1e30]"},
    )
    table.unlink()
    report = report_of(directory)
    assert report.ok, (report.mismatches[:3], report.unverified, report.faults)
    found = report.replayed
    assert (found.runs, dict(found.reasons)) == (len(Results.read(directory).runs), {})
    assert found.equal == found.runs


def test_a_run_that_was_played_beside_others_agrees_within_rounding(made, tmp_path):
    """In a directory whose manifest says another grid: other batches, other last digits."""
    copy, wider = tmp_path / "copy", Experiment.from_dict(ASKED | {"seeds": 20}).to_dict()
    shutil.copytree(made, copy)
    manifest = json.loads((copy / "manifest.json").read_text(encoding="utf-8"))
    manifest["experiment"] = wider
    (copy / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    report = report_of(copy)
    assert report.ok, report.mismatches[:3]
    assert report.replayed.runs == 12
    assert all(column.share <= 1 and column.relative <= 1e-7 for column in report.replayed.columns.values())


def test_last_digits_that_others_computed_agree_and_are_counted(made, tmp_path):
    def last_digit(frames):
        place = frames["curves"].index[interior(frames["curves"])][700]
        frames["curves"].loc[place, "kl_to_reference"] *= 1 + 1e-9

    copy, _ = tampered(made, tmp_path, last_digit, forged=True)
    report = report_of(copy)
    assert report.ok
    assert (report.replayed.runs, report.replayed.equal) == (12, 11)
    (column,) = report.replayed.columns.values()
    assert (column.name, column.checked) == ("curves.kl_to_reference", 1)
    assert column.relative == pytest.approx(1e-9, rel=1e-3) and column.share == pytest.approx(1e-2, rel=1e-3)
    printed = " ".join(call(copy, "--replay", "all").stdout.split())
    assert "11 reproduced bit for bit" in printed
    assert "1 agree within rounding, at most 1.0e-09 off (curves.kl_to_reference)" in printed
    assert "or last digits were changed" in printed


def test_what_a_replay_may_be_off_is_small_where_a_value_is_and_grows_with_rounding():
    one = np.ones(1)
    of = lambda name, value, beta=0.1: numbers.of_replay(name, value * one, beta * one, 1e-13 * one, 0 * one)[0]  # noqa: E731
    for name in ("suboptimality", "duality_gap", "entropy", "kl_to_equilibrium", "probability", "exploitability"):
        assert of(name, 0.3) == pytest.approx(numbers.REPLAYED * 0.3, rel=1e-9), name
    # Near 0 a divergence known to δ in its logarithms is known to δ √(2 KL).
    assert of("suboptimality", 1e-22) == pytest.approx(0.1 * 1e-13 * np.sqrt(2e-21), rel=0.01)
    assert of("suboptimality", 1e-22, beta=0.0) == 1e-13
    assert of("kl_to_equilibrium", 0.0) == 1e-26
    assert of("kl_to_equilibrium", np.inf) == np.inf
    unsure = numbers.of_replay("kl_to_equilibrium", 1e-20 * one, one, 0 * one, 1e-10 * one)[0]
    assert unsure == pytest.approx(1e-10 * (np.sqrt(2e-20) + 1e-10), rel=1e-6)


# -- which runs --------------------------------------------------------------------------------------------------------


def test_the_sample_is_drawn_by_what_the_directory_holds(made, tmp_path):
    ids = [f"{number:03d}" for number in range(100)]
    assert drawn("5%", ids, "a") == drawn("5%", reversed(ids), "a") != drawn("5%", ids, "b")
    for replay, count in (("all", 100), ("5%", 5), ("0.1%", 1), ("100%", 100), ("0", 0), (0, 0), (7, 7), ("700", 100)):
        assert len(set(drawn(replay, ids, "a"))) == count, replay
    # Every run has its turn.
    assert set().union(*(drawn("5%", ids, str(number)) for number in range(300))) == set(ids)
    assert drawn("5%", [], "a") == []
    first, again = report_of(made, "15%"), report_of(made, "15%")
    assert (first.replayed.asked, first.replayed.equal) == (again.replayed.asked, again.replayed.equal) == (2, 2)


@pytest.mark.parametrize("replay", ["", "some", "-1", "5 percent", "5%%", "-5%", "101%", "nan%", "1.5", "%", "²"])
def test_another_sample_is_refused_before_anything(made, replay):
    sentence = "accepted: all, a number of runs such as 10, or a share such as 5%"
    with pytest.raises(NashGamesError, match="replay is .*; " + sentence):
        next(verify(made, replay=replay))
    result = call(made, f"--replay={replay}")
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"--replay is {replay!r}; {sentence}" in " ".join(result.stderr.split())


def test_the_command_says_what_was_played_again_and_what_was_not_checked(made):
    printed = " ".join(call(made).stdout.split())
    assert "played again 1 of 12 runs, drawn by a hash of the directory; 1 reproduced bit for bit" in (printed)
    assert "not checked earlier points of 11 runs, except that they fit each other and the planned steps" in printed
    assert all(column in printed for column in playing.EFFORT)
    data = json.loads(call(made, "--json", "--replay", "3").stdout)
    assert (data["ok"], data["faults"], data["unhashed"], data["unplanned"]) == (True, [], [], 0)
    assert data["replayed"] == {
        "asked": 3, "runs": 3, "equal": 3, "columns": [], "reasons": {}, "elsewhere": [],
    }  # fmt: skip


# -- what cannot be played again ---------------------------------------------------------------------------------------


def test_code_runs_only_where_it_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = """
import dataclasses
from pathlib import Path
import jax
import nashgames as ng
Path("ran").touch()

@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Mine(ng.NashMP):
    name = "mine"
"""
    (tmp_path / "mine.py").write_text(text)
    asked = {"game": "disc", "actions": 4, "queries": 40, "records": 3}
    directory = execute(
        tmp_path / "results",
        asked | {"solver": "nash-mp"},
        asked | {"solver": ["average[mine.py:Mine]", "mine.py:Mine"]},
    )
    (tmp_path / "ran").unlink()
    # As another process would find it: nothing of the file is in memory.
    plugins._module.cache_clear()
    report = report_of(directory)
    assert report.ok and not (tmp_path / "ran").exists()
    assert (report.replayed.asked, report.replayed.runs) == (3, 1)
    assert dict(report.replayed.reasons) == {
        "the solver mine.py:Mine is code of a Python file; name it with --code mine.py": 2
    }
    printed = " ".join(call(directory, "--replay", "all").stdout.split())
    assert "not 2: the solver mine.py:Mine is code of a Python file; name it with --code mine.py" in printed
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "mine.py").write_text(text)
    assert report_of(directory, code=["elsewhere/mine.py"]).replayed.runs == 1
    assert not (tmp_path / "ran").exists()
    assert report_of(directory, code=["mine.py"]).replayed.equal == 3
    (tmp_path / "mine.py").write_text(text + "\n# changed\n")
    changed = report_of(directory, code=["mine.py"]).replayed
    assert (changed.runs, dict(changed.reasons)) == (1, {"no experiment of the manifest plans it any more": 2})


def test_runs_that_cannot_be_planned_or_played_are_counted_with_the_reason(made, tmp_path, monkeypatch):
    copy = tmp_path / "copy"
    shutil.copytree(made, copy)
    manifest = json.loads((copy / "manifest.json").read_text(encoding="utf-8"))
    for experiment, reason in (
        ({"game": ["gone"]}, "unknown game 'gone'"),
        ({"unknown": 1}, "unknown experiment key 'unknown'"),
        (ASKED | {"device": "gpu"}, "device is 'gpu', but JAX sees no such device here"),
        (ASKED | {"queries": 50}, "no experiment of the manifest plans it any more"),
    ):
        (copy / "manifest.json").write_text(json.dumps(manifest | {"experiment": experiment}), encoding="utf-8")
        report = report_of(copy, replay=3)
        assert report.replayed.runs == 0
        ((told, count),) = report.replayed.reasons.items()
        assert told.startswith(reason) and count == 3
    # What no experiment says of a recording is said.
    (copy / "manifest.json").write_text(json.dumps(manifest | {"experiment": {"seed": 0}}), encoding="utf-8")
    assert report_of(copy, replay=0).unplanned == 12

    def broken(*arguments, **options):
        yield playing.Failed("mirror-descent on it failed: no memory", (), "failed", 1, MemoryError())

    monkeypatch.setattr(playing, "play", broken)
    report = report_of(made, replay=3)
    assert report.ok and report.replayed.runs == 0
    assert dict(report.replayed.reasons) == {"mirror-descent on it failed: no memory": 3}


def test_exact_equilibria_are_not_played(tmp_path):
    result = CliRunner().invoke(APP, ["equilibrium", "soccer10", "--beta", "1", "--out", str(tmp_path / "exact")])
    assert result.exit_code == 0, result.output
    report = report_of(tmp_path / "exact")
    assert report.ok and report.exact == 1 and report.replayed.asked == 0


# -- files -------------------------------------------------------------------------------------------------------------


def test_rows_that_lie_twice_in_a_part_are_told(made, tmp_path):
    """A part is laid over the tables whole: what is there twice in it is there twice."""
    copy = tmp_path / "copy"
    with Results.read(made) as results, Results.open(copy) as other:
        other.begin(results.manifest["experiment"], results.manifest["run_ids"], {})
        frames = {name: getattr(results, name) for name in TABLES}
        frames["curves"] = pd.concat([frames["curves"], frames["curves"].iloc[:2]])
        other.add(**frames)
        ((fault,),) = [report_of(copy, replay=0).faults]
        assert fault.startswith("curves of parts/000001-") and ", and 1 more are there twice" in fault


def test_runs_that_lost_their_rows_of_a_table_are_told(made, tmp_path):
    def lose(frames):
        frames["policies"] = frames["policies"][frames["policies"]["run_id"] != frames["runs"]["run_id"].iloc[0]]

    copy, _ = tampered(made, tmp_path, lose, forged=True)
    report = report_of(copy, replay=0)
    run_id = Results.read(made).runs["run_id"].iloc[0]
    assert report.faults == [f"policies has no row of run {run_id}, which another table has"]


def test_a_kept_game_that_was_changed_is_told(tmp_path):
    table = tmp_path / "wins.csv"
    table.write_text("0.5,0.8,0.3\n0.2,0.5,0.9\n0.7,0.1,0.5\n")
    directory = execute(tmp_path / "results", {"game": str(table), "solver": "nash-mp", "queries": 20, "records": 3})
    (kept,) = (directory / "games").iterdir()
    assert report_of(directory, replay=0).ok
    kept.write_text("0.5,0.7,0.3\n0.3,0.5,0.9\n0.7,0.1,0.5\n")
    report = report_of(directory)
    assert report.faults == [
        f"games/{kept.name} was changed after it was written: its bytes are not those it is named after"
    ]
