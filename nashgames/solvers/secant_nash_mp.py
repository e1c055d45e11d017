"""Nash Mirror Prox whose half steps use a model of the game, built from its own queries."""

import dataclasses
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, NamedTuple, Self

import jax
import jax.numpy as jnp

from nashgames.core import simplex
from nashgames.core.game import Game
from nashgames.registry import Number
from nashgames.solvers import adaptive_step, secant_model

# Five planes of a skew matrix: more did not pay for the linear system of each step on the games that were tried.
_MEMORY = 10
# The system of a half step has twice as many unknowns and is solved at every step.
_MOST_REMEMBERED = 100
_TRIAL, _ANCHOR, _LEAST = range(3)


class SecantState(NamedTuple):
    """`log_policy` the last half step taken, with its `advantage`; `log_anchor` π_k; `log_next`, the policy whose query
    is next in turn: `[n]`, `[m, n]` over contexts. The last queries are kept as `policies` and `advantages`
    `[memory + 1, n]`, `[m, memory + 1, n]`. `turn` says what the next query is: of a half step on the model, of π_k, or
    of the least half step from it. `eta` of the next trial; `spare`: queries that may be lost.
    """

    log_policy: jax.Array
    advantage: jax.Array
    log_anchor: jax.Array
    log_next: jax.Array
    policies: jax.Array
    advantages: jax.Array
    turn: jax.Array
    eta: jax.Array
    spare: jax.Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class SecantNashMP:
    """Nash-MP whose half step is implicit, on a skew-symmetric secant model Â of the game fitted to the last queries.

    log π_{k+½} = [log π_k + η log μ + (η/β) q̂(π_{k+½})] / (1+η) − log Z,   q̂(π) = q(π_j) + Â(π − π_j), π_j queried last
    log π_{k+1} = [log π_k + η log μ + (η/β) q(π_{k+½})] / (1+η) − log Z

    One query per step, of π_{k+½}, which is what is reported. The identity of theory §4.1 holds with any vector in the
    place of q(π_k) [derived], so that the test of adaptive Nash-MP admits these steps as well, and each one taken obeys
    η KL(π_{k+½}‖π*) + (1+η) KL(π*‖π_{k+1}) ≤ KL(π*‖π_k). With Â exact it is the outer step of Nash Prox, admissible for
    every η: as the model learns the steps grow, and n queries tell all of A. A rejected trial teaches it too.

    Steps and spare queries are those of adaptive Nash-MP; without one π_k is queried, and the least step taken.
    Source: theory §4.7 (beyond the papers); hybrid proximal extragradient (Solodov and Svaiter 1999).

    Example:
        >>> import nashgames as ng
        >>> solver = ng.SecantNashMP().with_theory_defaults(beta=0.5)
        >>> solver.least, solver.memory
        (1.0, 10)
    """

    least: Annotated[
        float | None,
        Number("the smallest η; default 2β, with which Nash-MP is admissible in every game", symbol="η ≥", above=0),
    ] = None
    memory: Annotated[
        int | None, Number("queries that the model remembers; default 10", least=1, most=_MOST_REMEMBERED)
    ] = field(default=None, metadata={"static": True})

    name: ClassVar[str] = "secant-nash-mp"
    queries_per_step: ClassVar[int] = 1

    def with_theory_defaults(self, beta: float) -> Self:
        least = 2 * beta if self.least is None else self.least
        return dataclasses.replace(self, least=least, memory=_MEMORY if self.memory is None else self.memory)

    def init(self, game: Game, key: jax.Array) -> SecantState:
        start, advantage = game.start, game.query(game.start, jax.random.fold_in(key, 0))
        eta, spare = (
            jnp.asarray(adaptive_step.FIRST_TRIAL * self.least, start.dtype),
            jnp.asarray(adaptive_step.SPARE_QUERIES, start.dtype),
        )
        half = simplex.prox(start, game.log_reference, advantage, game.beta, eta)
        # Nothing is known yet: equal rows are no directions.
        policies, advantages = (
            jnp.repeat(rows[..., None, :], self.memory + 1, axis=-2) for rows in (jnp.exp(start), advantage)
        )
        turn = jnp.full((), _TRIAL, jnp.int32)
        return SecantState(start, advantage, start, half, policies, advantages, turn, eta, spare)

    def update(self, game: Game, state: SecantState, key: jax.Array) -> SecantState:
        queried = game.query(state.log_next, jax.random.fold_in(key, 0))
        policies = secant_model.remember(state.policies, jnp.exp(state.log_next))
        advantages = secant_model.remember(state.advantages, queried)
        trial, plain = state.turn == _TRIAL, state.turn == _LEAST
        # As the query of a half step: the whole step, and whether it is admissible.
        eta = jnp.where(trial, state.eta, self.least)
        whole = simplex.prox(state.log_anchor, game.log_reference, queried, game.beta, eta)
        ratio = adaptive_step.admissibility_ratio(game, state.log_anchor, state.log_next, whole, eta)
        passed = (trial & ~(ratio > adaptive_step.ADMISSIBLE)) | plain
        log_anchor, log_policy, advantage = jax.tree.map(
            lambda new, old: jnp.where(passed, new, old),
            (whole, state.log_next, queried),
            (state.log_anchor, state.log_policy, state.advantage),
        )
        gain = adaptive_step.query_allowance(passed, jnp.where(plain, 2, 1), eta, self.least)
        spare = state.spare + jnp.where(trial | plain, gain, 0)
        # What to query next, and for a trial how far to go.
        turn = jnp.where(trial | plain, jnp.where(spare >= 1, _TRIAL, _ANCHOR), _LEAST)
        eta = jnp.where(trial, adaptive_step.next_eta(passed, ratio, eta, self.least), state.eta)
        half = secant_model.half_step(policies, advantages, log_anchor, game.log_reference, game.beta, eta)
        least = simplex.prox(log_anchor, game.log_reference, queried, game.beta, self.least)
        log_next = jnp.where(turn == _TRIAL, half, jnp.where(turn == _ANCHOR, log_anchor, least))
        return SecantState(
            log_policy, advantage, log_anchor, log_next, policies, advantages, turn.astype(jnp.int32), eta, spare
        )

    def log_policy(self, state: SecantState) -> jax.Array:
        return state.log_policy

    def advantage(self, state: SecantState) -> jax.Array | None:
        return state.advantage
