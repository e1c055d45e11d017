"""`nashgames show`: the facts of a game and its preferences as a heat map; or what any other name means."""

import json as json_text
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nashgames.cli import item, options, words
from nashgames.cli.plot import draw_game, formats_of
from nashgames.cli.sheet import plain
from nashgames.errors import NashGamesError
from nashgames.plugins import is_file_name

if TYPE_CHECKING:
    from nashgames.cli.display import Screen
    from nashgames.core.game import Game
    from nashgames.games.properties import Facts

_FIGURES = Path("results/games")


def show(
    selection: str,
    actions: str | None,
    seed: str | None,
    reference: str | None,
    formats: list[str] | None,
    out: str | None,
    *,
    json: bool,
    quiet: bool,
    plot: bool,
) -> None:
    """Print the facts of a game and draw its preferences, or explain another name."""
    from nashgames.cli import backend
    from nashgames.cli.display import Screen
    from nashgames.cli.streams import emit

    name = selection.partition("[")[0].strip()
    if (is_file_name(name) or not _is_game(selection)) and (found := item.find(name)):
        given = {"actions": actions, "seed": seed, "reference": reference, "format": formats, "out": out}
        _check_of_games(given, name, found[0][0])
        for called, _ in found:
            item.check_parameters(selection, called)
        item.show(name, found, json=json, quiet=quiet)
        return
    if name and not _is_game(selection) and not is_file_name(selection):
        item.check(name)
    chosen, folder = formats_of(formats), options.output_directory(out) or _FIGURES
    screen = Screen(quiet=quiet, data=json)
    backend.start("cpu")
    game = _load(selection, actions, seed)
    from nashgames.games.properties import facts

    told = facts(game)
    screen.line(f"{selection} · {words.count(told.actions)} actions", style="bold")
    screen.pairs(_facts_lines(told, game))
    if reference is not None and not game.description.sequences:
        raise NashGamesError(
            f"--reference is {reference}, whose fit to a corpus is shown, and {selection} has none; leave it out"
        )
    prompts = _prompts(game, screen, reference, int(seed or 0)) if game.description.sequences else None
    written = draw_game(game, told.ratings, folder, chosen) if plot else []
    if json:
        emit(json_text.dumps(_facts_data(selection, told, game, written, prompts), allow_nan=False))
    elif quiet:
        emit(str(folder))
    again = [("-n", actions), ("--seed", seed)]
    play = " ".join(["nashgames run", shlex.quote(selection), *(f"{flag} {value}" for flag, value in again if value)])
    screen.line()
    screen.pairs([*(("figure", str(path)) for path in written), ("play", play)])


def _check_of_games(given: Mapping[str, Any], name: str, called: str) -> None:
    """Raise NashGamesError for options that apply to games alone."""
    flags = [options.flag(key) for key, value in given.items() if value is not None]
    if flags:
        verb, rest = ("is", "it") if len(flags) == 1 else ("are", "them")
        article = "an" if called[0] in "aeiou" else "a"
        raise NashGamesError(
            f"{', '.join(flags)} {verb} for games, and '{name}' is {article} {called}; leave {rest} out"
        )


def _is_game(selection: str) -> bool:
    from nashgames.games.families import FAMILIES
    from nashgames.games.tables import TABLES, is_path
    from nashgames.games.users import knows

    name = selection.partition("[")[0].strip()
    return name in (*FAMILIES, *TABLES) or knows(name) or is_path(selection)


def _load(selection: str, actions: str | None, seed: str | None) -> "Game":
    from nashgames.cli.run import run_experiment
    from nashgames.core.game import DEFAULT_BETA
    from nashgames.experiments.sources import find_source

    checked = run_experiment(selection, {"actions": None if actions is None else [actions], "seed": seed})
    source = find_source(selection)
    size = checked.actions[0] if checked.actions else None
    if size is not None and source.default_actions is None:
        raise NashGamesError(f"--actions is {size}, but {selection} has a size of its own; leave it out")
    return source.make(size, checked.seed, DEFAULT_BETA, "float64")


def _facts_lines(facts: "Facts", game: "Game") -> list[tuple[str, str]]:
    rank = f"{'at least ' if facts.rank_is_lower_bound else ''}{words.count(facts.rank)}"
    about, sampled = ("about " if told else "" for told in (facts.cyclic_triples_sampled, facts.energies_sampled))
    lines = [
        ("Condorcet winner", words.label(facts.condorcet_winner_label or "none")),
        ("cyclic triples", about + words.share(facts.cyclic_triples)),
        ("cyclic share (Hodge)", sampled + words.share(facts.cyclic_energy)),
        ("transitive share (Hodge)", sampled + words.share(facts.transitive_energy)),
        ("rank", rank),
        ("largest margin", ("at least " if sampled else "") + words.number(facts.max_margin)),
    ]
    if facts.contexts > 1:
        called = "prompts" if game.description.sequences else "contexts"
        lines.insert(0, (called, words.count(facts.contexts)))
    if game.description.labels:
        best = sorted(range(facts.actions), key=lambda i: -facts.ratings[i])[:3]
        lines.append(("highest mean margins", ", ".join(words.label(game.description.labels[i]) for i in best)))
    return [*lines, *(("note", note) for note in game.description.notes)]


def _prompts(game: "Game", screen: "Screen", reference: str | None, seed: int) -> list[dict[str, Any]]:
    """Show what a sequence game is like at its prompts, and how well a `reference` fits its corpus; give it as data."""
    from nashgames.cli import sequences

    found = sequences.cycles(game)
    for sheet in sequences.sheets(game, found):
        screen.line()
        screen.sheet(sheet)
    told = [{key: each[key] for key in each if key != "among"} for each in found]
    if reference is None:
        return told
    sheet, fits = sequences.entropies(game, reference, seed)
    screen.line()
    screen.sheet(sheet)
    return [{**each, **fit} for each, fit in zip(told, fits, strict=False)]


def _facts_data(
    selection: str, facts: "Facts", game: "Game", written: list[Path], prompts: list[dict[str, Any]] | None
) -> dict[str, Any]:
    values = {key: plain(value) for key, value in vars(facts).items() if key != "ratings"}
    labels = game.description.labels
    return {
        "game": selection,
        **values,
        "ratings": [float(rating) for rating in facts.ratings],
        "labels": None if labels is None else list(labels),
        "notes": list(game.description.notes),
        "figures": [str(path) for path in written],
        **({} if prompts is None else {"prompts": prompts}),
    }
