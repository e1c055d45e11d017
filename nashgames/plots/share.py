"""The share of seeds whose last iterate is at or below the tolerance."""

import numpy as np
import pandas as pd
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nashgames.analysis.outcomes import interval
from nashgames.errors import NashGamesError
from nashgames.plots import estimates
from nashgames.plots.convergence import marked
from nashgames.plots.distances import extent_of, scale_cost
from nashgames.plots.layout import axes_of, legend, name_axes
from nashgames.plots.page import styled
from nashgames.plots.palette import looks
from nashgames.plots.panels import PROBLEM, axis_of, facets, prepare, several
from nashgames.plots.rows import Rows
from nashgames.plots.seeds import MANY_SEEDS, caption_of, groups_of, handles_of


def applies(rows: Rows) -> bool:
    return rows.sampled and several(rows.runs["seed"]) and not several(rows.compared["tolerance"])


def unasked(rows: Rows) -> bool:
    """Whether there are many seeds, and the last iterate of some is at or below the tolerance."""
    mine = rows.compared
    return mine["seed"].nunique() >= MANY_SEEDS and bool((mine["suboptimality"] <= mine["tolerance"]).any())


def draw(rows: Rows) -> Figure:
    return shares(rows.curves, rows.compared, x=rows.x, remark=rows.remark)


@styled
def shares(
    curves: pd.DataFrame, runs: pd.DataFrame, *, x: str | None = None, remark: str = "", ax: Axes | None = None
) -> Figure:
    """The share of the seeds whose last iterate is at or below the tolerance, against comparisons, queries or steps.

    Bands are 95 % intervals of that share where it is above 0 (`outcomes.interval`); a diverged seed is above every
    tolerance. Panels, `x` and `remark` are those of `convergence`. Raises NashGamesError for no runs, runs with several
    tolerances, runs on exact feedback together with runs on samples, or several panels in `ax`.
    """
    runs = prepare(runs)
    x = axis_of(runs, x)
    if several(runs["tolerance"]):
        raise NashGamesError("the runs have several tolerances; draw the share for one of them at a time")
    tolerance = float(runs["tolerance"].iloc[0])
    laid = facets(_arriving(runs), [*PROBLEM, "beta"])
    groups = groups_of(curves, runs, laid, "suboptimality", x)
    figure, axes = axes_of(laid, ax)
    look = looks(dict(zip(runs["label"], runs["solver"], strict=True)))
    for cell, group in zip(axes, groups, strict=True):
        scale_cost(cell, extent_of([trace for each in groups for traces in each.values() for trace in traces]))
        cell.set(ylim=(-0.02, 1.02))
        cell.yaxis.set_major_locator(ticker.MultipleLocator(0.25))
        cell.yaxis.set_major_formatter(ticker.PercentFormatter(1, symbol=" %"))
        for place, (label, own) in enumerate(look.items()):
            if label not in group:
                continue
            cost, held = estimates.hold_all(group[label])
            reached = (held <= tolerance).sum(axis=0)
            low, high = interval(reached, len(held))
            shown = np.where(np.isnan(held).any(axis=0), np.nan, reached / len(held))
            # The intervals of solvers of which no seed is there would cover each other and all else.
            some = shown > 0
            cell.fill_between(cost, low, high, where=some, color=own.colour, alpha=0.18, linewidth=0, zorder=2)
            cell.plot(
                cost,
                shown,
                color=own.colour,
                linestyle=own.dashes,
                zorder=2.5,
                **marked(cell, own, place, len(look), cost, shown),
            )
    name_axes(axes, x, f"share of seeds with\nsuboptimality ≤ {tolerance:g}")
    without = (
        "panels in which no seed ends at or below the tolerance are left out"
        if len(_arriving(runs)) < len(runs)
        else ""
    )
    statuses = [(label, trace.status) for group in groups for label, traces in group.items() for trace in traces]
    legend(
        figure,
        ax,
        handles_of(look, statuses),
        caption_of(
            groups,
            "share of seeds whose last iterate is at or below the tolerance, with 95 % intervals",
            [without, remark],
        ),
    )
    return figure


def _arriving(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs of the panels in which some seed ends at or below the tolerance; all where there are none."""
    there = (runs["suboptimality"] <= runs["tolerance"]).groupby([runs[key] for key in (*PROBLEM, "beta")])
    found = runs[there.transform("any")]
    return found if len(found) else runs
