"""Exact equilibria as answers, rows, files, a command and a figure; every number computed in a second way."""

import itertools
import json
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text
from typer.testing import CliRunner

from nashgames import plots
from nashgames.core.game import make_game
from nashgames.errors import NashGamesError
from nashgames.exact.referee import equilibrium
from nashgames.experiments import preparing
from nashgames.experiments.exact_path import Certified, certified, frames, mixtures, stem, trace, vertex_of
from nashgames.experiments.experiment import Experiment, exact_betas
from nashgames.experiments.plan import plan_equilibria
from nashgames.games.families import generate
from nashgames.plots.equilibria import equilibria
from nashgames.plots.labels import NAME, spread
from nashgames.plots.palette import CATEGORIES, legible
from nashgames.store import CERTIFICATE_COLUMNS, Results
from tests.games import log_softmax, random_game, soccer_reference, value_of_deviation

(_SCRIPT,) = entry_points(group="console_scripts", name="nashgames")
APP = _SCRIPT.load()
BETAS = (0.1, 1.0, 0.0, 0.01)


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def planned(betas=BETAS, **asked):
    return plan_equilibria(Experiment.from_dict({"game": "random-logits", "actions": 12} | asked), betas)


def answers(runs, directory=None):
    return {event.beta: event for event in trace(runs, directory) if isinstance(event, Certified)}


def id_of(*arguments, beta=0.1, **asked):
    (found,) = [run.run_id for run in planned(*arguments, **asked) if run.beta == beta]
    return found


def call(*arguments):
    return CliRunner().invoke(APP, [str(argument) for argument in ("equilibrium", *arguments)])


def data(*arguments):
    result = call(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def shown(*arguments):
    result = call(*arguments)
    assert result.exit_code == 0, result.stderr
    return [" ".join(line.split()) for line in result.stdout.splitlines()]


def complaint(result):
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    (line,) = result.stderr.splitlines()
    return line.removeprefix("error: ")


def unreached(game, betas):
    """A referee that does not arrive at the smallest β."""
    for beta in sorted(betas, reverse=True):
        found = equilibrium(game, beta)
        yield found._replace(residual=1e-3) if beta == min(betas) else found


# --- answers ------------------------------------------------------------------------------------------------------


def test_the_answers_are_another_programs_equilibria():
    known = {v["beta"]: v["equilibrium"] for v in soccer_reference() if v["reference"] is None}
    found = answers(plan_equilibria(Experiment(game="soccer10"), list(known)))
    for beta, policy in known.items():
        assert np.exp(found[beta].equilibrium.log_policy) == pytest.approx(policy, abs=1e-10)
        assert found[beta].status == "converged"


def test_what_is_said_of_an_equilibrium_is_what_its_definition_says(rng):
    game = random_game(rng, 6, 0.2)
    answer = certified(game, equilibrium(game, 0.2))
    log_policy = answer.equilibrium.log_policy
    policy, mu = np.exp(log_policy), np.exp(game.log_reference)
    assert answer.kl_to_reference == pytest.approx(np.sum(policy * np.log(policy / mu)), rel=1e-12)
    assert answer.entropy == pytest.approx(-np.sum(policy * log_policy), rel=1e-12)
    assert answer.certificate.exploitability == pytest.approx(np.max(game.margins.to_dense() @ policy), rel=1e-12)
    deviations = rng.dirichlet(np.ones(6), 200)
    assert max(value_of_deviation(game, other, policy) for other in deviations) <= answer.certificate.suboptimality
    assert answer.support == 6


def test_the_original_games_equilibrium_is_the_limit_and_its_support_is_exact():
    asked = planned(game="weighted-cycle", actions=[], betas=[0.0])
    (answer,) = answers(asked).values()
    margins = np.asarray(answer.game.margins.to_dense())
    expected = np.array([margins[1, 2], margins[2, 0], margins[0, 1]])
    assert np.exp(answer.equilibrium.log_policy) == pytest.approx(expected / expected.sum(), abs=1e-12)
    beaten = answers(planned(game="bradley-terry", betas=[0.0]))[0.0]
    assert (beaten.support, beaten.entropy, beaten.certificate.exploitability) == (1, 0, 0)
    assert beaten.kl_to_reference == pytest.approx(np.log(12))
    assert np.isneginf(beaten.equilibrium.log_policy).sum() == 11


def test_contexts_are_averaged_and_the_widest_support_is_counted():
    found = answers(planned(game="disc[contexts=3]", actions=7, betas=[0.0, 0.1]))
    for beta, answer in found.items():
        margins, log_mu = np.asarray(answer.game.margins.to_dense()), np.asarray(answer.game.log_reference)
        alone = [
            certified(one := make_game(a, log_reference=mu), equilibrium(one, beta))
            for a, mu in zip(margins, log_mu, strict=True)
        ]
        assert answer.entropy == pytest.approx(np.mean([one.entropy for one in alone]))
        assert answer.kl_to_reference == pytest.approx(np.mean([one.kl_to_reference for one in alone]))
        assert answer.support == max(one.support for one in alone)
        assert answer.played.shape == (3, 7)


def test_the_games_of_one_path_are_solved_in_one_pass_from_the_largest_beta(monkeypatch):
    passes = []

    def path(game, betas):
        passes.append(list(betas))
        return (equilibrium(game, beta) for beta in betas)

    monkeypatch.setattr(preparing, "equilibrium_path", path)
    assert list(answers(planned())) == passes[0] == [1.0, 0.1, 0.01, 0.0]
    assert len(passes) == 1


def test_a_game_that_depends_on_beta_is_made_anew_for_each():
    found = answers(planned([0.5, 0.1], game="planted-regularised"))
    for beta, answer in found.items():
        game = generate("planted-regularised", actions=12, beta=beta)
        assert np.array_equal(answer.game.log_reference, game.log_reference)
        known = game.description.known_equilibrium
        assert known.beta == beta and answer.equilibrium.log_policy == pytest.approx(known.log_policy, abs=1e-9)


def test_solves_and_seconds_are_those_since_the_beta_before():
    asked = planned()
    found = answers(asked)
    cumulative = [found[beta].equilibrium.solves for beta in sorted(BETAS, reverse=True)]
    assert [found[beta].solves for beta in sorted(BETAS, reverse=True)] == list(np.diff([0, *cumulative]))
    assert all(answer.seconds > 0 for answer in found.values())


def test_the_vertex_is_an_equilibrium_and_the_limit_is_closer_to_the_reference():
    limit = answers(planned(game="blotto", actions=[], betas=[0.0]))[0.0]
    vertex = vertex_of(limit.game)
    assert vertex.certificate.exploitability == pytest.approx(0, abs=1e-10)
    assert vertex.support < limit.support
    assert vertex.kl_to_reference > limit.kl_to_reference


@pytest.mark.parametrize(
    ("given", "betas"),
    [("0.1", (0.1,)), (["1", "0", "-0.0", "1.0"], (1.0, 0.0)), ([0.1, 1e-5], (0.1, 1e-5))],
)
def test_betas_are_read_once_each_in_the_order_given(given, betas):
    assert exact_betas(given) == betas


@pytest.mark.parametrize("given", ["-1", "nan", "inf", "one", "", True, None, [[1]]])
def test_what_is_no_beta_is_refused(given):
    with pytest.raises(NashGamesError, match=r"beta is .*; accepted: 0, or a number from 1e-12"):
        exact_betas(given)


# --- rows and files -----------------------------------------------------------------------------------------------


def test_every_number_of_the_question_is_in_the_identity_and_the_order_is_not():
    ids = {id_of(), id_of(beta=0.0)}
    for change in ({"seed": 1}, {"actions": 13}, {"reference": "tilted"}, {"game": "disc"}):
        ids.add(id_of(**change))
    assert len(ids) == 6
    assert id_of([0.1]) in ids
    assert stem(planned()) != stem(planned([0.1]))
    assert id_of(reference="uniform") == id_of()


def test_the_file_of_a_game_and_of_a_reference_is_in_the_identity():
    def written(game, reference):
        Path("wins.csv").write_text(game)
        Path("mu.csv").write_text(reference)
        return id_of(game="wins.csv", actions=[], reference="mu.csv")

    games = ["0.5,0.2\n0.8,0.5\n", "0.5,0.3\n0.7,0.5\n"]
    references = ["action,probability\n0,0.5\n1,0.5\n", "action,probability\n0,0.25\n1,0.75\n"]
    assert len({written(game, mu) for game in games for mu in references}) == 4


def test_rows_come_back_from_disk_as_they_were_found():
    asked = planned()
    found = answers(asked, Path("kept"))
    back = Results.read("kept")
    assert list(back.runs["beta"]) == list(BETAS), "in the order asked"
    assert list(back.runs["run_id"]) == back.manifest["run_ids"] == [run.run_id for run in asked]
    assert back.manifest["experiment"]["solver"] == ["referee"]
    assert back.manifest["counts"] == {"runs": 4, "reused": 0, "points": 4}
    assert back.manifest["finished"] is not None
    for row in back.runs.to_dict("records"):
        answer = found[row["beta"]]
        policy = back.policies[back.policies["run_id"] == row["run_id"]].sort_values("action")
        np.testing.assert_array_equal(policy["log_probability"], answer.equilibrium.log_policy)
        assert policy["probability"].sum() == pytest.approx(1)
        assert row["kl_to_reference"] == answer.kl_to_reference
        assert row["status"] == "converged"
        (certificate,) = back.certificates[back.certificates["run_id"] == row["run_id"]].to_dict("records")
        expected = answer.certificate._asdict() | {"run_id": row["run_id"], "support": answer.support}
        assert certificate == {key: expected[key] for key in CERTIFICATE_COLUMNS}
        assert row["suboptimality"] == certificate["suboptimality"]
    assert np.isneginf(back.policies["log_probability"]).sum() == 12 - found[0.0].support
    assert back.runs["kl_to_equilibrium"].isna().all(), "bounded by the certificate, not measured"


def test_a_path_that_is_stopped_keeps_what_was_found():
    asked = planned()
    pursuit = trace(asked, Path("kept"))
    while not isinstance(next(pursuit), Certified):
        pass
    pursuit.close()
    back = Results.read("kept")
    assert list(back.runs["beta"]) == [1.0]
    assert (len(back.manifest["run_ids"]), back.manifest["finished"]) == (4, None)
    nothing = trace(asked, Path("empty"))
    next(nothing)
    nothing.close()
    assert not Path("empty").exists()


def test_asking_again_replaces_the_rows_and_other_runs_stay():
    answers(planned(), Path("kept"))
    answers(planned([0.1, 0.02]), Path("kept"))
    back = Results.read("kept")
    assert sorted(back.runs["beta"]) == [0.0, 0.01, 0.02, 0.1, 1.0]
    assert len(back.certificates) == 5
    assert len(back.manifest["history"]) == 1


def test_an_equilibrium_that_was_not_reached_is_said_to_be_inexact(monkeypatch):
    monkeypatch.setattr(preparing, "equilibrium_path", unreached)
    rows = frames(planned([0.1, 0.01]), answers(planned([0.1, 0.01])).values())
    assert list(rows["runs"]["status"]) == ["converged", "inexact"]
    assert list(rows["runs"]["equilibrium_residual"])[1] == 1e-3


def test_mixtures_are_a_frame_for_the_figure():
    found = answers(planned([0.1, 0.0]))
    frame = mixtures(found.values())
    assert list(frame.columns) == ["beta", "context", "action", "label", "probability", "log_probability"]
    assert frame.groupby("beta")["probability"].sum().tolist() == pytest.approx([1, 1])
    assert equilibria(frame).axes


# --- the command --------------------------------------------------------------------------------------------------


def test_the_table_says_everything_in_the_order_asked():
    lines = shown("random-logits", "-n", "12", "--beta", "0.1,0,1", "--seed", "2")
    assert lines[0] == "random-logits · 12 actions · β 0.1, 0, 1 · uniform reference · seed 2 · float64 on cpu"
    headings = "β support suboptimality residual exploitability bias KL to μ linear solves time status"
    start = lines.index(headings)
    rows = [line.split() for line in lines[start + 1 : start + 4]]
    assert [row[0] for row in rows] == ["0.1", "0", "1"]
    assert all(row[-1] == "converged" for row in rows)
    assert rows[0][4] == rows[0][5], "exploitability and bias of an exact equilibrium are the same number"
    text = "\n".join(lines)
    assert "the limit of π*_β as β falls" in text and "of maximum entropy, μ being uniform" in text
    assert "random-logits at β 0 by the exact solution: exploitability" in text
    (figure,) = Path("results/equilibria").glob("*.png")
    assert f"figure {figure}" in lines


def test_without_a_uniform_reference_the_limit_is_the_closest_one():
    text = "\n".join(shown("random-logits", "-n", "6", "--beta", "0", "--reference", "tilted", "--no-plot"))
    assert "closest to μ in KL(π‖μ); its residual" in text
    assert "entropy" not in text
    assert not Path("results").exists()


def test_one_beta_is_the_default_and_the_next_command_is_the_path():
    lines = shown("soccer10", "--no-plot")
    assert lines[0].startswith("soccer10 · 10 actions · β 0.05 ·")
    assert lines[-1] == "next nashgames equilibrium soccer10 --beta 1,0.1,0.01,0"
    assert "1 agent_8 29.36 %" in lines
    assert "soccer10 at β 0.05 by the exact solution: suboptimality" in "\n".join(lines)


def test_the_data_has_the_certificate_the_support_and_the_time():
    answer = data("bradley-terry", "-n", "4", "--beta", "0,0.5", "--no-plot")
    assert (answer["actions"], answer["reference"], answer["directory"], answer["figures"]) == (4, "uniform", None, [])
    limit, regularised = answer["equilibria"]
    assert (limit["beta"], limit["support"], limit["certificate"]["kl_bound"]) == (0, 1, None)
    assert [action["probability"] for action in limit["policy"]] == [1]
    assert set(regularised["certificate"]) == {
        "suboptimality", "duality_gap", "residual", "exploitability", "bias", "kl_bound",
    }  # fmt: skip
    probabilities = [action["probability"] for action in regularised["policy"]]
    assert len(probabilities) == regularised["support"] == 4
    assert probabilities == sorted(probabilities, reverse=True) and sum(probabilities) == pytest.approx(1)
    assert regularised["seconds"] > 0 and regularised["solves"] > 0
    assert answer["vertex"] is None


def test_options_reach_the_equilibrium():
    five = ["-n", "5"]
    given = [five, [*five, "--seed", "1"], [*five, "--reference", "random"], [*five, "--beta", "1"], ["-n", "6"]]
    found = {data("random-logits", "--no-plot", *options)["equilibria"][0]["entropy"] for options in given}
    assert len(found) == 5


def test_the_vertex_is_shown_beside_the_limit():
    answer = data("blotto", "--beta", "0", "--vertex", "--no-plot")
    limit, vertex = answer["equilibria"][0], answer["vertex"]
    assert vertex["support"] < limit["support"] and vertex["entropy"] < limit["entropy"]
    lines = shown("blotto", "--beta", "0.1,0", "--vertex", "--no-plot")
    start = lines.index("equilibrium support exploitability entropy KL to μ time")
    assert lines[start + 1].startswith(f"limit of β → 0 {limit['support']} ")
    assert lines[start + 2].startswith(f"vertex of the linear program {vertex['support']} ")


def test_out_is_a_results_directory_that_is_drawn_again():
    answer = data("soccer10", "--beta", "0.5,0.05,0", "--out", "kept", "--format", "svg")
    assert answer["directory"] == "kept"
    assert answer["figures"] == ["kept/equilibria.svg"]
    back = Results.read("kept")
    assert list(back.runs["run_id"]) == [found["id"] for found in answer["equilibria"]]
    assert back.manifest["environment"]["command"].startswith("nashgames equilibrium soccer10 --beta 0.5,0.05,0")
    before = Path("kept/equilibria.svg").read_bytes()
    Path("kept/equilibria.svg").unlink()
    drawn = CliRunner().invoke(APP, ["plot", "kept"])
    assert drawn.exit_code == 0, drawn.stderr
    assert Path("kept/equilibria.svg").read_bytes() == before
    assert Path("kept/equilibria.png").exists()
    assert "leave --y out" in complaint(CliRunner().invoke(APP, ["plot", "kept", "--y", "suboptimality"]))


def test_a_run_may_join_the_directory():
    data("circulant", "--beta", "0.5", "--out", "both")
    play = ["run", "circulant", "--beta", "0.5", "-s", "nash-mp", "--queries", "20", "--out", "both", "-q"]
    assert CliRunner().invoke(APP, play).exit_code == 0
    assert sorted(Results.read("both").runs["solver"]) == ["nash-mp", "referee"]
    names = {path.name for path in Path("both").glob("*.png")}
    assert {"equilibria.png", "convergence.png"} <= names


def test_contexts_keep_their_mixtures_to_the_directory():
    lines = shown("disc[contexts=2]", "-n", "4", "--beta", "0.1", "--out", "kept")
    assert "2 contexts have one mixture each; --out DIRECTORY keeps them" in lines
    assert len(Results.read("kept").policies) == 8
    answer = data("disc[contexts=2]", "-n", "4", "--beta", "0.1", "--no-plot")
    assert {action["context"] for action in answer["equilibria"][0]["policy"]} == {0, 1}


@pytest.mark.parametrize(
    ("options", "printed"),
    [(["--out", "kept"], "kept\n"), ([], "results/equilibria\n"), (["--no-plot"], "")],
)
def test_quiet_prints_where_the_files_are(options, printed):
    result = call("circulant", "-q", *options)
    assert (result.exit_code, result.stdout, result.stderr) == (0, printed, "")


def test_an_equilibrium_that_is_not_exact_is_exit_code_1(monkeypatch):
    monkeypatch.setattr(preparing, "equilibrium_path", unreached)
    result = call("circulant", "--beta", "0.1,0.01", "--out", "kept", "--no-plot")
    assert result.exit_code == 1
    assert "inexact" in result.stdout
    assert "1 of 2 equilibria could not be made exact: at β = 0.01 the residual is 1.0e-03" in result.stderr
    assert list(Results.read("kept").runs["status"]) == ["converged", "inexact"]


def test_ctrl_c_keeps_what_was_found(monkeypatch):
    def interrupted(game, betas):
        yield equilibrium(game, max(betas))
        raise KeyboardInterrupt

    monkeypatch.setattr(preparing, "equilibrium_path", interrupted)
    result = call("circulant", "--beta", "0.1,0.01", "--out", "kept")
    assert (result.exit_code, result.stderr) == (130, "error: stopped; what was found is kept in 'kept'\n")
    assert list(Results.read("kept").runs["beta"]) == [0.1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "'nashgames equilibrium' needs GAME"),
        (["castels"], "did you mean 'castles'?"),
        (["disc,melo"], "GAME has 2 values (disc,melo) and equilibrium takes one"),
        (["missing.csv"], "'missing.csv'"),
        (["disc", "--beta", "-1"], "--beta is '-1'; accepted: 0, or a number from 1e-12"),
        (["disc", "--beta", "0.1,nan"], "--beta is 'nan'; accepted: 0, or a number from 1e-12"),
        (["disc", "--beta", "inf"], "--beta is 'inf'"),
        (["disc", "--beta", "x"], "--beta is 'x'"),
        (["disc", "--beta", ""], "--beta is empty; accepted: numbers of at least 0"),
        (["disc", "--beta", ","], "--beta is empty"),
        (["disc", "-n", "1"], "--actions is '1'; accepted: an integer of at least 2"),
        (["disc", "-n", "4,5"], "--actions has 2 values (4,5) and equilibrium takes one"),
        (["random-logits", "-n", "10000000"], "use at most"),
        (["soccer10", "-n", "5"], "--actions is 5, but soccer10 has a size of its own"),
        (["disc", "--reference", "unifrom"], "unknown --reference 'unifrom'; did you mean 'uniform'?"),
        (["disc", "--reference", "uniform,random"], "--reference has 2 values"),
        (["disc", "--reference", "missing.csv"], "missing.csv"),
        (["disc", "--seed", "-1"], "--seed is '-1'; accepted: an integer of at least 0"),
        (["disc", "--out", "file"], "--out is 'file', a file; accepted: a directory"),
        (["disc", "--out", "taken"], "'taken' holds files that are not results"),
        (["disc", "--format", "gif"], "--format is 'gif'; accepted: png, svg, pdf"),
        (["disc", "--vertex"], "β is 0.05; write --beta 0.05,0"),
        (["planted-regularised", "--beta", "1,0"], "--beta is 0, but planted-regularised brings a reference made for"),
        (["planted-regularised", "--reference", "uniform"], "planted-regularised brings its own"),
        (["disc", "--beta", "1e-20"], "--beta is '1e-20'; accepted: 0, or a number from 1e-12"),
        (["disc", "--solver", "nash-mp"], "'nashgames equilibrium' has no option '--solver'"),
    ],
)
def test_a_mistake_is_one_sentence(arguments, said):
    Path("file").write_text("")
    Path("taken").mkdir()
    Path("taken/other").write_text("")
    assert said in complaint(call(*arguments))
    assert not Path("results").exists()


@pytest.mark.parametrize("beta", ["1000", "1e-5", "1e-12"])
def test_extreme_betas_end_in_an_answer_or_a_sentence(beta):
    result = call("circulant", "--beta", beta, "--reference", "tilted[span=20]", "--json", "--no-plot")
    assert result.exit_code in (0, 1)
    assert "Traceback" not in result.output and "unexpected" not in result.stderr
    found = json.loads(result.stdout, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))["equilibria"][0]
    assert (found["status"] == "converged") == (result.exit_code == 0)


def test_a_mistake_imports_nothing_heavy():
    code = (
        "import sys; from importlib.metadata import entry_points\n"
        "try: [e] = entry_points(group='console_scripts', name='nashgames'); e.load()(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "print([m for m in ('jax', 'numpy', 'pandas', 'matplotlib', 'scipy', 'pyarrow') if m in sys.modules])"
    )
    for arguments in (["equilibrium", "-h"], ["equilibrium", "disc", "--beta", "x"]):
        done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=60)
        assert done.stdout.splitlines()[-1] == "[]", done.stderr


# --- the figure ---------------------------------------------------------------------------------------------------


def path_of(policies, betas, contexts=1):
    """A frame of `policies` `[β, n]`, as `mixtures` makes them."""
    rows = [
        {"beta": beta, "context": x, "action": i, "label": f"a{i}", "probability": p}
        for beta, policy in zip(betas, policies, strict=True)
        for x in range(contexts)
        for i, p in enumerate(policy)
    ]
    return pd.DataFrame(rows)


def drawn(frame, **options):
    figure = equilibria(frame, **options)
    assert isinstance(figure, Figure)
    figure.draw_without_rendering()
    return figure


def names_of(ax):
    return [text.get_text() for text in ax.texts]


def curves_of(ax):
    """The lines of data, without the symbols of names."""
    return [line for line in ax.get_lines() if line.get_gid() != NAME]


def random_path(betas, n, seed=0):
    rng = np.random.default_rng(seed)
    return path_of([np.exp(log_softmax(rng.normal(size=n) / (0.1 + beta))) for beta in betas], betas)


def test_the_path_falls_to_the_right_and_its_lines_are_named_at_their_ends():
    frame = path_of([[0.4, 0.3, 0.3], [0.2, 0.5, 0.3], [0.0, 0.25, 0.75]], [1, 0.1, 0.01])
    ax = drawn(frame, title="mine").axes[0]
    assert (ax.get_xscale(), ax.figure.get_suptitle()) == ("log", "mine")
    assert ax.get_xlim()[0] > ax.get_xlim()[1]
    assert names_of(ax) == ["a2", "a1", "a0"], "in the order of the ends"
    curves = {to_hex(line.get_color()).upper(): line.get_ydata().tolist() for line in curves_of(ax)}
    assert curves[CATEGORIES[0]] == [0.3, 0.3, 0.75]
    assert [text.get_color() for text in ax.texts] == [legible(colour) for colour in CATEGORIES[:3]]
    assert len({line.get_marker() for line in curves_of(ax)}) == 3, "told apart in grey"


def test_the_limit_is_marked_beyond_the_last_beta_and_joined_by_dots():
    frame = path_of([[0.5, 0.5], [0.8, 0.2], [0.9, 0.1]], [1, 0.01, 0])
    ax = drawn(frame).axes[0]
    limits = [line for line in curves_of(ax) if line.get_markerfacecolor() == "white"]
    assert [line.get_ydata().tolist() for line in limits] == [[0.9], [0.1]]
    assert all(line.get_xdata()[0] < 0.01 for line in limits)
    ticks = dict(zip([text.get_text() for text in ax.get_xticklabels()], ax.get_xticks(), strict=True))
    assert ticks["0"] == limits[0].get_xdata()[0] and ticks["0.01"] == pytest.approx(0.01)
    solid = [line for line in curves_of(ax) if line.get_linestyle() == "-" and len(line.get_xdata()) > 1]
    assert [len(line.get_xdata()) for line in solid] == [2, 2], "the limit is no point of the axis"


def test_ten_actions_are_named_and_the_others_pooled_on_a_scale_of_their_own():
    betas = [1, 0.1, 0.01]
    frame = random_path(betas, 40)
    figure = drawn(frame)
    ax = figure.axes[0]
    (strip,) = ax.child_axes
    assert len(names_of(ax)) == 10 and names_of(strip) == ["30 others"]
    lines = {to_hex(line.get_color()).upper(): line.get_ydata() for line in curves_of(ax)}
    rest = strip.get_lines()[0].get_ydata()
    assert sum(lines[colour] for colour in CATEGORIES) + rest == pytest.approx([1, 1, 1])
    highest = frame.groupby("label")["probability"].max().sort_values(ascending=False)
    assert set(names_of(ax)) == set(highest.index[:10])


def test_names_keep_their_distance_inside_the_axes():
    betas = [1, 0.01, 0]
    frame = path_of([[0.1] * 10, [0.5, 0.5] + [0] * 8, [1] + [0] * 9], betas)
    figure = drawn(frame)
    boxes = [Text.get_window_extent(text) for text in figure.axes[0].texts]
    for above, below in itertools.pairwise(boxes):
        assert above.y0 >= below.y1 - 1
    assert all(box.x1 <= figure.bbox.x1 and box.y0 >= 0 for box in boxes)


@pytest.mark.parametrize("ends", [[0.9, 0.5, 0.1], [0.5] * 8, [0.02, 0.01, 0, 0, 0], [1, 1, 1]])
def test_the_spread_is_the_nearest_one(ends):
    gap = 0.05
    found = spread(np.array(ends, float), gap)
    assert (np.diff(found) <= -gap + 1e-12).all() and found.max() <= 1 + 1e-12 and found.min() >= -1e-12
    rng = np.random.default_rng(0)
    best = np.sum((found - ends) ** 2)
    for _ in range(300):
        other = np.sort(rng.uniform(0, 1, len(ends)))[::-1]
        if (np.diff(other) <= -gap).all():
            assert np.sum((other - ends) ** 2) >= best - 1e-12


def test_one_beta_is_ranked_and_what_is_left_is_said():
    frame = random_path([1], 30)
    ax = drawn(frame, title="mine").axes[0]
    ranked = frame.sort_values("probability", ascending=False)
    assert [bar.get_width() for bar in ax.patches] == pytest.approx(ranked["probability"][:15].tolist())
    ticks = [text.get_text() for text in ax.get_yticklabels()]
    assert ticks == [*ranked["label"][:15], "15 others"]
    assert names_of(ax)[-1] == f"{100 * ranked['probability'][15:].sum():.1f} % together"
    assert ax.figure.get_suptitle() == "mine · β = 1"
    limit = drawn(path_of([[1.0, 0.0]], [0.0])).axes[0]
    assert limit.figure.get_suptitle() == "β = 0, the limit of β → 0"
    assert names_of(limit) == ["100.0 %", "0.00 %"]


@pytest.mark.parametrize(
    ("policies", "betas"),
    [
        ([[1.0, 0.0]], [0.0]),
        ([[0.5, 0.5], [0.5, 0.5]], [0.1, 0.0]),
        ([[0.5, 0.5], [0.6, 0.4]], [0.3, 0.2]),
        ([[1.0, 0.0], [1.0, 0.0]], [1e-5, 1e-300]),
        ([[0.5, 0.5]] * 60, np.geomspace(10, 1e-5, 60)),
    ],
)
def test_degenerate_paths_are_drawn(policies, betas):
    drawn(path_of(policies, betas))


def test_the_first_context_is_shown_and_said():
    ax = drawn(path_of([[0.5, 0.5], [0.6, 0.4]], [1, 0.1], contexts=3), title="mine").axes[0]
    assert ax.figure.get_suptitle() == "mine · first of 3 contexts"


def test_a_callers_axes_are_used():
    ax = Figure().add_subplot()
    assert equilibria(random_path([1, 0.1], 12), ax=ax) is ax.figure
    assert len(names_of(ax)) == 10


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (random_path([1], 3).drop(columns="label"), "no column label"),
        (random_path([1], 3).iloc[:0], "no rows"),
        (pd.concat([random_path([1], 3)] * 2), "two probabilities at one β"),
        (pd.concat([random_path([1], 3), random_path([0.1], 4)]), "not of the same actions"),
    ],
)
def test_a_frame_that_is_no_path_is_a_sentence(frame, said):
    with pytest.raises(NashGamesError, match=said):
        equilibria(frame)


def test_figures_draw_equilibria_from_the_rows_and_no_curve_of_them():
    asked = planned()
    rows = frames(asked, answers(asked).values())
    made = plots.figures(plots.Rows(rows["runs"], rows["curves"], policies=rows["policies"]))
    assert set(made) == {"equilibria"}
    assert made["equilibria"].get_suptitle() == "random-logits · uniform reference · n = 12"
    assert plots.figures(plots.Rows(rows["runs"], rows["curves"])) == {}
