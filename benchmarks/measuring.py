"""What the loop's own measuring costs: runs as they are against runs whose solvers are taken at their word.

The other side measures its records with the advantage that the solver reports, and never looks at a claim of
convergence. Solvers that report none are measured after every step, as the moment of stopping cannot be known
otherwise: for those the other side stops by its budget alone.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
from timing import alternate, machine, options, placed_games, solved, table, verdict

from nashgames.core import metrics
from nashgames.core.metrics import Seen
from nashgames.core.precision import Precision
from nashgames.engine import loop
from nashgames.solvers import make_solver

# What an experiment has unless told otherwise: 2,000 queries a run and 200 records.
QUERIES, RECORDS, LANES, SIZES = 2000, 200, 4, (100, 1000)
REPORTING = ("nash-mp", "mirror-descent", "online-ipo")
SILENT = ("nash-md",)


def main() -> None:
    arguments = options(__doc__).parse_args()
    print(machine())
    rows, worst = [], 0.0
    for actions in SIZES:
        (game,) = placed_games("random-logits", actions, Precision())
        for solver in (*REPORTING, *SILENT):
            steps = QUERIES // make_solver(solver).queries_per_step

            def honest(solver: str = solver, game: Any = game, steps: int = steps) -> float:
                return _seconds(game, solver, steps)

            def trusting(solver: str = solver, game: Any = game, steps: int = steps) -> float:
                with _at_its_word(silent=solver in SILENT):
                    return _seconds(game, solver, steps)

            taken = {
                side: min(values)
                for side, values in alternate({"own": honest, "trusting": trusting}, arguments.repeats).items()
            }
            share = 1 - taken["trusting"] / taken["own"]
            rows.append((solver, actions, taken["own"] / steps * 1e6, taken["trusting"] / steps * 1e6, share))
            if solver in REPORTING:
                worst = max(worst, share)
    table(("solver", "actions", "µs a step", "at its word", "share of the time"), rows)
    verdict("share of the time that measuring takes, of solvers that report an advantage", worst, 0.1)


def _seconds(game: Any, solver: str, steps: int) -> float:
    return solved(
        [game], solver, Precision(), steps=steps, lanes=LANES, records=RECORDS, tolerance=1e-300
    ).solve_seconds


@contextmanager
def _at_its_word(*, silent: bool) -> Iterator[None]:
    """Inside, programs are compiled that believe what a solver reports; a `silent` one stops by its budget."""

    def measured(recording: Any, game: Any, log_equilibrium: Any, seen: loop.Reported) -> loop.Point:
        known = metrics.measure(Seen(game, seen.log_policy, seen.claimed, log_equilibrium), recording.metrics)
        path = seen.log_policy if recording.path else seen.log_policy[..., :0]
        return loop.Point(seen.step, seen.status, _sound(), known, path)

    def look(problem: Any, run: Any) -> Any:
        return loop._Seen(run, problem.solver.advantage(run.state), _sound())

    def step(problem: Any, run: Any) -> Any:
        step = run.step + 1
        state = problem.solver.update(problem.game, run.state, jax.random.fold_in(loop._key(problem), step))
        run = loop.LoopState(state, step, loop._ongoing(problem, state, step))
        return loop._Seen(run, problem.solver.log_policy(state), _sound())

    def judge(target: str, problem: Any, run: Any, claim: Any, looks: Any, seen: Any) -> Any:
        return seen.run, jnp.zeros((), bool)

    silenced = {"_step": step, "_look": step, "_judge": judge} if silent else {"_look": look}
    replaced: dict[str, Any] = {"_measured": measured, **silenced}
    kept = {name: getattr(loop, name) for name in replaced}
    loop.clear_compiled_if_over()
    for name, function in replaced.items():
        setattr(loop, name, function)
    try:
        yield
    finally:
        for name, function in kept.items():
            setattr(loop, name, function)
        loop.clear_compiled_if_over()


def _sound() -> jax.Array:
    return jnp.full((), loop.SOUND, jnp.int32)


if __name__ == "__main__":
    main()
