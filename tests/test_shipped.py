"""The real games of the package, against their files read by hand and the facts that are known of them."""

import csv
import re
from importlib import resources
from typing import Any

import numpy as np
import pytest

from nashgames.core.game import Game
from nashgames.errors import NashGamesError
from nashgames.games.tables import TABLES, load


def rows(file: str) -> list[dict[str, str]]:
    text = (resources.files("nashgames.games.data") / file).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def labels_of(game: Game) -> tuple[str, ...]:
    assert game.description.labels is not None
    return game.description.labels


@pytest.mark.parametrize("name", TABLES)
def test_every_shipped_game_is_a_game(name: str) -> None:
    game = load(name, dtype=np.float32)
    margins = game.margins.to_dense()
    assert margins.dtype == np.float32
    np.testing.assert_array_equal(margins, -margins.T)
    assert np.abs(margins).max() <= 0.5
    assert np.abs(margins).max() > 0
    assert game.description.name == name
    assert len(set(labels_of(game))) == game.actions == len(margins)
    assert re.fullmatch("[0-9a-f]{16}", str(game.description.fingerprint))
    assert TABLES[name].summary


@pytest.mark.parametrize(("entries", "actions"), [("all", 3996), ("1", 1164)])
def test_castles_merges_equal_entries(entries: str, actions: int) -> None:
    game = load(f"castles[round={entries}]")
    assert game.actions == actions
    assert game.description.parameters == {"round": entries}
    found = [row for row in rows("castles.csv") if entries in ("all", row["round"])]
    labels = ["-".join(list(row.values())[1:]) for row in found]
    assert game.description.labels == tuple(dict.fromkeys(labels))
    assert f"{len(found):,} entries" in game.description.notes[0]
    assert "26-26-26-16-1-1-1-1-1-1" in game.description.labels


def test_castles_pools_four_rounds() -> None:
    each = [set(labels_of(load(f"castles[round={entries}]"))) for entries in range(1, 5)]
    assert set.union(*each) == set(labels_of(load("castles")))
    assert all(sum(map(int, label.split("-"))) == 100 for labels in each for label in labels)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_castles_by_the_rules(dtype: Any) -> None:
    win, margin = load("castles", dtype=dtype), load("castles[score=margin]", dtype=dtype)
    soldiers = [[int(part) for part in label.split("-")] for label in labels_of(win)]
    for i, j in np.random.default_rng(0).integers(win.actions, size=(2000, 2)):
        ours = theirs = 0.0
        for points, (a, b) in enumerate(zip(soldiers[i], soldiers[j], strict=True), start=1):
            ours += points * (1 if a > b else 0.5 if a == b else 0)
            theirs += points * (1 if a < b else 0.5 if a == b else 0)
        assert ours + theirs == 55
        assert win.margins.to_dense()[i, j] == (0.5 if ours > theirs else -0.5 if ours < theirs else 0)
        assert margin.margins.to_dense()[i, j] == dtype((ours - theirs) / 110)


def test_castles_has_no_champion_and_many_cycles() -> None:
    margins = load("castles").margins.to_dense()
    assert np.max(np.sum(margins > 0, axis=1)) < len(margins) - 1
    i, j, k = np.random.default_rng(0).integers(len(margins), size=(3, 100_000))
    forwards = (margins[i, j] > 0) & (margins[j, k] > 0) & (margins[k, i] > 0)
    backwards = (margins[i, j] < 0) & (margins[j, k] < 0) & (margins[k, i] < 0)
    assert 0.18 < np.mean(forwards | backwards) < 0.22


def test_soccer_agents() -> None:
    game = load("soccer10")
    table = [[float(cell) for cell in row.values()] for row in rows("soccer10.csv")]
    for i in range(10):
        for j in range(10):
            assert game.margins.to_dense()[i, j] == pytest.approx(table[i][j] - 0.5, abs=1e-15)
    assert game.description.labels == tuple(f"agent_{i}" for i in range(10))
    assert game.description.notes == ()


def test_rps_bots_are_symmetrised_and_say_so() -> None:
    game = load("rps-bots")
    scores = {(row["action"], row["opponent"]): float(row["score"]) for row in rows("rps_bots.csv")}
    labels = labels_of(game)
    assert labels == tuple(dict.fromkeys(first for first, _ in scores))
    assert game.actions == 43
    for i, first in enumerate(labels):
        for j, second in enumerate(labels):
            expected = (scores[first, second] - scores[second, first]) / 4000
            assert game.margins.to_dense()[i, j] == pytest.approx(expected, abs=1e-15)
    off = max(abs(scores[first, second] + scores[second, first]) / 2000 for first, second in scores if first != second)
    assert f"P + Pᵀ was off by at most {off:.3g}" in game.description.notes[0]
    assert 0.017 < off < 0.018
    assert "the diagonal was off by at most 0.00203" in game.description.notes[1]


def test_one_ranker_beats_all_others() -> None:
    margins = load("arxiv-rankers").margins.to_dense()
    assert np.all(margins[0, 1:] > 0)
    np.testing.assert_allclose(margins[0], [0, 0.05, 0.05, 0.04, 0.11, 0.11], atol=1e-15)


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        ("castles[score=points]", r"castles\[score\] is 'points'; accepted: win, margin"),
        ("castles[round=5]", r"castles\[round\] is '5'; accepted: all, 1, 2, 3, 4"),
        ("castles[rounds=1]", "game 'castles' has no parameter 'rounds'; did you mean 'round'"),
        ("soccer10[score=win]", "game 'soccer10' takes no parameters; leave out 'score'"),
        ("castles[round=1", "does not end in ']'"),
        ("castles[1]", "cannot read '1'; write parameter=value with one of: score, round"),
    ],
)
def test_a_mistake_in_every_parameter(selection: str, expected: str) -> None:
    with pytest.raises(NashGamesError, match=expected):
        load(selection)


def test_parameters_are_documented() -> None:
    assert {name: parameter.default for name, parameter in TABLES["castles"].parameters.items()} == {
        "score": "win",
        "round": "all",
    }
    assert all(parameter.help for table in TABLES.values() for parameter in table.parameters.values())
