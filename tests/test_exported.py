"""Programs that are kept between processes are those that would be traced, and only where nothing has changed."""

import importlib.util

import jax
import numpy as np
import pytest

from nashgames.core.game import make_game
from nashgames.engine import audit, exported, loop
from nashgames.engine.batch import Batch
from nashgames.engine.settings import Settings
from nashgames.errors import NashGamesError
from nashgames.solvers import MirrorDescent, OnlineIPO
from tests.games import ROCK_PAPER_SCISSORS, lane, played
from tests.solvers_of_users import Optimistic
from tests.test_batch import assert_same_bits

pytest.importorskip("flatbuffers")

SETTINGS = Settings(queries=40)


@pytest.fixture
def folder(tmp_path):
    """Where this test keeps programs."""
    exported.keep_in(tmp_path / "programs")
    exported.loaded.clear()
    yield tmp_path / "programs"
    exported.keep_in(None)
    exported.loaded.clear()


def curves():
    game, solver = make_game(ROCK_PAPER_SCISSORS, beta=0.1), MirrorDescent(step=0.1)
    return played([game], [[lane(game, solver), lane(game.replace(beta=0.3), solver)]], SETTINGS).curves()


def files(folder):
    return sorted(path.name for path in folder.glob("*"))


def refused(*_, **__):
    raise AssertionError("this was to come from the folder")


@pytest.fixture
def as_a_second_process(monkeypatch):
    """What this process has is forgotten, and it can neither trace nor audit."""

    def begin():
        exported.loaded.clear()
        for owner, name in ((loop, "_advance"), (loop, "_measure"), (audit, "check_queries")):
            monkeypatch.setattr(owner, name, refused)

    return begin


def test_a_kept_program_gives_the_bits_of_a_traced_one_and_is_not_traced_again(folder, as_a_second_process):
    first = curves()
    exported.keep_in(None)
    assert_same_bits(first, curves())
    exported.keep_in(folder)
    there = files(folder)
    assert len(there) == 2, "one that advances and one that measures"
    as_a_second_process()
    assert_same_bits(first, curves())
    assert files(folder) == there
    exported.keep_in(None)
    with pytest.raises(AssertionError, match="folder"):
        curves()


def test_a_damaged_program_is_made_again(folder):
    first = curves()
    ways = (lambda data: data[:-1], lambda data: data[:40] + b"?" + data[41:])
    for path, damage in zip(sorted(folder.iterdir()), ways, strict=True):
        path.write_bytes(damage(path.read_bytes()))
        assert exported._read(path) is None
    exported.loaded.clear()
    assert_same_bits(first, curves())
    assert all(exported._read(path) is not None for path in folder.iterdir())


def test_a_folder_that_cannot_be_written_costs_nothing(folder):
    folder.write_text("a file")
    assert curves()[0][0].status == "converged"
    assert folder.read_text() == "a file"


def test_without_what_writes_them_no_programs_are_kept(folder, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    exported.keep_in(folder)
    assert not exported.folder


def test_programs_of_others_are_not_kept_and_so_are_audited(folder, monkeypatch):
    Batch(*batch_of(Optimistic()), SETTINGS)
    assert not files(folder)
    monkeypatch.setattr(audit, "check_queries", refused)
    with pytest.raises(NashGamesError, match="fails"):
        Batch(*batch_of(Optimistic()), SETTINGS)


def batch_of(solver):
    game = make_game(ROCK_PAPER_SCISSORS, beta=0.1)
    return [game], [[lane(game, solver)]]


def test_a_name_tells_apart_all_that_a_program_is_made_of(folder, monkeypatch):
    solver = jax.tree.map(np.asarray, MirrorDescent(step=0.1))
    number, whole = np.zeros(3), np.zeros(3, np.int32)
    said = [
        ((), {}, number),
        ((), {}, whole),
        ((), {}, number[:2]),
        ((), {}, (number,)),
        (("stacked", True), {}, number),
        ((), {"level": 0}, number),
        ((), {}, solver),
        ((), {}, jax.tree.map(np.asarray, OnlineIPO(step=0.1))),
    ]
    names = [exported.name_of(*each) for each in said]
    monkeypatch.setattr(exported, "_surroundings", lambda: "another text")
    names += [exported.name_of(*said[0])]
    assert None not in names and len(set(names)) == len(names)
    assert exported.name_of((object(),), {}, number) is None, "an address says nothing"
    assert exported.name_of((), {}, jax.tree.map(np.asarray, Optimistic())) is None
