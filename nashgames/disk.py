"""Files that appear whole or not at all, and one writer a directory (standard library only)."""

import errno
import os
import sys
from pathlib import Path
from typing import BinaryIO

from nashgames.errors import NashGamesError

LOCK = ".lock"


def temporary(path: Path) -> Path:
    """Where `replace` writes before it renames: a hidden file beside `path`."""
    return path.with_name(f".{path.name}.tmp")


def replace(path: Path, data: bytes) -> None:
    """Put `data` at `path` in one step: whoever looks, or loses power, has the old file or the new one."""
    aside = temporary(path)
    try:
        with aside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    if sys.platform != "win32":
        _sync_directory(path.parent)


def _sync_directory(directory: Path) -> None:
    """Bring the names of a directory's files to disk: only so does the order of replacements survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems have no such call; the files themselves are safe.
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(descriptor)


def lock(directory: Path) -> BinaryIO:
    """The open lock file of `directory`; the system frees the lock when the file is closed or the process ends.

    The file itself stays: removing it would let two processes hold locks on two files of one name.
    """
    file = (directory / LOCK).open("a+b")
    try:
        if sys.platform == "win32":
            import msvcrt

            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        file.close()
        raise NashGamesError(
            f"another nashgames command is writing '{directory}'; wait for it or give another directory"
        ) from None
    except OSError:
        file.close()
        raise
    return file
