"""What can be chosen by name: registries of factories, whose parameters a text such as `disc[strength=2]` gives.

A parameter is declared once, where it is used, by its annotation: `Annotated[float | None, Number("η, the step",
above=0)] = None`. The names of all three modules can be imported from here.
"""

import inspect
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from nashgames import plugins
from nashgames.errors import NashGamesError, has_no, unknown
from nashgames.parameters import Choice, Number, Parameter, parameters_of
from nashgames.selections import (
    MOST_VALUES,
    Selection,
    expand,
    is_range,
    parse,
    render,
    split,
    values_of,
    wrapped,
)

__all__ = [
    "MOST_VALUES",
    "Choice",
    "Number",
    "Parameter",
    "Registry",
    "Selection",
    "bind",
    "convert",
    "expand",
    "is_range",
    "parameters_of",
    "parse",
    "render",
    "split",
    "values_of",
    "wrapped",
]


def bind(kind: str, selection: Selection, accepted: Mapping[str, Parameter]) -> dict[str, Any]:
    """The selection's parameters as typed values, in the order of `accepted`.

    Raises NashGamesError for a parameter that does not exist, a value of another type, or one that is not accepted.
    """
    if selection.positional:
        way = f"write parameter=value with one of: {', '.join(accepted)}" if accepted else "it has no parameters"
        raise NashGamesError(f"{kind} '{selection.name}' cannot read '{selection.positional[0]}'; {way}")
    values = {}
    for key, text in selection.parameters.items():
        if key not in accepted:
            raise has_no(f"{kind} '{selection.name}'", "parameter", key, accepted)
        number = accepted[key].number
        form = None if number is None else number.accepted(accepted[key].kind)
        values[key] = convert(f"{selection.name}[{key}]", text, accepted[key].kind, form)
        accepted[key].check(selection.name, values[key])
    return {key: values[key] for key in accepted if key in values}


def convert(what: str, text: str, kind: type, form: str | None = None) -> Any:
    """`text` as a bool, int, float or str; NashGamesError names `what` and the accepted `form` otherwise."""
    if kind is bool:
        if text.lower() in ("true", "false"):
            return text.lower() == "true"
        raise NashGamesError(f"{what} is '{text}'; accepted: true, false")
    try:
        # Python reads digits of every script, and a person of another one means something else.
        if kind is not str and not text.isascii():
            raise ValueError
        return kind(text)
    except ValueError:
        form = form or {int: "an integer", float: "a number"}.get(kind, kind.__name__)
        raise NashGamesError(f"{what} is '{text}'; accepted: {form}") from None


class Registry(Mapping[str, Any]):
    """What can be chosen by name: a literal dictionary of ours, `file.py:Name`, and entry points of other packages.

    An entry is a factory whose declared parameters (`parameters_of`) a selection may give: a class, or a function. As a
    mapping it holds ours. `kind` is what an entry is called in a sentence; `group` names the entry points; `wrappers`
    are names that are written around an entry, which a sentence offers too.
    """

    def __init__(
        self, kind: str, entries: Mapping[str, Any], *, group: str | None = None, wrappers: Iterable[str] = ()
    ) -> None:
        self.kind = kind
        self._entries = dict(entries)
        self._group = group
        self._wrappers = tuple(wrappers)
        self._brought: dict[Any, str] = {}

    def __getitem__(self, name: str) -> Any:
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, name: str) -> Any:
        """The entry of this name, wherever it comes from; NashGamesError with the nearest name where there is none."""
        if name in self._entries:
            return self._entries[name]
        if self._group is not None and plugins.is_file_name(name):
            found = plugins.from_file(self.kind, name)
        elif name in (points := self.packaged()):
            found = plugins.loaded(self.kind, points[name])
        elif self._group is not None and name.endswith(".py"):
            raise NashGamesError(f"'{name}' is a Python file; add the name of the {self.kind} in it, as in {name}:NAME")
        else:
            raise unknown(self.kind, name, [*self._entries, *self._wrappers, *points])
        self._brought[found] = name
        return found

    def packaged(self) -> Mapping[str, Any]:
        """The entry points of other packages, by name."""
        return {} if self._group is None else plugins.from_packages(self._group)

    def choose(self, text: str) -> tuple[Any, dict[str, Any]]:
        """The entry that `text` names, and its parameters as typed values.

        Raises NashGamesError for a name or parameter that does not exist, or a value that is not accepted.
        """
        selection = parse(text)
        entry = self.find(selection.name)
        return entry, bind(self.kind, selection, self.parameters(entry))

    def parameters(self, entry: Any) -> dict[str, Parameter]:
        """The parameters of an entry; what a user brings need not say more of one than its type."""
        return parameters_of(entry, plain=entry in self._brought)

    def make(self, text: str) -> Any:
        """What `text` selects, made: the entry called with its parameters.

        Raises NashGamesError as `choose` does, and where the entry's own `check` refuses the combination.
        """
        entry, values = self.choose(text)
        name = parse(text).name
        needed = [key for key, given in inspect.signature(entry).parameters.items() if _is_needed(given)]
        if missing := [key for key in needed if key not in values]:
            raise NashGamesError(f"the {self.kind} '{name}' needs {', '.join(missing)}; write {name}[{missing[0]}=…]")
        with plugins.explaining(f"the {self.kind} '{name}'", entry):
            made = entry(**values)
        if hasattr(made, "check"):
            made.check()
        return made

    def check(self, made: Any) -> None:
        """Raise NashGamesError unless every declared parameter of an object is accepted; None is left to theory."""
        for key, parameter in self.parameters(type(made)).items():
            value = getattr(made, key)
            if value is not None:
                parameter.check(made.name, value)
        if hasattr(made, "check"):
            made.check()

    def knows(self, kind: type) -> bool:
        """Whether a class can be selected by name."""
        return kind in self._entries.values() or kind in self._brought

    def name_of(self, made: Any) -> str:
        """The name that selects the class of an object: its own, or `file.py:Name` where a file brought it."""
        return self._brought.get(type(made), str(made.name))

    def text(self, made: Any) -> Selection:
        """The canonical text that selects an object again, without what is left at its default."""
        accepted = self.parameters(type(made))
        return render(self.name_of(made), {key: getattr(made, key) for key in accepted}, accepted)


def _is_needed(parameter: inspect.Parameter) -> bool:
    named = (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    return parameter.default is parameter.empty and parameter.kind in named
