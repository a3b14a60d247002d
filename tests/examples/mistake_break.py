"""A consumer that leaves its loop leaves the producer hanging. First on a queue, then on a channel.

Run it::

    python tests/examples/mistake_break.py

The producer is the same in both: `queue.put` is an itemizer too.
"""

from __future__ import annotations

import asyncio
from itertools import count

from chanstream import Channel, Itemizer


async def read_log(itemize: Itemizer[int]) -> None:
    print("  the producer opens its file")
    try:
        for number in count():
            await itemize(number)
    finally:
        print("  the producer closes its file")


async def search_queue() -> None:
    queue = asyncio.Queue[int](maxsize=1)
    task = asyncio.create_task(read_log(queue.put))
    while True:
        if await queue.get() == 2:
            print("  the consumer has found it, and leaves")
            break  # The mistake. From here on, nothing makes room in the queue.
    _, hanging = await asyncio.wait([task], timeout=0.1)
    print("  the consumer has gone on, the producer", "hangs" if hanging else "has ended")
    print("  at last somebody cancels it")
    task.cancel()
    await asyncio.wait([task])


async def search_channel() -> None:
    async with Channel[int]().fed_by(read_log) as numbers:
        async for number in numbers:
            if number == 2:
                print("  the consumer has found it, and leaves")
                break
    print("  the consumer has gone on")


async def main() -> None:
    print("With a queue:")
    await search_queue()
    print("With a channel:")
    await search_channel()


if __name__ == "__main__":
    asyncio.run(main())
