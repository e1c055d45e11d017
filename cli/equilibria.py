"""`equilibrium`: the exact equilibria of one game with their certificates, as a table, data, files and a figure."""

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from nashgames.cli import options, streams, words
from nashgames.cli.failures import FAILED, STOPPED
from nashgames.cli.plot import formats_of
from nashgames.cli.summary import Sheet, plain
from nashgames.errors import NashGamesError

if TYPE_CHECKING:
    import pandas as pd

    from nashgames.cli.display import Working
    from nashgames.experiments.exact_path import Answer, Question
    from nashgames.experiments.experiment import Experiment

_FIGURES = Path("results/equilibria")
_MEANING = (
    "suboptimality: what the best reply gains in the regularised game, half the gap",
    "exploitability: what the best action gains in the original one; at an exact",
    "equilibrium that is its bias β (max log π/μ − KL(π‖μ)); KL to μ: KL(π‖μ)",
    "residual: max |log π − log BR(π)|; support: actions played, above 1e-9",
)
_PATH = "--beta 1,0.1,0.01,0"


def equilibrium(game: str, given: Mapping[str, Any], arguments: list[str] | None) -> None:
    """Find the equilibria of a game and show them; exit code 1 where one is not exact, 130 on Ctrl-C."""
    from nashgames.cli import backend
    from nashgames.cli.display import Working

    experiment, betas = _asked(game, given)
    formats, directory = formats_of(given["format"] or None), options.output_directory(given["out"])
    with Working(quiet=given["quiet"], data=given["json"]) as screen:
        try:
            screen.wait("starting")
            backend.start(experiment.device)
            from nashgames.experiments.exact_path import ask, frames

            question = ask(experiment, betas)
            answers = _find(question, directory, arguments, experiment, screen)
            rows = frames(question, answers)
            _show(question, answers, rows, screen)
            written = [] if given["no_plot"] else _draw(question, rows, directory, formats, screen)
            vertex = _vertex(answers, screen) if given["vertex"] else None
            _close(question, answers, vertex, directory, written, screen)
        except KeyboardInterrupt:
            screen.clear()
            kept = f"; what was found is kept in '{directory}'" if directory and directory.exists() else ""
            streams.complain(f"stopped{kept}")
            raise typer.Exit(STOPPED) from None
    inexact = [answer for answer in answers if answer.status != "converged"]
    if inexact:
        worst = max(inexact, key=lambda answer: answer.found.residual)
        streams.complain(
            f"{len(inexact)} of {len(answers)} equilibria could not be made exact: at β = {words.number(worst.beta)} "
            f"the residual is {words.small(worst.found.residual)}; take a larger β"
        )
        raise typer.Exit(FAILED)


def _asked(game: str, given: Mapping[str, Any]) -> tuple["Experiment", tuple[float, ...]]:
    """The game, size, reference and seed as an experiment, whose β are not used, and the β asked for."""
    from nashgames.experiments.experiment import Experiment, exact_betas

    values = options.chosen({"game": [game], **{key: given[key] for key in ("actions", "reference", "seed")}})
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
    question: "Question",
    directory: Path | None,
    arguments: list[str] | None,
    experiment: "Experiment",
    screen: "Working",
) -> list["Answer"]:
    """The answers in the order asked; the header is shown as soon as the game is there."""
    from nashgames.experiments.exact_path import Answer, trace

    answers: dict[float, Answer] = {}
    left = sorted(question.betas, reverse=True)
    pursuit = trace(question, directory, arguments)
    try:
        for event in pursuit:
            if isinstance(event, Answer):
                answers[event.beta] = event
                left.remove(event.beta)
            elif not answers:
                header = words.header(experiment, event.game.actions, question.reference, question.betas)
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
    return [answers[beta] for beta in question.betas]


def _show(
    question: "Question", answers: Sequence["Answer"], rows: Mapping[str, "pd.DataFrame"], screen: "Working"
) -> None:
    from nashgames.cli import summary

    if screen.data or screen.quiet:
        return
    screen.line()
    screen.sheet(_table(answers))
    for line in _MEANING:
        screen.line(f" {line}", style="dim")
    for line in _limit(question, answers):
        screen.line(f" {line}")
    for sheet in summary.mixtures(rows["runs"], rows["policies"], unnamed=True):
        screen.line()
        screen.sheet(sheet)
    if answers[0].game.contexts > 1:
        screen.line()
        screen.line(
            f" {answers[0].game.contexts} contexts have a mixture each; --out DIRECTORY keeps them", style="dim"
        )


def _table(answers: Sequence["Answer"]) -> Sheet:
    """A row an equilibrium: its size, its certificate, and what it took."""
    rows = tuple(
        (
            words.number(answer.beta),
            words.count(answer.support),
            words.small(answer.certificate.suboptimality),
            words.small(answer.certificate.residual),
            words.small(answer.certificate.exploitability),
            words.small(answer.certificate.bias),
            words.number(answer.kl_to_reference),
            words.count(answer.solves),
            words.elapsed(answer.seconds),
            answer.status,
        )
        for answer in answers
    )
    headings = ("β", "support", "suboptimality", "residual", "exploitability", "bias", "KL to μ", "solves", "time")
    return Sheet((*headings, "status"), frozenset({"status"}), rows, spare=("time", "solves"))


def _limit(question: "Question", answers: Sequence["Answer"]) -> list[str]:
    """Which equilibrium of the original game β = 0 is."""
    if 0 not in question.betas:
        return []
    played = next(answer.support for answer in answers if answer.beta == 0)
    entropy = ", so that of maximum entropy, μ being uniform" if question.reference == "uniform" else ""
    return [
        "β = 0 is the limit of π*_β as β falls: of all equilibria of the original game",
        f"the closest to μ in KL(π‖μ){entropy};",
        f"it plays {words.plural(played, 'action')}, and its residual is the largest regret of one of them",
    ]


def _draw(
    question: "Question",
    rows: Mapping[str, "pd.DataFrame"],
    directory: Path | None,
    formats: list[str],
    screen: "Working",
) -> list[Path]:
    from nashgames.cli import plot

    screen.wait("drawing the figure")
    if directory is not None:
        written = plot.draw(directory, formats=formats)
    else:
        written = plot.draw_equilibria(rows, _FIGURES / question.stem(), formats)
    screen.clear()
    return written


def _vertex(answers: Sequence["Answer"], screen: "Working") -> "Answer":
    """The linear program's vertex, shown beside the limit of the path."""
    from nashgames.experiments.exact_path import vertex_of

    limit = next(answer for answer in answers if answer.beta == 0)
    screen.wait("HiGHS solves the linear program")
    vertex = vertex_of(limit.game)
    rows = tuple(
        (
            name,
            words.count(answer.support),
            words.small(answer.certificate.exploitability),
            words.number(answer.entropy),
            words.number(answer.kl_to_reference),
            words.elapsed(answer.seconds),
        )
        for name, answer in (("limit of β → 0", limit), ("vertex of the linear program", vertex))
    )
    headings = ("equilibrium", "support", "exploitability", "entropy", "KL to μ", "time")
    screen.line()
    screen.sheet(Sheet(headings, frozenset({"equilibrium"}), rows))
    return vertex


def _close(
    question: "Question",
    answers: Sequence["Answer"],
    vertex: "Answer | None",
    directory: Path | None,
    written: list[Path],
    screen: "Working",
) -> None:
    """The last lines: the files and what to type next; or the data alone."""
    if screen.data:
        data = {
            "game": question.source.text,
            "actions": answers[0].game.actions,
            "contexts": answers[0].game.contexts,
            "reference": question.reference,
            "seed": question.seed,
            "directory": None if directory is None else str(directory),
            "figures": [str(path) for path in written],
            "equilibria": [{"id": question.run_id(answer.beta)} | _data(answer) for answer in answers],
            "vertex": None if vertex is None else _data(vertex),
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
        lines.insert(0, ("files", f"{directory / 'policies.parquet'}, with certificates, runs and curves beside it"))
        lines += [("plot", f"nashgames plot {place}"), ("verify", f"nashgames verify {place}")]
    elif len(question.betas) == 1:
        lines.append(("next", f"nashgames equilibrium {shlex.quote(question.source.text)} {_PATH}"))
    screen.line()
    screen.pairs(lines)


def _data(answer: "Answer") -> dict[str, Any]:
    """One equilibrium for a program: its certificate, what it took, and the actions it plays, the likeliest first."""
    from nashgames.experiments.exact_path import mixtures

    played = mixtures([answer])[answer.played.ravel()]
    ordered = played.sort_values(["context", "probability", "action"], ascending=[True, False, True])
    policy = ordered[["context", "action", "label", "probability"]].to_dict("records")
    certificate = {key: plain(value) for key, value in answer.certificate._asdict().items() if key != "beta"}
    return {
        "beta": answer.beta,
        "status": answer.status,
        "certificate": certificate,
        "kl_to_reference": plain(answer.kl_to_reference),
        "entropy": plain(answer.entropy),
        "solves": answer.solves,
        "seconds": answer.seconds,
        "support": answer.support,
        "policy": [{key: plain(value) for key, value in row.items()} for row in policy],
    }
