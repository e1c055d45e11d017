"""What a solver is."""

from typing import Any, NamedTuple, Protocol, Self, runtime_checkable

import jax

from nashgames.core.game import Game


class PolicyState(NamedTuple):
    """The state of most tabular methods: the policy, and the advantage the next step will use.

    `log_policy` and `advantage` q(π): `[n]`, `[m, n]` over contexts. The advantage is queried when the policy is made,
    which gives its suboptimality without a further query; it is charged to the step that uses it. On duels it is an
    estimate.
    """

    log_policy: jax.Array
    advantage: jax.Array


class OptimisticState(NamedTuple):
    """`log_policy` and `advantage` q(π_t), which the next step uses; `before`: q(π_{t−1}); `[n]`, `[m, n]`."""

    log_policy: jax.Array
    advantage: jax.Array
    before: jax.Array


class AnchoredState(NamedTuple):
    """`log_policy` and `advantage` q(π_t); `log_anchor`: the moving policy towards which steps are regularised; `[n]`,
    `[m, n]` over contexts; `steps` taken, int32."""

    log_policy: jax.Array
    advantage: jax.Array
    log_anchor: jax.Array
    steps: jax.Array


@runtime_checkable
class Solver(Protocol):
    """A frozen dataclass of hyperparameters, registered as a pytree whose leaves are the numbers.

    Numbers left at None take the value that theory guarantees for the game's β (`with_theory_defaults`). Every method
    is pure and traced; shapes are `[n]`, or `[m, n]` over contexts: the last axis is the actions in both cases. A
    solver learns from `game.query(log_policy, key)` and `game.tally(…)` alone, which return exact advantages or
    estimates from duels, depending on the feedback of the game. The engine measures its policies by its own product
    with A. A solver whose fixed point is not π*_β has an attribute `fixed_point`, "original" or "own", besides the
    members listed here, and one whose default numbers come from no theorem has `default_source`, "default".

    Example:
        >>> import nashgames as ng
        >>> isinstance(ng.NashMP(), ng.Solver)
        True
    """

    @property
    def name(self) -> str:
        """The name on the command line and in every row."""
        ...

    @property
    def queries_per_step(self) -> int:
        """Queries of q(·) that one update makes."""
        ...

    def with_theory_defaults(self, beta: float) -> Self:
        """The solver with every number that was left out filled in for this β."""
        ...

    def init(self, game: Game, key: jax.Array) -> Any:
        """The state at π_0 = `game.start`, which is μ unless the run starts elsewhere."""
        ...

    def update(self, game: Game, state: Any, key: jax.Array) -> Any:
        """One update, making `queries_per_step` queries."""
        ...

    def log_policy(self, state: Any) -> jax.Array:
        """The policy to report, as normalised log-probabilities."""
        ...

    def advantage(self, state: Any) -> jax.Array | None:
        """q(π) of the reported policy where an exact query returned it, else None. With it the engine knows when to
        test for convergence; without it, it tests after every step.
        """
        ...
