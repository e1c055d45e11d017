"""Learning in preference games: exact equilibria, convergence curves, and the figures of a paper.

Importing this package imports nothing heavy, starts no backend and changes no JAX setting.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nashgames import generators as games
    from nashgames.api import Result, load, solve
    from nashgames.errors import NashGamesError
    from nashgames.game import Game, make_game
    from nashgames.referee import Equilibrium, equilibrium
    from nashgames.solvers import Average, MirrorDescent, NashMP, NashProx, OnlineIPO, Solver, make_solver

_HOMES = {
    "Average": "solvers",
    "Equilibrium": "referee",
    "Game": "game",
    "MirrorDescent": "solvers",
    "NashGamesError": "errors",
    "NashMP": "solvers",
    "NashProx": "solvers",
    "OnlineIPO": "solvers",
    "Result": "api",
    "Solver": "solvers",
    "equilibrium": "referee",
    "games": "generators",
    "load": "api",
    "make_game": "game",
    "make_solver": "solvers",
    "solve": "api",
}

__all__ = [  # noqa: RUF022
    "games",
    "load",
    "make_game",
    "solve",
    "equilibrium",
    "make_solver",
    "Average",
    "MirrorDescent",
    "NashMP",
    "NashProx",
    "OnlineIPO",
    "Equilibrium",
    "Game",
    "NashGamesError",
    "Result",
    "Solver",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_HOMES[name]}")
    return module if name == "games" else getattr(module, name)


def __dir__() -> list[str]:
    return __all__
