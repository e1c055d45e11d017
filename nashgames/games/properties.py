"""Facts of a game that a reader wants before playing it: who dominates, how cyclic it is, its rank."""

import math
from dataclasses import dataclass

import numpy as np

from nashgames.core.game import Game
from nashgames.core.margins import Margins, WrittenMargins, product

_RANK_ACTIONS = 512
"""Actions up to which all singular values are computed: a tenth of a second, eight times that for twice as many."""

_TRIANGLE_ACTIONS = 1024
"""Actions up to which cycles are counted with a product of two matrices of 4 MB."""

_TRIPLES = 500_000
"""Triples of a sample: a share of ½, the worst case, has a standard error of √(¼/500,000) = 0.0007."""

_LISTED = 16_384
"""Actions up to which every entry is read: two seconds; beyond, a sample of pairs stands for all, and one product."""


@dataclass(frozen=True)
class Facts:
    """Facts of a game; over contexts x averages weighted by ρ_x, except where a field says otherwise.

    With r_i = mean_j A_ij the margins split into A_ij = (r_i − r_j) + C_ij, orthogonal in the Frobenius norm (Hodge).
    """

    actions: int
    contexts: int
    rank: int
    """Numerical rank of A, the rounding of its dtype ignored; the maximum over contexts."""
    rank_is_lower_bound: bool
    """Whether `rank` is the rank of a random principal sub-matrix, so that the rank of A is at least that."""
    condorcet_winner: int | None
    """The action that beats every other one with a positive margin, if it is the same in every context."""
    condorcet_winner_label: str | None
    cyclic_triples: float
    """Share of all triples of actions that are a cycle i ≻ j ≻ k ≻ i of positive margins; 0 for two actions."""
    cyclic_triples_sampled: bool
    """Whether that share was estimated from 500,000 random triples (standard error at most 0.0007)."""
    transitive_energy: float
    """Σ (r_i − r_j)² / ‖A‖_F²."""
    cyclic_energy: float
    """‖C‖_F² / ‖A‖_F²; the two add up to 1, and are both 0 for a game without a decided pair."""
    energies_sampled: bool
    """Whether ‖A‖_F² was estimated from 500,000 random pairs, the entries of a game of more than 16,384 actions."""
    max_margin: float
    """max |A_ij|; the maximum over contexts, and over that sample where the energies are sampled."""
    ratings: np.ndarray
    """r `[n]`, the mean margin of every action."""


@dataclass(frozen=True)
class _Sums:
    """What one pass over the rows of A gathers."""

    ratings: np.ndarray
    wins: np.ndarray
    ties: int
    largest: float


def facts(game: Game, rng_seed: int = 0) -> Facts:
    """The facts of a game, exact where that is quick: ratings, energies, Condorcet winner, and triples without ties.

    The rank beyond 512 actions, and the triples of a game with ties beyond 1,024, come from samples drawn with
    `rng_seed`; beyond 16,384 all but the ratings and the Condorcet winner do. The margins are read in blocks of rows;
    no second matrix of their size is made.
    """
    if isinstance(game.margins, WrittenMargins):
        raise game.margins.unlisted()
    weights = np.broadcast_to(np.asarray(game.weights, np.float64), (game.contexts,))
    contexts = [game.margins.of_context(x) for x in range(game.contexts)]
    parts = [_facts_of_one(margins, np.random.default_rng([rng_seed, x])) for x, margins in enumerate(contexts)]
    winners = {part.condorcet_winner for part in parts}
    winner = winners.pop() if len(winners) == 1 else None
    labels = game.description.labels
    return Facts(
        actions=game.actions,
        contexts=game.contexts,
        rank=max(part.rank for part in parts),
        rank_is_lower_bound=parts[0].rank_is_lower_bound,
        condorcet_winner=winner,
        condorcet_winner_label=None if winner is None else labels[winner] if labels else str(winner),
        cyclic_triples=float(np.dot(weights, [part.cyclic_triples for part in parts])),
        cyclic_triples_sampled=any(part.cyclic_triples_sampled for part in parts),
        transitive_energy=float(np.dot(weights, [part.transitive_energy for part in parts])),
        cyclic_energy=float(np.dot(weights, [part.cyclic_energy for part in parts])),
        energies_sampled=any(part.energies_sampled for part in parts),
        max_margin=max(part.max_margin for part in parts),
        ratings=weights @ np.array([part.ratings for part in parts]),
    )


def cyclic_share(game: Game) -> float:
    """The `cyclic_energy` of `facts` alone, which takes no rank and no triples."""
    weights = np.broadcast_to(np.asarray(game.weights, np.float64), (game.contexts,))
    contexts = [game.margins.of_context(x) for x in range(game.contexts)]
    return float(np.dot(weights, [_energies(margins)[1] for margins in contexts]))


def strongest_cycle(margins: np.ndarray) -> tuple[int, int, int] | None:
    """The i ≻ j ≻ k ≻ i among a few actions, A `[n, n]`, whose smallest margin is the largest; None without a cycle."""
    best, found = 0.0, None
    for i, row in enumerate(margins):
        # min(A_ij, A_jk, A_ki) for all j and k at once.
        weakest = np.minimum(np.minimum(row[:, None], margins), margins[:, i])
        j, k = np.unravel_index(np.argmax(weakest), weakest.shape)
        if weakest[j, k] > best:
            best, found = float(weakest[j, k]), (i, int(j), int(k))
    return found


def _facts_of_one(margins: Margins, rng: np.random.Generator) -> Facts:
    n = margins.shape[-1]
    if n > _LISTED:
        return _facts_of_large(margins, rng)
    sums = _sums(margins)
    transitive, cyclic = _energies_of(margins, sums.ratings)
    share, sampled = _cyclic_triples(margins, sums, rng)
    rank, lower_bound = _rank(margins, rng)
    winners = np.flatnonzero(sums.wins == n - 1)
    return Facts(
        actions=n,
        contexts=1,
        rank=rank,
        rank_is_lower_bound=lower_bound,
        condorcet_winner=int(winners[0]) if winners.size else None,
        condorcet_winner_label=None,
        cyclic_triples=share,
        cyclic_triples_sampled=sampled,
        transitive_energy=transitive,
        cyclic_energy=cyclic,
        energies_sampled=False,
        max_margin=sums.largest,
        ratings=sums.ratings,
    )


def _facts_of_large(margins: Margins, rng: np.random.Generator) -> Facts:
    """The facts of a game whose entries are too many to read: one product, and O(n) entries."""
    n = margins.shape[-1]
    ratings, transitive, cyclic, largest = _sampled_energies(margins, rng)
    rank, _ = _rank(margins, rng)
    return Facts(
        actions=n,
        contexts=1,
        rank=rank,
        rank_is_lower_bound=True,
        condorcet_winner=_condorcet_winner(margins),
        condorcet_winner_label=None,
        cyclic_triples=_share_of_sampled_cycles(margins, rng),
        cyclic_triples_sampled=True,
        transitive_energy=transitive,
        cyclic_energy=cyclic,
        energies_sampled=True,
        max_margin=largest,
        ratings=ratings,
    )


def _sampled_energies(margins: Margins, rng: np.random.Generator) -> tuple[np.ndarray, float, float, float]:
    """Ratings, the two shares of the energy, and the largest margin seen: Σ (r_i − r_j)² = 2n Σ r² as Σ r = 0."""
    n = margins.shape[-1]
    ratings = product(margins, np.full(n, 1 / n))
    i = rng.integers(n, size=_TRIPLES)
    j = rng.integers(n - 1, size=_TRIPLES)
    seen = margins.lookup(i, j + (j >= i)).astype(np.float64)
    total = n * (n - 1) * float(np.mean(seen**2))
    transitive = min(2 * n * float(np.sum(ratings**2)) / total, 1.0) if total > 0 else 0.0
    return ratings, transitive, 1 - transitive if total > 0 else 0.0, float(np.abs(seen).max())


def _condorcet_winner(margins: Margins) -> int | None:
    """The action that beats every other one, found by a knockout: it wins every round, and a tie eliminates both."""
    left = np.arange(margins.shape[-1])
    while len(left) > 1:
        half = len(left) // 2
        one, other, rest = left[:half], left[half : 2 * half], left[2 * half :]
        between = margins.lookup(one, other)
        left = np.concatenate([one[between > 0], other[between < 0], rest])
    if not len(left):
        return None
    others = np.delete(np.arange(margins.shape[-1]), left)
    beats_all = bool((margins.lookup(np.full_like(others, left[0]), others) > 0).all())
    return int(left[0]) if beats_all else None


def _sums(margins: Margins) -> _Sums:
    n = margins.shape[-1]
    ratings, wins, decided, largest = np.zeros(n), np.zeros(n, np.int64), 0, 0.0
    for rows, block in margins.blocks():
        values = block.astype(np.float64, copy=False)
        ratings[rows] = values.mean(axis=1)
        wins[rows] = np.count_nonzero(values > 0, axis=1)
        decided += int(np.count_nonzero(values))
        largest = max(largest, float(values.max()))
    return _Sums(ratings, wins, (n * (n - 1) - decided) // 2, largest)


def _energies(margins: Margins) -> tuple[float, float]:
    """Shares of the transitive and the cyclic part."""
    if margins.shape[-1] > _LISTED:
        return _sampled_energies(margins, np.random.default_rng(0))[1:3]
    return _energies_of(margins, _sums(margins).ratings)


def _energies_of(margins: Margins, ratings: np.ndarray) -> tuple[float, float]:
    """Shares of the transitive and the cyclic part, each a sum of squares: a difference would lose a small share."""
    transitive = cyclic = 0.0
    for rows, block in margins.blocks():
        values = block.astype(np.float64, copy=False)
        ordered = ratings[rows, None] - ratings[None, :]
        transitive += float(np.vdot(ordered, ordered))
        np.subtract(values, ordered, out=ordered)
        cyclic += float(np.vdot(ordered, ordered))
    total = transitive + cyclic
    return (transitive / total, cyclic / total) if total > 0 else (0.0, 0.0)


def _cyclic_triples(margins: Margins, sums: _Sums, rng: np.random.Generator) -> tuple[float, bool]:
    """The share of cyclic triples and whether it was sampled."""
    n = margins.shape[-1]
    if n < 3:
        return 0.0, False
    if sums.ties == 0:
        # A triple that is no cycle has exactly one action that beats the other two (Kendall and Babington Smith 1940).
        transitive = int(np.sum(sums.wins * (sums.wins - 1) // 2))
        return (math.comb(n, 3) - transitive) / math.comb(n, 3), False
    if n <= _TRIANGLE_ACTIONS:
        # Every cycle is three closed walks of length 3; float32 counts exactly up to 2^24 > n.
        beats = np.concatenate([block > 0 for _, block in margins.blocks()]).astype(np.float32)
        walks = np.einsum("ij,ji->", beats @ beats, beats, dtype=np.float64)
        return float(walks) / 3 / math.comb(n, 3), False
    return _share_of_sampled_cycles(margins, rng), True


def _share_of_sampled_cycles(margins: Margins, rng: np.random.Generator) -> float:
    i, j, k = _triples(margins.shape[-1], rng)
    a, b, c = margins.lookup(i, j), margins.lookup(j, k), margins.lookup(k, i)
    cycles = ((a > 0) & (b > 0) & (c > 0)) | ((a < 0) & (b < 0) & (c < 0))
    return float(cycles.mean())


def _triples(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Three different actions, uniformly: later ones skip over the places of those before."""
    i, j, k = (rng.integers(n - taken, size=_TRIPLES, dtype=np.int32) for taken in range(3))
    j += j >= i
    k += k >= np.minimum(i, j)
    k += k >= np.maximum(i, j)
    return i, j, k


def _rank(margins: Margins, rng: np.random.Generator) -> tuple[int, bool]:
    """The numerical rank and whether it is only a lower bound."""
    n = margins.shape[-1]
    sampled = n > _RANK_ACTIONS
    chosen = np.sort(rng.choice(n, _RANK_ACTIONS, replace=False)) if sampled else np.arange(n)
    singular = np.linalg.svd(margins.submatrix(chosen).astype(np.float64), compute_uv=False)
    threshold = singular[0] * len(chosen) * np.finfo(margins.dtype).eps
    return int(np.count_nonzero(singular > threshold)), sampled
