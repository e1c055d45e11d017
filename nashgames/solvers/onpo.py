"""ONPO: optimistic online mirror descent on the original game, in two policies."""

import dataclasses
from dataclasses import dataclass
from typing import Annotated, ClassVar, NamedTuple, Self

import jax

from nashgames.core import simplex
from nashgames.core.game import Game
from nashgames.registry import Number


class ONPOState(NamedTuple):
    """`log_policy`, `advantage` q(π_t); `log_base`: π'_t, from which both steps start; `[n]`, `[m, n]`."""

    log_policy: jax.Array
    advantage: jax.Array
    log_base: jax.Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class ONPO:
    """ONPO: π'_{t+1} ∝ π'_t e^{a q(π_t)}, then π_{t+1} ∝ π'_{t+1} e^{a q(π_t)}, whose predictor is the last query.

    π_1 = π'_1, one query per step. It does not use β: it solves the original game (`--target original`). For a ≤ ½ the
    average has the duality gap O(1/T) (theorem 2), and for a ≤ ⅛ and a unique equilibrium KL(π°‖π_T) falls linearly
    (theorem 3). For a table it is `omwu` but for the first step, π_{t+1} ∝ π_t e^{a(2q(π_t) − q(π_{t−1}))}, with
    q(π_0) = 0 [derived: eliminate π']; near an equilibrium of full support a < 1.63 is stable as there.
    Source: Zhang et al. 2025 (arXiv 2502.16852), §3.2 and algorithm 1; theory §4.6.

    Example:
        >>> import nashgames as ng
        >>> ng.make_solver("onpo").with_theory_defaults(beta=0).step
        0.5
    """

    step: Annotated[
        float | None, Number("a, the step on q; default ½, the largest with the gap proved", above=0, tuned=True)
    ] = None

    name: ClassVar[str] = "onpo"
    fixed_point: ClassVar[str] = "original"
    queries_per_step: ClassVar[int] = 1

    def with_theory_defaults(self, beta: float) -> Self:
        return dataclasses.replace(self, step=0.5 if self.step is None else self.step)

    def init(self, game: Game, key: jax.Array) -> ONPOState:
        return ONPOState(game.start, game.query(game.start, jax.random.fold_in(key, 0)), game.start)

    def update(self, game: Game, state: ONPOState, key: jax.Array) -> ONPOState:
        log_base = simplex.normalise(state.log_base + self.step * state.advantage)
        log_policy = simplex.normalise(log_base + self.step * state.advantage)
        return ONPOState(log_policy, game.query(log_policy, jax.random.fold_in(key, 0)), log_base)

    def log_policy(self, state: ONPOState) -> jax.Array:
        return state.log_policy

    def advantage(self, state: ONPOState) -> jax.Array | None:
        return state.advantage
