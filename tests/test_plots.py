"""Figures: what they show, that their look depends on names alone, and that their files repeat to the byte."""

import json

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from nashgames import plots, solvers
from nashgames.errors import NashGamesError
from nashgames.plots import distances, estimates, labels, layout, methods, naming, palette, panels
from nashgames.plots.convergence import convergence
from nashgames.plots.page import Page, drawn_for
from nashgames.plots.preferences import preferences
from nashgames.plots.queries import queries
from nashgames.plots.rates import rates
from nashgames.plots.simplex import simplex

SOLVERS_OF_THE_PROJECT = tuple(solvers.SOLVERS)
SOLVERS = ("nash-mp", "nash-prox", "online-ipo", "mirror-descent")
DISTANCES = ("suboptimality", "duality_gap", "exploitability", "kl_to_equilibrium", "span_to_equilibrium")


def rows(curve, *, solver="nash-mp", beta=0.1, n=100, seed=0, status="budget", **changes):
    """One run whose distances are all `curve`, a list of (queries, value), as a row of runs and rows of curves."""
    label = changes.pop("label", solver)
    keys = {
        "run_id": f"{solver}/{label}/{beta}/{n}/{seed}/{sorted(changes.items())}",
        "game": "random-logits",
        "reference": "uniform",
        "n": n,
        "contexts": 1,
        "seed": seed,
        "solver": solver,
        "hyperparameters": json.dumps({"eta": 2 * beta}),
        "beta": beta,
        "dtype": "float64",
        "device": "cpu",
        "storage": "dense",
    } | changes
    queries, values = zip(*curve, strict=True)
    points = pd.DataFrame(keys | {"step": range(len(curve)), "queries": queries})
    points["status"] = ["running"] * (len(curve) - 1) + [status]
    for name in DISTANCES:
        points[name] = np.array(values, float)
    reached = curve[-1][0] if status == "converged" else None
    run = points.iloc[-1].to_dict() | {"label": label, "selection": f"{solver}[x=1]", "queries_to_tolerance": reached}
    return pd.DataFrame([run]), points


def join(*parts):
    runs, curves = zip(*parts, strict=True)
    return pd.concat(runs, ignore_index=True), pd.concat(curves, ignore_index=True)


def decay(rate=0.1, last=400, tolerance=0.0):
    queries = [q for q in range(0, last + 1, 2) if 0.3 * np.exp(-rate * (q - 2)) > tolerance]
    return [(q, 0.3 * np.exp(-rate * q)) for q in queries]


def experiment(betas=(1.0, 0.1, 0.01), actions=(10, 100), seeds=3, solvers=SOLVERS):
    parts = []
    for i, solver in enumerate(solvers):
        for beta in betas:
            for n in actions:
                for seed in range(seeds):
                    curve = decay(beta / (i + 1) * (1 + 0.1 * seed), tolerance=1e-10)
                    status = "converged" if curve[-1][0] < 400 else "budget"
                    parts.append(rows(curve, solver=solver, beta=beta, n=n, seed=seed, status=status))
    return join(*parts)


def walk(runs, columns=()):
    """Paths of three actions that circle and shrink, for every run."""
    steps = np.array([0, 1, 2, 3, 5, 9, 17])
    turns = steps[:, None] + 2 * np.pi * np.arange(3) / 3
    policies = 1 / 3 + 0.3 * 0.9 ** steps[:, None] * np.cos(turns)
    count = len(runs)
    frame = pd.DataFrame(
        {
            "run_id": np.repeat(runs["run_id"].to_numpy(), policies.size),
            "step": np.tile(np.repeat(steps, 3), count),
            "context": 0,
            "action": np.tile(np.arange(3), len(steps) * count),
            "probability": np.tile(policies.ravel(), count),
        }
    )
    bare = {"label": ["0", "1", "2"], "reference_probability": [np.nan] * 3, "equilibrium_probability": [np.nan] * 3}
    for name, values in (bare | dict(columns)).items():
        frame[name] = np.tile(values, len(frame) // 3)
    return frame


def figures_of(runs, curves, paths=None, **options):
    return plots.figures(plots.Rows(runs, curves, paths), **options)


def draw(figure):
    """Lay out and render, with every warning an error."""
    assert isinstance(figure, Figure)
    figure.draw_without_rendering()
    return figure


def titles_of(figure):
    """What stands above every panel: its own title, and the heading of its row."""
    heading, found = "", []
    for ax in figure.axes:
        heading = ax.get_title(loc="left").strip() or heading
        found.append(", ".join(filter(None, [heading, ax.get_title()])).replace("\n", " "))
    return found


def legend_of(figure):
    """The names beside curves, and what the legend says."""
    names = [text.get_text() for ax in figure.axes for text in ax.texts if text.get_gid() == labels.NAME]
    return names + legend_texts(figure)


def legend_texts(figure):
    boxes = list(figure.legends) + [ax.get_legend() for ax in figure.axes if ax.get_legend()]
    return [text.get_text() for box in boxes for text in box.get_texts()]


def captions_of(figure):
    """What the caption says behind the title and what is drawn."""
    return figure.caption.rsplit(". ", 1)[-1].split("; ")[1:]


def lines_of(ax, colour):
    return [line for line in ax.get_lines() if to_hex(line.get_color()).upper() == colour.upper()]


# --- colours and labels ------------------------------------------------------------------------------------------


def test_every_solver_of_the_project_has_a_style_of_its_own():
    assert set(methods.METHODS) >= set(SOLVERS_OF_THE_PROJECT) - {"halves", "average"}
    own = list(methods.METHODS.values())
    assert len({(style.dashes, style.marker) for style in own}) == len(own), "told apart where there is no colour"
    others = [methods.style_of(f"somebody-elses-{i}") for i in range(300)]
    assert not {(style.dashes, style.marker) for style in own} & {(style.dashes, style.marker) for style in others}
    assert len(set(others)) > 100


def test_the_methods_that_are_compared_first_differ_in_grey_and_without_red_or_green():
    """In lightness, by a tenth of the scale from black to white, and none is too light to be seen."""
    first = ("nash-mp", "nash-prox", "online-ipo", "mirror-descent", "adaptive-nash-mp")
    light = sorted(palette.lightness(palette.colour(name)) for name in first)
    assert np.diff(light).min() >= 10 and light[-1] <= 72
    # The scale itself: IEC 61966-2-1 has mid grey at #777777.
    assert palette.lightness("#000000") == 0 and palette.lightness("#FFFFFF") == pytest.approx(100)
    assert palette.lightness("#777777") == pytest.approx(50, abs=0.1)


def test_a_colour_depends_on_the_name_alone():
    names = {name: name for name in (*SOLVERS, "somebody-elses", "another")}
    whole = palette.looks(names)
    for name in names:
        alone = palette.looks({name: name})[name]
        assert (alone.colour, alone.marker) == (whole[name].colour, whole[name].marker)
    backwards = palette.looks(dict(reversed(names.items())))
    assert backwards == whole and list(backwards) == list(whole)


def test_variants_share_their_marker_and_differ_in_lightness_and_dashes():
    steps = (1, 0.1, 0.0177828, 0.5)
    labels = {"nash-mp": "nash-mp", "average[nash-mp]": "average[nash-mp]"}
    labels |= {f"nash-mp[eta={step}]": "nash-mp" for step in steps}
    looks = palette.looks(labels)
    assert {look.marker for look in looks.values()} == {palette.marker("nash-mp")}
    assert looks["nash-mp"].colour == palette.colour("nash-mp") and looks["nash-mp"].dashes == "-"
    assert len({(look.colour, str(look.dashes)) for look in looks.values()}) == len(labels)
    shades = [palette.lightness(look.colour) for look in looks.values()]
    assert shades == sorted(shades)
    numbered = [label for label in looks if "=" in label]
    assert numbered == [f"nash-mp[eta={step}]" for step in sorted(steps)], "in the order of their numbers"


def test_colours_in_the_figure_survive_a_subset_and_another_order():
    runs, curves = experiment(betas=(0.1,), actions=(10,))
    some = runs[runs["solver"].isin(["online-ipo", "nash-prox"])].iloc[::-1]
    for chosen in (runs, some):
        ax = convergence(curves, chosen).axes[0]
        for solver in chosen["solver"].unique():
            assert lines_of(ax, palette.colour(solver))


def test_text_of_users_is_drawn_as_it_is():
    assert palette.plain("a $x_1$ b") == r"a \$x_1\$ b"
    assert palette.plain("模型\nβ") == "□□ β"
    assert palette.plain("x" * 50, 32) == "x" * 31 + "…"


# --- convergence -------------------------------------------------------------------------------------------------


def test_seeds_become_a_median_and_a_band_that_says_what_it_is():
    parts = [rows([(0, 1.0), (2, 0.1 * (seed + 1))], seed=seed) for seed in range(3)]
    runs, curves = join(*parts)
    figure = convergence(curves, runs, bound=False)
    ax = figure.axes[0]
    *each, median = [line.get_ydata().tolist() for line in ax.get_lines()]
    assert each == [[1, 0.1], [1, 0.2], pytest.approx([1, 0.3])]
    assert median == pytest.approx([1, 0.2])
    assert captions_of(figure)[:1] == ["median, thick, of 3 seeds, thin"]
    runs, curves = join(*[rows([(0, 1.0), (2, 0.1 * (seed + 1))], seed=seed) for seed in range(11)])
    figure = convergence(curves, runs, bound=False)
    (line,) = figure.axes[0].get_lines()
    assert line.get_ydata().tolist() == pytest.approx([1, 0.6])
    corners = figure.axes[0].collections[0].get_paths()[0].vertices
    ends = corners[corners[:, 0] == 2, 1]
    assert ends.min() == pytest.approx(0.2) and ends.max() == pytest.approx(1.0)
    assert captions_of(figure)[:1] == ["median and 10–90 % quantile band over 11 seeds"]


def test_a_median_ends_where_most_runs_have_converged():
    ends = (4, 8, 20)
    parts = [rows([(0, 1.0), (2, 0.5), (end, 0.01)], seed=end, status="converged") for end in ends]
    runs, curves = join(*parts)
    *_, median = (
        line for line in convergence(curves, runs, bound=False).axes[0].get_lines() if line.get_marker() != "_"
    )
    assert median.get_xdata()[-1] == 8
    assert median.get_ydata()[-1] == 0.01


def test_diverged_runs_are_counted_and_crossed_and_converged_ones_end_in_a_bar():
    parts = [rows([(0, 0.5), (4, 0.2), (6, np.nan)], seed=0, status="diverged")]
    parts += [rows([(0, 0.5), (4, 0.1), (8, 0.01)], seed=seed, status="converged") for seed in (1, 2)]
    figure = convergence(*reversed(join(*parts)))
    assert legend_of(figure)[0] == "nash-mp (1 of 3 diverged)"
    marked = {line.get_marker(): line.get_xydata().tolist() for line in figure.axes[0].get_lines()}
    assert marked["x"] == [[4, 0.2]]
    assert marked["_"] == [[8, 0.01], [8, 0.01]]


def test_gaps_are_not_bridged_and_zeros_stay_on_the_lower_edge():
    runs, curves = rows([(0, 1.0), (2, np.nan), (4, 0.1), (6, 0.01), (8, 0.0)])
    figure = convergence(curves, runs, bound=False)
    ax = figure.axes[0]
    line, alone = ax.get_lines()[:2]
    low = ax.get_ylim()[0]
    assert 0 < low < 0.01
    np.testing.assert_array_equal(line.get_ydata(), [1.0, np.nan, 0.1, 0.01, low])
    assert alone.get_xydata().tolist() == [[0, 1]], "a point without neighbours needs a marker to be seen"
    assert captions_of(figure) == ["zeros are drawn on the lower edge"]


def test_an_infinite_distance_is_a_gap_and_does_not_set_the_limits():
    runs, curves = rows([(0, 1.0), (2, 0.5), (4, np.inf), (6, 0.1), (8, 0.05), (10, np.inf)])
    ax = draw(convergence(curves, runs, bound=False)).axes[0]
    np.testing.assert_array_equal(ax.get_lines()[0].get_ydata(), [1.0, 0.5, np.nan, 0.1, 0.05, np.nan])
    assert 1 < ax.get_ylim()[1] < 10


def test_the_axis_of_queries_is_linear_where_geometric_convergence_is_straight():
    """A curve of rate r is a line there; one that falls like a power of N, or a start too short to see, is not."""
    power = [(q, 0.3 * q**-3.0) for q in range(1, 5000, 7)]
    short = decay(8, 4)
    for curve, scale in ((decay(0.05), "linear"), (power, "symlog"), ([(0, 1.0), (2, 0.5), (5000, 0.1)], "symlog")):
        ax = convergence(*reversed(rows(curve))).axes[0]
        assert ax.get_xscale() == scale and ax.get_xlim()[0] == 0 and ax.get_yscale() == "log"
    beside = join(rows(decay(0.01, 2000)), rows(short, solver="omwu"))
    assert convergence(*reversed(beside)).axes[0].get_xscale() == "symlog"
    for wanted, scale in (("linear", "linear"), ("log", "symlog"), (None, "linear")):
        figure = figures_of(*rows(decay(0.05)), page=plots.Page(x_scale=wanted))["convergence"]
        assert figure.axes[0].get_xscale() == scale


def test_panels_are_titled_in_the_terms_of_the_field():
    figure = draw(convergence(*reversed(experiment(seeds=1, solvers=("nash-mp",)))))
    assert len(figure.axes) == 6
    assert titles_of(figure) == [f"n = {n}, β = {beta:g}" for n in (10, 100) for beta in (1, 0.1, 0.01)]
    assert figure.get_suptitle() == "random-logits · uniform reference"
    assert len({ax.get_ylim() for ax in figure.axes}) == 1


def test_what_does_not_fit_is_named_in_the_title():
    runs, curves = join(*[rows(decay(), beta=2.0**-k, n=n) for k in range(7) for n in (10, 20)])
    figure = convergence(curves, runs)
    assert len(figure.axes) == 8
    assert figure.get_suptitle().endswith("4 of 7 values of β shown")
    shown = titles_of(figure)[:4]
    assert shown[0] == "n = 10, β = 1" and shown[-1] == "n = 10, β = 0.015625", "the ends are always shown"


def test_a_grid_with_holes_becomes_a_list_of_what_was_run():
    cells = [(1.0, 10), (0.1, 10), (0.1, 20)]
    runs, curves = join(*[rows(decay(), beta=beta, n=n) for beta, n in cells])
    figure = convergence(curves, runs)
    assert [ax.get_title() for ax in figure.axes] == ["n = 10, β = 1", "n = 10, β = 0.1", "n = 20, β = 0.1"]


def test_precision_and_repeated_cells_are_told_apart():
    runs, curves = join(rows(decay()), rows(decay(0.2), dtype="float32"))
    assert legend_of(convergence(curves, runs))[:2] == ["nash-mp · float32", "nash-mp · float64"]
    twice, _ = join(rows(decay()), rows(decay(0.2), hyperparameters='{"eta": 0.01}'))
    twice["selection"] = ["nash-mp[eta=0.2]", "nash-mp[eta=0.01]"]
    assert sorted(panels.prepare(twice)["label"]) == ["nash-mp[eta=0.01]", "nash-mp[eta=0.2]"]


# --- how runs learned --------------------------------------------------------------------------------------------

DUELS = "duels[batch=100]"


def sampled(curve, *, batch=100, **changes):
    """One run on samples: as `rows`, with comparisons."""
    run, points = rows(curve, feedback=DUELS, **changes)
    for frame in (run, points):
        frame["comparisons"] = batch * frame["queries"]
        frame["tolerance"] = 0.05
    return run, points


def test_runs_on_samples_are_drawn_over_comparisons_and_never_beside_exact_feedback():
    runs, curves = sampled([(0, 0.3), (2, 0.1)])
    figure = convergence(curves, runs)
    assert figure.axes[0].get_xlabel() == "comparisons"
    assert figure.axes[0].get_lines()[0].get_xdata().tolist() == [0, 200]
    assert (
        figure.get_suptitle().replace("\n", " · ")
        == "random-logits · uniform reference · n = 100 · duels (batch 100) · β = 0.1"
    )
    by_queries = convergence(curves, runs, x="queries")
    assert by_queries.axes[0].get_xlabel() == "queries"
    assert by_queries.axes[0].get_lines()[0].get_xdata().tolist() == [0, 2]
    both = join((runs, curves), rows(decay()))
    for x in (None, "queries", "comparisons"):
        with pytest.raises(NashGamesError, match="take one kind at a time"):
            convergence(*reversed(both), x=x)
    with pytest.raises(NashGamesError, match="exact feedback consumes none"):
        convergence(*reversed(rows(decay())), x="comparisons")
    with pytest.raises(NashGamesError, match="did you mean 'comparisons'"):
        convergence(curves, runs, x="comparison")


def test_the_theorem_is_about_exact_feedback():
    runs, curves = sampled(decay())
    for x in ("comparisons", "queries"):
        assert not any("theorem" in label for label in legend_of(convergence(curves, runs, x=x)))


def test_policies_and_feedback_have_panels_and_optimisers_labels():
    policies = ("mlp[depth=3]", "tabular", "log-linear")
    parts = [sampled(decay(), policy=policy, beta=beta) for policy in policies for beta in (0.1, 0.01)]
    figure = draw(convergence(*reversed(join(*parts))))
    titles = titles_of(figure)
    usual_first = ("tabular", "log-linear", "mlp (depth 3)")
    assert titles == [f"{policy}, β = {beta}" for policy in usual_first for beta in (0.1, 0.01)]
    feedbacks = ("duels", "duels[label=probability]")
    runs, curves = join(*[sampled(decay(), seed=i) for i in range(2)])
    runs["feedback"] = feedbacks
    figure = convergence(curves, runs)
    assert [ax.get_title().replace("\n", "") for ax in figure.axes] == ["duels", "duels (label probability)"]
    parts = [sampled(decay(), policy="log-linear", optimiser=optimiser) for optimiser in ("sgd", "adam[clip=1]")]
    figure = convergence(*reversed(join(*parts)))
    assert legend_of(figure) == ["nash-mp", "nash-mp · adam (clip 1)"]
    assert figure.get_suptitle().replace("\n", " · ").endswith("log-linear · duels (batch 100) · β = 0.1")
    alone = convergence(*reversed(parts[1]))
    assert alone.get_suptitle().replace("\n", " · ").endswith("β = 0.1 · adam (clip 1)")


def test_names_say_what_tells_methods_apart_in_the_symbols_of_the_field():
    both = ["nash-prox[eta=0.05,inner=40,step=4]", "nash-prox[eta=0.05,inner=1,kappa=0.1,step=4]"]
    told = naming.told_apart([*both, "egpo", "average[sppo]", "nash-mp[eta=0.2] · adam[rate=0.1]", "mine [2", "a[b]"])
    assert list(told.values()) == [
        *("nash-prox (40 inner)", "nash-prox (1 inner, κ = 0.1)", "egpo", "average of sppo"),
        *("nash-mp (η = 0.2) · adam (rate 0.1)", "mine [2", "a of b"),
    ]
    assert naming.told_apart([*both[:1], "nash-prox"])[both[0]] == "nash-prox (η = 0.05, 40 inner, step 4)"
    alike = ["nash-mp[eta=0.2,h=1]", "nash-mp[h=1,eta=0.2]", "halves[nash-mp[eta=0.2]]"]
    assert len(set(naming.told_apart(alike).values())) == 3, "no two curves have one name"
    assert (
        naming.spoken("weighted-cycle[a12=-0.5,a23=0.16666666666666666]") == "weighted-cycle (A₁₂ = −0.5, A₂₃ = 0.1667)"
    )
    assert naming.spoken("castles[round=2]") == "castles (round 2)", "the T of another method's rounds is not its own"


def lasting(values, last, status):
    return estimates.Trace(np.linspace(0, last, len(values)), np.array(values), status)


def test_an_axis_of_costs_ends_where_nothing_falls_any_more():
    geometric = np.geomspace(1, 1e-8, 400)
    converged, flat = lasting(geometric, 100, "converged"), lasting([1.0, *[1e-3] * 4000], 4000, "budget")
    found = distances.extent_of([converged, converged, flat])
    assert (found.scale, found.cut, found.last) == ("linear", True, pytest.approx(115))
    falling = lasting(np.geomspace(1, 1e-4, 4000), 4000, "budget")
    found = distances.extent_of([converged, falling])
    assert (found.cut, found.last) == (False, 4000), "what goes on to fall is shown"
    assert distances.extent_of([flat]).last == 4000, "nothing converges"
    with drawn_for(Page(x_scale="log")):
        found = distances.extent_of([converged, converged, flat])
    assert (found.cut, found.last) == (False, 4000), "and all of it where a tenth of the axis is a decade"


def test_panels_of_other_costs_have_axes_of_their_own():
    fast, slow = (
        rows(decay(rate, 3000, 1e-9), beta=beta, status="converged") for beta, rate in ((1, 2.0), (0.01, 0.01))
    )
    figure = draw(convergence(*reversed(join(fast, slow))))
    assert [ax.get_xscale() for ax in figure.axes] == ["linear", "linear"]
    near, far = (ax.get_xlim()[1] for ax in figure.axes)
    assert near < 15 and far > 1900, "and a rate is a slope in both"
    alike = join(fast, rows(decay(1.5, 3000, 1e-9), beta=0.01, status="converged"))
    assert len({ax.get_xlim() for ax in draw(convergence(*reversed(alike))).axes}) == 1


def test_titles_break_where_they_have_places_to():
    assert layout.fold("n = 3 · mlp[depth=3,width=10]", 12) == "n = 3\nmlp[depth=3,\nwidth=10]"
    assert layout.fold("a · b · c", 5) == "a · b\nc"
    assert layout.fold("without a place", 4) == "without a place"
    assert layout.fold("", 4) == ""


def test_names_stand_beside_their_curves_and_touch_nothing():
    parts = [rows(decay(rate, 400), solver=name) for rate, name in zip((0.01, 0.02, 0.05, 0.1), SOLVERS, strict=True)]
    figure = convergence(*reversed(join(*parts)), bound=False)
    assert not legend_texts(figure)
    assert sorted(legend_of(figure)) == sorted(SOLVERS)
    draw(figure)
    (ax,) = figure.axes
    names = [text for text in ax.texts if text.get_gid() == labels.NAME]
    # Of an annotation with a line to its curve the extent is that of both: here it is that of the text.
    boxes = {text.get_text(): mpl.text.Text.get_window_extent(text) for text in names}
    for name, box in boxes.items():
        assert not any(box.overlaps(other) for text, other in boxes.items() if text != name)
        for line in ax.get_lines():
            points = ax.transData.transform(line.get_xydata())
            dense = np.column_stack(
                [np.interp(np.linspace(0, 1, 5000), np.linspace(0, 1, len(points)), c) for c in points.T]
            )
            assert not box.count_contains(dense)
    for text in names:
        assert to_hex(text.get_color()).upper() == palette.legible(palette.colour(text.get_text())).upper()


def test_where_names_have_no_place_there_is_a_legend():
    close = [rows(decay(0.01 * (1 + 1e-3 * k)), solver=name) for k, name in enumerate(SOLVERS_OF_THE_PROJECT[:7])]
    assert len(legend_texts(convergence(*reversed(join(*close)), bound=False))) == 7
    long = join(*[rows(decay(0.01), solver=name, label=name * 6) for name in SOLVERS])
    assert len(legend_texts(figures_of(*long, page=plots.Page(width="column"))["convergence"])) >= 4


def test_a_long_legend_does_not_take_its_place_from_the_panels():
    few, many = (
        draw(convergence(*reversed(join(*[rows(decay(), label=f"nash-mp[eta={k}]") for k in range(count)]))))
        for count in (2, 30)
    )
    heights = [figure.axes[0].get_position().height * figure.get_figheight() for figure in (few, many)]
    assert heights[1] > 0.8 * heights[0]
    assert many.get_figheight() > few.get_figheight()


def test_figures_keep_exact_feedback_and_samples_apart():
    both = join(rows(decay()), sampled(decay()), sampled(decay(0.01), seed=1))
    made = figures_of(*both)
    assert set(made) == {"convergence", "convergence-comparisons"}, "no share of two seeds"
    for name, figure in made.items():
        assert figure.axes[0].get_xlabel() == ("comparisons" if "comparisons" in name else "queries")
    games = [sampled(decay(), game=game) for game in ("disc", "melo")]
    assert {name for name in figures_of(*join(*games)) if "span" not in name and "kl" not in name} == {
        "convergence-comparisons-disc",
        "convergence-comparisons-melo",
    }


def test_many_seeds_on_samples_are_shown_by_their_quantiles_and_the_share_under_the_tolerance():
    runs, curves = join(*[sampled(decay(0.01 * (1 + seed)), seed=seed) for seed in range(12)])
    made = figures_of(runs, curves)
    said = "suboptimality of the last iterate over 12 seeds; dotted: tolerance 0.05"
    assert made["convergence-comparisons"].caption.endswith(said)
    assert made["share"].caption.endswith("with 95 % intervals over 12 seeds")
    assert "share" not in figures_of(runs.assign(tolerance=0.0), curves), "nothing is reached"
    assert "convergence" in figures_of(runs.assign(feedback="exact"), curves)


@pytest.mark.parametrize(("role", "said"), [("reported", "other seeds"), ("both", "the same game")])
def test_where_steps_were_tuned_is_said(role, said):
    runs, curves = rows(decay())
    of_all = plots.Rows(runs.assign(step_source="tuned", role=role), curves)
    assert of_all.remark == f"steps tuned on {said}"
    assert plots.Rows(runs.assign(step_source="theory", role="reported"), curves).remark == ""


def test_of_swept_steps_every_solver_shows_its_best():
    parts = []
    for beta in (0.1, 0.01):
        for step in range(1, 7):
            for solver in ("online-ipo", "nash-prox"):
                # The best step is 3 at β = 0.1 and 4 at β = 0.01.
                rate = 0.2 - 0.02 * abs(step - (3 if beta == 0.1 else 4))
                text = f"{solver}[inner=2,step={step}]"
                hyperparameters = json.dumps({"step": step})
                parts.append(
                    rows(decay(rate, 100), solver=solver, beta=beta, label=text, hyperparameters=hyperparameters)
                )
                parts[-1][0]["selection"] = text
    runs, curves = join(*parts)
    runs["tolerance"] = 0.0
    made = figures_of(runs, curves, walk(runs.assign(n=3)))
    assert set(made) == {"convergence", "phases"}
    figure = made["convergence"]
    assert legend_of(figure) == ["nash-prox (2 inner)", "online-ipo (2 inner)"]
    assert captions_of(figure)[-1] == "every solver with its best step, chosen on the same seeds from up to 6 per panel"
    for ax in figure.axes:
        line = lines_of(ax, palette.colour("online-ipo"))[0]
        assert line.get_ydata()[1] == pytest.approx(0.3 * np.exp(-0.2 * 2))
    chosen = runs[runs["label"].str.contains("step=3") == (runs["beta"] == 0.1)]
    chosen = chosen[chosen["label"].str.contains("step=[34]")]
    figure = figures_of(chosen, curves)["convergence"]
    assert legend_of(figure) == ["nash-prox (2 inner)", "online-ipo (2 inner)"]
    assert captions_of(figure)[-1] == "a step that is not in the name differs between panels"
    fewer = runs[runs["label"].str.contains("step=[1234]")]
    assert "phases" not in figures_of(fewer, curves), "four steps are no sweep"


# --- the theorem -------------------------------------------------------------------------------------------------


def theorem_line(figure):
    dashes = palette.BOUND["linestyle"][1]
    width = palette.BOUND["linewidth"]
    scaled = [width * length for length in dashes]
    [line] = [line for line in figure.axes[0].get_lines() if line.get_linewidth() == width]
    assert list(line._dash_pattern[1]) == scaled
    return line


@pytest.mark.parametrize(
    ("distance", "bound", "name"),
    [
        ("kl_to_equilibrium", estimates.kl_bound, "the theorem's bound, "),
        ("suboptimality", estimates.suboptimality_bound, "the theorem's bound on the half step, "),
    ],
)
def test_a_run_that_meets_the_bound_lies_on_the_line_in_its_colour(distance, bound, name):
    points = np.arange(0.0, 200, 2)
    runs, curves = rows(list(zip(points, bound(points, 0.1, 0.2), strict=True)))
    figure = convergence(curves, runs, distance=distance)
    line = theorem_line(figure)
    drawn = np.exp(np.interp(points, line.get_xdata(), np.log(line.get_ydata())))
    assert drawn == pytest.approx(curves[distance].to_numpy(), rel=1e-9)
    assert to_hex(line.get_color()).upper() == palette.colour("nash-mp")
    assert "nash-mp, proved bound" in legend_of(figure)
    assert any(f"dashed: {name}(1+2β)^(−N/2)" in part for part in captions_of(figure))


def test_the_theorem_is_drawn_only_where_it_holds():
    for hyperparameters, expected in (('{"eta": 0.2}', True), ('{"eta": 0.3}', False), ('{"step": 0.2}', False)):
        runs, curves = rows(decay(), hyperparameters=hyperparameters)
        for bound in (True, False):
            labels = legend_of(convergence(curves, runs, bound=bound))
            assert any("proved" in label for label in labels) == (expected and bound)
    for solver in ("mirror-descent", "average[nash-mp]"):
        runs, curves = rows(decay(), solver=solver)
        assert not any("proved" in label for label in legend_of(convergence(curves, runs)))


def test_a_smaller_step_has_its_own_line():
    runs, curves = rows(decay(0.02, 400), hyperparameters='{"eta": 0.05}')
    figure = convergence(curves, runs, distance="kl_to_equilibrium")
    line = theorem_line(figure)
    assert line.get_ydata() == pytest.approx(estimates.kl_bound(line.get_xdata(), 0.1, 0.05))
    assert captions_of(figure) == ["dashed: the theorem's bound, (1+η)^(−N/2) after N queries"]


@pytest.mark.parametrize("distance", ["suboptimality", "kl_to_equilibrium", "span_to_equilibrium", "duality_gap"])
def test_a_bound_never_sets_the_limits_and_ends_where_its_solver_does(distance):
    """At β = 0.01 the bound begins at 62,525 and the suboptimality is at most ½."""
    parts = [rows(decay(0.01, 900), beta=0.01, hyperparameters='{"eta": 0.02}')]
    parts += [rows(decay(0.001, 4000), beta=0.01, solver="online-ipo")]
    runs, curves = join(*parts)
    figure, bare = (convergence(curves, runs, distance=distance, bound=bound) for bound in (True, False))
    assert figure.axes[0].get_ylim() == bare.axes[0].get_ylim()
    assert figure.axes[0].get_xlim() == bare.axes[0].get_xlim()
    assert figure.axes[0].get_ylim()[1] < 1
    if distance != "span_to_equilibrium":
        return
    assert theorem_line(figure).get_xdata()[-1] == 900


def test_a_bound_that_says_nothing_is_not_drawn_and_the_caption_says_so():
    runs, curves = rows([(0, 1e-4), (2, 1e-9)], beta=0.001)
    figure = convergence(curves, runs)
    assert not any("proved" in label for label in legend_of(figure)) and len(figure.axes[0].get_lines()) == 1
    said = "proved bounds that stay above a tenth of the first value in some panel are not drawn"
    assert captions_of(figure) == [said]
    # A legend speaks of all panels: what says nothing in one of them is drawn in none.
    figure = convergence(*reversed(join((runs, curves), rows(decay(0.2), beta=0.1))))
    assert len(figure.axes) == 2 and not any("proved" in label for label in legend_of(figure))
    assert captions_of(figure) == [said]


def test_the_span_has_the_slope_alone():
    runs, curves = rows([(0, 0.7), (10, 0.3), (20, 0.1), (60, 0.01)])
    line = theorem_line(convergence(curves, runs, distance="span_to_equilibrium"))
    assert line.get_ydata()[0] == pytest.approx(0.7)
    assert line.get_ydata()[-1] == pytest.approx(0.7 / 1.2**30)


def test_lines_that_hide_each_other_bear_their_symbols_in_turn():
    runs, curves = join(*[rows(decay(), solver=solver) for solver in SOLVERS])
    ax = draw(convergence(curves, runs, bound=False)).axes[0]
    lines = [line for line in ax.get_lines() if line.get_marker() in {palette.marker(name) for name in SOLVERS}]
    assert [line.get_marker() for line in lines] == [
        palette.marker(name) for name in palette.looks({n: n for n in SOLVERS})
    ]
    places = [set(line.get_markevery()) for line in lines]
    assert all(len(own) >= 3 for own in places) and not set.intersection(*places)
    assert sum(map(len, places)) == len(set.union(*places))
    # Noise is no way: it bears as few symbols as a line.
    noise = np.random.default_rng(0).uniform(0.01, 0.4, 500)
    noisy = convergence(*reversed(rows(list(enumerate(noise)))), bound=False).axes[0].get_lines()[0]
    assert len(noisy.get_markevery()) <= 10


# --- the other figures -------------------------------------------------------------------------------------------


def test_rates_are_those_of_the_curves_beside_the_proved_ones():
    runs, curves = experiment(betas=(0.5, 0.2, 0.1), actions=(10,), seeds=1, solvers=("nash-mp", "online-ipo"))
    figure = rates(curves, runs)
    ax = figure.axes[0]
    found = lines_of(ax, palette.colour("nash-mp"))[1].get_ydata()
    assert found == pytest.approx([0.1, 0.2, 0.5], rel=1e-9)
    assert lines_of(ax, palette.colour("nash-mp"))[0].get_linewidth() == palette.BOUND["linewidth"]
    proved = lines_of(ax, palette.colour("nash-mp"))[0]
    assert proved.get_ydata()[0] == pytest.approx(np.log(1.2) / 2)
    assert "nash-mp, proved rate" in legend_of(figure)
    # Every point is at its own β.
    assert {tuple(line.get_xdata()) for line in ax.get_lines() if line.get_marker() != "None"} == {(0.1, 0.2, 0.5)}


def test_runs_without_a_rate_are_counted():
    parts = [rows(decay(), beta=beta) for beta in (1.0, 0.1)]
    parts += [rows([(q, 0.3 + 0.1 * np.sin(q)) for q in range(100)], solver="online-ipo", beta=0.1)]
    parts += [rows([(0, 1.0), (2, np.nan)], solver="online-ipo", status="diverged")]
    parts += [rows([(0, 1.0), (2, 0.1)], solver="online-ipo", beta=1.0)]
    runs, curves = join(*parts)
    runs["seed"] = range(len(runs))
    figure = rates(curves, runs)
    assert "online-ipo (2 of 3 without contraction, 1 of 3 too short to fit)" in legend_of(figure)
    crosses = [line for line in figure.axes[0].get_lines() if line.get_marker() == "x"]
    assert [line.get_ydata().tolist() for line in crosses] == [[figure.axes[0].get_ylim()[0]]]


def test_the_simplex_marks_what_is_known():
    runs, _ = join(*[rows(decay(), solver=solver, n=3) for solver in SOLVERS])
    bare = draw(simplex(walk(runs), runs))
    assert legend_of(bare)[4:] == ["start"]
    known = {
        "label": ["rock", "paper", "scissors"],
        "reference_probability": [0.5, 0.3, 0.2],
        "equilibrium_probability": [0, 1, 0],
    }
    figure = draw(simplex(walk(runs, known), runs))
    ax = figure.axes[0]
    assert [text.get_text() for text in ax.texts][:3] == ["rock", "paper", "scissors"]
    marks = {line.get_gid(): line.get_xydata()[0].tolist() for line in ax.get_lines() if line.get_gid()}
    assert marks["equilibrium"] == [1, 0]
    assert marks["reference"] == pytest.approx([0.4, 0.1 * np.sqrt(3)])


def test_the_simplex_joins_only_records_whose_way_is_known():
    runs, _ = rows(decay(), n=3)
    figure = simplex(walk(runs), runs)
    path = max(lines_of(figure.axes[0], palette.colour("nash-mp")), key=lambda line: len(line.get_xdata()))
    assert len(path.get_xdata()) == 4, "the steps 3→5, 5→9 and 9→17 turn by more than 60°"
    assert captions_of(figure) == ["without it where recorded points are too far apart to be joined to the end"]


def test_a_small_part_of_the_simplex_is_enlarged():
    runs, _ = rows(decay(), n=3)
    paths = walk(runs, {"label": ["0", "1", "paper"], "equilibrium_probability": [0.4, 0.3, 0.3]})
    paths["probability"] = 1 / 3 + 0.1 * (paths["probability"] - 1 / 3)
    figure = draw(simplex(paths, runs))
    (ax,) = figure.axes
    least = np.array([paths["probability"][paths["action"] == k].min() for k in range(3)])
    least = np.minimum(least, [0.4, 0.3, 0.3]) - 0.03
    side = 1 - least.sum()
    corners = [
        f"{name}{corner:.2g}"
        for name, corner in zip(("action 0\n", "action 1\n", "paper: "), least + side, strict=True)
    ]
    assert [text.get_text() for text in ax.texts][:3] == corners
    (star,) = [line.get_xydata()[0] for line in ax.get_lines() if line.get_gid() == "equilibrium"]
    place = (np.array([0.4, 0.3, 0.3]) - least) / side
    np.testing.assert_allclose(star, [place[1] + place[2] / 2, place[2] * np.sqrt(3) / 2])
    assert captions_of(figure)[-1].startswith("enlarged")


def test_the_game_is_ordered_by_rating_and_centred_at_one_half():
    margins = np.array([[0, -0.1, 0.2], [0.1, 0, 0.4], [-0.2, -0.4, 0]])
    figure = preferences(margins, ["a", "b", "c"])
    ax, bar = figure.axes
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["b", "a", "c"]
    image = ax.images[0]
    assert image.get_array()[0].tolist() == pytest.approx([0.5, 0.6, 0.9])
    assert (image.norm.vmin, image.norm.vmax) == pytest.approx((0.1, 0.9)), "as far as the preferences go"
    assert bar.get_ylabel() == "probability that the row wins"
    assert "probability that the row is preferred to the column" in figure.caption


def test_a_large_game_stays_small_in_the_file(tmp_path):
    ratings = np.random.default_rng(0).normal(size=1200)
    margins = np.tanh(ratings[:, None] - ratings) / 2
    figure = preferences(margins)
    assert figure.axes[0].images[0].get_array().shape == (500, 500)
    assert "means over blocks of about 2.4 actions" in figure.caption
    [path] = plots.save(figure, tmp_path / "game", ("svg",))
    assert path.stat().st_size < 1_500_000


def test_figures_decides_what_an_experiment_calls_for():
    runs, curves = experiment(seeds=1, solvers=("nash-mp",))
    assert set(figures_of(runs, curves)) == {"convergence", "rates"}
    assert set(figures_of(runs.assign(tolerance=1e-10), curves)) == {"convergence", "queries", "rates"}
    single = runs[(runs["beta"] == 0.1) & (runs["n"] == 10)]
    assert set(figures_of(single, curves)) == {"convergence"}
    three, points = experiment(betas=(0.1,), actions=(3,), seeds=1)
    assert "simplex" in figures_of(three, points, walk(three))
    assert "simplex" not in figures_of(three, points, walk(three).iloc[:0])
    games = ["disc[strength=2]", "data/wins.csv"]
    several, points = join(*[rows(decay(), game=game) for game in games])
    assert set(figures_of(several, points)) == {"convergence-disc-strength-2", "convergence-data-wins.csv"}
    assert figures_of(runs.iloc[:0], curves) == {}


# --- degenerate input --------------------------------------------------------------------------------------------

DEGENERATE = {
    "one record": lambda: [rows([(0, 0.3)])],
    "one value": lambda: [rows([(0, 0.3), (2, 0.3), (400, 0.3)])],
    "only zeros": lambda: [rows([(0, 0.0), (2, 0.0)], status="converged")],
    "not measured": lambda: [rows([(0, np.nan), (2, np.nan)])],
    "not measured and diverged": lambda: [rows([(0, np.nan), (2, np.nan)], status="diverged")],
    "all diverged": lambda: [rows([(0, 0.3), (2, np.inf)], seed=s, status="diverged") for s in range(3)],
    "beyond all numbers": lambda: [rows([(0, 0.3), (2, 1e300), (4, np.inf)], status="diverged")],
    "denormal": lambda: [rows([(0, 0.3), (2, 5e-324)])],
    "late": lambda: [rows([(40, 0.3), (80, 0.1)])],
    "awkward label": lambda: [
        rows(decay(), solver="my$solver", label="模型 $x_{ and a very, very, very long name of it")
    ],
    "many labels": lambda: [rows(decay(), label=f"nash-mp[eta={k}]") for k in range(12)],
    "many seeds": lambda: [rows([(0, 0.3), (s + 2, 0.1)], seed=s, status="converged") for s in range(250)],
}


@pytest.mark.parametrize("name", DEGENERATE)
def test_every_figure_survives_degenerate_runs(name):
    """The first as it is saved, the others side by side."""
    runs, curves = join(*DEGENERATE[name]())
    alone = draw(convergence(curves, runs))
    together = Figure(figsize=(12, 4))
    span, rate = together.subplots(1, 2)
    convergence(curves, runs, distance="span_to_equilibrium", ax=span)
    rates(curves, runs, ax=rate)
    draw(together)
    draw(queries(curves, runs.assign(tolerance=1e-3, against=1.0), "n"))
    for ax in (alone.axes[0], span):
        assert ("not measured" in [text.get_text() for text in ax.texts]) == name.startswith("not measured")


@pytest.mark.parametrize("name", ["awkward label", "many labels", "all diverged"])
def test_the_simplex_survives_degenerate_runs(name):
    runs, _ = join(*DEGENERATE[name]())
    runs["n"] = 3
    draw(simplex(walk(runs), runs))


@pytest.mark.parametrize("probabilities", [[np.nan] * 3, [1.0, 0.0, 0.0], [1 / 3] * 3])
def test_a_path_without_a_way_is_drawn(probabilities):
    runs, _ = rows(decay(), n=3, status="diverged")
    draw(simplex(walk(runs).assign(probability=np.tile(probabilities, 7)), runs))


def test_a_game_without_preferences_is_drawn():
    figure = draw(preferences(np.zeros((2, 2))))
    assert figure.axes[0].images[0].norm.vmin == 0


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda runs, curves: convergence(curves, runs, distance="suboptimalty"), "did you mean 'suboptimality'"),
        (lambda runs, curves: convergence(curves, runs.iloc[:0]), "no runs"),
        (lambda runs, curves: rates(curves, runs.iloc[:0]), "no runs"),
        (lambda runs, curves: queries(curves, runs.iloc[:0], "n"), "no runs"),
        (lambda runs, curves: convergence(curves, runs, ax=Figure().add_subplot()), "need 6"),
        (lambda runs, curves: simplex(walk(runs), runs), "three actions"),
        (lambda runs, curves: preferences(np.zeros((2, 3))), "[n, n]"),
        (lambda runs, curves: preferences(np.zeros((2, 2)), ["a"]), "1 labels for 2 actions"),
        (lambda runs, curves: plots.save(Figure(), "x", ("png", "gif")), "unknown figure format 'gif'"),
    ],
)
def test_wrong_input_is_a_sentence(call, words):
    runs, curves = experiment(seeds=1, solvers=("nash-mp",))
    with pytest.raises(NashGamesError) as error:
        call(runs, curves)
    assert words in str(error.value)


# --- the caller's axes and settings ------------------------------------------------------------------------------


def test_a_callers_axes_are_used_and_the_settings_left_alone():
    before = dict(mpl.rcParams)
    runs, curves = experiment(betas=(0.1,), actions=(3,), seeds=2)
    figure = Figure()
    axes = figure.subplots(2, 2).ravel()
    convergence(curves, runs, ax=axes[0])
    rates(curves, runs, ax=axes[1])
    simplex(walk(runs), runs, ax=axes[2])
    preferences(np.zeros((3, 3)), ax=axes[3])
    assert axes[0].get_yscale() == "log" and axes[0].get_legend() and not figure.legends
    assert queries(curves, runs.assign(tolerance=1e-3, against=3.0), "n", ax=Figure().add_subplot()).axes
    draw(figure)
    assert dict(mpl.rcParams) == before


def test_a_figure_shows_itself_in_a_notebook():
    runs, curves = rows(decay())
    assert convergence(curves, runs)._repr_png_().startswith(b"\x89PNG")


# --- files -------------------------------------------------------------------------------------------------------

FORMATS = ("png", "svg", "pdf")


def test_saving_twice_gives_the_same_bytes_in_any_order_of_formats(tmp_path):
    runs, curves = experiment(betas=(0.1,), actions=(10,), seeds=2, solvers=("nash-mp",))
    figure = convergence(curves, runs)
    first = plots.save(figure, tmp_path / "a.0.1", FORMATS)
    second = plots.save(figure, tmp_path / "b.0.1", FORMATS[::-1])
    assert [path.name for path in first] == ["a.0.1.png", "a.0.1.svg", "a.0.1.pdf"]
    for path, other in zip(first, second[::-1], strict=True):
        assert path.read_bytes() == other.read_bytes()
    assert [path.suffix for path in plots.save(Figure(), tmp_path / "c")] == [".png", ".svg"]


def test_a_file_that_cannot_be_written_is_a_sentence_and_leaves_the_old_one(tmp_path):
    runs, curves = rows(decay())
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(NashGamesError, match="cannot be written"):
        plots.save(convergence(curves, runs), tmp_path / "file" / "figure")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_public_names():
    assert set(plots.__all__) == {
        "ANSWERS",
        "DISTANCES",
        "FIGURES",
        "SCALES",
        "WIDTHS",
        "Entry",
        "Page",
        "Rows",
        "drawn_unasked",
        "figures",
        "rows_of",
        "save",
        "svg",
    }


def test_runs_on_the_original_game_are_drawn_by_what_they_stop_by():
    runs, _ = rows(decay(0.05))
    assert distances.usual(runs) == "suboptimality"
    assert distances.usual(runs.assign(target="original")) == "exploitability"
    both = pd.concat([runs.assign(target="original"), runs.assign(target="regularised")])
    assert distances.usual(both) == "suboptimality"


def test_solvers_that_are_not_tuned_are_dotted_beside_the_tuned_ones_and_take_no_room():
    runs, curves = join(*[rows(decay(rate), solver=solver) for solver, rate in (("nash-mp", 2.0), ("nash-md", 1.0))])
    curves = curves[curves["queries"] <= 30]
    asked = [rows(decay(0.01), solver=solver, seed=1, step_source="theory") for solver in ("nash-mp", "nash-md")]
    beside, slow = join(*asked)
    alone, both = convergence(curves, runs), convergence(pd.concat([curves, slow]), runs, untuned=beside)
    assert (alone.axes[0].get_xscale(), both.axes[0].get_xscale()) == ("linear", "symlog")
    drawn = both.axes[0].get_lines()
    lines = {last: [line for line in drawn if list(line.get_xdata())[-1:] == [last]] for last in (30, 400)}
    dotted, solid = ([(line.get_color(), line.get_linestyle()) for line in lines[last]] for last in (400, 30))
    assert len(dotted) == len(solid) == 2
    assert {colour for colour, _ in dotted} == {colour for colour, _ in solid}
    assert {dashes for _, dashes in dotted}.isdisjoint(dashes for _, dashes in solid)
    told = [text.get_text() for legend in both.legends for text in legend.get_texts()]
    assert "not tuned: step by theory" in told
    assert sum("nash-m" in text.get_text() for text in [*both.axes[0].texts]) + sum("nash-m" in t for t in told) == 2
