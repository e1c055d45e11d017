"""Policies that write sequences token by token, against tables of all sequences; the gradient from what was drawn."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy

import nashgames as ng
from nashgames.core.game import Description
from nashgames.core.sequences import END, Sequences
from nashgames.engine import loop
from nashgames.errors import NashGamesError
from nashgames.learning.feedback import Duels
from nashgames.learning.generated import At, Mixture, Uniform, draw, log_prob
from nashgames.learning.optimisers import OPTIMISERS
from nashgames.learning.policies import POLICIES
from nashgames.learning.policy_gradient import Objective, PolicyGradient, uniform_like
from nashgames.learning.prefixes import Prefixes, next_of, policy_of
from nashgames.solvers import compose, make_solver
from tests.games import compiled

WRITERS = ["transformer[width=8,heads=2,layers=2]", "gru[width=8,layers=2]"]
THREE = Sequences(vocabulary=3, length=3)
TWO = Sequences(vocabulary=2, length=2)


def game_of(sequences, *, contexts=2, seed=0, feedback=None):
    """A game of random margins over all sequences, its reference random too, ready for compiled programs."""
    rng = np.random.default_rng(seed)
    shape = (contexts, sequences.count) if contexts > 1 else (sequences.count,)
    drawn = np.triu(rng.uniform(-0.5, 0.5, (*shape, sequences.count)), 1)
    weights = np.array([0.3, 0.7]) if contexts == 2 else None
    game = ng.make_game(
        drawn - np.swapaxes(drawn, -1, -2),
        beta=0.2,
        weights=weights,
        log_reference=scipy.special.log_softmax(rng.normal(size=shape), axis=-1),
        description=Description("sequences", sequences=sequences),
    )
    placed = jax.tree.map(jnp.asarray, game.replace(features=Prefixes.of(game)))
    return placed if feedback is None else placed.replace(feedback=feedback)


def moved(policy, game, size=0.5, seed=1):
    """Parameters away from where they start, so that no symmetry hides a mistake."""
    return _moved(policy, game, size, seed)


@compiled
def _moved(policy, game, size, seed):
    start = policy.init(game, jax.random.key(seed))
    return start + size * jax.random.normal(jax.random.key(seed + 1), start.shape, start.dtype)


@compiled
def table_of(policy, game, parameters):
    return policy.log_policy(game, parameters)


@compiled
def sampled(policy, game, parameters, key):
    """2¹⁴ samples."""
    return policy.sample(game, parameters, key, 2**14)


@compiled
def _told(distribution, game, actions):
    return log_prob(game, distribution, actions)


@compiled
def _drawn(distribution, game, key):
    """2¹⁴ draws."""
    return draw(game, distribution, key, 2**14)


@compiled
def _gradient(learner, game, iterate, objective, key):
    return learner.gradient(game, iterate, objective, key)


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("sequences", [THREE, Sequences(5, 1)], ids=str)
def test_numbers_are_those_of_all_words_by_length_and_letter(sequences):
    words = [
        word
        for length in range(sequences.length + 1)
        for word in itertools.product(range(1, sequences.vocabulary + 1), repeat=length)
    ]
    padded = np.array([[*word, *[END] * (sequences.length - len(word))] for word in words])
    assert sequences.count == len(words) and sequences.prefixes == sum(len(w) < sequences.length for w in words)
    for xp in (np, jnp):
        numbers = xp.arange(len(words))
        np.testing.assert_array_equal(sequences.tokens(numbers), padded)
        np.testing.assert_array_equal(sequences.numbers(xp.asarray(padded)), numbers)
        np.testing.assert_array_equal(sequences.lengths(numbers), [len(word) for word in words])
    if sequences.length == 3:
        assert sequences.text(0) == "·" and sequences.text(len(words) - 1) == "ccc"


def test_next_tokens_have_the_probabilities_of_all_that_begins_so():
    log_policy = scipy.special.log_softmax(np.random.default_rng(3).normal(size=(2, THREE.count)), axis=-1)
    found = next_of(THREE, log_policy)
    words = [tuple(int(t) for t in row if t > END) for row in THREE.tokens(np.arange(THREE.count))]
    for context, (place, prefix) in itertools.product(range(2), enumerate(words[: THREE.prefixes])):
        mass = [np.exp(log_policy[context][i]) for i, word in enumerate(words) if word[: len(prefix)] == prefix]
        for token in range(1, 4):
            longer = (*prefix, token)
            below = [np.exp(log_policy[context][i]) for i, w in enumerate(words) if w[: len(longer)] == longer]
            assert np.exp(found[context, place, token]) == pytest.approx(sum(below) / sum(mass), rel=1e-12)
        ends = np.exp(log_policy[context][words.index(prefix)])
        assert np.exp(found[context, place, 0]) == pytest.approx(ends / sum(mass), rel=1e-12)
    np.testing.assert_allclose(policy_of(THREE, jnp.asarray(found)), log_policy, atol=1e-13)


@pytest.mark.parametrize(("text", "contexts"), [(WRITERS[0], 2), (WRITERS[1], 1)])
def test_a_policy_starts_at_the_reference_and_says_one_thing_in_every_way(text, contexts):
    game, policy = game_of(THREE, contexts=contexts), POLICIES.make(text)
    start, parameters = (moved(policy, game, size=size) for size in (0.0, 0.5))
    np.testing.assert_allclose(table_of(policy, game, start), game.log_reference, atol=1e-13)
    table = table_of(policy, game, parameters)
    assert float(jnp.max(jnp.abs(table - game.log_reference))) > 0.1
    np.testing.assert_allclose(jnp.sum(jnp.exp(table), axis=-1), 1, atol=1e-13)
    everyone = jnp.broadcast_to(jnp.arange(THREE.count), table.shape)
    np.testing.assert_allclose(_told(At(policy, parameters), game, everyone), table, atol=1e-12)
    # 2¹⁴ samples: Pearson's statistic has mean n − 1 and variance 2(n − 1); five deviations.
    drawn = sampled(policy, game, parameters, jax.random.key(7)).reshape(contexts, -1)
    for numbers, log_policy in zip(drawn, table.reshape(contexts, -1), strict=True):
        expected = 2**14 * np.exp(np.asarray(log_policy))
        often = expected > 5
        seen = np.bincount(numbers, minlength=THREE.count)
        statistic = np.sum((seen - expected)[often] ** 2 / expected[often])
        assert abs(statistic - often.sum()) < 5 * np.sqrt(2 * often.sum())


@pytest.mark.parametrize("text", WRITERS)
def test_prompts_are_told_apart_and_prefixes_read_causally(text):
    game, policy = game_of(THREE), POLICIES.make(text)
    network = policy._at(game, moved(policy, game))
    before = jnp.array([[0, 1, 2], [0, 1, 3], [0, 2, 2]])
    logits, read = (jax.jit(lambda *given, ask=ask: ask(*given)) for ask in (network.logits, network.read))
    said = logits(jnp.zeros(3, int), before)
    np.testing.assert_allclose(said[0, :2], said[1, :2], atol=1e-14)
    assert float(jnp.max(jnp.abs(said[0, 2] - said[1, 2]))) > 1e-3
    assert float(jnp.max(jnp.abs(said[0, 1] - said[2, 1]))) > 1e-3
    assert float(jnp.max(jnp.abs(said - logits(jnp.ones(3, int), before)))) > 1e-3
    memory = network.memory(3)
    for place in range(3):
        memory, next_logits = read(memory, jnp.zeros(3, int), before[:, place], jnp.asarray(place))
        np.testing.assert_allclose(next_logits, said[:, place], atol=1e-13)


def test_temperature_and_top_change_the_samples_and_not_the_policy():
    plain, game = POLICIES.make("gru[width=8]"), game_of(TWO, contexts=1)
    parameters = moved(plain, game)
    log_next = next_of(TWO, np.asarray(table_of(plain, game, parameters)))
    sharp = POLICIES.make("gru[width=8,temperature=0.5]")
    np.testing.assert_array_equal(table_of(sharp, game, parameters), table_of(plain, game, parameters))
    sharper = scipy.special.log_softmax(log_next / 0.5, axis=-1)
    cut = np.where(log_next >= np.sort(log_next, axis=-1)[..., -2:-1], log_next, -np.inf)
    for text, expected in (("temperature=0.5", sharper), ("top=2", scipy.special.log_softmax(cut, axis=-1))):
        policy = POLICIES.make(f"gru[width=8,{text}]")
        seen = np.bincount(sampled(policy, game, parameters, jax.random.key(3)), minlength=TWO.count) / 2**14
        likely = np.exp(np.asarray(policy_of(TWO, jnp.asarray(expected))))
        # Five deviations of a frequency, and nothing where nothing is possible.
        assert np.all(np.abs(seen - likely) <= 5 * np.sqrt(likely * (1 - likely) / 2**14) + 1e-12)


def test_a_network_computes_in_the_type_that_is_asked_for():
    game = game_of(THREE)
    run, half = (POLICIES.make(f"transformer[width=8,heads=2,compute={name}]") for name in ("run", "bfloat16"))
    parameters = moved(run, game, size=0.2)
    exact, rounded = table_of(run, game, parameters), table_of(half, game, parameters)
    assert rounded.dtype == exact.dtype
    # bfloat16 has eight bits: its rounding shows, and stays below a tenth.
    assert 1e-5 < float(jnp.max(jnp.abs(exact - rounded))) < 0.1
    np.testing.assert_allclose(jnp.sum(jnp.exp(rounded), axis=-1), 1, atol=1e-12)


@pytest.mark.parametrize(
    ("kind", "label"),
    [
        ("self-play", "binary"),
        ("target", "binary"),
        ("uniform", "binary"),
        ("mixture", "binary"),
    ],
)
def test_the_gradient_from_samples_is_unbiased(kind, label):
    """Its mean over many keys is the exact gradient, of which the opponent's advantage is that of what is drawn."""
    policy = POLICIES.make("gru[width=3]")
    duels = game_of(TWO, feedback=Duels(batch=64, label=label, noise=0.1))
    exact = game_of(TWO)
    learner = PolicyGradient(policy, OPTIMISERS.make("sgd"), sampled=True)
    ours, theirs = moved(policy, exact), moved(policy, exact, seed=5)
    table, at = table_of(policy, exact, ours), At(policy, ours)
    target, at_target = table_of(policy, exact, theirs), At(policy, theirs)
    anchor, at_anchor = exact.log_reference, duels.log_reference
    weight = 1
    behaviour = table, at
    opponent = {"self-play": (table, at), "target": (target, at_target), "uniform": (target, at_target)}.get(kind)
    if kind == "uniform":
        behaviour, weight = (uniform_like(table), Uniform()), TWO.count
    if kind == "target":
        anchor, at_anchor = 0.7 * target + 0.3 * exact.log_reference, Mixture(at_target, duels.log_reference, 0.3)
    if kind == "mixture":
        # Token by token.
        mixed = 0.6 * next_of(TWO, np.asarray(table)) + 0.4 * np.asarray(exact.features.table)
        of_tokens = policy_of(TWO, jnp.asarray(scipy.special.log_softmax(mixed, axis=-1)))
        opponent = of_tokens, Mixture(at, duels.log_reference, 0.4)
    # The judge flips a tenth of the labels: its margins are 1 − 2·0.1 of the game's.
    judged = 0.8 * exact.advantage(opponent[0])
    iterate = learner.start(exact, jax.random.key(0), 0.1)._replace(parameters=ours, log_policy=table)
    wanted = _gradient(
        learner, exact, iterate, Objective(behaviour[0], opponent[0], 0.3, anchor, judged, weight), jax.random.key(0)
    )
    of_samples = Objective(behaviour[1], opponent[1], 0.3, at_anchor, None, weight)

    @jax.jit
    def estimates(keys):
        return jax.vmap(lambda key: learner.gradient(duels, iterate._replace(log_policy=at), of_samples, key))(keys)

    found = np.asarray(estimates(jax.random.split(jax.random.key(11), 300)))
    error = found.std(axis=0) / np.sqrt(len(found))
    # Every coordinate within five standard errors, and the errors small beside the gradient.
    assert np.all(np.abs(found.mean(axis=0) - np.asarray(wanted)) <= 5 * error + 1e-12)
    assert np.linalg.norm(error) < 0.05 * np.linalg.norm(wanted)


def test_a_batch_in_parts_has_the_samples_and_the_gradient_of_the_whole():
    """Also of weights that depend on all of the batch, as the baseline does, and with much less memory."""
    text = "transformer[layers=1,width=4,heads=2]"
    whole = POLICIES.make(text)
    parts = POLICIES.make(text.replace("]", ",accumulate=8]"))
    game = game_of(TWO, feedback=Duels(batch=2048))
    theta = moved(whole, game)
    found, memory = [], []
    for policy in (whole, parts):
        learner = PolicyGradient(policy, OPTIMISERS.make("sgd"), sampled=True)
        iterate = learner.start(game, jax.random.key(0), 0.1)

        def gradient(theta, learner=learner, policy=policy, iterate=iterate):
            at = At(policy, theta)
            aim = Objective(at, Mixture(at, game.log_reference, 0.3), 0.3, game.log_reference)
            return learner.gradient(game, iterate._replace(parameters=theta, log_policy=at), aim, jax.random.key(3))

        program = jax.jit(gradient).lower(theta).compile()
        found.append(np.asarray(program(theta)))
        memory.append(program.memory_analysis().temp_size_in_bytes)
    assert np.linalg.norm(found[0]) > 1e-3
    np.testing.assert_allclose(found[1], found[0], rtol=1e-9, atol=1e-14)
    assert memory[1] < memory[0] / 2


def test_samples_and_probabilities_of_every_kind_of_policy_agree():
    game = game_of(TWO)
    policy = POLICIES.make("gru[width=4]")
    at = At(policy, moved(policy, game))
    everyone = jnp.broadcast_to(jnp.arange(TWO.count), game.log_reference.shape)
    for distribution, log_policy in (
        (at, at.table(game)),
        (game.log_reference, game.log_reference),
        (Uniform(), uniform_like(game.log_reference)),
    ):
        told = _told(distribution, game, everyone)
        np.testing.assert_allclose(jax.nn.log_softmax(told), log_policy, atol=1e-12)
        numbers = np.asarray(_drawn(distribution, game, jax.random.key(2)))
        for seen, expected in zip(numbers, np.exp(np.asarray(log_policy)), strict=True):
            shares = np.bincount(seen, minlength=TWO.count) / 2**14
            assert np.all(np.abs(shares - expected) <= 5 * np.sqrt(expected * (1 - expected) / 2**14))


SMALL = "sequence-voters[vocabulary=3,length=2,contexts=2]"


@pytest.mark.parametrize("feedback", ["exact", "duels[batch=32]"])
def test_runs_of_networks_come_near_the_equilibrium(feedback):
    result = ng.solve(
        SMALL, "nash-prox", beta=0.1, policy="gru[width=8]", optimiser="adam[average=0.95]", feedback=feedback,
        queries=400, tolerance=0,
    )  # fmt: skip
    curve = result.curves
    first, last = curve["suboptimality"].iloc[0], curve["suboptimality"].iloc[-1]
    assert last < first / (1000 if feedback == "exact" else 4)


def test_a_step_of_what_is_only_sampled_lists_no_sequences_and_tells_weights_that_are_not_finite(monkeypatch):
    game = game_of(TWO, feedback=Duels(batch=4))
    solver = compose(make_solver("online-ipo[step=0.1]"), policy="gru[width=4]", optimiser="adam")
    step, limit = jnp.asarray(3, jnp.int32), jnp.asarray(9, jnp.int32)
    problem = loop.Problem(game, solver, game.log_reference, jnp.asarray(0.0), limit, jnp.asarray(0, jnp.uint32))
    state = solver.init(game, jax.random.key(0))
    monkeypatch.setattr(At, "table", lambda *_: pytest.fail("all sequences are listed"))
    stepped = jax.eval_shape(lambda state: loop._step(problem, loop.LoopState(state, step, step)), state)
    assert jax.tree.structure(stepped.run.state) == jax.tree.structure(state)
    lost = state._replace(log_policy=At(state.log_policy.policy, state.parameters.at[-1].set(jnp.nan)))
    assert int(loop._ongoing(problem, state, step)) == loop.RUNNING
    assert int(loop._ongoing(problem, lost, step)) == loop.DIVERGED


def test_a_mistake_is_a_sentence():
    with pytest.raises(NashGamesError, match="not sequences of tokens"):
        ng.solve("disc", "online-ipo", actions=5, policy="transformer")
    with pytest.raises(NashGamesError, match="accepted: at least 2"):
        ng.solve(SMALL, "online-ipo", policy="gru", feedback="duels")
    with pytest.raises(NashGamesError, match="averages the probabilities"):
        ng.solve(SMALL, "average[online-ipo]", policy="gru", feedback="duels[batch=4]", optimiser="adam")
    with pytest.raises(NashGamesError, match="natural"):
        ng.solve(SMALL, "online-ipo", policy="gru", feedback="duels[batch=4]", optimiser="natural")
    with pytest.raises(NashGamesError, match=r"gru\[accumulate\] is 3, which does not divide a batch of 8"):
        ng.solve(SMALL, "online-ipo", policy="gru[accumulate=3]", feedback="duels[batch=4]")
    with pytest.raises(NashGamesError, match=r"accumulate\] is 2, but exact feedback draws no batch"):
        ng.solve(SMALL, "online-ipo", policy="gru[accumulate=2]")
    with pytest.raises(NashGamesError, match="'tabular' takes no parameters; leave out 'accumulate'"):
        ng.solve(SMALL, "online-ipo", policy="tabular[accumulate=2]")
    with pytest.raises(NashGamesError, match="divide the width"):
        ng.solve(SMALL, "online-ipo", policy="transformer[width=10,heads=4]")
