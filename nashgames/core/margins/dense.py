"""A as one array."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np

from nashgames.core.margins.tiles import MOST_DENSE, block_height, check_margins, empty, fill_skew
from nashgames.errors import NashGamesError

_IN_CACHE = 512
"""Actions up to which −πA is as fast as Aπ: A, 2 MB in float64, is read from the cache. At 2,048 it takes four times as
long in a batch of eight. The order of the sum decides the last digits of a run, which stay while this number does."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class DenseMargins:
    """A as one array `[n, n]` or `[m, n, n]`; a NumPy array until it is placed on a device."""

    storage: ClassVar[str] = "dense"
    values: Any

    @classmethod
    def bytes_of(cls, n: int, contexts: int, dtype_bytes: int, numbers: int = 0) -> int:
        return contexts * n**2 * dtype_bytes

    @classmethod
    def filled(cls, n: int, blocks: Sequence[Callable[[slice, slice], np.ndarray]], dtype: Any) -> Self:
        """`[n, n]` from the blocks above its diagonal (see `fill_skew`); `[m, n, n]` from those of m > 1 contexts."""
        values = empty((len(blocks), n, n), dtype)
        for out, block in zip(values, blocks, strict=True):
            fill_skew(out, block)
        return cls(values if len(blocks) > 1 else values[0])

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape

    @property
    def dtype(self) -> np.dtype:
        return self.values.dtype

    @property
    def nbytes(self) -> int:
        return self.values.nbytes

    def matvec(self, policy: jax.Array) -> jax.Array:
        """Aπ, at full precision on every device."""
        return margins_product(self.values, policy)

    def entries(self, rows: jax.Array, columns: jax.Array) -> jax.Array:
        return margins_entries(self.values, rows, columns)

    def of_context(self, context: int) -> Self:
        return type(self)(self.values[context]) if len(self.shape) == 3 else self

    def blocks(self, height: int | None = None) -> Iterator[tuple[slice, np.ndarray]]:
        values = self._of_one_context()
        height = height or block_height(len(values))
        for start in range(0, len(values), height):
            rows = slice(start, min(start + height, len(values)))
            yield rows, values[rows]

    def submatrix(self, actions: np.ndarray) -> np.ndarray:
        return self._of_one_context()[np.ix_(actions, actions)]

    def lookup(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        return self._of_one_context()[rows, columns]

    def to_dense(self) -> np.ndarray:
        if self.nbytes > MOST_DENSE:
            n = self.shape[-1]
            most = math.isqrt(MOST_DENSE * n**2 // self.nbytes)
            raise NashGamesError(
                f"all margins of {n:,} actions are needed at once, which is done for at most {most:,} actions "
                f"({MOST_DENSE // 2**30} GiB); use a smaller game"
            )
        return np.asarray(self.values)

    def check(self) -> None:
        for values in np.asarray(self.values).reshape(-1, *self.shape[-2:]):
            check_margins(values)

    @classmethod
    def stack(cls, margins: Sequence[Self]) -> Self:
        if len(margins) == 1:
            return margins[0]
        values = empty((len(margins), *margins[0].shape), margins[0].dtype)
        for out, each in zip(values, margins, strict=True):
            out[...] = each.values
        return cls(values)

    def place(self, device: Any, dtype: Any) -> Self:
        """Dense margins take the dtype of the policies: a product of two types would convert A at every query."""
        values = self.values if self.dtype == dtype else np.asarray(self.values, dtype)
        return type(self)(jax.device_put(values, device))

    def _of_one_context(self) -> np.ndarray:
        if len(self.shape) != 2:
            raise ValueError(f"margins {list(self.shape)} have several contexts; take of_context first")
        return np.asarray(self.values)


@partial(jax.jit, inline=False)
def margins_product(values: jax.Array, policy: jax.Array) -> jax.Array:
    highest = jax.lax.Precision.HIGHEST
    if values.shape[-1] <= _IN_CACHE:
        # A is skew: Aπ = −πA, which is up to a fifth faster in a batch while A stays in the cache.
        return -jnp.einsum("...j,...ji->...i", policy, values, precision=highest)
    product = jnp.einsum("...ij,...j->...i", values, policy, precision=highest)
    # Keeps XLA from folding a transposition of the result into the product, which is up to three times slower.
    return jax.lax.optimization_barrier(product)  # type: ignore[no-untyped-call]


@partial(jax.jit, inline=False)
def margins_entries(values: jax.Array, rows: jax.Array, columns: jax.Array) -> jax.Array:
    if rows.ndim == 1:
        return values[rows, columns]
    return jax.vmap(lambda of_context, i, j: of_context[i, j])(values, rows, columns)
