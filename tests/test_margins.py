import tracemalloc

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nashgames.core.margins import (
    ENTRIES,
    MOST_DENSE,
    PRODUCT,
    DenseMargins,
    Margins,
    check_margins,
    empty,
    fill_skew,
    stack,
    tiles,
    tiles_above,
)
from nashgames.core.precision import Precision
from nashgames.errors import NashGamesError
from tests.games import random_margins, softmax


def product(values, policy, dtype="float64"):
    with Precision(dtype).scope():
        return np.asarray(DenseMargins(jnp.asarray(values, dtype)).matvec(jnp.asarray(policy, dtype)))


def test_the_product_is_the_margin_of_every_action_against_the_policy(rng):
    values, policy = random_margins(rng, 5), softmax(rng.normal(size=5))
    by_hand = [sum(policy[j] * values[i, j] for j in range(5)) for i in range(5)]
    np.testing.assert_allclose(product(values, policy), by_hand, rtol=1e-13)


def test_every_context_meets_its_own_policy(rng):
    values = np.stack([random_margins(rng, 4) for _ in range(3)])
    policies = np.stack([softmax(rng.normal(size=4)) for _ in range(3)])
    apart = [values[x] @ policies[x] for x in range(3)]
    np.testing.assert_allclose(product(values, policies), apart, rtol=1e-13)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_batch_of_policies_is_one_product_at_full_precision_in_the_dtype_of_the_margins(rng, dtype):
    values, policies = random_margins(rng, 6).astype(dtype), rng.dirichlet(np.ones(6), size=7).T.astype(dtype)
    with Precision(dtype).scope():
        multiply = jax.vmap(lambda a, x: DenseMargins(a).matvec(x), in_axes=(None, -1), out_axes=-1)
        traced = jax.make_jaxpr(multiply)(values, policies)
        found = np.asarray(multiply(values, policies))
    (query,) = [equation for equation in traced.eqns if equation.params.get("name") == PRODUCT]
    (product,) = [equation for equation in query.params["jaxpr"].eqns if equation.primitive.name == "dot_general"]
    # TF32 on a GPU would keep ten bits of float32.
    assert set(product.params["precision"]) == {jax.lax.Precision.HIGHEST}
    assert found.dtype == dtype
    np.testing.assert_allclose(found, values @ policies, atol=10 * np.finfo(dtype).eps)


def test_margins_know_their_shape_and_dtype_and_come_back_as_they_are(rng):
    values = random_margins(rng, 4).astype(np.float32)
    dense = DenseMargins(values)
    assert isinstance(dense, Margins)
    assert not isinstance(values, Margins)
    assert dense.to_dense() is values
    assert (dense.shape, dense.dtype, dense.nbytes) == ((4, 4), np.float32, 64)
    assert [leaf is values for leaf in jax.tree.leaves(dense)] == [True]


def names_in(jaxpr):
    """The name of every jitted function that is called anywhere in a jaxpr."""
    for equation in jaxpr.eqns:
        if "name" in equation.params:
            yield equation.params["name"]
        for parameter in jax.tree.leaves(equation.params, is_leaf=lambda part: hasattr(part, "eqns")):
            inner = getattr(parameter, "jaxpr", parameter)
            if hasattr(inner, "eqns"):
                yield from names_in(inner)


@pytest.mark.parametrize("n", [5, 600])
def test_every_access_to_the_game_has_its_name_in_a_program(n):
    dense, actions = DenseMargins(jnp.zeros((n, n))), jnp.arange(3)

    def step(x, _):
        return dense.matvec(dense.matvec(x)) + dense.entries(actions, actions).sum(), None

    run = jax.vmap(lambda x: jax.lax.scan(step, x, length=4)[0])
    names = list(names_in(jax.make_jaxpr(run)(jnp.zeros((2, n))).jaxpr))
    assert (names.count(PRODUCT), names.count(ENTRIES)) == (2, 1)


@pytest.mark.parametrize("shape", [(7, 7), (3, 7, 7)])
def test_duels_look_up_the_entries_of_their_context(rng, shape):
    values = rng.uniform(-0.5, 0.5, shape)
    rows, columns = rng.integers(7, size=(2, *shape[:-2], 20))
    with Precision("float64").scope():
        found = DenseMargins(jnp.asarray(values)).entries(jnp.asarray(rows), jnp.asarray(columns))
    parts = zip(values.reshape(-1, 7, 7), rows.reshape(-1, 20), columns.reshape(-1, 20), strict=True)
    by_hand = [[a[i, j] for i, j in zip(ours, theirs, strict=True)] for a, ours, theirs in parts]
    np.testing.assert_array_equal(np.reshape(found, (-1, 20)), by_hand)


def test_the_host_reads_one_context_in_blocks_in_parts_and_entry_by_entry(rng):
    values = np.stack([random_margins(rng, 7) for _ in range(2)])
    one = DenseMargins(values).of_context(1)
    assert one.shape == (7, 7)
    assert np.shares_memory(one.to_dense(), values)
    for height in (3, 7, 100):
        rows, blocks = zip(*one.blocks(height), strict=True)
        assert [part.start for part in rows] == list(range(0, 7, height))
        np.testing.assert_array_equal(np.concatenate(blocks), values[1])
        assert all(np.shares_memory(block, values) for block in blocks)
    np.testing.assert_array_equal(one.submatrix(np.array([5, 0, 2])), values[1][[5, 0, 2]][:, [5, 0, 2]])
    i, j = rng.integers(7, size=(2, 4, 5))
    by_hand = [[values[1, i[a, b], j[a, b]] for b in range(5)] for a in range(4)]
    np.testing.assert_array_equal(one.lookup(i, j), by_hand)
    assert one.of_context(0) is one


def test_a_block_is_a_quarter_of_a_tile_unless_a_height_is_given(monkeypatch):
    monkeypatch.setattr(tiles, "TILE", 20)
    assert [len(block) for _, block in DenseMargins(np.zeros((30, 30))).blocks()] == [3] * 10
    assert [len(block) for _, block in DenseMargins(np.zeros((300, 300))).blocks()] == [1] * 300


def test_what_is_of_one_context_is_not_of_several():
    several = DenseMargins(np.zeros((2, 3, 3)))
    index = np.arange(2)
    for read in (
        lambda: next(several.blocks()),
        lambda: several.submatrix(index),
        lambda: several.lookup(index, index),
    ):
        with pytest.raises(ValueError, match="take of_context first"):
            read()


def test_large_margins_are_not_given_away_as_one_array():
    # One number seen through strides of 0.
    largest, beyond = (DenseMargins(np.broadcast_to(np.float64(0), (n, n))) for n in (16_384, 16_385))
    assert largest.nbytes == MOST_DENSE
    assert largest.to_dense() is largest.values
    with pytest.raises(NashGamesError, match=r"all margins of 16,385 actions .* at most 16,384 actions \(2 GiB\)"):
        beyond.to_dense()


def test_margins_of_several_games_become_one_array_that_batches_share(rng):
    games = [DenseMargins(random_margins(rng, 9)) for _ in range(3)]
    together = stack(games)
    np.testing.assert_array_equal(together.values, [game.values for game in games])
    device = jax.local_devices(backend="cpu")[0]
    with Precision("float64").scope():
        placed = together.place(device, "float64")
        again = placed.place(device, "float64")
    # The first place takes the memory of the stack, the second that of the first.
    addresses = [each.values.unsafe_buffer_pointer() for each in (placed, again)]
    assert addresses == [together.values.ctypes.data] * 2


def test_the_margins_of_one_game_are_not_copied():
    alone = DenseMargins(empty((9, 9), np.float64))
    assert stack([alone]) is alone


def test_only_margins_of_one_kind_are_stacked(rng):
    class Other(DenseMargins):
        pass

    plain = DenseMargins(np.zeros((3, 3)))
    with pytest.raises(TypeError, match=r"\['DenseMargins', 'Other'\]"):
        stack([plain, Other(np.zeros((3, 3)))])
    for different in (np.zeros((4, 4)), np.zeros((3, 3), np.float32)):
        with pytest.raises(ValueError, match="one shape and dtype"):
            stack([plain, DenseMargins(different)])


def test_margins_are_placed_in_the_dtype_of_the_policies(rng):
    wide = DenseMargins(random_margins(rng, 5))
    with Precision("float32").scope():
        placed = wide.place(jax.local_devices(backend="cpu")[0], "float32")
    assert placed.dtype == np.float32
    np.testing.assert_array_equal(placed.to_dense(), wide.values.astype(np.float32))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_empty_memory_is_aligned_so_that_a_cpu_device_takes_it_without_a_copy(dtype):
    for shape in ((3, 3), (2, 5, 5), (257, 257)):
        array = empty(shape, dtype)
        assert (array.shape, array.dtype, array.ctypes.data % 64) == (shape, dtype, 0)
        assert array.flags.c_contiguous
        assert array.flags.writeable
    with Precision(np.dtype(dtype).name).scope():
        placed = jax.device_put(array, jax.local_devices(backend="cpu")[0])
        assert placed.unsafe_buffer_pointer() == array.ctypes.data


@pytest.mark.parametrize("n", [1, 3, 4, 5, 11])
def test_a_matrix_is_filled_from_its_blocks_above_the_diagonal(rng, monkeypatch, n):
    monkeypatch.setattr(tiles, "TILE", 4)
    # A lower triangle of NaN: what lies below the diagonal of a block must never be used.
    source = np.where(np.tri(n, dtype=bool), np.nan, rng.uniform(-0.5, 0.5, size=(n, n)))
    asked = []

    def block(rows, columns):
        asked.append((rows, columns))
        return source[rows, columns]

    out = empty((n, n), np.float64)
    fill_skew(out, block)
    expected = np.triu(np.nan_to_num(source), 1)
    np.testing.assert_array_equal(out, expected - expected.T)
    assert asked == list(tiles_above(n))
    assert sorted((rows.start, columns.start) for rows, columns in asked) == [
        (i, j) for i in range(0, n, 4) for j in range(i, n, 4)
    ]
    assert all(rows.start % 4 == columns.start % 4 == 0 for rows, columns in asked)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_margins_are_skew_symmetric_to_rounding_with_entries_up_to_one_half(rng, dtype):
    check_margins(random_margins(rng, 7, sharpness=100).astype(dtype))
    check_margins(np.array([[0, 0.5], [-0.5, 0]], dtype))
    check_margins((rng.permutation(16).reshape(4, 4) * 0.0).astype(dtype))
    probabilities = np.array([[0.5, 0.1 + 0.2], [0.7, 0.5]], dtype)
    check_margins(probabilities - dtype(0.5))


@pytest.mark.parametrize(
    ("entry", "value", "said"),
    [
        ((1, 9), 0.6, r"margins\[1, 9\] is 0.6 and margins\[9, 1\] is"),
        ((9, 1), 0.2, r"margins\[1, 9\] is .* and margins\[9, 1\] is 0.2"),
        ((5, 5), 1e-3, r"margins\[5, 5\] is 0.001"),
        ((2, 6), np.nan, r"margins\[2, 6\] is nan"),
        ((6, 2), -np.inf, r"margins\[6, 2\] is -inf"),
    ],
)
def test_a_wrong_entry_is_named_in_whatever_block_it_lies(rng, monkeypatch, entry, value, said):
    monkeypatch.setattr(tiles, "TILE", 4)
    values = random_margins(rng, 10, sharpness=0.1)
    values[entry] = value
    with pytest.raises(NashGamesError, match=said + r".*accepted: A = P − ½ in \[−½, ½\] with A\[j, i\] = −A\[i, j\]"):
        check_margins(values)


def test_checking_needs_no_second_matrix():
    values = np.zeros((3000, 3000), np.float32)
    tracemalloc.start()
    try:
        check_margins(values)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < values.nbytes
