"""What the timers of an event loop may do: anything, or no more than end a wait, as a timeout around it does.

A task that sleeps goes on, and so may whatever a timer refers to. A timeout only cancels: tasks that wait for one another are stuck
until one of them is cancelled. So they are suspected, and neither called a deadlock nor a program that runs.

A timeout around the wait for an event or a queue is different: it is a common way to sleep, or to work every few seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from types import BuiltinMethodType, FunctionType, MethodType
from typing import Final

from ._heap import Heap
from ._python import attribute, is_a, referents
from ._roots import reached_by, timers
from ._tasks import Sleeper, Wait, is_for_lock

__all__ = ["Timed", "timed"]


@dataclass(slots=True)
class Timed:
    """The tasks that timers refer to, by the numbers of a heap."""

    free: set[int] = field(default_factory=set)
    """Those that a timer may have go on."""
    every: set[int] = field(default_factory=set)
    """Those, and the ones that a timeout may cancel."""
    limits: dict[int, float] = field(default_factory=dict)
    """In how many seconds a timeout ends the wait of a task."""
    timeouts: set[int] = field(default_factory=set)
    """The timers that only end a wait."""
    is_complete: bool = True
    """Whether all that the timers refer to was looked at."""


def timed(loop: asyncio.AbstractEventLoop, heap: Heap, sleepers: Iterable[Sleeper]) -> Timed:
    """Look at the timers of `loop`."""
    found = Timed()
    waits = {each.task: each for each in sleepers}
    others: list[object] = []
    for timer in timers(loop):
        seconds = seconds_until(timer, loop)
        limited = [heap.index.get(id(task), 0) for task in limited_by(timer)] if seconds > 0 else []
        if all(is_asleep(task, waits, heap) for task in limited):
            others.append(timer)
            continue
        found.timeouts.add(heap.index.get(id(timer), 0))
        for task in limited:
            found.limits[task] = min(seconds, found.limits.get(task, seconds))
        found.every |= tasks_of([timer], heap)[0]
    found.free, found.is_complete = tasks_of(others, heap)
    found.every |= found.free
    return found


def tasks_of(things: list[object], heap: Heap) -> tuple[set[int], bool]:
    """Return the tasks that `things` lead to, and whether all was looked at."""
    found, is_complete = reached_by(things)
    return {heap.index.get(id(each), 0) for each in found if is_a(each, asyncio.Task)}, is_complete


def seconds_until(timer: object, loop: asyncio.AbstractEventLoop) -> float:
    """Return in how many seconds a timer ends; 0 for one that is due, and for a callback that is none."""
    when = attribute(timer, "when")
    due: object = when() if callable(when) else None
    return due - loop.time() if isinstance(due, float) else 0.0


def limited_by(timer: object) -> Iterator[object]:
    """Yield the tasks whose waits a timer ends, if that is all it does."""
    callbacks = [each for each in referents(timer) if type(each) in CALLBACKS]
    callback = callbacks[0] if len(callbacks) == 1 else None
    bound_to = attribute(callback, "__self__")
    if is_a(callback, BuiltinMethodType):
        if callback.__name__ == "cancel" and is_a(bound_to, asyncio.Task):
            yield bound_to
        return
    function = attribute(callback, "__func__") if is_a(callback, MethodType) else callback
    name = f"{attribute(function, '__module__')}.{attribute(function, '__qualname__')}"
    if name == SCOPE:
        yield from tasks_in(bound_to)
    elif name in TIMEOUTS:
        yield from (each for each in reached_by([timer])[0] if is_a(each, asyncio.Task))


CALLBACKS: Final = (FunctionType, MethodType, BuiltinMethodType)

TIMEOUTS: Final = (
    "asyncio.timeouts.Timeout._on_timeout",
    "asyncio.tasks._release_waiter",  # of `wait`; on Python 3.11 of `wait_for` too
    "async_timeout.Timeout._on_timeout",
    "chanstream.diagnosis._deadline.Deadline._expire_soon",
)
SCOPE: Final = "anyio._backends._asyncio.CancelScope._timeout"


def tasks_in(scope: object) -> Iterator[object]:
    """Yield the tasks that a scope of anyio cancels."""
    for name in ("_tasks", "_child_scopes"):
        members = attribute(scope, name)
        for each in list(members) if is_a(members, set) else ():
            yield from (each,) if is_a(each, asyncio.Task) else tasks_in(each)


def is_asleep(task: int, waits: dict[int, Sleeper], heap: Heap) -> bool:
    """Return whether a task waits for what may come or not, so that a timeout around the wait is a way to sleep."""
    sleepers = [waits[each] for each in awaited_from(task, waits) if each in waits]
    return not any(each.in_channel or is_for_lock(heap, each) for each in sleepers)


def awaited_from(task: int, waits: dict[int, Sleeper]) -> list[int]:
    """Return a task, those for whose ends it waits, and so on."""
    found = {task: None}
    fresh = [task]
    for number in fresh:  # which grows meanwhile
        sleeper = waits.get(number)
        if sleeper is not None:
            inner = [sleeper.wanted] if sleeper.wait is Wait.TASK else sleeper.members
            fresh += (each for each in dict.fromkeys(inner) if each not in found)
            found |= dict.fromkeys(inner)
    return list(found)
