"""Exact equilibria of one game, from large β to small, and their rows in a results directory."""

import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nashgames.core.game import Game
from nashgames.core.metrics import OF_SEQUENCES, every
from nashgames.defaults import REFEREE
from nashgames.engine.settings import Settings
from nashgames.environment import environment, now
from nashgames.exact import external
from nashgames.exact.certificate import Certificate, certify, divergence, normalised
from nashgames.exact.referee import Equilibrium
from nashgames.experiments.events import GameReady, Refereed
from nashgames.experiments.experiment import content_hash
from nashgames.experiments.preparing import Prepared, game_ready, prepare
from nashgames.experiments.rows import OPTIONAL_INTEGERS, keys_of, policies_of, table_of
from nashgames.experiments.run import GameKey, Run
from nashgames.store import CERTIFICATE_COLUMNS, CURVE_COLUMNS, POLICY_COLUMNS, RUN_COLUMNS, Results

PLAYED = 1e-9
"""The probability above which an action counts as played; at β = 0 every action of the support does."""

_MIXTURE_COLUMNS = ("beta", *POLICY_COLUMNS[1:])


@dataclass(frozen=True)
class Certified:
    """An equilibrium of `game`, its certificate, and further facts about it.

    KL(π‖μ) and the entropy are averages over contexts. `solves` linear systems and `seconds` are beyond those of the β
    before it in the pass.
    """

    game: Game
    equilibrium: Equilibrium
    certificate: Certificate
    kl_to_reference: float
    entropy: float
    solves: int
    seconds: float

    @property
    def beta(self) -> float:
        return self.equilibrium.beta

    @property
    def played(self) -> np.ndarray:
        """Which actions are played `[m, n]`, m = 1 without contexts: those above 1e-9, at β = 0 all above 0."""
        policies = np.exp(self.equilibrium.log_policy).reshape(self.game.contexts, -1)
        return np.asarray(policies > (PLAYED if self.beta > 0 else 0))

    @property
    def support(self) -> int:
        """How many actions are played, the most over contexts."""
        return int(self.played.sum(axis=-1).max())

    @property
    def status(self) -> str:
        """`converged`, or `inexact` where the residual is above rounding."""
        return "converged" if self.equilibrium.converged else "inexact"


def stem(runs: Sequence[Run]) -> str:
    """A name for files: that of the game, and a hash of the options."""
    game = Path(runs[0].source.text.name).stem
    # Four hex digits, 65,536 values, tell the options of one game apart and can be typed.
    return f"{game}-{content_hash({'runs': [run.run_id for run in runs]})[:4]}"


def trace(
    runs: Sequence[Run], directory: Path | None = None, arguments: Sequence[str] | None = None
) -> Generator[GameReady | Certified, None, None]:
    """Find the equilibria of planned runs (`plan.plan_equilibria`), which differ in β alone, from the largest β down.

    Yields the game once it is made, then every equilibrium. A game that depends on β is made anew for each. With a
    `directory` what was found is written there, also where the iteration stops early. Raises NashGamesError for a
    directory that cannot be written, or an unfitting reference.
    """
    results = None if directory is None else Results.open(directory)
    found: dict[float, Certified] = {}
    try:
        for event in _trace(runs):
            if isinstance(event, Certified):
                found[event.beta] = event
            yield event
    finally:
        if results is not None:
            with results:
                if found:
                    _write(results, runs, found, arguments)


def _trace(runs: Sequence[Run]) -> Iterator[GameReady | Certified]:
    by_game: dict[GameKey, list[Run]] = {}
    for run in sorted(runs, key=lambda run: -run.beta):
        by_game.setdefault(run.game_key, []).append(run)
    for number, of_game in enumerate(by_game.values()):
        game = of_game[0].make_game("float64")
        ready = game_ready(of_game[0], game, show_facts=number == 0)
        yield ready
        yield from _certified(game, of_game, ready.title)


def _certified(game: Game, runs: Sequence[Run], title: str) -> Iterator[Certified]:
    """The equilibria of runs on one game."""
    prepared: dict[str, Prepared] = {}
    by_beta = {run.beta: run for run in runs}
    events, solves, began = prepare(game, runs, title, prepared), 0, time.perf_counter()
    for event in events:
        # What `prepare` notes is about the distances of runs that are played.
        if isinstance(event, Refereed):
            ready = prepared[by_beta[event.beta].run_id]
            assert ready.equilibrium is not None
            seconds = time.perf_counter() - began
            played = game.replace(log_reference=ready.log_reference)
            yield certified(played, ready.equilibrium, ready.equilibrium.solves - solves, seconds)
            solves, began = ready.equilibrium.solves, time.perf_counter()


def certified(game: Game, found: Equilibrium, solves: int = 0, seconds: float = 0.0) -> Certified:
    """The certificate and facts of an equilibrium, from its log-probabilities `[n]`, `[m, n]` over contexts, alone."""
    shape = game.margins.shape[:-1]
    log_policies = normalised("log_policy", found.log_policy, shape)
    log_references = normalised("log_reference", game.log_reference, shape)
    policies = np.exp(log_policies)
    weights = np.broadcast_to(np.asarray(game.weights, np.float64), len(policies))
    kls = [divergence(log_p, log_q) for log_p, log_q in zip(log_policies, log_references, strict=True)]
    # π log π is 0 where π is, not the NaN of 0·(−∞).
    entropies = -np.sum(policies * np.where(policies > 0, log_policies, 0), axis=-1)
    return Certified(
        game=game,
        equilibrium=found,
        certificate=certify(game, found.log_policy, found.beta),
        kl_to_reference=float(weights @ np.array(kls)),
        entropy=float(weights @ entropies),
        solves=solves,
        seconds=seconds,
    )


def vertex_of(game: Game) -> Certified:
    """The equilibrium of the original game that linear programming ends at: a vertex, by HiGHS (theory §4.7)."""
    began = time.perf_counter()
    log_policy = external.solve_game("highs", game, 0.0)
    seconds = time.perf_counter() - began
    residual = certify(game, log_policy, 0.0).residual
    return certified(game, Equilibrium(0.0, log_policy, residual, solves=0), seconds=seconds)


def mixtures(found: Iterable[Certified]) -> pd.DataFrame:
    """The policies one below the other: beta, context, action, label, probability, log_probability."""
    blocks = [policies_of("", each.game, each.equilibrium.log_policy) | {"beta": each.beta} for each in found]
    return table_of(blocks, _MIXTURE_COLUMNS)


def frames(runs: Iterable[Run], found: Iterable[Certified]) -> dict[str, pd.DataFrame]:
    """The rows of a results directory by table: runs, curves (a point each), policies and certificates.

    The referee reads A itself: it makes no queries, and its steps are the linear systems it solved. The distance to the
    equilibrium is not measured but bounded, by the certificate's `kl_bound`.
    """
    rows, points, policies, certificates = [], [], [], []
    for run, each in zip(runs, found, strict=True):
        point = keys_of(run, each.game, Settings()) | _point(each)
        rows.append(point | _of_run(run, each))
        points.append(point)
        policies.append(policies_of(run.run_id, each.game, each.equilibrium.log_policy))
        certificates.append(each.certificate._asdict() | {"run_id": run.run_id, "support": each.support})
    return {
        "runs": pd.DataFrame(rows, columns=list(RUN_COLUMNS)).astype(OPTIONAL_INTEGERS),
        "curves": pd.DataFrame(points, columns=list(CURVE_COLUMNS)),
        "policies": table_of(policies, POLICY_COLUMNS),
        "certificates": pd.DataFrame(certificates, columns=list(CERTIFICATE_COLUMNS)),
    }


def _point(found: Certified) -> dict[str, Any]:
    """The one point of the curve; the metrics that are not known of an equilibrium are left empty."""
    certificate = found.certificate._asdict()
    known = {"kl_to_reference": found.kl_to_reference, "entropy": found.entropy, **_writing(found.equilibrium)}
    return {
        "step": found.solves,
        "queries": 0,
        "comparisons": 0,
        "seconds": found.seconds,
        **{name: known.get(name, certificate.get(name, np.nan)) for name in every()},
        "status": found.status,
    }


def _writing(found: Equilibrium) -> dict[str, float]:
    """What an equilibrium over sequences writes like, by column."""
    if found.game is None or found.game.description.sequences is None:
        return {}
    parts = found.game.description.sequences.writing(found.policy, np.asarray(found.game.weights, np.float64))
    return {name: float(part) for name, part in zip(OF_SEQUENCES, parts, strict=True)}


def _of_run(run: Run, found: Certified) -> dict[str, Any]:
    return {
        "selection": str(run.selection),
        **run.told,
        "game_fingerprint": run.source.fingerprint,
        "tolerance": 0.0,
        "budget": 0,
        "queries_to_tolerance": None,
        "diverged_step": None,
        "compile_seconds": 0.0,
        "solve_seconds": found.seconds,
        "batch_size": 1,
        "equilibrium_residual": found.equilibrium.residual,
        "equilibrium_solves": found.equilibrium.solves,
    }


def _write(
    results: Results, runs: Sequence[Run], found: Mapping[float, Certified], arguments: Sequence[str] | None
) -> None:
    """Write the equilibria into the directory, in the order of the given β."""
    first = runs[0]
    asked = {
        "game": [str(first.source.text)],
        "solver": [REFEREE],
        "beta": [run.beta for run in runs],
        "actions": [] if first.actions is None else [first.actions],
        "reference": [str(first.reference)],
        "seed": first.seed,
        "dtype": "float64",
        "device": "cpu",
        "storage": first.storage,
    }
    kept = [run for run in runs if run.beta in found]
    description = Settings().precision.description()
    results.begin(asked, [run.run_id for run in runs], environment(arguments) | description)
    source = runs[0].source
    if source.file is not None and source.fingerprint is not None:
        results.keep_game(source.fingerprint, source.file)
    results.add(**frames(kept, [found[run.beta] for run in kept]))
    results.manifest["counts"] = {"runs": len(kept), "reused": 0, "points": len(kept)}
    if len(kept) == len(runs):
        results.manifest["finished"] = now()
    results.flush()
