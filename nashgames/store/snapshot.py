"""What a directory says at one moment: its tables with its parts laid over them, read while others may write."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from nashgames.errors import NashGamesError
from nashgames.store import parts
from nashgames.store.files import read_bytes
from nashgames.store.schema import TABLES
from nashgames.store.tables import ASKED, Layer, from_parquet, ids_in, overlay, select

_TRIES = 20
"""Readings to begin again because the tables were folded meanwhile, which a command does once, at its end."""


def table_path(directory: Path, name: str) -> Path:
    """Where a table is."""
    return directory / f"{name}.parquet"


def read_tables(directory: Path) -> dict[str, pa.Table]:
    """All rows as of one moment, without a lock; the tables are empty where there is nothing.

    Raises NashGamesError for a table or part that cannot be read, and for a directory that is never at rest.
    """
    for _ in range(_TRIES):
        before = _stamps(directory)
        try:
            layers = [_base(directory), *(parts.read(directory, name) for name in parts.names(directory))]
        except FileNotFoundError:
            continue
        # Parts only ever appear, or go when all tables have been replaced: these are whole if no table was.
        if _stamps(directory) == before:
            return overlay(layers)
    raise NashGamesError(f"'{directory}' is written all the time; wait for the commands that write it")


class Unread(Mapping[str, pa.Table]):
    """The tables of a directory whose parts have just been folded, each read when it is asked for: `rows` many of each,
    of these `runs`. Where another process has replaced them meanwhile, what is read is of these runs all the same."""

    def __init__(self, directory: Path, rows: Mapping[str, int], runs: set[str]) -> None:
        self.rows = rows
        self._directory, self._runs, self._stamps = directory, runs, _stamps(directory)
        self._read: dict[str, pa.Table] = {}

    def __getitem__(self, name: str) -> pa.Table:
        if name not in self._read:
            path = table_path(self._directory, name)
            table = from_parquet(name, path, read_bytes(path)) if path.exists() else TABLES[name].empty_table()
            if _stamps(self._directory) != self._stamps:
                table = select(read_tables(self._directory)[name], self._runs)
            self._read[name] = table
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(TABLES)

    def __len__(self) -> int:
        return len(TABLES)


def finished_in_table(directory: Path) -> set[str]:
    """The runs that the table has, without the parts."""
    path = table_path(directory, "runs")
    try:
        return ids_in(from_parquet("runs", path, read_bytes(path)))
    except FileNotFoundError:
        return set()


def asked_in_table(directory: Path) -> str | None:
    """What was asked when the tables were folded, None where they do not say it."""
    try:
        metadata = pq.read_schema(table_path(directory, "runs")).metadata or {}
    except (OSError, pa.ArrowException):
        return None
    said = metadata.get(ASKED.encode())
    return None if said is None else said.decode(errors="replace")


def _base(directory: Path) -> Layer:
    """The tables without the parts that have come since."""
    layer = {}
    for name in TABLES:
        path = table_path(directory, name)
        with contextlib.suppress(FileNotFoundError):
            layer[name] = from_parquet(name, path, read_bytes(path))
    return layer


def _stamps(directory: Path) -> list[tuple[int, int] | None]:
    """What changes when a table is replaced."""
    stamps: list[tuple[int, int] | None] = []
    for name in TABLES:
        try:
            status = table_path(directory, name).stat()
            stamps.append((status.st_ino, status.st_mtime_ns))
        except FileNotFoundError:
            stamps.append(None)
    return stamps
