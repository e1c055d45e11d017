"""Runs that differ in their seeds only, grouped, counted and named."""

from collections.abc import Mapping, Sequence

import pandas as pd

from nashgames.plots.estimates import Trace
from nashgames.plots.layout import Handle
from nashgames.plots.naming import told_apart
from nashgames.plots.palette import Look
from nashgames.plots.panels import Facets, traces_of

MANY_SEEDS = 10
"""Seeds from which the 90 % quantile is not the maximum: randomness is then shown by quantiles."""


def groups_of(
    curves: pd.DataFrame, runs: pd.DataFrame, laid: Facets, distance: str, x: str
) -> list[dict[str, list[Trace]]]:
    """The traces of every label in every panel."""
    traces = traces_of(curves, runs, distance, x)
    found = []
    for panel in laid.panels:
        mine = panel.runs[panel.runs["run_id"].isin(list(traces))].groupby("label")["run_id"]
        found.append({str(label): [traces[run] for run in group] for label, group in mine})
    return found


def handles_of(look: Mapping[str, Look], statuses: Sequence[tuple[str, str]]) -> list[Handle]:
    """An entry for every solver, with the count of the seeds that diverged."""
    table = pd.DataFrame(statuses, columns=["label", "status"])
    handles: list[Handle] = []
    called = told_apart(look)
    for label, own in look.items():
        mine = table["status"][table["label"] == label]
        lost = int((mine == "diverged").sum())
        text = called[label] + (f" ({lost:,} of {len(mine):,} diverged)" if lost else "")
        handles.append(own.handle(text))
    return handles


def caption_of(groups: Sequence[Mapping[str, Sequence[Trace]]], what: str, remarks: Sequence[str]) -> str:
    """What is drawn, over how many seeds, and the remarks."""
    counts = [len(traces) for group in groups for traces in group.values()] or [0]
    over = f"{min(counts):,}" if min(counts) == max(counts) else f"{min(counts):,}–{max(counts):,}"
    return "; ".join([f"{what} over {over} seeds", *filter(None, remarks)])
