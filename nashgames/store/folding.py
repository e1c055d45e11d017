"""The parts of a directory folded into its tables piece by piece: a group of rows and a part are in memory at once."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from nashgames.store import parts
from nashgames.store.files import read_bytes
from nashgames.store.schema import SCHEMAS, TABLES
from nashgames.store.snapshot import read_tables, table_path
from nashgames.store.tables import Laid, from_parquet, groups_of, ids_by_table, is_other, peeked, pieces_to_parquet


class Folded(NamedTuple):
    """What a directory says: its tables as Parquet files, how many rows they have, and the runs that count."""

    files: Mapping[str, memoryview]
    rows: Mapping[str, int]
    runs: set[str]


class _Layer:
    """Tables that were written together, read anew whenever they are asked for."""

    def __init__(self, directory: Path, part: str | None) -> None:
        self._directory, self._part = directory, part

    def files(self, *names: str) -> dict[str, tuple[Path, bytes]]:
        """Some of the tables, or all, as Parquet files."""
        if self._part is not None:
            path, files = parts.unpacked(self._directory, self._part)
            return {name: (path, data) for name, data in files.items() if not names or name in names}
        places = {name: table_path(self._directory, name) for name in names or TABLES}
        return {name: (path, read_bytes(path)) for name, path in places.items() if path.exists()}

    def pieces(self, name: str) -> Iterator[pa.Table]:
        """The rows of one of them."""
        for path, data in self.files(name).values():
            yield from groups_of(name, path, data)


def fold(directory: Path, asked: str) -> Folded:
    """The tables of a directory with its parts laid over them (`tables.overlay`), and in each what was `asked`.

    Called under the lock: nobody else folds meanwhile.
    """
    layers = [_Layer(directory, part) for part in (None, *parts.names(directory))]
    # Failures and labels are few, and in memory whole.
    small, ids, are_ours = list[dict[str, pa.Table]](), list[dict[str, set[str]]](), True
    for layer in layers:
        files = layer.files()
        small.append({name: from_parquet(name, *file) for name, file in files.items() if name not in SCHEMAS})
        told = dict[str, pa.Table]()
        for name in SCHEMAS.keys() & files.keys():
            told[name], columns = peeked(*files[name])
            are_ours = are_ours and not any(is_other(column, SCHEMAS[name]) for column in columns)
        ids.append(ids_by_table(told))
    laid = Laid(small, ids)
    rows = dict.fromkeys(TABLES, 0)

    def pieces(name: str) -> Iterator[pa.Table]:
        if not are_ours:
            # What others have put beside our columns may differ from layer to layer.
            yield read_tables(directory)[name]
            return
        for place, layer in enumerate(layers):
            if name in ids[place]:
                yield from (laid.kept(place, name, piece) for piece in layer.pieces(name))

    def counted(name: str) -> Iterator[pa.Table]:
        for piece in pieces(name) if name in SCHEMAS else [laid.failures]:
            rows[name] += piece.num_rows
            yield piece

    written = {name: pieces_to_parquet(counted(name), schema, asked) for name, schema in TABLES.items()}
    return Folded(written, rows, laid.complete)
