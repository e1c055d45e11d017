"""GARIP: magnetic mirror descent anchored at the running average of the past."""

import dataclasses
from dataclasses import dataclass
from typing import Annotated, ClassVar, Self

import jax
import jax.numpy as jnp

from nashgames.core import simplex
from nashgames.core.game import Game
from nashgames.registry import Number
from nashgames.solvers.protocol import AnchoredState


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class GARIP:
    """GARIP: π_{t+1} ∝ [π_t ρ_t^{αh} e^{h q(π_t)}]^{1/(1+αh)}, anchored at the running average of past policies.

    ρ_t = (π_0 + … + π_t)/(t+1), one query per step. It does not use β: it solves the original game (`--target
    original`). Locally its last iterate converges (proved there). The average moves ever more slowly, so that near an
    equilibrium of full support a mode ±iω of AF falls as t^{−p}, p = ω²/(α²+ω²), no faster [derived: d log ρ/d ln t =
    iω/(α−iω) log ρ]; with h = 4α, α/L², π keeps up with the anchor.
    Source: Savcı 2026 (arXiv 2606.22688): the anchor; that the average is arithmetic and uniform, and mirror descent
    the inner step, is a reconstruction (theory §4.6).

    Example:
        >>> import nashgames as ng
        >>> solver = ng.make_solver("garip").with_theory_defaults(beta=0)
        >>> solver.alpha, solver.step
        (0.1, 0.4)
    """

    alpha: Annotated[float | None, Number("α, the weight of the anchor; default 0.1", symbol="α", above=0)] = None
    step: Annotated[
        float | None, Number("h, the step on q; default 4α, as for a fixed anchor", symbol="h", above=0, tuned=True)
    ] = None

    name: ClassVar[str] = "garip"
    default_source: ClassVar[str] = "default"
    fixed_point: ClassVar[str] = "original"
    queries_per_step: ClassVar[int] = 1

    def with_theory_defaults(self, beta: float) -> Self:
        # Our choice: a smaller α has a faster end, p above ½ for every ω > α, and a longer beginning, 1/(4α²) steps.
        alpha = 0.1 if self.alpha is None else self.alpha
        return dataclasses.replace(self, alpha=alpha, step=4 * alpha if self.step is None else self.step)

    def init(self, game: Game, key: jax.Array) -> AnchoredState:
        advantage = game.query(game.start, jax.random.fold_in(key, 0))
        return AnchoredState(game.start, advantage, game.start, jnp.zeros((), jnp.int32))

    def update(self, game: Game, state: AnchoredState, key: jax.Array) -> AnchoredState:
        weight = self.alpha * self.step
        log_policy = simplex.prox(state.log_policy, state.log_anchor, state.advantage, self.alpha, weight)
        steps = state.steps + 1
        log_anchor = simplex.arithmetic_mixture(state.log_anchor, log_policy, 1 / (steps + 1).astype(log_policy.dtype))
        return AnchoredState(log_policy, game.query(log_policy, jax.random.fold_in(key, 0)), log_anchor, steps)

    def log_policy(self, state: AnchoredState) -> jax.Array:
        return state.log_policy

    def advantage(self, state: AnchoredState) -> jax.Array | None:
        return state.advantage
