"""`verify`: what computing a results directory again found, as a table, data, sentences and an exit code."""

import json as json_text
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from nashgames.cli import options, signals, streams, words
from nashgames.cli.failures import FAILED
from nashgames.cli.sheet import Sheet, plain
from nashgames.defaults import REPLAY

if TYPE_CHECKING:
    from nashgames.cli.display import Working
    from nashgames.verification import Mismatch, Report, Unverified

# Sentences of one kind, so that both kinds fit a terminal of 24 lines; --json has all.
_LISTED = 10


def verify(
    directory: Path,
    check_with: list[str] | None,
    replay: str | None,
    code: list[str] | None,
    *,
    json: bool,
    quiet: bool,
) -> None:
    """Verify a results directory and show how well it agrees; exit code 1 where it does not, 128 + n after signal n."""
    from nashgames.cli import backend
    from nashgames.cli.display import Working

    solvers = [] if check_with is None else options.listed("check_with", check_with)
    files = [] if code is None else list(code)
    share = REPLAY if replay is None else replay
    with Working(quiet=quiet, data=json) as screen:
        try:
            screen.wait("starting")
            backend.start("cpu")
            report = _verify(directory, solvers, share, files, screen)
            screen.clear()
        except KeyboardInterrupt:
            screen.clear()
            streams.complain("stopped before every run was verified; start the same command again")
            raise typer.Exit(signals.exit_code()) from None
        if json:
            streams.emit(json_text.dumps(_data(report), allow_nan=False))
        _show(report, screen)
    if not report.ok:
        for sentence in _complaints(report):
            streams.complain(sentence)
        raise typer.Exit(FAILED)


def _verify(directory: Path, check_with: list[str], replay: str, code: list[str], screen: "Working") -> "Report":
    from nashgames.verification import Replaying, Report, verify

    for event in verify(directory, check_with, replay=replay, code=code):
        if isinstance(event, Report):
            return event
        what = "played again" if isinstance(event, Replaying) else "verified"
        screen.wait(f"{words.count(event.done)} of {words.plural(event.runs, 'run')} {what}: {event.title}")
    raise RuntimeError("the verification ended without a report")


def _show(report: "Report", screen: "Working") -> None:
    runs = words.plural(report.runs, "run")
    screen.line(f"{report.directory} · {words.count(report.verified)} of {runs} verified", style="bold")
    screen.line()
    rows = tuple(
        (column.name, words.count(column.checked), words.small(column.relative), words.share(column.share))
        for column in report.columns.values()
    )
    headings = ("column", "checked", "largest deviation", "of the rounding bound")
    caption = "last points recomputed from the saved policies; deviations are relative to the value"
    screen.sheet(Sheet(headings, frozenset({"column"}), rows, caption))
    if report.without_distances:
        screen.line(
            f" {words.plural(report.without_distances, 'run')} without distances, not checked: "
            "the equilibrium could not be computed exactly",
            style="dim",
        )
    lines = [*_of_replay(report), *_not_checked(report)]
    for checked in report.external:
        lines.append((checked.solver, f"checked {words.count(checked.runs)} of {runs}"))
        lines += [("", f"not {words.count(count)}: {reason}") for reason, count in checked.reasons.items()]
    if lines:
        screen.line()
        screen.pairs(lines)


def _of_replay(report: "Report") -> list[tuple[str, str]]:
    """What was played again and how well it agrees, as lines of a list."""
    played = report.replayed
    if not played.asked:
        return []
    differing = len({found.run_id for found in report.mismatches if found.played})
    lines = [
        f"{words.count(played.runs)} of {words.plural(report.runs, 'run')}, drawn by a hash of the directory; "
        f"{words.count(played.equal)} reproduced bit for bit"
    ]
    near = played.runs - played.equal - differing
    if near:
        worst = max(played.columns.values(), key=lambda column: column.relative)
        lines.append(
            f"{words.count(near)} agree within rounding, at most {words.small(worst.relative)} off ({worst.name})"
        )
        lines.append(
            f"differing in: {', '.join(played.elsewhere)}"
            if played.elsewhere
            else "machine and versions are those of the manifest: the runs shared their batch with others, or last "
            "digits were changed"
        )
    if differing:
        lines.append(f"{words.count(differing)} differ")
        lines += [f"differing in: {', '.join(played.elsewhere)}"] if played.elsewhere and not near else []
    lines += [f"not {words.count(count)}: {reason}" for reason, count in played.reasons.items()]
    return [("played again" if not number else "", line) for number, line in enumerate(lines)]


def _not_checked(report: "Report") -> list[tuple[str, str]]:
    """What was not checked, as lines of a list."""
    from nashgames.verification import EFFORT

    left = report.runs - report.exact - report.replayed.runs
    lines = []
    if left:
        lines.append(
            f"earlier points of {words.plural(left, 'run')}, except that they fit each other and the planned steps; "
            "--replay all replays every run"
        )
    if report.unplanned:
        lines.append(
            f"which steps {words.plural(report.unplanned, 'run')} had to record: no experiment of theirs is there"
        )
    if report.unhashed:
        lines.append(f"the bytes of {', '.join(report.unhashed)}: written before the manifest kept hashes")
    if report.unchecked:
        lines.append(f"{', '.join(report.unchecked)} from the policies: verification has no formula of its own for it")
    lines.append(f"{', '.join(EFFORT)}: how a run was executed, not its result")
    return [("not checked" if not number else "", line) for number, line in enumerate(lines)]


def _complaints(report: "Report") -> list[str]:
    """A sentence for each of the first values that differ and runs that could not be verified, and what is missing."""
    sentences = [
        f"{fault}; restore what was written to '{report.directory}', or play its runs again" for fault in report.faults
    ]
    if report.incomplete is not None:
        sentences.append(f"{report.incomplete}; run the command again to complete them")
    sentences += [
        f"{_run(found)}: {found.column} is {_value(found.stored)} {_instead(found)}"
        for found in report.mismatches[:_LISTED]
    ]
    more = len(report.mismatches) - _LISTED
    if more > 0:
        differing = len({found.run_id for found in report.mismatches})
        sentences.append(
            f"{words.plural(more, 'more value')} differ, {words.plural(differing, 'run')} in all; see --json"
        )
    alike: dict[str, list[Unverified]] = {}
    for found in report.unverified.values():
        alike.setdefault(found.reason, []).append(found)
    for reason, runs in list(alike.items())[:_LISTED]:
        others = f" and {words.plural(len(runs) - 1, 'more run')}" if len(runs) > 1 else ""
        sentences.append(f"{_run(runs[0])}{others} cannot be verified: {reason}")
    if left := sum(map(len, list(alike.values())[_LISTED:])):
        sentences.append(f"{words.plural(left, 'more run')} cannot be verified; see --json")
    return sentences


def _instead(found: "Mismatch") -> str:
    """What a value differs from: a number of runs, a rule, or what was computed or played again."""
    if found.column.startswith("curves.") and " at step " not in found.column:
        return f"and {_value(found.recomputed)} in the table runs"
    if isinstance(found.recomputed, str) and not isinstance(found.stored, str):
        return f"and should be {found.recomputed}"
    return f"in the rows and {_value(found.recomputed)} {'played' if found.played else 'computed'} again"


def _run(found: "Mismatch | Unverified") -> str:
    return f"run {found.run_id} ({found.label} on {found.game} at β = {found.beta:g})"


def _value(value: Any) -> str:
    """A value with all the digits that a comparison needs."""
    if value is None:
        return "missing"
    return f"{value:.12g}" if isinstance(value, float) else f"'{value}'" if isinstance(value, str) else str(value)


def _data(report: "Report") -> dict[str, Any]:
    """The report for a program."""

    def entries(found: Any) -> list[dict[str, Any]]:
        return [{key: plain(value) for key, value in vars(one).items()} for one in found]

    return {
        "directory": str(report.directory),
        "ok": report.ok,
        "runs": report.runs,
        "verified": report.verified,
        "without_distances": report.without_distances,
        "incomplete": report.incomplete,
        "faults": report.faults,
        "unhashed": report.unhashed,
        "unplanned": report.unplanned,
        "replayed": vars(report.replayed)
        | {"columns": entries(report.replayed.columns.values()), "reasons": dict(report.replayed.reasons)},
        "unchecked": report.unchecked,
        "columns": entries(report.columns.values()),
        "mismatches": entries(report.mismatches),
        "unverified": entries(report.unverified.values()),
        "external": [
            {"solver": one.solver, "checked": one.runs, "reasons": dict(one.reasons)} for one in report.external
        ],
    }
