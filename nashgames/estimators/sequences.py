"""Length, repetition and variety of sampled token sequences."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nashgames.errors import NashGamesError
from nashgames.estimators.intervals import LEVEL, Estimate, Floats, combine, mean, quantile, share_of_one

Whole = NDArray[np.integer]


def length(tokens: ArrayLike, end: int, level: float = LEVEL) -> Estimate:
    """The mean number of tokens before the end token, L where there is none, of independent sequences `[K, L]`.

    Args:
        tokens: `[K, L]`, integers: K independent sequences of at most L tokens
        end: the token that ends a sequence
        level: the level of the interval, between 0 and 1

    Raises:
        NashGamesError: for tokens that are not integers `[K, L]` of at least two sequences, or a level out of its
            bounds

    Example:
        >>> import numpy as np
        >>> from nashgames import estimators
        >>> estimators.length(np.array([[3, 3, 0], [3, 0, 0]]), end=0).value
        1.5
    """
    _, lengths = _read(tokens, end)
    return combine([mean(lengths.astype(np.float64))], None, level)


def repeated(tokens: ArrayLike, end: int, level: float = LEVEL) -> Estimate:
    """The share of tokens that repeat the one before them, among all that have one before them, of sequences `[K, L]`.

    Its error is that of a ratio of means over sequences, whose tokens depend on each other; the interval is Wilson's
    for the number of trials of that variance. `value` is NaN, of anything in [0, 1], where no sequence has two tokens.

    Args:
        tokens: `[K, L]`, integers: K independent sequences of at most L tokens
        end: the token that ends a sequence
        level: the level of the interval, between 0 and 1

    Raises:
        NashGamesError: for tokens that are not integers `[K, L]` of at least two sequences, or a level out of its
            bounds

    Example:
        >>> import numpy as np
        >>> from nashgames import estimators
        >>> estimators.repeated(np.array([[3, 3, 0], [3, 4, 0]]), end=0).value
        0.5
    """
    given, lengths = _read(tokens, end)
    inside = np.arange(1, given.shape[1]) < lengths[:, None]
    pairs = inside.sum(axis=1)
    same = (inside & (given[:, 1:] == given[:, :-1])).sum(axis=1)
    count, total = len(given), int(pairs.sum())
    if total == 0:
        return _unknown(count)
    value = float(same.sum() / total)
    # The linear part of a ratio: what each sequence adds to it.
    variance = float(np.sum((same - value * pairs) ** 2)) * count / (count - 1) / total**2
    return _share(value, variance, int(np.count_nonzero(pairs)), count, level)


def distinct(tokens: ArrayLike, end: int, n: int = 2, level: float = LEVEL) -> Estimate:
    """distinct-n: the n-grams that are different, as a share of all in sequences `[K, L]` up to their end tokens.

    It falls with K, because sequences share n-grams: compare equal K. The interval is for its mean over sets of K
    sequences, by the jackknife over sequences, whose variance is rather too large (Efron and Stein 1981).
    `value` is NaN, of anything in [0, 1], where fewer than two sequences have an n-gram. Source: Li et al. 2016.

    Args:
        tokens: `[K, L]`, integers: K independent sequences of at most L tokens
        end: the token that ends a sequence
        n: the length of an n-gram in tokens, at least 1
        level: the level of the interval, between 0 and 1

    Raises:
        NashGamesError: for tokens that are not integers `[K, L]` of at least two sequences, or a level out of its
            bounds

    Example:
        >>> import numpy as np
        >>> from nashgames import estimators
        >>> estimators.distinct(np.array([[3, 3, 0], [3, 4, 0]]), end=0, n=1).value
        0.5
    """
    given, lengths = _read(tokens, end)
    if n < 1:
        raise NashGamesError(f"n is {n}; accepted: the number of tokens of an n-gram, at least 1")
    owners, places = np.nonzero(np.arange(given.shape[1]) + n <= lengths[:, None])
    if len(np.unique(owners)) < 2:
        return _unknown(len(given))
    grams = given[owners[:, None], places[:, None] + np.arange(n)]
    names = np.unique(grams, axis=0, return_inverse=True)[1].reshape(-1)
    pairs = np.unique(np.stack([names, owners]), axis=1)
    kinds, count, total = int(names.max()) + 1, len(given), len(owners)
    of_one = np.bincount(pairs[0], minlength=kinds)[pairs[0]] == 1
    alone = np.bincount(pairs[1][of_one], minlength=count)
    without = (kinds - alone) / (total - np.bincount(owners, minlength=count))
    variance = (count - 1) * float(np.var(without))
    return _share(kinds / total, variance, len(np.unique(owners)), count, level)


def _share(value: float, variance: float, samples: int, count: int, level: float) -> Estimate:
    low, high = share_of_one(value, variance, samples, quantile(level, count - 1))
    return Estimate(value, math.sqrt(variance), low, high, samples)


def _unknown(count: int) -> Estimate:
    return Estimate(math.nan, math.nan, 0.0, 1.0, count, refused=1.0)


def _read(tokens: ArrayLike, end: int) -> tuple[Whole, Floats]:
    """The tokens `[K, L]`, and how many stand before the first end token of each, `[K]`."""
    given = np.asarray(tokens)
    if given.ndim != 2 or not np.issubdtype(given.dtype, np.integer) or len(given) < 2 or given.shape[1] == 0:
        raise NashGamesError(
            f"the tokens are {given.dtype} of shape {given.shape}; give whole numbers [K, L], at least two sequences"
        )
    ended = given == end
    return given, np.where(ended.any(axis=1), ended.argmax(axis=1), given.shape[1])
