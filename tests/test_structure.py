"""What a reader has to follow stays small: the counts of `benchmarks/structure.py` have limits."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
MOST_FUNCTIONS = 475
"""Functions that one run enters: a little above today's count, which is far from the 250 that are aimed at."""


@pytest.fixture(scope="module")
def counts():
    """The three counts, from a process that has imported nothing yet."""
    code = (
        "import json, structure; functions, parsed = structure.one_run(); "
        "print(json.dumps([functions.total(), parsed, sorted(structure.knowing_a_default())]))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=BENCHMARKS, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_one_run_enters_few_functions(counts):
    assert 100 < counts[0] <= MOST_FUNCTIONS


def test_every_text_is_parsed_once(counts):
    assert {"nash-mp", "disc[strength=2]"} <= counts[1].keys()
    assert set(counts[1].values()) == {1}


def test_one_place_knows_the_defaults(counts):
    assert counts[2] == ["nashgames/defaults.py"]
