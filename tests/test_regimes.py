"""The regimes of a step: the boundaries of mirror descent in closed form, and what the preset plays between them."""

import numpy as np
import pytest

from nashgames.analysis.stability import mirror_step_limit
from nashgames.experiments import runner
from nashgames.experiments.experiment import Experiment, load_preset
from nashgames.plots.regimes import _regimes, regimes
from nashgames.store import Results

RPS = np.array([[0, 0.5, -0.5], [-0.5, 0, 0.5], [0.5, -0.5, 0]])


@pytest.mark.parametrize("beta", [0.5, 0.1, 0.01])
def test_the_largest_step_of_mirror_descent_on_rock_paper_scissors_in_closed_form(beta):
    # At the uniform equilibrium AF is A/3, its eigenvalues ±iω = ±i√3/6; the best factor is ω/√(β² + ω²).
    square = 1 / 12
    limit, rate = mirror_step_limit(RPS, np.full(3, 1 / 3), beta)
    assert limit == pytest.approx(2 * beta / (beta**2 + square), rel=1e-10)
    assert rate == pytest.approx(np.log1p(beta**2 / square) / 2, rel=1e-8)


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """Steps on both sides of 2β/(β² + ω²), near 2.4 and 0.48 at these β, and of 2/β, 20 and 100."""
    values = load_preset("phases").to_dict()
    values["solver"] = [
        f"mirror-descent[step={step}]" for step in ("0.44", "0.52", "2.2", "2.6", "18", "22", "90", "110")
    ]
    folder = tmp_path_factory.mktemp("phases") / "results"
    list(runner.execute(Experiment.from_dict(values | {"beta": [0.1, 0.02], "queries": 2000}), folder))
    return Results.read(folder)


def test_a_step_contracts_below_the_derived_limit_and_flies_apart_above_two_over_beta(played):
    found = played.runs.assign(regime=_regimes(played.curves, played.runs))
    for beta, largest in ((0.1, 2.394), (0.02, 0.480)):
        ends = found[found["beta"] == beta]
        for label, regime in zip(ends["label"], ends["regime"], strict=True):
            step = float(label.partition("=")[2].rstrip("]"))
            bounded = "limit cycle" if step < 2 / beta else "expanding"
            assert regime == ("contracting" if step < largest else bounded), (beta, step)


def test_the_figure_shows_every_run_at_its_beta_and_step(played):
    (ax,) = regimes(played.curves, played.runs).axes
    marks = [line.get_xydata() for line in ax.get_lines() if line.get_linestyle() == "None"]
    assert sum(map(len, marks)) == len(played.runs) == 16
    contracting, cycling, expanding = marks
    assert contracting[:, 1].max() == 2.2
    assert {tuple(point) for point in expanding} == {(0.1, 22), (0.1, 90), (0.1, 110), (0.02, 110)}
    assert len(cycling) == 16 - len(contracting) - len(expanding)
