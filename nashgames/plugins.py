"""What users bring by name: `file.py:Name`, and entry points of installed packages (standard library only).

Code of a file runs only where its user named that file; a results directory never brings code.
"""

import hashlib
import importlib.util
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

from nashgames.errors import NashGamesError, has_no

_SEPARATOR = ".py:"
_FOLDER = Path(__file__).parent
# Letters of a message that are repeated: JAX's go on for pages.
_LONGEST = 200


def is_file_name(name: str) -> bool:
    """Whether a name is `file.py:Name`."""
    return _SEPARATOR in name


def from_file(kind: str, name: str) -> Any:
    """What `file.py:Name` names; the file runs once in a process for each of its contents.

    Raises NashGamesError for a file that is not there or does not run, and for a name that it does not define.
    """
    file, _, wanted = name.rpartition(":")
    module = _module(str(_located(file)), fingerprint(name))
    defined = {key: value for key, value in vars(module).items() if not key.startswith("_") and callable(value)}
    if wanted not in defined:
        own = [key for key, value in defined.items() if getattr(value, "__module__", None) == module.__name__]
        if not own:
            raise NashGamesError(f"'{file}' defines no {kind}; write a class or a function in it")
        raise has_no(f"'{file}'", kind, wanted, own)
    return defined[wanted]


def fingerprint(name: str) -> str:
    """12 hex digits of the SHA-256 of the file's bytes in `file.py:Name`: changed code is another run."""
    file = name.rpartition(":")[0]
    try:
        return hashlib.sha256(_located(file).read_bytes()).hexdigest()[:12]
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise NashGamesError(f"cannot read '{file}': {reason}; make it readable, or name another file") from None


def from_packages(group: str) -> dict[str, metadata.EntryPoint]:
    """The entry points of installed packages in `group`, by name; nothing is imported."""
    return {point.name: point for point in metadata.entry_points(group=group)}


def loaded(kind: str, point: metadata.EntryPoint) -> Any:
    """What an entry point names; NashGamesError where its package cannot be imported."""
    try:
        return point.load()
    except Exception as error:
        raise NashGamesError(
            f"the {kind} '{point.name}' of the package {point.value.partition('.')[0]} cannot be imported: "
            f"{type(error).__name__}: {error}"
        ) from error


def _located(file: str) -> Path:
    path = Path(file).expanduser()
    if not path.is_file():
        raise NashGamesError(f"there is no file '{file}'; give the path of a Python file, as in mine.py:MySolver")
    return path.resolve()


@cache
def _module(path: str, contents: str) -> ModuleType:
    # Dataclasses and type hints look their module up by name; one name for each content keeps versions apart.
    name = f"_nashgames_user_{Path(path).stem}_{contents}_{hashlib.sha256(path.encode()).hexdigest()[:6]}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    folder = str(Path(path).parent)
    # A file may import its neighbours, as it may when it is run by Python.
    sys.path.insert(0, folder)
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        # A file that ends the process is no end of ours; KeyboardInterrupt is the person's.
        if not isinstance(error, Exception | SystemExit):
            raise
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
        line = lines[-1] if lines else getattr(error, "lineno", None)
        place = f" at line {line}" if line else ""
        told = " ".join(str(error).split())[:_LONGEST]
        raise NashGamesError(
            f"'{Path(path).name}' does not run: {type(error).__name__}{place}: {told}; correct that file"
        ) from error
    finally:
        sys.path.remove(folder)
    return module


@contextmanager
def explaining(what: str, brought: Any) -> Iterator[None]:
    """Inside, what the code of a user's object raises becomes a sentence about `what`; ours raises as it is."""
    try:
        yield
    except (NashGamesError, MemoryError):
        raise
    except (Exception, SystemExit) as error:
        # What the device could not do is no mistake of the code.
        if _of_nashgames(brought) or {"XlaRuntimeError", "JaxRuntimeError"} & _kinds(error):
            raise
        raise NashGamesError(f"{what} fails: {explained(error)}") from error


def explained(error: BaseException) -> str:
    """An error in the code of a user: what, at which line, and for the usual one what to do."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.endswith(".py")]
    own = [f for f in frames if "site-packages" not in f.filename and not Path(f.filename).is_relative_to(_FOLDER)]
    place = f" at line {own[-1].lineno} of {Path(own[-1].filename).name}" if own else ""
    if "ConcretizationTypeError" in _kinds(error):
        return f"a Python condition or conversion asks for a traced number{place}; use jnp.where or jax.lax.cond"
    text = " ".join(str(error).split())
    return f"{type(error).__name__}{place}: {text[:_LONGEST]}; correct that code"


def _kinds(error: BaseException) -> set[str]:
    return {kind.__name__ for kind in type(error).__mro__}


def _of_nashgames(thing: Any) -> bool:
    """Whether an object, its wrappers apart, or a class is ours."""
    inner = getattr(thing, "solver", thing)
    return str(getattr(inner, "__module__", "")).partition(".")[0] == "nashgames"
