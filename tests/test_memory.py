"""The memory that a process may still use: the least of the machine's, its cgroups' and the shell's limits."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from nashgames import memory
from nashgames.errors import NashGamesError
from nashgames.memory import Room, check_memory, check_start, room

GB = 10**9
CODE = "from nashgames.memory import room; found = room(); print(found.free, found.limit)"


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    """A machine that has 16 GB free."""
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"available": 16 * GB})())


def system(root: Path, groups: str, **files: dict[str, object]) -> Path:
    """Files of the kernel below `root`: /proc/self/cgroup, and of every group its files."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(groups)
    for group, contents in files.items():
        folder = root / "sys/fs/cgroup" / group
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in contents.items():
            (folder / name.replace("_", ".", 1)).write_text(f"{text}\n")
    return root


def unified(limit, used, cache=0):
    return {"memory_max": limit, "memory_current": used, "memory_stat": f"anon 7\ninactive_file {cache}\nactive_file 9"}


def first(limit, used, cache=0):
    stat = f"cache 1\ninactive_file 5\ntotal_inactive_file {cache}"
    return {"memory_limit_in_bytes": limit, "memory_usage_in_bytes": used, "memory_stat": stat}


V2, V1 = "0::/slurm/job\n", "9:name=systemd:/\n4:memory:/slurm/job\n3:cpu,cpuacct:/other\n0::/\n"
HYBRID = "4:cpu:/\n0::/slurm/job\n"


@pytest.mark.parametrize(
    ("groups", "files", "free", "limit"),
    [
        (V2, {}, 16 * GB, ""),
        (V2, {"slurm/job": unified("max", GB)}, 16 * GB, ""),
        (V2, {"slurm/job": unified(15 * 10**8, 5 * 10**8)}, GB, "a cgroup allows 1.5 GB"),
        # The cache of files is given back when it is asked for.
        (V2, {"slurm/job": unified(2 * GB, 2 * GB, 3 * 10**8)}, 3 * 10**8, "a cgroup allows 2 GB"),
        (V2, {"slurm/job": unified(2 * GB, 3 * GB)}, 0, "a cgroup allows 2 GB"),
        # A limit of a group above counts too, and so does one of the root, which a container has.
        (V2, {"slurm/job": unified(9 * GB, 0), "slurm": unified(3 * GB, GB)}, 2 * GB, "a cgroup allows 3 GB"),
        (V2, {"slurm/job": unified("max", 0), "": unified(4 * GB, GB)}, 3 * GB, "a cgroup allows 4 GB"),
        ("0::/../../job\n", {"": unified(4 * GB, GB), "job": unified(GB, 0)}, 3 * GB, "a cgroup allows 4 GB"),
        ("0::/host/path\n", {"": unified(4 * GB, GB)}, 3 * GB, "a cgroup allows 4 GB"),
        (HYBRID, {"unified/slurm/job": unified(5 * GB, GB)}, 4 * GB, "a cgroup allows 5 GB"),
        (V1, {"memory/slurm/job": first(9223372036854771712, GB)}, 16 * GB, ""),
        (V1, {"memory/slurm/job": first(2 * GB, GB, 10**8)}, 11 * 10**8, "a cgroup allows 2 GB"),
        (V1, {"memory/slurm": first(2 * GB, GB)}, GB, "a cgroup allows 2 GB"),
        (V1, {"memory": first(2 * GB, GB)}, GB, "a cgroup allows 2 GB"),
        # A limit above what the machine has is none.
        (V2, {"slurm/job": unified(64 * GB, GB)}, 16 * GB, ""),
    ],
)
def test_the_limit_that_applies_is_the_least(tmp_path, groups, files, free, limit):
    assert room(system(tmp_path, groups, **files)) == Room(free, limit)


def test_a_system_without_cgroups_has_the_machine_s_memory(tmp_path):
    assert room(tmp_path) == Room(16 * GB)


def test_the_sentence_names_the_limit_and_what_to_do():
    with pytest.raises(NashGamesError, match=r"^it needs 2 GB of memory and 1 GB is free; use fewer actions, or use a"):
        check_memory(2 * GB, "it", Room(GB))
    said = r"needs 2 GB of memory and 1 GB is free \(a cgroup allows 1.5 GB\); use fewer actions, or allow more memory$"
    with pytest.raises(NashGamesError, match=said):
        check_memory(2 * GB, "it", Room(GB, "a cgroup allows 1.5 GB"))
    check_memory(GB, "it", Room(GB))


def limited(flag: str, size: int, *command: str) -> subprocess.CompletedProcess:
    """A command below a limit of the shell, which counts in units of 1024 bytes."""
    line = f'ulimit {flag} {size // 1024} && exec "$@"'
    return subprocess.run(["sh", "-c", line, "sh", *command], capture_output=True, text=True, timeout=300)


needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="other systems do not hold these limits")


@needs_linux
@pytest.mark.parametrize("flag", ["-v", "-d"])
def test_what_the_shell_allows_counts_less_what_is_used(flag):
    free, limit = limited(flag, 400_000_000, sys.executable, "-c", CODE).stdout.split(" ", 1)
    assert limit.strip() == f"ulimit {flag} allows 400 MB"
    # Python itself takes some of it.
    assert 100_000_000 < int(free) < 399_000_000


@needs_linux
def test_a_command_that_has_too_few_addresses_says_so_before_anything_fails(tmp_path):
    command = [sys.executable, "-m", "nashgames", "run", "-n", "100", "--out", str(tmp_path / "out"), "--no-plot"]
    done = limited("-v", GB, *command)
    assert done.returncode == 2
    assert done.stderr == (
        "error: ulimit -v allows 1 GB of addresses and a command maps 2 GB before its first game, most of which it "
        "never uses; allow more, or limit what is used, by a cgroup\n"
    )
    check_start()


def own_groups():
    """Where a group below this process's own could be made, and the file with its limit, of either version."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        number, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            yield Path("/sys/fs/cgroup/memory") / path.strip("/"), "memory.limit_in_bytes"
        elif number == "0":
            yield Path("/sys/fs/cgroup") / path.strip("/"), "memory.max"


@contextlib.contextmanager
def cgroup(size: int):
    """A group of that size below this process's own; the test is skipped where none may be made."""
    for parent, name in own_groups() if sys.platform == "linux" else ():
        group = parent / f"nashgames-test-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            (group / name).write_text(str(size))
            yield group
            return
        except OSError:
            # Version 2 gives a group no limit while its parent has processes of its own.
            continue
        finally:
            group.rmdir()
    pytest.skip("this machine lets nobody make a cgroup with a limit here")


def test_a_real_cgroup_is_seen_and_a_game_that_does_not_fit_is_refused_and_not_killed(tmp_path):
    enter = "import os, pathlib, sys; pathlib.Path(sys.argv[1]).write_text(str(os.getpid())); "
    with cgroup(1_500_000_000) as group:
        inside = [sys.executable, "-c", enter + CODE, str(group / "cgroup.procs")]
        done = subprocess.run(inside, capture_output=True, text=True, check=True)
        free, limit = done.stdout.split(" ", 1)
        # Limits are whole pages.
        assert limit.strip() == "a cgroup allows 1.5 GB"
        assert 1_300_000_000 < int(free) <= 1_500_000_000
        start = "from nashgames.cli.main import app; del sys.argv[1]; app()"
        out = tmp_path / "out"
        done = subprocess.run(
            [sys.executable, "-c", enter + start, str(group / "cgroup.procs"), "sweep", "--game", "random-logits",
             "--actions", "100,200,14000", "-s", "nash-mp", "--queries", "20", "--no-plot", "--out", str(out)],
            capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 2, done.stderr
        assert "a game of 14,000 actions in float64 needs 1.57 GB of memory" in done.stderr
        assert "(a cgroup allows 1.5 GB)" in done.stderr
        assert not out.exists()


def test_what_fails_where_no_memory_is_left_is_said_to_do_so(monkeypatch):
    from nashgames.cli import failures

    monkeypatch.setattr(memory, "room", lambda: Room(12_000_000, "a cgroup allows 1 GB"))
    sentence, code = failures.explain(ImportError("failed to map\nsegment"))
    assert sentence.startswith(
        "there is not enough memory (ImportError: failed to map segment), 12 MB is free (a cgroup allows 1 GB)"
    )
    assert code == failures.FAILED
