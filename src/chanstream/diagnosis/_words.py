"""What a task waits for, and what could end the wait, in words."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Final

from chanstream._crossing import Crossing
from chanstream._ends import OPEN, UNOPENED

from ._heap import Heap
from ._names import Names, shortened
from ._needs import Hope, state_of
from ._python import code_of, is_a
from ._tasks import PRIMITIVES, Sleeper, Wait, thread_of

__all__ = ["Words"]

MANY: Final = 5
"""How many tasks are named, where several could help."""


class Words:
    """Describes what was looked at."""

    __slots__ = ("heap", "names", "referrers")

    heap: Heap
    names: Names
    referrers: list[list[int]]

    def __init__(self, heap: Heap, names: Names, referrers: list[list[int]]) -> None:
        self.heap = heap
        self.names = names
        self.referrers = referrers

    def channel(self, sleeper: Sleeper) -> str:
        """Return what the channel is called in which a task waits."""
        return self.names.channels.get(sleeper.wanted, "a channel")

    def waits(self, sleeper: Sleeper) -> str:
        """Return what a task waits for."""
        if sleeper.wait is Wait.NOTHING:
            return "runs"
        if sleeper.wait is Wait.TASK:
            return f"waits for the end of {self.listed([sleeper.wanted])}"
        if sleeper.wait is Wait.ALL:
            return f"waits for the end of {self.listed(sleeper.members)}"
        if sleeper.wait is Wait.FUTURE:
            return self.future(sleeper)
        if sleeper.wait is Wait.ITEMIZE:
            return f"waits in itemize of {self.channel(sleeper)}, {self.full(sleeper)}"
        why = "whose sender nothing has opened" if state_of(self.heap, sleeper).sending is UNOPENED else "which has none"
        return f"waits for an item of {self.channel(sleeper)}, {why}"

    def full(self, sleeper: Sleeper) -> str:
        state = state_of(self.heap, sleeper)
        if state.buffer:
            return f"whose buffer of {state.buffer} is full"
        return "whose consumer took the item and has not come back" if sleeper.is_taken else "whose item nothing has taken"

    def future(self, sleeper: Sleeper) -> str:
        if sleeper.members:
            which = "the end of one" if self.is_in(sleeper, WAIT) else "the end"
            return f"waits for {which} of {self.listed(sleeper.members)}"
        if self.is_in(sleeper, SLEEP):
            return "sleeps"
        thread = thread_of(self.heap, sleeper)
        if thread is not None:
            return self.thread(sleeper, thread.name)
        number = self.primitive(sleeper)
        if number is None:
            in_thread = self.is_in(sleeper, TO_THREAD)
            return f"waits for {'a thread of asyncio.to_thread' if in_thread else 'something that is no channel and no task'}"
        kind, name = self.kind(number), self.names.primitives.get(number)
        return f"waits for the asyncio.{kind} {name}" if name else f"waits for {'an' if kind == 'Event' else 'a'} asyncio.{kind}"

    def thread(self, sleeper: Sleeper, name: str) -> str:
        if self.is_in(sleeper, OUTLAST):
            return f"is cancelled, and waits for the thread {name}: nothing but the return of its function ends that wait"
        return f"waits for the thread {name}, for an item or the return of its function"

    def is_in(self, sleeper: Sleeper, code: object) -> bool:
        """Return whether a task runs a function."""
        return any(code_of(self.heap.objects[each]) is code for each in sleeper.chain)

    def primitive(self, sleeper: Sleeper) -> int | None:
        """Return the lock, the event, or whatever of that kind a task waits for, as the program made it."""
        found: int | None = None
        near = [sleeper.wanted]
        # From the future by a deque to the event, perhaps by that to the queue; each may keep its attributes in a dict.
        for _ in range(FARTHEST):
            near = [number for each in near for number in self.referrers[each]]
            inner = [number for number in near if issubclass(type(self.heap.objects[number]), PRIMITIVES)]
            if inner:
                found, near = inner[0], inner[:1]
            near = [each for each in near if issubclass(type(self.heap.objects[each]), (*PRIMITIVES, deque, dict))]
        return found

    def kind(self, primitive: int) -> str:
        return next(kind.__name__ for kind in PRIMITIVES if is_a(self.heap.objects[primitive], kind))

    def helpers(self, sleeper: Sleeper, hope: Hope) -> tuple[str, ...]:
        """Return what could end the wait of a task."""
        if sleeper.wait in (Wait.NOTHING, Wait.TASK, Wait.ALL) or sleeper.members or not (hope.tasks or sleeper.in_channel):
            return ()
        if sleeper.in_channel:
            sending = state_of(self.heap, sleeper).sending
            end = "receiver" if sleeper.wait is Wait.ITEMIZE else "itemizer" if sending is OPEN else "sender"
            held = f"its {end} is held by"
        else:
            held = "what it waits for is in reach of"
        direct = [each for each in hope.tasks if each not in hope.by_channel]
        found = [f"{held} {self.listed(direct)}"] if direct or not hope.by_channel else []
        if hope.by_channel:
            found.append(f"the channel is held by {self.listed(sorted(hope.by_channel))}")
        return tuple(found)

    def listed(self, tasks: Iterable[int]) -> str:
        """Return the names of tasks that have not ended; only the first of many."""
        numbers = [each for each in tasks if not self.has_ended(each)]
        named = [self.names.tasks.get(each, "something that is no task") for each in numbers[:MANY]]
        if len(numbers) > MANY:
            named.append(f"{len(numbers) - MANY} more")
        return ", ".join(named) or "no other task"

    def has_ended(self, number: int) -> bool:
        task = self.heap.objects[number]
        return is_a(task, asyncio.Task) and task.done()

    def counts(self, sleeper: Sleeper) -> str:
        """Return a line about the channel in which a task waits."""
        state = state_of(self.heap, sleeper)
        now = state.statistics()
        mode = f"buffer={now.buffer}" if now.buffer else "lock-step"
        made = f", made at {shortened(state.origin)}" if state.origin else ""
        return (
            f"{self.channel(sleeper)}: {mode}, sender {now.sender}, receiver {now.receiver}, {now.pending} to be taken, "
            f"{now.itemizing} waiting in itemize, {now.asking} waiting for an item{made}"
        )


SLEEP: Final = asyncio.sleep.__code__
WAIT: Final = asyncio.wait.__code__
TO_THREAD: Final = asyncio.to_thread.__code__
OUTLAST: Final = Crossing.outlast.__code__

FARTHEST: Final = 6
"""How many references away from a future its owner may be."""
