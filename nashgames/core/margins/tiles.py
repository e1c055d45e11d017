"""Skew-symmetric arrays `[n, n]` filled, walked and checked block by block, so that no second one is made."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from nashgames.errors import NashGamesError

TILE = 1024
"""Rows and columns of a block of margins: 8 MB in float64, a few of which any machine has beside A.

Families draw independent entries tile by tile, each from a stream of its own: another number means other games.
"""

_ALIGNMENT = 64
"""Bytes; XLA takes NumPy memory for a CPU array without a copy when its address is a multiple of this."""

_ROUNDING = 1e-6
"""How far entries may be off: margins computed from probabilities in float32 carry a few units of 2⁻²⁴ ≈ 6e-8."""


def empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An uninitialised array aligned so that a CPU device uses it in place instead of copying it."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    buffer = np.empty(size + _ALIGNMENT, np.uint8)
    start = -buffer.ctypes.data % _ALIGNMENT
    return buffer[start : start + size].view(dtype).reshape(shape)


def tiles_above(n: int) -> Iterator[tuple[slice, slice]]:
    """The TILE-aligned pairs (rows, columns) with rows ≤ columns that `fill_skew` asks a block for, in its order."""
    tiles = [slice(start, min(start + TILE, n)) for start in range(0, n, TILE)]
    for i, rows in enumerate(tiles):
        for columns in tiles[i:]:
            yield rows, columns


def block_height(n: int) -> int:
    """Rows of a block over all n columns that is a quarter of a tile: its temporaries stay about one tile together."""
    return max(1, TILE * TILE // (4 * n))


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
