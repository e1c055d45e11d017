"""What solvers came to on problems: medians and intervals over seeds, solvers × problems, and who is best where."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from nashgames.analysis.outcomes import CELL, axis_of, complete, last, quantiles, tuned
from nashgames.analysis.reaching import LEVELS
from nashgames.core.metrics import METRICS
from nashgames.errors import unknown
from nashgames.experiments.choice import reported

QUERIES = "queries_to_tolerance"
MEASURES = (QUERIES, *(name for name, metric in METRICS.items() if metric.distance))
"""What a table may show: queries until the tolerance was reached, or a distance of the last iterate."""


def outcome_table(runs: pd.DataFrame, measure: str | None = None) -> tuple[pd.DataFrame, str, list[str]]:
    """A row for the seeds of every solver on every problem, what is measured, and the columns that tell problems apart.

    median, low, high   quantiles over the seeds (`outcomes.quantiles` at `reaching.LEVELS`); inf: not reached, or a
                        diverged seed
    seeds               how many
    best                whether no other solver has a smaller median on this problem

    Of the reported runs as they are compared (`outcomes.tuned`). The measure is `queries_to_tolerance` on exact
    feedback, on duels the suboptimality, unless given. Raises NashGamesError for another measure, and for runs on exact
    feedback together with runs on duels.
    """
    if measure is not None and measure not in MEASURES:
        raise unknown("measure", measure, MEASURES)
    runs = complete(reported(runs))
    axis = axis_of(runs)
    measure = measure or (QUERIES if axis == "queries" else "suboptimality")
    runs, _ = tuned(runs)
    values = runs[measure].to_numpy(np.float64, na_value=np.inf) if measure == QUERIES else last(runs, measure)
    runs = runs.assign(value=values)
    problem = [key for key in CELL if key in ("game", "beta") or len(runs[key].unique()) > 1]
    rows = []
    for key, mine in runs.groupby([*problem, "label"], sort=False):
        low, median, high = (float(part) for part in quantiles(mine["value"].to_numpy(), (LEVELS[0], 0.5, LEVELS[1])))
        told = dict(zip([*problem, "label"], key, strict=True))
        rows.append(told | {"median": median, "low": low, "high": high, "seeds": len(mine)})
    table = pd.DataFrame(rows)
    least = table.groupby(problem)["median"].transform("min")
    return _ordered(table.assign(best=np.isfinite(least) & (table["median"] == least)), problem), measure, problem


def _ordered(table: pd.DataFrame, problem: Sequence[str]) -> pd.DataFrame:
    """Problems from large β to small and else as they rise; solvers by their mean rank over the problems."""
    ranks = table.groupby(list(problem))["median"].rank(method="average")
    order = ranks.groupby(table["label"]).mean()
    table = table.assign(rank=table["label"].map(order))
    by = [*problem, "rank", "label"]
    return table.sort_values(by, ascending=[key != "beta" for key in by], kind="stable", ignore_index=True)
