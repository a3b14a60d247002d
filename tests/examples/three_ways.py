"""One producer function, run in three ways by its caller. All three print the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable

from chanstream import Channel, Itemizer, stream


async def count_down(itemize: Itemizer[int], start: int) -> None:
    for number in range(start, 0, -1):
        await itemize(number)


async def show(way: str, numbers: AsyncIterable[int]) -> None:
    print(way, [number async for number in numbers])


async def in_a_task_of_your_own() -> None:
    channel = Channel[int]()
    async with asyncio.TaskGroup() as tasks, channel.receiver as numbers:
        tasks.create_task(channel.feed(count_down, 3))
        await show("a task of your own:   ", numbers)


async def in_the_background() -> None:
    async with Channel[int](buffer=16).fed_by(count_down, 3) as numbers:
        await show("a task of the block:  ", numbers)


async def in_the_consumers_task() -> None:
    await show("no task, a generator: ", stream(count_down, 3))


async def main() -> None:
    await in_a_task_of_your_own()
    await in_the_background()
    await in_the_consumers_task()


if __name__ == "__main__":
    asyncio.run(main())
