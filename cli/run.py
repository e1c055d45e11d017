"""One experiment in the terminal: its options, its run, its tables, its figures."""

import contextlib
import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from nashgames.cli import options, signals, streams, words
from nashgames.cli.failures import FAILED
from nashgames.errors import NashGamesError, unknown

if TYPE_CHECKING:
    from nashgames.cli.display import Progress
    from nashgames.cli.verdict import Answer
    from nashgames.experiments.events import Finished
    from nashgames.experiments.experiment import Experiment

# With the tables they fit a screen; a sweep draws dozens, of which the rest are counted.
_LISTED_FIGURES = 6


def run_experiment(game: str | None, given: Mapping[str, Any]) -> "Experiment":
    """The experiment of `nashgames run`: one game, one β, one size, any number of solvers."""
    if game is not None and game.endswith(".toml"):
        raise NashGamesError(f"GAME is '{game}', an experiment file; play it with: nashgames sweep {game}")
    values = options.chosen({**given, "game": None if game is None else [game]})
    options.one_each(values)
    return _experiment({}, values)


def sweep_experiment(source: str | None, given: Mapping[str, Any]) -> "Experiment":
    """The experiment of `nashgames sweep`: a TOML file, a preset or the default grid, with the options on top."""
    from nashgames.experiments.experiment import Experiment, load_preset, presets

    values, usual = options.chosen(given), None
    if source is None:
        base = load_preset("default").to_dict()
        if values:
            # Its solvers are what is played unless the options ask for others, as a policy does.
            usual = base.pop("solver")
            del base["name"]
        if "game" in values:
            del base["actions"]
    elif source.lower().endswith((".csv", ".parquet", ".npy")):
        raise NashGamesError(f"EXPERIMENT is '{source}', a table; play it with: nashgames sweep --game {source}")
    elif source.endswith(".toml") or Path(source).is_file():
        base = Experiment.from_toml(source).to_dict()
    elif source in presets():
        base = load_preset(source).to_dict()
    else:
        raise _no_experiment(source, list(presets()))
    return _experiment(base, values, usual)


def play(experiment: "Experiment", given: Mapping[str, Any], arguments: list[str] | None, *, sweep: bool) -> None:
    """Run an experiment and show it, or with --dry-run tell what that would take.

    Ends the command with exit code 1 when a run failed or broke a theorem, 130 or 143 where a signal stops it.
    """
    from nashgames.cli import backend
    from nashgames.cli.display import Progress

    directory, conditions = options.output_directory(given["out"]), options.conditions(given)
    if given["dry_run"]:
        from nashgames.cli.forecast import tell

        tell(experiment, directory, given)
        return
    with Progress(experiment, quiet=given["quiet"], data=given["json"]) as screen:
        try:
            screen.wait("starting")
            backend.start(experiment.device)
            execution = {"force": given["force"], "arguments": arguments, "conditions": conditions}
            execution["crew"] = options.crew(given)
            finished = _run(experiment, directory, execution, screen, plot=not given["no_plot"])
            _show(finished, screen, answered=experiment.verdict is not None)
            outcome = _verdict(experiment, finished, screen)
            figures = [] if given["no_plot"] else _draw(finished, screen)
            _close(experiment, finished, figures, outcome, screen, sweep=sweep)
        except KeyboardInterrupt:
            screen.clear()
            streams.complain(_stopped(screen))
            raise typer.Exit(signals.exit_code()) from None
    if finished.failed:
        played = len(finished.runs) + finished.failed
        others = "the others are kept, and " if finished.failed < played else ""
        streams.complain(
            f"{finished.failed} of {words.plural(played, 'run')} failed; {others}the same command tries "
            f"{'it' if finished.failed == 1 else 'them'} again "
            f"(see '{finished.directory / 'failures.log'}')"
        )
        raise typer.Exit(FAILED)
    if outcome is not None and outcome.complaint is not None:
        streams.complain(outcome.complaint)
        raise typer.Exit(FAILED)


def _experiment(base: Mapping[str, Any], values: Mapping[str, Any], usual: Sequence[str] | None = None) -> "Experiment":
    """The experiment of both, the values given on the command line first; `usual` as for `Experiment.from_dict`."""
    from nashgames.experiments.experiment import Experiment

    # What is given on the command line counts for every grid.
    if grids := [{key: v for key, v in grid.items() if key not in values} for grid in base.get("also", ())]:
        base = {**base, "also": [grid for grid in grids if grid]}
    # Two ways to choose the points of a curve exclude each other: the one on the command line replaces the file's.
    replaced = {"records": "record_every", "record_every": "records"}
    dropped = {replaced[key] for key in values if key in replaced and replaced[key] not in values}
    merged = {key: value for key, value in {**base, **values}.items() if key not in dropped}
    experiment = Experiment.from_dict(merged, usual=usual)
    if experiment.verdict is not None:
        from nashgames.cli.verdict import judge

        judge(experiment.verdict).check(experiment)
    return experiment


def _no_experiment(source: str, names: list[str]) -> NashGamesError:
    from nashgames.games.families import FAMILIES
    from nashgames.games.tables import TABLES
    from nashgames.registry import parse

    if "/" in source or Path(source).suffix:
        return NashGamesError(f"there is no experiment file '{source}'; give a TOML file or one of: {', '.join(names)}")
    if parse(source).name in (*FAMILIES, *TABLES):
        return NashGamesError(f"'{source}' is a game, not an experiment; write: nashgames sweep --game {source}")
    return unknown("preset", source, names)


def _run(
    experiment: "Experiment",
    directory: Path | None,
    execution: Mapping[str, Any],
    screen: "Progress",
    *,
    plot: bool,
) -> "Finished":
    from nashgames.cli.plot import import_early
    from nashgames.experiments import runner
    from nashgames.experiments.events import Finished

    # Not before the runner is there: two threads must not import the same libraries at once.
    if plot:
        import_early()

    events = runner.execute(experiment, directory, **execution)
    try:
        for event in events:
            screen.show(event)
            if isinstance(event, Finished):
                return event
    finally:
        # Wherever Ctrl-C arrives, also while a line is drawn, the runner gets to write what is finished.
        events.close()
    raise RuntimeError("the runner ended without a Finished event")


def _show(finished: "Finished", screen: "Progress", *, answered: bool) -> None:
    """The tables of the runs; of many runs with a verdict only how they ended and what was tuned."""
    from nashgames.cli import mixture, steps, summary
    from nashgames.experiments.choice import reported

    if screen.data or screen.quiet:
        return
    runs = reported(finished.runs)
    if not len(runs):
        return
    sizes, references = runs["n"].unique(), runs["reference"].unique()
    screen.header(int(sizes[0]) if len(sizes) == 1 else None, references[0] if len(references) == 1 else None)
    chosen = steps.choices(finished.runs, finished.curves)
    if answered and len(runs) > summary.MANY_RUNS:
        # The answer is what so many runs were played for.
        screen.line(f" {summary.tally(runs)}", style="dim")
        if chosen:
            screen.line()
            screen.sheet(steps.choices_by_solver(chosen))
        return
    for sheet in summary.tables(runs):
        screen.line()
        screen.sheet(sheet)
    if len(runs) > summary.MANY_RUNS:
        screen.line(f" {summary.tally(runs)}", style="dim")
    if chosen:
        screen.line()
        screen.sheet(steps.choices_table(chosen))
    if measured := steps.measured_steps(runs, finished.curves):
        screen.line()
        screen.sheet(steps.steps_table(measured))
    for sheet in mixture.mixtures(runs, finished.policies):
        screen.line()
        screen.sheet(sheet)


def _verdict(experiment: "Experiment", finished: "Finished", screen: "Progress") -> "Answer | None":
    """The verdict of the experiment, shown beneath the runs."""
    if experiment.verdict is None or not len(finished.runs):
        return None
    from nashgames.cli.verdict import judge

    asked = judge(experiment.verdict)
    screen.wait(asked.WAITING)
    outcome = asked.answer(finished)
    for sheet in outcome.sheets:
        screen.line()
        screen.sheet(sheet)
    screen.clear()
    return outcome


def _draw(finished: "Finished", screen: "Progress") -> list[Path]:
    from nashgames.cli.plot import draw

    screen.wait("drawing the figures")
    written = draw(finished.directory) if len(finished.runs) else []
    screen.clear()
    return written


def _close(
    experiment: "Experiment",
    finished: "Finished",
    figures: list[Path],
    outcome: "Answer | None",
    screen: "Progress",
    *,
    sweep: bool,
) -> None:
    """The last lines: what was reused, the files, and what to type next; or the data alone."""
    from nashgames.cli import payload, steps
    from nashgames.experiments.choice import reported
    from nashgames.store import Results

    directory = str(finished.directory)
    if screen.data:
        data: dict[str, Any] = {"directory": directory, "reused": finished.reused}
        data["runs"] = payload.payload(finished.runs)
        runs = reported(finished.runs)
        if cells := payload.cells(runs):
            data["cells"] = cells
        if chosen := steps.choices(finished.runs, finished.curves):
            data["tuning"] = chosen
        if measured := steps.measured_steps(runs, finished.curves):
            data["steps"] = measured
        if outcome is not None:
            data["verdict"] = outcome.data
        streams.emit(json.dumps(data, allow_nan=False))
        return
    if screen.quiet:
        streams.emit(directory)
        return
    if not len(finished.runs):
        return
    screen.line()
    if finished.reused:
        among = words.plural(len(finished.runs), "run")
        verb = "was" if finished.reused == 1 else "were"
        screen.line(
            f" {words.count(finished.reused)} of {among} {verb} finished before and reused; --force plays them again",
            style="dim",
        )
    points = f"{words.plural(len(finished.runs), 'run')}, {words.plural(finished.points, 'point')}"
    curves = finished.directory / "curves.parquet"
    others = ", ".join(path.name for path in finished.files if path != curves)
    pictures = [path for path in figures if path.suffix == ".png"]
    files = [("curves", f"{curves}   ({points})"), ("also", others)]
    files += [("figure", str(path)) for path in pictures[:_LISTED_FIGURES]]
    if len(pictures) > _LISTED_FIGURES:
        files.append(("", f"and {len(pictures) - _LISTED_FIGURES} more figures there"))
    if figures and (outdated := Results.read(finished.directory).outdated):
        files.append(("outdated", f"{', '.join(path.name for path in outdated)}: drawn by an earlier command"))
    commands = [(command, f"nashgames {command} {shlex.quote(directory)}") for command in ("plot", "report")]
    if not sweep:
        commands.append(("next", _next_sweep(experiment)))
    screen.pairs([*files, *commands])


def _next_sweep(experiment: "Experiment") -> str:
    """The suggested sweep around the run that was just played."""
    from nashgames.games.families import FAMILIES
    from nashgames.registry import parse

    game = experiment.game[0]
    family = FAMILIES.get(parse(game).name) if "/" not in game else None
    parts = ["nashgames sweep"]
    plain = type(experiment)()
    if game != plain.game[0]:
        parts.append(f"--game {shlex.quote(game)}")
    for part in ("feedback", "policy", "optimiser"):
        asked = getattr(experiment, part)
        parts += [f"--{part} {shlex.quote(','.join(asked))}"] if asked != getattr(plain, part) else []
    parts.append("--beta 1,0.1,0.01,0" if 0 in experiment.beta else "--beta 1,0.1,0.01")
    # A family whose usual size is another one takes only certain sizes.
    if family is not None and family.takes_actions and family.default_actions == 100:
        parts.append("--actions 10,100,1000")
    elif experiment.actions:
        parts.append(f"--actions {experiment.actions[0]}")
    if experiment.reference != plain.reference:
        parts.append(f"--reference {shlex.quote(experiment.reference[0])}")
    parts += ["--tune auto"] if experiment.tune is not None else []
    return " ".join(parts)


def _stopped(screen: "Progress") -> str:
    from nashgames.store import Results

    if screen.planned is None:
        return "stopped before anything was computed"
    kept = screen.planned.reused + screen.finished_runs
    # A batch may be committed and not told yet; without any there is no directory of results to read.
    with contextlib.suppress(NashGamesError):
        held = len(Results.read(screen.planned.directory).last_runs)
        kept = max(kept, min(held, screen.planned.runs))
    if not kept:
        return f"stopped before a run was finished; nothing is kept of {words.plural(screen.planned.runs, 'run')}"
    return (
        f"stopped; {words.count(kept)} of {words.plural(screen.planned.runs, 'run')} are finished and kept in "
        f"'{screen.planned.directory}', and the same command computes the others"
    )
