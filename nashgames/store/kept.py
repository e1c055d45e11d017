"""Tables of data that games were made from, kept with their results: `games/<hash of the bytes>.csv`."""

import contextlib
import re
from pathlib import Path

from nashgames.disk import digest, replace
from nashgames.errors import NashGamesError
from nashgames.store.files import read_bytes

FOLDER = "games"
LARGEST = 64_000_000
"""Bytes of a file up to which it is kept: 64 MB hold 2,800 actions in float64, 1,800 in text of 20 letters a number."""

# A name from a table is data: nothing but a hash becomes part of a path.
_FINGERPRINT = re.compile("[0-9a-f]{16}")


def keep(directory: Path, fingerprint: str, source: Path) -> None:
    """Copy the file that has this fingerprint, unless it is there or larger than `LARGEST`.

    A file that is gone, or has changed since its fingerprint was taken, is another game: it is not kept.
    """
    if game_file(directory, fingerprint) is not None:
        return
    data = b""
    with contextlib.suppress(OSError):
        if source.stat().st_size <= LARGEST:
            data = source.read_bytes()
    if digest(data) == fingerprint:
        (directory / FOLDER).mkdir(exist_ok=True)
        replace(directory / FOLDER / f"{fingerprint}{source.suffix.lower()}", data)


def game_file(directory: Path, fingerprint: str | None) -> Path | None:
    """The kept file of this fingerprint, None where none was kept; NashGamesError for one with other bytes."""
    if fingerprint is None or not _FINGERPRINT.fullmatch(fingerprint):
        return None
    for path in (directory / FOLDER).glob(f"{fingerprint}.*"):
        if digest(read_bytes(path)) != fingerprint:
            raise NashGamesError(f"'{path}' is damaged, its bytes are not those it is named after; delete it")
        return path
    return None
