"""How every method of the field is drawn, so that they can be told apart in grey, too."""

import hashlib
from collections.abc import Mapping
from typing import NamedTuple

# On and off in widths of the line: solid, dashed, dotted, dash-dot, dash-dot-dot, told apart in black and white.
Dashes = str | tuple[int, tuple[float, ...]]
DASHES: tuple[Dashes, ...] = ("-", (0, (4, 1.4)), (0, (1.2, 1.2)), (0, (5, 1.2, 1.2, 1.2)), (0, (2.4, 1, 1, 1, 1, 1)))
_SOLID, _DASHED, _DOTTED, _DASH_DOT, _DASH_DOT_DOT = range(len(DASHES))

# Eyes that see no red, no green or no colour at all tell these by their lightness (CIE L*, after each).
_AUBERGINE, _BLUE, _GREEN, _VERMILION, _SKY = "#40104F", "#0050A0", "#00805A", "#E66A1E", "#56B4E9"  # 16 35 47 59 70
_BLACK, _WINE, _BROWN, _MAGENTA, _INDIGO = "#000000", "#7B1533", "#7A3E1D", "#A01070", "#5B4BB5"  # 0 27 33 36 39
_OLIVE, _ROSE, _GREY, _TEAL, _LIME, _AMBER = (
    "#6B6B00", "#C75A8E", "#808080", "#1B9E9E", "#7FAF2A", "#E69F00",
)  # fmt: skip
# 44 53 54 59 66 71
_COLOURS = (
    _AUBERGINE, _BLUE, _GREEN, _VERMILION, _SKY, _BLACK, _WINE, _BROWN, _MAGENTA, _INDIGO, _OLIVE, _ROSE, _GREY, _TEAL,
    _LIME, _AMBER,
)  # fmt: skip
_MARKERS = "ovPs^DXph<>d*"


class Style(NamedTuple):
    """The colour, the place in DASHES and the marker of a method."""

    colour: str
    dashes: int
    marker: str


# The five that are compared first have five lightnesses; line and marker together are nobody else's, so that no two
# methods are alike where there is no colour. Relatives share a colour or a marker.
METHODS: Mapping[str, Style] = {
    "nash-mp": Style(_BLUE, _SOLID, "o"),
    "adaptive-nash-mp": Style(_SKY, _SOLID, "v"),
    "secant-nash-mp": Style(_AMBER, _SOLID, "P"),
    "nash-prox": Style(_GREEN, _SOLID, "s"),
    "online-ipo": Style(_VERMILION, _SOLID, "^"),
    "mirror-descent": Style(_AUBERGINE, _SOLID, "D"),
    "proximal-point": Style(_LIME, _SOLID, "X"),
    "approximate-nash-mp": Style(_INDIGO, _DASHED, "p"),
    "practical-nash-mp": Style(_WINE, _DASHED, "h"),
    "uniform-ipo": Style(_BROWN, _DASHED, "<"),
    "egpo": Style(_MAGENTA, _SOLID, ">"),
    "nash-md": Style(_GREY, _SOLID, "d"),
    "nash-md-pg": Style(_BLACK, _DASHED, "d"),
    "nash-ema": Style(_OLIVE, _SOLID, "*"),
    "nash-ema-pg": Style(_OLIVE, _DASHED, "*"),
    "offline-ipo": Style(_VERMILION, _DOTTED, "^"),
    "dpo": Style(_INDIGO, _DASH_DOT, "d"),
    "inpo-pg": Style(_BROWN, _DOTTED, "<"),
    "omwu": Style(_TEAL, _SOLID, "h"),
    "magnetic-mirror-descent": Style(_ROSE, _SOLID, "p"),
    "optimistic-mirror-descent": Style(_TEAL, _DASHED, "D"),
    "sppo": Style(_WINE, _DOTTED, "o"),
    "inpo": Style(_BROWN, _SOLID, "<"),
    "onpo": Style(_INDIGO, _DASH_DOT, "<"),
    "comal": Style(_ROSE, _DASHED, "s"),
    "mpo": Style(_LIME, _DASH_DOT, "X"),
    "garip": Style(_MAGENTA, _DASH_DOT, ">"),
    "regularised-gradient": Style(_SKY, _DASHED, "^"),
    "regularised-optimistic-gradient": Style(_SKY, _DASH_DOT, "^"),
    "apmd": Style(_AMBER, _DASH_DOT, "P"),
    "regret-matching-plus": Style(_GREY, _DASHED, "v"),
    "predictive-regret-matching-plus": Style(_BROWN, _DASH_DOT, "v"),
    "smooth-predictive-regret-matching-plus": Style(_OLIVE, _DOTTED, "v"),
    "extragradient-regret-matching-plus": Style(_INDIGO, _DASH_DOT_DOT, "v"),
    "fictitious-play": Style(_BLACK, _DASH_DOT, "o"),
    "smooth-fictitious-play": Style(_BLACK, _DASH_DOT_DOT, "o"),
}
"""The methods of the field by name, in the order of legends."""

_TAKEN = {(own.dashes, own.marker) for own in METHODS.values()}
_FREE = [(dashes, marker) for dashes in range(len(DASHES)) for marker in _MARKERS if (dashes, marker) not in _TAKEN]


def style_of(name: str) -> Style:
    """The style of a method, a function of its name alone: that of METHODS, or for another name one that is left."""
    if name in METHODS:
        return METHODS[name]
    number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    dashes, marker = _FREE[number % len(_FREE)]
    return Style(_COLOURS[number // len(_FREE) % len(_COLOURS)], dashes, marker)
