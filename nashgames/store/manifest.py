"""The manifest: what was asked last and before, on what machine, and what came of it."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nashgames.errors import NashGamesError
from nashgames.store import hashes
from nashgames.store.files import MANIFEST, read_bytes

# Goes up where older readers could no longer read a directory; it is part of every run's identity.
SCHEMA = 1

# fmt: off
_KINDS = {
    "experiment": dict, "run_ids": list, "environment": dict, "history": list, "counts": dict, "figures": list,
}
# fmt: on
_TOLD = ("experiment", "environment")
_ASKED = (*_TOLD, "run_ids")

Manifest = dict[str, Any]


def new() -> Manifest:
    """The manifest of a directory in which nothing was asked."""
    return {"schema": SCHEMA} | {key: kind() for key, kind in _KINDS.items()} | {"finished": None}


def text_of(manifest: Mapping[str, Any]) -> str:
    """The manifest as it is written."""
    return json.dumps(manifest, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def text_in(directory: Path) -> str | None:
    """The manifest as it is on disk, None where there is none."""
    try:
        return read_bytes(directory / MANIFEST).decode()
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        raise _damaged(directory / MANIFEST) from None


def _damaged(path: Path) -> NashGamesError:
    return NashGamesError(f"'{path}' is damaged or not JSON; delete it, it is made again from the results beside it")


def parse(directory: Path, text: str) -> Manifest:
    """The manifest of `directory` from its text; NashGamesError for one of another program or a newer version."""
    path = directory / MANIFEST
    try:
        manifest: Manifest = json.loads(text)
    except (ValueError, RecursionError):
        raise _damaged(path) from None
    schema = manifest.get("schema") if isinstance(manifest, dict) else None
    if isinstance(schema, int) and schema > SCHEMA:
        raise NashGamesError(
            f"'{path}' has schema {schema}, newer than {SCHEMA}, the newest known here; "
            f"upgrade nashgames or give another directory"
        )
    fits = schema == SCHEMA and all(isinstance(manifest.get(key), kind) for key, kind in _KINDS.items())
    # They are removed when they are outdated: a name with a folder in it would be another's file.
    if not fits or not all(isinstance(name, str) and Path(name).name == name for name in manifest["figures"]):
        raise NashGamesError(f"'{path}' is not a manifest of nashgames; give another directory")
    return manifest


def asked(manifest: Mapping[str, Any]) -> str:
    """What was asked last, on what machine, as text from which a lost manifest is `rebuilt`."""
    return json.dumps({key: manifest[key] for key in _TOLD}, ensure_ascii=False, allow_nan=False)


def rebuilt(asked: str | None, run_ids: Iterable[str]) -> Manifest:
    """A manifest of what parts or tables say was `asked`, and of all the runs that are there."""
    try:
        told = json.loads(asked or "{}")
    except (ValueError, RecursionError):
        told = {}
    said = {key: told[key] for key in _TOLD if isinstance(told, dict) and isinstance(told.get(key), dict)}
    return new() | said | {"run_ids": list(run_ids)}


def begun(
    before: Manifest, experiment: Mapping[str, Any], run_ids: Iterable[str], environment: Mapping[str, Any]
) -> Manifest:
    """The manifest of a new experiment; the one before joins the history, with its figures where they show others."""
    ids = list(run_ids)
    current = {"experiment": dict(experiment), "run_ids": ids, "environment": dict(environment)}
    figures = before["figures"] if ids == before["run_ids"] else []
    return new() | current | {"history": _history(before), "figures": figures} | hashes.known(before)


def outdated(manifest: Manifest) -> list[str]:
    """The files of figures that earlier experiments drew, of other runs, and the last one did not draw again."""
    before = {name for asked in manifest["history"] for name in asked.get("figures", ())}
    return sorted(before - set(manifest["figures"]))


def _history(manifest: Manifest) -> list[Any]:
    asked = {key: manifest[key] for key in (*_ASKED, "figures")}
    return [*manifest["history"], asked] if asked["experiment"] else manifest["history"]


def merged(seen: Manifest, mine: Manifest, theirs: Manifest, *, began: bool) -> Manifest:
    """What to write where another process wrote `theirs` after `seen` was read and became `mine`.

    An experiment that `began` here comes after theirs. Else what changed here is said of the experiment that it was
    said of; where theirs is another, theirs stands, and ours is in its history.
    """
    if began:
        return mine | {"history": _history(theirs)} | hashes.known(theirs)
    if any(theirs[key] != seen[key] for key in _ASKED):
        return theirs
    return theirs | {key: value for key, value in mine.items() if value != seen.get(key)}
