"""The rows of finished runs as the data that `--json` prints."""

import json
from typing import TYPE_CHECKING, Any

from nashgames.cli.sheet import VARIANTS, plain, records, varies
from nashgames.core.metrics import ERRORS, every

if TYPE_CHECKING:
    import pandas as pd

_PLAIN = (
    "solver",
    "selection",
    *VARIANTS,
    "game",
    "contexts",
    "beta",
    "seed",
    "reference",
    "dtype",
    "device",
    "storage",
    "step_source",
    "role",
    "tuned",
)
_OF_CELL = ("seeds", "diverged", "comparisons", "tolerance", "reached", "share", "low", "high", "median", "q90", "q99")
_MEASURED = (
    "status",
    "tolerance",
    "budget",
    "step",
    "queries",
    "comparisons",
    "queries_to_tolerance",
    "diverged_step",
    *every(),
    *ERRORS.values(),
    "equilibrium_residual",
    "compile_seconds",
    "solve_seconds",
)


def payload(runs: "pd.DataFrame") -> list[dict[str, Any]]:
    """The runs for a program: plain JSON values, null where a number was not measured."""
    from nashgames.analysis import outcomes

    return [
        {
            "id": row["run_id"],
            **{key: plain(row.get(key)) for key in _PLAIN},
            "hyperparameters": json.loads(row["hyperparameters"]),
            "game_parameters": json.loads(row["game_parameters"]),
            "actions": plain(row["n"]),
            **{key: plain(row.get(key)) for key in _MEASURED},
        }
        for row in records(outcomes.complete(runs))
    ]


def cells(runs: "pd.DataFrame") -> list[dict[str, Any]]:
    """The seeds of every cell on samples for a program: counts, the share with its interval, and the quantiles.

    null is a quantile that is a diverged seed. Empty where no cell has several seeds.
    """
    from nashgames.analysis import outcomes

    runs = outcomes.complete(runs)
    sampled = runs[outcomes.on_samples(runs)]
    if not len(sampled) or not varies(sampled["seed"]):
        return []
    return [
        {
            **{key: plain(row[key]) for key in ("solver", "selection", *VARIANTS, "game", "beta", "reference")},
            "actions": plain(row["n"]),
            **{key: plain(row[key]) for key in _OF_CELL},
        }
        for row in records(outcomes.cells(sampled))
    ]
