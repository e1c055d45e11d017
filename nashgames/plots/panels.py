"""Small multiples: which runs share a panel, how panels are laid out and titled, the legend and the caption."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import ticker
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend_handler import HandlerBase
from matplotlib.lines import Line2D

from nashgames.analysis.outcomes import VARIANTS, complete, on_samples
from nashgames.errors import NashGamesError, unknown
from nashgames.plots.estimates import Floats, Trace
from nashgames.plots.page import page
from nashgames.plots.palette import FAINT, PaperFigure, plain

LIMIT = 4
"""Rows and columns of panels in a grid; what is left out is said in the title."""

PROBLEM = ("game", "reference", "n", "policy", "feedback")
"""What tells the panels of a figure apart, beside β: what is learned, in which class, from what."""

AXES = {"queries": "queries", "comparisons": "comparisons", "steps": "step"}
"""What curves are drawn against and its column: what a run is charged in, queries of the game on exact feedback and
single duels on samples; or its steps, the updates of papers, each of which may cost several."""

_CELL = [*PROBLEM, "optimiser", "beta", "seed", "dtype", "device"]

# Inches of a panel with the numbers of its axes, at least: two tick labels stand side by side.
_NARROWEST = 1.3
# Rows of a list of panels: more are higher than a page.
_ROWS = 5
# Height of a panel alone, and of one of several, as parts of its width; a grid is read down its columns too.
_ALONE, _OF_SEVERAL = 0.5, 0.72
# Room beside the outermost marks, as a factor on a logarithmic axis and as a part of a linear one.
_ROOM, _ROOM_LINEAR = 1.35, 0.06
# Values that span less than this factor stand on a linear axis.
_SPAN = 5
# More ticks than this would touch each other.
_TICKS = 6
# Lines of type that the numbers and the name of the axis take below the panels, and those of a panel's title.
_BELOW, _TITLED = 3.2, 1.6
# A line of a legend or a title in sizes of type.
_LEADING = 1.45


def prepare(runs: pd.DataFrame, beside: Sequence[str] = ()) -> pd.DataFrame:
    """The rows of runs.parquet with labels that tell curves apart that are not repetitions of one another.

    A label is extended by the optimiser, the precision or the device where these differ, and replaced by the full
    selection where one cell of the experiment, and of the columns `beside`, has it twice. Raises NashGamesError where
    there are no runs.
    """
    if runs.empty:
        raise NashGamesError("there are no runs to draw; a figure needs at least one finished run")
    runs = complete(runs)
    labels = runs["label"].astype(str)
    twice = labels[runs.assign(label=labels).duplicated([*_CELL, *beside, "label"])].unique()
    labels = labels.where(~labels.isin(twice), runs["selection"].astype(str))
    for key in ("optimiser", "dtype", "device"):
        if several(runs[key]):
            labels = labels + " · " + runs[key].astype(str)
    return runs.assign(label=labels)


def axis_of(runs: pd.DataFrame, x: str | None = None) -> str:
    """The axis that prepared runs share: queries on exact feedback, comparisons on samples; or `x`, where they have it.

    Raises NashGamesError for runs of both kinds, for another axis, and for the comparisons of exact feedback.
    """
    if x is not None and x not in AXES:
        raise unknown("axis", x, AXES)
    sampled = on_samples(runs)
    if several(sampled):
        raise NashGamesError(
            "runs on exact feedback are counted in queries and runs on samples in comparisons; draw them separately"
        )
    if x == "comparisons" and not sampled.any():
        raise NashGamesError("x is comparisons, but exact feedback consumes none; use queries")
    return x or ("comparisons" if sampled.any() else "queries")


def traces_of(curves: pd.DataFrame, runs: pd.DataFrame, column: str, x: str = "queries") -> dict[str, Trace]:
    """The measured points of `column` over `x` for every run of `runs`, by run_id; NaN where it was not measured."""
    mine = curves[curves["run_id"].isin(runs["run_id"])]
    codes, names = pd.factorize(mine["run_id"])
    order = np.lexsort((mine["step"].to_numpy(), codes))
    codes, costs, values = codes[order], floats(mine[AXES[x]])[order], floats(mine[column])[order]
    statuses = mine["status"].to_numpy(dtype=object)[order]
    # Of several points at one cost the last counts.
    kept = np.append((codes[1:] != codes[:-1]) | (costs[1:] != costs[:-1]), True)[: len(codes)]
    codes, costs, values, statuses = codes[kept], costs[kept], values[kept], statuses[kept]
    ends = np.searchsorted(codes, np.arange(len(names)), side="right")
    return {
        str(name): Trace(costs[start:end], values[start:end], str(statuses[end - 1]))
        for name, start, end in zip(names, [0, *ends[:-1]], ends, strict=True)
    }


def several(column: "pd.Series[Any]") -> bool:
    """Whether a column has more than one value."""
    return len(column.unique()) > 1


def floats(column: "pd.Series[Any]") -> Floats:
    """A column as float64, null as NaN."""
    return column.to_numpy(dtype=np.float64, na_value=np.nan)


@dataclass(frozen=True, eq=False)
class Panel:
    """One panel: where it stands, the runs it shows, and its title."""

    row: int
    column: int
    runs: pd.DataFrame
    title: str


@dataclass(frozen=True)
class Facets:
    """The panels of a figure, its numbers of rows and columns, and its title."""

    rows: int
    columns: int
    panels: list[Panel]
    title: str


def say(key: str, value: Any) -> str:
    """A value of a column in the terms of the field: β = 0.1, n = 100, uniform reference, seed 0."""
    words = {"beta": "β = {:g}", "n": "n = {}", "seed": "seed {}"}
    if key in words:
        return words[key].format(value)
    if key in VARIANTS:
        return plain(str(value), 60)
    return plain(str(value)) + (" reference" if key == "reference" else "")


def facets(runs: pd.DataFrame, keys: Sequence[str]) -> Facets:
    """The panels for every combination of `keys` that occurs in `runs`; keys with one value go to the title.

    So does how all runs learned, where that is not from exact feedback, in a table and by plain steps.
    Two or more keys that vary make a grid with the last one along its columns, where every cell of it has runs and the
    page is wide enough; otherwise the panels are a list, wrapped.
    """
    varied = [key for key in keys if several(runs[key])]
    told = [key for key in dict.fromkeys([*keys, *VARIANTS]) if not several(runs[key])]
    first = runs.iloc[0]
    fixed = _title(*(say(key, first[key]) for key in told if first[key] != VARIANTS.get(key)))
    if not varied:
        return Facets(1, 1, [Panel(0, 0, runs, "")], fixed)
    cells, down = _combinations(runs, varied), _combinations(runs, varied[:-1]) if len(varied) > 1 else []
    last = varied[-1]
    across = list(_sorted(runs, [last])[last].unique())
    beside = max(int(page().inches / _NARROWEST), 1)
    if last != keys[-1] or len(down) * len(across) != len(cells) or min(len(across), LIMIT) > beside:
        columns = min(wrap(min(len(cells), LIMIT * LIMIT)), beside)
        chosen = some(cells, min(LIMIT * LIMIT, _ROWS * columns))
        panels = [Panel(*divmod(i, columns), frame, text) for i, (text, frame) in enumerate(chosen)]
        rows = -(-len(chosen) // columns)
        return Facets(rows, columns, panels, _title(fixed, _left_out(len(chosen), len(cells), "panels")))
    shown, values = some(down, LIMIT), some(across, LIMIT)
    panels = [
        Panel(i, j, frame[frame[last] == value], f"{text}, {say(last, value)}")
        for i, (text, frame) in enumerate(shown)
        for j, value in enumerate(values)
    ]
    names = {"beta": "values of β", "label": "solvers"}
    left_out = (_left_out(len(values), len(across), names.get(last, last)), _left_out(len(shown), len(down), "rows"))
    return Facets(len(shown), len(values), panels, _title(fixed, *left_out))


def _combinations(runs: pd.DataFrame, keys: list[str]) -> list[tuple[str, pd.DataFrame]]:
    groups = _sorted(runs, keys).groupby(keys, sort=False, observed=True)
    return [(", ".join(say(k, v) for k, v in zip(keys, values, strict=True)), frame) for values, frame in groups]


def _sorted(runs: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """The runs in the order of their panels: β falls and all else rises, so that games get harder to the right and
    downwards; what is usual comes before its variants."""

    def place(column: "pd.Series[Any]") -> "pd.Series[Any]":
        return column.where(column != VARIANTS[str(column.name)], "") if column.name in VARIANTS else column

    return runs.sort_values(keys, ascending=[key != "beta" for key in keys], kind="stable", key=place)


def _left_out(shown: int, present: int, what: str) -> str:
    return f"{shown} of {present} {what} shown" if shown < present else ""


def _title(*parts: str) -> str:
    return " · ".join(part for part in parts if part)


def fold(text: str, letters: float) -> str:
    """The text in lines of at most so many letters: broken behind · ; and commas, inside brackets only where it must.

    >>> fold("n = 3 · mlp[depth=3,width=10]", 12)
    'n = 3\\nmlp[depth=3,\\nwidth=10]'
    """
    lines = [""]
    for part in re.findall(r".+?(?: · |; |, |$)", text):
        fits = len(part.rstrip(" ·")) <= letters
        if not fits and lines[-1]:
            lines.append("")
        for piece in [part] if fits else re.findall(r".+?(?:,|(?=\[)|$)\s*", part):
            if lines[-1] and len((lines[-1] + piece).rstrip(" ·")) > letters:
                lines.append("")
            lines[-1] += piece
    return "\n".join(line.rstrip(" ·") for line in lines)


def some(values: Iterable[Any], limit: int) -> list[Any]:
    """At most `limit` of the values, evenly spread, the first and the last among them."""
    listed = list(values)
    if len(listed) <= limit:
        return listed
    return [listed[i] for i in np.linspace(0, len(listed) - 1, limit).round().astype(int)]


def wrap(panels: int) -> int:
    """Columns for a list of panels: one row up to three, else close to a square."""
    return panels if panels <= 3 else int(np.ceil(np.sqrt(panels)))


def axes_of(
    laid: Facets, ax: Axes | None, *, share: bool = True, alone: float = _ALONE, each: float = _OF_SEVERAL
) -> tuple[Figure, list[Axes]]:
    """A figure with one axes for every panel, titled; or the figure of `ax`, which holds a single panel.

    It is as wide as the page; a panel is as high as the part `alone` of its width, or `each` where there are several.
    """
    if ax is not None:
        if len(laid.panels) != 1:
            raise NashGamesError(
                f"ax holds one panel and these runs need {len(laid.panels)}; select fewer runs or leave ax out"
            )
        figure = ax.get_figure(root=True)
        assert figure is not None
        ax.set_title(fold(laid.title, page().letters(ax.get_position().width * figure.get_figwidth())))
        return figure, [ax]
    line = page().font * _LEADING / 72
    titles = {panel: fold(panel.title, page().letters(0.82 * page().inches / laid.columns)) for panel in laid.panels}
    width = page().inches / laid.columns
    # A narrow page has no low panels: the type is as large there.
    height = max((alone if len(laid.panels) == 1 else each) * width, 1.1)
    above = max(title.count("\n") + 1 if title else 0 for title in titles.values())
    made = new_figure(laid.title, laid.rows * (height + above * line) + _BELOW * line)
    cells = made.subplots(laid.rows, laid.columns, sharex=share, sharey=share, squeeze=False)
    used = {(panel.row, panel.column) for panel in laid.panels}
    for place, cell in np.ndenumerate(cells):
        if place not in used:
            cell.remove()
        elif (place[0] + 1, place[1]) not in used:
            cell.tick_params(labelbottom=True)
    for panel in laid.panels:
        cells[panel.row, panel.column].set_title(titles[panel])
    return made, [cells[panel.row, panel.column] for panel in laid.panels]


def new_figure(title: str, height: float, width: float | None = None) -> PaperFigure:
    """An empty figure as wide as the page, or `width`, and `height` inches high besides its title, where that stands
    in it; its caption begins with the title."""
    width = page().inches if width is None else min(width, page().inches)
    text = fold(title, page().letters(width)) if page().title else ""
    lines = text.count("\n") + 1 if text else 0
    made = PaperFigure(figsize=(width, height + lines * page().font * _LEADING / 72), layout="constrained")
    made.caption = title
    if text:
        made.suptitle(text)
    return made


def name_axes(axes: Sequence[Axes], x: str, y: str) -> None:
    """Name the axes of the panels that show their ticks: below the lowest ones and left of the leftmost ones."""
    for cell in axes:
        if cell.xaxis.get_tick_params()["labelbottom"]:
            cell.set_xlabel(x)
        if cell.yaxis.get_tick_params()["labelleft"]:
            cell.set_ylabel(y)


def scale_places(ax: Axes, places: Floats) -> None:
    """The axis of the places: logarithmic where they are positive and span a factor; they are the ticks if few."""
    if places[0] > 0 and places[-1] >= _SPAN * places[0]:
        ax.set(xscale="log", xlim=(places[0] / _ROOM, places[-1] * _ROOM))
    else:
        beside = _ROOM_LINEAR * (places[-1] - places[0] or 1.0)
        ax.set_xlim(places[0] - beside, places[-1] + beside)
    if len(places) <= _TICKS:
        ax.xaxis.set_minor_locator(ticker.NullLocator())
        ax.set_xticks(places, [f"{place:g}" for place in places])


def tell(figure: Figure, text: str) -> None:
    """Let the caption of a figure of ours go on with this text."""
    if isinstance(figure, PaperFigure):
        figure.caption = ". ".join(filter(None, [figure.caption, text]))


Handle = Line2D | tuple[Line2D, ...]
"""What stands in a legend: a line, or several one above the other with the label of the first, the lowest."""


class _Stacked(HandlerBase):
    """Draws the lines of one entry above each other, as they stand in the panels."""

    def create_artists(
        self,
        legend: Any,
        orig_handle: Any,
        xdescent: float,
        ydescent: float,
        width: float,
        height: float,
        fontsize: float,
        trans: Any,
    ) -> Sequence[Artist]:
        made: list[Artist] = []
        for line, y in zip(orig_handle, np.linspace(-0.1, 1.1, len(orig_handle)) * height - ydescent, strict=True):
            drawn = Line2D([-xdescent, width - xdescent], [y, y])
            drawn.update_from(line)
            drawn.set_transform(trans)
            made.append(drawn)
        return made


def legend(figure: Figure, ax: Axes | None, handles: Sequence[Handle], caption: str = "") -> None:
    """A legend below the data: of the figure, or of the caller's own `ax`; and what is to be said of the figure.

    A figure grows with its legend, which takes no place from the panels. The `caption` goes on with that of the figure,
    which stands outside; the legend of `ax` has it as its title.
    """
    if ax is None:
        tell(figure, caption)
    if not handles:
        return
    labels = [str((handle[0] if isinstance(handle, tuple) else handle).get_label()) for handle in handles]
    # Of an entry at this size of type, without the marks of its formulae; its line and the gaps are nine letters wide.
    widths = [9 + len(re.sub(r"[\\${}^]", "", label)) for label in labels]
    room = page().letters(figure.get_figwidth())
    columns = len(handles)
    while columns > 1 and sum(max(part) for part in np.array_split(widths, columns)) > room:
        columns -= 1
    options: dict[str, Any] = {
        "handles": handles,
        "labels": labels,
        "ncols": columns,
        "handler_map": {tuple: _Stacked()},
    }
    if ax is not None:
        made = ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.18), title=fold(caption, room) or None, **options)
        made.get_title().set_color(FAINT)
        made.get_title().set_multialignment("center")
    else:
        rows = -(-len(handles) // columns)
        figure.set_figheight(figure.get_figheight() + rows * page().font * _LEADING / 72)
        figure.legend(loc="outside lower center", **options)
