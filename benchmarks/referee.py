"""The referee against external solvers, other people's programs, and how exact its equilibria are.

Regularised equilibria against Gambit's logit QRE, equilibria of the original game against HiGHS and MPAX, the path of
`castles` against HiGHS at β = 0 (`--castles`, minutes), accuracy over every family and shipped game, what actions cost
that nobody plays, degenerate games at β = 0 (against HiGHS, which gets six times as long), `castles` at one β, and
games of 100,000 and 1,000,000 actions of low rank. Needs `pip install nashgames[external]`.
"""

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import scipy
from timing import alternate, machine, middle, options, table, verdict

from nashgames.core.game import Game, make_game
from nashgames.core.margins import LowRankMargins
from nashgames.exact import external
from nashgames.exact.certificate import Certificate, certify
from nashgames.exact.referee import equilibrium, equilibrium_path
from nashgames.games import families, tables
from nashgames.learning.references import resolve_reference

# As users sweep β: two values a decade, down to where few actions are left.
PATH = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 0.0003, 0.0001)
TOLERANCES = (1e-4, 1e-6, 1e-8)
"""MPAX's: its default and two tighter ones."""
COMPILED_ONLY = 0.9
"""A tolerance at which MPAX stops where it first looks: what is left is tracing, compilation and scaling."""

FRESH = {
    "ours": """
from nashgames.core.game import make_game
from nashgames.exact.referee import equilibrium
imported = time.perf_counter()
equilibrium(make_game(margins, beta=beta))
""",
    "gambit": """
import pygambit
from nashgames.exact.external import solve
imported = time.perf_counter()
solve("gambit", margins, np.full(len(margins), -np.log(len(margins))), beta)
""",
}
"""What a fresh process does with margins that it has read."""


def main() -> None:
    parser = options(__doc__, repeats=3)
    parts = {
        "gambit": against_gambit,
        "original": at_beta_zero,
        "castles": pooled,
        "accuracy": accuracy,
        "active": active,
        "degenerate": degenerate,
        "cold": cold,
        "scale": at_scale,
    }
    parser.add_argument("--part", choices=parts, action="append", help="only this part (repeatable)")
    parser.add_argument("--castles", action="store_true", help="HiGHS on all of castles too, by both methods: minutes")
    arguments = parser.parse_args()
    print(machine())
    for name, part in parts.items():
        if name in (arguments.part or parts):
            part(arguments.castles if name == "castles" else arguments.repeats)


def against_gambit(repeats: int, actions: int = 100, beta: float = 0.01) -> None:
    """One regularised equilibrium, warm, and from a fresh process with what it imports."""
    print(f"\nregularised equilibrium of random-logits, {actions} actions, β = {beta:g}, uniform reference: seconds")
    game = families.generate("random-logits", actions=actions, beta=beta)
    found = {}

    def ours() -> None:
        found["ours"] = np.exp(equilibrium(game).log_policy)

    def gambit() -> None:
        found["gambit"] = _asked("gambit", game, beta)

    warm = middle({"ours": ours, "gambit": gambit}, repeats)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "margins.npy"
        np.save(path, _dense(game))
        sides = {side: partial(_fresh, side, path, beta) for side in FRESH}
        fresh = [{side: run() for side, run in sides.items()} for _ in range(repeats)]
    first = {side: np.median([round_[side] for round_ in fresh], axis=0) for side in FRESH}
    rows = [(side, warm[side], *map(float, first[side]), float(first[side].sum())) for side in FRESH]
    table(("", "warm", "import", "first call", "import and first call"), rows)
    verdict("gambit over ours", warm["gambit"] / warm["ours"], 300, at_least=True)
    verdict(
        "gambit over ours, the first call of a process", float(first["gambit"][1] / first["ours"][1]), 20, at_least=True
    )
    print(f"gambit over ours, imports and the first call · ratio: {first['gambit'].sum() / first['ours'].sum():.3g}")
    verdict("largest difference of a probability", float(np.abs(found["ours"] - found["gambit"]).max()), 1e-10)


def at_beta_zero(repeats: int, actions: int = 1000) -> None:
    """One equilibrium of the original game; MPAX compiles in every call, which is taken off for the comparison."""
    print(f"\nequilibrium of the original game, random-logits, {actions:,} actions: seconds")
    game = families.generate("random-logits", actions=actions)
    compiled = f"mpax[tolerance={COMPILED_ONLY:g}]"
    mpax = [f"mpax[tolerance={tolerance:g}]" for tolerance in TOLERANCES]
    found: dict[str, np.ndarray] = {}

    def ours() -> None:
        found["ours"] = np.exp(equilibrium(game, beta=0).log_policy)

    def theirs(solver: str) -> None:
        found[solver] = _asked(solver, game, 0)

    highs = ["highs[method=ds]", "highs[method=ipm]"]
    sides = {"ours": ours, **{solver: partial(theirs, solver) for solver in [*highs, compiled, *mpax]}}
    theirs(compiled)  # imports MPAX and fills JAX's caches, uncounted
    seconds = alternate(sides, repeats, warm=False)
    taken = {side: statistics.median(values) for side, values in seconds.items()}
    solving = {side: taken[side] - (min(seconds[compiled]) if side in mpax else 0.0) for side in sides}
    exploitability = {side: float(np.max(_dense(game) @ policy)) for side, policy in found.items()}
    rows = [
        (side, taken[side], solving[side], solving[side] / solving["ours"], exploitability[side])
        for side in sides
        if side != compiled
    ]
    table(("", "seconds", "less compilation", "over ours", "exploitability"), rows)
    faster = min(highs, key=taken.__getitem__)
    verdict(f"{faster}, the faster, over ours", taken[faster] / taken["ours"], 5, at_least=True)
    for solver in mpax:
        verdict(f"{solver} without compilation over ours", solving[solver] / solving["ours"], 1, at_least=True)
    verdict("exploitability of ours", exploitability["ours"], 1e-10)


def pooled(with_highs: bool) -> None:
    """All of castles: the path with certificates, against HiGHS at β = 0 alone."""
    game = tables.load("castles")
    print(f"\ncastles, {game.actions:,} actions: β = {PATH[0]:g} … {PATH[-1]:g} with certificates")
    certified: list[tuple[Certificate, np.ndarray]] = []

    def path() -> None:
        certified.clear()
        for found in equilibrium_path(game, PATH):
            certified.append((certify(game, found.log_policy, found.beta), found.log_policy))

    sides: dict[str, Callable[[], None]] = {"path": path}
    if with_highs:
        # HiGHS is asked once; the path before, between and after.
        sides |= {"ds": lambda: _value_is_zero(game, "ds"), "path again": path}
        sides |= {"ipm": lambda: _value_is_zero(game, "ipm"), "path at last": path}
    taken = {side: seconds[0] for side, seconds in alternate(sides, 1, warm=False).items()}
    rows = [
        (c.beta, int(np.sum(log_policy > np.log(1e-9))), c.suboptimality, c.residual, c.exploitability, c.bias)
        for c, log_policy in certified
    ]
    table(("β", "played", "suboptimality", "residual", "exploitability", "bias"), rows)
    ours = statistics.median(seconds for side, seconds in taken.items() if side.startswith("path"))
    print(f"the path: {ours:.1f} s" + "".join(f", HiGHS {side} {taken[side]:.0f} s" for side in taken if len(side) < 4))
    if with_highs:
        verdict("the path over the faster of HiGHS's methods", ours / min(taken["ds"], taken["ipm"]), 0.2)


def accuracy(repeats: int, actions: int = 100) -> None:
    """The worst certificate per β, over families, shipped games and references."""
    betas = (10.0, 1.0, 0.1, 0.01, 1e-3, 1e-4, 1e-5, 0.0)
    worst = {beta: {"suboptimality": (0.0, ""), "residual": (0.0, "")} for beta in betas}
    count, solves = 0, dict.fromkeys(betas, 0)
    for name, game, among in _games(actions, betas):
        count += len(among) == len(betas)
        for found in equilibrium_path(game, among):
            certificate = certify(game, found.log_policy, found.beta)
            solves[found.beta] = max(solves[found.beta], found.solves)
            kept = worst[found.beta]
            for key in kept:
                kept[key] = max(kept[key], (getattr(certificate, key), name))
    print(
        f"\nthe worst of {count} games and references, and of planted-regularised: suboptimality max_π' P_β(π' ≻ π) − ½"
    )
    print("(β = 0: exploitability), residual max |log π − log BR_β(π)| (β = 0: largest regret of an action that plays)")
    rows = [(beta, *worst[beta]["suboptimality"], *worst[beta]["residual"], solves[beta]) for beta in betas]
    table(("β", "suboptimality", "where", "residual", "where", "systems up to here"), rows)
    tested = [beta for beta in betas if beta >= 1e-4]
    for key, target in {"suboptimality": 1e-20, "residual": 1e-10}.items():
        verdict(f"the largest {key} for β ≥ 1e-4", max(worst[beta][key][0] for beta in tested), target)
    verdict("the largest exploitability at β = 0", worst[0.0]["suboptimality"][0], 1e-10)


def active(repeats: int, live: int = 250, actions: int = 4000) -> None:
    """A game of which few actions matter, against those few alone."""
    print(f"\n{live} live actions alone and among {actions:,}: seconds")
    core = _dense(families.generate("random-logits", actions=live)) * 0.4
    large = _handicapped(core, actions)
    games = {"alone": make_game(core), "among": make_game(large)}
    sides = {
        (side, beta): partial(_solve, game, beta) for side, game in games.items() for beta in (0.01, 0.001, 0.0)
    } | {"product": lambda: _multiply(large)}
    taken = middle(sides, repeats)
    rows = [
        (beta, alone, among, among / alone, (among - alone) / taken["product"])
        for beta in (0.01, 0.001, 0.0)
        for alone, among in [(taken["alone", beta], taken["among", beta])]
    ]
    table(("β", "alone", f"among {actions:,}", "ratio", "difference in products Aπ"), rows)


def degenerate(repeats: int, actions: int = 4000) -> None:
    """Games of small rank at β = 0, of which every action is played; HiGHS is stopped after six times our seconds."""
    print(f"\ndegenerate games of {actions:,} actions at β = 0: seconds")
    rows = []
    for family in ("disc", "bilinear"):
        game = families.generate(family, actions=actions)
        began = time.perf_counter()
        found = equilibrium(game, 0)
        taken = time.perf_counter() - began
        theirs, said = _highs_within(_dense(game), 6 * taken)
        status = "exact" if found.converged else "inexact"
        rows.append((family, taken, found.solves, found.products, found.residual, status, theirs, said))
        verdict(f"HiGHS over ours, {family}, at least", theirs / taken, 5, at_least=True)
        verdict(f"seconds of ours, {family}", taken, 30)
    table(("", "ours", "systems", "products", "exploitability", "", "HiGHS", "which"), rows)


def _highs_within(margins: np.ndarray, seconds: float) -> tuple[float, str]:
    """Seconds of HiGHS's dual simplex, and how it ended."""
    n = len(margins)
    began = time.perf_counter()
    found = scipy.optimize.linprog(
        np.append(np.zeros(n), 1.0),
        A_ub=np.column_stack([margins, -np.ones(n)]),
        b_ub=np.zeros(n),
        A_eq=np.append(np.ones(n), 0.0)[None],
        b_eq=[1.0],
        bounds=[(0, None)] * n + [(None, None)],
        method="highs-ds",
        options={"time_limit": seconds},
    )
    taken = time.perf_counter() - began
    return taken, "finished" if found.status == 0 else "was stopped" if found.status == 1 else "failed"


def cold(repeats: int, beta: float = 0.01) -> None:
    """All of castles at one β, without one before."""
    found = {}

    def alone() -> None:
        found["alone"] = equilibrium(tables.load("castles"), beta)

    seconds = middle({"alone": alone}, repeats)["alone"]
    print(
        f"\ncastles at β = {beta:g} alone: {seconds:.1f} s, {found['alone'].solves} systems, "
        f"{found['alone'].products} products, residual {found['alone'].residual:.1e}"
    )


def at_scale(repeats: int, sizes: tuple[int, ...] = (100_000, 1_000_000)) -> None:
    """Rotations in two planes, of which every action is live, and their certificates; memory of the whole process."""
    print("\nA = LRᵀ − RLᵀ with L, R [n, 2], every action live: seconds")
    rows = []
    for n in sizes:
        u, v = np.random.default_rng(0).standard_normal((2, n, 2))
        scale = 0.5 / np.max(np.sum(u**2 + v**2, axis=1))
        # By way of a small game: the margins of a new one are all looked at.
        game = make_game(np.zeros((2, 2))).replace(
            margins=LowRankMargins(scale * u, v), log_reference=np.full(n, -np.log(n))
        )
        for beta in (0.05, 0.01, 1e-4):
            began = time.perf_counter()
            found = equilibrium(game, beta)
            solved = time.perf_counter()
            gap = found.certificate.suboptimality
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
            certified = time.perf_counter() - solved
            rows.append((n, beta, solved - began, certified, found.solves, found.products, found.residual, gap, peak))
    table(("actions", "β", "equilibrium", "certificate", "systems", "products", "residual", "gap", "GiB"), rows)


def _handicapped(core: np.ndarray, actions: int, handicap: float = 0.25) -> np.ndarray:
    """Margins in which the others are copies of the core's actions that lose `handicap` more to everybody original."""
    rng = np.random.default_rng(0)
    originals = len(core)
    copied = np.concatenate([np.arange(originals), rng.integers(originals, size=actions - originals)])
    margins = core[np.ix_(copied, copied)]
    margins[originals:, :originals] -= handicap
    margins[:originals, originals:] += handicap
    return margins


def _games(actions: int, betas: tuple[float, ...]) -> Iterator[tuple[str, Game, list[float]]]:
    """Every game with a reference, and the β that they are for."""
    for family in families.FAMILIES.values():
        n = (actions + (family.name == "circulant")) if family.takes_actions else None
        if family.takes_beta:
            for beta in filter(None, betas):
                game = families.generate(family.name, actions=n, beta=beta)
                yield f"{family.name} {game.actions}", game, [beta]
        else:
            yield from _referenced(family.name, families.generate(family.name, actions=n), betas)
    for name in tables.TABLES:
        yield from _referenced(name, tables.load(name), betas)


def _referenced(name: str, game: Game, betas: tuple[float, ...]) -> Iterator[tuple[str, Game, list[float]]]:
    for reference in ("uniform", "random[scale=1]", "random[scale=4]"):
        log_reference = resolve_reference(reference, game, seed=0)
        yield f"{name} {game.actions} {reference}", game.replace(log_reference=log_reference), list(betas)


def _dense(game: Game) -> np.ndarray:
    return np.asarray(game.margins.to_dense(), np.float64)


def _asked(solver: str, game: Game, beta: float) -> np.ndarray:
    return external.solve(solver, _dense(game), np.asarray(game.log_reference), beta)


def _solve(game: Game, beta: float) -> None:
    equilibrium(game, beta)


def _multiply(margins: np.ndarray) -> None:
    margins @ np.ones(len(margins))


def _value_is_zero(game: Game, method: str) -> None:
    """HiGHS's equilibrium must be one, or its time says nothing."""
    policy = _asked(f"highs[method={method}]", game, 0)
    verdict(f"exploitability of HiGHS {method}", float(np.max(_dense(game) @ policy)), 1e-10)


def _fresh(side: str, path: Path, beta: float) -> list[float]:
    """Seconds of the imports and of the first call of a side, in a process that has only read the margins."""
    lines = (
        "import sys, time, numpy as np",
        "margins, beta = np.load(sys.argv[1], allow_pickle=False), float(sys.argv[2])",
        "began = time.perf_counter()",
        FRESH[side],
        "print(imported - began, time.perf_counter() - imported)",
    )
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines), str(path), str(beta)], capture_output=True, text=True, check=True
    )
    return [float(seconds) for seconds in done.stdout.split()]


if __name__ == "__main__":
    main()
