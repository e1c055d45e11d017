"""The equilibrium of Colonel Blotto with more than 10⁵ deployments: its certificate in float64, and its picture.

Adaptive Nash-MP plays the game from its deployments, O(n·fields) a query. The certificate of the policy with which it
ends is β KL(π‖BR_β(π)) with a product in float64, as in wider floats all of 10¹⁰ pairs would be formed.
Left, how many soldiers a field gets; right, the deployments that are played most, all orders of the fields together.
"""

import argparse
import itertools
import json
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from timing import machine, options, table

from nashgames.core.margins import product
from nashgames.core.precision import Precision
from nashgames.engine.batch import Batch, Lane, Settings
from nashgames.environment import environment
from nashgames.exact.certificate import divergence
from nashgames.games import families
from nashgames.plots.page import styled
from nashgames.solvers import make_solver

TOLERANCE = 1e-12
"""Suboptimality at which no probability that a picture shows still moves."""
SHOWN = 12
"""Deployments in the picture: as many as have readable names."""


def main() -> None:
    parser = options(__doc__, repeats=1)
    parser.add_argument("--soldiers", type=int, default=24)
    parser.add_argument("--fields", type=int, default=6)
    parser.add_argument("--beta", type=float, default=0.01)
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks"), help="where blotto.json and .png go")
    arguments = parser.parse_args()
    print(machine())
    name = f"blotto[soldiers={arguments.soldiers},fields={arguments.fields}]"
    game = families.generate(name, actions=None, beta=arguments.beta, storage="streamed")
    began = time.perf_counter()
    log_policy, queries = solved(game, arguments.beta)
    seconds = time.perf_counter() - began
    policy = np.exp(log_policy)
    response = game.log_reference + product(game.margins, policy) / arguments.beta
    response -= np.logaddexp.reduce(response)
    suboptimality = arguments.beta * float(divergence(log_policy, response))
    deployments = np.asarray(game.margins.formula.deployments)
    told: dict[str, Any] = {
        "game": name,
        "deployments": len(policy),
        "beta": arguments.beta,
        "queries": queries,
        "seconds": seconds,
        "suboptimality": suboptimality,
    }
    table(("", ""), list(told.items()))
    told["a field gets"] = {k: float(share) for k, share in enumerate(marginal(deployments, policy))}
    told["deployments played most"] = most_played(deployments, policy)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "blotto.json").write_text(json.dumps({"machine": environment(), **told}, indent=1) + "\n")
    draw(told, arguments)


def solved(game: Any, beta: float) -> tuple[np.ndarray, int]:
    """log π of a suboptimality of at most 1e-12, compilation included, and the queries it took."""
    solver = make_solver("adaptive-nash-mp").with_theory_defaults(beta)
    settings = Settings(20_000, TOLERANCE, 10, precision=Precision())
    unknown = np.full_like(game.log_reference, np.nan)
    batch = Batch([game], [[Lane(solver, beta, game.log_reference, unknown, 0)]], settings)
    while not batch.finished:
        batch.advance()
    curve = batch.curves()[0][0]
    assert curve is not None
    return np.asarray(curve.log_policy, np.float64), int(curve.steps[-1]) * solver.queries_per_step


def marginal(deployments: np.ndarray, policy: np.ndarray) -> np.ndarray:
    """The probability that a field gets 0, 1, … soldiers, the mean over fields."""
    return np.mean([np.bincount(field, policy, deployments.max() + 1) for field in deployments.T], axis=0)


def most_played(deployments: np.ndarray, policy: np.ndarray) -> dict[str, float]:
    """The likeliest deployments, all orders of the fields together."""
    shares: dict[tuple[int, ...], float] = defaultdict(float)
    for soldiers, share in zip(np.sort(deployments, axis=1)[:, ::-1].tolist(), policy.tolist(), strict=True):
        shares[tuple(soldiers)] += share
    best = itertools.islice(sorted(shares.items(), key=lambda item: -item[1]), SHOWN)
    return {" ".join(map(str, soldiers)): share for soldiers, share in best}


@styled
def draw(told: dict[str, Any], arguments: argparse.Namespace) -> None:
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(6.75, 2.9), layout="constrained")
    shares = list(told["a field gets"].values())
    left.bar(range(len(shares)), shares, color="#0072b2")
    left.set(xlabel="soldiers on a field", ylabel="probability")
    names, most = list(told["deployments played most"]), list(told["deployments played most"].values())
    right.barh(range(len(most)), most, color="#0072b2")
    right.set_yticks(range(len(most)), names)
    right.invert_yaxis()
    right.set(xlabel="probability, all orders of the fields together", ylabel="deployment")
    figure.suptitle(
        f"{arguments.soldiers} soldiers on {arguments.fields} fields: {told['deployments']:,} deployments, "
        f"β = {arguments.beta:g}, suboptimality {told['suboptimality']:.1e}",
    )
    figure.savefig(arguments.out / "blotto.png")


if __name__ == "__main__":
    main()
