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

    Neither `init` nor `update` may look at A but by queries. On exact feedback a query is a product with A; on duels it
    is one look-up of entries of A, and a product would be knowledge that nobody has paid for.
    """
    begun, update = _programs_of(solver, game)
    arrays = len(jax.tree.leaves(game.margins))
    if any(any(_followed(program, set(program.invars[:arrays]))) for program in (begun, update)):
        raise NashGamesError(
            f"the solver '{solver.name}' reads the margins themselves; ask game.query or game.tally, which are counted"
        )
    made, at_first = _counted(update), _counted(begun)
    declared = solver.queries_per_step
    on_duels = game.feedback.comparisons > 0
    if on_duels and (made[PRODUCT] or at_first[PRODUCT]):
        where = f"one step of the solver '{solver.name}'" if made[PRODUCT] else f"init of the solver '{solver.name}'"
        raise NashGamesError(
            f"{where} reads the exact advantage {_times(made[PRODUCT] or at_first[PRODUCT])} although it learns from "
            f"{game.feedback.name}; ask game.query or game.tally"
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


def _programs_of(solver: Solver, game: Game) -> tuple[Any, Any]:
    """The programs of `init` and `update`, whose first inputs are the arrays of A."""
    key = jax.eval_shape(lambda: jax.random.key(0, impl="threefry2x32"))

    def init(margins: Any, solver: Solver, game: Game, key: Any) -> Any:
        return solver.init(game.replace(margins=margins), key)

    def update(margins: Any, solver: Solver, game: Game, key: Any, state: Any) -> Any:
        return solver.update(game.replace(margins=margins), state, key)

    arguments = (game.margins, solver, game.replace(margins=None), key)
    begun, state = jax.make_jaxpr(init, return_shape=True)(*arguments)
    return begun.jaxpr, jax.make_jaxpr(update)(*arguments, state).jaxpr


def _followed(program: Any, secret: set[Any]) -> tuple[bool, bool]:
    """Whether a program computes with one of its `secret` inputs outside a query, and whether it hands one on."""
    for equation in program.eqns:
        inputs = equation.invars
        if equation.params.get("name") in (PRODUCT, ENTRIES) or not any(_is_in(part, secret) for part in inputs):
            continue
        inside = _programs(equation)
        if not inside:
            return True, False
        for part in inside:
            # A program inside takes the last inputs of its equation, but for the condition of a loop: its own and the
            # loop's, between which are those of the body.
            part = getattr(part, "jaxpr", part)
            given = inputs[len(inputs) - len(part.invars) :]
            if equation.primitive.name == "while" and part is equation.params["cond_jaxpr"].jaxpr:
                own = equation.params["cond_nconsts"]
                given = [*inputs[:own], *inputs[own + equation.params["body_nconsts"] :]]
            known = {name for name, value in zip(part.invars, given, strict=True) if _is_in(value, secret)}
            read, kept = _followed(part, known)
            if read or kept:
                return True, False
    return False, any(_is_in(part, secret) for part in program.outvars)


def _is_in(part: Any, names: set[Any]) -> bool:
    # A literal has no name, and cannot be looked up.
    return not hasattr(part, "val") and part in names


def _counted(jaxpr: Any) -> Counter[str]:
    """The named computations of a program, each as often as it runs; of a condition the costlier branch counts."""
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
