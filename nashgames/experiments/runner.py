"""Planned runs → batches that share a compiled program → chunks → events: one runner for every command.

`play` makes the games of the runs, finds their equilibria and yields what happens, rows included; `execute` plays an
experiment into a results directory.
"""

import itertools
import math
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import jax
import numpy as np
import scipy

from nashgames.core.game import Game
from nashgames.core.metrics import OF_EQUILIBRIUM
from nashgames.engine.batch import Batch, Lane, placed_margins
from nashgames.engine.settings import Settings
from nashgames.environment import environment, now
from nashgames.errors import NashGamesError
from nashgames.exact.referee import Equilibrium, equilibrium_path, nearest
from nashgames.experiments.batches import MOST_BATCHES, batches_of, check_memory, game_chunks
from nashgames.experiments.events import Advanced, BatchFinished, Event, Finished, GameReady, Noted, Planned, Refereed
from nashgames.experiments.experiment import Experiment, content_hash
from nashgames.experiments.plan import GameKey, Run, distance_of, plan, plan_trials, settings_of
from nashgames.experiments.rows import Frames, frames_of
from nashgames.experiments.sources import ReferenceKey, Source
from nashgames.experiments.tuning import as_both, choose
from nashgames.games.properties import facts
from nashgames.games.references import resolve_reference
from nashgames.games.streams import stream
from nashgames.learning.features import resolve_features
from nashgames.store import Results

RESULTS = Path("results") / "runs"
_FAILURES = (jax.errors.JaxRuntimeError, MemoryError, NashGamesError)
"""What a batch may fail by while the others go on: too little memory, or a solver that reports what is not so."""
# While one batch runs, those that are alive beside it compile.
_COMPILERS = MOST_BATCHES - 1


def default_directory(experiment: Experiment) -> Path:
    """Where an experiment's results go: its name, or its games and a content hash."""
    if experiment.name is not None:
        return RESULTS / experiment.name
    games = {Path(text.partition("[")[0]).stem for text in experiment.every("game")}
    # Four hex digits tell the experiments on one game apart, 65,536 of them, and can be typed.
    return RESULTS / f"{games.pop() if len(games) == 1 else 'sweep'}-{content_hash(experiment.to_dict())[:4]}"


def execute(
    experiment: Experiment,
    directory: Path | None = None,
    *,
    force: bool = False,
    arguments: Sequence[str] | None = None,
) -> Generator[Event, None, None]:
    """Play an experiment and yield what happens; the last event is `Finished`.

    Where steps are tuned, the runs that try them come first, and a second `Planned` tells of those that are reported.
    Runs that `directory` already holds are reused unless `force`. What is finished is on disk whenever the iteration
    stops, also by KeyboardInterrupt. Raises NashGamesError for anything in the experiment that does not exist or fit.
    """
    settings = settings_of(experiment)
    settings.precision.jax_device()
    trials, untuned = plan_trials(experiment, settings)
    # As they were asked for: with the steps that are chosen they are as many.
    reported, notes = plan(experiment, settings)
    directory = directory or default_directory(experiment)
    ids = _ids(reported, trials)
    with Results.open(directory) as results:
        there: set[str] = set() if force else results.finished
        first = trials or reported
        check_memory([*trials, *reported], settings, there)
        batches = count_batches(first, settings, there)
        reused, equilibria = len(there & set(_ids(first))), count_equilibria(first, there)
        tried = tuple(sorted({run.seed for run in trials}))
        yield Planned(directory, len(ids), reused, batches, tuning=bool(trials), equilibria=equilibria, tried=tried)
        yield from map(Noted, [*notes, *untuned])
        results.begin(experiment.to_dict(), ids, environment(arguments) | settings.precision.description())
        for source in {run.source for run in reported}:
            if source.file is not None and source.fingerprint is not None:
                results.keep_game(source.fingerprint, source.file)
        failed, played = 0, set[str]()
        try:
            if trials:
                failed = yield from _play_into(results, trials, settings, there)
                chosen, ends = choose(trials, results.runs, results.curves)
                asked, (reported, after) = notes, plan(experiment, settings, chosen=chosen)
                reported = as_both(reported, trials)
                ids = results.manifest["run_ids"] = _ids(reported, trials)
                played = results.finished & set(_ids(trials))
                batches = count_batches(reported, settings, there | played)
                equilibria = count_equilibria(reported, there | played)
                reused = len(there & set(ids))
                yield Planned(directory, len(ids), reused, batches, equilibria=equilibria, tried=tried)
                yield from map(Noted, [*(note for note in after if note not in asked), *ends])
            results.relabel({run.run_id: run.told for run in [*trials, *reported]})
            failed += yield from _play_into(results, reported, settings, there | played)
        finally:
            if results.finished or directory.exists():
                results.flush()
        yield _finished(results, ids, len(there & set(ids)), failed)


def _ids(*several: Iterable[Run]) -> list[str]:
    """The ids of all these runs, each once, in their order."""
    return list(dict.fromkeys(run.run_id for runs in several for run in runs))


def _play_into(
    results: Results, runs: Sequence[Run], settings: Settings, done: Collection[str]
) -> Generator[Event, None, int]:
    """Play the runs that are not in `done`, keep their rows, and return how many have none because they failed."""
    failed = 0
    for event in play(runs, settings, done=done):
        if isinstance(event, Frames):
            results.add(event.runs, event.curves, event.policies, event.paths)
        elif isinstance(event, Failed):
            failed += event.runs
            yield Noted(event.text)
        else:
            yield event
    return failed


def _finished(results: Results, ids: Sequence[str], reused: int, failed: int) -> Finished:
    results.compact()
    frames = {name: getattr(results, name) for name in ("runs", "curves", "policies", "paths")}
    order = {run_id: position for position, run_id in enumerate(ids)}
    mine = {name: frame[frame["run_id"].isin(order)].reset_index(drop=True) for name, frame in frames.items()}
    mine["runs"] = mine["runs"].sort_values("run_id", key=lambda column: column.map(order), ignore_index=True)
    results.manifest["counts"] = {"runs": len(mine["runs"]), "reused": reused, "points": len(mine["curves"])}
    results.manifest["finished"] = now()
    results.flush()
    directory = results.directory
    files = tuple(path for name in frames if (path := directory / f"{name}.parquet").exists())
    return Finished(
        directory=directory, **mine, reused=reused, failed=failed, files=(*files, directory / "manifest.json")
    )


@dataclass(frozen=True)
class Failed:
    """A batch could not be played; its `runs` have no rows, and the others go on. `error` is what ended it."""

    text: str
    runs: int
    error: BaseException


def count_batches(runs: Sequence[Run], settings: Settings, done: Collection[str] = ()) -> int:
    """How many batches `play` will run."""
    chunks = game_chunks(runs, settings.precision.numpy.itemsize)
    return sum(len(batches_of(chunk, done)) for chunk in chunks)


def count_equilibria(runs: Sequence[Run], done: Collection[str] = ()) -> int:
    """How many equilibria `play` will look for: see `prepare`."""
    paths: dict[tuple[GameKey, ReferenceKey], list[Run]] = {}
    for run in runs:
        paths.setdefault((run.game_key, run.reference_key), []).append(run)
    return sum(len(_path_of(of_reference, done)) for of_reference in paths.values())


def _path_of(runs: Iterable[Run], done: Collection[str]) -> list[float]:
    """The β of the path that runs of one game and reference need, falling: down to the least that one is left at."""
    needed = [run.beta for run in runs if run.run_id not in done]
    return sorted({run.beta for run in runs if needed and run.beta >= min(needed)}, reverse=True)


def play(runs: Sequence[Run], settings: Settings, *, done: Collection[str] = ()) -> Iterator[Event | Frames | Failed]:
    """Play the runs that are not in `done`, and yield what happens: their rows are `Frames`, one for each batch.

    Batches are those of all `runs`, so that what is left of an interrupted sweep gives the bits of an undisturbed one.
    """
    session = _Session(settings, count_batches(runs, settings, done), done)
    chunks = game_chunks(runs, settings.precision.numpy.itemsize)
    show_facts = len({run.game_key for run in runs if run.run_id not in done}) == 1
    for chunk in chunks:
        batches = batches_of(chunk, done)
        if batches:
            yield from session.play(chunk, batches, show_facts=show_facts)


@dataclass(frozen=True)
class Prepared:
    """What a run is played on: its game, and the equilibrium of it with the run's reference and β, None where it is
    not looked for; where there are several, `nearest` gives that which is nearest to a policy."""

    game: Game
    log_reference: np.ndarray
    equilibrium: Equilibrium | None
    nearest: Callable[[np.ndarray], np.ndarray] | None = None


class _Games:
    """The games of a chunk on their device, their margins stacked once for all batches, with the features they need."""

    def __init__(self, games: Mapping[GameKey, Game], settings: Settings) -> None:
        self._games = games
        self._settings = settings
        self._features: dict[tuple[GameKey, tuple[str, int | None]], np.ndarray | None] = {}
        self._margins: dict[tuple[GameKey, ...], Any] = {}
        # Batches that compile beside each other ask at the same moment.
        self._lock = Lock()

    def of(self, run: Run) -> Game:
        """The game that a run plays."""
        game = self._games[run.game_key]
        if run.features is None:
            return game
        key = (run.game_key, run.features)
        with self._lock:
            if key not in self._features:
                self._features[key] = resolve_features(*run.features, game, seed=run.game_key[2])
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


def _start(run: Run, found: Equilibrium) -> np.ndarray | None:
    """log π_0 of a run that starts near the equilibrium: its logits moved by independent normal numbers."""
    distance = distance_of(run.start)
    if distance is None:
        return None
    if not found.converged:
        raise NashGamesError(
            f"start is '{run.start}', but the equilibrium of {run.source.text} at β = {run.beta:g} could be computed "
            f"only to a residual of {found.residual:.1e}; start at the reference"
        )
    if not np.isfinite(found.log_policy).all():
        raise NashGamesError(
            f"start is '{run.start}', but the equilibrium of {run.source.text} at β = 0 leaves actions out, whose "
            f"logits are −∞; start at the reference"
        )
    drawn = stream(run.seed, "start").standard_normal(found.log_policy.shape)
    return np.asarray(scipy.special.log_softmax(found.log_policy + distance * drawn, axis=-1))


class _Session:
    """The state of one `play`: batch numbers for the display, and which runs need no playing."""

    def __init__(self, settings: Settings, batches: int, done: Collection[str]) -> None:
        self._settings = settings
        self._batches = batches
        self._done = done
        self._numbers = itertools.count(1)

    def play(
        self, chunk: list[list[Run]], batches: list[list[list[Run]]], *, show_facts: bool
    ) -> Iterator[Event | Frames | Failed]:
        """Make the games of a chunk, find their equilibria, and run its batches."""
        needed = {run.game_key for batch in batches for lanes in batch for run in lanes}
        games: dict[GameKey, Game] = {}
        for runs in chunk:
            if runs[0].game_key in needed:
                games[runs[0].game_key] = runs[0].make_game(self._settings.precision.dtype)
        told: dict[Source, GameReady] = {}
        prepared: dict[str, Prepared] = {}
        for of_game in (runs for runs in chunk if runs[0].game_key in games):
            source, game = of_game[0].source, games[of_game[0].game_key]
            if source not in told:
                told[source] = game_ready(of_game[0], game, show_facts=show_facts)
                yield told[source]
            yield from prepare(game, of_game, told[source].title, prepared, self._done)
        first = next(iter(told.values()))
        title = first.title if len(told) == 1 else f"{len(games):,} games · {first.game.actions:,} actions"
        placed = _Games(games, self._settings)
        with ThreadPoolExecutor(_COMPILERS) as pool:
            waiting = iter(batches)
            alive: deque[Future[Batch]] = deque()
            try:
                for lanes in batches:
                    for following in itertools.islice(waiting, MOST_BATCHES - len(alive)):
                        alive.append(pool.submit(self._prepare, following, placed, prepared))
                    # The batch that is played is kept here alone, and goes when the next one is due.
                    yield from self._play_batch(alive.popleft(), lanes, placed, title, prepared)
            finally:
                # Whoever stops here does not wait for programs that nobody will run.
                for batch in alive:
                    batch.cancel()

    def _prepare(self, runs: list[list[Run]], games: _Games, prepared: Mapping[str, Prepared]) -> Batch:
        """The batch of these runs, compiled."""

        def lane(run: Run) -> Lane:
            ready = prepared[run.run_id]
            found = ready.equilibrium
            known = np.full_like(ready.log_reference, np.nan)
            if found is not None and found.converged and found.inside is None:
                known = found.log_policy
            start = ready.log_reference if distance_of(run.start) is not None else None
            if found is not None:
                start = _start(run, found)
            return Lane(
                run.played,
                run.beta,
                ready.log_reference,
                known,
                run.seed,
                start,
                run.feedback,
                idle=run.run_id in self._done,
                nearest=ready.nearest,
            )

        lanes = [[lane(run) for run in of_game] for of_game in runs]
        played = [games.of(of_game[0]) for of_game in runs]
        return Batch(played, lanes, self._settings, margins=games.margins([of_game[0] for of_game in runs]))

    def _play_batch(
        self,
        compiled: Future[Batch],
        runs: list[list[Run]],
        games: _Games,
        title: str,
        prepared: Mapping[str, Prepared],
    ) -> Iterator[Event | Frames | Failed]:
        """Run a batch; where that is not possible, its runs are counted as failed and the others go on."""
        try:
            yield from self._run_batch(compiled.result(), runs, games, title, prepared)
        except _FAILURES as error:
            left = sum(run.run_id not in self._done for of_game in runs for run in of_game)
            reason = (str(error) or type(error).__name__).splitlines()[0]
            yield Failed(f"{runs[0][0].solver.name} on {title} failed: {reason}", left, error)

    def _run_batch(
        self,
        batch: Batch,
        runs: list[list[Run]],
        games: _Games,
        title: str,
        prepared: Mapping[str, Prepared],
    ) -> Iterator[Event | Frames]:
        number = next(self._numbers)
        betas = tuple(dict.fromkeys(run.beta for of_game in runs for run in of_game))
        while not batch.finished:
            batch.advance()
            yield Advanced(
                batch=number,
                batches=self._batches,
                label=f"{batch.solver.name} · {title}",
                runs=batch.size,
                active=batch.active,
                queries=batch.step * batch.solver.queries_per_step,
                budget=batch.max_steps * batch.solver.queries_per_step,
                distance=batch.distance,
                seconds_left=batch.seconds_left,
                betas=betas,
            )
        unknown = Equilibrium(0.0, np.empty(0), np.nan, 0)
        equilibria = [[prepared[run.run_id].equilibrium or unknown for run in of_game] for of_game in runs]
        frames = frames_of(batch, [games.of(of_game[0]) for of_game in runs], runs, equilibria)
        yield frames
        yield BatchFinished(number, self._batches, frames.runs)


def game_ready(run: Run, game: Game, *, show_facts: bool) -> GameReady:
    """What is told of the game of a run once it is made."""
    title = f"{run.source.text} · {game.actions:,} actions"
    return GameReady(title, game, facts(game) if show_facts else None, game.description.notes)


def prepare(
    game: Game, runs: Sequence[Run], title: str, prepared: dict[str, Prepared], done: Collection[str] = ()
) -> Iterator[Event]:
    """Add what every run of a game is played on, by run id, before it is told; one warm-started path a reference serves
    every β, from the largest to the smallest.

    The path has every β of the reference down to the smallest that a run outside `done` needs: a warm start from
    another β would give other last digits, and what is left of a sweep those of an undisturbed one.
    """
    by_reference: dict[ReferenceKey, list[Run]] = {}
    for run in runs:
        by_reference.setdefault(run.reference_key, []).append(run)
    for of_reference in by_reference.values():
        log_reference = resolve_reference(of_reference[0].reference, game, of_reference[0].seed)
        betas = _path_of(of_reference, done)
        prepared |= {run.run_id: Prepared(game, log_reference, None) for run in of_reference}
        for found in equilibrium_path(game.replace(log_reference=log_reference), betas):
            at_beta = [run for run in of_reference if run.beta == found.beta]
            several = found.converged and found.inside is not None
            of_policy = nearest(game, found) if several and at_beta else None
            prepared |= {run.run_id: Prepared(game, log_reference, found, of_policy) for run in at_beta}
            yield Refereed(title, found)
            if several:
                measured = ", ".join(OF_EQUILIBRIUM)
                yield Noted(f"{title} has several equilibria at β = 0; {measured} are to that nearest to each policy")
            if not found.converged:
                yield Noted(f"{_flaw(title, found)}; {', '.join(OF_EQUILIBRIUM)} are left empty")


def _flaw(title: str, found: Equilibrium) -> str:
    """How far an equilibrium is from exact."""
    if found.beta == 0:
        nats = f"{found.error:.1e}" if math.isfinite(found.error) else "an unknown number of"
        return (
            f"the equilibrium of {title} at β = 0 could be computed only to a regret of {found.regret:.1e} and to "
            f"{nats} nats"
        )
    return (
        f"the equilibrium of {title} at β = {found.beta:g} could be computed only to a residual of "
        f"{found.residual:.1e} (max |log π − log BR(π)|)"
    )
