"""Runs on duels, end to end: seeds, chunks, budgets, endings, and every tabular solver without bias."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nashgames.core.feedback import EXACT
from nashgames.core.game import make_game
from nashgames.core.precision import Precision
from nashgames.engine.batch import Batch, Lane
from nashgames.engine.settings import Settings
from nashgames.errors import NashGamesError
from nashgames.exact.referee import equilibrium
from nashgames.experiments import runner
from nashgames.experiments.events import Finished
from nashgames.experiments.experiment import DEFAULT_GRADIENTS, Experiment
from nashgames.learning.feedback import FEEDBACKS, Duels
from nashgames.solvers import GRADIENTS, Average, MirrorDescent, compose, make_solver, parts_of
from tests.games import ROCK_PAPER_SCISSORS, arrays, compiled, log_softmax, measured, random_game, random_margins

TILTED = log_softmax(np.array([1.0, 0.0, -1.0]))
GAME = make_game(ROCK_PAPER_SCISSORS, beta=0.1, log_reference=TILTED)
STAR = equilibrium(GAME).log_policy


def lane(text="online-ipo", seed=0, feedback="duels[batch=5]"):
    solver = make_solver(text).with_theory_defaults(0.1)
    return Lane(solver, 0.1, TILTED, STAR, seed, feedback=FEEDBACKS.make(feedback))


SHORT = Settings(queries=60, records=10)


def curves(lanes, settings=SHORT, chunks=None):
    """The curves of a batch; with `chunks` it is advanced to these steps one after the other."""
    batch = Batch([GAME], [lanes], settings)
    if chunks is not None:
        with settings.precision.scope():
            for stop in chunks:
                batch._advance(np.full(4, stop, np.int32))
    while not batch.finished:
        batch.advance()
    return batch.curves()[0]


def played(directory, **values):
    experiment = Experiment(
        **({"game": "circulant", "actions": 3, "reference": "tilted", "beta": 0.1, "queries": 50} | values)
    )
    *_, last = runner.execute(experiment, directory)
    assert isinstance(last, Finished)
    return last


# Wherever two runs do, two share a batch: then experiments on duels compile nothing anew.
@pytest.mark.parametrize("name", ["online-ipo", "mirror-descent", "nash-mp", "approximate-nash-mp[inner=7]"])
def test_a_seed_repeats_bit_for_bit_in_any_chunks_and_two_differ(name):
    settings = Settings(queries=60, record_every=1)
    pair = [lane(name, seed) for seed in (3, 4)]
    whole, same, chunked = (curves(pair, settings, chunks=chunks) for chunks in (None, None, (1, 2, 17, 19)))
    for first, again, other in zip(whole, same, chunked, strict=True):
        np.testing.assert_array_equal(first.log_policy, again.log_policy)
        np.testing.assert_array_equal(first.log_policy, other.log_policy)
        shared = np.isin(first.steps, other.steps)
        assert 4 < shared.sum() < len(first.steps)
        for column, values in other.metrics.items():
            np.testing.assert_array_equal(first.metrics[column][shared], values)
    assert np.abs(whole[0].log_policy - whole[1].log_policy).max() > 1e-3


def test_a_seed_is_the_same_run_in_any_company_and_order_and_no_two_are_one_run():
    order = np.random.default_rng(0).permutation(300)
    found = {
        seed: curve.log_policy for seed, curve in zip(order, curves([lane(seed=int(k)) for k in order]), strict=True)
    }
    assert len(np.unique(np.stack(list(found.values())).round(12), axis=0)) == 300
    for pair in ((0, 1), (3, 2)):
        apart = [curve.log_policy for curve in curves([lane(seed=seed) for seed in pair])]
        np.testing.assert_allclose([found[seed] for seed in pair], apart, atol=1e-12)


@pytest.mark.parametrize(
    ("text", "queries"),
    [
        ("nash-mp[eta=1e-12]", 7),
        ("proximal-point[eta=1e-12]", 7),
        ("comal[tau=1e12]", 7),
        ("egpo[step=1e-12]", 6),
    ],
)
def test_two_steps_and_two_queries_of_a_step_draw_other_duels(text, queries):
    """With the probabilities as labels and a policy that stays, only the draws tell two estimates apart."""
    seen = []

    class Watched(Duels):
        def tally(self, game, log_behaviour, log_opponent, key, advantage=None):
            tally = super().tally(game, log_behaviour, log_opponent, key, advantage)
            jax.debug.callback(lambda margins: seen.append(np.asarray(margins)), tally.margins)
            return tally

    with Precision().scope():
        solver, game = arrays((make_solver(text).with_theory_defaults(0.1), GAME))
        game = game.replace(feedback=Watched(batch=40))
        state = solver.init(game, jax.random.key(0))
        for t in range(3):
            state = solver.update(game, state, jax.random.key(t + 1))
        jax.block_until_ready(state)
    assert len(seen) == queries
    assert len(np.unique(np.round(seen, 12), axis=0)) == queries


@pytest.mark.parametrize("contexts", [1, 2])
def test_a_query_on_duels_is_unbiased(rng, contexts):
    """Importance-corrected: E q̂ = Aπ for every action, and of the variance that the docstring promises."""
    margins = np.stack([random_margins(rng, 5, sharpness=10.0) for _ in range(contexts)])
    log_policies = np.stack([log_softmax(rng.normal(size=5)) for _ in range(contexts)])
    with Precision().scope():
        game = arrays(make_game(margins.squeeze())).replace(feedback=Duels(batch=3))
        log_policy = jnp.asarray(log_policies.squeeze())
        found = np.asarray(_queried(game, log_policy, jax.random.split(jax.random.key(0), 40_000)))
        expected = np.asarray(game.advantage(log_policy))
    error = np.std(found, axis=0) / np.sqrt(len(found))
    assert np.all(np.abs(found.mean(axis=0) - expected) < 5 * error)
    # A wrong factor must be seen.
    assert np.linalg.norm(expected) > 20 * np.linalg.norm(error)
    # At most n/(4B) an action.
    assert np.all(np.var(found, axis=0) <= 5 / (4 * 3) * 1.05)


_queried = compiled(lambda game, log_policy, keys: jax.vmap(lambda key: game.query(log_policy, key))(keys))


@compiled
def _four(game, log_policy, keys):
    """Four queries of one policy inside a scan."""
    return jax.lax.scan(lambda _, key: (None, game.query(log_policy, key)), None, keys)[1]


def test_queries_inside_a_loop_draw_by_their_keys(rng):
    """Four keys give four answers, one key the same answer four times."""
    with Precision().scope():
        game = arrays(random_game(rng, 5, 0.2)).replace(feedback=Duels(batch=40))
        key, log_policy = jax.random.key(0), game.log_reference
        split = np.asarray(_four(game, log_policy, jax.random.split(key, 4)))
        again = np.asarray(_four(game, log_policy, jnp.stack([key] * 4)))
    assert len(np.unique(split, axis=0)) == 4
    assert len(np.unique(again, axis=0)) == 1
    assert np.abs(split - again).max() > 0


@compiled
def _asked(game, inner, log_policy, key):
    known = inner.advantage(log_policy)
    asked, outer = (one.query(log_policy, key) for one in (inner, game))
    return asked, outer, known, inner.tally(log_policy, log_policy, key, known)


def test_an_inner_game_under_duels_still_samples(rng):
    """A solver that builds another game from its own learns from what it has paid for."""
    with Precision().scope():
        game = arrays(random_game(rng, 5, 0.2)).replace(feedback=Duels(batch=7))
        inner = game.replace(beta=0.7, log_reference=game.log_reference[::-1], log_start=game.log_reference)
        key, log_policy = jax.random.key(3), game.log_reference
        asked, outer, known, tallied = _asked(game, inner, log_policy, key)
        np.testing.assert_array_equal(asked, outer)
        # Seven duels tell multiples of 5/14, and of 1/14.
        np.testing.assert_allclose(asked * 14 / 5, np.round(asked * 14 / 5), atol=1e-12)
        np.testing.assert_allclose(tallied.margins * 14, np.round(tallied.margins * 14), atol=1e-12)
        assert inner.foresee(log_policy) is None
        assert np.abs(asked - known).max() > 0.05


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Peeking(MirrorDescent):
    """Mirror descent that looks at A besides."""

    name = "peeking"

    def update(self, game, state, key):
        state = super().update(game, state, key)
        return state._replace(advantage=game.advantage(state.log_policy))


def test_a_product_with_the_margins_is_refused_where_duels_are_the_feedback():
    sentence = "one step of the solver 'peeking' reads the exact advantage once although it learns from duels"
    for feedback, said in ((Duels(batch=5), sentence), (EXACT, "makes 2 queries, but queries_per_step is 1")):
        with pytest.raises(NashGamesError, match=said):
            Batch([GAME], [[Lane(Peeking(0.1), 0.1, TILTED, STAR, 0, feedback=feedback)]], SHORT)


@compiled
def _after(solver, game, keys, steps):
    """log π after so many updates from the start, for each of the keys: `[keys, n]`."""

    def one(key):
        def move(t, state):
            return solver.update(game, state, jax.random.fold_in(key, t))

        return solver.log_policy(jax.lax.fori_loop(0, steps, move, solver.init(game, key)))

    return jax.vmap(one)(keys)


@pytest.mark.parametrize(
    "text",
    # One of each closed form: a step of two queries, trials, a mixture, an average of steps of one query. That steps of
    # policy gradients are unbiased is told by test_learner.
    ["nash-mp", "adaptive-nash-mp", "nash-md", "average[mirror-descent]"],
)
def test_every_solver_learns_from_duels(text):
    """With many duels a query it goes where exact feedback takes it, and not exactly there."""
    with Precision().scope():
        solver, game = arrays((make_solver(text).with_theory_defaults(0.1), GAME))
        keys = jax.random.split(jax.random.key(0), 1)
        exact, sampled = (
            np.exp(np.asarray(_after(solver, game.replace(feedback=feedback), keys, 24)[0]))
            for feedback in (EXACT, Duels(batch=20_000))
        )
    np.testing.assert_allclose(sampled, exact, atol=0.02)
    assert np.abs(sampled - exact).max() > 1e-6
    assert np.abs(exact - np.exp(TILTED)).max() > 0.08


def test_a_run_on_duels_goes_on_to_its_budget_and_is_judged_by_its_last_iterate():
    settings = Settings(queries=80, records=20, tolerance=0.5)
    pair = [lane(seed=seed) for seed in range(2)]
    ended = curves(pair, settings)
    assert [int(curve.steps[-1]) for curve in ended] == [80] * 2
    assert [curve.status for curve in ended] == ["converged"] * 2
    strict = curves(pair, dataclasses.replace(settings, tolerance=1e-12))
    assert [curve.status for curve in strict] == ["budget"] * 2


def test_comparisons_are_counted_and_may_be_the_budget(tmp_path):
    finished = played(
        tmp_path / "a",
        solver=["nash-mp", "online-ipo"],
        feedback="duels[batch=5]",
        queries=None,
        comparisons=203,
        seeds=2,
    )
    runs = finished.runs.set_index(["solver", "seed"])
    # nash-mp makes two queries a step: 20 steps of 10 duels; online-ipo 40 of 5.
    assert runs.loc[("nash-mp", 0), ["step", "queries", "comparisons", "budget"]].tolist() == [20, 40, 200, 40]
    assert runs.loc[("online-ipo", 1), ["step", "queries", "comparisons", "budget"]].tolist() == [40, 40, 200, 40]
    assert set(finished.runs["feedback"]) == {"duels[batch=5]"}
    assert finished.runs["queries_to_tolerance"].isna().all()


def test_exact_and_sampled_runs_of_one_experiment_keep_their_names_apart(tmp_path):
    finished = played(tmp_path / "a", solver=["online-ipo"], feedback=["exact", "duels[batch=5]"], seeds=2)
    assert sorted(finished.runs["feedback"]) == ["duels[batch=5]"] * 2 + ["exact"]
    assert (finished.runs["comparisons"] > 0).tolist() == (finished.runs["feedback"] == "duels[batch=5]").tolist()


def test_a_diverged_seed_is_counted_and_keeps_its_last_finite_point(tmp_path):
    finished = played(
        tmp_path / "a", solver="mirror-descent[step=1e300]", feedback="duels[batch=5]", queries=20, seeds=2, records=20
    )
    assert len(finished.runs) == 2
    lost = finished.runs[finished.runs["status"] == "diverged"]
    assert len(lost) == 2
    assert lost["diverged_step"].notna().all()
    assert np.isfinite(finished.policies["probability"]).all()


def test_parts_are_told_again_and_wrappers_pass_them_on():
    text = {"policy": "log-linear[dimension=2]", "optimiser": "adam[clip=1]"}
    assert parts_of(compose(make_solver("nash-prox"), **text)) == text
    wrapped = compose(make_solver("average[online-ipo]"), **text)
    assert isinstance(wrapped, Average)
    assert parts_of(wrapped) == text
    # Composed again, nothing of before is left.
    assert parts_of(compose(compose(make_solver("online-ipo"), **text))) == parts_of(make_solver("online-ipo"))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"solver": "nash-mp", "policy": "mlp"}, ["policy is 'mlp'", "nash-mp", "tabular", "online-ipo"]),
        ({"solver": "mirror-descent", "optimiser": "adam"}, ["optimiser is 'adam'", "sgd"]),
        ({"comparisons": 10}, ["comparisons is 10", "duels"]),
        ({"feedback": "duels[batch=100]", "comparisons": 99}, ["comparisons is 99", "makes 200", "at least"]),
        ({"start": "equilibrum"}, ["equilibrum", "did you mean 'equilibrium'"]),
        ({"start": "equilibrium[distance=0]"}, ["distance", "above 0"]),
        ({"start": "equilibrium", "solver": "online-ipo", "policy": "log-linear"}, ["start is", "log-linear"]),
        ({"solver": "online-ipo[step=0:1:5]"}, ["0:1:5", "low:high:count"]),
        ({"solver": "online-ipo[step=1:2:1]"}, ["1:2:1", "count"]),
        ({"feedback": []}, ["feedback is an empty list"]),
    ],
)
def test_a_mistake_is_one_sentence(values, words, tmp_path):
    with pytest.raises(NashGamesError) as caught:
        played(tmp_path / "a", **values)
    assert all(word in str(caught.value) for word in words), caught.value
    assert "\n" not in str(caught.value)


def test_a_range_of_steps_is_that_many_solvers():
    asked = Experiment(solver="online-ipo[step=0.1:10:3]")
    assert asked.solver == ("online-ipo[step=0.1]", "online-ipo[step=1]", "online-ipo[step=10]")
    grid = Experiment(solver="nash-prox[eta=1:2:2,step=0.5:2:2]").solver
    assert len(grid) == 4
    assert Experiment.from_dict(asked.to_dict()) == asked


def test_a_policy_without_solvers_is_moved_by_gradients():
    assert Experiment.from_dict({"policy": "mlp"}).solver == DEFAULT_GRADIENTS
    assert set(DEFAULT_GRADIENTS) <= set(GRADIENTS)
    assert Experiment.from_dict({"feedback": "duels"}).solver == Experiment().solver


@pytest.mark.parametrize("distance", [1e-6, 1e-2])
def test_a_run_may_start_near_the_equilibrium(tmp_path, distance):
    finished = played(tmp_path / "a", solver=["nash-mp", "online-ipo"], start=f"equilibrium[distance={distance}]")
    first = finished.curves[finished.curves["step"] == 0]
    # KL is half the variance under π* of three logits with this standard deviation.
    assert np.all(first["kl_to_equilibrium"] < 5 * distance**2)
    assert np.all(first["kl_to_equilibrium"] > 1e-3 * distance**2)


def test_contexts_that_are_alike_are_one_game():
    """Copies of one game as contexts move like the game itself, whatever the weights: a table's steps do not shrink."""
    rng = np.random.default_rng(2)
    margins, mu = random_margins(rng, 4), log_softmax(rng.normal(size=4))
    one = make_game(margins, beta=0.2, log_reference=mu)
    three = make_game(np.stack([margins] * 3), beta=0.2, log_reference=np.stack([mu] * 3), weights=[0.2, 0.3, 0.5])
    for name in GRADIENTS:
        with Precision().scope():
            solver = arrays(make_solver(name).with_theory_defaults(0.2))
            found = []
            for game in map(arrays, (one, three)):
                state = solver.init(game, jax.random.key(0))
                for t in range(5):
                    state = solver.update(game, state, jax.random.key(t))
                found.append(np.asarray(solver.log_policy(state)))
        np.testing.assert_allclose(found[1], np.stack([found[0]] * 3), atol=1e-13)


def test_the_order_of_the_methods_is_kept_with_a_hundred_comparisons_a_step():
    """At β = 0.01, each with the best of the steps 0.1, 0.3, 1: Nash Prox before approximate Nash-MP before self-play,
    as with exact gradients, at the 90 % quantile of the last iterate over 20 seeds."""
    game = GAME.replace(beta=0.01)
    star = equilibrium(game).log_policy

    def worst(name, feedback, seeds):
        ends = []
        for step in (0.1, 0.3, 1):
            with Precision().scope():
                solver, asked = arrays((make_solver(f"{name}[step={step}]").with_theory_defaults(0.01), game))
                asked = asked.replace(feedback=feedback)
                # Later the noise of nash-prox and of approximate-nash-mp is all that is left of both.
                found = np.asarray(_after(solver, asked, jax.random.split(jax.random.key(0), seeds), 600))
            ends.append(sorted(measured(game, log_policy, star)["suboptimality"] for log_policy in found))
        return min(of_step[int(np.ceil(0.9 * seeds)) - 1] for of_step in ends)

    names = ("nash-prox", "approximate-nash-mp", "online-ipo")
    exact = [worst(name, EXACT, 1) for name in names]
    sampled = [worst(name, Duels(batch=100), 20) for name in names]
    assert exact[0] < exact[1] < exact[2]
    assert sampled[0] < 0.5 * sampled[1] < 0.25 * sampled[2]
