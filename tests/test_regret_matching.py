"""Regret matching+ and fictitious play: whose last iterate converges, whose mean, and how fast."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linprog

from nashgames.core.game import make_game
from nashgames.core.precision import Precision
from nashgames.engine.settings import Settings
from nashgames.learning.feedback import Duels
from nashgames.solvers import make_solver, regrets
from tests.games import arrays, lane, random_game, random_margins, value_of_deviation
from tests.games import played as in_the_engine

RM, PRM = "regret-matching-plus", "predictive-regret-matching-plus"
SPRM, EXRM = "smooth-predictive-regret-matching-plus", "extragradient-regret-matching-plus"
CYCLE = np.array([[0, -0.4, 0.3], [0.4, 0, -0.4], [-0.3, 0.4, 0]])
WINNER = np.array([4, 3, 4]) / 11
STARTS = np.log([[1 / 3, 1 / 3, 1 / 3], [0.6, 0.3, 0.1], [0.1, 0.1, 0.8]])


# JAX may take two solvers of one structure for each other (jaxlib 0.10): their class tells them apart.
@functools.partial(jax.jit, static_argnames=("steps", "kind"))
def _run(solver, game, steps, kind):
    def step(state, key):
        state = solver.update(game, state, key)
        return state, (solver.log_policy(state), getattr(state, "regrets", jnp.zeros(())))

    return jax.lax.scan(step, solver.init(game, jax.random.key(0)), jax.random.split(jax.random.key(1), steps))[1]


def played(text, game, steps, dtype="float64"):
    """Policies π_1 … π_steps in probabilities, and the regrets of a method that has them."""
    with Precision(dtype).scope():
        solver, game = arrays((make_solver(text).with_theory_defaults(float(game.beta)), game), dtype)
        log_policies, held = _run(solver, game, steps, type(solver))
        return np.exp(np.asarray(log_policies)), np.asarray(held)


def by_highs(margins):
    """An equilibrium of the original game: max v with Σ_i p_i A_ij ≥ v for every j."""
    n = len(margins)
    found = linprog(
        np.append(np.zeros(n), -1.0),
        A_ub=np.column_stack([-margins.T, np.ones(n)]),
        b_ub=np.zeros(n),
        A_eq=np.append(np.ones(n), 0.0)[None],
        b_eq=[1.0],
        bounds=[(0, None)] * n + [(None, None)],
    )
    assert found.status == 0
    return found.x[:n] / found.x[:n].sum()


def exploitability(margins, policies):
    return (policies @ margins.T).max(axis=-1)


def test_the_projection_is_the_nearest_point_by_its_optimality_conditions(rng):
    """R ≥ 0, Σ R ≥ n and R − v = θ1 + ν with θ, ν ≥ 0, θ (Σ R − n) = 0 and ν R = 0."""
    n = 6
    points = rng.normal(size=(200, n)) * rng.choice([0.1, 3.0], size=(200, 1)) + rng.choice([-5, 0, 1, 5], (200, 1))
    with Precision().scope():
        found = np.asarray(regrets.chopped(jnp.asarray(points)))
    lifted = np.where(found > 0, found - points, np.inf).min(axis=-1, keepdims=True)
    assert (found >= 0).all()
    assert (found.sum(axis=-1) >= n * (1 - 1e-12)).all()
    assert (lifted > -1e-12).all()
    np.testing.assert_allclose(np.where(found > 0, found - points - lifted, 0), 0, atol=1e-12)
    assert (points + lifted <= 1e-12)[found == 0].all()
    at_the_edge = lifted[:, 0] > 1e-9
    np.testing.assert_allclose(found[at_the_edge].sum(axis=-1), n, rtol=1e-12)
    assert 0 < at_the_edge.sum() < len(points)


@pytest.mark.parametrize("start", STARTS, ids=str)
@pytest.mark.parametrize("name", [SPRM, EXRM])
def test_the_last_iterate_of_the_chopped_forms_reaches_the_winner_of_the_cycle(name, start):
    policies, _ = played(name, make_game(CYCLE).replace(log_start=start), 3000)
    np.testing.assert_allclose(policies[-1], WINNER, atol=1e-12)


@pytest.mark.parametrize("start", STARTS, ids=str)
@pytest.mark.parametrize("name", [RM, PRM])
def test_the_last_iterate_of_the_plain_forms_cycles_and_its_mean_converges(name, start):
    """With R_0 = 0 no iterate comes near, where the mean does; the bound of the docstring holds at every T."""
    policies, held = played(name, make_game(CYCLE).replace(log_start=start), 3000)
    ends = exploitability(CYCLE, policies)
    assert 0.05 < ends[-1000:].min() < ends[-1000:].max() < 0.25
    assert np.abs(policies[-1000:] - WINNER).max(axis=-1).min() > 0.05
    steps = np.arange(1, 3001)
    before = np.concatenate([np.exp(start)[None], policies[:-1]])
    means = np.cumsum(before, axis=0) / steps[:, None]
    assert (exploitability(CYCLE, means) <= np.linalg.norm(held, axis=-1) / steps + 1e-12).all()
    np.testing.assert_allclose(means[-1], WINNER, atol=0.02)
    if name == RM:
        assert (np.linalg.norm(held, axis=-1) <= 0.5 * np.sqrt(3 * steps)).all()
        assert (np.diff(np.linalg.norm(held, axis=-1)) >= -1e-12).all()
    averaged, _ = played(f"average[{name}]", make_game(CYCLE).replace(log_start=start), 3000)
    np.testing.assert_allclose(averaged, np.cumsum(policies, axis=0) / steps[:, None], atol=1e-13)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("name", [f"{SPRM}[step=1.5]", f"{EXRM}[step=3]"])
def test_the_equilibrium_of_highs_is_the_limit_of_the_chopped_forms_and_rests(name, seed):
    """In games where not every action is played, so that policies end in exact zeros."""
    margins = random_margins(np.random.default_rng(seed), 6, 4.0)
    star = by_highs(margins)
    assert (star == 0).any()
    policies, _ = played(name, make_game(margins), 6000)
    np.testing.assert_allclose(policies[-1], star, atol=1e-9)
    assert (policies[-1] == 0).any()
    with np.errstate(divide="ignore"):
        rested, _ = played(name, make_game(margins).replace(log_start=np.log(star)), 100)
    np.testing.assert_allclose(rested, np.tile(star, (100, 1)), atol=1e-10)


@pytest.mark.parametrize("n", [3, 9, 21])
def test_the_regrets_of_the_extragradient_come_nearer_to_an_equilibrium_by_what_is_derived(n):
    """‖R_{t+1} − nπ*‖² ≤ ‖R_t − nπ*‖² − (1 − a²L²) ‖R_{t+½} − R_t‖² for a = 1/(2L), L = ‖A‖/√n; so at π/√n too."""
    rng = np.random.default_rng(n)
    margins = random_margins(rng, n, 4.0)
    star, norm = by_highs(margins), np.linalg.norm(margins, 2)
    assert norm <= 0.5 / np.tan(np.pi / (2 * n)) < n / np.pi
    for step in (0.5 * np.sqrt(n) / norm, np.pi / np.sqrt(n)):
        _, held = played(f"{EXRM}[step={step}]", make_game(margins), 200)
        distance = np.sum((held - n * star) ** 2, axis=-1)
        assert (np.diff(distance) <= 1e-12).all()
        policies = held[:-1] / held[:-1].sum(axis=-1, keepdims=True)
        with Precision().scope():
            half = np.asarray(regrets.chopped(jnp.asarray(held[:-1] + step * policies @ margins.T)))
        gained = (1 - (step * norm) ** 2 / n) * np.sum((half - held[:-1]) ** 2, axis=-1)
        assert (np.diff(distance) <= -gained + 1e-12).all()
        assert gained[0] > 1e-4


def test_no_skew_matrix_of_the_size_has_a_larger_norm_than_the_steps_are_made_for():
    """½ cot(π/2n), which the transitive tournament has."""
    for n in (3, 4, 5):
        places = np.triu_indices(n, 1)
        norms = []
        for signs in np.ndindex(*[2] * len(places[0])):
            margins = np.zeros((n, n))
            margins[places] = np.array(signs) - 0.5
            norms.append(np.linalg.norm(margins - margins.T, 2))
        assert max(norms) == pytest.approx(0.5 / np.tan(np.pi / (2 * n)), rel=1e-12)


@pytest.mark.parametrize(("name", "limit"), [(SPRM, np.pi / np.sqrt(3)), (EXRM, np.pi)])
def test_the_local_limit_of_the_step_is_where_the_large_cycle_turns_away(name, limit):
    """On a circulant game of 41 actions ‖A‖ = ½ cot(π/2n) is attained, and Σ R = n at a start next to uniform."""
    n = 41
    ahead = (np.arange(n)[None] - np.arange(n)[:, None]) % n
    margins = np.where(ahead == 0, 0.0, np.where(ahead <= n // 2, 0.5, -0.5))
    near = np.full(n, 1 / n) * (1 + 1e-6 * np.cos(2 * np.pi * np.arange(n) / n))
    game = make_game(margins).replace(log_start=np.log(near / near.sum()))
    below, above = (
        exploitability(margins, played(f"{name}[step={share * limit}]", game, 100)[0]) for share in (0.97, 1.05)
    )
    assert below[-1] < below[0] < above[0] * 1.1
    assert above[-1] > 5 * above[0]


def test_fictitious_play_reports_its_mean_which_falls_like_the_root_of_the_steps():
    policies, _ = played("fictitious-play", make_game(CYCLE), 20_000)
    ends = exploitability(CYCLE, policies)
    at = np.array([100, 1000, 10_000])
    np.testing.assert_allclose(ends[at - 1] * np.sqrt(at), 0.2, rtol=0.1)
    np.testing.assert_allclose(policies[-1], WINNER, atol=0.01)
    responses = np.diff(policies * np.arange(2, 20_002)[:, None], axis=0)
    np.testing.assert_allclose(np.sort(responses, axis=-1), np.tile([0, 0, 1], (19_999, 1)), atol=1e-9)


@pytest.mark.parametrize("beta", [0.05, 0.5])
def test_smooth_fictitious_play_keeps_its_bound_at_every_step(beta):
    game = random_game(np.random.default_rng(3), 7, beta)
    policies, _ = played("smooth-fictitious-play", game, 300)
    mu = np.exp(game.log_reference)

    def suboptimality(policy):
        response = mu * np.exp(game.margins.values @ policy / beta)
        return value_of_deviation(game, response / response.sum(), policy)

    first = suboptimality(mu)
    found = np.array([suboptimality(policy) for policy in policies])
    steps = np.arange(1, 301)
    assert (found <= (first + np.cumsum(1 / (steps + 1)) / (2 * beta)) / (steps + 1)).all()
    assert found[-1] < found[0] / 10


@pytest.mark.parametrize("name", [RM, PRM, f"{SPRM}[step=0.3]", f"{EXRM}[step=0.3]", "fictitious-play"])
def test_on_duels_the_mean_policy_learns_the_game(name):
    """The value of the estimate is subtracted: it is not 0, as that of the exact advantage is."""
    game = make_game(CYCLE).replace(feedback=Duels(batch=8))
    policies, _ = played(name, game, 4000)
    assert np.isfinite(policies).all()
    np.testing.assert_allclose(policies.mean(axis=0), WINNER, atol=0.06)


def test_the_value_of_an_estimate_is_subtracted():
    with Precision().scope():
        found = regrets.regret(jnp.asarray([0.3, 0.1, -0.4]), jnp.log(jnp.asarray([0.5, 0.5, 0.0])))
    np.testing.assert_allclose(found, [0.1, -0.1, -0.6], atol=1e-15)


@pytest.mark.parametrize("name", [RM, PRM, SPRM, EXRM, "fictitious-play", "smooth-fictitious-play"])
def test_float32_stays_a_policy(name):
    policies, _ = played(name, make_game(random_margins(np.random.default_rng(0), 50)), 300, "float32")
    np.testing.assert_allclose(policies.sum(axis=-1), 1, atol=1e-5)
    assert exploitability(random_margins(np.random.default_rng(0), 50), policies.mean(axis=0)) < 0.05


@pytest.mark.parametrize("name", [RM, "mirror-descent[step=1e300]"])
def test_a_run_on_duels_goes_on_with_exact_zeros_and_ends_with_what_is_no_number(name):
    game = make_game(random_margins(np.random.default_rng(1), 7), beta=0.2)
    one = dataclasses.replace(lane(game, name), feedback=Duels(batch=8))
    curve = in_the_engine([game], [[one]], Settings(queries=40, tolerance=0)).curves()[0][0]
    assert curve.status == ("budget" if name == RM else "diverged")
    assert np.isinf(curve.metrics["kl_to_equilibrium"]).any() == (name == RM)
    assert np.isfinite(curve.metrics["suboptimality"]).all()
