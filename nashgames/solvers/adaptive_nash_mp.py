"""Nash Mirror Prox with a step that adapts."""

import dataclasses
from dataclasses import dataclass
from typing import Annotated, ClassVar, NamedTuple, Self

import jax
import jax.numpy as jnp

from nashgames.core import simplex
from nashgames.core.game import Game
from nashgames.registry import Number
from nashgames.solvers import adaptive_step


class AdaptiveState(NamedTuple):
    """`log_policy` π_k with its `advantage`, and `log_next`, the policy whose query is next in turn: `[n]`, `[m, n]`
    over contexts. If `accepted` that is π_{k+1}, else a half step of size `eta`. `spare`: queries that may be lost.
    """

    log_policy: jax.Array
    advantage: jax.Array
    log_next: jax.Array
    accepted: jax.Array
    eta: jax.Array
    spare: jax.Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class AdaptiveNashMP:
    """Nash-MP with backtracking: the largest step that passes a test, which needs no extra query.

    π_{k+½} and π_{k+1} are those of Nash-MP with step η_k; they are taken if
    (1+η_k) KL(π_{k+½}‖π_{k+1}) ≤ 0.95 KL(π_{k+½}‖π_k),
    and a smaller step is tried from π_k if not. Every step taken obeys KL(π*‖π_{k+1}) ≤ KL(π*‖π_k)/(1+η_k): theory
    asks for s⟨q(π_{k+½}) − q(π_k), π_{k+1} − π_{k+½}⟩ ≤ (1+η) KL(π_{k+1}‖π_{k+½}) + KL(π_{k+½}‖π_k), whose left side is
    1+η times the Jeffreys divergence of π_{k+½} and π_{k+1}; subtracting leaves the two terms above [derived].

    One update makes one query, of a half step or of the policy just accepted: a step costs two, a rejected trial one.
    Small steps have a ratio of the two sides like κη²/(1+η), and the next trial is the η for which that is 0.7.
    The step `least` is not tested: 2β is admissible in every game. A larger one is tried while queries are spare: at
    any time at most 1.25 times the queries have been made with which the least step proves the same contraction, and 8.
    Source: theory §4.7.

    Example:
        >>> import nashgames as ng
        >>> ng.AdaptiveNashMP().with_theory_defaults(beta=0.5).least
        1.0
    """

    least: Annotated[
        float | None,
        Number("the smallest η, taken without a test; default 2β, admissible in every game", symbol="η ≥", above=0),
    ] = None

    name: ClassVar[str] = "adaptive-nash-mp"
    queries_per_step: ClassVar[int] = 1

    def with_theory_defaults(self, beta: float) -> Self:
        return dataclasses.replace(self, least=2 * beta if self.least is None else self.least)

    def init(self, game: Game, key: jax.Array) -> AdaptiveState:
        start, advantage = game.start, game.query(game.start, jax.random.fold_in(key, 0))
        eta, spare = (
            jnp.asarray(adaptive_step.FIRST_TRIAL * self.least, start.dtype),
            jnp.asarray(adaptive_step.SPARE_QUERIES, start.dtype),
        )
        half = simplex.prox(start, game.log_reference, advantage, game.beta, eta)
        return AdaptiveState(start, advantage, half, jnp.zeros((), bool), eta, spare)

    def update(self, game: Game, state: AdaptiveState, key: jax.Array) -> AdaptiveState:
        queried = game.query(state.log_next, jax.random.fold_in(key, 0))
        arrived = state.accepted
        # As the query of a half step: the whole step, whether it is admissible, and the size of the next one.
        whole = simplex.prox(state.log_policy, game.log_reference, queried, game.beta, state.eta)
        ratio = adaptive_step.admissibility_ratio(game, state.log_policy, state.log_next, whole, state.eta)
        # What is not a number passes, so that the run is seen to diverge.
        passed = ~(ratio > adaptive_step.ADMISSIBLE) | (state.eta <= self.least)
        spare = state.spare + adaptive_step.query_allowance(passed, 2, state.eta, self.least)
        eta = jnp.where(spare >= 1, adaptive_step.next_eta(passed, ratio, state.eta, self.least), self.least)
        # As the query of the policy accepted before: it is reported, and the next half step starts there.
        log_policy = jnp.where(arrived, state.log_next, state.log_policy)
        advantage = jnp.where(arrived, queried, state.advantage)
        eta, spare = jnp.where(arrived, state.eta, eta), jnp.where(arrived, state.spare, spare)
        half = simplex.prox(log_policy, game.log_reference, advantage, game.beta, eta)
        accepted = passed & ~arrived
        return AdaptiveState(log_policy, advantage, jnp.where(accepted, whole, half), accepted, eta, spare)

    def log_policy(self, state: AdaptiveState) -> jax.Array:
        return state.log_policy

    def advantage(self, state: AdaptiveState) -> jax.Array | None:
        return state.advantage
