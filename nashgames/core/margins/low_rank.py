"""A of low rank, as two thin factors: memory and time of a query grow like n, not n²."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np

from nashgames.core.margins.tiles import (
    LISTED,
    ROUNDING,
    block_height,
    check_one_context,
    check_size,
    contexts_of,
    of_dtype,
    sampled,
    written_out,
)
from nashgames.errors import NashGamesError

_ROWS = 256
"""Rows of a block whose entries are looked at: 16 MB at 8,192 actions."""

_LENGTHS = 2**16
"""Actions whose |x_i| are computed at once: 8 MB for factors of 16 columns."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class LowRankMargins:
    """A = L Rᵀ − R Lᵀ with `left` L and `right` R `[n, r]`, or `[m, n, r]` over contexts; skew by construction.

    A product costs 4nr operations and reads 2nr numbers, where dense margins read n². Disc games, m-Elo's cyclic part
    and preference embeddings on margins have this form.
    """

    storage: ClassVar[str] = "lowrank"
    left: Any
    right: Any

    @classmethod
    def bytes_of(cls, n: int, contexts: int, dtype_bytes: int, numbers: int = 0) -> int:
        return contexts * n * numbers * dtype_bytes

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
        check_one_context(self.shape)
        n = self.shape[-1]
        height = height or block_height(n)
        for start in range(0, n, height):
            rows = slice(start, min(start + height, n))
            yield rows, self._block(rows, slice(None))

    def submatrix(self, actions: np.ndarray) -> np.ndarray:
        return self._block(actions, actions)

    def lookup(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        left, right = self._of_one_context()
        return np.sum(left[rows] * right[columns] - right[rows] * left[columns], axis=-1)

    def product(self, vectors: np.ndarray) -> np.ndarray:
        """A·vectors `[n]` or `[n, k]` of one context on the host, in the floats of `vectors`: L(Rᵀx) − R(Lᵀx)."""
        left, right = (factor.astype(vectors.dtype, copy=False) for factor in self._of_one_context())
        return np.asarray(left @ (right.T @ vectors) - right @ (left.T @ vectors))

    def to_dense(self) -> np.ndarray:
        return written_out(self)

    def check(self) -> None:
        """Factors of one shape and entries in [−½, ½].

        |A_ij| ≤ |x_i||x_j| with x = [L, R] leaves few actions whose entries can be too large (none, where the bound
        proves it); all pairs of these are looked at. Where they are more than 8,192, of them the pairs of the 8,192
        longest x, and pairs drawn at random: a large entry among others can go unseen then.
        """
        if self.left.shape != self.right.shape:
            raise NashGamesError(
                f"the factors of the margins have shapes {self.left.shape} and {self.right.shape}; give two of one "
                f"shape"
            )
        for each in contexts_of(self):
            each._check_sizes()

    def _check_sizes(self) -> None:
        lengths = _lengths(*self._of_one_context())
        # Written so that NaN is refused too.
        if not np.isfinite(lengths).all():
            raise NashGamesError("the factors of the margins are not all finite; accepted: finite numbers")
        suspects = np.flatnonzero(lengths * lengths.max() > 0.5 + ROUNDING)
        if len(suspects) > LISTED:
            for rows, columns in sampled(len(lengths)):
                check_size(self._block(rows, columns))
            suspects = suspects[np.argpartition(-lengths[suspects], LISTED)[:LISTED]]
        longest = type(self)(*(factor[suspects] for factor in self._of_one_context()))
        for _, rows in longest.blocks(_ROWS) if len(suspects) else ():
            check_size(rows)

    @classmethod
    def stack(cls, margins: Sequence[Self]) -> Self:
        if len(margins) == 1:
            return margins[0]
        return cls(*(np.stack([getattr(each, name) for each in margins]) for name in ("left", "right")))

    def place(self, device: Any, dtype: Any) -> Self:
        return type(self)(*(jax.device_put(of_dtype(each, dtype), device) for each in (self.left, self.right)))

    def _block(self, rows: Any, columns: Any) -> np.ndarray:
        left, right = self._of_one_context()
        return left[rows] @ right[columns].T - right[rows] @ left[columns].T

    def _of_one_context(self) -> tuple[np.ndarray, np.ndarray]:
        check_one_context(self.shape)
        return np.asarray(self.left), np.asarray(self.right)


def _lengths(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """|x_i| `[n]` for x = [tL, R/t], which has the same products; t scales each column of L and R to equal norms."""
    squares = [np.einsum("nr,nr->r", side, side, dtype=np.float64) for side in (left, right)]
    tiny = np.finfo(np.float64).tiny
    ratio = np.sqrt(np.maximum(squares[1], tiny) / np.maximum(squares[0], tiny))
    found = np.empty(len(left))
    for start in range(0, len(left), _LENGTHS):
        part = slice(start, start + _LENGTHS)
        found[part] = np.square(left[part]) @ ratio + np.square(right[part]) @ (1 / ratio)
    return np.sqrt(found)


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
