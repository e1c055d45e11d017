"""An experiment → the runs it stands for, with their identities, grouped by the games they share."""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import jax

from nashgames.core.game import Game
from nashgames.core.precision import Precision
from nashgames.engine.batch import Settings
from nashgames.errors import NashGamesError, unknown
from nashgames.experiments.experiment import Cell, Experiment, content_hash
from nashgames.experiments.rows import Identity
from nashgames.games import families, tables
from nashgames.games.references import FILE_SUFFIXES, REFERENCES, unknown_reference
from nashgames.games.tables.files import fingerprint, locate
from nashgames.registry import Parameter, bind, parse, render
from nashgames.solvers import (
    comparisons_per_step,
    compose,
    features_of,
    is_random,
    make_solver,
    parts_of,
    selection_of,
    step_source,
)
from nashgames.solvers.protocol import Solver
from nashgames.store import SCHEMA

_STARTS = {
    "reference": {},
    "equilibrium": {"distance": Parameter("distance", float, 1e-3, "standard deviation of a logit about π*")},
}
_PLAIN = {"feedback": "exact", "policy": "tabular", "optimiser": "sgd", "start": "reference"}
_STACK_BYTES = 128_000_000
_MOST_LANES = 4096
"""Runs of a batch, at most: their points wait in memory until it is done."""


@dataclass(frozen=True)
class Source:
    """Where a game comes from: its canonical text, and on which of a run's numbers it depends.

    `default_actions` is n where none is asked for, None where the game decides; `fingerprint` is of a file's bytes.
    """

    text: str
    default_actions: int | None = None
    contexts: int = 1
    takes_seed: bool = False
    takes_beta: bool = False
    fingerprint: str | None = None

    def make(self, actions: int | None, seed: int, beta: float, dtype: str) -> Game:
        """The game itself."""
        if self.text.partition("[")[0] in families.FAMILIES:
            return families.generate(self.text, actions=actions, seed=seed, beta=beta, dtype=dtype)
        return tables.load(self.text, dtype=dtype)


GameKey = tuple[Source, int | None, int, float]
"""What margins depend on: source, n, seed and β where they matter, else 0."""


ReferenceKey = tuple[str, int]


@dataclass(frozen=True)
class Run:
    """One planned run; runs with equal `game_key` play the same margins."""

    identity: Identity
    source: Source
    actions: int | None

    @property
    def game_key(self) -> GameKey:
        """What the margins depend on: source, n, seed and β where they matter, else 0."""
        seed = self.identity.seed if self.source.takes_seed else 0
        return (self.source, self.actions, seed, self.identity.beta if self.source.takes_beta else 0.0)

    @property
    def lane_key(self) -> tuple[Any, ...]:
        """What tells this run from others of the same game and solver class."""
        seed = 0 if self.source.takes_seed else self.identity.seed
        return (self.identity.reference, seed, self.identity.beta, selection_of(self.identity.solver))

    @property
    def reference_key(self) -> ReferenceKey:
        """What the reference depends on beside the game."""
        return reference_key(self.identity.reference, self.identity.seed)

    @property
    def features(self) -> tuple[str, int | None] | None:
        """What the run's policy has to see of the actions: kind and dimension, None for a table."""
        return features_of(self.identity.solver)


def settings_of(experiment: Experiment) -> Settings:
    """What an experiment says of every one of its runs."""
    return Settings(
        experiment.queries,
        experiment.tolerance,
        experiment.records,
        experiment.record_every,
        Precision(experiment.dtype, experiment.device),
        experiment.comparisons,
    )


def find_source(text: str) -> Source:
    """The source that a game's selection names; NashGamesError for an unknown name or parameter or a missing file."""
    name = text.partition("[")[0].strip()
    if name in families.FAMILIES:
        family = families.FAMILIES[name]
        values = bind("game", parse(text), family.parameters)
        return Source(
            render(name, values, family.parameters),
            default_actions=family.default_actions if family.takes_actions else None,
            contexts=int(values.get("contexts", 1)),
            takes_seed=family.takes_seed and "seed" not in values,
            takes_beta=family.takes_beta,
        )
    if name in tables.TABLES:
        accepted = tables.TABLES[name].parameters
        return Source(render(name, bind("game", parse(text), accepted), accepted))
    if tables.is_path(text):
        path = tables.path_selection(text)
        given = bind("table", path, tables.PARAMETERS)
        return Source(render(path.name, given), fingerprint=fingerprint(locate(path.name)))
    raise unknown("game", name, [*families.FAMILIES, *tables.TABLES, "a path ending in .csv, .parquet or .npy"])


def plan(experiment: Experiment, settings: Settings) -> tuple[list[Run], list[str]]:
    """The runs of an experiment, each once, and notes on what was left out.

    Raises NashGamesError for a game, solver, reference or parameter that does not exist, for `actions` where no game's
    size is free, and for a reference beside one that a game brings.
    """
    sources = {text: find_source(text) for text in experiment.every("game")}
    sizes, betas = experiment.every("actions"), experiment.every("beta")
    if sizes and all(source.default_actions is None for source in sources.values()):
        own = "has a size of its own" if len(sources) == 1 else "have sizes of their own"
        raise NashGamesError(
            f"actions is {sizes[0]}, but {', '.join(sources)} {own}; leave actions out, or use a "
            f"generated game such as random-logits"
        )
    start = find_start(experiment.start)
    solvers = _solvers(experiment, start)
    for solver, beta in itertools.product(solvers.values(), (max(betas), min(betas))):
        settings.record_steps(settings.max_steps(solver, beta))
    if experiment.comparisons is not None and not any(comparisons_per_step(solver) for solver in solvers.values()):
        raise NashGamesError(
            f"comparisons is {experiment.comparisons}, but every run has exact feedback; give queries instead, or "
            f"feedback = duels"
        )
    references = {text: find_reference(text) for text in experiment.every("reference")}
    labels = _labels(experiment.every("solver"))
    random_start = start.startswith("equilibrium")
    runs: dict[str, Run] = {}
    notes: dict[str, None] = {}
    for cell in experiment.cells():
        source = sources[cell.game]
        reference, reference_file = references[cell.reference]
        if source.takes_beta and reference != "own":
            raise NashGamesError(
                f"reference is '{cell.reference}', but {cell.game} brings its own; leave reference out, or use own"
            )
        solver = solvers[cell.solver, cell.feedback, cell.policy, cell.optimiser]
        drawn = source.takes_seed or reference_key(reference, 1) != reference_key(reference, 2)
        fixed = not (drawn or random_start or is_random(solver))
        if fixed and cell.seed != experiment.seed:
            what = f"{cell.solver} on {cell.game}" if any(map(is_random, solvers.values())) else cell.game
            notes[f"{what} does not depend on the seed: it is played once, with seed {experiment.seed}"] = None
            continue
        run = _run(cell, solver, source, reference, reference_file, labels[cell.solver], start, settings)
        kept = runs.setdefault(run.identity.run_id, run)
        if kept is not run:
            notes[f"{cell.solver} on {cell.game} at β = {cell.beta:g} is asked for twice: it is played once"] = None
    return list(runs.values()), list(notes)


def check_memory(runs: Iterable[Run], settings: Settings) -> None:
    """Raise NashGamesError, before anything is computed, unless the games of every run fit into memory one by one."""
    for source, actions in dict.fromkeys((run.source, run.actions) for run in runs):
        if actions is not None:
            families.check_fits(actions, source.contexts, settings.precision.numpy)


def game_chunks(runs: Iterable[Run], dtype_bytes: int) -> list[list[list[Run]]]:
    """Runs by the games they play, games of one shape together as long as their stacked margins stay small: chunks of
    games, each game the list of its runs."""
    by_game: dict[tuple[Any, ...], list[Run]] = {}
    for run in runs:
        by_game.setdefault(run.game_key, []).append(run)
    chunks: dict[tuple[Any, ...], list[list[Run]]] = {}
    counts: dict[tuple[Any, ...], int] = {}
    for (source, actions, _, beta), of_game in by_game.items():
        shape = (source, actions, beta)
        size = max((actions or _STACK_BYTES) ** 2 * source.contexts * dtype_bytes, 1)
        counts[shape] = counts.get(shape, -1) + 1
        number = counts[shape] // min(max(_STACK_BYTES // size, 1), _MOST_LANES)
        chunks.setdefault((*shape, number), []).append(of_game)
    return list(chunks.values())


def batches_of(games: list[list[Run]]) -> list[list[list[Run]]]:
    """The runs of a chunk of games as batches `[G][B]` that share a compiled program: one solver class, equal lanes."""
    batches: dict[tuple[Any, ...], list[list[Run]]] = {}
    for of_game in games:
        by_solver: dict[Any, list[Run]] = {}
        for run in of_game:
            by_solver.setdefault(jax.tree.structure(run.identity.solver), []).append(run)
        width = max(_MOST_LANES // len(games), 1)
        for structure, runs in by_solver.items():
            for lanes in (runs[start : start + width] for start in range(0, len(runs), width)):
                key = (structure, tuple(run.lane_key for run in lanes))
                batches.setdefault(key, []).append(lanes)
    return list(batches.values())


def reference_key(reference: str, seed: int) -> ReferenceKey:
    """What a reference depends on beside the game: its text, and the seed where it is drawn, else 0."""
    drawn = reference.partition("[")[0] == "random" and "seed" not in parse(reference).parameters
    return (reference, seed if drawn else 0)


def find_start(text: str) -> str:
    """The canonical text of where runs start: `reference`, or `equilibrium[distance=0.001]`.

    Raises NashGamesError for another name, or a distance that is no finite number above 0.
    """
    selection = parse(text)
    if selection.name not in _STARTS:
        raise unknown("start", selection.name, _STARTS)
    accepted = _STARTS[selection.name]
    values = {key: parameter.default for key, parameter in accepted.items()} | bind("start", selection, accepted)
    for key, value in values.items():
        if not 0 < value < float("inf"):
            raise NashGamesError(f"{selection.name}[{key}] is {value:g}; accepted: a finite number above 0")
    return render(selection.name, values)


def distance_of(start: str) -> float | None:
    """How far from the equilibrium, in logits, a run starts; None where it starts at the reference."""
    text = parse(start).parameters.get("distance")
    return None if text is None else float(text)


def _solvers(experiment: Experiment, start: str) -> dict[tuple[str, ...], Solver]:
    """Every solver of the experiment with its parts, by the texts of a cell: solver, feedback, policy, optimiser."""
    made: dict[tuple[str, ...], Solver] = {}
    for cell in experiment.cells():
        key = (cell.solver, cell.feedback, cell.policy, cell.optimiser)
        if key in made:
            continue
        made[key] = compose(
            make_solver(cell.solver), feedback=cell.feedback, policy=cell.policy, optimiser=cell.optimiser
        )
        if start != "reference" and features_of(made[key]) is not None:
            raise NashGamesError(
                f"start is '{start}', but the policy {cell.policy} starts at the reference; use the policy tabular"
            )
    return made


def _run(
    cell: Cell,
    asked: Solver,
    source: Source,
    reference: str,
    reference_file: str | None,
    label: str,
    start: str,
    settings: Settings,
) -> Run:
    solver = asked.with_theory_defaults(cell.beta)
    actions = None if source.default_actions is None else cell.actions or source.default_actions
    reference = reference if source.takes_beta or reference != "own" else "uniform"
    content = {
        "format": SCHEMA,
        "game": source.text,
        "fingerprint": source.fingerprint,
        "actions": actions,
        "seed": cell.seed,
        "reference": reference,
        "reference_file": reference_file,
        "beta": cell.beta,
        "solver": selection_of(solver),
        **{key: value for key, value in vars(settings).items() if key not in ("precision", "comparisons")},
        "queries": settings.budget(cell.beta),
        **vars(settings.precision),
        # What runs of before did not have stands only where it is not what they did.
        **{key: text for key, text in parts_of(solver).items() if text != _PLAIN[key]},
        **({"start": start} if start != _PLAIN["start"] else {}),
        **({"comparisons": settings.comparisons} if settings.comparisons and comparisons_per_step(solver) else {}),
    }
    identity = Identity(
        run_id=content_hash(content),
        game=source.text,
        reference=reference,
        seed=cell.seed,
        beta=cell.beta,
        solver=solver,
        label=label,
        step_source=step_source(asked),
        start=start,
    )
    return Run(identity, source, actions)


def _labels(solvers: Iterable[str]) -> dict[str, str]:
    """A solver's short name where only one variant of it is asked for, else the selection as it was given."""
    names = {text: make_solver(text).name for text in solvers}
    counts = list(names.values())
    return {text: name if counts.count(name) == 1 else text for text, name in names.items()}


def find_reference(text: str) -> tuple[str, str | None]:
    """The canonical text of a reference, and for a file the hash of its bytes; NashGamesError for an unknown one."""
    name = text.partition("[")[0].strip()
    if name in REFERENCES:
        accepted = REFERENCES[name].parameters
        return render(name, bind("reference", parse(text), accepted), accepted), None
    if tables.is_path(text):
        return text, fingerprint(locate(text, FILE_SUFFIXES))
    raise unknown_reference(text)
