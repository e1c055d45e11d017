"""The two streams of a terminal, made to survive what terminals do: no UTF-8, no colour, no reader."""

import codecs
import os
import shutil
import sys
import textwrap
import unicodedata

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
    "λ": "lambda",
    "Σ": "sum",
    "\u00a0": " ",
    "’": "'",
    "─": "-",
    "│": "|",
    "≻": ">",
    "∝": "prop.",
    "½": "1/2",
    "¼": "1/4",
    "∞": "inf",
    "←": "<-",
    "∇": "grad",
    "√": "sqrt",
    "≈": "~",
    "×": "x",
    "⇄": "<->",
    "⟨": "<",
    "⟩": ">",
}


def make_tolerant() -> None:
    """Let both streams spell out the characters that their encoding lacks."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="nashgames")


def spelled(text: str) -> str:
    """A text in the characters that standard output has."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return text.encode(encoding, "nashgames").decode(encoding)


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
    if sys.stderr.isatty():
        width = shutil.get_terminal_size().columns
        line = textwrap.fill(line, width, break_long_words=False, break_on_hyphens=False)
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
    return "".join(map(_spelled, text)), error.end


def _spelled(character: str) -> str:
    """A character in ASCII: as it is usually written, a Greek letter by its name, without an accent, or as ?."""
    if character in _PLAIN:
        return _PLAIN[character]
    words = unicodedata.name(character, "").split(" ")
    if words[0] == "GREEK" and "LETTER" in words:
        return words[-1].lower()
    if unicodedata.combining(character):
        return ""
    return unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode() or "?"


codecs.register_error("nashgames", _spell)
