"""The options of the commands, and how they become the values of an experiment."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from nashgames.cli import completion
from nashgames.core.metrics import METRICS
from nashgames.defaults import AUTO, STORAGES
from nashgames.errors import NashGamesError, NoRoom, UnknownName, unknown
from nashgames.registry import split

if TYPE_CHECKING:
    from nashgames.experiments.playing import Conditions
    from nashgames.experiments.workers import Crew
    from nashgames.store import Results

ACCEPTED = {
    "game": "a family, a shipped game, a path or FILE.py:NAME, e.g. disc[strength=2], castles, wins.csv",
    "solver": "a solver or FILE.py:NAME, with or without parameters, e.g. nash-mp, nash-prox[inner=40], "
    "average[nash-mp]",
    "feedback": "exact, or duels[batch=100], with label=probability, noise, temperature",
    "policy": "tabular, log-linear[dimension=8], mlp[depth=3,width=10]",
    "optimiser": "sgd, natural or adam, with clip, schedule=cosine, horizon, average",
    "start": "reference, or equilibrium[distance=0.001]",
    "target": "regularised (stop by suboptimality), or original (stop by exploitability, the game at β = 0)",
    "beta": "a number of at least 0 (0: the original game), e.g. 0.05",
    "actions": "a whole number of at least 2, e.g. 100",
    "reference": "uniform, random[scale=1], tilted[span=2], or a path to a table of probabilities",
    "seed": "a whole number of at least 0, e.g. 0",
    "seeds": "a whole number of at least 1, e.g. 20",
    "queries": "a whole number of at least 1, e.g. 5000",
    "comparisons": "a whole number of at least 1, e.g. 1000000",
    "tolerance": "a number of at least 0 (0: never) and below 0.5, e.g. 1e-10",
    "records": "a whole number of at least 1, e.g. 200",
    "timeout": "a number of seconds above 0, e.g. 3600",
    "workers": "a whole number of at least 1, e.g. 4",
    "scheduler": "the address of a scheduler of Dask, e.g. tcp://127.0.0.1:8786",
    "retries": "a whole number of at least 0, e.g. 2",
    "tune": "auto, a range parameter=low:high:count or solver.parameter=low:high:count, e.g. step=1e-3:10:8, trials=N, "
    "seeds=N",
    "record_every": "a whole number of at least 1, e.g. 10",
    "dtype": "float64, float32",
    "device": "cpu, gpu",
    "storage": ", ".join((AUTO, *STORAGES)),
    "out": "a directory, e.g. results/runs/mine",
    "page": "a file that ends in .html, e.g. results/report.html",
    "format": "png, svg, pdf",
    "width": "column (3.25 inches), text (5.5), page (6.75)",
    "font": "the size of the type in points, 8 unless given",
    "x": "queries, comparisons, steps",
    "x_scale": "linear, log",
    "epsilon": "a number above 0, at least the tolerance of the runs, which is the default, e.g. 1e-6",
    "against": "n, beta, or any numeric setting of a run, also a parameter of its game or solver, e.g. strength, eta",
    "sort": "columns of runs, falling with a minus, e.g. beta,-suboptimality",
    "limit": "a whole number of at least 1, e.g. 20",
    "facet": "columns of runs that say what was played, e.g. game, n, beta, solver, seed",
    "where": "a condition on columns of runs, with and, or, not, in, + - * /, e.g. "
    "\"beta < 0.1 and solver == 'nash-mp'\"",
    "y": ", ".join(name for name, metric in METRICS.items() if metric.distance),
    "export format": "csv, wide, latex, tensorboard, mlflow",
    "export out": "a file, e.g. runs.csv, for tensorboard a new folder, for mlflow its tracking URI",
    "export y": "queries_to_tolerance, " + ", ".join(name for name, metric in METRICS.items() if metric.distance),
    "check_with": "gambit, highs, mpax, with parameters as highs[method=ipm]",
    "replay": "all, a number of runs such as 10, or a share such as 5%, the default (0: none)",
    "code": "a Python file that defines games or solvers of the directory, e.g. mine.py",
}
"""The accepted form of every option that takes a value, as the help and the errors say it."""

_Kind = TypeVar("_Kind", int, float)

EXACT_BETAS = "numbers of at least 0 (0: the original game), e.g. 1,0.1,0.01,0"

SHORT = {"-g": "game", "-s": "solver", "-n": "actions", "--optimizer": "optimiser"}

_SEVERAL = ("game", "solver", "beta", "actions", "reference", "feedback", "policy", "optimiser", "tune")
_DRAWN = ("width", "font", "x", "x_scale", "epsilon", "against", "facet", "where", "sort", "limit")
_ONE = (
    "seed",
    "seeds",
    "start",
    "target",
    "queries",
    "comparisons",
    "tolerance",
    "records",
    "record_every",
    "dtype",
    "device",
    "storage",
)


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


def flag(key: str) -> str:
    """The option's name on the command line: `record_every` → `--record-every`."""
    return f"--{key.replace('_', '-')}"


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


def chosen(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options that were given, as an Experiment takes them: text, or a list of texts where several are possible."""
    values: dict[str, Any] = {key: listed(key, given[key]) for key in _SEVERAL if given.get(key)}
    return values | {key: given[key] for key in _ONE if given.get(key) is not None}


def conditions(given: Mapping[str, Any]) -> "Conditions":
    """What is done about runs that do not end well, from --timeout and --retries."""
    from nashgames.experiments.playing import Conditions

    timeout, retries = given["timeout"], given["retries"]
    return Conditions(
        timeout=None if timeout is None else _number("timeout", timeout, float, above=0),
        retries=0 if retries is None else _number("retries", retries, int, above=-1),
    )


def crew(given: Mapping[str, Any]) -> "Crew | None":
    """Who plays, from --workers and --scheduler; None for this process."""
    workers, scheduler = given["workers"], given["scheduler"]
    if workers is None and scheduler is None:
        return None
    if workers is not None and scheduler is not None:
        raise NashGamesError(
            f"--workers and --scheduler are both given ({workers} and {scheduler}), but a scheduler has workers of its "
            f"own; give one of them"
        )
    from nashgames.experiments.workers import Crew

    return Crew(None if workers is None else _number("workers", workers, int, above=0), scheduler)


def _number(key: str, text: str, kind: type[_Kind], above: float) -> _Kind:
    """The finite number above a limit that an option was given."""
    try:
        value = kind(text)
    except ValueError:
        value = kind(above)
    # NaN is above nothing.
    if not above < value < math.inf:
        raise NashGamesError(f"{flag(key)} is '{text}'; accepted: {ACCEPTED[key]}")
    return value


def listed(key: str, texts: Sequence[str], accepted: str | None = None) -> list[str]:
    """The values of an option that may be repeated and whose values split at commas outside brackets."""
    parts = [part for text in texts for part in split(text)]
    if not parts:
        raise NashGamesError(f"{flag(key)} is empty; accepted: {accepted or ACCEPTED[key]}")
    return parts


def by_flag(sentence: str, keys: Iterable[str]) -> str:
    """A complaint about one of `keys` in the words of the command line: `beta is '0'` → `--beta is '0'`."""
    name = f"({'|'.join(sorted(keys, key=len, reverse=True))})"
    pattern = rf"^(unknown )?{name}(?: and {name})?\b"
    return re.sub(pattern, lambda m: (m[1] or "") + " and ".join(flag(key) for key in m.groups()[1:] if key), sentence)


@contextmanager
def in_flags(given: Mapping[str, Any]) -> Iterator[None]:
    """Inside, errors about what was given on the command line name it as it was written there."""
    try:
        yield
    except UnknownName as error:
        from nashgames.cli.hints import elsewhere

        if told := elsewhere(error.kind, error.given):
            raise NashGamesError(told) from None
        raise NashGamesError(_named(str(error), given)) from None
    except NoRoom:
        raise
    except NashGamesError as error:
        raise NashGamesError(_named(str(error), given)) from None


def _named(sentence: str, given: Mapping[str, Any]) -> str:
    """A complaint in the words of what was `given` on the command line."""
    keys = [key for key in (*_SEVERAL, *_ONE, *_DRAWN, "code", "replay") if given.get(key) is not None]
    # The game of `run` is an argument and has no option to be named by.
    if isinstance(given.get("game"), str):
        keys.remove("game")
    return by_flag(sentence, keys) if keys else sentence


def one_each(values: Mapping[str, Any], command: str = "run") -> None:
    """Raise NashGamesError where `run` or `equilibrium` was given several values, naming what to do instead."""
    for key in ("game", "beta", "actions", "reference"):
        if len(values.get(key, ())) > 1:
            several = ",".join(str(value) for value in values[key])
            name = flag(key) if key != "game" else "GAME"
            given = f"{name} has {len(values[key])} values ({several})"
            if command != "run":
                raise NashGamesError(f"{given} and {command} takes one; give it once for each")
            raise NashGamesError(f"{given} and run plays one; several are for: nashgames sweep {flag(key)} {several}")


def among(key: str, values: Sequence[str]) -> None:
    """Raise NashGamesError unless every value of an option is one of the names it accepts."""
    names = ACCEPTED[key].split(", ")
    for value in values:
        if value not in names:
            raise unknown(f"value of {flag(key)}", value, names)


def places(results: Sequence["Results"]) -> str:
    """The directories in a sentence."""
    return " and ".join(f"'{one.directory}'" for one in results)


def output_directory(text: str | None) -> Path | None:
    """The path behind --out; NashGamesError where it is empty, a file, or a link to nothing."""
    if text is None:
        return None
    path = Path(text)
    dangling = path.is_symlink() and not path.exists()
    if not text.strip() or path.is_file() or dangling:
        what = "a link to what is not there" if dangling else "a file"
        why = "is empty" if not text.strip() else f"is '{text}', {what}"
        raise NashGamesError(f"--out {why}; accepted: {ACCEPTED['out']}")
    return path
