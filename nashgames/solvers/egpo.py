"""EGPO: an extragradient in the parameters of a policy."""

import dataclasses
from dataclasses import dataclass
from typing import Annotated, ClassVar, Self

import jax

from nashgames.core.game import Game
from nashgames.learning.policy_gradient import PLAIN, Iterate, PolicyGradient, uniform_pairs
from nashgames.registry import Number


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class EGPO:
    """Extragradient preference optimisation: two steps of `uniform-ipo` from θ, the second against the first's policy.

    With the pair (y, y') uniform, d = q − β log(π_θ/μ) and d̄ its mean,

    θ_{k+½} = θ_k + a Σ_y (d(y) − d̄) ∇ log π_θ(y),  q = Aπ_k
    θ_{k+1} = θ_k + a Σ_y (d(y) − d̄) ∇ log π_θ(y),  q = Aπ_{k+½}

    both at θ = θ_k. For a table it is `nash-mp` with η/(1+η) = aβ. On duels y is uniform, so that the only importance
    weight is n, against y' ~ π_k, then π_{k+½}; an optimiser remembers the second gradient only. Two queries per step.
    Source: Zhou et al. 2025 (arXiv 2503.08942); theory §4.1, §4.4.

    Example:
        >>> import nashgames as ng
        >>> solver = ng.EGPO().with_theory_defaults(beta=0.5)
        >>> solver.step, solver.queries_per_step
        (1.0, 2)
    """

    step: Annotated[
        float | None,
        Number("a, the step of mirror descent in logits; default 2/(1+2β), that of nash-mp", above=0, tuned=True),
    ] = None
    learner: PolicyGradient = PLAIN

    name: ClassVar[str] = "egpo"
    queries_per_step: ClassVar[int] = 2

    def with_theory_defaults(self, beta: float) -> Self:
        mirror = 2 / (1 + 2 * beta)
        step = self.learner.constant_step(mirror, mirror) if self.step is None else self.step
        return dataclasses.replace(self, step=step)

    def init(self, game: Game, key: jax.Array) -> Iterate:
        return self.learner.start(game, key, self.step)

    def update(self, game: Game, state: Iterate, key: jax.Array) -> Iterate:
        first, second = jax.random.split(key)
        half = self.learner.ascend(game, state, uniform_pairs(game, state), self.step, first)
        return self.learner.ascend(game, state, uniform_pairs(game, half), self.step, second)

    def log_policy(self, state: Iterate) -> jax.Array:
        return state.reported

    def advantage(self, state: Iterate) -> jax.Array | None:
        return state.known
