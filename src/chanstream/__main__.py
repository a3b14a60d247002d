"""``python -m chanstream`` shows the library at work: which side runs when, how a stream ends, what an item costs, why it hangs."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterable, Awaitable, Callable
from textwrap import fill
from time import perf_counter
from typing import Final

from . import Channel, Itemizer, SenderFailed
from .diagnosis import graph
from .diagnosis._remote import ps

RIGHT: Final = " " * 40


async def greet(itemize: Itemizer[str]) -> None:
    print("  await itemize('Two')")
    await itemize("Two")
    print("    returns")


async def write(itemize: Itemizer[str]) -> None:
    print("  await itemize('One')")
    await itemize("One")
    print("    returns")
    await greet(itemize)
    print("  the block has ended")


async def read(items: AsyncIterable[str]) -> None:
    async for item in items:
        print(f"{RIGHT}takes {item!r}")
        await asyncio.sleep(0)  # busy with it, for one turn of the event loop
        print(f"{RIGHT}  comes back for more")
    print(f"{RIGHT}the loop has ended")


async def hand_over() -> None:
    print("In lock-step, the default, itemize returns when the loop comes back:\n")
    print(f"  sender{RIGHT[8:]}receiver\n  {'-' * 30}{RIGHT[32:]}{'-' * 30}")
    async with Channel[str]().fed_by(write) as items:
        await read(items)


async def fail(send: Callable[[int], Awaitable[object]]) -> None:
    await send(1)
    raise OSError("disk is gone")


async def crash() -> None:
    print("\nThe writer fails after one item. What does the reader get?\n")
    print("  asyncio.Queue                         Channel")
    print(f"  {'-' * 30}{RIGHT[32:]}{'-' * 30}")
    queue = asyncio.Queue[int]()
    writing = asyncio.create_task(fail(queue.put))
    print(f"  takes {await queue.get()}")
    try:
        async with asyncio.timeout(0.5):
            await queue.get()
    except TimeoutError:
        print("  waits for ever (0.5 s here)")
    await asyncio.wait([writing])
    writing.exception()  # nothing else asks for it

    async with Channel[int](buffer=1).fed_by(fail) as numbers:
        try:
            async for number in numbers:
                print(f"{RIGHT}takes {number}")
        except SenderFailed as failed:
            print(f"{RIGHT}SenderFailed from\n{RIGHT}  {failed.__cause__!r}")


async def count(itemize: Itemizer[str]) -> None:
    try:
        number = 0
        while True:
            await itemize(str(number))
            number += 1
    finally:
        print("  read has cleaned up")


async def parse(itemize: Itemizer[int], lines: AsyncIterable[str]) -> None:
    try:
        async for line in lines:
            await itemize(int(line))
    finally:
        print("  parse has cleaned up")


async def leave() -> None:
    print("\nA pipeline, read to parse to a loop, is left after one item:\n")
    async with Channel[str]().fed_by(count) as lines, Channel[int]().fed_by(parse, lines) as numbers:
        async for number in numbers:
            print(f"  the loop takes {number} and leaves")
            break
    print("  the block has ended")


async def pass_through_channel(count: int, buffer: int) -> int:
    async def send(itemize: Itemizer[int]) -> None:
        for number in range(count):
            await itemize(number)

    received = 0
    async with Channel[int](buffer=buffer).fed_by(send) as numbers:
        async for _ in numbers:
            received += 1
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
    """Return the items per second, in the best of three rounds."""
    best = 0.0
    for _ in range(3):
        start = perf_counter()
        received = await passing(count, size)
        best = max(best, received / (perf_counter() - start))
    return best


async def measure() -> None:
    print("\nItems per second between two tasks, here and now:\n")
    for size, count, name in ((0, 10_000, "lock-step"), (64, 50_000, "buffer=64")):
        if os.isatty(1):
            print("  measuring ...", end="\r", flush=True)
        ours = await rate(pass_through_channel, count, size)
        theirs = await rate(pass_through_queue, count, size or 1)
        print(f"  Channel, {name:<12}{ours:>12,.0f}     asyncio.Queue({size or 1}){theirs:>{16 - len(str(size or 1))},.0f}")


async def split(even: Channel[int], odd: Channel[int]) -> None:
    async with even.sender as itemize_even, odd.sender as itemize_odd:
        for number in range(4):
            await (itemize_odd if number % 2 else itemize_even)(number)


async def sort(even: Channel[int], odd: Channel[int]) -> list[int]:
    return [number async for number in even.receiver] + [number async for number in odd.receiver]


def show_graph(tasks: list[asyncio.Task[object]]) -> None:
    try:
        found = graph()
    except RuntimeError as error:  # PyPy
        lines = [str(error)]
    else:
        lines = [found.headline, *(f"{task.name} {task.waits}" for task in found.cycle), found.advice]
    for line in lines:
        print(fill(line, 78, initial_indent="  ", subsequent_indent="    "))
    for task in tasks:
        task.cancel()


async def hang() -> None:
    print("\nTwo tasks wait for each other. What does chanstream.diagnosis say?\n")
    even, odd = Channel[int](), Channel[int]()
    async with asyncio.TaskGroup() as tasks:
        both: list[asyncio.Task[object]] = [
            tasks.create_task(sort(even, odd), name="sort"),
            tasks.create_task(split(even, odd), name="split"),
        ]
        asyncio.get_running_loop().call_later(0.1, show_graph, both)


async def main() -> None:
    await hand_over()
    await crash()
    await leave()
    await measure()
    await hang()


if __name__ == "__main__":
    if sys.argv[1:2] == ["ps"]:
        sys.exit(ps(sys.argv[2:]))
    asyncio.run(main())
