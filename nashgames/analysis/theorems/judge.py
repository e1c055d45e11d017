"""From rows to verdicts: whether a measured iterate breaks a proved inequality, and whether n matters."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from nashgames.analysis.theorems.identities import same_steps, update_identity
from nashgames.analysis.theorems.laws import HALVES, Floats, Law, kl_bound, laws_of, queries_of

INEQUALITIES = ("KL", "step", "half step", "span", "span step", "identity", "same steps")
"""KL, span: against π_0 = μ; step, span step: against the whole step recorded before; half step: against both.

What is judged against the step before has sharp constants: the half step and the span are compared with what the
measured D' leaves of D, of which little is lost in some games of the preset. The last two are equalities up to
rounding: `update_identity` and `same_steps`.
"""

LEVEL = 1e-8
"""The KL to the equilibrium at which sizes are compared."""

_NEGLIGIBLE = 0.01
"""Rounding may add this share to the root of a bound at most; where it may add more, an iterate is not judged.

Shares of bounds then mean what they say to two digits, and iterates are judged far below any tolerance in use.
"""


class Verdict(NamedTuple):
    """`rates`: by solver and β; `sizes`: by game, solver and β with several n; `breaks`: by broken inequality."""

    rates: pd.DataFrame
    sizes: pd.DataFrame
    breaks: pd.DataFrame


def verdict(
    runs: pd.DataFrame, curves: pd.DataFrame, policies: pd.DataFrame, paths: pd.DataFrame | None = None
) -> Verdict:
    """Judge every recorded iterate of the runs that a theorem covers, against the start and the whole step before.

    With the `paths` of games of three actions the identity of every half step is judged too. Raises NashGamesError when
    no theorem covers any run.
    """
    laws = laws_of(runs)
    # |log π| is within 2/β of that of the last iterate at all others.
    largest = policies["log_probability"].abs().groupby(policies["run_id"]).max()
    points = {str(run): group.sort_values("step") for run, group in curves.groupby("run_id", sort=False)}
    of_run = {} if paths is None else dict(tuple(paths.groupby("run_id", sort=False)))
    kept = runs[runs["run_id"].isin(laws)]
    judged, steps, roots = [], {}, {}
    for row in kept.to_dict("records"):
        run = row["run_id"]
        law, most = laws[run], float(largest[run]) + 2 / laws[run].beta
        roots[run], of_span = _rounding(row, points[run], law, most)
        judged.append(_checks(row, points[run], law, roots[run], of_span))
        if run in of_run and law.solver == HALVES and int(row["contexts"]) == 1:
            judged.append(update_identity(row, of_run[run], law, most).assign(run_id=run))
        steps[run] = _step_factors(points[run], law, roots[run])
    checks = pd.concat([*judged, *same_steps(kept, points, laws, roots)], ignore_index=True)
    broken = checks[checks["value"] > checks["bound"]].merge(
        kept[["run_id", "label", "game", "n", "reference", "beta", "seed"]], on="run_id"
    )
    return Verdict(_rates(kept, checks, laws, steps), _sizes(kept, points, laws), broken)


def _rounding(run: Any, points: pd.DataFrame, law: Law, largest: float) -> tuple[float, float]:
    """`Law.rounding` of one run, of which no |log π| is above `largest`."""
    # Where π* is not known, only suboptimalities are judged, which do not need it.
    residual = float(run["equilibrium_residual"]) if points["kl_to_equilibrium"].notna().any() else 0.0
    return law.rounding(int(run["n"]), float(np.finfo(run["dtype"]).eps), largest, residual)


def _checks(run: Any, points: pd.DataFrame, law: Law, root: float, of_span: float) -> pd.DataFrame:
    """Every judged inequality of one run: inequality, step, value, bound (what rounding may add included)."""
    step = points["step"].to_numpy()
    kl, span, half_gap = (
        points[name].to_numpy(np.float64) for name in ("kl_to_equilibrium", "span_to_equilibrium", "suboptimality")
    )
    # What a sum of n positive terms may be off by: √n roundings (Higham and Mary 2019), and a few in each term.
    slack = 1 + 4 * float(np.finfo(run["dtype"]).eps) * int(run["n"]) ** 0.5
    is_half = (step % 2 == 1) if law.solver == HALVES else np.zeros(len(step), bool)
    found: list[pd.DataFrame] = []

    def judge(inequality: str, where: Any, values: Floats, bound: Floats, scale: float = 1.0) -> None:
        """value ≤ bound for squares of distances: rounding enters their roots, in units of `scale`."""
        limit = (np.sqrt(bound) + root * scale) ** 2 * slack
        kept = ~np.isnan(values) & (root * scale <= _NEGLIGIBLE * np.sqrt(bound))
        found.append(_frame(inequality, step[where][kept], values[kept], limit[kept]))

    def judge_span(inequality: str, where: Any, values: Floats, bound: Floats, added: Any = 0.0) -> None:
        kept = ~np.isnan(values) & (of_span + added <= _NEGLIGIBLE * bound)
        limit = (bound + added + of_span) * slack
        found.append(_frame(inequality, step[where][kept], values[kept], limit[kept]))

    def left(bound: Floats, after: Floats) -> tuple[Floats, Floats]:
        """√(bound − after), what a KL leaves of its bound, and what rounding may add to it."""
        exact = np.sqrt(np.maximum(bound - after, 0))
        most = np.sqrt(np.maximum((np.sqrt(bound) + root) ** 2 * slack - after / slack, 0)) + root
        return exact, most - exact

    whole = np.flatnonzero(~is_half)
    f, v = law.advance(step[whole])
    judge("KL", whole, kl[whole], f * law.start_kl)
    judge_span("span", whole, span[whole], f * law.start_span + v * np.sqrt(law.start_kl))
    anchors = np.flatnonzero(step % law.stride == 0)
    # The last whole step recorded before each point; a point before the first one has none.
    place = np.searchsorted(step[anchors], step, side="left") - 1
    later = whole[place[whole] >= 0]
    before = anchors[place[later]]
    steps = step[later] - step[before]
    f, v = law.advance(steps)
    judge("step", later, kl[later], f * kl[before])
    if int(run["contexts"]) == 1:
        # Over contexts the span is the largest and the KL the average: one does not bound the other.
        exact, added = left(f * kl[before], np.where(law.is_sharp(steps), kl[later], 0))
        change = np.abs(span[later] - f * span[before])
        judge_span("span step", later, change, v / np.sqrt(f) * exact, v / np.sqrt(f) * added)
    halves = np.flatnonzero(is_half)
    unit = float(law.half_step(1.0))
    judge("half step", halves, half_gap[halves], law.half_step(kl_bound(law, step[halves] - 1)), unit**0.5)
    following = halves[(halves > 0) & (halves + 1 < len(step))]
    together = following[(step[following - 1] == step[following] - 1) & (step[following + 1] == step[following] + 1)]
    bound, after = law.factor * kl[together - 1], kl[together + 1]
    exact, added = left(bound, after)
    # Where D' is above its bound it leaves nothing, and no suboptimality is small enough.
    sure = (added <= _NEGLIGIBLE * exact) | ((after > bound) & (root <= _NEGLIGIBLE * np.sqrt(bound)))
    limit = law.half_step((exact + added) ** 2 / law.factor) * slack
    found.append(_frame("half step", step[together][sure], half_gap[together][sure], limit[sure]))
    if run["status"] == "diverged":
        lost = np.array([int(run["diverged_step"])])
        found.append(_frame("KL", lost, np.array([np.inf]), kl_bound(law, lost)))
    return pd.concat(found, ignore_index=True).assign(run_id=run["run_id"])


def _frame(inequality: str, step: Any, value: Floats, bound: Floats) -> pd.DataFrame:
    return pd.DataFrame({"inequality": inequality, "step": step, "value": value, "bound": bound})


def _step_factors(points: pd.DataFrame, law: Law, root: float) -> Floats:
    """Measured KL over that a whole step before, where both are recorded and rounding is negligible."""
    whole = points[points["step"] % law.stride == 0]
    step, kl = whole["step"].to_numpy(), whole["kl_to_equilibrium"].to_numpy(np.float64)
    adjacent = (np.diff(step) == law.stride) & (kl[1:] >= (root / _NEGLIGIBLE) ** 2) & (kl[:-1] > 0)
    return kl[1:][adjacent] / kl[:-1][adjacent]


def _rates(runs: pd.DataFrame, checks: pd.DataFrame, laws: dict[str, Law], steps: dict[str, Floats]) -> pd.DataFrame:
    """One row per solver and β: contraction of the KL by a whole step, and the largest share of each bound that was
    used.

    `slowest` is the largest measured factor of one step, `mean` the largest geometric mean of a run.
    """
    share = checks["value"] / checks["bound"]
    worst = {key: float(value) for key, value in share.groupby([checks["run_id"], checks["inequality"]]).max().items()}
    judged = checks[checks["inequality"].isin(["KL", "half step"])].drop_duplicates(["run_id", "step"])
    counts = judged["run_id"].value_counts()
    broken = checks["run_id"][checks["value"] > checks["bound"]].value_counts()
    rows = []
    for _, group in runs.groupby(["label", "beta", "selection"], sort=False):
        ids = list(group["run_id"])
        law = laws[ids[0]]
        factors = [steps[run] for run in ids if len(steps[run])]
        rows.append(
            {
                "label": group["label"].iloc[0],
                "solver": law.solver,
                "beta": law.beta,
                "eta": law.eta,
                "runs": len(ids),
                "iterates": int(counts.reindex(ids).fillna(0).sum()),
                "queries": queries_of(law),
                "proved": law.factor,
                "slowest": max((float(f.max()) for f in factors), default=np.nan),
                "mean": max((float(np.exp(np.log(f).mean())) for f in factors), default=np.nan),
                **{
                    name: max((worst[run, name] for run in ids if (run, name) in worst), default=np.nan)
                    for name in INEQUALITIES
                },
                "broken": int(broken.reindex(ids).fillna(0).sum()),
            }
        )
    return pd.DataFrame(rows).sort_values(["label", "beta"], ascending=[True, False], ignore_index=True)


def _sizes(runs: pd.DataFrame, points: dict[str, pd.DataFrame], laws: dict[str, Law]) -> pd.DataFrame:
    """Queries to a KL of LEVEL against n: one row per game, solver and β; `proved` is the same for every n."""
    rows, keys = [], ["game", "reference", "label", "beta"]
    for _, group in runs.groupby(keys, sort=False):
        if group["n"].nunique() < 2:
            continue
        law = laws[group["run_id"].iloc[0]]
        measured = {
            int(n): float(np.median([_reached(points[run], law) for run in group["run_id"][group["n"] == n]]))
            for n in sorted(group["n"].unique())
        }
        wholes = int(np.ceil(np.log(2 * law.beta * LEVEL) / np.log(law.factor)))
        proved = max(wholes, 0) * queries_of(law)
        rows.append({**group.iloc[0][keys].to_dict(), "proved": proved, "measured": measured})
    table = pd.DataFrame(rows, columns=[*keys, "proved", "measured"])
    return table.sort_values(["label", "beta"], ascending=[True, False], kind="stable", ignore_index=True)


def _reached(points: pd.DataFrame, law: Law) -> float:
    """Queries to the first whole step with a KL of LEVEL; inf where it was not reached, NaN where π* is not known."""
    kl = points["kl_to_equilibrium"].to_numpy(np.float64)
    if np.isnan(kl).any():
        return float("nan")
    hit = np.flatnonzero((kl <= LEVEL) & (points["step"].to_numpy() % law.stride == 0))
    return float(points["queries"].iloc[hit[0]]) if len(hit) else float("inf")
