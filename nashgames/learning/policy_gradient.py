"""The policy gradient: from weights on the actions to the gradient of a parametrised policy to a step of an optimiser.

Every method of this kind climbs, in θ, P(π_θ ≻ π') − τ KL(π_θ‖π̄) for an opponent π', a temperature τ and an anchor π̄
that it chooses anew at every step: what tells two of them apart is an `Objective`. Methods that learn from pairs of
others' actions descend a loss of `Pairs`.
"""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nashgames.core.game import Game
from nashgames.core.simplex import Scalar
from nashgames.defaults import PARTS
from nashgames.errors import NashGamesError
from nashgames.learning.generated import At, Distribution, draw, log_prob, mixture, uniform_like
from nashgames.learning.optimisers import OPTIMISERS, Natural, Optimiser, moves_plainly
from nashgames.learning.pairs import Pairs, pairs_gradient
from nashgames.learning.policies import POLICIES, Policy, Sequential, Tabular, direction, natural_direction
from nashgames.learning.steps import (
    LONGEST,
    SHARE,
    fisher_bound,
    mirror_step,
    next_rotation,
    rotation_bound,
    stable_step,
    step_limit,
)

__all__ = [
    "PLAIN",
    "Iterate",
    "Objective",
    "PolicyGradient",
    "mixture",
    "polyak_update",
    "tree_where",
    "uniform_like",
    "uniform_pairs",
]

_TABLE: Policy = POLICIES.make(PARTS["policy"])
_STEPS: Optimiser = OPTIMISERS.make(PARTS["optimiser"])


class Objective(NamedTuple):
    """max_θ P(π_θ ≻ π') − τ KL(π_θ‖π̄), its gradient taken over actions y ~ ν; distributions are log `[n]`, `[m, n]`.

    `behaviour` ν, `opponent` π', `temperature` τ, `anchor` π̄; `advantage` is q(π') where it was queried before.
    With ν = π_θ the direction is the policy gradient; another ν weighs the actions as it plays them, times the
    importance `weight` of each: n where y is uniform.
    """

    behaviour: Distribution
    opponent: Distribution
    temperature: Scalar
    anchor: Distribution
    advantage: jax.Array | None = None
    weight: Scalar = 1


class Iterate(NamedTuple):
    """What a policy gradient carries from step to step.

    `parameters` θ and the `optimiser`'s state; `log_policy` log π_θ; `advantage` q(π_θ) where feedback is exact and the
    next step asks for it, else None; `average`, `log_average`: the moving average of θ and its policy where one is
    kept, else None. `rotation` κ² `[1]`, `[m, 1]` over contexts, where the step follows the curvature, else None.
    """

    parameters: Any
    optimiser: Any
    log_policy: jax.Array
    advantage: jax.Array | None
    average: Any
    log_average: jax.Array | None
    rotation: jax.Array | None = None

    @property
    def reported(self) -> jax.Array:
        """The policy to report: that of the averaged parameters where they are kept."""
        return self.log_policy if self.log_average is None else self.log_average

    @property
    def known(self) -> jax.Array | None:
        """q of the reported policy where a query returned it, else None."""
        return self.advantage if self.log_average is None else None


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class PolicyGradient:
    """The parts of a policy gradient: the policy π_θ, the optimiser of θ, and whether feedback is sampled."""

    policy: Policy = _TABLE
    optimiser: Optimiser = _STEPS
    sampled: bool = field(default=False, metadata={"static": True})

    @property
    def is_natural(self) -> bool:
        """Whether θ moves along the natural gradient."""
        return isinstance(self.optimiser, Natural)

    @property
    def knows_curvature(self) -> bool:
        """Whether the default step may follow the curvature: a tabular policy, plain steps, exact gradients."""
        return isinstance(self.policy, Tabular) and moves_plainly(self.optimiser) and not self.sampled

    def default_step(self, stable: float, natural: float) -> float | None:
        """The default step: None, which follows the curvature, or where that is not known a constant."""
        return None if self.knows_curvature else self.constant_step(stable, natural)

    def constant_step(self, stable: float, natural: float) -> float:
        """The default constant step.

        `stable` is theory's for a table moved by plain steps, `natural` for one moved along the natural gradient, which
        moves the logits as far whatever they are made of.
        """
        return self.optimiser.default_step(natural if self.is_natural else stable * self.policy.gain)

    def start(self, game: Game, key: jax.Array, step: Scalar | None, *, self_play: bool = True) -> Iterate:
        """θ_0, at the policy where the run begins; with `self_play` the next query is against that policy."""
        parameters = self.policy.init(game, key)
        average = None if self.optimiser.average is None else parameters
        begun = self._iterate(game, parameters, self.optimiser.init(parameters), average, self_play)
        follows = step is None and not game.feedback.comparisons
        return begun._replace(rotation=rotation_bound(begun.log_policy)) if follows else begun

    def ascend(
        self,
        game: Game,
        iterate: Iterate,
        objective: Objective | Pairs,
        step: Scalar | None,
        key: jax.Array,
        *,
        self_play: bool = True,
        fixed: bool = False,
    ) -> Iterate:
        """One step of the optimiser along the gradient of `objective`, estimated by one query.

        A `step` of None follows the curvature; on duels, where that is not known, it is theory's. With `self_play` the
        query after this one is against the policy that comes of it. An opponent that is `fixed` while θ climbs does not
        rotate: κ = 0.
        """
        gradient = self.gradient(game, iterate, objective, key)
        if step is None:
            step = self._step(iterate, objective.temperature, gradient, fixed)
        parameters, optimiser = self.optimiser.ascend(gradient, iterate.optimiser, iterate.parameters, step)
        average = iterate.average
        if average is not None:
            average = polyak_update(average, parameters, 1 - self.optimiser.average)
        after = self._iterate(game, parameters, optimiser, average, self_play)
        if iterate.rotation is None:
            return after
        before, now = iterate.advantage, after.advantage
        change = None if before is None or now is None else now - before
        moved = after.log_policy - iterate.log_policy
        return after._replace(rotation=next_rotation(iterate.rotation, after.log_policy, moved, change))

    def _step(self, iterate: Iterate, temperature: Scalar, direction: jax.Array, fixed: bool) -> Scalar:
        """The default step of a tabular policy, `[1]`, or `[m, 1]` over contexts, which are separate games."""
        # Against a fixed opponent the Hessian is −τF: theory §4.2.
        proved = 1 / temperature if fixed else mirror_step(temperature)
        if iterate.rotation is None:
            return proved if self.is_natural else 2 / temperature if fixed else stable_step(temperature)
        fisher = 1 if self.is_natural else fisher_bound(iterate.log_policy)
        limit = step_limit(temperature, fisher, 0 if fixed else iterate.rotation)
        length = jnp.max(jnp.abs(direction), axis=-1, keepdims=True)
        step = jnp.minimum(SHARE * limit, LONGEST / jnp.maximum(length, float(np.finfo(length.dtype).tiny)))
        return jnp.clip(step, proved, 1 / temperature) if self.is_natural else step

    def gradient(self, game: Game, iterate: Iterate, objective: Objective | Pairs, key: jax.Array) -> Any:
        """Σ_y w(y) ∇ log π_θ(y) times the importance weight, like the parameters, from one query.

        w = margins − τ visits ∘ log(π_θ/π̄), of which ν Σ_y w(y) is taken off: with ν = π_θ that changes nothing, as
        E_π ∇ log π_θ = 0, and with another ν it is the contrast between pairs of actions that the IPO loss has.
        """
        if isinstance(objective, Pairs):
            return pairs_gradient(self.policy, game, iterate, objective, key)
        if isinstance(iterate.log_policy, At):
            return self._from_samples(game, iterate.log_policy, objective, key)
        if self.is_natural:
            objective = self._for_natural(game, iterate, objective)
        log_behaviour, log_opponent, temperature, log_anchor, advantage, importance = objective
        tally = game.tally(log_behaviour, log_opponent, key, advantage)
        weights = tally.margins - temperature * tally.visits * (iterate.log_policy - log_anchor)
        weights = weights - jnp.exp(log_behaviour) * jnp.sum(weights, axis=-1, keepdims=True)
        parts = self.policy, game, iterate.parameters, iterate.log_policy
        found = direction(*parts, importance * weights)
        if isinstance(self.optimiser, Natural) and not isinstance(self.policy, Tabular):
            return natural_direction(*parts, found, self.optimiser.damping)
        return found

    def _from_samples(self, game: Game, ours: At, objective: Objective, key: jax.Array) -> Any:
        """(1/B) Σ_b (w_b − w̄_b) ∇ log π_θ(y_b), like the parameters: w = o − ½ − τ log(π_θ/π̄)(y) of B duels of
        y ~ ν against y' ~ π', times the importance weight, and w̄_b the mean of the others.

        The leave-one-out baseline takes ν Σ_y w(y) off as `gradient` does, without bias (Kool et al. 2019), and with it
        any number that log π̄ misses. O(B) whatever n is: only the log-probabilities of what was drawn are computed.
        """
        if self.is_natural:
            raise NashGamesError(
                f"the optimiser is natural, and {self.policy.name} on duels is only sampled; use sgd or adam, or exact "
                "feedback"
            )
        behaviour, opponent, temperature, anchor, _, importance = objective
        batch = game.feedback.comparisons
        if batch < 2:
            raise NashGamesError(
                f"the batch of {game.feedback.name} is {batch}, and a policy that is sampled compares the duels of a "
                "query with each other; accepted: at least 2"
            )
        of_ours, of_theirs, of_judge = jax.random.split(key, 3)
        if opponent is behaviour:
            drawn, against = jnp.split(draw(game, behaviour, of_ours, 2 * batch), 2, axis=-1)
        else:
            drawn, against = draw(game, behaviour, of_ours, batch), draw(game, opponent, of_theirs, batch)
        answers = game.duel(drawn, against, of_judge)
        log_ours, pull_back = jax.vjp(lambda theta: ours.policy.log_prob(game, theta, drawn), ours.parameters)
        weights = importance * (answers - temperature * (log_ours - log_prob(game, anchor, drawn)))
        contrast = (batch * weights - jnp.sum(weights, axis=-1, keepdims=True)) / (batch - 1)
        of_contexts = game.weights[:, None] if contrast.ndim == 2 else 1
        (found,) = pull_back(of_contexts * contrast / batch)
        return found

    def policy_at(self, game: Game, parameters: Any) -> Any:
        """π_θ: log π_θ of all actions, or of sequences that learn from duels what they are drawn from."""
        if game.feedback.comparisons and isinstance(self.policy, Sequential):
            return At(self.policy, parameters)
        return self.policy.log_policy(game, parameters)

    def _for_natural(self, game: Game, iterate: Iterate, objective: Objective) -> Objective:
        """The objective with the distribution of actions that its natural gradient needs.

        For a table F⁺F(π)v = v up to a constant: uniform actions of weight n give it without a division by π. For other
        policies conjugate gradients start from the gradient, with y ~ π_θ.
        """
        if isinstance(self.policy, Tabular):
            return objective._replace(behaviour=uniform_like(iterate.log_policy), weight=game.actions)
        return objective._replace(behaviour=iterate.log_policy, weight=1)

    def _iterate(self, game: Game, parameters: Any, optimiser: Any, average: Any, self_play: bool) -> Iterate:
        log_policy = self.policy_at(game, parameters)
        advantage = game.foresee(log_policy) if self_play else None
        log_average = None if average is None else self.policy_at(game, average)
        return Iterate(parameters, optimiser, log_policy, advantage, average, log_average)


PLAIN = PolicyGradient()
"""A tabular policy moved by plain steps along exact gradients."""


def uniform_pairs(game: Game, opponent: Iterate) -> Objective:
    """The regularised game against `opponent` with y uniform, its gradient weighted by n."""
    uniform = uniform_like(opponent.log_policy)
    return Objective(
        uniform, opponent.log_policy, game.beta, game.log_reference, opponent.advantage, weight=float(game.actions)
    )


def polyak_update(target: Any, parameters: Any, share: Scalar) -> Any:
    """(1 − share) · target + share · parameters, leaf by leaf: the update of a slowly moving target."""
    return jax.tree.map(lambda old, new: old + share * (new - old), target, parameters)


def tree_where(condition: jax.Array, new: Any, old: Any) -> Any:
    """`new` where `condition` holds, else `old`, leaf by leaf."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), new, old)
