"""Channels, as in https://aiochan.readthedocs.io/en/latest/quick.html ."""

# ruff: noqa: PERF401 - every loop does the same work, whether or not it could be a comprehension

from __future__ import annotations

import asyncio
from typing import Final

from aiochan import Chan

from tests.benchmarks.ways import BUFFER_1, BUFFER_64, LOCK_STEP, Passing, Way

__all__ = ["WAYS"]


def through(size: int) -> Passing:
    async def passing(count: int) -> list[int]:
        channel: Chan[int] = Chan(size or None)
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
    Way("aiochan()", (LOCK_STEP,), through(0)),
    Way("aiochan(1)", (BUFFER_1,), through(1)),
    Way("aiochan(64)", (BUFFER_64,), through(64)),
)
