"""Queries to the tolerance against the number of actions, or against β."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from nashgames.analysis.outcomes import quantiles
from nashgames.analysis.theorems import NASH_MP, Law, kl_bound, law_of
from nashgames.defaults import TARGET
from nashgames.plots.estimates import Floats
from nashgames.plots.palette import FAINT, THEOREM, Look, looks, plain, styled
from nashgames.plots.panels import PROBLEM, Handle, axes_of, facets, floats, legend, name_axes, prepare, several
from nashgames.plots.rows import Rows
from nashgames.plots.seeds import MANY_SEEDS

# The median, and the seeds without the best and the worst tenth.
_LEVELS = (0.1, 0.5, 0.9)
# Solvers of nearly one cost would hide each other: they stand side by side, this part of the axis apart, a marker wide.
_ASIDE = 0.024
# Room beside and above the outermost marks, as factors of logarithmic axes.
_ROOM, _ROOM_ABOVE = 1.5, 1.6
# More ticks than this would touch each other.
_TICKS = 6


def applies(rows: Rows) -> bool:
    return not rows.sampled and (several(rows.compared["n"]) or several(rows.compared["beta"]))


def draw(rows: Rows) -> Figure:
    return scaling(rows.compared, remark=rows.remark)


@styled
def scaling(runs: pd.DataFrame, *, remark: str = "", ax: Axes | None = None) -> Figure:
    """Median queries to the tolerance against n, or against β where all runs have one n, on logarithmic axes.

    Bars are the 10–90 % quantiles over the seeds, where those arrived. Where more than half of the seeds did not, the
    symbol is open and at the median of the queries that were spent. The dashed line is the theorem's bound on Nash-MP
    (theory §4.1), in which n does not occur. With several n and β there is a panel for every β. Raises NashGamesError
    for no runs, or several panels in `ax`.
    """
    runs = prepare(runs)
    x = "n" if several(runs["n"]) else "beta"
    laid = facets(runs, [key for key in (*PROBLEM, "beta") if key != x])
    figure, axes = axes_of(laid, ax)
    look = looks(dict(zip(runs["label"], runs["solver"], strict=True)))
    places = np.sort(runs[x].unique()).astype(float)
    apart = (places[-1] / places[0] * _ROOM**2) ** _ASIDE
    tops, proved = [_spent(runs).max()], False
    for cell, panel in zip(axes, laid.panels, strict=True):
        cell.set(xscale="log", yscale="log", xlim=(places[0] / _ROOM, places[-1] * _ROOM))
        for at, queries in _bounds(panel.runs, x):
            cell.plot(at, queries, zorder=1.5, **THEOREM)
            tops.append(queries.max())
            proved = True
        for rank, (label, own) in enumerate(look.items()):
            aside = apart ** (rank - (len(look) - 1) / 2)
            _draw(cell, panel.runs[panel.runs["label"] == label], x, own, aside)
    least = max(float(_spent(runs).min()), 1.0)
    for cell in axes:
        cell.set_ylim(least / _ROOM_ABOVE, max(tops) * _ROOM_ABOVE)
        if len(places) <= _TICKS:
            cell.xaxis.set_minor_locator(ticker.NullLocator())
            cell.set_xticks(places, [f"{place:g}" for place in places])
    name_axes(axes, {"n": "actions n", "beta": "β"}[x], "queries to the tolerance")
    legend(figure, ax, _handles(runs, look, proved=proved), _caption(runs, remark))
    return figure


def _reached(runs: pd.DataFrame) -> Floats:
    """Queries to the tolerance; inf where it was not reached."""
    queries = floats(runs["queries_to_tolerance"])
    return np.where(np.isnan(queries), np.inf, queries)


def _spent(runs: pd.DataFrame) -> Floats:
    """Queries to the tolerance, or all that were made where it was not reached."""
    queries = floats(runs["queries_to_tolerance"])
    return np.where(np.isnan(queries), floats(runs["queries"]), queries)


def _bounds(runs: pd.DataFrame, x: str) -> list[tuple[Floats, Floats]]:
    """Where, and in how many queries, the theorem brings Nash-MP to its tolerance: a line for every label."""
    lines = []
    for _, mine in runs[runs["solver"] == NASH_MP].groupby("label", sort=True):
        found = {
            float(row[x]): _proved(law, row["tolerance"])
            for row in mine.to_dict("records")
            if row["tolerance"] > 0 and row.get("target", TARGET) == TARGET and (law := law_of(row)) is not None
        }
        if found:
            lines.append((np.array(sorted(found)), np.array([found[place] for place in sorted(found)])))
    return lines


def _proved(law: Law, tolerance: float) -> float:
    """N = 2K + 1 with SubOpt(π_{K+½}) ≤ (β + 1/(4β))/(2βη)·(1+η)^{−K} = tolerance."""
    first = float(law.half_step(kl_bound(law, 0)))
    return 1 + 2 * max(float(np.log(first / tolerance)), 0.0) / float(np.log1p(law.eta))


def _draw(ax: Axes, runs: pd.DataFrame, x: str, look: Look, aside: float) -> None:
    groups = runs.groupby(x)
    if not len(groups):
        return
    at = floats(groups[x].first()) * aside
    low, median, high = np.transpose([quantiles(_reached(mine), _LEVELS) for _, mine in groups])
    spent = np.array([quantiles(_spent(mine), [0.5])[0] for _, mine in groups])
    there = np.isfinite(median)
    shown = np.where(there, median, spent)
    bars = there & np.isfinite(high)
    ax.vlines(at[bars], low[bars], high[bars], color=look.colour, linewidth=0.8)
    style: dict[str, Any] = {"color": look.colour, "markersize": 3.5, "zorder": 3}
    ax.plot(at, np.where(there, shown, np.nan), linestyle=look.dashes, marker=look.marker, **style)
    ax.plot(at[~there], shown[~there], linestyle="none", marker=look.marker, markerfacecolor="white", **style)


def _handles(runs: pd.DataFrame, look: dict[str, Look], *, proved: bool) -> list[Handle]:
    handles: list[Handle] = []
    for label, own in look.items():
        mine = _reached(runs[runs["label"] == label])
        lost = int(np.isinf(mine).sum())
        handles.append(own.handle(plain(label) + (f" ({lost} of {len(mine)} did not arrive)" if lost else "")))
    if proved:
        handles.append(Line2D([], [], label="theorem (half step), any n", **THEOREM))
    if np.isinf(_reached(runs)).any():
        style: dict[str, Any] = {"color": FAINT, "linestyle": "none", "marker": "o", "markerfacecolor": "white"}
        handles.append(Line2D([], [], label="did not arrive, queries spent", markersize=3.5, **style))
    return handles


def _caption(runs: pd.DataFrame, remark: str) -> str:
    tolerances: Sequence[float] = runs["tolerance"].unique().tolist()
    parts = [f"tolerance {tolerances[0]:g}"] if len(tolerances) == 1 else []
    seeds = runs["seed"].nunique()
    # Of fewer than ten these quantiles are the least and the greatest value.
    parts += [f"median and {'range' if seeds < MANY_SEEDS else '10–90 % quantiles'} over {seeds} seeds"] * (seeds > 1)
    return "; ".join([*parts, *filter(None, [remark])])
