"""One results directory: rows in, frames out, and who may write when."""

import contextlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pandas as pd
import pyarrow as pa
from filelock import FileLock, Timeout

from nashgames.disk import append_text, replace, temporary
from nashgames.errors import NashGamesError
from nashgames.store import hashes, kept, manifest, parts
from nashgames.store.files import MANIFEST, cannot_write, check_ours, has_results, nearest
from nashgames.store.folding import fold
from nashgames.store.schema import FAILURES, LABEL_COLUMNS, LABELS, SOMETIMES, TABLES
from nashgames.store.snapshot import Unread, asked_in_table, finished_in_table, read_tables, table_path
from nashgames.store.tables import Layer, frame_of, ids_in, run_ids, select, table_of, unlisted

LOCK = ".lock"
LOG = "failures.log"
"""Why runs failed, with the places in the code, for whoever has to mend it."""
_PATIENCE = 600
"""Seconds to wait for another process: adding takes it milliseconds, folding gigabytes of parts some minutes."""


class Results:
    """A results directory: runs, curves, policies, paths and certificates as DataFrames, and the manifest as a dict.

    A run counts when runs, curves and policies all have it. Unmeasured numbers are NaN, missing integers `pd.NA`; every
    other value comes back as it was given, bit for bit. `open` to add rows, in as many processes as there are; `read`
    to look. Leaving a `with` block folds the parts into the tables.
    """

    def __init__(self, directory: Path, *, writable: bool) -> None:
        self.directory = directory
        self.manifest: manifest.Manifest = manifest.new()
        self.rebuilt = False
        """Whether the manifest was lost and is made again of what the parts and the tables say."""
        self._writable = writable
        self._seen: str | None = None
        self._began = False
        self._games: dict[str, Path] = {}
        self._finished: set[str] = set()
        self._made: list[Path] = []
        self._parts: set[str] = set()
        self._others: set[str] = set()
        self._snapshot: Mapping[str, pa.Table] | None = None

    @classmethod
    def open(cls, directory: str | Path) -> Self:
        """The results in `directory` to add to; a directory that does not exist is made when something is written.

        Raises NashGamesError when it is a file, cannot be written, holds files that are not results, or holds a
        manifest, table or part that cannot be read.
        """
        results = cls(Path(directory), writable=True)
        if check_ours(results.directory):
            with results._locked():
                results._sweep()
            results._load_manifest()
            results._look()
        return results

    @classmethod
    def read(cls, directory: str | Path) -> Self:
        """The results in `directory` to look at, as they are now, without a lock.

        Raises NashGamesError, with the nearest directory that has results, when there are none.
        """
        results = cls(Path(directory), writable=False)
        if manifest.text_in(results.directory) is None and not has_results(results.directory):
            raise NashGamesError(f"'{directory}' holds no results; {nearest(results.directory)}")
        results._load_manifest()
        results._look()
        return results

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not self._writable:
            return
        # The parts hold everything: what ended the block is what is told.
        with contextlib.suppress(NashGamesError) if error else contextlib.nullcontext():
            self.compact()

    @property
    def finished(self) -> set[str]:
        """The ids of the runs that counted when the tables were last looked at, and of those added since."""
        return set(self._finished)

    @property
    def runs(self) -> pd.DataFrame:
        """A row a run, `RUN_COLUMNS`."""
        return frame_of("runs", self._tables["runs"])

    @property
    def last_runs(self) -> pd.DataFrame:
        """The rows of `runs` that belong to the last experiment."""
        runs = self.runs
        return runs[runs["run_id"].isin(self.manifest["run_ids"])]

    @property
    def curves(self) -> pd.DataFrame:
        """A row a measured point, `CURVE_COLUMNS`."""
        return frame_of("curves", self._tables["curves"])

    def points_of(self, run_ids: Collection[str]) -> int:
        """How many rows of curves these runs have."""
        tables, every = self._tables, self._finished <= set(run_ids)
        if every and isinstance(tables, Unread):
            return tables.rows["curves"]
        points = tables["curves"].select(["run_id"])
        return int((points if every else select(points, set(run_ids))).num_rows)

    @property
    def policies(self) -> pd.DataFrame:
        """A row an action of the last iterate, `POLICY_COLUMNS`."""
        return frame_of("policies", self._tables["policies"])

    @property
    def paths(self) -> pd.DataFrame:
        """A row an action of a recorded iterate, for games of three actions, `PATH_COLUMNS`; often empty."""
        return frame_of("paths", self._tables["paths"])

    @property
    def certificates(self) -> pd.DataFrame:
        """A row an exact equilibrium, `CERTIFICATE_COLUMNS`; often empty."""
        return frame_of("certificates", self._tables["certificates"])

    @property
    def failures(self) -> pd.DataFrame:
        """A row a run that could not be finished and has no results, `FAILURE_COLUMNS`; often empty."""
        return frame_of(FAILURES, self._tables[FAILURES])

    @property
    def outdated(self) -> list[Path]:
        """The figures of earlier experiments, of other runs, that are still there."""
        return [path for name in manifest.outdated(self.manifest) if (path := self.directory / name).is_file()]

    def begin(self, experiment: Mapping[str, Any], run_ids: Iterable[str], environment: Mapping[str, Any]) -> None:
        """Start an experiment in this directory; the one before joins the manifest's history.

        It reaches the disk with the first rows, or by `flush`.
        """
        self._check_writable()
        self.manifest = manifest.begun(self.manifest, experiment, run_ids, environment)
        self._began = True

    def add(
        self,
        runs: pd.DataFrame,
        curves: pd.DataFrame,
        policies: pd.DataFrame,
        paths: pd.DataFrame | None = None,
        certificates: pd.DataFrame | None = None,
    ) -> None:
        """Write finished runs with all their rows as one part; they replace rows of the same `run_id`.

        They are on disk when this returns. Raises NashGamesError, changing nothing, for missing or unknown columns, a
        value of another type, a run without curve rows, or where its sequences are listed policy rows, rows of a run
        that is not in `runs`, a run given twice, or a directory that cannot be written: adding the same rows again
        doubles nothing.
        """
        self._check_writable()
        given = {"runs": runs, "curves": curves, "policies": policies, "paths": paths, "certificates": certificates}
        new = {name: table_of(name, frame) for name, frame in given.items() if frame is not None}
        ids = {name: ids_in(table) for name, table in new.items()}
        if new["runs"].num_rows != len(ids["runs"]):
            raise NashGamesError("a run is added twice at once; give each run_id one row in runs")
        beyond = set().union(*(ids.get(name, set()) for name in SOMETIMES))
        if not ids["runs"] == ids["curves"] == ids["policies"] | unlisted(new) >= beyond:
            raise NashGamesError("runs, curves and policies are of different runs; give every run all its rows")
        if ids["runs"]:
            self._append(new)
            self._finished |= ids["runs"]

    def add_failures(self, failures: pd.DataFrame, log: str) -> None:
        """Write what is told of runs that could not be finished as one part, and add `log` to the file `failures.log`.

        Raises NashGamesError for missing or unknown columns, or a directory that cannot be written.
        """
        self._check_writable()
        self._append({FAILURES: table_of(FAILURES, failures)})
        with self._writing():
            append_text(self.directory / LOG, log)

    def relabel(self, labels: Mapping[str, Mapping[str, str | None]]) -> None:
        """Give runs that are there other labels: two of them may have shared one in an earlier experiment.

        `labels` has some of `LABEL_COLUMNS` by run id; what changes is written as a part of its own.
        """
        rows = self._tables["runs"].select(LABEL_COLUMNS).to_pylist()
        said = [row | labels.get(row["run_id"], {}) for row in rows]
        if new := [now for now, before in zip(said, rows, strict=True) if now != before]:
            self._append({LABELS: table_of(LABELS, pd.DataFrame(new))})

    def keep_game(self, fingerprint: str, source: Path) -> None:
        """Keep a copy of the file that a game is made from, so that the directory can be moved and shared.

        It is copied when something is next written; files larger than `LARGEST_GAME` bytes are known by their hash.
        """
        self._check_writable()
        self._games[fingerprint] = source

    def game_file(self, fingerprint: str | None) -> Path | None:
        """The kept copy of the file with this `game_fingerprint`, None where there is none.

        Raises NashGamesError for a copy that is not what was kept.
        """
        return kept.game_file(self.directory, fingerprint)

    def mark(self) -> None:
        """Make the directory and mark it as ours, where that was not done yet."""
        self._check_writable()
        if self._began or self._seen is None:
            with self._writing():
                pass

    def look_again(self) -> set[str]:
        """The runs that other processes have added since the directory was opened.

        Only what came since the last look is read.
        """
        names = set(parts.names(self.directory))
        came = set[str]()
        try:
            if not self._parts <= names:
                # They were folded into the tables, and others may have come before that.
                came |= finished_in_table(self.directory) - self._finished
                self._snapshot = None
            for name in sorted(names - self._parts):
                came |= run_ids(parts.read(self.directory, name))
        except FileNotFoundError:
            # Folded at this moment: the next look finds everything in the tables.
            return set(self._others)
        if came:
            self._snapshot = None
        self._parts = names
        self._others |= came
        self._finished |= came
        return set(self._others)

    def flush(self) -> None:
        """Write the manifest where it has changed.

        Raises NashGamesError when the directory cannot be written; it can be tried again.
        """
        self._check_writable()
        if self._began or manifest.text_of(self.manifest) != self._seen:
            with self._writing():
                self._keep_games()
                self._write_manifest()

    def discard_if_empty(self) -> None:
        """Remove the directory, and the folders above that were made for it, where nothing came of it."""
        nothing = {MANIFEST, LOCK}
        if not self._made or not {item.name for item in self.directory.iterdir()} <= nothing:
            return
        for name in nothing:
            (self.directory / name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            # The folders above may hold other things by now.
            for path in self._made:
                path.rmdir()
        self._seen, self._made = None, []

    def compact(self) -> None:
        """Fold the parts into the tables `runs.parquet`, `curves.parquet`, …; nothing happens where there are none.

        Every table is replaced on its own and the parts go last, all at once. Parts laid over a table that holds them
        already change nothing: wherever this stops, the directory says the same.
        """
        self._check_writable()
        if not parts.names(self.directory):
            return
        with self._writing():
            # Looked at after the lock was taken: another may have added, or folded, until then.
            if not parts.names(self.directory):
                self._look()
                return
            folded = fold(self.directory, manifest.asked(self.manifest))
            files = {name: table_path(self.directory, name) for name in folded.files}
            written = {
                name: data
                for name, data in folded.files.items()
                if name not in SOMETIMES or folded.rows[name] or files[name].exists()
            }
            during, after = self._hashes_around(files, written)
            self._write_manifest(during)
            for name, data in written.items():
                replace(files[name], data)
            parts.drop(self.directory)
            self._write_manifest(after)
            # What was just written need not be read again, but for what is asked for.
            self._parts, self._finished = set(), folded.runs
            self._snapshot = Unread(self.directory, folded.rows, folded.runs)

    def _hashes_around(
        self, files: Mapping[str, Path], written: Mapping[str, memoryview]
    ) -> tuple[hashes.Accepted, ...]:
        """What the manifest says of the tables while these are written, and what afterwards; called under the lock."""
        on_disk = manifest.parse(self.directory, manifest.text_in(self.directory) or manifest.text_of(self.manifest))
        return hashes.around(hashes.known(on_disk).get(hashes.KEY), files, written)

    def _append(self, tables: Layer) -> None:
        data = parts.pack(tables, manifest.asked(self.manifest))
        with self._writing():
            self._keep_games()
            self._parts.add(parts.append(self.directory, data))
        self._snapshot = None

    def _keep_games(self) -> None:
        for fingerprint, source in self._games.items():
            kept.keep(self.directory, fingerprint, source)
        self._games.clear()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Hold the lock of the directory, which is made where it is not there.

        The manifest marks it as ours before anything else is in it.
        """
        try:
            if not check_ours(self.directory):
                self._made = [path for path in (self.directory, *self.directory.parents) if not path.exists()]
                self.directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(self.directory, error) from error
        with self._locked():
            if self._began or self._seen is None:
                self._write_manifest()
            yield

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lock, which the system frees when the process ends; what cannot be written is said in a sentence."""
        try:
            with FileLock(self.directory / LOCK, timeout=_PATIENCE):
                yield
        except Timeout:
            raise NashGamesError(
                f"another nashgames command is writing '{self.directory}'; wait for it or give another directory"
            ) from None
        except OSError as error:
            raise cannot_write(self.directory, error) from error

    def _sweep(self) -> None:
        """Remove what a killed process left half written."""
        for path in (self.directory / MANIFEST, *(table_path(self.directory, name) for name in TABLES)):
            temporary(path).unlink(missing_ok=True)
        parts.sweep(self.directory)

    def _write_manifest(self, tables: hashes.Accepted | None = None) -> None:
        """Write the manifest, together with what other processes wrote since it was read, and with the hashes of the
        `tables` where they change."""
        text = manifest.text_in(self.directory)
        if text is not None and text != self._seen:
            seen = manifest.new() if self._seen is None else manifest.parse(self.directory, self._seen)
            theirs = manifest.parse(self.directory, text)
            self.manifest = manifest.merged(seen, self.manifest, theirs, began=self._began)
        if tables is not None:
            self.manifest[hashes.KEY] = tables
        if (new := manifest.text_of(self.manifest)) != text:
            replace(self.directory / MANIFEST, new.encode())
        self._seen, self._began = new, False

    def _load_manifest(self) -> None:
        self._seen = manifest.text_in(self.directory)
        if self._seen is not None:
            self.manifest = manifest.parse(self.directory, self._seen)
        elif has_results(self.directory):
            asked = parts.asked(self.directory) or asked_in_table(self.directory)
            self.manifest = manifest.rebuilt(asked, list(self._look()["runs"]["run_id"].to_pylist()))
            self.rebuilt = True

    @property
    def _tables(self) -> Mapping[str, pa.Table]:
        """The tables as they were when they were first looked at after the last change made here."""
        return self._look() if self._snapshot is None else self._snapshot

    def _look(self) -> Mapping[str, pa.Table]:
        """The tables as they are now, and with them the runs that count."""
        names = set(parts.names(self.directory))
        self._snapshot = read_tables(self.directory)
        # What came while the tables were read is read again by the next look.
        self._parts = names
        self._finished = ids_in(self._snapshot["runs"])
        return self._snapshot

    def _check_writable(self) -> None:
        if not self._writable:
            raise NashGamesError(f"'{self.directory}' was opened to read; open it with Results.open to change it")
