import tracemalloc

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nashgames.core import margins
from nashgames.core.margins import DenseMargins, check_margins, empty, fill_skew, tiles_above
from nashgames.core.precision import Precision
from nashgames.errors import NashGamesError
from tests.games import random_margins, softmax


def advantage(values, policy, dtype="float64"):
    with Precision(dtype).scope():
        return np.asarray(DenseMargins(jnp.asarray(values, dtype)).advantage(jnp.asarray(policy, dtype)))


def test_the_advantage_is_the_margin_of_every_action_against_the_policy(rng):
    values, policy = random_margins(rng, 5), softmax(rng.normal(size=5))
    by_hand = [sum(policy[j] * values[i, j] for j in range(5)) for i in range(5)]
    np.testing.assert_allclose(advantage(values, policy), by_hand, rtol=1e-13)


def test_every_context_meets_its_own_policy(rng):
    values = np.stack([random_margins(rng, 4) for _ in range(3)])
    policies = np.stack([softmax(rng.normal(size=4)) for _ in range(3)])
    apart = [values[x] @ policies[x] for x in range(3)]
    np.testing.assert_allclose(advantage(values, policies), apart, rtol=1e-13)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_batch_of_policies_is_one_product_at_full_precision_in_the_dtype_of_the_margins(rng, dtype):
    values, policies = random_margins(rng, 6).astype(dtype), rng.dirichlet(np.ones(6), size=7).T.astype(dtype)
    with Precision(dtype).scope():
        multiply = jax.vmap(lambda a, x: DenseMargins(a).advantage(x), in_axes=(None, -1), out_axes=-1)
        traced = jax.make_jaxpr(multiply)(values, policies)
        found = np.asarray(multiply(values, policies))
    (product,) = [equation for equation in traced.eqns if equation.primitive.name == "dot_general"]
    # TF32 on a GPU would keep ten bits of float32.
    assert set(product.params["precision"]) == {jax.lax.Precision.HIGHEST}
    assert found.dtype == dtype
    np.testing.assert_allclose(found, values @ policies, atol=10 * np.finfo(dtype).eps)


def test_margins_know_their_shape_and_dtype_and_come_back_as_they_are(rng):
    values = random_margins(rng, 4).astype(np.float32)
    dense = DenseMargins(values)
    assert dense.to_dense() is values
    assert (dense.shape, dense.dtype) == ((4, 4), np.float32)
    assert [leaf is values for leaf in jax.tree.leaves(dense)] == [True]


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
    monkeypatch.setattr(margins, "TILE", 4)
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
    monkeypatch.setattr(margins, "TILE", 4)
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
