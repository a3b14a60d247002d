"""What the tests of anyio's memory object streams learned, said again for a channel.

They are in tests/streams/test_memory.py. Most came with a bug in which an item was lost: it was handed to the waiting task, and
the task was cancelled between the hand-over and its next step. A channel keeps the item until the ask returns it.

None is an item in each of these tests, since anyio once took it for "nothing there" (#731).
"""

from __future__ import annotations

import asyncio
import gc
from itertools import cycle, islice
from typing import TypeAlias

import pytest

from chanstream import Channel, ReceiverClosed
from tests.loops import turns
from tests.outcomes import closed_early, done, rest, until

Item: TypeAlias = str | None

either_wait = pytest.mark.parametrize("pause", [0, 5], ids=["turning", "parked"])
either_mode = pytest.mark.parametrize("buffer", [0, 1], ids=["lock-step", "buffered"])
any_item = pytest.mark.parametrize("item", ["hello", None])


@any_item
@either_mode
@either_wait
async def test_an_item_sent_before_the_cancellation_is_left_for_the_next_ask(item: Item, buffer: int, pause: int) -> None:
    """Rules 14 and 16: the cancelled ask takes nothing, not even the item that it was woken for.

    anyio, test_cancel_during_receive, where the receiver gets the item although its scope was cancelled. An asyncio task can't
    refuse a cancellation, so here it gets that, and the item stays.
    If this failed, the item would be lost (#146, #728): under timeouts, one of four.
    """
    channel = Channel[Item](buffer=buffer)
    async with channel.sender as itemize:
        receiver = asyncio.create_task(anext(channel.receiver))
        await turns(pause)
        sender = asyncio.create_task(itemize(item))
        await until(channel, "1 to be taken")
        receiver.cancel()
        with pytest.raises(asyncio.CancelledError):
            await done(receiver)
        assert "1 to be taken" in repr(channel)
    assert await rest(channel.receiver) == [item]
    await done(sender)


@any_item
@either_mode
@either_wait
async def test_an_item_sent_after_the_cancellation_goes_to_the_next_ask(item: Item, buffer: int, pause: int) -> None:
    """Rules 14 and 16: an ask with a cancellation on its way gets nothing, and the one behind it is served.

    anyio, test_send_to_natively_cancelled_receiver and test_cancel_during_receive_buffered.
    If this failed, the item would go to a task that no longer wants it, while another one waits.
    """
    channel = Channel[Item](buffer=buffer)
    cancelled = asyncio.create_task(anext(channel.receiver))
    behind = asyncio.create_task(anext(channel.receiver))
    await until(channel, "2 waiting for an item")
    await turns(pause)

    async def cancel_and_send() -> None:
        async with channel.sender as itemize:
            cancelled.cancel()
            await itemize(item)  # before the cancelled task runs

    sender = asyncio.create_task(cancel_and_send())
    assert await done(behind) == item
    with pytest.raises(asyncio.CancelledError):
        await done(cancelled)
    assert await rest(channel.receiver) == []
    await done(sender)


@any_item
@either_mode
@either_wait
async def test_an_item_whose_only_receiver_was_cancelled_waits_for_another(item: Item, buffer: int, pause: int) -> None:
    """Rules 6 and 14: with no ask left in the queue the item stays, also when the block ends meanwhile.

    anyio, test_send_to_natively_cancelled_receiver, which has no task behind the cancelled receiver.
    If this failed, the stream would end one item too soon and look complete.
    """
    channel = Channel[Item](buffer=buffer)
    cancelled = asyncio.create_task(anext(channel.receiver))
    await until(channel, "1 waiting for an item")
    await turns(pause)

    async def cancel_and_send() -> None:
        async with channel.sender as itemize:
            cancelled.cancel()
            sending.append(asyncio.create_task(itemize(item)))
            await turns(1)

    sending: list[asyncio.Task[None]] = []
    await done(asyncio.create_task(cancel_and_send()))
    with pytest.raises(asyncio.CancelledError):
        await done(cancelled)
    assert "sender finished" in repr(channel)
    assert "1 to be taken" in repr(channel)
    assert await rest(channel.receiver) == [item]
    assert await rest(channel.receiver) == []
    for sender in sending:
        await done(sender)


@either_mode
async def test_an_ask_that_need_not_wait_returns_its_item_to_a_cancelled_task(buffer: int) -> None:
    """Rule 14: a cancellation lands where a task waits; an ask that does not wait takes its item and returns it.

    anyio, test_receive_when_cancelled, where a receive in a cancelled scope never goes through. What matters in both: the item is
    either returned or still there.
    If this failed, the item would be taken and the cancellation raised.
    """
    channel = Channel[Item](buffer=buffer)
    taken: list[Item] = []

    async def consume() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        taken.append(await anext(channel.receiver))
        await anext(channel.receiver)
        pytest.fail("the cancellation got lost")

    async with channel.sender as itemize:
        senders = [asyncio.create_task(itemize(None))]
        await until(channel, "1 to be taken")
        with pytest.raises(asyncio.CancelledError):
            await done(asyncio.create_task(consume()))
        assert taken == [None]
        assert "0 to be taken, 0 waiting in itemize, 0 waiting for an item" in repr(channel)
        senders.append(asyncio.create_task(itemize("world")))
        assert await done(asyncio.create_task(anext(channel.receiver))) == "world"
    assert await rest(channel.receiver) == []
    for sender in senders:
        await done(sender)


async def test_an_itemize_of_a_cancelled_task_sends_nothing_if_it_has_to_wait() -> None:
    """Rule 15: the cancellation that is on its way withdraws the item before it can be taken.

    anyio, test_send_when_cancelled.
    If this failed, what the caller takes for unsent would be delivered later.
    """
    channel = Channel[Item]()

    async def send() -> None:
        async with channel.sender as itemize:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await itemize(None)
            task.uncancel()
            await itemize("world")

    sender = asyncio.create_task(send())
    await turns(25)
    assert "1 to be taken, 1 waiting in itemize" in repr(channel)
    assert await rest(channel.receiver) == ["world"]
    await done(sender)


@either_wait
async def test_a_sender_that_waits_for_room_is_released_when_one_item_is_taken(pause: int) -> None:
    """Rule 3: buffered, it is the room that counts, and nothing further needs to be asked for.

    anyio, test_send_is_unblocked_after_receive_nowait.
    If this failed, a consumer that takes one item at a time, and works in between, would hold up its producer each time.
    """
    channel = Channel[Item](buffer=1)
    async with channel.sender as itemize:
        await itemize(None)
        sender = asyncio.create_task(itemize("anyio"))
        await until(channel, "1 waiting in itemize")
        await turns(pause)
        assert not sender.done()
        assert await done(asyncio.create_task(anext(channel.receiver))) is None
        await done(sender)
        assert "1 to be taken, 0 waiting in itemize" in repr(channel)
    assert await rest(channel.receiver) == ["anyio"]


@either_wait
async def test_a_sender_in_lock_step_is_released_by_the_next_ask_and_not_by_the_first(pause: int) -> None:
    """Rule 2: the item has been taken, and the sender waits until a further one is asked for.

    anyio, test_send_then_receive_nowait, where a send without a buffer returns when its item was received.
    If this failed, the producer would already work on the next item, as no generator does.
    """
    channel = Channel[Item]()
    async with channel.sender as itemize:
        sender = asyncio.create_task(itemize(None))
        await until(channel, "1 to be taken")
        await turns(pause)
        assert await done(asyncio.create_task(anext(channel.receiver))) is None
        await turns(25)
        assert not sender.done()
        assert "0 to be taken, 1 waiting in itemize" in repr(channel)
        further = asyncio.create_task(anext(channel.receiver))
        await done(sender)
        assert not further.done()
    with pytest.raises(StopAsyncIteration):
        await done(further)


@any_item
@either_wait
async def test_closing_the_receiver_breaks_off_a_send(item: Item, pause: int) -> None:
    """Rules 9, 10 and 11: the send raises ReceiverClosed, the block ends quietly, and the item is gone.

    anyio, test_close_receive_while_sending, whose item is None since #731.
    If this failed, a producer of None would take the closing for a delivery.
    """
    channel = Channel[Item]()
    trace: list[str] = []

    async def send() -> None:
        async with channel.sender as itemize:
            with pytest.raises(ReceiverClosed):
                await done(asyncio.create_task(itemize(item)))
            trace.append("first")
            await itemize(item)
            trace.append("second")
        trace.append("left")

    sender = asyncio.create_task(send())
    await until(channel, "1 to be taken")
    await turns(pause)
    await channel.receiver.aclose()
    await done(sender)
    assert trace == ["first", "left"]
    await closed_early(channel.receiver)


@either_mode
@either_wait
async def test_the_end_of_the_block_reaches_all_that_wait(buffer: int, pause: int) -> None:
    """Rule 6: every waiting ask ends, not only the first, and later ones too.

    anyio, test_close_send_while_receiving.
    If this failed, one worker of a pool would go home and the others wait for ever.
    """
    channel = Channel[Item](buffer=buffer)
    receivers = [asyncio.create_task(anext(channel.receiver)) for _ in range(3)]
    await until(channel, "3 waiting for an item")
    await turns(pause)
    async with channel.sender:
        await turns(1)
        assert not any(receiver.done() for receiver in receivers)
    for receiver in receivers:
        with pytest.raises(StopAsyncIteration):
            await done(receiver)
    for _ in range(2):
        with pytest.raises(StopAsyncIteration):
            await done(asyncio.create_task(anext(channel.receiver)))


async def test_what_was_sent_before_the_end_is_received_after_it() -> None:
    """Rule 6: the end of the block comes after its last item.

    anyio, test_receive_after_send_closed.
    If this failed, the last items of a fast producer would be missing.
    """
    channel = Channel[Item](buffer=2)
    async with channel.sender as itemize:
        await itemize(None)
        await itemize(None)
    assert await done(asyncio.create_task(anext(channel.receiver))) is None
    assert await done(asyncio.create_task(anext(channel.receiver))) is None
    for _ in range(2):
        with pytest.raises(StopAsyncIteration):
            await done(asyncio.create_task(anext(channel.receiver)))


@either_mode
async def test_a_consumer_may_close_right_after_the_last_item(buffer: int) -> None:
    """Rules 2 and 11: in lock-step the producer still waits after its item was taken, and ends quietly.

    anyio, test_close_receive_after_send.
    If this failed, a producer whose every item arrived would fail, or wait for ever.
    """
    channel = Channel[Item](buffer=buffer)

    async def send() -> None:
        async with channel.sender as itemize:
            await itemize(None)

    async def receive() -> Item:
        async with channel.receiver as receiver:
            return await anext(receiver)
        pytest.fail("the context swallows nothing")

    sender = asyncio.create_task(send())
    assert await done(asyncio.create_task(receive())) is None
    await done(sender)


@either_mode
async def test_a_dropped_receiver_is_a_closed_one(buffer: int) -> None:
    """Rule 13: a producer does not wait for a consumer that can't come back.

    anyio, test_not_closed_warning: a dropped end is reported by a warning, and the other side waits for ever. Here the wait ends.
    If this failed, `break` out of a loop, and forgetting the channel, would leave a task behind for good.
    """
    trace: list[str] = []

    def start() -> asyncio.Task[None]:
        channel = Channel[Item](buffer=buffer)
        sender, receiver = channel.sender, channel.receiver

        async def send() -> None:
            async with sender as itemize:
                for _ in range(100):
                    await itemize(None)
                trace.append("nobody told it")
            trace.append("left")

        async def receive() -> None:
            async for _ in receiver:
                break

        receiving.append(asyncio.create_task(receive()))
        return asyncio.create_task(send())

    receiving: list[asyncio.Task[None]] = []
    sending = start()
    await done(receiving.pop())
    gc.collect()
    await done(sending)
    assert trace == ["left"]


@pytest.mark.parametrize("buffer", [0, 1, 3])
async def test_no_item_is_lost_however_often_the_ask_is_cancelled(buffer: int) -> None:
    """Rules 14 and 16: asks that are cancelled after 0, 1, 2... turns, wherever the item is by then, lose none of them.

    anyio, issues #146 and #728, with turns of the loop in the place of timeouts.
    If this failed, polling with a timeout would drop items under load, and only then.
    """
    count = 60
    channel = Channel[int](buffer=buffer)

    async def produce() -> None:
        async with channel.sender as itemize:
            for item in range(count):
                await itemize(item)
                await turns(5 + item % 4)

    producer = asyncio.create_task(produce())
    received: list[int] = []
    cancelled = 0
    for patience in islice(cycle([0, 1, 2, 1, 3, 1, 4]), 20 * count):
        ask = asyncio.create_task(anext(channel.receiver))
        await turns(patience)
        ask.cancel()
        await asyncio.wait([ask])
        if ask.cancelled():
            cancelled += 1
        elif isinstance(ask.exception(), StopAsyncIteration):
            break
        else:
            received.append(ask.result())
    assert received == list(range(count))
    assert cancelled > count // 2, "the test should cancel at all"
    await done(producer)


@pytest.mark.parametrize("buffer", [0, 1, 3])
async def test_no_item_is_lost_or_doubled_however_often_the_itemize_is_cancelled(buffer: int) -> None:
    """Rules 15 and 16: what an itemize returned for was taken once, what it was cancelled for once at most, and all in order.

    anyio, issues #146 and #728, seen from the other side: test_cancel_send, at every turn.
    If this failed, a sender that tries again after a timeout could trust neither its success nor its order.
    """
    count = 60
    channel = Channel[int](buffer=buffer)
    taken: list[int] = []

    async def consume() -> None:
        async for item in channel.receiver:
            taken.append(item)
            await turns(item % 4)

    consumer = asyncio.create_task(consume())
    confirmed: list[int] = []
    cancelled: list[int] = []
    async with channel.sender as itemize:
        for first, patience in zip(range(0, 6 * count, 6), cycle([0, 1, 2, 1, 3, 1, 4]), strict=False):
            sends = {item: asyncio.create_task(itemize(item)) for item in range(first, first + 6)}
            await turns(patience)
            sends[first + buffer + patience % 3].cancel()
            await turns(40)
            for item, send in sends.items():
                assert send.done(), "it waits for ever"
                (cancelled if send.cancelled() else confirmed).append(item)
    await done(consumer)
    assert taken == sorted(set(taken))
    assert set(confirmed) <= set(taken)
    assert len(cancelled) > count // 4, "the test should cancel at all"
