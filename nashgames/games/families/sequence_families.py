"""Families of games whose actions are sequences of tokens, judged by prompt: intransitive by construction.

What a judge sees of a sequence are sums over its tokens (`Scores`): tokens, tokens at their places, pairs of tokens in
a row, agreement with the prompt, length and repetition. So Aπ of bilinear margins is such a sum too, and under a
reference that is a Markov chain of tokens π*_β is a Markov chain, with steps that depend on the place [derived].
"""

import math
from dataclasses import replace
from typing import Annotated, Any

import numpy as np

from nashgames.core.margins import WrittenMargins
from nashgames.core.next_tokens import Chains
from nashgames.core.sequences import Sequences
from nashgames.errors import NashGamesError, wrong_word
from nashgames.games.families.logit_families import LINKS, Link, Strength, linked
from nashgames.games.families.margin_families import of_orders
from nashgames.games.families.recipes import LARGEST_COUNT, LARGEST_LOGIT, Recipe, accept
from nashgames.games.families.scores import Scores, largest_of_places, largest_rotation, lengths_and_repeats, texts_of

PROMPTS = 4
"""Prompts unless given: as many as a terminal shows one below the other, each with a table of its own."""

PROMPTS_HELP = "number of prompts m: the contexts, in each of which the judge sees sequences differently"

LABELLED = 100_000
"""Sequences up to which each is labelled with its text: 7 MB of texts, made in a tenth of a second."""

_LONGEST = 100
"""Tokens of a sequence, at most: 2^100 sequences are more than any machine lists, and are still counted at once."""

Vocabulary = Annotated[int, "tokens V, beside the one that ends a sequence"]
Length = Annotated[int, "tokens L of a sequence, at most"]
LengthBias = Annotated[float, "what each token adds to the worth of a sequence; below 0 shorter ones are favoured"]
RepetitionBias = Annotated[float, "what each token that repeats the one before adds to the worth of a sequence"]
Agreement = Annotated[float, "weight of a token's agreement with the prompt against that of the token itself"]


def sequence_embedding(
    rng: np.random.Generator,
    actions: int,
    *,
    shared: np.random.Generator,
    listed: bool = True,
    vocabulary: Vocabulary = 5,
    length: Length = 4,
    strength: Strength = 1.0,
    dimension: Annotated[int, "dimension of the embedding, even: two for every plane of rotation"] = 4,
    gates: Annotated[float, "spread of the log gates of the planes, drawn for every prompt; 0 = all alike"] = 1.0,
    agreement: Agreement = 1.0,
    length_bias: LengthBias = 0.1,
    repetition_bias: RepetitionBias = 0.1,
    link: Link = LINKS[0],
) -> Recipe:
    """Sequences of tokens by prompt: a general preference embedding with gates, plus biases of length and repetition.

    S_ij = c Σ_k g_k (v_i^{2k} v_j^{2k+1} − v_i^{2k+1} v_j^{2k}) + b_i − b_j with b = length_bias·ℓ + repetition_bias·ρ,
    ℓ the number of tokens and ρ that of tokens that repeat the one before. Over its tokens y_t, a sequence has
    v = Σ_t (own[y_t] + placed[t, y_t] + pairs[y_{t−1}, y_t] + agreement·(match·[y_t = x_t] + topic·[y_t ∈ x])), all
    N(0, 1), drawn once for all prompts, less the mean of all sequences: the first part has row sums 0, so that it is
    all cycles, and without the biases no sequence beats all others. The tokens x_1 … x_L of the prompt and its gates,
    log g_k ~ N(0, gates²), are drawn for every prompt. c makes the first part's root mean square `strength`. Features:
    √(c g) v, ℓ, ρ (Zhang et al. 2024, whose v are unit vectors; here they are sums over tokens).
    """
    name = "sequence-embedding"
    sequences = _checked(name, vocabulary, length, length_bias, repetition_bias, listed=listed, strength=strength)
    accept(f"{name}[dimension]", dimension, least=2, most=LARGEST_COUNT)
    _check_seen(name, gates, agreement)
    if dimension % 2:
        raise NashGamesError(f"{name}[dimension] is {dimension}; accepted: an even integer, such as {dimension + 1}")
    prompt = _prompt(rng, sequences)
    seen = _seen(shared, sequences, prompt, dimension, agreement)
    planes = seen.times(np.repeat(np.exp(0.5 * gates * rng.standard_normal(dimension // 2)), 2))
    return _planar(name, prompt, planes, strength, (length_bias, repetition_bias), link)


def sequence_voters(
    rng: np.random.Generator,
    actions: int,
    *,
    shared: np.random.Generator,
    listed: bool = True,
    vocabulary: Vocabulary = 5,
    length: Length = 4,
    types: Annotated[int, "number of voter types, odd"] = 5,
    planes: Annotated[int, "number of planes of two criteria each that the voters disagree about"] = 2,
    gates: Annotated[float, "spread of the log gates of the planes, drawn for every prompt; 0 = all alike"] = 1.0,
    agreement: Agreement = 1.0,
    length_bias: LengthBias = 0.1,
    repetition_bias: RepetitionBias = 0.1,
) -> Recipe:
    """Sequences of tokens by prompt: voters with conflicting tastes, plus biases of length and repetition.

    P_ij is the share of the voters z with U_z(i) > U_z(j), U_z = c Σ_k g_k (v^{2k} cos(2π f_k z/types) + v^{2k+1}
    sin(2π f_k z/types)) + length_bias·ℓ + repetition_bias·ρ, with v, ℓ, ρ and the gates g of `sequence-embedding`, the
    criteria v^k scaled to variance 1 and f_k = 1, 2, … (types − 1)/2 and again. In every plane the tastes lie evenly on
    a circle and sum to 0: nothing but the biases is to everybody's taste. c makes the root mean square of the first
    part 1. Equal U_z go to the sequence that is listed first. Features: g v, ℓ, ρ.
    """
    name = "sequence-voters"
    sequences = _checked(name, vocabulary, length, length_bias, repetition_bias, listed=listed)
    # One voter has no conflict.
    accept(f"{name}[types]", types, least=3, most=LARGEST_COUNT)
    accept(f"{name}[planes]", planes, least=1, most=LARGEST_COUNT)
    _check_seen(name, gates, agreement)
    if types % 2 == 0:
        # Tastes in opposite directions cancel, and every pair would be even.
        raise NashGamesError(f"{name}[types] is {types}; accepted: an odd number, such as {types + 1}")
    prompt = _prompt(rng, sequences)
    seen = _seen(shared, sequences, prompt, 2 * planes, agreement)
    _, square = seen.moments(Chains.uniform(sequences, 1).log_steps)
    seen = seen.times(np.repeat(np.exp(gates * rng.standard_normal(planes)), 2) / np.sqrt(np.diag(square)))
    turns = 1 + np.arange(planes) % (types // 2)
    angles = 2 * np.pi * np.outer(np.arange(types), turns) / types
    tastes = np.stack([np.cos(angles), np.sin(angles)], axis=-1).reshape(types, -1)
    _, square = seen.moments(Chains.uniform(sequences, 1).log_steps)
    tastes /= math.sqrt(np.mean(np.einsum("zk,kl,zl->z", tastes, square, tastes)))
    counts = lengths_and_repeats(sequences)
    worth = seen.through(tastes.T).beside(counts.through(np.repeat([[length_bias], [repetition_bias]], types, axis=1)))
    utilities = worth.through(np.vstack([np.eye(types)] * 2))
    if not listed:
        return _written(utilities, "voters", prompt)
    ranks = np.empty((types, actions), np.int32)
    for rank, of_voter in zip(ranks, utilities.of_all().T, strict=True):
        rank[np.argsort(-of_voter, kind="stable")] = np.arange(actions, dtype=np.int32)
    features = seen.beside(counts).of_all()
    return _described(of_orders(ranks, np.full(types, 1 / types), features), sequences, prompt)


def sequence_styles(
    rng: np.random.Generator,
    actions: int,
    *,
    shared: np.random.Generator,
    listed: bool = True,
    vocabulary: Vocabulary = 5,
    length: Length = 4,
    strength: Strength = 1.0,
    uneven: Annotated[float, "spread of the log strengths of the tokens; 0 = all alike"] = 0.5,
    gates: Annotated[float, "spread of the log weights of the places, drawn for every prompt; 0 = all alike"] = 1.0,
    length_bias: LengthBias = 0.1,
    repetition_bias: RepetitionBias = 0.1,
    link: Link = LINKS[0],
) -> Recipe:
    """Sequences of tokens by prompt: tokens are styles on a circle, which beat those ahead place by place; plus biases.

    S_ij = c Σ_t w_t r_u r_v sin(2π (o_v − o_u)/V) + b_i − b_j for the tokens u = y_t of i and v = y_t of j, 0 where one
    of them has ended, and b as in `sequence-embedding`. The prompt is the order of the tokens on the circle: o_v is the
    place of v in it. It and the weights of the places, log w_t ~ N(0, gates²), are drawn for every prompt; the
    strengths of the tokens, log r ~ N(0, uneven²), once. c makes the first part's root mean square `strength`.
    Features: √(c w_t) r (cos, sin) of every place, ℓ, ρ.
    """
    name = "sequence-styles"
    # Two styles are opposite to each other on the circle, and even.
    sequences = _checked(
        name, vocabulary, length, length_bias, repetition_bias, listed=listed, least=3, strength=strength
    )
    accept(f"{name}[uneven]", uneven, least=0, most=LARGEST_SPREAD)
    accept(f"{name}[gates]", gates, least=0, most=LARGEST_SPREAD)
    prompt = rng.permutation(vocabulary) + 1
    strengths = np.exp(uneven * shared.standard_normal(vocabulary))
    weights = np.exp(0.5 * gates * rng.standard_normal(length))
    turns = 2 * np.pi * np.argsort(prompt) / vocabulary
    table = np.zeros((length, vocabulary + 1, vocabulary, length, 2))
    for t, weight in enumerate(weights):
        table[t, :, :, t] = (weight * strengths)[:, None] * np.stack([np.cos(turns), np.sin(turns)], axis=-1)
    planes = Scores(sequences, table.reshape(*table.shape[:3], -1))
    return _planar(name, prompt, planes, strength, (length_bias, repetition_bias), link, by_place=True)


LARGEST_SPREAD = 10.0
"""The largest spread of log gates that a family accepts: at e^10 for a typical ratio one gate is all that counts."""


def sequences_count(family: str, *, vocabulary: int, length: int, **others: Any) -> int:
    """The number of sequences, 1 + V + … + V^L, before any of them is made."""
    accept(f"{family}[vocabulary]", vocabulary, least=2, most=LARGEST_COUNT)
    accept(f"{family}[length]", length, least=1, most=_LONGEST)
    return Sequences(vocabulary, length).count


def _checked(
    family: str,
    vocabulary: int,
    length: int,
    length_bias: float,
    repetition_bias: float,
    *,
    listed: bool,
    least: int = 2,
    strength: float = 1.0,
) -> Sequences:
    """The sequences of a game whose parameters are accepted."""
    accept(f"{family}[vocabulary]", vocabulary, least=least, most=LARGEST_COUNT)
    accept(f"{family}[length_bias]", length_bias, least=-LARGEST_LOGIT, most=LARGEST_LOGIT)
    accept(f"{family}[repetition_bias]", repetition_bias, least=-LARGEST_LOGIT, most=LARGEST_LOGIT)
    accept(f"{family}[strength]", strength, least=0, most=LARGEST_LOGIT)
    return Sequences(vocabulary, length, listed)


def _check_seen(family: str, gates: float, agreement: float) -> None:
    accept(f"{family}[gates]", gates, least=0, most=LARGEST_SPREAD)
    accept(f"{family}[agreement]", agreement, least=0, most=LARGEST_COUNT)


def _prompt(rng: np.random.Generator, sequences: Sequences) -> np.ndarray:
    """The tokens `[L]` of a prompt: uniform ones, as many as a sequence has at most."""
    return rng.integers(1, sequences.vocabulary + 1, size=sequences.length)


def _seen(
    shared: np.random.Generator, sequences: Sequences, prompt: np.ndarray, width: int, agreement: float
) -> Scores:
    """The v of `sequence-embedding` that a judge sees of sequences at a prompt, of mean 0 over all of them."""
    count, length = sequences.vocabulary, sequences.length
    own, placed, pairs, match, topic = (
        shared.standard_normal((*shape, width)) for shape in ((count,), (length, count), (count, count), (), ())
    )
    tokens = np.arange(1, count + 1)
    agrees = (tokens == prompt[:, None])[..., None] * match + np.isin(tokens, prompt)[:, None] * topic
    table = np.zeros((length, count + 1, count, width))
    table += (own + placed + agreement * agrees)[:, None]
    table[1:, 1:] += pairs
    mean, _ = Scores(sequences, table).moments(Chains.uniform(sequences, 1).log_steps)
    return Scores(sequences, table, -mean)


def _planar(
    family: str,
    prompt: np.ndarray,
    planes: Scores,
    strength: float,
    biases: tuple[float, float],
    link: str,
    *,
    by_place: bool = False,
) -> Recipe:
    """Margins of logits c Σ_k (a_i b_j − b_i a_j) + biases, with a in the even and b in the odd columns of `planes`;
    `by_place` says that every plane is of the tokens at one place."""
    sequences = planes.sequences
    _, square = planes.moments(Chains.uniform(sequences, 1).log_steps)
    inner = square[::2, 1::2]
    energy = 2 * np.sum(square[::2, ::2] * square[1::2, 1::2] - inner * inner.T)
    planes = planes.times(math.sqrt(strength) * ((1 - 1 / sequences.count) / energy) ** 0.25)
    counts = lengths_and_repeats(sequences)
    if link not in LINKS:
        raise wrong_word(f"{family}[link]", link, LINKS)
    # b_i − b_j is one more plane, with right-hand side 1.
    if not sequences.listed:
        worth = counts.through(np.array(biases)[:, None])
        one = Scores(sequences, np.zeros_like(worth.table), np.ones(1))
        left, right = planes.columns(slice(0, None, 2)).beside(worth), planes.columns(slice(1, None, 2)).beside(one)
        if link == "linear":
            largest = largest_of_places(planes, worth) if by_place else largest_rotation(left.beside(right))
            left = left.times(0.5 / largest)
        return _written(left.beside(right), link, prompt)
    seen, numbers = planes.of_all(), counts.of_all()
    both = np.column_stack([seen[:, ::2], numbers @ biases]), np.column_stack([seen[:, 1::2], np.ones(len(seen))])
    return _described(linked(link, family, *both, np.hstack([seen, numbers])), sequences, prompt)


def _written(seen: Scores, judge: str, prompt: np.ndarray) -> Recipe:
    """Margins whose sequences are not listed, from what a judge sees of them."""
    margins = WrittenMargins(seen.table, np.asarray(seen.start), seen.sequences, judge)
    return Recipe(margins=margins, sequences=seen.sequences, prompt=prompt)


def _described(recipe: Recipe, sequences: Sequences, prompt: np.ndarray) -> Recipe:
    labels = texts_of(sequences) if sequences.count <= LABELLED else None
    return replace(recipe, labels=labels, sequences=sequences, prompt=prompt)
