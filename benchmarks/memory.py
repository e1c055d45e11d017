"""Peak memory of a whole run beside the matrix, each in a fresh process, and what a refused game costs.

The peak is the largest resident set that the process reports at its end, and the largest that was seen from outside.
"""

import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
from timing import machine, options, table, verdict

from nashgames.errors import NashGamesError
from nashgames.experiments.experiment import Experiment

LIMIT = 0.7
"""GB that a run may need beside its margins."""


def main() -> None:
    parser = options(__doc__, repeats=1)
    parser.add_argument("--actions", type=int, nargs="+", default=[4096, 10_000, 16_384])
    parser.add_argument("--queries", type=int, default=40, help="budget of every run")
    parser.add_argument("--child", nargs=3, help="(used by the script itself) actions, dtype, queries")
    arguments = parser.parse_args()
    if arguments.child:
        return play(int(arguments.child[0]), arguments.child[1], int(arguments.child[2]))
    print(machine())
    baseline = watch(100, "float64", arguments.queries)["peak"]
    rows = []
    for actions in arguments.actions:
        for dtype in ("float32", "float64"):
            found = max((watch(actions, dtype, arguments.queries) for _ in range(arguments.repeats)), key=peak_of)
            matrix = actions**2 * np.dtype(dtype).itemsize / 1e9
            rows.append(
                (actions, dtype, matrix, found["peak"], found["seen"], found["peak"] - matrix, found["seconds"])
            )
            if found["refused"]:
                print(f"refused: {found['refused']}")
    print(f"a game of 100 actions needs {baseline:.2f} GB in all")
    table(("actions", "dtype", "matrix GB", "peak GB", "seen GB", "beside GB", "seconds"), rows)
    verdict("GB beside the matrix, the largest", max(row[5] for row in rows), LIMIT)
    too_many = int(math.sqrt(2 * psutil.virtual_memory().total / 8))
    refused = watch(too_many, "float64", arguments.queries)
    print(f"\n{too_many:,} actions: {refused['refused'] or 'NOT refused'}")
    verdict("GB of the refused run, before its sentence", refused["peak"], LIMIT)
    return None


def peak_of(found: dict) -> float:
    return found["peak"]


def watch(actions: int, dtype: str, queries: int) -> dict:
    """What a fresh process says of itself, and the largest resident set seen from here."""
    command = [sys.executable, __file__, "--child", str(actions), dtype, str(queries)]
    began, seen = time.perf_counter(), 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        watched = psutil.Process(process.pid)
        while process.poll() is None:
            try:
                seen = max(seen, watched.memory_info().rss)
            except psutil.NoSuchProcess:
                break
            time.sleep(0.01)
        text = process.stdout.read() if process.stdout else ""
    if process.returncode:
        raise SystemExit(f"the run of {actions} actions in {dtype} ended with {process.returncode}")
    return json.loads(text.splitlines()[-1]) | {"seen": seen / 1e9, "seconds": time.perf_counter() - began}


def play(actions: int, dtype: str, queries: int) -> None:
    """The run itself, the default solvers on random logits; the last line is its peak in GB."""
    from nashgames.experiments.runner import execute

    refused = ""
    with tempfile.TemporaryDirectory() as folder:
        experiment = Experiment(actions=(actions,), queries=queries, dtype=dtype)
        try:
            for _ in execute(experiment, Path(folder) / "run"):
                pass
        except NashGamesError as error:
            refused = str(error)
    # Kilobytes on Linux, bytes on a Mac.
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
    print(json.dumps({"peak": peak, "refused": refused}))


if __name__ == "__main__":
    main()
