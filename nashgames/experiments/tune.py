"""The value of `tune`: how many steps of every solver are tried, on how many seeds, and in which range.

Standard library only, like the experiment that it is a part of.
"""

from collections.abc import Iterable, Mapping
from numbers import Integral
from typing import Any

from nashgames import registry
from nashgames.errors import NashGamesError

TRIALS = 8
"""Values tried for every solver besides its own: spaced by √10, two decades to both sides."""

# The median of ten seeds tells steps a factor apart; more of them would cost more than what is reported.
MOST_SEEDS = 10

AUTO = "auto"
_COUNTS = ("trials", "seeds")
_ACCEPTED = "auto, parameter=low:high:count or solver.parameter=low:high:count (e.g. step=1e-3:10:8), trials=N, seeds=N"


def read(key: str, given: Any) -> dict[str, Any]:
    """The given text as plain values: `trials`, `seeds` where given, and a range `low:high:count` by parameter.

    Accepted are `auto`, texts `parameter=low:high:count`, and a table of them, in which that of one solver is
    `solver.parameter`. Raises NashGamesError for anything else, and for grids of different lengths: every solver has
    the same number of trials.
    """
    said: dict[str, Any] = {}
    for name, value in _entries(key, given):
        if name in said:
            raise NashGamesError(f"{key} gives '{name}' twice; give it once")
        said[name] = _count(key, name, value) if name in _COUNTS else _range(key, name, value)
    lengths = {name: int(text.rpartition(":")[2]) for name, text in said.items() if name not in _COUNTS}
    lengths |= {"trials": said["trials"]} if "trials" in said else {}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name} has {count}" for name, count in lengths.items())
        raise NashGamesError(
            f"{key} has grids of different lengths ({told}); give every solver the same number of trials"
        )
    trials = next(iter(lengths.values()), TRIALS)
    counts = {"trials": trials} | {name: said[name] for name in ("seeds",) if name in said}
    return counts | {name: text for name, text in said.items() if name not in _COUNTS}


def grids(tune: Mapping[str, Any]) -> dict[str, str]:
    """The ranges of what `read` returns, by parameter."""
    return {name: text for name, text in tune.items() if name not in _COUNTS}


def _entries(key: str, given: Any, solver: str = "") -> Iterable[tuple[str, Any]]:
    """Names and values of all that is given, a table of one solver's parameters by `solver.parameter`."""
    if isinstance(given, Mapping):
        for name, value in given.items():
            if isinstance(value, Mapping):
                yield from _entries(key, value, f"{solver}{name}.")
            else:
                yield f"{solver}{name}", value
        return
    for item in [given] if isinstance(given, str) or not isinstance(given, Iterable) else given:
        if not isinstance(item, str):
            raise NashGamesError(f"{key} is {str(item).lower()}; accepted: {_ACCEPTED}")
        for text in registry.split(item) or [""]:
            name, equals, value = text.rpartition("=")
            if text == AUTO:
                continue
            if not equals or not name.strip():
                raise NashGamesError(f"{key} is '{text}'; accepted: {_ACCEPTED}")
            yield name.strip(), value.strip()


def _count(key: str, name: str, value: Any) -> int:
    try:
        whole = isinstance(value, str | Integral) and not isinstance(value, bool)
        number = int(value) if whole and str(value).isascii() else 0
    except ValueError:
        number = 0
    # More than a range may have are a typing error.
    if not 1 <= number <= registry.MOST_VALUES:
        raise NashGamesError(f"{key} has {name} = {value}; accepted: an integer from 1 to {registry.MOST_VALUES:,}")
    return number


def _range(key: str, name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise NashGamesError(f"{key} has {name} = {value!r}; accepted: a range low:high:count, e.g. '1e-3:10:8'")
    registry.values_of(value, f"{name}={value}")
    return value
