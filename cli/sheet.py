"""A table of text, and how the columns of runs are written in one (pandas, no rich)."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from nashgames.cli import words
from nashgames.defaults import PARTS

if TYPE_CHECKING:
    import pandas as pd

VARIANTS = tuple(PARTS)
CELL = ["game", "n", "reference", *VARIANTS, "beta", "seed"]
"""The columns that identify a run, besides its solver."""

NAMES = frozenset({"game", "reference", *VARIANTS, "solver", "step", "status"})
"""Headings of columns that hold names; the others hold numbers."""

_HEADINGS = {"n": "actions", "beta": "β"}


@dataclass(frozen=True)
class Sheet:
    """A table of text: headings, which columns hold names (the others hold numbers), rows, and a caption."""

    headings: tuple[str, ...]
    names: frozenset[str]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""
    spare: tuple[str, ...] = ()
    """Headings of columns that a narrow terminal leaves out, the last of them first."""
    prose: str | None = None
    """Heading of a column of sentences, which are broken between words."""


def heading(column: str) -> str:
    """What a column of runs is called."""
    return _HEADINGS.get(column, column)


def cell_text(column: str, value: Any) -> str:
    """A value of a column of `CELL` as it is written."""
    if column in ("game", "reference", *VARIANTS):
        return str(value)
    return words.number(value) if column == "beta" else words.count(plain(value))


def joined(*parts: str) -> str:
    """The parts of a caption that there are."""
    return "; ".join(filter(None, parts))


def varies(column: "pd.Series[Any]") -> bool:
    """Whether a column has more than one value."""
    return len(column.unique()) > 1


def records(frame: "pd.DataFrame") -> list[dict[str, Any]]:
    """Rows as dictionaries, with None for a tolerance that was not reached."""
    rows = cast("list[dict[str, Any]]", frame.to_dict("records"))
    return [row | {"queries_to_tolerance": plain(row.get("queries_to_tolerance"))} for row in rows]


def plain(value: Any) -> Any:
    """A value of a frame as strict JSON has it: no NaN, no infinity, no NumPy scalar."""
    value = value.item() if hasattr(value, "item") else value
    if value is None or isinstance(value, str | bool | int):
        return value
    try:
        return value if math.isfinite(value) else None
    except TypeError:
        return None
