"""Losses against formulas written by hand, in NumPy and in JAX, and what they refuse."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nashgames import losses
from nashgames.core.precision import Precision
from nashgames.errors import NashGamesError

BETA, ETA = 0.2, 0.6
TAU = BETA * (1 + 1 / ETA)


@pytest.fixture(autouse=True)
def _float64():
    with Precision().scope():
        yield


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


def test_a_reward_has_no_gradient():
    """It is the log-probability beside it that a surrogate differentiates."""
    log_policy = jnp.zeros(3)
    slope = jax.grad(lambda log_policy: losses.reward(log_policy, jnp.ones(3), jnp.ones(3), BETA).sum())(log_policy)
    np.testing.assert_array_equal(slope, np.zeros(3))


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
    whole = losses.moving_target(target, {"weights": [np.float32([7.0, 8.0])], "steps": np.array(9)}, 1)
    np.testing.assert_array_equal(whole["weights"][0], [7.0, 8.0])


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
