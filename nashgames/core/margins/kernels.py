"""Products with A as Triton kernels, for GPUs: what is made of A in registers is used there and forgotten.

Triton's blocks have powers of two for sides. Sums are in the type of the policies and in one order, without atomic
additions, so that a product has the same bits every time. Policies are `[l, n]`: one of them is multiplied and summed,
several meet the entries in matrix products at full precision. Sizes of blocks and numbers of warps are those with which
compilers for an H100 (sm_90a) keep everything in registers, but for some hundred bytes a thread of batches in float64;
no time has been measured on a GPU yet: `benchmarks/gpu.py` does that.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton

from nashgames.core.margins import elements

_ROWS, _COLUMNS = 64, 64
"""Rows and columns of a block: 16 KB in float32, 32 registers of each thread of four warps."""

_STRIP = 128
"""Columns of a block of entries of one or two bytes that meet one policy: whole lines of 128 bytes are read."""

_LANES = 64
"""Policies that meet a block together at most: their sums take as many registers as the block."""

_FEWEST = 16
"""The shortest side of a matrix product in Triton: fewer policies are followed by zeros."""

_WARPS, _WARPS_OF_SEVERAL = 4, 8
"""Of a program with one policy and with several, whose sums need the registers of more threads."""

_TILES, _TILES_OF_SEVERAL = 64, 32
"""Tiles of a formula a side at most: as many sums are kept of every policy, 0.5 GB of one with a million actions."""

_SIDE = 1024
"""Actions of such a tile at least: 25,000 actions have 325, two for each multiprocessor of an H100."""

_FEATURES = 64
"""Numbers of a factor at most: a block of each factor is in registers too."""

_ADDED = 256
"""Sums of one program that adds up what tiles have given: two a thread."""


def half(values: jax.Array, policies: jax.Array, *, interpret: bool = False) -> jax.Array:
    """Kπ `[l, n]` for entries K `[n, n]` of one or two bytes, made numbers of the policies' type in registers."""
    n, dtype = policies.shape[-1], policies.dtype
    lanes, given = _in_lanes(policies)

    def kernel(values_ref: Any, given_ref: Any, found_ref: Any) -> None:
        first = pl.program_id(0) * _ROWS
        own = _lanes_of(lanes, pl.program_id(1))
        keep = _within(first, _ROWS, n)

        def add(c: jax.Array, total: jax.Array) -> jax.Array:
            start = c * _STRIP
            held = _within(start, _STRIP, n)
            place = pl.ds(first, _ROWS), pl.ds(start, _STRIP)
            piece = _load(values_ref.at[place], keep[:, None] & held[None])
            policy = _load(given_ref.at[own, place[1]], _lane_mask(lanes, held))
            return _gather(total, _numbers_of(piece, dtype, lanes), policy)

        total = _loop(pl.cdiv(n, _STRIP), add, _empty_sum(lanes, _STRIP, dtype))
        triton.store(found_ref.at[own, pl.ds(first, _ROWS)], _summed(total, lanes), mask=_lane_mask(lanes, keep))

    grid = (pl.cdiv(n, _ROWS), len(given) // lanes)
    shape = _shape(given.shape, dtype)
    return _call(kernel, grid, shape, lanes, interpret)(values, given)[: len(policies)]


def packed(tiles: jax.Array, policies: jax.Array, *, interpret: bool = False) -> jax.Array:
    """Kπ `[l, n]` from the tiles `[t, b, b]` on and above the diagonal of K: each is read once."""
    n, dtype, size = policies.shape[-1], policies.dtype, tiles.shape[-1]
    count = -(-n // size)
    lanes, given = _in_lanes(policies, count * size)
    width = _STRIP if tiles.dtype.itemsize <= elements.BYTES and lanes == 1 else _COLUMNS

    def tile(refs: Any, t: Any, i: Any, j: Any, first: Any, start: Any) -> jax.Array:
        whole = size % _ROWS == size % width == 0
        mask = None if whole else _within(first, _ROWS, size)[:, None] & _within(start, width, size)[None]
        place = refs[0].at[t, pl.ds(first, _ROWS), pl.ds(start, width)]
        return _numbers_of(_load(place, mask), dtype, lanes)

    # One policy has a program for every strip of a tile: 1 / 64 of its entries in sums. Several have one for a tile.
    parts = pl.cdiv(size, _ROWS) if lanes == 1 else 1
    return _by_tiles(tile, (tiles,), given, (count, size, parts, width, lanes), interpret)[: len(policies), :n]


def logistic(factors: tuple[jax.Array, jax.Array], policies: jax.Array, *, interpret: bool = False) -> jax.Array:
    """Aπ `[l, n]` for A_ij = ½ tanh(½ (l_i·r_j − r_i·l_j)) with factors L and R `[n, k]`: O(n·k) memory.

    Each entry above the diagonal is made once, in registers.
    """
    (left, right), dtype = factors, policies.dtype
    n, features = left.shape
    count = min(_TILES if len(policies) == 1 else _TILES_OF_SEVERAL, pl.cdiv(n, _SIDE))
    size = pl.cdiv(pl.cdiv(n, count), _ROWS) * _ROWS
    lanes, given = _in_lanes(policies, count * size)

    width = max(_FEWEST, pl.next_power_of_2(2 * features))

    def beside(first: jax.Array, second: jax.Array) -> jax.Array:
        """`[n, 2k]`, and zeros beyond both, whose entries meet the zeros of the policy."""
        values = jnp.concatenate([first, second], axis=1).astype(dtype)
        return jnp.pad(values, ((0, count * size - n), (0, width - 2 * features)))

    def tile(refs: Any, t: Any, i: Any, j: Any, first: Any, start: Any) -> jax.Array:
        ours = refs[0][pl.ds(i * size + first, _ROWS), :]
        theirs = refs[1][pl.ds(j * size + start, _COLUMNS), :]
        above = (i < j) | (_numbers(first, _ROWS)[:, None] < _numbers(start, _COLUMNS)[None])
        return jnp.where(above, 0.5 * jnp.tanh(_dot(ours, theirs.T)), 0)

    made = beside(0.5 * left, 0.5 * right), beside(right, -left)
    return _by_tiles(tile, made, given, (count, size, 1, _COLUMNS, lanes), interpret)[: len(policies), :n]


def can_stream(factor: jax.Array) -> bool:
    """Whether `logistic` takes factors of this many features."""
    return factor.shape[-1] <= _FEATURES


def _by_tiles(
    tile: Callable[..., jax.Array],
    stored: tuple[jax.Array, ...],
    given: jax.Array,
    sizes: tuple[int, int, int, int, int],
    interpret: bool,
) -> jax.Array:
    """Kπ `[l, n]` from the tiles T_ij, i ≤ j, of K: T π_j for the rows i, and −Tᵀ π_i for the rows j, of one T.

    `tile(refs, t, i, j, row, column)` is a block of tile t in registers. A program has the rows of one of `parts` of
    a tile and some lanes. Every sum has a place of its own, and XLA adds them in the end.
    """
    count, size, parts, width, lanes = sizes
    dtype, tall = given.dtype, pl.cdiv(pl.cdiv(size, parts), _ROWS)
    numbered = np.triu_indices(count)
    where = jnp.asarray(np.stack(numbered), jnp.int32)

    def kernel(where_ref: Any, given_ref: Any, *all_refs: Any) -> None:
        *refs, rows_ref, columns_ref = all_refs
        t, part, group = (pl.program_id(axis) for axis in range(3))
        i, j = where_ref[0, t], where_ref[1, t]
        own = _lanes_of(lanes, group)

        def policy(side: Any, start: Any, length: int) -> tuple[jax.Array, jax.Array]:
            held = _lane_mask(lanes, _within(start, length, size))
            return _load(given_ref.at[own, pl.ds(side * size + start, length)], held), held

        def strip(r: jax.Array, nothing: None) -> None:
            first = (part * tall + r) * _ROWS
            mine, kept = policy(i, first, _ROWS)

            def add(c: jax.Array, total: jax.Array) -> jax.Array:
                start = c * width
                theirs, held = policy(j, start, width)
                values = tile(refs, t, i, j, first, start)
                below = _against(mine, values)
                place = columns_ref.at[t, part, own, pl.ds(start, width)]
                if tall > 1:
                    # Of the first strip there is nothing yet but what the memory held before.
                    below = below + jnp.where(r > 0, _load(place, held), 0)
                triton.store(place, below, mask=held)
                return _gather(total, values, theirs)

            total = _loop(pl.cdiv(size, width), add, _empty_sum(lanes, width, dtype))
            triton.store(rows_ref.at[t, own, pl.ds(first, _ROWS)], _summed(total, lanes), mask=kept)
            if tall > 1 and not interpret:
                # The next strip adds to what other threads of this program have stored.
                triton.debug_barrier()
            return nothing

        _loop(tall, strip, None)

    tiles, width_of_all = len(numbered[0]), len(given)
    shapes = (
        _shape((tiles, width_of_all, size), dtype),
        _shape((tiles, parts, width_of_all, size), dtype),
    )
    grid = (tiles, parts, width_of_all // lanes)
    of_rows, of_columns = _call(kernel, grid, shapes, lanes, interpret)(where, given, *stored)
    return _collected(of_rows, of_columns, count, interpret)


def _collected(of_rows: jax.Array, of_columns: jax.Array, count: int, interpret: bool) -> jax.Array:
    """`[l, count·b]` from what tiles give to their rows `[t, l, b]` and take from their columns `[t, parts, l, b]`."""
    _, parts, lanes, size = of_columns.shape

    def kernel(rows_ref: Any, columns_ref: Any, found_ref: Any) -> None:
        i, lane, first = (pl.program_id(axis) for axis in range(3))
        place = pl.ds(first * _ADDED, _ADDED)
        held = _within(first * _ADDED, _ADDED, size)

        def add(j: jax.Array, total: jax.Array) -> jax.Array:
            low, high = jnp.minimum(i, j), jnp.maximum(i, j)
            t = low * count - low * (low - 1) // 2 + high - low
            given = _load(rows_ref.at[t, lane, place], held & (i <= j))
            # Written out, so that all are on their way at once.
            taken = [_load(columns_ref.at[t, np.int32(part), lane, place], held & (j <= i)) for part in range(parts)]
            return total + (given - sum(taken))

        total = _loop(count, add, jnp.zeros(_ADDED, of_rows.dtype))
        triton.store(found_ref.at[lane, i, place], total, mask=held)

    shape = _shape((lanes, count, size), of_rows.dtype)
    found = _call(kernel, (count, lanes, pl.cdiv(size, _ADDED)), shape, 1, interpret)(of_rows, of_columns)
    return found.reshape(lanes, -1)


def _call(kernel: Any, grid: tuple[int, ...], shape: Any, lanes: int, interpret: bool) -> Any:
    warps = _WARPS if lanes == 1 else _WARPS_OF_SEVERAL
    parameters = triton.CompilerParams(num_warps=warps)
    return pl.pallas_call(kernel, out_shape=shape, grid=grid, compiler_params=parameters, interpret=interpret)


def _shape(shape: tuple[int, ...], dtype: Any) -> Any:
    return jax.ShapeDtypeStruct(shape, dtype)  # type: ignore[no-untyped-call]


def _in_lanes(policies: jax.Array, length: int | None = None) -> tuple[int, jax.Array]:
    """How many policies meet a block together, and policies that are a multiple of that, with zeros beyond n."""
    count, n = policies.shape
    lanes = 1 if count == 1 else min(_LANES, max(_FEWEST, 2 ** math.ceil(math.log2(count))))
    beyond = ((0, -count % lanes), (0, (length or n) - n))
    return lanes, jnp.pad(policies, beyond)


def _lanes_of(lanes: int, group: Any) -> Any:
    """The index of the policies of a program: of one policy without an axis over them."""
    return group if lanes == 1 else pl.ds(group * lanes, lanes)


def _within(start: Any, length: int, end: int) -> jax.Array:
    return _numbers(start, length) < end


def _numbers(start: Any, length: int) -> jax.Array:
    return start + jnp.arange(length, dtype=jnp.int32)


def _loop(count: int, body: Any, start: Any) -> Any:
    # Indices of one place must have one type, and a loop's own has that of Python's numbers.
    return jax.lax.fori_loop(0, count, lambda k, carried: body(jnp.int32(k), carried), start)


def _lane_mask(lanes: int, held: jax.Array) -> jax.Array:
    return held if lanes == 1 else jnp.broadcast_to(held[None], (lanes, len(held)))


def _load(ref: Any, mask: jax.Array | None) -> jax.Array:
    return triton.load(ref, mask=mask, other=None if mask is None else 0)


def _numbers_of(values: jax.Array, dtype: Any, lanes: int) -> jax.Array:
    """Entries as numbers: small ones that meet several policies in float32 as bfloat16, which holds them exactly."""
    exact = values.dtype.itemsize <= elements.BYTES and dtype == jnp.float32 and lanes > 1
    return elements.wide(values, jnp.bfloat16 if exact else dtype)


def _empty_sum(lanes: int, width: int, dtype: Any) -> jax.Array:
    """One policy is summed over columns once, in the end."""
    return jnp.zeros((_ROWS, width) if lanes == 1 else (lanes, _ROWS), dtype)


def _gather(total: jax.Array, values: jax.Array, policy: jax.Array) -> jax.Array:
    """The sum so far and values·policy."""
    return total + (values * policy[None] if policy.ndim == 1 else _dot(policy, values.T))


def _summed(total: jax.Array, lanes: int) -> jax.Array:
    return jnp.sum(total, axis=1) if lanes == 1 else total


def _against(policy: jax.Array, values: jax.Array) -> jax.Array:
    """policy·values `[c]`, `[l, c]`."""
    return jnp.sum(values * policy[:, None], axis=0) if policy.ndim == 1 else _dot(policy, values)


def _dot(first: jax.Array, second: jax.Array) -> jax.Array:
    """first·second at full precision, in the units for matrices.

    Float32 is three numbers of eight bits, whose products these units add in float32: left out is what is below 2⁻³² of
    the largest. Triton has no other product at full precision that keeps its numbers in registers.
    """
    if first.dtype == jnp.float64:
        return jnp.dot(first, second)
    ones, others = _parts(first), _parts(second)
    products = [
        jnp.dot(one, other, preferred_element_type=jnp.float32)
        # The small ones first.
        for i, one in reversed([*enumerate(ones)])
        for j, other in reversed([*enumerate(others)])
        if i + j < 4
    ]
    return sum(products[1:], products[0])


def _parts(values: jax.Array) -> list[jax.Array]:
    """Numbers in bfloat16 that add up to float32 ones."""
    if values.dtype == jnp.bfloat16:
        return [values]
    parts = []
    for _ in range(3):
        bits = jax.lax.bitcast_convert_type(values, jnp.uint32) & np.uint32(0xFFFF0000)
        upper = jax.lax.bitcast_convert_type(bits, jnp.float32)
        parts.append(upper.astype(jnp.bfloat16))
        values = values - upper
    return parts
