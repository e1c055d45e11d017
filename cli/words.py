"""Numbers and names as a person reads them; no table, no colour."""

import json
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from nashgames.defaults import ENDLESS, PARTS, RUN
from nashgames.errors import printable

if TYPE_CHECKING:
    from nashgames.experiments.experiment import Experiment
    from nashgames.games.properties import Facts

DASH = "–"
# Half of a line of the narrowest terminal that shows tables: names of models and decks have fewer letters.
_LONGEST_LABEL = 40


def label(name: str) -> str:
    """The name of an action as a table shows it: on one line, printable, and not longer than half of that.

    >>> label("deck\\n1")
    'deck 1'
    """
    text = printable(" ".join(name.split()))
    return text if len(text) <= _LONGEST_LABEL else f"{text[: _LONGEST_LABEL - 1]}…"


def count(value: int | float | None) -> str:
    """A whole number with its digits in groups of three, or a dash where there is none.

    >>> count(1912), count(None)
    ('1,912', '–')
    """
    if value is None or not math.isfinite(value):
        return DASH
    return f"{round(value):,}"


def small(value: float | None) -> str:
    """A distance to two digits, ∞ where a policy never plays what it should, or a dash where it was not measured.

    >>> small(8.14e-11), small(float("inf")), small(float("nan"))
    ('8.1e-11', '∞', '–')
    """
    if value is None or not math.isfinite(value):
        return "∞" if value == math.inf else DASH
    return "0" if value == 0 else f"{value:.1e}"


def quantile(value: float) -> str:
    """A quantile of a distance over seeds, which may be one that diverged."""
    return "diverged" if value == math.inf else small(value)


def estimate(value: float | None, error: float | None) -> str:
    """An estimate and its standard error, to the second digit of that.

    >>> estimate(0.56201, 0.0050012), estimate(-6.5e-8, 2.8e-9), estimate(1.0, 0.0), estimate(None, None)
    ('0.5620 ± 0.0050', '-6.5e-08 ± 2.8e-09', '1 ± 0', '–')
    """
    if value is None or error is None or not (math.isfinite(value) and math.isfinite(error)):
        return DASH
    if error == 0:
        return f"{value:g} ± 0"
    digits = 1 - math.floor(math.log10(error))
    # More places than are read at a glance.
    return f"{value:.1e} ± {error:.1e}" if digits > 6 else f"{value:.{max(digits, 0)}f} ± {error:.{max(digits, 0)}f}"


def share(value: float) -> str:
    """A share as a percentage: `0.237` → `24 %`; what is not nothing is not shown as 0 %."""
    percent = 100 * value
    if 0 < percent < 0.95:
        return "< 1 %"
    return f"{min(percent, 99):.0f} %" if percent < 100 else "100 %"


def between(low: float, value: float, high: float) -> str:
    """A share in the interval that it is known to, as percentages with the digits that the interval leaves it.

    >>> between(0.8478, 0.87, 0.8894), between(0.9944, 0.999, 0.9998)
    ('87 % [85, 89]', '99.9 % [99.4, 100]')
    """
    # Four steps of the last digit to the interval: then 1 in n is neither shown as 0 nor n − 1 in n as all.
    digits = max(0, math.ceil(math.log10(0.04 / (high - low)))) if high > low else 0
    texts = [f"{100 * share:.{digits}f}" for share in (value, low, high)]
    share, least, most = (text.rstrip("0").rstrip(".") if digits else text for text in texts)
    return f"{share} % [{least}, {most}]"


def number(value: float) -> str:
    """A parameter in at most four digits: `0.1`, `2.096`, `40`."""
    return f"{value:.4g}"


def optional(value: float | None) -> str:
    """A parameter in at most four digits, or a dash where there is none."""
    return DASH if value is None else number(value)


def series(values: Iterable[Any]) -> str:
    """Distinct numbers in the order given, long lists by their ends: `1, 0.1, 0.01` or `1 … 0.001`."""
    distinct = list(dict.fromkeys(values))
    texts = [count(value) if isinstance(value, int) else number(value) for value in distinct]
    return ", ".join(texts) if len(texts) <= 4 else f"{texts[0]} … {texts[-1]}"


def duration(seconds: float) -> str:
    """Time as one looks at a clock: `12 s`, `3 min 05 s`, `2 h 10 min`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def elapsed(seconds: float) -> str:
    """A time that was measured, to two digits below ten seconds: `12 ms`, `3.4 s`, `1 min 05 s`."""
    if seconds < 0.9995:
        return f"{1000 * seconds:.0f} ms" if seconds >= 0.00095 else "< 1 ms"
    return f"{seconds:.1f} s" if seconds < 9.95 else duration(seconds)


def plural(number_of: int, noun: str) -> str:
    return f"{count(number_of)} {noun}" if number_of == 1 else f"{count(number_of)} {noun}s"


def step(row: Mapping[str, Any]) -> str:
    """The step of a run and where it comes from: `η = 0.1 = 2β, theory`; `η = 0.4 = 8β, 5 inner, curvature`."""
    numbers = json.loads(row["hyperparameters"])
    parts = []
    for name, value in numbers.items():
        if value in (None, ENDLESS) or (name == "kappa" and value == 1):
            continue
        if name == "inner":
            parts.append(f"{value} inner")
        elif isinstance(value, str):
            parts.append(f"{name} {value}")
        elif symbol := _symbols().get(name):
            related = symbol if symbol.endswith("≥") else f"{symbol} ="
            # The defaults of η: those of theory, and of Nash Prox with steps that follow the curvature.
            multiple = next((k for k in (2, 8) if math.isclose(value, k * row["beta"], rel_tol=1e-6)), None)
            told = f" = {multiple}β" if symbol.startswith("η") and multiple else ""
            parts.append(f"{related} {number(value)}{told}")
        else:
            parts.append(f"{name} {number(value)}")
    return ", ".join([*parts, str(row["step_source"])])


@cache
def _symbols() -> dict[str, str]:
    """The symbols of the parameters of our solvers: of a name that several have, the one that they agree on."""
    from nashgames.solvers import SOLVERS

    declared: dict[str, set[str | None]] = {}
    for solver in SOLVERS.values():
        for name, parameter in SOLVERS.parameters(solver).items():
            declared.setdefault(name, set()).add(parameter.symbol)
    agreed = {name: next(iter(symbols)) for name, symbols in declared.items() if len(symbols) == 1}
    return {name: symbol for name, symbol in agreed.items() if symbol is not None}


def facts(found: "Facts") -> str:
    """The facts of a game in one line."""
    winner = found.condorcet_winner_label
    first = f"Condorcet winner {label(winner)}" if winner is not None else "no Condorcet winner"
    about = "about " if found.cyclic_triples_sampled else ""
    return (
        f"{first} · {about}{share(found.cyclic_triples)} of triples are cycles · "
        f"Hodge decomposition {'about ' if found.energies_sampled else ''}{share(found.cyclic_energy)} cyclic"
    )


def _tried(seeds: Sequence[int], tried: Collection[int]) -> str:
    """On which of the `seeds` for it steps are tried, and whether on what is reported."""
    apart = [seed for seed in seeds if seed in tried]
    places = [f"seeds {apart[0]}–{apart[-1]}"] if len(apart) > 1 else [f"seed {seed}" for seed in apart]
    return " and ".join([*places, *(["what is reported"] if set(tried) - set(seeds) else [])])


def header(
    experiment: "Experiment",
    actions: int | None = None,
    reference: str | None = None,
    betas: Iterable[float] | None = None,
    tried: Collection[int] | None = None,
) -> str:
    """The experiment in one line; `actions` and `reference` are those of its game where there is only one.

    `betas` stand in for those of the experiment, where one of them may be 0; `tried` are the seeds on which steps are
    tuned, a reported one where a game has no other.
    """
    seeds = f"seed {experiment.seed}"
    if experiment.seeds > 1:
        seeds = f"seeds {experiment.seed}–{experiment.seed + experiment.seeds - 1}"
    # None are tried where every step is given.
    if experiment.tune is not None and (tried is None or tried):
        seeds += f" · tuned on {_tried(experiment.tuning_seeds, experiment.tuning_seeds if tried is None else tried)}"
    sizes = [actions] if actions is not None else list(experiment.every("actions"))
    games = list(experiment.every("game"))
    references = list(experiment.every("reference")) if reference is None else [reference]
    return " · ".join(
        [
            games[0] if len(games) == 1 else plural(len(games), "game"),
            *([f"{series(sorted(sizes))} actions"] if sizes else []),
            f"β {series(experiment.every('beta') if betas is None else betas)}",
            *_references(references, len(games)),
            *_parts(experiment),
            seeds,
            f"{experiment.dtype} on {experiment.device}",
        ]
    )


def _parts(experiment: "Experiment") -> list[str]:
    """Feedback, policy, optimiser, start and target, where they are not the defaults."""
    found = [", ".join(experiment.every(part)) for part, usual in PARTS.items() if experiment.every(part) != (usual,)]
    if experiment.start != RUN["start"]:
        found.append(f"from {experiment.start}")
    return found if experiment.target == RUN["target"] else [*found, f"{experiment.target} game"]


def _references(references: list[str], games: int) -> list[str]:
    if references == ["own"] and games > 1:
        return []
    return [f"{references[0]} reference" if len(references) == 1 else f"references {', '.join(references)}"]
