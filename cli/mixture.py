"""The last policy of a game's runs, by the names of its actions."""

import math
from typing import TYPE_CHECKING, Any

from nashgames.cli import words
from nashgames.cli.sheet import VARIANTS, Sheet, varies
from nashgames.defaults import REFEREE

if TYPE_CHECKING:
    import pandas as pd

# With caption and heading half of a terminal of 24 lines.
TOP_ACTIONS = 10


def mixtures(runs: "pd.DataFrame", policies: "pd.DataFrame", *, unnamed: bool = False) -> list[Sheet]:
    """The most played actions by name for each game, at its smallest β from the median seed of its best solver.

    Of an even number of seeds it is the worse of the two in the middle: no single run is their mean. Games whose
    actions have no names are left out unless `unnamed`, which shows their numbers.
    """
    sheets = []
    for _, of_game in runs.groupby("game", sort=False):
        if int(of_game["contexts"].iloc[0]) > 1 or of_game["suboptimality"].isna().all():
            continue
        run, seeds = _of_median_seed(of_game[of_game["beta"] == of_game["beta"].min()])
        policy = policies[policies["run_id"] == run["run_id"]]
        if not unnamed and (policy["label"] == policy["action"].astype(str)).all():
            continue
        played = policy[policy["probability"] > 0]
        top = played.sort_values(["probability", "action"], ascending=[False, True]).head(TOP_ACTIONS)
        rows = tuple(
            (str(rank), words.label(str(label)), f"{100 * probability:.2f} %")
            for rank, (label, probability) in enumerate(zip(top["label"], top["probability"], strict=True), start=1)
        )
        rest = 1 - float(top["probability"].sum())
        others = f"; the other {words.count(len(played) - len(top))} share {100 * rest:.2f} %" if rest > 5e-5 else ""
        at = f"{run['game']} at β {words.number(run['beta'])}"
        distance = "suboptimality" if run["beta"] > 0 else "exploitability"
        reached = f"{distance} {words.small(run['suboptimality'])}"
        caption = f"{at} by {_who(run, of_game, seeds)}: {reached}{others}"
        sheets.append(Sheet(("rank", "action", "probability"), frozenset({"action"}), rows, caption))
    return sheets


def _of_median_seed(runs: "pd.DataFrame") -> tuple["pd.Series[Any]", int]:
    """The run of the median seed of the solver whose median seed is best, and how many seeds that has."""
    from nashgames.analysis import outcomes

    ends = outcomes.last(runs)
    middle: list[tuple[float, int, pd.Series[Any]]] = []
    keys = [name for name in ("n", "reference", *VARIANTS, "label", "selection") if name in runs]
    for _, group in runs.assign(end=ends).groupby(keys, sort=False, dropna=False):
        # Of an even number the upper one: what is shown is not better than the median.
        ordered = group.sort_values("end", kind="stable", na_position="last")
        middle.append((float(ordered["end"].iloc[len(group) // 2]), len(group), ordered.iloc[len(group) // 2]))
    _, seeds, run = min(middle, key=lambda found: found[0] if found[0] == found[0] else math.inf)
    return run, seeds


def _who(run: "pd.Series[Any]", runs: "pd.DataFrame", seeds: int) -> str:
    """A run among those of its game: its solver, and the settings that differ."""
    parts = [str(run[key]) for key in VARIANTS if key in runs and varies(runs[key])]
    seed = [f"seed {run['seed']}, the median of {words.count(seeds)}"] if seeds > 1 else []
    solver = "the exact solution" if run["solver"] == REFEREE else str(run["label"])
    return " · ".join([solver, *parts, *seed])
