"""The steps of solvers as tables and data: the largest stable ones, and the best of those that were tried."""

import statistics
from typing import TYPE_CHECKING, Any

from nashgames.cli import words
from nashgames.cli.sheet import NAMES, VARIANTS, Sheet, cell_text, heading, plain, records
from nashgames.defaults import PARTS

if TYPE_CHECKING:
    import pandas as pd


def measured_steps(runs: "pd.DataFrame", curves: "pd.DataFrame") -> list[dict[str, Any]]:
    """How large the swept steps of every solver may be and what the best one achieves, measured and derived.

    A row a cell and solver: null where there is nothing derived, or every step (`high`) or none (`limit`) was stable.
    Empty where no steps are swept on exact feedback.
    """
    from nashgames.analysis import outcomes

    runs = outcomes.complete(runs)
    runs = runs[~outcomes.on_samples(runs)]
    if not len(runs) or not outcomes.sweeps_steps(runs):
        return []
    from nashgames.analysis import stability
    from nashgames.analysis.derived_limits import limits_of

    same = ["game", "reference", "n", "label", "beta"]
    derived = limits_of(runs).rename(columns={"limit": "derived_limit", "rate": "derived_rate"})
    found = stability.measured(curves, runs).merge(derived, on=same, how="left")
    best, _ = outcomes.best_steps(runs)
    best = best.assign(best=outcomes.steps_of(best), rate=stability.rates(curves, best))
    # One best step in all tables of a command: that of the fewest queries, with the rate that it has.
    medians = best.groupby([*outcomes.CELL, "label"])[["best", "rate"]].median().reset_index()
    found = found.drop(columns=["best", "rate"]).merge(medians, on=[*outcomes.CELL, "label"], how="left")
    found = found[found["steps"] > 1].sort_values([*same[:4], "beta"], ascending=[True] * 4 + [False], kind="stable")
    columns = ("steps", "limit", "low", "high", "derived_limit", "best", "rate", "derived_rate")
    return [
        {
            **{key: plain(row[key]) for key in (*same, "policy", "optimiser")},
            **{key: plain(row[key]) for key in columns},
        }
        for row in records(found)
    ]


def steps_table(found: list[dict[str, Any]]) -> Sheet:
    """The rows of `measured_steps`, every solver with its β falling."""
    cell = [key for key in ("game", "n", "reference", "policy", "optimiser") if len({row[key] for row in found}) > 1]
    rows = tuple(
        (
            *(cell_text(column, row[column]) for column in cell),
            row["label"],
            words.number(row["beta"]),
            _largest(row),
            words.optional(row["derived_limit"]),
            words.optional(row["best"]),
            words.small(row["rate"]),
            words.small(row["derived_rate"]),
        )
        for row in found
    )
    headings = ("solver", "β", "largest stable step", "derived step", "best step", "rate per query", "derived rate")
    caption = "errors fall like e^(−rate · queries); derived values are from the linearisation at the equilibrium"
    return Sheet((*map(heading, cell), *headings), NAMES, rows, caption)


def choices(runs: "pd.DataFrame", curves: "pd.DataFrame") -> list[dict[str, Any]]:
    """The steps that were chosen for a program, a row for every solver in every cell (`experiments.choice.choices`).

    null is a cost that was not reached, and a step that is no number; empty where nothing was tuned.
    """
    from nashgames.experiments import choice

    return [
        {str(key): plain(value) for key, value in row.items()}
        for row in choice.choices(runs, curves).to_dict("records")
    ]


def choices_table(found: list[dict[str, Any]]) -> Sheet:
    """The rows of `choices`: the chosen step, its range, its cost and that of the solver's own step."""
    cell = [key for key in ("n", "reference", *VARIANTS, "beta") if len({row[key] for row in found}) > 1]
    ends = any(row["edge"] for row in found)
    rows = tuple(
        (
            *(cell_text(column, row[column]) for column in cell),
            row["label"],
            f"{row['parameter']} {'own' if row['value'] is None else words.number(row['value'])}",
            f"{words.optional(row['low'])} … {words.optional(row['high'])}",
            words.count(row["reported_cost"]),
            words.count(row["asked_cost"]),
            *([row["edge"] or ""] if ends else []),
        )
        for row in sorted(found, key=lambda row: ([row[key] if key != "beta" else -row[key] for key in cell]))
    )
    headings = ("solver", "best step", "range", "cost", "own cost", *(["end"] if ends else []))
    told = f"{_tuned_on(found)}; costs are medians on the reported seeds; own cost: with the solver's own step"
    return Sheet((*map(heading, cell), *headings), NAMES | {"best step", "end"}, rows, told)


def choices_by_solver(found: list[dict[str, Any]]) -> Sheet:
    """The rows of `choices` as one row per solver: the range of its best steps, and what they save."""
    by_solver: dict[str, list[dict[str, Any]]] = {}
    for row in found:
        named = row["label"] if row["optimiser"] == PARTS["optimiser"] else f"{row['label']} · {row['optimiser']}"
        by_solver.setdefault(named, []).append(row)
    lines = []
    for label, rows in by_solver.items():
        values = sorted(row["value"] for row in rows if row["value"] is not None)
        # A cost is null where the tolerance was not reached in half of the games.
        both = [row for row in rows if row["reported_cost"] is not None and row["asked_cost"] is not None]
        saved = [row["asked_cost"] / row["reported_cost"] for row in both if row["reported_cost"] > 0]
        lines.append((
            label,
            words.DASH if not values else f"{rows[0]['parameter']} {_span(values)}",
            words.count(sum(row["value"] is None or row["value"] == row["own_value"] for row in rows)),
            words.count(sum(row["edge"] is not None for row in rows)),
            words.optional(statistics.median(saved) if saved else None),
            f"{len(both)} of {len(rows)}",
        ))  # fmt: skip
    told = (
        f"{_tuned_on(found)}; one choice for every size, reference and β; own, end: how often the best step was the "
        f"solver's own, and at an end of its range; saved: cost of the own step over that of the best on the reported "
        f"seeds, the median where both reach the tolerance"
    )
    headings = ("solver", "best steps", "own", "end", "saved", "both reached")
    return Sheet(headings, NAMES | {"best steps", "both reached"}, tuple(lines), told)


def _span(values: list[float]) -> str:
    low, high = words.number(values[0]), words.number(values[-1])
    return low if low == high else f"{low} … {high}"


def _tuned_on(found: list[dict[str, Any]]) -> str:
    """How the choices were made, in a caption."""
    trials = words.series(sorted({row["trials"] for row in found}))
    drawn = [row for row in found if not row["same"]]
    places = []
    if drawn:
        first, last = min(row["first"] for row in drawn), max(row["last"] for row in drawn)
        places.append(f"seed {first}" if first == last else f"seeds {first}–{last}")
    if len(drawn) < len(found):
        places.append("the reported game itself where it is the same for every seed")
    return f"the best of {trials} steps by the median cost to the tolerance, on {' and '.join(places)}"


def _largest(row: dict[str, Any]) -> str:
    """The largest stable step, as far as the steps that were played tell it."""
    if row["limit"] is None:
        return words.DASH
    bound = "< " if not row["low"] else "> " if row["high"] is None else ""
    return bound + words.number(row["limit"])
