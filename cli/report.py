"""`nashgames report`: one page that shows a results directory, or several side by side."""

import json as json_text
from collections.abc import Sequence
from pathlib import Path

import typer

from nashgames.cli import options, signals, streams, words
from nashgames.errors import NashGamesError


def report(directories: Sequence[Path], out: str | None, *, json: bool, quiet: bool) -> None:
    """Make the page and say where it is; exit code 130 on Ctrl-C, which leaves the page of before."""
    from nashgames.cli import backend
    from nashgames.cli.display import Working

    place = _place(out)
    with Working(quiet=quiet, data=json) as screen:
        try:
            screen.wait("starting")
            backend.start("cpu")
            from nashgames.reporting import write

            written = write(directories, place, screen.wait)
            screen.clear()
        except KeyboardInterrupt:
            screen.clear()
            streams.complain("stopped before the page was made; start the same command again")
            raise typer.Exit(signals.exit_code()) from None
        if json:
            told = {"report": str(written.path), "directories": list(written.directories)}
            streams.emit(json_text.dumps(told | {"runs": written.runs, "bytes": written.size}))
        elif quiet:
            streams.emit(str(written.path))
        size = f"{written.size / 1e6:.1f} MB"
        screen.line(f"{' and '.join(written.directories)} · {words.plural(written.runs, 'run')}", style="bold")
        screen.pairs([("report", f"{written.path} ({size}); open it in a browser")])


def _place(out: str | None) -> Path | None:
    """The file behind --out; NashGamesError where it is empty, a folder, or none that a browser opens."""
    if out is None:
        return None
    path = Path(out)
    why = "is empty" if not out.strip() else f"is '{out}', a folder" if path.is_dir() else None
    if why is None and path.suffix.lower() not in (".html", ".htm"):
        why = f"is '{out}', which no browser opens"
    if why is not None:
        raise NashGamesError(f"--out {why}; accepted: {options.ACCEPTED['page']}")
    return path
