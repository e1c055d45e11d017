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
    regimes,
    share,
    simplex,
    theorems,
)
from nashgames.plots.distances import DISTANCES
from nashgames.plots.page import SCALES, WIDTHS, Page, drawn_for
from nashgames.plots.palette import save, svg
from nashgames.plots.rows import Rows, by_axis, by_feedback, by_game, by_path, completed, together

__all__ = ["ANSWERS", "DISTANCES", "FIGURES", "SCALES", "WIDTHS", "Entry", "Page", "Rows", "figures", "save", "svg"]

Split = Callable[[Rows], Iterator[tuple[str, Rows]]]


def _always(rows: Rows) -> bool:
    return True


def _never(rows: Rows) -> bool:
    return False


class Entry(NamedTuple):
    """A figure: a line of `help`, what it `needs`, whether it `applies` to rows, and how it is drawn of them.

    It is drawn `unasked` of the rows of which this says so. Where `distances` is not empty, `draw` takes one of them;
    `curves` says that it shows curves against what was spent, whose scale can be chosen, and of which those with a
    distance are meant where another distance is asked for and no figure by name.
    `split` gives the rows of each figure of this kind, with the end of its file name.
    """

    help: str
    needs: str
    applies: Callable[[Rows], bool]
    draw: Callable[..., Figure]
    unasked: Callable[[Rows], bool] = _always
    distances: Iterable[str] = ()
    curves: bool = False
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
        curves=True,
    ),
    "convergence-comparisons": Entry(
        "a distance against comparisons; from ten seeds on, quantiles of the last iterate",
        "runs on duels",
        convergence_comparisons.applies,
        convergence_comparisons.draw,
        distances=DISTANCES,
        curves=True,
    ),
    "share": Entry(
        "the share of the seeds whose last iterate is under the tolerance, against comparisons",
        "runs on duels with several seeds and one tolerance",
        share.applies,
        share.draw,
        share.unasked,
        curves=True,
    ),
    "phases": Entry(
        "the largest stable step and the best rate against β, measured and derived",
        "runs on exact feedback with five or more steps of a solver and several β",
        phases.applies,
        phases.draw,
    ),
    "regimes": Entry(
        "which steps contract, circle or fly apart, over β and step",
        "runs on exact feedback from beside the equilibrium with five or more steps of a solver and several β",
        regimes.applies,
        regimes.draw,
    ),
    "queries": Entry(
        "queries to ε against n, β or another number, with bands over seeds",
        "runs with several n or several β, or a number that differs between them, by --against",
        queries.applies,
        queries.draw,
        queries.unasked,
        distances=DISTANCES,
        split=queries.split,
    ),
    "rates": Entry(
        "the fitted rate of every solver against β, beside the theorem's",
        "runs on exact feedback with several β",
        rates.applies,
        rates.draw,
        rates.unasked,
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
    rows: Rows, names: Sequence[str] | None = None, *, distance: str | None = None, page: Page | None = None
) -> dict[str, Figure]:
    """The named figures of an experiment, or those that it calls for, by the names of their files, made for a `page`.

    An experiment that asks for a verdict calls for the figures in `ANSWERS`. With a `distance`, only the figures that
    show one are drawn, with this one, a figure for all games together; with an `x` of the rows, only curves. Raises
    NashGamesError, saying which figures there are, for a name or a distance that does not exist and for a figure that
    does not apply.
    """
    rows = completed(rows)
    if distance is not None:
        distances.check_distance(distance)
    if names is None and distance is None and rows.verdict is not None:
        names = ANSWERS.get(rows.verdict)
    for name in names or ():
        _check(name, rows, distance)
    made: dict[int, dict[str, Figure]] = {}
    with drawn_for(page or Page()):
        for name in FIGURES if names is None else names:
            entry = FIGURES[name]
            if names is None and (
                (distance and not (entry.curves and entry.distances)) or (rows.x and not entry.curves)
            ):
                continue
            for place, (ending, part) in enumerate((by_feedback if distance and entry.curves else entry.split)(rows)):
                if (names is not None or entry.unasked(part)) and entry.applies(part):
                    made.setdefault(place, {}).update(_form(entry, name + ending, part, distance))
    # Game by game, as files are listed.
    return {name: figure for place in sorted(made) for name, figure in made[place].items()}


def applicable(rows: Rows) -> list[str]:
    """The figures that can be drawn of these rows."""
    rows = completed(rows)
    return [name for name in FIGURES if _applies(name, rows)]


def _applies(name: str, rows: Rows) -> bool:
    return any(FIGURES[name].applies(part) for _, part in FIGURES[name].split(rows))


def _form(entry: Entry, name: str, part: Rows, distance: str | None) -> dict[str, Figure]:
    """A figure by the name of its files, which tells the distance and the axis where those were asked for."""
    ending = f"-{part.x}" if part.x is not None and entry.curves else ""
    if distance is None or not entry.distances:
        return {f"{name}{ending}": entry.draw(part)}
    return {f"{name}-{distance}{ending}": entry.draw(part, distance=distance)}


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
