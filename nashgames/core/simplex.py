"""Geometry of the simplex in log space; every function acts on the last axis, `[n]` or `[m, n]`."""

import math

import jax
import jax.numpy as jnp

Scalar = jax.Array | float

# |r| where q − p + p r and the series are about equally exact: 7e-15 in float64, 7e-6 in float32. At a tenth of it the
# former has lost two digits more, at five times it the latter has 5e-9 and 3e-3.
_SERIES_RADIUS = 0.2


def normalise(logits: jax.Array) -> jax.Array:
    """log softmax: `logits` − log Σ exp(`logits`)."""
    return softmax(logits)[0]


def softmax(logits: jax.Array) -> tuple[jax.Array, jax.Array]:
    """log softmax and softmax: one exponential gives both."""
    shifted = logits - jnp.max(logits, axis=-1, keepdims=True)
    weights = jnp.exp(shifted)
    total = jnp.sum(weights, axis=-1, keepdims=True)
    return shifted - jnp.log(total), weights / total


def geometric_mixture(log_p: jax.Array, log_q: jax.Array, weight: Scalar) -> jax.Array:
    """Normalised p^(1−weight) · q^weight."""
    return normalise(log_p + weight * (log_q - log_p))


def arithmetic_mixture(log_p: jax.Array, log_q: jax.Array, weight: Scalar) -> jax.Array:
    """log[(1−weight) p + weight q] for 0 < weight ≤ 1, without leaving log space."""
    return jnp.logaddexp(jnp.log1p(-weight) + log_p, jnp.log(weight) + log_q)


def mirror(
    log_policy: jax.Array, log_reference: jax.Array, advantage: jax.Array, beta: Scalar, step: Scalar
) -> jax.Array:
    """The step a of mirror descent on the game regularised by β KL(·‖μ) (theory §4.6): ∝ π^{1−aβ} μ^{aβ} e^{aq}."""
    return normalise(log_policy + step * (advantage + beta * (log_reference - log_policy)))


def prox(log_policy: jax.Array, log_reference: jax.Array, advantage: jax.Array, beta: Scalar, eta: Scalar) -> jax.Array:
    """The proximal step of Nash-MP against an opponent with advantage q (theory §4.1).

    argmax_π' ⟨q, π'⟩ − β KL(π'‖μ) − (β/η) KL(π'‖π)  =  softmax([log π + η log μ + (η/β) q] / (1 + η)).
    """
    return normalise((log_policy + eta * (log_reference + advantage / beta)) / (1 + eta))


def fisher(log_policy: jax.Array, direction: jax.Array) -> jax.Array:
    """F(π)·direction with F = diag π − ππᵀ: the gradient in softmax logits of ⟨direction, π⟩."""
    policy = jnp.exp(log_policy)
    return policy * (direction - jnp.sum(policy * direction, axis=-1, keepdims=True))


def kl(log_p: jax.Array, log_q: jax.Array, q: jax.Array | None = None) -> jax.Array:
    """KL(p‖q) as a sum of non-negative terms (theory §2); scalar, or `[m]` over contexts; `q` saves an exponential.

    With r = log p − log q the terms are q − p + p r = p (e^{−r} − 1 + r): they add up to Σ p log(p/q) without its
    cancellations, so that the sum keeps its relative accuracy down to KL = 1e-30. Logarithms may be −inf: where p = 0
    the term is q, and where q = 0 < p it is inf.
    """
    p, q, r = jnp.exp(log_p), jnp.exp(log_q) if q is None else q, log_p - log_q
    far = q - p + p * jnp.where(p > 0, r, 0)
    return jnp.sum(jnp.where(jnp.abs(r) < _SERIES_RADIUS, p * _series(r), far), axis=-1)


def _series(r: jax.Array) -> jax.Array:
    """e^{−r} − 1 + r = r²/2! − r³/3! + … for |r| below the radius, to the accuracy that q − p + p r has beyond it."""
    # No more terms than that takes: XLA hands a kernel with more arithmetic than memory traffic to its thread pool,
    # which for policies of a thousand entries costs several times the work itself.
    terms = 4 if r.dtype == jnp.float32 else 10
    total = jnp.zeros_like(r)
    for k in reversed(range(2, 2 + terms)):
        total = total * r + (-1) ** k / math.factorial(k)
    return r * r * total


def log_ratio(log_p: jax.Array, log_q: jax.Array) -> jax.Array:
    """log p − log q: 0 where both are −inf, infinite where one is."""
    return jnp.where(log_p == log_q, 0, log_p - log_q)


def span(difference: jax.Array) -> jax.Array:
    """max_i − min_i: a semi-norm of logits, invariant to adding a constant; inf where one of them is infinite."""
    return jnp.max(difference, axis=-1) - jnp.min(difference, axis=-1)


def entropy(log_policy: jax.Array) -> jax.Array:
    """−Σ π log π in nats, with 0 log 0 = 0."""
    policy = jnp.exp(log_policy)
    return -jnp.sum(policy * jnp.where(policy > 0, log_policy, 0), axis=-1)


def is_policy(log_policy: jax.Array) -> jax.Array:
    """Whether all are logarithms of probabilities, −inf that of 0 among them: neither NaN nor +inf; scalar."""
    return jnp.all(log_policy < jnp.inf)
