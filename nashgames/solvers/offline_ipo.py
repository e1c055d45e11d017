"""Offline IPO: the IPO loss on a fixed data set of comparisons."""

import dataclasses
from dataclasses import dataclass
from typing import Annotated, ClassVar, Self

import jax
import numpy as np

from nashgames.core.game import Game
from nashgames.learning.data_sets import BATCHES, PairsState, begin, checked_batches, fit, paid
from nashgames.learning.pairs import Pairs
from nashgames.learning.policy_gradient import PLAIN, PolicyGradient
from nashgames.learning.steps import mirror_step, stable_step
from nashgames.registry import Number


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class OfflineIPO:
    """IPO on pairs y, y' ~ π_0 that were compared once; π_θ itself is never sampled.

    L = E[(h(y_w) − h(y_l) − 1/(2β))²] with h = log(π_θ/μ), y_w preferred to y_l. The step θ ← θ + a v has v = −(β/4)∇L,
    for a pair with label o that is ½ [o − ½ − β(h(y) − h(y'))] (∇ log π_θ(y) − ∇ log π_θ(y')). On duels a step reads B
    pairs, and with `batches` = K those of the same K batches over and over: only the first K steps cost comparisons.
    On exact feedback it is the loss over all pairs, v = Σ_y π_0(y) [q(π_0) − β(h − h̄)](y) ∇ log π_θ(y).

    With all pairs it comes to rest at **π ∝ μ e^{q(π_0)/β}**, the best response to π_0 (= μ unless the run starts
    elsewhere) and not π*_β, as pairs of π_0 do not say what beats the answer to them; a data set it fits, noise too.
    For a table on exact feedback the default step is 1/(β‖F(π_0)‖), which the curvature of the loss allows; else as for
    `online-ipo`. One query per step. Source: Azar et al. 2024 (arXiv 2310.12036); theory §4.8.

    Example:
        >>> import nashgames as ng
        >>> ng.make_solver("offline-ipo[step=0.5]").with_theory_defaults(beta=0.5).step
        0.5
    """

    step: Annotated[
        float | None,
        Number("a, the gradient step; default: follows the curvature, else 2β/(¼+β²)", above=0, tuned=True),
    ] = None
    batches: Annotated[int | None, BATCHES] = None
    learner: PolicyGradient = PLAIN

    name: ClassVar[str] = "offline-ipo"
    default_source: ClassVar[str] = "default"
    fixed_point: ClassVar[str] = "own"
    queries_per_step: ClassVar[int] = 1

    def with_theory_defaults(self, beta: float) -> Self:
        batches = checked_batches(self.name, self.batches, self.learner)
        step = self.learner.default_step(stable_step(beta), mirror_step(beta)) if self.step is None else self.step
        return dataclasses.replace(self, step=step, batches=batches)

    def paid(self, steps: np.ndarray) -> np.ndarray:
        """Of so many first steps those whose comparisons were new."""
        return paid(steps, self.batches)

    def init(self, game: Game, key: jax.Array) -> PairsState:
        return begin(self.learner, game, key)

    def update(self, game: Game, state: PairsState, key: jax.Array) -> PairsState:
        loss = Pairs(self.learner.policy_at(game, state.writer), game.beta, game.log_reference)
        return fit(self.learner, game, state, loss, self.step, key, self.batches)

    def log_policy(self, state: PairsState) -> jax.Array:
        return state.iterate.reported

    def advantage(self, state: PairsState) -> jax.Array | None:
        return None
