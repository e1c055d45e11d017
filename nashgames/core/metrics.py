"""What is measured, each number once.

A new column is one entry of METRICS. Names and labels are read by code that needs no JAX, which is imported where a
number is computed.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import jax

    from nashgames.core.game import Game
    from nashgames.core.sequences import Sequences


class Seen(NamedTuple):
    """What a metric is computed from: π and its advantage q(π) = Aπ, and π*_β, NaN where it is not known; `[n]`,
    `[m, n]` over contexts, the policies in logarithms. The `sequences` that the actions are, where they are any."""

    game: "Game"
    log_policy: "jax.Array"
    advantage: "jax.Array"
    log_equilibrium: "jax.Array"
    sequences: "Sequences | None" = None


class Metric(NamedTuple):
    """A number of a policy: `label` in tables, `axis` in figures, a line of `help`, and how it is `measured`, a scalar.

    `needs_equilibrium` says that it is empty where π*_β is not known, and `distance` that it falls to 0 as the policy
    is learned, so that its curve is drawn on a logarithmic axis.
    """

    label: str
    axis: str
    help: str
    measured: Callable[[Seen], "jax.Array"]
    distance: bool = False
    needs_equilibrium: bool = False


def best_response(game: "Game", advantage: "jax.Array") -> tuple["jax.Array", "jax.Array"]:
    """log BR_β(π) and BR_β(π) = softmax(log μ + q(π)/β) from the advantage q(π); `[n]`, `[m, n]` over contexts."""
    from nashgames.core import simplex

    return simplex.softmax(game.log_reference + advantage / game.beta)


def suboptimality(game: "Game", log_policy: "jax.Array", advantage: "jax.Array") -> "jax.Array":
    """SubOpt_β(π) = β KL(π‖BR_β(π)) (theory §2), from the policy and its advantage q(π); scalar."""
    from nashgames.core import simplex

    log_response, response = best_response(game, advantage)
    return game.beta * game.average(simplex.kl(log_policy, log_response, response))


def exploitability(game: "Game", log_policy: "jax.Array", advantage: "jax.Array") -> "jax.Array":
    """max_i (Aπ)_i, what the best deviation gains in the original game (theory §2); scalar."""
    from nashgames.core import simplex

    return game.average(simplex.largest(advantage))


def _kl(seen: Seen, log_p: "jax.Array", log_q: "jax.Array") -> "jax.Array":
    """KL(p‖q), averaged over contexts; scalar."""
    from nashgames.core import simplex

    return seen.game.average(simplex.kl(log_p, log_q))


def _span_to_equilibrium(seen: Seen) -> "jax.Array":
    from nashgames.core import simplex

    of_contexts = simplex.span(simplex.log_ratio(seen.log_policy, seen.log_equilibrium))
    return simplex.largest(of_contexts.reshape(-1))


def _entropy(seen: Seen) -> "jax.Array":
    from nashgames.core import simplex

    return seen.game.average(simplex.entropy(seen.log_policy))


def _writing(seen: Seen) -> "tuple[Any, Any]":
    """The length and the share of repeated tokens (`Sequences.writing`) of all that is written; scalars."""
    import jax.numpy as jnp

    assert seen.sequences is not None
    return seen.sequences.writing(jnp.exp(seen.log_policy), seen.game.weights)


METRICS: Mapping[str, Metric] = {
    "suboptimality": Metric(
        "suboptimality",
        "suboptimality",
        "β KL(π‖BR_β(π)) = max_π' P_β(π' ≻ π) − ½, half the duality gap",
        lambda seen: suboptimality(seen.game, seen.log_policy, seen.advantage),
        distance=True,
    ),
    "duality_gap": Metric(
        "duality gap",
        "duality gap\n(twice the suboptimality)",
        "The duality gap of the literature, twice the suboptimality",
        lambda seen: 2 * suboptimality(seen.game, seen.log_policy, seen.advantage),
        distance=True,
    ),
    "exploitability": Metric(
        "exploitability",
        "exploitability\n(original game)",
        "max_i (Aπ)_i, what the best deviation gains in the original game",
        lambda seen: exploitability(seen.game, seen.log_policy, seen.advantage),
        distance=True,
    ),
    "kl_to_equilibrium": Metric(
        "KL to equilibrium",
        "KL to equilibrium\n" r"$\mathrm{KL}(\pi^{*}\,\Vert\,\pi)$",
        "KL(π*‖π), which the theorems bound; inf where π never plays an action that π* plays",
        lambda seen: _kl(seen, seen.log_equilibrium, seen.log_policy),
        distance=True,
        needs_equilibrium=True,
    ),
    "span_to_equilibrium": Metric(
        "span to equilibrium",
        "span to equilibrium\n" r"span$(\log\pi-\log\pi^{*})$",
        "max − min of log π − log π*, the largest over contexts (all others are averages); inf where one of them is 0",
        _span_to_equilibrium,
        distance=True,
        needs_equilibrium=True,
    ),
    "reverse_kl_to_equilibrium": Metric(
        "reverse KL to equilibrium",
        "reverse KL to equilibrium\n" r"$\mathrm{KL}(\pi\,\Vert\,\pi^{*})$",
        "KL(π‖π*); β KL(π‖π*) ≤ SubOpt_β(π)",
        lambda seen: _kl(seen, seen.log_policy, seen.log_equilibrium),
        distance=True,
        needs_equilibrium=True,
    ),
    "kl_to_reference": Metric(
        "KL to reference",
        "KL to reference\n" r"$\mathrm{KL}(\pi\,\Vert\,\mu)$",
        "KL(π‖μ), how far the policy has left the reference",
        lambda seen: _kl(seen, seen.log_policy, seen.game.log_reference),
    ),
    "entropy": Metric("entropy", "entropy (nats)", "−Σ π log π in nats", _entropy),
}
"""Every reported number of a policy by its column, in the order of the columns (theory §2)."""

OF_SEQUENCES: Mapping[str, Metric] = {
    "length": Metric(
        "length",
        "mean length (tokens)",
        "The expected number of tokens that the policy writes; of games of sequences only",
        lambda seen: _writing(seen)[0],
    ),
    "repetition": Metric(
        "repetition",
        "share of repeated tokens",
        "The share of tokens that repeat the one before; of games of sequences only",
        lambda seen: _writing(seen)[1],
    ),
}
"""Numbers of policies that write sequences, by their columns, which are empty for other games."""


class Drawn(NamedTuple):
    """What estimates are computed from: numbers of K sequences a prompt, `[K]`, `[m, K]` over prompts with `weights` ρ.

    `left` is Σ_t KL(π(·|y_<t)‖μ(·|y_<t)) along y ~ π, whose mean is KL(π‖μ) of least variance, and `apart` the same of
    π* and π along y ~ π*, NaN where π* is not known; `margins` A(y, z) of y ~ π against z ~ μ; `tokens` how many a
    sequence y ~ π has, `followed` how many of them follow one and `repeated` how many repeat it. `gain` `[]`, `[m]` is
    β log E_μ e^{q/β} for the q of y ~ π, and `moved` what each y adds to it; NaN where q is not known.
    """

    weights: "jax.Array"
    beta: "jax.Array"
    left: "jax.Array"
    margins: "jax.Array"
    tokens: "jax.Array"
    followed: "jax.Array"
    repeated: "jax.Array"
    gain: "jax.Array"
    moved: "jax.Array"
    apart: "jax.Array"


class Estimated(NamedTuple):
    """A number of a policy that is only sampled: as a `Metric`, but `measured` gives it with its standard error."""

    label: str
    axis: str
    help: str
    measured: Callable[[Drawn], tuple["jax.Array", "jax.Array"]]
    distance: bool = False


def _mean(drawn: Drawn, values: "jax.Array") -> tuple["jax.Array", "jax.Array"]:
    """The mean of `values`, averaged over prompts, and its standard error; scalars."""
    import jax.numpy as jnp

    count = values.shape[-1]
    variance = jnp.var(values, axis=-1, ddof=1) / count
    return jnp.sum(drawn.weights * jnp.mean(values, axis=-1)), jnp.sqrt(jnp.sum(drawn.weights**2 * variance))


def _repetition(drawn: Drawn) -> tuple["jax.Array", "jax.Array"]:
    """A ratio of means, and the error of its linear part; NaN where no sequence has two tokens."""
    (same, _), (pairs, _) = _mean(drawn, drawn.repeated), _mean(drawn, drawn.followed)
    share = same / pairs
    return share, _mean(drawn, (drawn.repeated - share * drawn.followed) / pairs)[1]


def _estimated_suboptimality(drawn: Drawn) -> tuple["jax.Array", "jax.Array"]:
    import jax.numpy as jnp

    left, _ = _mean(drawn, drawn.left)
    error = _mean(drawn, drawn.beta * drawn.left + drawn.moved)[1]
    return jnp.sum(drawn.weights * drawn.gain) + drawn.beta * left, error


ESTIMATES: Mapping[str, Estimated] = {
    "estimated_suboptimality": Estimated(
        "suboptimality, estimated",
        "suboptimality (estimated)",
        "β log E_μ e^{q/β} + β KL(π‖μ), q from samples; where margins are linear and sequences are not listed",
        _estimated_suboptimality,
        distance=True,
    ),
    "estimated_kl_to_equilibrium": Estimated(
        "KL to equilibrium, estimated",
        "KL to equilibrium (estimated)\n" r"$\mathrm{KL}(\pi^{*}\,\Vert\,\pi)$",
        "KL(π*‖π), where margins are linear and sequences are not listed",
        lambda drawn: _mean(drawn, drawn.apart),
        distance=True,
    ),
    "estimated_kl_to_reference": Estimated(
        "KL to reference, estimated",
        "KL to reference (estimated)\n" r"$\mathrm{KL}(\pi\,\Vert\,\mu)$",
        "KL(π‖μ), where sequences are not listed",
        lambda drawn: _mean(drawn, drawn.left),
    ),
    "estimated_win_rate": Estimated(
        "win rate against the reference, estimated",
        "win rate against the reference\n(estimated)",
        "P(π ≻ μ), where sequences are not listed",
        lambda drawn: _mean(drawn, drawn.margins + 0.5),
    ),
    "estimated_length": Estimated(
        "length, estimated",
        "length (estimated)",
        "the expected number of tokens, where sequences are not listed",
        lambda drawn: _mean(drawn, drawn.tokens),
    ),
    "estimated_repetition": Estimated(
        "repetition, estimated",
        "repetition (estimated)",
        "the share of tokens that repeat the one before among those that follow one, where sequences are not listed",
        _repetition,
    ),
}
"""What is estimated where a policy cannot be listed, each a column, with its standard error in `ERRORS`."""

ERRORS: Mapping[str, str] = {name: f"{name}_error" for name in ESTIMATES}
"""The columns of the standard errors of `ESTIMATES`."""


def estimate(drawn: Drawn) -> dict[str, "jax.Array"]:
    """All estimates and their errors by column, scalars; NaN where one is not possible."""
    found = {}
    for name, estimated in ESTIMATES.items():
        found[name], found[ERRORS[name]] = estimated.measured(drawn)
    return found


OF_EQUILIBRIUM = tuple(name for name, metric in METRICS.items() if metric.needs_equilibrium)
"""The columns that are empty where π*_β is not known."""

STOPPING: Mapping[str, Callable[["Game", "jax.Array", "jax.Array"], "jax.Array"]] = {
    "regularised": suboptimality,
    "original": exploitability,
}
"""The metric by which a run on a target stops: the regularised game at its β, or the original game (β = 0)."""

STOPPING_COLUMN: Mapping[str, str] = {"regularised": "suboptimality", "original": "exploitability"}
"""The column that holds it."""

AT_ZERO: Mapping[str, tuple[str, float]] = {
    "suboptimality": ("exploitability", 1.0),
    "duality_gap": ("exploitability", 2.0),
}
"""The columns that divide by β; at β = 0 each is its limit: another column, and the factor that multiplies it."""


def every() -> dict[str, Metric | Estimated]:
    """What is measured of any game, of those of sequences, and from samples, in the order of the columns."""
    return {**METRICS, **OF_SEQUENCES, **ESTIMATES}


def target_at(beta: float, asked: str) -> str:
    """The target of a run at β: the one that was asked for; at β = 0 always the original game."""
    return asked if beta > 0 else "original"


def measure(seen: Seen, names: Iterable[str] = tuple(METRICS)) -> dict[str, "jax.Array"]:
    """The named numbers of π, scalars; NaN where one needs an equilibrium that is not known."""
    return {name: (METRICS.get(name) or OF_SEQUENCES[name]).measured(seen) for name in names}
