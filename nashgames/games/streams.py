"""The project's random numbers on the host: one seed, and an independent stream for every purpose."""

import zlib

import numpy as np

from nashgames.errors import NashGamesError

DRAWS = ("nested", "independent")
"""How the draws of one seed at several numbers of actions n are related: n is in the path of `independent` ones."""

DRAWS_HELP = (
    "one seed at several n: nested (the same random numbers at every n, a smaller game often a part of a larger one) "
    "or independent"
)


def stream(seed: int, *path: str | int) -> np.random.Generator:
    """The random numbers of one purpose: another seed or another path is an independent stream.

    Raises NashGamesError for a negative seed.
    """
    if seed < 0:
        raise NashGamesError(f"seed is {seed}; accepted: an integer of at least 0")
    # A checksum, unlike `hash`, is the same in every process.
    key = tuple(zlib.crc32(part.encode()) if isinstance(part, str) else part for part in path)
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
