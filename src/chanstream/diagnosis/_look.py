"""One look at an event loop: its tasks, what they refer to, and which of them nothing can reach."""

from __future__ import annotations

import asyncio
from typing import Final

from ._heap import Heap
from ._reach import Reach
from ._roots import Below
from ._tasks import Sleeper, awaited_by, others, records_of_anyio, sleeper
from ._timers import Timed, timed

__all__ = ["Look"]

PATIENCE: Final = 5_000
"""How many objects a look walks, and so many more for each task."""
PATIENCE_PER_TASK: Final = 200


class Look:
    """What was seen. It refers to all that it has looked at, so let go of it soon."""

    __slots__ = ("but_for_timeouts", "heap", "limits", "reach", "seen", "sleepers", "timed")

    heap: Heap
    sleepers: list[Sleeper]
    """All tasks but the one that looks."""
    reach: Reach
    timed: Timed
    limits: dict[int, float | None]
    """In how many seconds a timeout ends the wait of a task; None if something may move that timeout."""
    but_for_timeouts: dict[int, Sleeper]
    """The tasks that only a timeout may end the waits of, and those that are stuck."""
    seen: set[int]
    """What could be reached before a timeout."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.sleepers = []
        self.heap = walked(loop, self.sleepers)
        self.timed = timed(loop, self.heap, self.sleepers)
        records = {self.heap.index.get(id(each), 0) for each in records_of_anyio()}
        self.reach = reach = Reach(self.heap, self.sleepers, Below(loop), self.timed.timeouts, records)
        reach.release(*self.timed.free)
        reach.settle()
        self.but_for_timeouts, self.seen = dict(reach.stuck), set(reach.seen)
        self.limits = dict(self.timed.limits)
        for task in reach.within_timeouts():
            self.limits.setdefault(task, None)
        reach.let_timeouts_end()
        reach.cancel(*self.timed.every)
        reach.settle()
        while doubtful := reach.doubtful(loop):
            reach.release(*doubtful)
            reach.settle()


def walked(loop: asyncio.AbstractEventLoop, sleepers: list[Sleeper]) -> Heap:
    """Return the heap of what the tasks of `loop` refer to, and add them to `sleepers`."""
    tasks = others(loop)
    heap = Heap(PATIENCE + PATIENCE_PER_TASK * len(tasks))
    sleepers += [sleeper(heap, task) for task in tasks if awaited_by(task) is not None]
    for each in records_of_anyio():
        heap.add(each)
    heap.walk(counted=True)
    # What those refer to that run is referred to from outside, so it is not counted. It is looked at for the picture.
    sleepers += [sleeper(heap, task) for task in tasks if awaited_by(task) is None]
    heap.walk(counted=False)
    return heap
