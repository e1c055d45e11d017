"""The losses of pairs of actions of which one was preferred: IPO and DPO."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nashgames.core.game import Game
from nashgames.core.simplex import Scalar
from nashgames.learning.generated import Distribution, draw, log_prob
from nashgames.learning.policies import Policy, direction


class Pairs(NamedTuple):
    """The loss of pairs y, y' ~ ν with labels o, h = log(π_θ/π̄): its step is c (∇ log π_θ(y) − ∇ log π_θ(y')) with
    c = ½ [o − ½ − link(τ(h(y) − h(y')))].

    `behaviour` ν, `temperature` τ, `anchor` π̄; distributions are log `[n]`, `[m, n]`, or sampled. `link` is odd and
    rises by at most `slope`: the identity (None) for IPO, of whose loss E[(h(y) − h(y') − (o − ½)/τ)²] the step is −τ/4
    times the gradient, as in `online-ipo`; `logistic` for DPO, of whose loss it is −1/(2τ) times the gradient.
    """

    behaviour: Distribution
    temperature: Scalar
    anchor: Distribution
    link: Callable[[jax.Array], jax.Array] | None = None
    slope: float = 1.0


def logistic(odds: jax.Array) -> jax.Array:
    """σ(x) − ½ = ½ tanh(x/2), of slope ¼ at most."""
    return 0.5 * jnp.tanh(odds / 2)


def pairs_gradient(policy: Policy, game: Game, iterate: Any, loss: Pairs, key: jax.Array) -> Any:
    """The mean step of the `loss`, like the parameters, from one query: over all pairs ν × ν, or over B that are drawn.

    All pairs: Σ_y ν(y) [(Aν)(y) − E_{y'~ν} link(τ(h(y) − h(y')))] ∇ log π_θ(y), which the query of Aν gives.
    """
    if not game.feedback.comparisons:
        margins = game.tally(loss.behaviour, loss.behaviour, key).margins
        likelihood = jnp.exp(loss.behaviour)
        expected = _expected(loss, likelihood, iterate.log_policy - loss.anchor)
        return direction(policy, game, iterate.parameters, iterate.log_policy, margins - likelihood * expected)
    of_pairs, of_judge = jax.random.split(key)
    drawn = draw(game, loss.behaviour, of_pairs, 2 * game.feedback.comparisons)
    ours, theirs = jnp.split(drawn, 2, axis=-1)
    log_ours, pull_back = jax.vjp(lambda theta: policy.log_prob(game, theta, drawn), iterate.parameters)
    first, second = jnp.split(log_ours - log_prob(game, loss.anchor, drawn), 2, axis=-1)
    told = loss.temperature * (first - second)
    answers = game.duel(ours, theirs, of_judge)
    weights = (answers - (told if loss.link is None else loss.link(told))) / (2 * answers.shape[-1])
    if policy.shares_parameters and weights.ndim == 2:
        weights = game.weights[:, None] * weights
    (found,) = pull_back(jnp.concatenate([weights, -weights], axis=-1))
    return found


def _expected(loss: Pairs, likelihood: jax.Array, ratios: jax.Array) -> jax.Array:
    """E_{y'~ν} link(τ(h(y) − h(y'))) of every action y, from ν and h up to a constant, their shape."""
    if loss.link is None:
        return loss.temperature * (ratios - jnp.sum(likelihood * ratios, axis=-1, keepdims=True))
    apart = ratios[..., :, None] - ratios[..., None, :]
    return jnp.sum(likelihood[..., None, :] * loss.link(loss.temperature * apart), axis=-1)
