"""Queries of adaptive-nash-mp and secant-nash-mp to a suboptimality of 1e-12, over those of the fixed steps of Nash-MP.

Every family of generated games and the small real ones, the game's own and a random reference, several seeds; the fixed
steps are η/β ∈ {1, 2, 4, …, 64}, of which 2 is the theory's and the best one is chosen for every game in hindsight.

What was tried beside these two, by the geometric mean of its queries over those of the best fixed step in hindsight
(184 games of 18 families, n ∈ {3, 11, 101}, β ∈ {0.1, 0.01}, one seed; theory's step 7.4, adaptive 0.66, secant 0.18):
- optimistic mirror descent, one query a step: 0.88, worst 2.1, at its own best fixed step; with a step from the local
  curvature and no test it diverges on circulants and tournaments.
- optimistic half step under the test of adaptive Nash-MP (q of the last half step for q(π_k), a fresh query after two
  failures): 0.54, worst 1.6; it is secant Nash-MP without its memory, and dominated by it.
- local curvature by action (steps η_i ∝ a power of the change of q_i): 0.70 at the best power and divergent at others;
  the proximal step loses the test's proof. Curvature as the maximum or mean of the last five: 0.73, 0.71.
- restarts of the step at 64β after every ten accepted steps: 0.71, each restart a lost trial.
- Newton–Krylov finish (GMRES, a product for each of its iterations, after adaptive steps): 0.57, and at β = 0.001 more
  queries than adaptive alone: every linear system is thrown away with its products.
- Anderson acceleration of log π (ten iterates, weighted by π, falling back to adaptive steps): 0.36, worst 1.5, with no
  contraction proved; it forgets that A is linear and skew.
- minimising the suboptimality, which is convex, over mixtures of the queried policies at no query: 0.2 where it works,
  but it stalls at the boundary of the simplex on a fifth of the games; on the model of secant Nash-MP it does not.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from timing import machine, options, table, verdict

from nashgames import make_game
from nashgames.core.game import Game
from nashgames.core.precision import Precision
from nashgames.engine.batch import Batch, Lane, Settings
from nashgames.games import families, tables
from nashgames.games.families import FAMILIES
from nashgames.learning.references import resolve_reference
from nashgames.solvers import AdaptiveNashMP, NashMP, SecantNashMP, Solver

TOLERANCE = 1e-12
"""Suboptimality that separates rates: nothing but rounding is left below."""
MULTIPLES = (1, 2, 4, 8, 16, 32, 64)
"""η/β of the fixed steps: theory's is 2."""
THEORY = MULTIPLES.index(2)
REFERENCES = ("own", "random[scale=1]")
OURS = {"adaptive": AdaptiveNashMP(), "secant": SecantNashMP()}
CYCLE = np.array([[0, 0.5, -0.5], [-0.5, 0, 0.5], [0.5, -0.5, 0]])

Counted = list[tuple[str, np.ndarray]]
"""Of every game and reference a name and the queries `[len(MULTIPLES) + len(OURS)]`, ∞ where not reached."""


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--actions", type=int, nargs="+", default=[3, 11, 101], help="odd, for the circulants")
    parser.add_argument("--betas", type=float, nargs="+", default=[0.1, 0.01])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--large", type=int, default=1001, help="n of the large random games")
    arguments = parser.parse_args()
    print(machine())
    every_family(arguments.actions, arguments.betas, arguments.seeds)
    circulants(arguments.actions)
    large_random_games(arguments.large)
    worst_cases()


def every_family(sizes: Sequence[int], betas: Sequence[float], seeds: int) -> None:
    """Against the best fixed step in hindsight, and against the theory's."""
    found: Counted = []
    for beta in betas:
        for games in _games(sizes, beta, seeds):
            found += queries(games, beta, REFERENCES, [*_fixed(beta), *OURS.values()])
    print(f"\nqueries over those of the best fixed step, {len(found)} games; β {', '.join(map(str, betas))}")
    rows = []
    for family in dict.fromkeys(name.partition(" ")[0] for name, _ in found):
        counts = np.array([row for name, row in found if name.partition(" ")[0] == family])
        rows.append((family, str(len(counts)), *_summary(counts)))
    rows.append(("all", str(len(found)), *_summary(np.array([row for _, row in found]))))
    table(("game", "runs", "theory", "adaptive", "worst", "secant", "worst"), rows)
    for index, name in enumerate(OURS):
        ratios = [(row[len(MULTIPLES) + index] / row[: len(MULTIPLES)].min(), where) for where, row in found]
        worst, where = max(ratios)
        verdict(f"{name} over the best fixed step, worst ({where})", worst, 1.5)


def circulants(sizes: Sequence[int]) -> None:
    """Where the theory's step is already the largest."""
    rows: Counted = []
    for beta in (0.1, 0.01, 0.001):
        for n in sizes:
            games = [("circulant", families.generate("circulant", actions=n))]
            rows += queries(games, beta, ("random[scale=1]", "tilted[span=6]"), [NashMP(), *OURS.values()])
    _against_theory("circulant games", rows, 1.3)


def large_random_games(n: int) -> None:
    """Where the theory's step is smallest beside what is possible."""
    rows: Counted = []
    games = [(family, families.generate(family, actions=n)) for family in ("random-logits", "uniform")]
    for beta in (0.01, 0.001):
        rows += queries(games, beta, REFERENCES, [NashMP(), *OURS.values()])
    _against_theory(f"random games, n = {n}", rows, 0.2)


def worst_cases() -> None:
    """Cycles of different margins, each dominating the next: what is learnt in one says nothing of another."""
    rows: Counted = []
    for margins in ((0.01, 1), (1, 0.01), (0.01, 0.1, 0.3, 1), (0.01, 1, 0.01, 1, 0.01, 1)):
        game = nested_cycles(margins)
        for beta in (0.1, 0.01, 0.003):
            references = [f"{kind}[{size}]" for kind, size in (("random", "scale=1"), ("tilted", "span=30"))]
            rows += queries([(f"cycles {margins}", game)], beta, references, [NashMP(), *OURS.values()])
    _against_theory("nested cycles", rows, 1.25)


def nested_cycles(margins: Sequence[float], lead: float = 0.01) -> Game:
    """Rock-paper-scissors with these shares of the largest margin; every action of a later one wins by `lead`."""
    groups = np.repeat(np.arange(len(margins)), 3)
    between = lead * np.sign(groups[:, None] - groups[None, :])
    return make_game(np.kron(np.diag(margins), CYCLE) + between)


def queries(
    games: Sequence[tuple[str, Game]], beta: float, references: Iterable[str], solvers: Sequence[Solver]
) -> Counted:
    """The queries of every solver on every game of one size under every reference; games at their equilibrium apart."""
    precision = Precision()
    settings = Settings(max(2000, round(50 / beta)), TOLERANCE, records=1, precision=precision)
    references = list(references)
    known = [
        [np.asarray(resolve_reference(_allowed(name, reference), game, seed=0)) for reference in references]
        for name, game in games
    ]
    counts = np.empty((len(games), len(references), len(solvers)))
    for kind in dict.fromkeys(type(solver) for solver in solvers):
        members = [index for index, solver in enumerate(solvers) if type(solver) is kind]
        rows = [
            [
                Lane(solvers[i].with_theory_defaults(beta), beta, log_reference, np.full_like(log_reference, np.nan), 0)
                for log_reference in of_game
                for i in members
            ]
            for of_game in known
        ]
        batch = Batch([game for _, game in games], rows, settings)
        while not batch.finished:
            batch.advance()
        cost = solvers[members[0]].queries_per_step
        reached = [
            [cost * curve.steps[-1] if curve.status == "converged" else math.inf for curve in row]
            for row in batch.curves()
        ]
        counts[:, :, members] = np.reshape(np.array(reached, float), (len(games), len(references), len(members)))
    found = [
        (f"{name} n={game.actions} β={beta:g} {reference}", counts[g, r])
        for g, (name, game) in enumerate(games)
        for r, reference in enumerate(references)
        if reference == _allowed(name, reference)
    ]
    return [(name, row) for name, row in found if row.max() > 0]


def _allowed(name: str, reference: str) -> str:
    """The reference that this game is played with: its own where it is part of the construction."""
    return "own" if name in FAMILIES and FAMILIES[name].brings_reference else reference


def _games(sizes: Sequence[int], beta: float, seeds: int) -> Iterable[list[tuple[str, Game]]]:
    """All games of one size at a time, by name."""
    for n in sizes:
        yield [
            (family.name, families.generate(family.name, actions=n, beta=beta, seed=seed))
            for family in FAMILIES.values()
            if family.takes_actions
            for seed in range(seeds if family.takes_seed else 1)
        ]
    for family in FAMILIES.values():
        if not family.takes_actions:
            yield [(family.name, families.generate(family.name, beta=beta))]
    for name in tables.TABLES:
        if name != "castles":
            yield [(name, tables.load(name))]


def _fixed(beta: float) -> list[Solver]:
    return [NashMP(eta=multiple * beta) for multiple in MULTIPLES]


def _summary(counts: np.ndarray) -> list[float]:
    """Geometric mean of the theory's step over the best; the same and the worst of each of ours."""
    fixed, ours = counts[:, : len(MULTIPLES)], counts[:, len(MULTIPLES) :]
    best = fixed.min(axis=1, keepdims=True)
    ratios = [fixed[:, THEORY] / best[:, 0]]
    means = [float(np.exp(np.mean(np.log(ratios[0]))))]
    for column in (ours / best).T:
        means += [float(np.exp(np.mean(np.log(column)))), float(column.max())]
    return means


def _against_theory(what: str, rows: Counted, target: float) -> None:
    """The queries themselves, and the worst ratio of adaptive and secant to the theory's step."""
    print(f"\n{what}: queries")
    shown: list[tuple[Any, ...]] = [
        (name, *(f"{value:g}" for value in row), float(row[1] / row[0]), float(row[2] / row[0])) for name, row in rows
    ]
    table(("game", "theory", "adaptive", "secant", "adaptive/theory", "secant/theory"), shown)
    verdict(f"{what}: adaptive over theory, worst", max(row[4] for row in shown), target)
    verdict(f"{what}: secant over theory, worst", max(row[5] for row in shown), target)


if __name__ == "__main__":
    main()
