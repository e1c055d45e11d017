"""Fixed data sets of comparisons: batches of pairs that come back, and rounds in which a policy writes new ones.

A data set is not stored. Its batches are drawn from keys, and reading one again is drawing it again: the same pairs
with the same labels, in O(B) memory.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nashgames.core.game import Game
from nashgames.core.simplex import Scalar
from nashgames.defaults import ENDLESS
from nashgames.errors import NashGamesError
from nashgames.learning.pairs import Pairs
from nashgames.learning.policy_gradient import Iterate, PolicyGradient, tree_where
from nashgames.learning.steps import fisher_bound
from nashgames.registry import Number

BATCHES = Number("K, batches of a data set on duels; default: new pairs at every step", symbol="K", least=1)

# The letters "pair".
_PURPOSE = 0x70616972
"""Sets the key of a data set apart from that of the first parameters, which is folded from the same one."""


class PairsState(NamedTuple):
    """`iterate`: θ; `writer`: the parameters of the policy that writes the pairs; `data`: the words of the key that
    they are drawn from, uint32 `[2]`; `steps` taken, int32."""

    iterate: Iterate
    writer: Any
    data: jax.Array
    steps: jax.Array


def begin(learner: PolicyGradient, game: Game, key: jax.Array) -> PairsState:
    """θ_0, whose policy writes the first pairs."""
    # Their step needs no memory of the curvature: `fit` knows it.
    iterate = learner.start(game, key, 0.0, self_play=False)
    data = jax.random.key_data(jax.random.fold_in(key, _PURPOSE))
    return PairsState(iterate, iterate.parameters, data, jnp.zeros((), jnp.int32))


def fit(
    learner: PolicyGradient,
    game: Game,
    state: PairsState,
    loss: Pairs,
    step: Scalar | None,
    key: jax.Array,
    batches: Scalar,
    steps_of_round: Scalar = ENDLESS,
) -> PairsState:
    """One step on the `loss` of all pairs, or on duels of those of a batch; at the end of a round θ writes the next.

    A `step` of None is 1/(slope τ ‖F(ν)‖), one over the largest curvature of the loss, which is convex in the logits.
    """
    if game.feedback.comparisons:
        key = _key_of_batch(state, key, batches, steps_of_round)
    if step is None:
        step = 1 / (loss.slope * loss.temperature * fisher_bound(loss.behaviour))
    iterate = learner.ascend(game, state.iterate, loss, step, key, self_play=False)
    steps = state.steps + 1
    writer = tree_where(steps % steps_of_round == 0, iterate.parameters, state.writer)
    return PairsState(iterate, writer, state.data, steps)


def paid(steps: np.ndarray, batches: int | None, steps_of_round: int | None = None) -> np.ndarray:
    """Of so many first steps those whose comparisons were new: in every round the first `batches`."""
    batches, steps_of_round = batches or ENDLESS, steps_of_round or ENDLESS
    rounds, left = np.divmod(steps, steps_of_round)
    new: np.ndarray = rounds * min(batches, steps_of_round) + np.minimum(left, batches)
    return new


def checked_batches(name: str, batches: int | None, learner: PolicyGradient) -> int:
    """The batches of a data set, ENDLESS for None.

    Raises NashGamesError for a data set on exact feedback, and for an optimiser that has no use for others' pairs.
    """
    if learner.is_natural:
        raise NashGamesError(
            f"the optimiser is natural, which weighs actions as the policy plays them, and {name} learns from pairs of "
            "another one; use sgd or adam"
        )
    if batches not in (None, ENDLESS) and not learner.sampled:
        raise NashGamesError(
            f"{name}[batches] is {batches}, but exact feedback compares all pairs at every step; leave it out, or use "
            "the feedback duels"
        )
    return ENDLESS if batches is None else batches


def _key_of_batch(state: PairsState, key: jax.Array, batches: Scalar, steps_of_round: Scalar) -> jax.Array:
    """The key of a step's pairs: its own `key`, or where they come back that of their batch."""
    data = jax.random.wrap_key_data(state.data, impl="threefry2x32")
    of_round = jax.random.fold_in(data, state.steps // steps_of_round)
    again = jax.random.fold_in(of_round, state.steps % steps_of_round % batches)
    words = jnp.where(batches == ENDLESS, jax.random.key_data(key), jax.random.key_data(again))
    return jax.random.wrap_key_data(words, impl="threefry2x32")
