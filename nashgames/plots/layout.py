"""How a figure is laid out: its panels, the names of its axes, the legend below it, and what the caption says."""

import re
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from matplotlib import ticker
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend_handler import HandlerBase
from matplotlib.lines import Line2D

from nashgames.errors import NashGamesError
from nashgames.plots.estimates import Floats
from nashgames.plots.page import page
from nashgames.plots.palette import FAINT, PaperFigure
from nashgames.plots.panels import Facets

# Height of a panel alone, and of one of several, as parts of its width; a grid is read down its columns too.
_ALONE, _OF_SEVERAL = 0.5, 0.72
# Margin beside the outermost marks, as a factor on a logarithmic axis and as a part of a linear one.
_ROOM, _ROOM_LINEAR = 1.35, 0.06
# Values that span less than this factor stand on a linear axis.
_SPAN = 5
# From the highest to the lowest value: powers of ten alone would be one or two ticks.
_FEW = 100
# More ticks than this would touch each other.
_TICKS = 6
# Lines of type that the numbers and the name of the axis take below the panels, and those of a panel's title.
_BELOW, _TITLED = 3.2, 1.6
# A line of a legend or a title in sizes of type.
_LEADING = 1.45
# What matplotlib writes at a power of ten, or at a multiple of one, and the digits that say it without a formula.
_POWER = re.compile(r"\$\\mathdefault\{(.*)10\^\{(-?\d+)\}\}\$")
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def fold(text: str, letters: float) -> str:
    """The text in lines of at most so many letters: broken behind · ; and commas, inside brackets only where it must.

    >>> fold("n = 3 · mlp[depth=3,width=10]", 12)
    'n = 3\\nmlp[depth=3,\\nwidth=10]'
    """
    lines = [""]
    for part in re.findall(r".+?(?: · |; |, |$)", text):
        fits = len(part.rstrip(" ·")) <= letters
        if not fits and lines[-1]:
            lines.append("")
        for piece in [part] if fits else re.findall(r".+?(?:,|(?=\[)|$)\s*", part):
            if lines[-1] and len((lines[-1] + piece).rstrip(" ·")) > letters:
                lines.append("")
            lines[-1] += piece
    return "\n".join(line.rstrip(" ·") for line in lines)


Sharing = Literal["all", "row", "col", "none"]
"""Which panels share an axis."""


def axes_of(
    laid: Facets,
    ax: Axes | None,
    *,
    x: Sharing = "all",
    y: Sharing = "all",
    alone: float = _ALONE,
    each: float = _OF_SEVERAL,
) -> tuple[Figure, list[Axes]]:
    """A figure with one axes for every panel, titled; or the figure of `ax`, which holds a single panel.

    Panels share the axes `x` and `y` all, in a row, in a col(umn), or none. The figure is as wide as the page; a panel
    is as high as the part `alone` of its width, or `each` where there are several.
    """
    if ax is not None:
        if len(laid.panels) != 1:
            raise NashGamesError(
                f"ax holds one panel and these runs need {len(laid.panels)}; select fewer runs or leave ax out"
            )
        figure = ax.get_figure(root=True)
        assert figure is not None
        ax.set_title(fold(laid.title, page().letters(ax.get_position().width * figure.get_figwidth())))
        return figure, [ax]
    line = page().font * _LEADING / 72
    titles = {panel: fold(panel.title, page().letters(0.82 * page().inches / laid.columns)) for panel in laid.panels}
    width = page().inches / laid.columns
    headings = {panel: fold(panel.heading, page().letters(0.82 * page().inches)) for panel in laid.panels}
    # A narrow page has no low panels: the type is as large there.
    height = max((alone if len(laid.panels) == 1 else each) * width, 1.1)
    above = max(_lines(titles[panel]) + _lines(headings[panel]) for panel in laid.panels)
    made = new_figure(
        laid.title, laid.rows * (height + above * line) + _BELOW * line * (laid.rows if x == "none" else 1)
    )
    cells = made.subplots(laid.rows, laid.columns, sharex=x, sharey=y, squeeze=False)
    used = {(panel.row, panel.column) for panel in laid.panels}
    for place, cell in np.ndenumerate(cells):
        if place not in used:
            cell.remove()
        elif (place[0] + 1, place[1]) not in used:
            cell.tick_params(labelbottom=True)
    for panel in laid.panels:
        cell = cells[panel.row, panel.column]
        cell.set_title(titles[panel])
        if panel.heading:
            # Above the title, over the whole row: widths of titles count for no layout.
            cell.set_title(headings[panel] + "\n" * _lines(titles[panel]), loc="left")
    return made, [cells[panel.row, panel.column] for panel in laid.panels]


def _lines(text: str) -> int:
    return text.count("\n") + 1 if text else 0


def new_figure(title: str, height: float, width: float | None = None) -> PaperFigure:
    """An empty figure as wide as the page, or `width`, and `height` inches high besides its title, where that stands
    in it; its caption begins with the title."""
    width = page().inches if width is None else min(width, page().inches)
    text = fold(title, page().letters(width)) if page().title else ""
    made = PaperFigure(figsize=(width, height + _lines(text) * page().font * _LEADING / 72), layout="constrained")
    made.caption = title
    if text:
        made.suptitle(text)
    return made


class _Powers(ticker.LogFormatterSciNotation):
    """Powers of ten in superscript digits: as formulae they are a quarter of what a figure takes to draw."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        text = super().__call__(x, pos)
        power = _POWER.fullmatch(text)
        if power is None:
            return text
        return power[1].replace(r"\times", "×") + "10" + power[2].translate(_RAISED)


def name_axes(axes: Sequence[Axes], x: str, y: str) -> None:
    """Name the axes of the panels that show their ticks: below the lowest ones and left of the leftmost ones."""
    for cell in axes:
        for axis in (cell.xaxis, cell.yaxis):
            if type(axis.get_major_formatter()) is ticker.LogFormatterSciNotation:
                axis.set_major_formatter(_Powers())
            if type(minor := axis.get_minor_formatter()) is ticker.LogFormatterSciNotation:
                axis.set_minor_formatter(_Powers(labelOnlyBase=minor.labelOnlyBase))
        if cell.xaxis.get_tick_params()["labelbottom"]:
            cell.set_xlabel(x)
        if cell.yaxis.get_tick_params()["labelleft"]:
            cell.set_ylabel(y)


def scale_places(ax: Axes, places: Floats) -> None:
    """The axis of the places: logarithmic where they are positive and span a factor; they are the ticks if few."""
    if places[0] > 0 and places[-1] >= _SPAN * places[0]:
        ax.set(xscale="log", xlim=(places[0] / _ROOM, places[-1] * _ROOM))
    else:
        beside = _ROOM_LINEAR * (places[-1] - places[0] or 1.0)
        ax.set_xlim(places[0] - beside, places[-1] + beside)
    if len(places) <= _TICKS:
        ax.xaxis.set_minor_locator(ticker.NullLocator())
        ax.set_xticks(places, [f"{place:g}" for place in places])


def plain_ticks(ax: Axes) -> None:
    """Ticks of a logarithmic y axis as plain numbers, 1, 2 and 5 times powers of ten, where it spans few decades."""
    low, high = ax.get_ylim()
    if high < _FEW * low:
        powers = 10.0 ** np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
        ticks = [tick for tick in np.outer(powers, (1, 2, 5)).ravel() if low <= tick <= high]
        ax.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
        ax.yaxis.set_minor_formatter(ticker.NullFormatter())


def tell(figure: Figure, text: str) -> None:
    """Append this text to the caption of a figure that this package made."""
    if isinstance(figure, PaperFigure):
        figure.caption = ". ".join(filter(None, [figure.caption, text]))


Handle = Line2D | tuple[Line2D, ...]
"""What stands in a legend: a line, or several one above the other with the label of the first, the lowest."""


class _Stacked(HandlerBase):
    """Draws the lines of one entry above each other, as they stand in the panels."""

    def create_artists(
        self,
        legend: Any,
        orig_handle: Any,
        xdescent: float,
        ydescent: float,
        width: float,
        height: float,
        fontsize: float,
        trans: Any,
    ) -> Sequence[Artist]:
        made: list[Artist] = []
        for line, y in zip(orig_handle, np.linspace(-0.1, 1.1, len(orig_handle)) * height - ydescent, strict=True):
            drawn = Line2D([-xdescent, width - xdescent], [y, y])
            drawn.update_from(line)
            drawn.set_transform(trans)
            made.append(drawn)
        return made


def legend(figure: Figure, ax: Axes | None, handles: Sequence[Handle], caption: str = "") -> None:
    """A legend below the data: of the figure, or of the caller's own `ax`; and what is to be said of the figure.

    A figure grows with its legend, which takes no place from the panels. The `caption` goes on with that of the figure,
    which stands outside; the legend of `ax` has it as its title.
    """
    if ax is None:
        tell(figure, caption)
    if not handles:
        return
    labels = [str((handle[0] if isinstance(handle, tuple) else handle).get_label()) for handle in handles]
    # Of an entry at this size of type, without the marks of its formulae; its line and the gaps are nine letters wide.
    widths = [9 + len(re.sub(r"[\\${}^]", "", label)) for label in labels]
    room = page().letters(figure.get_figwidth())
    columns = len(handles)
    while columns > 1 and sum(max(part) for part in np.array_split(widths, columns)) > room:
        columns -= 1
    options: dict[str, Any] = {
        "handles": handles,
        "labels": labels,
        "ncols": columns,
        "handler_map": {tuple: _Stacked()},
    }
    if ax is not None:
        made = ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.18), title=fold(caption, room) or None, **options)
        made.get_title().set_color(FAINT)
        made.get_title().set_multialignment("center")
    else:
        rows = -(-len(handles) // columns)
        figure.set_figheight(figure.get_figheight() + rows * page().font * _LEADING / 72)
        figure.legend(loc="outside lower center", **options)
