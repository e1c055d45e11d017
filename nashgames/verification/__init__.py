"""A results directory computed again: from the saved policies alone, and by playing a sample of its runs again.

Margins are made and equilibria found once for all runs that share them. What is compared, and what rounding allows, is
in `numbers`; whether the tables agree with each other, in `stored`; what external solvers say, in `external`.
Code of a user's file runs only where its user names that file here: nothing in a results directory is ever imported.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nashgames.core.game import DEFAULT_BETA, Game
from nashgames.core.metrics import OF_EQUILIBRIUM
from nashgames.defaults import REFEREE, REPLAY, UNLISTED
from nashgames.errors import NashGamesError
from nashgames.exact.certificate import Certificate, certify
from nashgames.exact.referee import equilibrium_path, nearest
from nashgames.experiments.exact_path import PLAYED
from nashgames.experiments.sources import ReferenceKey, Source, reference_key
from nashgames.learning.references import resolve_reference
from nashgames.store import Results
from nashgames.verification import stored
from nashgames.verification.code import named_files, source_of
from nashgames.verification.external import ExternalCheck
from nashgames.verification.files import check_files
from nashgames.verification.ledger import Checked, Column, Mismatch, Replayed, Report, Row, Unverified
from nashgames.verification.numbers import (
    Number,
    Rounding,
    averaged_steps,
    known_residual,
    of_certificate,
    of_distances,
    of_policy,
)
from nashgames.verification.replay import EFFORT, Replaying, play_again
from nashgames.verification.sample import drawn

__all__ = [
    "EFFORT",
    "Checked",
    "Column",
    "Mismatch",
    "Replayed",
    "Replaying",
    "Report",
    "Unverified",
    "Verifying",
    "verify",
]

# A residual that every referee calls exact, as its tolerance is at least 4e-12: such a row has distances.
_KNOWN = 1e-12


@dataclass(frozen=True)
class Verifying:
    """How far a verification is: `done` of `runs`, and the game whose runs come next."""

    done: int
    runs: int
    title: str


@dataclass(frozen=True)
class _Star:
    """An equilibrium to measure distances to and its residual; of several, `nearest` gives that nearest to a policy."""

    log_policy: np.ndarray
    residual: float
    nearest: Callable[[np.ndarray], np.ndarray] | None = None

    def to(self, log_policy: np.ndarray) -> np.ndarray:
        """The equilibrium that the distances of a policy are measured to; NaN where it is not known."""
        return self.log_policy if self.nearest is None else self.nearest(log_policy)


def verify(
    directory: str | Path,
    check_with: Sequence[str] = (),
    *,
    replay: str | int = REPLAY,
    code: Sequence[str | Path] = (),
) -> Iterator[Verifying | Replaying | Report]:
    """Compute the last points of the runs in `directory` again, play some of the runs again, and check the files.

    The last thing yielded is the `Report`.

    `check_with` names external solvers that check the runs they can; `replay` says which runs are played again: `all`,
    a number or a share of them, drawn by what the directory holds; `code` are the Python files that make games and
    solvers of the directory. Raises NashGamesError for a directory without finished runs, for an external solver that
    does not exist or is not installed, for another `replay`, and for a file that is not there.
    """
    files = named_files(code)
    drawn(replay, (), "")
    checks = [ExternalCheck(solver) for solver in dict.fromkeys(check_with)]
    results = Results.read(directory)
    rows = stored.records(results.runs.drop_duplicates("run_id"))
    if not rows:
        raise NashGamesError(f"'{directory}' has no finished run to verify; start its command again")
    told = " ".join(f"{row['game']} {row['selection']}" for row in rows)
    for name, path in files.items():
        if f"{name}:" not in told:
            raise NashGamesError(
                f"code is '{path}', and no run of '{directory}' has a game or a solver of a file '{name}'; leave it out"
            )
    report = Report(results.directory, runs=len(rows), external=[check.checked for check in checks])
    content = check_files(results.directory, report)
    stored.check_complete(results, report)
    stored.check_recorded(results, rows, report)
    stored.check_curves(results, rows, report)
    stored.check_points(results, rows, report)
    verification = _Verification(results, report, checks)
    done = 0
    for source, of_game in _grouped(rows, results, files, report):
        yield Verifying(done, len(rows), f"{source.text} · {of_game[0]['n']:,} actions")
        verification.of_game(source, of_game)
        done += len(of_game)
    for check in checks:
        check.finish(len(rows))
    played = {row["run_id"]: row for row in rows if row["solver"] != REFEREE}
    report.exact = len(rows) - len(played)
    wanted = {run_id: played[run_id] for run_id in drawn(replay, played, content)}
    yield from play_again(results, wanted, files, report)
    report.close(rows)
    yield report


def _grouped(
    rows: Iterable[Row], results: Results, files: Mapping[str, Path], report: Report
) -> list[tuple[Source, list[Row]]]:
    """The rows by the margins they play; a row whose game cannot be named is given up."""
    sources: dict[tuple[str, str | None], Source | NashGamesError] = {}
    groups: dict[tuple[Any, ...], tuple[Source, list[Row]]] = {}
    for row in rows:
        named = (row["game"], row["game_fingerprint"])
        if named not in sources:
            try:
                sources[named] = source_of(*named, results, files)
            except NashGamesError as error:
                sources[named] = error
        source = sources[named]
        if isinstance(source, NashGamesError):
            report.give_up(row, str(source))
            continue
        depends = (row["seed"] if source.takes_seed else 0, row["beta"] if source.takes_beta else 0.0)
        groups.setdefault((source, row["n"], row["dtype"], row["storage"], *depends), (source, []))[1].append(row)
    return list(groups.values())


class _Verification:
    """One directory's rows, game by game."""

    def __init__(self, results: Results, report: Report, checks: Sequence[ExternalCheck]) -> None:
        self._report = report
        self._checks = checks
        self._policies = stored.by_run(results.policies)
        self._unmeasured = stored.unmeasured(results)
        self._certificates = {row["run_id"]: row for row in stored.records(results.certificates)}

    def of_game(self, source: Source, rows: Sequence[Row]) -> None:
        """Verify runs that play the same margins."""
        first = rows[0]
        try:
            actions = None if source.default_actions is None else first["n"]
            beta = first["beta"] or DEFAULT_BETA
            game = source.make(actions, first["seed"], beta, first["dtype"], first["storage"])
        except NashGamesError as error:
            for row in rows:
                self._report.give_up(row, str(error))
            return
        by_reference: dict[ReferenceKey, list[Row]] = {}
        if first["storage"] == UNLISTED:
            # No policy over all sequences is stored: estimates are checked by playing again, and else reported as such.
            for row in rows:
                if stored.check_game(row, game, self._report):
                    stored.check_end(row, self._report)
            return
        for row in rows:
            if stored.check_game(row, game, self._report):
                by_reference.setdefault(reference_key(row["reference"], row["seed"]), []).append(row)
        for (reference, seed), of_reference in by_reference.items():
            try:
                log_reference = resolve_reference(reference, game, seed)
            except NashGamesError as error:
                for row in of_reference:
                    self._report.give_up(row, str(error))
                continue
            self._of_reference(game.replace(log_reference=log_reference), of_reference)

    def _of_reference(self, game: Game, rows: Sequence[Row]) -> None:
        """Verify runs that play the same margins with the same reference, β by β."""
        dtype = np.dtype(rows[0]["dtype"])
        # A run computes with its β and its reference in its own floats.
        rounded = game.replace(log_reference=np.asarray(game.log_reference).astype(dtype))
        stars = self._stars(game, {row["beta"] for row in rows if row["solver"] != REFEREE})
        by_beta: dict[float, list[Row]] = {}
        for row in rows:
            by_beta.setdefault(row["beta"], []).append(row)
        for beta, of_beta in by_beta.items():
            at_beta = rounded.replace(beta=float(dtype.type(beta)))
            found = [(row, self._of_row(row, at_beta, stars.get(beta))) for row in of_beta]
            with_policy = [(row, log_policy) for row, log_policy in found if log_policy is not None]
            for check in self._checks if with_policy else ():
                check.check(game.replace(beta=beta), with_policy, self._report)

    def _stars(self, game: Game, betas: set[float]) -> dict[float, _Star]:
        """The equilibria that are known, by β: the one the game was built around where it holds, else the referee's."""
        known = game.description.known_equilibrium
        stars: dict[float, _Star] = {}
        # At β = 0 the referee alone knows whether there is another.
        if known is not None and known.beta in betas and known.beta > 0:
            stars[known.beta] = _Star(known.log_policy, certify(game, known.log_policy, known.beta).residual)
        wanted = {beta for beta in betas if not (beta in stars and _exact(game, beta, stars[beta]))}
        for found in equilibrium_path(game, sorted(wanted)) if wanted else ():
            residual = certify(game, found.log_policy, found.beta).residual
            if found.beta > 0 or found.converged:
                several = None if found.inside is None else nearest(game, found)
                stars[found.beta] = _Star(found.log_policy, residual, several)
        return {beta: star for beta, star in stars.items() if _exact(game, beta, star)}

    def _of_row(self, row: Row, game: Game, star: _Star | None) -> np.ndarray | None:
        """Compare one run's numbers; returns log π where the run has one."""
        rounding = Rounding(row["dtype"], game.actions, averaged_steps(row))
        log_policy = stored.check_policy(row, self._policies[row["run_id"]], game, rounding, self._report)
        if log_policy is None:
            return None
        certificate = certify(game, log_policy)
        for column, known in of_policy(game, log_policy, certificate, rounding).items():
            self._number(row, column, known)
        if row["solver"] == REFEREE:
            self._of_equilibrium(row, game, log_policy, certificate)
        else:
            stored.check_end(row, self._report)
            self._of_distances(row, game, log_policy, star, rounding)
        return log_policy

    def _of_distances(
        self, row: Row, game: Game, log_policy: np.ndarray, star: _Star | None, rounding: Rounding
    ) -> None:
        """The distances to π*_β, which a row leaves empty where its referee did not find it exactly."""
        residual = row["equilibrium_residual"]
        limit = known_residual(game.actions, row["beta"])
        empty = all(row[column] is None for column in OF_EQUILIBRIUM)
        if empty and residual is not None and residual > _KNOWN:
            self._report.without_distances += 1
            return
        known = None if star is None else star.to(log_policy)
        # What is not known here either: at β = 0 rounding may not decide which equilibrium it is.
        if empty and (known is None or np.isnan(known).any()):
            self._report.without_distances += 1
            return
        if star is None or known is None:
            self._report.give_up(row, f"its equilibrium at β = {row['beta']:g} cannot be found again exactly")
            return
        self._report.number(row, "equilibrium_residual", residual, Number(star.residual, limit))
        residuals = star.residual + min(residual or 0.0, limit)
        for column, number in of_distances(game, log_policy, known, residuals, rounding).items():
            self._number(row, column, number)

    def _number(self, row: Row, column: str, known: Number) -> None:
        """Compare a metric with the row's, unless the row is older than the metric."""
        if column not in self._unmeasured[row["run_id"]]:
            self._report.number(row, column, row[column], known)

    def _of_equilibrium(self, row: Row, game: Game, log_policy: np.ndarray, certificate: Certificate) -> None:
        """An exact equilibrium: its residual, and the certificate that was saved beside it."""
        known = of_certificate(game, log_policy, certificate)
        own = known["residual"] if row["beta"] > 0 else known["exploitability"]
        self._report.number(row, "equilibrium_residual", row["equilibrium_residual"], own)
        saved = self._certificates.get(row["run_id"])
        if saved is None:
            self._report.same(row, "certificates", {"certificates": None}, {"certificates": "a row"})
            return
        for column, number in known.items():
            self._report.number(row, f"certificates.{column}", saved[column], number)
        policies = np.exp(log_policy).reshape(game.contexts, game.actions)
        support = int(np.max(np.sum(policies > (PLAYED if row["beta"] > 0 else 0), axis=-1)))
        beside = {"certificates.beta": saved["beta"], "certificates.support": saved["support"]}
        expected = {"certificates.beta": row["beta"], "certificates.support": support}
        self._report.same(row, "certificates", beside, expected)


def _exact(game: Game, beta: float, star: _Star) -> bool:
    return star.residual <= known_residual(game.actions, beta)
