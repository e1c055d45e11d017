"""A over sequences that are too many to list: an entry from the tokens of its two sequences."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, NoReturn, Self

import jax
import jax.numpy as jnp
import numpy as np

from nashgames.core.margins.formulas import Logistic
from nashgames.core.margins.tiles import of_dtype
from nashgames.core.sequences import END, Sequences
from nashgames.errors import NashGamesError

JUDGES = ("linear", "logistic", "voters")
"""How an entry comes from the numbers x of its sequences: x = (l, r) and A_ij = l_i r_jᵀ − r_i l_jᵀ, that as a logit,
or x the utilities of voters, of whom a share likes one better."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class WrittenMargins:
    """A_ij from the tokens of the sequences i and j: O(L·d) operations, and memory that does not depend on n.

    The d numbers that the judge sees of a sequence y are x = `start` + Σ_t `table`[t, y_{t−1}, y_t] over its tokens,
    END before the first; `table` `[L, V+1, V, d]`, `start` `[d]`, both with an axis over contexts in front where there
    are some. An action is no number but the tokens of its sequence, an axis of L in front: `[L, b]`, `[L, m, b]`.
    """

    storage: ClassVar[str] = "written"
    table: Any
    start: Any
    sequences: Sequences
    judge: str = field(metadata={"static": True})

    @classmethod
    def bytes_of(cls, n: int, contexts: int, dtype_bytes: int, numbers: int = 0) -> int:
        return contexts * numbers * dtype_bytes

    @property
    def shape(self) -> tuple[int, ...]:
        return (*self.start.shape[:-1], self.sequences.count, self.sequences.count)

    @property
    def dtype(self) -> np.dtype:
        return self.start.dtype

    @property
    def nbytes(self) -> int:
        return self.table.nbytes + self.start.nbytes

    def matvec(self, policy: jax.Array) -> NoReturn:
        raise self.unlisted()

    def entries(self, rows: jax.Array, columns: jax.Array) -> jax.Array:
        return margins_entries(self.table, self.start, rows, columns, judge=self.judge)

    def seen(self, actions: jax.Array) -> jax.Array:
        """The numbers x `[b, d]`, `[m, b, d]` over contexts, of sequences by their tokens `[L, b]`, `[L, m, b]`."""
        if actions.ndim > 2:
            return jax.vmap(_numbers, in_axes=(0, 0, 1))(self.table, self.start, actions)
        return _numbers(self.table, self.start, actions)

    def against(self, mean: Any) -> tuple[Any, Any]:
        """What linear margins add up to against an opponent of whom E x is `mean` `[…, d]`: (Aπ')(y) is the first,
        `[…]`, plus Σ_t of the second `[…, L, V+1, V]` at the tokens of y."""
        xp = mean.__array_namespace__()
        left, right = xp.split(mean, 2, axis=-1)
        turned = xp.concatenate([right, -left], axis=-1)
        return xp.sum(self.start * turned, axis=-1), xp.einsum("...tuvd,...d->...tuv", self.table, turned)

    def of_context(self, context: int) -> Self:
        if len(self.shape) == 2:
            return self
        return type(self)(self.table[context], self.start[context], self.sequences, self.judge)

    def blocks(self, height: int | None = None) -> Iterator[tuple[slice, np.ndarray]]:
        raise self.unlisted()

    def submatrix(self, actions: np.ndarray) -> NoReturn:
        raise self.unlisted()

    def lookup(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """The entries `[b]` of sequences that are given by their tokens `[L, b]`."""
        with jax.enable_x64(self.dtype == np.float64):
            return np.asarray(self.entries(jnp.asarray(rows, jnp.int32), jnp.asarray(columns, jnp.int32)))

    def to_dense(self) -> NoReturn:
        raise self.unlisted()

    def check(self) -> None:
        """Finite tables; whoever makes linear ones keeps them in [−½, ½]."""
        if not (np.all(np.isfinite(self.table)) and np.all(np.isfinite(self.start))):
            raise NashGamesError("the scores of the tokens are not all finite; accepted: finite numbers")

    @classmethod
    def stack(cls, margins: Sequence[Self]) -> Self:
        if len(margins) == 1:
            return margins[0]
        made: Self = jax.tree.map(lambda *leaves: np.stack(leaves), *margins)
        return made

    def place(self, device: Any, dtype: Any) -> Self:
        made: Self = jax.tree.map(lambda leaf: jax.device_put(of_dtype(leaf, dtype), device), self)
        return made

    def unlisted(self) -> NashGamesError:
        """What is said of whoever needs all sequences."""
        return NashGamesError(
            f"the game has {self.sequences.count:,} sequences, which are not listed; use a policy that is sampled on "
            "duels, or fewer sequences, or a storage that lists them (lowrank, streamed)"
        )


@partial(jax.jit, inline=False, static_argnames="judge")
def margins_entries(
    table: jax.Array, start: jax.Array, rows: jax.Array, columns: jax.Array, *, judge: str
) -> jax.Array:
    if rows.ndim > 2:
        of_one = partial(margins_entries, judge=judge)
        return jax.vmap(of_one, in_axes=(0, 0, 1, 1))(table, start, rows, columns)
    return judged(judge, *(_numbers(table, start, tokens) for tokens in (rows, columns)))


def judged(judge: str, ours: jax.Array, theirs: jax.Array) -> jax.Array:
    """The entries `[b]` of sequences with the numbers x `[b, d]`, by one of the JUDGES."""
    half = jnp.asarray(0.5, ours.dtype)
    if judge == "voters":
        # Equal utilities are even.
        return half * jnp.mean(jnp.sign(ours - theirs), axis=-1)
    (left, right), (other_left, other_right) = (jnp.split(each, 2, axis=-1) for each in (ours, theirs))
    if judge == "logistic":
        found: jax.Array = Logistic(left, right).pairs(Logistic(other_left, other_right), ours.dtype)
        return found
    return jnp.sum(left * other_right - right * other_left, axis=-1)


def _numbers(table: jax.Array, start: jax.Array, tokens: jax.Array) -> jax.Array:
    """x `[b, d]` of sequences by their tokens `[L, b]`."""
    before = jnp.concatenate([jnp.zeros_like(tokens[:1]), tokens[:-1]])
    places = jnp.arange(len(tokens), dtype=tokens.dtype)[:, None]
    seen = table[places, before, jnp.maximum(tokens - 1, 0)]
    return start[None] + jnp.sum(jnp.where((tokens > END)[..., None], seen, 0), axis=0)
