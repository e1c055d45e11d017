"""Online IPO over uniform pairs of responses, which is mirror descent in logits."""

import dataclasses
from dataclasses import dataclass
from typing import Annotated, ClassVar, Self

import jax

from nashgames.core.game import Game
from nashgames.learning.policy_gradient import PLAIN, Iterate, PolicyGradient, uniform_pairs
from nashgames.learning.steps import mirror_step
from nashgames.registry import Number


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class UniformIPO:
    """Online IPO with the pair (y, y') uniform and the opponent y″ ~ π_θ ("Online IPO 1 (OMD)" of the EGPO code).

    Its loss is L = E_{y,y'}[(log π(y)/μ(y) − log π(y')/μ(y') − (q(y) − q(y'))/β)²] with q = Aπ held fixed, and
    −(βn/4) ∇L = Σ_y (d(y) − d̄) ∇ log π_θ(y) with d = q − β log(π/μ) and d̄ its mean:

    θ ← θ + a Σ_y (d(y) − d̄) ∇ log π_θ(y).

    For a table that is mirror descent with the same step, another method than `online-ipo`. On duels y is uniform, so
    that the only importance weight is n, against y″ ~ π_θ. One query per step.
    Source: Zhou et al. 2025 (code); theory §4.4.

    Example:
        >>> import nashgames as ng
        >>> ng.UniformIPO().with_theory_defaults(beta=0.5).step
        1.0
    """

    step: Annotated[
        float | None, Number("a, the step of mirror descent in logits; default 4β/(1+4β²)", above=0, tuned=True)
    ] = None
    learner: PolicyGradient = PLAIN

    name: ClassVar[str] = "uniform-ipo"
    queries_per_step: ClassVar[int] = 1

    def with_theory_defaults(self, beta: float) -> Self:
        mirror = mirror_step(beta)
        step = self.learner.constant_step(mirror, mirror) if self.step is None else self.step
        return dataclasses.replace(self, step=step)

    def init(self, game: Game, key: jax.Array) -> Iterate:
        return self.learner.start(game, key, self.step)

    def update(self, game: Game, state: Iterate, key: jax.Array) -> Iterate:
        return self.learner.ascend(game, state, uniform_pairs(game, state), self.step, key)

    def log_policy(self, state: Iterate) -> jax.Array:
        return state.reported

    def advantage(self, state: Iterate) -> jax.Array | None:
        return state.known
