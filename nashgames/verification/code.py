"""Games that a user's Python file makes, verified with the file that the user names."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from nashgames import plugins
from nashgames.errors import NashGamesError
from nashgames.experiments.sources import Source, find_again, find_source
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
