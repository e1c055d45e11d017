"""One run: what it plays, with what numbers, and what its id is made from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import jax

from nashgames.core.feedback import Feedback
from nashgames.core.game import DEFAULT_BETA, Game
from nashgames.defaults import AUTO, REFEREE, REPORTED, RUN
from nashgames.engine.settings import Settings
from nashgames.experiments.sources import ReferenceKey, Source, reference_key
from nashgames.registry import Number, Registry, Selection, parameters_of, parse, render
from nashgames.solvers import (
    features_of,
    has_open_horizon,
    hyperparameters,
    paid_steps,
    selection_of,
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

TuningKey = tuple[str, Source, int | None, Selection, float, tuple[str, ...]]
"""What runs that differ in seed and in a tuned number only have in common."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run: what it plays, with what numbers, and its id; the only description of a run that there is.

    `solver` has all its numbers, or is the `Referee`: then the run is the exact equilibrium itself. `label` is the
    solver as it was asked for, short where that is enough, and `step_source` says where its numbers come from. Runs
    with equal `game_key` play the same margins. A run of a solver that is tuned in the number `tuned` has the `role`
    tuning where the value is tried, reported where it was chosen, both where a game is the same for every seed, and
    asked where it is the solver as it was asked for, on the seeds of the chosen one. `storage` is that of the margins,
    `auto` where it is the one that a user's game has.
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
    tuned: str | None = None
    role: str = REPORTED
    storage: str = AUTO
    steps_key: str = ""
    """The hash of all that the run has in common with those of other seeds and budgets."""

    @property
    def told(self) -> dict[str, str | None]:
        """What an experiment says of the run, and another one may say otherwise."""
        return {"label": str(self.label), "step_source": self.step_source, "role": self.role, "tuned": self.tuned}

    @property
    def tuning_key(self) -> TuningKey:
        """What the run has in common with those that differ in seed and tuned number only."""
        return (self.label, self.source, self.actions, self.reference, self.beta, tuple(self.parts.values()))

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
        return source.make(actions, seed, self.beta or DEFAULT_BETA, dtype, self.storage)

    @property
    def program_key(self) -> tuple[Any, ...]:
        """What the compiled program of the run depends on beside the shape of its game."""
        kinds = (jax.tree.structure(self.played), type(self.played), jax.tree.structure(self.feedback))
        return (*kinds, self.target, self.beta == 0)

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

    def comparisons(self, steps: Any, contexts: int) -> Any:
        """Comparisons that so many first steps cost over all contexts: those that are read again were paid for."""
        return paid_steps(self.solver, steps) * self.comparisons_per_step(contexts)


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


def content_of(run: Run, reference_file: str | None) -> dict[str, Any]:
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
        # Runs of before had no choice.
        **({} if run.storage in (AUTO, "dense") else {"storage": run.storage}),
    }


def playing_of(run: Run, settings: Settings, code: str | None) -> dict[str, Any]:
    """What the identity of a run has of how it is played and recorded; `code` is the hash of a solver's file."""
    chosen = {**run.parts, "start": run.start, "target": run.target}
    recorded = ("precision", "comparisons", "target", "also")
    return {
        **{key: value for key, value in vars(settings).items() if key not in recorded},
        "queries": settings.budget(run.beta),
        **vars(settings.precision),
        # What runs of before did not have stands only where it is not what they did.
        **{key: text for key, text in chosen.items() if text != RUN[key]},
        **({"comparisons": settings.comparisons} if settings.comparisons and run.feedback.comparisons else {}),
        **({"code": code} if code else {}),
        # Before, such a schedule fell over a thousand steps, whatever the budget.
        **({"horizon": "run"} if has_open_horizon(run.played) else {}),
    }
