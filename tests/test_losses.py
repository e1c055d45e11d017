"""Losses against formulas written by hand, and their gradients against those of our solvers."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nashgames import losses
from nashgames.core import random, simplex
from nashgames.core.precision import Precision
from nashgames.errors import NashGamesError
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


def by_hand(name, log_policy, log_reference, other, labels):
    """The losses of pairs in loops over Python numbers, from the papers' formulas with labels of who won."""
    found = []
    for pi, mu, third, o in zip(log_policy, log_reference, other, labels, strict=True):
        ratio = (pi[0] - pi[1]) - (mu[0] - mu[1])
        if name == "ipo":
            found.append(o * (ratio - 1 / (2 * BETA)) ** 2 + (1 - o) * (-ratio - 1 / (2 * BETA)) ** 2)
        elif name == "dpo":
            won, lost = (1 / (1 + np.exp(-sign * BETA * ratio)) for sign in (1, -1))
            found.append(-o * np.log(won) - (1 - o) * np.log(lost))
        else:
            h = (pi[0] - pi[1]) - BETA / ETA * (mu[0] - mu[1]) - (ETA - BETA) / ETA * (third[0] - third[1])
            found.append(o * (h - 1 / (2 * ETA)) ** 2 + (1 - o) * (-h - 1 / (2 * ETA)) ** 2)
    return np.mean(found)


@pytest.mark.parametrize("name", ["ipo", "dpo", "inpo"])
def test_losses_of_pairs_by_hand(rng, name):
    log_policy, log_reference, previous = rng.normal(size=(3, 6, 2))
    labels = rng.integers(2, size=6)
    rest = (previous, BETA, ETA) if name == "inpo" else (BETA,)
    loss = getattr(losses, name)
    for given, told in ((labels, labels), (labels == 1, labels), (1.0, np.ones(6)), (None, np.ones(6))):
        found = (
            loss(log_policy, log_reference, *rest) if given is None else loss(log_policy, log_reference, *rest, given)
        )
        np.testing.assert_allclose(found, by_hand(name, log_policy, log_reference, previous, told), rtol=1e-14)


def test_dpo_has_half_of_its_slope_where_training_begins():
    same = jnp.zeros((1, 2))
    slope = jax.grad(lambda log_policy: losses.dpo(log_policy, same, BETA))(same)
    np.testing.assert_allclose(slope, [[-BETA / 2, BETA / 2]], rtol=1e-15)
    # Far off it is a line, and no overflow.
    np.testing.assert_allclose(losses.dpo(np.array([[-1e4, 0.0]]), np.zeros((1, 2)), BETA), 1e4 * BETA)


def test_losses_of_answers_by_hand(rng):
    """Values of the surrogates in loops, prompt by prompt."""
    log_policy, log_reference, log_target = rng.normal(size=(3, 2, 3))
    labels, preferences = rng.uniform(size=(2, 3)), rng.uniform(size=(2, 3, 3))
    anchor = (ETA * log_reference + log_target) / (1 + ETA)

    def value(rewards, penalty):
        """`rewards` of each answer; `penalty` is all that its baseline takes of the others."""
        total = 0.0
        for x, k in itertools.product(range(2), range(3)):
            baseline = sum(penalty[x, j] for j in range(3) if j != k) / 2
            total -= (rewards[x, k] - baseline) * log_policy[x, k] / 6
        return total

    def played(x, k):
        return sum(preferences[x, k, j] - 0.5 for j in range(3) if j != k) / 2

    def kl(log_anchor, temperature):
        return -temperature * (log_policy - log_anchor)

    won = np.array([[played(x, k) for k in range(3)] for x in range(2)])
    plain, inner = kl(log_reference, BETA), kl(anchor, TAU)
    targeted = log_reference, log_target
    for found, wanted in (
        (losses.self_play(log_policy, log_reference, preferences, BETA), value(won + plain, plain)),
        (losses.nash_prox(log_policy, *targeted, preferences, BETA, ETA), value(won + inner, inner)),
        (
            losses.nash_md_pg(log_policy, log_reference, labels, BETA),
            value(labels - 0.5 + plain, labels - 0.5 + plain),
        ),
        (
            losses.practical_nash_mp(log_policy, *targeted, labels, BETA, ETA),
            value(labels - 0.5 + inner, labels - 0.5 + inner),
        ),
    ):
        np.testing.assert_allclose(found, wanted, rtol=1e-12)
    pairs = log_policy[:, :2], log_reference[:, :2], labels[:, :2]
    h = pairs[0] - pairs[1]
    wanted = np.mean([(h[x, 0] - h[x, 1] - (labels[x, 0] - labels[x, 1]) / BETA) ** 2 for x in range(2)])
    np.testing.assert_allclose(losses.egpo(*pairs, BETA), wanted, rtol=1e-14)


def test_what_is_masked_is_not_read():
    tokens = np.array([[-np.inf, -1.0, -2.0, np.nan], [-0.5, -0.25, -0.125, -9.0]], np.float32)
    mask = np.array([[0, 1, 1, 0], [1, 1, 1, 0]])
    for given in (mask, mask == 1):
        found = losses.of_sequences(tokens, given)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, [-3.0, -0.875])
        slope = jax.grad(lambda x, given=given: losses.of_sequences(x, jnp.asarray(given)).sum())(jnp.asarray(tokens))
        np.testing.assert_array_equal(slope, mask)


def calls(log_policy, log_reference, log_target, labels, preferences):
    """Every loss on answers `[3, 2]` to three prompts, with labels `[3, 2]` and preferences `[3, 2, 2]`."""
    both = log_policy, log_reference
    return {
        "ipo": losses.ipo(*both, BETA, labels[:, 0]),
        "dpo": losses.dpo(*both, BETA),
        "inpo": losses.inpo(*both, log_target, BETA, ETA, labels[:, 1]),
        "egpo": losses.egpo(*both, labels, BETA),
        "self_play": losses.self_play(*both, preferences, BETA),
        "nash_md_pg": losses.nash_md_pg(*both, labels, BETA),
        "practical_nash_mp": losses.practical_nash_mp(*both, log_target, labels, BETA, ETA),
        "nash_prox": losses.nash_prox(*both, log_target, preferences, BETA, ETA),
    }


def drawn(rng, dtype):
    """What `calls` takes, in NumPy; its labels are who won."""
    return (
        *rng.normal(size=(3, 3, 2)).astype(dtype),
        rng.integers(2, size=(3, 2)),
        rng.integers(2, size=(3, 2, 2)),
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_numpy_and_jax_agree_and_keep_the_type(rng, dtype):
    given = drawn(rng, dtype)
    ours, theirs = calls(*given), calls(*map(jnp.asarray, given))
    for name in ours:
        assert ours[name].dtype == theirs[name].dtype == dtype, name
        np.testing.assert_allclose(ours[name], theirs[name], rtol=2e-6 if dtype == "float32" else 1e-14)
    assert set(ours) <= set(vars(losses))


def test_numbers_of_numpy_and_traced_ones_are_numbers(rng):
    """A β from an array is a `np.float64`, which would make float64 of float32; a traced β compiles once for all."""
    log_policy, log_reference = rng.normal(size=(2, 3, 2)).astype(np.float32)
    wanted = losses.ipo(log_policy, log_reference, BETA)
    assert losses.ipo(log_policy, log_reference, np.array([BETA])[0]).dtype == np.float32
    traced = jax.jit(losses.ipo)(jnp.asarray(log_policy), jnp.asarray(log_reference), jnp.float32(BETA))
    np.testing.assert_allclose(traced, wanted, rtol=1e-6)


def test_the_moving_target_goes_leaf_by_leaf():
    target = {"weights": [np.float32([1.0, 3.0])], "steps": np.array(4)}
    moved = losses.moving_target(target, {"weights": [np.float32([2.0, 1.0])], "steps": np.array(9)}, 0.25)
    np.testing.assert_array_equal(moved["weights"][0], [1.25, 2.5])
    assert moved["weights"][0].dtype == np.float32
    assert moved["steps"] == 9
    close(losses.moving_target(target, target, 1), target)


PAIR = np.zeros((3, 2))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: losses.ipo(PAIR, PAIR[:, :1], 0.1), r"log_anchor has shape \(3, 1\) beside \(3, 2\)"),
        (lambda: losses.ipo(np.zeros((2, 3)), np.zeros((2, 3)), 0.1), "last axis is a pair"),
        (lambda: losses.ipo(PAIR, PAIR, 0), "beta is 0; accepted: a finite number above 0|temperature is 0"),
        (lambda: losses.dpo(PAIR, PAIR, -1.0), "beta is -1"),
        (lambda: losses.dpo(PAIR, PAIR, 0.1, np.ones(2)), r"labels have shape \(2,\).*give labels of shape \(3,\)"),
        (
            lambda: losses.inpo(PAIR, PAIR, PAIR, 0.5, 0.1),
            "eta is 0.1; accepted: an inverse step of at least beta, 0.5",
        ),
        (lambda: losses.inpo(PAIR, PAIR, PAIR[:2], 0.5, 1.0), "log_previous has shape"),
        (lambda: losses.self_play(PAIR, PAIR, PAIR, 0.1), r"give labels of shape \(3, 2, 2\)"),
        (lambda: losses.self_play(PAIR[:, :1], PAIR[:, :1], np.zeros((3, 1, 1)), 0.1), "needs two along the last axis"),
        (lambda: losses.nash_md_pg(PAIR, PAIR, PAIR[:, 0], 0.1), r"give labels of shape \(3, 2\)"),
        (lambda: losses.proximal(PAIR, PAIR[:, 0], 0.1, 0.1), "log_target has shape"),
        (lambda: losses.proximal(PAIR, PAIR, 0.1, 0.0), "eta is 0"),
        (lambda: losses.surrogate(PAIR, PAIR[:, :1]), "rewards has shape"),
        (lambda: losses.of_sequences(PAIR, PAIR[:, :1]), "mask has shape"),
        (lambda: losses.moving_target([1.0], [1.0], 1.5), "kappa is 1.5; accepted: a number above 0 and at most 1"),
        (lambda: losses.moving_target([1.0], [1.0, 2.0], 0.5), "give both in one form"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(call, said):
    with pytest.raises(NashGamesError, match=said):
        call()
