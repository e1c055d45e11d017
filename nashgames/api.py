"""The same from a notebook: `solve(game, solvers)` → DataFrames and a figure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from nashgames import generators, tables
from nashgames.batch import Batch, Lane, Settings
from nashgames.errors import NashGamesError
from nashgames.game import Game, check_beta
from nashgames.precision import Precision
from nashgames.referee import Equilibrium, equilibrium
from nashgames.rows import Frames, Identity, frames_of
from nashgames.selection import render
from nashgames.solvers import SOLVERS, check, make_solver, selection_of
from nashgames.solvers.protocol import Solver

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Result:
    """Solved runs as tidy DataFrames (columns as on disk), and the equilibrium they are compared with.

    `runs` has a row a run, `curves` a row a point, `policies` a row an action of the last iterate, `paths` a row an
    action of a recorded iterate, for games of three actions.
    """

    runs: pd.DataFrame
    curves: pd.DataFrame
    policies: pd.DataFrame
    paths: pd.DataFrame
    equilibrium: Equilibrium

    def plot(self, distance: str = "suboptimality") -> "Figure":
        """The convergence curves of any column of `curves` against queries."""
        from nashgames.plots import convergence

        return convergence(self.curves, self.runs, distance=distance)


def load(selection: str, *, actions: int | None = None, seed: int = 0, dtype: str = "float64") -> Game:
    """The game of this name: a family (`disc[strength=2]`), a real game (`castles`), or a path (`wins.csv`)."""
    if selection.partition("[")[0].strip() in generators.FAMILIES:
        return generators.generate(selection, actions=actions, seed=seed, dtype=dtype)
    if actions is not None:
        raise NashGamesError(f"actions is {actions}, but '{selection}' has a size of its own; leave actions out")
    return tables.load(selection, dtype=dtype)


def solve(
    game: Game,
    solvers: Solver | str | Sequence[Solver | str] = tuple(SOLVERS),
    *,
    beta: float | None = None,
    seed: int = 0,
    queries: int | None = None,
    tolerance: float = 1e-10,
    records: int = 200,
    record_every: int | None = None,
    dtype: str = "float64",
    device: str = "cpu",
) -> Result:
    """Run solvers on one game until suboptimality `tolerance` or the budget of `queries`.

    β is the game's unless given; the budget is max(2000, 20/β) unless given. No JAX setting is changed.
    Raises NashGamesError for anything that does not exist or fit.
    """
    game = game if beta is None else game.replace(beta=beta)
    beta = float(game.beta)
    check_beta(beta)
    settings = Settings(queries, tolerance, records, record_every, Precision(dtype, device))
    asked = [solvers] if isinstance(solvers, str) or not isinstance(solvers, Sequence) else list(solvers)
    made = [make_solver(solver) if isinstance(solver, str) else solver for solver in asked]
    found = equilibrium(game)
    variants = [solver.name for solver in made]
    collected: list[Frames] = []
    for number, solver in enumerate(made):
        check(solver)
        resolved = solver.with_theory_defaults(beta)
        lane = Lane(resolved, beta, np.asarray(game.log_reference), found.log_policy, seed)
        batch = Batch([game], [[lane]], settings)
        while not batch.finished:
            batch.advance()
        identity = Identity(
            run_id=f"{number:012x}",
            game=render(game.description.name, game.description.parameters),
            reference="own",
            seed=seed if game.description.seed is None else game.description.seed,
            beta=beta,
            solver=resolved,
            label=solver.name if variants.count(solver.name) == 1 else selection_of(resolved),
            step_source="theory" if solver != resolved else "given",
        )
        collected.append(frames_of(batch, [game], [[identity]], [[found]]))
    names = ("runs", "curves", "policies", "paths")
    joined = {name: pd.concat([getattr(frames, name) for frames in collected], ignore_index=True) for name in names}
    return Result(**joined, equilibrium=found)
