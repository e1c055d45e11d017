"""Mirror descent on the regularised game."""

import dataclasses
from dataclasses import dataclass
from typing import Annotated, ClassVar, Self

import jax

from nashgames.core import simplex
from nashgames.core.game import Game
from nashgames.learning.steps import mirror_step
from nashgames.registry import Number
from nashgames.solvers.protocol import PolicyState


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class MirrorDescent:
    """Mirror descent (regularised self-play; INPO and MTPO in policy space).

    π_{t+1} ∝ π_t^{1−aβ} μ^{aβ} e^{a q(π_t)} with step a, one query per step.

    In the implicit form of magnetic mirror descent with step h, a = h/(1+hβ), the last iterate contracts by 1/(1+hβ)
    for h ≤ β/L² where L = max|A| = ½: hence the default a = 4β/(1+4β²).
    Source: Sokota et al. 2023 (magnetic mirror descent); theory §4.6.

    Example:
        >>> import nashgames as ng
        >>> ng.MirrorDescent().with_theory_defaults(beta=0.5).step
        1.0
    """

    step: Annotated[
        float | None, Number("a, the mirror step on q; default 4β/(1+4β²), the largest proved one", above=0, tuned=True)
    ] = None

    name: ClassVar[str] = "mirror-descent"
    queries_per_step: ClassVar[int] = 1

    def with_theory_defaults(self, beta: float) -> Self:
        return dataclasses.replace(self, step=mirror_step(beta) if self.step is None else self.step)

    def init(self, game: Game, key: jax.Array) -> PolicyState:
        return PolicyState(game.start, game.query(game.start, jax.random.fold_in(key, 0)))

    def update(self, game: Game, state: PolicyState, key: jax.Array) -> PolicyState:
        log_policy = simplex.mirror(state.log_policy, game.log_reference, state.advantage, game.beta, self.step)
        return PolicyState(log_policy, game.query(log_policy, jax.random.fold_in(key, 0)))

    def log_policy(self, state: PolicyState) -> jax.Array:
        return state.log_policy

    def advantage(self, state: PolicyState) -> jax.Array | None:
        return state.advantage
