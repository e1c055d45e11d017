"""What was written before anybody judged: the source of a sequence game's corpus, samples of it, and what is fitted."""

from dataclasses import dataclass

import numpy as np
import scipy

from nashgames.core.game import Game
from nashgames.core.sequences import END, Sequences
from nashgames.errors import NashGamesError
from nashgames.games.streams import stream

MOST_HISTORIES = 1_000_000
"""Rows of the steps of a chain, at most: with a vocabulary of 10 that is 88 MB."""


@dataclass(frozen=True)
class Chain:
    """A Markov chain of tokens: P(y_t | the tokens before it) depends on the last k of them, the `order`.

    `log_steps` `[(V + 1)^k, V + 1]` are log P of END and of the tokens 1 … V; its row is the last k tokens as a number
    with base V + 1, END standing before the first token. A sequence ends with END, or at L tokens.
    """

    sequences: Sequences
    order: int
    log_steps: np.ndarray

    def log_probs(self) -> np.ndarray:
        """log P `[n]` of all sequences, each from that of its prefix."""
        count = self.sequences.vocabulary
        found = np.empty(self.sequences.count)
        # Of the prefixes of one length: log P of having begun so, and the row of what comes next.
        begun, rows, end = np.zeros(1), np.zeros(1, np.int64), 0
        for _ in range(self.sequences.length):
            found[end : end + len(begun)] = begun + self.log_steps[rows, END]
            end += len(begun)
            begun = (begun[:, None] + self.log_steps[rows, 1:]).ravel()
            rows = self._after(rows[:, None], np.arange(1, count + 1)).ravel()
        found[end:] = begun
        return found

    def log_prob(self, tokens: np.ndarray) -> np.ndarray:
        """log P `[…]` of sequences given by their tokens `[…, L]`, which need not be few enough to list."""
        total, row = np.zeros(tokens.shape[:-1]), np.zeros(tokens.shape[:-1], np.int64)
        going = np.ones(tokens.shape[:-1], bool)
        for token in np.moveaxis(tokens, -1, 0):
            total += np.where(going, self.log_steps[row, token], 0)
            going, row = going & (token != END), self._after(row, token)
        return total

    def sample(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """The tokens `[K, L]` of independent sequences."""
        tokens = np.full((count, self.sequences.length), END)
        row, going = np.zeros(count, np.int64), np.ones(count, bool)
        up_to = np.cumsum(np.exp(self.log_steps), axis=-1)
        for t in range(self.sequences.length):
            # The last sum is 1 but for rounding, which must not lead beyond the last token.
            drawn = np.sum(rng.random(count)[:, None] >= up_to[row, :-1], axis=-1)
            tokens[:, t] = np.where(going, drawn, END)
            going, row = going & (drawn != END), self._after(row, drawn)
        return tokens

    def _after(self, rows: np.ndarray, token: np.ndarray) -> np.ndarray:
        """The rows of what comes next once a token is appended."""
        return (rows * (self.sequences.vocabulary + 1) + token) % len(self.log_steps)


def source(game: Game) -> list[Chain]:
    """The source of a sequence game's corpus, one Markov chain of order 1 for every prompt x, from the game's seed.

    P(v | u, x) ∝ exp(G_uv + H_xv + [v ∈ x]) after token u, with G ~ N(0, 1) drawn once and H ~ N(0, 1) for every
    prompt; of END it is log(V/L) + G_u, which ends a sequence about once in L tokens.

    Args:
        game: a game whose actions are sequences of tokens

    Raises:
        NashGamesError: for a game whose actions are not sequences

    Example:
        >>> import nashgames as ng
        >>> from nashgames.games import corpus
        >>> game = ng.load("sequence-voters[vocabulary=3,length=2,contexts=2]")
        >>> [chain.log_steps.shape for chain in corpus.source(game)]
        [(4, 4), (4, 4)]
    """
    sequences = sequences_of(game)
    count, told = sequences.vocabulary, game.description
    size = (game.actions,) if told.parameters.get("draws") == "independent" else ()
    pairs = stream(told.seed or 0, "corpus", "shared", *size).standard_normal((count + 1, count + 1))
    chains = []
    for context in range(game.contexts):
        logits = pairs.copy()
        logits[:, END] += np.log(count / sequences.length)
        logits[:, 1:] += stream(told.seed or 0, "corpus", context, *size).standard_normal(count)
        if told.prompts is not None:
            logits[:, 1:] += np.isin(np.arange(1, count + 1), told.prompts[context])
        chains.append(Chain(sequences, 1, np.asarray(scipy.special.log_softmax(logits, axis=-1))))
    return chains


def draw(game: Game, count: int, rng: np.random.Generator) -> np.ndarray:
    """The tokens `[m, K, L]` of K sequences at every prompt, from the game's `source`.

    Args:
        game: a game of m prompts whose actions are sequences of at most L tokens
        count: K, the number of sequences at every prompt
        rng: a random generator of NumPy

    Raises:
        NashGamesError: for a game whose actions are not sequences

    Example:
        >>> import nashgames as ng
        >>> import numpy as np
        >>> from nashgames.games import corpus
        >>> game = ng.load("sequence-voters[vocabulary=3,length=2,contexts=2]")
        >>> corpus.draw(game, 5, np.random.default_rng(0)).shape
        (2, 5, 2)
    """
    return np.stack([chain.sample(rng, count) for chain in source(game)])


def fit(tokens: np.ndarray, sequences: Sequences, order: int, smoothing: float) -> Chain:
    """The Markov chain of an order that makes sequences `[K, L]` most likely: P ∝ how often a token came + `smoothing`.

    With 0 that is maximum likelihood, and a step that was never seen has no probability.

    Args:
        tokens: `[K, L]`, integers: K sequences
        sequences: what the sequences are over: their vocabulary and length
        order: the number of tokens that the probability of the next one depends on
        smoothing: what is added to every count, at least 0

    Raises:
        NashGamesError: where the chain has too many histories

    Example:
        >>> import numpy as np
        >>> from nashgames.core.sequences import Sequences
        >>> from nashgames.games import corpus
        >>> tokens = np.array([[1, 0], [1, 2], [2, 0]])  # 0 ends a sequence
        >>> chain = corpus.fit(tokens, Sequences(vocabulary=2, length=2), order=0, smoothing=0)
        >>> np.exp(chain.log_steps).round(2).tolist()
        [[0.33, 0.33, 0.33]]
    """
    base = sequences.vocabulary + 1
    if base**order > MOST_HISTORIES:
        raise NashGamesError(
            f"order is {order}, which over {sequences.vocabulary} tokens has {base**order:,} histories; "
            f"accepted: an order with at most {MOST_HISTORIES:,}"
        )
    counts = np.full((base**order, base), float(smoothing))
    row, going = np.zeros(len(tokens), np.int64), np.ones(len(tokens), bool)
    for token in tokens.T:
        np.add.at(counts, (row[going], token[going]), 1)
        going, row = going & (token != END), (row * base + token) % base**order
    with np.errstate(divide="ignore", invalid="ignore"):
        return Chain(sequences, order, np.log(counts) - np.log(counts.sum(axis=-1, keepdims=True)))


def sequences_of(game: Game) -> Sequences:
    """The sequences that the actions of a game are; NashGamesError where they are none."""
    if game.description.sequences is None:
        raise NashGamesError(
            f"{game.description.name} has no corpus, as its actions are not sequences of tokens; use a game "
            f"such as sequence-embedding, or another reference"
        )
    return game.description.sequences
