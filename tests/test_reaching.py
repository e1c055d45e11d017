"""Queries to ε: read off recorded points by hand, in the figure, in the table of the command and in its data."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.image import imread
from typer.testing import CliRunner

from nashgames import plots
from nashgames.analysis import reaching
from nashgames.cli import queries as tables
from nashgames.cli.main import app
from nashgames.errors import NashGamesError
from nashgames.plots import Page, Rows, palette
from nashgames.store import Results
from tests.test_plots import decay, draw, join, legend_of, rows, sampled

POINTS = [(0, 0.3), (2, 0.1), (10, 1e-2), (40, 1e-3), (100, 1e-6)]


def run(curve=POINTS, *, tolerance=1e-6, status="converged", **changes):
    runs, curves = rows(curve, status=status, **changes)
    return runs.assign(tolerance=tolerance), curves


def reached(*parts, **asked):
    runs, curves = join(*parts)
    return reaching.reached(runs, curves, **asked)


# --- reading off -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("epsilon", "cost"), [(0.3, 0), (0.2, 2), (0.1, 2), (0.099, 10), (1e-3, 40), (2e-6, 100)])
def test_it_is_the_first_recorded_point_at_or_below(epsilon, cost):
    table = reached(run(), epsilon=epsilon)
    assert table["cost"].tolist() == [cost] and table["spent"].tolist() == [100]


def test_a_curve_that_rises_again_has_been_there_and_one_that_never_was_has_not():
    waves = [(0, 0.3), (1, 0.01), (2, 0.2), (3, 0.05), (4, np.nan)]
    table = reached(run(waves, status="diverged", tolerance=0.0), epsilon=0.05)
    assert table["cost"].tolist() == [1]
    assert reached(run(waves, status="diverged", tolerance=0.0), epsilon=1e-3)["cost"].tolist() == [np.inf]
    assert reached(run(waves, status="diverged", tolerance=0.0), epsilon=1e-3)["spent"].tolist() == [4]


def test_it_says_how_late_a_recorded_point_may_be():
    runs, curves = run()
    curves["step"] = [0, 1, 5, 20, 50]
    assert reaching.reached(runs, curves, epsilon=1e-2)["late"].tolist() == [0.6], "10 queries, 4 at the earliest"
    assert reaching.reached(runs, curves, epsilon=0.1)["late"].tolist() == [0], "no step between was left out"


def test_at_the_tolerance_it_is_the_moment_of_stopping():
    runs, curves = run()
    runs["queries_to_tolerance"] = 93.0
    for epsilon in (None, 1e-6):
        table = reaching.reached(runs, curves, epsilon=epsilon)
        assert table[["cost", "late"]].to_numpy().tolist() == [[93, 0]]
    # The tolerance was on another number: that of the original game.
    original = reaching.reached(runs.assign(target="original"), curves, epsilon=1e-6)
    assert original["cost"].tolist() == [100]


def test_runs_on_duels_are_charged_in_comparisons():
    runs, curves = join(*[sampled(POINTS, seed=seed, batch=7) for seed in range(2)])
    assert reaching.reached(runs, curves, epsilon=1e-2)["cost"].tolist() == [70, 70]


@pytest.mark.parametrize(
    ("parts", "asked", "words"),
    [
        ([run()], {"epsilon": 1e-7}, "stopped at their tolerance of 1e-06; give at least that"),
        ([run()], {"epsilon": 0.0}, "epsilon is 0; accepted: a number above 0"),
        ([run()], {"epsilon": np.nan}, "accepted: a number above 0"),
        ([run(tolerance=0.0)], {}, "runs without a tolerance; give one, e.g. 1e-6"),
        ([run()], {"distance": "kl_to_equilibrium"}, "no run stops by kl_to_equilibrium; give one"),
    ],
)
def test_a_wrong_epsilon_is_a_sentence(parts, asked, words):
    with pytest.raises(NashGamesError) as error:
        reached(*parts, **asked)
    assert words in str(error.value)


def test_quantiles_are_those_of_numpy_and_a_seed_that_did_not_arrive_is_the_worst():
    costs = [20, 30, 90, np.inf, 50]
    frame = pd.concat([run(seed=seed, n=10)[0] for seed in range(5)], ignore_index=True)
    frame = frame.assign(cost=costs, spent=700.0, late=0.0, against=1.0)
    [row] = reaching.over_seeds(frame).to_dict("records")
    assert (row["median"], row["low"], row["high"]) == (np.median(costs), 20, np.inf)
    assert (row["seeds"], row["arrived"], row["spent"]) == (5, 4, 700)


# --- against what ------------------------------------------------------------------------------------------------


def several_numbers():
    parts = []
    for strength in (1.0, 2.0):
        for eta in (0.1, 0.3):
            game = f"disc[strength={strength:g}]"
            parts.append(
                run(
                    game=game,
                    game_parameters=json.dumps({"strength": strength}),
                    label=f"nash-mp[eta={eta}]",
                    hyperparameters=json.dumps({"eta": eta}),
                    policy=f"mlp[depth={int(strength)}]",
                    feedback="exact",
                    optimiser="sgd",
                )
            )
    return join(*parts)


def test_a_number_leaves_the_name_of_what_has_it():
    runs, _ = several_numbers()
    assert reaching.varying(runs) == ["strength", "eta", "depth"]
    by_strength = reaching.against(runs, "strength")
    assert by_strength["game"].unique().tolist() == ["disc"] and by_strength["against"].tolist() == [1, 1, 2, 2]
    assert by_strength["label"].nunique() == 2, "the step is another number"
    by_eta = reaching.against(runs, "eta")
    assert by_eta["label"].unique().tolist() == ["nash-mp"] and by_eta["game"].nunique() == 2
    assert reaching.against(runs, "depth")["policy"].unique().tolist() == ["mlp"]
    assert reaching.against(runs.assign(n=[1, 2, 3, 4]), "n")["against"].tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("strenth", "unknown numeric setting of a run 'strenth'; did you mean 'strength'"),
        ("game", "unknown numeric setting of a run 'game'; accepted: "),
        (
            "beta",
            "every run has beta = 0.1, and a figure against it needs two values; these vary: strength, eta, depth",
        ),
    ],
)
def test_a_wrong_number_is_a_sentence(name, words):
    with pytest.raises(NashGamesError) as error:
        reaching.against(several_numbers()[0], name)
    assert words in str(error.value)


@pytest.mark.parametrize("name", ["foo", "beta"])
def test_where_no_number_varies_nothing_can_be_drawn_against_one(name):
    with pytest.raises(NashGamesError) as error:
        reaching.against(run()[0], name)
    assert str(error.value) == (
        f"no numeric setting of these runs varies, and a figure against '{name}' needs two values of it; "
        "play several first, as nashgames sweep --beta 1,0.1,0.01 does"
    )


def test_runs_without_the_number_are_left_out():
    runs, _ = join(run(), run(solver="omwu", hyperparameters='{"step": 1}'), run(hyperparameters='{"eta": 0.5}'))
    assert reaching.against(runs, "eta")["against"].tolist() == [0.2, 0.5]


# --- the figure --------------------------------------------------------------------------------------------------


def over_n():
    parts = []
    for n, needed in ((10, (20, 30, 90)), (100, (200, None, None))):
        for seed, cost in enumerate(needed):
            curve = [(0, 0.3), (cost or 700, 1e-4 if cost else 0.01)]
            for solver in ("nash-mp", "online-ipo"):
                status = "converged" if cost else "budget"
                parts.append(run(curve, n=n, seed=seed, solver=solver, status=status, tolerance=1e-3))
    return join(*parts)


def test_the_figure_shows_medians_bands_and_what_did_not_arrive():
    runs, curves = over_n()
    figure = draw(plots.figures(Rows(runs, curves), ["queries"])["queries"])
    [ax] = figure.axes
    mine = [line for line in ax.get_lines() if line.get_color() == palette.colour("nash-mp")]
    shown = next(line for line in mine if line.get_marker() == "o" and line.get_markerfacecolor() != "white")
    assert shown.get_xdata().tolist() == [10, 100], "at its own place, beside nothing"
    assert shown.get_ydata()[0] == 30 and np.isnan(shown.get_ydata()[1]), "two of three did not arrive"
    (spent,) = [line for line in mine if line.get_markerfacecolor() == "white"]
    assert spent.get_xydata().tolist() == [[100, 700]]
    corners = ax.collections[0].get_paths()[0].vertices
    at_ten = corners[np.isclose(corners[:, 0], 10), 1]
    assert (at_ten.min(), at_ten.max()) == (20, 90)
    assert ax.get_ylabel() == "queries to\nsuboptimality ≤ 0.001" and ax.get_xlabel() == "actions n"
    assert "2 of 6 runs of nash-mp did not reach it" in figure.caption and "range over 3 seeds" in figure.caption


def test_the_bound_is_that_of_the_theorem_in_its_solvers_colour_and_sets_no_limit():
    runs, curves = over_n()
    # With this ε the bound is among the data, with a smaller η far above them.
    for eta, drawn in ((0.2, True), (1e-6, False)):
        mine = runs.assign(hyperparameters=json.dumps({"eta": eta}))
        figure = plots.figures(Rows(mine, curves), ["queries"])["queries"]
        bounds = [line for line in figure.axes[0].get_lines() if line.get_linewidth() == palette.BOUND["linewidth"]]
        assert figure.axes[0].get_ylim() == (20 / 1.6, 700 * 1.6)
        assert bool(bounds) == drawn == ("nash-mp, proved bound" in legend_of(figure))
    [line] = [
        line
        for line in plots.figures(Rows(runs, curves), ["queries"])["queries"].axes[0].get_lines()
        if line.get_linewidth() == palette.BOUND["linewidth"]
    ]
    assert to_hex(line.get_color()).upper() == palette.colour("nash-mp")
    # (β + 1/(4β))/(4β²)·(1+2β)^{−K} is ε at N = 2K + 1.
    whole = (line.get_ydata() - 1) / 2
    assert (0.1 + 1 / 0.4) / 0.04 * 1.2**-whole == pytest.approx(1e-3)


def test_the_table_has_the_numbers_of_the_figure():
    parts = [
        run(decay(beta * factor, 400), solver=solver, beta=beta, seed=seed, tolerance=0.0)
        for solver, factor in (("nash-mp", 1), ("omwu", 0.5))
        for beta in (1.0, 0.1, 0.02)
        for seed in range(3)
    ]
    runs, curves = join(*parts)
    figure = plots.figures(Rows(runs, curves, against="beta", epsilon=1e-3), ["queries"])["queries"]
    table = figure.numbers
    assert len(table) == 6 and table["beta"].tolist() == sorted(table["beta"], reverse=True)
    for solver in ("nash-mp", "omwu"):
        mine = table[table["label"] == solver].sort_values("beta")
        lines = [line for line in figure.axes[0].get_lines() if line.get_color() == palette.colour(solver)]
        [line] = [
            line
            for line in lines
            if line.get_marker() == palette.marker(solver) and line.get_markerfacecolor() != "white"
        ]
        np.testing.assert_array_equal(line.get_ydata(), mine["queries"].where(np.isfinite(mine["queries"])))
        # By hand: e^{−rN}·0.3 ≤ 10⁻³, recorded at even N.
        rate = mine["beta"].to_numpy() * (1 if solver == "nash-mp" else 0.5)
        by_hand = 2 * np.ceil(np.log(300) / rate / 2)
        np.testing.assert_array_equal(mine["queries"], np.where(by_hand <= 400, by_hand, np.inf))
    sheet = tables.sheet(table, "said")
    assert sheet.headings == ("β", "solver", "reached", "median queries", "least", "most", "total spent")
    assert sheet.rows[0][1] == "nash-mp" and sheet.rows[0][2] == "3 of 3"
    assert tables.payload(table)[-1]["queries"] is None or np.isfinite(tables.payload(table)[-1]["queries"])


def test_it_is_drawn_against_any_number_and_of_any_distance():
    runs, curves = several_numbers()
    made = plots.figures(
        Rows(runs, curves, against="strength", epsilon=1e-2), ["queries"], distance="kl_to_equilibrium"
    )
    [(name, figure)] = made.items()
    assert name == "queries-kl_to_equilibrium"
    assert {ax.get_xlabel() for ax in figure.axes} == {"strength"}
    assert figure.axes[0].get_ylabel() == "queries to\nKL to equilibrium ≤ 0.01"
    steps = plots.figures(Rows(runs, curves, against="eta", epsilon=1e-2), ["queries"])
    assert set(steps) == {"queries-disc-strength-1", "queries-disc-strength-2"}
    assert legend_of(draw(steps["queries-disc-strength-1"])) == ["nash-mp"]


# --- the page ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("width", "inches"), [("column", 3.25), ("text", 5.5), ("page", 6.75)])
def test_a_figure_is_as_wide_as_it_is_printed_and_nothing_is_cut(width, inches, tmp_path):
    parts = [
        run(solver=s, beta=b, n=n) for s in ("nash-mp", "adaptive-nash-mp", "omwu") for b in (1.0, 0.1) for n in (3, 9)
    ]
    runs, curves = join(*parts)
    figure = plots.figures(Rows(runs, curves), ["convergence"], page=Page(width=width))["convergence"]
    assert figure.get_figwidth() == inches
    [path] = plots.save(figure, tmp_path / "figure", ("png",))
    picture = imread(path)[..., :3]
    assert picture.shape[1] == round(inches * 220)
    for edge in (picture[:2], picture[-2:], picture[:, :2], picture[:, -2:]):
        assert (edge == 1).all(), "nothing touches an edge"


def test_type_is_as_large_as_asked_and_the_title_is_left_to_the_caption():
    runs, curves = run()
    large, bare = (
        plots.figures(Rows(runs, curves), ["convergence"], page=page)["convergence"]
        for page in (Page(font=11), Page(title=False))
    )
    assert large.axes[0].xaxis.label.get_size() == 11 and large.get_suptitle()
    assert bare.get_suptitle() == "" and bare.get_figheight() < large.get_figheight()
    assert bare.caption == large.caption and bare.caption.startswith("random-logits · uniform reference · n = 100")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"width": "colum"}, "width is 'colum'; did you mean 'column'"),
        ({"font": 2.0}, "font is 2; accepted: the size of the type in points, from 4 to 20"),
        ({"font": float("nan")}, "accepted: the size of the type"),
        ({"x_scale": "lin"}, "x_scale is 'lin'; did you mean 'linear'"),
    ],
)
def test_a_wrong_page_is_a_sentence(wrong, words):
    with pytest.raises(NashGamesError) as error:
        Page(**wrong)
    assert words in str(error.value)


def test_no_panel_is_empty():
    cells = [(beta, n, solver) for beta in (1.0, 0.1) for n in (3, 9) for solver in ("nash-mp", "omwu")]
    runs, curves = join(*[run(beta=beta, n=n, solver=solver) for beta, n, solver in cells[:5]])
    for name, figure in plots.figures(Rows(runs, curves), ["convergence", "queries", "rates"]).items():
        for ax in figure.axes:
            assert any(np.isfinite(line.get_ydata()).any() for line in ax.get_lines()), name


# --- the command -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """A directory of runs of three β."""
    directory = tmp_path_factory.mktemp("played") / "runs"
    options = ["-n", "3", "--beta", "1,0.5,0.2", "-s", "nash-mp", "--seeds", "2", "--queries", "200", "--no-plot"]
    done = CliRunner().invoke(app, ["sweep", "-g", "random-logits", *options, "--out", str(directory)])
    assert done.exit_code == 0, done.output
    return directory


def test_the_command_says_the_table_and_writes_the_caption(played, tmp_path):
    told = ["plot", str(played), "--out", str(tmp_path), "--format", "svg", "--epsilon", "1e-6", "--against", "beta"]
    answer = CliRunner().invoke(app, [*told, "--width", "column", "--font", "7", "--no-title", "--json"])
    assert answer.exit_code == 0, answer.output
    data = json.loads(answer.stdout)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["queries.svg", "queries.txt"]
    assert (tmp_path / "queries.txt").read_text() == data["captions"]["queries"] + ".\n"
    assert "queries to suboptimality ≤ 1e-06" in data["captions"]["queries"]
    table = data["tables"]["queries"]
    assert [row["beta"] for row in table] == [1.0, 0.5, 0.2] and [row["arrived"] for row in table] == [2, 2, 2]
    said = CliRunner().invoke(app, told).stdout
    for row in table:
        assert any(f"{row['beta']:g}" in line and f"{row['queries']:g}" in line for line in said.splitlines())


def test_curves_are_drawn_against_steps_each_of_which_may_cost_several_queries(played, tmp_path):
    told = ["plot", str(played), "--out", str(tmp_path), "--format", "svg", "--x", "steps", "--json"]
    answer = CliRunner().invoke(app, told)
    assert answer.exit_code == 0, answer.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["convergence-steps.svg", "convergence-steps.txt"]
    assert "suboptimality against steps" in json.loads(answer.stdout)["captions"]["convergence-steps"]
    results = Results.read(played)
    rows = Rows(results.runs, results.curves)
    (by_query,), (by_step,) = (
        plots.figures(each, ["convergence"]).values() for each in (rows, dataclasses.replace(rows, x="steps"))
    )
    longest = [
        max(line.get_xdata()[-1] for line in figure.axes[0].get_lines() if len(line.get_xdata()) > 2)
        for figure in (by_query, by_step)
    ]
    assert longest[0] == 2 * longest[1] > 0
    assert by_step.axes[-1].get_xlabel() == "steps"
    # The theorem counts queries.
    assert len(by_step.axes[0].get_lines()) < len(by_query.axes[0].get_lines())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--x", "step"], "did you mean 'steps'"),
        (["--x", "comparisons"], "exact feedback consumes none"),
        (["--x", "steps", "--figure", "rates"], "--x is for the axis of curves and no figure here shows any"),
        (["--epsilon", "1e-12"], "--epsilon is 1e-12, but runs stopped at their tolerance of 1e-10"),
        (["--epsilon", "small"], "--epsilon is 'small'; accepted: a number above 0"),
        (["--against", "eto"], "did you mean 'eta'"),
        (["--epsilon", "1", "--figure", "rates"], "--epsilon is of the figure 'queries' alone; add --figure queries"),
        (["--epsilon", "1", "--against", "n", "--figure", "rates"], "--epsilon and --against are of the figure"),
        (["--width", "wide"], "--width is 'wide'"),
        (["--font", "big"], "--font is 'big'; accepted: the size of the type in points"),
        (["--font", "40"], "--font is 40; accepted"),
        (["--x-scale", "sqrt"], "--x-scale is 'sqrt'"),
        (["--x-scale", "log", "--figure", "rates"], "no figure here shows any; those that do: convergence"),
    ],
)
def test_a_mistake_is_one_sentence(played, options, words):
    refused = CliRunner().invoke(app, ["plot", str(played), *options])
    assert refused.exit_code == 2
    assert words in refused.output and "Traceback" not in refused.output
