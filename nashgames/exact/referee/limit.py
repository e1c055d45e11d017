"""The limit β → 0: of all equilibria of the original game the one closest to the reference."""

import numpy as np
import scipy.linalg

from nashgames.exact.referee.active import Actions
from nashgames.exact.referee.newton import best_response, normalise
from nashgames.exact.referee.system import Matrix

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
        matrix.block(support).astype(np.float64, copy=False),
        matrix.margins[np.ix_(others, support)].astype(np.float64, copy=False),
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

    The equilibria are the positive π with Aπ = 0 to which no fence has a positive margin. With a basis Q of A's range
    (skew: its row space), the step dπ of Newton's method that keeps Qᵀπ and Σπ has dπ/π = Qλ + c − log(π/μ), where λ
    and c are the weighted least-squares fit of log(π/μ). A fence that is run into is a column more, held at margin 0
    until its multiplier has the wrong sign (active set). At the end the fit is exact, also where π underflows.
    """
    basis, triangle, _ = scipy.linalg.qr(margins, pivoting=True)
    rank = int(np.count_nonzero(np.abs(np.diag(triangle)) > _RANK * len(margins) * (margins.max() or 1.0)))
    if rank >= len(margins) - 1:
        return normalise(np.log(policy))
    span = np.column_stack([basis[:, :rank], np.ones(len(policy))])
    held: list[int] = []
    for _ in range(_MAX_STEPS):
        tilt = np.log(policy) - log_reference
        fit, multipliers = _fitted(span, fences[held], policy, tilt)
        change = fit - tilt
        if np.max(np.abs(policy * change)) < _SMALL:
            if not held or multipliers.max() < _SMALL:
                break
            held.pop(int(np.argmax(multipliers)))
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
    fit, _ = _fitted(span, fences[held], policy, np.log(policy) - log_reference)
    fitted = normalise(log_reference + fit)
    lost = float(np.max(np.abs(margins @ np.exp(fitted)))) - float(np.max(np.abs(margins @ policy)))
    return fitted if lost < _SMALL else normalise(np.log(policy))


def _fitted(span: np.ndarray, held: np.ndarray, policy: np.ndarray, tilt: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The fit of `tilt` by columns of `span` and rows of `held`, weighted by π, and the factors of the latter."""
    columns, root = np.column_stack([span, held.T]), np.sqrt(policy)
    factors = scipy.linalg.lstsq(
        root[:, None] * columns, root * tilt, check_finite=False, overwrite_a=True, lapack_driver="gelsy"
    )[0]
    return columns @ factors, factors[span.shape[1] :]
