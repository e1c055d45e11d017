"""How often the last policy of one method is preferred to that of another, the equilibrium and the reference among
them: the table that papers on language models show, by the games' own products instead of by duels."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nashgames.analysis.outcomes import complete, tuned
from nashgames.analysis.race import played_beta
from nashgames.analysis.resampling import Floats, interval, resamples_of, weights_of
from nashgames.core.game import Game
from nashgames.core.margins import product
from nashgames.defaults import REFEREE, RUN
from nashgames.errors import NashGamesError
from nashgames.exact.referee import equilibrium
from nashgames.experiments.choice import reported
from nashgames.experiments.sources import with_reference

EQUILIBRIUM, REFERENCE = "equilibrium", "reference"
"""The names of the two policies that no method has learned."""

PROBLEM = ("game", "n", "reference", "beta", "target")
"""The columns of what is played; everything else is part of the method."""

_APART = ("feedback", "policy", "optimiser", "start", "dtype", "device", "tolerance", "budget")
"""What a label does not say of a method, and is added where it varies."""


@dataclass(frozen=True)
class WinRates:
    """P(row ≻ column) of every two of R policies, `rates` `[I, R, R]` on I instances, ½ on the diagonal.

    `instances` has the columns `PROBLEM` and `seed`, a row an instance; `solvers` gives the solver of every method by
    its name. The policies are theirs in this order, then the equilibrium's and the reference. On `left_out` instances
    some method has no policy.
    """

    solvers: Mapping[str, str]
    instances: pd.DataFrame
    rates: Floats
    left_out: int = 0

    @property
    def names(self) -> list[str]:
        """The names of the policies."""
        return [*self.solvers, EQUILIBRIUM, REFERENCE]

    @cached_property
    def mean(self) -> Floats:
        """The mean rates `[R, R]`: all problems count alike, and within one all its seeds."""
        return np.tensordot(weights_of(self.instances, PROBLEM), self.rates, 1)

    @cached_property
    def interval(self) -> tuple[Floats, Floats]:
        """The ends `[R, R]` of the 95 % interval of the mean over games and seeds; NaN of one game and seed."""
        return interval(np.tensordot(resamples_of(self.instances, PROBLEM), self.rates, 1))

    def of(self, wanted: "NDArray[np.bool_] | pd.Series[bool]") -> "WinRates":
        """The same of the instances of which `wanted` `[I]` is true."""
        return replace(self, instances=self.instances[wanted].reset_index(drop=True), rates=self.rates[wanted])

    def by(self, columns: Sequence[str]) -> "list[tuple[dict[str, Any], WinRates]]":
        """The same of every combination of these columns of the instances, with what they have in them."""
        numbers = self.instances.groupby(list(columns), sort=False).ngroup().to_numpy()
        parts = [self.of(numbers == number) for number in range(numbers.max() + 1)]
        return [({name: part.instances[name].iloc[0] for name in columns}, part) for part in parts]

    def table(self) -> pd.DataFrame:
        """A row an ordered pair of policies: `method`, `other`, `probability` that the first is preferred, the ends
        `low` and `high` of its interval."""
        size = len(self.names)
        rows, columns = np.nonzero(~np.eye(size, dtype=bool))
        names = np.array(self.names, object)
        ends = {name: end[rows, columns] for name, end in zip(("low", "high"), self.interval, strict=True)}
        values = {"method": names[rows], "other": names[columns], "probability": self.mean[rows, columns]}
        return pd.DataFrame(values | ends)


def win_rates(runs: pd.DataFrame, policies: pd.DataFrame, game_of: "Callable[[pd.Series[Any]], Game]") -> WinRates:
    """P(π ≻ π') of the last `policies` of these runs, of π* and of μ, with `game_of` making the game of a run again.

    P(π ≻ π') = ½ + Σ_x ρ_x π_x · A_x π'_x, one product with A for every policy. π* is the equilibrium that a run looked
    for: π*_β, or at target `original` that of the original game. Runs that tuned are left out, of swept steps those of
    the best are taken, and instances are left out that a method did not play. Raises NashGamesError where nothing is
    left, for two runs of one method on one instance, and for a game that cannot be made again.
    """
    runs = _methods(runs)
    seeds = [*PROBLEM, "seed"]
    table = runs.pivot_table("run_id", seeds, "label", aggfunc="first", sort=False)
    solvers = runs.drop_duplicates("label").set_index("label")["solver"]
    whole = table[table.notna().all(axis=1)]
    if not len(whole):
        raise NashGamesError(
            f"no game was played by all of {', '.join(map(str, table.columns))}; compare methods on the same games"
        )
    known = runs.set_index("run_id")
    last = {str(name): rows for name, rows in policies[policies["run_id"].isin(known.index)].groupby("run_id")}
    rates = []
    for ids in whole.to_numpy():
        first = known.loc[ids[0]]
        game = with_reference(game_of(first), first)
        learned = [_policy(game, last[run_id]) for run_id in ids]
        star = equilibrium(game, float(played_beta(first.to_frame().T)[0])).log_policy
        rates.append(_rates(game, [*learned, star, game.log_reference]))
    methods = {str(name): str(solvers[name]) for name in whole.columns}
    return WinRates(methods, whole.index.to_frame(index=False), np.stack(rates), len(table) - len(whole))


def _methods(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs that are compared, their `label` saying all that tells their methods apart."""
    runs = tuned(reported(runs[runs["solver"] != REFEREE]))[0]
    if runs.empty:
        raise NashGamesError("there are no runs of solvers, whose policies could be compared; play some first")
    told = {name: runs[name].fillna(RUN[name]) if name in runs else RUN[name] for name in ("start", "target")}
    runs = complete(runs).assign(**told, label=runs["label"].astype(str))
    for name in (name for name in _APART if name in runs):
        # Only where nothing else tells two methods apart: budgets differ between β, and between methods.
        values = runs.groupby([*PROBLEM, "seed", "label"], sort=False)[name].transform("nunique")
        several = runs["label"].isin(runs["label"][values > 1])
        runs = runs.assign(label=runs["label"].where(~several, runs["label"] + " · " + runs[name].map(_said)))
    twice = runs[runs.duplicated([*PROBLEM, "seed", "label"])]
    if len(twice):
        raise NashGamesError(
            f"{twice['label'].iloc[0]} was played twice on {twice['game'].iloc[0]}, seed {twice['seed'].iloc[0]}; "
            f"choose one of both with --where"
        )
    return runs


def _policy(game: Game, rows: pd.DataFrame) -> Floats:
    """log π `[m, n]` of the rows of a policy."""
    ordered = rows.sort_values(["context", "action"], kind="stable")["log_probability"].to_numpy(np.float64)
    return ordered.reshape(game.contexts, game.actions)


def _rates(game: Game, log_policies: Sequence[Any]) -> Floats:
    """P(row ≻ column) `[R, R]` of policies log π, `[n]`, `[m, n]` over contexts."""
    policies = np.exp(np.stack([np.reshape(each, (game.contexts, game.actions)) for each in log_policies], axis=1))
    # Those of float32 sum to 1 but for its rounding.
    policies /= policies.sum(axis=-1, keepdims=True)
    weights = np.broadcast_to(np.asarray(game.weights, np.float64), game.contexts)
    margins = [of_one @ product(game.margins.of_context(x), of_one.T) for x, of_one in enumerate(policies)]
    return 0.5 + np.tensordot(weights, np.stack(margins), 1)


def _said(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def remarks(of: WinRates) -> list[str]:
    """The caption of a table: over how many games and seeds it is a mean, and what is left out."""
    games, seeds = len(of.instances[list(PROBLEM)].drop_duplicates()), of.instances["seed"].nunique()
    over = " and ".join([f"{games} games"] * (games > 1) + [f"{seeds} seeds"] * (seeds > 1))
    told = [f"mean over {over}, with its 95 % interval" if over else "one seed, and so no interval"]
    return told + [f"{of.left_out} games and seeds that a method did not play left out"] * (of.left_out > 0)
