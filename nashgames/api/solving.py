"""`solve(game, solvers)` → DataFrames and a figure."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from nashgames.api.given import (
    as_tuple,
    beta_of,
    by_name,
    draws_start,
    games_of,
    is_uniform,
    solver_of,
    solvers_of,
    sources_of,
)
from nashgames.api.results import Result
from nashgames.core.game import Game
from nashgames.defaults import AUTO, PARTS, START, TARGET
from nashgames.engine.settings import Settings
from nashgames.exact.referee import Equilibrium
from nashgames.experiments.choice import choices
from nashgames.experiments.events import Refereed
from nashgames.experiments.experiment import RECORDS, Experiment
from nashgames.experiments.plan import plan, plan_trials, settings_of
from nashgames.experiments.playing import Failed, play
from nashgames.experiments.rows import Frames
from nashgames.experiments.run import Run
from nashgames.experiments.sources import Source
from nashgames.experiments.tuning import as_both, choose
from nashgames.solvers.protocol import Solver


def solve(
    game: Game | str | Iterable[Game | str],
    solvers: Solver | str | Iterable[Solver | str] | None = None,
    *,
    feedback: str | Iterable[str] = PARTS["feedback"],
    policy: str | Iterable[str] = PARTS["policy"],
    optimiser: str | Iterable[str] = PARTS["optimiser"],
    beta: float | Iterable[float] | None = None,
    actions: int | Iterable[int] | None = None,
    reference: str | Iterable[str] | None = None,
    seed: int | None = None,
    seeds: int = 1,
    start: str = START,
    queries: int | None = None,
    comparisons: int | None = None,
    tolerance: float = 1e-10,
    target: str = TARGET,
    records: int = RECORDS,
    record_every: int | None = None,
    tune: str | Iterable[str] | Mapping[str, Any] | None = None,
    dtype: str = "float64",
    device: str = "cpu",
    storage: str = AUTO,
) -> Result:
    """Run solvers on games, each until the suboptimality is at most `tolerance` or `queries` queries are made.

    Whatever takes several values on the command line takes them here. No JAX setting is changed.

    Args:
        game: one game or several, from `load`, `make_game` or a family of `nashgames.games`, or by name
        solvers: solvers, or texts that select them (`nash-mp[eta=0.2]`, `online-ipo[step=0.1:10:5]`), one or several;
            those of the default experiment unless given
        feedback: what a query returns: `exact`, or `duels[batch=100]`
        policy: what policy gradients move: `tabular`, `log-linear[…]` or `mlp[…]`; a solver object with a learner of
            its own keeps it where this is not given
        optimiser: how they move it: `sgd`, `natural` or `adam`
        beta: β, one or several; that of the game unless given, 0 for the original game
        actions: n, one or several, of games by name whose size is free
        reference: μ, one or several, as `uniform` or `tilted[span=2]`; that of the game unless given
        seed: the first seed; 0 unless given, or the game's own where nothing is drawn during a run
        seeds: number of seeds
        start: the first policy: `reference`, or near the `equilibrium[distance=0.001]`
        queries: the most queries of a run; max(2000, 20/β) unless given, 20,000 at β = 0
        comparisons: on duels, the most comparisons instead; a run on duels always uses all of them
        tolerance: suboptimality (at β = 0 exploitability) at which a run on exact feedback stops
        target: `regularised`, or `original` to stop by the exploitability in the original game
        records: number of recorded points per curve, log-spaced
        record_every: record every so many steps instead
        tune: play every solver at the best of several steps: `auto`, or ranges such as `step=1e-3:10:8`; on exact
            feedback they are tried on this same game
        dtype: `float64` or `float32`
        device: `cpu` or `gpu`
        storage: how the margins are kept: `auto`, or a name that `nashgames list storages` shows

    Returns:
        The runs as DataFrames, a figure, and the exact equilibrium.

    Raises:
        NashGamesError: for anything that does not exist or fit, and for a solver that reports what is not so.

    Example:
        >>> import nashgames as ng
        >>> game = ng.games.weighted_cycle(a12=0.4, a23=0.3, a31=0.2)
        >>> result = ng.solve(game, ["nash-mp", "mirror-descent"], beta=0.2, tolerance=1e-8)
        >>> list(result.runs["status"])
        ['converged', 'converged']
    """
    games = games_of(game)
    given = [each for each in games if isinstance(each, Game)]
    parts = {"feedback": feedback, "policy": policy, "optimiser": optimiser}
    at = beta_of(given) if beta is None else beta
    if solvers is None:
        solvers = Experiment.from_dict({**parts, "beta": at}).solver
    made = [solver_of(solver) for solver in solvers_of(solvers)]
    own_seed = given[0].description.seed if len(games) == len(given) == 1 else None
    exact = as_tuple(feedback) == (PARTS["feedback"],)
    draws = not exact or any(draws_start(solver, each) for solver in made for each in as_tuple(policy))
    named = by_name(made)
    usual = "uniform" if len(given) == len(games) and all(map(is_uniform, given)) else "own"
    # The same numbers are accepted as in an experiment, and the same sentences refuse the others.
    asked = Experiment.from_dict(
        {
            **parts,
            "solver": list(named),
            "reference": usual if reference is None else reference,
            "beta": at,
            "actions": actions,
            "seed": own_seed if seed is None and not draws else seed,
            "seeds": seeds,
            "start": start,
            "queries": queries,
            "comparisons": comparisons,
            "tolerance": tolerance,
            "target": target,
            "records": records if record_every is None or records != RECORDS else None,
            "record_every": record_every,
            "tune": tune,
            "dtype": dtype,
            "device": device,
            "storage": storage,
        }
    )
    settings = settings_of(asked)
    settings.precision.jax_device()
    sources = sources_of(games, asked.beta[0], pinned=asked.seed != own_seed or draws)
    asked = Experiment.from_dict(asked.to_dict() | {"game": list(sources)})
    played = _Played(settings, asked, sources.values())
    trials, _ = plan_trials(asked, settings, sources=sources, solvers=named)
    played.play(trials)
    chosen = choose(trials, played.table("runs"), played.table("curves"))[0] if trials else None
    runs, _ = plan(asked, settings, sources=sources, solvers=named, chosen=chosen)
    runs = as_both(runs, trials)
    played.play(runs, {run.run_id for run in trials})
    return played.result(runs, trials)


class _Played:
    """The tables of runs that were played, and the equilibria of their games."""

    def __init__(self, settings: Settings, experiment: Experiment, sources: Iterable[Source]) -> None:
        self._settings, self._experiment = settings, experiment
        self._files = {str(source.fingerprint): source.file for source in sources if source.file is not None}
        self._frames: list[Frames] = []
        self._found: list[Equilibrium] = []

    def play(self, runs: Sequence[Run], done: Collection[str] = ()) -> None:
        """Play the runs that are not in `done`; raises the error of a run that fails."""
        for event in play(runs, self._settings, done=done):
            if isinstance(event, Failed):
                raise event.error
            if isinstance(event, Frames):
                self._frames.append(event)
            if isinstance(event, Refereed):
                self._found.append(event.equilibrium)

    def table(self, name: str) -> pd.DataFrame:
        """The rows of one table, in the order in which they were made."""
        return pd.concat([getattr(frames, name) for frames in self._frames], ignore_index=True)

    def result(self, reported: Sequence[Run], trials: Sequence[Run]) -> Result:
        """The result of all runs: first the reported ones, then the other trials."""
        runs = {run.run_id: run for run in [*trials, *reported]}
        ids = dict.fromkeys(run.run_id for run in [*reported, *trials])
        order = {run_id: place for place, run_id in enumerate(ids)}

        def joined(name: str) -> pd.DataFrame:
            return self.table(name).sort_values(
                "run_id", key=lambda ids: ids.map(order), kind="stable", ignore_index=True
            )

        told = joined("runs")
        for column in trials[0].told if trials else ():
            told[column] = [runs[run_id].told[column] for run_id in told["run_id"]]
        tables = {name: joined(name) for name in ("curves", "policies", "paths")}
        found, tuning = tuple(self._found), choices(told, tables["curves"]) if trials else pd.DataFrame()
        return Result(told, **tables, equilibria=found, tuning=tuning, experiment=self._experiment, files=self._files)
