import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import fsolve

from nashgames import generators, tables
from nashgames.game import make_game
from nashgames.referee import equilibrium, equilibrium_path
from tests.games import (
    ROCK_PAPER_SCISSORS,
    log_softmax,
    random_game,
    random_margins,
    rps_reference,
    soccer_reference,
    softmax,
)

THREE_CYCLE = np.array([[0, -0.4, 0.3], [0.4, 0, -0.4], [-0.3, 0.4, 0]])


@pytest.mark.parametrize("value", soccer_reference(), ids=lambda v: f"{v['beta']}-{v['reference'] is not None}")
def test_it_agrees_with_the_logit_equilibria_of_pygambit(value):
    game = tables.load("soccer10").replace(beta=value["beta"])
    if value["reference"] is not None:
        game = game.replace(log_reference=np.log(value["reference"]))
    found = equilibrium(game)
    assert found.converged
    np.testing.assert_allclose(np.exp(found.log_policy), value["equilibrium"], atol=1e-10)


@pytest.mark.parametrize("value", rps_reference()["values"], ids=lambda v: str(v["beta"]))
def test_it_agrees_with_the_published_equilibria_of_perturbed_rock_paper_scissors(value):
    game = make_game(np.array(rps_reference()["preferences"]) - 0.5, beta=value["beta"])
    # The published values have eight digits.
    np.testing.assert_allclose(np.exp(equilibrium(game).log_policy), value["equilibrium"], atol=1e-8)


@pytest.mark.parametrize(
    ("beta", "expected"),
    [
        (1.0, (0.32404, 0.33062, 0.34534)),
        (0.5, (0.31914, 0.32378, 0.35708)),
        (0.1, (0.33714, 0.28346, 0.37940)),
        (0.05, (0.34974, 0.27583, 0.37443)),
        (0.01, (0.36096, 0.27286, 0.36618)),
    ],
)
def test_it_agrees_with_the_three_cycle_of_theory_6(beta, expected):
    found = equilibrium(make_game(THREE_CYCLE, beta=beta))
    np.testing.assert_allclose(np.exp(found.log_policy), expected, atol=6e-6)


def test_it_tends_to_the_original_equilibrium_of_the_three_cycle():
    found = equilibrium(make_game(THREE_CYCLE, beta=1e-5))
    np.testing.assert_allclose(np.exp(found.log_policy), np.array([4, 3, 4]) / 11, atol=1e-5)


@given(st.integers(0, 10_000), st.sampled_from([2, 3, 10, 60, 200]), st.floats(-4, 1), st.sampled_from([0.0, 1.0, 4.0]))
@settings(max_examples=60, deadline=None)
def test_it_is_a_fixed_point_of_the_best_response(seed, n, exponent, spread):
    game = random_game(np.random.default_rng(seed), n, 10.0**exponent, spread)
    found = equilibrium(game)
    policy = np.exp(found.log_policy)
    logits = game.log_reference + game.margins.values @ policy / game.beta
    residual = np.abs(found.log_policy - log_softmax(logits)).max()
    assert found.converged
    assert residual <= 1e-11 + 1e-14 * n / game.beta
    assert found.residual == pytest.approx(residual, rel=0.5, abs=1e-12 / game.beta)


def test_it_agrees_with_a_root_finder_of_another_library(rng):
    margins, log_mu, beta = random_margins(rng, 8), log_softmax(rng.normal(size=8)), 0.2
    logits = fsolve(lambda x: x - log_mu - margins @ softmax(x) / beta, log_mu, xtol=1e-13)
    found = equilibrium(make_game(margins, beta=beta, log_reference=log_mu))
    np.testing.assert_allclose(np.exp(found.log_policy), softmax(logits), atol=1e-12)


def test_a_path_equals_its_points_and_runs_from_large_to_small_beta(rng):
    game = random_game(rng, 20, 1.0)
    path = list(equilibrium_path(game, [0.01, 3.0, 0.1]))
    assert [found.beta for found in path] == [3.0, 0.1, 0.01]
    for found in path:
        alone = equilibrium(game.replace(beta=found.beta))
        np.testing.assert_allclose(found.log_policy, alone.log_policy, atol=1e-11)


@pytest.mark.parametrize(("actions", "beta"), [(1300, 1.0), (1300, 0.1), (1300, 0.01), (300, 1e-3)])
def test_it_finds_the_planted_equilibrium_also_where_the_reference_is_far_from_it(actions, beta):
    game = generators.generate("planted-regularised", actions=actions, seed=2, beta=beta)
    known = game.description.known_equilibrium
    found = equilibrium(game)
    assert found.converged
    np.testing.assert_allclose(np.exp(found.log_policy), np.exp(known.log_policy), atol=1e-12)


def test_float32_margins_are_solved_in_float64(rng):
    margins = random_margins(rng, 30).astype(np.float32)
    single, double = (equilibrium(make_game(m, beta=0.01)) for m in (margins, margins.astype(np.float64)))
    assert single.log_policy.dtype == np.float64
    np.testing.assert_allclose(single.log_policy, double.log_policy, atol=1e-11)


def test_a_dominant_action_takes_all_and_the_rest_stays_exact_in_log_space():
    n, beta = 12, 1e-3
    margins = np.sign(np.subtract.outer(-np.arange(n), -np.arange(n))) * 0.5
    found = equilibrium(make_game(margins, beta=beta))
    assert found.converged
    # Against the winner every other action loses by ½: its log-probability is lower by 1/(2β), beyond underflow.
    np.testing.assert_allclose(found.log_policy[1:] - found.log_policy[0], -0.5 / beta, rtol=1e-12)


def test_contexts_are_solved_apart_and_reported_together(rng):
    margins = np.stack([random_margins(rng, 5), ROCK_PAPER_SCISSORS.repeat(2, 0).repeat(2, 1)[:5, :5]])
    references = np.stack([log_softmax(rng.normal(size=5)) for _ in range(2)])
    both = equilibrium(make_game(margins, beta=0.05, log_reference=references))
    apart = [equilibrium(make_game(margins[x], beta=0.05, log_reference=references[x])) for x in range(2)]
    np.testing.assert_array_equal(both.log_policy, np.stack([one.log_policy for one in apart]))
    assert both.residual == max(one.residual for one in apart)
    assert both.solves == sum(one.solves for one in apart)
