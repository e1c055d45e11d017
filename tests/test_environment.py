"""What the manifest says of the machine and the code: true, complete, and without the machine's paths."""

import json
import platform
import re
import shlex
import shutil
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import numpy
import pytest

from nashgames import environment as module
from nashgames.environment import PACKAGES, checkout, command, environment

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def git(folder, *arguments):
    identity = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", "-C", folder, *identity, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package in a fresh git repository, not yet added."""
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "checkout" / "package"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    git(folder.parent, "init", "-q")
    return folder


def test_it_names_versions_machine_command_and_time():
    found = environment(["run", "castles"])
    assert found["versions"].keys() == {"python", *PACKAGES}
    assert found["versions"]["python"] == platform.python_version()
    assert found["versions"]["numpy"] == numpy.__version__
    assert found["cores"] >= 1
    listing = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*:\s*(.*\S)", listing.read_text()) if listing.exists() else []
    assert found["cpu"] in (names or [platform.processor() or platform.machine(), found["cpu"].strip()])
    assert found["platform"].startswith(f"{platform.system()} {platform.machine()}")
    assert platform.release() not in found["platform"]
    assert found["command"] == "nashgames run castles"
    assert datetime.fromisoformat(found["started"]).utcoffset() == timedelta(0)
    assert json.loads(json.dumps(found)) == found


def test_it_names_the_variables_that_bits_depend_on(monkeypatch):
    for name in module.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    assert environment([])["variables"] == {}
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false --xla_dump_to=/secret/place")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("MKL_NUM_THREADS", "")
    assert environment([])["variables"] == {
        "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false --xla_dump_to=place",
        "OMP_NUM_THREADS": "1",
    }


def test_no_absolute_path_of_the_machine_is_kept(monkeypatch, tmp_path):
    monkeypatch.setattr(
        sys, "argv", [str(tmp_path / "bin" / "nashgames"), "run", str(tmp_path / "wins.csv"), "--out=/a/b"]
    )
    text = json.dumps(environment())
    assert '"nashgames run wins.csv --out=b"' in text
    for secret in (tmp_path, Path.home(), Path.cwd(), Path(sys.prefix), Path(module.__file__).parent):
        assert secret == Path("/") or str(secret) not in text
    assert not re.search(r'["= \[](/|[A-Za-z]:\\)', text)


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["/usr/local/bin/nashgames", "run"], "nashgames run"),
        (["/usr/lib/python3/nashgames/__main__.py", "sweep"], "nashgames sweep"),
        ([""], "nashgames"),
        ([], "nashgames"),
        (
            ["nashgames", "run", "disc[strength=2]", "-s", "two words"],
            "nashgames run 'disc[strength=2]' -s 'two words'",
        ),
        (["nashgames", "run", "data/wins.csv"], "nashgames run data/wins.csv"),
        (["nashgames", "run", "/secret/wins.csv[symmetrise=true]"], "nashgames run 'wins.csv[symmetrise=true]'"),
        (["nashgames", "run", "--game=a,/secret/x.npy,b"], "nashgames run --game=a,x.npy,b"),
        (["nashgames", "-o/secret/out/"], "nashgames -oout"),
        (["nashgames", "average[/secret/solver]"], "nashgames 'average[solver]'"),
        (["nashgames", "C:\\secret\\x.csv"], "nashgames x.csv"),
        (["nashgames", "/"], "nashgames ."),
        (["nashgames", "https://example.org/x"], "nashgames https://example.org/x"),
    ],
)
def test_the_command_line_can_be_typed_again(argv, line):
    assert command(argv) == line
    assert len(shlex.split(line)) == max(1, len(argv))


def test_a_path_below_the_current_folder_becomes_relative(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert command(["nashgames", "--out", str(tmp_path / "a" / "b"), f"--x={tmp_path}"]) == "nashgames --out a/b --x=."


def test_a_current_folder_that_is_gone_is_no_failure(monkeypatch, tmp_path):
    def gone() -> Path:
        raise FileNotFoundError

    monkeypatch.setattr(module.Path, "cwd", gone)
    assert command(["nashgames", str(tmp_path / "x.csv")]) == "nashgames x.csv"


def test_a_package_that_is_not_installed_has_no_version(monkeypatch):
    monkeypatch.setattr(module, "PACKAGES", ("numpy", "no-such-package-at-all"))
    versions = environment([])["versions"]
    assert versions["no-such-package-at-all"] is None
    assert versions["numpy"] == numpy.__version__


@needs_git
def test_the_commit_and_whether_tracked_files_differ_from_it(package):
    assert checkout(package) is None
    git(package, "add", "__init__.py")
    assert checkout(package) is None, "nothing is committed yet"
    git(package, "commit", "-q", "-m", "first")
    commit = git(package, "rev-parse", "HEAD")
    assert checkout(package) == {"commit": commit, "dirty": False}
    (package / "untracked.txt").write_text("results do not make code dirty")
    assert checkout(package) == {"commit": commit, "dirty": False}
    (package / "__init__.py").write_text("changed = True\n")
    assert checkout(package) == {"commit": commit, "dirty": True}


@needs_git
def test_a_package_inside_somebody_else_s_repository_has_no_commit(package):
    (package.parent / "thesis.tex").write_text("")
    git(package.parent, "add", "thesis.tex")
    git(package.parent, "commit", "-q", "-m", "thesis")
    assert checkout(package) is None


@needs_git
def test_a_git_hook_s_variables_do_not_mislead(package, monkeypatch, tmp_path):
    git(package, "add", "__init__.py")
    git(package, "commit", "-q", "-m", "first")
    before = checkout(package)
    assert before is not None
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    assert checkout(package) == before


@needs_git
def test_the_commit_is_that_of_the_package(package, monkeypatch):
    git(package, "add", "__init__.py")
    git(package, "commit", "-q", "-m", "first")
    monkeypatch.setattr(module, "_PACKAGE", package)
    assert environment([])["git"] == {"commit": git(package, "rev-parse", "HEAD"), "dirty": False}


def test_without_git_or_a_checkout_there_is_no_commit(monkeypatch, tmp_path):
    (tmp_path / "__init__.py").write_text("")
    assert checkout(tmp_path) is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert checkout(Path(module.__file__).parent) is None
    assert environment([])["git"] is None


def test_a_git_that_hangs_is_no_failure(monkeypatch, tmp_path):
    def hang(arguments, **options):
        raise subprocess.TimeoutExpired(arguments, options["timeout"])

    monkeypatch.setattr(module.subprocess, "run", hang)
    assert checkout(tmp_path) is None
