"""Programs that a later process neither traces nor lowers: exported by JAX into a folder.

A program is found by all that it is made of: the text of this package and the versions of those that it is traced with,
JAX's settings, the function, what is static in it, and the kinds of its arguments. Where programs are kept, the
exported one runs from the first time on, so that the compiler sees one text in every process.
"""

import contextlib
import hashlib
import importlib.util
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nashgames.disk import replace

# With what a solver, a policy or an optimiser is traced.
_TRACING = ("jax", "jaxlib", "numpy", "optax", "equinox")
_KNOWN = {*_TRACING, "nashgames", "builtins"}
_HASH = hashlib.sha256().digest_size

# Of threads that want one program the first compiles it, and the others wait.
_locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
loaded: dict[str, Callable[..., Any]] = {}
"""The programs that this process holds, by name."""
folder: list[Path] = []
"""Where programs are kept; empty where they are not."""


def keep_in(place: Path | None) -> None:
    """Keep the programs of this process in a folder; None keeps none."""
    # JAX writes programs with it, and does not bring it along.
    can_write = importlib.util.find_spec("flatbuffers") is not None
    folder[:] = [place] if place is not None and can_write else []


class Exported(NamedTuple):
    """A `function` of arrays compiled with the `options` of XLA, and the `name` that its program has in the folder.

    The arguments at the places `donated` are used up.
    """

    function: Callable[..., Any]
    options: Mapping[str, Any]
    donated: Sequence[int]
    name: str

    @property
    def is_there(self) -> bool:
        """Whether the program was made before."""
        return self.name in loaded or _path(self.name).exists()

    def __call__(self, *arguments: Any, like: Any) -> Any:
        """What the function gives, with the structure of `like`."""
        with _locks[self.name]:
            program = loaded.get(self.name)
            if program is None:
                program = loaded[self.name] = self._compiled(arguments)
        return jax.tree.unflatten(jax.tree.structure(like), program(*jax.tree.leaves(arguments)))

    def _compiled(self, arguments: Sequence[Any]) -> Callable[..., Any]:
        """The program of the folder, made where it is not there."""
        from jax import export

        leaves, structure = jax.tree.flatten(arguments)

        def flat(*leaves: Any) -> list[Any]:
            return jax.tree.leaves(self.function(*jax.tree.unflatten(structure, leaves)))

        program: Callable[..., Any] = flat
        data = _read(_path(self.name))
        if data is None:
            # Not every operation that JAX can compile can be exported.
            with contextlib.suppress(NotImplementedError, ValueError):
                data = bytes(export.export(jax.jit(flat), platforms=["cpu"])(*leaves).serialize())
                _write(_path(self.name), data)
        if data is not None:
            program = export.deserialize(bytearray(data)).call
        counts = [len(jax.tree.leaves(argument)) for argument in arguments]
        donated = [leaf for place in self.donated for leaf in range(sum(counts[:place]), sum(counts[: place + 1]))]
        jitted = jax.jit(program, donate_argnums=donated, compiler_options=dict(self.options) or None)
        compiled: Callable[..., Any] = jitted.lower(*leaves).compile()
        return compiled


def name_of(said: Any, options: Mapping[str, Any], arguments: Any) -> str | None:
    """The name of a program, of which all that its arguments do not show is `said`; None where it can have none.

    Those are programs of other people's classes, whose text is not known here, and of arrays not on one CPU.
    """
    leaves, structure = jax.tree.flatten(arguments)
    classes = list(classes_of(structure))
    foreign = {kind.__module__.partition(".")[0] for kind in classes} - _KNOWN
    if not folder or foreign or not all(map(_is_on_one_cpu, leaves)):
        return None
    names = [f"{kind.__module__}.{kind.__qualname__}" for kind in classes]
    kinds = [(leaf.shape, leaf.dtype.name) for leaf in leaves]
    made_of = repr((_surroundings(), _settings(), said, options, str(structure), names, kinds))
    # The address of an object says nothing of it.
    return None if " at 0x" in made_of else hashlib.sha256(made_of.encode()).hexdigest()


def classes_of(structure: Any) -> Iterator[type]:
    """The class of every node of a tree, from the root on."""
    if node := structure.node_data():
        yield node[0]
    for child in structure.children():
        yield from classes_of(child)


def _is_on_one_cpu(leaf: Any) -> bool:
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return False
    return not isinstance(leaf, jax.Array) or [device.platform for device in leaf.devices()] == ["cpu"]


def _settings() -> list[tuple[str, str]]:
    """What JAX is told, but for the places where it keeps things."""
    said = {name: str(value) for name, value in jax.config.values.items() if "cache" not in name}
    # The one that `Precision.scope` sets, for its thread alone.
    in_scope = jax.config.jax_enable_x64  # type: ignore[attr-defined]
    return sorted((said | {"jax_enable_x64": str(in_scope)}).items())


@cache
def _surroundings() -> str:
    """The text of this package, and the versions of what traces it."""
    package = Path(__file__).parents[1]
    text = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        text.update(path.relative_to(package).as_posix().encode() + path.read_bytes())
    # With Numba products of large games are other programs.
    numba = importlib.util.find_spec("numba") is not None
    return repr((text.hexdigest(), sys.version, [version(name) for name in _TRACING], numba))


def _path(name: str) -> Path:
    return folder[0] / f"{name}.stablehlo"


def _write(path: Path, data: bytes) -> None:
    # Nothing is lost where that is not possible: the next process makes the program again.
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        replace(path, hashlib.sha256(data).digest() + data)


def _read(path: Path) -> bytes | None:
    """The bytes of a program as they were written, None where they are not there or something else."""
    try:
        found = path.read_bytes()
    except OSError:
        return None
    return found[_HASH:] if found[:_HASH] == hashlib.sha256(found[_HASH:]).digest() else None
