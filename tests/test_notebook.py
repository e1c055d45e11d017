"""What a notebook shows and keeps: representations of one screen, results saved and read, several games and β."""

import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import nashgames as ng
from nashgames.api import sweeping
from nashgames.cli.main import app
from nashgames.core.game import Description
from nashgames.exact.certificate import certify
from nashgames.experiments import bar as bar_module
from nashgames.experiments.bar import Bar
from nashgames.experiments.events import Advanced, BatchFinished, Finished, Noted, Planned

LINES = 24
"""Lines of the smallest terminal."""

HOSTILE = ("rock", "<b>paper</b>", "\x1b[31mscissors")
MARGINS = np.array([[0, 0.3, -0.2], [-0.3, 0, 0.4], [0.2, -0.4, 0]])
# Three actions and at most 300 queries everywhere: the programs are those of test_api.
SHORT = {"queries": 300, "records": 5}


def game(name="mine", beta=0.1, sign=1):
    return ng.make_game(sign * MARGINS, beta=beta, description=Description(name, labels=HOSTILE))


@pytest.fixture(scope="module")
def result():
    return ng.solve(game(), ["nash-mp[eta=0.1:0.4:3]", "mirror-descent"], beta=[0.2, 0.1], **SHORT)


def shown(thing):
    """Text and HTML of a representation, each no more than a screen, printable and escaped."""
    text, html = repr(thing), thing._repr_html_()
    assert len(text.splitlines()) <= LINES
    assert html.count("<tr>") <= LINES
    assert all(line.isprintable() for line in [*text.splitlines(), html])
    assert "<b>paper" not in html
    assert re.fullmatch(r"<div>.*</div>", html)
    return text, html


def test_a_game_says_what_it_is_on_one_screen():
    text, html = shown(game())
    assert text.startswith("Game mine · 3 actions")
    assert "β          0.1" in text
    assert "reference  uniform" in text
    assert "&lt;b&gt;paper&lt;/b&gt;" in html
    assert "seed       1" in repr(ng.games.disc(actions=200, seed=1))
    assert "and 190 more" in repr(
        ng.make_game(np.zeros((200, 200)), description=Description(labels=tuple(map(str, range(200)))))
    )


def test_a_game_can_be_shown_inside_a_compiled_program():
    seen = []
    jax.jit(lambda traced: seen.append(repr(traced)) or 0)(game())
    assert "β          one for each run" in seen[0]


def test_an_equilibrium_says_its_policy_by_name_and_its_certificate():
    found = ng.equilibrium(game())
    text, _ = shown(found)
    assert text.startswith("Equilibrium of mine at β 0.1")
    np.testing.assert_allclose(found.policy.sum(), 1, atol=1e-15)
    np.testing.assert_array_equal(found.policy, np.exp(found.log_policy))
    assert found.labels == HOSTILE
    assert found.certificate == certify(game(), found.log_policy, 0.1)
    assert f"suboptimality {found.certificate.suboptimality:.1e}" in text
    best = max(zip(found.policy, HOSTILE, strict=True))
    assert re.search(rf"{re.escape(best[1].replace(chr(27), chr(92) + 'x1b'))} +{best[0]:.4g}", text)
    assert ng.equilibrium(ng.games.disc(actions=3)).labels == ("0", "1", "2")
    with pytest.raises(ng.NashGamesError, match="does not know its game; use certify"):
        found._replace(game=None).certificate  # noqa: B018


def test_a_result_says_its_runs_on_one_screen(result):
    text, html = shown(result)
    assert text.startswith(f"Result of 8 runs, {len(result.curves):,} points")
    assert text.count("nash-mp[eta=0.2]") == 2
    assert "suboptimality" in html


def test_an_experiment_says_what_is_not_as_usual():
    asked = ng.Experiment(game="disc", beta=(0.1, 0.01), seeds=3)
    text, html = shown(asked)
    assert text == "Experiment(game=('disc',), beta=(0.1, 0.01), seeds=3)"
    assert eval(text, {"Experiment": ng.Experiment}) == asked
    assert "<td>(0.1, 0.01)</td>" in html


def test_ranges_betas_and_references_are_those_of_the_command_line(result, tmp_path, monkeypatch):
    """The same runs, by their ids, as the sweep of the same words on a game by name."""
    told = {"beta": [0.2, 0.1], "reference": ["uniform", "tilted"], "actions": 3, "seed": 2, **SHORT}
    mine = ng.solve("random-logits", "nash-mp[eta=0.1:0.4:3]", **told)
    monkeypatch.chdir(tmp_path)
    command = "sweep --game random-logits --solver nash-mp[eta=0.1:0.4:3] --beta 0.2,0.1 --reference uniform,tilted"
    command += " --actions 3 --seed 2 --queries 300 --records 5 --no-plot --json"
    there = json.loads(CliRunner().invoke(app, command.split()).stdout)
    assert [run["id"] for run in there["runs"]] == list(mine.runs["run_id"])
    assert [run["suboptimality"] for run in there["runs"]] == list(mine.runs["suboptimality"])
    assert [found.beta for found in mine.equilibria] == [0.2, 0.1, 0.2, 0.1]
    assert mine.equilibrium is mine.equilibria[-1]
    assert {0.1, 0.2, 0.4} == {
        json.loads(numbers)["eta"] for numbers in result.runs["hyperparameters"] if "eta" in numbers
    }


def test_several_games_by_name_and_as_objects():
    found = ng.solve([game("a"), "circulant", game("b", sign=-1)], "nash-mp", beta=0.1, **SHORT)
    assert list(found.runs["game"]) == ["a", "circulant", "b"]
    alone = [ng.solve(each, "nash-mp", beta=0.1, **SHORT).equilibrium for each in (game("a"), game("b", sign=-1))]
    for position, each in zip((0, 2), alone, strict=True):
        np.testing.assert_allclose(found.equilibria[position].policy, each.policy, atol=1e-12)


def test_a_run_starts_where_it_is_asked_to():
    far = ng.solve(game(), "nash-mp", start="equilibrium[distance=0.01]", **SHORT)
    first = far.curves.groupby("run_id")["kl_to_equilibrium"].first().iloc[0]
    assert 0 < first < 1e-3
    assert set(far.runs["start"]) == {"equilibrium[distance=0.01]"}


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: ng.solve([], "nash-mp"), "no game is given; give at least one"),
        (lambda: ng.solve([game(), 3], "nash-mp"), "the game is 3; give a Game"),
        (
            lambda: ng.solve([game(beta=0.1), game("b", beta=0.2)]),
            r"have different β \(0.1, 0.2\) and beta is not given",
        ),
        (lambda: ng.solve([game(), game(sign=-1)], beta=0.1), "two games are both called 'mine'; give each a name"),
        (lambda: ng.solve(game(), reference="nowhere"), "unknown reference 'nowhere'"),
        (lambda: ng.solve(game(), "nash-mp[eta=1:2]"), "'1:2'|eta"),
        (lambda: ng.read("/nonexistent"), "holds no results"),
    ],
)
def test_a_mistake_is_a_sentence(call, said):
    with pytest.raises(ng.NashGamesError, match=said):
        call()


def test_a_result_is_saved_and_read(tmp_path):
    played = ng.solve(ng.games.weighted_cycle(actions=3), ["nash-mp", "mirror-descent"], beta=[0.2, 0.1], **SHORT)
    directory = played.save(tmp_path / "mine")
    again = ng.read(directory)
    for name in ("runs", "curves", "policies", "paths"):
        kept, made = (getattr(each, name).dropna(axis="columns", how="all") for each in (again, played))
        pd.testing.assert_frame_equal(kept, made, check_dtype=False)
    assert again.experiment == played.experiment
    assert repr(again) == repr(played)
    assert again.equilibria == ()
    with pytest.raises(ng.NashGamesError, match="a directory keeps no equilibria"):
        again.equilibrium  # noqa: B018
    assert CliRunner().invoke(app, ["verify", str(directory)]).exit_code == 0
    assert "of 4 runs verified" in CliRunner().invoke(app, ["verify", str(directory)]).stdout
    # Saved twice is the same, and other runs are added.
    ng.solve(ng.games.weighted_cycle(actions=3), "nash-mp", beta=0.3, **SHORT).save(directory)
    played.save(directory)
    assert len(ng.read(directory).runs) == 4


def test_the_table_that_a_game_was_read_from_is_saved_with_its_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pd.DataFrame(MARGINS + 0.5).to_csv("wins.csv", header=False, index=False)
    ng.solve("wins.csv", "nash-mp", **SHORT).save("mine")
    (tmp_path / "wins.csv").unlink()
    assert CliRunner().invoke(app, ["verify", "mine"]).exit_code == 0


def test_tab_completion_offers_public_names_alone():
    for offered in (dir(ng), dir(ng.games)):
        assert offered
        assert not [name for name in offered if name.startswith("_")]
        assert not {"jax", "np", "Any", "annotations", "math", "psutil"} & set(offered)
    assert {"solve", "read", "Experiment", "equilibrium"} <= set(dir(ng))
    assert all(hasattr(ng, name) for name in dir(ng))


def test_an_experiment_is_swept_as_on_the_command_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked = ng.Experiment(name="mine", game="circulant", actions=3, solver="nash-mp", beta=(0.2, 0.1), **SHORT)
    swept = ng.sweep(asked)
    (tmp_path / "mine.toml").write_text(asked.to_toml())
    told = ["sweep", "mine.toml", "--out", "there", "--no-plot", "--quiet"]
    assert CliRunner().invoke(app, told).exit_code == 0
    there = ng.read("there")
    same = [name for name in swept.runs if not name.endswith("seconds")]
    pd.testing.assert_frame_equal(swept.runs[same], there.runs[same])
    pd.testing.assert_frame_equal(swept.policies, there.policies)
    assert swept.experiment == asked
    assert repr(ng.read("results/runs/mine")) == repr(swept)
    # What is finished is reused: the times are those of the first.
    again = ng.sweep("mine.toml", "results/runs/mine")
    pd.testing.assert_frame_equal(again.runs, swept.runs)
    assert list(ng.sweep(asked, "results/runs/mine", force=True).runs["run_id"]) == list(swept.runs["run_id"])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (3, "the experiment is 3; give an ng.Experiment"),
        ("defualt", "unknown preset 'defualt'; did you mean 'default'"),
        ("nowhere.toml", "cannot read the experiment 'nowhere.toml'"),
    ],
)
def test_what_is_no_experiment_is_a_sentence(given, said):
    with pytest.raises(ng.NashGamesError, match=said):
        ng.sweep(given)


def test_a_run_that_fails_is_said_after_the_others_are_kept(tmp_path, monkeypatch):
    runs = pd.DataFrame({"run_id": ["a", "b"]})

    def failed(*_, **__):
        yield Noted("it broke")
        yield Finished(tmp_path, runs, len(runs), lambda name: runs, reused=0, failed=1, files=())

    monkeypatch.setattr(sweeping, "execute", failed)
    with pytest.raises(ng.NashGamesError, match=r"1 run failed \(it broke\); all others are kept, and ng.read"):
        ng.sweep("default", tmp_path)


def test_a_notebook_shows_a_bar_and_anything_else_nothing(monkeypatch):
    events = [
        Planned(Path("x"), runs=4, reused=1, batches=2),
        Advanced(1, 2, "nash-<mp>", 2, 2, 50, 100, 1e-3, 1.0),
        Noted("a & b"),
        BatchFinished(1, 2, pd.DataFrame({"run_id": ["a", "b"]})),
    ]
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    silent = Bar()
    for event in events:
        silent.show(event)

    shown = []

    class Handle:
        def update(self, thing):
            shown.append(thing._repr_html_())

    def display(thing, display_id):
        assert display_id
        shown.append(thing._repr_html_())
        return Handle()

    def notebook(shell):
        return SimpleNamespace(get_ipython=lambda: shell, display=SimpleNamespace(display=display))

    monkeypatch.setattr(bar_module, "_APART", 0.0)
    # A terminal's IPython has no kernel.
    monkeypatch.setitem(sys.modules, "IPython", notebook(SimpleNamespace()))
    for event in events:
        Bar().show(event)
    assert not shown
    monkeypatch.setitem(sys.modules, "IPython", notebook(SimpleNamespace(kernel=True)))
    bar = Bar()
    for event in events:
        bar.show(event)
    bar.close("done")
    assert ["planning" in shown[0], "1 of 4 runs" in shown[1], "3 of 4 runs" in shown[4]] == [True] * 3
    assert 'max="4" value="2.00"' in shown[2] and "nash-&lt;mp&gt;: 50 of 100 queries" in shown[2]
    assert "a &amp; b" in shown[3] and "done" in shown[-1]


def test_a_report_is_made_of_one_directory_or_of_several(result, tmp_path):
    one, other = result.save(tmp_path / "one"), result.save(tmp_path / "other")
    assert ng.report(str(one)) == one / "report.html"
    both = ng.report([one, other], out=tmp_path / "both.html").read_text(encoding="utf-8")
    assert "<title>one and other" in both
    with pytest.raises(ng.NashGamesError, match="no directory is given"):
        ng.report([])
    with pytest.raises(ng.NashGamesError, match="is given twice"):
        ng.report([one, one])
