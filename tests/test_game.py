import dataclasses
import fractions

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nashgames.core.game import DEFAULT_BETA, Description, Game, KnownEquilibrium, check_beta, make_game
from nashgames.core.margins import DenseMargins
from nashgames.core.precision import Precision
from nashgames.errors import NashGamesError
from tests.games import ROCK_PAPER_SCISSORS, log_softmax, random_margins

TWO = np.stack([ROCK_PAPER_SCISSORS, -ROCK_PAPER_SCISSORS])


def test_a_game_of_margins_alone_has_a_uniform_reference_and_the_default_beta():
    game = make_game(ROCK_PAPER_SCISSORS)
    assert (game.actions, game.contexts, game.beta, game.weights) == (3, 1, DEFAULT_BETA, 1.0)
    np.testing.assert_allclose(np.exp(game.log_reference), [1 / 3] * 3, rtol=1e-15)
    assert game.margins.to_dense() is ROCK_PAPER_SCISSORS
    assert game.description == Description()


def test_a_game_over_contexts_has_a_reference_in_each_and_weights():
    game = make_game(TWO)
    assert (game.actions, game.contexts, np.shape(game.log_reference)) == (3, 2, (2, 3))
    np.testing.assert_array_equal(game.weights, [0.5, 0.5])
    assert float(make_game(TWO, weights=[0.25, 0.75]).average(jnp.array([1.0, 2.0]))) == 1.75
    assert float(make_game(ROCK_PAPER_SCISSORS).average(jnp.float32(3))) == 3


def test_lists_integers_and_single_precision_are_read_and_an_array_is_not_copied():
    listed = make_game(ROCK_PAPER_SCISSORS.tolist(), log_reference=np.log([0.2, 0.3, 0.5]).tolist())
    np.testing.assert_array_equal(listed.margins.to_dense(), ROCK_PAPER_SCISSORS)
    assert make_game(np.zeros((2, 2), int)).margins.dtype == np.float64
    single = ROCK_PAPER_SCISSORS.astype(np.float32)
    assert make_game(single).margins.to_dense() is single
    assert make_game(jnp.asarray(single)).margins.dtype == np.float32


@pytest.mark.parametrize(
    ("margins", "arguments", "said"),
    [
        (np.zeros(3), {}, r"margins have shape \(3,\); a game needs \[n, n\] or \[contexts, n, n\] with n ≥ 2"),
        (np.zeros((2, 3)), {}, r"margins have shape \(2, 3\)"),
        (np.zeros((1, 1)), {}, r"margins have shape \(1, 1\)"),
        (np.zeros((0, 3, 3)), {}, r"margins have shape \(0, 3, 3\)"),
        (np.zeros((1, 1, 3, 3)), {}, r"margins have shape"),
        ("castles", {}, "margins cannot be read as numbers"),
        ([[0, 1], [2]], {}, "margins cannot be read as numbers"),
        (ROCK_PAPER_SCISSORS + 0.5, {}, r"margins\[0, 0\] is 0.5; .*subtract ½ from probabilities"),
        (2 * ROCK_PAPER_SCISSORS, {}, r"margins\[0, 1\] is 1 and margins\[1, 0\] is -1; .*rescale payoffs"),
        (np.abs(ROCK_PAPER_SCISSORS), {}, r"margins\[0, 1\] is 0.5 and margins\[1, 0\] is 0.5"),
        (ROCK_PAPER_SCISSORS * np.nan, {}, r"margins\[0, 0\] is nan"),
        (np.stack([ROCK_PAPER_SCISSORS, np.abs(ROCK_PAPER_SCISSORS)]), {}, r"margins\[0, 1\] is 0.5"),
        (ROCK_PAPER_SCISSORS, {"beta": 0}, "beta is 0; accepted: a finite number above 0"),
        (ROCK_PAPER_SCISSORS, {"beta": "small"}, "beta is 'small'; accepted"),
        (ROCK_PAPER_SCISSORS, {"log_reference": np.log([0.5, 0.5])}, r"the reference has shape \(2,\).*needs \(3,\)"),
        (TWO, {"log_reference": np.log([0.2, 0.3, 0.5])}, r"the reference has shape \(3,\).*needs \(2, 3\)"),
        (ROCK_PAPER_SCISSORS, {"log_reference": np.ones(3) / 3}, r"the sum of exp\(log_reference\) is 4.18\d*; accept"),
        (ROCK_PAPER_SCISSORS, {"log_reference": [0, -np.inf, -np.inf]}, "log_reference is not finite everywhere"),
        (ROCK_PAPER_SCISSORS, {"log_reference": [1e5, 0, 0]}, r"the sum of exp\(log_reference\) is inf; accepted: 1"),
        (TWO, {"weights": [0.5, 0.4]}, "the sum of the weights is 0.9; accepted: 1"),
        (TWO, {"weights": [1.5, -0.5]}, "weights are .*accepted: one number of at least 0 for each context"),
        (TWO, {"weights": [1.0]}, "weights are .*one number of at least 0 for each context"),
        (TWO, {"weights": [np.nan, 1.0]}, "weights are .*one number of at least 0 for each context"),
        (ROCK_PAPER_SCISSORS, {"weights": [0.5, 0.5]}, "weights are"),
    ],
)
def test_what_is_no_game_is_refused_in_a_sentence(margins, arguments, said):
    with pytest.raises(NashGamesError, match=said):
        make_game(margins, **arguments)


@pytest.mark.parametrize("beta", [0, -0.1, np.nan, np.inf, None, "0.1", [0.1], 1j])
def test_beta_is_a_finite_number_above_0(beta):
    with pytest.raises(NashGamesError, match=r"beta is .*; accepted: a finite number above 0"):
        check_beta(beta)


@pytest.mark.parametrize("beta", [1e-300, 0.1, 1, 1e6, np.float32(0.5), fractions.Fraction(1, 3)])
def test_every_kind_of_number_above_0_is_a_beta(beta):
    check_beta(beta)


def test_only_numbers_are_leaves_so_that_a_label_never_recompiles():
    traces = []

    @jax.jit
    def read(game):
        traces.append(game)
        return game.advantage(game.log_reference)

    game = make_game(ROCK_PAPER_SCISSORS)
    known = KnownEquilibrium(0.0, np.log(np.full(3, 1 / 3)))
    told = Description("rps", {"margin": 0.5}, labels=("r", "p", "s"), notes=("a note",), known_equilibrium=known)
    with Precision().scope():
        first = read(game)
        np.testing.assert_array_equal(read(game.replace(description=told, beta=0.3)), first)
        read(game.replace(margins=DenseMargins(-ROCK_PAPER_SCISSORS)))
    assert len(traces) == 1
    assert len(jax.tree.leaves(game)) == 4


def test_a_copy_with_a_field_changed_leaves_the_game_as_it_was(rng):
    game = make_game(random_margins(rng, 3), log_reference=log_softmax(rng.normal(size=3)))
    other = game.replace(beta=0.5)
    assert (other.beta, game.beta) == (0.5, DEFAULT_BETA)
    assert other.margins is game.margins
    assert other.log_reference is game.log_reference
    with pytest.raises(dataclasses.FrozenInstanceError):
        game.beta = 1.0
    assert isinstance(other, Game)


def test_a_query_is_the_product_of_the_margins_and_the_probabilities(rng):
    margins, log_policy = random_margins(rng, 5), log_softmax(rng.normal(size=5))
    with Precision().scope():
        found = make_game(margins).advantage(jnp.asarray(log_policy))
    np.testing.assert_allclose(found, margins @ np.exp(log_policy), rtol=1e-12)
