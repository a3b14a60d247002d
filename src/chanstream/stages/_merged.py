"""Several sources at a time: `merged`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import AsyncExitStack
from typing import TypeAlias, TypeVar, overload

from chanstream import Channel, Itemizer, offer

from ._arguments import check_source
from ._common import Stage, close, outlast

__all__ = ["merged"]

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
E = TypeVar("E")

# An item, in a list so that the channel can let go of it, and what lets its source be read again.
Held: TypeAlias = tuple[list[A], asyncio.Semaphore]


@overload
def merged(first: AsyncIterable[A], second: AsyncIterable[B], /) -> Stage[A | B]: ...
@overload
def merged(first: AsyncIterable[A], second: AsyncIterable[B], third: AsyncIterable[C], /) -> Stage[A | B | C]: ...
@overload
def merged(
    first: AsyncIterable[A], second: AsyncIterable[B], third: AsyncIterable[C], fourth: AsyncIterable[D], /
) -> Stage[A | B | C | D]: ...
@overload
def merged(
    first: AsyncIterable[A],
    second: AsyncIterable[B],
    third: AsyncIterable[C],
    fourth: AsyncIterable[D],
    fifth: AsyncIterable[E],
    /,
) -> Stage[A | B | C | D | E]: ...
@overload
def merged(*sources: AsyncIterable[A]) -> Stage[A]: ...
def merged(*sources: AsyncIterable[A]) -> Stage[A]:
    """Make a producer of the items of all `sources`, each as soon as it is there.

    The items of one source keep their order. A source is read again when its last item was taken, that is when ``await
    itemize(item)`` returned; so at most one item of each is read ahead of the consumer.

    **Waits** for the sources and for its consumer.

    **The wait ends** when all sources have ended; without any, at once.

    **Cancelled**, or when its consumer leaves, it stops reading and closes those sources that are generators. An item that was read
    and not taken is lost.

    **Raises** the error of the first source that fails, alone, after all items that had been read from any; the others are then not
    read any more. `merged` itself raises TypeError for what is no source.

    **Order of service**: items of different sources come in the order in which they were read. Each source is read in a task of its
    own.
    """
    for source in sources:
        check_source(source)

    async def merging(itemize: Itemizer[A]) -> None:
        iterators: list[AsyncIterator[A]] = []
        async with AsyncExitStack() as stack:
            for source in sources:
                iterator = aiter(source)
                iterators.append(iterator)
                # Its task may be cancelled before the first step, or not be made at all, since a later source is refused.
                stack.push_async_callback(close, iterator)
            async with Channel[Held[A]](buffer=len(sources)).fed_by(read_all, iterators) as items:
                async for held, again in items:
                    await itemize(held.pop())
                    again.release()

    return merging


async def read_all(itemize: Itemizer[Held[A]], iterators: list[AsyncIterator[A]]) -> None:
    tasks: set[asyncio.Task[None]] = set()
    try:
        for iterator in iterators:
            task = asyncio.create_task(read_one(itemize, iterator))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        # Raises the first error, including the cancellation of a source from elsewhere, and keeps asyncio from logging the others.
        # Cancelled, it cancels all.
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await outlast(tasks)


async def read_one(itemize: Itemizer[Held[A]], items: AsyncIterator[A]) -> None:
    """Offer the items of a source, so that no cancellation can withdraw one. There is room for one of each source."""
    taken = asyncio.Semaphore(0)
    try:
        async for item in items:
            offer(itemize, ([item], taken))
            del item
            await taken.acquire()
    finally:
        await close(items)
