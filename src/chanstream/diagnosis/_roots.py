"""What may reach a task from beside the references that are counted: the timers of the event loop, and the frames below it."""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import Iterable
from types import FrameType, FunctionType
from typing import Final

from ._heap import OPAQUE
from ._python import attribute, is_a, local_names, referents

__all__ = ["Below", "reached_by", "timers"]

FARTHEST: Final = 20_000
"""How many objects a search from the event loop looks at. It says when that was not enough."""


def timers(loop: asyncio.AbstractEventLoop) -> list[object]:
    """Return the timers of `loop` that have not been cancelled, and what runs next, since a timer that is due is among that."""
    scheduled, ready = attribute(loop, "_scheduled"), attribute(loop, "_ready")
    if is_a(scheduled, list) and is_a(ready, deque):
        found = [*scheduled, *ready]
    else:  # an event loop of another make
        found = [
            each
            for each in reached_by(referents(loop))[0]
            if type(each).__name__ == "TimerHandle" or is_a(each, asyncio.TimerHandle)
        ]
    return [each for each in found if not is_cancelled(each)]


def is_cancelled(timer: object) -> bool:
    cancelled = attribute(timer, "cancelled")
    return callable(cancelled) and bool(cancelled())


def reached_by(things: Iterable[object]) -> tuple[list[object], bool]:
    """Return what can be reached from `things`, not through tasks, and whether that is all."""
    found: list[object] = []
    seen = set[int]()
    fresh = list(things)
    for thing in fresh:  # which grows meanwhile
        if id(thing) in seen or issubclass(type(thing), OPAQUE):
            continue
        if len(seen) >= FARTHEST:
            return found, False
        seen.add(id(thing))
        found.append(thing)
        if isinstance(thing, FunctionType):
            builtins = attribute(thing, "__builtins__")
            # Not the names of its module: what they refer to is known to be kept, and is often all there is.
            fresh += [each for each in referents(thing) if each is not thing.__globals__ and each is not builtins]
        elif not is_a(thing, asyncio.Task):
            fresh += referents(thing)
    return found, True


class Below:
    """The frames below the event loop, by the identities of what they refer to. They go on when `main` has ended, not before."""

    __slots__ = ("main", "values")

    main: int
    """Identity of the task for which the event loop runs; 0 if that can't be seen."""
    values: list[int]

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.main = 0
        self.values = []
        frame: FrameType | None = sys._getframe()
        while frame is not None:
            name = RUNS.get(frame.f_code)
            if name is not None and not self.main:
                task = dict(local_names(frame)).get(name)
                self.main = id(task) if is_a(task, asyncio.Task) and task.get_loop() is loop else 0
            if self.main:
                hidden = {*frame.f_code.co_cellvars, *frame.f_code.co_freevars}
                self.values += [id(value) for name, value in local_names(frame) if name not in hidden]
            frame = frame.f_back


RUNS: Final = {
    asyncio.Runner.run.__code__: "task",
    asyncio.BaseEventLoop.run_until_complete.__code__: "future",
}
"""What runs an event loop for one task, and how it calls that."""
