"""At β = 0: the equilibrium nearest to a policy, also where the policy leaves actions out that an equilibrium plays."""

from collections.abc import Callable

import numpy as np
import scipy

from nashgames.core.game import Game
from nashgames.exact.referee.libraries import one_thread
from nashgames.exact.referee.limit import face_of
from nashgames.exact.referee.projection import Face
from nashgames.exact.referee.system import Matrix

# Nats by which the log-probability of a nearest equilibrium may be off.
_NATS = 1e-8
# At the optimum of `_part` an action is played to 1 or not at all; in between is nothing but the solver's tolerance.
_HALF = 0.5


def nearest_of(game: Game, log_policy: np.ndarray, inside: np.ndarray | None) -> Callable[[np.ndarray], np.ndarray]:
    """What gives, for log π `[n]` (`[m, n]` over contexts), the equilibrium at β = 0 that is least in KL(·‖π).

    `log_policy` is that closest to the reference, `inside` `[m, n]` one that plays every action that any plays, None
    where there is one alone. Of equilibria that play an action with π_i = 0 the KL is infinite: the answer is among
    those that play no such action, and where there are none, so that all are infinitely far, it is `log_policy`. It is
    NaN in a context where it is not known to 1e-8 nats.
    """
    shape = (game.contexts, game.actions)
    limits = np.reshape(log_policy, shape)
    insides = np.exp(limits) if inside is None else np.reshape(inside, shape)
    margins = [game.margins.of_context(x) for x in range(game.contexts)]
    contexts = [_Context(Matrix(a), pi, limit) for a, pi, limit in zip(margins, insides, limits, strict=True)]

    def of_policy(log_policy: np.ndarray) -> np.ndarray:
        log_policies = np.asarray(log_policy, np.float64).reshape(shape)
        with one_thread():
            stars = [context.to(each) for context, each in zip(contexts, log_policies, strict=True)]
        return np.stack(stars).reshape(np.shape(log_policy))

    return of_policy


class _Context:
    """The equilibria of one context, and those parts of their face that policies with zeros asked for."""

    def __init__(self, matrix: Matrix, inside: np.ndarray, limit: np.ndarray) -> None:
        self._matrix, self._limit = matrix, limit
        self._plays = inside > 0
        self._face = face_of(matrix, inside)
        self._parts: dict[bytes, tuple[np.ndarray, Face] | None] = {}

    def to(self, log_policy: np.ndarray) -> np.ndarray:
        """The equilibrium nearest to log π `[n]`."""
        plays, face = self._plays, self._face
        if face is None:
            return np.full(len(self._matrix), np.nan)
        left = plays & (log_policy > -np.inf)
        if not face.single and not left[plays].all():
            key = left.tobytes()
            if key not in self._parts:
                self._parts[key] = _part(self._matrix, left)
            part = self._parts[key]
            if part is None:
                return self._limit
            plays, face = part
        star = np.where(plays, np.nan, -np.inf)
        closest = face.closest(log_policy[plays])
        if closest.error <= _NATS:
            star[plays] = closest.log_policy
        return star


def _part(matrix: Matrix, left: np.ndarray) -> tuple[np.ndarray, Face] | None:
    """Of the equilibria that play none but the actions `left` `[n]`: what they play, and their face; None without any.

    One linear program finds a point inside: of all p ≥ 0 with Ap ≤ 0, of any sum, the one with the most actions played
    and the most margins below 0. A margin that is 0 for all of them is an equation of this part of the face, though its
    action may lose to an equilibrium elsewhere.
    """
    k, n = int(left.sum()), len(matrix)
    rows = matrix.rectangle(np.arange(n), np.flatnonzero(left))
    scaled = rows / np.where(rows.any(axis=1), np.abs(rows).max(axis=1), 1.0)[:, None]
    one = scipy.sparse.eye_array
    # p, then how far every p_i and every −(Ap)_i is above 0, counted up to 1.
    found = scipy.optimize.linprog(
        np.concatenate([np.zeros(k), -np.ones(k + n)]),
        A_ub=scipy.sparse.block_array([[-one(k), one(k), None], [scipy.sparse.csr_array(scaled), None, one(n)]]),
        b_ub=np.zeros(k + n),
        bounds=[(0, None)] * k + [(0, 1)] * (k + n),
    )
    if found.status != 0 or not (found.x[k : 2 * k] > _HALF).any():
        return None
    plays = left.copy()
    plays[left] = found.x[k : 2 * k] > _HALF
    inside = found.x[:k][plays[left]]
    losing = found.x[2 * k :] > _HALF
    among = matrix.rectangle(np.arange(n), np.flatnonzero(plays))
    face = Face(among[plays], among[losing & ~plays], inside / inside.sum(), ties=among[~losing & ~plays])
    return plays, face
