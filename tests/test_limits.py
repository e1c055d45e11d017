"""Derived limits for the rows of a results directory, and that what is played keeps to them."""

import numpy as np
import pandas as pd
import pytest

from nashgames.analysis import stability
from nashgames.analysis.derived_limits import limits_of
from nashgames.experiments import runner
from nashgames.experiments.experiment import Experiment
from nashgames.store import Results

COLUMNS = ["game", "reference", "n", "label", "beta", "limit", "rate"]


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """Self-play and Nash Prox on rock-paper-scissors with steps around what they can bear."""
    directory = tmp_path_factory.mktemp("swept") / "results"
    experiment = Experiment(
        game="circulant",
        reference="tilted[span=2]",
        beta=[0.1, 0.05],
        solver=["online-ipo[step=1.5:12:12]", "nash-prox[inner=5,step=5:14:12]"],
        start="equilibrium[distance=0.001]",
        queries=1500,
        tolerance=1e-20,
        records=100,
    )
    for _ in runner.execute(experiment, directory):
        pass
    results = Results.read(directory)
    return results.runs, results.curves


def test_every_solver_that_is_known_has_limits_between_the_beta_too(swept):
    limits = limits_of(swept[0])
    assert list(limits) == COLUMNS
    assert set(limits["label"]) == {"online-ipo", "nash-prox[inner=5]"}
    for _, line in limits.groupby("label"):
        assert {0.1, 0.05} < set(line["beta"])
        assert len(line) == 25 and line["beta"].between(0.05, 0.1).all()
    at = limits[(limits["label"] == "online-ipo") & (limits["beta"] == 0.1)].iloc[0]
    assert at["limit"] == pytest.approx(7.84, rel=1e-3), "theory §4.4"


def test_what_is_measured_keeps_to_what_is_derived(swept):
    runs, curves = swept
    both = stability.measured(curves, runs).merge(limits_of(runs), on=COLUMNS[:5], suffixes=("", "_derived"))
    assert len(both) == 4
    plain = both[both["label"] == "online-ipo"]
    np.testing.assert_allclose(plain["limit"], plain["limit_derived"], rtol=5e-3)
    np.testing.assert_allclose(plain["rate"], plain["rate_derived"], rtol=0.01)
    # Nash Prox falls by what can be measured in a few of its outer steps.
    np.testing.assert_allclose(both["limit"], both["limit_derived"], rtol=0.05)
    np.testing.assert_allclose(both["rate"], both["rate_derived"], rtol=0.15)


def test_numbers_that_are_not_known_between_the_beta_give_no_limit_there(swept):
    runs = swept[0][swept[0]["solver"] == "nash-prox"]
    changed = runs.assign(
        hyperparameters=runs["hyperparameters"].where(
            runs["beta"] == 0.1, '{"step": 5, "eta": 0.3, "inner": 5, "kappa": 1}'
        )
    )
    assert sorted(limits_of(changed)["beta"]) == [0.05, 0.1]
    constant = runs.assign(hyperparameters='{"step": 5, "eta": 0.3, "inner": 5, "kappa": 1}')
    assert len(limits_of(constant)) == 25


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("feedback", "duels"),
        ("policy", "mlp"),
        ("optimiser", "adam"),
        ("solver", "nash-mp"),
        ("n", 201),
        ("contexts", 2),
    ],
)
def test_what_no_linearisation_is_known_of_has_no_rows(swept, column, value):
    limits = limits_of(swept[0].assign(**{column: value}))
    assert limits.empty and list(limits) == COLUMNS


def test_a_game_whose_code_a_file_brings_has_no_rows_and_its_code_is_not_run(swept, tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("raise RuntimeError('imported')")
    for game in (f"{file}:MyGame", str(tmp_path / "gone.csv")):
        limits = limits_of(swept[0].assign(game=game))
        assert limits.empty and list(limits) == COLUMNS


def test_seeds_and_sizes_of_a_drawn_game_are_made_again():
    rows = [
        {"game": "random-logits", "reference": "uniform", "n": n, "seed": seed, "contexts": 1, "solver": "online-ipo"}
        | {"game_fingerprint": None}
        | {"label": f"online-ipo[step={step}]", "hyperparameters": f'{{"step": {step}}}', "beta": 0.1}
        for n in (3, 4)
        for seed in (0, 1, 2)
        for step in (1, 2)
    ]
    limits = limits_of(pd.DataFrame(rows)).set_index(["n", "beta"])["limit"]
    alone = [limits_of(pd.DataFrame([row])).set_index(["n", "beta"])["limit"] for row in rows[::2]]
    for n in (3, 4):
        own = [found.loc[n, 0.1] for found in alone if n in found.index]
        assert len(set(own)) == 3
        assert limits.loc[n, 0.1] == np.median(own)
