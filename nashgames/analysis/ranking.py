"""Ratings of a preference game: Bradley–Terry and Elo, with intervals where comparisons are counted."""

from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from nashgames.analysis.resampling import interval

Floats = NDArray[np.float64]

ELO_CENTRE = 1500.0
"""The mean of all ratings: what chess federations give to new players."""

ELO_SCALE = 400 / np.log(10)
"""Elo points of one unit of log-odds: 400 points are odds of ten to one."""

RESAMPLES = 200
"""With so many the ends of a 95 % interval lie at levels known to √(0.025·0.975/200) = 1.1 %."""

# The score equations are met to this many comparisons a pair: ratings to about ten digits.
_EXACT = 1e-10
# Newton's method with halved steps needs five to ten of them for a concave function of this kind.
_MOST_STEPS = 100
# Any seed serves; one that is fixed gives the same intervals to the same comparisons.
_SEED = 0


@dataclass(frozen=True)
class Ratings:
    """Ratings of n actions: `bradley_terry` r `[n]` (log-odds, mean 0) with P(i ≻ j) ≈ σ(r_i − r_j).

    `low`, `high` `[n]` are the ends of their 95 % intervals over resampled comparisons: NaN where the data are rates,
    whose comparisons nobody counted, and where a resample has no finite ratings. Ratings are NaN where none are finite.
    """

    bradley_terry: Floats
    low: Floats
    high: Floats

    @property
    def shares(self) -> Floats:
        """e^{r_i} / Σ e^{r_j} `[n]`: how often Luce's rule chooses an action among all."""
        return np.asarray(scipy.special.softmax(self.bradley_terry))


def elo(log_odds: Floats) -> Floats:
    """Ratings in Elo's units, 1500 + 400 log₁₀ e · r, for r of mean 0: the same order and the same odds."""
    return np.asarray(ELO_CENTRE + ELO_SCALE * log_odds)


def of_rates(preferences: Floats) -> Ratings:
    """The ratings of greatest likelihood for P `[n, n]`, every pair counting alike; there are no intervals."""
    fitted = bradley_terry(preferences)
    unknown = np.full(len(fitted), np.nan)
    return Ratings(fitted, unknown, unknown)


def of_wins(wins: Floats, prior: float = 0.0, resamples: int = RESAMPLES) -> Ratings:
    """The ratings of greatest likelihood for counts `[n, n]`, W_ij how often i beat j, with `prior` wins added to each.

    The bootstrap draws as many comparisons as there were, with replacement, and adds the prior to each draw. A
    comparison without a winner, half a win for each side, is drawn as a win of either, which widens the intervals.
    Sources: Bradley and Terry 1952; Elo 1978, whose model is the same in other units; Efron and Tibshirani 1993, §6 and
    §13 (the percentile interval).
    """
    wins = np.asarray(np.where(np.eye(len(wins), dtype=bool), 0.0, wins), np.float64)
    fitted = bradley_terry(wins + prior)
    unknown = np.full(len(wins), np.nan)
    if np.isnan(fitted).any():
        return Ratings(fitted, unknown, unknown)
    draw = np.random.default_rng(_SEED)
    drawn = [
        bradley_terry(np.asarray(each.reshape(wins.shape) + prior, np.float64))
        for each in draw.multinomial(round(wins.sum()), (wins / wins.sum()).ravel(), size=resamples)
    ]
    low, high = interval(np.stack(drawn))
    return Ratings(fitted, low, high)


def bradley_terry(wins: Floats) -> Floats:
    """r `[n]` of mean 0 that maximises Σ_ij W_ij log σ(r_i − r_j), W `[n, n]`; NaN where no finite r does.

    It is finite and unique if and only if nobody can be split off who never lost to, or never met, the others (Ford
    1957): the graph of who ever beat whom is strongly connected. Newton's method on the concave likelihood.
    """
    n = len(wins)
    wins = np.where(np.eye(n, dtype=bool), 0.0, wins)
    if scipy.sparse.csgraph.connected_components(wins > 0, connection="strong")[0] > 1:
        return np.full(n, np.nan)
    met = wins + wins.T
    found = np.zeros(n)

    def likelihood(r: Floats) -> float:
        return float(np.sum(wins * scipy.special.log_expit(r[:, None] - r[None, :])))

    for _ in range(_MOST_STEPS):
        expected = scipy.special.expit(found[:, None] - found[None, :])
        gradient = (wins - met * expected).sum(axis=1)
        if np.max(np.abs(gradient)) <= _EXACT * met.max():
            break
        information = -met * expected * expected.T
        np.fill_diagonal(information, -information.sum(axis=1))
        # Constants change nothing: they get a curvature of their own, so that the system has one solution, of mean 0.
        step = np.linalg.solve(information + information.diagonal().mean() / n, gradient)
        while likelihood(found + step) < likelihood(found) and np.max(np.abs(step)) > _EXACT:
            step /= 2
        found = found + step
    return found - found.mean()
