"""What the seeds of a cell came to, against values worked out by hand and by SciPy."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from nashgames.analysis import outcomes
from nashgames.solvers import SOLVERS

INF, NAN = np.inf, np.nan


def run(end, *, seed=0, status="budget", label="online-ipo", **changes):
    """A run on samples whose last iterate has the suboptimality `end`."""
    cell = {"game": "circulant", "n": 3, "contexts": 1, "reference": "uniform", "beta": 0.1}
    how = {"feedback": "duels[batch=100]", "policy": "tabular", "optimiser": "sgd", "dtype": "float64"}
    how |= {"device": "cpu", "storage": "dense"}
    solver = {"label": label, "selection": label, "queries_to_tolerance": None, "tolerance": 0.01}
    ended = {"seed": seed, "status": status, "suboptimality": end, "comparisons": 5000}
    return cell | how | solver | ended | changes


def frame(*rows):
    runs = pd.DataFrame(list(rows))
    runs["queries_to_tolerance"] = pd.array(runs["queries_to_tolerance"], dtype="Int64")
    return runs


def test_quantiles_are_values_that_occur_and_the_median_is_the_ordinary_one():
    values = np.array([[4.0, 1.0], [1.0, 5.0], [3.0, 2.0], [2.0, INF]])
    assert outcomes.quantiles(values, (0.1, 0.5, 0.9)).tolist() == [[1, 1], [2.5, 3.5], [4, INF]]


def test_a_median_of_which_half_is_diverged_is_diverged():
    assert outcomes.quantiles(np.array([1.0, INF, 2.0, INF]), (0.5,)).tolist() == [INF]
    assert outcomes.quantiles(np.array([INF, INF]), (0.5, 0.9)).tolist() == [INF, INF]
    assert outcomes.quantiles(np.array([1.0, INF, 2.0]), (0.5, 0.9)).tolist() == [2, INF]


def test_the_quantiles_of_ten_values_do_not_suffer_from_rounding():
    assert outcomes.quantiles(np.arange(1.0, 11.0), (0.1, 0.7, 0.9)).tolist() == [1, 7, 9]


def test_a_value_that_was_not_measured_makes_the_quantile_unknown():
    assert np.isnan(outcomes.quantiles(np.array([1.0, NAN, 3.0]), (0.5,)))


@pytest.mark.parametrize(
    ("seeds", "names"),
    [
        (1, ["median"]),
        (2, ["median", "maximum"]),
        (9, ["median", "maximum"]),
        (10, ["median", "90 %", "maximum"]),
        (99, ["median", "90 %", "maximum"]),
        (100, ["median", "90 %", "99 %"]),
    ],
)
def test_a_quantile_that_is_the_maximum_is_called_that(seeds, names):
    levels = outcomes.levels(seeds)
    assert list(levels) == names
    values = np.random.default_rng(seeds).normal(size=seeds)
    for name, value in zip(levels, outcomes.quantiles(values, list(levels.values())), strict=True):
        if seeds > 1:
            assert (value == values.max()) == (name == "maximum")


@pytest.mark.parametrize(("count", "seeds"), [(0, 1), (1, 1), (0, 40), (40, 40), (3, 10), (870, 1000), (999, 1000)])
def test_the_interval_of_a_share_is_wilson_s(count, seeds):
    low, high = outcomes.interval(count, seeds)
    expected = stats.binomtest(count, seeds).proportion_ci(0.95, method="wilson")
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert 0 <= low <= count / seeds <= high <= 1


def test_the_interval_covers_the_share_that_it_is_for():
    draws = np.random.default_rng(0).binomial(50, 0.3, size=4000)
    low, high = outcomes.interval(draws, 50)
    assert 0.94 < np.mean((low <= 0.3) & (high >= 0.3)) < 0.98


def test_a_cell_counts_all_its_seeds_and_a_diverged_one_is_the_worst():
    ends = [0.001, 0.002, 0.003, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06]
    runs = frame(*(run(end, seed=i) for i, end in enumerate(ends)), run(1e-9, seed=9, status="diverged"))
    (cell,) = outcomes.cells(runs).to_dict("records")
    assert (cell["seeds"], cell["diverged"], cell["reached"], cell["share"]) == (10, 1, 4, 0.4)
    assert (cell["median"], cell["q90"], cell["q99"]) == (0.025, 0.06, INF)
    assert [cell["low"], cell["high"]] == pytest.approx([*map(float, outcomes.interval(4, 10))])
    assert cell["comparisons"] == 5000


@pytest.mark.parametrize("column", [*outcomes.VARIANTS, "beta", "n", "reference", "label", "selection", "dtype"])
def test_variants_are_never_merged(column):
    runs = frame(*(run(end, seed=seed) for end in (1.0, 2.0) for seed in (0, 1)))
    other = {"beta": 0.2, "n": 5}.get(column, "another")
    runs[column] = [runs[column].iloc[0]] * 2 + [other] * 2
    assert outcomes.cells(runs)["median"].tolist() == [1.0, 2.0]


def test_results_from_before_there_was_a_choice_are_exact_tabular_and_plain():
    old = frame(run(1.0)).drop(columns=list(outcomes.VARIANTS))
    assert outcomes.complete(old)[list(outcomes.VARIANTS)].iloc[0].to_dict() == dict(outcomes.VARIANTS)
    assert not outcomes.on_samples(outcomes.complete(old)).any()
    both = outcomes.complete(pd.concat([old, frame(run(1.0))]))
    assert outcomes.on_samples(both).tolist() == [False, True]


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("online-ipo[step=0.1]", "online-ipo"),
        ("nash-prox[eta=0.05,inner=40,step=4]", "nash-prox[inner=40]"),
        ("nash-mp[eta=0.1]", "nash-mp"),
        ("proximal-point[eta=3,inner=7]", "proximal-point[inner=7]"),
        ("adaptive-nash-mp[least=0.1]", "adaptive-nash-mp[least=0.1]"),
        ("average[online-ipo[step=0.1]]", "average[online-ipo]"),
        ("average[halves[nash-mp[eta=0.1]]]", "average[halves[nash-mp]]"),
        ("mine[step=1]", "mine[step=1]"),
        ("mine]", "mine]"),
    ],
)
def test_a_solver_without_its_step(label, expected):
    assert outcomes.label_without_step(label) == expected


STEPS = {
    "nash-mp": "eta", "nash-prox": "step", "proximal-point": "eta", "approximate-nash-mp": "step",
    "practical-nash-mp": "step", "online-ipo": "step", "uniform-ipo": "step", "egpo": "step", "nash-md-pg": "step",
    "nash-ema-pg": "step", "offline-ipo": "step", "dpo": "step", "mirror-descent": "step",
    "nash-md": "step", "omwu": "step",
    "smooth-predictive-regret-matching-plus": "step", "extragradient-regret-matching-plus": "step",
    "magnetic-mirror-descent": "step", "optimistic-mirror-descent": "eta", "nash-ema": "step", "inpo": "eta",
    "sppo": "step", "onpo": "step", "mpo": "step", "comal": "tau", "garip": "step", "apmd": "step",
    "regularised-gradient": "step", "regularised-optimistic-gradient": "step",
}  # fmt: skip


def test_every_solver_declares_its_step_and_nothing_else_as_what_a_search_varies():
    # Two choose their step themselves, above a least one; the others have none.
    own = dict.fromkeys(("adaptive-nash-mp", "secant-nash-mp"), ())
    own |= dict.fromkeys(("regret-matching-plus", "predictive-regret-matching-plus"), ())
    own |= dict.fromkeys(("fictitious-play", "smooth-fictitious-play"), ())
    # Their inner step may follow the curvature, and then η is what there is to tune.
    proximal = dict.fromkeys(("nash-prox", "approximate-nash-mp", "practical-nash-mp", "inpo-pg"), ("eta", "step"))
    assert {name: outcomes.tuned_parameters(name) for name in SOLVERS} == {
        k: (v,) for k, v in STEPS.items()
    } | own | proximal
    assert outcomes.tuned_parameters("average[halves[nash-mp[eta=1]]]") == ("eta",)


def test_the_step_of_a_solver_of_others_is_what_the_rows_say_and_its_code_is_not_run(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("raise RuntimeError('imported')")

    def without(*numbers):
        labels = [f"{file}:Mine[{number}]" for number in numbers]
        frame = pd.DataFrame({"label": labels})
        return [label.removeprefix(f"{file}:") for label in outcomes.labels_without_step(frame)]

    assert without("rate=1,inner=2", "rate=2,inner=2") == ["Mine[inner=2]"] * 2
    assert without("rate=1,step=2", "rate=2,step=3") == ["Mine[rate=1]", "Mine[rate=2]"], "of two the step"
    assert without("rate=1,inner=2", "rate=2,inner=3") == ["Mine[rate=1,inner=2]", "Mine[rate=2,inner=3]"]
    assert without("rate=1") == ["Mine[rate=1]"]
    assert outcomes.tuned_parameters(f"{file}:Mine[step=1]") == ()


def test_of_two_numbers_that_a_solver_is_tuned_in_the_step_is_the_one_that_differs():
    def read(*parameters):
        labels = [f"nash-prox[{text}]" for text in parameters]
        numbers = [json.dumps(dict(part.split("=") for part in text.split(","))) for text in parameters]
        frame = pd.DataFrame({"label": labels, "hyperparameters": numbers})
        return list(zip(outcomes.labels_without_step(frame), outcomes.steps_of(frame), strict=True))

    assert read("eta=3,step=1", "eta=3,step=2") == [("nash-prox[eta=3]", 1), ("nash-prox[eta=3]", 2)]
    assert read("eta=3,step=1", "eta=4,step=1") == [("nash-prox[step=1]", 3), ("nash-prox[step=1]", 4)]
    assert read("eta=3,inner=7") == [("nash-prox[inner=7]", 3)]


def test_a_step_is_read_from_the_numbers_of_its_row():
    numbers = ['{"eta": 0.2}', '{"eta": 3, "inner": 7}', '{"least": 1}', '{"rate": 1}', '{"rate": 2}', "{}"]
    labels = ["nash-mp", "average[proximal-point]", "adaptive-nash-mp", "mine[rate=1]", "mine[rate=2]", "mine]"]
    steps = outcomes.steps_of(pd.DataFrame({"label": labels, "hyperparameters": numbers}))
    np.testing.assert_array_equal(steps, [0.2, 3, NAN, 1, 2, NAN])


def swept(steps, solver="online-ipo", name="step", **changes):
    """A run for every step and seed: `steps` maps a step to the ends of its seeds."""
    return [
        run(
            end,
            seed=seed,
            label=f"{solver}[{name}={step}]",
            hyperparameters=f'{{"{name}": {step}}}',
            status="diverged" if end == INF else "budget",
            **changes,
        )
        for step, ends in steps.items()
        for seed, end in enumerate(ends)
    ]


def test_steps_are_swept_from_five_on():
    four = swept({step: [1.0] for step in (1, 2, 3, 4)})
    assert not outcomes.sweeps_steps(frame(*four))
    assert not outcomes.sweeps_steps(frame(*four, *swept({5: [1.0]}, beta=0.2))), "each β has at most four"
    assert outcomes.sweeps_steps(frame(*four, *swept({5: [1.0]})))


def test_a_solver_with_one_step_in_every_cell_is_one_solver():
    rows = [*swept({1: [0.5]}), *swept({3: [0.4]}, beta=0.01)]
    shown, steps = outcomes.tuned(frame(*rows))
    assert (shown["label"].tolist(), steps) == (["online-ipo"] * 2, 1)
    shown, steps = outcomes.tuned(frame(*rows, *swept({2: [0.3]})))
    assert (shown["label"].tolist(), steps) == ([f"online-ipo[step={k}]" for k in (1, 3, 2)], 0), "two meet at β = 0.1"
    shown, steps = outcomes.tuned(frame(*swept({1: [0.5]}), *swept({1: [0.4]}, beta=0.01)))
    assert (shown["label"].tolist(), steps) == (["online-ipo[step=1]"] * 2, 0)
    rows = [run(0.1, label=f"nash-md-pg[step={a},mixture={a}]", beta=a) for a in (0.1, 0.2)]
    shown, steps = outcomes.tuned(frame(*rows))
    assert (shown["label"].tolist(), steps) == (["nash-md-pg"] * 2, 1), "so with its other numbers"
    assert outcomes.tuned(frame(*rows, run(0.1, label="nash-md-pg", beta=0.1)))[1] == 0
    assert outcomes.tuned(frame(*swept({step: [1.0 / step] for step in range(1, 7)})))[1] == 6


def test_a_sweep_of_eta_is_one_solver_with_its_best_step():
    steps = {step: [1.0 / step] for step in range(1, 7)}
    assert outcomes.sweeps_steps(frame(*swept(steps, "nash-mp", "eta")))
    best, most = outcomes.tuned(frame(*swept(steps, "nash-mp", "eta"), *swept(steps)))
    assert most == 6
    assert set(zip(best["label"], best["selection"], strict=True)) == {
        ("online-ipo", "online-ipo[step=6]"),
        ("nash-mp", "nash-mp[eta=6]"),
    }
    assert outcomes.sweeps_steps(frame(*swept(steps, "nash-prox", "eta")))
    assert not outcomes.sweeps_steps(frame(*swept(steps, "nash-prox", "inner")))


def test_the_best_step_is_that_of_the_fewest_queries_then_of_most_seeds_then_the_end():
    steps = {1: [0.001, 0.5], 2: [0.009, 0.008], 3: [INF, 1e-9], 4: [0.5, 0.5], 5: [0.4, 0.4]}
    best, most = outcomes.best_steps(frame(*swept(steps), *swept({7: [0.3], 8: [0.2]}, beta=0.01)))
    assert most == 5
    assert best["label"].unique().tolist() == ["online-ipo"]
    assert sorted(zip(best["beta"], best["selection"], best["suboptimality"], strict=True)) == [
        (0.01, "online-ipo[step=8]", 0.2),
        (0.1, "online-ipo[step=2]", 0.008),
        (0.1, "online-ipo[step=2]", 0.009),
    ]
    exact = frame(*swept({1: [0.009], 2: [0.001]}, feedback="exact"))
    exact["queries_to_tolerance"] = pd.array([10, 20], dtype="Int64")
    assert outcomes.best_steps(exact)[0]["selection"].tolist() == ["online-ipo[step=1]"]
    # The median of the cost comes first, and of equal ones the step that more seeds reach the tolerance with.
    ends = {1: [0.009, 0.009, 0.5], 2: [0.009, 0.009, 0.009]}
    exact = frame(*swept(ends, feedback="exact"))
    for queries, best in (([10, 10, None, 20, 20, 20], 1), ([10, 10, None, 10, 10, 10], 2)):
        exact["queries_to_tolerance"] = pd.array(queries, dtype="Int64")
        assert set(outcomes.best_steps(exact)[0]["selection"]) == {f"online-ipo[step={best}]"}


def test_a_best_step_at_an_end_of_its_sweep_is_told():
    inside = {step: [abs(step - 3.1)] for step in range(1, 7)}
    assert outcomes.at_an_end(frame(*swept(inside))) == []
    assert outcomes.at_an_end(frame(*swept({step: [1.0 / step] for step in range(1, 7)}))) == ["online-ipo"]
    both = [*swept(inside), *swept({step: [1.0 * step] for step in range(1, 7)}, "nash-mp", "eta")]
    assert outcomes.at_an_end(frame(*both)) == ["nash-mp"]
    assert outcomes.at_an_end(frame(*swept({1: [0.1], 2: [0.2]}))) == [], "two are variants to compare"
