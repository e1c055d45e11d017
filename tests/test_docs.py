"""The pages of docs/: their files are written, their commands run, and what they name is there."""

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from nashgames.cli.main import app

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").glob("*.md"))
FILE = re.compile(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", re.DOTALL)
COMMANDS = re.compile(r"<!-- run -->\n```\n(.*?)```", re.DOTALL)
LINK = re.compile(r"\]\(([\w-]+[./][\w./-]+)(?:#[\w-]+)?\)")
NAMED = re.compile(r"`((?:nashgames|cli|tests|benchmarks|docs|results)/[\w/.-]*)`")


def ids(page):
    return page.stem


@pytest.mark.parametrize("page", [page for page in PAGES if COMMANDS.search(page.read_text())], ids=ids)
def test_the_files_and_commands_of_a_page_work(page, tmp_path, monkeypatch):
    text = page.read_text()
    monkeypatch.chdir(tmp_path)
    for name, contents in FILE.findall(text):
        Path(name).write_text(contents)
    for line in "".join(COMMANDS.findall(text)).splitlines():
        program, *arguments = shlex.split(line)
        assert program == "nashgames"
        # Figures have tests of their own.
        arguments += ["--no-plot"] if arguments[0] in ("run", "sweep", "equilibrium", "show") else []
        outcome = CliRunner().invoke(app, arguments)
        assert outcome.exit_code == 0, f"{line}\n{outcome.output}"


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=ids)
def test_what_a_page_names_is_there(page):
    text = page.read_text()
    named = [page.parent / link for link in LINK.findall(text)] + [ROOT / path for path in NAMED.findall(text)]
    missing = [str(path.relative_to(ROOT)) for path in named if not path.exists() and "results/runs" not in str(path)]
    assert not missing


def test_a_solver_and_a_game_take_about_twenty_lines():
    for page in ("write-a-solver", "write-a-game"):
        [(_, contents)] = FILE.findall((ROOT / "docs" / f"{page}.md").read_text())
        lines = [line for line in contents.splitlines() if line.strip() and not line.startswith(("import", "from"))]
        assert len(lines) <= 20
