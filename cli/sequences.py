"""Games over sequences of tokens in the terminal: prompts, who beats whom, cycles, and what a policy writes."""

from typing import TYPE_CHECKING, Any

import numpy as np

from nashgames.cli import words
from nashgames.cli.sheet import Sheet

if TYPE_CHECKING:
    from nashgames.core.game import Game
    from nashgames.experiments.exact_path import Certified

_COLUMNS = 6
"""Sequences that are compared with each other: as many columns as a narrow terminal shows."""

_AMONG = 200
"""Sequences among which a cycle is looked for: eight million triples, a tenth of a second."""

_PROMPTS = 10
"""Prompts that are shown: with heading and caption half of a terminal of 24 lines."""

_WRITTEN = 3
"""Sequences of a prompt in one line."""


def sheets(game: "Game", found: list[dict[str, Any]]) -> list[Sheet]:
    """What a sequence game is like, from its `cycles`: a line for every prompt, and who beats whom at the first one."""
    rows = tuple(
        (
            each["prompt"],
            words.share(each["weight"]),
            ", ".join(each["corpus"][:_WRITTEN]),
            " ≻ ".join([*each["cycle"], each["cycle"][0]]) if each["cycle"] else "none",
            ", ".join(map(words.share, each["probabilities"])),
        )
        for each in found
    )
    caption = f"cycle: that of the largest smallest margin among the {_AMONG} sequences likeliest in the corpus"
    left = game.contexts - len(found)
    headings = ("prompt", "weight", "likeliest in the corpus", "cycle", "probabilities")
    names = frozenset(headings) - {"weight"}
    more = f"; {words.plural(left, 'more prompt')}" if left else ""
    return [Sheet(headings, names, rows, f"{caption}{more}"), _against(found[0])]


def entropies(game: "Game", reference: str, seed: int) -> tuple[Sheet, list[dict[str, Any]]]:
    """How well a reference fits the corpus: for every prompt the entropy of the source, −Σ p log p, and the
    cross-entropy −Σ p log μ, in nats a sequence."""
    from nashgames.analysis.sequence_statistics import prompt_of
    from nashgames.games import corpus
    from nashgames.learning.references import resolve_reference

    log_reference = np.reshape(resolve_reference(reference, game, seed), (game.contexts, game.actions))
    found: list[dict[str, Any]] = []
    for context, chain in enumerate(corpus.source(game)):
        log_source = chain.log_probs()
        known = {"entropy": log_source, "cross_entropy": log_reference[context]}
        values = {name: -float(np.exp(log_source) @ logs) for name, logs in known.items()}
        found.append({"prompt": prompt_of(game, context), **values})
    weights = np.broadcast_to(np.asarray(game.weights, np.float64), game.contexts)
    means = [float(weights @ [each[name] for each in found]) for name in ("entropy", "cross_entropy")]
    rows = [(str(each["prompt"]), each["entropy"], each["cross_entropy"]) for each in found[:_PROMPTS]]
    texts = tuple((name, f"{own:.4f}", f"{cross:.4f}") for name, own, cross in [*rows, ("mean", means[0], means[1])])
    caption = f"nats a sequence: the source of the corpus, and {reference} on it, which is as good where both are equal"
    return Sheet(("prompt", "entropy", "cross-entropy"), frozenset({"prompt"}), texts, caption), found


def cycles(game: "Game") -> list[dict[str, Any]]:
    """For every prompt its weight, what its corpus is most likely to say, and a cycle among that with its P."""
    from nashgames.analysis.sequence_statistics import prompt_of
    from nashgames.games import corpus
    from nashgames.games.properties import strongest_cycle

    found = []
    weights = np.broadcast_to(np.asarray(game.weights), game.contexts)
    for context, chain in enumerate(corpus.source(game)[:_PROMPTS]):
        likely = np.argsort(-chain.log_probs(), kind="stable")[:_AMONG]
        among = game.margins.of_context(context).submatrix(likely)
        cycle = strongest_cycle(among)
        beaten = () if cycle is None else zip(cycle, (*cycle[1:], cycle[0]), strict=True)
        found.append(
            {
                "prompt": prompt_of(game, context),
                "weight": float(weights[context]),
                "corpus": [chain.sequences.text(int(i)) for i in likely[:_COLUMNS]],
                "cycle": [chain.sequences.text(int(likely[i])) for i in cycle or ()],
                "probabilities": [0.5 + float(among[i, j]) for i, j in beaten],
                "among": 0.5 + among[:_COLUMNS, :_COLUMNS].astype(np.float64),
            }
        )
    return found


def mixtures(found: "Certified") -> Sheet:
    """What an equilibrium writes at every prompt: its likeliest sequences, their length and repetition."""
    from nashgames.analysis.sequence_statistics import prompt_of, writing

    game, sequences = found.game, found.game.description.sequences
    assert sequences is not None  # asked of games over sequences alone
    log_policy = np.reshape(found.equilibrium.log_policy, (game.contexts, game.actions))
    told = writing(log_policy, sequences)
    rows = []
    for context, policy in enumerate(np.exp(log_policy[:_PROMPTS])):
        top = np.argsort(-policy, kind="stable")[:_WRITTEN]
        said = ", ".join(f"{sequences.text(int(i))} {words.share(policy[i])}" for i in top)
        length, repetition = float(told.length[context]), float(told.repetition[context])
        rows.append((prompt_of(game, context), said, words.number(length), words.share(repetition)))
    caption = (
        f"the equilibrium at β {words.number(found.beta)} by prompt; repeats: tokens that are the one before, of those "
        f"that have one before"
    )
    return Sheet(("prompt", "sequences", "length", "repeats"), frozenset({"prompt", "sequences"}), tuple(rows), caption)


def _against(first: dict[str, Any]) -> Sheet:
    """P that the sequence of the row is preferred to that of the column."""
    texts = first["corpus"]
    rows = tuple(
        (text, *(words.DASH if i == j else words.share(p) for j, p in enumerate(row)))
        for i, (text, row) in enumerate(zip(texts, first["among"], strict=True))
    )
    caption = f"at prompt {first['prompt']}: how often the sequence of the row is preferred to that of the column"
    return Sheet(("", *texts), frozenset({""}), rows, caption)
