"""Immutable parts: `parts/000017-4fe1c09a52d7b3e8.zip`, the tables of one batch as Parquet files in one file.

The number says which is newer, the hash what is inside. One file is one rename: a batch is written atomically."""

import io
import re
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa

from nashgames.disk import digest, replace, sync_directory, temporary
from nashgames.errors import NashGamesError
from nashgames.store.files import cannot_read, damaged, read_bytes
from nashgames.store.schema import PART_SCHEMAS
from nashgames.store.tables import Layer, from_parquet, to_parquet

FOLDER = "parts"
_FOLDED = ".parts-folded"
"""Where the parts go in the one rename by which they stop to count."""
_ASKED = "asked.json"
"""The experiment that a part belongs to, from which a lost manifest is made again."""
_NAME = re.compile(r"(\d{6,})-([0-9a-f]{16})\.zip")


def names(directory: Path) -> list[str]:
    """The parts of a results directory, the oldest first; nothing else that is in their folder counts."""
    try:
        found = [item.name for item in (directory / FOLDER).iterdir() if _NAME.fullmatch(item.name)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise cannot_read(directory / FOLDER, error) from error
    return sorted(found, key=_number)


def _number(name: str) -> int:
    return int(name.partition("-")[0])


def pack(tables: Mapping[str, pa.Table], asked: str) -> bytes:
    """The tables that have rows, and what was `asked`, as one file; the same rows, the same bytes."""
    entries = {f"{name}.parquet": to_parquet(table) for name, table in tables.items() if table.num_rows}
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for name, data in (entries | {_ASKED: asked.encode()}).items():
            # An entry of a fixed date: ZipInfo has 1980, a plain name would have now.
            archive.writestr(zipfile.ZipInfo(name), data)
    return packed.getvalue()


def asked(directory: Path) -> str | None:
    """What was asked when the newest part was written, None where no part says it."""
    for name in reversed(names(directory)):
        try:
            with zipfile.ZipFile(directory / FOLDER / name) as archive:
                return archive.read(_ASKED).decode()
        except (OSError, KeyError, zipfile.BadZipFile, ValueError):
            continue
    return None


def append(directory: Path, data: bytes) -> str:
    """Put a packed part behind the others, and return its name; one that is the newest already is not put there twice.

    Called under the directory's lock: nobody else takes the next number.
    """
    (directory / FOLDER).mkdir(exist_ok=True)
    there = names(directory)
    number = _number(there[-1]) if there else 0
    if there and there[-1] == _name(number, data):
        return there[-1]
    name = _name(number + 1, data)
    replace(directory / FOLDER / name, data)
    return name


def _name(number: int, data: bytes) -> str:
    return f"{number:06d}-{digest(data)}.zip"


def read(directory: Path, name: str) -> Layer:
    """The tables of a part; FileNotFoundError where it was folded into the tables meanwhile.

    Raises NashGamesError for bytes that are not those it was named after.
    """
    path, files = unpacked(directory, name)
    return {table: from_parquet(table, path, data) for table, data in files.items()}


def unpacked(directory: Path, name: str) -> tuple[Path, dict[str, bytes]]:
    """Where a part is, and its tables as Parquet files: see `read`."""
    path = directory / FOLDER / name
    data = read_bytes(path)
    if name != _name(_number(name), data):
        raise NashGamesError(f"'{path}' is damaged; delete it and start its command again, its runs are played again")
    return path, _unpack(path, data)


def _unpack(path: Path, data: bytes) -> dict[str, bytes]:
    """The tables of a packed part as Parquet files; an entry that is none of ours is left alone."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = {info.filename: info for info in archive.infolist()}
            ours = {table: entries[f"{table}.parquet"] for table in PART_SCHEMAS if f"{table}.parquet" in entries}
            # Nothing that we write is compressed: an entry of a few bytes cannot unfold into all of the memory.
            if any(info.compress_type != zipfile.ZIP_STORED for info in ours.values()):
                raise damaged(path, "a part")
            return {table: archive.read(info) for table, info in ours.items()}
    except (zipfile.BadZipFile, RuntimeError, EOFError, ValueError):
        raise damaged(path, "a part") from None


def drop(directory: Path) -> None:
    """Remove all parts, in one rename: no crash can leave an older part without the newer one."""
    shutil.rmtree(directory / _FOLDED, ignore_errors=True)
    (directory / FOLDER).rename(directory / _FOLDED)
    sync_directory(directory)
    shutil.rmtree(directory / _FOLDED, ignore_errors=True)


def sweep(directory: Path) -> None:
    """Remove what a killed process left; called under the lock, so that it is nobody's work."""
    shutil.rmtree(directory / _FOLDED, ignore_errors=True)
    for left in (directory / FOLDER).glob(temporary(Path("*.zip")).name):
        left.unlink(missing_ok=True)
