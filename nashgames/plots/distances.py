"""What curves can show of a policy: the metrics that fall to 0 as it is learned; and the scale of what it costs."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes

from nashgames.core.metrics import METRICS
from nashgames.errors import unknown
from nashgames.plots.estimates import Floats
from nashgames.plots.rows import Rows

DISTANCES: Mapping[str, str] = {name: metric.axis for name, metric in METRICS.items() if metric.distance}
"""Columns that curves can show, and what their axis says."""

UNASKED: Mapping[str, str] = {"suboptimality": "", "kl_to_equilibrium": "-kl", "span_to_equilibrium": "-span"}
"""Those that are drawn unasked, and the ends of their file names: what runs stop by, and what the theorems bound."""

# Below two decades a linear axis shows every record, above them it would press the first half of them into a line.
_DECADES = 2
# The place of 0 on a logarithmic axis, as a part of a decade: enough for its tick label beside that of the first power.
_ZERO = 0.4
# Room to the right of the last record: its marker is whole, on a logarithmic and on a linear axis.
_ROOM, _ROOM_LINEAR = 1.3, 1.03


def check_distance(distance: str) -> None:
    """Raise NashGamesError, with the nearest one that is, where `distance` is none of `DISTANCES`."""
    if distance not in DISTANCES:
        raise unknown("distance", distance, DISTANCES)


def unasked(rows: Rows, *, brief: bool = False) -> list[str]:
    """The distances that are drawn of these rows unasked: those that were measured; if `brief`, the first alone."""
    first, *others = UNASKED
    return [first, *(name for name in others if not brief and rows.curves[name].notna().any())]


def scale_cost(ax: Axes, costs: Sequence[Floats]) -> None:
    """A logarithmic axis with a place for 0 where the records span more than two decades, else a linear one."""
    every = np.concatenate([np.zeros(1), *costs])
    last, positive = float(every.max()), every[every > 0]
    if len(positive) and last > 10**_DECADES * positive.min():
        first = 10.0 ** np.floor(np.log10(positive.min()))
        ax.set_xscale("symlog", linthresh=first, linscale=_ZERO)
        ax.xaxis.set_minor_locator(ticker.SymmetricalLogLocator(base=10, linthresh=first, subs=list(range(2, 10))))
        ax.set_xlim(0, last * _ROOM)
    else:
        ax.set_xlim(0, max(last * _ROOM_LINEAR, 1.0))
