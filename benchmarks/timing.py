"""What the benchmarks share: runs that never converge, two sides measured in turn, a table, and a verdict."""

import argparse
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from nashgames.core.game import Game
from nashgames.core.precision import Precision
from nashgames.engine.batch import Batch, Lane, Settings
from nashgames.environment import environment
from nashgames.games import families
from nashgames.solvers import Solver, make_solver

BETA = 0.05
"""That of a run which is given none."""

Side = Callable[[], float | None]


def options(doc: str | None, repeats: int = 5) -> argparse.ArgumentParser:
    """A parser with `--repeats`, described by the first line of a script's docstring."""
    parser = argparse.ArgumentParser(description=(doc or "").partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=repeats, help="times that each side is measured, in turn")
    return parser


def alternate(sides: Mapping[str, Side], repeats: int, *, warm: bool = True) -> dict[str, list[float]]:
    """Seconds of every side, measured in turn so that a busy moment of the machine hits them all.

    A side returns its own seconds, or None to have the call timed. With `warm` a first round compiles, uncounted.
    """
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for round_ in range(repeats + warm):
        for name, side in sides.items():
            began = time.perf_counter()
            own = side()
            taken = time.perf_counter() - began if own is None else own
            if round_ >= warm:
                seconds[name].append(taken)
    return seconds


def least(sides: Mapping[str, Side], repeats: int) -> dict[str, float]:
    """The fastest of `repeats` for every side: what it takes without the disturbances of the machine."""
    return {name: min(values) for name, values in alternate(sides, repeats).items()}


def middle(sides: Mapping[str, Side], repeats: int, *, warm: bool = True) -> dict[str, float]:
    """The median of `repeats` for every side."""
    return {name: statistics.median(values) for name, values in alternate(sides, repeats, warm=warm).items()}


def placed_games(family: str, actions: int | None, precision: Precision, count: int = 1) -> list[Game]:
    """`count` games of a family, seeds 0, 1, …, on the device."""
    made = [
        families.generate(family, actions=actions, seed=seed, dtype=precision.dtype, beta=BETA) for seed in range(count)
    ]
    with precision.scope():
        return [game.replace(margins=jax.device_put(game.margins)) for game in made]


def solved(
    games: Sequence[Game],
    solver: str | Solver,
    precision: Precision,
    *,
    steps: int,
    lanes: int = 1,
    beta: float = BETA,
    records: int = 1,
    tolerance: float = -1.0,
    log_equilibrium: np.ndarray | None = None,
) -> Batch:
    """`lanes` equal runs on every game, brought to `steps` steps; the default tolerance is never reached."""
    made = make_solver(solver) if isinstance(solver, str) else solver
    resolved = made.with_theory_defaults(beta)
    settings = Settings(steps * resolved.queries_per_step, tolerance, records, precision=precision)
    rows = []
    for game in games:
        known = np.full_like(game.log_reference, np.nan) if log_equilibrium is None else log_equilibrium
        rows.append([Lane(resolved, beta, game.log_reference, known, seed) for seed in range(lanes)])
    batch = Batch(games, rows, settings)
    while not batch.finished:
        batch.advance()
    return batch


def machine() -> str:
    """One line on where the numbers come from."""
    known = environment()
    versions = known["versions"]
    return f"{known['cores']} cores of {known['cpu']}, jax {versions['jax']}, numpy {versions['numpy']}"


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print rows under a header, the columns aligned."""
    lines = [list(header), *[[_text(cell) for cell in row] for row in rows]]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    for line in lines:
        print("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)), flush=True)


def verdict(what: str, ratio: float, target: float, *, at_least: bool = False) -> None:
    """Print one line: what was measured, what it must be, and whether it is."""
    held = ratio >= target if at_least else ratio <= target
    sign = "≥" if at_least else "≤"
    print(f"{what} · ratio: {ratio:.3g}  target: {sign} {target:g}  {'ok' if held else 'short'}", flush=True)


def _text(cell: Any) -> str:
    if isinstance(cell, float):
        return f"{cell:,.0f}" if 1000 <= abs(cell) < 1e7 else f"{cell:.3g}"
    return str(cell)
