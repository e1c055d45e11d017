"""Strict JAX in every test: silent broadcasting and silent promotion are errors."""

import os

# Compiled programs of the user's cache would hide a change of compilation from the tests that count it.
os.environ.setdefault("NASHGAMES_CACHE", "off")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import numpy as np
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
