"""Which of the steps that were tried is the best one: a pure function of rows (pandas, no JAX)."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nashgames.defaults import ASKED, BOTH, PARTS, TUNING
from nashgames.experiments.arrivals import arrivals, on_samples, stops_by

Floats = NDArray[np.float64]

CHOICE = ("n", "reference", *PARTS, "beta", "dtype", "device", "storage")
"""The columns, besides the solver, that a choice is made for: all games that share them have the same step."""

_NOT_OWN = ("tried", "tuned")
"""The sources of steps other than given ones."""


def reported(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs that are reported: not the trials of steps, and not the runs of tuned solvers with their own step; all
    runs where the rows have no roles.
    """
    return runs[~runs["role"].isin((TUNING, ASKED))] if "role" in runs else runs


def as_asked(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs of tuned solvers with their own step, on the reported seeds and among the trials."""
    if "role" not in runs:
        return runs.head(0)
    own = ~runs["step_source"].isin(_NOT_OWN)
    return runs[(runs["role"] == ASKED) | ((runs["role"] == TUNING) & own)]


def untuned(runs: pd.DataFrame) -> pd.DataFrame:
    """Those of `as_asked` that stand beside the reported ones: on the same seeds."""
    own = as_asked(runs)
    return own[own["seed"].isin(reported(runs)["seed"])]


def choices(runs: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
    """The best of the steps that were tried, a row for every solver in every cell of `CHOICE`.

    parameter, value, selection   the number that was tuned, what was chosen (NaN: the solver's own is no number), and
                                  the solver with it
    trials, low, high             how many were tried, and the least and the largest value among them
    edge                          lower or upper where the choice is one of these, else null
    cost, missed, end             of the choice, over all games and tuning seeds: see `ranked`
    own_value, own_cost           of the solver with its own step
    reported_cost, asked_cost     the costs of the choice and of the solver with its own step on the reported seeds,
                                  medians over all games; NaN where that was not played
    runs, games, first, last      runs of every trial, over how many games, and the seeds from first to last
    same                          whether some of its games are the same for every seed, so that it is tuned on the
                                  reported runs

    `runs` are rows of runs, of which those that try a step count; `curves` tell what runs on duels needed.
    """
    if "role" not in runs or not runs["role"].isin((TUNING, BOTH)).any():
        return pd.DataFrame()
    runs = runs.assign(cost=costs(runs, curves))
    tried = runs[runs["role"].isin((TUNING, BOTH))]
    shown = {cell: _on_reported(mine) for cell, mine in runs.groupby([*CHOICE, "label"])}
    rows = []
    for cell, group in tried.groupby([*CHOICE, "label"], sort=False):
        parameter = str(group["tuned"].iloc[0])
        told = [json.loads(numbers).get(parameter) for numbers in group["hyperparameters"]]
        group = group.assign(value=np.array(told, np.float64), own=~group["step_source"].isin(_NOT_OWN))
        table = ranked(group, ["label"])
        best, own = table.iloc[0], table[table["own"]] if table["own"].any() else table.head(1)
        low, high = table["value"].min(), table["value"].max()
        rows.append(
            dict(zip([*CHOICE, "label"], cell, strict=True))
            | {"solver": group["solver"].iloc[0], "parameter": parameter}
            | {key: best[key] for key in ("value", "selection", "cost", "missed", "end")}
            | {"trials": len(table), "low": low, "high": high, "edge": _edge(best["value"], low, high)}
            | {"own_value": own["value"].iloc[0], "own_cost": own["cost"].iloc[0]}
            | dict(zip(("reported_cost", "asked_cost"), shown[cell], strict=True))
            | {"runs": int(table["runs"].max()), "games": group["game"].nunique()}
            | {"first": int(group["seed"].min()), "last": int(group["seed"].max())}
            | {"same": bool((group["role"] == BOTH).any())}
        )
    return pd.DataFrame(rows)


def _on_reported(runs: pd.DataFrame) -> tuple[float, float]:
    """The median `cost` of a tuned solver on the reported seeds, and with its own step."""
    chosen, own = reported(runs), as_asked(runs)
    # A choice that is the solver's own has no other run; games of one seed have it among their trials.
    beside = own[_draws(own).isin(_draws(chosen))]
    lacking = chosen[~_draws(chosen).isin(_draws(beside))]
    told = chosen["cost"], pd.concat([beside["cost"], lacking["cost"]])
    reported_cost, asked_cost = (float(np.median(values)) if len(values) else np.nan for values in told)
    return reported_cost, asked_cost


def _draws(runs: pd.DataFrame) -> pd.MultiIndex:
    return pd.MultiIndex.from_frame(runs[["game", "seed"]])


def costs(runs: pd.DataFrame, curves: pd.DataFrame) -> Floats:
    """What every run was charged until its tolerance was reached, inf where it was not.

    That is queries on exact feedback. A run on duels uses its whole budget: it is charged the comparisons of the first
    point from which on all that were recorded are at or below the tolerance.
    """
    cost = arrivals(runs, curves, stays=True)["cost"].to_numpy()
    return np.where((on_samples(runs) & (runs["status"] == "diverged")).to_numpy(), np.inf, cost)


def ends(runs: pd.DataFrame) -> Floats:
    """The metric by which every run stops, at its last iterate; inf where it diverged or was not measured."""
    values, stopping = np.full(len(runs), np.nan), stops_by(runs)
    for column in set(stopping):
        values = np.where(stopping == column, runs[column].to_numpy(np.float64, na_value=np.nan), values)
    return np.where((runs["status"] == "diverged") | np.isnan(values), np.inf, values)


def ranked(runs: pd.DataFrame, cell: Sequence[str]) -> pd.DataFrame:
    """The steps of every cell, best first within it: a row for each `selection`, with columns

    cost      the median over its runs of the column `cost`, inf for a run that did not reach its tolerance
    missed    the share of its runs that ended above the tolerance
    end       the median of `ends`

    and `runs`, how many it has, and `value` and `own` where `runs` has them. Best is the least cost, then the least
    share missed, then the least end; of equal ones the solver's own, then the smallest value. A run that diverged is
    worse than any other, and so is one that another step of the cell has and this one not.
    """
    last = ends(runs)
    runs = runs.assign(missed=last > runs["tolerance"].to_numpy(np.float64), end=last, run=1)
    kept = [name for name in ("value", "own") if name in runs]
    most = runs.groupby([*cell, "selection"], sort=False).size().groupby(level=cell).max().to_dict()
    rows: list[dict[str, Any]] = []
    for (*key, selection), group in runs.groupby([*cell, "selection"], sort=False):
        lost = int(most[tuple(key) if len(key) > 1 else key[0]]) - len(group)
        rows.append(
            dict(zip(cell, key, strict=True))
            | {"selection": selection, "runs": len(group)}
            | {name: group[name].iloc[0] if name == "value" else bool(group[name].any()) for name in kept}
            | {"missed": float(np.mean(np.append(group["missed"], [1.0] * lost)))}
            | {name: float(np.median(np.append(group[name], [np.inf] * lost))) for name in ("cost", "end")}
        )
    table = pd.DataFrame(rows)
    ascending = {"cost": True, "missed": True, "end": True, "own": False, "value": True}
    by = [name for name in ascending if name in table]
    return table.sort_values(by, ascending=[ascending[name] for name in by], kind="stable", ignore_index=True)


def _edge(value: float, low: float, high: float) -> str | None:
    if low == high:
        return None
    return "lower" if value == low else "upper" if value == high else None


def edges(found: pd.DataFrame) -> list[str]:
    """A sentence for every solver whose choice lies at an end of what was tried, with what to give instead."""
    sentences = []
    for (label, parameter, edge), group in found[found["edge"].notna()].groupby(["label", "parameter", "edge"]):
        betas = ", ".join(f"{beta:g}" for beta in dict.fromkeys(group["beta"]))
        low, high = group["low"].min(), group["high"].max()
        # Two decades beyond the end: as far as the range that is usual reaches.
        wider = f"{low:g}:{100 * high:g}" if edge == "upper" else f"{low / 100:g}:{high:g}"
        which, other = ("largest", "larger") if edge == "upper" else ("smallest", "smaller")
        sentences.append(
            f"the best {parameter} of {label} at β = {betas} is the {which} that was tried, and a {other} one may be "
            f"better; widen its range, e.g. --tune {group['solver'].iloc[0]}.{parameter}={wider}:"
            f"{max(int(group['trials'].max()) - 1, 2)}"
        )
    return sentences
