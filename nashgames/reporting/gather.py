"""A results directory → what a page shows of it, as plain data: every number comes from `analysis`."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nashgames import plots
from nashgames.analysis.gather import Gathered
from nashgames.analysis.outcomes import CELL, cells, complete, quantiles
from nashgames.analysis.race import fields, profiles, remarks, standings
from nashgames.defaults import REFEREE
from nashgames.environment import command
from nashgames.errors import NashGamesError
from nashgames.experiments.choice import costs, reported
from nashgames.experiments.experiment import Experiment
from nashgames.experiments.sources import game_of
from nashgames.plots.palette import looks
from nashgames.plots.panels import prepare
from nashgames.reporting.curves import looks_of
from nashgames.reporting.games import games_of, mixtures_of, win_rates_of
from nashgames.solvers import SOLVERS
from nashgames.store import Results

# A figure takes a second to draw and is some hundred kilobytes; a reader of more asks for them by name.
_MOST_FIGURES = 12
# Bytes of all figures: 4 MB as text, beside 1.4 MB of the library and as much again of numbers.
_MOST_BYTES = 3_000_000
# Factors of a profile at which its curve looks smooth, and beyond which nobody waits.
_FACTORS, _LARGEST = 120, 1e3

Say = Callable[[str], None]


@dataclass(frozen=True)
class Shown:
    """What a page shows of one directory.

    `runs` are those of its last experiment that are reported, `curves` their points, `failures` its runs that could not
    be finished, each with the column `directory`. `told` is plain text and numbers for the page; `missing` counts runs
    that were asked for and are not there.
    """

    name: str
    runs: pd.DataFrame
    curves: pd.DataFrame
    failures: pd.DataFrame
    missing: int
    told: Mapping[str, Any]


def gather(directory: Path, name: str, say: Say) -> Shown:
    """What a page shows of a directory as it is now, called by this `name`; `say` is told what is being done.

    Raises NashGamesError where it holds no results or is damaged.
    """
    say(f"reading {name}")
    gathered = Gathered([directory], last=True)
    (results,) = gathered.results
    last = complete(gathered.runs)
    runs = reported(last).assign(directory=name)
    curves = results.curves
    curves = curves[curves["run_id"].isin(runs["run_id"])].assign(directory=name)
    failures = results.failures[results.failures["run_id"].isin(results.manifest["run_ids"])].assign(directory=name)
    missing = len(set(results.manifest["run_ids"]) - set(last["run_id"]) - set(failures["run_id"]))
    told: dict[str, Any] = {"name": name, "commands": _commands(directory), **_provenance(results)}
    played = runs[runs["solver"] != REFEREE]
    if len(runs):
        runs = prepare(runs).assign(cost=costs(runs, curves))
        say(f"looking at the games of {name}")
        told |= {"games": games_of(runs, results.game_file)}
        say(f"ranking the mixtures of {name}")
        told |= {"mixtures": mixtures_of(runs, results.policies, results.game_file)}
        if gathered.verdict == "win-rates" and len(played):
            say(f"comparing the policies of {name}")
            told |= {"win_rates": win_rates_of(played, results.policies, results.game_file)}
        say(f"drawing the figures of {name}")
        told |= _figures(gathered)
        told |= {"solvers": _solvers(runs), "profiles": _profiles(played, curves)}
    return Shown(name, runs, curves, failures, missing, told)


def _provenance(results: Results) -> dict[str, Any]:
    """What was asked, with what it was computed, and the commands, the last one first."""
    manifest = results.manifest
    asked = [manifest, *reversed(manifest["history"])]
    made_by = [str(each["environment"]["command"]) for each in asked if each["environment"].get("command")]
    environment: Mapping[str, Any] = manifest["environment"]
    versions, git = environment.get("versions") or {}, environment.get("git") or {}
    facts = [(str(package), str(version)) for package, version in versions.items() if version is not None]
    if git:
        facts.append(("git commit", f"{git.get('commit')}{' and changes beside it' if git.get('dirty') else ''}"))
    names = {"device": "device", "cpu": "processor", "cores": "cores", "platform": "platform",
             "matmul_precision": "matrix products", "started": "started"}  # fmt: skip
    facts += [(said, str(environment[key])) for key, said in names.items() if environment.get(key) is not None]
    facts.append(("finished", str(manifest["finished"] or "not yet, or it was stopped")))
    return {
        "asked": _asked(manifest["experiment"]),
        "facts": facts,
        "made_by": list(dict.fromkeys(made_by)),
        "finished": manifest["finished"] is not None,
    }


def _commands(directory: Path) -> dict[str, str]:
    """What can be done with a directory, without the place where this machine has it."""
    return {name: command(["nashgames", name, str(directory)]) for name in ("verify", "plot")}


def _asked(experiment: Mapping[str, Any]) -> tuple[str, str]:
    """The experiment as TOML, or as JSON where this version knows no such experiment; which of them, and the text."""
    try:
        return "TOML", Experiment.from_dict(experiment).to_toml()
    except NashGamesError:
        return "JSON", json.dumps(experiment, indent=2, ensure_ascii=False)


def _solvers(runs: pd.DataFrame) -> list[dict[str, Any]]:
    """Every label with its look, what it is, its numbers over all runs, and where its steps come from."""
    look = looks(dict(zip(runs["label"], runs["solver"], strict=True)))
    told = []
    for label, own in look.items():
        mine = runs[runs["label"] == label]
        solver = str(mine["solver"].iloc[0])
        known = SOLVERS.get(solver)
        help_ = (known.__doc__ or "").partition("\n")[0] if known is not None else ""
        told.append(
            {"label": label, "solver": solver, "colour": own.colour, "runs": len(mine), "help": help_}
            | {"sources": ", ".join(map(str, mine["step_source"].unique()))}
            | {"numbers": _numbers(mine["hyperparameters"])}
        )
    return told


def _numbers(column: "pd.Series[str]") -> list[tuple[str, str]]:
    """The parameters of a solver, and of each the values that its runs have, in order."""
    values: dict[str, list[Any]] = {}
    for text in column.unique():
        for name, value in json.loads(text).items():
            values.setdefault(name, []).append(value)
    told = []
    for name, own in values.items():
        distinct = list(dict.fromkeys("chosen as it goes" if v is None else _short(v) for v in own))
        more = f" … {distinct[-1]} ({len(distinct)} values)" if len(distinct) > 6 else ""
        told.append((name, ", ".join(distinct[: 3 if more else 6]) + more))
    return told


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _profiles(runs: pd.DataFrame, curves: pd.DataFrame) -> list[dict[str, Any]]:
    """The performance profile of every field of runs with several games; none where there is no race to be told."""
    found = []
    for ending, mine in fields(runs) if len(runs) else ():
        if len(mine[["game", "n", "beta"]].drop_duplicates()) < 2 or mine["label"].nunique() < 2:
            continue
        try:
            race = plots.Rows(mine, curves).raced
        except NashGamesError as error:
            found.append({"name": ending.strip("-"), "why": str(error)})
            continue
        finite = race.ratios[np.isfinite(race.ratios)]
        last = float(np.clip(finite.max(initial=1.0), 2.0, _LARGEST))
        factors = np.geomspace(1, last, _FACTORS)
        table = standings(race)
        shares = profiles(race, factors)
        found.append(
            {"name": ending.strip("-"), "goal": race.goal, "axis": race.axis, "factors": factors.tolist()}
            | {"methods": [str(name) for name in table["method"]], "remarks": remarks(race)}
            | {"shares": {name: shares[:, place].tolist() for place, name in enumerate(race.methods)}}
            | {"looks": looks_of(race.solvers)}
            | {"standings": table[["method", "solved", "fastest", "efficiency", "factor"]].to_dict("records")}
        )
    return found


def _figures(gathered: Gathered) -> dict[str, Any]:
    """The figures of a directory as SVG files, with their captions: those that it holds, or what its runs call for."""
    (results,) = gathered.results
    found, folder, left = [], results.directory, []
    for name in results.manifest["figures"]:
        path = folder / Path(str(name)).name
        if path.suffix == ".svg" and path.is_file():
            caption = path.with_suffix(".txt")
            found.append(
                (path.stem, path.read_bytes(), caption.read_text("utf-8", "replace") if caption.is_file() else "")
            )
    if not found:
        found = _drawn(gathered)
    kept: list[dict[str, Any]] = []
    for name, data, said in found:
        if len(kept) < _MOST_FIGURES and sum(len(each["svg"]) for each in kept) + len(data) <= _MOST_BYTES:
            kept.append({"name": name, "svg": data, "caption": said.strip()})
        else:
            left.append(name)
    return {"figures": kept, "figures_left": left}


def _drawn(gathered: Gathered) -> list[tuple[str, bytes, str]]:
    made = plots.figures(plots.rows_of(gathered, partial(game_of, game_file=gathered.game_file)))
    return [(name, plots.svg(each), str(getattr(each, "caption", ""))) for name, each in made.items()]


def summary_of(shown: Sequence[Shown]) -> pd.DataFrame:
    """A row for the seeds of every cell and label (`outcomes.cells`), with the median cost to the tolerance."""
    tables = []
    for each in shown:
        runs = each.runs
        if len(runs):
            table = cells(runs)
            groups = runs.groupby([*CELL, "label", "selection"], sort=False)["cost"]
            table["cost"] = [float(quantiles(mine.to_numpy(np.float64), (0.5,))[0]) for _, mine in groups]
            tables.append(table)
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
