"""Everything that rich draws: the live progress, the tables, the lists. Nothing else in the package imports rich."""

import dataclasses
import itertools
import os
import textwrap
import time
from collections import deque
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from nashgames.cli import signals, words
from nashgames.cli.columns import fitted
from nashgames.cli.sheet import Sheet
from nashgames.cli.streams import emit, spelled
from nashgames.errors import printable

if TYPE_CHECKING:
    from nashgames.experiments.events import (
        Advanced,
        BatchFinished,
        Event,
        GameReady,
        Noted,
        Planned,
        PlayedElsewhere,
        Refereed,
    )
    from nashgames.experiments.experiment import Experiment
    from nashgames.games.properties import Facts

_STATUS_STYLES = {"converged": "green", "budget": "yellow", "inexact": "yellow", "diverged": "red"}
# The last finished batches that stay in sight: with header and prompt they fit the 24 lines of the smallest terminal.
_LINES_OF_PROGRESS = 8
# Columns where there is no terminal to ask: no table is as wide, so that none is folded in a file.
_PIPE_WIDTH = 1000


# Columns from which the progress shows budgets: those of the smallest terminal.
_WIDE = 80
# Letters of the name of a solver that still say which one it is.
_LEGIBLE = 6

_STYLED = 500
"""Rows up to which a table has colours: rich takes a millisecond a row, and nobody looks at the colours of more."""


def _console(stderr: bool) -> Console:
    console = Console(stderr=stderr, highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = _PIPE_WIDTH
    return console


def _shown(text: str) -> str:
    """A text as standard output shows it, so that what is laid out has the widths that are written."""
    return spelled(printable(text))


def _as_written(sheet: Sheet) -> Sheet:
    """The sheet with its headings and cells as standard output shows them."""
    told = dict(zip(sheet.headings, map(_shown, sheet.headings), strict=True))
    return dataclasses.replace(
        sheet,
        headings=tuple(told.values()),
        names=frozenset(told[name] for name in sheet.names & told.keys()),
        rows=tuple(tuple("\n".join(map(_shown, text.split("\n"))) for text in row) for row in sheet.rows),
        spare=tuple(told[name] for name in sheet.spare if name in told),
        prose=told.get(sheet.prose or ""),
    )


class Screen:
    """What a command prints: results on standard output, notes and progress on standard error."""

    def __init__(self, *, quiet: bool = False, data: bool = False) -> None:
        self.quiet = quiet
        self.data = data
        self._out = _console(stderr=False)
        self._err = _console(stderr=True)

    @property
    def width(self) -> int:
        """Columns of standard output."""
        return self._out.width

    def line(self, text: str = "", style: str = "") -> None:
        """One line of the result, not shown with --quiet or --json."""
        self._print(Text(_shown(text), style=style))

    def sheet(self, sheet: Sheet) -> None:
        """A table of the result and its caption."""
        tables, padding = fitted(_as_written(sheet), self._out.width - 1, cell_len)
        if len(sheet.rows) > _STYLED and len(tables) == 1 and not (self.quiet or self.data):
            emit(_unstyled(tables[0], padding))
        else:
            for place, table in enumerate(tables):
                self._print(Padding(_table(table, padding), (1 if place else 0, 0, 0, 1)))
        if tables[-1].caption:
            self._print(Text(f" {_shown(tables[-1].caption)}", style="dim"))

    def pairs(self, rows: Sequence[tuple[str, str]]) -> None:
        """Lines of a name and what it is, aligned; paths and commands are never broken, they are there to be copied."""
        width = max((len(name) for name, _ in rows), default=0)
        for name, text in rows:
            lines, first = [_shown(text)], text.partition(" ")[0]
            if first != "nashgames" and os.sep not in first:
                room = max(self._out.width - width - 4, _LEGIBLE)
                lines = textwrap.wrap(lines[0], room, break_long_words=False, break_on_hyphens=False) or lines
            for place, line in enumerate(lines):
                told = "" if place else name
                self._print(Text.assemble((f" {told:<{width}}   ", "dim"), line), soft_wrap=True)

    def note(self, text: str) -> None:
        """A remark on standard error, not shown with --quiet."""
        if not self.quiet:
            self._err.print(Text(printable(text), style="dim"), soft_wrap=not self._err.is_terminal)

    def _print(self, renderable: RenderableType, soft_wrap: bool = False) -> None:
        if self.quiet or self.data:
            return
        with self._out.capture() as captured:
            self._out.print(renderable, soft_wrap=soft_wrap)
        emit("\n".join(line.rstrip() for line in captured.get().removesuffix("\n").split("\n")))


class Working(Screen):
    """The screen of a command that takes long: a live line says what it is doing."""

    def __init__(self, *, quiet: bool = False, data: bool = False) -> None:
        super().__init__(quiet=quiet, data=data)
        self._waiting = "preparing"
        self._live: Live | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()

    def wait(self, what: str) -> None:
        """Say what is computed next."""
        self._waiting = what
        self._refresh()

    def clear(self) -> None:
        """Take the progress off the terminal."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def note(self, text: str) -> None:
        self.clear()
        super().note(text)

    def _lines(self) -> list[Text]:
        return [Text(f"{self._waiting}…", style="dim")]

    def _refresh(self) -> None:
        if self.quiet or not self._err.is_terminal:
            return
        if self._live is None:
            self._live = Live(
                console=self._err, transient=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
            )
            self._live.start()
        self._live.update(Group(*self._lines()), refresh=True)

    def _print(self, renderable: RenderableType, soft_wrap: bool = False) -> None:
        # Both streams are often one terminal: the live lines go away before anything else is printed there.
        self.clear()
        super()._print(renderable, soft_wrap)


class Progress(Working):
    """The screen of a running experiment, driven only by the runner's events.

    On a terminal one live line per batch; elsewhere one plain line per finished batch, on standard error.
    """

    def __init__(self, experiment: "Experiment", *, quiet: bool = False, data: bool = False) -> None:
        super().__init__(quiet=quiet, data=data)
        self.finished_runs = 0
        self.planned: Planned | None = None
        self._experiment = experiment
        self._header_shown = False
        self._ready: tuple[int, str | None, Facts | None] | None = None
        self._finished: deque[tuple[str, ...]] = deque(maxlen=_LINES_OF_PROGRESS)
        self._current: tuple[str, ...] | None = None
        self._noted: set[str] = set()
        self._refereed = 0
        self._clock = _Clock()
        self._labels: dict[str, str] = {}

    def show(self, event: "Event") -> None:
        """Show one event of the runner; `Finished` only clears the progress."""
        signals.check()
        handlers: dict[str, Callable[[Any], None]] = {
            "Planned": self._on_planned,
            "GameReady": self._on_game,
            "Refereed": self._on_refereed,
            "Advanced": self._on_advanced,
            "BatchFinished": self._on_batch,
            "PlayedElsewhere": self._on_elsewhere,
            "Waiting": lambda waiting: self.wait(_waiting(waiting.batches)),
            "Noted": self._on_note,
            "Finished": lambda finished: self.clear(),
        }
        if self._ready is not None and type(event).__name__ not in ("GameReady", "Noted"):
            # Only after the reference is read: if it is invalid, the error is all that is printed.
            ready, self._ready = self._ready, None
            self.header(*ready)
        handlers[type(event).__name__](event)

    def header(self, actions: int | None, reference: str | None, facts: "Facts | None" = None) -> None:
        """The experiment in one line, once; of its game `actions`, `reference` and `facts`, None where it varies."""
        if self._header_shown:
            return
        self._header_shown = True
        tried = None if self.planned is None else self.planned.tried
        self.line(words.header(self._experiment, actions, reference, tried=tried), style="bold")
        if facts is not None:
            self.line(words.facts(facts), style="dim")

    def _on_planned(self, planned: "Planned") -> None:
        self.planned = planned
        self._refereed = 0
        self._clock, self._labels = _Clock(), {}
        if len(self._experiment.every("game")) > 1 or len(self._experiment.every("actions")) > 1:
            self.header(None, None)
        if planned.batches:
            batches = "1 batch" if planned.batches == 1 else f"{planned.batches} batches"
            runs = words.plural(planned.runs - planned.reused, "run")
            self.wait(f"steps are tried in {batches}" if planned.tuning else f"{runs} in {batches}")

    def _on_game(self, ready: "GameReady") -> None:
        log_reference = ready.game.log_reference
        uniform = self._experiment.every("reference") == ("own",) and log_reference.min() == log_reference.max()
        self._ready = (ready.game.actions, "uniform" if uniform else None, ready.facts)
        for note in ready.notes:
            self.note(note)
        self.wait(f"{ready.title}: exact equilibrium{self._of_equilibria()}")

    def _on_note(self, noted: "Noted") -> None:
        # Trials and reported runs play the same games, whose notes are read once.
        if noted.text not in self._noted:
            self._noted.add(noted.text)
            self.note(noted.text)

    def _on_refereed(self, refereed: "Refereed") -> None:
        self._refereed += 1
        self.wait(f"{refereed.title}: exact equilibrium at β {words.number(refereed.beta)}{self._of_equilibria()}")

    def _of_equilibria(self) -> str:
        """How many equilibria are done of all."""
        every = 0 if self.planned is None else self.planned.equilibria
        return f", {words.count(self._refereed)} of {words.count(every)} done" if every > 1 else ""

    def _on_advanced(self, advanced: "Advanced") -> None:
        label = _label(advanced.label, advanced.betas)
        position = f"{advanced.batch}/{advanced.batches}"
        self._labels[position] = f"{label} · {words.plural(advanced.runs, 'run')}" if advanced.runs > 1 else label
        self._current = (
            position,
            self._labels[position],
            f"{words.count(advanced.queries)} of {words.count(advanced.budget)}",
            words.small(advanced.distance),
            f"≤ {words.duration(advanced.seconds_left)}",
        )
        self._refresh()

    def _on_batch(self, batch: "BatchFinished") -> None:
        self.finished_runs += len(batch.runs)
        if not len(batch.runs):
            return
        labels = list(dict.fromkeys(batch.runs["label"]))
        played = labels[0] if len(labels) == 1 else f"{labels[0]} and {len(labels) - 1} more"
        # Of workers another batch may have told last.
        position = f"{batch.batch}/{batch.batches}"
        label = self._labels.pop(position, played)
        queries = words.count(float(batch.runs["queries"].max()))
        suboptimality = words.small(float(batch.runs["suboptimality"].max()))
        self._finished.append((position, label, queries, suboptimality, "done"))
        left = self._clock.left(batch.batch, batch.batches)
        # The reported runs follow, whose batches are counted anew.
        trials = self.planned is not None and self.planned.tuning
        if not self._err.is_terminal and batch.batches > 1:
            told = f"; about {words.duration(left)} left" if batch.batch < batch.batches else ""
            reached = f"{queries} queries, suboptimality {suboptimality}"
            told += " for the trials" if told and trials else ""
            name = "batch of trials" if trials else "batch"
            self.note(f"{name} {batch.batch} of {batch.batches}: {label}, {reached}{told}")
        more = f"compiling; about {words.duration(left)} left {'for the trials' if trials else 'in all'}"
        last = "choosing steps" if trials else "writing the files"
        self.wait(more if batch.batch < batch.batches else last)

    def _on_elsewhere(self, played: "PlayedElsewhere") -> None:
        self.finished_runs += played.runs
        self._finished.append((f"{played.batch}/{played.batches}", "played by another command", "", "", "done"))
        self.wait("looking for what is left")

    def wait(self, what: str) -> None:
        """Say what is computed next; the batch before is done."""
        self._current = None
        super().wait(what)

    def _lines(self) -> list[Text]:
        rows = [*self._finished, *([] if self._current is None else [self._current])]
        lines = [Text(_progress_line(row, self._err.width), style="dim") for row in rows]
        if lines:
            # Whatever the runs stop by: at β = 0 it is the exploitability.
            headings = ("", "batch", "queries", "subopt.", "time left")
            lines.insert(0, Text(_progress_line(headings, self._err.width), style="bold"))
        return lines if self._current is not None else [*lines, *super()._lines()]


class _Clock:
    """An estimate of the time left, from the batches that are done."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def left(self, done: int, batches: int) -> float:
        """Seconds to the end of all batches, of which some are done."""
        return (time.monotonic() - self._began) / done * (batches - done)


def _waiting(batches: int) -> str:
    """What is waited for where others play what is left."""
    last = "the last batch" if batches == 1 else f"the last {words.count(batches)} batches"
    return f"waiting for {last}, which another command plays"


def _label(label: str, betas: tuple[float, ...]) -> str:
    """What a batch plays, with its β."""
    return f"{label} · β {words.series(betas)}" if betas else label


def _progress_line(row: tuple[str, ...], width: int) -> str:
    """A batch in one line: its name gives way where the terminal is narrow, its numbers stay in their columns."""
    position, label, queries, suboptimality, left = row
    # On narrow terminals the budget goes first: `1,200 of 20,000` is 16 letters wide.
    queries = f"{queries:>16}" if width >= _WIDE else f"{queries.partition(' of ')[0]:>9}"
    numbers = f"{queries}  {suboptimality:>8}  {left:<12}"
    room = max(width - len(position) - len(numbers) - 5, 8)
    return f"{position}  {_shortened(label, room):<{room}}  {numbers}".rstrip()


def _shortened(label: str, room: int) -> str:
    """What a batch plays in so many letters: the end of the game's name gives way, and the β behind it stays."""
    if len(label) <= room:
        return label
    played, dot, beta = label.rpartition(" · β ")
    left = room - len(dot) - len(beta) - 1
    return f"{played[:left]}…{dot}{beta}" if dot and left >= _LEGIBLE else f"{label[: room - 1]}…"


def _unstyled(sheet: Sheet, padding: int) -> str:
    """The lines of `_table` without colours, at once."""
    lines = [cells for row in (sheet.headings, *sheet.rows) for cells in _lines_of(row)]
    widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]

    def placed(text: str, place: int) -> str:
        blanks = " " * (widths[place] - cell_len(text))
        return text + blanks if sheet.headings[place] in sheet.names else blanks + text

    gap = " " * padding
    return "\n".join(f" {gap.join(placed(text, at) for at, text in enumerate(cells))}".rstrip() for cells in lines)


def _lines_of(row: Sequence[str]) -> list[tuple[str, ...]]:
    """A row of cells as the lines that it takes."""
    return list(itertools.zip_longest(*(cell.split("\n") for cell in row), fillvalue=""))


def _table(sheet: Sheet, padding: int) -> Table:
    """A table that fits: names to the left, numbers to the right, and no cell is broken but where it says so."""
    table = Table(box=None, pad_edge=False, padding=(0, padding, 0, 0), header_style="bold")
    for heading in sheet.headings:
        table.add_column(heading, justify="left" if heading in sheet.names else "right", no_wrap=True, overflow="fold")
    for row in sheet.rows:
        table.add_row(*(Text(cell, style=_STATUS_STYLES.get(cell.split(" ")[-1], "")) for cell in row))
    return table
