"""Policies that are only sampled: what a method compares where log π is no array over all actions.

A method's formulas stand in terms of π_θ, the reference, their geometric mixtures and the uniform distribution. Where
all actions are listed these are arrays; where sequences are written token by token they are the objects below, or an
array still, which is looked up at the sequences that were drawn.
"""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nashgames.core import random, simplex
from nashgames.core.game import Game
from nashgames.core.next_tokens import Chains
from nashgames.core.simplex import Scalar
from nashgames.learning.policies import Sequential


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class At:
    """π_θ of a policy that writes sequences, at the parameters θ."""

    policy: Sequential = field(metadata={"static": True})
    parameters: Any

    def table(self, game: Game) -> jax.Array:
        """log π_θ of all sequences, `[n]`, `[m, n]` over prompts: what is measured, and never learned from."""
        return self.policy.log_policy(game, self.parameters)

    def finite(self) -> jax.Array:
        """Whether θ is finite; scalar. What overflows on the way to log π_θ makes the next gradient, and θ, NaN."""
        return jnp.all(jnp.isfinite(self.parameters))


class Mixture(NamedTuple):
    """∝ first^{1−share} second^{share}."""

    first: Any
    second: Any
    share: Scalar


class Uniform(NamedTuple):
    """Every sequence alike."""


Distribution = Any
"""An array of log-probabilities of all actions, `[n]`, `[m, n]`, `Chains` of unlisted ones, or one of the above."""


def mixture(first: Distribution, second: Distribution, share: Scalar) -> Distribution:
    """The geometric mixture ∝ first^{1−share} second^{share}: `[n]`, `[m, n]` where both are listed."""
    if isinstance(first, jax.Array) and isinstance(second, jax.Array):
        return simplex.geometric_mixture(first, second, share)
    return Mixture(first, second, share)


def uniform_like(distribution: Distribution) -> Distribution:
    """log(1/n), the shape of a listed policy."""
    if isinstance(distribution, jax.Array):
        return jnp.full_like(distribution, -jnp.log(distribution.shape[-1]))
    return Uniform()


def draw(game: Game, distribution: Distribution, key: jax.Array, batch: int) -> jax.Array:
    """`batch` actions a context, `[batch]`, `[m, batch]` over contexts.

    From a mixture every token is drawn from the mixture of what its parts say of the next token, as Nash-MD is run on
    language models: a sequence then has another probability than under the mixture of the sequences' own.
    """
    if isinstance(distribution, At):
        return distribution.policy.sample(game, distribution.parameters, key, batch)
    if isinstance(distribution, Mixture):
        first, second, share = distribution
        if not (isinstance(first, At) and isinstance(second, jax.Array | Chains)):
            raise TypeError("a mixture that is sampled is one of π_θ with the reference")
        return first.policy.sample(game, first.parameters, key, batch, share)
    if isinstance(distribution, Uniform) and isinstance(game.log_reference, Chains):
        distribution = game.log_reference.uniform_like()
    if isinstance(distribution, Chains):
        return distribution.sequences.actions(distribution.written(key, batch))
    bits = random.words(key, (*game.log_reference.shape[:-1], batch))
    if isinstance(distribution, Uniform):
        # The first of n sequences are likelier by a share n/2³² of a probability, at most.
        return (bits % jnp.uint32(game.actions)).astype(jnp.int32)
    return random.draw(distribution, bits)


def log_prob(game: Game, distribution: Distribution, actions: jax.Array) -> jax.Array:
    """log π of actions `[…]`, up to a number that is the same for all actions of a context."""
    if isinstance(distribution, At):
        return distribution.policy.log_prob(game, distribution.parameters, actions)
    if isinstance(distribution, Mixture):
        first, second, share = distribution
        return (1 - share) * log_prob(game, first, actions) + share * log_prob(game, second, actions)
    if isinstance(distribution, Chains):
        return distribution.log_prob(distribution.sequences.tokens_of(actions))
    if isinstance(distribution, Uniform):
        # An unlisted action has an axis of tokens in front.
        shape = actions.shape[1:] if isinstance(game.log_reference, Chains) else actions.shape
        return jnp.zeros(shape, game.log_reference.dtype)
    return jnp.take_along_axis(distribution, actions, axis=-1)
