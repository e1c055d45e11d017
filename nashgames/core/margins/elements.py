"""Entries of A that take one or two bytes: whole multiples of one number, or rounded to bfloat16."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

MOST = 127
"""The largest multiple that a signed byte holds on either side of 0."""

BITS = np.dtype(np.uint16)
"""How bfloat16 entries are kept, the upper halves of float32: XLA for the CPU takes twelve times as long over a part of
an array that is called bfloat16."""

_BFLOAT16 = np.dtype(jnp.bfloat16)

BYTES = 2
"""Bytes of an entry, at most: of bfloat16. What turns out to be whole multiples takes one."""

_ROUNDING = 4 * float(np.finfo(np.float64).eps)
"""How far a multiple may be off, relatively, to stand for an entry: a family that divides differently from s·k is off
by two units of rounding, and entries of more than 127 sizes cannot all lie so close."""

Tiles = Iterator[np.ndarray]


def scale_of(tiles: Callable[[], Tiles]) -> float | None:
    """The largest number s of which every entry of float64 `tiles` is a whole multiple s·k with |k| ≤ 127, or None.

    s·k in float64 has to be the entry to a few units of rounding. The tiles are read once, up to the first that has no
    such number.
    """
    sizes, scale = np.zeros(0), 1.0
    for values in tiles():
        # The largest entry of every tile, which a smaller scale has to reach too; the few sizes of one that does not
        # fit say what the scale is.
        fits = _fits(values, scale)
        sizes = np.union1d(sizes, np.abs(values).max(initial=0) if fits else np.abs(values))
        if fits:
            continue
        found = _measure(sizes[sizes > 0])
        # Written so that NaN fits nothing.
        if found is None or not _fits(values, found):
            return None
        scale = found
    return scale


def _fits(values: np.ndarray, scale: float) -> bool:
    multiples = np.rint(values / scale)
    held = (np.abs(multiples) <= MOST) & (np.abs(multiples * scale - values) <= _ROUNDING * np.abs(values))
    return bool(held.all())


def _measure(sizes: np.ndarray) -> float | None:
    """The largest s of which all positive `sizes` are multiples up to 127."""
    if not len(sizes):
        return 1.0
    largest = float(sizes.max())
    # Rounding may split each of the 127 multiples into a few values (8 are allowed); with more distinct sizes no scale
    # fits, and trying 127 scales would be wasted.
    if len(sizes) > 8 * MOST:
        return None
    return next((s for s in (largest / k for k in range(1, MOST + 1)) if _fits(sizes, s)), None)


def small(values: np.ndarray, scale: float | None) -> np.ndarray:
    """Entries as whole multiples of a scale, int8, or without one the bits of their bfloat16, ties to even."""
    return values.astype(_BFLOAT16).view(BITS) if scale is None else np.rint(values / scale).astype(np.int8)


def negative(values: np.ndarray) -> np.ndarray:
    """The negatives of small entries."""
    # The first bit of a floating-point number is its sign.
    return values ^ BITS.type(2**15) if values.dtype == BITS else -values


def wide(values: Any, dtype: Any) -> jax.Array:
    """Small entries as numbers of `dtype` in a compiled program, before the scale."""
    if values.dtype != BITS:
        return values.astype(dtype)
    bits = jax.lax.bitcast_convert_type(values.astype(jnp.uint32) << 16, jnp.float32)
    return bits.astype(dtype)


def numbers(values: np.ndarray, scale: Any) -> np.ndarray:
    """Small entries as numbers of the type of their scale, on the host."""
    return (values.view(_BFLOAT16) if values.dtype == BITS else values).astype(scale.dtype) * scale


def check_one_kind(kinds: Sequence[np.dtype]) -> None:
    """Raise ValueError where some of several games have whole multiples for entries and some rounded ones."""
    if len(set(kinds)) != 1:
        raise ValueError("margins of one kind of entries are stacked, int8 or bfloat16; play the games one by one")
