"""The files of a results directory themselves: whether they are as they were written, and whether rows are there twice.

What a directory says hides a table that a part replaces, and runs that lack rows of a table: here every file is read as
it is on disk.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from nashgames.disk import digest
from nashgames.errors import NashGamesError
from nashgames.store import SCHEMAS, hashes, kept, manifest, parts
from nashgames.store.files import read_bytes
from nashgames.store.snapshot import table_path
from nashgames.store.tables import Layer, from_parquet, unlisted
from nashgames.verification.ledger import Report

_KEYS = {
    "runs": ["run_id"],
    "curves": ["run_id", "step"],
    "policies": ["run_id", "context", "action"],
    "paths": ["run_id", "step", "context", "action"],
    "certificates": ["run_id"],
}
"""The columns of which no two rows of a table have the same values."""

_EVERY_RUN = ("runs", "curves", "policies")
"""The tables that have rows of every run, policies of every one whose sequences are listed."""

_TRIES = 20
"""Readings to begin again because a command folded its parts meanwhile, which it does once, at its end."""


def check_files(directory: Path, report: Report) -> str:
    """Note the files that are not as they were written, rows that are there twice, and runs that lack rows.

    Returns a digest of what the directory holds. Raises NashGamesError for a table or part that cannot be read, and for
    a directory that is never at rest.
    """
    for _ in range(_TRIES):
        before = _stamp(directory)
        try:
            faults, unhashed, content = _look(directory)
        except FileNotFoundError:
            continue
        if _stamp(directory) == before:
            report.faults += faults
            report.unhashed = unhashed
            return content
    raise NashGamesError(f"'{directory}' is written all the time; wait for the commands that write it")


def _stamp(directory: Path) -> tuple[str | None, list[str]]:
    """What changes when a part is added, or parts are folded: the manifest says so before and afterwards."""
    return manifest.text_in(directory), parts.names(directory)


def _look(directory: Path) -> tuple[list[str], list[str], str]:
    """What is wrong with the files, the tables whose hash nobody kept, and a digest of all."""
    said = hashes.known(manifest.parse(directory, manifest.text_in(directory) or "")).get(hashes.KEY)
    faults: list[str] = []
    unhashed: list[str] = []
    content = hashlib.sha256()
    base: dict[str, pa.Table] = {}
    for name in SCHEMAS:
        path = table_path(directory, name)
        try:
            data = read_bytes(path)
        except FileNotFoundError:
            if said is not None and None not in said.get(name, [None]):
                faults.append(f"{path.name} was taken away after it was written")
            continue
        found = hashes.digest_of(data)
        content.update(found.encode())
        if said is None:
            unhashed.append(path.name)
        elif said.get(name) == []:
            faults.append(f"{path.name} holds rows of a file that was changed after it was written")
        elif found not in said.get(name, []):
            faults.append(f"{path.name} was changed after it was written: its SHA-256 is not the manifest's")
        base[name] = from_parquet(name, path, data)
    faults += _kept_games(directory)
    layers: list[Layer] = [base]
    faults += _doubled(base, ".parquet")
    for part in parts.names(directory):
        content.update(part.encode())
        layer = parts.read(directory, part)
        faults += _doubled(layer, f" of {parts.FOLDER}/{part}")
        layers.append({name: layer[name].select(["run_id"]) for name in layer.keys() & SCHEMAS.keys()})
    return faults + _without_rows(layers), unhashed, content.hexdigest()


def _kept_games(directory: Path) -> list[str]:
    """The kept files of games whose bytes are not those they are named after."""
    paths = sorted((directory / kept.FOLDER).glob("[!.]*"))
    return [
        f"{kept.FOLDER}/{path.name} was changed after it was written: its bytes are not those it is named after"
        for path in paths
        if digest(read_bytes(path)) != path.name.partition(".")[0]
    ]


def _doubled(layer: Layer, file: str) -> list[str]:
    """A sentence for every table of a layer that has two rows where it may have one."""
    found = []
    for name in layer.keys() & _KEYS.keys():
        keys = _KEYS[name]
        counts = layer[name].select(keys).group_by(keys).aggregate([([], "count_all")])
        several = counts.filter(pc.greater(counts["count_all"], 1)).sort_by([(key, "ascending") for key in keys])
        if several.num_rows:
            row = several.slice(0, 1).to_pylist()[0]
            where = " and ".join(f"{key} {row[key]}" for key in keys)
            more = f", and {several.num_rows - 1:,} more are there twice" if several.num_rows > 1 else ""
            found.append(f"{name}{file} has {row['count_all']} rows of {where}{more}")
    return sorted(found)


def _without_rows(layers: Iterable[Layer]) -> list[str]:
    """A sentence for every table that has no rows of runs that others have rows of."""
    ids: dict[str, set[str]] = {name: set() for name in SCHEMAS}
    beyond: set[str] = set()
    for layer in layers:
        beyond |= unlisted(layer) if "runs" in layer else set()
        for name, table in layer.items():
            if name in ids:
                ids[name].update(pc.unique(table["run_id"]).to_pylist())
    lacking = {name: set().union(*ids.values()) - ids[name] for name in _EVERY_RUN}
    lacking["policies"] -= beyond
    return [
        f"{name} has no row of run {min(runs)}"
        + (f", and of {len(runs) - 1:,} more runs" if len(runs) > 1 else "")
        + ", which another table has"
        for name, runs in lacking.items()
        if runs
    ]
