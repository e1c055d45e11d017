"""Time of a query against the number of actions, every storage, with the limits of the machine drawn in.

A limit is the time to read what a storage holds at the speed of a reduction over a quarter of a gigabyte, and for a
formula the time of its operations in a matrix product. Writes a table as JSON and draws it: lines are measured, broken
ones limits.
"""

import argparse
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib as mpl
import numpy as np
from storage import FEATURES, query, repeated
from timing import least, machine, options, table

from nashgames.core.margins import (
    TILE,
    Blotto,
    DenseMargins,
    HalfMargins,
    Logistic,
    LowRankMargins,
    PackedHalfMargins,
    PackedMargins,
    StreamedMargins,
)
from nashgames.core.precision import Precision
from nashgames.environment import environment
from nashgames.plots.page import styled

ENTRIES = tuple(2**k for k in range(10, 14))
"""Actions of games whose entries are kept: up to 0.27 GB in float32, far beyond the caches."""

SIZES = {
    "dense": ENTRIES,
    "packed": ENTRIES,
    "half, int8": ENTRIES,
    "packed-half, int8": ENTRIES,
    "streamed, logistic": (*ENTRIES, 2**14),
    "streamed, Blotto": tuple(10**k for k in range(3, 7)),
    "lowrank": tuple(10**k for k in range(3, 8)),
}

Row = dict[str, Any]


def main() -> None:
    parser = options(__doc__, repeats=5)
    parser.add_argument("--device", default="cpu", choices=("cpu", "gpu"))
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks"), help="where queries.json and .png go")
    arguments = parser.parse_args()
    print(machine())
    precision = Precision("float32", arguments.device)
    speeds = limits(precision, arguments)
    rows: list[Row] = []
    for storage, sizes in SIZES.items():
        for n in sizes:
            margins = made(storage, n).place(precision.jax_device(), precision.numpy)
            side, calls = query(margins, 1, precision)
            seconds = least({"query": side}, arguments.repeats)["query"] / calls
            # Two operations for each of 16 numbers of a pair.
            work = n**2 * FEATURES / speeds["operations"] if storage == "streamed, logistic" else 0
            limit = max(margins.nbytes / speeds["bytes"], work)
            rows.append({"storage": storage, "n": n, "seconds": seconds, "limit": limit, "bytes": margins.nbytes})
    table(
        ("storage", "actions", "ms", "limit, ms", "MB"),
        [(row["storage"], row["n"], row["seconds"] * 1e3, row["limit"] * 1e3, row["bytes"] / 1e6) for row in rows],
    )
    arguments.out.mkdir(parents=True, exist_ok=True)
    told = {"machine": environment(), "device": arguments.device, "dtype": "float32", "a second": speeds, "rows": rows}
    (arguments.out / "queries.json").write_text(json.dumps(told, indent=1) + "\n")
    draw(rows, speeds, arguments.out / "queries.png")


def limits(precision: Precision, arguments: argparse.Namespace) -> dict[str, float]:
    """Bytes that the machine reads and operations that it makes in a second."""
    with precision.scope():
        array, square = jnp.ones((ENTRIES[-1], ENTRIES[-1]), precision.numpy), jnp.ones((TILE, TILE), precision.numpy)
        product = jax.jit(partial(jnp.matmul, precision="highest"))
        sides: dict[str, tuple[Callable[[], None], int]] = {
            "bytes": repeated(jax.jit(jnp.sum), array, precision),
            "operations": repeated(lambda values: product(values, values), square, precision),
        }
    taken = least({name: side for name, (side, _) in sides.items()}, arguments.repeats)
    each = {name: taken[name] / calls for name, (_, calls) in sides.items()}
    return {"bytes": array.nbytes / each["bytes"], "operations": 2 * TILE**3 / each["operations"]}


def made(storage: str, n: int) -> Any:
    """Margins of n actions in a storage; what the entries are changes no time."""
    rng = np.random.default_rng(0)
    if storage == "lowrank":
        return LowRankMargins(*(rng.standard_normal((n, FEATURES), np.float32) for _ in range(2)))
    if storage == "streamed, logistic":
        return StreamedMargins(Logistic(*(rng.standard_normal((n, FEATURES // 2), np.float32) for _ in range(2))))
    if storage == "streamed, Blotto":
        return StreamedMargins(Blotto(rng.multinomial(30, np.full(6, 1 / 6), size=n).astype(np.int16), np.int32(4)))
    values = rng.integers(-100, 101, (TILE, TILE)) / 200
    kinds: dict[str, Any] = {
        "dense": DenseMargins,
        "packed": PackedMargins,
        "half, int8": HalfMargins,
        "packed-half, int8": PackedHalfMargins,
    }
    block = lambda rows, columns: values[: rows.stop - rows.start, : columns.stop - columns.start]  # noqa: E731
    return kinds[storage].filled(n, [block], np.float32)


@styled
def draw(rows: list[Row], speeds: dict[str, float], path: Path) -> None:
    """Entries on the left, formulas and factors on the right."""
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, 2, figsize=(6.75, 3.0), sharey=True, layout="constrained")
    for number, storage in enumerate(SIZES):
        mine = [row for row in rows if row["storage"] == storage]
        panel = panels[int(number >= 4)]
        n = [row["n"] for row in mine]
        (line,) = panel.plot(n, [row["seconds"] for row in mine], marker="o", markersize=3, label=storage)
        panel.plot(n, [row["limit"] for row in mine], linestyle="--", linewidth=1, color=line.get_color())
    for panel, title in zip(panels, ("entries stored", "features stored"), strict=True):
        panel.set(xscale="log", yscale="log", xlabel="actions", title=title)
        panel.legend()
    panels[0].set_ylabel("seconds per query")
    panels[0].set_xticks(ENTRIES, [f"{n:,}" for n in ENTRIES])
    panels[0].set_xticks([], minor=True)
    figure.suptitle(
        f"float32; dashed: reading what is stored at {speeds['bytes'] / 1e9:.0f} GB/s, "
        f"for the formula {speeds['operations'] / 1e9:.0f} GFLOP/s",
    )
    figure.savefig(path)


if __name__ == "__main__":
    main()
