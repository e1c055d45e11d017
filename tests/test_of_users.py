"""Solvers and games that a user brings by `file.py:Name` are played, stored and resumed like ours."""

import json
import shlex

import numpy as np
import pytest
from typer.testing import CliRunner

from nashgames.cli.main import app
from nashgames.errors import NashGamesError
from nashgames.experiments import runner
from nashgames.experiments.events import Finished, Noted, Planned
from nashgames.experiments.experiment import Experiment
from nashgames.experiments.plan import plan, settings_of
from nashgames.experiments.sources import find_source
from nashgames.solvers import SOLVERS
from nashgames.store import Results

MINE = '''
"""A solver and two games."""
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np

import nashgames as ng
from nashgames.core import simplex

with Path(__file__).with_name("imports.txt").open("a") as imports:
    imports.write("x")


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Mine:
    """Self-play."""

    step: float = 0.1

    name = "mine"
    queries_per_step = 1

    def with_theory_defaults(self, beta):
        return self

    def init(self, game, key):
        return game.start

    def update(self, game, state, key):
        pull = game.beta * (game.log_reference - state)
        return simplex.normalise(state + self.step * (game.query(state, key) + pull))

    def log_policy(self, state):
        return state

    def advantage(self, state):
        return None


def ladder(actions: int = 3, strength: float = 0.5):
    """The lower number wins."""
    up = np.triu(np.ones((actions, actions)), 1)
    return ng.make_game(strength * (up - up.T))


def house():
    return ladder(3)


def number():
    return 3


def late():
    return Mine()


def broken():
    raise RuntimeError("no data")
'''


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """mine.py in the current folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(MINE)
    return tmp_path / "mine.py"


def asked(**values):
    usual = {"game": "mine.py:ladder[strength=0.4]", "solver": ["mine.py:Mine[step=0.2]", "nash-mp"], "beta": 0.3,
        "queries": 40, "records": 4, "tolerance": 0}  # fmt: skip
    return Experiment(**(usual | values))


def runs_of(**values):
    experiment = asked(**values)
    return plan(experiment, settings_of(experiment))[0]


def test_rows_describe_them_and_a_second_play_finds_them(mine):
    *_, finished = runner.execute(asked(), mine.with_name("out"))
    row = finished.runs.set_index("solver").loc["mine"]
    assert (row["game"], row["n"]) == ("mine.py:ladder[strength=0.4]", 3)
    assert (row["selection"], row["label"], row["step_source"]) == ("mine.py:Mine[step=0.2]", "mine", "given")
    assert json.loads(row["hyperparameters"]) == {"step": 0.2}
    assert row["game_fingerprint"]
    # Its last policy by hand, from its definition: no reference but μ uniform, forty steps.
    margins = 0.4 * np.array([[0, 1, 1], [-1, 0, 1], [-1, -1, 0]])
    logits = np.full(3, -np.log(3))
    for _ in range(40):
        logits = logits + 0.2 * (margins @ np.exp(logits) - 0.3 * (logits + np.log(3)))
        logits -= np.log(np.exp(logits).sum())
    stored = finished.policies[finished.policies["run_id"] == row["run_id"]]
    np.testing.assert_allclose(stored["log_probability"], logits, atol=1e-13)
    planned, again = runner.execute(asked(), mine.with_name("out"))
    assert isinstance(planned, Planned)
    assert isinstance(again, Finished)
    assert (planned.reused, planned.batches) == (2, 0)


def test_a_file_runs_once_and_changed_code_is_another_run(mine):
    solvers = ["mine.py:Mine", "average[mine.py:Mine]"]
    before = runs_of(solver=solvers, game="circulant")
    assert mine.with_name("imports.txt").read_text() == "x"
    mine.write_text(MINE.replace("Self-play.", "Self-play, again."))
    after = runs_of(solver=solvers, game="circulant")
    assert {run.run_id for run in before}.isdisjoint(run.run_id for run in after)
    ours = [runs_of(game="circulant", solver="nash-mp")[0].run_id for _ in range(2)]
    mine.write_text(MINE)
    assert runs_of(game="circulant", solver="nash-mp")[0].run_id == ours[0] == ours[1]
    assert [run.run_id for run in runs_of(solver=solvers, game="circulant")] == [run.run_id for run in before]
    games = [runs_of(solver="nash-mp")[0].run_id]
    mine.write_text(MINE + "\n")
    assert runs_of(solver="nash-mp")[0].run_id not in games


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"solver": "mine.py:Mien"}, "'mine.py' has no solver 'Mien'; did you mean 'Mine'?"),
        ({"solver": "none.py:Mine"}, "there is no file 'none.py'; give the path of a Python file"),
        ({"solver": "mine.py:Mine[stpe=1]"}, "solver 'mine.py:Mine' has no parameter 'stpe'; did you mean 'step'"),
        ({"solver": "mine.py:Mine[step=big]"}, "mine.py:Mine[step] is 'big'; accepted: a number"),
        ({"solver": "bad.py:Mine"}, "'bad.py' does not run: ZeroDivisionError at line 2"),
        ({"solver": "worse.py:Mine"}, "'worse.py' does not run: SyntaxError at line 1"),
        ({"game": "mine.py:laddr"}, "'mine.py' has no game 'laddr'; did you mean 'ladder'?"),
        ({"game": "mine.py:ladder[strenght=1]"}, "game 'mine.py:ladder' has no parameter 'strenght'"),
        ({"game": "mine.py:Mine"}, "'mine.py:Mine' is a solver, not a game; write nashgames run --solver mine.py:Mine"),
        ({"solver": "mine.py:house"}, "'mine.py:house' is a game, not a solver; write nashgames run mine.py:house"),
        ({"game": "empty.py:ladder"}, "'empty.py' defines no game; write a class or a function in it"),
    ],
)
def test_a_mistake_is_one_sentence_before_anything_is_played(mine, values, said):
    mine.with_name("empty.py").write_text("x = 1\n")
    mine.with_name("bad.py").write_text("x = 1\ny = x / 0\n")
    mine.with_name("worse.py").write_text("def f(:\n")
    with pytest.raises(NashGamesError) as told:
        runs_of(**values)
    assert said in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("number", "'mine.py:number' is not a game: it returned int; name a function that returns a Game"),
        ("late", "'mine.py:late' is a solver, not a game; write nashgames run --solver mine.py:late"),
        ("broken", "fails: RuntimeError at line .* of mine.py: no data; correct that code"),
    ],
)
def test_a_game_that_is_none_is_told(mine, name, said):
    with pytest.raises(NashGamesError, match=said):
        list(runner.execute(asked(game=f"mine.py:{name}"), mine.with_name("out")))


def test_show_explains_a_solver_of_a_file_and_the_facts_of_its_game(mine):
    shown = CliRunner().invoke(app, ["show", "mine.py:Mine"])
    assert shown.exit_code == 0
    assert [line.split() for line in shown.output.splitlines() if line][:2] == [
        ["mine.py:Mine", "·", "solver"],
        ["Self-play."],
    ]
    assert "nashgames run --solver mine.py:Mine" in shown.output
    assert "step" in shown.output and "0.1" in shown.output
    game = CliRunner().invoke(app, ["show", "mine.py:ladder", "--no-plot"])
    assert "Condorcet winner" in game.output
    assert "'mine.py' has no solver or game 'Nobody'" in CliRunner().invoke(app, ["show", "mine.py:Nobody"]).output


def test_nothing_in_a_results_directory_is_imported(mine):
    list(runner.execute(asked(solver="mine.py:Mine"), mine.with_name("out")))
    mine.write_text("raise SystemExit('this file must not run')\n")
    results = Results.read(mine.with_name("out"))
    assert list(results.runs["game"]) == ["mine.py:ladder[strength=0.4]"]
    with pytest.raises(
        NashGamesError, match=r"runs only where its user names it: nashgames verify takes it with --code mine\.py"
    ):
        find_source(results.runs["game"][0], code=False)
    assert mine.with_name("imports.txt").read_text() == "x"


@pytest.mark.parametrize(("asked_for", "options"), [({}, ""), ({"actions": 4, "seed": 3}, " -n 4 --seed 3")])
def test_preferences_of_a_game_from_a_file_are_drawn_by_the_command_that_plot_names(mine, asked_for, options):
    list(runner.execute(asked(**asked_for, solver="nash-mp", queries=4), mine.with_name("out")))
    refused = CliRunner().invoke(app, ["plot", "out", "--figure", "preferences"])
    sentence, _, command = refused.stderr.strip().rpartition("; draw it with: ")
    assert refused.exit_code == 2
    assert sentence.endswith("and the results do not keep its margins")
    assert command == f"nashgames show 'mine.py:ladder[strength=0.4]'{options}"
    drawn = CliRunner().invoke(app, [*shlex.split(command)[1:], "--format", "svg"])
    assert drawn.exit_code == 0, drawn.stderr
    assert len(list(mine.parent.glob("results/games/*.svg"))) == 1


def test_an_installed_package_brings_solvers_and_games_by_name(mine, monkeypatch):
    folder = mine.with_name("site")
    (folder / "brought-1.dist-info").mkdir(parents=True)
    (folder / "brought_by_test.py").write_text(MINE)
    (folder / "brought-1.dist-info" / "METADATA").write_text("Name: brought\nVersion: 1\n")
    (folder / "brought-1.dist-info" / "entry_points.txt").write_text(
        "[nashgames.solvers]\nbrought = brought_by_test:Mine\ngone = brought_by_test:Gone\n"
        "[nashgames.games]\nsteps = brought_by_test:ladder\n"
    )
    monkeypatch.syspath_prepend(folder)
    assert not folder.joinpath("imports.txt").exists(), "names are known before anything is imported"
    assert {"brought", "gone"} <= set(SOLVERS.packaged())
    experiment = Experiment(game="steps[strength=0.4]", solver="brought[step=0.2]", queries=20, tolerance=0.0)
    finished = list(runner.execute(experiment, mine.with_name("out")))[-1]
    assert finished.runs[["game", "selection"]].to_numpy().tolist() == [["steps[strength=0.4]", "brought[step=0.2]"]]
    with pytest.raises(NashGamesError, match=r"the solver 'gone' of the package brought_by_test.* cannot be imported"):
        SOLVERS.make("gone")
    with pytest.raises(NashGamesError, match="did you mean 'brought'"):
        SOLVERS.make("brougth")


BAD = """
from dataclasses import dataclass
import jax
from nashgames.core.game import make_game
from nashgames.core import simplex


class Nothing:
    name = "nothing"


@dataclass(frozen=True)
class Opaque:
    step: float
    name = "opaque"
    queries_per_step = 1

    def with_theory_defaults(self, beta):
        return self

    def init(self, game, key):
        return game.start

    def update(self, game, state, key):
        return simplex.normalise(state + self.step * game.query(state, key))

    def log_policy(self, state):
        return state

    def advantage(self, state):
        return None


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Raises(Opaque):
    def update(self, game, state, key):
        return {}["gone"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Branches(Opaque):
    def update(self, game, state, key):
        return state if state[0] > 0 else Opaque.update(self, game, state, key)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Refuses(Opaque):
    def with_theory_defaults(self, beta):
        raise ArithmeticError("no such β")


def game():
    return make_game([[0.0, 0.1], [-0.1, 0.0]])
"""


@pytest.mark.parametrize(
    ("named", "sentence"),
    [
        (
            "Nothing",
            "'bad.py:Nothing' is not a solver: it has no queries_per_step, with_theory_defaults, init, update, ",
        ),
        ("game", "'bad.py:game' is a game, not a solver; write nashgames run bad.py:game"),
        ("Opaque[step=1]", "the solver 'opaque' is not a pytree; put @jax.tree_util.register_dataclass over its"),
        ("Opaque", "the solver 'bad.py:Opaque' needs step; write bad.py:Opaque[step=…]"),
        ("Refuses[step=1]", "the solver 'opaque' fails: ArithmeticError at line "),
    ],
)
def test_what_is_no_solver_is_told_before_anything_is_made(mine, named, sentence):
    mine.with_name("bad.py").write_text(BAD)
    with pytest.raises(NashGamesError) as told:
        list(runner.execute(asked(solver=f"bad.py:{named}"), mine.with_name("out")))
    assert sentence in str(told.value) and "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("named", "sentence"),
    [
        ("Raises", "the solver 'opaque' (nashgames check says more) fails: KeyError at line 38 of bad.py: 'gone'"),
        (
            "Branches",
            "fails: a Python condition or conversion asks for a traced number at line 45 of bad.py; use jnp.where",
        ),
    ],
)
def test_code_that_fails_is_a_failed_run_with_its_line(mine, named, sentence):
    mine.with_name("bad.py").write_text(BAD)
    events = list(runner.execute(asked(solver=f"bad.py:{named}[step=1]"), mine.with_name("out")))
    (told,) = [event.text for event in events if isinstance(event, Noted)]
    assert sentence in told
    assert events[-1].failed == 1
