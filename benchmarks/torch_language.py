"""A transformer that writes sequences and learns from duels, as a straightforward PyTorch loop: the other side of
`language.py`.

Modules of torch.nn, sequences drawn token by token by reading what is written so far, `loss.backward()` and
`torch.optim.Adam`, as a researcher writes them; nothing is compiled, mapped or kept between tokens.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from nashgames.core import game as games


def _tensor(values: Any) -> Tensor:
    return torch.from_numpy(np.array(values, np.float32))


@dataclass(frozen=True)
class Game:
    """A `sequence-embedding` game: the `features` `[m, n, k + 2]` of sequences, two for every plane and then what
    everybody likes, whose `biases` `[2]` it has; log μ of the next token after every prefix `[m, P, V+1]`, and β."""

    features: Tensor
    biases: Tensor
    log_next: Tensor
    beta: float
    vocabulary: int
    length: int

    @classmethod
    def of(cls, game: games.Game) -> "Game":
        known, of_game = game.features, game.description
        biases = _tensor([of_game.parameters[name] for name in ("length_bias", "repetition_bias")])
        sizes = known.sequences.vocabulary, known.sequences.length
        return cls(_tensor(of_game.features), biases, _tensor(known.table), float(game.beta), *sizes)

    @property
    def prompts(self) -> int:
        return len(self.features)

    def margins(self, rows: Tensor, columns: Tensor) -> Tensor:
        """P − ½ of sequences by their numbers `[m, b]`."""
        prompts = torch.arange(self.prompts)[:, None]
        ours, theirs = self.features[prompts, rows], self.features[prompts, columns]
        turned = ours[..., 0:-2:2] * theirs[..., 1:-2:2] - ours[..., 1:-2:2] * theirs[..., 0:-2:2]
        return torch.sigmoid(turned.sum(-1) + (ours - theirs)[..., -2:] @ self.biases) - 0.5

    def numbers(self, tokens: Tensor) -> Tensor:
        """The numbers `[…]` of sequences `[…, T]` of tokens, 0 behind their end."""
        found = torch.zeros_like(tokens[..., 0])
        for token in tokens.unbind(-1):
            found = torch.where(token > 0, self.vocabulary * found + token, found)
        return found


class Writer(nn.Module):
    """π(token | prefix) ∝ μ(token | prefix) e^f with f a causal transformer that begins with the weights of ours."""

    def __init__(self, game: Game, begun: Any) -> None:
        super().__init__()
        width, heads = begun.embedding.places.shape[1], begun.blocks[0].heads
        self.game = game
        self.prompts, self.tokens, self.places = (
            nn.Embedding.from_pretrained(_tensor(table), freeze=False)
            for table in (begun.embedding.prompts, begun.embedding.tokens, begun.embedding.places)
        )
        gelu = partial(functional.gelu, approximate="tanh")
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width, heads, 4 * width, dropout=0.0, activation=gelu, batch_first=True, norm_first=True
            )
            for _ in begun.blocks
        )
        self.last, self.head = nn.LayerNorm(width), nn.Linear(width, game.vocabulary + 1)
        with torch.no_grad():
            for block, own in zip(self.blocks, begun.blocks, strict=True):
                attention = block.self_attn
                _set(attention.in_proj_weight, attention.in_proj_bias, own.projections)
                _set(attention.out_proj.weight, attention.out_proj.bias, own.gathered)
                _set(block.linear1.weight, block.linear1.bias, own.hidden)
                _set(block.linear2.weight, block.linear2.bias, own.out)
                _set_norm(block.norm1, own.before)
                _set_norm(block.norm2, own.between)
            _set(self.head.weight, self.head.bias, begun.head)
            _set_norm(self.last, begun.last)

    def forward(self, prompts: Tensor, tokens: Tensor) -> Tensor:
        """log π(next token | prefix) `[N, T + 1, V+1]` after each of the prefixes of `tokens` `[N, T]`."""
        before = functional.pad(tokens, (1, 0))
        places = torch.arange(before.shape[1])
        seen = self.prompts(prompts)[:, None] + self.tokens(before) + self.places(places)
        mask = nn.Transformer.generate_square_subsequent_mask(before.shape[1])
        for block in self.blocks:
            seen = block(seen, src_mask=mask, is_causal=True)
        prefixes = [self.game.numbers(tokens[:, :place]) if place else torch.zeros_like(prompts) for place in places]
        nodes = torch.stack(prefixes, dim=1)
        return torch.log_softmax(self.game.log_next[prompts[:, None], nodes] + self.head(self.last(seen)), dim=-1)

    def sample(self, batch: int) -> Tensor:
        """`batch` sequences a prompt, `[m, batch, L]`, 0 behind their end."""
        prompts = torch.arange(self.game.prompts).repeat_interleave(batch)
        tokens = torch.zeros(len(prompts), 0, dtype=torch.long)
        going = torch.ones(len(prompts), dtype=torch.bool)
        with torch.no_grad():
            for _ in range(self.game.length):
                drawn = torch.multinomial(self(prompts, tokens)[:, -1].exp(), 1)[:, 0] * going
                going = drawn > 0
                tokens = torch.cat([tokens, drawn[:, None]], dim=1)
        return tokens.reshape(self.game.prompts, batch, self.game.length)

    def log_prob(self, tokens: Tensor) -> Tensor:
        """log π `[m, b]` of sequences `[m, b, L]`."""
        flat = tokens.flatten(0, 1)
        prompts = torch.arange(self.game.prompts).repeat_interleave(tokens.shape[1])
        of_tokens = self(prompts, flat[:, :-1]).gather(-1, flat[..., None])[..., 0]
        # The first end is a choice, those behind it are none.
        chosen = functional.pad(flat[:, :-1] > 0, (1, 0), value=True)
        return (of_tokens * chosen).sum(-1).reshape(tokens.shape[:-1])

    def log_reference(self, tokens: Tensor) -> Tensor:
        """log μ `[m, b]` of sequences `[m, b, L]`."""
        node, total = torch.zeros_like(tokens[..., 0]), 0
        prompts = torch.arange(self.game.prompts)[:, None]
        going = torch.ones_like(node, dtype=torch.bool)
        for token in tokens.unbind(-1):
            total = total + self.game.log_next[prompts, node, token] * going
            going = token > 0
            node = torch.where(going, self.game.vocabulary * node + token, node)
        return total


class Run:
    """Online IPO by Adam: both sides of the duels from the policy, and a baseline that leaves one out."""

    def __init__(self, game: Game, writer: Writer, step: float) -> None:
        self.game, self.writer = game, writer
        self.optimiser = torch.optim.Adam(writer.parameters(), lr=step)

    def step(self, batch: int) -> None:
        """One step from `batch` duels a prompt."""
        ours, theirs = self.writer.sample(2 * batch).split(batch, dim=1)
        margins = self.game.margins(self.game.numbers(ours), self.game.numbers(theirs))
        answers = torch.bernoulli(margins + 0.5) - 0.5
        log_policy = self.writer.log_prob(ours)
        worth = answers - self.game.beta * (log_policy - self.writer.log_reference(ours)).detach()
        contrast = (batch * worth - worth.sum(-1, keepdim=True)) / (batch - 1)
        self.optimiser.zero_grad()
        (-(contrast * log_policy).mean()).backward()
        self.optimiser.step()


def _set(weight: Tensor, bias: Tensor, linear: Any) -> None:
    weight.copy_(_tensor(linear.weight).T)
    bias.copy_(_tensor(linear.bias))


def _set_norm(norm: nn.LayerNorm, own: Any) -> None:
    norm.weight.copy_(1 + _tensor(own.scale))
    norm.bias.copy_(_tensor(own.shift))
