"""Batches that are played now: who plays which, and how far each is: `claims/<batch>.lock`, `checkpoints/<batch>.npz`.

A claim is a lock that the system takes back when its process ends, however it ends. A checkpoint saves time and is no
result: one that cannot be read is no checkpoint, and its batch begins again. So does how a batch ended whose runs had
used their budget, `ends/<batch>.npz`, from which a larger budget goes on.
"""

import contextlib
import re
from pathlib import Path

from filelock import FileLock, Timeout

from nashgames.disk import digest, replace, temporary
from nashgames.errors import NashGamesError
from nashgames.store.files import cannot_write

CLAIMS = "claims"
CHECKPOINTS = "checkpoints"
ENDS = "ends"

# Only such names become part of a path.
_BATCH = re.compile("[0-9a-f]{12}")
# The digest of what follows it, in front of a checkpoint: half a file is none.
_DIGITS = 16


class Progress:
    """The batches of a results directory that are played now, each known by 12 hex digits.

    Raises NashGamesError where the directory cannot be written. A batch is played while it is claimed.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._claims: dict[str, FileLock] = {}

    def claim(self, batch: str) -> bool:
        """Whether the batch is ours to play: no other process does."""
        path = self._path(CLAIMS, batch, "lock")
        lock = FileLock(path, timeout=0)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except Timeout:
            return False
        except OSError as error:
            raise cannot_write(self._directory, error) from error
        self._claims[batch] = lock
        return True

    def release(self, batch: str, *, finished: bool = False) -> None:
        """Give a batch back, once or more often; the checkpoint of one that is finished goes.

        The file of its lock goes as well. Whoever has just opened it then holds a lock that nobody sees: at worst two
        play the batch, which changes nothing.
        """
        if finished:
            self._forget(batch)
        lock = self._claims.pop(batch, None)
        if lock is None:
            return
        with contextlib.suppress(OSError):
            Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()
        with contextlib.suppress(OSError):
            # The last one takes the folder along.
            Path(lock.lock_file).parent.rmdir()

    def sweep(self) -> None:
        """Remove the locks of processes that were killed: those that nobody holds."""
        for path in (self._directory / CLAIMS).glob("*.lock"):
            if _BATCH.fullmatch(path.stem) and path.stem not in self._claims:
                with contextlib.suppress(NashGamesError):
                    if self.claim(path.stem):
                        self.release(path.stem)

    def kept(self, batch: str) -> bytes | None:
        """How far the batch was when it was last kept, None where that is not known."""
        return self._read(CHECKPOINTS, batch)

    def keep(self, batch: str, data: bytes) -> None:
        """Write how far the batch is, atomically."""
        self._write(CHECKPOINTS, batch, data)

    def ended(self, batch: str) -> bytes | None:
        """How a batch ended that used up its budget, None where that is not known."""
        return self._read(ENDS, batch)

    def keep_end(self, batch: str, data: bytes) -> None:
        """Write how a batch ended, in the place of what was kept of it before."""
        self._write(ENDS, batch, data)

    def _read(self, folder: str, batch: str) -> bytes | None:
        try:
            data = self._path(folder, batch, "npz").read_bytes()
        except OSError:
            return None
        kept = data[_DIGITS:]
        return kept if digest(kept).encode() == data[:_DIGITS] else None

    def _write(self, folder: str, batch: str, data: bytes) -> None:
        path = self._path(folder, batch, "npz")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            replace(path, digest(data).encode() + data)
        except OSError as error:
            raise cannot_write(self._directory, error) from error

    def _forget(self, batch: str) -> None:
        path = self._path(CHECKPOINTS, batch, "npz")
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
            temporary(path).unlink(missing_ok=True)
            path.parent.rmdir()

    def _path(self, folder: str, batch: str, ending: str) -> Path:
        if not _BATCH.fullmatch(batch):
            raise ValueError(f"a batch is known by 12 hex digits, not by {batch!r}")
        return self._directory / folder / f"{batch}.{ending}"
