"""What the methods of the regret-matching family share: regrets `[n]`, `[m, n]`, and the policies they make."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nashgames.core.game import Game


class RegretState(NamedTuple):
    """`regrets` R_t and the policy π_t that they make, with its advantage q(π_t); `[n]`, `[m, n]`."""

    regrets: jax.Array
    log_policy: jax.Array
    advantage: jax.Array


def without_regrets(game: Game, key: jax.Array) -> RegretState:
    """R_0 = 0 at π_0."""
    return RegretState(jnp.zeros_like(game.start), game.start, game.query(game.start, jax.random.fold_in(key, 0)))


def with_regrets(game: Game, key: jax.Array) -> RegretState:
    """R_0 = nπ_0, whose mean is 1."""
    regrets = game.start.shape[-1] * jnp.exp(game.start)
    return without_regrets(game, key)._replace(regrets=regrets)


def regret(advantage: jax.Array, log_policy: jax.Array) -> jax.Array:
    """q − ⟨q, π⟩: what each action would have gained over π.

    ⟨Aπ, π⟩ = 0 for a skew A, so that with the exact advantage it is q itself; the estimate from duels has a value of
    its own.
    """
    gained = advantage - jnp.sum(jnp.exp(log_policy) * advantage, axis=-1, keepdims=True)
    # Regrets that begin at 0 make a policy of whatever comes first: at an equilibrium that would be its rounding.
    return jnp.where(jnp.abs(gained) > float(np.finfo(gained.dtype).eps), gained, 0)


def positive(regrets: jax.Array) -> jax.Array:
    """[R]⁺, the projection onto {R ≥ 0}."""
    return jnp.maximum(regrets, 0)


def chopped(regrets: jax.Array) -> jax.Array:
    """The projection onto {R ≥ 0, Σ R ≥ n}: [R − min(θ, 0)]⁺ with θ such that Σ [R − θ]⁺ = n."""
    n = regrets.shape[-1]
    largest = jnp.flip(jnp.sort(regrets, axis=-1), axis=-1)
    # Σ of the k largest less θ is at most Σ [R − θ]⁺ for every k, and equal to it for one.
    counts = 1 + jax.lax.broadcasted_iota(regrets.dtype, regrets.shape, regrets.ndim - 1)
    theta = jnp.max((jnp.cumsum(largest, axis=-1) - n) / counts, axis=-1, keepdims=True)
    return positive(regrets - jnp.minimum(theta, 0))


def matched(regrets: jax.Array, log_otherwise: jax.Array) -> jax.Array:
    """log of R/Σ R, −inf where R_i = 0; the other policy where R = 0."""
    total = jnp.sum(regrets, axis=-1, keepdims=True)
    return jnp.where(total > 0, jnp.log(regrets) - jnp.log(total), log_otherwise)
