"""Which program multiplies: XLA's own, or on a GPU a kernel, which batches of policies share."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap

Product = Callable[..., jax.Array]


def by_platform(kernel: Product, xla: Product, stored: Any, policy: jax.Array) -> jax.Array:
    """xla(stored, policy `[n]`); in programs for GPUs of NVIDIA's kernel(stored, policies `[l, n]`) in its place."""
    of_one = partial(_of_one, sharing(kernel, jax.vmap(xla, (None, 0))))
    return jax.lax.platform_dependent(stored, policy, cuda=of_one, default=xla)


def sharing(kernel: Product, xla: Product) -> Product:
    """kernel(stored, policies `[l, …]`), of which `jax.vmap` reads what is stored once for the policies of all batches.

    Games have a part of the grid each, and share it with the policies of all of them. `xla` does the same where the
    kernel cannot.
    """

    @custom_vmap
    def product(stored: Any, policies: jax.Array) -> jax.Array:
        return (kernel if _can_address(stored) else xla)(stored, policies)

    @product.def_vmap
    def _(size: int, batched: Any, stored: Any, policies: jax.Array) -> tuple[jax.Array, bool]:
        of_games, of_policies = batched
        if not of_policies:
            policies = jnp.broadcast_to(policies, (size, *policies.shape))
        if not any(jax.tree.leaves(of_games)):
            return product(stored, policies.reshape(-1, *policies.shape[2:])).reshape(policies.shape), True
        axes = jax.tree.map(lambda each: 0 if each else None, of_games), 1
        games = sharing(*[jax.vmap(each, axes, out_axes=1) for each in (kernel, xla)])
        return games(stored, policies.swapaxes(0, 1)).swapaxes(0, 1), True

    made: Product = product
    return made


def _of_one(product: Product, stored: Any, policy: jax.Array) -> jax.Array:
    return product(stored, policy[None])[0]


def _can_address(stored: Any) -> bool:
    """Whether offsets into arrays are right: Pallas counts up to 4 GiB in 32 bits, of which one is a sign."""
    return all(each.dtype.itemsize > 1 or not 2**31 < each.size <= 2**32 for each in jax.tree.leaves(stored))
