"""What becomes of a cancellation when an error takes its place."""

from __future__ import annotations

import asyncio
import sys

__all__ = ["cancel_again"]


def cancel_again() -> None:
    """Have the next ``await`` of this task raise the cancellation that it has met, for an error is raised now.

    As asyncio.TaskGroup does. Does nothing before Python 3.13, as there: an ``asyncio.timeout`` around it could not take the
    cancellation back.
    """
    task = asyncio.current_task()
    if sys.version_info >= (3, 13) and task is not None and task.cancelling():
        task.uncancel()
        task.cancel()
