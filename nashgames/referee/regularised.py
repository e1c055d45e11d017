"""The regularised equilibrium at one β > 0."""

import numpy as np

from nashgames.referee.active import Actions
from nashgames.referee.newton import best_response, newton, normalise, tolerance
from nashgames.referee.system import Matrix

_NEARBY_SOLVES = 12
_FINISHING_SOLVES = 30
_NEGLIGIBLE = 1e-3
_ROUGH = 1e-12
_EXACT = 1e-17


def regularised(
    matrix: Matrix, log_reference: np.ndarray, beta: float, before: np.ndarray | None
) -> tuple[np.ndarray, float]:
    """log π*_β `[n]` and its residual.

    From `before`, the equilibrium at a larger β, or where β is large from the answer to μ, Newton's method may get
    there. Else the interior-point method solves the game among those actions that matter, the best answers to its
    equilibrium join them, and Newton's method finishes once the others hardly play.
    """
    rounding = tolerance(beta, len(matrix))
    far = before is None and beta < matrix.largest
    if before is None:
        before, _ = best_response(matrix, log_reference, beta, normalise(log_reference))
    if not far:
        log_policy, residual = newton(matrix, log_reference, beta, before, _NEARBY_SOLVES)
        if residual <= rounding:
            return log_policy, residual
    # The answer to the equilibrium at another β₀ is ∝ μ (π/μ)^(β₀/β): what it plays, sharpened.
    actions = Actions(best_response(matrix, log_reference, beta, before)[0])
    while True:
        policy, _ = actions.solve(matrix, log_reference, beta, _EXACT if actions.whole else _ROUGH)
        log_response = normalise(log_reference + matrix @ policy / beta)
        missing = np.where(actions.outside, log_response, -np.inf)
        if np.exp(missing).sum() < _NEGLIGIBLE:
            log_policy, residual = newton(matrix, log_reference, beta, log_response, _FINISHING_SOLVES)
            if actions.whole or residual <= rounding:
                return log_policy, residual
        actions.add(np.argsort(-missing)[: actions.outside.sum()])
