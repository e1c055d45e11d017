"""Kernels for GPUs give the numbers of float64 NumPy, one policy or many, and only programs for GPUs have them.

They are run by Pallas's interpreter: what a GPU makes of them is tried by `benchmarks/gpu.py`.
"""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nashgames.core.margins import (
    Blotto,
    HalfMargins,
    Logistic,
    PackedHalfMargins,
    PackedMargins,
    StreamedMargins,
    half,
    kernels,
    packed,
    stack,
)
from nashgames.core.margins.platforms import sharing
from nashgames.core.precision import Precision

CPU = jax.local_devices(backend="cpu")[0]
KERNELS = {"half": kernels.half, "packed": kernels.packed, "packed-half": kernels.packed, "streamed": kernels.logistic}
KINDS = ("int8", "bfloat16", "packed", "packed-int8", "packed-bfloat16", "logistic")
DTYPES = ("float32", "float64")
ONE_EACH = list(zip(KINDS, itertools.cycle(DTYPES)))
"""Every kind, in one of the types: for what the type has no part in."""


@pytest.fixture(autouse=True)
def several_pieces(monkeypatch):
    """Pieces of which a game of 150 actions has several, the last not whole: tiles of 80, more than a block has."""
    monkeypatch.setattr(packed, "_SIDE", 80)
    monkeypatch.setattr(kernels, "_SIDE", 80)
    packed.margins_product.clear_cache()
    yield
    packed.margins_product.clear_cache()


def made(name, rng, n):
    """Margins, and their entries in float64."""
    if name == "logistic":
        left, right = rng.normal(size=(2, n, 5))
        return StreamedMargins(Logistic(left, right)), np.tanh((left @ right.T - right @ left.T) / 2) / 2
    noise = np.triu(rng.uniform(-0.5, 0.5, (n, n)), 1)
    votes = np.triu(rng.integers(-100, 101, (n, n)) / 200, 1)
    kind = HalfMargins if "packed" not in name else PackedMargins if name == "packed" else PackedHalfMargins
    matrix = votes if "int8" in name else noise
    margins = kind.filled(n, [lambda rows, columns: matrix[rows, columns]], np.float64)
    return margins, margins.to_dense()


def by_kernel(margins, policies, dtype):
    """A·policies `[l, n]` by the interpreted kernel."""
    with Precision(dtype).scope():
        placed = margins.place(CPU, np.dtype(dtype))
        given = jnp.asarray(policies, dtype)
        found = jax.jit(partial(KERNELS[margins.storage], interpret=True))(stored(placed), given)
        assert found.dtype == dtype
        return np.asarray(getattr(placed, "scale", 1) * found)


def stored(placed):
    if placed.storage == "streamed":
        return placed.formula.left, placed.formula.right
    return placed.values if placed.storage == "half" else placed.tiles


def policies(rng, count, n):
    found = rng.dirichlet(np.ones(n), size=count)
    found[:, 1::5] = 0
    found[:, 2::5] = 1e-30
    return found


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize(("count", "n"), [(1, 150), (3, 64), (70, 65)])
def test_a_product_is_that_of_the_entries(name, dtype, count, n, rng):
    margins, entries = made(name, rng, n)
    given = policies(rng, count, n).astype(dtype)
    error = np.abs(by_kernel(margins, given, dtype) - given.astype(np.float64) @ entries.T)
    # TF32 or bfloat16 in the place of float32 would be off by thousands of units of rounding. Formulas are off by that
    # of logits of size 10 too.
    units = 40 if name == "logistic" else 4
    assert np.all(error <= units * np.finfo(dtype).eps * (given @ np.abs(entries.T) + 1e-30))


@pytest.mark.parametrize(("name", "dtype"), ONE_EACH)
def test_a_product_is_skew_symmetric_to_the_bit(name, dtype, rng):
    margins, _ = made(name, rng, 90)
    columns = by_kernel(margins, np.eye(90), dtype)
    np.testing.assert_array_equal(columns, -columns.T)
    some = [3, 70, 89]
    alone = np.concatenate([by_kernel(margins, np.eye(90)[[j]], dtype) for j in some])
    if name != "logistic":
        np.testing.assert_array_equal(alone, columns[some])
    np.testing.assert_array_equal(alone[:, some], -alone[:, some].T)


@pytest.mark.parametrize("name", KINDS)
def test_runs_contexts_and_games_share_what_is_stored(name, rng):
    parts = [[made(name, rng, 90) for _ in range(2)] for _ in range(3)]
    entries = np.array([[matrix for _, matrix in row] for row in parts])
    games = stack([stack([margins for margins, _ in row]) for row in parts])
    given = rng.dirichlet(np.ones(90), size=(3, 4, 2))
    kernel = partial(KERNELS[games.storage], interpret=True)

    def of_one(kept, policy):
        return sharing(kernel, kernel, lambda *_: True)(stored(kept), policy[None])[0] * getattr(kept, "scale", 1)

    with Precision().scope():
        placed = games.place(CPU, np.float64)
        of_contexts = jax.vmap(of_one)
        of_runs = jax.vmap(jax.vmap(of_contexts, in_axes=(None, 0)))
        found = jax.jit(of_runs)(placed, jnp.asarray(given))
        traced = jax.make_jaxpr(of_runs)(placed, jnp.asarray(given))
    np.testing.assert_allclose(found, np.einsum("gxij,grxj->grxi", entries, given), atol=2e-15)
    # Runs are lanes of a block: grids are over games, contexts and pieces.
    first = next(grid for grid in grids(traced.jaxpr))
    assert sorted(first[:2]) == [2, 3]
    assert first[-1] == 1


def grids(jaxpr):
    for equation in jaxpr.eqns:
        if equation.primitive.name == "pallas_call":
            yield equation.params["grid_mapping"].grid
        for parameter in jax.tree.leaves(equation.params, is_leaf=lambda part: hasattr(part, "eqns")):
            inner = getattr(parameter, "jaxpr", parameter)
            if hasattr(inner, "eqns"):
                yield from grids(inner)


def program(margins, dtype, lanes, platform, place=CPU):
    """The text of a query of some runs, made for a platform that need not be here."""
    ask = jax.vmap(lambda kept, policy: kept.matvec(policy), in_axes=(None, 0))
    with Precision(dtype).scope():
        given = jax.ShapeDtypeStruct((lanes, margins.shape[-1]), dtype)
        kept = margins if place is None else margins.place(place, np.dtype(dtype))
        return jax.jit(ask).trace(kept, given).lower(lowering_platforms=(platform,)).as_text()


@pytest.mark.parametrize(("name", "dtype"), ONE_EACH)
def test_programs_for_gpus_have_the_kernel_and_others_do_not(name, dtype, rng):
    margins, _ = made(name, rng, 90)
    for lanes in (1, 64):
        assert "gpu.triton" in program(margins, dtype, lanes, "cuda")
    for platform in ("cpu", "rocm"):
        assert "gpu.triton" not in program(margins, dtype, 1, platform)


def test_what_a_kernel_cannot_do_is_left_to_xla(rng):
    def half_of(n):
        return HalfMargins(jax.ShapeDtypeStruct((n, n), np.int8), jax.ShapeDtypeStruct((), np.float32))

    assert [
        ("gpu.triton" in program(half_of(n), "float32", 1, "cuda", place=None)) for n in (46_000, 47_000, 66_000)
    ] == [
        True,
        False,
        True,
    ]
    blotto = StreamedMargins(Blotto(rng.multinomial(9, np.full(4, 0.25), size=90).astype(np.int16), np.int32(2)))
    wide = StreamedMargins(Logistic(*rng.normal(size=(2, 90, 65))))
    for margins in (blotto, wide):
        assert "gpu.triton" not in program(margins, "float32", 1, "cuda")


def test_names_stay_those_of_the_storage():
    assert {kind.storage for kind in (HalfMargins, PackedMargins, PackedHalfMargins, StreamedMargins)} == set(KERNELS)
    assert half.margins_product.__name__ == "margins_product"
