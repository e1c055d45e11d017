"""Rows ⇄ disk: tables and a manifest in one directory, each file there whole or not at all."""

import collections
import difflib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from nashgames.defaults import RUN
from nashgames.disk import lock, replace, temporary
from nashgames.errors import NashGamesError

# Goes up by one whenever older readers could no longer read a directory; it is part of every run's identity.
SCHEMA = 1
MANIFEST = "manifest.json"

# fmt: off
METRICS = (
    "suboptimality", "duality_gap", "exploitability", "kl_to_equilibrium", "span_to_equilibrium", "kl_to_reference",
    "entropy",
)
RUN_KEYS = (
    "run_id", "game", "game_family", "game_parameters", "n", "contexts", "seed", "reference", "solver",
    "hyperparameters", "feedback", "policy", "optimiser", "start", "target", "beta", "dtype", "device",
)
"""The columns by which a row of runs and of curves describes its run."""
POINT_COLUMNS = ("step", "queries", "comparisons", "seconds", *METRICS, "status")
"""The columns of one measured point; in runs, of the last one."""
CURVE_COLUMNS = (*RUN_KEYS, *POINT_COLUMNS)
RUN_COLUMNS = (
    *RUN_KEYS, "selection", "label", "step_source", "game_fingerprint", "tolerance", "budget", "queries_to_tolerance",
    "diverged_step", "compile_seconds", "solve_seconds", "batch_size", "equilibrium_residual",
    "equilibrium_solves", *POINT_COLUMNS,
)
POLICY_COLUMNS = ("run_id", "context", "action", "label", "probability", "log_probability")
PATH_COLUMNS = (
    "run_id", "step", "context", "action", "label", "probability", "reference_probability", "equilibrium_probability",
)
CERTIFICATE_COLUMNS = (
    "run_id", "beta", "suboptimality", "duality_gap", "residual", "exploitability", "bias", "kl_bound", "support",
)

_OPTIONAL_INTEGERS = frozenset({"queries_to_tolerance", "diverged_step", "equilibrium_solves"})
_INTEGERS = _OPTIONAL_INTEGERS | {
    "n", "contexts", "seed", "step", "queries", "comparisons", "budget", "batch_size", "context", "action", "support",
}
_NEVER_NULL = frozenset({"beta", "tolerance"})
_NUMBERS = _NEVER_NULL | {
    *METRICS, "seconds", "compile_seconds", "solve_seconds", "equilibrium_residual", "probability", "log_probability",
    "reference_probability", "equilibrium_probability", "residual", "bias", "kl_bound",
}
# fmt: on


def _field(name: str) -> pa.Field:
    if name in _INTEGERS:
        return pa.field(name, pa.int64(), nullable=name in _OPTIONAL_INTEGERS)
    if name in _NUMBERS:
        return pa.field(name, pa.float64(), nullable=name not in _NEVER_NULL)
    return pa.field(name, pa.string(), nullable=name == "game_fingerprint")


_ADDED: dict[str, str | None] = {**RUN, "game_fingerprint": None}
"""Columns that tables of before do not have, and what they would have said."""

SCHEMAS: dict[str, pa.Schema] = {
    "curves": pa.schema(map(_field, CURVE_COLUMNS)),
    "policies": pa.schema(map(_field, POLICY_COLUMNS)),
    "paths": pa.schema(map(_field, PATH_COLUMNS)),
    "certificates": pa.schema(map(_field, CERTIFICATE_COLUMNS)),
    "runs": pa.schema(map(_field, RUN_COLUMNS)),
}
"""The tables in the order in which they are replaced: a run counts from the moment its row in runs is there."""

_WHERE_THERE_ARE_ROWS = ("paths", "certificates")
"""Tables that only some runs have rows in: written once there are any."""

# fmt: off
_MANIFEST_KINDS = {
    "experiment": dict, "run_ids": list, "environment": dict, "history": list, "counts": dict, "figures": list,
}
# fmt: on


class Results:
    """A results directory: runs, curves, policies, paths and certificates as DataFrames, and the manifest as a dict.

    A run counts when runs, curves and policies all have it. Unmeasured numbers are NaN, missing integers `pd.NA`; every
    other value comes back as it was given, bit for bit. `open` to add rows (one process at a time), `read` to look.
    """

    def __init__(self, directory: Path, *, writable: bool) -> None:
        self.directory = directory
        self.manifest: dict[str, Any] = _new_manifest()
        self._writable = writable
        self._lock: BinaryIO | None = None
        self._tables = {name: schema.empty_table() for name, schema in SCHEMAS.items()}
        self._on_disk: set[str] = set()
        self._redone: set[str] = set()
        self._changed = False
        self._manifest_on_disk: str | None = None

    @classmethod
    def open(cls, directory: str | Path) -> Self:
        """The results in `directory` to add to; a directory that does not exist is made by the first `flush`.

        Raises NashGamesError when it is a file, cannot be written, holds files that are not results, is being written
        by another command, or holds a manifest or table that cannot be read.
        """
        results = cls(Path(directory), writable=True)
        if not _check_ours(results.directory):
            return results
        try:
            results._claim()
            results._load()
        except BaseException:
            results.close()
            raise
        return results

    @classmethod
    def read(cls, directory: str | Path) -> Self:
        """The results in `directory` to look at, without a lock.

        Raises NashGamesError, with the nearest directory that has results, when there are none.
        """
        results = cls(Path(directory), writable=False)
        if _manifest_text(results.directory) is None:
            raise NashGamesError(f"'{directory}' holds no results; {_nearest(results.directory)}")
        results._load()
        return results

    def close(self) -> None:
        """Let other processes write the directory; what was not flushed stays unwritten."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def finished(self) -> set[str]:
        """The ids of the runs that count, those added since the last flush included."""
        return set(self._tables["runs"]["run_id"].to_pylist())

    @property
    def runs(self) -> pd.DataFrame:
        """A row a run, `RUN_COLUMNS`."""
        return _frame(self._tables["runs"])

    @property
    def curves(self) -> pd.DataFrame:
        """A row a measured point, `CURVE_COLUMNS`."""
        return _frame(self._tables["curves"])

    @property
    def policies(self) -> pd.DataFrame:
        """A row an action of the last iterate, `POLICY_COLUMNS`."""
        return _frame(self._tables["policies"])

    @property
    def paths(self) -> pd.DataFrame:
        """A row an action of a recorded iterate, for games of three actions, `PATH_COLUMNS`; often empty."""
        return _frame(self._tables["paths"])

    @property
    def certificates(self) -> pd.DataFrame:
        """A row an exact equilibrium, `CERTIFICATE_COLUMNS`; often empty."""
        return _frame(self._tables["certificates"])

    def begin(self, experiment: Mapping[str, Any], run_ids: Iterable[str], environment: Mapping[str, Any]) -> None:
        """Start an experiment in this directory; the one before joins the manifest's history."""
        self._check_writable()
        before = {key: self.manifest[key] for key in ("experiment", "environment", "run_ids")}
        history = [*self.manifest["history"], before] if before["experiment"] else []
        current = {"experiment": dict(experiment), "run_ids": list(run_ids), "environment": dict(environment)}
        self.manifest = _new_manifest() | current | {"history": history}

    def add(
        self,
        runs: pd.DataFrame,
        curves: pd.DataFrame,
        policies: pd.DataFrame,
        paths: pd.DataFrame | None = None,
        certificates: pd.DataFrame | None = None,
    ) -> None:
        """Take finished runs with all their rows; they replace rows of the same `run_id` and reach the disk by `flush`.

        Raises NashGamesError, changing nothing, for missing or unknown columns, a value of another type, a run without
        curve or policy rows, rows of a run that is not in `runs`, or a run given twice.
        """
        self._check_writable()
        given = {"runs": runs, "curves": curves, "policies": policies, "paths": paths, "certificates": certificates}
        new = {name: _table(name, frame) for name, frame in given.items() if frame is not None}
        ids = {name: set(table["run_id"].to_pylist()) for name, table in new.items()}
        if new["runs"].num_rows != len(ids["runs"]):
            raise NashGamesError("a run is added twice at once; give each run_id one row in runs")
        beyond = set().union(*(ids.get(name, set()) for name in _WHERE_THERE_ARE_ROWS))
        if not ids["runs"] == ids["curves"] == ids["policies"] >= beyond:
            raise NashGamesError("runs, curves and policies are of different runs; give every run all its rows")
        for name, table in self._tables.items():
            kept = _select(table, ids["runs"], keep=False)
            self._tables[name] = pa.concat_tables([kept, new[name]]) if name in new else kept
        self._redone |= ids["runs"] & self._on_disk
        self._changed |= bool(ids["runs"])

    def relabel(self, labels: Mapping[str, Mapping[str, str]]) -> None:
        """Give runs that are there other labels: two of them may have shared one in an earlier experiment."""
        rows = self.runs
        wanted = {
            name: [labels.get(run_id, {}).get(name, stored) for run_id, stored in rows[["run_id", name]].to_numpy()]
            for name in ("label", "step_source")
        }
        stale = (pd.DataFrame(wanted, rows.index) != rows[[*wanted]]).any(axis=1)
        if stale.any():
            frames = (rows.assign(**wanted), self.curves, self.policies, self.paths)
            ids = rows["run_id"][stale]
            self.add(*(frame[frame["run_id"].isin(ids)] for frame in frames))

    def flush(self) -> None:
        """Write what is new; nothing happens where nothing is. Wherever this stops, the directory stays readable.

        Raises NashGamesError when the directory cannot be written; the rows stay here, so that it can be tried again.
        """
        self._check_writable()
        manifest = json.dumps(self.manifest, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        if not self._changed and manifest == self._manifest_on_disk:
            return
        if self._lock is None:
            self._claim_late()
        try:
            # The manifest marks the directory as ours before any table is there.
            if self._manifest_on_disk is None:
                self._write_manifest(json.dumps(_new_manifest()))
            if self._changed:
                self._write_tables()
            self._write_manifest(manifest)
        except OSError as error:
            raise _cannot_write(self.directory, error) from error

    def _write_tables(self) -> None:
        # A run that is done again leaves runs first: no crash can pair its old row with its new curve.
        if self._redone:
            self._write_table("runs", _select(self._tables["runs"], self._on_disk - self._redone))
        for name, table in self._tables.items():
            if name not in _WHERE_THERE_ARE_ROWS or table.num_rows or self._path(name).exists():
                self._write_table(name, table)
        self._on_disk, self._redone, self._changed = self.finished, set(), False

    def _write_table(self, name: str, table: pa.Table) -> None:
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
        replace(self._path(name), sink.getvalue())

    def _write_manifest(self, text: str) -> None:
        replace(self.directory / MANIFEST, text.encode())
        self._manifest_on_disk = text

    def _path(self, name: str) -> Path:
        return self.directory / f"{name}.parquet"

    def _check_writable(self) -> None:
        if not self._writable:
            raise NashGamesError(f"'{self.directory}' was opened to read; open it with Results.open to change it")

    def _claim(self) -> None:
        """Make and lock the directory; remove what a killed process left half written."""
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            self._lock = lock(self.directory)
            for name in (MANIFEST, *(f"{table}.parquet" for table in SCHEMAS)):
                temporary(self.directory / name).unlink(missing_ok=True)
        except OSError as error:
            raise _cannot_write(self.directory, error) from error

    def _claim_late(self) -> None:
        """Claim a directory that was not there, or not locked, since its contents were last seen."""
        _check_ours(self.directory)
        self._claim()
        if _manifest_text(self.directory) != self._manifest_on_disk:
            self.close()
            raise NashGamesError(
                f"another command wrote '{self.directory}' meanwhile; run this one again to reuse its runs"
            )

    def _load(self) -> None:
        self._manifest_on_disk = _manifest_text(self.directory)
        if self._manifest_on_disk is None:
            return
        self.manifest = _parse_manifest(self.directory / MANIFEST, self._manifest_on_disk)
        # Runs first: a writer replaces them last, so that the other tables read after them have all their rows.
        tables = {name: _read_table(self._path(name), SCHEMAS[name]) for name in reversed(SCHEMAS)}
        ids = [set(tables[name]["run_id"].to_pylist()) for name in ("runs", "curves", "policies")]
        self._on_disk = set.intersection(*ids)
        self._tables = {name: _select(tables[name], self._on_disk) for name in SCHEMAS}


def _new_manifest() -> dict[str, Any]:
    return {"schema": SCHEMA} | {key: kind() for key, kind in _MANIFEST_KINDS.items()} | {"finished": None}


def _manifest_text(directory: Path) -> str | None:
    """The manifest as it is on disk, None where there is none."""
    path = directory / MANIFEST
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _cannot_read(path, error) from error
    except UnicodeDecodeError:
        raise _damaged(path, "JSON") from None


def _parse_manifest(path: Path, text: str) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads(text)
    except (ValueError, RecursionError):
        raise _damaged(path, "JSON") from None
    schema = manifest.get("schema") if isinstance(manifest, dict) else None
    if isinstance(schema, int) and schema > SCHEMA:
        raise NashGamesError(
            f"'{path}' has schema {schema}, newer than {SCHEMA}, the newest known here; "
            f"upgrade nashgames or give another directory"
        )
    kinds_hold = schema == SCHEMA and all(isinstance(manifest.get(key), kind) for key, kind in _MANIFEST_KINDS.items())
    if not kinds_hold:
        raise NashGamesError(f"'{path}' is not a manifest of nashgames; give another directory")
    return manifest


def _read_table(path: Path, schema: pa.Schema) -> pa.Table:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return schema.empty_table()
    except OSError as error:
        raise _cannot_read(path, error) from error
    try:
        table = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True).read()
        for name in _ADDED.keys() & (set(schema.names) - set(table.column_names)):
            table = table.append_column(_field(name), pa.array([_ADDED[name]] * table.num_rows, pa.string()))
        _check_schema(path, table.schema, schema)
        table.validate(full=True)
    except (pa.ArrowException, OSError):
        raise _damaged(path, "Parquet") from None
    return table.select(schema.names).replace_schema_metadata(None)


def _check_schema(path: Path, found: pa.Schema, schema: pa.Schema) -> None:
    differing = _differing(found.names, schema) or [
        f"{field.name} ({_kind(found.field(field.name))} instead of {_kind(field)})"
        for field in schema
        if not found.field(field.name).equals(field)
    ]
    if differing:
        raise NashGamesError(
            f"'{path}' is not a table of this version of nashgames, it differs in {', '.join(differing)}; "
            f"give another directory"
        )


def _kind(field: pa.Field) -> str:
    return f"{field.type} or null" if field.nullable else str(field.type)


def _differing(names: Iterable[str], schema: pa.Schema) -> list[str]:
    """The columns that are missing, unknown or repeated."""
    counts = collections.Counter(map(str, names))
    return sorted(name for name in counts.keys() | set(schema.names) if counts[name] != (name in schema.names))


def _table(name: str, frame: pd.DataFrame) -> pa.Table:
    """A frame as rows of the table `name`; NaN becomes null."""
    schema = SCHEMAS[name]
    if differing := _differing(frame.columns, schema):
        raise NashGamesError(f"{name} differs in {', '.join(differing)}; accepted: {', '.join(schema.names)}")
    columns = []
    for field in schema:
        try:
            column = pa.array(frame[field.name], type=field.type, from_pandas=True)
        except (pa.ArrowException, OverflowError) as error:
            raise NashGamesError(f"the column {name}.{field.name} is not of type {field.type}: {error}") from error
        if column.null_count and not field.nullable:
            raise NashGamesError(
                f"the column {name}.{field.name} has {column.null_count} missing values; give them all"
            )
        columns.append(column)
    return pa.Table.from_arrays(columns, schema=schema)


def _frame(table: pa.Table) -> pd.DataFrame:
    frame: pd.DataFrame = table.to_pandas()
    for name in _OPTIONAL_INTEGERS.intersection(table.column_names):
        frame[name] = pd.array(table[name].to_pylist(), dtype="Int64")
    return frame


def _select(table: pa.Table, ids: set[str], *, keep: bool = True) -> pa.Table:
    """The rows of these runs, or with `keep=False` of all others."""
    inside = pc.is_in(table["run_id"], value_set=pa.array(sorted(ids), pa.string()))
    return table.filter(inside if keep else pc.invert(inside))


def _check_ours(directory: Path) -> bool:
    """Whether `directory` exists; raise NashGamesError when it is not for results or cannot be made.

    It says so before anything is computed.
    """
    try:
        if not directory.exists():
            parent = next(parent for parent in [*directory.parents, Path()] if parent.exists())
            if parent.is_dir() and os.access(parent, os.W_OK | os.X_OK):
                return False
            reason = "cannot be written" if parent.is_dir() else "is a file"
            raise NashGamesError(f"'{directory}' cannot be made, '{parent}' {reason}; give another directory")
        if not directory.is_dir():
            raise NashGamesError(f"'{directory}' is a file; give a directory for the results")
        ours = (directory / MANIFEST).exists()
        foreign = [] if ours else sorted(item.name for item in directory.iterdir() if not item.name.startswith("."))
    except OSError as error:
        raise _cannot_read(directory, error) from error
    if foreign:
        raise NashGamesError(
            f"'{directory}' holds files that are not results, such as '{foreign[0]}'; give an empty or a new directory"
        )
    return True


def _nearest(directory: Path) -> str:
    """The part of a sentence that names the results directory meant."""
    places = (directory, directory.parent, Path("results/runs"))
    found = {item.parent.name: item.parent for place in places for item in sorted(place.glob(f"*/{MANIFEST}"))}
    if not found:
        return "run 'nashgames run' to make some"
    close: Sequence[str] = difflib.get_close_matches(directory.name, list(found), n=1, cutoff=0.5)
    name = close[0] if close else max(found, key=lambda name: (found[name] / MANIFEST).stat().st_mtime)
    return f"did you mean '{found[name]}'?"


def _damaged(path: Path, form: str) -> NashGamesError:
    return NashGamesError(f"'{path}' is damaged or not {form}; give another directory or delete this one")


def _cannot_read(path: Path, error: OSError) -> NashGamesError:
    return NashGamesError(f"cannot read '{path}': {_reason(error)}; check its permissions or give another directory")


def _cannot_write(directory: Path, error: OSError) -> NashGamesError:
    return NashGamesError(f"cannot write '{directory}': {_reason(error)}; free space or give another directory")


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
