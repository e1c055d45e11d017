"""The equilibrium beside the ratings of the same game: `equilibrium --ratings`, and a verdict."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nashgames.cli import words
from nashgames.cli.sheet import Sheet, plain
from nashgames.cli.verdict import Answer
from nashgames.disk import replace
from nashgames.errors import NashGamesError

if TYPE_CHECKING:
    import pandas as pd

    from nashgames.exact.referee import Equilibrium
    from nashgames.experiments.events import Finished
    from nashgames.experiments.experiment import Experiment
    from nashgames.experiments.sources import Source

WAITING = "rating the actions"

FILE = "ratings.csv"
"""Where ratings are kept in a results directory."""

_BEST = 5
"""Actions by either ranking: those of both fit a terminal of 24 lines."""

_MATRICES = 6
"""Matrices as large as A that the fit holds at once: wins, duels, expected wins, their product, information, a copy."""


def check(experiment: "Experiment") -> None:
    """Any game may be rated; one with contexts is refused once it is made."""


def answer(finished: "Finished") -> Answer:
    """Every game of the runs at its smallest β: a table, the data, and all actions in the file of ratings."""
    import pandas as pd

    from nashgames.exact.referee import equilibrium
    from nashgames.experiments.sources import find_again, game_of, with_reference
    from nashgames.store import Results

    kept = Results.read(finished.directory)
    tables: dict[str, pd.DataFrame] = {}
    sheets = []
    for text, of_game in finished.runs.groupby("game", sort=False):
        run = of_game.sort_values("beta", kind="stable").iloc[0]
        told = None if pd.isna(run["game_fingerprint"]) else str(run["game_fingerprint"])
        source = find_again(str(text), told, kept.game_file(told))
        found = equilibrium(with_reference(game_of(run, kept.game_file), run), float(run["beta"]))
        rows = tables[str(text)] = rated(source, found)
        sheets.append(sheet(rows, found.beta, f"{text}, all actions in {FILE}: "))
    keep(tables, finished.directory)
    return Answer(sheets, {"ratings": {text: payload(rows) for text, rows in tables.items()}})


def keep(tables: Mapping[str, "pd.DataFrame"], directory: Path) -> Path:
    """Write the ratings of every game, by its name, into a results directory, and return the file."""
    import pandas as pd

    every = pd.concat([rows.assign(game=text) for text, rows in tables.items()], ignore_index=True)
    columns = ["game", *(name for name in every.columns if name != "game")]
    # Ten digits: what the fit is exact to.
    replace(directory / FILE, every[columns].to_csv(index=False, float_format="%.10g").encode())
    return directory / FILE


def rated(source: "Source", found: "Equilibrium") -> "pd.DataFrame":
    """A row an action: `label`, `probability` at the equilibrium, `elo` with the ends of its interval `low`, `high`,
    `share` by Bradley and Terry, and whether duels were `counted`; the likeliest first.

    Raises NashGamesError for a game with contexts, whose actions have no rating each, or one too large.
    """
    import pandas as pd

    from nashgames.analysis import ranking
    from nashgames.games import tables
    from nashgames.memory import check_memory

    game = found.game
    assert game is not None
    if game.contexts > 1:
        raise NashGamesError(f"--ratings rates the actions of one table and the game has {game.contexts} contexts")
    n = game.actions
    check_memory(_MATRICES * 8 * n * n, f"the ratings of {n:,} actions")
    counted = tables.wins(source.text, source.file)
    if counted is None:
        ratings = ranking.of_rates(game.margins.submatrix(np.arange(n)).astype(np.float64) + 0.5)
    else:
        ratings = ranking.of_wins(*counted)
    labels = game.description.labels or tuple(map(str, range(n)))
    columns = {"elo": ratings.bradley_terry, "low": ratings.low, "high": ratings.high}
    frame = pd.DataFrame(
        {
            "action": np.arange(n),
            "label": labels,
            "probability": found.policy.ravel(),
            **{name: ranking.elo(values) for name, values in columns.items()},
            "share": ratings.shares,
            "counted": counted is not None,
        }
    )
    return frame.sort_values(["probability", "elo"], ascending=False, kind="stable", ignore_index=True)


def sheet(rows: "pd.DataFrame", beta: float, title: str = "") -> Sheet:
    """The best actions by either ranking; the caption begins with a `title`."""
    of_elo = rows["elo"].rank(ascending=False, method="min")
    shown = rows[(rows.index < _BEST) | (of_elo <= _BEST)]
    texts = tuple(
        (
            str(place + 1),
            words.label(str(row["label"])),
            f"{100 * row['probability']:.2f} %",
            *(
                (f"{of_elo[place]:.0f}", f"{row['elo']:.0f}", _interval(row), f"{100 * row['share']:.2f} %")
                if np.isfinite(row["elo"])
                else ("–",) * 4
            ),
        )
        for place, row in zip(shown.index, shown.to_dict("records"), strict=True)
    )
    caption = (
        f"{title}the equilibrium at β {words.number(beta)} beside Elo and Bradley–Terry, one fit in two units (400 "
        f"points are odds of ten to one); {_said(rows)}"
    )
    headings = ("rank", "action", "probability", "rank by Elo", "Elo", "95 % interval", "Bradley–Terry share")
    return Sheet(headings, frozenset({"action"}), texts, caption, spare=("Bradley–Terry share",))


def payload(rows: "pd.DataFrame") -> list[dict[str, Any]]:
    """All actions as data; null for what the data do not determine."""
    return [{str(key): plain(value) for key, value in row.items()} for row in rows.to_dict("records")]


def _interval(row: Mapping[Any, Any]) -> str:
    return f"{row['low']:.0f} to {row['high']:.0f}" if np.isfinite(row["low"]) and np.isfinite(row["high"]) else "–"


def _said(rows: "pd.DataFrame") -> str:
    if rows["elo"].isna().all():
        return "no finite ratings fit: some actions never lose to, or never beat, any of the others"
    if not rows["counted"].any():
        return "no intervals: the table does not say how often each pair met; one of winner, loser, count does"
    if rows["low"].isna().any():
        return "no intervals: resamples have no finite ratings"
    return "intervals by resampling the comparisons"
