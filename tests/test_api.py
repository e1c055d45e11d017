"""The notebook: games, `solve`, DataFrames, a figure, and sentences for whatever is wrong."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

import nashgames as ng
from nashgames.api import solving
from nashgames.core.metrics import METRICS
from nashgames.experiments import plan, preparing
from nashgames.experiments.experiment import DEFAULT_GRADIENTS, Experiment
from nashgames.solvers import compose
from nashgames.store import CURVE_COLUMNS, PATH_COLUMNS, POLICY_COLUMNS, RUN_COLUMNS, Results
from tests.games import ROCK_PAPER_SCISSORS, log_softmax, measured
from tests.solvers_of_users import Fragile, Optimistic, Sppo
from tests.test_precision import settings_of_jax

TILTED = log_softmax(np.array([1.0, 0.0, -1.0]))
GAME = ng.make_game(ROCK_PAPER_SCISSORS, beta=0.1, log_reference=TILTED)


def solve(solvers="nash-mp", game=GAME, **numbers) -> ng.Result:
    return ng.solve(game, solvers, **({"queries": 300} | numbers))


def test_the_five_lines_of_a_notebook():
    game = ng.games.disc(actions=3, strength=2.0, seed=1)
    result = ng.solve(game, [ng.NashMP(), ng.NashProx(inner=40)], beta=0.05, tolerance=1e-10)
    assert tuple(result.curves.columns) == CURVE_COLUMNS
    assert list(result.runs["solver"]) == ["nash-mp", "nash-prox"]
    assert result.runs["status"][0] == "converged"
    assert result.runs["suboptimality"][0] <= 1e-10
    assert result.runs["game"].str.startswith("disc[strength=2").all()
    assert set(result.runs["seed"]) == {1}
    assert isinstance(result.plot(), Figure)
    assert result.equilibrium.converged


def test_steps_are_tuned_on_the_game_that_is_given_and_on_other_duels():
    result = solve(["nash-mp", "adaptive-nash-mp"], tune="eta=0.4:1.6:2", tolerance=1e-6)
    assert sorted(result.runs["role"]) == ["both", "reported", "tuning", "tuning"]
    assert list(result.runs["label"][:2]) == ["nash-mp", "adaptive-nash-mp"], "what is reported comes first"
    (found,) = result.tuning.to_dict("records")
    tried = result.runs[result.runs["label"] == "nash-mp"].set_index("selection")
    assert set(tried.index) == {"nash-mp[eta=0.2]", "nash-mp[eta=0.4]", "nash-mp[eta=1.6]"}
    assert found["selection"] == tried["queries_to_tolerance"].astype(float).idxmin()
    assert tried.loc[found["selection"], ["role", "step_source"]].tolist() == ["both", "tuned"]
    assert len(result.plot().axes[0].get_lines()) < len(tried) + 4, "trials are not drawn"
    on_duels = solve(feedback="duels[batch=10]", tune=["eta=0.02:0.2:2", "seeds=2"], seeds=3, tolerance=0.1)
    seeds = on_duels.runs.groupby("role")["seed"].agg(set).to_dict()
    own = on_duels.tuning["value"].item() == on_duels.tuning["own_value"].item()
    assert seeds == {"reported": {0, 1, 2}, "tuning": {3, 4}} | ({} if own else {"asked": {0, 1, 2}})
    assert np.isfinite(on_duels.tuning["reported_cost"].item()), "costs on the reported seeds are known at the end"
    assert solve().tuning.empty


def test_results_are_the_tables_that_a_directory_holds(tmp_path):
    result = solve(["nash-mp", "mirror-descent"])
    tables = {"runs": RUN_COLUMNS, "curves": CURVE_COLUMNS, "policies": POLICY_COLUMNS, "paths": PATH_COLUMNS}
    for name, columns in tables.items():
        assert tuple(getattr(result, name).columns) == columns
    with Results.open(tmp_path / "mine") as results:
        results.add(result.runs, result.curves, result.policies, result.paths)
        results.flush()
    assert len(Results.read(tmp_path / "mine").runs) == 2


def test_every_point_follows_from_its_policy():
    result = solve(["nash-mp", "mirror-descent"], tolerance=0.0, records=5)
    np.testing.assert_allclose(
        result.equilibrium.log_policy, TILTED + ROCK_PAPER_SCISSORS @ np.exp(result.equilibrium.log_policy) / 0.1
        - np.log(np.sum(np.exp(TILTED + ROCK_PAPER_SCISSORS @ np.exp(result.equilibrium.log_policy) / 0.1))),
        atol=1e-11,
    )  # fmt: skip
    points = np.log(result.paths["probability"].to_numpy().reshape(-1, 3))
    assert len(points) == len(result.curves)
    for log_policy, row in zip(points, result.curves.to_dict("records"), strict=True):
        for name, value in measured(GAME, log_policy, result.equilibrium.log_policy).items():
            assert row[name] == pytest.approx(value, rel=1e-6, abs=1e-13), name
    np.testing.assert_array_equal(result.curves["queries"], result.curves["step"] * result.curves["solver"].map(
        {"nash-mp": 2, "mirror-descent": 1}))  # fmt: skip


@pytest.mark.parametrize(
    "solvers", ["nash-mp", ng.NashMP(), ["nash-mp"], (ng.NashMP(),), iter([ng.NashMP()]), {"nash-mp": "a legend"}]
)
def test_one_solver_or_several_as_names_or_objects(solvers):
    result = solve(solvers)
    assert list(result.runs["selection"]) == ["nash-mp[eta=0.2]"]
    assert list(result.runs["label"]) == ["nash-mp"]
    assert list(result.runs["step_source"]) == ["theory"]


def test_the_solvers_of_the_default_experiment_are_played_unless_some_are_named():
    result = ng.solve(GAME, queries=30, records=3)
    assert list(result.runs["solver"]) == ["nash-mp", "adaptive-nash-mp", "nash-prox", "mirror-descent", "online-ipo"]


def test_variants_are_told_apart_by_label_and_one_asked_for_twice_is_played_once():
    result = solve(["nash-mp", ng.NashMP(eta=0.05), ng.NashMP(eta=0.2), "mirror-descent"])
    assert list(result.runs["label"]) == ["nash-mp", "nash-mp[eta=0.05]", "mirror-descent"]
    assert list(result.runs["step_source"]) == ["theory", "given", "theory"]
    assert result.runs["run_id"].is_unique


def test_rows_of_several_calls_can_be_joined():
    calls = [
        solve(beta=0.5), solve(beta=0.1), solve(seed=1), solve(tolerance=1e-6), solve("nash-mp[eta=0.1]"),
        solve(game=GAME.replace(margins=ng.make_game(ROCK_PAPER_SCISSORS / 2).margins)),
        solve(game=GAME.replace(log_reference=np.log(np.full(3, 1 / 3)))),
    ]  # fmt: skip
    runs = pd.concat([result.runs for result in calls])
    assert runs["run_id"].is_unique
    assert runs["run_id"].str.fullmatch("[0-9a-f]{12}").all()
    assert list(solve(beta=0.1).runs["run_id"]) == list(calls[1].runs["run_id"])
    assert list(runs["beta"])[:2] == [0.5, 0.1]
    assert list(runs["reference"]) == ["own"] * 6 + ["uniform"]


def test_the_same_call_gives_the_same_bits():
    one, two = solve(["nash-mp", "mirror-descent"]), solve(["nash-mp", "mirror-descent"])
    for name in ("curves", "policies", "paths"):
        times = ["seconds"] if name == "curves" else []
        pd.testing.assert_frame_equal(
            getattr(one, name).drop(columns=times), getattr(two, name).drop(columns=times), check_exact=True
        )


@pytest.mark.parametrize(
    ("given", "selection"),
    [
        (ng.MirrorDescent(step=1), "mirror-descent[step=1]"),
        (ng.NashMP(eta=np.float32(0.25)), "nash-mp[eta=0.25]"),
        (ng.NashMP(eta=jnp.float32(0.25)), "nash-mp[eta=0.25]"),
        (ng.NashMP(eta=np.float64(1 / 3)), "nash-mp[eta=0.3333333333333333]"),
        (ng.NashProx(eta=0.5, inner=np.int64(7), kappa=1, step=2.0), "nash-prox[eta=0.5,inner=7,kappa=1,step=2]"),
    ],
)
def test_numbers_of_any_kind_are_numbers(given, selection):
    result = solve(given, queries=20, records=3)
    assert list(result.runs["selection"]) == [selection]
    assert json.loads(result.runs["hyperparameters"][0])
    assert list(result.runs["step_source"]) == ["given"]


def test_solvers_of_users_are_treated_like_the_built_in_ones_inside_a_wrapper_too():
    result = solve([Optimistic(), ng.Average(Sppo(np.float32(0.5))), Fragile(0.5, 0.0, 7)], tolerance=1e-8)
    assert list(result.runs["solver"]) == ["optimistic", "average[sppo]", "fragile"]
    assert list(result.runs["status"]) == ["converged", "budget", "diverged"]
    assert list(result.runs["step_source"]) == ["theory", "given", "given"]
    assert json.loads(result.runs["hyperparameters"][0]) == {"eta": 0.1}
    assert json.loads(result.runs["hyperparameters"][1]) == {"eta": 0.5}
    assert np.isfinite(result.curves[[*METRICS]].to_numpy(float)).all()
    assert isinstance(result.plot(), Figure)


def test_no_setting_of_jax_is_changed_also_by_a_mistake():
    before = settings_of_jax()
    solve(dtype="float64", queries=20)
    solve("mirror-descent", dtype="float32", queries=20)
    with pytest.raises(ng.NashGamesError):
        solve(device="gpu")
    assert settings_of_jax() == before
    assert jnp.ones(1).dtype == np.float32


def test_dtype_beta_and_budget_are_those_asked_for():
    result = solve("mirror-descent", dtype="float32", beta=0.5, queries=41, tolerance=0)
    assert set(result.runs["dtype"]) == {"float32"}
    assert result.policies["log_probability"].to_numpy().astype(np.float32).astype(float).tolist() == list(
        result.policies["log_probability"]
    )
    assert (result.runs["beta"][0], result.runs["budget"][0], result.runs["queries"][0]) == (0.5, 41, 41)
    assert solve(queries=None, tolerance=0, records=3).runs["budget"][0] == 2000
    assert GAME.beta == 0.1
    assert result.equilibrium.beta == 0.5


def test_distances_to_an_equilibrium_that_was_not_found_are_left_empty(monkeypatch):
    exact = preparing.equilibrium_path
    monkeypatch.setattr(
        preparing, "equilibrium_path", lambda *asked: (found._replace(residual=1e-3) for found in exact(*asked))
    )
    result = solve()
    assert result.curves[["kl_to_equilibrium", "span_to_equilibrium"]].isna().all(axis=None)
    assert result.curves["suboptimality"].notna().all()
    assert not result.equilibrium.converged


@pytest.mark.parametrize("name", ["disc[strength=2]", "circulant", "soccer10"])
def test_a_game_by_name(name):
    assert ng.load(name).description.name == name.partition("[")[0]


def test_a_game_by_name_takes_a_size_a_seed_and_a_dtype():
    game = ng.load("random-logits", actions=7, seed=3, dtype="float32")
    same = ng.games.random_logits(actions=7, seed=3, dtype="float32")
    np.testing.assert_array_equal(game.margins.to_dense(), same.margins.to_dense())
    assert (game.actions, game.margins.dtype) == (7, np.float32)


def test_a_game_by_path(tmp_path):
    path = tmp_path / "wins.csv"
    path.write_text("0.5,0.9\n0.1,0.5\n")
    np.testing.assert_allclose(ng.load(path).margins.to_dense(), [[0, 0.4], [-0.4, 0]])


NO_PYTREE = type("Plain", (), {name: lambda *_: None for name in vars(Sppo) if not name.startswith("__")} | {
    "name": "plain", "queries_per_step": 1})()  # fmt: skip


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: ng.solve(3.0), r"the game is 3.0; give a Game, as from ng.load\('castles'\)"),
        (lambda: ng.solve("castels"), "unknown game 'castels'; did you mean 'castles'"),
        (lambda: ng.solve(ROCK_PAPER_SCISSORS), r"the game is array.*ng.make_game\(margins\)"),
        (lambda: solve(3), "a solver is 3, which has no name, queries_per_step.*give a name .nash-mp"),
        (lambda: solve([ng.NashMP(), None]), "a solver is None, which has no"),
        (lambda: solve(ng.NashMP), r"a solver is <class .*>, a class; give an object of it: NashMP\(\)"),
        (lambda: solve([]), "no solver is given; give at least one of: nash-mp"),
        (lambda: solve(NO_PYTREE), "the solver 'plain' is not a pytree; put @jax.tree_util.register_dataclass"),
        (lambda: solve(Sppo("fast")), "the solver 'sppo' has 'fast' among its numbers; mark a field"),
        (lambda: solve(Sppo(np.ones(3))), "the solver 'sppo' has array.* among its numbers"),
        (lambda: solve("nash-pm"), r"unknown solver 'nash-pm'; did you mean 'nash-mp'\?"),
        (lambda: solve(ng.NashMP(eta=0)), r"nash-mp\[eta\] is 0; accepted: a finite number above 0"),
        (lambda: solve(ng.NashMP(eta=float("nan"))), r"nash-mp\[eta\] is nan; accepted: a finite number above 0"),
        (lambda: solve(ng.NashMP(eta="big")), r"nash-mp\[eta\] is 'big'; accepted: a finite number above 0"),
        (lambda: solve(ng.NashProx(inner=2.5)), r"nash-prox\[inner\] is '2.5'; accepted: an integer"),
        (lambda: solve(ng.NashProx(kappa=2.0)), r"nash-prox\[kappa\] is 2; accepted: a number above 0 and at most 1"),
        (lambda: solve(ng.Average(ng.NashMP(eta=-1.0))), r"nash-mp\[eta\] is -1; accepted"),
        (lambda: solve(beta=1e155), r"beta is 1e\+155; accepted: 0, or a number from 1e-12 to 1,000,000"),
        (lambda: solve(beta=-0.1), "beta is -0.1; accepted: 0, or a number"),
        (lambda: solve(beta=float("nan")), "beta is nan; accepted: 0, or a number"),
        (lambda: solve(game=GAME.replace(beta=-1.0)), "beta is -1.0; accepted: 0, or a number"),
        (lambda: solve(seed=-1), "seed is -1; accepted: an integer of at least 0"),
        (lambda: solve(queries=0), "queries is 0; accepted: an integer of at least 1"),
        (lambda: solve(queries=1), "queries is 1, but one step of nash-mp costs 2; give at least that"),
        (lambda: solve(queries=10.5), "queries is 10.5; accepted: an integer"),
        (lambda: solve(queries=10**10), "queries is 10000000000; accepted: at most 4,294,967,294"),
        (lambda: solve(tolerance=-1e-3), "tolerance is -0.001; accepted: a number of at least 0"),
        (lambda: solve(tolerance=float("nan")), "tolerance is nan; accepted"),
        (lambda: solve(records=0), "records is 0; accepted: an integer of at least 1"),
        (lambda: solve(record_every=0), "record_every is 0; accepted: an integer of at least 1"),
        (lambda: solve(records=5, record_every=5), "records and record_every are both given"),
        (lambda: solve(dtype="float16"), "dtype is 'float16'.*ccepted: float32, float64"),
        (lambda: solve(device="tpu"), "device is 'tpu'.*ccepted: cpu, gpu"),
        (lambda: solve(device="gpu"), "device is 'gpu', but JAX sees no such device here"),
        (lambda: ng.load("castels"), r"unknown game 'castels'; did you mean 'castles'\?"),
        (lambda: ng.load("random-logit"), r"unknown game 'random-logit'; did you mean 'random-logits'\?"),
        (lambda: ng.load(None), "unknown game 'None'"),
        (lambda: ng.load("castles", actions=5), "actions is 5, but 'castles' has a size of its own; leave actions out"),
        (lambda: ng.make_game(ROCK_PAPER_SCISSORS * np.nan), r"margins\[0, 0\] is nan"),
        (lambda: solve().plot("subopt"), r"unknown distance 'subopt'; did you mean 'suboptimality'\?"),
    ],
)
def test_a_mistake_is_a_sentence(call, said):
    with pytest.raises(ng.NashGamesError, match=said):
        call()


def test_the_game_that_is_given_is_left_as_it_was():
    before = jax.tree.map(np.copy, (GAME.margins, GAME.log_reference))
    solve(beta=0.3)
    assert GAME.beta == 0.1
    for one, other in zip(jax.tree.leaves(before), jax.tree.leaves((GAME.margins, GAME.log_reference)), strict=True):
        np.testing.assert_array_equal(one, other)


def test_parts_of_a_solver_are_given_once_for_all_or_with_it():
    """Feedback, policy and optimiser for every solver; a solver that brings its own keeps it."""
    game = ng.games.disc(actions=3, seed=3)
    numbers = {"beta": 0.2, "queries": 40, "records": 5}
    sampled = ng.solve(game, ["online-ipo", Sppo(0.3)], feedback="duels[batch=5]", seeds=3, **numbers)
    assert sampled.runs["game"].unique().tolist() == ["disc[seed=3]"]
    assert sampled.runs.groupby("solver")["seed"].apply(list).tolist() == [[0, 1, 2]] * 2
    assert set(sampled.runs["comparisons"]) == {200}
    assert sampled.runs["run_id"].is_unique
    assert isinstance(sampled.plot(), Figure)
    neural = ng.solve(game, "online-ipo", policy="mlp[width=4]", optimiser="adam", **numbers)
    assert set(neural.runs["policy"]) == {"mlp[width=4]"}
    own = compose(ng.OnlineIPO(step=0.1), optimiser="adam")
    both = ng.solve(game, [own, ng.OnlineIPO(step=0.1)], **numbers).runs
    assert both["optimiser"].tolist() == ["adam", "sgd"], "one text, two runs"
    assert both["label"].tolist() == ["online-ipo[step=0.1][optimiser=adam]", "online-ipo[step=0.1]"]


def test_a_policy_to_learn_asks_for_policy_gradients(monkeypatch):
    class Planned(Exception):
        pass

    def planned(experiment, *rest, **named):
        raise Planned(experiment.solver)

    monkeypatch.setattr(solving, "plan", planned)
    with pytest.raises(Planned) as told:
        ng.solve(GAME, policy="mlp[width=4]")
    assert told.value.args == (DEFAULT_GRADIENTS,)


def test_an_opponent_is_no_number_so_that_the_step_is_still_told_apart():
    asked = Experiment(solver=("practical-nash-mp", "practical-nash-mp[step=0.1]"), beta=0.3)
    runs, _ = plan.plan(asked, plan.settings_of(asked))
    assert [run.step_source for run in runs] == ["curvature", "given"]
