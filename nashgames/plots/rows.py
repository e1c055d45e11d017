"""The tables that figures are drawn from, and how they are split into the rows of single figures."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import pandas as pd

from nashgames.analysis.outcomes import complete, on_samples, sweeps_steps, tuned
from nashgames.analysis.race import Race, fields, race
from nashgames.defaults import BOTH, REFEREE
from nashgames.experiments.choice import reported, untuned
from nashgames.plots.panels import several

if TYPE_CHECKING:
    from nashgames.analysis.gather import Gathered
    from nashgames.core.game import Game


@dataclass(frozen=True)
class Rows:
    """The tables of a results directory, those of them that are there; or those of the runs that one figure shows.

    `limits_of` derives the limits of swept steps, as `analysis.derived_limits.limits_of`, and `game_of` makes the game
    of a row of `runs` again; both compute, and are called by the figures that need them only. `verdict` is what the
    experiment asks, which the figure of this name answers. `against` and `epsilon` are what queries to ε are asked for,
    `x` what curves are drawn against, one of `panels.AXES`, `facet` the columns that make their panels, and `condition`
    what these runs fulfil, `analysis.where`, which captions say. `untuned` are the runs of tuned solvers with their own
    steps, which stand beside those of `runs`.
    """

    runs: pd.DataFrame
    curves: pd.DataFrame
    paths: pd.DataFrame | None = None
    policies: pd.DataFrame | None = None
    limits_of: Callable[[pd.DataFrame], pd.DataFrame | None] | None = None
    game_of: "Callable[[pd.Series[Any]], Game] | None" = None
    verdict: str | None = None
    against: str | None = None
    epsilon: float | None = None
    x: str | None = None
    untuned: pd.DataFrame | None = None
    facet: tuple[str, ...] | None = None
    condition: str | None = None

    def of(self, runs: pd.DataFrame) -> "Rows":
        """The same of some of the runs."""
        beside = self.untuned
        if beside is not None:
            beside = beside[beside["game"].isin(runs["game"]) & on_samples(beside).isin(on_samples(runs))]
        ids = runs["run_id"] if beside is None else pd.concat([runs["run_id"], beside["run_id"]])
        return replace(self, runs=runs, curves=self.curves[self.curves["run_id"].isin(ids)], untuned=beside)

    @cached_property
    def sampled(self) -> bool:
        """Whether a run learned from duels."""
        return bool(on_samples(self.runs).any())

    @cached_property
    def swept(self) -> bool:
        """Whether the steps of a solver are swept at several β, which the phase diagram shows better."""
        return several(self.runs["beta"]) and sweeps_steps(self.runs)

    @cached_property
    def _tuned(self) -> tuple[pd.DataFrame, int]:
        return tuned(self.runs)

    @property
    def compared(self) -> pd.DataFrame:
        """The runs as solvers are compared: of swept steps those of the best (`outcomes.tuned`)."""
        return self._tuned[0]

    @cached_property
    def raced(self) -> Race:
        """The race of the solvers as they are compared; NashGamesError as `analysis.race.race`."""
        mine = self.of(reported(self.runs))
        return race(mine.compared, mine.curves)

    @property
    def remark(self) -> str:
        """The sentence for a caption about the steps of `compared`."""
        steps = self._tuned[1]
        if steps > 1:
            return f"every solver with its best step, chosen on the same seeds from up to {steps} per panel"
        if "step_source" in self.runs and (self.runs["step_source"] == "tuned").any():
            own = self.runs["role"][self.runs["step_source"] == "tuned"] == BOTH
            if own.any() and not own.all():
                return "steps tuned on other seeds, or on the game itself where seeds draw no other"
            return f"steps tuned on {'the same game' if own.any() else 'other seeds'}"
        return "a step that is not in the name differs between panels" if steps else ""


def rows_of(chosen: "Gathered", game_of: "Callable[[pd.Series[Any]], Game]", **told: Any) -> Rows:
    """What figures of these runs are drawn from: those that are reported, beside them tuned solvers as they were asked
    for; `told` are further fields of `Rows`."""
    # Imported here: it needs JAX, which listing the figures does not.
    from nashgames.analysis.derived_limits import limits_of

    return Rows(
        reported(chosen.runs),
        chosen.curves,
        chosen.paths,
        chosen.policies,
        partial(limits_of, game_file=chosen.game_file),
        game_of,
        chosen.verdict,
        untuned=untuned(chosen.runs),
        **told,
    )


def completed(rows: Rows) -> Rows:
    """The rows with the columns that tables from before there was a choice do not have."""
    return replace(rows, runs=complete(rows.runs))


def together(rows: Rows) -> Iterator[tuple[str, Rows]]:
    """All runs of solvers in one figure."""
    mine = _of_solvers(rows)
    if len(mine):
        yield "", rows.of(mine)


def by_feedback(rows: Rows) -> Iterator[tuple[str, Rows]]:
    """A figure for the runs on exact feedback and one for those on samples, which are charged in different things."""
    runs = _of_solvers(rows)
    for _, mine in runs.groupby(on_samples(runs), sort=True):
        yield "", rows.of(mine)


def by_axis(rows: Rows) -> Iterator[tuple[str, Rows]]:
    """All games together, but a figure for each of the `analysis.race.fields`."""
    for ending, mine in fields(_of_solvers(rows)):
        yield ending, rows.of(mine)


def by_game(rows: Rows) -> Iterator[tuple[str, Rows]]:
    """`by_feedback` for every game; with several games the file names end in theirs."""
    runs = _of_solvers(rows)
    names = runs["game"].unique()
    endings: dict[str, str] = {}
    for name in names:
        ending = f"-{slug(name)}" if len(names) > 1 else ""
        endings[name] = ending + (f"-{len(endings) + 1}" if ending in endings.values() else "")
    for (name, _), mine in runs.groupby(["game", on_samples(runs)], sort=False):
        yield endings[str(name)], rows.of(mine)


def by_path(rows: Rows) -> Iterator[tuple[str, Rows]]:
    """The exact equilibria of one game, reference, size and seed over β, a figure each, numbered from the second on."""
    exact = rows.runs[rows.runs["solver"] == REFEREE]
    for place, (_, mine) in enumerate(exact.groupby(["game", "reference", "n", "seed"], sort=False)):
        yield f"-{place + 1}" if place else "", rows.of(mine)


def apart(runs: pd.DataFrame, keys: Sequence[str]) -> Iterator[tuple[str, pd.DataFrame]]:
    """The runs of every combination of `keys` that are there, with the end of a file name that says what varies."""
    keys = [key for key in keys if key in runs]
    varied = [key for key in keys if several(runs[key])]
    for _, group in runs.groupby(keys, sort=False):
        told = [f"{key}-{group[key].iloc[0]:g}" if key in ("beta", "n") else str(group[key].iloc[0]) for key in varied]
        yield "".join(f"-{slug(text)}" for text in told), group


def slug(text: str) -> str:
    """The text as part of a file name: `disc[strength=2]` → `disc-strength-2`."""
    return re.sub(r"[^A-Za-z0-9_.]+", "-", text).strip("-.") or "game"


def _of_solvers(rows: Rows) -> pd.DataFrame:
    return rows.runs[rows.runs["solver"] != REFEREE]
