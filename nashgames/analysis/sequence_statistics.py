"""What a policy over sequences writes like: how long, and how repetitive."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nashgames.core.sequences import Sequences
from nashgames.games.families.scores import written

if TYPE_CHECKING:
    from nashgames.core.game import Game


class Writing(NamedTuple):
    """Exact statistics of a policy over all sequences, a number, or `[m]` over prompts.

    `length` is the expected number of tokens, E ℓ; `repetition` the share of tokens that repeat the one before among
    those that have one before, E ρ / E max(ℓ − 1, 0), and 0 where there are none.
    """

    length: np.ndarray
    repetition: np.ndarray


def writing(log_policy: np.ndarray, sequences: Sequences) -> Writing:
    """The statistics of log π `[n]`, `[m, n]` over prompts, summed over all sequences.

    Example:
        >>> import numpy as np
        >>> from nashgames.analysis.sequence_statistics import writing
        >>> from nashgames.core.sequences import Sequences
        >>> two = Sequences(vocabulary=2, length=2)  # · a b aa ab ba bb
        >>> found = writing(np.log(np.full(7, 1 / 7)), two)
        >>> round(float(found.length), 3), float(found.repetition)
        (1.429, 0.5)
    """
    return Writing(*sequences.writing(np.exp(log_policy)))


def prompt_of(game: "Game", context: int) -> str:
    """The text of a prompt, with its number where another reads the same; its number where it has none."""
    told = game.description
    if told.prompts is None or told.sequences is None:
        return str(context)
    texts = [written(told.sequences, prompt) for prompt in told.prompts]
    return texts[context] if texts.count(texts[context]) == 1 else f"{texts[context]} ({context})"
