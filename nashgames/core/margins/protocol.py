"""What every storage of A can do; nobody outside this package knows more of it."""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Protocol, Self, runtime_checkable

import jax
import numpy as np

PRODUCT = "margins_product"
ENTRIES = "margins_entries"
"""Names of the two jitted functions through which compiled programs see A.

A storage computes `matvec` and `entries` in functions of these names under `jax.jit`, so that every access to the game
is one equation of a jaxpr with that `params["name"]`, in a loop or not, and can be counted.
"""


@runtime_checkable
class Margins(Protocol):
    """The skew-symmetric A = P − ½ with entries in [−½, ½], `[n, n]`, or `[m, n, n]` over m contexts.

    A storage is a frozen dataclass registered as a pytree, whose arrays are its leaves. `matvec` and `entries` are for
    compiled programs; `stack` and `place` bring margins there; all other methods work on the host. `blocks`,
    `submatrix` and `lookup` are of one context: over several take `of_context` first (ValueError otherwise).
    """

    storage: ClassVar[str]
    """The name of the storage (`STORAGES`)."""

    @property
    def shape(self) -> tuple[int, ...]:
        """`(n, n)` or `(m, n, n)`, whatever is stored."""

    @property
    def dtype(self) -> np.dtype:
        """The type in which entries come out."""

    @property
    def nbytes(self) -> int:
        """Bytes that the storage holds."""

    @classmethod
    def bytes_of(cls, n: int, contexts: int, dtype_bytes: int, numbers: int = 0) -> int:
        """An upper bound on `nbytes`, before anything is allocated, for entries of `dtype_bytes`; a storage that keeps
        features counts `numbers` of them per action."""

    def matvec(self, policy: jax.Array) -> jax.Array:
        """Aπ for `policy` `[n]` (`[m, n]` over contexts); a batch of policies is `jax.vmap` of it."""

    def entries(self, rows: jax.Array, columns: jax.Array) -> jax.Array:
        """A[rows, columns] for actions `[b]` (`[m, b]` over contexts, each in its own): what single duels look up."""

    def of_context(self, context: int) -> Self:
        """The margins `[n, n]` of one context; the margins themselves where there are no contexts."""

    def blocks(self, height: int | None = None) -> Iterator[tuple[slice, np.ndarray]]:
        """Successive blocks of `height` rows over all columns (None: a quarter of a tile), to read and not to write."""

    def submatrix(self, actions: np.ndarray) -> np.ndarray:
        """The dense A[actions, actions] `[k, k]`, a new array."""

    def lookup(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """A[rows, columns] entry by entry, for indices of one shape."""

    def to_dense(self) -> np.ndarray:
        """All of A, to read and not to write; NashGamesError above MOST_DENSE bytes: use the methods above there."""

    def check(self) -> None:
        """Raise NashGamesError, naming an entry, unless these are margins."""

    @classmethod
    def stack(cls, margins: Sequence[Self]) -> Self:
        """The margins of several games of one shape with a leading axis over the games; those of a single game
        unchanged.

        Made once and given to every batch that plays these games: see `place`.
        """

    def place(self, device: Any, dtype: Any) -> Self:
        """On a device, ready for policies of `dtype`; margins that already are come back as they are, not copied.

        Called inside `Precision.scope()`, without which JAX has no float64.
        """


def stack(margins: Sequence[Margins]) -> Margins:
    """`stack` of the storage that all of them have.

    Raises TypeError when they differ in storage, and ValueError when they differ in shape or dtype.
    """
    kinds = {type(each) for each in margins}
    if len(kinds) != 1:
        raise TypeError(f"margins of one storage are stacked, not of {sorted(kind.__name__ for kind in kinds)}")
    first = margins[0]
    if any((each.shape, each.dtype) != (first.shape, first.dtype) for each in margins):
        raise ValueError("margins of one shape and dtype are stacked")
    return type(first).stack(margins)
