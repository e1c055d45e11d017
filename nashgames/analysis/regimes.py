"""The regimes by which a race is broken down: β, size, how cyclic the games are, and their source."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nashgames.analysis.race import played_beta
from nashgames.core.game import DEFAULT_BETA
from nashgames.experiments.sources import Source
from nashgames.games.families import FAMILIES
from nashgames.games.properties import cyclic_share

_SIZES = (30, 300)
"""The largest small and the largest middle game: half a decade above the usual 10 and 100 actions."""

_SHARES = (0.1, 0.9)
"""Cyclic shares of the energy below which a game is nearly a ladder, and from which on it is nearly all cycles."""


def levels_of(instances: pd.DataFrame, sources: Mapping[str, Source]) -> dict[str, "pd.Series[str]"]:
    """The level of every instance of a race in each factor that varies, as `race.regimes` takes them.

    Factors are β (0 for the original game), actions, cyclic share (of the energy ‖A‖_F², Hodge), source and game. Games
    are made again for their share; it is unknown where `sources`, as `derived_limits.sources_of` finds them, lack one.
    """
    played = played_beta(instances)
    betas = sorted(set(played.tolist()), reverse=True)
    cyclic = _cyclic_shares(instances, sources)
    shares = np.where(np.isnan(cyclic), len(_SHARES) + 1, np.searchsorted(_SHARES, cyclic, side="right"))
    generated = np.array([text.partition("[")[0] in FAMILIES for text in instances["game"]])
    games = sorted(set(instances["game"]))
    found = {
        "β": _ordered(np.searchsorted(-np.array(betas), -played), [f"{beta:g}" for beta in betas]),
        "actions": _ordered(np.searchsorted(_SIZES, instances["n"]), ["≤ 30", "31–300", "> 300"]),
        "cyclic share": _ordered(shares, ["< 10 %", "10–90 %", "≥ 90 %", "unknown"]),
        "source": _ordered(np.where(generated, 0, 1), ["generated", "data"]),
        "game": _ordered(np.searchsorted(games, instances["game"]), games),
    }
    return {name: level for name, level in found.items() if len(level.unique()) > 1}


def _ordered(places: NDArray[np.integer], names: list[str]) -> "pd.Series[str]":
    """Levels by their place among `names`."""
    return pd.Series(pd.Categorical.from_codes(places, pd.Index(names), ordered=True))


def _cyclic_shares(instances: pd.DataFrame, sources: Mapping[str, Source]) -> np.ndarray:
    """The cyclic share of the energy of every instance's game, NaN where it cannot be made again."""
    known: dict[tuple[object, ...], float] = {}
    shares = np.full(len(instances), np.nan)
    for place, row in enumerate(instances[["game", "n", "seed", "beta"]].to_dict("records")):
        source = sources.get(row["game"])
        if source is None:
            continue
        seed = int(row["seed"]) if source.takes_seed else 0
        beta = float(row["beta"]) if source.takes_beta and row["beta"] > 0 else DEFAULT_BETA
        key = (row["game"], row["n"], seed, beta)
        if key not in known:
            size = None if source.default_actions is None else int(row["n"])
            known[key] = cyclic_share(source.make(size, seed, beta, "float64"))
        shares[place] = known[key]
    return shares
