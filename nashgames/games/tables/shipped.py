"""The real games that ship with the package; where they come from and their licences are in data/SOURCES.md."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Annotated, Any

import numpy as np

from nashgames.core.margins import DenseMargins
from nashgames.errors import wrong_word
from nashgames.games.tables.comparisons import Comparisons, read
from nashgames.games.tables.files import fingerprint
from nashgames.memory import check_memory
from nashgames.registry import Parameter, parameters_of

_ROUNDS = ("all", "1", "2", "3", "4")
_CASTLES = 10
"""Castles of the contest, worth 1 … 10 points."""


@dataclass(frozen=True)
class Table:
    """A shipped game: `build(dtype, **parameters)` makes its comparisons; `parameters` documents what it takes."""

    name: str
    build: Callable[..., Comparisons]
    summary: str

    @property
    def parameters(self) -> Mapping[str, Parameter]:
        """The typed, documented parameters of the selection `name[parameter=value,…]`."""
        return parameters_of(self.build)


def castles(
    dtype: Any = np.float64,
    *,
    score: Annotated[
        str, "win: P is 1, ½ or 0 by who has more points; margin: P = ½ + (points − points') / 110"
    ] = "win",
    round: Annotated[str, "the round of the contest, 1 … 4, or all of them pooled"] = "all",
) -> Comparisons:
    """Colonel Blotto as people played it: 100 soldiers over ten castles worth 1 … 10 points.

    More soldiers take a castle, equal numbers split its points. Equal entries are one action, in order of appearance;
    its label lists the soldiers of castle 1 to 10. A depends on D = points − points' alone, |D| ≤ 55.
    Raises NashGamesError for another score or round.
    """
    if score not in ("win", "margin"):
        raise wrong_word("castles[score]", score, ("win", "margin"))
    if round not in _ROUNDS:
        raise wrong_word("castles[round]", round, _ROUNDS)
    with resources.as_file(resources.files("nashgames.games.data") / "castles.csv") as path:
        entries = np.loadtxt(path, np.int8, delimiter=",", skiprows=1)
        digest = fingerprint(path)
    if round != "all":
        entries = entries[entries[:, 0] == int(round)]
    _, first = np.unique(entries[:, 1:], axis=0, return_index=True)
    soldiers = entries[np.sort(first), 1:]

    def block(rows: slice, columns: slice) -> np.ndarray:
        # D fits in one byte, and so does every step towards it; that is what makes 16 million pairs quick.
        difference = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.int8)
        for castle in range(_CASTLES):
            ours, theirs = soldiers[rows, castle, None], soldiers[None, columns, castle]
            difference += np.int8(castle + 1) * ((ours > theirs).view(np.int8) - (ours < theirs).view(np.int8))
        return np.sign(difference) / 2 if score == "win" else difference / 110

    check_memory(len(soldiers) ** 2 * np.dtype(dtype).itemsize, f"castles with {len(soldiers):,} actions")
    margins = DenseMargins.filled(len(soldiers), [block], dtype)
    labels = tuple("-".join(map(str, row)) for row in soldiers.tolist())
    note = f"{len(entries):,} entries of people, {len(soldiers):,} of them different (FiveThirtyEight, CC BY 4.0)"
    return Comparisons(margins, labels, digest, (note,))


def _file(file: str, **given: Any) -> Callable[..., Comparisons]:
    """A shipped table that is read like a user's own."""

    def build(dtype: Any = np.float64) -> Comparisons:
        with resources.as_file(resources.files("nashgames.games.data") / file) as path:
            return read(file, path, given, dtype)

    return build


TABLES: dict[str, Table] = {
    "castles": Table(
        "castles", castles, "3,996 Colonel Blotto entries of real people, the four rounds of a contest pooled"
    ),
    "soccer10": Table("soccer10", _file("soccer10.csv"), "win rates of ten simulated-soccer agents"),
    "rps-bots": Table(
        "rps-bots",
        _file("rps_bots.csv", scale=1000.0, symmetrise=True),
        "43 programs for repeated rock-paper-scissors, P = ½ + (score_ij − score_ji)/4000",
    ),
    "arxiv-rankers": Table(
        "arxiv-rankers",
        _file("arxiv_rankers.csv"),
        "six search rankers, one of which beats all the others",
    ),
}
