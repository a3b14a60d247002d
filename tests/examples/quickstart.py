"""One task writes, another reads. The loop ends when the sender block ends."""

from __future__ import annotations

import asyncio

from chanstream import Channel, Itemizer, SenderContext


async def greet(itemize: Itemizer[str]) -> None:
    await itemize("Hello")
    await itemize("World")


async def write(sink: SenderContext[str]) -> None:
    async with sink as itemize:
        await itemize("One")
        await greet(itemize)  # any coroutine that has the itemizer may write


async def main() -> None:
    channel = Channel[str]()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(write(channel.sender))
        async for item in channel.receiver:
            print(item)


if __name__ == "__main__":
    asyncio.run(main())
