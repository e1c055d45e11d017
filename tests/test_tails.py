"""Quantiles of the last iterate and shares under the tolerance: what is drawn is what the seeds came to."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from nashgames.analysis import outcomes
from nashgames.errors import NashGamesError
from nashgames.plots import palette
from nashgames.plots.convergence_comparisons import tails
from nashgames.plots.share import shares

COSTS = np.array([0, 100, 200, 300])
INF, NAN = np.inf, np.nan


def sampled(values, *, solver="online-ipo", beta=0.1, tolerance=0.05, diverged=(), **changes):
    """Runs on samples, a row of `values` `[seeds, 4]` each; those in `diverged` end at their last finite value."""
    values = np.asarray(values, float)
    known = [np.flatnonzero(np.isfinite(row)) if i in diverged else np.arange(4) for i, row in enumerate(values)]
    seed, step = np.repeat(np.arange(len(values)), [len(steps) for steps in known]), np.concatenate(known)
    keys = {"game": "circulant", "n": 3, "contexts": 1, "reference": "uniform", "solver": solver}
    keys |= {"hyperparameters": "{}", "feedback": "duels[batch=100]", "policy": "tabular", "optimiser": "sgd"}
    keys |= {"beta": beta, "dtype": "float64", "device": "cpu"} | changes
    distances = ("suboptimality", "kl_to_equilibrium", "span_to_equilibrium")
    curves = pd.DataFrame(
        {"run_id": [f"{solver}/{beta}/{i}/{sorted(changes.items())}" for i in seed], "seed": seed, "step": step}
        | {"queries": step, "comparisons": COSTS[step], "status": "running"}
        | dict.fromkeys(distances, values[seed, step])
        | keys
    )
    last = ~curves["seed"].duplicated(keep="last")
    curves.loc[last, "status"] = ["diverged" if i in diverged else "budget" for i in range(len(values))]
    ends = {"label": solver, "selection": solver, "tolerance": tolerance, "queries_to_tolerance": None}
    return curves[last].reset_index(drop=True).assign(**ends), curves


def join(*parts):
    runs, curves = zip(*parts, strict=True)
    return pd.concat(runs, ignore_index=True), pd.concat(curves, ignore_index=True)


def spread(seeds, seed=0):
    """Values of many seeds in no order, falling on average."""
    return np.random.default_rng(seed).lognormal(size=(seeds, 4)) * np.array([1, 0.3, 0.1, 0.03])


def draw(figure):
    assert isinstance(figure, Figure)
    figure.draw_without_rendering()
    return figure


def lines_of(figure, solver, axes=0):
    """The lines of a solver, thickest first."""
    colour = palette.colour(solver)
    found = [line for line in figure.axes[axes].get_lines() if line.get_color() == colour and len(line.get_xdata()) > 1]
    return sorted(found, key=lambda line: -line.get_linewidth())


def crosses_of(figure, solver):
    colour = palette.colour(solver)
    lines = figure.axes[0].get_lines()
    return [line.get_xydata()[0].tolist() for line in lines if line.get_color() == colour and line.get_marker() == "x"]


def labels_of(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def caption_of(figure):
    """What the caption says behind the title."""
    return figure.caption.rsplit(". ", 1)[-1]


def test_the_lines_are_the_quantiles_of_the_iterates_there():
    values = spread(200)
    figure = draw(tails(*reversed(sampled(values))))
    assert figure.axes[0].get_xlabel() == "comparisons"
    ordered = np.sort(values, axis=0)
    # The ordinary median, and above it values of single seeds.
    expected = (np.median(values, axis=0), ordered[179], ordered[197])
    for line, quantile in zip(lines_of(figure, "online-ipo"), expected, strict=True):
        assert line.get_xdata().tolist() == COSTS.tolist()
        np.testing.assert_array_equal(line.get_ydata(), quantile)
    assert labels_of(figure) == ["online-ipo", "99 %, 90 %, median"]
    assert caption_of(figure) == "suboptimality of the last iterate over 200 seeds; dotted: tolerance 0.05"


def test_the_last_iterate_is_not_the_best_so_far():
    values = np.tile([1.0, 0.01, 0.5, 0.2], (20, 1))
    for line in lines_of(tails(*reversed(sampled(values))), "online-ipo"):
        assert line.get_ydata().tolist() == [1.0, 0.01, 0.5, 0.2]


@pytest.mark.parametrize(
    ("seeds", "names"), [(1, None), (5, "maximum, median"), (40, "maximum, 90 %, median"), (100, "99 %, 90 %, median")]
)
def test_what_too_few_seeds_cannot_tell_is_not_claimed(seeds, names):
    values = spread(seeds)
    figure = draw(tails(*reversed(sampled(values))))
    assert labels_of(figure)[1:] == ([] if names is None else [names])
    lines = lines_of(figure, "online-ipo")
    assert len(lines) == (1 if names is None else len(names.split(",")))
    if names is not None and "maximum" in names:
        np.testing.assert_array_equal(lines[-1].get_ydata(), values.max(axis=0))


def test_panels_claim_what_the_fewest_of_their_seeds_can_tell():
    figure = tails(*reversed(join(sampled(spread(100)), sampled(spread(12), solver="nash-prox"))))
    assert labels_of(figure)[-1] == "maximum, 90 %, median"
    assert caption_of(figure).startswith("suboptimality of the last iterate over 12–100 seeds")


def test_a_quantile_of_diverged_seeds_ends_in_a_cross_and_they_are_counted():
    values = np.tile([0.4, 0.3, 0.2, 0.1], (100, 1))
    values[:20, 2:] = NAN
    runs, curves = sampled(values, diverged=range(20))
    figure = draw(tails(curves, runs))
    median, ninety, most = (line.get_ydata() for line in lines_of(figure, "online-ipo"))
    np.testing.assert_array_equal(median, [0.4, 0.3, 0.2, 0.1])
    for lost in (ninety, most):
        np.testing.assert_array_equal(np.isnan(lost), [False, True, True, True])
    assert crosses_of(figure, "online-ipo") == [[0, 0.4], [0, 0.4]]
    assert labels_of(figure) == [
        "online-ipo (20 of 100 diverged)",
        "99 %, 90 %, median",
        "the quantile is a diverged seed from here on",
    ]
    few = tails(*reversed(sampled(values, diverged=range(20, 20))))
    assert "diverged" not in " ".join(labels_of(few))


def test_growth_without_end_does_not_take_the_room_of_what_converges():
    values = np.tile([0.4, 1e3, 1e100, 1e200], (100, 1))
    figure = draw(tails(*reversed(join(sampled(values), sampled(spread(100), solver="nash-prox")))))
    assert figure.axes[0].get_ylim()[1] < 1e5


def test_four_solvers_keep_their_colours_and_the_tolerance_is_dotted():
    solvers = ("online-ipo", "nash-prox", "approximate-nash-mp", "nash-md-pg")
    parts = [sampled(spread(100, i), solver=s, beta=b) for i, s in enumerate(solvers) for b in (0.1, 0.01)]
    runs, curves = join(*parts)
    figure = draw(tails(curves, runs))
    assert [ax.get_title() for ax in figure.axes] == ["β = 0.1", "β = 0.01"]
    assert len({palette.colour(solver) for solver in solvers}) == 4
    for solver in solvers:
        assert len(lines_of(figure, solver, axes=1)) == 3
    dotted = [line for line in figure.axes[0].get_lines() if line.get_color() == palette.FAINT]
    assert [set(line.get_ydata()) for line in dotted] == [{0.05}]
    far = tails(curves, runs.assign(tolerance=1e-10))
    assert "dotted" not in caption_of(far)
    kl = tails(curves, runs, distance="kl_to_equilibrium")
    assert "dotted" not in caption_of(kl), "the tolerance is on the suboptimality"


def test_the_share_is_that_of_the_seeds_under_the_tolerance_with_its_interval():
    values = np.full((50, 4), 1.0)
    values[:10, 1] = values[:40, 2] = values[:25, 3] = 0.05
    values[48:, 3] = NAN
    figure = draw(shares(*reversed(sampled(values, diverged=(48, 49)))))
    (line,) = lines_of(figure, "online-ipo")
    assert line.get_ydata().tolist() == [0, 0.2, 0.8, 0.5]
    corners = figure.axes[0].collections[0].get_paths()[0].vertices
    for cost, count in zip(COSTS[1:], (10, 40, 25), strict=True):
        drawn = np.unique(corners[np.isclose(corners[:, 0], cost), 1])
        assert [drawn[0], drawn[-1]] == pytest.approx([*map(float, outcomes.interval(count, 50))])
    assert figure.axes[0].get_ylabel() == "share of seeds with\nsuboptimality ≤ 0.05"
    assert labels_of(figure) == ["online-ipo (2 of 50 diverged)"]
    assert (
        caption_of(figure)
        == "share of seeds whose last iterate is at or below the tolerance, with 95 % intervals over 50 seeds"
    )


def test_panels_in_which_no_seed_arrives_are_left_out_and_that_is_said():
    there, not_there = np.full((12, 4), 0.01), np.full((12, 4), 0.9)
    parts = [sampled(there), sampled(not_there, beta=0.01), sampled(not_there, solver="nash-prox")]
    figure = draw(shares(*reversed(join(*parts))))
    assert len(figure.axes) == 1 and "β = 0.1" in figure.get_suptitle()
    assert labels_of(figure) == ["nash-prox", "online-ipo"], "what has a panel is shown in it, arrived or not"
    assert "panels in which no seed ends at or below the tolerance are left out" in caption_of(figure)
    assert "left out" not in caption_of(shares(*reversed(join(parts[0], parts[2]))))


def test_a_diverged_seed_is_above_every_tolerance():
    values = np.array([[1, 0.01, 0.01, NAN], [1, 0.01, 0.01, 0.01]])
    (line,) = lines_of(shares(*reversed(sampled(values, diverged=(0,)))), "online-ipo")
    assert line.get_ydata().tolist() == [0, 1, 0.5, 0.5]


DEGENERATE = {
    "all diverged at once": (np.tile([0.4, NAN, NAN, NAN], (12, 1)), range(12)),
    "not measured": (np.full((12, 4), NAN), ()),
    "only zeros": (np.zeros((12, 4)), ()),
    "one value": (np.full((12, 4), 0.3), ()),
    "beyond all numbers": (np.tile([0.4, 1e300, INF, INF], (12, 1)), ()),
    "one seed": (spread(1), ()),
}


@pytest.mark.parametrize("name", DEGENERATE)
def test_degenerate_seeds_are_drawn(name):
    values, diverged = DEGENERATE[name]
    runs, curves = sampled(values, diverged=diverged)
    draw(tails(curves, runs))
    draw(shares(curves, runs))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda runs, curves: tails(curves, runs, distance="kl"), "unknown distance 'kl'"),
        (lambda runs, curves: tails(curves, runs.iloc[:0]), "no runs"),
        (lambda runs, curves: shares(curves, runs.iloc[:0]), "no runs"),
        (lambda runs, curves: shares(curves, runs.assign(tolerance=[0.1] + [0.2] * 11)), "several tolerances"),
        (
            lambda runs, curves: tails(curves, runs.assign(feedback=["exact"] + ["duels"] * 11)),
            "one kind at a time",
        ),
        (lambda runs, curves: shares(curves, runs.assign(feedback="exact"), x="comparisons"), "consumes none"),
    ],
)
def test_wrong_input_is_a_sentence(call, words):
    with pytest.raises(NashGamesError) as error:
        call(*sampled(spread(12)))
    assert words in str(error.value)
