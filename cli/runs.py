"""`nashgames runs`: what is in results directories, a row a run."""

import json as json_text
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nashgames.cli import options, words
from nashgames.cli.sheet import CELL, NAMES, VARIANTS, Sheet, cell_text, heading, plain, records, varies
from nashgames.errors import unknown

if TYPE_CHECKING:
    import pandas as pd

    from nashgames.analysis.gather import Gathered

FAILED = ("failed", "timeout", "diverged")
"""How a run ends that failed: by an error, out of time, or by numbers that stopped being finite."""

_MOST = 40
"""Rows that are shown there unless asked otherwise: two screens."""

_ALWAYS = ("game", "n", "beta", "seed")
_NAMES = NAMES | {"directory", "role"}


def runs(
    directories: Sequence[Path],
    where: str | None,
    sort: Sequence[str] | None,
    limit: str | None,
    *,
    failed: bool,
    last: bool,
    json: bool,
) -> None:
    """Show the runs of these directories as a table, or as data."""
    import pandas as pd

    from nashgames.analysis.gather import Gathered
    from nashgames.cli import payload
    from nashgames.cli.display import Screen
    from nashgames.cli.streams import emit
    from nashgames.experiments.values import READERS

    keys = [] if sort is None else options.listed("sort", sort)
    with options.in_flags({"where": where, "sort": sort, "limit": limit}):
        most = None if limit is None else READERS["seeds"]("limit", limit)
        gathered = Gathered(directories, where, last=last)
        found = gathered.runs
        if len(gathered.failures):
            found = pd.concat([found, gathered.failures.reindex(columns=[*found, "reason"])], ignore_index=True)
        if failed:
            found = found[found["status"].isin(FAILED)]
        found = _sorted(found, keys)
    shown = found if most is None else found.head(most)
    if json:
        rows = payload.payload(shown)
        if "directory" in shown:
            rows = [{"directory": place, **row} for place, row in zip(shown["directory"], rows, strict=True)]
        emit(json_text.dumps({"directories": [str(one) for one in directories], "count": len(found), "runs": rows}))
        return
    if most is None and _on_a_terminal():
        shown = found.head(_MOST)
    screen = Screen()
    if len(shown):
        screen.sheet(table(shown))
    for line in _told(gathered, found, len(shown), where=where, failed=failed):
        screen.line(f" {line}", style="dim")


def _on_a_terminal() -> bool:
    return sys.stdout.isatty()


def _sorted(runs: "pd.DataFrame", keys: Sequence[str]) -> "pd.DataFrame":
    """The runs in the order of these columns, `-beta` for a falling one; missing numbers come last."""
    names = [key.removeprefix("-") for key in keys]
    for name in names:
        if name not in runs:
            raise unknown("sort", name, [str(column) for column in runs])
    return runs.sort_values(names, ascending=[not key.startswith("-") for key in keys], kind="stable") if keys else runs


def table(runs: "pd.DataFrame") -> Sheet:
    """The runs in their order, a row each: what was played, how it ended, and the last value of what it stops by."""
    from nashgames.analysis import outcomes
    from nashgames.core.metrics import METRICS, STOPPING_COLUMN

    runs = outcomes.complete(runs)
    cell = [key for key in CELL if key in _ALWAYS or varies(runs[key])]
    extra = [key for key in ("directory", "role") if key in runs and varies(runs[key])]
    targets = runs["target"].unique()
    final = METRICS[STOPPING_COLUMN[targets[0]]].label if len(targets) == 1 else "final value"
    costs = ["queries"] + (["comparisons"] if runs["comparisons"].fillna(0).any() else [])
    rows = tuple(
        (
            *(str(row[key]) for key in extra),
            *(cell_text(key, row[key]) for key in cell),
            row["label"],
            row["status"],
            *(words.count(plain(row[cost])) for cost in costs),
            words.small(plain(row[STOPPING_COLUMN[row["target"]]])),
        )
        for row in records(runs)
    )
    headings = (*extra, *map(heading, cell), "solver", "status", *costs, final)
    return Sheet(headings, _NAMES, rows, spare=("role", "reference", *VARIANTS))


def _told(gathered: "Gathered", found: "pd.DataFrame", shown: int, *, where: str | None, failed: bool) -> list[str]:
    """What the rows do not say: how many there are of which kind, and what the last commands have not finished."""
    if not len(found):
        condition = f' with "{where}"' if where is not None else ""
        lines = [f"no run failed{condition}" if failed else f"no run is here{condition}"]
    else:
        ended = [f"{words.count(int(count))} {status}" for status, count in found["status"].value_counts().items()]
        lines = [f"{words.plural(len(found), 'run')}: {' · '.join(ended)}"]
    if shown < len(found):
        lines.append(f"the first {words.count(shown)} are shown; --limit {len(found)} shows all")
    if "reason" in found:
        lines += [f"{words.count(int(count))}: {reason}" for reason, count in found["reason"].value_counts().items()]
    for results in gathered.results:
        asked = set(results.manifest["run_ids"])
        left = len(asked - results.finished)
        if left:
            of_all = words.plural(len(asked), "run")
            lines.append(f"{words.count(left)} of {of_all} of the last command in {results.directory} are not finished")
    return lines
