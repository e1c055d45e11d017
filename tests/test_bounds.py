"""The figure of bounds and curves: what is drawn is what was measured and what is proved."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

import nashgames as ng
from nashgames.analysis.theorems import kl_bound, law_of
from nashgames.plots import save
from nashgames.plots.theorems import bounds


@pytest.fixture(scope="module")
def played():
    """Two sizes and two β of one game, with one solver that no theorem covers."""
    results = [
        ng.solve(
            ng.load("tournament", actions=n, seed=1),
            ["halves[nash-mp]", "proximal-point", *(["mirror-descent"] if n == 4 else [])],
            beta=(0.5, 0.1),
            queries=60,
            record_every=1,
        )
        for n in (4, 9)
    ]
    return {name: pd.concat([getattr(r, name) for r in results], ignore_index=True) for name in ("runs", "curves")}


def drawn(axes, *, dashed):
    return [line for line in axes.lines if (line.get_linestyle() == "--") == dashed]


def test_a_row_a_solver_a_column_a_beta_and_no_line_above_its_bound(played):
    figure = bounds(**played)
    assert len(figure.axes) == 4
    assert [axes.get_title() for axes in figure.axes] == ["β = 0.5", "β = 0.1"] * 2
    headings = [axes.get_title(loc="left").strip() for axes in figure.axes]
    assert headings == ["halves of nash-mp", "", "proximal-point", ""]
    runs = played["runs"][played["runs"]["solver"] != "mirror-descent"]
    runs = runs.sort_values(["label", "beta"], ascending=[True, False])
    for axes, (_, group) in zip(figure.axes, runs.groupby(["label", "beta"], sort=False), strict=True):
        (bound,), measured = drawn(axes, dashed=True), drawn(axes, dashed=False)
        assert len(measured) == len(group) == 2
        law = law_of(group.iloc[0])
        stride, each = {"halves[nash-mp]": (2, 2)}.get(law.solver, (law.inner, 2 * law.inner))
        whole = np.arange(len(bound.get_xdata()))
        np.testing.assert_allclose(bound.get_xdata(), whole * each)
        np.testing.assert_allclose(bound.get_ydata(), kl_bound(law, whole * stride))
        for line, run in zip(measured, group.sort_values("n")["run_id"], strict=True):
            points = played["curves"][played["curves"]["run_id"] == run]
            if law.solver == "halves[nash-mp]":
                points = points[points["step"] % 2 == 0]
            np.testing.assert_allclose(line.get_ydata(), points["kl_to_equilibrium"])
            np.testing.assert_allclose(line.get_xdata(), points["queries"])
            crossing = np.interp(line.get_xdata(), bound.get_xdata(), np.log(bound.get_ydata()))
            assert (np.log(line.get_ydata()) <= crossing).all()


def test_the_shade_tells_the_size_and_the_legend_names_it(played):
    figure = bounds(**played)
    (legend,) = figure.legends
    pairs = zip(legend.texts, legend.get_lines(), strict=True)
    named = {text.get_text(): to_hex(line.get_color()) for text, line in pairs}
    assert list(named)[:2] == ["n = 4", "n = 9"]
    assert "proved" in list(named)[2]
    small, large = drawn(figure.axes[0], dashed=False)
    assert [to_hex(small.get_color()), to_hex(large.get_color())] == list(named.values())[:2]
    assert sum(large.get_color()[:3]) < sum(small.get_color()[:3])


def test_steps_of_several_sizes_have_a_bound_each_and_the_files_are_reproducible(played, tmp_path):
    game = ng.load("tournament", actions=4)
    result = ng.solve(game, ["nash-mp[eta=0.1]", "nash-mp[eta=0.2]"], beta=0.1, queries=60)
    figure = bounds(result.curves, result.runs)
    assert len(figure.axes) == 2
    first, second = (drawn(axes, dashed=True)[0].get_ydata()[-1] for axes in figure.axes)
    assert first > second
    once, twice = (save(bounds(**played), tmp_path / name, ("png",))[0] for name in ("a", "b"))
    assert once.read_bytes() == twice.read_bytes()


def test_runs_without_a_theorem_are_refused(played):
    runs = played["runs"]
    with pytest.raises(ng.NashGamesError, match="no run is covered by a theorem"):
        bounds(played["curves"], runs[runs["solver"] == "mirror-descent"])
