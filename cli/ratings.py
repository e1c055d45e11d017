"""`equilibrium --ratings`: the equilibrium and the ratings of the same game."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from nashgames.cli import words
from nashgames.cli.sheet import Sheet, plain
from nashgames.errors import NashGamesError

if TYPE_CHECKING:
    import pandas as pd

    from nashgames.experiments.exact_path import Certified
    from nashgames.experiments.plan import Run

_BEST = 5
"""Actions by either ranking: those of both fit a terminal of 24 lines."""

_MATRICES = 6
"""Matrices as large as A that the fit holds at once: wins, duels, expected wins, their product, information, a copy."""


def rated(run: "Run", found: "Certified") -> "pd.DataFrame":
    """A row an action: `label`, `probability` at the equilibrium, `elo` with the ends of its interval `low`, `high`,
    `share` by Bradley and Terry; the likeliest first.

    Raises NashGamesError for a game with contexts, whose actions have no rating each, or one too large.
    """
    import pandas as pd

    from nashgames.analysis import ranking
    from nashgames.games import tables
    from nashgames.games.memory import check_memory

    game = found.game
    if game.contexts > 1:
        raise NashGamesError(f"--ratings rates the actions of one table and the game has {game.contexts} contexts")
    n = game.actions
    check_memory(_MATRICES * 8 * n * n, f"the ratings of {n:,} actions")
    counted = tables.wins(run.source.text, run.source.file)
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
            "probability": np.exp(found.equilibrium.log_policy).ravel(),
            **{name: ranking.elo(values) for name, values in columns.items()},
            "share": ratings.shares,
        }
    )
    return frame.sort_values(["probability", "elo"], ascending=False, kind="stable", ignore_index=True)


def sheet(rows: "pd.DataFrame", beta: float) -> Sheet:
    """The best actions by either ranking."""
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
        f"the equilibrium at β {words.number(beta)} beside Elo and Bradley–Terry, one fit in two units (400 points are "
        f"odds of ten to one); {_said(rows)}"
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
    if rows["low"].isna().any():
        return "no intervals, as the table holds rates and not counts, or resamples have no finite ratings"
    return "intervals by resampling the comparisons"
