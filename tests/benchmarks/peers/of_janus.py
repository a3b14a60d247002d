"""The async side of its queues, as in https://github.com/aio-libs/janus#example . They have a size of 1 or more.

Made for threads: its documentation says not to use it between tasks alone where speed matters.
"""

from __future__ import annotations

import asyncio
from typing import Final

import janus

from tests.benchmarks.ways import BUFFER_1, BUFFER_64, LOCK_STEP, Passing, Way

__all__ = ["WAYS"]


def through(size: int) -> Passing:
    async def passing(count: int) -> list[int]:
        queue: janus.Queue[int] = janus.Queue(size)
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
        except janus.AsyncQueueShutDown:
            await task
        await queue.aclose()
        return received

    return passing


WAYS: Final = (
    Way("janus(1)", (LOCK_STEP, BUFFER_1), through(1)),
    Way("janus(64)", (BUFFER_64,), through(64)),
)
