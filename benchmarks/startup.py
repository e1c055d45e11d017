"""What a person waits for: whole commands in fresh processes, cold and with compiled programs kept.

Each command runs as installed, with its figures, in an empty folder; the sides take turns and the median counts.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from timing import machine, middle, options, table, verdict

TARGETS = {"help": 0.3, "run, cold": 4.0, "run, compiled": 3.5, "castles": 60.0, "sweep": 60.0}
"""Seconds."""


def main() -> None:
    parser = options(__doc__, repeats=3)
    parser.add_argument("--quick", action="store_true", help="leave out castles and the sweep")
    arguments = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder) / "kept"
        program = str(Path(sys.executable).with_name("nashgames"))
        sides: dict[str, Callable[[], None]] = {
            "help": partial(command, [program, "--help"], kept),
            "run, cold": partial(command, [program, "run"], None),
            "run, compiled": partial(command, [program, "run"], kept),
        }
        # Once before anything is counted: files are read and compiled programs kept.
        command([program, "--help"], kept)
        command([program, "run"], kept)
        seconds = middle(sides, arguments.repeats, warm=False)
        if not arguments.quick:
            rare = {
                "castles": partial(command, [program, "run", "castles", "--beta", "0.01"], None),
                "sweep": partial(command, [program, "sweep"], None),
            }
            seconds |= middle(rare, 1, warm=False)
    table(("command", "seconds", "target"), [(name, taken, TARGETS[name]) for name, taken in seconds.items()])
    print(f"--help imports jax: {'yes' if imports_jax() else 'no'}")
    for name, taken in seconds.items():
        verdict(f"{name}, seconds over {TARGETS[name]:g}", taken / TARGETS[name], 1)


def command(words: list[str], cache: Path | None) -> None:
    """Run a command to its end in an empty folder; compiled programs go to `cache`, an empty one if None."""
    with tempfile.TemporaryDirectory() as folder:
        variables = os.environ | {"NASHGAMES_CACHE": str(cache or Path(folder) / "cache")}
        done = subprocess.run(words, cwd=folder, env=variables, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} ended with {done.returncode}: {done.stderr.strip()}")


def imports_jax() -> bool:
    """Whether `nashgames --help` imports JAX."""
    code = (
        "import sys; sys.argv = ['nashgames', '--help']\n"
        "from nashgames.cli.main import app\n"
        "try: app()\n"
        "except SystemExit: print('jax' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stderr.split()[-1] == "True"


if __name__ == "__main__":
    main()
