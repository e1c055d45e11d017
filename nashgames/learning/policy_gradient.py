"""Policy gradients once: weights over the actions → the gradient of a parametrised policy → a step of an optimiser.

Every method of this kind climbs, in θ, P(π_θ ≻ π') − τ KL(π_θ‖π̄) for an opponent π', a temperature τ and an anchor π̄
that it chooses anew at every step: what tells two of them apart is an `Objective`.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nashgames.core.game import Game
from nashgames.core.simplex import Scalar
from nashgames.defaults import PARTS
from nashgames.learning.optimisers import OPTIMISERS, Optimiser
from nashgames.learning.policies import POLICIES, Policy, direction

_TABLE: Policy = POLICIES.make(PARTS["policy"])
_STEPS: Optimiser = OPTIMISERS.make(PARTS["optimiser"])


class Objective(NamedTuple):
    """max_θ P(π_θ ≻ π') − τ KL(π_θ‖π̄), its gradient taken over actions y ~ ν; distributions are log `[n]`, `[m, n]`.

    `behaviour` ν, `opponent` π', `temperature` τ, `anchor` π̄; `advantage` is q(π') where it was queried before.
    With ν = π_θ the direction is the policy gradient; another ν weighs the actions as it plays them, times the
    importance `weight` of each: n where y is uniform.
    """

    behaviour: jax.Array
    opponent: jax.Array
    temperature: Scalar
    anchor: jax.Array
    advantage: jax.Array | None = None
    weight: Scalar = 1


class Iterate(NamedTuple):
    """What a policy gradient carries from step to step.

    `parameters` θ and the `optimiser`'s state; `log_policy` log π_θ; `advantage` q(π_θ) where feedback is exact and the
    next step asks for it, else None; `average`, `log_average`: the moving average of θ and its policy where one is
    kept, else None.
    """

    parameters: Any
    optimiser: Any
    log_policy: jax.Array
    advantage: jax.Array | None
    average: Any
    log_average: jax.Array | None

    @property
    def reported(self) -> jax.Array:
        """The policy to report: that of the averaged parameters where they are kept."""
        return self.log_policy if self.log_average is None else self.log_average

    @property
    def known(self) -> jax.Array | None:
        """q of the reported policy where a query has told it, else None."""
        return self.advantage if self.log_average is None else None


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class PolicyGradient:
    """What a policy gradient is made of beside its mathematics: π_θ, and how θ moves."""

    policy: Policy = _TABLE
    optimiser: Optimiser = _STEPS

    def default_step(self, stable: float) -> float:
        """The step where none is given; `stable` is theory's for a table moved by plain steps."""
        return self.optimiser.default_step(stable * self.policy.gain)

    def start(self, game: Game, key: jax.Array, *, self_play: bool = True) -> Iterate:
        """θ_0, at the policy where the run begins; with `self_play` the next query is against that policy."""
        parameters = self.policy.init(game, key)
        average = None if self.optimiser.average is None else parameters
        return self._iterate(game, parameters, self.optimiser.init(parameters), average, self_play)

    def ascend(
        self,
        game: Game,
        iterate: Iterate,
        objective: Objective,
        step: Scalar,
        key: jax.Array,
        *,
        self_play: bool = True,
    ) -> Iterate:
        """One step of the optimiser along the gradient of `objective`, estimated by one query.

        With `self_play` the query after this one is against the policy that comes of it.
        """
        gradient = self.gradient(game, iterate, objective, key)
        parameters, optimiser = self.optimiser.ascend(gradient, iterate.optimiser, iterate.parameters, step)
        average = iterate.average
        if average is not None:
            average = polyak_update(average, parameters, 1 - self.optimiser.average)
        return self._iterate(game, parameters, optimiser, average, self_play)

    def gradient(self, game: Game, iterate: Iterate, objective: Objective, key: jax.Array) -> Any:
        """Σ_y w(y) ∇ log π_θ(y) times the importance weight, like the parameters, from one query.

        w = margins − τ visits ∘ log(π_θ/π̄), of which ν Σ_y w(y) is taken off: with ν = π_θ that changes nothing, as
        E_π ∇ log π_θ = 0, and with another ν it is the contrast between pairs of actions that the IPO loss has.
        """
        log_behaviour, log_opponent, temperature, log_anchor, advantage, importance = objective
        tally = game.tally(log_behaviour, log_opponent, key, advantage)
        weights = tally.margins - temperature * tally.visits * (iterate.log_policy - log_anchor)
        weights = weights - jnp.exp(log_behaviour) * jnp.sum(weights, axis=-1, keepdims=True)
        return direction(self.policy, game, iterate.parameters, iterate.log_policy, importance * weights)

    def _iterate(self, game: Game, parameters: Any, optimiser: Any, average: Any, self_play: bool) -> Iterate:
        log_policy = self.policy.log_policy(game, parameters)
        advantage = game.foresee(log_policy) if self_play else None
        log_average = None if average is None else self.policy.log_policy(game, average)
        return Iterate(parameters, optimiser, log_policy, advantage, average, log_average)


PLAIN = PolicyGradient()
"""A table, moved by plain steps along exact gradients."""


def stable_step(temperature: float) -> float:
    """A step of softmax self-play policy gradient, locally stable in every game while its anchor stays: 2τ/(¼ + τ²).

    At the equilibrium the update is I + aF^½(M − τ)F^½ in F^½-coordinates, with M = F^½AF^½ skew, ‖F‖ ≤ ½ and
    ‖M‖ ≤ max|A| ≤ ½: the squared logit error falls by at least a(2τ − a(¼ + τ²)/2)·δᵀFδ, which this step maximises
    [derived].
    """
    return 2 * temperature / (0.25 + temperature**2)


def uniform_pairs(game: Game, opponent: Iterate) -> Objective:
    """The regularised game against `opponent` with y uniform, its gradient weighted by n."""
    uniform = jnp.full_like(opponent.log_policy, -jnp.log(game.actions))
    return Objective(
        uniform, opponent.log_policy, game.beta, game.log_reference, opponent.advantage, weight=game.actions
    )


def polyak_update(target: Any, parameters: Any, share: Scalar) -> Any:
    """(1 − share) · target + share · parameters, leaf by leaf: how a slowly moving target follows θ."""
    return jax.tree.map(lambda old, new: old + share * (new - old), target, parameters)


def tree_where(condition: jax.Array, new: Any, old: Any) -> Any:
    """`new` where `condition` holds, else `old`, leaf by leaf."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), new, old)
