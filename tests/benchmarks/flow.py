"""What `offer`, `feed`, `drop_oldest` and `take_ready` cost beside what one writes with asyncio alone.

Where only one side of the work is compared, the clock runs for that side alone. Everything is checked after it has stopped.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from chanstream import Channel, Itemizer, Receiver, offer
from tests.benchmarks.harness import Case, Clock
from tests.benchmarks.ways import BUFFER_64, DROPPING, FAN_OUT, FEEDING, OFFERING, Runner, Way

__all__ = ["READING", "RUNS", "flows"]

# Does something so many times, and returns the seconds that it took.
Measured: TypeAlias = Callable[[int], Coroutine[object, object, float]]

SIZE: Final = 64
LATEST: Final = 8
"""How many items the buffer holds that loses the oldest: half the longest burst."""

BURSTS: Final = tuple(range(1, 17))
CLIENTS: Final = 300


@dataclass(frozen=True)
class Run:
    """Something of ours, or what it is compared with."""

    name: str
    group: str
    measured: Measured
    ours: bool = False
    limit: int | None = None


def check(found: Sequence[int], expected: Sequence[int]) -> None:
    if list(found) != list(expected):
        message = f"{len(expected)} numbers should have come, and these came: {found[:20]}..."
        raise AssertionError(message)


# An item without waiting: the sending side alone.


async def offered(count: int) -> float:
    channel = Channel[int](buffer=count)
    async with channel.sender as itemize:
        start = Clock()
        for number in range(count):
            offer(itemize, number)
        seconds = Clock() - start
    check(channel.receiver.take_ready(), range(count))
    return seconds


async def put_nowait(count: int) -> float:
    queue = asyncio.Queue[int](count)
    start = Clock()
    for number in range(count):
        queue.put_nowait(number)
    seconds = Clock() - start
    check([queue.get_nowait() for _ in range(count)], range(count))
    return seconds


# An item to many clients, each of which waits for it: the sending side alone.


async def fanned_out(count: int) -> float:
    channels = [Channel[int](buffer=SIZE) for _ in range(CLIENTS)]
    received: list[list[int]] = [[] for _ in channels]

    async def read(receiver: Receiver[int], items: list[int]) -> None:
        async for item in receiver:
            items.append(item)

    tasks = [asyncio.create_task(read(channel.receiver, items)) for channel, items in zip(channels, received, strict=True)]
    itemizers = [await channel.sender.__aenter__() for channel in channels]
    seconds = 0.0
    for number in range(count):
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        start = Clock()
        for itemize in itemizers:
            offer(itemize, number)
        seconds += Clock() - start
    for channel in channels:
        await channel.sender.__aexit__(None, None, None)
    await asyncio.gather(*tasks)
    for items in received:
        check(items, range(count))
    return seconds


async def put_to_all(count: int) -> float:
    queues = [asyncio.Queue[int | None](SIZE) for _ in range(CLIENTS)]
    received: list[list[int]] = [[] for _ in queues]

    async def read(queue: asyncio.Queue[int | None], items: list[int]) -> None:
        while (item := await queue.get()) is not None:
            items.append(item)

    tasks = [asyncio.create_task(read(queue, items)) for queue, items in zip(queues, received, strict=True)]
    seconds = 0.0
    for number in range(count):
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        start = Clock()
        for queue in queues:
            queue.put_nowait(number)
        seconds += Clock() - start
    for queue in queues:
        await queue.put(None)
    await asyncio.gather(*tasks)
    for items in received:
        check(items, range(count))
    return seconds


# A task that feeds a channel.


async def produce(itemize: Itemizer[int], items: int) -> None:
    for item in range(items):
        await itemize(item)


def fed_in_tasks(items: int) -> Measured:
    async def measured(count: int) -> float:
        start = Clock()
        for _ in range(count):
            channel = Channel[int]()
            task = asyncio.create_task(channel.feed(produce, items))
            last = -1
            async for item in channel.receiver:
                last = item
            await task
            assert last == items - 1
        return Clock() - start

    return measured


def written_in_tasks(items: int) -> Measured:
    async def write(channel: Channel[int]) -> None:
        async with channel.sender as itemize:
            await produce(itemize, items)

    async def measured(count: int) -> float:
        start = Clock()
        for _ in range(count):
            channel = Channel[int]()
            task = asyncio.create_task(write(channel))
            last = -1
            async for item in channel.receiver:
                last = item
            await task
            assert last == items - 1
        return Clock() - start

    return measured


# The latest items only, written in bursts of 1 to 16 between which the reader has a turn.


def check_latest(received: Sequence[int], count: int) -> None:
    assert received[-1] == count - 1, "the last item is lost"
    assert list(received) == sorted(set(received)), "items came twice or out of order"
    assert len(received) > count // 3, "more was lost than has to be"


async def in_bursts(put: Callable[[int], Coroutine[object, object, None]], count: int) -> None:
    number = burst = 0
    while number < count:
        for _ in range(min(BURSTS[burst % len(BURSTS)], count - number)):
            await put(number)
            number += 1
        burst += 1
        await asyncio.sleep(0)


async def dropped(count: int) -> float:
    channel = Channel[int](buffer=LATEST, drop_oldest=True)
    received: list[int] = []

    async def write() -> None:
        async with channel.sender as itemize:
            await in_bursts(itemize, count)

    start = Clock()
    task = asyncio.create_task(write())
    async for item in channel.receiver:
        received.append(item)
    await task
    seconds = Clock() - start
    check_latest(received, count)
    return seconds


class Latest:
    """What one writes by hand. It has no end of its own."""

    def __init__(self) -> None:
        self.items = deque[int | None](maxlen=LATEST)
        self.event = asyncio.Event()

    async def put(self, item: int | None) -> None:
        self.items.append(item)
        self.event.set()

    async def get(self) -> int | None:
        while not self.items:
            self.event.clear()
            await self.event.wait()
        return self.items.popleft()


async def dropped_by_hand(count: int) -> float:
    latest = Latest()
    received: list[int] = []

    async def write() -> None:
        await in_bursts(latest.put, count)
        await latest.put(None)

    start = Clock()
    task = asyncio.create_task(write())
    while (item := await latest.get()) is not None:
        received.append(item)
    await task
    seconds = Clock() - start
    check_latest(received, count)
    return seconds


# Greedy batches.


async def read_greedily(count: int) -> list[int]:
    channel = Channel[int](buffer=SIZE)
    received: list[int] = []

    async def write() -> None:
        async with channel.sender as itemize:
            for number in range(count):
                await itemize(number)

    task = asyncio.create_task(write())
    async for first in channel.receiver:
        received.append(first)
        received += channel.receiver.take_ready()
    await task
    return received


async def get_greedily(count: int) -> list[int]:
    queue = asyncio.Queue[int | None](SIZE)
    received: list[int] = []

    async def write() -> None:
        for number in range(count):
            await queue.put(number)
        await queue.put(None)

    task = asyncio.create_task(write())
    item = await queue.get()
    while item is not None:
        received.append(item)
        try:
            item = queue.get_nowait()
        except asyncio.QueueEmpty:
            item = await queue.get()
    await task
    return received


READING: Final = (
    Way("Channel(buffer=64), take_ready", (BUFFER_64,), read_greedily),
    Way("asyncio.Queue(64), get_nowait", (BUFFER_64,), get_greedily),
)

RUNS: Final = (
    Run("offer", OFFERING, offered, ours=True),
    Run("Queue.put_nowait", OFFERING, put_nowait),
    Run("offer to 300", FAN_OUT, fanned_out, ours=True, limit=100),
    Run("Queue.put_nowait to 300", FAN_OUT, put_to_all, limit=100),
    Run("feed, 1 item", FEEDING, fed_in_tasks(1), ours=True),
    Run("a sender block, 1 item", FEEDING, written_in_tasks(1)),
    Run("feed, 10 items", FEEDING, fed_in_tasks(10), ours=True),
    Run("a sender block, 10 items", FEEDING, written_in_tasks(10)),
    Run("Channel(drop_oldest=True)", DROPPING, dropped, ours=True),
    Run("deque(maxlen=8) and an Event", DROPPING, dropped_by_hand),
)


def flows(runner: Runner) -> list[Case]:
    return [case_of_run(run, runner) for run in RUNS]


def case_of_run(run: Run, runner: Runner) -> Case:
    return Case(run.name, lambda count: runner(run.measured, count), run.limit)
