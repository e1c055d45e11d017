"""Tidy rows → figures fit for a paper. Knows names and columns, no solver; no pyplot, nothing is ever shown."""

import re

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from nashgames.analysis.outcomes import complete, on_samples, quantiles, sweeps_steps, tuned
from nashgames.analysis.stability import rounding_floor
from nashgames.plots import estimates
from nashgames.plots.bounds import bounds
from nashgames.plots.estimates import Floats, Trace
from nashgames.plots.lines import DISTANCES, convergence
from nashgames.plots.mixtures import REFEREE, equilibria
from nashgames.plots.palette import FAINT, THEOREM, Look, looks, plain, save, styled
from nashgames.plots.panels import (
    PROBLEM,
    Handle,
    axes_of,
    facets,
    floats,
    legend,
    name_axes,
    prepare,
    say,
    several,
    traces_of,
)
from nashgames.plots.phases import phases
from nashgames.plots.portraits import game, simplex
from nashgames.plots.tails import shares, tails

__all__ = [
    "DISTANCES",
    "bounds",
    "convergence",
    "curves_of",
    "equilibria",
    "figures",
    "game",
    "heat_map_queries",
    "phases",
    "rates",
    "save",
    "shares",
    "simplex",
    "tails",
]

_SHORT = {"suboptimality": "", "kl_to_equilibrium": "-kl", "span_to_equilibrium": "-span"}
_MANY_SEEDS = 10


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
            ax.text(j, i, _short(value), ha="center", va="center", color="white" if norm(value) > 0.45 else "black")


def _short(value: float) -> str:
    """A count in at most four characters: 236, 1910, 20k, 1.2M."""
    for size, unit in ((1e6, "M"), (1e4, "k")):
        if value >= size * 0.9995:
            scaled = value / (1e3 if unit == "k" else 1e6)
            return f"{scaled:.1f}{unit}" if scaled < 9.95 else f"{scaled:.0f}{unit}"
    return f"{value:.0f}"


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
    positive = np.concatenate([proved, runs["rate"][runs["rate"] > 0]])
    low, high = positive.min() / 3, positive.max() * 2
    for cell, panel in zip(axes, laid.panels, strict=True):
        cell.set(xscale="log", yscale="log", xlim=(betas[0] / 1.5, betas[-1] * 1.5), ylim=(low, high))
        cell.plot(betas, proved, zorder=1.5, **THEOREM)
        for place, (label, own) in enumerate(look.items()):
            # Bars of different solvers at one β would hide each other: they stand side by side.
            aside = 1.03 ** (2 * place - len(look) + 1)
            _draw_rates(cell, panel.runs[panel.runs["label"] == label], own, aside, low)
    name_axes(axes, "β", r"fitted rate $r$, $e^{-r}$ per query")
    handles: list[Handle] = []
    for label, own in look.items():
        mine = runs["rate"][runs["label"] == label]
        counts = ((int((mine == 0).sum()), "without contraction"), (int(mine.isna().sum()), "too short to fit"))
        notes = ", ".join(f"{count} of {len(mine)} {what}" for count, what in counts if count)
        handles.append(own.handle(plain(label) + (f" ({notes})" if notes else "")))
    handles.append(Line2D([], [], label=r"theorem, $(1+2\beta)^{-1/2}$ per query", **THEOREM))
    legend(figure, ax, handles)
    return figure


def _draw_rates(ax: Axes, runs: pd.DataFrame, look: Look, aside: float, low: float) -> None:
    groups = runs[runs["rate"].notna()].groupby("beta")["rate"]
    if not len(groups):
        return
    x = floats(groups.first().index.to_series()) * aside
    lower, median, upper = np.transpose([quantiles(floats(rates), (0.1, 0.5, 0.9)) for _, rates in groups])
    ax.vlines(x, np.maximum(lower, low), np.maximum(upper, low), color=look.colour, linewidth=0.8)
    shown = np.where(median > 0, median, np.nan)
    ax.plot(x, shown, color=look.colour, linestyle=look.dashes, marker=look.marker, markersize=3)
    flat = x[median == 0]
    if len(flat):
        ax.plot(flat, np.full(len(flat), low), "x", color=look.colour, markersize=4, clip_on=False)


def _rate(trace: Trace | None, distance: str, beta: float, dtype: str) -> float:
    if trace is None:
        return float("nan")
    if trace.status == "diverged":
        return 0.0
    return estimates.contraction(trace.cost, trace.values, rounding_floor(distance, beta, dtype))


def figures(
    runs: pd.DataFrame,
    curves: pd.DataFrame,
    paths: pd.DataFrame | None = None,
    policies: pd.DataFrame | None = None,
    limits: pd.DataFrame | None = None,
) -> dict[str, Figure]:
    """The figures an experiment calls for, by name, in a set for every game.

    The curves of every distance that was measured: convergence, convergence-kl and convergence-span over queries for
    runs on exact feedback, convergence-comparisons and so on for runs on samples, with share beside them where there
    are many seeds and some reach the tolerance. On exact feedback also queries with several β and several n; rates with
    at least three β; simplex for three actions whose `paths` are given. Where the steps of a solver are swept, each is
    shown with the best one, and with several β phases, with the derived `limits`, stands for rates and simplex. With
    several games the game is part of the name. Exact equilibria have no curve: where their `policies` are given,
    equilibria alone.
    """
    runs = complete(runs)
    made: dict[str, Figure] = {}
    exact = runs["solver"] == REFEREE
    if policies is not None and exact.any():
        for place, (_, path) in enumerate(runs[exact].groupby(["game", "reference", "n", "seed"], sort=False)):
            made[f"equilibria-{place + 1}" if place else "equilibria"] = _equilibria(path, policies)
    runs = runs[~exact]
    games = runs["game"].unique()
    slugs: dict[str, str] = {}
    for name in games:
        slug = f"-{_slug(name)}" if len(games) > 1 else ""
        slugs[name] = slug + (f"-{len(slugs) + 1}" if slug in slugs.values() else "")
    for (name, sampled), mine in runs.groupby(["game", on_samples(runs)], sort=False):
        points = curves[curves["run_id"].isin(mine["run_id"])]
        of_kind = _of_samples(mine, points) if sampled else _of_exact(mine, points, paths, limits)
        made |= {f"{kind}{slugs[str(name)]}": figure for kind, figure in of_kind.items()}
    return made


def curves_of(runs: pd.DataFrame, curves: pd.DataFrame, distance: str) -> dict[str, Figure]:
    """The figures of one distance by name: convergence over queries, convergence-comparisons on samples.

    With many seeds on samples these are `tails`. Raises NashGamesError for an unknown distance.
    """
    runs = complete(runs)
    kinds = runs.groupby(on_samples(runs), sort=True)
    return {
        f"convergence{'-comparisons' if sampled else ''}": _curves(curves, *_tuned(mine), distance)
        for sampled, mine in kinds
    }


def _of_exact(
    runs: pd.DataFrame, curves: pd.DataFrame, paths: pd.DataFrame | None, limits: pd.DataFrame | None
) -> dict[str, Figure]:
    """The figures of runs of one game on exact feedback."""
    mine, remark = _tuned(runs)
    made = {
        f"convergence{short}": _curves(curves, mine, remark, distance)
        for distance, short in _SHORT.items()
        if distance == "suboptimality" or curves[distance].notna().any()
    }
    swept = sweeps_steps(runs) and several(runs["beta"])
    if swept:
        made["phases"] = phases(curves, runs, limits)
    if several(mine["beta"]) and several(mine["n"]):
        made["queries"] = heat_map_queries(mine)
    if len(mine["beta"].unique()) > 2 and not swept:
        made["rates"] = rates(curves, mine)
    if not swept and paths is not None and paths["run_id"].isin(mine["run_id"][mine["n"] == 3]).any():
        made["simplex"] = simplex(paths, mine)
    return made


def _of_samples(runs: pd.DataFrame, curves: pd.DataFrame) -> dict[str, Figure]:
    """The figures of runs of one game on samples."""
    mine, remark = _tuned(runs)
    made = {
        f"convergence-comparisons{short}": _curves(curves, mine, remark, distance)
        for distance, short in _SHORT.items()
        if distance == "suboptimality" or curves[distance].notna().any()
    }
    some = (mine["suboptimality"] <= mine["tolerance"]).any()
    if mine["seed"].nunique() >= _MANY_SEEDS and some and not several(mine["tolerance"]):
        made["share"] = shares(curves, mine, remark=remark)
    return made


def _tuned(runs: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """The runs to draw as curves (`outcomes.tuned`), and what to say of their steps."""
    shown, steps = tuned(runs)
    if steps < 2:
        return shown, "numbers that a name leaves out are chosen for every panel" if steps else ""
    return shown, f"every solver with the best of its steps, of up to {steps} in a panel"


def _curves(curves: pd.DataFrame, runs: pd.DataFrame, remark: str, distance: str) -> Figure:
    if on_samples(runs).any() and runs["seed"].nunique() >= _MANY_SEEDS:
        return tails(curves, runs, distance=distance, remark=remark)
    return convergence(curves, runs, distance=distance, remark=remark)


def _equilibria(runs: pd.DataFrame, policies: pd.DataFrame) -> Figure:
    title = " · ".join(say(key, runs[key].iloc[0]) for key in ("game", "reference", "n"))
    return equilibria(policies.merge(runs[["run_id", "beta"]], on="run_id"), title=title)


def _slug(text: str) -> str:
    """The text as part of a file name: `disc[strength=2]` → `disc-strength-2`."""
    return re.sub(r"[^A-Za-z0-9_.]+", "-", text).strip("-.") or "game"
