"""The KL-regularised preference game."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from numbers import Real
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nashgames.core.feedback import EXACT, Feedback, Tally
from nashgames.core.margins import DenseMargins, Margins
from nashgames.core.next_tokens import Chains
from nashgames.core.sequences import Sequences
from nashgames.defaults import LARGEST_BETA
from nashgames.errors import NashGamesError
from nashgames.reprs import MOST_ROWS, Panel

# A tenth of the largest margin: the game tells more than the reference, and Nash-MP takes 500 queries to 1e-10; with a
# tenth of it 6,000, and with ten times as much the policy stays near the reference.
DEFAULT_BETA = 0.05


class KnownEquilibrium(NamedTuple):
    """The equilibrium that a game was built around: log π*_β `[n]` (`[m, n]` over contexts), −inf off its support.

    `beta` 0 means π*, an equilibrium of the original game; otherwise it is π*_β for this β and the reference that the
    game brought.
    """

    beta: float
    log_policy: Any


@dataclass(frozen=True)
class Description:
    """What describes a game to a person; no compiled program needs it.

    Attributes:
        name: name of the family or file
        parameters: its parameters; with the name they select the game again
        labels: names of the n actions, or None
        seed: the seed it was drawn with, or None
        fingerprint: hash of the file it was read from, or None
        notes: sentences about what was done to the data
        known_equilibrium: an equilibrium that the construction knows, or None
        features: what the construction made the margins from, float64 `[n, d]` or `[m, n, d]`, or None
        sequences: the sequences of tokens that the actions are, or None
        prompts: the tokens of the contexts' prompts, `[m, …]`, or None

    Example:
        >>> import nashgames as ng
        >>> from nashgames.core.game import Description
        >>> game = ng.make_game([[0.0, 0.3], [-0.3, 0.0]], description=Description("answers", labels=("a", "b")))
        >>> game.description.labels
        ('a', 'b')
    """

    name: str = "game"
    parameters: Mapping[str, Any] = field(default_factory=dict)
    labels: tuple[str, ...] | None = None
    seed: int | None = None
    fingerprint: str | None = None
    notes: tuple[str, ...] = ()
    known_equilibrium: KnownEquilibrium | None = None
    features: Any = None
    sequences: Sequences | None = None
    prompts: Any = None


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["margins", "log_reference", "beta", "weights", "features", "log_start", "feedback"],
    meta_fields=[],
    drop_fields=["description"],
)
@dataclass(frozen=True)
class Game:
    """A preference game P_β(π ≻ π') = P(π ≻ π') − β KL(π‖μ) + β KL(π'‖μ) (theory §1).

    As a pytree the game has only the arrays as leaves: the description stays on the host, so that a label never
    recompiles a program. Games are made by `make_game`, which checks them.

    Attributes:
        margins: A = P − ½, `[n, n]`, over m contexts `[m, n, n]`
        log_reference: log μ in nats, `[n]`, `[m, n]`; of sequences that are not listed their `Chains`
        beta: β, scalar
        weights: weights ρ of the contexts, scalar 1, or `[m]` with sum 1
        features: what parametrised policies see of the actions, `[n, d]` or `[m, n, d]`, or None
        log_start: log π_0 where it is not log μ, `[n]`, `[m, n]`, or None
        feedback: what a query returns: the exact advantage, or duels
        description: name, labels, notes and known equilibrium, on the host

    Example:
        >>> import nashgames as ng
        >>> game = ng.games.circulant(actions=3)
        >>> game.actions, game.contexts, game.beta
        (3, 1, 0.05)
    """

    margins: Margins
    log_reference: Any
    beta: Any = DEFAULT_BETA
    weights: Any = 1.0
    features: Any = None
    log_start: Any = None
    feedback: Feedback = EXACT
    description: Description = Description()

    def __repr__(self) -> str:
        return self._panel().text()

    def _repr_html_(self) -> str:
        return self._panel().html()

    def _panel(self) -> Panel:
        """What a person looks at first; also of a game inside a compiled program, whose numbers are not known."""
        told = self.description
        parameters = ",".join(f"{key}={value}" for key, value in told.parameters.items())
        name = f"{told.name}[{parameters}]" if parameters else told.name
        kind = type(self.log_reference)
        uniform = kind is np.ndarray and bool(np.ptp(self.log_reference) == 0)
        other = "a chain of tokens" if kind is Chains else "not uniform"
        facts = [
            ("β", f"{self.beta:g}" if isinstance(self.beta, Real) else "one for each run"),
            ("reference", "uniform" if uniform else other if kind in (np.ndarray, Chains) else "in a compiled program"),
            ("margins", f"{type(self.margins).__name__} {list(self.margins.shape)} of {self.margins.dtype}"),
        ]
        facts += [("contexts", f"{self.contexts:,}")] if self.contexts > 1 else []
        facts += [("seed", str(told.seed))] if told.seed is not None else []
        facts += [("feedback", str(self.feedback))] if self.feedback != EXACT else []
        facts += [("note", note) for note in told.notes]
        if told.labels is not None:
            rows = [(str(i), label) for i, label in enumerate(told.labels[:MOST_ROWS])]
            left = self.actions - len(rows)
            return Panel(_titled(name, self), facts, ("action", "label"), rows, f"and {left:,} more" if left else "")
        return Panel(_titled(name, self), facts)

    @property
    def actions(self) -> int:
        """n, the number of actions."""
        return self.margins.shape[-1]

    @property
    def contexts(self) -> int:
        """m, the number of contexts; 1 for a game without them."""
        return self.margins.shape[0] if len(self.margins.shape) == 3 else 1

    @property
    def start(self) -> Any:
        """log π_0, where a run begins: log μ unless the run says otherwise."""
        return self.log_reference if self.log_start is None else self.log_start

    def advantage(self, log_policy: jax.Array) -> jax.Array:
        """The exact advantage q(π) = Aπ, the margins of all actions against π: the only product with A.

        Runs are measured with it. A solver learns from `query` and `tally`, which depend on the feedback.

        Args:
            log_policy: log π in nats, `[n]`, `[m, n]`

        Example:
            >>> import nashgames as ng
            >>> game = ng.make_game([[0.0, 0.5], [-0.5, 0.0]])
            >>> game.advantage(game.start).tolist()
            [0.25, -0.25]
        """
        return self.margins.matvec(jnp.exp(log_policy))

    def query(self, log_policy: jax.Array, key: jax.Array) -> jax.Array:
        """One query: q(π) = Aπ, or on duels an unbiased estimate of it.

        Args:
            log_policy: log π in nats, **log**-probabilities, `[n]`, `[m, n]`
            key: key from which duels are drawn. Two queries with one key draw the same duels: a step that makes two
                queries splits its key

        Returns:
            The margins of all actions against π, `[n]`, `[m, n]`.

        Example:
            >>> import jax, nashgames as ng
            >>> game = ng.make_game([[0.0, 0.5], [-0.5, 0.0]])
            >>> game.query(game.start, jax.random.key(0)).tolist()
            [0.25, -0.25]
        """
        return self.feedback.query(self, log_policy, key)

    def tally(
        self,
        log_behaviour: jax.Array,
        log_opponent: jax.Array,
        key: jax.Array,
        advantage: jax.Array | None = None,
    ) -> Tally:
        """One query for a policy gradient: actions y ~ ν against y' ~ π'.

        Args:
            log_behaviour: log ν in nats, `[n]`, `[m, n]`
            log_opponent: log π' in nats, `[n]`, `[m, n]`
            key: key from which duels are drawn
            advantage: q(π') where it was queried before (`foresee`), `[n]`, `[m, n]`; only exact feedback uses it

        Returns:
            Unbiased estimates of ν ∘ Aπ' (`margins`) and of ν (`visits`), `[n]`, `[m, n]`; exact on exact feedback.

        Example:
            >>> import jax, nashgames as ng
            >>> game = ng.make_game([[0.0, 0.5], [-0.5, 0.0]])
            >>> tally = game.tally(game.start, game.start, jax.random.key(0))
            >>> tally.margins.tolist()
            [0.125, -0.125]
        """
        return self.feedback.tally(self, log_behaviour, log_opponent, key, advantage)

    def duel(self, ours: jax.Array, theirs: jax.Array, key: jax.Array) -> jax.Array:
        """One query of policies that are only sampled: the answer o − ½ of each duel, on exact feedback A itself.

        Args:
            ours: actions of one side, integers `[b]`, `[m, b]` over contexts
            theirs: those of the other side, of the same shape
            key: key from which the answers are drawn

        Returns:
            The answers of ours against theirs, `[b]`, `[m, b]`.

        Example:
            >>> import jax, nashgames as ng
            >>> game = ng.make_game([[0.0, 0.5], [-0.5, 0.0]])
            >>> game.duel(jax.numpy.array([0, 1]), jax.numpy.array([1, 1]), jax.random.key(0)).tolist()
            [0.5, 0.0]
        """
        return self.feedback.duel(self, ours, theirs, key)

    def foresee(self, log_policy: jax.Array) -> jax.Array | None:
        """The query of the next step, made now where feedback is exact, because it also gives the suboptimality of π.

        Args:
            log_policy: log π in nats, `[n]`, `[m, n]`

        Returns:
            q(π), `[n]`, `[m, n]`; None on duels, which are drawn by the step that uses them.

        Example:
            >>> import nashgames as ng
            >>> game = ng.make_game([[0.0, 0.5], [-0.5, 0.0]])
            >>> game.foresee(game.start).tolist()
            [0.25, -0.25]
        """
        return None if self.feedback.comparisons else self.advantage(log_policy)

    def average(self, values: jax.Array) -> jax.Array:
        """The average over contexts, Σ_x ρ_x values_x (theory, table of symbols).

        Args:
            values: one number for each context, `[m]`; a scalar where there are none

        Example:
            >>> import jax, nashgames as ng
            >>> game = ng.make_game([[[0.0, 0.5], [-0.5, 0.0]]] * 2, weights=[0.25, 0.75])
            >>> float(game.average(jax.numpy.array([1.0, 2.0])))
            1.75
        """
        return jnp.sum(self.weights * values)

    def replace(self, **changes: Any) -> "Game":
        """A copy with some fields changed.

        Args:
            changes: fields of the game and their new values; they are not checked, as those of `make_game` are

        Example:
            >>> import nashgames as ng
            >>> game = ng.make_game([[0.0, 0.5], [-0.5, 0.0]])
            >>> game.replace(beta=0.01).beta
            0.01
        """
        return dataclasses.replace(self, **changes)


def _titled(name: str, game: Game) -> str:
    return f"Game {name} · {game.actions:,} actions"


def make_game(
    margins: Any,
    *,
    beta: float = DEFAULT_BETA,
    log_reference: Any = None,
    weights: Any = None,
    description: Description = Description(),
) -> Game:
    """A game from its margins A = P − ½.

    Args:
        margins: A, skew-symmetric with entries in [−½, ½], `[n, n]`, or `[m, n, n]` over m contexts; an array, or an
            object with the `Margins` protocol
        beta: β, the weight of KL(π‖μ), above 0
        log_reference: log μ in nats, `[n]` or `[m, n]`; uniform unless given; `Chains` of sequences that are not listed
        weights: weights ρ of the contexts, `[m]` with sum 1; equal unless given
        description: name, labels and notes

    Raises:
        NashGamesError: when the margins are not square, not skew-symmetric or outside [−½, ½], the reference or the
            weights do not fit or are not normalised, or β is not positive.

    Example:
        >>> import nashgames as ng
        >>> game = ng.make_game([[0.0, 0.3], [-0.3, 0.0]], beta=0.1)
        >>> game.actions, game.contexts
        (2, 1)
    """
    if not isinstance(margins, Margins):
        margins = DenseMargins(_numbers("margins", margins))
    shape = margins.shape
    if len(shape) not in (2, 3) or shape[-1] != shape[-2] or shape[-1] < 2 or shape[0] < 1:
        raise NashGamesError(f"margins have shape {shape}; a game needs [n, n] or [contexts, n, n] with n ≥ 2")
    margins.check()
    check_beta(beta)
    if description.labels is not None and not len(set(description.labels)) == len(description.labels) == shape[-1]:
        raise NashGamesError(
            f"{len(description.labels):,} labels, {len(set(description.labels)):,} of them different, are given for "
            f"{shape[-1]:,} actions; give each action a label of its own, or none"
        )
    if log_reference is None:
        log_reference = np.full(shape[:-1], -np.log(shape[-1]))
    if not isinstance(log_reference, Chains):
        log_reference = _numbers("the reference", log_reference)
        if log_reference.shape != shape[:-1]:
            raise NashGamesError(f"the reference has shape {log_reference.shape}; this game needs {shape[:-1]}")
        if not np.isfinite(log_reference).all():
            raise NashGamesError("log_reference is not finite everywhere; every action needs a probability above 0")
        with np.errstate(over="ignore"):
            _check_sum("exp(log_reference)", np.exp(log_reference))
    if weights is None:
        weights = 1.0 if len(shape) == 2 else np.full(shape[0], 1 / shape[0])
    else:
        weights = _numbers("weights", weights)
        if weights.shape != shape[:-2] or not (weights >= 0).all():
            raise NashGamesError(f"weights are {weights}; accepted: one number of at least 0 for each context")
        _check_sum("the weights", weights)
    return Game(margins, log_reference, beta, weights, description=description)


def check_beta(beta: float) -> None:
    """Raise NashGamesError unless β is a positive number that is not too large."""
    if not (isinstance(beta, Real) and 0 < beta <= LARGEST_BETA):
        shown = f"{beta:g}" if isinstance(beta, Real) else repr(beta)
        raise NashGamesError(f"beta is {shown}; accepted: a finite number above 0 and at most {LARGEST_BETA:,.0f}")


def _numbers(what: str, values: Any) -> np.ndarray:
    """The values as an array of float32 or float64; an array of either is not copied."""
    try:
        array = np.asarray(values)
        return array if array.dtype in (np.float32, np.float64) else array.astype(np.float64)
    except (TypeError, ValueError):
        raise NashGamesError(f"{what} cannot be read as numbers; give a list or an array of them") from None


def _check_sum(what: str, probabilities: np.ndarray) -> None:
    """Raise NashGamesError unless the probabilities along the last axis sum to 1, to the rounding of float32."""
    totals = np.atleast_1d(np.sum(probabilities, axis=-1, dtype=np.float64))
    # float32 keeps a log-probability of −100 to 4e-6.
    wrong = totals[np.abs(totals - 1) > 1e-5]
    if len(wrong):
        raise NashGamesError(f"the sum of {what} is {wrong[0]:.6g}; accepted: 1")
