"""Conditions on runs: what they keep, against Python's own answer row by row, and the sentence for every mistake."""

import math

import pandas as pd
import pytest

from nashgames.analysis.gather import Gathered
from nashgames.analysis.where import where
from nashgames.errors import NashGamesError
from tests.stored import fill, rows


@pytest.fixture(scope="module")
def runs():
    """Runs of two solvers and two games, one of which was not reached, with parameters of both."""
    found = []
    for place, (game, solver, beta, eta) in enumerate(
        [("disc", "nash-mp", 0.05, 0.1), ("disc", "online-ipo", 0.5, None), ("melo", "nash-mp", 0.05, 0.4)]
    ):
        run = rows(f"{place}")["runs"].assign(game=game, solver=solver, label=solver, beta=beta, n=10 * (place + 1))
        run["hyperparameters"] = f'{{"eta": {eta or "null"}}}'
        found.append(run)
    return pd.concat(found, ignore_index=True).assign(queries_to_tolerance=pd.array([6, None, 6], "Int64"))


CONDITIONS = [
    "beta < 0.1",
    "beta < 0.1 and solver == 'nash-mp'",
    "beta < 0.1 or solver == 'online-ipo'",
    "not beta < 0.1",
    "not (beta < 0.1 and n > 10)",
    "0.01 < beta <= 0.05 < n",
    "n in [10, 30]",
    "n not in (10, 30)",
    "game in ['disc', 'castles'] and n * beta + 1 >= 2 / 4 - -0.5",
    "solver != 'nash-mp'",
    "eta > 0.2",
    "eta == 0.1 or strength == 2",
    "queries_to_tolerance <= 100",
    "not queries_to_tolerance <= 100",
    "queries_to_tolerance != queries_to_tolerance",
    "n == 10 and beta == 0.05 or n == 20",
]


@pytest.mark.parametrize("condition", CONDITIONS)
def test_a_condition_keeps_what_python_keeps(runs, condition):
    def answer(row):
        values = row | {"strength": 2.0, "eta": {"0": 0.1, "2": 0.4}.get(row["run_id"], math.nan)}
        values = {key: math.nan if value is None or value is pd.NA else value for key, value in values.items()}
        return eval(condition, {"__builtins__": {}}, values)

    expected = [row["run_id"] for row in runs.to_dict("records") if answer(row)]
    assert list(where(runs, condition)["run_id"]) == expected
    assert where(runs.head(0), condition).empty


def test_a_ratio_that_does_not_exist_fulfils_no_comparison(runs):
    assert list(where(runs, "1 / (n - 10) > 0")["n"]) == [20, 30]
    assert list(where(runs, "not 1 / (n - 10) < 1")["n"]) == [10]
    assert list(where(runs, "1 / (1 / (n - 10)) == n - 10")["n"]) == [20, 30]


def test_the_conditions_tell_runs_apart(runs):
    assert len({tuple(where(runs, condition)["run_id"]) for condition in CONDITIONS}) >= 5


MISTAKES = {
    "": "where is empty; accepted: a condition on columns",
    "beta = 0.1": "is not a condition; equality is written ==",
    "beta <": "which is not a condition; write it as in",
    "bata < 1": "names 'bata', which is not a column of runs; did you mean 'beta'? Accepted: run_id, game",
    "actions == 3": "names 'actions'; that column is called n",
    "solver == nash": "names 'nash', which is not a column; a text is quoted: solver == 'nash-mp'",
    "1 < 2": "names no column",
    "n": "has a number, `n`, where a condition belongs",
    "n == 'x'": "has a text, `'x'`, where a number belongs",
    "solver < 'x'": "orders texts in `solver < 'x'`; texts are compared by ==, != and in",
    "n == 10 & beta == 1": "has `10 & beta`; write and, or",
    "@n == 3": "which is not a condition",
    "solver.str.len() > 2": "has `solver.str.len()`; accepted: columns",
    "solver.name == 'x'": "has `solver.name`; accepted: columns",
    "n[0] == 1": "has `n[0]`; accepted: columns",
    "beta / 0 > 1": "divides by 0 in `beta / 0`; divide by another number",
    "1 / (2 - 2) < n": "divides by 0 in `1 / (2 - 2)`",
    "n ** 2 > 1": "has `n ** 2`; accepted: columns",
    "n == True": "has `True`; accepted: columns",
    "n in 3": "in needs a list",
    "n in [beta]": "a list holds numbers or quoted texts",
    "n in ['x']": "has a text, `'x'`, where a number belongs",
    "(n == 3) == (beta == 1)": "compares `n == 3`, a condition; join conditions by and, or",
    "n is 3": "write one comparison, or join several by and",
    "hyperparameters == 'x'": "names 'hyperparameters', which is not a column",
    "__import__('os').system('x') == n": "names '__import__', which is not a column",
    "[n for n in (1,)] == n": "has `[n for n in (1,)]`",
    f"n == {'1' * 400}": "…; give a smaller one",
    f"{'-' * 950}n == 1": "nests too deeply",
    f"{'(' * 300}n{')' * 300} == 1": "which is not a condition",
    f"n == {'1 + ' * 400}1": "has 1,606 letters; write at most 1,000",
    "n == 1\0": "which is not a condition",
}


@pytest.mark.filterwarnings("ignore:.*is. with:SyntaxWarning")
@pytest.mark.parametrize("condition", MISTAKES, ids=lambda text: text[:30])
def test_a_mistake_is_one_sentence(runs, condition):
    with pytest.raises(NashGamesError) as error:
        where(runs, condition)
    assert MISTAKES[condition] in str(error.value)
    assert str(error.value).startswith("where ")


def test_runs_of_several_directories_are_one_table_and_each_run_counts_once(tmp_path):
    one, two = fill(tmp_path / "one", "a", "b", value=1.0), fill(tmp_path / "two", "b", "c", value=2.0)
    both = Gathered([one, two])
    assert list(both.runs["run_id"]) == ["a", "b", "c"]
    assert list(both.runs["directory"]) == [str(one), str(one), str(two)]
    for table in (both.curves, both.policies, both.paths):
        values = table.groupby("run_id")[["entropy" if "entropy" in table else "probability"]].mean().iloc[:, 0]
        assert dict(values) == {"a": 1.0, "b": 1.0, "c": 2.0}
    assert list(Gathered([one, two], f"directory == '{two}'").runs["run_id"]) == ["c"]
    assert "directory" not in Gathered([one]).runs
    assert set(Gathered([one, two], "run_id == 'c'").curves["run_id"]) == {"c"}


def test_the_last_command_s_runs_alone(tmp_path):
    directory = fill(tmp_path / "one", "a")
    fill(directory, "b")
    assert list(Gathered([directory]).runs["run_id"]) == ["a", "b"]
    assert list(Gathered([directory], last=True).runs["run_id"]) == ["b"]
