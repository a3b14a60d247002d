"""Which tasks seem to wait for one another, where that can't be proved; and what could prove it wrong."""

from __future__ import annotations

import asyncio
import sys
from collections import defaultdict
from collections.abc import Iterator
from itertools import chain
from types import FrameType, MethodType, ModuleType
from typing import Final

from chanstream.channel import Channel
from chanstream.receiver import Receiver
from chanstream.sender import Sender

from ._look import Look
from ._names import Names, is_own, named, state_behind
from ._needs import Hope
from ._python import local_names, referents
from ._roots import RUNS, reached_by
from ._tasks import Sleeper, Wait

__all__ = ["suspects", "unseen_by"]

MANY: Final = 5
"""How many timeouts are named."""


def suspects(loop: asyncio.AbstractEventLoop, look: Look, hopes: dict[int, Hope]) -> set[int]:
    """Return the tasks that wait for one another in channels, as far as tasks and the event loop can be seen to help them."""
    sleepers = {each.task: each for each in look.sleepers}
    stuck = {task for task, each in sleepers.items() if not is_free(look, each)}
    by_loop: set[int] | None = None
    while True:
        while free := {task for task in stuck if has_help(sleepers[task], hopes[task], stuck, sleepers)}:
            stuck -= free
        if by_loop is not None or not any(sleepers[task].in_channel for task in stuck):
            break
        by_loop = {id(each) for each in reached_by(referents(loop))[0]}  # last, since it takes the longest
        stuck = {task for task in stuck if not is_held(look, sleepers[task], hopes[task], by_loop)}
    return stuck if any(sleepers[task].in_channel for task in stuck) else set()


def is_free(look: Look, sleeper: Sleeper) -> bool:
    """Return whether something else than a task will end the wait of one."""
    if sleeper.wait is Wait.NOTHING or sleeper.task in look.timed.free:
        return True
    return sleeper.wait is Wait.FUTURE and sleeper.wanted in look.seen


def is_held(look: Look, sleeper: Sleeper, hope: Hope, by: set[int]) -> bool:
    """Return whether one of the objects that have these identities could end the wait of a task in a channel."""
    objects = look.heap.objects
    return sleeper.in_channel and not by.isdisjoint(id(objects[each]) for each in (sleeper.wanted, *hope.way))


def has_help(sleeper: Sleeper, hope: Hope, stuck: set[int], sleepers: dict[int, Sleeper]) -> bool:
    """Return whether a task that isn't stuck will end the wait of another."""
    if sleeper.wait is Wait.ALL:
        return stuck.isdisjoint(hope.tasks)
    return any(
        each not in stuck
        # One that merely holds the channel, and is busy with something else, is no help.
        and (each not in hope.by_channel or each not in sleepers or sleepers[each].wait is Wait.NOTHING)
        for each in hope.tasks
    )


def unseen_by(look: Look, hopes: dict[int, Hope], names: Names, stuck: set[int]) -> Iterator[str]:
    """Yield what could still end the waits of tasks that seem stuck, in words."""
    waits = {each.wanted: each for each in look.sleepers if each.task in stuck and each.in_channel}
    known: defaultdict[int, list[tuple[str, str, object]]] = defaultdict(list)
    for variable in chain(in_modules(), in_callers()) if waits else ():
        known[state_behind(variable[2])].append(variable)
    for state, sleeper in waits.items():
        ends = (Channel, Receiver) if sleeper.wait is Wait.ITEMIZE else (Channel, Sender, MethodType)
        found = [f"{names.tasks[task]}, which holds the channel" for task in sorted(hopes[sleeper.task].by_channel - stuck)]
        found += [
            f"{holder}, by its `{name}`"
            for holder, name, value in known[id(look.heap.objects[state])]
            if issubclass(type(value), ends)
        ]
        if state in look.seen and not found:
            found = [f"whatever else refers to {names.channels.get(state, 'a channel')}: a callback, a thread or C code"]
        yield from found
    if waits and not look.heap.is_complete:
        yield f"what is beyond the {look.heap.limit:,} objects that were looked at"
    if waits and not look.timed.is_complete:
        yield "one of many timers"
    yield from timeouts(look, names, stuck)


def timeouts(look: Look, names: Names, stuck: set[int]) -> Iterator[str]:
    """Yield the timeouts around the waits of tasks, the next first, and only the first of many."""
    found = sorted((look.limits[task] or 0.0, names.tasks[task], task) for task in stuck if task in look.limits)
    for seconds, name, task in found[:MANY]:
        if look.limits[task] is None:
            yield f"what may move the timeout around the wait of {name}"
        else:
            yield f"the timeout around the wait of {name}, in {seconds:.1f} s"
    if len(found) > MANY:
        yield f"{len(found) - MANY} more timeouts"


def in_modules() -> Iterator[tuple[str, str, object]]:
    """Yield the global names of all modules but those of Python itself, as far as their objects may stand for a channel."""
    standard = sys.stdlib_module_names - {"__main__"}
    kinds = {list, tuple, MethodType, Channel, Receiver, Sender}
    for module in list(sys.modules.values()):
        if type(module) is ModuleType and module.__name__.partition(".")[0] not in standard:
            # A program with a web framework has tens of thousands of names.
            variables = [each for each in list(vars(module).items()) if type(each[1]) in kinds]
            for name, value in named(variables):
                yield f"module {module.__name__}", name, value


def in_callers() -> Iterator[tuple[str, str, object]]:
    """Yield the local variables of what looks."""
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_code not in RUNS:
        for name, value in named(local_names(frame)) if is_own(frame.f_code.co_filename) else ():
            yield f"{frame.f_code.co_qualname.replace('<locals>.', '')}(), which looks", name, value
        frame = frame.f_back
