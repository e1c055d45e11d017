"""Policies over sequences as log-probabilities of the next token: what a network over tokens is written beside."""

from dataclasses import dataclass
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
import scipy

from nashgames.core.game import Game
from nashgames.core.sequences import END, Sequences
from nashgames.errors import NashGamesError

TOKENS = "tokens"
"""The kind of features of a policy that writes sequences."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Prefixes:
    """A policy over sequences as a table of `NextTokens`: `table` `[P, V+1]`, `[m, P, V+1]` over prompts, log μ(token |
    prefix) of the reference in every one of the P prefixes, token 0 ending the sequence."""

    table: Any
    sequences: Sequences

    @classmethod
    def of(cls, game: Game) -> Self:
        """The prefixes of a game and its reference, in float64; NashGamesError for a game of other actions."""
        sequences = check_sequences(game)
        return cls(next_of(sequences, np.asarray(game.log_reference, np.float64)), sequences)

    @property
    def dtype(self) -> Any:
        return self.table.dtype

    def log_next(self, prompts: jax.Array, before: jax.Array) -> jax.Array:
        node, nodes = jnp.zeros_like(before[:, 0]), []
        for place in range(before.shape[1]):
            node = self._after(node, before[:, place])
            nodes.append(node)
        return self._by_prompt()[prompts[:, None], jnp.stack(nodes, axis=1)]

    def memory(self, count: int) -> jax.Array:
        return jnp.zeros(count, jnp.int32)

    def read(
        self, memory: jax.Array, prompts: jax.Array, before: jax.Array, place: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        node = self._after(memory, before)
        return node, self._by_prompt()[prompts, node]

    def _by_prompt(self) -> Any:
        return self.table.reshape(-1, *self.table.shape[-2:])

    def _after(self, node: jax.Array, token: jax.Array) -> jax.Array:
        """The prefix that a token makes longer; behind the end of a sequence it stays, as any will do there."""
        return jnp.where(token > END, self.sequences.vocabulary * node + token, node)


def check_sequences(game: Game) -> Sequences:
    """The sequences that the actions of a game are; NashGamesError for a game of other actions."""
    if game.description.sequences is None:
        raise NashGamesError(
            f"the actions of {game.description.name} are not sequences of tokens, which transformer and gru "
            "write; use the policy tabular, log-linear or mlp, or a game of sequences: sequence-voters, "
            "sequence-styles, sequence-embedding"
        )
    return game.description.sequences


def next_of(sequences: Sequences, log_policy: np.ndarray) -> np.ndarray:
    """log π(token | prefix) `[…, P, V+1]` of a policy log π `[…, n]` over all sequences, token 0 ending them."""
    first, vocabulary = sequences.shorter_than, sequences.vocabulary
    mass = np.array(log_policy, np.float64)
    for length in range(sequences.length - 1, -1, -1):
        own, longer = slice(first(length), first(length + 1)), slice(first(length + 1), first(length + 2))
        below = mass[..., longer].reshape(*mass.shape[:-1], -1, vocabulary)
        mass[..., own] = np.logaddexp(mass[..., own], scipy.special.logsumexp(below, axis=-1))
    prefixes = sequences.prefixes
    children = mass[..., 1:].reshape(*mass.shape[:-1], prefixes, vocabulary)
    joined = np.concatenate([log_policy[..., :prefixes, None], children], axis=-1)
    return np.asarray(joined - mass[..., :prefixes, None])


def policy_of(sequences: Sequences, log_next: jax.Array) -> jax.Array:
    """log π `[…, n]` over all sequences from log π(token | prefix) `[…, P, V+1]`."""
    shape, begun = log_next.shape[:-2], [jnp.zeros((*log_next.shape[:-2], 1), log_next.dtype)]
    for length in range(sequences.length):
        at = slice(sequences.shorter_than(length), sequences.shorter_than(length + 1))
        begun.append((begun[-1][..., None] + log_next[..., at, 1:]).reshape(*shape, -1))
    longest = begun.pop()
    return jnp.concatenate([jnp.concatenate(begun, axis=-1) + log_next[..., 0], longest], axis=-1)
