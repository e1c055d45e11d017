"""Small multiples: which runs share a panel, how panels are laid out and titled, and the legend below them."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend_handler import HandlerBase
from matplotlib.lines import Line2D

from nashgames.analysis.outcomes import VARIANTS, complete, on_samples
from nashgames.errors import NashGamesError, unknown
from nashgames.plots.estimates import Floats, Trace
from nashgames.plots.palette import FAINT, PaperFigure, plain

LIMIT = 4
"""Rows and columns of panels in one figure; what is left out is said in the title."""

PROBLEM = ("game", "reference", "n", "policy", "feedback")
"""What tells the panels of a figure apart, beside β: what is learned, in which class, from what."""

AXES = ("queries", "comparisons")
"""What a run is charged in: queries of the game on exact feedback, single duels on samples."""

_CELL = [*PROBLEM, "optimiser", "beta", "seed", "dtype", "device"]
_LETTERS = 17
"""Letters of a title to the inch."""

# Rows of a legend for which figures are high enough.
_ROWS = 2
# Inches of another row: letters of 7 points with half as much between the lines.
_ROW = 0.145


def prepare(runs: pd.DataFrame) -> pd.DataFrame:
    """The rows of runs.parquet with labels that tell curves apart that are not repetitions of one another.

    A label is extended by the optimiser, the precision or the device where these differ, and replaced by the full
    selection where one cell of the experiment has it twice. Raises NashGamesError where there are no runs.
    """
    if runs.empty:
        raise NashGamesError("there are no runs to draw; a figure needs at least one finished run")
    runs = complete(runs)
    labels = runs["label"].astype(str)
    twice = labels[runs.assign(label=labels).duplicated([*_CELL, "label"])].unique()
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
    codes, costs, values = codes[order], floats(mine[x])[order], floats(mine[column])[order]
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


@dataclass(frozen=True)
class Panel:
    """One panel: where it stands, the runs it shows, its title, and the text at its right edge."""

    row: int
    column: int
    runs: pd.DataFrame
    title: str
    strip: str = ""


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
    Two or more keys that vary make a grid with the last one along its columns, where every cell of it has runs;
    otherwise the panels are a list, wrapped.
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
    if last != keys[-1] or len(down) * len(across) != len(cells):
        chosen = some(cells, LIMIT * LIMIT)
        rows, columns = wrap(len(chosen))
        panels = [Panel(*divmod(i, columns), frame, text) for i, (text, frame) in enumerate(chosen)]
        return Facets(rows, columns, panels, _title(fixed, _left_out(len(chosen), len(cells), "panels")))
    shown, values = some(down, LIMIT), some(across, LIMIT)
    panels = []
    for i, (text, frame) in enumerate(shown):
        for j, value in enumerate(values):
            title, strip = say(last, value) if i == 0 else "", text if j == len(values) - 1 else ""
            panels.append(Panel(i, j, frame[frame[last] == value], title, strip))
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


def wrap(panels: int) -> tuple[int, int]:
    """Rows and columns for a list of panels: one row up to three, else close to a square."""
    columns = panels if panels <= 3 else int(np.ceil(np.sqrt(panels)))
    return int(np.ceil(panels / columns)), columns


def axes_of(
    laid: Facets, ax: Axes | None, *, share: bool = True, single: tuple[float, float] = (4.6, 3.2), height: float = 1.75
) -> tuple[Figure, list[Axes]]:
    """A figure with one axes for every panel, titled; or the figure of `ax`, which holds a single panel.

    Sizes are inches: `single` for one panel, else at most 7 wide and `height` a row.
    """
    if ax is not None:
        if len(laid.panels) != 1:
            raise NashGamesError(
                f"ax holds one panel and these runs need {len(laid.panels)}; select fewer runs or leave ax out"
            )
        ax.set_title(fold(laid.title, _LETTERS * single[0]))
        figure = ax.get_figure(root=True)
        assert figure is not None
        return figure, [ax]
    size = single
    if len(laid.panels) > 1:
        size = (min(7.0, 0.7 + 2.1 * max(laid.columns, 2)), 1.0 + height * laid.rows)
    made = PaperFigure(figsize=size, layout="constrained")
    cells = made.subplots(laid.rows, laid.columns, sharex=share, sharey=share, squeeze=False)
    used = {(panel.row, panel.column) for panel in laid.panels}
    for place, cell in np.ndenumerate(cells):
        if place not in used:
            cell.remove()
        elif (place[0] + 1, place[1]) not in used:
            cell.tick_params(labelbottom=True)
    for panel in laid.panels:
        cell = cells[panel.row, panel.column]
        cell.set_title(fold(panel.title, 0.85 * _LETTERS * size[0] / laid.columns))
        if panel.strip:
            where: dict[str, Any] = {
                "xy": (1, 0.5),
                "xytext": (3, 0),
                "xycoords": "axes fraction",
                "textcoords": "offset points",
            }
            strip = fold(panel.strip, _LETTERS * height * 0.8)
            cell.annotate(strip, rotation=-90, ha="left", va="center", **where)
    made.suptitle(fold(laid.title, _LETTERS * size[0]))
    return made, [cells[panel.row, panel.column] for panel in laid.panels]


def name_axes(axes: Sequence[Axes], x: str, y: str) -> None:
    """Name the axes of the panels that show their ticks: below the lowest ones and left of the leftmost ones."""
    for cell in axes:
        if cell.xaxis.get_tick_params()["labelbottom"]:
            cell.set_xlabel(x)
        if cell.yaxis.get_tick_params()["labelleft"]:
            cell.set_ylabel(y)


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
    """A legend with a caption below the data: of the figure, or of the caller's own `ax`.

    A figure grows with a legend of more than two rows, which would otherwise take its place from the panels.
    """
    if not handles:
        return
    labels = [str((handle[0] if isinstance(handle, tuple) else handle).get_label()) for handle in handles]
    # Inches of an entry at this size of type, without the marks of its formulae.
    widths = [0.62 + 0.052 * len(re.sub(r"[\\${}^]", "", label)) for label in labels]
    columns = len(handles)
    while columns > 1 and sum(max(part) for part in np.array_split(widths, columns)) > figure.get_figwidth():
        columns -= 1
    options: dict[str, Any] = {
        "handles": handles,
        "labels": labels,
        "ncols": columns,
        "title": fold(caption, 1.2 * _LETTERS * figure.get_figwidth()) or None,
        "title_fontsize": 6.5,
        "handler_map": {tuple: _Stacked()},
    }
    if ax is not None:
        made = ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.18), **options)
    else:
        rows = -(-len(handles) // columns)
        figure.set_figheight(figure.get_figheight() + _ROW * max(rows - _ROWS, 0))
        made = figure.legend(loc="outside lower center", **options)
    made.get_title().set_color(FAINT)
    made.get_title().set_multialignment("center")
