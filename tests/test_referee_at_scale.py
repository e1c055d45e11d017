"""The referee on storages that are no array, and on games too large for one."""

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest

from nashgames.core.game import make_game
from nashgames.core.margins import DenseMargins, LowRankMargins
from nashgames.exact import certificate, closest
from nashgames.exact.certificate import certify
from nashgames.exact.closest import nats_from_closest
from nashgames.exact.referee import doors, equilibrium, equilibrium_path, nearest, system
from nashgames.exact.referee.system import Matrix
from nashgames.exact.referee.thin import thin
from nashgames.games import families
from tests.games import log_softmax, random_margins


class Counted:
    """A storage with the protocol's methods alone, which counts its products and is never written down whole."""

    def __init__(self, values: np.ndarray) -> None:
        self._values = values
        self.passes = 0
        self.widest = 0

    shape = property(lambda self: self._values.shape)
    dtype = property(lambda self: self._values.dtype)
    nbytes = property(lambda self: self._values.nbytes)

    def of_context(self, context: int) -> "Counted":
        return self

    def blocks(self, height: int | None = None) -> Iterator[tuple[slice, np.ndarray]]:
        height = height or 64
        assert height < len(self._values)
        self.passes += 1
        for start in range(0, len(self._values), height):
            rows = slice(start, min(start + height, len(self._values)))
            yield rows, self._values[rows].copy()

    def submatrix(self, actions: np.ndarray) -> np.ndarray:
        self.widest = max(self.widest, len(actions))
        return self._values[np.ix_(actions, actions)]

    def lookup(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        assert rows.shape == columns.shape
        return self._values[rows, columns]

    matvec = entries = to_dense = check = stack = place = None


class Whole(Counted):
    """The same, with a product of its own: what goes through its blocks is no product."""

    def product(self, vectors: np.ndarray) -> np.ndarray:
        self.products = getattr(self, "products", 0) + (1 if vectors.ndim == 1 else vectors.shape[1])
        return self._values.astype(vectors.dtype) @ vectors


@pytest.fixture(autouse=True)
def as_if_too_large_to_be_written(monkeypatch):
    monkeypatch.setattr(doors, "_WRITTEN", 10)


def handicapped(n, live, rng):
    """Of n actions `live` are good and the others lose to them: margins `[n, n]`."""
    margins = random_margins(rng, n) * 0.5
    margins[live:, :live] = -0.3 + 0.1 * margins[live:, :live]
    margins[:live, live:] = -margins[live:, :live].T
    return margins


def low_rank(n, planes, rng, dtype=np.float64):
    u, v = rng.normal(size=(2, n, planes))
    scale = 0.5 / np.max(np.sum(u**2 + v**2, axis=1))
    return LowRankMargins((scale * u).astype(dtype), v.astype(dtype))


def on(margins, game):
    return game.replace(margins=margins)


@pytest.mark.parametrize("storage", [Counted, Whole])
@pytest.mark.parametrize("beta", [1.0, 0.05, 0.002, 0.0])
def test_a_storage_without_an_array_has_the_equilibrium_of_its_matrix(storage, beta, monkeypatch, rng):
    monkeypatch.setattr("nashgames.exact.referee.active._WHOLE", 100)
    margins = handicapped(400, 30, rng)
    game = make_game(margins, log_reference=log_softmax(rng.normal(size=400)))
    stored = storage(margins)
    found, expected = equilibrium(on(stored, game), beta), equilibrium(game, beta)
    assert found.converged
    np.testing.assert_allclose(np.exp(found.log_policy), np.exp(expected.log_policy), atol=1e-11)
    if beta == 0.002:
        assert stored.widest < 150


def test_margins_of_other_units_and_types_are_the_same_game(rng):
    margins = np.round(2**20 * handicapped(300, 20, rng)) * 2.0**-30
    game = make_game(margins)
    for dtype in (np.float32, np.float64):
        for beta in (1e-4, 0.0):
            found = equilibrium(on(Counted(margins.astype(dtype)), game), beta)
            assert found.converged
            np.testing.assert_allclose(found.policy, equilibrium(game, beta).policy, atol=1e-11)


@pytest.mark.parametrize("betas", [[0.3], [0.1, 0.01], [0.0]])
def test_products_with_the_whole_game_are_counted(betas, monkeypatch, rng):
    monkeypatch.setattr("nashgames.exact.referee.active._WHOLE", 100)
    stored = Whole(handicapped(300, 20, rng))
    *_, last = equilibrium_path(on(stored, make_game(random_margins(rng, 300))), betas)
    assert last.products == stored.products > 0
    assert f"{last.products:,} products" in repr(last)


def test_a_small_storage_that_computes_its_entries_does_so_once(monkeypatch, rng):
    monkeypatch.setattr(doors, "_WRITTEN", 300)
    stored = Counted(handicapped(300, 20, rng))
    found = equilibrium(on(stored, make_game(random_margins(rng, 300))), 0.05)
    assert found.products > 10
    assert stored.passes == 1


def test_the_nearest_equilibrium_is_found_on_a_storage(rng):
    margins = np.kron(random_margins(rng, 3), np.ones((40, 40)))
    game, log_policy = make_game(margins), log_softmax(rng.normal(size=120))
    nearby = [nearest(each, equilibrium(each, 0))(log_policy) for each in (on(Counted(margins), game), game)]
    np.testing.assert_allclose(*nearby, atol=1e-10)


@pytest.mark.parametrize("beta", [0.05, 0.01, 1e-4])
def test_a_game_of_low_rank_is_solved_in_the_span_of_its_columns(beta, rng):
    """Against the same game as an array, of which nothing is thin, and by its certificate."""
    margins = low_rank(1600, 2, rng)
    game = make_game(margins, log_reference=log_softmax(rng.normal(size=1600)))
    found = equilibrium(game, beta)
    assert found.converged
    assert found.products < 250
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(system, "_FACTORISED", 5000)
        expected = equilibrium(on(DenseMargins(margins.to_dense()), game), beta)
    np.testing.assert_allclose(found.log_policy, expected.log_policy, atol=1e-9)
    assert certify(game, found.log_policy, beta).suboptimality < 1e-18


def test_a_game_of_a_hundred_thousand_actions_has_its_equilibrium_and_certificate(rng):
    u, v = rng.normal(size=(2, 100_000, 1))
    uniform = np.full(100_000, -np.log(100_000))
    game = make_game(np.zeros((2, 2))).replace(margins=LowRankMargins(u / 100, v), log_reference=uniform)
    found = equilibrium(game, 0.01)
    assert found.converged
    # By hand: log π = c + (u_i s − v_i t)/(100 β), s and t the means of v and u, which are 0 to 2/√n.
    policy = found.policy
    s, t = v[:, 0] @ policy, u[:, 0] @ policy
    logits = u[:, 0] * s - v[:, 0] * t
    np.testing.assert_allclose(found.log_policy, log_softmax(logits), atol=1e-11)
    assert found.certificate.suboptimality < 1e-20


@pytest.mark.parametrize("storage", [lambda margins: margins, lambda margins: DenseMargins(margins.to_dense())])
def test_at_beta_0_a_game_of_low_rank_has_the_equilibrium_closest_to_the_reference(storage, rng):
    """Of all π > 0 with Lᵀπ = Rᵀπ = 0 the one least in KL: log π − log μ is in the span of L, R and 1."""
    margins = low_rank(1600, 2, rng)
    log_mu = log_softmax(rng.normal(size=1600))
    found = equilibrium(make_game(storage(margins), log_reference=log_mu), 0)
    assert found.converged
    span = np.column_stack([margins.left, margins.right, np.ones(1600)])
    tilt = found.log_policy - log_mu
    np.testing.assert_allclose(span @ np.linalg.lstsq(span, tilt)[0], tilt, atol=1e-9)
    np.testing.assert_allclose(span[:, :-1].T @ found.policy, 0, atol=1e-14)


def test_at_beta_0_a_range_that_falls_to_rounding_is_not_said_to_be_known(monkeypatch):
    monkeypatch.setattr(system, "_FACTORISED", 300)
    game = families.generate("disc", actions=400, seed=2, strength=0.3)
    assert not Matrix(game.margins).thin.apart
    found = equilibrium(game, 0)
    assert found.residual < 1e-11
    assert (found.error, found.converged) == (np.inf, False)


def test_a_small_margin_is_not_lost_beside_a_small_rank(rng):
    """Two actions that beat each other by 1e-14 of the others' margins are outside a span known by products."""
    margins = low_rank(1600, 1, rng).to_dense().copy()
    matrix = Matrix(margins)
    assert matrix.thin.basis.shape == (1600, 2)
    assert matrix.exactly_thin() is matrix.thin
    margins[:3] = margins[:, :3] = 0
    margins[:3, :3] = 1e-15 * np.array([[0, 1, -1], [-1, 0, 1], [1, -1, 0]])
    assert Matrix(margins).thin is not None
    assert Matrix(margins).exactly_thin() is None


@pytest.mark.parametrize(("rank", "columns"), [(0, 0), (2, 4), (20, 40)])
def test_a_small_rank_is_found_from_products_alone(rank, columns, rng):
    margins = low_rank(700, rank, rng) if rank else LowRankMargins(*np.zeros((2, 700, 1)))
    found = thin(margins.product, 700)
    assert found.basis.shape == (700, columns)
    np.testing.assert_allclose(found.basis @ found.core @ found.basis.T, margins.to_dense(), atol=1e-14)


def test_a_game_of_full_rank_is_known_for_one_by_few_products(rng):
    stored = Whole(random_margins(rng, 700))
    assert thin(stored.product, 700) is None
    assert stored.products == 16 + 8


@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_a_system_of_more_actions_than_are_factorised_is_solved_by_products(scale, monkeypatch, rng):
    monkeypatch.setattr(system, "_LARGEST", 150)
    margins, weight = random_margins(rng, 500), scale * np.exp(-8 * rng.random(500)) / 100
    stored = Whole(margins)
    x, y = Matrix(stored).system(weight).solve(right := rng.normal(size=500), 0.7, 1e-10)
    bordered = np.block([[np.diag(1 / weight) - margins, np.ones((500, 1))], [np.ones(500), 0.0]])
    expected = np.linalg.solve(bordered, np.append(right, 0.7))
    if scale == 1.0:
        np.testing.assert_allclose(np.append(x, y), expected, atol=1e-7 * np.abs(expected).max())
    # What is too strongly coupled is left as it is, after as many products as repair a system, twice.
    assert stored.products <= 2 * (system._REPAIRS + 1)
    assert stored.widest <= 150


@pytest.mark.parametrize("beta", [0.05, 0.0])
def test_what_costs_too_many_products_is_not_said_to_be_exact(beta, monkeypatch, rng):
    monkeypatch.setattr(system, "_MOST_ENTRIES", 20 * 200**2)
    monkeypatch.setattr(system, "DIRECT", 20)
    stored = Counted(random_margins(rng, 200))
    found = equilibrium(on(stored, make_game(random_margins(rng, 200))), beta)
    assert not found.converged
    assert found.residual > 1e-8
    assert found.policy.sum() == pytest.approx(1)
    assert found.products < 200


def test_at_beta_0_what_cannot_be_written_down_is_not_computed(monkeypatch, rng):
    game = make_game(low_rank(90, 1, rng))
    for module in (system, closest):
        monkeypatch.setattr(module, "MOST_DENSE", 8 * 50 * 50)
    found = equilibrium(game, 0)
    assert found.residual < 1e-12
    assert (found.error, found.converged) == (np.inf, False)
    assert np.isnan(nearest(game, found)(found.log_policy)).all()
    assert nats_from_closest(game, found.log_policy) == np.inf


def test_the_largest_margin_of_a_large_storage_is_searched_for(monkeypatch, rng):
    margins = random_margins(rng, 300) * 0.1
    margins[200, 100], margins[100, 200] = 0.5, -0.5
    assert doors.largest_of(Counted(margins)) == 0.5
    monkeypatch.setattr(doors, "_SMALL", 10)
    monkeypatch.setattr(doors, "_SEARCHED", 3000)
    assert 0.04 < doors.largest_of(Counted(margins)) <= 0.5


def test_the_span_of_many_rows_is_found_from_mixtures(monkeypatch, rng):
    rows = low_rank(80, 3, rng).to_dense()
    whole = closest._span(rows)
    monkeypatch.setattr(closest, "_MANY", 50)
    mixed, full = closest._span(rows), closest._span(random_margins(rng, 80))
    assert (whole.shape, mixed.shape, full.shape) == ((80, 6), (80, 6), (80, 80))
    np.testing.assert_allclose(mixed @ mixed.T, whole @ whole.T, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("spread", [0.0, 4.0, 100.0])
def test_a_split_product_is_a_wide_one(dtype, spread, rng):
    """Against exact fractions, for entries and probabilities of all sizes, and a last chunk that is not full."""
    rows = rng.uniform(-0.5, 0.5, size=(6, 700)).astype(dtype) * (10.0 ** -rng.integers(0, 12, size=700)).astype(dtype)
    policy = np.exp(np.longdouble(log_softmax(spread * rng.normal(size=700))))
    found = certificate._Split(policy).product(rows)
    exact = [Fraction(*p.as_integer_ratio()) for p in policy]
    expected = [sum(Fraction(float(a)) * p for a, p in zip(row, exact, strict=True)) for row in rows]
    # A unit of the last place of the largest term: 2⁻⁶⁴ · ½.
    for value, wanted in zip(found, expected, strict=True):
        assert abs(Fraction(*value.as_integer_ratio()) - wanted) < Fraction(1, 2**65) * max(exact) * 20


@pytest.mark.parametrize("storage", [Counted, Whole])
def test_the_certificate_of_a_large_game_is_that_of_wide_products(storage, monkeypatch, rng):
    margins, log_policy = random_margins(rng, 300), log_softmax(3 * rng.normal(size=300))
    game = make_game(margins, beta=0.02)
    wide = certify(game, log_policy)
    monkeypatch.setattr(certificate, "_WIDE_PRODUCTS", 100)
    monkeypatch.setattr(certificate, "_SPLIT_BLOCK", 20_000)
    for each in (game, on(storage(margins), game)):
        for one, other in zip(certify(each, log_policy), wide, strict=True):
            assert one == pytest.approx(other, rel=1e-14, abs=1e-19)
