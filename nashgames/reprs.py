"""Notebook representations of objects, at most one screen, as text and as HTML (standard library only)."""

import html
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from nashgames.errors import printable

MOST_ROWS = 10
"""Rows of a table in a representation: with title and facts they fit a screen."""

# Half of a line of the narrowest terminal.
_LONGEST = 40


@dataclass(frozen=True)
class Panel:
    """A title, facts with their names, and a table of `headings` and `rows`, of which the first `MOST_ROWS` are shown.

    `more` is what is said of the rows that are not.
    """

    title: str
    facts: Sequence[tuple[str, str]] = ()
    headings: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    more: str = ""

    def text(self) -> str:
        """The panel as lines of text."""
        width = max((len(name) for name, _ in self.facts), default=0)
        lines = [self.title, *(f"  {name:<{width}}  {printable(fact)}" for name, fact in self.facts)]
        if self.rows:
            cells = [list(self.headings), *([_short(cell) for cell in row] for row in self.rows[:MOST_ROWS])]
            widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
            lines += ["  " + "  ".join(map(str.ljust, row, widths)).rstrip() for row in cells]
        return "\n".join([*lines, *([f"  {self.more}"] if self.more else [])])

    def html(self) -> str:
        """The panel as HTML, its text escaped."""
        facts = "".join(f"<tr><th>{_escaped(name)}</th><td>{_escaped(fact)}</td></tr>" for name, fact in self.facts)
        head = "".join(f"<th>{_escaped(heading)}</th>" for heading in self.headings)
        rows = "".join(
            f"<tr>{''.join(f'<td>{_escaped(_short(cell))}</td>' for cell in row)}</tr>" for row in self.rows[:MOST_ROWS]
        )
        parts = [f"<b>{_escaped(self.title)}</b>"]
        parts += [f"<table>{facts}</table>"] if facts else []
        parts += [f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"] if rows else []
        parts += [f"<small>{_escaped(self.more)}</small>"] if self.more else []
        return f"<div>{''.join(parts)}</div>"


class Live:
    """An output of a notebook's cell that is replaced when what it shows changes; outside a notebook nothing.

    `content` makes the HTML. IPython is asked only where a notebook has loaded it.
    """

    def __init__(self, content: Callable[[], str]) -> None:
        self._content = content
        ipython = sys.modules.get("IPython")
        shell = ipython.get_ipython() if ipython is not None else None
        # A terminal's IPython has no kernel, and would print a line for every change.
        self._handle = ipython.display.display(self, display_id=True) if ipython and hasattr(shell, "kernel") else None

    def refresh(self) -> None:
        """Show what it is now."""
        if self._handle is not None:
            self._handle.update(self)

    def _repr_html_(self) -> str:
        return self._content()


def _short(text: str) -> str:
    """A cell in one line."""
    line = printable(" ".join(text.split()))
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"


def _escaped(text: str) -> str:
    return html.escape(printable(text))
