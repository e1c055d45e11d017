"""What a query of a game tells: the protocol, and the exact advantage."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Protocol

import jax
import jax.numpy as jnp

if TYPE_CHECKING:
    from nashgames.core.game import Game


class Tally(NamedTuple):
    """What one query against an opponent π' tells of the actions y ~ ν, `[n]` (`[m, n]` over contexts).

    margins  an unbiased estimate of ν ∘ Aπ'
    visits   an unbiased estimate of ν
    """

    margins: jax.Array
    visits: jax.Array


class Feedback(Protocol):
    """A frozen dataclass, registered as a pytree; what shapes depend on is static."""

    @property
    def name(self) -> str:
        """The name on the command line."""
        ...

    @property
    def comparisons(self) -> int:
        """Duels that one query consumes in every context; 0 where it is exact."""
        ...

    def query(self, game: "Game", log_policy: jax.Array, key: jax.Array) -> jax.Array:
        """q(π) = Aπ, or an unbiased estimate of it; `[n]`, `[m, n]` over contexts."""
        ...

    def tally(
        self,
        game: "Game",
        log_behaviour: jax.Array,
        log_opponent: jax.Array,
        key: jax.Array,
        advantage: jax.Array | None = None,
    ) -> Tally:
        """One query: actions y ~ ν = `log_behaviour` against y' ~ π' = `log_opponent`.

        `advantage` is q(π') where it was queried before; only exact feedback has a use for it.
        """
        ...

    def duel(self, game: "Game", ours: jax.Array, theirs: jax.Array, key: jax.Array) -> jax.Array:
        """One query of policies that are only sampled: an unbiased estimate of A[ours, theirs], `[b]` for b actions of
        either side, `[m, b]` over contexts."""
        ...


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Exact:
    """The whole vector q(π') = Aπ', which is the expectation of duels."""

    name: ClassVar[str] = "exact"
    comparisons: ClassVar[int] = 0

    def query(self, game: "Game", log_policy: jax.Array, key: jax.Array) -> jax.Array:
        return game.advantage(log_policy)

    def tally(
        self,
        game: "Game",
        log_behaviour: jax.Array,
        log_opponent: jax.Array,
        key: jax.Array,
        advantage: jax.Array | None = None,
    ) -> Tally:
        known = game.advantage(log_opponent) if advantage is None else advantage
        visits = jnp.exp(log_behaviour)
        return Tally(visits * known, visits)

    def duel(self, game: "Game", ours: jax.Array, theirs: jax.Array, key: jax.Array) -> jax.Array:
        return game.margins.entries(ours, theirs)


EXACT = Exact()
