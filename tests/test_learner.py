"""Policy gradients: the equality with the IPO loss, exact and sampled through the same code, and no bias in any."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nashgames.core import simplex
from nashgames.core.feedback import EXACT
from nashgames.core.game import make_game
from nashgames.core.precision import Precision
from nashgames.learning.features import resolve_features
from nashgames.learning.feedback import FEEDBACKS
from nashgames.learning.policy_gradient import Iterate, Objective, PolicyGradient, uniform_pairs
from nashgames.learning.steps import mirror_step, stable_step
from nashgames.solvers import (
    GRADIENTS,
    compose,
    features_of,
    hyperparameters,
    make_solver,
    with_theory_defaults,
)
from tests.games import arrays, compiled, log_softmax, random_game, random_margins

LINEAR, NETWORK = "log-linear[features=random,dimension=3]", "mlp[features=random,dimension=3,depth=3,width=4]"
POLICIES = ["tabular", LINEAR, NETWORK]


@compiled
def _gradients(solver, game, state, objective, keys):
    """The gradient for each key, and from exact feedback."""
    found = jax.vmap(lambda key: solver.learner.gradient(game, state, objective, key))(keys)
    exact = solver.learner.gradient(game.replace(feedback=EXACT), state, objective, None)
    return found, exact


def featured(game, solver):
    """The game with the features that the solver's policy sees."""
    seen = features_of(solver)
    return game if seen is None else game.replace(features=resolve_features(*seen, game, seed=0))


def several(rng, contexts, n=5, beta=0.2):
    """A game over contexts with unequal weights, or without any."""
    if contexts == 1:
        return random_game(rng, n, beta)
    logits = rng.normal(size=(contexts, n))
    return make_game(
        np.stack([random_margins(rng, n) for _ in range(contexts)]),
        beta=beta,
        log_reference=logits - np.log(np.exp(logits).sum(-1, keepdims=True)),
        weights=rng.dirichlet(np.ones(contexts)),
    )


def iterate_of(state) -> Iterate:
    return state if isinstance(state, Iterate) else state.iterate


def elsewhere(rng, solver, game) -> Iterate:
    """An iterate away from the start, where a network's gradient vanishes in its hidden layers."""
    drawn = jax.tree.map(
        lambda leaf: jnp.asarray(rng.uniform(-0.5, 0.5, leaf.shape), leaf.dtype),
        jax.eval_shape(solver.init, game, jax.random.key(0)),
    )
    log_policy = solver.learner.policy.log_policy(game, drawn.parameters)
    return drawn._replace(log_policy=log_policy, advantage=game.foresee(log_policy))


def on_samples(state):
    """The state of a run on exact feedback as one on duels would have it: it knows no advantage."""
    if not isinstance(state, Iterate):
        state = state._replace(iterate=on_samples(state.iterate))
    return state._replace(advantage=None) if "advantage" in state._fields else state


DRAWS = 4_000
DUELS = FEEDBACKS.make("duels[batch=200]")


@compiled
def _displacements(solver, game, state, keys):
    """How far one step moves θ, for each key."""

    def moved(key):
        after = iterate_of(solver.update(game, state, key)).parameters
        return jax.tree.map(jnp.subtract, after, iterate_of(state).parameters)

    return jax.vmap(moved)(keys)


def assert_unbiased(draws, exact):
    """The mean of the draws is `exact` within five standard errors, in every entry and along `exact` itself.

    Along it the standard error is below 2 %: a factor that is wrong by a tenth is seen.
    """
    draws = np.concatenate([np.reshape(leaf, (len(leaf), -1)) for leaf in jax.tree.leaves(draws)], axis=1)
    exact = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(exact)])
    error = np.std(draws, axis=0) / np.sqrt(len(draws))
    assert np.all(np.abs(np.mean(draws, axis=0) - exact) <= 5 * error + 1e-12)
    factors = draws @ exact / (exact @ exact)
    error = np.std(factors) / np.sqrt(len(factors))
    assert error < 0.02
    assert abs(np.mean(factors) - 1) <= 5 * error


@pytest.mark.parametrize(
    ("name", "policy", "contexts"),
    # A whole step of EGPO has the noise of its half step in the opponent of the other: its two gradients are judged
    # apart, without contexts. Where θ is shared all methods go through the same lines.
    [(name, "tabular", 2) for name in GRADIENTS if name != "egpo"]
    + [("online-ipo", NETWORK, 2), ("nash-prox", LINEAR, 2)],
)
def test_a_sampled_gradient_is_unbiased(rng, name, policy, contexts):
    """One step on duels, averaged over many draws, is the exact step."""
    inner = {"nash-prox": ",inner=3", "approximate-nash-mp": ",inner=2"}.get(name, "")
    solver = compose(make_solver(f"{name}[step=0.1{inner}]"), policy=policy).with_theory_defaults(0.2)
    game = featured(several(rng, contexts), solver)
    with Precision().scope():
        solver, game = arrays((solver, game))
        on_duels = game.replace(feedback=DUELS)
        if policy == NETWORK:
            known = elsewhere(rng, solver, game)
        else:
            known = solver.init(game, jax.random.key(1))
            # Away from the start, where targets are the policy. Their few operations are compiled once for all methods.
            for _ in range(9):
                known = solver.update(game, known, None)
        state = on_samples(known)
        # A network's many operations are one program instead.
        update = jax.jit(solver.update) if policy == NETWORK else solver.update
        exact = jax.tree.map(
            jnp.subtract, iterate_of(update(game, known, None)).parameters, iterate_of(known).parameters
        )
        found = _displacements(solver, on_duels, state, jax.random.split(jax.random.key(7), DRAWS))
        assert_unbiased(found, exact)


@pytest.mark.parametrize("policy", ["tabular", NETWORK])
def test_both_steps_of_egpo_are_unbiased(rng, policy):
    """The first on average over its duels; the second too, for every first."""
    solver = compose(make_solver("egpo[step=0.1]"), policy=policy)
    game = featured(random_game(rng, 5, 0.2), solver)
    with Precision().scope():
        solver, game = arrays((solver, game))
        on_duels = game.replace(feedback=DUELS)
        state, moved = (elsewhere(rng, solver, on_duels) for _ in range(2))
        keys = jax.random.split(jax.random.key(7), DRAWS)
        for opponent in (state, moved):
            objective = uniform_pairs(game, opponent)
            found, exact = _gradients(solver, on_duels, state, objective, keys)
            assert_unbiased(found, exact)


@pytest.mark.parametrize("policy", POLICIES)
def test_the_exact_ipo_gradient_is_four_over_beta_times_that_of_self_play_in_float32(rng, policy):
    """∇L = −(4/β) times the ascent direction, both responses on-policy (theory §4.4), to 1e-6."""
    solver = compose(make_solver("online-ipo[step=1]"), policy=policy)
    game = featured(random_game(rng, 5, 0.5, spread=0.3), solver)
    with Precision("float32").scope():
        solver, game = arrays((solver, game), "float32")
        state = elsewhere(rng, solver, game)
        of_loss, of_play = _loss_and_play(solver, game, state)
        for descent, ascent in zip(jax.tree.leaves(of_loss), jax.tree.leaves(of_play), strict=True):
            np.testing.assert_allclose(-0.5 / 4 * np.asarray(descent), ascent, atol=1e-6)


@compiled
def _loss_and_play(solver, game, state):
    """∇ of the IPO loss by jax.grad, and the ascent direction of self-play."""
    drawn = jnp.exp(state.log_policy)

    def loss(parameters):
        ratio = solver.learner.policy.log_policy(game, parameters) - game.log_reference
        errors = (ratio[:, None] - ratio[None, :] - game.margins.values / game.beta) ** 2
        return drawn @ errors @ drawn

    objective = Objective(state.log_policy, state.log_policy, game.beta, game.log_reference, state.advantage)
    return jax.grad(loss)(state.parameters), solver.learner.gradient(game, state, objective, None)


@pytest.mark.parametrize("policy", POLICIES)
def test_the_exact_gradient_is_that_of_the_objective(rng, policy):
    """Against jax.grad of P(π_θ ≻ π') − τ KL(π_θ‖π̄), with an opponent and an anchor of their own."""
    solver = compose(make_solver("online-ipo[step=1]"), policy=policy)
    game = featured(random_game(rng, 5, 0.3), solver)
    with Precision().scope():
        solver, game = arrays((solver, game))
        state = elsewhere(rng, solver, game)
        opponent, anchor = (jnp.asarray(log_softmax(rng.normal(size=5))) for _ in range(2))

        @jax.jit
        def both(game, state):
            def value(parameters):
                log_policy = solver.learner.policy.log_policy(game, parameters)
                margin = jnp.exp(log_policy) @ game.margins.values @ jnp.exp(opponent)
                return margin - 0.7 * jnp.sum(jnp.exp(log_policy) * (log_policy - anchor))

            objective = Objective(state.log_policy, opponent, 0.7, anchor)
            return jax.grad(value)(state.parameters), solver.learner.gradient(game, state, objective, None)

        wanted, found = both(game, state)
        for one, other in zip(jax.tree.leaves(wanted), jax.tree.leaves(found), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-13)


def test_uniform_pairs_give_the_gradient_of_their_loss_and_mirror_descent(rng):
    """−(βn/4) ∇L of the uniform-pair loss (theory §4.4), which for a table is a step of mirror descent."""
    game = random_game(rng, 5, 0.2)
    with Precision().scope():
        solver, other, game = arrays(
            (make_solver("uniform-ipo[step=0.3]"), make_solver("mirror-descent[step=0.3]"), game)
        )
        key = jax.random.key(0)
        state, mirrored = solver.init(game, key), other.init(game, key)
        for _ in range(10):
            state, mirrored = solver.update(game, state, key), other.update(game, mirrored, key)

        def loss(theta):
            h = simplex.normalise(theta) - game.log_reference - state.advantage / game.beta
            return jnp.mean((h[:, None] - h[None, :]) ** 2)

        direction = -(game.beta * 5 / 4) * jax.grad(loss)(state.parameters)
        moved = solver.update(game, state, None).parameters - state.parameters
        np.testing.assert_allclose(moved, 0.3 * direction, atol=1e-14)
        np.testing.assert_allclose(state.log_policy, mirrored.log_policy, atol=1e-12)


@pytest.mark.parametrize("policy", POLICIES)
def test_egpo_takes_both_steps_from_its_parameters(rng, policy):
    """θ − a (βn/4) ∇L twice from θ_k, L the mean over pairs against π_k and then π_{k+½}, by jax.grad."""
    solver = compose(make_solver("egpo[step=0.3]"), policy=policy)
    game = featured(random_game(rng, 5, 0.2), solver)
    with Precision().scope():
        solver, game = arrays((solver, game))
        state = elsewhere(rng, solver, game)

        @jax.jit
        def both(game, state):
            def loss(parameters, log_opponent):
                log_policy = solver.learner.policy.log_policy(game, parameters)
                h = log_policy - game.log_reference - game.margins.values @ jnp.exp(log_opponent) / game.beta
                return jnp.mean((h[:, None] - h[None, :]) ** 2)

            def step(log_opponent):
                slopes = jax.grad(loss)(state.parameters, log_opponent)
                return jax.tree.map(lambda old, slope: old - 0.3 * game.beta * 5 / 4 * slope, state.parameters, slopes)

            half = solver.learner.policy.log_policy(game, step(state.log_policy))
            return step(half), solver.update(game, state, jax.random.key(9)).parameters

        for one, other in zip(*map(jax.tree.leaves, both(game, state)), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-13)


def test_egpo_on_a_table_is_nash_mp(rng):
    """With η/(1+η) = aβ (theory §4.1), iterate by iterate."""
    game = random_game(rng, 5, 0.2)
    with Precision().scope():
        one, two, game = arrays((make_solver("egpo[step=1.25]"), make_solver(f"nash-mp[eta={1 / 3!r}]"), game))
        a, b = one.init(game, jax.random.key(0)), two.init(game, jax.random.key(0))
        for t in range(20):
            a, b = (solver.update(game, state, jax.random.key(t)) for solver, state in ((one, a), (two, b)))
            np.testing.assert_allclose(one.log_policy(a), two.log_policy(b), atol=1e-12)
        default, theory = (make_solver(name).with_theory_defaults(0.2) for name in ("egpo", "nash-mp"))
        assert default.step * 0.2 == pytest.approx(theory.eta / (1 + theory.eta), rel=1e-15)


@pytest.mark.parametrize("name", GRADIENTS)
def test_the_first_step_of_adam_is_as_long_as_its_step(rng, name):
    """m̂/√v̂ is a sign at first, so that every logit moves by a, in every method alike."""
    solver = compose(make_solver(f"{name}[step=0.01]"), optimiser="adam[eps=1e-30]").with_theory_defaults(0.2)
    with Precision().scope():
        solver, game = arrays((solver, random_game(rng, 5, 0.2)))
        state = solver.init(game, jax.random.key(0))
        moved = solver.update(game, state, jax.random.key(1))
        length = np.abs(iterate_of(moved).parameters - iterate_of(state).parameters)
    np.testing.assert_allclose(length, 0.01, rtol=1e-6)


def test_the_practical_form_against_the_policy_itself_is_the_moving_average_form_of_nash_prox(rng):
    game = random_game(rng, 5, 0.1)
    with Precision().scope():
        texts = (
            "practical-nash-mp[eta=0.2,kappa=0.1,step=1,opponent=policy]",
            "nash-prox[eta=0.2,kappa=0.1,step=1,inner=1]",
        )
        one, two, game = arrays((*map(make_solver, texts), game))
        a, b = one.init(game, None), two.init(game, None)
        for _ in range(30):
            a, b = one.update(game, a, None), two.update(game, b, None)
        np.testing.assert_allclose(one.log_policy(a), two.log_policy(b), atol=1e-13)


def test_long_inner_loops_make_approximate_nash_mp_nash_mp(rng):
    """Two proximal steps climbed to their end are the closed forms (theory §4.1, §4.2)."""
    game = random_game(rng, 4, 0.3, spread=0.3)
    with Precision().scope():
        one, two, game = arrays(
            (
                make_solver("approximate-nash-mp[eta=0.6,inner=3000]").with_theory_defaults(0.3),
                make_solver("nash-mp[eta=0.6]"),
                game,
            )
        )
        key = jax.random.key(0)
        state, wanted = one.init(game, key), two.init(game, key)
        run = jax.jit(lambda state: jax.lax.fori_loop(0, 3000, lambda _, s: one.update(game, s, None), state))
        for _ in range(2):
            half = simplex.prox(wanted.log_policy, game.log_reference, wanted.advantage, game.beta, 0.6)
            state = run(state)
            np.testing.assert_allclose(jnp.exp(one.log_policy(state)), jnp.exp(half), atol=1e-9)
            state, wanted = run(state), two.update(game, wanted, key)
            np.testing.assert_allclose(jnp.exp(one.log_policy(state)), jnp.exp(wanted.log_policy), atol=1e-9)


def test_nash_md_pg_is_drawn_to_its_own_fixed_point(rng):
    """π = softmax(log μ + Aπ_λ/β), found by damped iteration in NumPy; not the equilibrium."""
    game = random_game(rng, 4, 0.5, spread=0.3)
    log_policy = game.log_reference
    for _ in range(20_000):
        mixed = log_softmax(0.6 * log_policy + 0.4 * game.log_reference)
        response = log_softmax(game.log_reference + game.margins.values @ np.exp(mixed) / game.beta)
        log_policy = log_softmax(0.9 * log_policy + 0.1 * response)
    with Precision().scope():
        solver, played = arrays((make_solver("nash-md-pg[mixture=0.4]").with_theory_defaults(0.5), game))
        state = jax.lax.fori_loop(0, 20_000, lambda _, s: solver.update(played, s, None), solver.init(played, None))
        np.testing.assert_allclose(solver.log_policy(state), log_policy, atol=1e-9)


def test_averaged_parameters_are_what_is_reported(rng):
    game = random_game(rng, 5, 0.2)
    with Precision().scope():
        solver, game = arrays((compose(make_solver("online-ipo[step=0.5]"), optimiser="sgd[average=0.8]"), game))
        state = solver.init(game, None)
        theta = average = np.asarray(state.parameters)
        for _ in range(7):
            state = solver.update(game, state, None)
            theta = np.asarray(state.parameters)
            average = 0.8 * average + 0.2 * theta
        np.testing.assert_allclose(solver.log_policy(state), log_softmax(average), atol=1e-14)
        np.testing.assert_allclose(state.log_policy, log_softmax(theta), atol=1e-14)
        # No query was made of the average.
        assert solver.advantage(state) is None


@pytest.mark.parametrize(
    ("policy", "optimiser", "step"),
    [
        ("tabular", "sgd", None),
        ("tabular", "sgd[average=0.5]", None),
        ("tabular", "natural", None),
        ("tabular", "sgd[momentum=0.5]", stable_step(0.1)),
        ("tabular", "sgd[clip=1]", stable_step(0.1)),
        ("tabular", "sgd[schedule=inverse]", stable_step(0.1)),
        ("tabular", "natural[clip=1]", mirror_step(0.1)),
        ("log-linear", "natural", mirror_step(0.1)),
        ("log-linear", "sgd[momentum=0.5]", stable_step(0.1) / 10),
        ("mlp", "sgd", stable_step(0.1) / 50),
        ("tabular", "adam", 0.01),
        ("mlp", "adam", 0.01),
    ],
)
def test_the_default_step_follows_the_curvature_of_a_table_and_is_scaled_for_other_parts(policy, optimiser, step):
    solver = compose(make_solver("online-ipo"), policy=policy, optimiser=optimiser)
    assert solver.with_theory_defaults(0.1).step == (None if step is None else pytest.approx(step, rel=1e-15))
    assert compose(make_solver("online-ipo[step=3]"), policy=policy).with_theory_defaults(0.1).step == 3


@pytest.mark.parametrize(("name", "step"), [("uniform-ipo", mirror_step(0.1)), ("egpo", 2 / 1.2)])
@pytest.mark.parametrize("optimiser", ["sgd", "natural"])
def test_a_direction_that_is_mirror_descents_keeps_its_constant_step(name, step, optimiser):
    solver = compose(make_solver(name), optimiser=optimiser).with_theory_defaults(0.1)
    assert solver.step == pytest.approx(step, rel=1e-15)


@pytest.mark.parametrize(
    ("name", "step"),
    [("online-ipo", stable_step(0.2)), ("nash-prox", stable_step(0.7)), ("approximate-nash-mp", 2 / 0.7)],
)
def test_on_duels_the_steps_are_theorys(name, step):
    """Told beforehand they are numbers, as recorded; a run that was not told makes the same step."""
    told = with_theory_defaults(make_solver(name), 0.2, sampled=True)
    assert told.step == pytest.approx(step, rel=1e-15)
    numbers = {key: value for key, value in hyperparameters(told).items() if key != "step"}
    untold = dataclasses.replace(make_solver(name), **numbers)
    with Precision().scope():
        game = random_game(np.random.default_rng(1), 5, 0.2).replace(feedback=DUELS)
        one, two, game = arrays((told, untold, game))
        key = jax.random.key(0)
        moved = [
            iterate_of(solver.update(game, solver.init(game, key), jax.random.key(1))).parameters
            for solver in (one, two)
        ]
    np.testing.assert_allclose(*moved, rtol=1e-12)


def test_the_default_parts_are_plain():
    assert PolicyGradient() == make_solver("online-ipo").learner
