"""Curves of a batch → the rows that are stored; one row a measured point, and every row describes its run."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from nashgames.core.game import Game
from nashgames.engine.batch import Batch, Curve, Lane, Settings
from nashgames.exact.referee import Equilibrium
from nashgames.solvers import comparisons_per_step, feedback_of, hyperparameters, parts_of, selection_of
from nashgames.solvers.protocol import Solver
from nashgames.store import CURVE_COLUMNS, PATH_COLUMNS, POLICY_COLUMNS, RUN_COLUMNS

Block = dict[str, Any]
"""Some rows of a table by column; a value that is no array stands in all of them."""


@dataclass(frozen=True)
class Identity:
    """What tells a run from others: the names it was asked for by, and its numbers."""

    run_id: str
    game: str
    reference: str
    seed: int
    beta: float
    solver: Solver
    label: str
    step_source: str
    start: str = "reference"


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
    identities: Sequence[Sequence[Identity]],
    equilibria: Sequence[Sequence[Equilibrium]],
) -> Frames:
    """The tables of all runs of a batch; `identities` and `equilibria` are `[G][B]` like its lanes."""
    runs: list[dict[str, Any]] = []
    of_points, policies, paths = [], [], []
    of_games = zip(games, identities, batch.lanes, equilibria, batch.curves(), strict=True)
    for game, of_game, lanes, found, curves in of_games:
        for identity, lane, equilibrium, curve in zip(of_game, lanes, found, curves, strict=True):
            keys = keys_of(identity, game, batch.settings)
            points = _points(curve, identity.solver, game.contexts)
            last = {name: values[-1] for name, values in points.items()}
            runs.append(keys | last | _of_run(batch, identity, equilibrium, curve, game.contexts))
            of_points.append(keys | points)
            policies.append(policies_of(identity.run_id, game, curve.log_policy))
            if curve.path is not None:
                paths.append(_path(identity.run_id, game, lane, curve))
    integers = {"queries_to_tolerance": "Int64", "diverged_step": "Int64"}
    return Frames(
        runs=pd.DataFrame(runs, columns=list(RUN_COLUMNS)).astype(integers),
        curves=table_of(of_points, CURVE_COLUMNS),
        policies=table_of(policies, POLICY_COLUMNS),
        paths=table_of(paths, PATH_COLUMNS),
    )


def table_of(blocks: Sequence[Block], names: Sequence[str]) -> pd.DataFrame:
    """The blocks one below the other. Columns are joined once: a frame for every run costs more than the run."""
    if not blocks:
        return pd.DataFrame(columns=list(names))
    lengths = [max(len(values) for values in block.values() if isinstance(values, np.ndarray)) for block in blocks]
    columns: dict[str, Any] = {}
    for name in names:
        parts = [block[name] for block in blocks]
        several = all(isinstance(part, np.ndarray) for part in parts)
        columns[name] = np.concatenate(parts) if several else pd.Series(parts).repeat(lengths).array
    return pd.DataFrame(columns)


def keys_of(identity: Identity, game: Game, settings: Settings) -> dict[str, Any]:
    """The columns `store.RUN_KEYS`, by which every row describes its run."""
    return {
        "run_id": identity.run_id,
        "game": identity.game,
        "game_family": game.description.name,
        "game_parameters": _json(game.description.parameters),
        "n": game.actions,
        "contexts": game.contexts,
        "seed": identity.seed,
        "reference": identity.reference,
        "solver": identity.solver.name,
        "hyperparameters": _json(hyperparameters(identity.solver)),
        **parts_of(identity.solver),
        "start": identity.start,
        "beta": identity.beta,
        "dtype": settings.precision.dtype,
        "device": settings.precision.device,
    }


def _of_run(batch: Batch, identity: Identity, equilibrium: Equilibrium, curve: Curve, contexts: int) -> dict[str, Any]:
    queries = int(curve.steps[-1]) * identity.solver.queries_per_step
    on_samples = feedback_of(identity.solver).comparisons > 0
    stopped = curve.status == "converged" and not on_samples
    budget = batch.settings.budget(identity.beta)
    if on_samples and batch.settings.comparisons is not None:
        steps = batch.settings.max_steps(identity.solver, identity.beta, contexts)
        budget = steps * identity.solver.queries_per_step
    return {
        "selection": selection_of(identity.solver),
        "label": identity.label,
        "step_source": identity.step_source,
        "tolerance": batch.settings.tolerance,
        "budget": budget,
        "queries_to_tolerance": queries if stopped else None,
        "diverged_step": curve.diverged_step,
        "compile_seconds": batch.compile_seconds,
        "solve_seconds": batch.solve_seconds,
        "batch_size": batch.size,
        "equilibrium_residual": equilibrium.residual,
        "equilibrium_solves": equilibrium.solves,
    }


def _points(curve: Curve, solver: Solver, contexts: int) -> Block:
    steps = curve.steps.astype(np.int64)
    status = np.array(["running"] * (len(steps) - 1) + [curve.status], dtype=object)
    return {
        "step": steps,
        "queries": steps * solver.queries_per_step,
        "comparisons": steps * comparisons_per_step(solver, contexts),
        "seconds": curve.seconds,
        **curve.metrics,
        "status": status,
    }


def policies_of(run_id: str, game: Game, log_policy: np.ndarray) -> Block:
    """The rows of `log_policy` `[n]`, `[m, n]` over contexts: one an action."""
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
