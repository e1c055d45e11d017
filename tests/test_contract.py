"""`check_solver`: ours keep every promise, and every broken one is found and explained."""

import dataclasses
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import pytest

from nashgames.core import simplex
from nashgames.solvers import SOLVERS, make_solver
from nashgames.verification import contract
from nashgames.verification.contract import check_solver


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Good:
    """Regularised self-play written by hand: π ∝ π^{1−aβ} μ^{aβ} e^{a q(π)}."""

    step: float | None = None

    name = "good"
    queries_per_step = 1

    def with_theory_defaults(self, beta):
        return dataclasses.replace(self, step=4 * beta / (1 + 4 * beta**2) if self.step is None else self.step)

    def init(self, game, key):
        return game.start

    def update(self, game, state, key):
        pull = game.beta * (game.log_reference - state)
        return simplex.normalise(state + self.step * (game.query(state, key) + pull))

    def log_policy(self, state):
        return state

    def advantage(self, state):
        return None


def registered(**members):
    """A solver like `Good` with other members."""
    kind = type("Bad", (Good,), {"__annotations__": {}, **members})
    return jax.tree_util.register_dataclass(dataclass(frozen=True)(kind))


def wrong_sign(self, game, state, key):
    return simplex.normalise(state - self.step * game.query(state, key))


def python_condition(self, game, state, key):
    return state if state[0] > 0 else Good.update(self, game, state, key)


def exact_in_secret(self, game, state, key):
    return simplex.normalise(state + self.step * game.advantage(state))


def without_key(self, game, state, key):
    return Good.update(self, game, state, jax.random.key(3, impl="threefry2x32"))


def divided(self, beta):
    return dataclasses.replace(self, step=1 / beta)


def divides_by_beta(self, game, state, key):
    return simplex.normalise(state + 0.1 * game.query(state, key) / game.beta)


def narrower(self, game, state, key):
    return Good.update(self, game, state, key).astype(jnp.float32)


PROMISES = {promise: attempt for promise, _, attempt in contract._PROMISES}


def broken_at_zero(self, beta):
    return dataclasses.replace(self, step=float("inf") if beta == 0 else 1.0)


BROKEN = {
    "β = 0, the original game": [
        ({"fixed_point": "original", "with_theory_defaults": broken_at_zero}, "leaves step without a finite number"),
        (
            {"fixed_point": "original", "with_theory_defaults": divided},
            "ZeroDivisionError at line",
        ),
        ({"fixed_point": "original", "update": divides_by_beta}, "it diverges at β = 0, at step 1"),
    ],
    "update keeps the structure of the state": [
        ({"update": python_condition}, "a Python condition or conversion asks for a traced number at line"),
        ({"update": narrower}, "in a run of float64 update turns the state from float64[7] into float32[7]"),
        ({"init": lambda self, game, key: (game.start, 0)}, "TypeError at line"),
        ({"log_policy": lambda self, state: state[1:]}, "log_policy returns float64[6]"),
    ],
    "queries_per_step is correct": [
        ({"queries_per_step": 2}, "makes 1 query, but queries_per_step is 2; declare 1"),
        ({"update": exact_in_secret}, "reads the exact advantage once although it learns from duels"),
    ],
    "log_policy and advantage are correct": [
        ({"log_policy": lambda self, state: jnp.exp(state)}, "at step 0 does not sum to 1"),
        ({"advantage": lambda self, state: jnp.zeros_like(state)}, "is not Aπ of the policy that it reports"),
    ],
    "starts at game.start": [
        ({"init": lambda self, game, key: game.log_reference}, "init does not start at game.start"),
    ],
    "the key is its only randomness": [({"update": without_key}, "runs of two seeds on duels are equal")],
    "the equilibrium is a fixed point": [({"update": wrong_sign}, "it leaves the equilibrium")],
}


def test_a_good_solver_keeps_every_promise():
    findings = check_solver(Good())
    assert [(found.promise, found.kept) for found in findings] == [(name, True) for name in PROMISES]
    assert findings[3].seen.startswith("normalised; it reports no advantage; suboptimality ")


def test_an_advantage_is_praised_only_where_it_is_reported():
    assert contract._honest(make_solver("nash-mp")).startswith("normalised, and its advantage is Aπ; ")


@pytest.mark.parametrize("name", SOLVERS)
def test_ours_keep_the_promises_that_cost_no_run(name):
    for promise in ("numbers are the leaves of a pytree", "update keeps the structure of the state"):
        PROMISES[promise](make_solver(name))
    PROMISES["queries_per_step is correct"](make_solver(name))


@pytest.mark.parametrize(
    ("promise", "members", "words"), [(promise, *case) for promise, cases in BROKEN.items() for case in cases]
)
def test_a_broken_promise_is_found_and_explained(promise, members, words):
    found = contract._tried(promise, PROMISES[promise], registered(**members)())
    assert found.kept is False
    assert words in found.seen


def test_what_needs_a_broken_promise_is_not_tried():
    found = check_solver(registered(update=python_condition)())
    assert [each.kept for each in found] == [True, False] + [None] * (len(PROMISES) - 2)


def test_a_number_that_is_static_compiles_again():
    @jax.tree_util.register_dataclass
    @dataclass(frozen=True)
    class Static(Good):
        step: float | None = dataclasses.field(default=None, metadata={"static": True})

    found = contract._tried("", PROMISES["new numbers do not recompile"], Static())
    assert "another number compiles another program, as it makes step static" in found.seen


def test_a_solver_says_where_it_rests():
    """Unregularised self-play rests at the equilibrium of the original game alone."""
    plain = registered(update=lambda self, game, s, key: simplex.normalise(s + self.step * game.query(s, key)))
    rests = PROMISES["the equilibrium is a fixed point"]
    assert contract._tried("", rests, plain()).kept is False
    plain.fixed_point = "original"
    assert contract._tried("", rests, plain()).kept is True
    plain.fixed_point = "own"
    assert "of its own" in rests(plain())


def test_a_solver_that_is_no_pytree_is_told_what_to_write():
    @dataclass(frozen=True)
    class Opaque(Good):
        pass

    assert "register_dataclass" in check_solver(Opaque())[0].seen


def test_a_number_that_stays_none_is_named():
    found = check_solver(registered(with_theory_defaults=lambda self, beta: self)())
    assert found[0].seen.startswith("step stays None after with_theory_defaults")
