"""Results on games of sequences: how often one last policy is preferred to another, against all duels written down and
where people read it, and how long what is written is, as methods learn."""

import dataclasses
import json
from functools import partial

import numpy as np
import pandas as pd
import pytest

from nashgames.analysis.gather import Gathered
from nashgames.analysis.sequence_statistics import prompt_of, writing
from nashgames.analysis.win_rates import EQUILIBRIUM, PROBLEM, REFERENCE, WinRates, win_rates
from nashgames.cli.verdict import judge
from nashgames.cli.win_rates import judged
from nashgames.errors import NashGamesError
from nashgames.exact.referee import equilibrium
from nashgames.experiments.experiment import Experiment, load_preset
from nashgames.experiments.sources import find_source, game_of
from nashgames.games.families import generate
from nashgames.learning.references import resolve_reference
from nashgames.plots import figures, rows_of
from nashgames.reporting import write
from nashgames.reporting.games import win_rates_of
from nashgames.store import Results
from nashgames.verification import verify
from tests.test_cli import call

GAME = "sequence-voters[vocabulary=2,length=2,contexts=2,weights=drawn]"
ASKED = f"""
game = "{GAME}"
reference = "corpus"
beta = [0.2, 0.0]
solver = ["omwu", "fictitious-play"]
seeds = 2
queries = 6
records = 2
verdict = "win-rates"
"""


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """A directory of two methods on two games of two seeds, and what the command said."""
    folder = tmp_path_factory.mktemp("played")
    (folder / "asked.toml").write_text(ASKED)
    told = call("sweep", str(folder / "asked.toml"), "--out", str(folder / "runs"), "--no-plot", "--json")
    assert told.exit_code == 0, told.stderr
    return Results.read(folder / "runs"), json.loads(told.stdout)


def rates_of(results):
    return win_rates(results.runs, results.policies, partial(game_of, game_file=results.game_file))


def test_rates_are_those_of_all_duels_written_down(played):
    results, _ = played
    found = rates_of(results)
    assert found.names == ["omwu", "fictitious-play", EQUILIBRIUM, REFERENCE] and len(found.instances) == 4
    for place, played_on in enumerate(found.instances.itertuples()):
        game = find_source(GAME).make(None, played_on.seed, 0.2, "float64")
        game = game.replace(log_reference=resolve_reference("corpus", game))
        runs = results.runs[(results.runs["seed"] == played_on.seed) & (results.runs["beta"] == played_on.beta)]
        policies = []
        for name in ("omwu", "fictitious-play"):
            (run_id,) = runs["run_id"][runs["label"] == name]
            mine = results.policies[results.policies["run_id"] == run_id]
            policies.append(mine.pivot_table("probability", "context", "action").to_numpy())
        policies += [equilibrium(game, played_on.beta).policy, np.exp(game.log_reference)]
        for row, ours in enumerate(policies):
            for column, theirs in enumerate(policies):
                wins = sum(
                    weight * ours[x, i] * theirs[x, j] * (0.5 + margins[i, j])
                    for x, (weight, margins) in enumerate(zip(game.weights, game.margins.to_dense(), strict=True))
                    for i in range(game.actions)
                    for j in range(game.actions)
                )
                assert found.rates[place, row, column] == pytest.approx(wins, abs=1e-12)
    # Nobody beats an equilibrium of the original game, where what is measured is what is played for.
    original = found.of(found.instances["beta"] == 0)
    assert (original.rates[:, 2] >= 0.5 - 1e-9).all()
    assert found.rates + found.rates.swapaxes(1, 2) == pytest.approx(np.ones_like(found.rates))


def test_means_count_problems_alike_and_intervals_are_over_seeds():
    """Two seeds of one game and one of another, whose rates are a third apart."""
    instances = pd.DataFrame({"game": ["a", "a", "b"], "n": 3, "reference": "uniform", "beta": 0.1})
    instances = instances.assign(target="regularised", seed=[0, 1, 0])[[*PROBLEM, "seed"]]
    rates = np.full((3, 3, 3), 0.5)
    rates[:, 0, 1] = 0.2, 0.4, 0.6
    rates[:, 1, 0] = 1 - rates[:, 0, 1]
    found = WinRates({"one": "nash-mp"}, instances, rates)
    assert found.mean[0, 1] == pytest.approx((0.3 + 0.6) / 2)
    (first, of_a), (second, of_b) = found.by(["game"])
    assert (first, second) == ({"game": "a"}, {"game": "b"})
    # Both seeds, or one of them twice, with a quarter each: of a mean of two draws every 95 % interval is the range.
    assert [end[0, 1] for end in of_a.interval] == pytest.approx([0.2, 0.4])
    assert [end[0, 0] for end in of_a.interval] == [0.5, 0.5]
    assert np.isnan(of_b.interval).all() and of_b.mean[0, 1] == 0.6
    (row,) = of_a.table().query(f"method == 'one' and other == '{EQUILIBRIUM}'").to_dict("records")
    assert [row[name] for name in ("probability", "low", "high")] == pytest.approx([0.3, 0.2, 0.4])


def test_terminal_data_report_and_figure_say_the_same(played, monkeypatch, tmp_path):
    results, told = played
    found, game = rates_of(results), partial(game_of, game_file=results.game_file)
    regularised = found.of(found.instances["beta"] == 0.2)
    low, high = regularised.interval
    expected = regularised.mean[0, 3], low[0, 3], high[0, 3]
    (cell,) = [cell for cell in told["verdict"]["win_rates"] if cell["beta"] == 0.2]
    assert (cell["game"], cell["n"], cell["reference"], cell["target"]) == (GAME, 7, "corpus", "regularised")
    (pair,) = [pair for pair in cell["pairs"] if (pair["method"], pair["other"]) == ("omwu", REFERENCE)]
    assert [pair[name] for name in ("probability", "low", "high")] == pytest.approx(expected)
    sheet, _ = judged(results.runs, results.policies, game).sheets
    assert sheet.headings == ("method", "1", "2", EQUILIBRIUM, REFERENCE)
    assert [row[0] for row in sheet.rows] == ["1 omwu", "2 fictitious-play", EQUILIBRIUM, REFERENCE]
    assert float(sheet.rows[0][4].split()[0]) == pytest.approx(100 * expected[0], abs=0.5)
    assert "β 0.2" in sheet.caption and "2 seeds" in sheet.caption
    tables = win_rates_of(results.runs, results.policies, results.game_file)["tables"]
    assert tables[0]["names"] == found.names and tables[0]["rows"][0][3] == pytest.approx(expected)
    monkeypatch.setattr("nashgames.reporting.gather._drawn", lambda gathered: [])
    page = write([results.directory], tmp_path / "page.html").path.read_text(encoding="utf-8")
    assert '<section id="win-rates">' in page
    value, *ends = (f"{100 * number:.1f}" for number in expected)
    assert f'<td class="n">{value} [{", ".join(ends)}]</td>' in page
    rows = rows_of(Gathered([results.directory]), game)
    drawn = figures(rows, ["win-rates"])
    assert set(drawn) == {"win-rates-beta-0.2-regularised", "win-rates-beta-0-original"}
    texts = [text.get_text() for text in drawn["win-rates-beta-0.2-regularised"].axes[0].texts]
    assert len(texts) == 12 and texts[2] == f"{100 * expected[0]:.1f}"


def test_an_equilibrium_has_its_length_and_repetition(tmp_path):
    asked = ("equilibrium", GAME, "--reference", "corpus", "--beta", "1,0.1", "--no-plot", "--quiet")
    assert call(*asked, "--out", str(tmp_path / "exact")).exit_code == 0
    report = list(verify(tmp_path / "exact", replay=0))[-1]
    assert report.ok and report.columns["length"].checked == report.columns["repetition"].checked == 2


def test_methods_that_only_their_parts_tell_apart_have_names_of_their_own(played):
    results, _ = played
    runs = results.runs[results.runs["label"] == "omwu"]
    other = runs.assign(run_id=runs["run_id"] + "'", optimiser="adam")
    policies = results.policies[results.policies["run_id"].isin(runs["run_id"])]
    both = pd.concat([policies, policies.assign(run_id=policies["run_id"] + "'")])
    game = partial(game_of, game_file=results.game_file)
    found = win_rates(pd.concat([runs, other]), both, game)
    assert found.names[:2] == ["omwu · sgd", "omwu · adam"]
    assert found.rates[:, 0, 1] == pytest.approx(np.full(4, 0.5))
    partly = win_rates(pd.concat([runs, other[other["beta"] == 0.2]]), both, game)
    assert (len(partly.instances), partly.left_out) == (2, 2)
    twice = pd.concat([runs, runs.assign(run_id=runs["run_id"] + "'")])
    with pytest.raises(NashGamesError, match=r"omwu was played twice on sequence-voters.*, seed 0"):
        win_rates(twice, both, game)
    apart = pd.concat([runs[runs["beta"] == 0.2], other[other["beta"] == 0]]).assign(label=["a", "a", "b", "b"])
    with pytest.raises(NashGamesError, match="no game was played by all of a, b"):
        win_rates(apart, both, game)
    with pytest.raises(NashGamesError, match="there are no runs of solvers"):
        win_rates(runs[:0], both, game)


def test_length_and_repetition_are_recorded_verified_and_drawn(played, tmp_path):
    results, _ = played
    for run in results.runs.to_dict("records"):
        game = find_source(GAME).make(None, run["seed"], 0.2, "float64")
        mine = results.policies[results.policies["run_id"] == run["run_id"]]
        policies = mine.pivot_table("log_probability", "context", "action").to_numpy()
        told = writing(policies, game.description.sequences)
        assert run["length"] == pytest.approx(game.weights @ told.length, rel=1e-12)
        sequences = [game.description.sequences.text(i) for i in range(1, game.actions)]
        shares = (game.weights @ np.exp(policies))[1:]
        pairs = sum(p * (len(text) - 1) for p, text in zip(shares, sequences, strict=True))
        twice = sum(p * (text in ("aa", "bb")) for p, text in zip(shares, sequences, strict=True))
        assert run["repetition"] == pytest.approx(twice / pairs, rel=1e-12)
    first = results.curves[results.curves["step"] == 0]
    assert first.groupby("seed")["length"].nunique().tolist() == [1, 1], "all begin at the reference"
    report = list(verify(results.directory, replay=0))[-1]
    assert report.ok and report.columns["length"].checked == report.columns["repetition"].checked == 8
    with Results.open(tmp_path / "changed") as changed:
        runs = results.runs.assign(length=results.runs["length"] * (1 + 1e-9))
        changed.begin(results.manifest["experiment"], runs["run_id"], {})
        changed.add(runs, results.curves, results.policies)
        changed.flush()
    found = list(verify(tmp_path / "changed", replay=0))[-1].mismatches
    assert {one.column for one in found} == {"length", "curves.length"} and len(found) == 16
    rows = rows_of(Gathered([results.directory]), partial(game_of, game_file=results.game_file))
    (axes, *_) = figures(rows, distance="length")["convergence-length"].axes
    assert (axes.get_yscale(), axes.get_ylabel()) == ("linear", "mean length (tokens)")
    drawn = np.concatenate([line.get_ydata() for line in axes.lines])
    low, high = axes.get_ylim()
    assert low < np.nanmin(drawn) <= np.nanmax(drawn) < high
    below = figures(rows, ["writing"])["writing-beta-0.2"].axes[-2:]
    assert [cell.get_ylabel() for cell in below] == ["mean length", "repeats"]
    expected = results.curves.query("beta == 0.2 and seed == 0 and solver == 'omwu'").sort_values("step")["length"]
    assert any(np.array_equal(line.get_ydata(), expected) for line in below[0].lines)
    with pytest.raises(NashGamesError, match="the figure 'queries' does not show length"):
        figures(rows, ["queries"], distance="length")
    rows = dataclasses.replace(rows, curves=rows.curves.assign(length=np.nan))
    with pytest.raises(NashGamesError, match="no run here has a length"):
        figures(rows, distance="length")


def test_a_game_that_rows_do_not_hold_is_refused_before_anything_is_played():
    with pytest.raises(NashGamesError, match=r"'mine\.py:G' is made by a Python file"):
        judge("win-rates").check(Experiment(game="mine.py:G", verdict="win-rates"))
    judge("win-rates").check(load_preset("language"))
    assert load_preset("language").verdict == "win-rates"


def test_prompts_that_read_alike_are_told_apart_by_their_numbers():
    # Of three tokens there are six orders.
    alike = generate("sequence-styles[vocabulary=3,length=2,contexts=7]", seed=0)
    texts = [prompt_of(alike, context) for context in range(7)]
    assert len(set(texts)) == 7
    assert any(text.endswith(f" ({context})") for context, text in enumerate(texts))
