"""Counts what passing an item takes. What is counted is the same on every machine, however busy: turns, steps, futures, tasks.

The counting loop is asyncio's own, with a clock that jumps: where it would sleep until the next timer, it is that time already.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar, TypeVarTuple

from typing_extensions import Unpack, override

__all__ = ["CountingLoop", "Counts", "Program", "counted", "per_item"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

# What a program of so many items is made by.
Program: TypeAlias = Callable[[int], Coroutine[object, object, object]]


@dataclass(frozen=True)
class Counts:
    turns: float
    """Iterations of the event loop: one ``select`` each, and then whatever is ready."""
    steps: float
    """Callbacks that are put in line for the loop: a task goes on, or a future tells the task that waits for it."""
    futures: float
    """Futures that the loop made, and any others that a task waited for."""
    tasks: float
    """Tasks that the loop made."""

    def __sub__(self, other: Counts) -> Counts:
        return Counts(self.turns - other.turns, self.steps - other.steps, self.futures - other.futures, self.tasks - other.tasks)

    def __truediv__(self, number: float) -> Counts:
        return Counts(self.turns / number, self.steps / number, self.futures / number, self.tasks / number)


class JumpingSelector(selectors.SelectSelector):
    """Counts the turns of a loop, and lets its clock jump."""

    def __init__(self) -> None:
        super().__init__()
        self.turns = 0
        self.now = 0.0

    @override
    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.turns += 1
        if timeout is None:
            return super().select(None)  # nothing here can go on: it waits for another thread
        self.now += max(0.0, timeout)
        return super().select(0)


class Watched(Generic[T]):
    """Awaits a coroutine and tells what that waits for."""

    def __init__(self, coroutine: Generator[object, None, T] | Coroutine[object, None, T], tell: Callable[[object], None]) -> None:
        self.coroutine = coroutine
        self.tell = tell

    def __await__(self) -> Generator[object, None, T]:
        coroutine = self.coroutine
        try:
            signal = coroutine.send(None)
            while True:
                self.tell(signal)
                try:
                    yield signal
                except BaseException as error:
                    signal = coroutine.throw(error)
                else:
                    signal = coroutine.send(None)
        except StopIteration as stop:
            value: T = stop.value
            return value


class CountingLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.jumping = JumpingSelector()
        self.steps = 0
        self.tasks = 0
        self.futures: dict[int, object] = {}  # kept alive, so that each has a number of its own
        super().__init__(self.jumping)

    @property
    def counts(self) -> Counts:
        return Counts(self.jumping.turns, self.steps, len(self.futures), self.tasks)

    def note(self, signal: object) -> None:
        """A task waits for `signal`. None is a plain turn."""
        if signal is not None:
            self.futures[id(signal)] = signal

    @override
    def time(self) -> float:
        return self.jumping.now

    @override
    def create_future(self) -> asyncio.Future[Any]:
        future = super().create_future()
        self.note(future)
        return future

    @override
    def create_task(
        self,
        coro: Generator[Any, None, T] | Coroutine[Any, Any, T],
        *,
        name: object = None,
        context: Context | None = None,
    ) -> asyncio.Task[T]:
        self.tasks += 1

        async def watched() -> T:
            return await Watched(coro, self.note)

        return super().create_task(watched(), name=name, context=context)

    @override
    def call_soon(self, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None) -> asyncio.Handle:
        self.steps += 1
        return super().call_soon(callback, *args, context=context)


def counted(program: Program, items: int) -> Counts:
    """What the program takes from beginning to end."""
    loops: list[CountingLoop] = []

    def make() -> asyncio.AbstractEventLoop:
        loops.append(CountingLoop())
        return loops[0]

    with asyncio.Runner(loop_factory=make) as runner:
        runner.run(program(items))
        return loops[0].counts


def per_item(program: Program, items: int = 1000) -> Counts:
    """What each of so many more items takes. What comes once, at the beginning and at the end, is not in it."""
    return (counted(program, 2 * items) - counted(program, items)) / items
