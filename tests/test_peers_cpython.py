"""What the tests of CPython's asyncio.Queue learned, said again for a channel.

They are in Lib/test/test_asyncio/test_queues.py. Their hard cases are about which task is woken, and which instead when that
one is cancelled. A queue is tolerant there: a reader cancelled after it was woken may come out either way, and readers in any
order. A channel promises one outcome, so the tests here are the stricter ones.
"""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from chanstream import Channel, ReceiverClosed, SenderClosed
from tests.loops import turns
from tests.outcomes import done, rest, until

# A wait begins with a plain turn of the event loop, and parks only after that: whatever wakes it may come during either.
either_wait = pytest.mark.parametrize("pause", [0, 5], ids=["turning", "parked"])
either_mode = pytest.mark.parametrize("buffer", [0, 2], ids=["lock-step", "buffered"])


class Thing:
    """An item that can be watched."""


@either_mode
@either_wait
async def test_a_reader_cancelled_after_it_was_woken_leaves_the_item(buffer: int, pause: int) -> None:
    """Rule 14: a cancelled ask takes nothing, also when it had been woken for an item.

    CPython, test_get_cancel_drop_one_pending_reader (bpo-23812). There the reader may get the item all the same; here the
    cancellation wins each time, and the next try finds the item.
    If this failed, item 1 would be lost without an error.
    """
    channel = Channel[int](buffer=buffer)
    async with channel.sender as itemize:
        reader = asyncio.create_task(anext(channel.receiver))
        await turns(pause)
        writers = [asyncio.create_task(itemize(item)) for item in (1, 2)]
        await until(channel, "2 to be taken")
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await done(reader)
        assert "2 to be taken" in repr(channel)
        assert await done(asyncio.create_task(anext(channel.receiver))) == 1
        assert await done(asyncio.create_task(anext(channel.receiver))) == 2
    assert await rest(channel.receiver) == []
    for writer in writers:
        await done(writer)


@either_mode
@either_wait
@pytest.mark.parametrize("cancelled", [{0}, {1}, {0, 2}, {0, 1, 2}], ids=str)
async def test_items_go_to_the_readers_that_are_left_in_their_order(cancelled: set[int], buffer: int, pause: int) -> None:
    """Rules 4 and 14: the next reader in line is woken in the place of a cancelled one, and gets the item that was due.

    CPython, test_get_cancel_drop_many_pending_readers, where it is undefined which of the two readers left gets which item.
    If this failed, items would wait in the channel and readers for them, side by side.
    """
    channel = Channel[int](buffer=buffer)
    async with channel.sender as itemize:
        readers = [asyncio.create_task(anext(channel.receiver)) for _ in range(6)]
        await turns(pause)
        writers = [asyncio.create_task(itemize(item)) for item in (1, 2)]
        await until(channel, "2 to be taken")
        for place in cancelled:
            readers[place].cancel()
        await turns(25)
        assert {place for place, reader in enumerate(readers) if reader.cancelled()} == cancelled
        first, second, *others = [reader for reader in readers if not reader.cancelled()]
        assert await done(first) == 1
        assert await done(second) == 2
        assert not any(reader.done() for reader in others), "only two items were sent"
        for writer in writers:
            await done(writer)  # further items are asked for
    for reader in others:
        with pytest.raises(StopAsyncIteration):
            await done(reader)


@either_mode
@either_wait
async def test_a_reader_cancelled_before_the_item_comes_is_passed_over(buffer: int, pause: int) -> None:
    """Rule 14: a cancelled ask is not in line any more, so the item goes to the one behind it.

    CPython, test_get_cancelled_race.
    If this failed, the item would wake a task that is gone, and the reader that is left would wait for ever.
    """
    channel = Channel[int](buffer=buffer)
    async with channel.sender as itemize:
        gone = asyncio.create_task(anext(channel.receiver))
        stays = asyncio.create_task(anext(channel.receiver))
        await until(channel, "2 waiting for an item")
        await turns(pause)
        gone.cancel()
        writer = asyncio.create_task(itemize(1))
        assert await done(stays) == 1
        assert gone.cancelled()
    assert await rest(channel.receiver) == []
    await done(writer)


@either_mode
async def test_a_cancelled_reader_leaves_no_trace(buffer: int) -> None:
    """Rules 14 and 22: the queue holds no task that has gone.

    CPython, test_cancelled_getters_not_being_held_in_self_getters.
    If this failed, a reader that polls with a timeout would make the channel grow without bound.
    """
    channel = Channel[int](buffer=buffer)
    before = repr(channel)
    for _ in range(3):
        readers = [asyncio.create_task(anext(channel.receiver)) for _ in range(4)]
        await until(channel, "4 waiting for an item")
        for reader in readers:
            reader.cancel()
        for reader in readers:
            with pytest.raises(asyncio.CancelledError):
                await done(reader)
        assert repr(channel) == before


@either_wait
async def test_a_writer_cancelled_after_room_was_made_withdraws_its_item(pause: int) -> None:
    """Rule 15: an item that has not been taken goes with its cancelled itemizer; sent again, it is delivered once.

    CPython, test_put_cancel_drop, where the put may have gone through; here it never has.
    If this failed, the second try would deliver the item twice, or its slot would stay blocked and it would never go.
    """
    channel = Channel[int](buffer=1)
    async with channel.sender as itemize:
        await itemize(1)
        writer = asyncio.create_task(itemize(2))
        await until(channel, "1 waiting in itemize")
        await turns(pause)
        assert await anext(channel.receiver) == 1  # makes room and wakes the writer
        writer.cancel()
        with pytest.raises(asyncio.CancelledError):
            await done(writer)
        assert "0 to be taken, 0 waiting in itemize" in repr(channel)
        await done(asyncio.create_task(itemize(2)))
        assert "1 to be taken" in repr(channel)
    assert await rest(channel.receiver) == [2]


@either_wait
@pytest.mark.parametrize("cancelled", [{0}, {1}, {0, 2}, {0, 1, 2}], ids=str)
async def test_room_goes_to_the_writers_that_are_left_in_their_order(cancelled: set[int], pause: int) -> None:
    """Rules 3 and 15: the next writer in line is woken in the place of a cancelled one, without another item being taken.

    CPython, test_put_cancel_drop, with more than one writer: the mirror image of test_get_cancel_drop_many_pending_readers.
    If this failed, a writer would wait in front of an empty slot, for ever if the consumer waits for what it writes.
    """
    channel = Channel[int](buffer=1)
    async with channel.sender as itemize:
        await itemize(0)
        writers = [asyncio.create_task(itemize(item)) for item in range(1, 6)]
        await until(channel, "5 waiting in itemize")
        await turns(pause)
        assert await anext(channel.receiver) == 0
        for place in cancelled:
            writers[place].cancel()
        await turns(25)
        assert {place for place, writer in enumerate(writers) if writer.cancelled()} == cancelled
        first, *others = [writer for writer in writers if not writer.cancelled()]
        assert first.done(), "there was room for it"
        assert not any(writer.done() for writer in others), "there was room for one"
    left = [1 + place for place in range(5) if place not in cancelled]
    assert await rest(channel.receiver) == left
    for writer in (first, *others):
        await done(writer)


@either_mode
@either_wait
async def test_a_cancelled_writer_in_the_middle_disturbs_neither_neighbour(buffer: int, pause: int) -> None:
    """Rules 1 and 15: a withdrawn item is never delivered, and the others keep their order.

    CPython, test_put_cancelled_race.
    If this failed, a timeout around one itemize would deliver what its caller believes unsent, or cost another task its item.
    """
    channel = Channel[str](buffer=buffer)
    async with channel.sender as itemize:
        writers = {item: asyncio.create_task(itemize(item)) for item in "abcXde"}
        await until(channel, "6 to be taken")
        await turns(pause)
        writers["X"].cancel()
        with pytest.raises(asyncio.CancelledError):
            await done(writers.pop("X"))
        assert "5 to be taken" in repr(channel)
    assert await rest(channel.receiver) == list("abcde")
    for writer in writers.values():
        await done(writer)


@either_mode
async def test_a_cancelled_writer_leaves_no_trace(buffer: int) -> None:
    """Rules 15 and 22: the queue holds no task that has gone, and no item that will not be delivered.

    CPython, test_cancelled_puts_not_being_held_in_self_putters.
    If this failed, every itemize that times out would leave its item in memory for as long as the channel lives.
    """
    channel = Channel[Thing](buffer=buffer)
    async with channel.sender as itemize:
        for _ in range(buffer):
            await itemize(Thing())
        before = repr(channel)
        thing = Thing()
        watch = weakref.ref(thing)
        writer = asyncio.create_task(itemize(thing))
        del thing
        await until(channel, "1 waiting in itemize")
        writer.cancel()
        with pytest.raises(asyncio.CancelledError):
            await done(writer)
        del writer
        gc.collect()
        assert repr(channel) == before
        assert watch() is None


@pytest.mark.parametrize("asked_again", [False, True], ids=["taken", "taken and released"])
async def test_a_writer_cancelled_after_its_item_was_taken_gets_only_its_cancellation(*, asked_again: bool) -> None:
    """Rule 15: a taken item has been delivered, and the writer that is no longer in line may be cancelled all the same.

    CPython, test_cancelled_put_silence_value_error_exception.
    If this failed, the caller would see an error of the channel's bookkeeping, or the item would come twice.
    """
    channel = Channel[int]()
    async with channel.sender as itemize:
        writer = asyncio.create_task(itemize(1))
        await until(channel, "1 to be taken")
        assert await anext(channel.receiver) == 1
        reader = asyncio.create_task(anext(channel.receiver)) if asked_again else None
        if reader is not None:
            await until(channel, "1 waiting for an item")
            assert not writer.done()  # released, and has not run yet
        writer.cancel()
        with pytest.raises(asyncio.CancelledError):
            await done(writer)
        assert "0 to be taken, 0 waiting in itemize" in repr(channel)
        if reader is None:
            reader = asyncio.create_task(anext(channel.receiver))
        await turns(5)
        assert not reader.done(), "item 1 has been delivered"
        again = asyncio.create_task(itemize(2))
        assert await done(reader) == 2
    assert await rest(channel.receiver) == []
    await done(again)


@either_wait
async def test_two_slots_freed_in_one_step_release_two_writers(pause: int) -> None:
    """Rule 3: an itemizer returns as soon as there is room, and one wake-up is not enough for two slots.

    CPython, test_why_are_putters_waiting.
    If this failed, the second writer would wait in front of an empty slot until one more item was taken.
    """
    channel = Channel[int](buffer=2)
    async with channel.sender as itemize:
        writers = [asyncio.create_task(itemize(item)) for item in range(4)]
        await until(channel, "2 waiting in itemize")
        await turns(pause)
        assert [await anext(channel.receiver), await anext(channel.receiver)] == [0, 1]  # neither gives a turn
        for writer in writers:
            await done(writer)
        assert "2 to be taken, 0 waiting in itemize" in repr(channel)
    assert await rest(channel.receiver) == [2, 3]


@either_wait
@pytest.mark.parametrize("buffer", [0, 1, 2])
async def test_items_sent_in_one_step_reach_as_many_readers(buffer: int, pause: int) -> None:
    """Rule 4: each item goes to a waiting reader, and one wake-up is not enough for two items.

    CPython, test_why_are_getters_waiting: a reader waits although an item is there.
    If this failed, a pool of workers would do the work of one.
    """
    channel = Channel[int](buffer=buffer)

    async def write() -> None:
        async with channel.sender as itemize:
            for item in range(5):
                await itemize(item)

    readers = [asyncio.create_task(anext(channel.receiver)) for _ in range(5)]
    await turns(pause)
    writer = asyncio.create_task(write())
    assert [await done(reader) for reader in readers] == [0, 1, 2, 3, 4]
    assert await rest(channel.receiver) == []
    await done(writer)


@pytest.mark.parametrize("buffer", [0, 1, 2])
async def test_as_many_asks_as_items_need_no_other_task_to_go_on(buffer: int) -> None:
    """Rules 2 and 3: a writer and a reader that count to five both get there, and in lock-step the end of the block comes next.

    CPython, test_why_are_getters_waiting. There the last put returns by itself; in lock-step it waits for a sixth ask.
    If this failed, two tasks that need only each other would wait for ever.
    """
    channel = Channel[int](buffer=buffer)

    async def write() -> None:
        async with channel.sender as itemize:
            for item in range(5):
                await itemize(item)

    async def read() -> list[int]:
        return [await anext(channel.receiver) for _ in range(5)]

    writer = asyncio.create_task(write())
    reader = asyncio.create_task(read())
    assert await done(reader) == [0, 1, 2, 3, 4]
    assert writer.done() is (buffer > 0)
    assert await rest(channel.receiver) == []
    await done(writer)


@either_mode
@either_wait
async def test_an_itemizer_that_waits_when_the_block_ends_is_still_served(buffer: int, pause: int) -> None:
    """Rules 6 and 8: what was accepted is delivered after the block; what comes later is refused and changes nothing.

    CPython, test_shutdown_nonempty, where the put that waits raises QueueShutDown and its item is dropped. Here it was accepted
    when it was called, so the end of the block does not reach it.
    If this failed, items of a task that ends a little after the block would vanish, and the stream would look complete.
    """
    channel = Channel[int](buffer=buffer)
    async with channel.sender as itemize:
        writers = [asyncio.create_task(itemize(item)) for item in range(4)]
        await until(channel, "4 to be taken")
        await turns(pause)
    for _ in range(2):
        with pytest.raises(SenderClosed):
            await done(asyncio.create_task(itemize(4)))
        assert "4 to be taken" in repr(channel)
    assert await rest(channel.receiver) == [0, 1, 2, 3]
    for writer in writers:
        await done(writer)
    assert await rest(channel.receiver) == []


@either_mode
@either_wait
async def test_closing_the_receiver_empties_the_channel_and_ends_every_wait(buffer: int, pause: int) -> None:
    """Rules 9 and 10: closing drops what was not taken, and every itemizer raises, now and later.

    CPython, test_shutdown_immediate. A queue shuts down for both sides alike; here the one that closed sees the end of the stream.
    If this failed, a writer would wait for a consumer that is gone.
    """
    channel = Channel[int](buffer=buffer)
    async with channel.sender as itemize:
        writers = [asyncio.create_task(itemize(item)) for item in range(4)]
        await until(channel, "4 to be taken")
        await turns(pause)
        await channel.receiver.aclose()
        assert "0 to be taken" in repr(channel)
        for writer in writers[buffer:]:
            with pytest.raises(ReceiverClosed):
                await done(writer)
        for writer in writers[:buffer]:
            await done(writer)
        for _ in range(2):
            with pytest.raises(ReceiverClosed):
                await done(asyncio.create_task(itemize(4)))
            with pytest.raises(StopAsyncIteration):
                await done(asyncio.create_task(anext(channel.receiver)))


@either_mode
@either_wait
async def test_closing_the_receiver_ends_the_asks_that_wait(buffer: int, pause: int) -> None:
    """Rule 9: waiting asks raise StopAsyncIteration, and so do later ones.

    CPython, test_shutdown_empty, where the get that waits raises QueueShutDown.
    If this failed, the workers of a pool would wait for ever after one of them closed the stream.
    """
    channel = Channel[int](buffer=buffer)
    readers = [asyncio.create_task(anext(channel.receiver)) for _ in range(3)]
    await until(channel, "3 waiting for an item")
    await turns(pause)
    await channel.receiver.aclose()
    for reader in readers:
        with pytest.raises(StopAsyncIteration):
            await done(reader)
    with pytest.raises(StopAsyncIteration):
        await done(asyncio.create_task(anext(channel.receiver)))
    assert "0 waiting for an item" in repr(channel)
