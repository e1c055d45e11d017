"""What runs are played on: their games, references and exact equilibria."""

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy

from nashgames.core.game import Game
from nashgames.core.metrics import OF_EQUILIBRIUM
from nashgames.core.next_tokens import Chains
from nashgames.defaults import UNLISTED
from nashgames.errors import NashGamesError
from nashgames.exact.chains import chain_path, has_chains
from nashgames.exact.referee import Equilibrium, equilibrium_path, equilibrium_paths, nearest
from nashgames.experiments.events import Event, GameReady, Noted, Refereed
from nashgames.experiments.run import GameKey, Run, distance_of
from nashgames.experiments.sources import ReferenceKey
from nashgames.games.properties import facts
from nashgames.games.streams import stream
from nashgames.learning.references import resolve_reference


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a run is played on: its game, and the equilibrium of it with the run's reference and β, None where it is
    not looked for; where there are several, `nearest` gives that which is nearest to a policy."""

    game: Game
    log_reference: Any
    equilibrium: Equilibrium | None
    nearest: Callable[[np.ndarray], np.ndarray] | None = None


Paths = Mapping[tuple[GameKey, ReferenceKey], Sequence[Equilibrium]]
"""Equilibria from the largest β to the smallest, by game and reference."""
NO_PATHS: Paths = {}


def count_equilibria(runs: Sequence[Run], done: Collection[str] = ()) -> int:
    """How many equilibria `play` will look for, chains of tokens aside, which take a second: see `prepare`."""
    paths: dict[tuple[GameKey, ReferenceKey], list[Run]] = {}
    for run in runs:
        if run.storage != UNLISTED:
            paths.setdefault((run.game_key, run.reference_key), []).append(run)
    return sum(len(_path_of(of_reference, done)) for of_reference in paths.values())


def _path_of(runs: Iterable[Run], done: Collection[str]) -> list[float]:
    """The β of the path that runs of one game and reference need, falling: down to the least that one is left at."""
    needed = [run.beta for run in runs if run.run_id not in done]
    return sorted({run.beta for run in runs if needed and run.beta >= min(needed)}, reverse=True)


def game_ready(run: Run, game: Game, *, show_facts: bool) -> GameReady:
    """What is told of the game of a run once it is made."""
    title = f"{run.source.text} · {game.actions:,} actions"
    listed = not isinstance(game.log_reference, Chains)
    return GameReady(title, game, facts(game) if show_facts and listed else None, game.description.notes)


def paths_together(games: Sequence[tuple[Game, Sequence[Run]]], done: Collection[str]) -> Paths:
    """The equilibria that `prepare` looks for, of games of one size, found together."""
    wanted: dict[tuple[GameKey, ReferenceKey], tuple[Game, list[Run]]] = {}
    for game, runs in games:
        for run in runs:
            wanted.setdefault((run.game_key, run.reference_key), (game, []))[1].append(run)
    alike: dict[tuple[float, ...], dict[tuple[GameKey, ReferenceKey], Game]] = {}
    for key, (game, of_reference) in wanted.items():
        log_reference = resolve_reference(of_reference[0].reference, game, of_reference[0].seed)
        betas = tuple(_path_of(of_reference, done))
        alike.setdefault(betas, {})[key] = game.replace(log_reference=log_reference)
    found: dict[tuple[GameKey, ReferenceKey], Sequence[Equilibrium]] = {}
    for betas, played in alike.items():
        found |= zip(played, equilibrium_paths([*played.values()], betas), strict=True)
    return found


def prepare(
    game: Game,
    runs: Sequence[Run],
    title: str,
    prepared: dict[str, Prepared],
    done: Collection[str] = (),
    paths: Paths = NO_PATHS,
) -> Iterator[Event]:
    """Add what every run of a game is played on, by run id, before it is told; one warm-started path a reference serves
    every β, from the largest to the smallest.

    The path has every β of the reference down to the smallest that a run outside `done` needs: a warm start from
    another β would give other last digits, and what is left of a sweep those of an undisturbed one. Those of `paths`
    are known already.
    """
    by_reference: dict[ReferenceKey, list[Run]] = {}
    for run in runs:
        by_reference.setdefault(run.reference_key, []).append(run)
    for key, of_reference in by_reference.items():
        first = of_reference[0]
        path: Iterable[Equilibrium] | None = paths.get((first.game_key, key))
        log_reference = resolve_reference(first.reference, game, first.seed)
        prepared |= dict.fromkeys([run.run_id for run in of_reference], Prepared(game, log_reference, None))
        played = game.replace(log_reference=log_reference)
        if isinstance(log_reference, Chains) and not has_chains(played):
            continue
        if path is None:
            find = chain_path if isinstance(log_reference, Chains) else equilibrium_path
            path = find(played, _path_of(of_reference, done))
        for found in path:
            at_beta = [run.run_id for run in of_reference if run.beta == found.beta]
            several = found.converged and found.inside is not None
            of_policy = nearest(game, found) if several and at_beta else None
            prepared |= dict.fromkeys(at_beta, Prepared(game, log_reference, found, of_policy))
            yield Refereed(title, found)
            if several:
                measured = ", ".join(OF_EQUILIBRIUM)
                yield Noted(f"{title} has several equilibria at β = 0; {measured} are to that nearest to each policy")
            if not found.converged:
                yield Noted(f"{_flaw(title, found)}; {', '.join(OF_EQUILIBRIUM)} are left empty")


def _flaw(title: str, found: Equilibrium) -> str:
    """How far an equilibrium is from exact."""
    if found.beta == 0:
        nats = f"{found.error:.1e}" if math.isfinite(found.error) else "an unknown number of"
        return (
            f"the equilibrium of {title} at β = 0 could be computed only to a regret of {found.regret:.1e} and to "
            f"{nats} nats"
        )
    return (
        f"the equilibrium of {title} at β = {found.beta:g} could be computed only to a residual of "
        f"{found.residual:.1e} (max |log π − log BR(π)|)"
    )


def start_of(run: Run, found: Equilibrium) -> np.ndarray:
    """log π_0 of a run that starts near the equilibrium: its logits moved by independent normal numbers."""
    if not found.converged:
        raise NashGamesError(f"start is '{run.start}', but {_flaw(run.source.text, found)}; start at the reference")
    if not np.isfinite(found.log_policy).all():
        raise NashGamesError(
            f"start is '{run.start}', but the equilibrium of {run.source.text} at β = 0 leaves actions out, whose "
            f"logits are −∞; start at the reference"
        )
    drawn = stream(run.seed, "start").standard_normal(found.log_policy.shape)
    return np.asarray(scipy.special.log_softmax(found.log_policy + (distance_of(run.start) or 0.0) * drawn, axis=-1))
