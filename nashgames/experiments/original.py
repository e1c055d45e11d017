"""β = 0 in an experiment: which solvers and which games it can be played with."""

from collections.abc import Iterable, Mapping

from nashgames.errors import NashGamesError
from nashgames.experiments.experiment import Cell
from nashgames.experiments.sources import Source
from nashgames.solvers import ORIGINALS, is_defined
from nashgames.solvers.protocol import Solver


def left_out(cells: Iterable[Cell], solvers: Mapping[str, Solver]) -> list[str]:
    """Notes on the solvers that are not played at β = 0, as they divide by β; `solvers` are by their text in cells.

    Raises NashGamesError for a solver that would be played nowhere, and where β = 0 would have no solver at all.
    """
    by_beta: dict[float, dict[str, None]] = {}
    for cell in cells:
        by_beta.setdefault(cell.beta, {})[cell.solver] = None
    undefined = [text for text in by_beta.get(0.0, ()) if not is_defined(solvers[text], 0.0)]
    elsewhere = {text for beta, texts in by_beta.items() if beta > 0 for text in texts}
    lost = [text for text in undefined if text not in elsewhere]
    if lost or (undefined and len(undefined) == len(by_beta[0.0])):
        raise NashGamesError(
            f"beta is 0, the original game, but {_series(lost or undefined)} by β; accepted at β = 0: "
            f"{', '.join(ORIGINALS)}, and averages of them, as average[sppo]"
        )
    divide = "divides" if len(undefined) == 1 else "divide"
    return [f"not played at β = 0, the original game: {', '.join(undefined)}, which {divide} by β"] if undefined else []


def check_brings_none(sources: Mapping[str, Source], betas: Iterable[float]) -> None:
    """Raise NashGamesError for β = 0 of a game whose own reference is made for its β."""
    for text, source in sources.items():
        if source.takes_beta and 0 in betas:
            raise NashGamesError(f"beta is 0, but {text} brings a reference made for a β above 0; leave 0 out")


def _series(texts: list[str]) -> str:
    """The solvers as the subject of a sentence: `nash-mp divides`, `nash-mp, nash-prox divide`."""
    return f"{', '.join(texts)} {'divides' if len(texts) == 1 else 'divide'}"
