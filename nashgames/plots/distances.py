"""The metrics that curves can show, distances and others, and the scales of their axes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from matplotlib import ticker
from matplotlib.axes import Axes

from nashgames.core.metrics import OF_SEQUENCES, STOPPING_COLUMN, every
from nashgames.defaults import UNLISTED
from nashgames.errors import NashGamesError, unknown
from nashgames.plots.estimates import Floats, Trace
from nashgames.plots.page import page

DISTANCES: Mapping[str, str] = {name: metric.axis for name, metric in every().items() if metric.distance}
"""Columns that fall to 0 as the equilibrium is learned, on a logarithmic axis, and what that says."""

CURVES: Mapping[str, str] = {name: metric.axis for name, metric in every().items()}
"""All columns that curves can show; those that are no distances on a linear axis."""

# Room above and below curves on a linear axis, as a part of it.
_MARGIN = 0.05
# What runs with several targets are all measured in.
_UNASKED = "suboptimality"

# Below two decades a linear axis shows every record, above them it may press the first half of them into a line.
_DECADES = 2
# On a linear axis the shortest curve can be seen when it takes this part of it, the width of a line.
_SHORTEST = 1 / 200
# The part of a linear axis below which the slopes of several curves cannot be told apart.
_CROWDED = 0.1
# Curves that fell less than this are straight on no axis.
_FALLEN = 0.01
# The place of 0 on a logarithmic axis, as a part of a decade: enough for its tick label beside that of the first power.
_ZERO = 0.7
# A curve that falls by less than half beyond a cost has stopped there; the room behind that cost, as a factor; and the
# part of an axis that has to be left, or nothing is gained.
_STILL, _BEYOND, _SAVED = 0.5, 1.15, 0.8
# From numbers of six letters on, the inches that one of them takes.
_LONG, _TICK = 10_000, 0.55
# Room to the right of the last record: its marker is whole, on a logarithmic and on a linear axis.
_ROOM, _ROOM_LINEAR = 1.3, 1.03


def usual(runs: pd.DataFrame) -> str:
    """The distance that is drawn by default: what the runs stop by, where all of them have one target."""
    if "storage" in runs and (runs["storage"] == UNLISTED).all():
        return "estimated_suboptimality"
    targets = set(runs["target"]) if "target" in runs else set()
    return STOPPING_COLUMN[targets.pop()] if len(targets) == 1 else _UNASKED


def has_distance(runs: pd.DataFrame) -> bool:
    """Whether there is a distance to draw: of sequences that are not listed there is one under linear margins alone."""
    return bool((runs["storage"] != UNLISTED).any() or runs["estimated_suboptimality"].notna().any())


def check_distance(distance: str, accepted: Mapping[str, str] = DISTANCES) -> None:
    """Raise NashGamesError, with the nearest one that is, where `distance` is none of those `accepted`."""
    if distance not in accepted:
        raise unknown("distance", distance, accepted)


def check_measured(distance: str, curves: pd.DataFrame) -> None:
    """Raise NashGamesError where no point has this number, as it is one of sequences and no game here has any."""
    if distance in OF_SEQUENCES and (distance not in curves or curves[distance].isna().all()):
        raise NashGamesError(
            f"no run here has a {said(distance)}, which is recorded of games whose actions are sequences; choose "
            "another column, or play such a game again"
        )


def scale_values(ax: Axes, distance: str, limits: tuple[float, float]) -> None:
    """The axis of the values: logarithmic for distances, linear for all others."""
    ax.set(yscale="log" if distance in DISTANCES else "linear", ylim=limits)


def linear_limits(values: Floats) -> tuple[float, float]:
    """Limits of a linear axis with room above and below the finite `values`, also where they are all one."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return 0.0, 1.0
    low, high = float(finite.min()), float(finite.max())
    room = _MARGIN * (high - low) or _MARGIN * abs(high) or _MARGIN
    return low - room, high + room


def said(distance: str) -> str:
    """A distance in a sentence."""
    return every()[distance].label


@dataclass(frozen=True)
class Extent:
    """An axis of queries or comparisons: its `scale`, one of `page.SCALES`; the first positive cost and the last, or 0
    and 0; and whether it is `cut` where the last curve that goes on falling ends."""

    scale: str
    first: float
    last: float
    cut: bool = False


def extent_of(traces: Sequence[Trace], beside: Sequence[Trace] = (), scale: str | None = None) -> Extent:
    """The axis of these curves: linear, or logarithmic, as the page asks, or `scale` does, or else by `scale_of`.

    It is logarithmic too where curves `beside` would leave less than a tenth of a linear one to the others. A linear
    axis is cut where curves that have stopped falling are all that goes on.
    """
    every = np.concatenate([np.zeros(1), *(trace.cost for trace in [*traces, *beside])])
    last, positive = float(every.max()), every[every > 0]
    if not len(positive):
        return Extent("linear", 0.0, 0.0)
    first = float(positive.min())
    end = _falling_end([*traces, *beside], last)
    shown = [_until(trace, end) for trace in [*traces, *beside]]
    crowded = max((float(trace.cost[-1]) for trace in shown[: len(traces)]), default=end) < _CROWDED * end
    scale = page().x_scale or scale or ("log" if crowded else scale_of(shown))
    return Extent(scale, first, end if scale == "linear" else last, cut=scale == "linear" and end < last)


def _falling_end(traces: Sequence[Trace], last: float) -> float:
    """Where an axis may end because what goes on beyond has stopped falling, with some room; else `last`."""
    ends = [float(trace.cost[-1]) for trace in traces if trace.status == "converged" and len(trace.cost)]
    end = _BEYOND * max(ends, default=last)
    if end > _SAVED * last:
        return last
    for trace in traces:
        before, after = trace.values[trace.cost <= end], trace.values[trace.cost > end]
        if len(after) and (not len(before) or np.nanmin(after) < _STILL * np.nanmin(before)):
            return last
    return end


def _until(trace: Trace, end: float) -> Trace:
    """The points of a trace up to a cost."""
    return replace(trace, cost=trace.cost[trace.cost <= end], values=trace.values[trace.cost <= end])


def scale_cost(ax: Axes, extent: Extent) -> None:
    """Give an axis of queries or comparisons its scale, its limits, and on a logarithmic one a place for 0."""
    if extent.scale == "log":
        first = 10.0 ** np.floor(np.log10(extent.first))
        ax.set_xscale("symlog", linthresh=first, linscale=_ZERO)
        ax.xaxis.set_minor_locator(ticker.SymmetricalLogLocator(base=10, linthresh=first, subs=list(range(2, 10))))
        ax.set_xlim(0, extent.last * _ROOM)
    else:
        ax.set_xlim(0, max(extent.last * (1 if extent.cut else _ROOM_LINEAR), 1.0))
        if extent.last >= _LONG:
            figure = ax.get_figure(root=True)
            assert figure is not None
            inches = ax.get_position().width * figure.get_figwidth()
            ax.xaxis.set_major_locator(ticker.MaxNLocator(max(int(inches / _TICK), 2), steps=[1, 2, 2.5, 5, 10]))
            ax.xaxis.set_major_formatter(ticker.StrMethodFormatter("{x:,.0f}"))


def scale_of(traces: Sequence[Trace]) -> str:
    """The scale on which curves over a logarithmic distance are read: `linear` where most are straight on it.

    There the slope of geometric convergence is its rate. It is `log` where most are straighter on that, where half of
    them would take less than a tenth of a linear axis or the shortest be too short to see, and always linear where
    records span less than two decades.
    """
    costs = np.concatenate([np.zeros(1), *(trace.cost for trace in traces)])
    positive = costs[costs > 0]
    if not len(positive) or positive.max() <= 10**_DECADES * positive.min():
        return "linear"
    falling = [trace for trace in traces if _falls(trace)]
    straight = sum(_straightness(trace, np.asarray) >= _straightness(trace, np.log) for trace in falling)
    ends = np.array([trace.cost[-1] for trace in falling]) / positive.max()
    wide = len(ends) and ends.min() >= _SHORTEST and np.median(ends) >= _CROWDED
    return "linear" if 2 * straight > len(falling) and wide else "log"


def _falls(trace: Trace) -> bool:
    values = trace.values[np.isfinite(trace.values) & (trace.values > 0)]
    return len(values) > 2 and float(values[-1]) <= _FALLEN * float(values[0])


def _straightness(trace: Trace, scale: Callable[[Floats], Floats]) -> float:
    """|correlation| of the logarithm of the values with the scaled cost."""
    shown = np.isfinite(trace.values) & (trace.values > 0) & (trace.cost > 0)
    # A standard deviation of 0 is that of a single point, which is as straight on every scale.
    with np.errstate(invalid="ignore", divide="ignore"):
        found = np.corrcoef(scale(trace.cost[shown]), np.log(trace.values[shown]))[0, 1] if shown.sum() > 1 else 0.0
    return abs(float(np.nan_to_num(found)))
