"""From estimates of single contexts, with the parts of their variance, to one estimate with a confidence interval."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from nashgames.errors import NashGamesError

Floats = NDArray[np.float64]

LEVEL = 0.95
"""The level of an interval that is not asked for, as in most of the field's figures."""

# Weights of contexts are read from files and programs in float32, whose sums round to about this.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Estimate:
    """`value` with its standard `error` and the ends `low` and `high` of its confidence interval.

    `effective` is the number of samples that carry it, in the context where it is smallest: all of them where none
    weighs more than another. `refused` is the share of the contexts' weight whose samples cannot carry it: for these
    `value` is what the samples say, of unknown error, and the interval spans all that they may be.

    Args:
        value: the estimate
        error: its standard error
        low: the lower end of its confidence interval
        high: the upper end
        effective: the number of samples that carry it
        refused: the share of the contexts' weight whose samples cannot carry it

    Example:
        >>> import numpy as np
        >>> from nashgames import estimators
        >>> round(estimators.length(np.array([[3, 3, 0], [3, 0, 0]]), end=0).error, 3)
        0.5
    """

    value: float
    error: float
    low: float
    high: float
    effective: float
    refused: float = 0.0


@dataclass(frozen=True)
class Part:
    """The estimate of one context: `value` of `variance`, which was put together from `parts` of its own.

    `parts` are independent variances with their degrees of freedom, whose sum is about `variance`. Where `most` is
    given the samples do not carry the value, which is only known to be from 0 to `most`.
    """

    value: float
    variance: float
    parts: Sequence[tuple[float, float]]
    effective: float
    most: float | None = None


def combine(parts: Sequence[Part], weights: ArrayLike | None, level: float, *, squared: bool = False) -> Estimate:
    """Σ_x ρ_x θ̂_x with a t interval, its degrees of freedom those of Welch and Satterthwaite.

    `weights` ρ `[m]` are those of all contexts; without, m ≥ 2 contexts are themselves a sample of ρ, whose spread has
    the noise within each in it. What is `squared`, close to 0 like the square of something estimated, has the interval
    of its root: (√θ̂ ± r/(2√θ̂))² = θ̂ ± r + r²/(4θ̂), with θ̂ not below its error. Source: Satterthwaite 1946.
    """
    if not 0 < level < 1:
        raise NashGamesError(f"the level is {level:g}; accepted: a number between 0 and 1, as 0.95")
    shares = _shares(weights, len(parts))
    values = np.array([part.value for part in parts])
    value = float(shares @ values)
    if weights is None and len(parts) > 1:
        variance, freedom = float(np.var(values, ddof=1)) / len(parts), len(parts) - 1.0
    else:
        known = [(share, part) for share, part in zip(shares, parts, strict=True) if part.most is None]
        variance = float(sum(share**2 * part.variance for share, part in known))
        freedom = _freedom([(share**2 * size, df) for share, part in known for size, df in part.parts])
    reach = quantile(level, freedom) * math.sqrt(variance)
    refused = [
        (share, part.value, part.most) for share, part in zip(shares, parts, strict=True) if part.most is not None
    ]
    sure = value - sum(share * guess for share, guess, _ in refused)
    shift = reach**2 / (4 * max(sure, math.sqrt(variance))) if squared and variance > 0 else 0.0
    return Estimate(
        value=value,
        error=math.sqrt(variance),
        low=float(sure + shift - reach),
        high=float(sure + shift + reach + sum(share * most for share, _, most in refused)),
        effective=min(part.effective for part in parts),
        refused=float(sum(share for share, _, _ in refused)),
    )


def share_of_one(value: float, variance: float, samples: float, deviations: float) -> tuple[float, float]:
    """The ends of an interval for a share: Wilson's, for the number of independent trials that have this variance.

    Where these are many it reaches `deviations` standard errors to each side. Where all samples say the same the
    variance is unknown, not zero: there are then `samples` trials, as in the rule of three. Sources: Wilson 1927; Korn
    and Graubard 1998 (the effective number of trials).
    """
    trials = value * (1 - value) / variance if variance > 0 and 0 < value < 1 else samples
    square = deviations**2 / trials
    middle = (value + square / 2) / (1 + square)
    reach = math.sqrt(square * value * (1 - value) + square**2 / 4) / (1 + square)
    return max(middle - reach, 0.0), min(middle + reach, 1.0)


def quantile(level: float, freedom: float) -> float:
    """The (1+level)/2 quantile of Student's t; of the normal distribution for infinitely many degrees of freedom."""
    if math.isinf(freedom):
        return float(scipy.special.ndtri((1 + level) / 2))
    return float(scipy.special.stdtrit(freedom, (1 + level) / 2))


def mean(values: Floats) -> Part:
    """The mean of independent samples `[K]`."""
    if len(values) < 2:
        raise NashGamesError(f"there are {len(values)} samples; give at least two, of which an error can be estimated")
    variance = float(np.var(values, ddof=1)) / len(values)
    return Part(float(values.mean()), variance, [(variance, len(values) - 1)], len(values))


def _shares(weights: ArrayLike | None, contexts: int) -> Floats:
    if weights is None:
        return np.full(contexts, 1 / contexts)
    shares = np.asarray(weights, np.float64)
    if shares.shape != (contexts,) or np.any(shares < 0) or abs(shares.sum() - 1) > _ROUNDING:
        raise NashGamesError(
            f"the weights have shape {shares.shape} and sum {shares.sum():g}; give one for each of the"
            f" {contexts} contexts, none negative, of sum 1"
        )
    return shares


def _freedom(parts: Sequence[tuple[float, float]]) -> float:
    """The degrees of freedom of a sum of estimated variances."""
    spread = sum(size**2 / freedom for size, freedom in parts)
    return sum(size for size, _ in parts) ** 2 / spread if spread > 0 else math.inf
