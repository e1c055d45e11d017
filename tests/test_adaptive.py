"""Adaptive and secant Nash-MP: their steps written by hand, what is proved of them, and what they cost."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nashgames.core.game import make_game
from nashgames.core.precision import Precision
from nashgames.engine.batch import Lane
from nashgames.engine.settings import Settings
from nashgames.errors import NashGamesError
from nashgames.exact.referee import equilibrium
from nashgames.games import families
from nashgames.learning.references import resolve_reference
from nashgames.solvers import (
    AdaptiveNashMP,
    NashMP,
    SecantNashMP,
    adaptive_step,
    make_solver,
    secant_model,
    selection_of,
)
from tests.games import (
    arrays,
    compiled,
    kl,
    log_softmax,
    played,
    random_game,
    random_margins,
    value_of_deviation,
)

BOTH = [AdaptiveNashMP(), SecantNashMP()]
FAMILIES = [name for name, family in families.FAMILIES.items() if family.takes_actions]
N = 11
"""Actions of most games here, so that they share one program a solver; the ten queries remembered tell all of A."""

CHUNK = 20
_init = compiled(lambda solver, game: solver.init(game, jax.random.key(0)))


def _onwards(solver, game, state):
    def step(state, _):
        state = solver.update(game, state, jax.random.key(0))
        return state, state

    return jax.lax.scan(step, state, length=CHUNK)


_chunk = compiled(_onwards)


def stream(solver, game, dtype="float64", chunk=None):
    """The states after 0, 1, … updates, without an end, as NumPy arrays."""
    with Precision(dtype).scope():
        solver, game = arrays((solver.with_theory_defaults(float(game.beta)), game), dtype)
        state = _init(solver, game)
    yield jax.tree.map(np.asarray, state)
    while True:
        with Precision(dtype).scope():
            state, passed = (chunk or _chunk)(solver, game, state)
        passed = jax.tree.map(np.asarray, passed)
        yield from (jax.tree.map(lambda rows, at=at: rows[at], passed) for at in range(CHUNK))


def states(solver, game, updates, dtype="float64", chunk=None):
    """The states after 0, 1, …, `updates` updates."""
    return list(itertools.islice(stream(solver, game, dtype, chunk), updates + 1))


def suboptimality(game, log_policy, advantage):
    """β KL(π‖BR_β(π)), theory §2."""
    logits = game.log_reference + advantage / game.beta
    return game.beta * kl(log_policy, log_softmax(logits))


def averaged(game, values):
    return float(np.sum(np.asarray(game.weights) * values))


class Step:
    """A step that was taken: its size, where it began, its half step, its end, and how many queries were made by then.

    Read from the states alone.
    """

    def __init__(self, solver, before, after, queries, least):
        adaptive = isinstance(solver, AdaptiveNashMP)
        self.begin = before.log_policy if adaptive else before.log_anchor
        self.half = before.log_next
        self.end = after.log_next if adaptive else after.log_anchor
        self.eta = float(before.eta)
        if not adaptive and before.turn != 0:
            self.eta = least
        self.queries = queries + adaptive


def steps_of(solver, game, found):
    taken = []
    for number, (before, after) in enumerate(itertools.pairwise(found), start=1):
        # Of the secant solver only steps earn credit.
        if after.accepted if isinstance(solver, AdaptiveNashMP) else after.spare > before.spare:
            taken.append(Step(solver, before, after, number, 2 * game.beta))
    return taken


def test_the_adaptive_step_equals_its_closed_form_written_in_probabilities(rng):
    """Thirty queries of theory §4.7, straight from the definition of the test and not from its shorter form."""
    for _ in range(5):
        game = random_game(rng, N, 0.05)
        margins, mu, beta = game.margins.values, np.exp(game.log_reference), game.beta

        def prox(pi, q, eta, mu=mu, beta=beta):
            share = 1 / (1 + eta)
            unnormalised = pi**share * mu ** (1 - share) * np.exp((1 - share) / beta * q)
            return unnormalised / unnormalised.sum()

        def divergence(p, q):
            return np.sum(p * np.log(p / q))

        pi, q, eta, reported, rejected = mu, margins @ mu, 64 * beta, [mu], 0
        # Below this the definition is a difference of rounded numbers, and its shorter form alone is right.
        while len(reported) <= 30 and divergence(prox(pi, q, eta), pi) > 1e-9:
            half = prox(pi, q, eta)
            q_half = margins @ half
            whole = prox(pi, q_half, eta)
            reported.append(pi)
            left = eta / beta * (q_half - q) @ (whole - half)
            ratio = (left - (1 + eta) * divergence(whole, half)) / divergence(half, pi)
            admissible = left <= (1 + eta) * divergence(whole, half) + 0.95 * divergence(half, pi)
            # κη²/(1+η) = ratio now, and 0.7 at the root of κη² − 0.7η − 0.7.
            aimed = max(np.roots([ratio * (1 + eta) / eta**2, -0.7, -0.7]))
            if admissible or eta <= 2 * beta:
                pi, q = whole, margins @ whole
                reported.append(pi)
                eta = max(np.clip(aimed, eta / 2, 8 * eta), 2 * beta)
            else:
                eta, rejected = max(min(aimed, eta / 2), 2 * beta), rejected + 1
        found = states(AdaptiveNashMP(), game, 30)
        for state, wanted in zip(found, reported, strict=False):
            np.testing.assert_allclose(np.exp(state.log_policy), wanted, rtol=1e-6, atol=1e-12)
    assert rejected > 0


_fit = jax.jit(secant_model.fit)


def test_the_model_is_the_skew_matrix_of_least_norm_that_agrees_with_the_queries(rng):
    n, k = 6, 3
    margins = random_margins(rng, n)
    policies = np.exp([log_softmax(rng.normal(size=n)) for _ in range(k + 1)])
    advantages = policies @ margins.T
    with Precision().scope():
        model = jax.tree.map(np.asarray, _fit(jnp.asarray(policies), jnp.asarray(advantages)))
    images, covectors, twist = model
    dense = images.T @ covectors - covectors.T @ images + covectors.T @ twist @ covectors
    # The other way: least squares over the entries above the diagonal, in the norm of the mean policy.
    above = np.triu_indices(n, 1)
    scale = np.sqrt(policies.mean(axis=0))
    basis = np.zeros((len(above[0]), n, n))
    for entry, (i, j) in enumerate(zip(*above, strict=True)):
        basis[entry, i, j], basis[entry, j, i] = 1 / (scale[i] * scale[j]), -1 / (scale[i] * scale[j])
    steps, changes = policies[:-1] - policies[-1], advantages[:-1] - advantages[-1]
    equations = np.einsum("eij,kj->kie", basis, steps).reshape(-1, len(basis))
    least = np.linalg.lstsq(equations, changes.reshape(-1), rcond=1e-10)[0]
    np.testing.assert_allclose(dense, np.tensordot(least, basis, axes=1), atol=1e-9)
    np.testing.assert_allclose(dense, -dense.T, atol=1e-12)
    np.testing.assert_allclose(dense @ steps.T, changes.T, atol=1e-12)


def test_the_model_is_skew_whatever_the_queries_say(rng):
    """On duels they contradict each other, and the step has to be solvable all the same."""
    policies = np.exp([log_softmax(rng.normal(size=6)) for _ in range(4)])
    with Precision().scope():
        twist = np.asarray(_fit(jnp.asarray(policies), jnp.asarray(rng.normal(size=(4, 6)))).twist)
    np.testing.assert_array_equal(twist, -twist.T)
    assert np.abs(twist).max() > 0.1


def test_with_a_whole_game_known_the_half_step_is_the_equilibrium_of_the_proximal_game(rng):
    """n queries tell all of A: then the step is the outer one of Nash Prox, an equilibrium that the referee finds."""
    n, beta, eta = 5, 0.1, 3.0
    game = random_game(rng, n, beta)
    policies = np.exp([log_softmax(0.5 * rng.normal(size=n)) for _ in range(n)])
    current = log_softmax(0.5 * rng.normal(size=n))
    with Precision().scope():
        known = [jnp.asarray(a) for a in (policies, policies @ game.margins.values.T, current, game.log_reference)]
        found = np.asarray(jax.jit(secant_model.half_step)(*known, beta, eta))
    anchor = log_softmax(eta / (1 + eta) * game.log_reference + current / (1 + eta))
    wanted = equilibrium(game.replace(beta=beta * (1 + 1 / eta), log_reference=anchor)).log_policy
    np.testing.assert_allclose(np.exp(found), np.exp(wanted), atol=1e-6)


def test_a_secant_step_is_a_proximal_step_on_the_query_of_its_half(rng):
    game = random_game(rng, N, 0.03)
    found = states(SecantNashMP(), game, 25)
    taken = steps_of(SecantNashMP(), game, found)
    assert len(taken) > 5
    for step in taken:
        logits = step.begin + step.eta * (game.log_reference + game.margins.values @ np.exp(step.half) / game.beta)
        np.testing.assert_allclose(np.exp(step.end), np.exp(log_softmax(logits / (1 + step.eta))), atol=1e-12)


@given(
    st.integers(0, 10_000),
    st.sampled_from(FAMILIES),
    st.sampled_from([3, 31]),
    st.floats(-3, 0).map(lambda e: 10.0**e),
    st.sampled_from(["own", "random[scale=1]", "tilted[span=20]"]),
    st.sampled_from(BOTH),
)
@settings(max_examples=50, deadline=None)
def test_every_step_that_is_taken_contracts(seed, family, n, beta, reference, solver):
    """Theory §4.7: η KL(π_{k+½}‖π*) + (1+η) KL(π*‖π_{k+1}) ≤ KL(π*‖π_k), and the credit is never overdrawn."""
    kind = families.FAMILIES[family]
    game = families.generate(family, actions=n, beta=beta, **({"seed": seed} if kind.takes_seed else {}))
    if not kind.takes_beta:
        game = game.replace(log_reference=np.asarray(resolve_reference(reference, game, seed=seed)))
    game = game.replace(beta=beta)
    star = equilibrium(game).log_policy
    taken = steps_of(solver, game, states(solver, game, 60))
    # Rounding enters log π at eps/β and a KL as its square: √KL is exact to it.
    noise = 30 * float(np.finfo(float).eps) / beta * np.sqrt(n)
    proved = 0.0
    for step in taken:
        left = step.eta * kl(step.half, star) + (1 + step.eta) * kl(star, step.end)
        assert np.sqrt(left) <= np.sqrt(kl(star, step.begin)) + np.sqrt(1 + step.eta) * noise
        assert step.eta >= 2 * beta * (1 - 1e-12)
        proved += np.log1p(step.eta)
        assert step.queries <= 1.25 * 2 * proved / np.log1p(2 * beta) + 8
    assert taken


@pytest.mark.parametrize("solver", BOTH, ids=lambda solver: solver.name)
def test_over_contexts_one_step_size_contracts_the_average(rng, solver):
    margins = np.stack([random_margins(rng, N), 0.1 * random_margins(rng, N), random_margins(rng, N, 10.0)])
    logits = rng.normal(size=(3, N))
    references = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    game = make_game(margins, beta=0.02, log_reference=references, weights=np.array([0.2, 0.5, 0.3]))
    star = equilibrium(game).log_policy
    taken = steps_of(solver, game, states(solver, game, 300))
    assert len(taken) > 10
    for step in taken:
        left = step.eta * averaged(game, kl(step.half, star)) + (1 + step.eta) * averaged(game, kl(star, step.end))
        assert np.sqrt(left) <= np.sqrt(averaged(game, kl(star, step.begin))) + 1e-12
    np.testing.assert_allclose(np.exp(taken[-1].half), np.exp(star), atol=1e-5)


@pytest.mark.parametrize("solver", BOTH, ids=lambda solver: solver.name)
def test_equal_contexts_are_played_like_one_game(rng, solver):
    one = random_game(rng, N, 0.1)
    margins, reference = one.margins.values, one.log_reference
    thrice = make_game(np.stack([margins] * 3), beta=0.1, log_reference=np.stack([reference] * 3))
    for single, triple in zip(states(solver, one, 15), states(solver, thrice, 15), strict=True):
        np.testing.assert_allclose(triple.log_policy, np.stack([single.log_policy] * 3), atol=1e-7)


@pytest.mark.parametrize("solver", BOTH, ids=lambda solver: solver.name)
def test_lanes_in_different_phases_play_as_they_would_alone(rng, solver):
    games = [random_game(rng, N, 0.1)]
    betas = [0.3, 0.05, 0.01, 0.002]

    def lane(game, beta):
        unknown = np.full_like(game.log_reference, np.nan)
        return Lane(solver.with_theory_defaults(beta), beta, game.log_reference, unknown, 0)

    asked = Settings(queries=40, tolerance=1e-9, records=10)
    together = played(games, [[lane(game, beta) for beta in betas] for game in games], asked).curves()
    for game, row in zip(games, together, strict=True):
        for beta, curve in zip(betas, row, strict=True):
            # Four times the same lane: one phase, and the program of above.
            ((alone, *_),) = played([game], [[lane(game, beta)] * len(betas)], asked).curves()
            np.testing.assert_array_equal(curve.steps, alone.steps)
            np.testing.assert_allclose(np.exp(curve.log_policy), np.exp(alone.log_policy), atol=1e-8)


@pytest.mark.parametrize("solver", BOTH, ids=lambda solver: solver.name)
@pytest.mark.parametrize(("dtype", "floor"), [("float32", 1e-12), ("float64", 1e-28)])
def test_rounding_neither_stops_nor_spoils_a_run(solver, dtype, floor):
    games = [families.generate(family, actions=31, dtype=dtype) for family in ("circulant", "random-logits", "skill")]
    reference = np.asarray(resolve_reference("random[scale=1]", games[0], seed=0), dtype)
    for game, beta in itertools.product(games, (0.3, 0.1, 0.03)):
        game = game.replace(log_reference=reference, beta=beta)
        for state in states(solver, game, 1000, dtype)[-200::20]:
            assert state.log_policy.dtype == dtype
            advantage = game.margins.values @ np.exp(state.log_policy)
            assert suboptimality(game, state.log_policy, advantage) <= floor


def queries_to(solver, game, beta, tolerance=1e-12, most=20_000):
    game = game.replace(beta=beta)
    for updates, state in enumerate(itertools.islice(stream(solver, game), most)):
        if suboptimality(game, state.log_policy, state.advantage) <= tolerance:
            return updates * solver.queries_per_step
    return np.inf


def test_a_large_random_game_costs_a_twentieth_of_the_theorys_step():
    game = families.generate("random-logits", actions=1001)
    theory = queries_to(NashMP(), game, 0.01)
    assert queries_to(AdaptiveNashMP(), game, 0.01) <= theory / 20
    assert queries_to(SecantNashMP(), game, 0.01) <= theory / 40


@pytest.mark.parametrize("reference", ["random[scale=1]", "tilted[span=6]"])
def test_a_circulant_costs_no_more_than_the_theorys_step(reference):
    game = families.generate("circulant", actions=N)
    game = game.replace(log_reference=np.asarray(resolve_reference(reference, game, seed=0)))
    theory = queries_to(NashMP(), game, 0.01)
    assert queries_to(AdaptiveNashMP(), game, 0.01) <= 1.1 * theory
    assert queries_to(SecantNashMP(), game, 0.01) <= 0.2 * theory


@pytest.mark.parametrize("family", ["bradley-terry", "disc", "tournament", "planted", "skill"])
def test_no_fixed_step_is_much_better_in_hindsight(family):
    game = families.generate(family, actions=N)
    grid = [NashMP(eta=multiple * 0.1) for multiple in (1, 2, 4, 8, 16, 32, 64)]
    best = min(queries_to(solver, game, 0.1, most=1000) for solver in grid)
    assert queries_to(AdaptiveNashMP(), game, 0.1) <= 1.5 * best
    assert queries_to(SecantNashMP(), game, 0.1) <= best


@pytest.mark.parametrize(
    ("solver", "least", "reported"),
    [(AdaptiveNashMP(), 1e-9, "end"), (SecantNashMP(), 2.0, "half")],
)
def test_where_every_trial_fails_it_is_nash_mp_at_five_quarters_of_its_queries(
    rng, monkeypatch, solver, least, reported
):
    """The worst case: only the least step of Nash-MP is admissible, and it never says so beforehand.

    The constant is 1.25, and 8 queries at the start.
    """
    monkeypatch.setattr(
        adaptive_step, "admissibility_ratio", lambda *arguments: jnp.where(arguments[-1] > 0.2 * 1.0001, 2.0, least)
    )
    game = random_game(rng, N, 0.1)
    # A function of its own: what was compiled before has the other test inside.
    found = states(solver, game, 400, chunk=compiled(partial(_onwards)))
    taken = steps_of(solver, game, found)
    assert all(step.queries <= 2.5 * number + 8 for number, step in enumerate(taken, start=1))
    assert len(taken) == pytest.approx(400 / 2.5, abs=5)
    whole = states(NashMP(), game, 20)
    for step, wanted in zip(taken, whole[1:], strict=False):
        np.testing.assert_allclose(step.end, wanted.log_policy, atol=1e-12)
    assert any(np.array_equal(state.log_policy, getattr(taken[9], reported)) for state in found)


@pytest.mark.parametrize(
    ("passed", "ratio", "eta", "least", "wanted"),
    [
        # κ = 0.35 (1+1)/1² = 0.7, so that η² = 1+η.
        (True, 0.35, 1.0, 0.1, (1 + np.sqrt(5)) / 2),
        (True, 1e-9, 1.0, 0.1, 8.0),
        (True, 0.94, 1.0, 0.1, (1 + np.sqrt(1 + 4 * 0.94 * 2 / 0.7)) / (2 * 0.94 * 2 / 0.7)),
        (True, 1e9, 1.0, 0.1, 0.5),
        (False, 1.0, 1.0, 0.1, 0.5),
        (False, 1e9, 1.0, 0.1, 0.1),
        (True, 1e-9, 9e3, 0.1, 1e4),
    ],
)
def test_the_next_trial_follows_the_law_between_half_and_eight_times_the_last(passed, ratio, eta, least, wanted):
    with Precision().scope():
        found = adaptive_step.next_eta(jnp.asarray(passed), jnp.asarray(ratio), jnp.asarray(eta), least)
    assert float(found) == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("solver", BOTH, ids=lambda solver: solver.name)
def test_the_suboptimality_that_is_reported_is_that_of_the_definition(rng, solver):
    game = random_game(rng, N, 0.2)
    last = states(solver, game, 7)[-1]
    policy = np.exp(last.log_policy)
    response = np.exp(log_softmax(game.log_reference + last.advantage / game.beta))
    np.testing.assert_allclose(last.advantage, game.margins.values @ policy, atol=1e-14)
    others = [response, *(np.exp(log_softmax(rng.normal(size=N))) for _ in range(20))]
    gains = [value_of_deviation(game, other, policy) for other in others]
    assert gains[0] == max(gains)
    assert gains[0] < value_of_deviation(game, np.exp(equilibrium(game).log_policy), np.exp(game.log_reference))


@pytest.mark.parametrize("name", ["adaptive-nash-mp", "secant-nash-mp"])
def test_a_new_number_recompiles_nothing(rng, name):
    counts = []
    for beta, least in [(0.1, None), (0.02, None), (0.1, 0.05), (0.3, 0.9)]:
        solver = make_solver(name if least is None else f"{name}[least={least}]")
        states(solver, random_game(rng, N, beta), 5)
        counts.append(_chunk._cache_size())
    assert len(set(counts)) == 1


def test_the_least_step_and_the_memory_are_used(rng):
    game = make_game(random_margins(rng, N), beta=0.01, log_reference=log_softmax(rng.normal(size=N)))
    first, other = (states(AdaptiveNashMP(least), game, 10)[-1] for least in (0.001, 0.02))
    assert (first.eta, first.spare) != (other.eta, other.spare)
    game = families.generate("circulant", actions=N, beta=0.02)
    game = game.replace(log_reference=np.asarray(resolve_reference("random[scale=1]", game, seed=0)))
    star = equilibrium(game).log_policy
    left = [kl(star, states(SecantNashMP(memory=memory), game, 25)[-1].log_policy) for memory in (2, 10)]
    assert left[0] > 1e6 * left[1]


@pytest.mark.parametrize("text", ["adaptive-nash-mp[least=0.07]", "secant-nash-mp[least=0.07,memory=3]"])
def test_a_solver_selects_itself_again(text):
    solver = make_solver(text).with_theory_defaults(0.5)
    assert selection_of(solver) == text
    assert make_solver(selection_of(make_solver(text.partition("[")[0]).with_theory_defaults(0.5))).least == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("adaptive-nash-mp[eta=1]", ["eta", "least"]),
        ("adaptive-nash-mp[least=0]", ["adaptive-nash-mp[least] is 0", "above 0"]),
        ("secant-nash-mp[memory=2.5]", ["memory", "an integer"]),
        ("secant-nash-mp[memory=0]", ["secant-nash-mp[memory] is 0", "from 1 to 100"]),
        ("secant-nash-mp[memory=101]", ["secant-nash-mp[memory] is 101", "from 1 to 100"]),
    ],
)
def test_a_mistake_is_one_sentence_with_the_way_out(text, words):
    with pytest.raises(NashGamesError) as caught:
        make_solver(text)
    assert all(word in str(caught.value) for word in words), caught.value
