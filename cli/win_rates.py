"""Win rates in the terminal: how often the last policy of a row is preferred to that of a column, and the data."""

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from nashgames.cli import words
from nashgames.cli.sheet import CELL, Sheet, cell_text, heading, plain
from nashgames.cli.verdict import Answer
from nashgames.errors import NashGamesError

if TYPE_CHECKING:
    import pandas as pd

    from nashgames.analysis.win_rates import WinRates
    from nashgames.core.game import Game
    from nashgames.experiments.events import Finished
    from nashgames.experiments.experiment import Experiment

WAITING = "comparing the policies"

# Tables of single games that a terminal shows; of more games the means at every β.
_FEW = 3


def check(experiment: "Experiment") -> None:
    """Raise NashGamesError, before anything is played, for a game of a Python file, of which no rows make it again."""
    from nashgames.plugins import is_file_name

    for game in experiment.every("game"):
        if is_file_name(str(game)):
            raise NashGamesError(
                f"verdict is 'win-rates', which makes games again from what is stored, and '{game}' is made by a "
                f"Python file, which rows do not hold; leave verdict out, or keep the game as a table in a file"
            )


def answer(finished: "Finished") -> Answer:
    """The win rates of the finished runs."""
    from nashgames.experiments.sources import game_of
    from nashgames.store import Results

    game_file = Results.read(finished.directory).game_file
    return judged(finished.runs, finished.policies, partial(game_of, game_file=game_file))


def judged(runs: "pd.DataFrame", policies: "pd.DataFrame", game_of: "Callable[[pd.Series[Any]], Game]") -> Answer:
    """The win rates of these runs: a table for each of a few games or for each β, the data of every game."""
    from nashgames.analysis.win_rates import PROBLEM, win_rates

    found = win_rates(runs, policies, game_of)
    alone = found.by(PROBLEM)
    shown = alone if len(alone) <= _FEW else found.by(["beta", "target"])
    data = [{**_plain(cell), "pairs": [_plain(row) for row in _records(part.table())]} for cell, part in alone]
    return Answer([_sheet(cell, part) for cell, part in shown], {"win_rates": data})


def _sheet(cell: dict[str, Any], of: "WinRates") -> Sheet:
    """The rates in per cent, methods numbered, so that columns are as narrow as their numbers."""
    from nashgames.analysis.win_rates import remarks

    numbers = [str(place + 1) if name in of.solvers else name for place, name in enumerate(of.names)]
    rows = tuple(
        (
            f"{number} {name}" if name in of.solvers else name,
            *(words.DASH if i == j else _of(of, i, j) for j in range(len(of.names))),
        )
        for i, (number, name) in enumerate(zip(numbers, of.names, strict=True))
    )
    told = [f"{heading(name)} {cell_text(name, cell[name])}" for name in CELL if name in cell]
    caption = "; ".join([", ".join(told), "how often (%) the row is preferred to the column", *remarks(of)])
    # The two policies that are known are what everybody is compared with.
    return Sheet(("method", *numbers), frozenset({"method"}), rows, caption, spare=tuple(numbers[:-2]))


def _of(of: "WinRates", row: int, column: int) -> str:
    value, low, high = (float(values[row, column]) for values in (of.mean, *of.interval))
    if math.isnan(value):
        return words.DASH
    return words.between(low, value, high).replace(" %", "") if math.isfinite(low) else f"{100 * value:.2f}"


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {str(key): plain(value) for key, value in row.items()}


def _records(frame: "pd.DataFrame") -> list[dict[str, Any]]:
    return cast("list[dict[str, Any]]", frame.to_dict("records"))
