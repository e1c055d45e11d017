"""Aπ piece by piece in one compiled loop: rows block by block, or every tile above the diagonal used twice.

A piece is made inside the loop, used, and gone: what it was made from is read once, and all runs of a batch share it.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

Rows = Callable[[jax.Array, jax.Array], jax.Array]
"""`[height, width]` entries of A from a first row and a first column."""

Tile = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]
"""`[size, size]` entries of A by the number of the tile, its row of tiles and its column of tiles."""


def times(values: jax.Array, policy: jax.Array) -> jax.Array:
    """values·policy at full precision on every device."""
    return jnp.einsum("ij,j->i", values, policy, precision=jax.lax.Precision.HIGHEST)


def against_rows(policy: jax.Array, values: jax.Array) -> jax.Array:
    """policy·values, which is valuesᵀ·policy several times faster."""
    return jnp.einsum("i,ij->j", policy, values, precision=jax.lax.Precision.HIGHEST)


def cut(n: int, most: int) -> tuple[int, int]:
    """The number of equal parts, of size at most `most`, that cover n, and their size: as even as possible, so that
    little overlaps."""
    count = -(-n // most)
    return count, -(-n // count)


def by_rows(rows: Rows, policy: jax.Array, height: int, width: int) -> jax.Array:
    """Aπ `[n]` from blocks `[height, width]` of A, each made once by `cut`.

    The last blocks of either direction reach back over ones before them: rows are found twice, and columns that have
    been added already meet a 0.
    """
    n = policy.shape[-1]
    down, across = -(-n // height), -(-n // width)
    first_row, first_column = (jnp.asarray(_starts(n, step)) for step in (height, width))
    last = jnp.arange(width) < across * width - n
    parts = [policy[start : start + width] for start in _starts(n, width)]
    parts[-1] = jnp.where(last, 0, parts[-1])
    against = jnp.stack(parts)

    def add(k: jax.Array, product: jax.Array) -> jax.Array:
        i, j = k // across, k % across
        piece = times(rows(first_row[i], first_column[j]), at(against, j))
        return _put(product, at(product, i) + piece, i)

    product = jax.lax.fori_loop(0, down * across, add, jnp.zeros((down, height), policy.dtype))
    return jnp.concatenate([product[:-1].reshape(-1), product[-1, down * height - n :]])


def by_tiles(tile: Tile, policy: jax.Array, count: int, size: int) -> jax.Array:
    """Aπ `[n]` from the tiles on and above the diagonal, `count` a side; of one on it what lies above the diagonal.

    Tile T of rows I and columns J gives Tπ_J to the rows I and, as A is skew, −Tᵀπ_I to the rows J.
    """
    n = policy.shape[-1]
    against = jnp.pad(policy, (0, count * size - n)).reshape(count, size)
    rows, columns = (jnp.asarray(side, jnp.int32) for side in np.triu_indices(count))

    def add(t: jax.Array, product: jax.Array) -> jax.Array:
        i, j = rows[t], columns[t]
        values = tile(t, i, j)
        product = _put(product, at(product, i) + times(values, at(against, j)), i)
        return _put(product, at(product, j) - against_rows(at(against, i), values), j)

    return jax.lax.fori_loop(0, len(rows), add, jnp.zeros_like(against)).reshape(-1)[:n]


def _starts(n: int, step: int) -> np.ndarray:
    """Where successive blocks begin, the last one pulled back to end at n."""
    return np.minimum(np.arange(0, n, step), n - step).astype(np.int32)


def at(values: jax.Array, index: jax.Array) -> jax.Array:
    """values[index], of one index that is in range."""
    return jax.lax.dynamic_index_in_dim(values, index, keepdims=False)


def _put(values: jax.Array, row: jax.Array, index: jax.Array) -> jax.Array:
    return jax.lax.dynamic_update_index_in_dim(values, row, index, 0)
