"""The tasks of an event loop at one moment, and what each waits for.

This is what the diagnosis reads of asyncio, of anyio and of this library. Of asyncio: what a task awaits (`_fut_waiter`), the
members of a TaskGroup (`_tasks`) and of a gather (`_children`), the arguments of ``asyncio.wait``. Of anyio: its table of tasks
(`_task_states`). Of the library: the `Waiter` that a task waits on, whether it `sleeps`, and its `policy` with the `state` of the
channel; the coroutine inside a `Feeding`; the coroutine that the generator of a `stream` drives; the `thread` of a producer of
`in_thread`.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from dataclasses import dataclass
from enum import Enum, auto
from threading import Thread
from types import CellType, CodeType
from typing import Final

from chanstream._feed import Feeding
from chanstream._waiting import FOR_ITEM, Waiter
from chanstream.in_thread import in_thread
from chanstream.stream import drive

from ._heap import Heap
from ._python import attribute, code_of, frame_of, is_a, local_names, referents, waits_for

__all__ = ["PRIMITIVES", "Sleeper", "Wait", "awaited_by", "is_for_lock", "others", "records_of_anyio", "sleeper", "thread_of"]

PRIMITIVES: Final = (
    asyncio.Queue, asyncio.Condition, asyncio.Event, asyncio.Lock, asyncio.Semaphore, asyncio.Barrier
)  # fmt: skip

DEEPEST: Final = 10_000
"""The longest chain of awaits that is followed."""


class Wait(Enum):
    """What a task waits for."""

    NOTHING = auto()
    """It runs, or will in the next turn of the event loop."""
    ITEMIZE = auto()
    """In an itemizer, for the other side to come."""
    ITEM = auto()
    """For an item."""
    TASK = auto()
    """For the end of another task."""
    ALL = auto()
    """For the end of several: those of a task group, or of ``asyncio.wait``."""
    FUTURE = auto()
    """For a future, whatever completes it."""


@dataclass(slots=True)
class Sleeper:
    """A task, by the numbers that a heap has given to what is looked at."""

    task: int
    chain: list[int]
    """The coroutines and generators that it runs, the outermost first."""
    wait: Wait = Wait.NOTHING
    wanted: int = 0
    """The state of the channel, the task or the future that it waits for."""
    members: tuple[int, ...] = ()
    """What it waits for, with `Wait.ALL`; with `Wait.FUTURE` the tasks of which it waits for one, or for all that don't fail."""

    is_taken: bool = False
    """With `Wait.ITEMIZE`, whether its item was taken, so that it waits for a further ask."""

    @property
    def in_channel(self) -> bool:
        """Return whether it waits in a channel."""
        return self.wait is Wait.ITEM or self.wait is Wait.ITEMIZE


def others(loop: asyncio.AbstractEventLoop) -> list[asyncio.Task[object]]:
    """Return the tasks of `loop` but the one that runs now, in the order in which they were made, as far as their names show it."""
    return sorted(asyncio.all_tasks(loop) - {asyncio.current_task(loop)}, key=by_name)


def by_name(task: asyncio.Task[object]) -> tuple[int, str]:
    name = task.get_name()
    return len(name), name


def awaited_by(task: asyncio.Task[object]) -> object:
    """Return what a task sleeps on; None if it runs in the next turn of the event loop."""
    awaited = attribute(task, "_fut_waiter")
    if is_a(awaited, Waiter):
        return awaited if awaited.sleeps else None
    return awaited if is_a(awaited, asyncio.Future) and not awaited.done() else None


def sleeper(heap: Heap, task: asyncio.Task[object]) -> Sleeper:
    """Look at one task, and add what it runs to `heap`."""
    chain = awaits(task.get_coro())
    found = Sleeper(heap.add(task), [heap.add(each) for each in chain])
    awaited = awaited_by(task)
    if is_a(awaited, Waiter):
        state: object = awaited.policy.state
        found.wait = Wait.ITEM if awaited.policy.purpose == FOR_ITEM else Wait.ITEMIZE
        found.wanted = heap.add(state)
        found.is_taken = awaited.policy.state.awaiting_ack is awaited
    elif awaited is not None:
        found.wanted = heap.add(awaited)
        members, are_all_needed = members_of(chain[-1] if chain else None, awaited)
        found.members = tuple(heap.add(each) for each in members)
        if members and are_all_needed:
            found.wait = Wait.ALL
        else:
            found.wait = Wait.TASK if is_a(awaited, asyncio.Task) else Wait.FUTURE
    return found


def awaits(coroutine: object) -> list[object]:
    """Return what a task runs, from the outermost coroutine inwards, as far as that can be seen."""
    chain: list[object] = []
    while coroutine is not None and len(chain) < DEEPEST:
        if is_a(coroutine, Feeding):
            coroutine = coroutine._inner
        if code_of(coroutine) is not None:
            chain.append(coroutine)
        driven = driven_by(coroutine)
        coroutine = waits_for(coroutine) if driven is None else driven
    return chain


def driven_by(generator: object) -> object:
    """Return the coroutine of the producer of a `stream`, which stands beside the chain of awaits; None for anything else."""
    if code_of(generator) is not DRIVE:
        return None
    return next((each for each in referents(generator) if issubclass(type(each), Coroutine)), None)


DRIVE: Final = attribute(drive, "__code__")


def records_of_anyio() -> list[object]:
    """Return what anyio notes of each task. It refers to the innermost scope around its wait, and only the task itself uses it."""
    records = attribute(attribute(sys.modules.get("anyio._backends._asyncio"), "_task_states"), "data")
    return list[object](records.values()) if is_a(records, dict) else []


def is_for_lock(heap: Heap, sleeper: Sleeper) -> bool:
    """Return whether a task waits for a lock or a semaphore that another one holds."""
    return any(code_of(heap.objects[each]) in LOCKS for each in sleeper.chain[-1:])


LOCKS: Final = (asyncio.Lock.acquire.__code__, asyncio.Semaphore.acquire.__code__)


def thread_of(heap: Heap, sleeper: Sleeper) -> Thread | None:
    """Return the thread that a task waits for, if it runs a producer of `in_thread` and waits in that for no channel."""
    if sleeper.wait is not Wait.FUTURE:
        return None
    frames = [frame_of(heap.objects[each]) for each in sleeper.chain if code_of(heap.objects[each]) is PRODUCE]
    found = [value for frame in frames if frame is not None for name, value in local_names(frame) if name == "thread"]
    return next((each for each in found if is_a(each, Thread)), None)


PRODUCE: Final = next(each for each in in_thread.__code__.co_consts if is_a(each, CodeType) and each.co_name == "produce")


def members_of(innermost: object, awaited: object) -> tuple[list[object], bool]:
    """Return the tasks for whose ends a task waits, if it says which, and whether it needs the ends of all of them."""
    code, inner = code_of(innermost), referents(innermost)
    if code is not None and code in EXITS_OF_GROUP:
        return next((listed(attribute(each, "_tasks")) for each in inner if is_a(each, asyncio.TaskGroup)), []), True
    if code is WAIT:
        are_all_needed = any(is_a(each, CellType) and "ALL_COMPLETED" in referents(each) for each in inner)
        return next((listed(each) for each in inner if is_a(each, set)), []), are_all_needed
    if code is WAIT_FOR:  # on Python 3.11, where it has made a task
        return [each for each in inner if is_a(each, asyncio.Task) and each is not awaited], True
    children = attribute(awaited, "_children")  # of a gather
    return (list(children) if is_a(children, list) else []), False


def listed(futures: object) -> list[object]:
    """Return the members of a set in an order that doesn't depend on where they are in memory, as far as they are tasks."""
    return sorted(futures, key=lambda each: by_name(each) if is_a(each, asyncio.Task) else (0, "")) if is_a(futures, set) else []


EXITS_OF_GROUP: Final = [attribute(attribute(asyncio.TaskGroup, name), "__code__") for name in ("__aexit__", "_aexit")]
WAIT: Final = attribute(attribute(asyncio.tasks, "_wait"), "__code__")
WAIT_FOR: Final = asyncio.wait_for.__code__
