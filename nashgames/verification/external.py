"""Saved policies checked with external solvers.

An external solver's equilibrium p̂ is itself certified first: KL(p̂‖π*) ≤ κ, its `kl_bound`. Then for every policy π

    |KL(p̂‖π) − KL(π*‖π)| ≤ κ + ½ √(2κ) span(log π − log π*),

because the difference is KL(p̂‖π*) + Σ (p̂ − π*) log(π*/π). At β = 0 a linear program ends at a vertex, another
equilibrium than ours: what has to agree is the exploitability, and the vertex cannot be closer to μ than the limit is.
"""

from collections.abc import Sequence

import numpy as np

from nashgames.core.game import Game
from nashgames.defaults import REFEREE
from nashgames.errors import NashGamesError
from nashgames.exact import external
from nashgames.exact.certificate import Certificate, certify
from nashgames.verification.ledger import Checked, Report, Row
from nashgames.verification.numbers import Number, Rounding, averaged_steps, kl_to_reference, of_distances

_KL = 1e-12
"""The largest κ of an external equilibrium that a check is made with; Gambit arrives at 1e-15 and below."""

_EXPLOITABLE = 1e-6
"""The same at β = 0, of the exploitability: linear programs end at 1e-7, and ten times that is no equilibrium."""

_VALUE = 1e-9
"""Exploitability beyond the external one that is rounding: ten times what the referee allows itself."""

_VERTEX = 1e-10
"""A vertex is compared in KL only when it is as exact as the referee's limit: what is no equilibrium may be closer."""

_NEAREST = 1e-6
"""Nats that such a vertex may seem closer to μ: a margin of 1e-4 magnifies its 1e-10 to this."""


class ExternalCheck:
    """One external solver, and what was checked with it so far."""

    def __init__(self, solver: str) -> None:
        self.checked = Checked(solver)
        # The smallest game shows, before anything else is computed, whether the solver is there.
        known = external.EXTERNAL_SOLVERS.get(solver.partition("[")[0].strip())
        external.solve(solver, np.zeros((2, 2)), np.log([0.5, 0.5]), 1.0 if known is None or known.regularised else 0.0)

    def check(self, game: Game, runs: Sequence[tuple[Row, np.ndarray]], report: Report) -> None:
        """Compare the saved policies of runs that play this game at its β with the solver's equilibrium of it."""
        try:
            log_found = external.solve_game(self.checked.solver, game, float(game.beta))
        except NashGamesError as error:
            self.checked.reasons[str(error)] += len(runs)
            return
        found = certify(game, log_found)
        for row, log_policy in runs:
            reason = _incapable(found, row)
            if reason is not None:
                self.checked.reasons[reason] += 1
                continue
            self.checked.runs += 1
            compare = self._value if found.beta == 0 else self._distance
            compare(row, game, log_policy, log_found, found, report)

    def finish(self, runs: int) -> None:
        """Count the runs of the directory that did not get as far as this check."""
        rest = runs - self.checked.runs - self.checked.reasons.total()
        if rest:
            self.checked.reasons["the run could not be verified itself"] = rest

    def _distance(
        self, row: Row, game: Game, log_policy: np.ndarray, log_found: np.ndarray, found: Certificate, report: Report
    ) -> None:
        """The row's KL(π*‖π), or for an exact equilibrium its own distance to the external one, which is 0."""
        rounding = Rounding(row["dtype"], game.actions, averaged_steps(row))
        residual = row["equilibrium_residual"] or 0.0
        known = of_distances(game, log_policy, log_found, residual, rounding)["kl_to_equilibrium"]
        bound, stored = found.kl_bound, row["kl_to_equilibrium"]
        if row["solver"] == REFEREE:
            # Each is as near to π* as its own bound says, and √KL is a distance where it is small; twice the sum is let
            # pass.
            own = certify(game, log_policy).kl_bound
            allowed, stored = 4 * (np.sqrt(bound) + np.sqrt(own)) ** 2, 0.0
        else:
            allowed = bound + 0.5 * np.sqrt(2 * bound) * (row["span_to_equilibrium"] or 0.0)
        column = f"kl_to_equilibrium ({self.checked.solver})"
        report.number(row, column, stored, Number(known.value, known.allowed + float(allowed)))

    def _value(
        self, row: Row, game: Game, log_policy: np.ndarray, log_found: np.ndarray, found: Certificate, report: Report
    ) -> None:
        """The row's exploitability is no larger than the external one, nor is its KL(π‖μ) where that is a vertex."""
        solver, stored = self.checked.solver, row["exploitability"]
        known = Number(found.exploitability, found.exploitability + _VALUE)
        report.number(row, f"exploitability ({solver})", stored, known)
        if found.exploitability <= _VERTEX and row["kl_to_reference"] is not None:
            theirs = kl_to_reference(game, log_found)
            nearest = Number(min(theirs, row["kl_to_reference"]), _NEAREST)
            report.number(row, f"kl_to_reference ({solver})", row["kl_to_reference"], nearest)


def _incapable(found: Certificate, row: Row) -> str | None:
    """Why this external equilibrium says nothing of the row; None where it can."""
    off, most = (found.kl_bound, _KL) if found.beta > 0 else (found.exploitability, _EXPLOITABLE)
    if not off <= most:
        what = "KL from the equilibrium" if found.beta > 0 else "exploitability"
        return f"at beta {found.beta:g} its own {what} is up to {off:.1e}, more than {most:.0e}"
    if row["solver"] != REFEREE and row["kl_to_equilibrium"] is None:
        return "the row has no distance to an equilibrium"
    return None
