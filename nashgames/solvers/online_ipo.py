"""Online IPO, which is self-play policy gradient."""

import dataclasses
from dataclasses import dataclass
from typing import Annotated, ClassVar, Self

import jax

from nashgames import simplex
from nashgames.game import Game
from nashgames.simplex import Scalar
from nashgames.solvers.protocol import THEORY, PolicyState


def stable_step(temperature: float) -> float:
    """A step of softmax self-play policy gradient that is locally stable in every game: 2τ/(¼ + τ²).

    At the equilibrium the update is I + aF^½(M − τ)F^½ in F^½-coordinates, with M = F^½AF^½ skew, ‖F‖ ≤ ½ and
    ‖M‖ ≤ max|A| ≤ ½: the squared logit error falls by at least a(2τ − a(¼ + τ²)/2)·δᵀFδ, which this step maximises
    [derived].
    """
    return 2 * temperature / (0.25 + temperature**2)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class OnlineIPO:
    """Online IPO with both responses on-policy = simultaneous self-play policy gradient in softmax logits.

    θ ← θ + a F(π)[Aπ − β log(π/μ)],  F(π) = diag π − ππᵀ,  π = softmax θ: a gradient of (4/β times) the IPO loss.

    One query a step. Its stable step shrinks like β and its best factor per step is 1 − O(β²); the default
    a = 2β/(¼ + β²) is locally stable in every game. Source: arXiv 2505.19731 v1; dynamics derived (theory §4.4).
    """

    step: Annotated[float, "a, the gradient step on the logits; default 2β/(¼+β²), stable in every game"] = THEORY

    name: ClassVar[str] = "online-ipo"
    queries_per_step: ClassVar[int] = 1

    def with_theory_defaults(self, beta: float) -> Self:
        return dataclasses.replace(self, step=stable_step(beta) if self.step is None else self.step)

    def init(self, game: Game, key: jax.Array) -> PolicyState:
        return PolicyState(game.log_reference, game.advantage(game.log_reference))

    def update(self, game: Game, state: PolicyState, key: jax.Array) -> PolicyState:
        log_policy = gradient_step(state.log_policy, state.advantage, game.beta, game.log_reference, self.step)
        return PolicyState(log_policy, game.advantage(log_policy))

    def log_policy(self, state: PolicyState) -> jax.Array:
        return state.log_policy

    def advantage(self, game: Game, state: PolicyState) -> jax.Array:
        return state.advantage


def gradient_step(
    log_policy: jax.Array, advantage: jax.Array, temperature: Scalar, log_anchor: jax.Array, step: Scalar
) -> jax.Array:
    """One ascent step in softmax logits on ⟨q, π⟩ − τ KL(π‖anchor), q held fixed: θ + a F(π)[q − τ log(π/anchor)]."""
    direction = advantage - temperature * (log_policy - log_anchor)
    return simplex.normalise(log_policy + step * simplex.fisher(log_policy, direction))
