"""How much faster two workers play a sweep than one, on runs that keep one core busy each.

`python benchmarks/workers.py [SEEDS]` plays the same sweep into new directories with one and with two workers, in turn
and three times, each with a thread of its own for XLA, and prints the ratio of the least wall times. The seconds that
Dask and its workers take to start are in both. It says something only on two cores that do nothing else.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from timing import machine, table, verdict

GRID = [
    "sweep", "--game", "random-logits", "--actions", "100", "--beta", "0.1,0.05,0.02,0.01", "--solver",
    "nash-mp,mirror-descent,nash-prox,online-ipo", "--queries", "40000", "--tolerance", "0", "--no-plot", "--quiet",
]  # fmt: skip
# Else one run already uses both cores.
ALONE = {"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false", "OMP_NUM_THREADS": "1"}
# The least of three leaves out what else the machine did; 1.7 is what is wanted of two workers.
TIMES, LEAST = 3, 1.7


def seconds(workers: int, seeds: str, out: Path) -> float:
    """Wall seconds of the sweep with so many workers."""
    command = [sys.executable, "-m", "nashgames", *GRID, "--seeds", seeds, "--workers", str(workers), "--out", str(out)]
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=os.environ | ALONE)
    return time.perf_counter() - began


def main(seeds: str) -> None:
    """Play the sweep in turn, and print the ratio."""
    print(machine())
    taken: dict[int, list[float]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as folder:
        # Compiled programs are kept: not before the second time is a sweep like those that follow.
        seconds(1, seeds, Path(folder) / "first")
        for number in range(TIMES):
            for workers, found in taken.items():
                found.append(seconds(workers, seeds, Path(folder) / f"{workers}-{number}"))
    table(("workers", "seconds"), [(workers, round(min(found), 1)) for workers, found in taken.items()])
    verdict("two workers over one", min(taken[1]) / min(taken[2]), LEAST, at_least=True)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "40")
