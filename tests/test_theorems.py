"""Verdicts on the theorems: the inequalities against plain NumPy on planted equilibria, and what is let through."""

import dataclasses
import json
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import numpy as np
import pandas as pd
import pytest

import nashgames as ng
from nashgames.analysis.theorems import INEQUALITIES, Law, kl_bound, law_of, verdict
from nashgames.analysis.theorems.identities import update_identity
from nashgames.analysis.theorems.judge import _checks
from nashgames.core import simplex
from nashgames.experiments import runner
from nashgames.experiments.experiment import Experiment, load_preset
from nashgames.learning.references import resolve_reference
from nashgames.solvers.protocol import PolicyState
from tests.games import log_softmax, random_margins


class Planted:
    """A game whose exact π*_β is planted (μ ∝ π* e^{−Aπ*/β}), and its methods in plain NumPy, in logits."""

    def __init__(self, rng, beta):
        self.n, self.beta = int(rng.integers(2, 9)), beta
        self.margins = random_margins(rng, self.n, sharpness=rng.choice([1.0, 100.0]))
        self.star = log_softmax(rng.choice([0.3, 3.0]) * rng.normal(size=self.n))
        self.mu = log_softmax(self.star - self.q(self.star) / beta)

    def q(self, log_policy):
        return self.margins @ np.exp(log_policy)

    def prox(self, log_policy, log_reference, opponent, temperature, step):
        return log_softmax((log_policy + step * (log_reference + self.q(opponent) / temperature)) / (1 + step))

    def nash_mp(self, eta, steps, log_policy=None):
        """The whole steps π_0 … π_steps and the half steps between them."""
        wholes, halves = [self.mu if log_policy is None else log_policy], []
        for _ in range(steps):
            halves.append(self.prox(wholes[-1], self.mu, wholes[-1], self.beta, eta))
            wholes.append(self.prox(wholes[-1], self.mu, halves[-1], self.beta, eta))
        return wholes, halves

    def proximal_point(self, eta, inner, steps):
        """Every inner iterate, π_0 first."""
        found, target, tau = [self.mu], self.mu, self.beta * (1 + 1 / eta)
        for t in range(steps):
            anchor = log_softmax((eta * self.mu + target) / (1 + eta))
            half = self.prox(found[-1], anchor, found[-1], tau, 2 * tau)
            found.append(self.prox(found[-1], anchor, half, tau, 2 * tau))
            target = found[-1] if (t + 1) % inner == 0 else target
        return found

    def kl(self, log_policy):
        return max(float(np.exp(self.star) @ (self.star - log_policy)), 0.0)

    def span(self, log_policy):
        return float(np.ptp(log_policy - self.star))

    def suboptimality(self, log_policy):
        response = log_softmax(self.mu + self.q(log_policy) / self.beta)
        return self.beta * float(np.exp(log_policy) @ (log_policy - response))


def share(value, bound):
    """The share of its bound that a value reaches; 0 where rounding decides, by which it may be exceeded."""
    assert value <= bound + 1e-12
    return value / bound if bound > 1e-8 else 0.0


@pytest.mark.parametrize("beta", [2.0, 0.5, 0.1, 0.01])
def test_no_game_breaks_an_inequality_of_nash_mp_and_the_half_step_nearly_attains_it(rng, beta):
    largest = dict.fromkeys(["step", "half", "span", "pair"], 0.0)
    for _ in range(60):
        game = Planted(rng, beta)
        # The largest step that the proof allows: η/β = 2√(1+η).
        limit = 2 * beta * (beta + np.sqrt(1 + beta**2))
        law = Law("nash-mp", beta, limit * rng.choice([1.0, 0.5, 0.05]))
        wholes, halves = game.nash_mp(
            law.eta, 25, log_softmax(3 * rng.normal(size=game.n)) if rng.random() < 0.5 else None
        )
        kls, spans = [game.kl(pi) for pi in wholes], [game.span(pi) for pi in wholes]
        for a in range(0, 20, 5):
            for b in range(a, 26):
                f, v = law.advance(b - a)
                largest["step"] = max(largest["step"], share(kls[b], f * kls[a]))
                largest["span"] = max(largest["span"], share(spans[b], f * spans[a] + v * np.sqrt(kls[a])))
        for k, half in enumerate(halves):
            gap = game.suboptimality(half)
            away = float(np.exp(half) @ (half - game.star))
            largest["half"] = max(largest["half"], share(gap, law.half_step(kls[k])))
            largest["pair"] = max(largest["pair"], share(law.eta * away + (1 + law.eta) * kls[k + 1], kls[k]))
            assert gap <= (beta + 1 / (4 * beta)) * away + 1e-12
    assert max(largest.values()) <= 1 + 1e-6
    assert largest["step"] > 0.9
    assert largest["span"] > 0.9
    assert largest["pair"] > 0.97


@pytest.mark.parametrize("beta", [1.0, 0.1, 0.01])
def test_no_game_breaks_an_inequality_of_the_proximal_point_loop_however_short_the_inner_one(rng, beta):
    largest = {"kl": 0.0, "span": 0.0}
    for _ in range(60):
        game = Planted(rng, beta)
        law = Law("proximal-point", beta, float(rng.choice([0.05, 1.0, 20.0])), int(rng.choice([1, 2, 5, 30])))
        found = game.proximal_point(law.eta, law.inner, min(3 * law.inner + 3, 40))
        kls, spans = [game.kl(pi) for pi in found], [game.span(pi) for pi in found]
        for a in range(0, len(found), law.inner):
            f, v = law.advance(np.arange(len(found) - a))
            for b in range(a, len(found)):
                largest["kl"] = max(largest["kl"], share(kls[b], f[b - a] * kls[a]))
                bound = f[b - a] * spans[a] + v[b - a] * np.sqrt(kls[a])
                largest["span"] = max(largest["span"], share(spans[b], bound))
    assert max(largest.values()) <= 1 + 1e-6
    assert min(largest.values()) > 0.9


@pytest.mark.parametrize(("eta", "inner"), [(0.1, 3), (1.0, 1), (10.0, 7)])
def test_the_closed_form_of_many_outer_steps_is_that_of_one_after_another(eta, inner):
    law = Law("proximal-point", 0.1, eta, inner)
    kl, span = 1 / 0.2, 1 / 0.1
    for outer in range(4):
        for i in range(inner + 1):
            f, v = law.advance(i)
            whole, more = law.advance(outer * inner + i)
            assert whole * 5 == pytest.approx(f * kl, rel=1e-12)
            assert whole * 10 + more * np.sqrt(5) == pytest.approx(f * span + v * np.sqrt(kl), rel=1e-12)
        kl, span = f * kl, f * span + v * np.sqrt(kl)
    assert law.factor == pytest.approx((1 + eta * (1 + 0.2 * (1 + 1 / eta)) ** -inner) / (1 + eta))
    # With an endless inner loop it is the contraction of the exact method.
    assert Law("proximal-point", 0.1, eta, 10_000).factor == pytest.approx(1 / (1 + eta))


def test_what_a_step_leaves_bounds_the_span_of_nash_mp_always_and_of_the_outer_loop_up_to_its_next_anchor():
    steps = np.arange(9)
    assert Law("nash-mp", 0.1, 0.2).is_sharp(steps).all()
    assert Law("halves[nash-mp]", 0.1, 0.2).is_sharp(steps).all()
    assert Law("proximal-point", 0.1, 1.0, 7).is_sharp(steps).tolist() == [True] * 8 + [False]


def test_where_the_bounds_start_from(rng):
    for beta in (1.0, 0.1, 0.01):
        for _ in range(30):
            game = Planted(rng, beta)
            assert game.kl(game.mu) <= kl_bound(Law("nash-mp", beta, beta), 0) * (1 + 1e-9)
            assert game.span(game.mu) <= 1 / beta * (1 + 1e-9)
    np.testing.assert_allclose(kl_bound(Law("nash-mp", 0.5, 1.0), [0, 1, 3]), [1, 0.5, 0.125])
    # Halves are bounded by the whole step that they belong to.
    np.testing.assert_allclose(kl_bound(Law("halves[nash-mp]", 0.5, 1.0), [0, 1, 2, 3]), [1, 1, 0.5, 0.5])
    assert Law("nash-mp", 0.1, 0.2).half_step(1.0) == pytest.approx((0.1 + 2.5) / 0.2)


ACTIONS = 10
"""Of all games that nothing else asks more of: those of ten actions in the preset, whose programs serve them all."""
OTHERS = ["nash-mp[eta=0.001]", "proximal-point[eta=0.1]", "proximal-point[eta=50,inner=2]"]
TABLES = ("runs", "curves", "policies", "paths")


def joined(results):
    """The tables of several results; an empty one has columns of no type and is left out beside others."""
    tables = {name: [getattr(result, name) for result in results] for name in TABLES}
    return {name: pd.concat([*filter(len, each)] or each[:1], ignore_index=True) for name, each in tables.items()}


def alone(game, solvers, **settings):
    """Every solver by itself, so that all runs of one class have the program of one lane."""
    return joined([ng.solve(game, solver, **settings) for solver in solvers])


def of_runs(tables, run_ids):
    return {name: frame[frame["run_id"].isin(run_ids)] for name, frame in tables.items()}


@pytest.mark.parametrize(
    ("selection", "reference", "beta", "dtype", "every"),
    [
        ("random-logits[strength=3]", "uniform", 0.01, "float64", 1),
        ("tournament", "random[scale=30]", 0.1, "float64", 3),
        ("bradley-terry[strength=5]", "uniform", 0.001, "float64", 2),
        ("random-logits[contexts=3,weights=drawn]", "random[scale=1]", 0.1, "float64", 1),
        ("melo", "random[scale=3]", 10.0, "float64", 1),
        ("melo", "random[scale=30]", 0.1, "float32", 1),
    ],
)
def test_no_run_is_accused_also_long_after_rounding_is_all_that_is_left(selection, reference, beta, dtype, every):
    game = ng.load(selection, actions=ACTIONS, seed=2)
    game = game.replace(log_reference=resolve_reference(reference, game, 1))
    settings = {"beta": beta, "queries": 1000, "tolerance": 0, "dtype": dtype, "record_every": every}
    small, *others = OTHERS
    # Every other half step is a step of nash-mp: one program of both where no other test has them.
    shared = game.contexts == 1 and dtype == "float64"
    solvers = ["halves[nash-mp]", small if shared else f"halves[{small}]", *others]
    found = verdict(**alone(game, solvers, **settings))
    assert found.breaks.empty
    assert (found.rates["broken"] == 0).all()
    assert len(found.rates) == len(solvers)
    if dtype == "float64":
        assert (found.rates["iterates"] > 0).all()
        assert (found.rates[["KL", "step"]] > 0).all(axis=None)
        assert (found.rates[["KL", "step"]] <= 1).all(axis=None)


def test_rounding_is_negligible_where_an_iterate_is_judged_and_judging_goes_far_down():
    game = ng.load("random-logits", actions=ACTIONS)
    result = ng.solve(game, "halves[nash-mp]", beta=0.1, tolerance=0, queries=800, record_every=1)
    (run,) = result.runs.to_dict("records")
    law = law_of(run)
    root, of_span = law.rounding(ACTIONS, np.finfo(float).eps, 30.0, run["equilibrium_residual"])
    assert 0 < root < 1e-11
    assert 0 < of_span < 1e-9
    # Ten times the rounding unit or the residual is ten times the allowance: nothing else is in it.
    np.testing.assert_allclose(
        law.rounding(ACTIONS, 1e-15, 30.0, 0.0), np.array(law.rounding(ACTIONS, 1e-16, 30.0, 0.0)) * 10
    )
    checks = _checks(run, result.curves, law, root, of_span)
    kl = checks[checks["inequality"] == "KL"]
    exact = kl_bound(law, kl["step"])
    assert (kl["bound"] / exact - 1).max() < 0.0203
    assert (kl["bound"] / exact - 1)[exact > 1e-10].max() < 1e-5
    assert exact.min() < 1e-17
    assert kl["step"].max() < 700, "the last iterates are below what can be judged"


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Wrong:
    """Nash-MP with one mistake: a factor of q in both or in the second half, of η, of the temperature, or of log μ."""

    eta: Any = None
    advantage_by: Any = 1.0
    second_by: Any = 1.0
    eta_by: Any = 1.0
    temperature: Any = 1.0
    pull: Any = 1.0
    name: ClassVar[str] = "nash-mp"
    queries_per_step: ClassVar[int] = 2

    def with_theory_defaults(self, beta):
        return dataclasses.replace(self, eta=2 * beta)

    def init(self, game, key):
        return PolicyState(game.start, game.query(game.start, key))

    def half(self, game, state, advantage):
        q = self.advantage_by * advantage / (game.beta * self.temperature)
        eta = self.eta_by * self.eta
        return simplex.normalise((state.log_policy + eta * (self.pull * game.log_reference + q)) / (1 + eta))

    def update(self, game, state, key):
        advantage = game.query(self.half(game, state, state.advantage), key)
        log_policy = self.half(game, state, self.second_by * advantage)
        return PolicyState(log_policy, game.query(log_policy, key))

    def log_policy(self, state):
        return state.log_policy

    def advantage(self, state):
        return state.advantage


# What a factor of 1 % or less does is a fixed point that is off by as much: seen where the bound falls below it.
MISTAKES = [
    {"second_by": -1.0},
    {"second_by": 0.95},
    {"advantage_by": 1.01},
    {"temperature": 1.05},
    {"temperature": 0.999},
    {"pull": 0.95},
]


@pytest.mark.parametrize("beta", [0.5, 0.1, 0.01])
def test_a_wrong_solver_is_caught(beta):
    game = ng.load("tournament", actions=ACTIONS, seed=1)
    game = game.replace(log_reference=resolve_reference("random[scale=1]", game, 1))
    settings = {"beta": beta, "queries": 3000, "tolerance": 1e-20, "record_every": 1}
    # The right one and all mistakes are lanes of one batch, that of one program.
    result = ng.solve(game, [Wrong(), *(Wrong(**mistake) for mistake in MISTAKES)], **settings)
    breaks = verdict(**joined([result])).breaks
    right, *wrong = result.runs["run_id"]
    assert right not in set(breaks["run_id"])
    for run, mistake in zip(wrong, MISTAKES, strict=True):
        assert {"KL", "step"} <= set(breaks["inequality"][breaks["run_id"] == run]), mistake
    assert (breaks["value"] > breaks["bound"]).all()


def test_a_wrong_step_that_converges_is_seen_beside_the_other_forms_of_the_algorithm():
    game = ng.load("random-logits", actions=ACTIONS, seed=3)
    settings = {"beta": 0.1, "tolerance": 1e-10, "record_every": 1}
    # As many lanes as there are mistakes above, and the right one: the same program.
    factors = [1.0, 1.05, 1 + 1e-6, 1 - 1e-6, 1 + 1e-7, 1.01, 0.99]
    steps = ng.solve(game, [Wrong(eta_by=by) for by in factors], **settings)
    forms = ng.solve(game, ["halves[nash-mp]", "egpo"], **settings)
    runs = dict(zip(factors, steps.runs["run_id"], strict=True))
    tables, beside = joined([forms, steps]), set(forms.runs["run_id"])
    # A step of 1.05 η keeps every inequality: its contraction is larger than what is proved of η.
    assert verdict(**of_runs(tables, {runs[1.05]})).breaks.empty
    assert verdict(**of_runs(tables, {runs[1.0], *beside})).breaks.empty
    for by in (1 + 1e-6, 1 - 1e-6):
        breaks = verdict(**of_runs(tables, {runs[by], *beside})).breaks
        assert set(breaks["inequality"]) == {"same steps"}
        assert set(breaks["run_id"]) == {runs[by]}


def path_of(game, wholes, halves):
    """The rows of `store.PATH_COLUMNS` that the identity reads, of Nash-MP by halves."""
    iterates = [pi for pair in zip(wholes, [*halves, None], strict=True) for pi in pair if pi is not None]
    return pd.concat(
        pd.DataFrame({"step": step, "action": np.arange(game.n), "probability": np.exp(pi)}).assign(
            equilibrium_probability=np.exp(game.star)
        )
        for step, pi in enumerate(iterates)
    )


@pytest.mark.parametrize("beta", [1.0, 0.1, 0.01])
def test_the_identity_of_a_step_holds_to_rounding_in_every_game_and_sees_a_step_wrong_by_1e_9(rng, beta):
    for _ in range(8):
        game = Planted(rng, beta)
        law = Law("halves[nash-mp]", beta, float(rng.choice([2 * beta, 0.3 * beta])))
        run = {"n": game.n, "dtype": "float64", "equilibrium_residual": 0.0}
        largest = float(np.abs([game.mu, game.star]).max()) + 2 / beta
        right, wrong = (path_of(game, *game.nash_mp(law.eta * by, 12)) for by in (1.0, 1 + 1e-9))
        found = update_identity(run, right, law, largest)
        assert list(found["step"]) == list(range(1, 25))
        assert (found["value"] <= found["bound"]).all()
        found = update_identity(run, wrong, law, largest)
        assert (found["value"] > found["bound"]).any()


def test_the_identity_is_judged_where_the_neighbours_are_recorded_only(rng):
    game = Planted(rng, 0.1)
    law, run = Law("halves[nash-mp]", 0.1, 0.2), {"n": game.n, "dtype": "float64", "equilibrium_residual": 0.0}
    path = path_of(game, *game.nash_mp(0.2, 5))
    kept = path[path["step"].isin([0, 2, 3, 4, 7, 8, 9])]
    assert list(update_identity(run, kept, law, 30.0)["step"]) == [3, 4, 9]
    assert update_identity(run, path.assign(equilibrium_probability=np.nan), law, 30.0).empty


@pytest.fixture(scope="module")
def tight(tmp_path_factory):
    """The grids of the preset that are there for the power of the verdict: its games of at most 100 actions.

    Every β by itself, and of a hundred actions the half steps alone: eight programs for all.
    """
    preset = load_preset("theorems").to_dict()
    grids = [preset | grid | {"also": []} for grid in preset["also"] if grid["actions"] != [10_000]]
    large = [grid | {"actions": [100], "solver": ["halves[nash-mp]"]} for grid in grids if grid["actions"] == [10, 100]]
    grids = [grid | {"actions": [n for n in grid["actions"] if n != 100] or [100]} for grid in grids]
    asked = [grid | {"beta": beta} for grid in [*grids, *large] for beta in grid["beta"]]
    finished = []
    for values in asked:
        *_, last = runner.execute(Experiment.from_dict(values), tmp_path_factory.mktemp("tight") / "results")
        finished.append(last)
    return joined(finished)


def test_the_games_of_the_preset_keep_to_every_inequality(tight):
    found = verdict(**tight)
    assert found.breaks.empty
    assert found.rates[list(INEQUALITIES)].max().between(1e-4, 1).all(), "every inequality was judged"


@pytest.mark.parametrize(
    ("constant", "inequality"),
    [("half_step", "half step"), ("_spread", "span step"), ("start_kl", "KL"), ("start_span", "span")],
)
def test_a_constant_that_is_wrong_by_three_fifths_breaks_a_game_of_the_preset(tight, monkeypatch, constant, inequality):
    right = getattr(Law, constant)
    if isinstance(right, property):
        wrong = property(lambda law: 0.6 * right.fget(law))
    else:
        wrong = lambda law, *values: 0.6 * right(law, *values)  # noqa: E731
    monkeypatch.setattr(Law, constant, wrong)
    assert set(verdict(**tight).breaks["inequality"]) == {inequality}


@pytest.fixture(scope="module")
def played():
    """Two sizes, of which the small one is played without an outer loop."""
    solvers = ["halves[nash-mp]", "nash-mp", "proximal-point"]
    results = [
        ng.solve(ng.load("random-logits", actions=n, seed=6), asked, beta=0.1, tolerance=1e-12, record_every=1)
        for n, asked in ((3, solvers[:2]), (ACTIONS, solvers))
    ]
    return {name: table for name, table in joined(results).items() if name != "paths"}


@pytest.mark.parametrize(
    ("solver", "column", "step", "factor", "inequality"),
    [
        ("nash-mp", "kl_to_equilibrium", 7, 1.3, "step"),
        ("nash-mp", "kl_to_equilibrium", 30, 1e7, "KL"),
        ("nash-mp", "span_to_equilibrium", 7, 4.0, "span step"),
        ("nash-mp", "span_to_equilibrium", 20, 1e5, "span"),
        ("halves[nash-mp]", "suboptimality", 41, 1e8, "half step"),
        ("proximal-point", "kl_to_equilibrium", 11, 3.0, "step"),
    ],
)
def test_one_altered_number_is_found_at_its_place(played, solver, column, step, factor, inequality):
    assert verdict(**played).breaks.empty
    curves = played["curves"].reset_index(drop=True)
    here = (curves["solver"] == solver) & (curves["n"] == ACTIONS) & (curves["step"] == step)
    assert here.sum() == 1
    curves.loc[here, column] *= factor
    found = verdict(played["runs"], curves, played["policies"])
    assert inequality in set(found.breaks["inequality"])
    mine = found.breaks[found.breaks["inequality"] == inequality]
    assert set(mine["run_id"]) == set(curves["run_id"][here])
    assert mine["step"].iloc[0] == step
    value = curves[column][here].iloc[0]
    if inequality == "span step":
        # What is judged is the change of the span beyond what the contraction alone would leave, 1/(1+η) at η = 0.2.
        value = abs(value - curves[column][here[here].index[0] - 1] / 1.2)
    assert mine["value"].iloc[0] == pytest.approx(value)
    row = found.rates[found.rates["label"] == solver].iloc[0]
    assert row["broken"] == len(found.breaks)
    assert row[inequality] > 1


def test_a_diverged_run_breaks_the_theorem(played):
    runs = played["runs"].reset_index(drop=True)
    runs.loc[0, "status"], runs.loc[0, "diverged_step"] = "diverged", 9
    breaks = verdict(runs, played["curves"], played["policies"]).breaks
    assert list(zip(breaks["run_id"], breaks["step"], breaks["value"], strict=True)) == [(runs["run_id"][0], 9, np.inf)]


def test_the_rates_and_sizes_are_what_the_rows_say(played):
    found = verdict(**played)
    assert list(found.rates["label"]) == ["halves[nash-mp]", "nash-mp", "proximal-point"]
    halves, mp, outer = found.rates.to_dict("records")
    assert mp["proved"] == pytest.approx(1 / 1.2)
    assert (mp["queries"], halves["queries"], outer["queries"]) == (2, 2, 14)
    curves = played["curves"][played["curves"]["solver"] == "nash-mp"]
    factors = pd.concat(
        kl[kl > 1e-15].pct_change().dropna() + 1 for _, kl in curves.groupby("run_id")["kl_to_equilibrium"]
    )
    assert mp["slowest"] == pytest.approx(factors.max())
    assert mp["mean"] <= mp["slowest"] < mp["proved"]
    # The even halves are the whole steps.
    assert halves["slowest"] == mp["slowest"]
    assert halves["KL"] == mp["KL"]
    assert halves["iterates"] > 1.9 * mp["iterates"]
    assert np.isnan(mp["half step"])
    sizes = found.sizes.set_index("label")
    assert sizes.loc["nash-mp", "proved"] == 2 * np.ceil(np.log(2 * 0.1 * 1e-8) / -np.log(1.2))
    for n in (3, ACTIONS):
        of_size = curves[curves["n"] == n]
        reached = of_size["queries"][of_size["kl_to_equilibrium"] <= 1e-8].iloc[0]
        assert sizes.loc["nash-mp", "measured"][n] == sizes.loc["halves[nash-mp]", "measured"][n] == reached
        assert reached <= sizes.loc["nash-mp", "proved"]


@pytest.mark.parametrize(
    ("solver", "numbers", "beta", "covered"),
    [
        ("nash-mp", {"eta": 0.2}, 0.1, True),
        ("nash-mp", {"eta": np.float32(0.2).item()}, 0.1, True),
        ("nash-mp", {"eta": 0.23}, 0.1, False),
        ("nash-mp", {"eta": None}, 0.1, False),
        ("proximal-point", {"eta": 1e3, "inner": 1}, 0.1, True),
        ("average[nash-mp]", {"eta": 0.2}, 0.1, False),
        ("egpo", {"step": 2 / 1.2}, 0.1, True),
        ("egpo", {"step": 2 / 1.2 * 1.2}, 0.1, False),
        ("egpo", {"step": 10.0}, 0.1, False),
        ("mirror-descent", {"step": 0.2}, 0.1, False),
    ],
)
def test_only_runs_with_a_theorem_are_judged(solver, numbers, beta, covered):
    run = {"solver": solver, "hyperparameters": json.dumps(numbers), "beta": beta}
    assert (law_of(run) is not None) == covered
    assert law_of(run | {"feedback": "duels"}) is None
    assert law_of(run | {"policy": "mlp"}) is None


def test_egpo_of_a_table_is_judged_as_the_nash_mp_that_it_is():
    law = law_of({"solver": "egpo", "hyperparameters": json.dumps({"step": 2 / 1.2}), "beta": 0.1})
    assert law.eta == pytest.approx(0.2)
    assert law.factor == pytest.approx(1 / 1.2)


def test_runs_without_a_theorem_are_refused_in_a_sentence(played):
    with pytest.raises(ng.NashGamesError, match=r"no run is covered by a theorem; play nash-mp .* with any η"):
        verdict(**{name: table.assign(solver="online-ipo") for name, table in played.items()})
