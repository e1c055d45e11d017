"""Tabular softmax: one logit per action."""

from dataclasses import dataclass
from typing import ClassVar

import jax

from nashgames.core.game import Game
from nashgames.learning.policies.protocol import Listed


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Tabular(Listed):
    """π = softmax(θ), a logit for every action; over contexts m separate problems.

    θ_0 = log π_0, and Σ_y w(y) ∇ log π(y) = w − π Σ_y w(y) in every context, without the weights ρ of contexts: they
    share no parameter, and a context's own steps do not shrink with its weight.
    """

    name: ClassVar[str] = "tabular"
    # Theory's steps are those of a tabular policy.
    gain: ClassVar[float] = 1.0
    random_init: ClassVar[bool] = False
    shares_parameters: ClassVar[bool] = False

    def init(self, game: Game, key: jax.Array) -> jax.Array:
        return game.start

    def logits(self, game: Game, parameters: jax.Array) -> jax.Array:
        return parameters
