"""β = 0: the original game as a target, its solvers, and distances to the nearest of its equilibria."""

import dataclasses
import re

import numpy as np
import pytest

import nashgames as ng
from nashgames.core.metrics import OF_EQUILIBRIUM
from nashgames.engine.batch import Batch, Lane
from nashgames.engine.settings import Settings
from nashgames.errors import NashGamesError
from nashgames.exact.certificate import certify
from nashgames.exact.referee import equilibrium, nearest
from nashgames.experiments import runner
from nashgames.experiments.events import Finished, Noted
from nashgames.experiments.experiment import DEFAULT_ORIGINAL, Experiment
from nashgames.experiments.original import left_out
from nashgames.solvers import ORIGINALS, is_defined, make_solver, solves_original
from nashgames.store import Results
from nashgames.verification import Report, verify
from tests.games import log_softmax

# Three actions in a cycle; by the cofactors of A its equilibrium is proportional to (a23, a31, a12).
CYCLE = ng.games.weighted_cycle()
STAR = np.array([4, 3, 4]) / 11
# The first two tie, and the third takes from the first more than from the second: equilibria (p, 1 − p, 0), p ≤ 1/5.
FENCED = np.array([[0, 0, -0.4], [0, 0, 0.1], [0.4, -0.1, 0]])
# Two, one and three copies of the actions of a cycle: what an equilibrium plays of each is fixed, not of which copy.
COPIES = np.repeat([0, 1, 2], [2, 1, 3])
COPIED = np.array([[0, 0.4, -0.3], [-0.4, 0, 0.4], [0.3, -0.4, 0]])[np.ix_(COPIES, COPIES)]


def solve(margins, solvers=("omwu", "comal"), **values):
    game = margins if isinstance(margins, ng.Game) else ng.make_game(margins)
    return ng.solve(game, list(solvers), beta=0, **values)


def play(directory, **values):
    usual = {"game": "weighted-cycle", "beta": 0, "solver": ("omwu", "comal"), "records": 8, "queries": 300}
    events = list(runner.execute(Experiment(**(usual | values)), directory))
    return next(e for e in events if isinstance(e, Finished)), [e.text for e in events if isinstance(e, Noted)]


def clipped(policy):
    """The equilibrium of `FENCED` nearest to π: that with the odds of its first two actions, or the fence."""
    share = min(policy[0] / (policy[0] + policy[1]), 0.2)
    return np.array([share, 1 - share, 0])


def kl(p, q):
    played = p > 0
    return float(np.sum(p[played] * np.log(p[played] / q[played])))


# -- one equilibrium ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["omwu", "comal", "extragradient-regret-matching-plus"])
def test_methods_of_the_original_game_reach_the_equilibrium_of_a_cycle(solver):
    result = solve(CYCLE, [solver])
    (run,) = result.runs.to_dict("records")
    assert (run["status"], run["target"], run["beta"]) == ("converged", "original", 0)
    np.testing.assert_allclose(result.policies["probability"], STAR, atol=1e-9)
    kls = result.curves["kl_to_equilibrium"].to_numpy()
    assert kls[0] == pytest.approx(kl(STAR, np.full(3, 1 / 3)), rel=1e-12)
    assert 0 <= kls[-1] < 1e-17
    assert run["suboptimality"] == run["exploitability"] <= 1e-10
    assert run["duality_gap"] == 2 * run["exploitability"]


def test_an_average_gets_there_at_one_over_its_steps():
    curve = solve(CYCLE, ["average[sppo]"], queries=4000, record_every=1000).curves
    gaps = curve["suboptimality"].to_numpy()[1:]
    assert (gaps * curve["step"].to_numpy()[1:] < 25).all()
    assert gaps[-1] < gaps[0] / 3


@pytest.mark.parametrize("reference", [None, log_softmax(np.array([0.5, -1.0, 0.2]))])
def test_numbers_at_zero_are_the_limit_of_small_beta(reference):
    game = ng.make_game(CYCLE.margins, log_reference=reference)
    settings = {"queries": 40, "record_every": 1, "tolerance": 0}
    here = solve(game, ["omwu"], **settings).curves
    once, twice = (ng.solve(game, ["omwu"], beta=beta, target="original", **settings).curves for beta in (1e-6, 2e-6))
    assert len(here) == 41
    for column in ("suboptimality", "duality_gap", "exploitability", *OF_EQUILIBRIUM, "kl_to_reference", "entropy"):
        # All are lines in a small β, and these two lines meet at 0.
        limit = 2 * once[column] - twice[column]
        np.testing.assert_allclose(here[column], limit, rtol=0, atol=1e-9, err_msg=column)


def test_numbers_at_zero_are_those_of_the_certificate():
    game = ng.games.random_logits(actions=12, seed=3)
    result = solve(game, ["omwu"], queries=50)
    log_policy = result.policies["log_probability"].to_numpy()
    known = certify(game, log_policy, 0.0)
    (run,) = result.runs.to_dict("records")
    for column in ("suboptimality", "duality_gap", "exploitability"):
        assert run[column] == pytest.approx(getattr(known, column), rel=1e-9)
    # π plays what the equilibrium does not.
    assert run["span_to_equilibrium"] == run["reverse_kl_to_equilibrium"] == np.inf
    star = np.exp(equilibrium(game, 0).log_policy)
    assert run["kl_to_equilibrium"] == pytest.approx(kl(star, np.exp(log_policy)), rel=1e-9)


# -- several equilibria ------------------------------------------------------------------------------------------------


def test_the_referee_says_whether_there_are_several():
    assert equilibrium(CYCLE, 0).inside is None
    assert equilibrium(CYCLE, 0.1).inside is None
    fenced = equilibrium(ng.make_game(FENCED), 0)
    # The closest to a uniform reference lies on the fence, the other one does not.
    np.testing.assert_allclose(np.exp(fenced.log_policy), [0.2, 0.8, 0], atol=1e-12)
    inside = fenced.inside[0]
    assert 0 < inside[0] < 0.2
    assert FENCED[2] @ inside < 0


def test_distances_are_to_the_nearest_of_several_equilibria_at_every_point():
    result = solve(FENCED, ["omwu", "comal", "average[sppo]"], queries=400)
    paths = dict(iter(result.paths.groupby("run_id")))
    apart = []
    for run, points in result.curves.groupby("run_id"):
        policies = paths[run].pivot_table(index="step", columns="action", values="probability").to_numpy()
        assert len(policies) == len(points) > 10
        stars = np.array([clipped(policy) for policy in policies])
        wanted = [kl(star, policy) for star, policy in zip(stars, policies, strict=True)]
        np.testing.assert_allclose(points["kl_to_equilibrium"], wanted, rtol=1e-8, atol=1e-12)
        apart.append(np.ptp(stars[:, 0]))
    # Some run leaves the fence, so that the nearest is not one for all its points.
    assert max(apart) > 0.01


def test_of_copied_actions_the_nearest_equilibrium_keeps_the_odds_of_the_copies(rng):
    game = ng.make_game(COPIED)
    find = nearest(game, equilibrium(game, 0))
    for scale in (1e-6, 1.0, 30.0):
        log_policy = log_softmax(scale * rng.standard_normal(6))
        of_copies = np.bincount(COPIES, np.exp(log_policy))
        wanted = log_policy + np.log(STAR / of_copies)[COPIES]
        np.testing.assert_allclose(find(log_policy), wanted, atol=1e-9)
    points = solve(game, ["omwu"], record_every=50).curves
    assert points["kl_to_equilibrium"].iloc[-1] < 1e-15
    np.testing.assert_allclose(points["span_to_equilibrium"].iloc[-1], 0, atol=1e-8)


def test_contexts_have_an_equilibrium_or_several_each_on_its_own():
    margins = np.stack([FENCED, np.asarray(CYCLE.margins.of_context(0).blocks(3).__next__()[1])])
    result = solve(ng.make_game(margins, weights=np.array([0.25, 0.75])), ["omwu"], queries=30)
    policies = result.policies["probability"].to_numpy().reshape(2, 3)
    wanted = 0.25 * kl(clipped(policies[0]), policies[0]) + 0.75 * kl(STAR, policies[1])
    assert result.runs["kl_to_equilibrium"].item() == pytest.approx(wanted, rel=1e-8)


def test_games_of_one_batch_have_each_its_own_nearest_equilibrium():
    games = [ng.make_game(FENCED), ng.make_game(COPIED[1:4, 1:4])]
    finds = [nearest(game, equilibrium(game, 0)) for game in games]
    unknown = np.full(3, np.nan)
    solver = ng.make_solver("omwu").with_theory_defaults(0.0)
    lanes = [
        [Lane(solver, 0.0, game.log_reference, unknown, 0, nearest=find)]
        for game, find in zip(games, finds, strict=True)
    ]
    batch = Batch(games, lanes, Settings(queries=20))
    while not batch.finished:
        batch.advance()
    for find, (curve,) in zip(finds, batch.curves(), strict=True):
        last = curve.log_policy
        assert curve.metrics["kl_to_equilibrium"][-1] == pytest.approx(kl(np.exp(find(last)), np.exp(last)), rel=1e-8)


def test_the_nearest_equilibrium_is_looked_for_once_for_every_point_of_a_curve():
    game, calls = ng.make_game(FENCED), []
    find = nearest(game, equilibrium(game, 0))

    def counted(log_policy):
        calls.append(1)
        return find(log_policy)

    unknown = np.full(3, np.nan)
    lane = Lane(ng.make_solver("omwu").with_theory_defaults(0.0), 0.0, game.log_reference, unknown, 0, nearest=counted)
    # A chunk ends between records, and after its last step a run is carried along: neither is looked at.
    batch = Batch([game], [[lane]], Settings(queries=3000, tolerance=0, records=4))
    while not batch.finished:
        batch.advance()
    ((curve,),) = batch.curves()
    assert len(calls) == len(curve.steps) < 7
    assert np.isfinite(curve.metrics["kl_to_equilibrium"]).all()


def logs(*policy):
    with np.errstate(divide="ignore"):
        return np.log(policy)


def test_of_a_policy_with_zeros_the_nearest_equilibrium_plays_none_of_them():
    """(a, 1 − a, 0) with a ≤ 0.2 are the equilibria."""
    find = nearest(ng.make_game(FENCED), equilibrium(ng.make_game(FENCED), 0))
    np.testing.assert_array_equal(np.exp(find(logs(0, 1, 0))), [0, 1, 0])
    np.testing.assert_array_equal(np.exp(find(logs(0, 0.3, 0.7))), [0, 1, 0])
    np.testing.assert_allclose(np.exp(find(np.log([0.5, 0.5, 1e-300]))), [0.2, 0.8, 0], atol=1e-12)
    # All are infinitely far: the one closest to the reference, to which the reverse KL is finite or not.
    for far in (logs(1, 0, 0), logs(0.5, 0, 0.5)):
        np.testing.assert_allclose(np.exp(find(far)), [0.2, 0.8, 0], atol=1e-12)


def test_zeros_keep_the_odds_of_the_copies_that_are_left():
    game = ng.make_game(COPIED)
    find = nearest(game, equilibrium(game, 0))
    log_policy = logs(*np.arange(6) / 15)
    of_copies = np.bincount(COPIES, np.exp(log_policy))
    wanted = log_policy + np.log(STAR / of_copies)[COPIES]
    np.testing.assert_allclose(find(log_policy), wanted, atol=1e-9)


def test_of_what_zeros_leave_all_margins_are_kept():
    """Points ±x and ±y, A_ij = p_i × p_j. Without ±y the margins among those that play are 0: ±y balance them."""
    points = np.array([[1, 0], [-1, 0], [0, 1], [0, -1], [2, 0]], float)
    game = ng.make_game((points[:, :1] * points[:, 1] - points[:, 1:] * points[:, 0]) / 8)
    find = nearest(game, equilibrium(game, 0))
    np.testing.assert_allclose(np.exp(find(logs(0.3, 0.7, 0, 0, 0))), [0.5, 0.5, 0, 0, 0], atol=1e-12)
    # x and 2x against −x: p_0 + 2 p_4 = p_1, a line of equilibria, of which a search finds the least.
    policy = np.array([0.3, 0.1, 0, 0, 0.6])
    fourth = np.linspace(0, 1 / 3, 200_001)[1:-1]
    first = (1 - 3 * fourth) / 2
    everyone = np.stack([first, 1 - first - fourth, fourth])
    kls = (everyone * np.log(everyone / policy[[0, 1, 4], None])).sum(axis=0)
    best = everyone[:, kls.argmin()]
    np.testing.assert_allclose(np.exp(find(logs(*policy)))[[0, 1, 4]], best, atol=1e-5)
    # x alone is beaten by y: no equilibrium is left, and the answer is the one of maximum entropy.
    np.testing.assert_allclose(find(logs(1, 0, 0, 0, 0)), equilibrium(game, 0).log_policy)


def test_distances_of_policies_with_zeros_are_those_to_what_they_can_reach():
    """Regret matching+ drops the first action at once: (0, 1, 0) is what is left of the equilibria."""
    result = solve(FENCED, ["regret-matching-plus"], queries=40, record_every=1, tolerance=0)
    paths = result.paths.pivot_table(index="step", columns="action", values="probability").to_numpy()
    assert (paths[:, 0] == 0).any()
    wanted = [kl(clipped(policy), policy) for policy in paths]
    np.testing.assert_allclose(result.curves["kl_to_equilibrium"], wanted, rtol=1e-8, atol=1e-12)


# -- what is played ----------------------------------------------------------------------------------------------------


def test_without_solvers_those_of_the_original_game_are_played():
    assert Experiment.from_dict({"beta": "0"}).solver == DEFAULT_ORIGINAL
    assert Experiment.from_dict({"beta": [1, 0]}).solver == (*Experiment().solver, *DEFAULT_ORIGINAL)
    assert all(solves_original(ng.make_solver(text)) for text in DEFAULT_ORIGINAL)
    assert list(ng.solve(CYCLE, beta=0, queries=20).runs["solver"]) == list(DEFAULT_ORIGINAL)


@pytest.mark.parametrize("name", ORIGINALS)
def test_solvers_of_the_original_game_have_no_use_for_beta(name):
    game = ng.games.random_logits(actions=5, seed=1)
    here = ng.solve(game, name, beta=0, queries=60, tolerance=0, records=4)
    there = ng.solve(game, name, beta=0.3, target="original", queries=60, tolerance=0, records=4)
    assert np.isfinite(here.policies["probability"]).all()
    np.testing.assert_array_equal(here.policies["probability"], there.policies["probability"])


def test_a_magnet_whose_weight_is_given_is_defined_at_beta_zero_and_rests_where_that_weight_does():
    solved = ng.solve(CYCLE, "magnetic-mirror-descent[alpha=0.1]", beta=0, queries=400, tolerance=0, records=2)
    policy = solved.policies["probability"].to_numpy()
    np.testing.assert_allclose(policy, np.exp(equilibrium(CYCLE, 0.1).log_policy), atol=1e-12)
    assert not is_defined(ng.make_solver("magnetic-mirror-descent"), 0)
    assert not is_defined(ng.make_solver("average[magnetic-mirror-descent[step=1]]"), 0)
    assert is_defined(ng.make_solver("magnetic-mirror-descent[follow=0.1]"), 0)
    assert is_defined(ng.make_solver("average[magnetic-mirror-descent[alpha=0.1]]"), 0)
    assert "magnetic-mirror-descent" not in ORIGINALS


def test_every_beta_plays_the_solvers_that_are_defined_there(tmp_path):
    finished, notes = play(tmp_path, beta=(0.5, 0), solver=("nash-mp", "omwu", "halves[nash-mp]"))
    played = finished.runs[["solver", "beta", "target"]].itertuples(index=False)
    assert sorted(map(tuple, played)) == [
        ("halves[nash-mp]", 0.5, "regularised"),
        ("nash-mp", 0.5, "regularised"),
        ("omwu", 0.0, "original"),
        ("omwu", 0.5, "regularised"),
    ]
    assert notes == ["not played at β = 0, the original game: nash-mp, halves[nash-mp], which divide by β"]
    mixed = Experiment(beta=(0.5, 0), solver=("nash-mp", "omwu"))
    one = left_out(mixed.cells(), {text: make_solver(text) for text in mixed.solver})
    assert one == ["not played at β = 0, the original game: nash-mp, which divides by β"]


def test_steps_are_tuned_at_zero(tmp_path):
    finished, _ = play(tmp_path, solver=("omwu",), queries=1500, tune={"trials": 2, "seeds": 1})
    assert set(finished.runs["status"]) == {"converged", "budget"}
    assert (finished.runs["role"] != "tuning").sum() == 1


def test_what_was_played_is_reused_and_verified(tmp_path):
    np.savetxt(tmp_path / "fenced.csv", FENCED + 0.5, delimiter=",")
    games = ("weighted-cycle", str(tmp_path / "fenced.csv"))
    first, notes = play(tmp_path / "r", game=games, beta=(0.2, 0), solver=("nash-mp", "omwu", "average[sppo]"))
    assert any("has several equilibria at β = 0" in note for note in notes)
    again, _ = play(tmp_path / "r", game=games, beta=(0.2, 0), solver=("nash-mp", "omwu", "average[sppo]"))
    assert (again.reused, again.failed) == (len(first.runs), 0)
    report = _verified(tmp_path / "r")
    assert (report.ok, report.verified, report.without_distances) == (True, len(first.runs), 0)
    with Results.open(tmp_path / "r") as results:
        runs = results.runs.copy()
    at_zero = runs["beta"] == 0
    assert at_zero.sum() == 4
    assert runs.loc[at_zero, "kl_to_equilibrium"].notna().all()


@pytest.mark.parametrize("column", ["kl_to_equilibrium", "suboptimality"])
def test_a_false_number_at_zero_is_found(tmp_path, column):
    np.savetxt(tmp_path / "fenced.csv", FENCED + 0.5, delimiter=",")
    play(tmp_path / "r", game=str(tmp_path / "fenced.csv"), solver=("omwu",), queries=20)
    for name in ("runs", "curves"):
        path = tmp_path / "r" / f"{name}.parquet"
        table = Results.read(tmp_path / "r").__getattribute__(name)
        table.assign(**{column: table[column] * (1 + 1e-5)}).to_parquet(path)
    assert column in {mismatch.column for mismatch in _verified(tmp_path / "r").mismatches}


def _verified(directory) -> Report:
    *_, report = verify(directory)
    assert isinstance(report, Report)
    return report


def test_lanes_at_zero_are_no_batch_with_others():
    solver = ng.make_solver("omwu").with_theory_defaults(0.0)
    lanes = [Lane(solver, beta, CYCLE.log_reference, np.log(STAR), 0) for beta in (0.0, 0.1)]
    with pytest.raises(NashGamesError, match="some lanes have β = 0 and some have not"):
        Batch([CYCLE], [lanes], Settings())
    batch = Batch([CYCLE], [lanes[:1]], Settings())
    assert batch.settings.target == "original"
    assert dataclasses.replace(batch.settings, target="regularised") == Settings()


# -- mistakes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"solver": "nash-mp"}, "beta is 0, the original game, but nash-mp divides by β; accepted at β = 0: omwu, "),
        ({"solver": ("nash-mp", "omwu")}, "beta is 0, the original game, but nash-mp divides by β; accepted"),
        (
            {"solver": ("nash-mp", "egpo"), "beta": (1, 0)},
            "beta is 0, the original game, but nash-mp, egpo divide by β; accepted",
        ),
        ({"solver": "average[mirror-descent]"}, "but average[mirror-descent] divides by β; accepted"),
        ({"game": "planted-regularised"}, "beta is 0, but planted-regularised brings a reference made for a β above 0"),
        ({"beta": 1e155}, "beta is 1e+155; accepted: 0, or a number from 1e-12 to 1,000,000"),
    ],
)
def test_what_cannot_be_played_at_zero_is_refused_before_anything_is_played(tmp_path, asked, sentence):
    with pytest.raises(NashGamesError, match=re.escape(sentence)):
        play(tmp_path / "r", **asked)
    assert not (tmp_path / "r").exists()


def test_a_start_near_an_equilibrium_of_full_support_alone(tmp_path):
    finished, notes = play(tmp_path / "whole", start="equilibrium", solver=("omwu",))
    assert (len(finished.runs), notes) == (1, [])
    assert finished.curves["kl_to_equilibrium"].iloc[0] < 1e-5
    failed, notes = play(tmp_path / "part", game="bradley-terry", start="equilibrium", solver=("omwu",))
    assert failed.failed == 1
    assert "the equilibrium of bradley-terry at β = 0 leaves actions out" in notes[-1]


@pytest.mark.parametrize("beta", [0, -1.0, 1e7])
def test_a_game_made_for_the_solvers_of_a_regularised_one_has_a_beta_above_zero(beta):
    with pytest.raises(NashGamesError, match="accepted: a finite number above 0 and at most 1,000,000"):
        ng.make_game(FENCED, beta=beta)
