"""Small multiples: which runs share a panel, where it stands, and its title."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from nashgames.analysis import outcomes
from nashgames.analysis.outcomes import VARIANTS, complete
from nashgames.errors import NashGamesError, unknown
from nashgames.plots.estimates import Floats, Trace
from nashgames.plots.naming import spoken
from nashgames.plots.page import page
from nashgames.plots.palette import plain

LIMIT = 4
"""Rows and columns of panels in a grid; what is left out is said in the title."""

PROBLEM = ("game", "reference", "n", "policy", "feedback")
"""What differs between the panels of a figure, besides β: the game, the policy class, the feedback."""

AXES = {"queries": "queries", "comparisons": "comparisons", "steps": "step"}
"""What curves are drawn against and its column: what a run is charged in, queries of the game on exact feedback and
single duels on samples; or its steps, the updates of papers, each of which may cost several."""

_CELL = [*PROBLEM, "optimiser", "beta", "seed", "dtype", "device"]

_APART = ("start", "target", "tolerance", "budget")
"""What tells runs apart that agree in all of a cell: those of several commands, as a directory may hold them."""

_FACETS = (
    "game", "game_family", "n", "contexts", "seed", "reference", "solver", "feedback", "policy", "optimiser",
    "start", "target", "beta", "dtype", "device", "step_source", "role", "tolerance", "budget", "directory",
)  # fmt: skip
"""The columns of runs that may make panels."""

_SAY_THEMSELVES = ("game", "game_family", "solver", "label", "dtype", "device", "directory", "step_source", "role")

# Inches of a panel with the numbers of its axes, at least: two tick labels stand side by side.
_NARROWEST = 1.3
# Rows of a list of panels: more are higher than a page.
_ROWS = 5


def prepare(runs: pd.DataFrame, beside: Sequence[str] = ()) -> pd.DataFrame:
    """The rows of runs.parquet with labels that tell curves apart that are not repetitions of one another.

    A label is extended by the optimiser where that is not plain steps, by the precision or the device where these
    differ, and replaced by the full selection where one cell of the experiment, and of the columns `beside`, has it
    twice. Raises NashGamesError where there are no runs.
    """
    if runs.empty:
        raise NashGamesError("there are no runs to draw; a figure needs at least one finished run")
    runs = complete(runs)
    labels = runs["label"].astype(str)
    told = runs.assign(label=labels).drop_duplicates([*_CELL, *beside, "label", "selection"])
    twice = told["label"][told.duplicated([*_CELL, *beside, "label"])].unique()
    labels = labels.where(~labels.isin(twice), runs["selection"].astype(str))
    for key in ("optimiser", "dtype", "device"):
        if several(runs[key]):
            # Plain steps are what most methods have no choice of: only what departs from them is said.
            labels = labels.where(runs[key] == VARIANTS.get(key), labels + " · " + runs[key].astype(str))
    runs = runs.assign(label=labels)
    mixed = runs["label"].isin(runs["label"][runs.duplicated([*_CELL, *beside, "label"])])
    for key in _APART:
        if key in runs and several(runs[key][mixed]):
            said = [f"{label} · {say(key, value)}" for label, value in zip(runs["label"], runs[key], strict=True)]
            runs = runs.assign(label=runs["label"].where(~mixed, pd.Series(said, index=runs.index)))
    return runs


def laid(
    runs: pd.DataFrame, by: Sequence[str] | None = None, *, beside: Sequence[str] = ()
) -> "tuple[pd.DataFrame, Facets]":
    """The prepared runs and the panels of their curves: for every game, n, policy, feedback and β, or for every
    combination of the columns `by`; then labels say what else differs, and no solver that has a panel.

    Raises NashGamesError where there are no runs, and for a column that makes no panels.
    """
    runs = prepare(runs, beside)
    if by is None:
        return runs, facets(runs, [*PROBLEM, "beta"])
    accepted = [key for key in _FACETS if key in runs]
    for key in by:
        if key not in accepted:
            raise unknown("facet", key, accepted)
        if list(by).count(key) > 1:
            raise NashGamesError(f"facet names '{key}' twice; give it once")
    own = [] if "solver" in by and not _variants(runs) else ["label"]
    keys = [*own, *(key for key in (*PROBLEM, "beta") if key not in by and several(runs[key]))]
    if keys:
        texts = zip(*([say(key, value) for value in runs[key]] for key in keys), strict=True)
        runs = runs.assign(label=[" · ".join(text) for text in texts])
    return runs, facets(runs, by, also=[*PROBLEM, "beta"])


def _variants(runs: pd.DataFrame) -> bool:
    """Whether a solver has several labels."""
    return bool(runs.drop_duplicates(["solver", "label"])["solver"].duplicated().any())


def named_by(runs: pd.DataFrame) -> dict[str, str]:
    """The label of every curve and the solver whose look it has; labels that solvers share have looks of their own."""
    solvers = runs.groupby("label", sort=False)["solver"].unique()
    return {str(label): str(names[0]) if len(names) == 1 else "several" for label, names in solvers.items()}


def axis_of(runs: pd.DataFrame, x: str | None = None) -> str:
    """The axis that prepared runs share: queries on exact feedback, comparisons on samples; or `x`, where they have it.

    Raises NashGamesError for runs of both kinds, for another axis, and for the comparisons of exact feedback.
    """
    if x is not None and x not in AXES:
        raise unknown("axis", x, AXES)
    charged = outcomes.axis_of(runs)
    if x == "comparisons" and charged != x:
        raise NashGamesError("x is comparisons, but exact feedback consumes none; use queries")
    return x or charged


def traces_of(curves: pd.DataFrame, runs: pd.DataFrame, column: str, x: str = "queries") -> dict[str, Trace]:
    """The measured points of `column` over `x` for every run of `runs`, by run_id; NaN where it was not measured."""
    mine = curves[curves["run_id"].isin(runs["run_id"])]
    codes, names = pd.factorize(mine["run_id"])
    order = np.lexsort((mine["step"].to_numpy(), codes))
    codes, costs, values = codes[order], floats(mine[AXES[x]])[order], floats(mine[column])[order]
    statuses = mine["status"].to_numpy(dtype=object)[order]
    # Of several points at one cost the last counts.
    kept = np.append((codes[1:] != codes[:-1]) | (costs[1:] != costs[:-1]), True)[: len(codes)]
    codes, costs, values, statuses = codes[kept], costs[kept], values[kept], statuses[kept]
    ends = np.searchsorted(codes, np.arange(len(names)), side="right")
    return {
        str(name): Trace(costs[start:end], values[start:end], str(statuses[end - 1]))
        for name, start, end in zip(names, [0, *ends[:-1]], ends, strict=True)
    }


def several(column: "pd.Series[Any]") -> bool:
    """Whether a column has more than one value."""
    return len(column.unique()) > 1


def floats(column: "pd.Series[Any]") -> Floats:
    """A column as float64, null as NaN."""
    return column.to_numpy(dtype=np.float64, na_value=np.nan)


@dataclass(frozen=True, eq=False)
class Panel:
    """One panel: where it stands, the runs it shows, its title, and the heading of the row that it begins."""

    row: int
    column: int
    runs: pd.DataFrame
    title: str
    heading: str = ""


@dataclass(frozen=True)
class Facets:
    """The panels of a figure, its numbers of rows and columns, and its title."""

    rows: int
    columns: int
    panels: list[Panel]
    title: str


# The bare name of this family would read as the reference of the same name.
_TITLES = {"uniform": "uniform random preferences"}


def say(key: str, value: Any) -> str:
    """A value of a column in the terms of the field: β = 0.1, n = 100, uniform reference, seed 0."""
    words = {"beta": "β = {:g}", "n": "n = {:,}", "seed": "seed {}"}
    if key in words:
        return words[key].format(value)
    if key in VARIANTS:
        return spoken(str(value))
    if key in _SAY_THEMSELVES:
        return spoken(_TITLES.get(str(value), str(value)) if key == "game" else str(value))
    if key == "reference":
        return f"{spoken(str(value))} reference"
    return f"{key.replace('_', ' ')} {plain(f'{value:g}' if isinstance(value, float) else str(value))}"


def facets(runs: pd.DataFrame, keys: Sequence[str], *, also: Sequence[str] = ()) -> Facets:
    """The panels for every combination of `keys` that occurs in `runs`; those of them, and of the columns `also`,
    that have one value go to the title.

    So do the feedback, policy and optimiser of all runs, where they are not exact, tabular and sgd.
    Two or more keys that vary make a grid with the last one along its columns, where every cell of it has runs and the
    page is wide enough; otherwise the panels are a list, wrapped.
    """
    varied = [key for key in keys if several(runs[key])]
    told = [key for key in dict.fromkeys([*keys, *also, *VARIANTS]) if not several(runs[key])]
    first = runs.iloc[0]
    fixed = _title(*(say(key, first[key]) for key in told if first[key] != VARIANTS.get(key)))
    if not varied:
        return Facets(1, 1, [Panel(0, 0, runs, "")], fixed)
    cells, down = _combinations(runs, varied), _combinations(runs, varied[:-1]) if len(varied) > 1 else []
    last = varied[-1]
    across = list(_sorted(runs, [last])[last].unique())
    beside = max(int(page().inches / _NARROWEST), 1)
    if last != keys[-1] or len(down) * len(across) != len(cells) or min(len(across), LIMIT) > beside:
        columns = min(wrap(min(len(cells), LIMIT * LIMIT)), beside)
        chosen = some(cells, min(LIMIT * LIMIT, _ROWS * columns))
        panels = [Panel(*divmod(i, columns), frame, text) for i, (text, frame) in enumerate(chosen)]
        rows = -(-len(chosen) // columns)
        return Facets(rows, columns, panels, _title(fixed, _left_out(len(chosen), len(cells), "panels")))
    shown, values = some(down, LIMIT), some(across, LIMIT)
    panels = [
        Panel(i, j, frame[frame[last] == value], say(last, value), "" if j else text)
        for i, (text, frame) in enumerate(shown)
        for j, value in enumerate(values)
    ]
    names = {"beta": "values of β", "label": "solvers"}
    left_out = (_left_out(len(values), len(across), names.get(last, last)), _left_out(len(shown), len(down), "rows"))
    return Facets(len(shown), len(values), panels, _title(fixed, *left_out))


def _combinations(runs: pd.DataFrame, keys: list[str]) -> list[tuple[str, pd.DataFrame]]:
    groups = _sorted(runs, keys).groupby(keys, sort=False, observed=True)
    return [(", ".join(say(k, v) for k, v in zip(keys, values, strict=True)), frame) for values, frame in groups]


def _sorted(runs: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """The runs in the order of their panels: β falls and all else rises, so that games get harder to the right and
    downwards; what is usual comes before its variants."""

    def place(column: "pd.Series[Any]") -> "pd.Series[Any]":
        return column.where(column != VARIANTS[str(column.name)], "") if column.name in VARIANTS else column

    return runs.sort_values(keys, ascending=[key != "beta" for key in keys], kind="stable", key=place)


def _left_out(shown: int, present: int, what: str) -> str:
    return f"{shown} of {present} {what} shown" if shown < present else ""


def _title(*parts: str) -> str:
    return " · ".join(part for part in parts if part)


def some(values: Iterable[Any], limit: int) -> list[Any]:
    """At most `limit` of the values, evenly spread, the first and the last among them."""
    listed = list(values)
    if len(listed) <= limit:
        return listed
    return [listed[i] for i in np.linspace(0, len(listed) - 1, limit).round().astype(int)]


def wrap(panels: int) -> int:
    """Columns for a list of panels: one row up to three, else close to a square."""
    return panels if panels <= 3 else int(np.ceil(np.sqrt(panels)))
