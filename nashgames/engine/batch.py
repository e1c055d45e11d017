"""Runs that share one compiled program: lanes → arrays → chunks → recorded points."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from nashgames import plugins
from nashgames.core.feedback import EXACT, Feedback
from nashgames.core.game import Game
from nashgames.core.margins import beside, stack
from nashgames.core.metrics import AT_ZERO, METRICS, OF_EQUILIBRIUM, OF_SEQUENCES, STOPPING_COLUMN, target_at
from nashgames.core.next_tokens import Chains
from nashgames.core.precision import Precision
from nashgames.engine import audit, exported, loop, saving
from nashgames.engine.loop import Recording
from nashgames.engine.settings import Settings
from nashgames.errors import NashGamesError
from nashgames.learning.prefixes import TOKENS
from nashgames.solvers import features_of, has_open_horizon, with_horizon
from nashgames.solvers.protocol import Solver

# Points that one call measures together: A is read once for them.
_TARGETS = 4
# A person sees progress three times a second; a call costs a hundredth of that.
_CHUNK_SECONDS = 0.3
# Numbers that the iterates of a batch hold in all its steps, up to which optimising their program takes longer than it
# saves: more than two seconds of compiling, at most 0.3 µs a number (`benchmarks/compiling.py`).
_SHORT = 5_000_000
# Compiled programs kept: each takes 140 of the 65,530 mappings and 6 MB of the memory that a process may have.
_PROGRAMS = 200


@dataclass(frozen=True, slots=True)
class Lane:
    """The numbers of one run of a batch; `solver` has all its own; arrays are `[n]`, or `[m, n]` over contexts, and of
    sequences that are not listed `Chains`, or None where π*_β is not known.

    `log_equilibrium` is NaN where π*_β is not known, or at β = 0 not the only one: then `nearest` gives the one to
    measure distances to, log π → log π*. `log_start` is log π_0, log μ where None, which all lanes of a
    batch have or none. An `idle` lane keeps its place in the batch and takes no step: its run is finished already.
    """

    solver: Solver
    beta: float
    log_reference: Any
    log_equilibrium: Any
    seed: int
    log_start: np.ndarray | None = None
    feedback: Feedback = EXACT
    idle: bool = False
    nearest: Callable[[np.ndarray], np.ndarray] | None = None

    def comparisons(self, contexts: int) -> int:
        """Duels that one step makes over all contexts; 0 where feedback is exact."""
        return self.solver.queries_per_step * self.feedback.comparisons * contexts

    def max_steps(self, settings: Settings, contexts: int) -> int:
        """Steps that the budget pays for; none for an idle lane."""
        return 0 if self.idle else settings.max_steps(self.solver, self.beta, self.comparisons(contexts))

    def settled(self, settings: Settings, contexts: int) -> "Lane":
        """The lane with the one number of its solver that depends on the budget: the horizon of its schedule."""
        # An idle lane takes no step, and has the structure of the others.
        steps = settings.max_steps(self.solver, self.beta, self.comparisons(contexts))
        return replace(self, solver=with_horizon(self.solver, steps))


@dataclass(frozen=True)
class Curve:
    """The recorded points of one run.

    `steps`, `seconds` and every array of `metrics` have one entry a point; `seconds` is the wall time of the whole
    batch since its first step, excluding compilation. `log_policy` is the last iterate; `path` holds log π at the
    points where it was recorded, else None. `diverged_step` is the step that was not finite.
    """

    steps: np.ndarray
    seconds: np.ndarray
    metrics: dict[str, np.ndarray]
    status: str
    diverged_step: int | None
    log_policy: np.ndarray
    path: np.ndarray | None


@dataclass(frozen=True)
class Curves:
    """The recorded points of all R runs of a batch that were played, those of a run one after the other.

    `lanes` `[R]` are the places of the runs in the batch, counted through its games, `counts` `[R]` their points and
    `last` `[R]` the place of the last one.
    `steps`, `seconds` and every array of `metrics` have one entry a point, `path` log π at every point or None.
    `statuses` `[R]` are by name, `diverged_steps` `[R]` None of a run that did not; `log_policies` are last iterates,
    empty where sequences are not listed.
    """

    lanes: np.ndarray
    counts: np.ndarray
    last: np.ndarray
    steps: np.ndarray
    seconds: np.ndarray
    metrics: dict[str, np.ndarray]
    statuses: list[str]
    diverged_steps: list[int | None]
    log_policies: np.ndarray
    path: np.ndarray | None

    def __getitem__(self, run: int) -> Curve:
        """The curve of one run."""
        end = int(self.last[run]) + 1
        mine = slice(end - int(self.counts[run]), end)
        return Curve(
            steps=self.steps[mine],
            seconds=self.seconds[mine],
            metrics={name: values[mine] for name, values in self.metrics.items()},
            status=self.statuses[run],
            diverged_step=self.diverged_steps[run],
            log_policy=self.log_policies[run],
            path=None if self.path is None else self.path[mine],
        )

    def select(self, runs: Sequence[int]) -> "Curves":
        """The points of some of the runs, in their order."""
        points = np.flatnonzero(np.isin(np.repeat(np.arange(len(self.counts)), self.counts), runs))
        return Curves(
            lanes=self.lanes[runs],
            counts=self.counts[runs],
            last=np.cumsum(self.counts[runs]) - 1,
            steps=self.steps[points],
            seconds=self.seconds[points],
            metrics={name: values[points] for name, values in self.metrics.items()},
            statuses=[self.statuses[run] for run in runs],
            diverged_steps=[self.diverged_steps[run] for run in runs],
            log_policies=self.log_policies[runs],
            path=None if self.path is None else self.path[points],
        )


@dataclass
class _Recorded:
    points: list[loop.Point] = field(default_factory=list)
    seconds: list[np.ndarray] = field(default_factory=list)


class _Kept(NamedTuple):
    """A batch as it is kept: its states, last iterates, points and times; `earlier` `[T, G·B]` says which of the first
    points curves keep, made under a smaller budget than the others; `limits` `[G·B]` are the most steps of its runs."""

    runs: loop.LoopState
    log_policies: Any
    points: loop.Point
    seconds: np.ndarray
    times: np.ndarray
    earlier: np.ndarray
    limits: np.ndarray


class Batch:
    """Runs of one solver class on G games of one shape, B lanes a game, advanced one chunk per call of `advance`.

    `lanes` is `[G][B]`. The lanes' numbers are data, so that batches of equal shape share one compiled program.
    """

    def __init__(
        self,
        games: Sequence[Game],
        lanes: Sequence[Sequence[Lane]],
        settings: Settings,
        *,
        margins: Any = None,
        recording: Recording | None = None,
    ) -> None:
        """Assemble the runs and compile their program.

        `margins` are those of the games, stacked and on the device, where they serve several batches. Without a
        `recording` every metric is kept, of games over the same sequences those of sequences too, and of games of
        three actions on exact feedback the path, which can be drawn;
        the metric by which the runs stop is always kept. Runs at β = 0 are all of the batch or none; their target is
        the original game, and what divides by β is the limit (`metrics.AT_ZERO`).
        """
        # Runs that differ in their seed alone share a solver.
        solvers = {id(lane.solver): lane.solver for row in lanes for lane in row}
        self.follows_budget = any(map(has_open_horizon, solvers.values()))
        """Whether the steps of a run depend on its budget, because a schedule falls over all of it."""
        if self.follows_budget:
            lanes = [[lane.settled(settings, games[0].contexts) for lane in row] for row in lanes]
        flat = [lane for row in lanes for lane in row]
        self._at_zero = flat[0].beta == 0
        if any((lane.beta == 0) != self._at_zero for lane in flat):
            raise NashGamesError("some lanes have β = 0 and some have not; give each kind a batch of its own")
        self.settings = replace(settings, target=target_at(flat[0].beta, settings.target))
        self._stops_by = STOPPING_COLUMN[self.settings.target]
        self._on_samples = flat[0].feedback.comparisons > 0
        drawn = games[0].actions == 3 and not self._on_samples
        self._listed = not isinstance(flat[0].log_reference, Chains)
        written = {game.description.sequences for game in games}
        sequences = written.pop() if len(written) == 1 else None
        usual = (*METRICS, *(() if sequences is None else OF_SEQUENCES)) if self._listed else ()
        whole = Recording(usual, path=drawn and self._listed, sequences=sequences)
        wanted = whole if recording is None else recording
        measured = [name for name in wanted.metrics if not (self._at_zero and name in AT_ZERO)]
        missing = () if self._stops_by in measured or not self._listed else (self._stops_by,)
        several = any(lane.nearest is not None for lane in flat)
        self._keeps_path = wanted.path
        self._recording = Recording((*measured, *missing), wanted.path or several, wanted.sequences)
        self._limits_of = {name: AT_ZERO[name] for name in wanted.metrics if name not in measured}
        self.lanes = lanes
        self._games = [game.replace(weights=np.asarray(game.weights, settings.precision.numpy)) for game in games]
        self._stacked = len(games) > 1
        self._shape = (len(games), len(lanes[0])) if self._stacked else (len(lanes[0]),)
        self._nearest = {
            place: lane.nearest
            for place, lane in zip(np.ndindex(self._shape), flat, strict=True)
            if lane.nearest is not None and not lane.idle
        }
        self._measured_to: dict[tuple[int, ...], int] = {}
        self.solver = flat[0].solver
        self._limits = [lane.max_steps(settings, games[0].contexts) for lane in flat]
        self.max_steps = max(self._limits)
        self._records = {limit: settings.record_steps(limit) for limit in set(self._limits) if limit}
        self._pending = np.unique(np.concatenate(list(self._records.values())))
        self._recorded = _Recorded()
        # Which of the first points were kept when they were made under a smaller budget, `[T, G·B]`.
        self._earlier = np.zeros((0, self.size), bool)
        self._log_policies: Any = None
        self._elapsed = 0.0
        self._step_seconds = 0.0
        numbers = self.max_steps * self.size * games[0].contexts * games[0].actions
        # A network over tokens computes far more than these.
        writes = features_of(self.solver) == (TOKENS, None)
        self.is_short = numbers <= _SHORT and not writes
        """Whether the batch takes a few seconds at most."""
        on_cpu = settings.precision.jax_device().platform == "cpu"
        form = "optimised" if not on_cpu else "network" if writes else "quick" if self.is_short else "optimised"
        self._static: Any = {
            "stacked": self._stacked, "target": self.settings.target, "recording": self._recording, "form": form,
        }  # fmt: skip
        self._programs: loop.Programs | None = None
        loop.clear_compiled_if_over(_PROGRAMS)
        began = time.perf_counter()
        hint = f"the solver '{self.solver.name}' (nashgames check says more)"
        with settings.precision.scope(), plugins.explaining(hint, self.solver):
            self._problem = self._assemble(games, flat, margins)
            nowhere = np.zeros(_TARGETS, np.int32)
            if exported.folder and self._listed:
                self._programs = loop.kept_programs(self._problem, nowhere, **self._static)
            # Whoever made a program that is kept has counted its queries.
            if self._programs is None or not self._programs.advance.is_there:
                one = loop.shapes_of_one_run(self._problem, stacked=self._stacked)
                audit.check_queries(one.solver, one.game)
            unstarted = loop.initial_state(self._problem, stacked=self._stacked)
            # On the device like every later state: an argument that lies elsewhere would be compiled for once more.
            self._runs = jax.device_put(unstarted, self._where)
            # A chunk of no steps compiles the program, so that its seconds are not counted as solving.
            self._advance(nowhere)
        self.compile_seconds = time.perf_counter() - began

    def _assemble(self, games: Sequence[Game], lanes: Sequence[Lane], margins: Any) -> loop.Problem:
        dtype = self.settings.precision.numpy
        device = self.settings.precision.jax_device()

        def of_runs(parts: Sequence[Any]) -> Any:
            # What runs share is looked at once.
            own = {id(part): part for part in parts}
            places = {key: place for place, key in enumerate(own)}
            which = [places[id(part)] for part in parts]

            def numbers(*values: Any) -> Any:
                array = np.asarray(values)
                kind = {"u": np.uint32, "i": np.int32}.get(array.dtype.kind, dtype)
                return array.astype(kind)[which].reshape(self._shape + array.shape[1:])

            return jax.tree.map(numbers, *own.values())

        starts = [lane.log_start for lane in lanes if lane.log_start is not None]
        if starts and len(starts) < len(lanes):
            raise NashGamesError("some lanes have a start of their own and some have none; give all of them one")

        def of_games(*values: Any) -> Any:
            arrays = [np.asarray(v, dtype) if isinstance(v, (float, np.ndarray)) else v for v in values]
            return np.stack(arrays) if self._stacked else arrays[0]

        game = Game(
            margins=placed_margins(games, self.settings.precision) if margins is None else margins,
            log_reference=of_runs([lane.log_reference for lane in lanes]),
            beta=of_runs([lane.beta for lane in lanes]),
            weights=of_games(*[g.weights for g in games]),
            features=jax.tree.map(of_games, *[g.features for g in games]),
            log_start=of_runs(starts) if starts else None,
            feedback=of_runs([lane.feedback for lane in lanes]),
        )
        problem = loop.Problem(
            game=game,
            solver=of_runs([lane.solver for lane in lanes]),
            log_equilibrium=of_runs([lane.log_equilibrium for lane in lanes]),
            tolerance=of_runs([float(self.settings.tolerance)] * len(lanes)),
            max_steps=of_runs(self._limits),
            seed=of_runs([*np.array([lane.seed for lane in lanes], np.uint32)]),
        )
        # Margins are where they are: on one device, or some of their rows on each of several.
        several = len(jax.tree.leaves(game.margins)[0].devices()) > 1
        self._where = beside(game.margins) if several else device
        placed = jax.device_put(problem._replace(game=replace(game, margins=None)), self._where)  # type: ignore[arg-type]
        return placed._replace(game=replace(placed.game, margins=game.margins))

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
    def running(self) -> list[list[bool]]:
        """Whether each run still goes on, `[G][B]`."""
        going = np.asarray(self._last.status == loop.RUNNING).reshape(-1, self._shape[-1])
        return [[bool(on) for on in row] for row in going]

    @property
    def step(self) -> int:
        """Steps taken by the run that has gone furthest."""
        return int(np.max(self._last.step))

    @property
    def distance(self) -> float:
        """The largest current value of the metric by which runs stop, over those still going; over all when none is.
        Of sequences that are not listed the estimate of the suboptimality, NaN where there is none."""
        if not self._listed:
            measured = [point.metrics["estimated_suboptimality"] for point in self._recorded.points]
            known = np.concatenate(measured).reshape(-1, self.size)
            known = known[np.isfinite(known).any(axis=1)]
            return float(np.max(known[-1])) if len(known) else float("nan")
        values = self._last.metrics[self._stops_by]
        running = self._last.status == loop.RUNNING
        return float(np.max(values[running] if running.any() else values))

    @property
    def seconds_left(self) -> float:
        """Time to the end of the budget at the pace so far: an upper bound, as converged runs stop earlier."""
        return (self.max_steps - self.step) * self._step_seconds

    @property
    def solve_seconds(self) -> float:
        """Wall time of the batch so far, excluding compilation."""
        return self._elapsed

    @property
    def _last(self) -> loop.Point:
        return jax.tree.map(lambda values: values[-1], self._recorded.points[-1])

    def advance(self) -> None:
        """Run one chunk: about a third of a second, or up to the next records, whichever comes first."""
        with self.settings.precision.scope():
            self._advance(self._next_targets())

    @property
    def used_up(self) -> bool:
        """Whether a run has come to the end of its budget, so that a larger one would take it further."""
        ended = np.asarray(self._last.status).ravel() == loop.BUDGET
        return bool(np.any(ended & (np.asarray(self._limits) > 0)))

    def saved(self) -> bytes:
        """How far the batch is, for `restore` of one of the same runs."""
        points, seconds = self._points()
        return self._packed(points, seconds, self._earlier)

    def ended(self, most: int) -> bytes | None:
        """A finished batch for `go_on` of these runs with a larger budget; None where it is more than `most` bytes."""
        points, seconds = self._points()
        steps, status = self._flat(points.step), self._flat(points.status)
        earlier = np.zeros(steps.shape, bool)
        earlier[self._kept(steps, status, np.flatnonzero(self._limits))] = True
        # The last point says how the runs are; of one that has stopped it is a repetition.
        earlier[-1] = True
        rows = np.flatnonzero(earlier.any(axis=1))
        points = jax.tree.map(lambda values: values[rows], points)
        leaves = jax.tree.leaves((self._runs, self._log_policies, points))
        if sum(leaf.size * leaf.dtype.itemsize for leaf in leaves) > most:
            return None
        return self._packed(points, seconds[rows], earlier[rows])

    def _points(self) -> tuple[Any, np.ndarray]:
        points: Any = jax.tree.map(lambda *parts: np.concatenate(parts), *self._recorded.points)
        return points, np.concatenate(self._recorded.seconds)

    def _packed(self, points: loop.Point, seconds: np.ndarray, earlier: np.ndarray) -> bytes:
        times, limits = np.array([self._elapsed, self._step_seconds]), np.asarray(self._limits, np.int64)
        with self.settings.precision.scope():
            return saving.pack((self._runs, self._log_policies, points, seconds, times, earlier, limits))

    def restore(self, data: bytes) -> bool:
        """Go on from a checkpoint, as if nothing had happened; False, changing nothing, for what is no checkpoint of a
        batch like this one."""
        with self.settings.precision.scope():
            kept = self._unpacked(data)
            if kept is None:
                return False
            self._take(kept)
        return True

    def go_on(self, data: bytes) -> bool:
        """Go on from the end of a batch of these runs with a smaller budget; False, changing nothing, where that is not
        possible: no run would go further, one was not played there, or they ended at different steps.

        The steps are those of one undisturbed run. The points are those of the smaller budget and behind them those of
        this one.
        """
        with self.settings.precision.scope():
            kept = self._unpacked(data)
            if kept is None:
                return False
            limits, before = np.asarray(self._limits), kept.limits
            steps, statuses = (np.asarray(values).ravel() for values in (kept.runs.step, kept.runs.status))
            ended = (statuses == loop.BUDGET) & (limits > 0)
            onward = ended & (steps < limits)
            there = np.all((limits == 0) | (before > 0)) and np.all(steps[limits > 0] <= limits[limits > 0])
            if not there or not onward.any() or np.any(steps[onward] != steps.max()):
                return False
            runs, points = (self._running(tree, onward) for tree in (kept.runs, kept.points))
            self._take(kept._replace(runs=runs, points=points))
        return True

    def _running(self, tree: Any, onward: np.ndarray) -> Any:
        """States or points whose lanes go on where they had used their budget."""
        status = np.asarray(tree.status)
        on = onward.reshape(self._shape) & (status == loop.BUDGET)
        return tree._replace(status=np.where(on, loop.RUNNING, status).astype(status.dtype))

    def _unpacked(self, data: bytes) -> "_Kept | None":
        one, free = saving.Shape, partial(saving.Shape, free=1)
        like: Any = (
            *jax.tree.map(one, (self._runs, self._log_policies)),
            *jax.tree.map(free, (self._recorded.points[-1], self._recorded.seconds[-1], np.zeros(2), self._earlier)),
            one(np.asarray(self._limits, np.int64)),
        )
        try:
            kept = _Kept(*saving.unpack(data, like))
        except ValueError:
            return None
        return kept

    def _take(self, kept: "_Kept") -> None:
        self._runs = jax.device_put(kept.runs, self._where)
        self._log_policies, self._recorded = kept.log_policies, _Recorded([kept.points], [kept.seconds])
        self._elapsed, self._step_seconds = map(float, kept.times)
        self._earlier = kept.earlier
        for place in self._nearest:
            self._measured_to[place] = int(kept.points.step[-1][place])

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
        self._runs, point, self._log_policies = loop.advance(
            self._problem,
            self._runs,
            targets,
            **self._static,
            programs=self._programs,
            asked=None if self._listed else self._asked(targets),
        )
        point = self._with_nearest(jax.tree.map(np.asarray, point))
        self._check_soundness(point)
        seconds = time.perf_counter() - began
        taken = int(np.max(point.step[-1])) - first
        if taken > 0:
            self._step_seconds = seconds / taken
        furthest = np.max(point.step.reshape(len(targets), -1), axis=1)
        elapsed = seconds * (furthest - first) / taken if taken > 0 else np.zeros(len(targets))
        self._recorded.points.append(point)
        self._recorded.seconds.append(self._elapsed + elapsed)
        self._elapsed += seconds if taken > 0 else 0.0

    def _asked(self, targets: np.ndarray) -> np.ndarray:
        """Where points are measured that cost samples: at records, once, and where a run has stopped between them."""
        again = np.diff(targets, prepend=-1) == 0
        recorded = np.isin(targets, self._pending)
        return np.where(again, loop.NEVER, np.where(recorded, loop.ALWAYS, loop.IF_STOPPED)).astype(np.int32)

    def _check_soundness(self, point: loop.Point) -> None:
        """Raise NashGamesError, naming the solver and the step, where it reports what is not so."""
        wrong = np.argwhere(point.fault != loop.SOUND)
        if not len(wrong):
            return
        first = wrong[np.argmin([point.step[tuple(place)] for place in wrong])]
        where = f"of the solver '{self.solver.name}' at step {int(point.step[tuple(first)])}"
        if point.fault[tuple(first)] == loop.NOT_NORMALISED:
            raise NashGamesError(
                f"the policy {where} does not sum to 1; log_policy must return normalised log-probabilities, as "
                f"simplex.normalise makes them"
            )
        if point.fault[tuple(first)] == loop.NOT_AT_START:
            raise NashGamesError(
                f"the solver '{self.solver.name}' does not begin at the start that the run asks for; its init must "
                f"begin at game.start, or leave --start out"
            )
        raise NashGamesError(
            f"the advantage {where} is not Aπ of the policy that it reports; advantage must return the game's own "
            f"query of that policy, or None"
        )

    def _with_nearest(self, point: loop.Point) -> loop.Point:
        """The points with the distances of lanes that have a nearest equilibrium, found on the host."""
        if not self._nearest:
            return point
        columns = [name for name in OF_EQUILIBRIUM if name in point.metrics]
        values: dict[str, Any] = {name: np.array(point.metrics[name]) for name in columns}
        limits = dict(zip(np.ndindex(self._shape), self._limits, strict=True))
        for place, nearest in self._nearest.items():
            # What a curve keeps: its records, and of a stopped run, which repeats its last point, the first of these.
            steps, running = point.step[:, *place], point.status[:, *place] == loop.RUNNING
            _, first = np.unique(steps, return_index=True)
            kept = np.isin(steps[first], self._records[limits[place]]) | ~running[first]
            for target in first[kept & (steps[first] > self._measured_to.get(place, -1))]:
                log_policy = np.asarray(point.log_policy[target, *place])
                star = nearest(log_policy).astype(log_policy.dtype)
                weights = self._games[place[0] if self._stacked else 0].weights
                found = loop.distances(weights, log_policy, star, names=tuple(columns))
                for name in columns:
                    values[name][target, *place] = found[name]
                self._measured_to[place] = int(steps[target])
        path = point.log_policy if self._keeps_path else point.log_policy[..., :0]
        return point._replace(metrics=point.metrics | values, log_policy=path)

    def curves(self) -> list[list[Curve | None]]:
        """The curve of every lane, `[G][B]`; None for an idle one."""
        found, width = self.recorded(), self._shape[-1]
        flat: list[Curve | None] = [None] * self.size
        for run, lane in enumerate(found.lanes):
            flat[lane] = found[run]
        return [flat[start : start + width] for start in range(0, self.size, width)]

    def recorded(self) -> Curves:
        """The curves of all lanes that are not idle, as columns."""
        points: Any = jax.tree.map(self._flat, *self._recorded.points)
        played = np.flatnonzero(self._limits)
        places, lanes = self._kept(points.step, points.status, played)
        counts = np.bincount(np.searchsorted(played, lanes), minlength=len(played))
        last = np.cumsum(counts) - 1
        steps = points.step[places, lanes]
        metrics = {name: np.asarray(values[places, lanes], float) for name, values in points.metrics.items()}
        metrics |= {name: times * metrics[source] for name, (source, times) in self._limits_of.items()}
        statuses = [loop.STATUS_NAMES[status] for status in points.status[-1, played]]
        reached = metrics[self._stops_by if self._listed else "estimated_kl_to_reference"][last]
        # A run on samples is judged by its last iterate, which did not choose when to stop.
        if self._on_samples and self._listed and self.settings.tolerance > 0:
            near = reached <= self.settings.tolerance
            statuses = [
                "converged" if status == "budget" and there else status
                for status, there in zip(statuses, near, strict=True)
            ]
        # A diverged run keeps its last finite point; only one that starts badly has none.
        diverged = [
            int(step) + int(finite) if status == "diverged" else None
            for status, step, finite in zip(statuses, steps[last], np.isfinite(reached), strict=True)
        ]
        policies = np.asarray(self._log_policies) if self._listed else np.zeros((*self._shape, 0))
        return Curves(
            lanes=played,
            counts=counts,
            last=last,
            steps=steps,
            seconds=np.concatenate(self._recorded.seconds)[places],
            metrics=metrics,
            statuses=statuses,
            diverged_steps=diverged,
            log_policies=policies.reshape(self.size, *policies.shape[len(self._shape) :])[played],
            path=points.log_policy[places, lanes] if points.log_policy.shape[-1] else None,
        )

    def _flat(self, *parts: np.ndarray) -> np.ndarray:
        """Recorded values one after the other, `[T, G·B, …]`."""
        values = np.concatenate(parts)
        return values.reshape(len(values), self.size, *values.shape[1 + len(self._shape) :])

    def _kept(self, steps: np.ndarray, status: np.ndarray, played: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The places in time and the lanes of the points that curves keep, by lane and then by time.

        A stopped run repeats its last point, and a chunk may stop between records, or at those of another budget: the
        first of each of its own is kept. Steps never fall, so that equal ones follow each other.
        """
        which, places = np.nonzero(self._wanted(steps, status).T[played])
        lanes = played[which]
        found = steps[places, lanes]
        first = np.ones(len(found), bool)
        first[1:] = (lanes[1:] != lanes[:-1]) | (found[1:] != found[:-1])
        return places[first], lanes[first]

    def _wanted(self, steps: np.ndarray, status: np.ndarray) -> np.ndarray:
        """Which points are at a step that their run records, or of a run that has stopped, `[T, G·B]`."""
        limits, wanted = np.asarray(self._limits), status != loop.RUNNING
        for limit, records in self._records.items():
            mine = np.flatnonzero(limits == limit)
            wanted[:, mine] |= np.isin(steps[:, mine], records)
        wanted[: len(self._earlier)] = self._earlier
        return wanted


def placed_margins(games: Sequence[Game], precision: Precision) -> Any:
    """The margins of games of one shape as those of a batch, on their device: `[n, n]`, `[G, n, n]` of several."""
    return stack([game.margins for game in games]).place(precision.jax_device(), precision.numpy)
