"""Programs compiled for short runs against the same compiled for long ones: seconds to compile, and of a step.

What a short run has to save: a batch is short where the seconds of compiling saved outweigh those of its steps lost.
CPU seconds of one process, so that what else the machine does counts little.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import jax
from timing import BETA, machine, options, placed_games, solved, table, verdict

from nashgames.core.game import Game
from nashgames.core.precision import Precision
from nashgames.engine import batch, loop
from nashgames.solvers import make_solver

SOLVERS = ("nash-mp", "mirror-descent", "online-ipo", "nash-prox", "adaptive-nash-mp")
FORMS = {"optimised": 0, "quick": 10**15}
"""Numbers up to which a batch is short."""


def main() -> None:
    parser = options(__doc__, repeats=3)
    parser.add_argument("--actions", type=int, default=100)
    parser.add_argument("--steps", type=int, default=5000)
    arguments = parser.parse_args()
    print(machine())
    jax.config.update("jax_enable_compilation_cache", False)
    (game,) = placed_games("random-logits", arguments.actions, Precision())
    rows, ratios = [], []
    for name in SOLVERS:
        compiling, stepping = {}, {}
        for form, most in FORMS.items():
            found = [_seconds(game, name, most, arguments.steps) for _ in range(arguments.repeats)]
            compiling[form], stepping[form] = (min(values) for values in zip(*found, strict=True))
        ratios.append(compiling["quick"] / compiling["optimised"])
        lost = (stepping["quick"] - stepping["optimised"]) / (arguments.steps * arguments.actions)
        rows.append((name, *compiling.values(), *(1e6 * s / arguments.steps for s in stepping.values()), 1e6 * lost))
    table(("solver", "optimised s", "quick s", "optimised µs a step", "quick µs a step", "µs lost a number"), rows)
    verdict("compiling, the slowest of five solvers", max(ratios), 0.5)


def _seconds(game: Game, name: str, most: int, steps: int) -> tuple[float, float]:
    """CPU seconds of compiling and of the steps."""
    solver = make_solver(name).with_theory_defaults(BETA)
    with _short_up_to(most):
        loop.clear_compiled_if_over()
        began = time.process_time()
        solved([game], solver, Precision(), steps=1)
        compiled = time.process_time()
        solved([game], solver, Precision(), steps=steps)
        return compiled - began, time.process_time() - compiled


@contextmanager
def _short_up_to(most: int) -> Iterator[None]:
    before, batch._SHORT = batch._SHORT, most
    try:
        yield
    finally:
        batch._SHORT = before


if __name__ == "__main__":
    main()
