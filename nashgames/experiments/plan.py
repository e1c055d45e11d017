"""An experiment → the runs it stands for."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from nashgames.core.feedback import EXACT
from nashgames.core.metrics import target_at
from nashgames.core.precision import Precision
from nashgames.defaults import ASKED, PARTS, RUN, TARGET, TUNING, UNLISTED
from nashgames.engine.settings import Settings
from nashgames.errors import NashGamesError
from nashgames.exact.referee import falling
from nashgames.experiments.experiment import Cell, Experiment, content_hash
from nashgames.experiments.original import check_brings_none, left_out
from nashgames.experiments.players import key_of, players
from nashgames.experiments.run import Referee, Run, TuningKey, content_of, find_start, playing_of
from nashgames.experiments.sources import Source, find_reference, find_source, reference_key
from nashgames.experiments.trials import Tuned, tuned_of
from nashgames.learning.prefixes import TOKENS
from nashgames.registry import Selection, render
from nashgames.solvers import (
    is_defined,
    with_theory_defaults,
)
from nashgames.solvers import step_source as source_of_step
from nashgames.solvers.protocol import Solver

Chosen = Mapping[TuningKey, float | None]
"""The value of its tuned number that a solver is played with; None for the solver as it was asked for."""


def settings_of(experiment: Experiment) -> Settings:
    """What an experiment says of every one of its runs."""
    return Settings(
        queries=experiment.queries,
        tolerance=experiment.tolerance,
        records=experiment.records,
        record_every=experiment.record_every,
        precision=Precision(experiment.dtype, experiment.device),
        comparisons=experiment.comparisons,
        target=experiment.target,
    )


def plan(
    experiment: Experiment,
    settings: Settings,
    *,
    sources: Mapping[str, Source] | None = None,
    solvers: Mapping[str, Solver] | None = None,
    chosen: Chosen | None = None,
) -> tuple[list[Run], list[str]]:
    """The runs that an experiment reports, each once, and notes on what was left out.

    `sources` and `solvers` are what the texts of the experiment stand for, where these are objects of a notebook.
    Solvers that are tuned have the values `chosen`, with what was asked for beside them, and are left out where there
    is none; without them all solvers are as they were asked for. At β = 0 those that divide by β are left out. Raises
    NashGamesError for a game, solver, reference or parameter that does not exist, for `actions` where no game's size is
    free, for a reference beside one that a game brings, and for a solver that divides by β where no β is above 0.
    """
    return _Planner(experiment, settings, sources, solvers).reported(chosen)


def plan_trials(
    experiment: Experiment,
    settings: Settings,
    *,
    sources: Mapping[str, Source] | None = None,
    solvers: Mapping[str, Solver] | None = None,
) -> tuple[list[Run], list[str]]:
    """The runs on which an experiment tunes, each once, and notes on what is not tuned, or not on other seeds.

    Every tuned solver is played as it was asked for and with every value that is tried, on the seeds after the reported
    ones; a game that is the same for every seed, on its one. Empty without `tune`. Raises NashGamesError as `plan`
    does, and for a `tune` that no solver of the experiment can follow.
    """
    if experiment.tune is None:
        return [], []
    return _Planner(experiment, settings, sources, solvers).trials()


class _Planner:
    """An experiment with all that its texts name."""

    def __init__(
        self,
        experiment: Experiment,
        settings: Settings,
        sources: Mapping[str, Source] | None,
        solvers: Mapping[str, Solver] | None,
    ) -> None:
        self._experiment, self._settings = experiment, settings
        if sources is None:
            sources = {text: find_source(text) for text in experiment.every("game")}
        self._sources = sources
        _check_sizes(experiment, self._sources)
        self._start = find_start(experiment.start)
        self._players = players(experiment, self._start, solvers)
        self._check_budgets()
        self._references = {text: find_reference(text) for text in experiment.every("reference")}
        asked = {text: player.solver for (text, *_), player in self._players.items()}
        self._labels = _labels(asked)
        cells = experiment.cells([experiment.seed])
        original = {cell.game for cell in cells if cell.beta == 0}
        check_brings_none({text: source for text, source in self._sources.items() if text in original}, [0.0])
        self._left_out = left_out(cells, asked)
        tune = experiment.tune
        self._tuned, self.untuned = ({}, []) if tune is None else tuned_of(self._players, tune)
        # Runs that differ in their seed alone share all their texts and their solver.
        self._patterns: dict[Any, tuple[Run, dict[str, Any]]] = {}
        self._fixed: dict[Any, bool] = {}

    def _check_budgets(self) -> None:
        """Raise NashGamesError for a budget that pays for no step, or that no run can use."""
        experiment, settings = self._experiment, self._settings
        betas = experiment.every("beta")
        # β = 0 has a budget of its own.
        ends = {max(betas), min(betas), min((beta for beta in betas if beta > 0), default=0.0)}
        for player, beta in itertools.product(self._players.values(), ends):
            duels = player.solver.queries_per_step * player.feedback.comparisons
            settings.record_steps(settings.max_steps(player.solver, beta, duels))
        on_duels = [player.feedback.comparisons > 0 for player in self._players.values()]
        if None not in (experiment.queries, experiment.comparisons) and all(on_duels):
            raise NashGamesError(
                f"queries and comparisons are both given ({experiment.queries} and {experiment.comparisons}), but "
                f"every run learns from duels and has one budget; give one of them"
            )
        if experiment.comparisons is not None and not any(on_duels):
            raise NashGamesError(
                f"comparisons is {experiment.comparisons}, but every run has exact feedback; give queries instead, or "
                f"feedback = duels"
            )

    def _cells(self, seeds: Iterable[int] | None = None) -> list[Cell]:
        """The cells of the experiment whose solver is defined at their β."""
        cells = self._experiment.cells(seeds)
        return [cell for cell in cells if is_defined(self._players[key_of(cell)].solver, cell.beta)]

    def reported(self, chosen: Chosen | None) -> tuple[list[Run], list[str]]:
        """The runs that are reported, and notes."""
        runs: dict[str, Run] = {}
        beside: dict[str, Run] = {}
        notes = dict.fromkeys([*self._left_out, *self._ignored(), *self._beyond_rounding()])
        for cell in self._cells():
            if self._experiment.seed and self._experiment.seeds == 1 and self._is_fixed(cell):
                notes[f"{self._what(cell)} does not depend on the seed: another one plays the same run"] = None
            if self._is_fixed(cell) and cell.seed != self._experiment.seed:
                seed = self._experiment.seed
                notes[f"{self._what(cell)} does not depend on the seed: it is played once, with seed {seed}"] = None
                continue
            run, tuned = self._run(cell), self._tuned.get(key_of(cell))
            if tuned is not None and chosen is not None:
                if run.tuning_key not in chosen:
                    notes[f"{cell.solver} at β = {cell.beta:g} is not reported: nothing was chosen"] = None
                    continue
                if not self._is_fixed(cell):
                    beside[run.run_id] = replace(run, role=ASKED, tuned=tuned.parameter)
                run = self._run(cell, tuned, chosen[run.tuning_key], step_source="tuned")
            kept = runs.setdefault(run.run_id, run)
            if kept is not run:
                notes[f"{cell.solver} on {cell.game} at β = {cell.beta:g} is asked for twice: it is played once"] = None
        # What was chosen may be what was asked for.
        others = (run for run_id, run in beside.items() if run_id not in runs)
        return [*runs.values(), *others], list(notes)

    def _ignored(self) -> list[str]:
        """What is said of games that ignore `actions`."""
        own = [text for text, source in self._sources.items() if source.default_actions is None]
        sizes = ", ".join(str(size) for size in self._experiment.every("actions"))
        return [f"actions is {sizes}, but {', '.join(own)} has a size of its own, at which it is played"] * bool(
            sizes and own
        )

    def _beyond_rounding(self) -> list[str]:
        """What is said of a tolerance that the dtype does not resolve.

        Log-probabilities are known to u/β, u the unit of rounding, and the suboptimality, β KL, to β (u/β)²/2.
        """
        unit = float(np.finfo(self._settings.precision.numpy).eps)
        betas = [beta for beta in self._experiment.every("beta") if beta > 0]
        least = max((unit**2 / (2 * beta) for beta in betas), default=0.0)
        tolerance, dtype = self._settings.tolerance, self._settings.precision.dtype
        if not 0 < tolerance < least:
            return []
        return [
            f"the tolerance {tolerance:g} is below {least:.0e}, what rounding in {dtype} leaves of the suboptimality "
            f"at β = {min(betas):g}: runs may go on to their budget"
        ]

    def trials(self) -> tuple[list[Run], list[str]]:
        """The runs on which steps are tried, and notes."""
        runs: dict[str, Run] = {}
        notes: dict[str, None] = dict.fromkeys(self.untuned)
        seeds = self._experiment.tuning_seeds
        for cell in self._cells(seeds):
            tuned = self._tuned.get(key_of(cell))
            if tuned is None:
                continue
            if self._is_fixed(cell):
                if cell.seed != seeds[0]:
                    continue
                # There is one such game alone.
                notes[f"{self._what(cell)} is the same for every seed: its steps are tuned on what is reported"] = None
                cell = replace(cell, seed=self._experiment.seed)
            values = tuned.values(cell.beta, sampled=self._players[key_of(cell)].feedback.comparisons > 0)
            if len(values) < tuned.count:
                tried = f"{len(values)} of {tuned.count} values of {tuned.parameter}"
                notes[f"{cell.solver} is tried with {tried} at β = {cell.beta:g}; it refuses the others"] = None
            others = [self._run(cell, tuned, value, step_source="tried") for value in values]
            for run in (self._run(cell, tuned), *others):
                runs.setdefault(run.run_id, replace(run, role=TUNING))
        return list(runs.values()), list(notes)

    def _is_fixed(self, cell: Cell) -> bool:
        """Whether two seeds give one run of the cell."""
        like = (cell.game, cell.reference, key_of(cell))
        if like not in self._fixed:
            source, reference = self._sources[cell.game], self._references[cell.reference][0]
            _check_reference(cell.game, source, cell.reference, reference)
            drawn = source.takes_seed or reference_key(reference, 1) != reference_key(reference, 2)
            moved = self._start.name != RUN["start"]
            self._fixed[like] = not (drawn or moved or self._players[key_of(cell)].is_random)
        return self._fixed[like]

    def _what(self, cell: Cell) -> str:
        """What does not depend on the seed: the game, or the solver on it where others draw."""
        draws = any(player.is_random for player in self._players.values())
        return f"{cell.solver} on {cell.game}" if draws else cell.game

    def _run(
        self, cell: Cell, tuned: Tuned | None = None, value: float | None = None, step_source: str | None = None
    ) -> Run:
        """The run of the cell: with this value of what is tuned, or as it was asked for."""
        like = (key_of(cell), cell.game, cell.actions, cell.reference, cell.beta, tuned is None, value, step_source)
        if like not in self._patterns:
            self._patterns[like] = self._pattern(cell, tuned, value, step_source)
        run, content = self._patterns[like]
        return replace(run, seed=cell.seed, run_id=content_hash(content | {"seed": cell.seed}))

    def _pattern(
        self, cell: Cell, tuned: Tuned | None, value: float | None, step_source: str | None
    ) -> tuple[Run, dict[str, Any]]:
        """The run of a cell whatever its seed, and what the identity of such runs is made from."""
        source, player = self._sources[cell.game], self._players[key_of(cell)]
        reference, reference_file = self._references[cell.reference]
        asked = player.solver if tuned is None else tuned.trial(value)
        solver = with_theory_defaults(asked, cell.beta, sampled=player.feedback.comparisons > 0)
        run = Run(
            run_id="",
            source=source,
            actions=_actions(source, cell.actions),
            seed=cell.seed,
            reference=_settled(source, reference),
            beta=cell.beta,
            solver=solver,
            feedback=player.feedback,
            start=self._start,
            label=self._labels[cell.solver],
            step_source=source_of_step(asked, solver) if step_source is None else step_source,
            target=target_at(cell.beta, self._settings.target),
            storage=source.storage(_actions(source, cell.actions), self._experiment.storage),
            parts=player.parts,
            tuned=None if tuned is None else tuned.parameter,
        )
        if run.storage == UNLISTED:
            _check_unlisted(run)
        content = content_of(run, reference_file) | playing_of(run, self._settings, player.code)
        steps = {key: value for key, value in content.items() if key not in ("seed", "queries", "comparisons")}
        return replace(run, steps_key=content_hash(steps)), content


def plan_equilibria(experiment: Experiment, betas: Sequence[float]) -> list[Run]:
    """The exact equilibria of the game, size, reference and seed of an experiment, one of each, at these β as runs.

    β = 0 is the original game. The β of the experiment are not used. Raises NashGamesError as `plan` does, for a β that
    the referee refuses, and for β = 0 of a game that brings a reference made for its β.
    """
    falling(betas)
    (text,), (asked,) = experiment.game, experiment.reference
    source = find_source(text)
    _check_sizes(experiment, {text: source})
    reference, reference_file = find_reference(asked)
    _check_reference(text, source, asked, reference)
    check_brings_none({text: source}, betas)
    size = experiment.actions[0] if experiment.actions else None
    runs = [
        Run(
            run_id="",
            source=source,
            actions=_actions(source, size),
            seed=experiment.seed,
            reference=_settled(source, reference),
            beta=beta,
            solver=Referee(),
            feedback=EXACT,
            start=find_start(RUN["start"]),
            label=Referee.name,
            step_source="exact",
            target=RUN["target"],
            storage=source.storage(_actions(source, size), experiment.storage),
            parts=PARTS,
        )
        for beta in betas
    ]
    if runs and runs[0].storage == UNLISTED:
        raise NashGamesError(
            f"the sequences of {source.text} are not listed, and so is no equilibrium over them; use fewer of them or "
            "--storage lowrank or streamed, or with link=linear run a solver, whose distance to it is measured"
        )
    # An exact equilibrium depends on nothing of how runs are played and recorded.
    return [replace(run, run_id=content_hash(content_of(run, reference_file))) for run in runs]


def _check_sizes(experiment: Experiment, sources: Mapping[str, Source]) -> None:
    """Raise NashGamesError where `actions` is given and every game has a size of its own."""
    sizes = experiment.every("actions")
    if sizes and all(source.default_actions is None for source in sources.values()):
        own = "has a size of its own" if len(sources) == 1 else "have sizes of their own"
        raise NashGamesError(
            f"actions is {sizes[0]}, but {', '.join(sources)} {own}; leave actions out, or use a "
            f"generated game such as random-logits"
        )


def _check_unlisted(run: Run) -> None:
    """Raise NashGamesError for a run that would list the sequences of a game that are not listed."""
    game, listed = run.source.text, "use fewer sequences, or list them with --storage lowrank or streamed"
    if run.features != (TOKENS, None):
        raise NashGamesError(
            f"the sequences of {game} are not listed, and {run.solver.name} with the policy {run.parts['policy']} has "
            f"a number for each; use a solver of policy gradients with --policy transformer or gru, or {listed}"
        )
    if not run.feedback.comparisons:
        raise NashGamesError(
            f"the sequences of {game} are not listed, and exact feedback is that of all; use --feedback duels, or "
            f"{listed}"
        )
    if run.tuned is not None:
        raise NashGamesError(
            f"the sequences of {game} are not listed, and steps are tuned by exact suboptimality; give the step of "
            f"{run.solver.name}, or {listed}"
        )
    if run.target != TARGET:
        raise NashGamesError(
            f"the sequences of {game} are not listed, and target {run.target} needs all of them; leave it out, or "
            f"{listed}"
        )


def _check_reference(game: str, source: Source, asked: str, reference: Selection) -> None:
    """Raise NashGamesError where a reference is given beside one that the game brings."""
    if source.brings_reference and reference != "own":
        raise NashGamesError(f"reference is '{asked}', but {game} brings its own; leave reference out, or use own")


def _actions(source: Source, asked: int | None) -> int | None:
    """n of a run: as asked, else the usual; None where the game decides."""
    return None if source.default_actions is None else source.actions(asked)


def _settled(source: Source, reference: Selection) -> Selection:
    """The reference of a run: `own` is uniform for a game that brings none."""
    brings = source.brings_reference or source.given is not None
    return render("uniform", {}) if reference == "own" and not brings else reference


def _labels(solvers: Mapping[str, Solver]) -> dict[str, str]:
    """A solver's short name where only one variant of it is asked for, else the selection as it was given."""
    names = {text: solver.name for text, solver in solvers.items()}
    counts = list(names.values())
    return {text: name if counts.count(name) == 1 else text for text, name in names.items()}
