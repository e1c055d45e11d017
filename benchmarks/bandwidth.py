"""How fast a query reads the matrix, against a reduction over an array of that size, and what sharing a game saves.

A query is timed inside the compiled loop (nash-mp: two a step), with everything else that a step does.
"""

from functools import partial

import jax
import jax.numpy as jnp
from timing import least, machine, options, placed_games, solved, table, verdict

from nashgames.core.game import Game
from nashgames.core.precision import Precision


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--actions", type=int, nargs="+", default=[4096, 8192])
    parser.add_argument("--lanes", type=int, default=64, help="runs that share a game")
    arguments = parser.parse_args()
    print(machine())
    for dtype in ("float64", "float32"):
        precision = Precision(dtype)
        for actions in arguments.actions:
            reading(actions, precision, arguments.repeats)
        sharing(arguments.actions[0], arguments.lanes, precision, arguments.repeats)


def reading(actions: int, precision: Precision, repeats: int) -> None:
    """Bytes of A a second in a query, over those of `jnp.sum`."""
    games = placed_games("random-logits", actions, precision)
    (matrix,) = jax.tree.leaves(games[0].margins)
    total = jax.jit(jnp.sum)
    steps = max(4, int(4e9 / matrix.nbytes))

    def reduce() -> None:
        with precision.scope():
            for _ in range(2 * steps):
                total(matrix).block_until_ready()

    seconds = least({"query": partial(_seconds, games, precision, steps), "sum": reduce}, repeats)
    a_query, a_sum = (seconds[side] / (2 * steps) for side in ("query", "sum"))
    print(f"\n{actions:,} actions, {precision.dtype}, {matrix.nbytes / 1e9:.2f} GB")
    rows = [(side, time * 1e3, matrix.nbytes / time / 1e9) for side, time in (("query", a_query), ("sum", a_sum))]
    table(("", "ms", "GB/s"), rows)
    verdict(f"bandwidth of a query over that of a sum, n = {actions}", a_sum / a_query, 0.8, at_least=True)


def sharing(actions: int, lanes: int, precision: Precision, repeats: int) -> None:
    """What a run costs among `lanes` runs of the same game, over one run alone."""
    games = placed_games("random-logits", actions, precision)
    alone, together = 40, 16
    sides = {
        "one run": partial(_seconds, games, precision, alone),
        f"{lanes} runs": partial(_seconds, games, precision, together, lanes),
    }
    taken = least(sides, repeats)
    one, many = taken["one run"] / alone, taken[f"{lanes} runs"] / together
    print(f"\nruns that share a game of {actions:,} actions, {precision.dtype}")
    table(
        ("", "ms a step", "ms a step and run"), [("1", one * 1e3, one * 1e3), (lanes, many * 1e3, many / lanes * 1e3)]
    )
    verdict(f"a run among {lanes} over one alone, {precision.dtype}", many / lanes / one, 0.125)


def _seconds(games: list[Game], precision: Precision, steps: int, lanes: int = 1) -> float:
    return solved(games, "nash-mp", precision, steps=steps, lanes=lanes).solve_seconds


if __name__ == "__main__":
    main()
