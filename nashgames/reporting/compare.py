"""How the runs of two directories differ: which are in one only, and whose end, queries or status are others."""

from typing import Any

import pandas as pd

PLAYED = (
    "game", "n", "contexts", "seed", "reference", "label", "feedback", "policy", "optimiser", "start", "target", "beta",
)  # fmt: skip
"""What a run plays, whatever it is computed with and however far: two that share it are compared."""

COMPARED = ("suboptimality", "queries", "comparisons", "queries_to_tolerance", "status")
"""What is compared of two runs."""

# Two machines sum in another order: what differs by less is the same number.
_SAME = 1e-6


def differences(a: pd.DataFrame, b: pd.DataFrame) -> list[dict[str, Any]]:
    """A row for every run of `a` and `b` that has no counterpart in the other, or differs from it.

    `played` says what it plays (`PLAYED`), `kind` is `only a`, `only b` or the columns of `COMPARED` that differ, and
    `a` and `b` are the values of these. Counterparts have one `run_id`, or where it is in one directory alone, play the
    same; values are the same within a millionth.
    """
    pairs, alone_a, alone_b = _paired(a, b)
    told = [_told("only a", row, row, None) for row in alone_a] + [_told("only b", row, None, row) for row in alone_b]
    for one, other in pairs:
        differing = [name for name in COMPARED if not _same(one[name], other[name])]
        if differing:
            told.append(_told(", ".join(differing), one, one, other))
    return told


def _paired(
    a: pd.DataFrame, b: pd.DataFrame
) -> tuple[list[tuple[dict[str, Any], dict[str, Any]]], list[dict[str, Any]], list[dict[str, Any]]]:
    rows_a, rows_b = _records(a), _records(b)
    by_id = {row["run_id"]: row for row in rows_b}
    pairs = [(row, by_id.pop(row["run_id"])) for row in rows_a if row["run_id"] in by_id]
    matched = {row["run_id"] for row, _ in pairs}
    left_a = [row for row in rows_a if row["run_id"] not in matched]
    waiting: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in by_id.values():
        waiting.setdefault(_key(row), []).append(row)
    alone = []
    for row in left_a:
        same = waiting.get(_key(row))
        if same:
            pairs.append((row, same.pop(0)))
        else:
            alone.append(row)
    return pairs, alone, [row for rows in waiting.values() for row in rows]


def _key(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in PLAYED)


def _records(runs: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as dictionaries, None where a value is missing."""
    columns = ["run_id", *PLAYED, *COMPARED]
    plain = runs[columns].astype(object)
    return [dict(zip(columns, row, strict=True)) for row in plain.where(plain.notna(), None).itertuples(index=False)]


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return a == b or abs(a - b) <= _SAME * max(abs(a), abs(b))
    return bool(a == b)


def _told(kind: str, played: dict[str, Any], a: dict[str, Any] | None, b: dict[str, Any] | None) -> dict[str, Any]:
    values = [None if row is None else {name: row[name] for name in COMPARED} for row in (a, b)]
    return {"kind": kind, "played": {name: played[name] for name in PLAYED}, "a": values[0], "b": values[1]}
