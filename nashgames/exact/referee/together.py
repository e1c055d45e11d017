"""Newton's method on many small games at once: of such games NumPy's calls cost more than their numbers.

It is that of `newton`, game by game in the same steps: a game has the bits that it has alone.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from nashgames.exact.referee import system
from nashgames.exact.referee.newton import CRAWL, normalise, tolerance
from nashgames.exact.referee.system import Matrix


class Together(NamedTuple):
    """Games of one size: A `[G, n, n]` and log μ `[G, n]`, in float64."""

    margins: np.ndarray
    log_reference: np.ndarray

    def of(self, games: np.ndarray) -> "Together":
        """Some of the games."""
        return Together(self.margins[games], self.log_reference[games])

    def times(self, vectors: np.ndarray) -> np.ndarray:
        """A·vectors, `[G, n]`."""
        return np.asarray(np.matmul(self.margins, vectors[..., None])[..., 0])

    def best_response(self, beta: float, log_policy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """log BR_β(π) `[G, n]` and the Jeffreys divergences `[G]` (see `newton.best_response`)."""
        log_response = normalise(self.log_reference + self.times(np.exp(log_policy)) / beta)
        gap = np.abs(log_policy - log_response)
        return log_response, np.sum(np.exp(np.maximum(log_policy, log_response)) * -np.expm1(-gap) * gap, axis=-1)

    def direction(self, beta: float, log_policy: np.ndarray, gap: np.ndarray) -> np.ndarray:
        """Newton's step in log π `[G, n]`, from the bordered system of `System`, whole."""
        n = gap.shape[-1]
        root = np.sqrt(np.exp(log_policy) / beta)
        # Σ dπ = 0 is the last row.
        whole = np.zeros((len(gap), n + 1, n + 1))
        np.multiply(root[:, :, None], self.margins, out=whole[:, :n, :n])
        whole[:, :n, :n] *= -root[:, None, :]
        whole[:, range(n), range(n)] += 1
        whole[:, :n, n] = whole[:, n, :n] = root
        right = np.zeros((len(gap), n + 1, 1))
        right[:, :n, 0] = -beta * root * gap
        return self.times(root * np.linalg.solve(whole, right)[:, :n, 0]) / beta - gap


def stacked(matrices: Sequence[Matrix], log_references: Sequence[np.ndarray]) -> Together | None:
    """The games as those of one size; None where they are not small, dense and of one size."""
    size = len(matrices[0])
    if size > system.DIRECT or any(matrix.computes or len(matrix) != size for matrix in matrices):
        return None
    every = np.arange(size)
    return Together(np.stack([matrix.block(every) for matrix in matrices]).astype(np.float64), np.stack(log_references))


def newton_together(
    games: Together, matrices: Sequence[Matrix], beta: float, log_policy: np.ndarray, max_solves: int
) -> tuple[np.ndarray, np.ndarray]:
    """log π near π*_β `[G, n]` and residuals `[G]`, from `log_policy` (see `newton`).

    `matrices` count what it takes.
    """
    log_policy = log_policy.copy()
    log_response, divergence = games.best_response(beta, log_policy)
    rounding = tolerance(beta, log_policy.shape[-1])
    best, residual = log_policy.copy(), np.max(np.abs(log_policy - log_response), axis=-1)
    solves, products = np.zeros(len(log_policy), int), np.ones(len(log_policy), int)
    live = np.arange(len(log_policy))
    for _ in range(max_solves):
        if not len(live):
            break
        mine = games.of(live)
        direction = mine.direction(beta, log_policy[live], log_policy[live] - log_response[live])
        solves[live] += 1
        products[live] += 1
        trial, response, reached = np.empty_like(direction), np.empty_like(direction), np.empty(len(live))
        # As far as each has to be shortened; what is shortened no more is found, or crawls.
        length, left = np.ones(len(live)), np.arange(len(live))
        while len(left):
            trial[left] = normalise(log_policy[live[left]] + length[left, None] * direction[left])
            response[left], reached[left] = mine.of(left).best_response(beta, trial[left])
            products[live[left]] += 1
            enough = (reached[left] <= (1 - 0.1 * length[left]) * divergence[live[left]]) | (
                reached[left] < rounding**2
            )
            left = left[~enough]
            length[left] /= 2
            left = left[length[left] >= CRAWL]
        found = np.max(np.abs(trial - response), axis=-1)
        ended = (length < CRAWL) | ((found >= residual[live]) & (residual[live] <= rounding))
        on, live = ~ended, live[~ended]
        log_policy[live], log_response[live], divergence[live] = trial[on], response[on], reached[on]
        best[live], residual[live] = trial[on], found[on]
    for matrix, of_game, vectors in zip(matrices, solves.tolist(), products.tolist(), strict=True):
        matrix.solves += of_game
        matrix.products += vectors
    return best, residual
