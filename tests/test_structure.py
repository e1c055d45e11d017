"""What a reader has to follow stays small: the counts of `benchmarks/structure.py` have limits."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
MOST_OF_A_RUN, MOST_OF_A_COMMAND = 250, 600
"""Functions that one run enters alone, and with its whole command: the second a little above today's count."""


def asked(code):
    """What a process prints that has imported nothing yet."""
    command = [sys.executable, "-c", f"import json, structure; {code}"]
    return json.loads(subprocess.run(command, cwd=BENCHMARKS, capture_output=True, text=True, check=True).stdout)


@pytest.fixture(scope="module")
def counts():
    """Of a whole command: functions, parses of every text, files that know a default."""
    return asked(
        "functions, parsed = structure.one_command(); "
        "print(json.dumps([functions.total(), parsed, sorted(structure.knowing_a_default())]))"
    )


def test_one_run_enters_few_functions(counts):
    alone = asked("print(json.dumps(structure.one_run().total()))")
    assert 100 < alone <= MOST_OF_A_RUN
    assert alone < counts[0] <= MOST_OF_A_COMMAND


def test_every_text_is_parsed_once(counts):
    assert {"nash-mp", "disc[strength=2]"} <= counts[1].keys()
    assert set(counts[1].values()) == {1}


def test_one_place_knows_the_defaults(counts):
    assert counts[2] == ["nashgames/defaults.py"]
