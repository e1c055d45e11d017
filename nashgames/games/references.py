"""Reference policies by name: what the regularised game pulls towards."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import scipy

from nashgames.core.game import Game
from nashgames.errors import NashGamesError, unknown, wrong_word
from nashgames.games import corpus
from nashgames.games.families.recipes import accept, check_finite, summary_of
from nashgames.games.streams import DRAWS, DRAWS_HELP, stream
from nashgames.registry import Parameter, bind, parameters_of, parse

FILE_SUFFIXES = (".csv", ".parquet")
"""Endings of files with a reference; an NPY file has no column to say whose a probability is."""


_OF_THE_RUN: Any = None
"""The seed of a reference that is not pinned to one."""

_MOST_SAMPLES = 10_000_000
"""The largest corpus: half a gigabyte of tokens a prompt for sequences of six."""

_LARGEST_LOGIT = 1e6
"""The largest logit, or spread of logits, that a reference accepts: log μ keeps ten digits of it in float64."""


@dataclass(frozen=True)
class Reference:
    """A named reference policy: `build(game, rng, **parameters)` is log μ `[n]` (`[m, n]` over contexts).

    `drawn` says that it depends on the run's seed, unless its own parameter `seed` is given.
    """

    name: str
    build: Callable[..., np.ndarray]
    drawn: bool = False

    @property
    def summary(self) -> str:
        """One line for a list."""
        return summary_of(self.build)

    @property
    def parameters(self) -> dict[str, Parameter]:
        """The typed, documented parameters in order."""
        return parameters_of(self.build)


def resolve_reference(text: str, game: Game, seed: int = 0) -> np.ndarray:
    """The log μ `[n]` (`[m, n]` over contexts) that `text` names: a reference of REFERENCES, or the path of a file.

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
    return unknown("reference", text, [*REFERENCES, f"a path ending in {' or '.join(FILE_SUFFIXES)}"])


def _uniform(game: Game, rng: np.random.Generator) -> np.ndarray:
    """Uniform: μ = 1/n."""
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


def _corpus(game: Game, rng: np.random.Generator) -> np.ndarray:
    """What the corpus of a sequence game is drawn from: a Markov chain of tokens by prompt, from the game's seed."""
    return _by_context(game, [chain.log_probs() for chain in corpus.source(game)])


def _fitted(
    game: Game,
    rng: np.random.Generator,
    *,
    samples: Annotated[int, "sequences of the corpus at every prompt"] = 1000,
    order: Annotated[int, "tokens before it that the probability of a token depends on"] = 1,
    smoothing: Annotated[float, "what is added to every count, above 0"] = 0.5,
    seed: Annotated[int, "the seed of the corpus; default: the run's"] = _OF_THE_RUN,
) -> np.ndarray:
    """Fitted to a corpus of a sequence game by maximum likelihood: the frequencies of its steps, smoothed."""
    accept("fitted[samples]", samples, least=1, most=_MOST_SAMPLES)
    accept("fitted[order]", order, least=0, most=corpus.sequences_of(game).length)
    accept("fitted[smoothing]", smoothing, above=0, most=_LARGEST_LOGIT)
    sequences = corpus.sequences_of(game)
    tokens = corpus.draw(game, samples, rng)
    return _by_context(game, [corpus.fit(each, sequences, order, smoothing).log_probs() for each in tokens])


def _by_context(game: Game, log_policies: list[np.ndarray]) -> np.ndarray:
    return np.stack(log_policies).reshape(game.margins.shape[:-1])


def _own(game: Game, rng: np.random.Generator) -> np.ndarray:
    """The game's own reference, part of the construction in planted-regularised; uniform elsewhere."""
    return np.asarray(game.log_reference)


REFERENCES: dict[str, Reference] = {
    "uniform": Reference("uniform", _uniform),
    "random": Reference("random", _random, drawn=True),
    "tilted": Reference("tilted", _tilted),
    "corpus": Reference("corpus", _corpus),
    "fitted": Reference("fitted", _fitted, drawn=True),
    "own": Reference("own", _own),
}
