"""Queries to ε against β, n, or any number of the runs."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from nashgames.analysis import reaching
from nashgames.analysis.outcomes import on_samples
from nashgames.analysis.theorems import NASH_MP, Law, kl_bound, law_of
from nashgames.defaults import TARGET
from nashgames.plots.distances import check_distance, said, usual
from nashgames.plots.estimates import Floats
from nashgames.plots.layout import Handle, axes_of, legend, name_axes, plain_ticks, scale_places
from nashgames.plots.naming import told_apart
from nashgames.plots.page import styled
from nashgames.plots.palette import BOUND, FAINT, Look, PaperFigure, looks
from nashgames.plots.panels import PROBLEM, facets, floats, prepare, several
from nashgames.plots.rows import Rows, by_game

# Fewer places show no law.
_FEWEST = 3
# Margin above and below the outermost marks, as a factor.
_ROOM = 1.6
_NAMES = {"n": "actions n", "beta": "β"}


def split(rows: Rows) -> Iterator[tuple[str, Rows]]:
    """A figure a game, whose name is without the number that it is drawn against."""
    if rows.against is None:
        yield from by_game(rows)
    else:
        # Against a step every step is a point; against anything else a swept step is that of the best.
        whole = rows.of(rows.compared)
        found = [own for own in (whole, rows) if rows.against in reaching.varying(own.runs)]
        runs = reaching.against((found or [rows])[0].runs, rows.against)
        yield from by_game(rows.of(runs))


def applies(rows: Rows) -> bool:
    return rows.against is not None or several(rows.compared["n"]) or several(rows.compared["beta"])


def unasked(rows: Rows) -> bool:
    """Against three or more n or β, of runs on exact feedback with a tolerance; of swept steps there are phases."""
    most = max(rows.compared["n"].nunique(), rows.compared["beta"].nunique())
    stopping = rows.compared["tolerance"].min() > 0 if "tolerance" in rows.compared else False
    return not rows.sampled and most >= _FEWEST and bool(stopping) and not rows.swept


def draw(rows: Rows, distance: str | None = None) -> Figure:
    distance = distance or usual(rows.compared)
    if rows.against is not None:
        runs, name = rows.runs, rows.against
    else:
        name = max(("n", "beta"), key=lambda key: rows.compared[key].nunique())
        runs = rows.compared.assign(against=rows.compared[name].astype(float))
    return queries(rows.curves, runs, name, distance=distance, epsilon=rows.epsilon, remark=rows.remark)


@styled
def queries(
    curves: pd.DataFrame,
    runs: pd.DataFrame,
    against: str,
    *,
    distance: str = "suboptimality",
    epsilon: float | None = None,
    remark: str = "",
    ax: Axes | None = None,
) -> Figure:
    """Queries (on duels comparisons) until `distance` ≤ ε against the column `against` of `runs`, called by its name.

    A line is the median over the seeds and its band the 10–90 % quantiles, where those arrived. Where half of the seeds
    or more did not, the symbol is open and at what was spent. Numbers are those of `reaching.reached`, and kept in the
    figure's `numbers`. The dashed line is the theorem's bound on Nash-MP (theory §4.1), which never sets the limits.
    Raises NashGamesError for no runs, or several panels in `ax`, and what `reaching.reached` raises.
    """
    check_distance(distance)
    runs = reaching.reached(prepare(runs, ["against"]), curves, distance=distance, epsilon=epsilon)
    laid = facets(runs, [key for key in (*PROBLEM, "beta") if key != against])
    figure, axes = axes_of(laid, ax)
    look = looks(dict(zip(runs["label"], runs["solver"], strict=True)))
    table = reaching.over_seeds(runs)
    low, high = _limits(table)
    shown, proved = [], set()
    for cell, panel in zip(axes, laid.panels, strict=True):
        mine = reaching.over_seeds(panel.runs)
        shown.append(mine)
        cell.set(yscale="log", ylim=(low, high))
        plain_ticks(cell)
        scale_places(cell, np.unique(floats(runs["against"])))
        for label, at, bound in _bounds(panel.runs, distance):
            # A bound above the panel says nothing of it.
            if bound.min() < high:
                cell.plot(at, bound, color=look[label].colour, **BOUND)
                proved.add(label)
        for place, (label, own) in enumerate(look.items()):
            _draw(cell, mine[mine["label"] == label].sort_values("against"), own, place)
    cost = "comparisons" if on_samples(runs).all() else "queries"
    levels = runs["epsilon"].unique()
    to = f"{said(distance)} ≤ {levels[0]:g}" if len(levels) == 1 else f"the tolerance in {said(distance)}"
    name_axes(axes, _NAMES.get(against, against), f"{cost} to\n{to}")
    legend(figure, ax, _handles(table, look, proved), _caption(table, cost, to, remark, proved=bool(proved)))
    if isinstance(figure, PaperFigure):
        figure.numbers = pd.concat(shown, ignore_index=True).rename(columns={"against": against, "median": cost})
        # Against n or β the column is there twice.
        figure.numbers = figure.numbers.loc[:, ~figure.numbers.columns.duplicated()]
    return figure


def _limits(table: pd.DataFrame) -> tuple[float, float]:
    there = table[["median", "low", "high"]].to_numpy(np.float64)
    marks = np.concatenate([there[np.isfinite(there)], floats(table["spent"][~np.isfinite(table["median"])])])
    marks = np.maximum(marks[np.isfinite(marks)], 1.0)
    return (float(marks.min()) / _ROOM, float(marks.max()) * _ROOM) if len(marks) else (1.0, 10.0)


def _bounds(runs: pd.DataFrame, distance: str) -> list[tuple[str, Floats, Floats]]:
    """Where, and in how many queries, the theorem brings Nash-MP to ε: a line for every label."""
    lines = []
    for label, mine in runs[runs["solver"] == NASH_MP].groupby("label", sort=True):
        found = {
            float(row["against"]): _proved(law, row["epsilon"])
            for row in mine.to_dict("records")
            if distance == "suboptimality" and row.get("target", TARGET) == TARGET and (law := law_of(row)) is not None
        }
        if found:
            lines.append((str(label), np.array(sorted(found)), np.array([found[place] for place in sorted(found)])))
    return lines


def _proved(law: Law, epsilon: float) -> float:
    """N = 2K + 1 with SubOpt(π_{K+½}) ≤ (β + 1/(4β))/(2βη)·(1+η)^{−K} = ε."""
    first = float(law.half_step(kl_bound(law, 0)))
    return 1 + 2 * max(float(np.log(first / epsilon)), 0.0) / float(np.log1p(law.eta))


def _draw(ax: Axes, rows: pd.DataFrame, look: Look, place: int) -> None:
    """A solver at its own places; what comes later in the legend is drawn smaller, on top of what it would hide."""
    if rows.empty:
        return
    at, low, median, high, spent = (floats(rows[key]) for key in ("against", "low", "median", "high", "spent"))
    there = np.isfinite(median)
    bars = np.isfinite(high)
    ax.fill_between(at, low, high, where=bars, color=look.colour, alpha=0.15, linewidth=0)
    ax.vlines(at[bars], low[bars], high[bars], color=look.colour, linewidth=0.6, alpha=0.6)
    style: dict[str, Any] = {
        "color": look.colour,
        "markersize": max(5.0 - 0.5 * place, 2.5),
        "zorder": 3 + 0.01 * place,
    }
    ax.plot(at, np.where(there, np.maximum(median, 1.0), np.nan), linestyle=look.dashes, marker=look.marker, **style)
    ax.plot(at[~there], spent[~there], linestyle="none", marker=look.marker, markerfacecolor="white", **style)


def _handles(table: pd.DataFrame, look: dict[str, Look], proved: set[str]) -> list[Handle]:
    called = told_apart(look)
    handles: list[Handle] = [own.handle(called[label]) for label, own in look.items()]
    for label in sorted(proved):
        handles.append(Line2D([], [], color=look[label].colour, label=f"{called[label]}, proved bound", **BOUND))
    if np.isinf(table["median"]).any():
        style: dict[str, Any] = {"color": FAINT, "linestyle": "none", "marker": "o", "markerfacecolor": "white"}
        handles.append(Line2D([], [], label="not reached; queries made", **style))
    return handles


def _caption(table: pd.DataFrame, cost: str, to: str, remark: str, *, proved: bool) -> str:
    parts = [f"{cost} to {to}"]
    late = float(table["late"].max())
    if late > 0:
        parts.append(f"at the first recorded point at or below ε, which is up to {100 * late:.0f} % late")
    most = int(table["seeds"].max())
    # Of fewer than ten these quantiles are the least and the greatest value.
    parts += [f"median and {'range' if most < reaching.MANY else '10–90 % quantiles'} over {most} seeds"] * (most > 1)
    sums = table.groupby("label", sort=False)[["seeds", "arrived"]].sum()
    for label, seeds, arrived in sums[sums["arrived"] < sums["seeds"]].itertuples():
        parts.append(f"{seeds - arrived:,} of {seeds:,} runs of {label} did not reach it")
    parts += ["dashed: the theorem's bound on the half step"] * proved
    return "; ".join([*parts, *filter(None, [remark])])
