"""A wrapper that has a tabular solver learn from duels instead of exact advantages."""

import dataclasses
import itertools
from dataclasses import dataclass
from typing import Any, Self

import jax
import jax.numpy as jnp

from nashgames.core.game import Game
from nashgames.learning.feedback import Feedback
from nashgames.solvers.protocol import Solver


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Sampled:
    """`solver` on estimates of q(π) = Aπ from duels: y uniform against y' ~ π, each duel weighted by 1/ν(y) = n.

    q̂(y) = (n/B) Σ_b 1[y_b = y] (o_b − ½): unbiased, and of variance at most n/(4B) an action whatever π is, where
    on-policy importance weights 1/π(y) have no bound. Every query the solver makes draws its own duels. What is
    measured is the exact game. Source: theory §3.
    """

    solver: Solver
    feedback: Feedback

    @property
    def name(self) -> str:
        return self.solver.name

    @property
    def queries_per_step(self) -> int:
        return self.solver.queries_per_step

    def with_theory_defaults(self, beta: float) -> Self:
        return dataclasses.replace(self, solver=self.solver.with_theory_defaults(beta))

    def init(self, game: Game, key: jax.Array) -> Any:
        return self.solver.init(self._judged(game, key), key)

    def update(self, game: Game, state: Any, key: jax.Array) -> Any:
        return self.solver.update(self._judged(game, key), state, key)

    def log_policy(self, state: Any) -> jax.Array:
        return self.solver.log_policy(state)

    def advantage(self, game: Game, state: Any) -> jax.Array:
        return game.advantage(self.solver.log_policy(state))

    def _judged(self, game: Game, key: jax.Array) -> Any:
        return _Judged(game, self.feedback, key)


class _Judged:
    """A game as a solver sees it through duels: its advantage is an estimate, all else is the game's."""

    def __init__(self, game: Game, feedback: Feedback, key: jax.Array) -> None:
        self._game, self._feedback, self._key = game, feedback, key
        # Counted while the update is traced: its second query gets other random numbers than its first.
        self._queries = itertools.count()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._game, name)

    def advantage(self, log_policy: jax.Array) -> jax.Array:
        uniform = jnp.full_like(log_policy, -jnp.log(self._game.actions))
        key = jax.random.fold_in(self._key, next(self._queries))
        return self._game.actions * self._feedback.tally(self._game, uniform, log_policy, key).margins
