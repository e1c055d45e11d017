"""Products with A on the host, and A in another storage: what works for every storage, by its protocol."""

from functools import partial
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np

from nashgames.core.margins.dense import DenseMargins
from nashgames.core.margins.half import HalfMargins
from nashgames.core.margins.low_rank import LowRankMargins
from nashgames.core.margins.packed import Block, PackedHalfMargins, PackedMargins
from nashgames.core.margins.protocol import Margins
from nashgames.core.margins.sharded import ShardedMargins
from nashgames.core.margins.streamed import StreamedMargins
from nashgames.core.margins.written import WrittenMargins
from nashgames.core.precision import Precision
from nashgames.errors import NashGamesError, wrong_word

STORAGES: dict[str, type[Margins]] = {
    "dense": DenseMargins,
    "half": HalfMargins,
    "packed": PackedMargins,
    "packed-half": PackedHalfMargins,
    "lowrank": LowRankMargins,
    "streamed": StreamedMargins,
    "sharded": ShardedMargins,
    "written": WrittenMargins,
}
"""The storages by the names that people give them."""


_COMPILED = (HalfMargins, PackedMargins, StreamedMargins, ShardedMargins)


@runtime_checkable
class Multiplies(Protocol):
    """A storage with a product of its own on the host, faster than by its blocks."""

    def product(self, vectors: np.ndarray) -> np.ndarray:
        """A·vectors, in the floats of `vectors`, float64 or wider, for `[n]` or `[n, k]` of one context."""


def product(margins: Margins, vectors: np.ndarray) -> np.ndarray:
    """A·vectors, `[n]` or `[n, k]`, in the floating-point type of `vectors`, float64 or wider.

    A storage that has a product of its own on the host uses it. Tiles, small entries and formulas in float64 use the
    compiled product, which has two cores and makes no second matrix; all others, and wider types, go by blocks of rows.
    """
    if isinstance(margins, Multiplies):
        return margins.product(vectors)
    if vectors.dtype != np.float64 or not isinstance(margins, _COMPILED):
        return np.concatenate([rows.astype(vectors.dtype, copy=False) @ vectors for _, rows in margins.blocks()])
    precision = Precision("float64")
    with precision.scope():
        placed = margins.place(precision.jax_device(), precision.numpy)
        # A copy that may be written to, like the results of the other branches.
        return np.array(_multiplied(placed, jax.numpy.asarray(vectors)))


@jax.jit
def _multiplied(margins: Margins, vectors: jax.Array) -> jax.Array:
    of_one: Any = margins.matvec
    return of_one(vectors) if vectors.ndim == 1 else jax.vmap(of_one, in_axes=1, out_axes=1)(vectors)


def restored(margins: Margins, storage: str) -> Margins:
    """A in another storage that keeps entries; the margins themselves where they have it already.

    Raises NashGamesError for a storage that needs a formula, which entries do not tell.
    """
    if margins.storage == storage:
        return margins
    if storage not in STORAGES:
        raise wrong_word("storage", storage, STORAGES)
    kind: Any = STORAGES[storage]
    if not hasattr(kind, "filled"):
        keeps = ", ".join(name for name, each in STORAGES.items() if hasattr(each, "filled"))
        raise NashGamesError(
            f"storage is {storage}, which needs a formula of the margins, and these are {margins.storage}; use {keeps}"
        )
    contexts = margins.shape[0] if len(margins.shape) == 3 else 1
    blocks: list[Block] = [partial(_block, margins.of_context(context)) for context in range(contexts)]
    made: Margins = kind.filled(margins.shape[-1], blocks, margins.dtype)
    return made


def _block(margins: Margins, rows: slice, columns: slice) -> np.ndarray:
    """Entries as float64 numbers, as a family gives them."""
    places = np.meshgrid(np.arange(rows.start, rows.stop), np.arange(columns.start, columns.stop), indexing="ij")
    return margins.lookup(*places).astype(np.float64)
