"""The step of adaptive and of secant Nash-MP: which is admissible, how large the next is, and what trials may cost."""

import jax
import jax.numpy as jnp
import numpy as np

from nashgames.core import simplex
from nashgames.core.game import Game
from nashgames.core.simplex import Scalar

FIRST_TRIAL = 32.0
"""The first trial, in least steps: one that is too large costs a query and tells the right size."""

SPARE_QUERIES = 8.0
"""Queries that rejected trials may cost before any accepted step."""

ADMISSIBLE = 0.95
"""The largest ratio that is taken, a little below the 1 of the theorem for rounding: on 8 families of 11 actions at
β = 0.1 … 0.001 a limit of 1 took the same queries to 1e-12, 0.5 a third more. So were the numbers below tried."""

# The ratio that the next trial aims at: 0.3 and 0.9 took 4 % more queries, since steps are short or rejected.
_AIM = 0.7
# A step is at least halved after a rejection: by 0.1 took 3 % more queries, 0.9 1 % fewer.
_SHRINK = 0.5
# A step grows by this at most, as the law holds for small steps only: 2 took 9 % more queries, 80 2 % fewer.
_GROW = 8.0
# The theorem gains nothing visible beyond: a step leaves a share of 1/(1+η).
_MOST = 1e4
# What may be lost, as a factor of the least step's queries: a bound for the worst case, that 1 and 12 left unused.
_SLACK = 1.25


def admissibility_ratio(
    game: Game, log_policy: jax.Array, log_half: jax.Array, log_whole: jax.Array, eta: Scalar
) -> jax.Array:
    """(1+η) KL(π_{k+½}‖π_{k+1}) / KL(π_{k+½}‖π_k), of averages over contexts: a step is admissible up to 1; scalar.

    0 where π_{k+½} is π_k and π_{k+1}, as at the equilibrium.
    """
    moved = game.average(simplex.kl(log_half, log_policy))
    missed = (1 + eta) * game.average(simplex.kl(log_half, log_whole))
    return missed / jnp.maximum(moved, float(np.finfo(moved.dtype).tiny))


def next_eta(passed: jax.Array, ratio: jax.Array, eta: jax.Array, least: Scalar) -> jax.Array:
    """The η ≥ `least` whose ratio is 0.7 by the law κη²/(1+η): half to eight times the present η, at most half of it
    after a rejection.
    """
    curvature = ratio * (1 + eta) / eta**2
    aimed = (_AIM + jnp.sqrt(_AIM**2 + 4 * _AIM * curvature)) / (2 * curvature)
    aimed = jnp.where(passed, jnp.clip(aimed, _SHRINK * eta, _GROW * eta), jnp.minimum(aimed, _SHRINK * eta))
    return jnp.maximum(jnp.minimum(aimed, _MOST), least)


def query_allowance(passed: jax.Array, cost: Scalar, eta: jax.Array, least: Scalar) -> jax.Array:
    """What a trial adds to the spare queries: 1.25 times those of the least step for its contraction, less its `cost`;
    −1 if it was rejected.
    """
    return jnp.where(passed, _SLACK * 2 * jnp.log1p(eta) / jnp.log1p(least) - cost, -1.0)
