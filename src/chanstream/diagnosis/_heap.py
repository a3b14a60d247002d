"""What the tasks refer to, how often each object is referred to from there, and so which ones something else refers to as well.

References are counted and not searched for. `Heap` walks from the tasks that wait along every reference. What has more references
than the walk has found is referred to from outside: by a task that runs, a callback, a thread, a module, C code, whatever it is. An
object that isn't walked, for want of patience or because everything is in it, is outside too, and so is what it refers to. So an
error of the walk is one on the safe side.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import weakref
from contextvars import Context
from threading import Thread
from types import AsyncGeneratorType, CodeType, FunctionType, ModuleType
from typing import Final

from ._python import attribute, getrefcount, is_a, referents

__all__ = ["OPAQUE", "Heap"]

OPAQUE: Final = (
    type, ModuleType, CodeType, asyncio.AbstractEventLoop, Context, Thread, weakref.ref, str, bytes, int, float,
)  # fmt: skip
"""Types whose objects are not walked: everything is referred to from there, or nothing."""

SENTINEL: Final = 0
"""The index of an object that only the heap refers to."""


class Heap:
    """Objects by number. Nothing else of a look refers to an object while references are counted."""

    __slots__ = ("edges", "fresh", "index", "inside", "limit", "namespaces", "objects", "opaque")

    objects: list[object]
    index: dict[int, int]
    """The number of an object, by its identity."""
    edges: list[list[int]]
    """What each object refers to, of those that have been walked."""
    inside: list[int]
    """How many references to each object the counted part of the walk has found."""
    fresh: int
    """The first object that has not been walked."""
    limit: int
    opaque: dict[type, bool]
    namespaces: set[int]
    """Identities of the dicts that hold the names of modules."""

    def __init__(self, limit: int) -> None:
        self.objects = [[]]
        self.index = {}
        self.edges = [[]]
        self.inside = [0]
        self.fresh = 1
        self.limit = limit
        self.opaque = {}
        self.namespaces = {id(vars(module)) for module in list(sys.modules.values()) if type(module) is ModuleType}
        self.namespaces.add(id(sys.modules))

    def add(self, thing: object) -> int:
        """Return the number of `thing`, which is walked later."""
        key = id(thing)
        number = self.index.get(key)
        if number is None:
            number = self.index[key] = len(self.objects)
            self.objects.append(thing)
            self.inside.append(0)
            self.edges.append([])
        return number

    def walk(self, *, counted: bool) -> None:
        """Walk from what has been added along all references; not beyond a task that was not added itself."""
        objects, edges, index, inside, opaque, namespaces = (
            self.objects, self.edges, self.index, self.inside, self.opaque, self.namespaces
        )  # fmt: skip
        added = len(objects)
        while self.fresh < len(objects):
            number = self.fresh
            self.fresh += 1
            if number >= self.limit or (number >= added and is_a(objects[number], asyncio.Task)):
                continue
            if is_a(objects[number], FunctionType):
                namespaces.update(id(attribute(objects[number], name)) for name in ("__globals__", "__builtins__"))
            out = edges[number]
            for thing in referents(objects[number]):
                key = id(thing)
                found = index.get(key)
                if found is None:
                    kind = type(thing)
                    unseen = opaque.get(kind)
                    if unseen is None:
                        unseen = opaque[kind] = issubclass(kind, OPAQUE)
                    if unseen or key in namespaces or not gc.is_tracked(thing):
                        continue
                    found = index[key] = len(objects)
                    objects.append(thing)
                    edges.append([])
                    inside.append(0)
                if counted:
                    inside[found] += 1
                out.append(found)

    def held_from_outside(self) -> list[int]:
        """Return how many references to each object were not found. Any number but 0 is on the safe side."""
        counts = list(map(getrefcount, self.objects))
        own = counts[SENTINEL]
        return [count - own - inside for count, inside in zip(counts, self.inside, strict=True)]

    def is_watched(self, number: int) -> bool:
        """Return whether something refers to an object weakly. An event loop does to each async generator, to close it some day."""
        count = weakref.getweakrefcount(self.objects[number])
        return count > is_a(self.objects[number], AsyncGeneratorType)

    def referrers(self) -> list[list[int]]:
        """Return which of the walked objects refer to each one."""
        found: list[list[int]] = [[] for _ in self.objects]
        for number, out in enumerate(self.edges):
            for each in out:
                found[each].append(number)
        return found

    @property
    def is_complete(self) -> bool:
        """Return whether everything was walked."""
        return len(self.objects) <= self.limit
