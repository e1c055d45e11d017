"""`nashgames merge`: the runs of several directories in a new one."""

import json as json_text
from collections.abc import Sequence
from pathlib import Path

import typer

from nashgames.cli import options, streams, words
from nashgames.cli.failures import FAILED
from nashgames.errors import NashGamesError

# Conflicts that are named; --json has all.
_NAMED = 5


def merge(directories: Sequence[Path], out: str | None, *, json: bool) -> None:
    """Unite directories and say what came from each; exit code 1 where two have other rows of one run."""
    from nashgames.cli.display import Screen
    from nashgames.store.merging import merge as unite

    place = options.output_directory(out)
    if place is None:
        raise NashGamesError("merge writes a new directory and none is given; name it with --out")
    merged = unite(directories, place)
    if json:
        data = {"directory": str(place), "runs": merged.runs, "of_each": merged.of_each, "repeated": merged.repeated}
        streams.emit(json_text.dumps(data | {"conflicts": [list(one) for one in merged.conflicts]}))
    else:
        screen = Screen()
        rows = [(directory, words.plural(count, "run")) for directory, count in merged.of_each.items()]
        screen.pairs([*rows, ("in both", words.plural(merged.repeated, "run"))] if merged.repeated else rows)
        screen.line(f" {place} has {words.plural(merged.runs, 'run')}; draw them with: nashgames plot {place}")
    for run_id, kept, other in merged.conflicts[:_NAMED]:
        streams.complain(
            f"run {run_id} differs in '{other}' from '{kept}', whose rows are kept; check both with nashgames verify"
        )
    if len(merged.conflicts) > _NAMED:
        streams.complain(f"{words.plural(len(merged.conflicts) - _NAMED, 'more run')} differ; see --json")
    if merged.conflicts:
        raise typer.Exit(FAILED)
