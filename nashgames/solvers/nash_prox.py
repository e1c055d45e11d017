"""Nash Prox: self-play policy gradient inside a proximal-point outer loop."""

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, NamedTuple, Self

import jax
import jax.numpy as jnp

from nashgames.core.game import Game
from nashgames.learning.policy_gradient import (
    PLAIN,
    Iterate,
    Objective,
    PolicyGradient,
    mixture,
    polyak_update,
    tree_where,
)
from nashgames.learning.steps import mirror_step, stable_step
from nashgames.registry import Number


class NashProxState(NamedTuple):
    """`iterate` of the inner loop; `target`: the parameters of π_k; `steps`: gradient steps taken."""

    iterate: Iterate
    target: Any
    steps: jax.Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class NashProx:
    """Nash Prox: self-play policy gradient inside a proximal-point outer loop.

    Each outer step is the equilibrium of the game with temperature τ = β(1+1/η) and reference
    π̄_k ∝ μ^{η/(1+η)} π_k^{1/(1+η)}, approached by `inner` steps of self-play policy gradient (online IPO) from π_k:

    θ ← θ + a Σ_y π(y) [q(π) − τ log(π/π̄_k)](y) ∇ log π_θ(y), and after every `inner` steps
    θ_target ← (1−κ) θ_target + κ θ, π_k = π at θ_target. On duels y ~ π_θ against y' ~ π_θ, baseline ½.

    κ = 1 with `inner` steps is the proximal-point loop; `inner` = 1 with κ < 1 is the practical moving-average target.
    One query per gradient step. An exact outer step contracts, KL(π*‖π_{k+1}) ≤ KL(π*‖π_k)/(1+η), for every η > 0. For
    a table on exact feedback the default step follows the curvature, with η = 8β and `inner` = 5; elsewhere it is
    constant, with η = 2β and `inner` = 20. The inner loop is then locally stable for a fixed anchor; with the moving
    anchor the whole loop is not stable in every game (theory §4.5). With steps that follow the curvature, η is the
    tuned parameter: where β is not small, ever larger η are faster, and in the limit the anchor is μ and the method
    online IPO (theory §6.1). A reconstruction: arXiv 2505.19731 v2 fixes the structure, not the inner loop (theory
    §4.5).

    Example:
        >>> import nashgames as ng
        >>> solver = ng.NashProx(inner=40).with_theory_defaults(beta=0.5)
        >>> solver.eta, solver.inner
        (4.0, 40)
    """

    eta: Annotated[
        float | None,
        Number(
            "η of the outer proximal step (papers' scale); default 8β, 2β with a constant step",
            symbol="η",
            above=0,
            tuned=True,
        ),
    ] = None
    inner: Annotated[
        int | None,
        Number(
            "gradient steps between moves of the target; default 5, 20 with a constant step, 1 if kappa < 1", least=1
        ),
    ] = None
    kappa: Annotated[
        float | None,
        Number("κ, how far the target moves to the policy each time; default 1", symbol="κ", above=0, most=1),
    ] = None
    step: Annotated[
        float | None,
        Number("a, the inner gradient step; default: follows the curvature, else 2τ/(¼+τ²)", above=0, tuned=True),
    ] = None
    learner: PolicyGradient = PLAIN

    name: ClassVar[str] = "nash-prox"
    queries_per_step: ClassVar[int] = 1

    def with_theory_defaults(self, beta: float) -> Self:
        # Our choices. Constant steps are short: 20 with η = 2β are stable where 5 with η = 4β are not (theory §4.5,
        # n = 9, β = 0.001). With steps that follow the curvature the others are the fastest of those that cycle in
        # none of 120 games (`benchmarks/field.py`).
        follows = self.step is None and self.learner.knows_curvature
        multiple, steps = (8, 5) if follows else (2, 20)
        eta = multiple * beta if self.eta is None else self.eta
        kappa = 1.0 if self.kappa is None else self.kappa
        inner = (steps if kappa == 1 else 1) if self.inner is None else self.inner
        tau = beta * (1 + 1 / eta)
        step = self.learner.default_step(stable_step(tau), mirror_step(tau)) if self.step is None else self.step
        return dataclasses.replace(self, eta=eta, inner=inner, kappa=kappa, step=step)

    def init(self, game: Game, key: jax.Array) -> NashProxState:
        iterate = self.learner.start(game, key, self.step)
        return NashProxState(iterate, iterate.parameters, jnp.zeros((), jnp.int32))

    def update(self, game: Game, state: NashProxState, key: jax.Array) -> NashProxState:
        iterate, target, steps = state
        log_target = self.learner.policy_at(game, target)
        anchor = mixture(log_target, game.log_reference, self.eta / (1 + self.eta))
        ours, temperature = iterate.log_policy, game.beta * (1 + 1 / self.eta)
        objective = Objective(ours, ours, temperature, anchor, iterate.advantage)
        iterate, steps = self.learner.ascend(game, iterate, objective, self.step, key), steps + 1
        moved = polyak_update(target, iterate.parameters, self.kappa)
        return NashProxState(iterate, tree_where(steps % self.inner == 0, moved, target), steps)

    def log_policy(self, state: NashProxState) -> jax.Array:
        return state.iterate.reported

    def advantage(self, state: NashProxState) -> jax.Array | None:
        return state.iterate.known
