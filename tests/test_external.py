"""The referee against external solvers, other people's programs, and those behind one door."""

import importlib.util
import logging
import sys

import jax
import numpy as np
import pytest
from scipy.optimize import linprog, minimize

from nashgames.core.game import Game, make_game
from nashgames.errors import NashGamesError
from nashgames.exact.external import EXTERNAL_SOLVERS, solve
from nashgames.exact.referee import equilibrium, equilibrium_path
from nashgames.games import families, tables
from nashgames.learning.references import resolve_reference
from tests.games import ROCK_PAPER_SCISSORS, log_softmax, random_margins, soccer_reference, softmax

BETAS = (1.0, 0.3, 0.1, 0.03, 0.01)
GAMES = {
    "random-logits": 50,
    "disc[strength=2]": 30,
    "tournament": 21,
    "planted": 20,
    "mallows": 20,
    "group-transitive": 20,
    "blotto[soldiers=5]": None,
}

FENCE = np.array([[0, 0, -0.4], [0, 0, 0.1], [0.4, -0.1, 0]])
"""Two actions draw; the third beats the first, loses to the second, and is in no equilibrium."""


def needs(package: str) -> pytest.MarkDecorator:
    missing = importlib.util.find_spec(package) is None
    return pytest.mark.skipif(missing, reason=f"{package} is not installed: pip install 'nashgames[external]'")


def dense(game: Game) -> np.ndarray:
    return np.asarray(game.margins.to_dense(), np.float64)


def asked(solver: str, game: Game, beta: float) -> np.ndarray:
    return solve(solver, dense(game), np.asarray(game.log_reference), beta)


def kl(policy: np.ndarray, log_reference: np.ndarray) -> float:
    played = policy > 0
    return float(np.sum(policy[played] * (np.log(policy[played]) - log_reference[played])))


@needs("pygambit")
@pytest.mark.parametrize("reference", ["uniform", "random[scale=2]"])
@pytest.mark.parametrize("name", GAMES)
def test_gambit_and_the_referee_find_the_same_regularised_equilibria(name, reference):
    game = families.generate(name, actions=GAMES[name], seed=1)
    log_mu = resolve_reference(reference, game, seed=1)
    for found in equilibrium_path(game.replace(log_reference=log_mu), BETAS):
        theirs = solve("gambit", dense(game), log_mu, found.beta)
        assert theirs.dtype == np.float64
        np.testing.assert_allclose(np.exp(found.log_policy), theirs, atol=1e-12)
        # The sign of log μ, and that β is 1/λ, without either of the two methods.
        np.testing.assert_allclose(theirs, softmax(log_mu + dense(game) @ theirs / found.beta), atol=1e-12)


@needs("pygambit")
@pytest.mark.parametrize("value", soccer_reference(), ids=lambda v: f"{v['beta']}-{v['reference'] is not None}")
def test_gambit_repeats_its_values_that_are_kept(value):
    game = tables.load("soccer10")
    if value["reference"] is not None:
        game = game.replace(log_reference=np.log(value["reference"]))
    np.testing.assert_allclose(asked("gambit", game, value["beta"]), value["equilibrium"], atol=1e-10)


@pytest.mark.parametrize("method", ["ds", "ipm"])
@pytest.mark.parametrize("name", ["soccer10", "rps-bots", "arxiv-rankers"])
def test_highs_and_the_referee_agree_on_the_value_of_shipped_games(name, method):
    game = tables.load(name)
    found, vertex = equilibrium(game, beta=0), asked(f"highs[method={method}]", game, 0)
    for policy in (np.exp(found.log_policy), vertex):
        assert np.max(dense(game) @ policy) <= 1e-10
    assert found.residual <= 1e-10
    # The referee's equilibrium is the one closest to the reference.
    assert kl(np.exp(found.log_policy), game.log_reference) <= kl(vertex, game.log_reference) + 1e-12
    # An action that every vertex could play is in the support.
    assert np.isfinite(found.log_policy[vertex > 1e-9]).all()


def test_highs_finds_an_equilibrium_of_the_largest_shipped_game_on_the_support_of_the_referee_s():
    """All of castles takes HiGHS minutes, the game among those who play seconds; every action is held against it."""
    game = tables.load("castles")
    found = equilibrium(game, beta=0)
    margins, support = dense(game), np.flatnonzero(np.isfinite(found.log_policy))
    vertex = np.zeros(game.actions)
    vertex[support] = solve("highs", margins[np.ix_(support, support)], game.log_reference[support], 0)
    for policy in (np.exp(found.log_policy), vertex):
        assert np.max(margins @ policy) <= 1e-10


def degenerate_games() -> dict[str, Game]:
    """Games with many equilibria: deployments of equal worth, copied actions, actions that no equilibrium needs."""
    rng = np.random.default_rng(3)
    copied = np.repeat(np.arange(5), [1, 3, 1, 4, 2])
    draws = np.zeros((4, 4))
    draws[:3, 3], draws[3, :3] = 0.3, -0.3
    made = {
        "blotto": families.generate("blotto[soldiers=5]"),
        "blotto[fields=4]": families.generate("blotto[soldiers=4,fields=4]"),
        "group-transitive": families.generate("group-transitive[groups=3]", actions=12),
        "copies": make_game(random_margins(rng, 5)[np.ix_(copied, copied)]),
        "cycles": make_game(np.kron(np.ones((2, 2)), ROCK_PAPER_SCISSORS)),
        "draws": make_game(draws),
        "fence": make_game(FENCE),
    }
    tilted = {
        f"{name} tilted": game.replace(log_reference=log_softmax(rng.normal(size=game.actions)))
        for name, game in made.items()
    }
    return made | tilted


DEGENERATE = degenerate_games()


def least_kl(margins: np.ndarray, log_reference: np.ndarray) -> np.ndarray:
    """The equilibrium least in KL(π‖μ), that is over {Aπ ≤ 0, Σπ = 1, π ≥ 0}, from linear programs and L-BFGS-B.

    The programs say which actions S any equilibrium plays. On those π ∝ μ exp(Ay) for the multipliers y of Aπ ≤ 0
    that minimise log Σ_S μ exp(Ay): of either sign on S, where Aπ = 0 in every equilibrium, and y ≥ 0 elsewhere.
    """
    n = len(margins)
    simplex = {"A_ub": margins, "b_ub": np.zeros(n), "A_eq": np.ones((1, n)), "b_eq": [1.0]}
    corners = [linprog(-np.eye(n)[i], **simplex, method="highs-ds").x for i in range(n)]
    played = np.mean(corners, axis=0) > 1e-9

    def dual(y: np.ndarray) -> tuple[float, np.ndarray]:
        logits = log_reference[played] + margins[played] @ y
        return float(np.logaddexp.reduce(logits)), softmax(logits) @ margins[played]

    bounds = [(None, None) if plays else (0, None) for plays in played]
    options = {"ftol": 0.0, "gtol": 1e-12, "maxiter": 5000, "maxfun": 50_000}
    done = minimize(dual, np.zeros(n), jac=True, bounds=bounds, method="L-BFGS-B", options=options)
    policy = np.zeros(n)
    policy[played] = softmax(log_reference[played] + margins[played] @ done.x)
    assert np.max(margins @ policy) < 1e-6
    return policy


@pytest.mark.parametrize("name", DEGENERATE)
def test_at_beta_zero_the_referee_finds_the_equilibrium_closest_to_the_reference(name):
    game = DEGENERATE[name]
    found = equilibrium(game, beta=0)
    policy = np.exp(found.log_policy)
    assert np.max(dense(game) @ policy) <= 1e-10
    np.testing.assert_allclose(policy, least_kl(dense(game), game.log_reference), atol=1e-6)


def test_at_beta_zero_an_action_that_nobody_plays_can_bound_the_equilibria():
    """The equilibria are (p, 1 − p, 0) with 0.4 p ≤ 0.1 (1 − p): p = ½ is out of reach, p = ⅕ is closest."""
    found = equilibrium(make_game(FENCE), beta=0)
    np.testing.assert_allclose(np.exp(found.log_policy), [0.2, 0.8, 0.0], atol=1e-10)


def test_copies_of_an_action_share_its_probability_as_the_reference_does(rng):
    """RPS with copies: the closest equilibrium gives each class ⅓, spread over its copies in proportion to μ."""
    copied = np.repeat(np.arange(3), [1, 4, 2])
    log_mu = log_softmax(2 * rng.normal(size=7))
    game = make_game(ROCK_PAPER_SCISSORS[np.ix_(copied, copied)], log_reference=log_mu)
    shares = np.exp(log_mu) / np.bincount(copied, np.exp(log_mu))[copied] / 3
    np.testing.assert_allclose(np.exp(equilibrium(game, beta=0).log_policy), shares, atol=1e-12)


@needs("mpax")
def test_mpax_agrees_and_leaves_nothing_behind(rng, capfd, recwarn):
    game = families.generate("planted", actions=30, seed=0)
    root, settings = logging.getLogger(), dict(jax.config.values)
    before = root.handlers[:], root.level
    policy = asked("mpax", game, 0)
    assert (root.handlers, root.level) == before
    assert jax.config.values == settings
    assert capfd.readouterr() == ("", "")
    assert not len(recwarn)
    assert policy.dtype == np.float64
    assert np.max(dense(game) @ policy) <= 1e-7
    # The planted equilibrium is the only one.
    np.testing.assert_allclose(policy, np.exp(equilibrium(game, beta=0).log_policy), atol=1e-4)


@needs("mpax")
def test_mpax_says_when_it_did_not_arrive():
    with pytest.raises(NashGamesError, match=r"did not reach tolerance 1e-12 in .*mpax\[iterations=200\]"):
        asked("mpax[tolerance=1e-12,iterations=100]", families.generate("random-logits", actions=20), 0)


@needs("pygambit")
def test_gambit_says_nothing_to_the_terminal_and_takes_float32(capfd, recwarn):
    game = families.generate("random-logits", actions=5, dtype=np.float32)
    policy = solve("gambit", game.margins.to_dense(), game.log_reference, 0.1)
    assert policy.dtype == np.float64
    assert policy.sum() == pytest.approx(1, abs=1e-15)
    assert capfd.readouterr() == ("", "")
    assert not len(recwarn)


@pytest.mark.parametrize(
    ("solver", "beta", "sentence"),
    [
        ("gambbit", 0.1, r"unknown external solver 'gambbit'; did you mean 'gambit'\?"),
        (
            "gambit",
            0.0,
            "beta is 0, but the external solver 'gambit' answers for beta above 0 only; for beta 0 use highs or mpax",
        ),
        (
            "highs",
            0.1,
            "beta is 0.1, but the external solver 'highs' answers for beta 0 only; for beta above 0 use gambit",
        ),
        ("mpax", 0.1, "'mpax' answers for beta 0 only"),
        ("gambit", -1.0, "beta is -1; accepted: a finite number of at least 0"),
        ("highs", np.nan, "beta is nan; accepted"),
        ("highs[method=simplex]", 0.0, r"highs\[method\] is 'simplex'; accepted: ds, ipm"),
        ("highs[metod=ds]", 0.0, "did you mean 'method'"),
        ("mpax[tolerance=0]", 0.0, r"mpax\[tolerance\] is 0; accepted: a number above 0 and below 1"),
        ("mpax[iterations=0]", 0.0, r"mpax\[iterations\] is 0; accepted: an integer from 1 to 2,147,483,647"),
    ],
)
def test_what_is_not_for_an_external_solver_is_a_sentence(solver, beta, sentence):
    with pytest.raises(NashGamesError, match=sentence):
        solve(solver, ROCK_PAPER_SCISSORS, np.log(np.full(3, 1 / 3)), beta)


def test_a_game_too_large_or_with_contexts_is_a_sentence():
    n = EXTERNAL_SOLVERS["gambit"].most_actions + 1
    with pytest.raises(NashGamesError, match="201 actions, but the external solver 'gambit' is asked for at most 200"):
        solve("gambit", np.zeros((n, n)), np.full(n, -np.log(n)), 0.1)
    with pytest.raises(NashGamesError, match="one context at a time"):
        solve("highs", np.zeros((2, 3, 3)), np.zeros((2, 3)), 0)


@pytest.mark.parametrize(("solver", "package", "beta"), [("gambit", "pygambit", 0.1), ("mpax", "mpax", 0.0)])
def test_a_package_that_is_not_installed_is_a_sentence(monkeypatch, solver, package, beta):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(NashGamesError, match=rf"'{solver}' cannot be imported.*pip install 'nashgames\[external\]'"):
        solve(solver, ROCK_PAPER_SCISSORS, np.log(np.full(3, 1 / 3)), beta)
