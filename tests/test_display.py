"""What the terminal shows, from rows and events alone; nothing is computed here."""

import io
import json
import math
import re
import sys
import unicodedata
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from nashgames.cli import display, item, mixture, options, payload, steps, streams, summary, theorems, words
from nashgames.cli.columns import fitted
from nashgames.cli.display import Progress, Screen
from nashgames.cli.list import LISTS, catalogue
from nashgames.cli.sheet import Sheet
from nashgames.core.game import make_game
from nashgames.exact.referee import Equilibrium
from nashgames.experiments.events import Advanced, BatchFinished, Finished, GameReady, Noted, Planned, Refereed
from nashgames.experiments.experiment import Experiment
from nashgames.store import RUN_COLUMNS


def row(**changes):
    values = {
        "run_id": "0" * 12,
        "game": "random-logits",
        "game_family": "random-logits",
        "game_parameters": '{"strength": 1.0}',
        "n": 100,
        "contexts": 1,
        "seed": 0,
        "reference": "uniform",
        "solver": "nash-mp",
        "hyperparameters": '{"eta": 0.1}',
        "feedback": "exact",
        "policy": "tabular",
        "optimiser": "sgd",
        "start": "reference",
        "target": "regularised",
        "beta": 0.05,
        "dtype": "float64",
        "device": "cpu",
        "storage": "dense",
        "selection": "nash-mp[eta=0.1]",
        "label": "nash-mp",
        "step_source": "theory",
        "role": "reported",
        "tuned": None,
        "game_fingerprint": None,
        "tolerance": 1e-10,
        "budget": 5000,
        "queries_to_tolerance": 236,
        "diverged_step": None,
        "compile_seconds": 0.5,
        "solve_seconds": 0.25,
        "batch_size": 1,
        "equilibrium_residual": 1e-16,
        "equilibrium_solves": 20,
        "step": 118,
        "queries": 236,
        "comparisons": 0,
        "seconds": 0.01,
        "suboptimality": 8.14e-11,
        "duality_gap": 1.628e-10,
        "exploitability": 0.01,
        "kl_to_equilibrium": 3.2e-10,
        "span_to_equilibrium": 1e-4,
        "kl_to_reference": 0.3,
        "entropy": 4.0,
        "status": "converged",
    }
    return values | changes


def frame(*rows):
    runs = pd.DataFrame(list(rows)).reindex(columns=list(RUN_COLUMNS))
    for name in ("queries_to_tolerance", "diverged_step"):
        runs[name] = pd.array(runs[name], dtype="Int64")
    return runs


def unreached(**changes):
    return row(
        **({"label": "online-ipo", "queries_to_tolerance": None, "suboptimality": 3e-4, "status": "budget"} | changes)
    )


def many(betas=(1.0, 0.1), sizes=(10, 100), seeds=30):
    return frame(
        *(
            row(
                run_id=f"{b}-{n}-{s}-{name}",
                label=name,
                selection=name,
                beta=b,
                n=n,
                seed=s,
                queries_to_tolerance=q + s,
            )
            for b in betas
            for n in sizes
            for s in range(seeds)
            for name, q in (("nash-mp", 100), ("nash-prox", 300))
        )
    )


@pytest.fixture
def terminal(monkeypatch):
    """Call it to make both streams a terminal of 120 columns; it returns what is written to each."""

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")

    def install():
        out, err = Terminal(), Terminal()
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", err)
        return out, err

    return install


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (words.count(1912), "1,912"),
        (words.count(12_345_678), "12,345,678"),
        (words.count(None), "–"),
        (words.small(8.14e-11), "8.1e-11"),
        (words.small(0.0), "0"),
        (words.small(float("nan")), "–"),
        (words.small(float("inf")), "∞"),
        (words.share(0.237), "24 %"),
        (words.share(0.0), "0 %"),
        (words.share(0.0004), "< 1 %"),
        (words.share(0.9999), "99 %"),
        (words.share(1.0), "100 %"),
        (words.between(0.8478, 0.87, 0.8894), "87 % [85, 89]"),
        (words.between(0.9944, 0.999, 0.9998), "99.9 % [99.4, 100]"),
        (words.between(0.0, 0.0, 0.0038), "0 % [0, 0.38]"),
        (words.between(0.99943, 0.9999, 0.99998), "99.99 % [99.94, 100]"),
        (words.between(0.0, 0.0, 0.0), "0 % [0, 0]"),
        (words.quantile(float("inf")), "diverged"),
        (words.quantile(float("nan")), "–"),
        (words.quantile(0.00123), "1.2e-03"),
        (words.optional(None), "–"),
        (words.series([1.0, 0.1, 0.01, 0.1]), "1, 0.1, 0.01"),
        (words.series([10, 100, 1000]), "10, 100, 1,000"),
        (words.series([1.0, 0.5, 0.2, 0.1, 0.05]), "1 … 0.05"),
        (words.duration(12.4), "12 s"),
        (words.duration(185), "3 min 05 s"),
        (words.duration(7800), "2 h 10 min"),
        (words.elapsed(0.0004), "< 1 ms"),
        (words.elapsed(0.0123), "12 ms"),
        (words.elapsed(0.9996), "1.0 s"),
        (words.elapsed(3.44), "3.4 s"),
        (words.elapsed(9.96), "10 s"),
        (words.elapsed(185), "3 min 05 s"),
        (words.plural(1, "run"), "1 run"),
        (words.plural(1200, "point"), "1,200 points"),
    ],
)
def test_numbers_are_said_as_a_person_reads_them(said, expected):
    assert said == expected


@pytest.mark.parametrize(
    ("hyperparameters", "source", "expected"),
    [
        ({"eta": 0.1}, "theory", "η = 0.1 = 2β, theory"),
        ({"eta": 0.2}, "given", "η = 0.2, given"),
        (
            {"eta": 0.1, "inner": 20, "kappa": 1.0, "step": 2.0957},
            "theory",
            "η = 0.1 = 2β, 20 inner, step 2.096, theory",
        ),
        ({"eta": 0.05, "inner": 1, "kappa": 0.1, "step": 4.0}, "given", "η = 0.05, 1 inner, κ = 0.1, step 4, given"),
        ({"eta": 0.4, "inner": 5, "kappa": 1.0, "step": None}, "curvature", "η = 0.4 = 8β, 5 inner, curvature"),
        ({"step": None}, "curvature", "curvature"),
        ({"step": 0.36}, "given", "step 0.36, given"),
        ({"mixture": 0.125, "opponent": "target"}, "theory", "λ = 0.125, opponent target, theory"),
    ],
)
def test_the_step_says_where_it_comes_from(hyperparameters, source, expected):
    assert words.step({"hyperparameters": json.dumps(hyperparameters), "beta": 0.05, "step_source": source}) == expected


def test_the_table_is_sorted_by_queries_and_shows_a_dash_for_what_was_not_reached():
    rows = [
        unreached(),
        row(label="nash-prox", queries_to_tolerance=1912),
        row(),
        unreached(label="best", suboptimality=1e-9),
    ]
    sheet = summary.runs_table(frame(*rows))
    assert sheet.headings == ("solver", "step", "queries to 1e-10", "suboptimality", "KL to equilibrium", "status")
    assert [line[0] for line in sheet.rows] == ["nash-mp", "nash-prox", "best", "online-ipo"]
    assert [line[2] for line in sheet.rows] == ["236", "1,912", "–", "–"]
    assert sheet.rows[-1][3:] == ("3.0e-04", "3.2e-10", "budget")


@pytest.mark.parametrize(
    ("column", "values", "heading", "shown"),
    [
        ("beta", [0.01, 1.0], "β", ["1", "0.01"]),
        ("n", [1000, 10], "actions", ["10", "1,000"]),
        ("game", ["disc", "castles"], "game", ["castles", "disc"]),
        ("seed", [1, 0], "seed", ["0", "1"]),
        ("reference", ["uniform", "random"], "reference", ["random", "uniform"]),
    ],
)
def test_a_column_appears_where_it_varies(column, values, heading, shown):
    sheet = summary.runs_table(frame(*(row(**{column: value}) for value in values)))
    assert sheet.headings[0] == heading
    assert [line[0] for line in sheet.rows] == shown


def test_an_infinite_distance_is_not_called_diverged():
    """A policy with exact zeros is infinitely far from π* in KL; that of a diverged run is its last finite one."""
    ends = {"suboptimality": 0.1, "kl_to_equilibrium": float("inf"), "queries_to_tolerance": None}
    sheet = summary.runs_table(frame(row(status="budget", **ends), row(status="diverged", label="nash-prox", **ends)))
    assert [line[-3:] for line in sheet.rows] == [
        ("1.0e-01", "∞", "budget"),
        ("1.0e-01", "diverged", "diverged"),
    ]


def test_many_seeds_become_medians():
    sheet = summary.runs_table(many(betas=(0.1,), sizes=(10,)))
    assert "seed" not in sheet.headings
    assert sheet.caption == "median over 30 seeds"
    assert [(line[0], line[2], line[-1]) for line in sheet.rows] == [
        ("nash-mp", "114", "30 converged"),
        ("nash-prox", "314", "30 converged"),
    ]


def test_a_median_is_that_of_figures_and_diverged_runs_are_its_worst(monkeypatch):
    monkeypatch.setattr(summary, "MANY_RUNS", 5)
    ends = [(None, 5.0, "diverged")] * 6 + [(k, 10.0**-k, "converged") for k in range(1, 15)]
    rows = [
        row(seed=seed, label=label, selection=label, queries_to_tolerance=queries, suboptimality=end, status=status)
        for label, told in (("nash-mp", ends), ("online-ipo", ends[:11]))
        for seed, (queries, end, status) in enumerate(told)
    ]
    sheet = summary.runs_table(frame(*rows))
    assert [(line[0], line[2], line[3]) for line in sheet.rows] == [
        ("nash-mp", "10", "5.5e-05"),
        ("online-ipo", "–", "diverged"),
    ]


def test_a_median_counts_runs_that_did_not_reach_the_tolerance():
    runs = many(betas=(0.1,), sizes=(10,), seeds=31)
    runs.loc[runs["seed"] > 14, ["queries_to_tolerance", "status"]] = [pd.NA, "diverged"]
    assert [line[2] for line in summary.runs_table(runs).rows] == ["–", "–"]
    assert summary.runs_table(runs).rows[0][-1] == "15 converged, 16 diverged"


def test_very_many_cells_become_a_grid_of_solvers():
    runs = many(betas=(1.0, 0.1, 0.01, 0.001), sizes=(10, 20, 30, 40, 50, 60))
    sheet = summary.runs_table(runs)
    assert sheet.headings == ("game", "actions", "β", "nash-mp", "nash-prox")
    assert len(sheet.rows) == 24
    assert sheet.rows[0] == ("random-logits", "10", "1", "114", "314")
    assert sheet.rows[1][:3] == ("random-logits", "10", "0.1")
    assert sheet.caption == "queries to 1e-10, median over seeds"


def test_how_runs_learned_appears_where_it_varies():
    runs = frame(*(row(policy=policy) for policy in ("mlp", "tabular")), row(policy="mlp", optimiser="adam"))
    sheet = summary.runs_table(runs)
    assert sheet.headings[:2] == ("policy", "optimiser")
    assert [line[:2] for line in sheet.rows] == [("mlp", "adam"), ("mlp", "sgd"), ("tabular", "sgd")]


@pytest.mark.parametrize("column", ["policy", "optimiser"])
def test_medians_and_grids_keep_variants_apart(column):
    runs = many(betas=(0.1,), sizes=(10,))
    other = runs.assign(**{column: "another"}, queries_to_tolerance=runs["queries_to_tolerance"] + 1000)
    sheet = summary.runs_table(pd.concat([runs, other]))
    assert [(line[0], line[1], line[3]) for line in sheet.rows] == [
        ("another", "nash-mp", "1,114"),
        ("another", "nash-prox", "1,314"),
        (runs[column].iloc[0], "nash-mp", "114"),
        (runs[column].iloc[0], "nash-prox", "314"),
    ]
    runs = many(betas=(1.0, 0.1, 0.01, 0.001), sizes=(10, 20, 30, 40))
    sheet = summary.runs_table(pd.concat([runs, runs.assign(**{column: "another"})]))
    assert sheet.headings == ("game", "actions", column, "β", "nash-mp", "nash-prox")
    assert len(sheet.rows) == 32


def on_duels(ends, label="online-ipo", **changes):
    """Runs on samples that end at the suboptimalities `ends`, inf for a diverged one."""
    learned = {"feedback": "duels[batch=100]", "label": label, "selection": label, "tolerance": 0.01}
    measured = {"comparisons": 300_000, "queries_to_tolerance": None, "hyperparameters": '{"step": 0.5}'}
    return [
        row(run_id=f"{label}/{seed}/{changes}", seed=seed, suboptimality=1.0 if end == math.inf else end, **learned)
        | measured
        | {"status": "diverged" if end == math.inf else "converged" if end <= 0.01 else "budget"}
        | changes
        for seed, end in enumerate(ends)
    ]


def test_many_seeds_on_samples_become_quantiles_a_share_and_a_count():
    half = [0.001] * 50 + [0.1] * 44
    runs = frame(*on_duels([*half, *[math.inf] * 6]), *on_duels([*half, *[0.2] * 6], label="nash-prox"))
    (sheet,) = summary.tables(runs)
    numbers = ("median", "90\u00a0%", "99\u00a0%", "≤\u00a00.01")
    assert sheet.headings == ("solver", "step", "comparisons", *numbers, "seeds")
    assert sheet.rows == (
        ("nash-prox", "step 0.5, theory", "300,000", "5.1e-02", "1.0e-01", "2.0e-01", "50 % [40, 60]", "100"),
        (
            *("online-ipo", "step 0.5, theory", "300,000", "5.1e-02", "1.0e-01", "diverged", "50 % [40, 60]"),
            "6 of 100 diverged",
        ),
    )
    assert sheet.caption == (
        "suboptimality of the last iterate over 100 seeds on duels[batch=100]; "
        "share of seeds at or below 0.01 with its 95 % interval"
    )
    (sheet,) = summary.tables(frame(*on_duels([0.1, 0.001, 0.02])))
    assert sheet.headings[3:5] == ("median", "maximum")
    assert sheet.rows[0][3:6] == ("2.0e-02", "1.0e-01", "33 % [6, 79]")


@pytest.mark.parametrize(("columns", "left_out"), [(120, []), (88, ["comparisons"]), (80, ["comparisons", "90 %"])])
def test_the_table_of_samples_keeps_its_lines_in_a_narrow_terminal(terminal, monkeypatch, columns, left_out):
    out, _ = terminal()
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("NO_COLOR", "1")
    (sheet,) = summary.tables(frame(*on_duels([*[0.001] * 90, *[0.1] * 9, math.inf])))
    Screen().sheet(sheet)
    lines = [line.replace("\u00a0", " ") for line in re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue()).splitlines()]
    assert all(len(line) <= columns for line in lines)
    assert [name for name in ("comparisons", "90 %") if name not in lines[0]] == left_out
    assert all(cell in lines[1] + lines[2] for cell in ("online-ipo", "90 % [83, 94]", "1 of 100 diverged"))


def test_best_on_samples_is_the_largest_share_then_the_median_and_variants_have_rows():
    worse, better, best = [0.5] * 20, [0.1] * 20, [0.001] * 20
    rows = [*on_duels(worse, label="a"), *on_duels(better, label="b"), *on_duels(best, label="c")]
    rows += on_duels(best, label="a", feedback="duels") + on_duels(best, label="a", policy="mlp", optimiser="adam")
    (sheet,) = summary.tables(frame(*rows))
    assert sheet.headings[:4] == ("feedback", "policy", "optimiser", "solver")
    assert [line[:4] for line in sheet.rows] == [
        ("duels", "tabular", "sgd", "a"),
        ("duels[batch=100]", "mlp", "adam", "a"),
        *(("duels[batch=100]", "tabular", "sgd", label) for label in "cba"),
    ]
    assert "on duels" not in sheet.caption


def test_one_seed_on_samples_is_charged_in_comparisons():
    (sheet,) = summary.tables(frame(*on_duels([0.3])))
    assert sheet.headings == ("solver", "step", "comparisons", "suboptimality", "KL to equilibrium", "status")
    assert sheet.rows[0][2:4] == ("300,000", "3.0e-01")
    assert sheet.caption == "last iterate on duels[batch=100]"


def test_exact_feedback_and_samples_have_a_table_each():
    exact, sampled = summary.tables(frame(row(), *on_duels([0.3, 0.2])))
    assert exact.headings[2] == "queries to 1e-10"
    assert (len(exact.rows), exact.caption) == (1, "exact feedback")
    assert sampled.headings[2] == "comparisons"
    (alone,) = summary.tables(frame(row()))
    assert alone == summary.runs_table(frame(row()))


def test_very_many_cells_on_samples_become_a_grid():
    cells = [{"beta": beta, "n": n} for beta in (1.0, 0.1, 0.01) for n in range(10, 17)]
    rows = [line for cell in cells for label in "ab" for line in on_duels([0.001, 0.3], label=label, **cell)]
    (sheet,) = summary.tables(frame(*rows))
    assert sheet.headings == ("game", "actions", "β", "a", "b")
    assert len(sheet.rows) == 21
    assert sheet.rows[0] == ("random-logits", "10", "1", "50 % [9, 91]", "50 % [9, 91]")
    assert sheet.caption == (
        "share of seeds at or below 0.01 with its 95 % interval; last iterate over 2 seeds on duels[batch=100]"
    )
    (sheet,) = summary.tables(frame(*rows).assign(tolerance=1e-9))
    assert sheet.rows[0][3:] == ("1.5e-01", "1.5e-01")
    assert sheet.caption.startswith("median suboptimality; ")


def test_the_cells_for_a_program_have_counts_quantiles_and_the_interval():
    cells = payload.cells(frame(row(), *on_duels([0.001, 0.2, math.inf, 0.1])))
    (cell,) = json.loads(json.dumps(cells, allow_nan=False))
    assert {key: cell[key] for key in ("solver", "feedback", "policy", "optimiser", "actions")} == {
        "solver": "nash-mp",
        "feedback": "duels[batch=100]",
        "policy": "tabular",
        "optimiser": "sgd",
        "actions": 100,
    }
    counts = {key: cell[key] for key in ("seeds", "diverged", "reached", "share", "median", "q90", "q99")}
    assert counts == {
        "seeds": 4, "diverged": 1, "reached": 1, "share": 0.25, "median": pytest.approx(0.15), "q90": None, "q99": None,
    }  # fmt: skip
    assert 0 < cell["low"] < 0.25 < cell["high"] < 1
    assert payload.cells(frame(row(), row(seed=1))) == []
    assert payload.cells(frame(*on_duels([0.1]))) == []


def test_of_swept_steps_the_table_shows_the_best():
    rows = [
        row(
            solver="online-ipo",
            label=f"online-ipo[step={step}]",
            selection=f"online-ipo[step={step}]",
            hyperparameters=json.dumps({"step": step}),
            queries_to_tolerance=100 + 10 * abs(step - best),
            beta=beta,
        )
        for beta, best in ((0.1, 3), (0.01, 5))
        for step in range(1, 7)
    ]
    (sheet,) = summary.tables(frame(*rows))
    assert [line[:4] for line in sheet.rows] == [
        ("0.1", "online-ipo", "step 3, theory", "100"),
        ("0.01", "online-ipo", "step 5, theory", "100"),
    ]
    assert sheet.caption == "every solver with the best of up to 6 steps on the same seeds"
    (sheet,) = summary.tables(frame(*(line for line in rows if json.loads(line["hyperparameters"])["step"] > 1)))
    assert sheet.caption == "every solver with the best of up to 5 steps on the same seeds"
    (sheet,) = summary.tables(frame(*(line for line in rows if json.loads(line["hyperparameters"])["step"] < 6)))
    assert sheet.caption == (
        "every solver with the best of up to 5 steps on the same seeds, at an end of them for online-ipo: widen these"
    )


def tried(step, queries, **changes):
    """A row of a run that tries a step, which may have not arrived."""
    numbers = {"hyperparameters": json.dumps({"step": step}), "selection": f"online-ipo[step={step}]"}
    how = {"label": "online-ipo", "solver": "online-ipo", "step_source": "tried", "role": "tuning", "tuned": "step"}
    return row(**how | numbers | {"queries_to_tolerance": queries, "seed": 1} | changes)


NO_CURVES = pd.DataFrame(columns=["run_id", "step", "queries", "comparisons", "suboptimality", "exploitability"])
"""Runs on exact feedback tell their cost themselves."""


def chosen(rows):
    runs = frame(*rows)
    return steps.choices(runs.assign(run_id=[str(place) for place in range(len(runs))]), NO_CURVES)


def test_the_choice_is_told_beside_the_solver_as_it_was_asked_for():
    own = {"step_source": "theory"}
    rows = [tried(0.3, 400), tried(3, 40), tried(1, None, suboptimality=0.1, **own)]
    # What is shown are costs on seeds that did not choose.
    rows += [tried(3, 44, seed=0, role="reported"), tried(1, 90, seed=0, role="asked", **own)]
    found = chosen(rows)
    (only,) = json.loads(json.dumps(found, allow_nan=False))
    assert (only["value"], only["cost"], only["own_cost"], only["edge"]) == (3, 40, None, "upper")
    assert (only["reported_cost"], only["asked_cost"]) == (44, 90)
    sheet = steps.choices_table(found)
    assert sheet.headings == ("solver", "best step", "range", "cost", "own cost", "end")
    assert sheet.rows == (("online-ipo", "step 3", "0.3 … 3", "44", "90", "upper"),)
    assert sheet.caption.startswith(
        "the best of 3 steps by the median cost to the tolerance, on seed 1; costs are medians"
    )
    rows += [tried(step, queries, beta=0.1, seed=2) for step, queries in ((0.3, 90), (1, 60), (3, 40), (10, 90))]
    sheet = steps.choices_table(chosen(rows))
    assert sheet.headings[0] == "β"
    assert [line[2] for line in sheet.rows] == ["step 3", "step 3"]
    assert [line[4:] for line in sheet.rows] == [("–", "–", ""), ("44", "90", "upper")], "β falls from row to row"
    assert "the best of 3, 4 steps by the median cost to the tolerance, on seeds 1–2" in sheet.caption
    own_game = steps.choices_table(chosen([tried(1, 5, role="both", **own), tried(2, 9)]))
    assert own_game.rows == (("online-ipo", "step 1", "1 … 2", "5", "5", "lower"),), "the choice is what was asked for"
    assert "on the reported game itself where it is the same for every seed" in own_game.caption
    assert chosen([row()]) == []


def test_the_choices_of_many_cells_are_one_line_a_solver():
    """At β = 0.1 step 3 is chosen, ten times as fast as the own one; at 0.01 the own one; at 0.001 nobody arrives."""
    own = {"step_source": "theory"}
    rows = [tried(0.3, 300, beta=0.1), tried(1, 400, beta=0.1, **own), tried(3, 40, beta=0.1)]
    rows += [tried(0.3, 90, beta=0.01), tried(1, 60, beta=0.01, **own), tried(3, 70, beta=0.01)]
    rows += [
        tried(step, None, beta=0.001, suboptimality=step / 10, **(own if step == 1 else {})) for step in (0.3, 1, 3)
    ]
    rows += [tried(3, 40, beta=0.1, seed=0, role="reported"), tried(1, 400, beta=0.1, seed=0, role="asked", **own)]
    rows += [tried(1, 60, beta=0.01, seed=0, role="reported", **own)]
    rows += [tried(0.3, None, beta=0.001, seed=0, role="reported", suboptimality=0.1)]
    rows += [tried(1, None, beta=0.001, seed=0, role="asked", suboptimality=0.1, **own)]
    sheet = steps.choices_by_solver(chosen(rows))
    assert sheet.headings == ("solver", "best steps", "own", "end", "saved", "both reached")
    assert sheet.rows == (("online-ipo", "step 0.3 … 3", "1", "2", "5.5", "2 of 3"),)
    assert sheet.caption.startswith(
        "the best of 3 steps by the median cost to the tolerance, on seed 1; one choice for"
    )


@pytest.mark.parametrize("columns", [60, 80, 100])
def test_no_terminal_is_too_narrow_for_a_number(terminal, monkeypatch, columns):
    same = {"game": "circulant", "reference": "uniform", "n": 3, "policy": "tabular", "optimiser": "sgd"}
    limit = {"steps": 6, "limit": 1.4331, "low": 1.4, "high": 1.5, "derived_limit": 1.433, "best": 0.7}
    found = [
        same | {"label": label, "beta": beta} | limit | {"rate": 0.0024, "derived_rate": 0.0025}
        for label in ("approximate-nash-mp", "nash-mp") for beta in (0.1, 0.01)
    ]  # fmt: skip
    sheet = steps.steps_table(found)
    out, _ = terminal()
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("NO_COLOR", "1")
    Screen().sheet(sheet)
    lines = re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue()).splitlines()
    assert all(len(line) <= columns for line in lines)
    cells = [[cell.strip() for cell in re.split(r"\s{2,}", line.strip())] for line in lines]
    for number, line in enumerate(sheet.rows):
        # Every part of the table says whose its rows are.
        mine = [row for row in cells if row[:2] == list(line[:2])]
        assert [cell for row in mine for cell in row[2:]] == list(line[2:]), number


def test_the_steps_that_were_swept_are_told_beside_what_is_derived():
    same = {"game": "circulant", "reference": "uniform", "n": 3, "policy": "tabular", "optimiser": "sgd"}
    limit = {"steps": 6, "limit": 1.4331, "low": 1.4, "high": 1.5, "derived_limit": 1.433, "best": 0.7}
    rates = {"rate": 0.0024, "derived_rate": 0.0025}
    found = [
        same | {"label": "online-ipo", "beta": 0.02} | limit | rates,
        same | {"label": "nash-prox", "beta": 0.02} | limit | rates | {"high": None, "derived_limit": None},
        same | {"label": "nash-prox", "beta": 0.01} | limit | rates | {"low": 0.0},
    ]
    sheet = steps.steps_table(found)
    headings = ("largest stable step", "derived step", "best step", "rate per query", "derived rate")
    assert sheet.headings == ("solver", "β", *headings)
    assert sheet.rows[0] == ("online-ipo", "0.02", "1.433", "1.433", "0.7", "2.4e-03", "2.5e-03")
    assert [line[2:4] for line in sheet.rows[1:]] == [("> 1.433", "–"), ("< 1.433", "1.433")]
    assert steps.measured_steps(frame(row(), *on_duels([0.1])), pd.DataFrame()) == []


def test_a_size_without_a_judged_run_is_said_to_be_blank():
    whole = {"game": "melo", "label": "nash-mp", "beta": 0.1, "proved": 200.0, "measured": {10: 100.0, 100: 120.0}}
    part = whole | {"label": "proximal-point", "measured": {10: 90.0}}
    assert "blank" not in theorems._sizes(pd.DataFrame([whole])).caption
    sheet = theorems._sizes(pd.DataFrame([whole, part]))
    assert (sheet.rows[1][-1], sheet.caption.split("; ")[-1]) == ("", "blank: no run of that size was judged")


def test_the_tally_counts_every_ending():
    assert summary.tally(frame(row(), row(), unreached())) == "2 converged · 1 out of budget"


def policy(run_id, labels, probabilities):
    columns = {"context": 0, "action": range(len(labels)), "label": labels, "probability": probabilities}
    return pd.DataFrame({"run_id": run_id, **columns, "log_probability": np.log(probabilities)})


def test_the_mixture_names_the_most_played_actions_of_the_best_run():
    labels = [f"deck {i}" for i in range(12)]
    probabilities = np.array([0.02, 0.3, 0.2, *[0.06] * 8, 0.0])
    runs = frame(
        row(run_id="a", suboptimality=1e-3),
        row(run_id="b", label="nash-prox"),
        row(run_id="c", beta=1.0, suboptimality=0.0),
    )
    policies = pd.concat(
        [
            policy(i, labels, p)
            for i, p in (
                ("a", probabilities[::-1] + 1e-300),
                ("b", probabilities + 1e-300),
                ("c", probabilities + 1e-300),
            )
        ]
    )
    (sheet,) = mixture.mixtures(runs, policies)
    assert sheet.rows[0] == ("1", "deck 1", "30.00 %")
    assert sheet.rows[1] == ("2", "deck 2", "20.00 %")
    assert len(sheet.rows) == mixture.TOP_ACTIONS
    assert sheet.caption == "random-logits at β 0.05 by nash-prox: suboptimality 8.1e-11; the other 2 share 2.00 %"


@pytest.mark.parametrize(("ends", "seed"), [((0.3, 0.1, 0.2), 2), ((0.1, 0.4, 0.2, 0.3), 3), ((0.2, math.nan, 0.1), 0)])
def test_the_mixture_is_that_of_the_median_seed_and_says_so(ends, seed):
    """Of nash-mp, whose median is best, although the luckiest seed of all is one of online-ipo."""
    others = [
        row(run_id=f"o{s}", seed=s, label="online-ipo", selection="o", suboptimality=end)
        for s, end in enumerate((1e-9, 0.9, 0.9))
    ]
    runs = frame(*others, *(row(run_id=f"m{s}", seed=s, suboptimality=end) for s, end in enumerate(ends)))
    policies = pd.concat([policy(run, ["a", "b"], np.array([0.6, 0.4])) for run in runs["run_id"]])
    (sheet,) = mixture.mixtures(runs, policies)
    middle = sorted(ends, key=lambda end: (math.isnan(end), end))[len(ends) // 2]
    assert sheet.caption == (
        f"random-logits at β 0.05 by nash-mp · seed {seed}, the median of {len(ends)}: suboptimality {middle:.1e}"
    )


def test_nothing_of_a_label_acts_on_a_terminal(terminal):
    out, _ = terminal()
    label = "\x1b[31mred\x1b[0m\u202e\x9b" + 3000 * "x"
    (sheet,) = mixture.mixtures(frame(row(run_id="a")), policy("a", [label, "b"], np.array([0.6, 0.4])))
    screen = Screen()
    screen.sheet(sheet)
    screen.line(label)
    screen.pairs([("note", label)])
    # What styles the tables is ours.
    shown = re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue())
    assert not {c for c in shown if unicodedata.category(c) in ("Cc", "Cf")} - {"\n"}
    assert r"\x1b[31mred\x1b[0m\u202e\x9bxxxx" in shown
    assert max(map(len, sheet.rows[0])) <= 40


def test_a_game_without_names_has_no_mixture():
    assert mixture.mixtures(frame(row(run_id="a")), policy("a", ["0", "1"], np.array([0.5, 0.5]))) == []


def test_the_data_is_strict_json_with_null_for_what_was_not_measured():
    runs = frame(row(), unreached(kl_to_equilibrium=float("nan"), suboptimality=float("inf"), diverged_step=7))
    converged, other = json.loads(json.dumps(payload.payload(runs), allow_nan=False))
    assert converged["hyperparameters"] == {"eta": 0.1}
    assert (converged["id"], converged["actions"], converged["queries_to_tolerance"]) == ("0" * 12, 100, 236)
    assert converged["diverged_step"] is None
    assert (other["kl_to_equilibrium"], other["suboptimality"], other["queries_to_tolerance"]) == (None, None, None)
    assert other["diverged_step"] == 7


def test_the_header_says_what_is_played():
    single = Experiment(game="castles", beta=0.01, dtype="float32")
    expected = "castles · 3,996 actions · β 0.01 · uniform reference · seed 0 · float32 on cpu"
    assert words.header(single, 3996, "uniform") == expected
    grid = Experiment(
        game=["disc", "melo"], actions=[10, 1000], beta=[1, 0.1], seeds=20, reference=["uniform", "random"]
    )
    assert words.header(grid) == (
        "2 games · 10, 1,000 actions · β 1, 0.1 · references uniform, random · seeds 0–19 · float64 on cpu"
    )


def test_the_header_says_how_is_learned_where_that_is_not_as_usual():
    asked = Experiment(
        game="circulant", feedback="duels[batch=100]", policy=["tabular", "mlp"], optimiser="adam", start="equilibrium"
    )
    assert words.header(asked, 3, "uniform") == (
        "circulant · 3 actions · β 0.05 · uniform reference · duels[batch=100] · tabular, mlp · adam · "
        "from equilibrium · seed 0 · float64 on cpu"
    )


def test_the_header_leaves_out_references_that_every_game_has_of_its_own():
    assert "reference" not in words.header(Experiment(game=["disc", "melo"]))
    assert "own reference" in words.header(Experiment(game="planted-regularised"))


def facts(winner=None, sampled=False):
    return SimpleNamespace(
        actions=100,
        condorcet_winner_label=winner,
        cyclic_triples=0.24,
        cyclic_triples_sampled=sampled,
        cyclic_energy=0.97,
        energies_sampled=False,
    )


def test_facts_name_the_winner():
    assert words.facts(facts()) == "no Condorcet winner · 24 % of triples are cycles · Hodge decomposition 97 % cyclic"
    assert words.facts(facts("paper", sampled=True)).startswith("Condorcet winner paper · about 24 %")


def events():
    runs = frame(row())
    game = make_game(np.zeros((100, 100)))
    yield Planned(Path("somewhere"), 4, 1, 2, equilibria=2)
    yield GameReady("random-logits · 100 actions", game, facts(), ("two rows were merged",))
    yield Refereed("random-logits", Equilibrium(0.05, np.zeros(2), 1e-16, 1))
    yield Advanced(1, 2, "nash-mp · random-logits · 100 actions", 3, 2, 1240, 5000, 3.2e-7, 65.0, (0.1, 0.05))
    yield Noted("the equilibrium is not exact")
    yield BatchFinished(1, 2, runs)
    yield Advanced(2, 2, "nash-prox · random-logits · 100 actions", 1, 1, 10, 5000, 0.1, 2.0)
    yield Finished(Path("somewhere"), runs, len(runs), lambda name: runs, 1, 0, ())


def play(**settings):
    with Progress(Experiment(), **settings) as screen:
        for event in events():
            screen.show(event)
    return screen


def test_what_is_noted_of_trials_and_of_reported_runs_is_read_once(capsys):
    asked = Experiment(tune={"seeds": 2})
    with Progress(asked) as screen:
        for event in (Planned(Path("somewhere"), 4, 0, 2, tuning=True, tried=(0, 1)), Noted("one"), Noted("two")):
            screen.show(event)
        for event in (Planned(Path("somewhere"), 4, 0, 2), Noted("one")):
            screen.show(event)
    assert capsys.readouterr().err.split() == ["one", "two"]


@pytest.mark.parametrize(
    ("tried", "said"),
    [
        ((1, 2), "tuned on seeds 1–2 ·"),
        ((1,), "tuned on seed 1 ·"),
        ((0,), "tuned on what is reported ·"),
        ((0, 1), "tuned on seed 1 and what is reported ·"),
    ],
)
def test_the_header_says_on_what_steps_are_tuned(tried, said):
    assert "tuned" not in words.header(Experiment(tune={"seeds": 2}), tried=())
    assert said in words.header(Experiment(tune={"seeds": 2}), tried=tried)


@pytest.mark.parametrize(
    ("width", "line"),
    [
        (
            120,
            "1/2  nash-mp · mine.py:lizard[noise=0.05] · 5 actions · β 1, 0.3"
            + " " * 17
            + "1,240 of 5,000   3.2e-07  ≤ 12 s",
        ),
        (80, "1/2  nash-mp · mine.py:li… · β 1, 0.3    1,240 of 5,000   3.2e-07  ≤ 12 s"),
        (60, "1/2  nash-mp… · β 1, 0.3      1,240   3.2e-07  ≤ 12 s"),
    ],
)
def test_a_line_of_progress_keeps_the_solver_and_beta(width, line):
    row = ("1/2", "nash-mp · mine.py:lizard[noise=0.05] · 5 actions · β 1, 0.3", "1,240 of 5,000", "3.2e-07", "≤ 12 s")
    assert display._progress_line(row, width) == line


def test_prose_is_broken_where_the_terminal_ends_and_formulas_are_not_joined():
    prose = f"{'words ' * 18}and\nmore\n\na = b\nc = d"
    assert item._flowing(prose) == [f"{'words ' * 18}and more", "", "a = b", "c = d"]


def test_progress_is_one_live_line_a_batch_on_standard_error(terminal):
    out, err = terminal()
    screen = play()
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", err.getvalue())
    assert "1/2  nash-mp · random-logits · 100 actions · β 0.1, 0.05 · 3 runs" in shown
    assert "1,240 of 5,000   3.2e-07  ≤ 1 min 05 s" in shown
    assert re.search("batch +queries +subopt.  time left", shown)
    assert "exact equilibrium at β 0.05, 1 of 2 done" in shown
    assert re.search("compiling; about .* s left in all", shown)
    assert "2/2  nash-prox" in shown
    assert "two rows were merged" in shown
    assert "the equilibrium is not exact" in shown
    assert screen.finished_runs == 1
    lines = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line) for line in out.getvalue().splitlines()]
    assert lines == [
        "random-logits · 100 actions · β 0.05 · uniform reference · seed 0 · float64 on cpu",
        "no Condorcet winner · 24 % of triples are cycles · Hodge decomposition 97 % cyclic",
    ]


def test_progress_leaves_the_terminal_when_the_runner_is_interrupted(terminal):
    _, err = terminal()
    with pytest.raises(KeyboardInterrupt), Progress(Experiment()) as screen:
        for event in events():
            screen.show(event)
            if isinstance(event, Advanced):
                raise KeyboardInterrupt
    assert -1 < err.getvalue().rfind("\x1b[?25l") < err.getvalue().rfind("\x1b[?25h"), "the cursor must come back"


def test_in_a_pipe_a_finished_batch_is_one_plain_line_with_the_time_left(capsys, monkeypatch):
    seconds = iter([0.0, 10.0, 100.0])
    monkeypatch.setattr(display, "time", SimpleNamespace(monotonic=lambda: next(seconds)))
    play()
    printed = capsys.readouterr()
    batch = "batch 1 of 2: nash-mp · random-logits · 100 actions · β 0.1, 0.05 · 3 runs"
    assert printed.err.splitlines() == [
        "two rows were merged",
        "the equilibrium is not exact",
        # From the plan to the end of the first of two batches 90 s went by.
        f"{batch}, 236 queries, suboptimality 8.1e-11; about 1 min 30 s left",
    ]
    assert "\x1b" not in printed.out + printed.err
    assert printed.out.startswith("random-logits · 100 actions")


def test_a_batch_has_its_own_name_where_that_of_another_worker_was_told_last(capsys):
    with Progress(Experiment()) as screen:
        screen.show(Planned(Path("somewhere"), 4, 0, 2))
        for batch, label in ((1, "nash-mp · disc"), (2, "online-ipo · disc")):
            screen.show(Advanced(batch, 2, label, 1, 1, 10, 5000, 0.1, 2.0))
        screen.show(BatchFinished(1, 2, frame(row())))
    assert capsys.readouterr().err.startswith("batch 1 of 2: nash-mp · disc, ")


def test_batches_of_trials_are_called_so(capsys):
    with Progress(Experiment(tune={"seeds": 2})) as screen:
        screen.show(Planned(Path("somewhere"), 4, 0, 2, tuning=True, tried=(1,)))
        screen.show(BatchFinished(1, 2, frame(row())))
    told = capsys.readouterr().err
    assert told.startswith("batch of trials 1 of 2: nash-mp, ") and told.endswith(" left for the trials\n")


@pytest.mark.parametrize(("settings", "notes"), [({"quiet": True}, False), ({"data": True}, True)])
def test_quiet_and_data_print_no_result(capsys, settings, notes):
    screen = play(**settings)
    screen.sheet(summary.runs_table(frame(row())))
    screen.pairs([("plot", "nashgames plot somewhere")])
    printed = capsys.readouterr()
    assert printed.out == ""
    assert bool(printed.err) == notes


def test_colour_is_left_out_on_request(terminal, monkeypatch):
    out, _ = terminal()
    Screen().sheet(summary.runs_table(frame(row())))
    assert "\x1b[32m" in out.getvalue()
    out.truncate(0)
    monkeypatch.setenv("NO_COLOR", "1")
    Screen().sheet(summary.runs_table(frame(row())))
    assert "\x1b[3" not in out.getvalue()


def test_a_table_in_a_pipe_is_whole_and_has_no_trailing_blanks(capsys):
    long = "average[nash-prox[eta=0.123456789,inner=40,step=4.25,kappa=0.5]]" * 3
    Screen().sheet(summary.runs_table(frame(row(label=long), unreached())))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert any(long in line for line in lines)
    assert all(line == line.rstrip() for line in lines)


def test_what_ascii_writes_in_more_letters_is_laid_out_so(monkeypatch):
    """A column of β is as wide as the word beta, and stays a column."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="nashgames")
    monkeypatch.setattr(sys, "stdout", out)
    screen = Screen()
    screen.sheet(Sheet(("β", "solver", "∞"), frozenset({"solver"}), (("0.1", "α…", "1"), ("1", "b", "2"))))
    screen.pairs([("η", "½")])
    out.seek(0)
    assert out.read().splitlines() == [
        " beta   solver     inf",
        "  0.1   alpha...     1",
        "    1   b            2",
        " eta   1/2",
    ]


def test_what_stands_below_a_table_breaks_between_words_but_for_paths_and_commands(terminal, monkeypatch):
    out, err = terminal()
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("NO_COLOR", "1")
    screen = Screen()
    command, place = "nashgames plot " + "directory " * 5, "results/" + "word " * 10
    screen.pairs([("caption", "a word " * 10), ("plot", command.strip()), ("curves", place.strip())])
    screen.note("a word " * 10)
    lines = re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue()).splitlines()
    assert lines[-2:] == [f" plot      {command.strip()}", f" curves    {place.strip()}"]
    assert lines[:2] == [" caption   a word a word a word a word a", "           word a word a word a word a"]
    notes = re.sub(r"\x1b\[[0-9;]*m", "", err.getvalue()).splitlines()
    assert all(len(line) <= 40 for line in [*lines[:-2], *notes])


@pytest.mark.parametrize(("columns", "step"), [(120, "η = 0.1 = 2β, theory"), (72, "η = 0.1 = 2β,")])
def test_steps_break_at_their_commas_in_a_narrow_terminal(terminal, monkeypatch, columns, step):
    out, _ = terminal()
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("NO_COLOR", "1")
    Screen().sheet(summary.runs_table(frame(row(), unreached())))
    lines = re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue()).splitlines()
    (first,) = [line for line in lines if line.startswith(" nash-mp")]
    assert all(len(line) <= columns for line in lines)
    assert step in first
    assert ("theory" in step) or any(line.strip() == "theory" for line in lines)
    assert all(cell in first for cell in ("236", "8.1e-11", "3.2e-10", "converged"))


@pytest.mark.parametrize(("columns", "left_out"), [(120, []), (36, ["time"]), (28, ["solves", "time"])])
def test_spare_columns_give_way_in_a_narrow_terminal_the_last_first(terminal, monkeypatch, columns, left_out):
    out, _ = terminal()
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("NO_COLOR", "1")
    headings = ("suboptimality", "status", "solves", "time")
    rows = (("8.1e-11", "converged", "12", "3.4 s"),)
    Screen().sheet(Sheet(headings, frozenset({"status"}), rows, spare=("solves", "time")))
    lines = re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue()).splitlines()
    assert all(len(line) <= columns for line in lines)
    shown = [cell for cell, heading in zip(rows[0], headings, strict=True) if heading not in left_out]
    assert " ".join(shown) in [" ".join(line.split()) for line in lines]
    said = " ".join(" ".join(lines).split())
    assert ("left out at this width: " + ", ".join(reversed(left_out)) in said) == bool(left_out)


@pytest.mark.parametrize("columns", [60, 80, 120, 200])
def test_no_table_is_wider_than_its_terminal_or_cuts_a_number(columns):
    """Every number of the runs stands whole in some table, behind the words that say whose it is."""
    numbers = '{"eta": 0.4, "inner": 5, "kappa": 1.0, "step": 0.00316228}'
    runs = frame(
        row(suboptimality=1.234e-5),
        row(n=1000, game="disc[strength=2,planes=4,contexts=3]", label="nash-prox[eta=0.05,inner=40]"),
        row(label="smooth-predictive-regret-matching-plus", hyperparameters=numbers, queries_to_tolerance=987_654),
    )
    sheet = summary.runs_table(runs)
    tables, padding = fitted(sheet, columns - 1)
    for part in tables:
        widths = [
            max(len(line) for text in (heading, *(row[i] for row in part.rows)) for line in text.split("\n"))
            for i, heading in enumerate(part.headings)
        ]
        assert sum(widths) + padding * (len(widths) - 1) < columns
        assert {"game", "actions", "solver"} <= set(part.headings)
    whole = {line.rstrip(",") for part in tables for row in part.rows for cell in row for line in cell.split("\n")}
    cells = {cell for row in sheet.rows for i, cell in enumerate(row) if sheet.headings[i] not in sheet.names}
    steps_of = {"η = 0.4 = 8β", "5 inner", "step 0.003162"}
    assert cells <= whole
    assert all(any(part in line for line in whole) for part in steps_of)


@pytest.mark.parametrize("columns", [60, 80, 200, None])
def test_sentences_of_a_list_break_between_words_and_lose_none(terminal, monkeypatch, columns):
    out, _ = terminal() if columns is not None else (io.StringIO(), None)
    monkeypatch.setenv("COLUMNS", str(columns or 80))
    monkeypatch.setenv("NO_COLOR", "1")
    if columns is None:
        monkeypatch.setattr(sys, "stdout", out)
    catalogue("solvers", json=False)
    lines = re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue()).splitlines()
    # A pipe has no width, and the widest terminal is wider than a printed page.
    assert max(map(len, lines)) <= min(columns or 100, 100)
    words = set(" ".join(lines).split())
    told = [text for entry in LISTS["solvers"][1]() for text in (entry["summary"], *_helps(entry))]
    assert set(" ".join(told).split()) <= words


def _helps(entry):
    return [parameter["help"] for parameter in entry["parameters"]]


def test_the_characters_of_every_docstring_can_be_spelled():
    for text in ("π̄_k ∝ μ^{η/(1+η)}, q̂ ≻ ½ ∞ θ ← θ + a Σ_y √τ‖∇‖² ≈ γ", "▏ 漢"):
        spelled = text.encode("ascii", "nashgames").decode()
        assert spelled.isascii()
    assert "pi_k prop. mu^{eta/(1+eta)}" in "π̄_k ∝ μ^{η/(1+η)}".encode("ascii", "nashgames").decode()


def test_a_path_stays_whole_in_a_narrow_terminal(terminal, monkeypatch):
    out, _ = terminal()
    monkeypatch.setenv("COLUMNS", "40")
    path = "results/runs/" + "long-" * 20
    Screen().pairs([("plot", f"nashgames plot {path}")])
    assert path in out.getvalue()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_a_terminal_without_utf8_gets_words(monkeypatch, encoding):
    buffer = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(buffer, encoding=encoding))
    streams.make_tolerant()
    Screen().sheet(summary.runs_table(frame(row(beta=0.05), unreached(beta=0.01))))
    streams.emit("η = 0.1 – 北")
    sys.stdout.flush()
    text = buffer.getvalue().decode(encoding)
    assert "eta = 0.1 = 2beta" in text
    assert text.splitlines()[-1].endswith("?")


def test_a_complaint_is_one_line(capsys):
    streams.complain("first\n  second")
    assert capsys.readouterr().err == "error: first second\n"


@pytest.mark.parametrize(
    ("sentence", "keys", "expected"),
    [
        (
            "beta is '0'; accepted: 0, or a number from 1e-12",
            ["beta"],
            "--beta is '0'; accepted: 0, or a number from 1e-12",
        ),
        ("dtype is 'dtype'; accepted: float32", ["dtype"], "--dtype is 'dtype'; accepted: float32"),
        ("record_every is 0; accepted", ["record_every"], "--record-every is 0; accepted"),
        ("beta is 0; accepted", ["seed"], "beta is 0; accepted"),
    ],
)
def test_an_experiment_complains_in_the_words_of_the_command_line(sentence, keys, expected):
    assert options.by_flag(sentence, keys) == expected
