"""Proved bounds as lines and measured runs in shades that tell n."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from nashgames.analysis import theorems
from nashgames.analysis.theorems import Law, kl_bound, laws_of
from nashgames.plots.layout import Handle, axes_of, legend, name_axes
from nashgames.plots.page import styled
from nashgames.plots.palette import THEOREM
from nashgames.plots.panels import facets, floats, prepare, say
from nashgames.plots.rows import Rows

_SHADES = "viridis_r"
# The ends of the scale, too light for a thin line on white and too close to the black of the bound, are left out.
_LIGHTEST, _DARKEST = 0.12, 0.95
# Half a decade above the bound at the start, and below the least value: no line runs along the edge.
_HEADROOM = 3.0
# Height of a panel as a part of its width: straight lines need little of it, and four rows are no higher than a page.
_HIGH = 0.55
# Points of the bound, a straight line on this axis but at its start: more than the pixels of a panel.
_POINTS = 1000
# More names of games than this make the caption longer than the panels are wide.
_NAMED = 6


def applies(rows: Rows) -> bool:
    return any(theorems.law_of(row) is not None for row in rows.runs.to_dict("records"))


def draw(rows: Rows) -> Figure:
    return bounds(rows.curves, rows.runs)


@styled
def bounds(curves: pd.DataFrame, runs: pd.DataFrame) -> Figure:
    """KL(π*‖π) against queries for every run that a theorem covers, and the bound.

    A row per solver, a column per β; one line per run, darker for more actions; of Nash-MP the whole steps are shown,
    which the theorem is about. Raises NashGamesError when no theorem covers any run.
    """
    laws = laws_of(runs)
    covered = prepare(runs[runs["run_id"].isin(laws)])
    # The bound knows no reference: runs with several are lines of one panel.
    laid = facets(covered, ["label", "beta"])
    games = list(covered["game"].unique())
    played = say("game", games[0]) if len(games) == 1 else f"{len(games)} games"
    titles = [f"KL to the equilibrium and its proved bound: {played}", laid.title]
    laid = replace(laid, title=" · ".join(filter(None, titles)))
    sizes = np.sort(covered["n"].unique())
    figure, axes = axes_of(laid, None, x="none", y="none", each=_HIGH)
    points = dict(tuple(curves.groupby("run_id", sort=False)))
    low, high = _limits(curves[curves["run_id"].isin(covered["run_id"])], covered)
    for panel, cell in zip(laid.panels, axes, strict=True):
        last: dict[Law, float] = {}
        # The largest game is drawn last: it is the one that the small ones must not hide.
        for run, n in panel.runs.sort_values("n", kind="stable")[["run_id", "n"]].itertuples(index=False):
            queries, kl = _whole_steps(points[run], laws[run])
            shown = np.where(kl > 0, np.maximum(kl, low), np.nan)
            cell.plot(queries, shown, color=_shade(n, sizes), linewidth=0.9, zorder=2.5)
            last[laws[run]] = max(last.get(laws[run], 1.0), queries[-1])
        for law in last:
            steps, queries = _grid(law, max(last.values()))
            cell.plot(queries, kl_bound(law, steps), zorder=2, **THEOREM)
        cell.set(xlim=(0, max(last.values()) * 1.03))
        cell.set(yscale="log", ylim=(low, high))
        cell.tick_params(labelleft=panel.column == 0)
    name_axes(axes, "queries", "KL to equilibrium\n" r"$\mathrm{KL}(\pi^{*}\,\Vert\,\pi)$")
    handles: list[Handle] = [Line2D([], [], color=_shade(n, sizes), label=say("n", n)) for n in sizes]
    handles.append(Line2D([], [], label=r"proved, from $1/(2\beta)$", **THEOREM))
    named = ", ".join(say("game", game) for game in games) if len(games) <= _NAMED else f"{len(games)} games"
    said = "KL to the equilibrium against queries, each line a run" + (f" on {named}" if len(games) > 1 else "")
    legend(figure, None, handles, f"{said}; dashed: the proved bound")
    return figure


def _shade(n: int, sizes: Any) -> Any:
    """The colour of a size: the darker the larger, evenly over the sizes that are there."""
    place = float(np.searchsorted(sizes, n)) / max(len(sizes) - 1, 1)
    return colormaps[_SHADES](_LIGHTEST + (_DARKEST - _LIGHTEST) * place)


def _whole_steps(points: pd.DataFrame, law: Law) -> tuple[Any, Any]:
    """Queries and KL at the steps that the theorem bounds: all, but the halves of Nash-MP."""
    points = points.sort_values("step", kind="stable")
    if law.solver == theorems.HALVES:
        points = points[points["step"] % 2 == 0]
    return floats(points["queries"]), floats(points["kl_to_equilibrium"])


def _grid(law: Law, last: float) -> tuple[Any, Any]:
    """Whole steps of the bound up to `last` queries, at most about a thousand, and their queries."""
    each = theorems.queries_of(law)
    whole = np.unique(np.linspace(0, np.ceil(last / each), _POINTS).round().astype(np.int64))
    return whole * law.stride, whole * each


def _limits(curves: pd.DataFrame, runs: pd.DataFrame) -> tuple[float, float]:
    values = floats(curves["kl_to_equilibrium"])
    positive = values[np.isfinite(values) & (values > 0)]
    top = _HEADROOM / (2 * float(runs["beta"].min()))
    return (float(positive.min()) / _HEADROOM if len(positive) else 1e-16), top
