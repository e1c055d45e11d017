"""Optimisers against their formulas written by hand, and every option against what it must change."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nashgames.core.precision import Precision
from nashgames.engine.batch import Batch, Lane
from nashgames.engine.settings import Settings
from nashgames.errors import NashGamesError
from nashgames.games.families import generate
from nashgames.learning.optimisers import OPTIMISERS, SCHEDULES
from nashgames.solvers import compose, make_solver


def path(text, gradients, step=0.5, dtype="float64"):
    """θ_t from θ_0 = (1, −2) under given gradients, with every number of the optimiser traced."""
    with Precision(dtype).scope():
        optimiser = jax.tree.map(
            lambda leaf: jnp.asarray(leaf, None if isinstance(leaf, int) else dtype), OPTIMISERS.make(text)
        )
        parameters = {"w": jnp.asarray([1.0, -2.0], dtype)}
        state = optimiser.init(parameters)
        ascend = jax.jit(lambda o, g, s, p: o.ascend(g, s, p, jnp.asarray(step, dtype)))
        found = []
        for gradient in gradients:
            parameters, state = ascend(optimiser, {"w": jnp.asarray(gradient, dtype)}, state, parameters)
            assert parameters["w"].dtype == dtype
            found.append(np.asarray(parameters["w"]))
    return np.stack(found)


GRADIENTS = np.random.default_rng(3).normal(size=(6, 2))
START = np.array([1.0, -2.0])


def test_sgd_is_plain_ascent():
    np.testing.assert_allclose(path("sgd", GRADIENTS), START + 0.5 * np.cumsum(GRADIENTS, axis=0), atol=1e-14)


def test_momentum_keeps_a_share_of_the_direction():
    direction, theta, wanted = np.zeros(2), START, []
    for gradient in GRADIENTS:
        direction = gradient + 0.9 * direction
        theta = theta + 0.5 * direction
        wanted.append(theta)
    np.testing.assert_allclose(path("sgd[momentum=0.9]", GRADIENTS), wanted, atol=1e-14)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_adam_is_the_paper_s_formula(dtype):
    m, v, theta, wanted = np.zeros(2), np.zeros(2), START, []
    for t, gradient in enumerate(GRADIENTS, start=1):
        m, v = 0.8 * m + 0.2 * gradient, 0.99 * v + 0.01 * gradient**2
        theta = theta + 0.5 * (m / (1 - 0.8**t)) / (np.sqrt(v / (1 - 0.99**t)) + 1e-3)
        wanted.append(theta)
    found = path("adam[b1=0.8,b2=0.99,eps=0.001]", GRADIENTS, dtype=dtype)
    np.testing.assert_allclose(found, wanted, atol=1e-5 if dtype == "float32" else 1e-12)


def test_clipping_bounds_the_norm_of_a_gradient():
    moved = np.diff(np.concatenate([[START], path("sgd[clip=0.1]", 100 * GRADIENTS)]), axis=0)
    np.testing.assert_allclose(np.linalg.norm(moved, axis=1), 0.05, atol=1e-12)
    np.testing.assert_allclose(path("sgd[clip=1000]", GRADIENTS), path("sgd", GRADIENTS), atol=1e-14)


@pytest.mark.parametrize(
    ("schedule", "share"),
    [
        ("inverse", lambda t: 1 / (1 + t)),
        ("exponential", lambda t: np.exp(-t)),
        ("linear", lambda t: np.maximum(1 - t, 0)),
        ("cosine", lambda t: (1 + np.cos(np.pi * np.minimum(t, 1))) / 2),
    ],
)
def test_a_schedule_scales_the_step(schedule, share):
    factors = 0.5 * share(np.arange(6) / 4)
    wanted = START + np.cumsum(factors[:, None] * GRADIENTS, axis=0)
    np.testing.assert_allclose(path(f"sgd[schedule={schedule},horizon=4]", GRADIENTS), wanted, atol=1e-13)


def test_a_schedule_has_no_horizon_outside_a_run():
    with pytest.raises(NashGamesError, match="schedule is linear and horizon is not given"):
        path("sgd[schedule=linear]", GRADIENTS)


@pytest.mark.parametrize("asked", ["", ",horizon=30"])
def test_a_schedule_falls_over_the_run_unless_asked(asked):
    """By hand: online IPO on three actions, θ ← θ + a_t F(π)[Aπ − β log(π/μ)] with a_t = a (1 − t/horizon)."""
    game = generate("weighted-cycle", actions=3, seed=0, beta=0.2)
    steps, step, margins = 60, 0.7, np.asarray(game.margins.to_dense())
    solver = compose(make_solver(f"online-ipo[step={step}]"), optimiser=f"sgd[schedule=linear{asked}]")
    unknown, uniform = np.full(3, np.nan), np.full(3, -np.log(3.0))
    batch = Batch([game], [[Lane(solver, 0.2, uniform, unknown, 0)]], Settings(queries=steps, tolerance=0.0))
    while not batch.finished:
        batch.advance()
    logits, horizon = np.zeros(3), 30 if asked else steps
    for t in range(steps):
        policy = np.exp(logits) / np.exp(logits).sum()
        pull = margins @ policy - 0.2 * np.log(3 * policy)
        logits = logits + step * max(1 - t / horizon, 0) * policy * (pull - policy @ pull)
    ((curve,),) = batch.curves()
    np.testing.assert_allclose(np.exp(curve.log_policy), np.exp(logits) / np.exp(logits).sum(), atol=1e-12)


def test_every_schedule_is_named():
    assert set(SCHEDULES) == {"constant", "inverse", "exponential", "linear", "cosine"}


@pytest.mark.parametrize("text", ["sgd", "sgd[momentum=0.5,clip=2]", "adam[schedule=cosine,horizon=50,average=0.9]"])
def test_an_optimiser_selects_itself_again(text):
    assert OPTIMISERS.text(OPTIMISERS.make(text)) == text
    assert OPTIMISERS.make(text) == OPTIMISERS.make(OPTIMISERS.text(OPTIMISERS.make(text)))


def test_the_registry_has_their_names():
    assert all(kind.name == name for name, kind in OPTIMISERS.items())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("adm", ["adm", "did you mean 'adam'"]),
        ("sgd[lr=1]", ["lr"]),
        ("sgd[momentum=1]", ["sgd[momentum] is 1", "below 1"]),
        ("sgd[clip=0]", ["sgd[clip] is 0", "above 0"]),
        ("adam[schedule=cos]", ["schedule", "did you mean 'cosine'"]),
        ("adam[horizon=5]", ["adam[horizon] is 5", "schedule"]),
        ("adam[schedule=linear,horizon=0]", ["adam[horizon] is 0"]),
        ("adam[average=nan]", ["adam[average] is nan"]),
    ],
)
def test_a_mistake_is_one_sentence(text, words):
    with pytest.raises(NashGamesError) as caught:
        OPTIMISERS.make(text)
    assert all(word in str(caught.value) for word in words), caught.value
    assert "\n" not in str(caught.value)
