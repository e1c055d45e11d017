"""A recurrent network over the tokens of a sequence."""

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import jax

from nashgames.core.sequences import Sequences
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
class Gru(Sequential):
    """π(token | prefix) ∝ μ(token | prefix) e^{f_θ}, f_θ gated recurrent units; for games whose actions are sequences.

    `layers` of `width` units, before them the sum of three embeddings (prompt, token before, place). Weights are drawn
    from the run's seed, but for a last layer of zeros, so that π_0 = μ. `temperature`, `top` and `accumulate` as of
    `transformer`.
    Source: Cho et al. 2014.
    """

    layers: Annotated[int, Number("layers of units", least=1, most=MOST_LAYERS)] = field(
        default=1, metadata={"static": True}
    )
    # As wide as the transformer.
    width: Annotated[int, Number("units of a layer", least=1, most=MOST_UNITS)] = field(
        default=32, metadata={"static": True}
    )
    temperature: Temperature = field(default=1.0, metadata={"static": True})
    top: Top = field(default=None, metadata={"static": True})
    compute: Compute = field(default="run", metadata={"static": True})
    accumulate: Accumulate = field(default=1, metadata={"static": True})

    name: ClassVar[str] = "gru"
    # As of the transformer.
    gain: ClassVar[float] = 0.02

    def _network(self, prompts: int, sequences: Sequences) -> Any:
        from nashgames.learning.policies.networks import CausalGRU

        sizes = prompts, sequences.vocabulary, sequences.length
        return CausalGRU(*sizes, layers=self.layers, width=self.width)
