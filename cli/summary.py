"""The rows of finished runs as the tables and the data that the terminal shows (pandas, no rich)."""

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from nashgames.cli import words

if TYPE_CHECKING:
    import pandas as pd

MANY_RUNS = 40
"""Above this the seeds of a cell are shown by their median, and above it still, the cells in a grid."""

TOP_ACTIONS = 10

_CELL = ["game", "n", "reference", "beta", "seed"]
_HEADINGS = {"game": "game", "n": "actions", "reference": "reference", "beta": "β", "seed": "seed"}
_PLAIN = ("solver", "selection", "game", "contexts", "beta", "seed", "reference", "dtype", "device", "step_source")
_MEASURED = (
    "status",
    "tolerance",
    "budget",
    "step",
    "queries",
    "comparisons",
    "queries_to_tolerance",
    "diverged_step",
    "suboptimality",
    "duality_gap",
    "exploitability",
    "kl_to_equilibrium",
    "span_to_equilibrium",
    "kl_to_reference",
    "entropy",
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


def runs_table(runs: "pd.DataFrame") -> Sheet:
    """The runs, best first within a game, size and β; medians over seeds, or a grid, when they are many."""
    shown = runs
    if len(shown) > MANY_RUNS and _varies(runs["seed"]):
        shown = _medians(runs)
    if len(shown) > MANY_RUNS:
        return _grid(shown)
    cell = [column for column in _CELL if column in shown and _varies(shown[column])]
    shown = shown.sort_values(
        [*cell, "queries_to_tolerance", "suboptimality", "label"],
        ascending=[column != "beta" for column in [*cell, "", "", ""]],
        na_position="last",
        kind="stable",
    )
    headings = (*(_HEADINGS[column] for column in cell), "solver", "step", _queries_heading(runs))
    rows = tuple(
        (
            *(_cell_text(column, row[column]) for column in cell),
            row["label"],
            words.step(row),
            words.count(row["queries_to_tolerance"]),
            words.small(row["suboptimality"]),
            words.small(row["kl_to_equilibrium"]),
            row["status"],
        )
        for row in _records(shown)
    )
    caption = "" if shown is runs or "seed" in shown else f"median over {runs['seed'].nunique()} seeds"
    return Sheet(
        (*headings, "suboptimality", "KL to equilibrium", "status"),
        frozenset({"game", "reference", "solver", "step", "status"}),
        rows,
        caption,
    )


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
            f"{game} at β {words.number(best['beta'])} by {best['label']}{others}; "
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
    return [
        {
            "id": row["run_id"],
            **{key: plain(row[key]) for key in _PLAIN},
            "hyperparameters": json.loads(row["hyperparameters"]),
            "game_parameters": json.loads(row["game_parameters"]),
            "actions": plain(row["n"]),
            **{key: plain(row.get(key)) for key in _MEASURED},
        }
        for row in _records(runs)
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


def _queries_heading(runs: "pd.DataFrame") -> str:
    return f"queries to {words.series(float(value) for value in runs['tolerance'].unique())}"


def _cell_text(column: str, value: Any) -> str:
    if column in ("game", "reference"):
        return str(value)
    return words.number(value) if column == "beta" else words.count(int(value))


def _varies(column: "pd.Series[Any]") -> bool:
    return len(column.unique()) > 1


def _medians(runs: "pd.DataFrame") -> "pd.DataFrame":
    """One row for the seeds of a cell and solver. A run that did not reach the tolerance counts as slower than all."""
    cell = ["game", "n", "reference", "beta", "selection"]
    reached = runs.assign(queries_to_tolerance=runs["queries_to_tolerance"].astype("float64").fillna(math.inf))
    grouped = reached.groupby(cell, sort=False)
    middle = grouped.agg(
        label=("label", "first"),
        hyperparameters=("hyperparameters", "first"),
        step_source=("step_source", "first"),
        tolerance=("tolerance", "first"),
        queries_to_tolerance=("queries_to_tolerance", "median"),
        suboptimality=("suboptimality", "median"),
        kl_to_equilibrium=("kl_to_equilibrium", "median"),
    ).reset_index()
    middle["status"] = [tally(group).replace(" · ", ", ") for _, group in grouped]
    return middle


def _grid(runs: "pd.DataFrame") -> Sheet:
    """Queries to tolerance: a row a game, size and β, a column a solver."""
    cell = [c for c in _CELL if c in runs and (_varies(runs[c]) or c in ("game", "beta"))]
    solvers = list(dict.fromkeys(runs["label"]))
    lines: dict[tuple[Any, ...], dict[str, str]] = {}
    ordered = runs.sort_values(cell, ascending=[column != "beta" for column in cell], kind="stable")
    for row in _records(ordered):
        key = tuple(_cell_text(column, row[column]) for column in cell)
        lines.setdefault(key, {})[row["label"]] = words.count(row["queries_to_tolerance"])
    rows = tuple((*key, *(line.get(solver, "") for solver in solvers)) for key, line in lines.items())
    headings = (*(_HEADINGS[column] for column in cell), *solvers)
    caption = _queries_heading(runs) + ("" if "seed" in runs else ", median over seeds")
    return Sheet(headings, frozenset({"game", "reference"}), rows, caption)


def _records(frame: "pd.DataFrame") -> list[dict[str, Any]]:
    """Rows as dictionaries, with None for a tolerance that was not reached."""
    rows = cast("list[dict[str, Any]]", frame.to_dict("records"))
    return [row | {"queries_to_tolerance": plain(row["queries_to_tolerance"])} for row in rows]
