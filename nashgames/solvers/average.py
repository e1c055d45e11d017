"""A wrapper that reports the average iterate of any solver."""

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Self

import jax
import jax.numpy as jnp

from nashgames.core import simplex
from nashgames.core.game import Game
from nashgames.errors import NashGamesError
from nashgames.solvers.protocol import Solver


class AverageState(NamedTuple):
    """`inner`: the wrapped solver's state; `log_policy`, `advantage` of the average, None where the solver knows none;
    `steps` averaged."""

    inner: Any
    log_policy: jax.Array
    advantage: jax.Array | None
    steps: jax.Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Average:
    """The arithmetic mean of the iterates π_1 … π_K of `solver`; its advantage, their mean, costs no query.

    π̄_K = (1/K) Σ_k π_k. The mean is taken in log space, so that probabilities below the smallest number stay exact.

    Example:
        >>> import nashgames as ng
        >>> ng.make_solver("average[sppo]").name
        'average[sppo]'
    """

    solver: Solver

    word: ClassVar[str] = "average"
    example: ClassVar[str] = "nash-mp"

    def check(self) -> None:
        """Every solver has an average."""

    @property
    def name(self) -> str:
        return f"average[{self.solver.name}]"

    @property
    def queries_per_step(self) -> int:
        return self.solver.queries_per_step

    def with_theory_defaults(self, beta: float) -> Self:
        return dataclasses.replace(self, solver=self.solver.with_theory_defaults(beta))

    def init(self, game: Game, key: jax.Array) -> AverageState:
        inner = self.solver.init(game, key)
        log_policy, advantage = self.solver.log_policy(inner), self.solver.advantage(inner)
        if not isinstance(log_policy, jax.Array):
            raise NashGamesError(
                f"{self.name} averages the probabilities of all actions, and its policy is only sampled; use "
                f"{self.solver.name} with the optimiser adam[average=0.95], which averages parameters"
            )
        return AverageState(inner, log_policy, advantage, jnp.zeros((), log_policy.dtype))

    def update(self, game: Game, state: AverageState, key: jax.Array) -> AverageState:
        inner = self.solver.update(game, state.inner, key)
        count = state.steps + 1
        log_policy = simplex.arithmetic_mixture(state.log_policy, self.solver.log_policy(inner), 1 / count)
        # A tree, so that None stays None.
        advantage = jax.tree.map(
            lambda mean, new: mean + (new - mean) / count, state.advantage, self.solver.advantage(inner)
        )
        return AverageState(inner, log_policy, advantage, count)

    def log_policy(self, state: AverageState) -> jax.Array:
        return state.log_policy

    def advantage(self, state: AverageState) -> jax.Array | None:
        return state.advantage
