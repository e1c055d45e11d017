"""Exact equilibria of one game for several β: what was asked, the pass from large β to small, the rows it leaves."""

import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import pandas as pd

from nashgames.core.feedback import EXACT
from nashgames.core.game import DEFAULT_BETA, Game
from nashgames.defaults import PARTS, START, TARGET
from nashgames.engine.settings import Settings
from nashgames.environment import environment
from nashgames.errors import NashGamesError
from nashgames.exact import external
from nashgames.exact.certificate import Certificate, certify, divergence, normalised
from nashgames.exact.referee import Equilibrium, equilibrium_path, falling
from nashgames.experiments.events import GameReady
from nashgames.experiments.experiment import Experiment, content_hash
from nashgames.experiments.plan import Run, Source, find_reference, find_source
from nashgames.experiments.rows import OPTIONAL_INTEGERS, keys_of, policies_of, table_of
from nashgames.games import families
from nashgames.games.properties import facts
from nashgames.games.references import resolve_reference
from nashgames.registry import Selection, parse
from nashgames.solvers.protocol import Solver
from nashgames.store import CERTIFICATE_COLUMNS, CURVE_COLUMNS, POLICY_COLUMNS, RUN_COLUMNS, SCHEMA, Results

REFEREE = "referee"
"""What stands for a solver in the rows of an exact equilibrium."""

PLAYED = 1e-9
"""The probability above which an action counts as played; at β = 0 every action of the support does."""

_MIXTURE_COLUMNS = ("beta", *POLICY_COLUMNS[1:])


@dataclass(frozen=True)
class Question:
    """A game with its reference and the β of the equilibria that are asked for, in that order; 0: the original game.

    `actions` is None where the game has a size of its own; `reference_file` is the hash of a file's bytes.
    """

    source: Source
    actions: int | None
    seed: int
    reference: Selection
    reference_file: str | None
    betas: tuple[float, ...]

    def run_id(self, beta: float) -> str:
        """The identity of one of the equilibria in a results directory: a hash of all that it depends on."""
        content = {**self._content(), "beta": beta, "solver": REFEREE}
        return content_hash(content)

    def stem(self) -> str:
        """A name for files: the game's and a hash of the question."""
        game = Path(self.source.text.partition("[")[0]).stem
        return f"{game}-{content_hash(self._content() | {'beta': self.betas})[:4]}"

    def _content(self) -> dict[str, Any]:
        given = {key: getattr(self, key) for key in ("actions", "seed", "reference", "reference_file")}
        return {"format": SCHEMA, "game": self.source.text, "fingerprint": self.source.fingerprint, **given}


@dataclass(frozen=True)
class Answer:
    """An equilibrium of `game`, its certificate, and what a person asks of it next.

    KL(π‖μ) and the entropy are averages over contexts. `solves` linear systems and `seconds` are beyond those of the β
    before it in the pass.
    """

    game: Game
    found: Equilibrium
    certificate: Certificate
    kl_to_reference: float
    entropy: float
    solves: int
    seconds: float

    @property
    def beta(self) -> float:
        return self.found.beta

    @property
    def played(self) -> np.ndarray:
        """Which actions are played `[m, n]`, m = 1 without contexts: those above 1e-9, at β = 0 all above 0."""
        policies = np.exp(self.found.log_policy).reshape(self.game.contexts, -1)
        return np.asarray(policies > (PLAYED if self.beta > 0 else 0))

    @property
    def support(self) -> int:
        """How many actions are played, the most over contexts."""
        return int(self.played.sum(axis=-1).max())

    @property
    def status(self) -> str:
        """`converged`, or `inexact` where the residual is above rounding."""
        return "converged" if self.found.converged else "inexact"


def ask(experiment: Experiment, betas: Sequence[float]) -> Question:
    """The question that an experiment's game, size, reference and seed pose, one of each, at these β.

    Raises NashGamesError for a name or parameter that does not exist, an `actions` for a game with a size of its own,
    a game that does not fit into memory, and a reference or a β = 0 for a game that brings a reference made for its β.
    """
    (text,), (reference,) = experiment.game, experiment.reference
    falling(betas)
    source = find_source(text)
    actions = experiment.actions[0] if experiment.actions else None
    if actions is not None and source.default_actions is None:
        raise NashGamesError(f"actions is {actions}, but {text} has a size of its own; leave actions out")
    reference, reference_file = find_reference(reference)
    if source.takes_beta:
        if reference != "own":
            raise NashGamesError(f"reference is '{reference}', but {text} brings its own; leave reference out")
        if 0 in betas:
            raise NashGamesError(f"beta is 0, but {text} brings a reference made for a β above 0; leave 0 out")
    elif reference == "own":
        reference = parse("uniform")
    actions = source.default_actions if actions is None else actions
    if actions is not None:
        families.check_fits(actions, source.contexts, np.dtype(np.float64))
    return Question(source, actions, experiment.seed, reference, reference_file, tuple(betas))


def trace(
    question: Question, directory: Path | None = None, arguments: Sequence[str] | None = None
) -> Generator[GameReady | Answer, None, None]:
    """Find the equilibria from the largest β to the smallest; yields the game once it is made, then every answer.

    A game that depends on β is made anew for each. With a `directory` what was found is written there, also where the
    iteration stops early. Raises NashGamesError for a directory that cannot be written, or an unfitting reference.
    """
    results = None if directory is None else Results.open(directory)
    answers: dict[float, Answer] = {}
    try:
        for event in _trace(question):
            if isinstance(event, Answer):
                answers[event.beta] = event
            yield event
    finally:
        if results is not None:
            with results:
                if answers:
                    _write(results, question, answers, arguments)


def _trace(question: Question) -> Iterator[GameReady | Answer]:
    falling = sorted(question.betas, reverse=True)
    passes = [[beta] for beta in falling] if question.source.takes_beta else [falling]
    for betas in passes:
        made = question.source.make(question.actions, question.seed, betas[0] or DEFAULT_BETA, "float64")
        game = made.replace(log_reference=resolve_reference(question.reference, made, question.seed))
        title = f"{question.source.text} · {game.actions:,} actions"
        yield GameReady(title, game, facts(game) if betas is passes[0] else None, game.description.notes)
        yield from answers_of(game, betas)


def answers_of(game: Game, betas: Iterable[float]) -> Iterator[Answer]:
    """The equilibria of a game at these β, from the largest to the smallest in one pass, each with its certificate."""
    path, solves = equilibrium_path(game, list(betas)), 0
    while True:
        began = time.perf_counter()
        found = next(path, None)
        if found is None:
            return
        yield answer_of(game, found, found.solves - solves, time.perf_counter() - began)
        solves = found.solves


def answer_of(game: Game, found: Equilibrium, solves: int, seconds: float) -> Answer:
    """What is said of an equilibrium, all of it from its log-probabilities `[n]`, `[m, n]` over contexts, alone."""
    shape = game.margins.shape[:-1]
    log_policies = normalised("log_policy", found.log_policy, shape)
    log_references = normalised("log_reference", game.log_reference, shape)
    policies = np.exp(log_policies)
    weights = np.broadcast_to(np.asarray(game.weights, np.float64), len(policies))
    kls = [divergence(log_p, log_q) for log_p, log_q in zip(log_policies, log_references, strict=True)]
    # π log π is 0 where π is, not the NaN of 0·(−∞).
    entropies = -np.sum(policies * np.where(policies > 0, log_policies, 0), axis=-1)
    return Answer(
        game=game,
        found=found,
        certificate=certify(game, found.log_policy, found.beta),
        kl_to_reference=float(weights @ np.array(kls)),
        entropy=float(weights @ entropies),
        solves=solves,
        seconds=seconds,
    )


def vertex_of(game: Game) -> Answer:
    """The equilibrium of the original game that linear programming ends at: a vertex, by HiGHS (theory §4.7)."""
    margins = np.asarray(game.margins.to_dense(), np.float64)
    shape = margins.shape[:-1]
    contexts = margins.reshape(-1, *margins.shape[-2:])
    log_references = np.asarray(game.log_reference, np.float64).reshape(len(contexts), -1)
    began = time.perf_counter()
    policies = [external.solve("highs", a, log_mu, 0.0) for a, log_mu in zip(contexts, log_references, strict=True)]
    seconds = time.perf_counter() - began
    with np.errstate(divide="ignore"):
        log_policy = np.log(np.stack(policies)).reshape(shape)
    residual = certify(game, log_policy, 0.0).residual
    return answer_of(game, Equilibrium(0.0, log_policy, residual, solves=0), 0, seconds)


def mixtures(answers: Iterable[Answer]) -> pd.DataFrame:
    """The policies one below the other: beta, context, action, label, probability, log_probability."""
    blocks = [policies_of("", a.game, a.found.log_policy) | {"beta": a.beta} for a in answers]
    return table_of(blocks, _MIXTURE_COLUMNS)


def frames(question: Question, answers: Iterable[Answer]) -> dict[str, pd.DataFrame]:
    """The rows of a results directory by table: runs, curves (a point each), policies and certificates.

    The referee reads A itself: it asks no query, and its steps are the linear systems it solved. The distance to the
    equilibrium is not measured but bounded, by the certificate's `kl_bound`.
    """
    runs, curves, policies, certificates = [], [], [], []
    for answer in answers:
        run = _run(question, answer.beta)
        point = keys_of(run, answer.game, Settings()) | _point(answer)
        runs.append(point | _of_run(answer) | {"game_fingerprint": question.source.fingerprint})
        curves.append(point)
        policies.append(policies_of(run.run_id, answer.game, answer.found.log_policy))
        certificates.append(answer.certificate._asdict() | {"run_id": run.run_id, "support": answer.support})
    return {
        "runs": pd.DataFrame(runs, columns=list(RUN_COLUMNS)).astype(OPTIONAL_INTEGERS),
        "curves": pd.DataFrame(curves, columns=list(CURVE_COLUMNS)),
        "policies": table_of(policies, POLICY_COLUMNS),
        "certificates": pd.DataFrame(certificates, columns=list(CERTIFICATE_COLUMNS)),
    }


@dataclass(frozen=True)
class _Referee:
    """What rows ask of a solver: a name, and no numbers."""

    name: ClassVar[str] = REFEREE


def _run(question: Question, beta: float) -> Run:
    """An exact equilibrium as a run: the referee has no numbers and learns from nothing."""
    return Run(
        run_id=question.run_id(beta),
        source=question.source,
        actions=question.actions,
        seed=question.seed,
        reference=question.reference,
        beta=beta,
        solver=cast(Solver, _Referee()),
        feedback=EXACT,
        start=parse(START),
        label=REFEREE,
        step_source="exact",
        target=TARGET,
        parts=PARTS,
    )


def _point(answer: Answer) -> dict[str, Any]:
    return {
        "step": answer.solves,
        "queries": 0,
        "comparisons": 0,
        "seconds": answer.seconds,
        "suboptimality": answer.certificate.suboptimality,
        "duality_gap": answer.certificate.duality_gap,
        "exploitability": answer.certificate.exploitability,
        "kl_to_equilibrium": np.nan,
        "span_to_equilibrium": np.nan,
        "kl_to_reference": answer.kl_to_reference,
        "entropy": answer.entropy,
        "status": answer.status,
    }


def _of_run(answer: Answer) -> dict[str, Any]:
    return {
        "selection": REFEREE,
        "label": REFEREE,
        "step_source": "exact",
        "tolerance": 0.0,
        "budget": 0,
        "queries_to_tolerance": None,
        "diverged_step": None,
        "compile_seconds": 0.0,
        "solve_seconds": answer.seconds,
        "batch_size": 1,
        "equilibrium_residual": answer.found.residual,
        "equilibrium_solves": answer.found.solves,
    }


def _write(results: Results, question: Question, answers: dict[float, Answer], arguments: Sequence[str] | None) -> None:
    """Put what was found into the directory, in the order asked."""
    asked = {
        "game": [str(question.source.text)],
        "solver": [REFEREE],
        "beta": list(question.betas),
        "actions": [] if question.actions is None else [question.actions],
        "reference": [str(question.reference)],
        "seed": question.seed,
        "dtype": "float64",
        "device": "cpu",
    }
    ordered = [answers[beta] for beta in question.betas if beta in answers]
    description = Settings().precision.description()
    results.begin(asked, [question.run_id(beta) for beta in question.betas], environment(arguments) | description)
    if question.source.file is not None and question.source.fingerprint is not None:
        results.keep_game(question.source.fingerprint, question.source.file)
    results.add(**frames(question, ordered))
    results.manifest["counts"] = {"runs": len(ordered), "reused": 0, "points": len(ordered)}
    if len(ordered) == len(question.betas):
        results.manifest["finished"] = environment()["started"]
    results.flush()
