"""Which tasks nothing can reach any more, by what refers to what.

A task that waits may go on if what would end its wait can be reached: from outside of what the waiting tasks refer to, or by a task
that may go on. Take those out, and again, until nothing changes. What is left is a deadlock. To refer to a task reaches it only for
a timer, as a timeout around its wait does. Timeouts come last, so that it is seen which waits they alone may end.

A task that nothing refers to is garbage. What it holds will be dropped, which may end the waits of others. So it counts as one that
goes on.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Container
from typing import Final

from ._anchors import closure, is_rooted, kept_by_library
from ._heap import Heap
from ._python import is_a
from ._roots import Below
from ._tasks import Sleeper, Wait

__all__ = ["Reach"]

TIMEOUTS: Final = ("Timeout", "CancelScope")
"""What asyncio, async-timeout and anyio call a timeout that its owner may move."""


class Reach:
    """A search in a heap that has been walked."""

    __slots__ = (
        "anchors", "awake", "below", "fresh", "heap", "main", "may_end", "origins", "outside", "owner", "seen", "stuck", "timeouts",
        "timers",
    )  # fmt: skip

    heap: Heap
    stuck: dict[int, Sleeper]
    """The tasks that have not been seen to go on, by their numbers."""
    owner: dict[int, int]
    """The task that runs a coroutine."""
    outside: list[int]
    seen: set[int]
    """What can be reached."""
    origins: dict[int, int]
    """From where it was reached first; its own number, if that is outside."""
    fresh: deque[int]
    awake: list[int]
    """The tasks that run in the next turn of the event loop."""
    anchors: set[int]
    """What is kept alive by something else than the tasks that wait."""
    main: int | None
    below: list[int]
    timers: set[int]
    """The timers that only end a wait. They lead nowhere, until all else has been reached."""
    timeouts: list[int]
    """Those of them, and the timeouts, that have been reached."""
    may_end: bool
    """Whether they lead on."""

    def __init__(self, heap: Heap, sleepers: list[Sleeper], below: Below, timers: set[int], unused: Container[int]) -> None:
        self.heap = heap
        self.timers = timers
        self.timeouts = []
        self.may_end = False
        self.stuck = {each.task: each for each in sleepers if each.wait is not Wait.NOTHING}
        self.owner = {holder: each.task for each in self.stuck.values() for holder in each.chain}
        self.seen = set()
        self.origins = {}
        self.fresh = deque()
        self.main = heap.index.get(below.main)
        self.below = [heap.index[value] for value in below.values if value in heap.index]
        for number in self.below:
            heap.inside[number] += 1
        self.outside = heap.held_from_outside()
        self.awake = [each.task for each in sleepers if each.wait is Wait.NOTHING]
        self.anchors = {*self.below, *self.awake}
        for number, count in enumerate(self.outside):
            if count > 0:
                self.anchors.add(number)
            if number in self.stuck or number in self.owner or number in unused:
                continue
            if count or heap.is_watched(number) or is_a(heap.objects[number], asyncio.Task):
                self.reach(number, number)
        if self.main not in self.stuck:
            self.main = None
            for number in self.below:
                self.reach(number, number)
        self.settle()

    def reach(self, number: int, origin: int) -> None:
        if number not in self.seen:
            self.seen.add(number)
            self.origins[number] = origin
            self.fresh.append(number)

    def release(self, *tasks: int) -> None:
        """Tasks may go on, and with them all that they hold."""
        for task in tasks:
            if task in self.stuck:
                chain = self.stuck.pop(task).chain
                self.reach(task, task)
                for holder in chain:
                    self.reach(holder, task)
                if task == self.main:
                    for number in self.below:
                        self.reach(number, task)

    def settle(self) -> None:
        """Take out all tasks that may go on."""
        while True:
            while self.fresh:
                origin = self.fresh.popleft()
                is_timeout = type(self.heap.objects[origin]).__name__ in TIMEOUTS
                if not self.may_end and (is_timeout or origin in self.timers):
                    self.timeouts.append(origin)
                    continue
                if is_timeout:
                    self.cancel(*self.within(origin))
                for number in self.heap.edges[origin]:
                    if number not in self.stuck and self.owner.get(number) not in self.stuck:
                        self.reach(number, origin)
            free = [number for number, each in self.stuck.items() if self.may_go_on(each)] or self.lost()
            if not free:
                return
            self.release(*free)

    def within(self, timeout: int) -> list[int]:
        """Return what a timeout refers to: tasks around whose waits it is, among other things. What reaches it may have it end."""
        found = {timeout: None}
        fresh = [timeout]
        for number in fresh:  # which grows meanwhile
            near = [each for each in self.heap.edges[number] if each not in found]
            found |= dict.fromkeys(near)
            kinds = {each: type(self.heap.objects[each]) for each in near}
            # Its attributes, and in anyio the tasks and the scopes within.
            fresh += [each for each, kind in kinds.items() if kind in {dict, set} or kind.__name__ in TIMEOUTS]
        return list(found)

    def cancel(self, *tasks: int) -> None:
        """Tasks may be cancelled, and with each one those that it waits for."""
        fresh = list(tasks)
        for number in fresh:  # which grows meanwhile
            sleeper = self.stuck.get(number)
            if sleeper is not None:
                self.release(number)
                fresh += sleeper.members or [sleeper.wanted]

    def within_timeouts(self) -> list[int]:
        """Return the tasks that are stuck, but for a timeout that has been reached."""
        found = (each for timeout in self.timeouts if timeout not in self.timers for each in self.within(timeout))
        return [each for each in found if each in self.stuck]

    def let_timeouts_end(self) -> None:
        """From now on, what reaches a timeout reaches the tasks within."""
        self.may_end = True
        self.fresh += self.timeouts

    def may_go_on(self, sleeper: Sleeper) -> bool:
        if sleeper.wait is Wait.TASK:
            return sleeper.wanted not in self.stuck
        if sleeper.wait is Wait.ALL:
            return not any(each in self.stuck or self.is_pending(each) for each in sleeper.members)
        return sleeper.wanted in self.seen

    def is_pending(self, number: int) -> bool:
        """Return whether a future that is no task waits to be completed, and nothing can reach it."""
        future = self.heap.objects[number]
        return is_a(future, asyncio.Future) and not is_a(future, asyncio.Task) and not future.done() and number not in self.seen

    def lost(self) -> list[int]:
        """Return the tasks that nothing keeps alive."""
        kept = closure(self.heap.edges, self.anchors)
        return [number for number in self.stuck if number not in kept]

    def doubtful(self, loop: asyncio.AbstractEventLoop) -> list[int]:
        """Return a task of which it can't be seen what keeps it alive, if there is one: it may be garbage."""
        kept = closure(self.heap.edges, [*self.below, *self.awake, *kept_by_library(self.heap)])
        unknown = [task for task in self.stuck if task not in kept]
        referrers = self.heap.referrers() if unknown else []
        for task in unknown:
            if task not in kept:
                holders = closure(referrers, [task]) & self.anchors
                if not is_rooted(self.heap, holders, loop):
                    return [task]
                kept |= closure(self.heap.edges, [task])
        return []
