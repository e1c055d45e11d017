"""`nashgames init`: an experiment file to begin with, which says of every key what it is for and what it takes."""

import json
import textwrap
from collections.abc import Mapping
from typing import Any

from nashgames.cli.options import ACCEPTED
from nashgames.cli.streams import emit

_HEAD = """\
# An experiment: every combination of the games, sizes, β, solvers and seeds below is a run.
#
#   nashgames sweep THIS-FILE.toml       play it; finished runs are reused
#   nashgames list games                 the names of games; also solvers, references, …
#   nashgames show nash-prox             what a name means and which parameters it takes
#
# A key that is commented out shows its default, or an example where it says so.
"""

_PLAYED: Mapping[str, Any] = {
    "name": "my-experiment",
    "game": ["random-logits"],
    "actions": [10],
    "beta": [1.0, 0.1],
    "solver": ["nash-mp", "mirror-descent", "online-ipo"],
    "seeds": 3,
    "queries": 2000,
    "tolerance": 1e-8,
}
"""What the file plays as it is: in seconds, with a picture that shows something."""

_WIDTH = 100
"""Letters of a line: an editor shows them beside something else."""

_EXAMPLES: Mapping[str, Any] = {
    "comparisons": 1_000_000,
    "record_every": 10,
    "tune": "auto",
    "verdict": "race",
}
"""Keys that are not set unless somebody sets them."""

_SECTIONS: Mapping[str, Mapping[str, str]] = {
    "What is played": {
        "name": "the results go to results/runs/NAME: letters, digits, - and _",
        "game": "games",
        "actions": "n, the number of actions, of games that leave it open",
        "beta": "β, the weight of KL(π‖μ)",
        "reference": "the reference policy μ; own is that of the game, uniform in most",
        "solver": "solvers; a range low:high:count in place of a number makes one solver for each of count values",
        "feedback": "what a solver learns from",
        "policy": "the parametrisation of policy gradients",
        "optimiser": "the optimiser of policy gradients",
        "seed": "the first seed",
        "seeds": "the number of consecutive seeds",
        "start": "the first policy",
    },
    "Stopping, recording and precision": {
        "target": "the game to solve",
        "queries": "the budget of a run in queries",
        "comparisons": "the budget of a run on duels in comparisons, instead of queries (an example)",
        "tolerance": "a run on exact feedback stops at this suboptimality",
        "records": "recorded points per curve, geometrically spaced",
        "record_every": "record every M-th step instead (an example)",
        "dtype": "precision",
        "device": "the device to compute on",
        "storage": "how A = P − ½ is stored",
    },
    "Tuning and verdict": {
        "tune": "play every solver at its best step, chosen on other seeds (an example)",
        "verdict": "race compares the solvers over all games, theorems checks every iterate (an example)",
    },
}
"""Every key of a file by what it is for, and what it means."""

_TAIL = """\
# -- More grids ---------------------------------------------------------------------
# Each has some keys of its own and takes the others from above (an example):
#
# [[also]]
# game = ["castles"]
# beta = [0.01]
"""


def init(preset: str | None) -> None:
    """Print an experiment file: a first one, or that of a preset; NashGamesError where there is no such preset."""
    from nashgames.experiments.experiment import load_preset, presets

    if preset is None:
        emit(template().removesuffix("\n"))
        return
    load_preset(preset)
    emit(presets()[preset].read_text(encoding="utf-8").removesuffix("\n"))


def template() -> str:
    """The text of a first experiment file."""
    from nashgames.experiments.experiment import Experiment

    usual = Experiment().to_dict() | dict(_EXAMPLES)
    parts = [_HEAD]
    for title, keys in _SECTIONS.items():
        lines = [f"# -- {title} {'-' * (78 - len(title))}"]
        for key, meaning in keys.items():
            accepted = f": {ACCEPTED[key]}" if key in ACCEPTED else ""
            lines += textwrap.wrap(f"{meaning}{accepted}", _WIDTH, initial_indent="# ", subsequent_indent="#   ")
            lines += [_line(key, _PLAYED[key]) if key in _PLAYED else f"# {_line(key, usual[key])}"]
        parts.append("\n".join(lines) + "\n")
    return "\n".join([*parts, _TAIL])


def _line(key: str, value: Any) -> str:
    """A key and its value; of plain texts, numbers and lists of them, JSON is TOML."""
    return f"{key} = {json.dumps(value, ensure_ascii=False)}"
