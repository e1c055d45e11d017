"""Which program multiplies: XLA's own, or a kernel for GPUs or a function for CPUs, which batches of policies share."""

import functools
import importlib.util
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap

from nashgames.errors import NashGamesError

Product = Callable[..., jax.Array]
Fits = Callable[[Any, jax.Array], bool]

_FEWEST = 2048
"""Actions from which on a CPU has a function of its own: XLA's product of fewer takes less than a millisecond, and the
function a second to load and several to be compiled for the first time."""


def by_platform(kernel: Product, xla: Product, stored: Any, policy: jax.Array, *, entries: bool = False) -> jax.Array:
    """xla(stored, policy `[n]`); in programs for GPUs of NVIDIA's kernel(stored, policies `[l, n]`) in its place.

    Where `entries` of A are stored, `[n, n]` or tiles, Numba is installed and a CPU plays, large games have
    `compiled.product` in programs for CPUs.
    """
    shared = jax.vmap(xla, (None, 0))
    ways = {"cuda": partial(_of_one, sharing(kernel, shared, _can_address))}
    large = entries and policy.shape[-1] >= _FEWEST
    # Every way is traced, and this one is compiled for it: not where a GPU plays.
    if large and _platform() == "cpu" and (compiled := _compiled()) is not None:
        ways["cpu"] = partial(_of_one, sharing(compiled.product, shared, compiled.fits))
    return jax.lax.platform_dependent(stored, policy, **ways, default=xla)


@functools.cache
def _compiled() -> Any:
    """The module with functions for CPUs; None without Numba.

    Raises NashGamesError where Numba cannot be imported, as beside a NumPy that is newer than it takes.
    """
    if importlib.util.find_spec("numba") is None:
        return None
    try:
        from nashgames.core.margins import compiled
    except ImportError as error:
        raise NashGamesError(
            f"numba is installed and cannot be imported ({error}); install one that works here, or uninstall it: "
            f"without it products of large games are XLA's own"
        ) from error
    return compiled


def _platform() -> str:
    """Where arrays are made that nobody has placed."""
    device: Any = jax.config.jax_default_device  # type: ignore[attr-defined]
    return jax.default_backend() if device is None else getattr(device, "platform", device)


def sharing(kernel: Product, xla: Product, fits: Fits) -> Product:
    """kernel(stored, policies `[l, …]`), of which `jax.vmap` reads what is stored once for the policies of all batches.

    Games have a part of the grid each, and share it with the policies of all of them. `xla` does the same where the
    kernel does not fit.
    """

    @custom_vmap
    def product(stored: Any, policies: jax.Array) -> jax.Array:
        return (kernel if fits(stored, policies) else xla)(stored, policies)

    @product.def_vmap
    def _(size: int, batched: Any, stored: Any, policies: jax.Array) -> tuple[jax.Array, bool]:
        of_games, of_policies = batched
        if not of_policies:
            policies = jnp.broadcast_to(policies, (size, *policies.shape))
        if not any(jax.tree.leaves(of_games)):
            return product(stored, policies.reshape(-1, *policies.shape[2:])).reshape(policies.shape), True
        axes = jax.tree.map(lambda each: 0 if each else None, of_games), 1
        games = partial(jax.vmap, in_axes=axes, out_axes=1)
        of_all = sharing(games(kernel), games(xla), fits)
        return of_all(stored, policies.swapaxes(0, 1)).swapaxes(0, 1), True

    made: Product = product
    return made


def _of_one(product: Product, stored: Any, policy: jax.Array) -> jax.Array:
    return product(stored, policy[None])[0]


def _can_address(stored: Any, policies: jax.Array) -> bool:
    """Whether offsets into arrays are right: Pallas counts up to 4 GiB in 32 bits, of which one is a sign."""
    return all(each.dtype.itemsize > 1 or not 2**31 < each.size <= 2**32 for each in jax.tree.leaves(stored))
