"""A timeout around the next item loses it, and all that come after. First on a queue, then on a channel.

Run it::

    python tests/examples/mistake_timeout.py

The producer and the consumer are the same in both: `queue.put` is an itemizer too, and a receiver is an async iterator.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from chanstream import Channel, Itemizer


async def answer_late(itemize: Itemizer[str], asked_again: asyncio.Event) -> None:
    await asked_again.wait()
    for word in ("late", "but", "not", "lost"):
        await itemize(word)


async def take_all(words: AsyncIterator[str], asked_again: asyncio.Event) -> list[str]:
    taken: list[str] = []
    while True:
        try:
            async with asyncio.timeout(0.1):
                taken.append(await anext(words))
        except TimeoutError:
            asked_again.set()  # a real program would do something else meanwhile, and come back
        except StopAsyncIteration:
            return taken


async def iterate(queue: asyncio.Queue[str | None]) -> AsyncIterator[str]:
    while (item := await queue.get()) is not None:  # The mistake. The timeout is raised here and ends the generator.
        yield item


async def take_from_a_queue() -> None:
    asked_again, queue = asyncio.Event(), asyncio.Queue[str | None]()

    async def produce() -> None:
        await answer_late(queue.put, asked_again)
        await queue.put(None)

    task = asyncio.create_task(produce())
    print("  taken:", await take_all(iterate(queue), asked_again))
    await task
    print("  left behind:", [queue.get_nowait() for _ in range(queue.qsize() - 1)])


async def take_from_a_channel() -> None:
    asked_again = asyncio.Event()
    async with Channel[str]().fed_by(answer_late, asked_again) as words:
        print("  taken:", await take_all(words, asked_again))


async def main() -> None:
    print("With a queue:")
    await take_from_a_queue()
    print("With a channel:")
    await take_from_a_channel()


if __name__ == "__main__":
    asyncio.run(main())
