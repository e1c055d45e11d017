"""The trials of tuning: which parameter of a solver is tuned, and its values on a logarithmic grid."""

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from nashgames.errors import NashGamesError, has_no
from nashgames.experiments import tune
from nashgames.experiments.players import Player
from nashgames.registry import values_of
from nashgames.solvers import (
    follows_curvature,
    hyperparameters,
    is_given,
    names_of,
    tuned_parameters,
    with_number,
    with_theory_defaults,
)
from nashgames.solvers.protocol import Solver

# Two neighbours of a grid without given ends: eight steps then span two decades to both sides of the default.
_FACTOR = math.sqrt(10)


@dataclass(frozen=True)
class Tuned:
    """A solver as it was given, its tuned parameter, and the range of its values, None for one around its default."""

    solver: Solver
    parameter: str
    range_: str | None
    count: int

    def values(self, beta: float, *, sampled: bool) -> list[float]:
        """The values to try beside the solver's own, rising, those that it refuses left out; `sampled` is on duels."""
        kind = tuned_parameters(self.solver)[self.parameter].kind
        own = hyperparameters(with_theory_defaults(self.solver, beta, sampled=sampled))[self.parameter]
        wanted: Iterable[float] = (
            _around(own, beta, self.count) if self.range_ is None else map(float, values_of(self.range_, ""))
        )
        rounded = (kind(round(value)) if kind is int else float(f"{value:.6g}") for value in wanted)
        found = dict.fromkeys(value for value in rounded if value != own and self._accepts(value, beta, sampled))
        return sorted(itertools.islice(found, self.count))

    def trial(self, value: float | None) -> Solver:
        """The solver with this value; as it was given where the value is None."""
        return self.solver if value is None else with_number(self.solver, self.parameter, value)

    def _accepts(self, value: float, beta: float, sampled: bool) -> bool:
        try:
            with_theory_defaults(with_number(self.solver, self.parameter, value), beta, sampled=sampled)
        except NashGamesError:
            return False
        return True


def tuned_of(
    players: Mapping[tuple[str, ...], Player], given: Mapping[str, Any]
) -> tuple[dict[tuple[str, ...], Tuned], list[str]]:
    """The players that are tuned, by their keys, and notes on the solvers that are not tuned.

    The tuned parameter of a solver is the one that a range of `given` (see `tune.read`) names, else its step, else the
    first that it declares tuned; given parameters are never tuned. A step that follows the curvature is the last
    choice; of two ranges for every solver one is used, which a note says. Raises NashGamesError for a range that no
    solver is tuned in, and for two ranges of one solver.
    """
    ranges = tune.grids(given)
    found: dict[tuple[str, ...], Tuned] = {}
    left: dict[str, dict[str, None]] = {}
    several: dict[str, None] = {}
    accepted: dict[str, None] = {}
    used: set[str] = set()
    for key, player in players.items():
        text, solver = key[0], player.solver
        declared = _declared(player)
        if not declared:
            reason = "its step is given" if tuned_parameters(solver) else "it has no tuned parameter"
            left.setdefault(reason, {})[text] = None
            continue
        names = {name: [*(f"{own}.{name}" for own in names_of(solver)), name] for name in declared}
        accepted |= dict.fromkeys(asked for forms in names.values() for asked in (forms[-1], forms[0]))
        # Of a range for the parameter of every solver and one for this solver's own, its own.
        chosen = {name: asked for name, forms in names.items() for asked in reversed(forms) if asked in ranges}
        own = {name: asked for name, asked in chosen.items() if asked != name}
        if len(own) > 1:
            raise NashGamesError(f"tune has ranges for {' and '.join(own.values())}; give one of them")
        used |= {asked for forms in names.values() for asked in forms}
        said = [(name, ranges[asked]) for name, asked in (own or chosen).items()]
        parameter, range_ = said[0] if said else (declared[0], None)
        if len(said) > 1:
            other = said[1][0]
            several[f"{text} is tuned in {parameter} and not in {other}; name {names[other][0]} to tune that"] = None
        found[key] = Tuned(solver, parameter, range_, given["trials"])
    for asked in ranges:
        if asked not in used:
            raise has_no("tune", "parameter", asked, accepted)
    notes = [f"not tuned, {reason}: {', '.join(texts)}" for reason, texts in left.items()]
    return found, [*notes, *several]


def _declared(player: Player) -> list[str]:
    """The parameters of a player that can be tuned, the default choice first."""
    solver, sampled = player.solver, player.feedback.comparisons > 0
    declared = [name for name in tuned_parameters(solver) if not is_given(solver, name)]
    if len(declared) < 2:
        return declared
    # Whether a step follows the curvature does not depend on β.
    follows = follows_curvature(with_theory_defaults(solver, 1.0, sampled=sampled))
    return sorted(declared, key=lambda name: (name == "step") == follows)


def _around(own: float | None, beta: float, count: int) -> Iterator[float]:
    """own·√10^k for k = 1, −1, …, count, −count, so that either side alone has enough of them.

    Where a solver's own is no number, because it changes on the way, about 1/β, the step that forgets the policy it
    starts from.
    """
    if own is None:
        centre = 1 / beta if beta > 0 else 1.0
        yield centre
    else:
        # It is tried already, as the solver's own value.
        centre = float(own)
    for distance in range(1, count + 1):
        yield centre * _FACTOR**distance
        yield centre / _FACTOR**distance
