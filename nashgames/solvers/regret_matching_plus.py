"""Regret matching+."""

from dataclasses import dataclass
from typing import ClassVar, Self

import jax

from nashgames.core.game import Game
from nashgames.solvers.regrets import RegretState, matched, positive, regret, without_regrets


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class RegretMatchingPlus:
    """Regret matching+ (RM+): probabilities proportional to the positive regrets; no step size, one query per step.

    R_{t+1} = [R_t + r_t]⁺,  r_t = q(π_t) − ⟨q(π_t), π_t⟩,  π_{t+1} = R_{t+1}/Σ R_{t+1},  R_0 = 0

    and π_{t+1} = π_t where R_{t+1} = 0. It does not use β: it solves the original game (`--target original`), on
    average only. ‖R_{t+1}‖² ≤ ‖R_t‖² + ‖r_t‖² and R_T ≥ Σ r_t leave

    max_i (Aπ̄)_i ≤ ‖R_T‖/T ≤ ½ √(n/T),  π̄ = (π_0 + … + π_{T−1})/T

    [derived]; report `average[regret-matching-plus]`. The last iterate need not converge (arXiv 2311.00676), and on
    (4, 3, 4)/11 of theory §6 it cycles. Rows hold exact zeros, so that KL(π*‖π) is mostly infinite.

    Source: Tammelin 2014 (arXiv 1407.5042); in the form of Farina, Kroer, Sandholm 2021 (arXiv 2007.14358); theory
    §4.6.

    Example:
        >>> import nashgames as ng
        >>> ng.make_solver("regret-matching-plus").queries_per_step
        1
    """

    name: ClassVar[str] = "regret-matching-plus"
    fixed_point: ClassVar[str] = "original"
    queries_per_step: ClassVar[int] = 1

    def with_theory_defaults(self, beta: float) -> Self:
        return self

    def init(self, game: Game, key: jax.Array) -> RegretState:
        return without_regrets(game, key)

    def update(self, game: Game, state: RegretState, key: jax.Array) -> RegretState:
        regrets = positive(state.regrets + regret(state.advantage, state.log_policy))
        log_policy = matched(regrets, state.log_policy)
        return RegretState(regrets, log_policy, game.query(log_policy, jax.random.fold_in(key, 0)))

    def log_policy(self, state: RegretState) -> jax.Array:
        return state.log_policy

    def advantage(self, state: RegretState) -> jax.Array | None:
        return state.advantage
