"""How far the curves fall: nash-mp run to the floor of its suboptimality, in float64 and float32.

Random logits, tournaments, disc games, circulants and Blotto, up to 200 actions, uniform and random references. A
curve must reach the target, and none of its points may be negative or not a number.
"""

from collections.abc import Iterator

import numpy as np
from timing import machine, options, placed_games, solved, table, verdict

from nashgames.core.game import Game
from nashgames.core.precision import Precision
from nashgames.learning.references import resolve_reference

BETAS = (1.0, 0.1, 0.01, 0.001)
"""From strongly regularised to as sharp as the sampled protocols go."""
TARGETS = {
    "float64": dict.fromkeys(BETAS, 1e-25),
    "float32": {1.0: 1e-12, 0.1: 1e-12, 0.01: 1e-12, 0.001: 1e-10},
}
REFERENCES = ("uniform", "random[scale=1]")


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--actions", type=int, nargs="+", default=[11, 51, 199], help="odd, for the circulants")
    parser.add_argument("--all", action="store_true", help="a row for every game")
    arguments = parser.parse_args()
    print(machine())
    rows, verdicts = [], []
    for dtype, targets in TARGETS.items():
        precision = Precision(dtype)
        games = list(named_games(arguments.actions, precision))
        for beta, target in targets.items():
            found = [(name, *floor(game, beta, precision)) for name, game in games]
            worst = max(found, key=lambda row: row[1])
            broken = sum(row[3] for row in found)
            last = max(row[2] for row in found)
            rows.append((dtype, beta, worst[1], last, worst[0], broken))
            verdicts.append((f"{dtype}, β = {beta:g}, worst floor over {target:g}", worst[1] / target))
            if arguments.all:
                table(("game", "floor", "end", "broken"), found)
    table(("dtype", "β", "worst floor", "worst end", "worst game", "negative or NaN"), rows)
    for what, ratio in verdicts:
        verdict(what, ratio, 1)
    verdict("points that are negative or not a number", sum(row[5] for row in rows), 0)


def named_games(sizes: list[int], precision: Precision) -> Iterator[tuple[str, Game]]:
    """Every game with every reference."""
    free = [(family, n) for family in ("random-logits", "tournament", "disc", "circulant") for n in sizes]
    for selection, n in [*free, ("blotto[soldiers=10,fields=3]", None), ("blotto[soldiers=18,fields=3]", None)]:
        (game,) = placed_games(selection, n, precision)
        for reference in REFERENCES:
            log_reference = resolve_reference(reference, game, seed=0)
            yield f"{selection} {game.actions} {reference}", game.replace(log_reference=log_reference)


def floor(game: Game, beta: float, precision: Precision) -> tuple[float, float, int]:
    """The lowest and the last suboptimality of a run, and how many of its points are negative or not a number."""
    # Twice what (1 + 2β)^(−K) needs to fall below 1e-30.
    steps = int(140 / np.log1p(2 * beta))
    batch = solved([game], "nash-mp", precision, steps=steps, beta=beta, records=400, tolerance=0.0)
    ((curve,),) = batch.curves()
    values = curve.metrics["suboptimality"]
    return float(np.nanmin(values)), float(values[-1]), int(np.sum(~(values >= 0)))


if __name__ == "__main__":
    main()
