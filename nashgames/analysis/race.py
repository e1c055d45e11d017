"""From the cost of a method to reach ε on every game to comparisons of methods: profiles, efficiencies, probabilities
of improvement.

A *problem* is a game with its size, reference, β and target; an *instance* is a problem with one seed, which draws the
game. Methods are compared on the same instance only, and every mean is over problems that count alike.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nashgames.analysis.outcomes import CELL, axis_of, complete, on_samples
from nashgames.analysis.resampling import Floats, interval, resamples_of, weights_of
from nashgames.core.metrics import STOPPING_COLUMN
from nashgames.defaults import PARTS, RUN
from nashgames.errors import NashGamesError
from nashgames.experiments.arrivals import arrivals
from nashgames.experiments.choice import reported

EPSILON = 1e-6
"""The distance that a race is run to, where no tolerance is larger: one that all theories and float32 can reach."""

PROBLEM = (*(column for column in CELL if column != "optimiser"), "start", "target")
"""The columns that make a problem; an optimiser is part of the method."""


@dataclass(frozen=True)
class Race:
    """Methods on instances: `costs` `[I, M]` to `epsilon`, counted in `axis`; inf where it was not reached.

    `instances` has the columns `PROBLEM` and `seed`, a row an instance, sorted; `solvers` gives the solver of every
    method, in the order of the columns of `costs`. `left_out` instances were not played by all methods, and
    `at_start` were solved before the first query. A cost read from recorded points is too high by at most the share
    `resolution`. `asked` `[I, M]` are the costs of the methods as given, where they were tuned.
    """

    epsilon: float
    axis: str
    solvers: Mapping[str, str]
    instances: pd.DataFrame
    costs: Floats
    left_out: int = 0
    at_start: int = 0
    resolution: float = 0.0
    asked: Floats | None = None

    @property
    def methods(self) -> list[str]:
        """The methods by their labels."""
        return list(self.solvers)

    @property
    def goal(self) -> str:
        """What the race is run to: `suboptimality ≤ 1e-06`."""
        targets = self.instances["target"].unique()
        return f"{' or '.join(column for key, column in STOPPING_COLUMN.items() if key in targets)} ≤ {self.epsilon:g}"

    @property
    def ratios(self) -> Floats:
        """Cost over the least cost of any method on the instance, `[I, M]`; inf where ε was not reached."""
        best = self.costs.min(axis=1, keepdims=True)
        return np.divide(self.costs, best, out=np.full_like(self.costs, np.inf), where=np.isfinite(self.costs))

    @cached_property
    def weights(self) -> Floats:
        """The weight of every instance, `[I]` (`resampling.even_weights`)."""
        return weights_of(self.instances, PROBLEM)

    @cached_property
    def resamples(self) -> Floats:
        """The weights of resampled races, `[B, I]`; NaN where there is but one game and seed."""
        return resamples_of(self.instances, PROBLEM)

    def of(self, wanted: NDArray[np.bool_]) -> "Race":
        """The same race on the instances of which `wanted` `[I]` is true."""
        asked = None if self.asked is None else self.asked[wanted]
        instances = self.instances[wanted].reset_index(drop=True)
        return replace(self, instances=instances, costs=self.costs[wanted], asked=asked)


def fields(runs: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The runs that are compared with each other, by the suffix of the names of their figures, "" where all are.

    Exact feedback is charged in queries and duels in comparisons; the regularised games of β > 0 and the original one
    have solutions of their own, and methods of their own that find them.
    """
    runs = complete(runs)
    keys = [on_samples(runs).rename("sampled"), pd.Series(_filled(runs)["target"], runs.index, name="target")]
    # The regularised game first, which is the usual one.
    for (sampled, target), mine in sorted(runs.groupby(keys), key=lambda part: (part[0][0], part[0][1] == "original")):
        apart = "-original" if target == "original" and (keys[1] != target).any() else ""
        yield apart + ("-comparisons" if sampled and not keys[0].all() else ""), mine


def costs_to(epsilon: float, runs: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
    """What every run paid to come within `epsilon`, as `cost`, with the `least` that it may have been; index of `runs`.

    Runs on the original game come within ε in exploitability, all others in suboptimality. Where ε is the tolerance of
    a run on exact feedback the cost is exact, because the run stopped there. Else it is that of the first recorded
    point at or below ε, and `least` that of the step after the point before. inf is a run that never came there, or
    that diverged. Raises NashGamesError for an ε below a tolerance, where runs stop before they reach it, for an ε of
    0, and for runs of both kinds (`axis_of`).
    """
    axis_of(runs)
    most = runs["tolerance"].to_numpy(np.float64).max()
    if not epsilon > 0 or epsilon < most:
        raise NashGamesError(
            f"epsilon is {epsilon:g}; accepted: numbers above 0 and of at least {most:g}, the tolerance at which runs "
            f"stopped"
        )
    found = arrivals(runs, curves, epsilon=epsilon)[["cost", "least"]]
    return found.where(runs["status"] != "diverged", np.inf)


def race(
    runs: pd.DataFrame, curves: pd.DataFrame, epsilon: float | None = None, asked: pd.DataFrame | None = None
) -> Race:
    """The race of the methods of `runs`, a method being a `label` with its optimiser, to ε (`costs_to`).

    Without an `epsilon` it is 1e-6, or the largest tolerance where that is larger. Runs that tuned are left out, and so
    are instances that a method did not play, and those that were solved before the first query. `asked` are runs of the
    methods as they were asked for (`choice.as_asked`). Raises NashGamesError for fewer than two methods, for two runs
    of a method on one instance, and where no instance is left.
    """
    runs = reported(runs)
    runs = complete(runs).assign(**_filled(runs))
    if runs["label"].nunique() < 2:
        raise NashGamesError(f"a race needs two methods and there are {runs['label'].nunique()}; add another solver")
    if epsilon is None:
        epsilon = max(EPSILON, float(runs["tolerance"].max()))
    runs = runs.assign(label=_methods(runs), **costs_to(epsilon, runs, curves))
    keys = [*PROBLEM, "seed"]
    twice = runs[runs.duplicated([*keys, "label"])]
    if len(twice):
        raise NashGamesError(
            f"{twice['label'].iloc[0]} was played twice on {twice['game'].iloc[0]}, seed {twice['seed'].iloc[0]}; "
            f"give the runs of a race labels of their own"
        )
    table = runs.pivot_table("cost", keys, "label", aggfunc="first")
    played = table[table.notna().all(axis=1)]
    raced = played[played.min(axis=1) > 0]
    if not len(raced):
        reason = "were solved before the first query" if len(played) else "were played by every method"
        raise NashGamesError(
            f"no game is left to race on: {len(played)} of {len(table)} {reason}; let all methods play one game"
        )
    paid = np.isfinite(runs["cost"]) & (runs["cost"] > 0)
    over = runs["cost"][paid] / runs["least"][paid].clip(lower=1) - 1
    solvers = runs.drop_duplicates("label").set_index("label")["solver"]
    return Race(
        epsilon=epsilon,
        axis=axis_of(runs),
        solvers={str(name): str(solvers[name]) for name in raced.columns},
        instances=raced.index.to_frame(index=False),
        costs=raced.to_numpy(np.float64),
        left_out=len(table) - len(played),
        at_start=len(played) - len(raced),
        resolution=float(over.max()) if len(over) else 0.0,
        asked=None if asked is None or asked.empty else _as_asked(asked, curves, epsilon, raced),
    )


def _methods(runs: pd.DataFrame) -> "pd.Series[str]":
    """The name of the method of every run in a race: its label, with the optimiser where that is not always plain
    steps.
    """
    label, optimiser = runs["label"].astype(str), runs["optimiser"].astype(str)
    return label.where(optimiser == PARTS["optimiser"], label + " · " + optimiser)


def _as_asked(asked: pd.DataFrame, curves: pd.DataFrame, epsilon: float, raced: pd.DataFrame) -> Floats:
    """The costs of the methods before tuning; those of the race where tuning chose what was asked for."""
    keys = [*PROBLEM, "seed"]
    asked = complete(asked).assign(**_filled(asked))
    asked = asked[pd.MultiIndex.from_frame(asked[keys]).isin(raced.index)]
    if asked.empty:
        return raced.to_numpy(np.float64)
    asked = asked.assign(label=_methods(asked), **costs_to(epsilon, asked, curves))
    table = asked.pivot_table("cost", keys, "label", aggfunc="first")
    return table.reindex(index=raced.index, columns=raced.columns).fillna(raced).to_numpy(np.float64)


def _mean(weights: Floats, values: Floats) -> Floats:
    """`weights` `[…, I]` @ `values` `[I, …]`, rounded, so that a share of all is 1 and equal means are equal."""
    # Of a thousand terms rounding leaves 1e-13, and no table shows twelve digits.
    return np.round(weights @ values, 12)


def profiles(of: Race, factors: Floats) -> Floats:
    """ρ_m(τ), the share of games that a method solves within the factor τ of the best one's cost, `[T, M]`.

    ρ_m(τ) = mean over problems of the mean over seeds of 1[c_m ≤ τ · min_k c_k]. A game that no method solves counts
    for none of them. Source: Dolan and Moré 2002, section 2.
    """
    return np.stack([_mean(of.weights, of.ratios <= factor) for factor in factors])


def standings(of: Race) -> pd.DataFrame:
    """The results of every method, one row per method, the most efficient first.

    solved               share of games that came within ε
    fastest              share of games on which no method was cheaper; of equals each counts
    efficiency           mean of (least cost of any method)/(own cost), 0 where ε was not reached: the area under the
                         performance profile ∫₀¹ ρ(1/u) du
    factor               what half of the games are solved within, of the best method's cost; inf where fewer are solved
    leads                share of resampled races in which no method is more efficient
    asked_solved         as solved, of the methods as given, before tuning; NaN where none was tuned
    asked_factor         the cost over that of the method as given, median over what one of the two solved

    `…_low` and `…_high` of solved and efficiency are the 95 % interval over games and seeds
    (`resampling.resampled_weights`).
    """
    ratios = of.ratios
    efficiencies, solved = 1 / ratios, np.isfinite(ratios)
    resampled = _mean(of.resamples, efficiencies)
    leads = (resampled == resampled.max(axis=1, keepdims=True)).mean(axis=0)
    columns: dict[str, Any] = {"method": of.methods, "solver": list(of.solvers.values())}
    for name, values in (("solved", solved), ("efficiency", efficiencies)):
        low, high = interval(_mean(of.resamples, values))
        columns |= {name: _mean(of.weights, values), f"{name}_low": low, f"{name}_high": high}
    columns |= {
        "fastest": _mean(of.weights, ratios == 1),
        "factor": np.quantile(ratios, 0.5, axis=0, weights=of.weights, method="inverted_cdf"),
        "leads": np.where(np.isnan(of.resamples).any(), np.nan, leads),
        "asked_solved": np.nan if of.asked is None else _mean(of.weights, np.isfinite(of.asked)),
        "asked_factor": np.nan
        if of.asked is None
        else [_median_factor(mine, own, of.weights) for mine, own in zip(of.costs.T, of.asked.T, strict=True)],
    }
    return pd.DataFrame(columns).sort_values(["efficiency", "method"], ascending=[False, True], ignore_index=True)


def improvement(of: Race) -> pd.DataFrame:
    """The probability that one method beats another on a game, one row per ordered pair of methods.

    P(c_m < c_k) + ½ P(c_m = c_k) on the same instance, the mean over problems of the mean over seeds; two that do not
    reach ε are equal. With one seed this is the mean over problems of the Mann–Whitney statistic U of single runs.
    `low` and `high` are its 95 % interval over games and seeds, and `factor` the median of c_m/c_k over the games that
    one of them solved. Source: Agarwal et al. 2021, §4.3 (their runs are not of one draw, so that all are paired).
    """
    cost, against = of.costs[:, :, None], of.costs[:, None, :]
    wins = ((cost < against) + 0.5 * (cost == against)).reshape(len(of.costs), -1)
    low, high = interval(_mean(of.resamples, wins))
    values = {"probability": _mean(of.weights, wins), "low": low, "high": high}
    pairs = [(name, other) for name in of.methods for other in of.methods]
    of_method = dict(zip(of.methods, of.costs.T, strict=True))
    factors = [_median_factor(of_method[name], of_method[other], of.weights) for name, other in pairs]
    table = pd.DataFrame(pairs, columns=["method", "other"]).assign(**values, factor=factors)
    return table[table["method"] != table["other"]].reset_index(drop=True)


def regimes(of: Race, levels: Mapping[str, "pd.Series[str]"]) -> pd.DataFrame:
    """The most efficient method by regime: one row per level of every factor, with the first and the second method
    there.

    `levels` gives, by the name of a factor, the level of every instance, ordered categories (`analysis.regimes`).
    Columns factor, level, `problems` (how many), `first` with its `efficiency`, `low`, `high`, `solved` and `leads`
    (`standings`), and `second` with its `second_efficiency`.
    """
    rows = []
    for factor, level in levels.items():
        for name in level.sort_values().unique():
            part = of.of((level == name).to_numpy())
            first, second = standings(part).iloc[:2].to_dict("records")
            rows.append(
                {"factor": factor, "level": name, "problems": len(part.instances[list(PROBLEM)].drop_duplicates())}
                | {"first": first["method"], "second": second["method"], "second_efficiency": second["efficiency"]}
                | {key: first[key] for key in ("efficiency", "solved", "leads")}
                | {"low": first["efficiency_low"], "high": first["efficiency_high"]}
            )
    return pd.DataFrame(rows)


def _median_factor(cost: Floats, against: Floats, weights: Floats) -> float:
    """The weighted median of cost/against over what one of the two solved; NaN where that is nothing."""
    some = np.isfinite(np.minimum(cost, against))
    if not some.any():
        return np.nan
    ratios = np.where(np.isfinite(against[some]), cost[some] / against[some], 0.0)
    return float(np.quantile(ratios, 0.5, weights=weights[some], method="inverted_cdf"))


def remarks(of: Race) -> list[str]:
    """The caption of a race: how many games and seeds it has, what is left out, and how exact its costs are."""
    problems, seeds = len(of.instances[list(PROBLEM)].drop_duplicates()), of.instances["seed"].nunique()
    texts = [games(problems) + (f", up to {seeds} seeds each" if seeds > 1 else "")]
    texts += [f"{games(of.left_out)} not played by all and left out"] * (of.left_out > 0)
    texts += [f"{games(of.at_start)} solved before the first query and left out"] * (of.at_start > 0)
    # Less than half a percent would be said as 0.
    texts += [f"costs read from recorded points, at most {of.resolution:.0%} too high"] * (of.resolution >= 0.005)
    return texts


def games(count: int) -> str:
    """So many games."""
    return "one game" if count == 1 else f"{count:,} games"


def played_beta(instances: pd.DataFrame) -> Floats:
    """β of the game that every instance is to solve, `[I]`: 0 for the original game."""
    return np.where(instances["target"] == "original", 0.0, instances["beta"].to_numpy(np.float64))


def _filled(frame: pd.DataFrame) -> dict[str, Any]:
    """The start and the target of runs whose rows were written before these could be chosen."""
    return {name: frame[name].fillna(RUN[name]) if name in frame else RUN[name] for name in ("start", "target")}
