"""The site: `python -m sphinx -W --keep-going -b html docs build/site` from the root of the repository."""

import itertools
import re
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

from nashgames.games.families import FAMILIES
from nashgames.solvers import SOLVERS, WRAPPERS

ROOT = Path(__file__).parents[1]
# Pages that stand in the root of the repository, where readers of the code look for them.
OF_THE_ROOT = {"index": ROOT / "README.md", "contributing": ROOT / "CONTRIBUTING.md"}

# Columns of a docstring: a line that leaves room for the next word ends where it does on purpose.
WIDTH = 116

project = "nashgames"
author = "The nashgames developers"
release = metadata.version("nashgames")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = "nashgames"
myst_heading_anchors = 4
autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
smartquotes_action = "D"


def entries(directive: str, module: str, names: Iterable[str]) -> str:
    """A block of the API page that documents every one of the names."""
    return "\n".join(["```{eval-rst}", *(f".. {directive}:: {module}.{name}" for name in names), "```"])


def every(_app: Any, name: str, source: list[str]) -> None:
    """What is in a registry is in the API page: a newcomer is documented for free."""
    if name == "api":
        solvers = dict.fromkeys(kind.__name__ for kind in [*SOLVERS.values(), *WRAPPERS.values()])
        families = entries("autofunction", "nashgames.games", (family.replace("-", "_") for family in FAMILIES))
        text = source[0].replace("<!-- every family -->", families)
        source[0] = text.replace("<!-- every solver -->", entries("autoclass", "nashgames.solvers", solvers))


def from_the_root(_app: Any, name: str, source: list[str]) -> None:
    """Pages of the root as pages of the site: links are written from `docs/`, those to other Markdown become text."""
    text = source[0]
    if name in OF_THE_ROOT:
        page = re.sub(r"\]\((?!https?:|docs/|#)", "](../", OF_THE_ROOT[name].read_text()).replace("](docs/", "](")
        text = page + ("\n" + text if name == "index" else "")
    for page, path in OF_THE_ROOT.items():
        text = text.replace(f"](../{path.name}", f"]({page}.md")
    source[0] = re.sub(r"\[([^\]]+)\]\(\.\./([^)#]+\.md)[^)]*\)", r"\1 (`\2`)", text)


def with_parameters(_app: Any, what: str, _name: str, kind: Any, _options: Any, lines: list[str]) -> None:
    """A solver's parameters, as they declare themselves."""
    if what == "class" and kind in [*SOLVERS.values(), *WRAPPERS.values()]:
        declared = SOLVERS.parameters(kind)
        lines += (
            ["", "Args:", *(f"    {name}: {parameter.help}" for name, parameter in declared.items())]
            if declared
            else []
        )


def escaped(text: str) -> str:
    """Docstrings say `code` as Markdown does, and their formulas have stars, bars and underscores, no markup."""
    head, name, rest = re.match(r"(\s*)(\w+:(?= ))?(.*)", text).groups("")
    parts = rest.split("`")
    parts[::2] = [re.sub(r"([*|_])", r"\\\1", part) for part in parts[::2]]
    return head + name + ("``".join(parts) if len(parts) % 2 else rest)


def broken(lines: list[str]) -> list[str]:
    """A paragraph whose lines end early on purpose, as lines of formulas do, keeps them."""
    early = [len(a) + 1 + len(b.split()[0]) <= WIDTH for a, b in itertools.pairwise(lines)]
    if re.match(r"[ *-]|\\\*|\w+:$", lines[0]) or not any(early):
        return lines
    return [("| " if new else "  ") + line for line, new in zip(lines, [True, *early], strict=True)]


def as_text(_app: Any, _what: str, _name: str, _object: Any, _options: Any, lines: list[str]) -> None:
    """A docstring as reStructuredText."""
    result: list[str] = []
    for blank, group in itertools.groupby(lines, key=lambda line: not line.strip()):
        paragraph = list(group)
        if not blank and not any(line.lstrip().startswith(">>>") for line in paragraph):
            paragraph = broken([escaped(line) for line in paragraph])
        result += paragraph
    lines[:] = result


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("source-read", from_the_root)
    app.connect("source-read", every)
    app.connect("autodoc-process-docstring", with_parameters, priority=300)
    # Before napoleon, whose own markup is to stay.
    app.connect("autodoc-process-docstring", as_text, priority=400)
