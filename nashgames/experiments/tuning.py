"""From the rows of the runs on which steps were tried to the steps that are played."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd

from nashgames.defaults import BOTH
from nashgames.engine.settings import Settings
from nashgames.experiments.choice import CHOICE, choices, edges
from nashgames.experiments.experiment import Experiment
from nashgames.experiments.plan import Chosen, plan, plan_trials
from nashgames.experiments.run import Run, TuningKey
from nashgames.experiments.sources import Source
from nashgames.store import Results


def choose(trials: Sequence[Run], runs: pd.DataFrame, curves: pd.DataFrame) -> tuple[Chosen, list[str]]:
    """The chosen value of every tuned solver, and sentences on those at an end of their range.

    `runs` and `curves` have the rows of the trials, and may have others; what an earlier experiment said of a run that
    is reused here does not count. A solver whose trials all failed has no choice.
    """
    by_id = {run.run_id: run for run in trials}
    rows = runs[runs["run_id"].isin(by_id)].copy()
    if rows.empty:
        return {}, []
    for column in trials[0].told:
        rows[column] = [by_id[run_id].told[column] for run_id in rows["run_id"]]
    found = choices(rows, curves)
    best = rows[[*CHOICE, "label", "run_id", "selection"]].merge(found, on=[*CHOICE, "label"], suffixes=("", "_best"))
    # A number as its run has it, and not as the rows do: an integer stays one.
    numbers = {run.selection: run.hyperparameters[run.tuned] for run in trials if run.tuned is not None}
    chosen: dict[TuningKey, float | None] = {
        by_id[run_id].tuning_key: numbers[selection]
        for run_id, selection in zip(best["run_id"], best["selection_best"], strict=True)
    }
    return chosen, edges(found)


def as_both(reported: Sequence[Run], trials: Sequence[Run]) -> list[Run]:
    """The reported runs, those of them that were trials too in the role of both; a game of one seed has such."""
    tried = {run.run_id for run in trials}
    return [replace(run, role=BOTH) if run.run_id in tried else run for run in reported]


def stages(
    experiment: Experiment, settings: Settings, results: Results, *, sources: Mapping[str, Source] | None = None
) -> tuple[list[Run], list[Run]]:
    """The trials of an experiment, where it has any, and the runs that it reports, as they are executed: with what the
    rows of the trials in `results` choose.

    `sources` and errors are those of `plan`.
    """
    trials, _ = plan_trials(experiment, settings, sources=sources)
    chosen = choose(trials, results.runs, results.curves)[0] if trials else None
    reported, _ = plan(experiment, settings, sources=sources, chosen=chosen)
    return trials, as_both(reported, trials)
