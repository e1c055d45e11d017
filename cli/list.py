"""`nashgames list`: the names that options accept."""

import json as json_text
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from nashgames.cli import words
from nashgames.cli.sheet import Sheet, plain
from nashgames.errors import unknown

if TYPE_CHECKING:
    from nashgames.registry import Parameter, Registry

Entry = dict[str, Any]

_OF_EVERY_FAMILY = {"contexts": 1, "weights": "uniform", "seed": None, "draws": "nested"}
_EVERY_FAMILY = (
    "Families that draw at random also take contexts = 1, weights = uniform (or drawn),",
    "seed (the run's) and draws = nested (or independent).",
)


def catalogue(what: str | None, *, json: bool) -> None:
    """List the names of one kind, or of all."""
    from nashgames.cli.display import Screen
    from nashgames.cli.streams import emit

    if what is not None and what not in LISTS:
        raise unknown("kind of names", what, LISTS)
    entries = {kind: LISTS[kind][1]() for kind in (LISTS if what is None else (what,))}
    if json:
        emit(json_text.dumps(entries, allow_nan=False))
        return
    screen = Screen()
    for position, (kind, found) in enumerate(entries.items()):
        if position:
            screen.line()
        rows = tuple((entry["name"], _described(entry, in_full=what is not None)) for entry in found)
        heading = LISTS[kind][0]
        headings = (heading, "description")
        screen.sheet(Sheet(headings, frozenset(headings), rows, prose="description"))
        if kind == "games":
            for line in _EVERY_FAMILY:
                screen.line(f" {line}", style="dim")


def _games() -> list[Entry]:
    from nashgames.games.families import FAMILIES
    from nashgames.games.tables import PARAMETERS, TABLES
    from nashgames.games.users import GAMES

    families = [entry_of(name, family.summary, family.parameters) for name, family in FAMILIES.items()]
    tables = [entry_of(name, table.summary, table.parameters) for name, table in TABLES.items()]
    own = entry_of("PATH", "A square matrix or a table of wins or scores: CSV, Parquet, NPY", PARAMETERS)
    return [
        *families,
        *tables,
        *_brought(GAMES),
        own,
        entry_of("FILE.py:NAME", "A game made by a Python file of yours", {}),
    ]


def _references() -> list[Entry]:
    from nashgames.learning.references import REFERENCES

    named = [entry_of(name, reference.summary, reference.parameters) for name, reference in REFERENCES.items()]
    return [*named, entry_of("PATH", "A table with the columns probability and label or action", {})]


def _solvers() -> list[Entry]:
    from nashgames.solvers import SOLVERS, WRAPPERS

    wrappers = [
        entry_of(f"{name}[{_wrapped(wrapper)}]", wrapper.__doc__ or "", {}) for name, wrapper in WRAPPERS.items()
    ]
    own = entry_of("FILE.py:NAME", "A solver in a Python file of yours; test it with: nashgames check FILE.py:NAME", {})
    return [*_registered(SOLVERS), *wrappers, *_brought(SOLVERS), own]


def _feedback() -> list[Entry]:
    from nashgames.learning.feedback import FEEDBACKS

    return [*_registered(FEEDBACKS), *_brought(FEEDBACKS)]


def _policies() -> list[Entry]:
    from nashgames.learning.policies import POLICIES

    return [*_registered(POLICIES), *_brought(POLICIES)]


def _optimisers() -> list[Entry]:
    from nashgames.learning.optimisers import OPTIMISERS

    return [*_registered(OPTIMISERS), *_brought(OPTIMISERS)]


def _storages() -> list[Entry]:
    from nashgames.core.margins import STORAGES
    from nashgames.defaults import AUTO
    from nashgames.games.families.storing import LARGEST_DENSE

    auto = f"Dense up to {LARGEST_DENSE:,} actions; beyond, by the formula of the margins, packed where there is none."
    kept = [{"name": name, "summary": (kind.__doc__ or "").partition("\n")[0]} for name, kind in STORAGES.items()]
    return [{"name": AUTO, "summary": auto}, *kept]


def _metrics() -> list[Entry]:
    from nashgames.core.metrics import every

    return [{"name": name, "summary": f"{metric.help}."} for name, metric in every().items()]


def _figures() -> list[Entry]:
    from nashgames.plots import FIGURES

    return [
        {"name": name, "summary": f"{figure.help[0].upper()}{figure.help[1:]}."} for name, figure in FIGURES.items()
    ]


def _presets() -> list[Entry]:
    from nashgames.experiments.experiment import presets, summary

    return [{"name": name, "summary": summary(name)} for name in presets()]


LISTS: Mapping[str, tuple[str, Callable[[], list[Entry]]]] = {
    "games": ("game", _games),
    "solvers": ("solver", _solvers),
    "references": ("reference", _references),
    "feedback": ("feedback", _feedback),
    "policies": ("policy", _policies),
    "optimisers": ("optimiser", _optimisers),
    "storages": ("storage", _storages),
    "metrics": ("metric", _metrics),
    "figures": ("figure", _figures),
    "presets": ("preset", _presets),
}
"""Every list: what one of its entries is called, and how they are found."""


def _wrapped(wrapper: type[Any]) -> str:
    """What a wrapper is written around: any solver, or the one that its field names."""
    inner = typing.get_type_hints(wrapper)["solver"]
    return str(getattr(inner, "name", "SOLVER")) if isinstance(getattr(inner, "name", None), str) else "SOLVER"


def _registered(registry: "Registry") -> list[Entry]:
    """The entries of this package."""
    return [entry_of(name, entry.__doc__ or "", registry.parameters(entry)) for name, entry in registry.items()]


def _brought(registry: "Registry") -> list[Entry]:
    """The entry points of installed packages; nothing of them is imported."""
    return [
        {"name": name, "summary": f"From the package {point.value.partition('.')[0].partition(':')[0]}."}
        for name, point in registry.packaged().items()
    ]


def entry_of(name: str, text: str, parameters: "Mapping[str, Parameter]") -> Entry:
    """What is listed of an item: its name, the first line of its text and its parameters."""
    first = text.strip().partition("\n")[0].rstrip(":;,. ")
    return {
        "name": name,
        "summary": f"{first}.",
        "parameters": [
            {"name": p.name, "kind": p.kind.__name__, "default": plain(p.default), "help": p.help}
            for p in parameters.values()
        ],
    }


def _described(entry: Mapping[str, Any], *, in_full: bool) -> str:
    """The summary of an entry and, in full, a line for each of its parameters."""
    lines = [entry["summary"]]
    parameters: Iterable[Mapping[str, Any]] = entry.get("parameters", ()) if in_full else ()
    for parameter in parameters:
        usual = _OF_EVERY_FAMILY.get(parameter["name"], parameter)
        if usual != parameter["default"]:
            default = "" if parameter["default"] is None else f" = {default_of(parameter['default'])}"
            lines.append(f"  {parameter['name']}{default}: {parameter['help']}")
    return "\n".join(lines)


def default_of(value: Any) -> str:
    """The default of a parameter as it is written; nothing where it depends on the game."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return words.number(value) if isinstance(value, float) else str(value)
