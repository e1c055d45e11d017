"""INPO: mirror descent on the regularised game, in an inverse step."""

import dataclasses
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, NamedTuple, Self

import jax
import jax.numpy as jnp

from nashgames.core import simplex
from nashgames.core.game import Game
from nashgames.registry import Choice, Number


class INPOState(NamedTuple):
    """`log_policy`, `advantage` q(π_t), `[n]` or `[m, n]`; `steps` taken."""

    log_policy: jax.Array
    advantage: jax.Array
    steps: jax.Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class INPO:
    """INPO: π_{t+1} ∝ π_t^{1−β/η} μ^{β/η} e^{q(π_t)/η}, for a table `mirror-descent` with a = 1/η.

    One query per step. With a constant η it contracts as mirror descent does, whose default step is taken:
    η = β + 1/(4β), by 1/(1+4β²) a step. With η_t = η + βt/2 and η = β it is the paper's schedule β(t+2)/2, for which
    KL(π*‖π_T) ≤ 32 C²/(β²(T+1)), C = max(Bβ, 1) where |log π_t/μ| ≤ B (theorem 4); its first step is the best response.
    Source: Zhang et al. 2024 (arXiv 2407.00617), equation 5; theory §4.6.

    Example:
        >>> import nashgames as ng
        >>> ng.make_solver("inpo[schedule=growing]").with_theory_defaults(beta=0.5).eta
        0.5
    """

    eta: Annotated[
        float | None,
        Number(
            "η, the inverse step, in theory at least β; default β + 1/(4β), or β where it grows",
            symbol="η",
            above=0,
            tuned=True,
        ),
    ] = None
    schedule: Annotated[str, Choice("the inverse step: constant, or growing as η + βt/2", ("constant", "growing"))] = (
        field(default="constant", metadata={"static": True})
    )

    name: ClassVar[str] = "inpo"
    queries_per_step: ClassVar[int] = 1

    def with_theory_defaults(self, beta: float) -> Self:
        largest = beta if self.schedule == "growing" else beta + 1 / (4 * beta)
        return dataclasses.replace(self, eta=largest if self.eta is None else self.eta)

    def init(self, game: Game, key: jax.Array) -> INPOState:
        advantage = game.query(game.start, jax.random.fold_in(key, 0))
        return INPOState(game.start, advantage, jnp.zeros((), game.start.dtype))

    def update(self, game: Game, state: INPOState, key: jax.Array) -> INPOState:
        growth = game.beta * state.steps / 2 if self.schedule == "growing" else 0.0
        step = 1 / (self.eta + growth)
        log_policy = simplex.mirror(state.log_policy, game.log_reference, state.advantage, game.beta, step)
        return INPOState(log_policy, game.query(log_policy, jax.random.fold_in(key, 0)), state.steps + 1)

    def log_policy(self, state: INPOState) -> jax.Array:
        return state.log_policy

    def advantage(self, state: INPOState) -> jax.Array | None:
        return state.advantage
