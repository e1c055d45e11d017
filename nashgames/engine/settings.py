"""How far runs go and what is recorded of them."""

from dataclasses import dataclass, field

import numpy as np

from nashgames.core.precision import Precision
from nashgames.defaults import TARGET
from nashgames.errors import NashGamesError
from nashgames.solvers.protocol import Solver

# Steps are counted in 32 bits.
MOST_STEPS = 2**31 - 1
# The points of a run wait in memory until its batch is done: a million of them take a tenth of a gigabyte.
_MOST_RECORDS = 1_000_000
# Nash-MP needs about ln(1/(β·1e-10))/β queries to 1e-10: twice that, and at least 2,000, which show the shape of a
# curve.
_QUERIES_PER_INVERSE_BETA, _LEAST_QUERIES = 20, 2000
# At β = 0 no rate says how many are needed: as many as at β = 0.001.
_QUERIES_AT_ZERO = 20_000
# Far beyond any budget that could be counted, and still an integer.
_MOST_QUERIES = 1e15


@dataclass(frozen=True)
class Settings:
    """How far runs go and what is recorded.

    A run stops where the metric of its `target` is at most `tolerance` (the suboptimality of the regularised game, the
    exploitability of the original one), or after `queries` queries (None: max(2000, 20/β), about twice what Nash-MP
    needs to 1e-10, and 20,000 at β = 0); one on duels goes on to the end of its budget, which `comparisons` gives
    instead where it is set. `records` points at geometric steps are kept, or one every `record_every` steps, and those
    at the steps `also`.
    """

    queries: int | None = None
    # Far below what a figure shows, and above the 4e-12 that float32 comes down to at β = 0.001.
    tolerance: float = 1e-10
    # A curve of 2,000 steps has a point every 4 %.
    records: int = 200
    record_every: int | None = None
    precision: Precision = field(default_factory=Precision)
    comparisons: int | None = None
    target: str = TARGET
    also: tuple[int, ...] = ()

    def budget(self, beta: float) -> int:
        """The queries that a run at this β may use."""
        if self.queries is not None:
            return self.queries
        if beta == 0:
            return _QUERIES_AT_ZERO
        return max(_LEAST_QUERIES, round(min(_QUERIES_PER_INVERSE_BETA / beta, _MOST_QUERIES)))

    def max_steps(self, solver: Solver, beta: float, comparisons: int = 0) -> int:
        """Steps that the budget pays for; `comparisons` are those of a step, 0 where feedback is exact.

        Raises NashGamesError when it pays for none, or for more than can be counted.
        """
        if comparisons and self.comparisons is not None:
            if self.comparisons < comparisons:
                raise NashGamesError(
                    f"comparisons is {self.comparisons}, but a step of {solver.name} makes {comparisons}; "
                    f"give at least that"
                )
            return min(self.comparisons // comparisons, MOST_STEPS)
        queries, cost = self.budget(beta), solver.queries_per_step
        if cost < 1:
            raise NashGamesError(
                f"queries_per_step of the solver '{solver.name}' is {cost}; declare the queries of one step, at least 1"
            )
        if queries < cost:
            raise NashGamesError(
                f"queries is {queries}, but one step of {solver.name} costs {cost}; give at least that"
            )
        if queries // cost > MOST_STEPS and self.queries is None:
            raise NashGamesError(
                f"beta is {beta:g}, for which the budget would be 20/β, and {solver.name} takes at most "
                f"{MOST_STEPS * cost:,} queries; give queries, or a larger beta"
            )
        if queries // cost > MOST_STEPS:
            raise NashGamesError(
                f"queries is {queries}; accepted: at most {MOST_STEPS * cost:,}, the longest run of {solver.name}"
            )
        return queries // cost

    def record_steps(self, max_steps: int) -> np.ndarray:
        """The steps at which points are recorded, from 0 to `max_steps`; NashGamesError for more than a million."""
        if self.records > _MOST_RECORDS:
            raise NashGamesError(f"records is {self.records}; accepted: at most {_MOST_RECORDS:,}")
        if self.record_every is not None:
            points = max_steps // self.record_every
            if points > _MOST_RECORDS:
                least = max_steps // _MOST_RECORDS + 1
                raise NashGamesError(
                    f"record_every is {self.record_every}, which keeps {points} points of a run; give at least {least}"
                )
            steps = np.arange(0, max_steps + 1, self.record_every)
        else:
            steps = np.concatenate([[0], np.geomspace(1, max_steps, self.records).round()])
        further = [step for step in self.also if step < max_steps]
        return np.unique(np.concatenate([steps, further, [max_steps]])).astype(np.int32)
