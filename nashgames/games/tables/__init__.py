"""Real games by name or by path, and reference policies from a file.

A path takes the parameters of `comparisons.Reading`: `wins.csv[prior=1]`, `scores.parquet[scale=100,symmetrise=true]`.
"""

import difflib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nashgames.core.game import Description, Game, make_game
from nashgames.errors import NashGamesError, unknown
from nashgames.games.tables.comparisons import PARAMETERS, counts, read
from nashgames.games.tables.files import REFERENCE_SUFFIXES, SUFFIXES, locate
from nashgames.games.tables.sheets import Sheet, open_sheet
from nashgames.games.tables.shipped import TABLES, Table
from nashgames.registry import Selection, bind, parse

__all__ = ["PARAMETERS", "TABLES", "Table", "is_path", "load", "path_selection", "read_reference"]


def is_path(text: str) -> bool:
    """Whether a selection is a path: it has a separator, a table's ending, or is the name of what is here.

    The registries go first: ask this of a name that none of them knows.
    """
    name, _ = _split(text)
    return os.sep in name or "/" in name or name.lower().endswith(SUFFIXES) or (name not in TABLES and _is_there(name))


def path_selection(text: str) -> Selection:
    """The path and the parameters of `path[parameter=value,…]`; a file whose own name ends in brackets is a path."""
    name, parameters = _split(text)
    given = parse(f"file{parameters}")
    return Selection(text, name, given.parameters, given.positional)


def load(selection: str | os.PathLike[str], *, dtype: Any = np.float64, file: Path | None = None) -> Game:
    """The game that a shipped name or a path selects, with a uniform reference and margins A of `dtype`, `[n, n]`.

    A is exactly skew-symmetric. The description carries the labels, the parameters that were given, the first 16 hex
    digits of the SHA-256 of the file, and notes on what was done to the data. `file` is a copy to read in place of the
    path. Raises NashGamesError for an unknown name or parameter and for a file that holds no preference game.
    """
    text = os.fspath(selection)
    chosen = parse(text) if text.partition("[")[0].strip() in TABLES else path_selection(text)
    if chosen.name in TABLES:
        table = TABLES[chosen.name]
        given = bind("game", chosen, table.parameters)
        found = table.build(dtype=dtype, **given)
    elif is_path(text):
        given = bind("table", chosen, PARAMETERS)
        found = read(chosen.name, file or locate(chosen.name), given, dtype)
    else:
        raise unknown("table", chosen.name, [*TABLES, f"a path ending in {', '.join(SUFFIXES)}"])
    described = Description(chosen.name, given, labels=found.labels, fingerprint=found.fingerprint, notes=found.notes)
    return make_game(found.margins, description=described)


def wins(selection: str | os.PathLike[str], file: Path | None = None) -> tuple[np.ndarray, float] | None:
    """How often every action of the game `load` loads beat every other one `[n, n]`, and the prior added to both sides.

    None where the game comes from rates, margins or scores, whose comparisons nobody counted, or is shipped: no shipped
    table counts any.
    """
    text = os.fspath(selection)
    if not is_path(text):
        return None
    chosen = path_selection(text)
    given = bind("table", chosen, PARAMETERS)
    found = counts(chosen.name, file or locate(chosen.name), given)
    return None if found is None else (found, float(given.get("prior", 0.0)))


def read_reference(path: str | os.PathLike[str], game: Game) -> np.ndarray:
    """log μ, float64 `[n]` (`[m, n]`, the same in every context), from a CSV or Parquet file.

    The file has a column `probability`, positive and of sum 1 within 1e-6; log μ is log p − log Σp. Rows are matched to
    actions by a column `label`, else by a column `action` (0 … n−1), else, where actions have no labels, by their
    order.
    Raises NashGamesError for anything else.
    """
    name = os.fspath(path)
    file = locate(name, REFERENCE_SUFFIXES)
    sheet = open_sheet(name, file)
    header = [cell.strip().lower() for cell in sheet.first]
    if "probability" not in header:
        # Below the usual 0.6: prob is meant too.
        near = difflib.get_close_matches("probability", header, n=1, cutoff=0.5)
        hint = f"; did you mean 'probability' by '{near[0]}'?" if near else ";"
        raise NashGamesError(
            f"'{name}' has the columns {', '.join(sheet.first[:6])}{hint} accepted: "
            "the column probability, and label or action to say whose it is"
        )
    if doubled := next((column for column in header if column and header.count(column) > 1), None):
        raise NashGamesError(f"'{name}' has two columns '{doubled}'; keep one")
    keys = [column for column in ("label", "action") if column in header]
    texts, numbers = sheet.read([header.index(key) for key in keys], [header.index("probability")], header=True)
    probabilities = numbers[:, 0]
    if keys:
        counted = tuple(map(str, range(game.actions)))
        known = {"label": game.description.labels or counted, "action": counted}
        orders = [_order(sheet, text.rows(), known[key], key) for key, text in zip(keys, texts, strict=True)]
        if orders[0] != orders[-1]:
            raise NashGamesError(f"'{name}' names other actions by label than by action; drop one of these columns")
        probabilities = probabilities[orders[0]]
    elif labels := game.description.labels:
        raise NashGamesError(
            f"'{name}' does not say whose its probabilities are; add a column label, with {', '.join(labels[:3])}"
            f"{', …' if len(labels) > 3 else ''}, or a column action, which counts them from 0"
        )
    elif len(probabilities) != game.actions:
        raise NashGamesError(f"'{name}' has {len(probabilities):,} rows; the game has {game.actions:,} actions")
    wrong = ~(np.isfinite(probabilities) & (probabilities > 0))
    if wrong.any():
        i = int(np.argmax(wrong))
        who = f"'{game.description.labels[i]}'" if game.description.labels else f"action {i}"
        raise NashGamesError(
            f"'{name}' gives {who} the probability {probabilities[i]:g}; every action needs a finite reference "
            "probability above 0, because KL(π‖μ) is infinite where μ is 0"
        )
    total = float(np.sum(probabilities))
    # Probabilities kept in float32 sum to 1 within 1e-7; some that were cut to a few digits are not rescaled silently.
    if not abs(total - 1) <= 1e-6:
        raise NashGamesError(f"the probabilities in '{name}' sum to {total:.8g}; they must sum to 1 within 1e-6")
    log_reference = np.log(probabilities) - np.log(total)
    return np.array(np.broadcast_to(log_reference, game.margins.shape[:-1]))


def _order(sheet: Sheet, rows: Sequence[str], known: Sequence[str], key: str) -> list[int]:
    """For every action the row that names it."""
    place: dict[str, int] = {}
    expected = set(known)
    for row, label in enumerate(rows):
        if label not in expected:
            near = difflib.get_close_matches(label, known, n=1)
            hint = f"; did you mean '{near[0]}'?" if near else f"; the first of {len(known):,} actions is '{known[0]}'"
            raise NashGamesError(f"'{sheet.name}' names the {key} '{label}', which the game does not have{hint}")
        if label in place:
            raise NashGamesError(f"'{sheet.name}' gives the {key} '{label}' twice; give every action one row")
        place[label] = row
    absent = [label for label in known if label not in place]
    if absent:
        raise NashGamesError(
            f"'{sheet.name}' has no row for the {key} '{absent[0]}' ({len(absent):,} of {len(known):,} are missing); "
            "every action needs a reference probability"
        )
    return [place[label] for label in known]


def _is_there(name: str) -> bool:
    try:
        return Path(name).expanduser().exists()
    except OSError:
        return False


def _split(text: str) -> tuple[str, str]:
    text = text.strip()
    if not text.endswith("]") or "[" not in text or _is_there(text):
        return text, ""
    name, bracket, rest = text.rpartition("[")
    return name.strip(), bracket + rest
