"""The regularised gradient: mirror descent whose regularisation and step fade, for noisy feedback."""

import dataclasses
from dataclasses import dataclass
from typing import Annotated, ClassVar, NamedTuple, Self

import jax
import jax.numpy as jnp

from nashgames.core import simplex
from nashgames.core.game import Game
from nashgames.learning.steps import mirror_step
from nashgames.registry import Number


class RegularisedState(NamedTuple):
    """`log_policy`, `advantage` q(π_t), `[n]` or `[m, n]`; `steps` taken."""

    log_policy: jax.Array
    advantage: jax.Array
    steps: jax.Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class RegularisedGradient:
    """Regularised gradient: π_{t+1} ∝ π_t^{1−a_tλ_t} μ^{a_tλ_t} e^{a_t q(π_t)}, mirror descent with a fading λ_t.

    λ_t = λ (t+1)^{−1/5}, a_t = a (t+1)^{−3/5}, one query per step. It does not use β: it solves the original game
    (`--target original`), of which it approaches the equilibrium closest to μ. The squared gap of the last iterate is
    O(t^{−2/5}) with noisy queries (proved for the gradient method). The powers are those that balance its three parts
    at t^{−2/5} [derived]: λ_t² for the bias, a_t σ²/λ_t for the noise σ², and (1/(t a_t λ_t))² for an equilibrium that
    moves.
    Source: Ito, Tsuchiya, Ariu and Abe, ICML 2026: rate and structure; the entropic geometry, the powers, which the
    rate implies, and the numbers are a reconstruction (theory §4.6).

    Example:
        >>> import nashgames as ng
        >>> solver = ng.make_solver("regularised-gradient").with_theory_defaults(beta=0)
        >>> solver.weight, solver.step
        (0.25, 0.8)
    """

    weight: Annotated[float | None, Number("λ, the first regularisation; default ¼", symbol="λ", above=0)] = None
    step: Annotated[
        float | None, Number("a, the first step on q; default 4λ/(1+4λ²), as for mirror-descent", above=0, tuned=True)
    ] = None

    name: ClassVar[str] = "regularised-gradient"
    default_source: ClassVar[str] = "default"
    fixed_point: ClassVar[str] = "original"
    queries_per_step: ClassVar[int] = 1

    def with_theory_defaults(self, beta: float) -> Self:
        # Our choice, half of the largest margin; the step fades faster than λ_t and stays below mirror descent's.
        weight = 0.25 if self.weight is None else self.weight
        step = mirror_step(weight) if self.step is None else self.step
        return dataclasses.replace(self, weight=weight, step=step)

    def init(self, game: Game, key: jax.Array) -> RegularisedState:
        advantage = game.query(game.start, jax.random.fold_in(key, 0))
        return RegularisedState(game.start, advantage, jnp.zeros((), advantage.dtype))

    def update(self, game: Game, state: RegularisedState, key: jax.Array) -> RegularisedState:
        steps = state.steps + 1
        weight, step = self.weight * steps ** (-1 / 5), self.step * steps ** (-3 / 5)
        log_policy = simplex.mirror(state.log_policy, game.log_reference, state.advantage, weight, step)
        return RegularisedState(log_policy, game.query(log_policy, jax.random.fold_in(key, 0)), steps)

    def log_policy(self, state: RegularisedState) -> jax.Array:
        return state.log_policy

    def advantage(self, state: RegularisedState) -> jax.Array | None:
        return state.advantage
