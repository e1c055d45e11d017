"""How a user's table is laid out: a square matrix with or without labels, or a long table, becomes values `[n, n]`.

A *square matrix* says in row i, column j what i does against j; labels stand in a header row, in a first column, or in
both. A *long table* has the columns `winner, loser[, count[, draws]]`, where a row is `count` wins, 1 unless said, and
`draws` draws, each half a win for either side; or `action, opponent, score`, where a row is one ordered pair. Other
columns of a long table are left out, and a note says which.
"""

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from nashgames.errors import NashGamesError
from nashgames.games.tables.files import open_array
from nashgames.games.tables.sheets import (
    EMPTY_CELLS,
    CsvSheet,
    Sheet,
    Text,
    is_decimal_comma,
    is_nan,
    is_number,
    not_a_number,
    open_sheet,
)
from nashgames.memory import check_memory

DUELS = ("winner", "loser", "count", "draws")
SCORES = ("action", "opponent", "score")
ACCEPTED = "winner, loser[, count[, draws]] or action, opponent, score"

_LIKE_DRAWS = ("draw", "drawn", "tie", "ties", "tied")
"""Columns beside winner and loser that say of draws what only `draws` says clearly: left out they would be lost."""


@dataclass(frozen=True)
class Layout:
    """Values `[n, n]` with NaN where a pair has none, labels, and the rounding unit of the type they were stored in.

    `duels` is true for a table of winners and losers: its values are counts of wins. `gaps` is false for an NPY file,
    which has no empty cells: its NaN may be one, or what 0/0 left.
    """

    values: np.ndarray
    labels: tuple[str, ...] | None
    unit: float
    duels: bool = False
    notes: list[str] = field(default_factory=list)
    gaps: bool = True


def arrange(name: str, path: Path, wins: bool) -> Layout:
    """The table at `path`, which a person calls `name`; `wins` says that a repeated pair adds up.

    Raises NashGamesError when it has neither layout, repeats a label, or holds fewer than two actions.
    """
    if path.suffix.lower() == ".npy":
        values = open_array(name, path)
        unit = float(np.finfo(values.dtype).eps) if values.dtype.kind == "f" else 0.0
        layout = Layout(values, None, unit, gaps=False)
    else:
        sheet = open_sheet(name, path)
        if columns := _long_columns(sheet):
            layout = _long(sheet, columns, wins)
        else:
            values, labels = _csv_matrix(sheet) if isinstance(sheet, CsvSheet) else _parquet_matrix(sheet)
            layout = Layout(values, labels, sheet.unit)
    values, labels = layout.values, layout.labels
    if values.ndim != 2 or values.shape[0] != values.shape[1]:
        sizes = zip(values.shape, ("row", "column"), strict=False)
        shape = " and ".join(f"{size:,} {what}{'' if size == 1 else 's'}" for size, what in sizes)
        found = shape if values.ndim == 2 else f"an array of {values.ndim} dimension{'' if values.ndim == 1 else 's'}"
        raise NashGamesError(
            f"'{name}' holds {found}; a matrix needs as many rows as columns, a long table the columns {ACCEPTED}"
        )
    if len(values) < 2:
        raise NashGamesError(f"'{name}' holds fewer than two actions; a game needs at least 2")
    if labels and len(set(labels)) < len(labels):
        twice = next(label for i, label in enumerate(labels) if label in labels[:i])
        raise NashGamesError(f"'{name}' has two actions labelled '{twice}'; give every action its own label")
    return layout


def _long_columns(sheet: Sheet) -> tuple[str, ...]:
    """The columns of a long table, `()` for a matrix; NashGamesError when they look misspelt."""
    header = [cell.strip().lower() for cell in sheet.first]
    if "probability" in header and {"label", "action"} & set(header):
        raise NashGamesError(
            f"'{sheet.name}' has the columns {', '.join(sheet.first[:6])}, those of a reference policy; give it with "
            f"--reference, and for the game a matrix or a long table with {ACCEPTED}"
        )
    for needed, columns in ((DUELS[:2], DUELS), (SCORES, SCORES)):
        if set(needed) <= set(header):
            return columns
    for needed in (DUELS[:2], SCORES):
        if not set(header).intersection(needed):
            continue
        column = next(column for column in needed if column not in header)
        near = difflib.get_close_matches(column, header, n=1)
        found = f"did you mean '{column}' by '{near[0]}'? A" if near else f"'{column}' is missing; a"
        raise NashGamesError(
            f"'{sheet.name}' has the columns {', '.join(sheet.first[:6])}; {found} long table has {ACCEPTED}"
        )
    if isinstance(sheet, CsvSheet) and sheet.words:
        at = sheet.words[0]
        above, below = sheet.first[at], sheet.second[at]
        text_above = not is_number(above) and not is_decimal_comma(above)
        if text_above and _begins_a_number(above) and _begins_a_number(below):
            raise not_a_number(sheet.name, 1, f"column {at + 1}", above)
        if is_decimal_comma(below):
            raise not_a_number(sheet.name, 2, f"column {at + 1}", below)
        if [sheet.second[0].strip()] == [cell.strip() for cell in sheet.first[1:2]]:
            # A matrix whose first row of values is labelled like its first column: other text is no label.
            return ()
    if len(sheet.words) > 1:
        raise NashGamesError(
            f"'{sheet.name}' holds text in its columns {', '.join(_called(sheet, at) for at in sheet.words[:6])}; "
            f"a matrix holds numbers, a long table has the columns {ACCEPTED}"
        )
    return ()


def _called(sheet: Sheet, at: int) -> str:
    """A column as a sentence names it."""
    return sheet.first[at].strip() or f"number {at + 1}"


def _long(sheet: Sheet, columns: tuple[str, ...], wins: bool) -> Layout:
    """A long table; its labels stand in the order in which they appear, or count upwards if they are 0 … n − 1."""
    header = [cell.strip().lower() for cell in sheet.first]
    used = [column for column in columns if column in header]
    if twice := next((column for column in used if header.count(column) > 1), None):
        raise NashGamesError(f"'{sheet.name}' has two columns '{twice}'; keep one")
    unused = [cell for cell in sheet.first if cell.strip().lower() not in used]
    notes = [f"columns that were not used: {', '.join(unused)}"] if unused else []
    duels = columns == DUELS
    if duels:
        _check_draws(sheet, header)
    at = [header.index(column) for column in used]
    texts, numbers = sheet.read(at[:2], at[2:], header=True)
    score = numbers[:, 0] if len(used) > 2 else np.ones(len(numbers))
    draws = numbers[:, 1] if "draws" in used else np.zeros(len(numbers))
    (ours, theirs), labels = _actions(sheet, used, texts)
    n = len(labels)
    # The values, and what is counted or sorted into them: twice a float64 for every pair.
    check_memory(16 * n * n, f"'{sheet.name}' with {n:,} actions")
    pair = ours * n + theirs

    def row(bad: np.ndarray) -> str:
        r = int(np.argmax(bad))
        return f"'{sheet.name}': row {r + 1} below the header, '{labels[ours[r]]}' against '{labels[theirs[r]]}',"

    if duels or wins:
        for counted, what in ((score, "wins"), (draws, "draws")):
            if (bad := ~(np.isfinite(counted) & (counted >= 0))).any():
                found = f"counts {counted[bad][0]:g} {what}"
                found = f"has no number of {what}" if np.isnan(counted[bad][0]) else found
                raise NashGamesError(f"{row(bad)} {found}; a count is finite and 0 or more")
        if (own := ours == theirs).any():
            raise NashGamesError(f"{row(own)} lets an action beat itself; drop the duels of an action with itself")
        values = np.bincount(pair, weights=score, minlength=n * n).reshape(n, n)
        if draws.any():
            halves = np.bincount(pair, weights=draws / 2, minlength=n * n).reshape(n, n)
            values += halves + halves.T
            notes.append(f"{draws.sum():,.10g} draws were counted as half a win for each side")
    else:
        order = np.argsort(pair, kind="stable")
        again = np.zeros(len(pair), bool)
        again[order[1:]] = pair[order[1:]] == pair[order[:-1]]
        if again.any():
            raise NashGamesError(f"{row(again)} lists that pair a second time; give every ordered pair one row")
        values = np.full((n, n), np.nan)
        values.reshape(-1)[pair] = score
    return Layout(values, None if _counts(labels) == 0 else tuple(labels), sheet.unit, duels, notes)


def _check_draws(sheet: Sheet, header: Sequence[str]) -> None:
    """Raise NashGamesError for draws that could be counted in more than one way."""
    if like := next((column for column in header if column in _LIKE_DRAWS), None):
        raise NashGamesError(
            f"'{sheet.name}' has a column '{like}'; call it draws if it counts the draws of a row, each half a win for "
            "either side, or drop it"
        )
    if "draws" in header and "count" not in header:
        raise NashGamesError(
            f"'{sheet.name}' has a column 'draws' and no column 'count'; add count, the wins of the winner in that row"
        )


def _actions(sheet: Sheet, columns: Sequence[str], texts: Sequence[Text]) -> tuple[np.ndarray, list[str]]:
    """Both columns of actions as codes `[2, rows]` of one list of labels."""
    for column, text in zip(columns, texts, strict=False):
        if "" in text.labels:
            r = int(np.argmax(text.codes == text.labels.index("")))
            raise NashGamesError(f"'{sheet.name}': row {r + 1} below the header has no {column}; name the action")
    merged = {label: code for code, label in enumerate(dict.fromkeys(texts[0].labels + texts[1].labels))}
    codes = np.stack([np.array([merged[label] for label in text.labels])[text.codes] for text in texts])
    names = list(merged)
    if set(names) == set(map(str, range(len(names)))):
        order = np.argsort([int(name) for name in names])
    else:
        codes_seen, first = np.unique(codes.T, return_index=True)
        order = codes_seen[np.argsort(first)]
    return np.argsort(order)[codes], [names[i] for i in order]


def _parquet_matrix(sheet: Sheet) -> tuple[np.ndarray, tuple[str, ...] | None]:
    """A matrix whose labels are its column names, and its index where it has one."""
    columns = [position for position in range(len(sheet.first)) if position != sheet.index]
    texts, values = sheet.read([] if sheet.index is None else [sheet.index], columns, header=True)
    side = texts[0].rows() if texts else None
    return values, _agree(sheet.name, [sheet.first[position] for position in columns], side)


def _csv_matrix(sheet: CsvSheet) -> tuple[np.ndarray, tuple[str, ...] | None]:
    """A matrix with labels above it, beside it, or both: where they stand is told by text and by the shape.

    Labels that are numbers are known from values when they count 0, 1, 2, … or say the same above and beside.
    """
    first = [cell.strip() for cell in sheet.first]
    above = not all(map(is_number, first[1:]))
    texts, body = sheet.read([0], range(1, len(first)), header=above)
    side = texts[0].rows()
    rows, columns = len(side), len(first)
    corner = not above and rows == columns and _is_corner(first, side, body)
    words = not all(map(is_number, side))
    beside = corner or (columns == rows + 1 and (above or words or _counts(side) is not None))
    numbered = corner or (not above and rows == columns + 1 and _counts(first) is not None)
    if not beside:
        if words or any(map(is_nan, side)):
            row = next(row for row, cell in enumerate(side) if not is_number(cell) or is_nan(cell))
            raise not_a_number(sheet.name, row + 1 + above, "column 1", side[row])
        body = np.vstack([[np.nan if cell in EMPTY_CELLS else float(cell) for cell in side], body.T]).T
    top = first[int(beside) :] if above or numbered else None
    differ = bool(top) and beside and side != top and _counts(side) is None
    strange = [cell for cell in first[1:] if not is_number(cell)]
    if differ and strange and any(map(_is_fraction, (*first[1:], *side))):
        # Values are no labels: the first row holds some, and text among them.
        raise not_a_number(sheet.name, 1, f"column {first.index(strange[0]) + 1}", strange[0])
    return body[int(numbered) :], _agree(sheet.name, top, side[int(numbered) :] if beside else None)


def _is_corner(first: list[str], side: list[str], body: np.ndarray) -> bool:
    """Whether the first cell of a square of cells is where two rows of labels meet, and not a value or an empty one."""
    if not is_number(first[0]):
        return True
    if first[0] or len(first) < 3 or len(set(first)) < len(first):
        return False
    # A matrix without labels may leave its diagonal empty, the first cell with it.
    labelled = side[1:] == first[1:] and not np.isnan(body.diagonal(-1)).all()
    return labelled or not all(map(is_number, side)) or (side == first and _counts(first[1:]) is not None)


def _agree(name: str, top: list[str] | None, side: list[str] | None) -> tuple[str, ...] | None:
    """One label an action, from above or beside the matrix; counting 0, 1, 2, … says no more than the position."""
    if top and side and _counts(top) is None and _counts(side) is None and len(top) == len(side):
        for i, (ours, theirs) in enumerate(zip(side, top, strict=True)):
            if ours != theirs:
                raise NashGamesError(
                    f"'{name}' labels row {i + 1} '{ours}' and column {i + 1} '{theirs}'; "
                    "rows and columns must name the same actions in the same order"
                )
    labels = [label.strip() for label in (side if top is None or _counts(top) == 0 else top) or top or ()]
    if "" in labels:
        raise NashGamesError(f"'{name}' has no label for action {labels.index('')}; label every action or none")
    return None if _counts(labels) == 0 else tuple(labels)


def _begins_a_number(cell: str) -> bool:
    """Whether a cell that is no number begins like one, as 50%, 1/2 and 0.5? do."""
    return bool(re.match(r"[+-]?\.?\d", cell.strip()))


def _is_fraction(cell: str) -> bool:
    return is_number(cell) and "." in cell


def _counts(labels: Sequence[str]) -> int | None:
    """Where `labels` start when they count upwards by one from 0 or 1, else None."""
    starts = (start for start in (0, 1) if list(labels) == [str(start + i) for i in range(len(labels))])
    return next(starts, None)
