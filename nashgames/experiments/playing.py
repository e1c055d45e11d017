"""Planned runs → batches that share a compiled program → chunks → events: the one way in which runs are played.

`play` makes the games of the runs, finds their equilibria and yields what happens, rows included. What goes wrong with
a game or a batch is told, and the others go on.
"""

import itertools
import time
from collections import deque
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.metadata import version
from threading import Lock
from typing import Any, Protocol

import jax
import numpy as np

from nashgames.core.game import Game
from nashgames.core.next_tokens import Chains
from nashgames.engine.batch import Batch, Lane, placed_margins
from nashgames.engine.settings import Settings
from nashgames.errors import NashGamesError
from nashgames.exact.referee import Equilibrium
from nashgames.experiments.batches import MOST_BATCHES, batches_at_once, batches_of, game_chunks, shared_features
from nashgames.experiments.events import Advanced, BatchFinished, Event, GameReady, Noted, PlayedElsewhere, Waiting
from nashgames.experiments.experiment import content_hash
from nashgames.experiments.preparing import NO_PATHS, Prepared, game_ready, paths_together, prepare, start_of
from nashgames.experiments.rows import Frames, Told, frames_of
from nashgames.experiments.run import GameKey, Run, distance_of
from nashgames.experiments.sources import Source
from nashgames.learning.features import check_fits, resolve_features

# While one batch runs, those that are alive beside it compile.
_COMPILERS = MOST_BATCHES - 1
# Whoever is killed loses half a minute at most: this, and the chunk or the file that was not finished.
_CHECKPOINT_SECONDS = 20.0
# Bytes of a batch at its end that are kept for a larger budget, at most; 2,500 runs on ten actions take 5 million.
_LARGEST_END = 64_000_000
# What is kept in its place where the steps themselves depend on the budget.
_FOLLOWS_BUDGET = b"the steps follow the budget"
# Numbers of the margins of games whose equilibria are found together, and such games, at most: a tenth of a second.
_TOGETHER, _MOST_TOGETHER = 2**20, 1000
# How often a batch that another process plays is asked for.
_POLL_SECONDS = 1.0

# It reads files, and every batch asks for it several times.
_version = cache(version)

Lanes = list[list[Run]]
"""The runs of a batch, `[G][B]`."""


@dataclass(frozen=True)
class Conditions:
    """What is done about runs that do not end well.

    The runs of a batch that are not finished after `timeout` seconds of solving are given up, and a batch that fails by
    anything but what it was given is played again up to `retries` times.
    """

    timeout: float | None = None
    retries: int = 0


USUAL = Conditions()


class Shared(Protocol):
    """What processes that play the same batches tell each other; a batch is known by 12 hex digits."""

    def claim(self, batch: str) -> tuple[set[str], bytes | None] | None:
        """Take the batch, unless another process has it: then None. With it come the runs that others have finished by
        now, and how far the batch was when it was last kept."""

    def release(self, batch: str, *, finished: bool = False) -> None:
        """Give a batch back, once or more often; the checkpoint of one that is finished goes."""

    def keep(self, batch: str, data: bytes) -> None:
        """Keep how far the batch is."""

    def ended(self, batch: str) -> bytes | None:
        """How a batch ended that used up its budget; `batch` is what it has in common with those of other budgets."""

    def keep_end(self, batch: str, data: bytes) -> None:
        """Keep how a batch ended."""


class Alone:
    """Nobody else plays, and nothing is kept."""

    def claim(self, batch: str) -> tuple[set[str], bytes | None] | None:
        return set(), None

    def release(self, batch: str, *, finished: bool = False) -> None:
        pass

    def keep(self, batch: str, data: bytes) -> None:
        pass

    def ended(self, batch: str) -> bytes | None:
        return None

    def keep_end(self, batch: str, data: bytes) -> None:
        pass


@dataclass(frozen=True)
class Failed:
    """`runs` that could not be played, in so many `attempts`; the others go on.

    The `status` is failed, or timeout for runs that took too long; `error` is what ended them.
    """

    text: str
    runs: tuple[Run, ...]
    status: str
    attempts: int
    error: Exception
    of_input: bool = False
    """Whether no game, or no reference for it, can be made of what was given."""


def batch_key(lanes: Lanes) -> str:
    """What a batch is known by: its runs, in their places, and the programs that its bits come from."""
    ids, widths = [run.run_id for of_game in lanes for run in of_game], [*map(len, lanes)]
    return content_hash({"runs": ids, "widths": widths, **_programs()})


def steps_key(lanes: Lanes) -> str:
    """What a batch has in common with those of the same runs under other budgets, whose steps are the same."""
    steps, widths = [[run.steps_key, run.seed] for of_game in lanes for run in of_game], [*map(len, lanes)]
    return content_hash({"steps": steps, "widths": widths, **_programs()})


def _programs() -> dict[str, str]:
    return {name: _version(name) for name in ("nashgames", "jax")}


def count_batches(runs: Sequence[Run], settings: Settings, done: Collection[str] = ()) -> int:
    """How many batches `play` will run."""
    chunks = game_chunks(runs, settings.precision.numpy.itemsize)
    return sum(len(batches_of(chunk, done)) for chunk in chunks)


def play(
    runs: Sequence[Run],
    settings: Settings,
    *,
    done: Collection[str] = (),
    shared: Shared | None = None,
    conditions: Conditions = USUAL,
) -> Generator[Event | Frames | Failed, None, None]:
    """Play the runs that are not in `done`, and yield what happens: their rows are `Frames`, one for each batch.

    Batches are those of all `runs`, so that what is left of an interrupted sweep gives the bits of an undisturbed one.
    A batch that another process has claimed in `shared` is left to it, and played here if it is given up.
    """
    show_facts = len({run.game_key for run in runs if run.run_id not in done}) == 1
    left = [(chunk, batches_of(chunk, done)) for chunk in game_chunks(runs, settings.precision.numpy.itemsize)]
    count = sum(len(batches) for _, batches in left)
    session = Session(settings, set(done), shared or Alone(), conditions, count, itertools.count(1))
    while left:
        waiting = []
        for games, batches in left:
            chunk = Chunk(session)
            yield from chunk.play(games, batches, show_facts=show_facts)
            if chunk.claimed_by_others:
                waiting.append((games, chunk.claimed_by_others))
        left = waiting
        if left:
            yield Waiting(sum(len(batches) for _, batches in left))
            time.sleep(_POLL_SECONDS)


@dataclass
class Session:
    """What all chunks of one `play` share; `done` grows by what other processes finish."""

    settings: Settings
    done: set[str]
    shared: Shared
    conditions: Conditions
    batches: int
    numbers: Iterator[int]
    told: set[str] = field(default_factory=set)
    """What was said of how batches begin."""


class _Placed:
    """The games of a chunk on their device, their margins stacked once for all batches, with the features they need."""

    def __init__(self, games: Mapping[GameKey, Game], settings: Settings) -> None:
        self._games = games
        self._settings = settings
        self._features: dict[tuple[Any, ...], Any] = {}
        self._margins: dict[tuple[GameKey, ...], Any] = {}
        # Batches that compile beside each other ask at the same moment.
        self._lock = Lock()

    def of(self, run: Run, log_reference: np.ndarray) -> Game:
        """The game that a run plays beside a reference."""
        game = self._games[run.game_key]
        if run.features is None:
            return game
        key = (run.game_key, run.features, shared_features(run))
        with self._lock:
            if key not in self._features:
                known = game.replace(log_reference=log_reference)
                self._features[key] = resolve_features(*run.features, known, seed=run.game_key[2])
        return game.replace(features=self._features[key])

    def margins(self, runs: Sequence[Run]) -> Any:
        """The margins of the games of these runs, one each, as those of a batch; placed once."""
        keys = tuple(run.game_key for run in runs)
        with self._lock:
            if keys not in self._margins:
                games = [self._games[key] for key in keys]
                with self._settings.precision.scope():
                    self._margins[keys] = placed_margins(games, self._settings.precision)
            return self._margins[keys]


class Chunk:
    """Games of one shape that are alive together, and the batches that are played on them."""

    def __init__(self, session: Session) -> None:
        self.claimed_by_others: list[Lanes] = []
        self.session = session
        self._games: dict[GameKey, Game] = {}
        self._lost = set[GameKey]()
        self._prepared: dict[str, Prepared] = {}
        self._titles: dict[Source, GameReady] = {}
        self._placed = _Placed(self._games, session.settings)
        self._told = Told()
        # What was kept of the batches that are ours.
        self._claimed: dict[str, bytes | None] = {}
        # What is said of those that go on from the end of a smaller budget, or cannot.
        self._begins: dict[str, str] = {}

    def play(
        self, games: list[list[Run]], batches: Sequence[Lanes], *, show_facts: bool = False
    ) -> Iterator[Event | Frames | Failed]:
        """Run the batches that nobody else has claimed, each once its games and their equilibria are there."""
        of_game = {runs[0].game_key: runs for runs in games}
        waiting, alive = deque(batches), deque[tuple[Lanes, Future[Batch]]]()
        with ThreadPoolExecutor(_COMPILERS) as pool:
            try:
                while waiting or alive:
                    # How many fit beside the games is known once these are made.
                    while waiting and (not alive or len(alive) < batches_at_once(batches, self.session.settings)):
                        lanes = yield from self._begin(waiting.popleft(), of_game, show_facts=show_facts)
                        if lanes is not None:
                            alive.append((lanes, pool.submit(self._compiled, lanes)))
                    if alive:
                        # The batch that is played is kept here alone, and goes when the next one is due.
                        yield from self._play_batch(*alive.popleft())
            finally:
                # Whoever stops here does not wait for programs that nobody will run.
                for _, batch in alive:
                    batch.cancel()
                for key in self._claimed:
                    self.session.shared.release(key)
                self._claimed.clear()

    def _begin(
        self, lanes: Lanes, of_game: Mapping[GameKey, list[Run]], *, show_facts: bool
    ) -> Generator[Event | Failed, None, Lanes | None]:
        """Claim a batch and prepare its games; None where there is nothing to play."""
        session, key = self.session, batch_key(lanes)
        claimed = session.shared.claim(key)
        if claimed is None:
            self.claimed_by_others.append(lanes)
            return None
        others, self._claimed[key] = claimed
        session.done |= others
        if not _left(lanes, session.done):
            session.shared.release(key, finished=True)
            yield PlayedElsewhere(next(session.numbers), session.batches, sum(map(len, lanes)))
            return None
        wanted = [runs[0].game_key for runs in lanes]
        missing = [game for game in wanted if game not in self._games and game not in self._lost]
        first = lanes[0][0]
        numbers = (first.actions or _TOGETHER) ** 2 * first.source.contexts
        at_once = max(1, min(_TOGETHER // max(numbers, 1), _MOST_TOGETHER))
        for start in range(0, len(missing), at_once):
            some = [of_game[game] for game in missing[start : start + at_once]]
            yield from self._prepare(some, show_facts=show_facts)
        rest = [runs for runs in lanes if runs[0].game_key in self._games] if self._lost else lanes
        if len(rest) == len(lanes):
            return lanes
        session.shared.release(key)
        # Without the games that could not be made it is another batch, of other bits.
        if not _left(rest, session.done):
            next(session.numbers)
            return None
        claimed = session.shared.claim(batch_key(rest))
        if claimed is None:
            self.claimed_by_others.append(rest)
            return None
        _, self._claimed[batch_key(rest)] = claimed
        return rest

    def _prepare(self, games: Sequence[list[Run]], *, show_facts: bool) -> Iterator[Event | Failed]:
        """Make games and find their equilibria; where that is not possible, the runs of a game have failed."""
        session, made = self.session, list[tuple[Game, list[Run]]]()
        for runs in games:
            first = runs[0]
            try:
                game = first.make_game(session.settings.precision.dtype)
                for run in {id(run.solver): run for run in runs}.values():
                    if run.features is not None:
                        check_fits(*run.features, game)
                if first.source not in self._titles:
                    ready = self._titles[first.source] = game_ready(first, game, show_facts=show_facts)
                    yield ready
                made.append((game, runs))
            except Exception as error:
                yield self._without(runs, error)
        paths = NO_PATHS
        if len(made) > 1:
            # What goes wrong with one of them is found out game by game.
            with suppress(Exception):
                paths = paths_together(made, session.done)
        for game, runs in made:
            try:
                yield from prepare(game, runs, self._titles[runs[0].source].title, self._prepared, session.done, paths)
                self._games[runs[0].game_key] = game
            except Exception as error:
                yield self._without(runs, error)

    def _without(self, runs: list[Run], error: Exception) -> Failed:
        """The runs of a game that cannot be played."""
        self._lost.add(runs[0].game_key)
        failed = _failed(f"{runs[0].source.text} failed", [runs], self.session.done, error)
        return replace(failed, of_input=isinstance(error, NashGamesError))

    def _compiled(self, runs: Lanes) -> Batch:
        """The batch of these runs, compiled, and as far as it was kept."""

        def lane(run: Run) -> Lane:
            ready = self._prepared[run.run_id]
            found = ready.equilibrium
            if found is not None and found.converged and found.inside is None:
                known = found.log_policy
            else:
                unlisted = isinstance(ready.log_reference, Chains)
                like = found and found.log_policy if unlisted else ready.log_reference
                known = jax.tree.map(lambda values: np.full_like(values, np.nan), like)
            start = None
            if distance_of(run.start) is not None:
                start = ready.log_reference if found is None else start_of(run, found)
            return Lane(
                run.played,
                run.beta,
                ready.log_reference,
                known,
                run.seed,
                start,
                run.feedback,
                idle=run.run_id in self.session.done,
                nearest=ready.nearest,
            )

        lanes = [[lane(run) for run in of_game] for of_game in runs]
        firsts = [of_game[0] for of_game in runs]
        played = [self._placed.of(run, self._prepared[run.run_id].log_reference) for run in firsts]
        margins = self._placed.margins(firsts)
        batch = Batch(played, lanes, self.session.settings, margins=margins)
        kept = self._claimed[batch_key(runs)]
        # It is needed no more, unless the batch is tried again.
        self._claimed[batch_key(runs)] = kept if self.session.conditions.retries else None
        if kept is None or not batch.restore(kept):
            # A short batch is compiled in another way, of other bits.
            ended = None if batch.is_short else self.session.shared.ended(steps_key(runs))
            if ended == _FOLLOWS_BUDGET:
                self._begins[batch_key(runs)] = (
                    f"{batch.solver.name} starts again: its step falls over the whole budget"
                )
            elif ended is not None and batch.go_on(ended):
                goes_on = f"{batch.solver.name} goes on from step {batch.step:,}, the end of a budget"
                self._begins[batch_key(runs)] = goes_on
        return batch

    def _keep_end(self, batch: Batch, runs: Lanes) -> Iterator[Noted]:
        """Keep a batch that has used up its budget for one with a larger one."""
        if not batch.used_up:
            return
        ended = _FOLLOWS_BUDGET if batch.follows_budget else batch.ended(_LARGEST_END)
        if ended is None:
            return
        try:
            self.session.shared.keep_end(steps_key(runs), ended)
        except NashGamesError as error:
            # Its rows are on the disk, and nothing but this is missing.
            yield Noted(f"a larger budget will begin again: {error}")

    def _play_batch(self, lanes: Lanes, compiled: Future[Batch]) -> Iterator[Event | Frames | Failed]:
        """Run a batch, again where it failed and that may help; its runs that cannot be finished have failed."""
        session, number = self.session, next(self.session.numbers)
        first, finished = next(iter(self._titles.values())), False
        several = f"{len(self._games):,} games · {first.game.actions:,} actions"
        title = first.title if len(self._titles) == 1 else several
        what = f"{lanes[0][0].solver.name} on {title}"
        try:
            for attempt in itertools.count(1):
                try:
                    batch = compiled.result() if attempt == 1 else self._compiled(lanes)
                    finished = yield from self._run_batch(batch, lanes, number, title)
                    return
                except Exception as error:
                    if isinstance(error, NashGamesError) or attempt > session.conditions.retries:
                        yield _failed(f"{what} failed", lanes, session.done, error, attempts=attempt)
                        return
                    again = f"it is tried again, {attempt} of {session.conditions.retries} times"
                    yield Noted(f"{what} failed: {_reason(error)}; {again}")
        finally:
            session.shared.release(batch_key(lanes), finished=finished)

    def _run_batch(
        self, batch: Batch, runs: Lanes, number: int, title: str
    ) -> Generator[Event | Frames | Failed, None, bool]:
        """Run a batch to its end, or to that of its time; whether all its runs are finished."""
        session, key = self.session, batch_key(runs)
        betas = tuple(dict.fromkeys(run.beta for of_game in runs for run in of_game))
        begins = self._begins.pop(key, None)
        if begins is not None and begins not in session.told:
            session.told.add(begins)
            yield Noted(begins)
        kept, timeout = time.monotonic(), session.conditions.timeout
        while not batch.finished and (timeout is None or batch.solve_seconds <= timeout):
            batch.advance()
            yield Advanced(
                batch=number,
                batches=session.batches,
                label=f"{batch.solver.name} · {title}",
                runs=batch.size,
                active=batch.active,
                queries=batch.step * batch.solver.queries_per_step,
                budget=batch.max_steps * batch.solver.queries_per_step,
                distance=batch.distance,
                seconds_left=batch.seconds_left,
                betas=betas,
            )
            if time.monotonic() - kept > _CHECKPOINT_SECONDS:
                session.shared.keep(key, batch.saved())
                kept = time.monotonic()
        unfinished = [] if batch.finished else _those(runs, batch.running)
        # A batch that is finished has rows of all its runs.
        wanted = {run.run_id for run in _those(runs)} - {run.run_id for run in unfinished} if unfinished else None
        unknown = Equilibrium(0.0, np.empty(0), np.nan, 0)
        equilibria = [[self._prepared[run.run_id].equilibrium or unknown for run in of_game] for of_game in runs]
        games = [self._games[of_game[0].game_key] for of_game in runs]
        frames = frames_of(batch, games, runs, equilibria, wanted, self._told)
        if len(frames.runs):
            yield frames
        if unfinished:
            # A longer timeout goes on from here.
            session.shared.keep(key, batch.saved())
            took = TimeoutError(f"not finished after {timeout:g} s of solving, at step {batch.step:,}")
            what = f"{batch.solver.name} on {title} was given up"
            yield _failed(what, [unfinished], session.done, took, status="timeout")
        yield BatchFinished(number, session.batches, frames.runs)
        # A short batch costs less than it would keep.
        if not (unfinished or batch.is_short):
            yield from self._keep_end(batch, runs)
        return not unfinished


def _those(lanes: Lanes, chosen: Sequence[Sequence[bool]] | None = None) -> list[Run]:
    """The runs of a batch, those alone that are chosen where that is given."""
    return [
        run
        for place, of_game in enumerate(lanes)
        for lane, run in enumerate(of_game)
        if chosen is None or chosen[place][lane]
    ]


def _left(lanes: Lanes, done: Collection[str]) -> list[Run]:
    """The runs of a batch that are not done."""
    return [run for of_game in lanes for run in of_game if run.run_id not in done]


def _failed(
    what: str,
    lanes: Lanes,
    done: Collection[str],
    error: Exception,
    *,
    status: str = "failed",
    attempts: int = 1,
) -> Failed:
    return Failed(f"{what}: {_reason(error)}", tuple(_left(lanes, done)), status, attempts, error)


def _reason(error: Exception) -> str:
    """An error in a line."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
