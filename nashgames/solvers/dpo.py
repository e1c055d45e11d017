"""DPO: a policy that is the reward model of the pairs it was fitted to."""

import dataclasses
from dataclasses import dataclass
from typing import Annotated, ClassVar, Self

import jax
import numpy as np

from nashgames.core.game import Game
from nashgames.defaults import ENDLESS
from nashgames.learning.data_sets import BATCHES, PairsState, begin, checked_batches, fit, paid
from nashgames.learning.pairs import Pairs, logistic
from nashgames.learning.policy_gradient import PLAIN, PolicyGradient
from nashgames.learning.steps import mirror_step, stable_step
from nashgames.registry import Number


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class DPO:
    """DPO on pairs y, y' ~ π_0 that were compared once, or in rounds on pairs of the current policy.

    L = −E[log σ(β(h(y_w) − h(y_l)))] with h = log(π_θ/μ), y_w preferred to y_l. The step θ ← θ + a v has v = −∇L/(2β),
    for a pair with label o that is ½ [o − σ(β(h(y) − h(y')))] (∇ log π_θ(y) − ∇ log π_θ(y')). On duels a step reads B
    pairs, with `batches` = K those of the same K batches over and over: only the first K steps (of a round of `round`)
    cost comparisons. On exact feedback it is the loss over all pairs.

    With all pairs it comes to rest where Σ_{y'} ν(y') [P(y ≻ y') − σ(β(h(y) − h(y')))] = 0 for every y. Where P is
    Bradley–Terry, P = σ(r(y) − r(y')), that is **π ∝ μ e^{r/β}** whatever ν is: the optimum of the reward, not π*_β,
    whose q is bounded. Elsewhere it is the best Bradley–Terry model of the game as ν sees it, and where one action
    always wins there is no minimum. For a table on exact feedback the default step is 4/(β‖F(ν)‖), which the curvature
    of the loss allows; else as for `online-ipo`. One query per step.
    Source: Rafailov et al. 2023 (arXiv 2305.18290), equation 7; rounds as in Xiong et al. 2024; theory §4.8.

    Example:
        >>> import nashgames as ng
        >>> ng.make_solver("dpo[step=0.5]").with_theory_defaults(beta=0.5).step
        0.5
    """

    step: Annotated[
        float | None,
        Number("a, the gradient step; default: follows the curvature, else 2β/(¼+β²)", above=0, tuned=True),
    ] = None
    batches: Annotated[int | None, BATCHES] = None
    round: Annotated[
        int | None,
        Number("T, steps of a round, for which π_θ draws new pairs; default: all are of π_0", symbol="T", least=1),
    ] = None
    learner: PolicyGradient = PLAIN

    name: ClassVar[str] = "dpo"
    default_source: ClassVar[str] = "default"
    fixed_point: ClassVar[str] = "own"
    queries_per_step: ClassVar[int] = 1

    def with_theory_defaults(self, beta: float) -> Self:
        batches = checked_batches(self.name, self.batches, self.learner)
        step = self.learner.default_step(stable_step(beta), mirror_step(beta)) if self.step is None else self.step
        return dataclasses.replace(self, step=step, batches=batches, round=self.round or ENDLESS)

    def paid(self, steps: np.ndarray) -> np.ndarray:
        """Of so many first steps those whose comparisons were new."""
        return paid(steps, self.batches, self.round)

    def init(self, game: Game, key: jax.Array) -> PairsState:
        return begin(self.learner, game, key)

    def update(self, game: Game, state: PairsState, key: jax.Array) -> PairsState:
        writer = self.learner.policy_at(game, state.writer)
        loss = Pairs(writer, game.beta, game.log_reference, logistic, slope=0.25)
        return fit(self.learner, game, state, loss, self.step, key, self.batches, self.round)

    def log_policy(self, state: PairsState) -> jax.Array:
        return state.iterate.reported

    def advantage(self, state: PairsState) -> jax.Array | None:
        return None
