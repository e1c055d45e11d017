"""From a table's values to margins: what the values mean, and whether they are a preference game."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from nashgames.core.margins import DenseMargins, Margins
from nashgames.errors import NashGamesError, shown, wrong_word
from nashgames.games.tables.files import fingerprint
from nashgames.games.tables.layout import Layout, arrange
from nashgames.memory import check_memory
from nashgames.registry import parameters_of, render

ROUNDING = 1e-9
"""P + Pᵀ may be off by this much (or by 4 units of rounding of a coarser storage type) and still count as exact."""

_EXACT = 1e-15
"""P + Pᵀ may be off by this much, a few units of rounding of a sum of two float64 numbers, without a note."""

_MOST_WINS = 2.0**53
"""The largest count that float64 holds exactly."""

_LARGEST_PRIOR = 1e6
"""The largest prior: a million wins to each side of a pair leave margins of 1e-6 of a win, and more leave none."""

_KINDS = ("probabilities", "margins", "scores", "wins")


@dataclass(frozen=True)
class Reading:
    """How the numbers of a file are to be read: the parameters of a selection such as `wins.csv[symmetrise=true]`."""

    values: Annotated[
        str,
        "what the numbers are: probabilities P in [0, 1], margins P − ½, scores (see scale), wins (counts), or auto: "
        "wins for columns winner and loser, scores when scale is given, else probabilities",
    ] = "auto"
    scale: Annotated[
        float, "the score of a certain win, P = ½ + score / (2 scale); 0 where the values are not scores"
    ] = 0.0
    symmetrise: Annotated[bool, "average P and 1 − Pᵀ where they differ, and note by how much they did"] = False
    missing: Annotated[str, "a pair without a value is an error, or half: P = ½"] = "error"
    prior: Annotated[float, "wins added to both sides of every pair: P = (w + prior) / (w + w' + 2 prior)"] = 0.0

    def __post_init__(self) -> None:
        if self.values not in ("auto", *_KINDS):
            raise wrong_word("values", self.values, ("auto", *_KINDS))
        if self.missing not in ("error", "half"):
            raise wrong_word("missing", self.missing, ("error", "half"))
        if not 0 <= self.scale < np.inf:
            raise NashGamesError(
                f"scale is {self.scale:g}; accepted: a finite number above 0, the score of a certain win"
            )
        if not 0 <= self.prior <= _LARGEST_PRIOR:
            raise NashGamesError(f"prior is {self.prior:g}; accepted: a number of wins from 0 to {_LARGEST_PRIOR:,.0f}")
        if self.values != "auto" and (self.values == "scores") != (self.scale > 0):
            need = "leaves scale without a meaning" if self.scale else "needs scale, the score of a certain win"
            raise NashGamesError(f"values={self.values} {need}; write values=scores,scale=…")
        if self.prior and self.values not in ("auto", "wins"):
            raise NashGamesError(
                f"prior counts wins and the values are {self.values}; leave prior out or say values=wins"
            )


PARAMETERS = parameters_of(Reading)


@dataclass(frozen=True)
class Comparisons:
    """Margins `[n, n]`, exactly skew-symmetric, of the run's dtype, with what a person wants to know of them."""

    margins: Margins
    labels: tuple[str, ...] | None
    fingerprint: str
    notes: tuple[str, ...] = ()


def read(name: str, path: Path, given: Mapping[str, Any], dtype: Any = np.float64) -> Comparisons:
    """The comparisons in the file at `path`, which a person calls `name`, read with the parameters `given`.

    Raises NashGamesError when the file is no table, the table is no preference game, or it will not fit in memory.
    """
    reading = Reading(**given)
    layout = arrange(name, path, wins=reading.values == "wins")
    n = len(layout.values)
    kind = _kind(reading, layout)
    if layout.duels and (kind != "wins" or reading.scale):
        extra = "scale" if reading.scale else f"values={kind}"
        raise NashGamesError(f"'{name}' lists winners and losers, which are wins; leave out {extra}")
    if reading.prior and kind != "wins":
        raise NashGamesError(f"'{name}' holds {kind} and prior counts wins; leave prior out or say values=wins")
    check_memory(n * n * np.dtype(dtype).itemsize, f"'{name}' with {n:,} actions")
    rounding = max(ROUNDING, 4 * layout.unit)
    pairs = _Pairs(name, given, layout.values, layout.labels, kind, reading, rounding, layout.gaps)
    margins = DenseMargins.filled(n, [pairs.block], dtype)
    pairs.check_diagonal()
    return Comparisons(margins, layout.labels, fingerprint(path), (*layout.notes, *pairs.verdict()))


def counts(name: str, path: Path, given: Mapping[str, Any]) -> np.ndarray | None:
    """How often every action beat every other one `[n, n]` in a file that `read` accepts; None where nobody counted.

    The `prior` is not among them.
    """
    reading = Reading(**given)
    layout = arrange(name, path, wins=reading.values == "wins")
    return np.nan_to_num(_float64(layout.values)) if _kind(reading, layout) == "wins" else None


def _kind(reading: Reading, layout: Layout) -> str:
    """What the numbers of a file are: as given, or with `auto` by the layout and the parameters."""
    if reading.values != "auto":
        return reading.values
    return "wins" if layout.duels else "scores" if reading.scale else "probabilities"


@dataclass
class _Pairs:
    """Turns blocks of values into margins and remembers what was off, so that one pass over the file checks it."""

    name: str
    given: Mapping[str, Any]
    values: np.ndarray
    labels: Sequence[str] | None
    kind: str
    reading: Reading
    rounding: float
    gaps: bool = True
    missing: int = 0
    first_missing: tuple[int, int] = (0, 0)
    one_sided: int = 0
    first_one_sided: tuple[int, int] = (0, 0)
    even: bool = True
    beyond: int = 0
    off: float = 0.0
    worst: tuple[int, int] = (0, 1)
    diagonal: float = 0.0
    duels: list[float] = field(default_factory=list)

    def check_diagonal(self) -> None:
        """An action against itself is even, or not listed."""
        own = _float64(self.values.diagonal())
        off = np.nan_to_num(own if self.kind == "wins" else 2 * np.abs(self._margin(own)))
        i = int(np.argmax(off))
        if self.kind == "wins" and off[i] > 0:
            raise NashGamesError(f"'{self.name}': {self._who(i)} beats itself; drop the duels of an action with itself")
        if off[i] > self.rounding and not self.reading.symmetrise:
            even = "0.5" if self.kind == "probabilities" else "0"
            raise NashGamesError(
                f"'{self.name}': {self._who(i)} against itself has the value {own[i]:g}, not {even}; write {even}, "
                f"leave the cell empty, or load {self._with('symmetrise', True)}"
            )
        self.diagonal = float(off[i])

    def block(self, rows: slice, columns: slice) -> np.ndarray:
        """Margins of `rows` against `columns`, from their values in both orders."""
        ours, theirs = _float64(self.values[rows, columns]), _float64(self.values[columns, rows].T)
        self._check_values(ours, lambda i, j: (rows.start + i, columns.start + j))
        self._check_values(theirs, lambda i, j: (columns.start + j, rows.start + i))
        above = np.triu(np.ones(ours.shape, bool), 1) if rows == columns else np.True_
        result: np.ndarray
        if self.kind == "wins":
            ours, theirs = np.nan_to_num(ours), np.nan_to_num(theirs)
            total = ours + theirs
            absent = total == 0
            self.duels += [bound(total[above & ~absent]) for bound in (np.min, np.max) if np.any(above & ~absent)]
            total += 2 * self.reading.prior
            result = (ours - theirs) / np.where(total > 0, total, 1) / 2
        else:
            ours, theirs = self._margin(ours), self._margin(theirs)
            absent = np.isnan(ours) & np.isnan(theirs)
            # One order alone settles a pair: the other is its complement.
            self._count_one_sided((np.isnan(ours) ^ np.isnan(theirs)) & above, rows, columns)
            ours, theirs = np.where(np.isnan(ours), -theirs, ours), np.where(np.isnan(theirs), -ours, theirs)
            off = np.where(above & ~absent, np.abs(ours + theirs), 0)
            self.beyond += int(np.count_nonzero(off > self.rounding))
            at = int(np.argmax(off))
            if off.flat[at] > self.off:
                self.off, self.worst = float(off.flat[at]), _place(at, off.shape, rows, columns)
            result = np.where(absent, 0, np.clip((ours - theirs) / 2, -0.5, 0.5))
        self.even &= not np.any(result)
        absent &= above
        if absent.any():
            here = _place(int(np.argmax(absent)), absent.shape, rows, columns)
            self.first_missing = min(self.first_missing, here) if self.missing else here
            self.missing += int(np.count_nonzero(absent))
        return result

    def _count_one_sided(self, found: np.ndarray, rows: slice, columns: slice) -> None:
        if found.any():
            here = _place(int(np.argmax(found)), found.shape, rows, columns)
            self.first_one_sided = min(self.first_one_sided, here) if self.one_sided else here
            self.one_sided += int(np.count_nonzero(found))

    def verdict(self) -> list[str]:
        """The notes on a table that is a game, or may be made one; NashGamesError for one that is not."""
        n = len(self.values)
        pairs = f"{n * (n - 1) // 2:,} pairs"
        notes = []
        if self.missing:
            first = " against ".join(map(self._who, self.first_missing))
            if self.reading.prior:
                notes.append(f"{self.missing:,} of {pairs} never met and are even by the prior, {first} first")
            elif self.reading.missing == "half":
                notes.append(f"{self.missing:,} of {pairs} had no value and were set to ½, {first} first")
            else:
                raise NashGamesError(
                    f"'{self.name}': {first} has no value in either order ({self.missing:,} of {pairs} are missing); "
                    f"add it, or load {self._with('missing', 'half')} to call missing pairs even"
                )
        if self.one_sided:
            first = " against ".join(map(self._who, self.first_one_sided))
            notes.append(
                f"{self.one_sided:,} of {pairs} had one value, {first} first; the other was taken as its complement"
            )
        if self.even:
            notes.append(
                "every pair is even: every policy is an equilibrium at β = 0, and at every other β the reference"
            )
        where = " against ".join(map(self._who, self.worst))
        if self.beyond and not self.reading.symmetrise:
            raise NashGamesError(
                f"'{self.name}': P + Pᵀ should be 1 and is off by {self.off:.3g} for {where}, the worst of "
                f"{self.beyond:,} among {pairs}; correct the table, or load {self._with('symmetrise', True)} to "
                "average P and 1 − Pᵀ"
            )
        if self.beyond:
            notes.append(f"P + Pᵀ was off by at most {self.off:.3g} ({where}); P and 1 − Pᵀ were averaged")
        elif self.off > _EXACT:
            notes.append(f"P + Pᵀ is 1 up to rounding (off by at most {self.off:.1g}), which was evened out")
        elif self.reading.symmetrise and self.diagonal <= self.rounding:
            notes.append("P + Pᵀ is 1 already; there was nothing to symmetrise")
        if self.diagonal > self.rounding:
            notes.append(f"the diagonal was off by at most {self.diagonal:.3g} from P + Pᵀ = 1 and was set to ½")
        if self.duels:
            least, most = min(self.duels), max(self.duels)
            times = f"{least:,.10g}" if least == most else f"{least:,.10g} to {most:,.10g}"
            often = "once" if most == 1 == least else f"{times} times"
            notes.append(f"{'the others' if self.missing else 'every pair'} met {often}")
        return notes

    def _margin(self, values: np.ndarray) -> np.ndarray:
        if self.kind == "probabilities":
            return values - 0.5
        return values / self.reading.scale / 2 if self.kind == "scores" else values

    def _check_values(self, values: np.ndarray, pair: Callable[..., tuple[int, int]]) -> None:
        """Raise NashGamesError for a value that is infinite or not of its kind; `pair` says whose it is."""
        scale = self.reading.scale
        limits = {"probabilities": (0, 1), "margins": (-0.5, 0.5), "scores": (-scale, scale), "wins": (0, _MOST_WINS)}
        low, high = limits[self.kind]
        slack = 0.0 if self.kind == "wins" else self.rounding * high
        bad = (values < low - slack) | (values > high + slack)
        if not self.gaps and self.reading.missing == "error":
            bad |= np.isnan(values)
        if not bad.any():
            return
        at = np.unravel_index(int(np.argmax(bad)), bad.shape)
        who = " against ".join(map(self._who, pair(*map(int, at))))
        entry = f"'{self.name}': the value of {who} is {values[at]:g}"
        if np.isnan(values[at]):
            raise NashGamesError(
                f"{entry}; accepted: finite numbers, or NaN for a pair without a value where you load "
                f"{self._with('missing', 'half')}"
            )
        if np.isinf(values[at]):
            raise NashGamesError(f"{entry}; accepted: finite numbers, or an empty cell for a pair without a value")
        advice = {
            "probabilities": f"if these are not probabilities, load {self._with('values', 'wins')} for counts of wins, "
            f"{self._with('values', 'margins')} for P − ½, or give scale for scores",
            "margins": "a margin is P − ½",
            "scores": "scale is the score of a certain win",
            "wins": "a count of wins is 0 or more",
        }
        raise NashGamesError(f"{entry}, outside [{low:g}, {high:g}]; {advice[self.kind]}")

    def _who(self, i: int) -> str:
        return shown(str(self.labels[i])) if self.labels else f"action {i}"

    def _with(self, option: str, value: Any) -> str:
        return render(self.name, {**self.given, option: value})


def _float64(values: np.ndarray) -> np.ndarray:
    # A long double may overflow; the infinity is then refused like any other.
    with np.errstate(over="ignore"):
        converted: np.ndarray = np.asarray(values).astype(np.float64)
    return converted


def _place(at: int, shape: tuple[int, ...], rows: slice, columns: slice) -> tuple[int, int]:
    i, j = np.unravel_index(at, shape)
    return rows.start + int(i), columns.start + int(j)
