"""Reference policies by name: what the regularised game pulls towards."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import scipy

from nashgames.core.game import Game
from nashgames.core.next_tokens import Chains
from nashgames.errors import NashGamesError, unknown, wrong_word
from nashgames.games import corpus
from nashgames.games.families.recipes import accept, check_finite, summary_of
from nashgames.games.streams import DRAWS, DRAWS_HELP, stream
from nashgames.games.tables.files import REFERENCE_SUFFIXES
from nashgames.registry import Parameter, bind, parameters_of, parse

_OF_THE_RUN: Any = None
"""The seed of a reference that is not pinned to one."""

_MOST_SAMPLES = 10_000_000
"""The largest corpus: half a gigabyte of tokens a prompt for sequences of six."""

_MOST_STEPS = 1_000_000
"""Steps of Adam, at most: an hour for the smallest network."""

_LARGEST_LOGIT = 1e6
"""The largest logit, or spread of logits, that a reference accepts: log μ keeps ten digits of it in float64."""


@dataclass(frozen=True)
class Reference:
    """A named reference policy: `build(game, rng, **parameters)` is log μ `[n]` (`[m, n]` over contexts).

    `drawn` says that it depends on the run's seed, unless its own parameter `seed` is given.
    """

    name: str
    build: Callable[..., Any]
    drawn: bool = False

    @property
    def summary(self) -> str:
        """One line for a list."""
        return summary_of(self.build)

    @property
    def parameters(self) -> dict[str, Parameter]:
        """The typed, documented parameters in order."""
        return parameters_of(self.build)


def resolve_reference(text: str, game: Game, seed: int = 0) -> Any:
    """The log μ `[n]` (`[m, n]` over contexts) that `text` names: a reference of REFERENCES, or the path of a file; of
    sequences that are not listed the `Chains` that say what comes next.

    A random reference is reproducible from `seed`, or its own parameter of that name, and independent of the game that
    the same seed draws.

    Raises NashGamesError for an unknown name or parameter, for a file that does not fit the game, and for a game that
    brings its own reference unless `text` is `own`.
    """
    name = text.partition("[")[0].strip()
    known = game.description.known_equilibrium
    if known is not None and known.beta > 0 and name != "own":
        raise NashGamesError(
            f"the reference is '{text}', but {game.description.name} brings its own, which its known equilibrium "
            "belongs to; use own"
        )
    told = game.description.sequences
    if told is not None and not told.listed and name not in WRITTEN:
        raise NashGamesError(
            f"the reference is '{text}', which has a number for each of the {told.count:,} sequences of "
            f"{game.description.name}; accepted where they are not listed: {', '.join(WRITTEN)}"
        )
    if name in REFERENCES:
        reference = REFERENCES[name]
        values = bind("reference", parse(text), reference.parameters)
        check_finite(name, values)
        pinned, draws = values.pop("seed", None), values.pop("draws", DRAWS[0])
        if draws not in DRAWS:
            raise wrong_word(f"{name}[draws]", draws, DRAWS)
        size = () if draws == DRAWS[0] else (game.actions,)
        return reference.build(game, stream(seed if pinned is None else pinned, "reference", name, *size), **values)
    from nashgames.games import tables  # slow to import, and most runs read no table

    if tables.is_path(text):
        return tables.read_reference(text, game)
    raise unknown_reference(text)


def unknown_reference(text: str) -> NashGamesError:
    """The error for a text that is neither a reference nor the path of one."""
    return unknown("reference", text, [*REFERENCES, f"a path ending in {' or '.join(REFERENCE_SUFFIXES)}"])


def _uniform(game: Game, rng: np.random.Generator) -> Any:
    """Uniform: μ = 1/n."""
    sequences = game.description.sequences
    if sequences is not None and not sequences.listed:
        return Chains.uniform(sequences, game.contexts)
    return np.full(game.margins.shape[:-1], -np.log(game.actions))


def _random(
    game: Game,
    rng: np.random.Generator,
    *,
    scale: Annotated[float, "standard deviation of the logits"] = 1.0,
    seed: Annotated[int, "the seed of the draw; default: the run's"] = _OF_THE_RUN,
    draws: Annotated[str, DRAWS_HELP] = DRAWS[0],
) -> np.ndarray:
    """Random logits: μ ∝ e^z with z ~ N(0, scale²), from the run's seed."""
    accept("random[scale]", scale, least=0, most=_LARGEST_LOGIT)
    return np.asarray(scipy.special.log_softmax(scale * rng.standard_normal(game.margins.shape[:-1]), axis=-1))


def _tilted(
    game: Game, rng: np.random.Generator, *, span: Annotated[float, "logit of the first action less the last's"] = 2.0
) -> np.ndarray:
    """Logits that fall linearly over the actions, from span/2 to −span/2."""
    accept("tilted[span]", span, least=-_LARGEST_LOGIT, most=_LARGEST_LOGIT)
    logits = np.linspace(0.5 * span, -0.5 * span, game.actions)
    return np.asarray(scipy.special.log_softmax(np.broadcast_to(logits, game.margins.shape[:-1]), axis=-1))


def _corpus(game: Game, rng: np.random.Generator) -> Any:
    """What the corpus of a sequence game is drawn from: a Markov chain of tokens by prompt, from the game's seed."""
    return _of_chains(game, corpus.source(game))


def _fitted(
    game: Game,
    rng: np.random.Generator,
    *,
    samples: Annotated[int, "sequences of the corpus at every prompt"] = 1000,
    order: Annotated[int, "tokens before it that the probability of a token depends on"] = 1,
    smoothing: Annotated[float, "what is added to every count, above 0"] = 0.5,
    seed: Annotated[int, "the seed of the corpus; default: the run's"] = _OF_THE_RUN,
) -> Any:
    """Fitted to a corpus of a sequence game by maximum likelihood: the frequencies of its steps, smoothed."""
    accept("fitted[samples]", samples, least=1, most=_MOST_SAMPLES)
    accept("fitted[order]", order, least=0, most=corpus.sequences_of(game).length)
    accept("fitted[smoothing]", smoothing, above=0, most=_LARGEST_LOGIT)
    sequences = corpus.sequences_of(game)
    tokens = corpus.draw(game, samples, rng)
    return _of_chains(game, [corpus.fit(each, sequences, order, smoothing) for each in tokens])


def _network(
    game: Game,
    rng: np.random.Generator,
    *,
    samples: Annotated[int, "sequences of the corpus at every prompt"] = 1000,
    steps: Annotated[int, "steps of Adam"] = 500,
    batch: Annotated[int, "sequences of a prompt that a step sees"] = 64,
    step: Annotated[float, "step of Adam"] = 0.01,
    kind: Annotated[str, "transformer or gru"] = "transformer",
    layers: Annotated[int, "layers of the network"] = 1,
    width: Annotated[int, "width of the network; even for a transformer, which has two heads"] = 16,
    seed: Annotated[int, "the seed of the corpus, the weights and the batches; default: the run's"] = _OF_THE_RUN,
) -> np.ndarray:
    """A network fitted to a corpus of a sequence game by maximum likelihood with Adam: the supervised step."""
    accept("network[samples]", samples, least=1, most=_MOST_SAMPLES)
    accept("network[batch]", batch, least=1, most=samples)
    accept("network[steps]", steps, least=1, most=_MOST_STEPS)
    accept("network[step]", step, above=0, most=1)
    from nashgames.learning.supervised import network_reference  # imports what networks are built with

    tokens = corpus.draw(game, samples, rng)
    fitted = network_reference(
        game,
        tokens,
        int(rng.integers(2**32)),
        steps=steps,
        batch=batch,
        step=step,
        kind=kind,
        layers=layers,
        width=width,
    )
    return np.asarray(fitted).reshape(game.margins.shape[:-1])


def _of_chains(game: Game, chains: list[corpus.Chain]) -> Any:
    """log μ of all sequences where they are listed, else the chains themselves."""
    shape = game.margins.shape[:-2]
    if not chains[0].sequences.listed:
        log_steps = np.stack([chain.log_steps for chain in chains])[:, None]
        return Chains(log_steps.reshape(*shape, *log_steps.shape[1:]), chains[0].sequences)
    return np.stack([chain.log_probs() for chain in chains]).reshape(*shape, -1)


def _own(game: Game, rng: np.random.Generator) -> Any:
    """The game's own reference, part of the construction in planted-regularised; uniform elsewhere."""
    own = game.log_reference
    return own if isinstance(own, Chains) else np.asarray(own)


REFERENCES: dict[str, Reference] = {
    "uniform": Reference("uniform", _uniform),
    "random": Reference("random", _random, drawn=True),
    "tilted": Reference("tilted", _tilted),
    "corpus": Reference("corpus", _corpus),
    "fitted": Reference("fitted", _fitted, drawn=True),
    "network": Reference("network", _network, drawn=True),
    "own": Reference("own", _own),
}

WRITTEN = ("uniform", "corpus", "fitted", "own")
"""The references that can say what comes next of sequences that are not listed."""
