"""The measured rate of every solver against β, and the proved one."""

import json
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from nashgames.analysis.outcomes import quantiles
from nashgames.analysis.stability import rounding_floor
from nashgames.analysis.theorems import NASH_MP
from nashgames.core.metrics import METRICS
from nashgames.plots import estimates
from nashgames.plots.estimates import Trace
from nashgames.plots.layout import Handle, axes_of, legend, name_axes, plain_ticks, scale_places
from nashgames.plots.naming import told_apart
from nashgames.plots.page import styled
from nashgames.plots.palette import BOUND, Look, looks
from nashgames.plots.panels import PROBLEM, facets, floats, prepare, several, traces_of
from nashgames.plots.rows import Rows

# Fewer values of β show no law.
_FEWEST = 3


def applies(rows: Rows) -> bool:
    return not rows.sampled and several(_on_axis(rows.compared)["beta"])


def unasked(rows: Rows) -> bool:
    """Whether there are three or more β and no swept steps, whose rates the phase diagram shows."""
    return _on_axis(rows.compared)["beta"].nunique() >= _FEWEST and not rows.swept


def draw(rows: Rows) -> Figure:
    return rates(rows.curves, _on_axis(rows.compared))


def _on_axis(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs whose β has a place on a logarithmic axis."""
    return runs[runs["beta"] > 0]


@styled
def rates(curves: pd.DataFrame, runs: pd.DataFrame, *, ax: Axes | None = None) -> Figure:
    """Fitted rate r against β, distance ≈ e^{−rN} after N queries, with the theorem's (1+2β)^{−1/2} per query drawn.

    Both axes are logarithmic and show r = −log(contraction per query), the theorem's being ½ log(1+2β). The distance
    is the KL to the equilibrium (the suboptimality where that was not measured), fitted over the tail of each curve
    above the rounding floor (`estimates.contraction`). Points are medians over seeds, bars their 10–90 % quantiles.
    A run that diverges or does not fall has rate 0; where that is the median, a cross stands on the lower edge.
    Raises NashGamesError for no runs, or several panels in `ax`.
    """
    runs = prepare(runs)
    distance = "kl_to_equilibrium"
    traces = traces_of(curves, runs, distance)
    if not any(np.isfinite(trace.values).any() for trace in traces.values()):
        distance = "suboptimality"
        traces = traces_of(curves, runs, distance)
    fitted = [
        _rate(traces.get(run), distance, beta, dtype)
        for run, beta, dtype in zip(runs["run_id"], runs["beta"], runs["dtype"], strict=True)
    ]
    runs = runs.assign(rate=fitted)
    laid = facets(runs, PROBLEM)
    figure, axes = axes_of(laid, ax)
    look = looks(dict(zip(runs["label"], runs["solver"], strict=True)))
    betas = np.geomspace(runs["beta"].min(), runs["beta"].max(), 100)
    proved = estimates.proved_rate(betas)
    positive = floats(runs["rate"][runs["rate"] > 0])
    low, high = (positive.min() / 3, positive.max() * 2) if len(positive) else (proved.min() / 3, proved.max() * 2)
    # What is proved is proved of Nash-MP with its largest step.
    owners = sorted(runs["label"][_largest_step(runs)].unique())
    for cell, panel in zip(axes, laid.panels, strict=True):
        cell.set(xscale="log", yscale="log", ylim=(low, high))
        plain_ticks(cell)
        scale_places(cell, np.unique(floats(runs["beta"])))
        for label in owners:
            cell.plot(betas, proved, color=look[label].colour, **BOUND)
        for place, (label, own) in enumerate(look.items()):
            _draw_rates(cell, panel.runs[panel.runs["label"] == label], own, place, low)
    name_axes(axes, "β", "rate $r$ per query\n" r"(errors fall like $e^{-rN}$)")
    handles: list[Handle] = []
    called = told_apart(look)
    for label, own in look.items():
        mine = runs["rate"][runs["label"] == label]
        counts = ((int((mine == 0).sum()), "without contraction"), (int(mine.isna().sum()), "too short to fit"))
        notes = ", ".join(f"{count} of {len(mine)} {what}" for count, what in counts if count)
        handles.append(own.handle(called[label] + (f" ({notes})" if notes else "")))
    for label in owners:
        handles.append(Line2D([], [], color=look[label].colour, label=f"{called[label]}, proved rate", **BOUND))
    seeds = int(runs["seed"].nunique())
    said = [f"rate fitted to the tail of the {METRICS[distance].label}, after N queries"]
    said += [f"median and 10–90 % quantiles over {seeds} seeds"] * (seeds > 1)
    said += ["dashed: the theorem's rate, ½ log(1+2β)"] * bool(owners)
    legend(figure, ax, handles, "; ".join(said))
    return figure


def _largest_step(runs: pd.DataFrame) -> "pd.Series[bool]":
    etas = [json.loads(text).get("eta") for text in runs["hyperparameters"]]
    # The slack admits η = 2β that went through decimal text or float32.
    largest = np.isclose(np.array(etas, np.float64), 2 * floats(runs["beta"]), rtol=1e-5)
    return (runs["solver"] == NASH_MP) & largest


def _draw_rates(ax: Axes, runs: pd.DataFrame, look: Look, place: int, low: float) -> None:
    groups = runs[runs["rate"].notna()].groupby("beta")["rate"]
    if not len(groups):
        return
    x = floats(groups.first().index.to_series())
    lower, median, upper = np.transpose([quantiles(floats(rates), (0.1, 0.5, 0.9)) for _, rates in groups])
    ax.vlines(x, np.maximum(lower, low), np.maximum(upper, low), color=look.colour, linewidth=0.8)
    shown = np.where(median > 0, median, np.nan)
    # Later solvers are drawn smaller, on top of those that they would hide.
    style: dict[str, Any] = {"markersize": max(5.0 - 0.5 * place, 2.5), "zorder": 3 + 0.01 * place}
    ax.plot(x, shown, color=look.colour, linestyle=look.dashes, marker=look.marker, **style)
    flat = x[median == 0]
    if len(flat):
        ax.plot(flat, np.full(len(flat), low), "x", color=look.colour, markersize=4, clip_on=False)


def _rate(trace: Trace | None, distance: str, beta: float, dtype: str) -> float:
    if trace is None:
        return float("nan")
    if trace.status == "diverged":
        return 0.0
    return estimates.contraction(trace.cost, trace.values, rounding_floor(distance, beta, dtype))
