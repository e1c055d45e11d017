"""How A is stored, behind one small protocol: dense first; low-rank, tiled or packed storage can follow."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from nashgames.errors import NashGamesError

TILE = 1024
"""Rows and columns of a block of margins; generators draw their random numbers block by block."""

_ALIGNMENT = 64
_SMALL = 512
_ROUNDING = 1e-6


class Margins(Protocol):
    """The skew-symmetric A = P − ½ with entries in [−½, ½], `[n, n]`, or `[m, n, n]` over m contexts."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype: ...
    def advantage(self, policy: jax.Array) -> jax.Array: ...
    def entries(self, rows: jax.Array, columns: jax.Array) -> jax.Array: ...
    def to_dense(self) -> Any: ...


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class DenseMargins:
    """A as one array; a NumPy array until the runner places it on a device."""

    values: Any

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape

    @property
    def dtype(self) -> np.dtype:
        return self.values.dtype

    def advantage(self, policy: jax.Array) -> jax.Array:
        """Aπ for `policy` `[n]` (`[m, n]` over contexts), at full precision on every device."""
        highest = jax.lax.Precision.HIGHEST
        if self.shape[-1] <= _SMALL:
            # A is skew: Aπ = −πA, which is up to three times faster while A stays in the cache.
            return -jnp.einsum("...j,...ji->...i", policy, self.values, precision=highest)
        product = jnp.einsum("...ij,...j->...i", self.values, policy, precision=highest)
        # Keeps XLA from folding a transposition of the result into the product, which is up to three times slower.
        return jax.lax.optimization_barrier(product)  # type: ignore[no-untyped-call]

    def entries(self, rows: jax.Array, columns: jax.Array) -> jax.Array:
        """A[rows, columns] for actions `[b]` (`[m, b]` over contexts, each in its own): what single duels look up."""
        if rows.ndim == 1:
            return self.values[rows, columns]
        return jax.vmap(lambda values, i, j: values[i, j])(self.values, rows, columns)

    def to_dense(self) -> Any:
        return self.values


def empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An uninitialised array aligned so that a CPU device uses it in place instead of copying it."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    buffer = np.empty(size + _ALIGNMENT, np.uint8)
    start = -buffer.ctypes.data % _ALIGNMENT
    return buffer[start : start + size].view(dtype).reshape(shape)


def fill_skew(out: np.ndarray, block: Callable[[slice, slice], np.ndarray]) -> None:
    """Fill `out` `[n, n]` with a skew-symmetric matrix from its blocks on and above the diagonal.

    `block(rows, columns)` is called once for every pair of TILE-aligned slices with rows ≤ columns and returns
    float64 margins; of a diagonal block only the part above the diagonal is used. No second matrix is made.
    """
    for rows, columns in tiles_above(out.shape[0]):
        values = block(rows, columns)
        if rows == columns:
            values = np.triu(values, 1)
            values = values - values.T
        out[rows, columns] = values
        out[columns, rows] = -values.T


def check_margins(margins: np.ndarray) -> None:
    """Raise NashGamesError, naming an entry, unless A `[n, n]` is skew-symmetric to rounding with entries in [−½, ½].

    Works by blocks: no second matrix is made.
    """
    for rows, columns in tiles_above(len(margins)):
        block, mirrored = margins[rows, columns], margins[columns, rows].T
        # A comparison with NaN is false: what is not a number is refused as well.
        held = (np.abs(block) <= 0.5 + _ROUNDING) & (np.abs(block + mirrored) <= _ROUNDING)
        if not held.all():
            i, j = np.argwhere(~held)[0] + (rows.start, columns.start)
            raise NashGamesError(
                f"margins[{i}, {j}] is {margins[i, j]:g} and margins[{j}, {i}] is {margins[j, i]:g}; accepted: "
                f"A = P − ½ in [−½, ½] with A[j, i] = −A[i, j] (subtract ½ from probabilities, rescale payoffs)"
            )


def tiles_above(n: int) -> Iterator[tuple[slice, slice]]:
    """The TILE-aligned pairs (rows, columns) with rows ≤ columns that `fill_skew` asks a block for, in its order."""
    tiles = [slice(start, min(start + TILE, n)) for start in range(0, n, TILE)]
    for i, rows in enumerate(tiles):
        for columns in tiles[i:]:
            yield rows, columns
