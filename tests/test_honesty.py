"""Nobody is judged by his own word: what a solver reports wrongly ends in one sentence, never in a curve."""

import dataclasses
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nashgames.core import simplex
from nashgames.core.game import make_game
from nashgames.engine.batch import Batch
from nashgames.engine.settings import Settings
from nashgames.errors import NashGamesError
from nashgames.learning.feedback import FEEDBACKS
from nashgames.solvers import MirrorDescent, make_solver
from nashgames.solvers.protocol import PolicyState
from tests.games import ROCK_PAPER_SCISSORS, lane, log_softmax, measured, played

GAME = make_game(ROCK_PAPER_SCISSORS, beta=0.1, log_reference=log_softmax(np.array([1.0, 0.0, -1.0])))
# The records are far apart, so that a sentence about a step between them comes from the moment of stopping.
FAR = Settings(queries=400, tolerance=1e-3, record_every=200)


def liar(**members):
    """A mirror descent whose other members are these."""
    kind = type("Liar", (MirrorDescent,), {"__annotations__": {}, "name": "liar", **members})
    return jax.tree_util.register_dataclass(dataclass(frozen=True)(kind))()


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Speaker:
    """A mirror descent whose lies are numbers, of one program: what it says and asks, and whether it moves."""

    begins_at_reference: float = 0.0
    moves: float = 1.0
    tells_probabilities: float = 0.0
    asks_with_probabilities: float = 0.0
    advantage_by: float = 1.0
    advantage_plus: float = 0.0

    name = "speaker"
    queries_per_step = 1

    def with_theory_defaults(self, beta):
        return self

    def init(self, game, key):
        start = jnp.where(self.begins_at_reference > 0, game.log_reference, game.start)
        return PolicyState(start, game.query(start, key))

    def update(self, game, state, key):
        moved = simplex.normalise(state.log_policy + 0.1 * self.moves * state.advantage)
        asked = jnp.where(self.asks_with_probabilities > 0, jnp.exp(moved), moved)
        return PolicyState(moved, game.query(asked, key))

    def log_policy(self, state):
        return jnp.where(self.tells_probabilities > 0, jnp.exp(state.log_policy), state.log_policy)

    def advantage(self, state):
        return self.advantage_by * state.advantage + self.advantage_plus


def asks_twice(self, game, state, key):
    return MirrorDescent.update(self, game, MirrorDescent.update(self, game, state, key), key)


def asks_until_it_is_content(self, game, state, key):
    return jax.lax.while_loop(
        lambda state: jnp.max(state.advantage) > 0.01, lambda state: MirrorDescent.update(self, game, state, key), state
    )


def knows_for_nothing(self, game, state, key):
    told = game.query(state.log_policy, key)
    return PolicyState(state.log_policy, told + 0 * game.advantage(state.log_policy))


def looks_for_itself(self, game, state, key):
    step = jax.jit(lambda values, policy: jnp.einsum("ij,j->i", values, policy))
    told = game.query(state.log_policy, key)
    return PolicyState(state.log_policy, told + 0 * step(game.margins.values, jnp.exp(state.log_policy)))


class Keeper(NamedTuple):
    """A state that carries A away."""

    honest: PolicyState
    values: Any


def keeps_the_game(self, game, key):
    return Keeper(MirrorDescent.init(self, game, key), game.margins.values)


HONEST_OF_KEEPER = {
    "update": lambda self, game, state, key: state._replace(honest=MirrorDescent.update(self, game, state.honest, key)),
    "log_policy": lambda self, state: state.honest.log_policy,
    "advantage": lambda self, state: state.honest.advantage,
}


@pytest.mark.parametrize(
    ("lie", "said"),
    [
        ({"moves": 0.0, "advantage_by": 0.0}, "the advantage of the solver 'speaker' at step 0 is not Aπ"),
        ({"tells_probabilities": 1.0}, "the policy of the solver 'speaker' at step 0 does not sum to 1"),
        ({"asks_with_probabilities": 1.0}, "the advantage of the solver 'speaker' at step 1 is not Aπ"),
        ({"advantage_plus": 1e-7}, "the advantage of the solver 'speaker' at step 0 is not Aπ"),
        ({"advantage_by": -1.0}, "the advantage of the solver 'speaker' at step 0 is not Aπ"),
    ],
)
def test_what_is_said_wrongly_is_told_with_the_solver_and_the_step(lie, said):
    played([GAME], [[lane(GAME, Speaker())]], Settings(queries=12, record_every=1))
    with pytest.raises(NashGamesError) as told:
        played([GAME], [[lane(GAME, Speaker(**lie))]], Settings(queries=12, record_every=1))
    assert said in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"update": asks_twice}, "one step of the solver 'liar' makes 2 queries, but queries_per_step is 1; declare 2"),
        ({"queries_per_step": 3}, "one step of the solver 'liar' makes 1 query, but queries_per_step is 3; declare 1"),
        ({"queries_per_step": 0}, "queries_per_step of the solver 'liar' is 0; declare the queries of one step"),
        ({"update": looks_for_itself}, "the solver 'liar' reads the margins themselves; ask game.query or game.tally"),
        ({"init": keeps_the_game, **HONEST_OF_KEEPER}, "the solver 'liar' reads the margins themselves"),
        ({"update": asks_until_it_is_content}, "the queries of the solver 'liar' cannot be counted"),
    ],
)
def test_what_is_asked_wrongly_is_told_before_a_step(members, said):
    with pytest.raises(NashGamesError) as told:
        played([GAME], [[lane(GAME, liar(**members))]], Settings(queries=12, record_every=1))
    assert said in str(told.value)
    assert "\n" not in str(told.value)


def test_on_duels_the_exact_advantage_is_knowledge_that_nobody_paid_for():
    on_duels = lane(GAME, liar(update=knows_for_nothing))
    on_duels = dataclasses.replace(on_duels, feedback=FEEDBACKS.make("duels[batch=4]"))
    with pytest.raises(NashGamesError, match="'liar' reads the exact advantage once although it learns from duels"):
        Batch([GAME], [[on_duels]], Settings(queries=12))


def test_a_solver_that_begins_elsewhere_than_the_run_says_so():
    start = log_softmax(np.array([0.0, 0.5, 0.2]))
    stubborn, willing = (
        dataclasses.replace(one, log_start=start)
        for one in (lane(GAME, Speaker(begins_at_reference=1.0)), lane(GAME, Speaker()))
    )
    played([GAME], [[willing]], Settings(queries=12))
    with pytest.raises(NashGamesError, match="'speaker' does not begin at the start that the run asks for"):
        played([GAME], [[stubborn]], Settings(queries=12))


def test_exact_zeros_are_where_a_run_may_begin_and_not_where_it_may_begin_instead():
    corner, inside = np.array([-np.inf, 0.0, -np.inf]), log_softmax(np.array([0.0, 0.5, 0.2]))
    solver = make_solver("extragradient-regret-matching-plus[step=0.1]")
    asked = dataclasses.replace(lane(GAME, solver), log_start=corner)
    curve = played([GAME], [[asked]], Settings(queries=4, tolerance=0)).curves()[0][0]
    assert np.isfinite(curve.metrics["suboptimality"]).all()
    assert curve.metrics["entropy"][0] == 0

    def begins_at_the_corner(self, game, key):
        return PolicyState(jnp.asarray(corner), game.query(jnp.asarray(corner), key))

    elsewhere = liar(init=begins_at_the_corner)
    moved = dataclasses.replace(lane(GAME, elsewhere), log_start=inside)
    with pytest.raises(NashGamesError, match="does not begin at the start"):
        played([GAME], [[moved]], Settings(queries=12))


def test_on_duels_the_start_tells_nothing_that_nobody_paid_for():
    def begins_knowing(self, game, key):
        return PolicyState(game.start, game.advantage(game.start))

    on_duels = lane(GAME, liar(init=begins_knowing))
    on_duels = dataclasses.replace(on_duels, feedback=FEEDBACKS.make("duels[batch=4]"))
    with pytest.raises(NashGamesError, match="init of the solver 'liar' reads the exact advantage once although"):
        Batch([GAME], [[on_duels]], Settings(queries=12))


class Diary(NamedTuple):
    """A policy and its advantage, and what the lie needs: the step, log μ and β."""

    honest: PolicyState
    step: Any
    log_reference: Any
    beta: Any


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Once:
    """Mirror descent that claims at step `when` alone to be at its best response: q = β (log π − log μ)."""

    when: int
    step: float = 0.1

    name = "once"
    queries_per_step = 1

    def with_theory_defaults(self, beta):
        return self

    def init(self, game, key):
        first = MirrorDescent(self.step).init(game, key)
        return Diary(first, jnp.zeros((), jnp.int32), game.log_reference, game.beta)

    def update(self, game, state, key):
        honest = MirrorDescent(self.step).update(game, state.honest, key)
        return Diary(honest, state.step + 1, game.log_reference, game.beta)

    def log_policy(self, state):
        return state.honest.log_policy

    def advantage(self, state):
        best = state.beta * (state.honest.log_policy - state.log_reference)
        return jnp.where(state.step == self.when, best, state.honest.advantage)


NEVER = 10**9


def test_a_lie_at_the_moment_of_stopping_is_told_whoever_is_in_the_batch():
    with pytest.raises(NashGamesError, match="the advantage of the solver 'once' at step 7 is not Aπ"):
        played([GAME], [[lane(GAME, Once(NEVER)), lane(GAME, Once(7))]], FAR)


def test_the_honest_run_stops_where_the_tolerance_is_truly_reached():
    """And not at the claim: the same solver, without its lie."""
    honest = lane(GAME, Once(NEVER))
    curve = played([GAME], [[honest, honest]], FAR).curves()[0][0]
    assert (curve.status, FAR.tolerance > curve.metrics["suboptimality"][-1] > 0) == ("converged", True)
    truth = measured(GAME, curve.log_policy, lane(GAME, "nash-mp").log_equilibrium)
    assert truth["suboptimality"] == pytest.approx(curve.metrics["suboptimality"][-1], rel=1e-9)
    assert curve.steps[-1] > 7


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Early(Once):
    """Claims to be at its best response as soon as that is within what rounding may do to an advantage."""

    name = "early"

    def advantage(self, state):
        own = state.honest.advantage
        best = state.beta * (state.honest.log_policy - state.log_reference)
        best = best + jnp.mean(own - best)
        return jnp.where(jnp.max(jnp.abs(best - own)) < 1e-8, best, own)


def test_a_claim_that_rounding_would_excuse_makes_the_engine_look_and_decides_nothing():
    settings = Settings(queries=400, tolerance=1e-22, record_every=1)
    curve = played([GAME], [[lane(GAME.replace(beta=0.5), Early(NEVER, step=1.0))]], settings).curves()[0][0]
    claimed = curve.metrics["suboptimality"] < 1e-17
    assert curve.status == "converged"
    assert curve.metrics["suboptimality"][-1] <= settings.tolerance
    assert claimed.sum() > 1, "it was claimed before it was so"
