"""The certificate against 150 decimal digits, against the definition of the gap by brute force, and against metrics."""

import decimal
import math
from decimal import Decimal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import optimize

from nashgames.core import metrics
from nashgames.core.game import make_game
from nashgames.core.margins import DenseMargins
from nashgames.core.precision import Precision
from nashgames.errors import NashGamesError
from nashgames.exact.certificate import Certificate, certify
from nashgames.exact.referee import equilibrium
from nashgames.games.tables import load
from tests.games import ROCK_PAPER_SCISSORS, log_softmax, random_game, random_margins, softmax, value_of_deviation

WIDE = np.finfo(np.longdouble).eps < np.finfo(np.float64).eps
SEEDS = st.integers(0, 10_000)
BETAS = st.floats(-4, 1).map(lambda exponent: 10.0**exponent)


def exactly(game, log_policy, beta):
    """Every number of a certificate (β > 0, no contexts) from its textbook form, in 150 decimal digits."""
    with decimal.localcontext(prec=150, Emin=-(10**9), Emax=10**9):
        margins = [[Decimal(float(a)) for a in row] for row in np.asarray(game.margins.to_dense())]
        beta, zero = Decimal(beta), Decimal(0)

        def normal(logits):
            total = sum((x.exp() for x in logits), zero).ln()
            return [x - total for x in logits]

        log_pi, log_mu = (
            normal([Decimal(float(x)) for x in np.asarray(v, float)]) for v in (log_policy, game.log_reference)
        )
        pi = [x.exp() for x in log_pi]
        q = [sum((a * p for a, p in zip(row, pi, strict=True)), zero) for row in margins]
        log_response = normal([m + x / beta for m, x in zip(log_mu, q, strict=True)])

        def kl(log_q):
            return sum((p * (a - b) for p, a, b in zip(pi, log_pi, log_q, strict=True)), zero)

        away = [a - b for a, b in zip(log_pi, log_mu, strict=True)]
        half_gap = beta * kl(log_response)
        return Certificate(
            beta=float(beta),
            suboptimality=float(half_gap),
            duality_gap=float(2 * half_gap),
            residual=float(max(abs(a - b) for a, b in zip(log_pi, log_response, strict=True))),
            exploitability=float(max(q)),
            bias=float(beta * (max(away) - kl(log_mu))),
            kl_bound=float(half_gap / beta),
        )


def check(found, expected, rel=1e-12):
    for name in Certificate._fields:
        assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=rel, abs=1e-300), name


@given(SEEDS, st.sampled_from([2, 3, 7, 25]), BETAS, st.sampled_from([0.0, 1.0, 30.0, 3000.0]))
@settings(max_examples=60, deadline=None)
def test_every_number_agrees_with_150_digits(seed, n, beta, spread):
    """Also where probabilities of the policy, the reference or the best response underflow."""
    rng = np.random.default_rng(seed)
    game = random_game(rng, n, beta, spread=rng.choice([1.0, 50.0]))
    log_policy = log_softmax(spread * rng.normal(size=n))
    found, expected = certify(game, log_policy), exactly(game, log_policy, beta)
    for name in ("suboptimality", "duality_gap", "residual", "kl_bound"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=1e-12, abs=1e-130), name
    # These two are differences, known to the rounding of their terms.
    assert found.exploitability == pytest.approx(max(expected.exploitability, 0), rel=1e-12, abs=1e-18)
    assert found.bias == pytest.approx(expected.bias, rel=1e-12, abs=2e-18 * beta * (1 + spread))


@pytest.mark.skipif(not WIDE, reason="this host has no floats wider than float64")
@pytest.mark.parametrize("exponent", [-2, -6, -10, -13, -14])
def test_a_small_gap_keeps_its_relative_accuracy(exponent):
    rng = np.random.default_rng(-exponent)
    for n, beta in ((3, 0.05), (20, 0.1), (40, 1.0)):
        game = random_game(rng, n, beta)
        log_policy = log_softmax(equilibrium(game).log_policy + 10.0**exponent * rng.normal(size=n))
        found, expected = certify(game, log_policy), exactly(game, log_policy, beta)
        if exponent == -14:
            assert expected.suboptimality < 1e-27
        check(found, expected, rel=max(1e-12, 1e-17 * 10.0**-exponent))


def test_a_gap_is_never_negative_at_rounding():
    rng = np.random.default_rng(5)
    for beta in (3.0, 0.3, 0.01):
        game = random_game(rng, 30, beta)
        star = equilibrium(game).log_policy
        for _ in range(20):
            found = certify(game, star + 1e-16 * rng.normal(size=30))
            assert 0 <= found.suboptimality < 1e-24


@pytest.mark.parametrize("far", [-5000.0, -20_000.0])
def test_an_action_whose_probability_underflows(far):
    """By hand: π = (1, e^−5000, 0), opponent-free margins; the second action beats the first by ½.

    e^−20,000 is 0 and e^20,000 beyond every number, also in floats of 80 bits.
    """
    margins = np.array([[0, -0.5, 0.2], [0.5, 0, 0], [-0.2, 0, 0]])
    for beta in (1.0, 1e-2, 1e-5):
        game = make_game(margins, beta=beta)
        log_policy = np.array([0.0, far, -9000.0])
        found = certify(game, log_policy)
        # log BR = q/β − log Σ e^{q/β} with q = (0, ½, −0.2).
        log_total = 0.5 / beta + np.log1p(np.exp(-0.5 / beta) + np.exp(-0.7 / beta))
        assert found.suboptimality == pytest.approx(beta * log_total, rel=1e-14)
        log_response = np.array([0, 0.5 / beta, -0.2 / beta]) - log_total
        assert found.residual == pytest.approx(np.max(np.abs(log_policy - log_response)), rel=1e-14)
        assert found.exploitability == 0.5
        assert found.bias == pytest.approx(0, abs=1e-15)
        check(found, exactly(game, log_policy, beta)._replace(bias=found.bias))


def test_a_reference_that_gives_an_action_almost_nothing():
    log_mu = np.array([np.log(0.5), np.log(0.5), -3000.0])
    game = make_game(ROCK_PAPER_SCISSORS, beta=1e-4, log_reference=log_mu)
    log_policy = np.array([np.log(0.5), np.log(0.5), -1.0e4])
    # q = (¼, −¼, 0): the first action takes all of the best response, and log BR of the second is −½/β.
    found = certify(game, log_policy)
    assert found.suboptimality == pytest.approx(1e-4 * (np.log(0.5) + 2500), rel=1e-14)
    check(found, exactly(game, log_policy, 1e-4)._replace(bias=found.bias))


@given(SEEDS, st.sampled_from([2, 3, 5]), st.floats(-1.5, 0.5).map(lambda exponent: 10.0**exponent))
@settings(max_examples=25, deadline=None)
@example(8595, 3, 10.0**-1.25)
def test_the_suboptimality_is_the_best_that_any_deviation_reaches(seed, n, beta):
    rng = np.random.default_rng(seed)
    game, log_policy = random_game(rng, n, beta), log_softmax(rng.normal(size=n))
    found, policy = certify(game, log_policy), np.exp(log_policy)
    others = [softmax(scale * rng.normal(size=n)) for scale in (0.1, 1, 10) for _ in range(50)]
    others += list(np.eye(n)) + [softmax(np.log(policy) + 0.01 * rng.normal(size=n)) for _ in range(50)]
    assert max(value_of_deviation(game, other, policy) for other in others) <= found.suboptimality + 1e-13
    # A first step may overshoot to where softmax is flat: other starts do not.
    nearest = sorted(others, key=lambda other: -value_of_deviation(game, other, policy))[:4]
    best = max(
        -optimize.minimize(
            lambda logits: -value_of_deviation(game, softmax(logits), policy),
            start,
            method="BFGS",
            options={"gtol": 1e-9},
        ).fun
        for start in (np.asarray(game.log_reference), np.log(policy), *(np.log(other + 1e-6) for other in nearest))
    )
    assert best == pytest.approx(found.suboptimality, rel=1e-6, abs=1e-9)


@given(SEEDS, st.sampled_from([2, 7, 200]), st.floats(-3, 0).map(lambda exponent: 10.0**exponent))
@settings(max_examples=25, deadline=None)
def test_the_metrics_say_the_same(seed, n, beta):
    rng = np.random.default_rng(seed)
    game = random_game(rng, n, beta)
    log_policy = log_softmax(2 * rng.normal(size=n))
    with Precision().scope():
        placed = jax.tree.map(jnp.asarray, game)
        advantage = placed.advantage(jnp.asarray(log_policy))
        known = metrics.measure(metrics.Seen(placed, jnp.asarray(log_policy), advantage, jnp.asarray(log_policy)))
        found = certify(placed, jnp.asarray(log_policy))
    assert found.suboptimality == pytest.approx(float(known["suboptimality"]), rel=1e-9)
    assert found.duality_gap == 2 * found.suboptimality
    assert found.exploitability == pytest.approx(max(float(known["exploitability"]), 0), abs=1e-14)
    kl_to_reference = float(known["kl_to_reference"])
    assert found.bias == pytest.approx(
        beta * (np.max(log_policy - game.log_reference) - kl_to_reference), rel=1e-9, abs=1e-12
    )


@pytest.mark.parametrize("beta", [3.0, 0.3, 0.03, 0.003])
def test_at_the_equilibrium_the_exploitability_is_the_bias(beta):
    rng = np.random.default_rng(1)
    for n in (2, 10, 60):
        game = random_game(rng, n, beta)
        found = certify(game, equilibrium(game).log_policy)
        assert found.exploitability == pytest.approx(found.bias, abs=1e-13)
        assert found.residual <= 1e-12
        assert found.suboptimality <= beta * found.residual**2


def test_away_from_the_equilibrium_exploitability_and_bias_are_numbers_of_two_origins():
    game = make_game(ROCK_PAPER_SCISSORS, beta=0.5)
    found = certify(game, np.log([0.5, 0.3, 0.2]))
    assert found.exploitability == pytest.approx(0.5 * (0.5 - 0.3), abs=1e-15)
    assert found.bias == pytest.approx(
        0.5 * (np.log(1.5) - np.log(3) - (0.5 * np.log(0.5) + 0.3 * np.log(0.3) + 0.2 * np.log(0.2)))
    )


def test_kl_bound_is_above_the_kl_to_the_equilibrium(rng):
    for beta in (1.0, 0.1, 0.02):
        game = random_game(rng, 12, beta)
        star = equilibrium(game).log_policy
        for scale in (1e-3, 0.1, 1.0):
            log_policy = log_softmax(star + scale * rng.normal(size=12))
            kl = float(np.sum(np.exp(log_policy) * (log_policy - star)))
            assert kl <= certify(game, log_policy).kl_bound


@pytest.mark.parametrize("beta", [0, 0.0, -0.0])
def test_at_beta_zero_the_original_game_is_judged(beta):
    third = np.log(np.full(3, 1 / 3))
    with np.errstate(divide="ignore"):
        rock = np.log(np.array([1.0, 0, 0]))
        half = np.log(np.array([0.5, 0.5, 0]))
    game = make_game(ROCK_PAPER_SCISSORS)
    assert certify(game, third, beta) == Certificate(0, 0, 0, 0, 0, 0, math.inf)
    # Scissors, at place 2, beat rock by ½: rock's regret is all of it. Against half and half paper is worth −¼.
    assert certify(game, rock, beta) == Certificate(0, 0.5, 1.0, 0.5, 0.5, 0, math.inf)
    assert certify(game, half, beta) == Certificate(0, 0.25, 0.5, 0.5, 0.25, 0, math.inf)
    # An action that loses and is not played has no regret: half and half of the two that draw is an equilibrium.
    loser = make_game(np.array([[0, 0, 0.3], [0, 0, 0.3], [-0.3, -0.3, 0]]))
    assert certify(loser, half, beta) == Certificate(0, 0, 0, 0, 0, 0, math.inf)


def test_beta_zero_is_the_limit_of_small_beta(rng):
    game = make_game(random_margins(rng, 8))
    log_policy = log_softmax(rng.normal(size=8))
    limit, near = certify(game, log_policy, 0), certify(game, log_policy, 1e-9)
    assert near.suboptimality == pytest.approx(limit.suboptimality, abs=1e-7)
    assert near.beta * near.residual == pytest.approx(limit.residual, abs=1e-7)
    assert near.exploitability == limit.exploitability


def test_an_action_never_played_is_exact_and_has_no_finite_residual():
    with np.errstate(divide="ignore"):
        log_policy = np.log(np.array([0.25, 0.75, 0]))
    game = make_game(ROCK_PAPER_SCISSORS, beta=0.2)
    found, near = certify(game, log_policy), certify(game, np.array([np.log(0.25), np.log(0.75), -800.0]))
    assert found.residual == math.inf
    assert np.allclose(found._replace(residual=0), near._replace(residual=0), rtol=1e-14)


def test_contexts_are_averaged_by_weight_and_the_residual_is_their_maximum(rng):
    margins = np.stack([random_margins(rng, 6) for _ in range(3)])
    references = np.stack([log_softmax(rng.normal(size=6)) for _ in range(3)])
    weights = np.array([0.5, 0.3, 0.2])
    log_policy = np.stack([log_softmax(rng.normal(size=6)) for _ in range(3)])
    for beta in (0.2, 0.0):
        together = certify(make_game(margins, log_reference=references, weights=weights), log_policy, beta)
        apart = [
            certify(make_game(a, log_reference=m), p, beta)
            for a, m, p in zip(margins, references, log_policy, strict=True)
        ]
        for name in Certificate._fields:
            values = np.array([getattr(one, name) for one in apart])
            expected = values.max() if name in ("residual", "beta") else weights @ values
            assert getattr(together, name) == pytest.approx(expected, rel=1e-14), name


def test_float32_margins_and_policies_are_read_as_they_are(rng):
    game = random_game(rng, 40, 0.1)
    single = game.replace(
        margins=DenseMargins(np.asarray(game.margins.to_dense(), np.float32)),
        log_reference=game.log_reference.astype(np.float32),
    )
    log_policy = log_softmax(rng.normal(size=40)).astype(np.float32)
    check(certify(single, log_policy), exactly(single, log_policy, 0.1))


def test_a_product_of_many_blocks_makes_no_second_matrix(monkeypatch, rng):
    margins = random_margins(rng, 50)
    game, log_policy = make_game(margins, beta=0.05), log_softmax(rng.normal(size=50))
    whole = certify(game, log_policy)
    for block in (1, 150, 49 * 50):
        monkeypatch.setattr("nashgames.exact.certificate._BLOCK", block)
        assert certify(game, log_policy) == whole


def test_castles_is_certified_where_probabilities_underflow():
    game = load("castles")
    log_policy = log_softmax(np.linspace(0, -6000, game.actions))
    found = certify(game, log_policy, 1e-4)
    q = np.asarray(game.margins.to_dense()) @ np.exp(log_policy)
    kl_to_mu = np.exp(log_policy) @ (log_policy + np.log(game.actions))
    textbook = 1e-4 * (np.logaddexp.reduce(q / 1e-4) - np.log(game.actions) + kl_to_mu)
    assert found.suboptimality == pytest.approx(textbook, rel=1e-10)
    assert found.exploitability == pytest.approx(q.max(), rel=1e-13)


@pytest.mark.parametrize(
    ("log_policy", "beta", "sentence"),
    [
        ([0.0, -1.0], None, r"log_policy has shape \(2,\); this game needs \(3,\)"),
        ([[0.0, -9.0, -9.0]], None, r"shape \(1, 3\); this game needs \(3,\)"),
        ([np.nan, -1.0, -1.0], None, r"log_policy\[0\] is nan; accepted: log-probabilities, −inf"),
        ([-1.0, -1.0, np.inf], None, r"log_policy\[2\] is inf"),
        ([0.5, 0.25, 0.25], None, r"the sum of exp\(log_policy\) is 4\.21677; accepted: 1"),
        ([-np.inf] * 3, None, r"the sum of exp\(log_policy\) is 0; accepted: 1"),
        (["a", "b", "c"], None, "cannot be read as numbers"),
        (np.log(np.full(3, 1 / 3)), -0.1, r"beta is -0\.1; accepted: a finite number of at least 0"),
        (np.log(np.full(3, 1 / 3)), math.nan, "beta is nan; accepted"),
        (np.log(np.full(3, 1 / 3)), "x", "beta is x; accepted"),
    ],
)
def test_what_is_no_policy_is_refused(log_policy, beta, sentence):
    with pytest.raises(NashGamesError, match=sentence):
        certify(make_game(ROCK_PAPER_SCISSORS), log_policy, beta)
