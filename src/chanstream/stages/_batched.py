"""Items in lists, by number and by time: `batched`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from typing import Generic, TypeVar

from chanstream import Channel, Itemizer, offer

from ._arguments import check_count, check_seconds, check_source
from ._common import FAILURES, STRIDE, Stage, cancelling, close

__all__ = ["batched"]

T = TypeVar("T")


def batched(source: AsyncIterable[T], *, size: int, seconds: float | None = None) -> Stage[list[T]]:
    """Make a producer of lists of `size` items of `source`; with `seconds`, of what there is that long after the first of them.

    The time starts when the first item is put into the batch, which is not before the consumer has come back for a batch. An
    incomplete batch comes before the end of the source, and before its failure.

    **Waits** for the source, for the time, and for its consumer. While the consumer is busy the source is not read; but with
    `seconds`, a read that is under way when the time is over goes on, and its item begins the next batch.

    **The wait ends** with the source.

    **Cancelled**, or when its consumer leaves, it closes the source if that is a generator. The items of the batch in hand are
    lost. When the time of a batch is over nothing is cancelled, so the source may be anything, a generator included.

    **Raises** the error of the source, also if the consumer leaves while the last batch waits. `batched` itself raises TypeError or
    ValueError for a bad argument.
    """
    check_source(source)
    check_count("batched(size=...)", size)
    if seconds is not None:
        check_seconds("batched(seconds=...)", seconds)

    async def batching(itemize: Itemizer[list[T]]) -> None:
        if seconds is None:
            await by_size(itemize, aiter(source), size)
        else:
            await by_time(itemize, aiter(source), Batch[T](size, seconds))

    return batching


async def by_size(itemize: Itemizer[list[T]], items: AsyncIterator[T], size: int) -> None:
    batch: list[T] = []
    before = cancelling()
    try:
        async for item in items:
            batch.append(item)
            del item
            count = len(batch)
            if count == size:
                await itemize(taken(batch))
            elif not count % STRIDE:
                await asyncio.sleep(0)
    except FAILURES as failure:
        if not batch or cancelling() > before:
            raise
        # The source has failed. Its error is raised, even if the consumer leaves now or a cancellation comes.
        try:
            await itemize(taken(batch))
        finally:
            raise failure
    else:
        if batch:
            await itemize(taken(batch))
    finally:
        await close(items)


async def by_time(itemize: Itemizer[list[T]], items: AsyncIterator[T], batch: Batch[T]) -> None:
    async with Channel[list[list[T]]](buffer=1).fed_by(batch.fill_each, items) as batches:
        async for held in batches:
            await itemize(held.pop())
            batch.asked.release()


class Batch(Generic[T]):
    """The batch in hand, which is offered when it is full or its time is over. The next begins when one is asked for."""

    __slots__ = ("asked", "itemize", "items", "passed_on", "seconds", "size", "timer")

    asked: asyncio.Semaphore
    itemize: Itemizer[list[list[T]]]
    items: list[T]
    passed_on: bool
    """Whether a batch was passed on, and no other has been asked for since."""
    seconds: float
    size: int
    timer: asyncio.TimerHandle | None

    def __init__(self, size: int, seconds: float) -> None:
        self.asked = asyncio.Semaphore(0)
        self.items = []
        self.passed_on = False
        self.seconds = seconds
        self.size = size
        self.timer = None

    async def fill_each(self, itemize: Itemizer[list[list[T]]], items: AsyncIterator[T]) -> None:
        """Make the batches. In a task of its own, which alone reads the source and closes it: time may run out during a read."""
        self.itemize = itemize
        try:
            await self.fill(items)
        except FAILURES:
            self.pass_on()
            raise
        else:
            self.pass_on()
        finally:
            self.stop_timer()
            await close(items)

    async def fill(self, items: AsyncIterator[T]) -> None:
        loop = asyncio.get_running_loop()
        async for item in items:
            if self.passed_on:
                await self.begin()
            if not self.items:
                self.timer = loop.call_later(self.seconds, self.pass_on)
            self.items.append(item)
            del item
            count = len(self.items)
            if count == self.size:
                self.pass_on()
                await self.begin()
            elif not count % STRIDE:
                await asyncio.sleep(0)

    async def begin(self) -> None:
        await self.asked.acquire()
        self.passed_on = False

    def pass_on(self) -> None:
        self.stop_timer()
        if self.items:
            self.passed_on = True
            offer(self.itemize, [taken(self.items)])  # there is room; in a list, so that the channel can let go of it

    def stop_timer(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


def taken(batch: list[T]) -> list[T]:
    """Move the items of `batch` to another list, to which the stage keeps no reference: the consumer decides how long they live."""
    items = batch.copy()
    batch.clear()
    return items
