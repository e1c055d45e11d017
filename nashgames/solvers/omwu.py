"""Optimistic multiplicative weights on the original game."""

import dataclasses
from dataclasses import dataclass
from typing import Annotated, ClassVar, Self

import jax

from nashgames.core import simplex
from nashgames.core.game import Game
from nashgames.registry import Number
from nashgames.solvers.protocol import OptimisticState


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class OMWU:
    """Optimistic multiplicative weights: π_{t+1} ∝ π_t e^{a(2q(π_t) − q(π_{t−1}))}, one query per step.

    It does not use β: it solves the original game (`--target original`), of which it reaches an equilibrium in the last
    iterate, linearly after a burn-in where one of full support exists and a is small enough (arXiv 2512.24818).

    The default a = 1 is 1/(2L) with L = max|A| ≤ ½. Near an equilibrium of full support the errors of log π turn with
    the eigenvalues ±iλ of AD, D = diag π − ππᵀ, and shrink while aλ < 1/√3; as λ ≤ 1/(2√2), that is so in every game
    for a < 1.63 [derived]. Source: theory §4.6.

    Example:
        >>> import nashgames as ng
        >>> ng.make_solver("omwu").with_theory_defaults(beta=0).step
        1.0
    """

    step: Annotated[float | None, Number("a, the step on q; default 1", above=0, tuned=True)] = None

    name: ClassVar[str] = "omwu"
    fixed_point: ClassVar[str] = "original"
    queries_per_step: ClassVar[int] = 1

    def with_theory_defaults(self, beta: float) -> Self:
        return dataclasses.replace(self, step=1.0 if self.step is None else self.step)

    def init(self, game: Game, key: jax.Array) -> OptimisticState:
        advantage = game.query(game.start, jax.random.fold_in(key, 0))
        return OptimisticState(game.start, advantage, advantage)

    def update(self, game: Game, state: OptimisticState, key: jax.Array) -> OptimisticState:
        log_policy = simplex.normalise(state.log_policy + self.step * (2 * state.advantage - state.before))
        return OptimisticState(log_policy, game.query(log_policy, jax.random.fold_in(key, 0)), state.advantage)

    def log_policy(self, state: OptimisticState) -> jax.Array:
        return state.log_policy

    def advantage(self, state: OptimisticState) -> jax.Array | None:
        return state.advantage
