"""The commands that compute no run: `list`, `show`."""

import json as json_text
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nashgames.cli import options, words
from nashgames.cli.summary import Sheet, plain
from nashgames.errors import NashGamesError, unknown

if TYPE_CHECKING:
    from nashgames.core.game import Game
    from nashgames.games.properties import Facts
    from nashgames.registry import Parameter

LISTS = ("games", "solvers", "references", "feedback", "policies", "optimisers", "presets")
_PARTS = {
    "feedback": ("nashgames.learning.feedback", "FEEDBACKS"),
    "policies": ("nashgames.learning.policies", "POLICIES"),
    "optimisers": ("nashgames.learning.optimisers", "OPTIMISERS"),
}
_ONE_OF = {"feedback": "feedback", "policies": "policy"}
"""What one entry of a list is called where that is not the list's name without its s."""

_FIGURES = Path("results/games")
_OF_EVERY_FAMILY = ("contexts", "weights", "seed")
_EVERY_FAMILY = (
    "Families that draw at random also take contexts = 1, weights = uniform (or drawn) and seed (the run's)."
)


def catalogue(what: str | None, *, json: bool) -> None:
    """List what can be named, one kind or all of them."""
    from nashgames.cli.display import Screen
    from nashgames.cli.streams import emit

    if what is not None and what not in LISTS:
        raise unknown("list", what, LISTS)
    wanted = LISTS if what is None else (what,)
    entries = {kind: _entries(kind) for kind in wanted}
    if json:
        emit(json_text.dumps(entries, allow_nan=False))
        return
    screen = Screen()
    for position, (kind, found) in enumerate(entries.items()):
        if position:
            screen.line()
        rows = tuple((entry["name"], _described(entry, in_full=what is not None)) for entry in found)
        heading = _ONE_OF.get(kind, kind.removesuffix("s"))
        screen.sheet(Sheet((heading, ""), frozenset({heading, ""}), rows))
        if kind == "games":
            screen.line(f" {_EVERY_FAMILY}", style="dim")


def show(
    selection: str,
    actions: str | None,
    seed: str | None,
    formats: list[str] | None,
    out: str | None,
    *,
    json: bool,
    quiet: bool,
    plot: bool,
) -> None:
    """Say what a game is like and draw its preferences."""
    from nashgames.cli import backend
    from nashgames.cli.display import Screen
    from nashgames.cli.plot import draw_game, formats_of
    from nashgames.cli.streams import emit

    chosen, folder = formats_of(formats), options.output_directory(out) or _FIGURES
    screen = Screen(quiet=quiet, data=json)
    backend.start("cpu")
    game = _load(selection, actions, seed)
    from nashgames.games.properties import facts

    found = facts(game)
    screen.line(f"{selection} · {words.count(found.actions)} actions", style="bold")
    screen.pairs(_facts_lines(found, game))
    written = draw_game(game, found.ratings, folder, chosen) if plot else []
    if json:
        emit(json_text.dumps(_facts_data(selection, found, game, written), allow_nan=False))
    elif quiet:
        emit(str(folder))
    again = [("-n", actions), ("--seed", seed)]
    play = " ".join(["nashgames run", shlex.quote(selection), *(f"{flag} {value}" for flag, value in again if value)])
    screen.line()
    screen.pairs([*(("figure", str(path)) for path in written), ("play", play)])


def _load(selection: str, actions: str | None, seed: str | None) -> "Game":
    from nashgames.cli.play import run_experiment
    from nashgames.core.game import DEFAULT_BETA
    from nashgames.experiments.plan import find_source

    checked = run_experiment(selection, {"actions": None if actions is None else [actions], "seed": seed})
    source = find_source(selection)
    size = checked.actions[0] if checked.actions else None
    if size is not None and source.default_actions is None:
        raise NashGamesError(f"--actions is {size}, but {selection} has a size of its own; leave it out")
    return source.make(size, checked.seed, DEFAULT_BETA, "float64")


def _facts_lines(facts: "Facts", game: "Game") -> list[tuple[str, str]]:
    rank = f"{'at least ' if facts.rank_is_lower_bound else ''}{words.count(facts.rank)}"
    about = "about " if facts.cyclic_triples_sampled else ""
    lines = [
        ("Condorcet winner", facts.condorcet_winner_label or "none"),
        ("cyclic triples", about + words.share(facts.cyclic_triples)),
        ("cyclic share of the energy", words.share(facts.cyclic_energy)),
        ("transitive share of the energy", words.share(facts.transitive_energy)),
        ("rank", rank),
        ("largest margin", words.number(facts.max_margin)),
    ]
    if facts.contexts > 1:
        lines.insert(0, ("contexts", words.count(facts.contexts)))
    if game.description.labels:
        best = sorted(range(facts.actions), key=lambda i: -facts.ratings[i])[:3]
        lines.append(("highest mean margins", ", ".join(game.description.labels[i] for i in best)))
    return [*lines, *(("note", note) for note in game.description.notes)]


def _facts_data(selection: str, facts: "Facts", game: "Game", written: list[Path]) -> dict[str, Any]:
    values = {key: plain(value) for key, value in vars(facts).items() if key != "ratings"}
    labels = game.description.labels
    return {
        "game": selection,
        **values,
        "ratings": [float(rating) for rating in facts.ratings],
        "labels": None if labels is None else list(labels),
        "notes": list(game.description.notes),
        "figures": [str(path) for path in written],
    }


def _entries(kind: str) -> list[dict[str, Any]]:
    if kind == "presets":
        from nashgames.experiments.experiment import presets, summary

        return [{"name": name, "summary": summary(name)} for name in presets()]
    if kind == "solvers":
        from nashgames.registry import parameters_of
        from nashgames.solvers import SOLVERS, Average, Halves

        entries = [_entry(name, solver.__doc__ or "", parameters_of(solver)) for name, solver in SOLVERS.items()]
        wrappers = {"average[SOLVER]": Average, "halves[nash-mp]": Halves}
        return [*entries, *(_entry(name, wrapper.__doc__ or "", {}) for name, wrapper in wrappers.items())]
    if kind in _PARTS:
        from importlib import import_module

        from nashgames.registry import parameters_of

        module, registry = _PARTS[kind]
        parts = getattr(import_module(module), registry)
        return [_entry(name, part.__doc__ or "", parameters_of(part)) for name, part in parts.items()]
    from nashgames.games.families import FAMILIES
    from nashgames.games.references import REFERENCES
    from nashgames.games.tables import PARAMETERS, TABLES

    if kind == "references":
        named = [_entry(name, reference.summary, reference.parameters) for name, reference in REFERENCES.items()]
        return [*named, _entry("PATH", "A table with the columns probability and label or action.", {})]
    families = [_entry(name, family.summary, family.parameters) for name, family in FAMILIES.items()]
    tables = [_entry(name, table.summary, table.parameters) for name, table in TABLES.items()]
    own = _entry("PATH", "A square matrix or a table of wins or scores: CSV, Parquet, NPY.", PARAMETERS)
    return [*families, *tables, own]


def _entry(name: str, text: str, parameters: "Mapping[str, Parameter]") -> dict[str, Any]:
    first = text.strip().partition("\n")[0].rstrip(":;,. ")
    return {
        "name": name,
        "summary": f"{first}.",
        "parameters": [
            {"name": p.name, "kind": p.kind.__name__, "default": plain(p.default), "help": p.help}
            for p in parameters.values()
        ],
    }


def _described(entry: Mapping[str, Any], *, in_full: bool) -> str:
    """The summary of an entry and, in full, a line for each of its parameters."""
    lines = [entry["summary"]]
    for parameter in entry.get("parameters", ()) if in_full else ():
        if parameter["name"] not in _OF_EVERY_FAMILY:
            default = "" if parameter["default"] is None else f" = {_default(parameter['default'])}"
            lines.append(f"  {parameter['name']}{default}: {parameter['help']}")
    return "\n".join(lines)


def _default(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return words.number(value) if isinstance(value, float) else str(value)
