"""Nash-MD: mirror descent against, and from, a mixture with the reference."""

import dataclasses
from dataclasses import dataclass
from typing import Annotated, ClassVar, Self

import jax

from nashgames.core import simplex
from nashgames.core.game import Game
from nashgames.registry import Number


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class NashMD:
    """Nash-MD: mirror descent from π̃_t ∝ π_t^{1−aβ} μ^{aβ}, whom it also plays.

    π_{t+1} ∝ π̃_t e^{a q(π̃_t)} with a constant step a, one query a step; its fixed point is π = softmax(log μ + Aπ̃/β),
    off π*_β by the order of a. Munos et al. prove KL(π*‖π_T) ≤ 8/(β²(T+1)) for a_t = 2/(β(t+2)); the default is the
    constant step that mirror descent has. Source: Munos et al. 2024 (Nash-MD); theory §4.6.
    """

    step: Annotated[
        float | None,
        Number("a, the mirror step on q, at most 1/β; default 4β/(1+4β²), as for mirror-descent", above=0, tuned=True),
    ] = None

    name: ClassVar[str] = "nash-md"
    fixed_point: ClassVar[str] = "own"
    queries_per_step: ClassVar[int] = 1

    def with_theory_defaults(self, beta: float) -> Self:
        return dataclasses.replace(self, step=4 * beta / (1 + 4 * beta**2) if self.step is None else self.step)

    def init(self, game: Game, key: jax.Array) -> jax.Array:
        return game.start

    def update(self, game: Game, state: jax.Array, key: jax.Array) -> jax.Array:
        mixed = simplex.geometric_mixture(state, game.log_reference, self.step * game.beta)
        return simplex.normalise(mixed + self.step * game.query(mixed, jax.random.fold_in(key, 0)))

    def log_policy(self, state: jax.Array) -> jax.Array:
        return state

    def advantage(self, state: jax.Array) -> jax.Array | None:
        return None
