"""Which directories are ours, and the sentences for files that cannot be read or written."""

import difflib
import errno
import os
from collections.abc import Sequence
from pathlib import Path

from nashgames.errors import NashGamesError, NoRoom

MANIFEST = "manifest.json"
RUNS = "runs.parquet"

# The disk, a quota, the largest file that a process may write.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def read_bytes(path: Path) -> bytes:
    """The bytes of a regular file, FileNotFoundError where there is none.

    Raises NashGamesError for one that cannot be read, and for a pipe or a device, which may never end.
    """
    try:
        if path.exists() and not path.is_file():
            raise NashGamesError(f"'{path}' is not a regular file; give another directory")
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(path) from None
    except OSError as error:
        raise cannot_read(path, error) from error


def check_ours(directory: Path) -> bool:
    """Whether `directory` exists; raise NashGamesError when it is not for results or cannot be made.

    It says so before anything is computed.
    """
    try:
        if not directory.exists():
            parent = next(parent for parent in [*directory.parents, Path()] if parent.exists())
            if parent.is_dir() and os.access(parent, os.W_OK | os.X_OK):
                return False
            reason = "cannot be written" if parent.is_dir() else "is a file"
            raise NashGamesError(f"'{directory}' cannot be made, '{parent}' {reason}; give another directory")
        if not directory.is_dir():
            raise NashGamesError(f"'{directory}' is a file; give a directory for the results")
        # Listed before it is asked whose they are: another command may begin here in between, with a manifest.
        files = sorted(item.name for item in directory.iterdir() if not item.name.startswith("."))
        foreign = [] if (directory / MANIFEST).exists() or has_results(directory) else files
    except OSError as error:
        raise cannot_read(directory, error) from error
    if foreign:
        raise NashGamesError(
            f"'{directory}' holds files that are not results, such as '{foreign[0]}'; give an empty or a new directory"
        )
    return True


def has_results(directory: Path) -> bool:
    """Whether there are results in a directory, also where its manifest is lost."""
    return (directory / RUNS).is_file() or any((directory / "parts").glob("*.zip"))


def nearest(directory: Path) -> str:
    """The part of a sentence that names the results directory meant."""
    places = (directory, directory.parent, Path("results/runs"))
    found = {item.parent.name: item.parent for place in places for item in sorted(place.glob(f"*/{MANIFEST}"))}
    if not found:
        return "run 'nashgames run' to make some"
    # 0.5, below the usual 0.6: directories end in a hash of their experiment.
    close: Sequence[str] = difflib.get_close_matches(directory.name, list(found), n=1, cutoff=0.5)
    if close:
        return f"did you mean '{found[close[0]]}'?"
    newest = max(found, key=lambda name: (found[name] / MANIFEST).stat().st_mtime)
    return f"give a directory that does; the newest near is '{found[newest]}'"


def damaged(path: Path, form: str) -> NashGamesError:
    """A file whose bytes are not what its name says."""
    return NashGamesError(f"'{path}' is damaged or not {form}; give another directory or delete this one")


def cannot_read(path: Path, error: OSError) -> NashGamesError:
    """What the operating system has against reading."""
    return NashGamesError(f"cannot read '{path}': {_reason(error)}; check its permissions or give another directory")


def cannot_write(directory: Path, error: OSError) -> NashGamesError:
    """What the operating system has against writing."""
    if error.errno in _NO_ROOM:
        return NoRoom(
            f"cannot write '{directory}': {_reason(error)}; free space and give the same command again, what is "
            f"finished is kept"
        )
    return NashGamesError(f"cannot write '{directory}': {_reason(error)}; give another directory")


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
