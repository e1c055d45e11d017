"""The phase diagram: what is drawn is what was measured, beside what was derived."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from nashgames.analysis import stability
from nashgames.errors import NashGamesError
from nashgames.plots import palette
from nashgames.plots.phases import phases
from tests.sweeps import STEPS, join, played

EIGENVALUES = {0.1: -0.05 + 0.15j, 0.02: -0.01 + 0.16j, 0.005: -0.02 + 0.16j}


def swept(**changes):
    parts = [played(STEPS, beta=beta, eigenvalue=value, **changes) for beta, value in EIGENVALUES.items()]
    return join(*parts)


def limits(label="online-ipo"):
    rows = [
        {"game": "circulant", "reference": "uniform", "n": 3, "label": label, "beta": beta, "limit": 1.0, "rate": 0.1}
        for beta in (0.005, 0.01, 0.02, 0.1)
    ]
    return pd.DataFrame(rows)


def draw(figure):
    assert isinstance(figure, Figure)
    figure.draw_without_rendering()
    return figure


def points_of(axes, marker):
    return [line for line in axes.get_lines() if line.get_marker() == marker and len(line.get_xdata())]


def labels_of(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_the_panels_show_the_largest_stable_step_and_the_best_rate():
    runs, curves = swept()
    figure = draw(phases(curves, runs))
    left, right = figure.axes
    assert (left.get_ylabel(), left.get_xlabel(), left.get_xscale()) == ("largest stable step", "β", "log")
    assert right.get_ylabel().startswith("best rate")
    table = stability.measured(curves, runs).sort_values("beta")
    (steps,), (rates,) = points_of(left, "^"), points_of(right, "^")
    drawn = steps.get_xydata()[np.argsort(steps.get_xdata())]
    np.testing.assert_allclose(drawn, table[["beta", "limit"]])
    np.testing.assert_allclose(np.sort(rates.get_ydata()), np.sort(table["rate"]))
    (bars,) = left.collections
    reach = sorted((line[0, 0], line[0, 1], line[1, 1]) for line in bars.get_segments())
    np.testing.assert_allclose(reach, table[["beta", "low", "high"]])
    assert labels_of(figure) == ["online-ipo"]
    bars = "bars, where they are wider than a symbol, reach to the neighbouring steps"
    assert figure.caption.endswith(f"measured over 12 steps per solver and β; {bars}")
    assert [tick.get_text() for tick in left.get_xticklabels()] == ["0.1", "0.02", "0.005"]


def test_what_is_derived_is_a_line_and_belongs_to_its_solver():
    runs, curves = swept()
    figure = draw(phases(curves, runs, pd.concat([limits(), limits("nash-prox").assign(limit=9.0)])))
    assert labels_of(figure) == ["online-ipo", "derived at the equilibrium"]
    for axes, value in zip(figure.axes, (1.0, 0.1), strict=True):
        (line,) = [line for line in axes.get_lines() if line.get_linestyle() == "--"]
        assert line.get_xdata().tolist() == [0.005, 0.01, 0.02, 0.1]
        assert set(line.get_ydata()) == {value}
        assert line.get_color() == palette.colour("online-ipo")
    for column, value in (("policy", "mlp"), ("optimiser", "adam"), ("reference", "tilted")):
        other = phases(curves, runs.assign(**{column: value}), limits())
        assert "derived at the equilibrium" not in labels_of(other)


def test_a_limit_beyond_the_steps_is_an_open_triangle_and_a_rate_that_never_falls_a_cross():
    stable = played(STEPS[:5], solver="nash-prox")
    unstable = played(STEPS[-4:], solver="mirror-descent")
    runs, curves = join(stable, unstable, played(STEPS))
    figure = draw(phases(curves, runs))
    left, right = figure.axes
    upwards = [line for line in points_of(left, "^") if line.get_markerfacecolor() == "none"]
    (downwards,) = points_of(left, "v")
    assert [line.get_xydata().tolist() for line in upwards] == [[[0.1, STEPS[4]]]]
    assert downwards.get_xydata().tolist() == [[0.1, STEPS[-4]]]
    (cross,) = points_of(right, "x")
    assert cross.get_color() == palette.colour("mirror-descent")
    assert cross.get_ydata().tolist() == [right.get_ylim()[0]]
    assert "open triangles: every step was stable (up) or none (down)" in figure.caption


def test_problems_have_rows_and_optimisers_labels():
    one = swept()
    parts = [(runs.assign(reference=name), curves) for name in ("tilted", "uniform") for runs, curves in [one]]
    runs = pd.concat([runs.assign(run_id=runs["run_id"]) for runs, _ in parts], ignore_index=True)
    figure = draw(phases(one[1], runs))
    assert [axes.get_title(loc="left") for axes in figure.axes[::2]] == ["tilted reference", "uniform reference"]
    other = one[0].assign(optimiser="adam[clip=1]")
    figure = draw(phases(one[1], pd.concat([one[0].assign(optimiser="sgd"), other]), limits()))
    assert labels_of(figure) == ["online-ipo · adam (clip 1)", "online-ipo · sgd", "derived at the equilibrium"]
    lines = [line for line in figure.axes[0].get_lines() if line.get_linestyle() == "--"]
    assert len(lines) == 1, "only plain steps have a derived limit"


def test_it_is_of_one_game_on_exact_feedback():
    runs, curves = swept()
    with pytest.raises(NashGamesError, match="no runs on exact feedback"):
        phases(curves, runs.assign(feedback="duels"))
    with pytest.raises(NashGamesError, match="several games"):
        phases(curves, runs.assign(game=["a", *["b"] * (len(runs) - 1)]))
