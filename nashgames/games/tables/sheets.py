"""CSV and Parquet files as columns: what stands in their first rows, and the columns one asks for.

Positions count columns from 0. Nothing is read before the size of what it unpacks to is compared with the free memory.
"""

import csv
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from nashgames.errors import NashGamesError, shown
from nashgames.games.tables.files import refusing
from nashgames.memory import check_memory, size_text

EMPTY_CELLS = ("", "NA", "N/A", "null")
"""Cells of a CSV column of numbers that hold no value, read as NaN; a literal nan is what 0/0 left, and refused."""

_LONGEST_LINE = 1 << 24
"""Characters that are read in search of the end of a line, 800,000 columns of 20: a binary file may have no end."""

_UNIT = 2.0**-52
"""The rounding unit of float64."""

_BYTES_OF_CELL = 2 * 8
"""A cell takes a float64 twice while Arrow's columns become one array."""


class Text(NamedTuple):
    """A column of text: row r holds `labels[codes[r]]`, `codes` `[rows]`."""

    codes: np.ndarray
    labels: list[str]

    def rows(self) -> list[str]:
        """The text of every row."""
        return [self.labels[code] for code in self.codes]


def is_number(cell: str) -> bool:
    """Whether a cell of a CSV reads as a number, an empty cell included."""
    if cell in EMPTY_CELLS:
        return True
    # float takes digits of every script and 1_000, which no table means.
    if not cell.isascii() or "_" in cell:
        return False
    try:
        float(cell)
    except ValueError:
        return False
    return True


def is_nan(cell: str) -> bool:
    """Whether a cell of a CSV says nan, which is a number to a program and none to anybody else."""
    return cell.strip().lstrip("+-").lower() == "nan"


def is_decimal_comma(cell: str) -> bool:
    """Whether a cell of a CSV is a number written with a decimal comma."""
    return bool(re.fullmatch(r"[+-]?\d+,\d+", cell.strip()))


def not_a_number(name: str, row: int, column: str, cell: str) -> NashGamesError:
    """The error for a cell of text among numbers; rows count from 1, the header included."""
    if is_decimal_comma(cell):
        point = cell.strip().replace(",", ".")
        # Three digits behind a comma may be thousands.
        whole = f"{cell.strip().replace(',', '')} or " if re.fullmatch(r"[+-]?[1-9]\d{0,2},\d{3}", cell.strip()) else ""
        return NashGamesError(
            f"'{name}': row {row}, {column} holds '{cell}', a number with a comma; write {whole}{point}"
        )
    return NashGamesError(
        f"'{name}': row {row}, {column} holds {shown(cell)}, which is not a number; "
        "write numbers such as 0.25, and leave a cell empty where there is none"
    )


class CsvSheet:
    """A comma-separated file; `first` is its first row, which may or may not be a header.

    `words` are the positions where the `second` row holds text.

    Raises NashGamesError when the file has no row, its first line is no CSV, or it will not fit in memory.
    """

    index = None
    unit = _UNIT

    def __init__(self, name: str, path: Path) -> None:
        self.name, self.path = name, path
        head, self._skip = self._head()
        self.first, self.second = head[0], head[-1]
        self._lone = len(head) == 1
        self.words = [
            at for at, cell in enumerate(head[-1]) if at < len(self.first) and not self._lone and not is_number(cell)
        ]
        # A cell is at least a digit and a comma.
        cell = max(2.0, self._line / len(self.first))
        cells = path.stat().st_size / cell
        check_memory(int(_BYTES_OF_CELL * cells) + path.stat().st_size, f"'{name}' ({size_text(path.stat().st_size)})")

    def _head(self) -> tuple[list[list[str]], int]:
        """The first two rows that are not blank, and the number of lines up to the end of the first."""
        head: list[list[str]] = []
        lines = skip = self._line = 0
        with refusing(self.name), self.path.open(encoding="utf-8-sig", newline="") as file:
            while len(head) < 2 and (line := file.readline(_LONGEST_LINE)):
                if len(line) == _LONGEST_LINE:
                    raise NashGamesError(
                        f"'{self.name}' has a line of more than {size_text(_LONGEST_LINE)}; it is not a table"
                    )
                if "\0" in line:
                    raise NashGamesError(f"'{self.name}' is not text (it holds zero bytes); save it as CSV in UTF-8")
                lines += 1
                if line.strip("\r\n"):
                    head.append(next(csv.reader([line])))
                    skip = skip or lines
                    self._line = len(line)
        if not head:
            raise NashGamesError(f"'{self.name}' is empty (blank lines only); it should hold a table")
        separator = max(";\t|", key=head[0][0].count)
        if len(head[0]) == 1 and separator in head[0][0]:
            raise NashGamesError(f"'{self.name}' separates its columns by {separator!r}; save it with commas")
        return head, skip

    def read(self, text: Sequence[int], numbers: Sequence[int], header: bool) -> tuple[list[Text], np.ndarray]:
        """The columns at positions `text`, and those at `numbers` as float64 `[rows, columns]` with NaN for no value.

        Raises NashGamesError for a row of another length or a cell that is no number, and says which.
        """
        if header and self._lone:
            raise NashGamesError(f"'{self.name}' is empty (a header and no rows); it should hold a table")
        names = [str(position) for position in range(len(self.first))]
        kinds = dict.fromkeys(names, pa.float64()) | {str(p): pa.dictionary(pa.int32(), pa.string()) for p in text}
        try:
            table = pa.csv.read_csv(
                str(self.path),
                pa.csv.ReadOptions(
                    column_names=names, skip_rows=self._skip if header else 0, block_size=max(1 << 24, 8 * self._line)
                ),
                convert_options=pa.csv.ConvertOptions(
                    column_types=kinds, include_columns=[str(p) for p in (*text, *numbers)], null_values=EMPTY_CELLS
                ),
            )
            if self._is_open([table.column(i) for i in range(len(text))]):
                raise self._unclosed(table.num_rows + header)
            texts = [_text(table.column(i)) for i in range(len(text))]
        except pa.ArrowException as error:
            raise self._explain(set(numbers), header, error) from None
        if _has_nan(table, range(len(text), table.num_columns)) is not None:
            raise self._explain(set(numbers), header, None)
        return texts, _array(table, range(len(text), table.num_columns))

    def _explain(self, numbers: set[int], header: bool, error: Exception | None) -> NashGamesError:
        """The sentence for a file that could not be read: its first row or cell at fault."""
        width = len(self.first)
        with refusing(self.name), self.path.open(encoding="utf-8-sig", newline="") as file:
            for row, cells in enumerate((cells for cells in csv.reader(file) if cells), start=1):
                if len(cells) != width:
                    return self._ragged(row, cells)
                for position, cell in enumerate(cells):
                    if position in numbers and not (header and row == 1) and (not is_number(cell) or is_nan(cell)):
                        what = f"column '{self.first[position]}'" if header else f"column {position + 1}"
                        return not_a_number(self.name, row, what, cell)
        return NashGamesError(f"'{self.name}' cannot be read as CSV: {str(error).splitlines()[0]}; write it again")

    def _is_open(self, columns: Sequence[Any]) -> bool:
        """Whether a quotation mark of the last row is never closed, so that its label runs to the end of the file."""
        if not any(len(column) and "\n" in (column[-1].as_py() or "") for column in columns):
            return False
        with self.path.open("rb") as file:
            marks = sum(part.count(b'"') for part in iter(lambda: file.read(_LONGEST_LINE), b""))
        return marks % 2 == 1

    def _unclosed(self, row: int) -> NashGamesError:
        return NashGamesError(f"'{self.name}': a quotation mark in row {row} is never closed; close it or drop it")

    def _ragged(self, row: int, cells: list[str]) -> NashGamesError:
        """The sentence for a row of another length than the first one."""
        if any("\n" in cell for cell in cells):
            return self._unclosed(row)
        if len(self.first) == 1 and self.first[0].lstrip().startswith("#"):
            return NashGamesError(f"'{self.name}' begins with the comment {shown(self.first[0])}; delete comment lines")
        return NashGamesError(
            f"'{self.name}': row {row} has {len(cells)} cell{'' if len(cells) == 1 else 's'}, the first row has "
            f"{len(self.first)}; give every row the same number"
        )


class ParquetSheet:
    """A Parquet file; `first` holds its column names and `index` is the column of row labels, if any:
    the index that pandas stored, or a first column of text. `words` are the positions of columns of text.

    Raises NashGamesError when it is no Parquet file or will not fit in memory, going by its footer.
    """

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        try:
            self._file = pa.parquet.ParquetFile(path)
            schema = self._file.schema_arrow
            self._kinds = list(schema.types)
            self.first: list[str] = list(schema.names)
            indices = (schema.pandas_metadata or {}).get("index_columns", [])
            metadata = self._file.metadata
            stored = sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
        except (pa.ArrowException, OSError, ValueError) as error:
            raise self._unreadable(error) from None
        # A column of one repeated value is stored in a few bytes: rows × columns bounds what it unpacks to.
        unpacked = _BYTES_OF_CELL * metadata.num_rows * max(1, len(self.first)) + stored
        check_memory(unpacked, f"'{name}' ({metadata.num_rows:,} rows of {len(self.first):,} columns)")
        if not metadata.num_rows or not self.first:
            raise NashGamesError(f"'{name}' is empty ({metadata.num_rows} rows); it should hold a table")
        self.words = [position for position, kind in enumerate(self._kinds) if _is_text(kind)]
        stored_index = [position for position, column in enumerate(self.first) if column in indices]
        self.index = next(iter([*stored_index, *(word for word in self.words if word == 0)]), None)

    @property
    def unit(self) -> float:
        """The rounding unit of the coarsest floating-point column."""
        units = {pa.float32(): 2.0**-23, pa.float16(): 2.0**-10}
        return max(units.get(kind, _UNIT) for kind in self._kinds)

    def read(self, text: Sequence[int], numbers: Sequence[int], header: bool) -> tuple[list[Text], np.ndarray]:
        """The columns at positions `text`, and those at `numbers` as float64 `[rows, columns]` with NaN for no value.

        A Parquet file always has its header. Raises NashGamesError for a column of another type.
        """
        for position in (*text, *numbers):
            kind = self._kinds[position]
            label = _is_text(kind) or pa.types.is_integer(kind)
            number = any(test(kind) for test in (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal))
            if not (label if position in text else number or pa.types.is_boolean(kind) or pa.types.is_null(kind)):
                wanted = "text or integers" if position in text else "numbers"
                raise NashGamesError(f"'{self.name}': column '{self.first[position]}' holds {kind}; accepted: {wanted}")
        try:
            table = self._file.read()
            texts, values = [_text(table.column(i)) for i in text], _array(table, numbers)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise self._unreadable(error) from None
        if (bad := _has_nan(table, numbers)) is not None:
            raise NashGamesError(
                f"'{self.name}': column '{self.first[bad]}' holds nan, which is not a number; write numbers, and "
                "null where there is none"
            )
        return texts, values

    def _unreadable(self, error: Exception) -> NashGamesError:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        return NashGamesError(f"'{self.name}' cannot be read as Parquet: {reason.rstrip('.')}; write it again")


Sheet = CsvSheet | ParquetSheet


def open_sheet(name: str, path: Path) -> Sheet:
    """The CSV or Parquet file at `path`."""
    return CsvSheet(name, path) if path.suffix.lower() == ".csv" else ParquetSheet(name, path)


def _is_text(kind: Any) -> bool:
    """Whether an Arrow type is text, dictionary-encoded or not."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return kind in (pa.string(), pa.large_string(), pa.string_view())


def _text(column: Any) -> Text:
    """Codes and trimmed labels; a null and an empty text are both the label ''."""
    trimmed = pc.utf8_trim_whitespace(pc.cast(column, pa.string()))
    encoded = pc.fill_null(trimmed, "").combine_chunks().dictionary_encode()
    return Text(encoded.indices.to_numpy(zero_copy_only=False), encoded.dictionary.to_pylist())


def _has_nan(table: Any, positions: Sequence[int]) -> int | None:
    """The first of the columns with a literal NaN in it, which is no empty cell; None where there is none."""
    floating = (at for at in positions if pa.types.is_floating(table.column(at).type))
    return next((at for at in floating if pc.any(pc.is_nan(table.column(at))).as_py()), None)


def _array(table: Any, positions: Sequence[int]) -> np.ndarray:
    values = np.empty((len(positions), table.num_rows))
    for row, position in zip(values, positions, strict=True):
        row[:] = pc.cast(table.column(position), pa.float64(), safe=False).to_numpy()
    return values.T
