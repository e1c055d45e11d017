"""`nashgames check`: the contract of a solver, tested on small games."""

import json as json_text
import shlex

import typer

from nashgames.cli.failures import FAILED
from nashgames.cli.sheet import Sheet

_SAID = {True: "kept", False: "broken", None: "not tried"}


def check(selection: str, *, json: bool, quiet: bool) -> None:
    """Say which promises the solver keeps; ends the command with exit code 1 where one is broken."""
    from nashgames.cli import backend
    from nashgames.cli.display import Screen
    from nashgames.cli.streams import complain, emit

    screen = Screen(quiet=quiet, data=json)
    backend.start("cpu")
    from nashgames.solvers import make_solver
    from nashgames.verification.contract import check_solver

    findings = check_solver(make_solver(selection))
    if json:
        emit(json_text.dumps({"solver": selection, "promises": [vars(found) for found in findings]}))
    screen.line(selection, style="bold")
    rows = tuple((found.promise, _SAID[found.kept], found.seen) for found in findings)
    headings = ("promise", "result", "observed")
    screen.sheet(Sheet(headings, frozenset(headings), rows, prose="observed"))
    broken = [found for found in findings if found.kept is False]
    if broken:
        count = f"{len(broken)} of {len(findings)} promises of {selection} are broken"
        complain(f"{count}; the first: {broken[0].promise}: {broken[0].seen}")
        raise typer.Exit(FAILED)
    screen.line()
    beside = "mirror-descent" if selection.startswith("nash-mp") else "nash-mp"
    screen.pairs([("next", f"nashgames run --solver {beside},{shlex.quote(selection)}")])
