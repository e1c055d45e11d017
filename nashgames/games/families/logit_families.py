"""Families of games whose logits have a formula (theory §5): A_ij = ½ tanh(S_ij/2), that is P = σ(S).

Every function takes the random numbers of one context and the number of actions n and returns a Recipe; a keyword
annotated with a help text is a parameter for people. `strength` is the root mean square of the logits S_ij, i ≠ j.
"""

import math
from dataclasses import replace
from typing import Annotated

import numpy as np
import scipy

from nashgames.core.margins import DenseMargins, Logistic, Margins
from nashgames.errors import NashGamesError, wrong_word
from nashgames.games.families.recipes import (
    LARGEST_COUNT,
    LARGEST_LOGIT,
    Recipe,
    accept,
    differences,
    gaussian,
    log_of,
    logistic,
    of_factors,
    ratings_drawn,
    rotations,
)

Strength = Annotated[float, "typical size of a logit (root mean square); 0: every pair is even"]
LINKS = ("logistic", "linear")
Link = Annotated[str, "logistic: P = σ(S); linear: A ∝ S with a largest margin of ½, whatever the size of S"]

BASES = ("random", "disc")

_PRODUCT_ROWS = 256
"""Rows of a block that is multiplied in float64: 8 MB at 4,096 actions, whatever the dtype of the margins."""


def bradley_terry(rng: np.random.Generator, actions: int, *, strength: Strength = 1.0) -> Recipe:
    """Purely transitive ratings: S_ij = r_i − r_j.

    r ~ N(0, strength²/2). Original equilibrium: the best-rated action (Bradley and Terry 1952). Features: r.
    """
    accept("bradley-terry[strength]", strength, least=0, most=LARGEST_LOGIT)
    ratings = ratings_drawn(rng, actions, strength)
    winner = log_of(np.eye(actions)[ratings.argmax()])
    formula = Logistic(ratings[:, None], np.ones((actions, 1)))
    return Recipe(logistic(differences(ratings)), winner, features=ratings[:, None], formula=formula)


def random_logits(rng: np.random.Generator, actions: int, *, strength: Strength = 1.0) -> Recipe:
    """Independent Gaussian logits: S = c(G − Gᵀ)/√2 with c the strength.

    Above the diagonal that is S_ij ~ N(0, c²), drawn once a pair.
    """
    accept("random-logits[strength]", strength, least=0, most=LARGEST_LOGIT)
    return Recipe(logistic(gaussian(rng, strength)))


def disc(
    rng: np.random.Generator,
    actions: int,
    *,
    strength: Strength = 1.0,
    planes: Annotated[int, "number of planes of rotation"] = 1,
    link: Link = LINKS[0],
) -> Recipe:
    """Low-rank cyclic logits: S_ij = Σ_k c_k (u_i^k v_j^k − v_i^k u_j^k).

    u, v ~ N(0, 1) and every c_k = strength/√(2·planes) (the disc game of Balduzzi et al. 2019 has one plane). Features:
    u, v, in which S is bilinear but A is not (the family `bilinear` has no logistic curve).
    """
    accept("disc[strength]", strength, least=0, most=LARGEST_LOGIT)
    accept("disc[planes]", planes, least=1, most=LARGEST_COUNT)
    u, v = rng.standard_normal((2, actions, planes))
    return linked(link, "disc", u * (strength / math.sqrt(2 * planes)), v, np.hstack([u, v]))


def melo(
    rng: np.random.Generator,
    actions: int,
    *,
    strength: Strength = 1.0,
    cyclic: Annotated[float, "cyclic share, in [0, 1], of the Hodge energy ‖S‖² of the logits (of A: see facts)"] = 0.5,
    planes: Annotated[int, "number of planes of the cyclic part"] = 1,
    link: Link = LINKS[0],
) -> Recipe:
    """Multidimensional Elo: transitive ratings plus a cyclic part, S_ij = r_i − r_j + Σ_k (u_i^k v_j^k − v_i^k u_j^k).

    u and v are centred, so that the second part has zero row sums and the split is the Hodge split of S; both parts are
    rescaled so that ‖C‖_F² / ‖S‖_F² is `cyclic` exactly and the root mean square of S is `strength`. The share that
    facts report is of the margins A, where the logistic curve has bent both parts (Balduzzi et al. 2018). Features:
    r, u, v.
    """
    accept("melo[strength]", strength, least=0, most=LARGEST_LOGIT)
    accept("melo[cyclic]", cyclic, least=0, most=1)
    accept("melo[planes]", planes, least=1, most=LARGEST_COUNT)
    if actions < 3 and cyclic > 0:
        raise NashGamesError(f"melo[cyclic] is {cyclic:g} and two actions have no cycle; use 0, or 3 actions or more")
    ratings, u, v = (_centred(rng.standard_normal((actions, k))) for k in (1, planes, planes))
    energy = actions * (actions - 1) * strength**2
    ratings *= math.sqrt((1 - cyclic) * energy / (2 * actions * np.sum(ratings**2)))
    if cyclic > 0:
        # ‖uvᵀ − vuᵀ‖_F² from k × k products, so that no n × n matrix is needed to rescale.
        inner = u.T @ v
        norm = 2 * (np.sum((u.T @ u) * (v.T @ v)) - np.sum(inner * inner.T))
        u *= math.sqrt(cyclic * energy / norm)
    # r_i − r_j is one more plane, with right-hand side 1.
    left, right = np.hstack([ratings, u * (cyclic > 0)]), np.hstack([np.ones((actions, 1)), v])
    return linked(link, "melo", left, right, np.hstack([ratings, u, v]))


def embedding(
    rng: np.random.Generator,
    actions: int,
    *,
    shared: np.random.Generator,
    strength: Strength = 1.0,
    dimension: Annotated[int, "dimension of the unit vectors, even"] = 4,
    gates: Annotated[float, "spread of the log gates of the planes, drawn for every context; 0 = all alike"] = 1.0,
    link: Link = LINKS[0],
) -> Recipe:
    """General preference embedding: S_ij ∝ v_iᵀ D R D v_j with R = blockdiag [[0, −1], [1, 0]] and unit vectors v.

    The vectors are shared by all contexts; the gates D, one a plane with log D² ~ N(0, gates²), are drawn for every
    context and scaled to mean D⁴ = 1 (Zhang et al. 2024). Features: D v, whose relation to the margins is the same in
    every context.
    """
    accept("embedding[strength]", strength, least=0, most=LARGEST_LOGIT)
    accept("embedding[dimension]", dimension, least=2, most=LARGEST_COUNT)
    # Beyond 100 all gates but the largest are 0 in every draw.
    accept("embedding[gates]", gates, least=0, most=100)
    if dimension % 2:
        raise NashGamesError(f"embedding[dimension] is {dimension}; accepted: an even integer, such as {dimension + 1}")
    vectors = shared.standard_normal((actions, dimension))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    exponents = gates * rng.standard_normal(dimension // 2)
    squared = np.exp(exponents - exponents.max())
    unit = squared / math.sqrt(np.mean(squared**2))
    squared *= strength * math.sqrt(dimension / np.mean(squared**2))
    gated = vectors * np.repeat(np.sqrt(unit), 2)
    return linked(link, "embedding", vectors[:, 1::2] * squared, vectors[:, 0::2], gated)


def blade_chest(
    rng: np.random.Generator,
    actions: int,
    *,
    form: Annotated[str, "inner or distance"] = "inner",
    strength: Annotated[float, "typical size of the blade-chest part of a logit"] = 1.0,
    dimension: Annotated[int, "dimension of blades and chests"] = 2,
    transitive: Annotated[float, "typical size of the part r_i − r_j of a logit"] = 0.5,
    link: Link = LINKS[0],
) -> Recipe:
    """Blades against chests: inner b_i·c_j − b_j·c_i, or distance ‖b_j − c_i‖² − ‖b_i − c_j‖², plus ratings r_i − r_j.

    Either form is rescaled to `strength`; b, c ~ N(0, 1) in every coordinate. Multiplied out, distance is twice inner
    plus ratings ‖c_i‖² − ‖b_i‖² (Chen and Joachims 2016). Features: b, c, and the ratings, in which S is bilinear.
    """
    if form not in ("inner", "distance"):
        raise wrong_word("blade-chest[form]", form, ("inner", "distance"))
    accept("blade-chest[strength]", strength, least=0, most=LARGEST_LOGIT)
    accept("blade-chest[dimension]", dimension, least=1, most=LARGEST_COUNT)
    accept("blade-chest[transitive]", transitive, least=0, most=LARGEST_LOGIT)
    blades, chests = rng.standard_normal((2, actions, dimension))
    ratings = ratings_drawn(rng, actions, transitive)
    if form == "inner":
        scale = strength / math.sqrt(2 * dimension)
    else:
        scale = strength / (4 * math.sqrt(dimension))
        ratings = ratings + scale * (np.sum(chests**2, axis=1) - np.sum(blades**2, axis=1))
        scale *= 2
    left = np.hstack([scale * blades, ratings[:, None]])
    features = np.hstack([blades, chests, ratings[:, None]])
    return linked(link, "blade-chest", left, np.hstack([chests, np.ones((actions, 1))]), features)


def planted_regularised(
    rng: np.random.Generator,
    actions: int,
    *,
    beta: float,
    strength: Strength = 1.0,
    spread: Annotated[float, "standard deviation of the logits of π*_β"] = 1.0,
    base: Annotated[str, "what the logits are: random, or disc, whose margins have a formula"] = "random",
) -> Recipe:
    """A known regularised equilibrium: logits, π* drawn, and the reference μ ∝ π* e^{−Pπ*/β} of the run's β.

    That reference makes π* the exact π*_β; it belongs to the game. `planting_reference` does it for any P, π* and β.
    The logits are those of `random-logits`, or of `disc` for games of any size.
    """
    accept("planted-regularised[strength]", strength, least=0, most=LARGEST_LOGIT)
    accept("planted-regularised[spread]", spread, least=0, most=LARGEST_LOGIT)
    if base not in BASES:
        raise wrong_word("planted-regularised[base]", base, BASES)
    log_policy = scipy.special.log_softmax(spread * rng.standard_normal(actions))
    game = disc(rng, actions, strength=strength) if base == "disc" else Recipe(logistic(gaussian(rng, strength)))
    return replace(
        game,
        log_equilibrium=log_policy,
        log_reference=lambda margins: planting_reference(margins, log_policy, beta),
    )


def planting_reference(margins: Margins | np.ndarray, log_policy: np.ndarray, beta: float) -> np.ndarray:
    """The log μ `[n]` that makes a policy the exact equilibrium π*_β of margins A `[n, n]`: μ ∝ π* e^{−Aπ*/β}.

    `log_policy` `[n]` must be finite: at β > 0 every equilibrium plays every action.

    Raises NashGamesError when it is not.
    """
    if not np.all(np.isfinite(log_policy)):
        raise NashGamesError("the planted policy gives an action probability 0; accepted: positive probabilities only")
    policy = np.exp(log_policy)
    if not isinstance(margins, Margins):
        margins = DenseMargins(margins)
    # The factor e^{−½/β} between P and A is the same for every action. The height of a block decides the last digits.
    advantage = np.concatenate([block.astype(np.float64) @ policy for _, block in margins.blocks(_PRODUCT_ROWS)])
    return scipy.special.log_softmax(log_policy - advantage / beta)


def linked(link: str, family: str, left: np.ndarray, right: np.ndarray, features: np.ndarray) -> Recipe:
    """The margins of logits S = LRᵀ − RLᵀ, along the logistic curve or in proportion."""
    if link not in LINKS:
        raise wrong_word(f"{family}[link]", link, LINKS)
    if link == "linear":
        return of_factors(left, right, features)
    return Recipe(logistic(rotations(left, right)), features=features, formula=Logistic(left, right))


def _centred(features: np.ndarray) -> np.ndarray:
    return features - features.mean(axis=0)
