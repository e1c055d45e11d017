"""Newton's method in log-probabilities: from nearby to the last digit, also of probabilities that underflow."""

import numpy as np

from nashgames.exact.referee.system import Matrix

# Length of a step below which Newton's method is too far away and it pays to start anew: 1e-4 took 2 % more systems.
CRAWL = 1e-2
# Nats: a log-probability of fewer digits is not called exact, however small β is (n = 100: below 2e-8).
_LARGEST_TOLERANCE = 1e-6


def newton(
    matrix: Matrix, log_reference: np.ndarray, beta: float, log_policy: np.ndarray, max_solves: int
) -> tuple[np.ndarray, float]:
    """log π near π*_β from `log_policy` `[n]`, and its residual max_i |log π − log BR_β(π)|_i.

    F(ℓ) = ℓ − log BR_β(e^ℓ) has the Jacobian I − (I − 1·BRᵀ) A diag(π)/β (theory §4.7); a step is shortened until the
    Jeffreys divergence between π and BR_β(π) falls. It ends at rounding, where it crawls, or after `max_solves`.
    """
    log_response, divergence = best_response(matrix, log_reference, beta, log_policy)
    rounding = tolerance(beta, len(log_policy))
    best, residual = log_policy, float(np.max(np.abs(log_policy - log_response)))
    for _ in range(max_solves):
        if matrix.computes and matrix.exhausted:
            break
        gap = log_policy - log_response
        policy = np.exp(log_policy)
        d_policy, _ = matrix.system(policy / beta).solve(-beta * gap, 0.0, _accuracy(gap, rounding))
        direction = matrix @ d_policy / beta - gap
        length = 1.0
        while True:
            trial = normalise(log_policy + length * direction)
            log_response, reached = best_response(matrix, log_reference, beta, trial)
            # Of a linear F's divergence a step takes off twice its length: a twentieth is asked for.
            # Once the divergence is at rounding only actions of negligible probability move: F is linear there, so a
            # full step is exact however the divergence rounds.
            if reached <= (1 - 0.1 * length) * divergence or reached < rounding**2:
                break
            length /= 2
            if length < CRAWL:
                return best, residual
        log_policy, divergence = trial, reached
        found = float(np.max(np.abs(log_policy - log_response)))
        # One step beyond the tolerance ends at rounding.
        if found >= residual and residual <= rounding:
            break
        best, residual = log_policy, found
    return best, residual


def _accuracy(gap: np.ndarray, rounding: float) -> float:
    """An inexact Newton step: its relative error follows the residual, which keeps it quadratic, down to rounding."""
    # Two digits at first; more than ten GMRES cannot always tell from rounding.
    largest = max(float(np.max(np.abs(gap))), rounding)
    return float(np.clip(max(1e-2 * largest, 0.1 * rounding / largest), 1e-10, 1e-2))


def best_response(
    matrix: Matrix, log_reference: np.ndarray, beta: float, log_policy: np.ndarray
) -> tuple[np.ndarray, float]:
    """log BR_β(π) and the Jeffreys divergence Σ (π − BR)(log π − log BR), a sum of non-negative terms."""
    log_response = normalise(log_reference + matrix @ np.exp(log_policy) / beta)
    gap = np.abs(log_policy - log_response)
    return log_response, float(np.sum(np.exp(np.maximum(log_policy, log_response)) * -np.expm1(-gap) * gap))


def normalise(logits: np.ndarray) -> np.ndarray:
    """Log-probabilities of the softmax, of one policy `[n]` or of several `[G, n]`."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.sum(np.exp(shifted), axis=-1, keepdims=True)))


def tolerance(beta: float, n: int) -> float:
    """Rounding of log π − log μ − q/β: a few units of q's last place, magnified by 1/β, and of log π."""
    return min(4e-12 + 2e-15 * np.sqrt(n) / beta, _LARGEST_TOLERANCE)
