"""`nashgames plot`, and the figures of the other commands: of a results directory and of a game, as files."""

import contextlib
import importlib
import json as json_text
import shlex
import threading
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from nashgames.cli import options
from nashgames.disk import replace
from nashgames.errors import NashGamesError
from nashgames.plugins import is_file_name

if TYPE_CHECKING:
    import pandas as pd

    from nashgames.analysis.gather import Gathered
    from nashgames.cli.verdict import Answer
    from nashgames.core.game import Game
    from nashgames.plots import Page

FORMATS = ("png", "svg")

_NARROWING = ("y", "x", "facet", "where", "epsilon", "against")
"""Options by which fewer or other figures are drawn than a directory calls for."""


class _Drawn(NamedTuple):
    """A figure as it was written: its name, its files, its caption, and the table that it shows, if it shows one."""

    name: str
    files: list[Path]
    caption: str
    numbers: "pd.DataFrame | None"


def plot(
    directories: Sequence[Path], asked: Mapping[str, Any], *, title: bool, last: bool, json: bool, quiet: bool
) -> None:
    """Draw the figures of results directories, say where they are and what their captions are, and the table of
    queries to ε; `asked` are the options by name, as text."""
    from nashgames.analysis.gather import Gathered
    from nashgames.cli import queries
    from nashgames.cli.display import Screen
    from nashgames.cli.streams import emit

    names = _figures(asked)
    for key in ("x", "y"):
        if asked[key] is not None:
            options.among(key, [asked[key]])
    facet = None if asked["facet"] is None else tuple(options.listed("facet", asked["facet"]))
    chosen, folder = formats_of(asked["format"]), options.output_directory(asked["out"])
    if folder is None and len(directories) > 1:
        raise NashGamesError(
            f"{len(directories)} directories are drawn in one figure, which belongs to none of them; say where it goes "
            "with --out"
        )
    epsilon = _number("epsilon", asked["epsilon"])
    screen = Screen(quiet=quiet, data=json)
    narrowed = last or any(asked[key] is not None for key in (*_NARROWING, "figure"))
    with options.in_flags({key: asked[key] for key in ("width", "font", "x", "x_scale", *_NARROWING)}):
        page = _page(asked, title=title)
        told = {"page": page, "against": asked["against"], "epsilon": epsilon, "x": asked["x"], "facet": facet}
        runs = Gathered(directories, asked["where"], last=last)
        drawn = _drawn(runs, folder or directories[0], chosen, names, asked["y"], condition=asked["where"], **told)
    if not drawn:
        places = options.places(runs.results)
        raise NashGamesError(
            f"no figure applies to the runs in {places}; name one with --figure (see: nashgames list figures)"
        )
    removed = _record(directories[0], drawn, all_of_them=not narrowed) if folder is None else []
    written = [path for figure in drawn for path in figure.files]
    captions = {figure.name: figure.caption for figure in drawn if figure.caption}
    tables = {figure.name: figure.numbers for figure in drawn if figure.numbers is not None}
    raced = _raced(runs, written)
    place = str(folder or directories[0])
    if json:
        data: dict[str, Any] = {"directory": place, "figures": [str(path) for path in written]}
        numbers = {name: queries.payload(table) for name, table in tables.items()}
        data |= {"removed": [str(path) for path in removed], "captions": captions, "tables": numbers}
        emit(json_text.dumps(data | ({} if raced is None else {"race": raced.data}), allow_nan=False))
    elif quiet:
        emit(place)
    # Numbers are printed if the figure is named.
    for name, table in tables.items() if names is not None else ():
        screen.sheet(queries.sheet(table, captions[name]))
        screen.line()
    for sheet in () if raced is None else raced.sheets:
        screen.sheet(sheet)
        screen.line()
    said = [("caption", f"{name}: {caption}") for name, caption in captions.items()]
    gone = [("removed", f"{', '.join(path.name for path in removed)}: not of what is here now")] if removed else []
    screen.pairs([("figure", str(path)) for path in written] + said + gone)


def _figures(asked: Mapping[str, Any]) -> list[str] | None:
    """The figures by name, None for those that the runs call for; NashGamesError where an option has no figure."""
    names = None if asked["figure"] is None else options.listed("figure", asked["figure"], "names of figures")
    of_queries = [options.flag(key) for key in ("epsilon", "against") if asked[key] is not None]
    if of_queries and names is None:
        return ["queries"]
    if of_queries and "queries" not in (names or ()):
        verb = "is" if len(of_queries) == 1 else "are"
        raise NashGamesError(f"{' and '.join(of_queries)} {verb} of the figure 'queries' alone; add --figure queries")
    of_curves = [options.flag(key) for key in ("x", "x_scale", "facet") if asked[key] is not None]
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
        if text.isascii():
            return float(text)
        raise ValueError
    except ValueError:
        accepted = options.ACCEPTED[key]
        raise NashGamesError(f"{options.flag(key)} is '{text}'; accepted: {accepted}") from None


def _page(asked: Mapping[str, Any], *, title: bool) -> "Page":
    from nashgames.plots import Page

    given = {"width": asked["width"], "font": _number("font", asked["font"]), "x_scale": asked["x_scale"]}
    return Page(**{key: value for key, value in given.items() if value is not None}, title=title)


def _raced(chosen: "Gathered", written: Sequence[Path]) -> "Answer | None":
    """The numbers of a race, where figures of one were drawn."""
    from nashgames.plots import ANSWERS

    if not any(path.stem.partition("-")[0] in ANSWERS["race"] for path in written):
        return None
    from nashgames.cli import backend, race

    backend.start("cpu")
    return race.judged(chosen.runs, chosen.curves, chosen.game_file)


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
    """Draw the figures that the last experiment in `directory` calls for, of its runs, and return the files.

    Raises NashGamesError when the directory holds no finished run.
    """
    from nashgames.analysis.gather import Gathered

    drawn = _drawn(Gathered([directory], last=True), directory, formats)
    _record(directory, drawn, all_of_them=False)
    return [path for figure in drawn for path in figure.files]


def _drawn(
    chosen: "Gathered",
    folder: Path,
    formats: Sequence[str],
    names: Sequence[str] | None = None,
    distance: str | None = None,
    *,
    page: "Page | None" = None,
    **told: Any,
) -> list[_Drawn]:
    """Draw the named figures of these runs, or what they call for, into `folder` with captions beside them; `told` are
    fields of `Rows`.

    Raises NashGamesError where there is no finished run, or no run of which the figures can be drawn.
    """
    from nashgames import plots
    from nashgames.defaults import REFEREE

    rows = plots.rows_of(chosen, partial(_game_of, chosen), **told)
    places = options.places(chosen.results)
    if not len(rows.runs):
        raise NashGamesError(f"{places} has no finished run to draw{_meant(told)}")
    if distance is not None and (rows.runs["solver"] == REFEREE).all():
        raise NashGamesError(f"{places} holds exact equilibria, which have no curve to show; leave --y out")
    made = plots.figures(rows, names, distance=distance, page=page)
    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    for name, figure in made.items():
        files = plots.save(figure, folder / name, tuple(formats))
        caption = str(getattr(figure, "caption", ""))
        if caption:
            replace(folder / f"{name}.txt", f"{caption}.\n".encode())
        drawn.append(_Drawn(name, files, caption, getattr(figure, "numbers", None)))
    return drawn


def _meant(told: Mapping[str, Any]) -> str:
    """What to do where no run is there."""
    condition = told.get("condition")
    if condition is not None:
        return f' with "{condition}"; nashgames runs shows what is there'
    return "; wait for the command that plays them, or start it again"


def _record(directory: Path, drawn: Sequence[_Drawn], *, all_of_them: bool) -> list[Path]:
    """Write into the manifest which figures there are, and return those that were removed because they no longer
    belong: where all were drawn, those of earlier experiments and those of other runs than are here.

    Other commands may play and write runs meanwhile: the manifest is locked for this moment only.
    """
    from nashgames.plots import drawn_unasked
    from nashgames.store import Results

    results = Results.open(directory)
    names = {figure.name for figure in drawn}
    known = set(results.manifest["figures"])
    removed: list[Path] = []
    if all_of_them:
        stale = {name for name in known if Path(name).stem not in names and drawn_unasked(Path(name).stem)}
        removed = sorted({directory / name for name in stale if (directory / name).is_file()} | {*results.outdated})
        removed = [path for path in removed if path.stem not in names]
    now = known - {path.name for path in removed} | {path.name for figure in drawn for path in figure.files}
    results.manifest["figures"] = sorted(now)
    results.flush()
    for path in removed:
        path.unlink(missing_ok=True)
        path.with_suffix(".txt").unlink(missing_ok=True)
    return removed


def _game_of(chosen: "Gathered", run: "pd.Series[Any]") -> "Game":
    """The game of a row of runs, made again."""
    from nashgames.cli import backend
    from nashgames.experiments.sources import game_of

    if is_file_name(run["game"]):
        raise NashGamesError(
            f"the game '{run['game']}' is made by a Python file, which runs only where you name it, and the results "
            f"do not keep its margins; draw it with: {_shown_by_hand(chosen, run)}"
        )
    backend.start("cpu")
    return game_of(run, chosen.game_file)


def _shown_by_hand(chosen: "Gathered", run: "pd.Series[Any]") -> str:
    """The command that draws the preferences of a run's game, which its user's file makes."""
    sizes = any(results.manifest["experiment"].get("actions") for results in chosen.results)
    told = [f"-n {run['n']}"] if sizes else []
    told += [f"--seed {run['seed']}"] if run["seed"] else []
    return " ".join(["nashgames show", shlex.quote(str(run["game"])), *told])


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
