"""The regimes of a step: where the last iterate contracts, ends in a limit cycle, or expands, over β and step."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from nashgames.analysis.outcomes import labels_without_step, steps_of
from nashgames.defaults import START
from nashgames.errors import NashGamesError
from nashgames.plots.layout import Handle, axes_of, legend, name_axes, scale_places
from nashgames.plots.page import styled
from nashgames.plots.palette import INK, THEOREM
from nashgames.plots.panels import PROBLEM, facets, floats, prepare
from nashgames.plots.rows import Rows

_MARKS: Mapping[str, dict[str, Any]] = {
    "contracting": {"marker": "o", "color": "#0072b2", "markersize": 4.0},
    "limit cycle": {"marker": "o", "color": "#d55e00", "markersize": 4.0, "markerfacecolor": "none"},
    "expanding": {"marker": "x", "color": INK, "markersize": 4.0},
}
"""Their shapes tell them apart in grey, too."""

_DERIVED: dict[str, Any] = {key: value for key, value in THEOREM.items() if key != "color"} | {"color": INK}
# The pull towards μ keeps the span of log π/μ below 1/β while aβ ≤ 1, and below a/(2 − aβ) while aβ < 2: of cycles only
# those within a hundredth of aβ = 2 are as large.
_BEYOND = 100
# Room beside the outermost marks, as a factor.
_ROOM = 1.5


def applies(rows: Rows) -> bool:
    """Whether steps are swept over several β from a start near the equilibrium: the first distance is otherwise no
    measure.
    """
    beside = "start" in rows.runs and bool((rows.runs["start"] != START).all())
    return beside and not rows.sampled and rows.swept


def draw(rows: Rows) -> Figure:
    return regimes(rows.curves, rows.runs, None if rows.limits_of is None else rows.limits_of(rows.runs))


@styled
def regimes(curves: pd.DataFrame, runs: pd.DataFrame, limits: pd.DataFrame | None = None) -> Figure:
    """A symbol for every β and step of a solver: how its run ended, judged by the KL to the equilibrium.

    Contracting: nearer than it began. Limit cycle: farther, but no farther than 100/β. Expanding: beyond. Of several
    seeds the most common. The line is the largest stable step, derived at the equilibrium (`limits`, as
    `derived_limits.limits_of` makes them). A panel is a solver, game and size. Raises NashGamesError for no runs.
    """
    runs = prepare(runs)
    runs = runs.assign(step=steps_of(runs), label=labels_without_step(runs)).dropna(subset=["step"])
    if runs.empty:
        raise NashGamesError("no solver of these runs has a step, over which the regimes are drawn")
    runs = runs.assign(regime=_regimes(curves, runs))
    laid = facets(runs, [*PROBLEM, "label"])
    figure, axes = axes_of(laid, None, alone=0.6)
    derived = False
    betas, steps = floats(runs["beta"]), floats(runs["step"])
    for cell, panel in zip(axes, laid.panels, strict=True):
        cell.set(yscale="log")
        scale_places(cell, np.unique(betas))
        cell.set(ylim=(steps.min() / _ROOM, steps.max() * _ROOM))
        ends = panel.runs.groupby(["beta", "step"])["regime"].agg(lambda ended: ended.mode().iloc[0]).reset_index()
        for name, mark in _MARKS.items():
            mine = ends[ends["regime"] == name]
            cell.plot(mine["beta"], mine["step"], linestyle="none", zorder=2.5, **mark)
        if limits is not None:
            same = ["game", "reference", "n", "label"]
            line = limits.merge(panel.runs[same].drop_duplicates(), on=same).sort_values("beta")
            cell.plot(line["beta"], line["limit"], zorder=2, **_DERIVED)
            derived |= len(line) > 0
    name_axes(axes, "β", "step")
    seen = set(runs["regime"])
    handles: list[Handle] = [
        Line2D([], [], linestyle="none", label=name, **mark) for name, mark in _MARKS.items() if name in seen
    ]
    handles += [Line2D([], [], label="largest stable step, derived", **_DERIVED)] * derived
    queries = int(floats(runs["budget"]).max()) if "budget" in runs else 0
    after = f"after {queries:,} queries " if queries else ""
    colours = "nearer to it (contracting), farther (limit cycle), beyond 100/β (expanding), by KL(π*‖π)"
    legend(figure, None, handles, f"{after}from beside the equilibrium: {colours}")
    return figure


def _regimes(curves: pd.DataFrame, runs: pd.DataFrame) -> list[str]:
    """How every run ended."""
    points = curves.sort_values("queries", kind="stable").groupby("run_id")["kl_to_equilibrium"]
    first, last = points.first(), points.last()
    found = []
    for run, status, beta in zip(runs["run_id"], runs["status"], runs["beta"], strict=True):
        if status == "diverged" or not last[run] <= _BEYOND / beta:
            found.append("expanding")
        else:
            found.append("contracting" if last[run] < first[run] else "limit cycle")
    return found
