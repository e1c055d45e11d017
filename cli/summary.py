"""The rows of finished runs as the tables that the terminal shows (pandas, no rich)."""

import dataclasses
import math
from typing import TYPE_CHECKING, Any

from nashgames.cli import words
from nashgames.cli.sheet import CELL, NAMES, VARIANTS, Sheet, cell_text, heading, joined, records, varies
from nashgames.defaults import UNLISTED

if TYPE_CHECKING:
    import pandas as pd

MANY_RUNS = 40
"""Above this the seeds of a cell are shown by their median, and above it still, the cells in a grid."""


def tables(runs: "pd.DataFrame") -> list[Sheet]:
    """The tables of the runs: those on exact feedback by queries, and those on samples by comparisons."""
    from nashgames.analysis import outcomes

    runs = outcomes.complete(runs)
    sampled = outcomes.on_samples(runs)
    kinds = [(runs_table, runs[~sampled]), (samples_table, runs[sampled])]
    sheets = [table(mine) for table, mine in kinds if len(mine)]
    if len(sheets) > 1:
        sheets[0] = dataclasses.replace(sheets[0], caption=joined("exact feedback", sheets[0].caption))
    return sheets


def runs_table(runs: "pd.DataFrame") -> Sheet:
    """The runs, best first within a game, size and β; medians over seeds, or a grid, when they are many."""
    from nashgames.analysis import outcomes

    runs, tuned = _tuned(outcomes.complete(runs))
    shown = runs
    if len(shown) > MANY_RUNS and varies(runs["seed"]):
        shown = _medians(runs)
    seeds = "" if shown is runs else f"median over {runs['seed'].nunique()} seeds"
    if len(shown) > MANY_RUNS:
        reached = [words.count(row["queries_to_tolerance"]) for row in records(shown)]
        return _grid(
            shown.assign(shown=reached), _queries_heading(runs) + (", median over seeds" if seeds else ""), tuned
        )
    cell = [column for column in CELL if column in shown and varies(shown[column])]
    shown = shown.sort_values(
        [*cell, "queries_to_tolerance", "suboptimality", "label"],
        ascending=[column != "beta" for column in [*cell, "", "", ""]],
        na_position="last",
        kind="stable",
    )
    sampled = outcomes.on_samples(runs).any()
    rows = tuple(
        (
            *(cell_text(column, row[column]) for column in cell),
            row["label"],
            words.step(row),
            words.count(row["comparisons"] if sampled else row["queries_to_tolerance"]),
            words.quantile(row["suboptimality"]),
            (words.quantile if "diverged" in row["status"] else words.small)(row["kl_to_equilibrium"]),
            row["status"],
        )
        for row in records(shown)
    )
    cost = "comparisons" if sampled else _queries_heading(runs)
    headings = (*map(heading, cell), "solver", "step", cost, "suboptimality", "KL to equilibrium", "status")
    return Sheet(headings, NAMES, rows, joined(seeds, tuned))


def samples_table(runs: "pd.DataFrame") -> Sheet:
    """Runs on samples: the suboptimality of the last iterate over the seeds of every cell, best first, or a grid.

    Quantiles other than the median are one of the seeds, a diverged one being worse than all others; the share of the
    seeds at or below the tolerance comes with its 95 % interval.
    """
    from nashgames.analysis import outcomes

    runs, tuned = _tuned(outcomes.complete(runs))
    learned = runs["feedback"].iloc[0] if not varies(runs["feedback"]) else ""
    if (runs["storage"] == UNLISTED).all():
        return _estimates_table(runs, learned)
    if not varies(runs["seed"]):
        sheet = runs_table(runs)
        return dataclasses.replace(
            sheet, caption=joined(f"last iterate on {learned}" if learned else "", sheet.caption)
        )
    found = outcomes.cells(runs)
    seeds = words.series(sorted({int(count) for count in found["seeds"]}))
    over = f"last iterate over {seeds} seeds" + (f" on {learned}" if learned else "")
    tolerance = words.series(float(value) for value in runs["tolerance"].unique())
    interval = f"share of seeds at or below {tolerance} with its 95 % interval"
    if len(found) > MANY_RUNS:
        some = found["reached"].any()
        shown = [
            words.between(row["low"], row["share"], row["high"]) if some else words.small(row["median"])
            for row in records(found)
        ]
        return _grid(found.assign(shown=shown), joined(interval if some else "median suboptimality", over), tuned)
    cell = [column for column in CELL if column != "seed" and varies(found[column])]
    found = found.sort_values(
        [*cell, "share", "median", "label"],
        ascending=[column not in ("beta", "share") for column in [*cell, "share", "", ""]],
        na_position="last",
        kind="stable",
    )
    levels = outcomes.levels(int(found["seeds"].min()))
    columns = {"median": "median", "90 %": "q90", "99 %": "q99", "maximum": "q99"}
    rows = tuple(
        (
            *(cell_text(column, row[column]) for column in cell),
            row["label"],
            words.step(row),
            words.count(row["comparisons"]),
            *(words.quantile(row[columns[name]]) for name in levels),
            words.between(row["low"], row["share"], row["high"]),
            _ended(row),
        )
        for row in records(found)
    )
    # Tied, because a narrow terminal breaks headings at their last blank.
    tied = [name.replace(" ", "\u00a0") for name in (*levels, f"≤ {tolerance}")]
    headings = (*map(heading, cell), "solver", "step", "comparisons", *tied, "seeds")
    caption = joined(f"suboptimality of the {over}", interval, tuned)
    return Sheet(headings, NAMES | {"seeds"}, rows, caption, spare=("90\u00a0%", "comparisons"))


_ESTIMATES = {
    "estimated_suboptimality": "suboptimality",
    "estimated_kl_to_equilibrium": "KL to equilibrium",
    "estimated_win_rate": "win rate against μ",
    "estimated_kl_to_reference": "KL to μ",
}
"""The estimates that a table shows, as far as there are any."""


def _estimates_table(runs: "pd.DataFrame", learned: str) -> Sheet:
    """Runs over sequences that are not listed: what samples say of the last iterate, each with its standard error."""
    from nashgames.core.metrics import ERRORS

    shown = [name for name in _ESTIMATES if runs[name].notna().any()]
    cell = [column for column in CELL if column in runs and varies(runs[column])]
    rows = tuple(
        (
            *(cell_text(column, row[column]) for column in cell),
            row["label"],
            words.step(row),
            words.count(row["comparisons"]),
            *(words.estimate(row[name], row[ERRORS[name]]) for name in shown),
            row["status"],
        )
        for row in records(runs.sort_values([*cell, "label"], kind="stable"))
    )
    headings = (*map(heading, cell), "solver", "step", "comparisons", *(_ESTIMATES[name] for name in shown), "status")
    caption = joined(f"last iterate on {learned}" if learned else "", "estimates from samples ± standard error")
    return Sheet(headings, NAMES, rows, caption)


def tally(runs: "pd.DataFrame") -> str:
    """How the runs ended: `72 converged · 6 out of budget · 2 diverged`."""
    ended = runs["status"].value_counts()
    told = {"converged": "converged", "budget": "out of budget", "diverged": "diverged"}
    return " · ".join(f"{words.count(int(ended[status]))} {said}" for status, said in told.items() if status in ended)


def _tuned(runs: "pd.DataFrame") -> tuple["pd.DataFrame", str]:
    """The runs to show (`outcomes.tuned`), and what to say of their steps where that is not said in the rows."""
    from nashgames.analysis import outcomes

    shown, steps = outcomes.tuned(runs)
    searched = f"every solver with the best of up to {steps} steps on the same seeds" if steps > 1 else ""
    if searched and (ends := outcomes.at_an_end(runs)):
        searched += f", at an end of them for {', '.join(ends)}: widen these"
    return shown, joined("steps tuned as below" if (shown["step_source"] == "tuned").any() else "", searched)


def _ended(row: dict[str, Any]) -> str:
    """The count of the seeds, and of those that diverged."""
    if not row["diverged"]:
        return words.count(row["seeds"])
    return f"{words.count(row['diverged'])} of {words.count(row['seeds'])} diverged"


def _queries_heading(runs: "pd.DataFrame") -> str:
    return f"queries to {words.series(float(value) for value in runs['tolerance'].unique())}"


def _medians(runs: "pd.DataFrame") -> "pd.DataFrame":
    """One row for the seeds of a cell and solver, medians as figures have them.

    A run that did not reach the tolerance ranks as the slowest, and one that diverged as the worst.
    """
    import numpy as np

    from nashgames.analysis import outcomes

    cell = ["game", "n", "reference", *VARIANTS, "beta", "selection"]
    ends = {column: outcomes.last(runs, column) for column in ("suboptimality", "kl_to_equilibrium")}
    reached = runs["queries_to_tolerance"].astype("float64").fillna(math.inf)
    grouped = runs.assign(queries_to_tolerance=reached, **ends).groupby(cell, sort=False)

    def median(values: "pd.Series[float]") -> float:
        return float(outcomes.quantiles(np.asarray(values, np.float64), (0.5,))[0])

    middle = grouped.agg(
        label=("label", "first"),
        hyperparameters=("hyperparameters", "first"),
        step_source=("step_source", "first"),
        tolerance=("tolerance", "first"),
        queries_to_tolerance=("queries_to_tolerance", median),
        suboptimality=("suboptimality", median),
        kl_to_equilibrium=("kl_to_equilibrium", median),
    ).reset_index()
    middle["status"] = [tally(group).replace(" · ", ", ") for _, group in grouped]
    return middle


def _grid(runs: "pd.DataFrame", *caption: str) -> Sheet:
    """The column `shown`: one row per game, size, variant and β, one column per solver."""
    cell = [c for c in CELL if c in runs and (varies(runs[c]) or c in ("game", "beta"))]
    solvers = list(dict.fromkeys(runs["label"]))
    lines: dict[tuple[Any, ...], dict[str, str]] = {}
    ordered = runs.sort_values(cell, ascending=[column != "beta" for column in cell], kind="stable")
    for row in records(ordered):
        key = tuple(cell_text(column, row[column]) for column in cell)
        lines.setdefault(key, {})[row["label"]] = row["shown"]
    rows = tuple((*key, *(line.get(solver, "") for solver in solvers)) for key, line in lines.items())
    return Sheet((*map(heading, cell), *solvers), NAMES, rows, joined(*caption))
