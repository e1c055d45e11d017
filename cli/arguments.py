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
    return typer.Option(*names, help=help, rich_help_panel=panel, show_default=False)


_GAME, _MEASURE, _OUTPUT = "What is played", "Stopping, recording and precision", "Output"

Games = Annotated[
    list[str] | None, _option("game", "-g", metavar="GAME[,GAME…]", help="games, several or repeated", panel=_GAME)
]
Solvers = Annotated[
    list[str] | None,
    _option("solver", "-s", metavar="SOLVER[,SOLVER…]", help="solvers, several or repeated", panel=_GAME),
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
    str | None, _option("comparisons", metavar="N", help="the budget of a run on duels", panel=_MEASURE)
]
Beta = Annotated[list[str] | None, _option("beta", metavar="B", help="β, the weight of KL(π‖μ)", panel=_GAME)]
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
Actions = Annotated[list[str] | None, _option("actions", "-n", metavar="N", help="actions of the game", panel=_GAME)]
ActionsList = Annotated[
    list[str] | None, _option("actions", "-n", metavar="N[,N…]", help="actions of the game", panel=_GAME)
]
ActionsOfOne = Annotated[str | None, _option("actions", "-n", metavar="N", help="actions of the game", panel=_GAME)]
Reference = Annotated[list[str] | None, _option("reference", metavar="MU", help="the reference policy μ", panel=_GAME)]
ReferenceOfOne = Annotated[
    str | None,
    _option("reference", metavar="MU", help="a reference, whose cross-entropy to the corpus is shown", panel=_GAME),
]
Seed = Annotated[str | None, _option("seed", metavar="SEED", help="the first seed", panel=_GAME)]
Seeds = Annotated[str | None, _option("seeds", metavar="K", help="how many consecutive seeds", panel=_GAME)]
Queries = Annotated[str | None, _option("queries", metavar="N", help="the budget of a run", panel=_MEASURE)]
Tolerance = Annotated[
    str | None,
    _option("tolerance", metavar="EPS", help="suboptimality at which a run with exact feedback stops", panel=_MEASURE),
]
Records = Annotated[
    str | None, _option("records", metavar="K", help="recorded points per curve, at geometric steps", panel=_MEASURE)
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
Storage = Annotated[str | None, _option("storage", metavar="STORAGE", help="how the margins are kept", panel=_MEASURE)]
CheckWith = Annotated[
    list[str] | None,
    _option(
        "check_with",
        metavar="EXTERNAL[,EXTERNAL…]",
        help="external solvers that check the equilibria they can handle",
        panel=_MEASURE,
    ),
]
Code = Annotated[
    list[str] | None,
    _option(
        "code",
        metavar="FILE",
        help="Python files of yours that define games or solvers of the directory; their code runs",
        panel=_MEASURE,
    ),
]
Replay = Annotated[str | None, _option("replay", metavar="SHARE", help="runs that are played again", panel=_MEASURE)]
Out = Annotated[str | None, _option("out", metavar="DIRECTORY", help="the results directory", panel=_OUTPUT)]
OutPage = Annotated[
    str | None,
    typer.Option(
        "--out",
        metavar="FILE",
        help=f"where the page goes, report.html in the first directory by default: {ACCEPTED['page']}",
        rich_help_panel=_OUTPUT,
        show_default=False,
    ),
]
Json = Annotated[bool, _switch("--json", help="Print data only, as JSON, on standard output.")]
Quiet = Annotated[bool, _switch("--quiet", "-q", help="Print nothing but the directory and errors.")]
Silent = Annotated[bool, _switch("--quiet", "-q", help="Print nothing but errors.")]
QuietPage = Annotated[bool, _switch("--quiet", "-q", help="Print nothing but the file and errors.")]
Force = Annotated[bool, _switch("--force", help="Play runs again that an earlier command finished.")]
Ratings = Annotated[
    bool, _switch("--ratings", help="Also print Elo and Bradley–Terry ratings with bootstrap intervals.")
]
Vertex = Annotated[
    bool, _switch("--vertex", help="Compare β = 0 with the vertex of the linear program (HiGHS).", panel=_MEASURE)
]
Timeout = Annotated[
    str | None,
    _option("timeout", metavar="SECONDS", help="give up runs that take longer", panel=_MEASURE),
]
Retries = Annotated[
    str | None,
    _option("retries", metavar="COUNT", help="times that a batch which fails is played again", panel=_MEASURE),
]
Workers = Annotated[
    str | None, _option("workers", metavar="COUNT", help="processes that play at once (needs Dask)", panel=_MEASURE)
]
Scheduler = Annotated[
    str | None, _option("scheduler", metavar="ADDRESS", help="let the workers of a scheduler play", panel=_MEASURE)
]
DryRun = Annotated[
    bool, _switch("--dry-run", help="Tell what it would take: runs, queries, memory, disk, time; write nothing.")
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
        accepted="figures by name; those that the runs call for unless given (see: nashgames list figures)",
    ),
]
Distance = Annotated[str | None, _option("y", metavar="COLUMN", help="the metric that curves show", panel=_OUTPUT)]
Width = Annotated[str | None, _option("width", metavar="WIDTH", help="how wide the figures are printed", panel=_OUTPUT)]
Font = Annotated[str | None, _option("font", metavar="SIZE", help="font size", panel=_OUTPUT)]
NoTitle = Annotated[bool, _switch("--no-title", help="Leave the title to the caption, beside the figure as .txt.")]
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
        help="the scale of that axis",
        panel=_OUTPUT,
        accepted="linear, log; by default the one on which most curves are straight",
    ),
]
Facet = Annotated[
    list[str] | None, _option("facet", metavar="COLUMN[,COLUMN…]", help="what has a panel of its own", panel=_OUTPUT)
]
Where = Annotated[str | None, _option("where", metavar="CONDITION", help="only runs that fulfil this", panel=_GAME)]
Last = Annotated[bool, _switch("--last", help="Only the runs of the last command in the directory.", panel=_GAME)]
Directories = Annotated[
    list[Path], typer.Argument(metavar="DIRECTORY", help="Results directories, taken together.", show_default=False)
]
Failed = Annotated[
    bool,
    _switch("--failed", help="Only runs that failed: by an error, out of time, or diverged.", panel=_GAME),
]
Sort = Annotated[
    list[str] | None, _option("sort", metavar="COLUMN[,COLUMN…]", help="what the rows are sorted by", panel=_OUTPUT)
]
Limit = Annotated[
    str | None,
    _option(
        "limit",
        metavar="N",
        help="the first N rows; all unless given, on a terminal 40",
        panel=_OUTPUT,
        accepted="a whole number of at least 1",
    ),
]
ExportFormat = Annotated[
    str,
    typer.Option(
        "--format",
        metavar="FORMAT",
        help="csv (a row a recorded point), wide (CSV, a row a run), latex (booktabs, medians over seeds), or the "
        "curves for tensorboard or mlflow.",
        rich_help_panel=_OUTPUT,
        autocompletion=completion.words("csv", "wide", "latex", "tensorboard", "mlflow"),
    ),
]
ExportY = Annotated[
    str | None,
    typer.Option(
        "--y",
        metavar="COLUMN",
        help=f"What the cells of latex show: {ACCEPTED['export y']}.",
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
