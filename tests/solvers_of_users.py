"""Solvers as a user writes them: plain frozen dataclasses that the library has never seen."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nashgames.core import simplex


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Sppo:
    """π_{t+1} ∝ π_t e^{ηq_t} (theory §4.6): the state is the policy alone, which knows no advantage."""

    eta: float

    name = "sppo"
    queries_per_step = 1

    def with_theory_defaults(self, beta):
        return self

    def init(self, game, key):
        return game.start

    def update(self, game, state, key):
        return simplex.normalise(state + self.eta * game.query(state, key))

    def log_policy(self, state):
        return state

    def advantage(self, state):
        return None


class Pair(NamedTuple):
    log_policy: Any
    advantage: Any


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Optimistic:
    """(1+η) log π_{t+1} = log π_t + η log μ + s(2q_t − q_{t−1}) with s = η/β (theory §4.6), one query a step."""

    eta: float | None = None

    name = "optimistic"
    queries_per_step = 1

    def with_theory_defaults(self, beta):
        return Optimistic(beta if self.eta is None else self.eta)

    def init(self, game, key):
        first = Pair(game.start, game.query(game.start, key))
        return first, first.advantage

    def update(self, game, state, key):
        (log_policy, advantage), before = state
        new = simplex.prox(log_policy, game.log_reference, 2 * advantage - before, game.beta, self.eta)
        return Pair(new, game.query(new, key)), advantage

    def log_policy(self, state):
        return state[0].log_policy

    def advantage(self, state):
        return state[0].advantage


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Fragile:
    """Sppo with noise of its key that turns NaN at step `breaks`: what randomness and divergence are tested with.

    Its state holds, beside a policy, the kinds of leaves that a solver may want: counts, flags and a key.
    """

    eta: float
    noise: float
    breaks: int

    name = "fragile"
    queries_per_step = 1

    def with_theory_defaults(self, beta):
        return self

    def init(self, game, key):
        others = {"steps": jnp.zeros((), jnp.uint32), "broken": jnp.zeros((), bool), "key": key}
        return Pair(game.start, game.query(game.start, key)), others

    def update(self, game, state, key):
        (log_policy, advantage), others = state
        steps = others["steps"] + jnp.uint32(1)
        noise = self.noise * jax.random.normal(key, log_policy.shape, log_policy.dtype)
        new = simplex.normalise(log_policy + self.eta * advantage + noise)
        broken = steps.astype(jnp.int32) == self.breaks
        new = jnp.where(broken, jnp.nan, new)
        return Pair(new, game.query(new, key)), {"steps": steps, "broken": broken, "key": key}

    def log_policy(self, state):
        return state[0].log_policy

    def advantage(self, state):
        return state[0].advantage
