"""A pytree of arrays as bytes and back: what a batch is when it is interrupted."""

import io
import zipfile
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def pack(tree: Any) -> bytes:
    """The leaves of a tree, in their order, as an uncompressed NPZ file; random keys as the numbers behind them."""
    packed = io.BytesIO()
    np.savez(packed, *map(_numbers, jax.tree.leaves(tree)))
    return packed.getvalue()


def unpack(data: bytes, like: Any) -> Any:
    """The tree from its bytes, with the structure of `like`; axes that are None in its shapes may have any length.

    Raises ValueError for bytes that hold something else.
    """
    shapes, structure = jax.tree.flatten(like)
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            arrays = [archive[f"arr_{place}"] for place in range(len(archive.files))]
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"these bytes are no checkpoint: {error}") from error
    if len(arrays) != len(shapes) or not all(shape.fits(array) for shape, array in zip(shapes, arrays, strict=True)):
        raise ValueError("this is the checkpoint of another program")
    return jax.tree.unflatten(structure, [shape.leaf(array) for shape, array in zip(shapes, arrays, strict=True)])


class Shape:
    """The kind of a leaf: its dtype, its shape, and whether it is a random key; `free` axes in front may be longer."""

    def __init__(self, leaf: Any, *, free: int = 0) -> None:
        self._is_key = _is_key(leaf)
        numbers = _numbers(leaf)
        self._dtype, self._shape, self._free = numbers.dtype, numbers.shape[free:], free

    def fits(self, array: np.ndarray) -> bool:
        """Whether an array is such a leaf."""
        return array.dtype == self._dtype and array.shape[self._free :] == self._shape

    def leaf(self, array: np.ndarray) -> Any:
        """The leaf of these numbers."""
        return jax.random.wrap_key_data(jnp.asarray(array), impl="threefry2x32") if self._is_key else array


def _is_key(leaf: Any) -> bool:
    return bool(jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key))


def _numbers(leaf: Any) -> np.ndarray:
    return np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf)
