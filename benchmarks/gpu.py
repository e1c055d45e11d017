"""All that there is to try on a GPU, in one command: is it right, how fast is a query, and kernels against XLA.

First the products of every storage against float64 on the host; then a dense query, its bytes a second over a
device-to-device copy, and no TF32; last `storage.py --device gpu`, whose numbers `--json FILE` keeps.
`--device cpu --actions 2000` tries the script where there is no GPU.
"""

import subprocess
import sys
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from timing import least, machine, options, placed_games, solved, table, verdict

from nashgames.core.game import Game
from nashgames.core.margins import HalfMargins, Logistic, PackedHalfMargins, PackedMargins, StreamedMargins
from nashgames.core.precision import Precision
from nashgames.errors import NashGamesError

SLICE = 256
"""Rows whose product is computed again in float64 on the host."""


CHECKED = 5_000
"""Actions of the games whose products are compared: several tiles, the last not whole, and 200 MB in float64."""


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--device", default="gpu", choices=("gpu", "cpu"))
    parser.add_argument("--actions", type=int, default=30_000)
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the numbers of the table of storages")
    arguments = parser.parse_args()
    print(machine())
    try:
        print(Precision("float32", arguments.device).jax_device().device_kind)
        for dtype in ("float32", "float64"):
            right(min(CHECKED, arguments.actions), Precision(dtype, arguments.device))
            measure(arguments.actions, Precision(dtype, arguments.device), arguments.repeats)
    except NashGamesError as error:
        sys.exit(str(error))
    if arguments.device == "gpu":
        command = [sys.executable, str(Path(__file__).with_name("storage.py")), "--device", "gpu"]
        kept = ["--json", str(arguments.json.resolve())] if arguments.json else []
        subprocess.run([*command, *kept], check=True)


def right(n: int, precision: Precision) -> None:
    """The largest error of a query by one run and by 64, over Σ_j |A_ij| π_j, in units of rounding."""
    rng = np.random.default_rng(0)
    noise, votes = np.triu(rng.uniform(-0.5, 0.5, (n, n)), 1), np.triu(rng.integers(-100, 101, (n, n)) / 200, 1)
    policies = rng.dirichlet(np.ones(n), size=64).astype(precision.dtype)
    kinds = {
        "half int8": (HalfMargins, votes),
        "half bfloat16": (HalfMargins, noise),
        "packed": (PackedMargins, noise),
        "packed int8": (PackedHalfMargins, votes),
        "packed bfloat16": (PackedHalfMargins, noise),
    }
    games = {name: kind.filled(n, [partial(_cut, matrix)], precision.numpy) for name, (kind, matrix) in kinds.items()}
    games["streamed"] = StreamedMargins(Logistic(*rng.normal(size=(2, n, 8)).astype(precision.dtype)))
    for name, margins in games.items():
        with precision.scope():
            placed = margins.place(precision.jax_device(), precision.numpy)
            ask = jax.jit(jax.vmap(lambda kept, policy: kept.matvec(policy), in_axes=(None, 0)))
            found = [np.asarray(ask(placed, jnp.asarray(given))) for given in (policies[:1], policies)]
        entries = margins.to_dense().astype(np.float64)
        exact, size = policies.astype(np.float64) @ entries.T, policies @ np.abs(entries).T
        error = max(float(np.max(np.abs(some - exact[: len(some)]) / size[: len(some)])) for some in found)
        # Formulas are off by the rounding of logits of size 10 too.
        most = 40 if name == "streamed" else 4
        verdict(
            f"error of a query in units of ε, {name}, {precision.dtype}", error / np.finfo(precision.dtype).eps, most
        )


def _cut(matrix: np.ndarray, rows: slice, columns: slice) -> np.ndarray:
    return matrix[rows, columns]


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
