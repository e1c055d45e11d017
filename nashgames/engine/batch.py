"""Runs that share one compiled program: lanes → arrays → chunks → recorded points."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from nashgames.core.game import Game
from nashgames.core.metrics import Metrics
from nashgames.core.precision import Precision
from nashgames.engine import loop
from nashgames.errors import NashGamesError
from nashgames.solvers import comparisons_per_step, feedback_of
from nashgames.solvers.protocol import Solver

_TARGETS = 4
_CHUNK_SECONDS = 0.3
_MOST_STEPS = 2**31 - 1
_MOST_RECORDS = 1_000_000
_PROGRAMS = 200
"""Compiled programs kept: each takes 140 of the 65,530 mappings and 6 MB of the memory that a process may have."""


@dataclass(frozen=True)
class Settings:
    """How far runs go and what is recorded.

    A run stops at suboptimality `tolerance` or after `queries` queries (None: max(2000, 20/β), about twice what Nash-MP
    needs to 1e-10); one on duels goes on to the end of its budget, which `comparisons` gives instead where it is set.
    `records` points at geometric steps are kept, or one every `record_every` steps.
    """

    queries: int | None = None
    tolerance: float = 1e-10
    records: int = 200
    record_every: int | None = None
    precision: Precision = field(default_factory=Precision)
    comparisons: int | None = None

    def budget(self, beta: float) -> int:
        """The queries a run at this β may use."""
        return max(2000, round(min(20 / beta, 1e15))) if self.queries is None else self.queries

    def max_steps(self, solver: Solver, beta: float, contexts: int = 1) -> int:
        """Steps that the budget pays for; NashGamesError when that is none, or more than can be counted."""
        duels = comparisons_per_step(solver, contexts)
        if duels and self.comparisons is not None:
            if self.comparisons < duels:
                raise NashGamesError(
                    f"comparisons is {self.comparisons}, but a step of {solver.name} makes {duels}; give at least that"
                )
            return min(self.comparisons // duels, _MOST_STEPS)
        queries, cost = self.budget(beta), solver.queries_per_step
        if queries < cost:
            raise NashGamesError(
                f"queries is {queries}, but one step of {solver.name} costs {cost}; give at least that"
            )
        if queries // cost > _MOST_STEPS:
            raise NashGamesError(
                f"queries is {queries}; accepted: at most {_MOST_STEPS * cost}, the longest run of {solver.name}"
            )
        return queries // cost

    def record_steps(self, max_steps: int) -> np.ndarray:
        """The steps at which points are recorded, from 0 to `max_steps`; NashGamesError for more than a million."""
        if self.records > _MOST_RECORDS:
            raise NashGamesError(f"records is {self.records}; accepted: at most {_MOST_RECORDS}")
        if self.record_every is not None:
            points = max_steps // self.record_every
            if points > _MOST_RECORDS:
                least = max_steps // _MOST_RECORDS + 1
                raise NashGamesError(
                    f"record_every is {self.record_every}, which keeps {points} points of a run; give at least {least}"
                )
            steps = np.arange(0, max_steps + 1, self.record_every)
        else:
            steps = np.concatenate([[0], np.geomspace(1, max_steps, self.records).round()])
        return np.unique(np.append(steps, max_steps)).astype(np.int32)


@dataclass(frozen=True)
class Lane:
    """One run of a batch; `solver` has all its numbers; the arrays are `[n]`, or `[m, n]` over contexts.

    `log_equilibrium` is NaN where π*_β is not known; `log_start` is log π_0, log μ where None.
    """

    solver: Solver
    beta: float
    log_reference: np.ndarray
    log_equilibrium: np.ndarray
    seed: int
    log_start: np.ndarray | None = None


@dataclass(frozen=True)
class Curve:
    """The recorded points of one run.

    `steps`, `seconds` and every array of `metrics` have one entry a point; `seconds` is the wall time of the whole
    batch since its first step, compilation apart. `log_policy` is the last iterate; `path` holds log π at the points
    for games of three actions, and is None for others. `diverged_step` is the step that was not finite.
    """

    steps: np.ndarray
    seconds: np.ndarray
    metrics: dict[str, np.ndarray]
    status: str
    diverged_step: int | None
    log_policy: np.ndarray
    path: np.ndarray | None


@dataclass
class _Recorded:
    points: list[loop.Point] = field(default_factory=list)
    seconds: list[np.ndarray] = field(default_factory=list)


class Batch:
    """Runs of one solver class on G games of one shape, B lanes a game, advanced chunk by chunk at the host's word.

    `lanes` is `[G][B]`. The lanes' numbers are data, so that batches of equal shape share one compiled program.
    """

    def __init__(self, games: Sequence[Game], lanes: Sequence[Sequence[Lane]], settings: Settings) -> None:
        self.settings = settings
        self.lanes = lanes
        self._stacked = len(games) > 1
        self._shape = (len(games), len(lanes[0])) if self._stacked else (len(lanes[0]),)
        flat = [lane for row in lanes for lane in row]
        self.solver = flat[0].solver
        self._on_samples = feedback_of(self.solver).comparisons > 0
        self._limits = [settings.max_steps(lane.solver, lane.beta, games[0].contexts) for lane in flat]
        self.max_steps = max(self._limits)
        self._records = {limit: settings.record_steps(limit) for limit in set(self._limits)}
        self._pending = np.unique(np.concatenate(list(self._records.values())))
        self._recorded = _Recorded()
        self._elapsed = 0.0
        self._step_seconds = 0.0
        loop.forget(_PROGRAMS)
        began = time.perf_counter()
        with settings.precision.scope():
            self._problem = self._assemble(games, flat)
            unstarted = loop.unstarted(self._problem, stacked=self._stacked)
            # On the device like every later state: an argument that lies elsewhere would be compiled for once more.
            self._runs = jax.device_put(unstarted, settings.precision.jax_device())
            # A chunk of no steps compiles the program, so that its seconds are not counted as solving.
            self._advance(np.zeros(_TARGETS, np.int32))
        self.compile_seconds = time.perf_counter() - began

    def _assemble(self, games: Sequence[Game], lanes: Sequence[Lane]) -> loop.Problem:
        dtype = self.settings.precision.numpy
        device = self.settings.precision.jax_device()

        def numbers(values: Any) -> Any:
            array = np.asarray(values)
            kind = {"u": np.uint32, "i": np.int32}.get(array.dtype.kind, dtype)
            return array.astype(kind).reshape(self._shape)

        def vectors(values: Sequence[np.ndarray]) -> Any:
            array = np.stack(values).astype(dtype)
            return array.reshape(self._shape + array.shape[1:])

        starts = [lane.log_start for lane in lanes if lane.log_start is not None]

        def of_games(*values: Any) -> Any:
            arrays = [np.asarray(v, dtype) if isinstance(v, (float, np.ndarray)) else v for v in values]
            return np.stack(arrays) if self._stacked else arrays[0]

        game = Game(
            margins=jax.tree.map(of_games, *[g.margins for g in games]),
            log_reference=vectors([lane.log_reference for lane in lanes]),
            beta=numbers([lane.beta for lane in lanes]),
            weights=of_games(*[g.weights for g in games]),
            features=jax.tree.map(of_games, *[g.features for g in games]),
            log_start=vectors(starts) if starts else None,
        )
        problem = loop.Problem(
            game=game,
            solver=jax.tree.map(lambda *leaves: numbers(leaves), *[lane.solver for lane in lanes]),
            log_equilibrium=vectors([lane.log_equilibrium for lane in lanes]),
            tolerance=numbers([float(self.settings.tolerance)] * len(lanes)),
            max_steps=numbers(self._limits),
            seed=numbers(np.array([lane.seed for lane in lanes], np.uint32)),
        )
        return jax.device_put(problem, device)

    @property
    def size(self) -> int:
        """Runs in the batch, over all games."""
        return int(np.prod(self._shape))

    @property
    def finished(self) -> bool:
        """Whether every run has stopped."""
        return self.active == 0

    @property
    def active(self) -> int:
        """Runs still going."""
        return int(np.sum(np.asarray(self._last.status) == loop.RUNNING))

    @property
    def step(self) -> int:
        """Steps taken by the run that has gone furthest."""
        return int(np.max(self._last.step))

    @property
    def suboptimality(self) -> float:
        """The largest current suboptimality over the runs still going; over all when none is."""
        values = self._last.metrics.suboptimality
        running = self._last.status == loop.RUNNING
        return float(np.max(values[running] if running.any() else values))

    @property
    def seconds_left(self) -> float:
        """Time to the end of the budget at the pace so far: an upper bound, as converged runs stop earlier."""
        return (self.max_steps - self.step) * self._step_seconds

    @property
    def solve_seconds(self) -> float:
        """Wall time of the batch so far, compilation apart."""
        return self._elapsed

    @property
    def _last(self) -> loop.Point:
        return jax.tree.map(lambda values: values[-1], self._recorded.points[-1])

    def advance(self) -> None:
        """Run one chunk: about a third of a second, or up to the next records, whichever comes first."""
        with self.settings.precision.scope():
            self._advance(self._next_targets())

    def _next_targets(self) -> np.ndarray:
        """The next `_TARGETS` steps to stop at: records, cut short by a plain stop where they lie too far ahead."""
        ahead = self._pending[self._pending > self.step][:_TARGETS]
        if self._step_seconds > 0:
            limit = self.step + max(1, int(_CHUNK_SECONDS / self._step_seconds))
            ahead = np.append(ahead[ahead < limit], min(limit, ahead[-1]))[:_TARGETS]
        else:
            ahead = ahead[:1]
        return np.pad(ahead, (0, _TARGETS - len(ahead)), mode="edge").astype(np.int32)

    def _advance(self, targets: np.ndarray) -> None:
        began, first = time.perf_counter(), self.step if self._recorded.points else 0
        self._runs, point, self._log_policies = loop.advance(self._problem, self._runs, targets, stacked=self._stacked)
        point = jax.tree.map(np.asarray, point)
        seconds = time.perf_counter() - began
        taken = int(np.max(point.step[-1])) - first
        if taken > 0:
            self._step_seconds = seconds / taken
        furthest = np.max(point.step.reshape(len(targets), -1), axis=1)
        elapsed = seconds * (furthest - first) / taken if taken > 0 else np.zeros(len(targets))
        self._recorded.points.append(point)
        self._recorded.seconds.append(self._elapsed + elapsed)
        self._elapsed += seconds if taken > 0 else 0.0

    def curves(self) -> list[list[Curve]]:
        """The curve of every lane, `[G][B]`."""
        last = np.asarray(self._log_policies)
        points: loop.Point = jax.tree.map(lambda *parts: np.concatenate(parts), *self._recorded.points)
        seconds = np.concatenate(self._recorded.seconds)
        grid = zip(np.ndindex(self._shape), self._limits, strict=True)
        found = [self._curve(points, seconds, self._records[limit], last, lane) for lane, limit in grid]
        width = self._shape[-1]
        return [found[start : start + width] for start in range(0, len(found), width)]

    def _curve(
        self,
        points: loop.Point,
        seconds: np.ndarray,
        records: np.ndarray,
        last: np.ndarray,
        lane: tuple[int, ...],
    ) -> Curve:
        column: Any = (slice(None), *lane)
        # A stopped run repeats its last point, and a chunk may stop between records, or at those of another budget:
        # keep the first of each of its own.
        rows = np.flatnonzero(np.isin(points.step[column], records) | (points.status[column] != loop.RUNNING))
        steps, first = np.unique(points.step[column][rows], return_index=True)
        rows = rows[first]
        status = loop.STATUS_NAMES[int(points.status[column][-1])]
        metrics = {name: np.asarray(getattr(points.metrics, name)[column][rows], float) for name in Metrics._fields}
        # A run on samples is judged by its last iterate, which did not choose when to stop.
        if self._on_samples and self.settings.tolerance > 0 and status == "budget":
            status = "converged" if metrics["suboptimality"][-1] <= self.settings.tolerance else "budget"
        path = np.asarray(points.log_policy[column])
        # A diverged run keeps its last finite point; only one that starts badly has none.
        finite = np.isfinite(metrics["suboptimality"][-1])
        return Curve(
            steps=steps,
            seconds=seconds[rows],
            metrics=metrics,
            status=status,
            diverged_step=int(steps[-1]) + int(finite) if status == "diverged" else None,
            log_policy=last[lane],
            path=path[rows] if path.shape[-1] else None,
        )
