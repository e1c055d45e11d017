"""Every identity and inequality of theory §2, as properties of random games."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nashgames.core import metrics
from nashgames.core.game import make_game
from nashgames.core.metrics import METRICS, Seen
from nashgames.core.precision import Precision
from nashgames.exact.referee import equilibrium
from tests.games import log_softmax, random_game, random_margins, softmax, value_of_deviation

ACTIONS = st.sampled_from([2, 7, 200])
BETAS = st.floats(-3, 0).map(lambda exponent: 10.0**exponent)
SEEDS = st.integers(0, 10_000)


@jax.jit
def _measure(game, log_policy, log_equilibrium):
    """What is measured, and the best response: one program."""
    advantage = game.advantage(log_policy)
    seen = Seen(game, log_policy, advantage, log_equilibrium)
    return metrics.measure(seen), metrics.best_response(game, advantage)[0]


def seen_by(game, log_policy, log_equilibrium=None, dtype="float64"):
    log_equilibrium = log_policy if log_equilibrium is None else log_equilibrium
    with Precision(dtype).scope():
        arrays = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), (game, log_policy, log_equilibrium))
        return jax.tree.map(np.asarray, _measure(*arrays))


def measure(game, log_policy, log_equilibrium=None, dtype="float64") -> dict[str, float]:
    return {name: float(value) for name, value in seen_by(game, log_policy, log_equilibrium, dtype)[0].items()}


def best_response(game, log_policy) -> np.ndarray:
    return seen_by(game, log_policy)[1]


@given(SEEDS, ACTIONS, BETAS)
@settings(max_examples=60, deadline=None)
def test_suboptimality_is_the_value_of_the_best_deviation(seed, n, beta):
    rng = np.random.default_rng(seed)
    game = random_game(rng, n, beta)
    log_policy = log_softmax(2 * rng.normal(size=n))
    found = measure(game, log_policy)
    policy = np.exp(log_policy)
    response = np.exp(best_response(game, log_policy))
    assert found["suboptimality"] == pytest.approx(value_of_deviation(game, response, policy), rel=1e-9, abs=1e-12)
    for _ in range(10):
        other = softmax(rng.normal(size=n) + rng.choice([0, 1]) * np.log(response + 1e-300))
        assert value_of_deviation(game, other, policy) <= found["suboptimality"] + 1e-12
    # The textbook form, with the cancellation that the library avoids.
    q = game.margins.values @ policy
    shift = (q / beta).max()
    free = beta * (np.log(np.sum(np.exp(game.log_reference + q / beta - shift))) + shift)
    textbook = free + beta * np.sum(policy * (log_policy - game.log_reference))
    assert found["suboptimality"] == pytest.approx(textbook, rel=1e-9, abs=1e-12)
    assert found["duality_gap"] == 2 * found["suboptimality"]
    assert found["exploitability"] == pytest.approx(max((game.margins.values @ policy).max(), 0), abs=1e-13)


@given(SEEDS, ACTIONS, BETAS, st.floats(-8, 1))
@settings(max_examples=60, deadline=None)
def test_suboptimality_lies_between_the_two_multiples_of_the_kl_to_the_equilibrium(seed, n, beta, exponent):
    rng = np.random.default_rng(seed)
    game = random_game(rng, n, beta)
    found = equilibrium(game)
    assert found.converged
    log_policy = log_softmax(found.log_policy + 10.0**exponent * rng.normal(size=n))
    near = measure(game, log_policy, found.log_policy)
    reverse = measure(game, found.log_policy, log_policy)["kl_to_equilibrium"]  # KL(π‖π*)
    rounding = 1e-14 / beta
    low, high = np.sqrt(beta * reverse), np.sqrt((beta + 1 / (4 * beta)) * reverse)
    assert low * (1 - 1e-9) <= np.sqrt(near["suboptimality"]) + rounding
    assert np.sqrt(near["suboptimality"]) <= high * (1 + 1e-9) + rounding
    assert measure(game, found.log_policy)["kl_to_reference"] <= 1 / (2 * beta) * (1 + 1e-12)
    assert measure(game, found.log_policy, found.log_policy)["suboptimality"] <= 1e-25


@given(SEEDS, ACTIONS, BETAS, st.floats(-4, 1))
@settings(max_examples=40, deadline=None)
def test_float32_follows_float64_and_is_never_negative(seed, n, beta, exponent):
    rng = np.random.default_rng(seed)
    game = random_game(rng, n, beta)
    game = game.replace(
        margins=type(game.margins)(game.margins.values.astype(np.float32)),
        log_reference=game.log_reference.astype(np.float32),
    )
    star = equilibrium(game).log_policy.astype(np.float32)
    log_policy = log_softmax(star.astype(float) + 10.0**exponent * rng.normal(size=n)).astype(np.float32)
    single, double = (measure(game, log_policy, star, dtype) for dtype in ("float32", "float64"))
    # q/β carries the rounding of the product, eps/β in log-probabilities.
    noise = 1e-6 * (1 + 1 / beta)
    for name, unit in (("suboptimality", beta), ("kl_to_equilibrium", 1)):
        one, two = single[name] / unit, double[name] / unit
        assert one >= 0
        assert np.sqrt(one) == pytest.approx(np.sqrt(two), rel=1e-3, abs=noise)


def test_contexts_are_averaged_by_weight_and_the_span_is_their_maximum(rng):
    margins = np.stack([random_margins(rng, 7) for _ in range(3)])
    references = np.stack([log_softmax(rng.normal(size=7)) for _ in range(3)])
    weights = np.array([0.5, 0.3, 0.2])
    game = make_game(margins, beta=0.2, log_reference=references, weights=weights)
    star = equilibrium(game).log_policy
    log_policy = np.stack([log_softmax(rng.normal(size=7)) for _ in range(3)])
    together = measure(game, log_policy, star)
    apart = [
        measure(make_game(margins[x], beta=0.2, log_reference=references[x]), log_policy[x], star[x]) for x in range(3)
    ]
    for name in METRICS:
        values = np.array([one[name] for one in apart])
        expected = values.max() if name == "span_to_equilibrium" else weights @ values
        assert together[name] == pytest.approx(expected, rel=1e-12), name


def test_what_is_not_known_is_not_a_number(rng):
    game = random_game(rng, 7, 0.1)
    found = measure(game, log_softmax(rng.normal(size=7)), np.full(7, np.nan))
    assert np.isnan([found["kl_to_equilibrium"], found["span_to_equilibrium"]]).all()
    assert np.isfinite([value for name, value in found.items() if not name.endswith("equilibrium")]).all()


def test_distances_to_what_is_not_known_stay_empty_in_a_batch_of_any_size(rng):
    """45 runs of 99 actions are more numbers than XLA reduces one by one."""
    game = random_game(rng, 99, 0.1)
    policies, unknown = log_softmax(rng.normal(size=(45, 99))), np.full((45, 99), np.nan)
    with Precision().scope():
        found, _ = jax.jit(jax.vmap(_measure.__wrapped__, in_axes=(None, 0, 0)))(game, policies, unknown)
        lost, _ = jax.jit(jax.vmap(_measure.__wrapped__, in_axes=(None, 0, 0)))(game, unknown, policies)
    for name in metrics.OF_EQUILIBRIUM:
        assert np.isnan(found[name]).all(), name
    assert np.isnan(lost["exploitability"]).all()


@given(SEEDS, st.sampled_from([3, 7]), BETAS)
@settings(max_examples=20, deadline=None)
def test_a_policy_with_zeros_has_a_finite_suboptimality_and_infinite_distances(seed, n, beta):
    rng = np.random.default_rng(seed)
    game = random_game(rng, n, beta)
    policy = np.where(rng.permutation(n) < n // 2, 0, rng.random(n))
    policy /= policy.sum()
    with np.errstate(divide="ignore"):
        found = measure(game, np.log(policy), equilibrium(game).log_policy)
    held, mu = policy > 0, np.exp(game.log_reference)
    to_reference = np.sum(policy[held] * np.log(policy[held] / mu[held]))
    q = game.margins.values @ policy
    free = q.max() + beta * np.log(np.sum(mu * np.exp((q - q.max()) / beta)))
    assert found["suboptimality"] == pytest.approx(free + beta * to_reference, rel=1e-9, abs=1e-12)
    assert found["kl_to_reference"] == pytest.approx(to_reference, rel=1e-9)
    assert found["entropy"] == pytest.approx(-np.sum(policy[held] * np.log(policy[held])), rel=1e-9)
    assert found["kl_to_equilibrium"] == found["span_to_equilibrium"] == np.inf
    assert np.isfinite(found["reverse_kl_to_equilibrium"])
