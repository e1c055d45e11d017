"""The rows of one or several results directories that somebody asks for: all runs, the last command's, or those that
fulfil a condition."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import pandas as pd

from nashgames.analysis.where import where
from nashgames.store import Results


class Gathered:
    """The runs of results directories and their rows; a run that several of them hold counts in the first.

    `runs` has a column `directory` where there are several. What another process writes meanwhile is not seen. Raises
    NashGamesError where a directory holds no results, and for a `condition` that is none (`where`).
    """

    def __init__(self, directories: Sequence[Path], condition: str | None = None, *, last: bool = False) -> None:
        self.results = [Results.read(directory) for directory in directories]
        self._condition, self._last = condition, last

    @cached_property
    def runs(self) -> pd.DataFrame:
        """A row a run, in the order of the directories."""
        every = [results.last_runs if self._last else results.runs for results in self.results]
        if len(every) > 1:
            named = zip(every, self.results, strict=True)
            every = [runs.assign(directory=str(results.directory)) for runs, results in named]
        runs = pd.concat(every, ignore_index=True).drop_duplicates("run_id", ignore_index=True)
        return runs if self._condition is None else where(runs, self._condition).reset_index(drop=True)

    @cached_property
    def failures(self) -> pd.DataFrame:
        """A row a run that could not be finished, with the columns of `runs` that are known of it."""
        every = [results.failures for results in self.results]
        if len(every) > 1:
            named = zip(every, self.results, strict=True)
            every = [failures.assign(directory=str(results.directory)) for failures, results in named]
        failures = pd.concat(every, ignore_index=True).drop_duplicates("run_id", ignore_index=True)
        failures = failures[~failures["run_id"].isin(self.runs["run_id"])]
        if self._last:
            ids = {run_id for results in self.results for run_id in results.manifest["run_ids"]}
            failures = failures[failures["run_id"].isin(ids)]
        return failures if self._condition is None or failures.empty else where(failures, self._condition)

    @property
    def curves(self) -> pd.DataFrame:
        """A row a recorded point of these runs."""
        return self._of("curves")

    @property
    def policies(self) -> pd.DataFrame:
        """A row an action of the last iterates of these runs."""
        return self._of("policies")

    @property
    def paths(self) -> pd.DataFrame:
        """A row an action of the recorded iterates of these runs, for games of three actions."""
        return self._of("paths")

    @property
    def verdict(self) -> str | None:
        """What the last experiments ask, where all of them ask the same."""
        asked = {results.manifest["experiment"].get("verdict") for results in self.results}
        return asked.pop() if len(asked) == 1 else None

    def game_file(self, fingerprint: str | None) -> Path | None:
        """The kept copy of the file with this `game_fingerprint`, from the first directory that has it."""
        found = (results.game_file(fingerprint) for results in self.results)
        return next((file for file in found if file is not None), None)

    def _of(self, table: str) -> pd.DataFrame:
        """The rows of these runs, those of a run from one directory."""
        wanted, parts = set(self.runs["run_id"]), []
        for results in self.results:
            frame: pd.DataFrame = getattr(results, table)
            parts.append(frame[frame["run_id"].isin(wanted & results.finished)])
            wanted -= results.finished
        return pd.concat(parts, ignore_index=True)
