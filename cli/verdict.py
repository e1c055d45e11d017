"""The verdicts of experiments, `verdict = …`: each is a module of this package."""

import importlib
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

from nashgames.cli.sheet import Sheet

if TYPE_CHECKING:
    from nashgames.experiments.events import Finished
    from nashgames.experiments.experiment import Experiment


class Answer(NamedTuple):
    """Tables for the terminal, `data` for a program, and the `complaint` with which the command fails, if any."""

    sheets: list[Sheet]
    data: dict[str, Any]
    complaint: str | None = None


class Judge(Protocol):
    """The module of a verdict, called as it is with `_` for `-`; figures that belong to it are in `plots.ANSWERS`."""

    WAITING: str
    """What the terminal says while it works."""

    def check(self, experiment: "Experiment") -> None:
        """Raise NashGamesError, before anything is played, where the experiment cannot be judged."""

    def answer(self, finished: "Finished") -> Answer:
        """The answer of the finished runs, one at least."""
        ...


def judge(name: str) -> Judge:
    """The judge of a verdict, one of `experiments.values.VERDICTS`."""
    return cast("Judge", importlib.import_module(f"nashgames.cli.{name.replace('-', '_')}"))
