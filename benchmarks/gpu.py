"""A large game on a GPU: milliseconds a query, its bytes a second over a device-to-device copy, and no TF32.

`--device cpu --actions 2000` tries the script where there is no GPU.
"""

import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from timing import least, machine, options, placed_games, solved, table, verdict

from nashgames.core.game import Game
from nashgames.core.precision import Precision
from nashgames.errors import NashGamesError

SLICE = 256
"""Rows whose product is computed again in float64 on the host."""


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--device", default="gpu", choices=("gpu", "cpu"))
    parser.add_argument("--actions", type=int, default=30_000)
    arguments = parser.parse_args()
    print(machine())
    try:
        print(Precision("float32", arguments.device).jax_device().device_kind)
        for dtype in ("float32", "float64"):
            measure(arguments.actions, Precision(dtype, arguments.device), arguments.repeats)
    except NashGamesError as error:
        print(error, file=sys.stderr)


def measure(actions: int, precision: Precision, repeats: int) -> None:
    """One dtype: speed and accuracy of a query."""
    games = placed_games("random-logits", actions, precision)
    (matrix,) = jax.tree.leaves(games[0].margins)
    copy = jax.jit(jnp.copy)
    steps = 100

    def copies() -> None:
        with precision.scope():
            for _ in range(steps):
                copied = copy(matrix)
            copied.block_until_ready()

    sides = {"query": partial(_seconds, games, precision, steps), "copy": copies}
    seconds = least(sides, repeats)
    a_query, a_copy = seconds["query"] / (2 * steps), seconds["copy"] / steps
    # A copy reads and writes every byte.
    speeds = {"query": matrix.nbytes / a_query, "copy": 2 * matrix.nbytes / a_copy}
    print(f"\n{actions:,} actions, {precision.dtype}, {matrix.nbytes / 1e9:.2f} GB on {precision.device}")
    times = {"query": a_query, "copy": a_copy}
    table(("", "ms", "GB/s"), [(side, times[side] * 1e3, speeds[side] / 1e9) for side in times])
    verdict(
        f"bytes a second of a query over a copy, {precision.dtype}",
        speeds["query"] / speeds["copy"],
        0.8,
        at_least=True,
    )
    error = accuracy(games[0], precision)
    # Products rounded to the ten bits of TF32 would be off by 20 ε and more here, even with their errors averaging.
    units = error / np.finfo(precision.dtype).eps
    verdict(f"error of a query in units of ε, {precision.dtype}", units, 4)


def accuracy(game: Game, precision: Precision) -> float:
    """The largest error of Aπ on some rows against float64 on the host, over Σ_j |A_ij| π_j."""
    generator = np.random.default_rng(0)
    log_policy = generator.standard_normal(game.actions).astype(precision.dtype)
    log_policy -= np.log(np.sum(np.exp(log_policy)))
    with precision.scope():
        found = np.asarray(jax.jit(Game.advantage)(game, jax.device_put(log_policy)))[:SLICE]
        rows = np.asarray(jax.tree.leaves(game.margins)[0][:SLICE]).astype(np.float64)
    policy = np.exp(log_policy.astype(np.float64))
    return float(np.max(np.abs(found - rows @ policy) / (np.abs(rows) @ policy)))


def _seconds(games: list[Game], precision: Precision, steps: int) -> float:
    return solved(games, "nash-mp", precision, steps=steps).solve_seconds


if __name__ == "__main__":
    main()
