"""External solvers: the equilibria that other programs find, to check the referee and the solvers.

`gambit` traces logit quantal response equilibria and answers for β > 0; `highs` and `mpax` solve a linear program and
answer for β = 0. What these packages say to warnings and loggers stays here.
"""

import importlib
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Annotated, Any

import numpy as np

from nashgames.core.game import Game
from nashgames.errors import NashGamesError, unknown
from nashgames.memory import check_memory
from nashgames.registry import Choice, Number, Parameter, bind, parameters_of, parse

# Relative distance of two λ: their points are exact to 1e-16, so the slope between them is known to 1e-11, and the
# branch bends by no more than the square of it.
_APART = 1e-5
# A λ further from the one asked for than this is another point of the branch: its own error is 1e-9.
_OFF_TARGET = 1e-6
# MPAX's code of the termination status OPTIMAL.
_OPTIMAL = 2
# A as one array, its blocks while they are joined, and the constraints that a program makes of it.
_ARRAYS = 3


@dataclass(frozen=True)
class ExternalSolver:
    """An external program: `find(margins, log_reference, beta, **parameters)` is a policy, not yet normalised.

    `regularised` says whether it answers for β > 0 or for β = 0; `most_actions` is the largest n that it is asked for.
    """

    name: str
    find: Callable[..., np.ndarray]
    regularised: bool
    most_actions: int | None = None

    @property
    def parameters(self) -> dict[str, Parameter]:
        """The typed, documented parameters in order."""
        return parameters_of(self.find)


def solve(name: str, margins: np.ndarray, log_reference: np.ndarray, beta: float) -> np.ndarray:
    """An equilibrium π `[n]`, float64 and normalised, of the game A `[n, n]` with log μ `[n]` at β, as it finds it.

    `name` selects one of EXTERNAL_SOLVERS: `gambit`, `highs[method=ds]`, `mpax[tolerance=1e-6]`.
    At β > 0 the equilibrium is π*_β (theory §1); at β = 0 it is whichever one of the original game the program meets.

    Raises NashGamesError for an unknown solver or parameter, a package that is not installed, a β or an n that is not
    for this solver, and a search that did not converge.
    """
    margins, log_reference = np.asarray(margins, np.float64), np.asarray(log_reference, np.float64)
    n = margins.shape[-1]
    found, values = _able(name, n, beta)
    if margins.shape != (n, n) or log_reference.shape != (n,):
        raise NashGamesError(
            f"the external solver '{found.name}' was given margins {list(margins.shape)} and a reference "
            f"{list(log_reference.shape)}; accepted: [n, n] and [n], one context at a time"
        )
    with _undisturbed():
        policy = np.maximum(found.find(margins, log_reference, beta, **values), 0.0)
    if not np.isfinite(policy).all() or policy.sum() == 0:
        raise NashGamesError(
            f"the external solver '{found.name}' found no policy for this game; use another external solver"
        )
    return policy / policy.sum()


def solve_game(name: str, game: Game, beta: float) -> np.ndarray:
    """log π of an equilibrium of `game` at β, `[n]`, `[m, n]` over contexts, as `solve` finds it; −inf where π_i is 0.

    The reference is the game's. Raises NashGamesError as `solve` does, and where the arrays of such a program do not
    fit into memory.
    """
    n = game.actions
    _able(name, n, beta)
    check_memory(_ARRAYS * n * n * np.dtype(np.float64).itemsize, f"an external solver of {n:,} actions")
    log_references = np.asarray(game.log_reference, np.float64).reshape(game.contexts, n)
    found = []
    for x, log_reference in enumerate(log_references):
        blocks = [rows.astype(np.float64) for _, rows in game.margins.of_context(x).blocks()]
        found.append(solve(name, np.concatenate(blocks), log_reference, beta))
    with np.errstate(divide="ignore"):
        return np.log(np.stack(found)).reshape(np.shape(game.log_reference))


def _able(name: str, n: int, beta: float) -> tuple[ExternalSolver, dict[str, Any]]:
    """The external solver with its parameters, where it exists and answers for games of n actions at β."""
    selection = parse(name)
    if selection.name not in EXTERNAL_SOLVERS:
        raise unknown("external solver", selection.name, EXTERNAL_SOLVERS)
    found = EXTERNAL_SOLVERS[selection.name]
    values = bind("external solver", selection, found.parameters)
    if not 0 <= beta < np.inf:
        raise NashGamesError(f"beta is {beta:g}; accepted: a finite number of at least 0")
    if found.regularised != (beta > 0):
        takes, others = ("above 0", "0") if found.regularised else ("0", "above 0")
        able = [other.name for other in EXTERNAL_SOLVERS.values() if other.regularised != found.regularised]
        raise NashGamesError(
            f"beta is {beta:g}, but the external solver '{found.name}' answers for beta {takes} only; "
            f"for beta {others} use {' or '.join(able)}"
        )
    if found.most_actions is not None and n > found.most_actions:
        raise NashGamesError(
            f"the game has {n:,} actions, but the external solver '{found.name}' is asked for at most "
            f"{found.most_actions}; give it a smaller game"
        )
    return found, values


def _gambit(margins: np.ndarray, log_reference: np.ndarray, beta: float) -> np.ndarray:
    """The logit QRE at λ = 1/β of the bimatrix game (A + β log μ 1ᵀ, its transpose), which has π*_β for both players.

    The branch points are exact to rounding, but their λ is off by up to 1e-9: π is interpolated between two of them.
    """
    game_class, qre = _package("gambit", "pygambit").Game, _package("gambit", "pygambit.qre")
    payoffs = margins + beta * log_reference[:, None]
    game = game_class.from_arrays(payoffs, payoffs.T)
    player, wanted = next(iter(game.players)), 1 / beta
    points = qre.logit_solve_lambda(game, lam=[wanted, wanted * (1 + _APART)])
    at = [point.lam for point in points]
    if len(at) != 2 or abs(at[0] / wanted - 1) > _OFF_TARGET or abs(at[1] - at[0]) < _OFF_TARGET * wanted:
        raise NashGamesError(
            f"gambit did not follow the branch of equilibria to beta {beta:g}; ask it for a larger beta"
        )
    first, second = (np.array([float(p) for _, p in point.profile[player]]) for point in points)
    return first + (second - first) * (wanted - at[0]) / (at[1] - at[0])


def _highs(
    margins: np.ndarray,
    log_reference: np.ndarray,
    beta: float,
    *,
    method: Annotated[str, Choice("ds, the dual simplex, or ipm, interior point with crossover", ("ds", "ipm"))] = "ds",
) -> np.ndarray:
    """A vertex of the equilibria: min v with Aπ ≤ v, Σπ = 1, π ≥ 0; the value is 0, and the reference plays no part."""
    optimize = _package("highs", "scipy.optimize")
    n = len(margins)
    found = optimize.linprog(
        np.append(np.zeros(n), 1.0),
        A_ub=np.column_stack([margins, -np.ones(n)]),
        b_ub=np.zeros(n),
        A_eq=np.append(np.ones(n), 0.0)[None],
        b_eq=[1.0],
        bounds=[(0, None)] * n + [(None, None)],
        method=f"highs-{method}",
    )
    if found.status != 0:
        raise NashGamesError(
            f"highs did not finish ({found.message.strip()}); try highs[method=ipm] or another external solver"
        )
    return found.x[:n]


def _mpax(
    margins: np.ndarray,
    log_reference: np.ndarray,
    beta: float,
    *,
    # Exploitability 5e-10 at n = 101, where a check asks for 1e-6, in less than 10,000 iterations: fifty times as many
    # are for games that are worse.
    tolerance: Annotated[
        float, Number("residuals and gap, relative and absolute, at which it stops", above=0, below=1)
    ] = 1e-8,
    iterations: Annotated[int, Number("iterations after which it gives up", least=1)] = 500_000,
) -> np.ndarray:
    """An equilibrium by r2HPDHG in float64, for the linear program of `highs`."""
    mpax = _package("mpax", "mpax")
    import jax  # the other external solvers need none

    from nashgames.core.precision import Precision

    n = len(margins)
    # MPAX adds ranks and kinds of numbers as JAX does where nobody made it strict.
    with Precision("float64").scope(), jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        ones, zeros = jax.numpy.ones, jax.numpy.zeros
        program = mpax.create_lp(
            zeros(n + 1).at[n].set(1.0),
            ones((1, n + 1)).at[0, n].set(0.0),
            ones(1),
            jax.numpy.asarray(np.column_stack([-margins, np.ones(n)])),
            zeros(n),
            zeros(n + 1).at[n].set(-1.0),
            ones(n + 1),
            use_sparse_matrix=False,
        )
        settings = mpax.r2HPDHG(eps_abs=tolerance, eps_rel=tolerance, iteration_limit=iterations)
        found = settings.optimize(program)
        if int(found.termination_status) != _OPTIMAL:
            raise NashGamesError(
                f"mpax did not reach tolerance {tolerance:g} in {int(found.iteration_count):,} iterations; "
                f"give it more: mpax[iterations={2 * iterations}]"
            )
        return np.asarray(found.primal_solution)[:n]


EXTERNAL_SOLVERS: dict[str, ExternalSolver] = {
    "gambit": ExternalSolver("gambit", _gambit, regularised=True, most_actions=200),
    "highs": ExternalSolver("highs", _highs, regularised=False),
    "mpax": ExternalSolver("mpax", _mpax, regularised=False),
}


def _package(solver: str, name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise NashGamesError(
            f"the external solver '{solver}' cannot be imported here ({error}); "
            "install it with pip install 'nashgames[external]'"
        ) from None


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Inside: warnings are silent; afterwards the root logger, which MPAX takes for itself, is the caller's again."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            root.handlers[:] = handlers
            root.setLevel(level)
