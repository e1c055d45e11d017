"""The presets that are papers: short curves of them against plain NumPy, and what their papers say they show."""

import functools
import json
import tempfile
from pathlib import Path

import numpy as np
import pytest

from nashgames.experiments import runner
from nashgames.experiments.experiment import Experiment, load_preset
from nashgames.store import Results
from tests.games import REFERENCE, rps_reference

KEPT = json.loads((REFERENCE / "presets.json").read_text(encoding="utf-8"))
CURVES = [(name, solver) for name in KEPT if name != "source" for solver in KEPT[name]["curves"]]


@functools.cache
def played(name):
    """The first game of a preset, its kept solvers only and not to the end."""
    kept = KEPT[name]
    values = {key: value for key, value in load_preset(name).to_dict().items() if key not in ("also", "records")}
    values |= {key: kept[key] for key in ("beta", "queries", "record_every")}
    experiment = Experiment.from_dict(values | {"solver": list(kept["curves"]), "seeds": 1})
    with tempfile.TemporaryDirectory() as folder:
        list(runner.execute(experiment, Path(folder) / "results"))
        return Results.read(Path(folder) / "results")


def run_of(name, solver):
    runs = played(name).runs
    (run,) = runs[runs["solver"] == solver.partition("[")[0]]["run_id"]
    return run


def last_policy(name, solver):
    policies = played(name).policies
    return policies[policies["run_id"] == run_of(name, solver)].sort_values("action")["probability"].to_numpy()


@pytest.mark.parametrize(("name", "solver"), CURVES)
def test_a_preset_plays_the_curve_of_its_paper(name, solver):
    assert solver in load_preset(name).solver
    results, kept = played(name), KEPT[name]
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
