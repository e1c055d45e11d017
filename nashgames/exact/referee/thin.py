"""A as U C Uᵀ with few columns, found from products alone: every system is then solved in O(n r²)."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

# Random vectors that A is multiplied with at first, and how many more each time, in those before: a game of full rank is
# known for one by 24.
_FIRST, _MORE = 16, 0.5
# Columns at most, and as part of n: the systems of a sixth of n columns cost half of those of n actions.
_MOST, _PART = 512, 6
# Part of a product with A beyond the columns at which they are enough: GMRES repairs what it leaves.
_ENOUGH = 1e-12
# Columns that gain a factor of two: slower, as in games of several planes, the rank is a part of n.
_HALVED = 16
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
    basis, width = np.empty((n, 0)), _FIRST
    while basis.shape[1] <= min(_MOST, n // _PART):
        products = multiply(rng.standard_normal((n, width)))
        size = float(np.linalg.norm(products))
        for _ in range(2):  # once more takes off what rounding left
            products -= basis @ (basis.T @ products)
        beyond = float(np.linalg.norm(products))
        if beyond <= _ENOUGH * size:
            return _trimmed(basis, basis.T @ multiply(basis))
        if beyond > size * 0.5 ** (basis.shape[1] / _HALVED):
            return None
        basis = np.hstack([basis, np.linalg.qr(products)[0]])
        width = int(_MORE * basis.shape[1])
    return None


def _trimmed(basis: np.ndarray, core: np.ndarray) -> Thin:
    """The same without columns of rounding, and skew."""
    core = (core - core.T) / 2
    left, sizes, _ = np.linalg.svd(core)
    kept = left[:, sizes > _ROUNDING * np.max(sizes, initial=0.0)]
    return Thin(basis @ kept, kept.T @ core @ kept)
