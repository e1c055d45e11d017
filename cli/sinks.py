"""Programs that `nashgames export` hands the curves of runs to: TensorBoard and MLflow, each with an extra of its own.

tensorboardX writes TensorBoard's event files and needs nothing but protobuf, 4 MB; the writer of TensorBoard itself
comes with its server, gRPC and 60 MB. Likewise mlflow-skinny is MLflow's client without its server.
"""

import math
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from nashgames.core.metrics import every
from nashgames.errors import NashGamesError

if TYPE_CHECKING:
    import pandas as pd

    from nashgames.analysis.gather import Gathered

_SETTINGS = ("game", "n", "contexts", "reference", "beta", "seed", "label", "selection", "feedback", "policy",
    "optimiser", "start", "target", "dtype", "device", "budget", "tolerance", "hyperparameters")  # fmt: skip
"""The columns of a run that say what was played."""

_ENDS = ("status", "step_source", "role")
"""The columns that say how it came and how it ended."""

_BATCH = 1000
"""Values that a server of MLflow takes in one request."""
_MILLISECONDS = 1000
"""Of a second: MLflow counts time in them."""


class Sink(NamedTuple):
    """What a program shows, what `--out` is for it, and how runs are handed over to that place."""

    help: str
    out: str
    write: Callable[["Gathered", str], None]


def _folder(place: str) -> Path:
    """The folder to make; NashGamesError where something is there, as event files add to what they find."""
    folder = Path(place)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise NashGamesError(f"--out is '{place}', where something is already; give a new folder, e.g. logs")
    if not folder.absolute().parent.is_dir():
        raise NashGamesError(f"--out is '{place}', but there is no folder '{folder.parent}'; make it, or give another")
    return folder


def _tensorboard(gathered: "Gathered", place: str) -> None:
    """A folder of event files, one a run, which appears whole or not at all."""
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        raise _missing("tensorboard") from None
    folder = _folder(place)
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.absolute().parent))
    try:
        for run, points in _runs(gathered):
            with SummaryWriter(str(aside / _place(run)), write_to_disk=True) as writer:
                for step, second, name, value in _values(points):
                    writer.add_scalar(name, value, step, walltime=second)
                told = {**_told(run, _SETTINGS), **_told(run, _ENDS), "run_id": run["run_id"]}
                table = "".join(f"| {key} | {text} |\n" for key, text in told.items())
                writer.add_text("run", f"| column | value |\n| --- | --- |\n{table}", 0, walltime=0.0)
        if folder.exists():
            folder.rmdir()
        aside.chmod(0o755)
        aside.rename(folder)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise


def _mlflow(gathered: "Gathered", place: str) -> None:
    """Runs of an MLflow experiment with the name of ours; one that is there already is left as it is."""
    try:
        from mlflow import MlflowClient
        from mlflow.entities import Metric, Param
        from mlflow.exceptions import MlflowException
    except ImportError:
        raise _missing("mlflow") from None
    try:
        client = MlflowClient(tracking_uri=place)
        for run, points in _runs(gathered):
            own = client.get_experiment_by_name(run["experiment"])
            number = client.create_experiment(run["experiment"]) if own is None else own.experiment_id
            if client.search_runs([number], f"tags.`nashgames.run_id` = '{run['run_id']}'"):
                continue
            tags = {"nashgames.run_id": run["run_id"], **{f"nashgames.{k}": v for k, v in _told(run, _ENDS).items()}}
            made = client.create_run(number, run_name=_place(run), tags=tags).info.run_id
            client.log_batch(made, params=[Param(key, text) for key, text in _told(run, _SETTINGS).items()])
            values = [
                Metric(name, value, int(second * _MILLISECONDS), step) for step, second, name, value in _values(points)
            ]
            for start in range(0, len(values), _BATCH):
                client.log_batch(made, metrics=values[start : start + _BATCH])
            client.set_terminated(made)
    except (MlflowException, OSError) as error:
        why = str(error).partition("\n")[0]
        raise NashGamesError(f"MLflow does not take the runs at '{place}': {why}") from error


SINKS: Mapping[str, Sink] = {
    "tensorboard": Sink("event files for TensorBoard, a folder a run", "a new folder, e.g. logs", _tensorboard),
    "mlflow": Sink("runs of an MLflow experiment", "its tracking URI, e.g. http://localhost:5000", _mlflow),
}
"""The programs by the value of --format."""


def _missing(extra: str) -> NashGamesError:
    return NashGamesError(
        f"--format {extra} needs the extra '{extra}', which is not installed; run: pip install 'nashgames[{extra}]'"
    )


def _runs(gathered: "Gathered") -> Iterator[tuple[dict[str, Any], "pd.DataFrame"]]:
    """The runs, each with the name of its experiment, and their points in order; exact equilibria have none to show."""
    names = {
        run_id: str(results.manifest["experiment"].get("name") or "nashgames")
        for results in reversed(gathered.results)
        for run_id in results.finished
    }
    points = {str(run_id): mine for run_id, mine in gathered.curves.groupby("run_id", sort=False)}
    for run in gathered.runs.to_dict("records"):
        told = {str(key): value for key, value in run.items()} | {"experiment": names[run["run_id"]]}
        yield told, points[run["run_id"]].sort_values("step")


def _values(points: "pd.DataFrame") -> Iterator[tuple[int, float, str, float]]:
    """What was spent, seconds, metric and value of every point; what is empty or infinite is no point of a curve."""
    spent = "comparisons" if (points["comparisons"] > 0).any() else "queries"
    for point in points.to_dict("records"):
        for name in every():
            if math.isfinite(point[name]):
                yield int(point[spent]), float(point["seconds"]), name, float(point[name])


def _told(run: Mapping[str, Any], columns: tuple[str, ...]) -> dict[str, str]:
    """The settings of a run as text, without those that are empty."""
    known = {key: run.get(key) for key in columns}
    return {key: str(value) for key, value in known.items() if value is not None and value == value}


def _place(run: Mapping[str, Any]) -> str:
    """The name of a run as a path: its game, then its solver and seed, and what tells it from all others."""
    game = f"{run['game']}-n{run['n']}-beta{run['beta']:g}"
    return "/".join(
        re.sub(r"[^\w.=]+", "-", text).strip("-.") for text in (game, f"{run['label']}-{run['seed']}-{run['run_id']}")
    )
