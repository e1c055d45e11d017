"""Frames ⇄ Arrow ⇄ Parquet: columns of the right type or a sentence, and many layers of rows as one table."""

import collections
import io
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from nashgames.defaults import UNLISTED
from nashgames.errors import NashGamesError, shown
from nashgames.store.files import damaged
from nashgames.store.schema import ADDED, FAILURES, LABEL_COLUMNS, LABELS, PART_SCHEMAS, SCHEMAS, TABLES

Layer = Mapping[str, pa.Table]
"""Rows that were written together, by table."""

ASKED = "nashgames"
"""Where a Parquet file keeps what was asked: the key of its metadata."""

_GROUP = 2**16
"""Rows of a group in a Parquet file: 25 MB of curves, three times that while they are folded. 700,000 rows are read as
fast as in groups of twice as many."""

_JSON = ("game_parameters", "hyperparameters")
"""Columns of text that others read as JSON."""

_PANDAS_INDEX = "__index_level_"
"""How pandas names an index that it saves as a column."""


def table_of(name: str, frame: pd.DataFrame) -> pa.Table:
    """A frame as rows of the table `name`; NaN becomes null.

    Raises NashGamesError for missing or unknown columns, a value of another type, and a missing one.
    """
    schema = PART_SCHEMAS[name]
    if differing := _differing(frame.columns, schema):
        raise NashGamesError(f"{name} differs in {', '.join(differing)}; accepted: {', '.join(schema.names)}")
    columns = []
    for field in schema:
        try:
            column = pa.array(frame[field.name], type=field.type, from_pandas=True)
        except (pa.ArrowException, OverflowError) as error:
            raise NashGamesError(f"the column {name}.{field.name} is not of type {field.type}: {error}") from error
        if column.null_count and not field.nullable:
            raise NashGamesError(
                f"the column {name}.{field.name} has {column.null_count} missing values; give them all"
            )
        columns.append(column)
    return pa.Table.from_arrays(columns, schema=schema)


def frame_of(name: str, table: pa.Table) -> pd.DataFrame:
    """The columns of the table `name` as a frame; a missing integer is `pd.NA`."""
    schema = TABLES[name]
    table = table.select(schema.names)
    frame: pd.DataFrame = table.to_pandas()
    for field in schema:
        if field.nullable and pa.types.is_integer(field.type):
            missing = table[field.name].is_null().to_numpy()
            frame[field.name] = pd.arrays.IntegerArray(table[field.name].fill_null(0).to_numpy().copy(), missing.copy())
    return frame


def to_parquet(table: pa.Table, asked: str | None = None) -> bytes:
    """A table as the bytes of a Parquet file, and beside it what was `asked`: the same rows, the same bytes."""
    return pieces_to_parquet([table], table.schema, asked).tobytes()


def pieces_to_parquet(pieces: Iterable[pa.Table], schema: pa.Schema, asked: str | None = None) -> memoryview:
    """Tables one below the other as the file that `to_parquet` makes of all of them, one in memory at a time.

    All have the columns of the first; where there is none, those of the `schema`.
    """
    # It grows without a second copy, which a buffer of Arrow's does not.
    sink, pieces = io.BytesIO(), iter(pieces)
    first = next(pieces, schema.empty_table())
    schema = first.schema if asked is None else first.schema.with_metadata({ASKED: asked})
    waiting = schema.empty_table()
    # Measured numbers hardly ever repeat: a dictionary of them is given up after a megabyte. Byte by byte they are a
    # sixth smaller, and written and read in half the time.
    numbers = [field.name for field in schema if pa.types.is_floating(field.type)]
    others = [name for name in schema.names if name not in numbers]
    encoded: dict[str, list[str]] = {"use_dictionary": others, "use_byte_stream_split": numbers}
    with pq.ParquetWriter(sink, schema, compression="zstd", write_page_checksum=True, **encoded) as writer:

        def write(group: pa.Table) -> None:
            # Pieces of an overlay would make other pages; all of a large table at once would be in memory twice.
            writer.write_table(group.combine_chunks(), row_group_size=_GROUP)

        for piece in itertools.chain([first], pieces):
            waiting = pa.concat_tables([waiting, piece.replace_schema_metadata(schema.metadata)])
            while waiting.num_rows > _GROUP:
                write(waiting.slice(0, _GROUP))
                waiting = waiting.slice(_GROUP)
        # One group for no rows as well.
        write(waiting)
    return sink.getbuffer()


def from_parquet(name: str, path: Path, data: bytes) -> pa.Table:
    """The table `name` from the bytes of `path`, in our types; columns that are not ours follow ours.

    Raises NashGamesError for bytes that are no sound Parquet file, and for a column that holds something else.
    """
    file = _opened(path, data)
    return _ours(name, path, _sound(path, partial(file.read, use_threads=False)))


def groups_of(name: str, path: Path, data: bytes) -> Iterator[pa.Table]:
    """The rows of the table that `from_parquet` gives, group by group."""
    file = _opened(path, data)
    for group in range(file.num_row_groups):
        yield _ours(name, path, _sound(path, partial(file.read_row_group, group, use_threads=False)))


def peeked(path: Path, data: bytes) -> tuple[pa.Table, list[str]]:
    """Of a Parquet file the columns that say which runs it has rows of (`ids_by_table`), and the names of all."""
    file = _opened(path, data)
    return _sound(path, partial(file.read, ["run_id", "storage"], use_threads=False)), file.schema_arrow.names


def _opened(path: Path, data: bytes) -> pq.ParquetFile:
    file: pq.ParquetFile = _sound(path, lambda: pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True))
    return file


def _sound(path: Path, read: Callable[[], Any]) -> Any:
    """What is read of a Parquet file; its rows are looked through.

    On this thread alone: one of Arrow's own may still hold the bytes, which are Python's, when the interpreter ends,
    and letting them go then aborts the process.
    """
    try:
        found = read()
        if isinstance(found, pa.Table):
            found.validate(full=True)
    except (pa.ArrowException, OSError):
        raise damaged(path, "Parquet") from None
    return found


def _ours(name: str, path: Path, table: pa.Table) -> pa.Table:
    """A table that was read, in our types and our order."""
    schema = PART_SCHEMAS[name]
    counts = collections.Counter(table.column_names)
    others = [column for column, count in counts.items() if is_other(column, schema) and count == 1]
    ours = pa.Table.from_arrays([_column(path, table, field) for field in schema], schema=schema)
    for column in others:
        ours = ours.append_column(column, table[column])
    return ours


def is_other(column: str, schema: pa.Schema) -> bool:
    """Whether a column is one that somebody else has put beside ours."""
    return column not in schema.names and not column.startswith(_PANDAS_INDEX)


def _column(path: Path, table: pa.Table, field: pa.Field) -> pa.ChunkedArray | pa.Array:
    """A column in the type of `field`, cast where that keeps every value."""
    places = table.schema.get_all_field_indices(field.name)
    if not places and field.name in ADDED:
        return pa.array([ADDED[field.name]] * table.num_rows, field.type)
    if len(places) != 1:
        raise _not_ours(path, field, "is there twice" if places else "is missing")
    column = table.column(places[0])
    try:
        cast = _cast(column, field.type)
    except pa.ArrowException:
        cast = None
    if cast is None:
        raise _not_ours(path, field, f"holds {column.type}, not {field.type}")
    if cast.null_count and not field.nullable:
        raise _not_ours(path, field, f"has {cast.null_count} missing values")
    for text in pc.unique(cast).to_pylist() if field.name in _JSON else ():
        try:
            json.loads(text or "{}")
        except ValueError:
            raise _not_ours(path, field, f"holds {shown(text)}, which is not JSON") from None
    return cast


def _cast(column: pa.ChunkedArray, wanted: pa.DataType) -> pa.ChunkedArray | None:
    """The same values in another type of their kind; None for another kind, ArrowException where one would change."""
    if column.type == wanted:
        return column
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    found = column.type
    numbers = pa.types.is_integer(found) or pa.types.is_floating(found)
    if pa.types.is_integer(wanted) and pa.types.is_floating(found):
        # What pandas makes of whole numbers, some of them missing.
        column = pc.if_else(pc.is_nan(column), None, column)
    texts = pa.types.is_string(found) or pa.types.is_large_string(found) or pa.types.is_string_view(found)
    fits = pa.types.is_null(found) or (texts if pa.types.is_string(wanted) else numbers)
    return column.cast(wanted) if fits else None


def _not_ours(path: Path, field: pa.Field, what: str) -> NashGamesError:
    return NashGamesError(
        f"'{path}' is not a table of this version of nashgames: its column {field.name} {what}; give another directory"
    )


def _differing(names: Iterable[str], schema: pa.Schema) -> list[str]:
    """The columns that are missing, unknown or repeated."""
    counts = collections.Counter(map(str, names))
    return sorted(name for name in counts.keys() | set(schema.names) if counts[name] != (name in schema.names))


def run_ids(layer: Layer) -> set[str]:
    """The runs that a layer has rows of, in any of its tables of results."""
    return set().union(*(ids_in(layer[name]) for name in SCHEMAS.keys() & layer.keys()))


def ids_in(table: pa.Table) -> set[str]:
    """The runs that a table has rows of; none where it does not say."""
    return set(pc.unique(table["run_id"]).to_pylist()) if "run_id" in table.column_names else set()


def ids_by_table(layer: Layer) -> dict[str, set[str]]:
    """The runs of the tables of results in a layer; among those of the policies are the `unlisted` ones."""
    ids = {name: ids_in(layer[name]) for name in SCHEMAS.keys() & layer.keys()}
    if "runs" in ids and (beyond := unlisted(layer)):
        ids["policies"] = ids.get("policies", set()) | beyond
    return ids


def overlay(layers: Sequence[Layer]) -> dict[str, pa.Table]:
    """One table of each kind from layers, the oldest first: of a run the rows of the newest layer that has it, under
    the label it was given last; then only the runs that runs, curves and, where they are listed, policies all have. A
    failure is that which was told last of a run without results.

    It is idempotent: laying layers once more over what was made of them changes nothing.
    """
    laid = Laid(layers, [ids_by_table(layer) for layer in layers])
    tables = {
        name: _joined(
            schema, [laid.kept(place, name, layer[name]) for place, layer in enumerate(layers) if name in layer]
        )
        for name, schema in SCHEMAS.items()
    }
    return tables | {FAILURES: laid.failures}


class Laid:
    """What layers say together, the oldest first, of which `ids` has the runs by table."""

    def __init__(self, layers: Sequence[Layer], ids: Sequence[Mapping[str, set[str]]]) -> None:
        self._ids = ids
        self._older: list[set[str]] = []
        """The runs of a layer that a newer one has too."""
        self._labels: list[Mapping[str, Mapping[str, str]]] = []
        """What newer layers call their runs."""
        newer, failed, labels, failures = set[str](), set[str](), dict[str, dict[str, str]](), list[pa.Table]()
        for layer, of_layer in zip(reversed(layers), reversed(ids), strict=True):
            every = set().union(*of_layer.values())
            self._older.insert(0, every & newer)
            self._labels.insert(0, labels)
            newer |= every
            if FAILURES in layer:
                failures.insert(0, select(layer[FAILURES], failed, keep=False))
                failed |= ids_in(failures[0])
            if LABELS in layer:
                labels = {row["run_id"]: row for row in layer[LABELS].to_pylist()} | labels
        self.complete = set.intersection(
            *(
                set().union(*(mine.get(name, set()) - old for mine, old in zip(ids, self._older, strict=True)))
                for name in ("runs", "curves", "policies")
            )
        )
        """The runs that count."""
        self.failures = select(_joined(TABLES[FAILURES], failures), self.complete, keep=False)

    def kept(self, place: int, name: str, rows: pa.Table) -> pa.Table:
        """Those of the rows of a table of a layer that count, under their labels."""
        older = self._older[place]
        if older:
            rows = select(rows, older, keep=False)
        if not self._ids[place][name] - older <= self.complete:
            rows = select(rows, self.complete)
        return _labelled(rows, self._labels[place]) if name == "runs" else rows


def unlisted(tables: Layer) -> set[str]:
    """The runs whose policies have no rows, as their sequences are too many to list."""
    runs = tables["runs"]
    # Rows of before do not say how margins were kept, and had all sequences listed.
    return ids_in(runs.filter(pc.equal(runs["storage"], UNLISTED))) if "storage" in runs.column_names else set()


def select(table: pa.Table, ids: set[str], *, keep: bool = True) -> pa.Table:
    """The rows of these runs, or with `keep=False` of all others."""
    inside = pc.is_in(table["run_id"], value_set=pa.array(sorted(ids), pa.string()))
    return table.filter(inside if keep else pc.invert(inside))


def _labelled(table: pa.Table, labels: Mapping[str, Mapping[str, str]]) -> pa.Table:
    """Rows of runs with the labels that were given later."""
    ids = table["run_id"].to_pylist()
    if labels.keys().isdisjoint(ids):
        return table
    for name in LABEL_COLUMNS[1:]:
        place = table.column_names.index(name)
        said = [labels.get(run_id, {}).get(name, old) for run_id, old in zip(ids, table[name].to_pylist(), strict=True)]
        table = table.set_column(place, table.schema.field(place), pa.array(said, pa.string()))
    return table


def _joined(schema: pa.Schema, tables: Sequence[pa.Table]) -> pa.Table:
    """The tables one below the other; columns that are not ours stay where they are of one kind."""
    every = [schema.empty_table(), *tables]
    try:
        return pa.concat_tables(every, promote_options="permissive")
    except pa.ArrowException:
        return pa.concat_tables([table.select(schema.names) for table in every])
