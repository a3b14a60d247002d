"""For tests: a time limit that explains why it was exceeded."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import final

from chanstream import errors
from chanstream._cancellation import current_task

from ._arguments import check_once, check_seconds
from ._report import report

__all__ = ["Deadline", "deadline"]


def deadline(seconds: float, /) -> Deadline:
    """Return a block for a test, to be entered with ``async with``, that fails when it takes longer than `seconds`.

    A test that hangs then fails with the report of `graph` in its message, instead of holding up all tests.

    **Waits** for nothing itself, neither on entering nor on leaving.

    **Cancelled** from elsewhere, the block raises that cancellation. When its time is over, the block is cancelled once, as by
    ``asyncio.timeout``.

    **Raises** TypeError if `seconds` is not a number, ValueError if it is negative, infinite or nan. The block raises TimeoutError
    with the report, if it was left by the cancellation that its time has asked for. Entering raises RuntimeError outside of a task,
    and a second time.
    """
    check_seconds(seconds)
    return Deadline(seconds)


@final
class Deadline:
    """What `deadline` returns: an asynchronous context manager for one use."""

    __slots__ = ("_before", "_report", "_seconds", "_task", "_timer")

    _seconds: float
    _task: asyncio.Task[object] | None
    _timer: asyncio.TimerHandle | None
    _before: int
    """How many cancellations were asked of the task when it entered the block."""
    _report: str

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._task = None
        self._timer = None
        self._before = 0
        self._report = ""

    async def __aenter__(self) -> None:
        task = current_task()
        if task is None:
            raise errors.deadline_without_task()
        check_once("deadline", was_entered=self._timer is not None)
        self._task = task
        self._before = task.cancelling()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._seconds, self._expire_soon)

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        task, timer = self._task, self._timer
        assert task is not None
        assert timer is not None
        timer.cancel()
        self._task = None
        if self._report and task.uncancel() <= self._before and isinstance(exc, asyncio.CancelledError):
            raise errors.too_late(self._seconds, self._report) from None

    def _expire_soon(self) -> None:
        # Not in the callback of the timer itself: for some event loops that is one of their timers until it has returned.
        asyncio.get_running_loop().call_soon(self._expire)

    def _expire(self) -> None:
        if self._task is not None:  # the block has not been left meanwhile
            self._report = report()
            self._task.cancel()
