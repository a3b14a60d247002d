"""The async side of its queues, as in https://culsans.readthedocs.io/latest/ . They have a size of 1 or more.

Made for threads, as janus is.
"""

from __future__ import annotations

import asyncio
from typing import Final

import culsans

from tests.benchmarks.ways import BUFFER_1, BUFFER_64, LOCK_STEP, Passing, Way

__all__ = ["WAYS"]


def through(size: int) -> Passing:
    async def passing(count: int) -> list[int]:
        queue: culsans.Queue[int] = culsans.Queue(size)
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
        except culsans.AsyncQueueShutDown:
            await task
        return received

    return passing


WAYS: Final = (
    Way("culsans(1)", (LOCK_STEP, BUFFER_1), through(1)),
    Way("culsans(64)", (BUFFER_64,), through(64)),
)
