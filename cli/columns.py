"""Tables for a terminal of a given width (no rich): no number is ever cut, and every row says which run it is of.

In this order: sentences break between words, also where there is no terminal; headings break at a blank; the steps
break at their commas; columns that the sheet can spare are left out, the last of them first, and the caption says so;
what is wider still goes on in another table, which begins with the columns that say what a row is of, whose names
break where they take more than half of the width.
"""

import dataclasses
import textwrap
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from nashgames.cli.sheet import Sheet, joined

_WIDE, _NARROW = 3, 2
"""Blanks between columns where there is room, and where there is none."""

# The longest lines of a printed page; a terminal may be wider, and a pipe has no width.
_WIDEST_PROSE = 100
# A name of two words, or half of one of ours, in a line.
_LEAST_NAME = 12
_SHORT_HEADINGS = {
    "suboptimality": "sub-\noptimality",
    "KL to equilibrium": "KL to\nπ*",
    "exploitability": "exploit-\nability",
}

Measure = Callable[[str], int]
"""How many columns of a terminal a line takes."""


def fitted(sheet: Sheet, width: int, measure: Measure = len) -> tuple[list[Sheet], int]:
    """The sheet as tables that fit `width` columns, and how many blanks stand between their columns.

    The caption stays with the last of them.
    """
    every = range(len(sheet.headings))
    if sheet.prose is not None:
        sheet = _sentences_broken(sheet, sheet.headings.index(sheet.prose), min(width, _WIDEST_PROSE - 1), measure)
    if _total(_widths(sheet, measure), every, _WIDE) <= width:
        return [sheet], _WIDE
    broken = tuple(_SHORT_HEADINGS.get(heading, "\n".join(heading.rsplit(" ", 1))) for heading in sheet.headings)
    shown = list(every)
    dropped: list[str] = []
    spare = [name for name in sheet.spare if name in sheet.headings]
    while True:
        found = _steps_broken(dataclasses.replace(sheet, headings=broken), shown, width, measure)
        if found is not None or not spare:
            break
        dropped.append(spare.pop())
        shown.remove(sheet.headings.index(dropped[-1]))
    told = f"left out at this width: {', '.join(dropped)}" if dropped else ""
    sheet = dataclasses.replace(sheet, caption=joined(sheet.caption, told.replace("\u00a0", " ")))
    if found is not None:
        return [_of_columns(found, sheet, shown)], _NARROW
    narrow = _steps_broken(dataclasses.replace(sheet, headings=broken), shown, 0, measure, at_least=True)
    assert narrow is not None
    keys, others = _keys(sheet, shown)
    widths = _widths(narrow, measure)
    # The columns that identify a row take at most half of the width, so that each table has at least one other column.
    room = min(width // 2, width - _NARROW - max([widths[i] for i in others], default=0))
    narrow = _names_broken(narrow, sheet, keys, room, measure)
    widths = _widths(narrow, measure)
    parts: list[list[int]] = [[]]
    for i in others:
        if parts[-1] and _total(widths, [*keys, *parts[-1], i], _NARROW) > width:
            parts.append([])
        parts[-1].append(i)
    tables = [_of_columns(narrow, sheet, [*keys, *part]) for part in parts]
    return [*(dataclasses.replace(table, caption="") for table in tables[:-1]), tables[-1]], _NARROW


def _keys(sheet: Sheet, shown: Sequence[int]) -> tuple[list[int], list[int]]:
    """The columns that say what a row is of, up to solver and β, and the others."""
    last = max([i for i in shown if sheet.headings[i] in ("solver", "β", "game")], default=shown[0])
    return [i for i in shown if i <= last], [i for i in shown if i > last]


def _widths(sheet: Sheet, measure: Measure) -> dict[int, int]:
    lines = {i: [sheet.headings[i], *(row[i] for row in sheet.rows)] for i in range(len(sheet.headings))}
    return {i: max(measure(line) for text in texts for line in text.split("\n")) for i, texts in lines.items()}


def _total(widths: Mapping[int, int], shown: Sequence[int], padding: int) -> int:
    return sum(widths[i] for i in shown) + padding * (len(shown) - 1)


def _steps_broken(
    sheet: Sheet, shown: Sequence[int], width: int, measure: Measure, *, at_least: bool = False
) -> Sheet | None:
    """The sheet with its steps broken into as many lines as the width asks for; None where that is not enough.

    With `at_least` they are broken at every comma, whatever the width.
    """
    steps = sheet.headings.index("step") if "step" in sheet.headings else None
    others = [i for i in shown if i != steps]
    room = width - _total(_widths(sheet, measure), others, _NARROW) - _NARROW
    if steps is None:
        return sheet if at_least or room + _NARROW >= 0 else None
    parts = [part for row in sheet.rows for part in row[steps].split(", ")]
    least = max([measure(f"{part},") for part in parts], default=0)
    if room < least and not at_least:
        return None
    return _changed(sheet, [steps], lambda text: _in_lines(text, max(room, least), measure))


def _in_lines(text: str, width: int, measure: Measure) -> str:
    """A list with commas in lines of at most this width, as few as that takes."""
    lines: list[str] = []
    for part in text.split(", "):
        if lines and measure(f"{lines[-1]}, {part},") <= width:
            lines[-1] = f"{lines[-1]}, {part}"
        else:
            lines.append(part)
    return ",\n".join(lines)


def _sentences_broken(sheet: Sheet, column: int, width: int, measure: Measure) -> Sheet:
    """The sheet with one column of sentences broken between words, and names that leave it half of the width."""
    others = [i for i in range(len(sheet.headings)) if i != column]
    sheet = _names_broken(sheet, sheet, others, width // 2, measure)
    room = max(width - _total(_widths(sheet, measure), others, _WIDE) - _WIDE, _LEAST_NAME)
    return _changed(sheet, [column], partial(_between_words, width=room))


def _between_words(text: str, width: int) -> str:
    """Lines of at most this width; an indented line goes on two columns further in."""
    lines: list[str] = []
    for line in text.split("\n"):
        indent = " " * (len(line) - len(line.lstrip()))
        further = f"{indent}  " if indent else ""
        lines += textwrap.wrap(
            line.strip(), width, initial_indent=indent, subsequent_indent=further, break_on_hyphens=False
        )
    return "\n".join(lines)


def _names_broken(sheet: Sheet, named: Sheet, keys: Sequence[int], room: int, measure: Measure) -> Sheet:
    """The sheet with the names among its keys broken until all keys have room, or no name is wider than a word."""
    names = [i for i in keys if named.headings[i] in named.names]
    while _total(_widths(sheet, measure), keys, _NARROW) > room:
        widths = {i: width for i, width in _widths(sheet, measure).items() if i in names and width > _LEAST_NAME}
        if not widths:
            break
        widest = max(widths, key=lambda i: widths[i])
        sheet = _changed(sheet, [widest], partial(_folded, width=widths[widest] - 1))
    return sheet


def _folded(text: str, width: int) -> str:
    """A name in lines of at most this width, broken behind a hyphen, comma or bracket where there is one."""
    lines: list[str] = []
    rest = text.replace("\n", "")
    while len(rest) > width:
        at = max((rest.rfind(mark, 0, width) for mark in "-,[· "), default=-1) + 1
        at = at or width
        lines.append(rest[:at])
        rest = rest[at:]
    return "\n".join([*lines, rest])


def _changed(sheet: Sheet, columns: Sequence[int], change: Callable[[str], str]) -> Sheet:
    rows = tuple(tuple(change(cell) if i in columns else cell for i, cell in enumerate(row)) for row in sheet.rows)
    return dataclasses.replace(sheet, rows=rows)


def _of_columns(sheet: Sheet, named: Sheet, shown: Sequence[int]) -> Sheet:
    """These columns of a sheet whose headings are broken; `named` has them whole."""
    headings = tuple(sheet.headings[i] for i in shown)
    names = frozenset(sheet.headings[i] for i in shown if named.headings[i] in named.names)
    return Sheet(headings, names, tuple(tuple(row[i] for i in shown) for row in sheet.rows), named.caption)
