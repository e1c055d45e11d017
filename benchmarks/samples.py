"""Learning from samples: the EGPO protocol against a straightforward PyTorch loop, and sampled comparisons a second.

The protocol: ten games whose entries below the diagonal are U(0, 1), reference logits N(0, 1), β = 0.001, 0.01, 0.1,
plain SGD; a table of n = 10 and networks of depth 3 and width 10 at n = 100; exact gradients and 100 duels a step,
whose label is P itself as in the public simulation. Both sides take the same steps in the same dtype and must reach the
same policies. Ours measures suboptimality at every step with exact feedback and at recorded points on duels; the
PyTorch loop is timed with the gap at every step, as the public simulation has it, and at recorded points, and the ratio
takes what is equal work. PyTorch plays one run after the other; `together` is its ten games of one β in one tensor, as
the public simulation keeps them. Of one and two threads the faster counts. Without PyTorch (`pip install torch`) this
part is left out.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from timing import alternate, least, machine, options, placed_games, table, verdict

from nashgames.core.game import Game
from nashgames.core.precision import Precision
from nashgames.engine.batch import Batch, Lane, Settings
from nashgames.experiments.batches import batches_of, game_chunks
from nashgames.experiments.experiment import Experiment
from nashgames.experiments.plan import plan, settings_of
from nashgames.experiments.run import Run
from nashgames.learning.features import resolve_features
from nashgames.learning.references import resolve_reference
from nashgames.solvers import Solver, compose, features_of, make_solver

try:
    import torch
    import torch_loop
except ModuleNotFoundError:
    torch = torch_loop = None

GAMES = 10
"""Games, β and share of the reference in Nash-MD's opponent are those of the EGPO protocol."""
BETAS = (0.001, 0.01, 0.1)
"""See `GAMES`."""
MIXTURE = 0.125
"""See `GAMES`."""
THREADS = (1, 2)
"""Threads of PyTorch, of which the faster counts."""
SEEDS = 1000
"""Enough that a step is long against its call."""
DRAWS = ("uniform[seed=0]", "uniform")
"""One game for all seeds, and a game for every seed."""
PARTS = ("protocol", "throughput", "single")


@dataclass(frozen=True)
class Case:
    """Some rows of the protocol: `step` is the gradient step a of every method, small since what is compared is time,
    `steps` how many ours takes, `target` the ratio it must reach."""

    policy: str
    actions: int
    feedback: str
    step: float
    steps: int
    target: float

    @property
    def duels(self) -> bool:
        return self.feedback != "exact"


SOLVERS = ("uniform-ipo", "online-ipo", "nash-md-pg", "egpo")
DUELS = "duels[batch=100,label=probability]"
CASES = (
    Case("tabular", 10, "exact", 0.05, 10_000, 50),
    Case("tabular", 10, DUELS, 0.05, 1000, 10),
    Case("mlp[features=none]", 100, "exact", 0.001, 1000, 10),
    Case("mlp[features=none]", 100, DUELS, 0.001, 500, 10),
    Case("mlp[features=spectral]", 100, "exact", 0.001, 500, 10),
    Case("mlp[features=spectral]", 100, DUELS, 0.001, 300, 10),
)


def main() -> None:
    parser = options(__doc__, repeats=5)
    parser.add_argument("--part", choices=PARTS, nargs="+", default=PARTS)
    parser.add_argument("--dtype", choices=("float64", "float32"), nargs="+", default=("float64", "float32"))
    parser.add_argument("--torch-steps", type=int, default=50, help="steps of every run of the PyTorch loop")
    arguments = parser.parse_args()
    print(machine())
    precisions = [Precision(dtype) for dtype in arguments.dtype]
    if "protocol" in arguments.part:
        if torch is None:
            print("PyTorch is not installed: the EGPO protocol is not compared (pip install torch)")
        else:
            for precision in precisions:
                protocol(precision, arguments.repeats, arguments.torch_steps)
    if "throughput" in arguments.part:
        throughput(precisions, arguments.repeats)
    if "single" in arguments.part:
        single_comparisons(precisions, arguments.repeats)


def protocol(precision: Precision, repeats: int, torch_steps: int) -> None:
    """Every case and solver of the protocol: µs of one step of all 30 runs."""
    runs = GAMES * len(BETAS)
    print(f"\nthe EGPO protocol, {precision.dtype}, torch {torch.__version__}: µs of one step of {runs} runs")
    header = ("policy", "n", "feedback", "solver", "ours", "compile s", "PyTorch", "every gap", "together", "every gap")
    rows, verdicts = [], []
    for case in CASES:
        totals = np.zeros(5)
        for solver in SOLVERS:
            compile_seconds = solved(case, solver, precision, case.steps).compile_seconds
            check_same(case, solver, precision)
            taken = measured(case, solver, precision, repeats, torch_steps)
            totals += taken
            feedback = case.feedback.partition(",")[0].rstrip("]") + "]" if case.duels else case.feedback
            rows.append((case.policy, case.actions, feedback, solver, taken[0], compile_seconds, *taken[1:]))
        ours, recorded, every, together, together_every = totals
        equal, equal_together = (recorded, together) if case.duels else (every, together_every)
        what = f"{case.policy}, {'duels' if case.duels else 'exact'}, {precision.dtype}"
        verdicts.append((what, equal / ours, case.target, equal_together / ours))
    table(header, rows)
    for what, ratio, target, of_joined in verdicts:
        verdict(f"PyTorch / ours, {what} (together {of_joined:.3g})", ratio, target, at_least=True)


def measured(case: Case, solver: str, precision: Precision, repeats: int, torch_steps: int) -> np.ndarray:
    """µs of a step of all runs: ours, and of PyTorch one by one and together, each with recorded gaps and every gap."""
    problems = torch_problems(case, precision)
    joined = [together([problem for problem in problems if problem[0].beta == beta]) for beta in BETAS]
    sides: dict[Any, Callable[[], float | None]] = {
        "ours": lambda: solved(case, solver, precision, case.steps).solve_seconds
    }
    kinds = [(form, every) for form in ("one", "joined") for every in (torch_steps, 1)]
    for form, every in kinds:
        for threads in THREADS:
            played = problems if form == "one" else joined
            sides[form, every, threads] = partial(_torch, case, solver, played, torch_steps, every, threads)
    seconds = least(sides, repeats)
    theirs = [min(seconds[form, every, threads] for threads in THREADS) / torch_steps for form, every in kinds]
    return np.array([seconds["ours"] / case.steps, *theirs]) * 1e6


def composed(case: Case, solver: str, beta: float) -> Solver:
    """The solver with the step of the benchmark and the parts of the case."""
    mixture = f",mixture={MIXTURE}" if solver == "nash-md-pg" else ""
    made = compose(make_solver(f"{solver}[step={case.step}{mixture}]"), feedback=case.feedback, policy=case.policy)
    return made.with_theory_defaults(beta)


def games_of(case: Case, precision: Precision) -> list[Game]:
    """The ten games, with references and with what the network sees."""
    games = placed_games("uniform", case.actions, precision, GAMES)
    features = features_of(composed(case, SOLVERS[0], BETAS[0]))
    for seed, game in enumerate(games):
        seen = None if features is None else resolve_features(*features, game, seed=seed)
        games[seed] = game.replace(log_reference=resolve_reference("random[scale=1]", game, seed), features=seen)
    return games


def solved(case: Case, solver: str, precision: Precision, steps: int) -> Batch:
    """Ours: one batch of every game and β, brought to `steps` steps."""
    games = games_of(case, precision)
    lanes = [
        [lane(composed(case, solver, beta), beta, game.log_reference, seed) for beta in BETAS]
        for seed, game in enumerate(games)
    ]
    return finished(games, lanes, unstopped(lanes, precision, steps))


def unstopped(lanes: list[list[Lane]], precision: Precision, steps: int) -> Settings:
    """As many steps as are asked for: the tolerance is never reached."""
    return Settings(steps * lanes[0][0].solver.queries_per_step, -1.0, 1, precision=precision)


def lane(solver: Solver, beta: float, log_reference: np.ndarray, seed: int) -> Lane:
    """A run whose equilibrium is not asked for."""
    return Lane(solver, beta, log_reference, np.full_like(log_reference, np.nan), seed)


def finished(games: list[Game], lanes: list[list[Lane]], settings: Settings) -> Batch:
    """A batch brought to its end."""
    batch = Batch(games, lanes, settings)
    while not batch.finished:
        batch.advance()
    return batch


Problem = tuple["torch_loop.Game", Callable[[], "torch.nn.Module"]]
"""A game of the PyTorch side, and what makes its policy with the first parameters of our run."""


def torch_problems(case: Case, precision: Precision) -> list[Problem]:
    """Every game and β of the protocol as PyTorch has them."""
    games = enumerate(games_of(case, precision))
    return [torch_problem(case, game, beta, seed, precision) for seed, game in games for beta in BETAS]


def torch_problem(case: Case, game: Game, beta: float, seed: int, precision: Precision) -> Problem:
    """One run as PyTorch has it."""
    arrays = (game.margins.to_dense(), game.log_reference)
    problem = torch_loop.Game(*map(partial(_tensor, precision), arrays), beta)
    if case.policy == "tabular":
        return problem, partial(torch_loop.Tabular, problem)
    return problem, partial(torch_loop.Network, problem, *network(case, game, seed, precision))


def network(case: Case, game: Game, seed: int, precision: Precision) -> tuple[Any, Any, bool]:
    """What the network of our run with this seed sees, its first layers, and whether its input is learned."""
    policy = composed(case, SOLVERS[0], BETAS[0]).learner.policy
    with precision.scope():
        key = jax.random.fold_in(jax.random.key(seed, impl="threefry2x32"), 0)
        first = policy.init(game.replace(log_reference=np.asarray(game.log_reference, precision.numpy)), key)
    learned = first.inputs is not None
    inputs = first.inputs[None] if learned else game.features
    layers = [
        (layer.weight.T, np.zeros(len(layer.weight)) if layer.bias is None else layer.bias)
        for layer in first.network.layers
    ]
    return *jax.tree.map(partial(_tensor, precision), (inputs, layers)), learned


def together(problems: list[Problem]) -> Problem:
    """The games of one β in one tensor, every run with its own parameters."""
    games, policies = [game for game, _ in problems], [make() for _, make in problems]
    margins = torch.stack([game.margins for game in games])
    joined = torch_loop.Game(margins, torch.stack([game.log_reference for game in games]), games[0].beta)
    if isinstance(policies[0], torch_loop.Tabular):
        return joined, partial(torch_loop.Tabular, joined)
    inputs = torch.stack([policy.inputs.data for policy in policies])
    layers = [
        (torch.stack([weight.data for weight in weights]), torch.stack([bias.data for bias in biases]).unsqueeze(1))
        for weights, biases in zip(
            zip(*(policy.weights for policy in policies), strict=True),
            zip(*(policy.biases for policy in policies), strict=True),
            strict=True,
        )
    ]
    return joined, partial(torch_loop.Network, joined, inputs, layers, learned=policies[0].inputs.requires_grad)


def _tensor(precision: Precision, values: Any) -> "torch.Tensor":
    return torch.from_numpy(np.array(values, precision.numpy))


def _torch(case: Case, solver: str, problems: list[Problem], steps: int, every: int, threads: int) -> None:
    torch.set_num_threads(threads)
    for game, make in problems:
        played(case, solver, game, make(), steps, every)


def played(case: Case, solver: str, game: "torch_loop.Game", policy: "torch.nn.Module", steps: int, every: int) -> Any:
    """The same steps by PyTorch; the gaps it saw."""
    duels = torch_loop.Duels(100, binary="probability" not in case.feedback) if case.duels else None
    if solver == "egpo":
        return torch_loop.play_extragradient(game, policy, case.step, steps, duels, every)
    losses = {
        "uniform-ipo": torch_loop.uniform_ipo,
        "online-ipo": torch_loop.online_ipo,
        "nash-md-pg": partial(torch_loop.nash_md_pg, mixture=MIXTURE),
    }
    return torch_loop.play(losses[solver], game, policy, case.step, steps, duels, every)


def check_same(case: Case, solver: str, precision: Precision, steps: int = 100, copies: int = 200) -> None:
    """Both sides must do the same thing: to rounding where gradients are exact, and in distribution on duels.

    On duels the mean suboptimality of `copies` runs of the first game must agree within five standard errors.
    """
    if not case.duels:
        ours = [curve.log_policy for curves in solved(case, solver, precision, steps).curves() for curve in curves]
        for log_policy, (game, make) in zip(ours, torch_problems(case, precision), strict=True):
            policy = make()
            played(case, solver, game, policy, steps, steps)
            rounding = 1e4 * np.finfo(precision.dtype).eps
            np.testing.assert_allclose(log_policy, policy().detach().numpy(), rtol=rounding)
        return
    game, beta = games_of(case, precision)[0], BETAS[-1]
    made = composed(case, solver, beta)
    lanes = [[lane(made, beta, game.log_reference, seed) for seed in range(copies)]]
    ours = [
        c.metrics["suboptimality"][-1] for c in finished([game], lanes, unstopped(lanes, precision, steps)).curves()[0]
    ]
    joined, make = together([torch_problem(case, game, beta, seed, precision) for seed in range(copies)])
    theirs = played(case, solver, joined, make(), steps, steps)[-1].numpy() / 2
    error = np.hypot(np.std(ours), np.std(theirs)) / np.sqrt(copies)
    if not abs(np.mean(ours) - np.mean(theirs)) <= 5 * error:
        what = f"{solver}, {case.policy}, on duels"
        raise SystemExit(f"{what}: mean suboptimality {np.mean(ours):.4g}, PyTorch {np.mean(theirs):.4g} ± {error:.1g}")


def throughput(
    precisions: list[Precision], repeats: int, actions: int = 100, batch: int = 100, steps: int = 100
) -> None:
    """Comparisons a second over a thousand seeds, whole steps: sampling, gradient and policy."""
    print(f"\n{SEEDS:,} seeds, {actions} actions, {batch} duels a step: million comparisons a second")
    rows = []
    for precision in precisions:
        for solver in ("online-ipo", "nash-prox", "mirror-descent"):
            sides = {game: partial(_seeds, game, solver, actions, batch, steps, precision) for game in DRAWS}
            taken = least(sides, repeats)
            rows.append((solver, precision.dtype, *(SEEDS * batch * steps / taken[game] / 1e6 for game in DRAWS)))
    table(("solver", "dtype", "one game", f"{SEEDS:,} games"), rows)
    for solver, dtype, one, many in rows:
        if solver == "online-ipo":
            verdict(f"million comparisons a second, one game, {dtype}", one, 10, at_least=True)
            verdict(f"million comparisons a second, {SEEDS:,} games, {dtype}", many, 10, at_least=True)


def single_comparisons(precisions: list[Precision], repeats: int, actions: int = 10, steps: int = 10_000) -> None:
    """A thousand seeds of many steps of one comparison: the loop with its compilation, and the whole command."""
    print(f"\n{SEEDS:,} seeds, {actions} actions, {steps:,} steps of one comparison: seconds")
    rows = []
    for precision in precisions:
        sides: dict[Any, Callable[[], float | None]] = {
            game: partial(_seeds, game, "online-ipo", actions, 1, steps, precision, compilation=True) for game in DRAWS
        }
        sides["command"] = partial(_command, actions, steps, precision)
        taken = {name: min(values) for name, values in alternate(sides, repeats, warm=False).items()}
        rows.append((precision.dtype, *taken.values()))
    table(("dtype", "one game", f"{SEEDS:,} games", "whole command"), rows)
    for dtype, *seconds in rows:
        for what, taken in zip(("one game", f"{SEEDS:,} games", "whole command"), seconds, strict=True):
            verdict(f"seconds over 30, {what}, {dtype}", taken / 30, 1)


def _seeds(
    game: str, solver: str, actions: int, duels: int, steps: int, precision: Precision, *, compilation: bool = False
) -> float:
    """Seconds of a thousand seeds, in the batches that a command would make of them."""
    asked = Experiment(
        game=game,
        actions=actions,
        solver=solver,
        feedback=f"duels[batch={duels}]",
        beta=BETAS[-1],
        seeds=SEEDS,
        comparisons=steps * duels,
        records=1,
        dtype=precision.dtype,
    )
    settings, seconds = settings_of(asked), 0.0
    runs, _ = plan(asked, settings)
    for chunk in game_chunks(runs, precision.numpy.itemsize):
        games = {of_game[0].game_key: _placed(of_game[0], precision) for of_game in chunk}
        for rows in batches_of(chunk):
            played = [games[row[0].game_key] for row in rows]
            lanes = [
                [lane(run.identity.solver, run.identity.beta, game.log_reference, run.identity.seed) for run in row]
                for row, game in zip(rows, played, strict=True)
            ]
            batch = finished(played, lanes, settings)
            seconds += batch.solve_seconds + (batch.compile_seconds if compilation else 0.0)
    return seconds


def _placed(run: Run, precision: Precision) -> Game:
    """The game of a planned run on the device."""
    source, actions, seed, beta = run.game_key
    game = source.make(actions, seed, beta or run.identity.beta, precision.dtype)
    with precision.scope():
        return game.replace(margins=jax.device_put(game.margins))


def _command(actions: int, steps: int, precision: Precision) -> None:
    """The same, typed in a terminal: a thousand games with their equilibria and curves, in a fresh process."""
    words = [
        str(Path(sys.executable).with_name("nashgames")),
        "run",
        "uniform",
        "-n",
        str(actions),
        "--quiet",
        "--no-plot",
    ]
    words += ["--solver", "online-ipo", "--feedback", "duels", "--beta", str(BETAS[-1]), "--dtype", precision.dtype]
    words += ["--seeds", str(SEEDS), "--comparisons", str(steps)]
    with tempfile.TemporaryDirectory() as folder:
        variables = os.environ | {"NASHGAMES_CACHE": str(Path(folder) / "cache")}
        done = subprocess.run(words, cwd=folder, env=variables, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} ended with {done.returncode}: {done.stderr.strip()}")


if __name__ == "__main__":
    main()
