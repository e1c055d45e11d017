"""What the seeds of one cell of an experiment came to: quantiles of the last iterate, shares, and the best of steps."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nashgames.defaults import PARTS
from nashgames.errors import NashGamesError
from nashgames.registry import parse, render

Floats = NDArray[np.float64]

VARIANTS: Mapping[str, str] = PARTS
"""The columns that say how a run learned, and what stands in them for results from before there was a choice."""

CELL = ("game", "n", "contexts", "reference", "feedback", "policy", "optimiser", "beta", "dtype", "device")
"""What runs have in common that only the solver and the seed tell apart."""

LEVEL = 0.95
_Z = 1.959963984540054
_STEPS = 5


def complete(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs with the columns `VARIANTS`: exact feedback, a table and plain steps where nothing is said."""
    told = {name: runs[name].fillna(plain) if name in runs else plain for name, plain in VARIANTS.items()}
    return runs.assign(**told)


def on_samples(runs: pd.DataFrame) -> "pd.Series[bool]":
    """Which of the runs learned from duels: their cost is counted in comparisons, and they go on to their budget."""
    return runs["feedback"] != VARIANTS["feedback"]


def levels(seeds: int) -> dict[str, float]:
    """The quantiles that this many seeds can tell, by name: a quantile that is their maximum is called that."""
    if seeds < 10:
        return {"median": 0.5, "maximum": 1.0} if seeds > 1 else {"median": 0.5}
    return {"median": 0.5, "90 %": 0.9} | ({"99 %": 0.99} if seeds >= 100 else {"maximum": 1.0})


def quantiles(values: Floats, levels: Sequence[float]) -> Floats:
    """The quantiles of `values` `[k, …]` over its first axis, `[levels, …]`: the least value that a share reaches.

    No interpolation: every result is a value of one of the runs, so that inf (diverged, not reached) orders like
    any number. One NaN (not measured) makes the quantile NaN.
    """
    ordered = np.sort(values, axis=0)
    # The small slack keeps 0.7 · 10 = 7.000000000000001 from being rounded up to the eighth value.
    ranks = [max(int(np.ceil(level * len(values) - 1e-9)) - 1, 0) for level in levels]
    return np.where(np.isnan(values).any(axis=0), np.nan, ordered[ranks])


def interval(count: NDArray[np.integer] | int, seeds: int) -> tuple[Floats, Floats]:
    """The 95 % interval of a share of which `count` of `seeds` draws are known, by Wilson's score.

    (p̂ + z²/2n ± z √(p̂(1−p̂)/n + z²/4n²)) / (1 + z²/n), which stays in [0, 1] and is no point where p̂ is 0 or 1.
    Source: Wilson 1927.
    """
    share = np.asarray(count, np.float64) / seeds
    middle = share + _Z**2 / (2 * seeds)
    half = _Z * np.sqrt(share * (1 - share) / seeds + (_Z / (2 * seeds)) ** 2)
    low, high = ((middle + side * half) / (1 + _Z**2 / seeds) for side in (-1, 1))
    # At the ends the two terms cancel, but for rounding.
    return np.where(share == 0, 0.0, low), np.where(share == 1, 1.0, high)


def last(runs: pd.DataFrame, column: str = "suboptimality") -> Floats:
    """A number of the last iterate of every run; inf where it diverged, NaN where it was not measured."""
    values = runs[column].to_numpy(dtype=np.float64, na_value=np.nan)
    return np.where(runs["status"] == "diverged", np.inf, values)


def cells(runs: pd.DataFrame) -> pd.DataFrame:
    """A row for the seeds of every cell and solver: the columns of the first of them, and how all of them ended.

    seeds, diverged      counts; a diverged seed is worse than every other and never left out
    median, q90, q99     quantiles of the suboptimality of the last iterate, see `quantiles`
    reached              how many are at or below the tolerance at their last iterate
    share, low, high     that as a share, and its 95 % interval, see `interval`
    """
    runs = complete(runs)
    rows = []
    for _, group in runs.groupby([*CELL, "label", "selection"], sort=False):
        ends, seeds = last(group), len(group)
        reached = int((ends <= group["tolerance"].to_numpy(np.float64)).sum())
        low, high = interval(reached, seeds)
        median, q90, q99 = quantiles(ends, (0.5, 0.9, 0.99))
        rows.append(
            group.iloc[0].to_dict()
            | {"seeds": seeds, "diverged": int((group["status"] == "diverged").sum())}
            | {"median": float(median), "q90": float(q90), "q99": float(q99)}
            | {"reached": reached, "share": reached / seeds, "low": float(low), "high": float(high)}
            | {"comparisons": int(group["comparisons"].max())}
        )
    return pd.DataFrame(rows)


def family(label: str) -> str:
    """A solver without its step: `nash-prox[eta=0.05,step=4]` → `nash-prox[eta=0.05]`."""
    return _without(label, lambda key: key == "step")


def _bare(label: str) -> str:
    return _without(label, lambda key: True)


def _without(label: str, dropped: Callable[[str], bool]) -> str:
    try:
        parsed = parse(label)
    except NashGamesError:
        # A label may be any text of a user.
        return label
    kept = {key: value for key, value in parsed.parameters.items() if not dropped(key)}
    return label if parsed.positional or len(kept) == len(parsed.parameters) else render(parsed.name, kept)


def sweeps_steps(runs: pd.DataFrame) -> bool:
    """Whether some solver was played with at least five steps that somebody chose, all else being equal."""
    return bool((_steps(complete(runs)).groupby([*CELL, "family"])["selection"].nunique() >= _STEPS).any())


def tuned(runs: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """The runs as they are compared, and the most steps that a solver had in a cell.

    Where steps are swept, those of the best ones (`best_steps`). Else all; a solver that has one step in every cell,
    but not the same, loses the step from its `label`, so that it is one solver, and so with its other numbers. 0 where
    nothing is changed.
    """
    runs = complete(runs)
    if sweeps_steps(runs):
        return best_steps(runs)
    changed = 0
    for shorter in (family, _bare):
        named = _steps(runs, shorter)
        in_cell = named.groupby([*CELL, "family"])["selection"].nunique().groupby("family").max()
        labels = named.groupby("family")["label"].nunique()
        apart = named["family"].isin(labels.index[(labels > 1) & (in_cell.reindex(labels.index) == 1)])
        if apart.any():
            runs, changed = runs.assign(label=named["family"].where(apart, named["label"])), 1
    return runs, changed


def best_steps(runs: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """The runs of the best step of every solver in every cell, `label` without the step, and the most steps it had.

    Best is what most seeds reach the tolerance with, in the fewest queries; then what has the least suboptimality.
    """
    runs = _steps(complete(runs))
    ends = last(runs)
    ranked = runs.assign(
        _missed=ends > runs["tolerance"].to_numpy(np.float64),
        _queries=runs["queries_to_tolerance"].to_numpy(np.float64, na_value=np.inf),
        _end=np.where(np.isnan(ends), np.inf, ends),
    )
    several = [*CELL, "family"]
    of_steps = ranked.groupby([*several, "selection"], sort=False)
    table = of_steps.agg({"_missed": "mean", "_queries": "median", "_end": "median"}).reset_index()
    table = table.sort_values(["_missed", "_queries", "_end"], kind="stable")
    best = table.drop_duplicates(several)[[*several, "selection"]]
    kept = runs.merge(best, on=[*several, "selection"])
    return kept.assign(label=kept["family"]).drop(columns="family"), int(table.groupby(several).size().max())


def _steps(runs: pd.DataFrame, shorter: Callable[[str], str] = family) -> pd.DataFrame:
    """The runs with the `family` of their solver; a label without numbers says nothing of the others of its kind."""
    return runs.assign(family=[shorter(str(label)) for label in runs["label"]])
