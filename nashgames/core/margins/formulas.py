"""Entries of A as functions of features: what streamed margins keep in place of A.

A formula is a frozen dataclass registered as a pytree. It is written once, with operators and the functions of its
arrays' own library, and serves NumPy on the host and JAX in compiled programs.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol, Self

import jax
import jax.numpy as jnp
import numpy as np

from nashgames.errors import NashGamesError

_NUMBERS = 1024
"""Whole numbers that a feature may be in the smallest games; in larger ones it may be as large as n."""


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

    def product(self, policy: jax.Array) -> jax.Array | None:
        """Aπ `[n]` where there is a way that is faster than by tiles, for one context in a compiled program."""

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

    def product(self, policy: jax.Array) -> jax.Array | None:
        return None

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
        return self._against(self.deployments[:, None], _by_number(columns.deployments)[None], dtype)

    def pairs(self, others: Self, dtype: Any) -> Any:
        return self._against(self.deployments, others.deployments, dtype)

    def product(self, policy: jax.Array) -> jax.Array | None:
        """Σ_k P(fewer on k) − P(more on k), over 2 `largest`: in O(n·k)."""
        total = sum(_below_less_above(field, policy) for field in self.deployments.T)
        return total / (2 * jnp.asarray(self.largest).astype(policy.dtype))

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
        _check_counts("deployments", self.deployments)


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
        return self._against(self.ranks[:, None], _by_number(columns.ranks)[None], dtype)

    def pairs(self, others: Self, dtype: Any) -> Any:
        return self._against(self.ranks, others.ranks, dtype)

    def product(self, policy: jax.Array) -> jax.Array | None:
        """−½ Σ_z w_z (P(placed before by z) − P(placed after by z)), in O(n·z)."""
        parts = zip(self.ranks.T, self.weights, strict=True)
        half = jnp.asarray(0.5, policy.dtype)
        return -half * sum(weight * _below_less_above(ranks, policy) for ranks, weight in parts)

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
        _check_counts("ranks", self.ranks)


def _by_number(values: Any) -> Any:
    """The same `[n, k]` with each of the k numbers of all actions side by side in memory.

    Comparisons on the host then take a sixth of the time.
    """
    return values.T.copy().T


def _below_less_above(numbers: jax.Array, policy: jax.Array) -> jax.Array:
    """Σ_j π_j sign(c_i − c_j) `[n]` for whole numbers c `[n]`: what is played of each number, summed from below."""
    numbers = numbers.astype(jnp.int32)
    played = jnp.zeros(_most(len(numbers)), policy.dtype).at[numbers].add(policy)
    up_to = jnp.cumsum(played)
    # Twice the share below and half of the own one, less all.
    return (2 * up_to - played)[numbers] - up_to[-1]


def _most(n: int) -> int:
    """Numbers that deployments and ranks may be, from 0."""
    return max(n, _NUMBERS)


def _check_counts(what: str, numbers: Any) -> None:
    most = _most(numbers.shape[-2]) - 1
    if not (np.issubdtype(numbers.dtype, np.integer) and np.min(numbers) >= 0 and np.max(numbers) <= most):
        raise NashGamesError(
            f"{what} are {numbers.dtype} from {np.min(numbers)} to {np.max(numbers)}; accepted: whole "
            f"numbers from 0 to {most:,}"
        )


def _same_shape(what: str, left: Any, right: Any) -> None:
    if left.shape != right.shape:
        raise NashGamesError(f"the {what} have shapes {left.shape} and {right.shape}; give two of one shape")
