"""The report of a look, where nothing may go wrong: in a signal handler, and for another process."""

from __future__ import annotations

import asyncio
import signal
import sys
from types import FrameType

from chanstream import errors

from ._arguments import check_signal
from ._picture import picture
from ._python import COUNTS

__all__ = ["on_signal", "report"]


def report() -> str:
    """Return what `graph` shows of the event loop that runs in this thread, or why it can't."""
    loop = asyncio._get_running_loop()
    if loop is None:
        return "no event loop runs in the main thread"
    if not COUNTS:
        return str(errors.cannot_look())
    try:
        return str(picture(loop))
    except Exception as error:
        return f"the look failed: {error!r}"


def on_signal(signum: signal.Signals, /) -> None:
    """From now on, print the report of `graph` to stderr whenever the process gets `signum`.

    With ``on_signal(signal.SIGUSR1)``, ``kill -USR1 PID`` shows why a program hangs, while it hangs. The handler is one of the
    `signal` module, so a stage that keeps the event loop busy is shown too. It stays until another one is set.

    From Python 3.14 on, ``python -m chanstream ps PID`` shows the same without this.

    **Doesn't wait.**

    **Raises** TypeError if `signum` is not a signal; ValueError in another thread than the main one, and OSError if there is no
    handler for that signal.
    """
    check_signal(signum)
    signal.signal(signum, print_report)


def print_report(_signum: int, _frame: FrameType | None) -> None:
    print(report(), file=sys.stderr, flush=True)
