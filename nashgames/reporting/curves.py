"""Curves of many runs as numbers for a page: median and band over the seeds, for every axis and every metric."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nashgames.analysis.outcomes import quantiles
from nashgames.analysis.reaching import LEVELS
from nashgames.core.metrics import every
from nashgames.plots.estimates import Floats, Trace, hold_all
from nashgames.plots.palette import looks
from nashgames.plots.panels import floats, several

AXES: Mapping[str, str] = {"queries": "queries", "comparisons": "comparisons", "step": "steps", "seconds": "seconds"}
"""The columns that curves are drawn against, and what they are called."""

KEYS: Mapping[str, str] = {
    "directory": "directory", "game": "game", "n": "n", "contexts": "contexts", "reference": "reference",
    "feedback": "feedback", "policy": "policy", "start": "start", "target": "target", "beta": "β",
}  # fmt: skip
"""The columns that tell the panels of curves apart, and what they are called."""

_STEP = "step"

# A panel is some hundred pixels wide; curves have two hundred points unless asked otherwise.
_MOST_POINTS, _FEWEST_POINTS = 160, 24
# Numbers of all curves together: 2.4 MB as float32, 3.2 MB as text, a third of what a page may weigh.
_MOST_NUMBERS = 600_000


def curves_of(runs: pd.DataFrame, curves: pd.DataFrame) -> dict[str, Any]:
    """The medians over the seeds of every cell and label, with their bands, of prepared runs (`plots.panels.prepare`).

    `runs` and `curves` have a column `directory`. A group is thinned to what a screen shows; its numbers are a block of
    float32 `[rows, points]` in the bytes `numbers`, in base64: a row for each of `axes`, then for each metric the
    median and, of several seeds, the two ends of the band.
    """
    keys = [key for key in KEYS if several(runs[key])]
    metrics = [name for name in every() if curves[name].notna().any()]
    axes = [name for name in AXES if name == _STEP or floats(curves[name]).any()]
    look = looks_of(dict(zip(runs["label"], runs["solver"], strict=True)))
    labels: dict[Any, int] = {label: place for place, label in enumerate(look)}
    values = {key: _in_order(runs[key], key) for key in keys}
    groups = list(runs.groupby([*keys, "label"], sort=False))
    rows = sum(len(axes) + len(metrics) * (3 if len(mine) > 1 else 1) for _, mine in groups)
    most = int(np.clip(_MOST_NUMBERS // max(rows, 1), _FEWEST_POINTS, _MOST_POINTS))
    numbers = _by_run(curves, [*axes, *metrics])
    blocks, told = [], []
    for (*cell, label), mine in groups:
        found = [numbers[name] for name in zip(mine["directory"], mine["run_id"], strict=True) if name in numbers]
        if not found:
            continue
        block = _block(found, list(mine["status"]), axes.index(_STEP), len(axes), most)
        blocks.append(block.astype(np.float32).ravel())
        told.append(
            {"cell": [values[key].index(value) for key, value in zip(keys, cell, strict=True)]}
            | {"method": labels[label], "runs": len(found), "points": block.shape[1], "bands": len(found) > 1}
            | {"diverged": int((mine["status"] == "diverged").sum())}
        )
    flat = np.concatenate([np.empty(0, np.float32), *blocks]).astype("<f4")
    return {
        "keys": [{"name": key, "called": KEYS[key], "values": [_said(v) for v in values[key]]} for key in keys],
        "metrics": [
            {"name": name, "label": every()[name].label, "help": every()[name].help, "log": every()[name].distance}
            for name in metrics
        ],
        "axes": [{"name": name, "called": AXES[name]} for name in axes],
        "methods": [{"label": label, **own} for label, own in look.items()],
        "groups": told,
        "numbers": base64.b64encode(flat.tobytes()).decode(),
        "levels": list(LEVELS),
        "most": most,
    }


def looks_of(solvers: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """How every label is drawn, as in the figures (`plots.palette.looks`), in the order of legends."""
    return {
        label: {"colour": own.colour, "marker": own.marker, "dashes": _dashes(own.dashes)}
        for label, own in looks(solvers).items()
    }


def _in_order(column: "pd.Series[Any]", key: str) -> list[Any]:
    """The values in the order of panels: β falls, all else rises."""
    return sorted(column.unique().tolist(), reverse=key == "beta")


def _said(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def _dashes(dashes: Any) -> list[float]:
    """On and off in pixels of a line of 2 pixels, empty for a solid one."""
    return [] if isinstance(dashes, str) else [2.0 * part for part in dashes[1]]


def _by_run(curves: pd.DataFrame, columns: Sequence[str]) -> dict[tuple[str, str], Floats]:
    """The points of every run in the order of its steps, `[t, columns]`."""
    codes, names = pd.MultiIndex.from_frame(curves[["directory", "run_id"]]).factorize()
    order = np.lexsort((curves["step"].to_numpy(), codes))
    values = np.column_stack([floats(curves[name]) for name in columns])[order]
    ends = np.searchsorted(codes[order], np.arange(len(names)), side="right")
    return {name: values[start:end] for name, start, end in zip(names, [0, *ends[:-1]], ends, strict=True)}


def _block(runs: Sequence[Floats], statuses: Sequence[str], step: int, axes: int, most: int) -> Floats:
    """The rows of a group, `[rows, t]`, of the points of its runs, each `[t, axes + metrics]`.

    Every run is held at the steps that are shown (`estimates.hold_all`), which gives the place of its last point until
    then: so one search serves all metrics. What was spent at a step is that of the slowest run that still goes on.
    """
    traces = [
        Trace(points[:, step], np.arange(len(points), dtype=np.float64), status)
        for points, status in zip(runs, statuses, strict=True)
    ]
    grid, held = hold_all(traces)
    shown = np.flatnonzero(grid <= _until(traces))
    held = held[:, shown[_thinned(len(shown), most)]]
    inside = np.isfinite(held)
    place = np.where(inside, held, 0).astype(int)
    points = np.stack([own[row] for own, row in zip(runs, place, strict=True)])
    spent = np.where((inside | np.isposinf(held))[:, :, None], points[:, :, :axes], -np.inf).max(axis=0)
    unknown = np.where(np.isposinf(held), np.inf, np.nan)[:, :, None]
    values = np.where(inside[:, :, None], points[:, :, axes:], unknown)
    if len(runs) == 1:
        return np.concatenate([spent, values[0]], axis=1).T
    low, median, high = quantiles(values, (LEVELS[0], 0.5, LEVELS[1]))
    bands = np.stack([median, low, high], axis=-1).reshape(len(median), -1)
    return np.concatenate([spent, bands], axis=1).T


def _until(traces: Sequence[Trace]) -> float:
    """Where most runs have converged, beyond which a median would be a line along the tolerance; else no end."""
    ends = sorted(trace.cost[-1] for trace in traces if trace.status == "converged")
    middle = len(traces) // 2
    return float(ends[middle]) if len(ends) > middle else np.inf


def _thinned(count: int, most: int) -> NDArray[np.integer]:
    """The places of at most `most` of `count` points, the first and the last among them, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int))
