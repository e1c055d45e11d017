"""A small causal transformer over the tokens of a sequence."""

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import jax

from nashgames.core.sequences import Sequences
from nashgames.errors import NashGamesError
from nashgames.learning.policies.sequential import (
    MOST_LAYERS,
    MOST_UNITS,
    Accumulate,
    Compute,
    Sequential,
    Temperature,
    Top,
)
from nashgames.registry import Number


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Transformer(Sequential):
    """π(token | prefix) ∝ μ(token | prefix) e^{f_θ}, f_θ a causal transformer; for games whose actions are sequences.

    `layers` blocks of causal self-attention with `heads` heads and a layer of 4 · `width` units each, before them the
    sum of three embeddings (prompt, token before, place). Weights are drawn from the run's seed, but for a last layer
    of zeros, so that π_0 = μ. `temperature` and `top` change what is sampled and nothing else: the policy that is
    learned and measured is π_θ. With opponents drawn at T ≠ 1 a method learns to answer π_θ^{1/T}, and its fixed point
    is not π*_β; with `top` it never tries the other tokens. With `accumulate` = k a query of B duels is drawn and read
    in k parts, one after the other: the same gradient, its baseline that of all B, from the memory of B/k.
    Source: Vaswani et al. 2017, normalised before each part (Xiong et al. 2020).
    """

    layers: Annotated[int, Number("blocks", least=1, most=MOST_LAYERS)] = field(default=2, metadata={"static": True})
    width: Annotated[int, Number("units of an embedding", least=1, most=MOST_UNITS)] = field(
        # With two layers 26,000 weights: more than the sequences of the default game.
        default=32,
        metadata={"static": True},
    )
    heads: Annotated[int, Number("heads of the attention, which divide the width", least=1, most=MOST_UNITS)] = field(
        default=4, metadata={"static": True}
    )
    temperature: Temperature = field(default=1.0, metadata={"static": True})
    top: Top = field(default=None, metadata={"static": True})
    compute: Compute = field(default="run", metadata={"static": True})
    accumulate: Accumulate = field(default=1, metadata={"static": True})

    name: ClassVar[str] = "transformer"
    # Measured on the default game: plain steps a tenth as long move the logits of sequences as far as those of a table.
    gain: ClassVar[float] = 0.02

    def check(self) -> None:
        """Raise NashGamesError for heads that do not divide the width."""
        if self.width % self.heads:
            raise NashGamesError(
                f"transformer[heads] is {self.heads} and width is {self.width}; accepted: heads that divide the width"
            )

    def _network(self, prompts: int, sequences: Sequences) -> Any:
        from nashgames.learning.policies.networks import CausalTransformer

        sizes = prompts, sequences.vocabulary, sequences.length
        return CausalTransformer(*sizes, layers=self.layers, width=self.width, heads=self.heads)
