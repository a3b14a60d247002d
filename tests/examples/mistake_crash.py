"""A producer that crashes ends the loop silently, and a part looks like the whole. First on a queue, then on a channel.

Run it::

    python tests/examples/mistake_crash.py

The producer is the same in both: `queue.put` is an itemizer too.
"""

from __future__ import annotations

import asyncio

from chanstream import Channel, Itemizer


async def read_prices(itemize: Itemizer[int]) -> None:
    for line in ("10", "20", "thirty", "40"):
        await itemize(int(line))


async def add_up_from_a_queue() -> None:
    queue = asyncio.Queue[int | None]()

    async def produce() -> None:
        try:
            await read_prices(queue.put)
        finally:
            await queue.put(None)  # The mistake. Without it, the loop would wait for ever.

    task = asyncio.create_task(produce())
    total = 0
    while (price := await queue.get()) is not None:
        total += price
    print("  the sum of all prices is", total)
    print("  what nobody asks the task for:", repr(task.exception()))


async def add_up_from_a_channel() -> None:
    async with Channel[int]().fed_by(read_prices) as prices:
        print("  the sum of all prices is", sum([price async for price in prices]))


async def main() -> None:
    print("With a queue:")
    await add_up_from_a_queue()
    print("With a channel:")
    try:
        await add_up_from_a_channel()
    except ValueError as error:
        print("  there is no sum:", repr(error))


if __name__ == "__main__":
    asyncio.run(main())
