"""What happens when an experiment is played, in order, and what is on disk wherever it stops."""

import dataclasses
import json
import re
from pathlib import Path

import jax
import numpy as np
import pandas as pd
import psutil
import pytest

from nashgames.core.margins import DenseMargins
from nashgames.core.metrics import METRICS
from nashgames.engine.batch import Batch
from nashgames.errors import NashGamesError
from nashgames.exact.referee import equilibrium
from nashgames.experiments import preparing, runner
from nashgames.experiments.events import Advanced, BatchFinished, Event, Finished, GameReady, Noted, Planned, Refereed
from nashgames.experiments.experiment import Experiment
from nashgames.experiments.playing import Conditions
from nashgames.games import families
from nashgames.store import Results
from tests.games import log_softmax, measured

BETAS = (0.5, 0.1, 0.03)
TABLES = ("runs", "curves", "policies", "paths")
# Wall times differ between two plays of one run; nothing else may.
TIMES = ["seconds", "compile_seconds", "solve_seconds"]


def experiment(**values) -> Experiment:
    """Three runs of one solver on rock-paper-scissors that differ in β, unless something else is given."""
    usual = {"game": "circulant", "reference": "tilted", "beta": BETAS, "solver": "nash-mp", "queries": 90,
        "tolerance": 1e-8, "records": 8}  # fmt: skip
    return Experiment(**(usual | values))


def play(directory: Path, *, force: bool = False, **values) -> list[Event]:
    return list(runner.execute(experiment(**values), directory, force=force))


def of_kind(events, kind):
    return [event for event in events if isinstance(event, kind)]


def timeless(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.drop(columns=[name for name in TIMES if name in frame])


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The events of one undisturbed play of nash-mp and mirror-descent, and its directory."""
    directory = tmp_path_factory.mktemp("whole") / "results"
    return play(directory, solver=["nash-mp", "mirror-descent"])


# -- events ------------------------------------------------------------------------------------------------------------


def test_events_come_in_order_and_say_what_happens(whole):
    kinds = "".join({Planned: "P", GameReady: "G", Refereed: "R", Advanced: "a", BatchFinished: "B", Finished: "F"}[
        type(event)] for event in whole)  # fmt: skip
    assert re.fullmatch("PGRRR(a+B){2}F", kinds)
    planned, ready, *_, finished = whole
    assert (planned.runs, planned.reused, planned.batches) == (6, 0, 2)
    assert planned.directory == finished.directory
    assert (ready.title, ready.game.actions, ready.notes) == ("circulant · 3 actions", 3, ())
    assert ready.facts.condorcet_winner is None
    assert [(one.beta, one.title) for one in of_kind(whole, Refereed)] == [(beta, ready.title) for beta in BETAS]
    assert all(0 <= one.residual < 1e-10 for one in of_kind(whole, Refereed))
    for number, name in enumerate(("nash-mp", "mirror-descent"), start=1):
        steps = [one for one in of_kind(whole, Advanced) if one.batch == number]
        assert {(one.batches, one.label, one.runs) for one in steps} == {(2, f"{name} · circulant · 3 actions", 3)}
        assert {one.budget for one in steps} == {90}
        assert [one.queries for one in steps] == sorted({one.queries for one in steps})
        assert steps[-1].active == 0
        assert steps[-1].queries <= 90
        assert all(np.isfinite(one.distance) and one.seconds_left >= 0 for one in steps)
        (done,) = [one for one in of_kind(whole, BatchFinished) if one.batch == number]
        assert (done.batches, set(done.runs["solver"]), len(done.runs)) == (2, {name}, 3)
    assert (finished.reused, finished.failed, len(finished.runs)) == (0, 0, 6)


def test_facts_are_told_of_a_single_game_and_notes_of_what_is_left_out(tmp_path):
    events = play(tmp_path, game=["circulant", "circulant[margin=0.3]"], seeds=2, reference="uniform", tolerance=0.49)
    ready = of_kind(events, GameReady)
    assert [one.facts for one in ready] == [None, None]
    assert [one.title for one in ready] == ["circulant · 3 actions", "circulant[margin=0.3] · 3 actions"]
    assert [one.text for one in of_kind(events, Noted)] == [
        f"{name} does not depend on the seed: it is played once, with seed 0"
        for name in ("circulant", "circulant[margin=0.3]")
    ]
    assert isinstance(events[1], Noted)


# -- rows and files ----------------------------------------------------------------------------------------------------


def test_what_finished_says_is_what_is_on_disk(whole):
    finished = whole[-1]
    results = Results.read(finished.directory)
    assert {path.name for path in finished.files} == {*(f"{name}.parquet" for name in TABLES), "manifest.json"}
    for path in finished.files:
        assert path.is_file()
    for name in ("curves", "policies", "paths"):
        pd.testing.assert_frame_equal(getattr(finished, name), getattr(results, name), check_exact=True)
    # Runs are shown in the order they were asked for, and stored in the order they were finished.
    by_id = [frame.set_index("run_id").sort_index() for frame in (finished.runs, results.runs)]
    pd.testing.assert_frame_equal(*by_id, check_exact=True)
    assert list(finished.runs["run_id"]) == results.manifest["run_ids"]
    told = pd.concat([one.runs for one in of_kind(whole, BatchFinished)])
    assert sorted(told["run_id"]) == sorted(finished.runs["run_id"])


def test_every_row_follows_from_the_policy_beside_it(whole):
    finished = whole[-1]
    mu = log_softmax(np.array([1.0, 0.0, -1.0]))
    game = families.generate("circulant").replace(log_reference=mu)
    for run in finished.runs.to_dict("records"):
        at_beta = game.replace(beta=run["beta"])
        star = equilibrium(at_beta).log_policy
        policy = finished.policies[finished.policies["run_id"] == run["run_id"]].sort_values("action")
        path = finished.paths[finished.paths["run_id"] == run["run_id"]].sort_values(["step", "action"])
        curve = finished.curves[finished.curves["run_id"] == run["run_id"]]
        points = np.log(path["probability"].to_numpy().reshape(-1, 3))
        assert len(points) == len(curve)
        rows = [*zip(points, curve.to_dict("records"), strict=True), (policy["log_probability"].to_numpy(), run)]
        for log_policy, row in rows:
            for name, value in measured(at_beta, log_policy, star).items():
                assert row[name] == pytest.approx(value, rel=1e-6, abs=1e-13), name
        assert run["queries"] == run["step"] * (2 if run["solver"] == "nash-mp" else 1) <= 90
        if run["status"] == "converged":
            assert run["suboptimality"] <= 1e-8
            assert run["queries_to_tolerance"] == run["queries"]
        else:
            assert run["suboptimality"] > 1e-8
            assert run["queries"] == 90
    assert set(finished.runs["status"]) == {"converged", "budget"}


def test_the_manifest_says_how_the_rows_were_made(tmp_path):
    events = runner.execute(experiment(seed=3), tmp_path / "out", arguments=["run", "circulant", "--seed", "3"])
    *_, finished = events
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["experiment"] == experiment(seed=3).to_dict()
    assert Experiment.from_dict(manifest["experiment"]) == experiment(seed=3)
    assert manifest["run_ids"] == list(finished.runs["run_id"])
    environment = manifest["environment"]
    assert environment["command"] == "nashgames run circulant --seed 3"
    assert {"python", "nashgames", "jax", "jaxlib", "numpy", "scipy", "pandas", "pyarrow"} <= set(
        environment["versions"]
    )
    assert environment["versions"]["jax"] == jax.__version__
    assert (manifest["experiment"]["dtype"], manifest["experiment"]["device"]) == ("float64", "cpu")
    assert (environment["matmul_precision"], environment["device"]) == ("highest", "cpu")
    assert environment["git"] is None or re.fullmatch("[0-9a-f]{40,64}", environment["git"]["commit"])
    assert environment["cores"] >= 1
    assert environment["started"] <= manifest["finished"]
    assert manifest["counts"] == {"runs": 3, "reused": 0, "points": len(finished.curves)}
    assert manifest["history"] == []


def test_a_game_from_a_file_keeps_its_labels_and_where_it_comes_from(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("wins.csv").write_text("stone,paper,shears\n0.5,0.1,0.9\n0.9,0.5,0.1\n0.1,0.9,0.5\n")
    finished = play(tmp_path / "out", game="wins.csv", reference="own")[-1]
    assert set(finished.runs["game"]) == {"wins.csv"}
    assert list(finished.policies["label"][:3]) == ["stone", "paper", "shears"]
    assert set(finished.runs["reference"]) == {"uniform"}


# -- again -------------------------------------------------------------------------------------------------------------


def test_the_same_experiment_again_computes_nothing_and_changes_nothing(tmp_path):
    first = play(tmp_path / "out")[-1]
    tables = {name: (tmp_path / "out" / f"{name}.parquet").read_bytes() for name in TABLES}
    planned, finished = play(tmp_path / "out")
    assert (planned.runs, planned.reused, planned.batches, finished.reused) == (3, 3, 0, 3)
    for name in TABLES:
        pd.testing.assert_frame_equal(getattr(first, name), getattr(finished, name), check_exact=True)
        assert (tmp_path / "out" / f"{name}.parquet").read_bytes() == tables[name]
    manifest = Results.read(tmp_path / "out").manifest
    assert manifest["counts"]["reused"] == 3
    assert len(manifest["history"]) == 1


def test_an_added_solver_is_all_that_is_computed(tmp_path):
    first = play(tmp_path / "out")[-1]
    events = play(tmp_path / "out", solver=["mirror-descent", "nash-mp"])
    assert (events[0].runs, events[0].reused, events[0].batches) == (6, 3, 1)
    assert {one.label.partition(" ")[0] for one in of_kind(events, Advanced)} == {"mirror-descent"}
    finished = events[-1]
    # In the order of this experiment, whatever was there before.
    assert list(finished.runs["solver"]) == ["mirror-descent", "nash-mp"] * 3
    old = finished.curves[finished.curves["solver"] == "nash-mp"].reset_index(drop=True)
    pd.testing.assert_frame_equal(old, first.curves, check_exact=True)


def test_part_of_an_experiment_shows_its_own_runs_and_leaves_the_others_there(tmp_path):
    play(tmp_path / "out", solver=["nash-mp", "mirror-descent"])
    (planned, finished) = play(tmp_path / "out")
    assert (planned.reused, len(finished.runs), set(finished.curves["solver"])) == (3, 3, {"nash-mp"})
    assert len(Results.read(tmp_path / "out").runs) == 6


def test_force_plays_everything_again_with_the_same_bits(tmp_path):
    first = play(tmp_path / "out")[-1]
    events = play(tmp_path / "out", force=True)
    assert (events[0].reused, events[0].batches, events[-1].reused) == (0, 1, 0)
    for name in TABLES:
        again = getattr(events[-1], name)
        pd.testing.assert_frame_equal(timeless(again), timeless(getattr(first, name)), check_exact=True)
    assert len(Results.read(tmp_path / "out").runs) == 3


FAMILIES = {"game": ["planted-regularised", "random-logits", "circulant"], "actions": 5, "beta": [0.5, 0.1],
    "reference": "own", "queries": 20, "seeds": 2}  # fmt: skip


def test_families_of_one_size_are_played_together_as_each_alone_and_resumed_to_the_bit(tmp_path):
    """Of the last, a game is left out of the middle of the stack: its lanes keep their places in the batches."""
    events = play(tmp_path / "whole", **FAMILIES)
    assert [one.title.partition(" ")[0] for one in of_kind(events, GameReady)] == FAMILIES["game"]
    # One lane a game that is made for a β, two for the others.
    assert [len(one.runs) for one in of_kind(events, BatchFinished)] == [4, 6]
    assert {one.label for one in of_kind(events, Advanced)} == {"nash-mp · 7 games · 5 actions"}
    whole = Results.read(tmp_path / "whole")
    for game in FAMILIES["game"]:
        alone = play(tmp_path / game, **(FAMILIES | {"game": game}))[-1].runs.set_index("run_id")
        mine = whole.runs.set_index("run_id").loc[alone.index]
        np.testing.assert_allclose(mine["suboptimality"], alone["suboptimality"], rtol=1e-9, atol=1e-14)
        np.testing.assert_array_equal(mine["step"], alone["step"])
    # What another sweep of the same grid has kept of it: all but the runs of one game and seed.
    lost = whole.runs[(whole.runs["game"] == "random-logits") & (whole.runs["seed"] == 1)]["run_id"]
    again = tmp_path / "again"
    with Results.open(again) as results:
        results.begin(experiment(**FAMILIES).to_dict(), list(whole.runs["run_id"]), {})
        results.add(*(frame[~frame["run_id"].isin(lost)] for frame in (getattr(whole, name) for name in TABLES)))
        results.flush()
    resumed = play(again, **FAMILIES)
    assert resumed[0].reused == len(whole.runs) - len(lost) == 8
    for name in TABLES[:3]:
        frames = [getattr(source, name) for source in (resumed[-1], whole)]
        keys = [key for key in ("run_id", "step", "action") if key in frames[0]]
        ordered = [timeless(frame).sort_values(keys, ignore_index=True) for frame in frames]
        pd.testing.assert_frame_equal(*ordered, check_exact=True, check_dtype=False)


def test_a_reused_run_is_labelled_as_the_experiment_at_hand_labels_it(tmp_path):
    alone = play(tmp_path / "out", solver="nash-mp[eta=0.01]")[-1]
    assert set(alone.runs["label"]) == {"nash-mp"}
    both = play(tmp_path / "out", solver=["nash-mp[eta=0.01]", "nash-mp"])[-1]
    labels = both.runs.groupby("label")["selection"].agg(set).to_dict()
    assert labels["nash-mp[eta=0.01]"] == {"nash-mp[eta=0.01]"}
    assert len(labels["nash-mp"]) == 3
    pd.testing.assert_frame_equal(Results.read(tmp_path / "out").runs.sort_values("run_id", ignore_index=True),
        both.runs.sort_values("run_id", ignore_index=True))  # fmt: skip
    for name in ("curves", "policies", "paths"):
        mine = getattr(both, name)
        kept = mine[mine["run_id"].isin(alone.runs["run_id"])].reset_index(drop=True)
        pd.testing.assert_frame_equal(kept, getattr(alone, name), check_exact=True)
    back = play(tmp_path / "out", solver="nash-mp[eta=0.01]")[-1]
    assert (back.reused, set(back.runs["label"])) == (3, {"nash-mp"})


# -- stops and failures ------------------------------------------------------------------------------------------------


def until(events, kind, number=1):
    for event in events:
        number -= isinstance(event, kind)
        if not number:
            return event
    raise AssertionError(f"no {kind.__name__} came")


def test_ctrl_c_keeps_the_batches_that_are_finished(tmp_path):
    both = {"solver": ["nash-mp", "mirror-descent"]}
    events = runner.execute(experiment(**both), tmp_path / "out")
    until(events, BatchFinished)
    assert until(events, Advanced).batch == 2
    with pytest.raises(KeyboardInterrupt):
        events.throw(KeyboardInterrupt())
    kept = Results.read(tmp_path / "out")
    assert set(kept.runs["solver"]) == {"nash-mp"}
    assert len(kept.runs) == 3
    assert kept.manifest["finished"] is None
    assert len(kept.manifest["run_ids"]) == 6
    after = play(tmp_path / "out", **both)
    assert (after[0].reused, after[0].batches, len(after[-1].runs)) == (3, 1, 6)
    assert Results.read(tmp_path / "out").manifest["finished"] is not None


def test_closing_the_iteration_is_a_stop_like_any_other(tmp_path):
    events = runner.execute(experiment(), tmp_path / "out")
    until(events, BatchFinished)
    events.close()
    assert len(Results.read(tmp_path / "out").runs) == 3


@pytest.mark.parametrize("kind", [Planned, GameReady, Refereed, Advanced])
def test_ctrl_c_before_anything_is_finished_leaves_nothing_behind(tmp_path, kind):
    events = runner.execute(experiment(), tmp_path / "out")
    until(events, kind)
    with pytest.raises(KeyboardInterrupt):
        events.throw(KeyboardInterrupt())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("error", [jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: no room\nmore"), MemoryError()])
def test_a_batch_that_fails_is_counted_and_the_others_finish(tmp_path, monkeypatch, error):
    advance = Batch.advance

    def fragile(self):
        if self.solver.name == "nash-mp":
            raise error
        advance(self)

    both = {"solver": ["nash-mp", "mirror-descent"]}
    with monkeypatch.context() as patch:
        patch.setattr(Batch, "advance", fragile)
        events = play(tmp_path / "out", **both)
    finished = events[-1]
    assert (finished.failed, set(finished.runs["solver"]), len(finished.runs)) == (3, {"mirror-descent"}, 3)
    (note,) = of_kind(events, Noted)
    assert note.text == f"nash-mp on circulant · 3 actions failed: {(str(error) or 'MemoryError').splitlines()[0]}"
    after = play(tmp_path / "out", **both)
    assert (after[0].reused, after[0].batches, after[-1].failed, len(after[-1].runs)) == (3, 1, 0, 6)


def test_a_game_that_the_device_has_no_room_for_is_counted_and_the_others_are_played(tmp_path, monkeypatch):
    place = DenseMargins.place

    def full(self, *where):
        if self.shape[-1] == 3:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: no room")
        return place(self, *where)

    monkeypatch.setattr(DenseMargins, "place", full)
    events = play(tmp_path / "out", game=["circulant", "soccer10"])
    finished = events[-1]
    assert (finished.failed, set(finished.runs["game"]), len(finished.runs)) == (3, {"soccer10"}, 3)
    (note,) = of_kind(events, Noted)
    assert note.text == "nash-mp on circulant · 3 actions failed: RESOURCE_EXHAUSTED: no room"


def test_whatever_a_batch_fails_by_has_a_row_and_a_place_in_the_log_and_is_tried_again(tmp_path, monkeypatch):
    advance = Batch.advance

    def broken(self):
        if self.solver.name == "nash-mp":
            raise ZeroDivisionError
        advance(self)

    both = {"solver": ["nash-mp", "mirror-descent"]}
    with monkeypatch.context() as patch:
        patch.setattr(Batch, "advance", broken)
        events = play(tmp_path / "out", **both)
    assert (events[-1].failed, len(events[-1].runs)) == (3, 3)
    failures = Results.read(tmp_path / "out").failures
    for column, value in (("solver", "nash-mp"), ("status", "failed"), ("attempts", 1)):
        assert set(failures[column]) == {value}
    assert sorted(failures["beta"]) == sorted(BETAS)
    assert set(failures["reason"]) == {"nash-mp on circulant · 3 actions failed: ZeroDivisionError"}
    log = (tmp_path / "out" / "failures.log").read_text()
    assert "ZeroDivisionError" in log
    assert "raise ZeroDivisionError" in log
    assert all(run_id in log for run_id in failures["run_id"])
    after = play(tmp_path / "out", **both)
    assert (after[0].reused, after[-1].failed, len(after[-1].runs)) == (3, 0, 6)
    assert Results.read(tmp_path / "out").failures.empty


def test_a_batch_that_fails_once_is_played_again_as_often_as_is_asked(tmp_path, monkeypatch):
    advance, left = Batch.advance, [2]

    def fragile(self):
        if left[0]:
            left[0] -= 1
            raise OSError("the network is down")
        advance(self)

    monkeypatch.setattr(Batch, "advance", fragile)
    events = list(runner.execute(experiment(), tmp_path / "once", conditions=Conditions(retries=1)))
    assert events[-1].failed == 3
    assert set(Results.read(tmp_path / "once").failures["attempts"]) == {2}
    left[0] = 2
    events = list(runner.execute(experiment(), tmp_path / "twice", conditions=Conditions(retries=2)))
    assert (events[-1].failed, len(events[-1].runs)) == (0, 3)
    again = [one.text for one in of_kind(events, Noted)]
    assert again == [
        f"nash-mp on circulant · 3 actions failed: the network is down; it is tried again, {time} of 2 times"
        for time in (1, 2)
    ]


def test_runs_that_take_too_long_are_given_up_and_a_longer_time_goes_on_from_there(tmp_path):
    """Of three runs in one batch two converge at once; the third is stopped where the batch's time is over."""
    slow = {"beta": [5, 3, 1e-4], "tolerance": 1e-4, "queries": 200_000_000, "solver": "mirror-descent"}
    events = list(runner.execute(experiment(**slow), tmp_path / "out", conditions=Conditions(timeout=0.5)))
    finished = events[-1]
    assert (finished.failed, sorted(finished.runs["beta"])) == (1, [3, 5])
    (failure,) = Results.read(tmp_path / "out").failures.to_dict("records")
    assert (failure["status"], failure["beta"]) == ("timeout", 1e-4)
    assert "not finished after 0.5 s of solving, at step" in failure["reason"]
    (kept,) = (tmp_path / "out" / "checkpoints").iterdir()
    step = int(re.search(r"at step ([\d,]+)", failure["reason"])[1].replace(",", ""))
    again = runner.execute(experiment(**slow), tmp_path / "out", conditions=Conditions(timeout=1.5))
    first = until(again, Advanced)
    assert first.queries > step
    again.close()
    assert kept.exists()


def test_a_diverged_run_is_a_result_beside_the_others(tmp_path):
    finished = play(tmp_path / "out", solver=["nash-mp", "mirror-descent[step=1e300]"])[-1]
    assert finished.failed == 0
    diverged = finished.runs[finished.runs["solver"] == "mirror-descent"]
    assert set(diverged["status"]) == {"diverged"}
    assert (diverged["diverged_step"] == diverged["step"] + 1).all()
    numbers = finished.curves[[*METRICS]].to_numpy(float)
    assert np.isfinite(numbers).all()
    fine = finished.runs[finished.runs["solver"] == "nash-mp"]
    assert set(fine["status"]) <= {"converged", "budget"}


def test_distances_to_an_equilibrium_that_was_not_found_are_left_empty(tmp_path, monkeypatch):
    exact = preparing.equilibrium_path
    monkeypatch.setattr(
        preparing,
        "equilibrium_path",
        lambda game, betas: (found._replace(residual=1e-3) if found.beta == 0.1 else found
            for found in exact(game, betas)),
    )  # fmt: skip
    events = play(tmp_path / "out")
    (note,) = of_kind(events, Noted)
    assert note.text.startswith(
        "the equilibrium of circulant · 3 actions at β = 0.1 could be computed only to a residual of 1.0e-03"
    )
    curves, runs = events[-1].curves, events[-1].runs
    unknown = curves["beta"] == 0.1
    distances = curves[["kl_to_equilibrium", "span_to_equilibrium"]]
    assert distances[unknown].isna().all(axis=None)
    assert distances[~unknown].notna().all(axis=None)
    assert curves["suboptimality"].notna().all()
    assert list(runs["equilibrium_residual"][runs["beta"] == 0.1]) == [1e-3]
    assert events[-1].paths["equilibrium_probability"].isna().any()


def test_a_device_that_is_not_there_is_refused_before_anything_is_made(tmp_path):
    with pytest.raises(NashGamesError, match="device is 'gpu', but JAX sees no such device here; accepted: cpu"):
        play(tmp_path / "out", device="gpu")
    assert not (tmp_path / "out").exists()


def test_a_game_that_does_not_fit_is_refused_before_the_others_are_played(tmp_path):
    with pytest.raises(NashGamesError, match=r"a game of 3,000,001 actions in float64 needs .* of memory"):
        play(tmp_path / "out", game="circulant", actions=[3, 3_000_001])
    assert not (tmp_path / "out").exists()


def test_runs_that_are_there_are_shown_also_where_their_game_would_no_longer_fit(tmp_path, monkeypatch):
    play(tmp_path / "out")
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"available": 1})())
    assert play(tmp_path / "out")[-1].reused == 3
    with pytest.raises(NashGamesError, match="of memory"):
        play(tmp_path / "out", force=True)


def test_a_bad_table_is_told_and_what_was_finished_before_it_is_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("bad.csv").write_text("0.5,0.9\n0.3,0.5\n")
    for games in (["circulant", "bad.csv"], ["bad.csv", "circulant"]):
        out = tmp_path / games[0][:3]
        events = play(out, game=games)
        assert (events[-1].failed, len(events[-1].runs)) == (3, 3)
        (note,) = of_kind(events, Noted)
        assert note.text.startswith("bad.csv failed: ")
        failures = Results.read(out).failures
        assert (set(failures["game"]), failures["n"].isna().all()) == ({"bad.csv"}, True)
    # Alone it is a mistake of whoever asks, and nothing is made.
    with pytest.raises(NashGamesError, match=r"bad\.csv"):
        play(tmp_path / "alone", game="bad.csv")
    assert not (tmp_path / "alone").exists()


def test_a_directory_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("\\begin{document}")
    with pytest.raises(NashGamesError, match=r"thesis\.tex"):
        play(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


# -- where -------------------------------------------------------------------------------------------------------------


def test_results_go_to_a_folder_named_after_the_experiment(tmp_path, monkeypatch):
    named = {"name": "figure-3"}
    assert runner.default_directory(experiment(**named)) == Path("results/runs/figure-3")
    one = runner.default_directory(experiment())
    assert re.fullmatch("circulant-[0-9a-f]{4}", one.name)
    assert runner.default_directory(experiment(tolerance=1e-9)) != one
    assert runner.default_directory(experiment(game="../data/wins.csv[prior=1]")).name.startswith("wins-")
    assert runner.default_directory(experiment(game=["circulant", "disc"])).name.startswith("sweep-")
    monkeypatch.chdir(tmp_path)
    *_, finished = runner.execute(experiment(**named, tolerance=0.49))
    assert finished.directory == Path("results/runs/figure-3")
    assert (tmp_path / finished.directory / "runs.parquet").is_file()


def test_events_are_values_that_cannot_be_changed(whole):
    with pytest.raises(dataclasses.FrozenInstanceError):
        whole[0].runs = 7
