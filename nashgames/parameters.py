"""Parameters that declare themselves where they are used: `Annotated[float | None, Number("η, the step", above=0)]`.

Their help, bounds, error sentences, symbol, and whether a step search varies them are read from the annotation.
"""

import inspect
import math
import numbers
import sys
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from nashgames.errors import NashGamesError, wrong_word

# Integers of a compiled program have 32 bits.
_LARGEST_INTEGER = 2**31 - 1
# Compiled programs compute with 0 in place of what is below the normal numbers of float64.
_SMALLEST = sys.float_info.min


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
            # Of an integer with hundreds of digits math.isfinite makes no float.
            -math.inf < value < math.inf
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
            raise wrong_word(what, value, self.words)
        if isinstance(value, float) and 0 < abs(value) < _SMALLEST:
            raise NashGamesError(f"{what} is {value:g}, which programs take for 0; give 0 or a larger number")
        if self.number is not None and not self.number.holds(value):
            told = f"{value:g}" if isinstance(value, float) else value
            raise NashGamesError(f"{what} is {told}; accepted: {self.number.accepted(self.kind)}")


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


def _plain(bound: float) -> str:
    """A bound as a person writes it: 10,000,000, 0.5, 1e-12."""
    whole = isinstance(bound, numbers.Integral) or float(bound).is_integer()
    return f"{int(bound):,}" if whole else f"{bound:g}"
