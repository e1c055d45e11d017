"""Nash-MD: mirror descent against, and from, a mixture with the reference."""

import dataclasses
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, NamedTuple, Self

import jax
import jax.numpy as jnp

from nashgames.core import simplex
from nashgames.core.game import Game
from nashgames.learning.steps import mirror_step
from nashgames.registry import Choice, Number


class NashMDState(NamedTuple):
    """`log_policy`, `[n]` or `[m, n]`; `steps` taken."""

    log_policy: jax.Array
    steps: jax.Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class NashMD:
    """Nash-MD: mirror descent from π̃_t ∝ π_t^{1−a_tβ} μ^{a_tβ}, which is also the opponent.

    π_{t+1} ∝ π̃_t e^{a_t q(π̃_t)}, one query per step. With a constant step a its fixed point is
    π = softmax(log μ + Aπ̃/β), off π*_β by the order of a; the default is the step of mirror descent. With
    a_t = 1/(1/a + βt/2) and a = 1/β it is the paper's 2/(β(t+2)), for which KL(π*‖π_T) ≤ 8/(β²(T+1)).
    Source: Munos et al. 2024 (arXiv 2312.00886); theory §4.6.

    Example:
        >>> import nashgames as ng
        >>> solver = ng.NashMD(schedule="decreasing").with_theory_defaults(beta=0.5)
        >>> solver.step, solver.schedule
        (2.0, 'decreasing')
    """

    step: Annotated[
        float | None,
        Number(
            "a, the mirror step on q, in theory at most 1/β; default 4β/(1+4β²), or 1/β where it falls",
            above=0,
            tuned=True,
        ),
    ] = None
    schedule: Annotated[
        str, Choice("the step: constant, or decreasing as 1/(1/a + βt/2)", ("constant", "decreasing"))
    ] = field(default="constant", metadata={"static": True})

    name: ClassVar[str] = "nash-md"
    fixed_point: ClassVar[str] = "own"
    queries_per_step: ClassVar[int] = 1

    def with_theory_defaults(self, beta: float) -> Self:
        largest = 1 / beta if self.schedule == "decreasing" else mirror_step(beta)
        return dataclasses.replace(self, step=largest if self.step is None else self.step)

    def init(self, game: Game, key: jax.Array) -> NashMDState:
        return NashMDState(game.start, jnp.zeros((), game.start.dtype))

    def update(self, game: Game, state: NashMDState, key: jax.Array) -> NashMDState:
        decrease = game.beta * state.steps / 2 if self.schedule == "decreasing" else 0.0
        step = self.step / (1 + self.step * decrease)
        mixed = simplex.geometric_mixture(state.log_policy, game.log_reference, step * game.beta)
        log_policy = simplex.normalise(mixed + step * game.query(mixed, jax.random.fold_in(key, 0)))
        return NashMDState(log_policy, state.steps + 1)

    def log_policy(self, state: NashMDState) -> jax.Array:
        return state.log_policy

    def advantage(self, state: NashMDState) -> jax.Array | None:
        return None
