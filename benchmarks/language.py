"""Policies that write sequences: sequences a second and a whole step, beside PyTorch, and what memory depends on.

A transformer of two blocks of width 64 writes up to six tokens out of eight at each of four prompts; the game has
299,593 sequences a prompt and the corpus as reference. A step is that of online-ipo: both sides of a query's duels are
drawn, judged, and θ takes a step of Adam. Programs are mapped over runs, of which there is one, and compiled in the
form "network", as the engine does it. Operations are those of the products with weights alone: two for every weight
and token, three times as many with the gradient; the machine's rate is that of a product of two matrices of 1,024 rows
measured in turn with the rest. PyTorch plays the same model at the same weights (`torch_language.py`, one and two
threads, the faster counts); where it is not installed (`pip install torch`) that part is left out.

With `--cpu` seconds are CPU seconds over the cores: what as many idle cores would take if all were kept busy. It is for
machines with other work beside, and favours the side that leaves cores idle, which is PyTorch.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from timing import least, machine, options, table, verdict

from nashgames.core.game import Game
from nashgames.core.precision import Precision
from nashgames.engine import loop
from nashgames.environment import environment
from nashgames.games import families
from nashgames.learning import measuring
from nashgames.learning.features import resolve_features
from nashgames.learning.feedback import FEEDBACKS
from nashgames.learning.prefixes import TOKENS
from nashgames.learning.references import resolve_reference
from nashgames.solvers import Solver, compose, make_solver

try:
    import torch
    import torch_language
except ModuleNotFoundError:
    torch = torch_language = None

# What is wanted is said for these sizes.
VOCABULARY, LENGTH, PROMPTS = 8, 6, 4
# And for this network.
LAYERS, WIDTH, HEADS = 2, 64, 4
POLICY = f"transformer[layers={LAYERS},width={WIDTH},heads={HEADS}]"
# The step changes nothing in what is measured: small enough to stay finite.
SOLVER, BETA, STEP = "online-ipo", 0.1, 0.003
ROWS = 1024
"""Rows of the matrices whose product gives the machine's rate."""
VOCABULARIES = (3, 5, 7, 10, 100)
"""1,093 to 1,111,111 sequences of up to six tokens, which are listed, and 10^12, which are not."""
PARTS = ("rates", "torch", "memory")
THREADS = (1, 2)
"""Threads of PyTorch, of which the faster counts."""
CALLS = 5
"""Calls of a program in a row, so that what the clock does not resolve is small."""

PRECISION = Precision("float32")

Function = Callable[[Game, Any, jax.Array], Any]
"""What one run does, from the game, its state and a key."""


def main() -> None:
    parser = options(__doc__, repeats=5)
    parser.add_argument("--part", choices=PARTS, nargs="+", default=PARTS)
    parser.add_argument("--batch", type=int, default=64, help="duels of a step at every prompt")
    parser.add_argument("--cpu", action="store_true", help="CPU seconds over the cores instead of the clock's")
    parser.add_argument("--vocabularies", type=int, nargs="+", default=VOCABULARIES, help="of the part memory")
    parser.add_argument("--child", type=int, help="(used by the script itself) a vocabulary whose step is weighed")
    arguments = parser.parse_args()
    if arguments.child:
        return weigh(arguments.child, arguments.batch)
    print(machine())
    if arguments.cpu:
        print("CPU seconds over the cores")
    if {"rates", "torch"} & set(arguments.part):
        rates(arguments)
    if "memory" in arguments.part:
        memory(arguments.vocabularies, arguments.batch)
    return None


def rates(arguments: argparse.Namespace) -> None:
    """Sequences a second of sampling and of whole steps, with their share of the machine's rate; beside PyTorch."""
    batch, game = arguments.batch, game_of(VOCABULARY, arguments.batch)
    solver = solver_of()
    sides: dict[Any, Callable[[], Any]] = {
        "sampling": ours(game, _sampled),
        "step": ours(game, solver.update),
        "product": product(),
    }
    if "torch" in arguments.part and torch is None:
        print("PyTorch is not installed: the two are not compared (pip install torch)")
    elif "torch" in arguments.part:
        sides |= theirs(game, solver, batch)
    seconds = least({name: partial(_spent, side, arguments.cpu) for name, side in sides.items()}, arguments.repeats)
    of_machine = 2 * ROWS**3 / seconds["product"]
    token = 2 * (LAYERS * 12 * WIDTH**2 + WIDTH * (VOCABULARY + 1))
    # A step draws two sequences a duel, reads one of them, and pulls its gradient back at twice the cost.
    counts = {"sampling": (2 * batch, 2), "step": (2 * batch, 2 + 3)}
    rows = []
    for name, (drawn, passes) in counts.items():
        rate = passes * batch * PROMPTS * LENGTH * token / seconds[name]
        written = drawn * PROMPTS / seconds[name]
        rows.append((name, drawn * PROMPTS, 1e3 * seconds[name], written, rate / 1e9, rate / of_machine))
    print(f"\n{batch} duels at each of {PROMPTS} prompts; a matrix product makes {of_machine / 1e9:.0f} GFLOP/s")
    table(("", "sequences", "ms", "sequences a second", "GFLOP/s", "share of the machine's"), rows)
    if "rates" in arguments.part:
        verdict("thousand sequences sampled a second", rows[0][3] / 1e3, 30, at_least=True)
        verdict("thousand sequences a second in whole steps", rows[1][3] / 1e3, 30, at_least=True)
    if ("sampling", THREADS[0]) in seconds:
        for name in counts:
            other = min(seconds[name, threads] for threads in THREADS)
            print(f"PyTorch {torch.__version__}, {name}: {1e3 * other:.3g} ms")
            verdict(f"PyTorch / ours, {name}", other / seconds[name], 5, at_least=True)


def game_of(vocabulary: int, batch: int) -> Game:
    """A game of sequences with the corpus as reference, judged in `batch` duels a query, on the device."""
    parameters = f"vocabulary={vocabulary},length={LENGTH}"
    made = families.generate(
        f"sequence-embedding[{parameters}]", seed=0, contexts=PROMPTS, dtype=PRECISION.dtype, beta=BETA
    )
    made = made.replace(log_reference=resolve_reference("corpus", made))
    made = made.replace(feedback=FEEDBACKS.make(f"duels[batch={batch}]"), features=resolve_features(TOKENS, None, made))
    with PRECISION.scope():
        placed = jax.tree.map(lambda leaf: jnp.asarray(leaf, _kind(leaf)), made)
        return placed.replace(description=made.description)


def solver_of() -> Solver:
    return compose(make_solver(f"{SOLVER}[step={STEP}]"), policy=POLICY, optimiser="adam").with_theory_defaults(BETA)


def ours(game: Game, function: Function) -> Callable[[], Any]:
    """A call of a program of one run, mapped and compiled as the engine does it."""
    program, arguments = program_of(function), (game, states_of(game), keys_of(1))

    def call() -> Any:
        with PRECISION.scope():
            return jax.block_until_ready(program(*arguments))

    return call


def program_of(function: Function) -> Any:
    on_cpu = jax.default_backend() == "cpu"
    mapped = jax.vmap(function, in_axes=(None, 0, 0))
    return jax.jit(mapped, compiler_options=loop.FORMS["network"] if on_cpu else None)


def states_of(game: Game) -> Any:
    """The first state of one run, with a leading axis."""
    with PRECISION.scope():
        return jax.tree.map(lambda leaf: leaf[None], solver_of().init(game, keys_of(0)[0]))


def keys_of(seed: int) -> jax.Array:
    return jax.random.key(seed, impl="threefry2x32")[None]


def product() -> Callable[[], Any]:
    """A call that multiplies two matrices."""
    matrix = np.random.default_rng(0).standard_normal((ROWS, ROWS)).astype(np.float32)
    placed, program = jax.device_put(matrix), jax.jit(jnp.matmul)
    return lambda: jax.block_until_ready(program(placed, placed))


def theirs(game: Game, solver: Any, batch: int) -> dict[Any, Callable[[], Any]]:
    """The PyTorch sides, from the weights with which ours begins; SystemExit where the two are not the same model."""
    policy = solver.learner.policy
    with PRECISION.scope():
        parameters = policy.init(game, keys_of(0)[0])
        # Away from the reference, where the last layer is 0 and hides what is before it.
        moved = parameters + 0.1 * jax.random.normal(keys_of(2)[0], parameters.shape, parameters.dtype)
        tokens = policy.written(game, moved, keys_of(3)[0], batch)
        expected = policy.log_prob_of(game, moved, tokens)
        numbers = game.features.sequences.numbers(tokens)
        margins = game.margins.entries(numbers, numbers[:, ::-1])
    played = torch_language.Game.of(game)
    found = torch_language.Writer(played, policy._at(game, moved)).log_prob(torch.from_numpy(np.array(tokens)).long())
    # Products of float32 are summed in other orders.
    np.testing.assert_allclose(found.detach().numpy(), expected, atol=1e-4, rtol=1e-4)
    at = torch.from_numpy(np.array(numbers)).long()
    np.testing.assert_allclose(played.margins(at, at.flip(-1)).numpy(), margins, atol=1e-4)
    run = torch_language.Run(played, torch_language.Writer(played, policy._at(game, parameters)), STEP)
    sides: dict[Any, Callable[[], Any]] = {}
    for threads in THREADS:
        sides["sampling", threads] = partial(_with_threads, threads, lambda: run.writer.sample(2 * batch))
        sides["step", threads] = partial(_with_threads, threads, lambda: run.step(batch))
    return sides


def memory(vocabularies: list[int], batch: int) -> None:
    """What a step needs against the number of sequences, each in a process of its own."""
    rows = []
    for vocabulary in vocabularies:
        command = [sys.executable, __file__, "--child", str(vocabulary), "--batch", str(batch)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"the step of vocabulary {vocabulary} ended with {done.returncode}: {done.stderr[-300:]}")
        found = json.loads(done.stdout.splitlines()[-1])
        rows.append([found[name] for name in ("sequences", "step", "state", "game", "measuring", "before", "peak")])
    print(f"\nMB at {PROMPTS} prompts, {batch} duels each: what grows with n, as long as it is listed, is the game and")
    print("what measures; what grows with V are the probabilities of the next token")
    header = ("sequences", "step", "state", "game", "a record", "process before the step", "its peak after 20")
    table(header, rows)
    verdict("memory of a step, most over least sequences", rows[-1][1] / rows[0][1], 1.1)


def weigh(vocabulary: int, batch: int, steps: int = 20) -> None:
    """MB of one step: its temporary numbers, its state, and the game's arrays, as its compiled program says; those of
    what a record is measured on, all sequences or samples; the process before and after `steps` steps. Printed."""
    game, solver = game_of(vocabulary, batch), solver_of()
    states, keys = states_of(game), keys_of(1)

    weights = {}
    with PRECISION.scope():
        listed = game.features.sequences.listed
        for name, function in (("measuring", _listed if listed else _drawn), ("step", solver.update)):
            program = program_of(function).lower(game, states, keys).compile()
            found = program.memory_analysis()
            weights[name] = found.temp_size_in_bytes + (name == "measuring") * found.output_size_in_bytes
        before, kept = _peak(), states
        for _ in range(steps):
            kept = jax.block_until_ready(program(game, kept, keys))
    state = sum(leaf.nbytes for leaf in jax.tree.leaves(states))
    of_game = sum(leaf.nbytes for leaf in jax.tree.leaves(game))
    in_bytes = {**weights, "state": state, "game": of_game, "before": before, "peak": _peak()}
    print(json.dumps({"sequences": game.actions} | {name: size / 1e6 for name, size in in_bytes.items()}))


def _sampled(game: Game, state: Any, key: jax.Array) -> jax.Array:
    """Both sides of a step's duels."""
    return state.log_policy.policy.written(game, state.parameters, key, 2 * game.feedback.comparisons)


def _listed(game: Game, state: Any, key: jax.Array) -> jax.Array:
    """log π of all sequences, as a record is measured."""
    return state.log_policy.table(game)


def _drawn(game: Game, state: Any, key: jax.Array) -> Any:
    """What a record is estimated from where sequences are not listed."""
    return measuring.drawn(game, state.log_policy, None, key)


def _spent(call: Callable[[], Any], cpu: bool) -> float:
    """Seconds of one of `CALLS` calls, of the clock, or of the CPU over the cores."""
    clock = time.process_time if cpu else time.perf_counter
    began = clock()
    for _ in range(CALLS):
        call()
    return (clock() - began) / CALLS / (environment()["cores"] if cpu else 1)


def _with_threads(threads: int, call: Callable[[], Any]) -> None:
    torch.set_num_threads(threads)
    call()


def _kind(leaf: Any) -> Any:
    """float32 for numbers with a point."""
    return np.float32 if np.asarray(leaf).dtype.kind == "f" else None


def _peak() -> float:
    """Bytes that the process has had in memory at most: kilobytes on Linux, bytes on a Mac."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    main()
