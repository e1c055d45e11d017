"""The experiment that the user gives: plain checked values, to and from TOML, expanded into the runs they stand for.

Standard library only, so that the terminal can check an experiment before it imports anything heavy.
"""

import dataclasses
import hashlib
import itertools
import json
import math
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Self

from nashgames.defaults import AUTO, PARTS, START, TARGET
from nashgames.errors import NashGamesError, unknown
from nashgames.experiments import tune
from nashgames.experiments.values import LISTS, MAX_SEED, READERS, float_of, grid_of, items_of, real, values_of
from nashgames.reprs import Panel

RECORDS = 200
"""Points of a curve unless given, at geometrically spaced steps."""

# All are held in memory as a plan and as rows; a million hashes of 48 bits all differ with odds of 500 to 1.
MAX_RUNS = 1_000_000
# A file of an experiment has some dozen lines.
_MOST_BYTES = 10**6
_OF_THE_COMMAND = ("timeout", "retries", "workers", "scheduler", "out", "json", "quiet", "force", "dry_run", "no_plot")
"""Options that say how an experiment is executed, and not what it is."""

_OPTIONAL = ("name", "queries", "comparisons", "record_every", "verdict", "tune")
DEFAULT_GRADIENTS = ("online-ipo", "nash-prox", "approximate-nash-mp", "nash-md-pg")
"""The default solvers where the policy or the optimiser needs policy gradients."""
DEFAULT_ORIGINAL = ("omwu", "comal", "extragradient-regret-matching-plus", "average[sppo]")
"""The default solvers at β = 0, one of each kind: multiplicative weights whose last iterate
converges, an iterated reference, regret matching, and an average, which alone needs no optimism."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One run: a game (with n = `actions`, or its own size where None), its seed and reference, β, and a solver with
    its feedback, policy and optimiser.
    """

    game: str
    actions: int | None
    seed: int
    reference: str
    beta: float
    solver: str
    feedback: str
    policy: str
    optimiser: str


@dataclass(frozen=True, kw_only=True, repr=False)
class Experiment:
    """A grid of runs: every game × size × seed × reference × β × solver × feedback × policy × optimiser, under one
    budget and one tolerance.

    Seeds are `seed`, …, `seed + seeds − 1`. The reference `own` is the game's own, uniform unless it defines another. A
    run is charged at most `queries` queries (None: max(2000, 20/β), 20,000 at β = 0) and stops where the metric of its
    `target` is at most `tolerance` (0: never before the budget): the suboptimality of the regularised game, or the
    exploitability of the original one. At β = 0 the target is the original game, and solvers that divide by β are left
    out. A run on duels never stops earlier, and `comparisons` may give its budget instead. It starts at the
    `reference`, or near the `equilibrium[distance=…]`. A curve has `records` points at geometric steps, or one every
    `record_every` steps. The fields that hold several values also take one; integers and numbers also come as text;
    `low:high:count` among a solver's parameters stands for that many values, geometrically spaced. `also` adds grids,
    each with some of those fields of its own; `verdict` = theorems judges every iterate, `race` compares the solvers
    over all games, `win-rates` their last policies with each other.

    With `tune` every solver that declares a tuned parameter which is not given is tried with equally many values of it
    on `tuning_seeds`, those after the reported seeds, and played both with the best of them and with its own value:
    `auto`, or a table of `trials` (how many besides its own value), `seeds` (how many, as many as are
    reported and at most ten unless given) and ranges `low:high:count` by `parameter` or `solver.parameter`; where no
    range is given, one about the default.

    Raises NashGamesError, naming the field, its value and what is accepted.

    Example:
        >>> import nashgames as ng
        >>> experiment = ng.Experiment(game="disc", solver=["nash-mp", "online-ipo"], beta=[1.0, 0.1], seeds=3)
        >>> len(experiment.cells())
        12
    """

    name: str | None = None
    game: tuple[str, ...] = ("random-logits",)
    solver: tuple[str, ...] = ("nash-mp", "adaptive-nash-mp", "nash-prox", "mirror-descent", "online-ipo")
    feedback: tuple[str, ...] = (PARTS["feedback"],)
    policy: tuple[str, ...] = (PARTS["policy"],)
    optimiser: tuple[str, ...] = (PARTS["optimiser"],)
    # That of a game, `core.game.DEFAULT_BETA`, which needs more than the standard library.
    beta: tuple[float, ...] = (0.05,)
    actions: tuple[int, ...] = ()
    reference: tuple[str, ...] = ("own",)
    seed: int = 0
    seeds: int = 1
    start: str = START
    target: str = TARGET
    queries: int | None = None
    comparisons: int | None = None
    # As for `engine.settings.Settings`, for the same reason.
    tolerance: float = 1e-10
    records: int = RECORDS
    record_every: int | None = None
    dtype: str = "float64"
    device: str = "cpu"
    storage: str = AUTO
    verdict: str | None = None
    tune: Mapping[str, Any] | None = None
    also: tuple[Mapping[str, tuple[Any, ...]], ...] = ()

    def __post_init__(self) -> None:
        if self.record_every is not None and self.records != RECORDS:
            raise _two_ways_to_record()
        for field, read in READERS.items():
            given = getattr(self, field)
            if field in LISTS:
                value: Any = values_of(field, given)
            else:
                value = given if given is None and field in _OPTIONAL else read(field, given)
            object.__setattr__(self, field, value)
        object.__setattr__(self, "also", tuple(grid_of(given) for given in items_of("also", self.also)))
        tuning = len(self.tuning_seeds)
        if self.seed + self.seeds + tuning - 1 > MAX_SEED:
            beside = f" and {tuning} more to tune on" if tuning else ""
            raise NashGamesError(
                f"seed {self.seed} with seeds {self.seeds}{beside} ends above {MAX_SEED:,}, the largest seed; give "
                f"smaller ones"
            )
        # A tuned solver is reported twice, with the chosen step and with its own.
        of_seeds = 2 * self.seeds + tuning * (self.tune["trials"] + 1) if self.tune else self.seeds
        runs = of_seeds * sum(math.prod(len(grid[field]) or 1 for field in LISTS) for grid in self._grids())
        if runs > MAX_RUNS:
            raise NashGamesError(
                f"the experiment has {runs:,} runs; accepted: at most {MAX_RUNS:,}; split it or give fewer seeds"
            )

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in self._given().items())
        return f"Experiment({given})"

    def _repr_html_(self) -> str:
        facts = [(name, str(value)) for name, value in self._given().items()]
        return Panel("Experiment", facts, more="everything else has its default").html()

    def _given(self) -> dict[str, Any]:
        """The fields that differ from their defaults."""
        usual = {field.name: field.default for field in dataclasses.fields(self)}
        return {name: value for name, value in vars(self).items() if value != usual[name]}

    @classmethod
    def from_dict(cls, mapping: Mapping[str, Any], *, usual: Iterable[str] | None = None) -> Self:
        """The experiment of plain values by name.

        Args:
            mapping: values by the names of fields; `record-every` is `record_every`, None is "not given"
            usual: the default solvers, unless policies, optimisers or β = 0 need others

        Raises:
            NashGamesError: for an unknown name (with the nearest valid one) or a wrong value.

        Example:
            >>> import nashgames as ng
            >>> ng.Experiment.from_dict({"game": "disc", "beta": "0.1"}).beta
            (0.1,)
        """
        fields = [field.name for field in dataclasses.fields(cls)]
        given: dict[str, Any] = {}
        for key, value in mapping.items():
            field = str(key).replace("-", "_")
            if field in _OF_THE_COMMAND:
                option = f"--{field.replace('_', '-')}"
                raise NashGamesError(
                    f"'{key}' is no key of an experiment, but an option of the command; write {option}"
                )
            if field not in fields:
                raise unknown("experiment key", str(key), fields)
            if field in given:
                raise NashGamesError(f"'{field}' is given twice; give it once")
            given[field] = value
        given = {field: value for field, value in given.items() if value is not None}
        if {"records", "record_every"} <= given.keys():
            raise _two_ways_to_record()
        gradients = any(
            part != PARTS[key] for key in ("policy", "optimiser") for part in items_of(key, given.get(key, PARTS[key]))
        )
        zero = [real(beta) == 0 for beta in items_of("beta", given.get("beta", cls.beta))]
        if "solver" not in given and gradients:
            given["solver"] = DEFAULT_GRADIENTS
        elif "solver" not in given and any(zero):
            given["solver"] = DEFAULT_ORIGINAL if all(zero) else (*(usual or cls.solver), *DEFAULT_ORIGINAL)
        elif "solver" not in given and usual is not None:
            given["solver"] = tuple(usual)
        return cls(**given)

    def to_dict(self) -> dict[str, Any]:
        """Plain values by name, lists for tuples, without what is not set: `from_dict` gives the same experiment.

        Example:
            >>> import nashgames as ng
            >>> ng.Experiment(game="disc").to_dict()["game"]
            ['disc']
        """
        unused = "records" if self.record_every is not None else "record_every"
        values = {key: value for key, value in vars(self).items() if key not in (unused, "also") and value is not None}
        values = {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}
        values |= {"tune": dict(self.tune)} if self.tune is not None else {}
        grids = [{field: list(items) for field, items in grid.items()} for grid in self.also]
        return values | ({"also": grids} if grids else {})

    @classmethod
    def from_toml(cls, path: str | Path) -> Self:
        """The experiment in a TOML file; its keys are the fields.

        Args:
            path: the file, in UTF-8

        Raises:
            NashGamesError: naming the file, and for a mistake in the syntax the line.

        Example:
            >>> import pathlib, tempfile, nashgames as ng
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     file = pathlib.Path(folder) / "mine.toml"
            ...     _ = file.write_text(ng.Experiment(game="disc").to_toml())
            ...     ng.Experiment.from_toml(file) == ng.Experiment(game="disc")
            True
        """
        try:
            if Path(path).exists() and not Path(path).is_file() and not Path(path).is_dir():
                raise NashGamesError(f"the experiment '{path}' is not a regular file; give a TOML file")
            with Path(path).open("rb") as file:
                data = file.read(_MOST_BYTES + 1)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise NashGamesError(f"cannot read the experiment '{path}': {reason}; give a TOML file") from None
        if len(data) > _MOST_BYTES:
            raise NashGamesError(
                f"the experiment '{path}' has more than {_MOST_BYTES:,} bytes; give a smaller TOML file"
            )
        return cls._from_bytes(data, str(path))

    def to_toml(self) -> str:
        """The text of a TOML file that `from_toml` reads as the same experiment.

        Example:
            >>> import nashgames as ng
            >>> ng.Experiment(game="disc").to_toml().splitlines()[0]
            'game = ["disc"]'
        """
        return "".join(f"{key} = {_toml(value)}\n" for key, value in self.to_dict().items())

    @property
    def tuning_seeds(self) -> range:
        """The seeds on which steps are tried: those after the ones that are reported; none without `tune`."""
        if self.tune is None:
            return range(0)
        first = self.seed + self.seeds
        return range(first, first + self.tune.get("seeds", min(self.seeds, tune.MOST_SEEDS)))

    def cells(self, seeds: Iterable[int] | None = None) -> list[Cell]:
        """The runs in the order of the fields of `Cell`, the last changing fastest; a repeated one counts once.

        Args:
            seeds: seeds in place of those that are reported

        Example:
            >>> import nashgames as ng
            >>> [cell.beta for cell in ng.Experiment(solver="nash-mp", beta=[1, 0.1]).cells()]
            [1.0, 0.1]
        """
        seeds = range(self.seed, self.seed + self.seeds) if seeds is None else seeds
        products = (
            itertools.product(
                g["game"],
                g["actions"] or (None,),
                seeds,
                *(g[field] for field in ("reference", "beta", "solver", *PARTS)),
            )
            for g in self._grids()
        )
        return list(dict.fromkeys(itertools.starmap(Cell, itertools.chain.from_iterable(products))))

    def every(self, field: str) -> tuple[Any, ...]:
        """The values of a field that holds several, in the grid and in those of `also`, each once.

        Args:
            field: its name: game, solver, feedback, policy, optimiser, beta, actions or reference

        Example:
            >>> import nashgames as ng
            >>> ng.Experiment(beta=[1, 0.1], also=[{"beta": [0.1, 0.01]}]).every("beta")
            (1.0, 0.1, 0.01)
        """
        return tuple(dict.fromkeys(value for grid in self._grids() for value in grid[field]))

    def _grids(self) -> list[dict[str, tuple[Any, ...]]]:
        own = {field: getattr(self, field) for field in LISTS}
        return [own, *({**own, **grid} for grid in self.also)]

    @classmethod
    def _from_bytes(cls, data: bytes, source: str) -> Self:
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise NashGamesError(f"'{source}' is not UTF-8 text; give a TOML file") from None
        try:
            read = tomllib.loads(text, parse_float=float_of)
            if not read:
                keys = ", ".join(field.name for field in dataclasses.fields(cls)[:4])
                raise NashGamesError(f'it sets no key; give some of: {keys}, …, e.g. game = "disc"')
            fields = {field.name for field in dataclasses.fields(cls)}
            tables = [key for key, value in read.items() if isinstance(value, dict) and key not in fields]
            if tables:
                raise NashGamesError(f"it has a table [{tables[0]}]; write its keys without that heading")
            return cls.from_dict(read)
        except RecursionError:
            raise NashGamesError(f"'{source}' nests lists too deeply; give a value or a list of values a key") from None
        except tomllib.TOMLDecodeError as error:
            reason, _, place = str(error).rpartition(" (at ")
            found = re.search(r"line (\d+)", place)
            line = found.group(1) if found else len(text.splitlines())
            raise NashGamesError(f"'{source}' is not valid TOML: line {line}: {reason}; correct that line") from None
        except NashGamesError as error:
            raise NashGamesError(f"'{source}': {error}") from None
        except ValueError:
            # Python reads no integer of more than 4,300 digits, and says so by this.
            raise NashGamesError(f"'{source}' has an integer of thousands of digits; give a smaller one") from None


def exact_betas(given: Any) -> tuple[float, ...]:
    """The β of exact equilibria, each once in the order given; 0 is the original game.

    Raises NashGamesError for what is no number from 0 to `LARGEST_BETA`.
    """
    read = READERS["beta"]
    return tuple(dict.fromkeys(read("beta", item) for item in items_of("beta", given)))


def presets() -> dict[str, Traversable]:
    """The experiments that ship with the package: name → TOML file."""
    folder = resources.files("nashgames.experiments.presets")
    found = {item.name.removesuffix(".toml"): item for item in folder.iterdir() if item.name.endswith(".toml")}
    return dict(sorted(found.items()))


def load_preset(name: str) -> Experiment:
    """The experiment that ships under `name`; NashGamesError with the nearest name where there is none."""
    return Experiment._from_bytes(_preset(name).read_bytes(), f"preset {name}")


def summary(name: str) -> str:
    """The question that a preset answers: the first line of its file, a comment."""
    return _preset(name).read_text(encoding="utf-8").partition("\n")[0].removeprefix("#").strip()


def content_hash(mapping: Mapping[str, Any]) -> str:
    """12 hex digits of the SHA-256 of the mapping as JSON: keys sorted, floats in their shortest exact form."""
    text = json.dumps(dict(mapping), sort_keys=True, separators=(",", ":"), allow_nan=False, default=_plain)
    # 48 bits: short enough to be typed; for the odds see `MAX_RUNS`.
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _plain(value: Any) -> Any:
    """A NumPy scalar or a mapping of another class as something JSON has."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Real):
        return int(value) if isinstance(value, Integral) else float(value)
    raise TypeError(f"{type(value).__name__} has no place in a content hash")


def _preset(name: str) -> Traversable:
    found = presets()
    if name not in found:
        raise unknown("preset", name, found)
    return found[name]


def _two_ways_to_record() -> NashGamesError:
    return NashGamesError("records and record_every are both given; give one of them")


def _toml(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, dict):
        keys = {key: key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _toml(key) for key in value}
        return f"{{{', '.join(f'{keys[key]} = {_toml(item)}' for key, item in value.items())}}}"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return repr(value)
