"""Memory channels and ``as_safe_channel``, on trio's own event loop.

As in https://trio.readthedocs.io/en/stable/reference-core.html#using-channels-to-pass-values-between-tasks and in
https://trio.readthedocs.io/en/stable/reference-core.html#trio.as_safe_channel .
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Final

import trio

from tests.benchmarks.ways import BUFFER_1, BUFFER_64, LOCK_STEP, Passing, Way

__all__ = ["WAYS"]


def on_trio(measured: Callable[[int], Coroutine[object, object, float]], count: int) -> float:
    return trio.run(measured, count)


def through(size: int) -> Passing:
    async def write(sending: trio.MemorySendChannel[int], count: int) -> None:
        async with sending:
            for number in range(count):
                await sending.send(number)

    async def passing(count: int) -> list[int]:
        received: list[int] = []
        async with trio.open_nursery() as nursery:
            sending, receiving = trio.open_memory_channel[int](size)
            nursery.start_soon(write, sending, count)
            async with receiving:
                async for number in receiving:
                    received.append(number)
        return received

    return passing


@trio.as_safe_channel
async def generate(count: int) -> AsyncGenerator[int, None]:
    for number in range(count):
        yield number


async def through_safe_channel(count: int) -> list[int]:
    received: list[int] = []
    async with generate(count) as numbers:
        async for number in numbers:
            received.append(number)
    return received


WAYS: Final = (
    Way("trio(0)", (LOCK_STEP,), through(0), on_trio),
    Way("trio(1)", (BUFFER_1,), through(1), on_trio),
    Way("trio(64)", (BUFFER_64,), through(64), on_trio),
    Way("trio.as_safe_channel", (LOCK_STEP,), through_safe_channel, on_trio),
)
