"""How much a reader has to follow: functions that one run enters, places that know a default, parses of one text.

`python benchmarks/structure.py` prints the counts, with `--list` the functions by module. A run is counted twice:
alone, from its description to its rows as `playing.play` makes them (game, referee, batch, loop, solver, metrics), and
with the whole command around it, imports, options, planning, storing and tables among them. A function counts once,
whatever thread calls it; lambdas and comprehensions belong to the function that they stand in.
"""

import ast
import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from inspect import CO_OPTIMIZED
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = (ROOT / "nashgames", ROOT / "cli")
RUN = ("run", "disc[strength=2]", "-n", "5", "-s", "nash-mp", "--queries", "100", "--no-plot")
DEFAULTS = ("exact", "tabular", "sgd")


def one_run() -> Counter[str]:
    """The functions that a run of one solver enters from its description to its rows, by module.

    To be called in a process that has played nothing yet: what is compiled already is not entered again.
    """
    from nashgames.experiments.experiment import Experiment
    from nashgames.experiments.plan import plan, settings_of
    from nashgames.experiments.playing import play

    experiment = Experiment.from_dict({"game": "disc[strength=2]", "actions": 5, "solver": "nash-mp", "queries": 100})
    settings = settings_of(experiment)
    runs, _ = plan(experiment, settings)
    with _entered() as entered:
        for event in play(runs, settings):
            assert type(event).__name__ != "Failed", event
    return _by_module(entered)


def one_command() -> tuple[Counter[str], Counter[str]]:
    """The functions that a whole command of such a run enters, by module, and how often every text is parsed.

    To be called in a process that has not imported nashgames: what runs at import counts.
    """
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        os.chdir(folder)
        try:
            with _entered(parsed := Counter[str]()) as entered:
                from nashgames.cli.main import app

                app(RUN)
        except SystemExit as end:
            assert not end.code, f"the run ended with code {end.code}"
        finally:
            os.chdir(before)
    return _by_module(entered), parsed


@contextlib.contextmanager
def _entered(parsed: Counter[str] | None = None) -> Iterator[set[CodeType]]:
    """Every function of ours that is entered inside, and the texts that are parsed."""
    # By id, which is cheap where hashing a code object is not; the reference keeps the id its own.
    ours: dict[int, tuple[CodeType, bool]] = {}
    folders = tuple(map(str, FOLDERS))
    entered: set[CodeType] = set()

    def look(frame: FrameType, event: str, argument: Any) -> None:
        code = frame.f_code
        known = ours.get(id(code))
        if known is None:
            known = ours[id(code)] = (code, code.co_filename.startswith(folders))
            if known[1]:
                entered.add(code)
        if parsed is not None and known[1] and code.co_name == "_read" and code.co_filename.endswith("selections.py"):
            parsed[frame.f_locals["text"]] += 1

    # A tracer that returns nothing sees calls alone, and not every call of a built-in function.
    threading.settrace(look)
    sys.settrace(look)
    try:
        yield entered
    finally:
        sys.settrace(None)
        threading.settrace(None)


def _by_module(entered: set[CodeType]) -> Counter[str]:
    functions = [code for code in entered if code.co_flags & CO_OPTIMIZED and not code.co_name.startswith("<")]
    return Counter(str(Path(code.co_filename).relative_to(ROOT)) for code in functions)


def knowing_a_default() -> set[str]:
    """The files that spell out what is played where nobody says otherwise, beside the names of entries themselves."""
    found = set()
    for path in (path for folder in FOLDERS for path in folder.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        named = {id(node) for top in ast.walk(tree) for node in _names_of_entries(top)}
        if any(isinstance(n, ast.Constant) and n.value in DEFAULTS and id(n) not in named for n in ast.walk(tree)):
            found.add(str(path.relative_to(ROOT)))
    return found


def _names_of_entries(node: ast.AST) -> list[ast.AST]:
    """Where a word is no default: `name: ClassVar[str] = "sgd"`, keys of `Registry("optimiser", {"sgd": …})`, and what
    a row calls the source of a step."""
    if isinstance(node, ast.keyword) and node.arg == "step_source":
        return [node.value]
    if isinstance(node, ast.Dict):
        said = [
            (key, value) for key, value in zip(node.keys, node.values, strict=True) if isinstance(key, ast.Constant)
        ]
        return [value for key, value in said if key.value == "step_source"]
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == "name":
        return [node.value] if node.value else []
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Registry":
        return [key for each in node.args if isinstance(each, ast.Dict) for key in each.keys if key]
    return []


def main() -> None:
    """Print the counts."""
    command, parsed = one_command()
    alone = Counter(json.loads(_in_a_new_process("print(json.dumps(structure.one_run()))")))
    text, most = max(parsed.items(), key=lambda item: item[1])
    if "--list" in sys.argv:
        for module, count in command.most_common():
            print(f"{alone[module]:4d} {count:4d}  {module}")
    print(f"functions entered by one run: {alone.total()} in {len(alone)} modules")
    print(f"functions entered by its whole command: {command.total()} in {len(command)} modules")
    print(f"places that know a default: {len(places := knowing_a_default())} ({', '.join(sorted(places))})")
    print(f"parses of one text: at most {most} ({text!r})")


def _in_a_new_process(code: str) -> str:
    here = Path(__file__).parent
    asked = [sys.executable, "-c", f"import json, structure; {code}"]
    return subprocess.run(asked, cwd=here, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    main()
