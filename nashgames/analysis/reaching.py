"""Queries to ε: what a run had spent when it was first within ε, and its quantiles over seeds against any parameter."""

import json
from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nashgames.analysis.outcomes import complete, label_without_step, on_samples, quantiles
from nashgames.core.metrics import STOPPING_COLUMN
from nashgames.errors import NashGamesError, unknown
from nashgames.experiments.arrivals import arrivals, stops_by
from nashgames.registry import parse

Floats = NDArray[np.float64]

LEVELS = (0.1, 0.9)
"""The band over the seeds: without the best and the worst tenth; of fewer than ten seeds it is their range."""

MANY = 10
"""From so many seeds on these quantiles are not the least and the largest value."""

_WRITTEN = {"game_parameters": "game", "hyperparameters": "label"}
_SELECTIONS = ("feedback", "policy", "optimiser", "reference")
_PANEL = ("game", "reference", "n", "policy", "feedback", "beta", "label")


def against(runs: pd.DataFrame, name: str) -> pd.DataFrame:
    """The runs that have the number `name`, in a column `against`, and without it in the name of what it belongs to.

    It is a numeric column, or a parameter of the game, the solver, the feedback, the policy, the optimiser or the
    reference: `eta` makes `nash-mp[eta=0.1]` and `nash-mp[eta=0.3]` two points of `nash-mp`. Raises NashGamesError,
    saying which numbers vary, where no run has it or all runs have one value of it.
    """
    values, owner = _values(runs, name)
    distinct, others = _distinct(values), varying(runs)
    if len(distinct) < 2 and not others:
        raise NashGamesError(
            f"no numeric setting of these runs varies, and a figure against '{name}' needs two values of it; "
            "play several first, as nashgames sweep --beta 1,0.1,0.01 does"
        )
    if not len(distinct):
        raise unknown("numeric setting of a run", name, others)
    if len(distinct) < 2:
        raise NashGamesError(
            f"every run has {name} = {distinct[0]:g}, and a figure against it needs two values; "
            f"these vary: {', '.join(others)}"
        )
    found = runs.assign(against=values)[np.isfinite(values)]
    if owner is not None:
        found = found.assign(**{owner: [label_without_step(str(text), [name]) for text in found[owner]]})
    return found


def varying(runs: pd.DataFrame) -> list[str]:
    """The numbers that runs were given and that differ between them."""
    names = ["n", "beta", "contexts"]
    for column in _WRITTEN:
        names += [key for text in runs[column].unique() for key in json.loads(text)] if column in runs else []
    for column in _SELECTIONS:
        names += [key for text in runs[column].unique() for key in _parameters(str(text))] if column in runs else []
    return [name for name in dict.fromkeys(names) if len(_distinct(_values(runs, name)[0])) > 1]


def _distinct(values: Floats) -> Floats:
    return np.unique(values[np.isfinite(values)])


def numbers_of(runs: pd.DataFrame, name: str) -> Floats:
    """A number of every run by its name: a column, or a parameter of what it is of; NaN where a run has none."""
    return _values(runs, name)[0]


def _values(runs: pd.DataFrame, name: str) -> tuple[Floats, str | None]:
    """A number of every run, NaN where it has none, and the column that is written with it."""
    if name in runs and pd.api.types.is_numeric_dtype(runs[name]):
        return runs[name].to_numpy(np.float64, na_value=np.nan), None
    found = np.full(len(runs), np.nan)
    for column, owner in _WRITTEN.items():
        if column in runs:
            found = np.array([_number(json.loads(text).get(name)) for text in runs[column]], np.float64)
        if np.isfinite(found).any():
            return found, owner
    for column in _SELECTIONS:
        if column in runs:
            found = np.array([_number(_parameters(str(text)).get(name)) for text in runs[column]], np.float64)
        if np.isfinite(found).any():
            return found, column
    return found, None


def _parameters(text: str) -> Mapping[str, object]:
    try:
        return parse(text).parameters
    except NashGamesError:
        # A path of a user's is no selection and has no parameters.
        return {}


def _number(value: object) -> float:
    try:
        return np.nan if isinstance(value, bool) or value is None else float(str(value))
    except ValueError:
        return np.nan


def reached(
    runs: pd.DataFrame, curves: pd.DataFrame, *, distance: str = "suboptimality", epsilon: float | None = None
) -> pd.DataFrame:
    """The runs with what they spent until `distance` ≤ ε (`arrivals`), in queries, or in comparisons on duels.

    `epsilon`    ε; the tolerance of each run unless given
    `cost`       at the first recorded point with `distance` ≤ ε, inf where there is none
    `spent`      at the end of the run
    `late`       by which part the true moment may be earlier, where steps between that point and the one before were
                 not recorded; 0 where the run stopped by this distance at this ε: that moment is known

    Nothing is interpolated. Raises NashGamesError for an ε that is not above 0, or below the tolerance at which the
    runs stop, and where there is no tolerance to take.
    """
    runs = complete(runs)
    stops = (stops_by(runs) == distance) & ~on_samples(runs).to_numpy()
    tolerances = runs["tolerance"].to_numpy(np.float64)
    _check(distance, epsilon, tolerances, stops)
    wanted = tolerances if epsilon is None else np.full(len(runs), epsilon)
    found = arrivals(runs, curves, epsilon=wanted, distance=distance)
    cost, least = found["cost"].to_numpy(), found["least"].to_numpy()
    # Nothing is earlier than the start, or later than never.
    least = np.where(np.isfinite(cost) & (cost > 0), least, 1)
    share = 1 - least / np.where(np.isfinite(cost) & (cost > 0), cost, 1)
    return runs.assign(epsilon=wanted, cost=cost, spent=found["spent"], late=share)


def _check(distance: str, epsilon: float | None, tolerances: Floats, stops: NDArray[np.bool_]) -> None:
    if epsilon is None:
        if not (tolerances > 0).all():
            raise NashGamesError("epsilon is left out, but there are runs without a tolerance; give one, e.g. 1e-6")
        if distance not in STOPPING_COLUMN.values():
            raise NashGamesError(f"epsilon is left out, but no run stops by {distance}; give one, e.g. 1e-6")
    elif not 0 < epsilon < np.inf:
        raise NashGamesError(f"epsilon is {epsilon:g}; accepted: a number above 0, e.g. 1e-6")
    elif (stops & (tolerances > epsilon)).any():
        raise NashGamesError(
            f"epsilon is {epsilon:g}, but runs stopped at their tolerance of {tolerances[stops].max():g}; "
            "give at least that, or play them with a smaller --tolerance"
        )


def over_seeds(runs: pd.DataFrame) -> pd.DataFrame:
    """A row for the seeds of every panel, label and value of `against`, of runs as `reached` gives them.

    Rows are in the order of panels, in each of them by what they are against and then by the fewest queries.
    `median`, `low`, `high` are quantiles over the seeds of `cost`, inf where that share of them did not arrive;
    `arrived` of `seeds` did; `spent` is the median of what was spent; `late` the largest.
    """
    keys = [key for key in _PANEL if key in runs]
    rows = []
    for values, mine in runs.groupby([*keys, "against"], sort=False):
        low, median, high = quantiles(mine["cost"].to_numpy(), (LEVELS[0], 0.5, LEVELS[1]))
        told: dict[str, float] = {"seeds": len(mine), "arrived": int(np.isfinite(mine["cost"]).sum())}
        told |= {"median": float(median), "low": float(low), "high": float(high)}
        told |= {"spent": float(np.nanmedian(mine["spent"])), "late": float(mine["late"].max())}
        rows.append(dict(zip([*keys, "against"], values, strict=True)) | told)
    table = pd.DataFrame(rows)
    order = [*(key for key in keys if key != "label"), "against", "median"]
    return table.sort_values(order, ascending=[key != "beta" for key in order], kind="stable", ignore_index=True)
