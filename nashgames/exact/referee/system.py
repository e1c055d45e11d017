"""The one linear system of every step towards an equilibrium, solved on the actions that matter."""

import numpy as np
import scipy

# Actions whose factorisation, 0.2 ms, takes no longer than GMRES does to 1e-4 on an easy system; of 256, four times.
_DIRECT = 128
# Largest |K| of what is not factorised: GMRES gains a digit a product. 0.01 to 0.5 took the same time at n = 201.
_WEAK = 0.1
# Rows cast at a time, 1 MB at 4,000 actions, which a cache holds: 8 ms a product; 4 rows took 11, all at once 25.
_ROWS = 32
# Operations of a factorisation in the time of a number from memory: with 2, n = 201 took five times as long, with 200
# as long as with 20.
_INTENSITY = 20
# Coupled actions that are factorised: 0.5 GB of factors; beyond, what GMRES reached is taken.
_LARGEST = 8192
# Products beside a factorisation: ten make 1e-10 at a digit each, and 5 did at n = 201; each keeps n numbers.
_REPAIRS = 60


class Matrix:
    """The margins A of one context, in float64 arithmetic: products, principal sub-matrices and linear systems.

    `solves` counts the systems that were made with it and with its parts.
    """

    def __init__(self, margins: np.ndarray, parent: "Matrix | None" = None) -> None:
        self.margins = margins
        self._parent = parent
        # A game without margins has no scale of its own.
        self.largest = float(margins.max()) or 1.0
        self.solves = 0
        self.iterates = len(margins) > _DIRECT

    def __len__(self) -> int:
        return len(self.margins)

    def __matmul__(self, vector: np.ndarray) -> np.ndarray:
        """A·vector, by blocks of rows where A is float32 so that no second matrix is made."""
        if self.margins.dtype == np.float64:
            return self.margins @ vector
        blocks = [self.margins[start : start + _ROWS] @ vector for start in range(0, len(self), _ROWS)]
        return np.concatenate(blocks)

    def in_units(self) -> "Matrix":
        """The same game with margins of at most ½ to ¼, times a power of two: exactly the same answers at β = 0."""
        exponent = int(np.frexp(self.largest)[1])
        if exponent >= -1:
            return self
        return Matrix(np.ldexp(self.margins.astype(np.float64, copy=False), -1 - exponent), parent=self)

    def block(self, actions: np.ndarray) -> np.ndarray:
        """The principal sub-matrix of these actions."""
        return self.margins if len(actions) == len(self) else self.margins[np.ix_(actions, actions)]

    def system(self, weight: np.ndarray) -> "System":
        """The system whose diagonal is 1/weight."""
        self._count()
        return System(self, weight)

    def _count(self) -> None:
        self.solves += 1
        if self._parent is not None:
            self._parent._count()


class System:
    """(diag(1/w) − A) x + 1·y = b with Σx = c, for weights w ≥ 0 of the actions.

    With x = √w·u it is u − Ku + √w·y = √w·b for the skew K = √w A √w: the scaled unknowns stay bounded where w
    underflows, and an action of little weight is hardly coupled to the others. Those that are coupled are factorised
    together with the border; GMRES repairs the rest, which is all that is done while K is small.
    """

    def __init__(self, matrix: Matrix, weight: np.ndarray) -> None:
        self._matrix = matrix
        self._root = np.sqrt(weight)
        n = len(matrix)
        self._coupled = np.arange(n)
        if n > _DIRECT:
            order = np.argsort(weight)
            # |K|² between the weakest actions and all is at most max A² · Σ_weak w · Σ w.
            coupling = matrix.largest**2 * np.cumsum(weight[order]) * weight.sum()
            self._coupled = np.sort(order[np.searchsorted(coupling, _WEAK**2) :])
        # n/8 coupled actions are factorised in n³/770 operations, in less time than a few products take.
        self._tries = matrix.iterates and len(self._coupled) > max(_DIRECT, n // 8)
        self._factorise(self._coupled[:0] if self._tries else self._coupled)

    def solve(self, right: np.ndarray, total: float, accuracy: float) -> tuple[np.ndarray, float]:
        """(x, y) for b = `right` and c = `total`, to the relative `accuracy` in u."""
        scaled = np.append(self._root * right, total)
        if self._tries:
            # Not more products with A than cost as much as the factorisation, 2k³/3 operations at the speed of a cache
            # against n² numbers at that of the memory; ten at least give it a chance.
            products = max(10, len(self._coupled) ** 3 // (_INTENSITY * len(self._matrix) ** 2))
            found, enough = self._iterate(scaled, accuracy, products)
            if not enough and len(self._coupled) <= _LARGEST:
                self._tries = self._matrix.iterates = False
                self._factorise(self._coupled)
        if not self._tries:
            whole = len(self._block) == len(self._matrix)
            found = self._condition(scaled) if whole else self._iterate(scaled, accuracy, _REPAIRS)[0]
        return self._root * found[:-1], float(found[-1])

    def _factorise(self, block: np.ndarray) -> None:
        """Factors of the system in which the actions outside `block` are coupled to the border alone."""
        self._block = block
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
        place = np.append(self._block, len(self._matrix))
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
