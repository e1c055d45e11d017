"""The numbers of a row recomputed from its policy alone, and how far the rounding of its run may have moved them.

With u the epsilon of the run's dtype, |A| ≤ ½, L the largest |log π| + |log μ| of actions whose probability does not
underflow, and k the steps whose mean the policy is (0 where it is no mean):

    Aπ                   moves by at most  u (n/4 + 2 + k)                     n roundings by u/2 of sums up to ½
    log π                                  u (8 + (4 + k) L)
    log π − log BR_β(π)                    u (n/2 + 12 + 2k)/β + u (8 + (4 + k) L)
    log π*                                 (1 + 1/β) (r + r')                  r, r' the residuals of both equilibria
    log π* at β = 0                        2e-8                                1e-8 each, as the referee promises
    KL, its logarithms moved by δ          δ (√(2 KL) + KL + δ) + u (n/2 + 128) KL       as Σ |p − q| ≤ √(2 KL)
    entropy H                              (1 + H) u (n + 8 + (4 + k) L)
    length, share of repeated tokens       2 u (n + 8 + (4 + k) L) of themselves

These are bounds, not estimates: a number further off than them was not computed from the policy beside it.

A run that is played again on another machine, with other versions or beside other runs rounds its sums in another
order. Where β forgets what is behind, log π then moves by no more than the log π − log BR_β(π) above, and its metrics
by what that leaves of them; a value may always be off by `REPLAYED` of itself.
A metric that has its second formula here is verified; of one that has none the report says that it was not.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from nashgames.core.game import Game
from nashgames.core.metrics import OF_EQUILIBRIUM
from nashgames.exact.certificate import Certificate, divergence, normalised
from nashgames.games.families.scores import lengths_and_repeats

# Nats by which a log-probability of an equilibrium at β = 0 may be off and be called exact.
_NATS = 1e-8


REPLAYED = 1e-7
"""What a number that is played again may be off, relative to itself: seventy times what other batches were seen to do,
1.4e-9, and a tenth of the smallest change that has to be found."""


class Number(NamedTuple):
    """A number computed again, and how far from it the stored one may be."""

    value: float
    allowed: float


@dataclass(frozen=True)
class Rounding:
    """What floats of `dtype` leave unknown in a game of n `actions`; `averaged` is k, the steps of a mean, else 0."""

    dtype: str
    actions: int
    averaged: int = 0

    @property
    def epsilon(self) -> float:
        return float(np.finfo(self.dtype).eps)

    @property
    def product(self) -> float:
        """Of an entry of Aπ."""
        return self.epsilon * (self.actions / 4 + 2 + self.averaged)

    def logarithm(self, *log_policies: np.ndarray, every: bool = False) -> float:
        """Of a log-probability; with `every` also of the actions whose probability underflows."""
        most = np.inf if every else -np.log(float(np.finfo(self.dtype).tiny))
        logs = sum(min(float(np.max(np.abs(p[np.isfinite(p)]), initial=0)), most) for p in log_policies)
        return self.epsilon * (8 + (4 + self.averaged) * logs)

    def response(self, beta: float, *log_policies: np.ndarray, every: bool = False) -> float:
        """Of an entry of log π − log BR_β(π)."""
        of_products = 2 * (self.product + 4 * self.epsilon) / beta
        return of_products + self.logarithm(*log_policies, every=every)

    def kl(self, value: float, shift: float) -> float:
        """Of a KL whose log-probabilities are known up to `shift`."""
        summed = self.epsilon * (self.actions / 2 + 128) * value + self.actions * float(np.finfo(self.dtype).tiny)
        return shift * (np.sqrt(2 * value) + value + shift) + summed

    def entropy(self, value: float, log_policies: np.ndarray) -> float:
        """Of an entropy, and of Σ π where that is 1 and `value` 0."""
        return (1 + value) * (self.epsilon * self.actions + self.logarithm(log_policies))


def of_policy(game: Game, log_policy: np.ndarray, certificate: Certificate, rounding: Rounding) -> dict[str, Number]:
    """What a row says of its policy and needs no equilibrium for, by column; `game` has the row's β, μ and dtype."""
    beta = certificate.beta
    log_policies, log_references, weights = _read(game, log_policy)
    policies = np.exp(log_policies)
    entropy = -float(weights @ np.sum(policies * np.where(policies > 0, log_policies, 0), axis=-1))
    to_reference = _mean_kl(weights, log_policies, log_references)
    half = rounding.product
    written = _of_sequences(game, policies, weights, rounding)
    if beta > 0:
        half = beta * rounding.kl(certificate.kl_bound, rounding.response(beta, log_policies, log_references))
    return {
        "suboptimality": Number(certificate.suboptimality, half),
        "duality_gap": Number(certificate.duality_gap, 2 * half),
        "exploitability": Number(certificate.exploitability, rounding.product),
        "kl_to_reference": Number(
            to_reference, rounding.kl(to_reference, rounding.logarithm(log_policies, log_references))
        ),
        "entropy": Number(entropy, rounding.entropy(entropy, log_policies)),
        **written,
    }


def _of_sequences(game: Game, policies: np.ndarray, weights: np.ndarray, rounding: Rounding) -> dict[str, Number]:
    """E ℓ and E ρ / E max(ℓ − 1, 0) of policies `[m, n]`, sums over all sequences; none for a game of other actions."""
    sequences = game.description.sequences
    if sequences is None:
        return {}
    lengths, repeats = lengths_and_repeats(sequences).of_all().T
    means = weights @ policies
    pairs = float(means @ np.maximum(lengths - 1, 0))
    # Each of both sums is off by so much of itself: n terms, and a logarithm of each.
    off = rounding.entropy(0.0, np.log(np.maximum(policies, float(np.finfo(rounding.dtype).tiny))))
    values = {"length": float(means @ lengths), "repetition": float(means @ repeats) / pairs if pairs > 0 else 0.0}
    return {name: Number(value, 2 * off * value) for name, value in values.items()}


def of_distances(
    game: Game, log_policy: np.ndarray, log_equilibrium: np.ndarray, residuals: float, rounding: Rounding
) -> dict[str, Number]:
    """KL(π*‖π), KL(π‖π*) and the span of log π − log π*; `residuals`: that of the row's π* and of this one, added.

    A number is inf where one of both plays what the other never does, and then nothing is allowed.
    """
    log_policies, _, weights = _read(game, log_policy)
    log_stars = normalised("log_equilibrium", log_equilibrium, game.margins.shape[:-1])
    unsure = (1 + 1 / float(game.beta)) * residuals if game.beta else 2 * _NATS
    # Floats take a probability that underflows for 0, which tells where π* has a 0 and π would cost an infinite KL.
    played = np.where(log_policies > np.log(float(np.finfo(rounding.dtype).tiny)), log_policies, -np.inf)
    kl, reverse = _mean_kl(weights, log_stars, log_policies), _mean_kl(weights, played, log_stars)
    apart = rounding.logarithm(log_policies, log_stars) + unsure
    span = float(np.max(np.ptp(_log_ratio(log_policies, log_stars), axis=-1)))
    return {
        "kl_to_equilibrium": Number(kl, rounding.kl(kl, apart)),
        "reverse_kl_to_equilibrium": Number(reverse, rounding.kl(reverse, apart)),
        "span_to_equilibrium": Number(span, 2 * (rounding.logarithm(log_policies, log_stars, every=True) + unsure)),
    }


def of_replay(name: str, values: np.ndarray, beta: np.ndarray, shift: np.ndarray, unsure: np.ndarray) -> np.ndarray:
    """How far the `values` of a column may be from those played again; all arrays have an entry a row.

    `shift` is what log π may have moved by, and `unsure` what log π* has.
    """
    size = np.abs(values)
    apart = shift + unsure if name in OF_EQUILIBRIUM else shift
    if name in ("suboptimality", "duality_gap"):
        # β KL; at β = 0 an entry of Aπ, which moves by as much as π does.
        scale = (2.0 if name == "duality_gap" else 1.0) * np.where(beta > 0, beta, 1.0)
        kl = size / scale
        moved = scale * np.where(beta > 0, shift * (np.sqrt(2 * kl) + kl + shift), shift)
    elif name.endswith(("kl_to_equilibrium", "kl_to_reference")):
        moved = apart * (np.sqrt(2 * size) + size + apart)
    elif name == "equilibrium_residual":
        moved = unsure
    elif name.endswith("probability"):
        # A logarithm moves by what the probability does relative to itself.
        moved = shift if name == "log_probability" else apart * size
    else:
        moved = 2 * apart * (1 + size)
    return np.maximum(REPLAYED * size, np.where(np.isfinite(moved), moved, 0.0))


def of_certificate(game: Game, log_policy: np.ndarray, certificate: Certificate) -> dict[str, Number]:
    """The columns of an exact equilibrium's certificate; what is allowed is the rounding of float64."""
    rounding, beta = Rounding("float64", game.actions), certificate.beta
    known = of_policy(game, log_policy, certificate, rounding)
    log_policies, log_references, _ = _read(game, log_policy)
    residual, bias, bound = rounding.product, 0.0, 0.0
    if beta > 0:
        residual = rounding.response(beta, log_policies, log_references, every=True)
        bias = beta * rounding.logarithm(log_policies, log_references, every=True)
        bound = known["suboptimality"].allowed / beta
    return {
        **{name: known[name] for name in ("suboptimality", "duality_gap", "exploitability")},
        "residual": Number(certificate.residual, residual),
        "bias": Number(certificate.bias, bias),
        "kl_bound": Number(certificate.kl_bound, bound),
    }


def kl_to_reference(game: Game, log_policy: np.ndarray) -> float:
    """KL(π‖μ), the average over contexts."""
    log_policies, log_references, weights = _read(game, log_policy)
    return _mean_kl(weights, log_policies, log_references)


def averaged_steps(row: Mapping[str, Any]) -> int:
    """k for the rounding of a row: the steps whose mean its policy is, 0 where it is no mean."""
    return int(row["step"]) if row["solver"].startswith("average[") else 0


def known_residual(actions: int, beta: float) -> float:
    """The residual up to which an equilibrium is known: 1e-10, and the rounding of q/β in float64, at β = 0 of q."""
    # n terms of Aπ and a dozen operations of the softmax, a unit of rounding each.
    return 1e-10 + (actions + 16) * float(np.finfo(np.float64).eps) / (beta or 1)


def _read(game: Game, log_policy: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Policies and references `[m, n]`, normalised, and the weights of the contexts `[m]`."""
    shape = game.margins.shape[:-1]
    log_policies = normalised("log_policy", log_policy, shape)
    log_references = normalised("log_reference", game.log_reference, shape)
    return log_policies, log_references, np.broadcast_to(np.asarray(game.weights, np.float64), len(log_policies))


def _log_ratio(log_p: np.ndarray, log_q: np.ndarray) -> np.ndarray:
    """log p − log q, 0 where both are −inf."""
    with np.errstate(invalid="ignore"):
        return np.where(log_p == log_q, 0, log_p - log_q)


def _mean_kl(weights: np.ndarray, log_p: np.ndarray, log_q: np.ndarray) -> float:
    return float(weights @ np.array([divergence(p, q) for p, q in zip(log_p, log_q, strict=True)]))
