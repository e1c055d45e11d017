"""An experiment → the runs it stands for."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar

import jax

from nashgames import plugins
from nashgames.core.feedback import EXACT, Feedback
from nashgames.core.game import DEFAULT_BETA, Game
from nashgames.core.precision import Precision
from nashgames.defaults import PARTS, REFEREE, RUN
from nashgames.engine.settings import Settings
from nashgames.errors import NashGamesError
from nashgames.exact.referee import falling
from nashgames.experiments.experiment import Cell, Experiment, content_hash
from nashgames.experiments.sources import ReferenceKey, Source, find_reference, find_source, reference_key
from nashgames.learning.feedback import FEEDBACKS
from nashgames.registry import Number, Registry, Selection, parameters_of, parse, render
from nashgames.solvers import (
    compose,
    features_of,
    hyperparameters,
    make_solver,
    parts_of,
    random_init,
    selection_of,
    step_source,
    with_theory_defaults,
)
from nashgames.solvers.protocol import Solver
from nashgames.store import SCHEMA


def _at_the_reference() -> None:
    """π_0 = μ."""


def _near_the_equilibrium(
    # Errors are linear there to 1e-3, and a KL of 5e-7 can still grow by six decades or fall by more.
    distance: Annotated[float, Number("standard deviation of a logit about π*", above=0)] = 1e-3,
) -> None:
    """Near π*_β: its logits moved by independent normal numbers."""


_STARTS = Registry("start", {"reference": _at_the_reference, "equilibrium": _near_the_equilibrium})


@dataclass(frozen=True)
class Referee:
    """What stands in the place of a solver where a run is the exact equilibrium itself: nothing is played."""

    name: ClassVar[str] = REFEREE
    queries_per_step: ClassVar[int] = 0
    """It reads A itself and asks no query."""


GameKey = tuple[Source, int | None, int, float]
"""What margins depend on: source, n, seed and β where they matter, else 0."""


@dataclass(frozen=True)
class Run:
    """One run: what it plays, with what numbers, and its id; the only description of a run that there is.

    `solver` has all its numbers, or is the `Referee`: then the run is the exact equilibrium itself. `label` is the
    solver as it was asked for, short where that is enough, and `step_source` says where its numbers come from. Runs
    with equal `game_key` play the same margins.
    """

    run_id: str
    source: Source
    actions: int | None
    seed: int
    reference: Selection
    beta: float
    solver: Solver | Referee
    feedback: Feedback
    start: Selection
    label: str
    step_source: str
    target: str
    parts: Mapping[str, str] = field(hash=False)
    """Feedback, policy and optimiser as canonical text."""

    @property
    def played(self) -> Solver:
        """The solver of a run that is played; TypeError for an exact equilibrium."""
        if isinstance(self.solver, Referee):
            raise TypeError(f"run {self.run_id} is an exact equilibrium, which nobody plays")
        return self.solver

    @property
    def selection(self) -> Selection:
        """The canonical text that selects the solver again."""
        return parse(self.solver.name) if isinstance(self.solver, Referee) else selection_of(self.solver)

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """The solver's numbers by their names."""
        return {} if isinstance(self.solver, Referee) else hyperparameters(self.solver)

    @property
    def game_key(self) -> GameKey:
        """What the margins depend on: source, n, seed and β where they matter, else 0."""
        seed = self.seed if self.source.takes_seed else 0
        return (self.source, self.actions, seed, self.beta if self.source.takes_beta else 0.0)

    def make_game(self, dtype: str) -> Game:
        """The game that the run plays, with the game's own reference; one for all runs of its `game_key`."""
        source, actions, seed, _ = self.game_key
        return source.make(actions, seed, self.beta or DEFAULT_BETA, dtype)

    @property
    def lane_key(self) -> tuple[Any, ...]:
        """What tells this run from others of the same game and solver class."""
        seed = 0 if self.source.takes_seed else self.seed
        return (self.reference, seed, self.beta, self.selection, self.parts["feedback"])

    @property
    def program_key(self) -> tuple[Any, ...]:
        """What the compiled program of the run depends on beside the shape of its game."""
        return (jax.tree.structure(self.played), type(self.played), jax.tree.structure(self.feedback))

    @property
    def reference_key(self) -> ReferenceKey:
        """What the reference depends on beside the game."""
        return reference_key(self.reference, self.seed)

    @property
    def features(self) -> tuple[str, int | None] | None:
        """What the run's policy has to see of the actions: kind and dimension, None for a table."""
        return features_of(self.played)

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
    betas = experiment.every("beta")
    _check_sizes(experiment, sources)
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
        _check_reference(cell.game, source, cell.reference, reference)
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


def plan_equilibria(experiment: Experiment, betas: Sequence[float]) -> list[Run]:
    """The exact equilibria of the game, size, reference and seed of an experiment, one of each, at these β as runs.

    β = 0 is the original game. The β of the experiment are not used. Raises NashGamesError as `plan` does, for a β that
    the referee refuses, and for β = 0 of a game that brings a reference made for its β.
    """
    falling(betas)
    (text,), (asked,) = experiment.game, experiment.reference
    source = find_source(text)
    _check_sizes(experiment, {text: source})
    reference, reference_file = find_reference(asked)
    _check_reference(text, source, asked, reference)
    if source.takes_beta and 0 in betas:
        raise NashGamesError(f"beta is 0, but {text} brings a reference made for a β above 0; leave 0 out")
    size = experiment.actions[0] if experiment.actions else None
    runs = (
        Run(
            run_id="",
            source=source,
            actions=_actions(source, size),
            seed=experiment.seed,
            reference=_settled(source, reference),
            beta=beta,
            solver=Referee(),
            feedback=EXACT,
            start=find_start(RUN["start"]),
            label=Referee.name,
            step_source="exact",
            target=RUN["target"],
            parts=PARTS,
        )
        for beta in betas
    )
    # An exact equilibrium depends on nothing of how runs are played and recorded.
    return [replace(run, run_id=content_hash(_content(run, reference_file))) for run in runs]


def _check_sizes(experiment: Experiment, sources: Mapping[str, Source]) -> None:
    """Raise NashGamesError where `actions` is given and every game has a size of its own."""
    sizes = experiment.every("actions")
    if sizes and all(source.default_actions is None for source in sources.values()):
        own = "has a size of its own" if len(sources) == 1 else "have sizes of their own"
        raise NashGamesError(
            f"actions is {sizes[0]}, but {', '.join(sources)} {own}; leave actions out, or use a "
            f"generated game such as random-logits"
        )


def _check_reference(game: str, source: Source, asked: str, reference: Selection) -> None:
    """Raise NashGamesError where a reference is given beside one that the game brings."""
    if source.takes_beta and reference != "own":
        raise NashGamesError(f"reference is '{asked}', but {game} brings its own; leave reference out, or use own")


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
    code: str

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
        made[key] = _Player(asked, feedback, parts, "".join(map(_code_of, map(parse, key))))
    return made


def _code_of(selection: Selection) -> str:
    """The hashes of the files that bring what a selection names, also inside a wrapper; empty for ours."""
    own = plugins.fingerprint(selection.name) if plugins.is_file_name(selection.name) else ""
    return own + "".join(map(_code_of, selection.positional))


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
    solver = with_theory_defaults(player.solver, cell.beta, sampled=player.feedback.comparisons > 0)
    run = Run(
        run_id="",
        source=source,
        actions=_actions(source, cell.actions),
        seed=cell.seed,
        reference=_settled(source, reference),
        beta=cell.beta,
        solver=solver,
        feedback=player.feedback,
        start=start,
        label=label,
        step_source=step_source(player.solver, solver),
        target=settings.target,
        parts=player.parts,
    )
    content = _content(run, reference_file) | _of_playing(run, settings, player.code)
    return replace(run, run_id=content_hash(content))


def _actions(source: Source, asked: int | None) -> int | None:
    """n of a run: as asked, else the usual; None where the game decides."""
    return None if source.default_actions is None else asked or source.default_actions


def _settled(source: Source, reference: Selection) -> Selection:
    """The reference of a run: `own` is uniform for a game that brings none."""
    brings = source.takes_beta or source.given is not None
    return render("uniform", {}) if reference == "own" and not brings else reference


def _content(run: Run, reference_file: str | None) -> dict[str, Any]:
    """What the identity of every run is made from."""
    return {
        "format": SCHEMA,
        "game": run.source.text,
        "fingerprint": run.source.fingerprint,
        "actions": run.actions,
        "seed": run.seed,
        "reference": run.reference,
        "reference_file": reference_file,
        "beta": run.beta,
        "solver": run.selection,
    }


def _of_playing(run: Run, settings: Settings, code: str | None) -> dict[str, Any]:
    """What the identity of a run has of how it is played and recorded; `code` is the hash of a solver's file."""
    chosen = {**run.parts, "start": run.start, "target": settings.target}
    recorded = ("precision", "comparisons", "target")
    return {
        **{key: value for key, value in vars(settings).items() if key not in recorded},
        "queries": settings.budget(run.beta),
        **vars(settings.precision),
        # What runs of before did not have stands only where it is not what they did.
        **{key: text for key, text in chosen.items() if text != RUN[key]},
        **({"comparisons": settings.comparisons} if settings.comparisons and run.feedback.comparisons else {}),
        **({"code": code} if code else {}),
    }


def _labels(solvers: Mapping[str, Solver]) -> dict[str, str]:
    """A solver's short name where only one variant of it is asked for, else the selection as it was given."""
    names = {text: solver.name for text, solver in solvers.items()}
    counts = list(names.values())
    return {text: name if counts.count(name) == 1 else text for text, name in names.items()}
