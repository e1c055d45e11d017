"""How large a gradient step may be: derived from a game's linearisation at its equilibrium, and measured from curves.

Near π*_β an update is δ ← M δ for the error δ of the logits. A rate is −log ρ(M) per query, ρ the spectral radius:
errors fall like e^{−rate·N} after N queries, and distances quadratic in them (KL, suboptimality) twice as fast.
"""

import numpy as np
import pandas as pd
import scipy
from numpy.typing import NDArray

from nashgames.analysis.outcomes import CELL, complete, labels_without_step, on_samples, quantiles, steps_of

Floats = NDArray[np.float64]

_GRID = np.geomspace(1e-3, 1e3, 121)
"""Steps of Nash Prox among which the first unstable one is sought, 12 % apart: theory's are between 0.01 and 10."""

_EXACT = 1e-12
"""Limits and best steps to this share: far below the accuracy of a measurement, and above rounding in eigenvalues."""

_ROUNDING = 1e-12
"""An eigenvalue below this share of the largest is rounding: n ε for the games that are linearised."""

_TAKES_OFF = 10.0
"""A curve that ends above its start is fitted at least until it has grown by this factor: below it there is too little
growth to fit a rate to."""

_DEEP = 1e-8
"""A curve that falls by more than these eight decades may end in rounding before its floor is reached."""

_FELT = 1e2
"""Of such a curve the last two decades are left out."""


def stable_step_limit(margins: Floats, equilibrium: Floats, beta: float) -> tuple[float, float]:
    """The largest locally stable step of self-play policy gradient and the rate of the best one.

    θ ← θ + a F(π)[Aπ − β log(π/μ)] has at π* the Jacobian I + aJ, J = F(π*)(AF(π*) − β): its step is stable below
    min 2|Re λ|/|λ|² over the eigenvalues λ of J on vectors of mean zero, and its best factor is
    min_a max_λ |1 + aλ|. `margins` A `[n, n]`, `equilibrium` π* `[n]`. Source: theory §4.4 [derived].
    """
    fisher, game = _on_mean_zero(margins, equilibrium)
    return _limit_and_rate(fisher @ (game - beta * np.eye(len(game))))


def mirror_step_limit(margins: Floats, equilibrium: Floats, beta: float) -> tuple[float, float]:
    """The largest locally stable step of self-play mirror descent and the rate of the best one.

    log π ← (1−aβ) log π + aβ log μ + aAπ has at π* the Jacobian I + aJ, J = AF(π*) − β, with the eigenvalues −β ± iω: a
    step is stable below min 2β/(β² + ω²). `margins` A `[n, n]`, `equilibrium` π* `[n]`. Source: theory §4.6 [derived].
    """
    _, game = _on_mean_zero(margins, equilibrium)
    return _limit_and_rate(game - beta * np.eye(len(game)))


def _limit_and_rate(jacobian: Floats) -> tuple[float, float]:
    """The step a up to which I + aJ contracts, and −log of its best spectral radius."""
    real, square = _parts(np.linalg.eigvals(jacobian))
    limit = float(np.min(-2 * real / square))

    def excess(step: float) -> float:
        """max |1 + aλ|² − 1, convex in a."""
        return float(np.max(step * (2 * real + step * square)))

    # A convex function with one valley in (0, limit); `xatol` is absolute.
    best = scipy.optimize.minimize_scalar(
        excess, bounds=(0.0, limit), method="bounded", options={"xatol": _EXACT * limit}
    )
    return limit, -0.5 * float(np.log1p(best.fun))


def prox_rate(
    margins: Floats, equilibrium: Floats, beta: float, step: float, *, eta: float, inner: int, kappa: float
) -> float:
    """The rate per query of Nash Prox with the inner step a = `step`; below 0 where it is unstable.

    With τ = β(1+1/η) an inner step is δ ← Tδ + a(β/η)Fδ̄, T = I + aF(AF − τ), for the errors δ of the policy and δ̄ of
    the target; after `inner` of them δ̄ ← (1−κ)δ̄ + κδ. The rate is −log ρ of all of this together, shared by its
    queries. `margins` A `[n, n]`, `equilibrium` π* `[n]`. Source: theory §4.5 [derived].
    """
    fisher, game = _on_mean_zero(margins, equilibrium)
    identity = np.eye(len(game))
    once = identity + step * fisher @ (game - beta * (1 + 1 / eta) * identity)
    # T^m and Σ_{j<m} T^j at once, as powers of one block matrix.
    powers = np.linalg.matrix_power(np.block([[once, identity], [np.zeros_like(once), identity]]), inner)
    from_policy, summed = powers[: len(game), : len(game)], powers[: len(game), len(game) :]
    from_target = summed @ fisher * (step * beta / eta)
    whole = np.block([
        [from_policy, from_target],
        [kappa * from_policy, (1 - kappa) * identity + kappa * from_target],
    ])  # fmt: skip
    return -float(np.log(np.max(np.abs(np.linalg.eigvals(whole))))) / inner


def prox_step_limit(
    margins: Floats, equilibrium: Floats, beta: float, *, eta: float, inner: int, kappa: float
) -> float:
    """The inner step of Nash Prox up to which all are locally stable, where `prox_rate` first crosses zero."""

    def rate(step: float) -> float:
        return prox_rate(margins, equilibrium, beta, step, eta=eta, inner=inner, kappa=kappa)

    unstable = next((place for place, step in enumerate(_GRID) if not rate(step) > 0), None)
    if unstable in (0, None):
        return float("inf") if unstable is None else 0.0
    return float(
        scipy.optimize.brentq(
            rate, _GRID[unstable - 1], _GRID[unstable], xtol=_EXACT * _GRID[unstable - 1], rtol=_EXACT
        )
    )


def measured(curves: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """The limits of swept steps on exact feedback: one row per cell and solver, medians over the seeds.

    Columns are those of a cell, `label` (the solver without its step), `solver`, `steps` (how many), `limit` with the
    neighbouring steps `low` and `high` (see `crossing`; NaN for fewer than two steps), `best` and its `rate`. Rates are
    fitted to the KL to the equilibrium, to the suboptimality where that was not measured (`signed_rate`).
    """
    runs = complete(runs)
    runs = runs[~on_samples(runs)]
    runs = runs.assign(step=steps_of(runs), rate=rates(curves, runs), label=labels_without_step(runs))
    rows = []
    for _, group in runs.groupby([*CELL, "label"], sort=False):
        seeds = np.array([_of_steps(seed) for _, seed in group.groupby("seed")])
        found = quantiles(seeds, [0.5])[0]
        numbers = dict(zip(("limit", "low", "high", "best", "rate"), found.tolist(), strict=True))
        first = group.iloc[0]
        rows.append(
            {key: first[key] for key in (*CELL, "label", "solver")} | {"steps": group["step"].nunique()} | numbers
        )
    return pd.DataFrame(rows)


def rates(curves: pd.DataFrame, runs: pd.DataFrame) -> list[float]:
    """The signed rate of every run; −inf for one that diverged before there was anything to fit."""
    points = {str(run): rows.sort_values("step", kind="stable") for run, rows in curves.groupby("run_id", sort=False)}
    found = []
    for run, status, beta, dtype in runs[["run_id", "status", "beta", "dtype"]].itertuples(index=False):
        rate = float("nan")
        # At β = 0 the suboptimality is linear in the errors, not their square.
        distances = ("kl_to_equilibrium", "suboptimality") if beta > 0 else ("kl_to_equilibrium",)
        for distance in distances if run in points else ():
            values = points[run][distance].to_numpy(np.float64, na_value=np.nan)
            floor = rounding_floor(distance, beta, dtype)
            rate = signed_rate(points[run]["queries"].to_numpy(np.float64), values, floor)
            if not np.isnan(rate):
                break
        found.append(float("-inf") if np.isnan(rate) and status == "diverged" else rate)
    return found


def _of_steps(runs: pd.DataFrame) -> tuple[float, float, float, float, float]:
    """Limit, its two neighbours, the best step and its rate, for the steps of one solver and seed."""
    known = runs[runs["rate"].notna() & runs["step"].notna()].sort_values("step", kind="stable")
    if known.empty:
        return (float("nan"),) * 5
    steps, rates = known["step"].to_numpy(np.float64, na_value=np.nan), known["rate"].to_numpy(np.float64)
    limit = crossing(steps, rates) if len(steps) > 1 else (float("nan"),) * 3
    best = int(np.argmax(rates))
    return *limit, float(steps[best]), float(rates[best])


def signed_rate(queries: Floats, values: Floats, floor: float = 0.0) -> float:
    """The rate r per query of errors whose squares are the distances `values` `[t]`; below 0 where they grow.

    values ≈ c·e^{−2rN} is fitted by least squares to the later half of the linear regime: before the first value at or
    below `floor`, under which only rounding is left, and where the curve ends above its start, up to the first value
    half of the way (in logarithms, and at least ten times the start) to where it saturates, or to 1. Of a curve that
    falls by more than eight decades the last two are left out, where rounding may be felt before the floor. NaN for
    fewer than two values.
    """
    known = ~np.isnan(values)
    queries, values = queries[known], values[known]
    least = float(np.min(values, initial=np.inf))
    if len(values) and least < _DEEP * values[0]:
        floor = max(floor, _FELT * least)
    lost = np.flatnonzero((values <= floor) | ~np.isfinite(values))
    largest = min(float(np.max(values[np.isfinite(values)], initial=0.0)), 1.0)
    grown = np.flatnonzero(values > np.maximum(_TAKES_OFF * values[:1], np.sqrt(values[:1] * largest)))
    end = int(lost[0]) if len(lost) else len(values)
    if len(grown) and not values[-1] < values[0]:
        end = min(end, int(grown[0]) + 1)
    queries, logs = queries[:end], np.log(values[:end])
    if len(logs) < 2:
        return float("nan")
    start = min(int(np.searchsorted(queries, (queries[0] + queries[-1]) / 2)), len(logs) - 2)
    x = queries[start:] - queries[start:].mean()
    return -float(x @ (logs[start:] - logs[start:].mean()) / (x @ x)) / 2


def crossing(steps: Floats, rates: Floats) -> tuple[float, float, float]:
    """The largest stable step between the last of the rising `steps` `[k]` with a positive rate and its neighbour.

    With it the two neighbours. One mode has e^{−2r} = 1 + 2a Re λ + a²|λ|²: (1 − e^{−2r})/a is a line in a, whose zero
    is the limit. Where all steps are stable the limit is above them, (last, last, inf), and where none is below,
    (first, 0, first). A rate of −inf, growth too fast to measure, leaves the middle of the neighbours.
    """
    stable = np.flatnonzero(rates > 0)
    if not len(stable):
        return float(steps[0]), 0.0, float(steps[0])
    last = int(stable[-1])
    low = float(steps[last])
    if last == len(steps) - 1:
        return low, low, float("inf")
    high = float(steps[last + 1])
    if not np.isfinite(rates[last + 1]):
        return float(np.sqrt(low * high)), low, high
    inside, outside = (-np.expm1(-2 * rates[last : last + 2]) / steps[last : last + 2]).tolist()
    return low + (high - low) * inside / (inside - outside), low, high


def rounding_floor(distance: str, beta: float, dtype: str) -> float:
    """The value of a distance below which rounding dominates: (ε/β)² for the KL to π*, ε²/β for the suboptimality.

    Log-probabilities carry the error of Aπ/β, of the order ε/β; the KL is quadratic in them and the suboptimality
    is β times a KL (theory §2). At β = 0 they carry that of a sum of Aπ, and the suboptimality is linear: ε², and ε.
    """
    epsilon = float(np.finfo(dtype).eps)
    if beta == 0:
        return epsilon**2 if distance == "kl_to_equilibrium" else epsilon
    return (epsilon / beta) ** 2 * (1.0 if distance == "kl_to_equilibrium" else beta)


def _on_mean_zero(margins: Floats, policy: Floats) -> tuple[Floats, Floats]:
    """F = diag π − ππᵀ and AF in an orthonormal basis of the vectors of mean zero, `[n−1, n−1]`.

    F is zero on constants and maps into mean zero, so that nothing else is left out.
    """
    policy = np.asarray(policy, np.float64)
    n = len(policy)
    basis = np.linalg.qr(np.column_stack([np.ones(n), np.eye(n)[:, 1:]]))[0][:, 1:]
    fisher = np.diag(policy) - np.outer(policy, policy)
    return basis.T @ fisher @ basis, basis.T @ np.asarray(margins, np.float64) @ fisher @ basis


def _parts(eigenvalues: NDArray[np.inexact]) -> tuple[Floats, Floats]:
    """Re λ and |λ|² of the eigenvalues above rounding: actions that are hardly played have some that are not."""
    square = np.abs(eigenvalues) ** 2
    felt = square > _ROUNDING**2 * np.max(square)
    return eigenvalues.real[felt], square[felt]
