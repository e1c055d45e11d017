"""Estimates behind the figures against values worked out by hand."""

import numpy as np
import pytest

from nashgames.plots import estimates
from nashgames.plots.estimates import Trace

INF, NAN = np.inf, np.nan


def trace(queries, values, status="budget"):
    return Trace(np.array(queries, float), np.array(values, float), status)


def test_a_stopped_run_keeps_its_value_and_a_diverged_one_is_the_worst():
    grid = np.array([0.0, 1, 2, 3, 8])
    held = estimates.hold(trace([1, 3], [5, 4]), grid)
    assert np.isnan(held[0]) and held[1:].tolist() == [5, 5, 4, 4]
    assert estimates.hold(trace([0, 2], [5, NAN], "diverged"), grid).tolist() == [5, 5, INF, INF, INF]


def test_the_band_is_taken_where_no_value_is_stale():
    traces = [
        trace([0, 2, 4, 5], [8, 4, 2, 1], "converged"),
        trace([0, 2, 4, 7], [9, 6, 3, 1], "converged"),
        trace([0, 2, 4, 8], [7, 5, 4, 4]),
    ]
    band = estimates.over_runs(traces)
    assert band.cost.tolist() == [0, 2, 4, 8]
    assert band.median.tolist() == [8, 5, 3, 1]
    assert band.lower.tolist() == [7, 4, 2, 1]
    assert band.upper.tolist() == [9, 6, 4, 4]
    assert band.runs == 3


def test_runs_with_no_record_in_common_are_compared_as_step_functions():
    band = estimates.over_runs([trace([1, 3], [4, 2]), trace([2, 4], [5, 1])])
    assert band.cost.tolist() == [1, 2, 3, 4]
    assert band.upper[1:].tolist() == [5, 5, 2]
    assert np.isnan(band.upper[0])


def test_most_runs_diverged_leave_no_finite_median():
    traces = [trace([0, 4], [1, NAN], "diverged"), trace([0, 4], [1, NAN], "diverged"), trace([0, 4], [1, 0.5])]
    assert estimates.over_runs(traces).median.tolist() == [1, INF]


@pytest.mark.parametrize("rate", [3.0, 0.1, 1e-5])
def test_the_rate_of_a_geometric_curve_is_recovered(rate):
    queries = np.unique(np.geomspace(1, 60 / rate, 100))
    assert estimates.contraction(queries, 0.3 * np.exp(-rate * queries)) == pytest.approx(rate, rel=1e-12)


def test_the_fit_uses_the_tail_and_stops_at_the_rounding_floor():
    queries = np.arange(0.0, 400.0)
    values = np.exp(-0.5 * np.minimum(queries, 20) - 0.2 * np.maximum(queries - 20, 0))
    floor = 1e-26
    rounded = np.where(values > floor, values, floor * (1 + 0.3 * np.sin(queries)))
    assert estimates.contraction(queries, rounded, 2 * floor) == pytest.approx(0.2, rel=1e-9)
    assert estimates.contraction(queries, rounded) < 0.15


def test_a_curve_that_does_not_fall_has_rate_zero():
    queries = np.geomspace(1, 1e4, 200)
    assert estimates.contraction(queries, 0.04 * (1 + 0.3 * np.sin(queries))) == 0.0
    assert estimates.contraction(queries, np.exp(1e-4 * queries)) == 0.0
    assert estimates.contraction(queries, np.full(200, 0.3)) == 0.0


@pytest.mark.parametrize("values", [[], [1.0], [1.0, 0.5], [1.0, NAN, 0.5], [1.0, 0.5, 0.0], [0.0, 0.0, 0.0]])
def test_fewer_than_three_points_have_no_rate(values):
    assert np.isnan(estimates.contraction(np.arange(len(values), dtype=float), np.array(values)))


def test_the_bounds_of_the_theorem_by_hand():
    # β = 0.1, η = 0.2, K = 3: 1.2^{-3} / 0.2, and for the half step at N = 7 (0.1 + 2.5) / 0.04 · 1.2^{-3}.
    assert estimates.kl_bound(np.array([6.0]), 0.1, 0.2) == pytest.approx(5 / 1.728)
    assert estimates.suboptimality_bound(np.array([7.0]), 0.1, 0.2) == pytest.approx(65 / 1.728)
    assert estimates.suboptimality_bound(np.array([7.0]), 0.1, 0.1) == pytest.approx(130 / 1.331)
    assert np.exp(-2 * estimates.proved_rate(np.array([0.1]))) == pytest.approx(1 / 1.2)


def halves(margins):
    """The margins as two blocks of rows."""
    return [(slice(0, 2), margins[:2]), (slice(2, len(margins)), margins[2:])]


def test_hodge_ratings_of_a_transitive_game_with_a_cycle():
    ratings = np.array([0.1, -0.15, 0.05])
    cycle = 0.07 * np.array([[0, 1, -1], [-1, 0, 1], [1, -1, 0]])
    margins = ratings[:, None] - ratings + cycle
    assert estimates.hodge_ratings(halves(margins)) == pytest.approx(ratings)
    ordered = estimates.ordered_preferences(halves(margins), ratings, 3)
    order = [0, 2, 1]
    assert ordered == pytest.approx(0.5 + margins[np.ix_(order, order)])


def test_downsampling_keeps_block_means():
    margins = np.triu(np.arange(49.0).reshape(7, 7) / 100, 1)
    margins -= margins.T
    ratings = np.array([3.0, 6, 1, 5, 2, 0, 4])
    order = np.argsort(-ratings)
    full = 0.5 + margins[np.ix_(order, order)]
    blocks = [slice(0, 2), slice(2, 4), slice(4, 7)]
    expected = [[full[rows, columns].mean() for columns in blocks] for rows in blocks]
    assert estimates.ordered_preferences(halves(margins), ratings, 3) == pytest.approx(np.array(expected))
