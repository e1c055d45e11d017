"""A of low rank, as two thin factors: memory and time of a query grow like n, not n²."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np

from nashgames.core.margins.dense import MOST_DENSE
from nashgames.core.margins.tiles import block_height
from nashgames.errors import NashGamesError

_ROUNDING = 1e-6
"""How far beyond ½ an entry may lie: what float32 leaves of a sum of products."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class LowRankMargins:
    """A = L Rᵀ − R Lᵀ with `left` L and `right` R `[n, r]`, or `[m, n, r]` over contexts; skew by construction.

    A product costs 4nr operations and reads 2nr numbers, where dense margins read n². Disc games, m-Elo's cyclic part
    and preference embeddings on margins have this form.
    """

    left: Any
    right: Any

    @property
    def shape(self) -> tuple[int, ...]:
        return (*self.left.shape[:-1], self.left.shape[-2])

    @property
    def dtype(self) -> np.dtype:
        return self.left.dtype

    @property
    def nbytes(self) -> int:
        return self.left.nbytes + self.right.nbytes

    def matvec(self, policy: jax.Array) -> jax.Array:
        """Aπ = L(Rᵀπ) − R(Lᵀπ), at full precision on every device."""
        return margins_product(self.left, self.right, policy)

    def entries(self, rows: jax.Array, columns: jax.Array) -> jax.Array:
        return margins_entries(self.left, self.right, rows, columns)

    def of_context(self, context: int) -> Self:
        return type(self)(self.left[context], self.right[context]) if len(self.shape) == 3 else self

    def blocks(self, height: int | None = None) -> Iterator[tuple[slice, np.ndarray]]:
        left, right = self._of_one_context()
        height = height or block_height(len(left))
        for start in range(0, len(left), height):
            rows = slice(start, min(start + height, len(left)))
            yield rows, left[rows] @ right.T - right[rows] @ left.T

    def submatrix(self, actions: np.ndarray) -> np.ndarray:
        left, right = (factor[actions] for factor in self._of_one_context())
        return left @ right.T - right @ left.T

    def lookup(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        left, right = self._of_one_context()
        return np.sum(left[rows] * right[columns] - right[rows] * left[columns], axis=-1)

    def product(self, vectors: np.ndarray) -> np.ndarray:
        """A·vectors `[n]` or `[n, k]` of one context on the host, in the floats of `vectors`: L(Rᵀx) − R(Lᵀx)."""
        left, right = (factor.astype(vectors.dtype, copy=False) for factor in self._of_one_context())
        return np.asarray(left @ (right.T @ vectors) - right @ (left.T @ vectors))

    def to_dense(self) -> np.ndarray:
        size = int(np.prod(self.shape)) * self.dtype.itemsize
        if size > MOST_DENSE:
            raise NashGamesError(
                f"all margins of {self.shape[-1]:,} actions are needed at once, which would take {size / 2**30:.1f} "
                f"GiB; accepted: at most {MOST_DENSE // 2**30} GiB; use a smaller game"
            )
        contexts = [self.of_context(x) for x in range(self.shape[0] if len(self.shape) == 3 else 1)]
        return np.stack([np.concatenate([rows for _, rows in each.blocks()]) for each in contexts]).reshape(self.shape)

    def check(self) -> None:
        if self.left.shape != self.right.shape:
            raise NashGamesError(
                f"the factors of the margins have shapes {self.left.shape} and {self.right.shape}; give two of one "
                f"shape"
            )
        for context in range(self.shape[0] if len(self.shape) == 3 else 1):
            for _, rows in self.of_context(context).blocks():
                largest = float(np.max(np.abs(rows), initial=0))
                # Written so that NaN is refused too.
                if not largest <= 0.5 + _ROUNDING:
                    raise NashGamesError(f"margins have an entry of size {largest:g}; accepted: at most 0.5")

    @classmethod
    def stack(cls, margins: Sequence[Self]) -> Self:
        if len(margins) == 1:
            return margins[0]
        return cls(*(np.stack([getattr(each, name) for each in margins]) for name in ("left", "right")))

    def place(self, device: Any, dtype: Any) -> Self:
        return type(self)(*(jax.device_put(np.asarray(each, dtype), device) for each in (self.left, self.right)))

    def _of_one_context(self) -> tuple[np.ndarray, np.ndarray]:
        if len(self.shape) != 2:
            raise ValueError(f"margins {list(self.shape)} have several contexts; take of_context first")
        return np.asarray(self.left), np.asarray(self.right)


@partial(jax.jit, inline=False)
def margins_product(left: jax.Array, right: jax.Array, policy: jax.Array) -> jax.Array:
    multiply = partial(jnp.einsum, precision=jax.lax.Precision.HIGHEST)
    of_left, of_right = (multiply("...nr,...n->...r", factor, policy) for factor in (left, right))
    return multiply("...nr,...r->...n", left, of_right) - multiply("...nr,...r->...n", right, of_left)


@partial(jax.jit, inline=False)
def margins_entries(left: jax.Array, right: jax.Array, rows: jax.Array, columns: jax.Array) -> jax.Array:
    if rows.ndim > 1:
        return jax.vmap(margins_entries)(left, right, rows, columns)
    return jnp.sum(left[rows] * right[columns] - right[rows] * left[columns], axis=-1)
