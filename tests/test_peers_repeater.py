"""What the tests of Repeater learned, said again for a channel.

They are in src/test/repeater.ts of repeaterjs/repeater, which makes async iterators out of callbacks in JavaScript: its executor
is a sender block here, its `push` an itemizer, its `next` an ask, its `return` an `aclose`.

What differs throughout: leaving a loop in JavaScript ends the iterator, in Python it does not; a repeater reports an error once and
is "done" from then on, a channel keeps raising it; a push returns what `next` was called with, an itemizer returns None.
"""

from __future__ import annotations

import asyncio
from typing import TypeVar

import pytest

from chanstream import Channel, ReceiverClosed, SenderFailed
from tests.loops import turns
from tests.outcomes import closed_early, done, failed, over, rest

T = TypeVar("T")

either_wait = pytest.mark.parametrize("pause", [0, 5], ids=["turning", "parked"])
either_mode = pytest.mark.parametrize("buffer", [0, 2], ids=["lock-step", "buffered"])


async def send_all(channel: Channel[T], items: list[T], error: Exception | None = None) -> None:
    """Send `items` one after the other, and raise `error` if there is one."""
    async with channel.sender as itemize:
        for item in items:
            await itemize(item)
        if error is not None:
            raise error


async def test_each_itemize_waits_for_the_next_ask() -> None:
    """Rule 2: after n asks, n - 1 calls have returned, and no turn of the loop changes that.

    Repeater, "pushes await next".
    If this failed, the producer would be ahead of its consumer, and `yield` would be no description of an itemizer.
    """
    channel = Channel[int]()
    returned: list[int] = []

    async def produce() -> None:
        async with channel.sender as itemize:
            for item in range(100):
                await itemize(item)
                returned.append(item)

    producer = asyncio.create_task(produce())
    for item in range(50):
        assert returned == list(range(item - 1))
        assert await done(asyncio.create_task(anext(channel.receiver))) == item
        assert returned == list(range(item))
    await turns(25)
    assert returned == list(range(49))
    await channel.receiver.aclose()
    await done(producer)
    assert returned == list(range(49))


@pytest.mark.parametrize("steps", ["aaaaiiii", "aiaiaiai", "aiiaaiai", "aiiiiaaa", "iiiiaaaa"])
@pytest.mark.parametrize("pause", [0, 5])
async def test_an_itemize_is_released_by_the_ask_after_the_one_that_took_its_item(steps: str, pause: int) -> None:
    """Rules 1, 2 and 4: with four asks and four items, in whatever order they come, three calls return and the fourth waits.

    Repeater, "pushes resolve to value passed to next", and the same "alternating", "irregular" and "pushes first".
    If this failed, one of several tasks would be released by the ask that belongs to another, or by none.
    """
    channel = Channel[int]()
    asks: list[asyncio.Task[int]] = []
    calls: list[asyncio.Task[None]] = []
    async with channel.sender as itemize:
        for step in steps:
            if step == "a":
                asks.append(asyncio.create_task(anext(channel.receiver)))
            else:
                calls.append(asyncio.create_task(itemize(len(calls))))
            await turns(pause)
        await turns(25)
        assert [ask.result() for ask in asks] == [0, 1, 2, 3]
        assert [call.done() for call in calls] == [True, True, True, False]
        further = asyncio.create_task(anext(channel.receiver))
        await done(calls[3])
        assert not further.done()
    with pytest.raises(StopAsyncIteration):
        await done(further)
    await asyncio.gather(*calls)


@either_mode
@pytest.mark.parametrize("count", [0, 1, 4])
async def test_an_error_of_the_producer_comes_after_its_items_and_stays(count: int, buffer: int) -> None:
    """Rule 7: every item that was sent, then the error, then the error again.

    Repeater, "throw error in executor", "... after push" and "... after async push", where the second ask finds a normal end.
    If this failed, a consumer that asks once too often, a second worker for example, would take the stream for complete.
    """
    channel = Channel[int](buffer=buffer)
    error = ValueError("in the block")
    producer = asyncio.create_task(send_all(channel, list(range(count)), error))
    for item in range(count):
        assert await done(asyncio.create_task(anext(channel.receiver))) == item
    await failed(channel.receiver, error)
    with pytest.raises(ValueError, match="in the block") as raised:
        await done(producer)
    assert raised.value is error
    await failed(channel.receiver, error)


@either_mode
@pytest.mark.parametrize("count", [0, 1, 4])
async def test_a_return_inside_the_block_ends_the_stream_after_its_items(count: int, buffer: int) -> None:
    """Rule 6: leaving the block by `return` is a normal end, and what is returned is no item.

    Repeater, "push then stop" and "stop", whose executors return a value that the last `next` delivers.
    If this failed, the common way to leave a producer early would look like an error or lose the last items.
    """
    channel = Channel[int](buffer=buffer)

    async def produce() -> str:
        async with channel.sender as itemize:
            for item in range(count):
                await itemize(item)
            return "the value"
        pytest.fail("the block does not end early")

    producer = asyncio.create_task(produce())
    assert await rest(channel.receiver) == list(range(count))
    assert await done(producer) == "the value"
    await over(channel.receiver)


@either_mode
@either_wait
async def test_a_producer_stops_waiting_when_its_consumer_is_done(buffer: int, pause: int) -> None:
    """Rules 10 and 11: what it waits for in itemize ends, its `finally` runs, and the task goes on after the block.

    Repeater, "awaiting stop promise", by which an executor learns that it may release what it holds. Here the itemizer raises.
    If this failed, a listener would stay subscribed for ever.
    """
    channel = Channel[int](buffer=buffer)
    trace: list[str] = []

    async def produce() -> None:
        async with channel.sender as itemize:
            try:
                for item in range(10):
                    await itemize(item)
            finally:
                trace.append("unsubscribed")
        trace.append("after the block")

    producer = asyncio.create_task(produce())
    await turns(1 + pause)
    assert await anext(channel.receiver) == 0
    await turns(pause)
    await channel.receiver.aclose()
    await done(producer)
    assert trace == ["unsubscribed", "after the block"]
    await closed_early(channel.receiver)


@either_mode
async def test_closing_drops_what_is_buffered_even_after_the_block_has_ended(buffer: int) -> None:
    """Rule 9: items not taken are dropped, whichever side ended first.

    Repeater, "return method", "return method with buffer" and "return method with buffer after stop".
    If this failed, a consumer that has enough would get more.
    """
    channel = Channel[int](buffer=buffer)
    async with channel.sender as itemize:
        calls = [asyncio.create_task(itemize(item)) for item in range(4)]
        await turns(5)
    assert "sender finished" in repr(channel)
    assert await anext(channel.receiver) == 0
    await turns(5)
    await channel.receiver.aclose()
    await closed_early(channel.receiver)
    assert "0 to be taken, 0 waiting in itemize" in repr(channel)
    served = 0 if buffer == 0 else buffer + 1
    for number, call in enumerate(calls):
        if number < served:
            await done(call)
        else:
            with pytest.raises(ReceiverClosed):
                await done(call)


async def test_an_error_that_no_ask_has_raised_is_forgotten_by_closing() -> None:
    """Rule 9: after closing there is only the end; the producer's task has kept its error.

    Repeater, "return method with throw in executor", where `return` rejects with the error. Here closing never raises.
    If this failed, the cleaning up of a consumer that has enough would fail for a reason it can't do anything about.
    """
    channel = Channel[int](buffer=4)
    error = ValueError("in the block")
    producer = asyncio.create_task(send_all(channel, [1, 2, 3, 4], error))
    assert await done(asyncio.create_task(anext(channel.receiver))) == 1
    with pytest.raises(ValueError, match="in the block"):
        await done(producer)
    assert "sender failed" in repr(channel)
    await channel.receiver.aclose()
    await closed_early(channel.receiver)


@either_mode
@either_wait
async def test_asks_that_wait_end_in_their_order(buffer: int, pause: int) -> None:
    """Rules 4 and 6: first the items, in their order, then the end, to each ask one.

    Repeater, "results settle in order" and "results settle in order with buffer".
    If this failed, the end would overtake an item, and a pool would stop before the work is done.
    """
    channel = Channel[int](buffer=buffer)
    settled: list[tuple[int, int | str]] = []

    async def ask(number: int) -> None:
        try:
            settled.append((number, await anext(channel.receiver)))
        except StopAsyncIteration:
            settled.append((number, "end"))

    asks = [asyncio.create_task(ask(number)) for number in range(5)]
    await turns(pause)
    producer = asyncio.create_task(send_all(channel, [10, 20, 30]))
    for each in asks:
        await done(each)
    assert settled == [(0, 10), (1, 20), (2, 30), (3, "end"), (4, "end")]
    await done(producer)
    await over(channel.receiver)


@either_wait
async def test_a_failure_reaches_every_ask_that_waits(pause: int) -> None:
    """Rules 4 and 7: items first, then the error to each of the others.

    Repeater, "results settle in order with rejection", where one `next` gets the error and the others a normal end.
    If this failed, all workers of a pool but one would report success.
    """
    channel = Channel[int]()
    error = ValueError("in the block")
    asks = [asyncio.create_task(anext(channel.receiver)) for _ in range(4)]
    await turns(pause)
    producer = asyncio.create_task(send_all(channel, [1, 2], error))
    assert await done(asks[0]) == 1
    assert await done(asks[1]) == 2
    for ask in asks[2:]:
        with pytest.raises(SenderFailed) as caught:
            await done(ask)
        assert caught.value.__cause__ is error
    with pytest.raises(ValueError, match="in the block"):
        await done(producer)
    await failed(channel.receiver, error)


@either_wait
async def test_items_that_are_waited_for_do_not_fill_the_buffer(pause: int) -> None:
    """Rule 3: only what waits to be taken counts, so items for waiting asks leave all the room there was.

    Repeater, "next then push avoids buffer".
    If this failed, a producer would wait although its consumers are ahead of it.
    """
    channel = Channel[int](buffer=1)
    asks = [asyncio.create_task(anext(channel.receiver)) for _ in range(2)]
    await turns(pause)
    async with channel.sender as itemize:
        calls = [asyncio.create_task(itemize(item)) for item in range(3)]
        for call in calls:
            await done(call)
        assert [ask.result() for ask in asks] == [0, 1]
        assert "1 to be taken, 0 waiting in itemize" in repr(channel)
    assert await rest(channel.receiver) == [2]
