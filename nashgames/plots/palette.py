"""How figures look and how they are written: fixed colours, one style, reproducible files."""

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib import font_manager
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from matplotlib.lines import Line2D

from nashgames import registry
from nashgames.disk import replace
from nashgames.errors import NashGamesError, unknown
from nashgames.plots.methods import DASHES, METHODS, style_of
from nashgames.plots.page import DPI, styled

if TYPE_CHECKING:
    import pandas as pd

INK = "#404040"
FAINT = "#808080"
BOUND: Mapping[str, Any] = {"linewidth": 0.8, "linestyle": (0, (6, 2)), "zorder": 1.8}
"""The line of a proved bound, in the colour of its method."""
THEOREM: Mapping[str, Any] = {"color": INK, "linewidth": 0.8, "linestyle": (0, (6, 2))}

CATEGORIES = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#332288", "#999933", "#882255", "#44AA99",
)  # fmt: skip
"""Colours for what has no colour of its own, such as actions, by rank."""

# Numbers of five decimals and more: the shortest text of a float that was computed.
_LONG_NUMBER = re.compile(r"\d+\.\d{5,}(?:e[+-]?\d+)?")

# CIE L* from which half of white is too pale for a thin line.
_LIGHT = 62

_METADATA: Mapping[str, dict[str, Any]] = {
    "png": {"Software": "nashgames"},
    "svg": {"Creator": "nashgames", "Date": None},
    "pdf": {"Creator": "nashgames", "Producer": "nashgames", "CreationDate": None},
}


class PaperFigure(Figure):
    """A figure that shows itself in a notebook although it belongs to no pyplot window.

    `caption` says what stands below it in print, and `numbers` holds what it shows, where that is a table.
    """

    caption: str = ""
    numbers: "pd.DataFrame | None" = None

    def _repr_png_(self) -> bytes:
        return _render(self, "png")


@dataclass(frozen=True)
class Look:
    """The colour, marker and line style of one legend entry."""

    colour: str
    marker: str
    dashes: Any

    def handle(self, text: str, marker: str | None = None) -> Line2D:
        """The legend entry `text`, with the look's own marker unless another one (or "") is given."""
        shape = self.marker if marker is None else marker
        return Line2D([], [], color=self.colour, linestyle=self.dashes, marker=shape, label=text)


def base(solver: str) -> str:
    """The solver inside its wrappers: `average[nash-mp]` → `nash-mp`."""
    parsed = registry.parse(solver)
    return base(parsed.positional[0]) if parsed.positional else parsed.name


def colour(solver: str) -> str:
    """The colour of a solver, a function of its name alone; a wrapped solver has the colour of what it wraps."""
    return style_of(base(solver)).colour


def marker(solver: str) -> str:
    """The marker of a solver, a function of its name alone."""
    return style_of(base(solver)).marker


def looks(solvers: Mapping[str, str]) -> dict[str, Look]:
    """The look of every label in `solvers` (label → solver), in the order of the legend.

    Variants of one solver share its marker and its hue, and differ in their dashes and in how light they are; the plain
    name is as in every other figure, and the numbers of the others rise.
    """
    known = list(METHODS)

    def rank(label: str) -> tuple[Any, ...]:
        name = base(solvers[label])
        place = known.index(name) if name in known else len(known)
        return (place, name, solvers[label] != name, label != name, _by_number(label))

    ordered = sorted(solvers, key=rank)
    families = {
        name: [label for label in ordered if base(solvers[label]) == name] for name in map(base, solvers.values())
    }
    result = {}
    for label in ordered:
        name = base(solvers[label])
        own, place, last = style_of(name), families[name].index(label), len(families[name]) - 1
        shade = _shaded(own.colour, place / last if last else 0.0)
        result[label] = Look(shade, own.marker, DASHES[(own.dashes + place) % len(DASHES)])
    return result


def _by_number(label: str) -> list[tuple[float, str]]:
    """What sorts `eta=0.1` between `eta=0.0178` and `eta=1`."""
    parts = re.split(r"(\d+(?:\.\d+)?(?:e[+-]?\d+)?)", label)
    return [(float(part), "") if place % 2 else (0.0, part) for place, part in enumerate(parts)]


def lightness(colour: str) -> float:
    """CIE L* of a colour, which is what grey leaves of it: 0 black, 100 white. Source: IEC 61966-2-1, CIE 15."""
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in to_rgb(colour)]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return 116 * luminance ** (1 / 3) - 16 if luminance > (6 / 29) ** 3 else luminance * (29 / 3) ** 3


def legible(colour: str) -> str:
    """The colour as that of small text on white: a light one goes a third of its way to black."""
    return colour if lightness(colour) < _LIGHT else _shaded(colour, 1.0)


def _shaded(colour: str, part: float) -> str:
    """The colour on its way to white, at most half of it; or to black, a third, if it is light already.

    Farther on the way to black it would be another method's: orange brown, rose wine, sky blue.
    """
    end, most = (1.0, 1 / 2) if lightness(colour) < _LIGHT else (0.0, 1 / 3)
    red, green, blue = (most * part * end + (1 - most * part) * share for share in to_rgb(colour))
    return to_hex((red, green, blue)).upper()


def plain(text: str, longest: int = 46) -> str:
    """Text of a user that the font can draw: no formulae, one line, unknown glyphs as □, shortened to `longest`.

    Of a number four digits are enough to tell it: `a23=-0.16666666666666666` → `a23=-0.1667`.
    """
    text = _LONG_NUMBER.sub(lambda found: f"{float(found[0]):.4g}", " ".join(str(text).split()))
    text = text if len(text) <= longest else text[: longest - 1] + "…"
    glyphs = _glyphs()
    return "".join(c if ord(c) in glyphs else "□" for c in text).replace("$", r"\$")


@lru_cache(maxsize=1)
def _glyphs() -> frozenset[int]:
    return frozenset(FT2Font(font_manager.findfont("DejaVu Sans")).get_charmap())


@styled
def save(figure: Figure, path_without_suffix: str | Path, formats: Sequence[str] = ("png", "svg")) -> list[Path]:
    """Write a figure as `path.png`, `path.svg` or `path.pdf`; the same figure gives the same bytes.

    A file is written atomically. Raises NashGamesError for a format that is not one of these, before any
    file is written, and where the folder cannot be written to.
    """
    for name in formats:
        if name not in _METADATA:
            raise unknown("figure format", name, _METADATA)
    written = []
    for name in formats:
        path = Path(f"{path_without_suffix}.{name}")
        content = _render(figure, name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            replace(path, content)
        except OSError as error:
            reason = error.strerror or "the system refuses"
            raise NashGamesError(f"the figure '{path}' cannot be written ({reason}); choose another folder") from error
        written.append(path)
    return written


def svg(figure: Figure) -> bytes:
    """The figure as the file `save` would write as SVG."""
    return _render(figure, "svg")


@styled
def _render(figure: Figure, name: str) -> bytes:
    # A second pass of the layout moves things by a hair, and so does another resolution, at which text has another
    # width: one pass at the resolution of the file, then frozen, makes all files alike. A placeholder ("none") in its
    # place would have everything drawn twice for each of them.
    engine = figure.get_layout_engine()
    if engine is not None:
        figure.dpi, dpi = DPI, figure.dpi
        engine.execute(figure)
        figure.dpi = dpi
        figure.set_layout_engine(None)
    buffer = io.BytesIO()
    figure.savefig(buffer, format=name, metadata=dict(_METADATA[name]))
    return buffer.getvalue()
