"""How much a mean over games and seeds depends on them: the two-stage bootstrap."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nashgames.analysis.outcomes import LEVEL

Floats = NDArray[np.float64]
Codes = NDArray[np.integer]

RESAMPLES = 2000
"""With so many the ends of a 95 % interval lie at levels known to √(0.025·0.975/2000) = 0.35 %."""

_SEED = 0
"""Of the bootstrap: the same rows give the same intervals."""


def even_weights(problems: Codes) -> Floats:
    """The weight of every instance, `[I]`: all problems count alike, and within one all its seeds; they sum to 1.

    `problems` `[I]` numbers the problem of every instance from 0 on.
    """
    seeds = np.bincount(problems)
    return 1 / (seeds[problems] * np.count_nonzero(seeds))


def resampled_weights(games: Codes, problems: Codes, seeds: Codes, resamples: int = RESAMPLES) -> Floats:
    """The weights of every instance in resampled races, `[B, I]`; each row sums to 1.

    Games are drawn with replacement, and within every copy of a game its seeds, again with replacement. The problems
    of a game (its sizes, references and β) are the design and come with it, all with the same seeds, because a seed
    draws related games of every size. Within a copy all problems of which a seed was drawn count alike. Of one game
    only the seeds are drawn, of one seed only the games. Drawing both counts what seeds do twice, so that intervals are
    a little too wide rather than too narrow. `games`, `problems` and `seeds` `[I]` are numbered from 0 on; `problems`
    says the game too. Source: Davison and Hinkley 1997, §3.8 (the two-stage bootstrap of hierarchical data).
    """
    draw = np.random.default_rng(_SEED)
    count = int(games.max()) + 1
    chosen = draw.integers(count, size=(resamples, count))
    weights = np.zeros((resamples, len(games)))
    for game in range(count):
        mine = np.flatnonzero(games == game)
        own_seeds, of_seed = np.unique(seeds[mine], return_inverse=True)
        own_problems, of_problem = np.unique(problems[mine], return_inverse=True)
        in_problem = (of_problem[:, None] == np.arange(len(own_problems))).astype(np.float64)
        resample, _ = np.nonzero(chosen == game)
        copies = draw.multinomial(len(own_seeds), np.full(len(own_seeds), 1 / len(own_seeds)), size=len(resample))
        drawn = copies[:, of_seed].astype(np.float64)
        total = (drawn @ in_problem)[:, of_problem]
        np.add.at(weights, (resample[:, None], mine), np.divide(drawn, total, out=drawn, where=total > 0))
    return weights / weights.sum(axis=1, keepdims=True)


def weights_of(instances: pd.DataFrame, problem: Sequence[str]) -> Floats:
    """The weight of every instance, `[I]` (`even_weights`): a row each, whose columns `problem` make its problem."""
    return even_weights(_codes(instances, problem))


def resamples_of(instances: pd.DataFrame, problem: Sequence[str]) -> Floats:
    """The weights of resampled instances, `[B, I]` (`resampled_weights`), with columns `game`, `seed` and those of
    their `problem`; NaN where there is but one game and seed."""
    games, seeds = _codes(instances, ["game"]), _codes(instances, ["seed"])
    if games.max() == seeds.max() == 0:
        return np.full((1, len(games)), np.nan)
    return resampled_weights(games, _codes(instances, problem), seeds)


def _codes(instances: pd.DataFrame, columns: Sequence[str]) -> Codes:
    """What the instances have in these columns, numbered from 0 on."""
    return instances.groupby(list(columns), dropna=False).ngroup().to_numpy()


def interval(values: Floats) -> tuple[Floats, Floats]:
    """The 95 % percentile interval of resampled `values` `[B, …]`; NaN where there was nothing to resample."""
    low, high = np.quantile(values, ((1 - LEVEL) / 2, (1 + LEVEL) / 2), axis=0)
    return low, high
