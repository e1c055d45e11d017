"""How far a policy is from the equilibrium of the original game closest to the reference, in nats.

Like the certificate it does not depend on how the policy was found. An equilibrium π that plays S is the one least in
KL(π‖μ) when, with F the margins of the other actions against S (theory §7):

*outside*   every other action loses to some equilibrium, so that no equilibrium plays it
*tilt*      on S, log π − log μ = c + A y − Fᵀz for some c, y and z ≥ 0 that is 0 where F π < 0
*balance*   on S, Aπ = 0, and Fπ = 0 where z > 0, at every scale: what the heavy actions have no part in is balanced
            among the light ones to their own size
"""

from typing import Any

import numpy as np
import scipy

from nashgames.core.game import Game
from nashgames.core.margins import MOST_DENSE, Margins
from nashgames.exact.certificate import normalised

# Relative to the margins of its row: an action ties with π where its margin is this small, and loses below.
_TIED = 1e-9
# Directions whose singular value is below are none: margins are given to 1e-16 of the largest, k of them to k times it.
_NONE = 1e-15
# Part of a direction that heavy actions may have and be said to have none, as rounding.
_BLIND = 1e-11
# A multiplier, relative to the largest nats, that is more than the rounding of a fit.
_PULL = 1e-12
# Rows of which mixtures are tried, and how many: a decomposition of 1,000 takes half a second, of 64 columns 10 ms.
_MANY, _MIXTURES = 1000, 64
# Nats that the actions of one scale span: their weights differ by e^8, which costs 4 of 16 digits.
_SCALE = 8.0


def nats_from_closest(game: Game, log_policy: Any) -> float:
    """The largest |change of log π| that one of the conditions asks for; inf where they cannot hold or be decided.

    `log_policy` `[n]` (`[m, n]` over contexts, of which the largest counts); −inf is π_i = 0. Raises NashGamesError for
    log-probabilities of another shape, not numbers or not of sum 1.
    """
    shape = game.margins.shape[:-1]
    log_policies = normalised("log_policy", log_policy, shape).astype(float)
    log_references = normalised("log_reference", game.log_reference, shape).astype(float)
    contexts = [game.margins.of_context(x) for x in range(game.contexts)]
    return max(map(_of_context, contexts, log_policies, log_references))


def _of_context(margins: Margins, log_policy: np.ndarray, log_reference: np.ndarray) -> float:
    """The nats of one context; inf, not decided, where the margins of those who play cannot be written down."""
    support = np.flatnonzero(log_policy > -np.inf)
    if len(support) ** 2 * 8 > MOST_DENSE:
        return np.inf
    log_policy, tilt = log_policy[support], (log_policy - log_reference)[support]
    among, tied = _among(margins, support, np.exp(log_policy))
    if tied is None:
        return np.inf
    range_ = _span(among)
    if len(tied) and not _all_lose_to_one(range_, tied):
        return np.inf
    flat = np.column_stack([range_, _left_over(range_, np.ones((len(tilt), 1)))])
    flat = scipy.linalg.orth(flat)
    fences = -_left_over(flat, tied.T)
    wanted = _left_over(flat, tilt)
    pulls = scipy.optimize.nnls(fences, wanted)[0] if len(tied) else np.zeros(0)
    off_tilt = wanted - fences @ pulls
    held = _left_over(range_, tied[pulls > _PULL * np.max(np.abs(tilt), initial=1.0)].T)
    directions = np.column_stack([range_, scipy.linalg.orth(held)]) if held.size else range_
    return max(float(np.max(np.abs(off_tilt))), _off_balance(directions, log_policy))


def _among(margins: Margins, support: np.ndarray, policy: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """A on the support, and the rows of the other actions that tie with π, each in units of its largest margin.

    None in their place where an action beats π, or one of the support does not tie with it.
    """
    fences: list[np.ndarray] = []
    among = np.zeros((len(support), len(support)))
    for rows, block in margins.blocks():
        block = _in_units(block[:, support].astype(float))
        gains, plays = block @ policy, np.isin(np.arange(rows.start, rows.stop), support)
        among[np.isin(support, np.arange(rows.start, rows.stop))] = block[plays]
        if np.any(gains > _TIED) or np.any(np.abs(gains[plays]) > _TIED):
            return among, None
        fences.extend(block[~plays & (gains >= -_TIED)])
    return among, np.array(fences).reshape(-1, len(support))


def _in_units(rows: np.ndarray) -> np.ndarray:
    """Rows over a power of two near their largest entry."""
    return np.asarray(np.ldexp(rows, -np.frexp(np.max(np.abs(rows), axis=1))[1][:, None]))


def _span(rows: np.ndarray) -> np.ndarray:
    """An orthonormal basis `[k, rank]` of the span of the rows.

    Of many rows some mixtures at random are tried first: where they leave nothing of any row, the span is theirs.
    """
    least = _NONE * len(rows)
    if len(rows) > _MANY:
        columns = np.linalg.qr(rows.T @ np.random.default_rng(1).standard_normal((len(rows), _MIXTURES)))[0]
        along = rows @ columns
        if np.linalg.norm(rows - along @ columns.T) <= least:
            _, sizes, basis = np.linalg.svd(along, full_matrices=False)
            return np.asarray(columns @ basis[sizes > least].T)
    _, sizes, basis = np.linalg.svd(rows)
    return np.asarray(basis[: np.count_nonzero(sizes > least)].T)


def _left_over(basis: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """What is left of vectors beside an orthonormal basis."""
    left = vectors - basis @ (basis.T @ vectors)
    return np.asarray(left - basis @ (basis.T @ left))


def _all_lose_to_one(range_: np.ndarray, tied: np.ndarray) -> bool:
    """Whether some direction along the equilibria makes every action that ties lose: max t with F d ≤ −t, Aᵀd = 0."""
    k, count = len(range_), len(tied)
    found = scipy.optimize.linprog(
        np.append(np.zeros(k), -1.0),
        A_ub=np.column_stack([tied, np.ones(count)]),
        b_ub=np.zeros(count),
        A_eq=np.column_stack([np.vstack([range_.T, np.ones(k)]), np.zeros(range_.shape[1] + 1)]),
        b_eq=np.zeros(range_.shape[1] + 1),
        bounds=[(-1, 1)] * k + [(0, 1)],
    )
    return found.status == 0 and -found.fun > _TIED


def _off_balance(directions: np.ndarray, log_policy: np.ndarray) -> float:
    """The largest first-order change of log π that directionsᵀπ = 0 asks for, scale by scale.

    Actions are taken from the heaviest down. At each scale the directions are those that the heavier actions have no
    part in, and probabilities are relative to the largest that is left.
    """
    left, worst = np.ones(len(log_policy), bool), 0.0
    while left.any() and directions.shape[1]:
        top = log_policy[left].max()
        root = np.exp((log_policy[left] - top) / 2)
        columns = directions[left]
        change = columns @ np.linalg.lstsq(root[:, None] * columns, root, rcond=None)[0]
        here = log_policy[left] > top - _SCALE
        worst = max(worst, float(np.max(np.abs(change[here]))))
        heavy = left & (log_policy > top - _SCALE)
        # All right singular vectors, and no more left ones than needed.
        wide = np.count_nonzero(heavy) < directions.shape[1]
        _, sizes, basis = np.linalg.svd(directions[heavy], full_matrices=bool(wide))
        directions = directions @ basis[np.count_nonzero(sizes > _BLIND) :].T
        directions[np.abs(directions) <= _BLIND] = 0
        left &= ~heavy
    return worst
