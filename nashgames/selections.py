"""The grammar of names that carry parameters: `disc[strength=2]`, `average[mirror-descent[step=1]]`, and of ranges.

The same syntax selects games, references and solvers on the command line, in TOML and in every row.
"""

import math
import re
import types
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from nashgames.errors import NashGamesError, shown
from nashgames.parameters import Parameter

_RANGE = re.compile(r"=\s*([^=,:\[\]]+):([^=,:\[\]]+):([^=,\[\]]+)")
# A range is a grid of runs: more values than this are a typing error.
MOST_VALUES = 1000
# No figure shows so many solvers, and expanding their texts takes less than a second.
_LARGEST_GRID = 10_000
# A grid of ranges has more texts than anybody types; what is read again and again is among the last of them.
_KEPT_TEXTS = 4096
# No solver is wrapped so often, and every pair of brackets is a recursive call of the parser.
_DEEPEST = 20


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
    parts.append(current.strip())
    if any(parts) and not all(parts[:-1]):
        raise NashGamesError(f"{shown(text)} has nothing in front of a comma; drop that comma, or add a name")
    return [part for part in parts if part]


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
        accepted = range_.isascii() and len(parts) == 3 and 0 < low < high < math.inf and 2 <= count <= MOST_VALUES
    except (ValueError, IndexError):
        accepted = False
    if not accepted:
        raise NashGamesError(
            f"'{range_}' in '{inside}' is not a range; accepted: low:high:count with numbers above 0, the smaller "
            f"first, and a count from 2 to {MOST_VALUES}, e.g. 0.1:10:21"
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


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        short = f"{value:g}"
        return short if float(short) == value else repr(float(value))
    return str(value)
