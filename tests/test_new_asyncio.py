"""What newer Pythons have brought to asyncio, around blocks and producers: there is nothing to test before 3.14."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterable

from chanstream import Channel, Itemizer, SenderContext, stream
from tests.loops import turns
from tests.outcomes import collect

log: list[str] = []


def note(text: str) -> None:
    log.append(text)


async def listen(itemize: Itemizer[int]) -> None:
    try:
        await itemize(1)
        await asyncio.sleep(3600)
    finally:
        log.append("cleaned up")


async def write(sink: SenderContext[int]) -> None:
    async with sink as itemize:
        await listen(itemize)


async def read(items: AsyncIterable[int]) -> None:
    async for item in items:
        note(f"took {item}")


if sys.version_info >= (3, 14):

    async def test_a_feed_that_starts_eagerly_writes_before_its_task_is_returned() -> None:
        """Rules 20 and 23: `eager_start=True`, task by task."""
        channel = Channel[int](buffer=2)

        async def write_two(itemize: Itemizer[int]) -> None:
            await itemize(1)
            await itemize(2)

        task = asyncio.create_task(channel.feed(write_two), eager_start=True)
        assert task.done()
        assert await collect(channel.receiver) == [1, 2]

    async def test_an_eager_reader_and_an_eager_writer_hand_over() -> None:
        """Rule 20."""
        log.clear()
        channel = Channel[int]()
        reader = asyncio.create_task(read(channel.receiver), eager_start=True)
        writer = asyncio.create_task(write(channel.sender), eager_start=True)
        await turns()
        writer.cancel()
        await asyncio.wait([reader, writer])
        assert log == ["took 1", "cleaned up"]
        assert reader.exception() is not None


if sys.version_info >= (3, 15):

    async def test_a_cancelled_group_leaves_a_fed_by_block() -> None:
        """Rules 17 and 20: `TaskGroup.cancel` ends the group without an error, after the producer's cleanup."""
        log.clear()
        async with asyncio.TaskGroup() as tasks:
            async with Channel[int]().fed_by(listen) as items:
                log.append(f"took {await anext(items)}")
                tasks.cancel()
                await anext(items)
            log.append("not reached")
        assert log == ["took 1", "cleaned up"]
        current = asyncio.current_task()
        assert current is not None
        assert not current.cancelling()

    async def test_a_cancelled_group_ends_both_sides() -> None:
        """Rules 7, 16 and 23: the reader's failure is the cancellation, which the group keeps to itself."""
        for make in (lambda channel: write(channel.sender), lambda channel: channel.feed(listen)):
            log.clear()
            channel = Channel[int]()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(read(channel.receiver))
                tasks.create_task(make(channel))
                await turns()
                tasks.cancel()
            assert log == ["took 1", "cleaned up"]

    async def test_a_cancelled_group_ends_a_stream() -> None:
        """Rules 18 and 20."""
        log.clear()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(read(stream(listen)))
            await turns()
            tasks.cancel()
        assert log == ["took 1", "cleaned up"]

    async def test_a_producer_that_cancels_its_own_group_ends_normally() -> None:
        """Rules 6, 17, 18 and 23: the end of the group is no failure of the producer."""

        async def stop_after_two(itemize: Itemizer[int]) -> None:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(asyncio.sleep(3600))
                await itemize(1)
                await itemize(2)
                tasks.cancel()

        async with Channel[int]().fed_by(stop_after_two) as items:
            assert await collect(items) == [1, 2]
        assert await collect(stream(stop_after_two)) == [1, 2]
        channel = Channel[int]()
        async with asyncio.TaskGroup() as group, channel.receiver:
            group.create_task(channel.feed(stop_after_two))
            assert await collect(channel.receiver) == [1, 2]
