"""Other people's programs as judges of saved policies, through `peers`.

A peer's equilibrium p̂ is itself certified first: KL(p̂‖π*) ≤ κ, its `kl_bound`. Then for every policy π

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
from nashgames.verification.ledger import Judgement, Report, Row
from nashgames.verification.numbers import Number, Rounding, averaged_steps, kl_to_reference, of_distances

_KL = 1e-12
_EXPLOITABLE = 1e-6
"""How exact a peer's own equilibrium has to be for it to judge, at β > 0 (κ) and at β = 0."""

_VALUE, _VERTEX = 1e-9, 1e-10
_NEAREST = 1e-6


class Judge:
    """One peer, and what it said so far."""

    def __init__(self, peer: str) -> None:
        self.judgement = Judgement(peer)
        # The smallest game shows, before anything else is computed, whether the peer is there.
        known = external.EXTERNAL_SOLVERS.get(peer.partition("[")[0].strip())
        external.solve(peer, np.zeros((2, 2)), np.log([0.5, 0.5]), 1.0 if known is None or known.regularised else 0.0)

    def judge(self, game: Game, runs: Sequence[tuple[Row, np.ndarray]], report: Report) -> None:
        """Compare the saved policies of runs that play this game at its β with the peer's equilibrium of it."""
        try:
            with np.errstate(divide="ignore"):
                log_found = np.log(self._solve(game))
        except NashGamesError as error:
            self.judgement.reasons[str(error)] += len(runs)
            return
        found = certify(game, log_found)
        for row, log_policy in runs:
            reason = _incapable(found, row)
            if reason is not None:
                self.judgement.reasons[reason] += 1
                continue
            self.judgement.judged += 1
            compare = self._value if found.beta == 0 else self._distance
            compare(row, game, log_policy, log_found, found, report)

    def finish(self, runs: int) -> None:
        """Count the runs of the directory that did not get as far as this judge."""
        rest = runs - self.judgement.judged - self.judgement.reasons.total()
        if rest:
            self.judgement.reasons["the run could not be verified itself"] = rest

    def _distance(
        self, row: Row, game: Game, log_policy: np.ndarray, log_found: np.ndarray, found: Certificate, report: Report
    ) -> None:
        """The row's KL(π*‖π), or for an exact equilibrium its own distance to the peer's, which is 0."""
        rounding = Rounding(row["dtype"], game.actions, averaged_steps(row))
        residual = row["equilibrium_residual"] or 0.0
        known = of_distances(game, log_policy, log_found, residual, rounding)["kl_to_equilibrium"]
        bound, stored = found.kl_bound, row["kl_to_equilibrium"]
        if row["solver"] == REFEREE:
            # Each is as near to π* as its own bound says, and √KL is a distance where it is small.
            own = certify(game, log_policy).kl_bound
            allowed, stored = 4 * (np.sqrt(bound) + np.sqrt(own)) ** 2, 0.0
        else:
            allowed = bound + 0.5 * np.sqrt(2 * bound) * (row["span_to_equilibrium"] or 0.0)
        column = f"kl_to_equilibrium ({self.judgement.peer})"
        report.number(row, column, stored, Number(known.value, known.allowed + float(allowed)))

    def _value(
        self, row: Row, game: Game, log_policy: np.ndarray, log_found: np.ndarray, found: Certificate, report: Report
    ) -> None:
        """The row's exploitability is no larger than the peer's, and at a vertex its KL(π‖μ) is no larger either."""
        peer, stored = self.judgement.peer, row["exploitability"]
        known = Number(found.exploitability, found.exploitability + _VALUE)
        report.number(row, f"exploitability ({peer})", stored, known)
        if found.exploitability <= _VERTEX and row["kl_to_reference"] is not None:
            theirs = kl_to_reference(game, log_found)
            nearest = Number(min(theirs, row["kl_to_reference"]), _NEAREST)
            report.number(row, f"kl_to_reference ({peer})", row["kl_to_reference"], nearest)

    def _solve(self, game: Game) -> np.ndarray:
        margins = np.asarray(game.margins.to_dense())
        contexts = margins.reshape(-1, *margins.shape[-2:])
        log_references = np.asarray(game.log_reference, np.float64).reshape(len(contexts), -1)
        beta = float(game.beta)
        found = [
            external.solve(self.judgement.peer, a, mu, beta) for a, mu in zip(contexts, log_references, strict=True)
        ]
        return np.stack(found).reshape(margins.shape[:-1])


def _incapable(found: Certificate, row: Row) -> str | None:
    """Why this answer of the peer cannot judge the row; None where it can."""
    off, most = (found.kl_bound, _KL) if found.beta > 0 else (found.exploitability, _EXPLOITABLE)
    if not off <= most:
        what = "KL from the equilibrium" if found.beta > 0 else "exploitability"
        return f"at beta {found.beta:g} its own {what} is up to {off:.1e}, more than {most:.0e}"
    if row["solver"] != REFEREE and row["kl_to_equilibrium"] is None:
        return "the row has no distance to an equilibrium"
    return None
