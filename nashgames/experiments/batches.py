"""Runs that are played together: chunks of games, batches of one program, and the memory that these need."""

from collections.abc import Container, Iterable, Sequence
from typing import Any

from nashgames.engine.settings import Settings
from nashgames.experiments.plan import Run
from nashgames.games import families, memory

# Games of one shape are stacked up to this size: beyond it sharing a program saves nothing.
_STACK_BYTES = 128_000_000
_MOST_LANES = 4096
"""Runs of a batch, at most: their points wait in memory until it is done."""
MOST_BATCHES = 3
"""Batches of a chunk that are alive at once: one runs while two compile."""
_POLICIES_OF_A_LANE = 12
"""Arrays of the size of a policy that a run holds: μ, π*, π_0, the last iterate, and a state of up to four of them,
which a chunk of steps reads and writes anew."""


def check_games(runs: Iterable[Run], settings: Settings) -> None:
    """Raise NashGamesError, before anything is computed, unless the games of every run fit into memory one by one."""
    for source, actions in dict.fromkeys((run.source, run.actions) for run in runs):
        if actions is not None:
            families.check_fits(actions, source.contexts, settings.precision.numpy)


def check_memory(runs: Sequence[Run], settings: Settings, done: Container[str] = ()) -> None:
    """Raise NashGamesError, before anything is computed, unless all that is in memory at once fits there.

    That is one game, and of every chunk of games the games, the stack of them that its batches share, and the batches
    that are alive at once. Runs in `done` are not played. The size of a table is not known before it is read.
    """
    check_games((run for run in runs if run.run_id not in done), settings)
    itemsize = settings.precision.numpy.itemsize
    for chunk in game_chunks(runs, itemsize):
        (source, actions, _, _), batches = chunk[0][0].game_key, batches_of(chunk, done)
        if actions is None or not batches:
            continue
        policy = source.contexts * actions * itemsize
        margins = len(chunk) * policy * actions
        # Several games are copied into one stack, which all batches read; a single one is played as it is.
        stacked = margins if len(chunk) > 1 else 0
        lanes = max(sum(map(len, batch)) for batch in batches)
        alive = min(len(batches), MOST_BATCHES)
        # What a device keeps is not in the memory of its host.
        of_batches = alive * lanes * _POLICIES_OF_A_LANE * policy if settings.precision.device == "cpu" else 0
        memory.check_memory(
            margins + stacked + of_batches,
            f"playing {len(chunk):,} {'game' if len(chunk) == 1 else 'games'} of {actions:,} actions together "
            f"({memory.size_text(margins)} of margins, {memory.size_text(stacked)} of them stacked, "
            f"{alive} of {len(batches)} batches of up to {lanes:,} runs at once)",
        )


def game_chunks(runs: Iterable[Run], dtype_bytes: int) -> list[list[list[Run]]]:
    """Runs by the games they play, games of one shape together as long as their stacked margins stay small: chunks of
    games, each game the list of its runs.

    Generated games of one size have one shape, whatever their family. Others have one with their own kind at most: a
    table tells its size when it is read, and a user's game may store A in another way.
    """
    by_game: dict[tuple[Any, ...], list[Run]] = {}
    for run in runs:
        by_game.setdefault(run.game_key, []).append(run)
    chunks: dict[tuple[Any, ...], list[list[Run]]] = {}
    counts: dict[tuple[Any, ...], int] = {}
    for (source, actions, _, beta), of_game in by_game.items():
        generated = source.given is None and source.text.name in families.FAMILIES and actions is not None
        shape = (actions, source.contexts) if generated else (source, actions, beta)
        size = max((actions or _STACK_BYTES) ** 2 * source.contexts * dtype_bytes, 1)
        counts[shape] = counts.get(shape, -1) + 1
        number = counts[shape] // min(max(_STACK_BYTES // size, 1), _MOST_LANES)
        chunks.setdefault((*shape, number), []).append(of_game)
    return list(chunks.values())


def batches_of(games: list[list[Run]], done: Container[str] = ()) -> list[list[list[Run]]]:
    """The runs of a chunk of games as batches `[G][B]` that share a compiled program: one solver class, as many lanes.

    What differs between lanes is data: reference, β, steps. Features of actions have a size that is the family's own.
    Batches are those of the whole grid, less those of which every run is in `done`: the width of a batch decides the
    order of its sums, so that what is left of an interrupted sweep gives the bits of an undisturbed one.
    """
    batches: dict[tuple[Any, ...], list[list[Run]]] = {}
    for of_game in games:
        by_program: dict[Any, list[Run]] = {}
        for run in of_game:
            by_program.setdefault((run.program_key, run.features and run.source), []).append(run)
        width = max(_MOST_LANES // len(games), 1)
        for program, runs in by_program.items():
            for start in range(0, len(runs), width):
                lanes = runs[start : start + width]
                batches.setdefault((program, start, len(lanes)), []).append(lanes)
    return [batch for batch in batches.values() if any(run.run_id not in done for lanes in batch for run in lanes)]
