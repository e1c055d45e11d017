"""Networks over sequences of tokens: causal, so that what they say of the next token depends on those before it alone.

Both read a sequence in two ways that agree to rounding: all its tokens at once (`logits`), for the log-probabilities of
sequences that are given, and token after token with a `memory` of what was read (`read`), for sampling. They are
modules of Equinox, which are pytrees of their weights and nothing more: θ is the network itself, optax and `jax.vmap`
over runs take it as it is, and no transformation of ours stands between a network and JAX, as the stateful modules of
Flax NNX would need.
"""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

# Units of the hidden layer of a block over its width, as in Vaswani et al. 2017.
_WIDER = 4


class Embedding(eqx.Module):
    """The vector `[width]` that a network sees at a place: the sum of one for the prompt, for the token before, for the
    place. Token 0 stands before the first one."""

    prompts: eqx.nn.Embedding
    tokens: eqx.nn.Embedding
    places: eqx.nn.Embedding

    def __init__(self, prompts: int, vocabulary: int, length: int, width: int, key: jax.Array) -> None:
        self.prompts = eqx.nn.Embedding(prompts, width, key=key)
        self.tokens = eqx.nn.Embedding(vocabulary + 1, width, key=key)
        self.places = eqx.nn.Embedding(length, width, key=key)

    def __call__(self, prompt: jax.Array, token: jax.Array, place: jax.Array) -> jax.Array:
        return self.prompts(prompt) + self.tokens(token) + self.places(place)


class Block(eqx.Module):
    """Causal self-attention, then a layer of `_WIDER` · width units, each added to what it was given and fed by it with
    mean 0 and variance 1 (Vaswani et al. 2017; the order of Xiong et al. 2020)."""

    before: eqx.nn.LayerNorm
    projections: eqx.nn.Linear
    gathered: eqx.nn.Linear
    between: eqx.nn.LayerNorm
    hidden: eqx.nn.Linear
    out: eqx.nn.Linear
    heads: int = eqx.field(static=True)

    def __init__(self, width: int, heads: int, key: jax.Array) -> None:
        self.before, self.between = eqx.nn.LayerNorm(width), eqx.nn.LayerNorm(width)
        self.projections = eqx.nn.Linear(width, 3 * width, key=key)
        self.gathered = eqx.nn.Linear(width, width, key=key)
        self.hidden = eqx.nn.Linear(width, _WIDER * width, key=key)
        self.out = eqx.nn.Linear(_WIDER * width, width, key=key)
        self.heads = heads

    def __call__(self, seen: jax.Array) -> jax.Array:
        """`[T, width]` of all T places at once."""
        asked, keys, values = jnp.split(jax.vmap(self.projections)(jax.vmap(self.before)(seen)), 3, axis=-1)
        places = jnp.arange(len(seen))

        def of_place(asked: jax.Array, place: jax.Array) -> jax.Array:
            return self._attended(asked, keys, values, places <= place)

        return jax.vmap(self._after)(seen, jax.vmap(of_place)(asked, places))

    def read(self, memory: jax.Array, seen: jax.Array, place: jax.Array) -> tuple[jax.Array, jax.Array]:
        """`[width]` of one place, with the keys and values `[2, L, width]` of those before it."""
        asked, key, value = jnp.split(self.projections(self.before(seen)), 3)
        memory = jax.lax.dynamic_update_index_in_dim(memory, jnp.stack([key, value]), place, axis=1)
        return memory, self._after(
            seen, self._attended(asked, memory[0], memory[1], jnp.arange(memory.shape[1]) <= place)
        )

    def _attended(self, asked: jax.Array, keys: jax.Array, values: jax.Array, may: jax.Array) -> jax.Array:
        """What one place `[width]` gathers from those that it `may` `[T]` see."""
        by_head = (self.heads, asked.shape[-1] // self.heads)
        asked, keys, values = (part.reshape(*part.shape[:-1], *by_head) for part in (asked, keys, values))
        scores = jnp.einsum("hd,thd->ht", asked, keys) / math.sqrt(by_head[1])
        shares = jax.nn.softmax(jnp.where(may, scores, -jnp.inf))
        return jnp.einsum("ht,thd->hd", shares, values).reshape(-1)

    def _after(self, seen: jax.Array, attended: jax.Array) -> jax.Array:
        seen = seen + self.gathered(attended)
        return seen + self.out(jax.nn.gelu(self.hidden(self.between(seen))))


class CausalTransformer(eqx.Module):
    """A causal transformer: `layers` blocks between an embedding and a linear layer."""

    embedding: Embedding
    blocks: tuple[Block, ...]
    last: eqx.nn.LayerNorm
    head: eqx.nn.Linear

    def __init__(
        self, prompts: int, vocabulary: int, length: int, *, layers: int, width: int, heads: int, key: jax.Array
    ) -> None:
        self.embedding = Embedding(prompts, vocabulary, length, width, key)
        self.blocks = tuple(Block(width, heads, key) for _ in range(layers))
        self.last = eqx.nn.LayerNorm(width)
        self.head = eqx.nn.Linear(width, vocabulary + 1, key=key)

    def logits(self, prompt: jax.Array, before: jax.Array) -> jax.Array:
        """The logits `[T, V+1]` of the token at every place, of which `before` `[T]` are those before."""
        seen = jax.vmap(self.embedding, (None, 0, 0))(prompt, before, jnp.arange(len(before)))
        for block in self.blocks:
            seen = block(seen)
        return jax.vmap(self._last)(seen)

    def memory(self) -> Any:
        """What has been read before the first token."""
        length, width = self.embedding.places.weight.shape
        return jnp.zeros((len(self.blocks), 2, length, width), self.embedding.places.weight.dtype)

    def read(
        self, memory: jax.Array, prompt: jax.Array, before: jax.Array, place: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """The memory and the logits `[V+1]` after the token `before` a place."""
        seen, kept = self.embedding(prompt, before, place), []
        for block, own in zip(self.blocks, memory, strict=True):
            own, seen = block.read(own, seen, place)
            kept.append(own)
        return jnp.stack(kept), self._last(seen)

    def _last(self, seen: jax.Array) -> jax.Array:
        return self.head(self.last(seen))


class CausalGRU(eqx.Module):
    """Gated recurrent units (Cho et al. 2014), `layers` of them one above the other."""

    embedding: Embedding
    cells: tuple[eqx.nn.GRUCell, ...]
    head: eqx.nn.Linear

    def __init__(self, prompts: int, vocabulary: int, length: int, *, layers: int, width: int, key: jax.Array) -> None:
        self.embedding = Embedding(prompts, vocabulary, length, width, key)
        self.cells = tuple(eqx.nn.GRUCell(width, width, key=key) for _ in range(layers))
        self.head = eqx.nn.Linear(width, vocabulary + 1, key=key)

    def logits(self, prompt: jax.Array, before: jax.Array) -> jax.Array:
        """The logits `[T, V+1]` of the token at every place, of which `before` `[T]` are those before."""

        def step(memory: jax.Array, place: jax.Array) -> tuple[jax.Array, jax.Array]:
            return self.read(memory, prompt, before[place], place)

        return jax.lax.scan(step, self.memory(), jnp.arange(len(before)))[1]

    def memory(self) -> Any:
        """What has been read before the first token."""
        weights = self.embedding.places.weight
        return jnp.zeros((len(self.cells), weights.shape[1]), weights.dtype)

    def read(
        self, memory: jax.Array, prompt: jax.Array, before: jax.Array, place: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """The memory and the logits `[V+1]` after the token `before` a place."""
        seen, kept = self.embedding(prompt, before, place), []
        for cell, own in zip(self.cells, memory, strict=True):
            seen = cell(seen, own)
            kept.append(seen)
        return jnp.stack(kept), self.head(seen)


_PARTS = (eqx.nn.Linear, eqx.nn.Embedding, eqx.nn.LayerNorm, eqx.nn.GRUCell)


def drawn(shapes: Any, key: jax.Array) -> Any:
    """A network of these shapes: uniform weights on ±1/√(inputs), embeddings of variance ⅓, of which three are added,
    and a `head` of zeros, so that the network says nothing yet.

    All numbers are one draw in float32: a draw takes longer to compile than the rest of a network.
    """
    parts, structure = jax.tree.flatten(shapes, is_leaf=lambda part: isinstance(part, _PARTS))
    count = sum(leaf.size for leaf in jax.tree.leaves(shapes))
    numbers, used = jax.random.uniform(key, (count,), jnp.float32, -1, 1), 0

    def filled(leaf: jax.ShapeDtypeStruct, centre: float, bound: float) -> jax.Array:
        nonlocal used
        start, used = used, used + leaf.size
        return centre + bound * numbers[start:used].reshape(leaf.shape)

    made = []
    for part in parts:
        if isinstance(part, eqx.nn.LayerNorm):
            values = [filled(leaf, centre, 0.0) for leaf, centre in zip(jax.tree.leaves(part), (1.0, 0.0), strict=True)]
        else:
            values = [filled(leaf, 0.0, 0.0 if part is shapes.head else _bound(part)) for leaf in jax.tree.leaves(part)]
        made.append(jax.tree.unflatten(jax.tree.structure(part), values))
    return jax.tree.unflatten(structure, made)


def _bound(part: Any) -> float:
    if isinstance(part, eqx.nn.Embedding):
        return 1.0
    return 1 / math.sqrt(int(part.in_features if isinstance(part, eqx.nn.Linear) else part.hidden_size))
