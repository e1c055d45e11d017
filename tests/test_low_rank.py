"""Margins of low rank do what dense ones of the same entries do."""

import jax.numpy as jnp
import numpy as np
import pytest

import nashgames as ng
from nashgames.core.margins import DenseMargins, LowRankMargins, Margins, stack
from nashgames.core.precision import Precision
from nashgames.errors import NashGamesError


@pytest.fixture
def factors(rng):
    """L and R `[2, 9, 3]`: two contexts whose entries stay within ½."""
    return rng.uniform(-0.25, 0.25, size=(2, 2, 9, 3))


def entries(left, right):
    """A `[n, n]` entry by entry."""
    n = range(len(left))
    return np.array([[sum(left[i] * right[j]) - sum(right[i] * left[j]) for j in n] for i in n])


def test_it_has_the_protocol_and_the_shape_of_what_it_stands_for(factors):
    several = LowRankMargins(*factors)
    assert isinstance(several, Margins)
    assert (several.shape, several.dtype, several.nbytes) == ((2, 9, 9), np.float64, 2 * 2 * 9 * 3 * 8)
    assert several.of_context(1).shape == (9, 9)


def test_products_and_single_entries_are_those_of_its_matrix(factors, rng):
    left, right = factors
    policies = rng.dirichlet(np.ones(9), size=2)
    rows, columns = rng.integers(9, size=(2, 2, 5))
    with Precision().scope():
        placed = LowRankMargins(jnp.asarray(left), jnp.asarray(right))
        products, found = np.asarray(placed.matvec(policies)), np.asarray(placed.entries(rows, columns))
        alone = np.asarray(placed.of_context(1).entries(rows[1], columns[1]))
    for x in range(2):
        by_hand = entries(left[x], right[x])
        np.testing.assert_allclose(products[x], by_hand @ policies[x], rtol=1e-12, atol=1e-16)
        np.testing.assert_allclose(found[x], by_hand[rows[x], columns[x]], rtol=1e-12, atol=1e-16)
    np.testing.assert_array_equal(alone, found[1])


def test_the_host_reads_it_as_it_reads_an_array(factors):
    margins = LowRankMargins(*factors).of_context(0)
    by_hand = entries(*factors[:, 0])
    for height in (4, None):
        np.testing.assert_allclose(np.concatenate([rows for _, rows in margins.blocks(height)]), by_hand, atol=1e-15)
    actions = np.array([7, 0, 3])
    np.testing.assert_allclose(margins.submatrix(actions), by_hand[np.ix_(actions, actions)], atol=1e-15)
    np.testing.assert_allclose(margins.lookup(actions, actions[::-1]), by_hand[actions, actions[::-1]], atol=1e-15)
    np.testing.assert_allclose(LowRankMargins(*factors).to_dense()[1], entries(*factors[:, 1]), atol=1e-15)
    with pytest.raises(ValueError, match="several contexts"):
        next(LowRankMargins(*factors).blocks())


def test_games_of_one_shape_are_stacked(factors):
    one, other = (LowRankMargins(*factors).of_context(x) for x in range(2))
    together = stack([one, other])
    assert together.shape == (2, 9, 9)
    np.testing.assert_array_equal(together.of_context(1).to_dense(), other.to_dense())


def test_a_run_on_it_is_nash_mp_on_its_matrix(factors):
    thin, beta = LowRankMargins(*factors), 0.1
    found = ng.solve(ng.make_game(thin), ["nash-mp"], beta=beta, queries=100, records=5).curves

    def prox(policy, opponent):
        """The step η = 2β from a policy, for a uniform reference: π^{1/(1+η)} e^{2Aπ'/(1+η)}."""
        products = np.einsum("xij,xj->xi", thin.to_dense(), opponent)
        weights = policy ** (1 / (1 + 2 * beta)) * np.exp(2 * products / (1 + 2 * beta))
        return weights / weights.sum(axis=1, keepdims=True)

    policy, far, gaps = np.full((2, 9), 1 / 9), [], []
    for _ in range(51):
        advantages = np.einsum("xij,xj->xi", thin.to_dense(), policy)
        far.append(np.sum(policy * np.log(9 * policy), axis=1).mean())
        gaps.append(beta * np.log(np.mean(np.exp(advantages / beta), axis=1)).mean() + beta * far[-1])
        policy = prox(policy, prox(policy, policy))
    steps = found["step"].to_numpy()
    np.testing.assert_allclose(found["kl_to_reference"], np.array(far)[steps], rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(found["suboptimality"], np.array(gaps)[steps], rtol=1e-6, atol=1e-13)


def test_a_run_of_duels_on_it_is_the_run_on_its_matrix(factors):
    thin = LowRankMargins(*factors)
    games = [ng.make_game(margins) for margins in (thin, DenseMargins(thin.to_dense()))]
    ones, others = (
        ng.solve(game, ["nash-mp"], beta=0.1, queries=100, records=5, feedback="duels[batch=4]").curves
        for game in games
    )
    np.testing.assert_allclose(ones["kl_to_reference"], others["kl_to_reference"], rtol=1e-9)
    np.testing.assert_allclose(ones["suboptimality"], others["suboptimality"], rtol=1e-6, atol=1e-13)


def test_what_is_no_game_is_refused(factors):
    left, right = factors
    with pytest.raises(NashGamesError, match="entry of size"):
        ng.make_game(LowRankMargins(20 * left, right))
    with pytest.raises(NashGamesError, match="two of one shape"):
        ng.make_game(LowRankMargins(left, right[..., :2]))


def test_a_matrix_too_large_to_be_written_down_is_refused():
    wide = LowRankMargins(*(np.broadcast_to(0.0, (100_000, 2)) for _ in range(2)))
    with pytest.raises(NashGamesError, match="100,000 actions are needed at once"):
        wide.to_dense()
