"""The cancellations of the current task, and how one is raised again when something else is raised in its place."""

from __future__ import annotations

import asyncio
import sys
from asyncio import _get_running_loop

__all__ = ["cancel_again", "cancelling", "current_task", "replaced_cancellation"]


def current_task() -> asyncio.Task[object] | None:
    """Return the running task. None if no event loop runs, or a callback runs in it."""
    loop = _get_running_loop()
    return None if loop is None else asyncio.current_task(loop)


def cancelling() -> int:
    """Return how many cancellations of the current task were requested and not taken back; 0 outside of a task."""
    task = current_task()
    return 0 if task is None else task.cancelling()


def cancel_again(before: int, error: BaseException | None) -> None:
    """Have the next ``await`` of this task raise its cancellation again, in whose place something else is raised now.

    asyncio.TaskGroup does the same. Does nothing if the ``cancelling()`` count is not more than `before`; nor before Python 3.13,
    where an ``asyncio.timeout`` around it could not take the cancellation back. `error` is the cancellation, or was raised in its
    place: the next one has the same message, by which anyio recognizes its own.
    """
    task = current_task()
    if sys.version_info >= (3, 13) and task is not None and task.cancelling() > before:
        task.uncancel()
        task.cancel(*replaced_cancellation(error).args[:1])


def replaced_cancellation(error: BaseException | None) -> asyncio.CancelledError:
    """Return the cancellation that `error` was raised in place of."""
    seen = set[int]()  # a chain of errors may be a circle
    while error is not None and id(error) not in seen:
        if isinstance(error, asyncio.CancelledError):
            return error
        seen.add(id(error))
        error = error.__context__
    return asyncio.CancelledError()
