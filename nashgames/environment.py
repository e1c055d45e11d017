"""What a result was computed with: versions, machine, git commit, command line. Standard library only."""

import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("nashgames", "jax", "jaxlib", "numpy", "scipy", "pandas", "pyarrow", "matplotlib", "numba")

VARIABLES = (
    "XLA_FLAGS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NPROC",
)
"""Variables on which last digits may depend: the compiler's flags, and how many threads share a sum (NPROC: XLA's). The
settings of JAX for the precision of arrays and products do not count: `core.precision` sets them for every run."""

_PACKAGE = Path(__file__).resolve().parent
_ABSOLUTE = re.compile(r"(^(?:-\w)?|[=,\[(\s'\"])((?:[A-Za-z]:[\\/]|[\\/])[^,\[\]=)'\"]*)")


def environment(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """What is needed to compute a result again; nothing heavy is imported, no absolute path of the machine is kept.

    `arguments` are those behind `nashgames`; without them the command line is this process's. Keys: `versions`
    (None for what is not installed), `platform`, `cpu`, `cores` (that this process may use), `variables`
    (those of `VARIABLES` that are set), `git` (`commit` and
    `dirty`, or None outside a checkout), `command`, `started` (UTC).
    """
    return {
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES},
        "platform": " ".join([platform.system(), platform.machine(), *filter(None, platform.libc_ver())]),
        "cpu": _cpu(),
        "cores": _cores(),
        "variables": _variables(),
        "git": checkout(_PACKAGE),
        "command": command(["nashgames", *arguments] if arguments is not None else sys.argv),
        "started": now(),
    }


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def command(argv: Sequence[str]) -> str:
    """A command line to read and type again: the program without its folder, absolute paths shortened.

    A path below the current folder becomes relative, any other absolute path its last part.
    """
    program = Path(argv[0]).name if argv else ""
    if program in ("", "__main__.py"):
        program = "nashgames"
    return shlex.join([program, *(_ABSOLUTE.sub(_shortened, argument) for argument in argv[1:])])


def checkout(package: Path) -> dict[str, Any] | None:
    """Commit and dirty flag of the git checkout that tracks `package`; None where there is none to tell.

    `dirty` says whether a tracked file of the checkout differs from the commit.
    """
    # A virtual environment inside somebody's own repository is no checkout of this package: it must be tracked there.
    if _git(package, "ls-files", "--error-unmatch", "--", "__init__.py") is None:
        return None
    status = _git(package, "status", "--porcelain=v2", "--branch", "--untracked-files=no")
    found = re.search(r"^# branch\.oid ([0-9a-f]{40,64})$", status or "", re.MULTILINE)
    if status is None or found is None:
        return None
    return {"commit": found.group(1), "dirty": any(not line.startswith("#") for line in status.splitlines())}


def _git(folder: Path, *arguments: str) -> str | None:
    # Inside a git hook GIT_DIR and its kin point at another repository.
    variables = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    return _output(["git", "--no-optional-locks", "-C", str(folder), *arguments], variables | {"LC_ALL": "C"})


def _output(arguments: list[str], variables: dict[str, str] | None = None) -> str | None:
    """What a program prints; None where it is not installed, fails or hangs."""
    try:
        done = subprocess.run(arguments, env=variables, stdin=subprocess.DEVNULL, capture_output=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode(errors="replace") if done.returncode == 0 else None


def _shortened(found: re.Match[str]) -> str:
    before, text = found.groups()
    try:
        return before + str(Path(text).relative_to(Path.cwd()))
    except (OSError, ValueError):  # not below the current folder, or that folder is gone
        return before + (re.split(r"[\\/]", text.rstrip("\\/"))[-1] or ".")


@cache
def _version(package: str) -> str | None:
    # Installed packages stay what they are while a process runs; all of them take 8 ms to look up.
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _cpu() -> str:
    """The processor's name, as well as the system tells it."""
    if sys.platform == "darwin":
        name = _output(["sysctl", "-n", "machdep.cpu.brand_string"]) or ""
    elif sys.platform == "linux":
        listing = Path("/proc/cpuinfo")
        text = listing.read_text(errors="replace") if os.access(listing, os.R_OK) else ""
        name = "".join(re.findall(r"^model name\s*:(.*)$", text, re.MULTILINE)[:1])
    else:
        name = platform.processor()
    return name.strip() or platform.machine() or "unknown"


def _variables() -> dict[str, str]:
    # A flag may name a folder of the machine, as that to which XLA writes its programs.
    return {name: _ABSOLUTE.sub(_shortened, os.environ[name]) for name in VARIABLES if os.environ.get(name)}


def _cores() -> int:
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
