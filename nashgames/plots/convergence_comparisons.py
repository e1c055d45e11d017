"""A distance of the last iterate against comparisons; with many seeds, how bad it is with high probability."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from nashgames.analysis.outcomes import levels, quantiles
from nashgames.plots import estimates, panels
from nashgames.plots.convergence import convergence, marked
from nashgames.plots.distances import DISTANCES, check_distance, extent_of, has_distance, said, scale_cost, usual
from nashgames.plots.estimates import Floats, Trace
from nashgames.plots.layout import axes_of, legend, name_axes
from nashgames.plots.page import styled
from nashgames.plots.palette import FAINT, Look, looks
from nashgames.plots.panels import axis_of
from nashgames.plots.rows import Rows
from nashgames.plots.seeds import MANY_SEEDS, caption_of, groups_of, handles_of

# From the median outwards, in points: the higher the quantile, the thinner its line.
_WIDTHS = (1.3, 0.8, 0.45)
# Opacities between these lines: the bands of four solvers above each other are still told apart.
_SHADES = (0.16, 0.08)
# Bands of more methods than this above each other are brown.
_BANDS = 4
_TOLERANCE: Mapping[str, Any] = {"color": FAINT, "linewidth": 0.6, "linestyle": (0, (1, 2))}
# A line on the edge of the panel would be cut in half.
_ROOM = 1.6
# Diverging runs are drawn up to this factor above the largest first median, as in `convergence`.
_HEADROOM = 1e3
# A tolerance two decades below all that is drawn would press the curves into the upper half of the panel.
_FAR = 100


def applies(rows: Rows) -> bool:
    return rows.sampled and has_distance(rows.runs)


def draw(rows: Rows, distance: str | None = None) -> Figure:
    distance = distance or usual(rows.compared)
    # Of a number that is no distance no quantile is the worse end.
    many = rows.runs["seed"].nunique() >= MANY_SEEDS and distance in DISTANCES
    drawn = tails if many else convergence
    return drawn(rows.curves, rows.compared, distance=distance, x=rows.x, facet=rows.facet, remark=rows.remark)


@styled
def tails(
    curves: pd.DataFrame,
    runs: pd.DataFrame,
    *,
    distance: str = "suboptimality",
    x: str | None = None,
    facet: Sequence[str] | None = None,
    remark: str = "",
    ax: Axes | None = None,
) -> Figure:
    """Median, 90 % and 99 % quantile over the seeds of a distance of the last iterate, against comparisons or queries.

    At every recorded point that is the iterate there: not the best so far, and no average. A quantile but the median is
    the value of one of the seeds, `outcomes.quantiles`; below 100 seeds the outermost line is the maximum, below ten
    there is no 90 %. A diverged seed is worse than all others: where so many have diverged that a quantile is one of
    them, its line ends in a cross. The dotted line is the tolerance. Panels, `x`, `facet` and `remark` are those
    of `convergence`, and so is what is raised.
    """
    check_distance(distance)
    runs, laid = panels.laid(runs, facet)
    x = axis_of(runs, x)
    groups = groups_of(curves, runs, laid, distance, x)
    names = levels(min((len(traces) for group in groups for traces in group.values()), default=1))
    drawn = [{label: _lines(traces, list(names.values())) for label, traces in group.items()} for group in groups]
    figure, axes = axes_of(laid, ax)
    look = looks(panels.named_by(runs))
    tolerances: list[float] = runs["tolerance"].unique().tolist() if distance == "suboptimality" else []
    low, high = _limits(drawn, tolerances)
    ended = False
    for cell, group in zip(axes, drawn, strict=True):
        cell.set(yscale="log", ylim=(low, high))
        scale_cost(cell, extent_of([trace for each in groups for traces in each.values() for trace in traces]))
        _draw_tolerance(cell, tolerances, low)
        for place, (label, own) in enumerate(look.items()):
            if label in group:
                ended |= _draw(cell, group[label], own, low, (place, len(look)))
    name_axes(axes, x, DISTANCES[distance])
    statuses = [(label, trace.status) for group in groups for label, traces in group.items() for trace in traces]
    handles = handles_of(look, statuses)
    if len(names) > 1:
        # From the top, as they stand in the panels.
        told = ", ".join(reversed(names))
        handles.append(tuple(Line2D([], [], color=FAINT, linewidth=_WIDTHS[i], label=told) for i in range(len(names))))
    if ended:
        text = "the quantile is a diverged seed from here on"
        handles.append(Line2D([], [], color=FAINT, linestyle="none", marker="x", markersize=4, label=text))
    dotted = [f"dotted: tolerance {tolerances[0]:g}"] if len(tolerances) == 1 and tolerances[0] > low else []
    legend(figure, ax, handles, caption_of(groups, f"{said(distance)} of the last iterate", [*dotted, remark]))
    return figure


@dataclass(frozen=True)
class _Lines:
    """Quantiles `[levels, t]` at `cost` `[t]`, the median first; inf where they are a diverged seed."""

    cost: Floats
    quantiles: Floats


def _lines(traces: Sequence[Trace], wanted: Sequence[float]) -> _Lines:
    cost, held = estimates.hold_all(traces)
    return _Lines(cost, quantiles(held, wanted))


def _draw(ax: Axes, lines: _Lines, look: Look, low: float, rank: tuple[int, int]) -> bool:
    """The quantiles of the solver of this `rank` among so many, from the rarest to the median, which bears symbols;
    returns whether one of them ends in diverged seeds."""
    ended = False
    shown = np.where(np.isfinite(lines.quantiles), np.maximum(lines.quantiles, low), np.nan)
    symbols = marked(ax, look, *rank, lines.cost, shown[0])
    for inner, outer, shade in zip(shown, shown[1:], _SHADES, strict=False):
        if rank[1] <= _BANDS:
            ax.fill_between(lines.cost, inner, outer, color=look.colour, alpha=shade, linewidth=0, zorder=2)
    for place in reversed(range(len(shown))):
        style: dict[str, Any] = {"color": look.colour, "linewidth": _WIDTHS[place], "zorder": 2.9 - 0.1 * place}
        ax.plot(lines.cost, shown[place], linestyle=look.dashes, **style, **({} if place else symbols))
        lost = np.flatnonzero(np.isposinf(lines.quantiles[place]))
        before = np.flatnonzero(np.isfinite(shown[place]))
        if len(lost) and len(before):
            ended = True
            end = (lines.cost[before[-1]], min(shown[place][before[-1]], ax.get_ylim()[1]))
            mark: dict[str, Any] = {"marker": "x", "markersize": 4, "markeredgewidth": 0.8, "clip_on": False}
            ax.plot(*end, color=look.colour, zorder=3, **mark)
    return ended


def _draw_tolerance(ax: Axes, tolerances: Sequence[float], low: float) -> None:
    for tolerance in tolerances:
        if tolerance > low:
            ax.axhline(tolerance, zorder=1.5, **_TOLERANCE)


def _limits(drawn: Sequence[Mapping[str, _Lines]], tolerances: Sequence[float]) -> tuple[float, float]:
    """Limits over the quantiles of all panels; the tolerance is among them where it is not far below everything."""
    values = np.concatenate([np.empty(0), *(lines.quantiles.ravel() for group in drawn for lines in group.values())])
    positive = values[np.isfinite(values) & (values > 0)]
    if not len(positive):
        return 1e-16, 1.0
    low, high = float(positive.min()), float(positive.max())
    # Diverging runs do not take the space of those that converge.
    first = [lines.quantiles[0][:1] for group in drawn for lines in group.values()]
    high = min(high, _HEADROOM * float(np.max(np.concatenate(first), initial=low)))
    near = [float(tolerance) for tolerance in tolerances if low / _FAR < tolerance]
    # Exact zeros have no logarithm: they are drawn on the lower edge, a decade under the least value that has one.
    return max(min([low, *near]) / (10 if (values == 0).any() else _ROOM), 1e-300), _ROOM * max([high, *near])
