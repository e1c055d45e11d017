"""Played runs as DataFrames, a figure and a page, from a notebook or from a results directory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from nashgames.core.precision import Precision
from nashgames.environment import environment, now
from nashgames.errors import NashGamesError
from nashgames.exact.referee import Equilibrium
from nashgames.experiments.choice import choices, reported, untuned
from nashgames.experiments.experiment import Experiment
from nashgames.reprs import MOST_ROWS, Panel
from nashgames.store import Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, repr=False)
class Result:
    """Solved runs as tidy DataFrames with the columns of a results directory (docs/files-and-columns.md).

    Attributes:
        runs: one row per run; trials of tuned steps are among them, with the `role` tuning
        curves: one row per recorded point
        policies: one row per action of the last iterate of a run
        paths: one row per action of a recorded iterate, for games of three actions
        equilibria: the exact equilibria that distances are measured to, of every game, reference and β in the order in
            which they were found; none where the result was read from a directory
        tuning: one row per choice of a step; empty without tuning
        experiment: the experiment that was played

    Example:
        >>> import nashgames as ng
        >>> result = ng.solve(ng.games.weighted_cycle(a12=0.4, a23=0.3, a31=0.2), "nash-mp", beta=0.2)
        >>> int(result.runs["queries"].iloc[0]) == int(result.curves["queries"].max())
        True
    """

    runs: pd.DataFrame
    curves: pd.DataFrame
    policies: pd.DataFrame
    paths: pd.DataFrame
    equilibria: tuple[Equilibrium, ...]
    tuning: pd.DataFrame
    experiment: Experiment
    files: Mapping[str, Path] = field(default_factory=dict)
    """The files that games were read from, by their fingerprint."""

    @property
    def equilibrium(self) -> Equilibrium:
        """The equilibrium that was found last: of the last game, at its smallest β.

        Raises:
            NashGamesError: for a result that was read from a directory.
        """
        if not self.equilibria:
            raise NashGamesError("a directory keeps no equilibria; ng.equilibrium(game, beta) computes one")
        return self.equilibria[-1]

    def plot(self, distance: str = "suboptimality") -> "Figure":
        """Convergence curves against queries, on duels against comparisons.

        Args:
            distance: the column of `curves` to draw, such as `duality_gap` or `kl_to_equilibrium`

        Raises:
            NashGamesError: for a column that does not exist.

        Example:
            >>> import nashgames as ng
            >>> result = ng.solve("circulant", "nash-mp", actions=3, reference="tilted", queries=10)
            >>> figure = result.plot("duality_gap")
        """
        from nashgames.plots.convergence import convergence

        runs, beside = reported(self.runs), untuned(self.runs)
        drawn = self.curves["run_id"].isin([*runs["run_id"], *beside["run_id"]])
        return convergence(self.curves[drawn], runs, distance=distance, untuned=beside)

    def save(self, directory: str | Path) -> Path:
        """Add the runs to a results directory, which `nashgames plot`, `nashgames verify` and `ng.read` take.

        Args:
            directory: the results directory; runs that it holds already are replaced

        Returns:
            The directory as a path.

        Raises:
            NashGamesError: where it cannot be written, or is something else.

        Example:
            >>> import tempfile, nashgames as ng
            >>> result = ng.solve("circulant", "nash-mp", actions=3, reference="tilted", queries=10)
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     len(ng.read(result.save(folder)).runs)
            1
        """
        with Results.open(directory) as results:
            told = environment() | Precision(self.experiment.dtype, self.experiment.device).description()
            results.begin(self.experiment.to_dict(), self.runs["run_id"], told)
            for fingerprint, file in self.files.items():
                results.keep_game(fingerprint, file)
            results.add(self.runs, self.curves, self.policies, self.paths)
            results.manifest["counts"] = {"runs": len(self.runs), "reused": 0, "points": len(self.curves)}
            results.manifest["finished"] = now()
            results.flush()
        return Path(directory)

    def __repr__(self) -> str:
        return self._panel().text()

    def _repr_html_(self) -> str:
        return self._panel().html()

    def _panel(self) -> Panel:
        runs = reported(self.runs)
        varying = [name for name in ("game", "n", "reference", "beta", "seed") if len(set(runs[name])) > 1]
        same = [(name, f"{runs[name].iloc[0]}") for name in ("game", "n", "beta") if name not in varying and len(runs)]
        columns = [*varying, "label", *_SHOWN]
        rows = [tuple(_cell(row[name]) for name in columns) for row in runs.head(MOST_ROWS).to_dict("records")]
        left = len(runs) - len(rows)
        headings = [{"label": "solver", "n": "actions", "queries_to_tolerance": "queries"}.get(c, c) for c in columns]
        title = f"Result of {len(runs):,} run{'' if len(runs) == 1 else 's'}, {len(self.curves):,} points"
        return Panel(title, same, headings, rows, f"and {left:,} more in .runs" if left else "")


_SHOWN = ("queries_to_tolerance", "suboptimality", "kl_to_equilibrium", "status")
"""What is shown of a run beside what it is of."""


def _cell(value: Any) -> str:
    if value is None or value is pd.NA or value != value:
        return "–"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def read(directory: str | Path) -> Result:
    """The runs of the last experiment in a results directory, as the command line and `Result.save` write them.

    Args:
        directory: the results directory

    Returns:
        The result without its equilibria, which a directory does not keep.

    Raises:
        NashGamesError: where there is no results directory, or it is damaged.

    Example:
        >>> import tempfile
        >>> import nashgames as ng
        >>> result = ng.solve(ng.games.weighted_cycle(a12=0.4, a23=0.3, a31=0.2), "nash-mp", beta=0.2)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     again = ng.read(result.save(folder))
        >>> list(again.runs["queries"]) == list(result.runs["queries"])
        True
    """
    results = Results.read(directory)
    runs = results.last_runs.reset_index(drop=True)
    mine = {
        name: frame[frame["run_id"].isin(runs["run_id"])].reset_index(drop=True)
        for name, frame in (("curves", results.curves), ("policies", results.policies), ("paths", results.paths))
    }
    prints = {str(told) for told in runs["game_fingerprint"].dropna()}
    files = {told: file for told in prints if (file := results.game_file(told)) is not None}
    experiment = Experiment.from_dict(results.manifest["experiment"])
    return Result(runs, **mine, equilibria=(), tuning=choices(runs, mine["curves"]), experiment=experiment, files=files)


def report(directories: str | Path | Sequence[str | Path], out: str | Path | None = None) -> Path:
    """Make the page of a results directory, or of several side by side, as `nashgames report` does.

    Args:
        directories: the results directory, or several
        out: the HTML file; `report.html` in the first directory unless given

    Returns:
        The file, which a browser opens without a network.

    Raises:
        NashGamesError: for none, one without results, one given twice, a place that cannot be written, and without the
            extra `report`.

    Example:
        >>> import tempfile
        >>> import nashgames as ng
        >>> result = ng.solve(ng.games.weighted_cycle(a12=0.4, a23=0.3, a31=0.2), "nash-mp", beta=0.2)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     ng.report(result.save(folder)).name
        'report.html'
    """
    # Bokeh and Jinja2 come with an extra, which no other function needs.
    from nashgames.reporting import write

    places = [directories] if isinstance(directories, str | Path) else list(directories)
    if not places:
        raise NashGamesError("no directory is given; give a results directory, or several")
    return write(places, out).path
