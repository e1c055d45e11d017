"""From the curves of a batch to stored rows: one row per measured point, and every row describes its run."""

import json
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from nashgames.core.game import Game
from nashgames.core.metrics import OF_SEQUENCES
from nashgames.core.next_tokens import Chains
from nashgames.engine.batch import Batch, Curves, Lane
from nashgames.engine.settings import Settings
from nashgames.environment import now
from nashgames.exact.referee import Equilibrium
from nashgames.experiments.run import Run
from nashgames.store import CURVE_COLUMNS, PATH_COLUMNS, POLICY_COLUMNS, RUN_COLUMNS

OPTIONAL_INTEGERS = {"queries_to_tolerance": "Int64", "diverged_step": "Int64"}
"""Whole numbers that a run may not have."""

Block = dict[str, Any]
"""Some rows of a table by column; a value that is no array is repeated in all of them."""

_Played = tuple[Game, Run, Lane, Equilibrium]
"""A run with what it was played on."""


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
    told: "Told | None" = None,
) -> Frames:
    """The tables of the runs of a batch, of those in `wanted` alone where it is given.

    `told` is what was said of other batches, so that texts of games that these share are made once.

    `runs` and `equilibria` are `[G][B]` like its lanes.
    """
    flat = [
        (game, run, lane, equilibrium)
        for game, *of_game in zip(games, runs, batch.lanes, equilibria, strict=True)
        for run, lane, equilibrium in zip(*of_game, strict=True)
    ]
    curves = batch.recorded()
    if wanted is not None:
        curves = curves.select([place for place, lane in enumerate(curves.lanes) if flat[lane][1].run_id in wanted])
    played = [flat[lane] for lane in curves.lanes]
    if not played:
        every = (RUN_COLUMNS, CURVE_COLUMNS, POLICY_COLUMNS, PATH_COLUMNS)
        return Frames(*(pd.DataFrame(columns=list(names)) for names in every))
    told = told or Told()
    described = told.keys([run for _, run, _, _ in played], [game for game, *_ in played], batch.settings)
    keys = {name: pd.Series(values) for name, values in described.items()}
    counts = curves.counts.tolist()
    repeated = {name: values.repeat(counts).array for name, values in keys.items()}
    points = _points(curves, played)
    last = {name: values[curves.last] for name, values in points.items()} | {"status": curves.statuses}
    status = np.full(len(curves.steps), "running", object)
    status[curves.last] = curves.statuses
    return Frames(
        runs=pd.DataFrame(keys | last | _of_runs(batch, played, curves, told), columns=list(RUN_COLUMNS)),
        curves=pd.DataFrame(repeated | points | {"status": status}, columns=list(CURVE_COLUMNS)),
        policies=_policies(played, curves.log_policies),
        paths=pd.DataFrame(columns=list(PATH_COLUMNS)) if curves.path is None else _paths(played, curves),
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
    return {name: values[0] for name, values in Told().keys([run], [game], settings).items()}


def _of_runs(batch: Batch, played: Sequence[_Played], curves: Curves, told: "Told") -> Block:
    """The columns of runs alone, beside the last point."""
    settings, contexts = batch.settings, played[0][0].contexts
    costs = [run.solver.queries_per_step for _, run, _, _ in played]
    stopped = [
        int(step) * cost if status == "converged" and not run.feedback.comparisons else None
        for step, cost, status, (_, run, _, _) in zip(
            curves.steps[curves.last], costs, curves.statuses, played, strict=True
        )
    ]
    return {
        "selection": [
            told.once("selection", run.solver, lambda one: str(one.selection), run) for _, run, _, _ in played
        ],
        "label": [str(run.label) for _, run, _, _ in played],
        "step_source": [run.step_source for _, run, _, _ in played],
        "role": [run.role for _, run, _, _ in played],
        "tuned": [run.tuned for _, run, _, _ in played],
        "game_fingerprint": [run.source.fingerprint for _, run, _, _ in played],
        "tolerance": settings.tolerance,
        "budget": [_budget(run, contexts, settings) for _, run, _, _ in played],
        "queries_to_tolerance": pd.array(stopped, "Int64"),
        "diverged_step": pd.array(curves.diverged_steps, "Int64"),
        "compile_seconds": batch.compile_seconds,
        "solve_seconds": batch.solve_seconds,
        "batch_size": batch.size,
        "equilibrium_residual": [found.residual for *_, found in played],
        "equilibrium_solves": [found.solves for *_, found in played],
    }


def _budget(run: Run, contexts: int, settings: Settings) -> int:
    """The queries that a run may use."""
    duels = run.comparisons_per_step(contexts)
    if duels and settings.comparisons is not None:
        return settings.max_steps(run.played, run.beta, duels) * run.solver.queries_per_step
    return settings.budget(run.beta)


def _points(curves: Curves, played: Sequence[_Played]) -> Block:
    """The numbers of all points."""
    steps = curves.steps.astype(np.int64)
    queries = np.array([run.solver.queries_per_step for _, run, _, _ in played])
    contexts = played[0][0].contexts
    comparisons = [np.zeros_like(steps)]
    if any(run.feedback.comparisons for _, run, _, _ in played):
        each = zip(np.split(steps, np.cumsum(curves.counts)[:-1]), played, strict=True)
        comparisons = [run.comparisons(mine, contexts) for mine, (_, run, _, _) in each]
    return {
        "step": steps,
        "queries": steps * np.repeat(queries, curves.counts),
        "comparisons": np.concatenate(comparisons),
        "seconds": curves.seconds,
        **{name: np.full(len(steps), np.nan) for name in OF_SEQUENCES},
        **curves.metrics,
    }


def _policies(played: Sequence[_Played], log_policies: np.ndarray) -> pd.DataFrame:
    """The rows of the last iterates `[R, n]`, `[R, m, n]` over contexts: one per action, none where they are too
    many."""
    first = played[0][0]
    if isinstance(first.log_reference, Chains):
        return pd.DataFrame(columns=list(POLICY_COLUMNS))
    shape = (len(played), first.contexts, first.actions)
    values = np.asarray(log_policies, np.float64).reshape(shape)
    _, context, action = np.indices(shape)
    return pd.DataFrame(
        {
            "run_id": pd.Series([run.run_id for _, run, _, _ in played]).repeat(shape[1] * shape[2]).array,
            "context": context.ravel(),
            "action": action.ravel(),
            "label": _labels_of(played, action),
            "probability": np.exp(values).ravel(),
            "log_probability": values.ravel(),
        },
        columns=list(POLICY_COLUMNS),
    )


def _paths(played: Sequence[_Played], curves: Curves) -> pd.DataFrame:
    """The rows of the iterates at all points: one per action."""
    assert curves.path is not None
    first = played[0][0]
    shape = (len(curves.steps), first.contexts, first.actions)
    path = np.asarray(curves.path, np.float64).reshape(shape)
    point, context, action = (index.ravel() for index in np.indices(shape))
    run = np.repeat(np.arange(len(played)), curves.counts)
    reference, known = (
        np.exp(np.stack(logs)).reshape(len(played), *shape[1:])[run].ravel()
        for logs in zip(*[(lane.log_reference, lane.log_equilibrium) for _, _, lane, _ in played], strict=True)
    )
    of_point = shape[1] * shape[2]
    return pd.DataFrame(
        {
            "run_id": pd.Series([run.run_id for _, run, _, _ in played])
            .repeat((curves.counts * of_point).tolist())
            .array,
            "step": curves.steps.astype(np.int64)[point],
            "context": context,
            "action": action,
            "label": _labels_of(played, action.reshape(shape), run),
            "probability": np.exp(path).ravel(),
            "reference_probability": reference,
            "equilibrium_probability": known,
        },
        columns=list(PATH_COLUMNS),
    )


def _labels_of(played: Sequence[_Played], action: np.ndarray, run: np.ndarray | None = None) -> Any:
    """The names of actions `[K, m, n]` as a column; `run` `[K]` says of which of the runs where that is not the own."""
    named: dict[tuple[str, ...] | None, int] = {}
    which = np.array([named.setdefault(game.description.labels, len(named)) for game, _, _, _ in played])
    actions = played[0][0].actions
    every = pd.Series(np.concatenate([_labels(actions, labels) for labels in named]))
    of_row = which if run is None else which[run]
    return every.take((of_row[:, None, None] * actions + action).ravel()).array


def policies_of(run_id: str, game: Game, log_policy: np.ndarray) -> Block:
    """The rows of `log_policy` `[n]`, `[m, n]` over contexts: one per action."""
    log_policy = np.asarray(log_policy, np.float64).reshape(game.contexts, game.actions)
    context, action = np.indices(log_policy.shape)
    return {
        "run_id": run_id,
        "context": context.ravel(),
        "action": action.ravel(),
        "label": _labels(game.actions, game.description.labels)[action.ravel()],
        "probability": np.exp(log_policy).ravel(),
        "log_probability": log_policy.ravel(),
    }


def _labels(actions: int, labels: Sequence[str] | None) -> np.ndarray:
    """The actions by name: labels where the game has them, else numbers."""
    return np.array(labels or [str(action) for action in range(actions)], dtype=object)


@dataclass
class Told:
    """What rows say of runs, each text made once for all runs that share a game, a solver or the like."""

    # By identity, and kept with the value, so that no other object takes its place meanwhile.
    _texts: dict[tuple[str, int], tuple[Any, Any]] = field(default_factory=dict)

    def once(self, what: str, of: Any, make: Callable[[Any], Any], given: Any) -> Any:
        """What `make` gives, made when it is first asked for of this object."""
        key = (what, id(of))
        if key not in self._texts:
            self._texts[key] = (of, make(given))
        return self._texts[key][1]

    def keys(self, runs: Sequence[Run], games: Sequence[Game | None], settings: Settings) -> dict[str, list[Any]]:
        """The columns `store.RUN_KEYS` of runs, each with its game where that is known."""
        described = [None if game is None else game.description for game in games]
        parameters = [None if told is None else told.parameters for told in described]
        pairs = [*zip(runs, games, strict=True)]
        parts = [self.once("parts", run.parts, _texts, run.parts) for run in runs]
        return {
            "run_id": [run.run_id for run in runs],
            "game": [str(run.source.text) for run in runs],
            "game_family": [None if told is None else told.name for told in described],
            "game_parameters": [None if of is None else self.once("game", of, _json, of) for of in parameters],
            "n": [run.actions if game is None else game.actions for run, game in pairs],
            "contexts": [None if game is None else game.contexts for game in games],
            "seed": [run.seed for run in runs],
            "reference": [str(run.reference) for run in runs],
            "solver": [run.solver.name for run in runs],
            "hyperparameters": [self.once("solver", run.solver, _numbers, run) for run in runs],
            **{name: [texts[name] for texts in parts] for name in parts[0]},
            "start": [str(run.start) for run in runs],
            "target": [run.target for run in runs],
            "beta": [run.beta for run in runs],
            "dtype": [settings.precision.dtype] * len(runs),
            "device": [settings.precision.device] * len(runs),
            "storage": [run.storage if game is None else game.margins.storage for run, game in pairs],
        }


def _texts(parts: Mapping[str, Any]) -> dict[str, str]:
    return {key: str(text) for key, text in parts.items()}


def _numbers(run: Run) -> str:
    return _json(run.hyperparameters)


def _json(values: Mapping[str, Any]) -> str:
    # A user's own solver may have NumPy scalars for numbers, or a static field of any kind.
    return json.dumps(dict(values), ensure_ascii=False, default=lambda v: v.item() if hasattr(v, "item") else str(v))
