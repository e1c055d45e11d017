"""The largest stable steps of swept solvers, derived from the linearisation of their games at the equilibrium."""

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nashgames.analysis.outcomes import VARIANTS, complete, labels_without_step, steps_of
from nashgames.analysis.stability import mirror_step_limit, prox_rate, prox_step_limit, stable_step_limit
from nashgames.errors import NashGamesError
from nashgames.exact.referee import equilibrium_path
from nashgames.experiments.sources import Source, find_again, reference_key
from nashgames.learning.references import resolve_reference

_PLAIN, _PROX, _MIRROR = "online-ipo", "nash-prox", "mirror-descent"
_LARGEST = {_PLAIN: 200, _MIRROR: 200, _PROX: 20}
"""Actions up to which limits are derived. All eigenvalues of a dense matrix are needed, for Nash Prox of twice the size
at each of some hundred steps: at these sizes a second or less per β."""

_BETAS = 25
"""Number of β along a drawn line: closer than the eye tells apart in a figure."""

_FEW_ACTIONS = 20
"""Actions up to which a line of as many equilibria costs a second or less."""

_ENOUGH = 8
"""From so many played β on no others are added between them."""


def limits_of(runs: pd.DataFrame, game_file: Callable[[str | None], Path | None] = lambda _: None) -> pd.DataFrame:
    """The largest stable step and the best rate per query of the solvers of `runs`, as theory gives them.

    Columns game, reference, n, label (the solver without its step), beta, limit and rate; medians over the seeds. Known
    are `online-ipo` and `mirror-descent` up to 200 actions and `nash-prox` up to 20, on exact feedback, for a table
    moved by plain steps, in one context; of other runs, larger games and those that cannot be made again among them,
    there are no rows. Of small games at few β there are some between them, to make a line. `game_file` gives the kept
    file of a `game_fingerprint`, as `store.Results` does; a Python file is never run.
    The rate of nash-prox is that of the best of the swept steps: with an inner loop it has narrow peaks.
    """
    runs = complete(runs)
    known = (runs["n"] <= runs["solver"].map(_LARGEST).fillna(0)) & (runs["contexts"] == 1)
    for column, plain in VARIANTS.items():
        known &= runs[column] == plain
    runs = runs.assign(step=steps_of(runs), label=labels_without_step(runs))
    # Only given steps are a sweep, not one that follows the curvature: the best rate of Nash Prox is taken over them.
    runs = runs[known & (runs["step"].notna() | (runs["solver"] == _PLAIN))]
    columns = ["game", "reference", "n", "label", "beta", "limit", "rate"]
    rows: list[tuple[Any, ...]] = []
    sources = sources_of(runs, game_file)
    runs = runs[runs["game"].isin(sources)]
    # Seeds that change nothing of a game share its limits, which are computed once.
    drawn = [
        str((seed if sources[text].takes_seed else 0, reference_key(reference, seed)))
        for text, reference, seed in zip(runs["game"], runs["reference"], runs["seed"], strict=True)
    ]
    for _, mine in runs.assign(drawn=drawn).groupby(["game", "reference", "n", "drawn"], sort=False):
        text, reference, n = str(mine["game"].iloc[0]), str(mine["reference"].iloc[0]), int(mine["n"].iloc[0])
        families = [_Family.of(str(label), of_label) for label, of_label in mine.groupby("label", sort=False)]
        played = _equilibria(sources[text], reference, n, int(mine["seed"].iloc[0]), set(mine["beta"].tolist()))
        for beta, margins, policy in played:
            for found in families:
                values = found.limit(margins, policy, beta)
                if values is not None:
                    rows.append((text, reference, n, found.label, beta, *values))
    return pd.DataFrame(rows, columns=columns).groupby(columns[:5], sort=False, as_index=False).median()


def sources_of(runs: pd.DataFrame, game_file: Callable[[str | None], Path | None]) -> dict[str, Source]:
    """The games of the runs that can be made again, by their text."""
    found: dict[str, Source] = {}
    for text, told in zip(runs["game"], runs["game_fingerprint"], strict=True):
        if text not in found:
            told = None if pd.isna(told) else str(told)
            with contextlib.suppress(NashGamesError):
                found[text] = find_again(text, told, game_file(told))
    return found


def _equilibria(
    source: Source, reference: str, n: int, seed: int, played: set[float]
) -> Iterator[tuple[float, np.ndarray, np.ndarray]]:
    """β, margins `[n, n]` and π*_β `[n]` for the β that were played, and others between them where these are few."""
    betas = set(played)
    if len(betas) < _ENOUGH and n <= _FEW_ACTIONS and not source.takes_beta:
        betas |= set(np.geomspace(min(betas), max(betas), _BETAS)[1:-1].tolist())
    # A game that is built around one β has other margins at another.
    for group in [[beta] for beta in betas] if source.takes_beta else [sorted(betas)]:
        game = source.make(None if source.default_actions is None else n, seed, group[0], "float64")
        game = game.replace(log_reference=resolve_reference(reference, game, seed))
        # Dense, because all its eigenvalues are needed: `_LARGEST` keeps it small.
        margins = game.margins.submatrix(np.arange(game.actions)).astype(np.float64)
        for found in equilibrium_path(game, group):
            if found.converged:
                yield found.beta, margins, np.exp(found.log_policy)


@dataclass(frozen=True)
class _Family:
    """A solver whose steps are swept: its other numbers, by β where they differ, and the steps."""

    label: str
    solver: str
    numbers: Mapping[float, Mapping[str, Any]]
    steps: tuple[float, ...]

    @classmethod
    def of(cls, label: str, runs: pd.DataFrame) -> "_Family":
        numbers = {beta: json.loads(text) for beta, text in zip(runs["beta"], runs["hyperparameters"], strict=True)}
        steps = tuple(sorted(set(runs["step"])))
        return cls(label, str(runs["solver"].iloc[0]), numbers, steps)

    def limit(self, margins: np.ndarray, policy: np.ndarray, beta: float) -> tuple[float, float] | None:
        """The largest stable step and the best rate; None where the numbers at this β are not known."""
        if self.solver in (_PLAIN, _MIRROR):
            return (stable_step_limit if self.solver == _PLAIN else mirror_step_limit)(margins, policy, beta)
        numbers = self._numbers(beta)
        if numbers is None:
            return None
        largest = prox_step_limit(margins, policy, beta, **numbers)
        return largest, max(prox_rate(margins, policy, beta, step, **numbers) for step in self.steps)

    def _numbers(self, beta: float) -> dict[str, Any] | None:
        """η, `inner` and κ at β: as played, or as everywhere, η = 2β counting as one."""
        names = ("eta", "inner", "kappa")
        if beta in self.numbers:
            return {name: self.numbers[beta][name] for name in names}
        # The rounding of 2β, and an η written down with nine digits, count as 2β.
        theory = all(np.isclose(numbers["eta"], 2 * at, rtol=1e-9) for at, numbers in self.numbers.items())
        told = [{name: numbers[name] for name in names} for numbers in self.numbers.values()]
        told = [numbers | {"eta": 2 * beta} for numbers in told] if theory else told
        return told[0] if all(numbers == told[0] for numbers in told) else None
