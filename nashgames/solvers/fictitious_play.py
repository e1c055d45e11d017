"""Fictitious play."""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np

from nashgames.core.game import Game


class FictitiousState(NamedTuple):
    """`log_policy` of the average π_t and its `advantage` q(π_t), `[n]`, `[m, n]`; `steps` made."""

    log_policy: jax.Array
    advantage: jax.Array
    steps: jax.Array


def begun(game: Game, key: jax.Array) -> FictitiousState:
    """The average of π_0 alone."""
    advantage = game.query(game.start, jax.random.fold_in(key, 0))
    return FictitiousState(game.start, advantage, jnp.zeros((), game.start.dtype))


def averaged(game: Game, state: FictitiousState, log_response: jax.Array, key: jax.Array) -> FictitiousState:
    """The next average, in which π_0 and every response weigh alike."""
    steps = state.steps + 1
    # In logarithms, so that probabilities below the smallest number stay exact.
    log_policy = jnp.logaddexp(state.log_policy - jnp.log1p(1 / steps), log_response - jnp.log1p(steps))
    return FictitiousState(log_policy, game.query(log_policy, jax.random.fold_in(key, 0)), steps)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class FictitiousPlay:
    """Fictitious play: a best response to the average of all past policies; no step size, one query per step.

    π_{t+1} = π_t + (b_t − π_t)/(t+2),  b_t an action that maximises q(π_t)

    Reported is the average π_t, which converges to an equilibrium of the original game (`--target original`); the
    responses b_t are single actions and never do. Where several actions are best, to rounding, π_t shares b_t among
    them (each alike where it plays none), so that an equilibrium is a fixed point.

    It converges in every zero-sum game (proved, Robinson 1951), the exploitability as O(t^{−1/(2n−2)}) (Shapiro 1958);
    about t^{−½} is what is mostly observed. An action that no response was keeps its share of π_0, so that KL(π*‖π_t)
    is finite. Source: Brown 1951; theory §4.6.

    Example:
        >>> import nashgames as ng
        >>> ng.make_solver("fictitious-play").queries_per_step
        1
    """

    name: ClassVar[str] = "fictitious-play"
    fixed_point: ClassVar[str] = "original"
    queries_per_step: ClassVar[int] = 1

    def with_theory_defaults(self, beta: float) -> Self:
        return self

    def init(self, game: Game, key: jax.Array) -> FictitiousState:
        return begun(game, key)

    def update(self, game: Game, state: FictitiousState, key: jax.Array) -> FictitiousState:
        return averaged(game, state, _best(state.log_policy, state.advantage), key)

    def log_policy(self, state: FictitiousState) -> jax.Array:
        return state.log_policy

    def advantage(self, state: FictitiousState) -> jax.Array | None:
        return state.advantage


def _best(log_policy: jax.Array, advantage: jax.Array) -> jax.Array:
    """log b: the policy given that one of the actions of the largest advantage is played."""
    kind = np.finfo(advantage.dtype)
    # What n roundings of sums up to ½ may do to two entries of Aπ.
    ties = advantage >= jnp.max(advantage, axis=-1, keepdims=True) - advantage.shape[-1] * float(kind.eps)
    shares = jnp.where(ties, jnp.maximum(jnp.exp(log_policy), float(kind.tiny)), 0)
    return jnp.log(shares) - jnp.log(jnp.sum(shares, axis=-1, keepdims=True))
