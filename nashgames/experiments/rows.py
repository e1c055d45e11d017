"""From the curves of a batch to stored rows: one row per measured point, and every row describes its run."""

import json
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from nashgames.core.game import Game
from nashgames.engine.batch import Batch, Curve, Lane
from nashgames.engine.settings import Settings
from nashgames.environment import now
from nashgames.exact.referee import Equilibrium
from nashgames.experiments.plan import Run
from nashgames.store import CURVE_COLUMNS, PATH_COLUMNS, POLICY_COLUMNS, RUN_COLUMNS

OPTIONAL_INTEGERS = {"queries_to_tolerance": "Int64", "diverged_step": "Int64"}
"""Whole numbers that a run may not have."""

Block = dict[str, Any]
"""Some rows of a table by column; a value that is no array is repeated in all of them."""


@dataclass(frozen=True)
class Frames:
    """Finished runs as the tables of a results directory (columns in `store`)."""

    runs: pd.DataFrame
    curves: pd.DataFrame
    policies: pd.DataFrame
    paths: pd.DataFrame


def frames_of(
    batch: Batch,
    games: Sequence[Game],
    runs: Sequence[Sequence[Run]],
    equilibria: Sequence[Sequence[Equilibrium]],
    wanted: Container[str] | None = None,
) -> Frames:
    """The tables of the runs of a batch, of those in `wanted` alone where it is given.

    `runs` and `equilibria` are `[G][B]` like its lanes.
    """
    rows: list[dict[str, Any]] = []
    of_points, policies, paths = [], [], []
    of_games = zip(games, runs, batch.lanes, equilibria, batch.curves(), strict=True)
    for game, of_game, lanes, found, curves in of_games:
        for run, lane, equilibrium, curve in zip(of_game, lanes, found, curves, strict=True):
            if curve is None or (wanted is not None and run.run_id not in wanted):
                continue
            keys = keys_of(run, game, batch.settings)
            points = _points(curve, run, game.contexts)
            last = {name: values[-1] for name, values in points.items()}
            rows.append(keys | last | _of_run(batch, run, equilibrium, curve, game.contexts))
            of_points.append(keys | points)
            policies.append(policies_of(run.run_id, game, curve.log_policy))
            if curve.path is not None:
                paths.append(_path(run.run_id, game, lane, curve))
    return Frames(
        runs=pd.DataFrame(rows, columns=list(RUN_COLUMNS)).astype(OPTIONAL_INTEGERS),
        curves=table_of(of_points, CURVE_COLUMNS),
        policies=table_of(policies, POLICY_COLUMNS),
        paths=table_of(paths, PATH_COLUMNS),
    )


def table_of(blocks: Sequence[Block], names: Sequence[str]) -> pd.DataFrame:
    """The concatenated blocks. Columns are joined once: a frame for every run would cost more than the run."""
    if not blocks:
        return pd.DataFrame(columns=list(names))
    lengths = [max(len(values) for values in block.values() if isinstance(values, np.ndarray)) for block in blocks]
    columns: dict[str, Any] = {}
    for name in names:
        parts = [block[name] for block in blocks]
        several = all(isinstance(part, np.ndarray) for part in parts)
        columns[name] = np.concatenate(parts) if several else pd.Series(parts).repeat(lengths).array
    return pd.DataFrame(columns)


def failure_of(run: Run, settings: Settings, status: str, reason: str, attempts: int) -> dict[str, Any]:
    """The row of a run that could not be finished; what its game would tell is left empty."""
    return {
        **keys_of(run, None, settings),
        "selection": str(run.selection),
        "label": str(run.label),
        "status": status,
        "reason": reason,
        "attempts": attempts,
        "failed": now(),
    }


def keys_of(run: Run, game: Game | None, settings: Settings) -> dict[str, Any]:
    """The columns `store.RUN_KEYS`, by which every row describes its run; without a game what was asked of it."""
    described = None if game is None else game.description
    return {
        "run_id": run.run_id,
        "game": str(run.source.text),
        "game_family": None if described is None else described.name,
        "game_parameters": None if described is None else _json(described.parameters),
        "n": run.actions if game is None else game.actions,
        "contexts": None if game is None else game.contexts,
        "seed": run.seed,
        "reference": str(run.reference),
        "solver": run.solver.name,
        "hyperparameters": _json(run.hyperparameters),
        **{key: str(text) for key, text in run.parts.items()},
        "start": str(run.start),
        "target": run.target,
        "beta": run.beta,
        "dtype": settings.precision.dtype,
        "device": settings.precision.device,
        "storage": run.storage if game is None else game.margins.storage,
    }


def _of_run(batch: Batch, run: Run, equilibrium: Equilibrium, curve: Curve, contexts: int) -> dict[str, Any]:
    settings, cost = batch.settings, run.solver.queries_per_step
    duels = run.comparisons_per_step(contexts)
    stopped = curve.status == "converged" and not duels
    budget = settings.budget(run.beta)
    if duels and settings.comparisons is not None:
        budget = settings.max_steps(run.played, run.beta, duels) * cost
    return {
        "selection": str(run.selection),
        **run.told,
        "game_fingerprint": run.source.fingerprint,
        "tolerance": settings.tolerance,
        "budget": budget,
        "queries_to_tolerance": int(curve.steps[-1]) * cost if stopped else None,
        "diverged_step": curve.diverged_step,
        "compile_seconds": batch.compile_seconds,
        "solve_seconds": batch.solve_seconds,
        "batch_size": batch.size,
        "equilibrium_residual": equilibrium.residual,
        "equilibrium_solves": equilibrium.solves,
    }


def _points(curve: Curve, run: Run, contexts: int) -> Block:
    steps = curve.steps.astype(np.int64)
    status = np.array(["running"] * (len(steps) - 1) + [curve.status], dtype=object)
    return {
        "step": steps,
        "queries": steps * run.solver.queries_per_step,
        "comparisons": steps * run.comparisons_per_step(contexts),
        "seconds": curve.seconds,
        **curve.metrics,
        "status": status,
    }


def policies_of(run_id: str, game: Game, log_policy: np.ndarray) -> Block:
    """The rows of `log_policy` `[n]`, `[m, n]` over contexts: one per action."""
    log_policy = np.asarray(log_policy, np.float64).reshape(game.contexts, game.actions)
    context, action = np.indices(log_policy.shape)
    return {
        "run_id": run_id,
        "context": context.ravel(),
        "action": action.ravel(),
        "label": _labels(game)[action.ravel()],
        "probability": np.exp(log_policy).ravel(),
        "log_probability": log_policy.ravel(),
    }


def _path(run_id: str, game: Game, lane: Lane, curve: Curve) -> Block:
    assert curve.path is not None
    path = np.asarray(curve.path, np.float64).reshape(len(curve.steps), game.contexts, game.actions)
    point, context, action = (index.ravel() for index in np.indices(path.shape))
    reference, known = (
        np.exp(log_policy).reshape(game.contexts, game.actions)
        for log_policy in (lane.log_reference, lane.log_equilibrium)
    )
    return {
        "run_id": run_id,
        "step": curve.steps.astype(np.int64)[point],
        "context": context,
        "action": action,
        "label": _labels(game)[action],
        "probability": np.exp(path).ravel(),
        "reference_probability": reference[context, action],
        "equilibrium_probability": known[context, action],
    }


def _labels(game: Game) -> np.ndarray:
    """The actions by name: labels where the game has them, else numbers."""
    return np.array(game.description.labels or [str(action) for action in range(game.actions)], dtype=object)


def _json(values: Mapping[str, Any]) -> str:
    # A user's own solver may have NumPy scalars for numbers, or a static field of any kind.
    return json.dumps(dict(values), ensure_ascii=False, default=lambda v: v.item() if hasattr(v, "item") else str(v))
