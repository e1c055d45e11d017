"""At β = 0: the equilibrium closest to the reference against 250 digits, its certificate, and games of any scale."""

import decimal
import itertools
from decimal import Decimal

import numpy as np
import pytest

from nashgames.core.game import make_game
from nashgames.errors import NashGamesError
from nashgames.exact.closest import nats_from_closest
from nashgames.exact.referee import Equilibrium, equilibrium
from nashgames.exact.referee.limit import _regrets
from nashgames.exact.referee.projection import Face, balance
from nashgames.exact.referee.system import Matrix
from nashgames.games import families
from nashgames.learning.references import resolve_reference
from tests.games import ROCK_PAPER_SCISSORS, log_softmax, random_margins

DIGITS = decimal.Context(prec=250, Emin=-(10**9), Emax=10**9)

FENCE = np.array([[0, 0, -0.4], [0, 0, 0.1], [0.4, -0.1, 0]])
"""Two actions draw; the third beats the first, loses to the second, and is in no equilibrium."""


def closest_in_digits(equations, fences, log_reference):
    """log π of the least KL(π‖μ) with equations·π = 0, fences·π ≤ 0 and π > 0, and the fences that it runs into.

    Newton's method minimises log Σ μ exp(rowsᵀλ) in 250 digits for every choice of fences held at 0; taken is the one
    whose multipliers and slacks have the right sign. Nothing is eliminated, weighted or cut off.
    """
    with decimal.localcontext(DIGITS):
        log_mu = [Decimal(float(x)) for x in log_reference]
        rows = [[Decimal(float(x)) for x in row] for row in equations]
        bounds = [[Decimal(float(x)) for x in row] for row in fences]
        for held in (list(c) for m in range(len(bounds) + 1) for c in itertools.combinations(range(len(bounds)), m)):
            logs, factors = _least(rows + [bounds[j] for j in held], log_mu)
            slacks = [sum(f * x.exp() for f, x in zip(bounds[j], logs, strict=True)) for j in range(len(bounds))]
            free = [slacks[j] for j in range(len(bounds)) if j not in held]
            if all(f <= 0 for f in factors[len(rows) :]) and all(s < 0 for s in free):
                return np.array([float(x) for x in logs]), held
    raise AssertionError("no choice of fences is optimal")


def _least(rows, log_mu):
    """The minimiser, log π and λ, by Newton's method with steps of at most two nats."""
    factors = [Decimal(0)] * len(rows)
    for _ in range(3000):
        logits = [x + sum(f * r[i] for f, r in zip(factors, rows, strict=True)) for i, x in enumerate(log_mu)]
        top = max(logits)
        weights = [(x - top).exp() for x in logits]
        off = [sum(w * a for w, a in zip(weights, row, strict=True)) for row in rows]
        curvature = [[sum(w * a * b for w, a, b in zip(weights, p, q, strict=True)) for q in rows] for p in rows]
        step = _solved(curvature, [-x for x in off])
        moves = [sum(s * row[i] for s, row in zip(step, rows, strict=True)) for i in range(len(log_mu))]
        largest = max([abs(m) for m in moves], default=Decimal(0))
        factors = [f + s / max(largest / 2, Decimal(1)) for f, s in zip(factors, step, strict=True)]
        if largest < Decimal("1e-40"):
            log_sum = top + sum(weights).ln()
            return [x - log_sum for x in logits], factors
    raise AssertionError("Newton's method did not arrive")


def _solved(matrix, right):
    """The solution of a small system of decimals, by elimination."""
    rows = [[*row, b] for row, b in zip(matrix, right, strict=True)]
    for i in range(len(rows)):
        pivot = max(range(i, len(rows)), key=lambda j: abs(rows[j][i]))
        rows[i], rows[pivot] = rows[pivot], rows[i]
        for j in range(len(rows)):
            if j != i:
                ratio = rows[j][i] / rows[i][i]
                rows[j] = [a - ratio * b for a, b in zip(rows[j], rows[i], strict=True)]
    return [row[-1] / row[i] for i, row in enumerate(rows)]


def tilted_bilinear():
    game = families.generate("bilinear[planes=1]", actions=6, seed=4)
    return game.replace(log_reference=resolve_reference("tilted[span=80]", game, 4))


def planar(seed, actions, fences, span):
    """Margins of points in a plane around the origin, A_ij = p_i × p_j, all of which some equilibrium plays.

    Its equilibria are the π with Σ π p = 0. The points are integers, so that A has rank 2 exactly. The fences beat some
    of these equilibria and lose to the one that they were made from.
    """
    rng = np.random.default_rng(seed)
    while True:
        points = rng.integers(-9, 10, size=(actions, 2)).astype(float)
        angles = np.sort(np.arctan2(points[:, 1], points[:, 0]))
        gaps = np.diff(np.append(angles, angles[0] + 2 * np.pi))
        # The origin is inside the hull when no half of the plane is empty.
        if gaps.max() < 0.9 * np.pi and np.all(np.any(points != 0, axis=1)):
            break
    among = (points[:, :1] * points[:, 1] - points[:, 1:] * points[:, 0]) / 512
    others = rng.integers(-64, 65, size=(fences, actions)) / 256
    inside = np.exp(closest_in_digits(points.T, [], np.zeros(actions))[0])
    others -= np.ceil(1 + 1024 * (others @ inside)[:, None].clip(-0.02)) / 1024
    margins = np.block([[among, -others.T], [others, np.zeros((fences, fences))]])
    log_reference = log_softmax(-span * rng.random(actions + fences))
    return points.T, others, make_game(margins, log_reference=log_reference)


def test_hardly_played_actions_are_exact_where_the_reference_is_far():
    game = tilted_bilinear()
    margins = np.asarray(game.margins.to_dense())
    # Two rows span the range of a bilinear game of one plane; the others depend on them to rounding.
    expected, _ = closest_in_digits(margins[2:4], [], game.log_reference)
    np.testing.assert_allclose(expected[[2, 4]], [-207.63, -116.63], atol=5e-3)
    found = equilibrium(game, 0)
    assert found.converged
    assert found.error <= 1e-11
    np.testing.assert_allclose(found.log_policy, expected, atol=1e-10)


@pytest.mark.parametrize(
    ("seed", "actions", "fences", "span", "run_into"),
    [
        (0, 5, 0, 200, 0),
        (0, 8, 0, 20, 0),
        (0, 8, 0, 200, 0),
        (0, 6, 1, 70, 1),
        (3, 7, 2, 200, 1),
        (6, 7, 2, 20, 2),
        (6, 7, 2, 70, 2),
        # Margins of 0.1 among those who play, and of 0.5 against them.
        (14, 7, 3, 20, 1),
        # On the way to μ a fence is run into and left again.
        (11, 7, 3, 20, 2),
        (25, 7, 3, 70, 0),
    ],
)
def test_degenerate_games_agree_with_250_digits(seed, actions, fences, span, run_into):
    equations, others, game = planar(seed, actions, fences, span)
    expected, held = closest_in_digits(equations, others, game.log_reference[:actions])
    assert len(held) == run_into
    found = equilibrium(game, 0)
    assert found.converged
    np.testing.assert_allclose(found.log_policy[:actions], expected, atol=1e-11)
    assert np.all(found.log_policy[actions:] == -np.inf)
    assert nats_from_closest(game, found.log_policy) <= 1e-11


@pytest.mark.parametrize(("seed", "scale"), [(14, 2.0**-12), (25, 2.0**-12), (14, 2.0**-30)])
def test_small_margins_among_those_who_play_do_not_hide_fences_of_large_ones(seed, scale):
    """Solved in units of its own, the game among those who play knows nothing of the fences."""
    _, _, game = planar(seed, 7, 3, 20)
    margins = np.array(game.margins.to_dense())
    margins[:7, :7] *= scale
    found = equilibrium(make_game(margins, log_reference=game.log_reference), 0)
    np.testing.assert_allclose(found.log_policy[:7], equilibrium(game, 0).log_policy[:7], atol=1e-11)
    # A fence that is run into has margin 0 to the rounding of its large ones: 1e-17, against 1e-10 among the rest.
    assert found.converged == (scale > 1e-6)


def test_an_action_that_nobody_plays_bounds_the_closest_equilibrium():
    found = equilibrium(make_game(FENCE), 0)
    np.testing.assert_allclose(np.exp(found.log_policy), [0.2, 0.8, 0.0], atol=1e-14)
    assert found.converged
    # Run into by a hair, it is still held exactly.
    near = make_game(FENCE, log_reference=np.log([0.2001, 0.7989, 0.001]))
    np.testing.assert_allclose(np.exp(equilibrium(near, 0).log_policy), [0.2, 0.8, 0.0], atol=1e-14)
    # From the other side of the fence nothing holds it there.
    inside = make_game(FENCE, log_reference=np.log([0.09, 0.9, 0.01]))
    np.testing.assert_allclose(np.exp(equilibrium(inside, 0).log_policy), [1 / 11, 10 / 11, 0.0], atol=1e-14)


def test_a_direction_of_light_actions_is_balanced_among_them():
    """Points ±x and ±y: each pair is balanced in itself, however light it is."""
    points = np.array([[1, 0], [-1, 0], [0, 1], [0, -2]], float)
    margins = (points[:, :1] * points[:, 1] - points[:, 1:] * points[:, 0]) / 4
    log_reference = log_softmax(np.array([0, -1, -300, -500.0]))
    game = make_game(margins, log_reference=log_reference)
    found = equilibrium(game, 0)
    # Of the light pair π_2 = 2 π_3, and in log π − log μ = λ (1, −2) + c: by hand.
    np.testing.assert_allclose(found.log_policy[:2], np.log(0.5), atol=1e-13)
    level = (log_reference[0] + log_reference[1]) / 2 - np.log(0.5)
    factor = (log_reference[3] - log_reference[2] + np.log(2)) / 3
    expected = log_reference[2:] - level + factor * np.array([1, -2])
    np.testing.assert_allclose(found.log_policy[2:], expected, atol=1e-11)
    assert expected[0] < -300


def test_heavy_actions_on_a_line_leave_the_other_direction_to_light_ones():
    """What the heavy have of that direction is rounding, 1e-16 of 1, where the light weigh e^−120."""
    points = np.array([[3, 1], [-3, -1], [6, 2], [-1, 3], [2, -6], [1, 7]], float)
    margins = (points[:, :1] * points[:, 1] - points[:, 1:] * points[:, 0]) / 128
    log_reference = log_softmax(np.array([0, -2, -1, -120, -130, -300.0]))
    expected, _ = closest_in_digits(points.T, [], log_reference)
    found = equilibrium(make_game(margins, log_reference=log_reference), 0)
    np.testing.assert_allclose(found.log_policy, expected, atol=1e-11)
    assert found.converged


def test_pivots_are_the_heaviest_actions_that_determine_the_equations(rng):
    """With actions e^−40 apart: the first of the order that depend on none before; the others follow from them."""
    columns = np.linalg.qr(rng.normal(size=(8, 3)))[0]
    columns[2] = 2 * columns[0] - columns[1]
    columns = np.linalg.qr(columns)[0]
    order = np.array([0, 1, 2, 7, 5, 3, 4, 6])
    log_weight = np.empty(8)
    log_weight[order] = -40.0 * np.arange(8)
    found = balance(columns, log_weight)
    assert list(found.pivots) == [0, 1, 7]
    np.testing.assert_allclose(found.rows @ columns[found.pivots], columns[found.others], atol=1e-13)
    # The third action is determined by the first two, and has no part in what the fourth solves.
    assert found.rows[list(found.others).index(2), 2] == 0


def test_the_certificate_sees_what_was_taken_for_converged():
    game, found = tilted_bilinear(), equilibrium(tilted_bilinear(), 0)
    assert nats_from_closest(game, found.log_policy) <= 1e-11
    wrong = found.log_policy.copy()
    wrong[[2, 4]] = -116.86, -98.86
    assert nats_from_closest(game, wrong) > 10
    assert not found._replace(error=nats_from_closest(game, wrong)).converged


def test_the_referee_s_own_account_is_not_enough(monkeypatch):
    closest = Face.closest

    def wrong(*arguments):
        found = closest(*arguments)
        return found._replace(log_policy=log_softmax(found.log_policy + np.array([0, 0, 1, 0, 0, 0])))

    monkeypatch.setattr(Face, "closest", wrong)
    found = equilibrium(tilted_bilinear(), 0)
    assert found.regret <= 1e-15
    assert not found.converged


@pytest.mark.parametrize("action", range(5))
@pytest.mark.parametrize("off", [-1e-5, 1e-5])
def test_the_certificate_sees_every_action_however_little_it_plays(action, off):
    _, _, game = planar(0, 5, 0, 200)
    policy = equilibrium(game, 0).log_policy.copy()
    policy[action] += off
    assert nats_from_closest(game, log_softmax(policy)) >= 1e-7


def test_the_certificate_sees_a_wrong_balance_of_light_actions_in_nats():
    points = np.array([[1, 0], [-1, 0], [0, 1], [0, -1]], float)
    margins = (points[:, :1] * points[:, 1] - points[:, 1:] * points[:, 0]) / 4
    game = make_game(margins, log_reference=log_softmax(np.array([0, 0, -120, -120.0])))
    assert nats_from_closest(game, game.log_reference) == pytest.approx(0, abs=1e-14)
    # Of the form log μ + λ p·(0, 1), and off by e^−120 where a sum over all actions looks: λ is what is wrong.
    tilted = log_softmax(game.log_reference + 0.01 * points[:, 1])
    assert nats_from_closest(game, tilted) == pytest.approx(0.01, rel=1e-3)


def test_a_fence_among_light_actions_is_held_and_certified():
    """Three actions draw; a fourth beats the second, loses to the third, both of e^−100, and draws with the first."""
    margins = np.zeros((4, 4))
    margins[3, :3] = 0, 0.4, -0.1
    margins[:3, 3] = -margins[3, :3]
    log_reference = log_softmax(np.array([0, -100, -100, -1.0]))
    game = make_game(margins, log_reference=log_reference)

    def pulled(z):
        return np.append(log_softmax(log_reference[:3] - z * margins[3, :3]), -np.inf)

    # Held, 0.4 π_1 = 0.1 π_2, and log π_2 − log π_1 = z (0.4 + 0.1).
    found = equilibrium(game, 0)
    assert found.converged
    np.testing.assert_allclose(found.log_policy[:3], pulled(2 * np.log(4))[:3], atol=1e-12)
    assert nats_from_closest(game, pulled(2 * np.log(4))) <= 1e-12
    assert nats_from_closest(game, pulled(2 * np.log(4) + 0.01)) == pytest.approx(0.004, rel=0.3)


def test_the_certificate_sees_a_policy_that_is_not_the_closest():
    game = make_game(FENCE)
    with np.errstate(divide="ignore"):
        inside, held, outside = np.log([[0.1, 0.9, 0], [0.2, 0.8, 0], [0.3, 0.7, 0]])
    assert nats_from_closest(game, held) <= 1e-15
    # log(π/μ) is (log 0.2, log 1.8) up to a constant: half of log 9 from one, in a fit by a constant.
    assert nats_from_closest(game, inside) == pytest.approx(np.log(9) / 2)
    assert nats_from_closest(game, outside) == np.inf
    # At the fence, but pulled away from it by μ: its multiplier would be negative.
    away = make_game(FENCE, log_reference=np.log([0.09, 0.9, 0.01]))
    assert nats_from_closest(away, held) == pytest.approx(np.log(2.5) / 2)


def test_the_certificate_asks_why_an_action_is_not_played():
    with np.errstate(divide="ignore"):
        corner, thirds = np.log([1.0, 0, 0]), np.log([1 / 3, 1 / 3, 1 / 3, 0])
    # Nothing beats the other two actions: they are played as the reference plays them.
    assert nats_from_closest(make_game(np.zeros((3, 3))), corner) == np.inf
    copy = np.array([0, 1, 2, 0])
    assert nats_from_closest(make_game(ROCK_PAPER_SCISSORS[np.ix_(copy, copy)]), thirds) == np.inf
    loser = np.zeros((4, 4))
    loser[:3, :3], loser[:3, 3], loser[3, :3] = ROCK_PAPER_SCISSORS, 0.1, -0.1
    assert nats_from_closest(make_game(loser), thirds) <= 1e-15
    # An action that beats the policy, and a policy that is no equilibrium among those who play.
    assert nats_from_closest(make_game(ROCK_PAPER_SCISSORS), corner) == np.inf
    assert nats_from_closest(make_game(ROCK_PAPER_SCISSORS), np.log([0.5, 0.3, 0.2])) == np.inf
    # One that loses, played so little that nobody gains by it.
    beaten = make_game(np.array([[0, 0.5], [-0.5, 0]]))
    assert nats_from_closest(beaten, np.log([1 - 1e-12, 1e-12])) == np.inf


def test_the_certificate_is_the_largest_over_contexts_and_wants_log_probabilities(rng):
    third = np.log(np.full(3, 1 / 3))
    game = make_game(np.stack([ROCK_PAPER_SCISSORS, np.zeros((3, 3))]))
    off = np.log([0.5, 0.25, 0.25])
    alone = nats_from_closest(make_game(np.zeros((3, 3))), off)
    assert alone > 0.3
    assert nats_from_closest(game, np.stack([third, off])) == alone
    with pytest.raises(NashGamesError, match="this game needs"):
        nats_from_closest(game, third)


def cycle(d):
    """Margins of a cycle that is played (1, 2, 4)/7."""
    return np.array([[0, d, -d / 2], [-d, 0, d / 4], [d / 2, -d / 4, 0]])


def beaten_cycle(d, by):
    """The cycle and two more actions, which lose to it by `by` and play a game of large margins between them."""
    margins = np.zeros((5, 5))
    margins[:3, :3], margins[:3, 3:], margins[3:, :3] = cycle(d), by, -by
    margins[3, 4], margins[4, 3] = 0.4, -0.4
    return margins


@pytest.mark.parametrize("d", [0.5, 1e-6, 1e-13, 1e-30, 1e-300, 1e-320])
@pytest.mark.parametrize("by", ["large", "small"])
def test_a_cycle_is_solved_to_the_last_digit_at_every_scale(d, by):
    found = equilibrium(make_game(beaten_cycle(d, 0.3 if by == "large" else min(3 * d, 0.5))), 0)
    # The smallest numbers have fewer digits: 1e-320 / 4 is known to one part in 500.
    rtol = 1e-2 if d < 1e-308 else 1e-13
    np.testing.assert_allclose(np.exp(found.log_policy), [1 / 7, 2 / 7, 4 / 7, 0, 0], rtol=rtol)
    assert found.converged
    assert found.regret <= 1e-15


@pytest.mark.parametrize("d", [1e-3, 1e-13, 1e-30])
def test_a_cycle_of_small_margins_beside_one_of_large(d):
    margins = np.zeros((6, 6))
    margins[:3, :3], margins[3:, 3:] = cycle(0.4), cycle(d)
    found = equilibrium(make_game(margins, log_reference=np.log(np.array([1, 1, 1, 3, 3, 3]) / 12)), 0)
    np.testing.assert_allclose(np.exp(found.log_policy), np.array([1, 2, 4, 3, 6, 12]) / 28, rtol=1e-12)
    assert found.converged


@pytest.mark.parametrize(
    ("d", "decided"), [(1e-3, True), (1e-6, True), (1e-9, False), (1e-13, False), (1e-15, False), (1e-30, False)]
)
def test_a_cycle_inside_each_action_of_a_cycle_is_exact_or_said_not_to_be(d, decided):
    """Every action of a large cycle is a small cycle: margins of 0.4 cancel where those of d decide."""
    margins = np.kron(cycle(0.4), np.ones((3, 3)))
    for start in (0, 3, 6):
        margins[start : start + 3, start : start + 3] = cycle(d)
    found = equilibrium(make_game(margins), 0)
    assert found.converged == decided
    if found.error < np.inf:
        expected = np.kron([1, 2, 4], [1, 2, 4]) / 49
        np.testing.assert_allclose(found.log_policy, np.log(expected), atol=max(found.error, 1e-12))
    assert (found.error == np.inf) == (d < 1e-14)


def test_regret_is_relative_to_the_margins_among_those_who_play():
    d, policy = 1e-13, np.array([0.05, 0.15, 0.8])
    gains = cycle(d) @ policy
    exploitability, regret = _regrets(Matrix(beaten_cycle(d, 0.3)), np.arange(3), policy)
    assert exploitability == pytest.approx(gains.max(), rel=1e-12)
    # The largest margins of the three are d, d and d/2. It is the loser, not the winner, that is furthest off.
    assert regret == pytest.approx(-gains.min() / d, rel=1e-12)
    assert -gains.min() / d > np.max(gains / [d, d, d / 2])
    # An action of large margins that beats the players by d/100 gains a hundredth of what they play for.
    margins = beaten_cycle(d, 0.3)
    margins[3, :3] = 0.1, -0.1, 0.025 + 0.0175 * d
    margins[:3, 3] = -margins[3, :3]
    assert _regrets(Matrix(margins), np.arange(3), np.array([1, 2, 4]) / 7)[1] == pytest.approx(0.01, rel=1e-2)


def test_converged_asks_for_regret_and_error():
    exact = Equilibrium(0.0, np.zeros(3), residual=1e-15, solves=0, regret=1e-12, error=1e-10)
    assert exact.converged
    for wrong in ({"regret": 1e-9}, {"error": 1e-7}, {"residual": 1e-9}):
        assert not exact._replace(**wrong).converged


def test_one_equilibrium_is_refined_whatever_the_reference_is(rng):
    margins = random_margins(rng, 5)
    margins[:] = 0
    margins[np.arange(5), (np.arange(5) + 1) % 5] = [0.1, 0.2, 0.3, 0.4, 0.5]
    margins -= margins.T
    exact = Face(margins, np.zeros((0, 5)), np.full(5, 0.2)).closest(np.zeros(5))
    far = Face(margins, np.zeros((0, 5)), np.full(5, 0.2)).closest(-50.0 * np.arange(5))
    np.testing.assert_array_equal(exact.log_policy, far.log_policy)
    np.testing.assert_allclose(margins @ np.exp(exact.log_policy), 0, atol=1e-16)


def test_actions_that_no_equilibrium_plays_together_have_no_closest_one():
    """The first action beats the others: an error of the support must not look like an answer."""
    margins = np.array([[0, 0.3, 0.2], [-0.3, 0, 0.1], [-0.2, -0.1, 0]])
    assert Face(margins, np.zeros((0, 3)), np.full(3, 1 / 3)).closest(np.zeros(3)).error == np.inf


def test_the_rounding_of_nearly_dependent_rows_is_part_of_the_error():
    """A direction of size 1e-9 beside 0.4 is known to 1e-16 of that, and so is what it decides."""
    margins = np.kron(cycle(0.4), np.ones((3, 3)))
    for start in (0, 3, 6):
        margins[start : start + 3, start : start + 3] = cycle(1e-9)
    policy = np.kron([1, 2, 4], [1, 2, 4]) / 49
    assert 1e-8 < Face(margins, np.zeros((0, 9)), policy).closest(np.zeros(9)).error < 1e-5
