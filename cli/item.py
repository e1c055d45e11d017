"""`nashgames show NAME` for names other than games: one item of any registry, its parameters and how it is used."""

import difflib
import inspect
import json as json_text
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nashgames.cli import hints
from nashgames.cli.list import LISTS, Entry, default_of, entry_of
from nashgames.cli.sheet import Sheet
from nashgames.errors import NashGamesError
from nashgames.plugins import from_file, is_file_name
from nashgames.registry import parse

if TYPE_CHECKING:
    from nashgames.cli.display import Screen

_WIDEST = 120
"""Letters of the longest lines of a docstring."""
# Lines of prose are broken between words near that: shorter ones end where they should.
_FULL = 90


def find(name: str) -> list[tuple[str, Entry]]:
    """What kinds of things a name without parameters is, but a game, each with its entry: `phases` is two."""
    if is_file_name(name):
        return _of_file(name)
    return [
        (called, entry)
        for kind, (called, entries) in LISTS.items()
        if kind != "games"
        for entry in entries()
        if entry["name"].partition("[")[0] == name
    ]


def _of_file(name: str) -> list[tuple[str, Entry]]:
    """The solver that `file.py:Name` names; nothing where that is a game."""
    from nashgames.solvers import SOLVERS

    if not hasattr(from_file("solver or game", name), "queries_per_step"):
        return []
    brought = SOLVERS.find(name)
    return [("solver", entry_of(name, brought.__doc__ or "", SOLVERS.parameters(brought)))]


def check(name: str) -> None:
    """Raise NashGamesError, with the nearest name of any kind, where a name is in no list."""
    names = [entry["name"].partition("[")[0] for _, entries in LISTS.values() for entry in entries()]
    if name not in names:
        kinds = [called for called, _ in LISTS.values()]
        nearest = difflib.get_close_matches(name, names, n=1)
        hint = f"; did you mean '{nearest[0]}'?" if nearest else ";"
        raise NashGamesError(
            f"there is no {', '.join(kinds[:-1])} or {kinds[-1]} '{name}'{hint} nashgames list says what there is"
        )


def check_parameters(selection: str, called: str) -> None:
    """Raise NashGamesError unless the parameters in the brackets of a selection are some that the item has."""
    from nashgames.learning.references import REFERENCES
    from nashgames.registry import Registry, bind
    from nashgames.solvers import WRAPPERS, make_solver

    chosen = parse(selection)
    registry: Mapping[str, Any] = {} if called == "preset" else _registry(called)
    if chosen == chosen.name or chosen.name in WRAPPERS:
        return
    if called == "solver":
        make_solver(selection)
    elif isinstance(registry, Registry):
        registry.choose(selection)
    else:
        bind(called, chosen, REFERENCES[chosen.name].parameters if called == "reference" else {})


def show(name: str, found: Sequence[tuple[str, Entry]], *, json: bool, quiet: bool) -> None:
    """Say what an item is, what its parameters mean, and how it is written; of several kinds one after the other."""
    from nashgames.cli.display import Screen
    from nashgames.cli.streams import emit

    texts = [_text(called, name) or str(entry["summary"]) for called, entry in found]
    if json:
        told = [{"kind": called, **entry, "text": text} for (called, entry), text in zip(found, texts, strict=True)]
        emit(json_text.dumps(told[0] | ({"others": told[1:]} if told[1:] else {}), allow_nan=False))
    screen = Screen(quiet=quiet, data=json)
    for place, ((called, entry), text) in enumerate(zip(found, texts, strict=True)):
        if place:
            screen.line()
        _show(called, entry, text, screen)


def _show(called: str, entry: Entry, text: str, screen: "Screen") -> None:
    screen.line(f"{entry['name']} · {called}", style="bold")
    for line in _flowing(text) if screen.width < _WIDEST else text.splitlines():
        screen.line(line)
    if parameters := entry.get("parameters", ()):
        screen.line()
        screen.sheet(_parameters(parameters))
    screen.line()
    screen.pairs([("write", hints.WRITTEN[called].format(name=_example(entry)))])


def _flowing(text: str) -> list[str]:
    """The lines of a text, of a paragraph of prose one, so that it is broken where the terminal ends."""
    lines = list[str]()
    for paragraph in text.split("\n\n"):
        parts = paragraph.split("\n")
        prose = all(len(part) >= _FULL and not part.startswith(" ") for part in parts[:-1])
        lines += ["", " ".join(parts)] if prose else ["", *parts]
    return lines[1:]


def _example(entry: Entry) -> str:
    """The item as it is written, quoted where the shell needs it."""
    name = entry["name"]
    return f"'{name}'" if "[" in name else str(name)


def _parameters(parameters: Any) -> Sheet:
    rows = tuple((each["name"], default_of(each["default"]), each["help"]) for each in parameters)
    headings = ("parameter", "default", "meaning")
    return Sheet(headings, frozenset(headings), rows, prose="meaning")


def _text(called: str, name: str) -> str:
    """The text about an item: its docstring, its help, or the file of a preset."""
    if called == "preset":
        from nashgames.experiments.experiment import presets

        return presets()[name].read_text(encoding="utf-8").strip()
    found = from_file(called, name) if is_file_name(name) else _registry(called).get(name)
    if found is None:
        return ""
    if called in ("metric", "figure"):
        return f"{found.help}."
    return inspect.getdoc(found) or "" if inspect.isclass(found) else str(found.summary)


def _registry(called: str) -> Mapping[str, Any]:
    from nashgames.core.margins import STORAGES
    from nashgames.core.metrics import every
    from nashgames.learning.feedback import FEEDBACKS
    from nashgames.learning.optimisers import OPTIMISERS
    from nashgames.learning.policies import POLICIES
    from nashgames.learning.references import REFERENCES
    from nashgames.plots import FIGURES
    from nashgames.solvers import SOLVERS, WRAPPERS

    solvers = {**SOLVERS, **WRAPPERS}
    kinds: dict[str, Mapping[str, Any]] = {"solver": solvers, "reference": REFERENCES, "metric": every()}
    kinds |= {
        "figure": FIGURES,
        "feedback": FEEDBACKS,
        "policy": POLICIES,
        "optimiser": OPTIMISERS,
        "storage": STORAGES,
    }
    return kinds[called]
