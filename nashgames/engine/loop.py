"""THE compiled loop: every run of every solver goes through `advance`, and nothing else compiles a loop.

Axes: games first, then runs. A number of one run (β, η, a state's entry) has a leading axis over the B runs that share
a game; what belongs to a game (margins, weights) has none, so that one product of A with the policies of all its runs
`[B, n]` serves them all. When G games of one size are solved together (`stacked`), everything has one more axis, over
them, in front.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nashgames.core import metrics
from nashgames.core.game import Game
from nashgames.core.metrics import Metrics
from nashgames.solvers import feedback_of
from nashgames.solvers.protocol import Solver

RUNNING, CONVERGED, BUDGET, DIVERGED = range(4)
UNSTARTED = -1
STATUS_NAMES = ("running", "converged", "budget", "diverged")


class Problem(NamedTuple):
    """What a batch of runs solves; every leaf but the game's margins and weights is per run.

    `log_equilibrium` `[n]` is NaN where it is not known; `tolerance` is on the suboptimality.
    """

    game: Game
    solver: Solver
    log_equilibrium: jax.Array
    tolerance: jax.Array
    max_steps: jax.Array
    seed: jax.Array


class Run(NamedTuple):
    """One run between two steps: the solver's state after `step` steps, and whether it goes on.

    A run that has stopped keeps its last state; a diverged one its last finite state, `step` steps old.
    """

    state: Any
    step: jax.Array
    status: jax.Array


class Point(NamedTuple):
    """A recorded point of a run; `log_policy` is empty except for games of three actions, whose simplex is drawn."""

    step: jax.Array
    status: jax.Array
    metrics: Metrics
    log_policy: jax.Array


PER_RUN = Problem(
    game=Game(margins=None, log_reference=0, beta=0, weights=None, features=None, log_start=0),  # type: ignore[arg-type]
    solver=0,  # type: ignore[arg-type]
    log_equilibrium=0,  # type: ignore[arg-type]
    tolerance=0,  # type: ignore[arg-type]
    max_steps=0,  # type: ignore[arg-type]
    seed=0,  # type: ignore[arg-type]
)
"""The batch axis of every leaf of a Problem, as `jax.vmap` takes it."""


def unstarted(problem: Problem, *, stacked: bool) -> Run:
    """Runs before step 0, which `advance` starts; nothing is compiled for them."""

    def placeholder(leaf: jax.ShapeDtypeStruct) -> Any:
        # A solver may keep a random key, which NumPy does not know.
        is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        return (jnp if is_key else np).zeros(leaf.shape, leaf.dtype)

    runs: Any = jax.tree.map(placeholder, jax.eval_shape(_over_runs(_start, stacked), problem))
    return runs._replace(step=np.full_like(runs.step, UNSTARTED))


def advance(problem: Problem, runs: Run, targets: Any, *, stacked: bool) -> tuple[Run, Point, jax.Array]:
    """Bring all runs to each step of `targets` `[K]` in turn and measure them there.

    The steps are data: any targets, in any chunks, run the same compiled body, so that chunks equal the whole bit for
    bit. The loop ends early when no run is running. Points have a leading axis K; with them come the last iterates,
    log π `[B, n]` (`[B, m, n]` over contexts, `[G, …]` when stacked). `runs` is used up.
    """
    return _advance(problem, runs, targets, stacked=stacked, classes=_classes(jax.tree.structure(problem)))


def _classes(structure: Any) -> Any:
    """Every class in a tree, in its place."""
    node = structure.node_data()
    return node and node[0], *map(_classes, structure.children())


# JAX takes two dataclasses with fields of the same kind for one structure, and finds the program of the other solver
# whenever a few bits of two hashes agree (jaxlib 0.10): `classes` tells their programs apart.
@partial(jax.jit, static_argnames=("stacked", "classes"), donate_argnames="runs")
def _advance(
    problem: Problem, runs: Run, targets: jax.Array, *, stacked: bool, classes: Any
) -> tuple[Run, Point, jax.Array]:
    step_all = _over_runs(_step, stacked)

    def reach(runs: Run, target: jax.Array) -> tuple[Run, Point]:
        def unfinished(carry: tuple[jax.Array, Run]) -> jax.Array:
            step, runs = carry
            return (step < target) & jnp.any(runs.status == RUNNING)

        def body(carry: tuple[jax.Array, Run]) -> tuple[jax.Array, Run]:
            step, runs = carry
            return step + 1, step_all(problem, runs)

        _, runs = jax.lax.while_loop(unfinished, body, (jnp.max(runs.step), runs))
        return runs, _over_runs(_measure, stacked)(problem, runs)

    fresh = jnp.all(runs.step == UNSTARTED)
    runs = jax.lax.cond(fresh, lambda: _over_runs(_start, stacked)(problem), lambda: runs)
    runs, points = jax.lax.scan(reach, runs, targets)
    last = _over_runs(lambda problem, run: problem.solver.log_policy(run.state), stacked)(problem, runs)
    return runs, points, last


def programs() -> int:
    """How many compiled programs are kept."""
    compiled: Any = _advance
    return int(compiled._cache_size())


def forget(most: int = 0) -> None:
    """Let all compiled programs go once there are `most` of them."""
    compiled: Any = _advance
    if programs() >= most:
        compiled.clear_cache()


def _over_runs(function: Any, stacked: bool) -> Any:
    def batched(problem: Problem, *rest: Any) -> Any:
        one_game = jax.vmap(function, in_axes=(PER_RUN, *[0] * len(rest)))
        return (jax.vmap(one_game) if stacked else one_game)(problem, *rest)

    return batched


def _start(problem: Problem) -> Run:
    step = jnp.zeros((), jnp.int32)
    state = problem.solver.init(problem.game, jax.random.fold_in(_key(problem), step))
    return Run(state, step, _status(problem, state, step))


def _step(problem: Problem, run: Run) -> Run:
    step = run.step + 1
    # The key depends on the global step alone, so that chunks and order change nothing.
    state = problem.solver.update(problem.game, run.state, jax.random.fold_in(_key(problem), step))
    status = _status(problem, state, step)
    running = run.status == RUNNING
    kept = running & (status != DIVERGED)
    state, step = jax.tree.map(partial(jnp.where, kept), (state, step), (run.state, run.step))
    return Run(state, step, jnp.where(running, status, run.status))


def _key(problem: Problem) -> jax.Array:
    # Named, so that no setting of JAX changes a run.
    return jax.random.key(problem.seed, impl="threefry2x32")


def _status(problem: Problem, state: Any, step: jax.Array) -> jax.Array:
    """Converged, out of budget, diverged or running, at no query: the advantage of the policy is in the state.

    A run on samples goes on to its budget: to stop it where it first dips below the tolerance would report its luck.
    """
    log_policy = problem.solver.log_policy(state)
    if feedback_of(problem.solver).comparisons:
        status = jnp.where(step >= problem.max_steps, BUDGET, RUNNING)
        return jnp.where(jnp.all(jnp.isfinite(log_policy)), status, DIVERGED)
    reached = metrics.suboptimality(problem.game, log_policy, problem.solver.advantage(problem.game, state))
    status = jnp.where(step >= problem.max_steps, BUDGET, RUNNING)
    # At tolerance 0 a run uses its whole budget, also where rounding makes its suboptimality exactly 0.
    status = jnp.where((reached <= problem.tolerance) & (problem.tolerance > 0), CONVERGED, status)
    return jnp.where(jnp.isfinite(reached), status, DIVERGED)


def _measure(problem: Problem, run: Run) -> Point:
    log_policy = problem.solver.log_policy(run.state)
    advantage = problem.solver.advantage(problem.game, run.state)
    measured = metrics.measure(problem.game, log_policy, advantage, problem.log_equilibrium)
    return Point(run.step, run.status, measured, log_policy if log_policy.shape[-1] == 3 else log_policy[..., :0])
