"""THE compiled loop: every run of every solver goes through `advance`, and nothing else compiles a loop.

Axes: games first, then runs. A number of one run (β, η, a state's entry) has a leading axis over the B runs that share
a game; what belongs to a game (margins, weights) has none, so that one product of A with the policies of all its runs
`[B, n]` serves them all. When G games of one size are solved together (`stacked`), everything has one more axis, over
them, in front.

Nobody is judged by his own word: what is recorded, and the moment of stopping, is measured by the loop's own product
with A, which is not charged.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nashgames.core import metrics
from nashgames.core.game import Game
from nashgames.core.metrics import METRICS, STOPPING, Seen
from nashgames.solvers.protocol import Solver

RUNNING, CONVERGED, BUDGET, DIVERGED, UNTRUE = range(5)
"""How a run is: UNTRUE is one whose solver claimed what the loop's own product does not bear out."""
# The step of runs that have not begun: below 0, the first that is counted.
UNSTARTED = -1
STATUS_NAMES = ("running", "converged", "budget", "diverged", "untrue")

SOUND, NOT_NORMALISED, NOT_ADVANTAGE, NOT_AT_START = range(4)
"""What is wrong with what a solver reports: nothing, its policy, its advantage, where it begins."""


class Problem(NamedTuple):
    """What a batch of runs solves; every leaf but the game's margins and weights is per run.

    `log_equilibrium` `[n]` is NaN where it is not known; `tolerance` is on the metric of the target.
    """

    game: Game
    solver: Solver
    log_equilibrium: jax.Array
    tolerance: jax.Array
    max_steps: jax.Array
    seed: jax.Array


@dataclass(frozen=True)
class Recording:
    """What the points of a run hold: `metrics` by name, and with `path` the policies themselves."""

    metrics: tuple[str, ...] = tuple(METRICS)
    path: bool = False


class LoopState(NamedTuple):
    """A run between two steps: the solver's state after `step` steps, and whether it goes on.

    A run that has stopped keeps its last state; a diverged one its last finite state, `step` steps old.
    """

    state: Any
    step: jax.Array
    status: jax.Array


class Point(NamedTuple):
    """A recorded point of a run: `fault` says what is wrong with what the solver reports there; `log_policy` is empty
    unless the path is recorded."""

    step: jax.Array
    status: jax.Array
    fault: jax.Array
    metrics: dict[str, jax.Array]
    log_policy: jax.Array


PER_RUN = Problem(
    game=Game(margins=None, log_reference=0, beta=0, weights=None, features=None, log_start=0, feedback=0),  # type: ignore[arg-type]
    solver=0,  # type: ignore[arg-type]
    log_equilibrium=0,  # type: ignore[arg-type]
    tolerance=0,  # type: ignore[arg-type]
    max_steps=0,  # type: ignore[arg-type]
    seed=0,  # type: ignore[arg-type]
)
"""The batch axis of every leaf of a Problem, as `jax.vmap` takes it."""


def initial_state(problem: Problem, *, stacked: bool) -> LoopState:
    """Runs before step 0, which `advance` starts; nothing is compiled for them."""

    def placeholder(leaf: jax.ShapeDtypeStruct) -> Any:
        # A solver may keep a random key, which NumPy does not know.
        is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        return (jnp if is_key else np).zeros(leaf.shape, leaf.dtype)

    runs: Any = jax.tree.map(placeholder, jax.eval_shape(_over_runs(_placed, stacked), problem))
    return runs._replace(step=np.full_like(runs.step, UNSTARTED))


def shapes_of_one_run(problem: Problem, *, stacked: bool) -> Problem:
    """The shape and kind of every number of one run of a batch."""
    seen = []

    def look(problem: Problem) -> jax.Array:
        seen.append(jax.tree.map(jax.typeof, problem))
        return problem.seed

    jax.eval_shape(_over_runs(look, stacked), problem)
    return seen[-1]


def advance(
    problem: Problem,
    runs: LoopState,
    targets: Any,
    *,
    stacked: bool,
    target: str = "regularised",
    recording: Recording = Recording(),
) -> tuple[LoopState, Point, jax.Array]:
    """Bring all runs to each step of `targets` `[K]` in turn and measure them there.

    The steps are data: any targets, in any chunks, run the same compiled body, so that chunks equal the whole bit for
    bit. The loop ends early when no run is running. Points have a leading axis K; with them come the last iterates,
    log π `[B, n]` (`[B, m, n]` over contexts, `[G, …]` when stacked). A run stops by the metric of its `target`, a key
    of `metrics.STOPPING`. `runs` is used up.
    """
    return _advance(
        problem,
        runs,
        targets,
        stacked=stacked,
        target=target,
        recording=recording,
        classes=_classes(jax.tree.structure(problem)),
    )


def _classes(structure: Any) -> Any:
    """Every class in a tree, in its place."""
    node = structure.node_data()
    return node and node[0], *map(_classes, structure.children())


# JAX takes two dataclasses with fields of the same kind for one structure, and finds the program of the other solver
# whenever a few bits of two hashes agree (jaxlib 0.10): `classes` tells their programs apart.
@partial(jax.jit, static_argnames=("stacked", "target", "recording", "classes"), donate_argnames="runs")
def _advance(
    problem: Problem,
    runs: LoopState,
    targets: jax.Array,
    *,
    stacked: bool,
    target: str,
    recording: Recording,
    classes: Any,
) -> tuple[LoopState, Point, jax.Array]:
    step_all = _over_runs(partial(_step, target), stacked)
    settle_all = _over_runs(partial(_settled, target), stacked)

    def reach(runs: LoopState, goal: jax.Array) -> tuple[LoopState, tuple[jax.Array, ...]]:
        def unfinished(carry: tuple[jax.Array, LoopState]) -> jax.Array:
            step, runs = carry
            return (step < goal) & jnp.any(runs.status == RUNNING)

        def body(carry: tuple[jax.Array, LoopState]) -> tuple[jax.Array, LoopState]:
            step, runs = carry
            return step + 1, settled(*step_all(problem, runs))

        def settled(runs: LoopState, claims: jax.Array) -> LoopState:
            # One condition for all runs: inside a map over them both of its sides would be computed at every step.
            status = jax.lax.cond(
                jnp.any(claims), lambda: settle_all(problem, runs, claims), lambda: jnp.asarray(runs.status)
            )
            return runs._replace(status=status)

        _, runs = jax.lax.while_loop(unfinished, body, (jnp.max(runs.step), runs))
        reported = _over_runs(_reported, stacked)(problem, runs)
        return runs, (runs.step, runs.status, *reported)

    fresh = jnp.all(runs.step == UNSTARTED)
    runs = jax.lax.cond(fresh, lambda: _over_runs(partial(_start, target), stacked)(problem), lambda: runs)
    runs, seen = jax.lax.scan(reach, runs, targets)
    # All targets at once: A is read once for the points of a chunk.
    measure_all = _over_runs(partial(_measure, recording), stacked)
    points = jax.vmap(lambda *of_target: measure_all(problem, *of_target))(*seen)
    return runs, points, seen[2][-1]


def compiled_count() -> int:
    """How many compiled programs are kept."""
    compiled: Any = _advance
    return int(compiled._cache_size())


def clear_compiled_if_over(limit: int = 0) -> None:
    """Let all compiled programs go once there are `limit` of them."""
    compiled: Any = _advance
    if compiled_count() >= limit:
        compiled.clear_cache()


def _over_runs(function: Any, stacked: bool) -> Any:
    def batched(problem: Problem, *rest: Any) -> Any:
        one_game = jax.vmap(function, in_axes=(PER_RUN, *[0] * len(rest)))
        return (jax.vmap(one_game) if stacked else one_game)(problem, *rest)

    return batched


def _placed(problem: Problem) -> LoopState:
    """The state at the first policy, whose status nobody looked at."""
    step = jnp.zeros((), jnp.int32)
    state = problem.solver.init(problem.game, jax.random.fold_in(_key(problem), step))
    return LoopState(state, step, jnp.full((), RUNNING, jnp.int32))


def _start(target: str, problem: Problem) -> LoopState:
    run = _placed(problem)
    status = _ongoing(problem, run.state, run.step)
    if not _on_samples(problem):
        status = _judged(target, problem, run.state, status, problem.game.advantage(_policy(problem, run)))
    return run._replace(status=status)


def _step(target: str, problem: Problem, run: LoopState) -> tuple[LoopState, jax.Array]:
    """One step of a run, and whether its solver claims that it has converged."""
    step = run.step + 1
    # The key depends on the global step alone, so that chunks and order change nothing.
    state = problem.solver.update(problem.game, run.state, jax.random.fold_in(_key(problem), step))
    status, claim = _ongoing(problem, state, step), jnp.zeros((), bool)
    if not _on_samples(problem):
        claimed = problem.solver.advantage(state)
        if claimed is None:
            own = problem.game.advantage(problem.solver.log_policy(state))
            status = _judged(target, problem, state, status, own)
        else:
            reached = STOPPING[target](problem.game, problem.solver.log_policy(state), claimed)
            status = jnp.where(jnp.isfinite(reached), status, DIVERGED)
            claim = _within(problem, reached)
    running = run.status == RUNNING
    kept = running & (status != DIVERGED)
    state, step = jax.tree.map(partial(jnp.where, kept), (state, step), (run.state, run.step))
    return LoopState(state, step, jnp.where(running, status, run.status)), claim & kept


def _settled(target: str, problem: Problem, run: LoopState, claim: jax.Array) -> jax.Array:
    """The status of a run after its solver's claim was compared with the loop's own product; scalar."""
    own = problem.game.advantage(_policy(problem, run))
    return jnp.where(claim, _judged(target, problem, run.state, run.status, own), run.status)


def _judged(target: str, problem: Problem, state: Any, status: jax.Array, own: jax.Array) -> jax.Array:
    """The status by the true advantage: converged, untrue, diverged, or what it was."""
    log_policy = problem.solver.log_policy(state)
    reached = STOPPING[target](problem.game, log_policy, own)
    sound = _fault(log_policy, problem.solver.advantage(state), own) == SOUND
    status = jnp.where(_within(problem, reached), CONVERGED, status)
    status = jnp.where(jnp.isfinite(reached), status, DIVERGED)
    return jnp.where(sound | (status == DIVERGED), status, UNTRUE)


def _within(problem: Problem, reached: jax.Array) -> jax.Array:
    # At tolerance 0 a run uses its whole budget, also where rounding makes its suboptimality exactly 0.
    return (reached <= problem.tolerance) & (problem.tolerance > 0)


def _ongoing(problem: Problem, state: Any, step: jax.Array) -> jax.Array:
    """Running, out of budget or diverged; a run on samples has no other end.

    To stop it where it first dips below the tolerance would report its luck.
    """
    status = jnp.where(step >= problem.max_steps, BUDGET, RUNNING).astype(jnp.int32)
    if not _on_samples(problem):
        return status
    return jnp.where(jnp.all(jnp.isfinite(problem.solver.log_policy(state))), status, DIVERGED)


def _on_samples(problem: Problem) -> bool:
    return problem.game.feedback.comparisons > 0


def _policy(problem: Problem, run: LoopState) -> jax.Array:
    return problem.solver.log_policy(run.state)


def _key(problem: Problem) -> jax.Array:
    # Named, so that no setting of JAX changes a run.
    return jax.random.key(problem.seed, impl="threefry2x32")


def _reported(problem: Problem, run: LoopState) -> tuple[jax.Array, jax.Array]:
    """The policy and the advantage that the solver reports; NaN where it reports none or an estimate."""
    log_policy = _policy(problem, run)
    claimed = None if _on_samples(problem) else problem.solver.advantage(run.state)
    return log_policy, jnp.full_like(log_policy, jnp.nan) if claimed is None else claimed


def _measure(
    recording: Recording,
    problem: Problem,
    step: jax.Array,
    status: jax.Array,
    log_policy: jax.Array,
    claimed: jax.Array,
) -> Point:
    own = problem.game.advantage(log_policy)
    measured = metrics.measure(Seen(problem.game, log_policy, own, problem.log_equilibrium), recording.metrics)
    path = log_policy if recording.path else log_policy[..., :0]
    fault = _fault(log_policy, claimed, own)
    if problem.game.log_start is not None:
        begins = jnp.all(jnp.abs(log_policy - problem.game.start) <= _allowed(log_policy) * (1 + jnp.abs(log_policy)))
        fault = jnp.where((step == 0) & (fault == SOUND) & ~begins, NOT_AT_START, fault)
    return Point(step, status, fault, measured, path)


def _fault(log_policy: jax.Array, claimed: jax.Array | None, own: jax.Array) -> jax.Array:
    """What is wrong with a reported policy or advantage; what is not a number is for others to say."""
    allowed = _allowed(log_policy)
    total = jnp.log(jnp.sum(jnp.exp(log_policy), axis=-1))
    fault = jnp.full((), SOUND, jnp.int32)
    if claimed is not None:
        fault = jnp.where(jnp.any(jnp.abs(claimed - own) > allowed), NOT_ADVANTAGE, fault)
    # A sum carries the rounding of all its terms, hence ten times as much.
    return jnp.where(jnp.any(jnp.abs(total) > 10 * allowed), NOT_NORMALISED, fault).astype(jnp.int32)


def _allowed(log_policy: jax.Array) -> float:
    """How far two ways to one number may differ: the root of the rounding unit.

    Far above what rounding does to a sum of ten million numbers or to a mean of a million iterates, and far below an
    error that matters.
    """
    return float(np.sqrt(np.finfo(log_policy.dtype).eps))
