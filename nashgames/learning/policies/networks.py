"""Networks over sequences of tokens: causal, so that what they say of the next token depends on those before it alone.

Both read N sequences in two ways that agree to rounding: all tokens at once (`logits`), for the log-probabilities of
sequences that are given, and token after token with a `memory` of what was read (`read`), for sampling. They are
modules of Equinox, which are pytrees of their weights and nothing more: θ is the network itself, and optax and
`jax.vmap` over runs take it as it is, where the stateful modules of Flax NNX would have to be split and merged around
every transformation. Its layers are written for vectors; these are for rows of them, one product of matrices a layer.
"""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

_WIDER = 4
"""Units of the hidden layer of a block over its width (Vaswani et al. 2017)."""

_SMALLEST = 1e-5
"""Added to a variance before it is divided by, as is usual in this normalisation."""


def _zeros(*shape: int) -> jax.Array:
    return jnp.zeros(shape, jnp.float32)


class Linear(eqx.Module):
    """x W + b for rows x `[…, inputs]`."""

    weight: jax.Array
    bias: jax.Array

    def __init__(self, inputs: int, outputs: int) -> None:
        self.weight, self.bias = _zeros(inputs, outputs), _zeros(outputs)

    def __call__(self, rows: jax.Array) -> jax.Array:
        flat = rows.reshape(-1, rows.shape[-1]) @ self.weight + self.bias[None]
        return flat.reshape(*rows.shape[:-1], -1)


class Norm(eqx.Module):
    """Rows with mean 0 and variance 1, each unit then scaled by 1 + `scale` and moved by `shift`."""

    scale: jax.Array
    shift: jax.Array

    def __init__(self, width: int) -> None:
        self.scale, self.shift = _zeros(width), _zeros(width)

    def __call__(self, rows: jax.Array) -> jax.Array:
        centred = rows - jnp.mean(rows, axis=-1, keepdims=True)
        spread = jax.lax.rsqrt(jnp.mean(centred**2, axis=-1, keepdims=True) + _SMALLEST)
        of_unit = (*[1] * (rows.ndim - 1), -1)
        return centred * spread * (1 + self.scale.reshape(of_unit)) + self.shift.reshape(of_unit)


class Embedding(eqx.Module):
    """The rows that a network sees: the sum of one for the prompt, one for the token before and one for the place.

    Token 0 stands before the first one.
    """

    prompts: jax.Array
    tokens: jax.Array
    places: jax.Array

    def __init__(self, prompts: int, vocabulary: int, length: int, width: int) -> None:
        self.prompts = _zeros(prompts, width)
        self.tokens, self.places = _zeros(vocabulary + 1, width), _zeros(length, width)

    def __call__(self, prompts: jax.Array, before: jax.Array, places: jax.Array) -> jax.Array:
        """`[…, width]` for `prompts`, tokens `before` and `places` of as many axes."""
        return self.prompts[prompts] + self.tokens[before] + self.places[places]


class Block(eqx.Module):
    """Causal self-attention, then a layer of `_WIDER` · width units, each fed by normalised rows and added to its input
    (Vaswani et al. 2017; the order of Xiong et al. 2020)."""

    before: Norm
    projections: Linear
    gathered: Linear
    between: Norm
    hidden: Linear
    out: Linear
    heads: int = eqx.field(static=True)

    def __init__(self, width: int, heads: int) -> None:
        self.before, self.between = Norm(width), Norm(width)
        self.projections, self.gathered = Linear(width, 3 * width), Linear(width, width)
        self.hidden, self.out = Linear(width, _WIDER * width), Linear(_WIDER * width, width)
        self.heads = heads

    def __call__(self, seen: jax.Array) -> jax.Array:
        """`[N, T, width]` of all T places."""
        asked, keys, values = self._projected(seen)
        places = jnp.arange(seen.shape[1])
        may = (places[None] <= places[:, None])[None, ..., None]
        gathered = self._attended(asked[:, :, None], keys[:, None], values[:, None], may)
        return self._after(seen, gathered)

    def read(self, memory: jax.Array, seen: jax.Array, place: jax.Array) -> tuple[jax.Array, jax.Array]:
        """`[N, width]` of one place, and the keys and values `[2, N, L, heads, d]` up to it."""
        asked, key, value = self._projected(seen)
        memory = jax.lax.dynamic_update_index_in_dim(memory, jnp.stack([key, value]), place, axis=2)
        may = (jnp.arange(memory.shape[2]) <= place)[None, :, None]
        return memory, self._after(seen, self._attended(asked[:, None], memory[0], memory[1], may))

    def _projected(self, seen: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Queries, keys and values `[…, heads, d]`."""
        asked, keys, values = jnp.split(self.projections(self.before(seen)), 3, axis=-1)
        by_head = (*seen.shape[:-1], self.heads, -1)
        return asked.reshape(by_head), keys.reshape(by_head), values.reshape(by_head)

    def _attended(self, asked: jax.Array, keys: jax.Array, values: jax.Array, may: jax.Array) -> jax.Array:
        """What is gathered `[…, width]` from those of T places that `may` `[…, T, 1]` be seen."""
        # Sums of a few products: XLA fuses them, where it would call a product for every head of every sequence.
        scores = jnp.sum(asked * keys, axis=-1) / math.sqrt(keys.shape[-1])
        shares = jax.nn.softmax(jnp.where(may, scores, -jnp.inf), axis=-2)
        gathered = jnp.sum(shares[..., None] * values, axis=-3)
        return gathered.reshape(*gathered.shape[:-2], -1)

    def _after(self, seen: jax.Array, attended: jax.Array) -> jax.Array:
        seen = seen + self.gathered(attended)
        return seen + self.out(jax.nn.gelu(self.hidden(self.between(seen))))


class CausalTransformer(eqx.Module):
    """A causal transformer: `layers` blocks between an embedding and a linear layer."""

    embedding: Embedding
    blocks: tuple[Block, ...]
    last: Norm
    head: Linear

    def __init__(self, prompts: int, vocabulary: int, length: int, *, layers: int, width: int, heads: int) -> None:
        self.embedding = Embedding(prompts, vocabulary, length, width)
        self.blocks = tuple(Block(width, heads) for _ in range(layers))
        self.last, self.head = Norm(width), Linear(width, vocabulary + 1)

    def logits(self, prompts: jax.Array, before: jax.Array) -> jax.Array:
        """The logits `[N, T, V+1]` of the tokens at T places, of which `before` `[N, T]` are those before; `prompts`
        `[N]`."""
        seen = self.embedding(prompts[:, None], before, jnp.arange(before.shape[1])[None])
        for block in self.blocks:
            seen = block(seen)
        return self.head(self.last(seen))

    def memory(self, count: int) -> Any:
        """What has been read of `count` sequences before their first token."""
        places = self.embedding.places
        # An array a block, which is written in place: in one array of all of them each step would copy it.
        return tuple(
            jnp.zeros((2, count, len(places), block.heads, places.shape[1] // block.heads), places.dtype)
            for block in self.blocks
        )

    def read(self, memory: Any, prompts: jax.Array, before: jax.Array, place: jax.Array) -> tuple[Any, jax.Array]:
        """The memory and the logits `[N, V+1]` after the tokens `before` `[N]` a place."""
        seen, kept = self.embedding(prompts, before, place[None]), []
        for block, own in zip(self.blocks, memory, strict=True):
            own, seen = block.read(own, seen, place)
            kept.append(own)
        return tuple(kept), self.head(self.last(seen))


class Cell(eqx.Module):
    """A gated recurrent unit: h ← (1 − z) n + z h with r, z = σ(inputs and h), n = tanh(inputs + r ∘ of h) (Cho et al.
    2014)."""

    inputs: Linear
    kept: Linear

    def __init__(self, width: int) -> None:
        self.inputs, self.kept = Linear(width, 3 * width), Linear(width, 3 * width)

    def __call__(self, state: jax.Array, seen: jax.Array) -> jax.Array:
        reset, update, new = jnp.split(self.inputs(seen), 3, axis=-1)
        own_reset, own_update, own_new = jnp.split(self.kept(state), 3, axis=-1)
        share = jax.nn.sigmoid(update + own_update)
        return (1 - share) * jnp.tanh(new + jax.nn.sigmoid(reset + own_reset) * own_new) + share * state


class CausalGRU(eqx.Module):
    """Gated recurrent units, `layers` of them one above the other."""

    embedding: Embedding
    cells: tuple[Cell, ...]
    head: Linear

    def __init__(self, prompts: int, vocabulary: int, length: int, *, layers: int, width: int) -> None:
        self.embedding = Embedding(prompts, vocabulary, length, width)
        self.cells = tuple(Cell(width) for _ in range(layers))
        self.head = Linear(width, vocabulary + 1)

    def logits(self, prompts: jax.Array, before: jax.Array) -> jax.Array:
        """The logits `[N, T, V+1]` of the tokens at T places, of which `before` `[N, T]` are those before; `prompts`
        `[N]`."""

        def step(memory: Any, place: jax.Array) -> tuple[Any, jax.Array]:
            return self.read(memory, prompts, before[:, place], place)

        _, logits = jax.lax.scan(step, self.memory(len(prompts)), jnp.arange(before.shape[1]))
        return jnp.swapaxes(logits, 0, 1)

    def memory(self, count: int) -> Any:
        """What has been read of `count` sequences before their first token."""
        places = self.embedding.places
        return jnp.zeros((len(self.cells), count, places.shape[1]), places.dtype)

    def read(self, memory: Any, prompts: jax.Array, before: jax.Array, place: jax.Array) -> tuple[Any, jax.Array]:
        """The memory and the logits `[N, V+1]` after the tokens `before` `[N]` a place."""
        seen, kept = self.embedding(prompts, before, place[None]), []
        for cell, own in zip(self.cells, memory, strict=True):
            seen = cell(own, seen)
            kept.append(seen)
        return jnp.stack(kept), self.head(seen)


def drawn(network: Any, key: jax.Array) -> Any:
    """The network with weights that are uniform on ±1/√(inputs), embeddings of variance ⅓, of which three are added,
    and zeros for normalisations and in the `head`, so that it says nothing yet.

    All numbers are one draw in float32: a draw takes longer to compile than the rest of a network.
    """
    parts, structure = jax.tree.flatten(network, is_leaf=lambda part: isinstance(part, (Linear, Norm, Embedding)))
    numbers = jax.random.uniform(key, (sum(leaf.size for leaf in jax.tree.leaves(network)),), jnp.float32, -1, 1)
    made, used = [], 0
    for part in parts:
        quiet = isinstance(part, Norm) or part is network.head
        bound = 0.0 if quiet else 1.0 if isinstance(part, Embedding) else 1 / math.sqrt(len(part.weight))
        leaves, of_part = jax.tree.flatten(part)
        for place, leaf in enumerate(leaves):
            # No constants: YNN fusions of XLA (jaxlib 0.10.2 to 0.12) read memory beyond one that they multiply with.
            leaves[place] = bound * numbers[used : used + leaf.size].reshape(leaf.shape)
            used += leaf.size
        made.append(jax.tree.unflatten(of_part, leaves))
    return jax.tree.unflatten(structure, made)
