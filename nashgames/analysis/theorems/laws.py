"""What is proved of the distances of Nash-MP and of the proximal-point loop, with what rounding may add.

Notation: h, τ are the step and the temperature of the Nash-MP steps taken (η, β for Nash-MP itself; 2τ and β(1+1/η)
inside the proximal-point loop); D = KL(π*‖π), C = KL(π_{k+½}‖π*), x = log π − log π*. With h/τ ≤ 2√(1+h) a step of
Nash-MP gives ηC + (1+η) D' ≤ D (theory §4.1, §4.7). Weighted and summed over m steps from an iterate a, φ = (1+η)^{−m}:

    D_m ≤ φ D_a,   Σ_j (1+η)^j η C_j ≤ D_a.                                                                     (KL)

**Half step.** SubOpt(π) ≤ (β + 1/(4β)) KL(π‖π*) and ηC ≤ D bound the suboptimality of π_{k+½} by D_k.

**Span.** The update says (1+η) x' = x + (η/β) A(π_{k+½} − π*) up to a constant. A difference of two rows of A lies in
[−1, 1] and π_{k+½} − π* sums to 0, so that span(A(π_{k+½} − π*)) ≤ ‖π_{k+½} − π*‖₁ ≤ √(2C) (Pinsker). Unrolled over m
steps, with Cauchy and Schwarz on Σ_j (1+η)^j √(2C_j) and the sum in (KL):

    span_m ≤ φ span_a + √(2φ(1−φ) D_a)/β.                                                                       (span)

**Proximal point.** The same for i inner steps from π_k, with π* as comparator, whatever they have reached of their own
equilibrium: δ = (1+h)^{−i}, f = (1 + ηδ)/(1+η), D ≤ f D_k and span ≤ f span_k + √(2f(1−δ) D_k/(βτ)), for every η > 0.

From π_0 = μ: D_0 ≤ 1/(2β) and span_0 = span(Aπ*)/β ≤ 1/β. No inequality knows n. All of it [derived].
"""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from nashgames.errors import NashGamesError

Floats = NDArray[np.float64]

NASH_MP, HALVES, PROXIMAL_POINT = "nash-mp", "halves[nash-mp]", "proximal-point"
SOLVERS = (NASH_MP, HALVES, PROXIMAL_POINT)


@dataclass(frozen=True)
class Law:
    """What is proved of one run: its solver, β and η, and the `inner` steps of the proximal-point loop."""

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
    def stride(self) -> int:
        """Recorded steps of a whole one: two halves, or the inner steps of an outer one."""
        return {NASH_MP: 1, HALVES: 2, PROXIMAL_POINT: self.inner}[self.solver]

    @property
    def factor(self) -> float:
        """The proved contraction of the KL by a whole step."""
        return float(self.advance(self.stride)[0])

    def advance(self, steps: ArrayLike) -> tuple[Floats, Floats]:
        """(f, v) after `steps` recorded steps from a whole one: D ≤ f D_a and span ≤ f span_a + v √D_a."""
        steps = np.asarray(steps)
        whole, part = np.divmod(steps, self.stride)
        if not self.is_outer:
            f = np.exp(-np.log1p(self.eta) * whole)
            return f, np.sqrt(2 * f * (1 - f)) / self.beta
        rho, root_rho = (np.asarray(value) for value in self._outer())
        delta = np.exp(-np.log1p(self.step) * part)
        f = (1 + self.eta * delta) / (1 + self.eta)
        before = np.where(whole > 0, root_rho ** (whole - 1.0) * (1 - root_rho**whole) / (1 - root_rho), 0)
        v = (
            f * self._spread(rho, (1 + self.step) ** -float(self.inner)) * before
            + self._spread(f, delta) * root_rho**whole
        )
        return rho**whole * f, v

    def half_step(self, kl: ArrayLike) -> Floats:
        """The bound on the suboptimality of π_{k+½} by D_k: (β + 1/(4β)) D_k/η."""
        return np.asarray(kl) * (self.beta + 1 / (4 * self.beta)) / self.eta

    def _outer(self) -> tuple[float, float]:
        rho = (1 + self.eta * (1 + self.step) ** -float(self.inner)) / (1 + self.eta)
        return rho, rho**0.5

    def _spread(self, f: Any, delta: Any) -> Any:
        return np.sqrt(2 * f * (1 - delta) / (self.beta * self.temperature))

    def rounding(self, n: int, epsilon: float, largest: float, residual: float) -> tuple[float, float]:
        """What rounding may add to √D (and to the root of every other bound, in its units) and to the span.

        `epsilon` is that of the dtype, `largest` |log π|, `residual` that of π*. An update in floating point is an
        exact one plus an error of at most e = ε(4 max|log π| + (1 + h/τ)√n), n terms being summed with an error of
        √n ε (Higham and Mary 2019); the residual r of π* acts as one more, hr β/τ. They enter the inequality of a step
        as ⟨error, π − π*⟩ ≤ |error| √(2D): with w = (1+h)e + hrβ/τ it becomes √(1+h) √D' ≤ √D + a,
        a = 2√2 √(1+h) e + w/√(2hβ/τ). What is left of all steps is a geometric sum; that of the span follows from the
        same sum under Cauchy and Schwarz. [derived]
        """
        h, share = self.step, self.beta / self.temperature
        error = epsilon * (4 * largest + (1 + h / self.temperature) * n**0.5)
        residual = residual + epsilon * largest
        a = 2 * (2 * (1 + h)) ** 0.5 * error + ((1 + h) * error + h * share * residual) / (2 * h * share) ** 0.5
        rho, root_rho = self._outer() if self.is_outer else (0.0, 0.0)
        outer = 1 + 1 / (1 - root_rho) if self.is_outer else 1.0
        root = a * (2 + 1 / ((1 + h) ** 0.5 - 1)) * outer + 8**0.5 * self.beta * residual * self.eta**0.5
        of_span = (2 / (self.beta * self.temperature)) ** 0.5 * (2 + h**0.5 / 2) * root
        return root, (of_span + 2 * ((1 + h) * error / h + residual)) / (1 - rho)


def law_of(run: Any) -> Law | None:
    """What is proved of a row of runs or curves; None where its solver or its η is in no theorem.

    What is proved is proved of exact feedback and from π_0 = μ.
    """
    numbers = json.loads(run["hyperparameters"])
    if run.get("feedback", "exact") != "exact" or run.get("start", "reference") != "reference":
        return None
    if run["solver"] not in SOLVERS or not isinstance(numbers.get("eta"), int | float):
        return None
    law = Law(run["solver"], float(run["beta"]), float(numbers["eta"]), int(numbers.get("inner", 1)))
    # The slack admits a largest step that went through decimal text or float32.
    proved = law.step / law.temperature <= 2 * np.sqrt(1 + law.step) * (1 + 1e-6)
    return law if proved else None


def laws_of(runs: pd.DataFrame) -> dict[str, Law]:
    """What is proved of the rows of runs that a theorem covers, by run_id; NashGamesError where it covers none."""
    laws = {row["run_id"]: law for row in runs.to_dict("records") if (law := law_of(row)) is not None}
    if not laws:
        raise NashGamesError(
            f"no run is covered by a theorem; play {NASH_MP} or {HALVES} with η ≤ 2β, or {PROXIMAL_POINT} with any η, "
            f"on exact feedback and from the reference"
        )
    return laws


def kl_bound(law: Law, steps: ArrayLike) -> Floats:
    """The bound on KL(π*‖π) after `steps` recorded steps from π_0 = μ."""
    return law.advance(steps)[0] / (2 * law.beta)


def queries_of(law: Law) -> int:
    """Queries of a whole step."""
    return 2 * law.inner if law.is_outer else 2
