"""The regularised equilibrium at one β > 0."""

from collections.abc import Sequence

import numpy as np

from nashgames.exact.referee.active import Actions
from nashgames.exact.referee.newton import best_response, newton, normalise, tolerance
from nashgames.exact.referee.system import Matrix
from nashgames.exact.referee.together import Together, newton_together

# Systems from the equilibrium before: over five β none took 19 % more in all, 4 took 5 % more, 120 3 % fewer.
_NEARBY_SOLVES = 12
# Systems from the interior point: 5 were the most, and 2 enough for the tolerance, at n = 41 and β ≥ 1e-4.
_FINISHING_SOLVES = 30
# Actions beyond which a game in which most may play comes down from a larger β: castles (4,000) took half the products.
_LARGE = 1500
# Largest margin, over β, up to which it does, as below most actions play nothing, and the fall of β at a time: 3 took
# twice the products.
_SHARPEST, _FALL = 64, 10.0
# Share of the others at which Newton's method is tried on all: 1e-6 to 0.1 took the same systems at 2,000 actions.
_NEGLIGIBLE = 1e-3
# Share of the others, over β, that moves a log-probability by less than this many nats: below the rounding of float64.
_UNFELT = 1e-15
# Mean π z on a part that others join; Newton's method ends the last one. 1e-9 saved 5 of 15 systems in a game of two.
_ROUGH = 1e-12
# Mean π z on the whole: near enough for Newton's method. 1e-12 took 9 % fewer systems at n = 41, 1e-20 4 % more.
_EXACT = 1e-17


def regularised(
    matrix: Matrix, log_reference: np.ndarray, beta: float, before: np.ndarray | None, *, tried: bool = False
) -> tuple[np.ndarray, float]:
    """log π*_β `[n]` and its residual.

    From `before`, the equilibrium at a larger β, or where β is large from the answer to μ, Newton's method may get
    there, unless it was `tried`. Else the interior-point method solves the game among those actions that matter, the
    best answers to its equilibrium join them, and Newton's method finishes once the others hardly play.
    """
    rounding = tolerance(beta, len(matrix))
    if before is None and len(matrix) > _LARGE and matrix.largest / _SHARPEST <= beta <= matrix.largest:
        before = _from_above(matrix, log_reference, beta)
    # The answer to the equilibrium at a larger β₀ is ∝ μ (π/μ)^(β₀/β): what it plays, sharpened.
    answer, _ = best_response(matrix, log_reference, beta, normalise(log_reference) if before is None else before)
    if not tried and (before is not None or beta > matrix.largest):
        log_policy, residual = newton(matrix, log_reference, beta, answer if before is None else before, _NEARBY_SOLVES)
        if residual <= rounding:
            return log_policy, residual
    actions = Actions(matrix, answer)
    while True:
        part = actions.part(matrix)
        policy = actions.solve(part, log_reference, beta, _EXACT if actions.whole else _ROUGH).policy
        log_response = _response(matrix, log_reference, beta, actions.whole_policy(policy))
        missing = np.where(actions.outside, log_response, -np.inf)
        share = float(np.exp(missing).sum())
        if share < _UNFELT * beta and not actions.whole:
            # The others change less than rounding does: it can be finished without them.
            chosen = log_reference[actions.chosen]
            log_policy, _ = newton(part, chosen, beta, normalise(np.log(policy)), _FINISHING_SOLVES)
            log_response = _response(matrix, log_reference, beta, actions.whole_policy(np.exp(log_policy)))
            log_response[actions.chosen] = log_policy
            log_policy, residual = newton(matrix, log_reference, beta, log_response, 0)
            if residual <= rounding:
                return log_policy, residual
        if share < _NEGLIGIBLE:
            log_policy, residual = newton(matrix, log_reference, beta, log_response, _FINISHING_SOLVES)
            if actions.whole or residual <= rounding:
                return log_policy, residual
        if matrix.computes and matrix.exhausted:
            return newton(matrix, log_reference, beta, log_response, 0)
        actions.add(np.argsort(-missing)[: actions.outside.sum()])


def regularised_together(
    games: Together, matrices: Sequence[Matrix], beta: float, before: Sequence[np.ndarray | None]
) -> list[tuple[np.ndarray, float]]:
    """log π*_β `[n]` and its residual of many small games, as `regularised` finds them."""
    known = np.array([one is not None for one in before])
    start = np.stack([mu if one is None else one for mu, one in zip(games.log_reference, before, strict=True)])
    start[~known] = normalise(start[~known])
    answers, _ = games.best_response(beta, start)
    start[~known] = answers[~known]
    near = np.flatnonzero(known | [beta > matrix.largest for matrix in matrices])
    found, residuals = answers.copy(), np.full(len(answers), np.inf)
    if len(near):
        mine = [matrices[int(i)] for i in near]
        found[near], residuals[near] = newton_together(games.of(near), mine, beta, start[near], _NEARBY_SOLVES)
    enough = residuals <= tolerance(beta, answers.shape[-1])
    return [
        (found[i], float(residuals[i]))
        if enough[i]
        else regularised(matrix, games.log_reference[i], beta, before[i], tried=True)
        for i, matrix in enumerate(matrices)
    ]


def _from_above(matrix: Matrix, log_reference: np.ndarray, beta: float) -> np.ndarray | None:
    """An equilibrium at a larger β, by Newton's method from one to the next; None where that does not get there."""
    betas = [_FALL * beta]
    while betas[-1] <= matrix.largest:
        betas.append(_FALL * betas[-1])
    log_policy, _ = best_response(matrix, log_reference, betas[-1], normalise(log_reference))
    for above in reversed(betas):
        log_policy, residual = newton(matrix, log_reference, above, log_policy, _NEARBY_SOLVES)
        if residual > tolerance(above, len(matrix)):
            return None
    return log_policy


def _response(matrix: Matrix, log_reference: np.ndarray, beta: float, policy: np.ndarray) -> np.ndarray:
    """log BR_β(π) of a policy that may be 0 somewhere."""
    return normalise(log_reference + matrix @ policy / beta)
