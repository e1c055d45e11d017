"""Whether what a game needs fits into the memory that is free, said before anything is allocated."""

from decimal import Decimal

import psutil

from nashgames.errors import NashGamesError


def check_memory(needed: int, what: str) -> None:
    """Raise NashGamesError with both numbers when `needed` bytes are more than the memory that is free."""
    free = psutil.virtual_memory().available
    if needed > free:
        raise NashGamesError(
            f"{what} needs {size_text(needed)} of memory and {size_text(free)} is free; "
            "use fewer actions or a machine with more memory"
        )


def size_text(count: float) -> str:
    """Bytes as a person reads them, in powers of 1000.

    >>> size_text(16_000_000)
    '16 MB'
    """
    # Decimal, because the margins of a mistyped number of actions may need more bytes than the largest float.
    amount = Decimal(count)
    for unit in ("bytes", "KB", "MB", "GB"):
        if amount < 1000:
            return f"{float(amount):.3g} {unit}"
        amount /= 1000
    return f"{float(amount):,.4g} TB" if amount < 10**4 else f"{amount:.3e} TB"
