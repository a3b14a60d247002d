"""Which of the tasks that are stuck wait for one another."""

from __future__ import annotations

from chanstream.receiver import Receiver

from ._heap import Heap
from ._needs import Hope
from ._python import frame_of, is_a, local_names
from ._tasks import Sleeper, Wait, is_for_lock
from ._words import Words

__all__ = ["cycle_of", "is_for_end", "reads"]


def cycle_of(words: Words, stuck: list[Sleeper], hopes: dict[int, Hope]) -> list[Sleeper]:
    """Return tasks that wait for one another, beginning with one in a channel; the last one of all, if they end in one."""
    tasks = {each.task: each for each in stuck}
    first = [each.task for each in stuck if each.in_channel] or list(tasks)
    path = first[:1]
    while path:
        near = [tasks[each] for each in hopes[path[-1]].tasks if each in tasks]
        if not near:
            return [tasks[path[-1]]]
        following = min(near, key=lambda each: distance(words, tasks[path[-1]], each)).task
        if following in path:
            return [tasks[each] for each in path[path.index(following) :]]
        path.append(following)
    return []


def distance(words: Words, sleeper: Sleeper, other: Sleeper) -> tuple[bool, bool, bool, bool]:
    """Return how unlikely it is that `other` is meant to end the wait of `sleeper`. It is one of those that could."""
    locked = is_for_lock(words.heap, sleeper) and is_for_lock(words.heap, other)
    return (
        not reads(words.heap, other, sleeper),
        locked and words.primitive(sleeper) == words.primitive(other),  # so neither of the two has the lock
        is_for_end(other),  # perhaps that of all others, if it has made them
        not other.in_channel,
    )


def reads(heap: Heap, sleeper: Sleeper, sender: Sleeper) -> bool:
    """Return whether a task is in a loop over the channel that `sender` waits to send to."""
    if sender.wait is not Wait.ITEMIZE:
        return False
    for holder in sleeper.chain:
        frame = frame_of(heap.objects[holder])
        held = [each for each in heap.edges[holder] if is_a(heap.objects[each], Receiver) and sender.wanted in heap.edges[each]]
        if frame is not None and held:
            # What a loop goes over is on the stack of its function, which no variable shows but that of a comprehension.
            names = [name for name, value in local_names(frame) if heap.index.get(id(value)) in held and not name.startswith(".")]
            if len(held) > len(names):
                return True
    return False


def is_for_end(sleeper: Sleeper) -> bool:
    """Return whether a task waits for the end of others."""
    return sleeper.wait is Wait.TASK or bool(sleeper.members)
