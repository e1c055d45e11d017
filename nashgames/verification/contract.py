"""What a solver promises, tried on small games: `nashgames check mine.py:MySolver`."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nashgames import plugins
from nashgames.core.feedback import EXACT, Feedback
from nashgames.core.game import Game
from nashgames.core.precision import Precision
from nashgames.engine import audit, loop
from nashgames.engine.batch import Batch, Lane
from nashgames.engine.settings import Settings
from nashgames.errors import NashGamesError
from nashgames.exact.referee import equilibrium
from nashgames.games.families import generate
from nashgames.learning.feedback import FEEDBACKS
from nashgames.solvers import follows_curvature, solves_original
from nashgames.solvers.protocol import Solver

# Two β apart, both of them where theory's steps are neither tiny nor at their limit.
_BETA, _OTHER_BETA = 0.2, 0.3
# No other axis of a solver is likely to have this size.
_ACTIONS = 7
# Long enough to pass the end of an inner loop of 20 steps, which is the longest of ours, twice.
_STEPS = 45
# What 45 steps at an equilibrium known to 1e-12 may move log-probabilities by rounding.
_AT_REST = 1e-8
_DUELS = "duels[batch=8]"


@dataclass(frozen=True)
class Finding:
    """One promise, whether it is kept (None: it could not be tried), and what was seen."""

    promise: str
    kept: bool | None
    seen: str


class _Broken(Exception):
    """A promise that is not kept; its text says how."""


def check_solver(solver: Solver) -> list[Finding]:
    """Every promise of `solvers.protocol.Solver` in turn; after a broken one that others need, those are not tried.

    A solver that rests elsewhere than at π*_β says so by an attribute `fixed_point`: "original" for an equilibrium of
    the original game, "own" for a point of its own.
    """
    findings: list[Finding] = []
    blocked = False
    for promise, is_needed, attempt in _PROMISES:
        findings.append(Finding(promise, None, "not tried") if blocked else _tried(promise, attempt, solver))
        blocked |= is_needed and findings[-1].kept is False
    return findings


def _tried(promise: str, attempt: Callable[[Solver], str], solver: Solver) -> Finding:
    try:
        return Finding(promise, True, attempt(solver))
    except (_Broken, NashGamesError) as broken:
        return Finding(promise, False, str(broken))
    except Exception as error:
        # Whatever the code of a user raises is what this command is asked to explain.
        return Finding(promise, False, plugins.explained(error))


def _pytree(solver: Solver) -> str:
    if jax.tree_util.all_leaves([solver]):
        raise _Broken("it is one opaque leaf; put @jax.tree_util.register_dataclass over its frozen dataclass")
    filled = solver.with_theory_defaults(_BETA)
    if type(filled) is not type(solver):
        raise _Broken(f"with_theory_defaults returns {type(filled).__name__}; return dataclasses.replace(self, …)")
    left = [f.name for f in dataclasses.fields(filled) if getattr(filled, f.name) is None]  # type: ignore[arg-type]
    if follows_curvature(filled):
        left.remove("step")
    if left:
        raise _Broken(f"{', '.join(left)} stays None after with_theory_defaults; give it a number for this β")
    numbers = jax.tree.leaves(filled)
    odd = [leaf for leaf in numbers if not isinstance(leaf, (int, float, np.ndarray, np.generic, jax.Array))]
    if odd:
        raise _Broken(f"{odd[0]!r} is among its numbers; mark a field that is not a number as static")
    return f"{len(numbers)} {'number' if len(numbers) == 1 else 'numbers'}"


def _state(solver: Solver) -> str:
    for dtype in ("float64", "float32"):
        with Precision(dtype).scope():
            game, filled = _arrays(_game(), dtype), _arrays(solver.with_theory_defaults(_BETA), dtype)
            before = jax.eval_shape(filled.init, game, _key())
            after = jax.eval_shape(partial(_update, filled, game), before)
            _same(before, after, dtype)
            policy = jax.eval_shape(filled.log_policy, after)
            if (policy.shape, policy.dtype) != ((_ACTIONS,), np.dtype(dtype)):
                raise _Broken(
                    f"log_policy returns {_described(policy)} in a run of {dtype}; accepted: {dtype}[{_ACTIONS}], one "
                    f"log-probability an action"
                )
    return "structure, shapes and dtypes stay, in float32 and float64"


def _contexts(solver: Solver) -> str:
    curve = _played(solver, _game(contexts=2))
    if curve.log_policy.shape != (2, _ACTIONS):
        raise _Broken(f"log_policy has shape {curve.log_policy.shape} over 2 contexts; accepted: (2, {_ACTIONS})")
    return "runs on games over contexts, [m, n]"


def _queries(solver: Solver) -> str:
    for feedback in (EXACT, FEEDBACKS.make(_DUELS)):
        with Precision().scope():
            game = _arrays(_game().replace(feedback=feedback), "float64")
            audit.check_queries(_arrays(solver.with_theory_defaults(_BETA), "float64"), game)
    return f"{solver.queries_per_step} a step, on exact feedback and on duels"


def _start(solver: Solver) -> str:
    game = _game()
    start = np.asarray(jax.nn.log_softmax(np.linspace(-1.0, 1.0, _ACTIONS)), np.float64)
    with Precision().scope():
        filled = _arrays(solver.with_theory_defaults(_BETA), "float64")
        began = filled.log_policy(filled.init(_arrays(game.replace(log_start=start), "float64"), _key()))
    if not np.allclose(began, start, atol=_AT_REST):
        raise _Broken("init does not start at game.start, so that --start has no effect; begin there")
    return "init begins there"


def _honest(solver: Solver) -> str:
    curve = _played(solver, _game())
    reached, step = curve.metrics["suboptimality"][-1], curve.steps[-1]
    with Precision().scope():
        filled = _arrays(solver.with_theory_defaults(_BETA), "float64")
        state = jax.eval_shape(filled.init, _arrays(_game(), "float64"), _key())
        reports = jax.eval_shape(filled.advantage, state) is not None
    said = "normalised, and its advantage is Aπ" if reports else "normalised; it reports no advantage"
    return f"{said}; suboptimality {reached:.1e} at step {step}"


def _samples(solver: Solver) -> str:
    curve = _played(solver, _game(), feedback=FEEDBACKS.make(_DUELS))
    if curve.status == "diverged":
        raise _Broken(f"it diverges on {_DUELS} at step {curve.diverged_step}")
    again = _played(solver, _game(), feedback=FEEDBACKS.make(_DUELS))
    other = _played(solver, _game(), feedback=FEEDBACKS.make(_DUELS), seed=1)
    if not np.array_equal(curve.log_policy, again.log_policy):
        raise _Broken("two runs of one seed differ; take all randomness from the key")
    if np.array_equal(curve.log_policy, other.log_policy):
        raise _Broken("runs of two seeds on duels are equal; ask game.query with keys made from the key of the step")
    return "runs of one seed are equal on duels, runs of two seeds differ"


def _compiled(solver: Solver) -> str:
    _played(solver, _game())
    before = loop.compiled_count()
    _played(solver, _game(), beta=_OTHER_BETA)
    _played(_moved(solver), _game())
    if loop.compiled_count() > before:
        static = [f.name for f in dataclasses.fields(solver) if f.metadata.get("static")]  # type: ignore[arg-type]
        which = f"{', '.join(static)} static" if static else "a number part of its structure"
        raise _Broken(f"another number compiles another program, as it makes {which}; keep numbers as plain fields")
    return "another number runs the same program"


def _chunks(solver: Solver) -> str:
    whole = _played(solver, _game(), record_every=_STEPS)
    parts = _played(solver, _game(), record_every=1)
    if not np.array_equal(whole.log_policy, parts.log_policy):
        raise _Broken("a run cut into chunks ends elsewhere than a whole one; keep all that a step needs in the state")
    return "chunks give the bits of the whole"


def _rests(solver: Solver) -> str:
    where = getattr(solver, "fixed_point", "regularised")
    if where == "own":
        return "it declares a fixed point of its own"
    if where == "original":
        # The uniform policy is the equilibrium of this game at every β, the original game included.
        game = generate("circulant", actions=_ACTIONS, seed=0, beta=_BETA)
        log_star = np.full(_ACTIONS, -np.log(_ACTIONS))
    else:
        game = _game()
        log_star = equilibrium(game, _BETA).log_policy
    curve = _played(solver, game, start=log_star)
    moved = float(np.ptp(np.asarray(curve.log_policy) - log_star))
    if not moved <= _AT_REST:
        raise _Broken(
            f"it leaves the equilibrium: log-probabilities move by {moved:.1e} in {_STEPS} steps from it; look for a "
            f'sign or a factor, or say fixed_point = "original" or "own" in the class where that is meant'
        )
    return "the referee's equilibrium, within rounding"


def _at_zero(solver: Solver) -> str:
    if not solves_original(solver):
        return "not run there: it declares neither fixed_point = 'original' nor uses_beta = False"
    filled = solver.with_theory_defaults(0.0)
    odd = [f.name for f in dataclasses.fields(filled) if not _is_finite(getattr(filled, f.name))]  # type: ignore[arg-type]
    if odd:
        raise _Broken(
            f"with_theory_defaults(0.0) leaves {', '.join(odd)} without a finite number; give it one at β = 0"
        )
    curve = _played(solver, _game(), beta=0.0)
    if curve.status == "diverged":
        raise _Broken(f"it diverges at β = 0, at step {curve.diverged_step}; let no part of a step divide by β")
    reached = curve.metrics["exploitability"]
    return f"runs at β = 0; exploitability {reached[0]:.1e} at the start, {reached[-1]:.1e} at step {curve.steps[-1]}"


def _is_finite(value: Any) -> bool:
    """Whether a field holds a finite number, or none at all, as words and solvers do."""
    return value is not None and (not isinstance(value, (int, float)) or bool(np.isfinite(value)))


_PROMISES: tuple[tuple[str, bool, Callable[[Solver], str]], ...] = (
    ("numbers are the leaves of a pytree", True, _pytree),
    ("update keeps the structure of the state", True, _state),
    ("queries_per_step is correct", True, _queries),
    ("log_policy and advantage are correct", True, _honest),
    ("starts at game.start", False, _start),
    ("runs over contexts", False, _contexts),
    ("the key is its only randomness", False, _samples),
    ("new numbers do not recompile", False, _compiled),
    ("a run in chunks equals a whole run", False, _chunks),
    ("the equilibrium is a fixed point", False, _rests),
    ("β = 0, the original game", False, _at_zero),
)
"""Every promise: its words, whether the ones after it need it, and how it is tried."""


def _played(
    solver: Solver,
    game: Game,
    *,
    beta: float = _BETA,
    feedback: Feedback = EXACT,
    seed: int = 0,
    start: np.ndarray | None = None,
    record_every: int = 15,  # a third of the run, so that there are points inside it
) -> Any:
    """The curve of a run of `_STEPS` steps."""
    settings = Settings(queries=_STEPS * solver.queries_per_step, tolerance=0.0, record_every=record_every)
    unknown = np.full_like(np.asarray(game.log_reference), np.nan)
    lane = Lane(solver.with_theory_defaults(beta), beta, np.asarray(game.log_reference), unknown, seed, start, feedback)
    batch = Batch([game], [[lane]], settings)
    while not batch.finished:
        batch.advance()
    return batch.curves()[0][0]


def _game(contexts: int = 1) -> Game:
    text = "random-logits" if contexts == 1 else f"random-logits[contexts={contexts}]"
    return generate(text, actions=_ACTIONS, seed=1, beta=_BETA)


def _key() -> jax.Array:
    return jax.random.key(0, impl="threefry2x32")


def _update(solver: Solver, game: Game, state: Any) -> Any:
    return solver.update(game, state, _key())


def _arrays(tree: Any, dtype: str) -> Any:
    """The numbers of a tree as arrays, as the loop hands them over: those of kind float in `dtype`."""

    def array(leaf: Any) -> Any:
        found = jnp.asarray(leaf)
        return found.astype(dtype) if jnp.issubdtype(found.dtype, jnp.floating) else found

    return jax.tree.map(array, tree)


def _moved(solver: Solver) -> Solver:
    """The solver with every real number a little smaller."""
    filled = solver.with_theory_defaults(_BETA)
    # Another number, and still one that any solver accepts: shares stay below 1 and steps stable.
    moved: Solver = jax.tree.map(lambda leaf: leaf * 0.99 if isinstance(leaf, float) else leaf, filled)
    return moved


def _same(before: Any, after: Any, dtype: str) -> None:
    """Raise _Broken where a step changes the structure, a shape or a dtype of the state."""
    structures: list[Any] = [jax.tree.structure(before), jax.tree.structure(after)]
    if structures[0] != structures[1]:
        raise _Broken("update returns a state of another structure than init; return the same kind of state")
    for (path, old), new in zip(jax.tree_util.tree_leaves_with_path(before), jax.tree.leaves(after), strict=True):
        if (old.shape, old.dtype) != (new.shape, new.dtype):
            place = f"the state's {jax.tree_util.keystr(path)}" if path else "the state"
            raise _Broken(
                f"in a run of {dtype} update turns {place} from {_described(old)} into {_described(new)}; keep its "
                f"shape and dtype"
            )


def _described(leaf: Any) -> str:
    return f"{leaf.dtype}[{','.join(map(str, leaf.shape))}]"
