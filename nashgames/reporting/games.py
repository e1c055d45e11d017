"""The games of a results directory made again: their facts, their preferences as a heat map, their equilibria."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nashgames import plots
from nashgames.analysis.outcomes import CELL, last
from nashgames.analysis.win_rates import PROBLEM, remarks, win_rates
from nashgames.defaults import REFEREE
from nashgames.errors import NashGamesError
from nashgames.exact.referee import equilibrium
from nashgames.experiments.sources import game_of, with_reference
from nashgames.games.properties import facts
from nashgames.plots.preferences import preferences

# Heat maps of some tens of kilobytes, each drawn in half a second; a reader looks at a few.
MOST_GAMES = 8
TOP = 10
"""Actions of a mixture that are shown: half a screen."""
# Actions up to which the referee takes less than half a second.
_MOST_ACTIONS = 1000

_OF_GAME = ["game", "game_fingerprint", "n"]
_OF_MIXTURE = [name for name in CELL if name not in ("beta", "dtype", "device", "optimiser")]

GameFile = Callable[[str | None], Path | None]


def games_of(runs: pd.DataFrame, game_file: GameFile) -> list[dict[str, Any]]:
    """Every game of the runs at every n, of its first seed: what it is like, and its preferences as an SVG file.

    Of those after the first `MOST_GAMES` only the names are told. A game that cannot be made again, because a file is
    gone or its code is the user's, is told with the reason.
    """
    found = []
    for place, (_, mine) in enumerate(runs.groupby(_OF_GAME, sort=False, dropna=False)):
        run = mine.iloc[0]
        told: dict[str, Any] = {
            "game": str(run["game"]),
            "n": int(run["n"]),
            "seeds": int(mine["seed"].nunique()),
            "seed": int(run["seed"]),
        }
        if place < MOST_GAMES:
            told |= _looked_at(run, game_file)
        found.append(told)
    return found


def _looked_at(run: "pd.Series[Any]", game_file: GameFile) -> dict[str, Any]:
    try:
        game = game_of(run, game_file)
        known = facts(game)
    except NashGamesError as error:
        return {"missing": str(error)}
    about = "about " if known.cyclic_triples_sampled else ""
    lines = [
        ("Condorcet winner", known.condorcet_winner_label or "none"),
        ("cyclic triples", f"{about}{100 * known.cyclic_triples:.3g} %"),
        (
            "cyclic share (Hodge)",
            f"{'about ' if known.energies_sampled else ''}{100 * known.cyclic_energy:.3g} %",
        ),
        ("rank", f"{'at least ' if known.rank_is_lower_bound else ''}{known.rank:,}"),
        ("largest margin", f"{'at least ' if known.energies_sampled else ''}{known.max_margin:.4g}"),
    ]
    lines += [("contexts", f"{known.contexts:,}")] if known.contexts > 1 else []
    drawn = preferences(game.margins.of_context(0), game.description.labels, known.ratings)
    return {
        "facts": lines,
        "notes": [str(note) for note in game.description.notes],
        "heat_map": plots.svg(drawn),
        "caption": str(getattr(drawn, "caption", "")),
    }


def mixtures_of(runs: pd.DataFrame, policies: pd.DataFrame, game_file: GameFile) -> list[dict[str, Any]]:
    """The ranked mixtures of every game at its smallest β, on its first seed: the exact equilibrium and every method.

    Actions are in the order of the equilibrium, or of the best method where there is none to compare with: a game
    of more than 1,000 actions or of several contexts, or one that cannot be made again.
    """
    runs = runs[runs["contexts"] == 1]
    found: list[dict[str, Any]] = []
    for _, mine in runs.groupby(_OF_MIXTURE, sort=False):
        mine = mine[mine["beta"] == mine["beta"].min()]
        mine = mine[mine["seed"] == mine["seed"].min()]
        found.append(_mixture(mine, policies, game_file, exact=len(found) < MOST_GAMES))
        if len(found) == 2 * MOST_GAMES:
            break
    return [mixture for mixture in found if mixture]


def _mixture(runs: pd.DataFrame, policies: pd.DataFrame, game_file: GameFile, *, exact: bool) -> dict[str, Any]:
    runs = runs.assign(end=last(runs)).sort_values("end", kind="stable")
    mine = policies[policies["run_id"].isin(runs["run_id"]) & (policies["context"] == 0)]
    table = mine.pivot_table("probability", "action", "run_id", aggfunc="first", sort=False)
    shown = [run_id for run_id in runs["run_id"] if run_id in table]
    if not shown:
        return {}
    named = runs.set_index("run_id")
    names = mine.drop_duplicates("action").set_index("action")["label"]
    columns = {str(named.loc[run_id, "label"]): table[run_id].to_numpy(np.float64) for run_id in shown}
    run, why = runs.iloc[0], ""
    if (named.loc[shown, "solver"] == REFEREE).any():
        columns = {"equilibrium" if label == REFEREE else label: values for label, values in columns.items()}
    elif exact:
        try:
            columns = {"equilibrium": _equilibrium(run, game_file)[table.index.to_numpy()]} | columns
        except NashGamesError as error:
            why = str(error)
    first = next(iter(columns.values()))
    top = np.argsort(-np.nan_to_num(first), kind="stable")[:TOP]
    return {
        "game": str(run["game"]),
        "n": int(run["n"]),
        "reference": str(run["reference"]),
        "feedback": str(run["feedback"]),
        "beta": float(run["beta"]),
        "seed": int(run["seed"]),
        "columns": list(columns),
        "rows": [
            {"action": str(names.iloc[i]), "probabilities": [float(values[i]) for values in columns.values()]}
            for i in top
        ],
        "most": max(float(np.nanmax(values)) for values in columns.values()),
        "rest": [float(1 - values[top].sum()) for values in columns.values()],
        "others": len(first) - len(top),
        "why": why,
    }


def win_rates_of(runs: pd.DataFrame, policies: pd.DataFrame, game_file: GameFile) -> dict[str, Any]:
    """How often one last policy is preferred to another, a table for every game: `tables`, and `why` there are none."""
    try:
        found = win_rates(runs, policies, partial(game_of, game_file=game_file))
    except NashGamesError as error:
        return {"tables": [], "why": str(error)}
    tables = []
    for cell, part in found.by(PROBLEM):
        ends = (part.mean, *part.interval)
        pairs = [
            [[float(values[i, j]) for values in ends] for j in range(len(part.names))] for i in range(len(part.names))
        ]
        told = {"names": part.names, "rows": pairs, "caption": "; ".join(remarks(part))}
        tables.append({**cell, "n": int(cell["n"]), **told})
    return {"tables": tables, "why": ""}


def _equilibrium(run: "pd.Series[Any]", game_file: GameFile) -> np.ndarray:
    """π* of the game of a run, at its β and reference; NashGamesError where that takes long or cannot be made again."""
    if run["n"] > _MOST_ACTIONS:
        raise NashGamesError(
            f"the equilibrium of {run['n']:,} actions takes longer than a page should; "
            "nashgames equilibrium computes it"
        )
    return equilibrium(with_reference(game_of(run, game_file), run), float(run["beta"])).policy
