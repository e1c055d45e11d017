"""The metrics that curves can show, which fall to 0 as the equilibrium is learned, and the scale of their cost axis."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib import ticker
from matplotlib.axes import Axes

from nashgames.core.metrics import ESTIMATES, METRICS, STOPPING_COLUMN, Estimated, Metric
from nashgames.defaults import UNLISTED
from nashgames.errors import unknown
from nashgames.plots.estimates import Floats, Trace
from nashgames.plots.page import page

_MEASURED: Mapping[str, Metric | Estimated] = {**METRICS, **ESTIMATES}
DISTANCES: Mapping[str, str] = {name: metric.axis for name, metric in _MEASURED.items() if metric.distance}
"""Columns that curves can show, and what their axis says."""

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


def check_distance(distance: str) -> None:
    """Raise NashGamesError, with the nearest one that is, where `distance` is none of `DISTANCES`."""
    if distance not in DISTANCES:
        raise unknown("distance", distance, DISTANCES)


def said(distance: str) -> str:
    """A distance in a sentence."""
    return _MEASURED[distance].label


def scale_cost(ax: Axes, traces: Sequence[Trace], beside: Sequence[Trace] = ()) -> None:
    """The axis of queries or comparisons: linear, or logarithmic with a place for 0, as the page asks or `scale_of`.

    It is logarithmic too where curves `beside` would leave less than a tenth of a linear one to the others.
    """
    every = np.concatenate([np.zeros(1), *(trace.cost for trace in [*traces, *beside])])
    last, positive = float(every.max()), every[every > 0]
    crowded = max((float(trace.cost[-1]) for trace in traces), default=last) < _CROWDED * last
    if len(positive) and (page().x_scale or ("log" if crowded else scale_of([*traces, *beside]))) == "log":
        first = 10.0 ** np.floor(np.log10(positive.min()))
        ax.set_xscale("symlog", linthresh=first, linscale=_ZERO)
        ax.xaxis.set_minor_locator(ticker.SymmetricalLogLocator(base=10, linthresh=first, subs=list(range(2, 10))))
        ax.set_xlim(0, last * _ROOM)
    else:
        ax.set_xlim(0, max(last * _ROOM_LINEAR, 1.0))
        if last >= _LONG:
            figure = ax.get_figure(root=True)
            assert figure is not None
            inches = ax.get_position().width * figure.get_figwidth()
            ax.xaxis.set_major_locator(ticker.MaxNLocator(max(int(inches / _TICK), 2), steps=[1, 2, 2.5, 5, 10]))
            ax.xaxis.set_major_formatter(ticker.StrMethodFormatter("{x:,.0f}"))


def scale_of(traces: Sequence[Trace]) -> str:
    """The scale on which curves over a logarithmic distance are read: `linear` where most are straight on it.

    There the slope of geometric convergence is its rate. It is `log` where most are straighter on that, or where the
    shortest of them would be too short to see on a linear axis, and always linear where records span less than two
    decades.
    """
    costs = np.concatenate([np.zeros(1), *(trace.cost for trace in traces)])
    positive = costs[costs > 0]
    if not len(positive) or positive.max() <= 10**_DECADES * positive.min():
        return "linear"
    falling = [trace for trace in traces if _falls(trace)]
    straight = sum(_straightness(trace, np.asarray) >= _straightness(trace, np.log) for trace in falling)
    shortest = min((float(trace.cost[-1]) for trace in falling), default=0.0)
    return "linear" if 2 * straight > len(falling) and shortest >= _SHORTEST * positive.max() else "log"


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
