"""A query in every storage of margins, as a fraction of what the machine's memory or its multipliers allow.

Queries are timed inside one compiled loop, all sides in turn. Limits are the time of a reduction over as many bytes as
the storage holds, on a GPU of a copy, and for streamed margins the time of their operations in a matrix product.
`--device gpu` gives the same table on a GPU. Products that have a kernel there, or on a CPU with Numba a function of
their own, stand beside XLA's (`by XLA`), and a line says which is faster; `--json FILE` keeps every number with the
machine and the versions.
"""

import argparse
import importlib.util
import itertools
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from timing import Side, least, machine, options, table, verdict

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
    empty,
    half,
    packed,
    streamed,
)
from nashgames.core.precision import Precision
from nashgames.environment import environment

SIZES = {"cpu": (8192,), "gpu": (32_768,)}
"""Actions of the games whose entries are kept: far beyond the caches."""

FEATURES = 16
"""Numbers d of an action where margins have a formula; factors have as many on either side."""

FORMULAS = {"cpu": {"lowrank": 10_000_000, "streamed": 100_000, "blotto": 1_000_000}}
BY_XLA = " by XLA"
FORMULAS["gpu"] = FORMULAS["cpu"] | {"streamed": 1_000_000, "streamed" + BY_XLA: 1_000_000}
"""Actions of the games that have one, each measured in a process of its own."""

Clock = Callable[[], float]

TARGETS = {
    "cpu": {"dense": 0.85, "packed": 1.4, "int8": 2, "runs": 10, "lowrank": 1.5, "streamed": 6},
    "gpu": {"dense": 0.85, "packed": 1.7, "int8": 3, "runs": 20, "lowrank": 0.01, "streamed": 1},
}
GIGABYTES = {"cpu": {"lowrank": 3, "streamed": 1}, "gpu": {"lowrank": 3, "streamed": 2}}

_CALL = 0.2
"""Seconds of a timed call, at least: far above the time of a start."""


def main() -> None:
    parser = options(__doc__, repeats=7)
    parser.add_argument("--device", default="cpu", choices=("cpu", "gpu"))
    parser.add_argument("--actions", type=int, nargs="+", help="sizes of games whose entries are kept")
    parser.add_argument("--lanes", type=int, default=64, help="runs that share a game")
    parser.add_argument("--dtype", nargs="+", default=["float32", "float64"])
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the numbers")
    parser.add_argument(
        "--processor", action="store_true", help="processor seconds of products, where other work has the cores too"
    )
    parser.add_argument("--formula", nargs=2, help="(used by the script itself) a formula and its number of actions")
    arguments = parser.parse_args()
    if arguments.formula:
        print(json.dumps(formula_query(arguments.formula[0], int(arguments.formula[1]), arguments)))
        return
    print(machine())
    rows: list[dict[str, Any]] = []
    for name, n in FORMULAS[arguments.device].items():
        rows.append(in_a_process(name, n, arguments))
    for dtype in arguments.dtype:
        for n in arguments.actions or SIZES[arguments.device]:
            rows += entries(n, Precision(dtype, arguments.device), arguments)
    shown = ("storage", "dtype", "actions", "runs", "ms", "of the limit", "GB")
    table(shown, [[row[key] for key in shown] for row in rows])
    judge(rows, arguments.device, arguments.lanes)
    if arguments.json:
        clock = "the processor" if arguments.processor else "the clock"
        kept = {"environment": environment(), "device": arguments.device, "seconds of": clock, "queries": rows}
        arguments.json.write_text(json.dumps(kept, indent=1, default=str), encoding="utf-8")


def entries(n: int, precision: Precision, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Rows of the storages that keep entries, by one run and by `lanes`, and of the machine."""
    rng = np.random.default_rng(0)
    noise, votes = rng.uniform(-0.5, 0.5, (TILE, TILE)), rng.integers(-100, 101, (TILE, TILE)) / 200
    sides: dict[str, Side] = {}
    sizes: dict[str, int] = {}
    calls: dict[str, int] = {}
    kinds = {
        "dense": (DenseMargins, noise),
        "int8": (HalfMargins, votes),
        "bfloat16": (HalfMargins, noise),
        "packed": (PackedMargins, noise),
        "packed int8": (PackedHalfMargins, votes),
        "packed bfloat16": (PackedHalfMargins, noise),
    }
    clock = time.process_time if arguments.processor else time.perf_counter
    with precision.scope():
        for name, (kind, tile) in kinds.items():
            made: Any = kind
            margins = made.filled(n, [partial(_cut, tile)], precision.numpy)
            margins = margins.place(precision.jax_device(), precision.numpy)
            asked = {name: ask} | ({name + BY_XLA: ask_xla} if kind != DenseMargins else {})
            for (label, way), lanes in itertools.product(asked.items(), (1, arguments.lanes)):
                if label.endswith(BY_XLA) and not has_kernel(arguments.device, lanes):
                    continue
                key = f"{label}/{lanes}"
                sides[key], calls[key] = query(margins, lanes, precision, way, clock)
                sizes[key] = margins.nbytes
            if name == "dense":
                array = margins.values
        for name, function in (("sum", jnp.sum), ("copy", jnp.copy)):
            sides[name], calls[name] = repeated(jax.jit(function), array, precision, clock)
        square = jax.device_put(noise.astype(precision.dtype), precision.jax_device())
        product = jax.jit(partial(jnp.matmul, precision="highest"))
        sides["matrix"], calls["matrix"] = repeated(lambda a: product(a, a), square, precision, clock)
    seconds = {name: taken / calls[name] for name, taken in least(sides, arguments.repeats).items()}
    speed = array.nbytes / seconds["sum"], 2 * array.nbytes / seconds["copy"], 2 * TILE**3 / seconds["matrix"]
    print(
        f"\n{n:,} actions, {precision.dtype} on {precision.jax_device().device_kind}: reads {speed[0] / 1e9:.1f} GB/s, "
        f"copies {speed[1] / 1e9:.1f} GB/s, multiplies {speed[2] / 1e9:,.0f} GFLOP/s"
    )
    bytes_a_second = speed[0] if arguments.device == "cpu" else speed[1]
    rows = []
    for key, size in sizes.items():
        name, lanes = key.split("/")
        limit = max(size / bytes_a_second, 2 * n**2 * int(lanes) / speed[2] if int(lanes) > 1 else 0)
        row = (name, precision.dtype, n, int(lanes), seconds[key] * 1e3, limit / seconds[key], size / 1e9)
        rows.append(dict(zip(("storage", "dtype", "actions", "runs", "ms", "of the limit", "GB"), row, strict=True)))
    return rows


def has_kernel(device: str, lanes: int) -> bool:
    """Whether products of entries are not XLA's own for this many runs: on a CPU by Numba, for few."""
    return device == "gpu" or (lanes == 1 and importlib.util.find_spec("numba") is not None)


def ask(margins: Any, policy: jax.Array) -> jax.Array:
    found: jax.Array = margins.matvec(policy)
    return found


def ask_xla(margins: Any, policy: jax.Array) -> jax.Array:
    """A query by XLA's own product, also where programs have another one."""
    if margins.storage == "streamed":
        return streamed.xla_product(margins.formula, policy)
    module, stored = (half, margins.values) if margins.storage == "half" else (packed, margins.tiles)
    found: jax.Array = margins.scale * module.xla_product(stored, policy)
    return found


def query(
    margins: Any, lanes: int, precision: Precision, way: Any = ask, clock: Clock = time.perf_counter
) -> tuple[Side, int]:
    """A call that makes queries one after the other, each of the policies of `lanes` runs, and how many."""
    n = margins.shape[-1]
    policies = np.random.default_rng(1).dirichlet(np.ones(8), size=(lanes, -(-n // 8))).reshape(lanes, -1)[:, :n]
    given = jax.device_put((policies / (n / 8)).astype(precision.dtype), precision.jax_device())
    of_all = jax.vmap(way, in_axes=(None, 0))
    single = lanes == 1

    def many(kept: Any, policies: jax.Array, times: jax.Array) -> jax.Array:
        def again(_: jax.Array, policies: jax.Array) -> jax.Array:
            found = way(kept, policies[0])[None] if single else of_all(kept, policies)
            # The next query cannot begin before this one ends.
            return policies + found * 1e-30

        return jax.lax.fori_loop(0, times, again, policies)

    program = jax.jit(many)
    return _long_enough(lambda times: program(margins, given, times), precision, clock)


def repeated(
    function: Any, array: jax.Array, precision: Precision, clock: Clock = time.perf_counter
) -> tuple[Side, int]:
    """A call that applies a function again and again, and how often."""

    def many(times: int) -> Any:
        for _ in range(times):
            found = function(array)
        return found

    return _long_enough(many, precision, clock)


def _long_enough(many: Callable[[int], Any], precision: Precision, clock: Clock) -> tuple[Side, int]:
    def call(times: int) -> float:
        began = clock()
        with precision.scope():
            jax.block_until_ready(many(times))
        return clock() - began

    call(1)
    times = max(1, round(_CALL / call(1)))

    return lambda: call(times), times


def _cut(tile: np.ndarray, rows: slice, columns: slice) -> np.ndarray:
    return tile[: rows.stop - rows.start, : columns.stop - columns.start]


def in_a_process(name: str, n: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """`formula_query` in a fresh process, whose memory is its own."""
    command = [sys.executable, __file__, "--formula", name, str(n), "--device", arguments.device]
    command += ["--repeats", str(min(arguments.repeats, 3))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    row: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return row


def formula_query(name: str, n: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """The row of one query of margins that have a formula, float32, with the peak memory of the process in GB."""
    precision = Precision("float32", arguments.device)
    rng = np.random.default_rng(0)

    def factor(columns: int) -> np.ndarray:
        values = empty((n, columns), np.float32)
        rng.standard_normal(out=values, dtype=np.float32)
        values *= np.float32(0.25 / FEATURES)
        return values

    if name == "lowrank":
        margins: Any = LowRankMargins(factor(FEATURES), factor(FEATURES))
    elif name.startswith("streamed"):
        margins = StreamedMargins(Logistic(factor(FEATURES // 2), factor(FEATURES // 2)))
    else:
        # 30 soldiers on 6 fields, drawn: their number is another one than that of all deployments.
        margins = StreamedMargins(Blotto(rng.multinomial(30, np.full(6, 1 / 6), size=n).astype(np.int16), np.int32(4)))
    margins = margins.place(precision.jax_device(), precision.numpy)
    with precision.scope():
        policy = jnp.full(n, 1 / n, precision.numpy)
        asked = jax.jit(ask_xla if name.endswith(BY_XLA) else ask)

        def side() -> None:
            asked(margins, policy).block_until_ready()

        seconds = least({"query": side}, arguments.repeats)
    # Kilobytes on Linux, bytes on a Mac.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9
    row: dict[str, Any] = {"storage": name, "dtype": "float32", "actions": n, "runs": 1, "ms": seconds["query"] * 1e3}
    return row | {"of the limit": "", "GB": margins.nbytes / 1e9, "peak GB": peak}


def judge(rows: list[dict[str, Any]], device: str, lanes: int) -> None:
    """The ratios that the storages must reach."""
    target = TARGETS[device]
    found = {(row["storage"], row["dtype"], row["actions"], row["runs"]): row for row in rows}
    for (name, dtype, n, runs), row in found.items():
        if name.endswith(BY_XLA):
            kernel = found[name.removesuffix(BY_XLA), dtype, n, runs]
            verdict(
                f"XLA over the kernel, {name}, {dtype}, n = {n:,}, {runs} runs",
                row["ms"] / kernel["ms"],
                1,
                at_least=True,
            )
            continue
        if name in GIGABYTES[device]:
            verdict(f"seconds of a query, {name}, n = {n:,}", row["ms"] / 1e3, target[name])
            verdict(f"peak GB of its process, {name}", row["peak GB"], GIGABYTES[device][name])
        if runs != 1 or name in FORMULAS[device]:
            continue
        what, dense = f"{dtype}, n = {n:,}", found["dense", dtype, n, 1]
        if name == "dense":
            verdict(
                f"share of the bandwidth that dense reads, {what}", row["of the limit"], target["dense"], at_least=True
            )
        if name == "packed":
            verdict(f"dense over packed, {what}", dense["ms"] / row["ms"], target["packed"], at_least=True)
        if "int8" in name and dtype == "float32":
            verdict(f"dense over {name}, {what}", dense["ms"] / row["ms"], target["int8"], at_least=True)
        cheaper = lanes * row["ms"] / found[name, dtype, n, lanes]["ms"]
        verdict(f"a run alone over one of {lanes}, {name}, {what}", cheaper, target["runs"], at_least=True)


if __name__ == "__main__":
    main()
