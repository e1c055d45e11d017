"""Names of curves next to their ends, in their colours; where all of them fit, they replace the legend."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath
from matplotlib.transforms import ScaledTranslation
from numpy.typing import NDArray

from nashgames.plots.estimates import Floats
from nashgames.plots.page import page
from nashgames.plots.palette import legible

NAME = "name of a curve"
"""The gid of a name in a figure, and of a symbol beside one."""

# More names than this are read faster in a list.
_MOST = 6
# In points: from a curve to its name, and between a name and what it must not touch, half a symbol.
_BESIDE, _CLEAR = 4.0, 2.2
# Lines of type that a name may be moved up or down, and that the panel may grow by below its curves.
_MOVED, _BELOW = 5, 3
# A name stands along the last part of its curve, where so many places are tried.
_LAST, _PLACES = 0.5, 40
# Costs in lines of type: a name right of the end is best, along the curve it costs this and its way from the end.
_ALONG = 0.8
# In points, from the edge of a panel: the end of the line that leads to a name, its symbol, and the name.
_LEAD, _SYMBOL, ASIDE = 10.0, 15.0, 20.0
# A line of type in sizes of type, with what keeps two of them apart.
_LINE = 1.25


@dataclass(frozen=True)
class Curve:
    """A curve `x`, `y` `[t]` in data, and its name in its colour."""

    text: str
    colour: str
    x: Floats
    y: Floats


@dataclass(frozen=True)
class _Spot:
    """A place of a name: its box (left, low, right, high) in points, the end of a line that leads to it or None, and
    what it costs in lines of type."""

    box: tuple[float, float, float, float]
    led: tuple[float, float] | None
    cost: float


def name_ends(figure: Figure, ax: Axes, curves: Sequence[Curve], lines: Sequence[tuple[Floats, Floats]] = ()) -> bool:
    """Write every name beside its curve, if there is place: no name touches a curve, one of the other `lines` (x, y)
    or another name. Returns whether there is.

    Names stand to the right of the ends, above each other where these are close, or along the last part of a curve. The
    lower limit of the axis falls by up to three lines of type where that makes the place. Nothing is written otherwise.
    """
    curves = [curve for curve in curves if np.isfinite(curve.y).any()]
    if not curves or len(curves) > _MOST:
        return False
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
    size = ax.get_position().width * figure.get_figwidth() * 72, ax.get_position().height * figure.get_figheight() * 72
    limits = ax.get_ylim()
    for below in range(_BELOW + 1):
        if below:
            _lower(ax, limits, below * _LINE * page().font / size[1])
        ways = [_way(ax, curve.x, curve.y, size) for curve in curves]
        hidden = [_way(ax, x, y, size) for x, y in lines]
        for order in (np.argsort([-way[-1, 0] for way in ways]), np.argsort([way[-1, 1] for way in ways])):
            spots = _placed(curves, ways, hidden, size, [int(i) for i in order])
            if spots is not None:
                for curve, way, spot in zip(curves, ways, spots, strict=True):
                    _write(ax, curve, way, spot, size)
                return True
    ax.set_ylim(limits)
    return False


def _lower(ax: Axes, limits: tuple[float, float], share: float) -> None:
    """The lower limit of a logarithmic axis so far down that the share of the panel below the old one is new."""
    low, high = np.log(limits)
    ax.set_ylim(float(np.exp(high - (high - low) / (1 - share))), limits[1])


def _way(ax: Axes, x: Floats, y: Floats, size: tuple[float, float]) -> Floats:
    """The finite points of a curve in points from the lower left of the panel, `[t, 2]`, one a point of its length."""
    finite = np.isfinite(y)
    data = ax.transData.transform(np.column_stack([x[finite], y[finite]]))
    way = ax.transAxes.inverted().transform(data) * size
    lengths = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(way, axis=0).T))])
    # Twice the least number: no box of a name is so thin that it lies between two of them.
    fine = np.linspace(0, lengths[-1], int(2 * lengths[-1]) + 2)
    return np.column_stack([np.interp(fine, lengths, way[:, k]) for k in (0, 1)])


def _placed(
    curves: Sequence[Curve],
    ways: Sequence[Floats],
    hidden: Sequence[Floats],
    size: tuple[float, float],
    order: Sequence[int],
) -> list[_Spot] | None:
    """The cheapest free spot of every name, taken in this order; None where one of them has none."""
    found: dict[int, _Spot] = {}
    for i in order:
        width, height = width_of(curves[i].text, page().font), _LINE * page().font
        others = np.concatenate([np.empty((0, 2)), *hidden, *(way for k, way in enumerate(ways) if k != i)])
        free = (
            spot
            for spot in sorted(_spots(ways[i], width, height), key=lambda spot: spot.cost)
            if _inside(spot.box, size)
            and not _touched(spot.box, np.concatenate([others, ways[i]])).any()
            and all(_apart(spot, other, ways[i], ways[k]) for k, other in found.items())
            and not _crosses(spot, ways[i][-1], others)
        )
        spot = next(free, None)
        if spot is None:
            return None
        found[i] = spot
    return [found[i] for i in range(len(curves))]


def _spots(way: Floats, width: float, height: float) -> Iterator[_Spot]:
    """Where a name of this size may stand beside a way: right of its end, moved up or down, or along its last part."""
    x, y = way[-1]
    for moved in range(-_MOVED, _MOVED + 1):
        left, low = x + _BESIDE + (2 * _BESIDE if moved else 0), y - height / 2 + moved * height
        box = (left, low, left + width, low + height)
        yield _Spot(box, (left - 1, low + height / 2) if moved else None, float(abs(moved)))
    for place in np.linspace(len(way) - 1, (1 - _LAST) * len(way), _PLACES).astype(int):
        x, y = way[place]
        cost = _ALONG + (len(way) - 1 - place) / (2 * 4 * height)
        for across, up in ((0, 1), (-1, 1), (-0.5, 1), (0, 0), (-1, 0), (-0.5, 0)):
            left = x + across * width + (_BESIDE if across == 0 else -_BESIDE if across == -1 else 0)
            low = y + (_BESIDE if up else -_BESIDE - height)
            yield _Spot((left, low, left + width, low + height), None, cost)


@lru_cache
def width_of(text: str, size: float) -> float:
    """How wide a line of text of this size is, in points; it is asked for again in every order of the names."""
    drawn = TextPath((0, 0), text, prop=FontProperties(family="DejaVu Sans"), size=size)
    return float(drawn.get_extents().width) + 1


@dataclass(frozen=True)
class End:
    """A curve that ends at `height` on the right edge of a panel: its name, its colour and its symbol."""

    text: str
    colour: str
    marker: str
    height: float


def name_beside(ax: Axes, ends: Sequence[End], size: float | None = None) -> None:
    """Write the name of every curve right of the panel, with its symbol, at its end or as near as names stand apart.

    Of curves with one end the first given stands highest. `size` is that of the type, in points, or that of the page.
    """
    figure = ax.get_figure(root=True)
    assert figure is not None
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
    size = page().font if size is None else size
    points = ax.get_window_extent().height / figure.dpi * 72
    low, high = ax.get_ylim()
    ranked = sorted(ends, key=lambda end: -end.height)
    wanted = (np.array([end.height for end in ranked]) - low) / (high - low)
    where: dict[str, Any] = {"xycoords": ax.transAxes, "textcoords": "offset points", "annotation_clip": False}
    for end, wish, up in zip(ranked, wanted, points * (spread(wanted, _LINE * size / points) - wanted), strict=True):
        ax.plot(
            1.0,
            wish,
            color=end.colour,
            marker=end.marker,
            gid=NAME,
            clip_on=False,
            transform=ax.transAxes + ScaledTranslation(_SYMBOL / 72, up / 72, figure.dpi_scale_trans),
        )
        # It ends before the symbol.
        lead = {"arrowstyle": "-", "color": end.colour, "linewidth": 0.5, "shrinkA": ASIDE - _LEAD, "shrinkB": 0}
        style: dict[str, Any] = {"va": "center", "color": legible(end.colour), "fontsize": size, "gid": NAME}
        ax.annotate(end.text, (1.0, wish), (ASIDE, up), arrowprops=lead | {"relpos": (0, 0.5)}, **style, **where)


def spread(wanted: Floats, gap: float) -> Floats:
    """The falling heights `[k]` in [0, 1] nearest to `wanted` `[k]` with at least `gap` between neighbours."""
    shifted = np.asarray(wanted) + gap * np.arange(len(wanted))
    blocks: list[list[float]] = []
    for value in shifted:
        blocks.append([float(value), 1.0])
        # Pool adjacent violators: what must not rise is averaged where it would.
        while len(blocks) > 1 and blocks[-2][0] < blocks[-1][0]:
            mean, weight = blocks.pop()
            total = blocks[-1][1] + weight
            blocks[-1] = [(blocks[-1][0] * blocks[-1][1] + mean * weight) / total, total]
    level = np.concatenate([np.full(int(weight), mean) for mean, weight in blocks])
    # In these coordinates the limits of the lowest and of the highest are limits of all.
    return np.asarray(np.clip(level, gap * (len(wanted) - 1), 1) - gap * np.arange(len(wanted)))


def _inside(box: tuple[float, float, float, float], size: tuple[float, float]) -> bool:
    return box[0] >= 0 and box[1] >= 0 and box[2] <= size[0] and box[3] <= size[1]


def _touched(box: tuple[float, float, float, float], points: Floats, clear: float = _CLEAR) -> NDArray[np.bool_]:
    """Which of the points `[t, 2]` lie in the box or nearer to it than is `clear`."""
    x, y = points[:, 0], points[:, 1]
    return np.asarray(
        (x > box[0] - clear) & (x < box[2] + clear) & (y > box[1] - clear) & (y < box[3] + clear), dtype=np.bool_
    )


def _lead(spot: _Spot, end: Floats) -> Floats:
    """The line that leads from the end of a curve to its name, `[t, 2]`."""
    if spot.led is None:
        return np.empty((0, 2))
    return np.linspace(end, spot.led, 20)


def _apart(spot: _Spot, other: _Spot, mine: Floats, theirs: Floats) -> bool:
    """Whether neither two names nor a name and the line that leads to another one touch."""
    (a, b, c, d), (e, f, g, h) = spot.box, other.box
    beside = c <= e or g <= a or d <= f or h <= b
    leads = _touched(spot.box, _lead(other, theirs[-1]), 0).any() or _touched(other.box, _lead(spot, mine[-1]), 0).any()
    return beside and not leads


def _crosses(spot: _Spot, end: Floats, others: Floats) -> bool:
    """Whether the line that leads to a name meets another curve."""
    line = _lead(spot, end)
    return bool(len(line)) and bool((np.hypot(*(others[:, None] - line[None]).T) < 1).any())


def _write(ax: Axes, curve: Curve, way: Floats, spot: _Spot, size: tuple[float, float]) -> None:
    middle = (spot.box[0] / size[0], (spot.box[1] + spot.box[3]) / 2 / size[1])
    options: dict[str, Any] = {
        "xycoords": ax.transAxes,
        "va": "center",
        "color": legible(curve.colour),
        "zorder": 4,
        "gid": NAME,
    }
    if spot.led is None:
        ax.annotate(curve.text, middle, **options)
    else:
        line = {"arrowstyle": "-", "color": curve.colour, "linewidth": 0.5, "shrinkA": 0, "shrinkB": 1}
        options |= {"textcoords": ax.transAxes, "arrowprops": line | {"relpos": (0, 0.5)}}
        ax.annotate(curve.text, (way[-1, 0] / size[0], way[-1, 1] / size[1]), middle, **options)
