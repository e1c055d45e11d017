"""What an experiment would take, in the terminal: nothing is played to its end, and nothing is written."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from nashgames.cli import signals, streams, words
from nashgames.cli.sheet import Sheet

if TYPE_CHECKING:
    from nashgames.experiments.experiment import Experiment
    from nashgames.experiments.forecast import Forecast, Program

# With what stands above them they fill a screen.
_LISTED = 12
_HEADINGS = ("solver", "actions", "runs", "batches", "queries ≤", "compiling", "solving ≤", "time from")
_NOUNS = {"beta": "β", "actions": "sizes", "policy": "policies"}
"""The plural of a field of the grid where it is not its name with an s."""


def tell(experiment: "Experiment", directory: Path | None, given: Mapping[str, Any]) -> None:
    """Show what an experiment would take; exit code 130 on Ctrl-C."""
    from nashgames.cli import backend
    from nashgames.cli.display import Working

    with Working(quiet=given["quiet"], data=given["json"]) as screen:
        try:
            screen.wait("measuring what it takes")
            backend.start(experiment.device, keep=False)
            from nashgames.experiments.forecast import forecast

            found = forecast(experiment, directory, force=given["force"])
        except KeyboardInterrupt:
            screen.clear()
            streams.complain("stopped; nothing was written")
            raise typer.Exit(signals.exit_code()) from None
        screen.clear()
        for note in found.notes:
            screen.note(note)
        if screen.data:
            streams.emit(json.dumps(data(found), allow_nan=False))
        elif screen.quiet:
            streams.emit(str(found.directory))
        else:
            screen.pairs(lines(found))
            if found.programs:
                screen.line()
                screen.sheet(sheet(found.programs))


def data(found: "Forecast") -> dict[str, Any]:
    """All of it for a program."""
    plain = dataclasses.asdict(found) | {"directory": str(found.directory)}
    totals = {name: getattr(found, name) for name in ("compile_seconds", "solve_seconds", "seconds")}
    return plain | totals


def lines(found: "Forecast") -> list[tuple[str, str]]:
    """What it takes, by name."""
    from nashgames.memory import size_text

    if not found.batches:
        time = ("time", "nothing is left to play")
        return [("grid", _grid(found)), ("runs", _runs(found)), time, ("directory", str(found.directory))]
    return [
        ("grid", _grid(found)),
        ("runs", _runs(found)),
        ("batches", f"{words.count(found.batches)} of {words.plural(len(found.programs), 'program')}"),
        ("queries", _queries(found)),
        ("memory", f"≤ {size_text(found.memory)}; {found.room}{_one_by_one(found)}"),
        (
            "disk",
            f"≤ {size_text(found.disk)}, {size_text(found.disk_peak)} at the end; {size_text(found.disk_free)} free",
        ),
        *_times(found),
        ("directory", str(found.directory)),
    ]


def _grid(found: "Forecast") -> str:
    return " × ".join(_counted(field, count) for field, count in found.grid.items()) or "one of each"


def _counted(field: str, count: int) -> str:
    return f"{words.count(count)} {_NOUNS.get(field, f'{field}s')}"


def _runs(found: "Forecast") -> str:
    trials = f", {words.count(found.trials)} of them try steps" if found.trials else ""
    done = f"; {words.count(found.finished)} finished before" if found.finished else ""
    return f"{words.count(found.runs)}{trials}{done}"


def _queries(found: "Forecast") -> str:
    comparisons = f"; {words.count(found.comparisons)} comparisons" if found.comparisons else ""
    return f"≤ {words.count(found.queries)}{comparisons}"


def _one_by_one(found: "Forecast") -> str:
    from nashgames.experiments.batches import MOST_BATCHES

    if found.at_once == MOST_BATCHES:
        return ""
    return f"; {found.at_once} batches at once" if found.at_once > 1 else "; one batch after the other"


def _times(found: "Forecast") -> list[tuple[str, str]]:
    earlier = any(program.source == "earlier" for program in found.programs)
    told = [*["from earlier runs"] * earlier, f"measured in {words.elapsed(found.measured_in)}"]
    return [
        ("equilibria", f"{words.count(found.equilibria)}, with their games {words.elapsed(found.exact_seconds)}"),
        ("compiling", f"≤ {words.elapsed(found.compile_seconds)}"),
        ("solving", f"≤ {words.elapsed(found.solve_seconds)}"),
        ("other", f"≤ {words.elapsed(found.other_seconds)}; start, rows, disk, figures"),
        ("time", f"{words.duration(found.least_seconds)} to {words.duration(found.seconds)}; {', '.join(told)}"),
    ]


def sheet(programs: tuple["Program", ...]) -> Sheet:
    """The costliest programs."""
    rows = tuple(
        (
            program.solver,
            words.count(program.actions),
            words.count(program.runs),
            words.count(program.batches),
            words.count(program.queries),
            words.elapsed(program.compile_seconds),
            words.elapsed(program.solve_seconds),
            program.source,
        )
        for program in programs[:_LISTED]
    )
    more = len(programs) - _LISTED
    caption = f"and {words.plural(more, 'program')} that take less" if more > 0 else ""
    return Sheet(_HEADINGS, frozenset({"solver", "time from"}), rows, caption, spare=("batches", "compiling"))
