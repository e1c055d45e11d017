"""A as one array of one or two bytes an entry."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Self

import jax
import numpy as np

from nashgames.core.margins import elements, sweep
from nashgames.core.margins.platforms import by_platform
from nashgames.core.margins.tiles import (
    block_height,
    check_margins,
    check_one_context,
    contexts_of,
    empty,
    fill_skew,
    tiles_above,
    written_out,
)

_HEIGHT, _WIDTH = 128, 8192
"""Rows and columns of A, at most, that are converted to floats at once: 4 MB in float32, which stay in the cache."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class HalfMargins:
    """A = s·K with integers K `[n, n]` in int8 where that is the game, otherwise A rounded to bfloat16, with s = 1.

    `values` is K, or the bits of the bfloat16 entries, `[n, n]` or `[m, n, n]`; `scale` s, a scalar or `[m]`, has the
    type in which entries come out and products are summed. The stored numbers are the game: runs, metrics, equilibria
    and certificates are of them. Whole multiples are the float64 entries to a few units of rounding; bfloat16 is off by
    up to 2⁻⁸ of an entry.
    """

    storage: ClassVar[str] = "half"
    values: Any
    scale: Any

    @classmethod
    def bytes_of(cls, n: int, contexts: int, dtype_bytes: int, numbers: int = 0) -> int:
        return contexts * n**2 * elements.BYTES + contexts * dtype_bytes

    @classmethod
    def filled(cls, n: int, blocks: Sequence[Callable[[slice, slice], np.ndarray]], dtype: Any) -> Self:
        """From the blocks above the diagonal, as `DenseMargins.filled`: one pass to find the scale, one to fill."""
        scales = scales_of(n, blocks)
        exact = None not in scales
        values = empty((len(blocks), n, n), np.int8 if exact else elements.BITS)
        for out, block, scale in zip(values, blocks, scales, strict=True):
            fill_skew(out, block, partial(elements.small, scale=scale if exact else None), elements.negative)
        kept = np.array(scales if exact else [1] * len(blocks), dtype)
        return cls(values, kept) if len(blocks) > 1 else cls(values[0], kept[0])

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape

    @property
    def dtype(self) -> np.dtype:
        return self.scale.dtype

    @property
    def nbytes(self) -> int:
        return self.values.nbytes + self.scale.nbytes

    def matvec(self, policy: jax.Array) -> jax.Array:
        """Aπ = s(Kπ), summed in the type of the policies."""
        return margins_product(self.values, self.scale, policy)

    def entries(self, rows: jax.Array, columns: jax.Array) -> jax.Array:
        return margins_entries(self.values, self.scale, rows, columns)

    def of_context(self, context: int) -> Self:
        return type(self)(self.values[context], self.scale[context]) if len(self.shape) == 3 else self

    def blocks(self, height: int | None = None) -> Iterator[tuple[slice, np.ndarray]]:
        n = self.shape[-1]
        height = height or block_height(n)
        for start in range(0, n, height):
            rows = slice(start, min(start + height, n))
            yield rows, self._read(rows)

    def submatrix(self, actions: np.ndarray) -> np.ndarray:
        return self._read(np.ix_(actions, actions))

    def lookup(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        return self._read((rows, columns))

    def to_dense(self) -> np.ndarray:
        return written_out(self)

    def check(self) -> None:
        for each in contexts_of(self):
            check_margins(_Entries(each))

    @classmethod
    def stack(cls, margins: Sequence[Self]) -> Self:
        if len(margins) == 1:
            return margins[0]
        elements.check_one_kind([each.values.dtype for each in margins])
        values = empty((len(margins), *margins[0].shape), margins[0].values.dtype)
        for out, each in zip(values, margins, strict=True):
            out[...] = each.values
        return cls(values, np.stack([each.scale for each in margins]))

    def place(self, device: Any, dtype: Any) -> Self:
        """The entries stay as they are; the scale takes the dtype of the policies."""
        return type(self)(jax.device_put(self.values, device), jax.device_put(np.asarray(self.scale, dtype), device))

    def _read(self, index: Any) -> np.ndarray:
        check_one_context(self.shape)
        return elements.numbers(np.asarray(self.values)[index], np.asarray(self.scale))


@dataclass(frozen=True)
class _Entries:
    """The entries of one context, read like those of an array."""

    margins: HalfMargins

    def __len__(self) -> int:
        return self.margins.shape[-1]

    def __getitem__(self, index: Any, /) -> np.ndarray:
        return self.margins._read(index)


def scales_of(n: int, blocks: Sequence[Callable[[slice, slice], np.ndarray]]) -> list[float | None]:
    """The scale of every context, or None as soon as the entries of one are not whole multiples."""
    found: list[float | None] = []
    for block in blocks:
        found.append(None if None in found else elements.scale_of(partial(_upper, n, block)))
    return found


def _upper(n: int, block: Callable[[slice, slice], np.ndarray]) -> elements.Tiles:
    for rows, columns in tiles_above(n):
        values = block(rows, columns)
        yield np.triu(values, 1) if rows == columns else values


@partial(jax.jit, inline=False)
def margins_product(values: jax.Array, scale: jax.Array, policy: jax.Array) -> jax.Array:
    # Dense margins, the usual ones, are there before Pallas is imported.
    from nashgames.core.margins import kernels

    if policy.ndim > 1:
        return jax.vmap(margins_product)(values, scale, policy)
    return scale * by_platform(kernels.half, xla_product, values, policy, entries=True)


def xla_product(values: jax.Array, policy: jax.Array) -> jax.Array:
    """Kπ `[n]` from blocks of rows that are made numbers one after the other."""
    n = policy.shape[-1]
    (_, height), (_, width) = sweep.cut(n, _HEIGHT), sweep.cut(n, _WIDTH)

    def rows(first_row: jax.Array, first_column: jax.Array) -> jax.Array:
        piece = jax.lax.dynamic_slice(values, (first_row, first_column), (height, width))
        return elements.wide(piece, policy.dtype)

    return sweep.by_rows(rows, policy, height, width)


@partial(jax.jit, inline=False)
def margins_entries(values: jax.Array, scale: jax.Array, rows: jax.Array, columns: jax.Array) -> jax.Array:
    if rows.ndim > 1:
        return jax.vmap(margins_entries)(values, scale, rows, columns)
    return scale * elements.wide(values[rows, columns], scale.dtype)
