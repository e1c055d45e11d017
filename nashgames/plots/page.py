"""The page that figures are drawn for: their width, the size of their type, and what stands in them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from matplotlib import style

from nashgames.errors import NashGamesError, wrong_word

WIDTHS: Mapping[str, float] = {"column": 3.25, "text": 5.5, "page": 6.75}
"""Inches: a column of ICML, the text of NeurIPS and ICLR, both columns of ICML; a figure is printed as large as it is.

Source: the style files icml2025.sty (columns of 3.25 in with 0.25 in between) and neurips_2024.sty (text of 5.5 in).
"""

SCALES = ("linear", "log")
"""Scales of the axis of queries or comparisons."""

# Below four points nothing can be read in print; above twenty a column holds no panel.
_SMALLEST, _LARGEST = 4.0, 20.0


@dataclass(frozen=True)
class Page:
    """How figures are laid out: `width`, one of WIDTHS; the size of the type `font` (points); whether the `title`
    stands in the figure (the caption has it always); and the `x_scale`, one of SCALES, chosen by the curves if None.

    Raises NashGamesError for what is none of these.
    """

    width: str = "text"
    # The captions of most styles are 9 or 10 points; labels a little below them do not shout.
    font: float = 8.0
    title: bool = True
    x_scale: str | None = None

    def __post_init__(self) -> None:
        if self.width not in WIDTHS:
            raise wrong_word("width", self.width, WIDTHS)
        if not _SMALLEST <= self.font <= _LARGEST:
            raise NashGamesError(
                f"font is {self.font:g}; accepted: the size of the type in points, "
                f"from {_SMALLEST:g} to {_LARGEST:g}, e.g. 8"
            )
        if self.x_scale is not None and self.x_scale not in SCALES:
            raise wrong_word("x_scale", self.x_scale, SCALES)

    @property
    def inches(self) -> float:
        """The width of a figure."""
        return WIDTHS[self.width]

    def letters(self, inches: float) -> float:
        """Letters of a line of this length at this size of type."""
        # Letters of DejaVu Sans are 0.56 of the size of type wide on average, a point is 1/72 inch.
        return inches * 72 / (0.56 * self.font)


_DRAWN_FOR: ContextVar[Page] = ContextVar("page", default=Page())  # noqa: B039, a page is frozen


def page() -> Page:
    """The page that is drawn for here."""
    return _DRAWN_FOR.get()


@contextmanager
def drawn_for(wanted: Page) -> Iterator[None]:
    """Inside, figures are made for this page."""
    token = _DRAWN_FOR.set(wanted)
    try:
        yield
    finally:
        _DRAWN_FOR.reset(token)


# Dots per inch, twice those of the usual screen, so that five inches are 1,100 pixels; for print there is PDF.
DPI = 220

# DejaVu Sans ships with matplotlib, so the same rows give the same bytes on every machine; text in an SVG is drawn
# as outlines for the same reason, and so that the file needs no font where it is shown.
_STYLE: Mapping[str, Any] = {
    "font.family": "DejaVu Sans",
    "mathtext.fontset": "dejavusans",
    "axes.titlesize": "medium",
    "axes.labelsize": "medium",
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.edgecolor": "#404040",
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.5,
    "xtick.labelsize": "small",
    "ytick.labelsize": "small",
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
    "legend.fontsize": "medium",
    "legend.frameon": False,
    "legend.handlelength": 2.6,
    "legend.columnspacing": 1.4,
    "legend.labelspacing": 0.35,
    "figure.titlesize": "medium",
    "lines.linewidth": 1.2,
    "lines.markersize": 3.5,
    "hatch.linewidth": 0.4,
    "figure.dpi": DPI,
    "savefig.dpi": DPI,
    "pdf.fonttype": 42,
    "svg.fonttype": "path",
    "svg.hashsalt": "nashgames",
}


@contextmanager
def _styled() -> Iterator[None]:
    with style.context(["default", {**_STYLE, "font.size": page().font}]):
        yield


styled = _styled()
"""Decorator of all that makes or saves a figure; the caller's own matplotlib settings are neither used nor changed."""
