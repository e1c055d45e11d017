"""What an experiment will take, before it is played: runs, programs, queries, memory, disk and time.

Nothing is written. What is said of time is measured: earlier runs of the directory tell theirs, and programs that none
of them used are played for a moment, the costliest first.
"""

import dataclasses
import shutil
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nashgames.core.game import Game
from nashgames.defaults import UNLISTED
from nashgames.engine.batch import Batch, Lane
from nashgames.engine.settings import Settings
from nashgames.exact.referee import equilibrium_path
from nashgames.experiments import batches as together
from nashgames.experiments.batches import shared_features
from nashgames.experiments.experiment import Experiment
from nashgames.experiments.plan import Chosen, plan, plan_trials, settings_of
from nashgames.experiments.preparing import count_equilibria
from nashgames.experiments.run import Run, distance_of
from nashgames.experiments.runner import default_directory
from nashgames.experiments.tuning import as_both, choose
from nashgames.experiments.values import LISTS
from nashgames.games.families import RUN_MEMORY
from nashgames.learning.features import resolve_features
from nashgames.learning.references import REFERENCES, resolve_reference
from nashgames.memory import Room, room
from nashgames.store import Results
from nashgames.store.files import MANIFEST, check_ours

Lanes = list[list[Run]]
"""A batch: its runs `[G][B]`."""

MEASURING = 8.0
"""Seconds of measuring after which no further program is looked at: with the last one they are ten at most, where
nothing else works. One game and one program are always measured."""
_LOOK = 0.3
"""Seconds for which a program is played: as long as a chunk of a real run."""
_ACTIONS = 1000
"""Actions of a game that is made only to be measured: it takes two seconds with its equilibrium, and from there on time
grows like n², because A no longer fits into the cache, or like n where A is kept as factors."""
_RUNS = 256
"""Runs of a batch that are played to measure it; beyond that time grows like their number."""

# Bytes in a file, over the directories under `results/`: 54 to 112 a row of curves, 15 to 23 of policies (labels cost
# more where games are small), 7 to 10 of paths; of a run's own row 90 to 120 where there are hundreds.
_POINT, _ACTION, _PATH, _RUN = 80, 23, 10, 120
# Of a part beside its rows: what Parquet says of 70 columns.
_PART = 30_000
# Of a row while the tables are read at the end: 47 kB were measured for a run of 50 points and 10 actions.
_ROW_IN_MEMORY = 800

# Seconds beside those of games, programs and steps, at most, on a machine that is shared: 7 to 10 were measured for the
# start, the tables and the figures of `default`, `theorems` and a small race, up to 80 ms for a batch that reaches the
# disk, and 0.2 to 0.6 ms for the rows of a run, which are made, folded, chosen from and judged.
_ONCE, _A_BATCH, _A_RUN = 12.0, 0.1, 0.001
# The least: JAX and pandas are imported, nothing is drawn.
_IMPORTS, _LEAST_OF_A_BATCH = 1.0, 0.01
# What was measured once may take half as long again: of a small race 17 s for 10, beside other work.
_AGAIN = 1.5
# Multiplications that what a step does beside them is worth: some operations of XLA, 10 to 30 µs.
_STEP = 30_000


@dataclass(frozen=True)
class Program:
    """A compiled program, and the batches that will run it.

    `queries` are at most those of all its runs; `solve_seconds` are for all its batches, and `source` says where they
    come from: `earlier` runs, `measured` now, or other programs `by size`.
    """

    solver: str
    actions: int
    runs: int
    batches: int
    queries: int
    compile_seconds: float
    solve_seconds: float
    source: str


@dataclass(frozen=True)
class Forecast:
    """What will be done, and what it takes at most: runs that converge stop before their budget.

    `grid` counts the values of every field that has several; of `runs`, `trials` only try steps, and `finished` are in
    the directory already. `memory` and `disk` are bytes; `disk_peak` has the parts and the tables that they are folded
    into. `exact_seconds` are for games and equilibria, `other_seconds` for the start, rows, the disk, tables and
    figures; `least_seconds` are those of a whole command whose programs are kept and whose runs converge at once.
    `measured_in` is how many seconds measuring took.
    """

    directory: Path
    grid: dict[str, int]
    runs: int
    trials: int
    finished: int
    batches: int
    programs: tuple[Program, ...]
    queries: int
    comparisons: int
    equilibria: int
    memory: int
    room: Room
    at_once: int
    disk: int
    disk_peak: int
    disk_free: int
    exact_seconds: float
    other_seconds: float
    least_seconds: float
    measured_in: float
    notes: tuple[str, ...]

    @property
    def compile_seconds(self) -> float:
        """Of all programs."""
        return sum(program.compile_seconds for program in self.programs)

    @property
    def solve_seconds(self) -> float:
        """Of all batches."""
        return sum(program.solve_seconds for program in self.programs)

    @property
    def seconds(self) -> float:
        """Of the whole command, at most."""
        return _AGAIN * (self.compile_seconds + self.solve_seconds + self.exact_seconds) + self.other_seconds


def forecast(experiment: Experiment, directory: Path | None = None, *, force: bool = False) -> Forecast:
    """What `runner.execute` would do with the same arguments.

    Tables and games of users are made, because only then their size is known. Raises NashGamesError as that does for
    what does not exist or fit, and for a directory that is not for results.
    """
    settings = settings_of(experiment)
    settings.precision.jax_device()
    directory = directory or default_directory(experiment)
    there = check_ours(directory) and (directory / MANIFEST).exists()
    earlier = Results.read(directory) if there else None
    finished: set[str] = set() if earlier is None or force else earlier.finished
    stages, trials, notes = _stages(experiment, settings, earlier if finished else None)
    runs = list({run.run_id: run for stage in stages for run in stage}.values())
    together.check_memory(runs, settings, finished)
    timer = _Timer(settings, earlier)
    batches = [batch for stage in stages for batch in _batches(stage, settings, finished)]
    left = [run for run in runs if run.run_id not in finished]
    equilibria = sum(count_equilibria(stage, finished) for stage in stages)
    exact_seconds = timer.exact(left, equilibria)
    programs = timer.programs(batches, finished)
    rows = _rows(left, settings, timer)
    disk = sum(count * each for count, each in zip(rows, (_RUN, _POINT, _ACTION, _PATH), strict=True))
    in_use, at_once = _in_memory(runs, settings, finished)
    return Forecast(
        directory=directory,
        grid=_grid(experiment),
        runs=len(runs),
        trials=len(trials),
        finished=len(runs) - len(left),
        batches=len(batches),
        programs=programs,
        queries=sum(_steps(run, settings, timer) * run.solver.queries_per_step for run in left),
        comparisons=sum(
            int(run.comparisons(np.int64(_steps(run, settings, timer)), timer.size(run)[1]))
            for run in left
            if run.feedback.comparisons
        ),
        equilibria=equilibria,
        memory=RUN_MEMORY + in_use + _ROW_IN_MEMORY * sum(rows),
        room=settings.precision.room() or room(),
        at_once=at_once,
        disk=disk + _PART * len(batches),
        disk_peak=2 * disk + _PART * len(batches),
        disk_free=_disk_free(directory),
        exact_seconds=exact_seconds,
        other_seconds=_ONCE + _A_BATCH * len(batches) + _A_RUN * len(left) if left else 0.0,
        # Equilibria of small games are found together, in a twentieth of the time that one takes alone.
        least_seconds=_IMPORTS + _LEAST_OF_A_BATCH * len(batches) + exact_seconds / 20 if left else 0.0,
        measured_in=timer.spent,
        notes=tuple(notes),
    )


def _stages(
    experiment: Experiment, settings: Settings, earlier: Results | None
) -> tuple[list[list[Run]], list[Run], list[str]]:
    """The runs of the stages that are played one after the other, the trials, and notes.

    Where not all trials are finished, what they will choose is not known: any of the values stands for it.
    """
    trials, untuned = plan_trials(experiment, settings)
    if not trials:
        reported, notes = plan(experiment, settings)
        return [reported], [], notes
    chosen: Chosen = {
        run.tuning_key: run.hyperparameters[run.tuned] for run in trials if run.tuned and run.step_source == "tried"
    }
    if earlier is not None and {run.run_id for run in trials} <= earlier.finished:
        chosen, _ = choose(trials, earlier.runs, earlier.curves)
    reported, notes = plan(experiment, settings, chosen=chosen)
    played = {run.run_id for run in trials}
    reported = [run for run in as_both(reported, trials) if run.run_id not in played]
    return [trials, reported], trials, [*notes, *untuned]


def _grid(experiment: Experiment) -> dict[str, int]:
    counts = {field: len(experiment.every(field)) for field in sorted(LISTS, key=_ORDER.index)}
    counts["seed"] = experiment.seeds
    return {field: count for field, count in counts.items() if count > 1}


def _batches(runs: Sequence[Run], settings: Settings, done: Collection[str]) -> list[Lanes]:
    chunks = together.game_chunks(runs, settings.precision.numpy.itemsize)
    return [batch for chunk in chunks for batch in together.batches_of(chunk, done)]


def _steps(run: Run, settings: Settings, timer: "_Timer") -> int:
    """Steps that the budget of a run pays for."""
    duels = run.comparisons_per_step(timer.size(run)[1]) if run.feedback.comparisons else 0
    return settings.max_steps(run.played, run.beta, duels)


def _rows(runs: Iterable[Run], settings: Settings, timer: "_Timer") -> tuple[int, int, int, int]:
    """At most as many rows of runs, curves, policies and paths."""
    points_of = cache(lambda steps: len(settings.record_steps(steps)))
    count = points = actions = paths = 0
    for run in runs:
        n, contexts = timer.size(run)
        recorded = points_of(_steps(run, settings, timer))
        rows = 0 if run.storage == UNLISTED else n * contexts
        count, points, actions = count + 1, points + recorded, actions + rows
        # Of games of three actions on exact feedback every point is kept, to be drawn.
        paths += recorded * n * contexts if n == 3 and not run.feedback.comparisons else 0
    return count, points, actions, paths


def _in_memory(runs: Sequence[Run], settings: Settings, done: Collection[str]) -> tuple[int, int]:
    """Bytes of games and batches at their most, and how many batches are alive at once where memory is scarcest."""
    free = (settings.precision.room() or room()).free
    most, at_once = 0, together.MOST_BATCHES
    for need in together.needs(runs, settings, done):
        beside = free - need.bytes(0)
        alive = max(1, min(together.MOST_BATCHES, beside // max(need.batch, 1)))
        most = max(most, need.bytes(alive))
        if alive < need.batches:
            at_once = min(at_once, alive)
    return most, at_once


def _disk_free(directory: Path) -> int:
    """What is free where the directory is, or will be."""
    return shutil.disk_usage(next(place for place in [directory, *directory.absolute().parents] if place.exists())).free


class _Timer:
    """How long batches take: by earlier runs, by a look at them, or by others."""

    def __init__(self, settings: Settings, earlier: Results | None) -> None:
        self._settings = settings
        self.spent, self._looks = 0.0, 0
        self._earlier = _earlier(earlier.runs) if earlier is not None else {}
        self._sizes: dict[Any, tuple[int, int]] = {}
        self._exact: dict[int, tuple[float, float]] = {}

    def size(self, run: Run) -> tuple[int, int]:
        """n and contexts of the game of a run; one that tells its size only when it is made is made once."""
        if run.actions is not None:
            return run.actions, run.source.contexts
        if run.source not in self._sizes:
            game = run.make_game(self._settings.precision.dtype)
            self._sizes[run.source] = (game.actions, game.contexts)
        return self._sizes[run.source]

    def programs(self, batches: Sequence[Lanes], done: Collection[str]) -> tuple[Program, ...]:
        """The programs of these batches, the costliest first."""
        by_key: dict[Any, list[Lanes]] = {}
        for batch in batches:
            by_key.setdefault(self._key(batch), []).append(batch)
        groups = sorted(by_key.values(), key=lambda group: -sum(map(self._work, group)))
        found = [self._seconds(group[0]) for group in groups]
        # What was not looked at takes as long to compile as those that were, and a unit of work as in the costliest.
        known = [(each, group) for each, group in zip(found, groups, strict=True) if each is not None]
        pace = [each[1] / max(self._work(group[0]), 1) for each, group in known]
        usual = (float(np.mean([each[0] for each, _ in known])), pace[0]) if known else (0.0, 0.0)
        programs = []
        for group, each in zip(groups, found, strict=True):
            first = group[0][0][0]
            compiling, solving, source = each or (usual[0], usual[1] * self._work(group[0]), "by size")
            left = [run for batch in group for lanes in batch for run in lanes if run.run_id not in done]
            programs.append(
                Program(
                    solver=first.solver.name,
                    actions=self.size(first)[0],
                    runs=len(left),
                    batches=len(group),
                    queries=sum(_steps(run, self._settings, self) * run.solver.queries_per_step for run in left),
                    compile_seconds=compiling,
                    solve_seconds=solving * sum(map(self._work, group)) / max(self._work(group[0]), 1),
                    source=source,
                )
            )
        return tuple(programs)

    def exact(self, runs: Sequence[Run], equilibria: int) -> float:
        """Seconds for games and equilibria, of which one of each size is measured; n² tells of others."""
        by_size: dict[int, tuple[set[Any], set[Any]]] = {}
        first: dict[int, Run] = {}
        for run in runs:
            n, _ = self.size(run)
            games, solved = by_size.setdefault(n, (set(), set()))
            games.add(run.game_key)
            solved.add((run.game_key, run.reference_key, run.beta))
            first.setdefault(n, run)
        for n in sorted(first):
            if not self._exact:
                # Whatever comes first pays for what is imported and compiled once.
                self._look_at_game(first[n])
            elif self.spent > MEASURING / 3 or n > _ACTIONS:
                break
            self._look_at_game(first[n])
        making = sum(len(games) * self._of_size(first[n], n)[0] for n, (games, _) in by_size.items())
        solving = sum(len(solved) * self._of_size(first[n], n)[1] for n, (_, solved) in by_size.items())
        # A path has more β than are left to play: see `count_equilibria`.
        return making + solving * equilibria / max(sum(len(solved) for _, solved in by_size.values()), 1)

    def _of_size(self, run: Run, n: int) -> tuple[float, float]:
        """Seconds to make a game and to solve it."""
        nearest = min(self._exact, key=lambda each: abs(each - n))
        making, solving = self._exact[nearest]
        more = max(_growth(run, n / nearest), 1)
        return making * more, solving * more

    def _key(self, batch: Lanes) -> Any:
        first = batch[0][0]
        kind = first.features and shared_features(first)
        return (first.program_key, kind, self.size(first), len(batch), len(batch[0]))

    def _work(self, batch: Lanes) -> float:
        """What a batch costs beside others of its solver: multiplications, at most."""
        first = batch[0][0]
        n, contexts = self.size(first)
        steps = max(_steps(run, self._settings, self) for lanes in batch for run in lanes)
        # As many again for what is done to vectors: twenty or so operations on each of n numbers.
        of_step = first.solver.queries_per_step * len(batch) * contexts * len(batch[0]) * n * (_columns(first, n) + 20)
        return float(steps * (of_step + _STEP))

    def _seconds(self, batch: Lanes) -> tuple[float, float, str] | None:
        """Compiling, solving, and where that is known from; None where there is no more time to look."""
        first, size = batch[0][0], sum(map(len, batch))
        told = self._earlier.get(_row_key(first, *self.size(first), size, self._settings))
        if told is not None:
            compiling, solving, budget = told
            asked = max(_steps(run, self._settings, self) for lanes in batch for run in lanes)
            return compiling, solving * max(1.0, asked * first.solver.queries_per_step / max(budget, 1)), "earlier"
        if self._looks and self.spent > MEASURING:
            return None
        self._looks += 1
        return *self._look(batch), "measured"

    def _look(self, batch: Lanes) -> tuple[float, float]:
        """Seconds to compile a batch, and at most to solve it, from a moment of it; a large one in part."""
        with self._measuring():
            width = max(1, min(len(batch[0]), _RUNS))
            part = [lanes[:width] for lanes in batch[: max(1, _RUNS // width)]]
            games = [self._game(lanes[0]) for lanes in part]
            lanes = [[_lane(run, game) for run in of_game] for of_game, game in zip(part, games, strict=True)]
            looked = Batch(games, lanes, self._settings)
            while not looked.finished and looked.solve_seconds < _LOOK:
                looked.advance()
            left = 0.0 if looked.finished else looked.seconds_left
        n, played = self.size(batch[0][0])[0], games[0].actions
        more = sum(map(len, batch)) / looked.size * max(_growth(batch[0][0], n / played), 1)
        return looked.compile_seconds, (looked.solve_seconds + left) * more

    def _look_at_game(self, run: Run) -> None:
        with self._measuring():
            began = time.perf_counter()
            game = self._game(run)
            made = time.perf_counter()
            reference = resolve_reference(run.reference, game, run.seed)
            if run.storage == UNLISTED:
                # An equilibrium that is a chain of tokens takes about a second.
                self._exact[game.actions] = (made - began, 0.0)
                return
            for _ in equilibrium_path(game.replace(log_reference=reference), [run.beta]):
                self._exact[game.actions] = (made - began, time.perf_counter() - made)

    def _game(self, run: Run) -> Game:
        """The game of a run, smaller where it is large; a reference from a file has one size."""
        if run.actions is not None and run.actions > _ACTIONS and run.reference.name in REFERENCES:
            run = dataclasses.replace(run, actions=_ACTIONS)
        game = run.make_game(self._settings.precision.dtype)
        if run.features is None:
            return game
        known = game.replace(log_reference=resolve_reference(run.reference, game, run.seed))
        return game.replace(features=resolve_features(*run.features, known, seed=run.game_key[2]))

    @contextmanager
    def _measuring(self) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.spent += time.perf_counter() - began


def _growth(run: Run, times: float) -> float:
    """How much longer a product with the margins of a run takes where n is so many times as large."""
    return times if run.storage == "lowrank" else times**2


def _columns(run: Run, n: int) -> float:
    """Multiplications for one entry of such a product."""
    return _growth(run, n) / n


def _lane(run: Run, game: Game) -> Lane:
    """A run as it is played, but from its reference and without an equilibrium to measure distances to."""
    reference = resolve_reference(run.reference, game, run.seed)
    unknown = None if run.storage == UNLISTED else np.full_like(reference, np.nan)
    start = reference if distance_of(run.start) is not None else None
    return Lane(run.played, run.beta, reference, unknown, run.seed, start, run.feedback)


_ORDER = ("game", "actions", "beta", "solver", "reference", "feedback", "policy", "optimiser")
"""The fields of a grid as one says them."""

_KEY = (
    "solver",
    "feedback",
    "policy",
    "optimiser",
    "target",
    "n",
    "contexts",
    "batch_size",
    "dtype",
    "device",
    "storage",
)
"""The columns that runs of one program have in common."""


def _row_key(run: Run, n: int, contexts: int, size: int, settings: Settings) -> tuple[Any, ...]:
    parts = (run.parts["feedback"], run.parts["policy"], run.parts["optimiser"], run.target)
    return (
        run.solver.name,
        *map(str, parts),
        n,
        contexts,
        size,
        settings.precision.dtype,
        settings.precision.device,
        run.storage,
    )


def _earlier(runs: pd.DataFrame) -> dict[tuple[Any, ...], tuple[float, float, float]]:
    """Seconds to compile and to solve, and the budget, at their most, by what runs of one program have in common."""
    grouped = runs.groupby(list(_KEY))[["compile_seconds", "solve_seconds", "budget"]].max()
    return {key: tuple(row) for key, row in zip(grouped.index, grouped.to_numpy(), strict=True)}
