"""Bradley–Terry and Elo: closed forms, another optimiser, and intervals that cover."""

import json

import numpy as np
import pandas as pd
import pytest
import scipy
from typer.testing import CliRunner

from nashgames.analysis import ranking
from nashgames.cli.main import app
from nashgames.exact.referee import equilibrium
from nashgames.games import tables

WINS = "winner,loser,count\na,b,30\nb,a,10\nb,c,24\nc,b,8\nc,a,20\na,c,20\n"


def drawn(rng, true, least, most):
    """Counts of wins `[n, n]` of comparisons drawn from Bradley and Terry's model."""
    n = len(true)
    met = np.triu(rng.integers(least, most, (n, n)), 1)
    won = np.triu(rng.binomial(met, scipy.special.expit(true[:, None] - true)), 1)
    return (won + (met - won).T).astype(float)


def test_two_actions_have_the_log_odds_of_their_wins():
    found = ranking.bradley_terry(np.array([[0.0, 30], [10, 0]]))
    np.testing.assert_allclose(found, [np.log(3) / 2, -np.log(3) / 2], rtol=1e-10)
    np.testing.assert_allclose(np.diff(ranking.elo(found)), -400 * np.log10(3), rtol=1e-10)


def test_ratings_come_back_from_their_own_probabilities():
    true = np.array([2.0, 0.3, -0.1, -2.2])
    found = ranking.of_rates(scipy.special.expit(true[:, None] - true))
    np.testing.assert_allclose(found.bradley_terry, true, atol=1e-10)
    np.testing.assert_allclose(found.shares, np.exp(true) / np.exp(true).sum(), rtol=1e-9)
    assert np.isnan(found.low).all()
    assert np.isnan(found.high).all()


def test_no_other_ratings_are_likelier():
    rng = np.random.default_rng(3)
    wins = drawn(rng, rng.normal(size=7), 1, 30)

    def loss(r):
        return -np.sum(wins * scipy.special.log_expit(r[:, None] - r)) + np.sum(r) ** 2

    other = scipy.optimize.minimize(loss, np.zeros(7), method="BFGS", options={"gtol": 1e-6}).x
    np.testing.assert_allclose(ranking.bradley_terry(wins), other, atol=1e-5)


@pytest.mark.parametrize(
    "wins", [[[0, 3, 1], [0, 0, 2], [0, 1, 0]], [[0, 2, 0, 0], [1, 0, 0, 0], [0, 0, 0, 3], [0, 0, 1, 0]]]
)
def test_who_never_lost_or_never_met_the_others_has_no_finite_rating(wins):
    assert np.isnan(ranking.bradley_terry(np.array(wins, float))).all()
    assert np.isnan(ranking.of_wins(np.array(wins, float)).low).all()
    assert np.isfinite(ranking.of_wins(np.array(wins, float), prior=0.5, resamples=3).bradley_terry).all()


def test_intervals_cover_as_often_as_they_say_and_shrink_with_the_comparisons():
    rng = np.random.default_rng(0)
    true = np.array([0.8, 0.1, -0.2, -0.7])
    hits, width = [], {}
    for _ in range(60):
        found = ranking.of_wins(drawn(rng, true, 40, 60), resamples=60)
        hits.append((found.low <= true) & (true <= found.high))
    # 240 intervals of 95 %, four of a table at a time: 0.95 ± 3 √(0.95·0.05/60), less what 60 resamples leave out.
    assert 0.85 < np.mean(hits) <= 1
    for many in (1, 16):
        found = ranking.of_wins(many * drawn(np.random.default_rng(1), true, 40, 60))
        width[many] = np.mean(found.high - found.low)
    assert width[16] == pytest.approx(width[1] / 4, rel=0.15)


def test_a_table_of_wins_is_counted_and_one_of_rates_is_not(tmp_path):
    (tmp_path / "wins.csv").write_text(WINS)
    counted, prior = tables.wins(f"{tmp_path}/wins.csv[prior=2]")
    np.testing.assert_array_equal(counted, [[0, 30, 20], [10, 0, 24], [20, 8, 0]])
    assert prior == 2
    (tmp_path / "rates.csv").write_text("0.5,0.7\n0.3,0.5\n")
    assert tables.wins(f"{tmp_path}/rates.csv") is None
    assert tables.wins("soccer10") is None


def test_the_terminal_sets_ratings_beside_the_equilibrium(tmp_path):
    (tmp_path / "wins.csv").write_text(WINS)
    asked = ["equilibrium", f"{tmp_path}/wins.csv", "--beta", "0", "--ratings", "--no-plot"]
    data = json.loads(CliRunner().invoke(app, [*asked, "--json"]).stdout)
    rows = {row["label"]: row for row in data["ratings"]}
    wins = np.array([[0, 30, 20], [10, 0, 24], [20, 8, 0]], float)
    expected = ranking.of_wins(wins)
    for place, label in enumerate("abc"):
        assert rows[label]["elo"] == pytest.approx(1500 + 400 / np.log(10) * expected.bradley_terry[place])
        assert rows[label]["low"] < rows[label]["elo"] < rows[label]["high"]
    # The margins are ¼ (a over b), ¼ (b over c) and 0: b gains nothing up to (½, 0, ½), of most entropy.
    assert [rows[label]["probability"] for label in "abc"] == pytest.approx([0.5, 0, 0.5], abs=1e-12)
    shown = CliRunner().invoke(app, asked)
    assert "intervals by resampling the comparisons" in " ".join(shown.output.split())
    rates = json.loads(CliRunner().invoke(app, ["equilibrium", "soccer10", "--ratings", "--no-plot", "--json"]).stdout)
    assert all(row["low"] is None and row["elo"] > 1000 for row in rates["ratings"])
    several = CliRunner().invoke(app, ["equilibrium", "random-logits[contexts=2]", "-n", "3", "--ratings", "--no-plot"])
    assert several.exit_code == 2


def test_an_experiment_that_asks_for_ratings_keeps_those_of_every_game(tmp_path):
    (tmp_path / "wins.csv").write_text(WINS)
    (tmp_path / "rated.toml").write_text(
        f'verdict = "ratings"\ngame = ["{tmp_path}/wins.csv", "soccer10"]\nbeta = [1.0, 0.1]\n'
        "queries = 20\nrecords = 2\n"
        'solver = ["nash-mp", "mirror-descent"]\n'
    )
    asked = ["sweep", f"{tmp_path}/rated.toml", "--out", f"{tmp_path}/out"]
    outcome = CliRunner().invoke(app, [*asked, "--no-plot", "--json"])
    assert outcome.exit_code == 0, outcome.output
    of_game = json.loads(outcome.stdout)["verdict"]["ratings"]
    assert [len(rows) for rows in of_game.values()] == [3, 10]
    kept = pd.read_csv(tmp_path / "out" / "ratings.csv")
    for (_, rows), (_, mine) in zip(of_game.items(), kept.groupby("game", sort=False), strict=True):
        np.testing.assert_allclose(mine["elo"], [row["elo"] for row in rows], rtol=1e-9)
    assert kept["low"].notna().to_list() == kept["counted"].to_list() == [True] * 3 + [False] * 10
    # At the smallest β, whatever the runs reached.
    found = np.exp(equilibrium(tables.load("soccer10"), 0.1).log_policy)
    np.testing.assert_allclose(sorted(found), sorted(kept["probability"][3:]), rtol=1e-8)
    shown = " ".join(CliRunner().invoke(app, [*asked, "--no-plot"]).output.split())
    assert "all actions in ratings.csv" in shown and "does not say how often each pair met" in shown
