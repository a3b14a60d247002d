"""``python -m chanstream`` shows the library at work: who runs when, and how fast."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Final

from . import Channel, Itemizer

RIGHT: Final = " " * 40


async def greet(itemize: Itemizer[str]) -> None:
    for word in ("Two", "Three"):
        print(f"  await itemize({word!r})")
        await itemize(word)
        print("    returns")


async def write(channel: Channel[str]) -> None:
    async with channel.sender as itemize:
        print("  await itemize('One')")
        await itemize("One")
        print("    returns")
        await greet(itemize)
    print("  the block has ended")


async def read(channel: Channel[str]) -> None:
    async for item in channel.receiver:
        print(f"{RIGHT}takes {item!r}")
        await asyncio.sleep(0)  # busy with it, for one turn of the event loop
        print(f"{RIGHT}  comes back for more")
    print(f"{RIGHT}the loop has ended")


async def show(title: str, channel: Channel[str]) -> None:
    print(f"{title}\n\n  sender{RIGHT[8:]}receiver\n  {'-' * 30}{RIGHT[32:]}{'-' * 30}")
    await asyncio.gather(read(channel), write(channel))
    print()


async def pass_through_channel(count: int, buffer: int) -> int:
    channel = Channel[int](buffer=buffer)

    async def send() -> None:
        async with channel.sender as itemize:
            for number in range(count):
                await itemize(number)

    task = asyncio.create_task(send())
    received = 0
    async for _ in channel.receiver:
        received += 1
    await task
    return received


async def pass_through_queue(count: int, size: int) -> int:
    queue = asyncio.Queue[int | None](size)

    async def send() -> None:
        for number in range(count):
            await queue.put(number)
        await queue.put(None)  # a queue has no end of its own

    task = asyncio.create_task(send())
    received = 0
    while await queue.get() is not None:
        received += 1
    await task
    return received


async def rate(passing: Callable[[int, int], Awaitable[int]], count: int, size: int) -> float:
    """Items per second, the best of three rounds."""
    best = 0.0
    for _ in range(3):
        start = perf_counter()
        received = await passing(count, size)
        best = max(best, received / (perf_counter() - start))
    return best


async def main() -> None:
    await show("In lock-step, the default: itemize returns when the loop comes back.", Channel())
    await show("With buffer=2: itemize returns while there is room.", Channel(buffer=2))
    print("Items per second between two tasks, here and now:\n")
    for size, count, name in ((0, 10_000, "lock-step"), (64, 50_000, "buffer=64")):
        ours = await rate(pass_through_channel, count, size)
        theirs = await rate(pass_through_queue, count, size or 1)
        print(f"  Channel, {name:<12}{ours:>12,.0f}     asyncio.Queue({size or 1}){theirs:>{16 - len(str(size or 1))},.0f}")


if __name__ == "__main__":
    asyncio.run(main())
