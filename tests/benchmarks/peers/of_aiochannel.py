"""Closable queues, as in https://pypi.org/project/aiochannel/1.4.1/ . They have a size of 1 or more."""

# ruff: noqa: PERF401 - every loop does the same work, whether or not it could be a comprehension

from __future__ import annotations

import asyncio
from typing import Final

from aiochannel import Channel

from tests.benchmarks.ways import BUFFER_1, BUFFER_64, LOCK_STEP, Passing, Way

__all__ = ["WAYS"]


def through(size: int) -> Passing:
    async def passing(count: int) -> list[int]:
        channel: Channel[int] = Channel(size)
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


WAYS: Final = (
    Way("aiochannel(1)", (LOCK_STEP, BUFFER_1), through(1)),
    Way("aiochannel(64)", (BUFFER_64,), through(64)),
)
