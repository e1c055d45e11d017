"""Figures of a results directory and of a game, as files."""

import contextlib
import importlib
import re
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nashgames.errors import NashGamesError

if TYPE_CHECKING:
    import pandas as pd

    from nashgames.core.game import Game

FORMATS = ("png", "svg")


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
    distance: str | None = None,
    brief: bool = False,
) -> list[Path]:
    """Draw what the last experiment in `directory` calls for, or one `distance` alone, and return the files.

    `brief` leaves out the curves of the distances to the equilibrium: a figure takes as long as a small run.

    Raises NashGamesError when the directory holds no finished run.
    """
    from nashgames import plots
    from nashgames.plots.mixtures import REFEREE
    from nashgames.store import Results

    results = Results.read(directory)
    runs, curves = results.runs, results.curves
    wanted = runs[runs["run_id"].isin(results.manifest["run_ids"])]
    if not len(wanted):
        raise NashGamesError(f"'{directory}' has no finished run to draw; start its command again")
    points = curves[curves["run_id"].isin(wanted["run_id"])]
    if distance is None and results.manifest["experiment"].get("verdict") == "theorems":
        figures = {"theorems": plots.bounds(points, wanted)}
    elif distance is None:
        figures = plots.figures(wanted, points, results.paths, results.policies, _limits(wanted))
    elif (wanted["solver"] == REFEREE).all():
        raise NashGamesError(f"'{directory}' holds exact equilibria, which have no curve to show; leave --y out")
    else:
        figures = {f"{name}-{distance}": made for name, made in plots.curves_of(wanted, points, distance).items()}
    folder = directory if out is None else out
    written: list[Path] = []
    for name, figure in figures.items():
        if brief and re.match("convergence(-comparisons)?-(kl|span)", name):
            continue
        written += plots.save(figure, folder / name, tuple(formats))
    if out is None:
        with Results.open(directory) as results:
            drawn = {*results.manifest["figures"], *(path.name for path in written)}
            results.manifest["figures"] = sorted(drawn)
            results.flush()
    return written


def _limits(runs: "pd.DataFrame") -> "pd.DataFrame | None":
    """The derived limits of the steps, where these are swept; their games are made again for them."""
    from nashgames.analysis import outcomes

    if not outcomes.sweeps_steps(runs):
        return None
    from nashgames.analysis.derived_limits import limits_of

    return limits_of(runs)


def draw_equilibria(rows: Mapping[str, "pd.DataFrame"], place: Path, formats: Sequence[str] = FORMATS) -> list[Path]:
    """Draw exact equilibria that no results directory holds, as `place` with the suffix of each format."""
    from nashgames import plots

    figures = plots.figures(rows["runs"], rows["curves"], policies=rows["policies"])
    return plots.save(figures["equilibria"], place, tuple(formats))


def draw_game(game: "Game", ratings: Any, folder: Path, formats: Sequence[str] = FORMATS) -> list[Path]:
    """Draw the preferences of a game (of its first context), actions ordered by their Hodge rating."""
    from nashgames import plots

    margins = game.margins.to_dense()
    title = game.description.name
    if game.contexts > 1:
        margins, title = margins[0], f"{title}, context 1 of {game.contexts}"
    figure = plots.game(margins, game.description.labels, ratings, title=title)
    return plots.save(figure, folder / Path(game.description.name).stem, tuple(formats))
