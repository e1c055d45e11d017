"""Policies over sequences by what they say of the next token: all that a sequence needs to be written or judged.

Axes: N sequences, each at one of the `prompts` `[N]`, T places, V+1 tokens of which 0, END, ends a sequence. `before`
are the tokens before the places, END before the first.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, Self

import jax
import jax.numpy as jnp
import numpy as np

from nashgames.core import random
from nashgames.core.sequences import END, Sequences


class NextTokens(Protocol):
    """A policy over sequences, normalised: log π(token | prompt, prefix), of prefixes that are given or token by token.

    What a reference has to be where sequences are too many to list; a network as well as a table can be one.
    """

    @property
    def sequences(self) -> Sequences:
        """The sequences that it writes."""

    @property
    def dtype(self) -> Any:
        """The type of its log-probabilities."""

    def log_next(self, prompts: jax.Array, before: jax.Array) -> jax.Array:
        """log π(· | prefix) `[N, T, V+1]` at T places from the first on, of which `before` `[N, T]` are those before.

        Behind the end of a sequence it may be anything finite.
        """

    def memory(self, count: int) -> Any:
        """What has been read of `count` sequences before their first token."""

    def read(self, memory: Any, prompts: jax.Array, before: jax.Array, place: jax.Array) -> tuple[Any, jax.Array]:
        """The memory and log π(· | prefix) `[N, V+1]` after the tokens `before` `[N]` a place."""


def write(
    sequences: Sequences,
    prompts: jax.Array,
    bits: jax.Array,
    memory: Any,
    read: Callable[[Any, jax.Array, jax.Array, jax.Array], tuple[Any, jax.Array]],
) -> jax.Array:
    """The tokens `[N, L]` of a sequence at each of the prompts, from what `read` says of the next token, with random
    words `bits` `[L, N]`."""

    def step(carry: Any, place_and_bits: Any) -> tuple[Any, jax.Array]:
        memory, before, going = carry
        place, drawn = place_and_bits
        memory, log_policy = read(memory, prompts, before, place)
        token = jnp.where(going, random.draw(log_policy, drawn[:, None])[:, 0], END)
        return (memory, token, token > END), token

    start = memory, jnp.zeros(prompts.shape, jnp.int32), jnp.ones(prompts.shape, bool)
    _, tokens = jax.lax.scan(step, start, (jnp.arange(sequences.length), bits))
    return tokens.T


def before_of(tokens: jax.Array) -> jax.Array:
    """The token before each one, END before the first, `[…, L]`."""
    return jnp.concatenate([jnp.zeros_like(tokens[..., :1]), tokens[..., :-1]], axis=-1)


def is_chosen(tokens: jax.Array) -> jax.Array:
    """Which tokens `[…, L]` a policy had a choice of: all up to the first END; those behind it follow."""
    first = (jnp.arange(tokens.shape[-1]) == 0).reshape((1,) * (tokens.ndim - 1) + (-1,))
    return (tokens > END) | (before_of(tokens) > END) | first


def log_prob(log_next: jax.Array, tokens: jax.Array) -> jax.Array:
    """log π `[…]` of sequences given by their tokens `[…, L]`, from log π(· | prefix) `[…, L, V+1]` at their places."""
    of_tokens = jnp.take_along_axis(log_next, tokens[..., None], axis=-1)[..., 0]
    return jnp.sum(jnp.where(is_chosen(tokens), of_tokens, 0), axis=-1)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Chains:
    """Markov chains of tokens, one a prompt: `NextTokens` that depend on the place and on the last k tokens.

    `log_steps` `[m, P, (V+1)^k, V+1]`, without prompts `[P, (V+1)^k, V+1]`: P is L, or 1 where no step depends on its
    place; rows are the last k tokens as a number with base V + 1, END standing before the first token.
    """

    log_steps: Any
    sequences: Sequences

    @classmethod
    def uniform(cls, sequences: Sequences, contexts: int) -> Self:
        """Every sequence alike: a token ends it with one over the number of those that begin so."""
        longer = [float(sequences.shorter_than(left + 1)) for left in range(sequences.length, 0, -1)]
        shorter = [*longer[1:], 1.0]
        steps = [[1 / both, *[each / both] * sequences.vocabulary] for both, each in zip(longer, shorter, strict=True)]
        log_steps = np.log(np.array(steps))[:, None]
        return cls(log_steps if contexts == 1 else np.stack([log_steps] * contexts), sequences)

    @property
    def dtype(self) -> Any:
        return self.log_steps.dtype

    @property
    def prompts(self) -> int:
        """m, 1 without prompts."""
        return math.prod(self.log_steps.shape[:-3])

    @property
    def shape(self) -> tuple[int, ...]:
        """That of log π over all sequences, which nobody lists: `(n,)`, `(m, n)` over prompts."""
        return (*self.log_steps.shape[:-3], self.sequences.count)

    def uniform_like(self) -> Self:
        """Every sequence alike at these prompts, in this type."""
        made = type(self).uniform(self.sequences, self.prompts).log_steps
        shape = (*self.log_steps.shape[:-3], *made.shape[-3:])
        return type(self)(jnp.asarray(made, self.dtype).reshape(shape), self.sequences)

    def written(self, key: jax.Array, batch: int) -> jax.Array:
        """`batch` sequences a prompt, `[batch, L]`, `[m, batch, L]` over prompts."""
        prompts = jnp.repeat(jnp.arange(self.prompts), batch)
        bits = random.words(key, (self.sequences.length, len(prompts)))
        tokens = write(self.sequences, prompts, bits, self.memory(len(prompts)), self.read)
        return tokens.reshape(*self.shape[:-1], batch, self.sequences.length)

    def log_prob(self, tokens: jax.Array) -> jax.Array:
        """log π `[…]` of sequences given by their tokens `[…, L]`, over prompts `[m, …, L]`."""
        return log_prob(self.log_next_of(tokens), tokens)

    def log_next_of(self, tokens: jax.Array) -> jax.Array:
        """log π(· | prefix) `[…, L, V+1]` at the places of sequences `[…, L]`, over prompts `[m, …, L]`."""
        flat = tokens.reshape(-1, self.sequences.length)
        prompts = jnp.repeat(jnp.arange(self.prompts), len(flat) // self.prompts)
        return self.log_next(prompts, before_of(flat)).reshape(*tokens.shape, -1)

    def tilted(self, table: Any) -> tuple[Any, Self]:
        """log Σ_y π(y) e^{s(y)} `[…]` of scores s(y) = Σ_t `table`[t, y_{t−1}, y_t] `[…, L, V+1, V]`, and the chains
        ∝ π e^s, whose steps depend on the place. Backwards from the last token, with NumPy or in a compiled program."""
        xp, base = table.__array_namespace__(), self.sequences.vocabulary + 1
        log_steps = self.log_steps
        if log_steps.shape[-2] == 1:
            # The scores know the last token whether or not the steps do.
            log_steps = xp.broadcast_to(log_steps, (*log_steps.shape[:-2], base, base))
        rows = np.arange(log_steps.shape[-2])
        longer = (rows[:, None] * base + np.arange(1, base)) % len(rows)
        after, steps = xp.zeros((*table.shape[:-3], len(rows)), dtype=table.dtype), []
        for place in reversed(range(self.sequences.length)):
            now = log_steps[..., place % log_steps.shape[-3], :, :]
            going = now[..., 1:] + table[..., place, rows % base, :] + after[..., longer]
            both = xp.concatenate([xp.broadcast_to(now[..., :1], (*going.shape[:-1], 1)), going], axis=-1)
            most = xp.max(both, axis=-1, keepdims=True)
            total = most + xp.log(xp.sum(xp.exp(both - most), axis=-1, keepdims=True))
            steps.append(both - total)
            after = total[..., 0]
        return after[..., 0], type(self)(xp.stack(steps[::-1], axis=-3), self.sequences)

    def log_next(self, prompts: jax.Array, before: jax.Array) -> jax.Array:
        row, rows = jnp.zeros_like(before[:, 0]), []
        for place in range(before.shape[1]):
            row = self._after(row, before[:, place])
            rows.append(row)
        places = jnp.arange(before.shape[1]) % self.log_steps.shape[-3]
        return self._by_prompt()[prompts[:, None], places[None], jnp.stack(rows, axis=1)]

    def memory(self, count: int) -> jax.Array:
        return jnp.zeros(count, jnp.int32)

    def read(
        self, memory: jax.Array, prompts: jax.Array, before: jax.Array, place: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        row = self._after(memory, before)
        return row, self._by_prompt()[prompts, place % self.log_steps.shape[-3], row]

    def _by_prompt(self) -> Any:
        return self.log_steps.reshape(-1, *self.log_steps.shape[-3:])

    def _after(self, row: jax.Array, token: jax.Array) -> jax.Array:
        return (row * (self.sequences.vocabulary + 1) + token) % self.log_steps.shape[-2]
