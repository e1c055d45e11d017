"""What a user's Python file brings, games and solvers, verified with the file that the user names."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from nashgames import plugins
from nashgames.errors import NashGamesError
from nashgames.experiments.experiment import Experiment
from nashgames.experiments.sources import Source, find_again, find_source
from nashgames.games import families, tables, users
from nashgames.store import Results


def named_files(code: Iterable[str | Path]) -> dict[str, Path]:
    """The files that may run, by name without their folders.

    Raises NashGamesError for a file that is not there or no Python file, and for two of one name.
    """
    files: dict[str, Path] = {}
    for given in code:
        path = Path(given)
        if path.suffix != ".py" or not path.is_file():
            raise NashGamesError(f"code is '{given}'; accepted: a Python file that is there, as in mine.py")
        if files.setdefault(path.name, path) != path:
            raise NashGamesError(f"code names two files '{path.name}': {files[path.name]} and {path}; give one of them")
    return files


def source_of(game: str, told: str | None, results: Results, files: Mapping[str, Path]) -> Source:
    """The source of a row's game, of which it was `told` the fingerprint; a table is read from the copy in `results`.

    That of `mine.py:MyGame` runs the file of this name in `files`, wherever it lies now. Raises NashGamesError for a
    game that does not exist, for a file that has changed, and for the Python file of a row that is not in `files`.
    """
    name, bracket, parameters = game.partition("[")
    file, _, kind = name.rpartition(":")
    if not plugins.is_file_name(name) or Path(file).name not in files:
        return find_again(game, told, results.game_file(told))
    source = find_source(f"{files[Path(file).name]}:{kind}{bracket}{parameters}")
    if told not in (None, source.fingerprint):
        raise NashGamesError(
            f"the file of '{game}' has changed since it was played; verify it with the file as it was then"
        )
    return source


def sources_of(
    experiment: Experiment, told: Mapping[str, str], results: Results, files: Mapping[str, Path]
) -> dict[str, Source]:
    """The sources of an experiment's games by their texts; tables are read from the copies in `results`.

    `told` has the fingerprints of tables by the text in their rows. Raises NashGamesError for a game that is not there
    any more, and for code, also of a solver, in a file that is not in `files`: before it runs.
    """
    for field in ("game", "solver", "feedback", "policy", "optimiser"):
        for text in experiment.every(field):
            _check_named(field, text, files)
    return {text: _source(text, told, results) for text in experiment.every("game")}


def _source(text: str, told: Mapping[str, str], results: Results) -> Source:
    name = text.partition("[")[0].strip()
    if name in families.FAMILIES or users.knows(name) or not tables.is_path(text):
        return find_source(text)
    # As it would be called with a copy at hand: rows call it that.
    fingerprint = told.get(find_again(text, None, Path()).text)
    return find_again(text, fingerprint, results.game_file(fingerprint))


def _check_named(field: str, text: str, files: Mapping[str, Path]) -> None:
    """Raise NashGamesError where a text brings code of a Python file that the user did not name."""
    for part in re.split(r"[\[\],]", text):
        if plugins.is_file_name(part):
            file = Path(part.strip().rpartition(":")[0]).expanduser()
            named = files.get(file.name)
            if named is None or named.resolve() != file.resolve():
                raise NashGamesError(f"the {field} {part.strip()} is code of a Python file; name it with --code {file}")
