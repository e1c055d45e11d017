"""A share of every ordered pair, as a matrix of numbers and colours."""

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from nashgames.plots.estimates import Floats
from nashgames.plots.labels import width_of
from nashgames.plots.naming import told_apart
from nashgames.plots.page import page
from nashgames.plots.palette import PaperFigure

# Part of the colour scale from which a cell is dark enough for white figures.
_DARK = 0.45
# Inches of a cell at most, of the names beside them at least, and of the narrowest figure, which holds its title.
_CELL, _BESIDE, _NARROWEST = 0.36, 0.6, 3.6
# Inches of the title.
_ABOVE = 0.4
# Points of the numbers in the cells, at most and at least.
_SIZE, _SMALLEST = 6.0, 4.0
# Letters of a share of 100 %, and the width of a bold one, with what keeps two apart, in sizes of type.
_DIGITS, _LETTER = 3, 0.85
# The size of names, as "small" type, in sizes of type; the gap between them and the cells in inches.
_TICKS, _GAP = 0.833, 0.1


def matrix(
    shares: Floats,
    names: Sequence[str],
    *,
    title: str,
    sure: Any,
    digits: int = 0,
    reach: float = 0.5,
    ax: Axes | None = None,
) -> Figure:
    """The `shares` `[M, M]` of rows over columns in per cent, NaN left white; bold where `sure` `[M, M]`.

    Colours go from ½ − `reach` to ½ + `reach`; numbers have so many `digits` behind the point.
    """
    shown = list(told_apart(names).values())
    letters = _DIGITS + (digits + 1 if digits else 0)
    aside = max(_BESIDE, max(width_of(name, _TICKS * page().font) for name in shown) / 72 + _GAP)
    room = (page().inches - aside) / len(names)
    # A page that is too narrow for numbers that can be read has a figure that is wider.
    wide = max(min(_CELL * (1 + digits / 4), room), letters * _LETTER * _SMALLEST / 72)
    size = min(_SIZE, wide * 72 / (letters * _LETTER))
    side = max(wide * len(names) + aside, min(_NARROWEST, page().inches))
    figure = (
        PaperFigure(figsize=(side, side + _ABOVE), layout="constrained") if ax is None else ax.get_figure(root=True)
    )
    assert figure is not None
    cell = figure.subplots() if ax is None else ax
    norm = Normalize(0.5 - reach, 0.5 + reach)
    cell.imshow(shares, norm=norm, cmap="cividis_r", aspect="equal")
    for (i, j), value in np.ndenumerate(shares):
        if not np.isnan(value):
            colour = "white" if norm(value) > 1 - _DARK else "black"
            weight = "bold" if sure[i, j] else "normal"
            text = f"{100 * value:.{digits}f}"
            cell.text(j, i, text, ha="center", va="center", color=colour, fontsize=size, weight=weight)
    cell.set_xticks(range(len(shown)), shown, rotation=90)
    cell.set_yticks(range(len(shown)), shown)
    cell.xaxis.tick_top()
    cell.grid(False)
    cell.tick_params(length=0)
    cell.spines[:].set_visible(False)
    # Above all of the figure: names of rows take as much of its width as cells do.
    if page().title or ax is not None:
        figure.suptitle(textwrap.fill(title, int(page().letters(side))))
    return figure
