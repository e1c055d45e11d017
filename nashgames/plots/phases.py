"""The phase diagram of a gradient's step: how large it may be, and how fast the best one is, against β."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from nashgames.analysis.outcomes import VARIANTS
from nashgames.analysis.stability import measured
from nashgames.errors import NashGamesError
from nashgames.plots.estimates import Floats
from nashgames.plots.layout import Handle, fold, legend, new_figure, plain_ticks
from nashgames.plots.naming import told_apart
from nashgames.plots.page import page, styled
from nashgames.plots.palette import INK, THEOREM, Look, looks
from nashgames.plots.panels import say, several, some
from nashgames.plots.rows import Rows

# Height of a panel as a part of its width; lines of type below a figure's panels and above one of them.
_HIGH, _BELOW, _TITLED = 0.66, 3.5, 1.7
# More rows of panels are higher than a page.
_ROWS = 4
# More values of β would touch each other as tick labels.
_TICKS = 6
_PROBLEM = ("game", "reference", "n", "policy")
_DERIVED: dict[str, Any] = {key: value for key, value in THEOREM.items() if key != "color"}


def applies(rows: Rows) -> bool:
    return not rows.sampled and rows.swept and bool((rows.runs["beta"] > 0).any())


def draw(rows: Rows) -> Figure:
    # β = 0 has no place on a logarithmic axis.
    runs = rows.runs[rows.runs["beta"] > 0]
    return phases(rows.curves, runs, None if rows.limits_of is None else rows.limits_of(runs))


@styled
def phases(curves: pd.DataFrame, runs: pd.DataFrame, limits: pd.DataFrame | None = None) -> Figure:
    """The largest stable step of every solver against β, and the rate per query of its best step: measured and derived.

    `runs` sweep the `step` of solvers on exact feedback from near the equilibrium, where curves are lines. Left, the
    step at which the fitted rate crosses zero (`stability.crossing`), bars to the neighbouring steps, an open triangle
    where every step (or none) was stable; right, the largest fitted rate of the steps, −log of the factor by which
    errors shrink a query. `limits`, as `derived_limits.limits_of` makes them, are what the linearisation at the
    equilibrium gives. Rows of panels are references, sizes and policies. Raises NashGamesError for no runs on exact
    feedback, or runs of several games.
    """
    table = measured(curves, runs)
    if table.empty or several(table["game"]):
        what = "no runs on exact feedback" if table.empty else "runs of several games"
        raise NashGamesError(f"the phase diagram is of one game and there are {what}; select those of one game")
    names = table["label"].astype(str)
    for key in ("optimiser", "dtype", "device"):
        names = names + " · " + table[key] if several(table[key]) else names
    table = table.assign(name=names)
    varied = [key for key in _PROBLEM if several(table[key])]
    rows = [rows for _, rows in table.groupby(varied, sort=True)] if varied else [table]
    shown = some(rows, _ROWS)
    first = table.iloc[0]
    told = [say(key, first[key]) for key in _PROBLEM if key not in varied and first[key] != VARIANTS.get(key)]
    left_out = [f"{len(shown)} of {len(rows)} rows shown"] if len(shown) < len(rows) else []
    point, room = page().font / 72, page().letters(page().inches / 2)
    each = max(_HIGH * page().inches / 2, 1.1) + (_TITLED if varied else 0) * point
    figure = new_figure(" · ".join([*told, *left_out]), each * len(shown) + _BELOW * point)
    cells = figure.subplots(len(shown), 2, sharex=True, sharey="col", squeeze=False)
    look = looks(dict(zip(table["name"], table["solver"], strict=True)))
    derived = [_limits_of(mine, limits) for mine in shown]
    for (left, right), mine, lines in zip(cells, shown, derived, strict=True):
        for cell, column, what in (
            (left, "limit", "largest stable step"),
            (right, "rate", "best rate $r$ per query\n" r"(errors fall like $e^{-rN}$)"),
        ):
            cell.set(xscale="log", yscale="log", ylabel=what)
            for name, line in lines[(lines[column] > 0) & np.isfinite(lines[column])].groupby("name"):
                cell.plot(line["beta"], line[column], color=look[str(name)].colour, zorder=2, **_DERIVED)
        for place, (name, own) in enumerate(look.items()):
            points = mine[mine["name"] == name]
            _draw_limits(left, points, own, place)
            positive = points[points["rate"] > 0]
            right.plot(positive["beta"], positive["rate"], **_mark(own, place))
        if varied:
            left.set_title(fold(", ".join(say(key, mine[key].iloc[0]) for key in varied), room), loc="left")
    _scale_beta(cells[-1], np.sort(table["beta"].unique())[::-1])
    _never_stable(cells, shown, look)
    for cell in cells.flat:
        plain_ticks(cell)
    called = told_apart(look)
    handles: list[Handle] = [
        Line2D([], [], label=called[name], **_mark(own, place)) for place, (name, own) in enumerate(look.items())
    ]
    if any(map(len, derived)):
        handles.append(Line2D([], [], color=INK, label="derived at the equilibrium", **_DERIVED))
    legend(figure, None, handles, _caption(table))
    return figure


def _limits_of(mine: pd.DataFrame, limits: pd.DataFrame | None) -> pd.DataFrame:
    """The derived limits of what is measured, β rising: those of tables moved by plain steps."""
    same = ["game", "reference", "n", "label"]
    plain_steps = (mine["policy"] == VARIANTS["policy"]) & (mine["optimiser"] == VARIANTS["optimiser"])
    measured_ones = mine.loc[plain_steps, [*same, "name"]].drop_duplicates(same)
    if limits is None:
        return measured_ones.iloc[:0].assign(beta=0.0, limit=0.0, rate=0.0)
    return limits.merge(measured_ones, on=same).sort_values("beta")


def _caption(table: pd.DataFrame) -> str:
    counts = sorted(set(table["steps"][table["steps"] > 1].tolist()))
    over = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]}–{counts[-1]}" if counts else "single"
    parts = [
        f"measured over {over} steps per solver and β",
        "bars, where they are wider than a symbol, reach to the neighbouring steps",
    ]
    if np.isposinf(table["high"]).any() or (table["low"] == 0).any():
        parts.append("open triangles: every step was stable (up) or none (down)")
    return "; ".join(parts)


def _scale_beta(cells: Any, betas: Floats) -> None:
    """The measured β as ticks where they are few, else powers of ten."""
    for cell in cells:
        cell.set_xlabel("β")
        # One β alone has no range of its own, of which matplotlib would warn before it takes this one.
        cell.set_autoscalex_on(False)
        cell.set_xlim(betas[-1] / 1.4, betas[0] * 1.4)
        if len(betas) <= _TICKS:
            cell.xaxis.set_minor_locator(ticker.NullLocator())
            cell.set_xticks(betas, [f"{beta:g}" for beta in betas])


def _mark(look: Look, place: int) -> dict[str, Any]:
    """The symbol at this place of the legend: what comes later is smaller, on top of what it would hide."""
    own = {"color": look.colour, "marker": look.marker, "linestyle": "none"}
    return own | {"markersize": max(5.0 - 0.5 * place, 2.5), "zorder": 3 + 0.01 * place}


def _draw_limits(ax: Axes, points: pd.DataFrame, look: Look, place: int) -> None:
    """The largest stable steps; a triangle upwards where all steps were stable, downwards where none was."""
    bounded = points[(points["low"] > 0) & np.isfinite(points["high"])]
    ax.vlines(bounded["beta"], bounded["low"], bounded["high"], color=look.colour, linewidth=0.8)
    ax.plot(bounded["beta"], bounded["limit"], **_mark(look, place))
    for open_end, shape in ((points[np.isposinf(points["high"])], "^"), (points[points["low"] == 0], "v")):
        style = _mark(look, place) | {"marker": shape, "markerfacecolor": "none"}
        ax.plot(open_end["beta"], open_end["limit"], **style)


def _never_stable(cells: Any, shown: list[pd.DataFrame], look: dict[str, Look]) -> None:
    """A cross on the lower edge of the rates where no step contracted."""
    for (_, right), mine in zip(cells, shown, strict=True):
        low, high = right.get_ylim()
        right.set_ylim(low, high)
        for place, (name, own) in enumerate(look.items()):
            growing = mine[(mine["name"] == name) & (mine["rate"] <= 0)]
            style = _mark(own, place) | {"marker": "x", "markersize": 4, "clip_on": False}
            # The layout reserves room for artists that are not clipped, even empty ones.
            if len(growing):
                right.plot(growing["beta"], np.full(len(growing), low), **style)
