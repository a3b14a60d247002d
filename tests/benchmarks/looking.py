"""What `chanstream.diagnosis` costs while it looks. Until then it costs nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable
from contextlib import AsyncExitStack
from time import perf_counter, process_time
from typing import Final

from chanstream import Channel, Itemizer, Receiver
from chanstream.diagnosis import graph, profile

__all__ = ["MOST_OF_PROFILE", "MOST_SECONDS", "look_seconds", "profile_shares"]

MOST_SECONDS: Final = {5: 0.005, 50: 0.030, 500: 0.300}
"""What one look may take at so many stages."""

MOST_OF_PROFILE: Final = 0.02
"""What share of a processor a profile may take from a busy program."""


async def numbers(itemize: Itemizer[int], count: int) -> None:
    for number in range(count):
        await itemize(number)


async def relay(itemize: Itemizer[int], source: AsyncIterable[int]) -> None:
    async for number in source:
        await itemize(number)


def look_seconds(stages: int, rounds: int) -> list[float]:
    """Processor time of each look at a pipeline of so many stages, all of which wait."""

    async def main() -> list[float]:
        found: list[float] = []
        source_channel = Channel[int]()
        async with source_channel.sender, AsyncExitStack() as stack:
            source: Receiver[int] = source_channel.receiver
            for _ in range(stages):
                source = await stack.enter_async_context(Channel[int](buffer=1).fed_by(relay, source))
            for _ in range(20 + 2 * stages):
                await asyncio.sleep(0)
            for _ in range(rounds):
                began = process_time()
                graph()
                found.append(process_time() - began)
        return found

    return asyncio.run(main())


def profile_shares(rounds: int, items: int) -> list[float]:
    """What share of a processor a profile takes, in pairs of runs with it and without."""

    async def work() -> tuple[float, float]:
        busy, wall = process_time(), perf_counter()
        async with Channel[int](buffer=8).fed_by(numbers, items) as source, Channel[int](buffer=8).fed_by(relay, source) as relayed:
            async for _ in relayed:
                pass
        return process_time() - busy, perf_counter() - wall

    async def main() -> list[float]:
        shares: list[float] = []
        for _ in range(rounds):
            without, _ = await work()
            async with profile():
                watched, wall = await work()
            shares.append((watched - without) / wall)
        return shares

    return asyncio.run(main())
