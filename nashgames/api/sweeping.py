"""A whole experiment from a notebook, into a results directory."""

from pathlib import Path
from typing import Any

from nashgames.api.results import Result, read
from nashgames.errors import NashGamesError, shown
from nashgames.experiments.bar import Bar
from nashgames.experiments.events import Finished, Noted
from nashgames.experiments.experiment import Experiment, load_preset
from nashgames.experiments.runner import execute


def sweep(experiment: Experiment | str | Path, out: str | Path | None = None, *, force: bool = False) -> Result:
    """Play an experiment into a results directory, as `nashgames sweep` does; finished runs are reused.

    A notebook shows a bar meanwhile. No JAX setting is changed, and no figure is drawn.

    Args:
        experiment: an `Experiment`, the path of an experiment file, or the name of a preset
        out: the results directory; that of the command line unless given, under `results/runs/`
        force: play again what is finished

    Returns:
        What `read` returns for that directory.

    Raises:
        NashGamesError: for anything in the experiment that does not exist or fit; and, once all others are finished and
            kept, where runs failed.

    Example:
        >>> import tempfile
        >>> import nashgames as ng
        >>> asked = ng.Experiment(game="circulant", actions=3, solver="nash-mp", beta=[0.5, 0.2], tolerance=1e-6)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     result = ng.sweep(asked, folder)
        >>> list(result.runs["status"])
        ['converged', 'converged']
    """
    asked = _experiment(experiment)
    bar, said = Bar(), list[str]()
    execution = execute(asked, None if out is None else Path(out), force=force)
    try:
        for event in execution:
            bar.show(event)
            if isinstance(event, Noted):
                said.append(event.text)
            if isinstance(event, Finished):
                finished = event
    except BaseException:
        bar.close("stopped; what is finished is kept")
        raise
    finally:
        # Wherever Ctrl-C arrives, the runner gets to write what is finished.
        execution.close()
    if finished.failed:
        bar.close("ended")
        runs = "1 run" if finished.failed == 1 else f"{finished.failed:,} runs"
        raise NashGamesError(
            f"{runs} failed ({'; '.join(said[-1:])}); all others are kept, and ng.read('{finished.directory}') has them"
        )
    bar.close(f"done, in {finished.directory}")
    return read(finished.directory)


def _experiment(given: Any) -> Experiment:
    """The experiment that is meant; NashGamesError for what is neither one, nor a file, nor a preset."""
    if isinstance(given, Experiment):
        return given
    if not isinstance(given, str | Path):
        raise NashGamesError(
            f"the experiment is {shown(given)}; give an ng.Experiment(…), the path of a TOML file, or a preset"
        )
    is_file = Path(given).suffix == ".toml" or Path(given).is_file()
    return Experiment.from_toml(given) if is_file else load_preset(str(given))
