"""Nash-EMA: mirror descent against a moving average of the past, for a table."""

import dataclasses
from dataclasses import dataclass
from typing import Annotated, ClassVar, NamedTuple, Self

import jax

from nashgames.core import simplex
from nashgames.core.game import Game
from nashgames.learning.steps import mirror_step
from nashgames.registry import Number


class NashEMAState(NamedTuple):
    """`log_policy`; `log_past`: the moving average π̄_t, which is the opponent; `[n]`, `[m, n]` over contexts."""

    log_policy: jax.Array
    log_past: jax.Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class NashEMA:
    """Nash-EMA: mirror descent of the regularised game against the geometric moving average of past policies.

    π_{t+1} ∝ π_t^{1−aβ} μ^{aβ} e^{a q(π̄_t)} and π̄_{t+1} ∝ π̄_t^{1−κ} π_{t+1}^κ from π̄_0 = π_0, one query per step.

    The opponent lags behind, which amplifies the rotation. With a small step, c = κ/a and a mode ±iω of AF it converges
    locally where (β+c)²β > cω² [derived: Routh and Hurwitz for λ² + (β+c)λ + c(β−iω)]; as ω² ≤ ⅛ this holds in every
    game for κ ≥ a/(8β), which is ½ with the default step, and the update itself was checked to be stable with it.
    Source: Munos et al. 2024 (arXiv 2312.00886) give the policy gradient, `nash-ema-pg`; that its tabular form is
    this mirror step, and κ, are a reconstruction (theory §4.6).

    Example:
        >>> import nashgames as ng
        >>> solver = ng.make_solver("nash-ema").with_theory_defaults(beta=0.5)
        >>> solver.kappa, solver.step
        (0.5, 1.0)
    """

    kappa: Annotated[
        float | None, Number("κ, the share of π in the average at every step; default ½", symbol="κ", above=0, most=1)
    ] = None
    step: Annotated[
        float | None, Number("a, the mirror step on q; default 4β/(1+4β²), as for mirror-descent", above=0, tuned=True)
    ] = None

    name: ClassVar[str] = "nash-ema"
    queries_per_step: ClassVar[int] = 1

    def with_theory_defaults(self, beta: float) -> Self:
        step = mirror_step(beta) if self.step is None else self.step
        return dataclasses.replace(self, kappa=0.5 if self.kappa is None else self.kappa, step=step)

    def init(self, game: Game, key: jax.Array) -> NashEMAState:
        return NashEMAState(game.start, game.start)

    def update(self, game: Game, state: NashEMAState, key: jax.Array) -> NashEMAState:
        advantage = game.query(state.log_past, jax.random.fold_in(key, 0))
        log_policy = simplex.mirror(state.log_policy, game.log_reference, advantage, game.beta, self.step)
        return NashEMAState(log_policy, simplex.geometric_mixture(state.log_past, log_policy, self.kappa))

    def log_policy(self, state: NashEMAState) -> jax.Array:
        return state.log_policy

    def advantage(self, state: NashEMAState) -> jax.Array | None:
        return None
