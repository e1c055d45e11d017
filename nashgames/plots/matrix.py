"""A share of every ordered pair, as a matrix of numbers and colours."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from nashgames.plots.estimates import Floats
from nashgames.plots.layout import fold
from nashgames.plots.palette import PaperFigure, plain

# Part of the colour scale from which a cell is dark enough for white figures.
_DARK = 0.45
# Inches of a cell, of the names beside all of them, and of the narrowest figure, which holds its title.
_CELL, _BESIDE, _NARROWEST = 0.36, 1.3, 3.6
# Inches of the title.
_ABOVE = 0.4
# Letters of the title to the inch.
_LETTERS = 12
# Points of the figures in the cells; two of them and their sign fill a cell.
_SIZE = 6.0


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
    cell_size = _CELL * (1 + digits / 4)
    side = max(cell_size * len(names) + _BESIDE, _NARROWEST)
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
            cell.text(j, i, text, ha="center", va="center", color=colour, fontsize=_SIZE, weight=weight)
    shown = [plain(name) for name in names]
    cell.set_xticks(range(len(shown)), shown, rotation=90)
    cell.set_yticks(range(len(shown)), shown)
    cell.xaxis.tick_top()
    cell.grid(False)
    cell.tick_params(length=0)
    cell.spines[:].set_visible(False)
    # Above all of the figure: names of rows take as much of its width as cells do.
    figure.suptitle(fold(title, _LETTERS * side))
    return figure
