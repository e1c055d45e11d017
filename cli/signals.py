"""Signals that stop a command: Ctrl-C, and SIGTERM, with which a scheduler takes a machine back."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

# The shells' convention: 128 and the number of the signal.
_BASE = 128
_WATCHED: dict[int, Any] = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
"""The signals that stop, and what they do where nobody has use for them."""

_came: list[int] = []


@contextmanager
def stopping() -> Iterator[None]:
    """Inside, the first signal is a KeyboardInterrupt, which lets a command finish its files, and a second one ends it
    at once. One that is ignored, or that somebody else handles, stays so."""
    main = threading.current_thread() is threading.main_thread()
    ours = [which for which, usual in _WATCHED.items() if main and signal.getsignal(which) is usual]
    _came.clear()
    for which in ours:
        signal.signal(which, _stop)
    try:
        yield
    finally:
        for which in ours:
            signal.signal(which, _WATCHED[which])


def check() -> None:
    """Raise KeyboardInterrupt where a signal came and was lost: Python drops what is raised in callbacks of others."""
    if _came:
        raise KeyboardInterrupt


def exit_code() -> int:
    """The exit code of a command that was stopped: 130 for Ctrl-C, 143 for SIGTERM."""
    return _BASE + (_came[0] if _came else signal.SIGINT)


def _stop(number: int, frame: FrameType | None) -> None:
    _came.append(number)
    if len(_came) == 1:
        raise KeyboardInterrupt
    # Whatever is written meanwhile is written atomically, and threads that compile need not be waited for.
    sys.stderr.write("error: stopped at once; what was finished is kept\n")
    sys.stderr.flush()
    os._exit(_BASE + number)
