"""The one exception of the host side: a sentence for a person, and how names of others are printed in one."""

import difflib
import unicodedata
from collections.abc import Iterable

# Letters of a value in a sentence: half a line of a terminal.
_LONGEST = 60
# Letters of a word in a sentence: no path that a person types has more.
_LONGEST_WORD = 160
# Two lines of a terminal, with which a sentence still says what was given and what to do.
_LINE = 100
# They turn the direction of the text that follows, also of ours.
_BIDIRECTIONAL = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class NashGamesError(ValueError):
    """Bad input: what was given, what is accepted, what to do, in one sentence.

    Example:
        >>> import nashgames as ng
        >>> ng.make_solver("nash-mp[eta=0]")
        Traceback (most recent call last):
        nashgames.errors.NashGamesError: nash-mp[eta] is 0; accepted: a finite number above 0
    """


class NoRoom(NashGamesError):
    """Nothing is wrong with what was asked for: the disk is full, or a limit on files is reached."""


class UnknownName(NashGamesError):
    """A name of some kind that does not exist."""

    def __init__(self, sentence: str, kind: str, given: str) -> None:
        super().__init__(sentence)
        self.kind, self.given = kind, given


def unknown(kind: str, given: str, accepted: Iterable[str]) -> UnknownName:
    """The error for a name that does not exist, with the nearest one that does.

    >>> str(unknown("solver", "nash-pm", ["nash-mp", "online-ipo"]))
    "unknown solver 'nash-pm'; did you mean 'nash-mp'? Accepted: nash-mp, online-ipo"
    """
    return UnknownName(f"unknown {kind} '{given}'{choices(given, accepted)}", kind, given)


def has_no(owner: str, kind: str, given: str, accepted: Iterable[str]) -> NashGamesError:
    """The error for a name that something does not have.

    >>> str(has_no("game 'disc'", "parameter", "plane", ["planes"]))
    "game 'disc' has no parameter 'plane'; did you mean 'planes'? Accepted: planes"
    >>> str(has_no("game 'soccer10'", "parameter", "seed", []))
    "game 'soccer10' takes no parameters; leave out 'seed'"
    """
    names = list(accepted)
    if not names:
        return NashGamesError(f"{owner} takes no {kind}s; leave out '{given}'")
    return NashGamesError(f"{owner} has no {kind} '{given}'{choices(given, names)}")


def wrong_word(what: str, given: object, accepted: Iterable[str]) -> NashGamesError:
    """The error for a value that is none of the accepted words.

    >>> str(wrong_word("disc[link]", "linaer", ["logistic", "linear"]))
    "disc[link] is 'linaer'; did you mean 'linear'? Accepted: logistic, linear"
    """
    return NashGamesError(f"{what} is '{given}'{choices(str(given), accepted)}")


def choices(given: str, accepted: Iterable[str]) -> str:
    """How a sentence about a word ends that is none of the accepted ones: with the nearest, and a line of them all.

    >>> choices("score", []), choices("kl", ["entropy", "kl_to_equilibrium"])
    (', as there is none; leave it out', "; did you mean 'kl_to_equilibrium'? Accepted: entropy, kl_to_equilibrium")
    """
    names = list(accepted)
    if not names:
        return ", as there is none; leave it out"
    # Who writes Game or NASH-MP means game and nash-mp; of names that differ in that alone the first is offered.
    folded: dict[str, str] = {}
    for name in names:
        folded.setdefault(name.casefold(), name)
    wanted = given.casefold()
    nearest = [folded[near] for near in difflib.get_close_matches(wanted, folded, n=1, cutoff=0.5)]
    nearest = nearest or [name for near, name in folded.items() if len(given) > 1 and near.startswith(wanted)]
    hint = f"; did you mean '{nearest[0]}'? Accepted" if nearest else "; accepted"
    return f"{hint}: {some_of(names)}"


def some_of(names: Iterable[str]) -> str:
    """Names in a line: all of them, or the first that fit and how many more there are.

    >>> some_of(["cpu", "gpu"]), some_of([])
    ('cpu, gpu', 'none')
    """
    names, said = list(names), list[str]()
    for name in names:
        if said and len(", ".join([*said, name])) > _LINE:
            return f"{', '.join(said)} and {len(names) - len(said)} more"
        said.append(name)
    return ", ".join(said) or "none"


def printable(text: str) -> str:
    """`text` without characters that act on a terminal: control characters and marks of direction are spelled out.

    >>> printable("a\\x1b[31mb")
    'a\\\\x1b[31mb'
    """
    if text.isprintable():
        return text
    return "".join(
        character.encode("unicode_escape").decode()
        if character in _BIDIRECTIONAL or unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")
        else character
        for character in text
    )


def sentence(text: str) -> str:
    """A message as it is printed: on one line, printable, and no word of it longer than a line."""
    words = " ".join(text.split()).split(" ")
    # What is quoted ends in its quotation mark, which stays.
    cut = [word if len(word) <= _LONGEST_WORD else f"{word[:_LONGEST]}…{word[-20:]}" for word in words]
    return printable(" ".join(cut))


def shown(value: object) -> str:
    """A value as a sentence shows it: on one line, and not longer than that."""
    text = " ".join(repr(value).split())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
