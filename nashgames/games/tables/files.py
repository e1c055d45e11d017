"""A user's file, guarded: found, readable, not cut short, and never unpickled.

Every sentence starts with the file's name as the user gave it.
"""

import csv
import difflib
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from nashgames.errors import NashGamesError
from nashgames.memory import size_text

SUFFIXES = (".csv", ".parquet", ".npy")

REFERENCE_SUFFIXES = (".csv", ".parquet")
"""Endings of files with a reference; an NPY file has no column to say whose a probability is."""


def locate(name: str, suffixes: Sequence[str] = SUFFIXES) -> Path:
    """The regular, non-empty, readable file called `name`, with one of the known endings.

    Raises NashGamesError for anything else; a missing file's sentence names the nearest file of its folder.
    """
    accepted = ", ".join(suffixes)
    path = Path(name).expanduser()
    with refusing(name):
        if (path / "manifest.json").is_file():
            raise NashGamesError(
                f"'{name}' is a results directory; draw it with nashgames plot, or read it with ng.read"
            )
        if path.is_dir():
            raise NashGamesError(f"'{name}' is a folder; name a file in it that ends in one of: {accepted}")
        if path.is_symlink() and not path.exists():
            raise NashGamesError(f"'{name}' is a link to a file that is not there; name the file itself")
        if not path.exists():
            raise NashGamesError(f"there is no file '{name}'{_nearest_file(path, suffixes)} are read from {accepted}")
        if path.suffix.lower() not in suffixes:
            ending = f"ends in '{path.suffix}'" if path.suffix else "has no ending"
            raise NashGamesError(f"'{name}' {ending}; accepted: {accepted}")
        if not path.is_file():
            raise NashGamesError(f"'{name}' is not a regular file; save the table in a file first")
        if path.stat().st_size == 0:
            raise NashGamesError(f"'{name}' is empty (0 bytes); it should hold a table")
    return path


def fingerprint(path: Path) -> str:
    """The first 16 hex digits of the SHA-256 of the file's bytes: 64 bits are enough to tell a user's files apart."""
    with refusing(path.name), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def open_array(name: str, path: Path) -> np.ndarray:
    """The array of real numbers in an NPY file, mapped into memory rather than read.

    Raises NashGamesError for a file that is no NPY, a pickle, a truncated array, or one that holds no real numbers.
    """
    with refusing(name), path.open("rb") as file:
        try:
            version = np.lib.format.read_magic(file)
            reader = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
            shape, _, dtype = reader(file)
        except Exception:  # a broken header makes NumPy raise whatever its parser meets
            raise NashGamesError(
                f"'{name}' is not an NPY file (no readable header); write it with numpy.save"
            ) from None
        held = path.stat().st_size - file.tell()
    if dtype.hasobject:
        raise NashGamesError(f"'{name}' holds pickled Python objects, which are never loaded; save an array of float64")
    if dtype.kind not in "fiub":
        raise NashGamesError(f"'{name}' holds an array of {dtype}; accepted: real numbers such as float64")
    expected = dtype.itemsize
    for length in shape:
        expected *= length
    if min(shape, default=1) < 0 or expected > held:
        raise NashGamesError(
            f"'{name}' says it holds {dtype} of shape {shape} and has only {size_text(held)} of data; "
            "it was cut short, write it again"
        )
    if expected == 0:
        raise NashGamesError(f"'{name}' is empty (its array has shape {shape}); it should hold a table")
    values: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    return values


@contextmanager
def refusing(name: str) -> Iterator[None]:
    """Turn an error of the operating system or of the CSV reader into a NashGamesError that names the file."""
    try:
        yield
    except UnicodeDecodeError as error:
        bad = f"byte 0x{error.object[error.start]:02x}"
        raise NashGamesError(f"'{name}' is not UTF-8 text ({bad}); save it as CSV in UTF-8") from None
    except csv.Error as error:
        raise NashGamesError(f"'{name}' is not a CSV table: {error}; correct it, or name another file") from None
    except OSError as error:
        reason = error.strerror or error
        raise NashGamesError(f"'{name}' cannot be read: {reason}; make it readable, or name another file") from None


def _nearest_file(path: Path, suffixes: Sequence[str]) -> str:
    """The middle of the sentence about a file that is not there, up to what "are read from" files of these endings."""
    if not path.parent.is_dir():
        return f", nor a folder '{path.parent}'; tables"
    # Names are compared without the ending, which all of them may share.
    found = {near.stem: near.name for near in path.parent.iterdir() if near.suffix.lower() in suffixes}
    near = difflib.get_close_matches(path.stem, found, n=1)
    return f"; did you mean '{found[near[0]]}'? Tables" if near else f" in the folder '{path.parent}'; tables"
