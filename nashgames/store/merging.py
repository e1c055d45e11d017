"""Directories of machines that share nothing, united in a new one."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from nashgames.environment import now
from nashgames.errors import NashGamesError
from nashgames.store.results import Results

_TABLES = ("runs", "curves", "policies", "paths", "certificates")
# How long a run took and beside what it was played; what it is called is the experiment's to say.
_NOT_COMPARED = frozenset(
    {"seconds", "compile_seconds", "solve_seconds", "batch_size", "label", "step_source", "role", "tuned"}
)


@dataclass(frozen=True)
class Merged:
    """What a merge made: `runs` in all, by directory those that came `of_each`, the `repeated` ones that several have
    with equal rows, and the `conflicts`, runs with other rows in a later directory, of which those of the first are
    kept."""

    directory: Path
    runs: int
    of_each: dict[str, int]
    repeated: int
    conflicts: tuple[tuple[str, str, str], ...]
    """Run id, the directory whose rows are kept, and the one whose rows differ."""


def merge(directories: Sequence[Path], out: Path) -> Merged:
    """Unite the runs of results directories in a new one, `out`; nothing that is there is changed.

    The experiment is that of the first directory, and those of the others are in the manifest's history. Failures are
    taken along where nobody finished the run. Raises NashGamesError for fewer than two directories, one given twice or
    without results, and an `out` that holds some already.
    """
    if len(directories) < 2:
        raise NashGamesError("merge unites directories and was given one; give at least two")
    if len({directory.resolve() for directory in directories}) < len(directories):
        raise NashGamesError("a directory is given twice; give each once")
    every = [Results.read(directory) for directory in directories]
    if out.exists() and any(out.iterdir()):
        raise NashGamesError(f"'{out}' is not empty, and merge overwrites nothing; give a new directory with --out")
    first = every[0].manifest
    with Results.open(out) as united:
        owner: dict[str, int] = {}
        conflicts, repeated, of_each = list[tuple[str, str, str]](), 0, dict[str, int]()
        united.begin(first["experiment"], (), first["environment"])
        for place, results in enumerate(every):
            shared = owner.keys() & results.finished
            differing = set[str]()
            for before, earlier in enumerate(every[:place]):
                differing |= _differing({run for run in shared if owner[run] == before}, earlier, results)
            conflicts += [(run, str(directories[owner[run]]), str(directories[place])) for run in sorted(differing)]
            repeated += len(shared - differing)
            new = {run_id: place for run_id in results.runs["run_id"] if run_id not in owner}
            of_each[str(directories[place])] = len(new)
            owner |= new
            for fingerprint in set(results.runs["game_fingerprint"].dropna()):
                if (file := results.game_file(fingerprint)) is not None:
                    united.keep_game(str(fingerprint), file)
            frames = {name: getattr(results, name) for name in _TABLES}
            mine = {name: frame[frame["run_id"].isin(new)] for name, frame in frames.items()}
            if new:
                united.add(**{name: frame for name, frame in mine.items() if len(frame)})
        for results in every:
            left = results.failures[~results.failures["run_id"].isin(owner)]
            if len(left):
                united.add_failures(left, "")
        united.manifest["run_ids"] = list(owner)
        united.manifest["history"] = _history(every)
        united.manifest["counts"] = {"runs": len(owner), "reused": len(owner), "points": len(united.curves)}
        united.manifest["finished"] = now()
        united.flush()
    return Merged(out, len(owner), of_each, repeated, tuple(conflicts))


def _history(every: Sequence[Results]) -> list[object]:
    """The experiments before, of every directory, each once."""
    asked = [entry for results in every for entry in results.manifest["history"]]
    asked += [
        {key: results.manifest[key] for key in ("experiment", "environment", "run_ids")} | {"figures": []}
        for results in every
    ]
    unique: list[object] = []
    for entry in asked:
        if entry not in unique:
            unique.append(entry)
    return unique


def _differing(ids: set[str], one: Results, other: Results) -> set[str]:
    """Those of these runs of which two directories have other rows, but for what `_NOT_COMPARED` names."""
    found = set[str]()
    for name in _TABLES if ids else ():
        mine, theirs = (_rows_hashed(getattr(results, name), ids) for results in (one, other))
        found |= {run_id for run_id in ids if mine.get(run_id) != theirs.get(run_id)}
    return found


def _rows_hashed(frame: pd.DataFrame, ids: set[str]) -> dict[str, tuple[int, int]]:
    """How many rows each of these runs has, and the sum of their hashes, which their order does not change."""
    mine = frame[frame["run_id"].isin(ids)]
    hashes = pd.util.hash_pandas_object(mine.drop(columns=_NOT_COMPARED & {*mine}), index=False)
    found = hashes.groupby(mine["run_id"]).agg(["size", "sum"])
    return {str(run_id): (int(size), int(total)) for run_id, size, total in found.itertuples()}
