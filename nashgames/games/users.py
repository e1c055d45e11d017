"""Games that users bring: `mine.py:MyGame[strength=2]`, or an entry point of a package in the group `nashgames.games`.

Such a game is a function that returns a `Game`, or a class whose objects have `make(…)` that does. It is called with
its own parameters, and with those of `actions`, `seed` and `beta` that it accepts.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nashgames import plugins
from nashgames.core.game import Game
from nashgames.errors import NashGamesError
from nashgames.registry import Registry, Selection, render

GAMES = Registry("game", {}, group="nashgames.games")
"""Empty: it is for games that users bring; families and tables have lists of their own."""

OF_THE_RUN = ("actions", "seed", "beta")

_ACTIONS = 100
"""n of a game that takes any and names no default, as of the families."""


@dataclass(frozen=True)
class UserGame:
    """What a run has to know of a game before it is made."""

    text: Selection
    default_actions: int | None
    takes_seed: bool
    takes_beta: bool
    brings_reference: bool
    fingerprint: str | None


def knows(name: str) -> bool:
    """Whether a name is `file.py:Name` or an entry point; nothing is imported."""
    return plugins.is_file_name(name) or name in GAMES.packaged()


def find(selection: Selection) -> UserGame:
    """The game that a selection names; NashGamesError where its code does not run, does not take the parameters or is
    that of a solver.
    """
    factory, values = GAMES.choose(selection)
    _check_no_solver(selection.name, factory)
    taken = _taken(factory)
    default = None
    if "actions" in taken:
        default = taken["actions"].default
        default = _ACTIONS if default in (None, inspect.Parameter.empty) else default
    name = selection.name
    return UserGame(
        render(name, values, GAMES.parameters(factory)),
        default,
        takes_seed="seed" in taken,
        takes_beta="beta" in taken,
        # A game that takes β may be built around its equilibrium π*_β, and then brings the reference.
        brings_reference="beta" in taken,
        fingerprint=plugins.fingerprint(name) if plugins.is_file_name(name) else None,
    )


def make(selection: Selection, *, actions: int | None, seed: int, beta: float) -> Game:
    """The game itself; NashGamesError, naming it, where its code raises or returns no game."""
    factory, values = GAMES.choose(selection)
    context = {"actions": actions, "seed": seed, "beta": beta}
    try:
        made = factory(**values, **{key: context[key] for key in _accepted(factory) if key not in values})
        if not isinstance(made, Game) and hasattr(made, "make"):
            made = made.make(**{key: context[key] for key in _accepted(made.make)})
    except NashGamesError:
        raise
    except (Exception, SystemExit) as error:
        raise NashGamesError(f"the game '{selection.name}' fails: {plugins.explained(error)}") from error
    if not isinstance(made, Game):
        _check_no_solver(selection.name, made)
        raise NashGamesError(
            f"'{selection.name}' is not a game: it returned {type(made).__name__}; name a function that returns a "
            "Game, as nashgames.make_game makes it, or a class whose make does"
        )
    named = made.description.name if made.description.name != "game" else selection.name
    described = vars(made.description) | {"name": named, "parameters": dict(made.description.parameters) or values}
    return made.replace(description=type(made.description)(**described))


def _check_no_solver(name: str, brought: Any) -> None:
    """Raise NashGamesError where what was named as a game has the mark of a solver."""
    if hasattr(brought, "queries_per_step"):
        raise NashGamesError(
            f"'{name}' is a solver, not a game; write nashgames run --solver {name}, or nashgames check {name}"
        )


def _taken(factory: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The parameters among `OF_THE_RUN` that the factory takes, or its method `make` where it is a class."""
    sources = [factory, *([factory.make] if hasattr(factory, "make") else [])]
    found: dict[str, inspect.Parameter] = {}
    for source in sources:
        parameters = inspect.signature(source).parameters
        found |= {key: parameters[key] for key in OF_THE_RUN if key in parameters}
    return found


def _accepted(factory: Callable[..., Any]) -> list[str]:
    return [key for key in OF_THE_RUN if key in inspect.signature(factory).parameters]
