"""How large a step may be: derived limits against theory and brute force, measured ones against known dynamics."""

import numpy as np
import pytest

from nashgames.analysis import stability
from nashgames.core.game import make_game
from nashgames.exact.referee import equilibrium
from tests.games import ROCK_PAPER_SCISSORS, log_softmax, random_margins, softmax
from tests.sweeps import STEPS, join, played

TILTED = log_softmax(np.array([1.0, 0.0, -1.0]))
NAN, INF = np.nan, np.inf


def equilibrium_of(margins, beta, log_reference=None):
    return np.exp(equilibrium(make_game(margins, beta=beta, log_reference=log_reference)).log_policy)


# --- what is derived ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("beta", "log_reference", "limit", "factor"),
    [
        (0.1, None, 6.43, 0.9449),
        (0.02, None, 1.433, 0.99761),
        (0.005, None, 0.3599, 0.99985),
        (0.1, TILTED, 7.84, None),
        (0.02, TILTED, 1.445, None),
        (0.005, TILTED, 0.3601, None),
    ],
)
def test_the_limits_of_self_play_on_rock_paper_scissors_are_those_of_the_theory(beta, log_reference, limit, factor):
    policy = equilibrium_of(ROCK_PAPER_SCISSORS, beta, log_reference)
    found, rate = stability.stable_step_limit(ROCK_PAPER_SCISSORS, policy, beta)
    assert found == pytest.approx(limit, rel=7e-4)
    if factor is not None:
        assert np.exp(-rate) == pytest.approx(factor, abs=5e-5 if beta == 0.1 else 5e-6)


def jacobian(function, point):
    """Derivatives by central differences."""
    step = 1e-6
    sides = [(function(point + step * e) - function(point - step * e)) / (2 * step) for e in np.eye(len(point))]
    return np.column_stack(sides)


def gradient_step(logits, step, margins, temperature, log_anchor):
    policy = softmax(logits)
    direction = margins @ policy - temperature * (np.log(policy) - log_anchor)
    return logits + step * policy * (direction - policy @ direction)


@pytest.mark.parametrize("seed", range(3))
def test_the_limit_of_a_random_game_is_where_its_update_stops_contracting(seed):
    rng = np.random.default_rng(seed)
    margins, log_reference = random_margins(rng, 5), log_softmax(rng.normal(size=5))
    beta = 0.05
    logits = np.log(equilibrium_of(margins, beta, log_reference))
    limit, rate = stability.stable_step_limit(margins, np.exp(logits), beta)

    def factor(step):
        whole = jacobian(lambda x: gradient_step(x, step, margins, beta, log_reference), logits)
        # Constants are neither moved nor felt: their eigenvalue is 1.
        eigenvalues = np.linalg.eigvals(whole)
        return np.max(np.abs(np.delete(eigenvalues, np.argmin(np.abs(eigenvalues - 1)))))

    assert factor(0.999 * limit) < 1 < factor(1.001 * limit)
    best = min(factor(step) for step in np.linspace(0, limit, 400)[1:])
    assert rate * (1 - 5e-3) < -np.log(best) < rate * (1 + 1e-9)


def test_actions_that_are_never_played_set_no_limit():
    margins = np.zeros((5, 5))
    margins[:3, :3] = ROCK_PAPER_SCISSORS
    margins[:3, 3:], margins[3:, :3] = 0.4, -0.4
    within = stability.stable_step_limit(ROCK_PAPER_SCISSORS, np.full(3, 1 / 3), 0.1)
    policy = np.array([1 / 3, 1 / 3, 1 / 3, 0, 0])
    assert stability.stable_step_limit(margins, policy, 0.1) == pytest.approx(within)


@pytest.mark.parametrize(("inner", "kappa"), [(1, 1.0), (4, 1.0), (1, 0.1), (3, 0.5)])
@pytest.mark.parametrize("step", [0.7, 6.0, 12.0])
def test_the_rate_of_nash_prox_is_that_of_its_loop(inner, kappa, step):
    beta, eta = 0.05, 0.2
    policy = equilibrium_of(ROCK_PAPER_SCISSORS, beta, TILTED)
    logits = np.log(policy)

    def loop(both):
        own, target = both[:3], both[3:]
        anchor = (eta * TILTED + np.log(softmax(target))) / (1 + eta)
        for _ in range(inner):
            own = gradient_step(own, step, ROCK_PAPER_SCISSORS, beta * (1 + 1 / eta), log_softmax(anchor))
        return np.concatenate([own, (1 - kappa) * target + kappa * own])

    whole = jacobian(loop, np.concatenate([logits, logits]))
    # Constants in the logits: subtract their mean before and after.
    centred = np.kron(np.eye(2), np.eye(3) - 1 / 3)
    expected = -np.log(np.max(np.abs(np.linalg.eigvals(centred @ whole @ centred)))) / inner
    found = stability.prox_rate(ROCK_PAPER_SCISSORS, policy, beta, step, eta=eta, inner=inner, kappa=kappa)
    assert found == pytest.approx(expected, rel=1e-5)


def test_the_limit_of_nash_prox_is_where_its_rate_crosses_zero():
    policy = equilibrium_of(ROCK_PAPER_SCISSORS, 0.02, TILTED)
    for numbers in ({"eta": 0.04, "inner": 20, "kappa": 1.0}, {"eta": 0.05, "inner": 1, "kappa": 0.1}):
        limit = stability.prox_step_limit(ROCK_PAPER_SCISSORS, policy, 0.02, **numbers)
        inside, outside = (
            stability.prox_rate(ROCK_PAPER_SCISSORS, policy, 0.02, share * limit, **numbers) for share in (0.99, 1.01)
        )
        assert outside < 0 < inside


def test_nash_prox_with_an_endless_outer_step_is_self_play():
    policy = equilibrium_of(ROCK_PAPER_SCISSORS, 0.1, TILTED)
    limit = stability.prox_step_limit(ROCK_PAPER_SCISSORS, policy, 0.1, eta=1e12, inner=1, kappa=1.0)
    assert limit == pytest.approx(stability.stable_step_limit(ROCK_PAPER_SCISSORS, policy, 0.1)[0], rel=1e-9)


def test_what_shrinks_for_self_play_does_not_for_nash_prox():
    limits = []
    for beta in (0.1, 0.005):
        policy = np.full(3, 1 / 3)
        prox = stability.prox_step_limit(ROCK_PAPER_SCISSORS, policy, beta, eta=2 * beta, inner=20, kappa=1.0)
        limits.append((stability.stable_step_limit(ROCK_PAPER_SCISSORS, policy, beta)[0], prox))
    plain, prox = np.array(limits[1]) / limits[0]
    assert plain < 0.06
    assert 0.8 < prox < 1.3


# --- what is measured --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [0.3, 0.02, 1e-4, -1e-5, -1e-3, -0.02, -0.5])
def test_the_signed_rate_of_a_geometric_curve_is_recovered(rate):
    queries = np.unique(np.concatenate([[0], np.geomspace(1, 20_000, 200).round()]))
    with np.errstate(over="ignore"):
        values = 1e-7 * np.exp(-2 * rate * queries)
    assert stability.signed_rate(queries, values, 1e-30) == pytest.approx(rate, rel=1e-9)


def test_growth_is_measured_before_it_saturates_and_decay_before_rounding():
    queries = np.arange(0.0, 5000, 5)
    growing = 1e-7 * np.exp(2 * 0.004 * queries)
    saturated = growing / (1 + growing / 0.05)
    assert stability.signed_rate(queries, saturated) == pytest.approx(-0.004, rel=2e-3)
    falling = 1e-7 * np.exp(-2 * 0.02 * queries)
    rounded = np.maximum(falling, 1e-31 * (1 + 0.5 * np.sin(queries)))
    assert stability.signed_rate(queries, rounded, 1e-34) == pytest.approx(0.02, rel=1e-9)
    swinging = falling * (1.5 + np.sin(0.3 * queries))
    assert stability.signed_rate(queries, swinging, 1e-30) == pytest.approx(0.02, rel=0.03)


def test_a_bump_on_the_way_down_is_no_growth():
    queries = np.arange(0.0, 3000, 5)
    values = 1e-7 * np.exp(-2 * 0.005 * queries) * (1 + 100 * np.exp(-(((queries - 50) / 20) ** 2)))
    assert stability.signed_rate(queries, values, 1e-30) == pytest.approx(0.005, rel=1e-6)


@pytest.mark.parametrize("values", [[], [1.0], [NAN, 1.0], [1.0, 0.0], [0.0, 0.0, 0.0], [1e-40, 1e-41]])
def test_fewer_than_two_values_have_no_rate(values):
    assert np.isnan(stability.signed_rate(np.arange(len(values), dtype=float), np.array(values), 1e-35))


def test_growth_beyond_all_numbers_is_measured_while_it_lasts():
    assert stability.signed_rate(np.arange(3.0), np.array([1e-6, 1e-2, INF])) == pytest.approx(-np.log(1e4) / 2)


def one_mode(eigenvalue):
    return lambda steps: -np.log(np.abs(1 + steps * eigenvalue))


@pytest.mark.parametrize("ratio", [1.05, 1.5, 3.0])
def test_the_crossing_of_one_mode_is_exact_whatever_the_steps(ratio):
    eigenvalue = -0.005 + 0.16j
    steps = 0.05 * ratio ** np.arange(np.ceil(np.log(200) / np.log(ratio)))
    limit, low, high = stability.crossing(steps, one_mode(eigenvalue)(steps))
    assert limit == pytest.approx(-2 * eigenvalue.real / abs(eigenvalue) ** 2, rel=1e-9)
    assert low < limit < high and high == pytest.approx(ratio * low)


def test_a_limit_beyond_the_steps_is_said_to_be():
    steps = np.array([1.0, 2.0, 4.0])
    assert stability.crossing(steps, np.array([0.1, 0.2, 0.1])) == (4, 4, INF)
    assert stability.crossing(steps, np.array([-0.1, -0.2, -INF])) == (1, 0, 1)
    assert stability.crossing(steps, np.array([0.1, -INF, -INF])) == (np.sqrt(2), 1, 2)
    assert stability.crossing(steps, np.array([0.1, 0.0, -0.1])) == (2, 1, 2)


@pytest.mark.parametrize("column", ["kl", "suboptimality"])
def test_limits_and_rates_of_known_dynamics_are_recovered(column):
    eigenvalues = {0.1: -0.05 + 0.15j, 0.02: -0.01 + 0.16j}
    parts = [played(STEPS, beta=beta, eigenvalue=value, column=column) for beta, value in eigenvalues.items()]
    parts.append(played([2.0], solver="nash-prox"))
    runs, curves = join(*parts)
    table = stability.measured(curves, runs).set_index(["label", "beta"])
    for beta, value in eigenvalues.items():
        row = table.loc[("online-ipo", beta)]
        assert row["limit"] == pytest.approx(-2 * value.real / abs(value) ** 2, rel=2e-3)
        assert row["low"] < row["limit"] < row["high"]
        assert row["rate"] == pytest.approx(one_mode(value)(STEPS).max(), rel=1e-3)
        assert row["best"] == STEPS[one_mode(value)(STEPS).argmax()]
        assert row["steps"] == len(STEPS)
    alone = table.loc[("nash-prox", 0.1)]
    assert np.isnan(alone["limit"]) and alone["rate"] > 0 and alone["steps"] == 1


def test_seeds_are_summed_up_by_their_median_and_samples_left_out():
    eigenvalues = (-0.04 + 0.15j, -0.05 + 0.15j, -0.2 + 0.15j)
    parts = [played(STEPS, seed=seed, eigenvalue=value) for seed, value in enumerate(eigenvalues)]
    runs, curves = join(*parts, played(STEPS, exact=False))
    (row,) = stability.measured(curves, runs).to_dict("records")
    assert row["limit"] == pytest.approx(2 * 0.05 / abs(eigenvalues[1]) ** 2, rel=2e-3)
    assert stability.measured(curves, runs[runs["feedback"] == "duels"]).empty


def test_a_run_that_diverged_at_once_is_unstable():
    runs, curves = played([1.0, 2.0, 3.0])
    lost = runs["run_id"].iloc[2]
    runs.loc[2, "status"] = "diverged"
    curves = curves[(curves["run_id"] != lost) | (curves["queries"] == 1)]
    (row,) = stability.measured(curves, runs).to_dict("records")
    assert (row["low"], row["high"]) == (2, 3)


def test_the_rounding_floor_is_quadratic_in_the_error_of_log_probabilities():
    assert stability.rounding_floor("kl_to_equilibrium", 0.01, "float32") == pytest.approx((2**-23 / 0.01) ** 2)
    assert stability.rounding_floor("suboptimality", 0.01, "float64") == pytest.approx(2**-104 / 0.01)
