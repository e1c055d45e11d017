"""Losses of preference learning as pure functions of log-probabilities and labels, for models of any library.

Arrays are NumPy's, JAX's or torch's, all of one library; dtypes are kept, and `jax.grad` and torch's autograd
differentiate. The leading axes `[…]` are prompts; the last one is the answers to a prompt: a pair `[…, 2]`, or K of
them. `log_policy` is log π_θ(y | x) of a whole answer in nats, and θ moves it alone: give the log-probabilities of
other policies without a graph (`torch.no_grad`, `jax.lax.stop_gradient`). A label is o = 1 where y won against y', 0
where it lost, ½ for a tie, or P(y ≻ y') itself; its margin is o − ½.

A policy that another one stands behind, an *anchor*, is needed up to a factor only that does not depend on the answer.
Every loss is a mean over prompts and answers, to be minimised. Those with a label for every answer are surrogates:
their value says nothing, and −∇ is an estimate of the direction of ascent of the solver that is named, with its own
step as the learning rate.
"""

import sys
from typing import Any, NamedTuple

import jax

from nashgames.errors import NashGamesError, shown

Array = Any
"""A NumPy array, a JAX array, or a torch tensor: they share operators, no type."""

Number = Any
"""A Python number, or an array without axes."""


class Proximal(NamedTuple):
    """The inner game of a proximal step: `log_anchor` log π̄ up to a constant, `[…]`, and its `temperature` τ."""

    log_anchor: Array
    temperature: Number


def of_sequences(log_probabilities: Array, mask: Array) -> Array:
    """log π(y | x) = Σ_t log π(y_t | x, y_<t), `[…]`, of log-probabilities of tokens `[…, L]` in nats.

    `mask` `[…, L]` is not 0 at the tokens of the answer, its end token among them, and 0 at those of the prompt and at
    padding, whose log-probabilities are not read: they may be −inf. Sum in float32 at least: bfloat16 has three digits.

    Args:
        log_probabilities: log π(y_t | x, y_<t) `[…, L]` of L tokens, in nats
        mask: `[…, L]`, not 0 at the tokens of the answer

    Raises:
        NashGamesError: for arrays whose shapes differ

    Example:
        >>> import numpy as np
        >>> from nashgames import losses
        >>> losses.of_sequences(np.log([[0.5, 0.25, 0.1]]), np.array([[1, 1, 0]])).round(3).tolist()
        [-2.079]
    """
    _same("mask", mask, log_probabilities)
    space = _namespace(log_probabilities)
    return space.where(space.asarray(mask, dtype=space.bool), log_probabilities, 0).sum(-1)


def proximal(log_reference: Array, log_target: Array, beta: Number, eta: Number) -> Proximal:
    """log π̄ = (η log μ + log π_target)/(1+η) and τ = β(1+1/η), of whole answers `[…]` (theory §4.3, §4.5, equation 7).

    log π̄ is not normalised, which no loss of pairs or with a leave-one-out baseline can see.

    Args:
        log_reference: log μ `[…]` of answers, in nats
        log_target: log π_target `[…]` of the same answers
        beta: β, the weight of KL(π_θ‖μ), above 0
        eta: η, the step of the proximal outer loop in the papers' scale, above 0

    Raises:
        NashGamesError: for arrays whose shapes differ, or a number that is not above 0

    Example:
        >>> import numpy as np
        >>> from nashgames import losses
        >>> inner = losses.proximal(np.log([0.5, 0.5]), np.log([0.8, 0.2]), beta=0.1, eta=1.0)
        >>> round(inner.temperature, 3), inner.log_anchor.round(3).tolist()
        (0.2, [-0.458, -1.151])
    """
    _same("log_target", log_target, log_reference)
    beta, eta = _above_zero("beta", beta), _above_zero("eta", eta)
    return Proximal(log_target + eta / (1 + eta) * (log_reference - log_target), beta * (1 + 1 / eta))


def reward(log_policy: Array, log_anchor: Array, labels: Array, temperature: Number) -> Array:
    """r(y) = o − ½ − τ log(π/π̄)(y), `[…, K]`, without a gradient: a margin with the KL as part of the reward.

    `labels` `[…, K]` are those of y_k ~ π_θ against an answer of the opponent. E r ∇log π_θ is the gradient of
    P(π_θ ≻ π') − τ KL(π_θ‖π̄), as E ∇log π_θ = 0 (theory §4.2).

    Args:
        log_policy: log π_θ(y_k | x) `[…, K]` of K answers y_k ~ π_θ to each prompt, in nats; θ moves it alone
        log_anchor: log π̄ `[…, K]` of the same answers, up to a constant
        labels: `[…, K]`, that of y_k against an answer of the opponent: 1 won, 0 lost, or a probability
        temperature: τ, the weight of KL(π_θ‖π̄), above 0

    Raises:
        NashGamesError: for arrays whose shapes do not fit together, or a temperature that is not above 0

    Example:
        >>> import numpy as np
        >>> from nashgames import losses
        >>> same = np.log([0.5, 0.5])
        >>> losses.reward(same, same, np.array([1.0, 0.0]), temperature=0.1).tolist()
        [0.5, -0.5]
    """
    _same("log_anchor", log_anchor, log_policy)
    margins = _margins(labels, log_policy, tuple(log_policy.shape))
    return _fixed(margins - _above_zero("temperature", temperature) * (log_policy - log_anchor))


def leave_one_out(rewards: Array) -> Array:
    """r_k − (1/(K−1)) Σ_{j≠k} r_j, `[…, K]`: a baseline of the other answers, which adds no bias.

    It needs rewards r_j, j ≠ k, that do not depend on y_k: not those of answers that played each other, for which
    `self_play` has the baseline. Source: Kool, van Hoof and Welling 2019; theory §4.4.

    Args:
        rewards: r `[…, K]` of K ≥ 2 answers to each prompt

    Raises:
        NashGamesError: for fewer than two answers

    Example:
        >>> import numpy as np
        >>> from nashgames import losses
        >>> losses.leave_one_out(np.array([1.0, 0.0, 0.5])).tolist()
        [0.75, -0.75, 0.0]
    """
    return rewards - (rewards.sum(-1)[..., None] - rewards) / (_several(rewards) - 1)


def surrogate(log_policy: Array, rewards: Array) -> Array:
    """−(1/K) Σ_k r_k log π_θ(y_k): a loss whose gradient is −(1/K) Σ_k r_k ∇log π_θ(y_k), y_k ~ π_θ.

    Args:
        log_policy: log π_θ(y_k | x) `[…, K]` of K answers y_k ~ π_θ to each prompt, in nats; θ moves it alone
        rewards: r_k `[…, K]`, without a gradient

    Raises:
        NashGamesError: for arrays whose shapes differ

    Example:
        >>> import numpy as np
        >>> from nashgames import losses
        >>> round(float(losses.surrogate(np.log([0.6, 0.4]), np.array([0.5, -0.5]))), 4)
        -0.1014
    """
    _same("rewards", rewards, log_policy)
    return -(_fixed(rewards) * log_policy).mean()


def self_play(log_policy: Array, log_reference: Array, labels: Array, beta: Number) -> Array:
    """Self-play policy gradient on P_β, which is online IPO: K answers y_k ~ π_θ to a prompt, each against all others.

    −∇ estimates ∇[P(π_θ ≻ π') − β KL(π_θ‖μ)] at π' = π_θ, `online-ipo`'s direction, with r_k = (1/(K−1)) Σ_{j≠k}
    (o_kj − ½) − β log(π/μ)(y_k) less its leave-one-out baseline. Margins are skew, so that those of the others against
    one another average to zero and that baseline is −β times the mean log-ratio of the others; theirs against y_k
    would depend on y_k, and in the baseline double the game. `labels` `[…, K, K]`, o_kj that of y_k against y_j; their
    diagonal changes nothing. The gradient is β/4 times that of `ipo` over all pairs, draw for draw (theory §4.4).

    Args:
        log_policy: log π_θ(y_k | x) `[…, K]` of K answers y_k ~ π_θ to each prompt, in nats; θ moves it alone
        log_reference: log μ of the same answers, in nats
        labels: `[…, K, K]`, that of y_k against y_j; the diagonal changes nothing
        beta: β, the weight of KL(π_θ‖μ), above 0

    Raises:
        NashGamesError: for arrays whose shapes do not fit together, fewer than two answers, or a number that is not
            above 0

    Example:
        >>> import numpy as np
        >>> from nashgames import losses
        >>> same, labels = np.log([0.5, 0.5]), np.array([[0.5, 1.0], [0.0, 0.5]])
        >>> round(float(losses.self_play(np.log([0.6, 0.4]), same, labels, beta=0.1)), 4)
        -0.0931
    """
    return _round_robin(log_policy, log_reference, labels, beta)


def nash_md_pg(log_policy: Array, log_reference: Array, labels: Array, beta: Number) -> Array:
    """Nash-MD-PG: y_k ~ π_θ, each against an answer of its own of π_λ ∝ π^{1−λ} μ^λ; `labels` `[…, K]`.

    −∇ estimates ∇[P(π_θ ≻ π_λ) − β KL(π_θ‖μ)], with a leave-one-out baseline. The mixture is only in who drew the
    opponents. Source: Munos et al. 2024, who mix next-token logits; theory §4.6.

    Args:
        log_policy: log π_θ(y_k | x) `[…, K]` of K answers y_k ~ π_θ to each prompt, in nats; θ moves it alone
        log_reference: log μ of the same answers, in nats
        labels: `[…, K]`, that of y_k against an answer of the opponent: 1 won, 0 lost, or a probability
        beta: β, the weight of KL(π_θ‖μ), above 0

    Raises:
        NashGamesError: for arrays whose shapes do not fit together, fewer than two answers, or a number that is not
            above 0

    Example:
        >>> import numpy as np
        >>> from nashgames import losses
        >>> same = np.log([0.5, 0.5])
        >>> round(float(losses.nash_md_pg(np.log([0.6, 0.4]), same, np.array([1.0, 0.0]), beta=0.1)), 4)
        -0.1945
    """
    return surrogate(log_policy, leave_one_out(reward(log_policy, log_reference, labels, beta)))


def practical_nash_mp(
    log_policy: Array, log_reference: Array, log_target: Array, labels: Array, beta: Number, eta: Number
) -> Array:
    """Practical Nash-MP: y_k ~ π_θ, each against an answer of its own of the target; `labels` `[…, K]`.

    −∇ estimates ∇[P(π_θ ≻ π_target) − τ KL(π_θ‖π̄)] with τ and π̄ of `proximal`, with a leave-one-out baseline. After
    every step of the optimiser `moving_target` follows. With `opponent=policy` it is `nash_prox`.
    A reconstruction: arXiv 2505.19731 v1 gives the scheme, not its numbers (theory §4.3).

    Args:
        log_policy: log π_θ(y_k | x) `[…, K]` of K answers y_k ~ π_θ to each prompt, in nats; θ moves it alone
        log_reference: log μ of the same answers, in nats
        log_target: log π_target of the same answers, in nats
        labels: `[…, K]`, that of y_k against an answer of the opponent: 1 won, 0 lost, or a probability
        beta: β, the weight of KL(π_θ‖μ), above 0
        eta: η, the step of the proximal outer loop in the papers' scale, above 0

    Raises:
        NashGamesError: for arrays whose shapes do not fit together, fewer than two answers, or a number that is not
            above 0

    Example:
        >>> import numpy as np
        >>> from nashgames import losses
        >>> same, labels = np.log([0.5, 0.5]), np.array([1.0, 0.0])
        >>> round(float(losses.practical_nash_mp(np.log([0.6, 0.4]), same, same, labels, beta=0.1, eta=0.2)), 4)
        -0.1534
    """
    log_anchor, temperature = proximal(log_reference, log_target, beta, eta)
    return surrogate(log_policy, leave_one_out(reward(log_policy, log_anchor, labels, temperature)))


def nash_prox(
    log_policy: Array, log_reference: Array, log_target: Array, labels: Array, beta: Number, eta: Number
) -> Array:
    """Nash Prox: `self_play` in the game with τ and π̄ of `proximal`; `labels` `[…, K, K]`.

    The target stays for some steps and is then replaced (κ = 1), or follows after every step: `moving_target`.
    A reconstruction: arXiv 2505.19731 v2 fixes the structure, not the inner loop (theory §4.5).

    Args:
        log_policy: log π_θ(y_k | x) `[…, K]` of K answers y_k ~ π_θ to each prompt, in nats; θ moves it alone
        log_reference: log μ of the same answers, in nats
        log_target: log π_target of the same answers, in nats
        labels: `[…, K, K]`, that of y_k against y_j; the diagonal changes nothing
        beta: β, the weight of KL(π_θ‖μ), above 0
        eta: η, the step of the proximal outer loop in the papers' scale, above 0

    Raises:
        NashGamesError: for arrays whose shapes do not fit together, fewer than two answers, or a number that is not
            above 0

    Example:
        >>> import numpy as np
        >>> from nashgames import losses
        >>> same, labels = np.log([0.5, 0.5]), np.array([[0.5, 1.0], [0.0, 0.5]])
        >>> round(float(losses.nash_prox(np.log([0.6, 0.4]), same, same, labels, beta=0.1, eta=0.2)), 4)
        -0.052
    """
    log_anchor, temperature = proximal(log_reference, log_target, beta, eta)
    return _round_robin(log_policy, log_anchor, labels, temperature)


def ipo(log_policy: Array, log_reference: Array, beta: Number, labels: Array | float = 1.0) -> Array:
    """IPO on pairs (y, y'): the mean of (log(π/μ)(y) − log(π/μ)(y') − (o − ½)/β)², with both logs `[…, 2]`.

    `labels` `[…]` are those of y against y'; unless given, the first won: a data set of (chosen, rejected). Online,
    with y, y' ~ π_θ, ∇ estimates (4/β) ∇[β KL(π_θ‖μ) − P(π_θ ≻ π')] at π' = π_θ: a learning rate of aβ/4 makes the
    step a of `online-ipo`. With τ and π̄ of `proximal` in the places of β and μ it is Nash Prox on pairs.
    Sources: Azar et al. 2023 (offline); 2403.08635 (online); theory §4.4, equation 6.

    Args:
        log_policy: log π_θ `[…, 2]` of the two answers of a pair, in nats; θ moves it alone
        log_reference: log μ of the same answers, in nats
        beta: β, the weight of KL(π_θ‖μ), above 0
        labels: `[…]`, that of the first answer of a pair against the second; unless given, the first won

    Raises:
        NashGamesError: for arrays whose shapes do not fit together, a last axis that is not a pair, or a number that is
            not above 0

    Example:
        >>> import numpy as np
        >>> from nashgames import losses
        >>> chosen_and_rejected = np.log([[0.6, 0.4]])
        >>> round(float(losses.ipo(chosen_and_rejected, np.log([[0.5, 0.5]]), beta=1.0)), 4)
        0.0089
    """
    margins = _of_pairs(labels, log_policy)
    return _squared(log_policy, log_reference, beta, margins)


def dpo(log_policy: Array, log_reference: Array, beta: Number, labels: Array | float = 1.0) -> Array:
    """DPO on pairs: the mean of −o log σ(s) − (1−o) log σ(−s), s = β (log(π/μ)(y) − log(π/μ)(y')), both logs `[…, 2]`.

    `labels` `[…]` are those of y against y'; unless given, the first won. It fits a Bradley–Terry model, which no cycle
    obeys: what it converges to is no equilibrium of the game. Source: Rafailov et al. 2023.

    Args:
        log_policy: log π_θ `[…, 2]` of the two answers of a pair, in nats; θ moves it alone
        log_reference: log μ of the same answers, in nats
        beta: β, the weight of KL(π_θ‖μ), above 0
        labels: `[…]`, that of the first answer of a pair against the second; unless given, the first won

    Raises:
        NashGamesError: for arrays whose shapes do not fit together, a last axis that is not a pair, or a number that is
            not above 0

    Example:
        >>> import numpy as np
        >>> from nashgames import losses
        >>> chosen_and_rejected = np.log([[0.6, 0.4]])
        >>> round(float(losses.dpo(chosen_and_rejected, np.log([[0.5, 0.5]]), beta=1.0)), 4)
        0.5108
    """
    margins = _of_pairs(labels, log_policy)
    score = _above_zero("beta", beta) * _contrast(log_policy, log_reference)
    space = _namespace(score)
    # log σ(−s) = log σ(s) − s; this form has the right slope at s = 0, where training begins.
    return (space.logaddexp(-score, space.zeros_like(score)) + (0.5 - margins) * score).mean()


def inpo(
    log_policy: Array,
    log_reference: Array,
    log_previous: Array,
    beta: Number,
    eta: Number,
    labels: Array | float = 1.0,
) -> Array:
    """A round of INPO on pairs y, y' ~ π_t: `ipo` with η for β and ∝ π_t^{1−β/η} μ^{β/η} for μ; all logs `[…, 2]`.

    Its minimiser is π_{t+1} ∝ π_t^{1−β/η} μ^{β/η} e^{q(π_t)/η}, a step of `inpo`; η ≥ β is an inverse step. `labels`
    `[…]` are those of y against y'; unless given, the first won. Source: Zhang et al. 2024 (arXiv 2407.00617).

    Args:
        log_policy: log π_θ `[…, 2]` of the two answers of a pair, in nats; θ moves it alone
        log_reference: log μ of the same answers, in nats
        log_previous: log π_t of the same answers, those of the policy that wrote them, in nats
        beta: β, the weight of KL(π_θ‖μ), above 0
        eta: η, the inverse step of a round, of at least β
        labels: `[…]`, that of the first answer of a pair against the second; unless given, the first won

    Raises:
        NashGamesError: for arrays whose shapes do not fit together, a last axis that is not a pair, or a number that is
            not above 0, or η below β

    Example:
        >>> import numpy as np
        >>> from nashgames import losses
        >>> same = np.log([[0.5, 0.5]])
        >>> round(float(losses.inpo(np.log([[0.6, 0.4]]), same, same, beta=0.1, eta=1.0)), 4)
        0.0089
    """
    _same("log_previous", log_previous, log_policy)
    beta, eta = _above_zero("beta", beta), _above_zero("eta", eta)
    if isinstance(eta, float) and isinstance(beta, float) and eta < beta:
        raise NashGamesError(f"eta is {eta:g}; accepted: an inverse step of at least beta, {beta:g}")
    log_anchor = log_previous + beta / eta * (log_reference - log_previous)
    return _squared(log_policy, log_anchor, eta, _of_pairs(labels, log_policy))


def egpo(log_policy: Array, log_reference: Array, labels: Array, beta: Number) -> Array:
    """One of EGPO's two half steps: the mean of (log(π/μ)(y) − log(π/μ)(y') − (o − o')/β)², both logs `[…, 2]`.

    The pair is drawn by a fixed behaviour ν, the same in both half steps, and `labels` `[…, 2]` are those of y and of
    y' against answers y″ of the opponent: π_k first, then π_{k+½}, and both gradients are taken at, and applied from,
    θ_k. With ν uniform over n answers −(βn/4)∇ estimates the direction of `egpo` and of `uniform-ipo`.
    Source: Zhou et al. 2025 (arXiv 2503.08942); theory §4.1, §4.4.

    Args:
        log_policy: log π_θ `[…, 2]` of the two answers of a pair, in nats; θ moves it alone
        log_reference: log μ of the same answers, in nats
        labels: `[…, 2]`, that of each answer of a pair against an answer y″ of the opponent
        beta: β, the weight of KL(π_θ‖μ), above 0

    Raises:
        NashGamesError: for arrays whose shapes do not fit together, a last axis that is not a pair, or a number that is
            not above 0

    Example:
        >>> import numpy as np
        >>> from nashgames import losses
        >>> same = np.log([[0.5, 0.5]])
        >>> float(losses.egpo(same, same, np.array([[1.0, 0.0]]), beta=1.0))
        1.0
    """
    margins = _margins(labels, log_policy, tuple(log_policy.shape))
    return _squared(log_policy, log_reference, beta, margins[..., 0] - margins[..., 1])


def moving_target(target: Any, parameters: Any, kappa: Number) -> Any:
    """(1−κ) θ_target + κ θ, leaf by leaf: lists, tuples, dicts (a `state_dict` of torch) or any pytree, of one form.

    Whole numbers and truth values, as counters in a `state_dict`, are those of `parameters`. Source: theory §4.3.

    Args:
        target: the parameters of the target
        parameters: those of the policy, in the same form
        kappa: κ, the share by which the target moves, above 0 and at most 1

    Raises:
        NashGamesError: for two forms that differ, or κ out of its bounds

    Example:
        >>> import numpy as np
        >>> from nashgames import losses
        >>> losses.moving_target({"w": np.zeros(2)}, {"w": np.ones(2)}, kappa=0.1)["w"].tolist()
        [0.1, 0.1]
    """
    if isinstance(kappa, int | float) and not 0 < kappa <= 1:
        raise NashGamesError(f"kappa is {kappa:g}; accepted: a number above 0 and at most 1")
    ours: Any = jax.tree.structure(target)
    theirs: Any = jax.tree.structure(parameters)
    if ours != theirs:
        raise NashGamesError(
            f"the target is {shown(ours)} and the parameters are {shown(theirs)}; give both in one form"
        )
    return jax.tree.map(lambda old, new: old + kappa * (new - old) if _has_fractions(new) else new, target, parameters)


def _round_robin(log_policy: Array, log_anchor: Array, labels: Array, temperature: Number) -> Array:
    """`self_play` with τ and π̄ in the places of β and μ."""
    _same("log_anchor", log_anchor, log_policy)
    answers = _several(log_policy)
    margins = _margins(labels, log_policy, (*log_policy.shape, answers))
    own = _namespace(margins).diagonal(margins, 0, -2, -1)
    won = (margins.sum(-1) - own) / (answers - 1)
    penalty = _above_zero("temperature", temperature) * (log_policy - log_anchor)
    return surrogate(log_policy, won - leave_one_out(penalty))


def _squared(log_policy: Array, log_anchor: Array, temperature: Number, margins: Array) -> Array:
    """The mean of (log(π/π̄)(y) − log(π/π̄)(y') − margin/τ)²."""
    contrast = _contrast(log_policy, log_anchor)
    return ((contrast - margins / _above_zero("temperature", temperature)) ** 2).mean()


def _contrast(log_policy: Array, log_anchor: Array) -> Array:
    """log(π/π̄)(y) − log(π/π̄)(y'), `[…]`."""
    _same("log_anchor", log_anchor, log_policy)
    ratios = log_policy - log_anchor
    return ratios[..., 0] - ratios[..., 1]


def _of_pairs(labels: Array | float, log_policy: Array) -> Array:
    """The margins of pairs, `[…]`, or one without axes for all of them."""
    if log_policy.shape[-1:] != (2,):
        raise NashGamesError(f"log_policy has shape {_shape(log_policy)}; its last axis is a pair, of length 2")
    return _margins(labels, log_policy, () if isinstance(labels, int | float) else tuple(log_policy.shape[:-1]))


def _margins(labels: Array | float, log_policy: Array, shape: tuple[int, ...]) -> Array:
    """o − ½ in the dtype of `log_policy`, whole numbers and truth values too."""
    found = _namespace(log_policy).asarray(labels, dtype=log_policy.dtype)
    if tuple(found.shape) != shape:
        raise NashGamesError(
            f"labels have shape {_shape(found)} and log_policy {_shape(log_policy)}; give labels of shape {shape}"
        )
    return found - 0.5


def _same(name: str, given: Array, like: Array) -> None:
    """Arrays of different shapes would be spread over each other without a word."""
    if tuple(given.shape) != tuple(like.shape):
        raise NashGamesError(f"{name} has shape {_shape(given)} beside {_shape(like)}; give both the same shape")


def _several(values: Array) -> int:
    """K, the answers to a prompt."""
    if len(values.shape) == 0 or values.shape[-1] < 2:
        raise NashGamesError(f"there are answers of shape {_shape(values)}; a baseline needs two along the last axis")
    return int(values.shape[-1])


def _shape(values: Array) -> str:
    return str(tuple(values.shape))


def _above_zero(name: str, value: Number) -> Number:
    """A Python number as such: NumPy's would turn float32 into float64. Arrays, perhaps traced, are as they are."""
    if not isinstance(value, int | float):
        return value
    if not 0 < value < float("inf"):
        raise NashGamesError(f"{name} is {value:g}; accepted: a finite number above 0")
    return float(value)


def _fixed(values: Array) -> Array:
    """The values without a gradient."""
    if isinstance(values, jax.Array):
        return jax.lax.stop_gradient(values)
    return values.detach() if hasattr(values, "detach") else values


def _has_fractions(leaf: Any) -> bool:
    return isinstance(leaf, float) or any(kind in str(getattr(leaf, "dtype", "")) for kind in ("float", "complex"))


def _namespace(values: Array) -> Any:
    """The functions of the array's own library: torch is loaded where a tensor is, and has no `__array_namespace__`."""
    if hasattr(values, "__array_namespace__"):
        return values.__array_namespace__()
    return sys.modules[type(values).__module__.partition(".")[0]]
