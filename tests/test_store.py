"""Results directories: exact values, whole files, one writer, and a sentence for everything that is not one."""

import json
import os
import pickle
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
from nashgames.store import CURVE_COLUMNS, METRICS, POLICY_COLUMNS, RUN_COLUMNS, RUN_KEYS, SCHEMAS, Results
from nashgames.store.tables import from_parquet, overlay, table_of
from tests.stored import ACTIONS, POINTS, contents, fill, look, rows

RESULTS = Path(__file__).resolve().parents[1] / "results"


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "runs" / "disc-1a2b"


def test_rows_and_manifest_come_back(directory):
    results = Results.open(directory)
    results.begin({"beta": [0.05]}, ["aaa", "bbb"], {"command": "nashgames run ↦"})
    assert not directory.exists(), "nothing is written before there is something"
    results.add(**rows("aaa"))
    assert contents(Results.read(directory)) == {"aaa": 0.25}, "what is added is there"
    results.manifest["counts"] = {"runs": 2, "reused": 0, "points": 8}
    results.add(**rows("bbb", 0.5))
    assert results.finished == {"aaa", "bbb"}
    results.flush()
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
    columns = [*METRICS, *("seconds", "tolerance", "beta")][: len(exact)]
    frames["runs"] = frames["runs"].assign(**dict(zip(columns, exact, strict=True)))
    frames["runs"]["queries_to_tolerance"] = np.nan
    frames["runs"]["equilibrium_residual"] = np.nan
    frames["runs"]["budget"] = np.int32(2**31 - 1)
    frames["curves"]["entropy"] = np.array([np.nan, 1, 2, 3], np.float32)
    frames["policies"]["log_probability"] = [-np.inf, -1e308, np.nan]
    with Results.open(directory) as results:
        results.add(**frames)
    back = Results.read(directory)
    found = back.runs.loc[0, columns].tolist()
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
    assert not (directory / f"{table}.parquet").exists()
    assert getattr(Results.read(directory), table).empty
    fill(directory, "aaa", "bbb")
    assert len(getattr(Results.read(directory), table)) == 2 * a_run
    with Results.open(directory) as results:
        results.add(**frames)
    assert set(getattr(Results.read(directory), table)["run_id"]) == {"bbb"}


def test_an_experiment_before_joins_the_history(directory):
    fill(directory, "aaa")
    with Results.open(directory) as results:
        results.manifest |= {"finished": "2025-01-01T00:00:00+00:00", "figures": ["convergence.png"]}
        results.begin({"seed": 1}, ["bbb"], {"cores": 4})
        results.flush()
    manifest = Results.read(directory).manifest
    before = {"experiment": {"seed": 0}, "environment": {"cores": 2}, "run_ids": ["aaa"]}
    assert manifest["history"] == [before | {"figures": ["convergence.png"]}]
    assert (manifest["experiment"], manifest["run_ids"], manifest["environment"]) == (
        {"seed": 1},
        ["bbb"],
        {"cores": 4},
    )
    assert (manifest["finished"], manifest["figures"], manifest["counts"]) == (None, [], {})


def test_figures_of_other_runs_are_outdated_until_they_are_drawn_again(directory):
    fill(directory, "aaa")
    for name in ("rates.png", "convergence.png", "mine.png"):
        (directory / name).touch()
    for figures, ids, outdated in (
        (["rates.png", "convergence.png"], ["aaa"], []),
        ([], ["aaa", "bbb"], ["convergence.png", "rates.png"]),
        (["convergence.png"], ["aaa", "bbb"], ["rates.png"]),
    ):
        with Results.open(directory) as results:
            results.begin({"seed": 0}, ids, {"cores": 2})
            results.manifest["figures"] = sorted({*results.manifest["figures"], *figures})
            results.flush()
        assert [path.name for path in Results.read(directory).outdated] == outdated
    assert Results.read(directory).manifest["figures"] == ["convergence.png"]
    (directory / "rates.png").unlink()
    assert Results.read(directory).outdated == []


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


@pytest.mark.parametrize("table", ["curves", "policies", "runs"])
def test_runs_whose_rows_are_gone_do_not_count(directory, table):
    fill(directory, "aaa")
    (directory / f"{table}.parquet").unlink()
    back = Results.read(directory)
    assert back.finished == set()
    assert back.runs.empty
    assert back.curves.empty


def test_a_reader_changes_nothing(directory):
    fill(directory, "aaa")
    reader = Results.read(directory)
    changes = (reader.flush, reader.compact, lambda: reader.keep_game("0" * 16, directory))
    for change in (*changes, lambda: reader.add(**rows("bbb")), lambda: reader.begin({}, [], {})):
        with pytest.raises(NashGamesError, match=r"was opened to read; open it with Results.open to change it"):
            change()


def test_a_file_is_no_directory(tmp_path, monkeypatch):
    # No results of whoever runs this are near.
    monkeypatch.chdir(tmp_path)
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
    directory.mkdir(parents=True)
    (directory / "thesis.tex").write_text("")
    for write in (results.flush, lambda: results.add(**rows("aaa"))):
        with pytest.raises(NashGamesError, match=r"such as 'thesis.tex'"):
            write()
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
    with pytest.raises(NashGamesError, match=r"cannot write '.*': permission denied; give another"):
        Results.open(directory)
    directory.chmod(0o000)
    with pytest.raises(NashGamesError, match=r"cannot read '.*': permission denied; check its permissions"):
        Results.read(directory)
    directory.chmod(0o700)


def test_a_parent_that_cannot_be_written_is_told_before_computing(directory, monkeypatch):
    monkeypatch.setattr("nashgames.store.files.os.access", lambda path, mode: False)
    with pytest.raises(
        NashGamesError, match=r"disc-1a2b' cannot be made, '.*' cannot be written; give another directory"
    ):
        Results.open(directory)


def test_a_refusing_file_system_is_told(directory, monkeypatch):
    fill(directory, "aaa")

    def refuse(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)  # the lock
        with pytest.raises(NashGamesError, match=r"cannot write '.*disc-1a2b': permission denied; give another"):
            Results.open(directory)
    with monkeypatch.context() as patch:
        reads = Path.read_bytes
        patch.setattr(Path, "read_bytes", lambda path: refuse() if path.suffix == ".parquet" else reads(path))
        with pytest.raises(
            NashGamesError, match=r"cannot read '.*curves.parquet': permission denied; check its permissions"
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
        (b"", "is damaged or not JSON; delete it, it is made again from the results beside it"),
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


# -- tables that others wrote ------------------------------------------------------------------------------------------


def rewrite(path, change):
    pq.write_table(change(pq.read_table(path)), path)


def column_as(name, change):
    """The table with a column changed and all others as they are."""
    return lambda table: table.set_column(table.column_names.index(name), name, change(table[name]))


@pytest.mark.parametrize("table", list(SCHEMAS))
def test_a_table_that_pandas_wrote_again_is_the_same_table(directory, table):
    fill(directory, "aaa", "bbb")
    before = {name: getattr(Results.read(directory), name) for name in SCHEMAS}
    path = directory / f"{table}.parquet"
    pd.read_parquet(path).to_parquet(path)
    assert pq.read_schema(path) != SCHEMAS[table], "pandas has types of its own"
    back = Results.read(directory)
    for name in SCHEMAS:
        pd.testing.assert_frame_equal(getattr(back, name), before[name], check_exact=True)
    fill(directory, "ccc")
    assert look(directory) == dict.fromkeys(("aaa", "bbb", "ccc"), 0.25)


def test_a_subset_that_pandas_wrote_is_that_subset(directory):
    """Its index is saved as a column, which is none of ours and none of theirs."""
    fill(directory, "aaa", "bbb", "ccc")
    path = directory / "runs.parquet"
    runs = pd.read_parquet(path)
    runs[runs["run_id"] != "bbb"].to_parquet(path, index=True)
    assert "__index_level_0__" in pq.read_schema(path).names
    assert look(directory) == {"aaa": 0.25, "ccc": 0.25}
    fill(directory, "ddd")
    assert "__index_level_0__" not in pq.read_schema(path).names


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("game", lambda column: column.cast(pa.large_string())),
        ("game", lambda column: column.cast(pa.string_view())),
        ("game", lambda column: column.dictionary_encode()),
        ("n", lambda column: column.cast(pa.int8())),
        ("n", lambda column: column.cast(pa.float64())),
        ("entropy", lambda column: column.cast(pa.float32())),
        ("tolerance", lambda column: pa.array([0] * len(column))),
        ("queries_to_tolerance", lambda column: pa.array([np.nan, 6.0])),
        ("queries_to_tolerance", lambda column: pa.array([None, 6.0])),
        ("diverged_step", lambda column: pa.nulls(len(column))),
    ],
)
def test_a_column_of_another_type_with_the_same_values_is_read(directory, name, change):
    """The first run has no `queries_to_tolerance`, no run has `diverged_step`, and a quarter is a float32."""
    fill(directory, "aaa", "bbb")
    path = directory / "runs.parquet"
    rewrite(path, column_as("queries_to_tolerance", lambda column: pa.array([None, 6], pa.int64())))
    rewrite(path, column_as("tolerance", lambda column: pa.array([0.0, 0.0])))
    before = Results.read(directory).runs
    rewrite(path, column_as(name, change))
    assert pq.read_schema(path).field(name).type != SCHEMAS["runs"].field(name).type
    pd.testing.assert_frame_equal(Results.read(directory).runs, before, check_exact=True)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda table: table.drop_columns(["beta"]), "beta is missing"),
        (lambda table: table.append_column("beta", table["beta"]), "beta is there twice"),
        (column_as("beta", lambda column: column.cast(pa.string())), "beta holds string, not double"),
        (column_as("game", lambda column: pa.array([1])), "game holds int64, not string"),
        (column_as("hyperparameters", lambda column: pa.array(["{"])), "hyperparameters holds '{', which is not JSON"),
        (column_as("game", lambda column: pa.array([b"x"])), "game holds binary, not string"),
        (column_as("n", lambda column: pa.array([1.5])), "n holds double, not int64"),
        (column_as("n", lambda column: pa.array([np.inf])), "n holds double, not int64"),
        (column_as("n", lambda column: pa.array([2**63], pa.uint64())), "n holds uint64, not int64"),
        (column_as("n", lambda column: pa.array([np.nan])), "n has 1 missing values"),
        (column_as("beta", lambda column: pa.array([2**53 + 1])), "beta holds int64, not double"),
        (column_as("beta", lambda column: pa.array([True])), "beta holds bool, not double"),
        (column_as("status", lambda column: pa.nulls(1)), "status has 1 missing values"),
    ],
)  # fmt: skip
def test_a_column_that_holds_something_else_is_named_in_a_short_sentence(directory, change, what):
    fill(directory, "aaa")
    path = directory / "runs.parquet"
    rewrite(path, change)
    with pytest.raises(NashGamesError) as caught:
        Results.read(directory)
    expected = f"'{path}' is not a table of this version of nashgames: its column {what}; give another directory"
    assert str(caught.value) == expected


@pytest.mark.parametrize("later", ["of the same kind", "of another kind"])
def test_columns_of_others_are_no_obstacle_and_stay_where_they_are_of_one_kind(directory, later):
    fill(directory, "aaa")
    path = directory / "runs.parquet"
    rewrite(path, lambda table: table.append_column("reverse_kl", pa.array([0.5])))
    assert tuple(Results.read(directory).runs.columns) == RUN_COLUMNS
    fill(directory, "bbb")
    assert pq.read_table(path)["reverse_kl"].to_pylist() == [0.5, None]
    if later == "of another kind":
        rewrite(path, lambda table: table.append_column("run", table["run_id"]))
        part = fill(directory.with_name("other"), "ccc")
        rewrite(part / "runs.parquet", lambda table: table.append_column("run", pa.array([7])))
        tables = [{"runs": from_parquet("runs", d, (d / "runs.parquet").read_bytes())} for d in (directory, part)]
        joined = overlay([{**layer, **rest(layer)} for layer in tables])["runs"]
        assert joined.column_names == list(RUN_COLUMNS)
        assert joined["run_id"].to_pylist() == ["aaa", "bbb", "ccc"]


def rest(layer):
    """Curves and policies of the runs of a layer, so that these count."""
    ids = layer["runs"]["run_id"].to_pylist()
    frames = [rows(run_id) for run_id in ids]
    return {name: table_of(name, pd.concat([f[name] for f in frames])) for name in ("curves", "policies")}


def test_tables_from_before_there_was_a_choice_are_read(directory):
    """Their runs had exact feedback, a table and plain steps: nothing finished is lost."""
    fill(directory, "aaa")
    new = ["feedback", "policy", "optimiser", "start", "target"]
    rewrite(directory / "curves.parquet", lambda table: table.drop_columns(new))
    rewrite(directory / "runs.parquet", lambda table: table.drop_columns([*new, "game_fingerprint"]))
    results = Results.read(directory)
    for frame in (results.runs, results.curves):
        assert {tuple(row) for row in frame[new].to_numpy()} == {
            ("exact", "tabular", "sgd", "reference", "regularised")
        }
    assert results.runs["game_fingerprint"].isna().all()
    fill(directory, "bbb")
    assert look(directory) == {"aaa": 0.25, "bbb": 0.25}


@pytest.mark.parametrize("metric", list(METRICS))
def test_tables_from_before_a_metric_was_measured_are_read_with_nulls(directory, metric):
    fill(directory, "aaa")
    for name in ("runs", "curves"):
        rewrite(directory / f"{name}.parquet", lambda table: table.drop_columns([metric]))
    results = Results.read(directory)
    for frame in (results.runs, results.curves):
        assert frame[metric].isna().all()
        assert str(frame[metric].dtype) == "float64"
        assert frame[[other for other in METRICS if other != metric]].notna().all(axis=None)


def test_what_is_measured_has_one_home(tmp_path):
    """A metric more is a column more, and every directory of before still loads."""
    fill(tmp_path / "d", "aaa")
    code = """
import sys
from nashgames.core import metrics
metrics.METRICS = {**metrics.METRICS, "reverse_kl": metrics.METRICS["entropy"]}
from nashgames import store
runs, curves = store.Results.read(sys.argv[1]).runs, store.Results.read(sys.argv[1]).curves
assert runs["reverse_kl"].isna().all() and curves["reverse_kl"].isna().all()
print([name for name in runs.columns if not name.startswith("estimated")][-5:], "jax" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "d")], capture_output=True, text=True, check=False
    )
    assert done.stdout == "['entropy', 'reverse_kl', 'length', 'repetition', 'status'] False\n", done.stderr


@pytest.mark.parametrize("name", ["default", "castles", "cure"])
def test_the_results_of_the_repository_are_read(name):
    results = Results.read(RESULTS / name)
    ids = results.manifest["run_ids"]
    assert set(ids) <= results.finished
    assert results.runs["run_id"].isin(ids).sum() == results.manifest["counts"]["runs"]
    assert results.curves["run_id"].isin(ids).sum() == results.manifest["counts"]["points"]
    assert set(results.runs["target"]) == {"regularised"}
    assert list(results.policies.columns) == list(POLICY_COLUMNS)
    assert (RESULTS / name / "paths.parquet").exists() == bool(len(results.paths))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
@pytest.mark.parametrize("name", ["runs.parquet", "manifest.json"])
def test_a_pipe_is_no_table_and_keeps_nobody_waiting(directory, name):
    fill(directory, "aaa")
    (directory / name).unlink()
    os.mkfifo(directory / name)
    with pytest.raises(NashGamesError, match=rf"{name}' is not a regular file; give another directory"):
        Results.read(directory)


def test_bytes_of_ours_stay_with_this_thread(directory, monkeypatch):
    """A thread of Arrow that lets Python's bytes go while the interpreter ends aborts the process (exit 134)."""
    fill(directory, "aaa")
    reads, found = pq.ParquetFile.read, []

    def read(file, *arguments, **options):
        found.append(options)
        return reads(file, *arguments, **options)

    monkeypatch.setattr(pq.ParquetFile, "read", read)
    Results.read(directory)
    assert found == [{"use_threads": False}] * len(SCHEMAS)


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
        hint = f"did you mean '{expected}'?"
        if given in ("results/runs", "somewhere/else"):
            # No name there is near: the newest is only said to be there.
            hint = f"give a directory that does; the newest near is '{expected}'"
        assert str(caught.value) == f"'{given}' holds no results; {hint}"
