"""The gradients of losses against those of our solvers: on the same duels, and in expectation over all of them."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nashgames import losses
from nashgames.core import random, simplex
from nashgames.core.precision import Precision
from nashgames.learning.features import resolve_features
from nashgames.learning.feedback import FEEDBACKS
from nashgames.learning.policy_gradient import Objective, uniform_pairs
from nashgames.solvers import compose, features_of, make_solver
from tests.games import arrays, random_game

N, BETA, ETA, STEP, DUELS = 5, 0.2, 0.6, 0.3, 40
LINEAR = "log-linear[features=random,dimension=3]"
POLICIES = ["tabular", LINEAR]
TAU = BETA * (1 + 1 / ETA)


@pytest.fixture(autouse=True)
def _float64():
    with Precision().scope():
        yield


def case(rng, name, policy="tabular"):
    """A solver with its game on duels, and its state after a few steps on exact feedback, away from the start."""
    solver = compose(make_solver(name), policy=policy).with_theory_defaults(BETA)
    game, seen = random_game(rng, N, BETA), features_of(solver)
    game = game if seen is None else game.replace(features=resolve_features(*seen, game, seed=0))
    solver, game = arrays((solver, game))
    state = solver.init(game, jax.random.key(1))
    for _ in range(4):
        state = solver.update(game, state, jax.random.key(2))
    return solver, game, state


def duels(game, log_behaviour, log_opponent, key):
    """The pairs that a query of `duels` draws from its key, and their labels, `[B]`."""
    ours, theirs, judge = random.words(key, (3, DUELS))
    rows, columns = random.draw(log_behaviour, ours), random.draw(log_opponent, theirs)
    won = random.unit(judge, jnp.float64) < 0.5 + game.margins.entries(rows, columns)
    return rows, columns, won


def close(found, wanted):
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-13)


def ascended(solver, game, parameters, loss):
    """θ − a ∇ loss(log π_θ)."""
    slopes = jax.grad(lambda theta: loss(solver.learner.policy.log_policy(game, theta)))(parameters)
    return jax.tree.map(lambda old, slope: old - STEP * slope, parameters, slopes)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(
    "name",
    ["online-ipo", "nash-md-pg[mixture=0.3]", "practical-nash-mp[eta=0.6]", "nash-prox[eta=0.6,inner=1,kappa=0.2]"],
)
def test_a_step_on_the_duels_of_a_solver_is_its_step(rng, name, policy):
    """θ and θ_target after one update from the same pairs and labels, to rounding."""
    solver, game, state = case(
        rng, name.replace("]", f",step={STEP}]") if "]" in name else f"{name}[step={STEP}]", policy
    )
    moving = hasattr(state, "target")
    iterate = state.iterate if moving else state
    ours, key = iterate.log_policy, jax.random.key(5)
    opponent, anchor, temperature, excess = ours, game.log_reference, BETA, 0.0
    if name.startswith("nash-md"):
        opponent = simplex.geometric_mixture(ours, game.log_reference, 0.3)
    if moving:
        log_target = solver.learner.policy.log_policy(game, state.target)
        anchor, temperature = losses.proximal(game.log_reference, log_target, BETA, ETA)
        # The solver's anchor is normalised, which shifts all its rewards alike: it has no baseline.
        excess = temperature * jax.nn.logsumexp(anchor)
        opponent = log_target if name.startswith("practical") else ours
    rows, _, won = duels(game, ours, opponent, key)

    def loss(log_policy):
        rewards = losses.reward(log_policy[rows], anchor[rows], won, temperature) - excess
        return losses.surrogate(log_policy[rows], rewards)

    on_duels = game.replace(feedback=FEEDBACKS.make(f"duels[batch={DUELS}]"))
    known = iterate._replace(advantage=None)
    after = solver.update(on_duels, state._replace(iterate=known) if moving else known, key)
    found = ascended(solver, game, iterate.parameters, loss)
    assert not np.allclose(jax.tree.leaves(found)[0], jax.tree.leaves(iterate.parameters)[0], atol=1e-3)
    close(found, (after.iterate if moving else after).parameters)
    if moving:
        close(losses.moving_target(state.target, found, solver.kappa), after.target)


def over_all(log_policy, answers):
    """Every tuple of actions `[n^K, K]`, and its probability `[n^K]`."""
    drawn = jnp.asarray(list(itertools.product(range(N), repeat=answers)))
    return drawn, jnp.exp(log_policy[drawn].sum(-1))


def expected(solver, game, parameters, loss, answers, log_behaviour):
    """−E ∇ loss(log π_θ, y_1 … y_K) over all tuples of answers drawn by the behaviour."""
    drawn, weights = over_all(log_behaviour, answers)

    def mean(theta):
        log_policy = solver.learner.policy.log_policy(game, theta)
        return -jnp.sum(weights * jax.vmap(lambda ys: loss(log_policy, ys))(drawn))

    return jax.jit(jax.grad(mean))(parameters)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(("name", "answers"), [("self_play", 2), ("self_play", 3), ("ipo", 2), ("nash_prox", 3)])
def test_all_plays_of_the_policy_with_itself_give_the_exact_gradient(rng, name, answers, policy):
    """In expectation over all pairs and triples of answers: no baseline biases, no factor is missing."""
    solver, game, state = case(rng, f"nash-prox[eta={ETA},inner=3,step={STEP}]", policy)
    iterate, mu, preferences = state.iterate, game.log_reference, 0.5 + game.margins.values
    log_target, ours = solver.learner.policy.log_policy(game, state.target), iterate.log_policy

    def loss(log_policy, ys):
        labels = preferences[ys[:, None], ys[None, :]].at[0, 0].set(0.9)  # The diagonal changes nothing.
        if name == "ipo":
            return losses.ipo(log_policy[ys], mu[ys], BETA, labels[0, 1]) * BETA / 4
        if name == "self_play":
            return losses.self_play(log_policy[ys], mu[ys], labels, BETA)
        return losses.nash_prox(log_policy[ys], mu[ys], log_target[ys], labels, BETA, ETA)

    objective = Objective(ours, ours, BETA, mu)
    if name == "nash_prox":
        objective = Objective(ours, ours, TAU, simplex.geometric_mixture(log_target, mu, ETA / (1 + ETA)))
    close(
        expected(solver, game, iterate.parameters, loss, answers, ours),
        solver.learner.gradient(game, iterate, objective, None),
    )


@pytest.mark.parametrize(("name", "answers"), [("nash_md_pg", 2), ("nash_md_pg", 3), ("practical_nash_mp", 2)])
def test_all_plays_against_another_policy_give_the_exact_gradient(rng, name, answers):
    """Labels enter linearly, so that those of an opponent have their mean, ½ + q(π'), in their place."""
    solver, game, state = case(rng, f"practical-nash-mp[eta={ETA},step={STEP}]", LINEAR)
    iterate, mu = state.iterate, game.log_reference
    log_target, ours = solver.learner.policy.log_policy(game, state.target), iterate.log_policy
    mixed = simplex.geometric_mixture(ours, mu, 0.3)
    opponent = mixed if name == "nash_md_pg" else log_target
    labels = 0.5 + game.advantage(opponent)

    def loss(log_policy, ys):
        if name == "nash_md_pg":
            return losses.nash_md_pg(log_policy[ys], mu[ys], labels[ys], BETA)
        return losses.practical_nash_mp(log_policy[ys], mu[ys], log_target[ys], labels[ys], BETA, ETA)

    objective = Objective(ours, opponent, BETA, mu)
    if name == "practical_nash_mp":
        objective = Objective(ours, opponent, TAU, simplex.geometric_mixture(log_target, mu, ETA / (1 + ETA)))
    close(
        expected(solver, game, iterate.parameters, loss, answers, ours),
        solver.learner.gradient(game, iterate, objective, None),
    )


def test_the_baseline_of_answers_that_played_each_other_would_double_the_game(rng):
    """Which is why `self_play` takes only the log-ratios of the others into its baseline."""
    solver, game, iterate = case(rng, f"online-ipo[step={STEP}]")
    mu, ours, preferences = game.log_reference, iterate.log_policy, 0.5 + game.margins.values

    def naive(log_policy, ys):
        labels = jnp.stack([preferences[ys[0], ys[1]], preferences[ys[1], ys[0]]])
        rewards = losses.leave_one_out(losses.reward(log_policy[ys], mu[ys], labels, BETA))
        return losses.surrogate(log_policy[ys], rewards)

    found = expected(solver, game, iterate.parameters, naive, 2, ours)
    # ∇[2P − β KL] = 2 ∇[P − (β/2) KL].
    doubled = solver.learner.gradient(game, iterate, Objective(ours, ours, BETA / 2, mu), None)
    close(found, 2 * doubled)


@pytest.mark.parametrize("answers", [2, 4])
def test_self_play_is_ipo_over_all_pairs_draw_for_draw(rng, answers):
    """∇ self_play = (β/4) ∇ ipo, not in expectation only."""
    log_policy, log_reference = jnp.asarray(rng.normal(size=(2, 3, answers)))
    won = np.triu(rng.integers(2, size=(3, answers, answers)), 1)
    labels = jnp.asarray(np.where(np.tri(answers, dtype=bool), 1 - np.swapaxes(won, 1, 2), won), jnp.float64)
    first, second = np.triu_indices(answers, 1)

    def pairs(log_policy):
        both = jnp.stack([log_policy[:, first], log_policy[:, second]], axis=-1)
        reference = jnp.stack([log_reference[:, first], log_reference[:, second]], axis=-1)
        return losses.ipo(both, reference, BETA, labels[:, first, second])

    played = jax.grad(lambda log_policy: losses.self_play(log_policy, log_reference, labels, BETA))(log_policy)
    close(played, BETA / 4 * jax.grad(pairs)(log_policy))


@pytest.mark.parametrize("policy", POLICIES)
def test_two_half_steps_of_egpo_are_its_step(rng, policy):
    solver, game, iterate = case(rng, f"egpo[step={STEP}]", policy)
    mu, n = game.log_reference, N
    rows, columns = (jnp.asarray(side) for side in np.divmod(np.arange(n * n), n))
    pairs = jnp.stack([rows, columns], axis=-1)

    def after(log_opponent):
        labels = 0.5 + game.advantage(log_opponent)
        return ascended(
            solver,
            game,
            iterate.parameters,
            lambda log_policy: BETA * n / 4 * losses.egpo(log_policy[pairs], mu[pairs], labels[pairs], BETA),
        )

    half = solver.learner.policy.log_policy(game, after(iterate.log_policy))
    close(after(half), solver.update(game, iterate, jax.random.key(0)).parameters)
    close(
        jax.tree.map(lambda new, old: (new - old) / STEP, after(iterate.log_policy), iterate.parameters),
        solver.learner.gradient(game, iterate, uniform_pairs(game, iterate), None),
    )


def test_a_round_of_inpo_ends_at_its_step(rng):
    """The gradient over all pairs of π_t vanishes at the solver's next policy, and at no other."""
    solver, game = arrays((make_solver("inpo[eta=0.7]"), random_game(rng, N, BETA)))
    state = solver.update(game, solver.init(game, jax.random.key(0)), jax.random.key(0))
    previous, wanted = state.log_policy, solver.update(game, state, jax.random.key(0)).log_policy
    mu, preferences = game.log_reference, 0.5 + game.margins.values
    drawn, weights = over_all(previous, 2)

    @jax.jit
    def total(theta):
        log_policy = simplex.normalise(theta)
        each = jax.vmap(
            lambda ys: losses.inpo(log_policy[ys], mu[ys], previous[ys], BETA, 0.7, preferences[ys[0], ys[1]])
        )(drawn)
        return jnp.sum(weights * each)

    np.testing.assert_allclose(jax.grad(total)(wanted), 0, atol=1e-14)
    assert np.max(np.abs(jax.grad(total)(previous))) > 1e-3
