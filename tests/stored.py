"""Rows for results directories, what a directory says of them, and a disk that fails where it is told to."""

import functools
import os
import shutil
from pathlib import Path

import pandas as pd

from nashgames.core.metrics import OF_SEQUENCES
from nashgames.store import CERTIFICATE_COLUMNS, ESTIMATE_COLUMNS, METRICS, SCHEMAS, Results

POINTS, ACTIONS = 4, 3


def rows(run_id, value=0.25):
    """A run with all its rows, `value` in each table so that rows of two versions of it cannot be mixed unseen."""
    return {name: frame.copy() for name, frame in _rows(run_id, value).items()}


@functools.cache
def _rows(run_id, value):
    key = {"run_id": run_id, "game": "disc[strength=2]", "game_family": "disc", "game_parameters": '{"strength": 2.0}'}
    key |= {"n": ACTIONS, "contexts": 1, "seed": 0, "reference": "uniform", "solver": "nash-mp"}
    key |= {"hyperparameters": '{"eta": 0.1}', "feedback": "exact", "policy": "tabular", "optimiser": "sgd"}
    key |= {"start": "reference", "target": "regularised", "beta": 0.05, "dtype": "float64", "device": "cpu"}
    key |= {"storage": "dense"}
    points = [
        {"step": step, "queries": 2 * step, "comparisons": 0, "seconds": 0.5 * step, "status": "running"}
        | dict.fromkeys((*METRICS, *OF_SEQUENCES, *ESTIMATE_COLUMNS), value)
        for step in range(POINTS)
    ]
    points[-1]["status"] = "converged"
    run = {
        "selection": "nash-mp[eta=0.1]",
        "label": "nash-mp",
        "step_source": "theory",
        "role": "reported",
        "tuned": None,
        "game_fingerprint": None,
        "tolerance": 1e-10,
    }
    run |= {"budget": 100, "queries_to_tolerance": 6, "diverged_step": None, "compile_seconds": 0.1}
    run |= {"solve_seconds": 0.2, "batch_size": 1, "equilibrium_residual": 1e-16, "equilibrium_solves": 7}
    policy = [
        {"run_id": run_id, "context": 0, "action": i, "label": str(i), "probability": value, "log_probability": -1.0}
        for i in range(ACTIONS)
    ]
    return {
        "runs": pd.DataFrame([key | run | points[-1]]),
        "curves": pd.DataFrame([key | point for point in points]),
        "policies": pd.DataFrame(policy),
        "paths": pd.DataFrame(policy)
        .drop(columns="log_probability")
        .assign(step=0, reference_probability=0.5, equilibrium_probability=None),
        "certificates": pd.DataFrame([dict.fromkeys(CERTIFICATE_COLUMNS, value) | {"run_id": run_id, "support": 2}]),
    }


def fill(directory, *run_ids, value=0.25, folded=True):
    """A directory with these runs, in a part each, or all of them in the tables as a command leaves it."""
    results = Results.open(directory)
    results.begin({"seed": 0}, run_ids, {"cores": 2})
    for run_id in run_ids:
        results.add(**rows(run_id, value))
    if folded:
        results.compact()
    return directory


def look(directory):
    return contents(Results.read(directory))


def contents(results):
    """What counts, each run with the one value its rows carry in every table; fails where rows are missing or mixed."""
    columns = {"runs": "entropy", "curves": "entropy", "policies": "probability", "paths": "probability"}
    columns |= {"certificates": "bias"}
    frames = {name: getattr(results, name) for name in SCHEMAS}
    # As arrays: the frames are small and many, and selecting in one of them takes most of the time of a test.
    kept = {name: (frame["run_id"].to_numpy(), frame[columns[name]].to_numpy()) for name, frame in frames.items()}
    found = {}
    for run_id in results.finished:
        mine = {name: values[ids == run_id] for name, (ids, values) in kept.items()}
        assert {name: len(values) for name, values in mine.items()} == {
            "runs": 1,
            "curves": POINTS,
            "policies": ACTIONS,
            "paths": ACTIONS,
            "certificates": 1,
        }
        values = set().union(*mine.values())
        assert len(values) == 1
        found[run_id] = values.pop()
    for ids, _ in kept.values():
        assert set(ids) == set(found)
    return found


class Died(BaseException):
    """The process is gone: nothing runs after this, not even what cleans up."""


class Disk:
    """Counts what reaches the disk and fails once: with a file half written, before a rename, with a folder half gone.

    Between two of these events nothing on the disk changes: they are all the states that a stop can leave.
    """

    CHANGES = ("write", "replace", "rename", "remove")

    def __init__(self, patch, fail_at=0, error=None):
        self.events, self.written, self.fail_at, self.error, self.dead = [], {}, fail_at, error, False
        opens, syncs, replaces, renames, removes = Path.open, os.fsync, os.replace, os.rename, shutil.rmtree
        unlinks = Path.unlink

        def open_(path, mode="r", *arguments, **options):
            if mode != "wb":
                return opens(path, mode, *arguments, **options)
            self.event(f"open {path.name}")
            file = opens(path, mode, *arguments, **options)
            write = file.write

            class Half:
                def __enter__(half):
                    return half

                def __exit__(half, *error):
                    file.close()

                def write(half, data):
                    write(memoryview(data)[: len(data) // 2])
                    self.event(f"write {path.name}")
                    write(memoryview(data)[len(data) // 2 :])
                    self.written[path.name] = len(data)

                flush, fileno = file.flush, file.fileno

            return Half()

        def fsync(descriptor):
            self.event("fsync")
            syncs(descriptor)

        def replace(source, target, **options):
            self.event(f"replace {Path(target).name}")
            replaces(source, target, **options)

        def rename(source, target, **options):
            self.event(f"rename {Path(target).name}")
            renames(source, target, **options)

        def rmtree(path, **options):
            if not self.dead and Path(path).exists():
                unlinks(min(Path(path).iterdir()))
                self.event(f"remove {Path(path).name}")
                removes(path, **options)

        def unlink(path, **options):
            if not self.dead:
                unlinks(path, **options)

        patch.setattr(Path, "open", open_)
        patch.setattr(Path, "unlink", unlink)
        patch.setattr(os, "fsync", fsync)
        patch.setattr(os, "replace", replace)
        patch.setattr(os, "rename", rename)
        patch.setattr(shutil, "rmtree", rmtree)

    def event(self, name):
        self.events.append(name)
        if name.startswith(self.CHANGES) and self.changes == self.fail_at:
            self.dead = isinstance(self.error, Died)
            raise self.error

    @property
    def changes(self):
        return sum(event.startswith(self.CHANGES) for event in self.events)
