"""What a family of games hands over to be filled in, and the small tools that the families share."""

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from nashgames.core.margins import TILE, Formula, Margins, tiles_above
from nashgames.core.sequences import Sequences
from nashgames.errors import NashGamesError
from nashgames.parameters import Number

Block = Callable[[slice, slice], np.ndarray]
"""float64 numbers `[rows, columns]` of a skew-symmetric matrix, for the pairs of slices that `tiles_above` yields."""

LARGEST_LOGIT = 1e6
"""The largest typical logit that a family accepts: far beyond saturation (tanh is 1 from 20 on), far from overflow."""

LARGEST_COUNT = 1000
"""The largest number of planes, dimensions, voter types, components or soldiers: their arrays `[n, count]` are not part
of what is compared with the free memory, and with 1,000 actions are as large as A."""

_LISTED = 16_384
"""Actions up to which every pair is looked at for the largest entry: a second, and a minute at ten times as many."""

_LONGEST = 1024
"""Actions among whose pairs a first large entry is looked for: 4 MB."""


@dataclass(frozen=True)
class Recipe:
    """A game that can be filled in block by block.

    `block` gives margins; `log_equilibrium` `[n]` is the known equilibrium, −inf off its support; `labels` name the
    actions; `log_reference` computes log μ `[n]` from the finished margins `[n, n]` where the reference is part of the
    game; `features` `[n, d]` are the numbers of each action that the margins are a formula of, where there are such.
    `formula` is that formula for storages that never form A, and `factors` L and R `[n, r]` with A = LRᵀ − RLᵀ.
    `margins` are the margins themselves where they are made in one, and then there is no block.
    `sequences` are what the actions are, where they are sequences of tokens, and `prompt` the tokens of the context.
    `block` may be called more than once for a tile and then returns the same numbers.
    """

    block: Block | None = None
    log_equilibrium: np.ndarray | None = None
    labels: tuple[str, ...] | None = None
    log_reference: Callable[[Margins], np.ndarray] | None = None
    features: np.ndarray | None = None
    formula: Formula | None = None
    factors: tuple[np.ndarray, np.ndarray] | None = None
    margins: Margins | None = None
    sequences: Sequences | None = None
    prompt: np.ndarray | None = None


def of_factors(left: np.ndarray, right: np.ndarray, features: np.ndarray, margin: float = 0.5) -> Recipe:
    """A ∝ LRᵀ − RLᵀ, L and R `[n, r]`, rescaled to a largest `margin`, or to a bound of it (`largest_entry`)."""
    largest = largest_entry(left, right)
    block = scaled(rotations(left, right), largest, margin)
    return Recipe(block, features=features, factors=(left * (margin / largest), right))


def independent(rng: np.random.Generator, draw: Callable[[np.random.Generator, tuple[int, int]], np.ndarray]) -> Block:
    """A matrix of independent entries that is never stored: every tile has its own stream and can be drawn again."""
    # Four words of 32 bits are what SeedSequence mixes entropy into.
    entropy = rng.integers(2**32, size=4, dtype=np.uint64).tolist()

    def block(rows: slice, columns: slice) -> np.ndarray:
        seeds = np.random.SeedSequence(entropy, spawn_key=(rows.start // TILE, columns.start // TILE))
        return draw(np.random.default_rng(seeds), (rows.stop - rows.start, columns.stop - columns.start))

    return block


def gaussian(rng: np.random.Generator, deviation: float) -> Block:
    """Independent entries N(0, deviation²)."""
    return independent(rng, lambda tile, shape: deviation * tile.standard_normal(shape))


def ratings_drawn(rng: np.random.Generator, count: int, strength: float) -> np.ndarray:
    """Gaussian ratings `[count]` whose differences have standard deviation `strength`."""
    return rng.standard_normal(count) * (strength * math.sqrt(0.5))


def margin(logits: np.ndarray) -> np.ndarray:
    """A = σ(S) − ½ in place, as ½ tanh(S/2): a difference with ½ would cancel the digits of small margins."""
    logits *= 0.5
    np.tanh(logits, out=logits)
    logits *= 0.5
    return logits


def logistic(block: Block) -> Block:
    """The margins of a block of logits."""
    return lambda rows, columns: margin(block(rows, columns))


def differences(ratings: np.ndarray) -> Block:
    """The transitive block r_i − r_j."""
    return lambda rows, columns: ratings[rows, None] - ratings[None, columns]


def added(one: Block, other: Block) -> Block:
    """The sum of two blocks."""
    return lambda rows, columns: one(rows, columns) + other(rows, columns)


def rotations(left: np.ndarray, right: np.ndarray) -> Block:
    """The block of Σ_k (u_i^k v_j^k − v_i^k u_j^k) for `left` u and `right` v, both `[n, k]`: one matrix product."""
    first, second = np.hstack([left, right]), np.hstack([right, -left])
    return lambda rows, columns: first[rows] @ second[columns].T


def rescaled(n: int, block: Block, margin: float = 0.5) -> Block:
    """The block times the number that makes its largest entry `margin` (a block of zeros stays)."""
    return scaled(block, _largest(n, block), margin)


def scaled(block: Block, largest: float, margin: float) -> Block:
    """The block times the number that makes an entry `largest` to `margin`."""
    # Dividing first makes the largest entry exactly 1, so that no rounding leads beyond the margin.
    return lambda rows, columns: margin * (block(rows, columns) / largest)


def largest_entry(left: np.ndarray, right: np.ndarray) -> float:
    """The largest entry of LRᵀ − RLᵀ for L and R `[n, r]`, 1 of a matrix of zeros.

    Up to 16,384 actions all pairs are looked at. Beyond, |entry| ≤ |x_i||x_j| with x = [L, R], planes balanced, leaves
    few actions that can have it, among which it is looked for; where more than 16,384 are left, the bound by the two
    longest x stands for it.
    """
    candidates = np.arange(len(left))
    if len(left) > _LISTED:
        # (tL, R/t) has the same product: plane by plane both sides get one length, which makes the bound tight.
        sizes = [np.maximum(np.linalg.norm(side, axis=0), np.finfo(float).tiny) for side in (left, right)]
        balance = np.sqrt(sizes[1] / sizes[0])
        lengths = np.sqrt(np.sum((left * balance) ** 2, axis=1) + np.sum((right / balance) ** 2, axis=1))
        longest = np.argsort(-lengths, kind="stable")
        found = _largest_of(left, right, longest[:_LONGEST])
        candidates = np.flatnonzero(lengths * lengths[longest[0]] >= found)
        if len(candidates) > _LISTED:
            return float(lengths[longest[0]] * lengths[longest[1]]) or 1.0
    return _largest_of(left, right, candidates)


def _largest_of(left: np.ndarray, right: np.ndarray, actions: np.ndarray) -> float:
    return _largest(len(actions), rotations(left[actions], right[actions]))


def _largest(n: int, block: Block) -> float:
    """The largest entry of a block, 1 of one of zeros."""
    return max(float(np.abs(_above(rows, columns, block)).max()) for rows, columns in tiles_above(n)) or 1.0


def product(n: int, block: Block, vector: np.ndarray) -> np.ndarray:
    """B·vector `[n]` for the skew-symmetric B of a block, without storing B."""
    result = np.zeros(n)
    for rows, columns in tiles_above(n):
        values = _above(rows, columns, block)
        result[rows] += values @ vector[columns]
        result[columns] -= values.T @ vector[rows]
    return result


def _above(rows: slice, columns: slice, block: Block) -> np.ndarray:
    values = block(rows, columns)
    return np.triu(values, 1) if rows == columns else values


def log_of(policy: np.ndarray) -> np.ndarray:
    """log π with −inf where π is 0."""
    with np.errstate(divide="ignore"):
        return np.log(policy)


def accept(
    what: str,
    value: float,
    *,
    least: float | None = None,
    most: float | None = None,
    above: float | None = None,
    below: float | None = None,
) -> None:
    """Raise NashGamesError, one sentence that names `what` and the interval, unless `value` lies in it."""
    number = Number("", least=least, most=most, above=above, below=below)
    if not number.holds(value):
        raise NashGamesError(
            f"{what} is {f'{value:g}' if isinstance(value, float) else value}; accepted: {number.accepted(type(value))}"
        )


def check_finite(name: str, values: Mapping[str, Any]) -> None:
    """Raise NashGamesError when one of the parameters of `name` is infinite or NaN."""
    for key, value in values.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise NashGamesError(f"{name}[{key}] is {value}; accepted: a finite number")


def summary_of(build: Callable[..., Any]) -> str:
    """The first line of a docstring: what a list says of a family or a reference."""
    return (inspect.getdoc(build) or "").partition("\n")[0].rstrip(".")
