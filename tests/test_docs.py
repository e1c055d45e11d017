"""README and the pages of docs/: every block runs, and what they name, list and show is there."""

import contextlib
import doctest
import importlib.util
import inspect
import io
import json
import re
import shlex
import shutil
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
import pyarrow as pa
import pytest
import typer
from typer.testing import CliRunner

import nashgames as ng
from nashgames import estimators, losses
from nashgames.cli.main import app
from nashgames.core import simplex
from nashgames.core.game import Description
from nashgames.exact.certificate import Certificate, certify
from nashgames.experiments import runner
from nashgames.experiments.events import Planned
from nashgames.experiments.experiment import Experiment
from nashgames.games import corpus
from nashgames.registry import Choice, Number
from nashgames.solvers import SOLVERS, WRAPPERS
from nashgames.store import TABLES
from nashgames.store.manifest import new as new_manifest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]
LINK = re.compile(r"\]\(([\w./-]+)(#[\w-]+)?\)")
NAMED = re.compile(r"`((?:nashgames|cli|tests|benchmarks|docs|results)/[\w/.-]*)`")
TYPES = {pa.int64(): "integer", pa.float64(): "number", pa.string(): "text"}
PLANNED = 130
"""The exit code of a command that is stopped where it has planned its runs."""

EXTRAS = {"external": ("pygambit",), "language-models": ("torch", "transformers")}
"""What blocks with `<!-- needs: EXTRA -->` above them import."""


class Block(NamedTuple):
    """A fenced block with the comment `<!-- mark: value -->` above it, both empty where there is none."""

    mark: str
    value: str
    language: str
    text: str


FENCE = re.compile(r"(?:<!-- ([a-z ]+?)(?:: (.*?))? -->\n)?^```(\S*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks(page: Path) -> Iterator[Block]:
    for found in FENCE.findall(page.read_text()):
        yield Block(*found)


def ids(page: Path) -> str:
    return page.stem


class Reader:
    """Somebody who types what a page says, in a directory of their own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch, self.namespace, self.printed, self.missing = monkeypatch, {}, "", None

    def follow(self, block: Block) -> None:
        if block.mark == "file":
            Path(block.value).write_text(block.text)
        elif block.mark == "files of":
            for other in blocks(ROOT / block.value):
                if other.mark == "file":
                    self.follow(other)
        if block.mark == "output":
            printed = [" ".join(line.split()) for line in self.printed.splitlines()]
            assert [line for line in block.text.splitlines() if " ".join(line.split()) not in printed] == []
        elif block.mark == "needs" and not all(map(importlib.util.find_spec, EXTRAS[block.value])):
            self.missing = block.value
        elif block.language == "bash" and block.mark != "test command":
            for line in block.text.splitlines():
                self.type(line, planned=block.mark == "long")
        elif block.language == "toml":
            keys = tomllib.loads(block.text)
            assert "project" in keys or Experiment.from_dict(keys)
        elif block.language == "python" and block.mark != "file":
            with contextlib.redirect_stdout(io.StringIO()) as printed:
                exec(block.text, self.namespace)
            self.printed = printed.getvalue()
            plt.close("all")
        else:
            assert block.language in ("", "text", "python", "{toctree}", "{eval-rst}", "bash"), block.language

    def type(self, line: str, *, planned: bool) -> None:
        program, *arguments = shlex.split(line)
        if program == "python" and arguments[0].startswith("benchmarks/"):
            assert (ROOT / arguments[0]).exists()
        elif program in ("python3", "source", "pip", "git") or program.startswith(".venv/bin/"):
            return  # Installing is what the suite itself begins with.
        elif planned and arguments[0] in ("plot", "verify"):
            command = typer.main.get_command(app).commands[arguments[0]]
            assert command.make_context(arguments[0], arguments[1:])
        else:
            assert program == "nashgames"
            # Figures have tests of their own.
            arguments += ["--no-plot"] if arguments[0] in ("run", "sweep", "equilibrium", "show") else []
            with self.monkeypatch.context() as patched:
                if planned:
                    patched.setattr(runner, "execute", until_planned)
                outcome = CliRunner().invoke(app, arguments)
            self.printed = outcome.output
            assert outcome.exit_code == (PLANNED if planned and arguments[0] in ("run", "sweep") else 0), (
                f"{line}\n{outcome.output}"
            )


def until_planned(*arguments, execute=runner.execute, **options):
    for event in execute(*arguments, **options):
        yield event
        if isinstance(event, Planned):
            raise KeyboardInterrupt


@pytest.mark.parametrize("page", [page for page in PAGES if any(blocks(page))], ids=ids)
def test_the_blocks_of_a_page_work(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "130")
    commands = "".join(block.text for block in blocks(page))
    for kept in {path.parent for path in (ROOT / "results").glob("*/*.toml")}:
        # The whole directory: a file alone would not be results to write beside.
        if re.search(rf"results/{re.escape(kept.name)}\b", commands):
            shutil.copytree(kept, tmp_path / kept.relative_to(ROOT))
    reader = Reader(monkeypatch)
    for block in blocks(page):
        reader.follow(block)
    if reader.missing:
        pytest.skip(f"all blocks work but those that need the extra {reader.missing}, which is not installed")


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_no_comment_above_a_block_is_overlooked(page):
    """A mark that is not read would play for minutes what is only to be planned."""
    above = re.findall(r"^<!-- .*-->\n(?=```)", page.read_text(), re.MULTILINE)
    assert len(above) == sum(bool(block.mark) for block in blocks(page))


@pytest.mark.parametrize("page", [*PAGES, ROOT / "results" / "README.md"], ids=ids)
def test_what_a_page_names_is_there(page):
    text = page.read_text()
    linked = [(page.parent / name, anchor) for name, anchor in LINK.findall(text) if "." in name]
    named = [path for path, _ in linked] + [ROOT / name for name in NAMED.findall(text)]
    assert [str(path) for path in named if not path.exists() and "results/runs" not in str(path)] == []
    for path, anchor in linked:
        headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE) if anchor else []
        slugs = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
        assert not anchor or anchor[1:] in slugs, f"{path}{anchor}"


def test_the_readme_is_short_and_says_the_game_first():
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 120
    assert "β" not in text[: text.index("## The game")] and "μ" not in text[: text.index("## The game")]


def test_every_page_is_in_the_site():
    listed = re.findall(r"^[\w-]+$", (DOCS / "index.md").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(page.stem for page in DOCS.glob("*.md") if page.stem != "index")


@pytest.mark.filterwarnings("ignore")  # Of Sphinx and its theme about themselves; those about the pages are errors.
def test_the_site_builds_without_a_warning(tmp_path):
    build = pytest.importorskip("sphinx.cmd.build", reason="needs the extra docs")
    assert build.build_main(["-W", "--keep-going", "-q", "-b", "html", str(DOCS), str(tmp_path)]) == 0
    assert {path.stem for path in DOCS.glob("*.md")} <= {path.stem for path in tmp_path.glob("*.html")}


@pytest.mark.parametrize("name", TABLES)
def test_every_column_of_a_table_is_explained(name):
    text = (DOCS / "files-and-columns.md").read_text().partition(f"<!-- columns: {name} -->\n")[2]
    rows = re.findall(r"^\| `(\w+)` \| (\w+)", text.partition("\n\n")[0], re.MULTILINE)
    assert rows == [(field.name, TYPES[field.type]) for field in TABLES[name]]


def test_every_key_of_the_manifest_is_explained():
    text = (DOCS / "files-and-columns.md").read_text().partition("<!-- keys: manifest -->\n")[2]
    assert set(re.findall(r"^\| `(\w+)`", text.partition("\n\n")[0], re.MULTILINE)) == {*new_manifest(), "hashes"}


def test_every_solver_is_listed():
    listed = re.findall(r"^\| `([\w-]+)(?:\[[\w-]+\])?` \|", (DOCS / "solvers.md").read_text(), re.MULTILINE)
    assert sorted({*SOLVERS, *WRAPPERS} - set(listed)) == []


def test_every_kept_figure_is_in_the_gallery_with_the_command_that_made_it():
    text = (DOCS / "gallery.md").read_text()
    shown = set(re.findall(r"\]\(\.\./(results/.*?\.png)\)", text))
    # What commands write where nothing else is said is kept by nobody.
    unkept = set(re.findall(r"^results/(\w+)/$", (ROOT / ".gitignore").read_text(), re.MULTILINE))
    figures = [path for path in (ROOT / "results").glob("*/*.png") if path.parent.name not in unkept]
    assert unkept and shown == {str(path.relative_to(ROOT)) for path in figures}
    for path in (ROOT / "results").glob("*/manifest.json"):
        command = json.loads(path.read_text())["environment"]["command"]
        # Where its files went and what was printed is no part of what was computed.
        command = re.sub(r" --(force|no-plot|quiet|out \S+)", "", command)
        assert f"\n{command} --out {path.parent.relative_to(ROOT)}\n" in text


def test_the_table_of_the_race_is_that_of_its_data():
    standings = json.loads((ROOT / "results/race/race.json").read_text())["race"]["queries"]["standings"]
    rows = (DOCS / "choose-a-solver.md").read_text().partition("<!-- race -->\n")[2].partition("\n\n")[0]
    told = re.findall(r"^\| `([\w-]+)` \| (\d+) % \[(\d+), (\d+)\] \| (\d+) % \[(\d+), (\d+)\]", rows, re.MULTILINE)
    columns = ("solved", "solved_low", "solved_high", "efficiency", "efficiency_low", "efficiency_high")
    known = {row["method"]: tuple(f"{100 * row[column]:.0f}" for column in columns) for row in standings}
    assert len(told) >= 10 and {method: tuple(numbers) for method, *numbers in told}.items() <= known.items()


SHOWN = [
    *(function for name in ng.__all__ if inspect.isfunction(function := getattr(ng, name))),
    *(getattr(ng.games, name) for name in dir(ng.games)),
    certify,
    *(
        value
        for name, value in vars(losses).items()
        if name[0] != "_" and inspect.getmodule(value) is losses and inspect.isfunction(value)
    ),
    *(getattr(estimators, name) for name in estimators.__all__ if inspect.isfunction(getattr(estimators, name))),
    *(corpus.source, corpus.draw, corpus.fit),
]
"""Every function of `nashgames` and of the modules that docs/api.md shows."""


@pytest.mark.parametrize("function", SHOWN, ids=lambda function: function.__name__)
def test_a_public_function_says_what_it_takes_and_raises_and_its_example_runs(function):
    text = inspect.getdoc(function)
    sections = text.partition("Args:\n")[2].partition("Raises:\n")
    said = set(re.findall(r"^    (\w+): ", sections[0], re.MULTILINE))
    assert set(inspect.signature(function).parameters) == said
    assert "NashGamesError" in sections[2].partition("Example:\n")[0]
    example = doctest.DocTestParser().get_doctest(text, {"certify": certify}, function.__name__, None, None)
    assert example.examples and not doctest.DocTestRunner().run(example).failed


WITH_EXAMPLES = {
    **{name: getattr(ng, name) for name in ng.__all__ if inspect.isclass(getattr(ng, name))},
    **{name: SOLVERS[name] for name in SOLVERS},
    **{name: value for name, value in vars(simplex).items() if inspect.isfunction(value) and name[0] != "_"},
    **{
        made.__name__: made
        for made in (Certificate, Choice, Description, Number, estimators.Estimate, *WRAPPERS.values())
    },
}


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_a_public_class_or_function_has_an_example_that_runs(name):
    text = inspect.getdoc(WITH_EXAMPLES[name]).partition("Example:\n")[2]
    example = doctest.DocTestParser().get_doctest(text, {}, name, None, None)
    assert example.examples and not doctest.DocTestRunner().run(example).failed


def methods_of(owner: type) -> dict[str, Callable[..., object]]:
    """The public methods that a class has of its own, as functions."""
    found = {name: getattr(value, "__func__", value) for name, value in vars(owner).items() if name[0] != "_"}
    return {f"{owner.__name__}.{name}": value for name, value in found.items() if inspect.isfunction(value)}


PUBLIC = [getattr(ng, name) for name in ng.__all__ if inspect.isclass(getattr(ng, name))]
METHODS = {
    name: method
    # Those of solvers are one protocol's, whose table in docs/write-a-solver.md says what they take.
    for owner in (*PUBLIC, *(getattr(estimators, name) for name in estimators.__all__))
    if inspect.isclass(owner) and not hasattr(owner, "queries_per_step")
    for name, method in methods_of(owner).items()
}


@pytest.mark.parametrize("name", METHODS)
def test_a_public_method_says_what_it_takes_and_its_example_runs(name):
    text = inspect.getdoc(METHODS[name])
    said = re.findall(r"^    (\w+): ", text.partition("Args:\n")[2].partition("\n\n")[0], re.MULTILINE)
    assert said == [each for each in inspect.signature(METHODS[name]).parameters if each not in ("self", "cls")]
    assert "Raises NashGamesError" not in text
    example = doctest.DocTestParser().get_doctest(text, {}, name, None, None)
    assert example.examples and not doctest.DocTestRunner().run(example).failed
    plt.close("all")


def test_methods_are_found():
    assert {"Game.query", "Result.save", "Experiment.from_toml"} <= METHODS.keys()


SIMPLEX = [value for name, value in vars(simplex).items() if inspect.isfunction(value) and name[0] != "_"]


@pytest.mark.parametrize("function", SIMPLEX, ids=lambda function: function.__name__)
def test_a_function_of_the_simplex_says_what_it_takes(function):
    section = inspect.getdoc(function).partition("Args:\n")[2].partition("\n\n")[0]
    said = [name for names in re.findall(r"^    ([\w, ]+): ", section, re.MULTILINE) for name in names.split(", ")]
    assert said == list(inspect.signature(function).parameters)


def test_a_solver_and_a_game_take_about_twenty_lines():
    for page in ("write-a-solver", "write-a-game"):
        [contents] = [block.text for block in blocks(DOCS / f"{page}.md") if block.mark == "file"]
        lines = [line for line in contents.splitlines() if line.strip() and not line.startswith(("import", "from"))]
        assert len(lines) <= 20
