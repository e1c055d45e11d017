"""The certificate: how good a policy is, computed by code that does not depend on how the policy was found.

It shares no code with the solvers, the metrics or the referee, on purpose: the product with A, log Σ exp and KL are
written here a second time, in NumPy's widest floats on the host (80 bits on x86; where the host has none wider than
float64, KL keeps its relative accuracy down to the square of that rounding over β).
"""

import math
from numbers import Real
from typing import Any, NamedTuple

import numpy as np

from nashgames.core.game import Game
from nashgames.core.margins import Margins, Multiplies, WrittenMargins
from nashgames.errors import NashGamesError

_Wide = np.longdouble
# Wide numbers of A at a time, 4 MB: at 2,000 actions 2¹⁰ took a quarter longer, 2²² a third.
_BLOCK = 2**18
# Actions up to which a product is made in wide floats: 40 ms.
_WIDE_PRODUCTS = 2048
# Entries of A at a time beyond, 8 MB: 2¹⁷ took as long at 4,000 actions and longer at 100,000.
_SPLIT_BLOCK = 2**20
# Terms of a sum that is exact: more would leave fewer bits, fewer take as many more sums in wide floats.
_CHUNK = 256
# Bits of an entry, and of a part of a probability: with the 8 of 256 terms they are 52 of 53.
_ENTRY_BITS, _POLICY_BITS = 25, 19
# |r| within which e^−r − 1 + r loses more than a factor of five to cancellation; a larger one asks for more terms.
_SERIES_RADIUS = 0.5
# Up to r²⁰/20!: exact to 6e-26 at the radius, below the 1e-19 of 80 bits; 15 terms leave 5e-18.
_SERIES_TERMS = 20
# e^r is 0 below −11,399 in 80 bits; an r of −∞ would make r e^r a NaN.
_FAR = -20_000.0
# float32 keeps a log-probability of −100 to 4e-6; what is further off was never normalised.
_NORMALISED = 1e-5


class Certificate(NamedTuple):
    """How good π is in the game at `beta` (theory §2); over contexts averages, except the residual (a maximum).

    Attributes:
        beta: β; 0 is the original game
        suboptimality: max_π' P_β(π' ≻ π) − ½ = β KL(π‖BR_β(π)); at β = 0 the exploitability
        duality_gap: the gap of the literature, exactly twice the suboptimality
        residual: max_i |log π − log BR_β(π)|_i, inf where π_i = 0; at β = 0 the limit of β times that, the largest
            regret max_j (Aπ)_j − (Aπ)_i of an action i with π_i > 0
        exploitability: max_i (Aπ)_i, in the original game
        bias: β [max_i log(π_i/μ_i) − KL(π‖μ)], the exploitability of an exact π*_β; 0 at β = 0
        kl_bound: suboptimality/β ≥ KL(π‖π*_β), in nats; there is no such bound at β = 0: inf

    Example:
        >>> import nashgames as ng
        >>> certificate = ng.equilibrium(ng.games.circulant(actions=3), 0.1).certificate
        >>> certificate.duality_gap == 2 * certificate.suboptimality < 1e-15
        True
    """

    beta: float
    suboptimality: float
    duality_gap: float
    residual: float
    exploitability: float
    bias: float
    kl_bound: float


def certify(game: Game, log_policy: Any, beta: float | None = None) -> Certificate:
    """The certificate of a policy, from its log-probabilities alone.

    π and μ are normalised first, which removes the rounding of float32.

    Args:
        game: the game
        log_policy: log π in nats, `[n]`, over contexts `[m, n]`; −inf is π_i = 0
        beta: β ≥ 0; that of the game unless given

    Raises:
        NashGamesError: for log-probabilities of another shape, that are not numbers or do not sum to 1 as
            probabilities, and for a negative β.

    Example:
        >>> import nashgames as ng
        >>> import numpy as np
        >>> game = ng.make_game([[0.0, 0.3], [-0.3, 0.0]])
        >>> certify(game, np.log([0.5, 0.5]), beta=0.0).exploitability
        0.15
    """
    beta = _checked_beta(game.beta if beta is None else beta)
    shape = game.margins.shape[:-1]
    if isinstance(game.margins, WrittenMargins):
        raise game.margins.unlisted()
    log_policies = normalised("log_policy", log_policy, shape)
    log_references = normalised("log_reference", game.log_reference, shape)
    contexts = [game.margins.of_context(x) for x in range(game.contexts)]
    parts = [_of_context(*context, beta) for context in zip(contexts, log_policies, log_references, strict=True)]
    weights = np.broadcast_to(np.asarray(game.weights, _Wide), len(parts))
    half_gaps, residuals, exploitabilities, biases = np.array(parts, _Wide).T
    half_gap = weights @ half_gaps
    return Certificate(
        beta=beta,
        suboptimality=float(half_gap),
        duality_gap=2 * float(half_gap),
        residual=float(np.max(residuals)),
        exploitability=float(weights @ exploitabilities),
        bias=float(weights @ biases),
        kl_bound=float(half_gap / _Wide(beta)) if beta > 0 else math.inf,
    )


def normalised(what: str, log_probabilities: Any, shape: tuple[int, ...]) -> np.ndarray:
    """The log-probabilities `[m, n]` (m = 1 without contexts) in wide floats, less the rounding of their sum.

    Raises NashGamesError, naming `what`, for another shape than `shape`, NaN or inf, or a sum that is not 1 to the
    rounding of float32.
    """
    try:
        given = np.asarray(log_probabilities, np.float64)
    except (TypeError, ValueError):
        raise NashGamesError(f"{what} cannot be read as numbers; give an array of log-probabilities") from None
    if given.shape != shape:
        raise NashGamesError(f"{what} has shape {given.shape}; this game needs {shape}")
    wrong = np.argwhere(np.isnan(given) | (given == np.inf))
    if len(wrong):
        place = ", ".join(map(str, wrong[0]))
        raise NashGamesError(
            f"{what}[{place}] is {given[tuple(wrong[0])]}; accepted: log-probabilities, −inf for an action never played"
        )
    rows = given.reshape(-1, shape[-1]).astype(_Wide)
    with np.errstate(over="ignore"):
        totals = np.sum(np.exp(rows), axis=-1)
    far = totals[~(np.abs(totals - 1) <= _NORMALISED)]
    if len(far):
        raise NashGamesError(
            f"the sum of exp({what}) is {float(far[0]):.6g}; accepted: 1, normalise it: subtract logsumexp"
        )
    return rows - np.log(totals)[:, None]


def divergence(log_p: np.ndarray, log_q: np.ndarray) -> np.longdouble:
    """KL(p‖q) of two policies `[n]` as Σ of the non-negative p (e^{−r} − 1 + r) = q (1 − e^r + r e^r), r = log p/q.

    The first form is used for r ≥ 0, the second below, a series near 0: neither overflows nor cancels (theory §2).
    """
    if np.any((log_q == -np.inf) & (log_p > -np.inf)):
        return _Wide(np.inf)
    p, q = np.exp(log_p), np.exp(log_q)
    with np.errstate(invalid="ignore"):
        r = np.where(log_p == log_q, _Wide(0), np.maximum(log_p - log_q, _FAR))
    near = np.clip(r, -_SERIES_RADIUS, _SERIES_RADIUS)
    series = np.zeros_like(r)
    for k in range(_SERIES_TERMS, 1, -1):
        series = (1 - series * near) / k
    above, below = np.maximum(r, 0), np.minimum(r, 0)
    terms = np.where(r >= 0, p * (np.expm1(-above) + above), q * (below * np.exp(below) - np.expm1(below)))
    return _Wide(np.sum(np.where(np.abs(r) < _SERIES_RADIUS, p * series * near * near, terms)))


def _of_context(
    margins: Margins, log_policy: np.ndarray, log_reference: np.ndarray, beta: float
) -> tuple[np.longdouble, ...]:
    """Suboptimality, residual, exploitability and bias of one context."""
    advantage = _advantage(margins, np.exp(log_policy))
    best = np.max(advantage)
    # Σ π_i (Aπ)_i = 0 for a skew A, so that the largest is never below 0: what is, is rounding.
    exploitability = max(best, _Wide(0))
    if beta == 0:
        regret = np.max(best - advantage[log_policy > -np.inf])
        return exploitability, regret, exploitability, _Wide(0)
    logits = log_reference + advantage / _Wide(beta)
    log_response = logits - np.max(logits)
    log_response = log_response - np.log(np.sum(np.exp(log_response)))
    half_gap = beta * divergence(log_policy, log_response)
    residual = np.max(np.abs(log_policy - log_response))
    bias = beta * (np.max(log_policy - log_reference) - divergence(log_policy, log_reference))
    return half_gap, residual, exploitability, bias


def _advantage(margins: Margins, policy: np.ndarray) -> np.ndarray:
    """Aπ in wide floats, by the storage's own product where it has one in them, else by blocks of rows.

    No second matrix is made. Beyond 2,048 actions the product of a block is `_Split`'s, to the same accuracy.
    """
    if isinstance(margins, Multiplies):
        found = margins.product(policy)
        if found.dtype == policy.dtype:
            return found
    if len(policy) <= _WIDE_PRODUCTS:
        height = max(1, _BLOCK // len(policy))
        return np.concatenate([rows.astype(_Wide) @ policy for _, rows in margins.blocks(height)])
    split, height = _Split(policy), max(1, _SPLIT_BLOCK // len(policy))
    return np.concatenate([split.product(rows) for _, rows in margins.blocks(height)])


class _Split:
    """Products with a policy in wide floats from products in float64, four times as fast.

    Rows are split into multiples of 2⁻²⁵ of their largest entry a and a rest below 2⁻²⁵ a, and the policy of a chunk of
    256 actions into multiples of 2⁻¹⁹ of its largest probability p, further ones of 2⁻³⁸ and a rest. Products of
    the first two are sums of 256 integers below 2⁴⁵: exact. Those of the rests are rounded to 2⁻⁵³ of something below
    2⁻²⁵ a p. Therefore a chunk is off by less than 256² · 2⁻⁷⁸ a p, and a product of wide floats by 256² · 2⁻⁶⁴ a p.
    """

    def __init__(self, policy: np.ndarray) -> None:
        self._chunks = -(-len(policy) // _CHUNK)
        chunks = np.zeros((self._chunks, _CHUNK), _Wide)
        chunks.ravel()[: len(policy)] = policy
        first, second = np.zeros(chunks.shape), np.zeros(chunks.shape)
        for i, chunk in enumerate(chunks):
            largest = float(chunk.max())
            first[i] = _to_multiples(chunk.astype(float), largest, _POLICY_BITS)
            second[i] = _to_multiples((chunk - first[i]).astype(float), largest, 2 * _POLICY_BITS)
        self._parts = np.stack([first, second, (chunks - first - second).astype(float)], axis=-1)
        self._whole = chunks.astype(float)[..., None]

    def product(self, rows: np.ndarray) -> np.ndarray:
        """rows·π in wide floats."""
        block = np.zeros((len(rows), self._chunks * _CHUNK))
        block[:, : rows.shape[1]] = rows
        coarse = _to_multiples(block, max(block.max(), -block.min()), _ENTRY_BITS)
        block -= coarse
        exact, nearly, least = np.moveaxis(self._multiplied(coarse, self._parts), -1, 0)
        rests = least + self._multiplied(block, self._whole)[..., 0]
        return np.asarray(sum(np.sum(part, axis=0, dtype=_Wide) for part in (exact, nearly, rests)))

    def _multiplied(self, block: np.ndarray, parts: np.ndarray) -> np.ndarray:
        """The product of every chunk on its own, `[chunks, rows, parts]`."""
        return np.matmul(block.reshape(len(block), self._chunks, _CHUNK).transpose(1, 0, 2), parts)


def _to_multiples(values: np.ndarray, largest: float, bits: int) -> np.ndarray:
    """The nearest multiples of 2^−bits of a power of two above `largest`: adding 1.5 · 2⁵² of them rounds to them."""
    unit = math.ldexp(1.5, math.frexp(largest)[1] - bits + 52) if largest > 0 else 0.0
    return np.asarray((values + unit) - unit)


def _checked_beta(beta: Any) -> float:
    """β as a float; NashGamesError unless it is a finite number of at least 0."""
    try:
        number = float(beta) if isinstance(beta, Real) else float(np.asarray(beta).item())
    except (TypeError, ValueError):
        number = math.nan
    if not (math.isfinite(number) and number >= 0):
        raise NashGamesError(f"beta is {beta}; accepted: a finite number of at least 0")
    return number
