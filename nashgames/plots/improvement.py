"""The probability that one method needs fewer queries than another on a game, as a matrix."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nashgames.analysis.race import Race, improvement, remarks, standings
from nashgames.plots.layout import tell
from nashgames.plots.matrix import matrix
from nashgames.plots.page import styled
from nashgames.plots.panels import several
from nashgames.plots.rows import Rows


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
    title = f"how often (%) the row reaches {race.goal} in fewer {race.axis} than the column"
    figure = matrix(table, order, title=title, sure=sure, ax=ax)
    told = [*remarks(race), "ties count half", "bold: the 95 % interval over games and seeds excludes 50 %", remark]
    tell(figure, ". ".join([title, "; ".join(filter(None, told))]))
    return figure


def _matrix(pairs: pd.DataFrame, name: str, order: list[str]) -> np.ndarray:
    """A column of pairs as `[M, M]`, NaN on the diagonal."""
    table = pairs.pivot_table(name, "method", "other")
    return table.reindex(index=order, columns=order).to_numpy(np.float64)
