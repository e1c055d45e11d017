"""The equilibrium of the original game closest to the reference, solved scale by scale.

The equilibria that play all of k actions are the π > 0 with Gᵀπ = 0, the columns of G `[k, r]` a basis of A's range and
of the fences that are held. The one least in KL(π‖μ) is log π = log μ + Gλ, normalised. Where probabilities differ by
e^100 a sum Gᵀπ sees its largest terms only. Therefore the equations are first solved for the heaviest actions: each
names a *pivot*, and G becomes the identity on the pivots, zero on every action that heavier pivots already determine.
Equation l is then a balance among actions about as heavy as its pivot, divided by whose probability it is of order 1.
"""

from typing import NamedTuple

import numpy as np
import scipy

from nashgames.exact.referee.newton import normalise

# A's k columns are dependent to the rounding of their factorisation, a few k units of 1e-16 of the largest margin.
_RANK = 1e-15
# Rows of orthonormal columns carry that rounding, magnified by the pivots before: what is smaller is taken for zero.
_ZERO = 1e-12
# Newton's method is quadratic: after this many steps it is at rounding or will not arrive.
_NEWTON_STEPS = 12
# Nats that a first correction may ask for: beyond, log-probabilities are not where their exponentials are linear.
_TRUSTED = 1.0
# Nats of the last correction: Newton's method squares it, and any limit from 1e-15 to 1e-6 ended at the same policies.
_SETTLED = 1e-11
# Step of the reference at which the path is given up: 1e4 nats pass a bend a nat wide at 1e-4.
_SHORTEST = 1e-9
# Steps of the reference: 15 were the most to references of e^100. A sharpest bend takes thirty: this passes sixty.
_MOST_STEPS = 2000
# A fence is broken when its balance is off by more than the rounding of k terms.
_BROKEN = 1e-11


class Projection(NamedTuple):
    """log π `[k]` of the closest equilibrium, by how many nats they may be off, inf where not known."""

    log_policy: np.ndarray
    error: float


class Balance(NamedTuple):
    """Gᵀπ = 0 solved for its pivots: G is the identity on `pivots` `[r]` and `rows` `[k − r, r]` on `others`.

    `spread` `[k − r]` is the rounding of a row of `rows`: nats of its action per nat of the pivots.
    """

    pivots: np.ndarray
    others: np.ndarray
    rows: np.ndarray
    spread: np.ndarray

    def newton(self, log_weight: np.ndarray, tilt: np.ndarray | None = None) -> np.ndarray:
        """The change of log π `[k]`, in the span of G, that brings Gᵀπ to 0 to first order.

        With `tilt` `[k]` it is what follows when the reference moves by it: `tilt` plus the least of the span.
        """
        # π_i/π_l of the others against each pivot; where a row is zero the ratio does not matter, and may overflow:
        # e^600 is 1e260, still finite when it is summed.
        ratio = np.where(
            self.rows != 0, np.exp(np.minimum(log_weight[self.others, None] - log_weight[self.pivots], 600.0)), 0.0
        )
        coupled = self.rows * ratio
        moved = np.ones(len(log_weight)) if tilt is None else tilt
        wanted = moved[self.pivots] + coupled.T @ moved[self.others]
        matrix = coupled.T @ self.rows
        matrix[np.diag_indices(len(matrix))] += 1
        try:
            found = np.linalg.solve(matrix, -wanted)
        except np.linalg.LinAlgError:  # terms that differ by more than 1e16 and ought to cancel
            found = np.full(len(wanted), np.nan)
        change = np.zeros(len(log_weight)) if tilt is None else tilt.copy()
        change[self.pivots] += found
        change[self.others] += self.rows @ found
        return change

    def reduced(self, row: np.ndarray) -> np.ndarray:
        """What is left of a functional `[k]` of π on the others, `[k − r]`, where Gᵀπ = 0."""
        along = self.rows @ row[self.pivots]
        left = row[self.others] - along
        noise = np.abs(row[self.others]) + np.abs(self.rows) @ np.abs(row[self.pivots])
        return np.where(np.abs(left) <= _ZERO * noise, 0.0, left)

    def spanned(self, tilt: np.ndarray) -> np.ndarray:
        """The vector of G's span that agrees with `tilt` `[k]` on the pivots."""
        vector = np.empty(len(tilt))
        vector[self.pivots] = tilt[self.pivots]
        vector[self.others] = self.rows @ tilt[self.pivots]
        return vector


def balance(columns: np.ndarray, log_weight: np.ndarray) -> Balance:
    """The equations columnsᵀπ = 0, columns `[k, r]` orthonormal, solved for the heaviest actions that determine them.

    The next pivot is the action whose row, less what the pivots before it determine, is largest times √π: the part of
    the equations' curvature that it carries.
    """
    k, r = columns.shape
    left, lower = np.array(columns, np.float64, order="C"), np.zeros((k, r))
    scale = np.linalg.norm(columns, axis=1)
    free = np.ones(k, bool)
    pivots = np.empty(r, int)
    for step in range(r):
        size = np.sqrt(np.einsum("ij,ij->i", left, left))
        # An action that heavier ones determine has no part in the equations that are left.
        gone = size <= _ZERO * np.maximum(scale, _ZERO)
        left[gone] = 0
        with np.errstate(divide="ignore"):
            score = np.where(free & ~gone, np.log(size) + log_weight / 2, -np.inf)
        pivot = int(np.argmax(score))
        if score[pivot] == -np.inf:
            r = step
            break
        pivots[step], free[pivot] = pivot, False
        direction = left[pivot] / size[pivot]
        lower[:, step] = left @ direction
        # In place: an array of products, made anew at every step, would take most of the time.
        scipy.linalg.blas.dger(-1.0, direction, lower[:, step], a=left.T, overwrite_a=True)
        left[pivot] = 0
    pivots, others = pivots[:r], np.flatnonzero(free)
    block = lower[pivots, :r]
    rows = scipy.linalg.solve_triangular(block.T, lower[others, :r].T, lower=False).T
    amplified = np.abs(scipy.linalg.solve_triangular(block.T, np.eye(r), lower=False)).T
    spread = (np.abs(lower[others, :r]) + np.abs(rows) @ np.abs(block)) @ amplified.sum(axis=1)
    return Balance(pivots, others, rows, np.finfo(float).eps * spread)


class Face:
    """The equilibria of the original game: over the k actions that some equilibrium plays, the π > 0 with Aπ = 0 to
    which no other action has a positive margin, and their limits.

    `margins` A `[k, k]` are between these actions, `fences` `[r, k]` those of the others against them; `inside` `[k]`
    is an equilibrium that plays all of the former and beats all of the latter. Of a part of the face, `ties` `[s, k]`
    are the margins of further actions that are 0 for all of it. Where A is `thin`, `margins` `[k, c]` are columns that
    span its range.
    """

    def __init__(
        self,
        margins: np.ndarray,
        fences: np.ndarray,
        inside: np.ndarray,
        ties: np.ndarray | None = None,
        thin: bool = False,
    ) -> None:
        self._range, self._rounding = _range(margins if ties is None else np.hstack([margins, ties.T]), thin)
        scale = np.max(np.abs(fences), axis=1, keepdims=True, initial=0.0)
        self._fences = fences / np.where(scale > 0, scale, 1.0)
        self._log_inside = np.log(inside)

    @property
    def single(self) -> bool:
        """Whether there is one equilibrium alone."""
        return self._range.shape[1] >= len(self._log_inside) - 1

    def closest(self, log_reference: np.ndarray) -> Projection:
        """The equilibrium least in KL(π‖μ), for finite log μ `[k]` that need not be normalised.

        `inside` is itself the closest one to the reference `inside`. From there the reference moves to μ, and π
        follows; a fence that is run into is held at margin 0 while that pulls π towards μ.
        """
        log_start = self._log_inside
        if self.single:
            # The only one is the closest whatever the reference is, and beats the others as it beat them inside.
            path = _Path(self._range, self._fences[:0], log_start, np.zeros_like(log_start))
        else:
            path = _Path(self._range, self._fences, log_start, normalise(log_reference) - log_start)
        found = path.follow()
        return found._replace(error=found.error + self._rounding)


def _range(margins: np.ndarray, thin: bool = False) -> tuple[np.ndarray, float]:
    """An orthonormal basis of the range of columns `[k, c]`, `[k, rank]`, and the rounding of it relative to 1.

    That is inf where margins below rounding might have been a direction more, as in columns that are not `thin`.
    """
    largest = np.max(np.abs(margins), axis=0)
    # Scaled columns span the same range: an action is not lost beside others of larger margins.
    scaled = np.ldexp(margins, -np.frexp(largest)[1])
    basis, triangle, _ = scipy.linalg.qr(scaled, mode="economic", pivoting=True)
    k, sizes = len(margins), np.abs(np.diag(triangle))
    rank = min(int(np.count_nonzero(sizes > _RANK * k)), k - 1)
    if rank == 0:
        return basis[:, :0], 0.0
    across = np.max(np.abs(margins), axis=1)
    unseen = (margins != 0) & (np.abs(margins) <= _RANK * k * np.minimum.outer(across, largest))
    if rank < k - 1 and not thin and unseen.any():
        return basis[:, :rank], np.inf
    return basis[:, :rank], float(np.finfo(float).eps * np.sqrt(k) / sizes[rank - 1])


class _Path:
    """The closest equilibrium while the reference moves from `log_start` by `tilt`: π ∝ exp(start + s·tilt + Gλ)."""

    def __init__(self, range_: np.ndarray, fences: np.ndarray, log_start: np.ndarray, tilt: np.ndarray) -> None:
        self._range, self._fences, self._start, self._tilt = range_, fences, log_start, tilt

    def follow(self) -> Projection:
        """The end of the path; where it is not found the last point, with the error inf."""
        held: list[int] = []
        logs, reached, length = self._start, 0.0, 1.0
        for _ in range(_MOST_STEPS):
            step = min(length, 1.0 - reached)
            found = self._at(reached + step, step, logs, held)
            if found is None:
                # Down by four, up by three: a bend is found in a few steps and left as fast.
                length = step / 4
                if length < _SHORTEST:
                    break
                continue
            logs, held, reached, length = *found, reached + step, 3 * step
            if reached >= 1.0:
                return self._end(logs, held)
        return Projection(normalise(logs), np.inf)

    def _at(self, s: float, step: float, logs: np.ndarray, held: list[int]) -> tuple[np.ndarray, list[int]] | None:
        """log π and the held fences at s, from those at s − step; None where Newton's method does not get there."""
        held = list(held)
        moved: np.ndarray | None = step * self._tilt
        for _ in range(2 * len(self._fences) + 2):
            columns = self._columns(held)
            found = self._solve(columns, logs, moved)
            if found is None:
                return None
            logs, moved = found, None
            factors = self._factors(held, logs - self._start - s * self._tilt)
            if held and factors.min() < 0:
                # π leaves this fence: what it pulled is let go.
                place = int(np.argmin(factors))
                logs = logs + factors[place] * self._fences[held.pop(place)]
                continue
            free = len(held) < len(self._fences)
            broken = self._broken(balance(columns, logs), logs, held) if free else None
            if broken is None:
                return logs, held
            held.append(broken)
        return None

    def _columns(self, held: list[int]) -> np.ndarray:
        """An orthonormal basis of A's range and the held fences."""
        if not held:
            return self._range
        rows = self._fences[held].T
        rows = rows - self._range @ (self._range.T @ rows)
        basis, triangle, _ = scipy.linalg.qr(rows, mode="economic", pivoting=True)
        rank = int(np.count_nonzero(np.abs(np.diag(triangle)) > _ZERO * len(rows)))
        return np.column_stack([self._range, basis[:, :rank]])

    def _solve(self, columns: np.ndarray, logs: np.ndarray, moved: np.ndarray | None) -> np.ndarray | None:
        """log π, not normalised, with columnsᵀπ = 0 from a nearby π and a small move of the reference."""
        if columns.shape[1] == 0:
            return logs if moved is None else logs + moved
        if moved is not None and moved.any():
            logs = logs + balance(columns, logs).newton(logs, moved)
        last = np.inf
        for _ in range(_NEWTON_STEPS):
            change = balance(columns, logs).newton(logs)
            size = float(np.max(np.abs(change)))
            if not size < _TRUSTED:
                return None
            logs = logs + change
            if size < _SETTLED or (size < np.sqrt(_SETTLED) and size > last / 2):
                return logs
            last = size
        return None

    def _factors(self, held: list[int], tilt: np.ndarray) -> np.ndarray:
        """The multipliers of the held fences in tilt = (something of A's range) − fencesᵀ·multipliers."""
        if not held:
            return np.zeros(0)
        columns = np.column_stack([self._range, -self._fences[held].T])
        factors = scipy.linalg.lstsq(columns, tilt, lapack_driver="gelsy")[0][self._range.shape[1] :]
        # What the fit leaves by rounding pulls nowhere.
        return np.where(np.abs(factors) <= 1e-12 * np.max(np.abs(tilt), initial=1.0), 0.0, factors)

    def _broken(self, equations: Balance, logs: np.ndarray, held: list[int]) -> int | None:
        """The fence most beaten, relative to the largest of its terms; None where none is."""
        worst, most = None, _BROKEN
        for j, row in enumerate(self._fences):
            if j in held:
                continue
            left = equations.reduced(row)
            if not left.any():
                continue
            with np.errstate(divide="ignore"):
                sizes = np.log(np.abs(left)) + logs[equations.others]
            margin = float(np.sum(np.sign(left) * np.exp(sizes - sizes.max())))
            if margin > most:
                worst, most = j, margin
        return worst

    def _end(self, logs: np.ndarray, held: list[int]) -> Projection:
        """The end of the path, of the span's form to rounding, and what is not known of it."""
        columns = self._columns(held)
        target = self._start + self._tilt
        if columns.shape[1] == 0:
            return Projection(normalise(target), 0.0)
        error = np.inf
        # Newton's method at rounding already: the third correction measures what rounding leaves.
        for _ in range(3):
            equations = balance(columns, logs)
            tilt = equations.spanned(logs - target)
            logs = target + tilt
            change = equations.newton(logs)
            error = float(np.max(np.abs(change)))
            logs = logs + change
        rounding = float(np.max(equations.spread, initial=0.0)) * float(np.max(np.abs(tilt[equations.pivots])))
        return Projection(normalise(logs), error + rounding)
