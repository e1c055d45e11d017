"""The sources of games and references: what a text names, now or when stored rows are read."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nashgames import plugins
from nashgames.core.game import DEFAULT_BETA, Game
from nashgames.core.margins import restored
from nashgames.defaults import AUTO, UNLISTED
from nashgames.errors import NashGamesError, unknown
from nashgames.games import families, tables, users
from nashgames.games.tables.files import REFERENCE_SUFFIXES, fingerprint, locate
from nashgames.learning.references import REFERENCES, resolve_reference, unknown_reference
from nashgames.registry import Selection, bind, parse, render

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Source:
    """The source of a game: its canonical text, which settings of a run it depends on, and whether the reference is
    part of it.

    `default_actions` is n unless given, None where the game has its own size; `fingerprint` is a hash of a file's
    bytes, of the code in a file, or of a game object that is `given`. `file` is where the data of a table is read.
    `generated` is one of a family of ours, `coded` one that code of the user's makes; `size` is its n where its
    parameters determine it, and `form` the formula of its margins where they have one.
    """

    text: Selection
    default_actions: int | None = None
    contexts: int = 1
    takes_seed: bool = False
    takes_beta: bool = False
    brings_reference: bool = False
    fingerprint: str | None = None
    given: Game | None = field(default=None, compare=False)
    file: Path | None = field(default=None, compare=False)
    generated: bool = field(default=False, compare=False)
    coded: bool = field(default=False, compare=False)
    size: int | None = field(default=None, compare=False)
    form: families.Form | None = field(default=None, compare=False)

    def storage(self, actions: int | None, asked: str) -> str:
        """The storage of the margins, `auto` for that which a game of a user's has; NashGamesError for one that the
        game cannot have.
        """
        if self.generated:
            return families.storage_of(asked, self.form, actions or self.size or 0, str(self.text))
        if self.given is not None and self.given.margins.storage == UNLISTED and asked == AUTO:
            return UNLISTED
        if self.given is not None or self.coded:
            return asked
        # A table is as large as its file: dense.
        return families.storage_of(asked, None, 0, str(self.text))

    def actions(self, asked: int | None) -> int | None:
        """n: as asked, else the usual; None where the game tells it once it is made."""
        return self.size if self.default_actions is None else asked or self.default_actions

    def nbytes(self, actions: int, storage: str, dtype_bytes: int) -> int:
        """Bytes of the margins in a storage; of a game that a user may store in any way, as if they were dense."""
        return families.bytes_of(
            "dense" if storage == AUTO else storage, self.form, actions, self.contexts, dtype_bytes
        )

    def check_fits(self, asked: int | None, storage: str, dtype: Any) -> None:
        """Raise NashGamesError where margins of which size and storage are known will not fit into memory."""
        actions = self.actions(asked)
        if actions is not None and storage != AUTO:
            what = "" if self.size is None else f"{self.text} with its {families.count_text(actions)} actions"
            families.check_fits(actions, self.contexts, dtype, storage, self.form, what=what)

    def make(self, actions: int | None, seed: int, beta: float, dtype: str, storage: str = AUTO) -> Game:
        """The game itself, of the default size where `actions` is None."""
        actions = self.default_actions if actions is None else actions
        if self.generated:
            return families.generate(self.text, actions=actions, seed=seed, beta=beta, dtype=dtype, storage=storage)
        if self.given is not None:
            made = self.given
        elif self.coded:
            made = users.make(self.text, actions=actions, seed=seed, beta=beta)
        else:
            made = tables.load(self.text, dtype=dtype, file=self.file)
        return made if storage == AUTO else made.replace(margins=restored(made.margins, storage))


ReferenceKey = tuple[str, int]
"""What a reference depends on beside the game: its text, and the seed where it is drawn, else 0."""


def find_source(text: str, *, code: bool = True) -> Source:
    """The source that a game's selection names; NashGamesError for an unknown name or parameter or a missing file.

    With `code=False` a game that a Python file brings is refused: the file runs only where its user named it.
    """
    name = text.partition("[")[0].strip()
    if name in families.FAMILIES:
        selection = parse(text)
        family = families.FAMILIES[name]
        values = families.given_to(family, selection)
        told = {key: parameter.default for key, parameter in family.parameters.items()} | values
        return Source(
            render(name, values, family.parameters),
            default_actions=family.default_actions if family.takes_actions else None,
            contexts=int(told.get("contexts", 1)),
            takes_seed=family.takes_seed and "seed" not in values,
            takes_beta=family.takes_beta and "beta" not in values,
            brings_reference=family.brings_reference,
            generated=True,
            size=None if family.size is None else family.size(**told),
            form=family.form(**told),
        )
    if name in tables.TABLES:
        accepted = tables.TABLES[name].parameters
        return Source(render(name, bind("game", parse(text), accepted), accepted))
    if users.knows(name):
        if not code and plugins.is_file_name(name):
            raise NashGamesError(
                f"the game '{name}' is made by a Python file, which runs only where its user names it: "
                f"nashgames verify takes it with --code {name.rpartition(':')[0]}"
            )
        return Source(**vars(users.find(parse(text))), coded=True)
    if name.endswith(".py"):
        users.GAMES.find(name)
    if tables.is_path(text):
        file = locate(tables.path_selection(text).name)
        return _table(text, file, fingerprint(file))
    raise unknown("game", name, [*families.FAMILIES, *tables.TABLES, "a path ending in .csv, .parquet or .npy"])


def find_again(text: str, told: str | None, kept: Path | None, *, code: bool = False) -> Source:
    """The source of the game that stored rows name; `told` is their `game_fingerprint`.

    A table is read from the copy `kept` with the results (`Results.game_file`) where there is one. Where there is none,
    NashGamesError is raised also for a table that has changed since.
    """
    if kept is not None:
        return _table(text, kept, told)
    source = find_source(text, code=code)
    if source.file is not None and (changed := changed_since(text, told)):
        raise NashGamesError(f"{changed}, and no copy was kept; restore the old file or play the runs again")
    return source


def game_of(run: "pd.Series[Any]", game_file: Callable[[str | None], Path | None]) -> Game:
    """The game of a row of runs made again, in float64 and with its own reference; `game_file` as that of `Results`."""
    told = run["game_fingerprint"] if isinstance(run["game_fingerprint"], str) else None
    source = find_again(run["game"], told, game_file(told))
    size = None if source.default_actions is None else int(run["n"])
    return source.make(size, int(run["seed"]), float(run["beta"]) or DEFAULT_BETA, "float64", run["storage"])


def with_reference(game: Game, run: "pd.Series[Any]") -> Game:
    """The game with the reference that a row of runs names."""
    return game.replace(log_reference=resolve_reference(str(run["reference"]), game, int(run["seed"])))


def changed_since(text: str, told: str | None) -> str | None:
    """The sentence where the file of a game differs from that of stored rows, whose fingerprint is `told`. None where
    it is the same, is missing, or no fingerprint is stored.
    """
    try:
        now = fingerprint(locate(name := tables.path_selection(text).name))
    except NashGamesError:
        return None
    return f"'{name}' has changed since (fingerprint {told} → {now})" if told not in (None, now) else None


def _table(text: str, file: Path, told: str | None) -> Source:
    path = tables.path_selection(text)
    return Source(render(path.name, bind("table", path, tables.PARAMETERS)), fingerprint=told, file=file)


def reference_key(reference: str, seed: int) -> ReferenceKey:
    """What a reference depends on beside the game: its text, and the seed where it is drawn, else 0."""
    known = REFERENCES.get(reference.partition("[")[0])
    drawn = known is not None and known.drawn and "seed" not in parse(reference).parameters
    return (reference, seed if drawn else 0)


def find_reference(text: str) -> tuple[Selection, str | None]:
    """The canonical text of a reference, and for a file the hash of its bytes; NashGamesError for an unknown one."""
    name = text.partition("[")[0].strip()
    if name in REFERENCES:
        accepted = REFERENCES[name].parameters
        return render(name, bind("reference", parse(text), accepted), accepted), None
    if tables.is_path(text):
        return Selection(text, text, {}), fingerprint(locate(text, REFERENCE_SUFFIXES))
    raise unknown_reference(text)
