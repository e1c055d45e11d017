"""A as rows over several devices, of one host or of several."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from nashgames.core.margins.dense import DenseMargins

_ROWS = "rows"


@partial(jax.tree_util.register_dataclass, data_fields=["values"], meta_fields=["mesh"])
@dataclass(frozen=True)
class ShardedMargins:
    """The entries of `dense`, with the rows divided among the devices of a `mesh`.

    `values` is `[n, n]` or `[m, n, n]`; placed, zeros follow the rows where n is no multiple of the number of devices.
    A device multiplies its rows by the whole policy and the products are gathered: n numbers a query, and nothing of A.
    """

    storage: ClassVar[str] = "sharded"
    values: Any
    mesh: Mesh | None = None

    @classmethod
    def bytes_of(cls, n: int, contexts: int, dtype_bytes: int, numbers: int = 0) -> int:
        return DenseMargins.bytes_of(n, contexts, dtype_bytes, numbers)

    @classmethod
    def filled(cls, n: int, blocks: Sequence[Callable[[slice, slice], np.ndarray]], dtype: Any) -> Self:
        """From the blocks above the diagonal, as `DenseMargins.filled`."""
        return cls(DenseMargins.filled(n, blocks, dtype).values)

    @property
    def shape(self) -> tuple[int, ...]:
        *contexts, _, n = self.values.shape
        return (*contexts, n, n)

    @property
    def dtype(self) -> np.dtype:
        return self.values.dtype

    @property
    def nbytes(self) -> int:
        return self.values.nbytes

    def matvec(self, policy: jax.Array) -> jax.Array:
        """Aπ, on every device, at full precision."""
        return margins_product(self.values, policy, mesh=self.mesh)

    def entries(self, rows: jax.Array, columns: jax.Array) -> jax.Array:
        return margins_entries(self.values, rows, columns, mesh=self.mesh)

    def of_context(self, context: int) -> Self:
        return type(self)(self.values[context], self.mesh) if len(self.shape) == 3 else self

    def blocks(self, height: int | None = None) -> Iterator[tuple[slice, np.ndarray]]:
        return self._on_host().blocks(height)

    def submatrix(self, actions: np.ndarray) -> np.ndarray:
        return self._on_host().submatrix(actions)

    def lookup(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        return self._on_host().lookup(rows, columns)

    def to_dense(self) -> np.ndarray:
        return self._on_host().to_dense()

    def check(self) -> None:
        self._on_host().check()

    @classmethod
    def stack(cls, margins: Sequence[Self]) -> Self:
        if len(margins) == 1:
            return margins[0]
        return cls(DenseMargins.stack([each._on_host() for each in margins]).values)

    def place(self, device: Any, dtype: Any) -> Self:
        """On all devices of the platform of `device`, of this process and of others that `jax.distributed` knows.

        Every process gives all entries and keeps its own rows of them. The other arrays of a program that uses these
        margins have to be on the same devices (`beside`).
        """
        mesh = Mesh(np.array(jax.devices(device.platform)), (_ROWS,))
        if self.mesh == mesh and self.dtype == dtype:
            return self
        values, n = np.asarray(self.values), self.shape[-1]
        where = _over(mesh, *[None] * (values.ndim - 2), _ROWS)
        height = -(-n // mesh.size) * mesh.size
        shape = (*values.shape[:-2], height, n)

        def part(index: Any) -> np.ndarray:
            rows = range(*index[-2].indices(height))
            own = np.zeros((*values.shape[:-2], len(rows), n), dtype)
            given = values[..., rows.start : min(rows.stop, n), :]
            own[..., : given.shape[-2], :] = given
            return own

        return type(self)(jax.make_array_from_callback(shape, where, part), mesh)

    def _on_host(self) -> DenseMargins:
        return DenseMargins(np.asarray(self.values)[..., : self.shape[-1], :])


def beside(margins: Any) -> NamedSharding:
    """Where the other arrays go of a program whose placed margins are on several devices: whole on each of these."""
    where: Any = jax.tree.leaves(margins)[0].sharding
    return _over(where.mesh)


@partial(jax.jit, inline=False, static_argnames="mesh")
def margins_product(values: jax.Array, policy: jax.Array, *, mesh: Mesh | None) -> jax.Array:
    product = jnp.einsum("...ij,...j->...i", values, policy, precision=jax.lax.Precision.HIGHEST)
    return _everywhere(product, mesh)[..., : policy.shape[-1]]


@partial(jax.jit, inline=False, static_argnames="mesh")
def margins_entries(values: jax.Array, rows: jax.Array, columns: jax.Array, *, mesh: Mesh | None) -> jax.Array:
    if rows.ndim == 1:
        return _everywhere(values[rows, columns], mesh)
    found = jax.vmap(lambda of_context, i, j: of_context[i, j])(values, rows, columns)
    return _everywhere(found, mesh)


def _everywhere(values: jax.Array, mesh: Mesh | None) -> jax.Array:
    if mesh is None:
        return values
    made: jax.Array = jax.lax.with_sharding_constraint(values, _over(mesh))  # type: ignore[no-untyped-call]
    return made


def _over(mesh: Any, *axes: str | None) -> NamedSharding:
    """One axis of an array over the devices of a mesh, or none: the array whole on each of them."""
    return NamedSharding(mesh, PartitionSpec(*axes))  # type: ignore[no-untyped-call]
