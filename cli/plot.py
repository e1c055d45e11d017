"""`nashgames plot`, and the figures of the other commands: of a results directory and of a game, as files."""

import contextlib
import importlib
import json as json_text
import threading
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nashgames.cli import options
from nashgames.errors import NashGamesError

if TYPE_CHECKING:
    import pandas as pd

    from nashgames.cli.verdict import Answer
    from nashgames.core.game import Game
    from nashgames.store import Results

FORMATS = ("png", "svg")


def plot(
    directory: Path,
    figure: list[str] | None,
    y: str | None,
    formats: list[str] | None,
    out: str | None,
    *,
    json: bool,
    quiet: bool,
) -> None:
    """Draw the figures of a results directory and say where they are."""
    from nashgames.cli.display import Screen
    from nashgames.cli.streams import emit

    names = None if figure is None else options.listed("figure", figure, "names of figures")
    if y is not None:
        options.among("y", [y])
    chosen = formats_of(formats)
    folder = options.output_directory(out)
    screen = Screen(quiet=quiet, data=json)
    written = draw(directory, out=folder, formats=chosen, names=names, distance=y)
    raced = _raced(directory, written)
    if json:
        data: dict[str, Any] = {"directory": str(folder or directory), "figures": [str(path) for path in written]}
        emit(json_text.dumps(data | ({} if raced is None else {"race": raced.data}), allow_nan=False))
    elif quiet:
        emit(str(folder or directory))
    for sheet in () if raced is None else raced.sheets:
        screen.sheet(sheet)
        screen.line()
    screen.pairs([("figure", str(path)) for path in written])


def _raced(directory: Path, written: Sequence[Path]) -> "Answer | None":
    """The numbers of a race, where figures of one were drawn."""
    from nashgames.plots import ANSWERS

    if not any(path.stem.partition("-")[0] in ANSWERS["race"] for path in written):
        return None
    from nashgames.cli import backend, race
    from nashgames.store import Results

    backend.start("cpu")
    results = Results.read(directory)
    return race.judged(_wanted(results), results.curves, results.game_file)


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


def draw(
    directory: Path,
    *,
    out: Path | None = None,
    formats: Sequence[str] = FORMATS,
    names: Sequence[str] | None = None,
    distance: str | None = None,
    brief: bool = False,
) -> list[Path]:
    """Draw the named figures of the last experiment in `directory`, or what it calls for, and return the files.

    `distance` and `brief` are those of `plots.figures`: a figure takes as long as a small run.

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
    )
    folder = directory if out is None else out
    written: list[Path] = []
    for name, figure in plots.figures(rows, names, distance=distance, brief=brief).items():
        written += plots.save(figure, folder / name, tuple(formats))
    if out is None:
        with Results.open(directory) as results:
            drawn = {*results.manifest["figures"], *(path.name for path in written)}
            results.manifest["figures"] = sorted(drawn)
            results.flush()
    return written


def _wanted(results: "Results") -> "pd.DataFrame":
    """The runs of the last experiment of a directory."""
    return results.runs[results.runs["run_id"].isin(results.manifest["run_ids"])]


def _game_of(results: "Results", run: "pd.Series[Any]") -> "Game":
    """The game of a row of runs, made again."""
    import pandas as pd

    from nashgames.cli import backend
    from nashgames.experiments.sources import find_again

    backend.start("cpu")
    told = None if pd.isna(run["game_fingerprint"]) else str(run["game_fingerprint"])
    source = find_again(run["game"], told, results.game_file(told))
    size = None if source.default_actions is None else int(run["n"])
    return source.make(size, int(run["seed"]), float(run["beta"]), "float64")


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
