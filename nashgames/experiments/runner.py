"""Planned runs → batches that share a compiled program → chunks → events; finished runs reach the disk on the way."""

import itertools
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import jax
import numpy as np
import pandas as pd
from scipy.special import logsumexp

from nashgames.core.game import Game
from nashgames.engine.batch import Batch, Lane, Settings
from nashgames.environment import environment
from nashgames.errors import NashGamesError
from nashgames.exact.referee import Equilibrium, equilibrium_path
from nashgames.experiments.events import Advanced, BatchFinished, Event, Finished, GameReady, Noted, Planned, Refereed
from nashgames.experiments.experiment import Experiment, content_hash
from nashgames.experiments.plan import (
    GameKey,
    ReferenceKey,
    Run,
    batches_of,
    check_memory,
    distance_of,
    game_chunks,
    plan,
    settings_of,
)
from nashgames.experiments.rows import Frames, frames_of
from nashgames.games.properties import facts
from nashgames.games.references import resolve_reference
from nashgames.games.streams import stream
from nashgames.learning.features import resolve_features
from nashgames.store import Results

RESULTS = Path("results") / "runs"
_FLUSH_SECONDS = 5.0
_MACHINE = (jax.errors.JaxRuntimeError, MemoryError)
"""What a run may fail by through no fault of the program: the machine has too little of something."""
_COMPILERS = 2


def default_directory(experiment: Experiment) -> Path:
    """Where an experiment's results go: its name, or its games and a content hash."""
    if experiment.name is not None:
        return RESULTS / experiment.name
    games = {Path(text.partition("[")[0]).stem for text in experiment.every("game")}
    return RESULTS / f"{games.pop() if len(games) == 1 else 'sweep'}-{content_hash(experiment.to_dict())[:4]}"


def execute(
    experiment: Experiment,
    directory: Path | None = None,
    *,
    force: bool = False,
    arguments: Sequence[str] | None = None,
) -> Generator[Event, None, None]:
    """Play an experiment and yield what happens; the last event is `Finished`.

    Runs that `directory` already holds are reused unless `force`. What is finished is on disk whenever the iteration
    stops, also by KeyboardInterrupt. Raises NashGamesError for anything in the experiment that does not exist or fit.
    """
    settings = settings_of(experiment)
    settings.precision.jax_device()
    runs, notes = plan(experiment, settings)
    directory = directory or default_directory(experiment)
    ids = [run.identity.run_id for run in runs]
    with Results.open(directory) as results:
        done = set() if force else results.finished & set(ids)
        left = [run for run in runs if run.identity.run_id not in done]
        check_memory(left, settings)
        chunks = game_chunks(left, settings.precision.numpy.itemsize)
        batches = sum(len(batches_of(chunk)) for chunk in chunks)
        yield Planned(directory, len(runs), len(done), batches)
        yield from map(Noted, notes)
        results.begin(experiment.to_dict(), ids, environment(arguments) | settings.precision.description())
        _relabel(results, runs)
        session = _Session(settings, batches, show_facts=len({run.game_key for run in runs}) == 1)
        flushed = time.monotonic()
        try:
            for event in itertools.chain.from_iterable(map(session.play, chunks)):
                if isinstance(event, Frames):
                    results.add(event.runs, event.curves, event.policies, event.paths)
                    if time.monotonic() - flushed > _FLUSH_SECONDS:
                        results.flush()
                        flushed = time.monotonic()
                else:
                    yield event
        finally:
            if results.finished or directory.exists():
                results.flush()
        yield _finished(results, ids, len(done), session.failed)


def _relabel(results: Results, runs: Sequence[Run]) -> None:
    """Give the runs that are there the labels of this experiment: two of them may have shared one in earlier ones."""
    asked = {run.identity.run_id: run.identity for run in runs}
    rows = results.runs
    wanted = {
        name: [getattr(asked.get(run_id), name, stored) for run_id, stored in rows[["run_id", name]].to_numpy()]
        for name in ("label", "step_source")
    }
    stale = (pd.DataFrame(wanted, rows.index) != rows[[*wanted]]).any(axis=1)
    if stale.any():
        frames = (rows.assign(**wanted), results.curves, results.policies, results.paths)
        ids = rows["run_id"][stale]
        results.add(*(frame[frame["run_id"].isin(ids)] for frame in frames))


def _finished(results: Results, ids: Sequence[str], reused: int, failed: int) -> Finished:
    frames = {name: getattr(results, name) for name in ("runs", "curves", "policies", "paths")}
    order = {run_id: position for position, run_id in enumerate(ids)}
    mine = {name: frame[frame["run_id"].isin(order)].reset_index(drop=True) for name, frame in frames.items()}
    mine["runs"] = mine["runs"].sort_values("run_id", key=lambda column: column.map(order), ignore_index=True)
    results.manifest["counts"] = {"runs": len(mine["runs"]), "reused": reused, "points": len(mine["curves"])}
    results.manifest["finished"] = environment()["started"]
    results.flush()
    directory = results.directory
    files = tuple(path for name in frames if (path := directory / f"{name}.parquet").exists())
    return Finished(
        directory=directory, **mine, reused=reused, failed=failed, files=(*files, directory / "manifest.json")
    )


class _Games:
    """The games of a chunk on their device, with the features that a run's policy sees."""

    def __init__(self, games: Mapping[GameKey, Game]) -> None:
        self._games = games
        self._features: dict[tuple[GameKey, tuple[str, int | None]], np.ndarray | None] = {}

    def of(self, run: Run) -> Game:
        """The game that a run plays."""
        game = self._games[run.game_key]
        if run.features is None:
            return game
        key = (run.game_key, run.features)
        if key not in self._features:
            self._features[key] = resolve_features(*run.features, game, seed=run.game_key[2])
        return game.replace(features=self._features[key])


def _start(run: Run, found: Equilibrium) -> np.ndarray | None:
    """log π_0 of a run that starts near the equilibrium: its logits moved by independent normal numbers."""
    distance = distance_of(run.identity.start)
    if distance is None:
        return None
    if not found.converged:
        raise NashGamesError(
            f"start is '{run.identity.start}', but the equilibrium of {run.source.text} at "
            f"β = {run.identity.beta:g} is known to {found.residual:.1e} only; start at the reference"
        )
    drawn = stream(run.identity.seed, "start").standard_normal(found.log_policy.shape)
    logits = found.log_policy + distance * drawn
    return np.asarray(logits - logsumexp(logits, axis=-1, keepdims=True))


class _Session:
    """The state of one `execute`: batch numbers for the display, and how many runs failed."""

    def __init__(self, settings: Settings, batches: int, *, show_facts: bool) -> None:
        self.failed = 0
        self._settings = settings
        self._batches = batches
        self._show_facts = show_facts
        self._numbers = itertools.count(1)

    def play(self, chunk: list[list[Run]]) -> Iterator[Event | Frames]:
        """Make the games of a chunk, find their equilibria, and run every batch of solvers on them."""
        games = []
        for runs in chunk:
            source, actions, seed, beta = runs[0].game_key
            games.append(source.make(actions, seed, beta or runs[0].identity.beta, self._settings.precision.dtype))
        title = f"{chunk[0][0].source.text} · {games[0].actions:,} actions"
        shown = facts(games[0]) if self._show_facts else None
        yield GameReady(title, games[0], shown, games[0].description.notes)
        referees: dict[str, Equilibrium] = {}
        references: dict[str, np.ndarray] = {}
        for game, runs in zip(games, chunk, strict=True):
            yield from self._referee(game, runs, title, references, referees)
        try:
            with self._settings.precision.scope():
                # Placed once: every batch of the chunk reads the same margins.
                placed = [game.replace(margins=jax.device_put(game.margins)) for game in games]
        except _MACHINE as error:
            yield self._fail(chunk, title, error)
            return
        by_key = _Games({runs[0].game_key: game for game, runs in zip(placed, chunk, strict=True)})
        batches = batches_of(chunk)
        with ThreadPoolExecutor(_COMPILERS) as pool:
            prepared = [pool.submit(self._prepare, lanes, by_key, references, referees) for lanes in batches]
            try:
                for lanes, batch in zip(batches, prepared, strict=True):
                    yield from self._play_batch(batch, lanes, by_key, title, referees)
            finally:
                # Whoever stops here does not wait for programs that nobody will run.
                for batch in prepared:
                    batch.cancel()

    def _referee(
        self,
        game: Game,
        runs: list[Run],
        title: str,
        references: dict[str, np.ndarray],
        referees: dict[str, Equilibrium],
    ) -> Iterator[Event]:
        """Fill in, by run id, log μ and π*_β; one warm-started path a reference serves every β."""
        paths: dict[ReferenceKey, dict[float, Equilibrium]] = {}
        resolved: dict[ReferenceKey, np.ndarray] = {}
        for run in runs:
            identity = run.identity
            key = run.reference_key
            if key not in paths:
                log_reference = resolve_reference(identity.reference, game, identity.seed)
                betas = {r.identity.beta for r in runs if r.reference_key == key}
                paths[key], resolved[key] = {}, log_reference
                for found in equilibrium_path(game.replace(log_reference=log_reference), sorted(betas)):
                    paths[key][found.beta] = found
                    yield Refereed(title, found.beta, found.residual)
                    if not found.converged:
                        yield Noted(
                            f"the equilibrium of {title} at β = {found.beta:g} is known to {found.residual:.1e} in "
                            f"log-probabilities only: distances to it are left empty"
                        )
            references[identity.run_id] = resolved[key]
            referees[identity.run_id] = paths[key][identity.beta]

    def _prepare(
        self,
        runs: list[list[Run]],
        games: "_Games",
        references: Mapping[str, np.ndarray],
        referees: Mapping[str, Equilibrium],
    ) -> Batch:
        """The batch of these runs, compiled."""

        def lane(run: Run) -> Lane:
            identity = run.identity
            found = referees[identity.run_id]
            known = found.log_policy if found.converged else np.full_like(found.log_policy, np.nan)
            start = _start(run, found)
            return Lane(identity.solver, identity.beta, references[identity.run_id], known, identity.seed, start)

        lanes = [[lane(run) for run in of_game] for of_game in runs]
        return Batch([games.of(of_game[0]) for of_game in runs], lanes, self._settings)

    def _play_batch(
        self,
        prepared: Future[Batch],
        runs: list[list[Run]],
        games: "_Games",
        title: str,
        referees: Mapping[str, Equilibrium],
    ) -> Iterator[Event | Frames]:
        """Run a batch; where the machine cannot, its runs are counted as failed."""
        try:
            yield from self._run_batch(prepared.result(), runs, games, title, referees)
        except _MACHINE as error:
            yield self._fail(runs, f"{runs[0][0].identity.solver.name} on {title}", error)

    def _fail(self, runs: list[list[Run]], what: str, error: BaseException) -> Noted:
        self.failed += sum(map(len, runs))
        reason = (str(error) or type(error).__name__).splitlines()[0]
        return Noted(f"{what} failed: {reason}")

    def _run_batch(
        self,
        batch: Batch,
        runs: list[list[Run]],
        games: "_Games",
        title: str,
        referees: Mapping[str, Equilibrium],
    ) -> Iterator[Event | Frames]:
        number = next(self._numbers)
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
                suboptimality=batch.suboptimality,
                seconds_left=batch.seconds_left,
            )
        identities = [[run.identity for run in of_game] for of_game in runs]
        equilibria = [[referees[run.identity.run_id] for run in of_game] for of_game in runs]
        frames = frames_of(batch, [games.of(of_game[0]) for of_game in runs], identities, equilibria)
        yield frames
        yield BatchFinished(number, self._batches, frames.runs)
