"""Smooth (logit) fictitious play."""

from dataclasses import dataclass
from typing import ClassVar, Self

import jax

from nashgames.core.game import Game
from nashgames.core.metrics import best_response
from nashgames.solvers.fictitious_play import FictitiousState, averaged, begun


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class SmoothFictitiousPlay:
    """Smooth fictitious play: the regularised best response to the average of all past policies.

    π_{t+1} = π_t + (BR_β(π_t) − π_t)/(t+2),  BR_β(π) ∝ μ e^{Aπ/β}

    with no step and one query. Reported is the average π_t. Its only fixed point is π*_β, where π = BR_β(π), and

    SubOpt_β(π_T) ≤ [SubOpt_β(π_0) + (½ + … + 1/(T+1))/(2β)]/(T+1)

    [derived: theory §4.6], about ln T/(2βT). Source: Fudenberg, Levine 1995; convergence in zero-sum games Hofbauer,
    Sandholm 2002; with weights from μ here.

    Example:
        >>> import nashgames as ng
        >>> ng.make_solver("smooth-fictitious-play").queries_per_step
        1
    """

    name: ClassVar[str] = "smooth-fictitious-play"
    queries_per_step: ClassVar[int] = 1

    def with_theory_defaults(self, beta: float) -> Self:
        return self

    def init(self, game: Game, key: jax.Array) -> FictitiousState:
        return begun(game, key)

    def update(self, game: Game, state: FictitiousState, key: jax.Array) -> FictitiousState:
        return averaged(game, state, best_response(game, state.advantage)[0], key)

    def log_policy(self, state: FictitiousState) -> jax.Array:
        return state.log_policy

    def advantage(self, state: FictitiousState) -> jax.Array | None:
        return state.advantage
