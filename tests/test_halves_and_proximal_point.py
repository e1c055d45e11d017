"""Nash-MP by halves and the proximal-point loop, against Nash-MP itself, NumPy, and the exact inner equilibrium."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nashgames as ng
from nashgames.core.precision import Precision
from nashgames.solvers import Halves, NashMP, ProximalPoint, hyperparameters, make_solver, selection_of
from tests.games import arrays, compiled, log_softmax, random_game


@compiled
def _iterates(solver, game):
    """log π after each of 300 updates, with the advantage that the solver keeps, and those at the start before them."""

    def kept(state):
        return solver.log_policy(state), solver.advantage(state)

    def step(state, number):
        state = solver.update(game, state, jax.random.key(0))
        return state, kept(state)

    start = solver.init(game, jax.random.key(0))
    later = jax.lax.scan(step, start, length=300)[1]
    return jax.tree.map(lambda first, rows: jnp.concatenate([first[None], rows]), kept(start), later)


def iterates(game, solver, steps, dtype="float64"):
    """log π and Aπ at the start and after every update."""
    with Precision(dtype).scope():
        given = arrays((make_solver(solver).with_theory_defaults(game.beta), game), dtype)
        return [np.asarray(rows)[: steps + 1] for rows in _iterates(*given)]


def prox(game, log_policy, log_reference, opponent, temperature, step):
    q = game.margins.values @ np.exp(opponent)
    return log_softmax((log_policy + step * (log_reference + q / temperature)) / (1 + step))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_every_other_half_is_nash_mp_and_costs_what_it_costs(rng, dtype):
    game = random_game(rng, 3, 0.1)
    halves = iterates(game, "halves[nash-mp]", 40, dtype)
    whole = iterates(game, "nash-mp", 20, dtype)
    # Two programs may round differently, by a few units of the last place.
    epsilon = float(np.finfo(dtype).eps)
    np.testing.assert_allclose(halves[0][::2], whole[0], rtol=20 * epsilon)
    np.testing.assert_allclose(halves[1][::2], whole[1], atol=20 * epsilon)
    assert make_solver("halves[nash-mp]").queries_per_step * 2 == make_solver("nash-mp").queries_per_step


def test_the_odd_ones_are_the_half_steps(rng):
    game = random_game(rng, 3, 0.2)
    path, advantages = iterates(game, "halves[nash-mp[eta=0.3]]", 20)
    np.testing.assert_allclose(advantages, np.exp(path) @ game.margins.values.T, atol=1e-15)
    for k in range(10):
        half = prox(game, path[2 * k], game.log_reference, path[2 * k], 0.2, 0.3)
        np.testing.assert_allclose(path[2 * k + 1], half, atol=1e-13)
        whole = prox(game, path[2 * k], game.log_reference, half, 0.2, 0.3)
        np.testing.assert_allclose(path[2 * k + 2], whole, atol=1e-13)


def test_halves_are_selected_by_name_and_only_of_nash_mp():
    solver = make_solver("halves[nash-mp[eta=0.3]]")
    assert solver == Halves(NashMP(eta=0.3))
    assert (solver.name, selection_of(solver)) == ("halves[nash-mp]", "halves[nash-mp[eta=0.3]]")
    assert hyperparameters(solver) == {"eta": 0.3}
    assert hyperparameters(make_solver("halves[nash-mp]").with_theory_defaults(0.1)) == {"eta": 0.2}
    for wrong in ("halves[online-ipo]", "halves[halves[nash-mp]]"):
        with pytest.raises(ng.NashGamesError, match=r"which has no half steps; write halves\[nash-mp\]"):
            make_solver(wrong)
    for wrong in ("halves", "halves[nash-mp,nash-mp]", "halves[eta=1]"):
        with pytest.raises(ng.NashGamesError, match=r"halves wraps one solver, and .* write halves\[nash-mp"):
            make_solver(wrong)
    with pytest.raises(ng.NashGamesError, match="did you mean 'halves'"):
        make_solver("halvs[nash-mp]")


def test_with_a_long_inner_loop_an_outer_step_is_the_exact_equilibrium_of_its_game(rng):
    game, eta = random_game(rng, 3, 0.1), 0.5
    star, mu = ng.equilibrium(game).log_policy, np.asarray(game.log_reference)
    path = iterates(game, f"proximal-point[eta={eta},inner=100]", 300)[0]
    for k in range(3):
        before, after = path[100 * k], path[100 * (k + 1)]
        anchor = log_softmax((eta * mu + before) / (1 + eta))
        exact = ng.equilibrium(game.replace(beta=0.1 * (1 + 1 / eta), log_reference=anchor)).log_policy
        np.testing.assert_allclose(after, exact, atol=1e-11)
        # (1+η) KL(π*‖π') + η KL(π'‖π*) + KL(π'‖π) = KL(π*‖π): an identity of the exact method.
        left = (1 + eta) * np.exp(star) @ (star - after)
        left += eta * np.exp(after) @ (after - star) + np.exp(after) @ (after - before)
        assert left == pytest.approx(np.exp(star) @ (star - before), rel=1e-8)


def test_the_defaults_lose_at_most_a_tenth_of_the_outer_step():
    for beta in (2.0, 0.1, 0.001):
        for text in ("proximal-point", "proximal-point[eta=0.01]", "proximal-point[eta=100]"):
            solver = make_solver(text).with_theory_defaults(beta)
            per_step = 1 + 2 * beta * (1 + 1 / solver.eta)
            assert per_step**-solver.inner <= 0.1 < per_step ** -(solver.inner - 1)
    assert make_solver("proximal-point").with_theory_defaults(0.1) == ProximalPoint(eta=1.0, inner=7)
