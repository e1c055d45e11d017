"""Curves become rows that describe their run completely and that the disk takes."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

from nashgames.core.game import Description, make_game
from nashgames.core.metrics import METRICS
from nashgames.defaults import PARTS
from nashgames.engine.loop import Recording
from nashgames.engine.settings import Settings
from nashgames.exact.referee import equilibrium
from nashgames.experiments.rows import frames_of
from nashgames.experiments.run import Run
from nashgames.experiments.sources import Source
from nashgames.learning.feedback import Duels
from nashgames.registry import parse
from nashgames.solvers import selection_of
from nashgames.store import CURVE_COLUMNS, PATH_COLUMNS, POLICY_COLUMNS, RUN_COLUMNS, RUN_KEYS, Results
from tests.games import ROCK_PAPER_SCISSORS, lane, log_softmax, played, random_margins
from tests.solvers_of_users import Fragile

TILTED = log_softmax(np.array([1.0, 0.0, -1.0]))
BETAS = (0.5, 0.1, 0.03)
RPS = make_game(
    ROCK_PAPER_SCISSORS,
    log_reference=TILTED,
    description=Description("rps", {"margin": 0.5, "kind": "größe"}, labels=("rock", "paper", "scissors"), seed=3),
)


def framed(game, lanes, settings, **options):
    """The batch of these lanes on one game, and its frames under made-up ids."""
    batch = played([game], [lanes], settings, **options)
    runs = [
        Run(
            run_id=f"{k:012x}",
            source=Source(parse("rps[margin=0.5]")),
            actions=None,
            seed=3,
            reference=parse("tilted"),
            beta=one.beta,
            solver=one.solver,
            feedback=one.feedback,
            start=parse("reference"),
            label=f"label {k}",
            step_source="given",
            target=settings.target,
            parts=PARTS,
        )
        for k, one in enumerate(lanes)
    ]
    found = [equilibrium(game.replace(beta=one.beta)) for one in lanes]
    return batch, runs, found, frames_of(batch, [game], [runs], [found])


@pytest.fixture(scope="module")
def three():
    lanes = [lane(RPS.replace(beta=beta), "nash-mp", seed=3) for beta in BETAS]
    return framed(RPS, lanes, Settings(queries=50, tolerance=1e-6, records=8))


def test_every_point_is_a_row_that_describes_its_run(three):
    batch, runs, _, frames = three
    assert tuple(frames.curves.columns) == CURVE_COLUMNS
    for run, curve in zip(runs, batch.curves()[0], strict=True):
        rows = frames.curves[frames.curves["run_id"] == run.run_id]
        keys = {
            "run_id": run.run_id, "game": "rps[margin=0.5]", "game_family": "rps", "n": 3, "contexts": 1,
            "game_parameters": '{"margin": 0.5, "kind": "größe"}', "seed": 3, "reference": "tilted",
            "solver": "nash-mp", "hyperparameters": json.dumps({"eta": 2 * run.beta}), "beta": run.beta,
            "feedback": "exact", "policy": "tabular", "optimiser": "sgd", "start": "reference",
            "target": "regularised", "dtype": "float64", "device": "cpu", "storage": "dense",
        }  # fmt: skip
        assert tuple(keys) and set(keys) == set(RUN_KEYS)
        for name, value in keys.items():
            assert list(rows[name]) == [value] * len(curve.steps), name
        np.testing.assert_array_equal(rows["step"], curve.steps)
        np.testing.assert_array_equal(rows["queries"], 2 * curve.steps)
        assert not rows["comparisons"].any()
        np.testing.assert_array_equal(rows["seconds"], curve.seconds)
        for name in METRICS:
            np.testing.assert_array_equal(rows[name], curve.metrics[name])
        assert rows[["length", "repetition"]].isna().all(axis=None)
        assert list(rows["status"]) == ["running"] * (len(rows) - 1) + [curve.status]


def test_a_run_is_its_last_point_and_how_it_was_made(three):
    batch, runs, found, frames = three
    assert tuple(frames.runs.columns) == RUN_COLUMNS
    assert list(frames.runs["run_id"]) == [run.run_id for run in runs]
    shared = [name for name in CURVE_COLUMNS if name in RUN_COLUMNS]
    assert shared == list(CURVE_COLUMNS)
    last = frames.curves.groupby("run_id").tail(1).reset_index(drop=True)
    pd.testing.assert_frame_equal(frames.runs[shared], last[shared], check_dtype=False)
    for row, run, one in zip(frames.runs.to_dict("records"), runs, found, strict=True):
        assert row["selection"] == selection_of(run.solver) == f"nash-mp[eta={2 * run.beta:g}]"
        assert (row["label"], row["step_source"], row["tolerance"], row["budget"]) == (
            run.label,
            "given",
            1e-6,
            50,
        )
        assert (row["equilibrium_residual"], row["equilibrium_solves"]) == (one.residual, one.solves)
        assert row["batch_size"] == 3
        assert (row["compile_seconds"], row["solve_seconds"]) == (batch.compile_seconds, batch.solve_seconds)
        reached = row["queries"] if row["status"] == "converged" else None
        assert row["queries_to_tolerance"] == reached or (reached is None and pd.isna(row["queries_to_tolerance"]))
    assert set(frames.runs["status"]) == {"converged", "budget"}


def test_the_last_iterate_is_a_row_an_action_by_name(three):
    batch, runs, _, frames = three
    assert tuple(frames.policies.columns) == POLICY_COLUMNS
    for run, curve in zip(runs, batch.curves()[0], strict=True):
        rows = frames.policies[frames.policies["run_id"] == run.run_id]
        assert list(rows["label"]) == ["rock", "paper", "scissors"]
        assert list(rows["action"]) == [0, 1, 2]
        assert list(rows["context"]) == [0, 0, 0]
        np.testing.assert_array_equal(rows["log_probability"], curve.log_policy)
        np.testing.assert_array_equal(rows["probability"], np.exp(curve.log_policy))


def test_paths_of_three_actions_hold_every_recorded_iterate_and_where_they_start_and_go(three):
    batch, runs, found, frames = three
    assert tuple(frames.paths.columns) == PATH_COLUMNS
    for run, one, curve in zip(runs, found, batch.curves()[0], strict=True):
        rows = frames.paths[frames.paths["run_id"] == run.run_id]
        np.testing.assert_array_equal(rows["probability"].to_numpy().reshape(-1, 3), np.exp(curve.path))
        np.testing.assert_array_equal(rows["step"].to_numpy().reshape(-1, 3)[:, 0], curve.steps)
        np.testing.assert_array_equal(rows["action"].to_numpy().reshape(-1, 3)[0], [0, 1, 2])
        np.testing.assert_allclose(rows["reference_probability"][:3], np.exp(TILTED))
        np.testing.assert_allclose(rows["equilibrium_probability"][:3], np.exp(one.log_policy))


def test_the_disk_takes_the_rows_and_gives_them_back(three, tmp_path):
    _, _, _, frames = three
    with Results.open(tmp_path / "results") as results:
        results.begin({}, list(frames.runs["run_id"]), {})
        results.add(frames.runs, frames.curves, frames.policies, frames.paths)
        results.flush()
    back = Results.read(tmp_path / "results")
    for name in ("runs", "curves", "policies", "paths"):
        pd.testing.assert_frame_equal(getattr(back, name), getattr(frames, name), check_dtype=False, check_exact=True)


def test_contexts_have_rows_of_their_own_in_policies_and_paths(rng, tmp_path):
    margins = np.stack([ROCK_PAPER_SCISSORS, random_margins(rng, 3)])
    references = np.stack([TILTED, log_softmax(rng.normal(size=3))])
    game = make_game(margins, beta=0.1, log_reference=references, weights=[0.3, 0.7])
    sampled = dataclasses.replace(lane(game, "nash-mp"), feedback=Duels(batch=5))
    settings, recording = Settings(queries=20, tolerance=0, records=3), Recording(path=True)
    batch, _, found, frames = framed(game, [sampled], settings, recording=recording)
    curve = batch.curves()[0][0]
    # Ten steps of two queries, each of five duels in either context.
    assert sampled.comparisons(game.contexts) == 2 * 5 * 2
    assert list(frames.runs["comparisons"]) == [10 * 2 * 5 * 2]
    np.testing.assert_array_equal(frames.curves["comparisons"], 2 * 5 * 2 * curve.steps)
    assert set(frames.runs["contexts"]) == {2}
    rows = frames.policies
    assert list(rows["context"]) == [0, 0, 0, 1, 1, 1]
    assert list(rows["action"]) == [0, 1, 2] * 2
    assert list(rows["label"]) == ["0", "1", "2"] * 2
    np.testing.assert_array_equal(rows["log_probability"].to_numpy().reshape(2, 3), curve.log_policy)
    path = frames.paths["probability"].to_numpy().reshape(len(curve.steps), 2, 3)
    np.testing.assert_array_equal(path, np.exp(curve.path))
    references_back = frames.paths["reference_probability"].to_numpy().reshape(-1, 2, 3)[0]
    np.testing.assert_allclose(references_back, np.exp(references))
    known = frames.paths["equilibrium_probability"].to_numpy().reshape(-1, 2, 3)[-1]
    np.testing.assert_allclose(known, np.exp(found[0].log_policy))
    with Results.open(tmp_path / "results") as results:
        results.add(frames.runs, frames.curves, frames.policies, frames.paths)
        results.flush()


def test_a_diverged_run_says_at_which_step_and_a_stranger_s_numbers_are_written(tmp_path):
    game = RPS.replace(beta=0.1)
    solvers = [Fragile(0.5, np.float32(0.01), breaks) for breaks in (7, 10**9, 1)]
    settings = Settings(queries=40, tolerance=0, records=6)
    _, _, _, frames = framed(game, [lane(game, solver) for solver in solvers], settings)
    assert list(frames.runs["status"]) == ["diverged", "budget", "diverged"]
    assert [None if pd.isna(step) else int(step) for step in frames.runs["diverged_step"]] == [7, None, 1]
    assert list(frames.runs["queries"]) == [6, 40, 0]
    assert frames.runs["queries_to_tolerance"].isna().all()
    assert list(frames.runs["solver"]) == ["fragile"] * 3
    numbers = [json.loads(text) for text in frames.runs["hyperparameters"]]
    assert [one["breaks"] for one in numbers] == [7, 10**9, 1]
    assert [one["noise"] for one in numbers] == [pytest.approx(0.01)] * 3
    with Results.open(tmp_path / "results") as results:
        results.add(frames.runs, frames.curves, frames.policies, frames.paths)
        results.flush()
    assert Results.read(tmp_path / "results").runs["diverged_step"].isna().tolist() == [False, True, False]


def test_a_batch_without_paths_has_no_rows_of_them(three, monkeypatch):
    """As one of more than three actions is (test_batch)."""
    batch, runs, found, _ = three
    pathless = dataclasses.replace(batch.recorded(), path=None)
    monkeypatch.setattr(batch, "recorded", lambda: pathless)
    frames = frames_of(batch, [RPS], [runs], [found])
    assert len(frames.curves) == sum(len(curve.steps) for curve in batch.curves()[0])
    assert len(frames.paths) == 0
    assert tuple(frames.paths.columns) == PATH_COLUMNS


def test_the_rows_of_chosen_runs_are_those_that_they_have_among_all(three):
    batch, runs, found, frames = three
    chosen = {runs[0].run_id, runs[2].run_id}
    some = frames_of(batch, [RPS], [runs], [found], chosen)
    for name in ("runs", "curves", "policies", "paths"):
        whole, part = getattr(frames, name), getattr(some, name)
        pd.testing.assert_frame_equal(part, whole[whole["run_id"].isin(chosen)].reset_index(drop=True))


def test_the_labels_of_every_game_stand_at_its_own_actions():
    """Games of one size that are stacked have names of their own, or numbers."""
    games = [RPS, dataclasses.replace(RPS, description=Description("plain"))]
    batch = played(games, [[lane(game, "nash-mp")] for game in games], Settings(queries=8, tolerance=0, records=3))
    source = Source(parse("rps"))
    run = Run("", source, 3, 0, parse("tilted"), 0.05, batch.solver, Duels(), parse("reference"), "", "", "", PARTS)
    runs = [[dataclasses.replace(run, run_id=str(k), feedback=batch.lanes[k][0].feedback)] for k in range(2)]
    frames = frames_of(batch, games, runs, [[equilibrium(game)] for game in games])
    names = {"0": ["rock", "paper", "scissors"], "1": ["0", "1", "2"]}
    for frame, points in ((frames.policies, 1), (frames.paths, len(frames.curves) // 2)):
        for run_id, of_game in names.items():
            assert list(frame[frame["run_id"] == run_id]["label"]) == of_game * points
