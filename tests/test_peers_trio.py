"""What the tests of trio's memory channels learned, said again for a channel.

They are in the first half of src/trio/_tests/test_channel.py, which is about two ends and which task is next. The second half
is ported in test_peers_trio_as_safe_channel.py.

What differs throughout: trio raises ClosedResourceError where a closed end is used, EndOfChannel where the other end is closed, and
gives each task an end of its own by `clone`. Here the end is StopAsyncIteration, and tasks share the one end.
"""

from __future__ import annotations

import asyncio

import pytest

from chanstream import Channel, Itemizer, ReceiverClosed, SenderClosed
from tests.loops import turns
from tests.outcomes import collect, done, rest, until

either_wait = pytest.mark.parametrize("pause", [0, 5], ids=["turning", "parked"])
either_mode = pytest.mark.parametrize("buffer", [0, 2], ids=["lock-step", "buffered"])


@either_wait
async def test_in_lock_step_each_side_waits_for_the_other(pause: int) -> None:
    """Rule 2: neither side waits in vain or goes ahead: the sender goes on when a further item is asked for.

    trio, test_unbuffered, where send returns as soon as its item was received.
    If this failed, the producer would run one item ahead of its consumer, or the channel would hold an item that was not asked for.
    """
    channel = Channel[int]()
    first = asyncio.create_task(anext(channel.receiver))
    await until(channel, "1 waiting for an item")
    await turns(pause)
    async with channel.sender as itemize:
        sender = asyncio.create_task(itemize(1))
        assert await done(first) == 1
        assert not sender.done(), "taken, and nothing further was asked for"
        second = asyncio.create_task(anext(channel.receiver))
        await done(sender)
        assert not second.done()
        assert "0 to be taken, 0 waiting in itemize, 1 waiting for an item" in repr(channel)
    with pytest.raises(StopAsyncIteration):
        await done(second)


@either_wait
async def test_a_receiver_that_gave_up_does_not_swallow_the_next_item(pause: int) -> None:
    """Rules 3 and 14: while no ask waits, an item stays in the buffer for the next ask, and the sender has not waited.

    trio, test_553: a receive that had timed out stayed in the queue, and the next item went to it.
    If this failed, the first item after every timeout would be lost.
    """
    channel = Channel[str](buffer=1)
    gives_up = asyncio.create_task(anext(channel.receiver))
    await until(channel, "1 waiting for an item")
    await turns(pause)
    gives_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await done(gives_up)
    async with channel.sender as itemize:
        await done(asyncio.create_task(itemize("kept")))
        assert "1 to be taken, 0 waiting in itemize" in repr(channel)
    assert await rest(channel.receiver) == ["kept"]


@pytest.mark.parametrize("buffer", [0, 1, 4])
async def test_many_producers_share_one_itemizer(buffer: int) -> None:
    """Rules 1 and 4: items are taken in the order of the calls, whichever task calls, and each of them once.

    trio, test_channel_multiple_producers. There each producer has a clone, the last one to close it ends the stream, and no order
    is promised; here the task group inside the block ends first.
    If this failed, merging streams would lose, double or reorder.
    """
    channel = Channel[int](buffer=buffer)
    called: list[int] = []

    async def produce(itemize: Itemizer[int], number: int) -> None:
        for item in range(3 * number, 3 * number + 3):
            called.append(item)
            await itemize(item)
            await turns(number % 3)

    async def produce_all() -> None:
        async with channel.sender as itemize, asyncio.TaskGroup() as group:
            for number in range(10):
                group.create_task(produce(itemize, number))

    producing = asyncio.create_task(produce_all())
    consuming = asyncio.create_task(collect(channel.receiver))
    await turns(200)
    taken = await done(consuming)
    await done(producing)
    assert taken == called
    assert sorted(taken) == list(range(30))


@pytest.mark.parametrize("buffer", [0, 1])
@either_wait
async def test_many_consumers_take_turns(buffer: int, pause: int) -> None:
    """Rule 4: first come, first served: waiting consumers get their items in rotation.

    trio, test_channel_multiple_consumers, which asks only that each of them gets some.
    If this failed, one worker of a pool would do everything, or two would do the same.
    """
    channel = Channel[int](buffer=buffer)
    received: list[list[int]] = [[] for _ in range(5)]

    async def consume(number: int) -> None:
        async for item in channel.receiver:
            received[number].append(item)

    consumers = [asyncio.create_task(consume(number)) for number in range(5)]
    await until(channel, "5 waiting for an item")
    await turns(pause)

    async def produce() -> None:
        async with channel.sender as itemize:
            for item in range(10):
                await itemize(item)
                await until(channel, "5 waiting for an item")  # all are back in the queue

    await done(asyncio.create_task(produce()), 25)
    for consumer in consumers:
        await done(consumer)
    assert received == [[number, number + 5] for number in range(5)]


async def test_while_no_ask_waits_a_sender_may_take_its_own_item() -> None:
    """Rule 3: while there is room and an item, neither side gives other tasks a turn.

    trio, test_channel_fairness, its first part.
    If this failed, a channel could not serve as a plain queue within one task.
    """
    channel = Channel[int](buffer=1)
    ran: list[str] = []
    other = asyncio.get_running_loop().call_soon(ran.append, "somebody else")
    async with channel.sender as itemize:
        for item in range(3):
            await itemize(item)
            assert await anext(channel.receiver) == item
    assert not ran
    other.cancel()


@either_wait
async def test_an_item_belongs_to_the_receiver_that_waits_for_it(pause: int) -> None:
    """Rules 4 and 14: an ask that comes while another one waits is queued behind it, although it runs first.

    trio, test_channel_fairness, its second part.
    If this failed, a busy task would starve those that wait, and rule 14's "left in the channel" would mean "open to all".
    """
    channel = Channel[int](buffer=2)
    waits = asyncio.create_task(anext(channel.receiver))
    await until(channel, "1 waiting for an item")
    await turns(pause)

    async def send_two_and_take_one() -> int:
        async with channel.sender as itemize:
            await itemize(1)
            await itemize(2)
            return await anext(channel.receiver)
        pytest.fail("the block does not end early")

    assert await done(asyncio.create_task(send_two_and_take_one())) == 2
    assert await done(waits) == 1


@either_wait
async def test_room_belongs_to_the_sender_that_waits_for_it(pause: int) -> None:
    """Rules 1 and 3: an itemize that comes while another one waits is queued behind it, although it runs first.

    trio, test_channel_fairness, its third part.
    If this failed, items would be taken in another order than they were sent, and a busy sender would starve the others.
    """
    channel = Channel[int](buffer=1)
    async with channel.sender as itemize:
        await itemize(1)
        waits = asyncio.create_task(itemize(2))
        await until(channel, "1 waiting in itemize")
        await turns(pause)

        async def take_one_and_send_one() -> int:
            item = await anext(channel.receiver)
            await itemize(3)
            return item

        both = asyncio.create_task(take_one_and_send_one())
        await done(waits)
        assert not both.done(), "there was room for one"
    assert await rest(channel.receiver) == [2, 3]
    assert await done(both) == 1


@either_wait
async def test_the_end_of_the_block_reaches_the_receiver_and_stays(pause: int) -> None:
    """Rules 6 and 8: a waiting ask ends, later ones too, and the sending side stays shut.

    trio, test_close_basics and test_close_sync, "closing send". There a send that waits in another task is broken off, here it is
    served; test_peers_cpython has that case.
    If this failed, a consumer would wait for a producer that has finished.
    """
    channel = Channel[int]()
    reader = asyncio.create_task(anext(channel.receiver))
    await until(channel, "1 waiting for an item")
    await turns(pause)
    async with channel.sender as itemize:
        pass
    with pytest.raises(StopAsyncIteration):
        await done(reader)
    for _ in range(2):
        with pytest.raises(SenderClosed):
            await done(asyncio.create_task(itemize(1)))
        with pytest.raises(SenderClosed):
            async with channel.sender:
                pytest.fail("it was opened again")
        with pytest.raises(StopAsyncIteration):
            await done(asyncio.create_task(anext(channel.receiver)))


@either_wait
async def test_closing_the_receiver_reaches_the_sender_and_stays(pause: int) -> None:
    """Rules 9 and 10: a waiting itemize ends, later ones too, and the receiver stays shut.

    trio, test_close_basics and test_close_sync, "closing receive". There it raises BrokenResourceError, and at the closing side
    ClosedResourceError.
    If this failed, a producer would wait for ever for a consumer that has left.
    """
    channel = Channel[int]()
    async with channel.sender as itemize:
        sender = asyncio.create_task(itemize(1))
        await until(channel, "1 waiting in itemize")
        await turns(pause)
        await channel.receiver.aclose()
        with pytest.raises(ReceiverClosed):
            await done(sender)
        for _ in range(2):
            with pytest.raises(ReceiverClosed):
                await done(asyncio.create_task(itemize(2)))
            with pytest.raises(StopAsyncIteration):
                await done(asyncio.create_task(anext(channel.receiver)))
            await channel.receiver.aclose()
