"""Everything that rich draws: the live progress, the tables, the lists. Nothing else in the package imports rich."""

from collections import deque
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from nashgames.cli import words
from nashgames.cli.streams import emit
from nashgames.cli.summary import Sheet

_STATUS_STYLES = {"converged": "green", "budget": "yellow", "diverged": "red"}
_LINES_OF_PROGRESS = 8
_PIPE_WIDTH = 1000


def _console(stderr: bool) -> Console:
    console = Console(stderr=stderr, highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = _PIPE_WIDTH
    return console


class Screen:
    """What a command prints: results on standard output, everything that passes on standard error."""

    def __init__(self, *, quiet: bool = False, data: bool = False) -> None:
        self.quiet = quiet
        self.data = data
        self._out = _console(stderr=False)
        self._err = _console(stderr=True)

    def line(self, text: str = "", style: str = "") -> None:
        """One line of the result, not shown with --quiet or --json."""
        self._print(Text(text, style=style))

    def sheet(self, sheet: Sheet) -> None:
        """A table of the result and its caption."""
        self._print(Padding(_table(sheet), (0, 0, 0, 1)))
        if sheet.caption:
            self._print(Text(f" {sheet.caption}", style="dim"))

    def pairs(self, rows: Sequence[tuple[str, str]]) -> None:
        """Lines of a name and what it is, aligned; never cut, because paths and commands are there to be copied."""
        width = max((len(name) for name, _ in rows), default=0)
        for name, text in rows:
            self._print(Text.assemble((f" {name:<{width}}   ", "dim"), text), soft_wrap=True)

    def note(self, text: str) -> None:
        """A remark on standard error, not shown with --quiet."""
        if not self.quiet:
            self._err.print(Text(text, style="dim"), soft_wrap=True)

    def _print(self, renderable: RenderableType, soft_wrap: bool = False) -> None:
        if self.quiet or self.data:
            return
        with self._out.capture() as captured:
            self._out.print(renderable, soft_wrap=soft_wrap)
        emit("\n".join(line.rstrip() for line in captured.get().removesuffix("\n").split("\n")))


class Progress(Screen):
    """The screen of a running experiment, driven only by the runner's events."""

    def __init__(self, experiment: Any, *, quiet: bool = False, data: bool = False) -> None:
        super().__init__(quiet=quiet, data=data)
        self.finished_runs = 0
        self.planned: Any = None
        self._experiment = experiment
        self._header_shown = False
        self._waiting = "preparing"
        self._finished: deque[tuple[str, ...]] = deque(maxlen=_LINES_OF_PROGRESS)
        self._current: tuple[str, ...] | None = None
        self._live: Live | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()

    def show(self, event: Any) -> None:
        """Show one event of the runner; `Finished` only clears the progress."""
        handlers = {
            "Planned": self._on_planned,
            "GameReady": self._on_game,
            "Refereed": self._on_refereed,
            "Advanced": self._on_advanced,
            "BatchFinished": self._on_batch,
            "Noted": lambda noted: self._above(lambda: self.note(noted.text)),
            "Finished": lambda finished: self.clear(),
        }
        handlers[type(event).__name__](event)

    def header(self, actions: int | None = None, facts: Any = None) -> None:
        """The experiment in one line, once; of its one game the number of `actions` and the `facts`."""
        if self._header_shown:
            return
        self._header_shown = True
        self.line(words.header(self._experiment, actions), style="bold")
        if facts is not None:
            self.line(words.facts(facts), style="dim")

    def _on_planned(self, planned: Any) -> None:
        self.planned = planned
        if len(self._experiment.game) > 1 or len(self._experiment.actions) > 1:
            self.header()
        if planned.runs > planned.reused:
            batches = "1 batch" if planned.batches == 1 else f"{planned.batches} batches"
            self.wait(f"{words.plural(planned.runs - planned.reused, 'run')} in {batches}")

    def _on_game(self, ready: Any) -> None:
        self._above(lambda: self.header(ready.game.actions, ready.facts))
        for note in ready.notes:
            self._above(lambda note=note: self.note(note))
        self.wait(f"{ready.title}: exact equilibrium")

    def _on_refereed(self, refereed: Any) -> None:
        self.wait(f"{refereed.title}: exact equilibrium at β {words.number(refereed.beta)}")

    def _on_advanced(self, advanced: Any) -> None:
        self._current = (
            f"{advanced.batch}/{advanced.batches}",
            advanced.label,
            f"{words.count(advanced.active)} of {words.plural(advanced.runs, 'run')}",
            f"{words.count(advanced.queries)} of {words.count(advanced.budget)} queries",
            words.small(advanced.suboptimality),
            f"at most {words.duration(advanced.seconds_left)} left",
        )
        self._refresh()

    def _on_batch(self, batch: Any) -> None:
        self.finished_runs += len(batch.runs)
        rows = batch.runs
        self._finished.append(
            (
                f"{batch.batch}/{batch.batches}",
                self._current[1] if self._current else ", ".join(dict.fromkeys(rows["label"])),
                words.plural(len(rows), "run"),
                f"{words.count(float(rows['queries'].max()))} queries",
                words.small(float(rows["suboptimality"].max())),
                "done",
            )
        )
        self._current = None
        self._waiting = "compiling" if batch.batch < batch.batches else "writing the files"
        self._refresh()

    def _refresh(self) -> None:
        if self.quiet or not self._err.is_terminal:
            return
        table = Table.grid(padding=(0, 2))
        table.add_column(style="dim")
        table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
        for _ in range(3):
            table.add_column(justify="right", no_wrap=True)
        table.add_column(style="dim", no_wrap=True)
        for row in self._finished:
            table.add_row(*row, style="dim")
        if self._current is not None:
            table.add_row(*self._current)
        parts: list[RenderableType] = [table]
        if self._current is None:
            parts.append(Text(f"{self._waiting}…", style="dim"))
        if self._live is None:
            self._live = Live(
                console=self._err, transient=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
            )
            self._live.start()
        self._live.update(Group(*parts), refresh=True)

    def wait(self, what: str) -> None:
        """Say what the next seconds are for."""
        self._waiting = what
        self._current = None
        self._refresh()

    def clear(self) -> None:
        """Take the progress off the terminal."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _above(self, print_lines: Any) -> None:
        """Print while the live lines are away, so that the two streams of one terminal do not overwrite each other."""
        self.clear()
        print_lines()


def _table(sheet: Sheet) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    for heading in sheet.headings:
        is_name = heading in sheet.names
        table.add_column(heading, justify="left" if is_name else "right", no_wrap=not is_name, overflow="fold")
    for row in sheet.rows:
        cells = [Text(cell, style=_STATUS_STYLES.get(cell.split(" ")[-1], "")) for cell in row]
        table.add_row(*cells)
    return table
