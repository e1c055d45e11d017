"""Learning in preference games: exact equilibria, convergence curves, and the figures of a paper.

Importing this package imports nothing heavy, starts no backend and changes no JAX setting.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nashgames import games
    from nashgames.api import Result, load, read, report, solve, sweep
    from nashgames.core.game import Game, make_game
    from nashgames.errors import NashGamesError
    from nashgames.exact.referee import Equilibrium, equilibrium, equilibrium_path
    from nashgames.experiments.experiment import Experiment
    from nashgames.solvers import (
        EGPO,
        AdaptiveNashMP,
        ApproximateNashMP,
        Average,
        Halves,
        MirrorDescent,
        NashEMAPG,
        NashMD,
        NashMDPG,
        NashMP,
        NashProx,
        OnlineIPO,
        PracticalNashMP,
        ProximalPoint,
        SecantNashMP,
        Solver,
        UniformIPO,
        make_solver,
    )

_HOMES = {
    "AdaptiveNashMP": "solvers",
    "ApproximateNashMP": "solvers",
    "Average": "solvers",
    "EGPO": "solvers",
    "Equilibrium": "exact.referee",
    "Game": "core.game",
    "Halves": "solvers",
    "MirrorDescent": "solvers",
    "NashEMAPG": "solvers",
    "NashGamesError": "errors",
    "NashMD": "solvers",
    "NashMDPG": "solvers",
    "NashMP": "solvers",
    "NashProx": "solvers",
    "OnlineIPO": "solvers",
    "PracticalNashMP": "solvers",
    "ProximalPoint": "solvers",
    "Result": "api",
    "SecantNashMP": "solvers",
    "Solver": "solvers",
    "UniformIPO": "solvers",
    "equilibrium": "exact.referee",
    "equilibrium_path": "exact.referee",
    "Experiment": "experiments.experiment",
    "games": "games",
    "load": "api",
    "make_game": "core.game",
    "make_solver": "solvers",
    "read": "api",
    "report": "api",
    "solve": "api",
    "sweep": "api",
}

__all__ = [  # noqa: RUF022
    "games",
    "load",
    "make_game",
    "solve",
    "sweep",
    "read",
    "report",
    "equilibrium",
    "equilibrium_path",
    "make_solver",
    "AdaptiveNashMP",
    "ApproximateNashMP",
    "Average",
    "EGPO",
    "Halves",
    "MirrorDescent",
    "NashEMAPG",
    "NashMD",
    "NashMDPG",
    "NashMP",
    "NashProx",
    "OnlineIPO",
    "PracticalNashMP",
    "ProximalPoint",
    "SecantNashMP",
    "UniformIPO",
    "Equilibrium",
    "Experiment",
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
