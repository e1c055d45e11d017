"""Length, repetition and variety of sequences: by hand, and how often their intervals hold the expected values."""

import itertools
import math

import numpy as np
import pytest

from nashgames.errors import NashGamesError
from nashgames.estimators import distinct, length, repeated

END, STOP, STAY = 0, 0.25, 0.4
DRAWS, K, L = 400, 60, 6
BY_HAND = np.array([[1, 1, 2, END, 1], [END, 1, 1, 1, 1], [2, 1, 1, 2, 1], [3, END, END, END, END]])


def test_what_stands_before_the_end_by_hand():
    """Lengths 3, 0, 5, 1; pairs 11 12 | 21 11 12 21, of which two repeat; four tokens of three kinds in nine."""
    assert length(BY_HAND, END).value == 9 / 4
    assert repeated(BY_HAND, END).value == 2 / 6
    assert distinct(BY_HAND, END, n=1).value == 3 / 9
    assert distinct(BY_HAND, END, n=2).value == 3 / 6
    assert distinct(BY_HAND, END, n=3).value == 3 / 4
    assert length(BY_HAND, END).error == pytest.approx(np.std([3, 0, 5, 1], ddof=1) / 2)
    # The end token of another vocabulary is a token like any other.
    assert length(BY_HAND, 9).value == 5


def sequences(rng, count):
    """Tokens 1 … 5 in a chain that stays with STAY, and stops before each token with STOP."""
    tokens = rng.integers(1, 6, size=(count, L))
    for place in range(1, L):
        stays = rng.random(count) < STAY
        tokens[stays, place] = tokens[stays, place - 1]
    stopped = np.cumsum(rng.random((count, L)) < STOP, axis=1) > 0
    return np.where(stopped, END, tokens)


LENGTH = sum((1 - STOP) ** place for place in range(1, L + 1))
REPEATED = STAY + (1 - STAY) / 5


@pytest.mark.parametrize("level", [0.9, 0.95])
@pytest.mark.parametrize(("statistic", "exact"), [(length, LENGTH), (repeated, REPEATED)])
def test_intervals_hold_the_expected_value_as_often_as_they_say(rng, statistic, exact, level):
    found = [statistic(sequences(rng, K), END, level=level) for _ in range(DRAWS)]
    values = np.array([each.value for each in found])
    # A ratio of means has a bias of the order 1/K, well below its error.
    assert abs(values.mean() - exact) <= 4 * values.std() / math.sqrt(DRAWS)
    held = np.mean([each.low <= exact <= each.high for each in found])
    assert abs(held - level) <= 4 * math.sqrt(level * (1 - level) / DRAWS)
    assert np.mean([each.error for each in found]) == pytest.approx(values.std(), rel=0.15)


@pytest.mark.parametrize("n", [2, 3])
def test_the_interval_of_distinct_n_is_for_as_many_sequences(rng, n):
    found = [distinct(sequences(rng, K), END, n=n) for _ in range(DRAWS)]
    values = np.array([each.value for each in found])
    held = np.mean([each.low <= values.mean() <= each.high for each in found])
    assert held >= 0.95 - 4 * math.sqrt(0.95 * 0.05 / DRAWS)
    # Too large rather than too small, and not by much.
    assert 0.95 * values.std() <= np.mean([each.error for each in found]) <= 2 * values.std()


def test_the_jackknife_of_distinct_n_is_that_of_leaving_out(rng):
    tokens = sequences(rng, 20)

    def plain(rows):
        grams = [pair for row in rows for pair in itertools.pairwise(itertools.takewhile(lambda t: t != END, row))]
        return len(set(grams)) / len(grams)

    rows = tokens.tolist()
    without = [plain(rows[:k] + rows[k + 1 :]) for k in range(20)]
    found = distinct(tokens, END)
    assert found.value == plain(rows)
    assert found.error == pytest.approx(math.sqrt(19 * np.var(without)))


def test_what_says_nothing_is_not_a_number_and_what_says_one_thing_is_no_certainty():
    for statistic in (repeated, distinct):
        found = statistic(np.array([[1, END], [END, END]]), END)
        assert math.isnan(found.value)
        assert (found.low, found.high, found.refused) == (0.0, 1.0, 1.0)
    never = repeated(np.tile([1, 2, 3], (10, 1)), END)
    assert (never.value, never.low) == (0.0, 0.0)
    assert 0.2 < never.high < 0.4


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: length(BY_HAND[0], END), r"int64 of shape \(5,\); give whole numbers \[K, L\]"),
        (lambda: length(BY_HAND[:1], END), "at least two sequences"),
        (lambda: repeated(BY_HAND / 1, END), "the tokens are float64"),
        (lambda: distinct(BY_HAND, END, n=0), "n is 0; accepted: the number of tokens of an n-gram, at least 1"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(call, said):
    with pytest.raises(NashGamesError, match=said):
        call()
