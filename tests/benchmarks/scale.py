"""What an item costs as things grow: more waiting tasks, more channels, longer pipelines, larger buffers, larger items.

Each curve is one program at several sizes, written against two functions, one that sends and one that receives, so that the same
program shows `asyncio.Queue` as well. What is made beforehand and taken apart afterwards is not measured. What arrives is checked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count as count_from
from typing import Final, Generic, TypeAlias, TypeVar

from typing_extensions import override

from chanstream import Channel
from tests.benchmarks.harness import Case, Clock, Series
from tests.benchmarks.ways import Runner

__all__ = [
    "AT_MOST",
    "CURVES",
    "LIBRARIES",
    "Curve",
    "Growth",
    "Library",
    "case_name",
    "curves_of",
    "growth",
    "scale_cases",
    "verdict",
]

T = TypeVar("T")

AT_MOST: Final = 2.0
"""How many times its smallest value the cost of an item may reach on a curve."""

ACTIVE: Final = 100


@dataclass(frozen=True)
class Ends(Generic[T]):
    send: Callable[[T], Awaitable[None]]
    receive: Callable[[], Awaitable[T]]


class Library:
    """A way to make the two ends."""

    name: str
    smallest = 0
    """The smallest buffer that it has."""
    only_waits = False
    """Whether its two ends do nothing but wait, and no item passes."""

    async def open(self, buffer: int = 0) -> Ends[T]:
        raise NotImplementedError


class OurChannel(Library):
    name = "Channel"

    @override
    async def open(self, buffer: int = 0) -> Ends[T]:
        channel = Channel[T](buffer=buffer)
        return Ends(await channel.sender.__aenter__(), channel.receiver.__anext__)


class TheirQueue(Library):
    name = "asyncio.Queue"
    smallest = 1

    @override
    async def open(self, buffer: int = 0) -> Ends[T]:
        queue: asyncio.Queue[T] = asyncio.Queue(max(1, buffer))
        return Ends(queue.put, queue.get)


class BareFuture(Library):
    """Shows what it costs to cancel a task that waits for nothing."""

    name = "bare future"
    only_waits = True

    @override
    async def open(self, buffer: int = 0) -> Ends[T]:
        loop = asyncio.get_running_loop()

        async def send(_: T) -> None:
            await loop.create_future()

        async def receive() -> T:
            future: asyncio.Future[T] = loop.create_future()
            return await future

        return Ends(send, receive)


LIBRARIES: Final = (OurChannel(), TheirQueue(), BareFuture())


async def until_all_wait() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def end(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(outcome, Exception):
            raise outcome


def start(works: Iterable[Coroutine[object, object, None]]) -> list[asyncio.Task[None]]:
    return [asyncio.create_task(work) for work in works]


def check(received: Sequence[object], expected: Iterable[object]) -> None:
    if list(received) != list(expected):
        message = f"these came: {received[:20]}..."
        raise AssertionError(message)


# The programs. Each returns what an item cost.


async def waiting_senders(library: Library, size: int, items: int) -> float:
    items = max(items, 2 * size)
    ends: Ends[int] = await library.open()
    numbers = count_from()

    async def write() -> None:
        while True:
            await ends.send(next(numbers))

    tasks = start(write() for _ in range(size))
    await until_all_wait()
    began = Clock()
    received = [await ends.receive() for _ in range(items)]
    seconds = Clock() - began
    check(received, range(items))
    await end(tasks)
    return seconds / items


async def waiting_receivers(library: Library, size: int, items: int) -> float:
    items = max(items, 2 * size)
    ends: Ends[int] = await library.open()
    received: list[int] = []
    done = asyncio.Event()

    async def read() -> None:
        while True:
            received.append(await ends.receive())
            if len(received) == items:
                done.set()

    tasks = start(read() for _ in range(size))
    await until_all_wait()
    began = Clock()
    for number in range(items):
        await ends.send(number)
    await done.wait()
    seconds = Clock() - began
    check(received, range(items))
    await end(tasks)
    return seconds / items


async def channels_alive(library: Library, size: int, items: int) -> float:
    active: list[Ends[int]] = [await library.open() for _ in range(min(size, ACTIVE))]
    idle: list[Ends[int]] = [await library.open() for _ in range(size - len(active))]
    each = max(1, items // len(active))
    gate = asyncio.Event()

    async def write(ends: Ends[int]) -> None:
        await gate.wait()
        for number in range(each):
            await ends.send(number)

    async def read(ends: Ends[int], received: list[int]) -> None:
        received += [await ends.receive() for _ in range(each)]

    taken: list[list[int]] = [[] for _ in active]
    writing = start(map(write, active))
    reading = start(map(read, active, taken))
    await until_all_wait()
    began = Clock()
    gate.set()
    await asyncio.wait(reading)
    seconds = Clock() - began
    for received in taken:
        check(received, range(each))
    await end(writing)
    del idle
    return seconds / (each * len(active))


async def pipeline(library: Library, size: int, items: int, buffer: int = 0) -> float:
    """Per item and stage. In lock-step, one item goes down the whole pipeline before the next one sets out."""
    items = max(items // size, 20)
    pipes: list[Ends[int]] = [await library.open(buffer) for _ in range(size)]
    gate = asyncio.Event()

    async def write() -> None:
        await gate.wait()
        for number in range(items):
            await pipes[0].send(number)

    async def relay(source: Ends[int], sink: Ends[int]) -> None:
        while True:
            await sink.send(await source.receive())

    tasks = start([write(), *map(relay, pipes[:-1], pipes[1:])])
    await until_all_wait()
    began = Clock()
    gate.set()
    received = [await pipes[-1].receive() for _ in range(items)]
    seconds = Clock() - began
    check(received, range(items))
    await end(tasks)
    return seconds / (items * size)


async def buffered_pipeline(library: Library, size: int, items: int) -> float:
    return await pipeline(library, size, items, buffer=1)


async def pass_through(library: Library, buffer: int, sent: Sequence[T]) -> tuple[list[T], float]:
    ends: Ends[T] = await library.open(buffer)
    gate = asyncio.Event()

    async def write() -> None:
        await gate.wait()
        for item in sent:
            await ends.send(item)

    tasks = start([write()])
    await until_all_wait()
    began = Clock()
    gate.set()
    received = [await ends.receive() for _ in range(len(sent))]
    seconds = Clock() - began
    await end(tasks)
    return received, seconds / len(sent)


async def buffer_of(library: Library, size: int, items: int) -> float:
    sent = range(max(items, 2 * size))
    received, cost = await pass_through(library, size, sent)
    check(received, sent)
    return cost


async def item_of(library: Library, size: int, items: int) -> float:
    """One object over and over; what arrives is that very object."""
    item = bytes(size)
    received, cost = await pass_through(library, 0, [item] * items)
    if not all(each is item for each in received):
        message = "an item was copied"
        raise AssertionError(message)
    return cost


async def cancelled(library: Library, size: int, items: int, *, sending: bool) -> float:
    """In no order, for leaving at the front or at the end may be cheaper than in between. Per task, its last step included."""
    seconds = 0.0
    repeats = max(1, items // 4 // size)
    for _ in range(repeats):
        ends: Ends[int] = await library.open()

        async def write(ends: Ends[int] = ends) -> None:
            await ends.send(1)

        async def read(ends: Ends[int] = ends) -> None:
            await ends.receive()

        tasks = start((write if sending else read)() for _ in range(size + library.smallest))
        await until_all_wait()
        waiting = [task for task in tasks if not task.done()][:size]
        waiting = [waiting[place * 7919 % size] for place in range(size)]
        began = Clock()
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)
        seconds += Clock() - began
        if not all(task.cancelled() for task in waiting):
            message = "a task was not cancelled"
            raise AssertionError(message)
        await end(tasks)
    return seconds / (repeats * size)


async def cancelled_senders(library: Library, size: int, items: int) -> float:
    return await cancelled(library, size, items, sending=True)


async def cancelled_receivers(library: Library, size: int, items: int) -> float:
    return await cancelled(library, size, items, sending=False)


Program: TypeAlias = Callable[[Library, int, int], Coroutine[object, object, float]]


@dataclass(frozen=True)
class Curve:
    """A program and the sizes to run it at."""

    name: str
    axis: str
    sizes: tuple[int, ...]
    program: Program
    per: str = "item"
    cancels: bool = False
    """Whether tasks are cancelled and no item passes. What that costs without any channel is on the curve as well."""

    def sizes_for(self, library: Library) -> list[int]:
        """Where `library` has a place on this curve: a buffer of no items is another thing where there is no lock-step."""
        if library.only_waits and not self.cancels:
            return []
        return [size for size in self.sizes if self.program is not buffer_of or size >= library.smallest]


TENS: Final = (1, 10, 100, 1_000, 10_000)

CURVES: Final = (
    Curve("senders waiting", "tasks waiting in itemize", TENS, waiting_senders),
    Curve("receivers waiting", "tasks waiting for an item", TENS, waiting_receivers),
    Curve("channels alive", f"channels, of which {ACTIVE} are active", (*TENS, 100_000), channels_alive),
    Curve("pipeline", "stages in lock-step", TENS[:4], pipeline, "item and stage"),
    Curve("buffered pipeline", "stages with buffer=1", TENS[:4], buffered_pipeline, "item and stage"),
    Curve("buffer", "items that the buffer holds", (0, *TENS), buffer_of),
    Curve("size of an item", "bytes", (1, 100, 10_000, 1_000_000, 100_000_000), item_of),
    Curve("cancelled senders", "tasks waiting in itemize", TENS[2:], cancelled_senders, "task", cancels=True),
    Curve("cancelled receivers", "tasks waiting for an item", TENS[2:], cancelled_receivers, "task", cancels=True),
)


def case_name(curve: Curve, library: Library, size: int) -> str:
    return f"{curve.name}, {library.name}, {size:,}"


def scale_cases(curves: Iterable[Curve], runner: Runner) -> list[Case]:
    return [
        scale_case(curve, library, size, runner) for curve in curves for library in LIBRARIES for size in curve.sizes_for(library)
    ]


def scale_case(curve: Curve, library: Library, size: int, runner: Runner) -> Case:
    async def measured(items: int) -> float:
        # A program may pass more items than it is asked to, where a size makes no sense with fewer.
        return await curve.program(library, size, items) * items

    return Case(case_name(curve, library, size), lambda items: runner(measured, items))


@dataclass(frozen=True)
class Growth:
    """How the cost changes along a curve."""

    spread: float
    """The largest by the smallest."""
    rise: float
    """The most that a larger size costs of what a smaller one does. Much less than the spread where the cost falls."""


def growth(costs: Sequence[float]) -> Growth:
    return Growth(max(costs) / min(costs), max(cost / min(costs[: place + 1]) for place, cost in enumerate(costs)))


def curves_of(curve: Curve, series: Mapping[str, Series]) -> dict[str, list[tuple[int, Series]]]:
    """What was measured of a curve, by library."""
    found: dict[str, list[tuple[int, Series]]] = {}
    for library in LIBRARIES:
        points = [(size, series[name]) for size in curve.sizes_for(library) if (name := case_name(curve, library, size)) in series]
        if points:
            found[library.name] = points
    return found


def verdict(curve: Curve, growths: Mapping[str, Growth]) -> str:
    """Of our own curve."""
    ours, bare = growths[LIBRARIES[0].name], growths.get(LIBRARIES[-1].name)
    if ours.spread <= AT_MOST:
        return "met"
    if curve.cancels and bare is not None and ours.spread <= AT_MOST * bare.spread:
        return f"met: what has no channel at all grows to {bare.spread:.2f} times as well"
    if ours.rise <= AT_MOST:
        return f"MISSED, but only because it falls: no size costs over {ours.rise:.2f} times what a smaller one does"
    return f"MISSED by {ours.spread / AT_MOST - 1:.0%}"
