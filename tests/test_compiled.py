"""Functions that Numba compiles for CPUs give the numbers of float64 NumPy, and are called where that pays."""

import importlib.util
import sys
import threading
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nashgames.core.margins import HalfMargins, PackedHalfMargins, PackedMargins, half, packed, platforms, stack
from nashgames.core.precision import Precision
from nashgames.errors import NashGamesError

CPU = jax.local_devices(backend="cpu")[0]
N = 150
# Each pair of types is a function that takes two seconds to be compiled; both layouts share it.
CASES = (("int8", "float32"), ("packed-int8", "float32"), ("bfloat16", "float64"), ("packed-bfloat16", "float64"),
         ("packed", "float64"))  # fmt: skip


@pytest.fixture
def compiled(monkeypatch):
    """The module, for games of any size; tiles of 80, and products in three parts, whose borders are within tiles."""
    pytest.importorskip("numba")
    from nashgames.core.margins import compiled as module

    monkeypatch.setattr(packed, "_SIDE", 80)
    monkeypatch.setattr(module, "_LEAST", N**2 // 3)
    monkeypatch.setattr(platforms, "_FEWEST", 1)
    clear()
    yield module
    clear()


@pytest.fixture
def unasked():
    """`_compiled` asked again, and by others after the test."""
    platforms._compiled.cache_clear()
    yield
    platforms._compiled.cache_clear()


def clear():
    for storage in (half, packed):
        storage.margins_product.clear_cache()


def made(name, rng, n=N):
    """Margins, and their entries in float64."""
    values = rng.integers(-100, 101, (n, n)) / 200 if "int8" in name else rng.uniform(-0.5, 0.5, (n, n))
    kind = HalfMargins if "packed" not in name else PackedMargins if name == "packed" else PackedHalfMargins
    margins = kind.filled(n, [lambda rows, columns: np.triu(values, 1)[rows, columns]], np.float64)
    return margins, margins.to_dense()


def policies(rng, shape):
    found = rng.dirichlet(np.ones(N), size=shape)
    found[..., 1::5] = 0
    return found


def calls(program):
    return program.as_text().count("nashgames_skew_product")


@pytest.mark.parametrize(("name", "dtype"), CASES)
def test_a_product_is_that_of_the_entries_for_one_policy_and_for_several(name, dtype, rng, compiled):
    margins, entries = made(name, rng)
    with Precision(dtype).scope():
        placed = margins.place(CPU, np.dtype(dtype))
        given = jnp.asarray(policies(rng, 3), dtype)
        expected = np.asarray(given, np.float64) @ entries.T

        @jax.jit
        def query(kept, policy):
            return jax.lax.fori_loop(0, 2, lambda _, found: kept.matvec(policy) + 0 * found, policy)

        assert calls(query.lower(placed, given[0])) == 3
        alone = np.stack([query(placed, policy) for policy in given])
        together = jax.jit(jax.vmap(query, (None, 0)))(placed, given)
    assert alone.dtype == dtype
    np.testing.assert_allclose(alone, expected, atol=2e-7 if dtype == "float32" else 2e-16)
    np.testing.assert_array_equal(together, alone)


@pytest.mark.parametrize(("name", "dtype"), CASES[2:4])
def test_runs_contexts_and_games_have_products_of_their_own(name, dtype, rng, compiled):
    parts = [[made(name, rng) for _ in range(2)] for _ in range(3)]
    entries = np.array([[matrix for _, matrix in row] for row in parts])
    games = stack([stack([margins for margins, _ in row]) for row in parts])
    given = policies(rng, (3, 4, 2))
    with Precision(dtype).scope():
        query = jax.jit(jax.vmap(jax.vmap(lambda kept, policy: kept.matvec(policy), in_axes=(None, 0))))
        placed = games.place(CPU, np.dtype(dtype))
        assert calls(query.lower(placed, given)) == 3
        found = query(placed, jnp.asarray(given))
    np.testing.assert_allclose(found, np.einsum("gxij,grxj->grxi", entries, given), atol=2e-16)


def test_threads_ask_at_once_and_get_the_same_bits(rng, compiled):
    margins, _ = made("packed", rng)
    found = {}
    with Precision().scope():
        placed = margins.place(CPU, np.float64)
        query, given = jax.jit(placed.matvec), jnp.asarray(policies(rng, 8))
        expected = [np.asarray(query(policy)) for policy in given]

        def ask(k):
            with Precision().scope():
                found[k] = np.asarray(query(given[k]))

        threads = [threading.Thread(target=ask, args=(k,)) for k in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    np.testing.assert_array_equal([found[k] for k in range(8)], expected)


def lowered(lanes, platform="cpu", n=N):
    """A query of some runs of a game in tiles."""
    count, side = packed.grid(n)
    tiles = jax.ShapeDtypeStruct((count * (count + 1) // 2, side, side), np.float32)
    margins = PackedMargins(tiles, jax.ShapeDtypeStruct((), np.float32), n)
    ask = jax.jit(jax.vmap(lambda kept, policy: kept.matvec(policy), in_axes=(None, 0)))
    return ask.trace(margins, jax.ShapeDtypeStruct((lanes, n), np.float32)).lower(lowering_platforms=(platform,))


def test_large_games_and_few_runs_have_them(monkeypatch, compiled):
    monkeypatch.setattr(compiled, "_registered", "nashgames_skew_product_{}_{}".format)
    found = {key: calls(lowered(*key)) for key in ((1, "cpu"), (8, "cpu"), (9, "cpu"), (1, "cuda"))}
    assert found == {(1, "cpu"): 3, (8, "cpu"): 3, (9, "cpu"): 0, (1, "cuda"): 0}
    for name, value in (("_FEWEST", N + 1), ("_platform", lambda: "gpu")):
        with monkeypatch.context() as patch:
            patch.setattr(platforms, name, value)
            clear()
            assert calls(lowered(1)) == 0


def test_without_numba_products_are_xla_s_own(monkeypatch, unasked):
    monkeypatch.setattr(platforms, "_FEWEST", 1)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    clear()
    assert calls(lowered(1)) == 0
    clear()


def test_a_numba_that_does_not_work_is_refused(monkeypatch, unasked):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: object())
    monkeypatch.setitem(sys.modules, "nashgames.core.margins.compiled", None)
    monkeypatch.delattr(sys.modules["nashgames.core.margins"], "compiled", raising=False)
    with pytest.raises(NashGamesError, match="numba is installed and cannot be imported"):
        platforms._compiled()


def test_a_jaxlib_that_cannot_call_them_is_refused(monkeypatch, compiled):
    def refuse(*_, **__):
        raise jax.errors.JaxRuntimeError("version 0.3 is incompatible with 1.0")

    monkeypatch.setattr(compiled, "_handler", lambda *_: types.SimpleNamespace(ctypes=None))
    monkeypatch.setattr(compiled, "_kept", {})
    monkeypatch.setattr(jax.ffi, "pycapsule", lambda _: None)
    monkeypatch.setattr(jax.ffi, "register_ffi_target", refuse)
    with pytest.raises(NashGamesError, match=r"incompatible with 1\.0.*uninstall numba"):
        compiled._registered(np.dtype(np.int8), np.dtype(np.float32))
