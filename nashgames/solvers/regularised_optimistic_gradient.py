"""The regularised optimistic gradient: its schedule adapts to the noise of a query."""

import dataclasses
from dataclasses import dataclass
from typing import Annotated, ClassVar, NamedTuple, Self

import jax
import jax.numpy as jnp

from nashgames.core import simplex
from nashgames.core.game import Game
from nashgames.registry import Number


class RegularisedOptimisticState(NamedTuple):
    """`log_policy`, `advantage` q(π_t), `before`: q(π_{t−1}), `[n]` or `[m, n]`; `steps` taken."""

    log_policy: jax.Array
    advantage: jax.Array
    before: jax.Array
    steps: jax.Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class RegularisedOptimisticGradient:
    """Regularised optimistic gradient: `regularised-gradient` on 2q(π_t) − q(π_{t−1}), adapted to the noise.

    π_{t+1} ∝ π_t^{1−a_tλ_t} μ^{a_tλ_t} e^{a_t(2q(π_t) − q(π_{t−1}))}, λ_t = λ max((t+1)^{−1/2}, σ^{2/5} (t+1)^{−1/5})
    and a_t = a min(1, (λ_t/λ)³/σ²), one query per step. It does not use β: it solves the original game (`--target
    original`). σ² = n/(4B) is the largest variance of a query of B duels (theory §3), and 0 where feedback is exact.
    The squared gap of the last iterate is O(σ^{4/5} t^{−2/5} + t^{−1}) (proved for the gradient method): λ_t², which
    the schedule makes of the noise a_t σ²/λ_t and of the drift (1/(t a_t λ_t))² as well [derived].
    Source: Ito, Tsuchiya, Ariu and Abe, ICML 2026: rate and structure; the entropic geometry, the schedule, which the
    rate implies, and the numbers are a reconstruction (theory §4.6).

    Example:
        >>> import nashgames as ng
        >>> solver = ng.make_solver("regularised-optimistic-gradient[step=0.5]").with_theory_defaults(beta=0)
        >>> solver.weight, solver.step
        (0.25, 0.5)
    """

    weight: Annotated[float | None, Number("λ, the first regularisation; default ¼", symbol="λ", above=0)] = None
    step: Annotated[
        float | None,
        Number("a, the largest step on q; default 1/(1+2λ), as for optimistic-mirror-descent", above=0, tuned=True),
    ] = None

    name: ClassVar[str] = "regularised-optimistic-gradient"
    default_source: ClassVar[str] = "default"
    fixed_point: ClassVar[str] = "original"
    queries_per_step: ClassVar[int] = 1

    def with_theory_defaults(self, beta: float) -> Self:
        # Our choice, half of the largest margin.
        weight = 0.25 if self.weight is None else self.weight
        return dataclasses.replace(self, weight=weight, step=1 / (1 + 2 * weight) if self.step is None else self.step)

    def init(self, game: Game, key: jax.Array) -> RegularisedOptimisticState:
        advantage = game.query(game.start, jax.random.fold_in(key, 0))
        return RegularisedOptimisticState(game.start, advantage, advantage, jnp.zeros((), advantage.dtype))

    def update(self, game: Game, state: RegularisedOptimisticState, key: jax.Array) -> RegularisedOptimisticState:
        steps = state.steps + 1
        share, slower = steps**-0.5, jnp.ones_like(steps)
        if game.feedback.comparisons:
            variance = game.actions / (4 * game.feedback.comparisons)
            share = jnp.maximum(share, (variance / steps) ** (1 / 5))
            slower = jnp.minimum(slower, share**3 / variance)
        expected, weight, step = 2 * state.advantage - state.before, self.weight * share, self.step * slower
        log_policy = simplex.mirror(state.log_policy, game.log_reference, expected, weight, step)
        advantage = game.query(log_policy, jax.random.fold_in(key, 0))
        return RegularisedOptimisticState(log_policy, advantage, state.advantage, steps)

    def log_policy(self, state: RegularisedOptimisticState) -> jax.Array:
        return state.log_policy

    def advantage(self, state: RegularisedOptimisticState) -> jax.Array | None:
        return state.advantage
