"""Results directories: exact values, whole files, one writer, and a sentence for everything that is not one."""

import json
import os
import pickle
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nashgames import store
from nashgames.errors import NashGamesError
from nashgames.store import (
    CERTIFICATE_COLUMNS,
    CURVE_COLUMNS,
    METRICS,
    POLICY_COLUMNS,
    RUN_COLUMNS,
    RUN_KEYS,
    SCHEMAS,
    Results,
)

POINTS, ACTIONS = 4, 3


def rows(run_id, value=0.25):
    """A run with all its rows, `value` in each table so that rows of two versions of it cannot be mixed unseen."""
    key = {"run_id": run_id, "game": "disc[strength=2]", "game_family": "disc", "game_parameters": '{"strength": 2.0}'}
    key |= {"n": ACTIONS, "contexts": 1, "seed": 0, "reference": "uniform", "solver": "nash-mp"}
    key |= {"hyperparameters": '{"eta": 0.1}', "feedback": "exact", "policy": "tabular", "optimiser": "sgd"}
    key |= {"start": "reference", "target": "regularised", "beta": 0.05, "dtype": "float64", "device": "cpu"}
    points = [
        {"step": step, "queries": 2 * step, "comparisons": 0, "seconds": 0.5 * step, "status": "running"}
        | dict.fromkeys(METRICS, value)
        for step in range(POINTS)
    ]
    points[-1]["status"] = "converged"
    run = {
        "selection": "nash-mp[eta=0.1]",
        "label": "nash-mp",
        "step_source": "theory",
        "game_fingerprint": None,
        "tolerance": 1e-10,
    }
    run |= {"budget": 100, "queries_to_tolerance": 6, "diverged_step": None, "compile_seconds": 0.1}
    run |= {"solve_seconds": 0.2, "batch_size": 1, "equilibrium_residual": 1e-16, "equilibrium_solves": 7}
    policy = [
        {"run_id": run_id, "context": 0, "action": i, "label": str(i), "probability": value, "log_probability": -1.0}
        for i in range(ACTIONS)
    ]
    return {
        "runs": pd.DataFrame([key | run | points[-1]]),
        "curves": pd.DataFrame([key | point for point in points]),
        "policies": pd.DataFrame(policy),
        "paths": pd.DataFrame(policy)
        .drop(columns="log_probability")
        .assign(step=0, reference_probability=0.5, equilibrium_probability=None),
        "certificates": pd.DataFrame([dict.fromkeys(CERTIFICATE_COLUMNS, value) | {"run_id": run_id, "support": 2}]),
    }


def test_tables_from_before_runs_had_parts_are_read(tmp_path):
    """Their runs had exact feedback, a table and plain steps: nothing finished is lost."""
    fill(tmp_path, "a" * 12)
    for name in ("runs", "curves"):
        table = pq.read_table(tmp_path / f"{name}.parquet")
        pq.write_table(table.drop_columns(["feedback", "policy", "optimiser", "start"]), tmp_path / f"{name}.parquet")
    results = Results.read(tmp_path)
    for frame in (results.runs, results.curves):
        assert frame[["feedback", "policy", "optimiser", "start"]].drop_duplicates().to_numpy().tolist() == [
            ["exact", "tabular", "sgd", "reference"]
        ]
    with Results.open(tmp_path) as opened:
        opened.add(**rows("b" * 12))
        opened.flush()
    assert Results.read(tmp_path).finished == {"a" * 12, "b" * 12}


def fill(directory, *run_ids, value=0.25):
    with Results.open(directory) as results:
        results.begin({"seed": 0}, run_ids, {"cores": 2})
        for run_id in run_ids:
            results.add(**rows(run_id, value))
        results.flush()
    return directory


def look(directory):
    with Results.open(directory) as results:
        return contents(results)


def contents(results):
    """What counts, each run with the one value its rows carry in every table; fails where rows are missing or mixed."""
    found = {}
    frames = {name: getattr(results, name) for name in SCHEMAS}
    for run_id in results.finished:
        mine = {name: frame[frame["run_id"] == run_id] for name, frame in frames.items()}
        assert {name: len(frame) for name, frame in mine.items()} == {
            "runs": 1,
            "curves": POINTS,
            "policies": ACTIONS,
            "paths": ACTIONS,
            "certificates": 1,
        }
        values = {*mine["runs"]["entropy"], *mine["curves"]["entropy"], *mine["policies"]["probability"]}
        values |= {*mine["paths"]["probability"], *mine["certificates"]["bias"]}
        assert len(values) == 1
        found[run_id] = values.pop()
    for frame in frames.values():
        assert set(frame["run_id"]) == set(found)
    return found


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "runs" / "disc-1a2b"


def test_rows_and_manifest_come_back(directory):
    results = Results.open(directory)
    results.begin({"beta": [0.05]}, ["aaa", "bbb"], {"command": "nashgames run ↦"})
    results.manifest["counts"] = {"runs": 2, "reused": 0, "points": 8}
    results.add(**rows("aaa"))
    results.add(**rows("bbb", 0.5))
    assert not directory.exists(), "nothing is written before the first flush"
    assert results.finished == {"aaa", "bbb"}
    results.flush()
    results.close()
    back = Results.read(directory)
    assert contents(back) == {"aaa": 0.25, "bbb": 0.5}
    assert tuple(back.runs.columns) == RUN_COLUMNS
    assert tuple(back.curves.columns) == CURVE_COLUMNS
    assert tuple(back.policies.columns) == POLICY_COLUMNS
    assert set(RUN_KEYS) == set(RUN_COLUMNS) & set(CURVE_COLUMNS) - set(store.POINT_COLUMNS)
    assert back.manifest == results.manifest
    assert back.manifest["run_ids"] == ["aaa", "bbb"]
    assert json.loads((directory / "manifest.json").read_text(encoding="utf-8"))["schema"] == 1
    expected = rows("aaa")["curves"][list(CURVE_COLUMNS)]
    pd.testing.assert_frame_equal(back.curves.iloc[:POINTS], expected, check_dtype=False)


def test_floats_come_back_bit_for_bit_and_missing_values_as_missing(directory):
    exact = [5e-324, 0.1 + 0.2, -0.0, np.nextafter(1, 2), np.inf, 1e-300, float(np.float32(0.1))]
    frames = rows("aaa")
    frames["runs"] = frames["runs"].assign(**dict(zip(METRICS, exact, strict=True)))
    frames["runs"]["queries_to_tolerance"] = np.nan
    frames["runs"]["equilibrium_residual"] = np.nan
    frames["runs"]["budget"] = np.int32(2**31 - 1)
    frames["curves"]["entropy"] = np.array([np.nan, 1, 2, 3], np.float32)
    frames["policies"]["log_probability"] = [-np.inf, -1e308, np.nan]
    with Results.open(directory) as results:
        results.add(**frames)
        results.flush()
    back = Results.read(directory)
    found = back.runs.loc[0, list(METRICS)].tolist()
    assert [struct.pack("d", value) for value in found] == [struct.pack("d", value) for value in exact]
    assert back.runs["queries_to_tolerance"].isna().all()
    assert back.runs["diverged_step"].isna().all()
    assert back.runs["equilibrium_solves"].tolist() == [7]
    assert str(back.runs["queries_to_tolerance"].dtype) == "Int64"
    assert back.runs["budget"].tolist() == [2**31 - 1]
    assert np.isnan(back.runs["equilibrium_residual"]).all()
    np.testing.assert_array_equal(back.curves["entropy"], [np.nan, 1, 2, 3])
    np.testing.assert_array_equal(back.policies["log_probability"], [-np.inf, -1e308, np.nan])
    on_disk = pq.read_table(directory / "policies.parquet")["log_probability"]
    assert on_disk.null_count == 1, "NaN is stored as null, so that other readers see it as missing"


def test_the_types_of_an_empty_and_a_full_table_are_the_same(directory):
    empty, full = Results.open(directory), Results.open(directory)
    full.add(**rows("aaa"))
    for name in SCHEMAS:
        assert (getattr(empty, name).dtypes == getattr(full, name).dtypes).all()


def test_a_run_added_again_replaces_its_rows(directory):
    fill(directory, "aaa", "bbb")
    fill(directory, "aaa", value=0.75)
    assert contents(Results.read(directory)) == {"aaa": 0.75, "bbb": 0.25}


@pytest.mark.parametrize(("table", "a_run"), [("paths", ACTIONS), ("certificates", 1)])
def test_tables_that_only_some_runs_have_rows_in_are_optional(directory, table, a_run):
    frames = rows("aaa")
    del frames[table]
    with Results.open(directory) as results:
        results.add(**frames)
        results.flush()
    assert not (directory / f"{table}.parquet").exists()
    assert getattr(Results.read(directory), table).empty
    fill(directory, "aaa", "bbb")
    assert len(getattr(Results.read(directory), table)) == 2 * a_run
    with Results.open(directory) as results:
        results.add(**frames)
        results.flush()
    assert set(getattr(Results.read(directory), table)["run_id"]) == {"bbb"}


def test_an_experiment_before_joins_the_history(directory):
    fill(directory, "aaa")
    with Results.open(directory) as results:
        results.manifest |= {"finished": "2025-01-01T00:00:00+00:00", "figures": ["convergence.png"]}
        results.begin({"seed": 1}, ["bbb"], {"cores": 4})
        results.flush()
    manifest = Results.read(directory).manifest
    assert manifest["history"] == [{"experiment": {"seed": 0}, "environment": {"cores": 2}, "run_ids": ["aaa"]}]
    assert (manifest["experiment"], manifest["run_ids"], manifest["environment"]) == (
        {"seed": 1},
        ["bbb"],
        {"cores": 4},
    )
    assert (manifest["finished"], manifest["figures"], manifest["counts"]) == (None, [], {})


def test_flush_touches_only_what_is_new(directory):
    def stamps():
        return {path.name: path.stat().st_ino for path in directory.glob("*.*")}

    with Results.open(directory) as results:
        results.add(**rows("aaa"))
        results.flush()
        before = stamps()
        results.flush()
        assert stamps() == before
        results.manifest["finished"] = "2025-01-01T00:00:00+00:00"
        results.flush()
        assert {name for name, stamp in stamps().items() if before[name] != stamp} == {"manifest.json"}


def test_what_was_done_again_is_forgotten_once_written(directory, monkeypatch):
    fill(directory, "aaa")
    with Results.open(directory) as results:
        results.add(**rows("aaa", 0.75))
        results.flush()
        results.add(**rows("bbb"))
        disk = Disk(monkeypatch, 0, None)
        results.flush()
    assert disk.events.count("replace runs.parquet") == 1
    assert contents(Results.read(directory)) == {"aaa": 0.75, "bbb": 0.25}


def test_the_same_rows_make_the_same_bytes(tmp_path):
    fill(tmp_path / "a", "aaa", "bbb")
    fill(tmp_path / "b", "aaa", "bbb")
    for name in SCHEMAS:
        assert (tmp_path / "a" / f"{name}.parquet").read_bytes() == (tmp_path / "b" / f"{name}.parquet").read_bytes()


@pytest.mark.parametrize(
    ("table", "change", "sentence"),
    [
        ("runs", lambda frame: frame.drop(columns="beta"), "runs differs in beta; accepted: run_id, game, game_family"),
        ("curves", lambda frame: frame.assign(loss=1), "curves differs in loss; accepted: run_id"),
        ("curves", lambda frame: pd.concat([frame, frame[["step"]]], axis=1), "curves differs in step; accepted"),
        ("runs", lambda frame: frame.assign(budget=1.5), "the column runs.budget is not of type int64"),
        ("runs", lambda frame: frame.assign(budget=2**70), "the column runs.budget is not of type int64"),
        ("runs", lambda frame: frame.assign(game=7), "the column runs.game is not of type string"),
        ("runs", lambda frame: frame.assign(beta=np.nan), "the column runs.beta has 1 missing values; give them all"),
        ("curves", lambda frame: frame.assign(status=None), "the column curves.status has 4 missing values"),
        ("runs", lambda frame: pd.concat([frame, frame]), "a run is added twice at once"),
        ("curves", lambda frame: frame.iloc[:0], "are of different runs; give every run all its rows"),
        ("policies", lambda frame: frame.assign(run_id="zzz"), "are of different runs; give every run all its rows"),
        ("paths", lambda frame: frame.assign(run_id="zzz"), "are of different runs; give every run all its rows"),
        ("certificates", lambda frame: frame.assign(run_id="zzz"), "are of different runs; give every run all its"),
        ("certificates", lambda frame: frame.assign(support=np.nan), "certificates.support has 1 missing values"),
    ],
)
def test_rows_that_do_not_fit_change_nothing(directory, table, change, sentence):
    fill(directory, "aaa")
    with Results.open(directory) as results:
        frames = rows("bbb")
        frames[table] = change(frames[table])
        with pytest.raises(NashGamesError) as caught:
            results.add(**frames)
        assert sentence in str(caught.value)
        assert contents(results) == {"aaa": 0.25}


class Died(BaseException):
    """The process is gone: nothing runs after this, not even what cleans up."""


class Disk:
    """Counts what reaches the disk and fails at one event: a file opened, half written, synced or replaced."""

    def __init__(self, patch, fail_at, error):
        self.events, self.fail_at, self.error, self.dead = [], fail_at, error, False
        opens, syncs, replaces, unlinks = Path.open, os.fsync, os.replace, Path.unlink

        def open_(path, mode="r", *arguments, **options):
            if mode != "wb":
                return opens(path, mode, *arguments, **options)
            self.event(f"open {path.name}")
            file = opens(path, mode, *arguments, **options)
            write = file.write

            class Half:
                def __enter__(half):
                    return half

                def __exit__(half, *error):
                    file.close()

                def write(half, data):
                    write(memoryview(data)[: len(data) // 2])
                    self.event(f"write {path.name}")
                    write(memoryview(data)[len(data) // 2 :])

                flush, fileno = file.flush, file.fileno

            return Half()

        def fsync(descriptor):
            self.event("fsync")
            syncs(descriptor)

        def replace(source, target, **options):
            self.event(f"replace {Path(target).name}")
            replaces(source, target, **options)

        def unlink(path, **options):
            if not self.dead:
                unlinks(path, **options)

        patch.setattr(Path, "open", open_)
        patch.setattr(Path, "unlink", unlink)
        patch.setattr(os, "fsync", fsync)
        patch.setattr(os, "replace", replace)

    def event(self, name):
        self.events.append(name)
        if len(self.events) == self.fail_at:
            self.dead = isinstance(self.error, Died)
            raise self.error


FULL = OSError(28, "No space left on device")


@pytest.mark.parametrize(
    ("before", "error"),
    [([], Died()), (["aaa", "bbb"], Died()), (["aaa", "bbb"], FULL)],
    ids=["new-killed", "again-killed", "again-full"],
)
def test_wherever_a_write_stops_the_directory_stays_readable(tmp_path, before, error):
    if before:
        fill(tmp_path / "template", *before)
    before = dict.fromkeys(before, 0.25)
    after = before | {"bbb": 0.75, "ccc": 0.75}
    new = {name: pd.concat([frame, rows("ccc", 0.75)[name]]) for name, frame in rows("bbb", 0.75).items()}
    fail_at, done = 0, False
    while not done:
        fail_at += 1
        directory = tmp_path / str(fail_at)
        if before:
            shutil.copytree(tmp_path / "template", directory)
        results = Results.open(directory)
        results.begin({"seed": 1}, ["bbb", "ccc"], {})
        results.add(**new)
        with pytest.MonkeyPatch.context() as patch:
            disk = Disk(patch, fail_at, error)
            try:
                results.flush()
                done = True
            except NashGamesError as sentence:
                assert isinstance(error, OSError)
                assert str(sentence).startswith(f"cannot write '{directory}': no space left on device; ")
            except BaseException as stopped:
                assert stopped is error
        if disk.dead:
            results.close()
            results = Results.open(directory)
            _check_between(before, contents(results), after)
            results.add(**new)
        elif not done:
            found = contents(Results.read(directory)) if (directory / "manifest.json").exists() else {}
            _check_between(before, found, after)
        assert list(directory.glob(".*.tmp")) == []
        results.flush()
        results.close()
        assert contents(Results.read(directory)) == after
    order = [event.split()[1] for event in disk.events if event.startswith("replace")]
    tables = ["curves.parquet", "policies.parquet", "paths.parquet", "certificates.parquet", "runs.parquet"]
    first = ["runs.parquet"] if before else ["manifest.json"]
    assert order == [*first, *tables, "manifest.json"]
    assert [event.split()[0] for event in disk.events] == ["open", "write", "fsync", "replace", "fsync"] * 7
    assert fail_at == len(disk.events) + 1, "each of these events failed once"


def _check_between(before, found, after):
    """Every run is as it was, as it will be, or absent and to be done again; one that was not touched is there."""
    assert all(value in (before.get(run_id), after[run_id]) for run_id, value in found.items())
    assert all(run_id in found for run_id in before if before[run_id] == after[run_id])


def test_what_a_killed_process_left_is_ignored_by_readers_and_removed_by_writers(directory):
    fill(directory, "aaa")
    stale = directory / ".curves.parquet.tmp"
    stale.write_bytes(b"half")
    assert contents(Results.read(directory)) == {"aaa": 0.25}
    assert stale.exists()
    Results.open(directory).close()
    assert not stale.exists()


@pytest.mark.parametrize("table", ["curves", "policies", "runs"])
def test_runs_whose_rows_are_gone_do_not_count(directory, table):
    fill(directory, "aaa")
    (directory / f"{table}.parquet").unlink()
    back = Results.read(directory)
    assert back.finished == set()
    assert back.runs.empty
    assert back.curves.empty


def test_one_directory_has_one_writer(directory):
    fill(directory, "aaa")
    with Results.open(directory):
        with pytest.raises(
            NashGamesError, match=r"another nashgames command is writing '.*disc-1a2b'; wait for it or give"
        ):
            Results.open(directory)
        assert contents(Results.read(directory)) == {"aaa": 0.25}
    Results.open(directory).close()


def test_two_writers_that_found_no_directory_do_not_mix(directory):
    first, second = Results.open(directory), Results.open(directory)
    first.add(**rows("aaa"))
    second.add(**rows("bbb"))
    first.flush()
    with pytest.raises(NashGamesError, match=r"another nashgames command is writing"):
        second.flush()
    first.close()
    with pytest.raises(
        NashGamesError, match=r"another command wrote '.*' meanwhile; run this one again to reuse its runs"
    ):
        second.flush()
    assert look(directory) == {"aaa": 0.25}


def test_a_closed_writer_goes_on_where_nobody_wrote_since(directory):
    results = Results.open(directory)
    results.add(**rows("aaa"))
    results.flush()
    results.close()
    results.add(**rows("bbb"))
    results.flush()
    results.close()
    assert contents(Results.read(directory)) == {"aaa": 0.25, "bbb": 0.25}


def test_the_lock_ends_with_its_process(directory):
    fill(directory, "aaa")
    code = "import sys; from nashgames import store; r = store.Results.open(sys.argv[1]); print('open'); input()"
    with subprocess.Popen(
        [sys.executable, "-u", "-c", code, str(directory)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "open\n"
        with pytest.raises(NashGamesError, match=r"another nashgames command is writing"):
            Results.open(directory)
        other.kill()
        other.wait()
        assert (directory / ".lock").exists()
        Results.open(directory).close()


def test_a_reader_changes_nothing(directory):
    fill(directory, "aaa")
    reader = Results.read(directory)
    for change in (reader.flush, lambda: reader.add(**rows("bbb")), lambda: reader.begin({}, [], {})):
        with pytest.raises(NashGamesError, match=r"was opened to read; open it with Results.open to change it"):
            change()


def test_a_file_is_no_directory(tmp_path):
    path = tmp_path / "file"
    path.write_text("")
    with pytest.raises(NashGamesError, match=r"file' is a file; give a directory for the results"):
        Results.open(path)
    with pytest.raises(NashGamesError, match=r"x' cannot be made, '.*file' is a file; give another directory"):
        Results.open(path / "x")
    with pytest.raises(NashGamesError, match=r"holds no results; run 'nashgames run' to make some"):
        Results.read(path)


def test_a_directory_of_other_files_is_refused_and_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(
        NashGamesError, match=r"holds files that are not results, such as 'thesis.tex'; give an empty or a new"
    ):
        Results.open(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_other_files_that_come_between_opening_and_writing_are_respected(directory):
    results = Results.open(directory)
    results.add(**rows("aaa"))
    directory.mkdir(parents=True)
    (directory / "thesis.tex").write_text("")
    with pytest.raises(NashGamesError, match=r"such as 'thesis.tex'"):
        results.flush()
    assert [path.name for path in directory.iterdir()] == ["thesis.tex"]


def test_hidden_files_and_figures_do_not_matter(directory):
    directory.mkdir(parents=True)
    (directory / ".gitkeep").write_text("")
    fill(directory, "aaa")
    (directory / "convergence.png").write_text("")
    assert look(directory) == {"aaa": 0.25}


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_without_permission_is_told(directory):
    fill(directory, "aaa")
    directory.chmod(0o500)
    with pytest.raises(NashGamesError, match=r"cannot be made, '.*' cannot be written; give another directory"):
        Results.open(directory / "below")
    (directory / ".lock").chmod(0o400)
    with pytest.raises(NashGamesError, match=r"cannot write '.*': permission denied; free space or give another"):
        Results.open(directory)
    directory.chmod(0o000)
    with pytest.raises(NashGamesError, match=r"cannot read '.*': permission denied; check its permissions"):
        Results.read(directory)
    directory.chmod(0o700)


def test_a_parent_that_cannot_be_written_is_told_before_computing(directory, monkeypatch):
    monkeypatch.setattr(store.os, "access", lambda path, mode: False)
    with pytest.raises(
        NashGamesError, match=r"disc-1a2b' cannot be made, '.*' cannot be written; give another directory"
    ):
        Results.open(directory)


def test_a_refusing_file_system_is_told(directory, monkeypatch):
    fill(directory, "aaa")

    def refuse(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", refuse)
        with pytest.raises(
            NashGamesError, match=r"cannot write '.*disc-1a2b': permission denied; free space or give another"
        ):
            Results.open(directory)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", refuse)
        with pytest.raises(
            NashGamesError, match=r"cannot read '.*runs.parquet': permission denied; check its permissions"
        ):
            Results.open(directory)
    assert look(directory) == {"aaa": 0.25}


def test_a_name_too_long_for_the_file_system_is_told(tmp_path):
    for get in (Results.open, Results.read):
        with pytest.raises(NashGamesError, match=r"cannot read '.*': file name too long"):
            get(tmp_path / ("x" * 300))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"", "is damaged or not JSON; give another directory or delete this one"),
        (b'{"schema": 1, "exp', "is damaged or not JSON"),
        (b"\xff\xfe", "is damaged or not JSON"),
        (b"[" * 100_000, "is damaged or not JSON"),
        (b"[1]", "is not a manifest of nashgames; give another directory"),
        (b'{"name": "a web app"}', "is not a manifest of nashgames"),
        (b'{"schema": 1}', "is not a manifest of nashgames"),
        (b'{"schema": 2}', "has schema 2, newer than 1, the newest known here; upgrade nashgames or give another"),
    ],
)
def test_a_manifest_that_is_none_is_told_and_left_alone(directory, text, sentence):
    fill(directory, "aaa")
    (directory / "manifest.json").write_bytes(text)
    for get in (Results.open, Results.read):
        with pytest.raises(NashGamesError) as caught:
            get(directory)
        assert sentence in str(caught.value)
        assert "\n" not in str(caught.value)
    assert (directory / "manifest.json").read_bytes() == text


class _Bomb:
    def __reduce__(self):
        return (Path.mkdir, (Path("/nonexistent/bomb"),))


@pytest.mark.parametrize("data", [b"", b"PAR1", b"run_id,game\n", pickle.dumps(_Bomb())])
@pytest.mark.parametrize("table", list(SCHEMAS))
def test_a_table_that_is_none_is_told(directory, table, data):
    fill(directory, "aaa")
    (directory / f"{table}.parquet").write_bytes(data)
    with pytest.raises(
        NashGamesError, match=rf"{table}\.parquet' is damaged or not Parquet; give another directory or"
    ):
        Results.read(directory)


def test_a_truncated_table_is_told(directory):
    fill(directory, "aaa", "bbb")
    path = directory / "curves.parquet"
    data = path.read_bytes()
    for length in range(0, len(data), 97):
        path.write_bytes(data[:length])
        with pytest.raises(NashGamesError, match=r"curves\.parquet' is damaged or not Parquet"):
            Results.read(directory)


def test_a_flipped_bit_never_changes_a_number_unseen(directory):
    fill(directory, "aaa")
    path = directory / "curves.parquet"
    data = path.read_bytes()
    before = Results.read(directory).curves
    column = pq.read_metadata(path).row_group(0).column(CURVE_COLUMNS.index("suboptimality"))
    start = column.dictionary_page_offset or column.data_page_offset
    told = 0
    for place in range(start, start + column.total_compressed_size):
        path.write_bytes(data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :])
        try:
            pd.testing.assert_frame_equal(Results.read(directory).curves, before)
        except NashGamesError as sentence:
            assert "curves.parquet' is damaged or not Parquet" in str(sentence)
            told += 1
    assert told > column.total_compressed_size / 2


def test_text_that_is_no_text_is_told(directory):
    fill(directory, "aaa")
    table = pq.read_table(directory / "runs.parquet")
    place = table.column_names.index("game")
    bad = pa.array([b"\xff"]).view(pa.string())
    pq.write_table(table.set_column(place, table.schema.field("game"), bad), directory / "runs.parquet")
    with pytest.raises(NashGamesError, match=r"runs\.parquet' is damaged or not Parquet"):
        Results.read(directory)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda table: table.drop_columns(["beta"]), "it differs in beta; give another directory"),
        (lambda table: table.append_column("loss", table["beta"]), "it differs in loss; give another directory"),
        (lambda table: table.append_column("beta", table["beta"]), "it differs in beta; give another directory"),
        (
            lambda table: table.set_column(table.column_names.index("beta"), "beta", table["beta"].cast(pa.float32())),
            "it differs in beta (float or null instead of double); give another directory",
        ),
        (
            lambda table: pa.table(table.to_pydict()),
            "it differs in run_id (string or null instead of string), game (string or null instead of string), ",
        ),
    ],
)
def test_a_table_with_other_columns_or_types_is_told(directory, change, sentence):
    fill(directory, "aaa")
    pq.write_table(change(pq.read_table(directory / "runs.parquet")), directory / "runs.parquet")
    with pytest.raises(NashGamesError) as caught:
        Results.read(directory)
    assert str(caught.value).startswith(f"'{directory / 'runs.parquet'}' is not a table of this version of nashgames")
    assert sentence in str(caught.value)


def test_another_order_of_columns_is_read(directory):
    fill(directory, "aaa")
    table = pq.read_table(directory / "runs.parquet")
    pq.write_table(table.select(table.column_names[::-1]), directory / "runs.parquet")
    assert tuple(Results.read(directory).runs.columns) == RUN_COLUMNS


def test_reading_nothing_names_the_nearest_results(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NashGamesError, match=r"'rate' holds no results; run 'nashgames run' to make some"):
        Results.read("rate")
    fill(Path("results/runs/rate"), "aaa")
    fill(Path("results/runs/action-size"), "aaa")
    os.utime("results/runs/rate/manifest.json", (0, 0))
    nearest = {
        "rate": "rate",
        "results/runs/rates": "rate",
        "actionsize": "action-size",
        "results/runs": "action-size",
        "somewhere/else": "action-size",
    }
    for given, meant in nearest.items():
        with pytest.raises(NashGamesError) as caught:
            Results.read(given)
        expected = Path("results/runs", meant)
        assert str(caught.value) == f"'{given}' holds no results; did you mean '{expected}'?"
