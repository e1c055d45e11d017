"""The race in the terminal: standings, the best method by regime, and the data of both."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from nashgames.cli import words
from nashgames.cli.sheet import Sheet, plain
from nashgames.cli.verdict import Answer
from nashgames.errors import NashGamesError

if TYPE_CHECKING:
    import pandas as pd

    from nashgames.analysis.race import Race
    from nashgames.experiments.events import Finished
    from nashgames.experiments.experiment import Experiment

WAITING = "comparing the methods"

# The factor whose levels are as many as there are games: it is among the data, and no table of a terminal.
_LONG = "game"


def check(experiment: "Experiment") -> None:
    """Raise NashGamesError, before anything is played, if there is only one method."""
    solvers = experiment.every("solver")
    if len(solvers) < 2:
        raise NashGamesError(
            f"verdict is 'race', but the only solver is {solvers[0]}; add another one, or leave verdict out"
        )


def answer(finished: "Finished") -> Answer:
    """The race of the finished runs."""
    from nashgames.store import Results

    return judged(finished.runs, finished.curves, Results.read(finished.directory).game_file)


def judged(runs: "pd.DataFrame", curves: "pd.DataFrame", game_file: Callable[[str | None], Path | None]) -> Answer:
    """The races of these runs, one for each of the `fields`; `game_file` is `Results.game_file`."""
    from nashgames.analysis import outcomes
    from nashgames.analysis.derived_limits import sources_of
    from nashgames.analysis.race import fields, improvement, race, regimes, standings
    from nashgames.analysis.regimes import levels_of
    from nashgames.experiments.choice import as_asked, reported

    asked, runs = as_asked(runs), reported(outcomes.complete(runs))
    sources = sources_of(runs, game_file)
    sheets: list[Sheet] = []
    data: dict[str, Any] = {}
    parts = [(ending, mine) for ending, mine in fields(runs) if len(set(mine["label"])) > 1]
    # A field with a single method is no race, and is left out unless it is the only one.
    for ending, mine in parts or [("", runs)]:
        compared, steps = outcomes.tuned(mine)
        found = race(compared, curves, asked=asked)
        name = found.axis + ending.removesuffix("-comparisons")
        levels = levels_of(found.instances, sources)
        tables = {
            "standings": standings(found),
            "improvement": improvement(found),
            "regimes": regimes(found, levels),
        }
        sheets += [
            _standings(found, tables["standings"], tables["improvement"], steps, str(compared["label"].iloc[0])),
            _regimes(tables["regimes"]),
        ]
        data[name] = {"epsilon": found.epsilon, "left_out": found.left_out, "at_start": found.at_start}
        data[name] |= {"resolution": found.resolution}
        data[name] |= {key: [_plain(row) for row in _records(table)] for key, table in tables.items()}
    return Answer([sheet for sheet in sheets if sheet.rows], data)


def _standings(race: "Race", table: "pd.DataFrame", improvement: "pd.DataFrame", steps: int, base: str) -> Sheet:
    """The standings, and the median cost of every method relative to that of the method `base`."""
    from nashgames.analysis.race import remarks

    pairs = {(row["method"], row["other"]): row for row in _records(improvement)}
    rows = _records(table)
    lines, asked = [], race.asked is not None
    for row, following in zip(rows, [*rows[1:], None], strict=True):
        beats = None if following is None else pairs[row["method"], following["method"]]
        lines.append((
            row["method"],
            _of(row, "solved"),
            words.share(row["fastest"]),
            _of(row, "efficiency"),
            words.optional(plain(row["factor"])),
            words.optional(plain(1.0 if row["method"] == base else pairs[row["method"], base]["factor"])),
            words.DASH if row["leads"] != row["leads"] else words.share(row["leads"]),
            *([words.share(row["asked_solved"]), words.optional(plain(row["asked_factor"]))] if asked else []),
            "" if beats is None else _between(beats["low"], beats["probability"], beats["high"]),
        ))  # fmt: skip
    told = [
        f"the race to {race.goal}, in {race.axis}",
        *remarks(race),
        *([f"every method with the best of up to {steps} steps"] if steps > 1 else []),
        "efficiency: least cost of any method over the own cost, 0 where unsolved",
        "factor: of the least cost, within which half of the games are solved",
        f"over {base}: the cost over that of {base}, the median of the games that one of them solved",
        "leads: share of resampled races in which no method is more efficient",
        *(
            ["own solved: share solved with the own step; over own: cost relative to that with the own step, median"]
            if asked
            else []
        ),
        "beats the next: probability of needing fewer queries on a game, ties counting half",
        "95 % intervals over games and seeds",
    ]
    headings = ("method", "solved", "fastest", "efficiency", "factor", f"over {base}", "leads", "beats the next")
    beside = ("own solved", "over own") if asked else ()
    headings = (*headings[:-1], *beside, headings[-1])
    spare = ("fastest", "leads", "over own", "own solved")
    return Sheet(headings, frozenset({"method"}), tuple(lines), "; ".join(told), spare=spare[: 4 if asked else 2])


def _regimes(table: "pd.DataFrame") -> Sheet:
    rows = [row for row in _records(table) if row["factor"] != _LONG]
    lines = tuple(
        (
            f"{row['factor']} {row['level']}",
            words.count(row["problems"]),
            _solving(row["first"], row["efficiency"]),
            _between(row["low"], row["efficiency"], row["high"]),
            words.share(row["solved"]),
            _solving(row["second"], row["second_efficiency"]),
            words.share(row["second_efficiency"]),
            words.DASH if row["leads"] != row["leads"] else words.share(row["leads"]),
        )
        for row in rows
    )
    headings = ("regime", "games", "first", "efficiency", "solved", "then", "its efficiency", "leads")
    caption = "leads: share of resampled races in which the first is the most efficient method"
    return Sheet(headings, frozenset({"regime", "first", "then"}), lines, caption, spare=("solved", "leads"))


def _solving(method: str, efficiency: float) -> str:
    """The method, or a dash where it solved nothing and is in its place by its name alone."""
    return method if efficiency > 0 else words.DASH


def _of(row: dict[str, Any], name: str) -> str:
    return _between(row[f"{name}_low"], row[name], row[f"{name}_high"])


def _between(low: float, value: float, high: float) -> str:
    """A share in its interval; alone where one game and seed have none."""
    return words.between(low, value, high) if math.isfinite(low) else words.share(value)


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {key: plain(value) for key, value in row.items()}


def _records(frame: "pd.DataFrame") -> list[dict[str, Any]]:
    return cast("list[dict[str, Any]]", frame.to_dict("records"))
