"""A as the tiles on and above its diagonal: half the memory, and half of what a product reads."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np

from nashgames.core.margins import elements, sweep
from nashgames.core.margins.half import scales_of
from nashgames.core.margins.platforms import by_platform
from nashgames.core.margins.tiles import (
    block_height,
    check_one_context,
    check_size,
    contexts_of,
    empty,
    tiles_above,
    written_out,
)

_SIDE = 1024
"""Rows and columns of a tile, at most: 4 MB in float32, read from memory once and from the cache the second time."""

_EVEN = 16
"""The side of a tile is a multiple of this, 64 bytes in float32, where there are several."""

_ROWS = 64
"""Rows of a block at least: of fewer, every line of the cache would be read several times for what lies below the
diagonal."""

Block = Callable[[slice, slice], np.ndarray]


@partial(jax.tree_util.register_dataclass, data_fields=["tiles", "scale"], meta_fields=["n"])
@dataclass(frozen=True)
class PackedMargins:
    """The upper triangle of A in tiles T_IJ, I ≤ J: Aπ has T_IJ π_J in the rows I and −T_IJᵀ π_I in the rows J.

    `tiles` is `[t, b, b]`, or `[m, t, b, b]` over contexts, row of tiles by row of tiles; on the diagonal a tile has
    zeros on and below its own, and beyond n all have. `scale` is 1, a scalar or `[m]`, in the type of the entries.
    Skew-symmetric by construction.
    """

    storage: ClassVar[str] = "packed"
    tiles: Any
    scale: Any
    n: int

    @classmethod
    def bytes_of(cls, n: int, contexts: int, dtype_bytes: int, numbers: int = 0) -> int:
        return contexts * (_tiles_of(n) * dtype_bytes + dtype_bytes)

    @classmethod
    def filled(cls, n: int, blocks: Sequence[Block], dtype: Any, half: bool = False) -> "PackedMargins":
        """From the blocks above the diagonal, as `DenseMargins.filled`; `half` has the entries of `HalfMargins`."""
        scales = scales_of(n, blocks) if half else [None] * len(blocks)
        exact = None not in scales
        count, size = grid(n)
        kind = np.dtype(dtype) if not half else np.dtype(np.int8) if exact else elements.BITS
        tiles = empty((len(blocks), count * (count + 1) // 2, size, size), kind)
        for out, block, scale in zip(tiles, blocks, scales, strict=True):
            _fill(
                out,
                n,
                block,
                (lambda values: values) if not half else partial(elements.small, scale=scale if exact else None),
            )
        kept = np.array(scales if exact else [1] * len(blocks), dtype)
        made = PackedHalfMargins if half else PackedMargins
        return made(tiles, kept, n) if len(blocks) > 1 else made(tiles[0], kept[0], n)

    @property
    def shape(self) -> tuple[int, ...]:
        return (*self.tiles.shape[:-3], self.n, self.n)

    @property
    def dtype(self) -> np.dtype:
        return self.scale.dtype

    @property
    def nbytes(self) -> int:
        return self.tiles.nbytes + self.scale.nbytes

    def matvec(self, policy: jax.Array) -> jax.Array:
        """Aπ, every tile read once, at full precision on every device."""
        return margins_product(self.tiles, self.scale, policy)

    def entries(self, rows: jax.Array, columns: jax.Array) -> jax.Array:
        return margins_entries(self.tiles, self.scale, rows, columns, n=self.n)

    def of_context(self, context: int) -> Self:
        return type(self)(self.tiles[context], self.scale[context], self.n) if len(self.shape) == 3 else self

    def blocks(self, height: int | None = None) -> Iterator[tuple[slice, np.ndarray]]:
        check_one_context(self.shape)
        height = height or max(_ROWS, block_height(self.n))
        for start in range(0, self.n, height):
            rows = slice(start, min(start + height, self.n))
            yield rows, self._rows(rows)

    def submatrix(self, actions: np.ndarray) -> np.ndarray:
        return self.lookup(*np.broadcast_arrays(actions[:, None], actions[None]))

    def lookup(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        check_one_context(self.shape)
        index, sign = _place(np.asarray(rows), np.asarray(columns), *grid(self.n), xp=np)
        return sign.astype(self.dtype) * elements.numbers(np.asarray(self.tiles)[index], np.asarray(self.scale))

    def to_dense(self) -> np.ndarray:
        return written_out(self)

    def check(self) -> None:
        for each in contexts_of(self):
            for tile in np.asarray(each.tiles):
                check_size(elements.numbers(tile, np.asarray(each.scale)))

    @classmethod
    def stack(cls, margins: Sequence[Self]) -> Self:
        if len(margins) == 1:
            return margins[0]
        elements.check_one_kind([each.tiles.dtype for each in margins])
        tiles = empty((len(margins), *margins[0].tiles.shape), margins[0].tiles.dtype)
        for out, each in zip(tiles, margins, strict=True):
            out[...] = each.tiles
        return cls(tiles, np.stack([each.scale for each in margins]), margins[0].n)

    def place(self, device: Any, dtype: Any) -> Self:
        """Entries of one or two bytes stay as they are; others take the dtype of the policies, as the scale does."""
        small = self.tiles.dtype.itemsize <= elements.BYTES
        tiles = self.tiles if small or self.tiles.dtype == dtype else np.asarray(self.tiles, dtype)
        scale = np.asarray(self.scale, dtype)
        return type(self)(jax.device_put(tiles, device), jax.device_put(scale, device), self.n)

    def _rows(self, rows: slice) -> np.ndarray:
        """A[rows] `[h, n]`."""
        count, size = grid(self.n)
        out = np.empty((rows.stop - rows.start, count * size), self.dtype)
        for i in range(rows.start // size, (rows.stop - 1) // size + 1):
            own = slice(max(rows.start - i * size, 0), min(rows.stop - i * size, size))
            into = slice(own.start + i * size - rows.start, own.stop + i * size - rows.start)
            for j in range(count):
                out[into, j * size : (j + 1) * size] = self._part(i, j, own)
        return out[:, : self.n]

    def _part(self, i: int, j: int, rows: slice) -> np.ndarray:
        """Some rows of the tile of A at (i, j), wherever it lies."""
        tile = np.asarray(self.tiles)[_number(min(i, j), max(i, j), grid(self.n)[0])]
        upper, lower = (elements.numbers(part, np.asarray(self.scale)) for part in (tile[rows], tile[:, rows].T))
        return upper if i < j else -lower if i > j else upper - lower


@partial(jax.tree_util.register_dataclass, data_fields=["tiles", "scale"], meta_fields=["n"])
@dataclass(frozen=True)
class PackedHalfMargins(PackedMargins):
    """The tiles of `packed` with the entries of `half`: integers in int8 times a scale, or bfloat16."""

    storage: ClassVar[str] = "packed-half"

    @classmethod
    def bytes_of(cls, n: int, contexts: int, dtype_bytes: int, numbers: int = 0) -> int:
        return contexts * (_tiles_of(n) * elements.BYTES + dtype_bytes)

    @classmethod
    def filled(cls, n: int, blocks: Sequence[Block], dtype: Any, half: bool = True) -> PackedMargins:
        return PackedMargins.filled(n, blocks, dtype, half)


def grid(n: int) -> tuple[int, int]:
    """The number of tiles along a side of A `[n, n]`, and the rows of a tile: as even as possible, so that there is
    little padding beyond n."""
    count, side = sweep.cut(n, _SIDE)
    return count, side if count == 1 else -(-side // _EVEN) * _EVEN


def _tiles_of(n: int) -> int:
    """Entries of all tiles."""
    count, size = grid(n)
    return count * (count + 1) // 2 * size**2


def _number(i: Any, j: Any, count: int) -> Any:
    """The index of the tile (i, j), i ≤ j, in the order in which tiles are stored."""
    return i * count - i * (i - 1) // 2 + j - i


def _fill(out: np.ndarray, n: int, block: Block, kept: Callable[[np.ndarray], np.ndarray]) -> None:
    """Fill the tiles `[t, b, b]` from blocks, which lie on a grid of their own."""
    count, size = grid(n)
    out[...] = 0
    for rows, columns in tiles_above(n):
        values = block(rows, columns)
        values = kept(np.triu(values, 1) if rows == columns else values)
        for i in range(rows.start // size, (rows.stop - 1) // size + 1):
            for j in range(max(i, columns.start // size), (columns.stop - 1) // size + 1):
                (from_rows, to_rows), (from_columns, to_columns) = (
                    _common(rows, i * size, size),
                    _common(columns, j * size, size),
                )
                out[_number(i, j, count)][to_rows, to_columns] = values[from_rows, from_columns]


def _common(block: slice, start: int, size: int) -> tuple[slice, slice]:
    """The overlap of a block and the tile that begins at `start`, as slices of each."""
    first, last = max(block.start, start), min(block.stop, start + size)
    return slice(first - block.start, last - block.start), slice(first - start, last - start)


def _place(rows: Any, columns: Any, count: int, size: int, xp: Any) -> tuple[tuple[Any, Any, Any], Any]:
    """Where A[rows, columns] are stored, as indices (tile, row, column) on or above the diagonal, and their signs."""
    low, high = xp.minimum(rows, columns), xp.maximum(rows, columns)
    number = _number(low // size, high // size, count)
    return (number, low % size, high % size), xp.sign(columns - rows)


@partial(jax.jit, inline=False)
def margins_product(tiles: jax.Array, scale: jax.Array, policy: jax.Array) -> jax.Array:
    # Dense margins, the usual ones, are there before Pallas is imported.
    from nashgames.core.margins import kernels

    if policy.ndim > 1:
        return jax.vmap(margins_product)(tiles, scale, policy)
    return scale * by_platform(kernels.packed, xla_product, tiles, policy, entries=True)


def xla_product(tiles: jax.Array, policy: jax.Array) -> jax.Array:
    """Kπ `[n]` from tiles that are made numbers one after the other."""
    count, size = grid(policy.shape[-1])

    def tile(t: jax.Array, i: jax.Array, j: jax.Array) -> jax.Array:
        return elements.wide(jax.lax.dynamic_index_in_dim(tiles, t, keepdims=False), policy.dtype)

    return sweep.by_tiles(tile, policy, count, size)


@partial(jax.jit, inline=False, static_argnames="n")
def margins_entries(tiles: jax.Array, scale: jax.Array, rows: jax.Array, columns: jax.Array, *, n: int) -> jax.Array:
    if rows.ndim > 1:
        return jax.vmap(partial(margins_entries, n=n))(tiles, scale, rows, columns)
    index, sign = _place(rows, columns, *grid(n), xp=jnp)
    return scale * sign.astype(scale.dtype) * elements.wide(tiles[index], scale.dtype)
