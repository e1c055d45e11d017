"""The presets that are papers: short curves of them against plain NumPy, and what their papers say they show."""

import functools
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nashgames import plots
from nashgames.experiments import runner
from nashgames.experiments.experiment import Experiment, load_preset
from nashgames.store import Results
from nashgames.verification import verify
from tests.games import REFERENCE, rps_reference

KEPT = json.loads((REFERENCE / "presets.json").read_text(encoding="utf-8"))
CURVES = [(name, solver) for name in KEPT if name != "source" for solver in KEPT[name]["curves"]]


@functools.cache
def played(name):
    """A preset's kept game and solvers only, and not to the end."""
    kept = KEPT[name]
    values = {key: value for key, value in load_preset(name).to_dict().items() if key not in ("also", "records")}
    values |= {key: kept[key] for key in ("game", "beta", "queries", "record_every") if key in kept}
    experiment = Experiment.from_dict(values | {"solver": list(kept["curves"]), "seeds": 1})
    with tempfile.TemporaryDirectory() as folder:
        list(runner.execute(experiment, Path(folder) / "results"))
        return Results.read(Path(folder) / "results")


def run_of(name, solver):
    runs = played(name).runs
    several = runs["selection"] == solver
    (run,) = runs[several if several.any() else runs["solver"] == solver.partition("[")[0]]["run_id"]
    return run


def last_policy(name, solver):
    policies = played(name).policies
    return policies[policies["run_id"] == run_of(name, solver)].sort_values("action")["probability"].to_numpy()


@pytest.mark.parametrize(("name", "solver"), CURVES)
def test_a_preset_plays_the_curve_of_its_paper(name, solver):
    results, kept = played(name), KEPT[name]
    preset = load_preset(name)
    assert solver in preset.solver
    assert kept.get("game", preset.game[0]) in preset.game
    curve = results.curves[results.curves["run_id"] == run_of(name, solver)].set_index("step")[kept["column"]]
    for step, value in kept["curves"][solver].items():
        assert curve[int(step)] == pytest.approx(value, rel=1e-7, abs=1e-13)


def test_of_the_three_actions_comal_reaches_the_equilibrium_and_a_fixed_magnet_its_biased_point():
    np.testing.assert_allclose(last_policy("comal", "comal"), np.array([4, 3, 4]) / 11, atol=1e-5)
    np.testing.assert_allclose(last_policy("comal", "mpo"), np.array([4, 3, 4]) / 11, atol=1e-5)
    biased = last_policy("comal", "magnetic-mirror-descent[alpha=0.1]")
    np.testing.assert_allclose(biased, [0.33714, 0.28346, 0.37940], atol=1e-5)


def test_of_the_three_actions_sppo_only_moves_away():
    curves = played("comal").curves
    sppo = curves[curves["run_id"] == run_of("comal", "sppo")].sort_values("step")
    distances = sppo["kl_to_equilibrium"].to_numpy()
    assert len(distances) > 20
    assert (np.diff(distances) > 0).all()


def test_magnetic_mirror_descent_ends_at_the_published_equilibrium_of_perturbed_rock_paper_scissors():
    (published,) = (np.array(each["equilibrium"]) for each in rps_reference()["values"] if each["beta"] == 0.1)
    game = load_preset("mmd").game[0]
    assert set(load_preset("mmd").beta) == {each["beta"] for each in rps_reference()["values"]}
    assert game.startswith("weighted-cycle")
    np.testing.assert_allclose(last_policy("mmd", "magnetic-mirror-descent"), published, atol=2e-4)
    np.testing.assert_allclose(last_policy("mmd", "nash-mp"), published, atol=1e-6)


def test_the_phases_begin_where_their_kept_curves_do_and_end_in_three_regimes():
    """What is kept begins at the program's own start beside the equilibrium, whose distance is that asked for."""
    kept, ends = KEPT["phases"], []
    assert load_preset("phases").start == "equilibrium[distance=0.001]"
    for solver in kept["curves"]:
        paths = played("phases").paths
        first = paths[(paths["run_id"] == run_of("phases", solver)) & (paths["step"] == 0)].sort_values("action")
        np.testing.assert_allclose(first["probability"], kept["start"], rtol=1e-12)
        curve = played("phases").curves
        curve = curve[curve["run_id"] == run_of("phases", solver)].sort_values("step")["kl_to_equilibrium"].to_numpy()
        ends.append(curve[-1] / curve[0])
    contracting, circling, expanding = ends
    assert contracting < 1e-6 < 1e5 < circling < 1e12 < expanding


# -- what is kept in results/ ------------------------------------------------------------------------------------------

RESULTS = Path(__file__).parent.parent / "results"
# Those that git ignores are a user's; `benchmarks` has what scripts measured, and no runs.
DIRECTORIES = sorted(
    path.name
    for path in RESULTS.glob("*")
    if path.is_dir() and path.name not in ("runs", "equilibria", "games", "benchmarks")
)
# Verified here: a small directory of every kind; the others in seconds to minutes by `nashgames verify`.
VERIFIED = ("comal", "mmd", "soccer10")


@functools.cache
def rows_of(name):
    results = Results.read(RESULTS / name)
    return plots.Rows(results.runs, results.curves, results.paths, results.policies)


@pytest.mark.parametrize("name", DIRECTORIES)
def test_kept_results_have_their_tables_and_their_figures_can_be_drawn_again(name):
    assert (RESULTS / name / "runs.parquet").exists()
    for file in sorted((RESULTS / name).glob("*.png")):
        figure = next(known for known in sorted(plots.FIGURES, key=len, reverse=True) if file.stem.startswith(known))
        told = file.stem.removeprefix(figure).strip("-").split("-")
        distance = next((part for part in told if part in plots.DISTANCES), None)
        rows = replace(rows_of(name), x="steps" if "steps" in told else None)
        assert file.stem in plots.figures(rows, [figure], distance=distance)
        assert file.with_suffix(".txt").read_text(encoding="utf-8").strip()


def test_every_kept_directory_is_described_and_they_are_small():
    told = (RESULTS / "README.md").read_text(encoding="utf-8")
    assert set(DIRECTORIES) >= {"default", "castles", "egpo", "high-probability", "instability", "theorems"}
    for name in DIRECTORIES:
        assert f"| `{name}` |" in told
        tables = [*(RESULTS / name).glob("*.parquet"), RESULTS / name / "manifest.json"]
        # The race keeps the last policies of 19,279 runs.
        assert sum(file.stat().st_size for file in tables) < (20e6 if name == "race" else 1.5e6)


@pytest.mark.parametrize("name", VERIFIED)
def test_kept_results_are_verified(name):
    *_, report = verify(RESULTS / name)
    assert report.ok and report.verified == len(Results.read(RESULTS / name).runs)
