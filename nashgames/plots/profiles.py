"""Performance profiles: the share of games that every method solves within a factor of the cheapest one's cost."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from nashgames.analysis.race import Race, played_beta, profiles, remarks, standings
from nashgames.analysis.resampling import interval
from nashgames.plots.estimates import Floats
from nashgames.plots.labels import ASIDE, End, name_beside, width_of
from nashgames.plots.layout import Handle, axes_of, legend, new_figure
from nashgames.plots.naming import told_apart
from nashgames.plots.page import page, styled
from nashgames.plots.palette import Look, looks
from nashgames.plots.panels import Facets, Panel, several, some
from nashgames.plots.rows import Rows

# Factors of a smooth-looking band: a pixel or two apart in a panel.
_FACTORS = 200
# Beyond this factor a method counts as one that does not solve the game: nobody waits a thousand times as long.
_LARGEST = 1e3
# The bands of more methods would cover each other.
_BANDS = 4
# Panels of single β below the one of all: four still show a curve each.
_PANELS = 4
# Markers of one curve; those of another stand between them, so that equal curves are both seen.
_MARKS = 5
# More curves in a panel of a single β cannot be told apart at its size: the others are grey there.
_COLOURED = 5
_REST: Mapping[str, Any] = {"color": "#c4c4c4", "linewidth": 0.6, "zorder": 1.8}
# Heights of the panel of all games, at least, and of those below it as parts of the width of one; a line of names.
_HIGH, _LOW, _LINE = 0.42, 0.85, 1.3
# Inches of the axis beside a panel, and the part of the page that is left to a panel with names beside it.
_AXIS, _LEFT = 0.6, 0.42
# Lines of type of the ticks and the name, of two lines, of an axis, and of the title above a panel.
_BELOW, _ABOVE = 4.4, 1.8


def applies(rows: Rows) -> bool:
    return several(rows.compared["label"])


def draw(rows: Rows) -> Figure:
    return draw_profiles(rows.raced, remark=rows.remark)


@styled
def draw_profiles(race: Race, *, remark: str = "", ax: Axes | None = None) -> Figure:
    """ρ(τ), the share of games solved to ε within τ times the least cost of any method, for every method.

    At τ = 1 it is the share of games on which nobody was cheaper, at the right edge the share solved at all. With
    several β there is a panel for all games and below it one for each, in which the most efficient methods there have
    their colours and the others are grey. With at most four methods bands are the 95 % intervals over games and seeds.
    The names stand beside the curves where the page has room for them. In `ax` is the panel of all.
    """
    look = looks(dict(race.solvers))
    order = [str(name) for name in standings(race)["method"]]
    called = told_apart(order)
    aside = (max(width_of(text, page().font) for text in called.values()) + ASIDE) / 72
    beside = ax is None and page().inches - _AXIS - aside >= _LEFT * page().inches
    parts = [] if ax is not None else _parts(race)
    title = f"solved: {race.goal}"
    if ax is None:
        figure, first, below = _cells(title, len(order) if beside else 0, len(parts))
    else:
        figure, (first,) = axes_of(Facets(1, 1, [Panel(0, 0, race.instances, "")], title), ax)
        below = []
    last = _last(race)
    _draw(first, race, look, order, last, order)
    if parts:
        first.set_title("all games")
    for cell, (name, part) in zip(below, parts, strict=True):
        cell.set_title(name)
        cell.tick_params(labelleft=cell is below[0])
        _draw(cell, part, look, order, last, _best(part))
    for cell in (first, *below[:1]):
        cell.set_ylabel("share of games solved" if cell is first else "share solved")
    if below:
        # One for all of them: three would touch each other in a column.
        lower = below[0].get_figure(root=False)
        assert lower is not None
        lower.supxlabel(f"{race.axis} over those of the cheapest method", fontsize="medium")
    else:
        first.set_xlabel(f"{race.axis} over those\nof the cheapest method")
    if beside:
        ends = dict(zip(race.methods, profiles(race, np.array([last]))[0], strict=True))
        name_beside(first, [End(called[name], look[name].colour, look[name].marker, ends[name]) for name in order])
    handles: list[Handle] = [] if beside else [look[name].handle(called[name]) for name in order]
    if len(order) > _COLOURED and parts:
        handles.append(Line2D([], [], label=f"not among the {_COLOURED} most efficient at this β", **_REST))
    legend(figure, ax, handles, _caption(race, remark, bands=len(order) <= _BANDS))
    return figure


def _last(race: Race) -> float:
    finite = race.ratios[np.isfinite(race.ratios)]
    return float(np.clip(finite.max(initial=1.0), 2.0, _LARGEST))


def _parts(race: Race) -> list[tuple[str, Race]]:
    """The races of single β, falling, where there are several."""
    played = played_beta(race.instances)
    betas = sorted(set(played.tolist()), reverse=True)
    return [(f"β = {beta:g}", race.of(played == beta)) for beta in some(betas, _PANELS)] if len(betas) > 1 else []


def _best(race: Race) -> list[str]:
    """The methods that are the most efficient in a race."""
    return [str(name) for name in standings(race)["method"][:_COLOURED]]


def _cells(title: str, named: int, parts: int) -> tuple[Figure, Axes, list[Axes]]:
    """A figure with a panel of all games, as high as so many names beside it need, and below it those of its parts."""
    line = page().font / 72
    high = max(_HIGH * page().inches, named * _LINE * line) + _ABOVE * line
    if not parts:
        figure = new_figure(title, high + _BELOW * line)
        return figure, figure.add_subplot(), []
    low = max(_LOW * (page().inches - _AXIS) / parts, 1.1) + (_ABOVE + _BELOW) * line
    figure = new_figure(title, high + low + _ABOVE * line)
    # Two layouts: what stands beside the upper panel takes no place from those below it.
    cells = figure.subfigures(2, 1, squeeze=False, height_ratios=[high + _ABOVE * line, low])
    upper, lower = cells[:, 0]
    return figure, upper.add_subplot(), list(lower.subplots(1, parts, sharey=True, squeeze=False)[0])


def _draw(
    ax: Axes, race: Race, look: Mapping[str, Look], order: Sequence[str], last: float, coloured: Collection[str]
) -> None:
    """The profiles of a panel; those of methods that are not `coloured` are grey, and below the others."""
    ax.set(xscale="log", xlim=(1, last), ylim=(-0.02, 1.02))
    ax.yaxis.set_major_locator(ticker.MultipleLocator(0.25))
    ax.yaxis.set_major_formatter(ticker.PercentFormatter(1, symbol=" %"))
    ax.xaxis.set_major_formatter(ticker.FormatStrFormatter("%g"))
    factors = np.geomspace(1, last, _FACTORS)
    ratios = race.ratios
    steps = np.unique(np.clip(ratios[np.isfinite(ratios)], 1, last))
    steps = np.concatenate([[1.0], steps, [last]])
    shares = profiles(race, steps)
    shown = [name for name in order if name in coloured]
    marks = np.geomspace(1, last, _MARKS * len(shown) + 1)
    for name in order:
        column, own = race.methods.index(name), look[name]
        if name not in shown:
            ax.plot(steps, shares[:, column], drawstyle="steps-post", **_REST)
            continue
        rank = shown.index(name)
        style: dict[str, Any] = {"color": own.colour, "zorder": 3 - rank / len(shown)}
        if len(order) <= _BANDS:
            low, high = interval(race.resamples @ (ratios[:, [column]] <= factors).astype(np.float64))
            ax.fill_between(factors, low, high, color=own.colour, alpha=0.15, linewidth=0, zorder=1.5)
        ax.plot(steps, shares[:, column], drawstyle="steps-post", linestyle=own.dashes, **style)
        at: Floats = marks[rank :: len(shown)]
        ax.plot(at, profiles(race, at)[:, column], linestyle="none", marker=own.marker, markersize=3, **style)


def _caption(race: Race, remark: str, *, bands: bool) -> str:
    told = "bands are 95 % intervals over games and seeds" if bands and not np.isnan(race.resamples).any() else ""
    return "; ".join(filter(None, [*remarks(race), told, remark]))
