"""A wrapper that shows Nash-MP a query at a time."""

import dataclasses
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Self

import jax
import jax.numpy as jnp

from nashgames.core import simplex
from nashgames.core.game import Game
from nashgames.errors import NashGamesError
from nashgames.solvers.nash_mp import NashMP


class HalvesState(NamedTuple):
    """`log_policy`, `advantage`: the policy of the last query; `log_whole`: π_k, where its step began; `[n]`, `[m, n]`
    over contexts; `steps`: halves taken."""

    log_policy: jax.Array
    advantage: jax.Array
    log_whole: jax.Array
    steps: jax.Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Halves:
    """Nash-MP reported after every query: π_0, π_½, π_1, π_1½, …, so that its half steps are measured too.

    After an odd number of steps the policy is π_{k+½}, of which the theorem bounds the suboptimality; after an even one
    it is π_k, that of `solver` (theory §4.1).

    Example:
        >>> import nashgames as ng
        >>> ng.Halves(ng.NashMP(eta=0.1)).queries_per_step
        1
    """

    solver: NashMP

    word: ClassVar[str] = "halves"
    example: ClassVar[str] = "nash-mp[eta=0.1]"

    def check(self) -> None:
        """Raise NashGamesError unless the solver has half steps."""
        if not isinstance(self.solver, NashMP):
            raise NashGamesError(
                f"halves[…] wraps '{getattr(self.solver, 'name', self.solver)}', which has no half steps; "
                f"write halves[nash-mp], or halves[nash-mp[eta=0.1]]"
            )

    @property
    def name(self) -> str:
        return f"halves[{self.solver.name}]"

    @property
    def queries_per_step(self) -> int:
        return 1

    def with_theory_defaults(self, beta: float) -> Self:
        return dataclasses.replace(self, solver=self.solver.with_theory_defaults(beta))

    def init(self, game: Game, key: jax.Array) -> HalvesState:
        whole = self.solver.init(game, key)
        return HalvesState(whole.log_policy, whole.advantage, whole.log_policy, jnp.zeros((), jnp.int32))

    def update(self, game: Game, state: HalvesState, key: jax.Array) -> HalvesState:
        log_policy = simplex.prox(state.log_whole, game.log_reference, state.advantage, game.beta, self.solver.eta)
        steps = state.steps + 1
        log_whole = jnp.where(steps % 2 == 0, log_policy, state.log_whole)
        return HalvesState(log_policy, game.query(log_policy, jax.random.fold_in(key, 0)), log_whole, steps)

    def log_policy(self, state: HalvesState) -> jax.Array:
        return state.log_policy

    def advantage(self, state: HalvesState) -> jax.Array | None:
        return state.advantage
