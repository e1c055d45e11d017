"""Nash Mirror Prox."""

import dataclasses
from dataclasses import dataclass
from typing import Annotated, ClassVar, Self

import jax

from nashgames.core import simplex
from nashgames.core.game import Game
from nashgames.registry import Number
from nashgames.solvers.protocol import PolicyState


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class NashMP:
    """Nash Mirror Prox: two proximal steps, the second against the first one's policy.

    log π_{k+½} = [log π_k + η log μ + (η/β) q(π_k)]   / (1+η) − log Z
    log π_{k+1} = [log π_k + η log μ + (η/β) q(π_{k+½})] / (1+η) − log Z

    One step is an identity, for every η and with any vector in the place of q(π_k):
    η KL(π_{k+½}‖π*) + (1+η) KL(π*‖π_{k+1}) = KL(π*‖π_k) − [KL(π_{k+½}‖π_k) − (1+η) KL(π_{k+½}‖π_{k+1})].
    For η ≤ 2β the bracket is at least 0 in every game, and dropping it leaves for the last iterate
    KL(π*‖π_K) ≤ (1+η)^{−K}/(2β) from π_0 = μ, N = 2K queries, whatever n.
    In tabular form this is EGPO (Zhou et al. 2025) with η_EGPO β = η/(1+η), and the predictive update of Cen, Wei and
    Chi (2021). Source: arXiv 2505.19731 v1; constants derived (theory §4.1).

    Example:
        >>> import nashgames as ng
        >>> solver = ng.NashMP().with_theory_defaults(beta=0.5)
        >>> solver.eta, solver.queries_per_step
        (1.0, 2)
    """

    eta: Annotated[
        float | None,
        Number(
            "η, the papers' step (the mirror step is η/β); default 2β, the largest proved one",
            symbol="η",
            above=0,
            tuned=True,
        ),
    ] = None

    name: ClassVar[str] = "nash-mp"
    queries_per_step: ClassVar[int] = 2

    def with_theory_defaults(self, beta: float) -> Self:
        return dataclasses.replace(self, eta=2 * beta if self.eta is None else self.eta)

    def init(self, game: Game, key: jax.Array) -> PolicyState:
        return PolicyState(game.start, game.query(game.start, jax.random.fold_in(key, 0)))

    def update(self, game: Game, state: PolicyState, key: jax.Array) -> PolicyState:
        half = simplex.prox(state.log_policy, game.log_reference, state.advantage, game.beta, self.eta)
        advantage = game.query(half, jax.random.fold_in(key, 0))
        log_policy = simplex.prox(state.log_policy, game.log_reference, advantage, game.beta, self.eta)
        return PolicyState(log_policy, game.query(log_policy, jax.random.fold_in(key, 1)))

    def log_policy(self, state: PolicyState) -> jax.Array:
        return state.log_policy

    def advantage(self, state: PolicyState) -> jax.Array | None:
        return state.advantage
