"""Queries to a suboptimality against the number of actions, 10² … 10⁶, each method with one step for all sizes.

The step of a method is the best of nine on a game of a thousand actions of another seed. Games are bilinear in
features, so that a query of a million actions costs milliseconds. Writes a table as JSON and draws it.
"""

import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from timing import BETA, machine, options, table

import nashgames as ng
from nashgames.environment import environment
from nashgames.plots.page import styled
from nashgames.plots.palette import colour, marker

GAMES = ("bilinear[planes=4]", "melo[link=linear]", "disc[link=linear]")
METHODS = ("nash-mp", "adaptive-nash-mp", "nash-prox", "mirror-descent", "online-ipo")
TOLERANCE = 1e-8
"""Suboptimality in float64 that a million actions leave above rounding."""
# Large enough for a game of its own kind, small enough to try nine steps of every method in seconds.
TRIED_AT = 1_000
# Twice what the slowest method needs where its step suits; one that has not arrived by then is a gap in its line.
QUERIES = 800

Row = dict[str, Any]


def main() -> None:
    parser = options(__doc__, repeats=1)
    parser.add_argument("--actions", type=int, nargs="+", default=[10**k for k in range(2, 7)])
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks"), help="where sizes.json and .png go")
    arguments = parser.parse_args()
    print(machine())
    rows: list[Row] = []
    for game in GAMES:
        tried = ng.solve(game, METHODS, beta=BETA, actions=TRIED_AT, tune="auto", tolerance=TOLERANCE)
        chosen = tried.runs[tried.runs["step_source"] == "tuned"].set_index("solver")["selection"]
        solvers = [chosen.get(name, name) for name in METHODS]
        for n in arguments.actions:
            played = ng.solve(
                game,
                solvers,
                beta=BETA,
                actions=n,
                seed=1,
                queries=QUERIES,
                tolerance=TOLERANCE,
                records=5,
                storage="lowrank",
            ).runs
            for run in played.to_dict("records"):
                reached = run["queries_to_tolerance"]
                rows.append(
                    {
                        "game": game,
                        "n": n,
                        "solver": run["solver"],
                        "selection": run["selection"],
                        "queries": None if run["status"] != "converged" else int(reached),
                        "suboptimality": run["suboptimality"],
                        "seconds": run["solve_seconds"],
                    }
                )
            mine = [row for row in rows if (row["game"], row["n"]) == (game, n)]
            print(f"\n{game}, {n:,} actions")
            table(
                ("selection", "queries", "suboptimality", "seconds"),
                [(row["selection"], row["queries"], row["suboptimality"], row["seconds"]) for row in mine],
            )
    arguments.out.mkdir(parents=True, exist_ok=True)
    told = {"machine": environment(), "beta": BETA, "tolerance": TOLERANCE, "tried_at": TRIED_AT, "rows": rows}
    (arguments.out / "sizes.json").write_text(json.dumps(told, indent=1) + "\n")
    draw(rows, arguments.out / "sizes.png")


@styled
def draw(rows: list[Row], path: Path) -> None:
    """One panel a family: a flat line is a rate that does not depend on the number of actions."""
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, len(GAMES), figsize=(2.25 * len(GAMES), 2.4), sharey=True, layout="constrained")
    for panel, game in zip(panels, GAMES, strict=True):
        for name in METHODS:
            mine = [row for row in rows if (row["game"], row["solver"]) == (game, name)]
            # 0, where the reference is within the tolerance already, has no place on a logarithmic axis.
            queries = [row["queries"] or np.nan for row in mine]
            panel.plot([row["n"] for row in mine], queries, label=name, color=colour(name), marker=marker(name))
        panel.set(xscale="log", yscale="log", xlabel="actions", title=game)
    panels[0].set_ylabel(f"queries to {TOLERANCE:g}")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(METHODS))
    figure.savefig(path)


if __name__ == "__main__":
    main()
