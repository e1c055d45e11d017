"""What policies over sequences write, prompt by prompt, beside the equilibrium and the reference, and as they learn."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from nashgames.core.metrics import OF_SEQUENCES
from nashgames.defaults import REFEREE
from nashgames.plots.estimates import Floats
from nashgames.plots.layout import legend, new_figure, tell
from nashgames.plots.naming import told_apart
from nashgames.plots.page import page, styled
from nashgames.plots.palette import FAINT, INK, Look, looks, plain
from nashgames.plots.panels import axis_of, named_by, prepare, say, traces_of
from nashgames.plots.rows import Rows, apart

# Sequences of a prompt that are named, and prompts that are shown: as many as a page holds.
_NAMED, _PROMPTS = 8, 4
# Of these the equilibrium's own likeliest; the others are what methods write instead.
_OF_EQUILIBRIUM = 5
# Sequences up to which the equilibrium is computed unasked: the referee takes less than half a second.
_UNASKED = 1000
# Heights in sizes of type: of a line, of what is above and below the panels of a prompt, and of the figure.
_LINE, _AROUND, _BELOW = 1.35, 3.8, 2.0
# Widths of the panels of a prompt: probabilities, length, repetition.
_PANELS = 6, 2, 2
# Lines of the panels below: their curves need no more.
_CURVES = 9
_PALE = "#d9d9d9"
_REFERENCE: Mapping[str, Any] = {"linewidth": 0.8, "linestyle": (0, (4, 2))}


@dataclass(frozen=True)
class Written:
    """What is written at the m prompts: the `texts` of n sequences, the `prompts`, log π `[m, n]` of the `reference`,
    the `equilibrium` and of every method by its label, and their mean `lengths` and `repetitions` `[m]` by name, the
    first two of them under `reference` and `equilibrium`; `overall` are both numbers of these two over all prompts.
    `along` has of every method what was spent, in `axis`, and its length and repetitions over all prompts then,
    `[3, t]`, where these were recorded."""

    texts: Sequence[str]
    prompts: Sequence[str]
    equilibrium: Floats
    reference: Floats
    methods: dict[str, Floats]
    lengths: dict[str, Floats]
    repetitions: dict[str, Floats]
    overall: dict[str, tuple[float, float]]
    along: dict[str, Floats]
    axis: str


def applies(rows: Rows) -> bool:
    """Of the parts that `split` gives."""
    return rows.game_of is not None and rows.policies is not None


def unasked(rows: Rows) -> bool:
    return bool(rows.runs["n"].max() <= _UNASKED)


def split(rows: Rows) -> Iterator[tuple[str, Rows]]:
    """A figure for every sequence game, reference, n, feedback and β, of its first seed, whose game is one."""
    from nashgames.games.families import FAMILIES

    families = [name for name, family in FAMILIES.items() if family.prompts]
    runs = rows.compared[rows.compared["solver"] != REFEREE]
    kept = [] if rows.policies is None else list(rows.policies["run_id"].unique())
    mine = runs[runs["game"].str.split("[").str[0].isin(families) & runs["run_id"].isin(kept)]
    for ending, group in apart(mine, ("game", "reference", "n", "feedback", "beta")):
        yield ending, rows.of(group[group["seed"] == group["seed"].min()])


def draw(rows: Rows) -> Figure:
    runs = prepare(rows.runs)
    first = runs.iloc[0]
    title = " · ".join(say(key, first[key]) for key in ("game", "reference", "beta", "feedback", "seed"))
    return draw_writing(written(rows, runs), looks(named_by(runs)), title=title)


def written(rows: Rows, runs: pd.DataFrame) -> Written:
    """What the runs write at the end, the game made again for its equilibrium and its reference."""
    from nashgames.analysis.sequence_statistics import prompt_of, writing
    from nashgames.exact.referee import equilibrium
    from nashgames.experiments.sources import with_reference

    assert rows.game_of is not None
    assert rows.policies is not None
    first = runs.iloc[0]
    game = with_reference(rows.game_of(first), first)
    sequences, shape = game.description.sequences, (game.contexts, game.actions)
    assert sequences is not None
    everyone = {
        "reference": np.reshape(game.log_reference, shape),
        "equilibrium": np.reshape(equilibrium(game, float(first["beta"])).log_policy, shape),
    }
    methods = {}
    for label, run_id in zip(runs["label"], runs["run_id"], strict=True):
        mine = rows.policies[rows.policies["run_id"] == run_id].sort_values(["context", "action"])
        methods[str(label)] = mine["log_probability"].to_numpy(np.float64).reshape(shape)
    axis = axis_of(runs)
    traces = [traces_of(rows.curves, runs, column, axis) for column in OF_SEQUENCES if column in rows.curves]
    along = {
        str(label): np.stack([traces[0][run_id].cost, *(trace[run_id].values for trace in traces)])
        for label, run_id in zip(runs["label"], runs["run_id"], strict=True)
        if traces and run_id in traces[0]
    }
    told = {name: writing(log_policy, sequences) for name, log_policy in (everyone | methods).items()}
    return Written(
        [sequences.text(i) for i in range(game.actions)],
        [prompt_of(game, context) for context in range(game.contexts)],
        everyone["equilibrium"],
        everyone["reference"],
        methods,
        {name: said.length for name, said in told.items()},
        {name: said.repetition for name, said in told.items()},
        {name: sequences.writing(np.exp(logs), np.asarray(game.weights)) for name, logs in everyone.items()},
        {label: values for label, values in along.items() if np.isfinite(values).any(axis=1).all()},
        axis,
    )


def named(found: Written, context: int) -> np.ndarray:
    """The sequences to name at a prompt: the equilibrium's likeliest, then what methods are likeliest to write instead,
    in the order of the equilibrium's probabilities."""
    ranked = np.argsort(-found.equilibrium[context], kind="stable")
    kept = list(ranked[:_OF_EQUILIBRIUM])
    likeliest = np.max([log_policy[context] for log_policy in found.methods.values()], axis=0)
    kept += [i for i in np.argsort(-likeliest, kind="stable") if i not in kept][: _NAMED - len(kept)]
    return np.array(sorted(kept, key=lambda i: -found.equilibrium[context][i]))


@styled
def draw_writing(found: Written, of_methods: dict[str, Look], *, title: str = "") -> Figure:
    """Three panels a prompt: probabilities of sequences, the mean number of tokens, and the share that repeat; below
    them both numbers as the methods learn."""
    shown = min(len(found.prompts), _PROMPTS)
    chosen = [named(found, context) for context in range(shown)]
    lines = max(max(map(len, chosen)) + 1, len(found.methods))
    heights = [shown * (_LINE * lines + _AROUND)] + [_CURVES + _AROUND] * bool(found.along)
    figure = new_figure(title, page().font / 72 * (sum(heights) + _BELOW))
    # Two grids, as curves stand below one another in other columns than the panels of the prompts.
    parts = figure.add_gridspec(len(heights), 1, height_ratios=heights)
    cells = parts[0].subgridspec(shown, len(_PANELS), width_ratios=_PANELS).subplots(squeeze=False)
    for context, (left, *beside) in enumerate(cells):
        _probabilities(left, found, context, chosen[context], of_methods)
        left.set_title(f"prompt {plain(found.prompts[context], 24)}", loc="left")
        for first, cell, numbers in zip(cells[0, 1:], beside, (found.lengths, found.repetitions), strict=True):
            if context:
                cell.sharex(first)
            _statistics(cell, {name: float(values[context]) for name, values in numbers.items()}, of_methods)
    for cell, name in zip(cells[-1], ("probability", "mean length", "repeats"), strict=True):
        cell.set_xlabel(name)
    if found.along:
        _along(parts[1].subgridspec(1, 2).subplots(squeeze=False)[0], found, of_methods)
    prompts = "every prompt" if shown == len(found.prompts) else f"{shown} of {len(found.prompts)} prompts"
    said = (
        f"What the last policies write at {prompts}: the {_OF_EQUILIBRIUM} likeliest sequences of the equilibrium and "
        "those that methods are likeliest to write instead (· is the empty one); beside them the mean number of tokens "
        "and the share of tokens that repeat the one before, dashed those of the reference"
        + ("; below both as the methods learn, of all prompts together" if found.along else "")
    )
    tell(figure, said)
    legend(figure, None, _handles(of_methods))  # type: ignore[arg-type]
    return figure


def _probabilities(ax: Axes, found: Written, context: int, chosen: np.ndarray, of_methods: dict[str, Look]) -> None:
    """Bars of the equilibrium, ticks of the reference, a mark for every method; what the equilibrium has for all other
    sequences is text, since it would set the scale."""
    places = np.arange(len(chosen))
    ax.barh(places, np.exp(found.equilibrium[context][chosen]), height=0.78, color=_PALE, zorder=1)
    ax.plot(np.exp(found.reference[context][chosen]), places, "|", color=INK, markersize=7, zorder=2)
    for (label, look), move in zip(of_methods.items(), _moves(len(of_methods)), strict=True):
        at = np.exp(found.methods[label][context][chosen])
        # Not cut off at 0, where many are.
        ax.plot(at, places + move, look.marker, color=look.colour, markersize=3, zorder=3, clip_on=False)
    texts = [plain(found.texts[i], 24) for i in chosen]
    ax.set_yticks(places, texts, family="DejaVu Sans Mono")
    beside = 1 - float(np.exp(found.equilibrium[context][chosen]).sum())
    said = f"equilibrium: {100 * beside:.0f} % for the other {len(found.texts) - len(chosen):,}"
    ax.set_title(said, loc="right", color=FAINT, fontsize="small")
    ax.set_ylim(len(chosen) - 0.4, -0.6)
    # Prompts differ in how sharp their policies are.
    ax.set_xlim(left=0)
    ax.grid(axis="y", visible=False)
    ax.tick_params(axis="y", length=0)


def _statistics(ax: Axes, numbers: dict[str, float], of_methods: dict[str, Look]) -> None:
    """A line for the equilibrium, a dashed one for the reference, and a mark for every method below the other."""
    ax.axvline(numbers["equilibrium"], color=_PALE, linewidth=4, zorder=1)
    ax.axvline(numbers["reference"], color=INK, zorder=2, **_REFERENCE)
    for place, (label, look) in enumerate(of_methods.items()):
        ax.plot(numbers[label], place, look.marker, color=look.colour, markersize=3.5, zorder=3)
    ax.set_ylim(len(of_methods) - 0.4, -0.6)
    ax.set_yticks([])
    ax.grid(axis="y", visible=False)
    ax.margins(x=0.12)


def _along(below: Sequence[Axes], found: Written, of_methods: dict[str, Look]) -> None:
    """The mean length and the share of repeats against what was spent, with those of equilibrium and reference."""
    for place, cell in enumerate(below):
        cell.axhline(float(found.overall["equilibrium"][place]), color=_PALE, linewidth=4, zorder=1)
        cell.axhline(float(found.overall["reference"][place]), color=INK, zorder=2, **_REFERENCE)
        for label, look in of_methods.items():
            if label in found.along:
                cost, values = found.along[label][[0, 1 + place]]
                cell.plot(cost, values, color=look.colour, linestyle=look.dashes, zorder=3)
        cell.set(xlabel=found.axis, ylabel=("mean length", "repeats")[place])


def _moves(count: int) -> Floats:
    """How far the marks of methods stand above or below their line, so that they do not hide each other."""
    return np.linspace(-0.28, 0.28, count) if count > 1 else np.zeros(1)


def _handles(of_methods: dict[str, Look]) -> list[Line2D | Patch]:
    called = told_apart(of_methods)
    made: list[Line2D | Patch] = [
        Patch(color=_PALE, label="equilibrium"),
        Line2D([], [], color=INK, marker="|", linestyle="none", markersize=7, label="reference"),
    ]
    for label, look in of_methods.items():
        made.append(Line2D([], [], color=look.colour, marker=look.marker, linestyle="none", label=called[label]))
    return made
