"""What storages refuse, and when entries are whole multiples."""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nashgames as ng
from nashgames.core.margins import (
    Blotto,
    HalfMargins,
    Logistic,
    LowRankMargins,
    PackedMargins,
    StreamedMargins,
    Voters,
    elements,
    low_rank,
    stack,
    tiles,
)
from nashgames.errors import NashGamesError


def scale_of(*parts):
    return elements.scale_of(lambda: iter(map(np.asarray, parts)))


@pytest.mark.parametrize(
    ("parts", "scale"),
    [
        (([0.5, -0.25], [0.125]), 0.125),
        (([0.0, 0.0], [0.3]), 0.3),
        (([0.0],), 1.0),
        # 3 votes of 7, and a later tile with the seventh that all are multiples of.
        (([3 / 14, -0.5], [1 / 14]), 1 / 14),
        (([127 / 254], [1 / 254]), 1 / 254),
        # One more than a byte counts, in one tile, or only with the small entries of a later one.
        (([128 / 256, 1 / 256],), None),
        (([0.5, 0.25], [0.5 / 128]), None),
        (([0.1, 0.1 + 1e-12],), None),
        (([0.5, np.nan],), None),
        ((np.linspace(-0.5, 0.5, 2000),), None),
    ],
)
def test_the_scale_is_the_largest_number_that_all_entries_are_multiples_of(parts, scale):
    found = scale_of(*parts)
    assert found == (None if scale is None else pytest.approx(scale, rel=1e-15))
    if found is not None:
        held = [elements.numbers(elements.small(np.asarray(part), found), np.float64(found)) for part in parts]
        np.testing.assert_allclose(np.concatenate(held), np.concatenate(parts), rtol=4.5e-16, atol=0)


def test_castles_are_whole_multiples():
    castles = ng.load("castles").margins
    half = HalfMargins.filled(castles.shape[0], [lambda rows, columns: castles.values[rows, columns]], np.float64)
    assert half.values.dtype == np.int8
    assert 7.9 * half.nbytes <= castles.nbytes
    actions = np.arange(castles.shape[0])
    for others in (actions[::-1], np.roll(actions, 17)):
        found, given = (margins.lookup(actions, others) for margins in (half, castles))
        np.testing.assert_allclose(found, given, rtol=4.5e-16, atol=0)


def test_rounded_entries_are_nearest_bfloat16_and_negatives_have_the_other_sign(rng):
    values = np.concatenate([rng.uniform(-0.5, 0.5, 100), [0.0, 0.5, 1e-30]])
    bits = elements.small(values, None)
    assert bits.dtype == elements.BITS
    held = elements.numbers(bits, np.float64(1))
    np.testing.assert_array_equal(held, values.astype(jnp.bfloat16).astype(np.float64))
    np.testing.assert_array_equal(elements.numbers(elements.negative(bits), np.float64(1)), -held)
    np.testing.assert_array_equal(elements.wide(jnp.asarray(bits), jnp.float32), held.astype(np.float32))


def test_games_of_two_kinds_of_entries_are_not_stacked():
    whole, rounded = (
        HalfMargins.filled(3, [lambda i, j, of=of: of[i, j]], np.float64)
        for of in (np.full((3, 3), 0.25), np.array([[0, 0.1, 0.2**0.5], [0, 0, 0.1**0.5], [0, 0, 0]]))
    )
    with pytest.raises(ValueError, match="int8 or bfloat16"):
        stack([whole, rounded])
    several = HalfMargins.filled(
        3, [lambda i, j, of=of: elements.numbers(of.values, of.scale)[i, j] for of in (whole, rounded)], np.float64
    )
    assert several.values.dtype == elements.BITS


@pytest.mark.parametrize(
    ("margins", "says"),
    [
        (HalfMargins(np.array([[0, 1], [1, 0]], np.int8), np.float64(0.5)), "A\\[j, i\\] = −A\\[i, j\\]"),
        (HalfMargins(np.array([[0, 2], [-2, 0]], np.int8), np.float64(0.5)), "in \\[−½, ½\\]"),
        (PackedMargins(np.array([[[0, 0.75], [0, 0]]]), np.float64(1), 2), "entry of size 0.75"),
        (PackedMargins(np.array([[[0, np.nan], [0, 0]]]), np.float64(1), 2), "entry of size nan"),
        (StreamedMargins(Logistic(np.ones((3, 1)), np.ones((3, 2)))), "two of one shape"),
        (StreamedMargins(Logistic(np.full((3, 1), np.inf), np.ones((3, 1)))), "finite"),
        (StreamedMargins(Voters(np.zeros((3, 2), np.int32), np.ones(3) / 3)), "weights of 3"),
        (StreamedMargins(Voters(np.full((3, 2), 1024, np.int32), np.ones(2) / 2)), "from 0 to 1,023"),
        (StreamedMargins(Blotto(np.full((3, 2), -1, np.int16), 1)), "deployments are int16 from -1"),
        (StreamedMargins(Blotto(np.full((3, 2), 0.5), 1)), "whole numbers"),
        (StreamedMargins(Blotto(np.zeros((3, 128), np.int16), 1)), "at most 127"),
    ],
)
def test_what_is_no_game_is_refused(margins, says):
    with pytest.raises(NashGamesError, match=says):
        ng.make_game(margins)


def test_what_cannot_be_stacked_is_refused():
    formulas = [Logistic(np.ones((3, 1)), np.ones((3, 1))), Voters(np.zeros((3, 2), np.int32), np.ones(2) / 2)]
    with pytest.raises(ValueError, match="one formula"):
        stack([StreamedMargins(formula) for formula in formulas])


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Doubled(Logistic):
    """A formula that may leave [−½, ½]."""

    within_half: ClassVar[bool] = False

    def tile(self, columns, dtype):
        return 2 * super().tile(columns, dtype)


@pytest.mark.parametrize("listed", [100, 10])
def test_a_formula_without_bounds_is_looked_at(listed, monkeypatch, rng):
    monkeypatch.setattr(tiles, "LISTED", listed)
    monkeypatch.setattr(tiles, "_DRAWN", 1)
    factors = rng.normal(size=(2, 30, 1))
    StreamedMargins(Doubled(*(0.1 * factors))).check()
    with pytest.raises(NashGamesError, match="entry of size"):
        StreamedMargins(Doubled(*(9 * factors))).check()


@pytest.mark.parametrize("listed", [100, 10])
def test_factors_are_refused_for_the_one_entry_that_is_too_large(listed, monkeypatch, rng):
    monkeypatch.setattr(tiles, "LISTED", listed)
    monkeypatch.setattr(tiles, "_DRAWN", 1)
    monkeypatch.setattr(low_rank, "LISTED", listed)
    left, right = rng.uniform(-0.2, 0.2, size=(2, 60, 2))
    entries = left @ right.T - right @ left.T
    factor = 0.5 / np.abs(entries).max()
    LowRankMargins(left * factor, right).check()
    with pytest.raises(NashGamesError, match="entry of size"):
        LowRankMargins(left * (factor * 1.001), right).check()
    with pytest.raises(NashGamesError, match="finite"):
        LowRankMargins(np.where(np.arange(60)[:, None] == 7, np.nan, left), right).check()


def test_a_bound_proves_small_factors_without_their_entries(monkeypatch):
    monkeypatch.setattr(LowRankMargins, "_block", lambda *_: pytest.fail("entries were made"))
    # Sides of very different size, which a bound that does not balance them would not prove.
    left, right = np.full((3_000_000, 1), 200.0), np.full((3_000_000, 1), 0.001)
    LowRankMargins(left, right).check()
