"""The same from a notebook: `solve(game, solvers)` → DataFrames and a figure."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
import pandas as pd

from nashgames.core.game import Game
from nashgames.engine.batch import Batch, Lane
from nashgames.errors import NashGamesError, unknown
from nashgames.exact.referee import Equilibrium, equilibrium
from nashgames.experiments.experiment import RECORDS, Experiment, content_hash
from nashgames.experiments.plan import settings_of
from nashgames.experiments.rows import Frames, Identity, frames_of
from nashgames.games import families, tables
from nashgames.learning.features import resolve_features
from nashgames.registry import render
from nashgames.solvers import (
    SOLVERS,
    Average,
    Halves,
    Sampled,
    compose,
    features_of,
    is_random,
    make_solver,
    parts_of,
    selection_of,
    step_source,
)
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
    if name in families.FAMILIES:
        return families.generate(text, actions=actions, seed=seed, dtype=dtype)
    if name not in tables.TABLES and not tables.is_path(text):
        raise unknown("game", name, [*families.FAMILIES, *tables.TABLES, "a path ending in .csv, .parquet or .npy"])
    if actions is not None:
        raise NashGamesError(f"actions is {actions}, but '{text}' has a size of its own; leave actions out")
    return tables.load(text, dtype=dtype)


def solve(
    game: Game,
    solvers: Solver | str | Iterable[Solver | str] | None = None,
    *,
    feedback: str = "exact",
    policy: str = "tabular",
    optimiser: str = "sgd",
    beta: float | None = None,
    seed: int = 0,
    seeds: int = 1,
    queries: int | None = None,
    comparisons: int | None = None,
    tolerance: float = 1e-10,
    records: int = RECORDS,
    record_every: int | None = None,
    dtype: str = "float64",
    device: str = "cpu",
) -> Result:
    """Run solvers, those of the default experiment unless given, until suboptimality `tolerance` or `queries` queries.

    β is the game's unless given; the budget is max(2000, 20/β) unless given. `feedback`, `policy` and `optimiser` are
    parts of every solver; a solver with a `learner` of its own keeps it where they are not given. On duels a run goes
    on to its budget (`comparisons` where given), and `seeds` many seeds are played. No JAX setting is changed.
    Raises NashGamesError for anything that does not exist or fit.
    """
    if not isinstance(game, Game):
        raise NashGamesError(
            f"the game is {_shown(game)}; give a Game, as from ng.load('castles'), ng.games.disc(actions=200) or "
            f"ng.make_game(margins)"
        )
    # The same numbers are accepted as in an experiment, and the same sentences refuse the others.
    parts = {"feedback": feedback, "policy": policy, "optimiser": optimiser}
    asked = Experiment.from_dict(
        {
            **parts,
            "beta": float(game.beta) if beta is None else beta,
            "seed": seed,
            "seeds": seeds,
            "queries": queries,
            "comparisons": comparisons,
            "tolerance": tolerance,
            "records": records if record_every is None or records != RECORDS else None,
            "record_every": record_every,
            "dtype": dtype,
            "device": device,
        }
    )
    settings = settings_of(asked)
    beta = asked.beta[0]
    game = game.replace(beta=beta)
    made = [_with_parts(solver, parts) for solver in _solvers(asked.solver if solvers is None else solvers)]
    found = equilibrium(game)
    known = found.log_policy if found.converged else np.full_like(found.log_policy, np.nan)
    variants = [solver.name for solver in made]
    uniform = np.ptp(game.log_reference) == 0
    collected: dict[str, Frames] = {}
    for solver in made:
        resolved = solver.with_theory_defaults(beta)
        seen = features_of(resolved)
        played = game if seen is None else game.replace(features=resolve_features(*seen, game, seed=0))
        identities = [
            Identity(
                run_id=_run_id(found, resolved, asked, each),
                game=_named(game, pinned=is_random(resolved)),
                reference="uniform" if uniform else "own",
                seed=each if is_random(resolved) or game.description.seed is None else game.description.seed,
                beta=beta,
                solver=resolved,
                label=solver.name if variants.count(solver.name) == 1 else selection_of(resolved),
                step_source=step_source(solver),
            )
            for each in range(asked.seed, asked.seed + (asked.seeds if is_random(resolved) else 1))
        ]
        if identities[0].run_id in collected:
            continue
        reference = np.asarray(game.log_reference)
        lanes = [Lane(resolved, beta, reference, known, asked.seed + i) for i in range(len(identities))]
        batch = Batch([played], [lanes], settings)
        while not batch.finished:
            batch.advance()
        collected[identities[0].run_id] = frames_of(batch, [played], [identities], [[found] * len(lanes)])
    names = ("runs", "curves", "policies", "paths")
    joined = {
        name: pd.concat([getattr(frames, name) for frames in collected.values()], ignore_index=True) for name in names
    }
    return Result(**joined, equilibrium=found)


def _named(game: Game, *, pinned: bool) -> str:
    """The text that selects the game, as in an experiment; `pinned` to its seed where that of the run is another."""
    name, parameters, seed = game.description.name, dict(game.description.parameters), game.description.seed
    accepted = families.FAMILIES[name].parameters if name in families.FAMILIES else None
    if pinned and seed is not None:
        parameters["seed"] = seed
    return render(name, parameters, accepted)


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
        return compose(make_solver(selection_of(given)), **parts_of(given))
    plain = jax.tree.map(lambda leaf: leaf.item() if np.size(leaf) == 1 and hasattr(leaf, "item") else leaf, given)
    for leaf in jax.tree.leaves(plain):
        if not isinstance(leaf, Real):
            raise NashGamesError(
                f"the solver '{given.name}' has {_shown(leaf)} among its numbers; mark a field that is no number as "
                f"static: field(metadata={{'static': True}})"
            )
    return plain


def _is_ours(solver: Solver) -> bool:
    if isinstance(solver, Average | Halves | Sampled):
        return _is_ours(solver.solver)
    return type(solver) in SOLVERS.values()


def _with_parts(solver: Solver, parts: dict[str, str]) -> Solver:
    """The solver with the parts that were given; those it brought where none was."""
    plain = {"feedback": "exact", "policy": "tabular", "optimiser": "sgd"}
    own = parts_of(solver)
    return compose(solver, **{key: own[key] if parts[key] == plain[key] else parts[key] for key in plain})


def _run_id(found: Equilibrium, solver: Solver, asked: Experiment, seed: int) -> str:
    """12 hex digits; π*_β stands for margins, reference and β, which it depends on."""
    content = asked.to_dict() | {
        "seed": seed,
        "parts": parts_of(solver),
        "game": hashlib.sha256(found.log_policy.tobytes()).hexdigest(),
        "solver": [type(solver).__qualname__, selection_of(solver)],
    }
    return content_hash(content)


def _shown(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}…"
