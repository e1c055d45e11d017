"""Every solver against its closed form in probabilities, equilibria of other programs, and its theorem."""

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
from nashgames.learning.policy_gradient import stable_step
from nashgames.solvers import SOLVERS, Average, NashMP, NashProx, OnlineIPO, hyperparameters, make_solver, selection_of
from tests.games import ROCK_PAPER_SCISSORS, log_softmax, random_game, random_margins, soccer_reference, softmax

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


def arrays(tree, dtype="float64"):
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, None if isinstance(leaf, int) else dtype), tree)


class Playing:
    """A solver on a game, one step at a time, in float64 or float32."""

    def __init__(self, solver, game, dtype="float64"):
        self.precision = Precision(dtype)
        with self.precision.scope():
            self.solver, self.game = arrays((solver.with_theory_defaults(float(game.beta)), game), dtype)
            self._update = jax.jit(lambda solver, game, state: solver.update(game, state, jax.random.key(0)))
            self.state = self.solver.init(self.game, jax.random.key(0))

    def step(self):
        with self.precision.scope():
            self.state = self._update(self.solver, self.game, self.state)
        return self

    @property
    def policy(self) -> np.ndarray:
        return np.exp(np.asarray(self.solver.log_policy(self.state), float))

    @property
    def suboptimality(self) -> float:
        with self.precision.scope():
            log_policy = self.solver.log_policy(self.state)
            return float(metrics.suboptimality(self.game, log_policy, self.solver.advantage(self.game, self.state)))


def placed(playing, log_policy):
    """The state of a solver that has come to rest at this policy: iterate, targets and opponents."""
    # Elsewhere than at the reference a run starts only where it is told to.
    return playing.solver.init(playing.game.replace(log_start=log_policy), None)


def iterates(text, game, steps):
    """Each solver written again from theory §4, in probabilities, with NumPy alone."""
    margins, mu, beta = game.margins.values, np.exp(game.log_reference), game.beta
    solver = make_solver(text)
    numbers = hyperparameters(solver.with_theory_defaults(beta))
    policies = [mu]
    theta = target = np.log(mu)

    def prox(pi, opponent, eta):
        unnormalised = (pi * mu**eta * np.exp(eta / beta * margins @ opponent)) ** (1 / (1 + eta))
        return unnormalised / unnormalised.sum()

    def gradient(pi, temperature, anchor):
        return (np.diag(pi) - np.outer(pi, pi)) @ (margins @ pi - temperature * np.log(pi / anchor))

    for t in range(steps):
        pi = policies[-1]
        if "nash-mp" in text:
            pi = prox(pi, prox(pi, pi, numbers["eta"]), numbers["eta"])
        elif "nash-md" in text:
            a = numbers["step"]
            mixed = pi ** (1 - a * beta) * mu ** (a * beta)
            mixed = mixed / mixed.sum()
            pi = mixed * np.exp(a * margins @ mixed)
            pi = pi / pi.sum()
        elif "mirror-descent" in text:
            a = numbers["step"]
            pi = pi ** (1 - a * beta) * mu ** (a * beta) * np.exp(a * margins @ pi)
            pi = pi / pi.sum()
        elif "online-ipo" in text:
            theta = theta + numbers["step"] * gradient(pi, beta, mu)
            pi = softmax(theta)
        else:
            eta, kappa = numbers["eta"], numbers["kappa"]
            anchor = softmax(eta / (1 + eta) * np.log(mu) + 1 / (1 + eta) * target)
            theta = theta + numbers["step"] * gradient(pi, beta * (1 + 1 / eta), anchor)
            if (t + 1) % numbers["inner"] == 0:
                target = (1 - kappa) * target + kappa * theta
            pi = softmax(theta)
        policies.append(pi)
    return policies


@pytest.mark.parametrize("text", TEXTS)
def test_iterates_equal_the_closed_form_written_in_probabilities(rng, text):
    game = random_game(rng, 6, 0.15)
    playing, expected = Playing(make_solver(text), game), iterates(text, game, 25)
    assert np.abs(playing.policy - expected[0]).max() < 1e-15
    for t in range(1, 26):
        wanted = np.mean(expected[1 : t + 1], axis=0) if text.startswith("average") else expected[t]
        np.testing.assert_allclose(playing.step().policy, wanted, atol=1e-13)


@pytest.mark.parametrize("text", [text for text in TEXTS if not text.startswith(("average", "nash-md"))])
@pytest.mark.parametrize("value", soccer_reference()[2:6], ids=lambda v: f"{v['beta']}-{v['reference'] is not None}")
def test_the_equilibrium_of_another_program_is_a_fixed_point(text, value):
    from nashgames.games import tables

    game = tables.load("soccer10").replace(beta=value["beta"])
    if value["reference"] is not None:
        game = game.replace(log_reference=np.log(value["reference"]))
    playing = Playing(make_solver(text), game)
    star = np.log(np.array(value["equilibrium"]))
    with playing.precision.scope():
        playing.state = placed(playing, jnp.asarray(star))
    np.testing.assert_allclose(playing.step().policy, value["equilibrium"], atol=1e-10)


@pytest.mark.parametrize(
    ("text", "steps"), [("nash-mp", 400), ("mirror-descent", 1500), ("nash-prox", 6000), ("online-ipo", 6000)]
)
@pytest.mark.parametrize("contexts", [1, 2])
def test_the_last_iterate_reaches_the_referees_equilibrium(rng, text, steps, contexts):
    margins = random_margins(rng, 5) if contexts == 1 else np.stack([random_margins(rng, 5) for _ in range(2)])
    logits = rng.normal(size=margins.shape[:-1])
    game = make_game(margins, beta=0.2, log_reference=logits - np.log(np.exp(logits).sum(-1, keepdims=True)))
    playing = Playing(make_solver(text), game)
    with playing.precision.scope():
        state = jax.lax.fori_loop(0, steps, lambda _, s: playing.solver.update(playing.game, s, None), playing.state)
        found = np.asarray(playing.solver.log_policy(state))
    np.testing.assert_allclose(np.exp(found), np.exp(equilibrium(game).log_policy), atol=1e-8)


@given(
    st.integers(0, 10_000),
    st.sampled_from([2, 3, 10, 200]),
    st.floats(-3, 0).map(lambda e: 10.0**e),
    st.floats(0.05, 1.0),
    st.sampled_from(["float64", "float32"]),
)
@settings(max_examples=30, deadline=None)
def test_nash_mp_obeys_every_inequality_of_its_theorem(seed, n, beta, share, dtype):
    """Theory §4.1, for every η ≤ 2β: the step, the last iterate, the half step, and at η = 2β the rate by name."""
    rng = np.random.default_rng(seed)
    game = random_game(rng, n, beta).replace(log_reference=log_softmax(rng.normal(size=n)).astype(dtype))
    game = game.replace(margins=type(game.margins)(game.margins.values.astype(dtype)))
    beta, eta = float(np.asarray(beta, dtype)), float(np.asarray(2 * beta * share, dtype))
    game = game.replace(beta=beta)
    with Precision(dtype).scope():
        played, solver = arrays((game, NashMP(eta)), dtype)
        half_of = jax.jit(
            lambda g, s, state: simplex.prox(state.log_policy, g.log_reference, state.advantage, g.beta, s.eta)
        )
        update = jax.jit(lambda g, s, state: s.update(g, state, None))
        halves, wholes, state = [], [solver.init(played, None).log_policy], solver.init(played, None)
        for _ in range(60):
            halves.append(half_of(played, solver, state))
            state = update(played, solver, state)
            wholes.append(state.log_policy)
        halves, wholes = np.asarray(halves), np.asarray(wholes)
    star = equilibrium(game).log_policy
    with Precision().scope():
        kl = jax.jit(jax.vmap(simplex.kl, in_axes=(0, None)))
        exact = arrays(game)
        to_star = np.asarray(kl(jnp.asarray(halves, "float64"), jnp.asarray(star)))
        from_star = np.asarray(
            jax.vmap(simplex.kl, in_axes=(None, 0))(jnp.asarray(star), jnp.asarray(wholes, "float64"))
        )
        suboptimality = jax.jit(jax.vmap(lambda p: metrics.suboptimality(exact, p, exact.advantage(p))))
        at_halves = np.asarray(suboptimality(jnp.asarray(halves, "float64")))
    # Rounding enters log π at eps/β and a KL as its square: √KL is exact to it.
    noise = 30 * float(np.finfo(dtype).eps) / beta * np.sqrt(n)
    steps = np.arange(60)
    assert np.all(np.sqrt(eta * to_star + (1 + eta) * from_star[1:]) <= np.sqrt(from_star[:-1]) + noise)
    assert np.all(np.sqrt(from_star) <= np.sqrt((1 + eta) ** -np.arange(61.0) / (2 * beta)) + noise)
    bound = (beta + 1 / (4 * beta)) / (2 * beta * eta) * (1 + eta) ** -(steps * 1.0)
    assert np.all(np.sqrt(at_halves) <= np.sqrt(bound) + noise)


INNER = 20_000
_inner_loop = jax.jit(
    lambda solver, game, state: jax.lax.fori_loop(0, INNER, lambda _, s: solver.update(game, s, None), state)
)


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
        playing = Playing(NashProx(eta=eta, inner=INNER), game)
        with playing.precision.scope():
            start = placed(playing, jnp.asarray(current))
            inner = np.asarray(simplex.normalise(_inner_loop(playing.solver, playing.game, start).target))
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
        descent = np.asarray(-played.beta / 4 * jax.grad(loss)(theta))
    np.testing.assert_allclose(moved - moved.mean(), descent - descent.mean(), atol=1e-14)


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
        played = arrays(game)

        def velocity(theta):
            log_policy = simplex.normalise(theta)
            state = OnlineIPO(1.0).init(played.replace(log_start=log_policy), None)
            moved = OnlineIPO(1.0).update(played, state, None).log_policy - log_policy
            return moved - jnp.mean(moved)

        eigenvalues = np.linalg.eigvals(np.asarray(jax.jacobian(velocity)(jnp.asarray(star))))
    moving = eigenvalues[np.abs(eigenvalues) > 1e-9]
    assert np.min(2 * np.abs(moving.real) / np.abs(moving) ** 2) == pytest.approx(limit, rel=2e-3)
    assert stable_step(beta) < limit
    if best_factor is not None:
        steps = np.linspace(0, limit, 20_001)[1:]
        factor = np.min(np.max(np.abs(1 + steps[:, None] * moving), axis=1))
        assert factor == pytest.approx(best_factor, abs=1e-4)


def steps_to(text, tolerance=1e-6, most=60_000):
    game = make_game(ROCK_PAPER_SCISSORS, beta=0.005, log_reference=TILTED)
    playing = Playing(make_solver(text), game)

    @jax.jit
    def run(solver, game, state):
        def value(state):
            return metrics.suboptimality(game, solver.log_policy(state), solver.advantage(game, state))

        step, state = jax.lax.while_loop(
            lambda carry: (carry[0] < most) & (value(carry[1]) >= tolerance),
            lambda carry: (carry[0] + 1, solver.update(game, carry[1], None)),
            (0, state),
        )
        return step, value(state)

    with playing.precision.scope():
        step, value = run(playing.solver, playing.game, playing.state)
    return int(step), float(value)


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


@pytest.mark.parametrize("name", [*SOLVERS, "average[nash-mp]"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_solver_keeps_the_contract(rng, name, dtype):
    """The dtype is kept, the state's shape too, and the advantage of the state is that of its policy."""
    solver = make_solver(name)
    playing = Playing(solver, random_game(rng, 4, 0.2), dtype)
    before = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), playing.state)
    playing.step().step()
    assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), playing.state) == before
    log_policy = playing.solver.log_policy(playing.state)
    with playing.precision.scope():
        direct = playing.game.advantage(log_policy)
        kept = playing.solver.advantage(playing.game, playing.state)
    assert log_policy.dtype == kept.dtype == dtype
    np.testing.assert_allclose(kept, direct, atol=10 * np.finfo(dtype).eps)
    assert np.exp(np.asarray(log_policy, float)).sum() == pytest.approx(1, abs=10 * float(np.finfo(dtype).eps))
    assert all(value is not None for value in hyperparameters(solver.with_theory_defaults(0.1)).values())


def test_defaults_are_those_of_theory_and_given_numbers_stay():
    assert NashMP().with_theory_defaults(0.3) == NashMP(0.6)
    assert NashMP(0.1).with_theory_defaults(0.3) == NashMP(0.1)
    assert make_solver("mirror-descent").with_theory_defaults(0.1).step == pytest.approx(0.4 / 1.04)
    assert OnlineIPO().with_theory_defaults(0.1).step == pytest.approx(0.2 / 0.26)
    prox = NashProx().with_theory_defaults(0.1)
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
        ("nash-mp[eta=x]", ["nash-mp[eta] is 'x'", "a number"]),
        ("nash-mp[eta=0]", ["nash-mp[eta] is 0", "above 0"]),
        ("nash-mp[eta=nan]", ["nash-mp[eta]", "finite"]),
        ("online-ipo[step=-1]", ["online-ipo[step] is -1", "above 0"]),
        ("nash-prox[kappa=2]", ["kappa", "(0, 1]"]),
        ("nash-prox[inner=2.5]", ["inner", "an integer"]),
        ("average", ["average[SOLVER]"]),
        ("average[nash-mp,online-ipo]", ["average[SOLVER]"]),
        ("average[nash-pm]", ["did you mean"]),
        ("nash-mp[0.2]", ["parameter=value"]),
    ],
)
def test_a_mistake_is_one_sentence_with_the_way_out(text, words):
    with pytest.raises(NashGamesError) as caught:
        make_solver(text)
    assert all(word in str(caught.value) for word in words), caught.value
    assert "\n" not in str(caught.value)
