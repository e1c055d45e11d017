"""Magnetic mirror descent, its magnet fixed or moving."""

import dataclasses
from dataclasses import dataclass
from typing import Annotated, ClassVar, NamedTuple, Self

import jax

from nashgames.core import simplex
from nashgames.core.game import Game
from nashgames.registry import Number


class MagneticState(NamedTuple):
    """`log_policy`, `advantage` q(π_t); `log_magnet`: log ρ_t up to a constant; `[n]`, `[m, n]` over contexts."""

    log_policy: jax.Array
    advantage: jax.Array
    log_magnet: jax.Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class MagneticMirrorDescent:
    """Magnetic mirror descent: π_{t+1} ∝ [π_t ρ_t^{αh} e^{h q(π_t)}]^{1/(1+αh)}, one query per step.

    ρ_{t+1} ∝ ρ_t^{1−m} π_{t+1}^m from ρ_0 = μ. With m = 0 the magnet stays μ, and the method rests at the equilibrium
    of the game regularised by α, which is π*_β for α = β: KL(π*‖π_{t+1}) ≤ KL(π*‖π_t)/(1+αh) for h ≤ α/L², L = ½
    (proved). For α = β one step is the proximal step of `nash-mp` with η = hβ, and `mirror-descent` with
    a = h/(1+hβ); the defaults of the two are one run.

    With m > 0 it goes to an equilibrium of the original game. Only local stability is known [derived]: a mode ±iω of
    AF, ω ≤ 1/(2√2), is multiplied by a 2×2 matrix on the errors of (log π, log ρ); with the default α and h its
    eigenvalues lie inside the unit circle for m ≤ 0.4.
    Source: Sokota et al. 2023 (arXiv 2206.05825); that the new policy moves the magnet is our reading (theory §4.6).

    Example:
        >>> import nashgames as ng
        >>> solver = ng.make_solver("magnetic-mirror-descent").with_theory_defaults(beta=0.5)
        >>> solver.alpha, solver.step, solver.follow
        (0.5, 2.0, 0.0)
    """

    alpha: Annotated[
        float | None, Number("α, the weight of the magnet; default β, or ¼ where it moves", symbol="α", above=0)
    ] = None
    step: Annotated[
        float | None, Number("h, the step on q; default 4α, the largest proved one", symbol="h", above=0, tuned=True)
    ] = None
    follow: Annotated[
        float | None,
        Number("m, the policy's share in the magnet at every step; default 0: it stays μ", symbol="m", least=0, most=1),
    ] = None

    name: ClassVar[str] = "magnetic-mirror-descent"
    queries_per_step: ClassVar[int] = 1

    @property
    def fixed_point(self) -> str:
        """Where it rests: π*_β, an original equilibrium where the magnet moves, π*_α for a given α."""
        return "original" if self.follow else "regularised" if self.alpha is None else "own"

    @property
    def uses_beta(self) -> bool:
        """Whether it takes its weight from the game; else it is defined at β = 0 too."""
        return self.alpha is None and not self.follow

    def with_theory_defaults(self, beta: float) -> Self:
        # Our choice where it moves, that of mpo.
        usual = 0.25 if self.follow else beta
        alpha = usual if self.alpha is None else self.alpha
        step = 4 * alpha if self.step is None else self.step
        return dataclasses.replace(self, alpha=alpha, step=step, follow=self.follow or 0.0)

    def init(self, game: Game, key: jax.Array) -> MagneticState:
        advantage = game.query(game.start, jax.random.fold_in(key, 0))
        return MagneticState(game.start, advantage, game.log_reference)

    def update(self, game: Game, state: MagneticState, key: jax.Array) -> MagneticState:
        weight = self.alpha * self.step
        log_policy = simplex.prox(state.log_policy, state.log_magnet, state.advantage, self.alpha, weight)
        log_magnet = state.log_magnet + self.follow * (log_policy - state.log_magnet)
        return MagneticState(log_policy, game.query(log_policy, jax.random.fold_in(key, 0)), log_magnet)

    def log_policy(self, state: MagneticState) -> jax.Array:
        return state.log_policy

    def advantage(self, state: MagneticState) -> jax.Array | None:
        return state.advantage
