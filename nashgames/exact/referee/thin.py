"""A as U C Uᵀ with few columns, found from products alone: every system is then solved in O(n r²)."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

# Random vectors that A is multiplied with at first, and how many more each time, in those before.
_FIRST, _MORE = 16, 0.5
# Columns at most, and as part of n: the systems of a quarter of n columns cost a third of those of n actions.
_MOST, _PART = 512, 4
# Part of a product with A beyond the columns at which they are enough: GMRES repairs what it leaves.
_ENOUGH = 1e-12
# Columns from which a tail has to fall evenly, and to what at the last: a rank of as many alike is found before.
_ALIKE, _NEARLY = 80, 1e-6
# Singular value, in the largest, of a column that is rounding.
_ROUNDING = 1e-15
# Least singular value, in the largest, of a range that is known to 1e-8 nats: 1e-16 √n of rounding over it.
_APART = 1e-6


class Thin(NamedTuple):
    """A ≈ U C Uᵀ: `basis` U `[n, r]` of orthonormal columns, `core` C `[r, r]` skew."""

    basis: np.ndarray
    core: np.ndarray

    @property
    def apart(self) -> bool:
        """Whether no singular value of A is near rounding, so that its range is known."""
        sizes = np.linalg.svd(self.core, compute_uv=False)
        return bool(np.min(sizes, initial=np.inf) > _APART * np.max(sizes, initial=0.0))


def thin(multiply: Callable[[np.ndarray], np.ndarray], n: int) -> Thin | None:
    """The factors of A `[n, n]`, known by `multiply(vectors [n, k])`; None where its rank is not small beside n.

    Products with random vectors span the range of A (Halko, Martinsson and Tropp 2011); as many again show what is
    beyond it.
    """
    rng = np.random.default_rng(0)
    basis, most, tail = np.empty((n, 0)), min(_MOST, n // _PART), 1.0
    width = added = _FIRST
    while True:
        products = multiply(rng.standard_normal((n, width)))
        size = float(np.linalg.norm(products))
        for _ in range(2):  # once more takes off what rounding left
            products -= basis @ (basis.T @ products)
        beyond = float(np.linalg.norm(products))
        if beyond <= _ENOUGH * size:
            return _trimmed(basis, basis.T @ multiply(basis))
        k, now = basis.shape[1], beyond / size
        if k + width > most or (k and _hopeless(now, now / tail, added, most - k, k)):
            return None
        fresh = np.linalg.qr(products)[0]
        # Columns that were rounding are of length 1 now, and not yet across the others.
        fresh = np.linalg.qr(fresh - basis @ (basis.T @ fresh))[0]
        basis = np.hstack([basis, fresh])
        tail, added, width = now, width, int(_MORE * (k + width))


def _hopeless(tail: float, fall: float, added: int, more: int, k: int) -> bool:
    """Whether `more` columns will not do, after the last `added` of k left `fall` of what was there before.

    Where singular values are alike each column takes off its part: as many as may still come must take off all. Where
    they fall evenly, so does the tail.
    """
    return bool(1 - fall**2 < added / (more + added) or (k > _ALIKE and tail * fall ** (more / added) > _NEARLY))


def _trimmed(basis: np.ndarray, core: np.ndarray) -> Thin:
    """The same without columns of rounding, and skew."""
    core = (core - core.T) / 2
    left, sizes, _ = np.linalg.svd(core)
    kept = left[:, sizes > _ROUNDING * np.max(sizes, initial=0.0)]
    return Thin(basis @ kept, kept.T @ core @ kept)
