"""The interior-point method: close to π*_β of any game, from nowhere, for every β ≥ 0."""

from typing import NamedTuple

import numpy as np

from nashgames.exact.referee.system import Matrix, System

_MAX_STEPS = 60
_CORRECTIONS = 3
_CENTRAL = 10.0
_NEIGHBOURHOOD = 1e-4
_FRACTIONS = (0.9999, 0.999, 0.99, 0.97, 0.93, 0.85, 0.7, 0.5, 0.3, 0.1)
_PATIENCE = 8
_ROUNDING = 1e-12
_FLOOR = 1e-13


class Interior(NamedTuple):
    """A point of the central path: π > 0 and its slacks z > 0, `[n]` both, with π_i z_i about equal."""

    policy: np.ndarray
    slack: np.ndarray


class _Point(NamedTuple):
    policy: np.ndarray
    slack: np.ndarray
    value: float


def interior_point(matrix: Matrix, log_reference: np.ndarray, beta: float, accuracy: float) -> Interior:
    """π and z with z = v + β log(π/μ) − Aπ, Σπ = 1 and Σ π_i z_i ≤ n·`accuracy`, v a number.

    Since A is skew, the optimality of π against itself is a monotone complementarity problem, whose central path
    π_i z_i = τ exists for every β ≥ 0 and ends at π*_β (β = 0: inside the face of all equilibria). Mehrotra's predictor
    and corrector follow it, with Gondzio's further corrections at the price of a back substitution each; it takes 5–30
    systems from nowhere whatever μ and β are. `log_reference` `[n]` need not be normalised.
    """
    n = len(matrix)
    # On the central path, and feasible but for Aπ: an action that μ hardly has begins with a large slack.
    slack = beta * (log_reference.max() - log_reference) + matrix.largest
    policy = 1 / slack / np.sum(1 / slack)
    point = _Point(policy, slack, float(np.mean(slack - _slack(matrix, log_reference, beta, policy))))
    best, stalled = np.full(2, np.inf), 0
    for _ in range(_MAX_STEPS):
        policy, slack, value = point
        infeasible = value + _slack(matrix, log_reference, beta, policy) - slack
        errors = np.array([policy @ slack, policy @ np.abs(infeasible)])
        if errors[0] <= n * accuracy and errors[1] <= n * accuracy + _ROUNDING:
            break
        stalled = 0 if np.any(errors < best / 2) else stalled + 1
        if stalled > _PATIENCE:
            break
        best = np.minimum(best, errors)
        # Where slacks are rounding the system of a game with many equilibria would be singular.
        weight = policy / (slack + beta + _FLOOR * matrix.largest)
        point = _step(matrix.system(weight), point, infeasible, float(errors[0]) / n)
    return Interior(point.policy, point.slack)


def _slack(matrix: Matrix, log_reference: np.ndarray, beta: float, policy: np.ndarray) -> np.ndarray:
    """β log(π/μ) − Aπ: the slack of every action where v = 0."""
    return (beta * (np.log(policy) - log_reference) if beta else 0.0) - matrix @ policy


def _step(system: System, point: _Point, infeasible: np.ndarray, tau: float) -> _Point:
    policy, slack, value = point
    missing = 1 - float(policy.sum())

    def towards(product: np.ndarray | float, accuracy: float) -> _Point:
        """The direction in which π z becomes π z + dπ z + π dz = `product`, and the infeasibility 0."""
        wanted = product / policy
        d_policy, d_value = system.solve(wanted - slack - infeasible, missing, accuracy)
        return _Point(d_policy, wanted - slack - slack * d_policy / policy, d_value)

    affine = towards(0.0, 1e-2)
    length = min(1.0, _length(point, affine))
    reached = (policy + length * affine.policy) @ (slack + length * affine.slack) / len(policy)
    target = tau * (reached / tau) ** 3
    product = target - affine.policy * affine.slack
    direction = towards(product, 1e-4)
    length = min(1.0, _length(point, direction))
    for _ in range(_CORRECTIONS):
        if length > 0.99:
            break
        # What would be off centre after a longer step is taken back in the next direction.
        longer = min(1.0, 1.5 * length + 0.3)
        products = (policy + longer * direction.policy) * (slack + longer * direction.slack)
        correction = np.clip(products, target / _CENTRAL, target * _CENTRAL) - products
        product = product + np.maximum(correction, -_CENTRAL * target)
        corrected = towards(product, 1e-4)
        reach = min(1.0, _length(point, corrected))
        if reach < length + 0.03:
            break
        direction, length = corrected, reach
    boundary = _length(point, direction)
    for fraction in _FRACTIONS:
        length = min(1.0, fraction * boundary)
        new = _Point(
            policy + length * direction.policy, slack + length * direction.slack, value + length * direction.value
        )
        products = new.policy * new.slack
        if products.min() >= _NEIGHBOURHOOD * products.mean():
            break
    return new


def _length(point: _Point, direction: _Point) -> float:
    """The step at which the first probability or slack becomes 0."""
    values = np.concatenate([point.policy, point.slack])
    changes = np.concatenate([direction.policy, direction.slack])
    falling = changes < 0
    return float(np.min(-values[falling] / changes[falling], initial=np.inf))
