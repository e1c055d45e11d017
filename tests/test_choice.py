"""Which step is the best one, worked out by hand from rows."""

import itertools
import json

import numpy as np
import pandas as pd
import pytest

from nashgames.experiments import choice

INF, NAN = np.inf, np.nan


IDS = itertools.count()
NO_POINTS = pd.DataFrame(columns=["run_id", "step", "queries", "comparisons", "suboptimality", "exploitability"])


def trials(costs, *, seeds=(1,), name="nash-mp", parameter="eta", **changes):
    """A run for every step, game and seed: `costs` maps a step to what its runs cost, inf where they do not arrive."""
    rows = []
    for step, of_step in costs.items():
        for place, cost in enumerate(of_step):
            row = {
                "game": "disc",
                "n": 5,
                "reference": "uniform",
                "beta": 0.1,
                "feedback": "exact",
                "policy": "tabular",
            }
            row |= {
                "optimiser": "sgd",
                "dtype": "float64",
                "device": "cpu",
                "storage": "dense",
                "solver": name,
                "label": name,
            }
            row |= {"role": "tuning", "tuned": parameter, "hyperparameters": json.dumps({parameter: step})}
            row |= {
                "selection": f"{name}[{parameter}={step}]",
                "step_source": "tried",
                "seed": seeds[place % len(seeds)],
            }
            row |= {"status": "converged" if cost < INF else "budget", "tolerance": 0.01, "target": "regularised"}
            row |= {"queries_to_tolerance": cost if cost < INF else None, "suboptimality": 0.001 if cost < INF else 0.5}
            rows.append(row | {"exploitability": 0.5, "run_id": f"{name}/{step}/{place}/{next(IDS)}"} | changes)
    return rows


def frame(*rows):
    runs = pd.DataFrame([row for group in rows for row in group])
    runs["queries_to_tolerance"] = pd.array(runs["queries_to_tolerance"], dtype="Int64")
    return runs


def chosen(*rows, curves=None):
    return choice.choices(frame(*rows), NO_POINTS if curves is None else curves)


def best(*rows, curves=None):
    (found,) = chosen(*rows, curves=curves).to_dict("records")
    return found


def test_the_least_median_cost_wins_over_games_and_seeds():
    found = best(trials({1: [10, 90, 90], 2: [50, 40, 60], 4: [45, 60, 70]}, seeds=(1, 2, 3)))
    assert (found["value"], found["selection"], found["cost"]) == (2, "nash-mp[eta=2]", 50)
    assert (found["trials"], found["low"], found["high"], found["edge"]) == (3, 1, 4, None)
    assert (found["runs"], found["games"], found["first"], found["last"], found["same"]) == (3, 1, 1, 3, False)
    # Two games with one seed each are pooled as two seeds of one are.
    found = best(trials({1: [10], 2: [30]}), trials({1: [100], 2: [31]}, game="circulant"))
    assert (found["value"], found["cost"], found["games"]) == (2, 30.5, 2)


def test_a_median_of_which_half_does_not_arrive_has_not_arrived():
    found = best(trials({1: [10, INF], 2: [500, 600]}))
    assert (found["value"], found["cost"], found["missed"]) == (2, 550, 0)


def test_of_equal_costs_the_one_that_misses_less_then_the_least_end_then_its_own_then_the_smallest():
    assert best(trials({1: [10, 10, INF], 2: [10, 10, 10]}))["value"] == 2
    nothing = {"status": "budget", "queries_to_tolerance": None}
    far, near = (trials({step: [INF]}, suboptimality=end) for step, end in ((1, 0.4), (2, 0.3)))
    found = best(far, near)
    assert (found["value"], found["cost"], found["missed"], found["end"]) == (2, INF, 1, 0.3)
    same = trials({4: [INF], 2: [INF], 3: [INF]}, **nothing)
    assert best(same)["value"] == 2
    own = trials({3: [INF]}, step_source="theory")
    assert best(trials({4: [INF], 2: [INF]}), own)["value"] == 3


def test_a_run_that_diverged_is_worse_than_any_other():
    diverged = trials({1: [INF]}, status="diverged", suboptimality=1e-9)
    assert best(diverged, trials({2: [INF]}, suboptimality=0.49))["value"] == 2
    assert best(diverged, trials({2: [INF]}, suboptimality=NAN))["end"] == INF


def test_a_step_whose_run_failed_is_not_better_for_it():
    found = best(trials({1: [10]}), trials({2: [20, 20, 20]}))
    assert (found["value"], found["cost"]) == (2, 20)


def test_every_solver_beta_size_and_part_has_a_choice_of_its_own_but_games_do_not():
    cells = [{}, {"beta": 0.2}, {"n": 7}, {"reference": "tilted"}, {"policy": "mlp"}, {"optimiser": "adam"}]
    rows = [trials({place + 1: [10], 50: [20]}, **cell) for place, cell in enumerate(cells)]
    found = chosen(*rows, trials({9: [10], 50: [20]}, name="mirror-descent", parameter="step"))
    assert found["value"].tolist() == [1, 2, 3, 4, 5, 6, 9]
    assert found["parameter"].tolist() == ["eta"] * 6 + ["step"]
    assert len(chosen(trials({1: [1]}), trials({1: [1]}, game="circulant"), trials({1: [1]}, seeds=(7,)))) == 1


def test_what_is_reported_is_no_trial_unless_it_is_both():
    reported = trials({3: [1]}, role="reported", step_source="tuned")
    assert best(trials({1: [10], 2: [20]}), reported)["value"] == 1
    found = best(trials({1: [10], 2: [20]}), trials({3: [1]}, role="both", step_source="tuned"))
    assert (found["value"], found["same"], found["edge"]) == (3, True, "upper")
    assert choice.choices(frame(trials({1: [1]})).drop(columns="role"), NO_POINTS).empty
    assert len(choice.reported(frame(trials({1: [1]}), reported))) == 1
    assert len(choice.reported(frame(reported).drop(columns="role"))) == 1


def test_the_solver_as_it_was_asked_for_is_told_beside_the_choice():
    found = best(trials({1: [10], 4: [30]}), trials({2: [20]}, step_source="theory"))
    assert (found["value"], found["own_value"], found["own_cost"], found["edge"]) == (1, 2, 20, "lower")
    # One that follows the policy has no number, and lies on no grid.
    found = best(trials({1: [10], 4: [30]}), trials({None: [5]}, step_source="curvature"))
    assert np.isnan(found["value"])
    assert (found["own_cost"], found["low"], found["high"], found["edge"]) == (5, 1, 4, None)


def test_the_original_game_is_judged_by_its_exploitability():
    near, far = (trials({s: [INF]}, target="original", exploitability=e) for s, e in ((1, 0.2), (2, 0.1)))
    assert best(near, far)["value"] == 2


def test_on_duels_the_cost_is_the_comparisons_after_which_it_stays_below_the_tolerance():
    duels = {"feedback": "duels[batch=4]", "queries_to_tolerance": None}
    luck, steady = trials({1: [INF]}, **duels), trials({2: [INF]}, **duels)
    below = {"run_id": steady[0]["run_id"], "suboptimality": [0.5, 0.009, 0.008, 0.007]}
    dips = {"run_id": luck[0]["run_id"], "suboptimality": [0.5, 0.001, 0.02, 0.001]}
    points = {"step": range(4), "comparisons": [0, 4, 8, 12]}
    curves = pd.concat([pd.DataFrame(points | one) for one in (dips, below)], ignore_index=True)
    assert choice.costs(frame(luck, steady), curves).tolist() == [12, 4]
    assert best(luck, steady, curves=curves)["value"] == 2
    never = curves.assign(suboptimality=0.5)
    assert choice.costs(frame(luck, steady), never).tolist() == [INF, INF]
    assert choice.costs(frame(trials({1: [INF]}, **duels, status="diverged")), curves).tolist() == [INF]


@pytest.mark.parametrize(
    ("costs", "said"),
    [
        ({1: [30], 2: [20], 4: [10]}, "the largest that was tried, and a larger one may be better; widen its range, "
         "e.g. --tune nash-mp.eta=1:400:2"),
        ({1: [10], 2: [20], 4: [30]}, "the smallest that was tried, and a smaller one may be better; widen its range, "
         "e.g. --tune nash-mp.eta=0.01:4:2"),
        ({1: [30], 2: [10], 4: [20]}, None),
        ({1: [30]}, None),
    ],
)  # fmt: skip
def test_a_choice_at_an_end_of_its_range_is_told_with_a_wider_one(costs, said):
    told = choice.edges(chosen(trials(costs), trials(costs, beta=0.02)))
    assert told == ([] if said is None else [f"the best eta of nash-mp at β = 0.1, 0.02 is {said}"])
