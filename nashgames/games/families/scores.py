"""Numbers of a sequence that are sums over its tokens: what judges of sequences look at."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from nashgames.core.sequences import END, Sequences

STARTS = 512
"""Directions from which the largest margin is looked for: a tenth of a second for 12 of 10 tokens."""


@dataclass(frozen=True)
class Scores:
    """d numbers of every sequence: s(y) = start + Σ_t table[t, y_{t−1}, y_t] over its tokens, with y_{−1} = END.

    `table` `[L, V + 1, V, d]` has a row for the token before, END of the first one, and a column for each of the tokens
    1 … V; `start` `[d]` are the numbers of the empty sequence.
    """

    sequences: Sequences
    table: np.ndarray
    start: np.ndarray | float = 0.0

    def times(self, factors: np.ndarray | float) -> Self:
        """Every number times a factor of its own, `[d]`."""
        return replace(self, table=self.table * factors, start=self.start * factors)

    def through(self, matrix: np.ndarray) -> Self:
        """The numbers s·`matrix` `[d, e]`."""
        start = np.broadcast_to(np.asarray(self.start, np.float64), self.table.shape[-1:])
        return replace(self, table=self.table @ matrix, start=start @ matrix)

    def columns(self, which: slice) -> Self:
        """Some of the numbers."""
        start = np.broadcast_to(np.asarray(self.start, np.float64), self.table.shape[-1:])
        return replace(self, table=self.table[..., which], start=start[which])

    def beside(self, other: Self) -> Self:
        """These numbers and others of the same sequences."""
        starts = [np.broadcast_to(each.start, each.table.shape[-1:]) for each in (self, other)]
        return replace(self, table=np.concatenate([self.table, other.table], axis=-1), start=np.concatenate(starts))

    def of_all(self) -> np.ndarray:
        """The numbers `[n, d]` of all sequences, each from those of its prefix."""
        count, width = self.sequences.vocabulary, self.table.shape[-1]
        found = np.empty((self.sequences.count, width))
        found[0] = self.start
        begin, end, before = 0, 1, np.array([END])
        for place in self.table:
            longer = (end - begin) * count
            # Who follows prefix i stands at V·i + 1 … V·i + V: one block for all prefixes of a length.
            found[end : end + longer] = (found[begin:end, None] + place[before]).reshape(longer, width)
            begin, end, before = end, end + longer, np.tile(np.arange(1, count + 1), end - begin)
        return found

    def of(self, tokens: np.ndarray) -> np.ndarray:
        """The numbers `[…, d]` of sequences given by their tokens `[…, L]`, which need not be few enough to list."""
        total = np.zeros((*tokens.shape[:-1], self.table.shape[-1])) + self.start
        for t, place in enumerate(self.table):
            before = tokens[..., t - 1] if t else np.full(tokens.shape[:-1], END)
            token = tokens[..., t]
            total += np.where((token > END)[..., None], place[before, np.maximum(token - 1, 0)], 0)
        return total

    def moments(self, log_steps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """E s `[d]` and E ssᵀ `[d, d]` of sequences whose next token is drawn with `log_steps` `[P, (V+1)^k, V+1]`, as
        `next_tokens.Chains` have them, place by place: O(L·V^{k+1}·d²) whatever the number of sequences."""
        base, width = self.sequences.vocabulary + 1, self.table.shape[-1]
        steps = np.exp(log_steps)
        if steps.shape[1] == 1:
            # The scores know the last token whether or not the steps do.
            steps = np.broadcast_to(steps, (len(steps), base, base))
        rest = steps.shape[1] // base
        start = np.broadcast_to(np.asarray(self.start, np.float64), (width,))
        # Of those who have begun so, by the last k tokens: their share, and the sums of s and of ssᵀ over them.
        share, first, second = (
            np.zeros((base, rest)),
            np.zeros((base, rest, width)),
            np.zeros((base, rest, width, width)),
        )
        share[0, 0], first[0, 0], second[0, 0] = 1, start, np.outer(start, start)
        mean, square = np.zeros(width), np.zeros((width, width))
        for t, place in enumerate(self.table):
            now = steps[t % len(steps)].reshape(base, rest, base)
            ended = now[..., END]
            mean += np.einsum("or,ord->d", ended, first)
            square += np.einsum("or,orde->de", ended, second)
            going = now[..., 1:]
            # The last token of a row; of rows of one token that is the row.
            last = np.arange(base * rest).reshape(base, rest) % base
            added = [np.zeros((rest, base, *each.shape[2:])) for each in (share, first, second)]
            for oldest in range(base):
                p, seen = going[oldest], place[last[oldest]]
                one, two, three = share[oldest], first[oldest], second[oldest]
                cross = np.einsum("rd,rve->rvde", two, seen)
                whole = three[:, None] + cross + np.swapaxes(cross, -1, -2)
                whole += one[:, None, None, None] * np.einsum("rvd,rve->rvde", seen, seen)
                added[0][:, 1:] += p * one[:, None]
                added[1][:, 1:] += p[..., None] * (two[:, None] + one[:, None, None] * seen)
                added[2][:, 1:] += p[..., None, None] * whole
            share, first, second = (each.reshape(base, rest, *each.shape[2:]) for each in added)
        return mean + first.sum(axis=(0, 1)), square + second.sum(axis=(0, 1))

    def best(self, directions: np.ndarray) -> np.ndarray:
        """The numbers `[B, d]` of the sequences whose s·direction is largest, of `directions` `[B, d]`: backwards from
        the last token what is left to be had, then forwards (Viterbi)."""
        gains = np.einsum("tuvd,bd->btuv", self.table, directions)
        count, length = len(directions), len(self.table)
        after, choices = np.zeros((count, gains.shape[-2])), []
        for t in range(length - 1, -1, -1):
            # Behind END nothing is left.
            both = np.concatenate([np.zeros((count, gains.shape[-2], 1)), gains[:, t] + after[:, None, 1:]], axis=-1)
            choices.append(both.argmax(axis=-1))
            after = both.max(axis=-1)
        tokens, going, every = np.zeros((count, length), np.int64), np.ones(count, bool), np.arange(count)
        before = np.zeros(count, np.int64)
        for t, choice in enumerate(reversed(choices)):
            before = np.where(going, choice[every, before], END)
            tokens[:, t], going = before, going & (before > END)
        return self.of(tokens)


def largest_rotation(seen: Scores) -> float:
    """The largest l_i r_jᵀ − r_i l_jᵀ over pairs of sequences that are not listed, `seen` as (l, r); 1 of zeros.

    The best sequence against one that is given is found exactly, and the best against that one, until nothing is gained
    any more, from STARTS directions: a maximum that no change of one side exceeds, and not proved to be the largest.
    """
    width = seen.table.shape[-1]
    # A fixed draw: a game is the same whoever makes it.
    found = seen.best(np.random.default_rng(0).standard_normal((STARTS, width)))
    largest = 0.0
    while True:
        left, right = np.split(found, 2, axis=-1)
        # The best against an opponent x = (l, r) is the one with the largest product with (r, −l).
        answer = seen.best(np.hstack([right, -left]))
        own_left, own_right = np.split(answer, 2, axis=-1)
        reached = float(np.max(np.sum(own_left * right - own_right * left, axis=-1)))
        # By more than rounding.
        if reached <= largest * (1 + 1e-14):
            return largest or 1.0
        largest, found = reached, answer


def largest_of_places(planes: Scores, worth: Scores) -> float:
    """The same, exactly, of pairs that are compared place by place: Σ_t (a b' − b a') of the numbers (a, b, a, b, …) of
    their tokens at place t alone, `planes`, and the difference of their `worth`.

    Over both sequences at once, by the last tokens of both: O(L·V³). 1 of zeros.
    """
    base = planes.sequences.vocabulary + 1
    best = np.full((base, base), -np.inf)
    best[END, END] = 0
    for t, (place, gain) in enumerate(zip(planes.table, worth.table[..., 0], strict=True)):
        step = np.full((base, base), -np.inf)
        step[:, 1:] = gain
        step[:, END] = 0
        if t:
            # A sequence that has ended stays so.
            step[END, 1:] = -np.inf
        # What two tokens at this place say of each other, nothing where one has ended.
        said = np.zeros((base, base))
        first, second = place[0, :, ::2], place[0, :, 1::2]
        said[1:, 1:] = first @ second.T - second @ first.T
        ours = np.max(best[:, None, :] + step[:, :, None], axis=0)
        theirs = np.where(np.isfinite(step), -step, -np.inf)
        best = np.max(ours[:, :, None] + theirs[None], axis=1) + said
    return float(best.max()) or 1.0


def lengths_and_repeats(sequences: Sequences) -> Scores:
    """Two numbers of a sequence: that of its tokens, and of those that repeat the one before."""
    table = np.zeros((sequences.length, sequences.vocabulary + 1, sequences.vocabulary, 2))
    table[..., 0] = 1
    tokens = np.arange(sequences.vocabulary)
    table[1:, tokens + 1, tokens, 1] = 1
    return Scores(sequences, table)


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
