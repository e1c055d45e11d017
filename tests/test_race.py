"""The statistics of a race: against a hand computation, against scipy, and against draws whose truth is known."""

import itertools
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text
from scipy import stats

from nashgames import plots
from nashgames.analysis import resampling
from nashgames.analysis.race import (
    PROBLEM,
    Race,
    costs_to,
    fields,
    improvement,
    profiles,
    race,
    regimes,
    remarks,
    reported,
    standings,
)
from nashgames.analysis.regimes import levels_of
from nashgames.cli.race import judged
from nashgames.cli.verdict import judge
from nashgames.errors import NashGamesError
from nashgames.experiments.choice import as_asked
from nashgames.experiments.experiment import Experiment, load_preset, presets
from nashgames.experiments.sources import find_source
from nashgames.experiments.values import VERDICTS
from nashgames.games.families import generate
from nashgames.games.properties import cyclic_share, facts
from nashgames.plots.labels import NAME
from tests.test_cli import call, complaint, data, in_an_empty_folder  # noqa: F401
from tests.test_plots import draw, join, legend_of, rows

INF = np.inf
EPSILON = 1e-6


def raced(costs, games=None, seeds=None, **columns):
    """A race of methods a, b, … with these costs, a row an instance; each a game of its own unless told."""
    costs = np.asarray(costs, float)
    size = len(costs)
    games = [f"game {place:03}" for place in range(size)] if games is None else games
    told = {"contexts": 1, "reference": "uniform", "feedback": "exact", "policy": "tabular", "beta": 0.1, "n": 10}
    told |= {
        "dtype": "float64",
        "device": "cpu",
        "storage": "dense",
        "start": "reference",
        "target": "regularised",
    } | columns
    instances = pd.DataFrame({"game": games, "seed": np.zeros(size, int) if seeds is None else seeds} | told)
    names = {letter: letter for letter in "abcdefgh"[: costs.shape[1]]}
    return Race(EPSILON, "queries", names, instances[[*PROBLEM, "seed"]], costs)


def played(cost, *, solver="nash-mp", tolerance=EPSILON, last=400, **changes):
    """A run that comes from 0.1 to half of ε at `cost` queries (inf: never) and, where that is below its tolerance,
    stops there; the records before are at 0 and one step less."""
    end = last if cost == INF else cost
    reached = 0.1 if cost == INF else EPSILON / 2
    curve = [(0, 0.1)] * (end > 0) + [(end - 2, 0.05)] * (end > 2) + [(end, reached)]
    if end < last and tolerance < EPSILON / 2:
        curve.append((last, EPSILON / 4))
    stopped = curve[-1][1] <= tolerance
    run, points = rows(curve, solver=solver, status="converged" if stopped else "budget", **changes)
    points["step"] = points["queries"] // 2
    return run.assign(tolerance=tolerance), points


def by_name(table, key="method"):
    return {row[key]: row for row in table.to_dict("records")}


# --- the cost of a run -----------------------------------------------------------------------------------------------


def test_the_cost_to_the_tolerance_is_where_the_run_stopped_and_to_more_the_first_record():
    """Recorded: 0.1 at 0, 1e-3 at 10, 1e-5 at 16, 1e-7 at 40; the run stops at 1e-7, two queries a step."""
    run, curve = rows([(0, 0.1), (10, 1e-3), (16, 1e-5), (40, 1e-7)], status="converged")
    run, curve = run.assign(tolerance=1e-7, queries_to_tolerance=38), curve.assign(step=[0, 5, 8, 20])
    for epsilon, cost, least in [(1e-7, 38, 38), (1e-6, 40, 18), (1e-5, 16, 12), (1e-3, 10, 2), (0.1, 0, 0)]:
        found = costs_to(epsilon, run, curve)
        assert (found["cost"].item(), found["least"].item()) == (cost, least), epsilon
    for wrong in (1e-8, 0.0, np.nan):
        with pytest.raises(NashGamesError, match=r"epsilon is .*; accepted: numbers above 0 and of at least 1e-07"):
            costs_to(wrong, run, curve)


def test_a_run_that_never_arrives_or_diverges_costs_more_than_any_other():
    runs, curves = join(
        played(INF, seed=0),
        # Under ε on the way, but the run ended in overflow.
        rows([(0, 0.1), (2, 1e-9), (4, 9.0)], seed=1, status="diverged"),
        played(40, seed=2, tolerance=1e-10),
    )
    runs = runs.assign(tolerance=1e-10)
    assert costs_to(EPSILON, runs, curves)["cost"].tolist() == [INF, INF, 40]


def test_a_run_is_judged_by_the_metric_of_its_target():
    curve = rows([(0, 0.1), (2, 0.1), (4, 0.1)])[1].assign(exploitability=[0.1, 1e-7, 1e-8], suboptimality=0.1)
    for target, cost in (("original", 2), ("regularised", INF), (None, INF)):
        run = curve.iloc[[-1]].assign(label="a", tolerance=0.0, queries_to_tolerance=None, target=target)
        assert costs_to(EPSILON, run, curve.assign(target=target))["cost"].tolist() == [cost]


def test_duels_are_charged_in_comparisons_and_kinds_are_never_mixed():
    sampled, points = played(10, seed=1, tolerance=1e-10)
    sampled, points = (f.assign(feedback="duels[batch=5]", comparisons=5 * f["queries"]) for f in (sampled, points))
    # On duels a run goes on to its budget, also where the tolerance is ε.
    sampled = sampled.assign(tolerance=EPSILON, queries_to_tolerance=None)
    assert costs_to(EPSILON, sampled, points)["cost"].tolist() == [50]
    runs, curves = join(played(10), (sampled, points))
    with pytest.raises(NashGamesError, match="take one kind at a time"):
        costs_to(EPSILON, runs, curves)


def test_what_only_tuned_is_left_out():
    runs = pd.DataFrame({"run_id": list("abc"), "role": ["tuning", None, "reported"]})
    assert reported(runs)["run_id"].tolist() == ["b", "c"]
    assert reported(runs.drop(columns="role"))["run_id"].tolist() == list("abc")
    tuning = [played(cost, solver=solver, seed=9) for solver, cost in (("a", 2), ("b", 40))]
    rest = [played(cost, solver=solver) for solver, cost in (("a", 40), ("b", 20))]
    runs, curves = join(*(run for run in tuning + rest))
    found = standings(race(runs.assign(role=["tuning", "tuning", None, None]), curves))
    assert found["method"].tolist() == ["b", "a"] and found["efficiency"].tolist() == [1, 0.5]


def test_the_solver_as_it_was_asked_for_stands_beside_the_tuned_one():
    """Tuned over asked on four instances: a 10/40, 20/inf, inf/30, and 30 chosen as asked; b was not tuned."""
    costs = {0: (10, 40), 1: (20, INF), 2: (INF, 30)}
    pairs = [(played(x, solver="a", seed=s), played(y, solver="a", seed=s)) for s, (x, y) in costs.items()]
    parts = [one for pair in pairs for one in pair]
    for place, (runs, curves) in enumerate(parts):
        for table in (runs, curves):
            table["run_id"] = f"a/{place}"
        runs["role"], runs["step_source"] = (("reported", "tuned"), ("asked", "theory"))[place % 2]
    own = played(30, solver="a", seed=3)
    others = [played(50, solver="b", seed=seed) for seed in range(4)]
    runs, curves = join(*parts, own, *others)
    runs["role"], runs["step_source"] = runs["role"].fillna("reported"), runs["step_source"].fillna("theory")
    # A trial counts where its game is the same for every seed, and so is reported: here it is on a seed of its own.
    trial = played(1, solver="a", seed=9)[0].assign(role="tuning", step_source="theory")
    runs = pd.concat([runs, trial], ignore_index=True)
    of = race(runs, curves, asked=as_asked(runs))
    assert of.costs[:, 0].tolist() == [10, 20, INF, 30] and of.asked[:, 0].tolist() == [40, INF, 30, 30]
    assert of.asked[:, 1].tolist() == of.costs[:, 1].tolist() == [50] * 4
    a, b = by_name(standings(of))["a"], by_name(standings(of))["b"]
    assert (a["solved"], a["asked_solved"], b["asked_solved"]) == (0.75, 0.75, 1)
    # Of the ratios ¼, 0, inf, 1 half are at most ¼.
    assert (a["asked_factor"], b["asked_factor"]) == (0.25, 1)
    assert of.of(np.array([True, False, False, True])).asked[:, 0].tolist() == [40, 30]
    assert np.isnan(standings(race(runs, curves))["asked_solved"]).all()


# --- from rows to a race ---------------------------------------------------------------------------------------------


def small():
    """Three problems: `a` and `b` on disc at two β and on melo, with two seeds but on melo."""
    costs = {("disc", 0.1): ((10, 20), (40, 10)), ("disc", 0.01): ((INF, 100), (INF, INF)), ("melo", 0.1): ((30, 30),)}
    return [
        played(cost, solver=solver, game=game, beta=beta, seed=seed)
        for (game, beta), of_seeds in costs.items()
        for seed, pair in enumerate(of_seeds)
        for solver, cost in zip("ab", pair, strict=True)
    ]


def test_profiles_and_standings_are_those_computed_by_hand():
    """Cost over the least, by problem and seed: a 1, 4 | inf, inf | 1 and b 2, 1 | 1, inf | 1."""
    of = race(*join(*small()))
    assert of.methods == ["a", "b"] and of.axis == "queries" and of.goal == "suboptimality ≤ 1e-06"
    shares = profiles(of, np.array([1, 1.99, 2, 4, 1e9]))
    assert shares[:, 0] == pytest.approx([(0.5 + 0 + 1) / 3] * 3 + [2 / 3] * 2)
    assert shares[:, 1] == pytest.approx([(0.5 + 0.5 + 1) / 3] * 2 + [(1 + 0.5 + 1) / 3] * 3)
    found = by_name(standings(of))
    a, b = found["a"], found["b"]
    assert list(found) == ["b", "a"]
    assert (a["solved"], b["solved"]) == pytest.approx((2 / 3, 2.5 / 3))
    assert (a["fastest"], b["fastest"]) == pytest.approx((0.5, 2 / 3))
    assert (a["efficiency"], b["efficiency"]) == pytest.approx(((0.625 + 0 + 1) / 3, (0.75 + 0.5 + 1) / 3))
    # Weights by ratio: a 1/6 + 1/3 at 1 already make a half.
    assert (a["factor"], b["factor"]) == (1, 1)
    found = by_name(improvement(of))
    assert found["a"]["probability"] == pytest.approx((0.5 + (0 + 0.5) / 2 + 0.5) / 3)
    assert found["a"]["probability"] + found["b"]["probability"] == pytest.approx(1)


def test_the_efficiency_is_the_area_under_the_profile():
    of = raced(np.random.default_rng(0).choice([1, 2, 3, 7, 20, INF], (40, 3)))
    u = (np.arange(5000) + 0.5) / 5000
    areas = profiles(of, 1 / u).mean(axis=0)
    found = by_name(standings(of))
    assert [found[name]["efficiency"] for name in of.methods] == pytest.approx(areas, abs=1e-3)


def test_the_order_of_rows_changes_nothing():
    runs, curves = join(*small())
    there = race(runs, curves)
    backwards = race(runs.iloc[::-1].reset_index(drop=True), curves.sample(frac=1, random_state=0))
    pd.testing.assert_frame_equal(standings(there), standings(backwards))
    pd.testing.assert_frame_equal(improvement(there), improvement(backwards))
    assert there.resolution == backwards.resolution
    assert np.array_equal(there.resamples, backwards.resamples)


def test_the_optimiser_is_part_of_the_method_and_dtypes_are_problems_of_their_own():
    parts = [
        played(10 * (place + 1), solver="nash-prox", optimiser=optimiser, dtype=dtype)
        for place, (optimiser, dtype) in enumerate(itertools.product(("sgd", "adam"), ("float32", "float64")))
    ]
    runs, curves = join(
        *parts, *(played(5, solver="b", dtype=dtype, optimiser="sgd") for dtype in ("float32", "float64"))
    )
    of = race(runs, curves)
    assert of.methods == ["b", "nash-prox", "nash-prox · adam"]
    assert of.costs.tolist() == [[5, 10, 30], [5, 20, 40]]
    assert of.solvers["nash-prox · adam"] == "nash-prox"


def test_what_is_left_out_is_said():
    parts = [*small(), played(0, solver="a", game="uniform"), played(0, solver="b", game="uniform")]
    parts.append(played(10, solver="a", game="voters"))
    of = race(*join(*parts))
    assert (of.left_out, of.at_start, len(of.costs)) == (1, 1, 5)
    assert remarks(of) == [
        "3 games, up to 2 seeds each",
        "one game not played by all and left out",
        "one game solved before the first query and left out",
    ]
    runs, curves = join(played(10, solver="a"), played(10, solver="b", game="voters"))
    with pytest.raises(NashGamesError, match="no game is left to race on: 0 of 2 were played by every method"):
        race(runs, curves)
    runs, curves = join(played(0, solver="a"), played(0, solver="b"))
    with pytest.raises(NashGamesError, match="1 of 1 were solved before the first query"):
        race(runs, curves)
    with pytest.raises(NashGamesError, match="a race needs two methods and there are 1"):
        race(*played(10))
    runs, curves = join(played(10, solver="a"), played(10, solver="b"), played(12, solver="a", dtype="float64"))
    with pytest.raises(NashGamesError, match="a was played twice on random-logits, seed 0"):
        race(runs.assign(run_id=list("123")), curves)


def test_how_exact_recorded_costs_are_is_measured():
    """To 1e-6, by runs that stop at 1e-10 and record every tenth query of theirs, five steps."""
    curve = [(q, 10.0 ** -(q / 20)) for q in range(0, 201, 10)]
    runs, curves = join(*(rows(curve, solver=solver, status="converged") for solver in "ab"))
    of = race(runs.assign(tolerance=1e-10), curves.assign(step=curves["queries"] // 2))
    assert of.costs.tolist() == [[120, 120]]
    # The least is the step after the record at 110.
    assert of.resolution == pytest.approx(120 / 112 - 1)
    assert remarks(of)[-1] == "costs read from recorded points, at most 7% too high"


# --- who is probably faster ------------------------------------------------------------------------------------------


def test_the_probability_of_improvement_is_the_mean_of_mann_whitney_statistics():
    costs = np.random.default_rng(1).choice([1, 2, 3, INF], (50, 2))
    found = by_name(improvement(raced(costs)))
    # scipy's U of the first sample counts how often it is larger.
    statistics = [stats.mannwhitneyu([b], [a]).statistic for a, b in costs]
    assert found["a"]["probability"] == pytest.approx(np.mean(statistics))
    assert 0 < np.mean(np.equal(*costs.T)) < 1


def test_over_all_pairings_of_seeds_it_is_the_statistic_of_the_two_samples():
    """Pairing tells more where the seed draws the game; where it does not, nothing is lost: means are the same."""
    a, b = np.random.default_rng(2).integers(1, 6, (2, 7)).astype(float)
    paired = [
        by_name(improvement(raced(np.stack([a, np.roll(b, shift)], axis=1), ["g"] * 7, range(7))))["a"]["probability"]
        for shift in range(7)
    ]
    assert np.mean(paired) == pytest.approx(stats.mannwhitneyu(b, a).statistic / 49)


def test_the_median_factor_is_over_what_one_of_the_two_solved():
    found = by_name(improvement(raced([[2, 1], [9, 3], [8, 2], [INF, INF], [5, 1]])))
    assert found["a"]["factor"] == 3 and found["b"]["factor"] == pytest.approx(0.25)
    found = by_name(improvement(raced([[INF, 1], [INF, 3], [8, 2]])))
    assert found["a"]["factor"] == INF and found["b"]["factor"] == 0
    assert np.isnan(by_name(improvement(raced([[INF, INF]])))["a"]["factor"])


# --- intervals -------------------------------------------------------------------------------------------------------


def test_weights_make_problems_count_alike_and_sum_to_one():
    games, problems, seeds = np.array([0, 0, 0, 0, 1]), np.array([0, 0, 1, 1, 2]), np.array([0, 1, 0, 1, 0])
    assert resampling.even_weights(problems) == pytest.approx(np.array([1, 1, 1, 1, 2]) / 6)
    weights = resampling.resampled_weights(games, problems, seeds)
    assert weights.shape == (resampling.RESAMPLES, 5) and weights.sum(axis=1) == pytest.approx(1)
    # A seed is drawn for both problems of a game, and its share of a copy is 0, ½ or 1.
    assert weights[:, 0] == pytest.approx(weights[:, 2]) and weights[:, 1] == pytest.approx(weights[:, 3])
    # The first game is drawn 0, 1 or 2 of two times: its problems are then none, two of three, or all.
    assert set(weights[:, :4].sum(axis=1).round(9)) == {0, round(2 / 3, 9), 1}
    assert weights[:, :4].sum(axis=1).mean() == pytest.approx((2 * 2 / 3 + 1) / 4, abs=0.02)


def test_of_one_seed_each_it_is_scipy_s_bootstrap_over_games():
    values = np.random.default_rng(3).random(40)
    numbered = np.arange(40)
    mine = resampling.interval(resampling.resampled_weights(numbered, numbered, numbered * 0) @ values)
    theirs = stats.bootstrap((values,), np.mean, n_resamples=20_000, method="percentile", rng=0).confidence_interval
    # 0.0035 in level is about 0.006 standard errors of 0.046 at these ends, times 17 in slope: a tenth of one.
    assert mine == pytest.approx(theirs, abs=0.01)


def test_of_one_game_only_its_seeds_are_drawn_and_of_one_instance_nothing():
    costs = [[1, 2], [2, 1], [1, 3], [1, INF], [5, 4]]
    found = by_name(standings(raced(costs, ["g"] * 5, range(5))))
    assert 0 < found["a"]["efficiency_low"] < found["a"]["efficiency"] < found["a"]["efficiency_high"] <= 1
    one = raced([[1, 2]])
    found = by_name(standings(one))
    assert (found["a"]["efficiency"], found["b"]["efficiency"], found["b"]["solved"]) == (1, 0.5, 1)
    assert all(np.isnan(found["a"][name]) for name in ("solved_low", "efficiency_high", "leads"))
    assert np.isnan(improvement(one)[["low", "high"]].to_numpy()).all()
    assert by_name(improvement(one))["a"]["probability"] == 1


@pytest.mark.parametrize(("between", "within"), [(1.0, 0.3), (0.3, 1.0)])
def test_intervals_cover_what_is_true_of_the_games_that_these_are_drawn_from(between, within):
    """24 games of five seeds; log-costs of `a` are those of `b` plus a shift, of the game and of the seed.

    P(a cheaper) is then Φ(−shift/√(between² + within²)) for a game and seed that nobody has seen. Of 300 such races
    95 % ± 2.5 % would be covered (two standard errors); resampling both levels may make them wider, never narrower.
    """
    rng = np.random.default_rng(4)
    shift, count, seeds, races = 0.4, 24, 5, 300
    truth = stats.norm.cdf(-shift / np.hypot(between, within))
    games, numbers = np.repeat(np.arange(count), seeds), np.tile(np.arange(seeds), count)
    weights = resampling.resampled_weights(games, games, numbers, 1000)
    moved = (
        shift + between * rng.standard_normal((races, count, 1)) + within * rng.standard_normal((races, count, seeds))
    )
    wins = (moved < 0).reshape(races, -1).astype(float)
    low, high = resampling.interval(weights @ wins.T)
    covered = np.mean((low <= truth) & (truth <= high))
    assert covered >= 0.92
    # Nor so wide that they say nothing: those over games alone are of standard error √(p(1−p)/24) at most.
    assert np.mean(high - low) < 2 * 1.96 * np.sqrt(truth * (1 - truth) / count) * 1.25
    # Seeds taken for independent games would be far too sure where games differ.
    alone = resampling.resampled_weights(games * 0, games * 0, np.arange(count * seeds), 1000)
    low, high = resampling.interval(alone @ wins.T)
    if between > within:
        assert np.mean((low <= truth) & (truth <= high)) < 0.85


# --- regimes ---------------------------------------------------------------------------------------------------------


def test_regimes_say_who_is_first_where():
    costs = [[1, 10], [1, 5], [20, 1], [3, 1]]
    of = raced(costs, ["disc", "melo", "disc", "melo"], beta=[0.1, 0.1, 0.01, 0.01])
    levels = levels_of(of.instances, {})
    assert list(levels) == ["β", "game"]
    found = regimes(of, levels)
    assert found[["factor", "level", "first"]].to_numpy().tolist()[:2] == [["β", "0.1", "a"], ["β", "0.01", "b"]]
    assert found["efficiency"].tolist()[:2] == [1, 1]
    assert found["second_efficiency"].tolist()[:2] == pytest.approx([(0.1 + 0.2) / 2, (0.05 + 1 / 3) / 2])
    assert found["problems"].tolist() == [2, 2, 2, 2]
    assert found["leads"].tolist()[:2] == [1, 1]


def test_levels_are_those_of_the_games_made_again():
    games = ["bradley-terry", "circulant", "disc", "soccer10", "gone.csv"]
    of = raced(np.ones((5, 2)), games, n=[100, 31, 400, 10, 10], target=["original"] + ["regularised"] * 4)
    assert of.goal == "suboptimality or exploitability ≤ 1e-06"
    sources = {text: find_source(text) for text in games[:4]}
    levels = {name: level.tolist() for name, level in levels_of(of.instances, sources).items()}
    assert levels["β"] == ["0"] + ["0.1"] * 4
    assert levels["actions"] == ["31–300", "31–300", "> 300", "≤ 30", "≤ 30"]
    assert levels["source"] == ["generated", "generated", "generated", "data", "data"]
    assert (levels["cyclic share"][1], levels["cyclic share"][4]) == ("≥ 90 %", "unknown")
    game = generate("bradley-terry", actions=100, seed=0)
    assert cyclic_share(game) == facts(game).cyclic_energy < 0.1
    assert levels["cyclic share"][0] == "< 10 %"


# --- figures, terminal, preset ---------------------------------------------------------------------------------------


def test_the_figures_show_the_shares_and_the_probabilities():
    made = plots.figures(plots.Rows(*join(*small()), verdict="race"))
    assert list(made) == ["profiles", "improvement"]
    everything, *of_beta = draw(made["profiles"]).axes
    assert [ax.get_title() for ax in (everything, *of_beta)] == ["all games", "β = 0.1", "β = 0.01"]
    assert legend_of(made["profiles"]) == ["b", "a"]
    lines = [line for line in everything.get_lines() if line.get_drawstyle() == "steps-post"]
    ends = sorted((line.get_ydata()[0], line.get_ydata()[-1]) for line in lines)
    assert ends == [pytest.approx((0.5, 2 / 3)), pytest.approx((2 / 3, 2.5 / 3))]
    assert "3 games, up to 2 seeds each" in made["profiles"].caption
    (cell,) = draw(made["improvement"]).axes
    assert [text.get_text() for text in cell.get_yticklabels()] == ["b", "a"]
    # By hand: (0.5 + 0.25 + 0.5)/3 for a over b.
    assert {(text.get_position(), text.get_text()) for text in cell.texts} == {((1, 0), "58"), ((0, 1), "42")}


def test_names_stand_beside_their_curves_and_panels_of_single_betas_colour_the_best():
    methods = ["nash-mp", "nash-prox", "online-ipo", "mirror-descent", "omwu", "comal", "nash-ema"]
    parts = [
        played(10 * (1 + place), solver=solver, game=game, beta=beta)
        for place, solver in enumerate(methods)
        for game in ("disc", "melo")
        for beta in (0.1, 0.01)
    ]
    rows = plots.Rows(*join(*parts))
    figure = draw(plots.figures(rows, ["profiles"])["profiles"])
    everything, *of_beta = figure.axes
    names = [text for text in everything.texts if text.get_gid() == NAME]
    assert [text.get_text() for text in names] == methods, "all are solved: in the order of their efficiency"
    boxes = [Text.get_window_extent(text) for text in names]
    assert all(above.y0 >= below.y1 - 1 for above, below in itertools.pairwise(boxes))
    assert all(box.x0 > everything.bbox.x1 and box.x1 <= figure.bbox.x1 for box in boxes)
    colours = {line.get_color() for line in everything.get_lines()}
    for ax in of_beta:
        own = {line.get_color() for line in ax.get_lines()}
        assert (len(own & colours), len(own - colours)) == (5, 1), "the rest is of one grey"
    assert legend_of(figure)[-1] == "not among the 5 most efficient at this β"
    narrow = plots.figures(rows, ["profiles"], page=plots.Page(width="column", font=20))["profiles"]
    assert not draw(narrow).axes[0].texts and legend_of(narrow)[:7] == methods, "no room beside: a legend"


def test_one_game_and_seed_have_no_intervals_in_the_table():
    runs, curves = join(played(10, solver="a", game="disc"), played(40, solver="b", game="disc"))
    answer = judged(runs.assign(game_fingerprint=None), curves, lambda _: None)
    (sheet,) = answer.sheets
    assert [line[:5] for line in sheet.rows] == [
        ("a", "100 %", "100 %", "100 %", "1"),
        ("b", "100 %", "0 %", "25 %", "4"),
    ]
    assert sheet.headings[5] == "over a"
    assert (sheet.rows[0][5:], sheet.rows[1][5:]) == (("1", "–", "100 %"), ("4", "–", ""))
    assert answer.data["queries"]["standings"][0]["efficiency_low"] is None


def test_duels_have_figures_of_their_own():
    sampled = [played(10 * (1 + place), solver=solver) for place, solver in enumerate("ab")]
    parts = [
        tuple(f.assign(feedback="duels", comparisons=f["queries"], run_id="s" + f["run_id"]) for f in pair)
        for pair in sampled
    ]
    runs, curves = join(*small(), *parts)
    made = plots.figures(plots.Rows(runs, curves), ["profiles"])
    assert list(made) == ["profiles", "profiles-comparisons"]
    assert made["profiles-comparisons"].axes[0].get_xlabel() == "comparisons over those\nof the cheapest method"


def test_the_original_game_is_a_race_of_its_own():
    """a and b race on two games with β; b and c on another one of β = 0, of which c is twice as fast."""
    costs = {"a": 10, "b": 30}
    parts = [played(costs[solver], solver=solver, game=game) for game in ("disc", "melo") for solver in "ab"]
    for solver, cost in zip("bc", (40, 20), strict=True):
        run, points = played(cost, solver=solver, game="disc", beta=0.0)
        parts.append(tuple(f.assign(target="original", exploitability=f["suboptimality"]) for f in (run, points)))
    runs, curves = join(*parts)
    assert [(ending, sorted(set(mine["label"]))) for ending, mine in fields(runs)] == [
        ("", ["a", "b"]), ("-original", ["b", "c"]),
    ]  # fmt: skip
    answer = judged(runs.assign(game_fingerprint=None), curves, lambda _: None)
    assert {name: [row["method"] for row in found["standings"]] for name, found in answer.data.items()} == {
        "queries": ["a", "b"], "queries-original": ["c", "b"],
    }  # fmt: skip
    told = [sheet for sheet in answer.sheets if sheet.headings[0] == "method"]
    assert ["suboptimality ≤ 1e-06" in told[0].caption, "exploitability ≤ 1e-06" in told[1].caption] == [True, True]
    # Over a, which is the first of the one, and over b, the first of the other.
    assert [sheet.rows[0][4:6] for sheet in told] == [("1", "1"), ("1", "0.5")]
    assert list(plots.figures(plots.Rows(runs, curves), ["profiles"])) == ["profiles", "profiles-original"]
    # Who is alone at β = 0 has nobody to race against there.
    lonely = runs[(runs["label"] != "c")]
    assert set(judged(lonely.assign(game_fingerprint=None), curves, lambda _: None).data) == {"queries"}


SWEEP = [
    *("sweep", "mine.toml", "--seeds", "2", "--queries", "200", "--records", "20", "--tolerance", "1e-6"),
    *("--out", "here"),
]
MINE = (
    'verdict = "race"\ngame = ["disc", "melo"]\nactions = 5\nbeta = [1, 0.1]\nsolver = ["nash-mp", "mirror-descent"]\n'
)


def test_an_experiment_that_asks_for_a_race_ends_in_one():
    Path("mine.toml").write_text(MINE)
    result = call(*SWEEP)
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    (heading,) = [line for line in lines if line.split()[:3] == ["method", "solved", "fastest"]]
    assert "beats the next" in heading
    (regime,) = [line for line in lines if line.split()[:1] == ["regime"]]
    assert lines.index(heading) < lines.index(regime)
    assert any(re.match(r" *β 1 +2 +(nash-mp|mirror-descent)", line) for line in lines)
    assert json.loads(Path("here/manifest.json").read_text())["figures"] == [
        "improvement.png", "improvement.svg", "profiles.png", "profiles.svg",
    ]  # fmt: skip
    found = data(*SWEEP, "--no-plot")["verdict"]["queries"]
    assert {row["method"] for row in found["standings"]} == {"nash-mp", "mirror-descent"}
    assert {row["factor"] for row in found["regimes"]} >= {"β", "game"}
    assert len(found["improvement"]) == 2
    # The same numbers from the directory alone, and none where no figure of a race is asked for.
    again = ("plot", "here", "--format", "svg", "--figure")
    assert data(*again, "profiles")["race"]["queries"] == found
    assert "beats the next" in call(*again, "improvement").stdout
    assert "race" not in data(*again, "rates")


def test_a_race_needs_two_solvers():
    Path("mine.toml").write_text(MINE)
    assert complaint(call("sweep", "mine.toml", "--solver", "nash-mp")) == (
        "verdict is 'race', but the only solver is nash-mp; add another one, or leave verdict out"
    )
    with pytest.raises(NashGamesError, match="verdict is 'races'; did you mean 'race'"):
        Experiment(verdict="races")


def test_every_verdict_has_its_judge_and_its_figures():
    assert set(plots.ANSWERS) == set(VERDICTS)
    assert {name for names in plots.ANSWERS.values() for name in names} <= set(plots.FIGURES)
    for name in VERDICTS:
        assert {"WAITING", "check", "answer"} <= set(vars(judge(name)))


def test_the_preset_races_every_method_tuned_alike_on_every_family_and_shipped_game():
    from nashgames.games.families import FAMILIES
    from nashgames.games.tables import TABLES
    from nashgames.solvers import SOLVERS

    assert "race" in presets()
    experiment = load_preset("race")
    assert experiment.verdict == "race" and experiment.seeds == 5 and experiment.tune["trials"] == 8
    assert set(experiment.every("beta")) == {1, 0.1, 0.01, 0}
    # Games for policies that are networks.
    left_out = {"sequence-embedding", "sequence-voters", "sequence-styles"}
    assert {text.partition("[")[0] for text in experiment.every("game")} == {*FAMILIES, *TABLES} - left_out
    # One algorithm of several names races once.
    twins = {"inpo", "magnetic-mirror-descent", "uniform-ipo", "egpo", "apmd", "onpo"}
    # Methods of data sets have no data in a race of exact queries.
    assert set(experiment.every("solver")) == {*SOLVERS} - twins - {"offline-ipo", "dpo", "inpo-pg"}
