"""Policies that write sequences token by token: what a transformer and a recurrent network share."""

import dataclasses
import itertools
import math
from functools import partial
from typing import Annotated, Any, ClassVar

import jax
import jax.numpy as jnp

from nashgames.core import next_tokens, random
from nashgames.core.game import Game
from nashgames.core.next_tokens import NextTokens
from nashgames.core.sequences import Sequences
from nashgames.errors import NashGamesError
from nashgames.learning.policies.protocol import Listed
from nashgames.learning.prefixes import TOKENS, Prefixes, policy_of
from nashgames.registry import Choice, Number

MOST_LAYERS = 100
"""Larger values are typing errors, and layers are unrolled in the compiled program."""

MOST_UNITS = 10_000
"""A block of so many units is 10⁹ weights, 4 GB in float32."""

COMPUTE = ("run", "float32", "bfloat16")

Temperature = Annotated[float, Number("T of the samples: tokens are drawn from π(token)^{1/T}", symbol="T", above=0)]
Top = Annotated[int | None, Number("samples have only so many of the most probable tokens; default: all", least=1)]
Compute = Annotated[
    str, Choice("the type that the network computes in: run (that of the run), float32 or bfloat16", COMPUTE)
]

Accumulate = Annotated[
    int,
    Number(
        "parts of a batch that a step on duels draws and reads one after the other; it divides the batch",
        least=1,
    ),
]

# The letters "seq".
_PURPOSE = 0x736571
"""Sets the draw of a network apart from the steps of its run, whose keys are folded from the same one."""

_AT_ONCE = 4096
"""Prefixes of one prompt that a network reads at once where all sequences are listed: at six tokens, width 64 and two
layers a tenth of a gigabyte in float32."""


class Sequential(Listed):
    """π(token | prefix) ∝ μ(token | prefix) e^{f_θ(prompt, prefix)}, token by token until END or L tokens.

    f_θ is the causal network that `_network` makes; its last layer starts at 0, so that π_0 = μ whatever μ is, and no
    network has to be copied from one that was fitted to μ. log π of all sequences comes from the prefixes, each read
    once with those it begins with; samples are drawn with a memory, in L steps.
    """

    name: ClassVar[str]
    features: ClassVar[str] = TOKENS
    dimension: ClassVar[None] = None
    random_init: ClassVar[bool] = True
    shares_parameters: ClassVar[bool] = True

    temperature: float
    top: int | None
    compute: str
    accumulate: int

    def unchanged(self) -> "Sequential":
        """The policy that is sampled as it is, at temperature 1 and from all tokens."""
        made: Sequential = dataclasses.replace(self, temperature=1.0, top=None)  # type: ignore[type-var]
        return made

    def _network(self, prompts: int, sequences: Sequences) -> Any:
        """A network of these sizes."""
        raise NotImplementedError

    def init(self, game: Game, key: jax.Array) -> jax.Array:
        """θ_0: all weights one after the other `[d]`, which optimisers and targets move by one operation."""
        from nashgames.learning.policies.networks import drawn

        network = drawn(self._shapes(game), jax.random.fold_in(key, _PURPOSE))
        weights = jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(network)])
        return weights.astype(game.log_reference.dtype)

    def logits(self, game: Game, parameters: Any) -> jax.Array:
        """log π_θ of all sequences, `[n]`, `[m, n]` over prompts, normalised."""
        known: Prefixes = game.features
        log_next = jax.nn.log_softmax(known.table + self._listed(game, parameters), axis=-1)
        return policy_of(known.sequences, log_next)

    def sample(self, game: Game, parameters: Any, key: jax.Array, batch: int, share: Any = 0) -> jax.Array:
        return game.features.sequences.actions(self.written(game, parameters, key, batch, share))

    def log_prob(self, game: Game, parameters: Any, actions: jax.Array) -> jax.Array:
        tokens = game.features.sequences.tokens_of(actions)
        of_part = partial(self.log_prob_of, game, parameters)
        if self.accumulate == 1:
            return of_part(tokens)
        # One part after the other, each read again for its gradient: what is held between are the tokens alone.
        axis = jnp.ndim(game.weights)
        apart = tokens.reshape(*tokens.shape[:axis], *self._parts(tokens.shape[axis]), *tokens.shape[axis + 1 :])
        found = jax.lax.map(jax.checkpoint(of_part), jnp.moveaxis(apart, axis, 0))
        return jnp.moveaxis(found, 0, axis).reshape(tokens.shape[:-1])

    def written(self, game: Game, parameters: Any, key: jax.Array, batch: int, share: Any = 0) -> jax.Array:
        """`batch` sequences a prompt, `[batch, L]`, `[m, batch, L]` over prompts, each token drawn from
        π_θ(· | prefix)^{1/T}, of its `top` most probable tokens; with `share` λ from π_θ^{1−λ} μ^λ, token by token."""
        sequences = game.features.sequences
        prompts = jnp.repeat(jnp.arange(game.contexts), batch)
        bits = random.words(key, (sequences.length, len(prompts)))
        if self.accumulate == 1:
            tokens = self._drawn(game, parameters, prompts, bits, share)
        else:
            parts = self._parts(batch)[0], -1
            each = prompts.reshape(parts), jnp.swapaxes(bits.T.reshape(*parts, sequences.length), 1, 2)
            tokens = jax.lax.map(lambda part: self._drawn(game, parameters, part[0], part[1], share), each)
        return tokens.reshape(*game.log_reference.shape[:-1], batch, sequences.length)

    def _drawn(self, game: Game, parameters: Any, prompts: jax.Array, bits: jax.Array, share: Any) -> jax.Array:
        """A sequence `[N, L]` at each of `prompts` `[N]` from `bits` `[L, N]`."""
        known: NextTokens = game.features
        network = self._at(game, parameters)

        def read(memory: Any, prompts: jax.Array, before: jax.Array, place: jax.Array) -> tuple[Any, jax.Array]:
            own, scores = network.read(memory[0], prompts, before, place)
            others, log_next = known.read(memory[1], prompts, before, place)
            scores = (1 - share) * scores.astype(log_next.dtype)
            return (own, others), jax.nn.log_softmax(self._sharpened(log_next + scores))

        memory = network.memory(len(prompts)), known.memory(len(prompts))
        return next_tokens.write(known.sequences, prompts, bits, memory, read)

    def log_prob_of(self, game: Game, parameters: Any, tokens: jax.Array) -> jax.Array:
        """log π_θ `[…]` of sequences given by their tokens `[…, L]`, over prompts `[m, …, L]`: one pass over them."""
        return next_tokens.log_prob(self.log_next_of(game, parameters, tokens), tokens)

    def log_next_of(self, game: Game, parameters: Any, tokens: jax.Array) -> jax.Array:
        """log π_θ(· | prefix) `[…, L, V+1]` at the places of sequences `[…, L]`, over prompts `[m, …, L]`."""
        known: NextTokens = game.features
        flat = tokens.reshape(-1, known.sequences.length)
        before = next_tokens.before_of(flat)
        prompts = jnp.repeat(jnp.arange(game.contexts), len(flat) // game.contexts)
        scores = self._at(game, parameters).logits(prompts, before)
        beside = known.log_next(prompts, before)
        log_next = jax.nn.log_softmax(beside + scores.astype(beside.dtype), axis=-1)
        return log_next.reshape(*tokens.shape, -1)

    def _parts(self, batch: int) -> tuple[int, int]:
        """The parts of a batch and their size; NashGamesError where the batch cannot be divided."""
        if batch % self.accumulate:
            raise NashGamesError(
                f"{self.name}[accumulate] is {self.accumulate}, which does not divide a batch of {batch}; accepted: a "
                "divisor of the batch"
            )
        return self.accumulate, batch // self.accumulate

    def _listed(self, game: Game, parameters: Any) -> jax.Array:
        """f_θ of every prefix, the shape of the table: those of L − 1 tokens are read, which begin with all others."""
        known: Prefixes = game.features
        sequences, network = known.sequences, self._at(game, parameters)
        first, vocabulary = sequences.shorter_than, sequences.vocabulary
        longest = jnp.arange(first(sequences.length - 1), first(sequences.length), dtype=jnp.int32)
        tokens = sequences.tokens(longest)
        # The token before every place of theirs; END stands before the first.
        before = next_tokens.before_of(tokens)

        def of_prompt(prompt: jax.Array) -> jax.Array:
            size = math.gcd(len(before), _AT_ONCE) if len(before) > _AT_ONCE else len(before)
            in_parts = before.reshape(-1, size, sequences.length)
            read = jax.lax.map(lambda part: network.logits(jnp.broadcast_to(prompt, (size,)), part), in_parts)
            read = read.reshape(len(before), sequences.length, -1)
            # A prefix of l tokens is the beginning of V^{L−1−l} of them, which stand together.
            return jnp.concatenate(
                [read[:: vocabulary ** (sequences.length - 1 - place), place] for place in range(sequences.length)]
            )

        found = jax.lax.map(of_prompt, jnp.arange(game.contexts))
        return found.reshape(known.table.shape).astype(known.dtype)

    def _shapes(self, game: Game) -> Any:
        return jax.eval_shape(lambda: self._network(game.contexts, game.features.sequences))

    def _at(self, game: Game, parameters: jax.Array) -> Any:
        """The network with the weights θ, in the type in which it computes."""
        leaves, structure = jax.tree.flatten(self._shapes(game))
        ends = list(itertools.accumulate(leaf.size for leaf in leaves))
        weights = parameters if self.compute == "run" else parameters.astype(self.compute)
        parts = jnp.split(weights, ends[:-1])
        shaped = [part.reshape(leaf.shape) for part, leaf in zip(parts, leaves, strict=True)]
        return jax.tree.unflatten(structure, shaped)

    def _sharpened(self, logits: jax.Array) -> jax.Array:
        logits = logits / self.temperature
        if self.top is None or self.top >= logits.shape[-1]:
            return logits
        least = jax.lax.top_k(logits, self.top)[0][..., -1:]
        return jnp.where(logits >= least, logits, -math.inf)
