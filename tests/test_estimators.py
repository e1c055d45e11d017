"""Estimates from samples against exact values of games that can be enumerated, and the coverage of their intervals."""

import dataclasses
import functools
import math

import numpy as np
import pytest
import scipy

from nashgames import estimators
from nashgames.errors import NashGamesError
from nashgames.estimators import policies
from nashgames.exact.referee import equilibrium
from tests.games import log_softmax, random_game, value_of_deviation

DRAWS = 400
# Standard deviations of a count of intervals: one test in ten thousand would fail by chance.
SIGMAS = 4


def exact_suboptimality(game, log_policy):
    """β log Σ μ e^{Aπ/β} + β KL(π‖μ), in plain NumPy."""
    policy = np.exp(log_policy)
    best = scipy.special.logsumexp(game.log_reference + game.margins.values @ policy / game.beta)
    return game.beta * (best + policy @ (log_policy - game.log_reference))


def drawn(rng, log_policy, size):
    return rng.choice(len(log_policy), size, p=np.exp(log_policy))


def sampled(rng, game, log_policy, rows, columns, labels=False):
    """log π/μ of `rows` actions, and their margins against `columns` others of the same policy, or labels less ½."""
    ours, theirs = drawn(rng, log_policy, rows), drawn(rng, log_policy, columns)
    margins = game.margins.values[np.ix_(ours, theirs)]
    if labels:
        margins = (rng.random(margins.shape) < 0.5 + margins) - 0.5
    return (log_policy - game.log_reference)[ours], margins


@functools.cache
def policies_of(actions, beta):
    """A game and policies that are far from its equilibrium, half of the way, near it, and at it."""
    rng = np.random.default_rng([actions, int(1e4 * beta)])
    game = random_game(rng, actions, beta)
    found = np.asarray(equilibrium(game).log_policy)
    return game, {
        "reference": game.log_reference,
        "half": log_softmax((found + game.log_reference) / 2),
        "noisy": log_softmax(found + 0.5 * rng.normal(size=actions)),
        "equilibrium": found,
    }


def assert_covers(estimates, exact, level, most=None):
    """The intervals hold the value at least as often as they say, and, where `most` is given, not much oftener."""
    held = np.mean([each.low <= exact <= each.high for each in estimates])
    slack = SIGMAS * math.sqrt(level * (1 - level) / len(estimates))
    assert held >= level - slack
    assert most is None or held <= level + slack


def assert_unbiased(estimates, exact):
    values = np.array([each.value for each in estimates])
    assert abs(values.mean() - exact) <= SIGMAS * values.std() / math.sqrt(len(values))


@pytest.mark.parametrize("level", [0.9, 0.95])
def test_the_kl_is_the_mean_and_its_interval_holds_it_as_often_as_it_says(rng, level):
    game, known = policies_of(40, 0.1)
    log_policy = known["half"]
    exact = np.exp(log_policy) @ (log_policy - game.log_reference)
    found = [estimators.kl(sampled(rng, game, log_policy, 100, 1)[0], level=level) for _ in range(DRAWS)]
    assert_unbiased(found, exact)
    assert_covers(found, exact, level, most=level)
    assert found[0].effective == 100


@pytest.mark.parametrize("level", [0.9, 0.95])
@pytest.mark.parametrize("labels", [False, True])
@pytest.mark.parametrize(("rows", "columns"), [(60, 60), (30, 200)])
def test_the_interval_of_a_win_rate_has_both_samples_in_it(rng, level, labels, rows, columns):
    game, known = policies_of(40, 0.1)
    ours, theirs = known["noisy"], known["reference"]
    exact = 0.5 + np.exp(ours) @ game.margins.values @ np.exp(theirs)
    found = []
    for _ in range(DRAWS):
        margins = game.margins.values[np.ix_(drawn(rng, ours, rows), drawn(rng, theirs, columns))]
        if labels:
            margins = (rng.random(margins.shape) < 0.5 + margins) - 0.5
        found.append(estimators.win_rate(margins, level=level))
    assert_unbiased(found, exact)
    assert_covers(found, exact, level, most=level)
    # The variance is that of the draws: neither the rows nor the columns nor the labels are left out.
    variances = np.mean([each.error**2 for each in found])
    assert variances == pytest.approx(np.var([each.value for each in found]), rel=0.3)


def test_the_variance_of_a_win_rate_is_hoeffding_s(rng):
    """ζ_y/K + ζ_z/J + ζ_yz/(KJ) from the whole game, against the mean of the estimates."""
    game, known = policies_of(40, 0.1)
    p, q = np.exp(known["noisy"]), np.exp(known["reference"])
    A = game.margins.values - p @ game.margins.values @ q
    rows, columns = A @ q, p @ A
    both = A - rows[:, None] - columns
    exact = p @ rows**2 / 20 + q @ columns**2 / 50 + p @ both**2 @ q / 1000
    draws = [
        estimators.win_rate(
            game.margins.values[np.ix_(drawn(rng, known["noisy"], 20), drawn(rng, known["reference"], 50))]
        ).error
        ** 2
        for _ in range(DRAWS)
    ]
    assert abs(np.mean(draws) - exact) <= SIGMAS * np.std(draws) / math.sqrt(DRAWS)


def test_nothing_but_wins_is_no_certainty():
    """The lower end is Wilson's for twenty wins of twenty, whatever the number of duels among forty answers."""
    found = estimators.win_rate(np.full((20, 20), 0.5))
    square = scipy.stats.t.ppf(0.975, 19) ** 2
    assert (found.value, found.error, found.high) == (1.0, 0.0, 1.0)
    assert found.low == pytest.approx(20 / (20 + square))


def test_duels_that_no_answer_wins_oftener_have_the_error_of_coins():
    """Rows and columns that are all alike leave the variance of single duels, and a normal quantile."""
    found = estimators.win_rate(np.where(np.indices((10, 10)).sum(axis=0) % 2, 0.5, -0.5))
    assert found.error**2 == pytest.approx(0.25 * 100 / 81 / 100)
    square = scipy.stats.norm.ppf(0.975) ** 2 * found.error**2 / 0.25
    assert found.high == pytest.approx(0.5 + math.sqrt(square * 0.25 + square**2 / 4) / (1 + square))


def test_a_win_rate_against_itself_is_one_half_and_many_trials_make_wilson_s_ends_the_usual_ones(rng):
    margins = rng.uniform(-0.3, 0.3, size=(400, 300))
    found = estimators.win_rate(margins)
    assert found.high - found.low == pytest.approx(2 * 1.96 * found.error, rel=0.01)
    assert found.value == 0.5 + margins.mean()


@pytest.mark.parametrize("name", ["reference", "half", "noisy", "equilibrium"])
@pytest.mark.parametrize("beta", [0.3, 0.1])
def test_the_suboptimality_is_unbiased_and_its_interval_holds_it(rng, beta, name):
    game, known = policies_of(40, beta)
    log_policy = known[name]
    exact = max(exact_suboptimality(game, log_policy), 0.0)
    for level in (0.9, 0.95):
        found = [
            estimators.suboptimality(*sampled(rng, game, log_policy, 150, 120), beta, level=level) for _ in range(DRAWS)
        ]
        assert sum(each.refused for each in found) < 0.05 * DRAWS
        found = [each for each in found if not each.refused]
        assert_covers(found, exact, level)
        assert_unbiased(found, exact)
        # Not by being wide: the error is at most what is said of the jackknife close to the equilibrium.
        spread = np.std([each.value for each in found])
        assert 0.8 * spread <= np.mean([each.error for each in found]) <= 2 * spread


def test_the_suboptimality_from_labels(rng):
    """Bernoulli labels in the place of P are noise like that of the opponents."""
    game, known = policies_of(40, 0.3)
    exact = exact_suboptimality(game, known["noisy"])
    found = [
        estimators.suboptimality(*sampled(rng, game, known["noisy"], 100, 300, labels=True), 0.3) for _ in range(200)
    ]
    assert not any(each.refused for each in found)
    assert_covers(found, exact, 0.95)
    assert_unbiased(found, exact)


def expected(samples):
    """E of the estimate and of one without corrections, over all samples of a game of two actions, and the exact value.

    Only how often each action was drawn matters, so that both counts, binomial, are enumerated.
    """
    rng = np.random.default_rng(3)
    beta, game = 0.3, random_game(rng, 2, 0.3)
    log_policy = log_softmax(game.log_reference + np.array([0.5, 0.0]))
    chances = scipy.stats.binom.pmf(np.arange(samples + 1), samples, np.exp(log_policy)[0])
    ratios = log_policy - game.log_reference
    total, plain, squares, variance = 0.0, 0.0, 0.0, 0.0
    for ours, one in enumerate(chances):
        for theirs, other in enumerate(chances):
            if one * other < 1e-13:
                continue
            y, z = (np.repeat([0, 1], [count, samples - count]) for count in (ours, theirs))
            margins = game.margins.values[np.ix_(y, z)]
            found = estimators.suboptimality(ratios[y], margins, beta)
            assert not found.refused
            exponents = margins.mean(axis=1) / beta - ratios[y]
            naive = beta * (scipy.special.logsumexp(exponents) - math.log(samples) - exponents.mean())
            total += one * other * found.value
            plain += one * other * naive
            squares += one * other * found.value**2
            variance += one * other * found.error**2
    exact = exact_suboptimality(game, log_policy)
    return total - exact, plain - exact, squares - total**2, variance


def test_the_bias_of_the_suboptimality_falls_with_the_square_of_the_samples(monkeypatch):
    """Exactly, by enumeration: four times smaller for twice the samples, where that of the plain estimate halves."""
    # Samples of every kind are among them, also those that would be refused.
    monkeypatch.setattr(policies, "FEWEST", 0)
    few, many = expected(40), expected(80)
    assert few[0] / many[0] == pytest.approx(4, rel=0.15)
    assert few[1] / many[1] == pytest.approx(2, rel=0.15)
    assert abs(many[0]) < 0.05 * abs(many[1])
    # The jackknife's variance is not below the true one.
    assert 0.98 <= many[3] / many[2] <= 1.3


def test_the_suboptimality_is_that_of_its_definition_in_the_limit(rng):
    """Every action as often as π plays it, without sampling: max_π' ⟨π', q⟩ − β KL(π'‖μ) + β KL(π‖μ) as K, J → ∞."""
    game = random_game(rng, 4, 0.4)
    counts = np.array([900, 400, 500, 200])
    log_policy = np.log(counts / counts.sum())
    actions = np.repeat(np.arange(4), counts)
    found = estimators.suboptimality(
        (log_policy - game.log_reference)[actions], game.margins.values[np.ix_(actions, actions)], 0.4
    )
    best = log_softmax(game.log_reference + game.margins.values @ np.exp(log_policy) / 0.4)
    wanted = value_of_deviation(game, np.exp(best), np.exp(log_policy))
    assert wanted == pytest.approx(exact_suboptimality(game, log_policy), rel=1e-12)
    # What is left are the corrections, of the order 1/K.
    assert found.value == pytest.approx(wanted, abs=5e-4)
    assert found.low < wanted < found.high


def test_the_jackknife_is_that_of_leaving_out(rng, monkeypatch):
    """Its closed forms, and blocks of columns, against estimates from samples that lack one row or column."""
    game, known = policies_of(40, 0.1)
    ratios, margins = sampled(rng, game, known["half"], 60, 50)
    beta = game.beta

    def plain(ratios, margins):
        exponents = margins.mean(axis=1) / beta - ratios
        return beta * (scipy.special.logsumexp(exponents) - math.log(len(ratios)) - exponents.mean())

    whole = plain(ratios, margins)
    rows = np.array([plain(np.delete(ratios, k), np.delete(margins, k, axis=0)) for k in range(60)])
    columns = np.array([plain(ratios, np.delete(margins, j, axis=1)) for j in range(50)])
    found = estimators.suboptimality(ratios, margins, beta)
    assert found.value == pytest.approx(whole + 59 * (whole - rows.mean()) + 49 * (whole - columns.mean()), rel=1e-9)
    parts = np.array([59 * rows.var(), 49 * columns.var()])
    assert found.error**2 == pytest.approx(parts.sum(), rel=1e-9)
    # Of the degrees of freedom of Welch and Satterthwaite, weights have those of as many equal ones.
    freedom = parts.sum() ** 2 / np.sum(parts**2 / [found.effective - 1, 49])
    reach = scipy.stats.t.ppf(0.975, freedom) * found.error
    root = math.sqrt(max(found.value, found.error))
    assert found.high == pytest.approx((root + reach / (2 * root)) ** 2 + found.value - root**2, rel=1e-9)
    lower = (root - reach / (2 * root)) ** 2 + found.value - root**2
    assert found.low == pytest.approx(max(lower, 0.0), rel=1e-9)
    monkeypatch.setattr(policies, "_BLOCK", 100)
    for one, other in zip(
        dataclasses.astuple(estimators.suboptimality(ratios, margins, beta)), dataclasses.astuple(found), strict=True
    ):
        assert one == pytest.approx(other, rel=1e-10)


@pytest.mark.parametrize(("beta", "rows", "columns"), [(0.005, 100, 2000), (0.1, 2000, 8)])
def test_samples_that_cannot_carry_it_are_refused_and_the_interval_still_holds(rng, beta, rows, columns):
    """Weights that are heavy at the reference, and an advantage of few labels, noisy beside β."""
    game, known = policies_of(40, beta)
    name = "reference" if columns == 2000 else "equilibrium"
    exact = max(exact_suboptimality(game, known[name]), 0.0)
    for _ in range(20):
        ratios, margins = sampled(rng, game, known[name], rows, columns, labels=columns == 8)
        found = estimators.suboptimality(ratios, margins, beta)
        assert found.refused == 1.0
        assert found.low == 0.0 <= exact <= found.high
        assert found.high == pytest.approx(0.5 + beta * estimators.kl(ratios).high)
        assert columns == 8 or found.effective < policies.FEWEST


def test_what_an_opponent_does_to_all_answers_alike_is_no_noise(rng):
    """Only differences between answers count: opponents of any strength leave the estimate and refuse nothing."""
    ratios = rng.normal(size=200)
    margins = np.repeat(rng.uniform(-0.05, 0.05, size=(200, 1)), 10, axis=1)
    shared = margins + rng.uniform(-0.4, 0.4, size=10)
    one, other = (estimators.suboptimality(ratios, each, 0.05) for each in (margins, shared))
    assert one.refused == other.refused == 0.0
    assert dataclasses.astuple(one) == pytest.approx(dataclasses.astuple(other), rel=1e-9)


def contextual(rng, contexts, beta=0.3):
    games = [policies_of(20 + context, beta) for context in range(contexts)]
    return [game for game, _ in games], [known["noisy"] for _, known in games], rng.dirichlet(np.full(contexts, 3.0))


def test_contexts_are_averaged_with_their_weights(rng):
    games, log_policies, weights = contextual(rng, 3)
    exact = sum(w * exact_suboptimality(g, p) for g, p, w in zip(games, log_policies, weights, strict=True))
    kl = sum(w * np.exp(p) @ (p - g.log_reference) for g, p, w in zip(games, log_policies, weights, strict=True))
    found, divergences, wins = [], [], []
    for _ in range(200):
        pairs = [sampled(rng, g, p, 90 + 5 * x, 80) for x, (g, p) in enumerate(zip(games, log_policies, strict=True))]
        ratios, margins = zip(*pairs, strict=True)
        found.append(estimators.suboptimality(ratios, margins, 0.3, weights))
        divergences.append(estimators.kl(list(ratios), weights))
        wins.append(estimators.win_rate(list(margins), weights))
    for estimates, wanted in ((found, exact), (divergences, kl), (wins, 0.5)):
        assert_unbiased(estimates, wanted)
        assert_covers(estimates, wanted, 0.95)


def test_contexts_that_are_drawn_have_their_spread_in_the_interval(rng):
    """Few samples in each of 40 contexts out of 25 kinds: the interval is for the mean over kinds."""
    games, log_policies, _ = contextual(rng, 25)
    exact = np.mean([np.exp(p) @ (p - g.log_reference) for g, p in zip(games, log_policies, strict=True)])
    found = []
    for _ in range(DRAWS):
        kinds = rng.integers(25, size=40)
        found.append(estimators.kl([sampled(rng, games[x], log_policies[x], 8, 1)[0] for x in kinds]))
    assert_unbiased(found, exact)
    assert_covers(found, exact, 0.95, most=0.95)


def test_a_context_that_is_refused_widens_the_interval_by_all_it_may_be(rng):
    game, known = policies_of(40, 0.3)
    good = sampled(rng, game, known["half"], 100, 100)
    bad = good[0] + np.where(np.arange(100) == 0, -20.0, 0.0), good[1]
    alone = estimators.suboptimality(*good, 0.3)
    found = estimators.suboptimality([good[0], bad[0]], [good[1], bad[1]], 0.3, [0.75, 0.25])
    assert found.refused == 0.25
    assert found.low == pytest.approx(0.75 * alone.low)
    most = 0.5 + 0.3 * estimators.kl(bad[0]).high
    assert found.high == pytest.approx(0.75 * alone.high + 0.25 * most)


ROWS = np.zeros((4, 3))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: estimators.kl(np.zeros(1)), "there are 1 samples; give at least two"),
        (lambda: estimators.kl([np.zeros(4), np.array([np.nan, 1.0])]), "give one of finite numbers with 1 axes"),
        (lambda: estimators.kl(np.zeros(4), level=95), "level is 95; accepted: a number between 0 and 1"),
        (lambda: estimators.kl([np.zeros(4)] * 2, [0.5, 0.4]), r"shape \(2,\) and sum 0.9"),
        (lambda: estimators.kl([np.zeros(4)] * 2, [1.0]), "give one for each of the 2 contexts"),
        (lambda: estimators.win_rate(np.ones((4, 3))), "a margin is ±1; accepted: P − ½"),
        (lambda: estimators.win_rate(ROWS[:1]), "give at least two samples on each side"),
        (lambda: estimators.suboptimality(np.zeros(3), ROWS, 0.1), "give a row for each sample"),
        (lambda: estimators.suboptimality(np.zeros(4), ROWS, 0.0), "beta is 0; accepted: a finite number above 0"),
        (lambda: estimators.suboptimality(np.zeros(4), ROWS[:, :2], 0.1), "at least three samples on each side"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(call, said):
    with pytest.raises(NashGamesError, match=said):
        call()
