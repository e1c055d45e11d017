"""The tools that hold the line: format, lint, types, and what a wheel contains."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def run(*command: str, cwd: Path = ROOT, **environment: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=cwd, env=os.environ | environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("command", [("format", "--check"), ("check",)])
def test_ruff(command):
    run("ruff", *command, "nashgames", "cli", "tests", "benchmarks")


def test_types(tmp_path):
    # The terminal lives in cli/ and is imported as nashgames.cli: the checker sees the tree as it is installed.
    package = tmp_path / "nashgames"
    package.mkdir()
    for path in (ROOT / "nashgames").iterdir():
        (package / path.name).symlink_to(path)
    (package / "cli").symlink_to(ROOT / "cli")
    configuration = str(ROOT / "pyproject.toml")
    run(
        "mypy",
        "--config-file",
        configuration,
        "--cache-dir",
        str(ROOT / ".mypy_cache"),
        cwd=tmp_path,
        MYPYPATH=str(tmp_path),
    )


def test_a_wheel_has_every_module_and_data_file_and_no_top_level_package_but_ours(tmp_path):
    tree = tmp_path / "tree"
    for folder in ("nashgames", "cli"):
        shutil.copytree(ROOT / folder, tree / folder, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, tree)
    run("pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path), str(tree))
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {name.partition("/")[0] for name in names if ".dist-info" not in name} == {"nashgames"}
    wanted = {
        path.relative_to(ROOT).as_posix()
        for folder in ("nashgames", "cli")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and not re.search(r"/(__pycache__|\.)", f"/{path.relative_to(ROOT).as_posix()}")
    }
    assert {name.replace("cli/", "nashgames/cli/", 1) if name.startswith("cli/") else name for name in wanted} <= names
