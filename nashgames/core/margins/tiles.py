"""Skew-symmetric arrays `[n, n]` filled, walked and checked block by block, so that no second one is made."""

import math
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np

from nashgames.errors import NashGamesError

TILE = 1024
"""Rows and columns of a block of margins: 8 MB in float64, a few of which any machine has beside A.

Families draw independent entries tile by tile, each from a stream of its own: another number means other games.
"""

MOST_DENSE = 2**31
"""Bytes of A that `to_dense` returns at most, over all contexts together: 16,384 actions in float64, 23,170 in float32.

The largest games that `benchmarks/memory.py` plays in full, exact equilibrium included, have this size. Code that needs
all of a larger A would factorise it or make more arrays of its size: hours, and memory that few machines have.
"""

LISTED = 8192
"""Actions up to which a check of computed entries covers all pairs: half a second of work."""

_DRAWN = 64
"""Quarter-tile blocks that the check samples in larger games, which takes as long."""

_ALIGNMENT = 64
"""Bytes; XLA takes NumPy memory for a CPU array without a copy when its address is a multiple of this."""

ROUNDING = 1e-6
"""How far entries may be off: margins computed from probabilities in float32 carry a few units of 2⁻²⁴ ≈ 6e-8."""


def empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An uninitialised array aligned so that a CPU device uses it in place instead of copying it."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    buffer = np.empty(size + _ALIGNMENT, np.uint8)
    start = -buffer.ctypes.data % _ALIGNMENT
    return buffer[start : start + size].view(dtype).reshape(shape)


def of_dtype(values: Any, dtype: Any) -> Any:
    """The array itself where it has the dtype; otherwise a converted one that a CPU device uses in place."""
    if values.dtype == dtype:
        return values
    out = empty(values.shape, dtype)
    out[...] = values
    return out


def tiles_above(n: int) -> Iterator[tuple[slice, slice]]:
    """The TILE-aligned pairs (rows, columns) with rows ≤ columns that `fill_skew` asks a block for, in its order."""
    tiles = [slice(start, min(start + TILE, n)) for start in range(0, n, TILE)]
    for i, rows in enumerate(tiles):
        for columns in tiles[i:]:
            yield rows, columns


def block_height(n: int) -> int:
    """Rows of a block over all n columns that is a quarter of a tile: its temporaries stay about one tile together."""
    return max(1, TILE * TILE // (4 * n))


def fill_skew(
    out: np.ndarray,
    block: Callable[[slice, slice], np.ndarray],
    kept: Callable[[np.ndarray], np.ndarray] = np.asarray,
    negative: Callable[[np.ndarray], np.ndarray] = np.negative,
) -> None:
    """Fill `out` `[n, n]` with a skew-symmetric matrix from its blocks on and above the diagonal.

    `block(rows, columns)` is called once for every pair of TILE-aligned slices with rows ≤ columns and returns
    float64 margins; of a diagonal block only the part above the diagonal is used. `kept` converts entries to the form
    in which `out` stores them, and `negative` negates entries in that form. No second matrix is made.
    """
    for rows, columns in tiles_above(out.shape[0]):
        values = block(rows, columns)
        if rows == columns:
            values = np.triu(values, 1)
            values = values - values.T
        values = kept(values)
        out[rows, columns] = values
        out[columns, rows] = negative(values.T)


class Readable(Protocol):
    """An array `[n, n]`, or an object that is sliced like one."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any, /) -> Any: ...


def check_margins(margins: Readable) -> None:
    """Raise NashGamesError, naming an entry, unless A `[n, n]` is skew-symmetric to rounding with entries in [−½, ½].

    Works by blocks: no second matrix is made.
    """
    for rows, columns in tiles_above(len(margins)):
        block, mirrored = margins[rows, columns], margins[columns, rows].T
        # A comparison with NaN is false: what is not a number is refused as well.
        held = (np.abs(block) <= 0.5 + ROUNDING) & (np.abs(block + mirrored) <= ROUNDING)
        if not held.all():
            i, j = np.argwhere(~held)[0] + (rows.start, columns.start)
            here, there = block[i - rows.start, j - columns.start], mirrored[i - rows.start, j - columns.start]
            found = f"margins[{i}, {j}] is {here:g}" + (f" and margins[{j}, {i}] is {there:g}" if i != j else "")
            raise NashGamesError(
                f"{found}; accepted: "
                f"A = P − ½ in [−½, ½] with A[j, i] = −A[i, j] (subtract ½ from probabilities, rescale payoffs)"
            )


def check_size(values: np.ndarray) -> None:
    """Raise NashGamesError unless all entries, of margins that are skew by construction, are in [−½, ½]."""
    largest = float(np.max(np.abs(values), initial=0))
    # Written so that NaN is refused too.
    if not largest <= 0.5 + ROUNDING:
        raise NashGamesError(f"margins have an entry of size {largest:g}; accepted: at most 0.5")


def sampled(n: int) -> Iterator[tuple[Any, Any]]:
    """Rows and columns of blocks to check: all pairs up to 8,192 actions, beyond 16 million drawn pairs."""
    if n <= LISTED:
        yield from tiles_above(n)
        return
    rng = np.random.default_rng(0)
    for _ in range(_DRAWN):
        yield tuple(rng.integers(n, size=(2, TILE // 2)))


def written_out(margins: Any) -> np.ndarray:
    """All of A from the blocks of each context: `to_dense` of margins that are stored in another form.

    Raises NashGamesError above MOST_DENSE bytes.
    """
    size = math.prod(margins.shape) * margins.dtype.itemsize
    if size > MOST_DENSE:
        raise NashGamesError(
            f"all margins of {margins.shape[-1]:,} actions are needed at once, which would take {size / 2**30:.1f} "
            f"GiB; accepted: at most {MOST_DENSE // 2**30} GiB; use a smaller game"
        )
    parts = [np.concatenate([rows for _, rows in each.blocks()]) for each in contexts_of(margins)]
    return np.stack(parts).reshape(margins.shape)


def contexts_of(margins: Any) -> list[Any]:
    """The margins `[n, n]` of every context."""
    return [margins.of_context(x) for x in range(margins.shape[0] if len(margins.shape) == 3 else 1)]


def check_one_context(shape: tuple[int, ...]) -> None:
    """Raise ValueError where margins have several contexts, of which one has to be taken first."""
    if len(shape) != 2:
        raise ValueError(f"margins {list(shape)} have several contexts; take of_context first")
