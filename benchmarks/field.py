"""The field on 120 games: how many each method solves to a suboptimality of 1e-8 within 3,000 queries, and how fast.

Twenty families, n ∈ {9, 41} where n is free, β ∈ {0.3, 0.1, 0.03}, the game's own reference, seed 0. A method that does
not get there counts as infinitely slow in the median. The constant steps are theory's (theory §4.4, §4.5), which a
step that follows the curvature (theory §6.1) may not be worse than in any game.
"""

import math

import numpy as np
from timing import machine, options, table, verdict

from nashgames.core.game import Game
from nashgames.core.precision import Precision
from nashgames.engine.batch import Batch, Lane, Settings
from nashgames.games.families import FAMILIES, generate
from nashgames.solvers import Solver, compose, make_solver, with_theory_defaults

SIZES, BETAS = (9, 41), (0.3, 0.1, 0.03)
"""Those of the prototype; odd, as circulants want it."""
YOUNGER = ("spatial-voters", "sequence-embedding", "sequence-voters", "sequence-styles")
"""Families that the prototype did not play, of which those of sequences have thousands of actions."""
QUERIES, TOLERANCE = 3000, 1e-8
"""The budget and the suboptimality of the prototype."""
QUARTERS, BELOW = (0.25, 0.5, 0.75), "inverted_cdf"
"""Quantiles that are counts of a game, as some are infinite."""
METHODS = ("nash-mp", "adaptive-nash-mp", "secant-nash-mp", "mirror-descent")
GRADIENTS = ("nash-prox", "online-ipo", "practical-nash-mp", "approximate-nash-mp", "nash-ema-pg")
TARGETS = {
    "nash-prox": (90, 120),
    "online-ipo": (85, 172),
    "nash-prox, natural": (120, 105),
    "online-ipo, natural": (120, 95),
}
"""Games to reach and median queries of a prototype: its set of games, its steps with κ = 1/(2√2)."""


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--solver", nargs="+", default=[*METHODS, *GRADIENTS], help="selections to play")
    arguments = parser.parse_args()
    print(machine())
    made = {text: make_solver(text) for text in arguments.solver}
    for text in GRADIENTS[:2]:
        if text in made:
            made[f"{text}, natural"] = compose(made[text], optimiser="natural")
            made[f"{text}, constant"] = made[text]
    found = {name: queries(solver, constant=name.endswith("constant")) for name, solver in made.items()}
    print(f"\n{len(games())} games: solved to {TOLERANCE:g} within {QUERIES:,} queries, and the median")
    rows = [
        (name, str(np.isfinite(counts).sum()), *(float(value) for value in np.quantile(counts, QUARTERS, method=BELOW)))
        for name, counts in found.items()
    ]
    table(("solver", "solved", "quarter", "median", "three quarters"), rows)
    for name, (least, most) in TARGETS.items():
        if name in found:
            verdict(f"{name}: games solved", float(np.isfinite(found[name]).sum()), least, at_least=True)
            verdict(f"{name}: median queries", float(np.quantile(found[name], 0.5, method=BELOW)), most)
    for text in GRADIENTS[:2]:
        if text in found:
            constant = found[f"{text}, constant"]
            # Games that begin at their equilibrium need none, and what the constant step does not solve is no measure.
            known = np.isfinite(constant) & (constant > 0)
            worst = float(np.max(found[text][known] / constant[known]))
            verdict(f"{text}: queries over those of the constant step, worst of {known.sum()} games", worst, 1)


def games() -> list[tuple[float, Game]]:
    """β and game, those of a size next to each other."""
    return [
        (beta, generate(family.name, actions=n if family.takes_actions else None, beta=beta))
        for n in SIZES
        for family in FAMILIES.values()
        if family.name not in YOUNGER
        for beta in BETAS
    ]


def queries(solver: Solver, *, constant: bool = False) -> np.ndarray:
    """Queries of a solver on every game, ∞ where it does not get there; games of one size in one program."""
    settings, cases = Settings(QUERIES, TOLERANCE, records=1, precision=Precision()), games()
    counts = np.full(len(cases), math.inf)
    for n in dict.fromkeys(game.actions for _, game in cases):
        mine = [index for index, (_, game) in enumerate(cases) if game.actions == n]
        lanes = [[_lane(solver, *cases[index], constant)] for index in mine]
        batch = Batch([cases[index][1] for index in mine], lanes, settings)
        while not batch.finished:
            batch.advance()
        for index, (curve,) in zip(mine, batch.curves(), strict=True):
            if curve.status == "converged":
                counts[index] = solver.queries_per_step * curve.steps[-1]
    return counts


def _lane(solver: Solver, beta: float, game: Game, constant: bool) -> Lane:
    unknown = np.full_like(game.log_reference, np.nan)
    # The steps that a run on duels is given are constant, and so are they on exact feedback.
    filled = with_theory_defaults(solver, beta, sampled=constant)
    return Lane(filled, beta, np.asarray(game.log_reference), unknown, 0)


if __name__ == "__main__":
    main()
