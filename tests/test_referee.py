import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import fsolve

from nashgames.core.game import make_game
from nashgames.errors import NashGamesError
from nashgames.exact.referee import active, equilibrium, equilibrium_path, equilibrium_paths
from nashgames.exact.referee.interior import interior_point
from nashgames.exact.referee.newton import newton, tolerance
from nashgames.exact.referee.system import Matrix
from nashgames.exact.referee.together import newton_together, stacked
from nashgames.games import families, tables
from tests.games import (
    ROCK_PAPER_SCISSORS,
    log_softmax,
    random_game,
    random_margins,
    rps_reference,
    small,
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
    path = list(equilibrium_path(game, [0.01, 0, 3.0, 0.1]))
    assert [found.beta for found in path] == [3.0, 0.1, 0.01, 0.0]
    for found in path:
        alone = equilibrium(game, found.beta)
        np.testing.assert_allclose(found.log_policy, alone.log_policy, atol=1e-11)


@pytest.mark.parametrize(("actions", "beta"), [(1300, 1.0), (1300, 0.1), (1300, 0.01), (300, 1e-3)])
def test_it_finds_the_planted_equilibrium_also_where_the_reference_is_far_from_it(actions, beta):
    game = families.generate("planted-regularised", actions=actions, seed=2, beta=beta)
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


REFERENCES = {
    "uniform": lambda rng, n: np.zeros(n),
    "random": lambda rng, n: rng.normal(size=n),
    "far": lambda rng, n: 20 * rng.normal(size=n),
    "nearly nothing for some": lambda rng, n: np.where(np.arange(n) % 3, rng.normal(size=n), -1e4),
}


@pytest.mark.parametrize("reference", REFERENCES)
@pytest.mark.parametrize("family", families.FAMILIES)
def test_every_family_is_solved_from_beta_10_to_0_alone_and_along_a_path(family, reference, rng):
    defaults = families.FAMILIES[family].default_actions
    actions = 41 if families.FAMILIES[family].takes_actions and defaults == 100 else None
    game = families.generate(family, actions=actions, seed=5, **small(family))
    log_reference = log_softmax(REFERENCES[reference](rng, game.actions))
    game = game.replace(log_reference=np.broadcast_to(log_reference, game.log_reference.shape))
    betas = [1e12, 10, 1, 0.1, 0.01, 1e-3, 1e-4, 1e-5, 0]
    for found in equilibrium_path(game, betas):
        alone = equilibrium(game, found.beta)
        assert found.converged
        assert alone.converged
        np.testing.assert_allclose(np.exp(found.log_policy), np.exp(alone.log_policy), atol=1e-9)


@pytest.mark.parametrize("family", ["random-logits", "tournament", "blotto", "voters", "circulant"])
def test_the_equilibrium_at_beta_0_is_the_limit_of_the_path(family, rng):
    game = families.generate(family, actions=None if family == "blotto" else 21, seed=3)
    game = game.replace(log_reference=log_softmax(rng.normal(size=game.actions)))
    limit = np.exp(equilibrium(game, 0).log_policy)
    distances = [np.abs(np.exp(e.log_policy) - limit).sum() for e in equilibrium_path(game, [1e-4, 1e-5, 1e-6])]
    # π*_β differs from its limit by a multiple of β once the actions outside the support have vanished.
    assert distances[2] < 0.2 * distances[1] < 0.04 * distances[0] + 1e-9
    assert distances[2] < 1e-3


def test_the_limit_of_small_games_with_ties_which_have_many_equilibria():
    for seed in range(60):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(3, 12))
        upper = np.triu(rng.choice([-0.5, -0.25, 0, 0, 0, 0.25, 0.5], size=(n, n)), 1)
        game = make_game(upper - upper.T, log_reference=log_softmax(rng.choice([0, 1, 3]) * rng.normal(size=n)))
        limit, near, nearer = (equilibrium(game, beta) for beta in (0, 1e-6, 1e-7))
        assert limit.converged, seed
        distances = [np.abs(np.exp(found.log_policy) - np.exp(limit.log_policy)).sum() for found in (near, nearer)]
        assert distances[1] < 0.3 * distances[0] + 1e-8, seed


def test_at_beta_0_duplicates_share_as_the_reference_has_them():
    doubled = np.kron(THREE_CYCLE, np.ones((2, 2)))
    reference = np.array([1, 3, 2, 2, 5, 1e-300])
    found = equilibrium(make_game(doubled, log_reference=log_softmax(np.log(reference))), 0)
    policy = np.exp(found.log_policy).reshape(3, 2)
    np.testing.assert_allclose(policy.sum(axis=1), np.array([4, 3, 4]) / 11, atol=1e-12)
    np.testing.assert_allclose(found.log_policy[1] - found.log_policy[0], np.log(3), atol=1e-12)
    np.testing.assert_allclose(found.log_policy[5] - found.log_policy[4], np.log(1e-300 / 5), rtol=1e-12)


def test_at_beta_0_an_action_that_loses_to_the_equilibrium_is_outside():
    margins = np.zeros((4, 4))
    margins[:3, :3] = ROCK_PAPER_SCISSORS
    margins[:3, 3], margins[3, :3] = 0.1, -0.1
    found = equilibrium(make_game(margins), 0)
    np.testing.assert_allclose(np.exp(found.log_policy), [1 / 3, 1 / 3, 1 / 3, 0], atol=1e-13)
    assert found.log_policy[3] == -np.inf
    assert found.residual <= 1e-15


def test_a_game_without_margins_has_the_reference_for_equilibrium(rng):
    game = make_game(np.zeros((5, 5)), log_reference=log_softmax(rng.normal(size=5)))
    for found in equilibrium_path(game, [1.0, 1e-3, 0]):
        np.testing.assert_allclose(found.log_policy, game.log_reference, atol=1e-12)


@pytest.mark.parametrize("beta", [1.0, 0.01, 1e-3, 0])
@pytest.mark.parametrize("family", ["random-logits", "blade-chest", "disc", "tournament"])
def test_a_large_game_is_solved_on_its_live_actions_alike(family, beta, monkeypatch, rng):
    game = families.generate(family, actions=301, seed=1)
    whole = equilibrium(game, beta)
    monkeypatch.setattr(active, "_WHOLE", 50)
    monkeypatch.setattr(active, "_FIRST", 10)
    parts = equilibrium(game, beta)
    if family == "disc" and beta == 0:
        # The disc's singular values fall without a gap to rounding and below: which policies are equilibria is not
        # decided by float64.
        assert parts.residual <= 1e-10
        assert not parts.converged
    else:
        assert parts.converged
        np.testing.assert_allclose(np.exp(parts.log_policy), np.exp(whole.log_policy), atol=1e-10)


@pytest.mark.parametrize("n", [5, 100, 150, 400])
@pytest.mark.parametrize("spread", [0.0, 3.0, 30.0])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_the_system_is_solved_whatever_its_weights_are(n, spread, scale, rng):
    margins, weight = random_margins(rng, n), scale * np.exp(-spread * rng.random(n))
    right, total = rng.normal(size=n), 0.7
    x, y = Matrix(margins).system(weight).solve(right, total, 1e-12)
    bordered = np.block([[np.diag(1 / weight) - margins, np.ones((n, 1))], [np.ones(n), 0.0]])
    expected = np.linalg.solve(bordered, np.append(right, total))
    np.testing.assert_allclose(np.append(x, y), expected, rtol=1e-6, atol=1e-9 * np.abs(expected).max())


def test_actions_of_no_weight_do_not_move(rng):
    weight = np.where(np.arange(200) < 20, 1.0, 0.0)
    x, y = Matrix(random_margins(rng, 200)).system(weight).solve(rng.normal(size=200), 1.0, 1e-10)
    assert np.all(x[20:] == 0)
    assert x.sum() == pytest.approx(1)
    assert np.isfinite(y)


@pytest.mark.parametrize("beta", [0.3, 1e-3, 0.0])
def test_the_interior_point_is_feasible_and_nearly_complementary(beta, rng):
    margins, log_mu = random_margins(rng, 30), log_softmax(rng.normal(size=30))
    policy, slack = interior_point(Matrix(margins), log_mu, beta, 1e-14)
    assert policy.sum() == pytest.approx(1, abs=1e-12)
    assert np.all(policy > 0)
    assert np.all(slack > 0)
    assert policy @ slack <= 30 * 1e-14
    left = slack - (beta * (np.log(policy) - log_mu) - margins @ policy)
    np.testing.assert_allclose(left[policy > 1e-6], left[0] if policy[0] > 1e-6 else left[policy.argmax()], atol=1e-10)


@pytest.mark.parametrize("beta", [-0.1, np.nan, np.inf, 1e-300])
def test_a_beta_below_0_or_not_finite_is_refused(beta, rng):
    with pytest.raises(NashGamesError, match=r"accepted: 0, or a finite number of at least 1e-12"):
        equilibrium(random_game(rng, 4, 1.0), beta)


@pytest.mark.parametrize("betas", [[2.0, 0.3, 0.01, 1e-9, 0.0], [0.04]])
def test_small_games_together_have_the_bits_and_the_systems_that_they_have_alone(betas, rng):
    games = [random_game(rng, 7, 1.0) for _ in range(5)]
    # One whose Newton steps have to be shortened, and one that has no margins.
    games.append(make_game(np.sign(np.asarray(games[0].margins.values)) / 2))
    games.append(make_game(np.zeros((7, 7))))
    for game, path in zip(games, equilibrium_paths(games, betas), strict=True):
        for together, alone in zip(path, equilibrium_path(game, betas), strict=True):
            assert together.converged and together.game is game
            assert np.array_equal(together.log_policy, alone.log_policy)
            assert together[2:6] == alone[2:6] and together.products == alone.products


def test_newton_together_takes_the_steps_that_it_takes_alone(rng):
    """By the system of `newton`, which is made and solved in another library: equal to rounding."""
    games, beta = [random_game(rng, 9, 0.02) for _ in range(20)], 0.02
    every = [Matrix(game.margins) for game in games]
    log_references = [np.asarray(game.log_reference, np.float64) for game in games]
    small = stacked(every, log_references)
    found, residuals = newton_together(small, every, beta, np.stack(log_references), 12)
    shortened = 0
    for game, mu, of_game, residual in zip(games, log_references, found, residuals, strict=True):
        matrix = Matrix(game.margins)
        log_policy, alone = newton(matrix, mu, beta, mu, 12)
        if alone <= tolerance(beta, 9):
            np.testing.assert_allclose(of_game, log_policy, rtol=0, atol=tolerance(beta, 9))
        else:
            assert residual > tolerance(beta, 9)
        shortened += matrix.products > 2 * matrix.solves + 1
    assert shortened


def test_games_that_are_large_or_of_several_sizes_are_not_stacked(rng):
    small, other = (Matrix(random_game(rng, n, 1.0).margins) for n in (4, 5))
    mu = np.full(4, -np.log(4.0))
    assert stacked([small, small], [mu, mu]) is not None
    assert stacked([small, other], [mu, np.full(5, -np.log(5.0))]) is None
