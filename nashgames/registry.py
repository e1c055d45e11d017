"""Names that carry parameters: `disc[strength=2]`, `nash-mp[eta=0.2]`, `average[mirror-descent[step=1]]`.

The same syntax selects games, references and solvers on the command line, in TOML and in every row.
"""

import inspect
import math
import re
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from nashgames.errors import NashGamesError, unknown

_RANGE = re.compile(r"=\s*([^=,:\[\]]+):([^=,:\[\]]+):([^=,:\[\]]+)")
_MOST_VALUES = 1000


@dataclass(frozen=True)
class Selection:
    """A parsed selection: a name, its `key=value` parameters as text, and positional parts (nested selections)."""

    name: str
    parameters: Mapping[str, str]
    positional: tuple[str, ...] = ()


@dataclass(frozen=True)
class Parameter:
    """One documented parameter of a game family, a reference or a solver."""

    name: str
    kind: type
    default: Any
    help: str


def split(text: str) -> list[str]:
    """Split at the commas outside brackets: `a[x=1,y=2],b` → `a[x=1,y=2]`, `b`."""
    parts, depth, current = [], 0, ""
    for character in text:
        depth += (character == "[") - (character == "]")
        if depth < 0:
            break
        if character == "," and depth == 0:
            parts.append(current.strip())
            current = ""
        else:
            current += character
    if depth != 0:
        raise NashGamesError(f"'{text}' has unbalanced brackets; write name[parameter=value,…]")
    return [part for part in [*parts, current.strip()] if part]


def expand(text: str) -> list[str]:
    """A selection whose parameters may be ranges `low:high:count`, as the selections it stands for.

    The numbers of a range are geometrically spaced, with six digits; several ranges make a grid.

    >>> expand("online-ipo[step=0.1:10:3]")
    ['online-ipo[step=0.1]', 'online-ipo[step=1]', 'online-ipo[step=10]']

    Raises NashGamesError for ends that are no numbers above 0 or a count below 2.
    """
    found = _RANGE.search(text)
    if found is None:
        return [text]
    try:
        low, high, count = float(found[1]), float(found[2]), int(found[3])
        accepted = 0 < low < math.inf and 0 < high < math.inf and 2 <= count <= _MOST_VALUES
    except ValueError:
        accepted = False
    if not accepted:
        raise NashGamesError(
            f"'{found[0][1:]}' in '{text}' is no range; accepted: low:high:count with numbers above 0 and a count from "
            f"2 to {_MOST_VALUES}, e.g. 0.1:10:21"
        )
    values = [low * (high / low) ** (i / (count - 1)) for i in range(count)]
    texts = [f"{text[: found.start()]}={value:.6g}{text[found.end() :]}" for value in values]
    return [expanded for each in texts for expanded in expand(each)]


def parse(text: str) -> Selection:
    """Parse `name[parameter=value,…]`.

    Raises NashGamesError for unbalanced brackets, text behind the closing one, or a repeated parameter.
    """
    name, bracket, rest = text.strip().partition("[")
    if not bracket:
        return Selection(name, {})
    if not rest.endswith("]"):
        raise NashGamesError(f"'{text}' does not end in ']'; write name[parameter=value,…]")
    parameters: dict[str, str] = {}
    positional = []
    for part in split(rest[:-1]):
        key, equals, value = part.partition("=")
        if not equals or "[" in key:
            positional.append(part)
        elif key.strip() in parameters:
            raise NashGamesError(f"'{text}' gives '{key.strip()}' twice; give it once")
        else:
            parameters[key.strip()] = value.strip()
    return Selection(name.strip(), parameters, tuple(positional))


def parameters_of(factory: Callable[..., Any]) -> dict[str, Parameter]:
    """The documented parameters of a factory: those annotated `Annotated[kind, "help"]`, in order."""
    return {parameter.name: parameter for parameter in _documented(factory)}


@cache
def _documented(factory: Callable[..., Any]) -> tuple[Parameter, ...]:
    # A plan of thousands of runs asks for the same few factories again and again.
    hints = typing.get_type_hints(factory, include_extras=True)
    found = []
    for name, parameter in inspect.signature(factory).parameters.items():
        metadata = getattr(hints.get(name), "__metadata__", None)
        if metadata:
            found.append(Parameter(name, hints[name].__origin__, parameter.default, metadata[0]))
    return tuple(found)


def bind(kind: str, selection: Selection, accepted: Mapping[str, Parameter]) -> dict[str, Any]:
    """The selection's parameters as typed values, in the order of `accepted`.

    Raises NashGamesError for a parameter that does not exist or a value of another type.
    """
    if selection.positional:
        raise NashGamesError(
            f"{kind} '{selection.name}' cannot read '{selection.positional[0]}'; write parameter=value "
            f"with one of: {', '.join(accepted) or 'none'}"
        )
    values = {}
    for key, text in selection.parameters.items():
        if key not in accepted:
            raise unknown(f"parameter of {kind} '{selection.name}'", key, accepted)
        values[key] = convert(f"{selection.name}[{key}]", text, accepted[key].kind)
    return {key: values[key] for key in accepted if key in values}


def choose(kind: str, text: str, registry: Mapping[str, type[Any]]) -> tuple[type[Any], dict[str, Any]]:
    """What `text` names in a registry of factories, and its parameters as typed values.

    Raises NashGamesError for a name or parameter that does not exist, or a value of another type.
    """
    selection = parse(text)
    if selection.name not in registry:
        raise unknown(kind, selection.name, registry)
    factory = registry[selection.name]
    return factory, bind(kind, selection, parameters_of(factory))


def convert(what: str, text: str, kind: type) -> Any:
    """`text` as a bool, int, float or str; NashGamesError names `what` and the accepted form otherwise."""
    if kind is bool:
        if text.lower() in ("true", "false"):
            return text.lower() == "true"
        raise NashGamesError(f"{what} is '{text}'; accepted: true, false")
    try:
        return kind(text)
    except ValueError:
        form = {int: "an integer", float: "a number"}.get(kind, kind.__name__)
        raise NashGamesError(f"{what} is '{text}'; accepted: {form}") from None


def render(name: str, parameters: Mapping[str, Any], accepted: Mapping[str, Parameter] | None = None) -> str:
    """The canonical text of a selection, numbers in their shortest exact form; with `accepted`, without its defaults.

    >>> render("nash-mp", {"eta": 0.2})
    'nash-mp[eta=0.2]'
    """
    told = {k: v for k, v in parameters.items() if accepted is None or k not in accepted or v != accepted[k].default}
    return f"{name}[{','.join(f'{k}={_text(v)}' for k, v in told.items())}]" if told else name


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        short = f"{value:g}"
        return short if float(short) == value else repr(float(value))
    return str(value)
