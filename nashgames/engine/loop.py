"""THE compiled loop: every run of every solver goes through `advance`, and nothing else compiles a loop.

Axes: games first, then runs. A number of one run (β, η, a state's entry) has a leading axis over the B runs that share
a game; what belongs to a game (margins, weights) has none, so that one product of A with the policies of all its runs
`[B, n]` serves them all. When G games of one size are solved together (`stacked`), everything has one more axis, over
them, in front.

No solver reports its own result: what is recorded, and the moment of stopping, is measured by the loop's own product
with A, which is not charged.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nashgames.core import metrics, simplex
from nashgames.core.feedback import EXACT
from nashgames.core.game import Game
from nashgames.core.metrics import METRICS, STOPPING, Seen
from nashgames.core.next_tokens import Chains
from nashgames.core.sequences import Sequences
from nashgames.engine import exported
from nashgames.engine.exported import Exported, classes_of, name_of
from nashgames.learning import measuring
from nashgames.learning.generated import At
from nashgames.solvers.protocol import Solver

RUNNING, CONVERGED, BUDGET, DIVERGED, UNTRUE = range(5)
"""How a run is: UNTRUE is one whose solver claimed what the loop's own product does not bear out."""
# The step of runs that have not begun: below 0, the first that is counted.
UNSTARTED = -1
STATUS_NAMES = ("running", "converged", "budget", "diverged", "untrue")

SOUND, NOT_NORMALISED, NOT_ADVANTAGE, NOT_AT_START = range(4)
"""What is wrong with what a solver reports: nothing, its policy, its advantage, where it begins."""


# The letters "see".
_MEASURING = 0x736565
"""Sets the draws that a run is measured with apart from those that it learns from, whose keys are folded from one."""

NEVER, IF_STOPPED, ALWAYS = range(3)
"""Where a point is measured that is not measured everywhere: nowhere, where a run has stopped by then, here."""


# Threads that prepare batches would each compile the one program that measures them.
_ONE_AT_A_TIME = threading.Lock()

FORMS: dict[str, dict[str, Any]] = {
    "optimised": {},
    # Ready in a third of the time, and takes up to three times as long (`benchmarks/compiling.py`).
    "quick": {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False},
    # The gradient of a transformer takes a third to a seventh of the time without these fusions (jaxlib 0.10.2).
    "network": {"xla_cpu_experimental_ynn_fusion_type": ""},
}
"""The forms in which a program is compiled, and the options of XLA for the CPU that they are compiled with."""


class Problem(NamedTuple):
    """What a batch of runs solves; every leaf but the game's margins and weights is per run.

    `log_equilibrium` `[n]` is NaN where it is not known, of unlisted sequences `Chains` or None; `tolerance` is on the
    metric of the target.
    """

    game: Game
    solver: Solver
    log_equilibrium: Any
    tolerance: jax.Array
    max_steps: jax.Array
    seed: jax.Array


@dataclass(frozen=True)
class Recording:
    """What the points of a run hold: `metrics` by name, and with `path` the policies themselves.

    `sequences` are what the actions are, for the metrics `OF_SEQUENCES`.
    """

    metrics: tuple[str, ...] = tuple(METRICS)
    path: bool = False
    sequences: Sequences | None = None


class LoopState(NamedTuple):
    """A run between two steps: the solver's state after `step` steps, and whether it goes on.

    A run that has stopped keeps its last state; a diverged one its last finite state, `step` steps old.
    """

    state: Any
    step: jax.Array
    status: jax.Array


class Reported(NamedTuple):
    """A run at a recorded step: what its solver reports as log π and as q(π), NaN where it reports none or an
    estimate; of sequences that are not listed the sampled policy itself, and the seed to sample it with."""

    step: jax.Array
    status: jax.Array
    log_policy: jax.Array | At
    claimed: jax.Array


class _Seen(NamedTuple):
    """A run, its advantage and what is wrong with it, after a step as its solver says, or as the loop looks itself."""

    run: LoopState
    advantage: jax.Array
    fault: jax.Array


class _Pending(NamedTuple):
    """Runs at a `step` and the `claims` of those that may have converged, at which the loop has yet to look."""

    step: jax.Array
    runs: LoopState
    claims: jax.Array


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
    log_equilibrium=0,
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

    runs: Any = jax.tree.map(placeholder, jax.eval_shape(_over_runs(_start, stacked), problem))
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
    form: str = "optimised",
    programs: "Programs | None" = None,
    asked: Any = None,
) -> tuple[LoopState, Point, jax.Array]:
    """Bring all runs to each step of `targets` `[K]` in turn and measure them there.

    The steps are data: any targets, in any chunks, run the same compiled body, so that chunks equal the whole bit for
    bit. The loop ends early when no run is running. Points have a leading axis K; with them come the last iterates,
    log π `[B, n]` (`[B, m, n]` over contexts, `[G, …]` when stacked). A run stops by the metric of its `target`, a key
    of `metrics.STOPPING`. `runs` is used up. Programs are compiled in a `form` of FORMS; `programs` are those that
    `kept_programs` has for all this.

    Where measuring is by samples, which costs as much as some steps, `asked` `[K]` says where: `ALWAYS`, `IF_STOPPED`
    or `NEVER`. Elsewhere the numbers are NaN.
    """
    # What is measured does not depend on who is measured: all solvers share this program.
    game = problem.game.replace(feedback=EXACT)
    if programs is not None:
        runs, seen = programs.advance(problem, runs, targets, like=(runs, Reported._make(range(4))))
        like = Point._make([0, 0, 0, dict.fromkeys(recording.metrics, 0), 0]), 0
        points, last = programs.measure(game, problem.log_equilibrium, seen, like=like)
        return runs, points, last
    classes, form = tuple(classes_of(jax.tree.structure(problem))), form if _is_known(form) else "optimised"
    runs, seen = _ADVANCE[form](problem, runs, targets, stacked=stacked, target=target, classes=classes)
    with _ONE_AT_A_TIME:
        points, last = _MEASURE[form](game, problem.log_equilibrium, seen, asked, stacked=stacked, recording=recording)
    return runs, points, last


class Programs(NamedTuple):
    """The two programs of `advance` as they are kept between processes."""

    advance: Exported
    measure: Exported


def kept_programs(
    problem: Problem,
    targets: Any,
    *,
    stacked: bool,
    target: str = "regularised",
    recording: Recording = Recording(),
    form: str = "optimised",
) -> Programs | None:
    """The programs of `advance` with these arguments, of listed games; None where they are not kept."""
    options, game = FORMS[form], problem.game.replace(feedback=EXACT)
    # States and reports are as large as the problem says.
    name = name_of(("advance", stacked, target), options, (problem, targets))
    measured = name_of(("measure", stacked, recording), options, (game, problem.log_equilibrium, targets))
    if name is None or measured is None:
        return None
    step = partial(_advance, stacked=stacked, target=target, classes=None)
    measure = partial(_measure, asked=None, stacked=stacked, recording=recording)
    kept = Programs(Exported(step, options, (1,), name), Exported(measure, options, (), measured))
    # Whoever made it before has tried.
    if kept.advance.is_there or _is_known(form):
        return kept
    return kept_programs(problem, targets, stacked=stacked, target=target, recording=recording)


@cache
def _is_known(form: str) -> bool:
    """Whether this XLA has the options of a form; they are no part of what it promises."""
    try:
        jax.jit(jnp.negative, compiler_options=FORMS[form] or None)(np.float32(0))
    except jax.errors.JaxRuntimeError:
        return False
    return True


def _compiled(function: Callable[..., Any], **arguments: Any) -> dict[str, Any]:
    """The compiled forms of a function."""
    return {form: jax.jit(function, compiler_options=options or None, **arguments) for form, options in FORMS.items()}


def _advance(
    problem: Problem, runs: LoopState, targets: jax.Array, *, stacked: bool, target: str, classes: Any
) -> tuple[LoopState, Reported]:
    start_all, step_all, look_all, judge_all, report_all = (
        _over_runs(function, stacked) for function in (_start, _step, _look, partial(_judge, target), _report)
    )

    def unfinished(goal: jax.Array, pending: _Pending) -> jax.Array:
        running = jnp.any(pending.runs.status == RUNNING)
        return ((pending.step < goal) & running) | jnp.any(pending.claims)

    def proceed(pending: _Pending) -> _Pending:
        # One condition for all runs: inside a map over them both of its sides would be computed at every step.
        looks = jnp.any(pending.claims)
        if _on_samples(problem):
            # Nobody claims anything.
            seen = step_all(problem, pending.runs)
        else:
            seen = jax.lax.cond(looks, lambda: look_all(problem, pending.runs), lambda: step_all(problem, pending.runs))
        judged = judge_all(problem, pending.runs, pending.claims, jnp.broadcast_to(looks, pending.claims.shape), seen)
        return _Pending(pending.step + jnp.where(looks, 0, 1), *judged)

    def reach(pending: _Pending, goal: jax.Array) -> tuple[_Pending, Reported]:
        pending = jax.lax.while_loop(partial(unfinished, goal), proceed, pending)
        pending = pending._replace(step=jnp.max(pending.runs.step))
        return pending, report_all(problem, pending.runs)

    fresh = jnp.all(runs.step == UNSTARTED)
    runs = jax.lax.cond(fresh, lambda: start_all(problem), lambda: runs)
    # Whoever has just begun may be there already.
    claims = jnp.broadcast_to(fresh & (not _on_samples(problem)), runs.status.shape)
    pending, reported = jax.lax.scan(reach, _Pending(jnp.max(runs.step), runs, claims), targets)
    return pending.runs, reported


def _measure(
    game: Game, log_equilibrium: Any, seen: Reported, asked: Any, *, stacked: bool, recording: Recording
) -> tuple[Point, Any]:
    """The points of a chunk, all targets at once, as A is read once for them, and the last iterates."""
    one_game = jax.vmap(partial(_measured, recording), in_axes=(PER_RUN.game, 0, 0))
    all_games = jax.vmap(one_game) if stacked else one_game
    measure = partial(all_games, game, log_equilibrium)
    points = jax.vmap(measure)(seen) if asked is None else jax.lax.map(partial(_if_asked, measure), (seen, asked))
    return points, jax.tree.map(lambda every: every[-1], seen.log_policy)


def _if_asked(measure: Callable[[Reported], Point], at: tuple[Reported, jax.Array]) -> Point:
    """The point of all runs at a target, its numbers NaN where they are not asked for."""
    seen, asked = at

    def unmeasured() -> Point:
        shapes: Point = jax.eval_shape(measure, seen)
        empty: Point = jax.tree.map(lambda one: jnp.full(one.shape, jnp.nan).astype(one.dtype), shapes)
        return empty._replace(step=seen.step, status=seen.status, fault=jnp.full_like(seen.status, SOUND))

    wanted = (asked == ALWAYS) | ((asked == IF_STOPPED) & jnp.any(seen.status != RUNNING))
    return jax.lax.cond(wanted, lambda: measure(seen), unmeasured)


# JAX takes two dataclasses with fields of the same kind for one structure, and finds the program of the other solver
# whenever a few bits of two hashes agree (jaxlib 0.10): `classes` tells their programs apart.
_ADVANCE = _compiled(_advance, static_argnames=("stacked", "target", "classes"), donate_argnames="runs")
_MEASURE = _compiled(_measure, static_argnames=("stacked", "recording"))


@partial(jax.jit, static_argnames="names")
def distances(weights: Any, log_policy: jax.Array, log_equilibrium: jax.Array, *, names: tuple[str, ...]) -> Any:
    """The named distances to an equilibrium, which ask of the game for the weights of its contexts alone."""
    game: Any = Game(margins=None, log_reference=None, beta=None, weights=weights)  # type: ignore[arg-type]
    return metrics.measure(Seen(game, log_policy, jnp.zeros_like(log_policy), log_equilibrium), names)


def compiled_count() -> int:
    """How many compiled programs are kept."""
    traced = sum(int(program._cache_size()) for program in (*_ADVANCE.values(), *_MEASURE.values()))
    return traced + len(exported.loaded)


def clear_compiled_if_over(limit: int = 0) -> None:
    """Let all compiled programs go once there are `limit` of them."""
    if compiled_count() >= limit:
        for program in (*_ADVANCE.values(), *_MEASURE.values()):
            program.clear_cache()
        exported.loaded.clear()


def _over_runs(function: Any, stacked: bool) -> Any:
    def batched(problem: Problem, *rest: Any) -> Any:
        one_game = jax.vmap(function, in_axes=(PER_RUN, *[0] * len(rest)))
        return (jax.vmap(one_game) if stacked else one_game)(problem, *rest)

    return batched


def _start(problem: Problem) -> LoopState:
    """A run at its first policy."""
    step = jnp.zeros((), jnp.int32)
    state = problem.solver.init(problem.game, jax.random.fold_in(_key(problem.seed), step))
    return LoopState(state, step, _ongoing(problem, state, step))


def _step(problem: Problem, run: LoopState) -> _Seen:
    """A run one step later, as its solver reports; where that gives no advantage, by the loop's own product."""
    step = run.step + 1
    # The key depends on the global step alone, so that chunks and order change nothing.
    state = problem.solver.update(problem.game, run.state, jax.random.fold_in(_key(problem.seed), step))
    run = LoopState(state, step, _ongoing(problem, state, step))
    if _on_samples(problem):
        # Nobody looks at it: see `_judge`.
        return _Seen(run, jnp.zeros(()), jnp.full((), SOUND, jnp.int32))
    claimed = problem.solver.advantage(state)
    advantage = problem.game.advantage(_policy(problem, state)) if claimed is None else claimed
    return _Seen(run, advantage, jnp.full((), SOUND, jnp.int32))


def _look(problem: Problem, run: LoopState) -> _Seen:
    """A run where it is, by the loop's own product."""
    log_policy = _policy(problem, run.state)
    own = problem.game.advantage(log_policy)
    return _Seen(run, own, _fault(log_policy, problem.solver.advantage(run.state), own))


def _judge(
    target: str, problem: Problem, run: LoopState, claim: jax.Array, looks: jax.Array, seen: _Seen
) -> tuple[LoopState, jax.Array]:
    """A run after a step or a look, and whether it may have converged, which only a look decides."""
    judged = jnp.where(looks, claim, run.status == RUNNING)
    status, within = seen.run.status, jnp.zeros((), bool)
    if not _on_samples(problem):
        reached = STOPPING[target](problem.game, _policy(problem, seen.run.state), seen.advantage)
        # At tolerance 0 a run uses its whole budget, also where rounding makes its suboptimality exactly 0.
        within = (reached <= problem.tolerance) & (problem.tolerance > 0)
        status = jnp.where(looks & within, CONVERGED, status)
        status = jnp.where(jnp.isfinite(reached), status, DIVERGED)
        status = jnp.where((seen.fault == SOUND) | (status == DIVERGED), status, UNTRUE)
    kept = judged & (status != DIVERGED)
    state, step = jax.tree.map(partial(jnp.where, kept), seen.run[:2], run[:2])
    return LoopState(state, step, jnp.where(judged, status, run.status)), kept & within & ~looks


def _ongoing(problem: Problem, state: Any, step: jax.Array) -> jax.Array:
    """Running, out of budget or diverged; a run on samples has no other end.

    Stopping at the first dip below the tolerance would be optional stopping.
    """
    status = jnp.where(step >= problem.max_steps, BUDGET, RUNNING).astype(jnp.int32)
    if not _on_samples(problem):
        return status
    reported = problem.solver.log_policy(state)
    # To list all sequences at every step would cost more than the step.
    sound = simplex.is_policy(reported) if isinstance(reported, jax.Array) else reported.finite()
    return jnp.where(sound, status, DIVERGED)


def _policy(problem: Problem, state: Any) -> Any:
    """log π of all actions, where the solver reports a policy that is only sampled that of all its sequences; the
    policy itself where these are not listed."""
    reported = problem.solver.log_policy(state)
    if isinstance(reported, jax.Array) or isinstance(problem.game.log_reference, Chains):
        return reported
    return reported.table(problem.game)


def _on_samples(problem: Problem) -> bool:
    return problem.game.feedback.comparisons > 0


def _key(seed: jax.Array) -> jax.Array:
    # Named, so that no setting of JAX changes a run.
    return jax.random.key(seed, impl="threefry2x32")


def _report(problem: Problem, run: LoopState) -> Reported:
    log_policy = _policy(problem, run.state)
    if isinstance(log_policy, At):
        return Reported(run.step, run.status, log_policy, problem.seed)
    claimed = None if _on_samples(problem) else problem.solver.advantage(run.state)
    unknown = jnp.full_like(log_policy, jnp.nan)
    return Reported(run.step, run.status, log_policy, unknown if claimed is None else claimed)


def _measured(recording: Recording, game: Game, log_equilibrium: Any, seen: Reported) -> Point:
    log_policy = seen.log_policy
    if isinstance(log_policy, At):
        key = jax.random.fold_in(jax.random.fold_in(_key(seen.claimed), _MEASURING), seen.step)
        found = metrics.estimate(measuring.drawn(game, log_policy, log_equilibrium, key))
        nothing = jnp.zeros(0, game.log_reference.dtype)
        return Point(seen.step, seen.status, jnp.full((), SOUND, jnp.int32), found, nothing)
    own = game.advantage(log_policy)
    seen_here = Seen(game, log_policy, own, log_equilibrium, recording.sequences)
    measured = metrics.measure(seen_here, recording.metrics)
    path = log_policy if recording.path else log_policy[..., :0]
    fault = _fault(log_policy, seen.claimed, own)
    if game.log_start is not None:
        moved = jnp.abs(simplex.log_ratio(log_policy, game.start))
        begins = jnp.all(moved <= _allowed(log_policy) * (1 + jnp.abs(game.start)))
        fault = jnp.where((seen.step == 0) & (fault == SOUND) & ~begins, NOT_AT_START, fault)
    return Point(seen.step, seen.status, fault, measured, path)


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
