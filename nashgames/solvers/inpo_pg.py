"""INPO as it is run on networks: rounds of pairs that the policy wrote itself, each fitted by the IPO loss."""

import dataclasses
from dataclasses import dataclass
from typing import Annotated, ClassVar, Self

import jax
import numpy as np

from nashgames.core.game import Game
from nashgames.learning.data_sets import BATCHES, PairsState, begin, checked_batches, fit, paid
from nashgames.learning.pairs import Pairs
from nashgames.learning.policy_gradient import PLAIN, PolicyGradient, mixture
from nashgames.learning.steps import mirror_step, stable_step
from nashgames.registry import Number


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class INPOPG:
    """INPO-PG: every `round` = T steps the policy π_k draws the pairs of the next round and becomes its anchor.

    L = E_{y,y'~π_k}[(h(y_w) − h(y_l) − 1/(2η))²] with h = log(π_θ/π̄), π̄ ∝ μ^{β/η} π_k^{1−β/η}, y_w preferred to y_l.
    The step θ ← θ + a v has v = −(η/4)∇L; on exact feedback v = Σ_y π_k(y) [q(π_k) − η(h − h̄)](y) ∇ log π_θ(y). On
    duels a step reads B pairs, with `batches` = K those of the same K batches of the round over and over: only the
    first K steps of a round cost comparisons.

    A round that is fitted to its end is a step of mirror descent, π_{k+1} ∝ π_k^{1−β/η} μ^{β/η} e^{q(π_k)/η}: the table
    `inpo`, which goes to **π*_β**. At π*_β no round moves, whatever T is, and T = 1 is `online-ipo` with the same step.
    With η = β the anchor is μ: iterated IPO, a best response every round, which cycles where β is small. For a table on
    exact feedback the default step is 1/(η‖F(π_k)‖), which the curvature of the loss allows; else as for `online-ipo`.
    One query per step. Source: Zhang et al. 2025 (arXiv 2407.00617); theory §4.8.

    Example:
        >>> import nashgames as ng
        >>> ng.make_solver("inpo-pg").with_theory_defaults(beta=0.5).eta
        1.0
    """

    eta: Annotated[
        float | None,
        Number("η, a round's inverse step, in theory at least β; default β + 1/(4β)", symbol="η", above=0, tuned=True),
    ] = None
    round: Annotated[
        int | None, Number("T, steps of a round, for which π_θ draws new pairs; default 10", symbol="T", least=1)
    ] = None
    step: Annotated[
        float | None,
        Number("a, the gradient step; default: follows the curvature, else 2η/(¼+η²)", above=0, tuned=True),
    ] = None
    batches: Annotated[int | None, BATCHES] = None
    learner: PolicyGradient = PLAIN

    name: ClassVar[str] = "inpo-pg"
    default_source: ClassVar[str] = "default"
    queries_per_step: ClassVar[int] = 1

    def with_theory_defaults(self, beta: float) -> Self:
        batches = checked_batches(self.name, self.batches, self.learner)
        eta = beta + 1 / (4 * beta) if self.eta is None else self.eta
        step = self.learner.default_step(stable_step(eta), mirror_step(eta)) if self.step is None else self.step
        return dataclasses.replace(self, eta=eta, step=step, batches=batches, round=self.round or 10)

    def paid(self, steps: np.ndarray) -> np.ndarray:
        """Of so many first steps those whose comparisons were new."""
        return paid(steps, self.batches, self.round)

    def init(self, game: Game, key: jax.Array) -> PairsState:
        return begin(self.learner, game, key)

    def update(self, game: Game, state: PairsState, key: jax.Array) -> PairsState:
        writer = self.learner.policy_at(game, state.writer)
        loss = Pairs(writer, self.eta, mixture(writer, game.log_reference, game.beta / self.eta))
        return fit(self.learner, game, state, loss, self.step, key, self.batches, self.round)

    def log_policy(self, state: PairsState) -> jax.Array:
        return state.iterate.reported

    def advantage(self, state: PairsState) -> jax.Array | None:
        return None
