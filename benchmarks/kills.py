"""A sweep killed at random moments until it is finished: what is lost, repeated, or other than undisturbed.

`python benchmarks/kills.py [KILLS [QUERIES]]` prints committed runs that were lost or played again, the computing that
a kill costs, and whether the final tables have the bits of an undisturbed sweep. Half of the kills are SIGKILL, half
SIGTERM.
"""

import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from nashgames.store import Results

GRID = [
    "sweep", "--game", "random-logits,disc,bradley-terry,uniform", "--actions", "5,8,11,14,17", "--beta", "0.1,0.03",
    "--solver", "nash-mp,mirror-descent[step=0.01]", "--seeds", "3", "--tolerance", "0", "--no-plot", "--quiet",
]  # fmt: skip
# Of every run; sweeps with fewer take less, down to the start of a process.
QUERIES = sys.argv[2] if len(sys.argv) > 2 else "30000"
TIMES = ["seconds", "compile_seconds", "solve_seconds"]
TABLES = ("runs", "curves", "policies")
# The moments are drawn, and the same in every run of this script.
DRAWN = random.Random(0)


def start(out: Path) -> subprocess.Popen[bytes]:
    """The sweep into a directory, as a process of its own."""
    command = [sys.executable, "-m", "nashgames", *GRID, "--queries", QUERIES, "--out", str(out)]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL)


def timeless(out: Path, name: str) -> pd.DataFrame:
    """A table in one order, without how long things took."""
    frame = getattr(Results.read(out), name)
    keys = [key for key in ("run_id", "step", "context", "action") if key in frame]
    return frame.drop(columns=TIMES, errors="ignore").sort_values(keys, ignore_index=True)


def committed(out: Path) -> dict[str, float]:
    """The runs that are on disk, each with the time it took, which no second play has to the bit."""
    if not (out / "manifest.json").exists():
        return {}
    runs = Results.read(out).runs
    return dict(zip(runs["run_id"], runs["solve_seconds"], strict=True))


def main(kills: int) -> None:
    """Kill the sweep so often, start it anew whenever it is finished, and print what came of it."""
    with tempfile.TemporaryDirectory() as folder:
        # Compiled programs are kept: not before the second time is a sweep like those that follow.
        start(Path(folder) / "first").wait()
        whole, began = Path(folder) / "whole", time.monotonic()
        start(whole).wait()
        undisturbed = time.monotonic() - began
        lost = repeated = done = 0
        spent, sweeps, equal = 0.0, 0, 0
        while done < kills:
            out, sweeps = Path(folder) / f"killed-{sweeps}", sweeps + 1
            while True:
                before, began = committed(out), time.monotonic()
                process = start(out)
                try:
                    ended = process.wait(timeout=DRAWN.uniform(0.1, 0.8) * undisturbed if done < kills else None)
                except subprocess.TimeoutExpired:
                    process.send_signal(DRAWN.choice([signal.SIGKILL, signal.SIGTERM]))
                    ended, done = process.wait(), done + 1
                spent += time.monotonic() - began
                after = committed(out)
                lost += len(before.keys() - after.keys())
                repeated += sum(after[run_id] != took for run_id, took in before.items() if run_id in after)
                if ended == 0:
                    break
            equal += all(timeless(out, name).equals(timeless(whole, name)) for name in TABLES)
    print(f"{done} kills in {sweeps} sweeps of {len(after)} runs, {undisturbed:.1f} s undisturbed")
    print(f"committed runs lost: {lost}")
    print(f"committed runs played again: {repeated}")
    print(f"computing a kill costs, with a new start: {(spent - sweeps * undisturbed) / done:.1f} s")
    print(f"sweeps with the bits of the undisturbed one: {equal} of {sweeps}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
