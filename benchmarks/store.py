"""What adding a batch to a results directory costs, and whether that grows with what is there.

Batches of runs at 100 points and 100 actions are added one by one; the first ones and the last ones are compared within
one directory. The bytes are exact; the seconds are of a disk that others use too.
"""

import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from timing import machine, options, table, verdict

from nashgames.store import METRICS, Results

# A usual batch: the default number of recorded points and of actions.
POINTS, ACTIONS, RUNS = 100, 100, 8
NEAR = 5
"""Batches at either end whose median is taken: one alone measures the disk's mood."""


def main() -> None:
    parser = options(__doc__, repeats=100)
    count = parser.parse_args().repeats
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / "results"
        adding = Results.open(directory)
        adding.begin({"seed": 0}, [], {})
        adding.flush()
        costs = [cost(adding, number) for number in range(count)]
        first, last = (np.median(part, axis=0) for part in (costs[:NEAR], costs[-NEAR:]))
        whole = size(directory)
        began = time.perf_counter()
        adding.compact()
        folding = time.perf_counter() - began
        rows = [
            [what, f"{a:.4g}", f"{b:.4g}", f"{b / a:.2f}"]
            for what, a, b in zip(("CPU s", "wall s", "bytes written"), first, last, strict=True)
        ]
        print(f"{count} batches of {RUNS} runs, {POINTS} points and {ACTIONS} actions each")
        table(["a batch", f"first {NEAR}", f"last {NEAR}", "last / first"], rows)
        print(f"all parts {whole:,} bytes, folded in {folding:.2f} s into {size(directory):,} bytes")
        verdict("CPU seconds of the last batches over the first", last[0] / first[0], 2.0)
        verdict("bytes of the last batches over the first", last[2] / first[2], 1.01)


def cost(adding: Results, number: int) -> tuple[float, float, int]:
    """CPU seconds, wall seconds and bytes of one batch."""
    frames = batch(number)
    before, began, cpu = size(adding.directory), time.perf_counter(), used()
    adding.add(**frames)
    return used() - cpu, time.perf_counter() - began, size(adding.directory) - before


def used() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def size(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


def batch(number: int) -> dict[str, pd.DataFrame]:
    """Runs that converge, with numbers of their own."""
    rng = np.random.default_rng(number)
    ids = [f"{number:06d}{run:06d}" for run in range(RUNS)]
    key = {
        "game": "random-logits", "game_family": "random-logits", "game_parameters": "{}", "n": ACTIONS, "contexts": 1,
        "seed": number, "reference": "uniform", "solver": "nash-mp", "hyperparameters": '{"eta": 0.1}',
        "feedback": "exact", "policy": "tabular", "optimiser": "sgd", "start": "reference", "target": "regularised",
        "beta": 0.05, "dtype": "float64", "device": "cpu",
    }  # fmt: skip
    steps = np.tile(np.arange(POINTS), RUNS)
    curves = pd.DataFrame({"run_id": np.repeat(ids, POINTS), "step": steps, "queries": 2 * steps, "comparisons": 0})
    curves = curves.assign(**key, seconds=0.1 * steps, status="running", **{m: rng.random(len(steps)) for m in METRICS})
    runs = curves.groupby("run_id", as_index=False).last().assign(
        status="converged", selection="nash-mp[eta=0.1]", label="nash-mp", step_source="theory", role="reported",
        tuned=None, game_fingerprint=None, tolerance=1e-10, budget=1000, queries_to_tolerance=198, diverged_step=None,
        compile_seconds=1.0,
        solve_seconds=1.0, batch_size=RUNS, equilibrium_residual=1e-16, equilibrium_solves=7,
    )  # fmt: skip
    actions = np.tile(np.arange(ACTIONS), RUNS)
    logs = rng.standard_normal(len(actions))
    policies = pd.DataFrame({"run_id": np.repeat(ids, ACTIONS), "context": 0, "action": actions,
        "label": actions.astype(str), "probability": np.exp(logs), "log_probability": logs})  # fmt: skip
    return {"runs": runs, "curves": curves, "policies": policies}


if __name__ == "__main__":
    main()
