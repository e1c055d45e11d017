"""Batches played by many workers: on this machine, or on an engine of Dask that is already there.

The coordinator plans and hands out batches by their keys; a worker plans the same experiment, plays the batch it is
given with the runner of every other command, and writes its rows into the directory itself. Plan, batches, ids and bits
are those of one process. A worker that dies leaves its claim and its checkpoint behind: its batch is handed out again
and goes on.

Dask (the extra `workers`) moves texts and numbers alone: no object of ours, and no pickle of a results directory.
"""

import contextlib
import dataclasses
import json
import logging
import os
import queue
import time
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import pandas as pd

from nashgames import memory
from nashgames.engine import exported
from nashgames.engine.settings import Settings
from nashgames.errors import NashGamesError
from nashgames.experiments.batches import batches_of, game_chunks
from nashgames.experiments.events import Advanced, BatchFinished, Event, Noted, PlayedElsewhere
from nashgames.experiments.experiment import Experiment
from nashgames.experiments.plan import plan_trials, settings_of
from nashgames.experiments.playing import Chunk, Conditions, Failed, Lanes, Session, batch_key
from nashgames.experiments.rows import Frames
from nashgames.experiments.run import Run
from nashgames.experiments.shared import SharedDirectory, write_failures
from nashgames.experiments.tuning import stages
from nashgames.store import Results

_TOPIC = "nashgames"
_THIS_MACHINE = "127.0.0.1"
_EXTRA = "workers need Dask, which is not installed; install it with: pip install 'nashgames[workers]'"
# How often the coordinator looks for news.
_POLL_SECONDS = 0.1
# A scheduler on the network answers within seconds; one that starts with its job may take longer.
_PATIENCE_SECONDS = 30
# News from a worker, a second apart: a person sees no more, and a thousand workers stay silent enough.
_NEWS_SECONDS = 1.0

_CACHE = (
    "jax_enable_compilation_cache",
    "jax_compilation_cache_dir",
    "jax_persistent_cache_min_compile_time_secs",
    "jax_persistent_cache_min_entry_size_bytes",
)
"""What JAX is told of compiled programs that are kept."""

TRIALS, REPORTED = "trials", "reported"
"""What is played: the runs on which steps are tuned, or those that are reported."""


@dataclass(frozen=True)
class Task:
    """What workers play: a `stage` of an experiment, into a directory that they all reach by the same path."""

    directory: Path
    experiment: Experiment
    stage: str
    conditions: Conditions


@dataclass(frozen=True)
class Crew:
    """Who plays: a number of `workers` on this machine, or those of the `scheduler` at an address."""

    workers: int | None = None
    scheduler: str | None = None

    def check(self) -> None:
        """Raise NashGamesError where Dask is not installed."""
        _distributed()

    def play(
        self, task: Task, runs: Sequence[Run], settings: Settings, done: Collection[str]
    ) -> Generator[Event | Failed, None, int]:
        """Play the runs that are not in `done`; the number of those of whose failure a worker has written.

        Their rows are in the directory.
        """
        chunks = game_chunks(runs, settings.precision.numpy.itemsize)
        batches = {batch_key(lanes): lanes for chunk in chunks for lanes in batches_of(chunk, done)}
        if not batches:
            return 0
        told = {
            "directory": str(task.directory.absolute()),
            "folder": str(Path.cwd()),
            "experiment": json.dumps(task.experiment.to_dict()),
            "stage": task.stage,
            "conditions": dataclasses.asdict(task.conditions),
            "batches": len(batches),
            "programs": [str(place) for place in exported.folder],
        }
        with self._client(len(batches), settings.precision.device) as client:
            return (yield from _Coordinator(client, batches, set(done)).play(told))

    @contextlib.contextmanager
    def _client(self, batches: int, device: str) -> Iterator[Any]:
        """A client of the engine; one of this machine is made and closed again."""
        distributed = _distributed()
        if self.scheduler is not None:
            try:
                client = distributed.Client(self.scheduler, timeout=_PATIENCE_SECONDS, set_as_default=False)
            except (OSError, ValueError, TimeoutError) as error:
                raise NashGamesError(
                    f"scheduler is '{self.scheduler}', where no scheduler of Dask answers ({error}); give the address "
                    f"that 'dask scheduler' prints, such as tcp://127.0.0.1:8786"
                ) from error
            with client:
                _check_versions(client)
                yield client
            return
        assert self.workers is not None
        count = min(self.workers, batches)
        with (
            distributed.SpecCluster(
                workers={number: _worker(distributed, number, count, device) for number in range(count)},
                scheduler={
                    "cls": distributed.Scheduler,
                    "options": {"host": _THIS_MACHINE, "port": 0, "dashboard": False},
                },
                silence_logs=logging.CRITICAL,
            ) as cluster,
            distributed.Client(cluster, set_as_default=False) as client,
        ):
            yield client


def _distributed() -> Any:
    try:
        import distributed
    except ImportError as error:
        raise NashGamesError(_EXTRA) from error
    return distributed


def _worker(distributed: Any, number: int, count: int, device: str) -> Mapping[str, Any]:
    """One process with one thread, its share of the memory, and one GPU of its own."""
    environment = {"CUDA_VISIBLE_DEVICES": str(number)} if device == "gpu" else {}
    # They find the programs that this process keeps where JAX is told the same.
    told = {name: jax.config.values[name] for name in ("jax_platforms", *_CACHE)}
    environment |= {name.upper(): str(value) for name, value in told.items() if value is not None}
    # What workers have to say they tell the coordinator.
    environment["DASK_LOGGING__DISTRIBUTED"] = "critical"
    options = {
        "nthreads": 1,
        "host": _THIS_MACHINE,
        "silence_logs": logging.CRITICAL,
        "memory_limit": memory.room().free // count,
        "env": environment,
        "dashboard": False,
    }
    return {"cls": distributed.Nanny, "options": options}


def _check_versions(client: Any) -> None:
    """Raise NashGamesError unless every worker has the same nashgames, whose runs have the same ids and bits."""
    from importlib.metadata import version

    ours, theirs = version("nashgames"), client.run(_version)
    if not theirs:
        raise NashGamesError("the scheduler has no worker; start some, such as with: dask worker ADDRESS")
    if others := {address: told for address, told in theirs.items() if told != ours}:
        address, told = next(iter(others.items()))
        raise NashGamesError(
            f"the worker at {address} has {'no nashgames' if told is None else f'nashgames {told}'}, and here it is "
            f"{ours}; install the same version there"
        )


def _version() -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("nashgames")
    except PackageNotFoundError:
        return None


class _Coordinator:
    """Hands out batches, and turns what comes back into the events of every runner."""

    def __init__(self, client: Any, batches: Mapping[str, Lanes], done: set[str]) -> None:
        self._client, self._batches, self._done = client, batches, done
        self._news: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def play(self, task: Mapping[str, Any]) -> Generator[Event | Failed, None, int]:
        """Play all batches; the number of runs of whose failure a worker has written."""
        self._client.subscribe_topic(_TOPIC, lambda event: self._news.put(event[1]))
        futures = {}
        for number, (key, lanes) in enumerate(self._batches.items(), start=1):
            ids = [run.run_id for of_game in lanes for run in of_game if run.run_id in self._done]
            told = {**task, "batch": key, "number": number, "done": ids}
            futures[self._client.submit(play_batch, told, retries=0, pure=False)] = (key, number)
        failed = 0
        try:
            waiting = dict(futures)
            while waiting:
                time.sleep(_POLL_SECONDS)
                yield from self._told(task["batches"])
                for future in [future for future in waiting if future.done()]:
                    key, number = waiting.pop(future)
                    failed += yield from self._ended(future, self._batches[key], number, task["batches"])
            yield from self._told(task["batches"])
        finally:
            self._client.cancel(list(futures), force=True)
        return failed

    def _told(self, batches: int) -> Iterator[Event]:
        """What workers have told since the last look."""
        while not self._news.empty():
            news = dict(self._news.get())
            # Dask adds who tells it.
            if "note" in news:
                yield Noted(news["note"])
            else:
                yield Advanced(**news["advanced"] | {"batches": batches, "betas": tuple(news["advanced"]["betas"])})

    def _ended(self, future: Any, lanes: Lanes, number: int, batches: int) -> Generator[Event | Failed, None, int]:
        """A batch that came to its end; the number of its runs of whose failure the worker has written."""
        error = future.exception()
        if error is None:
            answer = future.result()
            if answer["runs"]:
                yield BatchFinished(number, batches, pd.DataFrame(answer["runs"]))
            else:
                yield PlayedElsewhere(number, batches, sum(map(len, lanes)) - answer["failed"])
            return int(answer["failed"])
        left = tuple(run for of_game in lanes for run in of_game if run.run_id not in self._done)
        what = f"{lanes[0][0].solver.name} on {lanes[0][0].source.text}"
        yield Failed(f"{what} failed in its worker: {error}", left, "failed", 1, error)
        return 0


def play_batch(task: Mapping[str, Any]) -> dict[str, Any]:
    """Play one batch in a worker, and write its rows; the label, queries and suboptimality of its runs."""
    os.chdir(task["folder"])
    # Where the coordinator keeps its own, and nowhere else: the compiler sees one text in every process.
    exported.keep_in(next(map(Path, task["programs"]), None))
    planned = _planned(task)
    games, lanes = planned.batches[task["batch"]]
    results = Results.open(Path(task["directory"]))
    session = Session(
        planned.settings,
        set(task["done"]),
        SharedDirectory(results),
        Conditions(**task["conditions"]),
        task["batches"],
        iter([task["number"]] * 2),
    )
    chunk = planned.chunk_of(games, session)
    found: dict[str, list[Any]] = {}
    failed, left, told = 0, [lanes], 0.0
    while left:
        for event in chunk.play(games, left):
            if isinstance(event, Frames):
                results.add(event.runs, event.curves, event.policies, event.paths)
                found = {name: event.runs[name].tolist() for name in ("label", "queries", "suboptimality")}
            elif isinstance(event, Failed):
                failed += len(event.runs)
                write_failures(results, planned.settings, event)
                _tell({"note": event.text})
            elif isinstance(event, Advanced) and time.monotonic() - told > _NEWS_SECONDS:
                _tell({"advanced": dataclasses.asdict(event)})
                told = time.monotonic()
        left, chunk.claimed_by_others = chunk.claimed_by_others, []
        if left:
            time.sleep(_NEWS_SECONDS)
    return {"runs": found, "failed": failed}


@dataclass
class _Planned:
    """The batches of an experiment by their keys, each with the games of its chunk; and the chunk that was last played,
    whose games and equilibria are there."""

    settings: Settings
    batches: Mapping[str, tuple[list[list[Run]], Lanes]]
    last: tuple[list[list[Run]], Chunk] | None = None

    def chunk_of(self, games: list[list[Run]], session: Session) -> Chunk:
        """The chunk of these games, made anew unless it was the last one."""
        if self.last is None or self.last[0] is not games:
            self.last = games, Chunk(session)
        self.last[1].session = session
        return self.last[1]


_last: dict[str, _Planned] = {}
"""The plan of the batch before: nearly always that of the next one."""


def _planned(task: Mapping[str, Any]) -> _Planned:
    text = json.dumps([task[key] for key in ("directory", "folder", "experiment", "stage")])
    if text not in _last:
        experiment = Experiment.from_dict(json.loads(task["experiment"]))
        settings = settings_of(experiment)
        if task["stage"] == TRIALS:
            runs, _ = plan_trials(experiment, settings)
        else:
            _, runs = stages(experiment, settings, Results.read(task["directory"]))
        chunks = game_chunks(runs, settings.precision.numpy.itemsize)
        _last.clear()
        _last[text] = _Planned(
            settings, {batch_key(lanes): (chunk, lanes) for chunk in chunks for lanes in batches_of(chunk)}
        )
    return _last[text]


def _tell(news: Mapping[str, Any]) -> None:
    """Send the coordinator something to show."""
    _distributed().get_worker().log_event(_TOPIC, dict(news))
