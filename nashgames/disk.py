"""Files that are written atomically, and names that say what they hold (standard library only)."""

import errno
import hashlib
import os
import sys
from pathlib import Path


def digest(data: bytes) -> str:
    """The first 16 hex digits of the SHA-256 of some bytes: 64 bits are enough to tell a user's files apart."""
    return hashlib.sha256(data).hexdigest()[:16]


def temporary(path: Path) -> Path:
    """Where `replace` writes before it renames: a hidden file beside `path`."""
    return path.with_name(f".{path.name}.tmp")


def replace(path: Path, data: bytes | memoryview) -> None:
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
    sync_directory(path.parent)


def append_text(path: Path, text: str) -> None:
    """Add `text` to the end of a file, which is made where it is not there."""
    with path.open("a", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def sync_directory(directory: Path) -> None:
    """Bring the names of a directory's files to disk: only so does the order of renames survive a power cut."""
    if sys.platform == "win32":
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems have no such call; the files themselves are safe.
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(descriptor)
