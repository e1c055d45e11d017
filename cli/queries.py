"""The table of the figure `queries`, as text and as data."""

from typing import TYPE_CHECKING, Any

import numpy as np

from nashgames.analysis.reaching import MANY
from nashgames.cli import words
from nashgames.cli.sheet import Sheet

if TYPE_CHECKING:
    import pandas as pd

_COSTS = ("queries", "comparisons")
_PROBLEM = ("game", "reference", "n", "policy", "feedback", "beta")
_HEADINGS = {"label": "solver", "beta": "β", "arrived": "reached", "spent": "total spent"}
_BAND = {True: {"low": "least", "high": "most"}, False: {"low": "10 %", "high": "90 %"}}


def sheet(table: "pd.DataFrame", caption: str) -> Sheet:
    """The table of a figure's `numbers`: without what is the same in every row, a row a point of the figure."""
    cost = next(name for name in _COSTS if name in table)
    same = [name for name in _PROBLEM if table[name].nunique() < 2]
    left_out = [*same, "seeds", "late", *(("low", "high") if table["seeds"].max() < 2 else ())]
    order = [str(name) for name in table if name not in left_out]
    rows = []
    for row in table.to_dict("records"):
        shown = {name: str(row[name]) if isinstance(row[name], str) else f"{row[name]:g}" for name in order}
        shown |= {name: words.count(row[name]) for name in (cost, "low", "high", "spent", "n") if name in order}
        rows.append(tuple((shown | {"arrived": f"{row['arrived']} of {row['seeds']}"}).values()))
    said = _HEADINGS | {cost: f"median {cost}" if len(rows) and table["seeds"].max() > 1 else cost}
    # Of fewer than ten seeds these quantiles are the least and the most.
    said |= _BAND[bool(table["seeds"].max() < MANY)]
    headings = tuple(said.get(name, name) for name in order)
    names = frozenset(said.get(name, name) for name in order if isinstance(table[name].iloc[0], str))
    return Sheet(headings, names, tuple(rows), caption)


def payload(table: "pd.DataFrame") -> list[dict[str, Any]]:
    """The same as data, null where a quantile did not arrive."""
    return [
        {str(key): None if isinstance(value, float) and not np.isfinite(value) else value for key, value in row.items()}
        for row in table.to_dict("records")
    ]
