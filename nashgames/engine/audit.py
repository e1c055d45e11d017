"""How many queries one step of a solver makes, read from its program: what it declares has to be what it does."""

import math
from collections import Counter
from typing import Any

import jax

from nashgames.core.game import Game
from nashgames.core.margins import ENTRIES, PRODUCT
from nashgames.errors import NashGamesError
from nashgames.solvers.protocol import Solver


def check_queries(solver: Solver, game: Game) -> None:
    """Raise NashGamesError unless one update makes the queries that the solver declares; shapes serve for numbers.

    On exact feedback a query is a product with A; on duels it is one look-up of entries of A, and a product would be
    knowledge that nobody has paid for.
    """
    made = queries_of(solver, game)
    declared = solver.queries_per_step
    on_duels = game.feedback.comparisons > 0
    if on_duels and made[PRODUCT]:
        raise NashGamesError(
            f"one step of the solver '{solver.name}' reads the exact advantage {_times(made[PRODUCT])} although it "
            f"learns from {game.feedback.name}; ask game.query or game.tally"
        )
    found = made[ENTRIES if on_duels else PRODUCT]
    if math.isinf(found):
        raise NashGamesError(
            f"the queries of the solver '{solver.name}' cannot be counted, as it asks inside a loop whose length is "
            f"not known; loop a fixed number of times, or make every pass a step"
        )
    if found != declared:
        raise NashGamesError(
            f"one step of the solver '{solver.name}' makes {_queries(found)}, but queries_per_step is {declared}; "
            f"declare {found:g}"
        )


def queries_of(solver: Solver, game: Game) -> Counter[str]:
    """How often one update computes each kind of query, by the name of its computation; inf in an unbounded loop."""
    key = jax.eval_shape(lambda: jax.random.key(0, impl="threefry2x32"))
    state = jax.eval_shape(lambda solver, game, key: solver.init(game, key), solver, game, key)

    def update(solver: Solver, game: Game, state: Any, key: jax.Array) -> Any:
        return solver.update(game, state, key)

    return _counted(jax.make_jaxpr(update)(solver, game, state, key).jaxpr)


def _counted(jaxpr: Any) -> Counter[str]:
    """The named computations of a program, each as often as it runs; the dearest side of a condition counts."""
    found: Counter[str] = Counter()
    for equation in jaxpr.eqns:
        name = equation.params.get("name")
        if name in (PRODUCT, ENTRIES):
            found[name] += 1
            continue
        inside = [_counted(getattr(part, "jaxpr", part)) for part in _programs(equation)]
        if equation.primitive.name == "cond":
            found.update({key: max(part[key] for part in inside) for part in inside for key in part})
            continue
        times = equation.params.get("length", 1) if equation.primitive.name == "scan" else 1
        for part in inside:
            for key, count in part.items():
                found[key] += math.inf if equation.primitive.name == "while" and count else times * count  # type: ignore[assignment]
    return found


def _programs(equation: Any) -> list[Any]:
    """The programs inside an equation: of a loop, a condition, a function."""
    parts = [part for value in equation.params.values() for part in (value if isinstance(value, tuple) else (value,))]
    return [part for part in parts if hasattr(part, "eqns") or hasattr(getattr(part, "jaxpr", None), "eqns")]


def _times(count: float) -> str:
    return "once" if count == 1 else f"{count:g} times"


def _queries(count: float) -> str:
    return f"{count:g} {'query' if count == 1 else 'queries'}"
