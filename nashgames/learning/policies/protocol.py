"""What a policy is: a way to write log π with parameters θ, and how weights on actions become a direction for θ."""

from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp

from nashgames.core.game import Game

USUAL: Any = None
"""The default of a dimension that depends on the game: `features.resolve_features` decides."""


@runtime_checkable
class Policy(Protocol):
    """A frozen dataclass of structure alone, registered as a pytree without leaves; θ lives in the solver's state.

    Every method is pure and traced for one run; policies are `[n]`, or `[m, n]` over contexts. A policy that sees the
    actions has the fields `features` and `dimension`, with which `features.resolve_features` is asked for the
    `game.features` it then finds: `[n, d]` or `[m, n, d]`.
    """

    @property
    def name(self) -> str:
        """The name on the command line and in every row."""
        ...

    @property
    def gain(self) -> float:
        """The default step over that of a table, which theory knows: a rule of thumb, as θ_k moves many actions."""
        ...

    def init(self, game: Game, key: jax.Array) -> Any:
        """θ_0: a pytree of arrays of the dtype of `game.log_reference`. `key` is this run's own."""
        ...

    def log_policy(self, game: Game, parameters: Any) -> jax.Array:
        """log π_θ, normalised."""
        ...

    def gradient(self, game: Game, parameters: Any, log_policy: jax.Array, weights: jax.Array) -> Any:
        """Σ_xy w(x, y) ∇_θ log π_θ(y|x), like `parameters`; `log_policy` is that of θ, `weights` are its shape.

        Where contexts share θ, context x counts with its weight ρ_x.
        """
        ...


def logit_gradient(log_policy: jax.Array, weights: jax.Array) -> jax.Array:
    """Σ_y w(y) ∂ log π(y) / ∂ logits = w − π Σ_y w(y), in every context: where every policy's gradient begins."""
    return weights - jnp.exp(log_policy) * jnp.sum(weights, axis=-1, keepdims=True)


def averaged(game: Game, weights: jax.Array) -> jax.Array:
    """ρ_x w(x, y): weights whose sum over contexts is the average, for a θ that contexts share."""
    return weights * game.weights[:, None] if weights.ndim == 2 else weights
