"""Steps of self-play policy gradients: constant ones, and larger ones that follow the curvature.

With F = diag π − ππᵀ and the skew K = F^½AF^½ the error of the logits follows 1 + aF^½(K − τ)F^½ near an equilibrium
(theory §6.1). ‖F‖ is known from the policy, and ‖K‖ is estimated from two advantages that were queried anyway.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nashgames.core.simplex import Scalar

SHARE = 0.75
"""A step over its limit, where an error need not shrink. Of the 120 games of `benchmarks/field.py` self-play is slower
with half of it in 88, and with 0.9 it ends in a cycle in one."""

MEMORY = 0.8
"""Share of the last κ² that a step keeps: two steps measure κ along one direction only."""

LONGEST = 1.0
"""The farthest that a logit moves in a step, so that no probability, and no entry of F, changes more than e-fold."""


def stable_step(temperature: Any) -> Any:
    """A step of softmax self-play policy gradient, locally stable in every game while its anchor stays: 2τ/(¼ + τ²).

    Half of `step_limit` at ‖F‖ = κ = ½, which no game exceeds: it maximises the guaranteed decrease, theory §4.4 (8)
    [derived].
    """
    return 2 * temperature / (0.25 + temperature**2)


def mirror_step(temperature: Any) -> Any:
    """The step of mirror descent 4τ/(1+4τ²), with which KL(π*‖π) falls by 1 + 4τ² from anywhere, in every game.

    Source: arXiv 2206.05825 with L = ½; theory §4.6.
    """
    return 4 * temperature / (1 + 4 * temperature**2)


def step_limit(temperature: Scalar, fisher: Scalar, rotation: Scalar) -> Scalar:
    """2τ/(‖F‖(κ² + τ²)), up to which no eigenvalue of 1 + aF^½(K − τ)F^½ is beyond the unit circle; κ² = `rotation`.

    With F = 1 it is the limit of the natural gradient. Source: theory §6.1 (14) [derived].
    """
    return 2 * temperature / (fisher * (rotation + temperature**2))


def fisher_bound(log_policy: jax.Array) -> jax.Array:
    """max_i min(π_i, 2π_i(1−π_i)) ≥ ‖diag π − ππᵀ‖, `[1]`, `[m, 1]` over contexts (theory §6.1)."""
    policy = jnp.exp(log_policy)
    # The bound stays above 0 when an action has no probability left, as it is a divisor.
    tiny = float(np.finfo(policy.dtype).tiny)
    return jnp.maximum(jnp.max(jnp.minimum(policy, 2 * policy * (1 - policy)), axis=-1, keepdims=True), tiny)


def rotation_bound(log_policy: jax.Array) -> jax.Array:
    """(1 − Σπ²)/8 ≥ ‖K‖² for margins of at most ½, `[1]`, `[m, 1]` over contexts.

    2‖K‖² ≤ ‖K‖_F² ≤ Σ_{i≠j} π_i π_j A_ij², as the singular values of a skew matrix come in pairs [derived].
    """
    policy = jnp.exp(log_policy)
    return jnp.maximum(1 - jnp.sum(policy**2, axis=-1, keepdims=True), 0) / 8


def next_rotation(rotation: jax.Array, log_policy: jax.Array, moved: jax.Array, change: jax.Array | None) -> jax.Array:
    """κ² for the next step: Var_π(Δq)/Var_π(Δlog π) of the last one, `MEMORY` of the κ² before, below `rotation_bound`.

    `moved` = Δlog π and `change` = Δq, None where q of both policies was not queried: then κ² is the bound. For a small
    step u = F^½ Δlog π has |Ku|² = Var_π(Δq) and |u|² = Var_π(Δlog π): κ is ‖K‖ as far as the last steps have met it.
    """
    bound = rotation_bound(log_policy)
    if change is None:
        return bound
    policy = jnp.exp(log_policy)
    seen, length = _variance(policy, change), _variance(policy, moved)
    still = length == 0
    measured = jnp.where(still, 0, seen / jnp.where(still, 1, length))
    return jnp.minimum(jnp.maximum(measured, MEMORY * rotation), bound)


def _variance(policy: jax.Array, values: jax.Array) -> jax.Array:
    centred = values - jnp.sum(policy * values, axis=-1, keepdims=True)
    return jnp.sum(policy * centred**2, axis=-1, keepdims=True)
