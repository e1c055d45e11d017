"""Log-linear in the features of actions."""

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

import jax
import jax.numpy as jnp

from nashgames.core.game import Game
from nashgames.errors import NashGamesError
from nashgames.learning.features import KINDS, check_features
from nashgames.learning.policies.protocol import Listed
from nashgames.registry import Choice, Number


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class LogLinear(Listed):
    """π ∝ μ e^{Φθ} with the features Φ of actions: one θ `[d]` for all actions and contexts.

    θ_0 = 0, so that π_0 = μ, and Σ_xy w(x, y) ∇ log π(y|x) = Σ_x ρ_x Φ_xᵀ(w_x − π_x Σ_y w(x, y)). Since
    log π*_β − log μ = Aπ*/β + const, an equilibrium is in the class when Aπ* is in the span of Φ and 1.
    """

    features: Annotated[str, Choice("features of an action: auto, own, spectral, random or identity", KINDS)] = field(
        default="auto", metadata={"static": True}
    )
    dimension: Annotated[
        int | None, Number("number of features; default: all of the game's own, 10 of other kinds", least=1)
    ] = field(default=None, metadata={"static": True})

    name: ClassVar[str] = "log-linear"
    # Ten features of mean square 1 move every logit: a tenth of the step of a table moves them as far.
    gain: ClassVar[float] = 0.1
    random_init: ClassVar[bool] = False
    shares_parameters: ClassVar[bool] = True

    def check(self) -> None:
        """Raise NashGamesError for features without anything to learn, or a dimension where theirs is fixed."""
        if self.features == "none":
            raise NashGamesError("log-linear[features] is none, which leaves nothing to learn; use the policy tabular")
        check_features(self.features, self.dimension)

    def init(self, game: Game, key: jax.Array) -> jax.Array:
        return jnp.zeros(game.features.shape[-1], game.log_reference.dtype)

    def logits(self, game: Game, parameters: jax.Array) -> jax.Array:
        logits = jnp.einsum("...d,d->...", game.features, parameters, precision=jax.lax.Precision.HIGHEST)
        return game.log_reference + jnp.broadcast_to(logits, game.log_reference.shape)
