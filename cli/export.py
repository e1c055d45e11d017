"""`nashgames export`: the runs of results directories for other programs, as CSV and LaTeX, or into a `sinks`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nashgames.cli import options
from nashgames.errors import NashGamesError, wrong_word

if TYPE_CHECKING:
    import pandas as pd

    from nashgames.analysis.gather import Gathered

FORMATS = {
    "csv": "long, a row a recorded point with all that is known of its run",
    "wide": "CSV, a row a run with its last point",
    "latex": "a booktabs table of medians and intervals over seeds, rows solvers, columns games and β",
}
"""The formats that are text, and what each is."""


def export(
    directories: Sequence[Path], format: str, where: str | None, y: str | None, out: str | None, *, last: bool
) -> None:
    """Write the runs in a format, to standard output unless `out` is given; the file appears whole or not at all.

    A sink takes them at the place `out`.
    """
    from nashgames.analysis.gather import Gathered
    from nashgames.cli.sinks import SINKS
    from nashgames.cli.streams import emit
    from nashgames.disk import replace

    if format not in (*FORMATS, *SINKS):
        raise wrong_word("--format", format, (*FORMATS, *SINKS))
    if y is not None and format != "latex":
        raise NashGamesError(
            f"--y is what the cells of --format latex show, and {format} has all columns; leave it out"
        )
    if format in SINKS and not (out or "").strip():
        raise NashGamesError(f"--format {format} needs --out: {SINKS[format].out}")
    file = None if format in SINKS else _file(out)
    with options.in_flags({"where": where}):
        gathered = Gathered(directories, where, last=last)
        if not len(gathered.runs):
            condition = f' with "{where}"' if where is not None else ""
            places = options.places(gathered.results)
            raise NashGamesError(f"{places} has no finished run{condition}; nashgames runs shows what is there")
    if out is not None and format in SINKS:
        SINKS[format].write(gathered, out)
        return
    text = _latex(gathered, y) if format == "latex" else _csv(_long(gathered) if format == "csv" else gathered.runs)
    if file is None:
        emit(text.removesuffix("\n"))
    else:
        replace(file, text.encode())


def _file(out: str | None) -> Path | None:
    """The file to write; NashGamesError where there is no folder for it."""
    if out is None:
        return None
    file = Path(out)
    if not out.strip() or file.is_dir():
        raise NashGamesError(f"--out is '{out}', which is not a file; give the name of a file, e.g. runs.csv")
    if not file.parent.is_dir():
        raise NashGamesError(f"--out is '{out}', but there is no folder '{file.parent}'; make it, or give another")
    return file


def _long(gathered: "Gathered") -> "pd.DataFrame":
    """The recorded points with the columns of their runs that are not those of the last point."""
    curves, runs = gathered.curves, gathered.runs
    extra = [name for name in runs if name not in curves]
    return curves.merge(runs[["run_id", *extra]], on="run_id", how="left", validate="many_to_one")


def _csv(frame: "pd.DataFrame") -> str:
    """Every number with the digits that it takes to read the same one again; what is missing is empty."""
    return frame.to_csv(index=False, lineterminator="\n")


def _latex(gathered: "Gathered", measure: str | None) -> str:
    from nashgames.analysis.outcome_table import MEASURES, outcome_table
    from nashgames.analysis.outcomes import complete, on_samples
    from nashgames.cli.latex import latex
    from nashgames.defaults import REFEREE

    if measure is not None and measure not in MEASURES:
        raise wrong_word("--y", measure, MEASURES)
    runs = gathered.runs[gathered.runs["solver"] != REFEREE]
    if not len(runs):
        raise NashGamesError(
            "these are exact equilibria, and --format latex compares solvers; give --format wide, or runs of solvers"
        )
    sampled = on_samples(complete(runs))
    if sampled.any() and not sampled.all():
        raise NashGamesError(
            "runs on exact feedback are counted in queries and runs on duels in comparisons; take one kind at a time, "
            "with --where \"feedback == 'exact'\" or !="
        )
    table, measure, problem = outcome_table(runs, measure)
    return latex(table, measure, problem, [float(value) for value in runs["tolerance"].unique()]) + "\n"
