"""What a solver may learn from a query: the exact advantage, or the outcomes of sampled duels."""

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from nashgames.errors import NashGamesError
from nashgames.game import Game
from nashgames.selection import choose, parameters_of, render

_NONE: Any = None
_STATIC: dict[str, Any] = {"static": True}
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
        ours, theirs, judge = jax.random.bits(key, (3, *shape), jnp.uint32)
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
            # logit(½ + a) = 2 artanh(2a) and σ(s) − ½ = ½ tanh(s/2), which hold at certainty too.
            margins = 0.5 * jnp.tanh(jnp.arctanh(2 * margins) / self.temperature)
        return margins if self.noise is None else (1 - 2 * self.noise) * margins


def _unit(bits: jax.Array, dtype: Any) -> jax.Array:
    """Uniform in the open unit interval, symmetric about ½, from 32 random bits: all of them, or 23 in float32."""
    kept = 23 if dtype == jnp.float32 else 32
    return ((bits >> (32 - kept)).astype(dtype) + 0.5) * 2.0**-kept


def _draw(log_policy: jax.Array, bits: jax.Array) -> jax.Array:
    """Actions `[…, b]` drawn from log π `[…, n]`: the number of i with Σ_{j≤i} π_j ≤ u."""
    if bits.ndim > 1:
        return jax.vmap(_draw)(log_policy, bits)
    cumulative = jnp.cumsum(jnp.exp(log_policy))
    # The last sum is 1 up to rounding; scaling by it makes the probabilities exact, and it is never passed.
    u = _unit(bits, log_policy.dtype) * cumulative[-1]
    size = 1 << max(len(cumulative) - 1, 1).bit_length()
    ceiling = jnp.full(size - len(cumulative) + 1, jnp.inf, log_policy.dtype)
    cumulative = jnp.concatenate([cumulative[:-1], ceiling])
    below = jnp.zeros(u.shape, jnp.int32)
    # A binary search unrolled by hand: three times faster here than jnp.searchsorted.
    while size > 1:
        size //= 2
        below = jnp.where(u >= cumulative[below + size - 1], below + size, below)
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
