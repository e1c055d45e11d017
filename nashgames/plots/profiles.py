"""Performance profiles: the share of games that every method solves within a factor of the cheapest one's cost."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nashgames.analysis.race import Race, played_beta, profiles, remarks, standings
from nashgames.analysis.resampling import interval
from nashgames.plots.estimates import Floats
from nashgames.plots.layout import Handle, axes_of, legend, name_axes
from nashgames.plots.page import styled
from nashgames.plots.palette import Look, looks, plain
from nashgames.plots.panels import Facets, Panel, several, some, wrap
from nashgames.plots.rows import Rows

# Factors of a smooth-looking band: a pixel or two apart in a panel.
_FACTORS = 200
# Beyond this factor a method counts as one that does not solve the game: nobody waits a thousand times as long.
_LARGEST = 1e3
# The bands of more methods would cover each other.
_BANDS = 4
# Panels of single β beside the one of all, so that they are at most two rows.
_PANELS = 5
# Markers of one curve; those of another stand between them, so that equal curves are both seen.
_MARKS = 5


def applies(rows: Rows) -> bool:
    return several(rows.compared["label"])


def draw(rows: Rows) -> Figure:
    return draw_profiles(rows.raced, remark=rows.remark)


@styled
def draw_profiles(race: Race, *, remark: str = "", ax: Axes | None = None) -> Figure:
    """ρ(τ), the share of games solved to ε within τ times the least cost of any method, for every method.

    At τ = 1 it is the share of games on which nobody was cheaper, at the right edge the share solved at all. Methods
    stand in the order of their efficiency. With several β there is a panel for all and one for each; with at most four
    methods bands are the 95 % intervals over games and seeds. In `ax` is the panel of all.
    """
    laid = _laid(race, single=ax is not None)
    figure, axes = axes_of(laid, ax)
    look = looks(dict(race.solvers))
    order = [str(name) for name in standings(race)["method"]]
    finite = race.ratios[np.isfinite(race.ratios)]
    last = float(np.clip(finite.max(initial=1.0), 2.0, _LARGEST))
    for cell, panel in zip(axes, laid.panels, strict=True):
        cell.set(xscale="log", xlim=(1, last), ylim=(-0.02, 1.02))
        cell.yaxis.set_major_locator(ticker.MultipleLocator(0.25))
        cell.yaxis.set_major_formatter(ticker.PercentFormatter(1, symbol=" %"))
        cell.xaxis.set_major_formatter(ticker.FormatStrFormatter("%g"))
        _draw(cell, race.of(np.isin(np.arange(len(race.instances)), panel.runs.index)), look, order, last)
    name_axes(axes, f"{race.axis} over those\nof the cheapest method", "share of games solved")
    handles: list[Handle] = [look[name].handle(plain(name)) for name in order]
    legend(figure, ax, handles, _caption(race, remark, bands=len(order) <= _BANDS))
    return figure


def _laid(race: Race, *, single: bool) -> Facets:
    """A panel for all games, and where there are several β one for each of them, falling."""
    title = f"solved: {race.goal}"
    played = played_beta(race.instances)
    betas = some(sorted(set(played.tolist()), reverse=True), _PANELS)
    if single or len(betas) == 1:
        return Facets(1, 1, [Panel(0, 0, race.instances, "")], title)
    parts = {"all games": race.instances}
    parts |= {f"β = {beta:g}": race.instances[played == beta] for beta in betas}
    columns = wrap(len(parts))
    panels = [Panel(*divmod(place, columns), part, name) for place, (name, part) in enumerate(parts.items())]
    return Facets(-(-len(parts) // columns), columns, panels, title)


def _draw(ax: Axes, race: Race, look: Mapping[str, Look], order: list[str], last: float) -> None:
    factors = np.geomspace(1, last, _FACTORS)
    ratios = race.ratios
    steps = np.unique(np.clip(ratios[np.isfinite(ratios)], 1, last))
    steps = np.concatenate([[1.0], steps, [last]])
    shares = profiles(race, steps)
    marks = np.geomspace(1, last, _MARKS * len(order) + 1)
    for rank, name in enumerate(order):
        column, own = race.methods.index(name), look[name]
        style: dict[str, Any] = {"color": own.colour, "zorder": 3 - rank / len(order)}
        if len(order) <= _BANDS:
            low, high = interval(race.resamples @ (ratios[:, [column]] <= factors).astype(np.float64))
            ax.fill_between(factors, low, high, color=own.colour, alpha=0.15, linewidth=0, zorder=1.5)
        ax.plot(steps, shares[:, column], drawstyle="steps-post", linestyle=own.dashes, **style)
        at: Floats = marks[rank :: len(order)]
        ax.plot(at, profiles(race, at)[:, column], linestyle="none", marker=own.marker, markersize=3, **style)


def _caption(race: Race, remark: str, *, bands: bool) -> str:
    told = "bands are 95 % intervals over games and seeds" if bands and not np.isnan(race.resamples).any() else ""
    return "; ".join(filter(None, [*remarks(race), "methods in the order of their efficiency", told, remark]))
