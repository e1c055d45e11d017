"""Online IPO, which is self-play policy gradient."""

import dataclasses
from dataclasses import dataclass
from typing import Annotated, ClassVar, Self

import jax

from nashgames.core.game import Game
from nashgames.learning.policy_gradient import PLAIN, Iterate, Objective, PolicyGradient
from nashgames.learning.steps import mirror_step, stable_step
from nashgames.registry import Number


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class OnlineIPO:
    """Online IPO with both responses on-policy = simultaneous self-play policy gradient.

    θ ← θ + a Σ_y π(y) [q(π) − β log(π/μ)](y) ∇ log π_θ(y), which is −(β/4) times the gradient of the IPO loss; for a
    table θ ← θ + a F(π)[Aπ − β log(π/μ)], F(π) = diag π − ππᵀ. On duels y ~ π_θ against y' ~ π_θ, baseline ½.

    One query per step. Its stable step shrinks like β and its best factor per step is 1 − O(β²). For a table on exact
    feedback the default step follows the curvature (theory §6.1); elsewhere it is a = 2β/(¼+β²), locally stable in
    every game at its equilibrium. `uniform-ipo` is the reading with uniform pairs.
    Source: arXiv 2505.19731 v2 and 2403.08635 (the equivalence); dynamics derived (theory §4.4).

    Example:
        >>> import nashgames as ng
        >>> ng.OnlineIPO(step=0.5).with_theory_defaults(beta=0.5).step
        0.5
    """

    step: Annotated[
        float | None,
        Number("a, the gradient step; default: follows the curvature, else 2β/(¼+β²)", above=0, tuned=True),
    ] = None
    learner: PolicyGradient = PLAIN

    name: ClassVar[str] = "online-ipo"
    queries_per_step: ClassVar[int] = 1

    def with_theory_defaults(self, beta: float) -> Self:
        step = self.learner.default_step(stable_step(beta), mirror_step(beta)) if self.step is None else self.step
        return dataclasses.replace(self, step=step)

    def init(self, game: Game, key: jax.Array) -> Iterate:
        return self.learner.start(game, key, self.step)

    def update(self, game: Game, state: Iterate, key: jax.Array) -> Iterate:
        ours = state.log_policy
        objective = Objective(ours, ours, game.beta, game.log_reference, state.advantage)
        return self.learner.ascend(game, state, objective, self.step, key)

    def log_policy(self, state: Iterate) -> jax.Array:
        return state.reported

    def advantage(self, state: Iterate) -> jax.Array | None:
        return state.known
