"""Facts of a game, each against a second way of computing it that looks at every pair or triple."""

import itertools
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nashgames.core.game import Description, make_game
from nashgames.core.margins import TILE, DenseMargins, tiles
from nashgames.games import properties as module
from nashgames.games.families import generate
from nashgames.games.properties import facts

SELECTIONS = [
    "bradley-terry",
    "random-logits",
    "tournament",
    "circulant",
    "disc",
    "melo[cyclic=0.3]",
    "group-transitive",
    "voters[types=4]",
    "mallows",
    "planted[support=5]",
]


def skew(entries, n):
    """The skew-symmetric matrix with these entries above the diagonal."""
    values = np.zeros((n, n))
    values[np.triu_indices(n, 1)] = entries
    return values - values.T


def cyclic_share(values):
    cycles = 0
    for i, j, k in itertools.combinations(range(len(values)), 3):
        one_way = values[i, j] > 0 and values[j, k] > 0 and values[k, i] > 0
        other_way = values[j, i] > 0 and values[k, j] > 0 and values[i, k] > 0
        cycles += one_way or other_way
    return cycles / sum(1 for _ in itertools.combinations(range(len(values)), 3))


def winner_of(values):
    n = len(values)
    winners = [i for i in range(n) if all(values[i, j] > 0 for j in range(n) if j != i)]
    return winners[0] if winners else None


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("selection", SELECTIONS)
def test_every_fact_against_brute_force(selection, dtype):
    game = generate(selection, actions=15, seed=3, dtype=dtype)
    values = np.asarray(game.margins.to_dense(), np.float64)
    found = facts(game)
    assert (found.actions, found.contexts) == (15, 1)
    assert found.cyclic_triples == pytest.approx(cyclic_share(values), abs=1e-15)
    assert not found.cyclic_triples_sampled
    assert found.condorcet_winner == winner_of(values)
    assert found.condorcet_winner_label == (None if winner_of(values) is None else str(winner_of(values)))
    assert found.rank == np.linalg.matrix_rank(values.astype(dtype))
    assert not found.rank_is_lower_bound
    assert found.max_margin == values.max()
    check_hodge_split(values, found)


def check_hodge_split(values, found):
    """The transitive part by least squares over all pairs, and the orthogonality of what it leaves."""
    n = len(values)
    pairs = list(itertools.combinations(range(n), 2))
    design = np.zeros((len(pairs), n))
    for row, (i, j) in enumerate(pairs):
        design[row, i], design[row, j] = 1, -1
    flow = np.array([values[i, j] for i, j in pairs])
    ratings = np.linalg.lstsq(design, flow, rcond=None)[0]
    np.testing.assert_allclose(found.ratings, ratings - ratings.mean(), atol=1e-12)
    transitive = found.ratings[:, None] - found.ratings[None, :]
    cyclic = values - transitive
    assert abs(np.vdot(transitive, cyclic)) < 1e-12
    assert found.transitive_energy == pytest.approx(np.sum((design @ ratings) ** 2) / np.sum(flow**2), abs=1e-12)
    assert found.cyclic_energy == pytest.approx(np.sum(cyclic**2) / np.sum(values**2), abs=1e-12)
    assert found.transitive_energy + found.cyclic_energy == pytest.approx(1, abs=1e-14)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), n=st.integers(2, 8))
def test_ties_belong_to_no_cycle_and_make_no_winner(data, n):
    size = n * (n - 1) // 2
    entries = data.draw(st.lists(st.sampled_from([-0.5, -0.1, 0.0, 0.1, 0.5]), min_size=size, max_size=size))
    values = skew(entries, n)
    found = facts(make_game(values))
    assert found.cyclic_triples == pytest.approx(cyclic_share(values) if n > 2 else 0, abs=1e-15)
    assert found.condorcet_winner == winner_of(values)
    assert found.rank % 2 == 0
    total = found.transitive_energy + found.cyclic_energy
    assert total == pytest.approx(1 if np.any(values) else 0, abs=1e-14)


def test_a_winner_is_called_by_its_label():
    game = make_game(skew([-0.1, 0.2, 0.3], 3), description=Description(labels=("a", "b", "c")))
    found = facts(game)
    assert (found.condorcet_winner, found.condorcet_winner_label) == (1, "b")
    assert facts(game.replace(margins=generate("circulant").margins)).condorcet_winner is None


def test_known_games():
    rock_paper_scissors = facts(generate("circulant"))
    assert rock_paper_scissors.cyclic_triples == 1
    assert (rock_paper_scissors.transitive_energy, rock_paper_scissors.cyclic_energy) == (0, 1)
    assert rock_paper_scissors.rank == 2
    ladder = facts(generate("bradley-terry[strength=1e-6]", actions=20))
    assert ladder.cyclic_triples == 0
    assert 0 <= ladder.cyclic_energy < 1e-10
    voters = facts(generate("voters[types=1]", actions=30))
    assert voters.condorcet_winner is not None
    assert voters.max_margin == 0.5


def test_contexts_are_averaged_by_their_weights():
    one, other = skew([0.1, 0.2, 0.3, 0.1, 0.2, 0.3], 4), skew([0.1, -0.2, 0.4, 0.3, 0.1, 0.1], 4)
    alone = [facts(make_game(values)) for values in (one, other)]
    both = facts(make_game(np.array([one, other]), weights=np.array([0.25, 0.75])))
    for name in ("cyclic_triples", "transitive_energy", "cyclic_energy", "ratings"):
        a, b = (getattr(part, name) for part in alone)
        np.testing.assert_allclose(getattr(both, name), 0.25 * a + 0.75 * b, atol=1e-15)
    assert alone[0].cyclic_triples != alone[1].cyclic_triples
    assert (both.contexts, both.max_margin, both.rank) == (2, 0.4, max(part.rank for part in alone))
    assert alone[0].condorcet_winner == 0
    assert alone[1].condorcet_winner is None
    assert both.condorcet_winner is None
    assert facts(make_game(np.array([one, one]))).condorcet_winner == 0


def test_samples_agree_with_the_exact_count(monkeypatch):
    game = generate("blotto[soldiers=10,fields=3]")
    exact = facts(game)
    monkeypatch.setattr(module, "_TRIANGLE_ACTIONS", 10)
    sampled, again, other = facts(game), facts(game), facts(game, rng_seed=1)
    assert sampled.cyclic_triples_sampled
    assert not exact.cyclic_triples_sampled
    assert sampled.cyclic_triples == again.cyclic_triples != other.cyclic_triples
    assert exact.cyclic_triples > 0.05
    assert abs(sampled.cyclic_triples - exact.cyclic_triples) < 4 * 0.0007


def test_sampled_triples_are_uniform_over_triples():
    i, j, k = module._triples(4, np.random.default_rng(0))
    assert np.all((i != j) & (j != k) & (i != k))
    counts = np.bincount(16 * i + 4 * j + k)
    counts = counts[counts > 0]
    assert len(counts) == 24
    assert np.abs(counts / counts.mean() - 1).max() < 0.04


def test_without_ties_large_games_are_counted_exactly(monkeypatch):
    game = generate("random-logits", actions=40)
    monkeypatch.setattr(module, "_TRIANGLE_ACTIONS", 10)
    found = facts(game)
    assert not found.cyclic_triples_sampled
    assert found.cyclic_triples == pytest.approx(cyclic_share(np.asarray(game.margins.to_dense())), abs=1e-15)


def test_blocks_of_rows_change_nothing(monkeypatch):
    game = generate("voters[types=4]", actions=40)
    whole = facts(game)
    monkeypatch.setattr(tiles, "TILE", 20)
    pieces = facts(game)
    assert sum(1 for _ in game.margins.blocks()) == 20
    np.testing.assert_allclose(pieces.ratings, whole.ratings, atol=1e-16)
    assert pieces.condorcet_winner == whole.condorcet_winner
    for name in ("cyclic_triples", "transitive_energy", "cyclic_energy", "max_margin", "rank"):
        assert getattr(pieces, name) == pytest.approx(getattr(whole, name), rel=1e-13)


def test_the_rank_of_a_large_game_is_a_lower_bound(monkeypatch):
    monkeypatch.setattr(module, "_RANK_ACTIONS", 12)
    left, right = np.random.default_rng(0).uniform(-0.3, 0.3, (2, 50, 3))
    low = facts(make_game(left @ right.T - right @ left.T))
    assert (low.rank, low.rank_is_lower_bound) == (6, True)
    full = facts(generate("random-logits", actions=50))
    assert (full.rank, full.rank_is_lower_bound) == (12, True)


def test_no_second_matrix_is_made(monkeypatch):
    game = generate("voters[types=4]", actions=3000, dtype="float32")
    monkeypatch.setattr(DenseMargins, "to_dense", lambda _: pytest.fail("all of A at once"))
    tracemalloc.start()
    try:
        found = facts(game)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found.cyclic_triples_sampled
    assert peak < 3 * 8 * TILE**2 < 3000**2 * 4
