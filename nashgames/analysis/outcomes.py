"""The outcomes of the seeds of a cell of an experiment: quantiles of the last iterate, shares, and best steps."""

import json
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from itertools import chain

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nashgames.defaults import PARTS
from nashgames.errors import NashGamesError
from nashgames.experiments.arrivals import on_samples as on_samples
from nashgames.experiments.choice import ranked
from nashgames.registry import Selection, parameters_of, parse, render, wrapped

Floats = NDArray[np.float64]

VARIANTS: Mapping[str, str] = PARTS
"""The columns of feedback, policy and optimiser, and their values in results written before these columns existed."""

CELL = ("game", "n", "contexts", "reference", "feedback", "policy", "optimiser", "beta", "dtype", "device", "storage")
"""The columns that runs share if they differ in the solver and the seed only."""

_SEARCH = [*CELL, "family"]
"""The columns within which a sweep of steps has one best step."""

LEVEL = 0.95
"""The level of every interval, as in most of the field's figures."""

_Z = 1.959963984540054
"""Φ⁻¹((1 + LEVEL)/2)."""

_STEPS = 5
"""From so many given steps on they are a search, of which the best is shown; fewer are variants to compare."""


def complete(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs with the columns `VARIANTS` and `storage`: exact feedback, a table, plain steps, dense margins where
    nothing is said."""
    usual = {**VARIANTS, "storage": "dense"}
    told = {name: runs[name].fillna(plain) if name in runs else plain for name, plain in usual.items()}
    return runs.assign(**told)


def axis_of(runs: pd.DataFrame) -> str:
    """What the runs are charged in: queries, or comparisons on duels; NashGamesError for runs of both kinds."""
    kinds = on_samples(complete(runs)).unique()
    if len(kinds) > 1:
        raise NashGamesError(
            "runs on exact feedback are counted in queries and runs on samples in comparisons; take one kind at a time"
        )
    return "comparisons" if kinds.any() else "queries"


def levels(seeds: int) -> dict[str, float]:
    """The quantiles that this many seeds can tell, by name: a quantile that is their maximum is called that."""
    if seeds < 10:
        return {"median": 0.5, "maximum": 1.0} if seeds > 1 else {"median": 0.5}
    return {"median": 0.5, "90 %": 0.9} | ({"99 %": 0.99} if seeds >= 100 else {"maximum": 1.0})


def quantiles(values: Floats, levels: Sequence[float]) -> Floats:
    """The quantiles of `values` `[k, …]` over its first axis, `[levels, …]`; level 0.5 is the ordinary median.

    At every other level it is the least value that a share reaches: a result is a value of one of the runs, so that inf
    (diverged, not reached) orders like any number. One NaN (not measured) makes the quantile NaN.
    """
    return np.stack([
        np.median(values, axis=0) if level == 0.5 else np.quantile(values, level, axis=0, method="inverted_cdf")
        for level in levels
    ])  # fmt: skip


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


def tuned_parameters(solver: str) -> tuple[str, ...]:
    """The numbers of a solver, selected by name, that a step search varies: those that it declares `tuned`.

    For a wrapper, those of the solver inside it. Only the solvers of this package are asked: there are none for a
    solver from a file or another package, whose code is not run for a results directory.
    """
    return _declared(_innermost(parse(solver)).name) or ()


def labels_without_step(runs: pd.DataFrame) -> list[str]:
    """The `label` of every run without its step: `nash-mp[eta=0.1]` → `nash-mp`.

    What the step is called is what our own solvers declare. Of others, whose code is not run for this, the rows tell:
    it is the one number that varies between their labels, and of several the one called `step`.
    """
    labels = [str(label) for label in runs["label"]]
    # A name without parameters has no step to leave out.
    steps = _steps_by_label({label for label in labels if "[" in label})
    return [label_without_step(label, steps[label]) if label in steps else label for label in labels]


def label_without_step(label: str, steps: Collection[str] | None = None) -> str:
    """A label without the numbers `steps`, those that our own solver declares unless they are given."""
    selection = _selection(label)
    if selection is None:
        return label
    return _without(selection, tuned_parameters(label) if steps is None else steps)


def steps_of(runs: pd.DataFrame) -> Floats:
    """The step that every run recorded among its `hyperparameters`; NaN where it has none, or none that is known."""
    labels = [str(label) for label in runs["label"]]
    steps = _steps_by_label(set(labels))
    numbers = map(json.loads, runs["hyperparameters"])
    return np.array([
        next((own[key] for key in steps.get(label, ()) if own.get(key) is not None), np.nan)
        for own, label in zip(numbers, labels, strict=True)
    ], np.float64)  # fmt: skip


def _steps_by_label(labels: Collection[str]) -> dict[str, tuple[str, ...]]:
    """What the step of a solver is called, by its labels; text that is no selection is left out."""
    inner = {label: _innermost(found) for label in labels if (found := _selection(label)) is not None}
    steps: dict[str, tuple[str, ...]] = {}
    for name in {selection.name for selection in inner.values()}:
        told = [selection.parameters for selection in inner.values() if selection.name == name]
        differ = [key for key in dict.fromkeys(chain(*told)) if len({numbers.get(key) for numbers in told}) > 1]
        own = _declared(name)
        if own is None:
            steps[name] = tuple(differ if len(differ) == 1 else [key for key in differ if key == "step"])
        else:
            # Of several that are declared those that differ: the others are the same for every step.
            steps[name] = tuple(key for key in own if key in differ) or own
    return {label: steps[own.name] for label, own in inner.items()}


@cache
def _declared(name: str) -> tuple[str, ...] | None:
    """The numbers that one of our solvers declares `tuned`; None for a solver of others."""
    # Imported here: solvers import JAX, which tables and figures do not need.
    from nashgames.solvers import SOLVERS

    if name not in SOLVERS:
        return None
    return tuple(key for key, parameter in parameters_of(SOLVERS[name]).items() if parameter.tuned)


def _selection(label: str) -> Selection | None:
    """A label as a selection; None where it is any text of a user."""
    try:
        return parse(label)
    except NashGamesError:
        return None


def _innermost(selection: Selection) -> Selection:
    """The solver inside its wrappers; the selection itself where there is no wrapper."""
    return _innermost(selection.positional[0]) if len(selection.positional) == 1 else selection


def _without(selection: Selection, dropped: Collection[str] | None = None) -> Selection:
    """The selection without the parameters `dropped`, or without all of them, also inside wrappers."""
    if len(selection.positional) == 1:
        return wrapped(selection.name, _without(selection.positional[0], dropped))
    kept = {key: value for key, value in selection.parameters.items() if dropped is not None and key not in dropped}
    return selection if len(kept) == len(selection.parameters) else render(selection.name, kept)


def _bare(label: str) -> str:
    selection = _selection(label)
    return label if selection is None else _without(selection)


def sweeps_steps(runs: pd.DataFrame) -> bool:
    """Whether some solver was played with at least five given steps, all else being equal."""
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
    for bare in (False, True):
        named = _steps(runs, bare=bare)
        in_cell = named.groupby([*CELL, "family"])["selection"].nunique().groupby("family").max()
        labels = named.groupby("family")["label"].nunique()
        apart = named["family"].isin(labels.index[(labels > 1) & (in_cell.reindex(labels.index) == 1)])
        if apart.any():
            runs, changed = runs.assign(label=named["family"].where(apart, named["label"])), 1
    return runs, changed


def best_steps(runs: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """The runs of the best step of every solver in every cell, `label` without the step, and the most steps it had.

    Best as in tuning (`experiments.choice.ranked`), but chosen on the seeds that are shown, and for a game of its own;
    a run on duels has no cost here.
    """
    runs = _steps(complete(runs))
    table, best = _best(runs)
    kept = runs.merge(best[[*_SEARCH, "selection"]], on=[*_SEARCH, "selection"])
    return kept.assign(label=kept["family"]).drop(columns="family"), int(table.groupby(_SEARCH).size().max())


def at_an_end(runs: pd.DataFrame) -> list[str]:
    """The solvers, without their steps, whose best step is the largest or the smallest of some cell's sweep."""
    runs = complete(runs)
    if not sweeps_steps(runs):
        return []
    table, best = _best(_steps(runs))
    ends = table.groupby(_SEARCH)["value"].agg(["min", "max"]).reset_index()
    both = best.merge(ends, on=_SEARCH)
    is_end = (both["value"] == both["min"]) | (both["value"] == both["max"])
    return list(dict.fromkeys(both["family"][is_end & (both["min"] < both["max"])]))


def _best(runs: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The steps of every cell and family, best first, and the first of each."""
    cost = runs["queries_to_tolerance"].to_numpy(np.float64, na_value=np.inf)
    table = ranked(runs.assign(cost=cost, value=steps_of(runs)), _SEARCH)
    return table, table.drop_duplicates(_SEARCH)


def _steps(runs: pd.DataFrame, *, bare: bool = False) -> pd.DataFrame:
    """The runs with the `family` of their solver: its label without the step, or `bare` of all numbers."""
    return runs.assign(family=[_bare(str(label)) for label in runs["label"]] if bare else labels_without_step(runs))
