"""Find a stuck stage: which task waits for which, and whether any can go on. `graph` looks, and costs nothing until then.

It reads the frames of the tasks and the references between their objects, and changes nothing. The library doesn't know of it.
"""

from __future__ import annotations

import asyncio

from chanstream import errors

from ._deadline import deadline
from ._graph import Graph, Stage, Verdict
from ._picture import picture
from ._profile import Profile, profile
from ._python import COUNTS
from ._report import on_signal

__all__ = ["Graph", "Profile", "Stage", "Verdict", "deadline", "graph", "on_signal", "profile"]


def graph() -> Graph:
    """Look at the tasks of the running event loop, and return which of them waits for which.

    `str` of it is a report: the verdict, what would free the tasks that are stuck, and each task with its place in the program,
    what it waits for, and which tasks could end that wait. It holds text alone, so it keeps nothing alive.

    What it calls a deadlock is one: a set of tasks that nothing outside of the set can reach any more, by whatever reference there
    is. Not counted as reaching are a cancellation, unless a timer asks for it, as a timeout around the wait does; and reflection,
    as by `gc` or ``asyncio.all_tasks``. A task that waits for a future that nothing knows, alone and in no channel, is one that is
    meant to wait until it is cancelled. Where it can't prove a deadlock, it suspects one, and says what could end it, be it no more
    than a timeout.

    Call it in a callback of the event loop, for example by ``loop.call_later``, or in a task of its own: what the caller holds can
    still be used by it.

    **Doesn't wait**, and gives no other task a turn. It takes about a quarter of a millisecond for each task.

    **Raises** RuntimeError where no event loop runs, and on a Python that doesn't count references, such as PyPy.
    """
    if not COUNTS:
        raise errors.cannot_look()
    return picture(asyncio.get_running_loop())


for _public in (Graph, Profile, Stage, Verdict, deadline, on_signal, profile):
    _public.__module__ = __name__
