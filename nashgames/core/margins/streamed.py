"""A as a formula of features: its tiles are made, used and forgotten inside one compiled loop."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np

from nashgames.core.margins import sweep
from nashgames.core.margins.formulas import Formula, Logistic
from nashgames.core.margins.platforms import by_platform
from nashgames.core.margins.tiles import (
    block_height,
    check_one_context,
    check_size,
    contexts_of,
    sampled,
    written_out,
)
from nashgames.errors import NashGamesError

_SIDE = 512
"""Rows and columns of a tile, at most: 1 MB in float32, which never leaves the cache."""

_AT_ONCE = 2**20
"""Entries that a look-up makes as pairs of features at once: 8 MB a feature."""


def _one() -> Any:
    return np.float64(1)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class StreamedMargins:
    """A_ij as a formula of the features of i and of j, which are all that is kept: O(n·d) memory.

    Above the diagonal an entry is the formula's, below the negative of its mirror image, on it 0. A product takes
    O(n²·d) operations, O(n·d) where the formula has a way of its own. `unit` is 1, a scalar or `[m]`, in the type in
    which entries come out.
    """

    storage: ClassVar[str] = "streamed"
    formula: Formula
    unit: Any = field(default_factory=_one)

    @classmethod
    def bytes_of(cls, n: int, contexts: int, dtype_bytes: int, numbers: int = 0) -> int:
        # The weights of a formula are fewer than its features.
        return contexts * (n * numbers * dtype_bytes + dtype_bytes)

    @property
    def shape(self) -> tuple[int, ...]:
        *contexts, n = self.formula.actions.shape[: 1 + np.ndim(self.unit)]
        return (*contexts, n, n)

    @property
    def dtype(self) -> np.dtype:
        return self.unit.dtype

    @property
    def nbytes(self) -> int:
        return sum(np.asarray(leaf).nbytes if np.isscalar(leaf) else leaf.nbytes for leaf in jax.tree.leaves(self))

    def matvec(self, policy: jax.Array) -> jax.Array:
        """Aπ, as the formula knows to find it, or every tile on and above the diagonal made once, at full precision."""
        return margins_product(self.formula, self.unit, policy)

    def entries(self, rows: jax.Array, columns: jax.Array) -> jax.Array:
        return margins_entries(self.formula, self.unit, rows, columns)

    def of_context(self, context: int) -> Self:
        return jax.tree.map(lambda leaf: leaf[context], self) if len(self.shape) == 3 else self

    def blocks(self, height: int | None = None) -> Iterator[tuple[slice, np.ndarray]]:
        """Both triangles from the formula: skew-symmetric to its rounding."""
        formula = self._of_one_context()
        n = self.shape[-1]
        height = height or block_height(n)
        for start in range(0, n, height):
            rows = slice(start, min(start + height, n))
            values = self._tile(formula, rows, slice(None))
            values[np.arange(len(values)), np.arange(rows.start, rows.stop)] = 0
            yield rows, values

    def submatrix(self, actions: np.ndarray) -> np.ndarray:
        values = np.triu(self._tile(self._of_one_context(), actions, actions), 1)
        return values - values.T

    def lookup(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        formula = self._of_one_context()
        low, high = np.minimum(rows, columns).ravel(), np.maximum(rows, columns).ravel()
        found = np.empty(low.shape, self.dtype)
        for start in range(0, len(low), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            found[part] = _taken(formula, low[part]).pairs(_taken(formula, high[part]), self.dtype)
        return found.reshape(np.shape(rows)) * np.sign(np.subtract(columns, rows)).astype(self.dtype)

    def to_dense(self) -> np.ndarray:
        return written_out(self)

    def check(self) -> None:
        """Finite features; and of a formula that is not in [−½, ½] by itself, some of its entries (`sampled`)."""
        self.formula.check()
        for leaf in jax.tree.leaves(self.formula):
            if not np.all(np.isfinite(leaf)):
                raise NashGamesError("the features of the margins are not all finite; accepted: finite numbers")
        if not self.formula.within_half:
            for each in contexts_of(self):
                for rows, columns in sampled(self.shape[-1]):
                    check_size(each._tile(each.formula, rows, columns))

    @classmethod
    def stack(cls, margins: Sequence[Self]) -> Self:
        if len(margins) == 1:
            return margins[0]
        if len({jax.tree.structure(each) for each in margins}) != 1:
            raise ValueError("margins of one formula are stacked")
        made: Self = jax.tree.map(lambda *leaves: np.stack(leaves), *margins)
        return made

    def place(self, device: Any, dtype: Any) -> Self:
        """Whole numbers stay as they are; others take the dtype of the policies."""

        def placed(leaf: Any) -> Any:
            floating = np.issubdtype(np.asarray(leaf).dtype, np.floating)
            return jax.device_put(np.asarray(leaf, dtype) if floating else leaf, device)

        made: Self = jax.tree.map(placed, self)
        return made

    def _of_one_context(self) -> Formula:
        check_one_context(self.shape)
        made: Formula = jax.tree.map(np.asarray, self.formula)
        return made

    def _tile(self, formula: Formula, rows: Any, columns: Any) -> np.ndarray:
        values: np.ndarray = _taken(formula, rows).tile(_taken(formula, columns), self.dtype)
        return values


def _taken(formula: Formula, actions: Any) -> Formula:
    return formula.over_actions(lambda values: values[actions])


@partial(jax.jit, inline=False)
def margins_product(formula: Any, unit: jax.Array, policy: jax.Array) -> jax.Array:
    # Dense margins, the usual ones, are there before Pallas is imported.
    from nashgames.core.margins import kernels

    if policy.ndim > 1:
        return jax.vmap(margins_product)(formula, unit, policy)
    faster: jax.Array | None = formula.product(policy)
    if faster is not None:
        return faster
    if isinstance(formula, Logistic) and kernels.can_stream(formula.left):
        return by_platform(
            kernels.logistic,
            lambda factors, policy: xla_product(Logistic(*factors), policy),
            (formula.left, formula.right),
            policy,
        )
    return xla_product(formula, policy)


def xla_product(formula: Any, policy: jax.Array) -> jax.Array:
    """Aπ `[n]` from tiles that are made one after the other."""
    count, size = sweep.cut(policy.shape[-1], _SIDE)

    def parted(values: jax.Array) -> jax.Array:
        """`[n, …]` in parts `[count, size, …]`, zeros beyond n: their entries meet the zeros of the policy."""
        beyond = ((0, count * size - len(values)), *[(0, 0)] * (values.ndim - 1))
        return jnp.pad(values, beyond).reshape(count, size, *values.shape[1:])

    parts = formula.over_actions(parted)

    def tile(t: jax.Array, i: jax.Array, j: jax.Array) -> jax.Array:
        rows, columns = (parts.over_actions(partial(sweep.at, index=index)) for index in (i, j))
        with jax.default_matmul_precision("highest"):
            values = rows.tile(columns, policy.dtype)
        place = jnp.arange(size)
        above = (i < j) | (place[:, None] < place[None])
        return jnp.where(above, values, 0)

    return sweep.by_tiles(tile, policy, count, size)


@partial(jax.jit, inline=False)
def margins_entries(formula: Any, unit: jax.Array, rows: jax.Array, columns: jax.Array) -> jax.Array:
    if rows.ndim > 1:
        return jax.vmap(margins_entries)(formula, unit, rows, columns)
    low, high = (_taken(formula, choose(rows, columns)) for choose in (jnp.minimum, jnp.maximum))
    return jnp.sign(columns - rows).astype(unit.dtype) * low.pairs(high, unit.dtype)
