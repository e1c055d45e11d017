"""Plain data → one HTML file: template, style sheet and script, with the numbers and the plotting library inside."""

import base64
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import pandas as pd

from nashgames.analysis.outcomes import on_samples
from nashgames.core.metrics import every
from nashgames.defaults import REFEREE
from nashgames.disk import replace
from nashgames.errors import NashGamesError, printable
from nashgames.plots.distances import usual
from nashgames.plots.panels import several
from nashgames.reporting.compare import COMPARED, PLAYED, differences
from nashgames.reporting.curves import AXES, KEYS, curves_of
from nashgames.reporting.gather import Say, Shown, gather, summary_of
from nashgames.store.files import cannot_write

NAME = "report.html"
"""The file in a results directory."""

# Rows of a table in the page: a reader filters some thousands, and each is a hundred bytes.
MOST_ROWS = 5000
_DIGITS = 6
"""Significant digits of the numbers of tables: more than are shown, and half of the bytes of all."""

# fmt: off
_HEADINGS = {
    **KEYS, "label": "solver", "policy": "policy", "optimiser": "optimiser", "seed": "seed", "dtype": "precision",
    "device": "device", "step_source": "step from", "queries_to_tolerance": "queries to tolerance", "run_id": "run",
    "solve_seconds": "seconds of the batch", "tolerance": "tolerance", "median": "median end",
    "q90": "90 % of seeds below", "cost": "median cost to tolerance", "share": "share at tolerance",
    "low": "from", "high": "to", "reached": "at tolerance", "reason": "reason", **AXES,
    **{name: metric.label for name, metric in every().items()},
}
_CELL = (*KEYS, "optimiser", "dtype", "device")
_OF_RUNS = ("step_source", "queries_to_tolerance", "queries", "comparisons", "suboptimality", "kl_to_equilibrium",
            "status", "reason", "run_id")
_OF_SUMMARY = ("seeds", "cost", "median", "q90", "reached", "share", "low", "high", "diverged")
# fmt: on
_NO_ANSWER = ("diverged", "inexact")
"""The statuses of runs that gave no answer."""


@dataclass(frozen=True)
class Written:
    """A page: where it is, what it holds, and how large it is in bytes."""

    path: Path
    directories: tuple[str, ...]
    runs: int
    size: int


def write(directories: Sequence[str | Path], out: str | Path | None = None, say: Say = lambda _: None) -> Written:
    """Make the page of one results directory, or of several side by side, and put it at `out` in one step.

    It is `report.html` in the first directory unless given. Raises NashGamesError for a directory without results, one
    given twice, a place that cannot be written, and without the extra `report`.
    """
    scripts = _library()
    places = [Path(directory) for directory in directories]
    if len({place.resolve() for place in places}) < len(places):
        raise NashGamesError("a directory is given twice; give each once")
    shown = [gather(place, name, say) for place, name in zip(places, _names(places), strict=True)]
    say("making the page")
    data = html_of(shown, scripts).encode()
    path = places[0] / NAME if out is None else Path(out)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace(path, data)
    except OSError as error:
        raise cannot_write(path, error) from error
    return Written(path, tuple(each.name for each in shown), sum(len(each.runs) for each in shown), len(data))


def _library() -> list[str]:
    """The scripts of the plotting library; NashGamesError where it is not installed."""
    try:
        import jinja2  # noqa: F401
        from bokeh.resources import Resources
    except ImportError:
        raise NashGamesError(
            "a report needs the extra 'report', which is not installed; run: pip install 'nashgames[report]'"
        ) from None
    return list(Resources(mode="inline", minified=True, components=["bokeh", "bokeh-api"]).js_raw)


def _names(places: Sequence[Path]) -> list[str]:
    """A short name for every directory: its last part, or where two share it, the path."""
    last = [place.resolve().name for place in places]
    return [name if last.count(name) == 1 else str(place) for name, place in zip(last, places, strict=True)]


def html_of(shown: Sequence[Shown], scripts: Sequence[str]) -> str:
    """The page of directories, with the `scripts` of the plotting library inside."""
    import jinja2

    # Tables without rows have no types to agree on.
    full = [each for each in shown if len(each.runs)] or shown[:1]
    runs = pd.concat([each.runs for each in full], ignore_index=True)
    curves = pd.concat([each.curves for each in full], ignore_index=True)
    played = runs[runs["solver"] != REFEREE]
    data: dict[str, Any] = {
        "curves": curves_of(played, curves) if len(played) else None,
        "runs": _table(runs, (*_CELL, "label", "seed"), _OF_RUNS, ("n", "beta", "label", "seed")),
        "summary": _table(summary_of(shown), (*_CELL, "label"), _OF_SUMMARY, ("n", "beta", "label")),
        "profiles": [{"directory": each.name, **found} for each in shown for found in each.told.get("profiles", ())],
        "metric": usual(played),
        "axis": "comparisons" if on_samples(played).all() else "queries",
    }
    inside = [_as_script(script) for script in (*scripts, _file("page.js"))]
    ended = runs[runs["status"].isin(_NO_ANSWER)]
    # Tables without rows have no types to agree on.
    told = [each for each in (*(one.failures for one in shown), ended) if len(each)] or [ended]
    failed = pd.concat(told, ignore_index=True).head(MOST_ROWS)
    failed = failed.astype(object).where(failed.notna(), None)
    statuses = pd.concat([runs["status"], *(each.failures["status"] for each in shown)])
    compared = [
        {
            "a": shown[0].name,
            "b": each.name,
            "rows": [_of_difference(row) for row in differences(shown[0].runs, each.runs)],
        }
        for each in shown[1:]
    ]
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= {"data_uri": _data_uri, "number": _number}
    return environment.from_string(_file("template.html")).render(
        title=" and ".join(each.name for each in shown),
        directories=[each.told for each in shown],
        missing={each.name: each.missing for each in shown},
        runs=len(runs),
        statuses={str(key): int(count) for key, count in statuses.value_counts().items()},
        failures=[_of_failure(row) for row in failed.to_dict("records")],
        compared=compared,
        headings=_HEADINGS,
        style=_file("style.css"),
        scripts=inside,
        allowed=" ".join(map(_fingerprint, inside)),
        data=_as_json(data),
    )


def _file(name: str) -> str:
    return (resources.files("nashgames.reporting") / name).read_text("utf-8")


def _as_script(text: str) -> str:
    """A script of ours or of the library that stays inside its <script>: in its strings `<` has another form."""
    return text.replace("</script", "\\x3c/script").replace("<!--", "\\x3c!--")


def _fingerprint(script: str) -> str:
    """What the page's policy calls a script that may run: no other does, whatever a label held."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _as_json(data: Any) -> str:
    """Data as strict JSON that stays inside its <script>, whatever labels it holds."""
    text = json.dumps(_plain(data), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _data_uri(data: bytes) -> str:
    """A picture as the address of an <img>, in which no script runs."""
    return f"data:image/svg+xml;base64,{base64.b64encode(data).decode()}"


def _number(value: Any) -> str:
    """A number of a table that is written here: four digits, ∞, or a dash."""
    if value is None or value != value:
        return "–"
    if isinstance(value, str):
        return value
    return "∞" if value == math.inf else f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def _table(frame: pd.DataFrame, first: Sequence[str], then: Sequence[str], always: Sequence[str]) -> dict[str, Any]:
    """Columns and rows: of `first` those that vary or are in `always`, of `then` those with a value."""
    shown = [name for name in first if name in frame and (name in always or several(frame[name]))]
    shown += [name for name in then if name in frame and frame[name].notna().any()]
    cut = frame[shown].head(MOST_ROWS)
    return {
        "columns": [
            {"name": name, "heading": _HEADINGS.get(name, name), "text": not pd.api.types.is_numeric_dtype(cut[name])}
            for name in shown
        ],
        "rows": cut.astype(object).where(cut.notna(), None).to_numpy().tolist(),
        "total": len(frame),
    }


def _of_failure(row: Mapping[Any, Any]) -> dict[str, Any]:
    """A run that gave no answer: what it was, how it ended, and why."""
    reason = row.get("reason")
    if not isinstance(reason, str) or not reason:
        step = row.get("diverged_step")
        reason = {
            "diverged": f"numbers stopped being finite at step {step}" if step is not None and step == step else "",
            "inexact": f"the equilibrium has a residual of {row.get('equilibrium_residual', math.nan):.2g}",
        }.get(str(row["status"]), "")
    cell = {name: row[name] for name in ("directory", "game", "n", "beta", "label", "seed", "status", "run_id")}
    return cell | {"reason": reason}


def _of_difference(row: Mapping[str, Any]) -> dict[str, Any]:
    cell = {name: row["played"][name] for name in PLAYED}
    values = [{name: (row[side] or {}).get(name) for name in COMPARED} for side in ("a", "b")]
    return {"kind": row["kind"], "played": cell, "a": values[0], "b": values[1], "differs": row["kind"].split(", ")}


def _plain(value: Any) -> Any:
    """Plain data as strict JSON has it: six digits, infinities as text, no NaN, no text that acts on a terminal."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, float):
        if math.isinf(value):
            return "∞" if value > 0 else "−∞"
        return None if value != value else float(f"{value:.{_DIGITS}g}")
    if value is None or isinstance(value, bool | int):
        return value
    return None if value is pd.NA else printable(str(value))
