"""The limit β → 0: of all equilibria of the original game the one closest to the reference."""

import numpy as np
import scipy.linalg

from nashgames.referee.active import Actions
from nashgames.referee.newton import best_response, normalise
from nashgames.referee.system import Matrix

_MAX_STEPS = 100
_RANK = 1e-13
_SMALL = 1e-16
_SHORT_OF = 0.9
_UNSEEN = 1e-18
_EXACT = 1e-20
_PLAYED_AT = 1e-4
_LOSING = 1e-9
_SHARP = 1e-3


def limit(matrix: Matrix, log_reference: np.ndarray, before: np.ndarray | None) -> tuple[np.ndarray, float]:
    """log π `[n]` of the equilibrium closest to the reference, −inf outside its support, and its exploitability.

    The interior-point method ends inside the face of all equilibria, where just the actions that some equilibrium plays
    have π > z (strict complementarity). An action that loses to an equilibrium is played by none, which is why a large
    game needs only its best actions; those of `before`, the equilibrium at a larger β, come first.
    """
    if before is None:
        before, _ = best_response(matrix, log_reference, _SHARP * matrix.largest, normalise(log_reference))
    actions = Actions(before)
    while True:
        found = actions.solve(actions.part(matrix), log_reference, 0.0, _EXACT * matrix.largest)
        policy = actions.whole_policy(found.policy)
        advantage = np.where(actions.outside, matrix @ policy, -np.inf)
        lacking = int(np.count_nonzero(advantage > -_LOSING * matrix.largest))
        if not lacking:
            break
        actions.add(np.argsort(-advantage)[:lacking])
    support = actions.chosen[found.policy > _PLAYED_AT * found.slack]
    others = np.setdiff1d(np.arange(len(matrix)), support)
    log_policy = np.full(len(matrix), -np.inf)
    log_policy[support] = closest_equilibrium(
        matrix.block(support).astype(np.float64),
        matrix.margins[np.ix_(others, support)].astype(np.float64),
        log_reference[support],
        policy[support] / policy[support].sum(),
    )
    return log_policy, max(0.0, float(np.max(matrix @ np.exp(log_policy))))


def closest_equilibrium(
    margins: np.ndarray, fences: np.ndarray, log_reference: np.ndarray, policy: np.ndarray
) -> np.ndarray:
    """log π `[k]` of the equilibrium least in KL(π‖μ), over the actions that some equilibrium plays.

    `margins` A `[k, k]` are between these actions, `fences` `[r, k]` those of the others against them; `policy` is an
    equilibrium that plays all of the former and beats all of the latter.

    The equilibria are the positive π that differ from the known one by Nu, where the columns of N span the part of A's
    kernel that adds up to 0, and to which no fence has a positive margin. On them KL is convex, with the gradient
    Nᵀ log(π/μ) and the Hessian Nᵀ diag(1/π) N, so that Newton's step is a weighted least-squares problem; a fence that
    is run into is held at margin 0 until its multiplier would be negative (active set). Where it ends, log(π/μ) lies in
    the range of A (skew: its row space), less the fences times their multipliers, up to a constant.
    """
    basis, triangle, _ = scipy.linalg.qr(margins, pivoting=True)
    inside = np.abs(np.diag(triangle)) > _RANK * len(margins) * (float(margins.max(initial=0)) or 1.0)
    span, kernel = basis[:, inside], basis[:, ~inside]
    free = kernel @ scipy.linalg.null_space(kernel.sum(axis=0)[None])
    if not free.shape[1]:
        return normalise(np.log(policy))
    held: list[int] = []
    for _ in range(_MAX_STEPS):
        directions = free @ scipy.linalg.null_space(fences[held] @ free) if held else free
        change, moved = _newton_step(directions, log_reference, policy)
        if moved < _SMALL:
            multipliers = _multipliers(fences[held] @ free, free.T @ (np.log(policy) - log_reference))
            if not held or multipliers.min() > -_SMALL:
                break
            held.pop(int(np.argmin(multipliers)))
            continue
        # Short of the boundary, but for probabilities that no sum can see.
        length = min(1.0, _SHORT_OF / float(np.max(-change, where=policy > _UNSEEN, initial=_SHORT_OF)))
        room, rate = -(fences @ policy), fences @ (policy * change)
        rate[held] = 0
        reach = np.where(rate > 0, np.maximum(room, 0) / np.where(rate > 0, rate, 1), np.inf)
        if len(fences) and reach.min() < length:
            length = float(reach.min())
            held.append(int(np.argmin(reach)))
        policy = policy * np.maximum(1 + length * change, 1 - _SHORT_OF)
    return _log_policy(np.column_stack([span, fences[held].T]), margins, log_reference, policy)


def _newton_step(directions: np.ndarray, log_reference: np.ndarray, policy: np.ndarray) -> tuple[np.ndarray, float]:
    """dπ/π of Newton's step on KL(π‖μ) along the columns of `directions`, and max |dπ|."""
    if not directions.shape[1]:
        return np.zeros_like(policy), 0.0
    root = np.sqrt(policy)
    tilt = np.log(policy) - log_reference
    tilt -= policy @ tilt
    step = scipy.linalg.lstsq(directions / root[:, None], -root * tilt, check_finite=False, lapack_driver="gelsy")[0]
    change = directions @ step
    return change / policy, float(np.max(np.abs(change)))


def _multipliers(held: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """y with gradient + heldᵀ y = 0."""
    return np.asarray(scipy.linalg.lstsq(held.T, -gradient)[0]) if len(held) else np.empty(0)


def _log_policy(span: np.ndarray, margins: np.ndarray, log_reference: np.ndarray, policy: np.ndarray) -> np.ndarray:
    """log π with log(π/μ) in the span up to a constant, which tells what is too small to be added up as well."""
    root = np.sqrt(policy)
    rows = root[:, None] * np.column_stack([span, np.ones(len(policy))])
    tilt = scipy.linalg.lstsq(rows, root * (np.log(policy) - log_reference), check_finite=False)[0][:-1]
    tilted = normalise(log_reference + span @ tilt)
    lost = float(np.max(np.abs(margins @ np.exp(tilted)))) - float(np.max(np.abs(margins @ policy)))
    return tilted if lost < _SMALL else normalise(np.log(policy))
