"""When runs first came within ε, and their cost by then (pandas, no JAX)."""

from typing import cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nashgames.core.metrics import STOPPING_COLUMN
from nashgames.defaults import PARTS, RUN, TARGET

Floats = NDArray[np.float64]


def on_samples(runs: pd.DataFrame) -> "pd.Series[bool]":
    """Which of the runs learned from duels: their cost is counted in comparisons, and they use their whole budget."""
    told = runs["feedback"] if "feedback" in runs else pd.Series(PARTS["feedback"], runs.index)
    return told.fillna(PARTS["feedback"]) != PARTS["feedback"]


def stops_by(runs: pd.DataFrame) -> NDArray[np.object_]:
    """The column by which every run stops: that of its target."""
    targets = runs["target"].fillna(RUN["target"]) if "target" in runs else pd.Series(TARGET, runs.index)
    return cast("NDArray[np.object_]", targets.map(STOPPING_COLUMN).to_numpy(object))


def arrivals(
    runs: pd.DataFrame,
    curves: pd.DataFrame,
    *,
    epsilon: float | Floats | None = None,
    distance: str | None = None,
    stays: bool = False,
) -> pd.DataFrame:
    """The cost of every run when it first came within ε, in queries, or in comparisons on duels; index of `runs`.

    `epsilon`    ε, one or one a run; its tolerance unless given
    `distance`   the column that comes within ε; unless given that by which the run stops
    `stays`      whether points count only from which on all are within ε
    `cost`       at the first recorded point within ε, inf where there is none
    `least`      what it may have been: a step after the point before, as steps between were not recorded
    `spent`      at the last recorded point, NaN where there is none

    A run on exact feedback that stopped by this distance at this ε has exactly the `cost` at which it did.
    """
    duels, stopping = on_samples(runs).to_numpy(), stops_by(runs)
    tolerance = runs["tolerance"].to_numpy(np.float64)
    wanted = tolerance if epsilon is None else np.broadcast_to(np.asarray(epsilon, np.float64), len(runs))
    place = pd.Index(runs["run_id"]).get_indexer(pd.Index(curves["run_id"]))
    curves, place = curves[place >= 0], place[place >= 0]
    paid = ["comparisons" if duels.all() else "queries", *(["comparisons"] if duels.any() else [])]
    charge = np.where(duels[place], _numbers(curves, paid[-1]), _numbers(curves, paid[0]))
    columns = np.full(len(runs), distance, object) if distance is not None else stopping
    values = np.full(len(curves), np.nan)
    for column in set(columns):
        values = np.where(columns[place] == column, _numbers(curves, column), values)
    there = values <= wanted[place]
    if stays:
        above = _largest(place[~there], charge[~there], len(runs))
        there &= charge > above[place]
    cost = -_largest(place[there], -charge[there], len(runs))
    earlier = charge < cost[place]
    before = _largest(place[earlier], charge[earlier], len(runs))
    step = _numbers(curves, "step")
    a_step = np.divide(charge, step, out=np.zeros_like(charge), where=step > 0)
    least = before + np.maximum(_largest(place, a_step, len(runs)), 0)
    known = ~duels & (columns == stopping) & (wanted == tolerance)
    if known.any():
        exact = _numbers(runs, "queries_to_tolerance")
        cost = np.where(known, np.where(np.isnan(exact), np.inf, exact), cost)
    least = np.where(known | ~np.isfinite(cost), cost, np.clip(least, 0, cost))
    spent = _largest(place, charge, len(runs))
    return pd.DataFrame(
        {"cost": cost, "least": least, "spent": np.where(np.isfinite(spent), spent, np.nan)}, runs.index
    )


def _numbers(frame: pd.DataFrame, column: str) -> Floats:
    return frame[column].to_numpy(np.float64, na_value=np.nan)


def _largest(place: NDArray[np.integer], values: Floats, count: int) -> Floats:
    """The largest of the `values` at every place, −∞ where there is none."""
    found = np.full(count, -np.inf)
    np.maximum.at(found, place, values)
    return found
