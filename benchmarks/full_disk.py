"""A sweep whose every write in turn meets a full disk: which runs that were there before are absent afterwards.

`python benchmarks/full_disk.py` plays four runs, and then all of them again with four more beside them, as often as
that writes to a file: the first time its first write fails half way, the second time its second one, until none fails.
It prints how many earlier runs were absent or had rows missing at the end of any of these sweeps, and whether the same
sweep, given again with room on the disk, ends in all of its runs.
"""

import errno
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from timing import verdict

from nashgames.experiments import runner
from nashgames.experiments.experiment import Experiment
from nashgames.store import Results

BEFORE = {"game": "circulant", "reference": "tilted", "beta": (0.5, 0.1), "solver": ("nash-mp", "mirror-descent"),
    "queries": 60, "records": 6}  # fmt: skip
AGAIN = BEFORE | {"beta": (0.5, 0.1, 0.05, 0.02)}
TABLES = ("runs", "curves", "policies", "paths")
_OPEN = Path.open


class Disk:
    """Writes to files, counted; the one numbered `full` writes half of what it is given and fails, as all after it."""

    def __init__(self, full: int) -> None:
        self.full, self.writes = full, 0

    def open(self, path: Path, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        """As `Path.open`."""
        file = _OPEN(path, mode, *arguments, **options)
        return file if mode.startswith("r") else _Half(self, file)


class _Half:
    def __init__(self, disk: Disk, file: Any) -> None:
        self._disk, self._file = disk, file

    def write(self, data: Any) -> int:
        self._disk.writes += 1
        if self._disk.writes >= self._disk.full:
            self._file.write(data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        return int(self._file.write(data))

    def __enter__(self) -> "_Half":
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def play(directory: Path, asked: dict[str, Any], full: int = sys.maxsize, **options: bool) -> tuple[int, bool]:
    """Play an experiment; how often it wrote, and whether the disk was full."""
    disk = Disk(full)
    Path.open = lambda path, *arguments, **more: disk.open(path, *arguments, **more)  # type: ignore[method-assign]
    try:
        list(runner.execute(Experiment(**asked), directory, **options))
    except Exception as error:  # every sentence that a full disk ends in
        if "no space left on device" not in str(error).lower():
            raise
        return disk.writes, True
    finally:
        Path.open = _OPEN  # type: ignore[method-assign]
    return disk.writes, False


def whole(directory: Path) -> set[str]:
    """The runs that have rows in every table."""
    results = Results.read(directory)
    return set.intersection(*(set(getattr(results, name)["run_id"]) for name in TABLES))


def main() -> None:
    """Fill the disk at every write, and print what was lost."""
    with tempfile.TemporaryDirectory() as folder:
        template = Path(folder) / "before"
        play(template, BEFORE)
        earlier = whole(template)
        full, absent, unfinished, goes_on = 0, 0, 0, True
        while goes_on:
            full += 1
            directory = Path(folder) / str(full)
            shutil.copytree(template, directory)
            _, goes_on = play(directory, AGAIN, full, force=True)
            absent += len(earlier - whole(directory))
            play(directory, AGAIN)
            unfinished += len(whole(directory)) != 2 * len(earlier)
            shutil.rmtree(directory)
        print(f"{full - 1} writes of a sweep over {len(earlier)} earlier runs, each of them the first to fail")
        verdict("earlier runs absent after a full disk", absent, 0)
        verdict("sweeps that the same command does not finish", unfinished, 0)


if __name__ == "__main__":
    main()
