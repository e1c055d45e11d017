"""`nashgames plot`."""

import json as json_text
from pathlib import Path

from nashgames.cli import options


def plot(
    directory: Path, y: str | None, formats: list[str] | None, out: str | None, *, json: bool, quiet: bool
) -> None:
    """Draw the figures of a results directory and say where they are."""
    from nashgames.cli import drawing
    from nashgames.cli.display import Screen
    from nashgames.cli.streams import emit

    if y is not None:
        options.among("y", [y])
    chosen = formats_of(formats)
    folder = options.output_directory(out)
    screen = Screen(quiet=quiet, data=json)
    written = drawing.draw(directory, out=folder, formats=chosen, distance=y)
    if json:
        emit(json_text.dumps({"directory": str(folder or directory), "figures": [str(path) for path in written]}))
    elif quiet:
        emit(str(folder or directory))
    screen.pairs([("figure", str(path)) for path in written])


def formats_of(texts: list[str] | None) -> list[str]:
    """The values of --format, each once; PNG and SVG unless given."""
    from nashgames.cli.drawing import FORMATS

    if texts is None:
        return list(FORMATS)
    chosen = options.listed("format", texts)
    options.among("format", chosen)
    return list(dict.fromkeys(chosen))
