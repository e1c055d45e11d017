"""Theorems of the solvers, their limits, defaults and contract; iterates are in test_closed_forms.py."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nashgames.core import metrics, simplex
from nashgames.core.game import make_game
from nashgames.core.precision import Precision
from nashgames.errors import NashGamesError
from nashgames.exact.referee import equilibrium
from nashgames.games.families import generate
from nashgames.learning.steps import stable_step
from nashgames.solvers import (
    SOLVERS,
    Average,
    Halves,
    NashMP,
    NashProx,
    OnlineIPO,
    follows_curvature,
    hyperparameters,
    make_solver,
    selection_of,
    with_theory_defaults,
)
from tests.games import ROCK_PAPER_SCISSORS, arrays, compiled, kl, log_softmax, random_game, random_margins, softmax

TEXTS = [
    "nash-mp",
    "nash-mp[eta=0.07]",
    "nash-prox",
    "nash-prox[eta=0.3,inner=3]",
    "nash-prox[eta=0.2,kappa=0.1]",
    "online-ipo[step=0.4]",
    "mirror-descent",
    "nash-md[step=0.4]",
    "average[mirror-descent]",
    "average[nash-mp]",
]


def _updated(solver, game, state):
    return solver.update(game, state, jax.random.key(0))


@compiled
def _many(solver, game, state, updates):
    return jax.lax.fori_loop(0, updates, lambda _, s: _updated(solver, game, s), state)


def begun(text, game, dtype="float64"):
    """A solver and a game in arrays of this type, and the solver's first state; to be called in that precision."""
    solver, game = arrays((make_solver(text).with_theory_defaults(float(game.beta)), game), dtype)
    return solver, game, solver.init(game, jax.random.key(0))


@pytest.mark.parametrize(
    ("text", "steps"), [("nash-mp", 400), ("mirror-descent", 1500), ("nash-prox", 6000), ("online-ipo", 6000)]
)
def test_the_last_iterate_reaches_the_referees_equilibrium(rng, text, steps):
    """Of two contexts, each on its own; that one alone is played so is in test_closed_forms.py."""
    margins = np.stack([random_margins(rng, 5) for _ in range(2)])
    logits = rng.normal(size=(2, 5))
    game = make_game(margins, beta=0.2, log_reference=logits - np.log(np.exp(logits).sum(-1, keepdims=True)))
    with Precision().scope():
        solver, *begin = begun(text, game)
        found = np.asarray(solver.log_policy(_many(solver, *begin, steps)))
    np.testing.assert_allclose(np.exp(found), np.exp(equilibrium(game).log_policy), atol=1e-8)


@compiled
def _path(solver, game):
    """log π after each of 120 updates, and at the start before them."""

    def step(state, _):
        state = _updated(solver, game, state)
        return state, solver.log_policy(state)

    start = solver.init(game, jax.random.key(0))
    return jnp.concatenate([solver.log_policy(start)[None], jax.lax.scan(step, start, length=120)[1]])


@given(
    st.integers(0, 10_000),
    st.sampled_from([(2, "float32"), (10, "float64"), (200, "float64"), (200, "float32")]),
    st.floats(-3, 0).map(lambda e: 10.0**e),
    st.floats(0.05, 1.0),
)
@settings(max_examples=30, deadline=None)
def test_nash_mp_obeys_every_inequality_of_its_theorem(seed, size, beta, share):
    """Theory §4.1, for every η ≤ 2β: the step, the last iterate, the half step, and at η = 2β the rate by name."""
    n, dtype = size
    rng = np.random.default_rng(seed)
    game = random_game(rng, n, beta).replace(log_reference=log_softmax(rng.normal(size=n)).astype(dtype))
    game = game.replace(margins=type(game.margins)(game.margins.values.astype(dtype)))
    beta, eta = float(np.asarray(beta, dtype)), float(np.asarray(2 * beta * share, dtype))
    game = game.replace(beta=beta)
    with Precision(dtype).scope():
        path = np.asarray(_path(*arrays((Halves(NashMP(eta)), game), dtype)), float)
        halves, wholes = path[1::2], path[::2]
    star = equilibrium(game).log_policy
    margins, log_mu = np.asarray(game.margins.values, float), np.asarray(game.log_reference, float)
    to_star, from_star = kl(halves, star), kl(star, wholes)
    responses = np.array([log_softmax(log_mu + margins @ np.exp(half) / beta) for half in halves])
    # Theory §2: SubOpt_β(π) = β KL(π‖BR_β(π)).
    at_halves = beta * kl(halves, responses)
    # Rounding enters log π at eps/β and a KL as its square: √KL is exact to it.
    noise = 30 * float(np.finfo(dtype).eps) / beta * np.sqrt(n)
    steps = np.arange(60)
    assert np.all(np.sqrt(eta * to_star + (1 + eta) * from_star[1:]) <= np.sqrt(from_star[:-1]) + noise)
    assert np.all(np.sqrt(from_star) <= np.sqrt((1 + eta) ** -np.arange(61.0) / (2 * beta)) + noise)
    bound = (beta + 1 / (4 * beta)) / (2 * beta * eta) * (1 + eta) ** -(steps * 1.0)
    assert np.all(np.sqrt(at_halves) <= np.sqrt(bound) + noise)


@pytest.mark.parametrize("share", [0.5, 1.0, 8.0])
def test_a_step_of_nash_mp_is_an_identity_before_a_term_is_dropped(rng, share):
    """Theory §4.1 (4), for η below and far beyond 2β, where the bracket may have either sign."""
    beta = 0.1
    game, eta = random_game(rng, 10, beta), 2 * beta * share
    star = equilibrium(game).log_policy
    with Precision().scope():
        path = np.asarray(_path(*arrays((Halves(NashMP(eta)), game))))[:13]
    before, halves, after = path[:-1:2], path[1::2], path[2::2]
    bracket = kl(halves, before) - (1 + eta) * kl(halves, after)
    left = eta * kl(halves, star) + (1 + eta) * kl(star, after)
    np.testing.assert_allclose(left, kl(star, before) - bracket, rtol=1e-6, atol=1e-12)
    assert np.all(bracket > 0) or share > 1
    # With a term left out the sides differ visibly.
    assert np.abs(bracket[0]) > 1e-3 * left[0]


INNER = 20_000


@given(st.integers(0, 10_000), st.floats(-2, 1).map(lambda e: 10.0**e))
@settings(max_examples=10, deadline=None)
def test_an_exact_outer_step_of_nash_prox_contracts_for_every_eta(seed, eta):
    """Theory §4.5, with the inner loop run to its end: KL(π*‖π_{k+1}) ≤ KL(π*‖π_k)/(1+η)."""
    game = random_game(np.random.default_rng(seed), 4, 0.2, spread=0.5)
    star = equilibrium(game).log_policy
    current = game.log_reference
    for _ in range(3):
        anchor = log_softmax(eta / (1 + eta) * game.log_reference + 1 / (1 + eta) * current)
        following = equilibrium(game.replace(beta=0.2 * (1 + 1 / eta), log_reference=anchor)).log_policy
        with Precision().scope():
            # Elsewhere than at the reference a run starts only where it is told to.
            started = game.replace(log_start=current)
            inner = simplex.normalise(_many(*begun(f"nash-prox[eta={eta},inner={INNER}]", started), INNER).target)
        np.testing.assert_allclose(np.exp(inner), np.exp(following), atol=1e-9)
        before, after = (float(np.exp(star) @ (star - other)) for other in (current, following))
        assert after <= before / (1 + eta) + 1e-12
        current = following


def test_online_ipo_is_the_gradient_of_its_loss(rng):
    """∇L = (4/β) ∇[β KL(π_θ‖μ) − P(π_θ ≻ sg π_θ)], with y, y' ~ sg π (theory §4.4)."""
    game = random_game(rng, 6, 0.3)
    with Precision().scope():
        played = arrays(game)
        theta = jnp.asarray(rng.normal(size=6))

        def loss(theta):
            log_policy = simplex.normalise(theta)
            drawn = jax.lax.stop_gradient(jnp.exp(log_policy))
            ratio = log_policy - played.log_reference
            target = played.margins.values / played.beta
            errors = (ratio[:, None] - ratio[None, :] - target) ** 2
            return drawn @ errors @ drawn

        log_policy = simplex.normalise(theta)
        solver = OnlineIPO(1.0)
        state = solver.init(played.replace(log_start=log_policy), None)
        moved = np.asarray(solver.update(played, state, None).log_policy - log_policy)
        descent = np.asarray(-played.beta / 4 * jax.jit(jax.grad(loss))(theta))
    np.testing.assert_allclose(moved - moved.mean(), descent - descent.mean(), atol=1e-14)


@jax.jit
@jax.jacobian
def _jacobian(theta, game):
    """How far a self-play step of size 1 moves the centred logits; its derivative in them."""
    log_policy = simplex.normalise(theta)
    solver = OnlineIPO(1.0)
    moved = solver.update(game, solver.init(game.replace(log_start=log_policy), None), None).log_policy - log_policy
    return moved - jnp.mean(moved)


TILTED = np.log(softmax(np.array([1.0, 0.0, -1.0])))


@pytest.mark.parametrize(
    ("log_reference", "beta", "limit", "best_factor"),
    [
        (np.full(3, -np.log(3)), 0.1, 6.43, 0.9449),
        (np.full(3, -np.log(3)), 0.02, 1.433, 0.99761),
        (np.full(3, -np.log(3)), 0.005, 0.3599, 0.99985),
        (TILTED, 0.1, 7.84, None),
        (TILTED, 0.02, 1.445, None),
        (TILTED, 0.005, 0.3601, None),
    ],
)
def test_the_stable_step_of_self_play_shrinks_like_beta(log_reference, beta, limit, best_factor):
    """The eigenvalues of one update's Jacobian at the equilibrium give the limits of theory §4.4."""
    game = make_game(ROCK_PAPER_SCISSORS, beta=beta, log_reference=log_reference)
    star = equilibrium(game).log_policy
    with Precision().scope():
        eigenvalues = np.linalg.eigvals(np.asarray(_jacobian(jnp.asarray(star), arrays(game))))
    moving = eigenvalues[np.abs(eigenvalues) > 1e-9]
    assert np.min(2 * np.abs(moving.real) / np.abs(moving) ** 2) == pytest.approx(limit, rel=2e-3)
    assert stable_step(beta) < limit
    if best_factor is not None:
        steps = np.linspace(0, limit, 20_001)[1:]
        factor = np.min(np.max(np.abs(1 + steps[:, None] * moving), axis=1))
        assert factor == pytest.approx(best_factor, abs=1e-4)


@compiled
def _to_a_millionth(solver, game, state):
    """Steps until SubOpt < 1e-6, at most 60,000, and the last SubOpt."""

    def value(state):
        log_policy = solver.log_policy(state)
        return metrics.suboptimality(game, log_policy, game.advantage(log_policy))

    step, state = jax.lax.while_loop(
        lambda carry: (carry[0] < 60_000) & (value(carry[1]) >= 1e-6),
        lambda carry: (carry[0] + 1, _updated(solver, game, carry[1])),
        (0, state),
    )
    return step, value(state)


def steps_to(text):
    with Precision().scope():
        game = make_game(ROCK_PAPER_SCISSORS, beta=0.005, log_reference=TILTED)
        step, value = _to_a_millionth(*begun(text, game))
    return int(step), float(value)


@pytest.mark.parametrize(
    ("text", "beta", "cycles"),
    [
        ("nash-ema-pg", 0.2, False),
        ("nash-ema-pg", 0.1, True),
        ("practical-nash-mp", 0.05, False),
        ("practical-nash-mp", 0.01, True),
        ("practical-nash-mp[opponent=policy]", 0.01, False),
        # The constant step 2τ/(¼+τ²), and the one that follows the curvature.
        ("nash-prox[eta=0.004,inner=5,step=1.6038]", 0.001, True),
        ("nash-prox[eta=0.004,inner=40,step=1.6038]", 0.001, False),
        ("nash-prox[eta=0.004,inner=5]", 0.001, False),
    ],
)
def test_defaults_cycle_where_the_docstrings_say_so(text, beta, cycles):
    """Rock-paper-scissors, and for Nash Prox the circulant game of nine actions; both with uniform μ (theory §4)."""
    n = 9 if "prox" in text else 3
    game = generate("circulant", actions=n, beta=beta)
    game = game.replace(beta=beta, log_start=log_softmax(np.random.default_rng(0).normal(size=n)))
    with Precision().scope():
        step, value = _to_a_millionth(*begun(text, game))
    assert (int(step) == 60_000) == cycles
    assert (float(value) > 0.01) == cycles


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("nash-prox[eta=0.05,inner=40,step=4]", 211),
        ("nash-prox[eta=0.01,inner=5,step=4]", 248),
        ("nash-prox[eta=0.02,inner=20,step=4]", 348),
        ("nash-prox[eta=0.01,inner=20,step=4]", 1044),
        ("nash-prox[eta=0.05,kappa=0.1,step=4]", 129),
        ("nash-prox[eta=0.01,kappa=0.1,step=4]", 362),
        ("nash-prox[eta=0.01,kappa=0.03,step=4]", 1071),
    ],
)
def test_nash_prox_cures_self_play_in_the_steps_of_theory_4_5(text, steps):
    assert steps_to(text)[0] == steps


@pytest.mark.parametrize(
    ("step", "least", "most"), [(0.1, 4.2e-6, 4.4e-6), (0.36, 4.3e-2, 4.5e-2), (0.5, 0.22, 0.24), (1.0, 0.29, 0.31)]
)
def test_plain_self_play_crawls_stalls_or_cycles_where_theory_4_4_says(step, least, most):
    steps, value = steps_to(f"online-ipo[step={step}]")
    assert steps == 60_000
    assert least <= value <= most


def _measured(solver, game, state):
    """After two updates: log π, its advantage by one product, and the advantage that the solver keeps, None or not."""
    # Operation by operation is faster here than to compile each solver, but for linear algebra.
    update = jax.jit(_updated) if "secant" in solver.name else _updated
    state = update(solver, game, update(solver, game, state))
    log_policy = solver.log_policy(state)
    return log_policy, game.advantage(log_policy), solver.advantage(state)


@pytest.mark.parametrize("name", [*SOLVERS, "average[nash-mp]", "halves[nash-mp]"])
def test_every_solver_keeps_the_contract(rng, name):
    """The dtype is kept, the state's shape too, the policy is normalised and the advantage is that of the policy."""
    for dtype in ("float32", "float64"):
        with Precision(dtype).scope():
            solver, game = arrays((make_solver(name).with_theory_defaults(0.2), random_game(rng, 5, 0.2)), dtype)
            state = jax.eval_shape(solver.init, game, jax.random.key(0))
            after = jax.eval_shape(_updated, solver, game, state)
            assert jax.tree.structure(after) == jax.tree.structure(state)
            for new, old in zip(jax.tree.leaves(after), jax.tree.leaves(state), strict=True):
                assert (new.shape, new.dtype) == (old.shape, old.dtype)
            left = {key for key, value in hyperparameters(solver).items() if value is None}
            assert left == ({"step"} if follows_curvature(solver) else set())
    # The values in the precision with the larger rounding; those of float64 have their closed forms.
    with Precision("float32").scope():
        log_policy, direct, kept = _measured(*begun(name, random_game(rng, 5, 0.2), "float32"))
    assert log_policy.dtype == "float32"
    if kept is not None:
        assert kept.dtype == "float32"
        np.testing.assert_allclose(kept, direct, atol=1e-6)
    assert np.exp(np.asarray(log_policy, float)).sum() == pytest.approx(1, abs=1e-6)


def test_defaults_are_those_of_theory_and_given_numbers_stay():
    assert NashMP().with_theory_defaults(0.3) == NashMP(0.6)
    assert NashMP(0.1).with_theory_defaults(0.3) == NashMP(0.1)
    assert make_solver("mirror-descent").with_theory_defaults(0.1).step == pytest.approx(0.4 / 1.04)
    assert OnlineIPO().with_theory_defaults(0.1).step is None
    assert with_theory_defaults(OnlineIPO(), 0.1, sampled=True).step == pytest.approx(0.2 / 0.26)
    prox = NashProx().with_theory_defaults(0.1)
    assert (prox.eta, prox.inner, prox.kappa, prox.step) == (0.8, 5, 1.0, None)
    prox = NashProx(step=3.0).with_theory_defaults(0.1)
    assert (prox.eta, prox.inner, prox.kappa, prox.step) == (0.2, 20, 1.0, 3.0)
    prox = with_theory_defaults(NashProx(), 0.1, sampled=True)
    assert (prox.eta, prox.inner, prox.kappa) == (0.2, 20, 1.0)
    assert prox.step == pytest.approx(stable_step(0.1 * 6))
    assert NashProx(kappa=0.1).with_theory_defaults(0.1).inner == 1
    assert NashProx(kappa=0.1, inner=7).with_theory_defaults(0.1).inner == 7


@pytest.mark.parametrize("text", TEXTS)
def test_a_solver_selects_itself_again(text):
    solver = make_solver(text).with_theory_defaults(0.03)
    assert make_solver(selection_of(solver)) == solver
    assert dataclasses.is_dataclass(solver)


def test_the_average_has_no_numbers_of_its_own():
    solver = make_solver("average[nash-prox[inner=3]]")
    assert isinstance(solver, Average)
    assert solver.name == "average[nash-prox]"
    assert solver.queries_per_step == 1
    assert hyperparameters(solver)["inner"] == 3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nash-pm", ["nash-pm", "did you mean 'nash-mp'"]),
        ("nash-mp[eat=1]", ["eat", "did you mean 'eta'"]),
        ("nash-mp[eta=x]", ["nash-mp[eta] is 'x'", "a finite number above 0"]),
        ("nash-mp[eta=0]", ["nash-mp[eta] is 0", "above 0"]),
        ("nash-mp[eta=nan]", ["nash-mp[eta]", "finite"]),
        ("online-ipo[step=-1]", ["online-ipo[step] is -1", "above 0"]),
        ("nash-prox[kappa=2]", ["nash-prox[kappa] is 2", "above 0 and at most 1"]),
        ("nash-prox[inner=2.5]", ["inner", "an integer"]),
        ("average", ["average wraps one solver, and 'average' names none; write average[nash-mp]"]),
        ("average[nash-mp,online-ipo]", ["write average[nash-mp]"]),
        ("average[nash-pm]", ["did you mean"]),
        ("nash-mp[0.2]", ["parameter=value"]),
    ],
)
def test_a_mistake_is_one_sentence_with_the_way_out(text, words):
    with pytest.raises(NashGamesError) as caught:
        make_solver(text)
    assert all(word in str(caught.value) for word in words), caught.value
    assert "\n" not in str(caught.value)
