"""An experiment played into a results directory: what is there is reused, what is finished is kept."""

import contextlib
from collections.abc import Collection, Generator, Iterable, Iterator, Sequence
from pathlib import Path

import pandas as pd

from nashgames.environment import environment, now
from nashgames.experiments.batches import check_memory
from nashgames.experiments.events import Event, Finished, Noted, Planned
from nashgames.experiments.experiment import Experiment, content_hash
from nashgames.experiments.plan import plan, plan_trials, settings_of
from nashgames.experiments.playing import USUAL, Conditions, Failed, count_batches, play
from nashgames.experiments.preparing import count_equilibria
from nashgames.experiments.rows import Frames
from nashgames.experiments.run import Run
from nashgames.experiments.shared import SharedDirectory, write_failures
from nashgames.experiments.tuning import as_both, choose
from nashgames.experiments.workers import REPORTED, TRIALS, Crew, Task
from nashgames.store import Progress, Results

RESULTS = Path("results") / "runs"


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
    conditions: Conditions = USUAL,
    crew: Crew | None = None,
) -> Generator[Event, None, None]:
    """Play an experiment and yield what happens; the last event is `Finished`.

    Where steps are tuned, the runs that try them come first, and a second `Planned` tells of those that are reported.
    Runs that `directory` already holds are reused unless `force`; those that failed are tried again. What is finished
    is on disk whenever the iteration stops, also by KeyboardInterrupt. Raises NashGamesError for anything in the
    experiment that does not exist or fit, also where that is all that can be said of it. A `crew` of workers plays in
    the place of this process.
    """
    if crew is not None:
        crew.check()
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
        lost = ["the manifest was lost and is made again from the results beside it"] if results.rebuilt else []
        yield from map(Noted, [*lost, *notes, *untuned])
        results.begin(experiment.to_dict(), ids, environment(arguments) | settings.precision.description())
        for source in {run.source for run in reported}:
            if source.file is not None and source.fingerprint is not None:
                results.keep_game(source.fingerprint, source.file)
        playing, played = _Playing(results, experiment, conditions, crew), set[str]()
        try:
            if trials:
                yield from playing.play(TRIALS, trials, there)
                chosen, ends = choose(trials, results.runs, results.curves)
                asked, (reported, after) = notes, plan(experiment, settings, chosen=chosen)
                reported = as_both(reported, trials)
                ids = results.manifest["run_ids"] = _ids(reported, trials)
                results.flush()
                played = results.finished & set(_ids(trials))
                batches = count_batches(reported, settings, there | played)
                equilibria, reused = count_equilibria(reported, there | played), len(there & set(ids))
                yield Planned(directory, len(ids), reused, batches, equilibria=equilibria, tried=tried)
                yield from map(Noted, [*(note for note in after if note not in asked), *ends])
            results.relabel({run.run_id: run.told for run in [*trials, *reported]})
            yield from playing.play(REPORTED, reported, there | played)
            playing.refuse_mistakes()
        finally:
            results.discard_if_empty()
        yield _finished(results, ids, len(there & set(ids)), playing.failed)


class _Playing:
    """Runs that are played into a directory: rows and failures are written as they come."""

    def __init__(self, results: Results, experiment: Experiment, conditions: Conditions, crew: Crew | None) -> None:
        self.failed = 0
        self._results, self._experiment, self._conditions, self._crew = results, experiment, conditions, crew
        self._settings = settings_of(experiment)
        # Nothing is written of a command of which nothing but mistakes in its input can be told.
        self._untold: list[Failed] = []
        self._played = bool(results.finished)

    def play(self, stage: str, runs: Sequence[Run], done: Collection[str]) -> Generator[Event, None, None]:
        """Play the runs of a stage that are not in `done`."""
        with contextlib.closing(self._events(stage, runs, done)) as events:
            for event in events:
                if isinstance(event, Frames):
                    self._results.add(event.runs, event.curves, event.policies, event.paths)
                    self._played = True
                elif isinstance(event, Failed):
                    self.failed += len(event.runs)
                    self._untold.append(event)
                else:
                    yield event
                if self._played or not self._all_mistakes():
                    yield from self._tell()

    def _events(
        self, stage: str, runs: Sequence[Run], done: Collection[str]
    ) -> Generator[Event | Frames | Failed, None, None]:
        if self._crew is None:
            shared = SharedDirectory(self._results)
            yield from play(runs, self._settings, done=done, shared=shared, conditions=self._conditions)
            return
        # Workers write their rows and failures themselves.
        self._played = True
        self._results.mark()
        task = Task(self._results.directory, self._experiment, stage, self._conditions)
        self.failed += yield from self._crew.play(task, runs, self._settings, done)
        self._results.look_again()

    def refuse_mistakes(self) -> None:
        """Raise what the one thing that was asked for failed by, where that is a mistake in the input."""
        if self._all_mistakes():
            raise self._untold[0].error

    def _all_mistakes(self) -> bool:
        return bool(self._untold) and all(failed.of_input for failed in self._untold) and not self._played

    def _tell(self) -> Iterator[Noted]:
        """Write the failures that are not yet written, and say them."""
        told, self._untold = self._untold, []
        for failed in told:
            yield Noted(failed.text)
            write_failures(self._results, self._settings, failed)


def _ids(*several: Iterable[Run]) -> list[str]:
    """The ids of all these runs, each once, in their order."""
    return list(dict.fromkeys(run.run_id for runs in several for run in runs))


def _finished(results: Results, ids: Sequence[str], reused: int, failed: int) -> Finished:
    Progress(results.directory).sweep()
    results.compact()
    results.look_again()
    order = {run_id: position for position, run_id in enumerate(ids)}
    beside = not results.finished <= order.keys()

    def rows(name: str) -> pd.DataFrame:
        """The rows that a table has of the runs alone."""
        frame: pd.DataFrame = getattr(results, name)
        return frame[frame["run_id"].isin(order)].reset_index(drop=True) if beside else frame

    runs = rows("runs").sort_values("run_id", key=lambda column: column.map(order), ignore_index=True)
    points = results.points_of(order)
    results.manifest["counts"] = {"runs": len(runs), "reused": reused, "points": points}
    results.manifest["finished"] = now()
    results.flush()
    directory = results.directory
    tables = ("runs", "curves", "policies", "paths", "failures")
    files = tuple(path for name in tables if (path := directory / f"{name}.parquet").exists())
    return Finished(directory, runs, points, rows, reused, failed, (*files, directory / "manifest.json"))
