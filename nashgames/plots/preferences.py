"""The preferences of one game as a heat map."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from nashgames.defaults import UNLISTED
from nashgames.errors import NashGamesError
from nashgames.plots import estimates
from nashgames.plots.estimates import Floats
from nashgames.plots.layout import new_figure, tell
from nashgames.plots.page import page, styled
from nashgames.plots.palette import INK, PaperFigure, plain
from nashgames.plots.panels import say, several
from nashgames.plots.rows import Rows

if TYPE_CHECKING:
    from nashgames.core.margins import Margins

# More names than this are smaller than can be read.
_LABELLED = 48
# As many names as a panel of this width (inches) takes at the size of other labels; and how high that is.
_FEW, _WIDE, _HIGH = 20, 4.4, 0.84
# With more actions a cell is narrower than a number of two decimals.
_NUMBERED = 12
# What rounding may add to a largest margin, in per cent.
_ROUNDING = 1e-6
# Cells a side of a large game, at more than one pixel each in a file of 220 dpi.
_CELLS = 500
# Actions up to which each has a cell of its own, at two to a pixel and 8 MB; beyond, cells would grow with n².
_FULL = 1000
# Actions up to which every entry is read: two seconds.
_LISTED = 16_384


def applies(rows: Rows) -> bool:
    one = not several(rows.runs["game"]) and not several(rows.runs["n"])
    return rows.game_of is not None and one and not (rows.runs["storage"] == UNLISTED).any()


def draw(rows: Rows) -> Figure:
    """The game of the first run."""
    assert rows.game_of is not None
    first = rows.runs.iloc[0]
    game = rows.game_of(first)
    title = " · ".join(say(key, first[key]) for key in ("game", "n", "seed"))
    return preferences(game.margins.of_context(0), game.description.labels, title=title)


@styled
def preferences(
    margins: "Margins | NDArray[np.floating]",
    labels: Sequence[str] | None = None,
    ratings: Floats | None = None,
    *,
    title: str = "",
    ax: Axes | None = None,
) -> Figure:
    """P = A + ½ of `margins` `[n, n]` as a heat map, actions ordered by falling Hodge rating (`ratings` `[n]`).

    Margins are read block by block: the picture of a large game needs little memory beside it. The colours are centred
    at ½ and reach 0.05, 0.1, 0.25 or ½ to both sides. Up to 48 actions are named; above 1,000 the cells are means over
    blocks of actions, above 16,384 the entries among 500 actions, and the caption says so. Raises NashGamesError where
    the shapes do not fit.
    """
    n = margins.shape[0]
    if margins.shape != (n, n) or n < 2:
        raise NashGamesError(f"margins have shape {margins.shape}; the heat map shows one game, [n, n] with n ≥ 2")
    for what, given in (("labels", labels), ("ratings", ratings)):
        if given is not None and len(given) != n:
            raise NashGamesError(f"there are {len(given)} {what} for {n} actions; give one for every action")
    sample = ""
    if n > _LISTED:
        sample = f"; {_CELLS} of {n:,} actions, evenly spaced in rating"
        margins, ratings = _sampled(margins, ratings)
        n = len(margins)
    ratings = np.asarray(estimates.hodge_ratings(_blocks(margins)) if ratings is None else ratings, np.float64)
    shown = estimates.ordered_preferences(_blocks(margins), ratings, _CELLS if n > _FULL else n)
    largest = float(np.abs(shown - 0.5).max())
    # Up to the next whole per cent: a colour bar ends at a number that can be read.
    reach = np.ceil(100 * largest - _ROUNDING) / 100 if largest > _ROUNDING / 100 else 0.5
    if ax is None:
        figure: Figure = new_figure(title, _HIGH * min(_WIDE, page().inches), _WIDE)
        ax = figure.add_subplot()
    else:
        root = ax.get_figure(root=True)
        assert root is not None
        figure = root
    image = ax.imshow(shown, cmap="RdBu_r", vmin=0.5 - reach, vmax=0.5 + reach, extent=(-0.5, n - 0.5, n - 0.5, -0.5))
    ax.grid(False)
    if not isinstance(figure, PaperFigure):
        ax.set_title(plain(title, 60))
    if n <= _LABELLED:
        order = np.argsort(-ratings, kind="stable")
        names = [plain(str(labels[i] if labels is not None else i), 18) for i in order]
        ax.set_xticks(range(n), names, rotation=0 if n * max(map(len, names)) < 40 else 90)
        ax.set_yticks(range(n), names)
        ax.tick_params(length=0, labelsize="small" if n <= _FEW else 0.6 * page().font)
        ax.set(ylabel="action, by descending rating", xlabel="against")
    else:
        ax.set(ylabel="rank by Hodge rating", xlabel="against rank")
    if n <= _NUMBERED:
        for (i, j), value in np.ndenumerate(shown):
            strong = abs(value - 0.5) > 0.6 * reach
            ax.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize="small", color="white" if strong else INK)
    bar = figure.colorbar(image, ax=ax, label="probability that the row wins", pad=0.02)
    bar.outline.set_visible(False)
    if isinstance(figure, PaperFigure):
        blocks = f"; means over blocks of about {n / len(shown):.1f} actions a side" if len(shown) < n else ""
        said = (
            "probability that the row is preferred to the column, actions from the highest Hodge rating to the lowest"
        )
        tell(figure, said + (sample or blocks))
    return figure


def _sampled(
    margins: "Margins | NDArray[np.floating]", ratings: Floats | None
) -> tuple["NDArray[np.floating]", Floats]:
    """The margins among actions that are evenly spaced in rating, and their ratings."""
    from nashgames.core.margins import product

    n = margins.shape[0]
    if ratings is None:
        uniform = np.full(n, 1 / n)
        ratings = margins @ uniform if isinstance(margins, np.ndarray) else product(margins, uniform)
    ratings = np.asarray(ratings)
    chosen = np.argsort(-ratings, kind="stable")[np.linspace(0, n - 1, _CELLS).astype(int)]
    among = margins[np.ix_(chosen, chosen)] if isinstance(margins, np.ndarray) else margins.submatrix(chosen)
    return among, np.asarray(ratings[chosen], np.float64)


def _blocks(margins: "Margins | NDArray[np.floating]") -> Iterable[estimates.Block]:
    return [(slice(0, len(margins)), margins)] if isinstance(margins, np.ndarray) else margins.blocks()
