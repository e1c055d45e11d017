"""Geometry of the simplex in log space; every function acts on the last axis, `[n]` or `[m, n]`."""

import jax
import jax.numpy as jnp

Scalar = jax.Array | float

_SERIES_RADIUS = 0.1
_SERIES_TERMS = 11


def normalise(logits: jax.Array) -> jax.Array:
    """log softmax: `logits` − log Σ exp(`logits`)."""
    return jax.nn.log_softmax(logits, axis=-1)


def geometric_mixture(log_p: jax.Array, log_q: jax.Array, weight: Scalar) -> jax.Array:
    """Normalised p^(1−weight) · q^weight."""
    return normalise(log_p + weight * (log_q - log_p))


def prox(log_policy: jax.Array, log_reference: jax.Array, advantage: jax.Array, beta: Scalar, eta: Scalar) -> jax.Array:
    """The proximal step of Nash-MP against an opponent with advantage q (theory §4.1).

    argmax_π' ⟨q, π'⟩ − β KL(π'‖μ) − (β/η) KL(π'‖π)  =  softmax([log π + η log μ + (η/β) q] / (1 + η)).
    """
    return normalise((log_policy + eta * (log_reference + advantage / beta)) / (1 + eta))


def fisher(log_policy: jax.Array, direction: jax.Array) -> jax.Array:
    """F(π)·direction with F = diag π − ππᵀ: the gradient in softmax logits of ⟨direction, π⟩."""
    policy = jnp.exp(log_policy)
    return policy * (direction - jnp.sum(policy * direction, axis=-1, keepdims=True))


def kl(log_p: jax.Array, log_q: jax.Array) -> jax.Array:
    """KL(p‖q) as a sum of non-negative terms (theory §2); scalar, or `[m]` over contexts.

    With r = log p − log q the terms are p (e^{−r} − 1 + r) for r ≥ 0 and q (1 − e^{r} + r e^{r}) for r < 0: they add
    up to Σ p log(p/q) without its cancellations, so that the sum keeps its relative accuracy down to KL = 1e-30.
    """
    r = log_p - log_q
    # The branch is taken before exponentiating: e^{−|r|} never overflows, whichever side is the larger.
    e = jnp.exp(-jnp.abs(r))
    far = jnp.where(r >= 0, jnp.exp(log_p) * (e - 1 + r), jnp.exp(log_q) * (1 - e + r * e))
    near = jnp.exp(log_p) * _series(jnp.clip(r, -_SERIES_RADIUS, _SERIES_RADIUS))
    return jnp.sum(jnp.where(jnp.abs(r) < _SERIES_RADIUS, near, far), axis=-1)


def _series(r: jax.Array) -> jax.Array:
    """e^{−r} − 1 + r for small |r|, to full relative accuracy: r²/2 − r³/6 + … by Horner's rule."""
    total = jnp.ones_like(r)
    for k in range(_SERIES_TERMS, 2, -1):
        # A product with 1/k: a division costs as much as the rest of the term.
        total = 1 - r * (1 / k) * total
    return r * r * 0.5 * total


def span(difference: jax.Array) -> jax.Array:
    """max_i − min_i: the semi-norm of logits, blind to normalisation."""
    return jnp.max(difference, axis=-1) - jnp.min(difference, axis=-1)


def entropy(log_policy: jax.Array) -> jax.Array:
    """−Σ π log π in nats."""
    return -jnp.sum(jnp.exp(log_policy) * log_policy, axis=-1)
