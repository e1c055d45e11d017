"""Sequences of tokens as actions: a tree whose nodes are numbered, so that an action is a number and a text alike."""

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

END = 0
"""The token that ends a sequence, and that fills what is behind its end."""

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
"""How the tokens 1, 2, … are written, up to 26 of them; larger vocabularies are written as numbers."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class Sequences:
    """All sequences of at most `length` L tokens out of `vocabulary` V, the empty one among them.

    They are the nodes of a tree: 0 is the empty sequence, and appending token v ∈ 1 … V to sequence i gives V·i + v. So
    shorter sequences come first, equally long ones in the order of a dictionary, and the sequences shorter than L, the
    `prefixes`, are the first ones.
    As an array a sequence is `[L]` whole numbers, its tokens and then END. Actions are the numbers of sequences that
    are `listed`; of others, whose numbers may be too large for a computer's, they are those arrays with L in front.

    Example:
        >>> from nashgames.core.sequences import Sequences
        >>> two = Sequences(vocabulary=2, length=2)
        >>> two.count, two.prefixes, [two.text(i) for i in range(7)]
        (7, 3, ['·', 'a', 'b', 'aa', 'ab', 'ba', 'bb'])
    """

    vocabulary: int
    length: int
    listed: bool = True

    @property
    def count(self) -> int:
        """n = 1 + V + … + V^L, the number of sequences."""
        return self.shorter_than(self.length + 1)

    @property
    def prefixes(self) -> int:
        """1 + V + … + V^{L−1}, the number of sequences that a token can be appended to."""
        return self.shorter_than(self.length)

    def shorter_than(self, length: int) -> int:
        """The number of sequences shorter than `length`, which is also the first sequence of that length."""
        return (self.vocabulary**length - 1) // (self.vocabulary - 1)

    def tokens(self, sequences: Any) -> Any:
        """The tokens `[…, L]` of sequences given by their numbers `[…]`."""
        xp = sequences.__array_namespace__()
        # From the last token to the first; whoever has none left gives END.
        backwards, left = [], sequences
        for _ in range(self.length):
            backwards.append(xp.where(left > 0, (left - 1) % self.vocabulary + 1, END))
            left = xp.where(left > 0, (left - 1) // self.vocabulary, 0)
        reversed_ = xp.stack(backwards[::-1], axis=-1)
        # A sequence of l tokens stands at the end of its row.
        first = (self.length - self.lengths(sequences))[..., None]
        places = xp.arange(self.length, dtype=first.dtype).reshape((1,) * (first.ndim - 1) + (-1,)) + first
        return xp.where(
            places < self.length, xp.take_along_axis(reversed_, xp.minimum(places, self.length - 1), axis=-1), END
        )

    def numbers(self, tokens: Any) -> Any:
        """The numbers `[…]` of sequences given by their tokens `[…, L]`."""
        xp = tokens.__array_namespace__()
        found = xp.zeros(tokens.shape[:-1], tokens.dtype)
        for place in range(self.length):
            token = tokens[..., place]
            found = xp.where(token > END, self.vocabulary * found + token, found)
        return found

    def actions(self, tokens: Any) -> Any:
        """The actions that sequences are, given by their tokens `[…, L]`: `[…]`, of unlisted ones `[L, …]`."""
        return self.numbers(tokens) if self.listed else tokens.__array_namespace__().moveaxis(tokens, -1, 0)

    def tokens_of(self, actions: Any) -> Any:
        """The tokens `[…, L]` of the sequences that are these actions."""
        return self.tokens(actions) if self.listed else actions.__array_namespace__().moveaxis(actions, 0, -1)

    def lengths(self, sequences: Any) -> Any:
        """The lengths `[…]` of sequences given by their numbers."""
        found = sequences * 0
        for length in range(1, self.length + 1):
            found = found + (sequences >= self.shorter_than(length)).astype(found.dtype)
        return found

    def writing(self, policy: Any, weights: Any = None) -> tuple[Any, Any]:
        """How many tokens a policy π `[…, n]` writes in the mean, and which share of those that have one before them
        repeat it; `[…]`, or with the `weights` of prompts of all that is written at them, scalars.

        Every token is a node of the tree whose subtree has the probability that it is written, S(i) = Σ π below i:
        E ℓ = Σ S(i) over all nodes but the root, and the share is Σ S(i) over those that repeat the token before, over
        Σ S(i) over those that have one before; 0 where there are none.
        """
        xp = policy.__array_namespace__()
        below = policy[..., :0]
        tokens = pairs = repeats = xp.zeros(policy.shape[:-1], policy.dtype)
        for length in range(self.length, 0, -1):
            mass = policy[..., self.shorter_than(length) : self.shorter_than(length + 1)]
            if length < self.length:
                mass = mass + xp.sum(below.reshape(*mass.shape, self.vocabulary), axis=-1)
            written = xp.sum(mass, axis=-1)
            tokens = tokens + written
            if length > 1:
                pairs = pairs + written
                by_pair = mass.reshape(*mass.shape[:-1], -1, self.vocabulary, self.vocabulary)
                repeats = repeats + xp.sum(xp.diagonal(by_pair, axis1=-2, axis2=-1), axis=(-2, -1))
            below = mass
        if weights is not None:
            tokens, pairs, repeats = (xp.sum(weights * each) for each in (tokens, pairs, repeats))
        some = pairs > 0
        return tokens, xp.where(some, repeats / xp.where(some, pairs, xp.ones_like(pairs)), xp.zeros_like(pairs))

    def text(self, sequence: int) -> str:
        """How a sequence is written; · is the empty one."""
        tokens = [int(token) for token in self.tokens(np.asarray(sequence)) if token > END]
        if not tokens:
            return "·"
        if self.vocabulary <= len(_LETTERS):
            return "".join(_LETTERS[token - 1] for token in tokens)
        return " ".join(map(str, tokens))
