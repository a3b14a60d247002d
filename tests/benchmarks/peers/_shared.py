"""What several of the other libraries have: channels that are closed, and queues with an async side and one for threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Protocol

from tests.benchmarks.ways import Passing

__all__ = ["through_channel", "through_queue", "through_queue_from_thread"]


class Steps(Protocol):
    """An async iterator, as far as a loop needs it: that of aiochan has no `__aiter__` of this kind."""

    def __anext__(self) -> Awaitable[int]: ...


class ClosableChannel(Protocol):
    def put(self, item: int, /) -> Awaitable[object]: ...
    def close(self) -> object: ...
    def __aiter__(self) -> Steps: ...


def through_channel(make: Callable[[], ClosableChannel]) -> Passing:
    async def passing(count: int) -> list[int]:
        channel = make()
        received: list[int] = []

        async def write() -> None:
            for number in range(count):
                await channel.put(number)
            channel.close()

        task = asyncio.create_task(write())
        async for number in channel:
            received.append(number)
        await task
        return received

    return passing


class AsyncSide(Protocol):
    async def put(self, item: int, /) -> None: ...
    async def get(self) -> int: ...
    def task_done(self) -> None: ...
    def shutdown(self) -> None: ...


class ThreadSide(Protocol):
    def put(self, item: int, /) -> None: ...


class TwoSidedQueue(Protocol):
    @property
    def async_q(self) -> AsyncSide: ...
    @property
    def sync_q(self) -> ThreadSide: ...
    def shutdown(self) -> None: ...
    async def aclose(self) -> None: ...


def through_queue(make: Callable[[], TwoSidedQueue], is_shut_down: type[Exception]) -> Passing:
    async def passing(count: int) -> list[int]:
        queue = make()
        items = queue.async_q
        received: list[int] = []

        async def write() -> None:
            for number in range(count):
                await items.put(number)
            items.shutdown()

        task = asyncio.create_task(write())
        try:
            while True:
                received.append(await items.get())
                items.task_done()
        except is_shut_down:
            await task
        await queue.aclose()
        return received

    return passing


def through_queue_from_thread(make: Callable[[], TwoSidedQueue], is_shut_down: type[Exception]) -> Passing:
    async def passing(count: int) -> list[int]:
        queue = make()
        items = queue.async_q
        received: list[int] = []

        def write() -> None:
            for number in range(count):
                queue.sync_q.put(number)
            queue.shutdown()

        thread = threading.Thread(target=write)
        thread.start()
        try:
            while True:
                received.append(await items.get())
                items.task_done()
        except is_shut_down:
            thread.join()
        await queue.aclose()
        return received

    return passing
