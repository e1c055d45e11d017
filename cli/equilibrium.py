"""`equilibrium`: the exact equilibria of one game with their certificates, as a table, data, files and a figure."""

import json
import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from nashgames.cli import options, signals, streams, words
from nashgames.cli.failures import FAILED
from nashgames.cli.plot import formats_of
from nashgames.cli.sheet import Sheet, plain
from nashgames.errors import NashGamesError

if TYPE_CHECKING:
    import pandas as pd

    from nashgames.cli.display import Working
    from nashgames.exact.referee import Equilibrium
    from nashgames.experiments.exact_path import Certified
    from nashgames.experiments.experiment import Experiment
    from nashgames.experiments.run import Run

_FIGURES = Path("results/equilibria")
_MEANING = (
    "suboptimality: half the duality gap; exploitability: max (Aπ)_i, at β = 0",
    "bias: the exploitability of an exact equilibrium, β (max log π/μ − KL(π‖μ))",
    "residual: max |log π − log BR(π)|; support: actions played, above 1e-9",
)
_PATH = "--beta 1,0.1,0.01,0"


def equilibrium(game: str, given: Mapping[str, Any], arguments: list[str] | None) -> None:
    """Find the equilibria of a game and show them; exit code 1 where one is not exact, 130 or 143 after a signal."""
    from nashgames.cli import backend
    from nashgames.cli.display import Working

    experiment, betas = _asked(game, given)
    formats, directory = formats_of(given["format"] or None), options.output_directory(given["out"])
    with Working(quiet=given["quiet"], data=given["json"]) as screen:
        try:
            screen.wait("starting")
            backend.start(experiment.device)
            from nashgames.engine.settings import Settings
            from nashgames.experiments.batches import check_games
            from nashgames.experiments.exact_path import frames
            from nashgames.experiments.plan import plan_equilibria

            runs = plan_equilibria(experiment, betas)
            check_games(runs, Settings())
            found = _find(runs, directory, arguments, experiment, screen)
            rows = frames(runs, found)
            _show(runs, found, rows, screen)
            written = [] if given["no_plot"] else _draw(runs, rows, directory, formats, screen)
            vertex = _vertex(found, screen) if given["vertex"] else None
            rated = _rated(runs, found, directory, screen) if given["ratings"] else None
            _close(experiment, runs, found, {"vertex": vertex, "ratings": rated}, directory, written, screen)
        except KeyboardInterrupt:
            screen.clear()
            kept = f"; what was found is kept in '{directory}'" if directory and directory.exists() else ""
            streams.complain(f"stopped{kept}")
            raise typer.Exit(signals.exit_code()) from None
    inexact = [each for each in found if each.status != "converged"]
    if inexact:
        # That at β = 0 has numbers of its own, and is told where there is one.
        worst = max(inexact, key=lambda each: (each.beta == 0, each.equilibrium.residual))
        streams.complain(
            f"{len(inexact)} of {len(found)} equilibria could not be made exact: at β = {words.number(worst.beta)} "
            f"{_inexact(worst.equilibrium)}; take a larger β"
        )
        raise typer.Exit(FAILED)


def _inexact(found: "Equilibrium") -> str:
    """How far an equilibrium is from exact."""
    if found.beta > 0:
        return f"the residual is {words.small(found.residual)}"
    nats = words.small(found.error) if math.isfinite(found.error) else "an unknown number of"
    return (
        f"the largest regret is {words.small(found.regret)} relative to the margins of the actions played, and log π "
        f"may differ from the equilibrium closest to μ by {nats} nats"
    )


def _asked(game: str, given: Mapping[str, Any]) -> tuple["Experiment", tuple[float, ...]]:
    """The game, size, reference and seed as an experiment, whose β are not used, and the β asked for."""
    from nashgames.experiments.experiment import Experiment, exact_betas

    values = options.chosen(
        {"game": [game], **{key: given[key] for key in ("actions", "reference", "seed", "storage")}}
    )
    options.one_each(values, "equilibrium")
    experiment = Experiment.from_dict(values)
    texts = given["beta"]
    betas = exact_betas(options.listed("beta", texts, options.EXACT_BETAS)) if texts else experiment.beta
    if given["vertex"] and 0 not in betas:
        raise NashGamesError(
            f"--vertex compares with an equilibrium of the original game, but β is {words.series(betas)}; "
            f"write --beta {','.join(f'{beta:g}' for beta in (*betas, 0))}"
        )
    return experiment, betas


def _find(
    runs: Sequence["Run"],
    directory: Path | None,
    arguments: list[str] | None,
    experiment: "Experiment",
    screen: "Working",
) -> list["Certified"]:
    """The equilibria in the order asked; the header is shown as soon as the game is there."""
    from nashgames.experiments.exact_path import Certified, trace

    found: dict[float, Certified] = {}
    betas = [run.beta for run in runs]
    left = sorted(betas, reverse=True)
    pursuit = trace(runs, directory, arguments)
    try:
        for event in pursuit:
            if isinstance(event, Certified):
                found[event.beta] = event
                left.remove(event.beta)
            elif not found:
                header = words.header(experiment, event.game.actions, runs[0].reference, betas)
                screen.line(header, style="bold")
                if event.facts is not None:
                    screen.line(words.facts(event.facts), style="dim")
                for note in event.notes:
                    screen.note(note)
            if left:
                screen.wait(f"exact equilibrium at β {words.number(left[0])}")
    finally:
        # Wherever Ctrl-C arrives, what was found reaches the disk.
        pursuit.close()
    screen.clear()
    return [found[beta] for beta in betas]


def _show(
    runs: Sequence["Run"], found: Sequence["Certified"], rows: Mapping[str, "pd.DataFrame"], screen: "Working"
) -> None:
    from nashgames.cli import mixture, sequences

    if screen.data or screen.quiet:
        return
    screen.line()
    screen.sheet(_table(found))
    for line in _MEANING:
        screen.line(f" {line}", style="dim")
    for line in _limit(runs, found):
        screen.line(f" {line}")
    told, several = found[0].game.description, found[0].game.contexts > 1
    # Of more sequences than are labelled the numbers say nothing.
    for sheet in mixture.mixtures(rows["runs"], rows["policies"], unnamed=told.sequences is None):
        screen.line()
        screen.sheet(sheet)
    if told.sequences is not None and (several or told.labels is None):
        screen.line()
        screen.sheet(sequences.mixtures(min(found, key=lambda each: each.beta)))
    if several:
        screen.line()
        screen.line(
            f" {found[0].game.contexts} contexts have one mixture each; --out DIRECTORY keeps them", style="dim"
        )


def _table(found: Sequence["Certified"]) -> Sheet:
    """One row per equilibrium: its support, its certificate, and its cost."""
    rows = tuple(
        (
            words.number(each.beta),
            words.count(each.support),
            words.small(each.certificate.suboptimality),
            words.small(each.certificate.residual),
            words.small(each.certificate.exploitability),
            words.small(each.certificate.bias),
            words.number(each.kl_to_reference),
            words.count(each.solves),
            words.elapsed(each.seconds),
            each.status,
        )
        for each in found
    )
    headings = (
        "β",
        "support",
        "suboptimality",
        "residual",
        "exploitability",
        "bias",
        "KL to μ",
        "linear solves",
        "time",
    )
    return Sheet((*headings, "status"), frozenset({"status"}), rows, spare=("time", "linear solves"))


def _limit(runs: Sequence["Run"], found: Sequence["Certified"]) -> list[str]:
    """Which equilibrium of the original game β = 0 is."""
    limit = next((each for each in found if each.beta == 0), None)
    if limit is None:
        return []
    entropy = ", so that of maximum entropy, μ being uniform" if runs[0].reference == "uniform" else ""
    return [
        "β = 0 is the limit of π*_β as β falls: the equilibrium of the original game",
        f"closest to μ in KL(π‖μ){entropy}; its residual is the largest regret",
    ]


def _draw(
    runs: Sequence["Run"],
    rows: Mapping[str, "pd.DataFrame"],
    directory: Path | None,
    formats: list[str],
    screen: "Working",
) -> list[Path]:
    from nashgames.cli import plot
    from nashgames.experiments.exact_path import stem

    screen.wait("drawing the figure")
    if directory is not None:
        written = plot.draw(directory, formats=formats)
    else:
        written = plot.draw_equilibria(rows, _FIGURES / stem(runs), formats)
    screen.clear()
    return written


def _vertex(found: Sequence["Certified"], screen: "Working") -> "Certified":
    """The linear program's vertex, shown beside the limit of the path."""
    from nashgames.experiments.exact_path import vertex_of

    limit = next(each for each in found if each.beta == 0)
    screen.wait("HiGHS solves the linear program")
    vertex = vertex_of(limit.game)
    rows = tuple(
        (
            name,
            words.count(each.support),
            words.small(each.certificate.exploitability),
            words.number(each.entropy),
            words.number(each.kl_to_reference),
            words.elapsed(each.seconds),
        )
        for name, each in (("limit of β → 0", limit), ("vertex of the linear program", vertex))
    )
    headings = ("equilibrium", "support", "exploitability", "entropy", "KL to μ", "time")
    screen.line()
    screen.sheet(Sheet(headings, frozenset({"equilibrium"}), rows))
    return vertex


def _rated(
    runs: Sequence["Run"], found: Sequence["Certified"], directory: Path | None, screen: "Working"
) -> list[dict[str, Any]]:
    """The equilibrium at the smallest β beside Elo and Bradley–Terry, shown, kept and as data."""
    from nashgames.cli import ratings

    screen.wait("rating the actions")
    last = min(found, key=lambda each: each.beta)
    rows = ratings.rated(runs[0].source, last.equilibrium)
    if directory is not None:
        ratings.keep({runs[0].source.text: rows}, directory)
    screen.line()
    screen.sheet(ratings.sheet(rows, last.beta))
    return ratings.payload(rows)


def _close(
    experiment: "Experiment",
    runs: Sequence["Run"],
    found: Sequence["Certified"],
    beside: Mapping[str, Any],
    directory: Path | None,
    written: list[Path],
    screen: "Working",
) -> None:
    """The last lines: the files and what to type next; or the data alone."""
    if screen.data:
        data = {
            "game": runs[0].source.text,
            "actions": found[0].game.actions,
            "contexts": found[0].game.contexts,
            "reference": runs[0].reference,
            "seed": runs[0].seed,
            "directory": None if directory is None else str(directory),
            "figures": [str(path) for path in written],
            "equilibria": [{"id": run.run_id} | _data(each) for run, each in zip(runs, found, strict=True)],
            "vertex": None if beside["vertex"] is None else _data(beside["vertex"]),
            "ratings": beside["ratings"],
        }
        streams.emit(json.dumps(data, allow_nan=False))
        return
    if screen.quiet:
        if directory is not None or written:
            streams.emit(str(directory or _FIGURES))
        return
    lines = [("figure", str(path)) for path in written if path.suffix != ".svg" or len(written) == 1]
    if directory is not None:
        place = shlex.quote(str(directory))
        also = "certificates, runs and curves" if beside["ratings"] is None else "certificates, runs, curves, ratings"
        lines.insert(0, ("files", f"{directory / 'policies.parquet'}, and {also}"))
        lines += [("plot", f"nashgames plot {place}"), ("verify", f"nashgames verify {place}")]
    elif len(runs) == 1:
        # The same game: what was asked of it stays.
        usual = type(experiment)().reference[0]
        asked = [f"--actions {size}" for size in experiment.actions]
        asked += [f"--reference {shlex.quote(text)}" for text in experiment.reference if text != usual]
        asked += [f"--seed {experiment.seed}"] * (experiment.seed > 0)
        lines.append(("next", " ".join(["nashgames equilibrium", shlex.quote(runs[0].source.text), *asked, _PATH])))
    screen.line()
    screen.pairs(lines)


def _data(found: "Certified") -> dict[str, Any]:
    """One equilibrium as data: its certificate, its cost, and the actions it plays, most probable first."""
    from nashgames.experiments.exact_path import mixtures

    played = mixtures([found])[found.played.ravel()]
    ordered = played.sort_values(["context", "probability", "action"], ascending=[True, False, True])
    policy = ordered[["context", "action", "label", "probability"]].to_dict("records")
    certificate = {key: plain(value) for key, value in found.certificate._asdict().items() if key != "beta"}
    return {
        "beta": found.beta,
        "status": found.status,
        "certificate": certificate,
        "kl_to_reference": plain(found.kl_to_reference),
        "entropy": plain(found.entropy),
        "solves": found.solves,
        "seconds": found.seconds,
        "support": found.support,
        "policy": [{key: plain(value) for key, value in row.items()} for row in policy],
    }
