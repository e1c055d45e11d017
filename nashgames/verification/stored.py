"""What a results directory holds of its runs, row by row, and whether its tables agree with each other."""

import itertools
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from nashgames.core.game import Game
from nashgames.core.metrics import METRICS, OF_EQUILIBRIUM, STOPPING_COLUMN, every
from nashgames.defaults import REFEREE, RUN
from nashgames.engine.settings import MOST_STEPS, Settings
from nashgames.store import POINT_COLUMNS, RUN_KEYS, Results
from nashgames.verification.ledger import Report, Row
from nashgames.verification.numbers import Number, Rounding

RECORDED_STEPS = "recorded steps"
LAST_POINT = "last point of the curve"
EARLIER_POINTS = "earlier points of the curve"
_EPSILON = float(np.finfo(np.float64).eps)
# A tenth of what the certificate takes off by itself: a sum that is further off has its logarithm taken off here.
_ROUNDING = 1e-6
# Solvers that read the pairs of a data set, also inside a wrapper.
_ON_PAIRS = r"(?:^|\[)(?:offline-ipo|dpo|inpo-pg)(?:\]|$)"
_ENDED = ("status", "queries_to_tolerance")


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table as dictionaries, None where a value is missing."""
    plain = frame.astype(object)
    rows = plain.where(frame.notna(), None).itertuples(index=False, name=None)
    return [dict(zip(frame.columns, row, strict=True)) for row in rows]


def by_run(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The rows of every run."""
    return {str(run_id): rows for run_id, rows in frame.groupby("run_id", sort=False)}


def unmeasured(results: Results) -> dict[str, set[str]]:
    """The metrics that a run's rows never had, by run: it was played before there were any, as others are there.

    One that no run of the directory has counts whatever else is there.
    """
    runs = results.runs.drop_duplicates("run_id").set_index("run_id")
    measured = list(every())
    said = results.curves.groupby("run_id")[measured].count().reindex(runs.index) + runs[measured].notna()
    never = {name for name in measured if runs[name].isna().all()}
    kinds = (set(OF_EQUILIBRIUM), set(measured) - set(OF_EQUILIBRIUM))
    found: dict[str, set[str]] = {}
    for run_id, counts in said.to_dict("index").items():
        lacking = {name for name, count in counts.items() if not count}
        found[str(run_id)] = never.union(*(kind & lacking for kind in kinds if kind - lacking))
    return found


def check_curves(results: Results, rows: list[dict[str, Any]], report: Report) -> None:
    """Every run's curve has to end at the point that runs has of it."""
    curves = results.curves
    last = {row["run_id"]: row for row in records(curves.loc[curves.groupby("run_id")["step"].idxmax()])}
    for row in rows:
        point = {f"curves.{name}": last[row["run_id"]][name] for name in (*RUN_KEYS, *POINT_COLUMNS)}
        report.same(row, LAST_POINT, point, {name: row[name.removeprefix("curves.")] for name in point})


def check_points(results: Results, rows: list[dict[str, Any]], report: Report) -> None:
    """Earlier points have no policy to be computed from: they have to agree with each other and with the last one.

    Steps rise, every step costs the same but for pairs that are read again, the gap is twice the suboptimality, and no
    distance is negative.
    """
    of_run = {row["run_id"]: row for row in rows}
    curves = results.curves.sort_values(["run_id", "step"], kind="stable", ignore_index=True)
    last = results.runs.drop_duplicates("run_id").set_index("run_id").loc[curves["run_id"]]
    step, last_step = curves["step"].to_numpy(), last["step"].to_numpy()
    first = ~curves["run_id"].duplicated().to_numpy()
    new, last_new = _new_steps(last, step), _new_steps(last, last_step)
    # A row says what it holds and what it should: of several of a run the first is told.
    wrong = [("step", ~first & (np.diff(step, prepend=-1) <= 0), "a larger step")]
    for name, steps, last_steps in (("queries", step, last_step), ("comparisons", new, last_new)):
        off = curves[name].to_numpy() * last_steps != steps * last[name].to_numpy()
        wrong.append((name, off, "as many per step as at the last point"))
    unit = np.array([np.finfo(dtype).eps for dtype in curves["dtype"]])
    for name in (name for name, metric in METRICS.items() if metric.distance):
        # max (Aπ) is above 0 but for the rounding of n terms; the others are sums of what is not negative.
        wrong.append((name, curves[name].to_numpy() < -unit * curves["n"].to_numpy(), "at least 0"))
    gap, half = curves["duality_gap"].to_numpy(), curves["suboptimality"].to_numpy()
    with np.errstate(invalid="ignore"):
        wrong.append(("duality_gap", np.abs(gap - 2 * half) > 4 * unit * np.abs(gap), "twice the suboptimality"))
    for _ in rows:
        report.count(EARLIER_POINTS)
    for name, off, expected in wrong:
        for place in np.flatnonzero(off):
            row = curves.loc[place]
            if row["run_id"] in of_run:
                told = f"curves.{name} at step {row['step']}"
                report.differs(of_run.pop(row["run_id"]), told, row[name], expected)


def _new_steps(told: pd.DataFrame, steps: np.ndarray) -> np.ndarray:
    """Of so many first steps those that read pairs that were new, from the columns `solver` and `hyperparameters`.

    Of a data set of K batches, written anew every T steps, the first K of every T are (theory §4.8).
    """
    new, texts = np.array(steps), told["hyperparameters"].to_numpy(object)
    on_pairs = told["solver"].str.contains(_ON_PAIRS, na=False).to_numpy(bool)
    for text in set(texts[on_pairs]):
        try:
            numbers = dict(json.loads(text))
        except (TypeError, ValueError):
            # Then the row does not say what the run is, which is told where columns are compared.
            continue
        batches, of_round = (numbers.get(name) or MOST_STEPS for name in ("batches", "round"))
        mine = on_pairs & (texts == text)
        rounds, left = np.divmod(new[mine], of_round)
        new[mine] = rounds * min(batches, of_round) + np.minimum(left, batches)
    return new


def check_recorded(results: Results, rows: list[dict[str, Any]], report: Report) -> None:
    """A curve has a point at every step that its experiment records up to its last one, and at no other.

    The steps are those of the budget, which a run uses to its end unless it converged or diverged. A run that went on
    from the end of a smaller budget has the steps of that one, and behind it those of its own.
    """
    planned = _Planned(results)
    for row in rows:
        last = row["step"]
        if row["solver"] == REFEREE:
            continue
        if not planned.knows(row):
            report.unplanned += 1
            continue
        report.count(RECORDED_STEPS)
        limit = _limit(row)
        if limit < 0 or limit > MOST_STEPS:
            report.differs(row, "budget", row["budget"], f"that of 1 to {MOST_STEPS:,} steps")
            continue
        if row["status"] == "budget" and last != limit:
            report.differs(row, "step", last, limit)
        wanted, found = planned.steps(row), planned.found(row)
        told = f"curves: {RECORDED_STEPS[:-1]}"
        for step in np.setdiff1d(wanted, found):
            report.differs(row, told, None, int(step))
        for step in np.setdiff1d(found, wanted):
            report.differs(row, told, int(step), None)


def continued(results: Results, rows: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    """The recorded steps of the runs that went on from the end of a smaller budget, by run id."""
    planned = _Planned(results)
    played = [row for row in rows if planned.knows(row) and 0 <= _limit(row) <= MOST_STEPS]
    steps = {row["run_id"]: planned.steps(row) for row in played}
    usual = {row["run_id"]: planned.usual(row) for row in played}
    return {run_id: found for run_id, found in steps.items() if not np.array_equal(found, usual[run_id])}


def _limit(row: Row) -> int:
    """The most steps of a run."""
    # A run that ended before its first step has that point alone, whatever a step costs.
    return int(row["budget"] * row["step"] // row["queries"]) if row["queries"] else 0


class _Planned:
    """The steps at which the runs of a directory are recorded, as its experiments say."""

    def __init__(self, results: Results) -> None:
        runs = results.runs["run_id"]
        self._recordings = _recordings(results.manifest, set(runs))
        self._budgets = _budgets(results.manifest)
        by_run = results.curves.groupby("run_id", sort=False)["step"]
        self._found = {str(run_id): np.sort(steps.unique()) for run_id, steps in by_run}
        self._kept: dict[tuple[Settings, int], np.ndarray] = {}

    def knows(self, row: Row) -> bool:
        """Whether an experiment says how the run is recorded."""
        return row["run_id"] in self._recordings

    def found(self, row: Row) -> np.ndarray:
        """The steps that the curve has."""
        return self._found[row["run_id"]]

    def usual(self, row: Row) -> np.ndarray:
        """The steps of a run that went from its start to its end."""
        return self._through(row, ())

    def steps(self, row: Row) -> np.ndarray:
        """The steps that the curve has to have: where they are those of a run that went on from smaller budgets of the
        directory's experiments, these, else the usual ones."""
        usual, found, last = self.usual(row), self.found(row), row["step"]
        if np.array_equal(usual, found):
            return usual
        # The end of a budget is recorded, unless the run had stopped before.
        ends = [end for end in self._earlier(row) if end >= last or end in found]
        for count in range(1, len(ends) + 1):
            for chain in itertools.combinations(ends, count):
                if np.array_equal(steps := self._through(row, chain), found):
                    return steps
        return usual

    def _through(self, row: Row, ends: tuple[int, ...]) -> np.ndarray:
        """The steps of a run that went on from the ends of these smaller budgets, which rise."""
        settings, last, before = self._recordings[row["run_id"]], row["step"], -1
        parts = []
        for limit in (*ends, _limit(row)):
            if (settings, limit) not in self._kept:
                self._kept[settings, limit] = settings.record_steps(limit) if limit else np.zeros(1, int)
            of_budget = self._kept[settings, limit]
            parts.append(of_budget[of_budget > before])
            before = limit
        steps = np.concatenate(parts)
        return np.union1d(steps[steps < last], last)

    def _earlier(self, row: Row) -> list[int]:
        """The steps that smaller budgets of the same directory pay for, rising."""
        if not row["step"]:
            return []
        found = set[int]()
        for settings in self._budgets.get(self._recordings[row["run_id"]], ()):
            if row["comparisons"] and settings.comparisons is not None:
                new = int(_new_steps(pd.DataFrame([row]), np.array([row["step"]]))[0])
                found.add(settings.comparisons * new // row["comparisons"])
            else:
                found.add(settings.budget(row["beta"]) * row["step"] // row["queries"])
        return sorted(end for end in found if 0 < end < _limit(row))


def experiments_of(manifest: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What the manifest says of every command that was given here and was told its runs, the first one first."""
    entries = [entry for entry in (*manifest["history"], manifest) if isinstance(entry, dict)]
    return [
        entry
        for entry in entries
        if isinstance(entry.get("experiment"), dict) and isinstance(entry.get("run_ids"), list)
    ]


def _recordings(manifest: Mapping[str, Any], run_ids: set[str]) -> dict[str, Settings]:
    """How runs are recorded, by run; what an experiment does not say is as usual."""
    found: dict[str, Settings] = {}
    for entry in experiments_of(manifest):
        if (recording := _recording(entry)) is not None:
            found |= dict.fromkeys(run_ids.intersection(entry["run_ids"]), recording)
    return found


def _budgets(manifest: Mapping[str, Any]) -> dict[Settings, set[Settings]]:
    """The budgets of all experiments, by how they record."""
    found: dict[Settings, set[Settings]] = {}
    for entry in experiments_of(manifest):
        if (recording := _recording(entry)) is not None:
            asked = {key: entry["experiment"].get(key) for key in ("queries", "comparisons")}
            asked = {key: value for key, value in asked.items() if isinstance(value, int) and value > 0}
            found.setdefault(recording, set()).add(Settings(**asked))
    return found


def _recording(entry: Mapping[str, Any]) -> Settings | None:
    """How an experiment records, None where it does not say."""
    asked = {key: entry["experiment"].get(key) for key in ("records", "record_every")}
    asked = {key: value for key, value in asked.items() if isinstance(value, int) and value > 0}
    return Settings(**asked) if asked else None


def check_complete(results: Results, report: Report) -> None:
    """What the last command of the directory finished has to be there as its manifest counted it."""
    manifest = results.manifest
    if manifest["finished"] is None:
        return
    frames = {"runs": results.runs, "points": results.curves}
    found = {name: int(frame["run_id"].isin(manifest["run_ids"]).sum()) for name, frame in frames.items()}
    counted = {name: manifest["counts"].get(name, found[name]) for name in found}
    if found != counted:
        report.incomplete = (
            f"the manifest counts {counted['runs']:,} runs and {counted['points']:,} points, and the tables hold "
            f"{found['runs']:,} and {found['points']:,} of them"
        )


def check_end(row: Row, report: Report) -> None:
    """A run that reached its tolerance has converged, there and then, and no other run has."""
    reached_by, tolerance = row[STOPPING_COLUMN[row.get("target") or RUN["target"]]], row["tolerance"]
    reached = row["status"] == "converged"
    # float32 rounds the tolerance as well, by a unit or two: at the edge both endings are right.
    edge = 4 * float(np.finfo(row["dtype"]).eps) * tolerance
    if reached_by is not None and abs(reached_by - tolerance) > edge:
        reached = tolerance > 0 and reached_by < tolerance
    ending = {True: "converged", False: "budget" if row["status"] == "converged" else row["status"]}[reached]
    # On samples the end of the budget stops a run, not its tolerance.
    stopped = row["status"] == "converged" and not row["comparisons"]
    expected = (ending, row["queries"] if stopped else None)
    report.same(row, "status", {name: row[name] for name in _ENDED}, dict(zip(_ENDED, expected, strict=True)))


def check_game(row: Row, game: Game, report: Report) -> bool:
    """Whether the game made again has the size that the row says."""
    before = len(report.mismatches)
    known = {"n": game.actions, "contexts": game.contexts}
    report.same(row, "n, contexts", {name: row[name] for name in known}, known)
    return len(report.mismatches) == before


def check_policy(row: Row, policy: pd.DataFrame, game: Game, rounding: Rounding, report: Report) -> np.ndarray | None:
    """log π `[n]` (`[m, n]` over contexts), normalised; None where the rows are no policy of the game."""
    ordered = policy.sort_values(["context", "action"], kind="stable")
    context, action = np.indices((game.contexts, game.actions)).reshape(2, -1)
    if not np.array_equal(ordered[["context", "action"]].to_numpy(), np.column_stack([context, action])):
        given, wanted = f"{len(ordered)} rows", f"the {game.contexts * game.actions} of contexts × actions"
        report.same(row, "labels", {"policies.action": given}, {"policies.action": wanted})
        return None
    labels = np.array(game.description.labels or [str(i) for i in range(game.actions)], dtype=object)[action]
    differing = np.flatnonzero(ordered["label"].to_numpy() != labels)[:1]
    stored = {f"policies.label of action {action[i]}": ordered["label"].iloc[i] for i in differing}
    report.same(row, "labels", stored, {name: labels[i] for name, i in zip(stored, differing, strict=True)})
    log_policy, probability = (ordered[name].to_numpy(np.float64) for name in ("log_probability", "probability"))
    if np.isnan(log_policy).any():
        _check_diverged(row, report)
        return None
    _check_probabilities(row, log_policy, probability, report)
    of_contexts = log_policy.reshape(game.contexts, game.actions)
    with np.errstate(over="ignore"):
        totals = np.sum(np.exp(of_contexts), axis=-1)
    allowed = rounding.entropy(0.0, np.minimum(of_contexts, 0))
    report.number(row, "sum of the policy", float(totals[np.argmax(np.abs(totals - 1))]), Number(1.0, allowed))
    if not (np.isfinite(totals) & (totals > 0)).all():
        return None
    # The certificate takes the rounding of a sum off exactly; what long means in float32 leave beyond it goes here.
    excess = np.where(np.abs(totals - 1) > _ROUNDING, np.log(totals), 0)
    return (of_contexts - excess[:, None]).reshape(game.margins.shape[:-1])


def _check_probabilities(row: Row, log_policy: np.ndarray, probability: np.ndarray, report: Report) -> None:
    """Every probability has to be the exponential of its logarithm; the worst stands for all."""
    # Two libraries' exponentials differ by a few units of the last place.
    with np.errstate(over="ignore", invalid="ignore"):
        expected = np.exp(log_policy)
        excess = np.abs(probability - expected) - 8 * _EPSILON * expected
    worst = int(np.argmax(np.where(np.isnan(excess), np.inf, excess)))
    tiny = float(np.finfo(np.float64).tiny)
    known = Number(float(expected[worst]), 8 * _EPSILON * float(expected[worst]) + tiny)
    report.number(row, "probability", float(probability[worst]), known)


def _check_diverged(row: Row, report: Report) -> None:
    """A policy that is not a number belongs to a run that diverged before its first point, and has no numbers."""
    measured: Mapping[str, Any] = {"status": row["status"], "suboptimality": row["suboptimality"]}
    report.same(row, "status", measured, {"status": "diverged", "suboptimality": None})
