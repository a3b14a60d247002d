"""Calls a function every few milliseconds, whatever the event loop does: by a signal, or where that can't be by a thread.

A thread alone doesn't get there. In a busy event loop `select` releases the interpreter more often than a thread that waits for it
is given it, so that under load a thread has few looks or none. A signal interrupts the main thread wherever it is.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Final

__all__ = ["SignalTicker", "ThreadTicker", "ticker"]


class SignalTicker:
    """Ticks by SIGALRM, in the main thread."""

    __slots__ = ("_before", "_tick")

    by: Final = "signal"

    def __init__(self, tick: Callable[[FrameType | None], object], seconds: float) -> None:
        self._tick = tick
        self._before = signal.signal(signal.SIGALRM, self._handle)
        signal.siginterrupt(signal.SIGALRM, False)
        signal.setitimer(signal.ITIMER_REAL, seconds, seconds)

    def _handle(self, _signum: int, frame: FrameType | None) -> None:
        self._tick(frame)

    def stop(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self._before)


class ThreadTicker:
    """Ticks in a thread of its own, as often as it is let."""

    __slots__ = ("_end", "_seconds", "_thread", "_tick", "_watched")

    by: Final = "thread"

    def __init__(self, tick: Callable[[FrameType | None], object], seconds: float) -> None:
        self._tick = tick
        self._seconds = seconds
        self._watched = threading.get_ident()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="chanstream.diagnosis.profile", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._end.wait(self._seconds):
            self._tick(sys._current_frames().get(self._watched))

    def stop(self) -> None:
        self._end.set()
        if threading.current_thread() is not self._thread:
            self._thread.join()


def ticker(tick: Callable[[FrameType | None], object], seconds: float) -> SignalTicker | ThreadTicker:
    """Call ``tick(frame)`` every few `seconds`, with where the calling thread stands."""
    if can_signal():
        return SignalTicker(tick, seconds)
    return ThreadTicker(tick, seconds)


def can_signal() -> bool:
    """Return whether the timer of the process is free, and this its main thread."""
    return (
        sys.platform != "win32"
        and threading.current_thread() is threading.main_thread()
        and signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
        and signal.getsignal(signal.SIGALRM) in (signal.SIG_DFL, signal.SIG_IGN)
    )
