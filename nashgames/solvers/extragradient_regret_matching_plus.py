"""Extragradient regret matching+."""

import dataclasses
from dataclasses import dataclass
from typing import Annotated, ClassVar, Self

import jax

from nashgames.core.game import Game
from nashgames.registry import Number
from nashgames.solvers.regrets import RegretState, chopped, matched, regret, with_regrets


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class ExtragradientRegretMatchingPlus:
    """Extragradient regret matching+ (ExRM+): two projected steps from R_t, the second with the first's regret.

    R_{t+½} = Π(R_t + a r_t),  R_{t+1} = Π(R_t + a r_{t+½}),  π = R/Σ R,  r = q(π) − ⟨q(π), π⟩,  R_0 = nπ_0

    with Π the projection onto {R ≥ 0, Σ R ≥ n}: the sources' {Σ R ≥ 1} and step a/n. Two queries per step. It does not
    use β: it solves the original game (`--target original`), and the last iterate converges to an equilibrium for
    a < 1/L, without a rate; the best of T iterates is O(T^{−½}) (proved, arXiv 2311.00676).

    L is the Lipschitz constant of R ↦ Aπ where Σ R ≥ n, at most ‖A‖/√n; as ‖A‖ ≤ ½ cot(π/2n) < n/π, a ≤ π/√n is
    admissible in every game, and ‖R_{t+1} − nπ*‖² ≤ ‖R_t − nπ*‖² − (1 − a²L²) ‖R_{t+½} − R_t‖² for every equilibrium
    [derived]. The default a = 2 is our choice: on the support of an equilibrium where all others lose the errors
    shrink for a < π, as the eigenvalues ±iλ of A have λ < n/π [derived]. Single games allow more: tune it.

    Source: Farina and others 2023 (arXiv 2305.14709), Algorithm 5, read in a public implementation: a reconstruction;
    theory §4.6.

    Example:
        >>> import nashgames as ng
        >>> ng.make_solver("extragradient-regret-matching-plus").with_theory_defaults(beta=0).step
        2.0
    """

    step: Annotated[float | None, Number("a, the step on q; default 2", above=0, tuned=True)] = None

    name: ClassVar[str] = "extragradient-regret-matching-plus"
    default_source: ClassVar[str] = "default"
    fixed_point: ClassVar[str] = "original"
    queries_per_step: ClassVar[int] = 2

    def with_theory_defaults(self, beta: float) -> Self:
        return dataclasses.replace(self, step=2.0 if self.step is None else self.step)

    def init(self, game: Game, key: jax.Array) -> RegretState:
        return with_regrets(game, key)

    def update(self, game: Game, state: RegretState, key: jax.Array) -> RegretState:
        first, second = jax.random.split(key)
        half = chopped(state.regrets + self.step * regret(state.advantage, state.log_policy))
        log_half = matched(half, state.log_policy)
        regrets = chopped(state.regrets + self.step * regret(game.query(log_half, first), log_half))
        log_policy = matched(regrets, state.log_policy)
        return RegretState(regrets, log_policy, game.query(log_policy, second))

    def log_policy(self, state: RegretState) -> jax.Array:
        return state.log_policy

    def advantage(self, state: RegretState) -> jax.Array | None:
        return state.advantage
