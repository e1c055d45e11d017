"""Time to suboptimality 1e-8: methods here, the same method as a plain JAX loop, and at β = 0 HiGHS and MPAX.

At β > 0 the plain loop plays Nash-MP by the formula, one jitted step a call, and looks at its suboptimality after every
step as one writes it first. At β = 0 the linear program of the game is solved by HiGHS and by r2HPDHG of MPAX (extra
`external`), and by the referee. Compiling is left out on every side.
"""

import json
import time
from collections.abc import Iterator
from functools import partial
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from timing import BETA, machine, options, table, verdict

from nashgames.core.game import Game
from nashgames.core.precision import Precision
from nashgames.engine.batch import Batch, Lane, Settings
from nashgames.environment import environment
from nashgames.errors import NashGamesError
from nashgames.exact.certificate import certify
from nashgames.exact.external import solve_game
from nashgames.exact.referee import equilibrium
from nashgames.games import families
from nashgames.solvers import make_solver

TOLERANCE = 1e-8
"""Suboptimality that every one of the programs can reach."""
METHODS = ("nash-mp", "adaptive-nash-mp", "secant-nash-mp", "mirror-descent", "nash-prox", "online-ipo")
# A dense linear program of more actions takes HiGHS minutes.
MOST_HIGHS = 2_000

Row = dict[str, Any]


def main() -> None:
    parser = options(__doc__, repeats=3)
    parser.add_argument("--actions", type=int, nargs="+", default=[100, 1_000, 4_000])
    parser.add_argument("--game", default="random-logits")
    parser.add_argument("--device", default="cpu", choices=("cpu", "gpu"))
    parser.add_argument("--json", type=Path, help="a file to write the table to")
    arguments = parser.parse_args()
    print(machine())
    precision = Precision("float64", arguments.device)
    rows: list[Row] = []
    for n in arguments.actions:
        game = families.generate(arguments.game, actions=n, beta=BETA)
        found = [*regularised(game, precision, arguments.repeats), *original(game, arguments.repeats)]
        rows += [{"game": arguments.game, "n": n, **row} for row in found]
        print(f"\n{arguments.game}, {n:,} actions, {arguments.device}")
        table(
            ("β", "method", "seconds", "queries", "suboptimality"),
            [(row["beta"], row["method"], row["seconds"], row["queries"], row["suboptimality"]) for row in found],
        )
        taken = {row["method"]: row["seconds"] for row in found}
        verdict(f"nash-mp over the plain loop, n = {n}", taken["nash-mp"] / taken["plain JAX loop"], 1)
    if arguments.json:
        told = {"machine": environment(), "external": versions(), "device": arguments.device, "tolerance": TOLERANCE}
        told["rows"] = rows
        arguments.json.write_text(json.dumps(told, indent=1) + "\n")


def versions() -> dict[str, str]:
    """Of the other programs: HiGHS comes with SciPy."""
    here = {found.name: found.version for found in distributions()}
    return {name: here[name] for name in ("mpax", "scipy") if name in here}


def regularised(game: Game, precision: Precision, repeats: int) -> Iterator[Row]:
    """Every method at β = 0.05, and the plain loop."""
    for name in METHODS:
        batches = [_played(game, name, precision) for _ in range(repeats)]
        curve = batches[0].curves()[0][0]
        assert curve is not None
        queries = int(curve.steps[-1]) * batches[0].solver.queries_per_step
        yield _row(BETA, name, min(batch.solve_seconds for batch in batches), queries, game, curve.log_policy)
    loop = partial(plain_loop, game, precision)
    # The first call compiles.
    outcomes = [loop() for _ in range(repeats + 1)][1:]
    seconds, queries, log_policy = min(outcomes, key=lambda outcome: outcome[0])
    yield _row(BETA, "plain JAX loop", seconds, queries, game, log_policy)


def original(game: Game, repeats: int) -> Iterator[Row]:
    """The referee, MPAX and HiGHS at β = 0."""
    sides: dict[str, Any] = {"referee": lambda: equilibrium(game, 0.0).log_policy}
    for name in ("mpax", *(["highs"] if game.actions <= MOST_HIGHS else [])):
        sides[name] = partial(solve_game, f"{name}[tolerance={TOLERANCE}]" if name == "mpax" else name, game, 0.0)
    for name, side in sides.items():
        times = []
        try:
            # What is compiled is compiled once; HiGHS takes minutes.
            for _ in range({"referee": repeats, "mpax": 2}.get(name, 1)):
                began = time.perf_counter()
                log_policy = side()
                times.append(time.perf_counter() - began)
        except NashGamesError as error:
            print(error)
            continue
        yield _row(0.0, name, min(times), None, game, log_policy)


def plain_loop(game: Game, precision: Precision) -> tuple[float, int, np.ndarray]:
    """Nash-MP with theory's η = 2β as one writes it first: seconds, queries and log π."""
    with precision.scope():
        margins = jnp.asarray(game.margins.to_dense(), precision.numpy)
        log_reference = jnp.asarray(game.log_reference, precision.numpy)

        @jax.jit
        def step(log_policy: jax.Array) -> tuple[jax.Array, jax.Array]:
            def moved(advantage: jax.Array) -> jax.Array:
                eta = 2 * BETA
                return jax.nn.log_softmax((log_policy + eta * (log_reference + advantage / BETA)) / (1 + eta))

            half = moved(margins @ jnp.exp(log_policy))
            new = moved(margins @ jnp.exp(half))
            return new, gap(new)

        def gap(log_policy: jax.Array) -> jax.Array:
            response = jax.nn.log_softmax(log_reference + margins @ jnp.exp(log_policy) / BETA)
            return BETA * jnp.sum(jnp.exp(log_policy) * (log_policy - response))

        log_policy, queries = log_reference, 0
        began = time.perf_counter()
        while True:
            log_policy, left = step(log_policy)
            queries += 2
            if left <= TOLERANCE:
                return time.perf_counter() - began, queries, np.asarray(log_policy)


def _played(game: Game, name: str, precision: Precision) -> Batch:
    solver = make_solver(name).with_theory_defaults(BETA)
    settings = Settings(20_000, TOLERANCE, 10, precision=precision)
    unknown = np.full_like(game.log_reference, np.nan)
    batch = Batch([game], [[Lane(solver, BETA, game.log_reference, unknown, 0)]], settings)
    while not batch.finished:
        batch.advance()
    return batch


def _row(beta: float, method: str, seconds: float, queries: int | None, game: Game, log_policy: np.ndarray) -> Row:
    found = certify(game, log_policy, beta).suboptimality
    return {"beta": beta, "method": method, "seconds": seconds, "queries": queries, "suboptimality": found}


if __name__ == "__main__":
    main()
