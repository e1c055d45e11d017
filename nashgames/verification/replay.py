"""Runs played again through the one runner, and every recorded point and last policy compared with what is stored.

They are planned from the experiments in the manifest, and played in the batches of their whole grid with all other
lanes idle, so that the same machine and versions give the same bits. Of several experiments that plan a run, one has
played it: a run agrees where one of them gives it. What else may differ, and by how much, is in `numbers.of_replay`.
What says how a run was played, and not what came of it, is not compared: `EFFORT`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from nashgames.defaults import UNLISTED
from nashgames.engine.settings import Settings
from nashgames.environment import environment
from nashgames.errors import NashGamesError
from nashgames.experiments.batches import check_memory
from nashgames.experiments.experiment import Experiment
from nashgames.experiments.plan import settings_of
from nashgames.experiments.playing import Failed, play
from nashgames.experiments.rows import Frames
from nashgames.experiments.run import Run
from nashgames.experiments.tuning import stages
from nashgames.store import Results
from nashgames.verification.code import sources_of
from nashgames.verification.ledger import Mismatch, Replayed, Report, Row, mismatch
from nashgames.verification.numbers import Rounding, averaged_steps, known_residual, of_replay
from nashgames.verification.stored import continued, experiments_of, records, unmeasured

EFFORT = ("seconds", "compile_seconds", "solve_seconds", "batch_size", "equilibrium_solves")
"""Columns that are never compared: they say how a run was played."""

_TOLD = ("label", "step_source", "role", "tuned")
"""Columns that every experiment with the run may say anew."""

_KEYS = {
    "runs": ["run_id"],
    "curves": ["run_id", "step"],
    "policies": ["run_id", "context", "action"],
    "paths": ["run_id", "step", "context", "action"],
}

# What a manifest says of its machine that the bits of a run do not depend on.
_OF_THE_COMMAND = ("command", "started", "git")
_BESIDE = ("nashgames", "pandas", "pyarrow", "matplotlib", "python")


@dataclass(frozen=True)
class Replaying:
    """How far playing again is: `done` of `runs`, and what comes next."""

    done: int
    runs: int
    title: str


@dataclass(frozen=True)
class _Play:
    """Runs that were played together, and with which settings."""

    runs: Sequence[Run]
    settings: Settings


def play_again(
    results: Results, rows: Mapping[str, Row], files: Mapping[str, Any], report: Report
) -> Iterator[Replaying]:
    """Play the runs of these `rows`, by run id, again and note in the report what came of it."""
    found = report.replayed
    found.asked = len(rows)
    plays, told, reasons = _planned(results, rows, files, found)
    stored = _Stored(results, rows, told)
    left, wrong = set(rows), dict[str, list[Mismatch]]()
    for one, mine in ((one, mine) for play_ in plays for one, mine in stored.apart(play_)):
        mine &= left
        if not mine:
            continue
        yield Replaying(len(rows) - len(left), len(rows), _title(one, mine))
        done = {run.run_id for run in one.runs} - mine
        try:
            check_memory(one.runs, one.settings, done)
            for event in play(one.runs, one.settings, done=done):
                if isinstance(event, Failed):
                    reasons |= dict.fromkeys(mine, event.text)
                if not isinstance(event, Frames):
                    continue
                for run_id, mismatches in stored.compare(event, found).items():
                    if not mismatches:
                        left.discard(run_id)
                    elif run_id not in wrong or len(mismatches) < len(wrong[run_id]):
                        wrong[run_id] = mismatches
                yield Replaying(len(rows) - len(left), len(rows), _title(one, mine))
        except NashGamesError as error:
            reasons |= dict.fromkeys(mine, str(error))
    found.runs = len(rows) - len(left) + len(wrong.keys() & left)
    for run_id in sorted(left):
        if run_id in wrong:
            report.mismatches += wrong[run_id]
        else:
            found.reasons[reasons.get(run_id, "no experiment of the manifest plans it any more")] += 1


def _title(one: _Play, mine: set[str]) -> str:
    solvers = dict.fromkeys(run.solver.name for run in one.runs if run.run_id in mine)
    return ", ".join(solvers)


def _planned(
    results: Results, rows: Mapping[str, Row], files: Mapping[str, Any], found: Replayed
) -> tuple[list[_Play], dict[str, list[Mapping[str, Any]]], dict[str, str]]:
    """What the experiments of the manifest play, the first one first; what they say of every run; and why some of the
    runs cannot be planned, by run."""
    plays: list[_Play] = []
    told: dict[str, list[Mapping[str, Any]]] = {}
    reasons: dict[str, str] = {}
    here = environment()
    elsewhere: dict[str, None] = {}
    asked: list[Mapping[str, Any]] = []
    for entry in experiments_of(results.manifest):
        mine = rows.keys() & entry["run_ids"]
        if not mine or entry["experiment"] in asked:
            continue
        asked.append(entry["experiment"])
        elsewhere |= dict.fromkeys(_differences(entry.get("environment"), here))
        named = {rows[run_id]["game"]: rows[run_id]["game_fingerprint"] for run_id in mine}
        try:
            of_entry = _plays(entry["experiment"], named, results, files)
        except NashGamesError as error:
            reasons |= dict.fromkeys(mine, str(error))
            continue
        plays += of_entry
        for one in of_entry:
            for run in one.runs:
                if run.run_id in rows:
                    told.setdefault(run.run_id, []).append(run.told)
    found.elsewhere = list(elsewhere)
    return plays, told, reasons


def _plays(
    asked: Mapping[str, Any], told: Mapping[str, str], results: Results, files: Mapping[str, Any]
) -> list[_Play]:
    """The trials of an experiment, where it has any, and the runs that it reports, as they are executed.

    Raises NashGamesError where it cannot be planned here.
    """
    experiment = Experiment.from_dict(asked)
    settings = settings_of(experiment)
    settings.precision.jax_device()
    sources = sources_of(experiment, told, results, files)
    return [_Play(runs, settings) for runs in stages(experiment, settings, results, sources=sources) if runs]


def _differences(there: Any, here: Mapping[str, Any]) -> list[str]:
    """In what the machine and the versions differ from those that the manifest names."""
    if not isinstance(there, dict):
        return ["the manifest does not say on what machine"]
    found = []
    commits = [(at.get("git") or {}).get("commit", "") for at in (there, here)]
    if commits[0] != commits[1] and all(commits):
        found.append(f"commit {commits[0][:7]} → {commits[1][:7]}")
    for key in sorted((there.keys() & here.keys()) - set(_OF_THE_COMMAND)):
        if isinstance(there[key], dict) and isinstance(here[key], dict):
            found += [
                f"{name} {there[key].get(name)} → {here[key].get(name)}"
                for name in sorted((there[key].keys() | here[key].keys()) - set(_BESIDE))
                if there[key].get(name) != here[key].get(name)
            ]
        elif there[key] != here[key]:
            found.append(f"{key} {there[key]} → {here[key]}")
    return found


class _Stored:
    """What is stored of the runs that are played again."""

    def __init__(self, results: Results, rows: Mapping[str, Row], told: Mapping[str, list[Mapping[str, Any]]]) -> None:
        self._rows = rows
        self._told = told
        self._unmeasured = unmeasured(results)
        self._frames = {}
        for name, keys in _KEYS.items():
            frame = getattr(results, name)
            # What is there twice is told of the files.
            self._frames[name] = frame[frame["run_id"].isin(rows)].drop_duplicates(keys)
        self._continued = continued(results, [dict(row) for row in rows.values()])

    def apart(self, one: _Play) -> Iterator[tuple[_Play, set[str]]]:
        """A play for the runs that went from their start to their end, and one for those that went on from the end of
        a smaller budget, which records the steps of that one too."""
        mine = {run.run_id for run in one.runs} & self._rows.keys()
        onward = mine & self._continued.keys()
        yield one, mine - onward
        steps = sorted({int(step) for run_id in onward for step in self._continued[run_id]})
        yield replace(one, settings=replace(one.settings, also=tuple(steps))), onward

    def _recorded(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The rows at the steps at which each run is recorded: beside another it may have been recorded at more."""
        if "step" not in frame or self._continued.keys().isdisjoint(frame["run_id"]):
            return frame
        last = frame.groupby("run_id")["step"].transform("max")
        kept = [
            run_id not in self._continued or step == end or step in self._continued[run_id]
            for run_id, step, end in zip(frame["run_id"], frame["step"], last, strict=True)
        ]
        return frame[kept].reset_index(drop=True)

    def compare(self, played: Frames, found: Replayed) -> dict[str, list[Mismatch]]:
        """What differs, by run; of what agrees, the deviations are noted."""
        ids = list(played.runs["run_id"])
        wrong: dict[str, list[Mismatch]] = {run_id: [] for run_id in ids}
        near: dict[str, list[tuple[str, float, float]]] = {run_id: [] for run_id in ids}
        moved = self._moved(played)
        for name, keys in _KEYS.items():
            mine = getattr(played, name) if name == "runs" else self._recorded(getattr(played, name))
            theirs = self._frames[name]
            self._table(name, keys, theirs[theirs["run_id"].isin(ids)], mine, moved, wrong, near)
        for run_id in ids:
            row = self._rows[run_id]
            said = {column: row[column] for column in _TOLD}
            if said not in self._told[run_id]:
                for column, value in self._told[run_id][-1].items():
                    if row[column] != value:
                        wrong[run_id].append(mismatch(row, f"runs.{column}", row[column], value, played=True))
            if not wrong[run_id]:
                found.equal += not near[run_id]
                for column, relative, share in near[run_id]:
                    found.deviates(column, relative, share)
        return wrong

    def _moved(self, played: Frames) -> pd.DataFrame:
        """By run: β, what log π and log π* may have moved by."""
        logs = played.policies["log_probability"].abs().replace(np.inf, np.nan)
        largest = logs.groupby(played.policies["run_id"].to_numpy()).max()
        found = {}
        for row in records(played.runs):
            run_id, beta = row["run_id"], row["beta"]
            stored = self._rows[run_id]["equilibrium_residual"]
            # No sum goes over sequences that are not listed.
            n = 1 if row["storage"] == UNLISTED else row["n"]
            rounding = Rounding(row["dtype"], n, averaged_steps(row))
            most = np.array([largest.get(run_id, 0.0)])
            # Without β nothing is forgotten: every step adds the rounding of its product.
            shift = rounding.response(beta, most) if beta > 0 else rounding.logarithm(most) * (1 + row["step"])
            residuals = sum(value for value in (stored, row["equilibrium_residual"]) if value is not None)
            unsure = (1 + 1 / beta) * residuals if beta > 0 else 2e-8
            limit = known_residual(n, beta)
            found[run_id] = (beta, shift, unsure if np.isfinite(unsure) else 0.0, limit)
        return pd.DataFrame.from_dict(found, orient="index", columns=["beta", "shift", "unsure", "limit"])

    def _table(
        self,
        name: str,
        keys: list[str],
        theirs: pd.DataFrame,
        mine: pd.DataFrame,
        moved: pd.DataFrame,
        wrong: dict[str, list[Mismatch]],
        near: dict[str, list[tuple[str, float, float]]],
    ) -> None:
        """Compare the rows of one table."""
        both = theirs.merge(mine[keys], on=keys, how="outer", indicator=True)
        for run_id, side, place in zip(both["run_id"], both["_merge"], _places(both, keys), strict=True):
            if side != "both":
                seen = (None, "a row") if side == "right_only" else ("a row", None)
                wrong[run_id].append(mismatch(self._rows[run_id], f"{name}{place}", *seen, played=True))
        kept = theirs.merge(mine[keys], on=keys).sort_values(keys, ignore_index=True)
        again = mine.merge(kept[keys], on=keys).sort_values(keys, ignore_index=True)
        allowance = moved.loc[kept["run_id"]].reset_index(drop=True)
        places: list[str] | None = None
        for column in (column for column in again if column not in (*keys, *EFFORT, *_TOLD)):
            stored, played = kept[column], again[column]
            if played.dtype == float:
                x, y = stored.to_numpy(float), played.to_numpy(float)
                older = kept["run_id"].map(lambda run_id, column=column: column in self._unmeasured[run_id])
                off = np.flatnonzero(~((x == y) | (np.isnan(x) & np.isnan(y)) | older.to_numpy(bool)))
                if not len(off):
                    continue
                part = allowance.iloc[off]
                unsure = part["limit"] if column == "equilibrium_residual" else part["unsure"]
                beta, shift = part["beta"].to_numpy(), part["shift"].to_numpy()
                allowed = of_replay(
                    str(column), np.where(np.isfinite(y[off]), y[off], 0), beta, shift, unsure.to_numpy()
                )
                with np.errstate(invalid="ignore"):
                    apart = np.abs(x[off] - y[off])
                    agrees = np.isfinite(apart) & (apart <= allowed)
            else:
                # Rows of before do not say what a file was.
                stored = stored.where(stored.notna(), played) if column == "game_fingerprint" else stored
                same = (stored == played).fillna(False).to_numpy(bool) | (stored.isna() & played.isna()).to_numpy()
                off = np.flatnonzero(~same)
                agrees = np.zeros(len(off), bool)
            if len(off) and places is None:
                places = _places(kept, keys)
            for number, index in enumerate(off):
                run_id, before, now = kept["run_id"].iloc[index], stored.iloc[index], played.iloc[index]
                told = f"{name}.{column}"
                if agrees[number]:
                    size = max(abs(before), abs(now))
                    near[run_id].append((told, apart[number] / size, apart[number] / allowed[number]))
                else:
                    values = (None if pd.isna(value) else value for value in (before, now))
                    assert places is not None
                    row = self._rows[run_id]
                    wrong[run_id].append(mismatch(row, f"{told}{places[index]}", *values, played=True))


def _places(frame: pd.DataFrame, keys: Sequence[str]) -> list[str]:
    """Where a row is, beside its run: ` at step 17`."""
    rest = keys[1:]
    if not rest:
        return [""] * len(frame)
    rows = zip(*(frame[key] for key in rest), strict=True)
    return [" at " + ", ".join(f"{key} {value}" for key, value in zip(rest, row, strict=True)) for row in rows]
