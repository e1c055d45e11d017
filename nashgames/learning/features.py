"""Features φ(x, y) of actions, the inputs of parametrised policies, computed on the host before a batch starts.

Features of one game live in one space: feature k of action y in context x means the same for every x and y, because one
θ is shared by all of them. A class that adds f_θ(φ) to log μ can represent an equilibrium when such an f is
log π* − log μ = Aπ*/β up to a constant; `representation_error` says by how much a linear f misses it.
"""

from collections.abc import Callable, Sequence

import numpy as np
import scipy

from nashgames.core.game import Game
from nashgames.core.margins import Margins
from nashgames.core.next_tokens import Chains, NextTokens
from nashgames.errors import NashGamesError, wrong_word
from nashgames.games.families.recipes import accept
from nashgames.games.streams import stream
from nashgames.learning.prefixes import TOKENS, Prefixes, check_sequences

USUAL_DIMENSION = 10
"""Features of a kind that can have any number: five planes of rotation, since singular values of a skew matrix come in
pairs, and the width of the usual network."""

_MOST_NUMBERS = 10**8
"""Features of a game, at most: 800 MB in float64, as much as the margins of 10,000 actions."""

_DENSE = 1000
"""Actions up to which A is decomposed in full, in about a second; beyond it is only multiplied by."""

_EQUAL = 1e-8
"""Singular values that are relatively closer are one: the computed ones are exact to about 1e-15, squares to 1e-12."""

_DEPTH = 6
"""Products of S with a block before a restart. More find the eigenvectors in fewer products (140 with ten, 190 with six
at n = 2,500 and random logits) but need more memory and orthogonalisation: the times are equal.
"""

_RESIDUAL = 1e-12
"""Error ‖Sv − σ²v‖/σ₁² of an eigenvector: an angle of 1e-9 where neighbours differ by a thousandth, and above the
rounding 1e-15 of a product."""

_RESTARTS = 200
"""Restarts after which the vectors are taken as they are: four to eight times what games of 2,500 actions need."""


def resolve_features(kind: str, dimension: int | None, game: Game, seed: int = 0) -> np.ndarray | NextTokens | None:
    """The features of `game` that a policy asks for: float64 `[n, d]`, `[m, n, d]` over contexts; None for `none`.

    `tokens` are the prefixes of the sequences that the actions are, with the game's reference (`Prefixes`), which
    policies that write sequences see. Else `kind` is one of KINDS: `auto` is `own` where the game has features and else
    `spectral`. `dimension` is d; None is all for `own` and min(n, 10) for `spectral` and `random`, whose draw is of
    `seed`: the game's, not a run's, so that all runs of a game see the same. Every feature is scaled to mean square 1
    over actions and contexts, so that a step size means the same for every game; a feature that is 0 everywhere stays
    0, and one-hot features stay 0 and 1.

    Raises NashGamesError for an unknown kind, features that the game does not have, and a dimension that does not fit.
    """
    if kind == TOKENS:
        return game.log_reference if isinstance(game.log_reference, Chains) else Prefixes.of(game)
    check_features(kind, dimension)
    check_fits(kind, dimension, game)
    return None if kind == "none" else _BUILDERS[_chosen(kind, game)](game, dimension, seed)


def check_features(kind: str, dimension: int | None) -> None:
    """Raise NashGamesError for what no game could satisfy: an unknown kind, or a dimension where there is none."""
    if kind not in KINDS:
        raise wrong_word("features", kind, KINDS)
    if dimension is not None:
        if kind in ("identity", "none"):
            raise NashGamesError(
                f"dimension is {dimension}, but features={kind} has a fixed dimension; leave dimension out, or use "
                "own, spectral or random"
            )
        accept("dimension", dimension, least=1)


def check_fits(kind: str, dimension: int | None, game: Game) -> None:
    """Raise NashGamesError where these features cannot be made of the game."""
    name, n = game.description.name, game.actions
    if kind == TOKENS:
        check_sequences(game)
    elif _chosen(kind, game) == "own":
        if game.description.features is None:
            raise NashGamesError(
                f"features is own, but {name} has no features of its own; use spectral, random or identity"
            )
        available = np.shape(game.description.features)[-1]
        if dimension is not None and dimension > available:
            raise NashGamesError(
                f"dimension is {dimension}, but {name} has {available} features of its own; use at most {available}, "
                "or spectral or random features"
            )
    elif _chosen(kind, game) == "spectral" and dimension is not None and dimension > n:
        raise NashGamesError(f"dimension is {dimension}, but {n} actions have {n} spectral features; use at most {n}")


def _chosen(kind: str, game: Game) -> str:
    """What `auto` is for a game."""
    return kind if kind != "auto" else "spectral" if game.description.features is None else "own"


def representation_error(features: np.ndarray, log_reference: np.ndarray, log_equilibrium: np.ndarray) -> float:
    """The distance of π* from the log-linear policies: max |log π* − log μ − Φθ − c_x| at the θ and c of least squares.

    `features` `[n, d]` or `[m, n, d]`, the policies `[n]` or `[m, n]`; θ is shared by all contexts, c_x is normalised
    away. 0 (to rounding) means that π* is in the class.

    Raises NashGamesError for policies with probabilities of 0, which no log-linear policy has.
    """
    away = np.asarray(log_equilibrium, np.float64) - np.asarray(log_reference, np.float64)
    if not np.isfinite(away).all():
        raise NashGamesError(
            "a policy gives an action probability 0; accepted: positive probabilities, as at every β > 0"
        )
    by_context = np.broadcast_to(np.asarray(features, np.float64), (*away.shape, np.shape(features)[-1]))
    # What is constant within a context is free: centred features and a centred target are orthogonal to it.
    target = (away - away.mean(axis=-1, keepdims=True)).ravel()
    columns = (by_context - by_context.mean(axis=-2, keepdims=True)).reshape(len(target), -1)
    theta = np.linalg.lstsq(columns, target)[0]
    return float(np.abs(target - columns @ theta).max())


def _own(game: Game, dimension: int | None, seed: int) -> np.ndarray:
    """The features that the game was made from (`Description.features`), the first d of them."""
    return _unit(np.asarray(game.description.features, np.float64)[..., :dimension])


def _spectral(game: Game, dimension: int | None, seed: int) -> np.ndarray:
    """The d leading left singular vectors of A, scaled; over contexts those of all A_x, one below the other `[mn, n]`.

    With A = UΣVᵀ feature k is the margin of an action against the direction v_k, up to its scale: U = AVΣ⁻¹. Over
    contexts φ(x, ·) = A_x VΣ⁻¹ with one V for all of them; singular vectors of each A_x alone would mean another thing
    in every context, and those of all A_x side by side, `[n, mn]`, could not tell contexts apart. Since Aπ*/β is in the
    range of A, d ≥ rank A represents every equilibrium of a game without contexts, of every β; over contexts one θ does
    so exactly where one opponent Vθ answers for all.

    Singular values of a skew matrix come in pairs, and a pair fixes only a plane: the basis of every such space is the
    one that fixed random vectors project to, so that neither signs nor rotations depend on who computed it. Features
    beyond the rank are 0.
    """
    n = game.actions
    dimension = min(n, USUAL_DIMENSION) if dimension is None else dimension
    left, values, right, rank = _singular(game, dimension)
    features, found = np.zeros((len(left), dimension)), 0
    while found < min(rank, dimension):
        equal = slice(found, found + int(np.sum(values[found:rank] >= values[found] * (1 - _EQUAL))))
        fixed = stream(0, "features", "spectral").standard_normal((n, equal.stop - found))
        rotation, triangle = np.linalg.qr(right[:, equal].T @ fixed)
        basis = left[:, equal] @ (rotation * np.where(np.diag(triangle) < 0, -1.0, 1.0))
        taken = min(equal.stop, dimension)
        features[:, found:taken] = basis[:, : taken - found]
        found = taken
    return _unit(features.reshape(*game.margins.shape[:-1], dimension))


def _random(game: Game, dimension: int | None, seed: int) -> np.ndarray:
    """Independent Gaussian numbers for every action, in every context: features that are independent of the game."""
    dimension = min(game.actions, USUAL_DIMENSION) if dimension is None else dimension
    shape = (*game.margins.shape[:-1], dimension)
    _check_size("random", shape)
    return _unit(stream(seed, "features", "random").standard_normal(shape))


def _identity(game: Game, dimension: int | None, seed: int) -> np.ndarray:
    """One-hot features, one for every action in every context: the class of all policies, d = mn."""
    places = game.contexts * game.actions
    shape = (*game.margins.shape[:-1], places)
    _check_size("identity", shape)
    return np.eye(places).reshape(shape)


_BUILDERS: dict[str, Callable[[Game, int | None, int], np.ndarray]] = {
    "own": _own,
    "spectral": _spectral,
    "random": _random,
    "identity": _identity,
}
KINDS = ("auto", *_BUILDERS, "none")


def _singular(game: Game, dimension: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """U `[mn, k]`, σ `[k]` falling, V `[n, k]` with k ≥ d where there are as many, and how many σ are not rounding.

    Of the matrix `[mn, n]` of all A_x one below the other.
    """
    contexts, n = [game.margins.of_context(x) for x in range(game.contexts)], game.actions
    rounding = len(contexts) * n * float(np.finfo(game.margins.dtype).eps)
    if n <= _DENSE:
        stack = np.concatenate([block.astype(np.float64) for margins in contexts for _, block in margins.blocks()])
        left, values, transposed = np.linalg.svd(stack, full_matrices=False)
        right = transposed.T
    else:
        # One more than asked for completes a pair. Small singular values lose digits in squares, leading ones do not.
        squares, right = _leading(contexts, n, min(dimension + 1, n))
        values = np.sqrt(np.maximum(squares, 0))
        images = [block.astype(np.float64) @ right for margins in contexts for _, block in margins.blocks()]
        left = np.concatenate(images) / np.where(values > 0, values, 1)
        rounding = float(np.sqrt(rounding))
    return left, values, right, int(np.sum(values > rounding * values[0]))


def _leading(contexts: Sequence[Margins], n: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The `count` largest eigenvalues `[count]`, falling, of S = Σ_x A_xᵀA_x and their eigenvectors `[n, count]`.

    Block Lanczos, restarted with the best Ritz vectors: the matrix is only multiplied by, and a block finds the equal
    eigenvalues of a skew matrix together, which one vector alone would miss (Golub and Van Loan, Matrix Computations,
    §10.3.6). Where `count` is no small part of n, S itself `[n, n]` is cheaper.
    """
    # Vectors beside those asked for, as many again, are what sets the pace: it goes with σ² at their end.
    width = 2 * count
    # From there on the basis and its images are half as large as S or more, and S needs no restarts.
    if width * _DEPTH > n // 4:
        gram = _squared(contexts, np.eye(n))
        squares, vectors = scipy.linalg.eigh(gram, subset_by_index=(n - count, n - 1), overwrite_a=True)
        return squares[::-1], vectors[:, ::-1]
    start = np.linalg.qr(stream(0, "features", "krylov").standard_normal((n, width)))[0]
    for _ in range(_RESTARTS):
        basis, images = start, _squared(contexts, start)
        for _ in range(_DEPTH - 1):
            fresh = images[:, -width:]
            # Once is not enough: what is left after a first projection may be mostly its rounding.
            for _ in range(2):
                fresh = np.linalg.qr(fresh - basis @ (basis.T @ fresh))[0]
            basis, images = np.hstack([basis, fresh]), np.hstack([images, _squared(contexts, fresh)])
        squares, inside = np.linalg.eigh(basis.T @ images)
        squares, inside = squares[::-1], inside[:, ::-1]
        residual = images @ inside[:, :count] - (basis @ inside[:, :count]) * squares[:count]
        if np.linalg.norm(residual, axis=0).max() <= _RESIDUAL * squares[0]:
            break
        start = np.linalg.qr(basis @ inside[:, :width])[0]
    return squares[:count], basis @ inside[:, :count]


def _squared(contexts: Sequence[Margins], vectors: np.ndarray) -> np.ndarray:
    """Σ_x A_xᵀA_x · vectors `[n, k]` in float64, in one pass over the rows of every A_x."""
    total = np.zeros_like(vectors)
    for margins in contexts:
        for _, block in margins.blocks():
            rows = block.astype(np.float64, copy=False)
            total += rows.T @ (rows @ vectors)
    return total


def _unit(features: np.ndarray) -> np.ndarray:
    """Every feature at mean square 1, or 0 everywhere."""
    size = np.sqrt(np.mean(features**2, axis=tuple(range(features.ndim - 1))))
    return np.ascontiguousarray(features / np.where(size > 0, size, 1))


def _check_size(kind: str, shape: tuple[int, ...]) -> None:
    if np.prod(shape, dtype=float) > _MOST_NUMBERS:
        raise NashGamesError(
            f"features={kind} would be {' × '.join(f'{length:,}' for length in shape)} numbers; accepted: at most "
            f"{_MOST_NUMBERS:,}; use spectral features, or the policy tabular"
        )
