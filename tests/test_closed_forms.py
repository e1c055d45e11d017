"""Every solver written again from docs/theory.md §4 in probabilities, with plain NumPy: iterates and fixed points.

A closed form yields the policy reported after every update. It is written from the mathematics and shares no line with
the solvers: policies are probabilities, θ ← θ + a v is π ∝ π e^{av}, and θ̄ ← (1−κ) θ̄ + κθ is π̄ ∝ π̄^{1−κ} π^κ.
"""

import dataclasses
import functools
import inspect
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params

from nashgames.core.game import make_game
from nashgames.core.margins import ENTRIES
from nashgames.core.precision import Precision
from nashgames.games.tables import load
from nashgames.learning.feedback import Duels
from nashgames.solvers import SOLVERS, adaptive_step, make_solver
from tests.games import arrays, compiled, log_softmax, random_margins, soccer_reference


@dataclass(frozen=True)
class Numbers:
    """A game in NumPy: margins A `[m, n, n]`, μ and π_0 `[m, n]`, β, and the weights ρ of the m contexts `[m]`."""

    margins: np.ndarray
    mu: np.ndarray
    start: np.ndarray
    beta: float
    weights: np.ndarray

    def q(self, pi):
        """q(π) = Aπ in every context."""
        return np.einsum("xij,xj->xi", self.margins, pi)

    def average(self, values):
        """Σ_x ρ_x values_x."""
        return float(self.weights @ values)


def normalised(weights):
    return weights / weights.sum(axis=-1, keepdims=True)


def power_mean(p, q, share):
    """∝ p^{1−share} q^{share}."""
    return normalised(p ** (1 - share) * q**share)


def proximal(pi, mu, q, beta, eta):
    """argmax ⟨q, π'⟩ − β KL(π'‖μ) − (β/η) KL(π'‖π): π' ∝ (π μ^η e^{(η/β) q})^{1/(1+η)} (theory §4.1)."""
    share = eta / (1 + eta)
    return normalised(pi ** (1 - share) * mu**share * np.exp(share / beta * q))


def fisher(pi):
    """F(π) = diag π − ππᵀ in every context, `[m, n, n]`."""
    return np.stack([np.diag(p) - np.outer(p, p) for p in pi])


def climbed(pi, step, q, temperature, anchor):
    """θ ← θ + a F(π)[q − τ log(π/π̄)] for π = softmax θ (theory §4.4)."""
    direction = fisher(pi) @ (q - temperature * np.log(pi / anchor))[..., None]
    return normalised(pi * np.exp(step * direction[..., 0]))


def mirrored(game, pi, q, step):
    """π' ∝ π^{1−aβ} μ^{aβ} e^{aq} (theory §4.6)."""
    share = step * game.beta
    return normalised(pi ** (1 - share) * game.mu**share * np.exp(step * q))


def kl(p, q):
    """KL(p‖q) = Σ (p log(p/q) − p + q): every term is non-negative; `[m]`."""
    ratio = np.log(p / q)
    return np.sum(p * (ratio + np.expm1(-ratio)), axis=-1)


def nash_mp(game, eta=None):
    """Theory §4.1."""
    eta = 2 * game.beta if eta is None else eta
    pi = game.start
    while True:
        half = proximal(pi, game.mu, game.q(pi), game.beta, eta)
        pi = proximal(pi, game.mu, game.q(half), game.beta, eta)
        yield pi


def halves_of_nash_mp(game, eta=None):
    """Theory §4.1, with π_{k+½} shown before π_{k+1}."""
    eta = 2 * game.beta if eta is None else eta
    pi = game.start
    while True:
        half = proximal(pi, game.mu, game.q(pi), game.beta, eta)
        yield half
        pi = proximal(pi, game.mu, game.q(half), game.beta, eta)
        yield pi


@dataclass
class Credit:
    """At most 1.25 times the queries with which the least step proves the same contraction, and 8 (theory §4.7)."""

    least: float
    proved: float = 0.0
    made: int = 0

    def allows_a_loss(self) -> bool:
        return 8 + 1.25 * 2 * self.proved / math.log1p(self.least) - self.made >= 1


def excess(game, pi, half, whole, eta):
    """(1+η) KL(π_{k+½}‖π_{k+1}) / KL(π_{k+½}‖π_k): admissible up to 1, taken up to 0.95 (theory §4.7)."""
    # At rest, where both are 0, nothing depends on it.
    return (1 + eta) * game.average(kl(half, whole)) / max(game.average(kl(half, pi)), np.finfo(float).tiny)


def next_eta(ratio, eta, least, taken):
    """The root of κη²/(1+η) = 0.7 with κ from the present ratio: at most eight times and at least half of the present
    η, at most half of it after a rejection, never above 1e4 or below `least`.
    """
    aimed = max(np.roots([ratio * (1 + eta) / eta**2, -0.7, -0.7]).real)
    aimed = min(max(aimed, eta / 2), 8 * eta) if taken else min(aimed, eta / 2)
    return max(min(aimed, 1e4), least)


def adaptive_nash_mp(game, least=None):
    """Theory §4.7: the step of Nash-MP, tried 32 times as large as the least one at first. One query an update."""
    least = 2 * game.beta if least is None else least
    pi, eta, credit = game.start, 32 * least, Credit(least)
    while True:
        half = proximal(pi, game.mu, game.q(pi), game.beta, eta)
        whole = proximal(pi, game.mu, game.q(half), game.beta, eta)
        ratio = excess(game, pi, half, whole, eta)
        taken = ratio <= 0.95 or eta <= least
        credit.made += 2 if taken else 1
        credit.proved += math.log1p(eta) if taken else 0
        yield pi
        if taken:
            pi = whole
            yield pi
        eta = next_eta(ratio, eta, least, taken) if credit.allows_a_loss() else least


def skew_model(policies, advantages):
    """The skew-symmetric Â with Â(π_i − π_j) = q_i − q_j for all queries, π_j the last, and the least Σ w_i w_j Â_ij²,
    w the mean policy: least squares over the entries above the diagonal.
    """
    n = policies.shape[-1]
    above = np.triu_indices(n, 1)
    weight = policies.mean(axis=0)
    basis = np.zeros((len(above[0]), n, n))
    for entry, (i, j) in enumerate(zip(*above, strict=True)):
        basis[entry, i, j] = 1 / np.sqrt(weight[i] * weight[j])
        basis[entry, j, i] = -basis[entry, i, j]
    steps, changes = policies[:-1] - policies[-1], advantages[:-1] - advantages[-1]
    lengths = np.sqrt(np.sum(steps**2 / weight, axis=-1))
    known = lengths > 0
    steps, changes = steps[known] / lengths[known, None], changes[known] / lengths[known, None]
    equations = np.einsum("eij,kj->kie", basis, steps).reshape(-1, len(basis))
    found = np.linalg.lstsq(equations, changes.reshape(-1), rcond=1e-10)[0]
    return np.tensordot(found, basis, axes=1)


def implicit_step(policies, advantages, pi, mu, beta, eta):
    """π' = prox(π; q_j + Â(π' − π_j)) by three steps of Newton's method on π' from π, in one context."""
    model = skew_model(policies, advantages)
    share = eta / (1 + eta)
    away = pi - policies[-1]

    def response(away):
        logits = (1 - share) * np.log(pi) + share * np.log(mu) + share / beta * (advantages[-1] + model @ away)
        return normalised(np.exp(logits - logits.max()))

    for _ in range(3):
        new = response(away)
        slope = share / beta * fisher(new[None])[0] @ model
        away = away + np.linalg.solve(np.eye(len(pi)) - slope, new - policies[-1] - away)
    return response(away)


def secant_nash_mp(game, least=None, memory=None):
    """Theory §4.7 with half steps on the model of the last queries, which are π_0's alone at first."""
    least = 2 * game.beta if least is None else least
    pi = reported = game.start
    policies = np.repeat(pi[None], (10 if memory is None else memory) + 1, axis=0)
    advantages = np.stack([game.q(p) for p in policies])

    def query(policy):
        nonlocal policies, advantages
        policies = np.concatenate([policies[1:], policy[None]])
        advantages = np.concatenate([advantages[1:], game.q(policy)[None]])
        return advantages[-1]

    eta, credit = 32 * least, Credit(least)
    half = proximal(pi, game.mu, game.q(pi), game.beta, eta)
    while True:
        whole = proximal(pi, game.mu, query(half), game.beta, eta)
        ratio = excess(game, pi, half, whole, eta)
        taken = ratio <= 0.95
        credit.made += 1
        if taken:
            credit.proved += math.log1p(eta)
            pi, reported = whole, half
        eta = next_eta(ratio, eta, least, taken)
        yield reported
        while not credit.allows_a_loss():
            half = proximal(pi, game.mu, query(pi), game.beta, least)
            yield reported
            pi, reported = proximal(pi, game.mu, query(half), game.beta, least), half
            credit.made += 2
            credit.proved += math.log1p(least)
            yield reported
        half = np.stack(
            [implicit_step(policies[:, x], advantages[:, x], pi[x], game.mu[x], game.beta, eta) for x in range(len(pi))]
        )


def variance(pi, values):
    return np.sum(pi * (values - np.sum(pi * values, axis=-1, keepdims=True)) ** 2, axis=-1, keepdims=True)


@dataclass
class Climber:
    """Steps of policy gradient: of the size given, or ¾ of 2τ/(‖F‖(κ² + τ²)) (theory §6.1), κ = 0 if `fixed`.

    ‖F‖ is max_i min(π_i, 2π_i(1−π_i)). κ² is Var_π(Δq)/Var_π(Δlog π) of the last step where the policy plays itself, at
    least 0.8 of the κ² before and at most (1 − Σπ²)/8; no logit moves by more than 1.
    """

    game: Numbers
    step: float | None
    plays_itself: bool = True
    fixed: bool = False
    rotation: np.ndarray | None = None

    def largest(self, pi):
        return (1 - np.sum(pi**2, axis=-1, keepdims=True)) / 8

    def __call__(self, pi, q, temperature, anchor):
        if self.step is not None:
            return climbed(pi, self.step, q, temperature, anchor)
        rotation = self.largest(pi) if self.rotation is None else self.rotation
        size = np.max(np.where(pi > 0.5, 2 * pi * (1 - pi), pi), axis=-1, keepdims=True)
        slope = q - temperature * np.log(pi / anchor)
        farthest = np.max(np.abs(pi * (slope - np.sum(pi * slope, axis=-1, keepdims=True))), axis=-1, keepdims=True)
        step = 1.5 * temperature / (size * ((0 if self.fixed else rotation) + temperature**2))
        after = climbed(pi, np.minimum(step, 1 / np.maximum(farthest, 1e-300)), q, temperature, anchor)
        self.rotation = self.largest(after)
        if self.plays_itself and np.all(after != pi):
            met = variance(after, self.game.q(after) - self.game.q(pi)) / variance(after, np.log(after / pi))
            self.rotation = np.minimum(np.maximum(met, 0.8 * rotation), self.rotation)
        return after


def nash_prox(game, eta=None, inner=None, kappa=None, step=None):
    """Theory §4.5."""
    multiple, steps = (8, 5) if step is None else (2, 20)
    eta = multiple * game.beta if eta is None else eta
    kappa = 1 if kappa is None else kappa
    inner = inner or (steps if kappa == 1 else 1)
    temperature = game.beta * (1 + 1 / eta)
    climb = Climber(game, step)
    pi = target = game.start
    while True:
        anchor = power_mean(target, game.mu, eta / (1 + eta))
        for _ in range(inner):
            pi = climb(pi, game.q(pi), temperature, anchor)
            yield pi
        target = power_mean(target, pi, kappa)


def proximal_point(game, eta=None, inner=None):
    """Theory §4.5 with Nash-MP of step 2τ inside, until a tenth of the outer step is lost."""
    eta = 1 if eta is None else eta
    temperature = game.beta * (1 + 1 / eta)
    inner = inner or math.ceil(math.log(10) / math.log(1 + 2 * temperature))
    pi = game.start
    while True:
        anchor = power_mean(pi, game.mu, eta / (1 + eta))
        for _ in range(inner):
            half = proximal(pi, anchor, game.q(pi), temperature, 2 * temperature)
            pi = proximal(pi, anchor, game.q(half), temperature, 2 * temperature)
            yield pi


def approximate_nash_mp(game, eta=None, inner=None, step=None):
    """Theory §4.2: both proximal steps from π_k climbed, the second from where the first ended."""
    eta = 2 * game.beta if eta is None else eta
    inner = inner or 20
    temperature = game.beta * (1 + 1 / eta)
    climb = Climber(game, step, fixed=True)
    pi = game.start
    while True:
        anchor = power_mean(pi, game.mu, eta / (1 + eta))
        for _ in ("half step", "whole step"):
            opponent = pi
            for _ in range(inner):
                pi = climb(pi, game.q(opponent), temperature, anchor)
                yield pi


def practical_nash_mp(game, eta=None, kappa=None, step=None, opponent="target"):
    """Theory §4.3."""
    eta = 2 * game.beta if eta is None else eta
    kappa = 0.1 if kappa is None else kappa
    temperature = game.beta * (1 + 1 / eta)
    climb = Climber(game, step, plays_itself=opponent == "policy")
    pi = target = game.start
    while True:
        played = {"target": target, "policy": pi}[opponent]
        pi = climb(pi, game.q(played), temperature, power_mean(target, game.mu, eta / (1 + eta)))
        target = power_mean(target, pi, kappa)
        yield pi


def online_ipo(game, step=None):
    """Theory §4.4."""
    climb = Climber(game, step)
    pi = game.start
    while True:
        pi = climb(pi, game.q(pi), game.beta, game.mu)
        yield pi


def mirror_descent(game, step=None):
    """Theory §4.6; `uniform-ipo` on a table too (theory §4.4). The default is h/(1+hβ) with h = β/L², L = ½."""
    step = 4 * game.beta / (1 + 4 * game.beta**2) if step is None else step
    pi = game.start
    while True:
        pi = mirrored(game, pi, game.q(pi), step)
        yield pi


def egpo(game, step=None):
    """Theory §4.6: two mirror steps, both from π_k; the default is Nash-MP's η = 2β through aβ = η/(1+η)."""
    step = 2 / (1 + 2 * game.beta) if step is None else step
    pi = game.start
    while True:
        half = mirrored(game, pi, game.q(pi), step)
        pi = mirrored(game, pi, game.q(half), step)
        yield pi


def nash_md(game, step=None, schedule="constant"):
    """Theory §4.6: from the mixture with μ, against that mixture; the steps are a, or 2/(β(t + 2/(aβ)))."""
    beta = game.beta
    if step is None:
        step = 1 / beta if schedule == "decreasing" else 4 * beta / (1 + 4 * beta**2)
    pi = game.start
    for t in itertools.count():
        taken = 2 / (beta * (t + 2 / (step * beta))) if schedule == "decreasing" else step
        mixed = power_mean(pi, game.mu, taken * beta)
        pi = normalised(mixed * np.exp(taken * game.q(mixed)))
        yield pi


def nash_md_pg(game, mixture=None, step=None):
    """Theory §4.6: policy gradient against π^{1−λ} μ^λ."""
    mixture = 0.125 if mixture is None else mixture
    climb = Climber(game, step, plays_itself=False)
    pi = game.start
    while True:
        pi = climb(pi, game.q(power_mean(pi, game.mu, mixture)), game.beta, game.mu)
        yield pi


def nash_ema_pg(game, kappa=None, step=None):
    """Theory §4.6: policy gradient against the geometric moving average of the past; a = 2β/(¼+β²)."""
    kappa = 0.1 if kappa is None else kappa
    step = 2 * game.beta / (0.25 + game.beta**2) if step is None else step
    pi = past = game.start
    while True:
        pi = climbed(pi, step, game.q(past), game.beta, game.mu)
        past = power_mean(past, pi, kappa)
        yield pi


def average_of(form):
    """(1/K) Σ_{k ≤ K} π_k."""

    def averaged(game, **numbers) -> Iterator[np.ndarray]:
        total = np.zeros_like(game.start)
        for count, pi in enumerate(form(game, **numbers), start=1):
            total = total + pi
            yield total / count

    return averaged


def omwu(game, step=1.0):
    """Theory §4.6: π_{t+1} ∝ π_t e^{a(2q_t − q_{t−1})}, without β; the first step takes q_{−1} = q_0."""
    pi, before = game.start, game.q(game.start)
    while True:
        now = game.q(pi)
        pi, before = normalised(pi * np.exp(step * (2 * now - before))), now
        yield pi


def by_regrets(played):
    """A method that updates the regrets R and the policy of every context by itself."""

    @functools.wraps(played)
    def form(game, **numbers):
        contexts = [
            played(Numbers(a[None], mu[None], start[None], game.beta, np.ones(1)), **numbers)
            for a, mu, start in zip(game.margins, game.mu, game.start, strict=True)
        ]
        for policies in zip(*contexts, strict=True):
            yield np.concatenate(policies)

    return form


def share(regrets, otherwise):
    return regrets / regrets.sum() if regrets.any() else otherwise


def onto(point):
    """The nearest R ≥ 0 with Σ R ≥ n: [R]⁺ where its sum suffices, else [R − θ]⁺ with sum n, θ found by bisection."""
    n, low, high = point.size, point.min() - 1, 0.0
    if np.maximum(point, 0).sum() >= n:
        return np.maximum(point, 0)
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if np.maximum(point - middle, 0).sum() > n else (low, middle)
    return np.maximum(point - low, 0)


@by_regrets
def regret_matching_plus(game):
    """Theory §4.6: R ← [R + r]⁺, π = R/Σ R; r = Aπ, because ⟨Aπ, π⟩ = 0."""
    pi, regrets = game.start, np.zeros_like(game.start)
    while True:
        regrets = np.maximum(regrets + game.q(pi), 0)
        pi = share(regrets, pi)
        yield pi


@by_regrets
def predictive_regret_matching_plus(game):
    """Theory §4.6: the same, and π ∝ [R + r]⁺ with the r that was just added."""
    pi, regrets = game.start, np.zeros_like(game.start)
    while True:
        q = game.q(pi)
        regrets = np.maximum(regrets + q, 0)
        pi = share(np.maximum(regrets + q, 0), pi)
        yield pi


@by_regrets
def smooth_predictive_regret_matching_plus(game, step=1.0):
    """Theory §4.6: predictive regret matching+ from R = nπ_0 where Σ R ≥ n."""
    pi, regrets = game.start, game.start.size * game.start
    while True:
        q = game.q(pi)
        regrets = onto(regrets + step * q)
        pi = normalised(onto(regrets + step * q))
        yield pi


@by_regrets
def extragradient_regret_matching_plus(game, step=2.0):
    """Theory §4.6: two projected steps from R, the second with the margins against the policy of the first."""
    regrets = game.start.size * game.start
    while True:
        half = onto(regrets + step * game.q(normalised(regrets)))
        regrets = onto(regrets + step * game.q(normalised(half)))
        yield normalised(regrets)


def fictitious_play(game):
    """Theory §4.6: the mean of π_0 and of the best action against every mean so far."""
    total, count = game.start, 1
    while True:
        q = game.q(total / count)
        total, count = total + (q == q.max(axis=-1, keepdims=True)), count + 1
        yield total / count


def smooth_fictitious_play(game):
    """Theory §4.6: the mean of π_0 and of μ e^{Aπ/β}/Z against every mean so far."""
    total, count = game.start, 1
    while True:
        total, count = total + normalised(game.mu * np.exp(game.q(total / count) / game.beta)), count + 1
        yield total / count


def magnetic(pi, magnet, q, alpha, step):
    """π' ∝ [π ρ^{αh} e^{hq}]^{1/(1+αh)} (theory §4.6)."""
    return normalised((pi * magnet ** (alpha * step) * np.exp(step * q)) ** (1 / (1 + alpha * step)))


def magnetic_mirror_descent(game, alpha=None, step=None, follow=0):
    """Theory §4.6; the moving magnet is a geometric mean."""
    alpha = (0.25 if follow else game.beta) if alpha is None else alpha
    step = 4 * alpha if step is None else step
    pi, magnet = game.start, game.mu
    while True:
        pi = magnetic(pi, magnet, game.q(pi), alpha, step)
        magnet = power_mean(magnet, pi, follow)
        yield pi


def optimistic_mirror_descent(game, eta=None):
    """Theory §4.6: π_{t+1}^{1+η} ∝ π_t μ^η e^{(η/β)(2q_t − q_{t−1})}; the first step takes q_{−1} = q_0."""
    eta = game.beta / (1 + game.beta) if eta is None else eta
    pi, before = game.start, game.q(game.start)
    while True:
        now = game.q(pi)
        pi = normalised((pi * game.mu**eta * np.exp(eta / game.beta * (2 * now - before))) ** (1 / (1 + eta)))
        before = now
        yield pi


def nash_ema(game, kappa=0.5, step=None):
    """Theory §4.6: a mirror step against the geometric mean of the past."""
    step = 4 * game.beta / (1 + 4 * game.beta**2) if step is None else step
    pi = past = game.start
    while True:
        pi = mirrored(game, pi, game.q(past), step)
        past = power_mean(past, pi, kappa)
        yield pi


def inpo(game, eta=None, schedule="constant"):
    """Theory §4.6: π_{t+1} ∝ π_t^{1−β/η} μ^{β/η} e^{q/η}; a growing η_t is β(t + 2η/β)/2."""
    beta = game.beta
    if eta is None:
        eta = beta if schedule == "growing" else beta + 1 / (4 * beta)
    pi = game.start
    for t in itertools.count():
        inverse = beta * (t + 2 * eta / beta) / 2 if schedule == "growing" else eta
        share = beta / inverse
        pi = normalised(pi ** (1 - share) * game.mu**share * np.exp(game.q(pi) / inverse))
        yield pi


def sppo(game, step=0.1):
    """Theory §4.6: multiplicative weights, from the start by the sum of all q so far."""
    pi, total = game.start, 0
    while True:
        total = total + game.q(pi)
        pi = normalised(game.start * np.exp(step * total))
        yield pi


def onpo(game, step=0.5):
    """Theory §4.6: π' by the sum of all q so far, π by the last one twice."""
    pi, total = game.start, 0
    while True:
        last = game.q(pi)
        total = total + last
        pi = normalised(game.start * np.exp(step * (total + last)))
        yield pi


def comal(game, tau=0.25, inner=None):
    """Theory §4.6: rounds of Nash-MP on the game regularised to where the round began, with step 2τ."""
    inner = inner or math.ceil(math.log(10) / math.log(1 + 2 * tau))
    pi = game.start
    while True:
        anchor = pi
        for _ in range(inner):
            half = proximal(pi, anchor, game.q(pi), tau, 2 * tau)
            pi = proximal(pi, anchor, game.q(half), tau, 2 * tau)
            yield pi


def mpo(game, alpha=0.25, step=None, inner=None):
    """Theory §4.6: rounds of magnetic mirror descent, each drawn to where it began."""
    step = 4 * alpha if step is None else step
    inner = inner or math.ceil(math.log(20) / math.log(1 + alpha * step))
    pi = game.start
    while True:
        magnet = pi
        for _ in range(inner):
            pi = magnetic(pi, magnet, game.q(pi), alpha, step)
            yield pi


def garip(game, alpha=0.1, step=None):
    """Theory §4.6: drawn to the mean of π_0 … π_t."""
    step = 4 * alpha if step is None else step
    pi = total = game.start
    for count in itertools.count(1):
        pi = magnetic(pi, total / count, game.q(pi), alpha, step)
        total = total + pi
        yield pi


def apmd(game, alpha=0.25, step=None, inner=None, divergence="kl", schedule="constant"):
    """Theory §4.6: multiplicative weights on q − α∇G(π, σ), σ where the round began; the steps are a, or 1/(1/a + αs/2)
    for s = 0, 1, … in a round.
    """
    step = 4 * alpha / (1 + 4 * alpha**2) if step is None else step
    inner = inner or math.ceil(3 / (alpha * step))
    pi = game.start
    while True:
        slingshot = pi
        for s in range(inner):
            taken = 1 / (1 / step + alpha * s / 2) if schedule == "decreasing" else step
            slope = {"kl": np.log(pi / slingshot), "reverse-kl": (pi - slingshot) / pi}[divergence]
            pi = normalised(pi * np.exp(taken * (game.q(pi) - alpha * slope)))
            yield pi


def regularised_gradient(game, weight=0.25, step=None):
    """Theory §4.6: mirror steps with λ t^{−1/5} in the place of β and a t^{−3/5} in that of a, t = 1, 2, …"""
    step = 4 * weight / (1 + 4 * weight**2) if step is None else step
    pi = game.start
    for t in itertools.count(1):
        taken = step * t**-0.6
        share = taken * weight * t**-0.2
        pi = normalised(pi ** (1 - share) * game.mu**share * np.exp(taken * game.q(pi)))
        yield pi


def regularised_optimistic_gradient(game, weight=0.25, step=None):
    """Theory §4.6 on exact feedback: λ t^{−1/2} and a constant a on 2q_t − q_{t−1}."""
    step = 1 / (1 + 2 * weight) if step is None else step
    pi, before = game.start, game.q(game.start)
    for t in itertools.count(1):
        now, share = game.q(pi), step * weight / math.sqrt(t)
        pi = normalised(pi ** (1 - share) * game.mu**share * np.exp(step * (2 * now - before)))
        before = now
        yield pi


def fitted(game, pi, writer, anchor, temperature, step, link):
    """θ ← θ + a Σ_{y,y'} ν(y) ν(y') ½ [A(y, y') − link(τ(h(y) − h(y')))] (e_y − e_{y'}), pair by pair (theory §4.8)."""
    ratio = np.log(pi / anchor)
    apart = ratio[:, :, None] - ratio[:, None, :]
    told = 0.5 * writer[:, :, None] * writer[:, None, :] * (game.margins - link(temperature * apart))
    return normalised(pi * np.exp(step * (told.sum(axis=2) - told.sum(axis=1))))


def curvature(writer):
    """max_i min(ν_i, 2ν_i(1 − ν_i)) ≥ ‖F(ν)‖ (theory §6.1)."""
    return np.minimum(writer, 2 * writer * (1 - writer)).max(axis=-1, keepdims=True)


def offline_ipo(game, step=None):
    """Theory §4.8."""
    pi = game.start
    while True:
        a = 1 / (game.beta * curvature(game.start)) if step is None else step
        pi = fitted(game, pi, game.start, game.mu, game.beta, a, lambda told: told)
        yield pi


def dpo(game, step=None, round=None):
    """Theory §4.8."""
    pi = writer = game.start
    for steps in itertools.count(1):
        a = 4 / (game.beta * curvature(writer)) if step is None else step
        pi = fitted(game, pi, writer, game.mu, game.beta, a, lambda odds: 1 / (1 + np.exp(-odds)) - 0.5)
        if round is not None and steps % round == 0:
            writer = pi
        yield pi


def inpo_pg(game, eta=None, round=10, step=None):
    """Theory §4.8."""
    eta = game.beta + 1 / (4 * game.beta) if eta is None else eta
    pi = writer = game.start
    for steps in itertools.count(1):
        a = 1 / (eta * curvature(writer)) if step is None else step
        anchor = power_mean(writer, game.mu, game.beta / eta)
        pi = fitted(game, pi, writer, anchor, eta, a, lambda told: told)
        if steps % round == 0:
            writer = pi
        yield pi


FORMS = {
    "nash-mp": nash_mp,
    "adaptive-nash-mp": adaptive_nash_mp,
    "secant-nash-mp": secant_nash_mp,
    "nash-prox": nash_prox,
    "proximal-point": proximal_point,
    "approximate-nash-mp": approximate_nash_mp,
    "practical-nash-mp": practical_nash_mp,
    "online-ipo": online_ipo,
    "uniform-ipo": mirror_descent,
    "egpo": egpo,
    "nash-md-pg": nash_md_pg,
    "nash-ema-pg": nash_ema_pg,
    "offline-ipo": offline_ipo,
    "dpo": dpo,
    "inpo-pg": inpo_pg,
    "mirror-descent": mirror_descent,
    "nash-md": nash_md,
    "omwu": omwu,
    "regret-matching-plus": regret_matching_plus,
    "predictive-regret-matching-plus": predictive_regret_matching_plus,
    "smooth-predictive-regret-matching-plus": smooth_predictive_regret_matching_plus,
    "extragradient-regret-matching-plus": extragradient_regret_matching_plus,
    "fictitious-play": fictitious_play,
    "smooth-fictitious-play": smooth_fictitious_play,
    "magnetic-mirror-descent": magnetic_mirror_descent,
    "optimistic-mirror-descent": optimistic_mirror_descent,
    "nash-ema": nash_ema,
    "inpo": inpo,
    "sppo": sppo,
    "onpo": onpo,
    "mpo": mpo,
    "comal": comal,
    "garip": garip,
    "apmd": apmd,
    "regularised-gradient": regularised_gradient,
    "regularised-optimistic-gradient": regularised_optimistic_gradient,
}

WRAPPED = {
    "average[nash-mp]": average_of(nash_mp),
    "average[nash-prox]": average_of(nash_prox),
    "halves[nash-mp]": halves_of_nash_mp,
}

# Name, numbers, updates. The updates go beyond the end of every inner loop, and of both of approximate Nash-MP; with a
# least step of 3 the methods that choose their steps run out of credit.
CASES = [
    ("nash-mp", {}, 12),
    ("nash-mp", {"eta": 0.3}, 12),
    ("adaptive-nash-mp", {}, 30),
    ("adaptive-nash-mp", {"least": 0.03}, 30),
    ("adaptive-nash-mp", {"least": 3.0}, 30),
    ("secant-nash-mp", {"least": 3.0, "memory": 1}, 30),
    ("secant-nash-mp", {"least": 0.03, "memory": 1}, 30),
    # Later its directions are nearly parallel, and what they tell of the game is rounding in part.
    ("secant-nash-mp", {}, 6),
    ("nash-prox", {}, 22),
    ("nash-prox", {"eta": 0.3, "inner": 3, "step": 0.4}, 12),
    ("nash-prox", {"eta": 0.2, "kappa": 0.3}, 12),
    ("nash-prox", {"eta": 2.0, "inner": 4, "kappa": 0.7}, 12),
    ("proximal-point", {}, 12),
    ("proximal-point", {"eta": 0.3, "inner": 3}, 12),
    ("proximal-point", {"eta": 20.0, "inner": 1}, 12),
    ("approximate-nash-mp", {}, 42),
    ("approximate-nash-mp", {"eta": 0.3, "inner": 3, "step": 0.7}, 14),
    ("practical-nash-mp", {}, 12),
    ("practical-nash-mp", {"eta": 0.3, "kappa": 0.2, "step": 0.4}, 12),
    ("practical-nash-mp", {"eta": 0.3, "kappa": 0.2, "step": 0.4, "opponent": "policy"}, 12),
    ("online-ipo", {}, 12),
    ("online-ipo", {"step": 0.3}, 12),
    ("uniform-ipo", {}, 12),
    ("uniform-ipo", {"step": 0.2}, 12),
    ("egpo", {}, 12),
    ("egpo", {"step": 0.2}, 12),
    ("nash-md-pg", {}, 12),
    ("nash-md-pg", {"mixture": 0.3, "step": 0.4}, 12),
    ("nash-ema-pg", {}, 12),
    ("nash-ema-pg", {"kappa": 0.3, "step": 0.4}, 12),
    ("offline-ipo", {}, 12),
    ("offline-ipo", {"step": 0.4}, 12),
    ("dpo", {}, 12),
    ("dpo", {"step": 0.4, "round": 3}, 12),
    ("inpo-pg", {}, 22),
    ("inpo-pg", {"eta": 4.0, "round": 3, "step": 0.4}, 12),
    ("mirror-descent", {}, 12),
    ("mirror-descent", {"step": 0.2}, 12),
    ("nash-md", {}, 12),
    ("nash-md", {"step": 0.2}, 12),
    ("nash-md", {"schedule": "decreasing"}, 12),
    ("nash-md", {"step": 0.2, "schedule": "decreasing"}, 12),
    ("average[nash-mp]", {}, 12),
    ("average[nash-prox]", {"eta": 0.3, "inner": 3, "step": 0.4}, 12),
    ("halves[nash-mp]", {}, 12),
    ("halves[nash-mp]", {"eta": 0.3}, 12),
    ("omwu", {}, 12),
    ("omwu", {"step": 0.3}, 12),
    ("regret-matching-plus", {}, 30),
    ("predictive-regret-matching-plus", {}, 30),
    # The projection lifts the sum of the regrets in some of these updates and leaves it in others.
    ("smooth-predictive-regret-matching-plus", {}, 30),
    ("smooth-predictive-regret-matching-plus", {"step": 5.0}, 30),
    ("extragradient-regret-matching-plus", {}, 30),
    ("extragradient-regret-matching-plus", {"step": 9.0}, 30),
    ("fictitious-play", {}, 30),
    ("smooth-fictitious-play", {}, 12),
    ("magnetic-mirror-descent", {}, 12),
    ("magnetic-mirror-descent", {"alpha": 0.3, "step": 0.7}, 12),
    ("magnetic-mirror-descent", {"follow": 0.1}, 12),
    ("optimistic-mirror-descent", {}, 12),
    ("optimistic-mirror-descent", {"eta": 0.3}, 12),
    ("nash-ema", {}, 12),
    ("nash-ema", {"kappa": 0.2, "step": 0.3}, 12),
    ("inpo", {}, 12),
    ("inpo", {"eta": 4.0}, 12),
    ("inpo", {"schedule": "growing"}, 12),
    ("inpo", {"eta": 4.0, "schedule": "growing"}, 12),
    ("sppo", {}, 12),
    ("sppo", {"step": 0.3}, 12),
    ("onpo", {}, 12),
    ("onpo", {"step": 0.2}, 12),
    ("mpo", {}, 30),
    ("mpo", {"alpha": 0.4, "step": 0.7, "inner": 4}, 12),
    ("comal", {}, 14),
    ("comal", {"tau": 0.6, "inner": 3}, 12),
    ("garip", {}, 12),
    ("garip", {"alpha": 0.3, "step": 0.7}, 12),
    ("apmd", {}, 32),
    ("apmd", {"alpha": 0.4, "step": 0.7, "inner": 4}, 12),
    ("apmd", {"inner": 5, "divergence": "reverse-kl"}, 12),
    ("apmd", {"inner": 5, "schedule": "decreasing"}, 12),
    ("regularised-gradient", {}, 12),
    ("regularised-gradient", {"weight": 0.4, "step": 0.3}, 12),
    ("regularised-optimistic-gradient", {}, 12),
    ("regularised-optimistic-gradient", {"weight": 0.4, "step": 0.3}, 12),
]


def selected(name, numbers):
    """The text of a solver with these numbers: `average[nash-mp[eta=0.3]]`."""
    outer, bracket, inner = name.partition("[")
    given = ",".join(f"{key}={value}" for key, value in numbers.items())
    text = f"{(inner or outer).rstrip(']')}[{given}]" if given else (inner or outer).rstrip("]")
    return f"{outer}[{text}]" if bracket else text


def updated(solver, game, state):
    return solver.update(game, state, jax.random.key(0))


_compiled = compiled(updated)


def policies(text, game, updates, update=None):
    """What a solver of the library reports after each update: `[updates + 1, n]`, or `[updates + 1, m, n]`."""
    # Operation by operation is faster here than to compile each solver for every shape, but for linear algebra.
    update = update or (_compiled if "secant" in text else updated)
    with Precision().scope():
        solver, game = arrays((make_solver(text).with_theory_defaults(float(game.beta)), game))
        state = solver.init(game, jax.random.key(0))
        reported = [solver.log_policy(state)]
        for _ in range(updates):
            state = update(solver, game, state)
            reported.append(solver.log_policy(state))
        return np.exp(np.asarray(reported))


def small(seed, beta, *, n=5, sharpness=1.0, start=False):
    """A random game without contexts whose reference is far from uniform, for the library and in NumPy."""
    rng = np.random.default_rng(seed)
    margins, log_mu = random_margins(rng, n, sharpness), log_softmax(1.5 * rng.normal(size=n))
    log_start = log_softmax(rng.normal(size=n)) if start else log_mu
    # A start in every game, that of the reference too, spares programs: games with one have another structure.
    game = make_game(margins, beta=beta, log_reference=log_mu).replace(log_start=log_start)
    return game, Numbers(margins[None], np.exp(log_mu)[None], np.exp(log_start)[None], beta, np.ones(1))


def contextual(seed, beta):
    """Two contexts of unequal weight, one nearly without margins."""
    rng = np.random.default_rng(seed)
    margins = np.stack([random_margins(rng, 10, 3.0), 0.1 * random_margins(rng, 10)])
    log_mu = np.stack([log_softmax(rng.normal(size=10)) for _ in range(2)])
    weights = np.array([0.3, 0.7])
    game = make_game(margins, beta=beta, log_reference=log_mu, weights=weights).replace(log_start=log_mu)
    return game, Numbers(margins, np.exp(log_mu), np.exp(log_mu), beta, weights)


GAMES = {
    "small β": small(1, 0.04, sharpness=5.0),
    "from elsewhere than the reference": small(2, 0.2, start=True),
    "large β": small(3, 1.5),
    "contexts": contextual(4, 0.1),
}


def test_no_solver_and_no_number_of_one_is_without_a_closed_form():
    assert set(FORMS) == set(SOLVERS)
    for name, form in FORMS.items():
        # Data sets are of duels (tests/test_pairs.py).
        numbers = {field.name for field in dataclasses.fields(SOLVERS[name])} - {"learner", "batches"}
        assert set(inspect.signature(form).parameters) - {"game"} == numbers, name
        given = [set(values) for solver, values, _ in CASES if solver == name]
        assert set().union(*given) == numbers, f"{name}: no case gives {numbers - set().union(*given)}"
        assert set() in given, f"{name}: no case leaves every number to theory"
    assert set(FORMS | WRAPPED) == {name for name, _, _ in CASES}


def named(case):
    name, numbers, _ = case
    return selected(name, numbers)


@pytest.mark.parametrize("played", GAMES)
@pytest.mark.parametrize("case", CASES, ids=named)
def test_every_iterate_equals_its_closed_form(case, played):
    name, numbers, updates = case
    game, in_numpy = GAMES[played]
    wanted = np.array(list(itertools.islice((FORMS | WRAPPED)[name](in_numpy, **numbers), updates)))
    start, *found = policies(named(case), game, updates)
    np.testing.assert_allclose(start, in_numpy.start.reshape(start.shape), rtol=1e-14)
    # A regret that is nearly 0 is what is left of larger ones.
    atol = 1e-14 if "regret" in name else 0
    np.testing.assert_allclose(found, wanted.reshape(updates, *start.shape), rtol=1e-12, atol=atol)


@pytest.mark.parametrize(("name", "numbers"), [("adaptive-nash-mp", {}), ("secant-nash-mp", {"memory": 1})])
def test_with_most_trials_refused_the_credit_is_spent_as_in_the_closed_form(monkeypatch, name, numbers):
    """Where the test of a step is replaced by one that depends on η alone, so that nearly every trial is lost."""
    game, in_numpy = GAMES["from elsewhere than the reference"]
    least = 2 * in_numpy.beta

    def refusing(game, pi, half, whole, eta):
        # A ratio from 0.95 to 1 is admissible in theory, and still refused.
        return jnp.where(eta > 6 * least, 3.0, jnp.where(eta > 1.01 * least, 0.96875, 0.015625))

    monkeypatch.setattr(adaptive_step, "admissibility_ratio", refusing)
    monkeypatch.setitem(globals(), "excess", lambda *arguments: float(refusing(*arguments)))
    wanted = np.array(list(itertools.islice(FORMS[name](in_numpy, **numbers), 40)))
    # A function of its own: what was compiled before has the other test inside.
    found = policies(selected(name, numbers), game, 40, compiled(lambda *arguments: updated(*arguments)))
    np.testing.assert_allclose(found[1:], wanted[:, 0], rtol=1e-12)


def soccer(beta, log_start, log_references):
    """The ten soccer agents in one context for each reference, beginning at `log_start`; its margins, μ too."""
    margins = np.stack([load("soccer10").margins.to_dense()] * len(log_references))
    game = make_game(margins, beta=beta, log_reference=log_references)
    return game.replace(log_start=log_start)


def of_gambit(beta):
    """log π*_β and log μ `[2, n]`: what Gambit found for a uniform reference and for another one."""
    values = [value for value in soccer_reference() if value["beta"] == beta]
    references = [np.full(10, 0.1) if value["reference"] is None else value["reference"] for value in values]
    return np.log([value["equilibrium"] for value in values]), np.log(references)


# Where they come to rest at a policy of their own, or at an equilibrium of the original game.
SHIFTED = [name for name in FORMS if getattr(make_solver(name), "fixed_point", "regularised") != "regularised"]


@pytest.mark.parametrize("beta", [0.3, 0.1])
@pytest.mark.parametrize("name", [name for name in FORMS | WRAPPED if name not in SHIFTED])
def test_the_equilibrium_of_another_program_is_a_fixed_point(name, beta):
    """Where policies, targets, opponents and averages are π*_β, they stay there."""
    log_star, log_mu = of_gambit(beta)
    found = policies(name, soccer(beta, log_star, log_mu), 6)
    np.testing.assert_allclose(found, np.stack([np.exp(log_star)] * 7), atol=1e-10)


@pytest.mark.parametrize(
    ("text", "share"), [("nash-md[step=1.0]", 1.0 * 0.3), ("nash-md-pg[mixture=0.2]", 0.2)], ids=lambda part: str(part)
)
def test_a_mixture_with_the_reference_has_its_own_fixed_point(text, share):
    """π = softmax(log μ + Aπ̃/β) with π̃ ∝ π^{1−c} μ^c, c = aβ or λ, found by damped iteration; it is not π*_β."""
    beta, (log_star, log_mu) = 0.3, of_gambit(0.3)
    game = soccer(beta, log_mu, log_mu)
    margins, mu = game.margins.to_dense(), np.exp(log_mu)
    pi = mu
    for _ in range(400):
        mixed = power_mean(pi, mu, share)
        response = normalised(mu * np.exp(np.einsum("xij,xj->xi", margins, mixed) / beta))
        pi = power_mean(pi, response, 0.3)
    found = policies(text, game.replace(log_start=np.log(pi)), 3)
    np.testing.assert_allclose(found, np.stack([pi] * 4), rtol=1e-12)
    assert np.abs(pi - np.exp(log_star)).max() > 1e-3


ORIGINAL = [name for name in FORMS if getattr(make_solver(name), "fixed_point", "regularised") == "original"]


@pytest.mark.parametrize("text", [*ORIGINAL, "magnetic-mirror-descent[follow=0.1]", "apmd[divergence=reverse-kl]"])
def test_an_equilibrium_of_the_original_game_is_a_fixed_point(text):
    """3-cycle with margins .4, .4, .3: its equilibrium is (4, 3, 4)/11 (theory §6), where Aπ = 0 and nothing moves; the
    methods that are drawn to μ need it there.
    """
    margins = np.array([[0, -0.4, 0.3], [0.4, 0, -0.4], [-0.3, 0.4, 0]])
    start = np.log(np.array([4, 3, 4]) / 11)
    found = policies(text, make_game(margins, log_reference=start).replace(log_start=start), 20)
    np.testing.assert_allclose(found, np.tile(np.exp(start), (21, 1)), atol=1e-14)


def reads(jaxpr, is_read):
    """How often a program makes an operation of a kind; inside a scan once for every turn."""
    total = 0
    for equation in jaxpr.eqns:
        total += is_read(equation)
        inside = sum(reads(inner, is_read) for inner in jaxprs_in_params(equation.params))
        assert not (inside and equation.primitive.name in ("while", "cond")), "a query whose count is not fixed"
        total += inside * equation.params.get("length", 1)
    return total


@pytest.mark.parametrize("contexts", [1, 2])
@pytest.mark.parametrize("name", FORMS | WRAPPED)
def test_an_update_makes_the_queries_that_it_declares(name, contexts):
    """As products with A on exact feedback, and on duels, where nothing else is known of A, as look-ups of entries."""
    # No other matrix of a solver has this size.
    n, rng = 13, np.random.default_rng(0)

    def is_product(equation):
        return equation.primitive.name == "dot_general" and any(
            operand.aval.shape[-2:] == (n, n) for operand in equation.invars
        )

    def is_lookup(equation):
        return equation.params.get("name") == ENTRIES

    margins = np.stack([random_margins(rng, n) for _ in range(contexts)])
    with Precision().scope():
        game = make_game(margins if contexts > 1 else margins[0], beta=0.1)
        solver, game = arrays((make_solver(name).with_theory_defaults(0.1), game))
        made = []
        for each in (game, game.replace(feedback=Duels(batch=3))):
            state = jax.eval_shape(solver.init, each, jax.random.key(0))
            program = jax.make_jaxpr(solver.update)(each, state, jax.random.key(1)).jaxpr
            made.append((reads(program, is_product), reads(program, is_lookup)))
        begun = jax.make_jaxpr(solver.init)(each, jax.random.key(0)).jaxpr
    assert made == [(solver.queries_per_step, 0), (0, solver.queries_per_step)]
    assert reads(begun, is_product) == 0


@pytest.mark.parametrize("name", FORMS | WRAPPED)
def test_the_advantage_of_a_policy_that_the_next_step_plays_is_not_computed_twice(name):
    """It is the query of that step, made already; whoever plays others than itself knows none of its own policy."""
    with Precision().scope():
        game, _ = GAMES["small β"]
        solver, game = arrays((make_solver(name).with_theory_defaults(0.1), game))
        update = _compiled if "secant" in name else updated
        state = update(solver, game, solver.init(game, jax.random.key(0)))
        known = solver.advantage(state)
        others = ("practical-nash-mp", "nash-md", "nash-md-pg", "nash-ema", "nash-ema-pg")
        if name in (*others, "offline-ipo", "dpo", "inpo-pg"):
            assert known is None
        else:
            np.testing.assert_allclose(known, game.advantage(solver.log_policy(state)), atol=1e-15)
