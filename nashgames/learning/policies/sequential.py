"""Policies that write sequences token by token: what a transformer and a recurrent network share."""

import itertools
import math
from typing import Annotated, Any, ClassVar

import jax
import jax.numpy as jnp

from nashgames.core import random
from nashgames.core.game import Game
from nashgames.core.sequences import END, Sequences
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
        log_next = jax.nn.log_softmax(known.log_next + self._listed(game, parameters), axis=-1)
        return policy_of(known.sequences, log_next)

    def sample(self, game: Game, parameters: Any, key: jax.Array, batch: int, share: Any = 0) -> jax.Array:
        return game.features.sequences.numbers(self.written(game, parameters, key, batch, share))

    def log_prob(self, game: Game, parameters: Any, actions: jax.Array) -> jax.Array:
        def of_part(part: jax.Array) -> jax.Array:
            return self.log_prob_of(game, parameters, game.features.sequences.tokens(part))

        if self.accumulate == 1:
            return of_part(actions)
        # One part after the other, each read again for its gradient: what is held between are the tokens alone.
        axis, parts = jnp.ndim(game.weights), self._parts(actions.shape[jnp.ndim(game.weights)])
        apart = actions.reshape(*actions.shape[:axis], *parts, *actions.shape[axis + 1 :])
        found = jax.lax.map(jax.checkpoint(of_part), jnp.moveaxis(apart, axis, 0))
        return jnp.moveaxis(found, 0, axis).reshape(actions.shape[: axis + 1])

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
        known: Prefixes = game.features
        sequences, network = known.sequences, self._at(game, parameters)
        log_next = known.log_next.reshape(game.contexts, *known.log_next.shape[-2:])

        def step(carry: Any, place_and_bits: Any) -> tuple[Any, jax.Array]:
            memory, node, before, going = carry
            place, drawn = place_and_bits
            memory, scores = network.read(memory, prompts, before, place)
            scores = (1 - share) * scores.astype(log_next.dtype)
            log_policy = jax.nn.log_softmax(self._sharpened(log_next[prompts, node] + scores))
            token = jnp.where(going, random.draw(log_policy, drawn[:, None])[:, 0], END)
            going = token > END
            node = jnp.where(going, sequences.vocabulary * node + token, node)
            # A sequence that is written to its end is no prefix.
            return (memory, jnp.minimum(node, sequences.prefixes - 1), token, going), token

        start = jnp.zeros(prompts.shape, jnp.int32)
        carry = (network.memory(len(prompts)), start, start, jnp.ones(prompts.shape, bool))
        _, tokens = jax.lax.scan(step, carry, (jnp.arange(sequences.length), bits))
        return tokens.T

    def log_prob_of(self, game: Game, parameters: Any, tokens: jax.Array) -> jax.Array:
        """log π_θ `[…]` of sequences given by their tokens `[…, L]`, over prompts `[m, …, L]`: one pass over them."""
        known: Prefixes = game.features
        sequences, network = known.sequences, self._at(game, parameters)
        flat = tokens.reshape(game.contexts, -1, sequences.length)
        before = jnp.concatenate([jnp.zeros_like(flat[..., :1]), flat[..., :-1]], axis=-1)
        prompts = jnp.repeat(jnp.arange(game.contexts), flat.shape[1])
        scores = network.logits(prompts, before.reshape(-1, sequences.length)).astype(known.log_next.dtype)
        scores = scores.reshape(*flat.shape, -1)
        # The prefix before every token; behind the end any one will do.
        nodes = [jnp.zeros_like(flat[..., 0])]
        for place in range(sequences.length - 1):
            longer = sequences.vocabulary * nodes[-1] + flat[..., place]
            nodes.append(jnp.where(flat[..., place] > END, longer, nodes[-1]))
        node = jnp.stack(nodes, axis=-1)
        log_next = known.log_next.reshape(game.contexts, *known.log_next.shape[-2:])
        beside = jax.vmap(lambda table, at: table[at])(log_next, node)
        log_policy = jax.nn.log_softmax(beside + scores, axis=-1)
        of_tokens = jnp.take_along_axis(log_policy, flat[..., None], axis=-1)[..., 0]
        # The first END is a choice, those behind it are none.
        chosen = (flat > END) | (before > END) | (jnp.arange(sequences.length)[None, None] == 0)
        return jnp.sum(jnp.where(chosen, of_tokens, 0), axis=-1).reshape(tokens.shape[:-1])

    def _parts(self, batch: int) -> tuple[int, int]:
        """The parts of a batch and their size; NashGamesError where the batch cannot be divided."""
        if batch % self.accumulate:
            raise NashGamesError(
                f"{self.name}[accumulate] is {self.accumulate}, which does not divide a batch of {batch}; accepted: a "
                "divisor of the batch"
            )
        return self.accumulate, batch // self.accumulate

    def _listed(self, game: Game, parameters: Any) -> jax.Array:
        """f_θ of every prefix, the shape of `log_next`: those of L − 1 tokens are read, which begin with all others."""
        known: Prefixes = game.features
        sequences, network = known.sequences, self._at(game, parameters)
        first, vocabulary = sequences.shorter_than, sequences.vocabulary
        longest = jnp.arange(first(sequences.length - 1), first(sequences.length), dtype=jnp.int32)
        tokens = sequences.tokens(longest)
        # The token before every place of theirs; END stands before the first.
        before = jnp.concatenate([jnp.zeros_like(tokens[:, :1]), tokens[:, :-1]], axis=-1)

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
        return found.reshape(known.log_next.shape).astype(known.log_next.dtype)

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
