"""Rows of runs whose dynamics are known, for every step of a sweep."""

import json

import numpy as np
import pandas as pd

STEPS = np.geomspace(0.5, 20, 12).round(3)


def played(steps, *, solver="online-ipo", beta=0.1, seed=0, exact=True, eigenvalue=-0.05 + 0.15j, column="kl"):
    """Runs of known dynamics: errors of one mode for every step."""
    runs, curves = [], []
    for step in steps:
        queries = np.unique(np.geomspace(1, 2000, 80).round())
        with np.errstate(over="ignore"):
            values = 1e-7 * abs(1 + step * eigenvalue) ** (2 * queries)
        values = np.where(values > 1e-32, values, 1e-32)
        label = f"{solver}[step={step:g}]"
        keys = {"run_id": f"{label}/{beta}/{seed}/{exact}", "game": "circulant", "n": 3, "contexts": 1, "seed": seed}
        keys |= {"reference": "uniform", "solver": solver, "hyperparameters": json.dumps({"step": step}), "beta": beta}
        keys |= {"dtype": "float64", "device": "cpu", "feedback": "exact" if exact else "duels"}
        runs.append(keys | {"label": label, "selection": label, "status": "budget"})
        distances = {"kl_to_equilibrium": values if column == "kl" else np.nan, "suboptimality": values}
        curves.append(pd.DataFrame(keys | {"step": queries, "queries": queries} | distances))
    return pd.DataFrame(runs), pd.concat(curves, ignore_index=True)


def join(*parts):
    runs, curves = zip(*parts, strict=True)
    return pd.concat(runs, ignore_index=True), pd.concat(curves, ignore_index=True)
