"""The arguments and options of the commands, as typer reads and explains them."""

from pathlib import Path
from typing import Annotated, Any

import typer

from nashgames.cli import completion
from nashgames.cli.options import ACCEPTED, EXACT_BETAS, flag

_COMPLETED = {
    **{
        key: completion.of(key)
        for key in ("game", "solver", "reference", "feedback", "policy", "optimiser", "y", "figure")
    },
    **{
        key: completion.words(*ACCEPTED[key].split(", "))
        for key in ("dtype", "device", "storage", "format", "x", "x_scale")
    },
    "width": completion.words("column", "text", "page"),
    "target": completion.words("regularised", "original"),
    "start": completion.words("reference", "equilibrium"),
    "check_with": completion.words("gambit", "highs", "mpax"),
    "replay": completion.words("5%", "all", "0"),
}
"""The completions of the value of an option."""


def _option(key: str, *short: str, metavar: str, help: str, panel: str, accepted: str | None = None) -> Any:
    text = f"{help}: {accepted or ACCEPTED[key]}".replace("[", r"\[")
    return typer.Option(
        flag(key),
        *short,
        metavar=metavar,
        help=text,
        rich_help_panel=panel,
        show_default=False,
        autocompletion=_COMPLETED.get(key),
    )


def _switch(*names: str, help: str, panel: str = "Output") -> Any:
    # Without a metavar the help would show the Python type.
    return typer.Option(*names, metavar="", help=help, rich_help_panel=panel, show_default=False)


_GAME, _MEASURE, _OUTPUT = "What is played", "Stopping, recording and precision", "Output"
_RUNS, _CHECKS = "Which runs", "What is checked"

Games = Annotated[
    list[str] | None,
    _option("game", "-g", metavar="GAME[,GAME…]", help="games, separated by commas or repeated", panel=_GAME),
]
Solvers = Annotated[
    list[str] | None,
    _option("solver", "-s", metavar="SOLVER[,SOLVER…]", help="solvers, separated by commas or repeated", panel=_GAME),
]
Feedback = Annotated[
    list[str] | None, _option("feedback", metavar="F[,F…]", help="what a solver learns from", panel=_GAME)
]
Policy = Annotated[
    list[str] | None, _option("policy", metavar="P[,P…]", help="the parametrisation of policy gradients", panel=_GAME)
]
Optimiser = Annotated[
    list[str] | None,
    _option("optimiser", "--optimizer", metavar="O[,O…]", help="the optimiser of policy gradients", panel=_GAME),
]
Start = Annotated[str | None, _option("start", metavar="START", help="the first policy", panel=_MEASURE)]
Target = Annotated[str | None, _option("target", metavar="TARGET", help="the game to solve", panel=_MEASURE)]
Comparisons = Annotated[
    str | None, _option("comparisons", metavar="N", help="the budget of a run on duels in comparisons", panel=_MEASURE)
]
Beta = Annotated[
    list[str] | None, _option("beta", metavar="B", help="β, the weight of KL(π‖μ), 0.05 unless given", panel=_GAME)
]
Betas = Annotated[list[str] | None, _option("beta", metavar="B[,B…]", help="β, the weight of KL(π‖μ)", panel=_GAME)]
ExactBetas = Annotated[
    list[str] | None,
    _option(
        "beta",
        metavar="B[,B…]",
        help="β, one or several in one pass, 0.05 unless given",
        panel=_GAME,
        accepted=EXACT_BETAS,
    ),
]
Actions = Annotated[list[str] | None, _option("actions", "-n", metavar="N", help="the number of actions", panel=_GAME)]
ActionsList = Annotated[
    list[str] | None, _option("actions", "-n", metavar="N[,N…]", help="the number of actions", panel=_GAME)
]
ActionsOfOne = Annotated[str | None, _option("actions", "-n", metavar="N", help="the number of actions", panel=_GAME)]
Reference = Annotated[list[str] | None, _option("reference", metavar="MU", help="the reference policy μ", panel=_GAME)]
ReferenceOfOne = Annotated[
    str | None,
    _option("reference", metavar="MU", help="a reference, whose cross-entropy to the corpus is shown", panel=_GAME),
]
Seed = Annotated[str | None, _option("seed", metavar="SEED", help="the first seed", panel=_GAME)]
Seeds = Annotated[str | None, _option("seeds", metavar="K", help="the number of consecutive seeds", panel=_GAME)]
Queries = Annotated[
    str | None,
    _option(
        "queries", metavar="N", help="the budget of a run in queries, max(2000, 20/β) unless given", panel=_MEASURE
    ),
]
Tolerance = Annotated[
    str | None,
    _option(
        "tolerance",
        metavar="EPS",
        help="suboptimality at which a run with exact feedback stops, 1e-10 unless given",
        panel=_MEASURE,
    ),
]
Records = Annotated[
    str | None,
    _option(
        "records", metavar="K", help="recorded points per curve, geometrically spaced, 200 unless given", panel=_MEASURE
    ),
]
RecordEvery = Annotated[
    str | None, _option("record_every", metavar="M", help="record every M-th step instead", panel=_MEASURE)
]
Tune = Annotated[
    list[str] | None,
    _option(
        "tune",
        metavar="GRID[,GRID…]",
        help="play every solver at its best step, chosen on other seeds",
        panel=_MEASURE,
    ),
]
Dtype = Annotated[str | None, _option("dtype", metavar="DTYPE", help="precision", panel=_MEASURE)]
Device = Annotated[str | None, _option("device", metavar="DEVICE", help="the device to compute on", panel=_MEASURE)]
Storage = Annotated[str | None, _option("storage", metavar="STORAGE", help="how A = P − ½ is stored", panel=_MEASURE)]
CheckWith = Annotated[
    list[str] | None,
    _option(
        "check_with",
        metavar="EXTERNAL[,EXTERNAL…]",
        help="external programs that check the equilibria they can handle",
        panel=_CHECKS,
    ),
]
Code = Annotated[
    list[str] | None,
    _option(
        "code",
        metavar="FILE",
        help="run this file",
        panel=_CHECKS,
    ),
]
Replay = Annotated[str | None, _option("replay", metavar="SHARE", help="runs that are played again", panel=_CHECKS)]
Out = Annotated[str | None, _option("out", metavar="DIRECTORY", help="the results directory", panel=_OUTPUT)]
OutFigures = Annotated[
    str | None, _option("out", metavar="DIRECTORY", help="where to write the figures", panel=_OUTPUT)
]
OutPage = Annotated[
    str | None,
    typer.Option(
        "--out",
        metavar="FILE",
        help=f"where to write the page, by default report.html in the first directory: {ACCEPTED['page']}",
        rich_help_panel=_OUTPUT,
        show_default=False,
    ),
]
Json = Annotated[bool, _switch("--json", help="Print only data, as JSON, on standard output.")]
Quiet = Annotated[bool, _switch("--quiet", "-q", help="Print nothing but the directory and errors.")]
Silent = Annotated[bool, _switch("--quiet", "-q", help="Print nothing but errors.")]
QuietPage = Annotated[bool, _switch("--quiet", "-q", help="Print nothing but the file and errors.")]
Force = Annotated[bool, _switch("--force", help="Play finished runs again.")]
Ratings = Annotated[
    bool, _switch("--ratings", help="Also print Elo and Bradley–Terry ratings with bootstrap intervals.")
]
Vertex = Annotated[
    bool, _switch("--vertex", help="Compare β = 0 with the vertex of the linear program (HiGHS).", panel=_MEASURE)
]
Timeout = Annotated[
    str | None,
    _option("timeout", metavar="SECONDS", help="stop runs that take longer", panel=_MEASURE),
]
Retries = Annotated[
    str | None,
    _option("retries", metavar="COUNT", help="how often a failed batch is played again", panel=_MEASURE),
]
Workers = Annotated[
    str | None, _option("workers", metavar="COUNT", help="number of parallel processes (needs Dask)", panel=_MEASURE)
]
Scheduler = Annotated[
    str | None, _option("scheduler", metavar="ADDRESS", help="play on the workers of a scheduler", panel=_MEASURE)
]
DryRun = Annotated[
    bool, _switch("--dry-run", help="Only estimate runs, queries, memory, disk and time; write nothing.")
]
NoPlot = Annotated[bool, _switch("--no-plot", help="Draw no figures.")]
Formats = Annotated[list[str] | None, _option("format", metavar="FORMAT[,FORMAT…]", help="file formats", panel=_OUTPUT)]
Figures = Annotated[
    list[str] | None,
    _option(
        "figure",
        metavar="FIGURE[,FIGURE…]",
        help="figures to draw",
        panel=_OUTPUT,
        accepted="names (see: nashgames list figures), by default those that fit the runs",
    ),
]
Distance = Annotated[str | None, _option("y", metavar="COLUMN", help="the y-axis of curves", panel=_OUTPUT)]
Width = Annotated[str | None, _option("width", metavar="WIDTH", help="printed width of the figures", panel=_OUTPUT)]
Font = Annotated[str | None, _option("font", metavar="SIZE", help="font size", panel=_OUTPUT)]
NoTitle = Annotated[
    bool, _switch("--no-title", help="Draw no title; it is in the caption, a .txt file beside the figure.")
]
X = Annotated[
    str | None,
    _option(
        "x",
        metavar="AXIS",
        help="the x-axis of curves (steps are updates, which may cost several queries)",
        panel=_OUTPUT,
    ),
]
XScale = Annotated[
    str | None,
    _option(
        "x_scale",
        metavar="SCALE",
        help="the scale of the x-axis",
        panel=_OUTPUT,
        accepted="linear, log; by default the one on which most curves are straight",
    ),
]
Facet = Annotated[
    list[str] | None,
    _option("facet", metavar="COLUMN[,COLUMN…]", help="one panel for each value of these", panel=_OUTPUT),
]
Where = Annotated[str | None, _option("where", metavar="CONDITION", help="only runs that fulfil this", panel=_RUNS)]
Last = Annotated[bool, _switch("--last", help="Only the runs of the last command in the directory.", panel=_RUNS)]
Directories = Annotated[
    list[Path], typer.Argument(metavar="DIRECTORY", help="Results directories, taken together.", show_default=False)
]
Failed = Annotated[
    bool,
    _switch("--failed", help="Only runs that raised an error, ran out of time, or diverged.", panel=_RUNS),
]
Sort = Annotated[
    list[str] | None, _option("sort", metavar="COLUMN[,COLUMN…]", help="the order of the rows", panel=_OUTPUT)
]
Limit = Annotated[
    str | None,
    _option(
        "limit",
        metavar="N",
        help="print N rows at most, by default all, on a terminal 40",
        panel=_OUTPUT,
        accepted="an integer of at least 1",
    ),
]
ExportFormat = Annotated[
    str,
    typer.Option(
        "--format",
        metavar="FORMAT",
        help="csv (one row per recorded point), wide (CSV, one row per run), latex (booktabs, medians over seeds), "
        "tensorboard or mlflow (the curves).",
        rich_help_panel=_OUTPUT,
        autocompletion=completion.words("csv", "wide", "latex", "tensorboard", "mlflow"),
    ),
]
ExportY = Annotated[
    str | None,
    typer.Option(
        "--y",
        metavar="COLUMN",
        help=f"What the cells of a LaTeX table show: {ACCEPTED['export y']}.",
        rich_help_panel=_OUTPUT,
        show_default=False,
        autocompletion=completion.of("y"),
    ),
]
File = Annotated[
    str | None,
    typer.Option(
        "--out",
        metavar="PLACE",
        help=f"Where to write: {ACCEPTED['export out']}.",
        rich_help_panel=_OUTPUT,
        show_default=False,
    ),
]
Epsilon = Annotated[str | None, _option("epsilon", metavar="EPS", help="the ε of the figure queries", panel=_OUTPUT)]
Against = Annotated[
    str | None, _option("against", metavar="NUMBER", help="the x-axis of the figure queries", panel=_OUTPUT)
]
