"""The set of actions that a large game is solved on, which grows until those outside do not matter."""

import numpy as np

from nashgames.exact.referee.interior import Interior, interior_point
from nashgames.exact.referee.system import Matrix

# Actions up to which a game is solved whole: of 1,000 that mostly play, in parts, it takes six times the systems and
# half as long again; one of 2,000 of which 100 play takes forty times as long whole.
_WHOLE = 1500
# The first actions, and those that join at once, at least: 6 took 1.8 times the systems, 640 fewer and larger ones, 2.5
# times as long.
_FIRST = 64
# Share of the first policy that the first actions play: 0.9 took a fifth more systems, 0.999999 as many.
_COVERED = 0.999
# A played action's probability; it only counts how many may join at once, and 1e-12 to 1e-3 took the same systems.
_PLAYED = 1e-9
# Share from which all are chosen: a system of 0.8 n already costs half of one of n, and more rounds would follow.
_NEARLY_ALL = 0.8


class Actions:
    """The chosen actions: at first all of a small game, and of a large one those that `log_policy` `[n]` plays.

    Of a game of small rank they are all: its systems cost so little.
    """

    def __init__(self, matrix: Matrix, log_policy: np.ndarray) -> None:
        self._n = len(log_policy)
        self._played = 0
        order = np.argsort(-log_policy)
        covered = int(np.searchsorted(np.cumsum(np.exp(log_policy[order])), _COVERED)) + 1
        whole = self._n <= _WHOLE or matrix.thin is not None
        self.chosen = np.sort(order[: self._n if whole else max(covered, _FIRST)])
        self._round_up()

    @property
    def whole(self) -> bool:
        """Whether every action is chosen."""
        return len(self.chosen) == self._n

    @property
    def outside(self) -> np.ndarray:
        """Whether an action is not chosen, `[n]`."""
        outside = np.ones(self._n, bool)
        outside[self.chosen] = False
        return outside

    def add(self, wanted: np.ndarray) -> None:
        """Choose of the `wanted` actions, best first, as many as the last equilibrium plays."""
        self.chosen = np.union1d(self.chosen, wanted[: max(self._played, _FIRST)])
        self._round_up()

    def part(self, matrix: Matrix) -> Matrix:
        """The game among the chosen actions, in float64; its systems count as those of `matrix`."""
        return matrix if self.whole else Matrix(matrix.block(self.chosen).astype(np.float64, copy=False), parent=matrix)

    def solve(self, part: Matrix, log_reference: np.ndarray, beta: float, accuracy: float) -> Interior:
        """A point near the equilibrium among the chosen actions, `[len(chosen)]`; `log_reference` is `[n]`."""
        found = interior_point(part, log_reference[self.chosen], beta, accuracy)
        self._played = int(np.count_nonzero(found.policy > _PLAYED))
        return found

    def whole_policy(self, policy: np.ndarray) -> np.ndarray:
        """π `[n]` from that of the chosen actions, 0 outside."""
        whole = np.zeros(self._n)
        whole[self.chosen] = policy / policy.sum()
        return whole

    def _round_up(self) -> None:
        if len(self.chosen) > _NEARLY_ALL * self._n:
            self.chosen = np.arange(self._n)
