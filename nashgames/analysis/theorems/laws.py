"""Proved bounds on the distances of Nash-MP and of the proximal-point loop, with what rounding may add.

Notation: h, τ are the step and the temperature of the Nash-MP steps taken (η, β for Nash-MP itself; 2τ and β(1+1/η)
inside the proximal-point loop); D = KL(π*‖π), C = KL(π_{k+½}‖π*), x = log π − log π*; a is an iterate from which steps
are counted: any of Nash-MP, the target of the outer step in the proximal-point loop. α = 0, there h/(1+η); c = hβ/τ.

**One step** is (1+h) x' = x + αx_a + (h/τ) A(π_{k+½} − π*) up to a constant. A is skew-symmetric: in the product with
π_{k+½} − π* its term vanishes, and what is left is the identity, since h − α = c,

    cC + (1+h) D' = D + α(D_a − KL(π_{k+½}‖π_a)) − [KL(π_{k+½}‖π_k) − (1+h) KL(π_{k+½}‖π_{k+1})].

With h/τ ≤ 2√(1+h) the bracket is ≥ 0 (theory §4.1, §4.7). Weighted and summed over i steps from a, δ = (1+h)^{−i},
f = δ for Nash-MP and (1 + ηδ)/(1+η) in the proximal-point loop, however far that is from its own equilibrium:

    R = f D_a − D_i ≥ c Σ_j (1+h)^{j−i} C_j ≥ 0.                                                                (KL)

**Half step.** SubOpt(π) ≤ (β + 1/(4β)) KL(π‖π*) and (KL) with i = 1 bound the suboptimality of π_{k+½} by what the
step leaves, ηC ≤ D − (1+η) D', so also by D.

**Span.** A difference of two rows of A lies in [−1, 1] and π_{k+½} − π* sums to 0, so that span(A(π_{k+½} − π*)) ≤
‖π_{k+½} − π*‖₁ ≤ √(2C) (Pinsker). In x_i = f x_a + Σ_j (1+h)^{j−i} (h/τ) A(π_{j+½} − π*), Cauchy and Schwarz and (KL):

    |span_i − f span_a| ≤ √(2(1−δ)R/(βτ)).                                                                      (span)

From both sides: where rarely played actions make R small beside the span, this is nearly an equality.

**Several outer steps** in a row give products of f, and span ≤ f span_a + v √D_a with a closed v. From π_0 = μ:
D_0 ≤ 1/(2β) and span_0 = span(Aπ*)/β ≤ 1/β. No inequality knows n. All of it [derived].
"""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from nashgames.analysis.outcomes import VARIANTS
from nashgames.errors import NashGamesError

Floats = NDArray[np.float64]

NASH_MP, HALVES, PROXIMAL_POINT, EGPO = "nash-mp", "halves[nash-mp]", "proximal-point", "egpo"
SOLVERS = (NASH_MP, HALVES, PROXIMAL_POINT, EGPO)
"""The solvers that a theorem covers; `egpo` of a table is Nash-MP with η/(1+η) = aβ in another form (theory §4.1)."""

_DECIMAL = 1e-6
"""The largest proved step may have gone through decimal text or float32, and is admitted up to this share above."""


@dataclass(frozen=True)
class Law:
    """The theorem for one run: its solver, β and η, and the `inner` steps of the proximal-point loop."""

    solver: str
    beta: float
    eta: float
    inner: int = 1

    @property
    def is_outer(self) -> bool:
        """Whether whole steps are outer steps with an inner loop."""
        return self.solver == PROXIMAL_POINT

    @property
    def temperature(self) -> float:
        """τ, of the game whose Nash-MP steps are taken."""
        return self.beta * (1 + 1 / self.eta) if self.is_outer else self.beta

    @property
    def step(self) -> float:
        """h, the η of the Nash-MP steps taken."""
        return 2 * self.temperature if self.is_outer else self.eta

    @property
    def start_kl(self) -> float:
        """The bound on KL(π*‖μ)."""
        return 1 / (2 * self.beta)

    @property
    def start_span(self) -> float:
        """The bound on the span of log μ − log π*."""
        return 1 / self.beta

    @property
    def stride(self) -> int:
        """Recorded steps of a whole one: two halves, or the inner steps of an outer one."""
        return {HALVES: 2, PROXIMAL_POINT: self.inner}.get(self.solver, 1)

    @property
    def factor(self) -> float:
        """The proved contraction of the KL by a whole step."""
        return float(self.advance(self.stride)[0])

    def advance(self, steps: ArrayLike) -> tuple[Floats, Floats]:
        """(f, v) after `steps` recorded steps from a whole one a: D ≤ f D_a and |span − f span_a| ≤ v √D_a.

        Up to the next whole step D_a may be R/f, R = f D_a − D (module docstring), of Nash-MP after any steps.
        """
        steps = np.asarray(steps)
        whole, part = np.divmod(steps, self.stride)
        if not self.is_outer:
            f = np.exp(-np.log1p(self.eta) * whole)
            return f, self._spread(f, f)
        rho, root_rho = (np.asarray(value) for value in self._outer())
        delta = np.exp(-np.log1p(self.step) * part)
        f = (1 + self.eta * delta) / (1 + self.eta)
        before = np.where(whole > 0, root_rho ** (whole - 1.0) * (1 - root_rho**whole) / (1 - root_rho), 0)
        v = (
            f * self._spread(rho, (1 + self.step) ** -float(self.inner)) * before
            + self._spread(f, delta) * root_rho**whole
        )
        return rho**whole * f, v

    def is_sharp(self, steps: ArrayLike) -> NDArray[np.bool_]:
        """Whether R = f D_a − D stands for f D_a in the bound on the span after `steps` from a whole one."""
        return np.logical_or(not self.is_outer, np.asarray(steps) <= self.stride)

    def half_step(self, left: ArrayLike) -> Floats:
        """The bound on the suboptimality of π_{k+½}, (β + 1/(4β)) `left`/η, by what the step leaves, at most D.

        That is D − (1+η) D', where D' is known.
        """
        return np.asarray(left) * (self.beta + 1 / (4 * self.beta)) / self.eta

    def _outer(self) -> tuple[float, float]:
        rho = (1 + self.eta * (1 + self.step) ** -float(self.inner)) / (1 + self.eta)
        return rho, rho**0.5

    def _spread(self, f: Any, delta: Any) -> Any:
        return np.sqrt(2 * f * (1 - delta) / (self.beta * self.temperature))

    def update_error(self, n: int, epsilon: float, largest: float, residual: float) -> float:
        """w, what rounding adds to an entry of (1+h) log π_new: (1+h)e + hrβ/τ.

        `epsilon` is that of the dtype, `largest` |log π|, `residual` that of π*. An update in floating point is an
        exact one plus an error of at most e = ε(4 max|log π| + (1 + h/τ)√n), n terms being summed with an error of
        √n ε (Higham and Mary 2019); the residual r of π*, rounded itself, acts as one more. [derived]
        """
        return (1 + self.step) * self._entry_error(n, epsilon, largest) + (
            self.step * self.beta / self.temperature * (residual + epsilon * largest)
        )

    def rounding(self, n: int, epsilon: float, largest: float, residual: float) -> tuple[float, float]:
        """What rounding may add to √D (and to the root of every other bound, in its units) and to the span.

        The errors of `update_error` enter the inequality of a step as ⟨error, π − π*⟩ ≤ |error| √(2D): it becomes
        √(1+h) √D' ≤ √D + a, a = 2√2 √(1+h) e + w/√(2hβ/τ). What is left of all steps is a geometric sum; that of the
        span follows from the same sum under Cauchy and Schwarz. With the terms C_j kept, c(√C_j − w/(c√2))² stands
        beside (1+h) D', and the root of c Σ_j (1+h)^{j−i} C_j is that of R, for f D_a with its own rounding, plus less
        than once more. [derived]
        """
        h, c = self.step, self.step * self.beta / self.temperature
        error, w = self._entry_error(n, epsilon, largest), self.update_error(n, epsilon, largest, residual)
        residual = residual + epsilon * largest
        a = 2 * (2 * (1 + h)) ** 0.5 * error + w / (2 * c) ** 0.5
        rho, root_rho = self._outer() if self.is_outer else (0.0, 0.0)
        outer = 1 + 1 / (1 - root_rho) if self.is_outer else 1.0
        root = a * (2 + 1 / ((1 + h) ** 0.5 - 1)) * outer + 8**0.5 * self.beta * residual * self.eta**0.5
        of_span = (2 / (self.beta * self.temperature)) ** 0.5 * (2 + h**0.5 / 2) * root
        return root, (of_span + 2 * ((1 + h) * error / h + residual)) / (1 - rho)

    def _entry_error(self, n: int, epsilon: float, largest: float) -> float:
        return epsilon * (4 * largest + (1 + self.step / self.temperature) * n**0.5)


def law_of(run: Any) -> Law | None:
    """The theorem for a row of runs or curves; None where none covers its solver or its η.

    Theorems cover exact feedback, tabular policies moved by plain steps, and runs from π_0 = μ.
    """
    covered = {**VARIANTS, "start": "reference"}
    if run["solver"] not in SOLVERS or any(run.get(key, value) != value for key, value in covered.items()):
        return None
    numbers, beta = json.loads(run["hyperparameters"]), float(run["beta"])
    eta = numbers.get("eta")
    if run["solver"] == EGPO:
        share = numbers["step"] * beta
        eta = share / (1 - share) if share < 1 else None
    if not isinstance(eta, int | float):
        return None
    law = Law(run["solver"], beta, float(eta), int(numbers.get("inner", 1)))
    return law if law.step / law.temperature <= 2 * np.sqrt(1 + law.step) * (1 + _DECIMAL) else None


def laws_of(runs: pd.DataFrame) -> dict[str, Law]:
    """The theorems for the rows of runs that one covers, by run_id; NashGamesError where it covers none."""
    laws = {row["run_id"]: law for row in runs.to_dict("records") if (law := law_of(row)) is not None}
    if not laws:
        raise NashGamesError(
            f"no run is covered by a theorem; play {NASH_MP} or {HALVES} with η ≤ 2β, {PROXIMAL_POINT} with any η, or "
            f"{EGPO} of a table with aβ ≤ 2β/(1+2β) and plain steps, on exact feedback and from the reference"
        )
    return laws


def kl_bound(law: Law, steps: ArrayLike) -> Floats:
    """The bound on KL(π*‖π) after `steps` recorded steps from π_0 = μ."""
    return law.advance(steps)[0] * law.start_kl


def queries_of(law: Law) -> int:
    """Queries of a whole step."""
    return 2 * law.inner if law.is_outer else 2
