"""Tidy rows → figures fit for a paper: one figure a file. No pyplot, and nothing is ever shown."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from matplotlib.figure import Figure

from nashgames.errors import NashGamesError, unknown
from nashgames.plots import (
    convergence,
    convergence_comparisons,
    distances,
    equilibria,
    improvement,
    phases,
    preferences,
    profiles,
    queries,
    rates,
    scaling,
    share,
    simplex,
    theorems,
)
from nashgames.plots.distances import DISTANCES
from nashgames.plots.palette import save
from nashgames.plots.rows import Rows, by_axis, by_feedback, by_game, by_path, completed, together

__all__ = ["ANSWERS", "DISTANCES", "FIGURES", "Entry", "Rows", "figures", "save"]

Split = Callable[[Rows], Iterator[tuple[str, Rows]]]


def _always(rows: Rows) -> bool:
    return True


def _never(rows: Rows) -> bool:
    return False


class Entry(NamedTuple):
    """A figure: a line of `help`, what it `needs`, whether it `applies` to rows, and how it is drawn of them.

    It is drawn `unasked` of the rows of which this says so. Its curves show one of `distances`, if there are any, which
    `draw` takes. `split` gives the rows of each figure of this kind, with the end of its file name.
    """

    help: str
    needs: str
    applies: Callable[[Rows], bool]
    draw: Callable[..., Figure]
    unasked: Callable[[Rows], bool] = _always
    distances: Iterable[str] = ()
    split: Split = by_game


FIGURES: Mapping[str, Entry] = {
    "equilibria": Entry(
        "the probabilities of the most played actions against β, or one mixture ranked",
        "exact equilibria, as nashgames equilibrium finds them",
        equilibria.applies,
        equilibria.draw,
        split=by_path,
    ),
    "convergence": Entry(
        "a distance against queries, with the theorem's line",
        "runs on exact feedback",
        convergence.applies,
        convergence.draw,
        distances=DISTANCES,
    ),
    "convergence-comparisons": Entry(
        "a distance against comparisons; from ten seeds on, quantiles of the last iterate",
        "runs on duels",
        convergence_comparisons.applies,
        convergence_comparisons.draw,
        distances=DISTANCES,
    ),
    "share": Entry(
        "the share of the seeds whose last iterate is under the tolerance, against comparisons",
        "runs on duels with several seeds and one tolerance",
        share.applies,
        share.draw,
        share.unasked,
    ),
    "phases": Entry(
        "the largest stable step and the best rate against β, measured and derived",
        "runs on exact feedback with five or more steps of a solver and several β",
        phases.applies,
        phases.draw,
    ),
    "queries": Entry(
        "queries to the tolerance over β and n, as a heat map",
        "runs on exact feedback with several β and several n",
        queries.applies,
        queries.draw,
    ),
    "rates": Entry(
        "the fitted rate of every solver against β, beside the theorem's",
        "runs on exact feedback with several β",
        rates.applies,
        rates.draw,
        rates.unasked,
    ),
    "scaling": Entry(
        "queries to the tolerance against n, or against β, and the theorem's for Nash-MP",
        "runs on exact feedback with several n or several β",
        scaling.applies,
        scaling.draw,
        _never,
    ),
    "simplex": Entry(
        "the ways of the policies through the simplex of three actions",
        "runs on exact feedback in games of three actions",
        simplex.applies,
        simplex.draw,
        simplex.unasked,
    ),
    "theorems": Entry(
        "KL(π*‖π) of every run that a theorem covers, beside the bound",
        "runs that a theorem covers",
        theorems.applies,
        theorems.draw,
        _never,
        split=together,
    ),
    "profiles": Entry(
        "performance profiles: the share of games solved within a factor of the cheapest method's cost",
        "runs of two or more solvers",
        profiles.applies,
        profiles.draw,
        _never,
        split=by_axis,
    ),
    "improvement": Entry(
        "how probably every solver is cheaper than every other one, as a matrix",
        "runs of two or more solvers",
        improvement.applies,
        improvement.draw,
        _never,
        split=by_axis,
    ),
    "preferences": Entry(
        "who is preferred to whom in the game, as a heat map",
        "runs of one game and one n that can be made again",
        preferences.applies,
        preferences.draw,
        _never,
    ),
}
"""Every figure by the name of its files, in the order in which they are drawn. A figure is one file and one entry."""

ANSWERS: Mapping[str, Sequence[str]] = {"theorems": ["theorems"], "race": ["profiles", "improvement"]}
"""The figures that answer what an experiment asks, by its `verdict`."""


def figures(
    rows: Rows, names: Sequence[str] | None = None, *, distance: str | None = None, brief: bool = False
) -> dict[str, Figure]:
    """The named figures of an experiment, or those that it calls for, by the names of their files.

    An experiment that asks for a verdict calls for the figures in `ANSWERS`. With a `distance`, only the figures that
    show one are drawn, with this one, a figure for all games together. `brief` leaves out the distances to the
    equilibrium. Raises NashGamesError, saying which figures there are, for a name or a distance that does not exist and
    for a figure that does not apply.
    """
    rows = completed(rows)
    if distance is not None:
        distances.check_distance(distance)
    if names is None and distance is None and rows.verdict is not None:
        names = ANSWERS.get(rows.verdict)
    for name in names or ():
        _check(name, rows, distance)
    made: dict[int, dict[str, Figure]] = {}
    for name in FIGURES if names is None else names:
        entry = FIGURES[name]
        if distance is not None and not entry.distances:
            continue
        for place, (ending, part) in enumerate((by_feedback if distance else entry.split)(rows)):
            if (names is not None or entry.unasked(part)) and entry.applies(part):
                made.setdefault(place, {}).update(_forms(name, part, ending, distance, brief=brief))
    # Game by game, as files are listed.
    return {name: figure for place in sorted(made) for name, figure in made[place].items()}


def applicable(rows: Rows) -> list[str]:
    """The figures that can be drawn of these rows."""
    rows = completed(rows)
    return [name for name in FIGURES if _applies(name, rows)]


def _applies(name: str, rows: Rows) -> bool:
    return any(FIGURES[name].applies(part) for _, part in FIGURES[name].split(rows))


def _forms(name: str, part: Rows, ending: str, distance: str | None, *, brief: bool) -> Iterator[tuple[str, Figure]]:
    entry = FIGURES[name]
    if not entry.distances:
        yield f"{name}{ending}", entry.draw(part)
    elif distance is not None:
        yield f"{name}{ending}-{distance}", entry.draw(part, distance=distance)
    else:
        for each in distances.unasked(part, brief=brief):
            yield f"{name}{distances.UNASKED[each]}{ending}", entry.draw(part, distance=each)


def _check(name: str, rows: Rows, distance: str | None) -> None:
    """Raise NashGamesError unless the figure of this name exists, applies, and can show the distance."""
    if name not in FIGURES:
        raise unknown("figure", name, FIGURES)
    if not _applies(name, rows):
        raise NashGamesError(
            f"the figure '{name}' needs {FIGURES[name].needs}, which are not here; "
            f"figures that apply: {', '.join(applicable(rows)) or 'none'}"
        )
    if distance is not None and not FIGURES[name].distances:
        showing = [other for other in applicable(rows) if FIGURES[other].distances]
        raise NashGamesError(
            f"the figure '{name}' shows no distance, and the distance is {distance}; leave it out, or draw one of: "
            f"{', '.join(showing) or 'none'}"
        )
