"""What a verification finds: numbers that agree, numbers that do not, and runs that could not be verified."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nashgames.core.metrics import every
from nashgames.verification.numbers import Number

Row = Mapping[str, Any]
"""A row of runs by column."""


@dataclass(frozen=True)
class Mismatch:
    """A value of a run that computing it again does not give: from its policy, or by playing it again (`played`)."""

    run_id: str
    label: str
    game: str
    beta: float
    column: str
    stored: Any
    recomputed: Any
    played: bool = False


@dataclass(frozen=True)
class Unverified:
    """A run that could not be verified and why: its file is gone, or its equilibrium cannot be found again."""

    run_id: str
    label: str
    game: str
    beta: float
    reason: str


@dataclass
class Column:
    """How well a column agrees: how many values were `checked`, and of those that agree the largest deviation, relative
    to the value and as a share of what rounding allows."""

    name: str
    checked: int = 0
    relative: float = 0.0
    share: float = 0.0


@dataclass
class Checked:
    """How many `runs` were checked with an external `solver`, and why how many others were not."""

    solver: str
    runs: int = 0
    reasons: Counter[str] = field(default_factory=Counter)


@dataclass
class Replayed:
    """What was played again: `runs` of those `asked`, of which `equal` have every bit, the deviations of the others by
    `columns`, and the `reasons` why the rest could not be.

    `elsewhere` says in what the machine or the versions differ from those that the directory was made with.
    """

    asked: int = 0
    runs: int = 0
    equal: int = 0
    columns: dict[str, Column] = field(default_factory=dict)
    reasons: Counter[str] = field(default_factory=Counter)
    elsewhere: list[str] = field(default_factory=list)

    def deviates(self, column: str, relative: float, share: float) -> None:
        """Note a value that is not the same to the bit and within what is allowed."""
        of_column = self.columns.setdefault(column, Column(column))
        of_column.checked += 1
        of_column.relative = max(of_column.relative, relative)
        of_column.share = max(of_column.share, share)


@dataclass
class Report:
    """What `verify` found in a directory; `ok` when every run was verified, no value differs and no row is missing.

    `exact` of the `runs` are exact equilibria, which nobody plays.
    `incomplete` says which rows are missing, or are too many, of those that the manifest counts; `faults`, a sentence
    each, what is wrong with the files; `unhashed` names the tables that were written before hashes were kept.
    `unplanned` runs have a recording that no experiment of the manifest says, so that a missing point is not seen.
    `unchecked` are the metrics of verified runs that verification has no formula of its own for.
    """

    directory: Path
    runs: int = 0
    exact: int = 0
    columns: dict[str, Column] = field(default_factory=dict)
    mismatches: list[Mismatch] = field(default_factory=list)
    unverified: dict[str, Unverified] = field(default_factory=dict)
    external: list[Checked] = field(default_factory=list)
    without_distances: int = 0
    incomplete: str | None = None
    faults: list[str] = field(default_factory=list)
    unhashed: list[str] = field(default_factory=list)
    unplanned: int = 0
    replayed: Replayed = field(default_factory=Replayed)
    unchecked: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not (self.mismatches or self.unverified or self.incomplete or self.faults)

    @property
    def verified(self) -> int:
        """Runs of which every value agrees."""
        return self.runs - len(self._wrong)

    @property
    def _wrong(self) -> set[str]:
        return {mismatch.run_id for mismatch in self.mismatches} | self.unverified.keys()

    def close(self, rows: Iterable[Row]) -> None:
        """After the last of its rows: note the metrics that verified runs have and nothing was compared with."""
        sound = [row for row in rows if row["run_id"] not in self._wrong]
        self.unchecked = [
            name for name in every() if name not in self.columns and any(row[name] is not None for row in sound)
        ]

    def number(self, row: Row, column: str, stored: float | None, known: Number) -> None:
        """Compare a stored number with the one computed again; a missing one agrees with none."""
        of_column = self.count(column)
        if stored is None or math.isnan(stored):
            self.differs(row, column, None, known.value)
            return
        deviation = 0.0 if stored == known.value else abs(stored - known.value)
        # A number and an infinite one never agree, whatever rounding does to a number of that size.
        if not (deviation <= known.allowed and math.isfinite(deviation)):
            self.differs(row, column, stored, known.value)
        elif deviation > 0:
            of_column.relative = max(of_column.relative, deviation / max(abs(stored), abs(known.value)))
            of_column.share = max(of_column.share, deviation / known.allowed)

    def same(self, row: Row, column: str, stored: Mapping[str, Any], known: Mapping[str, Any]) -> None:
        """Compare values that have to be the same; they count as one and are named by their keys where they differ."""
        self.count(column)
        for key, value in known.items():
            if stored[key] != value:
                self.differs(row, key, stored[key], value)

    def give_up(self, row: Row, reason: str) -> None:
        """Note that a run cannot be verified; the first reason counts."""
        found = Unverified(row["run_id"], row["label"], row["game"], row["beta"], reason)
        self.unverified.setdefault(row["run_id"], found)

    def count(self, column: str) -> Column:
        """Note that one more value of a column is checked."""
        of_column = self.columns.setdefault(column, Column(column))
        of_column.checked += 1
        return of_column

    def differs(self, row: Row, column: str, stored: Any, recomputed: Any) -> None:
        """Note a value of a run that is not what it should be."""
        self.mismatches.append(mismatch(row, column, stored, recomputed))


def mismatch(row: Row, column: str, stored: Any, recomputed: Any, *, played: bool = False) -> Mismatch:
    """A value of the run of a row that is not what it should be."""
    return Mismatch(row["run_id"], row["label"], row["game"], row["beta"], column, stored, recomputed, played=played)
