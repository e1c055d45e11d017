"""The memory that this process may still use, by the limit that applies, and the sentence for what does not fit."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from operator import attrgetter
from pathlib import Path

import psutil

from nashgames.errors import NashGamesError

ADDRESSES = 2_000_000_000
"""Bytes of addresses that a command has mapped when its first game is made: 1.66 GB were measured on two cores, and a
thread of every further one maps 8 MB. With less the numerical libraries fail in many ways, or try for ever."""

SCARCE = 300_000_000
"""Bytes: where less is left, what fails unexpectedly does so for want of memory, most likely: the largest library,
jaxlib's, is mapped in a piece of that size."""

_MOUNTS = {
    "unified": ("sys/fs/cgroup", "sys/fs/cgroup/unified"),
    "memory": ("sys/fs/cgroup/memory",),
}
"""Where the cgroups of version 2, alone or beside version 1, and those of version 1 are."""

_FILES = {
    "unified": ("memory.max", "memory.current", "inactive_file"),
    "memory": ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}
"""Limit and use of a group, and what its `memory.stat` calls the file cache that the kernel gives back when asked."""


@dataclass(frozen=True)
class Room:
    """Bytes that may still be used, and the limit that says so; none where it is the machine's own memory."""

    free: int
    limit: str = ""

    def __str__(self) -> str:
        return f"{size_text(self.free)} is free{self.because}"

    @property
    def because(self) -> str:
        """The limit in brackets, behind a number; empty where it is the machine."""
        return f" ({self.limit})" if self.limit else ""

    @property
    def remedy(self) -> str:
        """What else to do where something does not fit."""
        return "allow more memory" if self.limit else "use a machine with more memory"


def room(root: Path = Path("/")) -> Room:
    """The least of what the machine has, its cgroups allow (those above its own too) and the shell allows (`ulimit`).

    `root` is where `proc` and `sys` are.
    """
    return min([Room(psutil.virtual_memory().available), *_of_cgroups(root), *_of_shell()], key=attrgetter("free"))


def check_memory(needed: int, what: str, within: Room | None = None) -> None:
    """Raise NashGamesError with both numbers and the limit when `needed` bytes are more than may still be used."""
    within = room() if within is None else within
    if needed > within.free:
        raise NashGamesError(
            f"{what} needs {size_text(needed)} of memory and {within}; use fewer actions, or {within.remedy}"
        )


def check_start() -> None:
    """Raise NashGamesError where the shell allows fewer addresses than a command maps before its first game."""
    if sys.platform == "win32":
        return
    import resource

    allowed = resource.getrlimit(resource.RLIMIT_AS)[0]
    if allowed != resource.RLIM_INFINITY and allowed < ADDRESSES:
        raise NashGamesError(
            f"ulimit -v allows {size_text(allowed)} of addresses and a command maps {size_text(ADDRESSES)} before its "
            f"first game, most of which it never uses; allow more, or limit what is used, by a cgroup"
        )


def _of_cgroups(root: Path) -> Iterator[Room]:
    """What the cgroups of this process allow, its own and all above; a group of a container hides those above it."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        number, controllers, path = line.split(":", 2)
        kind = "unified" if (number, controllers) == ("0", "") else "memory"
        if kind == "memory" and kind not in controllers.split(","):
            continue
        parts = [part for part in path.split("/") if part]
        for mount in _MOUNTS[kind]:
            # Inside a container the path may be that of its host, which is not there: the mount is its group then.
            for depth in range(0 if ".." in parts else len(parts), -1, -1):
                yield from _of_group((root / mount).joinpath(*parts[:depth]), *_FILES[kind])


def _of_group(group: Path, limit: str, use: str, cache: str) -> Iterator[Room]:
    allowed, used = _text(group / limit).strip(), _text(group / use).strip()
    # "max" is no limit.
    if allowed.isdigit() and used.isdigit():
        told = dict(line.split() for line in _text(group / "memory.stat").splitlines())
        free = int(allowed) - int(used) + int(told.get(cache, 0))
        yield Room(max(free, 0), f"a cgroup allows {size_text(int(allowed))}")


def _text(path: Path) -> str:
    """A file of the kernel; empty where there is none to read."""
    try:
        return path.read_text()
    except OSError:
        return ""


def _of_shell() -> Iterator[Room]:
    """What `ulimit` leaves of addresses and of data."""
    if sys.platform == "win32":
        return
    import resource

    used = psutil.Process().memory_info()
    # Other systems than Linux do not count data.
    counted = (
        (resource.RLIMIT_AS, used.vms, "ulimit -v"),
        (resource.RLIMIT_DATA, getattr(used, "data", None), "ulimit -d"),
    )
    for kind, taken, name in counted:
        allowed = resource.getrlimit(kind)[0]
        if allowed != resource.RLIM_INFINITY and taken is not None:
            yield Room(max(allowed - taken, 0), f"{name} allows {size_text(allowed)}")


def size_text(count: float) -> str:
    """Bytes as a person reads them, in powers of 1000.

    >>> size_text(16_000_000), size_text(999_999_488)
    ('16 MB', '1 GB')
    """
    # Decimal, because the margins of a mistyped number of actions may need more bytes than the largest float.
    amount = Decimal(count)
    for unit in ("bytes", "KB", "MB", "GB"):
        # What rounds to a thousand is one of the next unit.
        if amount < Decimal("999.5"):
            return f"{float(amount):.3g} {unit}"
        amount /= 1000
    return f"{float(amount):,.4g} TB" if amount < 10**4 else f"{amount:.3e} TB"
