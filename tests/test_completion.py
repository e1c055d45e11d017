"""What the shell offers at a press of tab, and what `show` says of one item of any registry."""

import json
import os

import pytest
from typer.testing import CliRunner

from nashgames.cli import completion
from nashgames.cli.list import LISTS
from nashgames.cli.main import KINDS, app


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """A folder of its own for the names that are kept."""
    monkeypatch.setenv("NASHGAMES_NAMES", str(tmp_path))
    completion.names.cache_clear()
    yield tmp_path / "names.json"
    completion.names.cache_clear()


@pytest.mark.parametrize(
    ("what", "incomplete", "offered"),
    [
        ("solver", "nash-pr", ["nash-prox"]),
        ("solver", "nash-mp,online", ["nash-mp,online-ipo"]),
        ("solver", "nash-prox[et", ["nash-prox[eta="]),
        ("solver", "nash-prox[eta=0.1,inn", ["nash-prox[eta=0.1,inner="]),
        ("solver", "nash-mp[eta=0.1],omw", ["nash-mp[eta=0.1],omwu"]),
        ("solver", "nobody", []),
        ("solver", "nobody[x", []),
        ("game", "soc", ["soccer10"]),
        ("game", "disc[pl", ["disc[planes="]),
        ("preset", "cu", ["cure"]),
        ("y", "subopt", ["suboptimality"]),
        ("optimiser", "adam[sch", ["adam[schedule="]),
        ("show", "adam", ["adam"]),
        ("show", "cur", ["cure"]),
    ],
)
def test_names_and_parameters_are_offered(kept, what, incomplete, offered):
    assert completion.of(what)(incomplete) == offered


def test_the_names_are_kept_and_made_anew_for_another_version(kept, monkeypatch):
    found = completion.names()
    assert json.loads(kept.read_text())["names"] == found
    completion.names.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(completion, "_found", lambda: pytest.fail("they are kept"))
        assert completion.names() == found
    kept.write_text(json.dumps({"of": ["0.0.0"], "names": {}}))
    completion.names.cache_clear()
    assert completion.names() == found
    kept.write_text("{")
    completion.names.cache_clear()
    assert completion.names() == found


def test_what_cannot_be_kept_is_found_each_time(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NASHGAMES_NAMES", str(tmp_path / "file" / "below"))
    completion.names.cache_clear()
    assert "nash-mp" in completion.names()["solvers"]
    completion.names.cache_clear()


def test_a_shell_is_answered(kept):
    asked = {"_NASHGAMES_COMPLETE": "complete_bash", "COMP_WORDS": "nashgames run --solver nash-pro", "COMP_CWORD": "3"}
    answer = CliRunner().invoke(app, [], env=os.environ | asked)
    assert answer.stdout.split() == ["nash-prox"]
    asked |= {"COMP_WORDS": "nashgames run --dt", "COMP_CWORD": "2"}
    assert CliRunner().invoke(app, [], env=os.environ | asked).stdout.split() == ["--dtype"]


def test_every_kind_that_is_listed_is_completed():
    assert tuple(LISTS) == KINDS
    assert set(completion._LISTS["show"]) == set(KINDS)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nash-prox", ["nash-prox · solver", "inner", "gradient steps between moves", "run --solver nash-prox"]),
        ("average", ["average[SOLVER] · solver", "arithmetic mean", "run --solver 'average[SOLVER]'"]),
        ("cure", ["cure · preset", "# Why does plain self-play fail", 'game = "circulant"', "nashgames sweep cure"]),
        ("adam", ["adam · optimiser", "Kingma", "schedule", "run --optimiser adam"]),
        ("mlp", ["mlp · policy", "width", "run --policy mlp"]),
        ("duels", ["duels · feedback", "batch", "run --feedback duels"]),
        ("tilted", ["tilted · reference", "span", "run --reference tilted"]),
        ("suboptimality", ["suboptimality · metric", "plot DIRECTORY --y suboptimality"]),
        ("phases", ["phases", "write"]),
    ],
)
def test_one_item_of_any_list_is_shown(name, said):
    shown = CliRunner().invoke(app, ["show", name])
    assert shown.exit_code == 0, shown.output
    assert all(text in shown.stdout for text in said), shown.stdout
    data = json.loads(CliRunner().invoke(app, ["show", name, "--json"]).stdout)
    assert data["name"].partition("[")[0] == name
    assert f"{data['name']} · {data['kind']}" in shown.stdout


@pytest.mark.parametrize(("kind", "position"), [(kind, 0) for kind in KINDS if kind != "games"])
def test_the_first_of_every_list_can_be_shown(kind, position, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    name = LISTS[kind][1]()[position]["name"].partition("[")[0]
    assert CliRunner().invoke(app, ["show", name, "--no-plot"]).exit_code == 0
