"""What methods and games are called in a figure: their names, and the parameters that tell them apart, in symbols."""

from collections.abc import Iterable
from functools import cache

from nashgames.errors import NashGamesError
from nashgames.plots.palette import plain
from nashgames.registry import parse
from nashgames.selections import Selection

_JOINED = " · "
# With its parameters a name has two more lines in the narrowest panel, and no more.
_LONGEST = 72


def told_apart(labels: Iterable[str]) -> dict[str, str]:
    """What every label is called beside all others: its name, with those of its parameters that differ from another's.

    >>> told_apart(["nash-prox[eta=0.05,inner=40]", "nash-prox[eta=0.05,inner=1]", "average[sppo]"])
    {'nash-prox[eta=0.05,inner=40]': 'nash-prox (40 inner)', 'nash-prox[eta=0.05,inner=1]': 'nash-prox (1 inner)', \
'average[sppo]': 'average of sppo'}
    """
    texts = list(labels)
    heads = {text: _read(text.partition(_JOINED)[0]) for text in texts}
    shared = {}
    for head in heads.values():
        if head is not None:
            alike = {other for other in heads.values() if other and _given(other) and _bare(other) == _bare(head)}
            shared[head] = set.intersection(*(set(_given(other)) for other in alike)) if len(alike) > 1 else set()
    called = {}
    for text, head in heads.items():
        rest = [spoken(part) for part in text.split(_JOINED)[1:]]
        called[text] = plain(text) if head is None else _JOINED.join([_told(head, shared[head]), *rest])
    said = list(called.values())
    return {text: call if said.count(call) == 1 else plain(text) for text, call in called.items()}


def spoken(text: str) -> str:
    """A selection in a sentence: `tilted[span=4]` → `tilted (span 4)`, `weighted-cycle[a12=0.4]` → `… (A₁₂ = 0.4)`."""
    found = _read(text) if "[" in text else None
    return plain(text, _LONGEST) if found is None else _told(found, set())


def _read(text: str) -> Selection | None:
    """The selection that a text is, with at most one other inside; None for a label of a user that is none."""
    try:
        found = parse(text)
    except NashGamesError:
        return None
    return found if len(found.positional) <= 1 and not (found.positional and found.parameters) else None


def _bare(found: Selection) -> tuple[str, ...]:
    return (found.name, *(name for inner in found.positional for name in _bare(inner)))


def _given(found: Selection) -> list[tuple[str, str]]:
    """The parameters of a selection and of the one inside, as they are written."""
    mine = [(name, _parameter(found.name, name, value)) for name, value in found.parameters.items()]
    return [*mine, *(pair for each in found.positional for pair in _given(each))]


def _told(found: Selection, left_out: set[tuple[str, str]]) -> str:
    name = " of ".join(_bare(found))
    told = [text for key, text in _given(found) if (key, text) not in left_out]
    return plain(name + (f" ({', '.join(told)})" if told else ""), _LONGEST)


def _parameter(owner: str, name: str, value: str) -> str:
    value = value.replace("-", "−", 1) if value.startswith("-") else value
    if name == "inner":
        return f"{value} inner"
    symbol = _symbols(owner).get(name)
    if symbol is None:
        return f"{name.replace('_', ' ')} {value}"
    return f"{symbol} {value}" if symbol.endswith("≥") else f"{symbol} = {value}"


@cache
def _symbols(owner: str) -> dict[str, str]:
    """The symbols of the parameters of a solver or a family of ours, by name."""
    # Imported here: they need JAX, which listing the figures does not.
    from nashgames.games.families import FAMILIES
    from nashgames.solvers import SOLVERS

    declared = FAMILIES[owner].parameters if owner in FAMILIES else {}
    declared = SOLVERS.parameters(SOLVERS[owner]) if owner in SOLVERS else declared
    return {name: each.symbol for name, each in declared.items() if each.symbol is not None}
