"""Finds whether tasks are kept alive by something that is not garbage itself.

A task that only garbage refers to will be collected, and what it holds is dropped then. To see that there is none, what keeps a
task alive is followed to a root: the event loop, a frame below it, a module, a class, a task that runs, or the producers that the
library keeps. Most often that is near. Otherwise the garbage collector is asked what refers to it, which looks through everything.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Iterable
from types import ModuleType
from typing import Final

from chanstream._fed_block import running

from ._heap import Heap
from ._python import is_a, referents

__all__ = ["closure", "is_rooted", "kept_by_library"]

FARTHEST: Final = 6
"""How many references away from a module or a class something may be held."""

MANY: Final = 1_000
"""How many objects are followed further at a time."""


def kept_by_library(heap: Heap) -> list[int]:
    """Return the tasks of producers, which the library keeps alive while they run."""
    return [heap.index[id(task)] for task in running if id(task) in heap.index]


def closure(edges: list[list[int]], roots: Iterable[int]) -> set[int]:
    """Return what `roots` lead to."""
    found = set(roots)
    fresh = list(found)
    while fresh:
        for number in edges[fresh.pop()]:
            if number not in found:
                found.add(number)
                fresh.append(number)
    return found


def is_rooted(heap: Heap, numbers: Iterable[int], loop: asyncio.AbstractEventLoop) -> bool:
    """Return whether a module, a class or the event loop refers to one of some objects, directly or not."""
    found: list[object] = [heap.objects[number] for number in numbers]
    if is_in_module({id(each) for each in found}):
        return True
    seen = {id(heap.objects), id(found)}
    for _ in range(FARTHEST):
        near: list[object] = gc.get_referrers(*found)
        if any(id(each) in heap.namespaces or each is loop or is_a(each, type) for each in near):
            return True
        seen |= {id(near)} | {id(each) for each in found}
        found = [each for each in near if id(each) not in seen][:MANY]
        seen.add(id(found))
    return False


def is_in_module(things: set[int]) -> bool:
    """Return whether a module has one of some objects, or a set, list or dict of it. A frozen collector doesn't know."""
    for module in list(sys.modules.values()):
        for value in referents(vars(module)) if type(module) is ModuleType else ():
            if id(value) in things or (type(value) in CONTAINERS and not things.isdisjoint(map(id, referents(value)))):
                return True
    return False


CONTAINERS: Final = (dict, list, set, tuple)
