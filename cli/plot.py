"""`nashgames plot`, and the figures of the other commands: of a results directory and of a game, as files."""

import contextlib
import importlib
import json as json_text
import threading
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from nashgames.cli import options
from nashgames.disk import replace
from nashgames.errors import NashGamesError

if TYPE_CHECKING:
    import pandas as pd

    from nashgames.cli.verdict import Answer
    from nashgames.core.game import Game
    from nashgames.plots import Page
    from nashgames.store import Results

FORMATS = ("png", "svg")


class _Drawn(NamedTuple):
    """A figure as it was written: its name, its files, its caption, and the table that it shows, if it shows one."""

    name: str
    files: list[Path]
    caption: str
    numbers: "pd.DataFrame | None"


def plot(directory: Path, asked: Mapping[str, Any], *, title: bool, json: bool, quiet: bool) -> None:
    """Draw the figures of a results directory, say where they are and what their captions are, and the table of
    queries to ε; `asked` are the options by name, as text."""
    from nashgames.cli import queries
    from nashgames.cli.display import Screen
    from nashgames.cli.streams import emit

    names = _figures(asked)
    for key in ("x", "y"):
        if asked[key] is not None:
            options.among(key, [asked[key]])
    chosen, folder = formats_of(asked["format"]), options.output_directory(asked["out"])
    epsilon = _number("epsilon", asked["epsilon"])
    screen = Screen(quiet=quiet, data=json)
    with options.in_flags({key: asked[key] for key in ("width", "font", "x", "x_scale", "epsilon", "against")}):
        page = _page(asked, title=title)
        told = {"page": page, "against": asked["against"], "epsilon": epsilon, "x": asked["x"]}
        drawn = _drawn(directory, folder, chosen, names, asked["y"], **told)
    written = [path for figure in drawn for path in figure.files]
    captions = {figure.name: figure.caption for figure in drawn if figure.caption}
    tables = {figure.name: figure.numbers for figure in drawn if figure.numbers is not None}
    raced = _raced(directory, written)
    if json:
        data: dict[str, Any] = {"directory": str(folder or directory), "figures": [str(path) for path in written]}
        numbers = {name: queries.payload(table) for name, table in tables.items()}
        data |= {"captions": captions, "tables": numbers} | ({} if raced is None else {"race": raced.data})
        emit(json_text.dumps(data, allow_nan=False))
    elif quiet:
        emit(str(folder or directory))
    # Numbers are asked for with the figure by its name.
    for name, table in tables.items() if names is not None else ():
        screen.sheet(queries.sheet(table, captions[name]))
        screen.line()
    for sheet in () if raced is None else raced.sheets:
        screen.sheet(sheet)
        screen.line()
    said = [("caption", f"{name}: {caption}") for name, caption in captions.items()]
    screen.pairs([("figure", str(path)) for path in written] + said)


def _figures(asked: Mapping[str, Any]) -> list[str] | None:
    """The figures by name, None for those that the runs call for; NashGamesError where an option has no figure."""
    names = None if asked["figure"] is None else options.listed("figure", asked["figure"], "names of figures")
    of_queries = [options.flag(key) for key in ("epsilon", "against") if asked[key] is not None]
    if of_queries and names is None:
        return ["queries"]
    if of_queries and "queries" not in (names or ()):
        verb = "is" if len(of_queries) == 1 else "are"
        raise NashGamesError(f"{' and '.join(of_queries)} {verb} of the figure 'queries' alone; add --figure queries")
    of_curves = [options.flag(key) for key in ("x", "x_scale") if asked[key] is not None]
    if of_curves and names is not None:
        from nashgames.plots import FIGURES

        if not any(FIGURES[name].curves for name in names if name in FIGURES):
            curves = ", ".join(name for name, entry in FIGURES.items() if entry.curves)
            verb = "is" if len(of_curves) == 1 else "are"
            raise NashGamesError(
                f"{' and '.join(of_curves)} {verb} for the axis of curves and no figure here shows any; "
                f"those that do: {curves}"
            )
    return names


def _number(key: str, text: str | None) -> float | None:
    """The number behind an option, None where it was not given."""
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        accepted = options.ACCEPTED[key]
        raise NashGamesError(f"{options.flag(key)} is '{text}'; accepted: {accepted}") from None


def _page(asked: Mapping[str, Any], *, title: bool) -> "Page":
    from nashgames.plots import Page

    given = {"width": asked["width"], "font": _number("font", asked["font"]), "x_scale": asked["x_scale"]}
    return Page(**{key: value for key, value in given.items() if value is not None}, title=title)


def _raced(directory: Path, written: Sequence[Path]) -> "Answer | None":
    """The numbers of a race, where figures of one were drawn."""
    from nashgames.plots import ANSWERS

    if not any(path.stem.partition("-")[0] in ANSWERS["race"] for path in written):
        return None
    from nashgames.cli import backend, race
    from nashgames.store import Results

    backend.start("cpu")
    results = Results.read(directory)
    return race.judged(results.last_runs, results.curves, results.game_file)


def formats_of(texts: list[str] | None) -> list[str]:
    """The values of --format, each once; PNG and SVG unless given."""
    if texts is None:
        return list(FORMATS)
    chosen = options.listed("format", texts)
    options.among("format", chosen)
    return list(dict.fromkeys(chosen))


def import_early() -> None:
    """Import the plotting library beside the computation, whose compiled parts leave a core to it."""

    def load() -> None:
        # What is wrong with it is said when a figure is drawn.
        with contextlib.suppress(ImportError):
            importlib.import_module("nashgames.plots")

    threading.Thread(target=load, daemon=True).start()


def draw(directory: Path, *, formats: Sequence[str] = FORMATS) -> list[Path]:
    """Draw the figures that the last experiment in `directory` calls for, and return the files.

    Raises NashGamesError when the directory holds no finished run.
    """
    return [path for figure in _drawn(directory, None, formats) for path in figure.files]


def _drawn(
    directory: Path,
    out: Path | None,
    formats: Sequence[str],
    names: Sequence[str] | None = None,
    distance: str | None = None,
    *,
    page: "Page | None" = None,
    against: str | None = None,
    epsilon: float | None = None,
    x: str | None = None,
) -> list[_Drawn]:
    """Draw the named figures of the last experiment in `directory`, or what it calls for, with captions beside them.

    Raises NashGamesError when the directory holds no finished run, or no run of which the figures can be drawn.
    """
    from nashgames import plots
    from nashgames.analysis.derived_limits import limits_of
    from nashgames.defaults import REFEREE
    from nashgames.store import Results

    results = Results.read(directory)
    wanted = _wanted(results)
    if not len(wanted):
        raise NashGamesError(f"'{directory}' has no finished run to draw; start its command again")
    if distance is not None and (wanted["solver"] == REFEREE).all():
        raise NashGamesError(f"'{directory}' holds exact equilibria, which have no curve to show; leave --y out")
    rows = plots.Rows(
        wanted,
        results.curves[results.curves["run_id"].isin(wanted["run_id"])],
        results.paths,
        results.policies,
        partial(limits_of, game_file=results.game_file),
        partial(_game_of, results),
        results.manifest["experiment"].get("verdict"),
        against,
        epsilon,
        x,
    )
    folder = directory if out is None else out
    made = plots.figures(rows, names, distance=distance, page=page)
    drawn = []
    for name, figure in made.items():
        files = plots.save(figure, folder / name, tuple(formats))
        caption = str(getattr(figure, "caption", ""))
        if caption:
            replace(folder / f"{name}.txt", f"{caption}.\n".encode())
        drawn.append(_Drawn(name, files, caption, getattr(figure, "numbers", None)))
    if out is None:
        with Results.open(directory) as results:
            every = {*results.manifest["figures"], *(path.name for figure in drawn for path in figure.files)}
            results.manifest["figures"] = sorted(every)
            results.flush()
    return drawn


def _wanted(results: "Results") -> "pd.DataFrame":
    """The runs that the last experiment of a directory reports."""
    from nashgames.experiments.choice import reported

    return reported(results.last_runs)


def _game_of(results: "Results", run: "pd.Series[Any]") -> "Game":
    """The game of a row of runs, made again."""
    from nashgames.cli import backend
    from nashgames.experiments.sources import game_of

    backend.start("cpu")
    return game_of(run, results.game_file)


def draw_equilibria(rows: Mapping[str, "pd.DataFrame"], place: Path, formats: Sequence[str] = FORMATS) -> list[Path]:
    """Draw exact equilibria that no results directory holds, as `place` with the suffix of each format."""
    from nashgames import plots

    drawn = plots.figures(plots.Rows(rows["runs"], rows["curves"], policies=rows["policies"]), ["equilibria"])
    return plots.save(drawn["equilibria"], place, tuple(formats))


def draw_game(game: "Game", ratings: Any, folder: Path, formats: Sequence[str] = FORMATS) -> list[Path]:
    """Draw the preferences of a game (of its first context), actions ordered by their Hodge rating."""
    from nashgames.plots import save
    from nashgames.plots.preferences import preferences

    title = game.description.name
    if game.contexts > 1:
        title = f"{title}, context 1 of {game.contexts}"
    figure = preferences(game.margins.of_context(0), game.description.labels, ratings, title=title)
    return save(figure, folder / Path(game.description.name).stem, tuple(formats))
