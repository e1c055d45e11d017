"""The columns of the tables and their types; what is measured stands in `core.metrics` alone."""

import pyarrow as pa

from nashgames.core.metrics import ERRORS, ESTIMATES, METRICS, OF_SEQUENCES
from nashgames.defaults import REPORTED, RUN

# fmt: off
RUN_KEYS = (
    "run_id", "game", "game_family", "game_parameters", "n", "contexts", "seed", "reference", "solver",
    "hyperparameters", "feedback", "policy", "optimiser", "start", "target", "beta", "dtype", "device",
    "storage",
)
"""The columns by which a row of runs and of curves describes its run."""
ESTIMATE_COLUMNS = tuple(column for name in ESTIMATES for column in (name, ERRORS[name]))
"""The columns of estimates and their standard errors, which are null where sequences are listed."""
MEASURED_COLUMNS = (*METRICS, *OF_SEQUENCES, *ESTIMATE_COLUMNS)
POINT_COLUMNS = ("step", "queries", "comparisons", "seconds", *MEASURED_COLUMNS, "status")
"""The columns of one measured point; in runs, of the last one."""
CURVE_COLUMNS = (*RUN_KEYS, *POINT_COLUMNS)
RUN_COLUMNS = (
    *RUN_KEYS, "selection", "label", "step_source", "role", "tuned", "game_fingerprint", "tolerance", "budget",
    "queries_to_tolerance", "diverged_step", "compile_seconds", "solve_seconds", "batch_size", "equilibrium_residual",
    "equilibrium_solves", *POINT_COLUMNS,
)
POLICY_COLUMNS = ("run_id", "context", "action", "label", "probability", "log_probability")
PATH_COLUMNS = (
    "run_id", "step", "context", "action", "label", "probability", "reference_probability", "equilibrium_probability",
)
CERTIFICATE_COLUMNS = (
    "run_id", "beta", "suboptimality", "duality_gap", "residual", "exploitability", "bias", "kl_bound", "support",
)
FAILURE_COLUMNS = (*RUN_KEYS, "selection", "label", "status", "reason", "attempts", "failed")
LABEL_COLUMNS = ("run_id", "label", "step_source", "role", "tuned")
"""What an experiment calls a run that an earlier one has finished."""

OPTIONAL_INTEGERS = frozenset({"queries_to_tolerance", "diverged_step", "equilibrium_solves"})
_INTEGERS = OPTIONAL_INTEGERS | {
    "n", "contexts", "seed", "step", "queries", "comparisons", "budget", "batch_size", "context", "action", "support",
    "attempts",
}
_SOMETIMES_TEXT = frozenset({"game_fingerprint", "tuned"})
# What is not known of a run whose game could not be made.
_OF_A_GAME = frozenset({"n", "contexts", "game_family", "game_parameters"})
_NEVER_NULL = frozenset({"beta", "tolerance"})
_NUMBERS = _NEVER_NULL | {
    *MEASURED_COLUMNS,
    "seconds", "compile_seconds", "solve_seconds", "equilibrium_residual", "probability", "log_probability",
    "reference_probability", "equilibrium_probability", "residual", "bias", "kl_bound",
}
# fmt: on

ADDED: dict[str, str | None] = {
    **RUN,
    "role": REPORTED,
    "tuned": None,
    "game_fingerprint": None,
    "storage": "dense",
    **dict.fromkeys(MEASURED_COLUMNS),
}
"""Columns that tables of before may not have, and what they would have said; a number was not measured: null."""


def _field(name: str) -> pa.Field:
    if name in _INTEGERS:
        return pa.field(name, pa.int64(), nullable=name in OPTIONAL_INTEGERS)
    if name in _NUMBERS:
        return pa.field(name, pa.float64(), nullable=name not in _NEVER_NULL)
    return pa.field(name, pa.string(), nullable=name in _SOMETIMES_TEXT)


SCHEMAS: dict[str, pa.Schema] = {
    "curves": pa.schema(map(_field, CURVE_COLUMNS)),
    "policies": pa.schema(map(_field, POLICY_COLUMNS)),
    "paths": pa.schema(map(_field, PATH_COLUMNS)),
    "certificates": pa.schema(map(_field, CERTIFICATE_COLUMNS)),
    "runs": pa.schema(map(_field, RUN_COLUMNS)),
}
"""The tables of results, which have rows of finished runs alone."""

FAILURES = "failures"
"""A table of runs that could not be finished: no results, and gone once there are some."""
TABLES = SCHEMAS | {
    FAILURES: pa.schema(
        [_field(name).with_nullable(True) if name in _OF_A_GAME else _field(name) for name in FAILURE_COLUMNS]
    )
}
"""The tables of a results directory, a file each."""

LABELS = "labels"
"""A table of parts alone: new labels of runs that are there already."""
PART_SCHEMAS = TABLES | {LABELS: pa.schema(map(_field, LABEL_COLUMNS))}

SOMETIMES = ("paths", "certificates", FAILURES)
"""Tables that only some runs have rows in: written once there are any."""
