"""The values of an experiment's fields, one by one: what a field accepts, and the sentence where it does not.

Standard library only, as `experiment` is.
"""

import datetime
import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Set
from numbers import Real
from typing import Any

from nashgames import registry
from nashgames.defaults import AUTO, LARGEST_BETA, SMALLEST_BETA, STORAGES
from nashgames.errors import NashGamesError, unknown, wrong_word
from nashgames.experiments import tune

DTYPES = ("float32", "float64")
DEVICES = ("cpu", "gpu")
VERDICTS = ("theorems", "race", "ratings", "win-rates")
TARGETS = ("regularised", "original")
LISTS = ("game", "solver", "beta", "actions", "reference", "feedback", "policy", "optimiser")
# Below 2⁵³ ≈ 9e15: floats and JSON keep it exactly.
_MAX_INTEGER = 10**15
# JAX keeps 32 bits of a seed unless 64-bit mode is on: beyond them two seeds would be one run.
MAX_SEED = 2**32 - 1


def _wrong(key: str, value: Any, accepted: str) -> NashGamesError:
    shown = str(value) if isinstance(value, datetime.date | datetime.time) else repr(value)
    shown = shown.lower() if isinstance(value, bool) else shown
    # Longer values would take a line of the terminal, 80 columns, before what is accepted is said.
    return NashGamesError(f"{key} is {shown if len(shown) <= 80 else shown[:77] + '…'}; accepted: {accepted}")


def items_of(key: str, value: Any) -> tuple[Any, ...]:
    """The values of a field that takes one or several; a set is refused because it has no order to repeat."""
    if not isinstance(value, Iterable) or isinstance(value, str):
        return (value,)
    if isinstance(value, Mapping) and key == "also":
        return (value,)
    if isinstance(value, bytes | Mapping | Set):
        raise _wrong(key, value, "one value or a list of values")
    items = tuple(value)
    if not items and key not in ("actions", "also"):
        raise NashGamesError(f"{key} is an empty list; accepted: one value or a list with at least one")
    return items


def values_of(field: str, given: Any) -> tuple[Any, ...]:
    """The values of a field of `LISTS`, read; a solver with a range is several."""
    read = tuple(READERS[field](field, item) for item in items_of(field, given))
    if field == "solver":
        return tuple(_parsed(text) for item in read for text in registry.expand(item))
    return read


def grid_of(given: Any) -> dict[str, tuple[Any, ...]]:
    """One grid of `also`: the fields that hold several values, those that it gives."""
    if not isinstance(given, Mapping) or not given:
        raise _wrong("also", given, f"tables [[also]], each with some of: {', '.join(LISTS)}")
    for key in given:
        if key not in LISTS:
            raise unknown("key of also", str(key), LISTS)
    return {key: values_of(key, value) for key, value in given.items()}


def real(value: Any) -> float | None:
    """`value` as a float, None where it is no finite number; a bool is no number."""
    if isinstance(value, bool) or not isinstance(value, str | Real):
        return None
    if isinstance(value, str) and not value.isascii():
        # Digits of other scripts, which Python reads too.
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    vanished = number == 0 and isinstance(value, str) and _says_more_than_zero(value)
    return number if math.isfinite(number) and not vanished else None


def float_of(text: str) -> float:
    """A number of a TOML file; NashGamesError for one such as 1e-400, which is read as 0 and has not its meaning."""
    number = float(text)
    if number == 0 and _says_more_than_zero(text):
        raise NashGamesError(f"{text} is too small a number, and would be read as 0; give 0 or a larger one")
    return number


def _says_more_than_zero(text: str) -> bool:
    return re.search("[1-9]", re.split("[eE]", text)[0]) is not None


def _beta(key: str, value: Any) -> float:
    number = real(value)
    if number is None or not (number == 0 or SMALLEST_BETA <= number <= LARGEST_BETA):
        raise _wrong(key, value, f"0, or a number from {SMALLEST_BETA:g} to {LARGEST_BETA:,.0f}")
    return abs(number)


def _integer(least: int, most: int = _MAX_INTEGER) -> Callable[[str, Any], int]:
    def read(key: str, value: Any) -> int:
        number = real(value)
        if number is None or not number.is_integer() or not least <= number <= most:
            limit = f" and at most {most:,}" if number is not None and number > most else ""
            raise _wrong(key, value, f"an integer of at least {least}{limit}")
        return int(number)

    return read


def _choice(accepted: tuple[str, ...]) -> Callable[[str, Any], str]:
    def read(key: str, value: Any) -> str:
        if not isinstance(value, str):
            raise _wrong(key, value, ", ".join(accepted))
        if value not in accepted:
            raise wrong_word(key, value, accepted)
        return value

    return read


def _name(key: str, value: Any) -> str:
    """A name that can be a folder's on every system."""
    if not isinstance(value, str) or not re.fullmatch(r"\w([\w .+-]{0,98}\w)?", value):
        accepted = "up to 100 letters, digits, spaces and . _ + -, with a letter or digit at both ends"
        raise _wrong(key, value, accepted)
    return value


def _selection(key: str, value: Any) -> str:
    """The text of a selection; whether its name exists is for the registries to say."""
    if not isinstance(value, str) or not value.strip():
        raise _wrong(key, value, "a name such as name[parameter=value], or a list of names")
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in value):
        raise _wrong(key, value, "text without control characters")
    text = value if isinstance(value, registry.Selection) else value.strip()
    # A path may hold any character: what is inside its brackets is checked where the file is read.
    if "/" in text:
        return text
    try:
        several = not isinstance(text, registry.Selection) and len(registry.split(text)) > 1
        # A range stands for several selections, which are parsed when it is expanded.
        if not several and not registry.is_range(text):
            text = registry.parse(text)
    except NashGamesError as error:
        raise NashGamesError(f"{key}: {error}") from None
    if several:
        raise _wrong(key, value, "one name; write several as a list")
    return text


def _parsed(text: str) -> str:
    return text if "/" in text else registry.parse(text)


def _tolerance(key: str, value: Any) -> float:
    number = real(value)
    # P_β(π' ≻ π) − ½ is at most ½ where π is the reference: with a larger tolerance a run would stop before its first
    # step.
    if number is None or not 0 <= number < 0.5:
        raise _wrong(
            key, value, "a number of at least 0 (0: never stop) and below 0.5, the largest suboptimality of a reference"
        )
    return abs(number)


READERS: dict[str, Callable[[str, Any], Any]] = {
    "name": _name,
    "game": _selection,
    "solver": _selection,
    "feedback": _selection,
    "policy": _selection,
    "optimiser": _selection,
    "beta": _beta,
    "actions": _integer(2),
    "reference": _selection,
    "seed": _integer(0, MAX_SEED),
    "seeds": _integer(1),
    "start": _selection,
    "target": _choice(TARGETS),
    "queries": _integer(1),
    "comparisons": _integer(1),
    "tolerance": _tolerance,
    "records": _integer(1),
    "record_every": _integer(1),
    "dtype": _choice(DTYPES),
    "device": _choice(DEVICES),
    "storage": _choice((AUTO, *STORAGES)),
    "verdict": _choice(VERDICTS),
    "tune": tune.read,
}
