"""The proximal-point method, its outer equilibria found by Nash Mirror Prox."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Annotated, ClassVar, Self

import jax
import jax.numpy as jnp

from nashgames.core import simplex
from nashgames.core.game import Game
from nashgames.registry import Number
from nashgames.solvers.protocol import AnchoredState


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class ProximalPoint:
    """The outer loop of Nash Prox with an inner loop that converges.

    π_{k+1} is the equilibrium of the game with temperature τ = β(1+1/η) and reference π̄_k ∝ μ^{η/(1+η)} π_k^{1/(1+η)},
    approached by `inner` steps of Nash-MP on that game with its largest proved step h = 2τ, from π_k. Two queries an
    inner step; the inner iterates are reported.

    KL(π*‖π_{k+1}) ≤ (1 + η(1+h)^{−m})/(1+η) · KL(π*‖π_k) for every η > 0 and `inner` = m ≥ 1, however far the inner
    loop is from its own equilibrium [derived]: with comparator π* the inequality of a Nash-MP step in the inner game
    is (1+h) KL(π*‖π^{i+1}) + (hβ/τ) KL(π^{i+½}‖π*) ≤ KL(π*‖π^i) + (h/(1+η)) (KL(π*‖π_k) − KL(π^{i+½}‖π_k)).
    Source: arXiv 2505.19731 v2 (structure); Liu et al. 2024 (conceptual prox); theory §4.5.

    Example:
        >>> import nashgames as ng
        >>> solver = ng.ProximalPoint().with_theory_defaults(beta=0.5)
        >>> solver.eta, solver.inner
        (1.0, 3)
    """

    eta: Annotated[
        float | None,
        Number("η of the outer proximal step (papers' scale), any size; default 1", symbol="η", above=0, tuned=True),
    ] = None
    inner: Annotated[
        int | None,
        Number("Nash-MP steps per outer step; default ln 10 / ln(1+2τ), enough to lose at most 10 % of η", least=1),
    ] = None

    name: ClassVar[str] = "proximal-point"
    queries_per_step: ClassVar[int] = 2

    def with_theory_defaults(self, beta: float) -> Self:
        eta = 1.0 if self.eta is None else self.eta
        enough = math.ceil(math.log(10) / math.log1p(2 * beta * (1 + 1 / eta)))
        return dataclasses.replace(self, eta=eta, inner=enough if self.inner is None else self.inner)

    def init(self, game: Game, key: jax.Array) -> AnchoredState:
        start = game.start
        advantage = game.query(start, jax.random.fold_in(key, 0))
        return AnchoredState(start, advantage, start, jnp.zeros((), jnp.int32))

    def update(self, game: Game, state: AnchoredState, key: jax.Array) -> AnchoredState:
        temperature = game.beta * (1 + 1 / self.eta)
        log_inner = simplex.geometric_mixture(state.log_anchor, game.log_reference, self.eta / (1 + self.eta))
        step = 2 * temperature
        half = simplex.prox(state.log_policy, log_inner, state.advantage, temperature, step)
        log_policy = simplex.prox(
            state.log_policy, log_inner, game.query(half, jax.random.fold_in(key, 0)), temperature, step
        )
        steps = state.steps + 1
        log_anchor = jnp.where(steps % self.inner == 0, log_policy, state.log_anchor)
        return AnchoredState(log_policy, game.query(log_policy, jax.random.fold_in(key, 1)), log_anchor, steps)

    def log_policy(self, state: AnchoredState) -> jax.Array:
        return state.log_policy

    def advantage(self, state: AnchoredState) -> jax.Array | None:
        return state.advantage
