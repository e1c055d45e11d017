"""Tidy rows → figures for a paper, one figure per module. No pyplot, and no window is opened."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from matplotlib.figure import Figure

from nashgames.disk import digest
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
    win_rates,
    writing,
)
from nashgames.plots.distances import CURVES, DISTANCES
from nashgames.plots.layout import tell
from nashgames.plots.page import SCALES, WIDTHS, Page, drawn_for
from nashgames.plots.palette import save, svg
from nashgames.plots.panels import AXES
from nashgames.plots.rows import Rows, by_axis, by_feedback, by_game, by_path, completed, rows_of, together

__all__ = [
    "ANSWERS",
    "DISTANCES",
    "FIGURES",
    "SCALES",
    "WIDTHS",
    "Entry",
    "Page",
    "Rows",
    "drawn_unasked",
    "figures",
    "rows_of",
    "save",
    "svg",
]

Split = Callable[[Rows], Iterator[tuple[str, Rows]]]


def _always(rows: Rows) -> bool:
    return True


def _never(rows: Rows) -> bool:
    return False


class Entry(NamedTuple):
    """A figure: a line of `help`, what it `needs`, whether it `applies` to rows, and how it is drawn of them.

    It is drawn without being named for the rows for which `unasked` is true. Where `distances` is not empty, `draw`
    takes one of them; `curves` says that it shows curves against what was spent, whose scale can be chosen, and of
    which those with a distance are meant where another distance is asked for and no figure by name. `split` gives the
    rows of each figure of this kind, with the end of its file name.
    """

    help: str
    needs: str
    applies: Callable[[Rows], bool]
    draw: Callable[..., Figure]
    unasked: Callable[[Rows], bool] = _always
    distances: Collection[str] = ()
    curves: bool = False
    split: Split = by_game

    @property
    def faceted(self) -> bool:
        """Whether its panels can be chosen, and what its curves show."""
        return self.curves and bool(self.distances)


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
        distances=CURVES,
        curves=True,
    ),
    "convergence-comparisons": Entry(
        "a distance against comparisons; from ten seeds on, quantiles of the last iterate",
        "runs on duels",
        convergence_comparisons.applies,
        convergence_comparisons.draw,
        distances=CURVES,
        curves=True,
    ),
    "share": Entry(
        "the share of seeds whose last iterate is at or below the tolerance, against comparisons",
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
        "which steps contract, end in a limit cycle or expand, over β and step",
        "runs on exact feedback that start near the equilibrium, with five or more steps of a solver and several β",
        regimes.applies,
        regimes.draw,
    ),
    "queries": Entry(
        "queries to ε against n, β or another number, with bands over seeds",
        "runs with several n or several β, or --against with another number that varies",
        queries.applies,
        queries.draw,
        queries.unasked,
        distances=DISTANCES,
        split=queries.split,
    ),
    "rates": Entry(
        "the fitted rate of every solver against β, and that of the theorem",
        "runs on exact feedback with several β",
        rates.applies,
        rates.draw,
        rates.unasked,
    ),
    "simplex": Entry(
        "the paths of the policies on the simplex of three actions",
        "runs on exact feedback in games of three actions",
        simplex.applies,
        simplex.draw,
        simplex.unasked,
    ),
    "writing": Entry(
        "what the last policies write, prompt by prompt, beside the equilibrium and the reference",
        "runs of a sequence game whose last policies are kept",
        writing.applies,
        writing.draw,
        writing.unasked,
        split=writing.split,
    ),
    "win-rates": Entry(
        "how often the last policy of one method is preferred to another's, as a matrix of all pairs",
        "runs of solvers whose last policies are kept and whose game can be made again",
        win_rates.applies,
        win_rates.draw,
        _never,
        split=win_rates.split,
    ),
    "theorems": Entry(
        "KL(π*‖π) of every run that a theorem covers, with its bound",
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
        "the probability that one solver needs fewer queries than another, as a matrix of all pairs",
        "runs of two or more solvers",
        improvement.applies,
        improvement.draw,
        _never,
        split=by_axis,
    ),
    "preferences": Entry(
        "the preferences P of the game, as a heat map",
        "runs of one game and one n that can be made again",
        preferences.applies,
        preferences.draw,
        _never,
    ),
}
"""Every figure by the name of its files, in the order in which they are drawn. A figure is one module and one entry."""

ANSWERS: Mapping[str, Sequence[str]] = {
    "theorems": ["theorems"],
    "race": ["profiles", "improvement"],
    "ratings": ["convergence"],
    "win-rates": ["convergence", "convergence-comparisons", "writing", "win-rates"],
}
"""The figures that belong to the `verdict` of an experiment, of which those are drawn that apply to its runs."""


def figures(
    rows: Rows, names: Sequence[str] | None = None, *, distance: str | None = None, page: Page | None = None
) -> dict[str, Figure]:
    """The named figures of an experiment, or those that it calls for, by the names of their files, made for a `page`.

    An experiment that asks for a verdict calls for the figures in `ANSWERS`. With a `distance`, only the figures that
    show one are drawn, with this one, a figure for all games together; with an `x` of the rows, only curves, and with a
    `facet`, only those whose panels can be chosen. Raises NashGamesError, saying which figures there are, for a name or
    a distance that does not exist and for a figure that does not apply.
    """
    rows = completed(rows)
    if distance is not None:
        distances.check_distance(distance, CURVES)
        distances.check_measured(distance, rows.curves)
    if names is None and distance is None and rows.facet is None and rows.verdict is not None:
        names = ANSWERS.get(rows.verdict)
        names = names and [name for name in names if _applies(name, rows)]
    for name in names or ():
        _check(name, rows, distance)
    made: dict[int, dict[str, Figure]] = {}
    with drawn_for(page or Page()):
        for name in FIGURES if names is None else names:
            entry = FIGURES[name]
            if names is None and (((distance or rows.facet) and not entry.faceted) or (rows.x and not entry.curves)):
                continue
            joined = (distance and entry.curves) or (rows.facet and entry.faceted)
            for place, (ending, part) in enumerate((by_feedback if joined else entry.split)(rows)):
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
    """A figure by the name of its files, which tells the distance, the axis, the panels and the condition where those
    were asked for."""
    told = [part.x] if part.x is not None and entry.curves else []
    told += ["by", *part.facet] if part.facet and entry.faceted else []
    told += [f"{_WHERE}-{digest(part.condition.encode())[:_DIGITS]}"] if part.condition is not None else []
    shown = {"distance": distance} if distance is not None and entry.distances else {}
    figure = entry.draw(part, **shown)
    if part.condition is not None:
        tell(figure, f"runs with {part.condition}")
    return {"-".join([name, *shown.values(), *told]): figure}


# A condition is no part of a file name: four hex digits tell those that are drawn into one directory apart.
_WHERE, _DIGITS = "where", 4


def drawn_unasked(stem: str) -> bool:
    """Whether a figure of this file name is one that is drawn where no distance, axis, panel or condition is asked for.

    >>> drawn_unasked("convergence-disc"), drawn_unasked("convergence-kl_to_equilibrium"), drawn_unasked("profiles")
    (True, False, False)
    """
    kind = max((name for name in FIGURES if stem == name or stem.startswith(f"{name}-")), key=len, default=None)
    if kind is None or FIGURES[kind].unasked is _never:
        return False
    words = (*CURVES, *AXES, "by", _WHERE)
    return not any(f"-{word}-" in f"{stem.removeprefix(kind)}-" for word in words)


def _check(name: str, rows: Rows, distance: str | None) -> None:
    """Raise NashGamesError unless the figure of this name exists, applies, and can show the distance."""
    if name not in FIGURES:
        raise unknown("figure", name, FIGURES)
    if not _applies(name, rows):
        raise NashGamesError(
            f"the figure '{name}' needs {FIGURES[name].needs}, which are not here; "
            f"figures that apply: {', '.join(applicable(rows)) or 'none'}"
        )
    if rows.facet is not None and not FIGURES[name].faceted:
        raise NashGamesError(
            f"facet is of curves, and the figure '{name}' has panels of its own; it is for: "
            f"{', '.join(other for other, entry in FIGURES.items() if entry.faceted)}"
        )
    if distance is not None and distance not in FIGURES[name].distances:
        showing = [other for other in applicable(rows) if distance in FIGURES[other].distances]
        raise NashGamesError(
            f"the figure '{name}' does not show {distances.said(distance)}; leave it out, or draw one of: "
            f"{', '.join(showing) or 'none'}"
        )
