"""The same from a notebook: `solve(game, solvers)` → DataFrames and a figure."""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
import pandas as pd

from nashgames.core.game import DEFAULT_BETA, Game
from nashgames.core.precision import Precision
from nashgames.defaults import AUTO, PARTS, START, TARGET
from nashgames.engine.settings import Settings
from nashgames.environment import environment, now
from nashgames.errors import NashGamesError, shown
from nashgames.exact.referee import Equilibrium
from nashgames.experiments.bar import Bar
from nashgames.experiments.choice import choices, reported, untuned
from nashgames.experiments.events import Finished, Noted, Refereed
from nashgames.experiments.experiment import RECORDS, Experiment, load_preset
from nashgames.experiments.plan import Run, plan, plan_trials, settings_of
from nashgames.experiments.playing import Failed, play
from nashgames.experiments.rows import Frames
from nashgames.experiments.runner import execute
from nashgames.experiments.sources import Source, find_source
from nashgames.experiments.tuning import as_both, choose
from nashgames.games import families
from nashgames.registry import Selection, expand, render
from nashgames.reprs import MOST_ROWS, Panel
from nashgames.solvers import (
    SOLVERS,
    check,
    check_members,
    compose,
    is_ours,
    make_solver,
    parts_of,
    random_init,
    selection_of,
)
from nashgames.solvers.protocol import Solver
from nashgames.store import Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, repr=False)
class Result:
    """Solved runs as tidy DataFrames with the columns of a results directory (docs/files-and-columns.md).

    Attributes:
        runs: one row per run; trials of tuned steps are among them, with the `role` tuning
        curves: one row per recorded point
        policies: one row per action of the last iterate of a run
        paths: one row per action of a recorded iterate, for games of three actions
        equilibria: the exact equilibria that distances are measured to, of every game, reference and β in the order in
            which they were found; none where the result was read from a directory
        tuning: one row per choice of a step; empty without tuning
        experiment: the experiment that was played

    Example:
        >>> import nashgames as ng
        >>> result = ng.solve(ng.games.weighted_cycle(a12=0.4, a23=0.3, a31=0.2), "nash-mp", beta=0.2)
        >>> int(result.runs["queries"].iloc[0]) == int(result.curves["queries"].max())
        True
    """

    runs: pd.DataFrame
    curves: pd.DataFrame
    policies: pd.DataFrame
    paths: pd.DataFrame
    equilibria: tuple[Equilibrium, ...]
    tuning: pd.DataFrame
    experiment: Experiment
    files: Mapping[str, Path] = field(default_factory=dict)
    """The files that games were read from, by their fingerprint."""

    @property
    def equilibrium(self) -> Equilibrium:
        """The equilibrium that was found last: of the last game, at its smallest β.

        Raises:
            NashGamesError: for a result that was read from a directory.
        """
        if not self.equilibria:
            raise NashGamesError("a directory keeps no equilibria; ng.equilibrium(game, beta) computes one")
        return self.equilibria[-1]

    def plot(self, distance: str = "suboptimality") -> "Figure":
        """Convergence curves against queries, on duels against comparisons.

        Args:
            distance: the column of `curves` to draw, such as `duality_gap` or `kl_to_equilibrium`

        Raises:
            NashGamesError: for a column that does not exist.
        """
        from nashgames.plots.convergence import convergence

        runs, beside = reported(self.runs), untuned(self.runs)
        drawn = self.curves["run_id"].isin([*runs["run_id"], *beside["run_id"]])
        return convergence(self.curves[drawn], runs, distance=distance, untuned=beside)

    def save(self, directory: str | Path) -> Path:
        """Add the runs to a results directory, which `nashgames plot`, `nashgames verify` and `ng.read` take.

        Args:
            directory: the results directory; runs that it holds already are replaced

        Returns:
            The directory as a path.

        Raises:
            NashGamesError: where it cannot be written, or is something else.
        """
        with Results.open(directory) as results:
            told = environment() | Precision(self.experiment.dtype, self.experiment.device).description()
            results.begin(self.experiment.to_dict(), self.runs["run_id"], told)
            for fingerprint, file in self.files.items():
                results.keep_game(fingerprint, file)
            results.add(self.runs, self.curves, self.policies, self.paths)
            results.manifest["counts"] = {"runs": len(self.runs), "reused": 0, "points": len(self.curves)}
            results.manifest["finished"] = now()
            results.flush()
        return Path(directory)

    def __repr__(self) -> str:
        return self._panel().text()

    def _repr_html_(self) -> str:
        return self._panel().html()

    def _panel(self) -> Panel:
        runs = reported(self.runs)
        varying = [name for name in ("game", "n", "reference", "beta", "seed") if len(set(runs[name])) > 1]
        same = [(name, f"{runs[name].iloc[0]}") for name in ("game", "n", "beta") if name not in varying and len(runs)]
        columns = [*varying, "label", *_SHOWN]
        rows = [tuple(_cell(row[name]) for name in columns) for row in runs.head(MOST_ROWS).to_dict("records")]
        left = len(runs) - len(rows)
        headings = [{"label": "solver", "n": "actions", "queries_to_tolerance": "queries"}.get(c, c) for c in columns]
        title = f"Result of {len(runs):,} run{'' if len(runs) == 1 else 's'}, {len(self.curves):,} points"
        return Panel(title, same, headings, rows, f"and {left:,} more in .runs" if left else "")


_SHOWN = ("queries_to_tolerance", "suboptimality", "kl_to_equilibrium", "status")
"""What is shown of a run beside what it is of."""


def _cell(value: Any) -> str:
    if value is None or value is pd.NA or value != value:
        return "–"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def read(directory: str | Path) -> Result:
    """The runs of the last experiment in a results directory, as the command line and `Result.save` write them.

    Args:
        directory: the results directory

    Returns:
        The result without its equilibria, which a directory does not keep.

    Raises:
        NashGamesError: where there is no results directory, or it is damaged.

    Example:
        >>> import tempfile
        >>> import nashgames as ng
        >>> result = ng.solve(ng.games.weighted_cycle(a12=0.4, a23=0.3, a31=0.2), "nash-mp", beta=0.2)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     again = ng.read(result.save(folder))
        >>> list(again.runs["queries"]) == list(result.runs["queries"])
        True
    """
    results = Results.read(directory)
    runs = results.last_runs.reset_index(drop=True)
    mine = {
        name: frame[frame["run_id"].isin(runs["run_id"])].reset_index(drop=True)
        for name, frame in (("curves", results.curves), ("policies", results.policies), ("paths", results.paths))
    }
    prints = {str(told) for told in runs["game_fingerprint"].dropna()}
    files = {told: file for told in prints if (file := results.game_file(told)) is not None}
    experiment = Experiment.from_dict(results.manifest["experiment"])
    return Result(runs, **mine, equilibria=(), tuning=choices(runs, mine["curves"]), experiment=experiment, files=files)


def report(directories: str | Path | Sequence[str | Path], out: str | Path | None = None) -> Path:
    """Make the page of a results directory, or of several side by side, as `nashgames report` does.

    Args:
        directories: the results directory, or several
        out: the HTML file; `report.html` in the first directory unless given

    Returns:
        The file, which a browser opens without a network.

    Raises:
        NashGamesError: for none, one without results, one given twice, a place that cannot be written, and without the
            extra `report`.

    Example:
        >>> import tempfile
        >>> import nashgames as ng
        >>> result = ng.solve(ng.games.weighted_cycle(a12=0.4, a23=0.3, a31=0.2), "nash-mp", beta=0.2)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     ng.report(result.save(folder)).name
        'report.html'
    """
    # Bokeh and Jinja2 come with an extra, which no other function needs.
    from nashgames.reporting import write

    places = [directories] if isinstance(directories, str | Path) else list(directories)
    if not places:
        raise NashGamesError("no directory is given; give a results directory, or several")
    return write(places, out).path


def sweep(experiment: Experiment | str | Path, out: str | Path | None = None, *, force: bool = False) -> Result:
    """Play an experiment into a results directory, as `nashgames sweep` does; finished runs are reused.

    A notebook shows a bar meanwhile. No JAX setting is changed, and no figure is drawn.

    Args:
        experiment: an `Experiment`, the path of an experiment file, or the name of a preset
        out: the results directory; that of the command line unless given, under `results/runs/`
        force: play again what is finished

    Returns:
        What `read` returns for that directory.

    Raises:
        NashGamesError: for anything in the experiment that does not exist or fit; and, once all others are finished and
            kept, where runs failed.

    Example:
        >>> import tempfile
        >>> import nashgames as ng
        >>> asked = ng.Experiment(game="circulant", actions=3, solver="nash-mp", beta=[0.5, 0.2], tolerance=1e-6)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     result = ng.sweep(asked, folder)
        >>> list(result.runs["status"])
        ['converged', 'converged']
    """
    asked = _experiment(experiment)
    bar, said = Bar(), list[str]()
    execution = execute(asked, None if out is None else Path(out), force=force)
    try:
        for event in execution:
            bar.show(event)
            if isinstance(event, Noted):
                said.append(event.text)
            if isinstance(event, Finished):
                finished = event
    except BaseException:
        bar.close("stopped; what is finished is kept")
        raise
    finally:
        # Wherever Ctrl-C arrives, the runner gets to write what is finished.
        execution.close()
    if finished.failed:
        bar.close("ended")
        runs = "1 run" if finished.failed == 1 else f"{finished.failed:,} runs"
        raise NashGamesError(
            f"{runs} failed ({'; '.join(said[-1:])}); all others are kept, and ng.read('{finished.directory}') has them"
        )
    bar.close(f"done, in {finished.directory}")
    return read(finished.directory)


def _experiment(given: Any) -> Experiment:
    """The experiment that is meant; NashGamesError for what is neither one, nor a file, nor a preset."""
    if isinstance(given, Experiment):
        return given
    if not isinstance(given, str | Path):
        raise NashGamesError(
            f"the experiment is {shown(given)}; give an ng.Experiment(…), the path of a TOML file, or a preset"
        )
    is_file = Path(given).suffix == ".toml" or Path(given).is_file()
    return Experiment.from_toml(given) if is_file else load_preset(str(given))


def load(
    selection: str,
    *,
    actions: int | None = None,
    seed: int = 0,
    beta: float = DEFAULT_BETA,
    dtype: str = "float64",
    storage: str = AUTO,
) -> Game:
    """The game of this name.

    Args:
        selection: a family (`disc[strength=2]`), a shipped game (`castles`), the path of a table (`wins.csv`), or code
            of yours (`mine.py:my_game`)
        actions: n, where the size of the game is free; the family's usual size unless given
        seed: seed of a game that is drawn at random
        beta: β of the game, above 0
        dtype: `float64` or `float32`, of the margins
        storage: how the margins are kept: `auto`, or a name that `nashgames list storages` shows

    Raises:
        NashGamesError: for a name, parameter or file that does not exist or fit, and for `actions` where the size is
            fixed.

    Example:
        >>> import nashgames as ng
        >>> ng.load("disc[strength=2]", actions=5, seed=1).actions
        5
    """
    source = find_source(str(selection))
    if actions is not None and source.default_actions is None:
        raise NashGamesError(f"actions is {actions}, but '{selection}' has a size of its own; leave actions out")
    size = source.default_actions if actions is None else actions
    return source.make(size, seed, beta, dtype, source.storage(size, storage))


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
    games = _games(game)
    given = [each for each in games if isinstance(each, Game)]
    parts = {"feedback": feedback, "policy": policy, "optimiser": optimiser}
    at = _beta_of(given) if beta is None else beta
    if solvers is None:
        solvers = Experiment.from_dict({**parts, "beta": at}).solver
    made = [_solver(solver) for solver in _several(solvers)]
    own_seed = given[0].description.seed if len(games) == len(given) == 1 else None
    exact = _as_tuple(feedback) == (PARTS["feedback"],)
    draws = not exact or any(_draws(solver, each) for solver in made for each in _as_tuple(policy))
    named = _by_name(made)
    usual = "uniform" if len(given) == len(games) and all(map(_is_uniform, given)) else "own"
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
    sources = _sources(games, asked.beta[0], pinned=asked.seed != own_seed or draws)
    asked = Experiment.from_dict(asked.to_dict() | {"game": list(sources)})
    played = _Played(settings, asked, sources.values())
    trials, _ = plan_trials(asked, settings, sources=sources, solvers=named)
    played.play(trials)
    chosen = choose(trials, played.table("runs"), played.table("curves"))[0] if trials else None
    runs, _ = plan(asked, settings, sources=sources, solvers=named, chosen=chosen)
    runs = as_both(runs, trials)
    played.play(runs, {run.run_id for run in trials})
    return played.result(runs, trials)


def _games(given: Any) -> list[Game | str]:
    """The games one by one; NashGamesError for anything else."""
    games = list(given) if isinstance(given, Iterable) and not isinstance(given, str | Game) else [given]
    for game in games:
        if not isinstance(game, Game | str):
            raise NashGamesError(
                f"the game is {shown(game)}; give a Game, as from ng.load('castles'), ng.games.disc(actions=200) or "
                f"ng.make_game(margins), or the name of one"
            )
    if not games:
        raise NashGamesError("no game is given; give at least one, such as 'disc' or ng.load('castles')")
    return games


def _beta_of(games: Sequence[Game]) -> float:
    """The β of the games where none is given; NashGamesError where they have several."""
    betas = list(dict.fromkeys(float(game.beta) for game in games))
    if len(betas) > 1:
        told = ", ".join(f"{beta:g}" for beta in betas)
        raise NashGamesError(f"the games have different β ({told}) and beta is not given; give beta, one or several")
    return betas[0] if betas else DEFAULT_BETA


def _sources(games: Sequence[Game | str], beta: float, *, pinned: bool) -> dict[str, Source]:
    """Where every game comes from, by the text that names it; NashGamesError for two games of one name."""
    sources: dict[str, Source] = {}
    for game in games:
        # The β of a game that is given counts only where nothing else says one.
        source = find_source(game) if isinstance(game, str) else _source(game.replace(beta=beta), pinned=pinned)
        if sources.setdefault(source.text, source) != source:
            raise NashGamesError(
                f"two games are both called '{source.text}'; give each a name of its own: Description(name=…)"
            )
    return sources


def _as_tuple(given: Any) -> tuple[Any, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


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


def _by_name(solvers: list[Solver]) -> dict[str, Solver]:
    """The solvers by the texts that select them, with policies and optimisers of their own; a solver given twice counts
    once.

    Raises NashGamesError for two that have one text and are not the same.
    """
    named: dict[str, Solver] = {}
    for solver in solvers:
        text, parts = selection_of(solver), parts_of(solver)
        brought = [f"{key}={part}" for key, part in parts.items() if part != PARTS[key]]
        if brought:
            text = Selection(f"{text}[{','.join(brought)}]", text.name, text.parameters, text.positional)
        if named.setdefault(text, solver) != solver:
            raise NashGamesError(f"two solvers are both called '{text}'; give each class a name of its own")
    return named


def _draws(solver: Solver, policy: str) -> bool:
    """Whether a run of the solver draws its first parameters at random."""
    return random_init(compose(solver, policy=policy) if policy != PARTS["policy"] else solver)


def _is_uniform(game: Game) -> bool:
    """Whether the game's reference is uniform, and not part of its construction."""
    known = game.description.known_equilibrium
    return (known is None or known.beta == 0) and bool(np.ptp(game.log_reference) == 0)


def _source(game: Game, *, pinned: bool) -> Source:
    """Where a game that is given comes from: the text that selects it, and a hash of all that it depends on."""
    digest = hashlib.sha256()
    for context in range(game.contexts):
        for _, rows in game.margins.of_context(context).blocks():
            digest.update(np.ascontiguousarray(rows).data)
    for part in (game.log_reference, game.weights):
        digest.update(np.ascontiguousarray(part, np.float64).data)
    return Source(_named(game, pinned=pinned), fingerprint=digest.hexdigest()[:16], given=game)


def _named(game: Game, *, pinned: bool) -> Selection:
    """The text that selects the game, as in an experiment; `pinned` to its seed where that of the run is another."""
    name, parameters, seed = game.description.name, dict(game.description.parameters), game.description.seed
    accepted = families.FAMILIES[name].parameters if name in families.FAMILIES else None
    if pinned and seed is not None:
        parameters["seed"] = seed
    return render(name, parameters, accepted)


def _several(given: Any) -> list[Any]:
    """The solvers one by one, ranges among their numbers as the values they stand for; NashGamesError for none."""
    several = list(given) if isinstance(given, Iterable) and not isinstance(given, str) else [given]
    several = [each for one in several for each in (expand(one) if isinstance(one, str) else [one])]
    if not several:
        raise NashGamesError(f"no solver is given; give at least one of: {', '.join(SOLVERS)}")
    return several


def _solver(given: Any) -> Solver:
    if isinstance(given, str):
        return make_solver(given)
    check_members(given)
    if is_ours(given):
        # Through its text: that types and checks its numbers as on the command line.
        return compose(make_solver(selection_of(given)), **parts_of(given))
    check(given)
    plain = jax.tree.map(lambda leaf: leaf.item() if np.size(leaf) == 1 and hasattr(leaf, "item") else leaf, given)
    for leaf in jax.tree.leaves(plain):
        if not isinstance(leaf, Real):
            raise NashGamesError(
                f"the solver '{given.name}' has {shown(leaf)} among its numbers; mark a field that is no number as "
                f"static: field(metadata={{'static': True}})"
            )
    return plain
