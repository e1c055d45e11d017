"""Queries to the tolerance over β and n as a heat map."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from nashgames.analysis.outcomes import quantiles
from nashgames.plots.estimates import Floats
from nashgames.plots.palette import FAINT, looks, styled
from nashgames.plots.panels import axes_of, facets, floats, name_axes, prepare, several
from nashgames.plots.rows import Rows

# Part of the colour scale from which a cell is dark enough for white figures.
_DARK = 0.45


def applies(rows: Rows) -> bool:
    return not rows.sampled and several(rows.compared["beta"]) and several(rows.compared["n"])


def draw(rows: Rows) -> Figure:
    return heat_map_queries(rows.compared)


@styled
def heat_map_queries(runs: pd.DataFrame, *, ax: Axes | None = None) -> Figure:
    """Median queries to the tolerance over the seeds for every β and n, a panel for every solver, on one colour scale.

    "–" is a tolerance that half of the runs did not reach; an empty cell was not run. Raises NashGamesError
    for no runs, or several panels in `ax`.
    """
    runs = prepare(runs)
    order = list(looks(dict(zip(runs["label"], runs["solver"], strict=True))))
    laid = facets(
        runs.assign(label=pd.Categorical(runs["label"], order)), ["game", "reference", "policy", "feedback", "label"]
    )
    betas, actions = np.sort(runs["beta"].unique()), np.sort(runs["n"].unique())
    tables = []
    for panel in laid.panels:
        table = np.full((len(actions), len(betas)), np.nan)
        for (n, beta), group in panel.runs.groupby(["n", "beta"]):
            queries = floats(group["queries_to_tolerance"])
            reached = np.where(np.isnan(queries), np.inf, queries)
            table[actions == n, betas == beta] = quantiles(reached, [0.5])[0]
        tables.append(table)
    reached = np.concatenate([table[np.isfinite(table)] for table in tables])
    low, high = (max(reached.min(), 1.0), reached.max()) if len(reached) else (1.0, 10.0)
    norm = LogNorm(low, max(high, 10 * low))
    figure, axes = axes_of(
        laid, ax, single=(0.9 + 0.5 * len(betas) + 1.2, 1.1 + 0.36 * len(actions)), height=0.6 + 0.3 * len(actions)
    )
    for cell, table in zip(axes, tables, strict=True):
        image = cell.imshow(
            np.where(np.isinf(table), np.nan, table), norm=norm, cmap="viridis_r", origin="lower", aspect="auto"
        )
        _cells(cell, table, norm)
        cell.set_xticks(range(len(betas)), [f"{beta:g}" for beta in betas])
        cell.set_yticks(range(len(actions)), [str(n) for n in actions])
        cell.grid(False)
        cell.tick_params(length=0)
        cell.spines[:].set_visible(False)
    name_axes(axes, "β", "actions n")
    if len(reached):
        bar = figure.colorbar(image, ax=axes, label="median queries to the tolerance", pad=0.02)
        bar.outline.set_visible(False)
    return figure


def _cells(ax: Axes, table: Floats, norm: LogNorm) -> None:
    for (i, j), value in np.ndenumerate(table):
        if np.isinf(value):
            ax.text(j, i, "–", ha="center", va="center", color=FAINT)
        elif not np.isnan(value):
            ax.text(j, i, _short(value), ha="center", va="center", color="white" if norm(value) > _DARK else "black")


def _short(value: float) -> str:
    """A count in at most four characters: 236, 1910, 20k, 1.2M."""
    for size, unit in ((1e6, "M"), (1e4, "k")):
        if value >= size * 0.9995:
            scaled = value / (1e3 if unit == "k" else 1e6)
            return f"{scaled:.1f}{unit}" if scaled < 9.95 else f"{scaled:.0f}{unit}"
    return f"{value:.0f}"
