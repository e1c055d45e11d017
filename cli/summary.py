"""The rows of finished runs as the tables and the data that the terminal shows (pandas, no rich)."""

import dataclasses
import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from nashgames.cli import words
from nashgames.core.metrics import METRICS
from nashgames.defaults import PARTS

if TYPE_CHECKING:
    import pandas as pd

MANY_RUNS = 40
"""Above this the seeds of a cell are shown by their median, and above it still, the cells in a grid."""

# With caption and heading half of a terminal of 24 lines.
TOP_ACTIONS = 10

_VARIANTS = tuple(PARTS)
_CELL = ["game", "n", "reference", *_VARIANTS, "beta", "seed"]
_HEADINGS = {"n": "actions", "beta": "β"}
_NAMES = frozenset({"game", "reference", *_VARIANTS, "solver", "step", "status"})
_PLAIN = (
    "solver",
    "selection",
    *_VARIANTS,
    "game",
    "contexts",
    "beta",
    "seed",
    "reference",
    "dtype",
    "device",
    "step_source",
    "role",
    "tuned",
)
_OF_CELL = ("seeds", "diverged", "comparisons", "tolerance", "reached", "share", "low", "high", "median", "q90", "q99")
_MEASURED = (
    "status",
    "tolerance",
    "budget",
    "step",
    "queries",
    "comparisons",
    "queries_to_tolerance",
    "diverged_step",
    *METRICS,
    "equilibrium_residual",
    "compile_seconds",
    "solve_seconds",
)


@dataclass(frozen=True)
class Sheet:
    """A table of text: headings, which columns hold names (the others hold numbers), rows, and a caption."""

    headings: tuple[str, ...]
    names: frozenset[str]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""
    spare: tuple[str, ...] = ()
    """Headings of columns that a narrow terminal leaves out, the last of them first."""


def tables(runs: "pd.DataFrame") -> list[Sheet]:
    """The tables of the runs: those on exact feedback by queries, and those on samples by comparisons."""
    from nashgames.analysis import outcomes

    runs = outcomes.complete(runs)
    sampled = outcomes.on_samples(runs)
    kinds = [(runs_table, runs[~sampled]), (samples_table, runs[sampled])]
    sheets = [table(mine) for table, mine in kinds if len(mine)]
    if len(sheets) > 1:
        sheets[0] = dataclasses.replace(sheets[0], caption=_joined("exact feedback", sheets[0].caption))
    return sheets


def runs_table(runs: "pd.DataFrame") -> Sheet:
    """The runs, best first within a game, size and β; medians over seeds, or a grid, when they are many."""
    from nashgames.analysis import outcomes

    runs, tuned = _tuned(outcomes.complete(runs))
    shown = runs
    if len(shown) > MANY_RUNS and _varies(runs["seed"]):
        shown = _medians(runs)
    seeds = "" if shown is runs else f"median over {runs['seed'].nunique()} seeds"
    if len(shown) > MANY_RUNS:
        reached = [words.count(row["queries_to_tolerance"]) for row in _records(shown)]
        return _grid(
            shown.assign(shown=reached), _queries_heading(runs) + (", median over seeds" if seeds else ""), tuned
        )
    cell = [column for column in _CELL if column in shown and _varies(shown[column])]
    shown = shown.sort_values(
        [*cell, "queries_to_tolerance", "suboptimality", "label"],
        ascending=[column != "beta" for column in [*cell, "", "", ""]],
        na_position="last",
        kind="stable",
    )
    sampled = outcomes.on_samples(runs).any()
    rows = tuple(
        (
            *(_cell_text(column, row[column]) for column in cell),
            row["label"],
            words.step(row),
            words.count(row["comparisons"] if sampled else row["queries_to_tolerance"]),
            words.quantile(row["suboptimality"]),
            (words.quantile if "diverged" in row["status"] else words.small)(row["kl_to_equilibrium"]),
            row["status"],
        )
        for row in _records(shown)
    )
    cost = "comparisons" if sampled else _queries_heading(runs)
    headings = (*map(_heading, cell), "solver", "step", cost, "suboptimality", "KL to equilibrium", "status")
    return Sheet(headings, _NAMES, rows, _joined(seeds, tuned))


def samples_table(runs: "pd.DataFrame") -> Sheet:
    """Runs on samples: the suboptimality of the last iterate over the seeds of every cell, best first, or a grid.

    Quantiles other than the median are one of the seeds, a diverged one being worse than all others; the share of the
    seeds at or below the tolerance comes with its 95 % interval.
    """
    from nashgames.analysis import outcomes

    runs, tuned = _tuned(outcomes.complete(runs))
    learned = runs["feedback"].iloc[0] if not _varies(runs["feedback"]) else ""
    if not _varies(runs["seed"]):
        sheet = runs_table(runs)
        return dataclasses.replace(
            sheet, caption=_joined(f"last iterate on {learned}" if learned else "", sheet.caption)
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
            for row in _records(found)
        ]
        return _grid(found.assign(shown=shown), _joined(interval if some else "median suboptimality", over), tuned)
    cell = [column for column in _CELL if column != "seed" and _varies(found[column])]
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
            *(_cell_text(column, row[column]) for column in cell),
            row["label"],
            words.step(row),
            words.count(row["comparisons"]),
            *(words.quantile(row[columns[name]]) for name in levels),
            words.between(row["low"], row["share"], row["high"]),
            _ended(row),
        )
        for row in _records(found)
    )
    # Tied, because a narrow terminal breaks headings at their last blank.
    tied = [name.replace(" ", "\u00a0") for name in (*levels, f"≤ {tolerance}")]
    headings = (*map(_heading, cell), "solver", "step", "comparisons", *tied, "seeds")
    caption = _joined(f"suboptimality of the {over}", interval, tuned)
    return Sheet(headings, _NAMES | {"seeds"}, rows, caption, spare=("90\u00a0%", "comparisons"))


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
        for row in _records(found)
    ]


def steps_table(found: list[dict[str, Any]]) -> Sheet:
    """The rows of `measured_steps`, every solver with its β falling."""
    cell = [key for key in ("game", "n", "reference", "policy", "optimiser") if len({row[key] for row in found}) > 1]
    rows = tuple(
        (
            *(_cell_text(column, row[column]) for column in cell),
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
    headings = ("solver", "β", "largest stable step", "derived step", "best step", "rate a query", "derived rate")
    caption = "errors fall like e^(−rate · queries); what is derived is the linearisation at the equilibrium"
    return Sheet((*map(_heading, cell), *headings), _NAMES, rows, caption)


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
    """The rows of `choices`: what was chosen between which ends, and what it and the solver's own step cost there."""
    cell = [key for key in ("n", "reference", *_VARIANTS, "beta") if len({row[key] for row in found}) > 1]
    ends = any(row["edge"] for row in found)
    rows = tuple(
        (
            *(_cell_text(column, row[column]) for column in cell),
            row["label"],
            f"{row['parameter']} {'own' if row['value'] is None else words.number(row['value'])}",
            f"{words.optional(row['low'])} … {words.optional(row['high'])}",
            words.count(row["cost"]),
            words.count(row["own_cost"]),
            *([row["edge"] or ""] if ends else []),
        )
        for row in sorted(found, key=lambda row: ([row[key] if key != "beta" else -row[key] for key in cell]))
    )
    headings = ("solver", "best step", "of", "its cost", "own step's", *(["end"] if ends else []))
    return Sheet((*map(_heading, cell), *headings), _NAMES | {"best step", "end"}, rows, _tuned_on(found))


def choices_by_solver(found: list[dict[str, Any]]) -> Sheet:
    """The rows of `choices` as one for every solver: from where to where its best steps go, and what they save."""
    by_solver: dict[str, list[dict[str, Any]]] = {}
    for row in found:
        by_solver.setdefault(row["label"], []).append(row)
    lines = []
    for label, rows in by_solver.items():
        values = sorted(row["value"] for row in rows if row["value"] is not None)
        # A cost is null where the tolerance was not reached in half of the games.
        both = [row for row in rows if row["cost"] is not None and row["own_cost"] is not None]
        saved = sorted(row["own_cost"] / row["cost"] for row in both if row["cost"] > 0)
        lines.append((
            label,
            words.DASH if not values else f"{rows[0]['parameter']} {_span(values)}",
            words.count(sum(row["value"] is None or row["value"] == row["own_value"] for row in rows)),
            words.count(sum(row["edge"] is not None for row in rows)),
            words.optional(saved[len(saved) // 2] if saved else None),
            f"{len(both)} of {len(rows)}",
        ))  # fmt: skip
    told = (
        f"{_tuned_on(found)}; a choice for every size, reference and β; own, end: how often the solver's own step was "
        f"the best, and one at an end; saved: cost of the own step over that of the best, median where both arrive"
    )
    headings = ("solver", "best steps", "own", "end", "saved", "both arrive")
    return Sheet(headings, _NAMES | {"best steps", "both arrive"}, tuple(lines), told)


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


def mixtures(runs: "pd.DataFrame", policies: "pd.DataFrame", *, unnamed: bool = False) -> list[Sheet]:
    """The most played actions by name for each game, from its best run at the smallest β.

    Games whose actions have no names are left out unless `unnamed`, which shows their numbers.
    """
    sheets = []
    for game, of_game in runs.groupby("game", sort=False):
        if int(of_game["contexts"].iloc[0]) > 1 or of_game["suboptimality"].isna().all():
            continue
        smallest = of_game[of_game["beta"] == of_game["beta"].min()]
        best = smallest.sort_values("suboptimality", na_position="last").iloc[0]
        policy = policies[policies["run_id"] == best["run_id"]]
        if not unnamed and (policy["label"] == policy["action"].astype(str)).all():
            continue
        played = policy[policy["probability"] > 0]
        top = played.sort_values(["probability", "action"], ascending=[False, True]).head(TOP_ACTIONS)
        rows = tuple(
            (str(rank), str(label), f"{100 * probability:.2f} %")
            for rank, (label, probability) in enumerate(zip(top["label"], top["probability"], strict=True), start=1)
        )
        rest = 1 - float(top["probability"].sum())
        others = f"; the other {words.count(len(played) - len(top))} share {100 * rest:.2f} %" if rest > 5e-5 else ""
        caption = (
            f"{game} at β {words.number(best['beta'])} by {_who(best, of_game)}{others}; "
            f"no policy beats this one by more than {words.small(best['suboptimality'])} "
            f"in the {'regularised' if best['beta'] > 0 else 'original'} game"
        )
        sheets.append(Sheet(("rank", "action", "probability"), frozenset({"action"}), rows, caption))
    return sheets


def tally(runs: "pd.DataFrame") -> str:
    """How the runs ended: `72 converged · 6 budget · 2 diverged`."""
    ended = runs["status"].value_counts()
    return " · ".join(f"{words.count(int(ended[s]))} {s}" for s in ("converged", "budget", "diverged") if s in ended)


def payload(runs: "pd.DataFrame") -> list[dict[str, Any]]:
    """The runs for a program: plain JSON values, null where a number was not measured."""
    from nashgames.analysis import outcomes

    return [
        {
            "id": row["run_id"],
            **{key: plain(row.get(key)) for key in _PLAIN},
            "hyperparameters": json.loads(row["hyperparameters"]),
            "game_parameters": json.loads(row["game_parameters"]),
            "actions": plain(row["n"]),
            **{key: plain(row.get(key)) for key in _MEASURED},
        }
        for row in _records(outcomes.complete(runs))
    ]


def plain(value: Any) -> Any:
    """A value of a frame as strict JSON has it: no NaN, no infinity, no NumPy scalar."""
    value = value.item() if hasattr(value, "item") else value
    if value is None or isinstance(value, str | bool | int):
        return value
    try:
        return value if math.isfinite(value) else None
    except TypeError:
        return None


def cells(runs: "pd.DataFrame") -> list[dict[str, Any]]:
    """The seeds of every cell on samples for a program: counts, the share with its interval, and the quantiles.

    null is a quantile that is a diverged seed. Empty where no cell has several seeds.
    """
    from nashgames.analysis import outcomes

    runs = outcomes.complete(runs)
    sampled = runs[outcomes.on_samples(runs)]
    if not len(sampled) or not _varies(sampled["seed"]):
        return []
    return [
        {
            **{key: plain(row[key]) for key in ("solver", "selection", *_VARIANTS, "game", "beta", "reference")},
            "actions": plain(row["n"]),
            **{key: plain(row[key]) for key in _OF_CELL},
        }
        for row in _records(outcomes.cells(sampled))
    ]


def _largest(row: dict[str, Any]) -> str:
    """The largest stable step, as far as the steps that were played tell it."""
    if row["limit"] is None:
        return words.DASH
    bound = "< " if not row["low"] else "> " if row["high"] is None else ""
    return bound + words.number(row["limit"])


def _tuned(runs: "pd.DataFrame") -> tuple["pd.DataFrame", str]:
    """The runs to show (`outcomes.tuned`), and what to say of their steps where that is not said in the rows."""
    from nashgames.analysis import outcomes

    shown, steps = outcomes.tuned(runs)
    searched = f"every solver with the best of up to {steps} steps on the same seeds" if steps > 1 else ""
    if searched and (ends := outcomes.at_an_end(runs)):
        searched += f", at an end of them for {', '.join(ends)}: widen these"
    return shown, _joined("steps tuned as below" if (shown["step_source"] == "tuned").any() else "", searched)


def _ended(row: dict[str, Any]) -> str:
    """The count of the seeds, and of those that diverged."""
    if not row["diverged"]:
        return words.count(row["seeds"])
    return f"{words.count(row['diverged'])} of {words.count(row['seeds'])} diverged"


def _who(run: "pd.Series[Any]", runs: "pd.DataFrame") -> str:
    """A run among those of its game: its solver, and what else tells it from the others."""
    parts = [str(run[key]) for key in _VARIANTS if key in runs and _varies(runs[key])]
    seed = [f"seed {run['seed']}"] if _varies(runs["seed"]) else []
    return " · ".join([run["label"], *parts, *seed])


def _joined(*parts: str) -> str:
    return "; ".join(filter(None, parts))


def _heading(column: str) -> str:
    return _HEADINGS.get(column, column)


def _queries_heading(runs: "pd.DataFrame") -> str:
    return f"queries to {words.series(float(value) for value in runs['tolerance'].unique())}"


def _cell_text(column: str, value: Any) -> str:
    if column in ("game", "reference", *_VARIANTS):
        return str(value)
    return words.number(value) if column == "beta" else words.count(int(value))


def _varies(column: "pd.Series[Any]") -> bool:
    return len(column.unique()) > 1


def _medians(runs: "pd.DataFrame") -> "pd.DataFrame":
    """One row for the seeds of a cell and solver, medians as figures have them.

    A run that did not reach the tolerance counts as slower than all, and one that diverged as worse.
    """
    import numpy as np

    from nashgames.analysis import outcomes

    cell = ["game", "n", "reference", *_VARIANTS, "beta", "selection"]
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
    """The column `shown`: a row a game, size, variant and β, a column a solver."""
    cell = [c for c in _CELL if c in runs and (_varies(runs[c]) or c in ("game", "beta"))]
    solvers = list(dict.fromkeys(runs["label"]))
    lines: dict[tuple[Any, ...], dict[str, str]] = {}
    ordered = runs.sort_values(cell, ascending=[column != "beta" for column in cell], kind="stable")
    for row in _records(ordered):
        key = tuple(_cell_text(column, row[column]) for column in cell)
        lines.setdefault(key, {})[row["label"]] = row["shown"]
    rows = tuple((*key, *(line.get(solver, "") for solver in solvers)) for key, line in lines.items())
    return Sheet((*map(_heading, cell), *solvers), _NAMES, rows, _joined(*caption))


def _records(frame: "pd.DataFrame") -> list[dict[str, Any]]:
    """Rows as dictionaries, with None for a tolerance that was not reached."""
    rows = cast("list[dict[str, Any]]", frame.to_dict("records"))
    return [row | {"queries_to_tolerance": plain(row.get("queries_to_tolerance"))} for row in rows]
