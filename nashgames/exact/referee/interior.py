"""The interior-point method: close to π*_β of any game, without a warm start, for every β ≥ 0."""

from typing import NamedTuple

import numpy as np

from nashgames.exact.referee.system import Matrix, System

# Steps, a system each: over 14 families at n = 41 and β = 1 … 0 the most was 22, at n = 201 it was 43; 20 were too few.
_MAX_STEPS = 60
# Further corrections of a step: on the games above none took 4 % more systems, six saved 0.4 %.
_CORRECTIONS = 3
# Products within a factor of ten of the target are left alone (Gondzio 1996); a factor of 100 took 1 % more systems.
_CENTRAL = 10.0
# Least π z of an action, in means, after a step: 1e-6 to 1e-2 were alike, 0.1 took 14 % more systems.
_NEIGHBOURHOOD = 1e-4
# Parts of the way to the boundary, tried from the longest. Starting at 0.99 took 9 % more systems, at 0.9 39 %; the
# short ones are for points that would leave the neighbourhood.
_FRACTIONS = (0.9999, 0.999, 0.99, 0.97, 0.93, 0.85, 0.7, 0.5, 0.3, 0.1)
# Steps in a row that halve neither error before it gives up: 2 gave up too early on 2 of 308 equilibria, 0 on 16.
_PATIENCE = 8
# Mean infeasibility that is rounding, as margins are at most ½: from 1e-15 to 1e-9 the systems were the same.
_ROUNDING = 1e-12
# Least slack in a system, in largest margins: 1e-15 left two equilibria at β = 0 undecided, 1e-14 to 1e-8 none.
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
    systems without a warm start, whatever μ and β are. `log_reference` `[n]` need not be normalised.
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
        if stalled > _PATIENCE or (matrix.computes and matrix.exhausted):
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

    # The predictor only sets the target: two digits do, as 1e-4 saved no system.
    affine = towards(0.0, 1e-2)
    length = min(1.0, _length(point, affine))
    reached = (policy + length * affine.policy) @ (slack + length * affine.slack) / len(policy)
    # Mehrotra's cube: the square took 3 % more systems, the fourth power 1 % fewer.
    target = tau * (reached / tau) ** 3
    product = target - affine.policy * affine.slack
    # 1e-2 took 4 % more systems at n = 201, 1e-10 no fewer.
    direction = towards(product, 1e-4)
    length = min(1.0, _length(point, direction))
    for _ in range(_CORRECTIONS):
        # A full step cannot become longer.
        if length > 0.99:
            break
        # What would be off centre after a longer step is taken back in the next direction.
        longer = min(1.0, 1.5 * length + 0.3)
        products = (policy + longer * direction.policy) * (slack + longer * direction.slack)
        correction = np.clip(products, target / _CENTRAL, target * _CENTRAL) - products
        product = product + np.maximum(correction, -_CENTRAL * target)
        corrected = towards(product, 1e-4)
        reach = min(1.0, _length(point, corrected))
        # A correction that gains less is the last: waiting for ten times more took 4 % more systems.
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
