"""Equilibria as pictures: how the mixture changes along the path of β, or one mixture ranked."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nashgames.errors import NashGamesError
from nashgames.plots.estimates import Floats
from nashgames.plots.labels import End, name_beside
from nashgames.plots.layout import new_figure, tell
from nashgames.plots.page import page, styled
from nashgames.plots.palette import CATEGORIES, FAINT, INK, plain
from nashgames.plots.panels import floats, say
from nashgames.plots.rows import Rows

_COLUMNS = ("beta", "action", "label", "probability")
# Each line has a colour of its own.
_LINES = len(CATEGORIES)
# As high as a figure with a path of β.
_BARS = 15
# Height of a figure of a path as a part of its width; of a ranked mixture, in sizes of type, that of a bar and of what
# is around the bars.
_HIGH, _BAR, _AROUND = 0.62, 1.55, 5.0
# Letters of an action's name: a longer one would take half of the figure.
_NAMED = 24
# A symbol for each of them, so that lines are told apart in grey.
_MARKERS = "os^DvP*Xph"
# More symbols than this on a line touch each other: then one of so many is drawn.
_DOTS, _APART = 40, 4
# The size of names, as "small" type, in sizes of type.
_SMALL = 0.833
# Decades of the axis from which the place of β = 0 is reckoned, at least: beside two close β it would touch the last.
_DECADES = 1.5
# Height of the strip above the panel as a part of the panel's: three tick labels fit.
_STRIP = 0.2


def applies(rows: Rows) -> bool:
    return rows.policies is not None and bool(rows.policies["run_id"].isin(rows.runs["run_id"]).any())


def draw(rows: Rows) -> Figure:
    assert rows.policies is not None
    title = " · ".join(say(key, rows.runs[key].iloc[0]) for key in ("game", "reference", "n"))
    return equilibria(rows.policies.merge(rows.runs[["run_id", "beta"]], on="run_id"), title=title)


@styled
def equilibria(policies: pd.DataFrame, *, title: str = "", ax: Axes | None = None) -> Figure:
    """The probabilities of the most played actions against β, falling to the right; for one β, the mixture ranked.

    `policies` has a row for every β and action, with the columns beta, action, label and probability, as
    `experiments.exact_path.mixtures` makes them; of several contexts the first is shown. Ten actions (of a single β,
    fifteen) are named, those that reach the highest probability; what the others share is grey. Symbols are the β that
    were computed, open ones the limit β → 0. Raises NashGamesError for columns or rows that are missing or repeated.
    """
    table, names = _table(policies)
    if "context" in policies and (several := policies["context"].nunique()) > 1:
        title = " · ".join(part for part in (title, f"first of {several} contexts") if part)
    if ax is None:
        line = page().font / 72
        height = (
            max(_HIGH * page().inches, 2.4)
            if len(table) > 1
            else line * (_AROUND + _BAR * (min(len(names), _BARS) + 1))
        )
        title = _title(table, title)
        figure: Figure = new_figure(title, height)
        ax = figure.add_subplot()
        said = "the most played actions of the equilibrium"
        tell(figure, said if len(table) == 1 else f"{said} against β, decreasing to the right")
        title = ""
    else:
        root = ax.get_figure(root=True)
        assert root is not None
        figure = root
        title = _title(table, title)
    if len(table) == 1:
        _bars(ax, floats(table.iloc[0]), names, title)
    else:
        _lines(ax, table, names, title)
    return figure


def _title(table: pd.DataFrame, title: str) -> str:
    """The title, with the β where there is one."""
    beta = float(table.index[0])
    limit = "β = 0, the limit of β → 0" if beta == 0 else f"β = {beta:g}"
    return " · ".join(part for part in (title, limit if len(table) == 1 else "") if part)


def _table(policies: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Probabilities `[β, action]` of the first context, β falling, and the names of the actions."""
    missing = [name for name in _COLUMNS if name not in policies]
    if missing or policies.empty:
        what = f"no column {', '.join(missing)}" if missing else "no rows"
        raise NashGamesError(f"the policies have {what}; a row for every β and action needs {', '.join(_COLUMNS)}")
    if "context" in policies:
        policies = policies[policies["context"] == policies["context"].min()]
    if policies.duplicated(["beta", "action"]).any():
        raise NashGamesError("an action has two probabilities at one β; select one game, reference and seed")
    table = policies.set_index(["beta", "action"])["probability"].unstack().sort_index(ascending=False)  # noqa: PD010
    if table.isna().any(axis=None):
        raise NashGamesError("the policies are not of the same actions at every β; select one game, reference and seed")
    labels = policies.drop_duplicates("action").sort_values("action")["label"]
    return table, [plain(str(label), _NAMED) for label in labels]


def _bars(ax: Axes, policy: Floats, names: Sequence[str], title: str) -> None:
    """One mixture, the most played action on top, the others pooled in grey below."""
    order = np.argsort(-policy, kind="stable")[:_BARS]
    shares, places, texts = policy[order], -np.arange(len(order)), [names[i] for i in order]
    where: dict[str, Any] = {"textcoords": "offset points", "va": "center", "fontsize": "small"}
    ax.barh(places, shares, height=0.62, color=CATEGORIES[0])
    for place, share in zip(places, shares, strict=True):
        ax.annotate(_percent(share), (share, place), (3, 0), color=INK, **where)
    if others := len(policy) - len(order):
        # Without a bar: the others together may be hundreds of times what any action is.
        places, texts = np.append(places, -len(order)), [*texts, f"{others:,} others"]
        together = _percent(float(np.delete(policy, order).sum()))
        ax.annotate(f"{together} together", (0, -len(order)), (3, 0), color=FAINT, **where)
    ax.set_yticks(places, texts)
    ax.tick_params(axis="y", length=0)
    ax.grid(False, axis="y")
    ax.xaxis.set_major_formatter(ticker.PercentFormatter(1, symbol=" %"))
    ax.set(xlim=(0, 1.14 * shares[0]), xlabel="probability", ylim=(places[-1] - 0.6, 0.6))
    ax.set_title(title)


def _percent(share: float) -> str:
    if 0 < share < 5e-5:
        return "< 0.01 %"
    return f"{100 * share:.2f} %" if share < 0.0995 else f"{100 * share:.1f} %"


def _lines(ax: Axes, table: pd.DataFrame, names: Sequence[str], title: str) -> None:
    """The path: a line for each of the actions that reach most, and above them what the others share."""
    betas, values = floats(table.index.to_series()), table.to_numpy(np.float64)
    reached = np.argsort(-values.max(axis=0), kind="stable")[:_LINES]
    order = reached[np.argsort(-values[-1, reached], kind="stable")]
    x = _places(betas)
    high = 1.06 * float(values[:, order].max())
    ax.set(xscale="log", ylim=(-0.015 * high, high), xlabel="β, decreasing to the right", ylabel="probability")
    _scale(ax, betas, x)
    ends = []
    for colour, marker, action in zip(CATEGORIES, _MARKERS, order, strict=False):
        _line(ax, betas, x, values[:, action], colour, marker)
        ends.append(End(names[action], colour, marker, float(values[-1, action])))
    name_beside(ax, ends, _SMALL * page().font)
    if len(names) > len(order):
        # The others together may be hundreds of times what any action is: they have their own scale.
        strip = ax.inset_axes((0, 1.05, 1, _STRIP), sharex=ax)
        rest = np.delete(values, order, axis=1).sum(axis=1)
        _line(strip, betas, x, rest, FAINT, "o")
        strip.fill_between(x, rest, color=FAINT, alpha=0.18, linewidth=0)
        strip.set(ylim=(0, 1.06), yticks=(0, 0.5, 1))
        strip.tick_params(which="both", labelbottom=False, bottom=False)
        others = f"{len(names) - len(order):,} others"
        name_beside(strip, [End(others, FAINT, "o", float(rest[-1]))], _SMALL * page().font)
        strip.set_title(title)
    else:
        ax.set_title(title)


def _line(ax: Axes, betas: Floats, x: Floats, values: Floats, colour: str, marker: str) -> None:
    positive = betas > 0
    each = None if positive.sum() <= _DOTS else int(positive.sum() / _DOTS * _APART)
    ax.plot(x[positive], values[positive], color=colour, marker=marker, markersize=3, markevery=each)
    if not positive.all():
        # Between the last β and the limit nothing was computed.
        ax.plot(x[-2:], values[-2:], color=colour, linewidth=0.8, linestyle=(0, (1.2, 1.2)))
        limit: dict[str, Any] = {"markersize": 4.5, "markerfacecolor": "white", "clip_on": False, "zorder": 3}
        ax.plot(x[-1:], values[-1:], color=colour, marker=marker, **limit)


def _places(betas: Floats) -> Floats:
    """Where the β stand on a logarithmic axis: β = 0 a little beyond the least positive one."""
    positive = betas[betas > 0]
    beyond = 0.12 * max(np.log10(positive[0] / positive[-1]), _DECADES)
    return np.where(betas > 0, betas, positive[-1] * 10**-beyond)


def _scale(ax: Axes, betas: Floats, x: Floats) -> None:
    """Ticks at the powers of ten, at the β themselves where these are few; `0` at the limit."""
    positive = betas[betas > 0]
    decades = 10.0 ** np.arange(np.ceil(np.log10(positive[-1]) - 1e-9), np.log10(positive[0]) + 1e-9)
    ticks = decades if len(decades) > 2 or len(positive) > 6 else positive
    texts = [f"{beta:g}" for beta in ticks]
    ax.xaxis.set_minor_locator(ticker.NullLocator())
    ax.set_xticks([*ticks, *x[betas == 0]], [*texts, *("0" for _ in x[betas == 0])])
    margin = (x[0] / x[-1]) ** 0.03
    ax.set_xlim(x[0] * margin, x[-1] / margin)
