"""Parts of a results directory: added at their own cost, whole wherever a process dies, by as many as there are."""

import io
import json
import os
import pickle
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from filelock import FileLock

from nashgames.errors import NashGamesError
from nashgames.store import SCHEMAS, Results, files, folding, parts, results, snapshot, tables
from nashgames.verification.files import check_files
from nashgames.verification.ledger import Report
from tests.stored import POINTS, Died, Disk, contents, fill, look, rows

FULL = OSError(28, "No space left on device")


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "runs" / "disc-1a2b"


def tables_in(directory):
    return {path.name: path.read_bytes() for path in directory.glob("*.parquet")}


# -- adding ------------------------------------------------------------------------------------------------------------


def test_a_batch_costs_what_is_in_it(directory, monkeypatch):
    """The bytes and the operations of the 30th batch are those of the 2nd; the first has the manifest beside it."""
    adding = Results.open(directory)
    costs = []
    for number in range(30):
        with monkeypatch.context() as patch:
            disk = Disk(patch)
            # No table and no part is read.
            patch.setattr("nashgames.store.snapshot.from_parquet", None)
            patch.setattr("nashgames.store.parts.from_parquet", None)
            adding.add(**rows(f"run-{number:03d}"))
        costs.append((sum(disk.written.values()), [event.split()[0] for event in disk.events]))
    assert costs[0][1] == ["open", "write", "fsync", "replace", "fsync"] * 2
    assert {tuple(events) for _, events in costs[1:]} == {("open", "write", "fsync", "replace", "fsync")}
    sizes = [size for size, _ in costs[1:]]
    # The same rows but for the three letters of their id.
    assert max(sizes) - min(sizes) <= 0.01 * min(sizes)
    assert len(look(directory)) == 30


def test_adding_leaves_all_that_is_there_alone(directory):
    fill(directory, "aaa")
    fill(directory, "bbb", folded=False)
    before = {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    Results.open(directory).add(**rows("ccc"))
    after = {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    assert {path: data for path, data in after.items() if path in before} == before
    assert len(after) == len(before) + 1
    assert look(directory) == dict.fromkeys(("aaa", "bbb", "ccc"), 0.25)


def test_of_a_run_the_newest_rows_count_in_every_table(directory):
    fill(directory, "aaa", "bbb")
    adding = Results.open(directory)
    for value in (0.5, 0.75):
        adding.add(**rows("aaa", value))
    # The last part has another run: so the order of the parts is no other from behind.
    adding.add(**rows("ccc", 0.5))
    assert look(directory) == contents(adding) == {"aaa": 0.75, "bbb": 0.25, "ccc": 0.5}
    assert list(adding.runs["run_id"]) == ["bbb", "aaa", "ccc"]
    adding.compact()
    assert look(directory) == {"aaa": 0.75, "bbb": 0.25, "ccc": 0.5}


@pytest.mark.parametrize("others", [set(), {"bbb"}])
def test_a_run_played_again_without_a_table_loses_its_old_rows_of_it(directory, others):
    """Also where none are left, and the table stays as an empty one."""
    fill(directory, "aaa", *others)
    frames = rows("aaa", 0.5)
    del frames["paths"]
    adding = Results.open(directory)
    adding.add(**frames)
    assert set(Results.read(directory).paths["run_id"]) == others
    adding.compact()
    assert set(Results.read(directory).paths["run_id"]) == others


def test_the_millionth_part_is_newer_than_the_one_before(directory):
    fill(directory, "aaa", folded=False)
    (first,) = (directory / "parts").iterdir()
    first.rename(first.with_name(f"999999-{first.name.partition('-')[2]}"))
    Results.open(directory).add(**rows("aaa", 0.5))
    assert parts.names(directory)[-1].startswith("1000000-")
    assert look(directory) == {"aaa": 0.5}


def test_the_same_rows_are_the_same_part_and_are_not_there_twice(directory, tmp_path):
    for folder in (directory, tmp_path / "again"):
        adding = Results.open(folder)
        adding.add(**rows("aaa"))
        adding.add(**rows("aaa"))
        assert len(parts.names(folder)) == 1
    assert parts.names(directory) == parts.names(tmp_path / "again")
    # Not where another came between: the newest wins.
    adding.add(**rows("aaa", 0.5))
    adding.add(**rows("aaa"))
    assert look(tmp_path / "again") == {"aaa": 0.25}


def test_rows_of_no_run_are_no_part(directory):
    Results.open(directory).add(**{name: frame.iloc[:0] for name, frame in rows("aaa").items()})
    assert not directory.exists()


def test_what_is_aside_or_no_part_is_not_read(directory):
    fill(directory, "aaa", folded=False)
    (part,) = (directory / "parts").iterdir()
    (directory / "parts" / f".000002-{part.name.partition('-')[2]}.tmp").write_bytes(b"half")
    (directory / "parts" / "notes.txt").write_text("mine")
    (directory / "parts" / "000003-note.zip").write_bytes(b"")
    assert look(directory) == {"aaa": 0.25}
    Results.open(directory)
    assert {path.name for path in (directory / "parts").iterdir()} == {part.name, "notes.txt", "000003-note.zip"}


# -- labels ------------------------------------------------------------------------------------------------------------


def labels(directory):
    runs = Results.read(directory).runs
    return {row.run_id: (row.label, row.step_source) for row in runs.itertuples()}


@pytest.mark.parametrize("folded", [True, False])
def test_new_labels_are_a_part_and_no_table_is_written_again(directory, folded):
    fill(directory, "aaa", "bbb", folded=folded)
    before = tables_in(directory)
    adding = Results.open(directory)
    adding.relabel({"bbb": {"label": "nash-mp[eta=0.1]", "step_source": "given"}, "zzz": {"label": "not here"}})
    wanted = {"aaa": ("nash-mp", "theory"), "bbb": ("nash-mp[eta=0.1]", "given")}
    assert labels(directory) == wanted
    assert tables_in(directory) == before
    assert look(directory) == contents(adding) == {"aaa": 0.25, "bbb": 0.25}
    assert list(Results.read(directory).runs["run_id"]) == ["aaa", "bbb"]
    adding.compact()
    assert labels(directory) == wanted


def test_labels_that_are_there_are_no_part(directory):
    fill(directory, "aaa")
    Results.open(directory).relabel({"aaa": {"label": "nash-mp", "step_source": "theory"}, "zzz": {"label": "x"}})
    assert parts.names(directory) == []


def test_the_newest_label_counts_and_a_run_played_again_brings_its_own(directory):
    fill(directory, "aaa", "bbb")
    adding = Results.open(directory)
    for text in ("first", "second"):
        adding.relabel({run_id: {"label": text} for run_id in ("aaa", "bbb")})
    adding.add(**rows("bbb", 0.5))
    assert labels(directory) == {"aaa": ("second", "theory"), "bbb": ("nash-mp", "theory")}
    adding.compact()
    assert labels(directory) == {"aaa": ("second", "theory"), "bbb": ("nash-mp", "theory")}


# -- wherever it stops -------------------------------------------------------------------------------------------------


def story(directory):
    """A command that plays a run again, adds another, labels a third anew and ends: what is done, step by step."""
    adding = Results.open(directory)
    adding.begin({"seed": 1}, ["bbb", "ccc"], {})
    adding.relabel({"aaa": {"label": "anew"}})
    adding.add(**rows("bbb", 0.75))
    adding.add(**rows("ccc", 0.75))
    adding.compact()
    adding.manifest["finished"] = "2025-01-01T00:00:00+00:00"
    adding.flush()


def say(directory):
    """What a directory says of its runs: the value of each and its label."""
    if not (directory / "manifest.json").exists():
        return {}
    back = Results.read(directory)
    called = back.runs.set_index("run_id")["label"]
    return {run_id: (value, called[run_id]) for run_id, value in contents(back).items()}


def faults(directory):
    report = Report(directory)
    if (directory / "manifest.json").exists():
        check_files(directory, report)
    return report.faults


BEFORE = {"aaa": (0.25, "nash-mp"), "bbb": (0.5, "nash-mp")}
STAGES = [
    BEFORE,
    BEFORE | {"aaa": (0.25, "anew")},
    BEFORE | {"aaa": (0.25, "anew"), "bbb": (0.75, "nash-mp")},
    BEFORE | {"aaa": (0.25, "anew"), "bbb": (0.75, "nash-mp"), "ccc": (0.75, "nash-mp")},
]
FIRST = [{}, {"bbb": (0.75, "nash-mp")}, {"bbb": (0.75, "nash-mp"), "ccc": (0.75, "nash-mp")}]


@pytest.mark.parametrize(
    ("stages", "error"), [(FIRST, Died()), (STAGES, Died()), (STAGES, FULL)], ids=["new-killed", "killed", "full"]
)
def test_wherever_a_write_stops_nothing_is_lost_and_nothing_doubled(tmp_path, stages, error):
    """Everything that changes the disk fails once: what is said then is what was said before, or what comes next."""
    if stages[0]:
        fill(tmp_path / "template", "aaa", "bbb")
        fill(tmp_path / "template", "bbb", value=0.5, folded=False)
    reached, fail_at, done = 0, 0, False
    while not done:
        fail_at += 1
        directory = tmp_path / str(fail_at)
        if stages[0]:
            shutil.copytree(tmp_path / "template", directory)
        with pytest.MonkeyPatch.context() as patch:
            disk = Disk(patch, fail_at, error)
            try:
                story(directory)
                done = True
            except NashGamesError as sentence:
                assert isinstance(error, OSError)
                assert str(sentence).startswith(f"cannot write '{directory}': no space left on device; ")
            except BaseException as stopped:
                assert stopped is error
        said = say(directory)
        assert faults(directory) == [], "what is half done was not changed by others"
        assert reached <= stages.index(said) <= reached + 1
        reached = stages.index(said)
        # The same command again takes it to the end, and clears up.
        story(directory)
        assert say(directory) == stages[-1]
        assert faults(directory) == []
        assert all(len(accepted) == 1 for accepted in Results.read(directory).manifest["hashes"].values())
        manifest = json.loads((directory / "manifest.json").read_text(encoding="utf-8"))
        assert (manifest["experiment"], manifest["finished"] is None) == ({"seed": 1}, False)
        whole = {".lock", "manifest.json", *(f"{name}.parquet" for name in SCHEMAS)}
        assert {path.name for path in directory.iterdir()} == whole
    assert said == stages[-1]
    assert fail_at == disk.changes + 1, "each of these changes failed once"
    # The manifest, the parts, the manifest with both hashes of the tables, the tables, the parts in one go, and the
    # manifest with one hash of each and again when the command ends.
    names = [event.split()[1] for event in disk.events if event.startswith(("replace", "rename", "remove"))]
    added = [name for name in names if name.endswith(".zip")]
    tables = [f"{name}.parquet" for name in SCHEMAS]
    dropped = [".parts-folded"] * 2
    assert names == ["manifest.json", *added, "manifest.json", *tables, *dropped, "manifest.json", "manifest.json"]
    assert len(added) == len(stages) - 1


def test_a_disk_that_is_full_is_tried_again_with_the_same_rows(directory, monkeypatch):
    fill(directory, "aaa")
    adding = Results.open(directory)
    with monkeypatch.context() as patch:
        Disk(patch, 1, FULL)
        with pytest.raises(NashGamesError, match="no space left on device"):
            adding.add(**rows("bbb"))
    assert look(directory) == {"aaa": 0.25}
    assert adding.finished == {"aaa"}
    adding.add(**rows("bbb"))
    assert look(directory) == {"aaa": 0.25, "bbb": 0.25}


def test_what_ended_a_command_is_what_is_told(directory, monkeypatch):
    """Leaving a `with` block folds, and a failure of that does not hide the first."""
    fill(directory, "aaa")
    with pytest.raises(KeyboardInterrupt), Results.open(directory) as adding:
        adding.add(**rows("bbb"))
        raise KeyboardInterrupt
    assert parts.names(directory) == []
    assert pq.read_table(directory / "runs.parquet")["run_id"].to_pylist() == ["aaa", "bbb"]
    with pytest.raises(KeyboardInterrupt), Results.open(directory) as adding:
        adding.add(**rows("ccc"))
        Disk(monkeypatch, 1, FULL)
        raise KeyboardInterrupt
    assert look(directory) == dict.fromkeys(("aaa", "bbb", "ccc"), 0.25)


def test_folding_piece_by_piece_writes_what_is_written_of_all_at_once(directory, monkeypatch):
    # Groups end within a part, and parts within a group.
    monkeypatch.setattr(tables, "_GROUP", 3)
    fill(directory, "aaa", "bbb", "ccc")
    fill(directory, "bbb", "ddd", value=0.5, folded=False)
    Results.open(directory).relabel({"ccc": {"label": "another"}, "bbb": {"label": "third"}})
    fill(directory, "eee", "aaa", value=0.75, folded=False)
    together = snapshot.read_tables(directory)
    found = folding.fold(directory, "asked")
    assert {name: bytes(data) for name, data in found.files.items()} == {
        name: tables.to_parquet(table, "asked") for name, table in together.items()
    }
    assert found.rows == {name: table.num_rows for name, table in together.items()}
    assert found.rows["curves"] == 5 * POINTS
    assert found.runs == {"aaa", "bbb", "ccc", "ddd", "eee"}
    assert together["runs"]["label"].to_pylist() == ["another", "third", "nash-mp", "nash-mp", "nash-mp"]


def test_what_was_folded_is_read_as_it_was_also_when_others_have_folded_more(directory):
    mine = Results.open(directory)
    mine.add(**rows("aaa"))
    mine.compact()
    assert mine.points_of(["aaa"]) == POINTS and contents(mine) == {"aaa": 0.25}
    fill(directory, "bbb")
    later = Results.open(directory)
    later.add(**rows("ccc"))
    later.compact()
    fill(directory, "ddd")
    assert contents(later) == {"aaa": 0.25, "bbb": 0.25, "ccc": 0.25}
    assert look(directory).keys() == {"aaa", "bbb", "ccc", "ddd"}


def test_folding_nothing_does_nothing(directory):
    fill(directory, "aaa")
    before = {path: path.stat().st_ino for path in directory.iterdir()}
    Results.open(directory).compact()
    assert {path: path.stat().st_ino for path in directory.iterdir()} == before


def test_a_run_whose_rows_a_part_has_not_does_not_count(directory):
    fill(directory, "aaa")
    fill(directory, "aaa", "bbb", value=0.5, folded=False)
    name = parts.names(directory)[0]
    inside = parts._unpack(directory / "parts" / name, (directory / "parts" / name).read_bytes())
    repacked = io.BytesIO()
    with zipfile.ZipFile(repacked, "w") as archive:
        for table in inside.keys() - {"curves"}:
            archive.writestr(f"{table}.parquet", inside[table])
    (directory / "parts" / name).unlink()
    data = repacked.getvalue()
    (directory / "parts" / parts._name(1, data)).write_bytes(data)
    assert look(directory) == {"bbb": 0.5}


# -- damage ------------------------------------------------------------------------------------------------------------


def test_a_damaged_part_is_told_whatever_bit_it_is(directory):
    fill(directory, "aaa", folded=False)
    (part,) = (directory / "parts").iterdir()
    data = part.read_bytes()
    for place in range(0, len(data), 211):
        part.write_bytes(data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :])
        with pytest.raises(NashGamesError, match=rf"{part.name}' is damaged; delete it and start its command again"):
            Results.read(directory)
    part.unlink()
    fill(directory, "aaa")
    assert look(directory) == {"aaa": 0.25}


class _Bomb:
    def __reduce__(self):
        return (Path.mkdir, (Path("/nonexistent/bomb"),))


def deflated():
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("runs.parquet", b"0" * 10**6)
    return packed.getvalue()


def foreign():
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("runs.parquet", pickle.dumps(_Bomb()))
    return packed.getvalue()


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "is damaged or not a part; give another directory or delete this one"),
        (b"PK\x03\x04", "is damaged or not a part"),
        (pickle.dumps(_Bomb()), "is damaged or not a part"),
        (deflated(), "is damaged or not a part"),
        (foreign(), "is damaged or not Parquet"),
    ],
)
def test_a_part_of_somebody_else_under_a_right_name_is_told(directory, data, sentence):
    fill(directory, "aaa")
    (directory / "parts").mkdir()
    (directory / "parts" / parts._name(1, data)).write_bytes(data)
    with pytest.raises(NashGamesError) as caught:
        Results.read(directory)
    assert sentence in str(caught.value)


# -- several processes -------------------------------------------------------------------------------------------------

WRITER = """
import sys
from nashgames.store import Results
from tests.stored import rows
directory, me, value = sys.argv[1], sys.argv[2], float(sys.argv[3])
adding = Results.open(directory)
print("open", flush=True)
sys.stdin.readline()
adding.begin({"of": me}, [], {})
for number in range(12):
    adding.add(**rows(f"{me}-{number}", value))
    adding.add(**rows("same", value))
    if number % 4 == 3:
        adding.compact()
"""


def test_two_processes_add_different_runs_and_the_same_run_at_once(directory):
    """A third reads all the while: every state is whole, and nothing that was there goes away."""
    command = [sys.executable, "-u", "-c", WRITER, str(directory)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": Path(__file__).parents[1]}
    with (
        subprocess.Popen([*command, "one", "0.5"], **pipes) as one,
        subprocess.Popen([*command, "two", "0.75"], **pipes) as two,
    ):
        for process in (one, two):
            assert process.stdout.readline() == "open\n"
        for process in (one, two):
            process.stdin.write("go\n")
            process.stdin.flush()
        seen = set()
        while one.poll() is None or two.poll() is None:
            if (directory / "manifest.json").exists():
                found = contents(Results.read(directory))
                assert seen <= set(found)
                seen = set(found)
    assert (one.returncode, two.returncode) == (0, 0)
    found = look(directory)
    assert found.pop("same") in (0.5, 0.75)
    assert found == {f"{me}-{number}": value for me, value in (("one", 0.5), ("two", 0.75)) for number in range(12)}
    manifest = Results.read(directory).manifest
    asked = [*manifest["history"], manifest]
    assert sorted(entry["experiment"]["of"] for entry in asked) == ["one", "two"]


def test_two_that_found_no_directory_make_one(directory):
    first, second = Results.open(directory), Results.open(directory)
    first.add(**rows("aaa"))
    second.add(**rows("bbb", 0.5))
    assert look(directory) == {"aaa": 0.25, "bbb": 0.5}


def test_a_command_that_begins_in_the_same_empty_directory_leaves_no_foreign_files(directory, monkeypatch):
    directory.mkdir(parents=True)

    def begin(there):
        (there / "manifest.json").touch()
        return False

    monkeypatch.setattr(files, "has_results", begin)
    assert files.check_ours(directory)


def test_folding_takes_in_what_others_have_added_since_the_directory_was_opened(directory):
    fill(directory, "aaa")
    first, second = Results.open(directory), Results.open(directory)
    assert list(first.runs["run_id"]) == ["aaa"]
    second.add(**rows("bbb", 0.5))
    first.compact()
    assert look(directory) == contents(first) == {"aaa": 0.25, "bbb": 0.5}


def test_folding_what_another_has_folded_by_then_does_nothing(directory, monkeypatch):
    fill(directory, "aaa", folded=False)
    folding, locking, first = Results.open(directory), Results._locked, []

    def locked(self):
        if self is folding and not first:
            first.append(Results.open(directory).compact())
        return locking(self)

    monkeypatch.setattr(Results, "_locked", locked)
    folding.compact()
    assert first == [None]
    assert look(directory) == {"aaa": 0.25}


def test_reading_begins_again_where_a_table_was_replaced_meanwhile(directory, monkeypatch):
    """Curves are read before the fold, runs after it, and the part between them is gone: not one state but two."""
    fill(directory, "aaa", "bbb")
    read, calls = snapshot.read_bytes, []

    def reading(path):
        data = read(path)
        calls.append(path.name)
        if len(calls) == 2:
            fill(directory, "aaa", value=0.75)
        return data

    monkeypatch.setattr(snapshot, "read_bytes", reading)
    assert contents(Results.read(directory)) == {"aaa": 0.75, "bbb": 0.25}
    assert calls.count("curves.parquet") >= 2


def test_reading_begins_again_where_a_part_was_folded_meanwhile(directory, monkeypatch):
    fill(directory, "aaa", folded=False)
    names, calls = parts.names, []

    def listing(folder):
        found = names(folder)
        calls.append(found)
        if len(calls) == 1:
            Results.open(directory).compact()
        return found

    monkeypatch.setattr(parts, "names", listing)
    assert contents(Results.read(directory)) == {"aaa": 0.25}


def test_a_directory_that_is_never_at_rest_is_told(directory, monkeypatch):
    fill(directory, "aaa")
    stamps = iter(range(100))
    monkeypatch.setattr(snapshot, "_stamps", lambda directory: next(stamps))
    with pytest.raises(NashGamesError, match=r"is written all the time; wait for the commands that write it"):
        Results.read(directory)


def test_who_waits_too_long_for_another_is_told(directory, monkeypatch):
    fill(directory, "aaa")
    adding = Results.open(directory)
    monkeypatch.setattr(results, "_PATIENCE", 0.05)
    with FileLock(directory / ".lock"):
        with pytest.raises(NashGamesError, match=r"another nashgames command is writing '.*disc-1a2b'; wait for it or"):
            adding.add(**rows("bbb"))
        assert look(directory) == {"aaa": 0.25}, "readers need no lock"
    adding.add(**rows("bbb"))
    assert look(directory) == {"aaa": 0.25, "bbb": 0.25}


def test_the_lock_of_a_process_ends_with_it(directory):
    fill(directory, "aaa")
    code = "import sys; from filelock import FileLock; FileLock(sys.argv[1]).acquire(); print('held'); input()"
    with subprocess.Popen(
        [sys.executable, "-u", "-c", code, str(directory / ".lock")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as other:  # fmt: skip
        assert other.stdout.readline() == "held\n"
        other.kill()
        other.wait()
    fill(directory, "bbb")
    assert look(directory) == {"aaa": 0.25, "bbb": 0.25}


# -- the manifest of several -------------------------------------------------------------------------------------------


def test_what_one_says_of_its_experiment_does_not_undo_what_the_other_asked(directory):
    first, second = Results.open(directory), Results.open(directory)
    for adding, name in ((first, "first"), (second, "second")):
        adding.begin({"name": name}, [name], {"cores": 2})
        adding.add(**rows(name))
    first.manifest["counts"] = {"runs": 1}
    first.manifest["finished"] = "2025-01-01T00:00:00+00:00"
    first.flush()
    manifest = Results.read(directory).manifest
    assert (manifest["experiment"], manifest["finished"], manifest["counts"]) == ({"name": "second"}, None, {})
    assert [entry["experiment"] for entry in manifest["history"]] == [{"name": "first"}]
    second.manifest["counts"] = {"runs": 2}
    second.flush()
    assert Results.read(directory).manifest["counts"] == {"runs": 2}


def test_figures_and_the_end_of_the_same_experiment_are_both_kept(directory):
    fill(directory, "aaa")
    drawing, ending = Results.open(directory), Results.open(directory)
    ending.manifest["finished"] = "2025-01-01T00:00:00+00:00"
    ending.flush()
    drawing.manifest["figures"] = ["convergence.png"]
    drawing.flush()
    manifest = Results.read(directory).manifest
    assert (manifest["figures"], manifest["finished"]) == (["convergence.png"], "2025-01-01T00:00:00+00:00")
