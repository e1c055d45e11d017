"""What the shell offers where a name is typed: the names of every registry, and the parameters in brackets.

A shell asks at every press of a key, so that the names are kept in the user's cache folder, where nothing heavy has to
be imported to read them.
"""

import json
import os
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

_GROUPS = tuple(f"nashgames.{kind}" for kind in ("games", "solvers", "feedbacks", "policies", "optimisers"))
"""Entry points of other packages, whose names are offered too."""

Names = Mapping[str, Mapping[str, list[str]]]
"""For every list the names in it, each with the names of its parameters."""

KINDS = (
    "games",
    "solvers",
    "references",
    "feedback",
    "policies",
    "optimisers",
    "storages",
    "metrics",
    "figures",
    "presets",
)
"""The kinds of names that can be listed."""

_LISTS: Mapping[str, tuple[str, ...]] = {
    "game": ("games",),
    "solver": ("solvers",),
    "reference": ("references",),
    "feedback": ("feedback",),
    "policy": ("policies",),
    "optimiser": ("optimisers",),
    "y": ("metrics",),
    "figure": ("figures",),
    "preset": ("presets",),
    "show": KINDS,
}
"""What is offered for the value of an option or an argument."""


def of(what: str) -> Callable[[str], list[str]]:
    """The function that completes values of this option, also the last of several with commas between them."""

    def complete(incomplete: str) -> list[str]:
        return offered(incomplete, names(), _LISTS[what])

    return complete


def words(*accepted: str) -> Callable[[str], list[str]]:
    """The function that completes one of a few words."""
    return lambda incomplete: [word for word in accepted if word.startswith(incomplete)]


def offered(incomplete: str, known: Names, lists: tuple[str, ...]) -> list[str]:
    """What `incomplete` may become: names, or after a bracket the parameters of the one before it."""
    depth, start = 0, 0
    for at, character in enumerate(incomplete):
        depth += (character == "[") - (character == "]")
        if character == "," and depth == 0:
            start = at + 1
    before, last = incomplete[:start], incomplete[start:]
    entries = {name: parameters for kind in lists for name, parameters in known[kind].items()}
    name, bracket, inside = last.partition("[")
    if not bracket:
        return [before + each for each in entries if each.startswith(last)]
    given, comma, current = inside.rpartition(",")
    head = f"{before}{name}[{given}{comma}"
    return [f"{head}{each}=" for each in entries.get(name, ()) if each.startswith(current)]


@cache
def names() -> Names:
    """All names, from the cache where it is of this code."""
    import platformdirs

    folder = Path(os.environ.get("NASHGAMES_NAMES", platformdirs.user_cache_dir("nashgames")))
    file, now = folder / "names.json", _state()
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
        if kept["of"] == now:
            found: Names = kept["names"]
            return found
    except (OSError, ValueError, KeyError, TypeError):
        pass  # There is no cache yet, or another program wrote it: it is made again.
    found = _found()
    try:
        from nashgames.disk import replace

        folder.mkdir(parents=True, exist_ok=True)
        replace(file, json.dumps({"of": now, "names": found}).encode())
    except OSError:
        pass  # Where nothing can be kept, completion is slow and right.
    return found


def _state() -> list[str | int]:
    """What the names depend on: the version, the newest file of the package, and what other packages offer."""
    from importlib import metadata

    package = Path(__file__).resolve().parent.parent / "nashgames"
    package = package if package.is_dir() else Path(__file__).resolve().parent.parent
    newest = max(path.stat().st_mtime_ns for path in package.rglob("*.py"))
    others = sorted(f"{group}:{p.name}" for group in _GROUPS for p in metadata.entry_points(group=group))
    return [metadata.version("nashgames"), newest, *others]


def _found() -> dict[str, dict[str, list[str]]]:
    from nashgames.cli.list import LISTS

    return {
        kind: {
            entry["name"].partition("[")[0]: [parameter["name"] for parameter in entry.get("parameters", ())]
            for entry in entries()
            if entry["name"] not in ("PATH", "FILE.py:NAME")
        }
        for kind, (_, entries) in LISTS.items()
    }
