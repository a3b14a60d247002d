"""What would free tasks that wait for one another: one sentence."""

from __future__ import annotations

import asyncio
from typing import Final

from chanstream._ends import UNOPENED

from ._cycle import is_for_end, reads
from ._needs import Hope, state_of
from ._tasks import Sleeper, Wait, is_for_lock
from ._words import Words

__all__ = ["advice"]


def advice(words: Words, cycle: list[Sleeper], hopes: dict[int, Hope]) -> str:
    """Return what would free a cycle of tasks, or one that waits in vain."""
    for each in cycle:
        if each.wait is Wait.ITEM and state_of(words.heap, each).sending is UNOPENED:
            return f"Open the sender of {words.channel(each)} with `async with`, or let go of it: no task is about to."
        if each.wait is Wait.ITEMIZE and feeds_itself(words, each, cycle, hopes[each.task]):
            return f"All that take from {words.channel(each)} wait to send to it: give it a larger buffer, or send elsewhere."
    if len(cycle) == 1:
        return for_one(words, cycle[0])
    pairs = list(zip(cycle, [*cycle[1:], cycle[0]], strict=True))
    return for_primitive(words, pairs) or for_sends(words, pairs) or for_asks(words, cycle)


def feeds_itself(words: Words, sleeper: Sleeper, cycle: list[Sleeper], hope: Hope) -> bool:
    """Return whether all that could take an item of a task wait to send to the same channel."""
    waits = {each.task: each.wanted for each in cycle}
    takers = [task for task in hope.tasks if task not in hope.by_channel]
    takers += [sleeper.task] if reads(words.heap, sleeper, sleeper) else []
    return bool(takers) and all(waits.get(task) == sleeper.wanted for task in takers)


def for_one(words: Words, sleeper: Sleeper) -> str:
    channel = words.channel(sleeper)
    if sleeper.wait is Wait.ITEM:
        return f"End the sender block of {channel} before reading it to the end: no other task will send an item."
    if sleeper.wait is Wait.ITEMIZE:
        return f"Read {channel} in another task, or close its receiver: no other task will take an item."
    return "Have it not wait for what no other task brings."


Pairs = list[tuple[Sleeper, Sleeper]]
"""Tasks, each with the one that it waits for."""


def for_primitive(words: Words, pairs: Pairs) -> str:
    """Return what to do earlier with a lock, or whatever it is that a function of the program waits for."""
    if all(is_for_lock(words.heap, each) for each, _ in pairs):
        return f"Take {' and '.join(wanted(words, each) for each, _ in pairs)} in the same order in all tasks."
    for sleeper, other in pairs:
        if sleeper.wait is Wait.FUTURE and not sleeper.members and sleeper.task not in words.names.inner:
            thing, waiting, name = wanted(words, sleeper), doing(words, other), words.names.tasks[sleeper.task]
            if is_for_lock(words.heap, sleeper):
                return f"Don't hold {thing} while {waiting}: {name} needs it."
            verb = next((verb for code, verb in VERBS.items() if words.is_in(sleeper, code)), "Complete")
            return f"{verb} {thing} before {waiting}: {name} waits for that."
    return ""


VERBS: Final = {
    asyncio.Queue.put.__code__: "Take from",
    asyncio.Queue.get.__code__: "Put something into",
    asyncio.Queue.join.__code__: "Call `task_done` of",
    asyncio.Barrier.wait.__code__: "Wait at",
    asyncio.Condition.wait.__code__: "Notify",
    asyncio.Event.wait.__code__: "Set",
}
"""What ends a wait, by the function of asyncio that waits; the outermost first."""


def for_sends(words: Words, pairs: Pairs) -> str:
    """Return which channel should be read earlier, or have a larger buffer."""
    sends = [each for each in pairs if each[0].wait is Wait.ITEMIZE]
    for sleeper, other in sends:
        if other.wait is Wait.ITEM:
            full, empty = words.channel(sleeper), words.channel(other)
            return f"Give {full} a larger buffer, or read it and {empty} at the same time: its reader waits for {empty} first."
    late = [each for each in sends if not reads(words.heap, each[1], each[0])]
    for sleeper, other in late or sends:
        channel, waiting, name = words.channel(sleeper), doing(words, other), words.names.tasks[other.task]
        if is_for_end(other):
            waiting = "waiting for the end of its sender" if others_of(other) == [sleeper.task] else waiting
            return f"Read {channel} before {waiting}, or close its receiver."
        if late:
            return f"Read {channel} while {waiting}, for example in a task of its own: {name} does one after the other."
        return f"Give {channel} a larger buffer, or read it in a task that does not wait: {name} is {waiting} meanwhile."
    return ""


def for_asks(words: Words, cycle: list[Sleeper]) -> str:
    """Return which channel should be sent to, or ended, earlier."""
    asks = [each for each in cycle if each.wait is Wait.ITEM]
    if not asks:
        return "Have one of them not wait for the next."
    channel = words.channel(asks[0])
    if len(asks) > 1:
        return f"Let one of them send before it asks: each waits for an item of another, as for {channel}."
    return f"End the sender block of {channel} before waiting for the end of its reader."


def doing(words: Words, sleeper: Sleeper) -> str:
    """Return what a task does, as the part of a sentence."""
    if sleeper.wait is Wait.ITEMIZE:
        return f"sending to {words.channel(sleeper)}"
    if sleeper.wait is Wait.ITEM:
        return f"waiting for an item of {words.channel(sleeper)}"
    if is_for_end(sleeper):
        return f"waiting for the end of {words.listed(others_of(sleeper))}"
    return f"waiting for {wanted(words, sleeper)}"


def others_of(sleeper: Sleeper) -> list[int]:
    return list(sleeper.members or [sleeper.wanted])


def wanted(words: Words, sleeper: Sleeper) -> str:
    """Return what the lock is called, or the event, that a task waits for."""
    number = words.primitive(sleeper)
    if number is None:
        return "the future"
    return words.names.primitives.get(number, f"the asyncio.{words.kind(number)}")
