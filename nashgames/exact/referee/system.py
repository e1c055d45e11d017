"""The one linear system of every step towards an equilibrium, solved on the actions that matter."""

from functools import cached_property

import numpy as np
import scipy

from nashgames.core.margins import MOST_DENSE, DenseMargins, Margins, product
from nashgames.exact.referee.doors import largest_of, rectangle, written
from nashgames.exact.referee.thin import Thin, thin

# Actions whose factorisation, 0.2 ms, takes no longer than GMRES does to 1e-4 on an easy system; of 256, four times.
DIRECT = 128
# Largest |K| of what is not factorised: GMRES gains a digit a product. 0.01 to 0.5 took the same time at n = 201.
_WEAK = 0.1
# Operations of a factorisation in the time of a number from memory: with 2, n = 201 took five times as long, with 200
# as long as with 20.
_INTENSITY = 20
# Coupled actions that are factorised: 0.5 GB of factors; of more those of most weight, and what GMRES reaches is taken.
_LARGEST = 8192
# Actions whose systems are factorised whatever the rank: of 1,500 a factorisation takes 0.1 s.
_FACTORISED = 1500
# Entries of A in all products of an equilibrium where A is no array: twenty minutes of a storage that computes them.
_MOST_ENTRIES = 2**40
# Rows cast at a time, 1 MB at 4,000 actions, which a cache holds: 8 ms a product; 4 rows took 11, all at once 25.
_ROWS = 32
# Entries that are compared at a time, 8 MB, and how far they may be off, in the largest of their row.
_AT_ONCE, _OWN_ROUNDING = 2**20, 1e-12
# Products beside a factorisation: ten make 1e-10 at a digit each, and 5 did at n = 201; each keeps n numbers.
_REPAIRS = 60


class Matrix:
    """The margins A of one context, in float64 arithmetic: products, parts and linear systems.

    A is a storage, or an array `[n, n]`; `exponent` is the power of two of its units in those of `parent`. `solves`
    counts the systems that were made with it and with its parts, `products` the vectors that all of it was multiplied
    with.
    """

    def __init__(self, margins: Margins | np.ndarray, parent: "Matrix | None" = None, exponent: int = 0) -> None:
        margins = DenseMargins(margins) if isinstance(margins, np.ndarray) else margins
        if parent is None and not isinstance(margins, DenseMargins):
            margins = written(margins)
        self._margins, self._parent, self._exponent = margins, parent, exponent
        self._array = np.asarray(margins.values) if isinstance(margins, DenseMargins) else None
        # The largest margin; a game without margins has no scale of its own.
        if self._array is not None:
            self.largest = float(self._array.max()) or 1.0
        else:
            self.largest = float(np.ldexp(largest_of(margins), exponent)) or 1.0
        # The game of which this is the whole, in other units.
        self._same = parent if parent is not None and len(parent) == len(self) else None
        self.solves = self.products = self.paid = 0
        self.computes = self._array is None
        # GMRES alone is tried until it was in vain.
        self.iterates = True

    def __len__(self) -> int:
        return int(self._margins.shape[-1])

    @cached_property
    def thin(self) -> "Thin | None":
        """A as U C Uᵀ where its rank is small beside n; looked for in large games alone."""
        if len(self) <= _FACTORISED:
            return None
        if self._same is not None:
            known = self._same.thin
            return None if known is None else Thin(known.basis, np.ldexp(known.core, self._exponent))
        return thin(self.__matmul__, len(self))

    def writable(self, rows: int, columns: int) -> bool:
        """Whether a part of A may be written down in float64: always where A is an array of at least its size."""
        return self._array is not None or rows * columns * 8 <= MOST_DENSE

    def exactly_thin(self) -> "Thin | None":
        """`thin` where it has every row to the rounding of the row's own largest margin."""
        known = self.thin
        if known is None or self._array is None:
            return known
        height = max(1, _AT_ONCE // len(self))
        for start in range(0, len(self), height):
            rows = self._array[start : start + height]
            off = np.abs(rows - known.basis[start : start + height] @ known.core @ known.basis.T).max(axis=1)
            if np.any(off > _OWN_ROUNDING * np.abs(rows).max(axis=1)):
                return None
        return known

    @property
    def exhausted(self) -> bool:
        """Whether more products were made than are paid for where A is no array: the answer is what it is by then."""
        if self._same is not None:
            return self._same.exhausted
        return (self.products - self.paid) * len(self) ** 2 > _MOST_ENTRIES and self.thin is None

    def __matmul__(self, vectors: np.ndarray) -> np.ndarray:
        """A·vectors, `[n]` or `[n, k]`, with no second matrix where A is float32 or no array."""
        whole: Matrix | None = self
        while whole is not None:
            whole.products += 1 if vectors.ndim == 1 else vectors.shape[1]
            whole = whole._same
        if self._array is None:
            return self._scaled(product(self._margins, vectors))
        if self._array.dtype == np.float64:
            return self._array @ vectors
        rows = range(0, len(self), _ROWS)
        return np.concatenate([self._array[start : start + _ROWS] @ vectors for start in rows])

    def in_units(self) -> "Matrix":
        """The same game with margins of at most ½ to ¼, times a power of two: exactly the same answers at β = 0."""
        exponent = -1 - int(np.frexp(self.largest)[1])
        if exponent <= 0:
            return self
        margins: Margins | np.ndarray = self._margins
        if self._array is not None:
            margins = np.ldexp(self._array.astype(np.float64, copy=False), exponent)
        return Matrix(margins, parent=self, exponent=exponent)

    def block(self, actions: np.ndarray) -> np.ndarray:
        """The principal sub-matrix of these actions, to read and not to write."""
        if self._array is not None:
            return self._array if len(actions) == len(self) else self._array[np.ix_(actions, actions)]
        return self._scaled(self._margins.submatrix(actions))

    def rectangle(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """A[rows, columns] in float64, a new array."""
        if self._array is not None:
            return self._array[np.ix_(rows, columns)].astype(np.float64, copy=False)
        return self._scaled(rectangle(self._margins, rows, columns))

    def system(self, weight: np.ndarray) -> "System":
        """The system whose diagonal is 1/weight."""
        self._count()
        return System(self, weight)

    def _count(self) -> None:
        self.solves += 1
        if self._parent is not None:
            self._parent._count()

    def _scaled(self, margins: np.ndarray) -> np.ndarray:
        """Margins of a storage in these units, in float64."""
        wide = margins.astype(np.float64, copy=False)
        return np.asarray(np.ldexp(wide, self._exponent)) if self._exponent else wide


class System:
    """(diag(1/w) − A) x + 1·y = b with Σx = c, for weights w ≥ 0 of the actions.

    With x = √w·u it is u − Ku + √w·y = √w·b for the skew K = √w A √w: the scaled unknowns stay bounded where w
    underflows, and an action of little weight is hardly coupled to the others. Those that are coupled are factorised
    together with the border; GMRES repairs the rest, which is all that is done while K is small. Where A has a small
    rank (`Matrix.thin`) K is solved in the span of its columns, whatever n is, and GMRES repairs what they leave out.
    """

    def __init__(self, matrix: Matrix, weight: np.ndarray) -> None:
        self._matrix = matrix
        self._root = np.sqrt(weight)
        n = len(matrix)
        self._span: _Span | None = None
        self._tries = False
        if n > _FACTORISED and matrix.thin is not None:
            self._span = _Span(matrix.thin, self._root)
            return
        self._coupled = np.arange(n)
        if n > DIRECT:
            order = np.argsort(weight)
            # |K|² between the weakest actions and all is at most max A² · Σ_weak w · Σ w.
            coupling = matrix.largest**2 * np.cumsum(weight[order]) * weight.sum()
            self._coupled = np.sort(order[np.searchsorted(coupling, _WEAK**2) :])
        # Those of most weight come first where not all can be factorised.
        self._block = self._coupled
        if len(self._coupled) > _LARGEST:
            self._block = np.sort(np.argsort(-weight)[:_LARGEST])
        # n/8 coupled actions are factorised in n³/770 operations, in less time than a few products take.
        self._tries = matrix.iterates and len(self._coupled) > max(DIRECT, n // 8)
        self._factorise(self._coupled[:0] if self._tries else self._block)

    def solve(self, right: np.ndarray, total: float, accuracy: float) -> tuple[np.ndarray, float]:
        """(x, y) for b = `right` and c = `total`, to the relative `accuracy` in u."""
        scaled = np.append(self._root * right, total)
        if self._tries:
            found, enough = self._iterate(scaled, accuracy, self._affordable())
            if not enough:
                self._tries = self._matrix.iterates = False
                self._factorise(self._block)
        if not self._tries:
            whole = self._span is None and len(self._factorised) == len(self._matrix)
            found = self._condition(scaled) if whole else self._iterate(scaled, accuracy, _REPAIRS)[0]
        return self._root * found[:-1], float(found[-1])

    def _affordable(self) -> int:
        """Not more products with A than cost as much as the factorisation, 2k³/3 operations at the speed of a cache
        against n² numbers at that of the memory; ten at least give it a chance, and where not all is factorised there
        are no more than repair it.
        """
        if len(self._coupled) > _LARGEST:
            return _REPAIRS
        return max(10, len(self._coupled) ** 3 // (_INTENSITY * len(self._matrix) ** 2))

    def _factorise(self, block: np.ndarray) -> None:
        """Factors of the system in which the actions outside `block` are coupled to the border alone."""
        self._factorised = block
        root, k = self._root[block], len(block)
        # The transpose is filled, whose rows lie in memory as LAPACK's columns: A is skew, the border symmetric.
        transposed = np.empty((k + 1, k + 1))
        np.multiply(self._matrix.block(block), root[None, :], out=transposed[:k, :k])
        transposed[:k, :k] *= root[:, None]
        transposed[np.arange(k), np.arange(k)] += 1
        transposed[:k, k] = transposed[k, :k] = root
        self._outside = self._root.copy()
        self._outside[block] = 0
        transposed[k, k] = -float(self._outside @ self._outside)
        self._factors = scipy.linalg.lu_factor(transposed.T, overwrite_a=True, check_finite=False)

    def _condition(self, scaled: np.ndarray) -> np.ndarray:
        """The solution of the system that was factorised."""
        if self._span is not None:
            return self._span.solve(scaled)
        place = np.append(self._factorised, len(self._matrix))
        inside = scaled[place]
        inside[-1] -= self._outside @ scaled[:-1]
        inside = scipy.linalg.lu_solve(self._factors, inside, check_finite=False)
        solution = scaled - np.append(self._outside * inside[-1], 0.0)
        solution[place] = inside
        return solution

    def _apply(self, unknown: np.ndarray) -> np.ndarray:
        u, y = unknown[:-1], unknown[-1]
        return np.append(u - self._root * (self._matrix @ (self._root * u)) + self._root * y, self._root @ u)

    def _iterate(self, scaled: np.ndarray, accuracy: float, products: int) -> tuple[np.ndarray, bool]:
        """GMRES, conditioned by the factors, and whether it got there."""
        size = len(scaled)
        operator = scipy.sparse.linalg.LinearOperator(
            (size, size), matvec=lambda v: self._apply(self._condition(v)), dtype=np.float64
        )
        found, failed = scipy.sparse.linalg.gmres(
            operator, scaled, rtol=accuracy, atol=0.0, restart=products, maxiter=1
        )
        return self._condition(found), not failed


class _Span:
    """u − Ku + √w·y = b with √wᵀu = c for K = √w U C Uᵀ √w, solved in the span of √w U and √w, `[n, r + 1]`.

    In an orthonormal basis Q of it K is a skew M, so that I − M has no singular value below 1, whatever the weights.
    """

    def __init__(self, thin: Thin, root: np.ndarray) -> None:
        self._basis, triangle = np.linalg.qr(np.column_stack([thin.basis * root[:, None], root]))
        along, border = triangle[:, :-1], triangle[:, -1:]
        size = len(triangle)
        inside = np.block([[np.eye(size) - along @ thin.core @ along.T, border], [border.T, np.zeros((1, 1))]])
        self._factors = scipy.linalg.lu_factor(inside, overwrite_a=True, check_finite=False)

    def solve(self, scaled: np.ndarray) -> np.ndarray:
        """(u, y) for (b, c) = `scaled` `[n + 1]`; what of b is outside the span is u's."""
        along = self._basis.T @ scaled[:-1]
        found = scipy.linalg.lu_solve(self._factors, np.append(along, scaled[-1]), check_finite=False)
        return np.append(scaled[:-1] + self._basis @ (found[:-1] - along), found[-1])
