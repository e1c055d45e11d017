"""In which storage the margins of a generated game are kept, how much memory that takes, and making them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from nashgames.core.margins import STORAGES, Margins, stack
from nashgames.defaults import AUTO
from nashgames.errors import NashGamesError, wrong_word
from nashgames.games.families.recipes import Recipe, accept
from nashgames.memory import room, size_text

LARGEST_DENSE = 16_384
"""Actions up to which `auto` is dense: 2.1 GB in float64, as much as `to_dense` returns. What it chooses depends on
n alone and not on the machine, so that the same command gives the same bits."""

MOST_LISTED = 2_000_000
"""Sequences up to which `auto` lists them: V^L = 10^6 and what is shorter. An array of so many numbers takes 16 MB a
prompt, a run a dozen of them, and a query a second."""

MOST_COUNTED = 2**63 - 1
"""Sequences of a game, at most: the column n of a table holds so many."""

FORMULAS = {
    "lowrank": "margins that are bilinear in features",
    "streamed": "margins that are a formula of features",
    "written": "sequences of tokens for actions",
}
"""The storages that keep no entry, and what they need."""

_ALWAYS_FITS = 1_000_000
"""Bytes of entries up to which free memory is not looked up: that takes longer than making them."""

RUN_MEMORY = 700_000_000
"""What a run needs beside its margins, at most (bytes): measured by `benchmarks/memory.py`."""


@dataclass(frozen=True)
class Form:
    """The formula of a family's margins: the storage that needs no more, `lowrank` or `streamed`, and how many numbers
    of an action it takes. `written` are the numbers of a context that make entries where the actions are sequences that
    are not listed, 0 of other actions."""

    storage: str
    numbers: int
    written: int = 0

    def needed(self, storage: str) -> int:
        """The numbers that a storage keeps of an action, or of all that are not listed."""
        return self.written if storage == "written" else self.numbers


def storage_of(asked: str, form: Form | None, n: int, what: str) -> str:
    """The storage of margins `[n, n]`: the one that is asked for, or for `auto` dense up to 16,384 actions, beyond the
    one of the formula, and packed where there is none; sequences beyond `MOST_LISTED` are not listed.

    Raises NashGamesError, naming `what` game, for a storage that needs a formula which the game does not have.
    """
    if asked not in (AUTO, *STORAGES):
        raise wrong_word("storage", asked, [AUTO, *STORAGES])
    if asked == AUTO:
        if n <= LARGEST_DENSE or form is None:
            return "dense" if n <= LARGEST_DENSE else "packed"
        return "written" if form.written and n > MOST_LISTED else form.storage
    if asked == "written" and form is not None and form.written:
        return asked
    if asked in FORMULAS and (form is None or form.storage != asked):
        has = f"use {form.storage}, or one of those that keep all entries:" if form else "use one of"
        whole = ", ".join(name for name in STORAGES if name not in FORMULAS)
        raise NashGamesError(f"storage is {asked}, which needs {FORMULAS[asked]}, and {what} has none; {has} {whole}")
    return asked


def bytes_of(storage: str, form: Form | None, n: int, contexts: int, dtype_bytes: int) -> int:
    """Bytes that margins `[contexts, n, n]` take in a storage."""
    return STORAGES[storage].bytes_of(n, contexts, dtype_bytes, 0 if form is None else form.needed(storage))


def stored(storage: str, recipes: Sequence[Recipe], n: int, dtype: Any) -> Margins:
    """The margins `[n, n]` of a recipe, `[m, n, n]` of m > 1 of them, in a storage."""
    kind: Any = STORAGES[storage]
    if storage == "lowrank":
        return stack([kind(*recipe.factors) for recipe in recipes if recipe.factors])
    if storage == "streamed":
        return stack([kind(recipe.formula) for recipe in recipes])
    if storage == "written":
        return stack([recipe.margins for recipe in recipes if recipe.margins])
    made: Margins = kind.filled(n, [recipe.block for recipe in recipes if recipe.block], dtype)
    return made


def check_fits(
    n: int,
    contexts: int = 1,
    dtype: Any = np.float64,
    storage: str = "dense",
    form: Form | None = None,
    *,
    what: str = "",
) -> None:
    """Raise NashGamesError, with the numbers, unless margins `[contexts, n, n]` fit into free memory.

    `what` is how the sentence calls the game; the sentence ends with what would fit: another storage, or fewer actions.
    """
    accept("actions", n, least=2)
    itemsize = np.dtype(dtype).itemsize
    if storage == "written" and n > MOST_COUNTED:
        raise NashGamesError(f"{what}; accepted: at most {MOST_COUNTED:.1e}, as many as the column n of a table counts")
    if n**2 * contexts * itemsize <= _ALWAYS_FITS:
        return
    needed = bytes_of(storage, form, n, contexts, itemsize)
    within = room()
    usable = max(within.free - RUN_MEMORY, within.free // 2)
    if needed <= usable:
        return
    # Entries are n² numbers, a formula n.
    most = int(usable * n // needed) if storage in FORMULAS else math.isqrt(int(usable * n**2 // needed))
    remedies = [f"{'parameters with ' if what else ''}at most {most:,} actions"]
    if itemsize > 4 and needed <= 2 * usable and storage in ("dense", "packed", *FORMULAS):
        remedies.insert(0, f"--dtype float32 ({size_text(needed // 2)})")
    smaller = [] if storage in FORMULAS else [form.storage] if form else ["packed", "half", "packed-half"]
    sizes = {name: bytes_of(name, form, n, contexts, itemsize) for name in smaller}
    fitting = [f"--storage {name} ({size_text(size)})" for name, size in sizes.items() if size <= usable]
    remedies = fitting[:1] + remedies
    named = what or f"a game of {count_text(n)} actions"
    over = f" over {contexts:,} contexts" if contexts > 1 else ""
    raise NashGamesError(
        f"{named}{over} in {np.dtype(dtype).name} needs {size_text(needed)} of memory for its {storage} margins and "
        f"{size_text(usable)} are available for them{within.because}; use {', or '.join(remedies)}"
    )


def count_text(number: int) -> str:
    """A number of actions as a person reads it."""
    # Decimal, because a number of deployments may lie beyond the largest float.
    return f"{number:,}" if number < 10**15 else f"{Decimal(number):.3g}"
