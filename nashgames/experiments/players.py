"""The players of an experiment: every solver with its feedback, policy and optimiser."""

from collections.abc import Mapping
from dataclasses import dataclass

from nashgames import plugins
from nashgames.core.feedback import Feedback
from nashgames.defaults import RUN
from nashgames.errors import NashGamesError
from nashgames.experiments.experiment import Cell, Experiment
from nashgames.learning.feedback import FEEDBACKS
from nashgames.registry import Selection, parse
from nashgames.solvers import compose, features_of, make_solver, parts_of, random_init
from nashgames.solvers.protocol import Solver


@dataclass(frozen=True)
class Player:
    """A solver as it was given, with its feedback and the texts of its policy and optimiser."""

    solver: Solver
    feedback: Feedback
    parts: Mapping[str, str]
    code: str

    @property
    def is_random(self) -> bool:
        """Whether two seeds give two runs on one game: it samples, or its first parameters are drawn."""
        return self.feedback.comparisons > 0 or random_init(self.solver)


def players(
    experiment: Experiment, start: Selection, given: Mapping[str, Solver] | None
) -> dict[tuple[str, ...], Player]:
    """Every solver of the experiment with its policy and optimiser, by the texts of a cell: solver, feedback, policy,
    optimiser.

    Raises NashGamesError for a name that does not exist, and for a start other than the reference of a policy that has
    features.
    """
    made: dict[tuple[str, ...], Player] = {}
    for cell in experiment.cells([experiment.seed]):
        key = key_of(cell)
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
        made[key] = Player(asked, feedback, parts, "".join(map(_code_of, map(parse, key))))
    return made


def _code_of(selection: Selection) -> str:
    """The hashes of the files that define what a selection names, also inside a wrapper; empty for names of this
    package.
    """
    own = plugins.fingerprint(selection.name) if plugins.is_file_name(selection.name) else ""
    return own + "".join(map(_code_of, selection.positional))


def key_of(cell: Cell) -> tuple[str, ...]:
    """The key of a cell's player: the texts of solver, feedback, policy and optimiser."""
    return (cell.solver, cell.feedback, cell.policy, cell.optimiser)


def _with_parts(solver: Solver, cell: Cell) -> Solver:
    """The solver with the parts of the cell; an object from a notebook keeps its own where these are the defaults."""
    own, asked = parts_of(solver), {"policy": cell.policy, "optimiser": cell.optimiser}
    return compose(solver, **{key: own[key] if text == RUN[key] else text for key, text in asked.items()})
