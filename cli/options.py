"""What the options of the commands accept, and how they become the values of an experiment."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from nashgames.core.metrics import METRICS, every
from nashgames.defaults import AUTO, STORAGES
from nashgames.errors import NashGamesError, NoRoom, UnknownName, wrong_word
from nashgames.registry import split

if TYPE_CHECKING:
    from nashgames.experiments.playing import Conditions
    from nashgames.experiments.workers import Crew
    from nashgames.store import Results

ACCEPTED = {
    "game": "a family, a shipped game, a path or FILE.py:NAME, e.g. disc[strength=2], castles, wins.csv",
    "solver": "a solver or FILE.py:NAME, with or without parameters, e.g. nash-mp, nash-prox[inner=40], "
    "average[nash-mp]",
    "feedback": "exact, or duels[batch=100], with label=probability, noise, temperature",
    "policy": "tabular, log-linear[dimension=8], mlp[depth=3,width=10]",
    "optimiser": "sgd, natural or adam, with clip, schedule=cosine, horizon, average",
    "start": "reference, or equilibrium[distance=0.001]",
    "target": "regularised (stop by suboptimality), or original (stop by exploitability, the game at β = 0)",
    "beta": "a number of at least 0 (0: the original game), e.g. 0.05",
    "actions": "an integer of at least 2, e.g. 100",
    "reference": "uniform, random[scale=1], tilted[span=2], or a path to a table of probabilities",
    "seed": "an integer of at least 0, e.g. 0",
    "seeds": "an integer of at least 1, e.g. 20",
    "queries": "an integer of at least 1, e.g. 5000",
    "comparisons": "an integer of at least 1, e.g. 1000000",
    "tolerance": "a number of at least 0 (0: never stop) and below 0.5, e.g. 1e-10",
    "records": "an integer of at least 1, e.g. 200",
    "timeout": "a number of seconds above 0, e.g. 3600",
    "workers": "an integer of at least 1, e.g. 4",
    "scheduler": "the address of a Dask scheduler, e.g. tcp://127.0.0.1:8786",
    "retries": "an integer of at least 0, e.g. 2",
    "tune": "auto, a range parameter=low:high:count or solver.parameter=low:high:count, e.g. step=1e-3:10:8, trials=N, "
    "seeds=N",
    "record_every": "an integer of at least 1, e.g. 10",
    "dtype": "float64, float32",
    "device": "cpu, gpu",
    "storage": ", ".join((AUTO, *STORAGES)),
    "out": "a directory, e.g. results/runs/mine",
    "page": "a file that ends in .html, e.g. results/report.html",
    "format": "png, svg, pdf",
    "width": "column (3.25 inches), text (5.5), page (6.75)",
    "font": "the size of the type in points, 8 unless given",
    "x": "queries, comparisons, steps",
    "x_scale": "linear, log",
    "epsilon": "a number above 0, at least the tolerance of the runs, which is the default, e.g. 1e-6",
    "against": "n, beta, or any numeric setting of a run, also a parameter of its game or solver, e.g. strength, eta",
    "sort": "columns of runs, with a leading minus in descending order, e.g. beta,-suboptimality",
    "limit": "an integer of at least 1, e.g. 20",
    "facet": "columns of runs that say what was played, e.g. game, n, beta, solver, seed",
    "where": "a condition on columns of runs, with and, or, not, in, + - * /, e.g. "
    "\"beta < 0.1 and solver == 'nash-mp'\"",
    "y": ", ".join(every()),
    "export format": "csv, wide, latex, tensorboard, mlflow",
    "export out": "a file, e.g. runs.csv, for tensorboard a new folder, for mlflow its tracking URI",
    "export y": "queries_to_tolerance, " + ", ".join(name for name, metric in METRICS.items() if metric.distance),
    "check_with": "gambit, highs, mpax, with parameters as highs[method=ipm]",
    "replay": "all, a number of runs such as 10 (0: none), or a share such as 5%, the default",
    "code": "a Python file that defines games or solvers of the directory, e.g. mine.py",
}
"""The accepted form of every option that takes a value, as the help and the errors say it."""

_Kind = TypeVar("_Kind", int, float)

EXACT_BETAS = "numbers of at least 0 (0: the original game), e.g. 1,0.1,0.01,0"

SHORT = {"-g": "game", "-s": "solver", "-n": "actions", "--optimizer": "optimiser"}

_SEVERAL = ("game", "solver", "beta", "actions", "reference", "feedback", "policy", "optimiser", "tune")
_DRAWN = ("width", "font", "x", "x_scale", "epsilon", "against", "facet", "where", "sort", "limit")
_ONE = (
    "seed",
    "seeds",
    "start",
    "target",
    "queries",
    "comparisons",
    "tolerance",
    "records",
    "record_every",
    "dtype",
    "device",
    "storage",
)


def flag(key: str) -> str:
    """The option's name on the command line: `record_every` → `--record-every`."""
    return f"--{key.replace('_', '-')}"


def chosen(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options that were given, as an Experiment takes them: text, or a list of texts where several are possible."""
    values: dict[str, Any] = {key: listed(key, given[key]) for key in _SEVERAL if given.get(key)}
    return values | {key: given[key] for key in _ONE if given.get(key) is not None}


def conditions(given: Mapping[str, Any]) -> "Conditions":
    """What is done about runs that do not end well, from --timeout and --retries."""
    from nashgames.experiments.playing import Conditions

    timeout, retries = given["timeout"], given["retries"]
    return Conditions(
        timeout=None if timeout is None else _number("timeout", timeout, float, above=0),
        retries=0 if retries is None else _number("retries", retries, int, above=-1),
    )


def crew(given: Mapping[str, Any]) -> "Crew | None":
    """Who plays, from --workers and --scheduler; None for this process."""
    workers, scheduler = given["workers"], given["scheduler"]
    if workers is None and scheduler is None:
        return None
    if workers is not None and scheduler is not None:
        raise NashGamesError(
            f"--workers and --scheduler are both given ({workers} and {scheduler}), but a scheduler has workers of its "
            f"own; give one of them"
        )
    if scheduler is not None and not re.fullmatch(r"(\w+://)?\S+:\d+", scheduler):
        raise NashGamesError(f"--scheduler is '{scheduler}'; accepted: {ACCEPTED['scheduler']}")
    from nashgames.experiments.workers import Crew

    return Crew(None if workers is None else _number("workers", workers, int, above=0), scheduler)


def _number(key: str, text: str, kind: type[_Kind], above: float) -> _Kind:
    """The finite number above a limit that an option was given."""
    try:
        value = kind(text if text.isascii() else above)
    except ValueError:
        value = kind(above)
    # NaN is above nothing.
    if not above < value < math.inf:
        raise NashGamesError(f"{flag(key)} is '{text}'; accepted: {ACCEPTED[key]}")
    return value


def listed(key: str, texts: Sequence[str], accepted: str | None = None) -> list[str]:
    """The values of an option that may be repeated and whose values split at commas outside brackets."""
    parts = [part for text in texts for part in split(text)]
    if not parts:
        raise NashGamesError(f"{flag(key)} is empty; accepted: {accepted or ACCEPTED[key]}")
    return parts


def by_flag(sentence: str, keys: Iterable[str]) -> str:
    """A complaint about one of `keys` in the words of the command line: `beta is '0'` → `--beta is '0'`."""
    name = f"({'|'.join(sorted(keys, key=len, reverse=True))})"
    pattern = rf"^(unknown )?{name}(?: and {name})?\b"
    return re.sub(pattern, lambda m: (m[1] or "") + " and ".join(flag(key) for key in m.groups()[1:] if key), sentence)


@contextmanager
def in_flags(given: Mapping[str, Any]) -> Iterator[None]:
    """Inside, errors about what was given on the command line name it as it was written there."""
    try:
        yield
    except UnknownName as error:
        from nashgames.cli.hints import elsewhere

        if told := elsewhere(error.kind, error.given):
            raise NashGamesError(told) from None
        raise NashGamesError(_named(str(error), given)) from None
    except NoRoom:
        raise
    except NashGamesError as error:
        raise NashGamesError(_named(str(error), given)) from None


def _named(sentence: str, given: Mapping[str, Any]) -> str:
    """A complaint in the words of what was `given` on the command line."""
    keys = [key for key in (*_SEVERAL, *_ONE, *_DRAWN, "code", "replay") if given.get(key) not in (None, [])]
    # The game of `run` is an argument and has no option to be named by.
    if isinstance(given.get("game"), str):
        keys.remove("game")
        sentence = re.sub("^--game(?= is empty)", "GAME", sentence)
    return by_flag(sentence, keys) if keys else sentence


def one_each(values: Mapping[str, Any], command: str = "run") -> None:
    """Raise NashGamesError where `run` or `equilibrium` was given several values, naming what to do instead."""
    for key in ("game", "beta", "actions", "reference"):
        if len(values.get(key, ())) > 1:
            several = ",".join(str(value) for value in values[key])
            name = flag(key) if key != "game" else "GAME"
            given = f"{name} has {len(values[key])} values ({several})"
            if re.fullmatch(r"[1-9]\d{0,2}(,\d{3})+", several):
                raise NashGamesError(f"{given}; if it is one number, write {several.replace(',', '')}")
            if command != "run":
                raise NashGamesError(f"{given} and {command} takes one; start it once for each")
            raise NashGamesError(f"{given} and run plays one; several are for: nashgames sweep {flag(key)} {several}")


def among(key: str, values: Sequence[str]) -> None:
    """Raise NashGamesError unless every value of an option is one of the names it accepts."""
    names = ACCEPTED[key].split(", ")
    for value in values:
        if value not in names:
            raise wrong_word(flag(key), value, names)


def places(results: Sequence["Results"]) -> str:
    """The directories in a sentence."""
    return " and ".join(f"'{one.directory}'" for one in results)


def output_directory(text: str | None) -> Path | None:
    """The path behind --out; NashGamesError where it is empty, a file, or a link to nothing."""
    if text is None:
        return None
    path = Path(text)
    dangling = path.is_symlink() and not path.exists()
    if not text.strip() or path.is_file() or dangling:
        what = "a link to what is not there" if dangling else "a file"
        why = "is empty" if not text.strip() else f"is '{text}', {what}"
        raise NashGamesError(f"--out {why}; accepted: {ACCEPTED['out']}")
    return path
