"""A results directory that several processes play into: what they tell each other there."""

import traceback

import pandas as pd

from nashgames.engine.settings import Settings
from nashgames.environment import now
from nashgames.experiments.playing import Failed
from nashgames.experiments.rows import failure_of
from nashgames.store import FAILURE_COLUMNS, Progress, Results


class SharedDirectory:
    """The batches of a directory that are played now, by this process and by others (`playing.Shared`)."""

    def __init__(self, results: Results) -> None:
        self._results, self._progress = results, Progress(results.directory)
        self.keep, self.release = self._progress.keep, self._progress.release
        self.ended, self.keep_end = self._progress.ended, self._progress.keep_end

    def claim(self, batch: str) -> tuple[set[str], bytes | None] | None:
        self._results.mark()
        if not self._progress.claim(batch):
            return None
        return self._results.look_again(), self._progress.kept(batch)


def write_failures(results: Results, settings: Settings, failed: Failed) -> None:
    """Give runs that could not be finished a row each, and the log where in the code it was."""
    if not failed.runs:
        return
    rows = [failure_of(run, settings, failed.status, failed.text, failed.attempts) for run in failed.runs]
    at, ids = "".join(traceback.format_exception(failed.error)), " ".join(run.run_id for run in failed.runs)
    frame = pd.DataFrame(rows, columns=list(FAILURE_COLUMNS))
    results.add_failures(frame, f"{now()} {failed.text}\nruns {ids}\n{at}\n")
