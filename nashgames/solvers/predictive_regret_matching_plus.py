"""Predictive regret matching+."""

from dataclasses import dataclass
from typing import ClassVar, Self

import jax

from nashgames.core.game import Game
from nashgames.solvers.regrets import RegretState, matched, positive, regret, without_regrets


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class PredictiveRegretMatchingPlus:
    """Predictive regret matching+ (PRM+): RM+ with the last regret counted once more; no step size, one query per step.

    R_{t+1} = [R_t + r_t]⁺,  r_t = q(π_t) − ⟨q(π_t), π_t⟩,  π_{t+1} ∝ [R_{t+1} + r_t]⁺,  R_0 = 0

    and π_{t+1} = π_t where that is 0. It does not use β: it solves the original game (`--target original`), on
    average: O(T^{−½}) is proved, and O(1/T) is mostly observed. The last iterate need not converge (arXiv 2311.00676):
    on (4, 3, 4)/11 of theory §6 it cycles, because small regrets are large steps: ‖R‖ may fall.

    Source: Farina, Kroer, Sandholm 2021 (arXiv 2007.14358), the predictive form of regret matching+ with r_t for the
    prediction of r_{t+1}; theory §4.6.

    Example:
        >>> import nashgames as ng
        >>> ng.make_solver("predictive-regret-matching-plus").queries_per_step
        1
    """

    name: ClassVar[str] = "predictive-regret-matching-plus"
    fixed_point: ClassVar[str] = "original"
    queries_per_step: ClassVar[int] = 1

    def with_theory_defaults(self, beta: float) -> Self:
        return self

    def init(self, game: Game, key: jax.Array) -> RegretState:
        return without_regrets(game, key)

    def update(self, game: Game, state: RegretState, key: jax.Array) -> RegretState:
        now = regret(state.advantage, state.log_policy)
        regrets = positive(state.regrets + now)
        log_policy = matched(positive(regrets + now), state.log_policy)
        return RegretState(regrets, log_policy, game.query(log_policy, jax.random.fold_in(key, 0)))

    def log_policy(self, state: RegretState) -> jax.Array:
        return state.log_policy

    def advantage(self, state: RegretState) -> jax.Array | None:
        return state.advantage
