"""Every storage of margins does what the array of its entries does, whatever the sizes of its pieces."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nashgames as ng
from nashgames.core.margins import (
    PRODUCT,
    STORAGES,
    Blotto,
    DenseMargins,
    HalfMargins,
    Logistic,
    LowRankMargins,
    Margins,
    PackedHalfMargins,
    PackedMargins,
    StreamedMargins,
    Voters,
    half,
    packed,
    stack,
    streamed,
    tiles,
)
from nashgames.core.precision import Precision
from nashgames.games.families import FAMILIES, generate
from tests.games import small
from tests.test_margins import names_in

N = 23
CPU = jax.local_devices(backend="cpu")[0]


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    """Pieces so small that a game of 23 actions has several, of which the last is not whole."""
    monkeypatch.setattr(tiles, "TILE", 10)
    monkeypatch.setattr(half, "_HEIGHT", 5)
    monkeypatch.setattr(half, "_WIDTH", 9)
    monkeypatch.setattr(packed, "_SIDE", 8)
    monkeypatch.setattr(packed, "_EVEN", 2)
    monkeypatch.setattr(streamed, "_SIDE", 7)
    yield from fresh_programs()


def fresh_programs():
    """Programs know the sizes with which they were made."""
    for module in (half, packed, streamed):
        module.margins_product.clear_cache()
        module.margins_entries.clear_cache()
    yield
    for module in (half, packed, streamed):
        module.margins_product.clear_cache()
        module.margins_entries.clear_cache()


def upper(matrix):
    """What a family gives: blocks above the diagonal, and NaN where nobody may look."""
    hidden = np.where(np.tri(len(matrix), dtype=bool), np.nan, matrix)
    return lambda rows, columns: hidden[rows, columns]


def skew(matrix):
    above = np.triu(matrix, 1)
    return above - above.T


def orders(rng, n, types):
    return np.array([rng.permutation(n) for _ in range(types)], np.int32).T


def deployed(rng, n):
    """Deployments of 9 soldiers on 4 fields, and their largest difference."""
    return rng.multinomial(9, np.full(4, 0.25), size=n).astype(np.int16), 2


def logistic(rng, n):
    return Logistic(*rng.normal(size=(2, n, 3)))


def voters(rng, n):
    return Voters(orders(rng, n, 4), rng.dirichlet(np.ones(4)))


def blotto(rng, n):
    return Blotto(*deployed(rng, n))


def by_hand(formula):
    """A of a formula entry by entry, from its definition."""
    n = len(formula.actions)
    found = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            if isinstance(formula, Logistic):
                logit = formula.left[i] @ formula.right[j] - formula.right[i] @ formula.left[j]
                found[i, j] = 1 / (1 + np.exp(-logit)) - 0.5
            elif isinstance(formula, Blotto):
                difference = np.sign(formula.deployments[i].astype(int) - formula.deployments[j])
                found[i, j] = difference.sum() / (2 * formula.largest)
            else:
                found[i, j] = np.sum(formula.weights * np.sign(formula.ranks[j] - formula.ranks[i])) / 2
    return found


def made(name, rng, n=N):
    """Margins in a storage, and the entries `[n, n]` that they stand for."""
    noise = skew(rng.uniform(-0.5, 0.5, size=(n, n)))
    votes = skew(rng.integers(-7, 8, size=(n, n)) / 14)
    rounded = noise.astype(jnp.bfloat16).astype(np.float64)
    if name == "lowrank":
        left, right = rng.uniform(-0.25, 0.25, size=(2, n, 3))
        return LowRankMargins(left, right), left @ right.T - right @ left.T
    if name in FORMULAS:
        formula = FORMULAS[name](rng, n)
        return StreamedMargins(formula), by_hand(formula)
    kind, matrix, entries = {
        "dense": (DenseMargins, noise, noise),
        "int8": (HalfMargins, votes, votes),
        "bfloat16": (HalfMargins, noise, rounded),
        "packed": (PackedMargins, noise, noise),
        "packed-int8": (PackedHalfMargins, votes, votes),
        "packed-bfloat16": (PackedHalfMargins, noise, rounded),
    }[name]
    return kind.filled(n, [upper(matrix)], np.float64), entries


FORMULAS = {"logistic": logistic, "blotto": blotto, "voters": voters}
KINDS = ("dense", "int8", "bfloat16", "packed", "packed-int8", "packed-bfloat16", "lowrank", *FORMULAS)
EXACT = ("dense", "bfloat16", "packed", "packed-bfloat16", "blotto")


def policies(rng, shape):
    """Policies with zeros and with numbers that only float64 can hold."""
    found = rng.dirichlet(np.ones(shape[-1]), size=shape[:-1])
    found[..., 1::5] = 0
    found[..., 2::5] = 1e-300
    return found


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("n", [3, N])
def test_a_product_is_that_of_the_entries(name, n, rng):
    margins, entries = made(name, rng, n)
    policy = policies(rng, (n,))
    for dtype, error in (("float64", 1e-15), ("float32", 1e-6)):
        with Precision(dtype).scope():
            placed = margins.place(CPU, dtype)
            found = placed.matvec(jnp.asarray(policy, dtype))
            assert found.dtype == placed.dtype == dtype
            np.testing.assert_allclose(found, entries @ policy, atol=error, rtol=0)


@pytest.mark.parametrize("name", KINDS)
def test_runs_contexts_and_games_have_products_of_their_own(name, rng):
    parts = [[made(name, rng) for _ in range(2)] for _ in range(3)]
    entries = np.array([[matrix for _, matrix in row] for row in parts])
    games = [stack([margins for margins, _ in row]) for row in parts]
    assert [each.shape for each in games] == [(2, N, N)] * 3
    given = policies(rng, (3, 4, 2, N))
    with Precision().scope():
        placed = stack(games).place(CPU, np.float64)

        def query(margins, policy):
            return jax.lax.fori_loop(0, 2, lambda _, found: margins.matvec(policy) + 0 * found, policy)

        runs = jax.vmap(jax.vmap(query, in_axes=(None, 0)))
        found = jax.jit(runs)(placed, jnp.asarray(given))
        traced = jax.make_jaxpr(jax.vmap(query, in_axes=(None, 0)))(games[0].place(CPU, np.float64), given[0])
    np.testing.assert_allclose(found, np.einsum("gxij,grxj->grxi", entries, given), atol=2e-15)
    assert list(names_in(traced.jaxpr)).count(PRODUCT) >= 1


@pytest.mark.parametrize("name", KINDS)
def test_entries_are_looked_up_alike_on_the_device_and_on_the_host(name, rng):
    parts = [made(name, rng) for _ in range(2)]
    both = stack([margins for margins, _ in parts])
    rows, columns = rng.integers(N, size=(2, 2, 40))
    rows[:, 0] = columns[:, 0]
    with Precision().scope():
        found = np.asarray(both.place(CPU, np.float64).entries(jnp.asarray(rows), jnp.asarray(columns)))
    for x, (margins, entries) in enumerate(parts):
        own = both.of_context(x)
        assert margins.of_context(0) is margins
        assert isinstance(own, Margins)
        expected = entries[rows[x], columns[x]]
        np.testing.assert_allclose(found[x], expected, atol=1e-15)
        np.testing.assert_allclose(own.lookup(rows[x], columns[x]), expected, atol=1e-15)
        assert found[x, 0] == own.lookup(rows[x], columns[x])[0] == 0
        square = own.lookup(rows[x].reshape(4, 10), columns[x].reshape(4, 10))
        np.testing.assert_array_equal(square.ravel(), own.lookup(rows[x], columns[x]))


@pytest.mark.parametrize("name", KINDS)
def test_the_host_reads_blocks_and_parts(name, rng):
    margins, entries = made(name, rng)
    close = {"atol": 0 if name in EXACT else 1e-15, "rtol": 0}
    for height in (1, 4, 9, None):
        rows, blocks = zip(*margins.blocks(height), strict=True)
        assert [part.start for part in rows] == [0, *(part.stop for part in rows[:-1])]
        np.testing.assert_allclose(np.concatenate(blocks), entries, **close)
    np.testing.assert_allclose(margins.to_dense(), entries, **close)
    actions = np.array([17, 0, 3, 22, 8])
    part = margins.submatrix(actions)
    np.testing.assert_allclose(part, entries[np.ix_(actions, actions)], **close)
    np.testing.assert_array_equal(part, -part.T)
    margins.check()


@pytest.mark.parametrize("name", [kind for kind in KINDS if kind != "lowrank"])
def test_a_product_is_skew_symmetric_to_the_bit(name, rng):
    margins, _ = made(name, rng)
    with Precision().scope():
        placed = margins.place(CPU, np.float64)
        columns = np.array(jax.vmap(placed.matvec)(jnp.eye(N)))
    np.testing.assert_array_equal(columns, -columns.T)


WHOLE = ("tournament", "circulant", "weighted-cycle", "voters", "blotto", "sequence-voters")
"""Families whose entries are whole multiples of one number."""


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_the_same_game_in_every_storage_of_entries(family, rng):
    actions = None if family.startswith(("blotto", "sequence")) else 3 if family == "weighted-cycle" else N
    entries = generate(family, actions=actions, seed=4, **small(family)).margins.to_dense()
    n = len(entries)
    policy = policies(rng, (n,))
    for kind in (HalfMargins, PackedMargins, PackedHalfMargins):
        margins = kind.filled(n, [upper(entries)], np.float64)
        rounding = 1e-15 if kind is PackedMargins or family in WHOLE else 2.0**-8
        held = margins.to_dense()
        np.testing.assert_allclose(held, entries, rtol=rounding)
        np.testing.assert_array_equal(held, -held.T)
        with Precision().scope():
            found = margins.place(CPU, np.float64).matvec(jnp.asarray(policy))
        np.testing.assert_allclose(found, held @ policy, atol=1e-14)


@pytest.mark.parametrize("name", KINDS)
def test_the_size_is_known_before_anything_is_made(name, rng):
    margins, _ = made(name, rng)
    numbers = {"lowrank": 6, "logistic": 6, "voters": 4, "blotto": 4}.get(name, 0)
    kind = STORAGES[margins.storage]
    assert type(margins) is kind
    assert margins.nbytes == sum(np.asarray(leaf).nbytes for leaf in jax.tree.leaves(margins))
    foretold = kind.bytes_of(N, 1, 8, numbers)
    assert margins.nbytes <= foretold <= 8 * margins.nbytes
    assert stack([margins, margins]).nbytes <= kind.bytes_of(N, 2, 8, numbers)


@pytest.mark.parametrize("name", KINDS)
def test_placed_margins_stay_where_they_are(name, rng):
    margins, _ = made(name, rng)
    with Precision("float32").scope():
        placed = margins.place(CPU, np.float32)
        again = placed.place(CPU, np.float32)
    for one, other in zip(jax.tree.leaves(placed), jax.tree.leaves(again), strict=True):
        assert one.unsafe_buffer_pointer() == other.unsafe_buffer_pointer()
    small = {"int8": 1, "packed-int8": 1, "bfloat16": 2, "packed-bfloat16": 2}
    if name in small:
        assert jax.tree.leaves(placed)[0].dtype.itemsize == small[name]


@pytest.mark.parametrize("name", KINDS)
def test_what_is_of_one_context_is_refused_of_several(name, rng):
    both = stack([made(name, rng)[0] for _ in range(2)])
    index = np.arange(2)
    for read in (lambda: next(both.blocks()), lambda: both.submatrix(index), lambda: both.lookup(index, index)):
        with pytest.raises(ValueError, match="take of_context first"):
            read()


def test_a_run_is_the_run_on_its_entries(rng):
    margins, entries = made("packed-int8", rng)
    ones, others = (
        ng.solve(ng.make_game(each), ["nash-mp"], beta=0.2, queries=40, records=4).curves for each in (margins, entries)
    )
    np.testing.assert_allclose(ones["kl_to_reference"], others["kl_to_reference"], rtol=1e-9)
    np.testing.assert_allclose(ones["suboptimality"], others["suboptimality"], rtol=1e-6, atol=1e-13)
