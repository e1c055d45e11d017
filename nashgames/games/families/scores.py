"""Numbers of a sequence that are sums over its tokens: what judges of sequences look at."""

from dataclasses import dataclass

import numpy as np

from nashgames.core.sequences import END, Sequences


@dataclass(frozen=True)
class Scores:
    """d numbers of every sequence: s(y) = Σ_t table[t, y_{t−1}, y_t] over its tokens, with y_{−1} = END.

    `table` `[L, V + 1, V, d]` has a row for the token before, END of the first one, and a column for each of the tokens
    1 … V.
    """

    sequences: Sequences
    table: np.ndarray

    def of_all(self) -> np.ndarray:
        """The numbers `[n, d]` of all sequences, each from those of its prefix."""
        count, width = self.sequences.vocabulary, self.table.shape[-1]
        found = np.zeros((self.sequences.count, width))
        begin, end, before = 0, 1, np.array([END])
        for place in self.table:
            longer = (end - begin) * count
            # Who follows prefix i stands at V·i + 1 … V·i + V: one block for all prefixes of a length.
            found[end : end + longer] = (found[begin:end, None] + place[before]).reshape(longer, width)
            begin, end, before = end, end + longer, np.tile(np.arange(1, count + 1), end - begin)
        return found

    def of(self, tokens: np.ndarray) -> np.ndarray:
        """The numbers `[…, d]` of sequences given by their tokens `[…, L]`, which need not be few enough to list."""
        total = np.zeros((*tokens.shape[:-1], self.table.shape[-1]))
        for t, place in enumerate(self.table):
            before = tokens[..., t - 1] if t else np.full(tokens.shape[:-1], END)
            token = tokens[..., t]
            total += np.where((token > END)[..., None], place[before, np.maximum(token - 1, 0)], 0)
        return total


def lengths_and_repeats(sequences: Sequences) -> np.ndarray:
    """The table `[L, V + 1, V, 2]` of the number of tokens, and of those that repeat the one before."""
    table = np.zeros((sequences.length, sequences.vocabulary + 1, sequences.vocabulary, 2))
    table[..., 0] = 1
    tokens = np.arange(sequences.vocabulary)
    table[1:, tokens + 1, tokens, 1] = 1
    return table


def texts_of(sequences: Sequences) -> tuple[str, ...]:
    """The texts of all sequences, as `Sequences.text` writes them, each from that of its prefix."""
    letters, between = _letters(sequences)
    found, level = [sequences.text(0)], [""]
    for _ in range(sequences.length):
        level = [f"{prefix}{between}{letter}" if prefix else letter for prefix in level for letter in letters]
        found += level
    return tuple(found)


def written(sequences: Sequences, tokens: np.ndarray) -> str:
    """How any number of tokens, END not among them, is written: a prompt may be longer than the sequences."""
    letters, between = _letters(sequences)
    return between.join(letters[token - 1] for token in tokens.tolist())


def _letters(sequences: Sequences) -> tuple[list[str], str]:
    """How the tokens 1 … V are written, and what stands between two of them."""
    letters = [sequences.text(token) for token in range(1, sequences.vocabulary + 1)]
    # Numbers are told apart by spaces.
    return letters, " " if letters[0].isdigit() else ""
