"""The two streams of a terminal, made to survive what terminals do: no UTF-8, no colour, no reader."""

import codecs
import os
import sys

from nashgames.errors import sentence as as_printed

_PLAIN = {
    "·": "-",
    "–": "-",
    "−": "-",
    "…": "...",
    "‖": "||",
    "≤": "<=",
    "≥": ">=",
    "→": "->",
    "✓": "+",
    "β": "beta",
    "η": "eta",
    "λ": "lambda",
    "\u00a0": " ",
    "κ": "kappa",
    "μ": "mu",
    "π": "pi",
    "’": "'",
    "─": "-",
    "│": "|",
}


def make_tolerant() -> None:
    """Let both streams spell out the characters that their encoding lacks."""
    codecs.register_error("nashgames", _spell)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="nashgames")


def emit(text: str) -> None:
    """One piece of data on standard output; when its reader has gone away the command still finishes its work."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        discard_output()
    except OSError:
        discard_output()
        raise


def complain(sentence: str) -> None:
    """One red sentence on standard error, without loading rich."""
    if sys.stderr is None:
        return
    colour = sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    line = f"error: {as_printed(sentence)}"
    try:
        sys.stderr.write(f"\x1b[31m{line}\x1b[0m\n" if colour else f"{line}\n")
        sys.stderr.flush()
    except BrokenPipeError:
        return


def discard_output() -> None:
    """Send what is still written to standard output nowhere, so that closing it at exit does not complain."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _spell(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    spelled = "".join(_PLAIN.get(character, "?") for character in text)
    return spelled, error.end
