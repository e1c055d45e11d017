"""Log-linear in the features of actions."""

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

import jax
import jax.numpy as jnp

from nashgames.core import simplex
from nashgames.core.game import Game
from nashgames.learning.policies.protocol import USUAL, averaged, logit_gradient


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class LogLinear:
    """π ∝ μ e^{Φθ} with the features Φ of actions: one θ `[d]` for all actions and contexts.

    θ_0 = 0, so that π_0 = μ, and Σ_xy w(x, y) ∇ log π(y|x) = Σ_x ρ_x Φ_xᵀ(w_x − π_x Σ_y w(x, y)). Since
    log π*_β − log μ = Aπ*/β + const, an equilibrium is in the class when Aπ* is in the span of Φ and 1.
    """

    features: Annotated[str, "what it sees of an action: auto, own, spectral, random or identity"] = field(
        default="auto", metadata={"static": True}
    )
    dimension: Annotated[int, "number of features; default: all of the game's own, 10 of other kinds"] = field(
        default=USUAL, metadata={"static": True}
    )

    name: ClassVar[str] = "log-linear"
    gain: ClassVar[float] = 0.1

    def init(self, game: Game, key: jax.Array) -> jax.Array:
        return jnp.zeros(game.features.shape[-1], game.log_reference.dtype)

    def log_policy(self, game: Game, parameters: jax.Array) -> jax.Array:
        logits = jnp.einsum("...d,d->...", game.features, parameters, precision=jax.lax.Precision.HIGHEST)
        return simplex.normalise(game.log_reference + jnp.broadcast_to(logits, game.log_reference.shape))

    def gradient(self, game: Game, parameters: jax.Array, log_policy: jax.Array, weights: jax.Array) -> jax.Array:
        at_logits = averaged(game, logit_gradient(log_policy, weights))
        if game.features.ndim < at_logits.ndim + 1:
            at_logits = jnp.sum(at_logits, axis=0)
        rows = game.features.reshape(-1, game.features.shape[-1])
        return jnp.einsum("yd,y->d", rows, at_logits.ravel(), precision=jax.lax.Precision.HIGHEST)
