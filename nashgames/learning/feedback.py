"""Feedback by name: the exact advantage, or sampled duels."""

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import jax
import jax.numpy as jnp

from nashgames.core import random
from nashgames.core.feedback import Exact, Feedback, Tally
from nashgames.core.game import Game
from nashgames.registry import Choice, Number, Registry

__all__ = ["FEEDBACKS", "Duels", "Exact", "Feedback", "Tally"]

_STATIC: dict[str, Any] = {"static": True}
# Duels of a query are held at once: ten million of them take a quarter of a gigabyte.
_MOST_DUELS = 10_000_000


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Duels:
    """`batch` duels per query and context: y_b ~ ν against y'_b ~ π', judged with o_b ~ Bernoulli(P_{y_b y'_b}).

    margins(y) = (1/B) Σ_b 1[y_b = y] (o_b − ½), visits(y) = (1/B) Σ_b 1[y_b = y]; o_b is P itself where `label` is
    `probability`. The advantage itself is estimated with y uniform, each duel weighted by 1/ν(y) = n:
    q̂(y) = (n/B) Σ_b 1[y_b = y] (o_b − ½), unbiased and of variance at most n/(4B) an action whatever π' is, where
    on-policy importance weights 1/π(y) have no bound.

    A judge at `temperature` T prefers with odds (P/(1−P))^{1/T}; its label is flipped with probability `noise`, which
    shrinks margins by 1 − 2·noise. The methods then learn the game of that judge and are measured in the true one.
    Source: theory §3, §4.2.
    """

    batch: Annotated[int, Number("duels per query, in every context", least=1, most=_MOST_DUELS)] = field(
        default=1, metadata=_STATIC
    )
    label: Annotated[
        str, Choice("what a duel returns: binary (who won) or probability (P itself)", ("binary", "probability"))
    ] = field(default="binary", metadata=_STATIC)
    # None is not a leaf, so that the program has no arithmetic for it. A label that is flipped half of the time carries
    # no information.
    noise: Annotated[float | None, Number("probability that a label is flipped; default 0", least=0, below=0.5)] = None
    temperature: Annotated[
        float | None, Number("T of the judge: odds to the power 1/T; default 1", symbol="T", above=0)
    ] = None

    name: ClassVar[str] = "duels"

    @property
    def comparisons(self) -> int:
        return self.batch

    def query(self, game: Game, log_policy: jax.Array, key: jax.Array) -> jax.Array:
        uniform = jnp.full_like(log_policy, -jnp.log(game.actions))
        return game.actions * self.tally(game, uniform, log_policy, key).margins

    def tally(
        self,
        game: Game,
        log_behaviour: jax.Array,
        log_opponent: jax.Array,
        key: jax.Array,
        advantage: jax.Array | None = None,
    ) -> Tally:
        shape = (*log_behaviour.shape[:-1], self.batch)
        ours, theirs, judge = random.words(key, (3, *shape))
        rows, columns = random.draw(log_behaviour, ours), random.draw(log_opponent, theirs)
        margins = self._answers(game.margins.entries(rows, columns), judge)
        # Halves and ones are summed before they are divided: exactly, and so in any order.
        return Tally(_count(rows, margins, log_behaviour), _count(rows, jnp.ones_like(margins), log_behaviour))

    def duel(self, game: Game, ours: jax.Array, theirs: jax.Array, key: jax.Array) -> jax.Array:
        margins = game.margins.entries(ours, theirs)
        return self._answers(margins, random.words(key, margins.shape))

    def _answers(self, margins: jax.Array, bits: jax.Array) -> jax.Array:
        """o − ½ of duels whose sides have these margins, or its expectation where the label is a probability."""
        margins = self.judged(margins)
        if self.label != "binary":
            return margins
        half = jnp.asarray(0.5, margins.dtype)
        return jnp.where(random.unit(bits, margins.dtype) < half + margins, half, -half)

    def judged(self, margins: jax.Array) -> jax.Array:
        """The judge's margins: (1 − 2·noise) · (σ(logit(P)/T) − ½) with P = ½ + `margins`."""
        if self.temperature is not None:
            # logit(½ + a) = 2 artanh(2a) and σ(s) − ½ = ½ tanh(s/2), which hold at certainty too. Margins may lie
            # beyond ½ by the rounding that a game is accepted with, where artanh is not a number.
            margins = 0.5 * jnp.tanh(jnp.arctanh(jnp.clip(2 * margins, -1, 1)) / self.temperature)
        return margins if self.noise is None else (1 - 2 * self.noise) * margins


def _count(actions: jax.Array, values: jax.Array, like: jax.Array) -> jax.Array:
    """(1/B) Σ_b values_b e_{actions_b}, `[…, n]`."""
    if actions.ndim > 1:
        return jax.vmap(_count)(actions, values, like)
    return jnp.zeros_like(like).at[actions].add(values) / len(actions)


FEEDBACKS = Registry("feedback", {"exact": Exact, "duels": Duels})
