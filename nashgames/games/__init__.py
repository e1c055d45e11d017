"""Everything that makes a game: families, tables of data, references, facts.

Every family is a function here: `games.random_logits(actions=50, strength=2.0, seed=1)`.
"""

import importlib
from collections.abc import Callable
from typing import Any


def __getattr__(name: str) -> Callable[..., Any]:
    # The families import NumPy and JAX; the package is imported for its other parts too. `from nashgames.games import
    # families` would ask for an attribute of that name, and so for this function, first.
    families = importlib.import_module("nashgames.games.families")
    if name.startswith("_") or name.replace("_", "-") not in families.FAMILIES:
        known = ", ".join(families.FAMILIES)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; families: {known}")
    made: Callable[..., Any] = getattr(families, name)
    return made


def __dir__() -> list[str]:
    from nashgames.games.families import FAMILIES

    return sorted(name.replace("-", "_") for name in FAMILIES)
