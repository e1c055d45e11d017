"""Which runs are played again: a share or a number of them, drawn by what the directory holds."""

import math
import random
from collections.abc import Iterable

from nashgames.errors import NashGamesError, shown


def drawn(replay: str | int, run_ids: Iterable[str], content: str) -> list[str]:
    """The runs that `replay` (`all`, a number, or a share such as `5%`, rounded up) asks for.

    They are drawn by `content`, the digest of what the directory holds: the same directory, the same runs. Raises
    NashGamesError for anything else.
    """
    ids = sorted(run_ids)
    count = min(_count(str(replay).strip(), len(ids)), len(ids))
    return sorted(random.Random(content).sample(ids, count))


def _count(replay: str, runs: int) -> int:
    if replay == "all":
        return runs
    number, percent, rest = replay.partition("%")
    try:
        if percent and not rest and 0 <= (share := float(number)) <= 100:
            return math.ceil(share * runs / 100)
        if not percent and replay.isdecimal():
            return int(replay)
    except ValueError:
        pass
    raise NashGamesError(
        f"replay is {shown(replay)}; accepted: all, a number of runs such as 10, or a share such as 5%"
    )
