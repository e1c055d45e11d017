"""Equalities that Nash-MP obeys up to rounding, so that any wrong number breaks them.

**Update** (theory §4.1). With x = log π − log π*, (1+η) x_{k+1} − x_k is (η/β) A(π_{k+½} − π*) up to a constant, and A
is skew-symmetric: before any term is dropped the inequality of a step is

    ⟨(1+η) x_{k+½} − x_k, π_k − π*⟩ = 0,   ⟨(1+η) x_{k+1} − x_k, π_{k+½} − π*⟩ = 0,

in which A does not occur. Judged where iterates are recorded with their halves: of three actions.

**One algorithm** (theory §4.1). `nash-mp`, its halves and `egpo` of a table are three forms of one update: from the
same start, with the same η, their KL(π*‖π_k) are the same.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from nashgames.analysis.theorems.laws import EGPO, HALVES, NASH_MP, Floats, Law

_TASK = ("game", "n", "contexts", "seed", "reference", "beta", "dtype")
_FORMS = (NASH_MP, HALVES, EGPO)


def update_identity(run: Any, path: pd.DataFrame, law: Law, largest: float) -> pd.DataFrame:
    """The identity of every half step of `halves[nash-mp]` whose neighbours are recorded: step, value, bound.

    `path` holds the run's recorded iterates (`store.PATH_COLUMNS`), `largest` is the greatest |log π| among them.
    The error of the left factor is at most twice that of an update (`Law.update_error`): the iterates are recorded as
    probabilities, which rounds their logarithms once more. The right factor loses ε of each probability.
    """
    path = path.sort_values(["step", "action"])
    step, n = path["step"].unique(), int(run["n"])
    policy = path["probability"].to_numpy(np.float64).reshape(-1, n)
    star = path["equilibrium_probability"].to_numpy(np.float64)[:n]
    known = (policy > 0).all(axis=1) & np.isfinite(star).all()
    adjacent = np.flatnonzero(known[1:] & known[:-1] & (np.diff(step) == 1))
    # The whole step from which each update starts, the policy that is queried, and what comes out.
    start = adjacent - step[adjacent] % 2
    keep = (start >= 0) & (step[start] == step[adjacent] - step[adjacent] % 2) & known[start]
    queried, start = adjacent[keep], start[keep]
    logs = np.log(policy, where=known[:, None], out=np.zeros_like(policy)) - np.log(star)
    moved = (1 + law.eta) * logs[queried + 1] - logs[start]
    away = policy[queried] - star
    epsilon = float(np.finfo(run["dtype"]).eps)
    error = 2 * law.update_error(n, epsilon, largest, float(run["equilibrium_residual"]))
    # ε each of π and π*, twice over.
    bound = error * np.abs(away).sum(axis=1) + 4 * epsilon * np.ptp(moved, axis=1)
    value = np.abs(np.sum(moved * away, axis=1))
    return pd.DataFrame({"inequality": "identity", "step": step[queried + 1], "value": value, "bound": bound})


def same_steps(
    runs: pd.DataFrame, points: Mapping[str, pd.DataFrame], laws: Mapping[str, Law], roots: Mapping[str, float]
) -> Iterator[pd.DataFrame]:
    """Every form of Nash-MP against the first form that played the same: |√D − √D'| at whole steps.

    Each √D carries its own rounding (`Law.rounding`, here `roots`). Far from π* an error may grow from step to step,
    and no bound is known: √ε of √D, half of the digits, are allowed for that.
    """
    forms = runs[runs["solver"].isin(_FORMS)]
    eta = [f"{laws[run].eta:.12g}" for run in forms["run_id"]]
    for _, group in forms.assign(eta=eta).groupby([*_TASK, "eta"], sort=False):
        first, *others = group["run_id"]
        slack = float(np.finfo(group["dtype"].iloc[0]).eps) ** 0.5
        of_first = _distances(points[first], laws[first])
        for run in others:
            both = pd.concat([of_first, _distances(points[run], laws[run])], axis=1, join="inner").dropna()
            own, other = both.to_numpy().T
            bound = roots[first] + roots[run] + slack * own
            columns = {"step": both.index * laws[run].stride, "value": np.abs(own - other), "bound": bound}
            yield pd.DataFrame({"inequality": "same steps", **columns, "run_id": run})


def _distances(points: pd.DataFrame, law: Law) -> "pd.Series[Any]":
    """√KL(π*‖π_k) by the number k of whole steps."""
    whole = points[points["step"] % law.stride == 0]
    values: Floats = np.sqrt(whole["kl_to_equilibrium"].to_numpy(np.float64))
    return pd.Series(values, index=whole["step"] // law.stride)
