"""The solvers as a straightforward NumPy loop, one run at a time: the other side of `loop.py`.

The updates are those of `nashgames.solvers`; `loop.py` checks that both sides reach the same policy.
"""

from collections.abc import Callable

import numpy as np

Step = Callable[[np.ndarray, np.ndarray], np.ndarray]


def normalise(logits: np.ndarray) -> np.ndarray:
    """log softmax."""
    shifted = logits - logits.max()
    return shifted - np.log(np.exp(shifted).sum())


def suboptimality(log_policy: np.ndarray, advantage: np.ndarray, log_reference: np.ndarray, beta: float) -> float:
    """β KL(π‖BR_β(π)) as a sum of non-negative terms."""
    log_response = normalise(log_reference + advantage / beta)
    r = log_policy - log_response
    e = np.exp(-np.abs(r))
    far = np.where(r >= 0, np.exp(log_policy) * (e - 1 + r), np.exp(log_response) * (1 - e + r * e))
    near = np.exp(log_policy) * r * r * (1 / 2 - r * (1 / 6 - r * (1 / 24 - r / 120)))
    return beta * float(np.where(np.abs(r) < 1e-2, near, far).sum())


def run(
    solver: str, margins: np.ndarray, log_reference: np.ndarray, beta: float, numbers: dict, steps: int, check: bool
) -> np.ndarray:
    """log π after `steps` steps from μ; with `check` every step computes its suboptimality, as the library does."""
    update = UPDATES[solver](margins, log_reference, beta, **numbers)
    log_policy, advantage = log_reference, margins @ np.exp(log_reference)
    for _ in range(steps):
        log_policy = update(log_policy, advantage)
        advantage = margins @ np.exp(log_policy)
        if check and suboptimality(log_policy, advantage, log_reference, beta) < 0:
            break
    return log_policy


def nash_mp(margins: np.ndarray, log_reference: np.ndarray, beta: float, eta: float) -> Step:
    """Two proximal steps, the second against the first one's policy."""

    def prox(log_policy: np.ndarray, advantage: np.ndarray) -> np.ndarray:
        return normalise((log_policy + eta * (log_reference + advantage / beta)) / (1 + eta))

    return lambda log_policy, advantage: prox(log_policy, margins @ np.exp(prox(log_policy, advantage)))


def mirror_descent(margins: np.ndarray, log_reference: np.ndarray, beta: float, step: float) -> Step:
    """π ∝ π^(1−aβ) μ^(aβ) e^(a q)."""
    return lambda log_policy, advantage: normalise(
        log_policy + step * (advantage + beta * (log_reference - log_policy))
    )


def online_ipo(margins: np.ndarray, log_reference: np.ndarray, beta: float, step: float) -> Step:
    """Self-play policy gradient in softmax logits."""
    return lambda log_policy, advantage: _ascent(log_policy, advantage, beta, log_reference, step)


def nash_prox(
    margins: np.ndarray, log_reference: np.ndarray, beta: float, eta: float, inner: int, kappa: float, step: float
) -> Step:
    """The same towards an anchor that moves after every `inner` steps."""
    temperature, taken, log_target = beta * (1 + 1 / eta), 0, log_reference

    def update(log_policy: np.ndarray, advantage: np.ndarray) -> np.ndarray:
        nonlocal taken, log_target
        log_anchor = normalise(log_target + eta / (1 + eta) * (log_reference - log_target))
        log_policy = _ascent(log_policy, advantage, temperature, log_anchor, step)
        taken += 1
        if taken % inner == 0:
            log_target = normalise(log_target + kappa * (log_policy - log_target))
        return log_policy

    return update


def _ascent(
    log_policy: np.ndarray, advantage: np.ndarray, temperature: float, log_anchor: np.ndarray, step: float
) -> np.ndarray:
    direction = advantage - temperature * (log_policy - log_anchor)
    policy = np.exp(log_policy)
    return normalise(log_policy + step * policy * (direction - policy @ direction))


UPDATES: dict[str, Callable[..., Step]] = {
    "nash-mp": nash_mp,
    "nash-prox": nash_prox,
    "mirror-descent": mirror_descent,
    "online-ipo": online_ipo,
}
