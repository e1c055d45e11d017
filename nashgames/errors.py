"""The one exception of the host side: a sentence for a person."""

import difflib
from collections.abc import Iterable

# Letters of a value in a sentence: half a line of a terminal.
_LONGEST = 60


class NashGamesError(ValueError):
    """Bad input: what was given, what is accepted, what to do, in one sentence."""


def unknown(kind: str, given: str, accepted: Iterable[str]) -> NashGamesError:
    """The error for a name that does not exist, with the nearest one that does.

    >>> str(unknown("solver", "nash-pm", ["nash-mp", "online-ipo"]))
    "unknown solver 'nash-pm'; did you mean 'nash-mp'? Accepted: nash-mp, online-ipo"
    """
    return NashGamesError(f"unknown {kind} '{given}'{choices(given, accepted)}")


def choices(given: str, accepted: Iterable[str]) -> str:
    """How a sentence about a word ends that is none of the accepted ones: with the nearest, and with all of them."""
    names = list(accepted)
    nearest = difflib.get_close_matches(given, names, n=1, cutoff=0.5)
    hint = f"; did you mean '{nearest[0]}'?" if nearest else "."
    return f"{hint} Accepted: {', '.join(names) or 'none'}"


def shown(value: object) -> str:
    """A value as a sentence shows it: on one line, and not longer than that."""
    text = " ".join(repr(value).split())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
