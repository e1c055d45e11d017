"""Games and solvers as a notebook gives them, objects or texts → what an experiment names and plays."""

import hashlib
from collections.abc import Iterable, Sequence
from numbers import Real
from typing import Any

import jax
import numpy as np

from nashgames.core.game import DEFAULT_BETA, Game
from nashgames.core.margins import WrittenMargins
from nashgames.core.next_tokens import Chains
from nashgames.defaults import AUTO, PARTS
from nashgames.errors import NashGamesError, shown
from nashgames.experiments.sources import Source, find_source
from nashgames.games import families
from nashgames.registry import Selection, expand, render
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


def games_of(given: Any) -> list[Game | str]:
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


def beta_of(games: Sequence[Game]) -> float:
    """The β of the games where none is given; NashGamesError where they have several."""
    betas = list(dict.fromkeys(float(game.beta) for game in games))
    if len(betas) > 1:
        told = ", ".join(f"{beta:g}" for beta in betas)
        raise NashGamesError(f"the games have different β ({told}) and beta is not given; give beta, one or several")
    return betas[0] if betas else DEFAULT_BETA


def sources_of(games: Sequence[Game | str], beta: float, *, pinned: bool) -> dict[str, Source]:
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


def as_tuple(given: Any) -> tuple[Any, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


def by_name(solvers: list[Solver]) -> dict[str, Solver]:
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


def draws_start(solver: Solver, policy: str) -> bool:
    """Whether a run of the solver draws its first parameters at random."""
    return random_init(compose(solver, policy=policy) if policy != PARTS["policy"] else solver)


def is_uniform(game: Game) -> bool:
    """Whether the game's reference is uniform, and not part of its construction."""
    known = game.description.known_equilibrium
    if known is not None and known.beta > 0:
        return False
    reference = game.log_reference
    if isinstance(reference, Chains):
        steps = Chains.uniform(reference.sequences, game.contexts).log_steps
        return np.array_equal(np.asarray(reference.log_steps), steps)
    return bool(np.ptp(reference) == 0)


def _source(game: Game, *, pinned: bool) -> Source:
    """Where a game that is given comes from: the text that selects it, and a hash of all that it depends on."""
    digest, reference = hashlib.sha256(), game.log_reference
    if isinstance(game.margins, WrittenMargins) and isinstance(reference, Chains):
        # What makes entries and probabilities stands for them.
        digest.update(game.margins.judge.encode())
        parts = [game.margins.table, game.margins.start, reference.log_steps, game.weights]
    else:
        for context in range(game.contexts):
            for _, rows in game.margins.of_context(context).blocks():
                digest.update(np.ascontiguousarray(rows).data)
        parts = [reference, game.weights]
    for part in parts:
        digest.update(np.ascontiguousarray(part, np.float64).data)
    return Source(_named(game, pinned=pinned), fingerprint=digest.hexdigest()[:16], given=game)


def _named(game: Game, *, pinned: bool) -> Selection:
    """The text that selects the game, as in an experiment; `pinned` to its seed where that of the run is another."""
    name, parameters, seed = game.description.name, dict(game.description.parameters), game.description.seed
    accepted = families.FAMILIES[name].parameters if name in families.FAMILIES else None
    if pinned and seed is not None:
        parameters["seed"] = seed
    return render(name, parameters, accepted)


def solvers_of(given: Any) -> list[Any]:
    """The solvers one by one, ranges among their numbers as the values they stand for; NashGamesError for none."""
    several = list(given) if isinstance(given, Iterable) and not isinstance(given, str) else [given]
    several = [each for one in several for each in (expand(one) if isinstance(one, str) else [one])]
    if not several:
        raise NashGamesError(f"no solver is given; give at least one of: {', '.join(SOLVERS)}")
    return several


def solver_of(given: Any) -> Solver:
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
                f"the solver '{given.name}' has {shown(leaf)} among its numbers; mark a field that is not a number as "
                f"static: field(metadata={{'static': True}})"
            )
    return plain
