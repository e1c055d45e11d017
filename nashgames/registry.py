"""Names that carry parameters: `disc[strength=2]`, `nash-mp[eta=0.2]`, `average[mirror-descent[step=1]]`.

The same syntax selects games, references and solvers on the command line, in TOML and in every row. A parameter is
declared once, where it is used, by its annotation: `Annotated[float | None, Number("η, the step", above=0)] = None`.
"""

import inspect
import math
import numbers
import re
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from nashgames import plugins
from nashgames.errors import NashGamesError, choices, has_no, shown, unknown

_RANGE = re.compile(r"=\s*([^=,:\[\]]+):([^=,:\[\]]+):([^=,:\[\]]+)")
# A range is a grid of runs: more values than this are a typing error.
MOST_VALUES = 1000
# No figure shows so many solvers, and expanding their texts takes less than a second.
_LARGEST_GRID = 10_000
# A grid of ranges has more texts than anybody types; what is read again and again is among the last of them.
_KEPT_TEXTS = 4096
# No solver is wrapped so often, and every pair of brackets is a recursive call of the parser.
_DEEPEST = 20
# Integers of a compiled program have 32 bits.
_LARGEST_INTEGER = 2**31 - 1


class Selection(str):
    """The text of a selection, parsed once: a `name`, `key=value` parameters as text, and positional parts.

    It is the text that was given, and compares, hashes and is stored as that.
    """

    name: str
    parameters: Mapping[str, str]
    positional: tuple["Selection", ...]

    def __new__(
        cls, text: str, name: str, parameters: Mapping[str, str], positional: Sequence["Selection"] = ()
    ) -> "Selection":
        made = super().__new__(cls, text)
        made.name, made.positional = name, tuple(positional)
        # One selection serves everybody who reads its text.
        made.parameters = types.MappingProxyType(dict(parameters))
        return made


@dataclass(frozen=True)
class Number:
    """What a numeric parameter means and accepts: bounds, its `symbol` in print, and whether a step search varies it.

    A float is finite; an integer lies below 2³¹ unless `most` says less.

    Args:
        help: what the parameter means, and what it is unless given
        symbol: how it is written in formulas and in the step column
        least, above: the lower bound, included or excluded
        most, below: the upper bound, included or excluded
        tuned: whether `--tune` varies it

    Example:
        >>> from nashgames.registry import Number
        >>> Number("η, the step", symbol="η", above=0, tuned=True).accepted(float)
        'a finite number above 0'
    """

    help: str
    symbol: str | None = None
    least: float | None = None
    above: float | None = None
    most: float | None = None
    below: float | None = None
    tuned: bool = False

    def holds(self, value: float) -> bool:
        """Whether `value` lies in the interval."""
        return (
            math.isfinite(value)
            and (self.least is None or value >= self.least)
            and (self.above is None or value > self.above)
            and (self.most is None or value <= self.most)
            and (self.below is None or value < self.below)
        )

    def accepted(self, kind: type) -> str:
        """The interval in words: `a finite number above 0`, `an integer from 1 to 100`."""
        whole = kind is int
        if self.least is not None and self.most is not None:
            return f"{'an integer' if whole else 'a number'} from {_plain(self.least)} to {_plain(self.most)}"
        bounds = [("of at least", self.least), ("above", self.above), ("at most", self.most), ("below", self.below)]
        said = " and ".join(f"{word} {_plain(bound)}" for word, bound in bounds if bound is not None)
        open_ended = self.most is None and self.below is None
        return f"{'an integer' if whole else 'a finite number' if open_ended else 'a number'} {said}".rstrip()


@dataclass(frozen=True)
class Choice:
    """What a parameter means that takes one of several words.

    Example:
        >>> from nashgames.registry import Choice
        >>> Choice("how the step changes", ("constant", "decreasing")).accepted
        ('constant', 'decreasing')
    """

    help: str
    accepted: tuple[str, ...]


@dataclass(frozen=True)
class Parameter:
    """One documented parameter of a game family, a reference, a solver or a part of one.

    `number` holds its bounds and `words` what it may say, where these are declared.
    """

    name: str
    kind: type
    default: Any
    help: str
    number: Number | None = None
    words: tuple[str, ...] | None = None

    @property
    def symbol(self) -> str | None:
        """How it is written in formulas, where it has a symbol."""
        return None if self.number is None else self.number.symbol

    @property
    def tuned(self) -> bool:
        """Whether a search for the best step varies it."""
        return self.number is not None and self.number.tuned

    def check(self, owner: str, value: Any) -> None:
        """Raise NashGamesError unless `value` is among the words or in the interval that are declared."""
        what = f"{owner}[{self.name}]"
        if self.words is not None and value not in self.words:
            raise NashGamesError(f"{what} is '{value}'{choices(value, self.words)}")
        if self.number is not None and not self.number.holds(value):
            told = f"{value:g}" if isinstance(value, float) else value
            raise NashGamesError(f"{what} is {told}; accepted: {self.number.accepted(self.kind)}")


def split(text: str) -> list[str]:
    """Split at the commas outside brackets: `a[x=1,y=2],b` → `a[x=1,y=2]`, `b`."""
    parts, depth, current = [], 0, ""
    for character in text:
        depth += (character == "[") - (character == "]")
        if depth < 0:
            break
        if depth > _DEEPEST:
            raise NashGamesError(f"{shown(text)} has brackets within {_DEEPEST} others; write name[parameter=value,…]")
        if character == "," and depth == 0:
            parts.append(current.strip())
            current = ""
        else:
            current += character
    if depth != 0:
        raise NashGamesError(f"'{text}' has unbalanced brackets; write name[parameter=value,…]")
    return [part for part in [*parts, current.strip()] if part]


def expand(text: str) -> list[str]:
    """The selections that one with ranges `low:high:count` among its parameters stands for.

    The numbers of a range are geometrically spaced, with six digits; several ranges make a grid.

    >>> expand("online-ipo[step=0.1:10:3]")
    ['online-ipo[step=0.1]', 'online-ipo[step=1]', 'online-ipo[step=10]']

    Raises NashGamesError for ends that are no numbers above 0 or a count below 2.
    """
    found = _RANGE.search(text)
    if found is None:
        return [text]
    grid = math.prod(len(values_of(each[0][1:], text)) for each in _RANGE.finditer(text))
    if grid > _LARGEST_GRID:
        raise NashGamesError(
            f"the ranges of '{text}' are a grid of {grid:,} solvers; accepted: at most {_LARGEST_GRID:,}; give smaller "
            f"counts"
        )
    texts = [f"{text[: found.start()]}={value}{text[found.end() :]}" for value in values_of(found[0][1:], text)]
    return [expanded for each in texts for expanded in expand(each)]


def values_of(range_: str, inside: str) -> list[str]:
    """The numbers of a range `low:high:count`, geometrically spaced, with six digits.

    Raises NashGamesError, naming the text that it stands `inside`, for what is no range.
    """
    parts = range_.split(":")
    try:
        low, high, count = float(parts[0]), float(parts[1]), int(parts[2])
        accepted = len(parts) == 3 and 0 < low < math.inf and 0 < high < math.inf and 2 <= count <= MOST_VALUES
    except (ValueError, IndexError):
        accepted = False
    if not accepted:
        raise NashGamesError(
            f"'{range_}' in '{inside}' is no range; accepted: low:high:count with numbers above 0 and a count from "
            f"2 to {MOST_VALUES}, e.g. 0.1:10:21"
        )
    return [f"{low * (high / low) ** (i / (count - 1)):.6g}" for i in range(count)]


def is_range(text: str) -> bool:
    """Whether a selection has a range among its parameters, which `expand` resolves."""
    return _RANGE.search(text) is not None


def parse(text: str) -> Selection:
    """Parse `name[parameter=value,…]`; a `Selection` is returned as it is.

    Raises NashGamesError for unbalanced brackets, text behind the closing one, or a repeated parameter.
    """
    return text if isinstance(text, Selection) else _read(text)


@lru_cache(maxsize=_KEPT_TEXTS)
def _read(text: str) -> Selection:
    name, bracket, rest = text.strip().partition("[")
    if not bracket:
        return Selection(text, name, {})
    if not rest.endswith("]"):
        raise NashGamesError(f"'{text}' does not end in ']'; write name[parameter=value,…]")
    parameters: dict[str, str] = {}
    positional = []
    for part in split(rest[:-1]):
        key, equals, value = part.partition("=")
        if not equals or "[" in key:
            positional.append(parse(part))
        elif key.strip() in parameters:
            raise NashGamesError(f"'{text}' gives '{key.strip()}' twice; give it once")
        else:
            parameters[key.strip()] = value.strip()
    return Selection(text, name.strip(), parameters, positional)


def parameters_of(factory: Callable[..., Any], *, plain: bool = False) -> dict[str, Parameter]:
    """The declared parameters of a factory, in order: those annotated with a help text, a `Number` or a `Choice`.

    With `plain` also those annotated as bool, int, float or str alone, as users write them.
    """
    return {parameter.name: parameter for parameter in _declared(factory, plain)}


@cache
def _declared(factory: Callable[..., Any], plain: bool) -> tuple[Parameter, ...]:
    # A plan of thousands of runs asks for the same few factories again and again.
    hints = typing.get_type_hints(factory, include_extras=True)
    if inspect.isclass(factory):
        hints |= typing.get_type_hints(factory.__init__, include_extras=True)
    found = []
    for name, parameter in inspect.signature(factory).parameters.items():
        metadata = getattr(hints.get(name), "__metadata__", None)
        if metadata:
            found.append(_parameter(name, _kind(hints[name].__origin__), parameter.default, metadata[0]))
        elif plain and name in hints and _kind(hints[name]) in (bool, int, float, str):
            found.append(Parameter(name, _kind(hints[name]), parameter.default, ""))
    return tuple(found)


def _kind(hint: Any) -> Any:
    """The type of a value: that of `float | None` is float."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        parts = [part for part in typing.get_args(hint) if part is not type(None)]
        return parts[0] if len(parts) == 1 else hint
    return hint


def _parameter(name: str, kind: type, default: Any, declared: Any) -> Parameter:
    if isinstance(declared, Choice):
        return Parameter(name, kind, default, declared.help, words=declared.accepted)
    if not isinstance(declared, Number):
        return Parameter(name, kind, default, str(declared))
    if kind is int and declared.most is None and declared.below is None:
        declared = Number(**{**vars(declared), "most": _LARGEST_INTEGER})
    return Parameter(name, kind, default, declared.help, number=declared)


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
        return kind(text)
    except ValueError:
        form = form or {int: "an integer", float: "a number"}.get(kind, kind.__name__)
        raise NashGamesError(f"{what} is '{text}'; accepted: {form}") from None


def render(name: str, parameters: Mapping[str, Any], accepted: Mapping[str, Parameter] | None = None) -> Selection:
    """The canonical text of a selection, numbers in their shortest exact form; with `accepted`, without its defaults.

    >>> str(render("nash-mp", {"eta": 0.2}))
    'nash-mp[eta=0.2]'
    """
    told = {k: v for k, v in parameters.items() if accepted is None or k not in accepted or v != accepted[k].default}
    texts = {key: _text(value) for key, value in told.items()}
    inside = ",".join(f"{key}={text}" for key, text in texts.items())
    return Selection(f"{name}[{inside}]" if texts else name, name, texts)


def wrapped(name: str, inner: Selection) -> Selection:
    """The canonical text of a selection around another: `average[nash-mp]`."""
    return Selection(f"{name}[{inner}]", name, {}, (inner,))


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


def _plain(bound: float) -> str:
    """A bound as a person writes it: 10,000,000, 0.5, 1e6."""
    return f"{bound:,}" if isinstance(bound, numbers.Integral) else f"{bound:g}"


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        short = f"{value:g}"
        return short if float(short) == value else repr(float(value))
    return str(value)
