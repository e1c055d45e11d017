"""Families of games whose margins A have a formula of their own (theory §5): orders, tournaments, planted equilibria.

Every function takes the random numbers of one context and the number of actions n and returns a Recipe; a keyword
annotated with a help text is a parameter for people.
"""

import itertools
import math
from typing import Annotated

import numpy as np
import scipy

from nashgames.core.margins import Blotto, Voters
from nashgames.errors import NashGamesError, wrong_word
from nashgames.games.families.recipes import (
    LARGEST_COUNT,
    LARGEST_LOGIT,
    Block,
    Recipe,
    accept,
    added,
    differences,
    gaussian,
    independent,
    largest_entry,
    log_of,
    logistic,
    of_factors,
    product,
    ratings_drawn,
    rescaled,
    rotations,
    scaled,
)
from nashgames.parameters import Number

Shares = Annotated[str, "weights of the mixture: equal, or drawn (uniform on the simplex)"]


def uniform(rng: np.random.Generator, actions: int) -> Recipe:
    """Independent probabilities: P_ij ~ U(0, 1) for every pair."""
    return Recipe(independent(rng, lambda tile, shape: tile.random(shape) - 0.5))


def tournament(
    rng: np.random.Generator, actions: int, *, margin: Annotated[float, "margin of every win, up to 0.5"] = 0.5
) -> Recipe:
    """A random tournament: A_ij = ±m, a fair coin for every pair."""
    accept("tournament[margin]", margin, above=0, most=0.5)
    return Recipe(independent(rng, lambda tile, shape: np.where(tile.random(shape) < 0.5, margin, -margin)))


def circulant(
    rng: np.random.Generator, actions: int, *, margin: Annotated[float, "margin of every win, up to 0.5"] = 0.5
) -> Recipe:
    """Rock-paper-scissors with any odd number of actions: i beats i+1 … i+(n−1)/2 (mod n).

    Original equilibrium: uniform. With n = 3 the actions are rock, scissors and paper.
    """
    accept("circulant[margin]", margin, above=0, most=0.5)
    if actions % 2 == 0:
        odd = f"{actions - 1} or {actions + 1}" if actions > 2 else "3"
        raise NashGamesError(f"actions is {actions} and circulant needs an odd number; use {odd}")
    labels = ("rock", "scissors", "paper") if actions == 3 else None
    return Recipe(_cycle(np.arange(actions), actions, margin), np.full(actions, -np.log(actions)), labels)


def weighted_cycle(
    rng: np.random.Generator,
    actions: int,
    *,
    a12: Annotated[float, Number("margin of action 1 over action 2, in [-0.5, 0.5]", symbol="A₁₂")] = 0.4,
    a23: Annotated[float, Number("margin of action 2 over action 3, of the same sign", symbol="A₂₃")] = 0.4,
    a31: Annotated[float, Number("margin of action 3 over action 1, of the same sign", symbol="A₃₁")] = 0.3,
) -> Recipe:
    """Three actions in a cycle of unequal margins: A_12, A_23, A_31 as given.

    Original equilibrium ∝ (a23, a31, a12), which needs three margins of one sign.
    """
    for name, value in (("a12", a12), ("a23", a23), ("a31", a31)):
        accept(f"weighted-cycle[{name}]", value, least=-0.5, most=0.5)
    if not (min(a12, a23, a31) > 0 or max(a12, a23, a31) < 0):
        raise NashGamesError(
            f"weighted-cycle has margins a12={a12:g}, a23={a23:g}, a31={a31:g}, which do not form a cycle; "
            "accepted: all three above 0 or all three below 0"
        )
    values = np.array([[0, a12, -a31], [-a12, 0, a23], [a31, -a23, 0]])
    equilibrium = np.array([a23, a31, a12]) / (a12 + a23 + a31)
    return Recipe(lambda rows, columns: values[rows, columns], np.log(equilibrium))


def group_transitive(
    rng: np.random.Generator,
    actions: int,
    *,
    groups: Annotated[int, "number of groups, odd"] = 3,
    margin: Annotated[float, "margin of every win between groups, up to 0.5"] = 0.5,
    strength: Annotated[float, "typical size of a logit within a group"] = 1.0,
) -> Recipe:
    """Cyclic between groups, one and the same Bradley–Terry ladder within each: A = m·circulant ⊗ 11ᵀ + I ⊗ B.

    Groups are consecutive and their sizes differ by at most one; a smaller group lacks the last rung. Original
    equilibrium: uniform over the best action of every group. Features: the group, one-hot, and the rating in it.
    """
    accept("group-transitive[margin]", margin, above=0, most=0.5)
    accept("group-transitive[strength]", strength, least=0, most=LARGEST_LOGIT)
    accept("group-transitive[groups]", groups, least=3, most=LARGEST_COUNT)
    if groups % 2 == 0:
        raise NashGamesError(f"group-transitive[groups] is {groups}; accepted: an odd number, such as {groups + 1}")
    if actions < groups:
        raise NashGamesError(f"actions is {actions} and group-transitive[groups] is {groups}; use at least {groups}")
    members = np.array_split(np.arange(actions), groups)
    group = np.repeat(np.arange(groups), [len(m) for m in members])
    rung = np.concatenate([np.arange(len(m)) for m in members])
    ladder = np.sort(ratings_drawn(rng, int(rung.max()) + 1, strength))[::-1][rung]
    between, within = _cycle(group, groups, margin), logistic(differences(ladder))

    def block(rows: slice, columns: slice) -> np.ndarray:
        return np.where(group[rows, None] == group[None, columns], within(rows, columns), between(rows, columns))

    features = np.hstack([np.eye(groups)[group], ladder[:, None]])
    return Recipe(block, log_of((rung == 0) / groups), features=features)


def skill(
    rng: np.random.Generator,
    actions: int,
    *,
    width: Annotated[float, "size of the cyclic part against a skill of variance 1"] = 1.0,
    taper: Annotated[float, "how fast the cyclic part shrinks from the weakest to the most skilled; 0 = never"] = 2.0,
) -> Recipe:
    """A game of skill, the spinning top: A_ij ∝ s_i − s_j + width·t_i t_j·½(W − Wᵀ)_ij, rescaled to a largest ½.

    s, W ~ N(0, 1), actions in falling order of skill, t = e^{−taper·u} with u the percentile of skill from 0 (weakest)
    to 1 (Czarnecki et al. 2020, whose game of skill has taper 0). Features: s, t.
    """
    accept("skill[width]", width, least=0, most=LARGEST_LOGIT)
    accept("skill[taper]", taper, least=0, most=LARGEST_COUNT)
    skills = np.sort(rng.standard_normal(actions))[::-1]
    narrow = np.exp(-taper * np.linspace(1, 0, actions))
    noise, transitive = gaussian(rng, width * math.sqrt(0.5)), differences(skills)

    def block(rows: slice, columns: slice) -> np.ndarray:
        return transitive(rows, columns) + noise(rows, columns) * narrow[rows, None] * narrow[None, columns]

    return Recipe(rescaled(actions, block), features=np.column_stack([skills, narrow]))


def voters(
    rng: np.random.Generator,
    actions: int,
    *,
    types: Annotated[int, "number of voter types"] = 3,
    shares: Shares = "equal",
) -> Recipe:
    """A population of voters: P = Σ_z w_z P_z, where every type z has a total order drawn uniformly.

    Three types are enough for a Condorcet cycle; equal shares make ties exact. Features: the rank in every order.
    """
    accept("voters[types]", types, least=1, most=LARGEST_COUNT)
    weights = _shares("voters", rng, types, shares)
    ranks = np.array([rng.permutation(actions) for _ in range(types)], np.int32)
    return of_orders(ranks, weights, ranks.T.astype(np.float64))


def spatial_voters(
    rng: np.random.Generator,
    actions: int,
    *,
    dimension: Annotated[int, "dimension of the space of positions"] = 2,
    electors: Annotated[int, "number of voters; of an odd number no pair is even"] = 25,
) -> Recipe:
    """Voters and candidates in a space of opinions: P_ij is the share of the voters who are closer to i than to j.

    The positions x_i of the candidates and z_v of the voters are N(0, I). A majority of one is enough for P > ½, and
    in two dimensions or more almost every candidate is beaten by another one (Plott 1967, McKelvey 1976). Features: x.
    """
    accept("spatial-voters[dimension]", dimension, least=1, most=LARGEST_COUNT)
    accept("spatial-voters[electors]", electors, least=1, most=LARGEST_COUNT)
    voters_at = rng.standard_normal((electors, dimension))
    positions = rng.standard_normal((actions, dimension))
    # |x − z|² less |z|², which is the same for every candidate; a voter places the least first.
    distances = np.sum(positions**2, axis=1) - 2 * voters_at @ positions.T
    ranks = np.empty(distances.shape, np.int32)
    np.put_along_axis(ranks, np.argsort(distances, axis=1, kind="stable"), np.arange(actions, dtype=np.int32)[None], 1)
    return of_orders(ranks, np.full(electors, 1 / electors), positions)


def mallows(
    rng: np.random.Generator,
    actions: int,
    *,
    components: Annotated[int, "number of central orders, each drawn uniformly"] = 3,
    phi: Annotated[float, "dispersion φ around every centre, between 0 (no noise) and 1 (all noise)"] = 0.9,
    shares: Shares = "equal",
) -> Recipe:
    """A Mallows mixture of orders; with i ahead of j by a rank gap g, P(i ≻ j) = (g+1)/(1−φ^{g+1}) − g/(1−φ^g).

    An order at Kendall distance d from its centre has probability ∝ φ^d (Mallows 1957). Features: the rank in every
    central order.
    """
    accept("mallows[components]", components, least=1, most=LARGEST_COUNT)
    accept("mallows[phi]", phi, above=0, below=1)
    weights = _shares("mallows", rng, components, shares)
    ranks = np.array([rng.permutation(actions) for _ in range(components)], np.int32)
    rate = -math.log(phi)
    terms = _excess(rate * np.arange(1, actions + 1))
    ahead = np.diff(terms) / rate
    table = np.concatenate([-ahead[::-1], [0.0], ahead])

    def block(rows: slice, columns: slice) -> np.ndarray:
        total = np.zeros((rows.stop - rows.start, columns.stop - columns.start))
        for weight, rank in zip(weights, ranks, strict=True):
            total += weight * table[rank[None, columns] - rank[rows, None] + (actions - 1)]
        return _averaged(total, weights.sum())

    return Recipe(block, features=ranks.T.astype(np.float64))


def mixture(
    rng: np.random.Generator,
    actions: int,
    *,
    components: Annotated[int, "number of Bradley–Terry components"] = 3,
    strength: Annotated[float, "typical size of a logit within a component"] = 3.0,
    shares: Shares = "equal",
) -> Recipe:
    """A mixture of Bradley–Terry (Plackett–Luce) populations: P = Σ_k w_k σ(r_i^k − r_j^k).

    Features: the ratings r^k of every component.
    """
    accept("mixture[components]", components, least=1, most=LARGEST_COUNT)
    accept("mixture[strength]", strength, least=0, most=LARGEST_LOGIT)
    weights = _shares("mixture", rng, components, shares)
    ratings = [ratings_drawn(rng, actions, strength) for _ in range(components)]
    parts = [logistic(differences(of_component)) for of_component in ratings]

    def block(rows: slice, columns: slice) -> np.ndarray:
        total = np.zeros((rows.stop - rows.start, columns.stop - columns.start))
        for weight, part in zip(weights, parts, strict=True):
            total += weight * part(rows, columns)
        return _averaged(total, weights.sum())

    return Recipe(block, features=np.column_stack(ratings))


def blotto(
    rng: np.random.Generator,
    actions: int,
    *,
    soldiers: Annotated[int, "soldiers of either player"] = 10,
    fields: Annotated[int, "battlefields, at least 3"] = 3,
) -> Recipe:
    """Colonel Blotto, all deployments of N soldiers on k fields: A = (fields won − fields lost)/(2 · the largest).

    The largest difference between any two deployments is min(N, k−1) − 1. A label such as 3-2-0 is a deployment.
    Features: the soldiers on every field.
    """
    bars = np.fromiter(
        itertools.chain.from_iterable(itertools.combinations(range(soldiers + fields - 1), fields - 1)), np.int16
    ).reshape(actions, fields - 1)[::-1]
    deployments = np.diff(bars, axis=1, prepend=-1, append=soldiers + fields - 1).astype(np.int16) - np.int16(1)
    largest = min(soldiers, fields - 1) - 1

    def block(rows: slice, columns: slice) -> np.ndarray:
        total = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.int16)
        for field in deployments.T:
            total += np.sign(field[rows, None] - field[None, columns])
        return total / (2.0 * largest)

    labels = tuple("-".join(map(str, deployment)) for deployment in deployments.tolist())
    return Recipe(block, labels=labels, features=deployments.astype(np.float64), formula=Blotto(deployments, largest))


def blotto_actions(*, soldiers: int, fields: int) -> int:
    """The number of deployments of N soldiers on k fields, C(N+k−1, k−1), before any of them is made."""
    accept("blotto[soldiers]", soldiers, least=2, most=LARGEST_COUNT)
    # On two fields, and with one soldier, every duel is a draw: there is no game. With 100 fields C(N+k−1, k−1) is
    # still found at once (144 digits for the most soldiers); games of a few dozen fields are too large for any memory.
    accept("blotto[fields]", fields, least=3, most=100)
    return math.comb(soldiers + fields - 1, fields - 1)


def planted(
    rng: np.random.Generator,
    actions: int,
    *,
    support: Annotated[int, "actions that the equilibrium plays; 0 = an odd number of at most half of them"] = 0,
    gap: Annotated[float, "loss of the actions off the support against the equilibrium, before rescaling"] = 0.1,
) -> Recipe:
    """A known original equilibrium π*: A ∝ (I − 1π*ᵀ) B (I − π*1ᵀ) − d1ᵀ + 1dᵀ, rescaled to a largest ½.

    B has entries U(−½, ½), π* is uniform on the simplex of a random support and d is `gap` off the support, 0 on it, so
    that Aπ* ∝ −d. With an odd support and a positive gap π* is the only equilibrium.
    """
    accept("planted[support]", support, least=0, most=actions)
    accept("planted[gap]", gap, least=0, most=LARGEST_LOGIT)
    if actions == support == 2:
        raise NashGamesError("planted[support] is 2 of 2 actions, which makes every margin 0; use 1, or more actions")
    support = support or (actions // 2 - 1) | 1
    chosen = rng.choice(actions, support, replace=False)
    policy = np.zeros(actions)
    policy[chosen] = rng.dirichlet(np.ones(support))
    block = independent(rng, lambda tile, shape: tile.random(shape) - 0.5)
    # Multiplied out the projection is B_ij − (Bπ*)_i + (Bπ*)_j; where that leaves little of B, the second one removes
    # the rounding of the first, which rescaling would enlarge.
    for _ in range(2):
        block = added(block, differences(-product(actions, block, policy)))
    return Recipe(rescaled(actions, added(block, differences(-gap * (policy == 0)))), log_of(policy))


def bilinear(
    rng: np.random.Generator,
    actions: int,
    *,
    planes: Annotated[int, "number of planes of rotation; A has twice this rank"] = 2,
    margin: Annotated[float, "largest margin, up to 0.5"] = 0.5,
) -> Recipe:
    """Low-rank cyclic margins: A ∝ Σ_k (u^k v^kᵀ − v^k u^kᵀ), rescaled to a largest margin.

    u, v ~ N(0, 1): a disc game without the logistic curve. Features: u, v. Aπ is linear in them for every π, so that
    log-linear policies in all 2·planes features contain π*_β of every β and every reference; over contexts each has a θ
    of its own, which one θ for all of them cannot be (`planted-log-linear` is a game where it can).
    """
    accept("bilinear[planes]", planes, least=1, most=LARGEST_COUNT)
    accept("bilinear[margin]", margin, above=0, most=0.5)
    u, v = rng.standard_normal((2, actions, planes))
    return of_factors(u, v, np.hstack([u, v]), margin)


def planted_log_linear(
    rng: np.random.Generator,
    actions: int,
    *,
    beta: float,
    shared: np.random.Generator,
    planes: Annotated[int, "number of planes of rotation; there are twice as many features"] = 2,
    spread: Annotated[float, "typical size of a logit of π*_β; shrunk to 1/(8β√(2·planes)) where it is larger"] = 1.0,
) -> Recipe:
    """A known regularised equilibrium with one θ for all contexts: log π*_β = φ·θ + const, A bilinear in φ, μ uniform.

    φ_i are unit vectors times √d, d = 2·planes, drawn for every context; θ is shared and |θ| is `spread`. With f = φ·θ,
    π* = softmax(f) and [u, v] = φ − Σ_i π*_i φ_i: A_ij = c Σ_k (u_i^k v_j^k − v_i^k u_j^k) + β (f_i − f_j), the largest
    entry of the cyclic part ¼ and that of the other at most ¼. The cyclic part vanishes at π*, so that
    Aπ*/β = f + const [derived]. Features: φ.
    """
    accept("planted-log-linear[planes]", planes, least=1, most=LARGEST_COUNT)
    accept("planted-log-linear[spread]", spread, least=0, most=LARGEST_LOGIT)
    root = math.sqrt(2 * planes)
    theta = shared.standard_normal(2 * planes)
    theta *= min(spread, 1 / (8 * beta * root)) / np.linalg.norm(theta)
    vectors = rng.standard_normal((actions, 2 * planes))
    vectors *= root / np.linalg.norm(vectors, axis=1, keepdims=True)
    logits = vectors @ theta
    log_policy = scipy.special.log_softmax(logits)
    centred = vectors - np.exp(log_policy) @ vectors
    left, right = centred[:, :planes], centred[:, planes:]
    largest = largest_entry(left, right)
    return Recipe(
        added(scaled(rotations(left, right), largest, 0.25), differences(beta * logits)),
        log_policy,
        log_reference=lambda margins: np.full(actions, -math.log(actions)),
        features=vectors,
        # f_i − f_j is one more plane, with right-hand side 1.
        factors=(np.column_stack([left * (0.25 / largest), beta * logits]), np.column_stack([right, np.ones(actions)])),
    )


def _cycle(position: np.ndarray, length: int, margin: float) -> Block:
    """Margins on a circle of odd length: ahead by 1 … (length−1)/2 steps wins, and 0 steps is a tie."""

    def block(rows: slice, columns: slice) -> np.ndarray:
        steps = (position[None, columns] - position[rows, None]) % length
        return margin * np.sign(steps * (length - 2 * steps)).astype(np.float64)

    return block


def of_orders(ranks: np.ndarray, weights: np.ndarray, features: np.ndarray) -> Recipe:
    """P = Σ_z w_z P_z of voters z who place the actions at the ranks `[z, n]`."""

    def block(rows: slice, columns: slice) -> np.ndarray:
        total = np.zeros((rows.stop - rows.start, columns.stop - columns.start))
        for weight, rank in zip(weights, ranks, strict=True):
            total += weight * np.sign(rank[None, columns] - rank[rows, None])
        return _averaged(total, 2 * weights.sum())

    return Recipe(block, features=features, formula=Voters(np.ascontiguousarray(ranks.T), weights / weights.sum()))


def _averaged(total: np.ndarray, weight: float) -> np.ndarray:
    # The rounding of a sum of weights must not lead beyond ½.
    return np.clip(total / weight, -0.5, 0.5)


def _excess(t: np.ndarray) -> np.ndarray:
    """(t/2) coth(t/2) − 1 for t > 0; the series where that difference would cancel."""
    # Below ¼ the first term that the series leaves out is under 4e-17.
    square = np.minimum(t, 0.25) ** 2
    series = square * (1 / 12 - square * (1 / 720 - square * (1 / 30240 - square * (1 / 1209600 - square / 47900160))))
    return np.where(t < 0.25, series, 0.5 * t / np.tanh(0.5 * t) - 1)


def _shares(family: str, rng: np.random.Generator, count: int, shares: str) -> np.ndarray:
    if shares not in ("equal", "drawn"):
        raise wrong_word(f"{family}[shares]", shares, ("equal", "drawn"))
    return np.ones(count) if shares == "equal" else rng.dirichlet(np.ones(count))
