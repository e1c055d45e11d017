"""One step inside the compiled loop against the same update in a plain NumPy loop.

At n = 100 one run alone and runs that share a game; at n = 10 a hundred seeds, with compilation apart and counted.
"""

from functools import partial

import numpy as np
import plain
from timing import BETA, alternate, least, machine, options, placed_games, solved, table, verdict

from nashgames.core.game import Game
from nashgames.core.precision import Precision
from nashgames.solvers import hyperparameters, make_solver

DTYPES = ("float64", "float32")


def main() -> None:
    arguments = options(__doc__).parse_args()
    print(machine())
    alone(arguments.repeats)
    shared(arguments.repeats)
    seeds(arguments.repeats)


def alone(repeats: int, actions: int = 100, steps: int = 20_000, plain_steps: int = 2000) -> None:
    """One run at n = 100."""
    print(f"\none run, {actions} actions: µs a step")
    sides, rows = {}, []
    for dtype in DTYPES:
        precision = Precision(dtype)
        (game,) = placed_games("random-logits", actions, precision)
        for solver in plain.UPDATES:
            _check_same(solver, game, precision)
            sides[solver, dtype, "compiled"] = partial(_compiled, [game], solver, precision, steps)
            for check in (False, True):
                sides[solver, dtype, check] = partial(_plain, [game], solver, plain_steps, check)
    taken = least(sides, repeats)
    per_step = {key: value / (steps if key[2] == "compiled" else plain_steps) * 1e6 for key, value in taken.items()}
    for dtype in DTYPES:
        for solver in plain.UPDATES:
            ours, bare, checked = (per_step[solver, dtype, side] for side in ("compiled", False, True))
            rows.append((solver, dtype, ours, bare, checked, bare / ours, checked / ours))
    table(("solver", "dtype", "compiled", "NumPy", "with check", "NumPy/compiled", "with check/compiled"), rows)
    verdict("µs of a nash-mp step, float64, over 5 µs", per_step["nash-mp", "float64", "compiled"] / 5, 1)
    verdict("µs of a nash-mp step, float32, over 5 µs", per_step["nash-mp", "float32", "compiled"] / 5, 1)


def shared(repeats: int, actions: int = 100, steps: int = 2000) -> None:
    """Runs that share a game at n = 100: what a run costs in company."""
    print(
        f"\nruns of nash-mp that share a game of {actions} actions: µs a step, and a run's share of it over one alone"
    )
    widths = (1, 3, 12, 64)
    rows = []
    for dtype in DTYPES:
        precision = Precision(dtype)
        game = placed_games("random-logits", actions, precision)
        sides = {lanes: partial(_compiled, game, "nash-mp", precision, steps, lanes) for lanes in widths}
        taken = least(sides, repeats)
        rows += [(dtype, lanes, taken[lanes] / steps * 1e6, taken[lanes] / lanes / taken[1]) for lanes in widths]
    table(("dtype", "runs", "µs a step", "a run / alone"), rows)


def seeds(repeats: int, actions: int = 10, count: int = 100, steps: int = 1000) -> None:
    """A hundred seeds at n = 10: the whole job of 1,000 steps each, in seconds."""
    print(f"\n{count} seeds of {actions} actions, {steps:,} steps each: seconds")
    rows = []
    for dtype in DTYPES:
        precision = Precision(dtype)
        games = placed_games("random-logits", actions, precision, count)
        for solver in plain.UPDATES:
            first = solved(games, solver, precision, steps=steps)
            sides = {
                "compiled": partial(_compiled, games, solver, precision, steps),
                "bare": partial(_plain, games, solver, steps, False),
                "checked": partial(_plain, games, solver, steps, True),
            }
            taken = {name: min(values) for name, values in alternate(sides, repeats, warm=False).items()}
            ours, bare, checked = taken["compiled"], taken["bare"], taken["checked"]
            whole = ours + first.compile_seconds
            rows.append(
                (
                    solver,
                    dtype,
                    ours,
                    first.compile_seconds,
                    bare,
                    checked,
                    bare / ours,
                    checked / ours,
                    checked / whole,
                )
            )
    header = (
        "solver",
        "dtype",
        "compiled",
        "compile",
        "NumPy",
        "with check",
        "NumPy/compiled",
        "with check",
        "counted",
    )
    table(header, rows)
    print("with check: NumPy computes the suboptimality at every step, as the library does; counted: compilation too")
    for row in rows:
        if row[0] == "nash-mp":
            verdict(f"NumPy with check / compiled, nash-mp, {row[1]}", row[7], 100, at_least=True)
            verdict(f"NumPy without check / compiled, nash-mp, {row[1]}", row[6], 100, at_least=True)


def _compiled(games: list[Game], solver: str, precision: Precision, steps: int, lanes: int = 1) -> float:
    return solved(games, solver, precision, steps=steps, lanes=lanes).solve_seconds


def _plain(games: list[Game], solver: str, steps: int, check: bool) -> None:
    numbers = hyperparameters(make_solver(solver).with_theory_defaults(BETA))
    for game in games:
        plain.run(solver, *_arrays(game), BETA, numbers, steps, check)


def _arrays(game: Game) -> tuple[np.ndarray, np.ndarray]:
    margins = np.asarray(game.margins.to_dense())
    return margins, np.asarray(game.log_reference, margins.dtype)


def _check_same(solver: str, game: Game, precision: Precision, steps: int = 50) -> None:
    """Both sides must compute the same thing."""
    numbers = hyperparameters(make_solver(solver).with_theory_defaults(BETA))
    theirs = plain.run(solver, *_arrays(game), BETA, numbers, steps, check=True)
    ((curve,),) = solved([game], solver, precision, steps=steps).curves()
    np.testing.assert_allclose(curve.log_policy, theirs, rtol=1e3 * np.finfo(precision.dtype).eps)


if __name__ == "__main__":
    main()
