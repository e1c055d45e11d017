"""What happens while an experiment is played: the runner yields it, the terminal shows it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from nashgames.core.game import Game
from nashgames.exact.referee import Equilibrium
from nashgames.games.properties import Facts


@dataclass(frozen=True)
class Planned:
    """What will be done: `runs` of the experiment, of them `reused` from the directory, the rest in `batches`.

    With `tuning` the batches are those that try steps on the seeds `tried`, and another one of these follows when they
    are done. Before the batches of a game come its `equilibria`, one for each reference and β.
    """

    directory: Path
    runs: int
    reused: int
    batches: int
    tuning: bool = False
    equilibria: int = 0
    tried: tuple[int, ...] = ()


@dataclass(frozen=True)
class GameReady:
    """A game was made; its `facts` are given if it is the only one of the experiment."""

    title: str
    game: Game
    facts: Facts | None
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Refereed:
    """The `equilibrium` of a game was computed; its `residual` in log-probabilities says how well."""

    title: str
    equilibrium: Equilibrium

    @property
    def beta(self) -> float:
        """The β at which it was computed."""
        return self.equilibrium.beta

    @property
    def residual(self) -> float:
        """max |log π − log BR(π)|."""
        return self.equilibrium.residual


@dataclass(frozen=True)
class Advanced:
    """A chunk of a batch was computed; `distance` is the largest value, over the `active` of its
    `runs`, of the metric by which they stop.

    `seconds_left` is to the end of the budget, an upper bound: converged runs stop earlier. `betas` are those of the
    runs, each once.
    """

    batch: int
    batches: int
    label: str
    runs: int
    active: int
    queries: int
    budget: int
    distance: float
    seconds_left: float
    betas: tuple[float, ...] = ()


@dataclass(frozen=True)
class BatchFinished:
    """A batch is done; `runs` are its rows."""

    batch: int
    batches: int
    runs: pd.DataFrame


@dataclass(frozen=True)
class PlayedElsewhere:
    """The `runs` of a batch were finished by another process that writes to the same directory."""

    batch: int
    batches: int
    runs: int


@dataclass(frozen=True)
class Waiting:
    """Other processes play the last `batches`; they are played here where one gives them up."""

    batches: int


@dataclass(frozen=True)
class Noted:
    """A note for the user."""

    text: str


@dataclass(frozen=True)
class Finished:
    """Everything is on disk: the rows of this experiment's runs, new and reused; `failed` runs have none.

    `points` is how many rows they have in curves. The large tables are made when they are asked for, by `rows`.
    """

    directory: Path
    runs: pd.DataFrame
    points: int
    rows: Callable[[str], pd.DataFrame]
    reused: int
    failed: int
    files: tuple[Path, ...]

    @cached_property
    def curves(self) -> pd.DataFrame:
        return self.rows("curves")

    @cached_property
    def policies(self) -> pd.DataFrame:
        return self.rows("policies")

    @cached_property
    def paths(self) -> pd.DataFrame:
        return self.rows("paths")


Event = Planned | GameReady | Refereed | Advanced | BatchFinished | PlayedElsewhere | Waiting | Noted | Finished
