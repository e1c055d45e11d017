"""The estimates behind the figures: arrays in, arrays out; no data frame, no matplotlib."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nashgames.analysis.outcomes import quantiles

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Trace:
    """One run's measured points `cost`, `values` `[t]`, the cost (queries or comparisons) rising, and how it ended."""

    cost: Floats
    values: Floats
    status: str = "budget"


@dataclass(frozen=True)
class Band:
    """Median and quantile band over `runs` traces at `cost` `[t]`; inf where that share of the runs has diverged."""

    cost: Floats
    lower: Floats
    median: Floats
    upper: Floats
    runs: int


def hold(trace: Trace, grid: Floats) -> Floats:
    """The trace as a step function at `grid` `[t]`: NaN before its first point, its last value after it stopped.

    A diverged run counts as inf from its last point on: it is the worst of the runs, not one that stopped early.
    """
    index = np.searchsorted(trace.cost, grid, side="right") - 1
    held = np.where(index >= 0, trace.values[np.maximum(index, 0)], np.nan)
    if trace.status == "diverged":
        held[grid >= trace.cost[-1]] = np.inf
    return held


def shared_grid(traces: Sequence[Trace]) -> Floats:
    """The costs `[t]` at which every run that has not stopped yet has a point; all costs if fewer than two.

    At these no held value is stale, so a median over runs that stop at different points has no artificial plateaus.
    """
    union = np.unique(np.concatenate([trace.cost for trace in traces]))
    fresh = np.ones(len(union), bool)
    for trace in traces:
        nearest = np.minimum(np.searchsorted(trace.cost, union), len(trace.cost) - 1)
        fresh &= (trace.cost[nearest] == union) | (union > trace.cost[-1])
    return union[fresh] if fresh.sum() > 1 else union


def hold_all(traces: Sequence[Trace]) -> tuple[Floats, Floats]:
    """The `shared_grid` `[t]` of at least one trace, and every trace at it as a step function, `[runs, t]`."""
    grid = shared_grid(traces)
    return grid, np.stack([hold(trace, grid) for trace in traces])


def over_runs(traces: Sequence[Trace], levels: tuple[float, float] = (0.1, 0.9)) -> Band:
    """Median and the band between two quantile levels over at least one trace, each a step function of the cost."""
    grid, held = hold_all(traces)
    lower, median, upper = quantiles(held, (levels[0], 0.5, levels[1]))
    return Band(grid, lower, median, upper, len(traces))


def contraction(queries: Floats, values: Floats, floor: float = 0.0) -> float:
    """The rate r per query of values ≈ c·e^{−rN}, fitted by least squares to log values over the tail of a curve.

    The curve `[t]` ends where it first reaches `floor`, below which only rounding is left. Its tail begins where log
    values have made, for good, half of their way down; it has at least three points, and NaN is returned where there
    are fewer. A curve that does not fall by more than twice its scatter about the line has rate 0.
    """
    known = ~np.isnan(values)
    queries, values = queries[known], values[known]
    end = np.flatnonzero((values <= floor) | ~np.isfinite(values))
    queries, values = queries[: end[0] if len(end) else None], values[: end[0] if len(end) else None]
    if len(values) < 3:
        return float("nan")
    logs = np.log(values)
    above = np.flatnonzero(logs > (logs[0] + logs[-1]) / 2)
    start = min(above[-1] + 1 if len(above) else 0, len(logs) - 3)
    x = queries[start:] - queries[start:].mean()
    y = logs[start:] - logs[start:].mean()
    slope = float(x @ y / (x @ x))
    scatter = float(np.std(y - slope * x))
    return -slope if -slope * (x[-1] - x[0]) > 2 * scatter else 0.0


def proved_order(queries: Floats, eta: float) -> Floats:
    """(1+η)^{−N/2}, the order of Nash-MP's theorem after N `queries`, two a step (theory §4.1)."""
    return np.asarray(np.exp(-np.log1p(eta) * np.asarray(queries, np.float64) / 2))


def kl_bound(queries: Floats, beta: float, eta: float) -> Floats:
    """Nash-MP's KL(π*‖π_K) ≤ (1+η)^{−K}/(2β) for η ≤ 2β after N = 2K `queries` from π_0 = μ (theory §4.1)."""
    return proved_order(queries, eta) / (2 * beta)


def suboptimality_bound(queries: Floats, beta: float, eta: float) -> Floats:
    """Nash-MP's SubOpt(π_{K+½}) ≤ (β + 1/(4β))/(2βη)·(1+η)^{−K} for η ≤ 2β (theory §4.1; 2βη = 4β² at η = 2β).

    The half step is there after N = 2K + 1 `queries`.
    """
    return proved_order(np.asarray(queries) - 1, eta) * ((beta + 1 / (4 * beta)) / (2 * beta * eta))


def proved_rate(beta: Floats) -> Floats:
    """The rate of Nash-MP's theorem at η = 2β per query, ½ log(1+2β) (theory §4.1)."""
    return np.asarray(np.log1p(2 * np.asarray(beta)) / 2, np.float64)


Block = tuple[slice, NDArray[np.floating]]
"""Rows of the margins A `[n, n]`, a slice, and their entries over all columns; `Margins.blocks` gives all of them."""


def hodge_ratings(blocks: Iterable[Block]) -> Floats:
    """r_i = mean_j A_ij `[n]`, the transitive part of the margins A `[n, n]`: A_ij = r_i − r_j + C_ij with ΣC = 0."""
    return np.concatenate([block.mean(axis=1, dtype=np.float64) for _, block in blocks])


def ordered_preferences(blocks: Iterable[Block], ratings: Floats, cells: int) -> Floats:
    """P = A + ½ with the actions from the highest to the lowest rating, averaged over blocks to at most `cells` a side.

    Holds one block of rows of A at a time, and the sums `[cells, n]` over the rows of a cell.
    """
    n = len(ratings)
    order = np.argsort(-np.asarray(ratings), kind="stable")
    edges = np.linspace(0, n, min(n, cells) + 1).astype(int)
    sizes = np.diff(edges)
    cell = np.empty(n, int)
    cell[order] = np.repeat(np.arange(len(sizes)), sizes)
    sums = np.zeros((len(sizes), n))
    for rows, block in blocks:
        for place, row in zip(cell[rows], block, strict=True):
            sums[place] += row
    means = (sums / sizes[:, None])[:, order]
    return np.asarray(0.5 + np.add.reduceat(means, edges[:-1], axis=1) / sizes)
