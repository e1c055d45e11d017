"""What a solver may learn from a query: the exact advantage, or the outcomes of sampled duels."""

import math
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from nashgames.core.game import Game
from nashgames.errors import NashGamesError
from nashgames.registry import choose, parameters_of, render

_NONE: Any = None
_STATIC: dict[str, Any] = {"static": True}
_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_COARSE = 16
"""Blocks into which the distribution function is cut."""
_LABELS = ("binary", "probability")
_MOST_DUELS = 10_000_000


class Tally(NamedTuple):
    """What one query against an opponent π' tells of the actions y ~ ν, `[n]` (`[m, n]` over contexts).

    margins  an unbiased estimate of ν ∘ Aπ'
    visits   an unbiased estimate of ν
    """

    margins: jax.Array
    visits: jax.Array


class Feedback(Protocol):
    """A frozen dataclass, registered as a pytree; what shapes depend on is static."""

    @property
    def name(self) -> str:
        """The name on the command line."""
        ...

    @property
    def comparisons(self) -> int:
        """Duels that one query consumes in every context; 0 where it is exact."""
        ...

    def tally(
        self, game: Game, log_behaviour: jax.Array, log_opponent: jax.Array, key: jax.Array, advantage: Any = None
    ) -> Tally:
        """One query: actions y ~ ν = `log_behaviour` against y' ~ π' = `log_opponent`.

        `advantage` is q(π') where it was queried before; only exact feedback has a use for it.
        """
        ...


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Exact:
    """The whole vector q(π') = Aπ': the expectation of what duels tell."""

    name: ClassVar[str] = "exact"
    comparisons: ClassVar[int] = 0

    def tally(
        self, game: Game, log_behaviour: jax.Array, log_opponent: jax.Array, key: jax.Array, advantage: Any = None
    ) -> Tally:
        known = game.advantage(log_opponent) if advantage is None else advantage
        visits = jnp.exp(log_behaviour)
        return Tally(visits * known, visits)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Duels:
    """`batch` duels a query and context: y_b ~ ν against y'_b ~ π', judged with o_b ~ Bernoulli(P_{y_b y'_b}).

    margins(y) = (1/B) Σ_b 1[y_b = y] (o_b − ½), visits(y) = (1/B) Σ_b 1[y_b = y]; o_b is P itself where `label` is
    `probability`. A judge at `temperature` T prefers with odds (P/(1−P))^{1/T}; its answer is wrong with probability
    `noise`, which shrinks margins by 1 − 2·noise: the methods then learn that judge's game and are measured in the
    true one. Source: theory §3, §4.2.
    """

    batch: Annotated[int, "duels a query, in every context"] = field(default=1, metadata=_STATIC)
    label: Annotated[str, "what a duel tells: binary (who won) or probability (P itself)"] = field(
        default="binary", metadata=_STATIC
    )
    # None, which is no leaf, leaves the judge's arithmetic out of the program.
    noise: Annotated[float, "probability that an answer is turned round; default 0"] = _NONE
    temperature: Annotated[float, "T of the judge: odds to the power 1/T; default 1"] = _NONE

    name: ClassVar[str] = "duels"

    @property
    def comparisons(self) -> int:
        return self.batch

    def tally(
        self, game: Game, log_behaviour: jax.Array, log_opponent: jax.Array, key: jax.Array, advantage: Any = None
    ) -> Tally:
        shape, dtype = (*log_behaviour.shape[:-1], self.batch), log_behaviour.dtype
        ours, theirs, judge = _words(key, (3, *shape))
        rows, columns = _draw(log_behaviour, ours), _draw(log_opponent, theirs)
        margins = self.judged(game.margins.entries(rows, columns))
        if self.label == "binary":
            half = jnp.asarray(0.5, dtype)
            margins = jnp.where(_unit(judge, dtype) < half + margins, half, -half)
        # Halves and ones are summed before they are divided: exactly, and so in any order.
        return Tally(_count(rows, margins, log_behaviour), _count(rows, jnp.ones_like(margins), log_behaviour))

    def judged(self, margins: jax.Array) -> jax.Array:
        """The judge's margins: (1 − 2·noise) · (σ(logit(P)/T) − ½) with P = ½ + `margins`."""
        if self.temperature is not None:
            # logit(½ + a) = 2 artanh(2a) and σ(s) − ½ = ½ tanh(s/2), which hold at certainty too. Margins may lie
            # beyond ½ by the rounding that a game is accepted with, where artanh is not a number.
            margins = 0.5 * jnp.tanh(jnp.arctanh(jnp.clip(2 * margins, -1, 1)) / self.temperature)
        return margins if self.noise is None else (1 - 2 * self.noise) * margins


def _unit(bits: jax.Array, dtype: Any) -> jax.Array:
    """Uniform in the open unit interval, symmetric about ½, from 32 random bits: all of them, or 23 in float32."""
    kept = 23 if dtype == jnp.float32 else 32
    return ((bits >> (32 - kept)).astype(dtype) + 0.5) * 2.0**-kept


def _words(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Random words of 32 bits: Threefry-2x32 of 20 rounds on the counters (0, 0), (1, 0), …, both words of each.

    JAX's own runs the rounds as a loop over arrays on a CPU and keeps half the words: this takes a fifth of its time.
    Source: Salmon et al. 2011.
    """
    size = math.prod(shape)
    first, second = jax.random.key_data(key)
    schedule = (first, second, first ^ second ^ jnp.uint32(0x1BD11BDA))
    x = jnp.arange(-(-size // 2), dtype=jnp.uint32) + schedule[0]
    y = jnp.broadcast_to(schedule[1], x.shape)
    for group in range(5):
        for rotation in _ROTATIONS[group % 2]:
            x = x + y
            y = x ^ ((y << jnp.uint32(rotation)) | (y >> jnp.uint32(32 - rotation)))
        x, y = x + schedule[(group + 1) % 3], y + schedule[(group + 2) % 3] + jnp.uint32(group + 1)
    return jnp.concatenate([x, y])[:size].reshape(shape)


def _draw(log_policy: jax.Array, bits: jax.Array) -> jax.Array:
    """Actions `[…, b]` drawn from log π `[…, n]`: the number of i with Σ_{j≤i} π_j ≤ u, u of 31 bits."""
    if bits.ndim > 1:
        return jax.vmap(_draw)(log_policy, bits)
    n = len(log_policy)
    cumulative = jnp.cumsum(jnp.exp(log_policy))
    # The last sum is 1 up to rounding, and dividing by it makes it so. In whole numbers of 2^-31 a sum of 1 is one that
    # no 31 bits pass.
    steps = jnp.round(cumulative[:-1] * (2.0**31 / cumulative[-1])).astype(jnp.uint32)
    drawn = bits >> jnp.uint32(1)
    width = 1
    while width * _COARSE < n:
        width *= 2
    steps = jnp.concatenate([steps, jnp.full(width - (n - 1) % width, 2**32 - 1, jnp.uint32)])
    # All blocks are compared at once, then a binary search in the block: half the time of one from the start, and a
    # sixth of that of jnp.searchsorted.
    ends = steps[width - 1 :: width][: -(-n // width) - 1]
    below = width * jnp.sum(drawn[:, None] >= ends[None], axis=-1, dtype=jnp.int32)
    while width > 1:
        width //= 2
        below = jnp.where(drawn >= steps[below + (width - 1)], below + width, below)
    return below


def _count(actions: jax.Array, values: jax.Array, like: jax.Array) -> jax.Array:
    """(1/B) Σ_b values_b e_{actions_b}, `[…, n]`."""
    if actions.ndim > 1:
        return jax.vmap(_count)(actions, values, like)
    return jnp.zeros_like(like).at[actions].add(values) / len(actions)


FEEDBACKS: dict[str, type[Any]] = {"exact": Exact, "duels": Duels}


def make_feedback(text: str) -> Feedback:
    """The feedback that `text` selects: `exact`, `duels[batch=100]`.

    Raises NashGamesError for an unknown name or parameter, or a number outside its range.
    """
    kind, values = choose("feedback", text, FEEDBACKS)
    if not 1 <= values.get("batch", 1) <= _MOST_DUELS:
        raise NashGamesError(f"duels[batch] is {values['batch']}; accepted: an integer from 1 to {_MOST_DUELS:,}")
    if values.get("label", "binary") not in _LABELS:
        raise NashGamesError(f"duels[label] is '{values['label']}'; accepted: {', '.join(_LABELS)}")
    if not 0 <= values.get("noise", 0) < 0.5:
        raise NashGamesError(f"duels[noise] is {values['noise']:g}; accepted: a number of at least 0 and below 0.5")
    if not 0 < values.get("temperature", 1) < float("inf"):
        raise NashGamesError(f"duels[temperature] is {values['temperature']:g}; accepted: a finite number above 0")
    made: Feedback = kind(**values)
    return made


def selection_of_feedback(feedback: Feedback) -> str:
    """The canonical text that selects this feedback again, without its defaults."""
    return render(feedback.name, vars(feedback), parameters_of(type(feedback)))
