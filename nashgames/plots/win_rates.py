"""How often the last policy of one method is preferred to that of another, the equilibrium and the reference, as a
matrix."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nashgames.defaults import REFEREE
from nashgames.plots.layout import tell
from nashgames.plots.matrix import matrix
from nashgames.plots.page import styled
from nashgames.plots.panels import say
from nashgames.plots.rows import Rows, apart

if TYPE_CHECKING:
    from nashgames.analysis.win_rates import WinRates

# Digits of a per cent: near an equilibrium all rates are near one half.
_DIGITS = 1
# The narrowest scale of the colours: below it differences are shown by numbers alone.
_NARROWEST = 0.01


def applies(rows: Rows) -> bool:
    """Of the parts that `split` gives."""
    return rows.game_of is not None and rows.policies is not None


def split(rows: Rows) -> Iterator[tuple[str, Rows]]:
    """A figure for every game, n, reference, β and target, of the runs whose last policies are kept."""
    kept = [] if rows.policies is None else list(rows.policies["run_id"].unique())
    mine = rows.runs[(rows.runs["solver"] != REFEREE) & rows.runs["run_id"].isin(kept)]
    for ending, group in apart(mine, ("game", "n", "reference", "beta", "target")):
        yield ending, rows.of(group)


def draw(rows: Rows) -> Figure:
    from nashgames.analysis.win_rates import PROBLEM, win_rates

    assert rows.game_of is not None
    assert rows.policies is not None
    found = win_rates(rows.runs, rows.policies, rows.game_of)
    played = found.instances.iloc[0]
    told = " · ".join(say(key, played[key]) for key in PROBLEM if key != "target" or played[key] == "original")
    return draw_win_rates(found, title=told)


@styled
def draw_win_rates(found: "WinRates", *, title: str = "", ax: Axes | None = None) -> Figure:
    """P(row's last policy ≻ column's) in per cent, the mean over seeds (`analysis.win_rates`).

    A number is bold where its 95 % interval over seeds lies on one side of 50 %.
    """
    from nashgames.analysis.win_rates import remarks

    low, high = found.interval
    shares = np.where(np.eye(len(found.names), dtype=bool), np.nan, found.mean)
    reach = max(float(np.nanmax(np.abs(shares - 0.5), initial=0.0)), _NARROWEST)
    said = " · ".join(filter(None, ["how often (%) the row is preferred to the column", title]))
    sure = (low > 0.5) | (high < 0.5)
    figure = matrix(shares, found.names, title=said, sure=sure, digits=_DIGITS, reach=reach, ax=ax)
    told = ["last policies, by the game's own product", *remarks(found)]
    told += ["bold: the interval excludes 50 %"] if not np.isnan(low).all() else []
    tell(figure, ". ".join([said, "; ".join(told)]))
    return figure
