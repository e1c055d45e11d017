"""Distances against queries or comparisons: medians, quantile bands, how every run ended, and the theorem's line."""

import json
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from nashgames.analysis.outcomes import on_samples
from nashgames.plots import estimates, panels
from nashgames.plots.distances import (
    CURVES,
    DISTANCES,
    Extent,
    check_distance,
    extent_of,
    linear_limits,
    said,
    scale_cost,
    scale_values,
    usual,
)
from nashgames.plots.estimates import Band, Floats, Trace
from nashgames.plots.labels import Curve, name_ends
from nashgames.plots.layout import Handle, Sharing, axes_of, legend, name_axes
from nashgames.plots.naming import told_apart
from nashgames.plots.page import SCALES, styled
from nashgames.plots.palette import BOUND, FAINT, Look, looks
from nashgames.plots.panels import Panel, axis_of, traces_of
from nashgames.plots.rows import Rows
from nashgames.plots.seeds import MANY_SEEDS

# Deciles: with the twenty seeds of an ordinary experiment they are still values of single runs, not of the extremes.
_LEVELS = (0.1, 0.9)
# Diverging runs are drawn up to this factor above the largest first value: three decades show that they grow and leave
# the space to those that converge.
_HEADROOM = 1e3
# Margin above what is drawn, as a factor: a line along the edge would be cut in half.
_ROOM = 2.0
# A bound is informative when it ends a decade below the first value of the method.
_INFORMS = 0.1
# One axis of costs serves panels whose curves all fill half of it.
_FILLED = 0.5
# Symbols on a line are a fifth of the panel apart: they tell apart lines that hide each other.
_APART = 0.2
# Bands of more methods than this cover each other: they are light enough that two of them can be seen.
_MANY_BANDS = 3
# The style of single runs, which are drawn under their median: thin and pale enough not to hide it.
_SINGLE: Mapping[str, Any] = {"linewidth": 0.6, "alpha": 0.6}
# The column of prepared runs that says which are drawn beside their tuned ones, and their lines.
_UNTUNED = "untuned"
_DOTTED: Mapping[str, Any] = {"linestyle": (0, (1, 1.6)), "linewidth": 1.2, "zorder": 2.3}
# Markers of one entry from which they are stored as pixels: an SVG of single marks would be megabytes.
_MANY = 200
# The ends of runs, symbols of no method: a bar below a curve that reached its tolerance, a cross where it diverged;
# sizes in points.
_ENDS = (("converged", "_", 5.0), ("diverged", "x", 4.5))
_REMARK: Mapping[str, Any] = {"color": FAINT, "fontsize": "small"}


def applies(rows: Rows) -> bool:
    return not rows.sampled


def draw(rows: Rows, distance: str | None = None) -> Figure:
    distance = distance or usual(rows.compared)
    return convergence(
        rows.curves,
        rows.compared,
        distance=distance,
        x=rows.x,
        facet=rows.facet,
        remark=rows.remark,
        untuned=rows.untuned,
    )


@styled
def convergence(
    curves: pd.DataFrame,
    runs: pd.DataFrame,
    *,
    distance: str = "suboptimality",
    x: str | None = None,
    facet: Sequence[str] | None = None,
    bound: bool = True,
    remark: str = "",
    untuned: pd.DataFrame | None = None,
    ax: Axes | None = None,
) -> Figure:
    """A distance (logarithmic), or another metric (linear), against queries, on samples comparisons, or steps.

    A panel is a game, n, policy, feedback and β. Runs that differ in the seed only become a median, as far as half of
    them still run, and with it a 10–90 % quantile band, or each of fewer than ten of them. A bar is where a run reached
    its tolerance, a cross where it diverged. `x` chooses another of `panels.AXES`, `facet` other columns for the panels
    (`panels.laid`). `bound` draws what is proved (theory §4.1) of nash-mp with η ≤ 2β in queries on exact feedback, in
    its colour, as far as it was played, if it is informative in every panel; limits are those of the runs: a bound for
    the KL, one for the half step for the suboptimality and the duality gap, the order alone for the span. The `remark`
    joins the caption. `untuned` are runs of the same solvers with the steps they were given, dotted in their colours.
    Raises NashGamesError for an unknown distance, axis or facet, no runs, runs on exact feedback together with runs on
    samples, or several panels in `ax`.
    """
    check_distance(distance, CURVES)
    beside = runs.head(0) if untuned is None else untuned
    both = pd.concat([runs.assign(untuned=False), beside.assign(untuned=True)])
    runs, laid = panels.laid(both, facet, beside=[_UNTUNED])
    x = axis_of(runs, x)
    traces = traces_of(curves, runs, distance, x)
    bound = bound and x == "queries" and not on_samples(runs).any()
    drawn = _informed([_estimate(panel, traces, distance, bound) for panel in laid.panels])
    share, extents = _extents(laid, drawn)
    figure, axes = axes_of(laid, ax, x=share)
    look = looks(panels.named_by(runs[~runs[_UNTUNED]]))
    low, high = _limits(drawn, distance)
    for cell, curves_here, extent in zip(axes, drawn, extents, strict=True):
        scale_values(cell, distance, (low, high))
        scale_cost(cell, extent)
        _draw(cell, curves_here, look, low, high)
    name_axes(axes, x, CURVES[distance])
    names, others = _handles(drawn, look, distance)
    others += _dotted(runs)
    if ax is None and len(axes) == 1 and name_ends(figure, axes[0], *_named(drawn[0], look, names, low)):
        names = {}
    if any(extent.cut for extent in extents):
        cut = "an axis ends behind the last curve that converges where the others have stopped falling"
        remark = "; ".join(filter(None, [cut, remark]))
    legend(figure, ax, [*names.values(), *others], _caption(drawn, distance, x, remark))
    return figure


@dataclass(frozen=True)
class _Theorem:
    """What is proved of the solver `label` with one step size: `values` `[t]` at `queries` `[t]`, as far as it went."""

    label: str
    eta: float
    beta: float
    queries: Floats
    values: Floats


@dataclass(frozen=True)
class _Curves:
    """What one panel shows: the traces and the band of every label, the proved bounds, and those that are not
    informative.

    `untuned` are traces of labels that are drawn beside their tuned ones.
    """

    traces: Mapping[str, list[Trace]]
    untuned: Mapping[str, list[Trace]]
    bands: Mapping[str, Band]
    theorems: list[_Theorem]
    empty: Set[str]

    @property
    def all(self) -> list[Trace]:
        return [trace for groups in (self.traces, self.untuned) for group in groups.values() for trace in group]


def _estimate(panel: Panel, traces: Mapping[str, Trace], distance: str, bound: bool) -> _Curves:
    measured = panel.runs[panel.runs["run_id"].isin(list(traces))]
    found, untuned = (
        {str(label): [traces[run] for run in group] for label, group in mine.groupby("label")["run_id"]}
        for mine in (measured[~measured[_UNTUNED]], measured[measured[_UNTUNED]])
    )
    bands = {label: estimates.over_runs(group, _LEVELS) for label, group in found.items()}
    proved = _proved(panel, bands, distance) if bound else []
    empty = {theorem.label for theorem in proved if not _informs(theorem, bands[theorem.label])}
    return _Curves(found, untuned, bands, proved, empty)


def _informed(drawn: Sequence[_Curves]) -> list[_Curves]:
    """The panels with the bounds that are informative in all of them: what a legend names is in every panel."""
    empty = {label for curves in drawn for label in curves.empty}
    return [replace(curves, theorems=[each for each in curves.theorems if each.label not in empty]) for curves in drawn]


def _proved(panel: Panel, bands: Mapping[str, Band], distance: str) -> list[_Theorem]:
    """The bounds on the runs of nash-mp in a panel."""
    theorems = []
    mine = panel.runs[(panel.runs["solver"] == "nash-mp") & ~panel.runs[_UNTUNED]].drop_duplicates("hyperparameters")
    for label, beta, text in mine[["label", "beta", "hyperparameters"]].itertuples(index=False):
        eta = json.loads(text).get("eta")
        # The slack admits η = 2β that went through decimal text or float32.
        if isinstance(eta, int | float) and 0 < eta <= 2 * beta * (1 + 1e-6) and label in bands:
            last = bands[label].cost[-1]
            queries = np.unique(np.concatenate([np.linspace(0, last, 500), np.geomspace(1, max(last, 1), 500)]))
            values = _bound(distance, queries, beta, eta, bands[label])
            theorems += [] if values is None else [_Theorem(label, eta, beta, queries, values)]
    return theorems


def _informs(theorem: _Theorem, band: Band) -> bool:
    began = band.median[np.isfinite(band.median) & (band.median > 0)]
    return bool(len(began)) and float(theorem.values[-1]) <= _INFORMS * float(began[0])


def _bound(distance: str, queries: Floats, beta: float, eta: float, band: Band) -> Floats | None:
    if distance == "kl_to_equilibrium":
        return estimates.kl_bound(queries, beta, eta)
    if distance == "suboptimality":
        return estimates.suboptimality_bound(queries, beta, eta)
    if distance == "duality_gap":
        return 2 * estimates.suboptimality_bound(queries, beta, eta)
    measured = np.flatnonzero(np.isfinite(band.median) & (band.median > 0))
    if distance != "span_to_equilibrium" or not len(measured):
        return None
    start = float(band.median[measured[0]])
    return start * estimates.proved_order(queries - band.cost[measured[0]], eta)


def _draw(ax: Axes, curves: _Curves, look: Mapping[str, Look], low: float, high: float) -> None:
    for theorem in curves.theorems:
        ax.plot(theorem.queries, theorem.values, color=look[theorem.label].colour, **BOUND)
    for label, group in curves.untuned.items():
        ax.plot(*_median(estimates.over_runs(group, _LEVELS), group, low), color=look[label].colour, **_DOTTED)
    light = len(curves.bands) > _MANY_BANDS
    for place, (label, own) in enumerate(look.items()):
        if label not in curves.bands:
            continue
        band = curves.bands[label]
        if band.runs >= MANY_SEEDS:
            lower, upper = (np.clip(edge, low, 10 * high) for edge in (band.lower, band.upper))
            ax.fill_between(band.cost, lower, upper, color=own.colour, alpha=0.1 if light else 0.18, linewidth=0)
        elif band.runs > 1:
            # Of a few seeds a band between the extremes hides all others, and bands on each other make one grey.
            for trace in curves.traces[label]:
                values = np.where(np.isfinite(trace.values), np.clip(trace.values, low, 10 * high), np.nan)
                ax.plot(trace.cost, values, color=own.colour, zorder=2.2, **_SINGLE)
        cost, shown = _median(band, curves.traces[label], low)
        ax.plot(
            cost,
            shown,
            color=own.colour,
            linestyle=own.dashes,
            zorder=2.5,
            **marked(ax, own, place, len(look), cost, shown),
        )
        missing = ~np.isfinite(np.concatenate([[np.nan], shown, [np.nan]]))
        alone = ~missing[1:-1] & missing[:-2] & missing[2:]
        _dots(ax, own.colour, own.marker, 2.5, cost[alone], shown[alone])
        for status, marker, size in _ENDS:
            ends = [_end(trace) for trace in curves.traces[label] if trace.status == status]
            points = np.array([end for end in ends if end is not None]).reshape(-1, 2)
            _dots(ax, own.colour, marker, size, points[:, 0], np.clip(points[:, 1], low, high))
    if not any(np.isfinite(trace.values).any() for trace in curves.all):
        ax.text(0.5, 0.5, "not measured", transform=ax.transAxes, ha="center", va="center", **_REMARK)


def _median(band: Band, traces: Sequence[Trace], low: float) -> tuple[Floats, Floats]:
    """The medians of a band at `cost` `[t]`, at least `low`, NaN where there is none, and no farther than to where most
    runs have converged: a line along the tolerance would say how long the others went on, which their own ends do."""
    cost, shown = band.cost, np.where(np.isfinite(band.median), np.maximum(band.median, low), np.nan)
    ends = sorted((trace.cost[-1], trace.values[-1]) for trace in traces if trace.status == "converged")
    if len(ends) <= len(traces) // 2:
        return cost, shown
    last, value = ends[len(traces) // 2]
    return np.append(cost[cost < last], last), np.append(shown[cost < last], max(value, low))


def marked(ax: Axes, look: Look, place: int, of: int, x: Floats, y: Floats) -> dict[str, Any]:
    """The symbols on the line through `x`, `y` `[t]`, at this `place` of a legend: between those of the others.

    They are spaced evenly along the lower envelope of the curve, so that noise gathers none.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        across, up = ax.transAxes.inverted().transform(ax.transData.transform(np.column_stack([x, y]))).T
    seen = np.flatnonzero(np.isfinite(across) & np.isfinite(up))
    way = np.diff(across[seen], prepend=across[seen[:1]]) - np.diff(
        np.minimum.accumulate(up[seen]), prepend=up[seen[:1]]
    )
    wanted = np.arange(_APART * (place + 0.5) / of, way.sum(), _APART)
    return {
        "marker": look.marker,
        "markevery": [int(i) for i in np.unique(seen[np.searchsorted(np.cumsum(way), wanted)])],
    }


def _end(trace: Trace) -> tuple[float, float] | None:
    """The last finite point of a run."""
    finite = np.flatnonzero(np.isfinite(trace.values))
    return (trace.cost[finite[-1]], trace.values[finite[-1]]) if len(finite) else None


def _dots(ax: Axes, colour: str, marker: str, size: float, x: Floats, y: Floats) -> None:
    if len(x):
        style: dict[str, Any] = {"linestyle": "none", "clip_on": False, "zorder": 3}
        ax.plot(x, y, color=colour, marker=marker, markersize=size, rasterized=len(x) > _MANY, **style)


def _extents(laid: panels.Facets, drawn: Sequence[_Curves]) -> tuple[Sharing, list[Extent]]:
    """Which panels share an axis of costs, as `layout.axes_of`, and that of every panel.

    One for all serves where it is linear and curves fill half of it in every panel. Else each column of a grid has its
    own, and so has each panel of a list.
    """
    every = extent_of(*_costs(drawn))
    grid = any(panel.heading for panel in laid.panels)
    places = [panel.column if grid else place for place, panel in enumerate(laid.panels)]
    groups = {at: [each for each, place in zip(drawn, places, strict=True) if place == at] for at in places}
    # Curves that are straight in one panel of a column may be a line along the axis in another.
    scales = {
        at: max((extent_of(*_costs([each])).scale for each in mine), key=SCALES.index) for at, mine in groups.items()
    }
    own = {at: extent_of(*_costs(mine), scale=scales[at]) for at, mine in groups.items()}
    alike = all(each.scale == every.scale and _FILLED * every.last <= each.last for each in own.values())
    if len(own) == 1 or alike:
        return "all", [every] * len(drawn)
    return "col" if grid else "none", [own[at] for at in places]


def _costs(drawn: Sequence[_Curves]) -> tuple[list[Trace], list[Trace]]:
    """The traces of all panels, and those of solvers that are not tuned beside them."""
    own = [trace for curves in drawn for group in curves.traces.values() for trace in group]
    beside = [trace for curves in drawn for group in curves.untuned.values() for trace in group]
    return own, beside


def _limits(drawn: Sequence[_Curves], distance: str) -> tuple[float, float]:
    """Limits of the distance over the runs of all panels; above there is bounded room for diverging runs."""
    traces = [trace.values[np.isfinite(trace.values)] for curves in drawn for trace in curves.all]
    values = np.concatenate([np.empty(0), *traces])
    if distance not in DISTANCES:
        return linear_limits(values)
    positive = values[values > 0]
    if not len(positive):
        return 1e-16, 1.0
    first = [trace[trace > 0][:1] for trace in traces]
    high = min(positive.max(), _HEADROOM * np.concatenate(first).max())
    # Exact zeros have no logarithm: they are drawn on the lower edge, a decade under the least value that has one.
    low = positive.min() / (10 if (values == 0).any() else _ROOM)
    return float(max(low, 1e-300)), float(high * _ROOM)


def _named(
    curves: _Curves, look: Mapping[str, Look], names: Mapping[str, Line2D], low: float
) -> tuple[list[Curve], list[tuple[Floats, Floats]]]:
    """The curves of a panel with the names of their entries, and the lines that no name may touch."""
    own = {label: _median(band, curves.traces[label], low) for label, band in curves.bands.items()}
    named = [
        Curve(str(handle.get_label()), look[label].colour, *own[label])
        for label, handle in names.items()
        if label in own
    ]
    few = [
        trace for label, band in curves.bands.items() if 1 < band.runs < MANY_SEEDS for trace in curves.traces[label]
    ]
    few += [trace for group in curves.untuned.values() for trace in group]
    lines = [(trace.cost, np.where(trace.values > min(low, 0), np.maximum(trace.values, low), np.nan)) for trace in few]
    return named, lines + [(theorem.queries, theorem.values) for theorem in curves.theorems]


def _handles(
    drawn: Sequence[_Curves], look: Mapping[str, Look], distance: str
) -> tuple[dict[str, Line2D], list[Handle]]:
    """The legend entry of every label, and those of everything else."""
    names = {}
    called = told_apart(look)
    for label, own in look.items():
        statuses = [trace.status for curves in drawn for trace in curves.traces.get(label, [])]
        lost = statuses.count("diverged")
        names[label] = own.handle(called[label] + (f" ({lost} of {len(statuses)} diverged)" if lost else ""))
    theorems = {theorem.label: theorem for curves in drawn for theorem in curves.theorems}
    handles: list[Handle] = []
    what = "slope proved" if distance == "span_to_equilibrium" else "proved bound"
    for label in theorems:
        handles.append(Line2D([], [], color=look[label].colour, label=f"{called[label]}, {what}", **BOUND))
    if any(1 < band.runs < MANY_SEEDS for curves in drawn for band in curves.bands.values()):
        handles.append(Line2D([], [], color=FAINT, label="single seeds", **_SINGLE))
    present = {trace.status for curves in drawn for trace in curves.all}
    for status, marker, size in _ENDS:
        if status in present:
            handles.append(Line2D([], [], color=FAINT, linestyle="none", marker=marker, markersize=size, label=status))
    return names, handles


def _dotted(runs: pd.DataFrame) -> list[Handle]:
    """The entry of the solvers as they were asked for, which says where their steps come from."""
    if not runs[_UNTUNED].any():
        return []
    sources = sorted(set(runs.loc[runs[_UNTUNED], "step_source"]), reverse=True)
    return [Line2D([], [], color=FAINT, label=f"not tuned: step by {' or '.join(sources)}", **_DOTTED)]


def _caption(drawn: Sequence[_Curves], distance: str, x: str, remark: str) -> str:
    """What is drawn, over how many seeds, what is proved, what the logarithm cannot show, and the remark."""
    parts = [f"{said(distance)} against {x}"]
    counts = [band.runs for curves in drawn for band in curves.bands.values()]
    if max(counts, default=1) > 1:
        over = f"{min(counts)}" if min(counts) == max(counts) else f"{min(counts)}–{max(counts)}"
        if max(counts) < MANY_SEEDS:
            parts.append(f"median, thick, of {over} seeds, thin")
        else:
            parts.append(f"median and {100 * _LEVELS[0]:g}–{100 * _LEVELS[1]:g} % quantile band over {over} seeds")
    theorems = [theorem for curves in drawn for theorem in curves.theorems]
    if theorems:
        largest = all(np.isclose(theorem.eta, 2 * theorem.beta, rtol=1e-5) for theorem in theorems)
        rate = "(1+2β)^(−N/2)" if largest else "(1+η)^(−N/2)"
        kinds = {"kl_to_equilibrium": "bound", "span_to_equilibrium": "slope"}
        parts.append(f"dashed: the theorem's {kinds.get(distance, 'bound on the half step')}, {rate} after N queries")
    if any(curves.empty for curves in drawn):
        parts.append("proved bounds that stay above a tenth of the first value in some panel are not drawn")
    if distance in DISTANCES and any((trace.values == 0).any() for curves in drawn for trace in curves.all):
        parts.append("zeros are drawn on the lower edge")
    return "; ".join([*parts, remark] if remark else parts)
