import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nashgames.core import simplex
from nashgames.core.precision import Precision
from tests.games import log_softmax, softmax


def kl_in_extended_precision(log_p: np.ndarray, log_q: np.ndarray) -> float:
    """Σ p log(p/q) − p + q: the last two add up to nothing but for the rounding of the normalisation."""
    log_p, log_q = log_p.astype(np.longdouble), log_q.astype(np.longdouble)
    return float(np.sum(np.exp(log_p) * (log_p - log_q) - np.exp(log_p) + np.exp(log_q)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("distance", [1e-6, 1e-4, 1e-2, 0.09, 0.1, 0.11, 1.0, 10.0, 300.0, 3000.0])
def test_kl_equals_the_textbook_form_in_extended_precision(rng, dtype, distance):
    log_p = log_softmax(rng.normal(size=50)).astype(dtype)
    log_q = log_softmax(log_p + distance * rng.normal(size=50)).astype(dtype)
    with Precision(dtype).scope():
        found = float(simplex.kl(jnp.asarray(log_p), jnp.asarray(log_q)))
    expected = kl_in_extended_precision(log_p, log_q)
    # The extended form cancels to 1e-19.
    assert found == pytest.approx(expected, rel=100 * float(np.finfo(dtype).eps), abs=1e-18)


@given(st.integers(0, 10_000), st.floats(-14, 0), st.sampled_from(["float32", "float64"]))
@settings(max_examples=60, deadline=None)
def test_kl_is_half_the_squared_distance_nearby_and_never_negative(seed, exponent, dtype):
    rng = np.random.default_rng(seed)
    log_p = log_softmax(3 * rng.normal(size=30)).astype(dtype)
    log_q = log_softmax(log_p + 10.0**exponent * rng.normal(size=30)).astype(dtype)
    with Precision(dtype).scope():
        found = float(simplex.kl(jnp.asarray(log_p), jnp.asarray(log_q)))
    r = log_p.astype(float) - log_q.astype(float)
    assert found >= 0
    quadratic = float(np.sum(np.exp(log_p.astype(float)) * r**2) / 2)
    assert found == pytest.approx(quadratic, rel=3 * np.abs(r).max() + 1e-5, abs=0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_kl_is_finite_where_one_side_underflows(dtype):
    log_p, log_q = np.array([0.0, -2000.0], dtype), np.array([-2000.0, 0.0], dtype)
    with Precision(dtype).scope():
        assert float(simplex.kl(jnp.asarray(log_p), jnp.asarray(log_q))) == pytest.approx(2000.0, rel=1e-6)
        assert float(simplex.kl(jnp.asarray(log_p), jnp.asarray(log_p))) == 0.0


def test_prox_is_the_closed_form_in_probabilities(rng):
    pi, mu, q, beta, eta = softmax(rng.normal(size=7)), softmax(rng.normal(size=7)), rng.normal(size=7), 0.3, 0.7
    unnormalised = (pi * mu**eta * np.exp(eta / beta * q)) ** (1 / (1 + eta))
    with Precision().scope():
        found = np.exp(simplex.prox(jnp.log(pi), jnp.log(mu), jnp.asarray(q), beta, eta))
    np.testing.assert_allclose(found, unnormalised / unnormalised.sum(), rtol=1e-14)


def test_prox_maximises_its_objective(rng):
    pi, mu, q, beta, eta = softmax(rng.normal(size=5)), softmax(rng.normal(size=5)), rng.normal(size=5), 0.3, 0.7

    def objective(p: np.ndarray) -> float:
        return float(q @ p - beta * p @ np.log(p / mu) - beta / eta * p @ np.log(p / pi))

    with Precision().scope():
        best = np.exp(np.asarray(simplex.prox(jnp.log(pi), jnp.log(mu), jnp.asarray(q), beta, eta)))
    others = [softmax(np.log(best) + 0.1 * rng.normal(size=5)) for _ in range(50)]
    assert all(objective(other) < objective(best) for other in others)


def test_fisher_is_the_matrix_product(rng):
    pi, direction = softmax(rng.normal(size=6)), rng.normal(size=6)
    with Precision().scope():
        found = simplex.fisher(jnp.log(pi), jnp.asarray(direction))
    np.testing.assert_allclose(found, (np.diag(pi) - np.outer(pi, pi)) @ direction, atol=1e-16)


def test_span_ignores_normalisation_and_entropy_is_that_of_numpy(rng):
    logits = rng.normal(size=9)
    p = softmax(logits)
    with Precision().scope():
        spread = float(simplex.span(jnp.asarray(logits)))
        shifted = float(simplex.span(jnp.asarray(logits + 5)))
        found = float(simplex.entropy(jnp.log(p)))
    assert spread == pytest.approx(logits.max() - logits.min())
    assert shifted == pytest.approx(spread)
    assert found == pytest.approx(-np.sum(p * np.log(p)))


ZERO_LAST, OTHER, FULL = np.array([0.5, 0.5, 0.0]), np.array([0.25, 0.75, 0.0]), np.array([0.2, 0.3, 0.5])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_exact_zeros_are_probabilities_like_others(dtype):
    """0 log 0 = 0; KL is infinite where q never plays what p does, and the span where only one of two plays it."""
    with Precision(dtype).scope(), np.errstate(divide="ignore"):
        zero_last, other, full = (jnp.asarray(np.log(p), dtype) for p in (ZERO_LAST, OTHER, FULL))
        assert float(simplex.kl(zero_last, full)) == pytest.approx(0.5 * np.log(2.5) + 0.5 * np.log(5 / 3), rel=1e-6)
        assert float(simplex.kl(zero_last, other)) == pytest.approx(0.5 * np.log(2) + 0.5 * np.log(2 / 3), rel=1e-5)
        assert float(simplex.kl(zero_last, zero_last)) == 0
        assert float(simplex.kl(full, zero_last)) == np.inf
        assert float(simplex.entropy(zero_last)) == pytest.approx(np.log(2), rel=1e-6)
        assert float(simplex.span(simplex.log_ratio(zero_last, full))) == np.inf
        assert float(simplex.span(simplex.log_ratio(full, zero_last))) == np.inf
        spread = float(simplex.span(simplex.log_ratio(zero_last, other)))
    assert spread == pytest.approx(np.log(3), rel=1e-6)


def test_what_is_not_a_number_is_no_policy_and_is_not_hidden():
    with Precision().scope():
        assert simplex.is_policy(jnp.asarray([-np.inf, 0.0]))
        for wrong in (np.nan, np.inf):
            assert not simplex.is_policy(jnp.asarray([wrong, 0.0]))
        unknown, known = jnp.asarray([np.nan, np.nan]), jnp.asarray([-np.inf, 0.0])
        found = [
            simplex.kl(unknown, known),
            simplex.kl(known, unknown),
            simplex.span(simplex.log_ratio(known, unknown)),
        ]
        assert np.isnan(found).all()


@pytest.mark.parametrize(("runs", "n"), [(1, 2), (45, 99)])
def test_a_maximum_that_is_not_known_is_not_a_number_in_programs_of_any_size(runs, n):
    """XLA compiles the maximum over many numbers otherwise than over few, and loses NaN there."""
    values = np.zeros((runs, n))
    values[0, n // 2], values[-1] = np.nan, np.nan
    with Precision().scope():
        for function in (simplex.largest, simplex.span):
            found = np.asarray(jax.jit(jax.vmap(function))(values))
            np.testing.assert_array_equal(np.isnan(found), np.isnan(values).any(axis=1))
