"""chanstream itself, and the floors: what the same work costs with asyncio alone. Peers are in `peers`."""

from __future__ import annotations

import asyncio
import queue
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Final, TypeAlias

from chanstream import BlockingItemizer, Channel, Itemizer, in_thread, stream
from chanstream.stages import batched, mapped
from tests.benchmarks.harness import Case, Clock
from tests.benchmarks.ways import (
    BATCHING,
    BUFFER_1,
    BUFFER_64,
    IO,
    LOCK_STEP,
    MAPPING,
    STREAM,
    THREAD_0,
    THREAD_64,
    THREAD_1024,
    Passing,
    Runner,
    Way,
)

__all__ = ["MILLISECOND", "OURS", "WAYS", "Buffered", "generate", "makings"]

MILLISECOND: Final = 0.001

# chanstream, used as its guide does.


async def produce(itemize: Itemizer[int], count: int) -> None:
    for number in range(count):
        await itemize(number)


def through_channel(buffer: int) -> Passing:
    async def passing(count: int) -> list[int]:
        channel = Channel[int](buffer=buffer)
        received: list[int] = []

        async def write() -> None:
            async with channel.sender as itemize:
                for number in range(count):
                    await itemize(number)

        task = asyncio.create_task(write())
        async for number in channel.receiver:
            received.append(number)
        await task
        return received

    return passing


def fed(buffer: int) -> Passing:
    async def passing(count: int) -> list[int]:
        received: list[int] = []
        async with Channel[int](buffer=buffer).fed_by(produce, count) as numbers:
            async for number in numbers:
                received.append(number)
        return received

    return passing


async def streamed(count: int) -> list[int]:
    received: list[int] = []
    async for number in stream(produce, count):
        received.append(number)
    return received


# The stages, with a source and calls that wait for nothing.


async def unchanged(number: int) -> int:
    return number


async def mapped_in_stream(count: int) -> list[int]:
    received: list[int] = []
    async for number in stream(mapped(generate(count), unchanged, limit=20)):
        received.append(number)
    return received


async def mapped_in_channel(count: int) -> list[int]:
    received: list[int] = []
    async with Channel[int](buffer=64).fed_by(mapped(generate(count), unchanged, limit=20)) as numbers:
        async for number in numbers:
            received.append(number)
    return received


def batched_in_stream(seconds: float | None) -> Passing:
    async def passing(count: int) -> list[int]:
        received: list[int] = []
        async for batch in stream(batched(generate(count), size=10, seconds=seconds)):
            received += batch
        return received

    return passing


# The floors.


async def bare_futures(count: int) -> list[int]:
    """Two tasks that wake one another, one item a round trip. Nothing can be cancelled, and an end is not noticed."""
    loop = asyncio.get_running_loop()
    item: asyncio.Future[int] = loop.create_future()
    taken: asyncio.Future[None] = loop.create_future()
    received: list[int] = []

    async def write() -> None:
        nonlocal taken
        for number in range(count):
            item.set_result(number)
            await taken
            taken = loop.create_future()

    task = asyncio.create_task(write())
    for _ in range(count):
        received.append(await item)
        item = loop.create_future()
        taken.set_result(None)
    await task
    return received


async def alternating(count: int) -> list[int]:
    """Two tasks that take turns and rely on it: neither waits for the other."""
    item = 0
    received: list[int] = []

    async def read() -> None:
        for _ in range(count):
            received.append(item)
            await asyncio.sleep(0)

    task = asyncio.create_task(read())
    for number in range(count):
        item = number
        await asyncio.sleep(0)
    await task
    return received


def through_queue(size: int) -> Passing:
    """A queue has no end of its own before Python 3.13. Without `task_done`, since no task joins: so it is as fast as can be."""

    async def passing(count: int) -> list[int]:
        queue = asyncio.Queue[int | None](size)
        received: list[int] = []

        async def write() -> None:
            for number in range(count):
                await queue.put(number)
            await queue.put(None)

        task = asyncio.create_task(write())
        while (number := await queue.get()) is not None:
            received.append(number)
        await task
        return received

    return passing


async def generate(count: int) -> AsyncIterator[int]:
    for number in range(count):
        yield number


async def generated(count: int) -> list[int]:
    received: list[int] = []
    async for number in generate(count):
        received.append(number)
    return received


async def called_in_a_task_group(count: int) -> list[int]:
    """At most 20 calls are under way, but the results wait for no consumer."""
    free = asyncio.Semaphore(20)
    received: list[int] = []

    async def call(number: int) -> None:
        try:
            received.append(await unchanged(number))
        finally:
            free.release()

    async with asyncio.TaskGroup() as calls:
        async for number in generate(count):
            await free.acquire()
            calls.create_task(call(number))
    return received


# One side waits for something else, a millisecond before each item. What counts is what the other one spends on waiting.


Buffered: TypeAlias = Callable[[int], Passing]


def channel_of_slow_sender(buffer: int) -> Passing:
    async def passing(count: int) -> list[int]:
        channel = Channel[int](buffer=buffer)
        received: list[int] = []

        async def write() -> None:
            async with channel.sender as itemize:
                for number in range(count):
                    await asyncio.sleep(MILLISECOND)
                    await itemize(number)

        task = asyncio.create_task(write())
        async for number in channel.receiver:
            received.append(number)
        await task
        return received

    return passing


def channel_of_slow_receiver(buffer: int) -> Passing:
    async def passing(count: int) -> list[int]:
        channel = Channel[int](buffer=buffer)
        received: list[int] = []

        async def write() -> None:
            async with channel.sender as itemize:
                for number in range(count):
                    await itemize(number)

        task = asyncio.create_task(write())
        async for number in channel.receiver:
            await asyncio.sleep(MILLISECOND)
            received.append(number)
        await task
        return received

    return passing


async def queue_of_slow_sender(count: int) -> list[int]:
    queue = asyncio.Queue[int | None](1)
    received: list[int] = []

    async def write() -> None:
        for number in range(count):
            await asyncio.sleep(MILLISECOND)
            await queue.put(number)
        await queue.put(None)

    task = asyncio.create_task(write())
    while (number := await queue.get()) is not None:
        received.append(number)
    await task
    return received


async def queue_of_slow_receiver(count: int) -> list[int]:
    queue = asyncio.Queue[int | None](1)
    received: list[int] = []

    async def write() -> None:
        for number in range(count):
            await queue.put(number)
        await queue.put(None)

    task = asyncio.create_task(write())
    while (number := await queue.get()) is not None:
        await asyncio.sleep(MILLISECOND)
        received.append(number)
    await task
    return received


# From a thread to the event loop.


def count_in_thread(itemize: BlockingItemizer[int], count: int) -> None:
    for number in range(count):
        itemize(number)


def from_thread(size: int) -> Passing:
    async def passing(count: int) -> list[int]:
        received: list[int] = []
        async with Channel[int](buffer=size).fed_by(in_thread(count_in_thread, ahead=size), count) as numbers:
            async for number in numbers:
                received.append(number)
        return received

    return passing


async def from_thread_by_coroutines(count: int) -> list[int]:
    """As the documentation of asyncio has it."""
    received: list[int] = []

    async def write(itemize: Itemizer[int]) -> None:
        loop = asyncio.get_running_loop()

        def run() -> None:
            for number in range(count):
                asyncio.run_coroutine_threadsafe(itemize(number), loop).result()

        await asyncio.to_thread(run)

    async with Channel[int]().fed_by(write) as numbers:
        async for number in numbers:
            received.append(number)
    return received


async def between_threads(count: int) -> list[int]:
    """The event loop has no part in it, and stands still."""
    items = queue.Queue[int | None](1_024)
    received: list[int] = []

    def write() -> None:
        for number in range(count):
            items.put(number)
        items.put(None)

    thread = threading.Thread(target=write)
    thread.start()
    while (number := items.get()) is not None:
        received.append(number)
    thread.join()
    return received


OURS: Final = (
    Way("Channel()", (LOCK_STEP,), through_channel(0)),
    Way("Channel().fed_by", (LOCK_STEP,), fed(0)),
    Way("Channel(buffer=1)", (BUFFER_1,), through_channel(1)),
    Way("Channel(buffer=64)", (BUFFER_64,), through_channel(64)),
    Way("Channel(buffer=64).fed_by", (BUFFER_64,), fed(64)),
    Way("stream", (STREAM,), streamed),
    Way("mapped", (MAPPING,), mapped_in_stream),
    Way("mapped, buffer=64", (MAPPING,), mapped_in_channel),
    Way("batched", (BATCHING,), batched_in_stream(None)),
    Way("batched, with seconds", (BATCHING,), batched_in_stream(60)),
    Way("Channel(), slow sender", (IO,), channel_of_slow_sender(0), limit=100),
    Way("Channel(), slow receiver", (IO,), channel_of_slow_receiver(0), limit=100),
    Way("Channel(buffer=1), slow sender", (IO,), channel_of_slow_sender(1), limit=100),
    Way("Channel(buffer=1), slow receiver", (IO,), channel_of_slow_receiver(1), limit=100),
    Way("in_thread", (THREAD_0,), from_thread(0)),
    Way("in_thread, 64", (THREAD_64,), from_thread(64)),
    Way("in_thread, 1,024", (THREAD_1024,), from_thread(1_024)),
)

FLOORS: Final = (
    Way("bare futures", (LOCK_STEP,), bare_futures),
    Way("asyncio.sleep(0)", (LOCK_STEP,), alternating),
    Way("asyncio.Queue(1)", (LOCK_STEP, BUFFER_1), through_queue(1)),
    Way("asyncio.Queue(64)", (BUFFER_64,), through_queue(64)),
    Way("async generator", (STREAM,), generated),
    Way("TaskGroup, Semaphore(20)", (MAPPING,), called_in_a_task_group),
    Way("asyncio.Queue(1), slow sender", (IO,), queue_of_slow_sender, limit=100),
    Way("asyncio.Queue(1), slow receiver", (IO,), queue_of_slow_receiver, limit=100),
    Way("run_coroutine_threadsafe", (THREAD_0,), from_thread_by_coroutines),
    Way("queue.Queue(1,024)", (THREAD_1024,), between_threads),
)

WAYS = [*OURS, *FLOORS]

if sys.version_info >= (3, 13):

    def through_closed_queue(size: int) -> Passing:
        """As in https://docs.python.org/3/library/asyncio-queue.html#asyncio.Queue.shutdown ."""

        async def passing(count: int) -> list[int]:
            queue = asyncio.Queue[int](size)
            received: list[int] = []

            async def write() -> None:
                for number in range(count):
                    await queue.put(number)
                queue.shutdown()

            task = asyncio.create_task(write())
            try:
                while True:
                    received.append(await queue.get())
            except asyncio.QueueShutDown:
                await task
            return received

        return passing

    WAYS += [
        Way("asyncio.Queue(1), shutdown", (LOCK_STEP, BUFFER_1), through_closed_queue(1)),
        Way("asyncio.Queue(64), shutdown", (BUFFER_64,), through_closed_queue(64)),
    ]


# Making one, without passing anything.


async def make_channels(count: int) -> None:
    for _ in range(count):
        channel = Channel[int]()
        await channel.receiver.aclose()


async def make_plain_channels(count: int) -> None:
    """A generic alias costs about as much as the rest: the interpreter tries to note the type on each object."""
    for _ in range(count):
        channel: Channel[int] = Channel()
        await channel.receiver.aclose()


async def open_channels(count: int) -> None:
    for _ in range(count):
        channel = Channel[int]()
        async with channel.receiver, channel.sender:
            pass


async def make_queues(count: int) -> None:
    for _ in range(count):
        asyncio.Queue[int]()


async def make_plain_queues(count: int) -> None:
    for _ in range(count):
        queue: asyncio.Queue[int] = asyncio.Queue()
        del queue


def making(name: str, make: Callable[[int], Coroutine[object, object, None]], runner: Runner) -> Case:
    async def measured(count: int) -> float:
        start = Clock()
        await make(count)
        return Clock() - start

    return Case(name, lambda count: runner(measured, count))


def makings(runner: Runner) -> list[Case]:
    return [
        making("Channel[int](), closed", make_channels, runner),
        making("Channel(), closed", make_plain_channels, runner),
        making("Channel[int](), opened and closed", open_channels, runner),
        making("asyncio.Queue[int]()", make_queues, runner),
        making("asyncio.Queue()", make_plain_queues, runner),
    ]
