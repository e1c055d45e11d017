"""Games over sequences that are too many to list, against the same games with all sequences listed."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy

import nashgames as ng
from nashgames.core import metrics
from nashgames.core.next_tokens import Chains
from nashgames.core.sequences import END, Sequences
from nashgames.engine import loop
from nashgames.errors import NashGamesError
from nashgames.exact.certificate import certify
from nashgames.exact.chains import chain_path
from nashgames.exact.referee import equilibrium_path
from nashgames.games import corpus
from nashgames.games.families import generate, recipes, scores, storing
from nashgames.games.properties import facts
from nashgames.learning import measuring
from nashgames.learning.feedback import Duels
from nashgames.learning.generated import At, Uniform, draw, log_prob
from nashgames.learning.policies import POLICIES
from nashgames.learning.prefixes import Prefixes
from nashgames.learning.references import resolve_reference
from nashgames.solvers import compose, make_solver
from nashgames.verification import Report, verify

SMALL = Sequences(vocabulary=3, length=3)
EVERY = SMALL.tokens(np.arange(SMALL.count))
HUGE = "vocabulary=10,length=12"
JUDGES = [
    ("sequence-embedding", {"link": "logistic"}),
    ("sequence-embedding", {"link": "linear"}),
    ("sequence-styles", {"link": "linear"}),
    ("sequence-voters", {}),
]


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def pair(name="sequence-embedding", reference="corpus", *, seed=3, **parameters):
    """One game with its sequences listed, and not listed."""
    made = {"vocabulary": 3, "length": 3, "contexts": 2, "weights": "drawn", **parameters}
    games = [generate(name, seed=seed, storage=storage, **made) for storage in ("dense", "written")]
    return [game.replace(log_reference=resolve_reference(reference, game, seed)) for game in games]


def placed(game, features):
    return jax.tree.map(jnp.asarray, game.replace(features=features))


def over_prompts(tokens, contexts=2):
    return jnp.broadcast_to(jnp.asarray(tokens), (contexts, *tokens.shape))


@pytest.mark.parametrize(("name", "parameters"), JUDGES)
def test_one_seed_is_one_game_listed_or_not(name, parameters):
    listed, written = pair(name, length_bias=0.3, repetition_bias=-0.4, **parameters)
    rows, columns = (index.ravel() for index in np.indices((SMALL.count,) * 2))
    for x in range(2):
        expected = np.asarray(listed.margins.of_context(x).to_dense())
        found = written.margins.of_context(x).lookup(EVERY[rows].T, EVERY[columns].T)
        np.testing.assert_allclose(found.reshape(expected.shape), expected, atol=1e-14)
    np.testing.assert_array_equal(written.description.prompts, listed.description.prompts)
    np.testing.assert_array_equal(written.weights, listed.weights)
    assert (written.actions, written.contexts) == (listed.actions, listed.contexts)


@pytest.mark.parametrize("reference", ["uniform", "corpus", "fitted[samples=50,order=2]", "fitted[samples=50,order=0]"])
def test_references_say_of_the_next_token_what_they_say_of_all_sequences(reference):
    listed, written = pair(reference=reference)
    chains = jax.tree.map(jnp.asarray, written.log_reference)
    np.testing.assert_allclose(chains.log_prob(over_prompts(EVERY)), listed.log_reference, atol=1e-12)
    table, flat = Prefixes.of(listed), EVERY[-9:]
    before = np.concatenate([np.zeros((9, 1), int), flat[:, :-1]], axis=1)
    prompts = jnp.ones(9, int)
    said = chains.log_next(prompts, jnp.asarray(before))
    np.testing.assert_allclose(table.log_next(prompts, jnp.asarray(before)), said, atol=1e-12)
    for known in (chains, table):
        memory = known.memory(9)
        for place in range(3):
            memory, one = known.read(memory, prompts, jnp.asarray(before[:, place], jnp.int32), jnp.asarray(place))
            np.testing.assert_allclose(one, said[:, place], atol=1e-12)


def test_what_is_drawn_of_chains_and_uniformly_has_their_probabilities():
    listed, written = pair()
    game = placed(written, written.log_reference)
    uniform = np.full(listed.log_reference.shape, -math.log(SMALL.count))
    for distribution, expected in ((game.log_reference, listed.log_reference), (Uniform(), uniform)):
        tokens = np.moveaxis(np.asarray(draw(game, distribution, jax.random.key(1), 2**14)), 0, -1)
        told = log_prob(game, distribution, over_prompts(EVERY).transpose(2, 0, 1))
        np.testing.assert_allclose(scipy.special.log_softmax(told, axis=-1), expected, atol=1e-12)
        for numbers, likely in zip(SMALL.numbers(tokens), np.exp(expected), strict=True):
            shares = np.bincount(numbers, minlength=SMALL.count) / 2**14
            assert np.all(np.abs(shares - likely) <= 5 * np.sqrt(likely * (1 - likely) / 2**14))


@pytest.mark.parametrize("order", [1, 2])
def test_moments_and_tilted_chains_are_those_of_all_sequences(order):
    rng = np.random.default_rng(order)
    seen = scores.Scores(SMALL, rng.normal(size=(3, 4, 3, 5)), rng.normal(size=5))
    log_steps = scipy.special.log_softmax(rng.normal(size=(4**order, 4)), axis=-1)
    log_policy, values = corpus.Chain(SMALL, order, log_steps).log_probs(), seen.of_all()
    mean, square = seen.moments(log_steps[None])
    np.testing.assert_allclose(mean, np.exp(log_policy) @ values, atol=1e-13)
    np.testing.assert_allclose(square, (values.T * np.exp(log_policy)) @ values, atol=1e-12)
    direction = rng.normal(size=5)
    best = seen.best(np.stack([direction, -direction])) @ direction
    np.testing.assert_allclose(best, [np.max(values @ direction), np.min(values @ direction)])
    total, tilted = Chains(log_steps[None], SMALL).tilted(seen.table @ direction)
    exact = log_policy + (values - seen.start) @ direction
    assert total == pytest.approx(scipy.special.logsumexp(exact), abs=1e-12)
    found = jax.tree.map(jnp.asarray, tilted).log_prob(jnp.asarray(EVERY))
    np.testing.assert_allclose(found, exact - scipy.special.logsumexp(exact), atol=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_the_largest_margin_is_found_without_looking_at_all_pairs(seed):
    parameters = {"link": "linear", "vocabulary": 4, "length": 4, "contexts": 1, "seed": seed, "storage": "written"}
    for name in ("sequence-embedding", "sequence-styles"):
        biases = {"length_bias": (-0.5, 0.0, 0.3, 2.0)[seed], "repetition_bias": (0.7, -0.4, 0.0, 1.0)[seed]}
        margins = generate(name, **parameters, **biases).margins
        left, right = np.split(scores.Scores(margins.sequences, margins.table, margins.start).of_all(), 2, axis=1)
        assert recipes.largest_entry(left, right) == pytest.approx(0.5, rel=1e-12)


@pytest.mark.parametrize(
    ("name", "reference"),
    [("sequence-embedding", "corpus"), ("sequence-styles", "uniform"), ("sequence-embedding", "fitted[order=2]")],
)
def test_equilibria_that_are_chains_are_those_of_the_referee(name, reference):
    listed, written = pair(name, reference, link="linear")
    betas = [1.0, 0.1, 0.01, 0.001]
    for exact, chains in zip(equilibrium_path(listed, betas), chain_path(written, betas), strict=True):
        found = jax.tree.map(jnp.asarray, chains.log_policy).log_prob(over_prompts(EVERY))
        assert chains.beta == exact.beta and chains.converged
        np.testing.assert_allclose(found, exact.log_policy, atol=1e-10)


def test_an_equilibrium_over_more_sequences_than_can_be_listed_is_exact():
    game = generate(f"sequence-styles[{HUGE},link=linear,contexts=1]")
    game = game.replace(log_reference=resolve_reference("corpus", game))
    (found,) = chain_path(game, [0.01])
    assert game.actions == (10**13 - 1) // 9 and found.residual < 1e-12
    # The residual is the largest difference of log-probabilities; by itself, at sequences that it draws.
    chains = jax.tree.map(jnp.asarray, found.log_policy)
    drawn = chains.written(jax.random.key(0), 50)
    seen = scores.Scores(game.description.sequences, game.margins.table, game.margins.start)
    mean, _ = seen.moments(found.log_policy.log_steps)
    left, right = np.split(mean, 2)
    advantage = seen.of(np.asarray(drawn)) @ np.hstack([right, -left])
    reference = jax.tree.map(jnp.asarray, game.log_reference).log_prob(drawn)
    assert np.ptp(np.asarray(chains.log_prob(drawn) - reference) - advantage / 0.01) < 1e-10
    assert np.ptp(advantage) > 1e-3


def test_estimates_are_within_their_errors_of_exact_values():
    """Over many draws the standardised errors of every estimate are those of a normal number."""
    listed, written = pair(link="linear")
    policy, (star,) = POLICIES.make("gru[width=4,temperature=0.5]"), chain_path(written, [0.1])
    exact, game = placed(listed, Prefixes.of(listed)), placed(written.replace(beta=0.1), written.log_reference)
    start = policy.init(game, jax.random.key(1))
    ours = At(policy, start + 0.4 * jax.random.normal(jax.random.key(2), start.shape, start.dtype))
    equilibrium = jax.tree.map(jnp.asarray, star.log_policy)

    @jax.jit
    def estimated(keys):
        return jax.lax.map(lambda key: metrics.estimate(measuring.drawn(game, ours, equilibrium, key, 256)), keys)

    found = {name: np.asarray(each) for name, each in estimated(jax.random.split(jax.random.key(3), 300)).items()}
    log_policy = ours.table(exact)
    seen = metrics.Seen(
        exact.replace(beta=0.1), log_policy, exact.advantage(log_policy), equilibrium.log_prob(over_prompts(EVERY))
    )
    names = ("suboptimality", "kl_to_equilibrium", "kl_to_reference")
    known = {f"estimated_{name}": value for name, value in metrics.measure(seen, names).items()}
    weights, likely = np.asarray(game.weights), np.exp(np.asarray(log_policy))
    wins = np.sum(likely * np.asarray(exact.advantage(exact.log_reference)), axis=-1)
    repeats = np.sum((EVERY[:, 1:] == EVERY[:, :-1]) & (EVERY[:, 1:] > END), axis=1)
    of_all = {"length": SMALL.lengths(np.arange(SMALL.count)), "followed": np.sum(EVERY[:, 1:] > END, axis=1)}
    expected = {name: float(weights @ (likely @ values)) for name, values in (of_all | {"repeats": repeats}).items()}
    known |= {"estimated_win_rate": 0.5 + weights @ wins, "estimated_length": expected["length"]}
    known |= {"estimated_repetition": expected["repeats"] / expected["followed"]}
    assert known.keys() == metrics.ESTIMATES.keys()
    for name, value in known.items():
        errors = found[metrics.ERRORS[name]]
        standardised = (found[name] - float(value)) / errors
        # A mean of 300 within four errors, and 95 % intervals that hold in 95 % but for three errors of a share.
        assert abs(standardised.mean()) < 4 / math.sqrt(300), name
        assert abs(np.mean(np.abs(standardised) < 1.96) - 0.95) < 3 * math.sqrt(0.95 * 0.05 / 300), name
        assert np.all(errors > 0)


def test_a_step_is_the_same_step_listed_or_not():
    """A method that draws from the mixture with the reference learns the same numbers from the same key."""
    ends = []
    for game, known in zip(pair(), (Prefixes.of, lambda game: game.log_reference), strict=True):
        game = placed(game.replace(feedback=Duels(batch=16)), known(game))
        solver = compose(make_solver("nash-md-pg[step=0.1,mixture=0.3]"), policy="gru[width=4]", optimiser="sgd")
        state = solver.init(game, jax.random.key(0))
        update = jax.jit(lambda state, key, game=game, solver=solver: solver.update(game, state, key))
        for step in range(3):
            state = update(state, jax.random.key(step))
        ends.append(np.asarray(state.parameters))
    np.testing.assert_allclose(ends[0], ends[1], atol=1e-10)
    assert np.max(np.abs(ends[0] - np.asarray(solver.init(game, jax.random.key(0)).parameters))) > 1e-3


def sizes(program):
    """The sizes of all arrays in a program, those inside its loops and functions too."""
    for equation in program.eqns:
        yield from (math.prod(each.aval.shape) for each in equation.outvars)
        for value in itertools.chain.from_iterable(
            each if isinstance(each, tuple) else (each,) for each in equation.params.values()
        ):
            inside = getattr(value, "jaxpr", value)
            if hasattr(inside, "eqns"):
                yield from sizes(inside)


@pytest.mark.parametrize(("solver", "policy"), [("nash-prox", "transformer"), ("egpo", "gru")])
def test_a_step_needs_memory_for_its_batch_alone(solver, policy):
    """No array of the program of a step, or of measuring a point, has more numbers than a batch or the weights."""
    largest = {}
    for length, batch in ((12, 8), (12, 16), (6, 8)):
        game = generate(f"sequence-embedding[vocabulary=10,length={length},link=linear]", storage="written")
        game = game.replace(log_reference=resolve_reference("corpus", game), feedback=Duels(batch=batch))
        game = placed(game, game.log_reference)
        made = compose(make_solver(f"{solver}[step=0.1]"), policy=f"{policy}[width=4]", optimiser="adam")
        made = made.with_theory_defaults(0.1)
        problem = loop.Problem(
            game, made, None, jnp.asarray(0.0), jnp.asarray(9, jnp.int32), jnp.asarray(0, jnp.uint32)
        )
        state = jax.eval_shape(lambda game=game, made=made: made.init(game, jax.random.key(0)))
        run = loop.LoopState(state, *[jax.ShapeDtypeStruct((), jnp.int32)] * 2)
        program = jax.make_jaxpr(lambda run, problem=problem: loop._step(problem, run))(run)
        largest[length, batch] = max(sizes(program.jaxpr))
        if batch == 8 and length == 12:
            point = jax.make_jaxpr(lambda run, problem=problem: measured(problem, run))(run)
            # 512 sequences at 4 prompts: of 12 places with 12 keys of 4 units, or of 16 hidden units.
            assert max(sizes(point.jaxpr)) <= 4 * 512 * 12 * 12 * 4
    # 4 prompts with two sides of 8 sequences of 12 places that look at 12 places, in 4 units.
    assert largest[12, 8] <= 4 * 2 * 8 * 12 * 12 * 4
    assert largest[12, 16] <= 2 * largest[12, 8]
    # A million times as many sequences; the attention of a transformer is quadratic in their length.
    assert largest[12, 8] <= 4 * largest[6, 8]


def measured(problem, run):
    return loop._measured(loop.Recording(()), problem.game, None, loop._report(problem, run))


def test_a_run_of_a_trillion_sequences_is_measured_by_samples_kept_and_verified(tmp_path):
    parameters = {"vocabulary": 10, "length": 12, "link": "linear", "contexts": 2}
    selection = f"sequence-embedding[{','.join(f'{name}={value}' for name, value in parameters.items())}]"
    result, of_object = (
        ng.solve(
            game, "online-ipo[step=0.01]", beta=0.05, reference="corpus", policy="gru[width=4]", optimiser="adam",
            feedback="duels[batch=8]", queries=4, records=2, dtype="float32",
        )
        for game in (selection, ng.games.sequence_embedding(**parameters))
    )  # fmt: skip
    curves = result.curves
    assert set(result.runs["storage"]) == {"written"} and set(curves["n"]) == {(10**13 - 1) // 9}
    assert curves[[*metrics.ESTIMATES, *metrics.ERRORS.values()]].notna().all(axis=None)
    assert curves[[*metrics.METRICS]].isna().all(axis=None)
    assert set(result.runs["status"]) == {"budget"} and not len(result.policies)
    np.testing.assert_allclose(of_object.curves[[*metrics.ESTIMATES]], curves[[*metrics.ESTIMATES]], rtol=1e-4)
    # At first the policy is the reference.
    first = curves.iloc[0]
    assert abs(first["estimated_kl_to_reference"]) < 1e-5
    assert abs(first["estimated_win_rate"] - 0.5) < 4 * first["estimated_win_rate_error"]
    (report,) = [told for told in verify(result.save(tmp_path / "kept"), replay="all") if isinstance(told, Report)]
    assert report.ok and report.replayed.equal == 1
    assert set(report.unchecked) == set(metrics.ESTIMATES)


def test_points_that_cost_samples_are_measured_where_they_are_asked_for():
    def measure(seen):
        return loop.Point(
            seen.step, seen.status, jnp.zeros_like(seen.status), {"twice": 2 * seen.claimed}, jnp.zeros(0)
        )

    going, ended = jnp.full(2, loop.RUNNING), jnp.asarray([loop.RUNNING, loop.DIVERGED])
    for asked, status, measured in (
        (loop.ALWAYS, going, True),
        (loop.IF_STOPPED, going, False),
        (loop.IF_STOPPED, ended, True),
        (loop.NEVER, ended, False),
    ):
        seen = loop.Reported(jnp.asarray([3, 4]), status, jnp.zeros(2), jnp.asarray([3.0, 4.0]))
        point = loop._if_asked(measure, (seen, jnp.asarray(asked)))
        np.testing.assert_array_equal(point.metrics["twice"], [6, 8] if measured else [np.nan, np.nan])
        np.testing.assert_array_equal(point.step, [3, 4])
        np.testing.assert_array_equal(point.status, status)
        assert point.fault.tolist() == [loop.SOUND] * 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"solver": "nash-mp"}, "nash-mp with the policy tabular has a number for each"),
        ({"policy": "gru"}, "exact feedback is that of all; use --feedback duels"),
        ({"policy": "gru", "feedback": "duels[batch=4]", "reference": "random"}, "accepted where they are not listed"),
        ({"policy": "gru", "feedback": "duels[batch=4]", "target": "original"}, "target original needs all"),
    ],
)
def test_what_unlisted_sequences_do_not_allow_is_a_sentence(arguments, says):
    with pytest.raises(NashGamesError, match=says) as caught:
        ng.solve(f"sequence-voters[{HUGE}]", arguments.pop("solver", "online-ipo"), **arguments)
    assert "\n" not in str(caught.value)


def test_what_needs_all_sequences_says_so():
    game = generate(f"sequence-voters[{HUGE}]")
    for asked in (ng.equilibrium, facts, lambda game: certify(game, game.log_reference)):
        with pytest.raises(NashGamesError, match=r"1,111,111,111,111 sequences, which are not listed"):
            asked(game)
    with pytest.raises(NashGamesError, match=r"use link=linear, or fewer sequences"):
        next(chain_path(game, [0.1]))
    with pytest.raises(NashGamesError, match=r"accepted: at most 9\.2e\+18"):
        generate("sequence-voters[vocabulary=100,length=12]")
    with pytest.raises(NashGamesError, match=r"storage is written, which needs sequences of tokens"):
        generate("disc", storage="written")


def test_sequences_are_listed_up_to_a_limit():
    form = storing.Form("streamed", 5, written=100)
    chosen = [storing.storage_of("auto", form, n, "it") for n in (1_111_111, storing.MOST_LISTED, 11_111_111)]
    assert chosen == ["streamed", "streamed", "written"]
    assert storing.storage_of("auto", storing.Form("streamed", 5), 11_111_111, "it") == "streamed"
    assert storing.storage_of("streamed", form, 11_111_111, "it") == "streamed"
