"""Duels against what they estimate: every frequency and every mean within its standard error, bit for bit by seed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.random import threefry_2x32

from nashgames.core import random
from nashgames.core.game import make_game
from nashgames.core.precision import Precision
from nashgames.errors import NashGamesError
from nashgames.learning.feedback import FEEDBACKS, Duels, Exact
from tests.games import arrays, log_softmax, random_game, random_margins

DRAWS = 40_000
_draw = jax.jit(random.draw)
_tallies = jax.jit(
    lambda game, ours, theirs, keys: jax.vmap(lambda key: game.tally(ours, theirs, key))(keys),
)


def keys(count=DRAWS, seed=0):
    return jax.random.split(jax.random.key(seed), count)


def two_policies(rng, shape):
    drawn = rng.normal(size=(2, *shape))
    return map(jnp.asarray, drawn - np.log(np.exp(drawn).sum(-1, keepdims=True)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_actions_are_drawn_with_their_probabilities(rng, dtype):
    with Precision(dtype).scope():
        policy = np.array([0.3, 0.0, 0.05, 0.6499, 1e-4, 0.0])
        log_policy = jnp.asarray(np.log(np.maximum(policy, 1e-300)), dtype)
        bits = jax.random.bits(jax.random.key(1), (400_000,), jnp.uint32)
        counts = np.bincount(np.asarray(_draw(log_policy, bits)), minlength=6)
    assert counts[1] == counts[5] == 0
    played = policy > 0
    expected = 400_000 * policy[played]
    assert np.sum((counts[played] - expected) ** 2 / expected) < 20
    assert counts.sum() == 400_000


# Blocks of 1, 2, 4, 8 and 64 actions, at the ends of the first.
@pytest.mark.parametrize(
    ("n", "dtype"), [(n, "float32") for n in (2, 16, 17, 40, 100, 1000)] + [(17, "float64"), (1000, "float64")]
)
def test_the_search_is_the_inverse_of_the_distribution(rng, n, dtype):
    """Against NumPy's searchsorted for the same numbers, at any size."""
    with Precision(dtype).scope():
        log_policy = jnp.asarray(log_softmax(3 * rng.normal(size=n)), dtype)
        bits = jax.random.bits(jax.random.key(n), (5_000,), jnp.uint32)
        bits = bits.at[:2].set(jnp.asarray([0, 2**32 - 1], jnp.uint32))
        found = np.asarray(_draw(log_policy, bits))
        cumulative = np.asarray(jnp.cumsum(jnp.exp(log_policy)), float)
    u = (np.asarray(bits, np.int64) >> 1) / 2.0**31
    wanted = np.searchsorted(cumulative[:-1] / cumulative[-1], u, side="right")
    # The sums are rounded to the dtype and to 2^-31: numbers at a step may fall to either side of it.
    near = np.min(np.abs(u[:, None] - cumulative / cumulative[-1]), axis=1) < (1e-6 if dtype == "float32" else 1e-9)
    assert near.mean() < 0.02
    np.testing.assert_array_equal(found[~near], wanted[~near])
    assert found.min() >= 0
    assert found.max() < n


def test_random_words_are_threefry(rng):
    """The known answers of Random123 (Salmon et al. 2011), and JAX's own primitive on the same counters."""
    with Precision().scope():
        zero = jax.random.wrap_key_data(jnp.zeros(2, jnp.uint32), impl="threefry2x32")
        assert [int(word) for word in random.words(zero, (2,))] == [0x6B200159, 0x99BA4EFE]
        key = jax.random.key(5)
        counters = jnp.concatenate([jnp.arange(8, dtype=jnp.uint32), jnp.zeros(8, jnp.uint32)])
        known = np.asarray(threefry_2x32(jax.random.key_data(key), counters))
        np.testing.assert_array_equal(np.asarray(random.words(key, (3, 5))).ravel(), known[:15])


def test_the_uniform_numbers_are_inside_the_unit_interval_at_both_ends():
    for dtype in ("float32", "float64"):
        with Precision(dtype).scope():
            ends = np.asarray(random.unit(jnp.asarray([0, 2**32 - 1], jnp.uint32), jnp.dtype(dtype)))
        assert ends[0] > 0
        assert ends[1] < 1
        assert ends[0] == 1 - ends[1]


# Who wins in several contexts is drawn in test_samples.
@pytest.mark.parametrize(("label", "contexts"), [("binary", 1), ("probability", 3)])
def test_a_tally_of_duels_is_unbiased(rng, label, contexts):
    shape = (5,) if contexts == 1 else (3, 5)
    margins = random_margins(rng, 5) if contexts == 1 else np.stack([random_margins(rng, 5) for _ in range(3)])
    game = make_game(margins)
    with Precision().scope():
        game = jax.tree.map(jnp.asarray, game)
        ours, theirs = two_policies(rng, shape)
        found = _tallies(game.replace(feedback=Duels(batch=3, label=label)), ours, theirs, keys())
        exact = game.replace(feedback=Exact()).tally(ours, theirs, None)
        found, exact, ours, theirs = jax.tree.map(np.asarray, (found, exact, ours, theirs))
    by_hand = np.exp(ours) * np.einsum("...ij,...j->...i", margins, np.exp(theirs))
    np.testing.assert_allclose(exact.margins, by_hand, atol=1e-15)
    np.testing.assert_allclose(exact.visits, np.exp(ours), atol=1e-15)
    for sampled, expected in zip(found, exact, strict=True):
        error = np.std(sampled, axis=0) / np.sqrt(DRAWS)
        assert np.all(np.abs(np.mean(sampled, axis=0) - expected) < 5 * error)
        # The mean must be seen through the noise, or the test could not fail.
        assert np.linalg.norm(expected) > 10 * np.linalg.norm(error)
    np.testing.assert_allclose(np.sum(found.visits, axis=-1), 1, atol=1e-12)
    # Who won is ½ or −½, of which three duels make sixths; the probability itself tells more.
    assert np.allclose(6 * found.margins, np.round(6 * found.margins), atol=1e-12) == (label == "binary")


@pytest.mark.parametrize(("noise", "temperature"), [(0.2, None), (None, 3.0), (0.1, 0.4)])
def test_a_noisy_judge_is_another_game_and_certainty_stays_certain(rng, noise, temperature):
    margins = random_margins(rng, 4, sharpness=10.0)
    margins[0, 1], margins[1, 0] = 0.5, -0.5
    game = make_game(margins)
    flip, warm = noise or 0.0, temperature or 1.0
    p = margins + 0.5
    won, lost = p ** (1 / warm), (1 - p) ** (1 / warm)
    judged = (1 - 2 * flip) * (won / (won + lost) - 0.5)
    with Precision().scope():
        game = jax.tree.map(jnp.asarray, game)
        ours, theirs = two_policies(rng, (4,))
        duels = jax.tree.map(float, Duels(batch=2, noise=noise, temperature=temperature))
        np.testing.assert_allclose(duels.judged(jnp.asarray(margins)), judged, atol=1e-14)
        # Duels ask the judge as he is: one of both kinds is enough to see it.
        if noise is None or temperature is None:
            return
        found = np.asarray(_tallies(game.replace(feedback=duels), ours, theirs, keys()).margins)
        ours, theirs = np.asarray(ours), np.asarray(theirs)
    expected = np.exp(ours) * (judged @ np.exp(theirs))
    assert np.all(np.abs(np.mean(found, axis=0) - expected) < 5 * np.std(found, axis=0) / np.sqrt(DRAWS))


def test_one_key_repeats_bit_for_bit_and_two_differ(rng):
    game = random_game(rng, 6, 0.1).replace(feedback=Duels(batch=50))
    with Precision().scope():
        game = arrays(game)
        log_policy = game.log_reference
        once, again, other = (
            np.asarray(_tallies(game, log_policy, log_policy, keys(2, seed)).margins) for seed in (0, 0, 1)
        )
    np.testing.assert_array_equal(once, again)
    assert np.all(np.any(once != other, axis=-1))
    assert np.any(once[0] != once[1])


@pytest.mark.parametrize(
    "text", ["exact", "duels", "duels[batch=100]", "duels[batch=7,label=probability,noise=0.1,temperature=2]"]
)
def test_feedback_selects_itself_again(text):
    feedback = FEEDBACKS.make(text)
    assert FEEDBACKS.text(feedback) == text
    assert FEEDBACKS.make(FEEDBACKS.text(feedback)) == feedback
    assert feedback.comparisons == (0 if text == "exact" else getattr(feedback, "batch", 0))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("duel", ["duel", "did you mean 'duels'"]),
        ("exact[batch=2]", ["batch", "exact"]),
        ("duels[batch=0]", ["duels[batch] is 0", "from 1"]),
        ("duels[batch=1.5]", ["an integer"]),
        ("duels[label=soft]", ["duels[label] is 'soft'", "binary, probability"]),
        ("duels[noise=0.5]", ["duels[noise] is 0.5", "below 0.5"]),
        ("duels[noise=nan]", ["duels[noise] is nan"]),
        ("duels[temperature=0]", ["duels[temperature] is 0", "above 0"]),
    ],
)
def test_a_mistake_is_one_sentence(text, words):
    with pytest.raises(NashGamesError) as caught:
        FEEDBACKS.make(text)
    assert all(word in str(caught.value) for word in words), caught.value
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_judge_at_a_temperature_answers_for_margins_beyond_a_half_by_rounding(sign):
    margins = sign * jnp.array([0.5, 0.5 + 5e-7])
    assert np.asarray(Duels(temperature=2.0).judged(margins)).tolist() == [0.5 * sign, 0.5 * sign]
