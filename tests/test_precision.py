import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nashgames.core.precision import Precision
from nashgames.errors import NashGamesError


def settings_of_jax() -> dict:
    """Every setting, and those that a `with` block changes for this thread."""
    return dict(jax.config.values) | {
        "x64 now": jax.config.jax_enable_x64,
        "device now": jax.config.jax_default_device,
        "products now": jax.config.jax_default_matmul_precision,
        "dtype of an array": str(jnp.ones(1).dtype),
    }


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_scope_sets_dtype_device_and_products_and_leaves_nothing_behind(dtype):
    before = settings_of_jax()
    assert before["dtype of an array"] == "float32"
    precision = Precision(dtype)
    with precision.scope():
        assert jnp.ones(1).dtype == precision.numpy == np.dtype(dtype)
        assert jnp.asarray(np.ones(1)).dtype == dtype
        assert jax.config.jax_default_matmul_precision == "highest"
        (device,) = jnp.ones(1).devices()
        assert device == precision.jax_device()
        assert device.platform == "cpu"
    assert settings_of_jax() == before


def test_an_error_inside_a_scope_leaves_nothing_behind():
    before = settings_of_jax()
    with pytest.raises(ZeroDivisionError), Precision("float64").scope():
        raise ZeroDivisionError
    assert settings_of_jax() == before


def test_scopes_nest():
    with Precision("float64").scope():
        with Precision("float32").scope():
            assert jnp.ones(1).dtype == np.float32
        assert jnp.ones(1).dtype == np.float64


def test_a_device_that_is_not_there_is_refused_in_a_sentence():
    with pytest.raises(NashGamesError, match=r"device is 'gpu', but JAX sees no such device here; accepted: cpu"):
        Precision("float64", "gpu").jax_device()
    with pytest.raises(NashGamesError, match="device is 'gpu'"), Precision("float64", "gpu").scope():
        pass


def test_the_manifest_is_told_the_device_and_the_precision_of_products():
    described = Precision().description()
    assert described == {"device": jax.local_devices(backend="cpu")[0].device_kind, "matmul_precision": "highest"}
