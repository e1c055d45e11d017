"""The referee: π*_β by Newton's method with continuation in β, in float64 on the host.

It shares no code with the solvers that it judges.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from nashgames.game import Game

_FIRST_BETA = 1.0
_FIRST_RATIO = 0.5
_LAST_RATIO = 0.9999
_EASY = 6
_CRAWL = 1e-2
_MAX_SOLVES = 30
_DENSE = 512
_DENSE_FALLBACK = 5000
_KRYLOV = 200
_GOOD_ENOUGH = 0.1
_NEGLIGIBLE = 1e-9
_ROWS = 32


class Equilibrium(NamedTuple):
    """π*_β with what is known of its quality.

    `log_policy` `[n]`, `[m, n]` over contexts, float64; `residual` max_i |log π − log BR_β(π)|_i, the largest over
    contexts; `solves` linear systems were solved on the way from β = 1, all contexts together.
    """

    beta: float
    log_policy: np.ndarray
    residual: float
    solves: int

    @property
    def converged(self) -> bool:
        """Whether the residual is at the rounding of q(π)/β in float64."""
        return bool(self.residual <= _tolerance(self.beta, self.log_policy.shape[-1]))


def equilibrium(game: Game) -> Equilibrium:
    """The unique symmetric equilibrium π*_β of `game` at its β (theory §1)."""
    return next(equilibrium_path(game, [float(game.beta)]))


def equilibrium_path(game: Game, betas: Sequence[float]) -> Iterator[Equilibrium]:
    """π*_β for every β of `betas`, from the largest to the smallest in one warm-started pass.

    Newton on F(ℓ) = ℓ − log BR_β(e^ℓ), whose Jacobian is I − (I − 1·BRᵀ) A diag(π)/β, from β = 1 (or the largest asked
    for) downwards; a step is shortened until the Jeffreys divergence between π and BR_β(π) falls (theory §4.7). An
    equilibrium that could not be reached is returned with the residual it has.
    """
    margins = np.asarray(game.margins.to_dense())
    contexts = margins if margins.ndim == 3 else margins[None]
    log_references = np.asarray(game.log_reference, np.float64).reshape(len(contexts), -1)
    paths = [_path(a, mu, betas) for a, mu in zip(contexts, log_references, strict=True)]
    for solutions in zip(*paths, strict=True):
        log_policy = np.stack([s.log_policy for s in solutions]).reshape(np.shape(game.log_reference))
        yield Equilibrium(
            solutions[0].beta, log_policy, max(s.residual for s in solutions), sum(s.solves for s in solutions)
        )


def _path(margins: np.ndarray, log_reference: np.ndarray, betas: Iterable[float]) -> Iterator[Equilibrium]:
    """One context's equilibria; the ratio between two β adapts to what Newton's method manages."""
    targets = sorted(set(betas), reverse=True)
    beta, log_policy, solves, ratio = max(targets[0], _FIRST_BETA), log_reference, 0, _FIRST_RATIO
    found = _newton(margins, log_reference, beta, log_policy)
    log_policy, residual, solves = found.log_policy, found.residual, found.solves
    for target in targets:
        while beta > target:
            trial = max(target, beta * ratio)
            found = _newton(margins, log_reference, trial, log_policy)
            solves += found.solves
            if found.converged or ratio > _LAST_RATIO:
                beta, log_policy, residual = trial, found.log_policy, found.residual
                ratio = max(ratio**2, _FIRST_RATIO) if found.solves <= _EASY else ratio
            else:
                ratio = np.sqrt(ratio)
        polished = _polish(margins, log_reference, target, log_policy)
        if polished.residual < residual:
            log_policy, residual = polished.log_policy, polished.residual
        yield Equilibrium(target, log_policy, residual, solves + polished.solves)


def _polish(margins: np.ndarray, log_reference: np.ndarray, beta: float, log_policy: np.ndarray) -> Equilibrium:
    """One more full step: where Newton's method has converged it ends at rounding."""
    log_response, _ = _response(margins, log_reference, beta, log_policy)
    direction = _direction(margins, beta, log_policy, log_response, log_policy - log_response)
    trial = _normalise(log_policy + direction)
    log_response, _ = _response(margins, log_reference, beta, trial)
    return Equilibrium(beta, trial, float(np.max(np.abs(trial - log_response))), 1)


def _newton(margins: np.ndarray, log_reference: np.ndarray, beta: float, log_policy: np.ndarray) -> Equilibrium:
    """Newton's method at one β from `log_policy`; given up where it has to crawl or does not end."""
    log_response, divergence = _response(margins, log_reference, beta, log_policy)
    tolerance = _tolerance(beta, len(log_policy))
    for solves in range(_MAX_SOLVES + 1):
        gap = log_policy - log_response
        residual = float(np.max(np.abs(gap)))
        if residual <= tolerance or solves == _MAX_SOLVES:
            break
        direction = _direction(margins, beta, log_policy, log_response, gap)
        length = 1.0
        while True:
            trial = _normalise(log_policy + length * direction)
            log_response, reached = _response(margins, log_reference, beta, trial)
            # Once the divergence is at rounding only actions of negligible probability move: F is linear there, so a
            # full step is exact however the divergence rounds.
            if reached <= (1 - 0.1 * length) * divergence or reached < tolerance**2:
                break
            length /= 2
            if length < _CRAWL:
                return Equilibrium(beta, log_policy, residual, solves + 1)
        log_policy, divergence = trial, reached
    return Equilibrium(beta, log_policy, residual, solves)


def _direction(
    margins: np.ndarray, beta: float, log_policy: np.ndarray, log_response: np.ndarray, residual: np.ndarray
) -> np.ndarray:
    """δ with [I − (I − 1·BRᵀ) A diag(π)/β] δ = −residual: dense when few actions matter, by GMRES otherwise."""
    policy, response = np.exp(log_policy), np.exp(log_response)

    def push(delta: np.ndarray) -> np.ndarray:
        pushed = _product(margins, policy * delta) / beta
        return pushed - response @ pushed

    active = np.flatnonzero(policy > _NEGLIGIBLE)
    if len(active) > _DENSE:
        # SciPy takes longer to import than small games to solve.
        from scipy.sparse.linalg import LinearOperator, gmres

        n = len(policy)
        operator = LinearOperator((n, n), matvec=lambda x: x - push(x), dtype=np.float64)
        # An inexact Newton step: its relative error follows the residual, which keeps the last steps quadratic.
        accuracy = float(np.clip(1e-2 * np.max(np.abs(residual)), 1e-10, 1e-2))
        delta, _ = gmres(operator, -residual, rtol=accuracy, restart=_KRYLOV, maxiter=1)
        left = np.linalg.norm(residual + operator @ delta) / np.linalg.norm(residual)
        if left < _GOOD_ENOUGH or len(active) > _DENSE_FALLBACK:
            return delta
    scaled = margins[np.ix_(active, active)] * (policy[active] / beta)
    # (BRᵀ A diag π)/β over all actions, from one product: A is skew.
    scaled += (_product(margins, response)[active] * policy[active] / beta)[None, :]
    system = np.eye(len(active)) - scaled
    delta = np.zeros_like(policy)
    delta[active] = np.linalg.solve(system, -residual[active])
    return push(delta) - residual


def _response(
    margins: np.ndarray, log_reference: np.ndarray, beta: float, log_policy: np.ndarray
) -> tuple[np.ndarray, float]:
    """log BR_β(π) and the Jeffreys divergence Σ (π − BR)(log π − log BR), a sum of non-negative terms."""
    log_response = _normalise(log_reference + _product(margins, np.exp(log_policy)) / beta)
    gap = np.abs(log_policy - log_response)
    return log_response, float(np.sum(np.exp(np.maximum(log_policy, log_response)) * -np.expm1(-gap) * gap))


def _normalise(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max()
    return shifted - np.log(np.sum(np.exp(shifted)))


def _product(margins: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """A·vector in float64, by blocks of rows where A is float32 so that no second matrix is made."""
    if margins.dtype == np.float64:
        return margins @ vector
    blocks = [margins[start : start + _ROWS] @ vector for start in range(0, len(margins), _ROWS)]
    return np.concatenate(blocks)


def _tolerance(beta: float, n: int) -> float:
    """Rounding of log π − log μ − q/β: a few units of q's last place, magnified by 1/β, and of log π."""
    return 1e-12 + 2e-15 * np.sqrt(n) / beta
