"""The same from a notebook: `solve(game, solvers)` → DataFrames and a figure."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
import pandas as pd

from nashgames import generators, tables
from nashgames.batch import Batch, Lane
from nashgames.errors import NashGamesError, unknown
from nashgames.experiment import RECORDS, Experiment, content_hash
from nashgames.game import Game
from nashgames.plan import settings_of
from nashgames.referee import Equilibrium, equilibrium
from nashgames.rows import Frames, Identity, frames_of
from nashgames.selection import render
from nashgames.solvers import SOLVERS, Average, Halves, hyperparameters, make_solver, selection_of
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
    text = str(selection)
    name = text.partition("[")[0].strip()
    if name in generators.FAMILIES:
        return generators.generate(text, actions=actions, seed=seed, dtype=dtype)
    if name not in tables.TABLES and not tables.is_path(text):
        raise unknown("game", name, [*generators.FAMILIES, *tables.TABLES, "a path ending in .csv, .parquet or .npy"])
    if actions is not None:
        raise NashGamesError(f"actions is {actions}, but '{text}' has a size of its own; leave actions out")
    return tables.load(text, dtype=dtype)


def solve(
    game: Game,
    solvers: Solver | str | Iterable[Solver | str] = Experiment.solver,
    *,
    beta: float | None = None,
    seed: int = 0,
    queries: int | None = None,
    tolerance: float = 1e-10,
    records: int = RECORDS,
    record_every: int | None = None,
    dtype: str = "float64",
    device: str = "cpu",
) -> Result:
    """Run solvers on one game until suboptimality `tolerance` or the budget of `queries`.

    β is the game's unless given; the budget is max(2000, 20/β) unless given. No JAX setting is changed.
    Raises NashGamesError for anything that does not exist or fit.
    """
    if not isinstance(game, Game):
        raise NashGamesError(
            f"the game is {_shown(game)}; give a Game, as from ng.load('castles'), ng.games.disc(actions=200) or "
            f"ng.make_game(margins)"
        )
    # The same numbers are accepted as in an experiment, and the same sentences refuse the others.
    asked = Experiment(
        beta=(float(game.beta) if beta is None else beta,),
        seed=seed,
        queries=queries,
        tolerance=tolerance,
        records=records,
        record_every=record_every,
        dtype=dtype,
        device=device,
    )
    settings = settings_of(asked)
    beta = asked.beta[0]
    game = game.replace(beta=beta)
    made = _solvers(solvers)
    found = equilibrium(game)
    known = found.log_policy if found.converged else np.full_like(found.log_policy, np.nan)
    variants = [solver.name for solver in made]
    uniform = np.ptp(game.log_reference) == 0
    collected: dict[str, Frames] = {}
    for solver in made:
        resolved = solver.with_theory_defaults(beta)
        identity = Identity(
            run_id=_run_id(found, resolved, asked),
            game=_named(game),
            reference="uniform" if uniform else "own",
            seed=asked.seed if game.description.seed is None else game.description.seed,
            beta=beta,
            solver=resolved,
            label=solver.name if variants.count(solver.name) == 1 else selection_of(resolved),
            step_source="given" if any(v is not None for v in hyperparameters(solver).values()) else "theory",
        )
        if identity.run_id in collected:
            continue
        lane = Lane(resolved, beta, np.asarray(game.log_reference), known, asked.seed)
        batch = Batch([game], [[lane]], settings)
        while not batch.finished:
            batch.advance()
        collected[identity.run_id] = frames_of(batch, [game], [[identity]], [[found]])
    names = ("runs", "curves", "policies", "paths")
    joined = {
        name: pd.concat([getattr(frames, name) for frames in collected.values()], ignore_index=True) for name in names
    }
    return Result(**joined, equilibrium=found)


def _named(game: Game) -> str:
    """The text that selects the game, as in an experiment."""
    name = game.description.name
    accepted = generators.FAMILIES[name].parameters if name in generators.FAMILIES else None
    return render(name, game.description.parameters, accepted)


def _solvers(given: Any) -> list[Solver]:
    """The solvers as objects whose numbers are plain; NashGamesError for what is no solver."""
    several = isinstance(given, Iterable) and not isinstance(given, str)
    made = [_solver(solver) for solver in (given if several else [given])]
    if not made:
        raise NashGamesError(f"no solver is given; give at least one of: {', '.join(SOLVERS)}")
    return made


def _solver(given: Any) -> Solver:
    if isinstance(given, str):
        return make_solver(given)
    if isinstance(given, type):
        raise NashGamesError(f"a solver is {_shown(given)}, a class; give an object of it: {given.__name__}()")
    if not isinstance(given, Solver):
        missing = [name for name in vars(Solver) if not name.startswith("_") and not hasattr(given, name)]
        raise NashGamesError(
            f"a solver is {_shown(given)}, which has no {', '.join(missing)}; give a name ({', '.join(SOLVERS)}) or an "
            f"object with the methods of ng.Solver"
        )
    if jax.tree_util.all_leaves([given]):
        raise NashGamesError(
            f"the solver '{given.name}' is no pytree; put @jax.tree_util.register_dataclass over its frozen dataclass"
        )
    if _is_ours(given):
        # Through its text: that types and checks its numbers as on the command line.
        return make_solver(selection_of(given))
    plain = jax.tree.map(lambda leaf: leaf.item() if np.size(leaf) == 1 and hasattr(leaf, "item") else leaf, given)
    for leaf in jax.tree.leaves(plain):
        if not isinstance(leaf, Real):
            raise NashGamesError(
                f"the solver '{given.name}' has {_shown(leaf)} among its numbers; mark a field that is no number as "
                f"static: field(metadata={{'static': True}})"
            )
    return plain


def _is_ours(solver: Solver) -> bool:
    if type(solver) is Average or type(solver) is Halves:
        return _is_ours(solver.solver)
    return type(solver) in SOLVERS.values()


def _run_id(found: Equilibrium, solver: Solver, asked: Experiment) -> str:
    """12 hex digits; π*_β stands for margins, reference and β, which it depends on."""
    content = asked.to_dict() | {
        "game": hashlib.sha256(found.log_policy.tobytes()).hexdigest(),
        "solver": [type(solver).__qualname__, selection_of(solver)],
    }
    return content_hash(content)


def _shown(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}…"
