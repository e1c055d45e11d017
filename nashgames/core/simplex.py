"""Geometry of the simplex in log space: log-probabilities in nats, `[n]`, or `[m, n]` over contexts.

Every function acts on the last axis, the actions.
"""

import math

import jax
import jax.numpy as jnp

Scalar = jax.Array | float

# |r| where q − p + p r and the series are about equally exact: 7e-15 in float64, 7e-6 in float32. At a tenth of it the
# former has lost two digits more, at five times it the latter has 5e-9 and 3e-3.
_SERIES_RADIUS = 0.2


def normalise(logits: jax.Array) -> jax.Array:
    """log softmax: `logits` − log Σ exp(`logits`).

    Args:
        logits: log-probabilities up to a constant, `[n]`, `[m, n]`

    Example:
        >>> import jax.numpy as jnp
        >>> from nashgames.core import simplex
        >>> [round(float(p), 4) for p in jnp.exp(simplex.normalise(jnp.log(jnp.array([1.0, 3.0]))))]
        [0.25, 0.75]
    """
    return softmax(logits)[0]


def softmax(logits: jax.Array) -> tuple[jax.Array, jax.Array]:
    """log softmax and softmax: one exponential gives both.

    Args:
        logits: log-probabilities up to a constant, `[n]`, `[m, n]`

    Example:
        >>> import jax.numpy as jnp
        >>> from nashgames.core import simplex
        >>> log_policy, policy = simplex.softmax(jnp.zeros(4))
        >>> round(float(policy[0]), 4)
        0.25
    """
    shifted = logits - jnp.max(logits, axis=-1, keepdims=True)
    weights = jnp.exp(shifted)
    total = jnp.sum(weights, axis=-1, keepdims=True)
    return shifted - jnp.log(total), weights / total


def geometric_mixture(log_p: jax.Array, log_q: jax.Array, weight: Scalar) -> jax.Array:
    """Normalised p^(1−weight) · q^weight.

    Args:
        log_p, log_q: log p and log q, `[n]`, `[m, n]`
        weight: the exponent of q, scalar in [0, 1]

    Example:
        >>> import jax.numpy as jnp
        >>> from nashgames.core import simplex
        >>> p, q = jnp.log(jnp.array([0.2, 0.8])), jnp.log(jnp.array([0.8, 0.2]))
        >>> [round(float(p), 4) for p in jnp.exp(simplex.geometric_mixture(p, q, 0.5))]
        [0.5, 0.5]
    """
    return normalise(log_p + weight * (log_q - log_p))


def arithmetic_mixture(log_p: jax.Array, log_q: jax.Array, weight: Scalar) -> jax.Array:
    """log[(1−weight) p + weight q], without leaving log space.

    Args:
        log_p, log_q: log p and log q, `[n]`, `[m, n]`
        weight: the share of q, scalar in (0, 1]

    Example:
        >>> import jax.numpy as jnp
        >>> from nashgames.core import simplex
        >>> p, q = jnp.log(jnp.array([0.2, 0.8])), jnp.log(jnp.array([0.4, 0.6]))
        >>> [round(float(p), 4) for p in jnp.exp(simplex.arithmetic_mixture(p, q, 0.5))]
        [0.3, 0.7]
    """
    return jnp.logaddexp(jnp.log1p(-weight) + log_p, jnp.log(weight) + log_q)


def mirror(
    log_policy: jax.Array, log_reference: jax.Array, advantage: jax.Array, beta: Scalar, step: Scalar
) -> jax.Array:
    """The step a of mirror descent on the game regularised by β KL(·‖μ) (theory §4.6): ∝ π^{1−aβ} μ^{aβ} e^{aq}.

    Args:
        log_policy, log_reference: log π and log μ, `[n]`, `[m, n]`
        advantage: q, the margins against the opponent, `[n]`, `[m, n]`
        beta, step: β and a, scalars

    Example:
        >>> import jax.numpy as jnp
        >>> from nashgames.core import simplex
        >>> uniform = simplex.normalise(jnp.zeros(2))
        >>> moved = simplex.mirror(uniform, uniform, jnp.array([0.5, -0.5]), beta=0.1, step=1.0)
        >>> [round(float(p), 4) for p in jnp.exp(moved)]
        [0.7311, 0.2689]
    """
    return normalise(log_policy + step * (advantage + beta * (log_reference - log_policy)))


def prox(log_policy: jax.Array, log_reference: jax.Array, advantage: jax.Array, beta: Scalar, eta: Scalar) -> jax.Array:
    """The proximal step of Nash-MP against an opponent with advantage q (theory §4.1).

    argmax_π' ⟨q, π'⟩ − β KL(π'‖μ) − (β/η) KL(π'‖π)  =  softmax([log π + η log μ + (η/β) q] / (1 + η)).

    Args:
        log_policy, log_reference: log π and log μ, `[n]`, `[m, n]`
        advantage: q, the margins against the opponent, `[n]`, `[m, n]`
        beta, eta: β above 0 and η, scalars

    Example:
        >>> import jax.numpy as jnp
        >>> from nashgames.core import simplex
        >>> uniform = simplex.normalise(jnp.zeros(2))
        >>> moved = simplex.prox(uniform, uniform, jnp.array([0.5, -0.5]), beta=0.5, eta=1.0)
        >>> [round(float(p), 4) for p in jnp.exp(moved)]
        [0.7311, 0.2689]
    """
    return normalise((log_policy + eta * (log_reference + advantage / beta)) / (1 + eta))


def fisher(log_policy: jax.Array, direction: jax.Array) -> jax.Array:
    """F(π)·direction with F = diag π − ππᵀ: the gradient in softmax logits of ⟨direction, π⟩.

    Args:
        log_policy: log π, `[n]`, `[m, n]`
        direction: a vector for every context, `[n]`, `[m, n]`

    Example:
        >>> import jax.numpy as jnp
        >>> from nashgames.core import simplex
        >>> [round(float(x), 4) for x in simplex.fisher(simplex.normalise(jnp.zeros(2)), jnp.array([1.0, 0.0]))]
        [0.25, -0.25]
    """
    policy = jnp.exp(log_policy)
    return policy * (direction - jnp.sum(policy * direction, axis=-1, keepdims=True))


def kl(log_p: jax.Array, log_q: jax.Array, q: jax.Array | None = None) -> jax.Array:
    """KL(p‖q) in nats as a sum of non-negative terms (theory §2); scalar, or `[m]` over contexts.

    With r = log p − log q the terms are q − p + p r = p (e^{−r} − 1 + r): they add up to Σ p log(p/q) without its
    cancellations, so that the sum keeps its relative accuracy down to KL = 1e-30. Logarithms may be −inf: where p = 0
    the term is q, and where q = 0 < p it is inf.

    Args:
        log_p, log_q: log p and log q, `[n]`, `[m, n]`
        q: the probabilities q where they are known, which saves an exponential, `[n]`, `[m, n]`

    Example:
        >>> import jax.numpy as jnp
        >>> from nashgames.core import simplex
        >>> round(float(simplex.kl(jnp.log(jnp.array([1.0, 0.0])), jnp.log(jnp.array([0.5, 0.5])))), 4)
        0.6931
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
    """log p − log q: 0 where both are −inf, infinite where one is.

    Args:
        log_p, log_q: log p and log q, `[n]`, `[m, n]`

    Example:
        >>> import jax.numpy as jnp
        >>> from nashgames.core import simplex
        >>> simplex.log_ratio(jnp.array([0.0, -jnp.inf]), jnp.array([0.0, -jnp.inf])).tolist()
        [0.0, 0.0]
    """
    return jnp.where(log_p == log_q, 0, log_p - log_q)


def largest(values: jax.Array) -> jax.Array:
    """max_i; NaN where one of them is NaN.

    XLA's own maximum over 4,096 numbers and more on the CPU skips NaN, and gives −inf where there is nothing else
    (jaxlib 0.10, openxla/xla #21461).

    Args:
        values: numbers, `[n]`, `[m, n]`

    Example:
        >>> import jax.numpy as jnp
        >>> from nashgames.core import simplex
        >>> simplex.largest(jnp.array([[1.0, 2.0], [1.0, jnp.nan]])).tolist()
        [2.0, nan]
    """
    return jnp.where(jnp.isnan(values).any(axis=-1), jnp.nan, jnp.max(values, axis=-1))


def span(difference: jax.Array) -> jax.Array:
    """max_i − min_i: a semi-norm of logits, invariant to adding a constant; inf where one of them is infinite.

    Args:
        difference: a difference of log-probabilities, `[n]`, `[m, n]`

    Example:
        >>> import jax.numpy as jnp
        >>> from nashgames.core import simplex
        >>> float(simplex.span(jnp.array([1.0, -1.0, 0.5])))
        2.0
    """
    return largest(difference) - jnp.min(difference, axis=-1)


def entropy(log_policy: jax.Array) -> jax.Array:
    """−Σ π log π in nats, with 0 log 0 = 0.

    Args:
        log_policy: log π, `[n]`, `[m, n]`

    Example:
        >>> import jax.numpy as jnp
        >>> from nashgames.core import simplex
        >>> round(float(simplex.entropy(jnp.log(jnp.array([0.5, 0.5, 0.0])))), 4)
        0.6931
    """
    policy = jnp.exp(log_policy)
    return -jnp.sum(policy * jnp.where(policy > 0, log_policy, 0), axis=-1)


def is_policy(log_policy: jax.Array) -> jax.Array:
    """Whether all are logarithms of probabilities, −inf that of 0 among them: neither NaN nor +inf; scalar.

    Args:
        log_policy: log π, `[n]`, `[m, n]`

    Example:
        >>> import jax.numpy as jnp
        >>> from nashgames.core import simplex
        >>> bool(simplex.is_policy(jnp.array([0.0, -jnp.inf]))), bool(simplex.is_policy(jnp.array([jnp.nan])))
        (True, False)
    """
    return jnp.all(log_policy < jnp.inf)
