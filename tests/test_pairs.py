"""Data sets of comparisons: the losses of pairs as they are published, what they come to, and what is charged."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nashgames as ng
from nashgames.cli import words
from nashgames.core.precision import Precision
from nashgames.defaults import ENDLESS
from nashgames.engine import batch as engine
from nashgames.errors import NashGamesError
from nashgames.learning import data_sets
from nashgames.learning.feedback import Duels
from nashgames.learning.generated import At, draw
from nashgames.learning.pairs import Pairs, logistic, pairs_gradient
from nashgames.learning.policies import POLICIES
from nashgames.learning.policy_gradient import PLAIN
from nashgames.solvers import SOLVERS, make_solver
from nashgames.verification import verify
from tests.games import arrays, compiled, log_softmax, random_game, random_margins
from tests.test_sequence_policies import TWO, game_of, moved, table_of

BETA = 0.3


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def published(loss, beta, ratios, prefers):
    """The loss of pairs, the first preferred where `prefers`, of h of both, `[…, B]` (Azar 2024, Rafailov 2023)."""
    first, second = ratios
    winner, loser = jnp.where(prefers, first, second), jnp.where(prefers, second, first)
    if loss == "ipo":
        return jnp.mean((winner - loser - 1 / (2 * beta)) ** 2, axis=-1)
    return -jnp.mean(jax.nn.log_sigmoid(beta * (winner - loser)), axis=-1)


# How many times the gradient of the published loss a step of length 1 is.
LOSSES = {"ipo": (Pairs, -BETA / 4), "dpo": (lambda *parts: Pairs(*parts, logistic, 0.25), -1 / (2 * BETA))}


@compiled
def _two(policy, game):
    """θ_0, and parameters elsewhere."""
    start = policy.init(game, jax.random.key(0))
    return start, jax.tree.map(lambda leaf: leaf + 0.3 * jax.random.normal(jax.random.key(4), leaf.shape), start)


@compiled
def _found(policy, game, iterate, writer, key, *, loss):
    return pairs_gradient(policy, game, iterate, LOSSES[loss][0](writer, BETA, game.log_reference), key)


@pytest.mark.parametrize("kind", ["tabular", "mlp[width=4,depth=2]", "gru[width=3]"])
@pytest.mark.parametrize("loss", LOSSES)
def test_a_step_is_the_gradient_of_the_published_loss_on_the_pairs_that_were_drawn(loss, kind):
    factor = LOSSES[loss][1]
    game, policy = game_of(TWO, feedback=Duels(batch=8)), POLICIES.make(kind)
    if kind.startswith("mlp"):
        features = np.random.default_rng(1).normal(size=(*game.log_reference.shape, 3))
        game = game.replace(features=jnp.asarray(features))
    drawn_from, theta = _two(policy, game)
    writer = At(policy, drawn_from) if kind.startswith("gru") else table_of(policy, game, drawn_from)
    key = jax.random.key(9)
    of_pairs, of_judge = jax.random.split(key)
    pairs = draw(game, writer, of_pairs, 2 * game.feedback.comparisons)
    ours, theirs = jnp.split(pairs, 2, axis=-1)
    prefers = game.duel(ours, theirs, of_judge) > 0
    assert prefers.any() and not prefers.all()

    @jax.jit
    @jax.grad
    def slope(theta):
        ratios = policy.log_prob(game, theta, pairs) - jnp.take_along_axis(game.log_reference, pairs, axis=-1)
        losses = published(loss, BETA, jnp.split(ratios, 2, axis=-1), prefers)
        return jnp.sum(game.weights * losses) if policy.shares_parameters else jnp.sum(losses)

    iterate = PLAIN.start(game, key, 0.0)._replace(parameters=theta)
    found = _found(policy, game, iterate, writer, key, loss=loss)
    wanted = jax.tree.map(lambda leaf: factor * leaf, slope(theta))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-13), found, wanted)
    assert max(float(jnp.max(jnp.abs(leaf))) for leaf in jax.tree.leaves(found)) > 1e-3


@pytest.mark.parametrize("loss", LOSSES)
def test_the_step_of_drawn_pairs_is_that_of_all_pairs_in_the_mean(loss):
    policy, make = POLICIES.make("gru[width=3]"), LOSSES[loss][0]
    duels, exact = game_of(TWO, feedback=Duels(batch=64)), game_of(TWO)
    theta, written = moved(policy, exact), moved(policy, exact, seed=5)
    table = table_of(policy, exact, written)
    iterate = PLAIN.start(exact, jax.random.key(0), 0.0)
    iterate = iterate._replace(parameters=theta, log_policy=table_of(policy, exact, theta))
    wanted = np.asarray(_found(policy, exact, iterate, table, None, loss=loss))

    @jax.jit
    def steps(keys):
        loss = make(At(policy, written), BETA, duels.log_reference)
        return jax.vmap(lambda key: pairs_gradient(policy, duels, iterate, loss, key))(keys)

    found = np.asarray(steps(jax.random.split(jax.random.key(11), 300)))
    error = found.std(axis=0) / np.sqrt(len(found))
    assert np.all(np.abs(found.mean(axis=0) - wanted) <= 5 * error + 1e-12)
    assert np.linalg.norm(error) < 0.05 * np.linalg.norm(wanted)


def rested(text, game, steps):
    """The policy of a solver after so many steps with all pairs."""
    with Precision().scope():
        solver, game = arrays((make_solver(text).with_theory_defaults(float(game.beta)), game))

        @jax.jit
        def run(state):
            return jax.lax.fori_loop(0, steps, lambda _, state: solver.update(game, state, jax.random.key(0)), state)

        return np.asarray(solver.log_policy(run(solver.init(game, jax.random.key(0)))))


def test_offline_ipo_comes_to_the_best_response_to_what_wrote_the_pairs(rng):
    log_mu, log_start = log_softmax(rng.normal(size=5)), log_softmax(rng.normal(size=5))
    margins = random_margins(rng, 5)
    game = ng.make_game(margins, beta=0.2, log_reference=log_mu).replace(log_start=log_start)
    wanted = log_softmax(log_mu + margins @ np.exp(log_start) / 0.2)
    np.testing.assert_allclose(rested("offline-ipo", game, 1000), wanted, atol=1e-10)


@pytest.mark.parametrize("text", ["dpo", "dpo[round=20]"])
def test_dpo_comes_to_the_optimum_of_the_reward_where_there_is_one(rng, text):
    """P = σ(r_i − r_j) gives π ∝ μ e^{r/β}, whoever wrote the pairs; π*_β is another policy."""
    rewards, log_mu = rng.uniform(-1, 1, size=4), log_softmax(rng.normal(size=4))
    margins = 1 / (1 + np.exp(rewards[None] - rewards[:, None])) - 0.5
    game = ng.make_game(margins, beta=0.7, log_reference=log_mu)
    wanted = log_softmax(log_mu + rewards / 0.7)
    np.testing.assert_allclose(rested(text, game, 2000), wanted, atol=1e-9)
    other = log_softmax(log_mu + margins @ np.exp(wanted) / 0.7)
    assert np.abs(other - wanted).max() > 0.1


def test_a_round_that_is_fitted_to_its_end_is_a_step_of_inpo_and_one_of_a_single_step_is_online_ipo(rng):
    game = random_game(rng, 4, 0.3, spread=0.3)
    np.testing.assert_allclose(
        rested("inpo-pg[eta=1,round=500]", game, 1500), rested("inpo[eta=1]", game, 3), atol=1e-10
    )
    np.testing.assert_allclose(
        rested("inpo-pg[round=1,step=0.4]", game, 30), rested("online-ipo[step=0.4]", game, 30), atol=1e-12
    )


def test_the_batches_of_a_data_set_come_back_and_those_of_another_round_are_others(rng):
    game = arrays(random_game(rng, 5, 0.2).replace(feedback=Duels(batch=4)))
    solver = make_solver("dpo")
    state = data_sets.begin(solver.learner, game, jax.random.key(3))

    def read_with(batches, of_round):
        keys = [
            data_sets._key_of_batch(state._replace(steps=jnp.asarray(step)), jax.random.key(step), batches, of_round)
            for step in range(14)
        ]
        return [tuple(jax.random.key_data(key).tolist()) for key in keys]

    read = read_with(3, 7)
    assert read[:3] == read[3:6] and read[6] == read[0] and read[7:10] == read[10:13]
    assert len(set(read)) == 6
    own = [tuple(jax.random.key_data(jax.random.key(step)).tolist()) for step in range(14)]
    assert read_with(ENDLESS, 7) == own


def test_a_data_set_is_fitted_to_its_end_noise_and_all():
    """Of one batch the policy comes to the least squares of its own labels, and every comparison is charged once."""
    asked = {"actions": 3, "beta": 0.5, "feedback": "duels[batch=6]", "queries": 3000, "seeds": 2}
    kept = ng.solve("disc", "offline-ipo[batches=1,step=2]", **asked).curves
    fresh = ng.solve("disc", "offline-ipo[step=2]", **asked).curves
    assert set(kept["comparisons"]) == {0, 6} and fresh["comparisons"].max() == 18_000
    ends = kept[kept["step"] > 2000].groupby("seed")["suboptimality"]
    np.testing.assert_allclose(ends.min(), ends.max(), rtol=1e-9)
    assert ends.max().nunique() == 2
    assert np.ptp(fresh[fresh["step"] > 1000]["suboptimality"]) > 1e-3


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("offline-ipo[batches=5]", lambda step: min(step, 5)),
        ("dpo[batches=5]", lambda step: min(step, 5)),
        ("dpo[batches=2,round=4]", lambda step: 2 * (step // 4) + min(step % 4, 2)),
        ("inpo-pg[batches=30]", lambda step: step),
        ("inpo-pg[batches=3]", lambda step: 3 * (step // 10) + min(step % 10, 3)),
        ("average[offline-ipo[batches=5]]", lambda step: min(step, 5)),
    ],
)
def test_comparisons_are_charged_once_and_the_directory_is_verified(tmp_path, monkeypatch, text, wanted):
    """Also where a run went on from the end of a smaller budget, as batches that take a moment do not."""
    monkeypatch.setattr(engine, "_SHORT", 0)
    for comparisons in (60, 75):
        experiment = ng.Experiment(
            game="disc", solver=text, actions=4, beta=0.2, feedback="duels[batch=3]", comparisons=comparisons, records=7
        )
        result = ng.sweep(experiment, tmp_path)
    curves = result.curves
    assert {20, 25} <= set(curves["step"])
    assert list(curves["comparisons"]) == [3 * wanted(step) for step in curves["step"]]
    *_, report = verify(tmp_path, replay="all")
    assert not report.mismatches and report.ok


@pytest.mark.parametrize("policy", ["gru[width=8]", "mlp"])
def test_networks_learn_from_data_sets(policy):
    result = ng.solve(
        "sequence-voters[vocabulary=3,length=2,contexts=2]", "inpo-pg[eta=0.2,round=50,batches=20]", beta=0.1,
        policy=policy, optimiser="adam", feedback="duels[batch=32]", queries=400,
    )  # fmt: skip
    ends = result.curves["suboptimality"]
    assert ends.iloc[-1] < ends.iloc[0] / 2
    assert result.curves["comparisons"].iloc[-1] == 8 * 20 * 32 * 2


def test_a_mistake_is_a_sentence():
    with pytest.raises(NashGamesError, match="leave it out, or use the feedback duels"):
        ng.solve("disc", "dpo[batches=3]", actions=4)
    with pytest.raises(NashGamesError, match="use sgd or adam"):
        ng.solve("disc", "offline-ipo", actions=4, optimiser="natural")
    assert {"offline-ipo", "dpo", "inpo-pg"} == {name for name, kind in SOLVERS.items() if hasattr(kind, "paid")}


def test_the_step_is_tuned_on_a_data_set():
    asked = {"actions": 3, "feedback": "duels[batch=2]", "queries": 20, "tune": "trials=3", "tolerance": 0.1}
    runs = ng.solve("disc", "offline-ipo[batches=4]", **asked).runs
    assert runs["hyperparameters"].nunique() == 4 and set(runs["comparisons"]) == {8}


def test_numbers_that_stand_for_never_are_not_shown():
    for text, wanted in (
        ("dpo[step=1]", "step 1, given"),
        ("dpo[step=1,batches=3,round=7]", "step 1, K = 3, T = 7, given"),
    ):
        result = ng.solve("disc", text, actions=3, feedback="duels[batch=2]", queries=2)
        assert words.step(result.runs.iloc[0]) == wanted
