"""A policy that is only sampled, measured by samples: what estimates of unlisted games are computed from."""

import jax
import jax.numpy as jnp

from nashgames.core import next_tokens
from nashgames.core.game import Game
from nashgames.core.margins import WrittenMargins
from nashgames.core.metrics import Drawn
from nashgames.core.next_tokens import Chains
from nashgames.learning.generated import At

SAMPLES = 512
"""Sequences a prompt that a point is measured with: a win rate of four prompts is right to 0.01, in the time of four
steps of 64 duels."""

_PARTS = 16
"""Parts of the samples that the jackknife leaves out one by one: a mean of 32 each."""


def drawn(game: Game, ours: At, equilibrium: Chains | None, key: jax.Array, samples: int = SAMPLES) -> Drawn:
    """Sequences of π_θ, of the reference and of the `equilibrium`, and what estimates need of them.

    The samples are of π_θ itself, whatever the temperature at which it is sampled to learn: it is π_θ that is judged.
    """
    reference: Chains = game.log_reference
    policy, parameters = ours.policy.unchanged(), ours.parameters
    of_policy, of_reference, of_equilibrium = jax.random.split(key, 3)
    written = policy.written(game, parameters, of_policy, samples)
    own = policy.log_next_of(game, parameters, written)
    actions = reference.sequences.actions(written)
    others = reference.sequences.actions(reference.written(of_reference, samples))
    there, before = written > 0, next_tokens.before_of(written)
    counted = [jnp.sum(each, axis=-1).astype(own.dtype) for each in (there, there & (before > 0))]
    left = _along(own, reference.log_next_of(written), written)
    gain, moved = _response(game, actions)
    apart = jnp.full_like(left, jnp.nan)
    if equilibrium is not None:
        best = equilibrium.written(of_equilibrium, samples)
        apart = _along(equilibrium.log_next_of(best), policy.log_next_of(game, parameters, best), best)
    return Drawn(
        weights=jnp.asarray(game.weights),
        beta=game.beta,
        left=left,
        margins=game.margins.entries(actions, others),
        tokens=counted[0],
        followed=counted[1],
        repeated=jnp.sum(there & (before == written), axis=-1).astype(own.dtype),
        gain=gain,
        moved=moved,
        apart=apart,
    )


def _along(log_p: jax.Array, log_q: jax.Array, tokens: jax.Array) -> jax.Array:
    """Σ_t KL(p(·|y_<t)‖q(·|y_<t)) `[…]` along sequences `[…, L]`, from what both say at their places."""
    of_places = jnp.sum(jnp.exp(log_p) * (log_p - log_q), axis=-1)
    return jnp.sum(jnp.where(next_tokens.is_chosen(tokens), of_places, 0), axis=-1)


def _response(game: Game, actions: jax.Array) -> tuple[jax.Array, jax.Array]:
    """β log E_μ e^{q̂/β}, with q̂ that of the mean of what is seen of `actions`, and what each of them adds to it.

    As a convex function of that mean it is too large by about Var_{y,z}(A)/(2βK): the jackknife over parts takes that
    out. NaN where margins are not linear, and so q no function of a mean.
    """
    margins, reference = game.margins, game.log_reference
    if not isinstance(margins, WrittenMargins) or margins.judge != "linear":
        shape = actions.shape[1:]
        return jnp.full(shape[:-1], jnp.nan, reference.dtype), jnp.full(shape, jnp.nan, reference.dtype)

    def gain(mean: jax.Array) -> jax.Array:
        constant, table = margins.against(mean)
        log_sum, _ = reference.tilted(table / game.beta)
        return constant + game.beta * log_sum

    seen = margins.seen(actions)
    mean = jnp.mean(seen, axis=-2)
    size = seen.shape[-2] // _PARTS
    parts = jnp.mean(seen.reshape(*seen.shape[:-2], _PARTS, size, seen.shape[-1]), axis=-2)
    without = jnp.moveaxis(mean[..., None, :] + (mean[..., None, :] - parts) / (_PARTS - 1), -2, 0)
    whole, slope = gain(mean), jax.grad(lambda at: jnp.sum(gain(at)))(mean)
    value = _PARTS * whole - (_PARTS - 1) * jnp.mean(jax.lax.map(gain, without), axis=0)
    return value, jnp.sum((seen - mean[..., None, :]) * slope[..., None, :], axis=-1)
