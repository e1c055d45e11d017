"""The probability that one method needs fewer queries than another on a game, as a matrix."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from nashgames.analysis.race import Race, improvement, remarks, standings
from nashgames.plots.layout import fold, tell
from nashgames.plots.page import styled
from nashgames.plots.palette import PaperFigure, plain
from nashgames.plots.panels import several
from nashgames.plots.rows import Rows

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


def applies(rows: Rows) -> bool:
    return several(rows.compared["label"])


def draw(rows: Rows) -> Figure:
    return draw_improvement(rows.raced, remark=rows.remark)


@styled
def draw_improvement(race: Race, *, remark: str = "", ax: Axes | None = None) -> Figure:
    """The probability in per cent that the method of a row is cheaper than that of a column, ties counting half.

    Compared on the same game and seed, and averaged over games (`analysis.race.improvement`). Methods stand in the
    order of their efficiency. A number is bold where its 95 % interval over games and seeds lies on one side of 50 %.
    """
    order = [str(name) for name in standings(race)["method"]]
    found = improvement(race)
    table = _matrix(found, "probability", order)
    sure = (_matrix(found, "low", order) > 0.5) | (_matrix(found, "high", order) < 0.5)
    side = max(_CELL * len(order) + _BESIDE, _NARROWEST)
    figure = (
        PaperFigure(figsize=(side, side + _ABOVE), layout="constrained") if ax is None else ax.get_figure(root=True)
    )
    assert figure is not None
    cell = figure.subplots() if ax is None else ax
    norm = Normalize(0, 1)
    cell.imshow(table, norm=norm, cmap="cividis_r", aspect="equal")
    for (i, j), value in np.ndenumerate(table):
        if i != j:
            colour = "white" if norm(value) > 1 - _DARK else "black"
            weight = "bold" if sure[i, j] else "normal"
            cell.text(j, i, f"{100 * value:.0f}", ha="center", va="center", color=colour, fontsize=_SIZE, weight=weight)
    names = [plain(name) for name in order]
    cell.set_xticks(range(len(order)), names, rotation=90)
    cell.set_yticks(range(len(order)), names)
    cell.xaxis.tick_top()
    cell.grid(False)
    cell.tick_params(length=0)
    cell.spines[:].set_visible(False)
    title = f"how often (%) the row reaches {race.goal} in fewer {race.axis} than the column"
    # Above all of the figure: names of rows take as much of its width as cells do.
    figure.suptitle(fold(title, _LETTERS * side))
    told = [*remarks(race), "ties count half", "bold: the 95 % interval over games and seeds excludes 50 %", remark]
    tell(figure, ". ".join([title, "; ".join(filter(None, told))]))
    return figure


def _matrix(pairs: pd.DataFrame, name: str, order: list[str]) -> np.ndarray:
    """A column of pairs as `[M, M]`, NaN on the diagonal."""
    table = pairs.pivot_table(name, "method", "other")
    return table.reindex(index=order, columns=order).to_numpy(np.float64)
