"""SPPO: multiplicative weights in self-play."""

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
class SPPO:
    """SPPO, for a table multiplicative weights (Hedge, the discrete replicator): π_{t+1} ∝ π_t e^{a q(π_t)}.

    One query per step. It does not use β: it plays the original game (`--target original`), and its average is what
    converges, `average[sppo]`: for π̄ the mean of π_1 … π_T, max_i (Aπ̄)_i ≤ max_i log(1/π_1(i))/(aT) + a/8 (the bound
    of Hedge, as ⟨π, Aπ⟩ = 0). The last iterate does not: where an equilibrium π° has full support, KL(π°‖π_t) grows at
    every step by log Σ π_t e^{a q(π_t)} > 0, and it cycles outwards [derived: Jensen].
    Source: Wu et al. 2024 (arXiv 2405.00675), whose regression has this update as its minimiser; theory §4.6.

    Example:
        >>> import nashgames as ng
        >>> ng.make_solver("sppo").with_theory_defaults(beta=0).step
        0.1
    """

    step: Annotated[
        float | None, Number("a, the step on q; default 0.1, which leaves the average 0.0125", above=0, tuned=True)
    ] = None

    name: ClassVar[str] = "sppo"
    default_source: ClassVar[str] = "default"
    fixed_point: ClassVar[str] = "original"
    queries_per_step: ClassVar[int] = 1

    def with_theory_defaults(self, beta: float) -> Self:
        # Our choice: theory's step, of the order of 1/√T, needs a horizon.
        return dataclasses.replace(self, step=0.1 if self.step is None else self.step)

    def init(self, game: Game, key: jax.Array) -> PolicyState:
        return PolicyState(game.start, game.query(game.start, jax.random.fold_in(key, 0)))

    def update(self, game: Game, state: PolicyState, key: jax.Array) -> PolicyState:
        log_policy = simplex.normalise(state.log_policy + self.step * state.advantage)
        return PolicyState(log_policy, game.query(log_policy, jax.random.fold_in(key, 0)))

    def log_policy(self, state: PolicyState) -> jax.Array:
        return state.log_policy

    def advantage(self, state: PolicyState) -> jax.Array | None:
        return state.advantage
