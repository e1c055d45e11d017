"""Nash Mirror Prox whose proximal steps are estimated by policy gradients."""

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, NamedTuple, Self

import jax
import jax.numpy as jnp

from nashgames.core.game import Game
from nashgames.learning.policy_gradient import PLAIN, Iterate, Objective, PolicyGradient, mixture, tree_where
from nashgames.registry import Number


class ApproximateNashMPState(NamedTuple):
    """`iterate` of the inner loop under way; `whole`: the parameters of π_k; `log_opponent`: π_k in the first loop,
    π_{k+½} in the second; `advantage` of the opponent where feedback is exact, else None; `steps` taken."""

    iterate: Iterate
    whole: Any
    log_opponent: jax.Array
    advantage: jax.Array | None
    steps: jax.Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class ApproximateNashMP:
    """Nash-MP whose two proximal steps are approximated by `inner` policy-gradient steps each.

    The first loop plays against π' = π_k, the second against π' = π_{k+½}, and both climb
    J(θ) = P(π_θ ≻ π') − β KL(π_θ‖μ) − (β/η) KL(π_θ‖π_k), which is P(π_θ ≻ π') − τ KL(π_θ‖π̄_k) up to a constant, with
    τ = β(1+1/η) and π̄_k ∝ μ^{η/(1+η)} π_k^{1/(1+η)}: θ ← θ + a Σ_y π(y) [q(π') − τ log(π/π̄_k)](y) ∇ log π_θ(y).

    The second loop goes on from where the first ended. Charged one query per gradient step, what it costs on duels
    (y ~ π_θ against y' ~ π', baseline ½); exact feedback would need one a loop. With the exact inner optima it is
    `nash-mp`. A reconstruction of the inner loops: arXiv 2505.19731 v1 leaves them open (theory §4.2).

    Example:
        >>> import nashgames as ng
        >>> solver = ng.ApproximateNashMP(inner=10).with_theory_defaults(beta=0.5)
        >>> solver.eta, solver.inner
        (1.0, 10)
    """

    eta: Annotated[
        float | None, Number("η, the papers' step of the outer loop; default 2β", symbol="η", above=0, tuned=True)
    ] = None
    inner: Annotated[int | None, Number("gradient steps of each of the two loops; default 20", least=1)] = None
    step: Annotated[
        float | None,
        Number(
            "a, the gradient step; default: follows the curvature, else 2/τ, without overshoot", above=0, tuned=True
        ),
    ] = None
    learner: PolicyGradient = PLAIN

    name: ClassVar[str] = "approximate-nash-mp"
    default_source: ClassVar[str] = "default"
    queries_per_step: ClassVar[int] = 1

    def with_theory_defaults(self, beta: float) -> Self:
        eta = 2 * beta if self.eta is None else self.eta
        # 20 inner steps are our choice: the paper leaves them open.
        # At an optimum the Hessian in logits is −τF(π), and F(π) has no eigenvalue above ½ [derived].
        tau = beta * (1 + 1 / eta)
        step = self.learner.default_step(2 / tau, 1 / tau) if self.step is None else self.step
        # The paper names no number of inner steps: 20 is our choice, as for nash-prox.
        return dataclasses.replace(self, eta=eta, inner=20 if self.inner is None else self.inner, step=step)

    def init(self, game: Game, key: jax.Array) -> ApproximateNashMPState:
        iterate = self.learner.start(game, key, self.step)
        steps = jnp.zeros((), jnp.int32)
        return ApproximateNashMPState(iterate, iterate.parameters, iterate.log_policy, iterate.advantage, steps)

    def update(self, game: Game, state: ApproximateNashMPState, key: jax.Array) -> ApproximateNashMPState:
        iterate, whole, log_opponent, advantage, steps = state
        log_whole = self.learner.policy_at(game, whole)
        anchor = mixture(log_whole, game.log_reference, self.eta / (1 + self.eta))
        objective = Objective(iterate.log_policy, log_opponent, game.beta * (1 + 1 / self.eta), anchor, advantage)
        iterate, steps = self.learner.ascend(game, iterate, objective, self.step, key, fixed=True), steps + 1
        first_ends, second_ends = steps % (2 * self.inner) == self.inner, steps % (2 * self.inner) == 0
        whole = tree_where(second_ends, iterate.parameters, whole)
        log_opponent, advantage = tree_where(
            first_ends | second_ends, (iterate.log_policy, iterate.advantage), (log_opponent, advantage)
        )
        return ApproximateNashMPState(iterate, whole, log_opponent, advantage, steps)

    def log_policy(self, state: ApproximateNashMPState) -> jax.Array:
        return state.iterate.reported

    def advantage(self, state: ApproximateNashMPState) -> jax.Array | None:
        return state.iterate.known
