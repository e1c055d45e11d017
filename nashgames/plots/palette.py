"""How figures look and how they reach the disk: fixed colours, one style, reproducible files."""

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from matplotlib import font_manager, style
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from matplotlib.lines import Line2D

from nashgames import registry
from nashgames.disk import replace
from nashgames.errors import NashGamesError, unknown

# Dots per inch, twice those of the usual screen, so that five inches are 1,100 pixels; for print there is PDF.
_DPI = 220

# DejaVu Sans ships with matplotlib, so the same rows give the same bytes on every machine; text in an SVG is drawn
# as outlines for the same reason, and so that the file needs no font where it is shown.
STYLE: Mapping[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 7.5,
    "mathtext.fontset": "dejavusans",
    "axes.titlesize": 7.5,
    "axes.labelsize": 7.5,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.edgecolor": "#404040",
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.5,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "xtick.color": "#404040",
    "ytick.color": "#404040",
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.minor.size": 1.2,
    "ytick.minor.size": 1.2,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "legend.fontsize": 7.0,
    "legend.frameon": False,
    "legend.handlelength": 2.4,
    "legend.columnspacing": 1.6,
    "figure.titlesize": 8.0,
    "lines.linewidth": 1.2,
    "hatch.linewidth": 0.4,
    "figure.dpi": _DPI,
    "savefig.dpi": _DPI,
    "pdf.fonttype": 42,
    "svg.fonttype": "path",
    "svg.hashsalt": "nashgames",
}
styled = style.context(["default", dict(STYLE)])
"""Decorator of all that makes or saves a figure; the caller's own matplotlib settings are neither used nor changed."""

INK = "#404040"
FAINT = "#808080"
THEOREM: Mapping[str, Any] = {"color": INK, "linewidth": 0.8, "linestyle": (0, (6, 2))}

# Told apart by colour-blind readers: those of Okabe and Ito (2008) first, then mostly those of Tol's muted scheme.
COLOURS: Mapping[str, str] = {
    "nash-mp": "#0072B2",
    "nash-prox": "#009E73",
    "online-ipo": "#D55E00",
    "mirror-descent": "#CC79A7",
    "adaptive-nash-mp": "#56B4E9",
    "secant-nash-mp": "#E69F00",
    "approximate-nash-mp": "#332288",
    "practical-nash-mp": "#882255",
    "uniform-ipo": "#661100",
    "egpo": "#117733",
    "nash-md-pg": "#000000",
    "nash-ema-pg": "#BFAE4D",
    "omwu": "#44AA99",
}
MARKERS: Mapping[str, str] = {
    "nash-mp": "o",
    "nash-prox": "s",
    "online-ipo": "^",
    "mirror-descent": "D",
    "adaptive-nash-mp": "v",
    "secant-nash-mp": "P",
    "approximate-nash-mp": "p",
    "practical-nash-mp": "h",
    "uniform-ipo": "<",
    "egpo": ">",
    "nash-md-pg": "d",
    "nash-ema-pg": "*",
    "omwu": "X",
}
_OTHER_COLOURS = ("#999933", "#6699CC", "#AA4499", "#B15928", "#88CCEE")
_OTHER_MARKERS = ("<", "p", ">", "h", "*")
CATEGORIES = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#332288", "#999933", "#882255", "#44AA99",
)  # fmt: skip
"""Colours for what has no colour of its own, such as actions, by rank."""

# On and off in widths of the line: solid, dashed, dotted, dash-dot, dash-dot-dot, told apart in black and white.
_DASHES: Sequence[Any] = ("-", (0, (4, 1.4)), (0, (1.2, 1.2)), (0, (5, 1.2, 1.2, 1.2)), (0, (2.4, 1, 1, 1, 1, 1)))

_METADATA: Mapping[str, dict[str, Any]] = {
    "png": {"Software": "nashgames"},
    "svg": {"Creator": "nashgames", "Date": None},
    "pdf": {"Creator": "nashgames", "Producer": "nashgames", "CreationDate": None},
}


class PaperFigure(Figure):
    """A figure that shows itself in a notebook although it belongs to no pyplot window."""

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
        return Line2D([], [], color=self.colour, linestyle=self.dashes, marker=shape, markersize=3, label=text)


def base(solver: str) -> str:
    """The solver inside its wrappers: `average[nash-mp]` → `nash-mp`."""
    parsed = registry.parse(solver)
    return base(parsed.positional[0]) if parsed.positional else parsed.name


def colour(solver: str) -> str:
    """The colour of a solver, a function of its name alone; a wrapped solver has the colour of what it wraps."""
    return COLOURS.get(base(solver)) or _OTHER_COLOURS[_digest(base(solver)) % len(_OTHER_COLOURS)]


def marker(solver: str) -> str:
    """The marker of a solver, a function of its name alone."""
    return MARKERS.get(base(solver)) or _OTHER_MARKERS[_digest(base(solver) + "#") % len(_OTHER_MARKERS)]


def looks(solvers: Mapping[str, str]) -> dict[str, Look]:
    """The look of every label in `solvers` (label → solver), in the order of the legend.

    Variants of one solver share its colour and marker and differ in their dashes, the plain name being solid.
    """
    known = list(COLOURS)

    def rank(label: str) -> tuple[Any, ...]:
        name = base(solvers[label])
        return (known.index(name) if name in known else len(known), name, solvers[label] != name, label != name, label)

    used: dict[str, int] = {}
    result = {}
    for label in sorted(solvers, key=rank):
        name = base(solvers[label])
        result[label] = Look(colour(name), marker(name), _DASHES[used.get(name, 0) % len(_DASHES)])
        used[name] = used.get(name, 0) + 1
    return result


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def plain(text: str, longest: int = 46) -> str:
    """Text of a user that the font can draw: no formulae, one line, unknown glyphs as □, shortened to `longest`."""
    text = " ".join(str(text).split())
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


@styled
def _render(figure: Figure, name: str) -> bytes:
    # A second pass of the layout moves things by a hair, and so does another resolution, at which text has another
    # width: one pass at the resolution of the file, then frozen, makes all files alike.
    engine = figure.get_layout_engine()
    if engine is not None:
        figure.dpi, dpi = _DPI, figure.dpi
        engine.execute(figure)
        figure.dpi = dpi
        figure.set_layout_engine("none")
    buffer = io.BytesIO()
    figure.savefig(buffer, format=name, metadata=dict(_METADATA[name]))
    return buffer.getvalue()
