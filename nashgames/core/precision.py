"""The precision and the device of a run, set around each call into JAX and never left behind."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import jax
import numpy as np

from nashgames.errors import NashGamesError
from nashgames.memory import Room, size_text

_PRODUCTS = "highest"


@dataclass(frozen=True)
class Precision:
    """A floating-point type, "float32" or "float64", on a device, "cpu" or "gpu"."""

    dtype: str = "float64"
    device: str = "cpu"

    @property
    def numpy(self) -> np.dtype:
        return np.dtype(self.dtype)

    def jax_device(self) -> jax.Device:
        """The device; NashGamesError when JAX sees none of this kind."""
        try:
            return jax.local_devices(backend=self.device)[0]
        except RuntimeError:
            raise NashGamesError(
                f"device is '{self.device}', but JAX sees no such device here; accepted: cpu, or install "
                f"nashgames[cuda] on a machine with an NVIDIA GPU"
            ) from None

    def room(self) -> Room | None:
        """What the device has free for arrays; None for a CPU, which has the host's, and where JAX tells nothing."""
        told = None if self.device == "cpu" else self.jax_device().memory_stats()
        if not told:
            return None
        limit = int(told["bytes_limit"])
        return Room(max(limit - int(told["bytes_in_use"]), 0), f"the GPU has {size_text(limit)} for JAX")

    def description(self) -> dict[str, str]:
        """What a manifest says of it beside dtype and device: the device's model and the precision of products."""
        return {"device": self.jax_device().device_kind, "matmul_precision": _PRODUCTS}

    @contextmanager
    def scope(self) -> Iterator[None]:
        """Inside: arrays default to this device, float64 exists if asked for, products are at full precision."""
        with (
            jax.enable_x64(self.dtype == "float64"),
            jax.default_matmul_precision(_PRODUCTS),
            jax.default_device(self.jax_device()),
        ):
            yield
