"""Entries of A as functions of features: what streamed margins keep in place of A.

A formula is a frozen dataclass registered as a pytree. It is written once, with operators and the functions of its
arrays' own library, and serves NumPy on the host and JAX in compiled programs.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol, Self

import jax

from nashgames.errors import NashGamesError


class Formula(Protocol):
    """A_ij as a function of what is known of i and of j, skew-symmetric and 0 for i = j but for rounding."""

    @property
    def within_half(self) -> bool:
        """Whether entries are in [−½, ½] whatever the features are, as long as these are finite."""

    @property
    def actions(self) -> Any:
        """One of the arrays that have an axis over the actions: `[n, …]`, `[m, n, …]` over contexts."""

    def over_actions(self, change: Callable[[Any], Any]) -> Self:
        """The formula with a change of every array that has an axis over the actions, which is its first."""

    def tile(self, columns: Self, dtype: Any) -> Any:
        """A[i, j] `[r, c]` for the r actions i of this formula and the c actions j of another one."""

    def pairs(self, others: Self, dtype: Any) -> Any:
        """A[i, j] `[b]` for the b actions i of this formula, each against one action j of another one."""

    def check(self) -> None:
        """Raise NashGamesError where the arrays do not belong together."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Logistic:
    """A_ij = σ(S_ij) − ½ = ½ tanh(½ S_ij) with logits S = L Rᵀ − R Lᵀ, `left` L and `right` R `[n, k]`."""

    left: Any
    right: Any
    within_half: ClassVar[bool] = True

    @property
    def actions(self) -> Any:
        return self.left

    def over_actions(self, change: Callable[[Any], Any]) -> Self:
        return replace(self, left=change(self.left), right=change(self.right))

    def tile(self, columns: Self, dtype: Any) -> Any:
        xp = self.left.__array_namespace__()
        # ½ twice: of the logits, and of tanh, which a difference σ − ½ would cancel the digits of.
        half = xp.asarray(0.5, dtype=self.left.dtype)
        first = xp.concatenate([self.left * half, self.right * half], axis=1)
        second = xp.concatenate([columns.right, -columns.left], axis=1)
        return (half * xp.tanh(first @ second.T)).astype(dtype)

    def pairs(self, others: Self, dtype: Any) -> Any:
        xp = self.left.__array_namespace__()
        half = xp.asarray(0.5, dtype=self.left.dtype)
        logits = xp.sum(self.left * others.right - self.right * others.left, axis=1)
        return (half * xp.tanh(half * logits)).astype(dtype)

    def check(self) -> None:
        _same_shape("factors of the logits", self.left, self.right)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Blotto:
    """Colonel Blotto: A_ij = (fields that i wins − fields that i loses) / (2 `largest`).

    `deployments` `[n, k]` are whole numbers of soldiers on k fields, of at most two bytes for speed; `largest` is the
    largest difference between any two deployments, a scalar or `[m]`.
    """

    deployments: Any
    largest: Any
    within_half: ClassVar[bool] = True

    @property
    def actions(self) -> Any:
        return self.deployments

    def over_actions(self, change: Callable[[Any], Any]) -> Self:
        return replace(self, deployments=change(self.deployments))

    def tile(self, columns: Self, dtype: Any) -> Any:
        return self._against(self.deployments[:, None], columns.deployments[None], dtype)

    def pairs(self, others: Self, dtype: Any) -> Any:
        return self._against(self.deployments, others.deployments, dtype)

    def _against(self, ours: Any, theirs: Any, dtype: Any) -> Any:
        """The entries of deployments `[…, k]` that are broadcast against each other."""
        xp = ours.__array_namespace__()
        total: Any = 0
        for field in range(ours.shape[-1]):
            mine, other = ours[..., field], theirs[..., field]
            # A difference of comparisons, in the smallest type that counts the fields.
            total = total + ((mine > other).astype(xp.int8) - (mine < other).astype(xp.int8))
        return total.astype(dtype) / (2 * xp.asarray(self.largest).astype(dtype))

    def check(self) -> None:
        if self.deployments.shape[-1] > 127:
            raise NashGamesError(f"deployments are on {self.deployments.shape[-1]} fields; accepted: at most 127")


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Voters:
    """P = Σ_z w_z P_z over voters z with an order each: A_ij = ½ Σ_z w_z sign(r_jz − r_iz).

    `ranks` r is `[n, z]`, from the first of an order on; `weights` w `[z]` have sum 1.
    """

    ranks: Any
    weights: Any
    within_half: ClassVar[bool] = True

    @property
    def actions(self) -> Any:
        return self.ranks

    def over_actions(self, change: Callable[[Any], Any]) -> Self:
        return replace(self, ranks=change(self.ranks))

    def tile(self, columns: Self, dtype: Any) -> Any:
        return self._against(self.ranks[:, None], columns.ranks[None], dtype)

    def pairs(self, others: Self, dtype: Any) -> Any:
        return self._against(self.ranks, others.ranks, dtype)

    def _against(self, ours: Any, theirs: Any, dtype: Any) -> Any:
        """The entries of ranks `[…, z]` that are broadcast against each other."""
        xp = ours.__array_namespace__()
        total: Any = 0
        for z in range(ours.shape[-1]):
            mine, other = ours[..., z], theirs[..., z]
            total = total + self.weights[z] * ((mine < other).astype(dtype) - (mine > other).astype(dtype))
        half = xp.asarray(0.5, dtype=dtype)
        # The rounding of a sum of weights must not lead beyond ½.
        return xp.clip(half * total, -half, half).astype(dtype)

    def check(self) -> None:
        if self.ranks.shape[-1] != self.weights.shape[-1]:
            raise NashGamesError(
                f"there are ranks of {self.ranks.shape[-1]} voters and weights of {self.weights.shape[-1]}; give each "
                f"voter one weight"
            )


def _same_shape(what: str, left: Any, right: Any) -> None:
    if left.shape != right.shape:
        raise NashGamesError(f"the {what} have shapes {left.shape} and {right.shape}; give two of one shape")
