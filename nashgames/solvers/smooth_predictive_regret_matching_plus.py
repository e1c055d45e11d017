"""Smooth predictive regret matching+."""

import dataclasses
from dataclasses import dataclass
from typing import Annotated, ClassVar, Self

import jax

from nashgames.core.game import Game
from nashgames.registry import Number
from nashgames.solvers.regrets import RegretState, chopped, matched, regret, with_regrets


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class SmoothPredictiveRegretMatchingPlus:
    """Smooth predictive regret matching+ (SPRM+): PRM+ with regrets whose mean stays at least 1; one query.

    R_{t+1} = Π(R_t + a r_t),  r_t = q(π_t) − ⟨q(π_t), π_t⟩,  π_{t+1} ∝ Π(R_{t+1} + a r_t),  R_0 = nπ_0

    with Π the projection onto {R ≥ 0, Σ R ≥ n}: the sources' {Σ R ≥ 1} and step a/n. It does not use β: it solves the
    original game (`--target original`), of which the last iterate converges to an equilibrium for a small enough,
    without a rate; the best of T iterates is O(T^{−½}) (proved, arXiv 2311.00676).

    The default a = 1 is our choice. On the support of an equilibrium where all others lose, the errors of R turn with
    the eigenvalues ±iλ of A, u = aλ/Σ R, and shrink while u < 1/√3; as λ ≤ ½ cot(π/2n) < n/π, that is so in every
    game for a < π/√3 = 1.81 [derived]. Sharper limits of single games are larger: tune it.

    Source: Farina and others 2023 (arXiv 2305.14709), Algorithm 2, whose update was read in public code only: a
    reconstruction; theory §4.6.

    Example:
        >>> import nashgames as ng
        >>> ng.make_solver("smooth-predictive-regret-matching-plus").with_theory_defaults(beta=0).step
        1.0
    """

    step: Annotated[float | None, Number("a, the step on q; default 1", above=0, tuned=True)] = None

    name: ClassVar[str] = "smooth-predictive-regret-matching-plus"
    default_source: ClassVar[str] = "default"
    fixed_point: ClassVar[str] = "original"
    queries_per_step: ClassVar[int] = 1

    def with_theory_defaults(self, beta: float) -> Self:
        return dataclasses.replace(self, step=1.0 if self.step is None else self.step)

    def init(self, game: Game, key: jax.Array) -> RegretState:
        return with_regrets(game, key)

    def update(self, game: Game, state: RegretState, key: jax.Array) -> RegretState:
        moved = self.step * regret(state.advantage, state.log_policy)
        regrets = chopped(state.regrets + moved)
        log_policy = matched(chopped(regrets + moved), state.log_policy)
        return RegretState(regrets, log_policy, game.query(log_policy, jax.random.fold_in(key, 0)))

    def log_policy(self, state: RegretState) -> jax.Array:
        return state.log_policy

    def advantage(self, state: RegretState) -> jax.Array | None:
        return state.advantage
