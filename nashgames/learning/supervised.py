"""A reference as language models have it: a network fitted to a corpus by maximum likelihood, the supervised step.

It is computed once: kept in the user's cache folder under a hash of all that it depends on, the corpus included.
"""

import hashlib
import io
import json
import os
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy
from filelock import FileLock

from nashgames.core.game import Game
from nashgames.core.precision import Precision
from nashgames.defaults import CACHE_OFF
from nashgames.disk import replace
from nashgames.errors import NashGamesError, unknown
from nashgames.games import corpus
from nashgames.learning.prefixes import Prefixes

KINDS = ("transformer", "gru")

# Changed with anything here that changes what is fitted.
_EDITION = 1

_ROUNDING = 1e-9
"""What the sum of a kept reference may be off by: it was normalised in float64."""


def network_reference(
    game: Game,
    tokens: np.ndarray,
    begin: int,
    *,
    steps: int,
    batch: int,
    step: float,
    kind: str,
    layers: int,
    width: int,
) -> np.ndarray:
    """log π_θ `[m, n]` of a network fitted to the sequences `tokens` `[m, K, L]` of a game's corpus (`_fitted`).

    Raises NashGamesError for another kind of network, one that cannot be made, and where it does not stay finite.
    """
    if kind not in KINDS:
        raise unknown("kind of network", kind, KINDS)
    from nashgames.learning.policies import POLICIES

    heads = ",heads=2" if kind == KINDS[0] else ""
    policy = POLICIES.make(f"{kind}[layers={layers},width={width}{heads}]")
    told = {"edition": _EDITION, "policy": str(policy), "steps": steps, "batch": batch, "step": step, "begin": begin}
    told |= {"vocabulary": corpus.sequences_of(game).vocabulary, "shape": tokens.shape}
    name = hashlib.sha256(json.dumps(told).encode() + tokens.tobytes()).hexdigest()
    return _kept(name, (game.contexts, game.actions), partial(_fitted, game, policy, tokens, begin, steps, batch, step))


def _fitted(game: Game, policy: Any, tokens: np.ndarray, begin: int, steps: int, batch: int, step: float) -> np.ndarray:
    """log π_θ `[m, n]` after `steps` of Adam on −(1/mB) Σ log π_θ(y), B of the K sequences `tokens` `[m, K, L]` of each
    prompt a step, drawn from the seed `begin` as the first weights are.

    Before the first step every next token is as likely as any other.
    """
    from nashgames.learning.optimisers import OPTIMISERS

    sequences = corpus.sequences_of(game)
    even = corpus.Chain(sequences, 0, np.full((1, sequences.vocabulary + 1), -np.log(sequences.vocabulary + 1)))
    adam, precision = OPTIMISERS.make("adam"), Precision("float64")
    with precision.scope():
        log_even = np.broadcast_to(even.log_probs(), game.margins.shape[:-1])
        untrained = game.replace(log_reference=jnp.asarray(log_even))
        untrained = untrained.replace(features=jax.tree.map(jnp.asarray, Prefixes.of(untrained)))
        key, seen = jax.random.key(begin, impl="threefry2x32"), jnp.asarray(tokens)

        def loss(theta: Any, places: jax.Array) -> jax.Array:
            drawn = jax.vmap(lambda of_prompt, at: of_prompt[at])(seen, places)
            drawn = drawn if len(game.margins.shape) == 3 else drawn[0]
            return -jnp.mean(policy.log_prob_of(untrained, theta, drawn))

        @jax.jit
        def ascended(theta: Any, state: Any, number: jax.Array) -> tuple[Any, Any]:
            of_step = jax.random.fold_in(key, number)
            places = jax.random.randint(of_step, (game.contexts, batch), 0, tokens.shape[1])
            gradient = jax.tree.map(jnp.negative, jax.grad(loss)(theta, places))
            moved: tuple[Any, Any] = adam.ascend(gradient, state, theta, step)
            return moved

        theta = policy.init(untrained, key)
        state = adam.init(theta)
        for number in range(steps):
            theta, state = ascended(theta, state, np.int32(number))
        log_policy = np.asarray(jax.jit(lambda theta: policy.log_policy(untrained, theta))(theta), np.float64)
    if not np.isfinite(log_policy).all():
        raise NashGamesError(
            f"the network was not finite after {steps} steps of {step:g}; give network[step] a smaller value"
        )
    found = log_policy.reshape(game.contexts, game.actions)
    return np.asarray(found - scipy.special.logsumexp(found, axis=-1, keepdims=True))


def folder() -> Path | None:
    """Where references are kept: `references` in the user's cache folder, or in NASHGAMES_CACHE; None where that is
    `off`."""
    import platformdirs

    chosen = os.environ.get("NASHGAMES_CACHE", "").strip()
    if chosen.lower() in CACHE_OFF:
        return None
    return Path(chosen or platformdirs.user_cache_dir("nashgames")) / "references"


def _kept(name: str, shape: tuple[int, int], fit: Any) -> np.ndarray:
    """The reference of this name from its file; made by `fit`, and kept, where there is no sound one."""
    place = folder()
    if place is None:
        return np.asarray(fit())
    path = place / f"{name}.npz"
    try:
        place.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):
            found = _read(path, shape)
            if found is None:
                found = np.asarray(fit())
                data = io.BytesIO()
                np.savez(data, log_reference=found)
                replace(path, data.getvalue())
            return found
    except OSError:
        # A folder that cannot be written keeps nothing: the same numbers, made again.
        return np.asarray(fit())


def _read(path: Path, shape: tuple[int, int]) -> np.ndarray | None:
    """What a file holds, None where it is not there or damaged."""
    try:
        # From its bytes: of a damaged file NumPy keeps one that it has opened itself.
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            found = np.asarray(file["log_reference"], np.float64)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    sound = found.shape == shape and bool(np.all(np.abs(scipy.special.logsumexp(found, axis=-1)) <= _ROUNDING))
    return found if sound else None
