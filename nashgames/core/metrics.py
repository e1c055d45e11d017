"""What is measured, each number once."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from nashgames.core import simplex
from nashgames.core.game import Game


class Metrics(NamedTuple):
    """The reported numbers of one policy (theory §2); over contexts averages, except the span (a maximum).

    suboptimality      max_π' P_β(π' ≻ π) − ½ = β KL(π‖BR_β(π))                      half of the gap
    duality_gap        the literature's gap, exactly twice the suboptimality
    exploitability     max_i (Aπ)_i, of the original game (β = 0)
    kl_to_equilibrium  KL(π*_β‖π)
    span_to_equilibrium  max_i − min_i of log π − log π*_β
    kl_to_reference    KL(π‖μ)
    entropy            −Σ π log π, nats
    """

    suboptimality: jax.Array
    duality_gap: jax.Array
    exploitability: jax.Array
    kl_to_equilibrium: jax.Array
    span_to_equilibrium: jax.Array
    kl_to_reference: jax.Array
    entropy: jax.Array


def best_response(game: Game, advantage: jax.Array) -> tuple[jax.Array, jax.Array]:
    """log BR_β(π) and BR_β(π) = softmax(log μ + q(π)/β) from the advantage q(π); `[n]`, `[m, n]` over contexts."""
    return simplex.softmax(game.log_reference + advantage / game.beta)


def suboptimality(game: Game, log_policy: jax.Array, advantage: jax.Array) -> jax.Array:
    """SubOpt_β(π) = β KL(π‖BR_β(π)) (theory §2), from the policy and the advantage q(π) already queried; scalar."""
    log_response, response = best_response(game, advantage)
    return game.beta * game.average(simplex.kl(log_policy, log_response, response))


def measure(game: Game, log_policy: jax.Array, advantage: jax.Array, log_equilibrium: jax.Array) -> Metrics:
    """Every reported number of π, at no further query: `advantage` is q(π). NaN distances where π*_β is NaN."""
    half_gap = suboptimality(game, log_policy, advantage)
    return Metrics(
        suboptimality=half_gap,
        duality_gap=2 * half_gap,
        exploitability=game.average(jnp.max(advantage, axis=-1)),
        kl_to_equilibrium=game.average(simplex.kl(log_equilibrium, log_policy)),
        span_to_equilibrium=jnp.max(simplex.span(log_policy - log_equilibrium)),
        kl_to_reference=game.average(simplex.kl(log_policy, game.log_reference)),
        entropy=game.average(simplex.entropy(log_policy)),
    )
