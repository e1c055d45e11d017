"""Nash-MD-PG: policy gradient against a mixture with the reference."""

import dataclasses
from dataclasses import dataclass
from typing import Annotated, ClassVar, Self

import jax

from nashgames.core.game import Game
from nashgames.learning.policy_gradient import PLAIN, Iterate, Objective, PolicyGradient, mixture
from nashgames.learning.steps import mirror_step, stable_step
from nashgames.registry import Number


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class NashMDPG:
    """Nash-MD-PG: policy gradient of the regularised game against π_λ ∝ π^{1−λ} μ^λ.

    θ ← θ + a Σ_y π(y) [q(π_λ) − β log(π/μ)](y) ∇ log π_θ(y). On duels y ~ π_θ against y' ~ π_λ, baseline ½.

    Its fixed point is π = softmax(log μ + Aπ_λ/β), which is π*_β only as λ → 0: a λ that stays away from 0 trades bias
    for stability. One query per step. Source: Munos et al. 2024 (Nash-MD-PG); theory §4.6.

    Example:
        >>> import nashgames as ng
        >>> solver = ng.NashMDPG(step=0.5).with_theory_defaults(beta=0.5)
        >>> solver.mixture, solver.step
        (0.125, 0.5)
    """

    mixture: Annotated[
        float | None, Number("λ, the reference's share of the opponent; default 0.125", symbol="λ", above=0, most=1)
    ] = None
    step: Annotated[float | None, Number("a, the gradient step; default as for online-ipo", above=0, tuned=True)] = None
    learner: PolicyGradient = PLAIN

    name: ClassVar[str] = "nash-md-pg"
    default_source: ClassVar[str] = "default"
    fixed_point: ClassVar[str] = "own"
    queries_per_step: ClassVar[int] = 1

    def with_theory_defaults(self, beta: float) -> Self:
        step = self.learner.default_step(stable_step(beta), mirror_step(beta)) if self.step is None else self.step
        # Our choice (theory §4.6): a bias of an eighth of the way to the reference.
        return dataclasses.replace(self, mixture=0.125 if self.mixture is None else self.mixture, step=step)

    def init(self, game: Game, key: jax.Array) -> Iterate:
        return self.learner.start(game, key, self.step, self_play=False)

    def update(self, game: Game, state: Iterate, key: jax.Array) -> Iterate:
        opponent = mixture(state.log_policy, game.log_reference, self.mixture)
        objective = Objective(state.log_policy, opponent, game.beta, game.log_reference)
        return self.learner.ascend(game, state, objective, self.step, key, self_play=False)

    def log_policy(self, state: Iterate) -> jax.Array:
        return state.reported

    def advantage(self, state: Iterate) -> jax.Array | None:
        return state.known
