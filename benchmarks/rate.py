"""The theorem of Nash-MP and the cure of self-play, as numbers.

With η = 2β from π_0 = μ no iterate may break KL(π*‖π_K) ≤ (1+2β)^(−K)/(2β) and SubOpt(π_{K+½}) ≤
(β + 1/(4β))/(4β²)·(1+2β)^(−K) (theory §4.1). On rock-paper-scissors with β = 0.005 and μ = softmax(1, 0, −1) the first
step with a suboptimality below 1e-6 is known for settings of Nash-Prox, and plain self-play does not get there in
60,000 (theory §4.4, §4.5).
"""

import numpy as np
from timing import machine, options, placed_games, solved, table, verdict

from nashgames import equilibrium
from nashgames.core.game import Game
from nashgames.core.precision import Precision
from nashgames.learning.references import resolve_reference

BETAS = (0.5, 0.1, 0.01, 0.001)
"""From where a query gains a factor of √2 to where it gains a thousandth."""
FAMILIES = ("random-logits", "tournament", "disc", "circulant", "blotto")
ROUNDING = 1e-16
"""Bounds below this are not tested: the equilibrium is known to rounding only."""

FIRST_STEPS = {
    "nash-prox[eta=0.05,inner=40,step=4]": 211,
    "nash-prox[eta=0.01,inner=5,step=4]": 248,
    "nash-prox[eta=0.02,inner=20,step=4]": 348,
    "nash-prox[eta=0.01,inner=20,step=4]": 1044,
    "nash-prox[eta=0.05,inner=1,kappa=0.1,step=4]": 129,
    "nash-prox[eta=0.01,inner=1,kappa=0.1,step=4]": 362,
    "nash-prox[eta=0.01,inner=1,kappa=0.03,step=4]": 1071,
}


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--actions", type=int, nargs="+", default=[3, 11, 101], help="odd, for the circulants")
    arguments = parser.parse_args()
    print(machine())
    bounds(arguments.actions)
    first_steps()


def bounds(sizes: list[int]) -> None:
    """The largest ratio of a measured distance to its bound, over families, sizes and references."""
    precision, rows = Precision(), []
    for beta in BETAS:
        worst = {"KL": (0.0, ""), "half": (0.0, "")}
        for family in FAMILIES:
            for n in sizes if family != "blotto" else [None]:
                (game,) = placed_games(family, n, precision)
                for reference in ("uniform", "random[scale=1]"):
                    log_reference = resolve_reference(reference, game, seed=0)
                    ratios = _ratios(game.replace(beta=beta, log_reference=log_reference), beta, precision)
                    name = f"{family} {game.actions} {reference}"
                    worst = {key: max(worst[key], (ratios[key], name)) for key in worst}
        rows.append((beta, *worst["KL"], *worst["half"]))
    print("\nthe largest share of its bound that a distance reaches")
    table(("β", "KL(π*‖π_K)", "where", "SubOpt(π_K+½)", "where"), rows)
    verdict("KL over its bound", max(row[1] for row in rows), 1)
    verdict("suboptimality of the half step over its bound", max(row[3] for row in rows), 1)


def _ratios(game: Game, beta: float, precision: Precision) -> dict[str, float]:
    log_equilibrium = equilibrium(game).log_policy
    limits = {"KL": 1 / (2 * beta), "half": (beta + 1 / (4 * beta)) / (4 * beta**2)}
    steps = int(np.log(limits["half"] / ROUNDING) / np.log1p(2 * beta))
    common = {"steps": steps, "beta": beta, "records": 400, "log_equilibrium": log_equilibrium}
    ((whole,),) = solved([game], "nash-mp", precision, **common).curves()
    # Of two steps a whole one, the odd are the half steps π_{K+½}.
    ((halves,),) = solved(
        [game], "halves[nash-mp]", precision, **{**common, "steps": 2 * steps, "records": 800}
    ).curves()
    odd = halves.steps % 2 == 1
    measured = {
        "KL": (whole.steps, whole.metrics["kl_to_equilibrium"]),
        "half": (halves.steps[odd] // 2, halves.metrics["suboptimality"][odd]),
    }
    found = {}
    for key, (step, values) in measured.items():
        bound = limits[key] * (1 + 2 * beta) ** -step.astype(float)
        tested = bound > ROUNDING
        found[key] = float(np.max(values[tested] / bound[tested]))
    return found


def first_steps(beta: float = 0.005, tolerance: float = 1e-6, patience: int = 60_000) -> None:
    """The first step below the tolerance, measured over expected."""
    precision = Precision()
    (circulant,) = placed_games("circulant", 3, precision)
    game = circulant.replace(beta=beta, log_reference=resolve_reference("tilted[span=2]", circulant, seed=0))
    rows = []
    for solver, expected in FIRST_STEPS.items():
        ((curve,),) = solved([game], solver, precision, steps=patience, beta=beta, tolerance=tolerance).curves()
        rows.append((solver, str(curve.steps[-1]), str(expected), float(curve.steps[-1] / expected)))
    print(f"\nthe first step with a suboptimality below {tolerance:g}, rock-paper-scissors, β = {beta:g}")
    table(("solver", "measured", "expected", "measured/expected"), rows)
    ((curve,),) = solved(
        [game], "online-ipo[step=0.1]", precision, steps=patience, beta=beta, tolerance=tolerance
    ).curves()
    reached = float(curve.metrics["suboptimality"][-1])
    print(f"online-ipo[step=0.1] after {curve.steps[-1]:,} steps: {reached:.3g}")
    verdict("measured over expected steps, farthest from 1", max(abs(row[3] - 1) for row in rows) + 1, 1.01)
    verdict(f"suboptimality of self-play over {tolerance:g}", reached / tolerance, 1, at_least=True)


if __name__ == "__main__":
    main()
