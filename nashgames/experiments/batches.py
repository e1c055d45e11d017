"""Runs that are played together: chunks of games, batches of one program, and the memory that these need."""

from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from nashgames import memory
from nashgames.defaults import UNLISTED
from nashgames.engine.settings import Settings
from nashgames.experiments.run import Run
from nashgames.learning.prefixes import TOKENS

# Games of one shape are stacked up to this size: beyond it sharing a program saves nothing.
_STACK_BYTES = 128_000_000
_MOST_GAMES = 4096
"""Games of a batch, at most: the points of their runs wait in memory until it is done."""
_MOST_LANES = 2048
"""Runs of a batch, at most, of more than one a game: those of one β end early, and the others do not wait for them."""
_PARTS = 4
"""Times as many batches as these need, up to which they are of one width: another one takes another program."""
MOST_BATCHES = 3
"""Batches of a chunk that are alive at once, where memory allows it: one runs while two compile."""
_POLICIES_OF_A_LANE = 12
"""Arrays of the size of a policy that a run holds: μ, π*, π_0, the last iterate, and a state of up to four of them,
which a chunk of steps reads and writes anew."""


@dataclass(frozen=True)
class Need:
    """Bytes that a chunk of games of one shape has in memory at once, by where they are.

    `margins` are those of its games, on the host; `stacked` the copy that its batches read, of several games on the
    host or of any on a device; `batch` the largest of its `batches`, of up to `lanes` runs.
    """

    games: int
    actions: int
    margins: int
    stacked: int
    batch: int
    batches: int
    lanes: int

    def bytes(self, at_once: int) -> int:
        """All of it, with as many batches alive at once."""
        return self.margins + self.stacked + min(at_once, self.batches) * self.batch

    def what(self, at_once: int) -> str:
        """What a sentence calls it."""
        return (
            f"playing {self.games:,} {'game' if self.games == 1 else 'games'} of {self.actions:,} actions together "
            f"({memory.size_text(self.margins)} of margins, {memory.size_text(self.stacked)} of them stacked, "
            f"{at_once} of {self.batches} {'batch' if self.batches == 1 else 'batches'} of up to {self.lanes:,} runs "
            f"at once)"
        )


def check_games(runs: Iterable[Run], settings: Settings) -> None:
    """Raise NashGamesError, before anything is computed, unless the games of every run fit into memory one by one."""
    for source, actions, storage in dict.fromkeys((run.source, run.actions, run.storage) for run in runs):
        source.check_fits(actions, storage, settings.precision.numpy)


def check_memory(runs: Sequence[Run], settings: Settings, done: Container[str] = ()) -> None:
    """Raise NashGamesError, before anything is computed, unless what has to be in memory at once fits there.

    That is one game, and of every chunk of games the games, the stack of them that its batches share, and one batch.
    The other batches of `MOST_BATCHES` are made one by one where they would not fit beside it: `batches_at_once`. No
    more is split, because it would change last digits: the runs of a batch share a program, whose width decides the
    order of its sums, and so do the games of a stack. Runs in `done` are not played. The size of a table is not known
    before it is read.
    """
    check_games((run for run in runs if run.run_id not in done), settings)
    on_device = settings.precision.room()
    for need in needs(runs, settings, done):
        if on_device is None:
            memory.check_memory(need.bytes(1), need.what(1))
        else:
            memory.check_memory(need.margins, need.what(1))
            memory.check_memory(need.stacked + need.batch, need.what(1), on_device)


def batches_at_once(batches: Sequence[list[list[Run]]], settings: Settings) -> int:
    """How many of the batches of a chunk whose games are made may be alive at once: 1 to `MOST_BATCHES`.

    As many as fit into the memory that is free now, beside the stack that they share. It changes no bits: a batch is
    compiled and run as it is, sooner or later.
    """
    need = _need(batches, settings, games=max(map(len, batches)))
    if need is None:
        return MOST_BATCHES
    free = (settings.precision.room() or memory.room()).free - need.stacked
    return max(1, min(MOST_BATCHES, free // max(need.batch, 1)))


def needs(runs: Sequence[Run], settings: Settings, done: Container[str] = ()) -> Iterator[Need]:
    """What every chunk of games needs of which something is left to play, and whose size is known."""
    for chunk in game_chunks(runs, settings.precision.numpy.itemsize):
        need = _need(batches_of(chunk, done), settings, games=len(chunk))
        if need is not None:
            yield need


def _need(batches: Sequence[list[list[Run]]], settings: Settings, games: int) -> Need | None:
    """What the batches of a chunk need with its games; None where there are none, or their size is not known yet."""
    if not batches:
        return None
    first = batches[0][0][0]
    actions = first.source.actions(first.actions)
    if actions is None:
        return None
    itemsize = settings.precision.numpy.itemsize
    margins = games * first.source.nbytes(actions, first.storage, itemsize)
    # Sequences that are not listed are held by nobody.
    policy = 0 if first.storage == UNLISTED else first.source.contexts * actions * itemsize
    lanes = max(sum(map(len, batch)) for batch in batches)
    return Need(
        games=games,
        actions=actions,
        margins=margins,
        # Several games are copied into one stack, which all batches read; on a host a single one is played as it is.
        stacked=margins if games > 1 or settings.precision.device != "cpu" else 0,
        batch=lanes * _POLICIES_OF_A_LANE * policy,
        batches=len(batches),
        lanes=lanes,
    )


def game_chunks(runs: Iterable[Run], dtype_bytes: int) -> list[list[list[Run]]]:
    """Runs by the games they play, games of one shape together as long as their stacked margins stay small: chunks of
    games, each game the list of its runs.

    Generated games of one size with dense margins have one shape, whatever their family. Others have one with their
    own kind at most: a table tells its size when it is read, other storages hold what the family needs, and a user's
    game may store A in another way.
    """
    by_game: dict[tuple[Any, ...], list[Run]] = {}
    for run in runs:
        by_game.setdefault(run.game_key, []).append(run)
    alike: dict[tuple[Any, ...], list[list[Run]]] = {}
    most: dict[tuple[Any, ...], int] = {}
    for (source, actions, _, beta), of_game in by_game.items():
        storage = of_game[0].storage
        of_one_kind = source.generated and actions is not None and storage == "dense"
        shape = (actions, source.contexts) if of_one_kind else (source, actions, beta)
        # That of entries: what keeps fewer numbers is as well played game by game.
        size = max((actions or _STACK_BYTES) ** 2 * source.contexts * dtype_bytes, 1)
        most[shape] = min(max(_STACK_BYTES // size, 1), _MOST_GAMES)
        alike.setdefault(shape, []).append(of_game)
    chunks = []
    for shape, games in alike.items():
        # As few chunks as there can be, of one size, and so of one program.
        size = -(-len(games) // -(-len(games) // most[shape]))
        chunks += [games[start : start + size] for start in range(0, len(games), size)]
    return chunks


def shared_features(run: Run) -> Any:
    """What the features of a run's game depend on, beside its size and seed: the source, which gives them their size,
    and for tokens the reference."""
    return run.source, run.features and run.features[0] == TOKENS and run.reference_key


def batches_of(games: list[list[Run]], done: Container[str] = ()) -> list[list[list[Run]]]:
    """The runs of a chunk of games as batches `[G][B]` that share a compiled program: one solver class, as many lanes.

    What differs between lanes is data: reference, β, steps. Those of a game share its features (`shared_features`).
    Batches are those of the whole grid, less those of which every run is in `done`: the width of a batch decides the
    order of its sums, so that what is left of an interrupted sweep gives the bits of an undisturbed one.
    """
    batches: dict[tuple[Any, ...], list[list[Run]]] = {}
    # Runs that differ by seed alone share a solver.
    programs: dict[tuple[Any, ...], Any] = {}
    for of_game in games:
        by_program: dict[Any, list[Run]] = {}
        for run in of_game:
            kind = (id(run.solver), id(run.feedback), id(run.source), run.target, run.beta)
            if kind not in programs:
                features = run.features
                programs[kind] = (run.program_key, features and run.source, features and features[0] == TOKENS)
            program = programs[kind]
            # Lanes of a game share its features, and tokens are seen with the reference.
            by_program.setdefault((*program, run.reference_key) if program[-1] else program, []).append(run)
        for program, runs in by_program.items():
            # All, or an equal part where that is not much less than `_MOST_LANES`.
            least = min(-(-len(games) * len(runs) // _MOST_LANES), len(runs))
            parts = next((parts for parts in range(least, _PARTS * least) if len(runs) % parts == 0), least)
            width = -(-len(runs) // parts)
            for start in range(0, len(runs), width):
                lanes = runs[start : start + width]
                batches.setdefault((program, start, len(lanes)), []).append(lanes)
    return [batch for batch in batches.values() if any(run.run_id not in done for lanes in batch for run in lanes)]
