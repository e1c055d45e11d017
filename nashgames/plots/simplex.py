"""The paths of the policies on the simplex of three actions."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from nashgames.errors import NashGamesError
from nashgames.plots.estimates import Floats
from nashgames.plots.layout import Handle, axes_of, legend
from nashgames.plots.naming import told_apart
from nashgames.plots.page import page, styled
from nashgames.plots.palette import INK, Look, looks, plain
from nashgames.plots.panels import facets, floats, prepare
from nashgames.plots.rows import Rows

# Of a triangle with sides 1.
_HEIGHT = np.sqrt(3) / 2
_CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, _HEIGHT]])
# Space between a panel's title and its triangle for the name of a corner, in sizes of type.
_ABOVE = 1.8
# Below this length, in sides of the triangle, a straight line between two records misleads nobody.
_SHORT = 0.04
# A part of the simplex whose sides are shorter than this is drawn enlarged; the margin around its paths as a
# probability.
_PART, _ROOM = 0.6, 0.03
_MARKED = {
    "start": "probability",
    "reference": "reference_probability",
    "equilibrium": "equilibrium_probability",
}
_MARKS: Mapping[str, dict[str, Any]] = {
    "start": {"marker": ".", "color": INK, "markersize": 5},
    "reference": {"marker": "o", "color": INK, "markersize": 7, "markerfacecolor": "none", "markeredgewidth": 0.8},
    "equilibrium": {
        "marker": "*",
        "color": "black",
        "markersize": 8,
        "markeredgecolor": "white",
        "markeredgewidth": 0.5,
    },
}


def applies(rows: Rows) -> bool:
    three = rows.compared["run_id"][rows.compared["n"] == len(_CORNERS)]
    return not rows.sampled and rows.paths is not None and bool(rows.paths["run_id"].isin(three).any())


def unasked(rows: Rows) -> bool:
    """Whether no steps are swept: such paths begin near the equilibrium."""
    return not rows.swept


def draw(rows: Rows) -> Figure:
    assert rows.paths is not None
    return simplex(rows.paths, rows.compared)


@styled
def simplex(paths: pd.DataFrame, runs: pd.DataFrame, *, ax: Axes | None = None) -> Figure:
    """The path of every solver's policy on the simplex of three actions, a panel for every game and β.

    `paths` has the columns of `store.PATH_COLUMNS`; an equilibrium that is not known (NaN) is not marked. Drawn are the
    first seed and the first context; where all of it lies in a small part of the simplex, that part is enlarged. Raises
    NashGamesError for a game of another size or without paths.
    """
    runs = prepare(runs)
    runs = runs[(runs["n"] == 3) & runs["run_id"].isin(paths["run_id"])]
    if runs.empty:
        raise NashGamesError("there are no paths of games with three actions; the simplex shows exactly these")
    runs = runs[runs["seed"] == runs["seed"].min()]
    laid = facets(runs, ["game", "reference", "policy", "feedback", "seed", "beta"])
    if runs["contexts"].max() > 1:
        laid = dataclasses.replace(laid, title=f"{laid.title} · first of {runs['contexts'].max()} contexts")
    paths = paths[paths["run_id"].isin(runs["run_id"]) & (paths["context"] == paths["context"].min())]
    points = {str(run): rows.sort_values(["step", "action"]) for run, rows in paths.groupby("run_id")}
    figure, axes = axes_of(laid, ax, x="none", y="none", alone=0.6, each=0.76)
    look = looks(dict(zip(runs["label"], runs["solver"], strict=True)))
    apart, least = False, _least(paths)
    for cell, panel in zip(axes, laid.panels, strict=True):
        mine = {run: points[run] for run in panel.runs["run_id"]}
        first = next(iter(mine.values()))
        if panel.title:
            cell.set_title(panel.title, pad=_ABOVE * page().font)
        _triangle(cell, [str(label) for label in first["label"][:3]], least)
        for run, label, status in panel.runs[["run_id", "label", "status"]].itertuples(index=False):
            apart |= _way(cell, *_path(mine[run], least), look[label], diverged=status == "diverged")
        for name, column in _MARKED.items():
            _mark(cell, name, _place(first[column], least)[:1])
    called = told_apart(look)
    handles: list[Handle] = [own.handle(called[label]) for label, own in look.items()]
    marked = {str(line.get_gid()) for cell in axes for line in cell.get_lines()}
    handles += [Line2D([], [], linestyle="none", label=name, **mark) for name, mark in _MARKS.items() if name in marked]
    said = ["paths of the policies from the start, with a symbol at the last iterate"]
    said += ["without it where recorded points are too far apart to be joined to the end"] * apart
    said += ["enlarged: at a corner its action has the probability given there"] * bool(least.any())
    legend(figure, ax, handles, "; ".join(said))
    return figure


def _finite(probabilities: "pd.Series[float]") -> Floats:
    """Rows of three probabilities `[t, 3]`, without those that are not finite."""
    rows = floats(probabilities).reshape(-1, 3)
    return np.asarray(rows[np.isfinite(rows).all(axis=1)])


def _least(paths: pd.DataFrame) -> Floats:
    """The least probabilities `[3]` in the part of the simplex that is drawn: 0, or those of a small one with it all.

    The π with π ≥ these are a triangle like the simplex, with sides of 1 less their sum.
    """
    ordered = paths.sort_values(["run_id", "step", "action"])
    every = [_finite(ordered[column]) for column in ("probability", *_MARKED.values())]
    least = np.maximum(np.min(np.concatenate([*every, np.ones((1, 3))]), axis=0) - _ROOM, 0)
    return least if 1 - least.sum() < _PART else np.zeros(3)


def _place(probabilities: "pd.Series[float]", least: Floats) -> Floats:
    """Points of the plane `[t, 2]` for rows of three probabilities; rows that are not finite are left out."""
    return np.asarray((_finite(probabilities) - least) / (1 - least.sum()) @ _CORNERS)


def _path(rows: pd.DataFrame, least: Floats) -> tuple[Floats, Floats]:
    """The points `[t, 2]` of a path and their steps `[t]`, without those that are not finite."""
    steps = floats(rows["step"]).reshape(-1, 3)[:, 0]
    finite = np.isfinite(floats(rows["probability"]).reshape(-1, 3)).all(axis=1)
    return _place(rows["probability"], least), steps[finite]


def _triangle(ax: Axes, names: Sequence[str], least: Floats) -> None:
    ax.set_axis_off()
    ax.set_aspect("equal")
    ax.set(xlim=(-0.03, 1.03), ylim=(-0.03, _HEIGHT + 0.03))
    names = [f"action {name}" if name.isdigit() else plain(name, 18) for name in names]
    if least.any():
        places = zip(names, least + 1 - least.sum(), ("\n", "\n", ": "), strict=True)
        names = [f"{name}{between}{corner:.2g}" for name, corner, between in places]
    for share in (0.2, 0.4, 0.6, 0.8):
        for k in range(3):
            a, b, c = np.roll(_CORNERS, k, axis=0)
            ax.plot(*np.transpose([a + share * (b - a), c + share * (b - c)]), color="#e4e4e4", linewidth=0.5, zorder=1)
    ax.plot(*_CORNERS[[0, 1, 2, 0]].T, color=INK, linewidth=0.7, zorder=2)
    for corner, name, below in zip(_CORNERS, names, (True, True, False), strict=True):
        shift = (0, -3 if below else 3)
        place: dict[str, Any] = {"textcoords": "offset points", "ha": "center", "va": "top" if below else "bottom"}
        ax.annotate(name, corner, shift, **place)


def _way(ax: Axes, points: Floats, steps: Floats, look: Look, *, diverged: bool) -> bool:
    """A path `[t, 2]` over its `steps` `[t]`, arrow heads at a quarter and three quarters of it, a mark at its end.

    It is drawn up to the first record that is not close enough to the one before: pieces of what follows would look
    like separate paths, and a mark at its end like a point of no path. Returns whether there is one.
    """
    if not len(points):
        return False
    moves = np.diff(points, axis=0)
    joined = (np.diff(steps) == 1) | _known_between(moves)
    last = int(np.argmin(joined)) if not joined.all() else len(joined)
    ax.plot(*points[: last + 1].T, color=look.colour, linestyle=look.dashes, linewidth=1.0, zorder=3)
    if last == len(joined):
        ax.plot(*points[-1:].T, color=look.colour, marker="x" if diverged else look.marker, zorder=4)
    travelled = np.cumsum(np.hypot(*moves[:last].T))
    for share in (0.25, 0.75):
        if len(travelled) and travelled[-1] > 0.05:
            i = int(np.searchsorted(travelled, share * travelled[-1]))
            along = moves[i] / np.hypot(*moves[i])
            middle = points[i] + moves[i] / 2
            arrow = {"arrowstyle": "-|>", "color": look.colour, "linewidth": 0, "mutation_scale": 9}
            ax.annotate("", middle + 0.02 * along, middle - 0.02 * along, arrowprops=arrow, zorder=3)
    return last < len(joined)


def _known_between(moves: Floats) -> NDArray[np.bool_]:
    """Which of the `moves` `[t, 2]` between records are short, or turn by less than 60° from and to their neighbours.

    Between sparse records of a policy that circles, a straight line would show a path through the middle that was not
    taken.
    """
    lengths = np.hypot(*moves.T)
    turns = (moves[1:] * moves[:-1]).sum(axis=1) >= 0.5 * lengths[1:] * lengths[:-1]
    known = np.concatenate([[True], turns])[: len(moves)] & np.concatenate([turns, [True]])[: len(moves)]
    return np.asarray(known | (lengths < _SHORT))


def _mark(ax: Axes, name: str, point: Floats) -> None:
    if len(point):
        ax.plot(*point.T, linestyle="none", gid=name, zorder=5, **_MARKS[name])
