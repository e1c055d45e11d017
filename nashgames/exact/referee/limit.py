"""The limit β → 0: of all equilibria of the original game the one closest to the reference."""

from typing import NamedTuple

import numpy as np

from nashgames.exact.referee.active import Actions
from nashgames.exact.referee.interior import Interior, interior_point
from nashgames.exact.referee.newton import best_response, normalise
from nashgames.exact.referee.projection import Face, Projection
from nashgames.exact.referee.system import Matrix

# What the interior-point method leaves of Σ π z, in units of the largest margin: below, π and z of an action that is
# played and of one that is not are 1e-10 of each other.
_EXACT = 1e-20
# An action is played where π > z; the method ends with one of them far below the other, or with both small.
_PLAYED_AT = 1e-4
# A margin, in units of the largest, by which an action loses for sure: the method's equations are exact to 1e-12.
_LOSING = 1e-9
# The probability above which an action plays although the method cannot say whether it does.
_VISIBLE = 1e-6
# Games among the actions that do not lose are solved anew in their own units when their margins are this much smaller:
# before, the method's equations are exact to 1e-9 of them.
_SMALLER = 1e-3
# Without an equilibrium before, the first actions are the answers to the reference at this β, in largest margins.
_SHARP = 1e-3
# Rows that are judged at a time: 2²² margins, 32 MB.
_BLOCK = 2**22


class Limit(NamedTuple):
    """log π `[n]`, −inf outside its support, and what is known of it.

    `exploitability` is max_i (Aπ)_i; `regret` the largest |(Aπ)_i| of a played action and (Aπ)_i of another, relative
    to the margins among those who play (see `_regrets`); `error` is how many nats log π may be off, as the equilibrium
    closest to the reference. `inside` `[n]` is an equilibrium that plays every action that any plays and beats all
    others, None where there is one alone.
    """

    log_policy: np.ndarray
    exploitability: float
    regret: float
    error: float
    inside: np.ndarray | None


def limit(matrix: Matrix, log_reference: np.ndarray, before: np.ndarray | None) -> Limit:
    """The equilibrium of the original game closest to the reference.

    The interior-point method ends inside the face of all equilibria, where just the actions that some equilibrium plays
    have π > z (strict complementarity). An action that loses to an equilibrium is played by none, which is why a large
    game needs only its best actions; those of `before`, the equilibrium at a larger β, come first.
    """
    if before is None:
        before, _ = best_response(matrix, log_reference, _SHARP * matrix.largest, normalise(log_reference))
    actions = Actions(matrix, before)
    while True:
        part = actions.part(matrix)
        found = actions.solve(part.in_units(), log_reference, 0.0, _EXACT)
        policy = actions.whole_policy(found.policy)
        advantage = np.where(actions.outside, matrix @ policy, -np.inf)
        lacking = int(np.count_nonzero(advantage > -_LOSING * matrix.largest))
        if not lacking or (matrix.computes and matrix.exhausted):
            break
        actions.add(np.argsort(-advantage)[:lacking])
    support, inside = _played(matrix, part.largest, actions.chosen, found)
    whole = np.zeros(len(matrix))
    whole[support] = inside / inside.sum()
    face = face_of(matrix, whole)
    if face is None:
        closest = Projection(normalise(np.log(whole[support])), np.inf)
    else:
        closest = face.closest(log_reference[support])
    log_policy = np.full(len(matrix), -np.inf)
    log_policy[support] = closest.log_policy
    regrets = _regrets(matrix, support, np.exp(closest.log_policy))
    return Limit(log_policy, *regrets, closest.error, None if face is None or face.single else whole)


def face_of(matrix: Matrix, inside: np.ndarray) -> Face | None:
    """The face of the equilibria, from one inside it, `[n]`; None where it is not computed.

    Of a large game of small rank the range of A is that of a few columns. It is not computed where their singular
    values fall to rounding without a gap, and where the margins of those who play cannot be written down.
    """
    plays = inside > 0
    support, others = np.flatnonzero(plays), np.flatnonzero(~plays)
    if not matrix.writable(len(others), len(support)) or (matrix.thin is not None and not matrix.thin.apart):
        return None
    thin = matrix.exactly_thin()
    if thin is None and not matrix.writable(len(support), len(support)):
        return None
    columns = matrix.block(support).astype(np.float64, copy=False) if thin is None else thin.basis[support] @ thin.core
    return Face(columns, matrix.rectangle(others, support), inside[support], thin=thin is not None)


def _played(matrix: Matrix, largest: float, chosen: np.ndarray, found: Interior) -> tuple[np.ndarray, np.ndarray]:
    """The actions that some equilibrium plays and their π inside the face.

    Where only small margins are between those that do not lose, the method could not see them beside the large ones:
    the game among these actions is solved in units of its own, as often as there are scales. Where an action loses by a
    small margin too, those that visibly play are tried alone. What all others lose to is an equilibrium of the whole
    game, and none plays the others.
    """
    while True:
        played = found.policy > _PLAYED_AT * found.slack
        for inside in (played | (found.slack <= _LOSING), found.policy > _VISIBLE):
            if inside.all() or not matrix.writable(len(chosen), int(inside.sum())):
                continue
            part = Matrix(matrix.block(chosen[inside]).astype(np.float64), parent=matrix)
            # Without margins the largest is 1.
            if not part.largest < _SMALLER * largest:
                continue
            alone = interior_point(part.in_units(), np.zeros(len(part)), 0.0, _EXACT)
            if _all_lose(matrix.rectangle(chosen[~inside], chosen[inside]), alone.policy):
                chosen, largest, found = chosen[inside], part.largest, alone
                break
        else:
            return chosen[played], found.policy[played]


def _all_lose(margins: np.ndarray, policy: np.ndarray) -> bool:
    """Whether every row loses to a policy, by more than the rounding of its terms."""
    margins = np.ldexp(margins, -np.frexp(np.max(np.abs(margins), axis=1))[1][:, None])
    return bool(np.all(margins @ policy < -_LOSING * (np.abs(margins) @ policy)))


def _regrets(matrix: Matrix, support: np.ndarray, policy: np.ndarray) -> tuple[float, float]:
    """The exploitability, and the largest relative regret.

    That of a played action is |(Aπ)_i| over its largest margin against those who play, since it wins and loses nothing;
    that of another is (Aπ)_i over its own such margin or the largest among those who play, whichever is smaller. Where
    the margins against those who play cannot be written down all are over the largest of the game.
    """
    if not matrix.writable(len(matrix), len(support)):
        whole = np.zeros(len(matrix))
        whole[support] = policy
        gains = matrix @ whole
        return float(gains.max()), float(max(gains.max(), np.abs(gains[support]).max()) / matrix.largest)
    among = float(matrix.block(support).max())
    exploitability, regret = 0.0, 0.0
    height = max(1, _BLOCK // len(support))
    for start in range(0, len(matrix), height):
        rows = np.arange(start, min(start + height, len(matrix)))
        margins = matrix.rectangle(rows, support)
        # A row is multiplied in units of a power of two of its own, so that no product underflows.
        own, exponents = np.frexp(np.max(np.abs(margins), axis=1))
        gains = np.ldexp(margins, -exponents[:, None]) @ policy
        exploitability = max(exploitability, float(np.max(np.ldexp(gains, exponents))))
        plays = np.isin(rows, support)
        off = np.where(plays, np.abs(gains), np.maximum(gains, 0)) / np.where(own > 0, own, 1.0)
        finer = np.ones(len(rows))
        if among > 0:
            with np.errstate(over="ignore"):
                finer = np.where(plays, 1.0, np.maximum(np.ldexp(own, exponents) / among, 1.0))
        regret = max(regret, float(np.max(off[off > 0] * finer[off > 0], initial=0.0)))
    return exploitability, regret
