"""Verdicts on the theorems as the terminal shows them: two tables, the data, and the sentence about a break."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from nashgames.cli import words
from nashgames.cli.sheet import Sheet, joined, plain
from nashgames.cli.verdict import Answer
from nashgames.defaults import RUN
from nashgames.errors import NashGamesError
from nashgames.registry import parse

if TYPE_CHECKING:
    import pandas as pd

    from nashgames.analysis.theorems import Verdict
    from nashgames.experiments.events import Finished
    from nashgames.experiments.experiment import Experiment

WAITING = "checking every iterate"


def check(experiment: "Experiment") -> None:
    """Raise NashGamesError, before anything is played, where a verdict is asked for on solvers without a theorem."""
    from nashgames.analysis.theorems import SOLVERS

    solvers, accepted = experiment.every("solver"), {parse(text).name for text in SOLVERS}
    if not any(parse(text).name in accepted for text in solvers):
        raise NashGamesError(
            f"verdict is '{experiment.verdict}', but no theorem covers {', '.join(solvers)}; add nash-mp, "
            f"halves[nash-mp], proximal-point or egpo, or leave verdict out"
        )
    if RUN["feedback"] not in experiment.every("feedback") or experiment.start != RUN["start"]:
        raise NashGamesError(
            f"verdict is '{experiment.verdict}', but theorems cover exact feedback and runs from the reference only; "
            f"leave feedback and start out, or verdict"
        )


def answer(finished: "Finished") -> Answer:
    """Every iterate judged: two tables, the data, and the sentence about the worst break if there is one."""
    from nashgames.analysis import theorems

    found = theorems.verdict(finished.runs, finished.curves, finished.policies, finished.paths)
    return Answer(sheets(found), payload(found), sentence(found))


def sheets(verdict: "Verdict") -> list[Sheet]:
    """The rates and shares of the bounds for every solver and β, and the queries to one KL for every n."""
    return [_rates(verdict), *([_sizes(verdict.sizes)] if len(verdict.sizes) else [])]


def payload(verdict: "Verdict") -> dict[str, Any]:
    """The verdict for a program: plain JSON values, null where nothing was checked."""
    tables = verdict._asdict()
    found: dict[str, Any] = {name: [_plain(row) for row in _records(table)] for name, table in tables.items()}
    return {"holds": not found["breaks"], **found}


def sentence(verdict: "Verdict") -> str | None:
    """The worst break in a sentence: run, step, inequality, value and bound; None where every inequality holds."""
    breaks = verdict.breaks
    if breaks.empty:
        return None
    worst = breaks.iloc[int((breaks["value"] / breaks["bound"]).to_numpy().argmax())]
    others = f", the worst of {words.count(len(breaks))} breaks" if len(breaks) > 1 else ""
    return (
        f"run {worst['run_id']} ({worst['label']} on {worst['game']}, n = {words.count(worst['n'])}, "
        f"β = {words.number(worst['beta'])}, seed {worst['seed']}) breaks the inequality '{worst['inequality']}' at "
        f"step {words.count(worst['step'])}: {worst['value']:.6g} is above its bound {worst['bound']:.6g}{others}"
    )


def _rates(verdict: "Verdict") -> Sheet:
    rows = tuple(
        (
            row["label"],
            words.number(row["beta"]),
            words.number(row["eta"]),
            words.count(row["iterates"]),
            words.count(row["queries"]),
            *(_share(row[name]) for name in ("proved", "slowest", "mean", "KL", "step", "half step")),
            _share(_largest(row["span"], row["span step"])),
            _outcome(row),
        )
        for row in _records(verdict.rates)
    )
    headings = ("solver", "β", "η", "iterates", "queries per step", "proved", "slowest", "mean")
    return Sheet(
        (*headings, "KL", "step", "half step", "span", "verdict"),
        frozenset({"solver", "verdict"}),
        rows,
        "proved, slowest, mean: contraction of KL(π*‖π) by a whole step; KL … span: the largest share of its proved "
        "bound that any iterate reached; above 1 it would be broken",
        spare=("η", "queries per step", "mean"),
    )


def _sizes(sizes: "pd.DataFrame") -> Sheet:
    from nashgames.analysis.theorems import LEVEL

    every = sorted({n for measured in sizes["measured"] for n in measured})
    rows = tuple(
        (
            row["game"],
            row["label"],
            words.number(row["beta"]),
            words.count(row["proved"]),
            *(words.count(row["measured"][n]) if n in row["measured"] else "" for n in every),
        )
        for row in _records(sizes)
    )
    blank = "blank: no run of that size was judged" if any("" in row for row in rows) else ""
    return Sheet(
        ("game", "solver", "β", "proved", *(f"n = {words.count(n)}" for n in every)),
        frozenset({"game", "solver"}),
        rows,
        joined(f"queries to a KL of {LEVEL:g}: the proved number does not depend on n", blank),
    )


def _outcome(row: Mapping[str, Any]) -> str:
    if row["broken"]:
        return f"{words.count(row['broken'])} broken"
    return "holds" if row["iterates"] else "not checked"


def _share(value: float) -> str:
    return words.DASH if value is None or not math.isfinite(value) else f"{value:.4f}"


def _largest(*values: float) -> float:
    return max((value for value in values if math.isfinite(value)), default=math.nan)


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: {str(n): plain(queries) for n, queries in value.items()} if isinstance(value, dict) else plain(value)
        for key, value in row.items()
    }


def _records(frame: "pd.DataFrame") -> list[dict[str, Any]]:
    return cast("list[dict[str, Any]]", frame.to_dict("records"))
