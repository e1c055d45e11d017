"""`nashgames`: thin commands. Slow imports are inside them."""

from pathlib import Path
from typing import Annotated

import typer

from nashgames.cli import arguments as o
from nashgames.cli import completion
from nashgames.cli.completion import KINDS
from nashgames.cli.failures import Commands
from nashgames.cli.options import in_flags

app = typer.Typer(
    name="nashgames",
    cls=Commands,
    help="Learning in preference games: exact equilibria, convergence curves, figures for papers.",
    epilog="Start with: nashgames run",
    no_args_is_help=False,
    rich_markup_mode="rich",
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        from nashgames.cli.streams import emit

        emit(f"nashgames {version('nashgames')}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def nashgames(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", "-V", metavar="", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        # With rich the help is printed while it is made, and the text that comes back is empty.
        typer.echo(context.get_help(), nl=False)


@app.command()
def run(
    context: typer.Context,
    game: Annotated[
        str | None,
        typer.Argument(
            metavar="GAME",
            show_default=False,
            help="A family, a shipped game or a path (see: nashgames list games); by default random-logits.",
            autocompletion=completion.of("game"),
        ),
    ] = None,
    solver: o.Solvers = None,
    feedback: o.Feedback = None,
    policy: o.Policy = None,
    optimiser: o.Optimiser = None,
    beta: o.Beta = None,
    actions: o.Actions = None,
    reference: o.Reference = None,
    seed: o.Seed = None,
    seeds: o.Seeds = None,
    start: o.Start = None,
    target: o.Target = None,
    queries: o.Queries = None,
    comparisons: o.Comparisons = None,
    tolerance: o.Tolerance = None,
    records: o.Records = None,
    record_every: o.RecordEvery = None,
    tune: o.Tune = None,
    timeout: o.Timeout = None,
    retries: o.Retries = None,
    workers: o.Workers = None,
    scheduler: o.Scheduler = None,
    dtype: o.Dtype = None,
    device: o.Device = None,
    storage: o.Storage = None,
    out: o.Out = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
    force: o.Force = False,
    dry_run: o.DryRun = False,
    no_plot: o.NoPlot = False,
) -> None:
    """Run several solvers on one game: prints a table, writes curves and a figure."""
    from nashgames.cli.run import play, run_experiment

    with in_flags(context.params):
        play(run_experiment(game, context.params), context.params, context.obj, sweep=False)


@app.command()
def sweep(
    context: typer.Context,
    experiment: Annotated[
        str | None,
        typer.Argument(
            metavar="EXPERIMENT.toml|PRESET",
            show_default=False,
            help="A file or a preset (see: nashgames list presets); options replace its keys.",
            autocompletion=completion.of("preset"),
        ),
    ] = None,
    game: o.Games = None,
    solver: o.Solvers = None,
    feedback: o.Feedback = None,
    policy: o.Policy = None,
    optimiser: o.Optimiser = None,
    beta: o.Betas = None,
    actions: o.ActionsList = None,
    reference: o.Reference = None,
    seed: o.Seed = None,
    seeds: o.Seeds = None,
    start: o.Start = None,
    target: o.Target = None,
    queries: o.Queries = None,
    comparisons: o.Comparisons = None,
    tolerance: o.Tolerance = None,
    records: o.Records = None,
    record_every: o.RecordEvery = None,
    tune: o.Tune = None,
    timeout: o.Timeout = None,
    retries: o.Retries = None,
    workers: o.Workers = None,
    scheduler: o.Scheduler = None,
    dtype: o.Dtype = None,
    device: o.Device = None,
    storage: o.Storage = None,
    out: o.Out = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
    force: o.Force = False,
    dry_run: o.DryRun = False,
    no_plot: o.NoPlot = False,
) -> None:
    """Run a grid of games, solvers, β and sizes; finished runs are reused."""
    from nashgames.cli.run import play, sweep_experiment

    with in_flags(context.params):
        play(sweep_experiment(experiment, context.params), context.params, context.obj, sweep=True)


@app.command()
def equilibrium(
    context: typer.Context,
    game: Annotated[
        str,
        typer.Argument(
            metavar="GAME", help="A family, a shipped game or a path.", autocompletion=completion.of("game")
        ),
    ],
    beta: o.ExactBetas = None,
    actions: o.Actions = None,
    reference: o.Reference = None,
    seed: o.Seed = None,
    storage: o.Storage = None,
    vertex: o.Vertex = False,
    ratings: o.Ratings = False,
    format: o.Formats = None,
    out: o.Out = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
    no_plot: o.NoPlot = False,
) -> None:
    """Compute the exact equilibria of a game, each with a certificate; β = 0 is the original game."""
    from nashgames.cli.equilibrium import equilibrium

    with in_flags(context.params):
        equilibrium(game, context.params, context.obj)


@app.command()
def verify(
    directory: Annotated[Path, typer.Argument(metavar="DIRECTORY", help="A results directory.")],
    check_with: o.CheckWith = None,
    replay: o.Replay = None,
    code: o.Code = None,
    json: o.Json = False,
    quiet: o.Silent = False,
) -> None:
    """Check the files of a results directory, recompute its last points and replay some of its runs; exit code 1 if
    something differs.
    """
    from nashgames.cli.verify import verify

    with in_flags({"code": code, "replay": replay}):
        verify(directory, check_with, replay, code, json=json, quiet=quiet)


@app.command()
def plot(
    directories: o.Directories,
    where: o.Where = None,
    last: o.Last = False,
    figure: o.Figures = None,
    y: o.Distance = None,
    epsilon: o.Epsilon = None,
    against: o.Against = None,
    width: o.Width = None,
    font: o.Font = None,
    x: o.X = None,
    x_scale: o.XScale = None,
    facet: o.Facet = None,
    no_title: o.NoTitle = False,
    format: o.Formats = None,
    out: o.OutFigures = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Draw the figures of results directories, in print quality, with captions."""
    from nashgames.cli.plot import plot as draw

    asked = {"figure": figure, "y": y, "epsilon": epsilon, "against": against, "format": format, "out": out}
    asked |= {"width": width, "font": font, "x": x, "x_scale": x_scale, "facet": facet, "where": where}
    draw(directories, asked, title=not no_title, last=last, json=json, quiet=quiet)


@app.command()
def runs(
    directories: o.Directories,
    where: o.Where = None,
    failed: o.Failed = False,
    last: o.Last = False,
    sort: o.Sort = None,
    limit: o.Limit = None,
    json: o.Json = False,
) -> None:
    """List the runs in results directories: what was played, its status and its distances."""
    from nashgames.cli.runs import runs as listed

    listed(directories, where, sort, limit, failed=failed, last=last, json=json)


@app.command()
def merge(directories: o.Directories, out: o.Out = None, json: o.Json = False) -> None:
    """Merge results directories into a new one; exit code 1 if two disagree about a run."""
    from nashgames.cli.merge import merge as united

    united(directories, out, json=json)


@app.command()
def export(
    directories: o.Directories,
    format: o.ExportFormat = "csv",
    where: o.Where = None,
    last: o.Last = False,
    y: o.ExportY = None,
    out: o.File = None,
) -> None:
    """Write the runs of results directories as CSV or LaTeX, to standard output or a file."""
    from nashgames.cli.export import export as exported

    exported(directories, format, where, y, out, last=last)


@app.command()
def init(
    preset: Annotated[
        str | None,
        typer.Argument(
            metavar="PRESET",
            show_default=False,
            help="Print the file of this preset (see: nashgames list presets), by default a first experiment.",
            autocompletion=completion.of("preset"),
        ),
    ] = None,
) -> None:
    """Print an experiment file with every key explained: nashgames init > exp.toml"""
    from nashgames.cli.init import init as printed

    with in_flags({}):
        printed(preset)


@app.command()
def report(
    directories: Annotated[
        list[Path], typer.Argument(metavar="DIRECTORY…", help="A results directory, or several, shown side by side.")
    ],
    out: o.OutPage = None,
    json: o.Json = False,
    quiet: o.QuietPage = False,
) -> None:
    """Write an interactive report of results directories, one self-contained HTML file."""
    from nashgames.cli.report import report as make

    make(directories, out, json=json, quiet=quiet)


@app.command(name="list")
def list_(
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="KIND",
            show_default=False,
            help=f"What to list, by default everything: {', '.join(KINDS)}.",
            autocompletion=completion.words(*KINDS),
        ),
    ] = None,
    json: o.Json = False,
) -> None:
    """List the names that options accept, with their parameters."""
    from nashgames.cli.list import catalogue

    catalogue(what, json=json)


@app.command()
def show(
    name: Annotated[
        str,
        typer.Argument(
            metavar="GAME|NAME",
            help="A family, a shipped game or a path; or any other name of: nashgames list.",
            autocompletion=completion.of("show"),
        ),
    ],
    actions: o.ActionsOfOne = None,
    seed: o.Seed = None,
    reference: o.ReferenceOfOne = None,
    format: o.Formats = None,
    out: o.OutFigures = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
    no_plot: o.NoPlot = False,
) -> None:
    """Show the facts and the heat map of a game, or explain a solver, a preset or any other name."""
    from nashgames.cli import show as shown

    with in_flags({"game": name, "actions": actions, "seed": seed, "reference": reference}):
        shown.show(name, actions, seed, reference, format, out, json=json, quiet=quiet, plot=not no_plot)


@app.command()
def check(
    solver: Annotated[
        str,
        typer.Argument(
            metavar="SOLVER",
            help="FILE.py:NAME, with or without parameters, or a built-in solver.",
            autocompletion=completion.of("solver"),
        ),
    ],
    json: o.Json = False,
    quiet: o.Silent = False,
) -> None:
    """Test a solver on small games and explain what fails; exit code 1 if a test fails."""
    from nashgames.cli import check as checked

    with in_flags({}):
        checked.check(solver, json=json, quiet=quiet)
