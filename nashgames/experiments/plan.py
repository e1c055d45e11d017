"""An experiment → the runs it stands for, grouped by the games they share."""

import itertools
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import jax

from nashgames import plugins
from nashgames.core.feedback import Feedback
from nashgames.core.game import Game
from nashgames.core.precision import Precision
from nashgames.defaults import RUN
from nashgames.engine.settings import Settings
from nashgames.errors import NashGamesError, unknown
from nashgames.experiments.experiment import Cell, Experiment, content_hash
from nashgames.games import families, tables, users
from nashgames.games.references import FILE_SUFFIXES, REFERENCES, unknown_reference
from nashgames.games.tables.files import fingerprint, locate
from nashgames.learning.feedback import FEEDBACKS
from nashgames.registry import Number, Registry, Selection, bind, parameters_of, parse, render
from nashgames.solvers import (
    compose,
    features_of,
    is_plain,
    make_solver,
    numbers_given,
    parts_of,
    random_init,
    selection_of,
)
from nashgames.solvers.protocol import Solver
from nashgames.store import SCHEMA

# Games of one shape are stacked up to this size: beyond it a product is no longer worth sharing a program for.
_STACK_BYTES = 128_000_000
_MOST_LANES = 4096
"""Runs of a batch, at most: their points wait in memory until it is done."""


def _at_the_reference() -> None:
    """π_0 = μ."""


def _near_the_equilibrium(
    distance: Annotated[float, Number("standard deviation of a logit about π*", above=0)] = 1e-3,
) -> None:
    """Near π*_β: its logits moved by independent normal numbers."""


_STARTS = Registry("start", {"reference": _at_the_reference, "equilibrium": _near_the_equilibrium})


@dataclass(frozen=True)
class Source:
    """Where a game comes from: its canonical text, and on which of a run's numbers it depends.

    `default_actions` is n where none is asked for, None where the game decides; `fingerprint` is of a file's bytes, of
    the code that a file brings, or of a game that is `given` itself. `file` is where the data of a table is read.
    """

    text: Selection
    default_actions: int | None = None
    contexts: int = 1
    takes_seed: bool = False
    takes_beta: bool = False
    fingerprint: str | None = None
    given: Game | None = field(default=None, compare=False)
    file: Path | None = field(default=None, compare=False)

    def make(self, actions: int | None, seed: int, beta: float, dtype: str) -> Game:
        """The game itself."""
        if self.given is not None:
            return self.given
        if self.text.name in families.FAMILIES:
            return families.generate(self.text, actions=actions, seed=seed, beta=beta, dtype=dtype)
        if users.knows(self.text.name):
            return users.make(self.text, actions=actions, seed=seed, beta=beta)
        return tables.load(self.text, dtype=dtype, file=self.file)


GameKey = tuple[Source, int | None, int, float]
"""What margins depend on: source, n, seed and β where they matter, else 0."""

ReferenceKey = tuple[str, int]
"""What a reference depends on beside the game: its text, and the seed where it is drawn, else 0."""


@dataclass(frozen=True)
class Run:
    """One run: what it plays, with what numbers, and its id; the only description of a run that there is.

    `solver` has all its numbers; `label` is the solver as it was asked for, short where that is enough, and
    `step_source` says where its numbers come from. Runs with equal `game_key` play the same margins.
    """

    run_id: str
    source: Source
    actions: int | None
    seed: int
    reference: Selection
    beta: float
    solver: Solver
    feedback: Feedback
    start: Selection
    label: str
    step_source: str
    target: str
    parts: Mapping[str, str] = field(hash=False)
    """Feedback, policy and optimiser as canonical text."""

    @property
    def game_key(self) -> GameKey:
        """What the margins depend on: source, n, seed and β where they matter, else 0."""
        seed = self.seed if self.source.takes_seed else 0
        return (self.source, self.actions, seed, self.beta if self.source.takes_beta else 0.0)

    @property
    def lane_key(self) -> tuple[Any, ...]:
        """What tells this run from others of the same game and solver class."""
        seed = 0 if self.source.takes_seed else self.seed
        return (self.reference, seed, self.beta, selection_of(self.solver), self.parts["feedback"])

    @property
    def program_key(self) -> tuple[Any, ...]:
        """What the compiled program of the run depends on beside the shape of its game."""
        return (jax.tree.structure(self.solver), type(self.solver), jax.tree.structure(self.feedback))

    @property
    def reference_key(self) -> ReferenceKey:
        """What the reference depends on beside the game."""
        return reference_key(self.reference, self.seed)

    @property
    def features(self) -> tuple[str, int | None] | None:
        """What the run's policy has to see of the actions: kind and dimension, None for a table."""
        return features_of(self.solver)

    def comparisons_per_step(self, contexts: int) -> int:
        """Duels that one step makes over all contexts; 0 where feedback is exact."""
        return self.solver.queries_per_step * self.feedback.comparisons * contexts


def settings_of(experiment: Experiment) -> Settings:
    """What an experiment says of every one of its runs."""
    return Settings(
        queries=experiment.queries,
        tolerance=experiment.tolerance,
        records=experiment.records,
        record_every=experiment.record_every,
        precision=Precision(experiment.dtype, experiment.device),
        comparisons=experiment.comparisons,
        target=experiment.target,
    )


def find_source(text: str, *, code: bool = True) -> Source:
    """The source that a game's selection names; NashGamesError for an unknown name or parameter or a missing file.

    With `code=False` a game that a Python file brings is refused: the file runs only where its user named it.
    """
    name = text.partition("[")[0].strip()
    if name in families.FAMILIES:
        selection = parse(text)
        family = families.FAMILIES[name]
        values = bind("game", selection, family.parameters)
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
    if users.knows(name):
        if not code and plugins.is_file_name(name):
            raise NashGamesError(
                f"the game '{name}' is made by a Python file, which runs only where its user names it; "
                f"give it with --code {name.rpartition(':')[0]}"
            )
        return Source(**vars(users.find(parse(text))))
    if tables.is_path(text):
        file = locate(tables.path_selection(text).name)
        return _table(text, file, fingerprint(file))
    raise unknown("game", name, [*families.FAMILIES, *tables.TABLES, "a path ending in .csv, .parquet or .npy"])


def find_again(text: str, told: str | None, kept: Path | None, *, code: bool = False) -> Source:
    """The source of a game that stored rows name, with the `game_fingerprint` they were `told`.

    A table is read from the copy `kept` with the results (`Results.game_file`) where there is one. Where there is none,
    NashGamesError is raised also for a table that has changed since.
    """
    if kept is not None:
        return _table(text, kept, told)
    source = find_source(text, code=code)
    if source.file is not None and (changed := changed_since(text, told)):
        raise NashGamesError(f"{changed}, and no copy was kept; bring the old file back or play the runs again")
    return source


def changed_since(text: str, told: str | None) -> str | None:
    """What to say where the file of a game is not the one that stored rows were `told` the fingerprint of.

    None where it is the same, is not there, or nothing was told.
    """
    try:
        now = fingerprint(locate(name := tables.path_selection(text).name))
    except NashGamesError:
        return None
    return f"'{name}' has changed since (fingerprint {told} → {now})" if told not in (None, now) else None


def _table(text: str, file: Path, told: str | None) -> Source:
    path = tables.path_selection(text)
    return Source(render(path.name, bind("table", path, tables.PARAMETERS)), fingerprint=told, file=file)


def plan(
    experiment: Experiment,
    settings: Settings,
    *,
    sources: Mapping[str, Source] | None = None,
    solvers: Mapping[str, Solver] | None = None,
) -> tuple[list[Run], list[str]]:
    """The runs of an experiment, each once, and notes on what was left out.

    `sources` and `solvers` are what the texts of the experiment stand for, where these are objects of a notebook.
    Raises NashGamesError for a game, solver, reference or parameter that does not exist, for `actions` where no game's
    size is free, and for a reference beside one that a game brings.
    """
    sources = {text: find_source(text) for text in experiment.every("game")} if sources is None else sources
    sizes, betas = experiment.every("actions"), experiment.every("beta")
    if sizes and all(source.default_actions is None for source in sources.values()):
        own = "has a size of its own" if len(sources) == 1 else "have sizes of their own"
        raise NashGamesError(
            f"actions is {sizes[0]}, but {', '.join(sources)} {own}; leave actions out, or use a "
            f"generated game such as random-logits"
        )
    start = find_start(experiment.start)
    players = _players(experiment, start, solvers)
    for player, beta in itertools.product(players.values(), (max(betas), min(betas))):
        duels = player.solver.queries_per_step * player.feedback.comparisons
        settings.record_steps(settings.max_steps(player.solver, beta, duels))
    if experiment.comparisons is not None and not any(player.feedback.comparisons for player in players.values()):
        raise NashGamesError(
            f"comparisons is {experiment.comparisons}, but every run has exact feedback; give queries instead, or "
            f"feedback = duels"
        )
    references = {text: find_reference(text) for text in experiment.every("reference")}
    labels = _labels({text: player.solver for (text, *_), player in players.items()})
    random_start = start.name != RUN["start"]
    runs: dict[str, Run] = {}
    notes: dict[str, None] = {}
    for cell in experiment.cells():
        source = sources[cell.game]
        reference, reference_file = references[cell.reference]
        if source.takes_beta and reference != "own":
            raise NashGamesError(
                f"reference is '{cell.reference}', but {cell.game} brings its own; leave reference out, or use own"
            )
        player = players[cell.solver, cell.feedback, cell.policy, cell.optimiser]
        drawn = source.takes_seed or reference_key(reference, 1) != reference_key(reference, 2)
        fixed = not (drawn or random_start or player.is_random)
        if fixed and cell.seed != experiment.seed:
            what = f"{cell.solver} on {cell.game}" if any(p.is_random for p in players.values()) else cell.game
            notes[f"{what} does not depend on the seed: it is played once, with seed {experiment.seed}"] = None
            continue
        run = _run(cell, player, source, reference, reference_file, labels[cell.solver], start, settings)
        kept = runs.setdefault(run.run_id, run)
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


def batches_of(games: list[list[Run]], done: Container[str] = ()) -> list[list[list[Run]]]:
    """The runs of a chunk of games as batches `[G][B]` that share a compiled program: one solver class, equal lanes.

    Batches are those of the whole grid, less those of which every run is in `done`: the width of a batch decides the
    order of its sums, so that what is left of an interrupted sweep gives the bits of an undisturbed one.
    """
    batches: dict[tuple[Any, ...], list[list[Run]]] = {}
    for of_game in games:
        by_program: dict[Any, list[Run]] = {}
        for run in of_game:
            by_program.setdefault(run.program_key, []).append(run)
        width = max(_MOST_LANES // len(games), 1)
        for program, runs in by_program.items():
            for lanes in (runs[start : start + width] for start in range(0, len(runs), width)):
                key = (program, tuple(run.lane_key for run in lanes))
                batches.setdefault(key, []).append(lanes)
    return [batch for batch in batches.values() if any(run.run_id not in done for lanes in batch for run in lanes)]


def reference_key(reference: str, seed: int) -> ReferenceKey:
    """What a reference depends on beside the game: its text, and the seed where it is drawn, else 0."""
    drawn = reference.partition("[")[0] == "random" and "seed" not in parse(reference).parameters
    return (reference, seed if drawn else 0)


def find_start(text: str) -> Selection:
    """The canonical text of where runs start: `reference`, or `equilibrium[distance=0.001]`.

    Raises NashGamesError for another name, or a distance that is no finite number above 0.
    """
    entry, values = _STARTS.choose(text)
    defaults = {key: parameter.default for key, parameter in parameters_of(entry).items()}
    return render(parse(text).name, defaults | values)


def distance_of(start: Selection) -> float | None:
    """How far from the equilibrium, in logits, a run starts; None where it starts at the reference."""
    text = start.parameters.get("distance")
    return None if text is None else float(text)


@dataclass(frozen=True)
class _Player:
    """A solver as it was asked for, with the feedback it learns from and the texts of its parts."""

    solver: Solver
    feedback: Feedback
    parts: Mapping[str, str]
    code: str | None

    @property
    def is_random(self) -> bool:
        """Whether two seeds give two runs on one game: it samples, or its first parameters are drawn."""
        return self.feedback.comparisons > 0 or random_init(self.solver)


def _players(
    experiment: Experiment, start: Selection, given: Mapping[str, Solver] | None
) -> dict[tuple[str, ...], _Player]:
    """Every solver of the experiment with its parts, by the texts of a cell: solver, feedback, policy, optimiser."""
    made: dict[tuple[str, ...], _Player] = {}
    for cell in experiment.cells():
        key = (cell.solver, cell.feedback, cell.policy, cell.optimiser)
        if key in made:
            continue
        asked = make_solver(cell.solver) if given is None else given[cell.solver]
        asked = _with_parts(asked, cell)
        feedback: Feedback = FEEDBACKS.make(cell.feedback)
        if start.name != RUN["start"] and features_of(asked) is not None:
            raise NashGamesError(
                f"start is '{start}', but the policy {cell.policy} starts at the reference; use the policy tabular"
            )
        parts = {"feedback": FEEDBACKS.text(feedback), **parts_of(asked)}
        name = parse(cell.solver).name
        made[key] = _Player(asked, feedback, parts, plugins.fingerprint(name) if plugins.is_file_name(name) else None)
    return made


def _with_parts(solver: Solver, cell: Cell) -> Solver:
    """The solver with the parts of the cell; an object of a notebook keeps its own where these are the usual."""
    own, asked = parts_of(solver), {"policy": cell.policy, "optimiser": cell.optimiser}
    return compose(solver, **{key: own[key] if text == RUN[key] else text for key, text in asked.items()})


def _run(
    cell: Cell,
    player: _Player,
    source: Source,
    reference: Selection,
    reference_file: str | None,
    label: str,
    start: Selection,
    settings: Settings,
) -> Run:
    solver = player.solver.with_theory_defaults(cell.beta)
    actions = None if source.default_actions is None else cell.actions or source.default_actions
    reference = reference if source.takes_beta or source.given or reference != "own" else render("uniform", {})
    chosen = {**player.parts, "start": start, "target": settings.target}
    recorded = ("precision", "comparisons", "target")
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
        **{key: value for key, value in vars(settings).items() if key not in recorded},
        "queries": settings.budget(cell.beta),
        **vars(settings.precision),
        # What runs of before did not have stands only where it is not what they did.
        **{key: text for key, text in chosen.items() if text != RUN[key]},
        **({"comparisons": settings.comparisons} if settings.comparisons and player.feedback.comparisons else {}),
        **({"code": player.code} if player.code else {}),
    }
    given = numbers_given(player.solver)
    return Run(
        run_id=content_hash(content),
        source=source,
        actions=actions,
        seed=cell.seed,
        reference=reference,
        beta=cell.beta,
        solver=solver,
        feedback=player.feedback,
        start=start,
        label=label,
        step_source="given" if given else "theory" if is_plain(solver) else "default",
        target=settings.target,
        parts=player.parts,
    )


def _labels(solvers: Mapping[str, Solver]) -> dict[str, str]:
    """A solver's short name where only one variant of it is asked for, else the selection as it was given."""
    names = {text: solver.name for text, solver in solvers.items()}
    counts = list(names.values())
    return {text: name if counts.count(name) == 1 else text for text, name in names.items()}


def find_reference(text: str) -> tuple[Selection, str | None]:
    """The canonical text of a reference, and for a file the hash of its bytes; NashGamesError for an unknown one."""
    name = text.partition("[")[0].strip()
    if name in REFERENCES:
        accepted = REFERENCES[name].parameters
        return render(name, bind("reference", parse(text), accepted), accepted), None
    if tables.is_path(text):
        return Selection(text, text, {}), fingerprint(locate(text, FILE_SUFFIXES))
    raise unknown_reference(text)
