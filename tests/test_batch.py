"""Runs that share a program are the runs that they would be alone, however they are cut into chunks."""

import dataclasses
import itertools
import os
import subprocess
import sys

import jax
import numpy as np
import pytest

from nashgames.core.game import make_game
from nashgames.core.margins import DenseMargins
from nashgames.core.metrics import METRICS
from nashgames.core.precision import Precision
from nashgames.engine import batch as batches
from nashgames.engine import loop
from nashgames.engine.batch import Batch
from nashgames.engine.loop import Recording
from nashgames.engine.settings import Settings
from nashgames.errors import NashGamesError
from nashgames.solvers import MirrorDescent, NashMD, NashMP, OnlineIPO, UniformIPO, make_solver
from tests.games import ROCK_PAPER_SCISSORS, lane, log_softmax, measured, played, random_margins
from tests.solvers_of_users import Fragile, Optimistic, Sppo

TILTED = log_softmax(np.array([1.0, 0.0, -1.0]))
NEVER = 10**9


def cyclic(beta=0.1, margins=ROCK_PAPER_SCISSORS, log_reference=TILTED):
    return make_game(margins, beta=beta, log_reference=log_reference)


def three(solver="nash-mp", betas=(0.5, 0.1, 0.03)):
    """One game and three runs of it that differ in β: the batch that most tests here share, compiled once."""
    game = cyclic()
    return [game], [[lane(game.replace(beta=beta), solver) for beta in betas]]


def curves(games, lanes, settings):
    return played(games, lanes, settings).curves()


def assert_same_bits(one, two):
    for a, b in zip(itertools.chain(*one), itertools.chain(*two), strict=True):
        assert (a.status, a.diverged_step) == (b.status, b.diverged_step)
        np.testing.assert_array_equal(a.steps, b.steps)
        np.testing.assert_array_equal(a.log_policy, b.log_policy)
        np.testing.assert_array_equal(a.path, b.path)
        for name in METRICS:
            np.testing.assert_array_equal(a.metrics[name], b.metrics[name])


# -- programs ----------------------------------------------------------------------------------------------------------


def test_a_new_number_never_recompiles():
    loop.clear_compiled_if_over()
    games, lanes = three()
    played(games, lanes, Settings(queries=40, tolerance=0))
    before = loop.compiled_count()
    for settings in (
        Settings(queries=60, tolerance=1e-5),
        Settings(queries=None, tolerance=1e-3, records=7),
        Settings(queries=60, tolerance=0, record_every=4),
    ):
        played(games, lanes, settings)
    other = cyclic(margins=0.3 * ROCK_PAPER_SCISSORS, log_reference=log_softmax(np.arange(3.0)))
    other = other.replace(description=other.description.__class__("another", labels=("a", "b", "c"), notes=("new",)))
    for numbers in ((0.2, 0.4, 1.0), (1.5, 0.01, 0.001)):
        mixed = [lane(other.replace(beta=b), NashMP(eta=b / 3), seed=int(1e3 * b)) for b in numbers]
        played([other], [mixed], Settings(queries=60))
    assert loop.compiled_count() == before


def test_no_number_of_nash_prox_recompiles_either():
    game = cyclic()
    given = ["nash-prox[eta=0.3,inner=3,kappa=0.5,step=0.7]", "nash-prox[eta=0.1,inner=40,kappa=1,step=2]"]
    followed = ["nash-prox[inner=1,kappa=0.1]", "nash-prox[eta=0.2,inner=7]", "nash-prox"]
    # A step that follows the curvature is another program than one that is given.
    for texts in (given, followed):
        loop.clear_compiled_if_over()
        for text in texts:
            played([game], [[lane(game, text)]], Settings(queries=50))
        # The program of the steps, and the one that measures.
        assert loop.compiled_count() == 2


def test_solvers_of_one_structure_are_told_apart(monkeypatch):
    """By more than the structure of their numbers, which JAX finds equal: a program is looked up by it."""

    def another():
        @jax.tree_util.register_dataclass
        @dataclasses.dataclass(frozen=True)
        class Sibling(MirrorDescent):
            pass

        return Sibling

    class LookedUp(BaseException):
        pass

    keys, compiled = [], loop._ADVANCE["quick"]

    def advance(*arguments, classes, **static):
        keys.append(classes)
        raise LookedUp

    advance._cache_size, advance.clear_cache = compiled._cache_size, compiled.clear_cache
    monkeypatch.setitem(loop._ADVANCE, "quick", advance)
    game = cyclic()
    kinds = [MirrorDescent, NashMD, OnlineIPO, UniformIPO, another(), another()]
    for kind in (*kinds, *kinds):
        with pytest.raises(LookedUp):
            Batch([game], [[lane(game, kind(step=0.1 + len(keys)))]], Settings(queries=10))
    assert len(set(keys)) == len(kinds)
    assert keys == keys[: len(kinds)] * 2


def test_both_forms_of_a_program_give_the_same_numbers():
    """Compiled for long runs and for short ones, each where a run of its kind takes it; XLA's own flags are not set."""
    code = """
import numpy as np
import nashgames as ng
from nashgames.engine import batch, loop

# 40 steps of 101 actions: the numbers of this batch, and one fewer.
for batch._SHORT in (4040, 4039):
    loop.clear_compiled_if_over()
    result = ng.solve(ng.games.random_logits(actions=101), "online-ipo", queries=40, tolerance=0)
    print(*(loop._ADVANCE[form]._cache_size() for form in ("quick", "optimised")))
    print(*result.curves["kl_to_equilibrium"])
"""
    cold = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    done = subprocess.run([sys.executable, "-c", code], env=cold, capture_output=True, text=True, check=True)
    forms, numbers = done.stdout.splitlines()[::2], done.stdout.splitlines()[1::2]
    assert forms == ["1 0", "0 1"]
    quick, optimised = ([float(number) for number in line.split()] for line in numbers)
    assert quick != optimised, "two programs round differently"
    np.testing.assert_allclose(quick, optimised, rtol=1e-12, atol=1e-20)


def test_programs_are_let_go_before_a_process_is_full_of_them(monkeypatch):
    monkeypatch.setattr(batches, "_PROGRAMS", 3)
    loop.clear_compiled_if_over()
    kept, found = [], []
    for solver in ("nash-mp", Optimistic(), "nash-prox", "nash-mp"):
        batch = played(*three(solver), Settings(queries=60))
        kept.append(loop.compiled_count())
        found.append(batch.curves())
    # One more than solvers: all of them share the program that measures.
    assert kept == [2, 3, 2, 3]
    assert_same_bits(found[0], found[-1])
    # One whose program is gone meanwhile goes on with the same.
    waiting = Batch(*three(), Settings(queries=60))
    loop.clear_compiled_if_over()
    while not waiting.finished:
        waiting.advance()
    assert_same_bits(found[0], waiting.curves())


def test_a_batch_says_how_far_it_is():
    games, lanes = three()
    batch = Batch(games, lanes, Settings(queries=400, tolerance=1e-9))
    assert (batch.size, batch.active, batch.step, batch.finished) == (3, 3, 0, False)
    assert batch.max_steps == 200
    assert batch.compile_seconds > 0
    assert batch.solve_seconds == 0
    seen = []
    while not batch.finished:
        batch.advance()
        assert batch.seconds_left >= 0
        seen.append((batch.step, batch.active, batch.distance))
    steps, active, suboptimality = map(list, zip(*seen, strict=True))
    assert steps == sorted(set(steps)), "every chunk goes forward"
    assert active == sorted(active, reverse=True)
    assert active[-1] == 0
    # While runs are going it is the largest of theirs, afterwards the largest of all.
    assert all(value > 1e-9 for value, count in zip(suboptimality, active, strict=True) if count)
    assert suboptimality[-1] == max(curve.metrics["suboptimality"][-1] for curve in batch.curves()[0])
    assert batch.solve_seconds > 0


# -- a lane is the run alone -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "dtype", "tolerance", "relative"),
    [
        ("nash-mp", "float64", 1e-10, 1e-12),
        ("nash-prox[step=3]", "float64", 1e-4, 1e-12),
        ("mirror-descent", "float32", 1e-4, 3e-5),
    ],
)
def test_every_lane_of_a_batch_is_the_run_alone(text, dtype, tolerance, relative):
    games, lanes = three(text, betas=(0.5, 0.1, 0.05))
    settings = Settings(queries=70, tolerance=tolerance, records=12, precision=Precision(dtype))
    together = curves(games, lanes, settings)[0]
    assert len({curve.status for curve in together}) == 2, "some stop early, some do not"
    for one, curve in zip(lanes[0], together, strict=True):
        # In single precision three times the same: the program of above serves.
        alone = curves(games, [[one] * (3 if dtype == "float32" else 1)], settings)[0][0]
        assert (alone.status, alone.log_policy.dtype) == (curve.status, np.dtype(dtype))
        np.testing.assert_array_equal(alone.steps, curve.steps)
        np.testing.assert_allclose(alone.log_policy, curve.log_policy, rtol=relative)
        np.testing.assert_allclose(alone.path, curve.path, rtol=relative)


def test_the_order_of_lanes_changes_nothing_beyond_rounding():
    games, lanes = three()
    settings = Settings(queries=300, tolerance=1e-8)
    forwards, backwards = (curves(games, [row], settings)[0] for row in (lanes[0], lanes[0][::-1]))
    for one, two in zip(forwards, backwards[::-1], strict=True):
        np.testing.assert_array_equal(one.steps, two.steps)
        np.testing.assert_allclose(one.log_policy, two.log_policy, rtol=1e-12)


def test_stacked_games_are_the_games_one_by_one(rng):
    games = [make_game(random_margins(rng, 3), log_reference=log_softmax(rng.normal(size=3))) for _ in range(2)]
    lanes = [[lane(game.replace(beta=beta), "nash-mp") for beta in (0.5, 0.1, 0.03)] for game in games]
    settings = Settings(queries=200, tolerance=1e-6, records=10)
    together = played(games, lanes, settings)
    assert together.size == 6
    for game, row, found in zip(games, lanes, together.curves(), strict=True):
        for alone, curve in zip(curves([game], [row], settings)[0], found, strict=True):
            np.testing.assert_array_equal(alone.steps, curve.steps)
            assert alone.status == curve.status
            np.testing.assert_allclose(alone.log_policy, curve.log_policy, rtol=1e-12)
            np.testing.assert_allclose(
                alone.metrics["kl_to_equilibrium"], curve.metrics["kl_to_equilibrium"], rtol=1e-9, atol=1e-25
            )


def test_contexts_are_solved_together_and_averaged_by_weight(rng):
    margins = np.stack([ROCK_PAPER_SCISSORS, random_margins(rng, 3)])
    references = np.stack([TILTED, log_softmax(rng.normal(size=3))])
    weights = np.array([0.3, 0.7])
    both = make_game(margins, beta=0.1, log_reference=references, weights=weights)
    apart = [make_game(margins[x], beta=0.1, log_reference=references[x]) for x in range(2)]
    settings = Settings(queries=60, tolerance=0, record_every=10)
    ((together,),) = curves([both], [[lane(both, "nash-mp")]], settings)
    # A stacked pair of games is the second way: every context alone, for as many steps.
    singles = [row[0] for row in curves(apart, [[lane(game, "nash-mp")] * 3 for game in apart], settings)]
    assert together.path.shape == (4, 2, 3)
    for x in range(2):
        np.testing.assert_allclose(together.path[:, x], singles[x].path, rtol=1e-12)
    for name in METRICS:
        values = np.stack([single.metrics[name] for single in singles])
        expected = values.max(axis=0) if name == "span_to_equilibrium" else weights @ values
        np.testing.assert_allclose(together.metrics[name], expected, rtol=1e-9, err_msg=name)


def test_margins_of_another_dtype_are_played_in_the_dtype_of_the_run():
    game = cyclic()
    single = game.replace(margins=DenseMargins(ROCK_PAPER_SCISSORS.astype(np.float32)))
    settings = Settings(queries=40, tolerance=0, records=3)
    runs = [lane(game, "nash-mp"), lane(game, "nash-mp[eta=0.1]"), lane(game, "nash-mp[eta=0.3]")]
    assert_same_bits(curves([game], [runs], settings), curves([single], [runs], settings))


# -- chunks and repetition ---------------------------------------------------------------------------------------------


def test_chunks_equal_the_whole_bit_for_bit(monkeypatch):
    games, lanes = three()
    settings = Settings(queries=110, tolerance=1e-7, records=9)
    monkeypatch.setattr(batches, "_CHUNK_SECONDS", 1e9)
    whole = curves(games, lanes, settings)
    monkeypatch.setattr(batches, "_CHUNK_SECONDS", 0.0)
    batch, chunks = Batch(games, lanes, settings), 0
    while not batch.finished:
        before = batch.step
        batch.advance()
        chunks += 1
        assert batch.step - before == 1
    assert chunks == max(curve.steps[-1] for curve in whole[0]) > 20
    assert_same_bits(whole, batch.curves())


def test_the_same_batch_twice_gives_the_same_bits():
    games, lanes = three()
    settings = Settings(queries=200, tolerance=1e-9, records=15)
    assert_same_bits(curves(games, lanes, settings), curves(games, lanes, settings))


def test_what_is_recorded_does_not_change_what_is_computed():
    games, lanes = three()
    every = curves(games, lanes, Settings(queries=120, tolerance=0, record_every=1))[0]
    few = curves(games, lanes, Settings(queries=120, tolerance=0, records=4))[0]
    for all_points, some in zip(every, few, strict=True):
        assert len(some.steps) < len(all_points.steps) == 61
        np.testing.assert_array_equal(all_points.path[some.steps], some.path)
        np.testing.assert_array_equal(all_points.log_policy, some.log_policy)


def noisy(seeds, breaks=(NEVER,) * 3, noise=1e-2):
    game = cyclic()
    return [game], [[lane(game, Fragile(0.5, noise, b), seed=s) for s, b in zip(seeds, breaks, strict=True)]]


def test_every_seed_is_a_run_of_its_own_whatever_the_chunks_and_the_neighbours(monkeypatch):
    settings = Settings(queries=30, tolerance=0, record_every=10)
    monkeypatch.setattr(batches, "_CHUNK_SECONDS", 0.0)
    cut = curves(*noisy([5, 6, 5]), settings)
    monkeypatch.setattr(batches, "_CHUNK_SECONDS", 1e9)
    (first, second, again) = curves(*noisy([5, 6, 5]), settings)[0]
    assert_same_bits([[first, second, again]], cut)
    np.testing.assert_array_equal(first.path, again.path)
    assert np.abs(first.path[1:] - second.path[1:]).min() > 1e-5
    moved = curves(*noisy([2**32 - 1, 5, 7]), settings)[0]
    np.testing.assert_allclose(moved[1].path, first.path, rtol=1e-12)


def test_every_step_draws_noise_of_its_own():
    game = cyclic()
    settings = Settings(queries=30, tolerance=0, record_every=1)
    alone = Fragile(eta=1e-300, noise=1.0, breaks=NEVER)
    drawn = [
        np.diff(curve.path[:, 0] - curve.path[:, 1]) for curve in curves([game], [[lane(game, alone)] * 3], settings)[0]
    ]
    assert len(np.unique(np.round(drawn[0], 9))) == 30
    # Differences of two standard normal numbers.
    assert 0.5 < np.std(drawn[0]) / np.sqrt(2) < 1.5
    np.testing.assert_array_equal(drawn[0], drawn[1])


# -- where runs stop ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tolerance", [1e-2, 1e-5, 1e-9])
def test_a_run_stops_at_its_first_step_within_the_tolerance(tolerance):
    games, lanes = three()
    every = curves(games, lanes, Settings(queries=90, tolerance=0, record_every=1))[0]
    stopped = curves(games, lanes, Settings(queries=90, tolerance=tolerance, records=3))[0]
    for full, curve in zip(every, stopped, strict=True):
        within = np.flatnonzero(full.metrics["suboptimality"] <= tolerance)
        if len(within):
            assert curve.status == "converged"
            assert curve.steps[-1] == within[0]
            assert curve.metrics["suboptimality"][-1] <= tolerance < full.metrics["suboptimality"][within[0] - 1]
        else:
            assert curve.status == "budget"
            assert curve.steps[-1] == 45
        # Stopped means stopped: the last iterate is that of the step it stopped at, however long others went on.
        np.testing.assert_array_equal(curve.log_policy, full.path[curve.steps[-1]])
        for name in METRICS:
            np.testing.assert_array_equal(curve.metrics[name], full.metrics[name][curve.steps])
    if tolerance == 1e-2:
        assert [curve.status for curve in stopped] == ["converged"] * 3
    if tolerance == 1e-9:
        assert {curve.status for curve in stopped} == {"converged", "budget"}


def test_a_run_that_starts_within_the_tolerance_costs_nothing():
    game = cyclic(log_reference=None)
    curve = curves([game], [[lane(game.replace(beta=b), "nash-mp") for b in (0.5, 0.1, 0.03)]], Settings())[0][0]
    assert (curve.status, list(curve.steps), len(curve.path)) == ("converged", [0], 1)


@pytest.mark.parametrize(("queries", "steps"), [(2, 1), (3, 1), (101, 50), (100, 50)])
def test_a_budget_is_spent_and_never_exceeded(queries, steps):
    for curve in curves(*three(), Settings(queries=queries, tolerance=0, records=5))[0]:
        assert (curve.status, curve.steps[-1]) == ("budget", steps)


@pytest.mark.parametrize("log_reference", [None, TILTED])
def test_at_tolerance_0_the_budget_is_used_up_also_where_the_suboptimality_is_exactly_0(log_reference):
    game = cyclic(log_reference=log_reference)
    lanes = [lane(game.replace(beta=beta), "nash-mp") for beta in (0.5, 0.1, 0.03)]
    for curve in curves([game], [lanes], Settings(queries=400, tolerance=0, records=3))[0]:
        assert (curve.status, curve.steps[-1]) == ("budget", 200)
        if log_reference is None:
            assert not curve.metrics["suboptimality"].any()


def test_runs_of_one_batch_have_the_budgets_of_their_betas():
    settings = Settings(tolerance=0, records=6)
    betas = (0.5, 0.009, 0.003)
    assert [settings.budget(beta) for beta in betas] == [2000, 2222, 6667]
    games, lanes = three(betas=betas)
    for curve, steps in zip(curves(games, lanes, settings)[0], (1000, 1111, 3333), strict=True):
        assert (curve.status, curve.steps[-1]) == ("budget", steps)
        # Its points are those it has alone, not those of the longest run of the batch.
        np.testing.assert_array_equal(curve.steps, settings.record_steps(steps))
    every = Settings(tolerance=0, record_every=600)
    ends = [list(curve.steps) for curve in curves(games, lanes, every)[0]]
    assert ends == [[0, 600, 1000], [0, 600, 1111], [0, 600, 1200, 1800, 2400, 3000, 3333]]


def test_a_run_that_is_not_finite_keeps_its_last_finite_state_and_disturbs_no_neighbour():
    settings = Settings(queries=40, tolerance=0, records=6)
    healthy = curves(*noisy([1, 2, 3]), settings)[0]
    broken = curves(*noisy([1, 2, 3], breaks=(7, NEVER, 1)), settings)[0]
    assert [curve.status for curve in broken] == ["diverged", "budget", "diverged"]
    assert [curve.diverged_step for curve in broken] == [7, None, 1]
    assert [curve.steps[-1] for curve in broken] == [6, 40, 0]
    assert_same_bits([[broken[1]]], [[healthy[1]]])
    every = curves(*noisy([1, 2, 3]), Settings(queries=40, tolerance=0, record_every=1))[0]
    for curve, full in zip(broken, every, strict=True):
        assert all(np.isfinite(values).all() for values in curve.metrics.values())
        np.testing.assert_array_equal(curve.log_policy, full.path[curve.steps[-1]])
        np.testing.assert_array_equal(curve.path[-1], curve.log_policy)
    assert list(broken[2].steps) == [0]


def test_a_run_that_stopped_stays_so_whatever_its_next_step_would_be():
    game = cyclic()
    # At μ a game of larger β is nearer to its equilibrium: this tolerance is met at once at β = 0.5 only.
    lanes = [lane(game.replace(beta=beta), Fragile(0.5, 0.0, breaks)) for beta, breaks in ((0.5, 1), (0.1, NEVER))]
    at_start = [measured(game.replace(beta=one.beta), TILTED, TILTED)["suboptimality"] for one in lanes]
    assert at_start[0] < 0.95 * at_start[1]
    settings = Settings(queries=40, tolerance=float(np.mean(at_start)), records=3)
    stopped, *others = curves([game], [[lanes[0], lanes[1], lanes[1]]], settings)[0]
    assert (stopped.status, list(stopped.steps), stopped.diverged_step) == ("converged", [0], None)
    assert all(other.steps[-1] > 0 for other in others)


def test_an_overflowing_step_diverges():
    game = cyclic()
    settings = Settings(queries=50, records=3, precision=Precision("float32"))
    curve = curves([game], [[lane(game, "mirror-descent[step=1e38]")] * 3], settings)[0][0]
    assert (curve.status, curve.diverged_step, curve.steps[-1]) == ("diverged", 2, 1)
    assert np.isfinite(curve.metrics["suboptimality"]).all()


# -- what is recorded --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("records", [1, 2, 10, 200])
@pytest.mark.parametrize("most", [1, 2, 7, 1000, 2**31 - 1])
def test_geometric_records_are_the_start_the_end_and_even_ratios_between(records, most):
    steps = Settings(records=records).record_steps(most)
    assert (steps.dtype, steps[0], steps[1], steps[-1]) == (np.int32, 0, 1, most)
    assert (np.diff(steps) > 0).all()
    assert len(steps) <= records + 2
    if records >= 10 and most == 1000:
        far = steps[steps >= 100]
        np.testing.assert_allclose(far[1:] / far[:-1], 1000 ** (1 / (records - 1)), rtol=0.02)


@pytest.mark.parametrize(("every", "expected"), [(3, [0, 3, 6, 9, 10]), (5, [0, 5, 10]), (11, [0, 10])])
def test_records_every_so_many_steps_are_multiples_and_the_end(every, expected):
    assert list(Settings(record_every=every).record_steps(10)) == expected


def test_what_cannot_be_counted_is_refused_in_a_sentence():
    solver = make_solver("nash-mp")
    with pytest.raises(NashGamesError, match="queries is 1, but one step of nash-mp costs 2; give at least that"):
        Settings(queries=1).max_steps(solver, 0.1)
    with pytest.raises(
        NashGamesError, match="queries is 4294967296; accepted: at most 4,294,967,294, the longest run of"
    ):
        Settings(queries=2**32).max_steps(solver, 0.1)
    assert Settings(queries=2**32 - 1).max_steps(solver, 0.1) == 2**31 - 1
    # The default budget grows with 1/β until steps cannot be counted.
    for beta in (1e-12, 1e-320):
        with pytest.raises(NashGamesError, match="the budget would be 20/β, and nash-mp takes at most"):
            Settings().max_steps(solver, beta)
    with pytest.raises(NashGamesError, match="records is 2000000; accepted: at most 1,000,000"):
        Settings(records=2_000_000).record_steps(10)
    with pytest.raises(NashGamesError, match="record_every is 2, which keeps 1500000 points of a run; give at least 4"):
        Settings(record_every=2).record_steps(3_000_000)


@pytest.mark.parametrize(("dtype", "near"), [("float64", 1e-13), ("float32", 3e-6)])
def test_every_recorded_number_follows_from_the_recorded_policy(dtype, near):
    text = {"float64": "nash-mp", "float32": "mirror-descent"}[dtype]
    betas = (0.5, 0.1, 0.05)
    games, lanes = three(text, betas)
    found = curves(games, lanes, Settings(queries=100, tolerance=0, records=8, precision=Precision(dtype)))[0]
    for one, beta, curve in zip(lanes[0], betas, found, strict=True):
        np.testing.assert_array_equal(curve.path[-1], curve.log_policy)
        np.testing.assert_array_equal(curve.path[0], one.log_reference.astype(dtype))
        np.testing.assert_allclose(np.exp(curve.path).sum(axis=-1), 1, rtol=near)
        for k, log_policy in enumerate(curve.path):
            expected = measured(games[0].replace(beta=beta), log_policy, one.log_equilibrium)
            for name in METRICS:
                assert curve.metrics[name][k] == pytest.approx(expected[name], rel=1e-5, abs=near), (name, k)


def test_seconds_start_at_0_never_fall_and_are_those_of_the_batch():
    games, lanes = three()
    batch = played(games, lanes, Settings(queries=200, tolerance=1e-5, records=20))
    for curve in batch.curves()[0]:
        assert len(curve.seconds) == len(curve.steps)
        assert curve.seconds[0] == 0
        assert (np.diff(curve.seconds) >= 0).all()
        assert curve.seconds[-1] <= batch.solve_seconds


def test_a_run_on_the_original_game_stops_by_its_exploitability():
    game = cyclic(beta=0.01)
    every = curves([game], [[lane(game, "nash-mp")]], Settings(queries=300, tolerance=0, record_every=1))[0][0]
    settings = Settings(queries=300, tolerance=0.2, target="original", records=4)
    batch = played([game], [[lane(game, "nash-mp")]], settings)
    curve = batch.curves()[0][0]
    reached = np.flatnonzero(every.metrics["exploitability"] <= 0.2)[0]
    assert (curve.status, curve.steps[-1]) == ("converged", reached)
    assert every.metrics["suboptimality"][reached] != pytest.approx(every.metrics["exploitability"][reached], rel=0.1)
    assert batch.distance == curve.metrics["exploitability"][-1]
    np.testing.assert_array_equal(curve.log_policy, every.path[reached])


def test_what_is_recorded_is_what_was_asked_for(rng):
    """Every metric, and paths of three actions only, unless a recording says otherwise."""
    game = make_game(random_margins(rng, 4), beta=0.5)
    runs, settings = [[lane(game, "nash-mp")]], Settings(queries=20, tolerance=1e-3, record_every=5)
    ((usual,),) = curves([game], runs, settings)
    assert (usual.metrics.keys(), usual.path) == ({*METRICS}, None)
    expected = measured(game, usual.log_policy, runs[0][0].log_equilibrium)
    for name in METRICS:
        assert usual.metrics[name][-1] == pytest.approx(expected[name], rel=1e-6, abs=1e-14), name
    batch = Batch([game], runs, settings, recording=Recording(("entropy",), path=True))
    while not batch.finished:
        batch.advance()
    ((curve,),) = batch.curves()
    assert curve.metrics.keys() == {"entropy", "suboptimality"}, "and the metric that runs stop by"
    assert curve.path.shape == (len(curve.steps), 4)
    np.testing.assert_array_equal(curve.path[-1], usual.log_policy)
    np.testing.assert_array_equal(curve.metrics["entropy"], usual.metrics["entropy"])
    np.testing.assert_allclose(-(np.exp(curve.path) * curve.path).sum(axis=1), curve.metrics["entropy"])


# -- solvers of users --------------------------------------------------------------------------------------------------


def test_a_solver_that_keeps_no_advantage_is_measured_all_the_same():
    games, _ = three()
    lanes = [[lane(games[0].replace(beta=beta), Sppo(eta)) for beta, eta in ((0.5, 0.1), (0.1, 0.4), (0.1, 1.0))]]
    found = curves(games, lanes, Settings(queries=6, tolerance=0, record_every=1))[0]
    for one, curve in zip(lanes[0], found, strict=True):
        policy = np.exp(TILTED)
        for k in range(7):
            np.testing.assert_allclose(np.exp(curve.path[k]), policy, rtol=1e-12)
            policy = policy * np.exp(one.solver.eta * ROCK_PAPER_SCISSORS @ policy)
            policy /= policy.sum()
            expected = measured(games[0].replace(beta=one.beta), curve.path[k], one.log_equilibrium)
            for name in METRICS:
                assert curve.metrics[name][k] == pytest.approx(expected[name], rel=1e-9, abs=1e-13), name


def test_a_solver_with_a_state_of_its_own_converges_in_a_batch():
    games, _ = three()
    betas = (0.5, 0.1, 0.03)
    lanes = [[lane(games[0].replace(beta=beta), Optimistic()) for beta in betas]]
    assert [one.solver.eta for one in lanes[0]] == list(betas)
    for one, curve in zip(lanes[0], curves(games, lanes, Settings(tolerance=1e-14))[0], strict=True):
        assert curve.status == "converged"
        np.testing.assert_allclose(curve.log_policy, one.log_equilibrium, atol=1e-5)
