"""Every solver by its name; one algorithm a file."""

from typing import Any

from nashgames.errors import NashGamesError, unknown
from nashgames.selection import bind, parameters_of, parse, render
from nashgames.solvers.adaptive_nash_mp import AdaptiveNashMP
from nashgames.solvers.average import Average
from nashgames.solvers.halves import Halves
from nashgames.solvers.mirror_descent import MirrorDescent
from nashgames.solvers.nash_mp import NashMP
from nashgames.solvers.nash_prox import NashProx
from nashgames.solvers.online_ipo import OnlineIPO
from nashgames.solvers.protocol import Solver
from nashgames.solvers.proximal_point import ProximalPoint
from nashgames.solvers.secant_nash_mp import SecantNashMP

SOLVERS: dict[str, type[Any]] = {
    "nash-mp": NashMP,
    "adaptive-nash-mp": AdaptiveNashMP,
    "secant-nash-mp": SecantNashMP,
    "nash-prox": NashProx,
    "proximal-point": ProximalPoint,
    "online-ipo": OnlineIPO,
    "mirror-descent": MirrorDescent,
}

__all__ = [
    "SOLVERS",
    "AdaptiveNashMP",
    "Average",
    "Halves",
    "MirrorDescent",
    "NashMP",
    "NashProx",
    "OnlineIPO",
    "ProximalPoint",
    "SecantNashMP",
    "Solver",
    "make_solver",
]


def make_solver(text: str) -> Solver:
    """The solver that `text` selects: `nash-mp`, `nash-prox[eta=0.05,inner=40]`, `average[mirror-descent]`.

    Raises NashGamesError for an unknown solver or parameter, or a number outside its range.
    """
    selection = parse(text)
    if selection.name == "average":
        if selection.parameters or len(selection.positional) != 1:
            raise NashGamesError(f"'{text}' does not say what to average; write average[SOLVER], e.g. average[nash-mp]")
        return Average(make_solver(selection.positional[0]))
    if selection.name == "halves":
        wrapped = make_solver(selection.positional[0]) if len(selection.positional) == 1 else None
        if selection.parameters or not isinstance(wrapped, NashMP):
            raise NashGamesError(
                f"'{text}' names no solver with half steps; write halves[nash-mp], or halves[nash-mp[eta=0.1]]"
            )
        return Halves(wrapped)
    if selection.name not in SOLVERS:
        raise unknown("solver", selection.name, [*SOLVERS, "average", "halves"])
    solver_class = SOLVERS[selection.name]
    solver: Solver = solver_class(**bind("solver", selection, parameters_of(solver_class)))
    check(solver)
    return solver


def hyperparameters(solver: Solver) -> dict[str, Any]:
    """The solver's numbers by their names (those of the wrapped solver for a wrapper); None where left to theory."""
    if isinstance(solver, Average | Halves):
        return hyperparameters(solver.solver)
    return dict(vars(solver))


def selection_of(solver: Solver) -> str:
    """The canonical text that selects this solver again."""
    if isinstance(solver, Average | Halves):
        return f"{type(solver).__name__.lower()}[{selection_of(solver.solver)}]"
    return render(solver.name, {k: v for k, v in hyperparameters(solver).items() if v is not None})


def check(solver: Solver) -> None:
    """Raise NashGamesError unless every number is finite and positive, `inner` whole and κ at most 1."""
    for key, value in hyperparameters(solver).items():
        if value is None:
            continue
        if not 0 < value < float("inf"):
            raise NashGamesError(f"{solver.name}[{key}] is {value:g}; accepted: a finite number above 0")
        if isinstance(value, int) and value >= 2**31:
            raise NashGamesError(f"{solver.name}[{key}] is {value}; accepted: an integer below {2**31}")
        if key == "memory" and value > 100:
            raise NashGamesError(f"{solver.name}[memory] is {value}; accepted: at most 100 queries")
        if key == "kappa" and value > 1:
            raise NashGamesError(f"{solver.name}[kappa] is {value:g}; accepted: a number in (0, 1]")
