"""Every policy against its formula by hand, finite differences of it, and the contract that solvers rely on."""

import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nashgames.core.game import Description, make_game
from nashgames.core.precision import Precision
from nashgames.core.sequences import Sequences
from nashgames.errors import NashGamesError
from nashgames.games.families import generate
from nashgames.learning.features import resolve_features
from nashgames.learning.policies import POLICIES, LogLinear, Mlp, Policy, Tabular, direction
from tests.games import compiled, log_softmax, random_margins

# Every policy by its name, and the variants that run other code.
TEXTS = [
    *POLICIES,
    "log-linear[features=random,dimension=3]",
    "log-linear[features=identity]",
    "mlp[features=random,dimension=2,width=4,depth=4]",
    "mlp[features=none,width=4]",
    "mlp[depth=1]",
]
# One of each kind of program. Tests of one kind play games of one size, so that they share it.
KINDS = [
    "tabular",
    "log-linear[features=random,dimension=3]",
    "mlp[features=random,dimension=2,width=4,depth=4]",
    "mlp[features=none,width=4]",
]
ACTIONS = 5
SEQUENCES = Sequences(vocabulary=4, length=1)


@compiled
def _sampled(policy, game, parameters, key):
    """Actions, what is told of their probabilities, and log π."""
    actions = policy.sample(game, parameters, key, 20_000)
    return actions, policy.log_prob(game, parameters, actions), policy.log_policy(game, parameters)


@compiled
def _start(policy, game, key):
    """θ_0 and log π_0."""
    parameters = policy.init(game, key)
    return parameters, policy.log_policy(game, parameters)


@compiled
def _directed(policy, game, parameters, weights):
    """log π and the direction of the weights."""
    log_policy = policy.log_policy(game, parameters)
    return log_policy, direction(policy, game, parameters, log_policy, weights)


@compiled
def _slope(policy, game, parameters, cotangent):
    return jax.vjp(lambda theta: policy.log_policy(game, theta), parameters)[1](cotangent)[0]


@compiled
def _of_runs(policy, game, log_references, parameters, weights):
    """log π and the direction of runs side by side, each with a reference, parameters and weights of its own."""

    def one(log_reference, theta, weights):
        of_run = game.replace(log_reference=log_reference)
        log_policy = policy.log_policy(of_run, theta)
        return log_policy, direction(policy, of_run, theta, log_policy, weights)

    return jax.vmap(one)(log_references, parameters, weights)


def a_game(text, contexts, dtype="float64", seed=3, shared=False):
    """A game with the features that the policy asks for; `shared`: one set of features for all contexts."""
    rng = np.random.default_rng(seed)
    margins = np.stack([random_margins(rng, ACTIONS) for _ in range(contexts)])
    log_reference = np.stack([log_softmax(rng.normal(size=ACTIONS)) for _ in range(contexts)])
    weights = rng.dirichlet(np.ones(contexts)) if contexts > 1 else None
    if contexts == 1:
        margins, log_reference = margins[0], log_reference[0]
    description = Description(sequences=SEQUENCES)
    game = make_game(margins, log_reference=log_reference, weights=weights, description=description)
    policy = POLICIES.make(text)
    kind, dimension = getattr(policy, "features", "none"), getattr(policy, "dimension", None)
    features = resolve_features(kind, dimension, game, seed)
    if shared and features is not None:
        features = features[0]
    game = game.replace(features=features)
    return policy, jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), game)


def elsewhere(policy, game, seed=1):
    """Parameters away from the start, where nothing is zero."""
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(policy.init, game, jax.random.key(0))
    return jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape), leaf.dtype), shapes)


def a_case(text, contexts, shared=False):
    policy, game = a_game(text, contexts, shared=shared)
    parameters = elsewhere(policy, game)
    weights = jnp.asarray(np.random.default_rng(2).normal(size=game.log_reference.shape))
    return policy, game, parameters, weights


@pytest.fixture
def double():
    with Precision("float64").scope():
        yield


# The contract


@pytest.mark.parametrize(
    ("text", "dtype", "contexts"),
    [(text, "float64", 1) for text in KINDS[:3]] + [(text, "float32", 3) for text in TEXTS if text not in KINDS[1:3]],
)
def test_a_policy_starts_at_the_reference_and_keeps_its_dtype(text, dtype, contexts):
    with Precision(dtype).scope():
        policy, game = a_game(text, contexts, dtype)
        assert isinstance(policy, Policy)
        parameters, start = _start(policy, game, jax.random.key(4))
        np.testing.assert_allclose(start, game.log_reference, atol=4 * np.finfo(dtype).eps)
        parameters = elsewhere(policy, game)
        log_policy, gradient = _directed(policy, game, parameters, game.log_reference)
        assert np.abs(np.asarray(log_policy - start)).max() > 0.01
        np.testing.assert_allclose(np.exp(log_policy).sum(axis=-1), 1, rtol=1e-6)
        for leaf in jax.tree.leaves((parameters, log_policy, gradient)):
            assert isinstance(leaf, jax.Array)
            assert leaf.dtype == dtype
        assert jax.tree.structure(gradient) == jax.tree.structure(parameters)
        assert [leaf.shape for leaf in jax.tree.leaves(gradient)] == [
            leaf.shape for leaf in jax.tree.leaves(parameters)
        ]


def started_elsewhere(game):
    return game.replace(log_start=jnp.asarray(log_softmax(np.arange(5.0))))


def test_only_a_table_starts_elsewhere(double):
    for text in ("tabular", "log-linear", "mlp"):
        policy, game = a_game(text, 1)
        started = started_elsewhere(game)
        _, start = _start(policy, started, jax.random.key(0))
        expected = started.log_start if text == "tabular" else game.log_reference
        np.testing.assert_allclose(start, expected, atol=1e-15)


@pytest.mark.parametrize("contexts", [1, 3])
@pytest.mark.parametrize("text", KINDS)
def test_the_gradient_is_the_vector_jacobian_product_of_the_log_policy(text, contexts, double):
    """Over contexts with the weights ρ, except for a table, whose contexts are problems of their own."""
    policy, game, parameters, weights = a_case(text, contexts)
    cotangent = weights if contexts == 1 or text == "tabular" else weights * game.weights[:, None]
    expected = _slope(policy, game, parameters, cotangent)
    _, found = _directed(policy, game, parameters, weights)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12), found, expected)
    assert max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(found)) > 0.01


@pytest.mark.parametrize("text", KINDS)
def test_the_gradient_is_the_slope_of_the_weighted_log_probabilities(text, double):
    policy, game, parameters, weights = a_case(text, 3)
    line = elsewhere(policy, game, seed=9)
    rho = np.ones((3, 1)) if text == "tabular" else np.asarray(game.weights)[:, None]

    def value(step):
        at = jax.tree.map(lambda leaf, along: leaf + step * along, parameters, line)
        return float(np.sum(rho * np.asarray(weights) * np.asarray(_directed(policy, game, at, weights)[0])))

    _, gradient = _directed(policy, game, parameters, weights)
    slope = (value(1e-6) - value(-1e-6)) / 2e-6
    along = jax.tree.map(lambda a, b: float(jnp.sum(a * b)), gradient, line)
    assert slope == pytest.approx(sum(jax.tree.leaves(along)), rel=1e-6, abs=1e-7)


@pytest.mark.parametrize("text", KINDS)
def test_runs_side_by_side_are_the_runs_one_by_one(text, double):
    """Features, margins and weights belong to the game and have no batch axis; references and θ are per run."""
    policy, game, parameters, _ = a_case(text, 3)
    rng = np.random.default_rng(5)
    log_references = jnp.asarray(jax.nn.log_softmax(rng.normal(size=(3, *game.log_reference.shape)), axis=-1))
    all_weights = jnp.asarray(rng.normal(size=log_references.shape))
    thetas = jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf) + rng.normal(size=(3, *leaf.shape))), parameters)

    together = _of_runs(policy, game, log_references, thetas, all_weights)
    for run in range(3):
        given, of_run = (
            jax.tree.map(lambda leaf, run=run: leaf[run], batch)
            for batch in ((log_references, thetas, all_weights), together)
        )
        alone = game.replace(log_reference=given[0])
        wanted = _directed(policy, alone, *given[1:])
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-13), of_run, wanted)


@pytest.mark.parametrize("text", [*KINDS[1:], "mlp[depth=1]"])
def test_no_product_of_a_start_has_a_constant_factor(text, double):
    # XLA's YNN fusions read memory beyond a constant that they multiply with, so that some runs start elsewhere.
    lanes, actions = 200, 100
    policy, game = POLICIES.make(text), generate("uniform", actions=actions, seed=0)
    features = resolve_features(getattr(policy, "features", "none"), getattr(policy, "dimension", None), game, 0)
    game = jax.tree.map(jnp.asarray, game.replace(features=features))
    references = jnp.asarray(np.random.default_rng(0).normal(size=(lanes, actions)))

    def start(log_reference, seed):
        drawn = game.replace(log_reference=log_reference)
        return policy.log_policy(drawn, policy.init(drawn, jax.random.key(seed)))

    program = jax.jit(jax.vmap(start)).lower(references, jnp.arange(lanes)).compile().as_text()
    products = re.findall(r" dot\((%[\w.-]+), (%[\w.-]+)\)", program)
    made = dict(re.findall(r"(%[\w.-]+) = \S+ ([a-z-]+)\(", program))
    assert "broadcast" not in {made.get(factor) for product in products for factor in product}


@pytest.mark.parametrize("text", KINDS)
def test_new_numbers_do_not_recompile(text, double):
    sizes = set()
    for seed in range(3):
        # A new object of the same structure, other features, other parameters.
        policy, game = a_game(text, 1, seed=seed)
        parameters = elsewhere(policy, game, seed)
        jax.block_until_ready(_directed(policy, game, parameters, game.log_reference * seed))
        sizes.add(_directed._cache_size())
    assert len(sizes) == 1
    assert jax.tree.leaves(policy) == []


# Formulas by hand


def test_the_direction_of_a_table_s_logits_by_hand(double):
    log_policy = jnp.log(jnp.array([[0.5, 0.25, 0.25], [0.1, 0.2, 0.7]]))
    weights = jnp.array([[1.0, 2.0, -1.0], [0.0, 0.0, 10.0]])
    expected = [[1 - 0.5 * 2, 2 - 0.25 * 2, -1 - 0.25 * 2], [-0.1 * 10, -0.2 * 10, 10 - 0.7 * 10]]
    game = make_game(np.zeros((2, 3, 3)), weights=np.array([0.1, 0.9]))
    np.testing.assert_allclose(direction(Tabular(), game, log_policy, log_policy, weights), expected, atol=1e-14)


@pytest.mark.parametrize(("text", "contexts"), [("tabular", 1), ("mlp[features=none,width=4]", 3)])
def test_actions_are_drawn_with_the_probabilities_that_are_told_of_them(text, contexts, double):
    policy, game, parameters, _ = a_case(text, contexts)
    drawn = (_sampled(policy, game, parameters, jax.random.key(seed)) for seed in (0, 1))
    (actions, told, log_policy), (others, *_) = jax.tree.map(np.asarray, tuple(drawn))
    assert actions.shape == (*log_policy.shape[:-1], 20_000)
    assert np.any(actions != others)
    np.testing.assert_array_equal(told, np.take_along_axis(log_policy, actions, axis=-1))
    seen = np.stack([np.mean(actions == action, axis=-1) for action in range(ACTIONS)], axis=-1)
    error = np.sqrt(np.exp(log_policy) * (1 - np.exp(log_policy)) / 20_000)
    assert np.all(np.abs(seen - np.exp(log_policy)) <= 5 * error)
    assert np.ptp(log_policy) > 0.5


def test_tabular_by_hand(double):
    policy, game, logits, weights = a_case("tabular", 1)
    pi = np.exp(logits) / np.exp(logits).sum()
    log_policy, found = _directed(policy, game, logits, weights)
    np.testing.assert_allclose(np.exp(log_policy), pi, atol=1e-15)
    jacobian = np.eye(ACTIONS) - np.outer(np.ones(ACTIONS), pi)
    np.testing.assert_allclose(found, np.asarray(weights) @ jacobian, atol=1e-14)


@pytest.mark.parametrize("shared", [True, False])
def test_log_linear_by_loops(shared, double):
    policy, game, theta, weights = a_case("log-linear[features=random,dimension=3]", 3, shared)
    phi = np.broadcast_to(np.asarray(game.features), (3, ACTIONS, 3))
    mu, rho = np.exp(game.log_reference), np.asarray(game.weights)
    log_policy, found = _directed(policy, game, theta, weights)
    gradient = np.zeros(3)
    for x in range(3):
        scores = [mu[x, y] * np.exp(sum(phi[x, y, k] * float(theta[k]) for k in range(3))) for y in range(ACTIONS)]
        pi = np.array(scores) / sum(scores)
        np.testing.assert_allclose(np.exp(log_policy)[x], pi, atol=1e-14)
        for y in range(ACTIONS):
            # ∇ log π(y) = φ(y) − E_π φ
            gradient += rho[x] * float(weights[x, y]) * (phi[x, y] - pi @ phi[x])
    np.testing.assert_allclose(found, gradient, atol=1e-13)


@pytest.mark.parametrize(("contexts", "shared"), [(1, False), (3, False), (3, True)])
def test_the_network_by_loops_over_its_layers(contexts, shared, double):
    policy, game, parameters, weights = a_case(KINDS[2], contexts, shared)
    layers = parameters.network.layers
    assert [layer.weight.shape for layer in layers] == [(4, 2), (4, 4), (4, 4), (1, 4)]
    assert parameters.inputs is None
    assert layers[-1].bias is None
    phi = np.broadcast_to(np.asarray(game.features), (contexts, ACTIONS, 2))
    found = np.reshape(_directed(policy, game, parameters, weights)[0], (contexts, -1))
    for x in range(contexts):
        logits = []
        for y in range(ACTIONS):
            h = phi[x, y]
            for layer in layers[:-1]:
                h = np.maximum(np.asarray(layer.weight) @ h + np.asarray(layer.bias), 0)
            logits.append(float((np.asarray(layers[-1].weight) @ h)[0]))
        expected = log_softmax(np.asarray(game.log_reference).reshape(contexts, -1)[x] + np.array(logits))
        np.testing.assert_allclose(found[x], expected, atol=1e-13)


@pytest.mark.parametrize("contexts", [1, 3])
def test_a_network_that_sees_nothing_has_an_input_a_context_and_an_output_an_action(contexts, double):
    policy, game, parameters, weights = a_case(KINDS[3], contexts)
    layers = parameters.network.layers
    assert [layer.weight.shape for layer in layers] == [(4, 4), (4, 4), (ACTIONS, 4)]
    assert parameters.inputs.shape == ((4,) if contexts == 1 else (3, 4))
    found = np.reshape(_directed(policy, game, parameters, weights)[0], (contexts, -1))
    for x, h in enumerate(np.asarray(parameters.inputs).reshape(contexts, -1)):
        for layer in layers[:-1]:
            h = np.maximum(np.asarray(layer.weight) @ h + np.asarray(layer.bias), 0)
        logits = np.asarray(layers[-1].weight) @ h + np.asarray(layers[-1].bias)
        expected = log_softmax(np.asarray(game.log_reference).reshape(contexts, -1)[x] + logits)
        np.testing.assert_allclose(found[x], expected, atol=1e-13)


@pytest.mark.parametrize("contexts", [1, 3])
def test_one_hot_features_make_a_table(contexts, double):
    policy, game, theta, weights = a_case("log-linear[features=identity]", contexts)
    log_policy, found = _directed(policy, game, theta, weights)
    logits = game.log_reference + theta.reshape(game.log_reference.shape)
    # A table does not weigh its contexts, and sees no features.
    of_table = _directed(Tabular(), game.replace(features=None), logits, weights)
    np.testing.assert_allclose(log_policy, of_table[0], atol=1e-14)
    of_table = np.asarray(of_table[1])
    weighted = of_table if contexts == 1 else of_table * np.asarray(game.weights)[:, None]
    np.testing.assert_allclose(found, weighted.ravel(), atol=1e-14)


def test_a_network_of_one_layer_is_log_linear(double):
    policy, game, parameters, weights = a_case("mlp[depth=1]", 3)
    log_policy, found = _directed(policy, game, parameters, weights)
    linear = _directed(LogLinear(), game, parameters.network.layers[0].weight[0], weights)
    np.testing.assert_allclose(log_policy, linear[0], atol=1e-14)
    np.testing.assert_allclose(found.network.layers[0].weight[0], linear[1], atol=1e-14)


# The draw of a network


def drawn(text, seeds, dtype="float64"):
    """The networks of these seeds, side by side."""
    with Precision(dtype).scope():
        policy, game = a_game(text, 1, dtype)
        init = jax.jit(jax.vmap(lambda seed: policy.init(game, jax.random.key(seed))))
        networks = init(jnp.asarray(seeds))
        return [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(networks)]


def test_a_seed_is_one_network_in_either_precision():
    wide, narrow = (drawn("mlp[features=none]", [1, 2, 1], dtype) for dtype in ("float64", "float32"))
    for (one, other, again), in_float32 in zip(wide, narrow, strict=True):
        np.testing.assert_array_equal(one, again)
        np.testing.assert_array_equal(one, in_float32[0])
        # The last layer starts at 0, everything else is drawn.
        assert (not one.any()) or not (one == other).any()
    assert sum(not leaf.any() for leaf in wide) == 2


def test_the_draw_is_uniform_within_one_over_the_root_of_the_inputs(double):
    policy, game = a_game("mlp[features=random,dimension=4,width=400]", 1)
    layers = jax.jit(policy.init)(game, jax.random.key(0)).network.layers
    for layer, bound in zip(layers[:-1], (1 / 2, 1 / 20), strict=True):
        for values in (np.asarray(layer.weight), np.asarray(layer.bias)):
            assert np.abs(values).max() <= bound
            assert np.abs(values).max() > 0.95 * bound
            assert abs(values.mean()) < 0.15 * bound


def test_the_learned_input_of_a_network_that_sees_nothing_has_variance_one(double):
    policy, game = a_game("mlp[features=none,width=2000]", 1)
    inputs = np.asarray(jax.jit(lambda game, key: policy.init(game, key).inputs)(game, jax.random.key(0)))
    assert np.abs(inputs).max() <= np.sqrt(3)
    # Of the variance of 2,000 uniform numbers, five standard errors.
    assert np.var(inputs) == pytest.approx(1, abs=5 * np.sqrt(0.8 / 2000))


def test_the_draw_uses_no_key_of_a_step(double):
    """A network drawn from its run's key itself would repeat random bits of the first steps."""
    policy, game = a_game("mlp", 1)
    run = jax.random.key(0)
    weight = np.asarray(_start(policy, started_elsewhere(game), run)[0].network.layers[0].weight)
    bound = 1 / np.sqrt(weight.shape[1])
    for key in [run, *jax.random.split(run, 4), *(jax.random.fold_in(run, step) for step in range(20))]:
        repeated = jax.random.uniform(key, weight.shape, jnp.float32, -bound, bound)
        assert not np.isclose(weight, repeated).any()


# Names


def test_a_policy_is_selected_by_its_text():
    assert POLICIES.make("tabular") == Tabular()
    assert POLICIES.make("log-linear[features=own,dimension=4]") == LogLinear("own", 4)
    assert POLICIES.make("mlp") == Mlp("auto", None, depth=3, width=10)
    assert POLICIES.make("mlp[width=32,depth=2,features=spectral]") == Mlp("spectral", depth=2, width=32)


@pytest.mark.parametrize("text", [*TEXTS, "mlp[features=own,dimension=2,depth=4,width=7]"])
def test_the_canonical_text_selects_the_policy_again(text):
    policy = POLICIES.make(text)
    assert POLICIES.text(policy) == text.replace("dimension=2,width=4,depth=4", "dimension=2,depth=4,width=4")
    assert POLICIES.make(POLICIES.text(policy)) == policy


def test_defaults_are_left_out_of_the_canonical_text():
    assert POLICIES.text(POLICIES.make("mlp[features=auto,depth=3,width=10]")) == "mlp"


@pytest.mark.parametrize("name", POLICIES)
def test_the_registry_names_its_classes(name):
    assert POLICIES[name].name == name
    assert POLICIES[name].__doc__.splitlines()[0]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("tabuler", "did you mean 'tabular'"),
        ("tabular[features=own]", "takes no parameters; leave out 'features'"),
        ("tabular[own]", "cannot read 'own'; it has no parameters"),
        ("mlp[widht=3]", "did you mean 'width'"),
        ("mlp[width=0]", "mlp[width] is 0; accepted: an integer from 1 to 10,000"),
        ("mlp[width=10001]", "from 1 to 10,000"),
        ("mlp[depth=0]", "mlp[depth] is 0; accepted: an integer from 1 to 100"),
        ("mlp[depth=2.5]", "an integer"),
        ("mlp[features=spectrum]", "did you mean 'spectral'"),
        ("mlp[dimension=0]", "mlp[dimension] is 0; accepted: an integer from 1"),
        ("mlp[features=none,dimension=3]", "leave dimension out"),
        ("log-linear[features=none]", "use the policy tabular"),
        ("log-linear[features=identity,dimension=3]", "leave dimension out"),
    ],
)
def test_a_mistake_is_one_sentence(text, says):
    with pytest.raises(NashGamesError) as caught:
        POLICIES.make(text)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_equinox_is_imported_by_networks_only():
    code = (
        "import sys, jax; from nashgames.learning.policies import POLICIES\n"
        "from nashgames.games.families import generate\n"
        "game = generate('disc', actions=4); made = [POLICIES.make(t) for t in ('tabular', 'log-linear', 'mlp')]\n"
        "made[0].log_policy(game, made[0].init(game, None)); print('equinox' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]


@pytest.mark.parametrize("text", ["log-linear", "mlp"])
def test_a_game_s_own_features_reach_the_policy(text, double):
    game = generate("disc[planes=2]", actions=6)
    policy = POLICIES.make(text)
    game = game.replace(features=resolve_features(policy.features, policy.dimension, game))
    game = jax.tree.map(jnp.asarray, game)
    parameters = jax.eval_shape(policy.init, game, jax.random.key(0))
    first = parameters if text == "log-linear" else parameters.network.layers[0].weight
    assert first.shape[-1] == 4
