"""Memory object streams, as in https://anyio.readthedocs.io/en/stable/streams.html#memory-object-streams ."""

from __future__ import annotations

from typing import Final

import anyio
from anyio.streams.memory import MemoryObjectSendStream

from tests.benchmarks.ways import BUFFER_1, BUFFER_64, LOCK_STEP, Passing, Way

__all__ = ["WAYS"]


def through(size: int) -> Passing:
    async def write(sending: MemoryObjectSendStream[int], count: int) -> None:
        async with sending:
            for number in range(count):
                await sending.send(number)

    async def passing(count: int) -> list[int]:
        sending, receiving = anyio.create_memory_object_stream[int](size)
        received: list[int] = []
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(write, sending, count)
            async with receiving:
                async for number in receiving:
                    received.append(number)
        return received

    return passing


WAYS: Final = (
    Way("anyio(0)", (LOCK_STEP,), through(0)),
    Way("anyio(1)", (BUFFER_1,), through(1)),
    Way("anyio(64)", (BUFFER_64,), through(64)),
)
