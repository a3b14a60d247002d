"""The stages of a pipeline, as `profile` shows them: which tasks they consist of, what each reads and what it feeds.

A stage is a producer with the tasks that it has made, or a task that reads. That a task belongs to a producer is seen by its
context, in which `fed_by` leaves a mark. A producer that the library itself has made, as those of `chanstream.stages`, is one stage
with all that it runs.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from contextvars import Context
from dataclasses import dataclass, field
from types import CodeType, FrameType
from typing import Final

from chanstream._fed_block import own_blocks, run_alone
from chanstream._feed import ProducerRun
from chanstream._waiting import BoundState
from chanstream.receiver import Receiver

from ._names import is_own
from ._python import attribute, code_of, is_a, local_names, referents
from ._roots import RUNS
from ._tasks import awaits

__all__ = ["StageRow", "Stages", "calls"]


@dataclass(slots=True, eq=False)
class StageRow:
    """What was seen of one stage. Times are in seconds."""

    name: str
    inputs: list[BoundState[object]] = field(default_factory=list)
    output: BoundState[object] | None = None
    cpu: float = 0.0
    """While the event loop ran it."""
    waits: float = 0.0
    """While the event loop was idle, and the others waited for it."""
    input_full: float = 0.0
    output_full: float = 0.0
    output_empty: float = 0.0
    places: Counter[tuple[str, int]] = field(default_factory=Counter[tuple[str, int]])
    """How often it was seen to run where: in which file and line."""
    calls: set[str] = field(default_factory=set)
    """The names of the tasks that a stage of the library has made for it."""

    @property
    def full_name(self) -> str:
        return f"{self.name}({', '.join(sorted(self.calls))})" if self.calls else self.name


class Found:
    """One task, while stages are looked for."""

    __slots__ = ("functions", "is_owned", "marks", "receives", "run", "task")

    task: asyncio.Task[object]
    marks: tuple[object, ...]
    """Those of the producers in whose context it runs, the outermost first."""
    run: ProducerRun[object] | None
    """The producer that it runs."""
    is_owned: bool
    """Whether a `fed_by` block owns it, so that the last mark is its own. One that has not begun has no mark."""
    functions: list[str]
    """What it runs that is the program's own, the outermost first."""
    receives: list[BoundState[object]]
    """The channels whose receivers it holds directly."""

    def __init__(self, task: asyncio.Task[object], marks: tuple[object, ...]) -> None:
        self.task = task
        self.marks = marks
        self.run = None
        self.is_owned = False
        self.functions = []
        self.receives = []

    def note(self, code: CodeType | None, things: Iterable[object]) -> None:
        """Note a call of `code`, which refers to `things`. From the outermost inwards."""
        if code is not None and is_own(code.co_filename):
            self.functions.append(code.co_qualname.replace("<locals>.", ""))
        for thing in things:
            if code is RUN_ALONE and self.marks and thing is self.marks[-1]:
                self.is_owned = True
            elif is_a(thing, ProducerRun):
                self.run = self.run or thing
            elif is_a(thing, Receiver):
                self.receives.append(thing._state)

    @property
    def by_library(self) -> bool:
        """Whether the producer that it runs is one of the library's."""
        return self.run is not None and not self.functions

    @property
    def name(self) -> str:
        name = self.task.get_name()
        if self.is_owned:
            return name.partition(".")[0] if self.by_library else name
        return self.functions[0] if self.functions else name


class Stages:
    """The stages of an event loop. They are looked for anew from time to time, since tasks come and go."""

    __slots__ = ("_by_library", "_outer", "rows")

    rows: dict[object, StageRow]
    """By the identity of the mark of a producer, or of the run of one; other tasks by the name of what they run."""
    _by_library: set[int]
    """The marks of producers that are the library's own."""
    _outer: int
    """How many marks the block has that is profiled."""

    def __init__(self) -> None:
        self.rows = {}
        self._by_library = set()
        self._outer = len(own_blocks.get())

    def find(self, loop: asyncio.AbstractEventLoop, frame: FrameType | None) -> None:
        """Look for stages, and for what they read. The task that runs stands at `frame`."""
        runs = asyncio.current_task(loop)
        found = [self._look_at(task, frame if task is runs else None) for task in asyncio.all_tasks(loop)]
        self._by_library |= {id(each.marks[-1]) for each in found if each.is_owned and each.by_library}
        keys = {id(each.task): self._key(each) for each in found}
        fed: dict[int, object] = {}
        for each in found:
            key = keys[id(each.task)]
            if each.run is not None:
                fed[id(each.run._state)] = key
                if key == (id(each.marks[-1]) if each.is_owned else each.name):
                    self.rows.setdefault(key, StageRow(each.name)).output = each.run._state
        readers: dict[int, list[tuple[Found, BoundState[object]]]] = {}
        for each in found:
            for state in each.receives:
                readers.setdefault(id(state), []).append((each, state))
        for number, candidates in readers.items():
            # What holds the receivers of a whole pipeline is the reader of the last one alone.
            for each, state in [one for one in candidates if one[0].marks or one[0].run is not None] or candidates:
                key = keys[id(each.task)]
                row = self.rows.setdefault(key, StageRow(each.name))
                if fed.get(number) != key and all(other is not state for other in row.inputs):
                    row.inputs.append(state)

    def of(self, task: asyncio.Task[object], frame: FrameType | None) -> StageRow:
        """Return the stage of a task that runs, and stands at `frame`."""
        found = Found(task, self._marks(task))
        if not found.marks:
            for each in calls(frame):
                found.note(each.f_code, ())
        key = self._key(found)
        row = self.rows.get(key)
        if row is None:
            found = self._look_at(task, frame)
            row = self.rows[key] = StageRow(found.name)
        if any(id(mark) in self._by_library for mark in found.marks) and not is_producer(task):
            row.calls.add(task.get_name())
        return row

    def _look_at(self, task: asyncio.Task[object], frame: FrameType | None) -> Found:
        """Look at one task. What runs shows what it runs by its frames alone."""
        found = Found(task, self._marks(task))
        for coroutine in awaits(task.get_coro()) if frame is None else ():
            found.note(code_of(coroutine), referents(coroutine))
        for each in calls(frame):
            wanted = each.f_code is RUN_ALONE or each.f_code is IN_BLOCK or is_own(each.f_code.co_filename)
            found.note(each.f_code, [value for _, value in local_names(each)] if wanted else ())
        return found

    def _marks(self, task: asyncio.Task[object]) -> tuple[object, ...]:
        context = next((thing for thing in referents(task) if is_a(thing, Context)), Context())
        return context.get(own_blocks, ())[self._outer :]

    def _key(self, found: Found) -> object:
        """Return what stage a task belongs to: the first that is the library's own, or the last."""
        own = [mark for mark in found.marks if id(mark) in self._by_library]
        return id([*own, found.marks[-1]][0]) if found.marks else found.name


RUN_ALONE: Final = attribute(run_alone, "__code__")
IN_BLOCK: Final = attribute(ProducerRun.in_block, "__code__")
RUN_HANDLE: Final = attribute(asyncio.Handle._run, "__code__")


def calls(frame: FrameType | None) -> list[FrameType]:
    """Return the calls from the event loop to `frame`, the outermost first."""
    found: list[FrameType] = []
    while frame is not None and frame.f_code not in RUNS and frame.f_code is not RUN_HANDLE:
        found.append(frame)
        frame = frame.f_back
    return found[::-1]


def is_producer(task: asyncio.Task[object]) -> bool:
    """Return whether a `fed_by` block has made a task."""
    return code_of(task.get_coro()) is RUN_ALONE
